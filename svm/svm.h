/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of svm/ share. The rest of Septum sees kernel/vendor.h only. */
#ifndef SVM_SVM_H
#define SVM_SVM_H

#include "kernel/vcpu.h"
#include "mm/tlb.h"
#include "svm/vmcb.h"

#define MSR_EFER	0xc0000080
#define EFER_SCE	BIT(0)
#define EFER_LME	BIT(8)
#define EFER_LMA	BIT(10)
#define EFER_NXE	BIT(11)
#define EFER_SVME	BIT(12)
#define EFER_FFXSR	BIT(14)
#define EFER_TCE	BIT(15)
#define EFER_AUTO_IBRS	BIT(21)
#define CR0_PE		BIT(0)
#define CR0_ET		BIT(4)
#define CR0_PG		BIT(31)
#define INSTRUCTION_MAX 15u /* bytes */
#define RFLAGS_FIXED	BIT(1)
#define RFLAGS_TF	BIT(8)
#define RFLAGS_IF	BIT(9)
#define RFLAGS_VM	BIT(17)
#define DR6_BS		BIT(14)

/* An NMI is being handled by the vCPU, so the next one waits. SVM without virtual NMIs does not
 * track this (15.21.9): the IRET is intercepted, and the handler has ended when the vCPU is found
 * at another RIP afterwards. Should an NMI wait at that IRET, it is stepped over. */
enum nmi_state { NMI_FREE, NMI_BLOCKED, NMI_IRET, NMI_STEP };

struct sev_vcpu; /* svm/sev_vcpu.h */

/* In the first page of the vCPU. */
struct vendor_vcpu {
	struct sev_vcpu *sev; /* of an encrypted guest, in the same page; or NULL */
	struct vmcb *vmcb;    /* the second page */
	u64 vmcb_pa;
	struct tlb *tlb;
	u64 epoch;	/* of `tlb` at this vCPU's last flush */
	u64 generation; /* of the ASID; 0: none yet */
	u32 cpu;	/* where it ran last */
	u8 nmi;		/* enum nmi_state */
	u8 window;	/* V_IRQ and the VINTR intercept are on, with this priority; 0: off */
	bool step_tf;	/* NMI_STEP: the guest had set TF itself */
	u64 iret_rip;	/* NMI_IRET, NMI_STEP */
	u64 entry_rip;	/* at the last entry */
};

/* What SVM has on this machine (CPUID 80000008h, 8000000Ah); written once. */
struct svm_features {
	u32 asids; /* 0 (the host's) up to asids - 1 */
	bool next_rip, flush_by_asid, decode_assists;
	bool invlpgb, rdpru, mcommit;
	bool tpr_equal; /* found out: a virtual interrupt of the TPR's own class gets through */
};
extern struct svm_features svm_features;
/* ASIDs below are keys of encrypted guests. */
extern u32 svm_asid_first;

/* Enters the guest; svm/entry.S. */
void svm_enter(u64 vmcb_pa, u64 *gprs, u64 host_vmcb_pa);
/* The same for a guest to whom nothing is to be delivered: lets svm_hot() look at each exit and
 * returns with the first that it leaves. */
void svm_enter_hot(u64 vmcb_pa, struct vcpu *v, u64 host_vmcb_pa, struct vmcb *vmcb);
/* svm/hot.c: true: the exit has been answered, enter again. GIF is clear and FS, GS, TR and the
 * syscall MSRs are the guest's: no this_cpu(), no lock, nothing that can fault. */
bool svm_hot(struct vcpu *v);

static inline void vmcb_changed(struct vmcb *vmcb, u64 clean)
{
	vmcb->control.clean &= (u32)~clean;
}

static inline void intercept_set(struct vmcb *vmcb, enum intercept n, bool on)
{
	u32 bit = (u32)BIT(n % 32u);
	u32 *word = &vmcb->control.intercepts[n / 32u];

	*word = on ? *word | bit : *word & ~bit;
	vmcb_changed(vmcb, CLEAN_INTERCEPTS);
}

