/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/audit.h"

#include "mm/audit_impl.h"
#include "mm/memory_impl.h"
#include "mm/root.h"
#include "mm/window.h"

unsigned audit_zero_every = 64;

static u64 *seen; /* by frame: mapped as private, or used as a table */
static u64 seen_words;

static const char *const texts[AUDIT_VIOLATIONS] = {[AUDIT_CLEAN] = "clean",
#define X(name, text) [AUDIT_##name] = (text),
						    AUDIT_LIST(X)
#undef X
};

void audit_setup(void)
{
	seen_words = frame_limit().n / 64;
	seen = own_alloc(ALIGN_UP(seen_words * sizeof(*seen), PAGE_SIZE) / PAGE_SIZE);
}

bool audit_fail(struct audit_report *report, enum audit_violation violation, u16 owner, pfn_t p,
		u64 page)
{
	if (report->violation == AUDIT_CLEAN)
		*report = (struct audit_report){violation, texts[violation], owner, p, page};
	return false;
}

bool audit_seen(pfn_t p)
{
	return p.n / 64 < seen_words && (seen[p.n / 64] & BIT(p.n % 64));
}

bool audit_mark(pfn_t p)
{
	if (p.n / 64 >= seen_words || (seen[p.n / 64] & BIT(p.n % 64)))
		return false;
	seen[p.n / 64] |= BIT(p.n % 64);
	return true;
}

/* A walk over one nested table. */
struct walk {
	struct audit_report *report;
	struct memory *mem; /* NULL: the root's table */
	const struct nested *nested;
	u64 tables, leaves[3], content;
};

static bool table_check(struct walk *w, pfn_t p)
{
	u16 owner = w->nested->owner;
	struct frame frame = frame_get(p);

	w->tables++;
	/* The root's tables are Septum's. */
	if (frame.state != (w->mem != NULL ? FRAME_TABLE : FRAME_SEPTUM) || frame.owner != owner ||
	    !audit_mark(p))
		return audit_fail(w->report, AUDIT_TABLE_STATE, owner, p, ~0ul);
	return true;
}

/* The root: identity, and only what it may see. */
static bool root_leaf_check(struct walk *w, const struct leaf *leaf)
{
	u64 pages = LEVEL_PAGES(leaf->level), rooted = 0;

	if (leaf->pfn.n != leaf->page)
		return audit_fail(w->report, AUDIT_ROOT_SEES, 0, leaf->pfn, leaf->page);
	if (root_device(pfn_to_hpa(leaf->pfn), pages * PAGE_SIZE))
		return true;
	for (u64 i = 0; i < pages; i++) {
		pfn_t p = pfn(leaf->pfn.n + i);

		if (!frame_use(p))
			return audit_fail(w->report, AUDIT_ROOT_SEES, 0, p, leaf->page + i);
		frame_unlock(p);
		rooted++;
	}
	return rooted == pages;
}

static bool private_check(struct walk *w, const struct leaf *leaf, u64 g)
{
	u16 owner = w->nested->owner;

	w->content += LEVEL_PAGES(leaf->level);
	for (u64 i = 0; i < LEVEL_PAGES(leaf->level); i++) {
		pfn_t p = pfn(leaf->pfn.n + i);
		struct frame frame = frame_get(p);

		if (frame.state != FRAME_PRIVATE || frame.owner != owner || frame.arg != g + i)
			return audit_fail(w->report, AUDIT_PRIVATE_OWNER, owner, p, g + i);
		if (!audit_mark(p))
			return audit_fail(w->report, AUDIT_PRIVATE_TWICE, owner, p, g + i);
	}
	if (guard_keeps(w->mem) &&
	    w->mem->guard->look(w->mem, leaf->pfn, g, leaf->level) != GUARD_FINE)
		return audit_fail(w->report, AUDIT_GUARD, owner, leaf->pfn, g);
	return true;
}

