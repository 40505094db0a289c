/* SPDX-License-Identifier: BSD-2-Clause */
/* Slots: what can stand behind guest pages. */
#include "mm/memory.h"
#include "mm/memory_impl.h"
#include "mm/root.h"

#define SLOT_FLAGS (SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE | SEPTUM_SLOT_INPLACE)

static bool has_root(u32 flags)
{
	return flags & (SEPTUM_SLOT_SHARED | SEPTUM_SLOT_INPLACE);
}

static enum status flags_check(const struct memory *mem, pfn_t root, u32 flags)
{
	if (flags == 0 || (flags & ~SLOT_FLAGS))
		return E_ARG;
	if ((flags & SEPTUM_SLOT_INPLACE) && flags != SEPTUM_SLOT_INPLACE)
		return E_ARG;
	if (!has_root(flags) && root.n != 0 && !pfn_is_none(root))
		return E_ARG;
	if (mem->one_frame && !(flags & SEPTUM_SLOT_INPLACE))
		return E_UNSUPPORTED;
	if (guard_keeps(mem) && (flags & SEPTUM_SLOT_INPLACE))
		return E_UNSUPPORTED;
	if (mem->plain && (flags & (SEPTUM_SLOT_PRIVATE | SEPTUM_SLOT_INPLACE)))
		return E_UNSUPPORTED;
	return OK;
}

/* OK and a free index; E_EXISTS, E_LIMIT. */
static enum status place_find(const struct memory *mem, u64 first, u64 end, u32 *index)
{
	enum status status = E_LIMIT;

	for (u32 i = SEPTUM_MAX_SLOTS; i-- > 0;) {
		const struct slot *slot = &mem->slots[i];

		if (slot->count == 0) {
			*index = i;
			status = OK;
		} else if (first < slot_end(slot) && slot->first.n < end) {
			return E_EXISTS;
		}
	}
	return status;
}

/* Root frames become the backing: pinned, or offered in place and hidden where the page is private.
 */
static enum status root_frames_take(struct memory *mem, const struct slot *slot)
{
	bool hidden = false;
	enum status status;
	unsigned bits;

	if (slot->flags & SEPTUM_SLOT_SHARED)
		return root_pin(slot->root, slot->count);
	status = root_offer(slot->root, slot->count, mem->owner, slot->first);
	if (status != OK)
		return status;
	for (unsigned pass = 0; pass < 2; pass++) {
		for (u64 at = slot->first.n; at < slot_end(slot);) {
			u64 end = at + attr_run(&mem->attr, gfn(at), gfn(slot_end(slot)), &bits);

			if (bits & SEPTUM_ATTR_PRIVATE) {
				if (pass == 0)
					inplace_hide(mem, slot, at, end);
				else
					inplace_zero(slot, at, end);
				hidden = true;
			}
			at = end;
		}
		if (!hidden)
			break;
		if (pass == 0)
			tlb_invalidate(root_tlb());
	}
	return OK;
}

static enum status slot_add(struct memory *mem, const struct slot *wanted, u32 *index)
{
	enum status status = place_find(mem, wanted->first.n, slot_end(wanted), index);

	if (status == OK && has_root(wanted->flags))
		status = root_frames_take(mem, wanted);
	if (status != OK)
		return status;
	mem->slots[*index] = *wanted;
	mem->slot_stamp = ++mem->attr.newest;
	return OK;
}

enum status memory_slot_add(struct memory *mem, gfn_t first, u64 count, pfn_t root, u32 flags,
			    u32 *slot)
{
	const struct slot wanted = {
		.first = first,
		.count = count,
		.root = has_root(flags) ? root : PFN_NONE,
		.flags = flags,
	};
	enum status status = flags_check(mem, root, flags);

	if (status != OK)
		return status;
	spin_lock(&mem->lock);
	status = memory_range_check(mem, first, count);
	if (status == OK)
		status = slot_add(mem, &wanted, slot);
	spin_unlock(&mem->lock);
	return status;
}

void memory_slot_cut(struct memory *mem, struct slot *slot, u64 end)
{
	u64 count = end - slot->first.n;
	struct run run;

	if (slot->flags & SEPTUM_SLOT_INPLACE) {
		for (u64 at = slot->first.n; at < end; at = run.end) {
			memory_run(mem, at, end, &run);
			if (!(run.bits & SEPTUM_ATTR_PRIVATE))
				continue;
			inplace_zero(slot, at, run.end);
			inplace_reveal(mem, slot, at, run.end);
		}
		root_withdraw(slot->root, count, mem->owner);
	} else if (slot->flags & SEPTUM_SLOT_SHARED) {
		root_unpin(slot->root, count);
	}
	slot->first.n = end;
	slot->count -= count;
	if (has_root(slot->flags))
		slot->root.n += count;
	if (slot->count == 0)
		*slot = (struct slot){0};
}

static enum status slot_remove(struct memory *mem, struct slot *slot)
{
	u64 end = slot_end(slot), at = slot->first.n;
	struct reserve none = {mem->pool, 0};

	if (!mem->discard && !mem->building && memory_populated(mem, at, end))
		return E_POPULATED;
	do {
		/* Leaves end where slots do, and pieces where leaves do: nothing is split. Root
		 * frames cost a little each, mapped or not: 1 GiB of them at a time. */
		u64 gib = ALIGN_DOWN(at, LEVEL_PAGES(LEVEL_1G)) + LEVEL_PAGES(LEVEL_1G);
		u64 piece = memory_piece(mem, at, has_root(slot->flags) ? MIN(gib, end) : end);

		memory_unmap(mem, at, piece, &none);
		memory_slot_cut(mem, slot, piece);
		at = piece;
	} while (at < end && !memory_must_stop());
	mem->slot_stamp = ++mem->attr.newest;
	return at < end ? E_AGAIN : OK;
}

enum status memory_slot_remove(struct memory *mem, u64 slot)
{
	enum status status = E_NO_SLOT;

	if (slot >= SEPTUM_MAX_SLOTS)
		return E_NO_SLOT;
	spin_lock(&mem->lock);
	if (mem->slots[slot].count != 0)
		status = slot_remove(mem, &mem->slots[slot]);
	spin_unlock(&mem->lock);
	return status;
}
