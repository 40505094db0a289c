/* sources: mm/?*.c tests/host/fake.c */
/* ldflags: -Wl,--wrap=tlb_invalidate -pthread */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Several processors in guest mode while another one takes something away from them; and what
 * happens if the flush is done wrong. */
#include "tests/host/fake.h"

#include <pthread.h>

#define RAM	   8192ul
#define POOL_FIRST 4096ul
#define OTHER	   (1ul << 27) /* pages: SHARED bit 39 */

u64 __real_tlb_invalidate(struct tlb *tlb);
u64 __wrap_tlb_invalidate(struct tlb *tlb);

/* Ways to do it wrong. */
static enum {
	RIGHT,
	NO_EPOCH,  /* whoever is in Septum does not flush */
	NO_KICK,   /* whoever is in guest mode stays there: reuse before the epoch has passed */
	NO_WAIT,   /* .. leaves it, but only after the reuse */
	WRONG_CPU, /* another one is sent out of guest mode */
	VARIANTS,
} variant;
static bool broken; /* `variant` is in force */

static struct pool *pool;
static struct memory mem;

u64 __wrap_tlb_invalidate(struct tlb *tlb)
{
	if (!broken || variant == RIGHT)
		return __real_tlb_invalidate(tlb);
	if (variant == NO_EPOCH)
		return tlb->epoch;
	tlb->epoch++;
	if (variant == NO_WAIT)
		cpu_kick(1);
	if (variant == WRONG_CPU) {
		u64 since = 0;

		cpu_kick(2);
		cpu_await(2, &since);
	}
	return tlb->epoch;
}

static void start(u32 flags)
{
	u32 id, slot;

	broken = false;
	fake_start(RAM, &nested_format_npt);
	assert_int_equal(pool_create(&id), OK);
	pool = pool_by_id(id);
	assert_int_equal(pool_donate(pool, pfn(POOL_FIRST), 2048), OK);
	assert_int_equal(memory_init(&mem, 1, pool, &nested_format_npt, 39, 40, false, true), OK);
	assert_int_equal(memory_slot_add(&mem, gfn(1024), 1024, pfn(512), flags, &slot), OK);
	mem.building = false;
	broken = true;
}

static void stop(void)
{
	broken = false;
	for (unsigned cpu = 0; cpu < FAKE_CPUS; cpu++)
		fake_leave(cpu);
	if (!fake_stale_expected)
		fake_audit();
	fake_stop();
}

static u64 *touch(unsigned cpu, u64 page)
{
	enum fault_outcome why;

	return fake_access(cpu, &mem, page * PAGE_SIZE, FAKE_WRITE, &why);
}

static void convert(u64 g, u64 count, bool to_private)
{
	assert_int_equal(memory_convert(&mem, gfn(g), count, to_private, MEMORY_ANY_STAMP, gfn(g),
					count, CONVERT_ZERO),
			 OK);
}

static unsigned kicks(void)
{
	return fake_kicks[0] + fake_kicks[1] + fake_kicks[2];
}

/* CPU 1 is in guest mode with a translation of a shared page, CPU 2 in that of the root. */
static void two_inside(void)
{
	start(SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE);
	assert_non_null(touch(1, 1024 | OTHER));
	assert_non_null(fake_root_access(2, 0, FAKE_READ));
	fake_enter(1, &mem.nested, &mem.tlb);
	fake_enter(2, root_nested(), root_tlb());
	assert_non_null(fake_inside(1, (1024 | OTHER) * PAGE_SIZE, FAKE_WRITE));
	assert_non_null(fake_inside(2, 0, FAKE_READ));
}

static void a_cpu_in_guest_mode_is_fetched_out_of_it(void **state)
{
	(void)state;
	two_inside();
	convert(1024, 1, true);
	assert_false(fake_in_guest(1));
	assert_int_equal(fake_kicks[1], 1);
	assert_int_equal(mem.tlb.kick_count, 1);
	assert_null(
		fake_translate(1, &mem.nested, &mem.tlb, (1024 | OTHER) * PAGE_SIZE, FAKE_WRITE));
	stop();
}

