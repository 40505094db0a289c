/* SPDX-License-Identifier: BSD-2-Clause */
/* What one access may do, and the mapping it gets. */
#include "mm/memory.h"
#include "mm/memory_impl.h"

/* What a decision was based on. */
struct place {
	const struct slot *slot;
	unsigned bits;
	u64 g;
};

/* Inline: of the functions here, those that run for each fault. */
static inline __attribute__((always_inline)) void
decide(struct memory *mem, const struct access *access, struct fault *fault, struct place *place)
{
	u64 bit = mem->alias << PAGE_SHIFT;
	u64 at = access->raw_gpa & ~bit, g = at >> PAGE_SHIFT;
	const struct slot *slot;
	bool is_private;
	unsigned wanted;

	fault->gpa = gpa(at);
	fault->stamp = mem->attr.newest;
	fault->needed = 0;
	fault->is_private = bit != 0 && !(access->raw_gpa & bit);
	fault->outcome = FAULT_BEYOND;
	if (g >= memory_end(mem))
		return;

	place->g = g;
	place->bits = attr_bits(&mem->attr, gfn(g));
	is_private = place->bits & SEPTUM_ATTR_PRIVATE;
	if (bit == 0)
		fault->is_private = access->kind_known ? access->is_private : is_private;
	slot = place->slot = memory_slot(mem, g);
	wanted = PROT_READ | (access->write ? PROT_WRITE : 0) | (access->exec ? PROT_EXEC : 0);

	/* No conversion to private mends a page that has nothing private behind it. */
	if (fault->is_private && !slot_backs(slot, true))
		fault->outcome = FAULT_NO_SLOT;
	else if (fault->is_private != is_private)
		fault->outcome = FAULT_CONVERSION;
	else if (!is_private && !slot_backs(slot, false))
		fault->outcome = FAULT_MMIO;
	else if (wanted & ~place->bits)
		fault->outcome = FAULT_PERMISSION;
	else
		fault->outcome = FAULT_RESOLVED;
}

/* The aligned block of `level` around `g` lies in the slot. */
static bool slot_holds(const struct slot *slot, u64 g, unsigned level)
{
	u64 first = ALIGN_DOWN(g, LEVEL_PAGES(level));

	return first >= slot->first.n && first + LEVEL_PAGES(level) <= slot_end(slot);
}

/* Makes the leaf; a table that it replaces is freed. */
static void map(struct memory *mem, u64 page, unsigned level, pfn_t p, unsigned bits,
		struct reserve *reserve)
{
	u64 old = nested_map(&mem->nested, page, level, p, bits & PROT_ALL, MEMTYPE_GUEST,
			     bits & SEPTUM_ATTR_PRIVATE, reserve);

	if (old != 0) {
		tlb_invalidate(&mem->tlb);
		nested_release(&mem->nested, old, level);
	}
}

/* Root frames stand behind the page: shared, or in place. */
static enum status map_root(struct memory *mem, const struct slot *slot, u64 g, unsigned bits,
			    u64 *needed)
{
	u64 page = memory_alias(mem, g, bits & SEPTUM_ATTR_PRIVATE), entry;
	pfn_t p = slot_frame(slot, g);
	unsigned level = nested_level_max;
	struct reserve reserve;

	while (level > LEVEL_4K &&
	       (((g ^ p.n) & (LEVEL_PAGES(level) - 1)) != 0 || !slot_holds(slot, g, level) ||
		!attr_uniform(&mem->attr, gfn(g), level, bits)))
		level--;
	*needed = nested_place(&mem->nested, page, level, &entry);
	if (reserve_make(&reserve, mem->pool, *needed) != OK)
		return E_POOL_EMPTY;
	map(mem, ALIGN_DOWN(page, LEVEL_PAGES(level)), level,
	    pfn(ALIGN_DOWN(p.n, LEVEL_PAGES(level))), bits, &reserve);
	return OK;
}

