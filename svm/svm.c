/* SPDX-License-Identifier: BSD-2-Clause */
/* AMD SVM: turning it on, vCPUs, and the way into a guest and out again (APM Vol. 2, chapter 15).
 */
#include "arch/x86/cpu.h"
#include "arch/x86/io.h"
#include "arch/x86/smp.h"
#include "kernel/exits.h"
#include "kernel/tally.h"
#include "kernel/vendor.h"
#include "kernel/vm.h"
#include "mm/memory.h"
#include "mm/window.h"
#include "svm/sev_vcpu.h"
#include "svm/svm.h"

#define MSR_VM_CR	0xc0010114
#define MSR_VM_HSAVE_PA 0xc0010117
#define VM_CR_R_INIT	BIT(1) /* INIT becomes #SX */
#define VM_CR_LOCK	BIT(3)
#define VM_CR_SVMDIS	BIT(4)
#define CPUID_SVM	0x8000000a

struct svm_features svm_features;
u32 svm_asid_first = 1;

/* Each CPU's own. ASIDs are handed out in order; when they run out, the CPU forgets all
 * translations and a new generation begins (15.16). An ASID thus never returns to a CPU that may
 * still have translations under it. */
static struct svm_cpu {
	u64 generation;
	u32 next_asid;
	u64 host_vmcb_pa; /* VMSAVE state of Septum */
	void *save_area;  /* what VMRUN keeps of the host */
} cpus[CPU_MAX];

struct svm_cpu_pages svm_cpu_pages(u32 cpu)
{
	return (struct svm_cpu_pages){cpus[cpu].host_vmcb_pa, cpus[cpu].save_area};
}

const char *svm_probe(void)
{
	struct cpuid svm;
	u64 vm_cr = 0;

	if (!cpu_features.svm)
		return "This AMD processor does not offer AMD-V (SVM); if it has it, enable SVM "
		       "mode "
		       "in the firmware setup.";
	if (rdmsr_safe(MSR_VM_CR, &vm_cr) && (vm_cr & VM_CR_SVMDIS) != 0 &&
	    (vm_cr & VM_CR_LOCK) != 0)
		return "The firmware has disabled AMD-V (SVM) and locked it; enable SVM mode in "
		       "the "
		       "firmware setup.";
	svm = cpuid(CPUID_SVM, 0);
	if ((svm.edx & BIT(0)) == 0)
		return "This processor has AMD-V (SVM) but not nested paging (NPT, RVI), which "
		       "Septum "
		       "needs; use an AMD processor of 2008 or later, or turn nested paging on in "
		       "the hypervisor below.";
	if (svm.ebx < 3)
		return "This processor offers fewer than two address space identifiers (ASIDs) for "
		       "guests, which Septum needs; turn on more in the hypervisor below.";
	return NULL;
}

static const char *svm_cpu_enable(void)
{
	struct cpu *cpu = this_cpu();
	struct svm_cpu *here = &cpus[cpu->id];
	struct cpuid id = cpuid(CPUID_SVM, 0), eight = cpuid(0x80000008, 0);
	void *host_vmcb;
	u64 vm_cr = 0;

	if (rdmsr_safe(MSR_VM_CR, &vm_cr))
		(void)wrmsr_safe(MSR_VM_CR, (vm_cr & ~VM_CR_SVMDIS) | VM_CR_R_INIT);
	if (!wrmsr_safe(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME))
		return "The processor refuses to turn AMD-V (SVM) on; enable SVM mode in the "
		       "firmware "
		       "setup.";
	if (svm_features.asids == 0) {
		svm_features = (struct svm_features){
			.asids = id.ebx,
			.next_rip = (id.edx & BIT(3)) != 0,
			.flush_by_asid = (id.edx & BIT(6)) != 0,
			.decode_assists = (id.edx & BIT(7)) != 0,
			.invlpgb = (eight.ebx & BIT(3)) != 0,
			.rdpru = (eight.ebx & BIT(4)) != 0,
			.mcommit = (eight.ebx & BIT(8)) != 0,
		};
		svm_maps_setup();
	}
	if (here->save_area == NULL) {
		here->save_area = own_alloc(1);
		host_vmcb = own_alloc(1);
		here->host_vmcb_pa = pfn_to_hpa(own_pfn(host_vmcb)).n;
	}
	wrmsr(MSR_VM_HSAVE_PA, pfn_to_hpa(own_pfn(here->save_area)).n);
	__asm__ volatile("vmsave %0" : : "a"(here->host_vmcb_pa) : "memory");
	/* Nothing is known of what the TLB holds: the first entry of all flushes it. */
	here->generation++;
	here->next_asid = svm_features.asids;
	return NULL;
}

