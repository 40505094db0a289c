/* SPDX-License-Identifier: BSD-2-Clause */
/* Entry and exit of vCPUs of encrypted guests (APM Vol. 2, 15.34.2, 15.35.3 ff., 15.36.9). */
#include "svm/sev_vcpu.h"
#include "arch/x86/cpu.h"
#include "arch/x86/io.h"
#include "arch/x86/smp.h"
#include "arch/x86/world.h"
#include "kernel/emulate.h"
#include "kernel/exits.h"
#include "kernel/string.h"
#include "mm/window.h"
#include "svm/vmsa.h"

#define MSR_XSS	     0xda0u
#define CR0_RUNNING  0x80000011ul      /* PG ET PE */
#define CR4_KNOWN    (BIT(5) | BIT(6)) /* PAE, MCE */
#define EFER_RUNNING (EFER_LME | EFER_LMA)

/* Equal RMP faults that nothing can be done about, after which a vCPU is cut off: the processor may
 * report one while another CPU is at the entry. */
#define RMP_FAULTS_MAX 1000u

/* VMRUN keeps little of the host, and #VMEXIT loads more than that: it must lie behind the first
 * 400h bytes of the save area as in a VMSA (APM Vol. 2, 15.35.9 and table B-5). */
#define HOST_AREA 0x400u

static const u8 sealed_intercepts[] = {
	ICEPT_INTR,   ICEPT_NMI,     ICEPT_SMI,	    ICEPT_INIT,	  ICEPT_RDPMC,	     ICEPT_CPUID,
	ICEPT_INVD,   ICEPT_HLT,     ICEPT_INVLPGA, ICEPT_IOIO,	  ICEPT_MSR,	     ICEPT_SHUTDOWN,
	ICEPT_VMRUN,  ICEPT_VMMCALL, ICEPT_VMLOAD,  ICEPT_VMSAVE, ICEPT_STGI,	     ICEPT_CLGI,
	ICEPT_SKINIT, ICEPT_WBINVD,  ICEPT_MONITOR, ICEPT_MWAIT,  ICEPT_MWAIT_ARMED,
};

void sev_vcpu_init(struct vcpu *v, void *room)
{
	struct vmcb *vmcb = v->vendor->vmcb;
	struct sev_vcpu *s = room;

	*s = (struct sev_vcpu){.ghcb = {.registered = ~0ul, .dr7 = 0x400}};
	v->sealed_xcr0 = 1;
	v->vendor->sev = s;
	vmcb->control.nested |= NESTED_SEV;
	vmcb->control.asid = sev_guest(v->vm)->asid;
	/* Instructions cannot be read to see whether they are the other vendor's. */
	vmcb->control.exceptions &= (u32)~BIT(VECTOR_UD);
}

void sev_vcpu_sealed(struct vcpu *v, hpa_t page)
{
	struct vmcb *vmcb = v->vendor->vmcb;
	struct vmcb_control *c = &vmcb->control;

	memset(c->intercepts, 0, sizeof(c->intercepts));
	for (unsigned i = 0; i < ARRAY_COUNT(sealed_intercepts); i++)
		intercept_set(vmcb, sealed_intercepts[i], true);
	c->exceptions = (u32)BIT(VECTOR_MC);
	/* Such an exit would be a #VC of the guest's. */
	svm_debug_intercept(vmcb, false);
	v->world.debug_used = true;
	c->nested |= NESTED_SEV | NESTED_SEV_ES;
	c->lbr |= LBR_VIRTUAL;
	c->vmsa = page.n;
	c->ghcb = ghcb_msr_reset();
	c->clean = 0;
	svm_maps_use_sealed(vmcb);
	memset(&vmcb->save, 0, sizeof(vmcb->save));
	memset(v->gpr, 0, sizeof(v->gpr));
	v->vendor->sev->sealed = true;
	v->sealed = true;
}

void sev_state_get(const struct vcpu *v, struct vcpu_state *state)
{
	*state = (struct vcpu_state){
		.rflags = (v->vendor->vmcb->control.shadow & SHADOW_GUEST_IF) != 0 ? RFLAGS_IF : 0,
		.cr0 = CR0_RUNNING,
		.cr4 = CR4_KNOWN,
		.efer = EFER_RUNNING,
		.cpl = v->vendor->sev->ghcb.cpl,
		.seg = {[SEG_CS] = {.access = 0xa09b}},
	};
}

