/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/elf.h"
#include "kernel/string.h"
#include "mm/memory.h"

#define ELF_SPAN_MAX (64ul << 20)

#define MACHINE_X86_64 62
#define TYPE_DYN       3
#define SEGMENT_LOAD   1
#define SEGMENT_DYN    2
#define DYN_RELA       7
#define DYN_RELA_SIZE  8
#define DYN_REL	       17
#define DYN_JMPREL     23
#define RELATIVE       8

struct elf_header {
	u8 ident[16];
	u16 type, machine;
	u32 version;
	u64 entry, phoff, shoff;
	u32 flags;
	u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
_Static_assert(sizeof(struct elf_header) == 64, "ELF header");

struct program_header {
	u32 type, flags;
	u64 offset, vaddr, paddr, filesz, memsz, align;
};
_Static_assert(sizeof(struct program_header) == 56, "program header");

struct dynamic {
	u64 tag, value;
};

struct rela {
	u64 offset, info, addend;
};

static bool file_read(const struct elf *elf, u64 offset, void *to, u64 bytes)
{
	if (offset > elf->size || bytes > elf->size - offset)
		return false;
	if (elf->bytes == NULL)
		return root_read(hpa(elf->module.n + offset), to, bytes) == OK;
	memcpy(to, elf->bytes + offset, bytes);
	return true;
}

static const char *segment_open(struct elf *elf, const struct program_header *ph)
{
	if (ph->type == SEGMENT_DYN) {
		elf->dynamic = ph->offset;
		elf->dynamic_size = ph->filesz;
	}
	if (ph->type != SEGMENT_LOAD || ph->memsz == 0)
		return NULL;
	if (elf->count == ELF_SEGMENTS)
		return "it has too many segments";
	if (ph->filesz > ph->memsz || ph->vaddr > ELF_SPAN_MAX ||
	    ph->memsz > ELF_SPAN_MAX - ph->vaddr)
		return "a segment is too large";
	elf->segments[elf->count++] = (struct elf_segment){
		.offset = ph->offset,
		.file_size = ph->filesz,
		.address = ph->vaddr,
		.size = ph->memsz,
	};
	elf->span = MAX(elf->span, ph->vaddr + ph->memsz);
	return NULL;
}

const char *elf_open(struct elf *elf)
{
	static const u8 ident[] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
	struct elf_header header;

	if (!file_read(elf, 0, &header, sizeof(header)) ||
	    memcmp(header.ident, ident, sizeof(ident)) != 0 || header.machine != MACHINE_X86_64)
		return "it is no ELF64 file for x86-64";
	if (header.type != TYPE_DYN || header.phentsize != sizeof(struct program_header))
		return "it is not position-independent";
	for (unsigned n = 0; n < header.phnum; n++) {
		struct program_header ph;
		const char *problem;

		if (!file_read(elf, header.phoff + n * sizeof(ph), &ph, sizeof(ph)))
			return "it is truncated";
		problem = segment_open(elf, &ph);
		if (problem != NULL)
			return problem;
	}
	elf->entry = header.entry;
	if (elf->count == 0 || elf->entry >= elf->span)
		return "it has no code";
	return NULL;
}

static const char *segment_load(const struct elf *elf, const struct elf_segment *segment, u64 base)
{
	static u8 buffer[PAGE_SIZE];

	for (u64 at = 0; at < segment->size;) {
		u64 in_file = at < segment->file_size ? segment->file_size - at : 0;
		u64 bytes = MIN(segment->size - at, sizeof(buffer));

		if (in_file != 0)
			bytes = MIN(bytes, in_file);
		if (in_file == 0)
			memset(buffer, 0, bytes);
		else if (!file_read(elf, segment->offset + at, buffer, bytes))
			return "it is truncated";
		if (root_write(hpa(base + segment->address + at), buffer, bytes) != OK)
			return "its place in memory is not the root's";
		at += bytes;
	}
	return NULL;
}

/* The file's bytes behind an address of the program. */
static bool address_read(const struct elf *elf, u64 address, void *to, u64 bytes)
{
	for (unsigned n = 0; n < elf->count; n++) {
		const struct elf_segment *segment = &elf->segments[n];
		u64 at = address - segment->address;

		if (address >= segment->address && at < segment->file_size &&
		    bytes <= segment->file_size - at)
			return file_read(elf, segment->offset + at, to, bytes);
	}
	return false;
}

static const char *relocate(const struct elf *elf, u64 base)
{
	u64 rela = 0, bytes = 0;

	for (u64 at = 0; at + sizeof(struct dynamic) <= elf->dynamic_size;
	     at += sizeof(struct dynamic)) {
		struct dynamic entry;

		if (!file_read(elf, elf->dynamic + at, &entry, sizeof(entry)))
			return "it is truncated";
		if (entry.tag == DYN_RELA)
			rela = entry.value;
		if (entry.tag == DYN_RELA_SIZE)
			bytes = entry.value;
		if (entry.tag == DYN_REL || entry.tag == DYN_JMPREL)
			return "it has relocations of an unknown kind";
	}
	for (u64 at = 0; at + sizeof(struct rela) <= bytes; at += sizeof(struct rela)) {
		struct rela entry;
		u64 value;

		if (!address_read(elf, rela + at, &entry, sizeof(entry)))
			return "its relocations are not in the file";
		if (entry.info != RELATIVE)
			return "it has relocations of an unknown kind";
		if (entry.offset > elf->span || elf->span - entry.offset < sizeof(value))
			return "a relocation lies outside of it";
		value = base + entry.addend;
		if (root_write(hpa(base + entry.offset), &value, sizeof(value)) != OK)
			return "its place in memory is not the root's";
	}
	return NULL;
}

const char *elf_load(const struct elf *elf, u64 base)
{
	for (unsigned n = 0; n < elf->count; n++) {
		const char *problem = segment_load(elf, &elf->segments[n], base);

		if (problem != NULL)
			return problem;
	}
	return relocate(elf, base);
}
