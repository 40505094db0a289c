/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/host/ring_manager.h"
#include "guests/root/machine.h"
#include "guests/root/vm.h"

/* What guests/root/vm.c wants beside the rings, and nobody calls here. */
struct reply septum_call(u64 call, const u64 arguments[6])
{
	(void)call;
	(void)arguments;
	return (struct reply){.status = SEPTUM_E_CALL};
}

void *memory_take(u64 bytes, u64 align)
{
	(void)bytes;
	(void)align;
	return NULL;
}

void interrupts_serve(void)
{
}

static u32 answered[SEPTUM_RING_ENTRIES]; /* by slot: the seq of the completion in it */

/* The outcomes of what Septum has taken since the last look. */
static u64 outcomes_wrong(struct vm *vm, u32 *looked)
{
	u32 tail = __atomic_load_n(&vm->ring->completion_tail, __ATOMIC_ACQUIRE);
	u64 wrong = 0;

	for (; *looked != tail; ++*looked) {
		u32 slot = *looked % SEPTUM_RING_ENTRIES;

		wrong += completion_status(vm, slot) != ring_status_of(answered[slot]);
	}
	return wrong;
}

static u64 event_wrong(struct vm *vm, const struct septum_event *e)
{
	const u64 *bytes = (const u64 *)payload(vm, e->vcpu);

	return (e->gpa != ring_word(e->seq, 1)) + (e->stamp != ring_word(e->seq, 2)) +
	       (e->data[2] != ring_word(e->seq, 3)) + (bytes[0] != ring_word(e->seq, 4)) +
	       (bytes[63] != ring_word(e->seq, 5));
}

void *ring_manager_run(void *argument)
{
	struct ring_manager *m = argument;
	u8 *area = m->area;
	struct vm vm = {
		.vcpus = m->vcpus,
		.ring = (void *)area,
		.events = (void *)(area + PAGE_SIZE),
		.completions = (void *)(area + 2 * PAGE_SIZE),
		.payloads = area + 4 * PAGE_SIZE,
	};
	struct septum_event e;
	u32 looked = 0;
	u64 done = 0;

	while (done < m->events) {
		m->wrong += outcomes_wrong(&vm, &looked);
		if (vm.completion_head - looked >= SEPTUM_RING_ENTRIES || !event_take(&vm, &e))
			continue;
		m->wrong += event_wrong(&vm, &e);
		((u64 *)payload(&vm, e.vcpu))[1] = ring_word(e.seq, 6);
		answered[vm.completion_head % SEPTUM_RING_ENTRIES] = e.seq;
		completion_put(&vm, &(struct septum_completion){
					    .seq = e.seq,
					    .vcpu = e.vcpu,
					    .gpa = ring_word(e.seq, 7),
					    .value = ring_word(e.seq, 8),
				    });
		done++;
	}
	while (looked != vm.completion_head)
		m->wrong += outcomes_wrong(&vm, &looked);
	return NULL;
}