static void nobody_else_is_disturbed(void **state)
{
	(void)state;
	two_inside();
	convert(1024, 1, true);
	assert_true(fake_in_guest(2));
	assert_int_equal(kicks(), 1);
	assert_int_equal(root_tlb()->kick_count, 0);
	stop();
}

static void in_place_the_root_is_fetched_too(void **state)
{
	(void)state;
	start(SEPTUM_SLOT_INPLACE);
	assert_non_null(fake_root_access(0, 512 * PAGE_SIZE, FAKE_WRITE));
	fake_enter(0, root_nested(), root_tlb());
	assert_non_null(fake_inside(0, 512 * PAGE_SIZE, FAKE_WRITE));
	convert(1024, 1, true);
	assert_int_equal(fake_kicks[0], 1);
	assert_null(fake_root_access(0, 512 * PAGE_SIZE, FAKE_WRITE));
	stop();
}

static void one_round_serves_a_range(void **state)
{
	(void)state;
	start(SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE);
	for (u64 g = 1024; g < 2048; g++)
		assert_non_null(touch(1, g | OTHER));
	fake_enter(1, &mem.nested, &mem.tlb);
	convert(1024, 1024, true);
	assert_int_equal(kicks(), 1);
	stop();
}

static void a_cpu_that_has_entered_since_is_left_alone(void **state)
{
	struct tlb tlb;

	(void)state;
	start(SEPTUM_SLOT_INPLACE);
	tlb_init(&tlb);
	assert_true(tlb_enter(&tlb, 1)); /* it has never entered */
	assert_int_equal(tlb.seen[1], tlb.epoch);
	tlb_leave(1);
	assert_false(tlb_enter(&tlb, 1));
	tlb_leave(1);
	tlb_invalidate(&tlb);
	assert_int_equal(kicks(), 0); /* it was not in guest mode */
	assert_true(tlb_enter(&tlb, 1));
	assert_true(tlb_enter(&tlb, 2));
	assert_int_equal(tlb.kick_count, 0);
	assert_int_equal(tlb_cpus[1].epoch, tlb.epoch);
	stop();
}

static void a_table_in_the_place_of_an_old_one_begins_with_a_flush(void **state)
{
	struct tlb tlb;

	(void)state;
	start(SEPTUM_SLOT_INPLACE);
	tlb_init(&tlb);
	assert_true(tlb_enter(&tlb, 0));
	tlb_leave(0);
	tlb_init(&tlb);
	assert_true(tlb_enter(&tlb, 0));
	stop();
}

/* What each wrong way leads to: CPU 1 goes on if it was left in guest mode, and enters again if
 * not.
 */
static void each_wrong_flush_is_found(void **state)
{
	(void)state;
	for (variant = RIGHT; variant < VARIANTS; variant++) {
		two_inside();
		fake_stale_expected = true;
		if (variant == NO_EPOCH)
			fake_leave(1);
		convert(1024, 1, true);
		if (fake_in_guest(1))
			fake_inside(1, (1024 | OTHER) * PAGE_SIZE, FAKE_WRITE);
		else
			fake_translate(1, &mem.nested, &mem.tlb, (1024 | OTHER) * PAGE_SIZE,
				       FAKE_WRITE);
		if (variant == RIGHT && fake_stale_count != 0)
			fail_msg("stale without a cause");
		if (variant != RIGHT && fake_stale_count == 0)
			fail_msg("wrong way %u goes unnoticed", variant);
		stop();
	}
	variant = RIGHT;
}

/* ---- The same on threads: one enters and leaves all the time, the other invalidates. */

#define ROUNDS 20000u

