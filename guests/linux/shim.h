/* SPDX-License-Identifier: BSD-2-Clause */
/* The loader shim: the first code of a Linux guest. It makes the guest's private memory its own and
 * enters the kernel by the 64-bit boot protocol.
 *
 * Whoever builds the guest (guests/manager/linux.c) puts the shim, its parameters and everything
 * that it names into the guest's private memory, as part of the launch image. Nothing of it changes
 * with the VM type but the parameters:
 *
 *   SW_PROTECTED  accept = SHIM_ACCEPT_NONE
 *   SEV, SEV-ES   the same; cr3 and the tables it names have the C-bit
 *   SNP           cr3 and tables with the C-bit, accept = SHIM_ACCEPT_PVALIDATE, and ranges: all
 *                 private memory that is not of the launch image
 *   TDX           accept = SHIM_ACCEPT_TDX, ranges alike; private is what has no SHARED bit, so the
 *                 tables have no bit
 *
 * Two entries: SHIM_ENTRY32 in 32-bit protected mode, flat, paging off (as VCPU_CREATE leaves a
 * vCPU, and as a TD starts), and SHIM_ENTRY64 in long mode with a CR3 that maps the first 4 GiB at
 * their own address. Neither uses a register. Only bits that it needs are added to CR0, CR4 and
 * EFER.
 *
 * A range that cannot be accepted, or that was accepted before (somebody else chose what is behind
 * it), ends the guest: by the termination request of the GHCB's MSR protocol (GHCB specification
 * 2.0, 2.3.1) or by TDG.VP.VMCALL<ReportFatalError> (GHCI 1.5, 3.4), with the number of the range.
 */
#ifndef GUESTS_LINUX_SHIM_H
#define GUESTS_LINUX_SHIM_H

/* Addresses in the guest, all below 1 MiB: Linux neither uses this memory nor refuses to map it. */
#define SHIM_PARAMS	 0x1000 /* struct shim_params, one page */
#define SHIM_CODE	 0x2000 /* one page */
#define SHIM_ENTRY32	 SHIM_CODE
#define SHIM_ENTRY64	 (SHIM_CODE + 0x80)
#define SHIM_TABLES	 0x10000 /* PML4, PDPT, 4 PDs */
#define SHIM_TABLE_PAGES 6

#define SHIM_ACCEPT_NONE      0
#define SHIM_ACCEPT_PVALIDATE 1
#define SHIM_ACCEPT_TDX	      2

#define SHIM_RANGES 128

/* Offsets in struct shim_params, for shim.S. */
#define SHIM_OFFSET_CR3	   0
#define SHIM_OFFSET_ENTRY  8
#define SHIM_OFFSET_BOOT   16
#define SHIM_OFFSET_ACCEPT 24
#define SHIM_OFFSET_COUNT  28
#define SHIM_OFFSET_RANGES 64

/* What it asks for when it gives up: GHCB reason set and code. */
#define SHIM_REASON_SET	   5
#define SHIM_REASON_ACCEPT 1

#ifndef __ASSEMBLER__
#include "guests/lib/types.h"

struct shim_range {
	u64 start, end; /* page-aligned */
};

struct shim_params {
	u64 cr3;    /* SHIM_TABLES, with the bits that cr3 must have */
	u64 entry;  /* 64-bit entry of the kernel */
	u64 boot;   /* RSI there: boot_params */
	u32 accept; /* SHIM_ACCEPT_* */
	u32 count;
	u64 reserved[4];
	struct shim_range ranges[SHIM_RANGES];
};
_Static_assert(sizeof(struct shim_params) <= PAGE_SIZE, "one page");
_Static_assert(offsetof(struct shim_params, cr3) == SHIM_OFFSET_CR3, "shim.S");
_Static_assert(offsetof(struct shim_params, entry) == SHIM_OFFSET_ENTRY, "shim.S");
_Static_assert(offsetof(struct shim_params, boot) == SHIM_OFFSET_BOOT, "shim.S");
_Static_assert(offsetof(struct shim_params, accept) == SHIM_OFFSET_ACCEPT, "shim.S");
_Static_assert(offsetof(struct shim_params, count) == SHIM_OFFSET_COUNT, "shim.S");
_Static_assert(offsetof(struct shim_params, ranges) == SHIM_OFFSET_RANGES, "shim.S");
#endif

#endif
