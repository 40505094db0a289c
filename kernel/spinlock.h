/* SPDX-License-Identifier: BSD-2-Clause */
/* Ticket locks, and the order in which they are taken.
 *
 * Septum runs with interrupts off and its NMI handler takes no lock, so a lock is never taken from
 * under itself.
 *
 * A CPU takes locks in the order of enum lock_rank only, and never two of one rank. A build with
 * DEBUG=1 checks that at each acquisition (kernel/lock_order.h). */
#ifndef KERNEL_SPINLOCK_H
#define KERNEL_SPINLOCK_H

#include "kernel/lock_order.h"
#include "kernel/types.h"

struct spinlock {
	u32 next;
	u32 serving;
	u32 rank; /* enum lock_rank */
};

/* Initialiser: `static struct spinlock lock = SPINLOCK(RANK_ROOT);` */
#define SPINLOCK(lock_rank)                                                                        \
	{                                                                                          \
		.rank = (lock_rank)                                                                \
	}

static inline void spin_lock(struct spinlock *lock)
{
	u32 mine;

	lock_taking(lock, lock->rank);
	mine = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);
	while (__atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) != mine)
		__builtin_ia32_pause();
}

static inline void spin_unlock(struct spinlock *lock)
{
	lock_giving(lock);
	__atomic_store_n(&lock->serving, lock->serving + 1, __ATOMIC_RELEASE);
}

#endif
