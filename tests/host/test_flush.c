/* sources: mm/?*.c tests/host/fake.c */
/* ldflags: -Wl,--wrap=tlb_invalidate */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A test of the tests: with tlb_invalidate() dropped, the fake processors must find stale
 * translations wherever a frame changes hands or an attribute changes; with it, none. */
#include "tests/host/fake.h"

#define RAM	   8192ul
#define POOL_FIRST 4096ul
#define RWX	   ATTR_PERMISSIONS
#define PRIVATE	   (RWX | SEPTUM_ATTR_PRIVATE)

u64 __real_tlb_invalidate(struct tlb *tlb);
u64 __wrap_tlb_invalidate(struct tlb *tlb);

static bool drop;      /* forget to flush */
static bool forgetful; /* .. from the end of start() on */
static unsigned calls;
static u64 interloper; /* another processor accesses this right after each flush */
static struct pool *pool;
static struct memory mem;
static enum fault_outcome why;
static u32 slot;

u64 __wrap_tlb_invalidate(struct tlb *tlb)
{
	calls++;
	if (interloper != 0) {
		u64 epoch = __real_tlb_invalidate(tlb);

		fake_translate(1, tlb == root_tlb() ? root_nested() : &mem.nested, tlb, interloper,
			       FAKE_WRITE);
		return epoch;
	}
	return drop ? tlb->epoch : __real_tlb_invalidate(tlb);
}

static void start(unsigned shared_bit, u32 flags)
{
	u32 id;

	drop = false;
	fake_start(RAM, &nested_format_npt);
	assert_int_equal(pool_create(&id), OK);
	pool = pool_by_id(id);
	assert_int_equal(pool_donate(pool, pfn(POOL_FIRST), 2048), OK);
	assert_int_equal(
		memory_init(&mem, 1, pool, &nested_format_npt, shared_bit, 40, false, true), OK);
	assert_int_equal(memory_slot_add(&mem, gfn(1024), 1024, pfn(512), flags, &slot), OK);
	mem.building = false;
	drop = fake_stale_expected = forgetful;
	calls = 0;
}

static void convert(u64 g, u64 count, bool to_private)
{
	assert_int_equal(memory_convert(&mem, gfn(g), count, to_private, MEMORY_ANY_STAMP, gfn(g),
					count, CONVERT_ZERO),
			 OK);
}

static u64 *touch(u64 g, bool is_private)
{
	return fake_access(0, &mem, memory_alias(&mem, g, is_private) * PAGE_SIZE, FAKE_WRITE,
			   &why);
}

/* Each scenario fills the TLB, takes something away, and touches it again. */
static void to_private(void)
{
	start(39, SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE);
	touch(1024, false);
	convert(1024, 512, true);
	touch(1024, false);
}

static void to_shared(void)
{
	start(39, SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE);
	convert(1024, 512, true);
	touch(1024, true);
	convert(1024, 1, false);
	touch(1024, true);
}

static void bitless(void)
{
	start(0, SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE);
	touch(1024, false);
	convert(1024, 512, true);
	touch(1024, true);
}

static void in_place(void)
{
	start(39, SEPTUM_SLOT_INPLACE);
	convert(1024, 512, true);
	touch(1024, true);
	convert(1024, 512, false);
	touch(1024, true);
}

/* The root's own translation of a frame that becomes private. */
static void in_place_root(void)
{
	start(39, SEPTUM_SLOT_INPLACE);
	fake_root_access(0, 512 * PAGE_SIZE, FAKE_WRITE);
	convert(1024, 1, true);
	fake_root_access(0, 512 * PAGE_SIZE, FAKE_WRITE);
}

static void in_place_added_private(void)
{
	u64 done;

	start(39, SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE);
	assert_int_equal(memory_attr_set(&mem, gfn(4096), 1, PRIVATE, &done), OK);
	fake_root_access(0, 2048 * PAGE_SIZE, FAKE_WRITE);
	assert_int_equal(memory_slot_add(&mem, gfn(4096), 1, pfn(2048), SEPTUM_SLOT_INPLACE, &slot),
			 OK);
	fake_root_access(0, 2048 * PAGE_SIZE, FAKE_WRITE);
}

