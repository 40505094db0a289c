/* SPDX-License-Identifier: BSD-2-Clause */
/* Registers in the VMCB, as the rest of Septum reads and writes them. */
#include "arch/x86/io.h"
#include "mm/memory.h"
#include "svm/sev_vcpu.h"
#include "svm/svm.h"

#define CR0_NE BIT(5)

#define PAT_RESET      0x0007040600070406ul
#define DR6_RESET      0xffff0ff0ul
#define DR7_RESET      0x400ul
#define DEBUGCTL_KNOWN 0x3ful /* LBR, BTF, PB3..0 */

#define MSR_SYSENTER_CS	   0x174
#define MSR_SYSENTER_ESP   0x175
#define MSR_SYSENTER_EIP   0x176
#define MSR_DEBUGCTL	   0x1d9
#define MSR_PAT		   0x277
#define MSR_STAR	   0xc0000081
#define MSR_LSTAR	   0xc0000082
#define MSR_CSTAR	   0xc0000083
#define MSR_FMASK	   0xc0000084
#define MSR_FS_BASE	   0xc0000100
#define MSR_GS_BASE	   0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102

/* VMX access rights: 7:0 as in the VMCB, 15:12 are its 11:8, 16 is unusable (not present here). */
#define ACCESS_PRESENT	BIT(7)
#define ACCESS_UNUSABLE BIT(16)

static struct vmcb_segment *segment(struct vmcb *vmcb, unsigned n)
{
	struct vmcb_save *s = &vmcb->save;
	struct vmcb_segment *const segments[SEG_COUNT] = {
		[SEG_ES] = &s->es, [SEG_CS] = &s->cs, [SEG_SS] = &s->ss,     [SEG_DS] = &s->ds,
		[SEG_FS] = &s->fs, [SEG_GS] = &s->gs, [SEG_LDTR] = &s->ldtr, [SEG_TR] = &s->tr,
	};

	return segments[n];
}

static u16 attributes_of(u32 access)
{
	if ((access & ACCESS_UNUSABLE) != 0)
		return (u16)(access & 0x7f);
	return (u16)((access & 0xff) | (access >> 4 & 0xf00));
}

static u32 access_of(u16 attributes)
{
	u32 access = (attributes & 0xffu) | (attributes & 0xf00u) << 4;

	return (access & ACCESS_PRESENT) != 0 ? access : access | (u32)ACCESS_UNUSABLE;
}

/* The guest's own translations (not the nested ones) changed by our hand: flush before entry. */
static void translations_stale(struct vendor_vcpu *s)
{
	s->epoch = 0;
}

static void efer_set(struct vmcb *vmcb, u64 efer)
{
	efer &= ~(EFER_LMA | EFER_SVME);
	if ((efer & EFER_LME) != 0 && (vmcb->save.cr0 & CR0_PG) != 0)
		efer |= EFER_LMA;
	vmcb->save.efer = efer | EFER_SVME; /* VMRUN wants it (15.5.1); the guest never sees it */
	vmcb_changed(vmcb, CLEAN_CR);
}

/* The state that SEPTUM_CALL_VCPU_CREATE promises. */
void svm_state_init(struct vcpu *v)
{
	static const struct segment_state code = {8, ~0u, 0xc09b, 0};
	static const struct segment_state data = {16, ~0u, 0xc093, 0};
	struct vcpu_state state = {
		.rflags = RFLAGS_FIXED,
		.cr0 = CR0_PE | CR0_ET | CR0_NE,
		.seg = {[SEG_ES] = data,
			[SEG_CS] = code,
			[SEG_SS] = data,
			[SEG_DS] = data,
			[SEG_FS] = data,
			[SEG_GS] = data,
			[SEG_LDTR] = {.access = (u32)ACCESS_UNUSABLE},
			[SEG_TR] = {.limit = 0x67, .access = 0x8b}},
	};
	struct vmcb_save *save = &v->vendor->vmcb->save;

	svm_state_set(v, &state);
	save->pat = PAT_RESET;
	save->dr6 = DR6_RESET;
	save->dr7 = DR7_RESET;
}

u64 svm_rip_get(const struct vcpu *v)
{
	return v->vendor->vmcb->save.rip;
}

void svm_rip_set(struct vcpu *v, u64 rip)
{
	v->vendor->vmcb->save.rip = rip;
}

static void skip_plain(struct vcpu *v, unsigned length)
{
	struct vmcb *vmcb = v->vendor->vmcb;
	u64 rip = vmcb->save.rip + length;

	vmcb->save.rip = svm_long_mode(vmcb) ? rip : (u32)rip;
	vmcb->control.shadow &= ~SHADOW_STI_SS;
	if ((vmcb->save.rflags & RFLAGS_TF) != 0 && v->vendor->nmi != NMI_STEP &&
	    v->event.kind == EVENT_NONE) {
		vmcb->save.dr6 |= DR6_BS;
		vmcb_changed(vmcb, CLEAN_DR);
		v->event = (struct vcpu_event){.kind = EVENT_EXCEPTION, .vector = VECTOR_DB};
	}
}

