/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/pool.h"

#include "kernel/panic.h"
#include "mm/page.h"
#include "mm/pool_impl.h"
#include "mm/root.h"

#define DONATE_BLOCKS_MAX 64ul

static struct pool pools[SEPTUM_MAX_POOLS];
static struct spinlock pools_lock = SPINLOCK(RANK_POOLS);
static struct block *blocks;

void pool_setup(void)
{
	u64 count = frame_limit().n / BLOCK_PAGES;

	blocks = own_alloc(ALIGN_UP(count * sizeof(*blocks), PAGE_SIZE) / PAGE_SIZE);
	for (u32 id = 0; id < SEPTUM_MAX_POOLS; id++)
		pools[id] =
			(struct pool){.lock = SPINLOCK(RANK_POOL),
				      .id = id,
				      .lists = {BLOCK_NONE, BLOCK_NONE, BLOCK_NONE, BLOCK_NONE}};
}

const struct block *pool_block(pfn_t p)
{
	return &blocks[p.n / BLOCK_PAGES];
}

static void list_remove(struct pool *pool, struct block *block)
{
	if (block->prev == BLOCK_NONE)
		pool->lists[block->list] = block->next;
	else
		blocks[block->prev].next = block->next;
	if (block->next != BLOCK_NONE)
		blocks[block->next].prev = block->prev;
}

static void list_insert(struct pool *pool, struct block *block, enum block_list list)
{
	u32 index = (u32)(block - blocks);

	block->list = (u8)list;
	block->prev = BLOCK_NONE;
	block->next = pool->lists[list];
	if (block->next != BLOCK_NONE)
		blocks[block->next].prev = index;
	pool->lists[list] = index;
}

static void list_move(struct pool *pool, struct block *block, enum block_list list)
{
	list_remove(pool, block);
	list_insert(pool, block, list);
}

static void bitmap_fill(struct block *block, u64 word)
{
	for (unsigned i = 0; i < ARRAY_COUNT(block->free); i++)
		block->free[i] = word;
}

enum status pool_create(u32 *id)
{
	enum status status = E_LIMIT;

	spin_lock(&pools_lock);
	for (u32 i = 1; i < SEPTUM_MAX_POOLS; i++) {
		if (pools[i].used)
			continue;
		pools[i].used = true;
		*id = i;
		status = OK;
		break;
	}
	spin_unlock(&pools_lock);
	return status;
}

struct pool *pool_by_id(u64 id)
{
	if (id == 0 || id >= SEPTUM_MAX_POOLS || !pools[id].used)
		return NULL;
	return &pools[id];
}

u32 pool_id(const struct pool *pool)
{
	return pool->id;
}

static enum status donate_check(u64 first, u64 count)
{
	if (first % BLOCK_PAGES || count % BLOCK_PAGES)
		return E_ALIGN;
	if (count == 0 || count > DONATE_BLOCKS_MAX * BLOCK_PAGES || first >= frame_limit().n ||
	    count > frame_limit().n - first)
		return E_RANGE;
	for (u64 p = first; p < first + count; p++) {
		if (frame_get(pfn(p)).state == FRAME_ABSENT)
			return E_RANGE;
	}
	for (u64 p = first; p < first + count; p++) {
		struct frame frame = frame_get(pfn(p));

		if (frame.state != FRAME_ROOT || frame.arg != 0)
			return E_NOT_ROOT;
	}
	return OK;
}

enum status pool_donate(struct pool *pool, pfn_t first, u64 count)
{
	enum status status;

	spin_lock(&pool->lock);
	root_lock();
	status = donate_check(first.n, count);
	if (status != OK)
		goto out;

	root_forget(first, count);
	for (u64 p = first.n; p < first.n + count; p++) {
		bool done = frame_change(FRAME_OP_DONATE, pfn(p), (u16)pool->id, 0);

		ASSERT(done);
	}
	tlb_invalidate(root_tlb());

	for (u64 p = first.n; p < first.n + count; p += BLOCK_PAGES) {
		struct block *block = &blocks[p / BLOCK_PAGES];
		bool joined;

		frames_zero(pfn(p), BLOCK_PAGES);
		joined = frame_join(pfn(p));
		ASSERT(joined);
		bitmap_fill(block, ~0ul);
		block->free_count = BLOCK_PAGES;
		block->pool = (u8)pool->id;
		list_insert(pool, block, BLOCK_WHOLE);
	}
	pool->total += count;
	pool->free += count;
out:
	root_unlock();
	spin_unlock(&pool->lock);
	return status;
}

enum status pool_reclaim(struct pool *pool, pfn_t *first)
{
	enum status status = E_EMPTY;
	struct block *block;
	u64 p;

