/* SPDX-License-Identifier: BSD-2-Clause */
/* VMX: the vendor operations (kernel/vendor.h) and the entry itself. */
#include "arch/x86/cpu.h"
#include "arch/x86/io.h"
#include "arch/x86/smp.h"
#include "kernel/exits.h"
#include "kernel/panic.h"
#include "kernel/vendor.h"
#include "kernel/vm.h"
#include "vmx/invalidate.h"
#include "vmx/ops.h"
#include "vmx/vmx.h"

enum vcpu_page { PAGE_STATE, PAGE_VMCS, PAGE_APIC, PAGES };

_Static_assert(sizeof(struct vendor_vcpu) <= PAGE_SIZE, "one page");

/* What an entry that never reached the processor is reported as: invalid guest state. */
#define REFUSED (REASON_ENTRY_FAILED | 33u)

void vmx_broken(const char *what, u64 operand)
{
	panic("%s fails, operand %lx, error %lu", what, operand,
	      vmread_quiet(VMCS_INSTRUCTION_ERROR));
}

static void vmclear(hpa_t vmcs)
{
	bool failed;

	__asm__ volatile("vmclear %1" : "=@ccbe"(failed) : "m"(vmcs.n) : "memory");
	if (failed)
		vmx_broken("VMCLEAR", vmcs.n);
}

void vmcs_load(const struct vcpu *v)
{
	struct vmx_cpu *cpu = this_vmx_cpu();
	struct vendor_vcpu *x = v->vendor;
	bool failed;

	tally(TALLY_VMPTRLD);
	__asm__ volatile("vmptrld %1" : "=@ccbe"(failed) : "m"(x->vmcs.n) : "memory");
	if (failed)
		vmx_broken("VMPTRLD", x->vmcs.n);
	cpu->current = v;
	if (x->cpu == this_cpu()->id)
		return;
	/* Another processor may still have parts of it: vmx_unload() there comes first. */
	ASSERT(x->cpu == CPU_NONE);
	x->cpu = this_cpu()->id;
	controls_host();
	invvpid_single(x->vpid);
}

static void vmx_vcpu_init(struct vcpu *v, void *const pages[])
{
	struct vendor_vcpu *x = pages[PAGE_STATE];

	v->vendor = x;
	x->root = v->root;
	x->cpu = CPU_NONE;
	/* 0 is Septum's own. */
	x->vpid = (u16)(1 + v->vm->id * SEPTUM_MAX_VCPUS + v->index);
	x->tlb = v->root ? root_tlb() : &v->vm->memory.tlb;
	x->eptp = pfn_to_hpa(v->root ? root_nested()->root : v->vm->memory.nested.root).n |
		  EPTP_WALK_4 | EPTP_WRITE_BACK;
	x->vmcs = pfn_to_hpa(v->root ? own_pfn(pages[PAGE_VMCS]) : object_pfn(pages[PAGE_VMCS]));
	x->apic_page = pages[PAGE_APIC];
	*(u32 *)pages[PAGE_VMCS] = (u32)(vmx_capabilities.basic & BASIC_REVISION);
	vmclear(x->vmcs);
	vmcs_load(v);
	controls_init(v);
}

static void vmx_vcpu_destroy(struct vcpu *v)
{
	struct vmx_cpu *cpu = this_vmx_cpu();

	/* Else the processor could still write into the page. */
	vmclear(v->vendor->vmcs);
	if (cpu->current == v)
		cpu->current = NULL;
	if (cpu->loaded == v)
		cpu->loaded = NULL;
}

static void vmx_load(struct vcpu *v)
{
	struct vmx_cpu *cpu = this_vmx_cpu();

	cpu->loaded = v;
	vmcs_select(v);
	if (cpu->nmi_used)
		nmi_blocked(v->vendor, vmread(VMCS_GUEST_INTERRUPTIBILITY));
}

static void write_back(struct vendor_vcpu *x);

static void vmx_unload(struct vcpu *v)
{
	struct vmx_cpu *cpu = this_vmx_cpu();
	struct vendor_vcpu *x = v->vendor;

	if (x->cpu == CPU_NONE)
		return;
	vmcs_select(v);
	write_back(x);
	vmclear(x->vmcs);
	x->cpu = CPU_NONE;
	x->launched = false;
	cpu->current = NULL;
	if (cpu->loaded == v)
		cpu->loaded = NULL;
}

