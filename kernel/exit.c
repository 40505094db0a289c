/* SPDX-License-Identifier: BSD-2-Clause */
/* Running vCPUs, and what is done about each exit. */
#include "arch/x86/decode.h"
#include "arch/x86/io.h"
#include "arch/x86/machine.h"
#include "arch/x86/smp.h"
#include "arch/x86/timer.h"
#include "arch/x86/traps.h"
#include "kernel/cpuid.h"
#include "kernel/emulate.h"
#include "kernel/exits.h"
#include "kernel/guest_access.h"
#include "kernel/lapic_vcpu.h"
#include "kernel/panic.h"
#include "kernel/print.h"
#include "kernel/protocol.h"
#include "kernel/trace.h"
#include "kernel/vendor.h"
#include "kernel/vm.h"

#define RFLAGS_TF   BIT(8)
#define RFLAGS_IF   BIT(9)
#define CR4_OSXSAVE BIT(18)

static const u8 counter_of[EXIT_REASON_COUNT] = {
	[EXIT_INTERRUPT] = SEPTUM_COUNTER_EXIT_INTERRUPT,
	[EXIT_NMI] = SEPTUM_COUNTER_EXIT_NMI,
	[EXIT_CPUID] = SEPTUM_COUNTER_EXIT_CPUID,
	[EXIT_HYPERCALL] = SEPTUM_COUNTER_EXIT_HYPERCALL,
	[EXIT_IO] = SEPTUM_COUNTER_EXIT_IO,
	[EXIT_MSR_READ] = SEPTUM_COUNTER_EXIT_MSR,
	[EXIT_MSR_WRITE] = SEPTUM_COUNTER_EXIT_MSR,
	[EXIT_NESTED_FAULT] = SEPTUM_COUNTER_EXIT_NESTED_FAULT,
	[EXIT_HALT] = SEPTUM_COUNTER_EXIT_HALT,
	[EXIT_UNDEFINED] = SEPTUM_COUNTER_EXIT_UNDEFINED,
	[EXIT_UD_FAULT] = SEPTUM_COUNTER_EXIT_UNDEFINED,
	[EXIT_XSETBV] = SEPTUM_COUNTER_EXIT_CONTROL,
	[EXIT_CONTROL] = SEPTUM_COUNTER_EXIT_CONTROL,
	[EXIT_WBINVD] = SEPTUM_COUNTER_EXIT_OTHER,
	[EXIT_WINDOW] = SEPTUM_COUNTER_EXIT_WINDOW,
	[EXIT_SHUTDOWN] = SEPTUM_COUNTER_EXIT_SHUTDOWN,
	[EXIT_TIMER] = SEPTUM_COUNTER_EXIT_TIMER,
	[EXIT_INIT] = SEPTUM_COUNTER_EXIT_OTHER,
	[EXIT_INVALID] = SEPTUM_COUNTER_EXIT_OTHER,
	[EXIT_UNKNOWN] = SEPTUM_COUNTER_EXIT_OTHER,
	[EXIT_GUEST_REQUEST] = SEPTUM_COUNTER_EXIT_GHCB,
	[EXIT_BROKEN] = SEPTUM_COUNTER_EXIT_OTHER,
};

void count_exit(struct vcpu *v)
{
	unsigned counter = counter_of[v->exit.reason];
	u64 address = v->exit.reason == EXIT_NESTED_FAULT ? v->exit.access.raw_gpa : 0;

	v->counters[SEPTUM_COUNTER_EXITS]++;
	v->counters[counter]++;
	trace(SEPTUM_TRACE_EXIT, v->vm->id, v->index, counter, address);
}

void vcpu_fail(struct vcpu *v, enum septum_failure failure, u64 address, u64 detail)
{
	struct septum_event event = {
		.type = SEPTUM_EVENT_FAILED,
		.gpa = address,
		.data = {failure, detail},
	};

	v->event.kind = EVENT_NONE;
	v->pending.kind = PENDING_NONE;
	event_post(v, &event);
}

