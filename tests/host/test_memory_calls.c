/* sources: mm/?*.c tests/host/fake.c */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory: every refusal, the edges of ranges, 1 GiB leaves, and destruction at every stage.
 */
#include "tests/host/fake.h"

#define RAM	   16384ul
#define POOL_FIRST 8192ul
#define RWX	   ATTR_PERMISSIONS
#define PRIV	   SEPTUM_ATTR_PRIVATE
#define SHARED	   SEPTUM_SLOT_SHARED
#define PRIVATE	   SEPTUM_SLOT_PRIVATE
#define INPLACE	   SEPTUM_SLOT_INPLACE
#define ALL_GIVEN  gfn(0), ~0ul

static struct pool *pool;
static struct memory mem;
static enum fault_outcome why;
static u32 slot;
static u64 done;

static void pool_make(u64 first, u64 blocks)
{
	u32 id;

	assert_int_equal(pool_create(&id), OK);
	pool = pool_by_id(id);
	assert_int_equal(pool_donate(pool, pfn(first), blocks * 512), OK);
}

static enum status memory_make(unsigned bit, bool plain)
{
	return memory_init(&mem, 1, pool, &nested_format_ept, bit, 40, plain, false);
}

static int setup(void **state)
{
	(void)state;
	fake_start(RAM, &nested_format_ept);
	pool_make(POOL_FIRST, 6);
	assert_int_equal(memory_make(39, false), OK);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_audit();
	while (memory_destroy(&mem) == E_AGAIN)
		;
	assert_int_equal(pool_free_count(pool), pool_total_count(pool));
	fake_audit();
	fake_stop();
	return 0;
}

static enum status add(u64 first, u64 count, u64 root, u32 flags)
{
	return memory_slot_add(&mem, gfn(first), count, pfn(root), flags, &slot);
}

static enum status convert(u64 first, u64 count, bool to_private)
{
	return memory_convert(&mem, gfn(first), count, to_private, MEMORY_ANY_STAMP, ALL_GIVEN,
			      CONVERT_ZERO);
}

static u64 *touch(u64 g, bool is_private)
{
	return fake_access(0, &mem, memory_alias(&mem, g, is_private) * PAGE_SIZE, FAKE_WRITE,
			   &why);
}

static void the_shared_bit_has_limits(void **state)
{
	static struct memory other;

	(void)state;
	assert_int_equal(memory_init(&other, 2, pool, &nested_format_npt, 40, 40, false, false),
			 E_ARG);
	assert_int_equal(memory_init(&other, 2, pool, &nested_format_npt, 12, 40, false, false),
			 E_ARG);
	assert_int_equal(memory_init(&other, 2, pool, &nested_format_npt, 47, 52, false, false),
			 OK);
	assert_int_equal(other.gpa_bits, 47);
	assert_int_equal(memory_destroy(&other), OK);
	assert_int_equal(memory_init(&other, 2, pool, &nested_format_npt, 48, 52, false, false),
			 E_ARG);
}