	spin_lock(&pool->lock);
	if (pool->lists[BLOCK_WHOLE] == BLOCK_NONE || pool->free - pool->reserved < BLOCK_PAGES)
		goto out;
	block = &blocks[pool->lists[BLOCK_WHOLE]];
	p = (u64)(block - blocks) * BLOCK_PAGES;
	list_remove(pool, block);
	block->pool = 0;
	block->free_count = 0;
	bitmap_fill(block, 0);
	pool->total -= BLOCK_PAGES;
	pool->free -= BLOCK_PAGES;

	frame_split(pfn(p));
	for (u64 i = 0; i < BLOCK_PAGES; i++) {
		bool done = frame_change(FRAME_OP_RECLAIM, pfn(p + i), (u16)pool->id, 0);

		ASSERT(done);
	}
	*first = pfn(p);
	status = OK;
out:
	spin_unlock(&pool->lock);
	return status;
}

enum status pool_destroy(struct pool *pool)
{
	enum status status = E_BUSY;

	spin_lock(&pools_lock);
	spin_lock(&pool->lock);
	if (pool->bound == 0 && pool->total == 0) {
		pool->used = false;
		status = OK;
	}
	spin_unlock(&pool->lock);
	spin_unlock(&pools_lock);
	return status;
}

void pool_bind(struct pool *pool)
{
	spin_lock(&pool->lock);
	pool->bound++;
	spin_unlock(&pool->lock);
}

void pool_unbind(struct pool *pool)
{
	spin_lock(&pool->lock);
	ASSERT(pool->bound != 0);
	pool->bound--;
	spin_unlock(&pool->lock);
}

u64 pool_free_count(const struct pool *pool)
{
	return READ_ONCE(pool->free) - READ_ONCE(pool->reserved);
}

u64 pool_total_count(const struct pool *pool)
{
	return READ_ONCE(pool->total);
}

/* The list of a block that is broken. */
static enum block_list list_of(const struct block *block)
{
	return block->mixed ? BLOCK_PARTIAL_MIXED : BLOCK_PARTIAL;
}

static enum frame_op take_op(enum frame_state state)
{
	switch (state) {
	case FRAME_PRIVATE:
		return FRAME_OP_TAKE_PRIVATE;
	case FRAME_TABLE:
		return FRAME_OP_TAKE_TABLE;
	case FRAME_OBJECT:
		return FRAME_OP_TAKE_OBJECT;
	default:
		panic("pool_take: no frame is taken as %u", (unsigned)state);
	}
}

/* The pool is locked and has a free frame. */
static pfn_t take(struct pool *pool, enum frame_state state, u16 owner, u64 arg)
{
	/* Content: broken blocks first, whole ones are worth more. Others keep to blocks of theirs.
	 */
	static const u8 orders[2][3] = {
		{BLOCK_PARTIAL, BLOCK_PARTIAL_MIXED, BLOCK_WHOLE},
		{BLOCK_PARTIAL_MIXED, BLOCK_WHOLE, BLOCK_PARTIAL},
	};
	const u8 *order = orders[state != FRAME_PRIVATE];
	u32 index = BLOCK_NONE;
	struct block *block;
	unsigned word = 0;
	bool done;
	pfn_t p;

	for (unsigned i = 0; index == BLOCK_NONE; i++) {
		ASSERT(i < 3);
		index = pool->lists[order[i]];
	}
	block = &blocks[index];
	if (block->list == BLOCK_WHOLE) {
		frame_split(pfn((u64)index * BLOCK_PAGES));
		block->mixed = false;
	}
	block->mixed |= state != FRAME_PRIVATE;
	if (block->list != list_of(block))
		list_move(pool, block, list_of(block));
	while (block->free[word] == 0)
		word++;
	p = pfn((u64)(block - blocks) * BLOCK_PAGES + word * 64ul +
		(u64)__builtin_ctzl(block->free[word]));
	block->free[word] &= block->free[word] - 1;
	if (--block->free_count == 0)
		list_move(pool, block, BLOCK_FULL);
	pool->free--;
	done = frame_take(take_op(state), p, (u16)pool->id, owner, arg);
	ASSERT(done);
	return p;
}

pfn_t pool_take(struct pool *pool, enum frame_state state, u16 owner, u64 arg)
{
	pfn_t p = PFN_NONE;

	spin_lock(&pool->lock);
	if (pool->free > pool->reserved)
		p = take(pool, state, owner, arg);
	spin_unlock(&pool->lock);
	return p;
}