bool exit_length(struct vcpu *v, unsigned *length)
{
	struct guest_insn fetched;

	*length = v->exit.length;
	if (*length != 0)
		return true;
	if (!guest_fetch(v, &fetched))
		return false;
	if (fetched.status != DECODE_OK) {
		/* The processor has just executed it, so the bytes have changed since. */
		return false;
	}
	*length = fetched.insn.length;
	return true;
}

bool exit_skip(struct vcpu *v)
{
	unsigned length;

	if (!exit_length(v, &length))
		return false;
	vendor->skip(v, length);
	return true;
}

static enum after skip(struct vcpu *v)
{
	exit_skip(v);
	return after_of(v);
}

static enum after undefined(struct vcpu *v)
{
	inject_exception(v, VECTOR_UD, false, 0);
	return after_of(v);
}

static enum after call(struct vcpu *v)
{
	if (!v->root)
		return guest_call(v);
	if (exit_skip(v))
		root_call(v);
	return AFTER_RESUME;
}

/* The guest raised #UD: the other vendor's hypercall instruction is as good as the right one. */
static enum after ud_fault(struct vcpu *v)
{
	struct guest_insn fetched;

	if (!guest_fetch(v, &fetched))
		return after_of(v);
	if (fetched.status == DECODE_OK &&
	    (fetched.insn.op == INSN_VMCALL || fetched.insn.op == INSN_VMMCALL)) {
		v->exit.length = fetched.insn.length;
		return call(v);
	}
	return undefined(v);
}

static enum after xsetbv(struct vcpu *v)
{
	u64 value = (u32)v->gpr[RAX] | v->gpr[RDX] << 32;
	u64 allowed = v->root ? world_xcr0_root() : cpuid_guest_xcr0();
	struct vcpu_state state;
	unsigned length;

	/* Not every processor and emulator looks at these before the intercept. */
	vendor->state_get(v, &state);
	if ((state.cr4 & CR4_OSXSAVE) == 0)
		return undefined(v);
	if (!exit_length(v, &length))
		return after_of(v);
	if (state.cpl != 0 || (u32)v->gpr[RCX] != 0 || !world_xsetbv(&v->world, value, allowed)) {
		inject_general_protection(v);
		return after_of(v);
	}
	vendor->skip(v, length);
	return AFTER_RESUME;
}

static enum after control(struct vcpu *v)
{
	unsigned length;

	/* The write may change the mode in which the instruction is decoded. */
	if (!exit_length(v, &length))
		return after_of(v);
	if (!vendor->control_write(v, v->exit.control.cr, v->exit.control.value)) {
		inject_general_protection(v);
		return after_of(v);
	}
	vendor->skip(v, length);
	return AFTER_RESUME;
}

enum after halt_exit(struct vcpu *v)
{
	bool interruptible = (vendor->rflags_get(v) & RFLAGS_IF) != 0;
	struct septum_event event = {
		.type = SEPTUM_EVENT_HALT,
		.flags = interruptible ? SEPTUM_EVENT_INTERRUPTIBLE : 0,
	};
	unsigned length;

	/* A halted processor stands behind its HLT. */
	if (!exit_length(v, &length))
		return after_of(v);
	vendor->skip(v, length);
	if (v->has_apic && interruptible) {
		/* lapic_enter() looks. A step ends with the HLT itself. */
		v->halted = (vendor->rflags_get(v) & RFLAGS_TF) == 0;
		v->halt_if = true;
		v->halt_length = (u8)length;
		return AFTER_RESUME;
	}
	if (v->nmi_pending || (interruptible && v->interrupt >= 0))
		return AFTER_RESUME;
	pending_begin(v, PENDING_HALT, 0);
	v->pending.data[0] = interruptible;
	event_post(v, &event);
	return AFTER_WAIT;
}