static void slots_are_checked(void **state)
{
	u64 end = 1ul << 27;

	(void)state;
	assert_int_equal(add(0, 1, 0, 0), E_ARG);
	assert_int_equal(add(0, 1, 0, 8), E_ARG);
	assert_int_equal(add(0, 1, 0, INPLACE | SHARED), E_ARG);
	assert_int_equal(add(0, 1, 5, PRIVATE), E_ARG);
	assert_int_equal(add(0, 0, 0, PRIVATE), E_RANGE);
	assert_int_equal(add(end, 1, 0, PRIVATE), E_RANGE);
	assert_int_equal(add(end - 1, 2, 0, PRIVATE), E_RANGE);
	assert_int_equal(add(1, ~0ul, 0, PRIVATE), E_RANGE);
	assert_int_equal(add(0, 512, RAM, SHARED), E_NOT_ROOT);
	assert_int_equal(add(0, 512, ~0ul - 5, SHARED), E_RANGE);
	assert_int_equal(add(0, 512, POOL_FIRST - 1, SHARED), E_NOT_ROOT);
	assert_int_equal(add(0, 512, fake_root_end() - 511, INPLACE), E_NOT_ROOT);
	assert_int_equal(frame_get(pfn(POOL_FIRST - 1)).arg, 0);
	assert_int_equal(add(end - 1, 1, 0, PRIVATE), OK);
	assert_int_equal(slot, 0);
	assert_int_equal(add(100, 10, 100, INPLACE), OK);
	assert_int_equal(add(109, 1, 200, SHARED), E_EXISTS);
	assert_int_equal(add(90, 11, 200, SHARED), E_EXISTS);
	assert_int_equal(add(0, 1, 105, SHARED), E_NOT_ROOT);
	assert_int_equal(add(0, 1, 105, INPLACE), E_NOT_ROOT);
	assert_int_equal(add(0, 1, 300, SHARED), OK);
	assert_int_equal(add(1, 1, 300, SHARED), OK); /* the same frame, twice */
	assert_int_equal(add(2, 1, 300, INPLACE), E_NOT_ROOT);
	for (u64 g = 200; slot != 31; g += 2)
		assert_int_equal(add(g, 1, 0, PRIVATE), OK);
	assert_int_equal(add(1000, 1, 0, PRIVATE), E_LIMIT);
	assert_int_equal(memory_slot_remove(&mem, 5), OK);
	assert_int_equal(add(1000, 1, 0, PRIVATE), OK);
	assert_int_equal(slot, 5);
	assert_int_equal(memory_slot_remove(&mem, 32), E_NO_SLOT);
	assert_int_equal(memory_slot_remove(&mem, ~0ul), E_NO_SLOT);
	assert_true(mem.slot_stamp == memory_stamp(&mem));
}

static void a_plain_vm_is_never_private(void **state)
{
	(void)state;
	assert_int_equal(memory_destroy(&mem), OK);
	assert_int_equal(memory_make(0, true), OK);
	assert_int_equal(add(0, 1, 0, PRIVATE), E_UNSUPPORTED);
	assert_int_equal(add(0, 1, 0, INPLACE), E_UNSUPPORTED);
	assert_int_equal(add(0, 1024, 512, SHARED), OK);
	assert_int_equal(convert(0, 1, true), E_UNSUPPORTED);
	assert_int_equal(convert(0, 1, false), E_UNSUPPORTED);
	assert_int_equal(memory_attr_set(&mem, gfn(0), 1, RWX | PRIV, &done), E_UNSUPPORTED);
	assert_int_equal(memory_attr_set(&mem, gfn(0), 1, SEPTUM_ATTR_READ, &done), OK);
	assert_null(touch(0, false));
	assert_int_equal(why, FAULT_PERMISSION);
	assert_non_null(touch(1, false));
	assert_non_null(touch(600, false));
}

static void ranges_are_checked(void **state)
{
	u64 end = 1ul << 27, stamp;
	unsigned bits;

	(void)state;
	assert_int_equal(add(0, 1024, 512, SHARED | PRIVATE), OK);
	assert_int_equal(convert(0, 0, true), E_RANGE);
	assert_int_equal(convert(end, 1, true), E_RANGE);
	assert_int_equal(convert(end - 1, 2, false), E_RANGE);
	assert_int_equal(convert(1, ~0ul, false), E_RANGE);
	assert_int_equal(convert(0, CONVERT_PAGES_MAX + 1, false), E_RANGE);
	assert_int_equal(convert(0, CONVERT_PAGES_MAX, false), OK);
	assert_int_equal(convert(1000, 100, true), E_NO_SLOT);
	assert_int_equal(memory_attr_set(&mem, gfn(end), 1, RWX, &done), E_RANGE);
	assert_int_equal(memory_attr_set(&mem, gfn(0), 1, 16, &done), E_ARG);
	assert_int_equal(memory_attr_get(&mem, gfn(end), &bits, &stamp), E_RANGE);
	assert_int_equal(memory_discard(&mem, gfn(0), 0, &done), E_RANGE);
	assert_int_equal(memory_prefault(&mem, gfn(end - 1), 2, &done), E_RANGE);
	assert_int_equal(memory_load(&mem, gfn(0), 513, pfn(0), &done), E_RANGE);
	assert_int_equal(memory_load(&mem, gfn(end), 1, pfn(0), &done), E_RANGE);
	assert_int_equal(memory_load(&mem, gfn(0), 1, pfn(RAM), &done), E_NOT_ROOT);
	assert_int_equal(memory_load(&mem, gfn(0), 2, pfn(~0ul), &done), E_NOT_ROOT);
	assert_int_equal(memory_stamp_range(&mem, gfn(end), 1), 0);
	/* The whole space is a range. */
	assert_int_equal(memory_attr_set(&mem, gfn(0), end, RWX | PRIV, &done), OK);
	assert_int_equal(done, end);
	assert_int_equal(mem.attr.tables, 0);
}

