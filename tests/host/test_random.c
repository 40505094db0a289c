/* sources: mm/?*.c tests/host/fake.c */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Random sequences of every operation of mm/memory.h and mm/pool.h, by several VMs, against an
 * oracle that knows nothing of tables: for each guest page its attributes, stamp and private
 * content, for each root frame its content and who uses it. Every access goes through a processor
 * with a TLB. */
#include "tests/host/fake.h"

#define RAM	  16384ul
#define POOLED	  8192ul /* from here the root donates blocks, below it lends frames */
#define SPAN	  2048ul /* gfns of each VM that the test uses */
#define VMS	  4u
#define SHARED_AT 39u
#define RWX	  ATTR_PERMISSIONS
#define PRIV	  SEPTUM_ATTR_PRIVATE

static struct pool *pools[2];
static struct memory mem[VMS];

/* ---- the oracle */

static struct page {
	u64 stamp, content; /* content: of the private side, two backings */
	unsigned bits;
} pages[VMS][SPAN];
static struct slot slots[VMS][SEPTUM_MAX_SLOTS];
static u64 newest[VMS];
static bool exists[VMS], building[VMS];
static u64 root_content[RAM];
static struct {
	unsigned pins;
	unsigned vm; /* + 1: offered to */
	bool hidden, gone;
} root_frames[RAM];

static u64 steps, refused, again, blocks, joined;

static bool has_bit(unsigned v)
{
	return mem[v].shared_bit != 0;
}

static const struct slot *slot_at(unsigned v, u64 g)
{
	for (unsigned i = 0; i < SEPTUM_MAX_SLOTS; i++) {
		if (slots[v][i].count != 0 && g >= slots[v][i].first.n &&
		    g < slots[v][i].first.n + slots[v][i].count)
			return &slots[v][i];
	}
	return NULL;
}

static bool in_place(const struct slot *slot)
{
	return slot != NULL && (slot->flags & SEPTUM_SLOT_INPLACE);
}

static u64 frame_behind(const struct slot *slot, u64 g)
{
	return slot->root.n + g - slot->first.n;
}

static bool backs(const struct slot *slot, bool is_private)
{
	return slot != NULL &&
	       (in_place(slot) ||
		(slot->flags & (is_private ? SEPTUM_SLOT_PRIVATE : SEPTUM_SLOT_SHARED)));
}

/* Frames that would be lost: only the table knows which pages have been touched. */
static bool populated(unsigned v, u64 g)
{
	const struct slot *slot = slot_at(v, g);
	struct leaf leaf;

	if (!(pages[v][g].bits & PRIV) || slot == NULL)
		return false;
	return in_place(slot) || nested_find(&mem[v].nested, g, &leaf);
}

static void oracle_attr(unsigned v, u64 g, unsigned bits, bool keep)
{
	struct page *page = &pages[v][g];
	const struct slot *slot = slot_at(v, g);

	if (page->bits == bits)
		return;
	if ((page->bits ^ bits) & PRIV) {
		page->content = 0;
		if (in_place(slot)) {
			u64 p = frame_behind(slot, g);

			root_frames[p].hidden = bits & PRIV;
			if (!keep)
				root_content[p] = 0;
		}
	}
	page->bits = bits;
	page->stamp = newest[v] + 1;
}

/* ---- choices */

static void random_range(u64 *first, u64 *count)
{
	static const u64 grains[] = {1, 1, 16, 512, 512, 512};
	u64 grain = grains[fake_below(6)];

	*first = ALIGN_DOWN(fake_below(SPAN), grain);
	*count = fake_below(4) ? grain : 1 + fake_below(700);
	if (fake_below(8) == 0)
		*count = 2 * grain;
	*count = MIN(*count, SPAN - *first);
}

static bool may_be_empty(unsigned v)
{
	return pool_free_count(mem[v].pool) < 24;
}

static void maybe_stop(void)
{
	fake_stop_after = fake_below(3) ? 0 : 1 + (unsigned)fake_below(3);
}

/* ---- operations */

