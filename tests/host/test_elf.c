/* sources: kernel/elf.c */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The root partition's program, well and badly made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernel/elf.h"
#include "mm/memory.h"

#define BASE   0x200000ul
#define MEMORY 0x8000ul

static u8 memory[MEMORY]; /* the root's, at BASE */
static u8 *module;	  /* a file in the root's memory, at address 0 */
static u64 module_size;

enum status root_read(hpa_t from, void *to, u64 bytes)
{
	if (from.n + bytes > module_size)
		return E_NOT_ROOT;
	memcpy(to, module + from.n, bytes);
	return OK;
}

enum status root_write(hpa_t to, const void *from, u64 bytes)
{
	if (to.n < BASE || to.n + bytes > BASE + MEMORY)
		return E_NOT_ROOT;
	memcpy(memory + (to.n - BASE), from, bytes);
	return OK;
}

/* One segment of code and data with one relocation, at file offset 0x1000 and address 0x1000. */
struct file {
	u8 ident[16];
	u16 type, machine;
	u32 version;
	u64 entry, phoff, shoff;
	u32 flags;
	u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
	struct {
		u32 type, flags;
		u64 offset, vaddr, paddr, filesz, memsz, align;
	} ph[2];
	u8 gap[0x1000 - 64 - 2 * 56];
	u8 code[64];
	u64 pointer;
	u64 rela[3];
	u64 dynamic[6];
};
#define AT(field) (offsetof(struct file, field))

static struct file file;

static struct elf elf_of(const void *bytes, u64 size)
{
	struct elf elf = {.bytes = bytes, .size = size};

	return elf;
}

static int start(void **state)
{
	(void)state;
	memset(memory, 0xcc, sizeof(memory));
	memset(&file, 0, sizeof(file));
	memcpy(file.ident, "\177ELF\2\1\1", 7);
	file.type = 3;
	file.machine = 62;
	file.entry = AT(code) + 4;
	file.phoff = 64;
	file.phentsize = 56;
	file.phnum = 2;
	file.ph[0].type = 1;
	file.ph[0].offset = file.ph[0].vaddr = 0x1000;
	file.ph[0].filesz = sizeof(file) - 0x1000;
	file.ph[0].memsz = 0x3000;
	file.ph[1].type = 2;
	file.ph[1].offset = AT(dynamic);
	file.ph[1].filesz = sizeof(file.dynamic);
	memset(file.code, 0x90, sizeof(file.code));
	file.rela[0] = AT(pointer);
	file.rela[1] = 8;
	file.rela[2] = 0x1234;
	file.dynamic[0] = 7;
	file.dynamic[1] = AT(rela);
	file.dynamic[2] = 8;
	file.dynamic[3] = 24;
	return 0;
}

static void a_program_is_copied_cleared_and_relocated(void **state)
{
	struct elf elf = elf_of(&file, sizeof(file));
	u64 pointer;

	(void)state;
	assert_null(elf_open(&elf));
	assert_int_equal(elf.span, 0x4000);
	assert_int_equal(elf.entry, AT(code) + 4);
	assert_null(elf_load(&elf, BASE));
	assert_memory_equal(memory + AT(code), file.code, sizeof(file.code));
	memcpy(&pointer, memory + AT(pointer), sizeof(pointer));
	assert_int_equal(pointer, BASE + 0x1234);
	for (u64 at = sizeof(file); at < 0x4000; at++)
		assert_int_equal(memory[at], 0);
	assert_int_equal(memory[0x4000], 0xcc);
	assert_int_equal(memory[0xfff], 0xcc);
}

static void a_module_is_as_good(void **state)
{
	struct elf elf = {.size = sizeof(file)};

	(void)state;
	module = (u8 *)&file;
	module_size = sizeof(file);
	assert_null(elf_open(&elf));
	assert_null(elf_load(&elf, BASE));
	assert_memory_equal(memory + AT(code), file.code, sizeof(file.code));
}

static const char *attempt(const void *bytes, u64 size)
{
	struct elf elf = elf_of(bytes, size);
	const char *problem = elf_open(&elf);

	return problem != NULL ? problem : elf_load(&elf, BASE);
}

static void a_truncated_file_is_refused(void **state)
{
	(void)state;
	assert_null(attempt(&file, sizeof(file)));
	/* Bytes 16 to the end of the last dynamic entry that says something matter. */
	for (u64 size = 0; size < sizeof(file); size++) {
		u8 *copy = malloc(size + 1); /* ASan watches its end */

		memcpy(copy + 1, &file, size);
		assert_non_null(attempt(copy + 1, size));
		free(copy);
	}
}

static void wrong_files_are_refused(void **state)
{
	static const struct {
		size_t at;
		u64 value;
		unsigned bytes;
	} edits[] = {
		{0, 0, 1},
		{4, 1, 1},	       /* ELF32 */
		{5, 2, 1},	       /* big-endian */
		{AT(type), 2, 2},      /* at a fixed address */
		{AT(machine), 183, 2}, /* another processor */
		{AT(phentsize), 32, 2},
		{AT(phoff), ~0ul, 8},
		{AT(phoff), ~0ul - 55, 8},
		{AT(phnum), 0, 2},
		{AT(phnum), 0xffff, 2},
		{AT(entry), 0x4000, 8},
		{AT(ph[0].filesz), 0x3001, 8}, /* larger than in memory */
		{AT(ph[0].memsz), 1ul << 40, 8},
		{AT(ph[0].memsz), ~0ul, 8},
		{AT(ph[0].vaddr), ~0ul, 8},
		{AT(ph[0].vaddr), 0x6000, 8}, /* beyond what is the root's */
		{AT(ph[0].offset), ~0ul, 8},
		{AT(ph[1].offset), ~0ul - 8, 8},
		{AT(rela[0]), ~0ul, 8},
		{AT(rela[0]), 0x3ff9, 8},
		{AT(rela[1]), 6, 8}, /* another relocation */
		{AT(dynamic[1]), ~0ul, 8},
		{AT(dynamic[1]), 0, 8}, /* in no segment */
		{AT(dynamic[3]), ~0ul, 8},
		{AT(dynamic[0]), 17, 8},
		{AT(dynamic[4]), 23, 8},
	};

	for (unsigned n = 0; n < ARRAY_COUNT(edits); n++) {
		start(state);
		memcpy((u8 *)&file + edits[n].at, &edits[n].value, edits[n].bytes);
		if (attempt(&file, sizeof(file)) == NULL)
			print_error("edit %u\n", n);
		start(state);
		memcpy((u8 *)&file + edits[n].at, &edits[n].value, edits[n].bytes);
		assert_non_null(attempt(&file, sizeof(file)));
	}
}

static void too_many_segments_are_refused(void **state)
{
	static u8 big[64 + 9 * 56];

	(void)state;
	memcpy(big, &file, 64);
	big[AT(phnum)] = 9;
	for (unsigned n = 0; n < 9; n++)
		memcpy(big + 64 + n * 56, &file.ph[0], 56);
	assert_non_null(attempt(big, sizeof(big)));
}

#define T(name) cmocka_unit_test_setup(name, start)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_program_is_copied_cleared_and_relocated),
		T(a_module_is_as_good),
		T(a_truncated_file_is_refused),
		T(wrong_files_are_refused),
		T(too_many_segments_are_refused),
	};

	return cmocka_run_group_tests_name("elf", tests, NULL, NULL);
}
