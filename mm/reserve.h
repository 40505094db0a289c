/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames set aside by the preparation of an operation, for the tables that its commit may need. */
#ifndef MM_RESERVE_H
#define MM_RESERVE_H

#include "kernel/panic.h"
#include "mm/pool.h"

struct reserve {
	struct pool *pool; /* NULL: the root's own tables (mm/root.c) */
	u64 left;
};

/* One frame of the root's own tables; there is one. Zero when given back. Under root_lock(). */
pfn_t root_table_take(void);
void root_table_give(pfn_t p);

static inline enum status reserve_make(struct reserve *reserve, struct pool *pool, u64 count)
{
	enum status status = count != 0 ? pool_reserve(pool, count) : OK;

	*reserve = (struct reserve){pool, status == OK ? count : 0};
	return status;
}

static inline pfn_t reserve_take(struct reserve *reserve, u16 owner)
{
	ASSERT(reserve->left != 0);
	reserve->left--;
	return reserve->pool != NULL ? pool_take_reserved(reserve->pool, FRAME_TABLE, owner, 0)
				     : root_table_take();
}

/* What is left goes back. */
static inline void reserve_end(struct reserve *reserve)
{
	if (reserve->left != 0)
		pool_unreserve(reserve->pool, reserve->left);
	reserve->left = 0;
}

#endif