static void vm_start(unsigned v)
{
	bool plain = v == 3;
	enum status status = memory_init(&mem[v], (u16)(v + 1), pools[v % 2],
					 v % 2 ? &nested_format_ept : &nested_format_npt,
					 v < 2 ? SHARED_AT : 0, 40, plain, fake_below(2));

	if (status == E_POOL_EMPTY && pool_free_count(pools[v % 2]) == 0)
		return;
	assert_int_equal(status, OK);
	exists[v] = building[v] = true;
	newest[v] = 0;
	memset(slots[v], 0, sizeof(slots[v]));
	for (u64 g = 0; g < SPAN; g++)
		pages[v][g] = (struct page){0, 0, RWX};
}

static void slot_release(unsigned v, unsigned i, u64 count)
{
	struct slot *slot = &slots[v][i];

	for (u64 k = 0; k < count; k++) {
		u64 g = slot->first.n + k, p = slot->root.n + k;

		pages[v][g].content = 0;
		if (slot->flags & SEPTUM_SLOT_INPLACE) {
			if (root_frames[p].hidden)
				root_content[p] = 0;
			root_frames[p].hidden = false;
			root_frames[p].vm = 0;
		} else if (slot->flags & SEPTUM_SLOT_SHARED) {
			root_frames[p].pins--;
		}
	}
	slot->first.n += count;
	slot->root.n += count;
	slot->count -= count;
}

static void vm_end(unsigned v)
{
	enum status status;

	do {
		maybe_stop();
		status = memory_destroy(&mem[v]);
		again += status == E_AGAIN;
		fake_audit();
	} while (status == E_AGAIN);
	assert_int_equal(status, OK);
	for (unsigned i = 0; i < SEPTUM_MAX_SLOTS; i++)
		slot_release(v, i, slots[v][i].count);
	exists[v] = false;
}

static void slot_add(unsigned v)
{
	static const u32 choices[] = {
		SEPTUM_SLOT_SHARED, SEPTUM_SLOT_PRIVATE, SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE,
		SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE, SEPTUM_SLOT_INPLACE};
	u32 flags = choices[fake_below(5)], index = 0;
	bool rooted = flags != SEPTUM_SLOT_PRIVATE, overlaps = false, owned = true;
	u64 first, count, root;
	enum status status;

	random_range(&first, &count);
	if (fake_below(4)) {
		first = ALIGN_DOWN(first, 512);
		count = 512 * (1 + fake_below(3));
		count = MIN(count, SPAN - first);
	}
	root = fake_below(POOLED - count);
	if (fake_below(2))
		root = ALIGN_DOWN(root, 512) + first % 512;
	for (u64 g = first; g < first + count; g++)
		overlaps |= slot_at(v, g) != NULL;
	for (u64 p = root; rooted && p < root + count; p++)
		owned &= !root_frames[p].gone && root_frames[p].vm == 0 &&
			 (flags == SEPTUM_SLOT_SHARED || !(flags & SEPTUM_SLOT_INPLACE) ||
			  root_frames[p].pins == 0);
	status = memory_slot_add(&mem[v], gfn(first), count, rooted ? pfn(root) : PFN_NONE, flags,
				 &index);
	if (v == 3 && flags != SEPTUM_SLOT_SHARED) {
		assert_int_equal(status, E_UNSUPPORTED);
	} else if (overlaps) {
		assert_int_equal(status, E_EXISTS);
	} else if (!owned) {
		assert_int_equal(status, E_NOT_ROOT);
	} else if (status != E_LIMIT) {
		assert_int_equal(status, OK);
		assert_int_equal(slots[v][index].count, 0);
		slots[v][index] = (struct slot){gfn(first), count, pfn(root), flags, 0};
		newest[v]++;
		for (u64 k = 0; rooted && k < count; k++) {
			if (flags & SEPTUM_SLOT_SHARED) {
				root_frames[root + k].pins++;
				continue;
			}
			root_frames[root + k].vm = v + 1;
			if (pages[v][first + k].bits & PRIV) {
				root_frames[root + k].hidden = true;
				root_content[root + k] = 0;
			}
		}
	}
}

