/* SPDX-License-Identifier: BSD-2-Clause */
#include "guests/root/image.h"
#include "guests/lib/string.h"
#include "guests/root/machine.h"

#define MULTIBOOT_MAGIC	 0x1badb002u
#define MULTIBOOT_SEARCH 8192u
#define INFO_MEMORY	 (1u << 0)
#define INFO_CMDLINE	 (1u << 2)
#define INFO_MODULES	 (1u << 3)
#define INFO_MMAP	 (1u << 6)
#define INFO_NAME	 (1u << 9)

#define FLAT_ADDRESS 0x100000u
#define INFO_ADDRESS 0x9000u /* one page for everything the guest is told */
#define LOW_END	     0x9f000u
#define HIGH_START   0x100000u

#define ELF_SEGMENTS_MAX 32u

struct segment {
	u64 offset, file_size, address, memory_size;
};

/* Multiboot specification 0.6.96, section 3.3. */
struct multiboot_info {
	u32 flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr;
	u32 syms[4];
	u32 mmap_length, mmap_addr, drives_length, drives_addr, config_table, boot_loader_name;
	u32 rest[17];
};

struct multiboot_mmap {
	u32 size;
	u64 base, length;
	u32 type;
} __attribute__((packed));

struct multiboot_module {
	u32 start, end, string, reserved;
};

struct info_page {
	struct multiboot_info info;
	struct multiboot_mmap map[3];
	struct multiboot_module modules[IMAGE_MODULES];
	char name[16];
	char strings[2048]; /* command lines, one after the other */
};
_Static_assert(sizeof(struct multiboot_info) == 136, "multiboot information");
_Static_assert(sizeof(struct info_page) <= PAGE_SIZE, "fits its page");