/* A whole 2 MiB block, where one fits and the pool has one. False: nothing has changed. */
static bool map_block(struct memory *mem, const struct slot *slot, u64 g, unsigned bits)
{
	u64 first = ALIGN_DOWN(g, BLOCK_PAGES), entry, tables;
	struct reserve reserve;
	pfn_t p;

	if (nested_level_max < LEVEL_2M || !slot_holds(slot, g, LEVEL_2M) ||
	    !attr_uniform(&mem->attr, gfn(g), LEVEL_2M, bits))
		return false;
	tables = nested_place(&mem->nested, first, LEVEL_2M, &entry);
	if (entry != 0 && !nested_empty(&mem->nested, first, LEVEL_2M))
		return false;
	if (reserve_make(&reserve, mem->pool, tables) != OK)
		return false;
	p = content_take(mem, LEVEL_2M, first);
	if (pfn_is_none(p)) {
		reserve_end(&reserve);
		return false;
	}
	map(mem, first, LEVEL_2M, p, bits, &reserve);
	return true;
}

/* The last of 512 frames of one block may have come together at their old places. */
static void join_block(struct memory *mem, u64 g, unsigned bits)
{
	u64 first = ALIGN_DOWN(g, BLOCK_PAGES);
	struct reserve none = {mem->pool, 0};
	pfn_t p;

	/* What the guest has validated as 512 pages only it can join. */
	if (guard_keeps(mem))
		return;
	if (nested_level_max < LEVEL_2M || !nested_contiguous(&mem->nested, first, &p) ||
	    !attr_uniform(&mem->attr, gfn(g), LEVEL_2M, bits) || !frame_join(p))
		return;
	map(mem, first, LEVEL_2M, p, bits, &none);
}

static enum status map_pool(struct memory *mem, const struct slot *slot, u64 g, unsigned bits,
			    u64 *needed)
{
	struct reserve reserve;
	u64 entry, tables;
	pfn_t p;

	if (map_block(mem, slot, g, bits))
		return OK;
	tables = nested_place(&mem->nested, g, LEVEL_4K, &entry);
	*needed = tables + 1;
	if (reserve_make(&reserve, mem->pool, tables) != OK)
		return E_POOL_EMPTY;
	p = content_take(mem, LEVEL_4K, g);
	if (pfn_is_none(p)) {
		reserve_end(&reserve);
		return E_POOL_EMPTY;
	}
	map(mem, g, LEVEL_4K, p, bits, &reserve);
	if (p.n % BLOCK_PAGES == g % BLOCK_PAGES)
		join_block(mem, g, bits);
	return OK;
}

/* A page of a block that cannot be one leaf and has a table: what most faults are about. False:
 * another, and nothing is done. */
static inline __attribute__((always_inline)) bool map_page(struct memory *mem,
							   const struct slot *slot, u64 g,
							   unsigned bits, u64 *needed,
							   enum status *status)
{
	bool is_private = bits & SEPTUM_ATTR_PRIVATE;
	u64 *entry = nested_page(&mem->nested, memory_alias(mem, g, is_private));
	pfn_t p;

	if (entry == NULL)
		return false;
	*status = OK;
	if (*entry != 0)
		return true;
	if (!attr_recent_mixed(&mem->attr, gfn(g)))
		return false;
	if (is_private && !(slot->flags & SEPTUM_SLOT_INPLACE)) {
		p = content_take(mem, LEVEL_4K, g);
		if (pfn_is_none(p)) {
			*needed = 1;
			*status = E_POOL_EMPTY;
			return true;
		}
	} else {
		p = slot_frame(slot, g);
	}
	nested_page_map(&mem->nested, entry, p, bits & PROT_ALL, MEMTYPE_GUEST, is_private);
	return true;
}

static __attribute__((noinline)) enum status map_any(struct memory *mem, const struct slot *slot,
						     u64 g, unsigned bits, u64 *needed)
{
	bool is_private = bits & SEPTUM_ATTR_PRIVATE;
	struct leaf leaf;

	if (nested_find(&mem->nested, memory_alias(mem, g, is_private), &leaf))
		return OK;
	if (is_private && !(slot->flags & SEPTUM_SLOT_INPLACE))
		return map_pool(mem, slot, g, bits, needed);
	return map_root(mem, slot, g, bits, needed);
}

static inline __attribute__((always_inline)) enum status
map_it(struct memory *mem, const struct slot *slot, u64 g, unsigned bits, u64 *needed)
{
	enum status status;

	return map_page(mem, slot, g, bits, needed, &status) ? status
							     : map_any(mem, slot, g, bits, needed);
}

