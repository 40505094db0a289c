/* SPDX-License-Identifier: BSD-2-Clause */
/* Register state full of patterns, to see whether someone else's comes through. */
#ifndef GUESTS_LIB_REGISTERS_H
#define GUESTS_LIB_REGISTERS_H

#include "guests/lib/types.h"

/* General registers of a guest hold SECRET_SEED * (number + 1) + round; nobody else may see one. */
#define SECRET_SEED 0x5ec2e7a1b3c5d700ul

#define REGISTERS_MSRS 12u

/* Everything that C code here does not use by itself. */
struct registers {
	u8 fx[512];	/* FXSAVE: x87, SSE, MXCSR; 16-byte aligned */
	u8 ymm[16][32]; /* used when `avx` */
	u64 debug[4];	/* DR0..DR3 */
	u64 debug7;
	u64 msr[REGISTERS_MSRS];
	u64 cr2;
	u64 avx;
} __attribute__((aligned(64)));

/* Makes patterns from a seed: legal values for every register. Turns on OSFXSR and, where there is
 * AVX, OSXSAVE and XCR0. */
void registers_fill(struct registers *r, u64 seed);
void registers_load(const struct registers *r);
void registers_store(struct registers *r);
/* 0: equal, else the number of what differs: 1 x87/SSE, 2 AVX, 3..6 DR0..3, 7 DR7, 8 CR2, 16 + n
 * MSR n. */
unsigned registers_compare(const struct registers *a, const struct registers *b);

/* Loads the 15 general registers but RSP with SECRET_SEED-like patterns of `seed`, does one thing,
 * and compares: 0, or the number of a register that has changed (1 RAX, 2 RBX, ...). */
u64 registers_across_out(u64 seed, u64 port);	   /* OUT of AL to `port`: RDX holds the port */
u64 registers_across_touch(u64 seed, u64 address); /* a read at RDX = address, into nothing */

#endif
