/* sources: mm/?*.c tests/host/fake.c */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory, behaviour by behaviour, on a fake machine with a real TLB's bad manners. */
#include "tests/host/fake.h"

#define RAM	     16384ul /* pages: 64 MiB */
#define POOL_FIRST   4096ul
#define POOL_PAGES   (8 * 512ul)
#define SHARED_FIRST 512ul /* root frames offered for shared backing */
#define GPA_BITS     40u
#define BIT_SHARED   39u
#define RWX	     (SEPTUM_ATTR_READ | SEPTUM_ATTR_WRITE | SEPTUM_ATTR_EXEC)
#define PRIVATE	     (RWX | SEPTUM_ATTR_PRIVATE)
#define BOTH	     (SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE)

static struct pool *pool;
static struct memory mem;
static enum fault_outcome why;

static void machine(const struct nested_format *format, u64 pool_pages, unsigned shared_bit)
{
	u32 id;

	fake_start(RAM, format);
	assert_int_equal(pool_create(&id), OK);
	pool = pool_by_id(id);
	assert_int_equal(pool_donate(pool, pfn(POOL_FIRST), pool_pages), OK);
	assert_int_equal(memory_init(&mem, 1, pool, format, shared_bit, GPA_BITS, false, false),
			 OK);
}

/* A VM with a SHARED bit, running, and one slot of 4 MiB at gfn 1024 with both backings. */
static int setup(void **state)
{
	u32 slot;

	(void)state;
	machine(&nested_format_npt, POOL_PAGES, BIT_SHARED);
	assert_int_equal(memory_slot_add(&mem, gfn(1024), 1024, pfn(SHARED_FIRST), BOTH, &slot),
			 OK);
	mem.building = false;
	fake_audit();
	return 0;
}

static int setup_bitless(void **state)
{
	u32 slot;

	(void)state;
	machine(&nested_format_ept, POOL_PAGES, 0);
	assert_int_equal(memory_slot_add(&mem, gfn(1024), 1024, pfn(SHARED_FIRST), BOTH, &slot),
			 OK);
	mem.building = false;
	return 0;
}

static int setup_inplace(void **state)
{
	u32 slot;

	(void)state;
	machine(&nested_format_ept, POOL_PAGES, BIT_SHARED);
	assert_int_equal(memory_slot_add(&mem, gfn(1024), 1024, pfn(SHARED_FIRST),
					 SEPTUM_SLOT_INPLACE, &slot),
			 OK);
	mem.building = false;
	fake_audit();
	return 0;
}

/* Everything goes back to where it came from, zeroed. */
static int teardown(void **state)
{
	pfn_t first;

	(void)state;
	fake_audit();
	assert_int_equal(memory_destroy(&mem), OK);
	fake_audit();
	assert_int_equal(pool_free_count(pool), pool_total_count(pool));
	while (pool_total_count(pool) != 0)
		assert_int_equal(pool_reclaim(pool, &first), OK);
	assert_int_equal(pool_reclaim(pool, &first), E_EMPTY);
	fake_audit();
	assert_int_equal(pool_destroy(pool), OK);
	for (u64 p = 0; p < fake_root_end(); p++) {
		assert_int_equal(frame_get(pfn(p)).state, FRAME_ROOT);
		assert_int_equal(frame_get(pfn(p)).arg, 0);
	}
	fake_stop();
	return 0;
}

static u64 raw(u64 g, bool is_private)
{
	return memory_alias(&mem, g, is_private) * PAGE_SIZE;
}

static u64 *touch(u64 g, bool is_private)
{
	return fake_access(0, &mem, raw(g, is_private), FAKE_WRITE, &why);
}

static void convert(u64 g, u64 count, bool to_private)
{
	assert_int_equal(memory_convert(&mem, gfn(g), count, to_private, MEMORY_ANY_STAMP, gfn(g),
					count, CONVERT_ZERO),
			 OK);
	fake_audit();
}

static unsigned level_of(u64 g, bool is_private)
{
	struct leaf leaf;

	assert_true(nested_find(&mem.nested, memory_alias(&mem, g, is_private), &leaf));
	return leaf.level;
}

static void a_shared_page_is_the_roots_frame(void **state)
{
	u64 *at = touch(1030, false);

	(void)state;
	assert_ptr_equal(at, fake_frame(pfn(SHARED_FIRST + 6)));
	assert_int_equal(level_of(1030, false), LEVEL_2M);
	assert_ptr_equal(fake_root_access(0, (SHARED_FIRST + 6) * PAGE_SIZE, FAKE_WRITE), at);
}

