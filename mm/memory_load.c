/* SPDX-License-Identifier: BSD-2-Clause */
/* Content given by the manager before the start, and taken away. */
#include "mm/memory.h"
#include "mm/memory_impl.h"
#include "mm/page.h"
#include "mm/root.h"

#define LOAD_PAGES_MAX 512ul

/* The frame behind `g` for its attribute, which may have to be taken. */
static enum status frame_find(struct memory *mem, u64 g, pfn_t *p)
{
	unsigned bits = attr_bits(&mem->attr, gfn(g));
	bool is_private = bits & SEPTUM_ATTR_PRIVATE;
	const struct slot *slot = memory_slot(mem, g);
	struct leaf leaf;
	u64 needed;

	if (!slot_backs(slot, is_private))
		return E_NO_SLOT;
	if (!is_private || (slot->flags & SEPTUM_SLOT_INPLACE)) {
		*p = slot_frame(slot, g);
		return OK;
	}
	if (memory_map(mem, slot, g, bits, &needed) != OK)
		return E_POOL_EMPTY;
	nested_find(&mem->nested, g, &leaf);
	*p = pfn(leaf.pfn.n + (g - leaf.page));
	return OK;
}

static enum status load(struct memory *mem, gfn_t first, u64 count, pfn_t from, u64 *done)
{
	if (!mem->building)
		return E_STATE;
	if (count > LOAD_PAGES_MAX || memory_range_check(mem, first, count) != OK)
		return E_RANGE;
	for (u64 i = 0; i < count; i++) {
		if (!frame_use(pfn(from.n + i)))
			return E_NOT_ROOT;
		frame_unlock(pfn(from.n + i));
	}
	while (*done < count) {
		pfn_t source = pfn(from.n + *done), p;
		enum status status = frame_find(mem, first.n + *done, &p);

		if (status != OK)
			return status;
		if (!frame_use(source))
			return E_NOT_ROOT;
		page_copy_at(window_map(WINDOW_COPY_TO, p), window_map(WINDOW_COPY_FROM, source));
		frame_unlock(source);
		++*done;
	}
	return OK;
}

enum status memory_load(struct memory *mem, gfn_t first, u64 count, pfn_t from, u64 *done)
{
	enum status status;

	*done = 0;
	spin_lock(&mem->lock);
	status = load(mem, first, count, from, done);
	spin_unlock(&mem->lock);
	return status;
}

static enum status discard(struct memory *mem, u64 first, u64 end, u64 *done)
{
	struct reserve reserve;
	enum status status;
	struct run run;
	u64 at = first;

	for (at = first; at < end; at = run.end) {
		memory_run(mem, at, end, &run);
		if (run.inplace)
			return E_UNSUPPORTED;
	}
	if (!mem->discard && !mem->building)
		return E_POPULATED;
	status = reserve_make(
		&reserve, mem->pool,
		nested_splits_for(&mem->nested, memory_alias(mem, first, true), end - first));
	if (status != OK)
		return status;

	at = first;
	do {
		u64 piece = memory_piece(mem, at, end);
		bool was = false;

		for (u64 g = at; g < piece; g = run.end) {
			memory_run(mem, g, piece, &run);
			if (run.bits & SEPTUM_ATTR_PRIVATE)
				was |= memory_hide(mem, g, run.end, true, &reserve);
		}
		if (was)
			tlb_invalidate(&mem->tlb);
		for (u64 g = at; g < piece; g = run.end) {
			memory_run(mem, g, piece, &run);
			if (run.bits & SEPTUM_ATTR_PRIVATE)
				memory_drop(mem, g, run.end, true);
		}
		at = piece;
	} while (at < end && !memory_must_stop());
	reserve_end(&reserve);
	*done = at - first;
	return at < end ? E_AGAIN : OK;
}

enum status memory_discard(struct memory *mem, gfn_t first, u64 count, u64 *done)
{
	enum status status;

	*done = 0;
	spin_lock(&mem->lock);
	status = memory_range_check(mem, first, count);
	if (status == OK)
		status = discard(mem, first.n, first.n + count, done);
	spin_unlock(&mem->lock);
	return status;
}
