/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/attr.h"

#include "mm/page.h"

#define ENTRIES	   512ul
#define LEVELS_MAX 4u /* 36 bits of gfn */

static u64 word(u64 stamp, unsigned bits)
{
	return stamp << ATTR_STAMP_SHIFT | bits;
}

static bool is_table(u64 entry)
{
	return entry & ATTR_TABLE;
}

/* Pages that an entry `level` tables above the pages speaks for. */
static u64 span(unsigned level)
{
	return 1ul << (9 * level);
}

/* The table behind an entry. */
static u64 *table_of(u64 entry)
{
	return table_va(pfn(entry & ATTR_FRAME));
}

static u64 counts(u64 privates, u64 fulls)
{
	return privates << ATTR_PRIVATE_SHIFT | fulls << ATTR_FULL_SHIFT;
}

static bool is_full(u64 w)
{
	return (w & ATTR_PERMISSIONS) == ATTR_PERMISSIONS;
}

void attr_init(struct attr *attr, struct pool *pool, u16 owner, unsigned gfn_bits)
{
	*attr = (struct attr){
		.root = word(0, ATTR_PERMISSIONS),
		.pool = pool,
		.owner = owner,
		.levels = (u8)((gfn_bits + 8) / 9),
		.recent = {.block = ~0ul, .blocks = ~0ul},
	};
	ASSERT(attr->levels <= LEVELS_MAX);
}

/* The word that speaks for `page`, and its level; *table: the table it is in when that is 0, else
 * NULL. */
static u64 find(struct attr *attr, u64 page, unsigned *level, u64 **table)
{
	unsigned l = attr->levels;
	u64 *entry = &attr->root;

	*table = NULL;
	if (attr->recent.block == page / ENTRIES) {
		*level = 0;
		*table = attr->recent.words;
		return (*table)[page % ENTRIES];
	}
	if (attr->recent.blocks == page / (ENTRIES * ENTRIES)) {
		l = 1;
		entry = &attr->recent.pointers[page / ENTRIES % ENTRIES];
	}
	while (is_table(*entry)) {
		u64 *t = table_of(*entry);

		ASSERT(l != 0);
		if (--l == 0) {
			attr->recent.block = page / ENTRIES;
			attr->recent.words = *table = t;
			attr->recent.pointer = entry;
		} else if (l == 1) {
			attr->recent.blocks = page / (ENTRIES * ENTRIES);
			attr->recent.pointers = t;
		}
		entry = &t[page >> (9 * l) & (ENTRIES - 1)];
	}
	*level = l;
	return *entry;
}

/* [first, first + count) lies in the block whose table of pages is remembered. */
static bool is_recent(const struct attr *attr, u64 first, u64 count)
{
	return attr->recent.block == first / ENTRIES &&
	       attr->recent.block == (first + count - 1) / ENTRIES;
}

u64 *attr_look(struct attr *attr, gfn_t page, u64 *word)
{
	unsigned level;
	u64 *table;

	*word = find(attr, page.n, &level, &table);
	return table;
}

/* How many of `count` words, from the first on, have attributes `bits`. */
static u64 words_equal(const u64 *words, u64 count, u64 bits)
{
	u64 i = 0;

	/* Eight at a time: what all have and what some have. Every range operation looks here. */
	for (; i + 8 <= count; i += 8) {
		const u64 *w = words + i;
		u64 all = w[0] & w[1] & w[2] & w[3] & w[4] & w[5] & w[6] & w[7];
		u64 any = w[0] | w[1] | w[2] | w[3] | w[4] | w[5] | w[6] | w[7];

		if (((all ^ bits) | (any ^ bits)) & ATTR_ALL)
			break;
	}
	while (i < count && ((words[i] ^ bits) & ATTR_ALL) == 0)
		i++;
	return i;
}

