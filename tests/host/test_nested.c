/* sources: mm/?*.c tests/host/fake.c */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The nested table, in both formats, against a flat array: map, hide, drop, protect, split,
 * replace. */
#include "tests/host/fake.h"

#define RAM	   8192ul
#define POOL_FIRST 2048ul
#define PAGES	   (4 * 512ul) /* of the space that the oracle knows, from BASE on */
#define BASE	   (2 * 512ul * 512ul - 1024)

static struct pool *pool;
static struct nested nested;
static struct tlb tlb;

/* What each page maps to. */
static struct {
	u64 frame; /* + 1; 0: nothing recorded */
	unsigned prot;
	bool is_private;
} flat[PAGES];

static void start(const struct nested_format *format)
{
	struct reserve reserve;
	u32 id;

	fake_start(RAM, format);
	assert_int_equal(pool_create(&id), OK);
	pool = pool_by_id(id);
	assert_int_equal(pool_donate(pool, pfn(POOL_FIRST), 2048), OK);
	assert_int_equal(reserve_make(&reserve, pool, 1), OK);
	nested_init(&nested, format, pool, 1, &reserve);
	tlb_init(&tlb);
	memset(flat, 0, sizeof(flat));
}

static void drop_count(void *context, const struct leaf *leaf, u64 count)
{
	assert_true(leaf->is_private && count > 0 && (count == 1 || leaf->level == 0));
	*(u64 *)context += count << LEVEL_SHIFT(leaf->level);
}

static void stop(void)
{
	struct reserve none = {pool, 0};
	u64 dropped = 0;

	nested_hide(&nested, 0, 1ul << 36, NULL, &none);
	nested_drop(&nested, 0, 1ul << 36, drop_count, &dropped);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(nested.leaves[i], 0);
	assert_int_equal(nested.tables, 1);
	nested_end(&nested);
	assert_int_equal(pool_free_count(pool), pool_total_count(pool));
	fake_stop();
}

static bool level_fits(u64 i, unsigned level)
{
	for (u64 k = 0; k < LEVEL_PAGES(level); k++) {
		if (flat[i + k].frame != 0)
			return false;
	}
	return true;
}

static void map(u64 i)
{
	unsigned level = (unsigned)fake_below(2), prot = (unsigned)fake_below(4) * 2 + 1;
	u64 first = ALIGN_DOWN(i, LEVEL_PAGES(level)), entry, needed, frame, old;
	bool is_private = fake_below(2);
	struct reserve reserve;

	frame = ALIGN_DOWN(fake_below(1024), LEVEL_PAGES(level));
	if (!level_fits(first, level))
		return;
	needed = nested_place(&nested, BASE + first, level, &entry);
	assert_true(entry == 0 || (level == 1 && !(entry & NESTED_LEAF)));
	assert_int_equal(reserve_make(&reserve, pool, needed), OK);
	old = nested_map(&nested, BASE + first, level, pfn(frame), prot, MEMTYPE_GUEST, is_private,
			 &reserve);
	assert_int_equal(reserve.left, 0);
	assert_int_equal(old, entry);
	if (old != 0) {
		tlb_invalidate(&tlb);
		nested_release(&nested, old, level);
	}
	for (u64 k = 0; k < LEVEL_PAGES(level); k++) {
		flat[first + k].frame = frame + k + 1;
		flat[first + k].prot = prot;
		flat[first + k].is_private = is_private;
	}
}

static void random_range(u64 *first, u64 *count)
{
	*first = fake_below(PAGES);
	*count = fake_below(3) ? 1 + fake_below(16) : 1 + fake_below(1024);
	if (fake_below(3) == 0) {
		*first = ALIGN_DOWN(*first, 512);
		*count = ALIGN_UP(*count, 512);
	}
	*count = MIN(*count, PAGES - *first);
}

static u64 splits;
static void split_count(const struct leaf *leaf)
{
	assert_int_equal(leaf->level, 1);
	splits++;
}