static void svm_cpu_disable(void)
{
	u64 efer = rdmsr(MSR_EFER);

	if ((efer & EFER_SVME) == 0)
		return;
	svm_stgi();
	wrmsr(MSR_EFER, efer & ~EFER_SVME);
}

/* What no vCPU may do by itself. */
static const u8 always[] = {
	ICEPT_SMI,	ICEPT_INIT,   ICEPT_CPUID,   ICEPT_INVD,   ICEPT_INVLPGA, ICEPT_MSR,
	ICEPT_SHUTDOWN, ICEPT_VMRUN,  ICEPT_VMMCALL, ICEPT_VMLOAD, ICEPT_VMSAVE,  ICEPT_STGI,
	ICEPT_CLGI,	ICEPT_SKINIT, ICEPT_XSETBV,  ICEPT_NMI,
};
/* What only the root may. */
static const u8 guest_only[] = {
	ICEPT_INTR, ICEPT_RDPMC,  ICEPT_HLT,	 ICEPT_IOIO,  ICEPT_TASK_SWITCH,
	ICEPT_FERR, ICEPT_WBINVD, ICEPT_MONITOR, ICEPT_MWAIT, ICEPT_MWAIT_ARMED,
};

static void intercepts_init(struct vmcb *vmcb, bool root)
{
	for (unsigned i = 0; i < ARRAY_COUNT(always); i++)
		intercept_set(vmcb, always[i], true);
	/* For the other vendor's VMCALL. */
	vmcb->control.exceptions = (u32)BIT(VECTOR_UD);
	svm_debug_intercept(vmcb, true);
	if (root)
		return;
	for (unsigned i = 0; i < ARRAY_COUNT(guest_only); i++)
		intercept_set(vmcb, guest_only[i], true);
	/* Bits that are reserved on a processor without the instructions. */
	if (svm_features.invlpgb) {
		intercept_set(vmcb, ICEPT_INVLPGB, true);
		intercept_set(vmcb, ICEPT_INVLPGB_ILLEGAL, true);
		intercept_set(vmcb, ICEPT_TLBSYNC, true);
	}
	if (svm_features.mcommit)
		intercept_set(vmcb, ICEPT_MCOMMIT, true);
	if (svm_features.rdpru)
		intercept_set(vmcb, ICEPT_RDPRU, true);
	/* #DB and #AC: see svm/exit.c. */
	vmcb->control.exceptions |= (u32)(BIT(VECTOR_DB) | BIT(17) | BIT(VECTOR_MC));
	vmcb->control.interrupt = V_INTR_MASKING;
}

static void svm_vcpu_init(struct vcpu *v, void *const pages[])
{
	struct vendor_vcpu *s = pages[0];
	struct vmcb *vmcb = pages[1];
	struct nested *nested = v->root ? root_nested() : &v->vm->memory.nested;

	_Static_assert(sizeof(*s) + sizeof(struct sev_vcpu) <= PAGE_SIZE, "one page");
	v->vendor = s;
	*s = (struct vendor_vcpu){
		.vmcb = vmcb,
		.vmcb_pa = pfn_to_hpa(v->root ? own_pfn(vmcb) : object_pfn(vmcb)).n,
		.tlb = v->root ? root_tlb() : &v->vm->memory.tlb,
	};
	intercepts_init(vmcb, v->root);
	svm_maps_use(vmcb, v->root);
	vmcb->control.nested = NESTED_PAGING;
	vmcb->control.ncr3 = pfn_to_hpa(nested->root).n;
	svm_state_init(v);
	if (!v->root && v->vm->sealed != NULL)
		sev_vcpu_init(v, s + 1);
}