static void write_back(struct vendor_vcpu *x)
{
	if (x->dirty == 0)
		return;
	if ((x->dirty & CACHED_RIP) != 0)
		vmwrite(VMCS_GUEST_RIP, x->rip);
	if ((x->dirty & CACHED_RSP) != 0)
		vmwrite(VMCS_GUEST_RSP, x->rsp);
	if ((x->dirty & CACHED_RFLAGS) != 0)
		vmwrite(VMCS_GUEST_RFLAGS, x->rflags);
	x->dirty = 0;
}

static void invalid(struct vcpu *v, u64 code)
{
	v->exit.reason = EXIT_INVALID;
	v->exit.length = 0;
	v->exit.code = code;
}

/* The timer counts down once whenever this bit of the TSC changes (SDM Vol. 3, appendix A.6). */
#define PREEMPTION_SHIFT (vmx_capabilities.misc & 31)

static void preemption_prepare(struct vcpu *v)
{
	struct vendor_vcpu *x = v->vendor;
	bool wanted = v->preempt_at != NEVER;
	u64 now, left;

	if (wanted != x->preempting) {
		x->preempting = wanted;
		vmwrite(VMCS_PIN_CONTROLS, wanted ? x->pin | PIN_PREEMPTION : x->pin);
	}
	if (!wanted)
		return;
	now = rdtsc();
	left = v->preempt_at > now ? v->preempt_at - now : 0;
	left = (left + BIT(PREEMPTION_SHIFT) - 1) >> PREEMPTION_SHIFT;
	vmwrite(VMCS_PREEMPTION_TIMER, MIN(left, 0xfffffffful));
}

/* One entry. True: v->exit is filled in; false: enter again. */
static bool enter(struct vcpu *v)
{
	struct vendor_vcpu *x = v->vendor;
	u64 failed;
	u32 reason;

	if (__builtin_expect(x->refused || x->pdptes_stale, 0)) {
		if (x->refused) {
			invalid(v, REFUSED);
			return true;
		}
		if (!pdptes_load(v))
			return true;
	}
	x->entry = 0;
	if (v->event.kind != EVENT_NONE || v->nmi_pending || v->interrupt >= 0 || x->armed)
		event_prepare(v);
	if (v->preempt_at != NEVER || x->preempting)
		preemption_prepare(v);
	if (tlb_enter(x->tlb, this_cpu()->id)) {
		invept_single(x->eptp);
		count(v, SEPTUM_COUNTER_FLUSHES);
	}
	write_back(x);
	tally(x->root ? TALLY_ROOT_ENTRIES : TALLY_GUEST_ENTRIES);
	failed = vmx_enter(v->gpr, &x->host_rsp, x->launched);
	tlb_leave(this_cpu()->id);
	if (__builtin_expect(failed != 0, 0)) {
		u64 error = failed == 1 ? vmread_quiet(VMCS_INSTRUCTION_ERROR) : 0;

		event_take_back(v);
		if (failed == 1) {
			invalid(v, error);
			return true;
		}
		kick_take();
		v->exit.reason = EXIT_NMI;
		v->exit.length = 0;
		v->exit.code = 0;
		return true;
	}
	x->valid = 0;
	reason = (u32)vmread(VMCS_EXIT_REASON);
	if (__builtin_expect((reason & REASON_ENTRY_FAILED) != 0, 0)) {
		event_take_back(v);
		invalid(v, reason | vmread(VMCS_QUALIFICATION) << 32);
		return true;
	}
	x->launched = true;
	return exit_decode(v, reason & REASON_BASIC);
}

static void vmx_run(struct vcpu *v)
{
	vmcs_select(v);
	while (!enter(v))
		;
}

static u64 vmx_rip_get(const struct vcpu *v)
{
	vmcs_select(v);
	return guest_rip(v->vendor);
}

static void vmx_rip_set(struct vcpu *v, u64 rip)
{
	v->vendor->rip = rip;
	v->vendor->valid |= CACHED_RIP;
	v->vendor->dirty |= CACHED_RIP;
}

static u64 vmx_rsp_get(const struct vcpu *v)
{
	vmcs_select(v);
	return guest_rsp(v->vendor);
}

static void vmx_rsp_set(struct vcpu *v, u64 rsp)
{
	v->vendor->rsp = rsp;
	v->vendor->valid |= CACHED_RSP;
	v->vendor->dirty |= CACHED_RSP;
}

