/* SPDX-License-Identifier: BSD-2-Clause */
/* The memory types that the firmware chose for physical memory (Intel SDM Vol. 3, 12.11).
 *
 * EPT replaces the MTRRs for a guest, so that the root partition keeps its devices' memory
 * uncached only if its EPT leaves say so. Read once, on the boot processor: the root's own writes
 * to MTRRs are ignored.
 */
#ifndef ARCH_X86_MTRR_H
#define ARCH_X86_MTRR_H

#include "kernel/types.h"

enum memory_type {
	MEMORY_UC = 0,
	MEMORY_WC = 1,
	MEMORY_WT = 4,
	MEMORY_WP = 5,
	MEMORY_WB = 6,
};

/* Reads the MTRRs. */
void mtrr_setup(void);

/* The effective type of [start, start + size), size > 0, in `*type` (enum memory_type, as in an EPT
 * leaf). False: it is not the same everywhere in the range; `*type` is then that of its start.
 * Where the manual leaves an overlap undefined: uncached. */
bool mtrr_type(hpa_t start, u64 size, u8 *type);

#endif
