/* SPDX-License-Identifier: BSD-2-Clause */
/* What pools are made of: for mm/pool.c and the audit only. */
#ifndef MM_POOL_IMPL_H
#define MM_POOL_IMPL_H

#include "kernel/spinlock.h"
#include "mm/pool.h"

/* Which list of its pool a block is on. Partial ones that have lent frames for something else than
 * private content are apart: content does not fill up their holes first, nor do tables take the
 * place of a page that left a private block, which can be one block again when the page comes back.
 */
enum block_list { BLOCK_WHOLE, BLOCK_PARTIAL, BLOCK_PARTIAL_MIXED, BLOCK_FULL, BLOCK_LISTS };

#define BLOCK_NONE (~0u)

/* One 2 MiB block of RAM address space; pool 0: in no pool. */
struct block {
	u64 free[BLOCK_PAGES / 64];
	u32 next, prev;
	u16 free_count;
	u8 pool;
	u8 list;    /* enum block_list */
	bool mixed; /* since it was last whole: frames were taken for tables or objects */
};
_Static_assert(sizeof(struct block) == 80, "one for each 2 MiB of RAM");

struct pool {
	struct spinlock lock;
	bool used;
	u32 id;
	u32 bound;
	u32 lists[BLOCK_LISTS];
	u64 total; /* frames */
	u64 free;
	u64 reserved; /* of the free ones, set aside */
};

/* Makes the block records for frames below frame_limit(). */
void pool_setup(void);
/* Of the block that contains `p`, which is below frame_limit(). */
const struct block *pool_block(pfn_t p);

#endif
