/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory: its beginning, small questions, and what the operations share. */
#include "mm/memory.h"

#include "mm/memory_impl.h"
#include "mm/page.h"
#include "mm/root.h"

#define GPA_BITS_MAX 48u /* of a four-level walk */

struct spinlock memories_lock = SPINLOCK(RANK_MEMORIES);
struct memory *memories[SEPTUM_MAX_VMS];

enum status memory_init(struct memory *mem, u16 owner, struct pool *pool,
			const struct nested_format *format, unsigned shared_bit, unsigned gpa_bits,
			bool plain, bool discard)
{
	struct reserve reserve;
	enum status status;

	gpa_bits = MIN(gpa_bits, GPA_BITS_MAX);
	if (shared_bit >= gpa_bits || (shared_bit != 0 && shared_bit <= PAGE_SHIFT))
		return E_ARG;
	status = reserve_make(&reserve, pool, 1);
	if (status != OK)
		return status;

	*mem = (struct memory){
		.lock = SPINLOCK(RANK_MEMORY),
		.owner = owner,
		.shared_bit = (u8)shared_bit,
		.gpa_bits = (u8)(shared_bit != 0 ? shared_bit : gpa_bits),
		.plain = plain,
		.discard = discard,
		.building = true,
		.pool = pool,
	};
	mem->end = 1ul << (mem->gpa_bits - PAGE_SHIFT);
	mem->alias = shared_bit != 0 ? 1ul << (shared_bit - PAGE_SHIFT) : 0;
	nested_init(&mem->nested, format, pool, owner, &reserve);
	if (shared_bit != 0)
		mem->nested.alias = shared_bit - PAGE_SHIFT;
	attr_init(&mem->attr, pool, owner, mem->gpa_bits - PAGE_SHIFT);
	tlb_init(&mem->tlb);
	pool_bind(pool);
	spin_lock(&memories_lock);
	ASSERT(memories[owner] == NULL);
	memories[owner] = mem;
	spin_unlock(&memories_lock);
	return OK;
}

/* Without kernel/ nothing ever waits. */
__attribute__((weak)) bool memory_must_stop(void)
{
	return false;
}

u64 memory_stamp(const struct memory *mem)
{
	return READ_ONCE(mem->attr.newest);
}

u64 memory_stamp_range(struct memory *mem, gfn_t first, u64 count)
{
	u64 stamp = 0;

	spin_lock(&mem->lock);
	if (memory_range_check(mem, first, count) == OK)
		stamp = attr_stamp_range(&mem->attr, first, count);
	spin_unlock(&mem->lock);
	return stamp;
}

enum status memory_attr_get(struct memory *mem, gfn_t page, unsigned *attributes, u64 *stamp)
{
	enum status status;
	u64 word;

	spin_lock(&mem->lock);
	status = memory_range_check(mem, page, 1);
	if (status == OK) {
		word = attr_word(&mem->attr, page);
		*attributes = word & ATTR_ALL;
		*stamp = word >> ATTR_STAMP_SHIFT;
	}
	spin_unlock(&mem->lock);
	return status;
}

void memory_count(struct memory *mem, struct memory_counts *counts)
{
	u64 backed = 0, backed_private = 0;

	spin_lock(&mem->lock);
	for (u32 i = 0; i < SEPTUM_MAX_SLOTS; i++) {
		const struct slot *slot = &mem->slots[i];
		u64 at = slot->first.n;
		unsigned bits;

		backed += slot->count;
		while (at < slot_end(slot)) {
			u64 run = attr_run(&mem->attr, gfn(at), gfn(slot_end(slot)), &bits);

			backed_private += bits & SEPTUM_ATTR_PRIVATE ? run : 0;
			at += run;
		}
	}
	*counts = (struct memory_counts){
		.private_pages = mem->attr.private_pages,
		.shared_pages = backed - backed_private,
	};
	for (unsigned i = 0; i < 3; i++)
		counts->mapped[i] = mem->nested.leaves[i];
	spin_unlock(&mem->lock);
}

u64 memory_frames(const struct memory *mem)
{
	return READ_ONCE(mem->content) + READ_ONCE(mem->nested.tables) +
	       READ_ONCE(mem->attr.tables);
}

u64 memory_piece(struct memory *mem, u64 at, u64 end)
{
	u64 piece = MIN(ALIGN_DOWN(at, BLOCK_PAGES) + BLOCK_PAGES, end), idle = end;
	const struct slot *slot = memory_slot(mem, at);
	struct leaf leaf;

	if (slot != NULL && (slot->flags & SEPTUM_SLOT_INPLACE))
		idle = piece;
	for (u32 i = 0; i < SEPTUM_MAX_SLOTS; i++) {
		slot = &mem->slots[i];
		if ((slot->flags & SEPTUM_SLOT_INPLACE) && slot->first.n > at)
			idle = MIN(idle, slot->first.n);
	}
	for (unsigned is_private = 0; is_private < 2; is_private++) {
		u64 first = memory_alias(mem, at, is_private);

		if (nested_find(&mem->nested, first + (piece - 1 - at), &leaf))
			piece = MIN(MAX(piece, at + (leaf.page + LEVEL_PAGES(leaf.level) - first)),
				    end);
		if (nested_next(&mem->nested, first, first + (idle - at), &leaf))
			idle = leaf.page > first ? at + (leaf.page - first) : at;
	}
	return idle == end ? end : MAX(piece, ALIGN_DOWN(idle, BLOCK_PAGES));
}

