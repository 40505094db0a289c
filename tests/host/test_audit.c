/* sources: mm/?*.c tests/host/fake.c */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Breaks each invariant once, and sees the audit name it. */
#include "tests/host/fake.h"

#include "mm/pool_impl.h"

#define RAM	   8192ul
#define POOL_FIRST 4096ul
#define PRIVATE	   SEPTUM_ATTR_PRIVATE

static struct pool *pool;
static struct memory mem;
static enum fault_outcome why;
static u32 slot;

/* Slot 0: gfns 1024.. with two backings: shared 4K leaves, a private block, private 4K leaves; slot
 * 1: gfns 4096.. in place, one page private, none mapped. */
static void start(void)
{
	u32 id;

	fake_start(RAM, &nested_format_ept);
	assert_int_equal(pool_create(&id), OK);
	pool = pool_by_id(id);
	assert_int_equal(pool_donate(pool, pfn(POOL_FIRST), 2048), OK);
	assert_int_equal(memory_init(&mem, 1, pool, &nested_format_ept, 39, 40, false, false), OK);
	assert_int_equal(memory_slot_add(&mem, gfn(1024), 2048, pfn(512),
					 SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE, &slot),
			 OK);
	assert_int_equal(
		memory_slot_add(&mem, gfn(4096), 64, pfn(3000), SEPTUM_SLOT_INPLACE, &slot), OK);
	assert_int_equal(memory_convert(&mem, gfn(1024), 600, true, MEMORY_ANY_STAMP, gfn(0), 0,
					CONVERT_ZERO),
			 OK);
	assert_int_equal(
		memory_convert(&mem, gfn(4096), 1, true, MEMORY_ANY_STAMP, gfn(0), 0, CONVERT_ZERO),
		OK);
	for (u64 g = 1530; g < 1700; g += 10)
		fake_access(0, &mem, memory_alias(&mem, g, g < 1624) * PAGE_SIZE, FAKE_WRITE, &why);
	fake_root_access(0, 100 * PAGE_SIZE, FAKE_READ);
	fake_root_access(0, 3010 * PAGE_SIZE, FAKE_READ);
	fake_audit();
}

static struct leaf leaf_at(u64 g, bool is_private)
{
	struct leaf leaf;

	assert_true(nested_find(&mem.nested, memory_alias(&mem, g, is_private), &leaf));
	return leaf;
}

static void table_state(void)
{
	assert_true(frame_change(FRAME_OP_GIVE, mem.nested.root, 1, pool_id(pool)));
}

static void table_count(void)
{
	mem.nested.tables++;
}

static void leaf_count(void)
{
	mem.nested.leaves[0]++;
}

static void leaf_hidden(void)
{
	struct reserve none = {pool, 0};

	assert_true(nested_hide(&mem.nested, memory_alias(&mem, 1650, false), 1, NULL, &none));
}

static void leaf_backing(void)
{
	mem.slots[0].root.n++;
}

static void leaf_kind(void)
{
	struct reserve none = {pool, 0};

	assert_int_equal(attr_set(&mem.attr, gfn(1650), 1, PRIVATE, PRIVATE, &none), 1);
}

static void leaf_permission(void)
{
	struct reserve none = {pool, 0};

	assert_true(nested_protect(&mem.nested, 1600, 1, PROT_READ, NULL, &none));
}

static void private_owner(void)
{
	pfn_t p = leaf_at(1600, true).pfn;

	assert_true(frame_change(FRAME_OP_GIVE, p, 1, pool_id(pool)));
	assert_true(frame_change(FRAME_OP_TAKE_PRIVATE, p, 1, 1601));
}

