/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/nested.h"

#include "mm/page.h"

#define ENTRIES 512ul

/* AMD64 APM Vol. 2, 5.3.3 and 15.25.5: nested walks are user accesses. */
#define NPT_P	 (1ul << 0)
#define NPT_W	 (1ul << 1)
#define NPT_U	 (1ul << 2)
#define NPT_A	 (1ul << 5)
#define NPT_D	 (1ul << 6)
#define NPT_HUGE (1ul << 7)
#define NPT_NX	 (1ul << 63)

/* SDM Vol. 3, tables 28-2 to 28-7. */
#define EPT_R	    (1ul << 0)
#define EPT_W	    (1ul << 1)
#define EPT_X	    (1ul << 2)
#define EPT_TYPE(n) ((n##ul) << 3)
#define EPT_NO_PAT  (1ul << 6)
#define EPT_HUGE    (1ul << 7)
#define EPT_A	    (1ul << 8)
#define EPT_D	    (1ul << 9)

/* Accessed and dirty are set from the start, so that the processor never writes an entry. */
const struct nested_format nested_format_npt = {
	.name = "NPT",
	.present = NPT_P,
	.table = NPT_P | NPT_W | NPT_U | NPT_A,
	.leaf = {NPT_A | NPT_D, NPT_A | NPT_D | NPT_HUGE, NPT_A | NPT_D | NPT_HUGE},
	.prot = {NPT_U | NPT_NX, NPT_P | NPT_U | NPT_NX, NPT_U | NPT_NX,
		 NPT_P | NPT_U | NPT_W | NPT_NX, NPT_U | NPT_NX, NPT_P | NPT_U, NPT_U | NPT_NX,
		 NPT_P | NPT_U | NPT_W},
};

const struct nested_format nested_format_ept = {
	.name = "EPT",
	.present = EPT_R | EPT_W | EPT_X,
	.table = EPT_R | EPT_W | EPT_X | EPT_A,
	.leaf = {EPT_A | EPT_D, EPT_A | EPT_D | EPT_HUGE, EPT_A | EPT_D | EPT_HUGE},
	.prot = {0, EPT_R, 0, EPT_R | EPT_W, 0, EPT_R | EPT_X, 0, EPT_R | EPT_W | EPT_X},
	.memtype = {EPT_TYPE(0), EPT_TYPE(1), EPT_TYPE(2), EPT_TYPE(3), EPT_TYPE(4), EPT_TYPE(5),
		    EPT_TYPE(6), EPT_TYPE(7), EPT_TYPE(6) | EPT_NO_PAT},
};

_Static_assert(PROT_READ == SEPTUM_ATTR_READ && PROT_WRITE == SEPTUM_ATTR_WRITE &&
		       PROT_EXEC == SEPTUM_ATTR_EXEC,
	       "attributes are permissions");
_Static_assert(ENTRIES * sizeof(u64) == PAGE_SIZE && LEVEL_PAGES(1) == ENTRIES,
	       "a table is a page");
_Static_assert(((NESTED_LEAF | NESTED_PRIVATE) & (NESTED_ADDRESS | NPT_NX | 0xffful)) == 0,
	       "our bits are nobody else's");

unsigned nested_level_max = LEVEL_1G;

static u64 span(unsigned level)
{
	return 1ul << (9 * level);
}

static bool is_leaf(u64 entry)
{
	return entry & NESTED_LEAF;
}

static bool is_table(u64 entry)
{
	return entry != 0 && !is_leaf(entry);
}

static void forget_recent(struct nested *nested)
{
	for (unsigned way = 0; way < 2; way++)
		nested->recent[way].pages = nested->recent[way].blocks = ~0ul;
}

/* The entry for `page`: that of `level`, or the one above it where the walk ends, whose level it
 * stores back. Written out by level, with constant shifts: every fault and every conversion walks.
 */
static u64 *walk(struct nested *nested, u64 page, unsigned *level)
{
	const unsigned wanted = *level, way = page >> nested->alias & 1;
	u64 *entry, *table;

	if (wanted == 0 && nested->recent[way].pages == page / ENTRIES)
		return &nested->recent[way].table[page % ENTRIES];
	if (wanted <= 1 && nested->recent[way].blocks == page / (ENTRIES * ENTRIES)) {
		table = nested->recent[way].block_table;
	} else {
		*level = 3;
		entry = &table_va(nested->root)[page >> 27 & (ENTRIES - 1)];
		if (wanted == 3 || !is_table(*entry))
			return entry;
		*level = 2;
		entry = &table_va(nested_frame(*entry))[page >> 18 & (ENTRIES - 1)];
		if (wanted == 2 || !is_table(*entry))
			return entry;
		table = table_va(nested_frame(*entry));
		nested->recent[way].blocks = page / (ENTRIES * ENTRIES);
		nested->recent[way].block_table = table;
	}
	*level = 1;
	entry = &table[page >> 9 & (ENTRIES - 1)];
	if (wanted == 1 || !is_table(*entry))
		return entry;
	*level = 0;
	table = table_va(nested_frame(*entry));
	nested->recent[way].pages = page / ENTRIES;
	nested->recent[way].table = table;
	return &table[page % ENTRIES];
}

