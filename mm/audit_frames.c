/* SPDX-License-Identifier: BSD-2-Clause */
/* The audit of attribute trees, descriptors and pools. */
#include "mm/audit_impl.h"
#include "mm/memory_impl.h"
#include "mm/pool_impl.h"
#include "mm/window.h"

#define ENTRIES	   BLOCK_PAGES
#define LEVELS_MAX 4u

static unsigned zero_turn; /* which free frames this audit looks at */

/* Counts over an attribute tree. */
struct tally {
	u64 tables, privates;
};

static bool word_check(struct audit_report *report, const struct attr *attr, u64 word, u64 page,
		       u64 pages, struct tally *tally)
{
	if (word >> ATTR_STAMP_SHIFT > attr->newest)
		return audit_fail(report, AUDIT_ATTR_STAMP, attr->owner, PFN_NONE, page);
	if (word & SEPTUM_ATTR_PRIVATE)
		tally->privates += pages;
	return true;
}

/* The counts that a pointer to a table of pages carries. */
static bool counts_check(struct audit_report *report, const struct attr *attr, u64 pointer,
			 const u64 *table, u64 page)
{
	u64 privates = 0, fulls = 0;

	for (unsigned i = 0; i < ENTRIES; i++) {
		privates += (table[i] & SEPTUM_ATTR_PRIVATE) != 0;
		fulls += (table[i] & ATTR_PERMISSIONS) == ATTR_PERMISSIONS;
	}
	if ((pointer >> ATTR_PRIVATE_SHIFT & ATTR_COUNT_MASK) == privates &&
	    (pointer >> ATTR_FULL_SHIFT & ATTR_COUNT_MASK) == fulls)
		return true;
	return audit_fail(report, AUDIT_ATTR_COUNT, attr->owner, pfn(pointer & ATTR_FRAME), page);
}

bool audit_attr(struct audit_report *report, const struct attr *attr)
{
	/* By level of the entries in the table; the root entry is of level `levels`. */
	u64 pointers[LEVELS_MAX + 1], index[LEVELS_MAX + 1] = {0};
	struct tally tally = {0};
	unsigned level = attr->levels;
	u64 entry = attr->root, page = 0;

	for (;;) {
		if (entry & ATTR_TABLE) {
			pfn_t p = pfn(entry & ATTR_FRAME);
			struct frame frame = frame_get(p);

			if (level == 0 || frame.state != FRAME_TABLE ||
			    frame.owner != attr->owner || !audit_mark(p))
				return audit_fail(report, AUDIT_TABLE_STATE, attr->owner, p, page);
			tally.tables++;
			level--;
			pointers[level] = entry;
			index[level] = 0;
			if (level == 0 &&
			    !counts_check(report, attr, entry, window_map(WINDOW_AUDIT, p), page))
				return false;
		} else {
			if (!word_check(report, attr, entry, page, 1ul << (9 * level), &tally))
				return false;
			while (level < attr->levels && ++index[level] == ENTRIES)
				level++;
		}
		if (level == attr->levels)
			break;
		page = 0;
		for (unsigned l = level; l < attr->levels; l++)
			page |= index[l] << (9 * l);
		entry = ((const u64 *)window_map((enum window_slot)(WINDOW_AUDIT_TABLE + level),
						 pfn(pointers[level] & ATTR_FRAME)))[index[level]];
	}
	if (tally.privates != attr->private_pages)
		return audit_fail(report, AUDIT_ATTR_COUNT, attr->owner, PFN_NONE, ~0ul);
	if (tally.tables != attr->tables)
		return audit_fail(report, AUDIT_TABLE_COUNT, attr->owner, PFN_NONE, ~0ul);
	return true;
}

static bool is_zero(pfn_t p)
{
	const u64 *page = window_map(WINDOW_AUDIT, p);
	u64 any = 0;

	for (unsigned i = 0; i < PAGE_SIZE / sizeof(u64); i++)
		any |= page[i];
	return any == 0;
}