static void attributes_may_precede_slots(void **state)
{
	(void)state;
	mem.building = false;
	assert_int_equal(memory_attr_set(&mem, gfn(0), 1024, RWX | PRIV, &done), OK);
	assert_null(touch(5, true));
	assert_int_equal(why, FAULT_NO_SLOT);
	*(u64 *)fake_frame(pfn(517)) = 1;
	*(u64 *)fake_frame(pfn(2000)) = 2;
	fake_root_access(0, 517 * PAGE_SIZE, FAKE_WRITE);
	assert_int_equal(add(0, 100, 512, INPLACE), OK);
	assert_int_equal(add(100, 100, 0, PRIVATE), OK);
	fake_audit();
	assert_null(fake_root_access(0, 517 * PAGE_SIZE, FAKE_WRITE));
	assert_int_equal(*touch(5, true), 0);
	*touch(5, true) = 9;
	assert_int_equal(*touch(105, true), 0);
	assert_int_equal(memory_slot_remove(&mem, 0), E_POPULATED);
	assert_int_equal(memory_slot_remove(&mem, 1), E_POPULATED);
	mem.discard = true;
	assert_int_equal(memory_slot_remove(&mem, 0), OK);
	assert_int_equal(*fake_root_access(0, 517 * PAGE_SIZE, FAKE_WRITE), 0);
	assert_int_equal(frame_get(pfn(517)).state, FRAME_ROOT);
}

static void content_is_kept_only_in_place(void **state)
{
	(void)state;
	assert_int_equal(add(0, 512, 512, INPLACE), OK);
	assert_int_equal(add(512, 512, 1024, SHARED | PRIVATE), OK);
	assert_int_equal(memory_convert(&mem, gfn(0), 1024, true, MEMORY_ANY_STAMP, ALL_GIVEN,
					CONVERT_PRESERVE),
			 E_UNSUPPORTED);
	*touch(5, false) = 6;
	assert_int_equal(memory_convert(&mem, gfn(0), 512, true, MEMORY_ANY_STAMP, ALL_GIVEN,
					CONVERT_PRESERVE),
			 OK);
	assert_int_equal(*touch(5, true), 6);
	/* To shared without a slot: there is nothing to keep, and nothing against it. */
	assert_int_equal(convert(5000, 10, false), OK);
	assert_int_equal(memory_convert(&mem, gfn(5000), 10, false, MEMORY_ANY_STAMP, ALL_GIVEN,
					CONVERT_PRESERVE),
			 E_UNSUPPORTED);
}

static void in_place_content_counts_as_populated(void **state)
{
	(void)state;
	assert_int_equal(add(0, 512, 512, INPLACE), OK);
	mem.building = false;
	assert_int_equal(convert(0, 4, true), OK);
	assert_int_equal(
		memory_convert(&mem, gfn(0), 4, false, MEMORY_ANY_STAMP, gfn(1), 1, CONVERT_ZERO),
		E_POPULATED);
	assert_int_equal(
		memory_convert(&mem, gfn(1), 1, false, MEMORY_ANY_STAMP, gfn(1), 1, CONVERT_ZERO),
		OK);
	assert_int_equal(memory_discard(&mem, gfn(0), 1, &done), E_UNSUPPORTED);
}