/* A second VM that passes for the first maps one of its frames where the first has it. */
static void private_twice(void)
{
	static struct memory other;
	struct reserve reserve;
	u32 index;

	assert_int_equal(memory_init(&other, 2, pool, &nested_format_ept, 39, 40, false, false),
			 OK);
	memories[2] = NULL;
	assert_int_equal(memory_slot_add(&other, gfn(1600), 1, pfn(0), SEPTUM_SLOT_PRIVATE, &index),
			 OK);
	assert_true(frame_change(FRAME_OP_GIVE, other.nested.root, 2, pool_id(pool)));
	assert_true(frame_change(FRAME_OP_TAKE_TABLE, other.nested.root, 1, 0));
	other.owner = other.nested.owner = other.attr.owner = 1;
	memories[2] = &other;
	assert_int_equal(reserve_make(&reserve, pool, 10), OK);
	attr_set(&other.attr, gfn(1600), 1, PRIVATE, PRIVATE, &reserve);
	nested_map(&other.nested, 1600, 0, leaf_at(1600, true).pfn, PROT_ALL, MEMTYPE_GUEST, true,
		   &reserve);
	reserve_end(&reserve);
	other.content = 1;
}

static void private_lost(void)
{
	pool_take(pool, FRAME_PRIVATE, 1, 77);
}

static void shared_state(void)
{
	root_unpin(pfn(512 + 1650 - 1024), 1);
}

static void inplace_state(void)
{
	assert_true(frame_change(FRAME_OP_HIDE, pfn(3005), 1, 4101));
}

static void content_count(void)
{
	mem.content++;
}

static void attr_count(void)
{
	mem.attr.private_pages--;
}

static void attr_stamp(void)
{
	mem.attr.newest = 1;
}

static void root_sees(void)
{
	struct reserve reserve = {NULL, 3};

	nested_map(root_nested(), POOL_FIRST + 5, 0, pfn(POOL_FIRST + 5), PROT_ALL, MEMTYPE_WB,
		   false, &reserve);
}

static void owner_gone(void)
{
	memories[1] = NULL;
}

static void block_record(void)
{
	pfn_t p = pool_take(pool, FRAME_OBJECT, 1, 0);

	assert_true(frame_change(FRAME_OP_GIVE, p, 1, pool_id(pool)));
}

static void pool_count(void)
{
	pool->free--;
}

static void not_zero(void)
{
	*((u8 *)fake_frame(pfn(POOL_FIRST + 2047)) + 4095) = 1;
}

static void root_count(void)
{
	frame_add(pfn(RAM - 1), 1); /* of the descriptors themselves */
}

static bool never_assigned(struct memory *m, pfn_t p, u64 g, unsigned level)
{
	(void)m;
	(void)p;
	(void)g;
	(void)level;
	return false;
}

static enum guard_verdict always_wrong(struct memory *m, pfn_t p, u64 g, unsigned level)
{
	(void)m;
	(void)p;
	(void)g;
	(void)level;
	return GUARD_WRONG;
}

static void guard(void)
{
	static const struct guard_ops ops = {.assign = never_assigned, .look = always_wrong};

	mem.guard = &ops;
}

static const struct {
	enum audit_violation violation;
	void (*break_it)(void);
} cases[] = {
	{AUDIT_TABLE_STATE, table_state},	  {AUDIT_TABLE_COUNT, table_count},
	{AUDIT_LEAF_COUNT, leaf_count},		  {AUDIT_LEAF_HIDDEN, leaf_hidden},
	{AUDIT_LEAF_BACKING, leaf_backing},	  {AUDIT_LEAF_KIND, leaf_kind},
	{AUDIT_LEAF_PERMISSION, leaf_permission}, {AUDIT_PRIVATE_OWNER, private_owner},
	{AUDIT_PRIVATE_TWICE, private_twice},	  {AUDIT_PRIVATE_LOST, private_lost},
	{AUDIT_SHARED_STATE, shared_state},	  {AUDIT_INPLACE_STATE, inplace_state},
	{AUDIT_CONTENT_COUNT, content_count},	  {AUDIT_ATTR_COUNT, attr_count},
	{AUDIT_ATTR_STAMP, attr_stamp},		  {AUDIT_ROOT_SEES, root_sees},
	{AUDIT_OWNER_GONE, owner_gone},		  {AUDIT_BLOCK_RECORD, block_record},
	{AUDIT_POOL_COUNT, pool_count},		  {AUDIT_NOT_ZERO, not_zero},
	{AUDIT_ROOT_COUNT, root_count},		  {AUDIT_GUARD, guard},
};
_Static_assert(ARRAY_COUNT(cases) == AUDIT_VIOLATIONS - 1, "each violation");

