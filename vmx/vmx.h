/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside vmx/: what its files share.
 *
 * A vCPU's VMCS is reached only while it is this CPU's current one. Every operation makes it so
 * with vmcs_select(), which costs a compare when it already is.
 */
#ifndef VMX_VMX_H
#define VMX_VMX_H

#include "arch/x86/cpu.h"
#include "kernel/tally.h"
#include "kernel/types.h"
#include "kernel/vcpu.h"
#include "mm/tlb.h"
#include "vmx/vmcs.h"

#define MSR_SYSENTER_CS	   0x174
#define MSR_SYSENTER_ESP   0x175
#define MSR_SYSENTER_EIP   0x176
#define MSR_DEBUGCTL	   0x1d9
#define MSR_PAT		   0x277
#define MSR_EFER	   0xc0000080
#define MSR_STAR	   0xc0000081
#define MSR_LSTAR	   0xc0000082
#define MSR_CSTAR	   0xc0000083
#define MSR_FMASK	   0xc0000084
#define MSR_FS_BASE	   0xc0000100
#define MSR_GS_BASE	   0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102

#define DR7_RESET 0x400ul

#define CR0_PE BIT(0)
#define CR0_ET BIT(4)
#define CR0_NE BIT(5)
#define CR0_NW BIT(29)
#define CR0_CD BIT(30)
#define CR0_PG BIT(31)

#define CR4_PSE	  BIT(4)
#define CR4_PAE	  BIT(5)
#define CR4_MCE	  BIT(6)
#define CR4_LA57  BIT(12)
#define CR4_VMXE  BIT(13)
#define CR4_PCIDE BIT(17)
#define CR4_SMEP  BIT(20)
#define CR4_PKE	  BIT(22)

#define EFER_SCE BIT(0)
#define EFER_LME BIT(8)
#define EFER_LMA BIT(10)
#define EFER_NXE BIT(11)

#define RFLAGS_TF BIT(8)
#define RFLAGS_IF BIT(9)

/* The guest's copy of these three is in the VMCS; it is read when it is asked for first after an
 * exit and written back before the next entry, if changed. */
enum cached { CACHED_RIP = 1, CACHED_RSP = 2, CACHED_RFLAGS = 4 };

#define CPU_NONE (~0u)

#define APIC_TPR 0x80u /* in apic_page */

struct vendor_vcpu {
	u64 host_rsp; /* what HOST_RSP holds, see entry.S */
	u64 rip, rsp, rflags;
	u8 valid, dirty; /* enum cached */
	bool launched;
	bool refused;	   /* state_set() was given what Septum never lets a guest have */
	bool pdptes_stale; /* PAE paging was turned on by software: load the PDPTEs before entry */
	bool root;
	bool armed;	  /* a window or the TPR threshold is set */
	bool nmi_begun;	  /* an NMI was delivered, and its IRET has not been seen */
	bool preempting;  /* the preemption timer is on */
	u8 tpr_threshold; /* what TPR_THRESHOLD holds */
	u16 vpid;
	u32 cpu;     /* where it ran last, or CPU_NONE */
	u32 pin;     /* what PIN_CONTROLS holds, without the preemption timer */
	u32 primary; /* what PRIMARY_CONTROLS holds */
	u32 entry;   /* what this entry injects: interruption information, or 0 */
	u32 entry_error;
	u32 entry_length;
	u64 eptp;
	struct tlb *tlb;
	hpa_t vmcs;
	u8 *apic_page;		/* virtual APIC page: only the TPR is used */
	u64 cr0_mask, cr4_mask; /* bits that Septum owns */
	u64 cr4_allowed;	/* bits of CR4 that may be 1 in the guest's eyes */
};

/* What this processor's VMX can do, read by vmx_probe(). */
struct vmx_capabilities {
	u64 basic;
	u64 ept_vpid;
	u64 pin, primary, secondary, exit, entry; /* must be 1 in 31:0, may be 1 in 63:32 */
	u64 cr4_fixed1;
	u64 misc;
};
extern struct vmx_capabilities vmx_capabilities;

/* One CPU's part. */
struct vmx_cpu {
	const struct vcpu *current; /* whose VMCS is current; NULL: none */
	const struct vcpu *loaded;  /* given to load() last: its world is in the registers */
	bool on;
	bool nmi_used; /* an NMI has been delivered on this CPU */
};
extern struct vmx_cpu vmx_cpus[CPU_MAX];
static inline struct vmx_cpu *this_vmx_cpu(void)
{
	return &vmx_cpus[this_cpu()->id];
}

/* Names the field or instruction and stops: a VMCS that cannot be read is Septum's own fault. */
_Noreturn void vmx_broken(const char *what, u64 operand);

