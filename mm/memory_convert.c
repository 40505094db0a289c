/* SPDX-License-Identifier: BSD-2-Clause */
/* Attribute changes: by a conversion, all or nothing, or by the manager, in pieces. */
#include "mm/memory.h"
#include "mm/memory_impl.h"
#include "mm/root.h"

u64 memory_change_tables(struct memory *mem, u64 first, u64 end)
{
	u64 count = end - first;
	u64 tables = attr_tables_for(&mem->attr, gfn(first), count) +
		     nested_splits_for(&mem->nested, memory_alias(mem, first, true), count);

	if (mem->shared_bit)
		tables += nested_splits_for(&mem->nested, memory_alias(mem, first, false), count);
	return tables;
}

/* First pass: the processor can load nothing of the range as what it no longer will be. */
static void hide_runs(struct memory *mem, const struct change_set *set, u64 first, u64 end,
		      struct reserve *reserve)
{
	bool was = false;
	struct run run;

	for (u64 at = first; at < end; at = run.end) {
		bool is_private;
		unsigned bits;

		memory_run(mem, at, end, &run);
		is_private = run.bits & SEPTUM_ATTR_PRIVATE;
		bits = (run.bits & ~set->mask) | set->value;
		if (bits == run.bits || run.slot == NULL)
			continue;
		if (change_kind(set, &run))
			was |= memory_hide(mem, at, run.end, is_private, reserve);
		else
			was |= memory_protect(mem, at, run.end, is_private, bits & PROT_ALL,
					      reserve);
	}
	if (was)
		tlb_invalidate(&mem->tlb);
}

/* Second pass: nobody uses the old translations, content and frames change sides. */
static void move_runs(struct memory *mem, const struct change_set *set, u64 first, u64 end)
{
	bool hidden = false;
	struct run run;

	for (u64 at = first; at < end; at = run.end) {
		bool is_private;

		memory_run(mem, at, end, &run);
		is_private = run.bits & SEPTUM_ATTR_PRIVATE;
		if (run.slot == NULL || !change_kind(set, &run))
			continue;
		memory_drop(mem, at, run.end, is_private);
		if (!run.inplace)
			continue;
		if (is_private) {
			if (set->content == CONVERT_ZERO)
				inplace_zero(run.slot, at, run.end);
			inplace_reveal(mem, run.slot, at, run.end);
		} else {
			inplace_hide(mem, run.slot, at, run.end);
			hidden = true;
		}
	}
	if (!hidden)
		return;

	/* Zeroed only when the root can no longer write. */
	tlb_invalidate(root_tlb());
	if (set->content != CONVERT_ZERO)
		return;
	for (u64 at = first; at < end; at = run.end) {
		memory_run(mem, at, end, &run);
		if (run.inplace && change_kind(set, &run) && !(run.bits & SEPTUM_ATTR_PRIVATE))
			inplace_zero(run.slot, at, run.end);
	}
}

void memory_change_backing(struct memory *mem, const struct change_set *set, u64 first, u64 end,
			   struct reserve *reserve)
{
	hide_runs(mem, set, first, end, reserve);
	move_runs(mem, set, first, end);
}

/* E_POPULATED: a page outside of [given, given_end) would lose private content. */
static enum status lost_check(struct memory *mem, const struct change_set *set, u64 given,
			      u64 given_end)
{
	if (!(set->mask & ~set->value & SEPTUM_ATTR_PRIVATE) || mem->discard || mem->building)
		return OK;
	given = MIN(MAX(given, set->first), set->end);
	given_end = MIN(MAX(given_end, given), set->end);
	return memory_populated(mem, set->first, given) ||
			       memory_populated(mem, given_end, set->end)
		       ? E_POPULATED
		       : OK;
}

/* E_NO_SLOT: a page has no private backing, when all is to be private; E_UNSUPPORTED: a page is not
 * in place, when content is to be kept. */
static enum status coverage_check(struct memory *mem, const struct change_set *set)
{
	for (u64 at = set->first; at < set->end;) {
		const struct slot *slot = memory_slot(mem, at);

		if (set->content == CONVERT_PRESERVE &&
		    (slot == NULL || !(slot->flags & SEPTUM_SLOT_INPLACE)))
			return E_UNSUPPORTED;
		if (set->value & SEPTUM_ATTR_PRIVATE) {
			if (!slot_backs(slot, true))
				return E_NO_SLOT;
		} else if (slot == NULL) {
			break;
		}
		at = slot_end(slot);
	}
	return OK;
}

static u64 add_clamped(u64 a, u64 b)
{
	return a + b < a ? ~0ul : a + b;
}

/* One page of a block that has tables for attributes and leaves: nothing is to be reserved, and one
 * look at each is enough. False: it is no such page, and nothing has been decided. */
static bool convert_page(struct memory *mem, const struct change_set *set, u64 since, bool given,
			 enum status *status)
{
	const bool to_private = set->value & SEPTUM_ATTR_PRIVATE;
	const u64 g = set->first;
	const struct slot *slot = memory_slot(mem, g);
	u64 *words = attr_pages(&mem->attr, gfn(g)), *entry, word, old;