static void an_access_of_the_other_kind_is_a_conversion_fault(void **state)
{
	(void)state;
	assert_null(touch(1030, true));
	assert_int_equal(why, FAULT_CONVERSION);
	convert(1030, 1, true);
	assert_non_null(touch(1030, true));
	assert_null(touch(1030, false));
	assert_int_equal(why, FAULT_CONVERSION);
}

static void what_stands_behind_decides_the_outcome(void **state)
{
	(void)state;
	assert_null(touch(100, true));
	assert_int_equal(why, FAULT_NO_SLOT);
	assert_null(touch(100, false));
	assert_int_equal(why, FAULT_MMIO);
	assert_null(fake_access(0, &mem, BIT(40), FAKE_READ, &why));
	assert_int_equal(why, FAULT_BEYOND);
}

static void shared_content_survives_a_private_period(void **state)
{
	(void)state;
	*touch(1024, false) = 0x11;
	convert(1024, 512, true);
	assert_int_equal(*touch(1024, true), 0);
	*touch(1024, true) = 0x22;
	assert_int_equal(*(u64 *)fake_frame(pfn(SHARED_FIRST)), 0x11);
	convert(1024, 512, false);
	assert_int_equal(*touch(1024, false), 0x11);
	convert(1024, 512, true);
	assert_int_equal(*touch(1024, true), 0);
}

static void a_private_block_is_one_frame_block_until_a_page_leaves(void **state)
{
	u64 free;

	(void)state;
	convert(1024, 512, true);
	*touch(1024, true) = 7;
	assert_int_equal(level_of(1024, true), LEVEL_2M);
	free = pool_free_count(pool);
	convert(1100, 1, false);
	assert_int_equal(level_of(1024, true), LEVEL_4K);
	assert_int_equal(*touch(1024, true), 7);
	/* One frame came back, for one table of attributes and one of translations. */
	assert_int_equal(pool_free_count(pool), free + 1 - 2);
	convert(1100, 1, true);
	assert_int_equal(*touch(1100, true), 0);
}

static void a_block_that_is_whole_again_is_one_leaf_again(void **state)
{
	(void)state;
	convert(1024, 512, true);
	*touch(1024, true) = 7;
	convert(1100, 1, false);
	assert_non_null(touch(1100, false));
	assert_int_equal(level_of(1100, false), LEVEL_4K);
	convert(1100, 1, true);
	*touch(1100, true) = 8;
	assert_int_equal(level_of(1024, true), LEVEL_2M);
	assert_int_equal(*touch(1024, true), 7);
	assert_int_equal(*touch(1100, true), 8);
}

static void populated_pages_of_others_are_not_lost(void **state)
{
	(void)state;
	convert(1024, 512, true);
	*touch(1025, true) = 7;
	assert_int_equal(memory_convert(&mem, gfn(1024), 512, false, MEMORY_ANY_STAMP, gfn(1026), 1,
					CONVERT_ZERO),
			 E_POPULATED);
	mem.discard = true;
	assert_int_equal(memory_convert(&mem, gfn(1024), 512, false, MEMORY_ANY_STAMP, gfn(1026), 1,
					CONVERT_ZERO),
			 OK);
}

static void a_newer_stamp_makes_a_conversion_stale(void **state)
{
	u64 stamp = memory_stamp(&mem), later, old_stamp;
	unsigned bits;

	(void)state;
	convert(1030, 1, true);
	later = memory_stamp(&mem);
	assert_true(later > stamp);
	assert_int_equal(memory_convert(&mem, gfn(1024), 512, true, stamp, gfn(0), 0, CONVERT_ZERO),
			 E_STALE);
	/* The neighbours are not stale. */
	assert_int_equal(memory_convert(&mem, gfn(1031), 1, true, stamp, gfn(0), 0, CONVERT_ZERO),
			 OK);
	assert_int_equal(memory_attr_get(&mem, gfn(1030), &bits, &old_stamp), OK);
	assert_int_equal(old_stamp, later);
	/* What is there already keeps its stamp. */
	convert(1024, 512, true);
	assert_int_equal(memory_attr_get(&mem, gfn(1030), &bits, &old_stamp), OK);
	assert_int_equal(old_stamp, later);
	assert_int_equal(memory_stamp_range(&mem, gfn(1024), 512), memory_stamp(&mem));
	later = memory_stamp(&mem);
	convert(1024, 512, true);
	assert_int_equal(memory_stamp(&mem), later);
}

