/* SPDX-License-Identifier: BSD-2-Clause */
/* What the loader told, whichever loader it was; checked, and copied into Septum's own memory. */
#ifndef KERNEL_BOOT_INFO_H
#define KERNEL_BOOT_INFO_H

#include "kernel/range_set.h"
#include "kernel/types.h"

#define BOOT_MODULE_MAX	     16
#define BOOT_CMDLINE_MAX     1024
#define BOOT_MODULE_TEXT_MAX 512

/* What a range of physical memory is for, numbered as in the firmware's own map; where the map
 * contradicts itself, a range is never RAM. */
enum boot_memory {
	BOOT_RAM = 1,
	BOOT_RESERVED, /* and whatever has no number below */
	BOOT_ACPI,     /* tables; RAM again for an operating system that has read them */
	BOOT_NVS,
	BOOT_DEFECTIVE,
	BOOT_MEMORY_KINDS
};

struct boot_module {
	hpa_t start;			    /* page-aligned */
	u64 size;			    /* in bytes, > 0 */
	char cmdline[BOOT_MODULE_TEXT_MAX]; /* without the file name, NUL-terminated */
};

struct boot_framebuffer {
	hpa_t address; /* 0: there is no linear framebuffer */
	u32 pitch;     /* bytes per line */
	u32 width, height;
	u8 bits; /* per pixel: 24 or 32 */
};

struct boot_info {
	const char *loader; /* "Multiboot2" or "Multiboot1" */
	char cmdline[BOOT_CMDLINE_MAX];
	unsigned module_count;
	struct boot_module modules[BOOT_MODULE_MAX];
	/* Physical memory by what it is for, in whole pages: an index is an enum boot_memory. RAM
	 * includes what `reserved` and `modules` name. */
	struct range_set memory[BOOT_MEMORY_KINDS];
	/* Parts of RAM that are not the root's to have: Septum's image, its boot-time heap
	 * (once own_seal() has run). Modules are separate: `modules`. */
	struct range_set reserved;
	hpa_t image;
	u64 image_size;
	u8 rsdp[36];		/* the loader's copy of the ACPI RSDP; all zero: none given */
	hpa_t efi_system_table; /* 0: not started from 64-bit UEFI, or the loader does not tell */
	struct boot_framebuffer framebuffer;
};

/* Filled before anything else runs and never changed after own_seal(). */
extern struct boot_info boot_info;

/* The TSC at Septum's first instructions (arch/x86/boot.S). */
extern const u64 boot_tsc;

#endif
