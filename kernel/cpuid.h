/* SPDX-License-Identifier: BSD-2-Clause */
/* CPUID: what a vCPU is told about its processor. */
#ifndef KERNEL_CPUID_H
#define KERNEL_CPUID_H

#include "kernel/vcpu.h"

/* Reads the processor once and makes the guests' table from it; after world_setup(). */
void cpuid_setup(void);

/* The features as a guest is told them: is `bit` of word `reg` (0 EAX .. 3 EDX) of the leaf set? */
bool cpuid_guest_has(u32 leaf, unsigned reg, unsigned bit);

/* The XCR0 bits that a guest may set: those of features that it is told of. */
u64 cpuid_guest_xcr0(void);

/* What `v` is told in EAX to EDX. */
void cpuid_look(const struct vcpu *v, u32 leaf, u32 subleaf, u32 out[4]);

/* Guests have XSAVEC. */
bool cpuid_compact_xsave(void);

/* Width of a physical address, SHARED bit included. */
unsigned cpuid_physical_bits(const struct vcpu *v);

/* What every guest sees in this leaf, EAX to EDX, if that depends on neither vCPU nor subleaf; else
 * NULL: see cpuid_answer(). */
const u32 *cpuid_plain(u32 leaf);

#endif
