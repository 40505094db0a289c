/* sources: kernel/ring.c */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Septum's side of the rings against a manager that writes anything anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernel/ring.h"

#define VCPUS 9u

static _Alignas(4096) u8 area[SEPTUM_RING_PAGES(VCPUS)][4096];
static struct ring ring;

static int setup(void **state)
{
	(void)state;
	memset(area, 0xa5, sizeof(area));
	memset(&ring, 0, sizeof(ring));
	ring.shared = (void *)area[0];
	ring.events = (void *)area[1];
	ring.completions = (void *)area[2];
	ring.log = (void *)area[3];
	ring.payload[0] = area[4];
	ring.payload[1] = area[5];
	ring_init(&ring, VCPUS);
	return 0;
}

static u32 post(u64 where)
{
	struct septum_event event = {.type = SEPTUM_EVENT_MEMORY_FAULT, .gpa = where};
	u32 position = ~0u;

	assert_int_equal(ring_post(&ring, &event, &position), OK);
	assert_int_not_equal(event.seq, 0);
	return position;
}

/* ---- The good manager ---- */

static void a_new_ring_is_empty_and_says_what_it_is(void **state)
{
	struct septum_completion c;
	u32 slot;

	(void)state;
	assert_int_equal(ring.shared->magic, SEPTUM_RING_MAGIC);
	assert_int_equal(ring.shared->version, SEPTUM_ABI_VERSION);
	assert_int_equal(ring.shared->vcpus, VCPUS);
	assert_int_equal(ring.shared->event_head, 0);
	assert_int_equal(ring.shared->completion_tail, 0);
	assert_false(ring_take(&ring, &c, &slot));
	assert_false(ring.broken);
	for (unsigned i = 64; i < sizeof(area[0]); i++)
		assert_int_equal(area[0][i], 0);
	for (unsigned p = 1; p < SEPTUM_RING_PAGES(VCPUS); p++)
		for (unsigned i = 0; i < 4096; i++)
			assert_int_equal(area[p][i], 0);
}

static void an_event_is_in_its_slot_before_the_index_moves(void **state)
{
	struct septum_event event = {
		.type = 3, .vcpu = 5, .vm = 7, .gpa = 0x1234, .data = {1, 2, 3}};
	u32 position;

	(void)state;
	for (u32 n = 0; n < 200; n++) {
		event.gpa = n;
		assert_int_equal(ring_post(&ring, &event, &position), OK);
		assert_int_equal(position, n);
		assert_int_equal(event.seq, n + 1);
		assert_int_equal(ring.shared->event_head, n + 1);
		assert_memory_equal(&ring.events[n % 64], &event, sizeof(event));
		ring.shared->event_tail = n + 1;
		assert_true(ring_consumed(&ring, n));
	}
}

static void seq_is_never_zero(void **state)
{
	struct septum_event event = {.type = 1};
	u32 position;

	(void)state;
	ring.next_seq = ~0u - 1;
	for (unsigned n = 0; n < 4; n++) {
		assert_int_equal(ring_post(&ring, &event, &position), OK);
		assert_int_not_equal(event.seq, 0);
	}
	assert_int_equal(event.seq, 2);
}

static void an_event_counts_as_consumed_only_behind_the_tail(void **state)
{
	u32 a, b;

	(void)state;
	a = post(1);
	b = post(2);
	assert_false(ring_consumed(&ring, a));
	ring.shared->event_tail = 1;
	assert_true(ring_consumed(&ring, a));
	assert_false(ring_consumed(&ring, b));
	ring.shared->event_tail = 2;
	assert_true(ring_consumed(&ring, b));
	assert_true(ring_consumed(&ring, a));
}

static void indices_run_through_32_bits(void **state)
{
	u32 old = ~0u - 40;

	(void)state;
	ring.event_head = ring.event_tail = old;
	ring.shared->event_head = ring.shared->event_tail = old;
	for (u32 n = 0; n < 100; n++) {
		u32 position = post(n);

		assert_int_equal(position, old + n);
		assert_false(ring_consumed(&ring, position));
		ring.shared->event_tail++;
		assert_true(ring_consumed(&ring, position));
	}
	/* An event may stay outstanding while very many others pass. */
	ring.event_head = ring.event_tail = old + 0x90000000u;
	ring.shared->event_head = ring.shared->event_tail = ring.event_head;
	assert_true(ring_consumed(&ring, old));
	assert_false(ring.broken);
}

static void completions_come_once_each_in_order_and_get_their_status(void **state)
{
	struct septum_completion c;
	u32 slot;

	(void)state;
	ring.completion_tail = ring.completion_next = ~0u - 30;
	ring.shared->completion_tail = ring.shared->completion_head = ring.completion_tail;
	for (u32 round = 0; round < 5; round++) {
		u32 count = 13 + round * 12;

		for (u32 n = 0; n < count; n++) {
			struct septum_completion *to =
				&ring.completions[(ring.shared->completion_head + n) % 64];

			memset(to, 0, sizeof(*to));
			to->seq = round * 1000 + n;
			to->status = 0xdead;
		}
		ring.shared->completion_head += count;
		for (u32 n = 0; n < count; n++) {
			u32 tail = ring.shared->completion_tail;

			assert_true(ring_take(&ring, &c, &slot));
			assert_int_equal(c.seq, round * 1000 + n);
			assert_int_equal(ring.shared->completion_tail, tail);
			ring_complete(&ring, slot, (enum status)(n % 20));
			assert_int_equal(ring.completions[slot].status, n % 20);
			assert_int_equal(ring.shared->completion_tail, tail + 1);
		}
		assert_false(ring_take(&ring, &c, &slot));
	}
	assert_false(ring.broken);
}