pfn_t pool_take_block(struct pool *pool, u16 owner, u64 arg)
{
	pfn_t p = PFN_NONE;

	spin_lock(&pool->lock);
	if (pool->lists[BLOCK_WHOLE] != BLOCK_NONE && pool->free - pool->reserved >= BLOCK_PAGES) {
		struct block *block = &blocks[pool->lists[BLOCK_WHOLE]];
		bool done;

		p = pfn((u64)(block - blocks) * BLOCK_PAGES);
		bitmap_fill(block, 0);
		block->free_count = 0;
		block->mixed = false;
		list_move(pool, block, BLOCK_FULL);
		pool->free -= BLOCK_PAGES;
		done = frame_change_block(FRAME_OP_TAKE_PRIVATE, p, owner, arg);
		ASSERT(done);
	}
	spin_unlock(&pool->lock);
	return p;
}

enum status pool_reserve(struct pool *pool, u64 count)
{
	enum status status = E_POOL_EMPTY;

	spin_lock(&pool->lock);
	if (pool->free - pool->reserved >= count) {
		pool->reserved += count;
		status = OK;
	}
	spin_unlock(&pool->lock);
	return status;
}

void pool_unreserve(struct pool *pool, u64 count)
{
	spin_lock(&pool->lock);
	ASSERT(pool->reserved >= count);
	pool->reserved -= count;
	spin_unlock(&pool->lock);
}

pfn_t pool_take_reserved(struct pool *pool, enum frame_state state, u16 owner, u64 arg)
{
	pfn_t p;

	spin_lock(&pool->lock);
	ASSERT(pool->reserved != 0);
	pool->reserved--;
	p = take(pool, state, owner, arg);
	spin_unlock(&pool->lock);
	return p;
}

static void bitmap_set(struct block *block, u64 first, u64 count)
{
	u64 end = first + count;

	for (u64 at = first; at < end; at = ALIGN_DOWN(at, 64ul) + 64) {
		u64 left = end - at;

		block->free[at / 64] |= (left < 64 ? BIT(left) - 1 : ~0ul) << at % 64;
	}
}

/* Frames of one block, with descriptors of their own. */
static void give(struct pool *pool, enum frame_state state, pfn_t first, u64 count, u16 owner,
		 u64 arg)
{
	struct block *block = &blocks[first.n / BLOCK_PAGES];
	unsigned before;
	bool done;

	/* Before the lock: it takes long, and nobody else has the frames yet. */
	frames_zero(first, count);
	spin_lock(&pool->lock);
	ASSERT(block->pool == pool->id);
	done = frame_give(state, first, count, owner, arg, (u16)pool->id);
	ASSERT(done);
	bitmap_set(block, first.n % BLOCK_PAGES, count);
	before = block->free_count;
	block->free_count = (u16)(before + count);
	pool->free += count;
	if (block->free_count == BLOCK_PAGES) {
		frame_join_free(pfn(ALIGN_DOWN(first.n, BLOCK_PAGES)));
		list_move(pool, block, BLOCK_WHOLE);
	} else if (before == 0) {
		list_move(pool, block, list_of(block));
	}
	spin_unlock(&pool->lock);
}

static u64 lost_count;

void pool_lose(struct pool *pool, pfn_t p)
{
	bool done;

	spin_lock(&pool->lock);
	done = frame_change(FRAME_OP_LOSE, p, frame_get(p).owner, 0);
	ASSERT(done);
	spin_unlock(&pool->lock);
	__atomic_fetch_add(&lost_count, 1, __ATOMIC_RELAXED);
}

u64 pool_lost_count(void)
{
	return __atomic_load_n(&lost_count, __ATOMIC_RELAXED);
}

void pool_give(struct pool *pool, pfn_t p)
{
	struct frame frame = frame_get(p);

	give(pool, frame.state, p, 1, frame.owner, frame.arg);
}

void pool_give_content(struct pool *pool, pfn_t first, u64 count, u16 owner, u64 page)
{
	give(pool, FRAME_PRIVATE, first, count, owner, page);
}

void pool_give_block(struct pool *pool, pfn_t first)
{
	struct block *block = &blocks[first.n / BLOCK_PAGES];
	bool done;

	frames_zero(first, BLOCK_PAGES);
	spin_lock(&pool->lock);
	ASSERT(block->pool == pool->id && block->free_count == 0);
	done = frame_change_block(FRAME_OP_GIVE, first, frame_get(first).owner, pool->id);
	ASSERT(done);
	bitmap_fill(block, ~0ul);
	block->free_count = BLOCK_PAGES;
	list_move(pool, block, BLOCK_WHOLE);
	pool->free += BLOCK_PAGES;
	spin_unlock(&pool->lock);
}
