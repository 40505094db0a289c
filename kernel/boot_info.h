/* SPDX-License-Identifier: BSD-2-Clause */
/* What the loader told, whichever loader it was; checked, and copied into Septum's own memory. */
#ifndef KERNEL_BOOT_INFO_H
#define KERNEL_BOOT_INFO_H

#include "kernel/range_set.h"
#include "kernel/types.h"

#define BOOT_MODULE_MAX	     16
#define BOOT_CMDLINE_MAX     1024
#define BOOT_MODULE_TEXT_MAX 512

struct boot_module {
	hpa_t start;			    /* page-aligned */
	u64 size;			    /* in bytes, > 0 */
	char cmdline[BOOT_MODULE_TEXT_MAX]; /* without the file name, NUL-terminated */
};

struct boot_framebuffer {
	hpa_t address; /* 0: there is no linear framebuffer */
	u32 pitch;     /* bytes per line */
	u32 width, height;
	u8 bits; /* per pixel: 32 */
};

struct boot_info {
	const char *loader; /* "Multiboot2" or "Multiboot1" */
	char cmdline[BOOT_CMDLINE_MAX];
	unsigned module_count;
	struct boot_module modules[BOOT_MODULE_MAX];
	/* Usable RAM, in whole pages; it includes what `reserved` lists. */
	struct range_set ram;
	/* What the firmware reports as anything else than usable RAM. */
	struct range_set not_ram;
	/* Parts of RAM that are not the root's to have: Septum's image, its boot-time heap
	 * (once own_seal() has run). Modules are separate: `modules`. */
	struct range_set reserved;
	hpa_t image;
	u64 image_size;
	u8 rsdp[36]; /* the loader's copy of the ACPI RSDP; all zero: none given */
	struct boot_framebuffer framebuffer;
};

/* Filled before anything else runs and never changed after own_seal(). */
extern struct boot_info boot_info;

#endif