static struct tlb raced;
static u64 table = 1; /* what a walk finds; each invalidation replaces it by the next number */
static u64 retired;   /* no CPU may use this one or any before it */
static u64 stale_uses;
static bool race_over;
static bool race_kicked;

static void *racing_cpu(void *argument)
{
	u64 cached = 0;

	(void)argument;
	while (!__atomic_load_n(&race_over, __ATOMIC_ACQUIRE)) {
		if (tlb_enter(&raced, 1))
			cached = 0;
		/* In guest mode until the kick: it is taken as an NMI is, not only when it is
		 * looked for. */
		for (unsigned i = 0; i < 64; i++) {
			u64 floor = __atomic_load_n(&retired, __ATOMIC_ACQUIRE);

			if (cached == 0)
				cached = __atomic_load_n(&table, __ATOMIC_ACQUIRE);
			if (cached <= floor)
				__atomic_fetch_add(&stale_uses, 1, __ATOMIC_RELAXED);
			if (__atomic_exchange_n(&race_kicked, false, __ATOMIC_ACQ_REL))
				break;
		}
		tlb_leave(1);
	}
	return NULL;
}

static void race_kick(unsigned cpu)
{
	assert_int_equal(cpu, 1);
	__atomic_store_n(&race_kicked, true, __ATOMIC_SEQ_CST);
}

static void entering_and_invalidating_see_each_other(void **state)
{
	pthread_t thread;

	(void)state;
	tlb_init(&raced);
	memset(tlb_cpus, 0, sizeof(tlb_cpus));
	fake_kick_hook = race_kick;
	assert_int_equal(pthread_create(&thread, NULL, racing_cpu, NULL), 0);
	for (u64 n = 1; n <= ROUNDS; n++) {
		__atomic_store_n(&table, n + 1, __ATOMIC_RELEASE);
		__real_tlb_invalidate(&raced);
		__atomic_store_n(&retired, n, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&race_over, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	fake_kick_hook = NULL;
	assert_int_equal(stale_uses, 0);
}

/* What nobody can have loaded since the last flush needs no other; whoever enters ends that. */
static void removals_in_a_row_cost_one_flush(void **state)
{
	u64 flushes;

	(void)state;
	start(SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE);
	convert(1024, 511, true);
	for (u64 g = 1024; g < 1040; g++)
		assert_non_null(touch(0, g));
	flushes = mem.tlb.flush_count;
	for (u64 g = 1024; g < 1032; g++)
		convert(g, 1, false);
	assert_int_equal(mem.tlb.flush_count, flushes + 1);
	/* Another CPU enters, flushes, and may load what is left. */
	assert_non_null(touch(1, 1032));
	convert(1032, 1, false);
	assert_int_equal(mem.tlb.flush_count, flushes + 2);
	convert(1033, 1, false);
	assert_int_equal(mem.tlb.flush_count, flushes + 2);
	/* One that is inside is fetched, and stays away from what is gone. */
	fake_enter(2, &mem.nested, &mem.tlb);
	assert_non_null(fake_inside(2, 1034 * PAGE_SIZE, FAKE_WRITE));
	convert(1034, 1, false);
	assert_int_equal(mem.tlb.flush_count, flushes + 3);
	assert_false(fake_in_guest(2));
	assert_int_equal(fake_stale_count, 0);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cpu_in_guest_mode_is_fetched_out_of_it),
		cmocka_unit_test(nobody_else_is_disturbed),
		cmocka_unit_test(in_place_the_root_is_fetched_too),
		cmocka_unit_test(one_round_serves_a_range),
		cmocka_unit_test(removals_in_a_row_cost_one_flush),
		cmocka_unit_test(a_cpu_that_has_entered_since_is_left_alone),
		cmocka_unit_test(a_table_in_the_place_of_an_old_one_begins_with_a_flush),
		cmocka_unit_test(each_wrong_flush_is_found),
		cmocka_unit_test(entering_and_invalidating_see_each_other),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
