/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of a guest's memory, in pieces. */
#include "mm/memory.h"
#include "mm/memory_impl.h"

/* All 48 bits of the walk, both aliases. */
#define PAGES_END (1ul << 36)

/* Drops what the nested table records. False: interrupted. */
static bool nested_empty_all(struct memory *mem)
{
	struct reserve none = {mem->pool, 0};
	struct leaf leaf;

	/* The vCPUs have left; this also covers translations that a processor kept of them. */
	tlb_invalidate(&mem->tlb);
	while (nested_next(&mem->nested, 0, PAGES_END, &leaf)) {
		u64 pages = MAX(LEVEL_PAGES(leaf.level), BLOCK_PAGES);
		u64 first = ALIGN_DOWN(leaf.page, pages), bit = 0;

		nested_hide(&mem->nested, first, pages, NULL, &none);
		if (mem->shared_bit)
			bit = 1ul << (mem->shared_bit - PAGE_SHIFT);
		memory_drop(mem, first & ~bit, (first & ~bit) + pages, !(first & bit));
		if (memory_must_stop())
			return false;
	}
	/* Empty tables are left. */
	nested_hide(&mem->nested, 0, PAGES_END, NULL, &none);
	memory_drop(mem, 0, PAGES_END, true);
	return true;
}

static bool slots_remove(struct memory *mem)
{
	for (u32 i = 0; i < SEPTUM_MAX_SLOTS; i++) {
		struct slot *slot = &mem->slots[i];

		while (slot->count != 0) {
			u64 piece = ALIGN_DOWN(slot->first.n, BLOCK_PAGES) + BLOCK_PAGES;

			if (pfn_is_none(slot->root))
				piece = slot_end(slot);
			memory_slot_cut(mem, slot, MIN(piece, slot_end(slot)));
			if (memory_must_stop())
				return false;
		}
	}
	return true;
}

static bool attributes_remove(struct memory *mem)
{
	while (!attr_destroy(&mem->attr)) {
		if (memory_must_stop())
			return false;
	}
	return true;
}

enum status memory_destroy(struct memory *mem)
{
	bool all;

	spin_lock(&mem->lock);
	/* In-place frames are found by attribute: attributes go last. */
	all = nested_empty_all(mem) && slots_remove(mem) && attributes_remove(mem);
	spin_unlock(&mem->lock);
	if (!all)
		return E_AGAIN;

	spin_lock(&memories_lock);
	memories[mem->owner] = NULL;
	spin_unlock(&memories_lock);
	nested_end(&mem->nested);
	ASSERT(mem->content == 0 && mem->attr.tables == 0);
	pool_unbind(mem->pool);
	return OK;
}