static void slot_remove(unsigned v)
{
	unsigned i = (unsigned)fake_below(SEPTUM_MAX_SLOTS);
	u64 first = slots[v][i].first.n, count = slots[v][i].count;
	bool content = false;
	enum status status;

	for (u64 k = 0; k < count; k++)
		content |= populated(v, first + k);
	maybe_stop();
	status = memory_slot_remove(&mem[v], i);
	if (count == 0) {
		assert_int_equal(status, E_NO_SLOT);
		return;
	}
	if (content && !mem[v].discard && !building[v]) {
		assert_int_equal(status, E_POPULATED);
		return;
	}
	newest[v]++;
	if (status == E_AGAIN) {
		again++;
		slot_release(v, i, mem[v].slots[i].first.n - first);
		assert_true(slots[v][i].count != 0);
		assert_int_equal(slots[v][i].count, mem[v].slots[i].count);
	} else {
		assert_int_equal(status, OK);
		slot_release(v, i, count);
	}
}

/* `whole`: one block, as a guest does that then uses it. */
static void convert(unsigned v, bool whole)
{
	bool to_private = whole || fake_below(2), keep = fake_below(4) == 0, lost = false,
	     differs = false;
	bool covered = true, placed = true, stale = false;
	u64 first, count, given, given_count,
		since = fake_below(2) ? ~0ul : fake_below(newest[v] + 2);
	enum status status;

	random_range(&first, &count);
	if (whole) {
		first = ALIGN_DOWN(first, 512);
		count = 512;
		since = ~0ul;
	}
	given = first;
	given_count = count;
	if (fake_below(3) == 0)
		random_range(&given, &given_count);
	for (u64 g = first; g < first + count; g++) {
		bool changes = !!(pages[v][g].bits & PRIV) != to_private;

		differs |= changes;
		stale |= pages[v][g].stamp > since;
		placed &= in_place(slot_at(v, g));
		covered &= !to_private || backs(slot_at(v, g), true);
		lost |= changes && !to_private && populated(v, g) &&
			(g < given || g >= given + given_count);
	}
	lost &= !mem[v].discard && !building[v];
	status = memory_convert(&mem[v], gfn(first), count, to_private, since, gfn(given),
				given_count, keep ? CONVERT_PRESERVE : CONVERT_ZERO);
	if (v == 3)
		assert_int_equal(status, E_UNSUPPORTED);
	else if (stale)
		assert_int_equal(status, E_STALE);
	else if (keep && !placed)
		assert_true(status == E_UNSUPPORTED || (status == E_NO_SLOT && !covered));
	else if (!covered)
		assert_int_equal(status, E_NO_SLOT);
	else if (!differs)
		assert_int_equal(status, OK);
	else if (lost)
		assert_int_equal(status, E_POPULATED);
	else if (status == E_POOL_EMPTY)
		assert_true(may_be_empty(v));
	else
		assert_int_equal(status, OK);
	if (status != OK) {
		refused++;
		return;
	}
	for (u64 g = first; g < first + count; g++)
		oracle_attr(v, g, (pages[v][g].bits & RWX) | (to_private ? PRIV : 0), keep);
	newest[v] += differs;
	assert_int_equal(memory_stamp(&mem[v]), newest[v]);
}

