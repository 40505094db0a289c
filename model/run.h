/* SPDX-License-Identifier: BSD-2-Clause */
/* A vCPU on a CPU, from the client's VMRUN to the #VMEXIT that the client sees: in between, the
 * model enters the guest by svm_enter() as often as it must.
 *
 * What runs is a VMCB of the model's own, one per CPU. The guest's registers come from its VMSA and
 * go back there, or, without encrypted state, from the client's VMCB. Everything here is called
 * under rmp_lock(), on the CPU in question.
 */
#ifndef MODEL_RUN_H
#define MODEL_RUN_H

#include "kernel/types.h"
#include "model/shadow.h"
#include "model/vmsa.h"
#include "svm/vmcb.h"

#define NESTED_SEV    BIT(1) /* VMCB 090h */
#define NESTED_SEV_ES BIT(2)

#define VMEXIT_CR0_WRITE      0x10u
#define VMEXIT_EXCEPTIONS     0x40u
#define VMEXIT_EXCEPTIONS_END 0x60u
#define VMEXIT_EFER_TRAP      0x8fu
#define VMEXIT_PAUSE	      0x77u
#define VMEXIT_VMGEXIT	      0x403u

#define VECTOR_NP 11u
#define VECTOR_GP 13u
#define VECTOR_PF 14u
#define VECTOR_UD 6u
#define VECTOR_VC 29u

#define REG_COUNT 16u

struct vmrun {
	struct vmcb *vmcb; /* the model's own, which runs */
	u64 vmcb_pa;
	u8 *msrpm;    /* the client's and what the model needs; two pages */
	u64 msrpm_of; /* the VMCB (frame) whose map it is */

	/* The client's. */
	pfn_t client, vmsa_page;
	u64 *client_gpr;
	struct vmcb_control control;

	struct space *space;
	u64 ghcb; /* MSR C0010130h */
	/* What the client will find. */
	u64 code, info1, info2;

	u64 gpr[REG_COUNT]; /* but RAX and RSP, which are vmcb->save's */
	struct host_fpu fpu;
	struct vmsa vmsa;
	struct vmsa_memory vmsa_memory;
	struct view view;
	unsigned cpu;
	bool delivering; /* a #VC, whose frame may fault */
};

/* What is to be done after something has been dealt with. */
enum step {
	STEP_AGAIN, /* enter the guest */
	STEP_EXIT,  /* #VMEXIT to the client, as run->code and so on say */
};

enum step run_exit(struct vmrun *run, u64 code, u64 info1, u64 info2);
/* Injects an exception at the next entry. */
enum step run_exception(struct vmrun *run, unsigned vector, bool has_error, u32 error);
enum step run_page_fault(struct vmrun *run, u64 address, u32 error);
/* RIP += length; the interrupt shadow ends. */
void run_skip(struct vmrun *run, unsigned length);
u64 *run_register(struct vmrun *run, unsigned n);
bool run_long_mode(const struct vmrun *run);
unsigned run_cpl(const struct vmrun *run);

/* model/exits.c: what to do about the #VMEXIT that the processor has reported. */
enum step run_handle(struct vmrun *run);

/* model/vc.c: #VC with this error code, at the instruction at RIP: the frame is pushed here, since
 * QEMU pushes no error code for vector 29. */
enum step run_vc(struct vmrun *run, u32 code);

/* model/guest.c: guest-linear memory as the processor reaches it, fetches included. False: *step
 * says what comes of the fault. Accesses of at most a page. `flags`: WALK_* of guest_walk.h. */
bool run_read(struct vmrun *run, u64 gva, void *to, unsigned bytes, unsigned flags,
	      enum step *step);
bool run_write(struct vmrun *run, u64 gva, const void *from, unsigned bytes, unsigned flags,
	       enum step *step);
/* Guest-physical address, with the C-bit, of a linear one. */
bool run_translate(struct vmrun *run, u64 gva, unsigned flags, u64 *raw_gpa, enum step *step);
/* The consequence of what shadow_access() or shadow_look() has refused. */
enum step run_nested_fault(struct vmrun *run, enum shadow_result result, u64 error, u64 raw_gpa,
			   u64 gva);
/* The bytes at RIP, as many as can be read up to `bytes`. */
unsigned run_fetch(struct vmrun *run, u8 *to, unsigned bytes);
/* Length of the instruction at RIP: the processor's word for it, or decoded, or `usual`. */
unsigned run_length(struct vmrun *run, unsigned usual);
/* A linear address that the instruction at RIP may have used to reach `raw_gpa`; if none can be
 * found, the guest-physical address. */
u64 run_find_gva(struct vmrun *run, u64 raw_gpa, unsigned access);

/* model/insn.c: PVALIDATE, RMPADJUST or RMPQUERY at RIP. False: it is none of these. */
bool run_rmp_instruction(struct vmrun *run, enum step *step);

/* model/msr.c */
void run_msr_map(struct vmrun *run);
enum step run_msr(struct vmrun *run);

/* model/control.c: a write to CR0. */
enum step run_cr0(struct vmrun *run);

#endif
