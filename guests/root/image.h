/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest images: multiboot (version 1) ELF files of either class, and flat ones.
 *
 * A multiboot image finds EBX = address of its multiboot information with memory sizes, memory map,
 * command line and modules. A flat image (no multiboot header) is put at 1 MiB and starts there.
 * Both start in 32-bit protected mode with paging off.
 */
#ifndef GUESTS_ROOT_IMAGE_H
#define GUESTS_ROOT_IMAGE_H

#include "guests/root/vm.h"

#define IMAGE_MODULES 8u

enum module_kind {
	MODULE_DATA,
	MODULE_CMDLINE, /* a Linux guest's command line, or the rest of it */
};

struct image_module {
	const u8 *data;
	u64 size;
	const char *args;
	enum module_kind kind;
};

struct image {
	const u8 *data;
	u64 size;
	const char *args;
	u32 module_count;
	struct image_module modules[IMAGE_MODULES];
	/* filled in by image_load: */
	u64 entry;
	u64 info; /* address of the multiboot information, or 0: flat */
};

/* Loads into a BUILDING VM whose memory has its slots and attributes. NULL, or one plain sentence
 * that says why not. */
const char *image_load(struct vm *vm, struct image *image);

/* Copies bytes from anywhere to page-aligned guest memory through MEM_LOAD, many pages a call.
 * NULL, or a sentence. */
const char *image_load_bytes(struct vm *vm, u64 gpa, const void *data, u64 size);

#endif
