/* sources: mm/?*.c tests/host/fake.c */
/* ldflags: -Wl,--wrap=pool_reserve,--wrap=pool_take,--wrap=pool_take_block */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Every allocation of every operation fails once: the operation says so, and nothing is half done.
 */
#include "tests/host/fake.h"

#define RAM	   8192ul
#define POOL_FIRST 4096ul
#define RWX	   ATTR_PERMISSIONS
#define PRIVATE	   SEPTUM_ATTR_PRIVATE

enum status __real_pool_reserve(struct pool *pool, u64 count);
pfn_t __real_pool_take(struct pool *pool, enum frame_state state, u16 owner, u64 arg);
pfn_t __real_pool_take_block(struct pool *pool, u16 owner, u64 arg);
enum status __wrap_pool_reserve(struct pool *pool, u64 count);
pfn_t __wrap_pool_take(struct pool *pool, enum frame_state state, u16 owner, u64 arg);
pfn_t __wrap_pool_take_block(struct pool *pool, u16 owner, u64 arg);

static unsigned countdown; /* 1: the next allocation fails */
static bool no_blocks;	   /* blocks are never to be had */
static struct pool *pool;
static struct memory mem;
static enum fault_outcome why;

static bool fails(void)
{
	return countdown != 0 && --countdown == 0;
}

enum status __wrap_pool_reserve(struct pool *p, u64 count)
{
	return fails() ? E_POOL_EMPTY : __real_pool_reserve(p, count);
}

pfn_t __wrap_pool_take(struct pool *p, enum frame_state state, u16 owner, u64 arg)
{
	return fails() ? PFN_NONE : __real_pool_take(p, state, owner, arg);
}

pfn_t __wrap_pool_take_block(struct pool *p, u16 owner, u64 arg)
{
	return no_blocks || fails() ? PFN_NONE : __real_pool_take_block(p, owner, arg);
}

static void start(void)
{
	u32 id, slot;

	fake_start(RAM, &nested_format_npt);
	assert_int_equal(pool_create(&id), OK);
	pool = pool_by_id(id);
	assert_int_equal(pool_donate(pool, pfn(POOL_FIRST), 2048), OK);
	assert_int_equal(memory_init(&mem, 1, pool, &nested_format_npt, 39, 40, false, true), OK);
	assert_int_equal(memory_slot_add(&mem, gfn(1024), 1024, pfn(512),
					 SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE, &slot),
			 OK);
	assert_int_equal(
		memory_slot_add(&mem, gfn(4096), 1024, pfn(2048), SEPTUM_SLOT_INPLACE, &slot), OK);
}

static u64 *touch(u64 g, bool is_private)
{
	return fake_access(0, &mem, memory_alias(&mem, g, is_private) * PAGE_SIZE, FAKE_WRITE,
			   &why);
}

static enum status convert(u64 g, u64 count, bool to_private)
{
	return memory_convert(&mem, gfn(g), count, to_private, MEMORY_ANY_STAMP, gfn(g), count,
			      CONVERT_ZERO);
}

static void nothing(void)
{
}

static void private_block(void)
{
	assert_int_equal(convert(1024, 512, true), OK);
	*touch(1024, true) = 42;
	*touch(1536, false) = 43;
}

static void inplace_block(void)
{
	assert_int_equal(convert(4096, 512, true), OK);
	*touch(4096, true) = 42;
}

static enum status fault_status(u64 g, bool is_private)
{
	if (touch(g, is_private) != NULL)
		return OK;
	assert_int_equal(why, FAULT_POOL_EMPTY);
	return E_POOL_EMPTY;
}

static enum status touch_shared(void)
{
	return fault_status(1024, false);
}

static enum status touch_private(void)
{
	return fault_status(1100, true);
}

static enum status touch_split(void)
{
	return fault_status(1700, false);
}

static enum status convert_page(void)
{
	return convert(1100, 1, false);
}

static enum status convert_odd_range(void)
{
	return convert(1100, 700, true);
}

static enum status convert_inplace(void)
{
	return convert(4100, 700, false);
}

static enum status set_attributes(void)
{
	u64 done;
	enum status status =
		memory_attr_set(&mem, gfn(1030), 1000, PRIVATE | SEPTUM_ATTR_READ, &done);

	assert_int_equal(done, status == OK ? 1000 : 0);
	return status;
}

static enum status load(void)
{
	u64 done;
	enum status status = memory_load(&mem, gfn(1100), 1, pfn(7), &done);

	assert_int_equal(done, status == OK ? 1 : 0);
	return status;
}

static enum status discard(void)
{
	u64 done;
	enum status status = memory_discard(&mem, gfn(1030), 3, &done);

	assert_int_equal(done, status == OK ? 3 : 0);
	return status;
}

static enum status prefault(void)
{
	u64 done;

	return memory_prefault(&mem, gfn(1600), 1, &done);
}

static enum status second_vm(void)
{
	static struct memory other;
	enum status status = memory_init(&other, 2, pool, &nested_format_ept, 0, 40, false, false);

	if (status == OK)
		assert_int_equal(memory_destroy(&other), OK);
	return status;
}

