/* SPDX-License-Identifier: BSD-2-Clause */
/* VMRUN and #VMEXIT of a guest with SEV (APM Vol. 2, 15.5, 15.34 to 15.36; checks: table 15-41). */
#include "model/run.h"
#include "arch/x86/smp.h"
#include "kernel/string.h"
#include "mm/window.h"
#include "model/psp.h"
#include "model/rmp.h"
#include "model/sev.h"

/* Fields of the control area that svm/vmcb.h does not name. */
#define VMCB_VMSA	      0x108
#define VMCB_ALLOWED_FEATURES 0x138
#define ALLOWED_CHECK	      BIT(63)

#define SHADOW_GUEST_IF BIT(1) /* 068h: RFLAGS.IF of a guest with encrypted state */
#define EFER_LMA	BIT(10)
#define EFER_SVME	BIT(12)
#define RFLAGS_IF	BIT(9)
#define CR0_PG		BIT(31)
#define CS_L		BIT(9)

#define RSP 4
#define RAX 0

void svm_enter(u64 vmcb_pa, u64 *gprs, u64 host_vmcb_pa); /* svm/entry.S */

static struct vmrun runs[CPU_MAX];
static u64 iopm_pa;
static u32 real_asid;

void run_setup(unsigned cpus)
{
	u8 *iopm = own_alloc(3);

	memset(iopm, 0xff, 3 * PAGE_SIZE);
	iopm_pa = pfn_to_hpa(own_pfn(iopm)).n;
	real_asid = host_asid();
	for (unsigned i = 0; i < cpus; i++) {
		struct vmrun *run = &runs[i];

		run->cpu = i;
		run->vmcb = own_alloc(1);
		run->vmcb_pa = pfn_to_hpa(own_pfn(run->vmcb)).n;
		run->msrpm = own_alloc(2);
	}
}

/* ---- the vCPU's registers, for whoever completes an instruction */

enum step run_exit(struct vmrun *run, u64 code, u64 info1, u64 info2)
{
	run->code = code;
	run->info1 = info1;
	run->info2 = info2;
	return STEP_EXIT;
}

enum step run_exception(struct vmrun *run, unsigned vector, bool has_error, u32 error)
{
	u64 event = EVENT_VALID | EVENT_TYPE_EXC | vector;

	if (has_error)
		event |= EVENT_HAS_ERROR | (u64)error << EVENT_ERROR_SHIFT;
	run->vmcb->control.event = event;
	return STEP_AGAIN;
}

enum step run_page_fault(struct vmrun *run, u64 address, u32 error)
{
	run->vmcb->save.cr2 = address;
	return run_exception(run, VECTOR_PF, true, error);
}

bool run_long_mode(const struct vmrun *run)
{
	const struct vmcb_save *s = &run->vmcb->save;

	return (s->efer & EFER_LMA) != 0 && (s->cs.attributes & CS_L) != 0;
}

unsigned run_cpl(const struct vmrun *run)
{
	return run->vmcb->save.cpl & 3;
}

void run_skip(struct vmrun *run, unsigned length)
{
	struct vmcb_save *s = &run->vmcb->save;

	s->rip += length;
	if (!run_long_mode(run))
		s->rip = (u32)s->rip;
	run->vmcb->control.shadow &= ~SHADOW_STI_SS;
}

u64 *run_register(struct vmrun *run, unsigned n)
{
	if (n == RAX)
		return &run->vmcb->save.rax;
	return n == RSP ? &run->vmcb->save.rsp : &run->gpr[n];
}

/* ---- VMRUN */

static u64 field(const struct vmcb_control *c, unsigned offset)
{
	u64 value;

	memcpy(&value, (const u8 *)c + offset, sizeof(value));
	return value;
}

static bool hypervisor_owned(pfn_t p)
{
	struct rmp_entry entry;

	(void)rmp_get(p, &entry);
	return !entry.assigned;
}

static bool vmsa_page_is_sound(const struct vmrun *run)
{
	struct rmp_entry entry;

	if (!run->view.snp)
		return hypervisor_owned(run->vmsa_page);
	return rmp_enabled() && rmp_get(run->vmsa_page, &entry) && entry.assigned &&
	       entry.asid == run->view.asid && !entry.immutable && entry.vmsa && !entry.large;
}

static const struct cipher_key *key_of(const struct vmrun *run)
{
	static const struct cipher_key none;
	const struct cipher_key *key = cipher_key_of(run->view.asid);

	return key != NULL ? key : &none;
}

