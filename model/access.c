/* SPDX-License-Identifier: BSD-2-Clause */
/* Who may access what: the client's nested table and the RMP (APM Vol. 2, 15.25.5, 15.36.10 and
 * tables 15-36, 15-39). */
#include "mm/window.h"
#include "model/rmp.h"
#include "model/shadow.h"
#include "model/shadow_impl.h"

#define ENTRY_P	      BIT(0)
#define ENTRY_W	      BIT(1)
#define ENTRY_U	      BIT(2)
#define ENTRY_PS      BIT(7)
#define ENTRY_NX      BIT(63)
#define ENTRY_ADDRESS 0x000ffffffffff000ul

void nested_leaf_find(u64 ncr3, u64 gpa, struct nested_leaf *leaf)
{
	u64 too_high = ENTRY_ADDRESS & ~(BIT(shadow_physical_bits()) - 1);
	u64 table = ncr3 & ENTRY_ADDRESS, page = gpa >> PAGE_SHIFT;

	*leaf = (struct nested_leaf){.write = true, .exec = true, .user = true};
	for (unsigned level = 3;; level--) {
		const u64 *entries;
		u64 entry;

		if (table >> PAGE_SHIFT >= shadow_frames())
			return;
		entries = window_map(WINDOW_MODEL_NESTED + level, pfn(table >> PAGE_SHIFT));
		entry = READ_ONCE(entries[(page >> 9 * level) % 512]);
		if ((entry & ENTRY_P) == 0)
			return;
		if ((entry & too_high) != 0 || (level == 3 && (entry & ENTRY_PS) != 0)) {
			leaf->reserved = true;
			return;
		}
		leaf->write &= (entry & ENTRY_W) != 0;
		leaf->user &= (entry & ENTRY_U) != 0;
		leaf->exec &= (entry & ENTRY_NX) == 0;
		table = entry & ENTRY_ADDRESS;
		if (level != 0 && (entry & ENTRY_PS) == 0)
			continue;
		leaf->present = true;
		leaf->level = level;
		leaf->frame = (table >> PAGE_SHIFT & ~(LEVEL_PAGES(level) - 1)) +
			      (page & (LEVEL_PAGES(level) - 1));
		return;
	}
}

static u64 error_of(unsigned access, bool enc)
{
	u64 error = NPF_USER;

	error |= (access & (ACCESS_WRITE | ACCESS_WALK)) != 0 ? BIT(1) : 0;
	error |= (access & ACCESS_FETCH) != 0 ? BIT(4) : 0;
	error |= (access & ACCESS_WALK) != 0 ? BIT(33) : NPF_FINAL;
	return error | (enc ? NPF_ENC : 0);
}

static bool is_private(const struct view *view, u64 raw_gpa, unsigned access)
{
	return view->unpaged || (raw_gpa & shadow_c_bit()) != 0 ||
	       (access & (ACCESS_FETCH | ACCESS_WALK)) != 0;
}

/* The nested table's own part. */
static enum shadow_result nested_check(const struct view *view, u64 gpa, unsigned access, u64 error,
				       struct nested_leaf *leaf, struct shadow_reply *reply)
{
	nested_leaf_find(view->ncr3, gpa, leaf);
	reply->error = error;
	if (leaf->reserved) {
		reply->error = view->es ? VC_NPF : error | NPF_PRESENT | NPF_RESERVED;
		return view->es ? SHADOW_VC : SHADOW_NPF;
	}
	if (!leaf->present)
		return SHADOW_NPF;
	if (!leaf->user || ((access & (ACCESS_WRITE | ACCESS_WALK)) != 0 && !leaf->write) ||
	    ((access & ACCESS_FETCH) != 0 && !leaf->exec)) {
		reply->error |= NPF_PRESENT;
		return SHADOW_NPF;
	}
	return SHADOW_OK;
}

/* RMP-Covered, Guest-Owned, Reverse-Map, Mutable. */
static bool owned(const struct view *view, u64 gpa, u64 frame, struct rmp_entry *entry)
{
	return rmp_get(pfn(frame), entry) && entry->assigned && entry->asid == view->asid &&
	       entry->gpa == ALIGN_DOWN(gpa, PAGE_SIZE) && !entry->immutable;
}

/* Hypervisor-Owned: none of the frames of a translation of this level is assigned. */
static bool unassigned(u64 frame, unsigned level)
{
	struct rmp_entry entry;

	if (!rmp_enabled())
		return true;
	(void)rmp_get(pfn(frame), &entry);
	if (entry.assigned)
		return false;
	if (level == LEVEL_4K)
		return true;
	frame = ALIGN_DOWN(frame, BLOCK_PAGES);
	for (u64 i = 0; i < BLOCK_PAGES; i++) {
		(void)rmp_get(pfn(frame + i), &entry);
		if (entry.assigned)
			return false;
	}
	return true;
}