static void table_free(struct nested *nested, pfn_t p)
{
	forget_recent(nested);
	nested->tables--;
	table_give(nested->pool, p);
}

static void leaf_fill(const struct nested *nested, u64 page, unsigned level, u64 entry,
		      struct leaf *leaf)
{
	*leaf = (struct leaf){
		.page = ALIGN_DOWN(page, span(level)),
		.level = level,
		.pfn = nested_frame(entry),
		.entry = entry,
		.present = entry & nested->format->present,
		.is_private = entry & NESTED_PRIVATE,
	};
}

void nested_init(struct nested *nested, const struct nested_format *format, struct pool *pool,
		 u16 owner, struct reserve *reserve)
{
	*nested = (struct nested){
		.format = format,
		.pool = pool,
		.owner = owner,
		.root = reserve_take(reserve, owner),
		.tables = 1,
		.alias = 63,
	};
	forget_recent(nested);
}

void nested_end(struct nested *nested)
{
	table_free(nested, nested->root);
	ASSERT(nested->tables == 0);
}

unsigned nested_prot(const struct nested *nested, u64 entry)
{
	if (!(entry & nested->format->present))
		return 0;
	if (nested->format == &nested_format_ept)
		return entry & PROT_ALL;
	return PROT_READ | (entry & NPT_W ? PROT_WRITE : 0) | (entry & NPT_NX ? 0 : PROT_EXEC);
}

bool nested_find(struct nested *nested, u64 page, struct leaf *leaf)
{
	unsigned level = 0;
	u64 entry = *walk(nested, page, &level);

	if (!is_leaf(entry))
		return false;
	leaf_fill(nested, page, level, entry, leaf);
	return true;
}

bool nested_next(struct nested *nested, u64 page, u64 end, struct leaf *leaf)
{
	while (page < end) {
		unsigned level = 0;
		const u64 *entry = walk(nested, page, &level);

		for (;;) {
			if (is_leaf(*entry)) {
				leaf_fill(nested, page, level, *entry, leaf);
				return true;
			}
			page = ALIGN_DOWN(page, span(level)) + span(level);
			if (page >= end || page % span(level + 1) == 0)
				break;
			entry++;
			if (is_table(*entry))
				break;
		}
	}
	return false;
}

u64 nested_place(struct nested *nested, u64 page, unsigned level, u64 *entry)
{
	unsigned l = level;

	*entry = *walk(nested, page, &l);
	return *entry == 0 ? l - level : 0;
}

/* The bits of a leaf's entry but for the address. */
static u64 leaf_bits(const struct nested_format *format, unsigned level, unsigned prot,
		     unsigned memtype, bool is_private)
{
	return NESTED_LEAF | (is_private ? NESTED_PRIVATE : 0) | format->leaf[level] |
	       format->prot[prot] | format->memtype[memtype];
}

u64 nested_map(struct nested *nested, u64 page, unsigned level, pfn_t p, unsigned prot,
	       unsigned memtype, bool is_private, struct reserve *reserve)
{
	unsigned l = level;
	u64 *entry = walk(nested, page, &l), old;

	while (l > level) {
		pfn_t table = reserve_take(reserve, nested->owner);

		ASSERT(*entry == 0);
		nested->tables++;
		WRITE_ONCE(*entry, pfn_to_hpa(table).n | nested->format->table);
		l--;
		entry = &table_va(table)[page >> (9 * l) & (ENTRIES - 1)];
	}
	old = *entry;
	ASSERT(!is_leaf(old));
	if (old != 0)
		forget_recent(nested); /* of the table that goes */
	WRITE_ONCE(*entry,
		   pfn_to_hpa(p).n | leaf_bits(nested->format, level, prot, memtype, is_private));
	nested->leaves[level]++;
	return old;
}

static u64 leaves_in(const u64 *table)
{
	u64 leaves = 0;

	for (unsigned i = 0; i < ENTRIES; i++)
		leaves += is_leaf(table[i]);
	return leaves;
}

