/* SPDX-License-Identifier: BSD-2-Clause */
/* Objects: what Septum keeps of a guest (VM, vCPUs, VMCBs), in frames of the guest's own pool. */
#ifndef KERNEL_OBJECT_H
#define KERNEL_OBJECT_H

#include "kernel/status.h"
#include "kernel/types.h"
#include "mm/pool.h"

/* One zeroed frame of `pool` for VM `owner`, mapped permanently. E_POOL_EMPTY, E_LIMIT (the object
 * area is full); nothing has changed then. */
enum status object_take(struct pool *pool, u16 owner, void **object);
/* Unmaps it and gives it back, zeroed. */
void object_give(struct pool *pool, void *object);
/* Unmaps it; the machine does not let anybody use its frame again. */
void object_lose(struct pool *pool, void *object);

#endif