static u64 vmx_rflags_get(const struct vcpu *v)
{
	vmcs_select(v);
	return guest_rflags(v->vendor);
}

static void vmx_rflags_set(struct vcpu *v, u64 rflags)
{
	v->vendor->rflags = rflags;
	v->vendor->valid |= CACHED_RFLAGS;
	v->vendor->dirty |= CACHED_RFLAGS;
}

static void vmx_skip(struct vcpu *v, unsigned length)
{
	struct vendor_vcpu *x = v->vendor;
	u64 rip, next, blocked;

	vmcs_select(v);
	rip = guest_rip(x);
	next = rip + length;
	/* Only where bit 32 changes can the mode matter. */
	if (__builtin_expect((rip ^ next) >> 32 != 0, 0) && !guest_long_mode())
		next = (u32)next;
	vmx_rip_set(v, next);
	blocked = vmread(VMCS_GUEST_INTERRUPTIBILITY);
	if ((blocked & (BLOCKED_STI | BLOCKED_MOV_SS)) != 0)
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY,
			blocked & ~(u64)(BLOCKED_STI | BLOCKED_MOV_SS));
	/* With BTF set only branches trap, and nothing that is skipped is one. */
	if ((guest_rflags(x) & RFLAGS_TF) != 0 && (vmread(VMCS_GUEST_DEBUGCTL) & BIT(1)) == 0)
		vmwrite(VMCS_GUEST_PENDING_DEBUG,
			vmread(VMCS_GUEST_PENDING_DEBUG) | PENDING_DEBUG_BS);
}

static unsigned vmx_cpl_get(const struct vcpu *v)
{
	vmcs_select(v);
	return (unsigned)(vmread(VMCS_GUEST_ACCESS + 2 * SEG_SS) >> 5 & 3);
}

static bool vmx_long_mode(const struct vcpu *v)
{
	vmcs_select(v);
	return guest_long_mode();
}

static void vmx_tsc_offset_set(struct vcpu *v, u64 offset)
{
	vmcs_select(v);
	vmwrite(VMCS_TSC_OFFSET, offset);
}

static u8 vmx_tpr_get(const struct vcpu *v)
{
	return v->vendor->apic_page[APIC_TPR];
}

static void vmx_tpr_set(struct vcpu *v, u8 tpr)
{
	v->vendor->apic_page[APIC_TPR] = tpr;
}

static void vmx_reset(struct vcpu *v)
{
	vmcs_select(v);
	guest_nmi_block(v->vendor, false);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, 0);
	vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	vmwrite(VMCS_GUEST_PENDING_DEBUG, 0);
	vmwrite(VMCS_GUEST_DR7, DR7_RESET);
}

static bool vmx_idle(struct vcpu *v, unsigned length)
{
	u64 behind = vmx_rip_get(v);

	(void)length;
	vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_HLT);
	vmx_run(v);
	vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	return vmx_rip_get(v) == behind;
}

const struct vendor_ops vmx_ops = {
	.name = "VMX",
	.number = 1,
	.format = &nested_format_ept,
	.vcpu_pages = PAGES,
	.cpu_enable = vmx_cpu_enable,
	.cpu_disable = vmx_cpu_disable,
	.vcpu_init = vmx_vcpu_init,
	.vcpu_destroy = vmx_vcpu_destroy,
	.load = vmx_load,
	.unload = vmx_unload,
	.run = vmx_run,
	.rip_get = vmx_rip_get,
	.rip_set = vmx_rip_set,
	.skip = vmx_skip,
	.rsp_get = vmx_rsp_get,
	.rsp_set = vmx_rsp_set,
	.rflags_get = vmx_rflags_get,
	.rflags_set = vmx_rflags_set,
	.cpl_get = vmx_cpl_get,
	.long_mode = vmx_long_mode,
	.state_get = vmx_state_get,
	.state_set = vmx_state_set,
	.control_write = vmx_control_write,
	.msr_get = vmx_msr_get,
	.msr_set = vmx_msr_set,
	.tsc_offset_set = vmx_tsc_offset_set,
	.tpr_get = vmx_tpr_get,
	.tpr_set = vmx_tpr_set,
	.reset = vmx_reset,
	.idle = vmx_idle,
	.preempts = true,
};