static void unmap(void)
{
	u64 first, count, dropped = 0, expected = 0;
	struct reserve reserve;
	bool was, present = false;

	random_range(&first, &count);
	for (u64 i = first; i < first + count; i++) {
		expected += flat[i].frame != 0 && flat[i].is_private;
		present |= flat[i].frame != 0 && (flat[i].prot & PROT_READ);
	}
	assert_int_equal(
		reserve_make(&reserve, pool, nested_splits_for(&nested, BASE + first, count)), OK);
	was = nested_hide(&nested, BASE + first, count, split_count, &reserve);
	reserve_end(&reserve);
	/* A table may be all that was present. */
	assert_true(was || !present);
	tlb_invalidate(&tlb);
	nested_drop(&nested, BASE + first, count, drop_count, &dropped);
	assert_int_equal(dropped, expected);
	for (u64 i = first; i < first + count; i++)
		flat[i].frame = 0;
}

static void protect(void)
{
	unsigned prot = fake_below(2) ? PROT_ALL : (unsigned)fake_below(4) * 2 + 1;
	bool differs = false;
	struct reserve reserve;
	u64 first, count;

	if (fake_below(4) == 0)
		prot = 0;
	random_range(&first, &count);
	for (u64 i = first; i < first + count; i++)
		differs |= flat[i].frame != 0 && flat[i].prot != prot;
	assert_int_equal(
		reserve_make(&reserve, pool, nested_splits_for(&nested, BASE + first, count)), OK);
	assert_int_equal(nested_protect(&nested, BASE + first, count, prot, split_count, &reserve),
			 differs);
	reserve_end(&reserve);
	tlb_invalidate(&tlb);
	for (u64 i = first; i < first + count; i++)
		flat[i].prot = prot;
}

static void check(u64 i)
{
	bool recorded = flat[i].frame != 0, has;
	struct leaf leaf;
	u64 next = i;

	has = nested_find(&nested, BASE + i, &leaf);
	assert_int_equal(has, recorded);
	if (has) {
		assert_int_equal(leaf.pfn.n + (BASE + i - leaf.page), flat[i].frame - 1);
		assert_int_equal(leaf.is_private, flat[i].is_private);
		assert_int_equal(nested_prot(&nested, leaf.entry), flat[i].prot);
		assert_int_equal(leaf.present, flat[i].prot != 0);
	}
	for (unsigned kind = FAKE_READ; kind <= FAKE_EXEC; kind++) {
		u64 *at = fake_translate((unsigned)fake_below(FAKE_CPUS), &nested, &tlb,
					 (BASE + i) * PAGE_SIZE, (enum fake_kind)kind);
		bool may = recorded && (flat[i].prot & PROT_READ) && (flat[i].prot >> kind & 1);

		assert_int_equal(at != NULL, may);
		if (may)
			assert_ptr_equal(at, fake_frame(pfn(flat[i].frame - 1)));
	}
	while (next < PAGES && flat[next].frame == 0)
		next++;
	has = nested_next(&nested, BASE + i, BASE + PAGES, &leaf);
	assert_int_equal(has, next < PAGES);
	if (has)
		assert_int_equal(MAX(leaf.page, BASE + i), BASE + next);
}

static void agrees_with_a_flat_array(const struct nested_format *format)
{
	start(format);
	for (unsigned n = 0; n < 20000; n++) {
		unsigned what = (unsigned)fake_below(20);

		if (what < 14)
			map(fake_below(PAGES));
		else if (what < 16)
			unmap();
		else if (what < 17)
			protect();
		check(fake_below(PAGES));
	}
	for (u64 i = 0; i < PAGES; i++)
		check(i);
	assert_true(splits > 20);
	stop();
}

static void npt_agrees_with_a_flat_array(void **state)
{
	(void)state;
	agrees_with_a_flat_array(&nested_format_npt);
}

static void ept_agrees_with_a_flat_array(void **state)
{
	(void)state;
	agrees_with_a_flat_array(&nested_format_ept);
}

