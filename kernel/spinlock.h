/* SPDX-License-Identifier: BSD-2-Clause */
/* A ticket lock. Septum runs with interrupts off, so a lock is never taken from under itself. */
#ifndef KERNEL_SPINLOCK_H
#define KERNEL_SPINLOCK_H

#include "kernel/types.h"

struct spinlock {
	u32 next;
	u32 serving;
};

static inline void spin_lock(struct spinlock *lock)
{
	u32 mine = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);

	while (__atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) != mine)
		__builtin_ia32_pause();
}

static inline void spin_unlock(struct spinlock *lock)
{
	__atomic_store_n(&lock->serving, lock->serving + 1, __ATOMIC_RELEASE);
}

#endif