static void prefault_stops_where_the_backing_ends(void **state)
{
	(void)state;
	assert_int_equal(add(100, 1000, 612, SHARED | PRIVATE), OK);
	assert_int_equal(convert(400, 200, true), OK);
	assert_int_equal(memory_prefault(&mem, gfn(100), 1000, &done), OK);
	assert_int_equal(done, 1000);
	assert_int_equal(mem.content, 200);
	assert_int_equal(memory_prefault(&mem, gfn(1090), 20, &done), E_NO_SLOT);
	assert_int_equal(done, 10);
	assert_int_equal(memory_prefault(&mem, gfn(99), 20, &done), E_NO_SLOT);
	assert_int_equal(done, 0);
	fake_stop_after = 1;
	assert_int_equal(memory_prefault(&mem, gfn(100), 1000, &done), E_AGAIN);
	assert_int_equal((100 + done) % 512, 0);
}

static void loading_ends_with_building(void **state)
{
	(void)state;
	for (u64 p = 3000; p < 3010; p++)
		*(u64 *)fake_frame(pfn(p)) = p;
	assert_int_equal(add(0, 512, 512, SHARED | PRIVATE), OK);
	assert_int_equal(add(512, 512, 1024, INPLACE), OK);
	assert_int_equal(convert(5, 2, true), OK);
	assert_int_equal(convert(513, 1, true), OK);
	assert_int_equal(memory_load(&mem, gfn(4), 4, pfn(3000), &done), OK);
	assert_int_equal(done, 4);
	assert_int_equal(*touch(4, false), 3000);
	assert_int_equal(*touch(5, true), 3001);
	assert_int_equal(*touch(6, true), 3002);
	assert_int_equal(*touch(7, false), 3003);
	assert_int_equal(*(u64 *)fake_frame(pfn(517)), 0);
	assert_int_equal(memory_load(&mem, gfn(512), 2, pfn(3004), &done), OK);
	assert_int_equal(*touch(512, false), 3004);
	assert_int_equal(*touch(513, true), 3005);
	assert_int_equal(memory_load(&mem, gfn(1022), 4, pfn(3000), &done), E_NO_SLOT);
	assert_int_equal(done, 2);
	mem.building = false;
	assert_int_equal(memory_load(&mem, gfn(4), 4, pfn(3000), &done), E_STATE);
	assert_int_equal(done, 0);
	assert_int_equal(memory_discard(&mem, gfn(4), 4, &done), E_POPULATED);
}

static void discarded_pages_read_zero_and_neighbours_keep(void **state)
{
	(void)state;
	assert_int_equal(add(0, 1024, 512, SHARED | PRIVATE), OK);
	mem.building = false;
	mem.discard = true;
	assert_int_equal(convert(0, 1024, true), OK);
	for (u64 g = 0; g < 1024; g++)
		*touch(g, true) = g + 1;
	assert_int_equal(memory_discard(&mem, gfn(100), 500, &done), OK);
	assert_int_equal(done, 500);
	fake_audit();
	for (u64 g = 0; g < 1024; g++)
		assert_int_equal(*touch(g, true), g >= 100 && g < 600 ? 0 : g + 1);
	fake_stop_after = 1;
	assert_int_equal(memory_discard(&mem, gfn(0), 1024, &done), E_AGAIN);
	assert_int_equal(done, 512);
	assert_int_equal(*touch(5, true), 0);
	assert_int_equal(*touch(600, true), 601);
}