/* ---- Exits ---- */

static void fault_decode(struct vcpu *v)
{
	const struct vmcb_control *c = &v->vendor->vmcb->control;
	struct sev_vcpu *s = v->vendor->sev;
	struct exit *exit = &v->exit;
	u64 info = c->exit_info1;

	exit->reason = EXIT_NESTED_FAULT;
	exit->code = info;
	exit->length = 0;
	exit->access = (struct access){
		.raw_gpa = c->exit_info2 & ~BIT(sev_features.cbit),
		.write = (info & NPF_WRITE) != 0,
		.exec = (info & NPF_FETCH) != 0,
		.walk = (info & NPF_WALK) != 0,
		.kind_known = v->vm->type == SEPTUM_SNP,
		.is_private = (info & NPF_ENC) != 0,
		.guard = (info & NPF_RMP) != 0,
		.small = (info & NPF_SIZEM) != 0,
	};
	if (!s->sealed)
		exit->access.user = v->vendor->vmcb->save.cpl == 3 && !exit->access.walk;
	if (!exit->access.guard || exit->access.raw_gpa != s->fault_gpa) {
		s->fault_gpa = exit->access.raw_gpa;
		s->fault_count = 0;
	} else if (++s->fault_count > RMP_FAULTS_MAX) {
		s->fault_count = 0;
		exit->access.hopeless = true;
	}
}

static void sealed_decode(struct vcpu *v)
{
	struct exit *exit = &v->exit;
	u64 code = v->vendor->vmcb->control.exit_code;

	switch ((u32)code) {
	case VMEXIT_VMGEXIT:
		exit->code = code;
		exit->reason = EXIT_GUEST_REQUEST;
		ghcb_asked(v);
		break;
	case VMEXIT_NPF:
		fault_decode(v);
		break;
	case VMEXIT_HLT:
		exit->code = code;
		exit->reason = EXIT_HALT;
		exit->length = 1; /* RIP is behind it already */
		break;
	case VMEXIT_INTR:
	case VMEXIT_NMI:
	case VMEXIT_SMI:
	case VMEXIT_INIT:
	case VMEXIT_VINTR:
	case VMEXIT_MC:
	case VMEXIT_SHUTDOWN:
	case VMEXIT_INVALID:
		svm_exit_decode(v);
		break;
	case VMEXIT_BUSY:
		exit->reason = EXIT_WINDOW;
		break;
	default:
		exit->code = code;
		exit->reason = EXIT_UNKNOWN;
		break;
	}
}

static void exit_decode(struct vcpu *v)
{
	if (v->vendor->sev->sealed)
		sealed_decode(v);
	else if ((u32)v->vendor->vmcb->control.exit_code == VMEXIT_NPF)
		fault_decode(v);
	else
		svm_exit_decode(v);
}

/* ---- Entry ---- */

static void host_area_fill(const struct svm_cpu_pages *pages)
{
	struct vmsa *area = (struct vmsa *)((u8 *)pages->save_area + HOST_AREA);
	u64 xss;

	__asm__ volatile("vmsave %0" : : "a"(pfn_to_hpa(own_pfn(pages->save_area)).n) : "memory");
	area->xcr0 = world_xcr0_loaded();
	if (world_msr(MSR_XSS) && rdmsr_safe(MSR_XSS, &xss))
		area->xss = xss;
}

/* All vCPUs of the VM have one ASID, so a translation of another one may be found. */
static bool must_flush(struct vcpu *v, unsigned cpu)
{
	struct sev_guest *guest = sev_guest(v->vm);
	u8 me = (u8)(v->index + 1);
	bool flush = tlb_enter(v->vendor->tlb, cpu);

	if (v->vendor->sev->flush || guest->ran[cpu] != me)
		flush = true;
	guest->ran[cpu] = me;
	return flush;
}