enum status memory_map(struct memory *mem, const struct slot *slot, u64 g, unsigned bits,
		       u64 *needed)
{
	return map_it(mem, slot, g, bits, needed);
}

/* A 2 MiB leaf, and the machine's entry, become 512. */
static enum status leaf_split(struct memory *mem, u64 g, unsigned bits, u64 *needed)
{
	struct reserve reserve;

	*needed = nested_splits_for(&mem->nested, g, 1);
	if (reserve_make(&reserve, mem->pool, *needed) != OK)
		return E_POOL_EMPTY;
	memory_hide(mem, g, g + 1, true, &reserve);
	tlb_invalidate(&mem->tlb);
	memory_protect(mem, g, g + 1, true, bits & PROT_ALL, &reserve);
	reserve_end(&reserve);
	return OK;
}

/* The access is right and mapped, and yet the machine forbids it. */
static enum fault_outcome guard_fault(struct memory *mem, const struct place *place,
				      const struct access *access, u64 *needed)
{
	struct leaf leaf;
	pfn_t p;

	if (access->hopeless)
		return FAULT_MACHINE;
	if (!nested_find(&mem->nested, place->g, &leaf) || !leaf.is_private || !guard_keeps(mem))
		return FAULT_RESOLVED;
	if (leaf.level == LEVEL_2M && access->small)
		return leaf_split(mem, place->g, place->bits, needed) == OK ? FAULT_RESOLVED
									    : FAULT_POOL_EMPTY;
	p = pfn(leaf.pfn.n + (place->g - leaf.page));
	if (leaf.level == LEVEL_4K && mem->guard->look(mem, p, place->g, LEVEL_4K) == GUARD_LARGER)
		mem->guard->split(mem, pfn(ALIGN_DOWN(p.n, BLOCK_PAGES)),
				  ALIGN_DOWN(place->g, BLOCK_PAGES));
	return FAULT_RESOLVED;
}

struct fault memory_fault(struct memory *mem, const struct access *access)
{
	struct fault fault;
	struct place place;

	spin_lock(&mem->lock);
	decide(mem, access, &fault, &place);
	mem->guard_refused = false;
	if (fault.outcome == FAULT_RESOLVED &&
	    map_it(mem, place.slot, place.g, place.bits, &fault.needed) != OK)
		fault.outcome = mem->guard_refused ? FAULT_MACHINE : FAULT_POOL_EMPTY;
	if (fault.outcome == FAULT_RESOLVED && access->guard)
		fault.outcome = guard_fault(mem, &place, access, &fault.needed);
	spin_unlock(&mem->lock);
	return fault;
}

struct fault memory_decide(struct memory *mem, const struct access *access)
{
	struct fault fault;
	struct place place;

	spin_lock(&mem->lock);
	decide(mem, access, &fault, &place);
	spin_unlock(&mem->lock);
	return fault;
}

enum status memory_prefault(struct memory *mem, gfn_t first, u64 count, u64 *done)
{
	u64 at = first.n, end, needed;
	enum status status;

	*done = 0;
	spin_lock(&mem->lock);
	status = memory_range_check(mem, first, count);
	end = first.n + count;
	while (status == OK && at < end) {
		unsigned bits = attr_bits(&mem->attr, gfn(at));
		const struct slot *slot = memory_slot(mem, at);
		bool is_private = bits & SEPTUM_ATTR_PRIVATE;
		struct leaf leaf;

		if (!slot_backs(slot, is_private)) {
			status = E_NO_SLOT;
			break;
		}
		mem->guard_refused = false;
		status = memory_map(mem, slot, at, bits, &needed);
		if (status != OK) {
			status = mem->guard_refused ? E_FIRMWARE : status;
			break;
		}
		nested_find(&mem->nested, memory_alias(mem, at, is_private), &leaf);
		at = MIN(ALIGN_DOWN(at, LEVEL_PAGES(leaf.level)) + LEVEL_PAGES(leaf.level), end);
		*done = at - first.n;
		if (at < end && at % BLOCK_PAGES == 0 && memory_must_stop())
			status = E_AGAIN;
	}
	spin_unlock(&mem->lock);
	return status;
}