static void software_accesses_have_the_guests_rights(void **state)
{
	u64 value = 0x1122334455667788ul, shared = 1ul << 39;
	bool swapped = false;

	(void)state;
	assert_int_equal(add(0, 512, 512, SHARED | PRIVATE), OK);
	assert_int_equal(convert(1, 1, true), OK);
	assert_false(memory_read(&mem, shared + 8, &value, 8)); /* nothing is mapped */
	assert_non_null(touch(0, false));
	assert_non_null(touch(1, true));
	assert_true(memory_write(&mem, shared + 8, &value, 8));
	value = 0;
	assert_true(memory_read(&mem, shared + 10, &value, 4));
	assert_int_equal(value, 0x33445566);
	assert_false(memory_read(&mem, 8, &value, 8));
	assert_false(memory_read(&mem, shared + PAGE_SIZE + 8, &value, 8));
	assert_false(memory_read(&mem, shared + PAGE_SIZE - 4, &value, 8)); /* crosses */
	assert_true(memory_read(&mem, shared + PAGE_SIZE - 8, &value, 8));
	assert_false(memory_read(&mem, 1ul << 40, &value, 8));
	assert_false(memory_read(&mem, ~7ul, &value, 8));
	assert_true(memory_cmpxchg(&mem, shared + 8, 8, 0x1122334455667788ul, 5, &swapped));
	assert_true(swapped);
	assert_true(memory_cmpxchg(&mem, shared + 8, 4, 6, 7, &swapped));
	assert_false(swapped);
	assert_true(memory_cmpxchg(&mem, shared + 8, 4, 5, 7, &swapped));
	assert_true(swapped);
	assert_int_equal(((u64 *)fake_frame(pfn(512)))[1], 7);
	assert_false(memory_cmpxchg(&mem, shared + 9, 4, 5, 7, &swapped));
	assert_false(memory_cmpxchg(&mem, shared + 8, 2, 5, 7, &swapped));
	assert_int_equal(memory_attr_set(&mem, gfn(0), 1, SEPTUM_ATTR_READ, &done), OK);
	assert_true(memory_read(&mem, shared + 8, &value, 8));
	assert_false(memory_write(&mem, shared + 8, &value, 8));
	assert_false(memory_cmpxchg(&mem, shared + 8, 4, 7, 7, &swapped));
	assert_int_equal(memory_attr_set(&mem, gfn(1), 1, PRIV, &done), OK);
	assert_false(memory_read(&mem, PAGE_SIZE, &value, 8));
}

static void a_decision_changes_nothing(void **state)
{
	const struct access access = {.raw_gpa = 5 * PAGE_SIZE + 7, .exec = true};
	struct fault fault;
	struct memory_counts counts;

	(void)state;
	assert_int_equal(add(0, 512, 512, SHARED | PRIVATE), OK);
	fault = memory_decide(&mem, &access);
	assert_int_equal(fault.outcome, FAULT_CONVERSION);
	assert_true(fault.is_private);
	assert_int_equal(fault.gpa.n, 5 * PAGE_SIZE + 7);
	assert_int_equal(fault.stamp, memory_stamp(&mem));
	assert_int_equal(convert(5, 1, true), OK);
	assert_int_equal(memory_decide(&mem, &access).outcome, FAULT_RESOLVED);
	memory_count(&mem, &counts);
	assert_int_equal(counts.private_pages, 1);
	assert_int_equal(counts.shared_pages, 511);
	assert_int_equal(counts.mapped[0] + counts.mapped[1] + counts.mapped[2], 0);
	assert_int_equal(memory_frames(&mem), 1 + 3);
	assert_int_equal(memory_fault(&mem, &access).outcome, FAULT_RESOLVED);
	memory_count(&mem, &counts);
	assert_int_equal(counts.mapped[0], 1);
	assert_int_equal(memory_frames(&mem), 1 + 3 + 3 + 1);
}

static void idle_ranges_are_one_piece(void **state)
{
	u64 end = 1ul << 27;

	(void)state;
	assert_int_equal(add(1024, end / 2, 0, PRIVATE), OK);
	assert_int_equal(convert(1ul << 20, 1, true), OK);
	assert_non_null(touch(1ul << 20, true));
	/* Up to the page, its block, and the rest: at most two questions. */
	fake_stop_after = 3;
	assert_int_equal(memory_attr_set(&mem, gfn(0), end, RWX | PRIV, &done), OK);
	fake_audit();
	fake_stop_after = 3;
	assert_int_equal(memory_attr_set(&mem, gfn(0), end, RWX, &done), OK);
	fake_audit();
	fake_stop_after = 1;
	assert_int_equal(memory_slot_remove(&mem, 0), OK);
	fake_stop_after = 0;
}