void svm_skip(struct vcpu *v, unsigned length)
{
	struct vmcb *vmcb = v->vendor->vmcb;

	if (sealed(v)) {
		/* The processor has done it; what it was about is complete now. */
		v->vendor->sev->ghcb.skipped = true;
		vmcb->control.shadow &= ~SHADOW_STI_SS;
		return;
	}
	skip_plain(v, length);
}

u64 svm_rsp_get(const struct vcpu *v)
{
	return v->vendor->vmcb->save.rsp;
}

void svm_rsp_set(struct vcpu *v, u64 rsp)
{
	v->vendor->vmcb->save.rsp = rsp;
}

u64 svm_rflags_get(const struct vcpu *v)
{
	if (sealed(v))
		return (v->vendor->vmcb->control.shadow & SHADOW_GUEST_IF) != 0 ? RFLAGS_IF : 0;
	return v->vendor->vmcb->save.rflags;
}

void svm_rflags_set(struct vcpu *v, u64 rflags)
{
	v->vendor->vmcb->save.rflags = rflags | RFLAGS_FIXED;
}

unsigned svm_cpl_get(const struct vcpu *v)
{
	return sealed(v) ? v->vendor->sev->ghcb.cpl : v->vendor->vmcb->save.cpl;
}

bool svm_long_mode_get(const struct vcpu *v)
{
	return sealed(v) || svm_long_mode(v->vendor->vmcb);
}

void svm_state_get(const struct vcpu *v, struct vcpu_state *state)
{
	struct vmcb *vmcb = v->vendor->vmcb;
	const struct vmcb_save *s = &vmcb->save;

	if (sealed(v)) {
		sev_state_get(v, state);
		return;
	}
	*state = (struct vcpu_state){
		.rip = s->rip,
		.rsp = s->rsp,
		.rflags = s->rflags,
		.cr0 = s->cr0,
		.cr2 = s->cr2,
		.cr3 = s->cr3,
		.cr4 = s->cr4,
		.efer = s->efer & ~EFER_SVME,
		.gdtr_base = s->gdtr.base,
		.idtr_base = s->idtr.base,
		.gdtr_limit = s->gdtr.limit,
		.idtr_limit = s->idtr.limit,
		.cpl = s->cpl,
	};
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		const struct vmcb_segment *seg = segment(vmcb, i);

		state->seg[i] = (struct segment_state){
			.selector = seg->selector,
			.limit = seg->limit,
			.access = access_of(seg->attributes),
			.base = seg->base,
		};
	}
	/* SYSRET leaves SS.DPL as it was; the CPL is what counts (and what state_set takes from
	 * there). */
	state->seg[SEG_SS].access = (state->seg[SEG_SS].access & ~0x60u) | (u32)s->cpl << 5;
}

void svm_state_set(struct vcpu *v, const struct vcpu_state *state)
{
	struct vmcb *vmcb = v->vendor->vmcb;
	struct vmcb_save *s = &vmcb->save;

	if (sealed(v))
		return;
	s->rip = state->rip;
	s->rsp = state->rsp;
	s->rflags = state->rflags | RFLAGS_FIXED;
	s->cr0 = state->cr0;
	if (s->cr2 != state->cr2) {
		s->cr2 = state->cr2;
		write_cr2(s->cr2); /* see svm_load() */
	}
	s->cr3 = state->cr3;
	s->cr4 = state->cr4;
	efer_set(vmcb, state->efer);
	s->gdtr.base = state->gdtr_base;
	s->gdtr.limit = state->gdtr_limit;
	s->idtr.base = state->idtr_base;
	s->idtr.limit = state->idtr_limit;
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		*segment(vmcb, i) = (struct vmcb_segment){
			.selector = state->seg[i].selector,
			.attributes = attributes_of(state->seg[i].access),
			.limit = state->seg[i].limit,
			.base = state->seg[i].base,
		};
	}
	s->cpl = (u8)(state->seg[SEG_SS].access >> 5 & 3);
	if ((state->cr0 & CR0_PE) == 0)
		s->cpl = 0;
	else if ((state->rflags & RFLAGS_VM) != 0)
		s->cpl = 3;
	vmcb_changed(vmcb, CLEAN_ALL);
	translations_stale(v->vendor);
}

/* No write to a control register is intercepted: a guest's are its own (CR0, CR3, CR4 are in the
 * VMCB, CR8 is V_TPR), so that there is never one to decide about. */
bool svm_control_write(struct vcpu *v, unsigned cr, u64 value)
{
	(void)v;
	(void)cr;
	(void)value;
	return false;
}

static bool bit(u32 word, unsigned n)
{
	return (word >> n & 1) != 0;
}