static const struct {
	const char *name;
	void (*before)(void);
	enum status (*operation)(void);
	unsigned least; /* allocations that it makes */
} cases[] = {
	{"touch shared", nothing, touch_shared, 1},
	{"touch private", private_block, touch_private, 0},
	{"touch beside", private_block, touch_split, 0},
	{"convert page", private_block, convert_page, 1},
	{"convert odd range", nothing, convert_odd_range, 1},
	{"convert over a block", private_block, convert_odd_range, 1},
	{"convert in place", inplace_block, convert_inplace, 1},
	{"set attributes", private_block, set_attributes, 1},
	{"load", nothing, load, 0},
	{"load private", private_block, load, 0},
	{"discard", private_block, discard, 1},
	{"prefault", nothing, prefault, 1},
	{"create", nothing, second_vm, 1},
};

/* All that an operation could change, by value. */
struct picture {
	u64 free, content, tables, attr_tables, stamp, privates, leaves[3];
	u64 words[5120];
	u64 contents[5120];
};

static void picture_take(struct picture *p)
{
	memset(p, 0, sizeof(*p));
	p->free = pool_free_count(pool);
	p->content = mem.content;
	p->tables = mem.nested.tables;
	p->attr_tables = mem.attr.tables;
	p->stamp = memory_stamp(&mem);
	p->privates = mem.attr.private_pages;
	for (unsigned i = 0; i < 3; i++)
		p->leaves[i] = mem.nested.leaves[i];
	for (u64 g = 0; g < 5120; g++) {
		struct leaf leaf;

		p->words[g] = attr_word(&mem.attr, gfn(g));
		if (nested_find(&mem.nested, memory_alias(&mem, g, p->words[g] & PRIVATE), &leaf))
			p->contents[g] =
				*(u64 *)fake_frame(pfn(leaf.pfn.n + g % LEVEL_PAGES(leaf.level)));
	}
}

static void each_allocation_fails_once(void **state)
{
	static struct picture before, after;

	(void)state;
	for (unsigned i = 0; i < 2 * ARRAY_COUNT(cases); i++) {
		unsigned c = i / 2, failures = 0;
		enum status status;

		no_blocks = i % 2;
		for (unsigned k = 1;; k++) {
			bool failed;

			start();
			cases[c].before();
			picture_take(&before);
			countdown = k;
			status = cases[c].operation();
			failed = countdown == 0;
			countdown = 0;
			fake_audit();
			if (!failed) {
				assert_int_equal(status, OK);
				assert_int_equal(memory_destroy(&mem), OK);
				fake_audit();
				fake_stop();
				break;
			}
			failures++;
			picture_take(&after);
			/* A block that is not to be had is no failure: single frames will do. */
			if (status != OK) {
				assert_int_equal(status, E_POOL_EMPTY);
				if (memcmp(&before, &after, sizeof(before)) != 0)
					fail_msg("%s, allocation %u: half done", cases[c].name, k);
				assert_int_equal(cases[c].operation(), OK);
				fake_audit();
			}
			assert_int_equal(memory_destroy(&mem), OK);
			assert_int_equal(pool_free_count(pool), pool_total_count(pool));
			fake_audit();
			fake_stop();
		}
		if (!no_blocks && failures < cases[c].least)
			fail_msg("%s: %u allocations", cases[c].name, failures);
	}
	no_blocks = false;
}

/* The pool is emptied to the last frame: everything says E_POOL_EMPTY, nothing breaks, and one
 * block more lets all of it go on. */
static void an_empty_pool_stops_nothing_but_itself(void **state)
{
	(void)state;
	start();
	assert_int_equal(convert(1024, 512, true), OK);
	while (!pfn_is_none(pool_take(pool, FRAME_OBJECT, 1, 0)))
		;
	assert_int_equal(pool_free_count(pool), 0);
	assert_null(touch(1024, true));
	assert_int_equal(why, FAULT_POOL_EMPTY);
	assert_null(touch(1600, false));
	assert_int_equal(why, FAULT_POOL_EMPTY);
	assert_int_equal(convert(1600, 1, true), E_POOL_EMPTY);
	assert_int_equal(second_vm(), E_POOL_EMPTY);
	fake_audit();
	assert_int_equal(pool_donate(pool, pfn(3584), 512), OK);
	assert_non_null(touch(1024, true));
	assert_non_null(touch(1600, false));
	assert_int_equal(convert(1600, 1, true), OK);
	fake_audit();
	assert_int_equal(memory_destroy(&mem), OK);
	fake_audit();
	fake_stop();
}

static void a_fault_says_how_many_frames_it_needs(void **state)
{
	const struct access access = {.raw_gpa = 1024 * PAGE_SIZE, .write = true};
	struct fault fault;
	pfn_t p[2048];
	u64 count = 0;

	(void)state;
	start();
	no_blocks = true;
	assert_int_equal(convert(1024, 512, true), OK);
	while (count < 2048 && !pfn_is_none(p[count] = pool_take(pool, FRAME_OBJECT, 1, 0)))
		count++;
	fault = memory_fault(&mem, &access);
	assert_int_equal(fault.outcome, FAULT_POOL_EMPTY);
	assert_int_equal(fault.needed, 4); /* three tables and the page */
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(memory_fault(&mem, &access).outcome, FAULT_POOL_EMPTY);
		pool_give(pool, p[i]);
	}
	assert_int_equal(memory_fault(&mem, &access).outcome, FAULT_RESOLVED);
	assert_int_equal(pool_free_count(pool), 0);
	no_blocks = false;
	fake_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_allocation_fails_once),
		cmocka_unit_test(an_empty_pool_stops_nothing_but_itself),
		cmocka_unit_test(a_fault_says_how_many_frames_it_needs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