static void each_broken_invariant_is_named(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
		struct audit_report report;

		assert_int_equal(cases[i].violation, i + 1);
		start();
		cases[i].break_it();
		audit_run(&report);
		if (report.violation != cases[i].violation)
			fail_msg("case %u: the audit says %u, %s", i + 1, report.violation,
				 report.text);
		assert_non_null(report.text);
		fake_stop();
	}
}

/* More ways to break the ones that are checked in several places. */
static void root_leaf_elsewhere(void)
{
	struct reserve reserve = {NULL, 3};

	nested_map(root_nested(), 5000, 0, pfn(6), PROT_ALL, MEMTYPE_WB, false, &reserve);
}

static void shared_alias_maps_private(void)
{
	struct reserve reserve;

	assert_int_equal(reserve_make(&reserve, pool, 3), OK);
	nested_map(&mem.nested, memory_alias(&mem, 1599, false), 0, leaf_at(1600, true).pfn,
		   PROT_ALL, MEMTYPE_GUEST, true, &reserve);
	reserve_end(&reserve);
}

static void huge_over_mixed(void)
{
	struct reserve reserve;

	assert_int_equal(reserve_make(&reserve, pool, 3), OK);
	attr_set(&mem.attr, gfn(1030), 1, PRIVATE, 0, &reserve);
	reserve_end(&reserve);
}

static void private_page_the_root_sees(void)
{
	struct reserve none = {NULL, 3};

	nested_forget(root_nested(), 3000, 1);
	nested_map(root_nested(), 3000, 0, pfn(3000), PROT_ALL, MEMTYPE_WB, false, &none);
}

static void table_is_used_twice(void)
{
	u64 *entry = fake_frame(pfn(mem.attr.root & ATTR_FRAME));

	entry[400] = ATTR_TABLE | mem.nested.root.n;
}

static void attr_pointer_counts(void)
{
	u64 *entry = fake_frame(pfn(mem.attr.root & ATTR_FRAME));

	entry = fake_frame(pfn(entry[0] & ATTR_FRAME));
	assert_true(entry[3] & ATTR_TABLE);
	entry[3] += 1ul << ATTR_FULL_SHIFT;
}

static void unmapped_inplace_owner(void)
{
	mem.slots[1].first.n++;
}

static void more_ways_are_named_too(void **state)
{
	static const struct {
		enum audit_violation violation;
		void (*break_it)(void);
	} more[] = {
		{AUDIT_ROOT_SEES, root_leaf_elsewhere},
		{AUDIT_LEAF_KIND, shared_alias_maps_private},
		{AUDIT_LEAF_KIND, huge_over_mixed},
		{AUDIT_ROOT_SEES, private_page_the_root_sees},
		{AUDIT_TABLE_STATE, table_is_used_twice},
		{AUDIT_ATTR_COUNT, attr_pointer_counts},
		{AUDIT_INPLACE_STATE, unmapped_inplace_owner},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(more); i++) {
		struct audit_report report;

		start();
		more[i].break_it();
		audit_run(&report);
		if (report.violation != more[i].violation)
			fail_msg("way %u: the audit says %u, %s", i, report.violation, report.text);
		fake_stop();
	}
}

static void free_frames_are_sampled_in_turns(void **state)
{
	struct audit_report report;
	unsigned found = 0;

	(void)state;
	start();
	not_zero();
	audit_zero_every = 8;
	for (unsigned i = 0; i < 8; i++)
		found += audit_run(&report) == AUDIT_NOT_ZERO;
	assert_int_equal(found, 1);
	fake_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_broken_invariant_is_named),
		cmocka_unit_test(more_ways_are_named_too),
		cmocka_unit_test(free_frames_are_sampled_in_turns),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