void nested_release(struct nested *nested, u64 entry, unsigned level)
{
	pfn_t p = nested_frame(entry);

	/* At most a table of tables. */
	if (level == 1) {
		nested->leaves[0] -= leaves_in(table_va(p));
		table_free(nested, p);
		return;
	}
	ASSERT(level == 2);
	for (unsigned i = 0; i < ENTRIES; i++) {
		u64 inner = table_va(p)[i];

		if (is_leaf(inner)) {
			nested->leaves[1]--;
		} else if (is_table(inner)) {
			nested->leaves[0] -= leaves_in(table_va(nested_frame(inner)));
			table_free(nested, nested_frame(inner));
		}
	}
	table_free(nested, p);
}

bool nested_contiguous(struct nested *nested, u64 page, pfn_t *first)
{
	unsigned level = 1;
	u64 entry = *walk(nested, page, &level), want;
	const u64 *table;

	if (level != 1 || !is_table(entry))
		return false;
	table = table_va(nested_frame(entry));
	want = table[0];
	if (!is_leaf(want) || !(want & nested->format->present) || !(want & NESTED_PRIVATE) ||
	    nested_frame(want).n % BLOCK_PAGES != 0)
		return false;
	for (unsigned i = 1; i < ENTRIES; i++) {
		if (table[i] != want + i * PAGE_SIZE)
			return false;
	}
	*first = nested_frame(want);
	return true;
}

bool nested_empty(struct nested *nested, u64 page, unsigned level)
{
	u64 first = ALIGN_DOWN(page, span(level));
	struct leaf leaf;

	return !nested_next(nested, first, first + span(level), &leaf);
}

u64 nested_splits_for(struct nested *nested, u64 first, u64 count)
{
	u64 edges[2] = {first, first + count}, needed = 0;
	struct leaf leaf, before = {0};

	/* All of it in one table of pages, which is there. */
	if (first / ENTRIES == (first + count - 1) / ENTRIES && nested_page(nested, first) != NULL)
		return 0;
	for (unsigned i = 0; i < 2; i++) {
		unsigned level = 0;
		u64 entry;

		if (edges[i] % BLOCK_PAGES == 0 && edges[i] % LEVEL_PAGES(2) == 0)
			continue;
		entry = *walk(nested, edges[i], &level);
		/* The other edge lies in the same table of pages. */
		if (i == 0 && level == 0 && edges[0] / ENTRIES == edges[1] / ENTRIES)
			return 0;
		if (!is_leaf(entry) || edges[i] % span(level) == 0)
			continue;
		leaf_fill(nested, edges[i], level, entry, &leaf);
		/* A 1 GiB leaf needs a second table only for an edge inside of a 2 MiB block. */
		needed += leaf.level == LEVEL_2M || edges[i] % BLOCK_PAGES == 0 ? 1 : 2;
		/* Both edges in one leaf share what they can. */
		if (i == 1 && before.entry == leaf.entry && before.page == leaf.page)
			needed -= 1;
		before = leaf;
	}
	return needed;
}

/* Puts a table of 512 smaller leaves in place of the leaf behind `entry`: filled first, then
 * published with one store. */
static void split(struct nested *nested, u64 *entry, u64 page, unsigned level,
		  nested_split_fn callback, struct reserve *reserve)
{
	u64 old = *entry, step = span(level - 1) * PAGE_SIZE, bits;
	pfn_t p = reserve_take(reserve, nested->owner);
	u64 *table = table_va(p);
	struct leaf leaf;

	if (callback != NULL) {
		leaf_fill(nested, page, level, old, &leaf);
		callback(&leaf);
	}
	bits = (old & ~nested->format->leaf[level]) | nested->format->leaf[level - 1];
	words_count(table, bits, step, ENTRIES);
	nested->tables++;
	nested->leaves[level]--;
	nested->leaves[level - 1] += ENTRIES;
	WRITE_ONCE(*entry, pfn_to_hpa(p).n | nested->format->table);
}

bool nested_hide(struct nested *nested, u64 first, u64 count, nested_split_fn callback,
		 struct reserve *reserve)
{
	const u64 present = nested->format->present, end = first + count;
	u64 at = first;
	bool was = false;

	while (at < end) {
		/* Nothing above a page lies wholly in a part of a block. */
		bool small = end - at < BLOCK_PAGES && (at ^ (end - 1)) < BLOCK_PAGES;
		unsigned level = small ? 0 : NESTED_LEVELS - 1;
		u64 *entry = walk(nested, at, &level);

		/* Down to the first entry that lies wholly in the range or records nothing. */
		for (;;) {
			u64 next = ALIGN_DOWN(at, span(level)) + span(level);

			if (*entry == 0 || (at % span(level) == 0 && next <= end)) {
				if (*entry & present) {
					was = true;
					WRITE_ONCE(*entry, *entry & ~present);
				}
				at = next;
				if (at >= end || at % span(level + 1) == 0)
					break;
				entry++;
				continue;
			}
			if (is_leaf(*entry))
				split(nested, entry, at, level, callback, reserve);
			level--;
			entry = &table_va(nested_frame(*entry))[at >> (9 * level) & (ENTRIES - 1)];
		}
	}
	return was;
}