static inline u64 vmread(u64 field)
{
	u64 value;
	bool failed;

	tally(TALLY_VMREAD);
	__asm__ volatile("vmread %2, %0" : "=r"(value), "=@ccbe"(failed) : "r"(field));
	if (__builtin_expect(failed, 0))
		vmx_broken("VMREAD", field);
	return value;
}

static inline void vmwrite(u64 field, u64 value)
{
	bool failed;

	tally(TALLY_VMWRITE);
	__asm__ volatile("vmwrite %2, %1" : "=@ccbe"(failed) : "r"(field), "r"(value));
	if (__builtin_expect(failed, 0))
		vmx_broken("VMWRITE", field);
}

/* As vmread(), for the report of a failure itself. */
static inline u64 vmread_quiet(u64 field)
{
	u64 value = 0;

	__asm__ volatile("vmread %1, %0" : "+r"(value) : "r"(field) : "cc");
	return value;
}

void vmcs_load(const struct vcpu *v);
static inline void vmcs_select(const struct vcpu *v)
{
	if (__builtin_expect(this_vmx_cpu()->current != v, 0))
		vmcs_load(v);
}

/* The guest's words of the current VMCS. */
static inline u64 guest_rip(struct vendor_vcpu *x)
{
	if ((x->valid & CACHED_RIP) == 0) {
		x->rip = vmread(VMCS_GUEST_RIP);
		x->valid |= CACHED_RIP;
	}
	return x->rip;
}
static inline u64 guest_rsp(struct vendor_vcpu *x)
{
	if ((x->valid & CACHED_RSP) == 0) {
		x->rsp = vmread(VMCS_GUEST_RSP);
		x->valid |= CACHED_RSP;
	}
	return x->rsp;
}
static inline u64 guest_rflags(struct vendor_vcpu *x)
{
	if ((x->valid & CACHED_RFLAGS) == 0) {
		x->rflags = vmread(VMCS_GUEST_RFLAGS);
		x->valid |= CACHED_RFLAGS;
	}
	return x->rflags;
}
static inline u64 guest_cr0(const struct vendor_vcpu *x)
{
	return (vmread(VMCS_GUEST_CR0) & ~x->cr0_mask) | (vmread(VMCS_CR0_SHADOW) & x->cr0_mask);
}
static inline u64 guest_cr4(const struct vendor_vcpu *x)
{
	return (vmread(VMCS_GUEST_CR4) & ~x->cr4_mask) | (vmread(VMCS_CR4_SHADOW) & x->cr4_mask);
}

/* probe.c: a control word with `want` as far as it is allowed, and what must be 1. */
u32 control_word(u64 capability, u32 want);

/* controls.c: fills the current VMCS of a new vCPU, and the host's part of it for this CPU. */
void controls_init(struct vcpu *v);
void controls_host(void);
/* .. once per machine: MSR bitmaps and what else all vCPUs share. */
void controls_setup(void);

/* msr.c */
void msr_bitmaps_setup(void);
hpa_t msr_bitmap(bool root);
bool vmx_msr_get(const struct vcpu *v, u32 index, u64 *value);
bool vmx_msr_set(struct vcpu *v, u32 index, u64 value);

/* state.c */
void vmx_state_get(const struct vcpu *v, struct vcpu_state *state);
void vmx_state_set(struct vcpu *v, const struct vcpu_state *state);
bool vmx_control_write(struct vcpu *v, unsigned cr, u64 value);
bool guest_long_mode(void);
void efer_write(u64 cr0, u64 efer);
/* Loads the PDPTEs that CR3 names. False: they cannot be read, and v->exit says so as a nested
 * fault. */
bool pdptes_load(struct vcpu *v);

/* event.c: before an entry, chooses what to inject and which windows to open; after an exit, puts
 * back what did not get through. */
void event_prepare(struct vcpu *v);
void event_take_back(struct vcpu *v);
void event_recover(struct vcpu *v, u32 vectoring);
/* Gives the guest back a #DB or #AC that only Septum wanted to see. Neither makes a double fault of
 * what it interrupts: a fault comes again by itself, what came from outside is kept pending. */
void event_raise(struct vcpu *v, struct vcpu_event event);
/* NMIs are blocked, as `blocked` (INTERRUPTIBILITY) says, from one that we deliver until an IRET. A
 * block that no NMI began is not the guest's and is ended: Bochs 2.7 carries that of one VMCS over
 * to the next. So it is asked when a vCPU is loaded, too. */
bool nmi_blocked(struct vendor_vcpu *x, u64 blocked);
void guest_nmi_block(struct vendor_vcpu *x, bool blocked);

/* exit.c: fills v->exit from the current VMCS. False: nothing for the common code: enter again. */
bool exit_decode(struct vcpu *v, u32 reason);

/* entry.S */
u64 vmx_enter(u64 *gpr, u64 *host_rsp, u64 launched);
void vmx_nmi_unblock(void);
extern const char vmx_exit[], vmx_window_start[], vmx_window_end[], vmx_window_abort[];

#endif
