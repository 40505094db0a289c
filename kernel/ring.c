/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/ring.h"

#include "kernel/string.h"

_Static_assert((SEPTUM_RING_ENTRIES & (SEPTUM_RING_ENTRIES - 1)) == 0, "slot = index mod entries");
_Static_assert(SEPTUM_MAX_VCPUS <= SEPTUM_RING_ENTRIES, "one outstanding event a vCPU always fits");
_Static_assert(SEPTUM_RING_ENTRIES * sizeof(struct septum_event) == PAGE_SIZE, "page 1");
_Static_assert(SEPTUM_RING_ENTRIES * sizeof(struct septum_completion) == PAGE_SIZE, "page 2");
_Static_assert(RING_LOG_ENTRIES * sizeof(struct septum_trace_entry) == PAGE_SIZE, "page 3");

static u32 load_acquire(const u32 *shared)
{
	return __atomic_load_n(shared, __ATOMIC_ACQUIRE);
}

static void store_release(u32 *shared, u32 value)
{
	__atomic_store_n(shared, value, __ATOMIC_RELEASE);
}

/* Copies a 64-byte entry in words that are each read once: the other side may write meanwhile. */
static void copy_entry(void *to, const void *from)
{
	u64 *t = to;
	const volatile u64 *f = from;

#pragma GCC unroll 8
	for (unsigned i = 0; i < 64 / sizeof(u64); i++)
		t[i] = f[i];
}

/* Fills in the pages and forgets all that was in others. */
static void begin(struct ring *ring)
{
	memset(ring->shared, 0, PAGE_SIZE);
	memset(ring->events, 0, PAGE_SIZE);
	memset(ring->completions, 0, PAGE_SIZE);
	memset(ring->log, 0, PAGE_SIZE);
	for (unsigned i = 0; i < ARRAY_COUNT(ring->payload) && ring->payload[i]; i++)
		memset(ring->payload[i], 0, PAGE_SIZE);
	ring->broken = false;
	ring->event_head = 0;
	ring->event_tail = 0;
	ring->completion_tail = 0;
	ring->completion_next = 0;
	ring->completion_done = 0;
	ring->log_head = 0;
	WRITE_ONCE(ring->shared->version, SEPTUM_ABI_VERSION);
	WRITE_ONCE(ring->shared->vcpus, ring->vcpus);
	store_release(&ring->shared->magic, SEPTUM_RING_MAGIC);
}

void ring_init(struct ring *ring, u32 vcpus)
{
	ring->lock = (struct spinlock)SPINLOCK(RANK_RING);
	ring->vcpus = vcpus;
	ring->next_seq = 1;
	begin(ring);
}

#define EXCHANGE(a, b)                                                                             \
	do {                                                                                       \
		__typeof__(a) old_ = (a);                                                          \
		(a) = (b);                                                                         \
		(b) = old_;                                                                        \
	} while (0)

void ring_replace(struct ring *ring, struct ring *area)
{
	EXCHANGE(ring->shared, area->shared);
	EXCHANGE(ring->events, area->events);
	EXCHANGE(ring->completions, area->completions);
	EXCHANGE(ring->log, area->log);
	for (unsigned i = 0; i < ARRAY_COUNT(ring->payload); i++)
		EXCHANGE(ring->payload[i], area->payload[i]);
	begin(ring);
}

enum status ring_post(struct ring *ring, struct septum_event *event, u32 *position)
{
	if (ring->broken)
		return E_RING;
	event->seq = ring->next_seq;
	ring->next_seq += ring->next_seq == ~0u ? 2 : 1;
	*position = ring->event_head;
	copy_entry(&ring->events[ring->event_head % SEPTUM_RING_ENTRIES], event);
	ring->event_head++;
	store_release(&ring->shared->event_head, ring->event_head);
	return OK;
}

bool ring_wakes(const struct ring *ring, u32 position)
{
	/* The event comes before the look, as the manager's wish before its look at the event. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return READ_ONCE(ring->shared->event_wake) == position;
}

bool ring_take(struct ring *ring, struct septum_completion *completion, u32 *slot)
{
	u32 head;

	if (ring->broken)
		return false;
	head = load_acquire(&ring->shared->completion_head);
	if (head - ring->completion_tail > SEPTUM_RING_ENTRIES) {
		ring->broken = true;
		return false;
	}
	/* It cannot have come back behind what was taken. */
	if (head - ring->completion_tail < ring->completion_next - ring->completion_tail) {
		ring->broken = true;
		return false;
	}
	if (head == ring->completion_next)
		return false;
	*slot = ring->completion_next++ % SEPTUM_RING_ENTRIES;
	copy_entry(completion, &ring->completions[*slot]);
	return true;
}

void ring_complete(struct ring *ring, u32 slot, enum status status)
{
	WRITE_ONCE(ring->completions[slot].status, (u32)status);
	ring->completion_done |= BIT(slot);
	while (ring->completion_tail != ring->completion_next &&
	       (ring->completion_done & BIT(ring->completion_tail % SEPTUM_RING_ENTRIES))) {
		ring->completion_done &= ~BIT(ring->completion_tail % SEPTUM_RING_ENTRIES);
		ring->completion_tail++;
	}
	store_release(&ring->shared->completion_tail, ring->completion_tail);
}

bool ring_consumed(struct ring *ring, u32 position)
{
	u32 tail;

	if (ring->broken)
		return false;
	tail = load_acquire(&ring->shared->event_tail);
	if (tail - ring->event_tail > ring->event_head - ring->event_tail) {
		ring->broken = true;
		return false;
	}
	ring->event_tail = tail;
	/* Not between tail and head: however old it is, it has been taken. */
	return position - tail >= ring->event_head - tail;
}

u8 *ring_payload(struct ring *ring, u32 vcpu)
{
	const u32 per_page = PAGE_SIZE / SEPTUM_PAYLOAD_BYTES;

	return ring->payload[vcpu / per_page] + (u64)(vcpu % per_page) * SEPTUM_PAYLOAD_BYTES;
}

void ring_log(struct ring *ring, const struct septum_trace_entry *entry)
{
	const u64 *from = (const u64 *)entry;
	volatile u64 *to;

	if (ring->broken)
		return;
	to = (volatile u64 *)&ring->log[ring->log_head % RING_LOG_ENTRIES];
	for (unsigned i = 0; i < sizeof(*entry) / sizeof(u64); i++)
		to[i] = from[i];
	ring->log_head++;
	store_release(&ring->shared->log_head, ring->log_head);
}