static enum after guest_exit(struct vcpu *v)
{
	switch (v->exit.reason) {
	case EXIT_CPUID:
		if (exit_skip(v))
			cpuid_answer(v);
		return after_of(v);
	case EXIT_HYPERCALL:
		return guest_call(v);
	case EXIT_NESTED_FAULT:
		return access_fault(v, &v->exit.access, v->exit.code) ? AFTER_RESUME : after_of(v);
	case EXIT_INTERRUPT:
		return cpu_self() == 0 && timer_fired() ? AFTER_RESUME : AFTER_INTERRUPT;
	case EXIT_NMI:
		return AFTER_RESUME; /* nmi_take() knows more */
	case EXIT_IO:
		return io_exit(v);
	case EXIT_MSR_READ:
	case EXIT_MSR_WRITE:
		return msr_exit(v, v->exit.reason == EXIT_MSR_WRITE);
	case EXIT_HALT:
		return halt_exit(v);
	case EXIT_UNDEFINED:
		return undefined(v);
	case EXIT_UD_FAULT:
		return ud_fault(v);
	case EXIT_XSETBV:
		return xsetbv(v);
	case EXIT_CONTROL:
		return control(v);
	case EXIT_WBINVD:
		/* No guest has a device of its own, so all its memory is coherent. */
		return skip(v);
	case EXIT_WINDOW:
	case EXIT_TIMER:
	case EXIT_INIT: /* sent by the root to a CPU that is not its own */
		return AFTER_RESUME;
	case EXIT_SHUTDOWN:
		inject_shutdown(v);
		return AFTER_WAIT;
	case EXIT_GUEST_REQUEST:
		return vendor->sealed->request(v);
	case EXIT_BROKEN:
		vcpu_fail(v, SEPTUM_FAILURE_MACHINE, 0, 0);
		return AFTER_WAIT;
	case EXIT_INVALID:
		vcpu_fail(v, SEPTUM_FAILURE_ENTRY, 0, v->exit.code);
		return AFTER_WAIT;
	default:
		vcpu_fail(v, SEPTUM_FAILURE_EXIT, 0, v->exit.code);
		return AFTER_WAIT;
	}
}

static void print_state(const struct vcpu *v)
{
	static const char *const names[GPR_COUNT] = {
		"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
		"r8 ", "r9 ", "r10", "r11", "r12", "r13", "r14", "r15",
	};
	struct vcpu_state s;

	vendor->state_get(v, &s);
	printk(LOG_ERROR, "root: rip %016lx rsp %016lx rflags %lx cpl %u", s.rip, s.rsp, s.rflags,
	       s.cpl);
	printk(LOG_ERROR, "root: cr0 %lx cr2 %lx cr3 %lx cr4 %lx efer %lx", s.cr0, s.cr2, s.cr3,
	       s.cr4, s.efer);
	printk(LOG_ERROR, "root: cs %x/%x ss %x/%x tr %x/%x gdt %lx/%x idt %lx/%x",
	       s.seg[SEG_CS].selector, s.seg[SEG_CS].access, s.seg[SEG_SS].selector,
	       s.seg[SEG_SS].access, s.seg[SEG_TR].selector, s.seg[SEG_TR].access, s.gdtr_base,
	       s.gdtr_limit, s.idtr_base, s.idtr_limit);
	for (unsigned n = 0; n < GPR_COUNT; n += 4) {
		printk(LOG_ERROR, "root: %s %016lx %s %016lx %s %016lx %s %016lx", names[n],
		       v->gpr[n], names[n + 1], v->gpr[n + 1], names[n + 2], v->gpr[n + 2],
		       names[n + 3], v->gpr[n + 3]);
	}
}

void root_shutdown(struct vcpu *root)
{
	printk(LOG_ERROR, "The root partition has shut itself down (triple fault). Its guests "
			  "cannot go on without it; the machine stops.");
	print_state(root);
	machine_stop(EXIT_PANIC);
}