/* Leaves over root frames: those of the slot, in the right state. */
static bool rooted_check(struct walk *w, const struct leaf *leaf, const struct slot *slot, u64 g)
{
	bool inplace = slot->flags & SEPTUM_SLOT_INPLACE;
	u16 owner = w->nested->owner;

	if (leaf->pfn.n != slot_frame(slot, g).n)
		return audit_fail(w->report, AUDIT_LEAF_BACKING, owner, leaf->pfn, g);
	for (u64 i = 0; i < LEVEL_PAGES(leaf->level); i++) {
		pfn_t p = pfn(leaf->pfn.n + i);
		struct frame frame = frame_get(p);
		bool right;

		if (leaf->is_private) {
			if (!audit_mark(p))
				return audit_fail(w->report, AUDIT_PRIVATE_TWICE, owner, p, g + i);
			continue; /* states in place: slots_check() */
		}
		right = inplace ? frame.state == FRAME_OFFERED && frame.owner == owner
				: frame.state == FRAME_ROOT && frame.arg != 0;
		if (!right)
			return audit_fail(w->report, AUDIT_SHARED_STATE, owner, p, g + i);
	}
	return true;
}

static bool guest_leaf_check(struct walk *w, const struct leaf *leaf)
{
	struct memory *mem = w->mem;
	u64 bit = mem->shared_bit ? 1ul << (mem->shared_bit - PAGE_SHIFT) : 0;
	u64 g = leaf->page & ~bit, pages = LEVEL_PAGES(leaf->level);
	u16 owner = mem->owner;
	const struct slot *slot;
	unsigned bits;

	if (g >= memory_end(mem))
		return audit_fail(w->report, AUDIT_LEAF_BACKING, owner, leaf->pfn, g);
	if (attr_run(&mem->attr, gfn(g), gfn(g + pages), &bits) != pages ||
	    leaf->is_private != !!(bits & SEPTUM_ATTR_PRIVATE) ||
	    (bit != 0 && leaf->is_private == !!(leaf->page & bit)))
		return audit_fail(w->report, AUDIT_LEAF_KIND, owner, leaf->pfn, g);
	if (!leaf->present && (bits & SEPTUM_ATTR_READ))
		return audit_fail(w->report, AUDIT_LEAF_HIDDEN, owner, leaf->pfn, g);
	if (nested_prot(w->nested, leaf->entry) !=
	    (bits & SEPTUM_ATTR_READ ? bits & ATTR_PERMISSIONS : 0))
		return audit_fail(w->report, AUDIT_LEAF_PERMISSION, owner, leaf->pfn, g);
	slot = memory_slot(mem, g);
	if (!slot_backs(slot, leaf->is_private) || g + pages > slot_end(slot))
		return audit_fail(w->report, AUDIT_LEAF_BACKING, owner, leaf->pfn, g);
	if (leaf->is_private && !(slot->flags & SEPTUM_SLOT_INPLACE))
		return private_check(w, leaf, g);
	return rooted_check(w, leaf, slot, g);
}

