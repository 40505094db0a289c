/* SPDX-License-Identifier: BSD-2-Clause */
/* Nested page tables: one walker, two formats (NPT: AMD64 APM Vol. 2, 15.25; EPT: Intel SDM Vol. 3,
 * 28.3), four levels, leaves of 4 KiB, 2 MiB and 1 GiB.
 *
 * `page` is the number of a page as the processor walks it: a guest's gfn, with the SHARED bit
 * where the access carries it; in the root's table the pfn.
 *
 * An entry that is not zero is *recorded*: a leaf (bit 52) or a table. It may be recorded without
 * being present, when the processor must not use it but Septum needs to know what is there: a leaf
 * of a page without permissions, and everything between nested_hide() and nested_drop(). So the
 * table is also the record of a guest's private frames.
 *
 * Removing translations takes three steps, that the caller orders:
 *   nested_hide()     the processor can no longer load them; one write for a whole table
 *   tlb_invalidate()  no processor holds one any more
 *   nested_drop()     what was behind them is handed back
 *
 * All functions: the memory lock is held (root_lock() for the root's table).
 */
#ifndef MM_NESTED_H
#define MM_NESTED_H

#include "kernel/types.h"
#include "mm/reserve.h"

#define NESTED_LEVELS 4u

/* Permissions, as the attributes have them. WRITE and EXEC mean nothing without READ. */
#define PROT_READ  1u
#define PROT_WRITE 2u
#define PROT_EXEC  4u
#define PROT_ALL   7u

/* Memory types: EPT's numbers (SDM Vol. 3, 28.3.7), NPT has none in its entries. */
#define MEMTYPE_UC    0u
#define MEMTYPE_WB    6u
#define MEMTYPE_GUEST 8u /* write-back whatever the guest's PAT says */
#define MEMTYPES      9u

struct nested_format {
	const char *name;
	u64 present;		/* none of these bits: the processor does not use the entry */
	u64 table;		/* a table's entry, but for its address */
	u64 leaf[3];		/* a leaf's entry by level, but for address, .. */
	u64 prot[PROT_ALL + 1]; /* .. permissions */
	u64 memtype[MEMTYPES];	/* .. and memory type */
};

extern const struct nested_format nested_format_npt;
extern const struct nested_format nested_format_ept;

/* The largest leaf that this processor has; set before the first table is made. */
extern unsigned nested_level_max;

#define NESTED_ADDRESS 0x000ffffffffff000ul /* 51:12 */
#define NESTED_LEAF    (1ul << 52)	    /* bits 52 to 54 are ignored by both formats */
#define NESTED_PRIVATE (1ul << 53)	    /* this leaf is of a private page */

struct nested {
	const struct nested_format *format;
	struct pool *pool; /* NULL: the root's */
	u16 owner;
	pfn_t root;    /* what nCR3 or EPTP points to */
	u64 tables;    /* frames held, with the root */
	u64 leaves[3]; /* recorded, by level */
	/* The tables last walked to, of 4 KiB entries for pages / 512, of 2 MiB entries for blocks,
	 * pages / 512^2 (~0: none): one for addresses without and one for those with bit `alias` of
	 * the page number, which is 63 if none has it. */
	unsigned alias;
	struct {
		u64 pages, blocks;
		u64 *table, *block_table;
	} recent[2];
};

struct leaf {
	u64 page; /* the first */
	unsigned level;
	pfn_t pfn; /* behind the first page */
	u64 entry;
	bool present, is_private;
};

/* Takes the root table from `reserve`. */
void nested_init(struct nested *nested, const struct nested_format *format, struct pool *pool,
		 u16 owner, struct reserve *reserve);
/* Gives the root table back; nothing else is left. */
void nested_end(struct nested *nested);

/* The entry's permissions, 0 when not present. */
unsigned nested_prot(const struct nested *nested, u64 entry);

/* The recorded leaf that maps `page`; false: there is none. */
bool nested_find(struct nested *nested, u64 page, struct leaf *leaf);

/* The first recorded leaf of [page, end), or that reaches into it. */
bool nested_next(struct nested *nested, u64 page, u64 end, struct leaf *leaf);

/* Looks at the place for a leaf of `level` at `page`. Returns how many tables nested_map() would
 * take; *entry: what is recorded there now, 0, a leaf (also: a larger one), or a table. */
u64 nested_place(struct nested *nested, u64 page, unsigned level, u64 *entry);

/* Makes a leaf. What is recorded there is nothing, or a table (then all its translations are part
 * of the new leaf), which is returned: when tlb_invalidate() has returned, nested_release() it. */
u64 nested_map(struct nested *nested, u64 page, unsigned level, pfn_t p, unsigned prot,
	       unsigned memtype, bool is_private, struct reserve *reserve);
/* Frees a table of entries below `level` that nested_map() has replaced, and those below it. */
void nested_release(struct nested *nested, u64 entry, unsigned level);

/* The table of 4 KiB entries for the block of `page` maps 512 private frames, all present and equal
 * in permissions, that are one aligned block, which is put into *first. */
bool nested_contiguous(struct nested *nested, u64 page, pfn_t *first);
/* Nothing is recorded for the aligned block of `level` that contains `page`. */
bool nested_empty(struct nested *nested, u64 page, unsigned level);

/* The tables that nested_hide() or nested_protect() of a range take at most, for leaves across its
 * edges. */
u64 nested_splits_for(struct nested *nested, u64 first, u64 count);

/* Makes everything recorded in the range not present. True: some of it was present. `split`, when
 * not NULL, is called for each leaf that is about to be split into 512. */
typedef void (*nested_split_fn)(const struct leaf *leaf);
bool nested_hide(struct nested *nested, u64 first, u64 count, nested_split_fn split,
		 struct reserve *reserve);

/* Forgets every leaf that lies in or reaches into the range, whole, and keeps the tables; for the
 * root, whose table is only a cache. True: there was one. */
bool nested_forget(struct nested *nested, u64 first, u64 count);

/* Gives the leaves in the range new permissions. True: some had others. */
bool nested_protect(struct nested *nested, u64 first, u64 count, unsigned prot,
		    nested_split_fn split, struct reserve *reserve);

/* Forgets what is recorded in the range, which was hidden (or never used) as a whole, and frees
 * tables that lie wholly in it. `drop` is called for each private leaf; for `count` of them at once
 * when they are pages one after the other whose frames are, too. It does not walk. */
typedef void (*nested_drop_fn)(void *context, const struct leaf *leaf, u64 count);
void nested_drop(struct nested *nested, u64 first, u64 count, nested_drop_fn drop, void *context);

/* One page whose table is there already, without a second walk. */

/* The entry of `page` in its table of 4 KiB entries; NULL: there is no such table. */
u64 *nested_page_walk(struct nested *nested, u64 page);
static inline u64 *nested_page(struct nested *nested, u64 page)
{
	unsigned way = page >> nested->alias & 1;

	if (nested->recent[way].pages == page / BLOCK_PAGES)
		return &nested->recent[way].table[page % BLOCK_PAGES];
	return nested_page_walk(nested, page);
}
/* Makes a leaf where nothing is recorded. */
void nested_page_map(struct nested *nested, u64 *entry, pfn_t p, unsigned prot, unsigned memtype,
		     bool is_private);
/* Forgets what is recorded, which is returned (0: nothing); the processor can no longer load it. If
 * it was present, what is behind it is handed back when tlb_invalidate() has returned. */
u64 nested_page_take(struct nested *nested, u64 *entry);
static inline pfn_t nested_frame(u64 entry)
{
	return pfn((entry & NESTED_ADDRESS) >> PAGE_SHIFT);
}

#endif