static void in_place_a_frame_changes_sides(void **state)
{
	u64 address = (SHARED_FIRST + 3) * PAGE_SIZE, value = 5;

	(void)state;
	*touch(1027, false) = 1;
	assert_non_null(fake_root_access(1, address, FAKE_READ));
	convert(1027, 1, true);
	assert_null(fake_root_access(1, address, FAKE_READ));
	assert_int_equal(root_write(hpa(address), &value, 8), E_NOT_ROOT);
	assert_int_equal(*touch(1027, true), 0);
	*touch(1027, true) = 2;
	assert_non_null(fake_root_access(1, address + PAGE_SIZE, FAKE_READ));
	assert_int_equal(memory_convert(&mem, gfn(1027), 1, false, MEMORY_ANY_STAMP, gfn(1027), 1,
					CONVERT_PRESERVE),
			 OK);
	assert_int_equal(*fake_root_access(1, address, FAKE_READ), 2);
	assert_int_equal(memory_convert(&mem, gfn(1027), 1, true, MEMORY_ANY_STAMP, gfn(1027), 1,
					CONVERT_PRESERVE),
			 OK);
	assert_int_equal(*touch(1027, true), 2);
	convert(1027, 1, false);
	assert_int_equal(*fake_root_access(1, address, FAKE_READ), 0);
	assert_int_equal(pool_donate(pool, pfn(SHARED_FIRST), 512), E_NOT_ROOT);
}

static void bitless_kinds_follow_the_attribute(void **state)
{
	u64 done;

	(void)state;
	*touch(1024, false) = 1;
	assert_int_equal(memory_attr_set(&mem, gfn(1024), 1, PRIVATE, &done), E_UNSUPPORTED);
	convert(1024, 1, true);
	assert_int_equal(*touch(1024, true), 0);
	*touch(1024, true) = 2;
	assert_int_equal(*touch(1025, false), 0);
	convert(1024, 1, false);
	assert_int_equal(*touch(1024, false), 1);
}

static void permissions_are_enforced_and_keep_content(void **state)
{
	u64 done;

	(void)state;
	convert(1024, 512, true);
	*touch(1024, true) = 9;
	assert_int_equal(memory_attr_set(&mem, gfn(1024), 256, SEPTUM_ATTR_PRIVATE, &done), OK);
	assert_int_equal(done, 256);
	fake_audit();
	assert_null(fake_access(0, &mem, raw(1024, true), FAKE_READ, &why));
	assert_int_equal(why, FAULT_PERMISSION);
	assert_int_equal(memory_attr_set(&mem, gfn(1024), 256,
					 SEPTUM_ATTR_PRIVATE | SEPTUM_ATTR_READ, &done),
			 OK);
	fake_audit();
	assert_int_equal(*fake_access(0, &mem, raw(1024, true), FAKE_READ, &why), 9);
	assert_null(touch(1024, true));
	assert_int_equal(why, FAULT_PERMISSION);
	assert_int_equal(memory_attr_set(&mem, gfn(1024), 256, SEPTUM_ATTR_WRITE, &done), E_ARG);
	assert_int_equal(memory_attr_set(&mem, gfn(1024), 256, PRIVATE, &done), OK);
	assert_int_equal(*touch(1024, true), 9);
}

static void a_slot_can_go_and_its_frames_come_back(void **state)
{
	u32 slot;

	(void)state;
	*touch(1024, false) = 1;
	convert(1536, 512, true);
	*touch(1536, true) = 1;
	assert_int_equal(memory_slot_remove(&mem, 0), E_POPULATED);
	assert_int_equal(memory_slot_remove(&mem, 1), E_NO_SLOT);
	mem.discard = true;
	fake_stop_after = 1;
	assert_int_equal(memory_slot_remove(&mem, 0), E_AGAIN);
	fake_audit();
	assert_null(touch(1024, false));
	assert_int_equal(why, FAULT_MMIO);
	assert_int_equal(memory_slot_remove(&mem, 0), OK);
	fake_audit();
	assert_null(touch(1536, true));
	assert_int_equal(why, FAULT_NO_SLOT);
	assert_int_equal(memory_slot_add(&mem, gfn(1024), 1024, pfn(0), SEPTUM_SLOT_PRIVATE, &slot),
			 OK);
	assert_int_equal(*touch(1536, true), 0);
}

