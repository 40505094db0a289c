/* SPDX-License-Identifier: BSD-2-Clause */
/* A static position-independent ELF64 program, from Septum's image or from a module in root memory,
 * into root memory. System V ABI, chapters 4 and 5; AMD64 supplement, 4.4. */
#ifndef KERNEL_ELF_H
#define KERNEL_ELF_H

#include "kernel/types.h"

#define ELF_SEGMENTS 8

struct elf_segment {
	u64 offset, file_size; /* in the file */
	u64 address, size;     /* in memory, from the base */
};

struct elf {
	const u8 *bytes; /* in Septum's memory; NULL: at `module` in the root's */
	hpa_t module;
	u64 size; /* of the file */

	/* Set by elf_open(): */
	u64 span; /* bytes from the base that the program occupies */
	u64 entry;
	u64 dynamic, dynamic_size; /* in the file; 0: none */
	unsigned count;
	struct elf_segment segments[ELF_SEGMENTS];
};

/* Both: NULL, or what is wrong with the file. */
const char *elf_open(struct elf *elf);
/* Copies the segments to `base` in root memory, clears what follows them, relocates. */
const char *elf_load(const struct elf *elf, u64 base);

#endif
