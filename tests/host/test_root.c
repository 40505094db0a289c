/* sources: mm/?*.c tests/host/fake.c */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The root partition's view, and pools. */
#include "tests/host/fake.h"

#define RAM 16384ul

static struct pool *new_pool(void)
{
	u32 id = 0;

	assert_int_equal(pool_create(&id), OK);
	assert_int_equal(pool_id(pool_by_id(id)), id);
	return pool_by_id(id);
}

static int setup(void **state)
{
	(void)state;
	fake_start(RAM, &nested_format_ept);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_audit();
	fake_stop();
	return 0;
}

static unsigned level_of(u64 p)
{
	struct leaf leaf;

	assert_true(nested_find(root_nested(), p, &leaf));
	assert_int_equal(leaf.pfn.n + (p - leaf.page), p);
	return leaf.level;
}

static void the_root_maps_itself_in_blocks_on_demand(void **state)
{
	(void)state;
	assert_int_equal(root_nested()->leaves[1], 0);
	assert_non_null(fake_root_access(0, 700 * PAGE_SIZE, FAKE_EXEC));
	assert_int_equal(level_of(700), LEVEL_2M);
	assert_int_equal(root_nested()->leaves[1], 1);
}

static void what_is_not_the_roots_is_refused(void **state)
{
	struct pool *pool = new_pool();

	(void)state;
	assert_int_equal(pool_donate(pool, pfn(1024), 512), OK);
	assert_null(fake_root_access(0, 1030 * PAGE_SIZE, FAKE_READ));
	assert_non_null(fake_root_access(0, 1023 * PAGE_SIZE, FAKE_READ));
	/* Septum's own, in a block that the root has a part of. */
	assert_null(fake_root_access(0, fake_root_end() * PAGE_SIZE, FAKE_READ));
	assert_non_null(fake_root_access(0, (fake_root_end() - 1) * PAGE_SIZE, FAKE_READ));
	assert_int_equal(level_of(fake_root_end() - 1), LEVEL_4K);
	assert_null(fake_root_access(0, 1ul << 40, FAKE_READ));
	assert_null(fake_root_access(0, 1ul << 50, FAKE_READ));
}

static void devices_are_the_roots_unless_hidden(void **state)
{
	const u64 device = 0xfee00000ul;
	struct leaf leaf;

	(void)state;
	assert_ptr_equal(fake_root_access(0, device, FAKE_WRITE), &fake_device);
	assert_int_equal(level_of(device / PAGE_SIZE), LEVEL_2M);
	memory_claim(hpa(device), 1);
	assert_null(fake_root_access(0, device, FAKE_WRITE));
	assert_ptr_equal(fake_root_access(0, device + PAGE_SIZE, FAKE_WRITE), &fake_device);
	assert_int_equal(level_of(device / PAGE_SIZE + 1), LEVEL_4K);
	assert_true(nested_find(root_nested(), device / PAGE_SIZE + 1, &leaf));
	assert_int_equal(leaf.entry >> 3 & 7, MEMTYPE_UC);
	assert_false(root_device(hpa(device), PAGE_SIZE));
	assert_true(root_device(hpa(device + PAGE_SIZE), PAGE_SIZE));
	assert_false(root_device(hpa(5 * PAGE_SIZE), PAGE_SIZE));
}

static void claimed_ram_disappears(void **state)
{
	(void)state;
	assert_non_null(fake_root_access(0, 700 * PAGE_SIZE, FAKE_READ));
	memory_claim(hpa(700 * PAGE_SIZE + 5), 1);
	assert_null(fake_root_access(0, 700 * PAGE_SIZE, FAKE_READ));
	assert_non_null(fake_root_access(0, 701 * PAGE_SIZE, FAKE_READ));
	assert_int_equal(frame_get(pfn(700)).state, FRAME_SEPTUM);
}

static void mixed_memory_types_are_mapped_by_pages(void **state)
{
	(void)state;
	fake_memtype_large = -1;
	assert_ptr_equal(fake_root_access(0, 1ul << 32, FAKE_READ), &fake_device);
	assert_int_equal(level_of((1ul << 32) / PAGE_SIZE), LEVEL_4K);
}