bool nested_forget(struct nested *nested, u64 first, u64 count)
{
	struct leaf leaf;
	bool was = false;

	while (nested_next(nested, first, first + count, &leaf)) {
		unsigned level = leaf.level;

		WRITE_ONCE(*walk(nested, leaf.page, &level), 0);
		nested->leaves[level]--;
		was = true;
	}
	return was;
}

bool nested_protect(struct nested *nested, u64 first, u64 count, unsigned prot,
		    nested_split_fn callback, struct reserve *reserve)
{
	const struct nested_format *format = nested->format;
	const u64 end = first + count;
	/* The bits by which permissions differ. */
	const u64 mask = (format->prot[PROT_ALL] | format->prot[0]) &
			 ~(format->prot[PROT_ALL] & format->prot[0]);
	struct leaf leaf;
	bool was = false;
	u64 at = first;

	while (nested_next(nested, at, end, &leaf)) {
		unsigned level = leaf.level;
		u64 *entry = walk(nested, MAX(leaf.page, at), &level);
		u64 wanted;

		if (leaf.page < first || leaf.page + span(level) > end) {
			split(nested, entry, leaf.page, level, callback, reserve);
			continue;
		}
		wanted = (*entry & ~mask) | format->prot[prot];
		if (wanted != *entry) {
			was = true;
			WRITE_ONCE(*entry, wanted);
		}
		at = leaf.page + span(level);
	}
	return was;
}

/* `count` entries of one table of pages, from `entry` on. */
static void drop_pages(struct nested *nested, u64 *entry, u64 page, u64 count, nested_drop_fn drop,
		       void *context)
{
	u64 *const end = entry + count;
	u64 dropped = 0;

	for (u64 *at = entry; at != end;) {
		u64 *const first = at, e = *at, next = e;
		struct leaf leaf;

		at++;
		if (e == 0)
			continue;
		WRITE_ONCE(*first, 0);
		if (e & NESTED_PRIVATE) {
			for (; at != end && *at == (next += PAGE_SIZE); at++)
				WRITE_ONCE(*at, 0);
			leaf_fill(nested, page + (u64)(first - entry), 0, e, &leaf);
			drop(context, &leaf, (u64)(at - first));
		}
		dropped += (u64)(at - first);
	}
	nested->leaves[0] -= dropped;
}

void nested_drop(struct nested *nested, u64 first, u64 count, nested_drop_fn drop, void *context)
{
	const u64 end = first + count;
	u64 at = first;

	while (at < end) {
		unsigned level = 0;
		u64 *entry = walk(nested, at, &level);

		if (level == 0) {
			u64 stop = MIN(ALIGN_DOWN(at, ENTRIES) + ENTRIES, end);

			drop_pages(nested, entry, at, stop - at, drop, context);
			at = stop;
		}
		while (level != 0) {
			if (*entry != 0) {
				struct leaf leaf;

				/* Down to here the walk ends at a leaf. */
				leaf_fill(nested, at, level, *entry, &leaf);
				WRITE_ONCE(*entry, 0);
				nested->leaves[level]--;
				if (leaf.is_private)
					drop(context, &leaf, 1);
			}
			at = ALIGN_DOWN(at, span(level)) + span(level);
			if (at >= end || at % span(level + 1) == 0)
				break;
			entry++;
			if (is_table(*entry))
				break;
		}
		/* Tables that end here and began in the range are empty now. */
		for (level++; level < NESTED_LEVELS; level++) {
			unsigned l = level;
			pfn_t p;

			if (at % span(level) != 0 || at - first < span(level))
				break;
			entry = walk(nested, at - 1, &l);
			if (l != level || !is_table(*entry))
				continue;
			p = nested_frame(*entry);
			WRITE_ONCE(*entry, 0);
			table_free(nested, p);
		}
	}
}

u64 *nested_page_walk(struct nested *nested, u64 page)
{
	unsigned level = 0;
	u64 *entry = walk(nested, page, &level);

	return level == 0 ? entry : NULL;
}

void nested_page_map(struct nested *nested, u64 *entry, pfn_t p, unsigned prot, unsigned memtype,
		     bool is_private)
{
	ASSERT(*entry == 0);
	WRITE_ONCE(*entry,
		   pfn_to_hpa(p).n | leaf_bits(nested->format, 0, prot, memtype, is_private));
	nested->leaves[0]++;
}

u64 nested_page_take(struct nested *nested, u64 *entry)
{
	u64 old = *entry;

	if (old != 0) {
		WRITE_ONCE(*entry, 0);
		nested->leaves[0]--;
	}
	return old;
}