u64 attr_run(struct attr *attr, gfn_t page, gfn_t end, unsigned *bits)
{
	u64 at = page.n, want;
	unsigned level;
	u64 *table;

	if (at - attr->run.first < attr->run.end - attr->run.first &&
	    attr->run.newest == attr->newest) {
		*bits = attr->run.bits;
		if (attr->run.end >= end.n)
			return end.n - at;
		/* It may have ended where its end was then. */
		want = *bits;
		at = attr->run.end;
	} else {
		want = find(attr, at, &level, &table) & ATTR_ALL;
		*bits = (unsigned)want;
		if (end.n - at == 1)
			return 1;
		attr->run.first = at;
		attr->run.newest = attr->newest;
		attr->run.bits = *bits;
	}
	while (at < end.n) {
		if ((find(attr, at, &level, &table) & ATTR_ALL) != want)
			break;
		if (table != NULL) {
			u64 count = MIN(end.n, ALIGN_DOWN(at, ENTRIES) + ENTRIES) - at;
			u64 same = words_equal(&table[at % ENTRIES], count, want);

			at += same;
			if (same < count)
				break;
		} else {
			at = ALIGN_DOWN(at, span(level)) + span(level);
		}
	}
	attr->run.end = MIN(at, end.n);
	return attr->run.end - page.n;
}

static bool entry_uniform(u64 entry, unsigned bits)
{
	u64 privates = bits & SEPTUM_ATTR_PRIVATE ? ENTRIES : 0;

	if (!is_table(entry))
		return (entry & ATTR_ALL) == bits;
	return is_full(bits) && (entry & ~(ATTR_TABLE | ATTR_FRAME)) == counts(privates, ENTRIES);
}

bool attr_uniform(struct attr *attr, gfn_t page, unsigned level, unsigned bits)
{
	unsigned l = attr->levels;
	u64 entry = attr->root;
	const u64 *table;

	if (level == 1 && is_recent(attr, page.n, 1))
		return entry_uniform(*attr->recent.pointer, bits);
	if (level == 1 && attr->recent.blocks == page.n / (ENTRIES * ENTRIES))
		return entry_uniform(attr->recent.pointers[page.n / ENTRIES % ENTRIES], bits);
	while (is_table(entry) && l > level) {
		table = table_of(entry);
		l--;
		entry = table[page.n >> (9 * l) & (ENTRIES - 1)];
	}
	if (l <= 1 || !is_table(entry))
		return entry_uniform(entry, bits);
	if (l > 2)
		return false;
	table = table_of(entry);
	for (unsigned i = 0; i < ENTRIES; i++) {
		if (!entry_uniform(table[i], bits))
			return false;
	}
	return true;
}

u64 attr_stamp_range(struct attr *attr, gfn_t first, u64 count)
{
	u64 at = first.n, end = first.n + count, newest = 0;
	unsigned level;
	u64 *table;

	while (at < end) {
		u64 w = find(attr, at, &level, &table);

		newest = MAX(newest, w >> ATTR_STAMP_SHIFT);
		at = ALIGN_DOWN(at, span(level)) + span(level);
		if (table == NULL)
			continue;
		for (; at < end && at % ENTRIES != 0; at++)
			newest = MAX(newest, table[at % ENTRIES] >> ATTR_STAMP_SHIFT);
	}
	return newest;
}

bool attr_differs(struct attr *attr, gfn_t first, u64 count, unsigned mask, unsigned value)
{
	u64 at = first.n, end = first.n + count;
	unsigned bits;

	while (at < end) {
		at += attr_run(attr, gfn(at), gfn(end), &bits);
		if ((bits & mask) != value)
			return true;
	}
	return false;
}

u64 attr_tables_for(struct attr *attr, gfn_t first, u64 count)
{
	u64 edges[2] = {first.n, first.n + count}, needed = 0;
	unsigned have[2]; /* tables exist on the way to the edge from this level up */
	u64 *table;

	if (is_recent(attr, first.n, count))
		return 0;
	for (unsigned i = 0; i < 2; i++) {
		have[i] = 0;
		if (edges[i] % span(attr->levels) != 0)
			find(attr, edges[i], &have[i], &table);
		/* They share a table of pages, which is there. */
		if (i == 0 && have[0] == 0 && edges[0] % ENTRIES != 0 &&
		    edges[0] / ENTRIES == edges[1] / ENTRIES)
			return 0;
	}
	for (unsigned level = 0; level < attr->levels; level++) {
		/* A table of `level` has to be there when an edge lies inside of it. */
		bool inside0 = edges[0] % span(level + 1) != 0;
		bool inside1 = edges[1] % span(level + 1) != 0;
		bool same = edges[0] / span(level + 1) == edges[1] / span(level + 1);

		if (inside0 && level < have[0])
			needed++;
		if (inside1 && level < have[1] && !(inside0 && same))
			needed++;
	}
	/* An early end puts the second edge elsewhere: on a multiple of 512. */
	return needed + (count > ENTRIES ? attr->levels - 1u : 0);
}

