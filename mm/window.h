/* SPDX-License-Identifier: BSD-2-Clause */
/* What Septum can see of physical memory. arch/x86 implements this; host tests have an array of
 * memory instead.
 *
 * Septum maps permanently only its own frames. Any other frame is seen through a window: one 4 KiB
 * mapping of this CPU that holds until the same slot is mapped again. Each slot has one purpose, so
 * that no caller pulls a window from under another; a function that uses one says so.
 *
 * Nested and attribute tables are Septum's own, as long as they are tables: each has its place in
 * the table area, by frame number.
 */
#ifndef MM_WINDOW_H
#define MM_WINDOW_H

#include "kernel/types.h"

enum window_slot {
	WINDOW_ZERO,	  /* zeroing a frame */
	WINDOW_COPY_FROM, /* copying between frames */
	WINDOW_COPY_TO,
	WINDOW_GUEST, /* guest memory read or written for the guest: page walks, instructions */
	WINDOW_AUDIT,
	WINDOW_AUDIT_TABLE, /* the audit walks with slots of its own, WINDOW_AUDIT_TABLE + level */
	WINDOW_AUDIT_TABLE4 = WINDOW_AUDIT_TABLE + 4,
	WINDOW_FIRMWARE,  /* ACPI tables, boot information */
	WINDOW_SEV,	  /* the SEV client: a VMSA or GHCB page, */
	WINDOW_SEV_DATA,  /* .. and what a command or a request reads or writes */
	WINDOW_MODEL_RMP, /* the SNP model's processor: its RMP, */
	WINDOW_MODEL_VMSA,
	WINDOW_MODEL_VMCB,
	WINDOW_MODEL_DATA,   /* .. guest memory, */
	WINDOW_MODEL_DATA2,  /* .. and contents being transformed, */
	WINDOW_MODEL_SHADOW, /* .. the table that the CPU walks, by level, */
	WINDOW_MODEL_SHADOW4 = WINDOW_MODEL_SHADOW + 4,
	WINDOW_MODEL_NESTED, /* .. and the client's nested table, by level */
	WINDOW_MODEL_NESTED4 = WINDOW_MODEL_NESTED + 4,
	WINDOW_PSP_COMMAND, /* the model's PSP: command buffer, */
	WINDOW_PSP_DATA,    /* .. page or structure that it names, */
	WINDOW_PSP_CONTEXT, /* .. guest context */
	WINDOW_PSP_OUT,
	WINDOW_COUNT = 64,
};

/* This CPU's address of frame `pfn`, through `slot`. Never fails: the caller names a frame that
 * exists. Mapping the frame that the slot already shows costs a compare. */
void *window_map(enum window_slot slot, pfn_t pfn);

/* Zeroes frames [first, first + count), count > 0, of one 2 MiB block: a whole block through one
 * large mapping that is gone afterwards, others through WINDOW_ZERO. */
void frames_zero(pfn_t first, u64 count);

/* The table area: frame 0 would be here. Given by arch/. */
extern u8 *table_area;
/* Makes room in it for frames below `end`; from own_alloc(), once. */
void table_area_setup(pfn_t end);
/* Frame `p` has become a table: mapped (read-write, no-execute) at table_va(). And the end of it;
 * another CPU may remember the mapping, but nothing refers to it any more. */
void table_map(pfn_t p);
void table_unmap(pfn_t p);
static inline u64 *table_va(pfn_t p)
{
	return (u64 *)(table_area + (p.n << PAGE_SHIFT));
}

/* A permanent mapping (read-write, no-execute) of one frame, for VM and vCPU state and rings.
 * NULL: the object area is full (16384 frames). */
void *object_map(pfn_t pfn);
/* Ends it; `va` is what object_map returned. No CPU may still use it. */
void object_unmap(void *va);
/* The frame behind an object mapping. */
pfn_t object_pfn(const void *va);

/* `pages` zeroed frames for Septum for ever, mapped permanently and contiguous in virtual and
 * physical memory. At start-up only; panics with a plain sentence when there is too little RAM. */
void *own_alloc(u64 pages);
pfn_t own_pfn(const void *va);

#endif