static void attributes_set(unsigned v)
{
	static const unsigned values[] = {
		RWX, RWX | PRIV, PRIV, SEPTUM_ATTR_READ | PRIV, SEPTUM_ATTR_READ, RWX};
	unsigned bits = values[fake_below(6)];
	bool differs = false, kind = false, lost = false;
	u64 first, count, done = 99;
	enum status status;

	random_range(&first, &count);
	for (u64 g = first; g < first + count; g++) {
		bool other = (pages[v][g].bits ^ bits) & PRIV;

		differs |= pages[v][g].bits != bits;
		kind |= other;
		lost |= other && populated(v, g);
	}
	maybe_stop();
	status = memory_attr_set(&mem[v], gfn(first), count, bits, &done);
	if (v == 3 && (bits & PRIV)) {
		assert_int_equal(status, E_UNSUPPORTED);
	} else if (!differs) {
		assert_int_equal(status, OK);
		assert_int_equal(done, count);
	} else if (kind && !building[v] && !has_bit(v)) {
		assert_int_equal(status, E_UNSUPPORTED);
	} else if (lost && !mem[v].discard && !building[v]) {
		assert_int_equal(status, E_POPULATED);
	} else if (status == E_POOL_EMPTY) {
		assert_true(may_be_empty(v));
	} else if (status == E_AGAIN) {
		again++;
		assert_true(done > 0 && done < count);
	} else {
		assert_int_equal(status, OK);
		assert_int_equal(done, count);
	}
	if (status != OK && status != E_AGAIN) {
		assert_int_equal(done, 0);
		refused++;
		return;
	}
	for (u64 g = first; g < first + done; g++)
		oracle_attr(v, g, bits, false);
	newest[v] = memory_stamp(&mem[v]);
}

static void load(unsigned v)
{
	u64 first, count, done = 99, from = fake_below(POOLED - 600);
	bool rooted = true;
	enum status status;

	random_range(&first, &count);
	for (u64 p = from; p < from + count; p++)
		rooted &= !root_frames[p].gone && !root_frames[p].hidden;
	status = memory_load(&mem[v], gfn(first), count, pfn(from), &done);
	if (!building[v])
		assert_int_equal(status, E_STATE);
	else if (count > 512)
		assert_int_equal(status, E_RANGE);
	else if (!rooted)
		assert_int_equal(status, E_NOT_ROOT);
	else if (status == E_POOL_EMPTY)
		assert_true(may_be_empty(v));
	else if (status != OK)
		assert_int_equal(status, E_NO_SLOT);
	for (u64 k = 0; k < done; k++) {
		const struct slot *slot = slot_at(v, first + k);

		assert_true(backs(slot, pages[v][first + k].bits & PRIV));
		if ((pages[v][first + k].bits & PRIV) && !in_place(slot))
			pages[v][first + k].content = root_content[from + k];
		else
			root_content[frame_behind(slot, first + k)] = root_content[from + k];
	}
	if (status == E_NO_SLOT)
		assert_false(backs(slot_at(v, first + done), pages[v][first + done].bits & PRIV));
	else if (status == OK)
		assert_int_equal(done, count);
}

static void discard(unsigned v)
{
	u64 first, count, done = 99;
	bool placed = false;
	enum status status;

	random_range(&first, &count);
	for (u64 g = first; g < first + count; g++)
		placed |= in_place(slot_at(v, g));
	maybe_stop();
	status = memory_discard(&mem[v], gfn(first), count, &done);
	if (placed)
		assert_int_equal(status, E_UNSUPPORTED);
	else if (!mem[v].discard && !building[v])
		assert_int_equal(status, E_POPULATED);
	else if (status == E_POOL_EMPTY)
		assert_true(may_be_empty(v));
	else if (status != E_AGAIN)
		assert_int_equal(status, OK);
	assert_int_equal(done, status == OK ? count : status == E_AGAIN ? done : 0);
	for (u64 k = 0; k < done; k++)
		pages[v][first + k].content = 0;
}

static void prefault(unsigned v)
{
	u64 first, count, done = 99;
	enum status status;

	random_range(&first, &count);
	maybe_stop();
	status = memory_prefault(&mem[v], gfn(first), count, &done);
	if (status == OK) {
		assert_int_equal(done, count);
	} else if (status == E_NO_SLOT) {
		assert_false(backs(slot_at(v, first + done), pages[v][first + done].bits & PRIV));
	} else if (status == E_POOL_EMPTY) {
		assert_true(may_be_empty(v));
	} else {
		assert_int_equal(status, E_AGAIN);
		assert_true(done > 0 && done < count);
	}
	for (u64 k = 0; k < done; k++) {
		struct leaf leaf;

		assert_true(nested_find(
			&mem[v].nested,
			memory_alias(&mem[v], first + k, pages[v][first + k].bits & PRIV), &leaf));
	}
}