/* The VMSA is the guest's: what kind of guest it is, is written there. */
static bool load_vmsa(struct vmrun *run)
{
	u64 pa = field(&run->control, VMCB_VMSA), features;
	u64 allowed = field(&run->control, VMCB_ALLOWED_FEATURES);

	run->vmsa_page = pfn(pa >> PAGE_SHIFT);
	if (pa % PAGE_SIZE != 0 || run->vmsa_page.n >= host_frames())
		return false;
	shadow_raw(run->vmsa_page);
	vmsa_read_again(&run->vmsa_memory, run->vmsa_page, key_of(run), &run->vmsa);
	features = run->vmsa.sev_features;
	run->view.snp = (features & SEV_FEATURE_SNP) != 0;
	run->view.vmpl = run->view.snp ? run->vmsa.vmpl : 0;
	if ((features & ~SEV_FEATURE_SNP) != 0 || run->view.vmpl >= RMP_VMPLS ||
	    ((allowed & ALLOWED_CHECK) != 0 && (features & ~allowed) != 0))
		return false;
	if (!vmsa_page_is_sound(run) || (run->vmsa.efer & EFER_SVME) == 0)
		return false;
	vmsa_to_registers(&run->vmsa, &run->vmcb->save, run->gpr, &run->fpu);
	return true;
}

/* An event that the hypervisor may not inject into a guest with encrypted state (15.35.6). */
static bool event_is_refused(u64 event)
{
	u64 type = event & EVENT_TYPE, vector = event & EVENT_VECTOR;

	return (event & EVENT_VALID) != 0 &&
	       (type == EVENT_TYPE_SOFT ||
		(type == EVENT_TYPE_EXC && (vector == 3 || vector == 4)));
}

static void controls_build(struct vmrun *run)
{
	struct vmcb_control *to = &run->vmcb->control;
	const struct vmcb_control *from = &run->control;

	*to = *from;
	memset((u8 *)to + offsetof(struct vmcb_control, reserved3), 0, sizeof(to->reserved3));
	to->lbr = 0;
	to->avic_bar = 0;
	to->ghcb = 0;
	to->asid = real_asid;
	to->nested = NESTED_PAGING;
	to->exit_event = 0;
	to->next_rip = 0;
	to->shadow = from->shadow & SHADOW_STI_SS;
	to->msrpm = pfn_to_hpa(own_pfn(run->msrpm)).n;
	to->intercepts[0] |= (u32)BIT(ICEPT_MSR);
	to->intercepts[1] |= (u32)BIT(ICEPT_VMRUN % 32);
	to->intercepts[1] &= 0x7fff; /* EFER and CR write traps are ours */
	to->cr_write |= 1;
	if (!run->view.es)
		return;
	to->iopm = iopm_pa;
	to->intercepts[0] |= (u32)(BIT(ICEPT_CPUID) | BIT(ICEPT_IOIO) | BIT(ICEPT_SHUTDOWN));
	to->intercepts[1] |= (u32)BIT(ICEPT_VMMCALL % 32);
	to->exceptions &= ~(u32)BIT(VECTOR_VC);
	to->intercepts[0] &= ~(u32)BIT(ICEPT_IRET);
	if (run->view.snp)
		to->exceptions |= (u32)BIT(VECTOR_UD);
}

/* False: VMEXIT_INVALID. */
static bool begin(struct vmrun *run, u64 vmcb_pa, u64 *gprs)
{
	struct vmcb *client;
	struct vmcb_control *c = &run->control;

	run->client = pfn(vmcb_pa >> PAGE_SHIFT);
	run->client_gpr = gprs;
	run->delivering = false;
	client = window_map(WINDOW_MODEL_VMCB, run->client);
	run->control = client->control;
	run->ghcb = c->ghcb;
	run->view = (struct view){
		.asid = c->asid,
		.es = (c->nested & NESTED_SEV_ES) != 0,
		.ncr3 = c->ncr3,
	};
	run->vmsa_page = PFN_NONE;
	if ((c->nested & NESTED_PAGING) == 0 || (c->nested & NESTED_SEV) == 0 ||
	    !hypervisor_owned(run->client) || !sev_run_allowed(run->cpu, c->asid, run->view.es) ||
	    !model_psp_asid_runs(c->asid))
		return false;
	if (run->view.es) {
		if (event_is_refused(c->event) || !load_vmsa(run))
			return false;
		host_fpu_load(run->cpu, &run->fpu);
	} else {
		run->vmcb->save = client->save;
		memcpy(run->gpr, gprs, sizeof(run->gpr));
	}
	rmp_use(run->cpu, run->client, run->vmsa_page);
	controls_build(run);
	run_msr_map(run);
	if (c->tlb_control == TLB_FLUSH_ALL)
		shadow_flush(run->cpu, 0, 0);
	else if (c->tlb_control != TLB_KEEP)
		shadow_flush(run->cpu, c->asid, c->ncr3);
	return true;
}