static void svm_vcpu_destroy(struct vcpu *v)
{
	/* The VMCB is memory like any other between two VMRUNs: nothing to write back. */
	sev_vmsa_end(v);
	v->vendor = NULL;
}

static void svm_unload(struct vcpu *v)
{
	/* svm_load() sees that it comes to another CPU. */
	(void)v;
}

static void svm_load(struct vcpu *v)
{
	struct vendor_vcpu *s = v->vendor;
	u32 cpu = this_cpu()->id;

	/* The VMLOAD set is switched by each entry. Another CPU's memory of the VMCB and of the
	 * ASID is worth nothing here. */
	if (s->cpu != cpu) {
		s->cpu = cpu;
		s->generation = 0;
		s->vmcb->control.clean = 0;
	}
	/* VMRUN does this, but in Bochs 2.7. */
	write_cr2(s->vmcb->save.cr2);
}

/* Some translation of this vCPU is stale, or its ASID is of an old generation. */
static void asid_renew(struct vendor_vcpu *s, struct svm_cpu *here, u64 epoch)
{
	struct vmcb_control *c = &s->vmcb->control;

	s->epoch = epoch;
	if (s->generation == here->generation && svm_features.flush_by_asid) {
		c->tlb_control = TLB_FLUSH_ASID;
		tally(TALLY_FLUSH_ASID);
		return;
	}
	if (here->next_asid >= svm_features.asids) {
		here->generation++;
		here->next_asid = svm_asid_first;
		c->tlb_control = TLB_FLUSH_ALL;
		tally(TALLY_FLUSH_ALL);
	} else {
		tally(TALLY_NEW_ASID);
	}
	s->generation = here->generation;
	c->asid = here->next_asid++;
	vmcb_changed(s->vmcb, CLEAN_ASID);
}

/* The processor has not entered the guest, and so not flushed either. */
static void entry_refused(struct vendor_vcpu *s, struct svm_cpu *here)
{
	struct vmcb *vmcb = s->vmcb;

	/* RIP and RAX may now be the host's (QEMU and Bochs do that). */
	vmcb->save.rip = s->entry_rip;
	vmcb->control.clean = 0;
	vmcb->control.event = 0;
	if (vmcb->control.tlb_control == TLB_FLUSH_ALL)
		here->next_asid = svm_features.asids;
	vmcb->control.tlb_control = TLB_KEEP;
	s->epoch = 0;
}