static enum after root_exit(struct vcpu *v)
{
	switch (v->exit.reason) {
	case EXIT_HYPERCALL:
		return call(v);
	case EXIT_CPUID:
		if (exit_skip(v))
			cpuid_answer(v);
		return AFTER_RESUME;
	case EXIT_NESTED_FAULT:
		if (!root_fault(&v->exit.access))
			inject_general_protection(v);
		return AFTER_RESUME;
	case EXIT_MSR_READ:
	case EXIT_MSR_WRITE:
		return msr_exit(v, v->exit.reason == EXIT_MSR_WRITE);
	case EXIT_UNDEFINED:
		return undefined(v);
	case EXIT_UD_FAULT:
		return ud_fault(v);
	case EXIT_XSETBV:
		return xsetbv(v);
	case EXIT_CONTROL:
		return control(v);
	case EXIT_WBINVD:
		tally(TALLY_WRITEBACK);
		__asm__ volatile("wbinvd" : : : "memory");
		return skip(v);
	case EXIT_INTERRUPT:
	case EXIT_NMI:
	case EXIT_WINDOW:
	case EXIT_TIMER:
	case EXIT_INIT:
		return AFTER_RESUME;
	case EXIT_SHUTDOWN:
		root_shutdown(v);
	default:
		print_state(v);
		panic("the root partition cannot be entered or left: exit reason %u, code %lx",
		      v->exit.reason, v->exit.code);
	}
}

enum after exit_handle(struct vcpu *v)
{
	count_exit(v);
	return v->root ? root_exit(v) : guest_exit(v);
}

/* When the root left guest mode last, on CPU 0. */
static u64 root_left;

/* How long a hypercall may take before the root is let in again, in TSC ticks: about a millisecond.
 * Then an interrupt that waits is taken, whether there is one or not, and the root goes on calling.
 */
#define ROOT_AWAY_MAX (1ul << 22)

bool memory_must_stop(void)
{
	return cpu_self() == 0 ? rdtsc() - root_left > ROOT_AWAY_MAX : kick_pending();
}

void root_run(struct vcpu *root)
{
	/* What the firmware left in the registers becomes the root's. */
	world_switch(&root->world, &root->world);
	vendor->load(root);
	for (;;) {
		if (nmi_take())
			root->nmi_pending = true;
		vendor->run(root);
		root_left = rdtsc();
		exit_handle(root);
	}
}

enum after guest_run(struct vcpu *v)
{
	struct vcpu *root = vm_root_vcpu();
	enum after after = AFTER_RESUME;

	world_switch(&root->world, &v->world);
	vendor->load(v);
	while (after == AFTER_RESUME) {
		if (v->pending.kind != PENDING_NONE) {
			after = emulate_continue(v);
			continue;
		}
		if (nmi_take()) {
			root->nmi_pending = true;
			after = AFTER_INTERRUPT;
			break;
		}
		if (v->has_apic || turn_end != NEVER) {
			after = lapic_enter(v, turn_end);
			if (after != AFTER_RESUME)
				break;
		}
		vendor->run(v);
		after = exit_handle(v);
	}
	timer_return();
	world_switch(&v->world, &root->world);
	vendor->load(root);
	return after;
}

enum after guest_idle(struct vcpu *v)
{
	struct vcpu *root = vm_root_vcpu();
	enum after after;

	world_switch(&root->world, &v->world);
	vendor->load(v);
	lapic_arm(v, MIN(lapic_alarm(v), turn_end));
	if (!vendor->idle(v, v->halt_length)) {
		v->halted = false;
		v->wait = WAIT_NONE;
	}
	after = exit_handle(v);
	if (nmi_take()) {
		root->nmi_pending = true;
		after = AFTER_INTERRUPT;
	}
	timer_return();
	world_switch(&v->world, &root->world);
	vendor->load(root);
	return after;
}
