/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/detached.h"

#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/paging.h"
#include "arch/x86/smp.h"
#include "kernel/emulate.h"
#include "kernel/exits.h"
#include "kernel/lapic_vcpu.h"
#include "kernel/panic.h"
#include "kernel/protocol.h"
#include "kernel/trace.h"
#include "kernel/vendor.h"
#include "kernel/vm.h"

/* ---- On the guest CPU ---- */

static bool must_leave(const struct vcpu *v)
{
	return __atomic_load_n(&v->leave, __ATOMIC_SEQ_CST);
}

/* Until it waits for something or must leave. */
static void run(struct vcpu *v)
{
	enum after after = AFTER_RESUME;

	spin_lock(&v->vm->ring.lock);
	v->wait = WAIT_NONE;
	spin_unlock(&v->vm->ring.lock);
	while (after != AFTER_WAIT && !must_leave(v)) {
		if (v->pending.kind != PENDING_NONE) {
			after = emulate_continue(v);
			continue;
		}
		if (v->has_apic) {
			after = lapic_enter(v, NEVER);
			if (after != AFTER_RESUME)
				continue;
		}
		vendor->run(v);
		after = exit_handle(v);
		/* Its own timer, or what the root has sent to a CPU that is not its own. */
		if (after == AFTER_INTERRUPT)
			interrupts_take();
	}
}

/* Until something may have happened. The caller has looked at everything since kick_take(). */
static void sleep(const struct vcpu *v)
{
	const struct ring *ring = &v->vm->ring;

	if (!v->dead && v->wait == WAIT_HALTED && v->has_apic && lapic_alarm(v) != NEVER)
		cpu_sleep_until(lapic_alarm(v));
	else if (v->dead || v->wait != WAIT_EVENT || ring->broken)
		cpu_sleep();
	else
		cpu_sleep_poll();
}

void detached_run(void *vcpu)
{
	struct vcpu *v = vcpu;
	struct cpu *cpu = this_cpu();
	enum status status;

	/* The VM's objects lie where others may have been when this CPU ran something else. None
	 * are mapped or unmapped while it runs. */
	paging_flush();
	world_switch(&cpu->world, &v->world);
	vendor->load(v);
	for (;;) {
		kick_take();
		if (must_leave(v))
			break;
		if (v->wait == WAIT_EVENT)
			verdicts_drain(v->vm, v, &status);
		if (vcpu_runnable(v))
			run(v);
		else
			sleep(v);
	}
	world_switch(&v->world, &cpu->world);
	vendor->unload(v);
}

/* ---- On CPU 0 ---- */

static struct result find(u64 id, u64 index, struct vcpu **v)
{
	struct vm *vm = vm_by_id(id, false);

	if (!vm)
		return (struct result){E_NO_VM, 1, 0};
	*v = vcpu_by_index(vm, index);
	if (!*v)
		return (struct result){E_NO_VCPU, 2, 0};
	return (struct result){OK, 0, 0};
}

static void cpu_set(struct vcpu *v, u64 cpu)
{
	spin_lock(&v->vm->ring.lock);
	v->cpu = (u16)cpu;
	spin_unlock(&v->vm->ring.lock);
}

struct result vcpu_detach(u64 id, u64 index, u64 cpu)
{
	struct vcpu *v = NULL;
	struct result result = find(id, index, &v);

	if (result.status != OK)
		return result;
	if (cpu == 0 || cpu >= cpu_count)
		return (struct result){E_ARG, 3, 0};
	if (v->vm->state != VM_RUNNABLE)
		return (struct result){E_STATE, 1, 0};
	if (v->dead || v->cpu != 0)
		return (struct result){E_STATE, 2, 0};
	if (!cpu_is_idle((unsigned)cpu))
		return (struct result){E_BUSY, 3, 0};
	vendor->unload(v);
	vendor->load(vm_root_vcpu());
	v->leave = false;
	cpu_set(v, cpu);
	if (!cpu_run_on((unsigned)cpu, detached_run, v))
		panic("CPU %lu was idle and takes no work", cpu);
	trace(SEPTUM_TRACE_VM, v->vm->id, v->index, SEPTUM_CALL_VCPU_DETACH, 0);
	return (struct result){OK, 0, cpu_table[cpu].apic_id};
}

static void leave(struct vcpu *v)
{
	__atomic_store_n(&v->leave, true, __ATOMIC_SEQ_CST);
	cpu_kick(v->cpu);
}

static void wait_left(struct vcpu *v)
{
	u64 since = 0;

	while (!cpu_is_idle(v->cpu))
		cpu_await(v->cpu, &since);
	cpu_set(v, 0);
}

struct result vcpu_attach(u64 id, u64 index)
{
	struct vcpu *v = NULL;
	struct result result = find(id, index, &v);

	if (result.status != OK)
		return result;
	if (v->cpu == 0)
		return (struct result){E_STATE, 2, 0};
	leave(v);
	wait_left(v);
	trace(SEPTUM_TRACE_VM, v->vm->id, v->index, SEPTUM_CALL_VCPU_ATTACH, 0);
	return result;
}

void vcpus_attach(struct vm *vm)
{
	for (u32 i = 0; i < vm->vcpu_limit; i++) {
		if (vm->vcpus[i] && vm->vcpus[i]->cpu != 0)
			leave(vm->vcpus[i]);
	}
	for (u32 i = 0; i < vm->vcpu_limit; i++) {
		if (vm->vcpus[i] && vm->vcpus[i]->cpu != 0)
			wait_left(vm->vcpus[i]);
	}
}

#define VECTOR_LOWEST 16u

struct result vm_doorbell(u64 id, u64 vector)
{
	struct vm *vm = vm_by_id(id, false);

	if (!vm)
		return (struct result){E_NO_VM, 1, 0};
	if (vector != 0 && (vector < VECTOR_LOWEST || vector > 255))
		return (struct result){E_ARG, 2, 0};
	spin_lock(&vm->ring.lock);
	vm->doorbell = (u8)vector;
	spin_unlock(&vm->ring.lock);
	return (struct result){OK, 0, 0};
}

void doorbell_ring(u8 vector)
{
	apic_send_fixed(cpu_table[0].apic_id, vector);
}
