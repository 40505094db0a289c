/* SPDX-License-Identifier: BSD-2-Clause */
/* The lock order, and its check at run time. */
#ifndef KERNEL_LOCK_ORDER_H
#define KERNEL_LOCK_ORDER_H

#include "kernel/types.h"

/* One row per rank, outermost first. What is on the left may be held when what is further down is
 * taken, not the other way round. */
#define LOCK_RANK_LIST(X)                                                                          \
	X(NONE, "a lock without a rank")                                                           \
	X(VMS, "VM table")                                                                         \
	X(CALL, "a hypercall's own buffer")                                                        \
	X(RING, "rings of a VM")                                                                   \
	X(MEMORIES, "table of memories")                                                           \
	X(MEMORY, "memory of a VM")                                                                \
	X(LAUNCH, "buffer of a launch page")                                                       \
	X(POOLS, "pool table")                                                                     \
	X(POOL, "pool")                                                                            \
	X(ROOT, "root's memory")                                                                   \
	X(FRAME, "frame descriptor")                                                               \
	X(OBJECTS, "object area")                                                                  \
	X(ASID, "address space identifiers of encrypted guests")                                   \
	X(MAILBOX, "mailbox of the secure processor")                                              \
	X(PSP, "secure processor")                                                                 \
	X(MODEL, "tables of the SNP model")                                                        \
	X(CONSOLE, "console")

enum lock_rank {
#define X(name, text) RANK_##name,
	LOCK_RANK_LIST(X)
#undef X
};

/* What a CPU holds. */
#define LOCKS_HELD_MAX 12u
struct lock_list {
	unsigned count;
	struct {
		const void *lock;
		u64 site; /* the instruction after the call */
		enum lock_rank rank;
	} held[LOCKS_HELD_MAX];
};

/* This CPU's list; given by arch/. */
struct lock_list *lock_list_self(void);

/* The lock is about to be taken, or given back. Panics where that is against the order, and says
 * where it happened and where the other lock was taken. */
void lock_order_take(const void *lock, u32 rank);
void lock_order_give(const void *lock);

/* What spinlock.h, and locks that are not spinlocks, call. */
static inline void lock_taking(const void *lock, u32 rank)
{
#ifdef DEBUG
	lock_order_take(lock, rank);
#else
	(void)lock;
	(void)rank;
#endif
}
static inline void lock_giving(const void *lock)
{
#ifdef DEBUG
	lock_order_give(lock);
#else
	(void)lock;
#endif
}

#endif