/* There are tables for some 60 blocks of pages: the rest makes room by dropping everything. */
static void the_roots_tables_are_a_cache(void **state)
{
	u64 epoch = root_tlb()->epoch;

	(void)state;
	fake_memtype_large = -1;
	for (u64 i = 0; i < 300; i++)
		assert_ptr_equal(fake_root_access(0, (1ul << 32) + (i << 21), FAKE_READ),
				 &fake_device);
	assert_true(root_tlb()->epoch > epoch);
	assert_true(root_nested()->tables < 100);
	assert_non_null(fake_root_access(0, 700 * PAGE_SIZE, FAKE_READ));
	assert_ptr_equal(fake_root_access(0, 1ul << 32, FAKE_READ), &fake_device);
}

static void a_block_that_is_the_roots_again_is_one_leaf_again(void **state)
{
	(void)state;
	assert_int_equal(root_offer(pfn(600), 1, 1, gfn(5)), OK);
	root_lock();
	assert_true(frame_change(FRAME_OP_HIDE, pfn(600), 1, 5));
	root_unlock();
	assert_non_null(fake_root_access(0, 700 * PAGE_SIZE, FAKE_READ));
	assert_int_equal(level_of(700), LEVEL_4K);
	assert_null(fake_root_access(0, 600 * PAGE_SIZE, FAKE_READ));
	assert_true(frame_change(FRAME_OP_REVEAL, pfn(600), 1, 5));
	root_withdraw(pfn(600), 1, 1);
	assert_non_null(fake_root_access(0, 600 * PAGE_SIZE, FAKE_READ));
	assert_int_equal(level_of(700), LEVEL_2M);
}

static void copies_cross_pages_and_touch_only_the_roots(void **state)
{
	struct pool *pool = new_pool();
	static u8 from[3 * PAGE_SIZE], to[3 * PAGE_SIZE];
	u64 address = 1024 * PAGE_SIZE - 2 * PAGE_SIZE - 100;

	(void)state;
	assert_int_equal(pool_donate(pool, pfn(1024), 512), OK);
	for (unsigned i = 0; i < sizeof(from); i++)
		from[i] = (u8)fake_random();
	assert_int_equal(root_write(hpa(address), from, 2 * PAGE_SIZE + 100), OK);
	assert_int_equal(root_read(hpa(address), to, 2 * PAGE_SIZE + 100), OK);
	assert_memory_equal(from, to, 2 * PAGE_SIZE + 100);
	assert_memory_equal((u8 *)fake_frame(pfn(1021)) + PAGE_SIZE - 100, from, 100);
	/* One byte more is the pool's: nothing is written at all. */
	memset(from, 0, sizeof(from));
	assert_int_equal(root_write(hpa(address), from, 2 * PAGE_SIZE + 101), E_NOT_ROOT);
	assert_memory_equal((u8 *)fake_frame(pfn(1021)) + PAGE_SIZE - 100, to, 100);
	assert_int_equal(root_read(hpa(address), to, 2 * PAGE_SIZE + 101), E_NOT_ROOT);
	assert_int_equal(root_read(hpa(~0ul - 10), to, 100), E_NOT_ROOT);
	assert_int_equal(root_read(hpa(RAM * PAGE_SIZE), to, 8), E_NOT_ROOT);
	assert_int_equal(root_read(hpa(fake_root_end() * PAGE_SIZE), to, 8), E_NOT_ROOT);
	assert_int_equal(root_read(hpa(address), to, 0), OK);
}

static void pins_are_all_or_none(void **state)
{
	struct pool *pool = new_pool();

	(void)state;
	assert_int_equal(pool_donate(pool, pfn(1024), 512), OK);
	assert_int_equal(root_pin(pfn(1020), 5), E_NOT_ROOT);
	assert_int_equal(frame_get(pfn(1020)).arg, 0);
	assert_int_equal(root_pin(pfn(1020), 0), E_RANGE);
	assert_int_equal(root_pin(pfn(~0ul), 2), E_RANGE);
	assert_int_equal(root_pin(pfn(RAM), 1), E_NOT_ROOT);
	assert_int_equal(root_pin(pfn(1020), 4), OK);
	assert_int_equal(pool_donate(pool, pfn(512), 512), E_NOT_ROOT);
	assert_int_equal(root_offer(pfn(1019), 2, 1, gfn(0)), E_NOT_ROOT);
	root_unpin(pfn(1020), 4);
	assert_int_equal(root_offer(pfn(1019), 2, 1, gfn(0)), OK);
	assert_int_equal(root_pin(pfn(1018), 2), E_NOT_ROOT);
	root_withdraw(pfn(1019), 2, 1);
	assert_int_equal(pool_donate(pool, pfn(512), 512), OK);
}