u64 memory_run(struct memory *mem, u64 at, u64 end, struct run *run)
{
	u64 stop = end;

	run->slot = memory_slot(mem, at);
	if (run->slot != NULL) {
		stop = MIN(stop, slot_end(run->slot));
	} else {
		for (u32 i = 0; i < SEPTUM_MAX_SLOTS; i++) {
			const struct slot *slot = &mem->slots[i];

			if (slot->count != 0 && slot->first.n > at)
				stop = MIN(stop, slot->first.n);
		}
	}
	run->first = at;
	run->end = at + attr_run(&mem->attr, gfn(at), gfn(stop), &run->bits);
	run->inplace = run->slot != NULL && (run->slot->flags & SEPTUM_SLOT_INPLACE);
	return run->end;
}

bool memory_populated(struct memory *mem, u64 first, u64 end)
{
	struct leaf leaf;
	struct run run;

	for (u64 at = first; at < end; at = run.end) {
		memory_run(mem, at, end, &run);
		if (!(run.bits & SEPTUM_ATTR_PRIVATE) || run.slot == NULL)
			continue;
		if (run.inplace || nested_next(&mem->nested, at, run.end, &leaf))
			return true;
	}
	return false;
}

/* A private block is about to be mapped by 512 leaves. */
static void frames_split(const struct leaf *leaf)
{
	struct frame frame;
	struct memory *mem;

	if (!leaf->is_private || leaf->level != LEVEL_2M)
		return;
	frame = frame_get(leaf->pfn);
	if (frame.level == LEVEL_2M)
		frame_split(leaf->pfn);
	/* Its own lock is held, so it is there. */
	mem = memories[frame.owner];
	if (guard_keeps(mem))
		mem->guard->split(mem, leaf->pfn, leaf->page);
}

bool memory_hide(struct memory *mem, u64 first, u64 end, bool is_private, struct reserve *reserve)
{
	return nested_hide(&mem->nested, memory_alias(mem, first, is_private), end - first,
			   frames_split, reserve);
}

bool memory_protect(struct memory *mem, u64 first, u64 end, bool is_private, unsigned prot,
		    struct reserve *reserve)
{
	return nested_protect(&mem->nested, memory_alias(mem, first, is_private), end - first, prot,
			      frames_split, reserve);
}

/* .. to a machine that may keep it. */
static void guarded_give(struct memory *mem, pfn_t p, unsigned level)
{
	if (mem->guard->release(mem, p, level)) {
		if (level == LEVEL_4K)
			pool_give(mem->pool, p);
		else
			pool_give_block(mem->pool, p);
		return;
	}
	if (level != LEVEL_4K)
		frame_split(p);
	for (u64 i = 0; i < LEVEL_PAGES(level); i++)
		pool_lose(mem->pool, pfn(p.n + i));
}

void content_give(struct memory *mem, pfn_t first, unsigned level, u64 count, u64 g)
{
	/* In place: the frame stays the slot's, and the record is its descriptor. */
	if (frame_get(first).state != FRAME_PRIVATE)
		return;
	mem->content -= count << LEVEL_SHIFT(level);
	if (guard_keeps(mem)) {
		for (u64 i = 0; i < count; i++)
			guarded_give(mem, pfn(first.n + (i << LEVEL_SHIFT(level))), level);
		return;
	}
	if (level != LEVEL_4K) {
		pool_give_block(mem->pool, first);
		return;
	}
	while (count != 0) {
		u64 piece = MIN(count, BLOCK_PAGES - first.n % BLOCK_PAGES);

		pool_give_content(mem->pool, first, piece, mem->owner, g);
		first.n += piece;
		g += piece;
		count -= piece;
	}
}

static void leaves_give(void *context, const struct leaf *leaf, u64 count)
{
	/* Private leaves are at the alias without the bit. */
	content_give(context, leaf->pfn, leaf->level, count, leaf->page);
}

void memory_drop(struct memory *mem, u64 first, u64 end, bool is_private)
{
	nested_drop(&mem->nested, memory_alias(mem, first, is_private), end - first, leaves_give,
		    mem);
}

void memory_unmap(struct memory *mem, u64 first, u64 end, struct reserve *reserve)
{
	bool was = memory_hide(mem, first, end, true, reserve);

	if (mem->shared_bit)
		was |= memory_hide(mem, first, end, false, reserve);
	if (was)
		tlb_invalidate(&mem->tlb);
	memory_drop(mem, first, end, true);
	if (mem->shared_bit)
		memory_drop(mem, first, end, false);
}

void inplace_hide(struct memory *mem, const struct slot *slot, u64 first, u64 end)
{
	root_lock();
	root_forget(slot_frame(slot, first), end - first);
	for (u64 g = first; g < end; g++) {
		bool done = frame_change(FRAME_OP_HIDE, slot_frame(slot, g), mem->owner, g);

		ASSERT(done);
	}
	root_unlock();
}

void inplace_reveal(struct memory *mem, const struct slot *slot, u64 first, u64 end)
{
	root_lock();
	for (u64 g = first; g < end; g++) {
		bool done = frame_change(FRAME_OP_REVEAL, slot_frame(slot, g), mem->owner, g);

		ASSERT(done);
	}
	root_unlock();
}

void inplace_zero(const struct slot *slot, u64 first, u64 end)
{
	u64 p = slot_frame(slot, first).n, last = p + (end - first);

	while (p < last) {
		u64 piece = MIN(ALIGN_DOWN(p, BLOCK_PAGES) + BLOCK_PAGES, last);

		frames_zero(pfn(p), piece - p);
		p = piece;
	}
}