static void a_48_bit_space_does_not_wrap(void **state)
{
	static struct memory other;
	u64 value;

	(void)state;
	assert_int_equal(memory_init(&other, 2, pool, &nested_format_npt, 0, 52, false, false), OK);
	assert_int_equal(memory_slot_add(&other, gfn(0), 1, pfn(512), SHARED, &slot), OK);
	assert_non_null(fake_access(0, &other, 0, FAKE_READ, &why));
	assert_true(memory_read(&other, 0, &value, 8));
	assert_false(memory_read(&other, 1ul << 48, &value, 8));
	assert_int_equal(memory_fault(&other, &(struct access){.raw_gpa = 1ul << 48}).outcome,
			 FAULT_BEYOND);
	assert_int_equal(memory_slot_add(&other, gfn((1ul << 36) - 1), 1, pfn(513), SHARED, &slot),
			 OK);
	assert_int_equal(memory_convert(&other, gfn((1ul << 36) - 1), 1, false, MEMORY_ANY_STAMP,
					ALL_GIVEN, CONVERT_ZERO),
			 OK);
	assert_non_null(fake_access(0, &other, (1ul << 48) - 8, FAKE_READ, &why));
	fake_audit();
	assert_int_equal(memory_attr_set(&other, gfn(0), 1ul << 36, RWX | PRIV, &done), OK);
	fake_audit();
	assert_int_equal(memory_destroy(&other), OK);
}

/* ---- destruction */

static void stage_nothing(void)
{
}

static void stage_slots(void)
{
	assert_int_equal(add(0, 2048, 512, SHARED | PRIVATE), OK);
	assert_int_equal(add(4096, 2048, 4096, INPLACE), OK);
}

static void stage_attributes(void)
{
	stage_slots();
	assert_int_equal(convert(100, 1500, true), OK);
	assert_int_equal(convert(4100, 1500, true), OK);
}

static void stage_populated(void)
{
	stage_attributes();
	for (u64 g = 0; g < 2048; g += 7)
		assert_non_null(touch(g, g >= 100 && g < 1600));
	for (u64 g = 4096; g < 4096 + 2048; g += 7)
		*touch(g, g >= 4100 && g < 5600) = g;
}

static void stage_restricted(void)
{
	stage_populated();
	assert_int_equal(memory_attr_set(&mem, gfn(0), 8192, PRIV, &done), OK);
}

static void stage_scattered(void)
{
	stage_populated();
	for (u64 g = 1; g < 2048; g += 2)
		assert_int_equal(convert(g, 1, false), OK);
	for (u64 g = 0; g < 2048; g += 3)
		touch(g, g % 2 == 0 && g >= 100 && g < 1600);
}

static void destruction_gives_everything_back_at_every_stage(void **state)
{
	static void (*const stages[])(void) = {stage_nothing,	stage_slots,	  stage_attributes,
					       stage_populated, stage_restricted, stage_scattered};

	(void)state;
	for (unsigned i = 0; i < 2 * ARRAY_COUNT(stages); i++) {
		enum status status;
		unsigned pieces = 0;
		pfn_t first;

		fake_start(RAM, &nested_format_ept);
		pool_make(POOL_FIRST, 6);
		assert_int_equal(memory_make(39, false), OK);
		stages[i / 2]();
		fake_audit();
		do {
			fake_stop_after = i % 2;
			status = memory_destroy(&mem);
			fake_stop_after = 0;
			fake_audit();
			pieces++;
		} while (status == E_AGAIN);
		assert_int_equal(status, OK);
		assert_true(i % 2 == 0 ? pieces == 1 : pieces > 4 || i / 2 == 0);
		assert_int_equal(pool_free_count(pool), 6 * 512);
		while (pool_reclaim(pool, &first) == OK)
			;
		assert_int_equal(pool_destroy(pool), OK);
		for (u64 p = 0; p < fake_root_end(); p++) {
			assert_int_equal(frame_get(pfn(p)).state, FRAME_ROOT);
			assert_int_equal(frame_get(pfn(p)).arg, 0);
		}
		/* What was private in place is zero: every page that had been written. */
		for (u64 g = 4100; i / 2 >= 3 && g < 5600; g++)
			assert_int_equal(*(u64 *)fake_frame(pfn(g)), 0);
		fake_stop();
	}
}

