/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of mm/memory*.c share. Everything here: the memory lock is held. */
#ifndef MM_MEMORY_IMPL_H
#define MM_MEMORY_IMPL_H

#include "mm/memory.h"

static inline u64 memory_end(const struct memory *mem)
{
	return mem->end;
}

/* The page by which the nested table knows `g`, accessed as private or as shared. */
static inline u64 memory_alias(const struct memory *mem, u64 g, bool is_private)
{
	return is_private ? g : g | mem->alias;
}

/* E_RANGE: empty, wraps, or leaves the guest's space. */
static inline enum status memory_range_check(const struct memory *mem, gfn_t first, u64 count)
{
	u64 end = memory_end(mem);

	return count == 0 || first.n >= end || count > end - first.n ? E_RANGE : OK;
}

/* The slot that contains `g`, or NULL. */
static inline const struct slot *memory_slot(struct memory *mem, u64 g)
{
	const struct slot *slot = &mem->slots[mem->slot_recent];

	if (g - slot->first.n < slot->count)
		return slot;
	for (u32 i = 0; i < SEPTUM_MAX_SLOTS; i++) {
		slot = &mem->slots[i];
		if (g - slot->first.n < slot->count) {
			mem->slot_recent = i;
			return slot;
		}
	}
	return NULL;
}

static inline bool slot_backs(const struct slot *slot, bool is_private)
{
	return slot != NULL &&
	       (slot->flags &
		((is_private ? SEPTUM_SLOT_PRIVATE : SEPTUM_SLOT_SHARED) | SEPTUM_SLOT_INPLACE));
}

static inline u64 slot_end(const struct slot *slot)
{
	return slot->first.n + slot->count;
}

/* The root frame behind `g`. */
static inline pfn_t slot_frame(const struct slot *slot, u64 g)
{
	return pfn(slot->root.n + (g - slot->first.n));
}

/* Pages of one slot (or none) and equal attributes. */
struct run {
	u64 first, end;
	unsigned bits;
	bool inplace;
	const struct slot *slot;
};
/* The run that starts at `at` and goes at most up to `end`; returns its end. */
u64 memory_run(struct memory *mem, u64 at, u64 end, struct run *run);

/* There is private content in [first, end): pool frames, or in-place pages that are private. */
bool memory_populated(struct memory *mem, u64 first, u64 end);

/* Puts backing behind one page and maps it, for the kind its attribute `bits` says, as large as may
 * be; `slot` backs it. E_POOL_EMPTY: *needed frames are missing, nothing has changed. Fine if it is
 * mapped already. */
enum status memory_map(struct memory *mem, const struct slot *slot, u64 g, unsigned bits,
		       u64 *needed);

/* The machine has a record of the frames behind private pages. */
static inline bool guard_keeps(const struct memory *mem)
{
	return mem->guard != NULL && mem->guard->assign != NULL;
}

/* The machine refuses. */
static inline pfn_t content_refused(struct memory *mem, pfn_t p, unsigned level)
{
	if (level == LEVEL_4K)
		pool_give(mem->pool, p);
	else
		pool_give_block(mem->pool, p);
	mem->guard_refused = true;
	return PFN_NONE;
}

/* Private content comes and goes by these alone: one frame (LEVEL_4K) or block of the pool behind
 * `g`, which is private; PFN_NONE: the pool has none. It may be mapped then. */
static inline pfn_t content_take(struct memory *mem, unsigned level, u64 g)
{
	pfn_t p = level == LEVEL_4K ? pool_take(mem->pool, FRAME_PRIVATE, mem->owner, g)
				    : pool_take_block(mem->pool, mem->owner, g);

	if (pfn_is_none(p))
		return p;
	if (guard_keeps(mem) && !mem->guard->assign(mem, p, g, level))
		return content_refused(mem, p, level);
	mem->content += LEVEL_PAGES(level);
	return p;
}
/* Gives back what is behind `count` leaves of `level` from `g` on, whose frames follow each other
 * and whose translations are gone. In-place frames are left alone. */
void content_give(struct memory *mem, pfn_t first, unsigned level, u64 count, u64 g);

/* An attribute change of [first, end): `mask` becomes `value`. */
struct change_set {
	u64 first, end;
	unsigned mask, value;
	enum convert_content content;
};
/* The pages of the run would become the other kind. */
static inline bool change_kind(const struct change_set *set, const struct run *run)
{
	return (run->bits ^ set->value) & set->mask & SEPTUM_ATTR_PRIVATE;
}
/* Everything that follows from the change and comes before it: nothing of [first, end), a part of
 * the set, is mapped, visible to the root or kept as what it no longer will be. Cannot fail: the
 * caller has checked, and reserved for the edges of the range. The lock is not released before
 * attr_set(). */
void memory_change_backing(struct memory *mem, const struct change_set *set, u64 first, u64 end,
			   struct reserve *reserve);
/* The frames to reserve for a change of [first, end) or of pieces of it, with attr_set(). */
u64 memory_change_tables(struct memory *mem, u64 first, u64 end);

/* Unmaps [first, end) in both aliases, and frees private pool frames there. */
void memory_unmap(struct memory *mem, u64 first, u64 end, struct reserve *reserve);
/* The same for one alias, without the flush; true: it is needed before memory_drop(). */
bool memory_hide(struct memory *mem, u64 first, u64 end, bool is_private, struct reserve *reserve);
void memory_drop(struct memory *mem, u64 first, u64 end, bool is_private);
/* New permissions for what is mapped; true: a flush is needed. */
bool memory_protect(struct memory *mem, u64 first, u64 end, bool is_private, unsigned prot,
		    struct reserve *reserve);

/* Gives the root frames of the part of `slot` before `end` back, where nothing is mapped any more,
 * and makes the slot begin there; it may then be none. */
void memory_slot_cut(struct memory *mem, struct slot *slot, u64 end);

/* Where a piece of a long operation on [at, end) ends: at the next 2 MiB boundary; later rather
 * than inside of a leaf, or where nothing is recorded nor in place. */
u64 memory_piece(struct memory *mem, u64 at, u64 end);

/* In place, [first, end) of `slot`: hide from the root what is OFFERED, reveal what is INPLACE.
 * hide: the caller flushes the root's translations (all ranges at once), then zeroes. */
void inplace_hide(struct memory *mem, const struct slot *slot, u64 first, u64 end);
void inplace_reveal(struct memory *mem, const struct slot *slot, u64 first, u64 end);
void inplace_zero(const struct slot *slot, u64 first, u64 end);

/* Every struct memory that exists, by owner; for the audit, under memories_lock. */
extern struct spinlock memories_lock;
extern struct memory *memories[SEPTUM_MAX_VMS];

#endif