static void donated(void)
{
	start(39, SEPTUM_SLOT_INPLACE);
	fake_root_access(0, 2048 * PAGE_SIZE, FAKE_READ);
	assert_int_equal(pool_donate(pool, pfn(2048), 512), OK);
	fake_root_access(0, 2048 * PAGE_SIZE, FAKE_READ);
}

static void permission_taken(void)
{
	u64 done;

	start(39, SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE);
	touch(1024, false);
	assert_int_equal(memory_attr_set(&mem, gfn(1024), 1, SEPTUM_ATTR_READ, &done), OK);
	touch(1024, false);
}

static void discarded(void)
{
	u64 done;

	start(39, SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE);
	convert(1024, 512, true);
	touch(1024, true);
	assert_int_equal(memory_discard(&mem, gfn(1024), 512, &done), OK);
	touch(1024, true);
}

static void slot_removed(void)
{
	start(39, SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE);
	touch(1024, false);
	assert_int_equal(memory_slot_remove(&mem, slot), OK);
	touch(1024, false);
}

/* A table replaced by one large leaf: a processor may still walk through the freed table. */
static void table_replaced(void)
{
	start(39, SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE);
	convert(1024, 1, true);
	touch(1025, false);
	convert(1024, 1, false);
	touch(1030, false);
	touch(1031, false);
}

static void (*const scenarios[])(void) = {
	to_private,   to_shared,	bitless,
	in_place,     in_place_root,	in_place_added_private,
	donated,      permission_taken, discarded,
	slot_removed, table_replaced,
};

static void with_flushes_nothing_is_stale(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(scenarios); i++) {
		scenarios[i]();
		fake_audit();
		assert_int_equal(memory_destroy(&mem), OK);
		fake_audit();
		fake_stop();
	}
}

static void without_flushes_each_scenario_is_caught(void **state)
{
	(void)state;
	forgetful = true;
	for (unsigned i = 0; i < ARRAY_COUNT(scenarios); i++) {
		scenarios[i]();
		if (calls == 0 || fake_stale_count == 0)
			fail_msg("scenario %u: %u flushes dropped, none missed", i, calls);
		fake_stop();
	}
	forgetful = false;
}

/* Another processor that runs while the operation goes on has flushed, looks again, and must not
 * find what is about to go. */
static void between_flush_and_reuse_nothing_can_be_loaded(void **state)
{
	static const struct {
		void (*scenario)(void);
		u64 page;
	} cases[] = {
		{to_private, 1024 | 1ul << 27},
		{to_shared, 1024},
		{bitless, 1024},
		{in_place, 1024},
		{in_place_root, 512},
		{donated, 2048},
		{discarded, 1024},
		{slot_removed, 1024 | 1ul << 27},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
		interloper = cases[i].page * PAGE_SIZE;
		cases[i].scenario();
		fake_translate(1, &mem.nested, &mem.tlb, interloper, FAKE_WRITE);
		fake_translate(1, root_nested(), root_tlb(), interloper, FAKE_WRITE);
		interloper = 0;
		fake_audit();
		fake_stop();
	}
}

static void one_flush_serves_a_whole_range(void **state)
{
	(void)state;
	start(39, SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE);
	for (u64 g = 1024; g < 2048; g++)
		touch(g, false);
	calls = 0;
	convert(1024, 1024, true);
	assert_int_equal(calls, 1);
	/* Nothing was mapped: nothing to flush. */
	convert(1024, 1024, false);
	assert_int_equal(calls, 1);
	fake_stop();

	start(39, SEPTUM_SLOT_INPLACE);
	touch(1024, false);
	calls = 0;
	convert(1024, 1024, true);
	assert_int_equal(calls, 2); /* the guest's and the root's */
	fake_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_flushes_nothing_is_stale),
		cmocka_unit_test(without_flushes_each_scenario_is_caught),
		cmocka_unit_test(between_flush_and_reuse_nothing_can_be_loaded),
		cmocka_unit_test(one_flush_serves_a_whole_range),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