static bool nested_check(struct walk *w)
{
	pfn_t tables[NESTED_LEVELS];
	u64 index[NESTED_LEVELS + 1] = {0};
	unsigned level = NESTED_LEVELS - 1;

	tables[level] = w->nested->root;
	if (!table_check(w, tables[level]))
		return false;
	while (level < NESTED_LEVELS) {
		const u64 *table =
			window_map((enum window_slot)(WINDOW_AUDIT_TABLE + level), tables[level]);
		struct leaf leaf;
		u64 entry, page = 0;

		if (index[level] == BLOCK_PAGES) {
			index[level++] = 0;
			index[level]++;
			continue;
		}
		entry = table[index[level]];
		for (unsigned l = level; l < NESTED_LEVELS; l++)
			page |= index[l] << LEVEL_SHIFT(l);
		if (entry == 0) {
			index[level]++;
			continue;
		}
		if (!(entry & NESTED_LEAF)) {
			pfn_t p = pfn((entry & NESTED_ADDRESS) >> PAGE_SHIFT);

			if (level == 0 || !(entry & w->nested->format->present))
				return audit_fail(w->report, AUDIT_TABLE_STATE, w->nested->owner, p,
						  page);
			if (!table_check(w, p))
				return false;
			tables[--level] = p;
			continue;
		}
		leaf = (struct leaf){
			.page = page,
			.level = level,
			.pfn = pfn((entry & NESTED_ADDRESS) >> PAGE_SHIFT),
			.entry = entry,
			.present = entry & w->nested->format->present,
			.is_private = entry & NESTED_PRIVATE,
		};
		if (level > LEVEL_1G)
			return audit_fail(w->report, AUDIT_LEAF_BACKING, w->nested->owner, leaf.pfn,
					  page);
		w->leaves[level]++;
		if (w->mem != NULL ? !guest_leaf_check(w, &leaf) : !root_leaf_check(w, &leaf))
			return false;
		index[level]++;
	}
	for (unsigned i = 0; i < 3; i++) {
		if (w->leaves[i] != w->nested->leaves[i])
			return audit_fail(w->report, AUDIT_LEAF_COUNT, w->nested->owner, PFN_NONE,
					  i);
	}
	if (w->tables != w->nested->tables)
		return audit_fail(w->report, AUDIT_TABLE_COUNT, w->nested->owner, PFN_NONE, ~0ul);
	return true;
}

/* In place, the frame's state follows the page's attribute, mapped or not. */
static bool slots_check(struct audit_report *report, struct memory *mem)
{
	for (u32 i = 0; i < SEPTUM_MAX_SLOTS; i++) {
		const struct slot *slot = &mem->slots[i];

		for (u64 g = slot->first.n; g < slot_end(slot); g++) {
			struct frame frame;
			bool right;

			if (pfn_is_none(slot->root))
				break;
			frame = frame_get(slot_frame(slot, g));
			if (slot->flags & SEPTUM_SLOT_SHARED)
				right = frame.state == FRAME_ROOT && frame.arg != 0;
			else
				right = frame.state ==
						(attr_bits(&mem->attr, gfn(g)) & SEPTUM_ATTR_PRIVATE
							 ? FRAME_INPLACE
							 : FRAME_OFFERED) &&
					frame.owner == mem->owner && frame.arg == g;
			if (!right)
				return audit_fail(report, AUDIT_INPLACE_STATE, mem->owner,
						  slot_frame(slot, g), g);
		}
	}
	return true;
}

static bool memory_check(struct audit_report *report, struct memory *mem)
{
	struct walk w = {.report = report, .mem = mem, .nested = &mem->nested};

	if (!nested_check(&w))
		return false;
	if (w.content != mem->content)
		return audit_fail(report, AUDIT_CONTENT_COUNT, mem->owner, PFN_NONE, ~0ul);
	return slots_check(report, mem) && audit_attr(report, &mem->attr);
}

static bool root_check(struct audit_report *report)
{
	struct walk w = {.report = report, .nested = root_nested()};
	bool right;

	root_lock();
	right = nested_check(&w);
	root_unlock();
	return right;
}

enum audit_violation audit_run(struct audit_report *report)
{
	bool right = true;

	*report = (struct audit_report){AUDIT_CLEAN, texts[AUDIT_CLEAN], 0, PFN_NONE, ~0ul};
	for (u64 i = 0; i < seen_words; i++)
		seen[i] = 0;
	spin_lock(&memories_lock);
	for (u32 i = 0; right && i < SEPTUM_MAX_VMS; i++) {
		struct memory *mem = memories[i];

		if (mem == NULL)
			continue;
		spin_lock(&mem->lock);
		right = memory_check(report, mem);
		spin_unlock(&mem->lock);
	}
	if (right && root_check(report) && audit_frames(report))
		audit_pools(report);
	spin_unlock(&memories_lock);
	return report->violation;
}