/* Puts a table that says the same in place of a word of `level`. */
static void split(struct attr *attr, u64 *entry, unsigned level, struct reserve *reserve)
{
	pfn_t p = reserve_take(reserve, attr->owner);
	u64 *table = table_va(p), w = *entry;

	words_fill(table, w, ENTRIES);
	attr->tables++;
	*entry = ATTR_TABLE | p.n;
	if (level == 1)
		*entry |= counts(w & SEPTUM_ATTR_PRIVATE ? ENTRIES : 0, is_full(w) ? ENTRIES : 0);
}

static void fold(struct attr *attr, u64 *entry, u64 w)
{
	pfn_t p = pfn(*entry & ATTR_FRAME);

	*entry = w;
	attr->tables--;
	attr->recent.block = attr->recent.blocks = ~0ul;
	table_give(attr->pool, p);
}

/* An attr_set() in progress. */
struct change {
	struct attr *attr;
	struct reserve *reserve;
	u64 first, end;
	u64 stamp;
	unsigned mask, value;
	u64 changed;
};

static void count_private(struct change *c, u64 before, u64 after, u64 pages)
{
	c->changed += pages;
	if ((after & ~before) & SEPTUM_ATTR_PRIVATE)
		c->attr->private_pages += pages;
	else if ((before & ~after) & SEPTUM_ATTR_PRIVATE)
		c->attr->private_pages -= pages;
}

static u64 new_word(const struct change *c, u64 w)
{
	return word(c->stamp, (unsigned)(w & ATTR_ALL & ~c->mask) | c->value);
}

/* The part [at, end) of the range that lies in the table of pages behind `entry`, whose pages have
 * equal attributes. */
static void set_equal(struct change *c, u64 *entry, u64 at, u64 end, unsigned bits)
{
	u64 count = end - at, w = new_word(c, bits);
	u64 *table;

	if ((bits & c->mask) == c->value)
		return;
	count_private(c, bits, w, count);
	if (count == ENTRIES) {
		fold(c->attr, entry, w);
		return;
	}
	table = table_of(*entry);
	words_fill(&table[at % ENTRIES], w, count);
	if (bits & SEPTUM_ATTR_PRIVATE)
		*entry -= counts(count, 0);
	if (w & SEPTUM_ATTR_PRIVATE)
		*entry += counts(count, 0);
	if (is_full(bits))
		*entry -= counts(0, count);
	if (is_full(w))
		*entry += counts(0, count);
}

/* .. whatever attributes they have. */
static void set_mixed(struct change *c, u64 *entry, u64 at, u64 end)
{
	u64 *table = table_of(*entry), *p = &table[at % ENTRIES], *const last = p + (end - at);
	const u64 mask = c->mask, value = c->value, keep = ATTR_ALL & ~mask;
	const u64 frame = *entry & (ATTR_TABLE | ATTR_FRAME), set = word(c->stamp, 0) | value;
	const u64 old_privates = *entry >> ATTR_PRIVATE_SHIFT & ATTR_COUNT_MASK;
	u64 fulls = *entry >> ATTR_FULL_SHIFT & ATTR_COUNT_MASK;
	u64 privates = old_privates, changed = 0;

	/* Runs for each page of a range: kept short. */
	for (; p != last; p++) {
		u64 old = *p, w = set | (old & keep);

		if ((old & mask) == value)
			continue;
		*p = w;
		changed++;
		privates += (w / SEPTUM_ATTR_PRIVATE & 1) - (old / SEPTUM_ATTR_PRIVATE & 1);
		if (mask & ATTR_PERMISSIONS)
			fulls += (u64)is_full(w) - (u64)is_full(old);
	}
	c->changed += changed;
	c->attr->private_pages += privates - old_privates;
	*entry = frame | counts(privates, fulls);
	/* All of them changed, and to the same: one stamp speaks for all again. */
	if (changed == ENTRIES && (privates == 0 || privates == ENTRIES)) {
		for (unsigned i = 1; i < ENTRIES; i++) {
			if (table[i] != table[0])
				return;
		}
		fold(c->attr, entry, table[0]);
	}
}