/* What an access has to find: the content's place, or the outcome. */
static u64 *expected_access(unsigned v, u64 g, bool shared_alias, enum fake_kind kind,
			    enum fault_outcome *outcome)
{
	static const unsigned needed[] = {SEPTUM_ATTR_READ, SEPTUM_ATTR_WRITE, SEPTUM_ATTR_EXEC};
	const struct slot *slot = slot_at(v, g);
	struct page *page = &pages[v][g];
	bool is_private = has_bit(v) ? !shared_alias : page->bits & PRIV;

	*outcome = FAULT_RESOLVED;
	if (is_private && !backs(slot, true))
		*outcome = FAULT_NO_SLOT;
	else if (is_private != !!(page->bits & PRIV))
		*outcome = FAULT_CONVERSION;
	else if (!backs(slot, is_private))
		*outcome = FAULT_MMIO;
	else if (!(page->bits & needed[kind]) || !(page->bits & SEPTUM_ATTR_READ))
		*outcome = FAULT_PERMISSION;
	if (*outcome != FAULT_RESOLVED)
		return NULL;
	return is_private && !in_place(slot) ? &page->content
					     : &root_content[frame_behind(slot, g)];
}

static void guest_access(unsigned v)
{
	u64 g = fake_below(SPAN), raw, value = fake_random();
	bool shared_alias = has_bit(v) && fake_below(2);
	enum fake_kind kind = (enum fake_kind)fake_below(3);
	enum fault_outcome outcome, expected;
	u64 *content, *at;

	/* Mostly what will work. */
	if (has_bit(v) && fake_below(4))
		shared_alias = !(pages[v][g].bits & PRIV);
	raw = g * PAGE_SIZE | (shared_alias ? BIT(SHARED_AT) : 0);
	content = expected_access(v, g, shared_alias, kind, &expected);
	at = fake_access((unsigned)fake_below(FAKE_CPUS), &mem[v], raw, kind, &outcome);
	if (outcome == FAULT_POOL_EMPTY) {
		assert_int_equal(expected, FAULT_RESOLVED);
		assert_true(may_be_empty(v));
		return;
	}
	assert_int_equal(outcome, expected);
	if (at == NULL)
		return;
	{
		struct leaf leaf;

		assert_true(nested_find(&mem[v].nested, raw >> PAGE_SHIFT, &leaf));
		blocks += leaf.level == LEVEL_2M && leaf.is_private &&
			  frame_get(leaf.pfn).state == FRAME_PRIVATE;
		joined += leaf.level == LEVEL_2M && !leaf.is_private;
	}
	if (*at != *content)
		fail_msg("VM %u page %lx: %lx instead of %lx", v, g, *at, *content);
	if (kind == FAKE_WRITE && fake_below(2)) {
		assert_true(memory_write(&mem[v], raw, &value, 8));
		*content = value;
	} else if (kind == FAKE_WRITE) {
		*at = *content = value;
	} else {
		assert_true(memory_read(&mem[v], raw, &value, 8));
		assert_int_equal(value, *content);
	}
}

static void root_access(void)
{
	u64 p = fake_below(POOLED + 512), value = fake_random(), *at;
	bool allowed = !root_frames[p].gone && !root_frames[p].hidden;

	at = fake_root_access((unsigned)fake_below(FAKE_CPUS), p * PAGE_SIZE,
			      (enum fake_kind)fake_below(3));
	assert_int_equal(at != NULL, allowed);
	assert_int_equal(root_read(hpa(p * PAGE_SIZE), &value, 8), allowed ? OK : E_NOT_ROOT);
	if (!allowed)
		return;
	assert_int_equal(value, root_content[p]);
	assert_int_equal(*at, root_content[p]);
	root_content[p] = fake_random();
	if (fake_below(2))
		*at = root_content[p];
	else
		assert_int_equal(root_write(hpa(p * PAGE_SIZE), &root_content[p], 8), OK);
}

