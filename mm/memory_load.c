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

/* A page of a guest whose memory has a guard: taken, filled, made part of the launch image, then
 * mapped. */
static enum status launch_pool(struct memory *mem, u64 g, void *content, unsigned kind)
{
	unsigned bits = attr_bits(&mem->attr, gfn(g));
	struct reserve reserve;
	u64 entry;
	pfn_t p;
	enum status status;

	nested_place(&mem->nested, g, LEVEL_4K, &entry);
	if (entry != 0)
		return E_EXISTS;
	status = reserve_make(&reserve, mem->pool, nested_place(&mem->nested, g, LEVEL_4K, &entry));
	if (status != OK)
		return status;
	p = pool_take(mem->pool, FRAME_PRIVATE, mem->owner, g);
	if (pfn_is_none(p)) {
		reserve_end(&reserve);
		return E_POOL_EMPTY;
	}
	page_copy_at(window_map(WINDOW_COPY_TO, p), content);
	status = mem->guard->launch(mem, p, g, kind);
	if (status == OK) {
		mem->content++;
		nested_map(&mem->nested, g, LEVEL_4K, p, bits & PROT_ALL, MEMTYPE_GUEST, true,
			   &reserve);
		return OK;
	}
	reserve_end(&reserve);
	if (status == E_ARG)
		page_copy_at(content, window_map(WINDOW_COPY_FROM, p));
	if (status == E_BROKEN) {
		pool_lose(mem->pool, p);
		return E_FIRMWARE;
	}
	pool_give(mem->pool, p);
	return status;
}

static enum status launch(struct memory *mem, u64 g, void *content, unsigned kind)
{
	const struct slot *slot = memory_slot(mem, g);
	enum status status;
	pfn_t p;

	if (!mem->building)
		return E_STATE;
	if (memory_range_check(mem, gfn(g), 1) != OK)
		return E_RANGE;
	if (!(attr_bits(&mem->attr, gfn(g)) & SEPTUM_ATTR_PRIVATE))
		return E_UNSUPPORTED;
	if (!slot_backs(slot, true))
		return E_NO_SLOT;
	if (!(slot->flags & SEPTUM_SLOT_INPLACE))
		return launch_pool(mem, g, content, kind);
	p = slot_frame(slot, g);
	page_copy_at(window_map(WINDOW_COPY_TO, p), content);
	status = mem->guard->launch(mem, p, g, kind);
	return status == E_BROKEN ? E_FIRMWARE : status;
}

enum status memory_launch(struct memory *mem, gfn_t page, void *content, unsigned kind)
{
	enum status status;

	spin_lock(&mem->lock);
	status = launch(mem, page.n, content, kind);
	spin_unlock(&mem->lock);
	return status;
}

enum status memory_private_frame(struct memory *mem, gfn_t page, pfn_t *p)
{
	enum status status = E_NO_SLOT;
	const struct slot *slot;
	struct leaf leaf;

	spin_lock(&mem->lock);
	slot = memory_slot(mem, page.n);
	if (memory_range_check(mem, page, 1) != OK) {
		status = E_RANGE;
	} else if (!(attr_bits(&mem->attr, page) & SEPTUM_ATTR_PRIVATE)) {
		status = E_NO_SLOT;
	} else if (slot != NULL && (slot->flags & SEPTUM_SLOT_INPLACE)) {
		*p = slot_frame(slot, page.n);
		status = OK;
	} else if (nested_find(&mem->nested, page.n, &leaf) && leaf.is_private) {
		*p = pfn(leaf.pfn.n + (page.n - leaf.page));
		status = OK;
	}
	spin_unlock(&mem->lock);
	return status;
}

/* What the root has at `source`, as a page of the launch image. */
static enum status load_guarded(struct memory *mem, u64 g, pfn_t source)
{
	/* One at a time, and under the memory's lock: it is too large for a stack. */
	static u8 page[PAGE_SIZE] __attribute__((aligned(8)));
	static struct spinlock lock = SPINLOCK(RANK_LAUNCH);
	enum status status;

	spin_lock(&lock);
	if (!frame_use(source)) {
		spin_unlock(&lock);
		return E_NOT_ROOT;
	}
	page_copy_at(page, window_map(WINDOW_COPY_FROM, source));
	frame_unlock(source);
	status = launch(mem, g, page, GUARD_LAUNCH_DATA);
	spin_unlock(&lock);
	return status;
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
		u64 g = first.n + *done;
		enum status status;

		if (mem->guard != NULL && (attr_bits(&mem->attr, gfn(g)) & SEPTUM_ATTR_PRIVATE)) {
			status = load_guarded(mem, g, source);
			if (status != OK)
				return status;
			++*done;
			continue;
		}
		status = frame_find(mem, g, &p);
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
