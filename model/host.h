/* SPDX-License-Identifier: BSD-2-Clause */
/* What the SNP model does with the processor that it runs on: what host tests replace. */
#ifndef MODEL_HOST_H
#define MODEL_HOST_H

#include "kernel/types.h"
#include "svm/sev_machine.h"

/* Frames of RAM, from 0 to the last one. */
u64 host_frames(void);
unsigned host_physical_bits(void);
/* One that the rest of Septum does not hand out, where the processor keeps translations between
 * entries at all: the highest. */
u32 host_asid(void);

bool host_msr_read(u32 index, u64 *value);
bool host_msr_write(u32 index, u64 value);
struct sev_cpuid host_cpuid(u32 leaf, u32 subleaf);
void host_wbinvd(void);
void host_cr2_write(u64 value);

/* The part of extended state that a VMSA has: an FXSAVE image, the upper halves of YMM0 to YMM15,
 * and XCR0. */
struct host_fpu {
	u8 fx[512];
	u8 ymm[256];
	u64 xcr0;
};
/* Before the first use, at start-up. */
void host_fpu_setup(void);
/* Into the registers of this CPU; what was there is lost. */
void host_fpu_load(unsigned cpu, const struct host_fpu *fpu);
/* Out of them. They are in their initial state afterwards, and XCR0 is what host_fpu_load()
 * found. */
void host_fpu_save(unsigned cpu, struct host_fpu *fpu);

#endif