/* The guest's own page, again: it may have given it away since. */
static bool vmsa_find(struct vcpu *v)
{
	struct sev_vcpu *s = v->vendor->sev;
	u64 epoch = __atomic_load_n(&v->vendor->tlb->epoch, __ATOMIC_SEQ_CST);
	pfn_t p;

	if (s->vmsa_gfn == 0 || s->vmsa_epoch == epoch)
		return true;
	if (memory_private_frame(&v->vm->memory, gfn(s->vmsa_gfn - 1), &p) != OK)
		return false;
	s->vmsa_epoch = epoch;
	if (v->vendor->vmcb->control.vmsa != pfn_to_hpa(p).n) {
		v->vendor->vmcb->control.vmsa = pfn_to_hpa(p).n;
		v->vendor->vmcb->control.clean = 0;
	}
	return true;
}

static void enter(struct vcpu *v, struct svm_cpu_pages pages)
{
	struct vmcb *vmcb = v->vendor->vmcb;

	if (!v->vendor->sev->sealed) {
		vmcb->save.rax = v->gpr[RAX];
		sev_machine->enter(v->vendor->vmcb_pa, v->gpr, pages.host_vmcb_pa);
		v->gpr[RAX] = vmcb->save.rax;
		return;
	}
	if (sev_machine == &sev_hardware)
		host_area_fill(&pages);
	sev_machine->enter(v->vendor->vmcb_pa, NULL, pages.host_vmcb_pa);
}

void sev_run(struct vcpu *v)
{
	struct vendor_vcpu *s = v->vendor;
	struct vmcb *vmcb = s->vmcb;
	struct cpu *cpu = this_cpu();
	struct svm_cpu_pages pages = svm_cpu_pages(cpu->id);
	u64 rip = vmcb->save.rip, rax = v->gpr[RAX];

	if (sev_guest(v->vm)->broken || !vmsa_find(v)) {
		v->exit.reason = EXIT_BROKEN;
		return;
	}
	if (s->sev->sealed && !ghcb_answer(v))
		return;
	svm_clgi();
	if (cpu->nmi_seen || cpu->kicked) {
		svm_stgi();
		kick_take();
		v->exit.reason = EXIT_NMI;
		return;
	}
	svm_event_before_entry(v);
	vmcb->control.tlb_control = must_flush(v, cpu->id) ? TLB_FLUSH_ASID : TLB_KEEP;
	s->sev->flush = false;
	__asm__ volatile("sti" : : : "memory");
	enter(v, pages);
	__asm__ volatile("cli" : : : "memory");
	tlb_leave(cpu->id);
	svm_stgi();
	if ((u32)vmcb->control.exit_code == VMEXIT_INVALID) {
		s->sev->flush = true;
		vmcb->save.rip = rip;
		v->gpr[RAX] = rax;
		vmcb->control.clean = 0;
		vmcb->control.event = 0;
		exit_decode(v);
		return;
	}
	vmcb->control.clean = CLEAN_ALL;
	v->event.kind = EVENT_NONE;
	if ((vmcb->control.exit_event & EVENT_VALID) != 0)
		svm_event_after_exit(v);
	if (s->nmi != NMI_FREE && !s->sev->sealed &&
	    svm_event_nmi_track(v, (u32)vmcb->control.exit_code)) {
		v->exit.reason = EXIT_WINDOW;
		v->exit.code = vmcb->control.exit_code;
		return;
	}
	if (vmcb->control.exit_code == VMEXIT_NMI)
		kick_take();
	exit_decode(v);
}

/* ---- A vCPU that the guest itself creates ---- */

void sev_vcpu_reset(struct vcpu *v)
{
	struct sev_guest *guest = sev_guest(v->vm);
	struct sev_vcpu *s = v->vendor->sev;
	u64 wanted = __atomic_exchange_n(&guest->ap_vmsa[v->index], 0, __ATOMIC_ACQ_REL);

	s->ghcb.phase = GHCB_NONE;
	if (wanted == 0)
		return;
	sev_vmsa_end(v);
	/* Whether the page is a VMSA the processor looks at each entry. */
	s->vmsa_gfn = (wanted >> PAGE_SHIFT) + 1;
	s->vmsa_epoch = 0;
	v->vendor->vmcb->control.ghcb = ghcb_msr_reset();
	v->vendor->vmcb->control.clean = 0;
	s->ghcb.registered = ~0ul;
}
