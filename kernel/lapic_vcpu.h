/* SPDX-License-Identifier: BSD-2-Clause */
/* The local APIC of a vCPU at work (VMs with SEPTUM_VM_APIC): its registers are in kernel/lapic.h;
 * here are its accesses, its messages to the other vCPUs of the VM, what it lets through to the
 * processor, HLT, INIT and SIPI, and its timer.
 *
 * What comes from elsewhere (another vCPU, the manager) is put into `posted`, `startup` or
 * nmi_pending of the target by whoever sends it, then `news` is set, then the target's CPU is
 * kicked; it takes all of it before its next entry. So a message reaches a vCPU wherever it is, and
 * nobody touches another's registers. An INIT waits while the vCPU waits for a verdict.
 */
#ifndef KERNEL_LAPIC_VCPU_H
#define KERNEL_LAPIC_VCPU_H

#include "kernel/exits.h"
#include "kernel/vcpu.h"

/* A new vCPU of a VM with APICs: vCPU 0 is the bootstrap processor, every other waits for a SIPI.
 */
void lapic_create(struct vcpu *v);

/* This MSR is the APIC's. */
static inline bool lapic_owns_msr(u32 msr)
{
	return msr - MSR_X2APIC_FIRST <= MSR_X2APIC_LAST - MSR_X2APIC_FIRST ||
	       msr == MSR_TSC_DEADLINE || msr == MSR_APIC_BASE;
}
/* False: #GP. `v` is loaded; messages are sent. */
bool lapic_read_msr(struct vcpu *v, u32 msr, u64 *value);
bool lapic_write_msr(struct vcpu *v, u32 msr, u64 value);
/* The same for an access to guest-physical memory where nothing stands. False: it is not the
 * APIC's page. At most 8 bytes, within one page. */
bool lapic_page(struct vcpu *v, u64 gpa, void *bytes, unsigned count, bool write);

/* lapic_write_hot(), for the entry stub of SVM: touches nothing of this CPU's. */
bool lapic_hot(struct vcpu *v, u32 msr, u64 value, u32 tpr, bool open, int *vector);

/* From any CPU: a vector, 16..255; an NMI. */
void lapic_post(struct vcpu *to, u8 vector);
void lapic_post_nmi(struct vcpu *to);
/* INIT, and a SIPI, or not: by another way than the APIC's registers. */
void lapic_start(struct vcpu *to);
void lapic_stop(struct vcpu *to);

/* Before each entry of a vCPU that has an APIC or whose turn ends: takes what has come, lets the
 * timer expire, chooses v->interrupt, and arms this CPU's timer. `v` is loaded and has nothing
 * pending. RESUME: enter. WAIT: it halts, or waits for a SIPI. TIME: TSC `until` has come. */
enum after lapic_enter(struct vcpu *v, u64 until);

/* It halts, and may go on. */
bool lapic_wakes(const struct vcpu *v);
/* When it wakes up by itself, or NEVER. */
static inline u64 lapic_alarm(const struct vcpu *v)
{
	return v->halt_if ? v->lapic.due : NEVER;
}
/* This CPU's timer is to interrupt at `at`, or NEVER, while `v` is in guest mode. */
void lapic_arm(struct vcpu *v, u64 at);

#endif