static void pool_change(void)
{
	struct pool *pool = pools[fake_below(2)];
	u64 first = ALIGN_DOWN(fake_below(RAM), 512);
	bool owned = first + 512 <= fake_root_end();
	pfn_t back;

	if (fake_below(2)) {
		if (pool_reclaim(pool, &back) != OK)
			return;
		for (u64 p = back.n; p < back.n + 512; p++) {
			assert_true(root_frames[p].gone);
			root_frames[p].gone = false;
			root_content[p] = 0;
			assert_int_equal(*fake_root_access(0, p * PAGE_SIZE, FAKE_READ), 0);
		}
		return;
	}
	if (pool_total_count(pool) > 6 * 512)
		return;
	for (u64 p = first; p < first + 512; p++)
		owned &= !root_frames[p].gone && root_frames[p].pins == 0 && root_frames[p].vm == 0;
	assert_int_equal(pool_donate(pool, pfn(first), 512), owned ? OK : E_NOT_ROOT);
	for (u64 p = first; owned && p < first + 512; p++)
		root_frames[p].gone = true;
}

static void step(void)
{
	unsigned v = (unsigned)fake_below(VMS), what = (unsigned)fake_below(100);

	steps++;
	if (!exists[v]) {
		vm_start(v);
		return;
	}
	if (what < 50)
		guest_access(v);
	else if (what < 60)
		root_access();
	else if (what < 75)
		convert(v, fake_below(3) == 0);
	else if (what < 80)
		attributes_set(v);
	else if (what < 84)
		slot_add(v);
	else if (what < 86)
		slot_remove(v);
	else if (what < 89)
		load(v);
	else if (what < 91)
		discard(v);
	else if (what < 95)
		prefault(v);
	else if (what < 97)
		pool_change();
	else if (what < 98 && fake_below(8) == 0)
		vm_end(v);
	else if (building[v] && fake_below(2) == 0)
		building[v] = mem[v].building = false;
	fake_stop_after = 0;
}

static void run(u64 seed, unsigned level_max, u64 count)
{
	u32 id;

	fake_start(RAM, seed % 2 ? &nested_format_npt : &nested_format_ept);
	nested_level_max = level_max;
	for (u64 i = 0; i < seed * 7; i++)
		fake_random();
	memset(root_frames, 0, sizeof(root_frames));
	memset(root_content, 0, sizeof(root_content));
	memset(exists, 0, sizeof(exists));
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(pool_create(&id), OK);
		pools[i] = pool_by_id(id);
		assert_int_equal(pool_donate(pools[i], pfn(POOLED + i * 2048), 2048), OK);
	}
	for (u64 p = POOLED; p < POOLED + 4096; p++)
		root_frames[p].gone = true;
	for (u64 p = fake_root_end(); p < RAM; p++)
		root_frames[p].gone = true;
	for (u64 i = 0; i < count; i++) {
		step();
		if (i % 50 == 0)
			fake_audit();
	}
	for (unsigned v = 0; v < VMS; v++) {
		if (exists[v])
			vm_end(v);
	}
	for (unsigned i = 0; i < 2; i++) {
		pfn_t first;

		assert_int_equal(pool_free_count(pools[i]), pool_total_count(pools[i]));
		while (pool_reclaim(pools[i], &first) == OK)
			;
		assert_int_equal(pool_destroy(pools[i]), OK);
	}
	fake_audit();
	for (u64 p = 0; p < fake_root_end(); p++) {
		assert_int_equal(frame_get(pfn(p)).state, FRAME_ROOT);
		assert_int_equal(frame_get(pfn(p)).arg, 0);
	}
	fake_stop();
}

static void random_operations_agree_with_the_oracle(void **state)
{
	(void)state;
	for (u64 seed = 0; seed < 6; seed++)
		run(seed, LEVEL_1G, 6000);
	print_message(
		"%lu steps, %lu refused, %lu interrupted, %lu in private blocks, %lu in shared\n",
		steps, refused, again, blocks, joined);
	assert_true(refused > 100 && again > 20 && blocks > 100 && joined > 100);
}

static void without_large_leaves_too(void **state)
{
	(void)state;
	run(11, LEVEL_4K, 4000);
	run(12, LEVEL_2M, 2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations_agree_with_the_oracle),
		cmocka_unit_test(without_large_leaves_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