/* ---- large leaves */

#define BIG (3 * 512ul * 512ul) /* 3 GiB, of which little is touched */

static unsigned level_of(u64 g, bool is_private)
{
	struct leaf leaf;

	assert_true(nested_find(&mem.nested, memory_alias(&mem, g, is_private), &leaf));
	return leaf.level;
}

static void one_gigabyte_is_one_leaf_while_it_is_uniform(void **state)
{
	const u64 gib = 512 * 512, first = gib;

	(void)state;
	fake_start(BIG, &nested_format_ept);
	pool_make(0, 4);
	assert_int_equal(memory_make(39, false), OK);
	assert_non_null(fake_root_access(0, (gib + 5) * PAGE_SIZE, FAKE_READ));
	assert_int_equal(root_nested()->leaves[2], 1);
	assert_int_equal(add(first, gib, gib, INPLACE), OK);
	*touch(first + 5, false) = 1;
	*touch(first + gib - 1, false) = 2;
	assert_int_equal(level_of(first, false), LEVEL_1G);
	assert_int_equal(mem.nested.tables, 2);
	assert_int_equal(convert(first + 1000, 1, true), OK);
	fake_audit();
	assert_int_equal(level_of(first, false), LEVEL_2M);
	assert_int_equal(level_of(first + 999, false), LEVEL_4K);
	assert_int_equal(*touch(first + 5, false), 1);
	*touch(first + 1000, true) = 3;
	assert_null(fake_root_access(0, (gib + 1000) * PAGE_SIZE, FAKE_READ));
	assert_non_null(fake_root_access(0, (gib + 1001) * PAGE_SIZE, FAKE_READ));
	assert_int_equal(convert(first + 1000, 1, false), OK);
	assert_int_equal(*touch(first + 1000, false), 0);
	assert_int_equal(level_of(first, false), LEVEL_1G);
	assert_int_equal(*touch(first + gib - 1, false), 2);
	fake_audit();
	/* The root's leaf comes back too. */
	assert_non_null(fake_root_access(0, (gib + 1000) * PAGE_SIZE, FAKE_READ));
	assert_int_equal(root_nested()->leaves[2], 1);
	fake_stop_after = 1;
	assert_int_equal(memory_slot_remove(&mem, 0), OK); /* not inside of a leaf */
	fake_stop_after = 0;
	fake_audit();
	while (memory_destroy(&mem) == E_AGAIN)
		;
	fake_audit();
	fake_stop();
}

static void leaves_are_no_larger_than_the_processor_has(void **state)
{
	(void)state;
	nested_level_max = LEVEL_4K;
	assert_int_equal(add(0, 1024, 512, SHARED | PRIVATE), OK);
	assert_int_equal(convert(0, 512, true), OK);
	assert_non_null(touch(5, true));
	assert_non_null(touch(600, false));
	assert_int_equal(mem.nested.leaves[0], 2);
	assert_int_equal(mem.nested.leaves[1], 0);
	assert_int_equal(mem.content, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_shared_bit_has_limits),
		TEST(slots_are_checked),
		TEST(a_plain_vm_is_never_private),
		TEST(ranges_are_checked),
		TEST(attributes_may_precede_slots),
		TEST(content_is_kept_only_in_place),
		TEST(in_place_content_counts_as_populated),
		TEST(prefault_stops_where_the_backing_ends),
		TEST(loading_ends_with_building),
		TEST(discarded_pages_read_zero_and_neighbours_keep),
		TEST(software_accesses_have_the_guests_rights),
		TEST(a_decision_changes_nothing),
		TEST(idle_ranges_are_one_piece),
		TEST(a_48_bit_space_does_not_wrap),
		TEST(leaves_are_no_larger_than_the_processor_has),
		cmocka_unit_test(destruction_gives_everything_back_at_every_stage),
		cmocka_unit_test(one_gigabyte_is_one_leaf_while_it_is_uniform),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
