/* SPDX-License-Identifier: BSD-2-Clause */
/* Attributes: what each page of a guest is meant to be, and since when.
 *
 * A radix tree of 9 bits a level. An entry is a word {stamp, attributes} that speaks for all pages
 * below it, or points to a table of 512 entries, one frame from the guest's pool. The whole space
 * starts as one word: shared, readable, writable, executable, stamp 0.
 *
 * Each change takes the next stamp of one counter per VM and puts it on exactly the pages that
 * changed; pages that had the wanted attributes keep theirs. A table whose entries have become one
 * word is folded into it. The pointer to a table of pages counts those that are private and those
 * with all permissions, so that uniformity is seen without a look at 512 entries.
 *
 * Neighbours are asked for one after the other, and a range several times in one operation: the
 * table of pages that the last look came to, and the last run of equal attributes, are remembered.
 *
 * All functions: the memory lock is held. Window: ZERO (attr_set, attr_destroy).
 */
#ifndef MM_ATTR_H
#define MM_ATTR_H

#include <septum/abi.h>

#include "kernel/types.h"
#include "mm/reserve.h"

#define ATTR_PERMISSIONS (SEPTUM_ATTR_READ | SEPTUM_ATTR_WRITE | SEPTUM_ATTR_EXEC)
#define ATTR_ALL	 (ATTR_PERMISSIONS | SEPTUM_ATTR_PRIVATE)

/* An entry. Word: bit 63 clear, stamp 59:4, attributes 3:0. */
#define ATTR_STAMP_SHIFT 4
#define ATTR_STAMP_MAX	 ((1ul << 56) - 1)
/* Pointer: bit 63 set, frame 39:0; of a table of pages (level 1 entry) also counts of 0..512:
 * private pages in 49:40, pages with all permissions in 59:50. */
#define ATTR_TABLE	   (1ul << 63)
#define ATTR_FRAME	   ((1ul << 40) - 1)
#define ATTR_PRIVATE_SHIFT 40
#define ATTR_FULL_SHIFT	   50
#define ATTR_COUNT_MASK	   0x3fful

struct attr {
	u64 root;	   /* the entry for the whole space */
	u64 newest;	   /* the last stamp given out */
	u64 private_pages; /* pages whose attribute is private */
	u64 tables;	   /* frames held */
	struct pool *pool;
	u16 owner;
	u8 levels; /* of tables; the root entry spans 512^levels pages */
	/* The table of pages of block page / 512 (~0: none), and the entry that points to it; and
	 * the table of blocks of page / 512^2. */
	struct {
		u64 block;
		u64 *words, *pointer;
		u64 blocks;
		u64 *pointers;
	} recent;
	/* What attr_run() last found, as of `newest`; end 0: nothing. */
	struct {
		u64 first, end, newest;
		unsigned bits;
	} run;
};

/* For gfns below 1 << gfn_bits. Takes no frame. */
void attr_init(struct attr *attr, struct pool *pool, u16 owner, unsigned gfn_bits);

/* The table of words of the pages of `page`'s block; NULL: one word, *word, speaks for all of them.
 */
u64 *attr_look(struct attr *attr, gfn_t page, u64 *word);
static inline u64 *attr_pages(struct attr *attr, gfn_t page)
{
	u64 word;

	return attr->recent.block == page.n / BLOCK_PAGES ? attr->recent.words
							  : attr_look(attr, page, &word);
}

/* The word of one page. */
static inline u64 attr_word(struct attr *attr, gfn_t page)
{
	u64 word = 0, *words = attr->recent.words;

	if (attr->recent.block != page.n / BLOCK_PAGES)
		words = attr_look(attr, page, &word);
	return words != NULL ? words[page.n % BLOCK_PAGES] : word;
}
static inline unsigned attr_bits(struct attr *attr, gfn_t page)
{
	return attr_word(attr, page) & ATTR_ALL;
}

/* How many pages from `page` on, at most up to `end`, have the same attributes, and which. */
u64 attr_run(struct attr *attr, gfn_t page, gfn_t end, unsigned *bits);

/* The pages of the block that was looked at last, which has a table of them, are not all alike. */
static inline bool attr_recent_mixed(const struct attr *attr, gfn_t page)
{
	u64 pointer = attr->recent.block == page.n / BLOCK_PAGES ? *attr->recent.pointer : 0;
	u64 privates = pointer >> ATTR_PRIVATE_SHIFT & ATTR_COUNT_MASK;

	return privates != 0 && privates != BLOCK_PAGES;
}

/* All pages of the aligned block of `level` that contains `page` have attributes `bits`. May say no
 * for a block of equal, restricted permissions that were set at different times. */
bool attr_uniform(struct attr *attr, gfn_t page, unsigned level, unsigned bits);

/* The newest stamp of a range. */
u64 attr_stamp_range(struct attr *attr, gfn_t first, u64 count);

/* Some page of the range has (attributes & mask) != value. */
bool attr_differs(struct attr *attr, gfn_t first, u64 count, unsigned mask, unsigned value);

/* The frames that attr_set() of the range, or of any range within it whose one edge lies on a
 * multiple of 512 inside, takes at most. */
u64 attr_tables_for(struct attr *attr, gfn_t first, u64 count);

/* Sets the bits `mask` of a range to `value`; takes tables from `reserve`, cannot fail. Returns the
 * number of pages that changed. */
u64 attr_set(struct attr *attr, gfn_t first, u64 count, unsigned mask, unsigned value,
	     struct reserve *reserve);

/* attr_set() of one page whose block has a table and was looked at last, `mask` being PRIVATE
 * alone, to the other kind. */
void attr_flip(struct attr *attr, gfn_t page);

/* Frees one table, whose pages become shared; true: none is left. */
bool attr_destroy(struct attr *attr);

#endif
