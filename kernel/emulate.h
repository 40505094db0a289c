/* SPDX-License-Identifier: BSD-2-Clause */
/* Instructions in flight: those that wait for the manager's answer before they can complete.
 *
 * A verdict can arrive while another vCPU is loaded. So what a verdict does is only written down in
 * v->pending, and emulate_continue() does it when the vCPU is loaded again, before it is entered.
 * While something is pending the guest does not run: nothing of its registers changes, and an
 * instruction of which not all accesses are done is invisible to it, or begins anew.
 */
#ifndef KERNEL_EMULATE_H
#define KERNEL_EMULATE_H

#include "kernel/exits.h"
#include "kernel/vcpu.h"

enum pending_kind {
	PENDING_NONE,
	/* Waits for COMPLETE. Otherwise (RETRY, a granted explicit request) the instruction runs
	 * again. */
	PENDING_IO_IN,
	PENDING_IO_OUT,
	PENDING_STRING_IN,
	PENDING_STRING_OUT,
	PENDING_MSR_READ,
	PENDING_MSR_WRITE,
	PENDING_CALL, /* explicit request */
	/* Of guests with encrypted registers, whose operands lie in a page: many elements of a
	 * port; device memory. */
	PENDING_BUFFER_IN,
	PENDING_BUFFER_OUT,
	PENDING_BUFFER_MMIO,
	PENDING_HALT,
	/* In the middle of an MMIO instruction; goes on from where it is. */
	PENDING_MMIO,
	/* The data of INS has been read and must reach memory. */
	PENDING_STRING_STORE,
	/* A denied access is to be told to the guest. */
	PENDING_MACHINE_CHECK,
};

/* Begins: `length` bytes of instruction at the current RIP. */
void pending_begin(struct vcpu *v, enum pending_kind kind, unsigned length);

/* `v` is loaded and about to be entered: does what its verdict left to do. RESUME: enter. */
enum after emulate_continue(struct vcpu *v);

/* io.c: the rest of INS and OUTS; mmio.c: the rest of an MMIO instruction. */
enum after string_out_done(struct vcpu *v);
enum after string_store(struct vcpu *v);
enum after mmio_continue(struct vcpu *v);
/* The answer to the read that mmio.c waits for, or the write is done. */
void mmio_answer(struct vcpu *v, u64 value);

/* A vCPU that cannot go on: posts FAILED; `address` is its gpa. */
void vcpu_fail(struct vcpu *v, enum septum_failure failure, u64 address, u64 detail);

/* Triple fault: SHUTDOWN event; the root ends the machine. */
void inject_shutdown(struct vcpu *v);
_Noreturn void root_shutdown(struct vcpu *root);

/* #PF with CR2; `v` is loaded. */
void inject_page_fault(struct vcpu *v, u64 address, u32 error);
static inline void inject_general_protection(struct vcpu *v)
{
	inject_exception(v, VECTOR_GP, true, 0);
}

/* RESUME, unless what was done has stopped the vCPU. */
static inline enum after after_of(const struct vcpu *v)
{
	return v->wait != WAIT_NONE || v->dead ? AFTER_WAIT : AFTER_RESUME;
}

#endif