/* Bit patterns by hand: AMD64 APM Vol. 2, 5.4 and 15.25; Intel SDM Vol. 3, 28.3.2. */
static void entries_have_the_bits_of_the_manuals(void **state)
{
	const u64 ours = NESTED_LEAF | NESTED_PRIVATE;
	struct reserve reserve;
	struct leaf leaf;

	(void)state;
	start(&nested_format_npt);
	assert_int_equal(reserve_make(&reserve, pool, 8), OK);
	nested_map(&nested, 0, 0, pfn(7), PROT_ALL, MEMTYPE_GUEST, true, &reserve);
	assert_true(nested_find(&nested, 0, &leaf));
	assert_int_equal(leaf.entry, 0x7067 | ours);
	nested_map(&nested, 512, 1, pfn(512), PROT_READ, MEMTYPE_UC, false, &reserve);
	assert_true(nested_find(&nested, 600, &leaf));
	assert_int_equal(leaf.entry, 0x80000000002000e5 | NESTED_LEAF);
	assert_int_equal(leaf.entry & 0x1ff000, 0x0);
	reserve_end(&reserve);
	stop();

	start(&nested_format_ept);
	assert_int_equal(reserve_make(&reserve, pool, 8), OK);
	nested_map(&nested, 0, 0, pfn(7), PROT_ALL, MEMTYPE_GUEST, true, &reserve);
	assert_true(nested_find(&nested, 0, &leaf));
	assert_int_equal(leaf.entry, 0x7377 | ours);
	nested_map(&nested, 512, 1, pfn(512), PROT_READ, MEMTYPE_UC, false, &reserve);
	assert_true(nested_find(&nested, 600, &leaf));
	assert_int_equal(leaf.entry, 0x200381 | NESTED_LEAF);
	nested_map(&nested, 1ul << 18, 2, pfn(1ul << 18), PROT_READ | PROT_EXEC, MEMTYPE_WB, false,
		   &reserve);
	assert_true(nested_find(&nested, (1ul << 18) + 5, &leaf));
	assert_int_equal(leaf.level, 2);
	assert_int_equal(leaf.entry, 0x400003b5 | NESTED_LEAF);
	reserve_end(&reserve);
	stop();
}

static void a_1g_leaf_splits_to_2m_and_4k(void **state)
{
	struct reserve reserve;
	struct leaf leaf;
	u64 dropped = 0, entry;

	(void)state;
	start(&nested_format_ept);
	assert_int_equal(reserve_make(&reserve, pool, 1), OK);
	nested_map(&nested, 1ul << 18, 2, pfn(1ul << 18), PROT_ALL, MEMTYPE_WB, true, &reserve);
	assert_int_equal(nested_splits_for(&nested, (1ul << 18) + 5, 1), 3);
	assert_int_equal(nested_splits_for(&nested, (1ul << 18) + 512, 512), 1);
	assert_int_equal(reserve_make(&reserve, pool, 3), OK);
	assert_true(nested_hide(&nested, (1ul << 18) + 5, 1, NULL, &reserve));
	nested_drop(&nested, (1ul << 18) + 5, 1, drop_count, &dropped);
	assert_int_equal(reserve.left, 1); /* the bound is one too many here */
	reserve_end(&reserve);
	assert_int_equal(dropped, 1);
	assert_int_equal(nested.leaves[1], 511);
	assert_int_equal(nested.leaves[0], 511);
	assert_false(nested_find(&nested, (1ul << 18) + 5, &leaf));
	assert_true(nested_find(&nested, (1ul << 18) + 6, &leaf));
	assert_int_equal(leaf.pfn.n, (1ul << 18) + 6);
	assert_true(nested_find(&nested, (1ul << 18) + 1000, &leaf));
	assert_int_equal(leaf.pfn.n, (1ul << 18) + 512);

	/* And back: one leaf in place of the tables, which are freed. */
	assert_int_equal(nested_place(&nested, 1ul << 18, 2, &entry), 0);
	assert_int_equal(nested_map(&nested, 1ul << 18, 2, pfn(1ul << 18), PROT_ALL, MEMTYPE_WB,
				    false, &reserve),
			 entry);
	nested_release(&nested, entry, 2);
	assert_int_equal(nested.leaves[0] + nested.leaves[1], 0);
	assert_int_equal(nested.leaves[2], 1);
	assert_int_equal(nested.tables, 2);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(npt_agrees_with_a_flat_array),
		cmocka_unit_test(ept_agrees_with_a_flat_array),
		cmocka_unit_test(entries_have_the_bits_of_the_manuals),
		cmocka_unit_test(a_1g_leaf_splits_to_2m_and_4k),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