static bool permitted(const struct rmp_entry *entry, unsigned vmpl, unsigned access)
{
	u8 perms = vmpl == 0 ? RMP_ALL : entry->perms[vmpl];

	if ((access & ACCESS_FETCH) != 0)
		return (perms & (RMP_EXEC_U | RMP_EXEC_S)) != 0;
	if ((perms & RMP_READ) == 0)
		return false;
	return (access & (ACCESS_WRITE | ACCESS_WALK)) == 0 || (perms & RMP_WRITE) != 0;
}

static enum shadow_result rmp_fault(struct shadow_reply *reply, u64 bits)
{
	reply->error |= NPF_PRESENT | NPF_RMP | bits;
	return SHADOW_NPF;
}

static u64 rights(const struct nested_leaf *leaf, u8 perms)
{
	u64 entry = LEAF_BASE;

	if (leaf->write && (perms & RMP_WRITE) != 0)
		entry |= LEAF_WRITE;
	if (!leaf->exec || (perms & (RMP_EXEC_U | RMP_EXEC_S)) == 0)
		entry |= LEAF_NX;
	return entry;
}

static void place(struct space *space, u64 raw_gpa, unsigned level, u64 frame, u64 entry)
{
	u64 first = ALIGN_DOWN(frame, LEVEL_PAGES(level));

	entry |= first << PAGE_SHIFT | (level != LEVEL_4K ? LEAF_LARGE : 0);
	space_place(space, raw_gpa >> PAGE_SHIFT, level, entry);
}

/* The largest leaf that may show `frame` at `gpa`. */
static unsigned level_for(const struct nested_leaf *leaf, u64 gpa)
{
	bool aligned = ((gpa >> PAGE_SHIFT) - leaf->frame) % BLOCK_PAGES == 0;
	bool ram = ALIGN_DOWN(leaf->frame, BLOCK_PAGES) + BLOCK_PAGES <= shadow_frames();

	return leaf->level >= LEVEL_2M && aligned && ram ? LEVEL_2M : LEVEL_4K;
}

static void map_private(struct space *space, const struct view *view, u64 raw_gpa,
			const struct nested_leaf *leaf, unsigned level, u64 entry)
{
	u64 gpa = raw_gpa & ~shadow_c_bit();
	u64 gfn = gpa >> PAGE_SHIFT, frame = ALIGN_DOWN(leaf->frame, BLOCK_PAGES);
	u64 first = ALIGN_DOWN(gfn, BLOCK_PAGES);

	/* A page that is used through its other alias too would change its form at each turn. */
	if (level == LEVEL_2M && !view->snp && !form_block_is_plain(frame, view->asid, first)) {
		for (u64 i = 0; i < BLOCK_PAGES; i++) {
			if (form_is_raw_mapped(frame + i))
				level = LEVEL_4K;
		}
	}
	if (level == LEVEL_2M)
		form_block_set_plain(frame, view->asid, first);
	else
		form_set_plain(leaf->frame, view->asid, gfn);
	place(space, raw_gpa, level, leaf->frame, entry | LEAF_PRIVATE);
}

static void map_raw(struct space *space, const struct view *view, u64 raw_gpa,
		    const struct nested_leaf *leaf, bool writable)
{
	u64 gpa = raw_gpa & ~shadow_c_bit(), gfn = gpa >> PAGE_SHIFT;
	unsigned level = writable ? level_for(leaf, gpa) : LEVEL_4K;
	u64 frame = ALIGN_DOWN(leaf->frame, BLOCK_PAGES), first = ALIGN_DOWN(gfn, BLOCK_PAGES);

	if (level == LEVEL_2M && !form_block_is_raw(frame, view->asid, first)) {
		for (u64 i = 0; i < BLOCK_PAGES; i++) {
			if (shadow_is_plain(pfn(frame + i)))
				level = LEVEL_4K;
		}
		if (level == LEVEL_2M)
			form_block_set_raw(frame, view->asid, first);
	}
	if (level == LEVEL_4K)
		form_set_raw(leaf->frame, view->asid, gfn);
	/* A fetch is private, so it may not use this leaf. */
	place(space, raw_gpa, level, leaf->frame,
	      LEAF_BASE | LEAF_NX | (leaf->write && writable ? LEAF_WRITE : 0));
}