static bool frame_check(struct audit_report *report, pfn_t p, const struct frame *frame)
{
	switch (frame->state) {
	case FRAME_PRIVATE:
		if (!audit_seen(p))
			return audit_fail(report, AUDIT_PRIVATE_LOST, frame->owner, p, frame->arg);
		break;
	case FRAME_TABLE:
		if (!audit_seen(p))
			return audit_fail(report, AUDIT_TABLE_STATE, frame->owner, p, ~0ul);
		break;
	case FRAME_INPLACE:
	case FRAME_OFFERED:
		if (frame->owner >= SEPTUM_MAX_VMS || memories[frame->owner] == NULL)
			return audit_fail(report, AUDIT_OWNER_GONE, frame->owner, p, frame->arg);
		break;
	case FRAME_POOL:
		if (p.n % audit_zero_every == zero_turn % audit_zero_every && !is_zero(p))
			return audit_fail(report, AUDIT_NOT_ZERO, frame->owner, p, ~0ul);
		break;
	default:
		break;
	}
	return true;
}

/* One block's record against the states of its frames. */
static bool block_check(struct audit_report *report, u64 first)
{
	const struct block *block = pool_block(pfn(first));
	unsigned rooted = 0, frees = 0;

	for (u64 i = 0; i < BLOCK_PAGES; i++) {
		pfn_t p = pfn(first + i);
		struct frame frame = frame_get(p);
		bool is_free = block->free[i / 64] & BIT(i % 64);
		bool pooled = frame.state == FRAME_POOL || frame.state == FRAME_PRIVATE ||
			      frame.state == FRAME_TABLE || frame.state == FRAME_OBJECT ||
			      frame.state == FRAME_LOST;

		if (pooled != (block->pool != 0) || is_free != (frame.state == FRAME_POOL) ||
		    (is_free && frame.owner != block->pool))
			return audit_fail(report, AUDIT_BLOCK_RECORD, frame.owner, p, ~0ul);
		frees += is_free;
		rooted += frame.state == FRAME_ROOT || frame.state == FRAME_OFFERED;
		if (!frame_check(report, p, &frame))
			return false;
	}
	if (frees != block->free_count)
		return audit_fail(report, AUDIT_BLOCK_RECORD, block->pool, pfn(first), ~0ul);
	if (rooted != frame_block_root(pfn(first)))
		return audit_fail(report, AUDIT_ROOT_COUNT, 0, pfn(first), ~0ul);
	return true;
}

bool audit_frames(struct audit_report *report)
{
	zero_turn++;
	for (u64 first = 0; first < frame_limit().n; first += BLOCK_PAGES) {
		if (!block_check(report, first))
			return false;
	}
	return true;
}

bool audit_pools(struct audit_report *report)
{
	u64 limit = frame_limit().n / BLOCK_PAGES;

	for (u32 id = 1; id < SEPTUM_MAX_POOLS; id++) {
		const struct pool *pool = pool_by_id(id);
		u64 blocks = 0, frees = 0, listed = 0;

		for (u64 i = 0; i < limit; i++) {
			const struct block *block = pool_block(pfn(i * BLOCK_PAGES));

			if (block->pool == id) {
				blocks++;
				frees += block->free_count;
			}
		}
		if (pool == NULL) {
			if (blocks != 0)
				return audit_fail(report, AUDIT_POOL_COUNT, (u16)id, PFN_NONE,
						  ~0ul);
			continue;
		}
		for (unsigned list = 0; list < BLOCK_LISTS; list++) {
			u32 at = pool->lists[list];

			for (; at != BLOCK_NONE && listed <= limit; listed++) {
				const struct block *block = pool_block(pfn(at * BLOCK_PAGES));
				unsigned right = BLOCK_FULL;

				if (block->free_count == BLOCK_PAGES)
					right = BLOCK_WHOLE;
				else if (block->free_count != 0)
					right = block->mixed ? BLOCK_PARTIAL_MIXED : BLOCK_PARTIAL;
				if (block->pool != id || right != list || block->list != list)
					return audit_fail(report, AUDIT_POOL_COUNT, (u16)id,
							  pfn(at * BLOCK_PAGES), ~0ul);
				at = block->next;
			}
		}
		if (listed != blocks || pool->total != blocks * BLOCK_PAGES ||
		    pool->free != frees || pool->reserved > pool->free)
			return audit_fail(report, AUDIT_POOL_COUNT, (u16)id, PFN_NONE, ~0ul);
	}
	return true;
}
