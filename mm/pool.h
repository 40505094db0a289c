/* SPDX-License-Identifier: BSD-2-Clause */
/* Pools: frames taken out of the root partition, from which guests draw.
 *
 * A pool owns whole 2 MiB blocks. Its free frames are zero at all times. For each block there is a
 * record with a bitmap of the free frames, so that a block whose frames have all come back is whole
 * again, and 4 KiB frames are taken from broken blocks first.
 *
 * Lock order: kernel/lock_order.h.
 */
#ifndef MM_POOL_H
#define MM_POOL_H

#include "kernel/status.h"
#include "kernel/types.h"
#include "mm/frame.h"

struct pool;

/* OK and the new pool's id, or E_LIMIT. */
enum status pool_create(u32 *id);
/* NULL: no such pool. */
struct pool *pool_by_id(u64 id);
u32 pool_id(const struct pool *pool);

/* Moves root frames [first, first + count) into the pool, zeroed, all or none.
 * E_ALIGN: not multiples of 512. E_RANGE: empty, more than 512 * 64, wraps, or not all RAM.
 * E_NOT_ROOT: a frame is not the root's or is pinned. E_NO_TABLE: the root's nested table cannot be
 * split. Invalidates the root's translations first. */
enum status pool_donate(struct pool *pool, pfn_t first, u64 count);

/* Gives one wholly free 2 MiB block back to the root. E_EMPTY. */
enum status pool_reclaim(struct pool *pool, pfn_t *first);

/* E_BUSY: a VM is bound to it or it still has frames. */
enum status pool_destroy(struct pool *pool);

/* Binding counts the VMs that draw from the pool. */
void pool_bind(struct pool *pool);
void pool_unbind(struct pool *pool);

u64 pool_free_count(const struct pool *pool);
u64 pool_total_count(const struct pool *pool);

/* Takes one free frame (or one free 2 MiB block) for `owner` in state `state`, zeroed.
 * PFN_NONE: there is none. A reservation made by pool_reserve() is not touched by others. */
pfn_t pool_take(struct pool *pool, enum frame_state state, u16 owner, u64 arg);
pfn_t pool_take_block(struct pool *pool, u16 owner, u64 arg);

/* Sets `count` frames aside so that as many pool_take_reserved() cannot fail. E_POOL_EMPTY. */
enum status pool_reserve(struct pool *pool, u64 count);
void pool_unreserve(struct pool *pool, u64 count);
pfn_t pool_take_reserved(struct pool *pool, enum frame_state state, u16 owner, u64 arg);

/* A frame that the machine does not let anybody use any more: it stays the pool's, which can then
 * never be destroyed. */
void pool_lose(struct pool *pool, pfn_t p);
/* Frames lost so far, of all pools. */
u64 pool_lost_count(void);

/* Gives a frame (or block) back: zeroed, then free. The caller's translations to it are gone
 * (tlb_invalidate has returned since). */
void pool_give(struct pool *pool, pfn_t pfn);
void pool_give_block(struct pool *pool, pfn_t first);
/* The same for `count` frames of one block that are private content of `owner` at the pages from
 * `page` on, each with a descriptor of its own: one lock for all. */
void pool_give_content(struct pool *pool, pfn_t first, u64 count, u16 owner, u64 page);

#endif
