/* SPDX-License-Identifier: BSD-2-Clause */
#include "guests/lib/cpu.h"
#include "guests/lib/print.h"
#include "guests/manager/linux.h"
#include "guests/root/machine.h"

/* 2 MiB blocks added to a pool that ran empty, and what must stay free for the manager. */
#define REFILL_BLOCKS 2ul
#define KEEP_FREE     (8ul << 20)

/* How long a guest may run or sleep on its own. */
#define SHARED_MS 1ul
#define ALONE_MS  100ul

void answer(struct guest *g, const struct septum_event *e, enum septum_verdict verdict, u64 value)
{
	struct septum_completion c = {
		.seq = e->seq,
		.vcpu = e->vcpu,
		.verdict = (u16)verdict,
		.value = value,
	};

	completion_put(&g->vm, &c);
}

static void refill(struct guest *g, const struct septum_event *e)
{
	if (memory_free() < KEEP_FREE + (REFILL_BLOCKS + 1) * LARGE_SIZE ||
	    pool_refill(g->vm.pool, REFILL_BLOCKS).status != SEPTUM_OK)
		guest_end(g, END_STARVED, e->data[0]);
	else
		answer(g, e, SEPTUM_VERDICT_RETRY, 0);
}

static void vcpu_ended(struct guest *g, const struct septum_event *e, enum end end, u64 code)
{
	guest_end(g, end, code);
	g->detail = e->data[1];
	answer(g, e, SEPTUM_VERDICT_KILL, 0);
}

/* No device of the manager's raises interrupts: a vCPU that halts waits for good. */
static void halted(struct guest *g, const struct septum_event *e)
{
	u64 all = g->vm.vcpus == 64 ? ~0ul : (1ul << g->vm.vcpus) - 1;

	g->halted |= 1ul << e->vcpu;
	answer(g, e, SEPTUM_VERDICT_COMPLETE, 0);
	if (g->halted == all)
		guest_end(g, END_HALTED, 0);
}

static void serve(struct guest *g, const struct septum_event *e)
{
	journal_event(g, e);
	switch (e->type) {
	case SEPTUM_EVENT_MEMORY_FAULT:
	case SEPTUM_EVENT_EXPLICIT:
		policy_serve(g, e);
		break;
	case SEPTUM_EVENT_POOL_EMPTY:
		refill(g, e);
		break;
	case SEPTUM_EVENT_HALT:
		halted(g, e);
		break;
	case SEPTUM_EVENT_SHUTDOWN:
		vcpu_ended(g, e, END_SHUTDOWN, 0);
		break;
	case SEPTUM_EVENT_FAILED:
		vcpu_ended(g, e, END_FAILED, e->data[0]);
		break;
	default:
		devices_serve(g, e);
		break;
	}
}

/* A guest with local APICs wakes itself; with others beside it, they are looked after meanwhile. */
static struct reply run(struct guest *g)
{
	u64 span = clock_tsc_khz() * (guest_count > 1 ? SHARED_MS : ALONE_MS);

	if (g->build.flags & SEPTUM_VM_APIC)
		return vm_run_until(&g->vm, SEPTUM_ALL, tsc_read() + span);
	return vm_run(&g->vm, SEPTUM_ALL);
}

/* Runs a guest until it waits for nobody but itself. */
static void turn(struct guest *g)
{
	struct septum_event event;
	struct reply r = run(g);
	bool any = false;

	if (r.status != SEPTUM_OK) {
		print("manager: vm %lu: RUN: %s\n", g->vm.id, status_name(r.status));
		guest_end(g, r.status == SEPTUM_E_RING ? END_RING : END_FAILED, 0);
		return;
	}
	while (g->end == END_NONE && event_take(&g->vm, &event)) {
		any = true;
		serve(g, &event);
	}
	if ((r.value & 0xff) != SEPTUM_RUN_IDLE)
		return;
	/* Verdicts that were refused leave their events where they are: such a guest would stand
	 * still for ever. */
	if (!any && r.value >> 32 == 0 && g->end == END_NONE)
		guest_end(g, END_HALTED, 0);
	else if (!any && g->end == END_NONE)
		guest_end(g, END_FAILED, 0);
}

void guests_run(void)
{
	bool running = true;

	clock_microseconds();
	while (running) {
		running = false;
		for (unsigned i = 0; i < guest_count; i++) {
			if (guests[i].end == END_NONE && guests[i].vm.id)
				turn(&guests[i]);
			running |= guests[i].vm.id && guests[i].end == END_NONE;
		}
	}
}