static void set_pages(struct change *c, u64 *entry, u64 at, u64 end)
{
	unsigned bits;

	if (attr_run(c->attr, gfn(at), gfn(end), &bits) == end - at)
		set_equal(c, entry, at, end, bits);
	else
		set_mixed(c, entry, at, end);
}

void attr_flip(struct attr *attr, gfn_t page)
{
	u64 *pointer = attr->recent.pointer, *w = &attr->recent.words[page.n % ENTRIES];
	u64 bits = (*w ^ SEPTUM_ATTR_PRIVATE) & ATTR_ALL;

	*w = word(++attr->newest, 0) | bits;
	if (bits & SEPTUM_ATTR_PRIVATE) {
		*pointer += counts(1, 0);
		attr->private_pages++;
	} else {
		*pointer -= counts(1, 0);
		attr->private_pages--;
	}
}

/* Sets what one entry can: returns where to go on. */
static u64 set_step(struct change *c, u64 at)
{
	unsigned level = c->attr->levels;
	u64 *entry = &c->attr->root;

	for (;;) {
		u64 whole = span(level), next = ALIGN_DOWN(at, whole) + whole;

		if (!is_table(*entry)) {
			if ((*entry & c->mask) == c->value)
				return MIN(next, c->end);
			if (at % whole == 0 && next <= c->end) {
				u64 w = new_word(c, *entry);

				count_private(c, *entry, w, whole);
				*entry = w;
				return next;
			}
			split(c->attr, entry, level, c->reserve);
		}
		ASSERT(level != 0);
		if (level == 1) {
			next = MIN(next, c->end);
			set_pages(c, entry, at, next);
			return next;
		}
		entry = &table_of(*entry)[at >> (9 * (level - 1)) & (ENTRIES - 1)];
		level--;
	}
}

/* Folds the tables that end at `at`, lie in the range and have become uniform; lowest first. */
static void fold_up(struct change *c, u64 at)
{
	for (unsigned level = 2; level <= c->attr->levels; level++) {
		unsigned l = c->attr->levels;
		u64 *entry = &c->attr->root;
		const u64 *table;

		if (at % span(level) != 0 || at - c->first < span(level))
			return;
		while (is_table(*entry) && l > level) {
			l--;
			entry = &table_of(*entry)[(at - 1) >> (9 * l) & (ENTRIES - 1)];
		}
		if (!is_table(*entry))
			continue;
		table = table_of(*entry);
		for (unsigned i = 0; i < ENTRIES; i++) {
			if (is_table(table[i]) || table[i] != table[0])
				return;
		}
		fold(c->attr, entry, table[0]);
	}
}

u64 attr_set(struct attr *attr, gfn_t first, u64 count, unsigned mask, unsigned value,
	     struct reserve *reserve)
{
	struct change c = {
		.attr = attr,
		.reserve = reserve,
		.first = first.n,
		.end = first.n + count,
		.stamp = attr->newest + 1,
		.mask = mask,
		.value = value,
	};
	u64 at = first.n;

	if (is_recent(attr, at, count)) {
		set_pages(&c, attr->recent.pointer, at, c.end);
		at = c.end;
	}
	while (at < c.end) {
		at = set_step(&c, at);
		fold_up(&c, at);
	}
	if (c.changed != 0)
		attr->newest++;
	return c.changed;
}

bool attr_destroy(struct attr *attr)
{
	unsigned level = attr->levels;
	u64 *entry = &attr->root;

	attr->run.first = attr->run.end = 0;
	if (!is_table(*entry))
		return true;
	for (;;) {
		u64 *table = table_of(*entry), privates = 0;
		unsigned i = 0;

		for (; i < ENTRIES && !is_table(table[i]); i++)
			privates += table[i] & SEPTUM_ATTR_PRIVATE ? span(level - 1) : 0;
		if (i == ENTRIES) {
			attr->private_pages -= privates;
			break;
		}
		entry = &table[i];
		level--;
	}
	fold(attr, entry, word(0, ATTR_PERMISSIONS));
	return !is_table(attr->root);
}
