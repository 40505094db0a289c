/* SPDX-License-Identifier: BSD-2-Clause */
#include "arch/x86/multiboot.h"
#include "kernel/string.h"

#define MB1_MAGIC 0x2badb002
#define MB2_MAGIC 0x36d76289

#define MAPPED_END 0x100000000ul /* boot.S maps the first 4 GiB */
#define MB2_MAX	   0x100000	 /* a larger information is not believed */
#define TEXT_MAX   4096

struct boot_info boot_info;

/* Multiboot Specification 0.6.96, section 3.3. */
struct mb1_information {
	u32 flags;
	u32 mem_lower, mem_upper;
	u32 boot_device;
	u32 cmdline;
	u32 mods_count, mods_addr;
	u32 syms[4];
	u32 mmap_length, mmap_addr;
	u32 drives_length, drives_addr;
	u32 config_table;
	u32 boot_loader_name;
};
#define MB1_CMDLINE BIT(2)
#define MB1_MODULES BIT(3)
#define MB1_MMAP    BIT(6)
#define MB1_LOADER  BIT(9)

struct mb1_module {
	u32 start, end, string, reserved;
};

struct mb1_mmap {
	u32 size; /* of the rest */
	u64 base, length;
	u32 type;
} __attribute__((packed));

/* Multiboot2 Specification 2.0, section 3.6. */
struct mb2_tag {
	u32 type, size;
};
enum {
	MB2_END,
	MB2_CMDLINE = 1,
	MB2_MODULE = 3,
	MB2_MMAP = 6,
	MB2_FRAMEBUFFER = 8,
	MB2_EFI64 = 12,
	MB2_RSDP_OLD = 14,
	MB2_RSDP_NEW = 15
};

struct mb2_module {
	struct mb2_tag tag;
	u32 start, end;
	char string[];
};

struct mb2_mmap {
	struct mb2_tag tag;
	u32 entry_size, entry_version;
};

struct mb2_mmap_entry {
	u64 base, length;
	u32 type, reserved;
};

struct mb2_framebuffer {
	struct mb2_tag tag;
	u64 address;
	u32 pitch, width, height;
	u8 bits, type;
	u16 reserved;
};
#define FRAMEBUFFER_RGB 1

static const void *physical(u64 address)
{
	return (const void *)address;
}

/* Copy a string of at most `room` bytes at `from`; cut to fit. */
static void copy_text(char *to, size_t size, const char *from, size_t room)
{
	size_t length = strnlen(from, MIN(room, size - 1));

	memcpy(to, from, length);
	to[length] = '\0';
}

static bool add_memory(u64 base, u64 length, u32 type)
{
	u64 end = base + length;

	if (length == 0 || end < base)
		return true; /* says nothing that could be used */
	if (type == BOOT_RAM)
		return range_set_add(&boot_info.memory[BOOT_RAM], ALIGN_UP(base, PAGE_SIZE),
				     ALIGN_DOWN(end, PAGE_SIZE));
	if (type == 0 || type >= BOOT_MEMORY_KINDS)
		type = BOOT_RESERVED;
	return range_set_add(&boot_info.memory[type], ALIGN_DOWN(base, PAGE_SIZE),
			     ALIGN_UP(end, PAGE_SIZE));
}

static const char *add_module(u64 start, u64 end, const char *text, size_t room)
{
	struct boot_module *m;

	if (start >= end)
		return "the loader passed an empty module; is the file empty?";
	if (!IS_ALIGNED(start, PAGE_SIZE))
		return "the loader did not put a module on a page boundary";
	if (boot_info.module_count == BOOT_MODULE_MAX)
		return "the loader passed more than 16 modules; pass fewer";
	m = &boot_info.modules[boot_info.module_count++];
	m->start = hpa(start);
	m->size = end - start;
	copy_text(m->cmdline, sizeof(m->cmdline), text, room);
	return NULL;
}

/* QEMU puts the file name before the text, GRUB does not. */
static const char *after_first_word(const char *text)
{
	while (*text != '\0' && *text != ' ')
		text++;
	while (*text == ' ')
		text++;
	return text;
}

static const char *mb1_text(u32 address, bool has_name)
{
	const char *text = physical(address);

	if (address == 0 || address > MAPPED_END - TEXT_MAX)
		return "";
	return has_name ? after_first_word(text) : text;
}

static const char *read_mb1(u64 address)
{
	const struct mb1_information *info = physical(address);
	const char *problem;
	bool named;

	named = (info->flags & MB1_LOADER) != 0 &&
		strncmp(mb1_text(info->boot_loader_name, false), "qemu", 4) == 0;
	if ((info->flags & MB1_CMDLINE) != 0)
		copy_text(boot_info.cmdline, sizeof(boot_info.cmdline),
			  mb1_text(info->cmdline, named), TEXT_MAX);
	if ((info->flags & MB1_MMAP) == 0)
		return "the loader passed no memory map";
	for (u32 at = 0; at + sizeof(struct mb1_mmap) <= info->mmap_length;) {
		const struct mb1_mmap *e = physical((u64)info->mmap_addr + at);

		if (!add_memory(e->base, e->length, e->type))
			return "the memory map has more than 256 separate ranges";
		if (e->size < sizeof(*e) - 4 || e->size > info->mmap_length)
			break;
		at += e->size + 4;
	}
	for (u32 i = 0; (info->flags & MB1_MODULES) != 0 && i < info->mods_count; i++) {
		const struct mb1_module *m = physical(info->mods_addr + i * sizeof(*m));

		problem = add_module(m->start, m->end, mb1_text(m->string, named), TEXT_MAX);
		if (problem != NULL)
			return problem;
	}
	return NULL;
}