static u64 efer_allowed(void)
{
	struct cpuid extended = cpuid(0x80000001, 0);
	u64 bits = EFER_SCE | EFER_LME | EFER_LMA;

	bits |= bit(extended.edx, 20) ? EFER_NXE : 0;
	bits |= bit(extended.edx, 25) ? EFER_FFXSR : 0;
	bits |= bit(extended.ecx, 17) ? EFER_TCE : 0;
	if (cpuid(0x80000000, 0).eax >= 0x80000021 && bit(cpuid(0x80000021, 0).eax, 8))
		bits |= EFER_AUTO_IBRS;
	return bits;
}

static bool efer_write(struct vcpu *v, u64 value)
{
	struct vmcb *vmcb = v->vendor->vmcb;
	u64 old = vmcb->save.efer;

	if ((value & ~efer_allowed()) != 0)
		return false;
	if (((value ^ old) & EFER_LME) != 0 && (vmcb->save.cr0 & CR0_PG) != 0)
		return false;
	efer_set(vmcb, value);
	if (((value ^ old) & EFER_NXE) != 0)
		translations_stale(v->vendor);
	return true;
}

static bool pat_write(struct vmcb *vmcb, u64 value)
{
	for (unsigned i = 0; i < 64; i += 8) {
		u64 type = value >> i & 0xff;

		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	vmcb->save.pat = value;
	vmcb_changed(vmcb, CLEAN_NESTED);
	return true;
}

/* Those that the VMCB merely stores. */
static u64 *plain_msr(struct vmcb *vmcb, u32 index, bool *canonical)
{
	struct vmcb_save *s = &vmcb->save;

	*canonical = true;
	switch (index) {
	case MSR_FS_BASE:
		return &s->fs.base;
	case MSR_GS_BASE:
		return &s->gs.base;
	case MSR_KERNEL_GS_BASE:
		return &s->kernel_gs_base;
	case MSR_LSTAR:
		return &s->lstar;
	case MSR_CSTAR:
		return &s->cstar;
	case MSR_SYSENTER_ESP:
		return &s->sysenter_esp;
	case MSR_SYSENTER_EIP:
		return &s->sysenter_eip;
	default:
		break;
	}
	*canonical = false;
	switch (index) {
	case MSR_STAR:
		return &s->star;
	case MSR_FMASK:
		return &s->fmask;
	case MSR_SYSENTER_CS:
		return &s->sysenter_cs;
	default:
		return NULL;
	}
}

static bool is_canonical(u64 address)
{
	return (u64)((s64)(address << 16) >> 16) == address;
}

bool svm_msr_get(const struct vcpu *v, u32 index, u64 *value)
{
	struct vmcb *vmcb = v->vendor->vmcb;
	bool canonical;
	const u64 *place = plain_msr(vmcb, index, &canonical);

	if (place != NULL) {
		*value = *place;
		return true;
	}
	switch (index) {
	case MSR_EFER:
		*value = vmcb->save.efer & ~EFER_SVME;
		return true;
	case MSR_PAT:
		*value = vmcb->save.pat;
		return true;
	case MSR_DEBUGCTL: /* in the processor, see arch/x86/world.c */
		return rdmsr_safe(MSR_DEBUGCTL, value);
	default:
		return false;
	}
}

bool svm_msr_set(struct vcpu *v, u32 index, u64 value)
{
	struct vmcb *vmcb = v->vendor->vmcb;
	bool canonical;
	u64 *place = plain_msr(vmcb, index, &canonical);

	if (place != NULL) {
		if (canonical && !is_canonical(value))
			return false;
		*place = value;
		return true;
	}
	switch (index) {
	case MSR_EFER:
		return efer_write(v, value);
	case MSR_PAT:
		return pat_write(vmcb, value);
	case MSR_DEBUGCTL:
		return (value & ~DEBUGCTL_KNOWN) == 0 &&
		       world_msr_write(&v->world, MSR_DEBUGCTL, value);
	default:
		return false;
	}
}

void svm_tsc_offset_set(struct vcpu *v, u64 offset)
{
	v->vendor->vmcb->control.tsc_offset = offset;
	vmcb_changed(v->vendor->vmcb, CLEAN_INTERCEPTS);
}

u8 svm_tpr_get(const struct vcpu *v)
{
	return (u8)((v->vendor->vmcb->control.interrupt & V_TPR) << 4);
}

void svm_tpr_set(struct vcpu *v, u8 tpr)
{
	struct vmcb *vmcb = v->vendor->vmcb;

	vmcb->control.interrupt = (vmcb->control.interrupt & ~V_TPR) | tpr >> 4;
	vmcb_changed(vmcb, CLEAN_TPR);
}

void svm_reset(struct vcpu *v)
{
	struct vmcb *vmcb = v->vendor->vmcb;

	svm_event_reset(v);
	if (sealed(v)) {
		sev_vcpu_reset(v);
		return;
	}
	vmcb->save.dr6 = DR6_RESET;
	vmcb->save.dr7 = DR7_RESET;
	vmcb_changed(vmcb, CLEAN_DR);
}
