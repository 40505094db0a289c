/* sources: mm/?*.c tests/host/fake.c */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The attribute tree against a flat array of words. */
#include "tests/host/fake.h"

#define RAM	   8192ul
#define POOL_FIRST 2048ul
#define RWX	   ATTR_PERMISSIONS
#define FLAT	   (4 * 512ul * 512ul) /* the part of the space that the oracle knows */

static struct pool *pool;
static struct attr attr;
static u64 flat[FLAT], flat_newest;

static void start(unsigned gfn_bits)
{
	u32 id;

	fake_start(RAM, &nested_format_npt);
	assert_int_equal(pool_create(&id), OK);
	pool = pool_by_id(id);
	assert_int_equal(pool_donate(pool, pfn(POOL_FIRST), 4096), OK);
	attr_init(&attr, pool, 1, gfn_bits);
	for (u64 i = 0; i < FLAT; i++)
		flat[i] = RWX;
	flat_newest = 0;
}

static void stop(void)
{
	while (!attr_destroy(&attr))
		;
	assert_int_equal(attr.tables, 0);
	assert_int_equal(pool_free_count(pool), pool_total_count(pool));
	fake_audit();
	fake_stop();
}

static u64 set(u64 first, u64 count, unsigned mask, unsigned value)
{
	struct reserve reserve;
	u64 changed, expected = 0, needed = attr_tables_for(&attr, gfn(first), count);

	assert_int_equal(reserve_make(&reserve, pool, needed), OK);
	changed = attr_set(&attr, gfn(first), count, mask, value, &reserve);
	reserve_end(&reserve);
	for (u64 i = first; i < MIN(first + count, FLAT); i++) {
		if ((flat[i] & mask) == value)
			continue;
		flat[i] = (flat_newest + 1) << 4 | (flat[i] & ATTR_ALL & ~mask) | value;
		expected++;
	}
	if (first < FLAT && first + count <= FLAT) {
		assert_int_equal(changed, expected);
		flat_newest += expected != 0;
		assert_int_equal(attr.newest, flat_newest);
	}
	flat_newest = attr.newest;
	return changed;
}

/* Ranges that like the edges of tables. */
static void random_range(u64 *first, u64 *count)
{
	static const u64 grains[] = {1, 1, 8, 512, 512, 512 * 64, 512 * 512};
	u64 grain = grains[fake_below(7)], second = grains[fake_below(7)];

	*first = ALIGN_DOWN(fake_below(FLAT), grain);
	*count = 1 + fake_below(4 * second);
	if (fake_below(2))
		*count = ALIGN_UP(*count, second);
	*count = MIN(*count, FLAT - *first);
}

static void check_range(u64 first, u64 count)
{
	u64 newest = 0, at, run, end = first;
	unsigned bits;

	for (u64 i = first; i < first + count; i++)
		newest = MAX(newest, flat[i] >> 4);
	assert_int_equal(attr_stamp_range(&attr, gfn(first), count), newest);
	while (end < first + count && ((flat[end] ^ flat[first]) & ATTR_ALL) == 0)
		end++;
	run = attr_run(&attr, gfn(first), gfn(first + count), &bits);
	assert_int_equal(run, end - first);
	assert_int_equal(bits, flat[first] & ATTR_ALL);
	at = first + fake_below(count);
	assert_int_equal(attr_word(&attr, gfn(at)), flat[at]);
}

static void check_uniform(u64 at)
{
	for (unsigned level = 0; level < 3; level++) {
		u64 base = ALIGN_DOWN(at, LEVEL_PAGES(level)), i = 1;
		unsigned bits = flat[at] & ATTR_ALL;

		while (i < LEVEL_PAGES(level) &&
		       (flat[base + i] & ATTR_ALL) == (flat[base] & ATTR_ALL))
			i++;
		/* It may say no where permissions are restricted, never yes for nothing. */
		if (i < LEVEL_PAGES(level) || (bits & RWX) == RWX)
			assert_int_equal(attr_uniform(&attr, gfn(at), level, bits),
					 i == LEVEL_PAGES(level));
		assert_false(attr_uniform(&attr, gfn(at), level, bits ^ SEPTUM_ATTR_PRIVATE));
	}
}

static void check_all(void)
{
	struct audit_report report = {0};
	u64 privates = 0;

	for (u64 i = 0; i < FLAT; i++) {
		if (attr_word(&attr, gfn(i)) != flat[i])
			fail_msg("page %lx: %lx, should be %lx", i, attr_word(&attr, gfn(i)),
				 flat[i]);
		privates += (flat[i] & SEPTUM_ATTR_PRIVATE) != 0;
	}
	assert_int_equal(attr.private_pages, privates);
	assert_true(audit_attr(&report, &attr));
}

