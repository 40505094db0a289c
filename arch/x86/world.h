/* SPDX-License-Identifier: BSD-2-Clause */
/* The register state that neither VMRUN/VMX transitions nor Septum itself change, and that must
 * therefore be switched by hand whenever another vCPU gets this CPU: extended state (XSAVE), XCR0,
 * XSS, PKRU, debug registers, CR2 (VMX), TSC_AUX, SPEC_CTRL, and on VMX the syscall MSRs.
 *
 * Septum's own code uses none of it (general registers only), so it costs nothing at an exit that
 * returns to the same vCPU; it is switched eagerly, never by CR0.TS. Between trust domains an IBPB
 * is issued where the processor has one.
 */
#ifndef ARCH_X86_WORLD_H
#define ARCH_X86_WORLD_H

#include "kernel/types.h"

#define WORLD_MSR_MAX 16u

struct world {
	u8 *xsave;	/* 64-byte aligned area, zero at first: the initial state */
	u64 components; /* that the area has room for and that are saved */
	u64 xcr0, xss;
	u64 dr[4], dr6;		/* DR7 is the VMCB's or VMCS's */
	bool debug_used;	/* else they are as at reset, and the vCPU's access to them exits */
	u64 cr2;		/* used by VMX only */
	u32 msr_set;		/* a bit for each of those that world_msr_write() has written */
	u64 msr[WORLD_MSR_MAX]; /* by index into world.c's list of those that this CPU has */
};

/* What the CPU has; once, on the boot CPU, before any vCPU is made: it also turns FXSAVE and XSAVE
 * on in CR0 and CR4, and those become the host state of VMCBs and VMCSs. `syscall_msrs`: also
 * switch CR2, DR6, STAR, LSTAR, CSTAR, FMASK and KERNEL_GS_BASE by hand (VMX). */
void world_setup(bool syscall_msrs);
/* The same for CR0, CR4, XCR0 and XSS of another CPU. */
void world_cpu_enable(void);

/* Pages that an XSAVE area needs here: for a guest (limited to x87, SSE, AVX, AVX-512, PKRU) and
 * for the root (all that the processor can have). */
unsigned world_xsave_pages_guest(void);
unsigned world_xsave_pages_root(void);

/* The reset state of a vCPU; `xsave` is zeroed and contiguous, and has the pages that a guest's or
 * the root's area needs. */
void world_init(struct world *world, void *xsave, bool root);

/* Saves the CPU's registers into `from` and loads those of `to`. `from` is what was loaded last. */
void world_switch(struct world *from, struct world *to);

/* DR0 to DR3, and DR6 where it is switched here, of the vCPU that is loaded: as after INIT. */
void world_debug_reset(void);

/* The vCPU that is loaded reads or writes debug registers, or something is written into its DR6:
 * from now on they are switched. The vendor lets it at them, and not before: those of another vCPU
 * may be in the processor. */
void world_debug_use(struct world *world);

/* WRMSR for the vCPU that is loaded. False: #GP. */
bool world_msr_write(struct world *world, u32 msr, u64 value);
/* This MSR is switched by what was last written, so a vCPU's writes must go through
 * world_msr_write(). It may read by itself. */
bool world_msr_stored(u32 msr);

/* This MSR is one of those that are switched here, so that a vCPU may have it to itself. */
bool world_msr(u32 msr);

/* XCR0 bits that may be set: by a guest, by the root. */
u64 world_xcr0_guest(void);
u64 world_xcr0_root(void);
/* XCR0 of the vCPU that is loaded, as it is in the processor: QEMU 7.2 does not exit for a guest's
 * XSETBV under SVM, so world.xcr0 may be older. */
u64 world_xcr0_loaded(void);
/* Executes XSETBV(0) for the vCPU that is loaded. False: the processor would raise #GP (reserved
 * combinations, bits outside of `allowed`); nothing has changed. */
bool world_xsetbv(struct world *world, u64 value, u64 allowed);

#endif