static void a_taken_completion_is_a_copy(void **state)
{
	struct septum_completion c;
	u32 slot;

	(void)state;
	ring.completions[0] = (struct septum_completion){.seq = 5, .gpa = 0x1000};
	ring.shared->completion_head = 1;
	assert_true(ring_take(&ring, &c, &slot));
	memset(&ring.completions[0], 0xff, 64);
	assert_int_equal(c.seq, 5);
	assert_int_equal(c.gpa, 0x1000);
}

static void payloads_do_not_overlap_and_lie_in_the_area(void **state)
{
	(void)state;
	for (u32 v = 0; v < VCPUS; v++)
		assert_ptr_equal(ring_payload(&ring, v), &area[4][0] + v * SEPTUM_PAYLOAD_BYTES);
}

static void the_log_keeps_the_last_128(void **state)
{
	(void)state;
	for (u64 n = 0; n < 300; n++) {
		struct septum_trace_entry entry = {.a = n};

		ring_log(&ring, &entry);
		ring.shared->log_head = 0x12345; /* not Septum's to read */
	}
	for (u64 n = 300 - 128; n < 300; n++)
		assert_int_equal(ring.log[n % 128].a, n);
	assert_int_equal(ring.log_head, 300);
}

/* ---- The bad one ---- */

static void a_tail_that_cannot_be_right_breaks_the_ring_for_good(void **state)
{
	static const u32 bad[] = {3, 4, 0, 0x80000000u, ~0u};
	struct septum_event event = {.type = 1};
	u32 position;

	for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
		setup(state);
		post(1);
		post(2);
		ring.shared->event_tail = 1;
		assert_true(ring_consumed(&ring, 0)); /* the last right value is 1 */
		ring.shared->event_tail = bad[i];
		assert_false(ring_consumed(&ring, 0));
		assert_true(ring.broken);
		ring.shared->event_tail = 2;
		assert_false(ring_consumed(&ring, 0));
		assert_int_equal(ring_post(&ring, &event, &position), E_RING);
	}
}

static void a_head_that_cannot_be_right_breaks_the_ring_for_good(void **state)
{
	static const u32 bad[] = {65, 66, 0x80000000u, ~0u};
	struct septum_completion c;
	u32 slot;

	for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
		setup(state);
		ring.shared->completion_head = bad[i];
		assert_false(ring_take(&ring, &c, &slot));
		assert_true(ring.broken);
		ring.shared->completion_head = 1;
		assert_false(ring_take(&ring, &c, &slot));
	}
	setup(state);
	ring.shared->completion_head = 64;
	assert_true(ring_take(&ring, &c, &slot));
}

/* Between any two steps every shared byte may change. Septum's own view must not: positions and
 * sequence numbers stay consecutive, completions are counted once, nothing outside of the area is
 * touched (ASan), and a ring only ever goes from good to broken. */
static void scribbling_over_every_page_changes_nothing_of_septums(void **state)
{
	srand(20261122);
	for (unsigned round = 0; round < 400; round++) {
		u32 posted = 0, taken = 0, expected_seq = 1;
		bool was_broken = false;

		setup(state);
		for (unsigned step = 0; step < 200; step++) {
			struct septum_event event = {.type = 1, .gpa = step};
			struct septum_completion c;
			u32 position, slot;

			for (unsigned n = (unsigned)rand() % 8; n > 0; n--)
				((u8 *)area)[(size_t)rand() % sizeof(area)] = (u8)rand();
			/* Sometimes something that may be right, to get beyond the first check. */
			if (rand() % 4)
				ring.shared->event_tail = ring.event_tail + (u32)(rand() % 3);
			if (rand() % 4)
				ring.shared->completion_head =
					ring.completion_tail + (u32)(rand() % 66);
			switch (rand() % 3) {
			case 0:
				if (ring_post(&ring, &event, &position) == OK) {
					assert_int_equal(position, posted++);
					assert_int_equal(event.seq, expected_seq++);
				} else {
					assert_true(ring.broken);
				}
				break;
			case 1:
				if (ring_take(&ring, &c, &slot)) {
					assert_int_equal(slot, taken % 64);
					assert_int_equal(ring.completion_tail, taken++);
					ring_complete(&ring, slot, E_ARG);
				}
				break;
			default:
				if (ring_consumed(&ring, (u32)rand() % 256)) {
					u32 behind = ring.event_head - ring.event_tail;

					assert_true(behind <= posted);
				}
			}
			assert_int_equal(ring.event_head, posted);
			assert_int_equal(ring.completion_tail, taken);
			assert_true(!was_broken || ring.broken);
			was_broken = ring.broken;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_new_ring_is_empty_and_says_what_it_is, setup),
		cmocka_unit_test_setup(an_event_is_in_its_slot_before_the_index_moves, setup),
		cmocka_unit_test_setup(seq_is_never_zero, setup),
		cmocka_unit_test_setup(an_event_counts_as_consumed_only_behind_the_tail, setup),
		cmocka_unit_test_setup(indices_run_through_32_bits, setup),
		cmocka_unit_test_setup(completions_come_once_each_in_order_and_get_their_status,
				       setup),
		cmocka_unit_test_setup(a_taken_completion_is_a_copy, setup),
		cmocka_unit_test_setup(payloads_do_not_overlap_and_lie_in_the_area, setup),
		cmocka_unit_test_setup(the_log_keeps_the_last_128, setup),
		cmocka_unit_test_setup(a_tail_that_cannot_be_right_breaks_the_ring_for_good, setup),
		cmocka_unit_test_setup(a_head_that_cannot_be_right_breaks_the_ring_for_good, setup),
		cmocka_unit_test_setup(scribbling_over_every_page_changes_nothing_of_septums,
				       setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