static void random_sets_agree_with_a_flat_array(void **state)
{
	static const unsigned values[] = {0, RWX, RWX | SEPTUM_ATTR_PRIVATE, SEPTUM_ATTR_PRIVATE,
					  SEPTUM_ATTR_READ};
	struct audit_report report;

	(void)state;
	start(28);
	for (unsigned n = 0; n < 3000; n++) {
		u64 first, count;

		random_range(&first, &count);
		if (fake_below(3))
			set(first, count, SEPTUM_ATTR_PRIVATE,
			    fake_below(2) ? SEPTUM_ATTR_PRIVATE : 0);
		else
			set(first, count, ATTR_ALL, values[fake_below(5)]);
		random_range(&first, &count);
		check_range(first, count);
		check_uniform(fake_below(FLAT));
		if (n % 500 == 499) {
			audit_run(&report); /* clears the audit's marks */
			check_all();
		}
	}
	stop();
}

static void a_uniform_space_is_one_word_again(void **state)
{
	(void)state;
	start(36);
	assert_int_equal(set(0, 1ul << 36, ATTR_ALL, RWX | SEPTUM_ATTR_PRIVATE), 1ul << 36);
	assert_int_equal(attr.tables, 0);
	assert_int_equal(attr.private_pages, 1ul << 36);
	set(12345, 1, SEPTUM_ATTR_PRIVATE, 0);
	assert_int_equal(attr.tables, 4);
	assert_int_equal(attr_word(&attr, gfn(12345)) & ATTR_ALL, RWX);
	assert_int_equal(attr_word(&attr, gfn(12346)) & ATTR_ALL, RWX | SEPTUM_ATTR_PRIVATE);
	/* All of it changes: one stamp for all, no table left. */
	set(0, 1ul << 36, ATTR_ALL, 0);
	assert_int_equal(attr.tables, 0);
	stop();
}

static void neighbours_keep_their_stamps(void **state)
{
	(void)state;
	start(28);
	for (u64 i = 0; i < 16; i++)
		set(i, 1, SEPTUM_ATTR_PRIVATE, SEPTUM_ATTR_PRIVATE);
	for (u64 i = 0; i < 16; i++)
		assert_int_equal(attr_word(&attr, gfn(i)) >> 4, i + 1);
	assert_int_equal(set(0, 16, SEPTUM_ATTR_PRIVATE, SEPTUM_ATTR_PRIVATE), 0);
	assert_int_equal(attr.newest, 16);
	stop();
}

static void the_reservation_is_never_exceeded_nor_lavish(void **state)
{
	(void)state;
	start(36);
	assert_int_equal(attr_tables_for(&attr, gfn(512), 512), 3);
	assert_int_equal(attr_tables_for(&attr, gfn(5), 1), 4);
	set(5, 1, SEPTUM_ATTR_PRIVATE, SEPTUM_ATTR_PRIVATE);
	assert_int_equal(attr_tables_for(&attr, gfn(7), 1), 0);
	assert_int_equal(attr_tables_for(&attr, gfn(512), 1), 1);
	stop();
}

/* What was found is remembered: also when the question was for less. */
static void a_run_is_as_long_as_it_is_whatever_was_asked_before(void **state)
{
	unsigned bits;

	(void)state;
	start(28);
	set(100, 1000, SEPTUM_ATTR_PRIVATE, SEPTUM_ATTR_PRIVATE);
	assert_int_equal(attr_run(&attr, gfn(100), gfn(110), &bits), 10);
	assert_int_equal(attr_run(&attr, gfn(105), gfn(2000), &bits), 995);
	assert_int_equal(attr_run(&attr, gfn(100), gfn(2000), &bits), 1000);
	assert_int_equal(attr_run(&attr, gfn(1099), gfn(2000), &bits), 1);
	assert_int_equal(attr_run(&attr, gfn(1100), gfn(2000), &bits), 900);
	assert_int_equal(attr_run(&attr, gfn(100), gfn(2000), &bits), 1000);
	/* .. until something changes. */
	set(500, 1, SEPTUM_ATTR_PRIVATE, 0);
	assert_int_equal(attr_run(&attr, gfn(100), gfn(2000), &bits), 400);
	assert_int_equal(attr_run(&attr, gfn(500), gfn(2000), &bits), 1);
	assert_false(bits & SEPTUM_ATTR_PRIVATE);
	attr_look(&attr, gfn(501), &(u64){0});
	attr_flip(&attr, gfn(500));
	flat[500] = ++flat_newest << 4 | RWX | SEPTUM_ATTR_PRIVATE;
	assert_int_equal(attr_run(&attr, gfn(100), gfn(2000), &bits), 1000);
	check_all();
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_sets_agree_with_a_flat_array),
		cmocka_unit_test(a_uniform_space_is_one_word_again),
		cmocka_unit_test(neighbours_keep_their_stamps),
		cmocka_unit_test(the_reservation_is_never_exceeded_nor_lavish),
		cmocka_unit_test(a_run_is_as_long_as_it_is_whatever_was_asked_before),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