/* ---- pools */

static void donations_are_checked(void **state)
{
	struct pool *pool = new_pool();

	(void)state;
	assert_int_equal(pool_donate(pool, pfn(100), 512), E_ALIGN);
	assert_int_equal(pool_donate(pool, pfn(512), 100), E_ALIGN);
	assert_int_equal(pool_donate(pool, pfn(512), 0), E_RANGE);
	assert_int_equal(pool_donate(pool, pfn(0), 65 * 512), E_RANGE);
	assert_int_equal(pool_donate(pool, pfn(RAM), 512), E_RANGE);
	assert_int_equal(pool_donate(pool, pfn(RAM - 512), 1024), E_RANGE);
	assert_int_equal(pool_donate(pool, pfn(~0ul << 9), 512), E_RANGE);
	assert_int_equal(pool_donate(pool, pfn(ALIGN_DOWN(fake_root_end(), 512)), 512), E_NOT_ROOT);
	assert_int_equal(pool_total_count(pool), 0);
	assert_int_equal(pool_donate(pool, pfn(512), 1024), OK);
	assert_int_equal(pool_donate(pool, pfn(1024), 1024), E_NOT_ROOT);
	assert_int_equal(pool_total_count(pool), 1024);
	assert_int_equal(pool_free_count(pool), 1024);
}

static void donated_and_reclaimed_frames_are_zero(void **state)
{
	struct pool *pool = new_pool();
	pfn_t first;

	(void)state;
	for (u64 p = 512; p < 1024; p++)
		*fake_root_access(0, p * PAGE_SIZE, FAKE_WRITE) = p;
	assert_int_equal(pool_donate(pool, pfn(512), 512), OK);
	fake_audit();
	first = pool_take(pool, FRAME_OBJECT, 1, 0);
	*(u64 *)fake_frame(first) = 5;
	assert_int_equal(pool_reclaim(pool, &first), E_EMPTY);
	pool_give(pool, pfn(512));
	assert_int_equal(pool_reclaim(pool, &first), OK);
	assert_int_equal(first.n, 512);
	for (u64 p = 512; p < 1024; p++)
		assert_int_equal(*fake_root_access(0, p * PAGE_SIZE, FAKE_READ), 0);
	assert_int_equal(pool_reclaim(pool, &first), E_EMPTY);
}

static void there_are_31_pools(void **state)
{
	u32 id;

	(void)state;
	assert_null(pool_by_id(0));
	assert_null(pool_by_id(1));
	for (unsigned i = 1; i < SEPTUM_MAX_POOLS; i++) {
		assert_int_equal(pool_create(&id), OK);
		assert_int_equal(id, i);
	}
	assert_int_equal(pool_create(&id), E_LIMIT);
	assert_null(pool_by_id(SEPTUM_MAX_POOLS));
	assert_null(pool_by_id(~0ul));
	assert_int_equal(pool_destroy(pool_by_id(7)), OK);
	assert_null(pool_by_id(7));
	assert_int_equal(pool_create(&id), OK);
	assert_int_equal(id, 7);
}

static void a_pool_in_use_stays(void **state)
{
	struct pool *pool = new_pool();
	pfn_t first;

	(void)state;
	pool_bind(pool);
	assert_int_equal(pool_destroy(pool), E_BUSY);
	pool_unbind(pool);
	assert_int_equal(pool_donate(pool, pfn(512), 512), OK);
	assert_int_equal(pool_destroy(pool), E_BUSY);
	assert_int_equal(pool_reclaim(pool, &first), OK);
	assert_int_equal(pool_destroy(pool), OK);
}