static u32 get32(const u8 *at)
{
	u32 value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static u64 get64(const u8 *at)
{
	u64 value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static u16 get16(const u8 *at)
{
	return (u16)(at[0] | at[1] << 8);
}

static bool has_multiboot_header(const struct image *image)
{
	u64 end = image->size < MULTIBOOT_SEARCH ? image->size : MULTIBOOT_SEARCH;

	for (u64 at = 0; at + 12 <= end; at += 4) {
		const u8 *h = image->data + at;

		if (get32(h) == MULTIBOOT_MAGIC && get32(h) + get32(h + 4) + get32(h + 8) == 0)
			return true;
	}
	return false;
}

static bool is_elf(const struct image *image)
{
	return image->size >= 64 && memcmp(image->data, "\177ELF", 4) == 0;
}

/* Reads the loadable segments of an ELF file. */
static const char *elf_read(const struct image *image, struct segment *segments, u32 *count,
			    u64 *entry)
{
	const u8 *e = image->data;
	bool wide = e[4] == 2;
	u64 table = wide ? get64(e + 32) : get32(e + 28);
	u64 size = get16(e + (wide ? 54 : 42));
	u64 number = get16(e + (wide ? 56 : 44));

	if (size < (wide ? 56 : 32) || table > image->size || number * size > image->size - table)
		return "its program headers are outside of the file";
	*entry = wide ? get64(e + 24) : get32(e + 24);
	*count = 0;
	for (u64 i = 0; i < number; i++) {
		const u8 *p = e + table + i * size;
		struct segment s;

		if (get32(p) != 1)
			continue;
		if (wide)
			s = (struct segment){get64(p + 8), get64(p + 32), get64(p + 24),
					     get64(p + 40)};
		else
			s = (struct segment){get32(p + 4), get32(p + 16), get32(p + 12),
					     get32(p + 20)};
		if (s.memory_size == 0)
			continue;
		if (s.offset > image->size || s.file_size > image->size - s.offset ||
		    s.file_size > s.memory_size)
			return "a segment is outside of the file";
		if (*count == ELF_SEGMENTS_MAX)
			return "it has too many segments";
		segments[(*count)++] = s;
	}
	return *count ? NULL : "it has no loadable segment";
}

/* MEM_LOAD of page-aligned root memory to page-aligned guest memory. */
static const char *load_pages(struct vm *vm, u64 gpa, const void *from, u64 bytes)
{
	u64 pages = (bytes + PAGE_SIZE - 1) / PAGE_SIZE;
	u64 pfn = (u64)from / PAGE_SIZE;
	u64 gfn = gpa / PAGE_SIZE;

	while (pages) {
		u64 now = pages < 512 ? pages : 512;
		struct reply r = septum(SEPTUM_CALL_MEM_LOAD, vm->id, gfn, now, pfn);

		if (r.status != SEPTUM_OK)
			return r.status == SEPTUM_E_POOL_EMPTY ? "the pool is too small for it"
							       : "Septum refuses its pages";
		gfn += now;
		pfn += now;
		pages -= now;
	}
	return NULL;
}

/* Segments may share pages, so they are put together in root memory first. */
static const char *load_segments(struct vm *vm, const struct image *image,
				 const struct segment *segments, u32 count, u64 *end)
{
	u64 low = ~0ul;
	u64 high = 0;
	const char *error;
	u64 mark;
	u8 *stage;

	*end = 0;
	for (u32 i = 0; i < count; i++) {
		const struct segment *s = &segments[i];

		if (s->address > vm->ram_size || s->memory_size > vm->ram_size - s->address)
			return "it does not fit into the guest's memory";
		if (s->address + s->memory_size > *end)
			*end = s->address + s->memory_size;
		if (s->file_size == 0)
			continue;
		if (s->address < low)
			low = s->address;
		if (s->address + s->file_size > high)
			high = s->address + s->file_size;
	}
	if (high <= low)
		return "it has no content";
	low &= ~(PAGE_SIZE - 1);
	mark = memory_mark();
	stage = memory_take(high - low, PAGE_SIZE);
	for (u32 i = 0; i < count; i++)
		memcpy(stage + (segments[i].address - low) * (segments[i].file_size != 0),
		       image->data + segments[i].offset, segments[i].file_size);
	error = load_pages(vm, low, stage, high - low);
	memory_release(mark);
	return error;
}

const char *image_load_bytes(struct vm *vm, u64 gpa, const void *data, u64 size)
{
	u64 mark = memory_mark();
	u8 *stage = memory_take(size, PAGE_SIZE);
	const char *error;

	memcpy(stage, data, size);
	error = load_pages(vm, gpa, stage, size);
	memory_release(mark);
	return error;
}

/* Adds a string to the page; returns its guest-physical address. */
static u32 add_string(struct info_page *page, u64 *used, const char *text)
{
	u64 length = strlen(text) + 1;
	u64 at = *used;

	if (length > sizeof(page->strings) - at)
		return INFO_ADDRESS + offsetof(struct info_page, name) + 15; /* empty */
	memcpy(page->strings + at, text, length);
	*used += length;
	return (u32)(INFO_ADDRESS + offsetof(struct info_page, strings) + at);
}

/* The first word is the program's name, as boot loaders have it and guests skip it. */
static u32 add_cmdline(struct info_page *page, u64 *used, const char *args)
{
	u32 at = add_string(page, used, "guest");

	if (*args) {
		page->strings[*used - 1] = ' ';
		add_string(page, used, args);
	}
	return at;
}

static const char *load_info(struct vm *vm, struct image *image, u64 end)
{
	u64 mark = memory_mark();
	struct info_page *page = memory_take(PAGE_SIZE, PAGE_SIZE);
	struct multiboot_info *info = &page->info;
	u64 used = 0;
	const char *error = NULL;

	info->flags = INFO_MEMORY | INFO_CMDLINE | INFO_MODULES | INFO_MMAP | INFO_NAME;
	info->mem_lower = LOW_END / 1024;
	info->mem_upper = (u32)((vm->ram_size - HIGH_START) / 1024);
	info->cmdline = add_cmdline(page, &used, image->args);
	info->mmap_addr = INFO_ADDRESS + offsetof(struct info_page, map);
	info->mmap_length = sizeof(page->map);
	page->map[0] = (struct multiboot_mmap){20, 0, LOW_END, 1};
	page->map[1] = (struct multiboot_mmap){20, LOW_END, HIGH_START - LOW_END, 2};
	page->map[2] = (struct multiboot_mmap){20, HIGH_START, vm->ram_size - HIGH_START, 1};
	memcpy(page->name, "Septum manager", 15);
	info->boot_loader_name = INFO_ADDRESS + offsetof(struct info_page, name);
	info->mods_count = image->module_count;
	info->mods_addr = INFO_ADDRESS + offsetof(struct info_page, modules);
	for (u32 i = 0; i < image->module_count && !error; i++) {
		const struct image_module *m = &image->modules[i];
		u64 start = (end + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);

		if (start > vm->ram_size || m->size > vm->ram_size - start) {
			error = "its modules do not fit into the guest's memory";
			break;
		}
		end = start + m->size;
		page->modules[i] = (struct multiboot_module){(u32)start, (u32)end,
							     add_string(page, &used, m->args), 0};
		error = image_load_bytes(vm, start, m->data, m->size);
	}
	if (!error)
		error = load_pages(vm, INFO_ADDRESS, page, PAGE_SIZE);
	memory_release(mark);
	image->info = INFO_ADDRESS;
	return error;
}

const char *image_load(struct vm *vm, struct image *image)
{
	static struct segment segments[ELF_SEGMENTS_MAX];
	const char *error;
	u32 count;
	u64 end;

	if (vm->ram_size < 2 * HIGH_START)
		return "a guest needs at least 2 MiB of memory";
	if (!is_elf(image)) {
		if (image->size == 0 || image->size > vm->ram_size - FLAT_ADDRESS)
			return "it does not fit into the guest's memory";
		image->entry = FLAT_ADDRESS;
		image->info = 0;
		return image_load_bytes(vm, FLAT_ADDRESS, image->data, image->size);
	}
	if (!has_multiboot_header(image))
		return "it is an ELF file without a multiboot header";
	error = elf_read(image, segments, &count, &image->entry);
	if (!error)
		error = load_segments(vm, image, segments, count, &end);
	if (!error)
		error = load_info(vm, image, end);
	return error;
}