static inline bool svm_long_mode(const struct vmcb *vmcb)
{
	return (vmcb->save.efer & EFER_LMA) != 0 && (vmcb->save.cs.attributes & BIT(9)) != 0;
}

static inline void svm_clgi(void)
{
	__asm__ volatile("clgi" : : : "memory");
}

static inline void svm_stgi(void)
{
	__asm__ volatile("stgi" : : : "memory");
}

/* What a CPU needs to enter a guest. */
struct svm_cpu_pages {
	u64 host_vmcb_pa; /* VMSAVE state of Septum */
	void *save_area;  /* what VMRUN keeps of the host */
};
struct svm_cpu_pages svm_cpu_pages(u32 cpu);

/* Accesses to debug registers exit: until the first, see world_debug_use(). */
static inline void svm_debug_intercept(struct vmcb *vmcb, bool on)
{
	vmcb->control.dr_read = vmcb->control.dr_write = on ? 0xffff : 0;
	vmcb_changed(vmcb, CLEAN_INTERCEPTS);
}

/* svm/maps.c: port and MSR permissions. */
void svm_maps_setup(void);
void svm_maps_use(struct vmcb *vmcb, bool root);
/* For a guest with encrypted state: what an intercept of its own registers would do to it, it could
 * not ask for in time. */
void svm_maps_use_sealed(struct vmcb *vmcb);

/* svm/event.c: event injection. */
void svm_event_before_entry(struct vcpu *v);
/* An event whose delivery the exit interrupted goes back to v->event. */
void svm_event_after_exit(struct vcpu *v);
/* The vCPU is at its IRET or past it; `stepped`: the exit is the #DB of NMI_STEP, and it is
 * consumed. Called only while s->nmi is not NMI_FREE. */
bool svm_event_nmi_track(struct vcpu *v, u32 exit_code);
#define WINDOW_ANY 16u /* a window that the TPR does not close */
/* An interrupt waits while the guest stands in the shadow of its STI. Where that is before a HLT,
 * as in every idle loop, the HLT is over at once; so it is skipped here, since QEMU 7.2 forgets the
 * shadow at VMRUN, and the interrupt would come before the HLT and not end it. */
void svm_event_in_shadow(struct vcpu *v);
/* INIT: nothing is blocked, nothing waits. */
void svm_event_reset(struct vcpu *v);
void svm_event_window_done(struct vendor_vcpu *s);

/* svm/exit.c: bytes of the instruction that exited, `usual` without prefixes; 0: not known. */
u8 svm_length(const struct vmcb *vmcb, u8 usual);
/* Fills v->exit from the VMCB. */
void svm_exit_decode(struct vcpu *v);

/* svm/state.c: the operations on registers. */
void svm_state_init(struct vcpu *v);
u64 svm_rip_get(const struct vcpu *v);
void svm_rip_set(struct vcpu *v, u64 rip);
void svm_skip(struct vcpu *v, unsigned length);
u64 svm_rsp_get(const struct vcpu *v);
void svm_rsp_set(struct vcpu *v, u64 rsp);
u64 svm_rflags_get(const struct vcpu *v);
void svm_rflags_set(struct vcpu *v, u64 rflags);
unsigned svm_cpl_get(const struct vcpu *v);
bool svm_long_mode_get(const struct vcpu *v);
void svm_state_get(const struct vcpu *v, struct vcpu_state *state);
void svm_state_set(struct vcpu *v, const struct vcpu_state *state);
bool svm_control_write(struct vcpu *v, unsigned cr, u64 value);
bool svm_msr_get(const struct vcpu *v, u32 index, u64 *value);
bool svm_msr_set(struct vcpu *v, u32 index, u64 value);
u8 svm_tpr_get(const struct vcpu *v);
void svm_tpr_set(struct vcpu *v, u8 tpr);
void svm_reset(struct vcpu *v);
void svm_tsc_offset_set(struct vcpu *v, u64 offset);

#endif