static void enter_once(struct vmrun *run, u64 host_vmcb_pa)
{
	struct vmcb_control *c = &run->vmcb->control;

	run->view.unpaged = (run->vmcb->save.cr0 & CR0_PG) == 0;
	run->space = shadow_space(run->cpu, &run->view);
	c->ncr3 = pfn_to_hpa(shadow_root(run->space)).n;
	/* The processor below remembers nothing: spaces are the TLB. */
	c->tlb_control = TLB_FLUSH_ALL;
	c->clean = 0;
	shadow_enter(run->cpu, run->space);
	rmp_unlock();
	/* VMRUN does this, but in Bochs 2.7. */
	host_cr2_write(run->vmcb->save.cr2);
	svm_enter(run->vmcb_pa, run->gpr, host_vmcb_pa);
	shadow_leave(run->cpu);
	rmp_lock();
	/* What was to be injected has been, or is in exit_event. */
	c->event = 0;
}

static void finish(struct vmrun *run, bool ran)
{
	struct vmcb *client = window_map(WINDOW_MODEL_VMCB, run->client);
	const struct vmcb_control *from = &run->vmcb->control;
	struct vmcb_control *to = &client->control;

	to->exit_code = run->code;
	if ((u32)run->code == VMEXIT_INVALID)
		to->exit_code = ~0ul;
	to->exit_info1 = run->info1;
	to->exit_info2 = run->info2;
	if (!ran)
		return;
	to->exit_event = from->exit_event;
	to->interrupt = from->interrupt;
	to->event &= ~EVENT_VALID;
	to->ghcb = run->ghcb;
	to->shadow = from->shadow & SHADOW_STI_SS;
	to->next_rip = from->next_rip;
	if (run->view.es) {
		to->shadow |= (run->vmcb->save.rflags & RFLAGS_IF) != 0 ? SHADOW_GUEST_IF : 0;
		to->next_rip = 0;
		host_fpu_save(run->cpu, &run->fpu);
		vmsa_from_registers(&run->vmsa, &run->vmcb->save, run->gpr, &run->fpu);
		vmsa_write_again(&run->vmsa_memory, run->vmsa_page, key_of(run), &run->vmsa);
	} else {
		client->save = run->vmcb->save;
		memcpy(run->client_gpr, run->gpr, sizeof(run->gpr));
	}
}

/* The instruction that an exit is due to ends where the client, who cannot read the guest's code,
 * is to go on. */
static void next_rip_find(struct vmrun *run)
{
	u32 code = (u32)run->code;

	if (run->view.es || code == VMEXIT_NPF || code < VMEXIT_EXCEPTIONS_END ||
	    code == VMEXIT_INTR || code == VMEXIT_NMI || code == VMEXIT_VINTR ||
	    code == VMEXIT_SMI || code == VMEXIT_INIT || code == VMEXIT_SHUTDOWN)
		return;
	run->vmcb->control.next_rip = run->vmcb->save.rip + run_length(run, 0);
}

void run_vmrun(u64 vmcb_pa, u64 *gprs, u64 host_vmcb_pa)
{
	struct vmrun *run = &runs[cpu_self()];
	enum step step = STEP_AGAIN;
	bool ran;

	rmp_lock();
	ran = begin(run, vmcb_pa, gprs);
	if (!ran)
		step = run_exit(run, VMEXIT_INVALID, 0, 0);
	while (step == STEP_AGAIN) {
		enter_once(run, host_vmcb_pa);
		if ((u32)run->vmcb->control.exit_code == VMEXIT_INVALID) {
			/* What runs is no longer what was loaded (QEMU and Bochs). */
			if (run->view.es)
				host_fpu_save(run->cpu, &run->fpu);
			ran = false;
		}
		step = run_handle(run);
	}
	if (ran)
		next_rip_find(run);
	finish(run, ran);
	rmp_use(run->cpu, PFN_NONE, PFN_NONE);
	rmp_unlock();
}