static void reservations_are_kept(void **state)
{
	struct pool *pool = new_pool();
	pfn_t p;

	(void)state;
	assert_int_equal(pool_donate(pool, pfn(512), 512), OK);
	assert_int_equal(pool_reserve(pool, 513), E_POOL_EMPTY);
	assert_int_equal(pool_reserve(pool, 500), OK);
	assert_int_equal(pool_free_count(pool), 12);
	assert_int_equal(pool_reserve(pool, 13), E_POOL_EMPTY);
	assert_true(pfn_is_none(pool_take_block(pool, 1, 0)));
	assert_int_equal(pool_reclaim(pool, &p), E_EMPTY);
	for (unsigned i = 0; i < 12; i++)
		assert_false(pfn_is_none(pool_take(pool, FRAME_OBJECT, 1, 0)));
	assert_true(pfn_is_none(pool_take(pool, FRAME_OBJECT, 1, 0)));
	for (unsigned i = 0; i < 500; i++)
		assert_false(pfn_is_none(pool_take_reserved(pool, FRAME_OBJECT, 1, 0)));
	assert_int_equal(pool_free_count(pool), 0);
	for (u64 i = 0; i < 512; i++)
		pool_give(pool, pfn(512 + i));
	assert_int_equal(pool_free_count(pool), 512);
	assert_int_equal(frame_get(pfn(600)).level, LEVEL_2M);
}

static void single_frames_come_from_broken_blocks(void **state)
{
	struct pool *pool = new_pool();
	pfn_t content, table;

	(void)state;
	assert_int_equal(pool_donate(pool, pfn(512), 3 * 512), OK);
	content = pool_take(pool, FRAME_PRIVATE, 1, 7);
	table = pool_take(pool, FRAME_OBJECT, 1, 0);
	assert_int_not_equal(content.n / 512, table.n / 512);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(pool_take(pool, FRAME_PRIVATE, 1, 8 + i).n / 512, content.n / 512);
		assert_int_equal(pool_take(pool, FRAME_OBJECT, 1, 0).n / 512, table.n / 512);
	}
	assert_false(pfn_is_none(pool_take_block(pool, 1, 1024)));
	assert_true(pfn_is_none(pool_take_block(pool, 1, 2048)));
	/* Give all of it back, so that the audit finds no content that nobody maps. */
	for (u64 p = 512; p < 4 * 512; p++) {
		struct frame frame = frame_get(pfn(p));

		if (frame.state == FRAME_PRIVATE && frame.level == LEVEL_2M)
			pool_give_block(pool, pfn(p));
		else if (frame.state == FRAME_PRIVATE || frame.state == FRAME_OBJECT)
			pool_give(pool, pfn(p));
	}
	assert_int_equal(pool_free_count(pool), 3 * 512);
}

static void regions_are_rounded_inwards(void **state)
{
	static const struct memory_region regions[] = {
		{{0}, 100 * PAGE_SIZE + 10, true},
		{{100 * PAGE_SIZE + 10}, 5 * PAGE_SIZE, false},
		{{200 * PAGE_SIZE - 10}, 800 * PAGE_SIZE, true},
		{{5000 * PAGE_SIZE}, 0, true},
	};

	(void)state;
	memory_setup(regions, ARRAY_COUNT(regions), 40, &nested_format_npt);
	assert_int_equal(frame_limit().n, 5120);
	assert_int_equal(frame_get(pfn(99)).state, FRAME_ROOT);
	assert_int_equal(frame_get(pfn(100)).state, FRAME_ABSENT);
	assert_int_equal(frame_get(pfn(199)).state, FRAME_ABSENT);
	assert_int_equal(frame_get(pfn(200)).state, FRAME_ROOT);
	assert_int_equal(frame_get(pfn(998)).state, FRAME_ROOT);
	assert_int_equal(frame_get(pfn(999)).state, FRAME_ABSENT);
	assert_int_equal(frame_block_root(pfn(0)), 100 + 312);
	fake_stop();
	fake_start(RAM, &nested_format_npt);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_root_maps_itself_in_blocks_on_demand),
		TEST(what_is_not_the_roots_is_refused),
		TEST(devices_are_the_roots_unless_hidden),
		TEST(claimed_ram_disappears),
		TEST(mixed_memory_types_are_mapped_by_pages),
		TEST(the_roots_tables_are_a_cache),
		TEST(a_block_that_is_the_roots_again_is_one_leaf_again),
		TEST(copies_cross_pages_and_touch_only_the_roots),
		TEST(pins_are_all_or_none),
		TEST(donations_are_checked),
		TEST(donated_and_reclaimed_frames_are_zero),
		TEST(there_are_31_pools),
		TEST(a_pool_in_use_stays),
		TEST(reservations_are_kept),
		TEST(single_frames_come_from_broken_blocks),
		TEST(regions_are_rounded_inwards),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