	if (words == NULL || slot == NULL || (slot->flags & SEPTUM_SLOT_INPLACE) ||
	    set->content != CONVERT_ZERO)
		return false;
	entry = nested_page(&mem->nested, memory_alias(mem, g, !to_private));
	if (entry == NULL)
		return false;
	word = words[g % BLOCK_PAGES];
	*status = OK;
	if (word >> ATTR_STAMP_SHIFT > since) {
		*status = E_STALE;
	} else if (to_private && !slot_backs(slot, true)) {
		*status = E_NO_SLOT;
	} else if (!(word & SEPTUM_ATTR_PRIVATE) == to_private) {
		if (!to_private && *entry != 0 && !given && !mem->discard && !mem->building) {
			*status = E_POPULATED;
			return true;
		}
		old = nested_page_take(&mem->nested, entry);
		if (old & mem->nested.format->present)
			tlb_invalidate(&mem->tlb);
		if (old & NESTED_PRIVATE)
			content_give(mem, nested_frame(old), LEVEL_4K, 1, g);
		attr_flip(&mem->attr, gfn(g));
	}
	return true;
}

static enum status convert(struct memory *mem, const struct change_set *set, u64 since,
			   gfn_t given_first, u64 given_count)
{
	u64 count = set->end - set->first;
	struct reserve reserve;
	enum status status;

	if (mem->plain)
		return E_UNSUPPORTED;
	if (count == 1 &&
	    convert_page(mem, set, since, set->first - given_first.n < given_count, &status))
		return status;
	if (since < mem->attr.newest &&
	    attr_stamp_range(&mem->attr, gfn(set->first), count) > since)
		return E_STALE;
	if (set->value != 0 || set->content == CONVERT_PRESERVE) {
		status = coverage_check(mem, set);
		if (status != OK)
			return status;
	}
	if (!attr_differs(&mem->attr, gfn(set->first), count, set->mask, set->value))
		return OK;
	status = lost_check(mem, set, given_first.n, add_clamped(given_first.n, given_count));
	if (status != OK)
		return status;
	status = reserve_make(&reserve, mem->pool, memory_change_tables(mem, set->first, set->end));
	if (status != OK)
		return status;

	/* From here on nothing can fail. */
	memory_change_backing(mem, set, set->first, set->end, &reserve);
	attr_set(&mem->attr, gfn(set->first), count, set->mask, set->value, &reserve);
	reserve_end(&reserve);
	return OK;
}

enum status memory_convert(struct memory *mem, gfn_t first, u64 count, bool to_private, u64 since,
			   gfn_t given_first, u64 given_count, enum convert_content content)
{
	const struct change_set set = {
		.first = first.n,
		.end = first.n + count,
		.mask = SEPTUM_ATTR_PRIVATE,
		.value = to_private ? SEPTUM_ATTR_PRIVATE : 0,
		.content = content,
	};
	enum status status = E_RANGE;

	spin_lock(&mem->lock);
	if (count <= CONVERT_PAGES_MAX && memory_range_check(mem, first, count) == OK)
		status = convert(mem, &set, since, given_first, given_count);
	spin_unlock(&mem->lock);
	return status;
}

/* Some page would become the other kind. */
static bool kind_differs(struct memory *mem, const struct change_set *set)
{
	return attr_differs(&mem->attr, gfn(set->first), set->end - set->first, SEPTUM_ATTR_PRIVATE,
			    set->value & SEPTUM_ATTR_PRIVATE);
}

static enum status attributes_set(struct memory *mem, const struct change_set *set, u64 *done)
{
	u64 count = set->end - set->first, at = set->first;
	struct reserve reserve;
	enum status status;

	if (!attr_differs(&mem->attr, gfn(at), count, set->mask, set->value)) {
		*done = count;
		return OK;
	}
	if (!mem->building && !mem->shared_bit && kind_differs(mem, set))
		return E_UNSUPPORTED;
	status = lost_check(mem, set, 0, 0);
	if (status != OK)
		return status;
	status = reserve_make(&reserve, mem->pool, memory_change_tables(mem, at, set->end));
	if (status != OK)
		return status;

	do {
		u64 piece = memory_piece(mem, at, set->end);

		memory_change_backing(mem, set, at, piece, &reserve);
		at = piece;
	} while (at < set->end && !memory_must_stop());
	*done = at - set->first;
	attr_set(&mem->attr, gfn(set->first), *done, set->mask, set->value, &reserve);
	reserve_end(&reserve);
	return at < set->end ? E_AGAIN : OK;
}

enum status memory_attr_set(struct memory *mem, gfn_t first, u64 count, unsigned attributes,
			    u64 *done)
{
	const struct change_set set = {
		.first = first.n,
		.end = first.n + count,
		.mask = ATTR_ALL,
		.value = attributes,
		.content = CONVERT_ZERO,
	};
	enum status status;

	*done = 0;
	if ((attributes & ~ATTR_ALL) ||
	    ((attributes & (PROT_WRITE | PROT_EXEC)) && !(attributes & PROT_READ)))
		return E_ARG;
	if (mem->plain && (attributes & SEPTUM_ATTR_PRIVATE))
		return E_UNSUPPORTED;
	spin_lock(&mem->lock);
	status = memory_range_check(mem, first, count);
	if (status == OK)
		status = attributes_set(mem, &set, done);
	spin_unlock(&mem->lock);
	return status;
}