static void svm_run(struct vcpu *v)
{
	struct vendor_vcpu *s = v->vendor;
	struct vmcb *vmcb = s->vmcb;
	struct cpu *cpu = this_cpu();
	struct svm_cpu *here = &cpus[cpu->id];
	bool hot = !v->root && s->nmi == NMI_FREE;
	u64 epoch;

	if (__builtin_expect(s->sev != NULL, 0)) {
		sev_run(v);
		return;
	}
	if (v->interrupt >= 0 && (vmcb->control.shadow & SHADOW_STI_SS) != 0 && !v->root)
		svm_event_in_shadow(v);
	svm_clgi();
	if (nmi_or_kick(cpu)) {
		/* It came while Septum ran, and is to be dealt with before anything else. One that
		 * comes from here on makes VMRUN exit. */
		svm_stgi();
		kick_take();
		v->exit.reason = EXIT_NMI;
		return;
	}
	if (v->event.kind != EVENT_NONE || v->nmi_pending || v->interrupt >= 0 || s->window != 0) {
		svm_event_before_entry(v);
		hot = false;
	}
	/* What it says is true of the CPU; each vCPU has an ASID and so an epoch of its own. */
	(void)tlb_enter(s->tlb, cpu->id);
	epoch = s->tlb->seen[cpu->id];
	if (s->epoch != epoch || s->generation != here->generation)
		asid_renew(s, here, epoch);
	vmcb->save.rax = v->gpr[RAX];
	s->entry_rip = vmcb->save.rip;
	/* With the global flag clear nothing comes in before VMRUN; the flag that VMRUN finds lets
	 * an interrupt out of a guest that has its own clear (15.21.1). */
	__asm__ volatile("sti" : : : "memory");
	tally(v->root ? TALLY_ROOT_ENTRIES : TALLY_GUEST_ENTRIES);
	tally(TALLY_VMLOAD);
	tally(TALLY_VMLOAD);
	tally(TALLY_VMSAVE);
	if (hot)
		svm_enter_hot(s->vmcb_pa, v, here->host_vmcb_pa, vmcb);
	else
		svm_enter(s->vmcb_pa, v->gpr, here->host_vmcb_pa);
	__asm__ volatile("cli" : : : "memory");
	tlb_leave(cpu->id);
	svm_stgi();
	if ((u32)vmcb->control.exit_code == VMEXIT_INVALID) {
		entry_refused(s, here);
		svm_exit_decode(v);
		return;
	}
	vmcb->control.tlb_control = TLB_KEEP;
	vmcb->control.clean = CLEAN_ALL;
	v->gpr[RAX] = vmcb->save.rax;
	if ((vmcb->control.exit_event & EVENT_VALID) != 0)
		svm_event_after_exit(v);
	if (s->nmi != NMI_FREE && svm_event_nmi_track(v, (u32)vmcb->control.exit_code)) {
		v->exit.reason = EXIT_WINDOW;
		v->exit.code = vmcb->control.exit_code;
		return;
	}
	/* The handler has run by now, and who is told of the exit looks at everything again. */
	if (vmcb->control.exit_code == VMEXIT_NMI)
		kick_take();
	svm_exit_decode(v);
}

/* SVM has no halted state to enter with: the HLT is executed once more, without its intercept. */
static bool svm_idle(struct vcpu *v, unsigned length)
{
	struct vmcb *vmcb = v->vendor->vmcb;
	u64 behind = vmcb->save.rip, at = behind - length;

	if (sealed(v)) {
		/* Its RIP is nobody's to set back: this CPU waits in Septum, a moment at a time. */
		cpu_pause();
		v->exit.reason = EXIT_WINDOW;
		return true;
	}
	if (!svm_long_mode(vmcb))
		at = (u32)at;
	vmcb->save.rip = at;
	intercept_set(vmcb, ICEPT_HLT, false);
	svm_run(v);
	intercept_set(vmcb, ICEPT_HLT, true);
	if (vmcb->save.rip == at)
		vmcb->save.rip = behind;
	vmcb->control.shadow &= ~SHADOW_STI_SS;
	return vmcb->save.rip == behind;
}

const struct vendor_ops svm_ops = {
	.name = "SVM",
	.number = 2,
	.format = &nested_format_npt,
	.vcpu_pages = 2,
	.cpu_enable = svm_cpu_enable,
	.machine_start = sev_start,
	.sealed = &sev_ops,
	.cpu_disable = svm_cpu_disable,
	.vcpu_init = svm_vcpu_init,
	.vcpu_destroy = svm_vcpu_destroy,
	.load = svm_load,
	.unload = svm_unload,
	.run = svm_run,
	.rip_get = svm_rip_get,
	.rip_set = svm_rip_set,
	.skip = svm_skip,
	.rsp_get = svm_rsp_get,
	.rsp_set = svm_rsp_set,
	.rflags_get = svm_rflags_get,
	.rflags_set = svm_rflags_set,
	.cpl_get = svm_cpl_get,
	.long_mode = svm_long_mode_get,
	.state_get = svm_state_get,
	.state_set = svm_state_set,
	.control_write = svm_control_write,
	.msr_get = svm_msr_get,
	.msr_set = svm_msr_set,
	.tsc_offset_set = svm_tsc_offset_set,
	.tpr_get = svm_tpr_get,
	.tpr_set = svm_tpr_set,
	.reset = svm_reset,
	.idle = svm_idle,
};