static enum shadow_result access_private(struct space *space, const struct view *view, u64 raw_gpa,
					 unsigned access, struct nested_leaf *leaf,
					 struct shadow_reply *reply)
{
	u64 gpa = raw_gpa & ~shadow_c_bit();
	bool alias = (raw_gpa & shadow_c_bit()) == 0 && !view->unpaged;
	unsigned level = level_for(leaf, gpa);
	u8 perms = RMP_ALL;
	u64 entry;

	if (view->snp) {
		struct rmp_entry e;

		if (!owned(view, gpa, leaf->frame, &e) || e.large != (leaf->level >= LEVEL_2M))
			return rmp_fault(reply, 0);
		if (!e.validated) {
			reply->error = VC_UNVALIDATED;
			return SHADOW_VC;
		}
		if (!permitted(&e, view->vmpl, access))
			return rmp_fault(reply, NPF_VMPL);
		if (view->vmpl != 0)
			perms = e.perms[view->vmpl];
		/* A frame that the guest can only execute, the CPU below can only read too. */
		perms |= RMP_READ;
	} else if ((access & (ACCESS_WRITE | ACCESS_WALK)) != 0 &&
		   !unassigned(leaf->frame, leaf->level)) {
		return rmp_fault(reply, 0);
	}
	entry = rights(leaf, perms);
	if (!view->snp && !unassigned(leaf->frame, leaf->level))
		entry &= ~LEAF_WRITE;
	if (alias) {
		level = LEVEL_4K;
		entry = (access & ACCESS_FETCH) != 0 ? entry & ~LEAF_WRITE : entry | LEAF_NX;
	}
	map_private(space, view, raw_gpa, leaf, level, entry);
	return SHADOW_OK;
}

static bool leaf_serves(u64 leaf, const struct view *view, u64 raw_gpa, unsigned access)
{
	if (leaf == 0)
		return false;
	if (is_private(view, raw_gpa, access) != ((leaf & LEAF_PRIVATE) != 0))
		return false;
	if ((access & (ACCESS_WRITE | ACCESS_WALK)) != 0 && (leaf & LEAF_WRITE) == 0)
		return false;
	return (access & ACCESS_FETCH) == 0 || (leaf & LEAF_NX) == 0;
}

enum shadow_result shadow_access(struct space *space, const struct view *view, u64 raw_gpa,
				 unsigned access, struct shadow_reply *reply)
{
	bool enc = is_private(view, raw_gpa, access), writable;
	u64 gpa = raw_gpa & ~shadow_c_bit(), leaf_entry;
	struct nested_leaf leaf;
	unsigned level;
	enum shadow_result result;

	leaf_entry = space_leaf(space, raw_gpa >> PAGE_SHIFT, &level);
	if (leaf_serves(leaf_entry, view, raw_gpa, access)) {
		u64 mask = LEVEL_PAGES(level) - 1;

		reply->pfn = pfn(((leaf_entry & LEAF_ADDRESS) >> PAGE_SHIFT & ~mask) +
				 (raw_gpa >> PAGE_SHIFT & mask));
		return SHADOW_OK;
	}
	result = nested_check(view, gpa, access, error_of(access, enc), &leaf, reply);
	if (result != SHADOW_OK)
		return result;
	reply->pfn = pfn(leaf.frame);
	if (enc)
		return access_private(space, view, raw_gpa, access, &leaf, reply);
	writable = (level_for(&leaf, gpa) == LEVEL_2M &&
		    form_block_is_raw(ALIGN_DOWN(leaf.frame, BLOCK_PAGES), view->asid,
				      ALIGN_DOWN(gpa >> PAGE_SHIFT, BLOCK_PAGES))) ||
		   unassigned(leaf.frame, leaf.level);
	if ((access & ACCESS_WRITE) != 0 && !writable)
		return rmp_fault(reply, 0);
	map_raw(space, view, raw_gpa, &leaf, writable);
	return SHADOW_OK;
}

enum shadow_result shadow_look(const struct view *view, u64 raw_gpa, struct shadow_reply *reply,
			       bool *nested_large)
{
	u64 gpa = raw_gpa & ~shadow_c_bit();
	struct nested_leaf leaf;
	struct rmp_entry entry;
	enum shadow_result result = nested_check(view, gpa, 0, error_of(0, true), &leaf, reply);

	if (result != SHADOW_OK)
		return result;
	*nested_large = leaf.level >= LEVEL_2M;
	reply->pfn = pfn(leaf.frame);
	return owned(view, gpa, leaf.frame, &entry) ? SHADOW_OK : rmp_fault(reply, 0);
}