/* The frames of a block go back together where they lie together, and one by one where not. */
static void a_scattered_block_goes_back_whole(void **state)
{
	static const u64 strides[] = {1, 5, 254};

	(void)state;
	for (unsigned n = 0; n < ARRAY_COUNT(strides); n++) {
		u64 before = pool_free_count(pool), filled;

		/* As long as a page is shared, the others get frames of their own. */
		convert(1024, 511, true);
		for (u64 i = 0; i < 511; i++) {
			u64 *at = touch(1024 + i * strides[n] % 511, true);

			assert_non_null(at);
			*at = i + 1;
		}
		assert_int_equal(mem.content, 511);
		filled = pool_free_count(pool);
		assert_true(before - filled >= 511);
		convert(1535, 1, true);
		/* Part of it, across frames that are neighbours and others; the audit looks at the
		 * content of the free ones. */
		convert(1030, 300, false);
		assert_int_equal(mem.content, 211);
		convert(1024, 512, false);
		assert_int_equal(mem.content, 0);
		assert_int_equal(mem.attr.tables, 3);
		assert_int_equal(mem.nested.leaves[0], 0);
	}
}

/* One page of a block of both kinds takes the short way: it says the same, and a refusal changes
 * nothing. */
static void a_page_of_a_mixed_block_is_refused_without_a_trace(void **state)
{
	u64 since, stamp, word, done;
	u32 slot;

	(void)state;
	convert(1024, 300, true);
	assert_non_null(touch(1030, true));
	assert_non_null(touch(1500, false));
	since = memory_stamp(&mem);
	convert(1031, 1, false);
	convert(1031, 1, true);
	stamp = memory_stamp(&mem);
	word = attr_word(&mem.attr, gfn(1030));

	/* Another has changed since, not this one. */
	assert_int_equal(
		memory_convert(&mem, gfn(1031), 1, false, since, gfn(1031), 1, CONVERT_ZERO),
		E_STALE);
	assert_int_equal(
		memory_convert(&mem, gfn(1030), 1, false, since, gfn(1031), 1, CONVERT_ZERO),
		E_POPULATED);
	assert_int_equal(
		memory_convert(&mem, gfn(1030), 1, false, since, gfn(1030), 1, CONVERT_PRESERVE),
		E_UNSUPPORTED);
	assert_int_equal(
		memory_convert(&mem, gfn(1030), 1, true, since, gfn(1030), 1, CONVERT_ZERO), OK);
	assert_int_equal(memory_stamp(&mem), stamp);
	assert_int_equal(attr_word(&mem.attr, gfn(1030)), word);
	assert_non_null(touch(1030, true));
	/* Nothing private stands behind the page. */
	assert_int_equal(memory_slot_add(&mem, gfn(4096), 8, pfn(3000), SEPTUM_SLOT_SHARED, &slot),
			 OK);
	assert_int_equal(memory_attr_set(&mem, gfn(4100), 1, PRIVATE, &done), OK);
	assert_non_null(touch(4097, false));
	assert_int_equal(memory_convert(&mem, gfn(4097), 1, true, MEMORY_ANY_STAMP, gfn(4097), 1,
					CONVERT_ZERO),
			 E_NO_SLOT);
	assert_non_null(touch(4097, false));
	/* What nobody has used goes without being given up. */
	assert_int_equal(
		memory_convert(&mem, gfn(1033), 1, false, since, gfn(1030), 1, CONVERT_ZERO), OK);
	assert_int_equal(memory_stamp(&mem), stamp + 3); /* with the slot and the attribute */
}

#define TEST(name, before) cmocka_unit_test_setup_teardown(name, before, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_shared_page_is_the_roots_frame, setup),
		TEST(an_access_of_the_other_kind_is_a_conversion_fault, setup),
		TEST(what_stands_behind_decides_the_outcome, setup),
		TEST(shared_content_survives_a_private_period, setup),
		TEST(a_private_block_is_one_frame_block_until_a_page_leaves, setup),
		TEST(a_block_that_is_whole_again_is_one_leaf_again, setup),
		TEST(populated_pages_of_others_are_not_lost, setup),
		TEST(a_newer_stamp_makes_a_conversion_stale, setup),
		TEST(in_place_a_frame_changes_sides, setup_inplace),
		TEST(bitless_kinds_follow_the_attribute, setup_bitless),
		TEST(permissions_are_enforced_and_keep_content, setup),
		TEST(a_slot_can_go_and_its_frames_come_back, setup),
		TEST(a_scattered_block_goes_back_whole, setup),
		TEST(a_page_of_a_mixed_block_is_refused_without_a_trace, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