static bool read_mb2_mmap(const struct mb2_mmap *map)
{
	u32 entry = map->entry_size;

	if (entry < sizeof(struct mb2_mmap_entry) || entry > map->tag.size)
		return true;
	for (u32 at = sizeof(*map); at + entry <= map->tag.size; at += entry) {
		const struct mb2_mmap_entry *e = (const void *)((const u8 *)map + at);

		if (!add_memory(e->base, e->length, e->type))
			return false;
	}
	return true;
}

static void read_mb2_framebuffer(const struct mb2_framebuffer *f)
{
	if (f->type != FRAMEBUFFER_RGB || (f->bits != 24 && f->bits != 32) || f->width > 16384 ||
	    f->height > 16384 || f->pitch < f->width * (f->bits / 8u) || f->pitch > 65536)
		return;
	boot_info.framebuffer = (struct boot_framebuffer){
		.address = hpa(f->address),
		.pitch = f->pitch,
		.width = f->width,
		.height = f->height,
		.bits = f->bits,
	};
}

static const char *read_mb2(u64 address)
{
	u32 total = *(const u32 *)physical(address);
	const char *problem = NULL;
	bool have_map = false;

	if (total < 16 || total > MB2_MAX || address + total > MAPPED_END)
		return "the loader's information has an impossible size";
	for (u32 at = 8; at + sizeof(struct mb2_tag) <= total && problem == NULL;) {
		const struct mb2_tag *tag = physical(address + at);
		const u8 *body = (const u8 *)tag;

		if (tag->type == MB2_END)
			break;
		if (tag->size < sizeof(*tag) || tag->size > total - at)
			return "the loader's information has a tag of impossible size";
		if (tag->type == MB2_CMDLINE) {
			copy_text(boot_info.cmdline, sizeof(boot_info.cmdline),
				  (const char *)(body + sizeof(*tag)), tag->size - sizeof(*tag));
		} else if (tag->type == MB2_MODULE && tag->size > sizeof(struct mb2_module)) {
			const struct mb2_module *m = (const void *)tag;

			problem = add_module(m->start, m->end, m->string, tag->size - sizeof(*m));
		} else if (tag->type == MB2_MMAP && tag->size >= sizeof(struct mb2_mmap)) {
			have_map = true;
			if (!read_mb2_mmap((const void *)tag))
				problem = "the memory map has more than 256 separate ranges";
		} else if (tag->type == MB2_FRAMEBUFFER &&
			   tag->size >= sizeof(struct mb2_framebuffer)) {
			read_mb2_framebuffer((const void *)tag);
		} else if (tag->type == MB2_EFI64 && tag->size >= sizeof(*tag) + sizeof(u64)) {
			memcpy(&boot_info.efi_system_table.n, body + sizeof(*tag), sizeof(u64));
		} else if (tag->type == MB2_RSDP_NEW || tag->type == MB2_RSDP_OLD) {
			/* The new one has the 64-bit address; it wins whichever comes first. */
			if (tag->type == MB2_RSDP_NEW || boot_info.rsdp[0] == 0)
				memcpy(boot_info.rsdp, body + sizeof(*tag),
				       MIN(tag->size - sizeof(*tag), sizeof(boot_info.rsdp)));
		}
		at += ALIGN_UP(tag->size, 8u);
	}
	if (problem == NULL && !have_map)
		problem = "the loader passed no memory map";
	return problem;
}

const char *multiboot_read(u32 magic, u64 address, u64 image, u64 image_size)
{
	const char *problem;

	boot_info.image = hpa(image);
	boot_info.image_size = image_size;
	if (magic == MB2_MAGIC) {
		boot_info.loader = "Multiboot2";
		problem = read_mb2(address);
	} else {
		boot_info.loader = "Multiboot1";
		problem = read_mb1(address);
	}
	if (problem != NULL)
		return problem;

	for (unsigned kind = BOOT_RESERVED; kind < BOOT_MEMORY_KINDS; kind++) {
		const struct range_set *other = &boot_info.memory[kind];

		for (unsigned i = 0; i < other->count; i++)
			if (!range_set_remove(&boot_info.memory[BOOT_RAM], other->ranges[i].start,
					      other->ranges[i].end))
				return "the memory map has more than 256 separate ranges";
	}
	range_set_add(&boot_info.reserved, image, image + image_size);
	if (!range_set_contains(&boot_info.memory[BOOT_RAM], image, image + image_size))
		return "the memory map does not cover the place where Septum itself was loaded";
	for (unsigned i = 0; i < boot_info.module_count; i++) {
		const struct boot_module *m = &boot_info.modules[i];

		if (!range_set_contains(&boot_info.memory[BOOT_RAM], m->start.n,
					m->start.n + m->size))
			return "a module lies outside of the memory map";
		if (m->start.n < image + image_size && m->start.n + m->size > image)
			return "a module overlaps Septum's own image";
	}
	return NULL;
}
