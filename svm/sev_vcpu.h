/* SPDX-License-Identifier: BSD-2-Clause */
/* The vCPUs of SEV, SEV-ES and SNP guests.
 *
 * SEV: as any other, but entered through the machine and under the VM's one ASID. SEV-ES and SNP,
 * *sealed* from VM_START on: their registers are in the VMSA, which Septum cannot read. What they
 * ask for they put into a GHCB; of the VMCB's save area nothing has a meaning any more.
 */
#ifndef SVM_SEV_VCPU_H
#define SVM_SEV_VCPU_H

#include "kernel/exits.h"
#include "svm/ghcb.h"
#include "svm/sev.h"
#include "svm/svm.h"

/* What a sealed vCPU is being answered. */
enum ghcb_phase {
	GHCB_NONE,
	GHCB_ASKED,  /* it has left by VMGEXIT, and nobody has looked */
	GHCB_ANSWER, /* what was asked is done, or waits for the manager; then the answer goes out
		      */
};

/* How the answer goes out. */
enum ghcb_kind {
	GHCB_SILENT, /* only: no error */
	GHCB_RAX_ONLY,
	GHCB_RDMSR,
	GHCB_STRING,
	GHCB_MMIO_READ,
	GHCB_PAGES,	/* Page State Change */
	GHCB_MSR_CPUID, /* by the MSR protocol */
	GHCB_MSR_PAGE,
};

struct ghcb {
	u8 phase; /* enum ghcb_phase */
	u8 kind;  /* enum ghcb_kind */
	u8 cpl;
	u8 reg;		/* GHCB_MSR_CPUID: 0 EAX .. 3 EDX */
	bool skipped;	/* what was asked is complete */
	u64 registered; /* gpa, SNP; ~0: none */
	u64 gpa;	/* of the page that this request is in */
	u64 info1, info2, scratch;
	u64 dr7, jump_table; /* as the guest has left them */
	/* GHCB_STRING: elements left, in this chunk, and bytes of the scratch area done. */
	u16 io_left, io_chunk, io_at;
	/* GHCB_PAGES: entries [psc_at, psc_next) are one run that is being done. */
	u16 psc_at, psc_next, psc_end;
	bool psc_running;
	u64 result;
};

struct sev_vcpu {
	bool sealed;
	bool flush;	/* the last entry was refused, and has flushed nothing */
	void *vmsa;	/* as launched; NULL: the guest's own page, or not yet */
	u64 vmsa_gfn;	/* the guest's own page, + 1; 0: none */
	u64 vmsa_epoch; /* of the VM's translations, when it was looked for */
	u64 fault_gpa;	/* RMP faults at the same address in a row */
	u32 fault_count;
	struct ghcb ghcb;
};

static inline bool sealed(const struct vcpu *v)
{
	return v->vendor->sev != NULL && v->vendor->sev->sealed;
}

/* A vCPU of an encrypted guest; `room`: memory for struct sev_vcpu. */
void sev_vcpu_init(struct vcpu *v, void *room);
/* Its registers are in the VMSA at `page` from now on. */
void sev_vcpu_sealed(struct vcpu *v, hpa_t page);
/* vendor_ops.run */
void sev_run(struct vcpu *v);
/* INIT and SIPI, for a vCPU that the guest creates: it begins with the VMSA that it was given. */
void sev_vcpu_reset(struct vcpu *v);
/* A sealed vCPU as far as Septum knows it. */
void sev_state_get(const struct vcpu *v, struct vcpu_state *state);

/* ghcb.c: the answer to what the vCPU has asked for, before it is entered. False: it is not to be
 * entered yet, v->exit says why. */
bool ghcb_answer(struct vcpu *v);
/* The vCPU has left by VMGEXIT. */
void ghcb_asked(struct vcpu *v);
/* What the GHCB MSR says when a vCPU begins: APM Vol. 2, 15.35.8. */
u64 ghcb_msr_reset(void);

/* Reads and writes the guest's shared memory. False: it is not there, or private (SNP); nothing is
 * raised. */
bool ghcb_read(struct vcpu *v, u64 gpa, void *to, unsigned bytes);
bool ghcb_write(struct vcpu *v, u64 gpa, const void *from, unsigned bytes);

/* The parts of ghcb*.c. An answer of `kind` is to come, when what the common code is told now is
 * done. */
struct ghcb_page;
void ghcb_begin(struct vcpu *v, enum ghcb_kind kind);
/* The answer goes out: `info2` and RAX, RBX, RCX, RDX as `registers` says (bits by enum gpr). */
enum after ghcb_done(struct vcpu *v, u64 info2, unsigned registers);
enum after ghcb_malformed(struct vcpu *v, enum ghcb_malformed why);

/* ghcb_psc.c. `room`: bytes from the scratch area's beginning to the end of the buffer, >= 8. */
enum after psc_begin(struct vcpu *v, unsigned room);
enum after psc_continue(struct vcpu *v);

/* ghcb_snp.c */
enum after guest_request(struct vcpu *v, const struct ghcb_page *page);
enum after ap_create(struct vcpu *v, const struct ghcb_page *page);
bool ap_create_possible(const struct vcpu *v);

#endif
