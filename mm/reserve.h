/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames set aside by the preparation of an operation, for the tables that its commit may need. */
#ifndef MM_RESERVE_H
#define MM_RESERVE_H

#include "kernel/panic.h"
#include "mm/pool.h"
#include "mm/window.h"

struct reserve {
	struct pool *pool; /* NULL: the root's own tables (mm/root.c) */
	u64 left;
};

/* One frame of the root's own tables, mapped as all tables; there is one. Zero when given back.
 * Under root_lock(). */
pfn_t root_table_take(void);
void root_table_give(pfn_t p);

static inline enum status reserve_make(struct reserve *reserve, struct pool *pool, u64 count)
{
	enum status status = count != 0 ? pool_reserve(pool, count) : OK;

	*reserve = (struct reserve){pool, status == OK ? count : 0};
	return status;
}

/* A table, at table_va(). */
static inline pfn_t reserve_take(struct reserve *reserve, u16 owner)
{
	pfn_t p;

	ASSERT(reserve->left != 0);
	reserve->left--;
	if (reserve->pool == NULL)
		return root_table_take();
	p = pool_take_reserved(reserve->pool, FRAME_TABLE, owner, 0);
	table_map(p);
	return p;
}

/* Nothing points to it any more. */
static inline void table_give(struct pool *pool, pfn_t p)
{
	if (pool == NULL) {
		root_table_give(p);
		return;
	}
	table_unmap(p);
	pool_give(pool, p);
}

/* What is left goes back. */
static inline void reserve_end(struct reserve *reserve)
{
	if (reserve->left != 0)
		pool_unreserve(reserve->pool, reserve->left);
	reserve->left = 0;
}

#endif
