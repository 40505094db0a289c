/* SPDX-License-Identifier: BSD-2-Clause */
/* Spaces: tables, leaves, flushes; and the forms of frames. Who may access what is decided in
 * model/access.c. */
#include "model/shadow.h"
#include "arch/x86/smp.h"
#include "kernel/panic.h"
#include "mm/page.h"
#include "mm/tlb.h"
#include "mm/window.h"
#include "model/cipher.h"
#include "model/rmp.h"
#include "model/shadow_impl.h"

#define TABLES	1024u /* 4 MiB */
#define SPACES	64u
#define RECENT	96u /* leaves of a space that are looked at again at a flush */
#define ENTRIES 512u
#define NONE	0xffffu

#define ENTRY_P	      BIT(0)
#define ENTRY_PS      BIT(7)
#define ENTRY_ADDRESS 0x000ffffffffff000ul
#define ENTRY_TABLE   0x067ul /* present, writable, user, accessed, dirty */

struct space {
	u32 asid; /* 0: free */
	u32 cpu;
	u32 kind;  /* VMPL, and whether paging is off */
	u16 root;  /* table number */
	u16 first; /* chain of all its tables, the root last */
	/* What leaves have been made, while there are few; RECENT + 1: more. */
	u32 recent_count;
	u64 recent[RECENT]; /* page numbers, with the C-bit */
};

/* A frame's form: plain or not; whether there may be raw leaves, for one guest page or for several;
 * which one, or for which the frame is plain. */
#define FORM_PLAIN BIT(0)
#define FORM_RAW   BIT(1) /* there may be a raw leaf at .. */
#define FORM_MANY  BIT(2) /* .. and elsewhere */
#define FORM_ASID  4
#define FORM_GFN   12

static struct {
	u64 frames;
	u64 *forms;
	u64 *blocks; /* the form of all 512 frames of a block, if the gfns are one aligned block
		      * too; 0: not known */
	u64 *tables; /* all of them, contiguous */
	u64 base;    /* physical address */
	u16 next[TABLES];
	u16 free;
	unsigned c_bit, physical_bits;
	struct space spaces[SPACES];
	unsigned victim;
	u64 ncr3[MODEL_ASIDS];
	u32 inside[CPUS_MAX]; /* number of the space + 1 */
	u64 wanted;	      /* CPUs that use what has been taken away */
} shadow;

void shadow_setup(u64 frames, unsigned c_bit, unsigned physical_bits)
{
	u64 form_pages = (frames * 8 + PAGE_SIZE - 1) / PAGE_SIZE;

	shadow.frames = frames;
	shadow.forms = own_alloc(form_pages);
	shadow.blocks = own_alloc((form_pages + BLOCK_PAGES - 1) / BLOCK_PAGES);
	shadow.tables = own_alloc(TABLES);
	shadow.base = pfn_to_hpa(own_pfn(shadow.tables)).n;
	for (unsigned i = 0; i < TABLES; i++)
		shadow.next[i] = (u16)(i + 1 < TABLES ? i + 1 : NONE);
	shadow.free = 0;
	shadow.c_bit = c_bit;
	shadow.physical_bits = physical_bits;
}

u64 shadow_c_bit(void)
{
	return BIT(shadow.c_bit);
}

u64 shadow_frames(void)
{
	return shadow.frames;
}

unsigned shadow_physical_bits(void)
{
	return shadow.physical_bits;
}

/* ---- tables */

static u64 *table_at(u16 number)
{
	return shadow.tables + (u64)number * ENTRIES;
}

static u64 *table_of(u64 entry)
{
	return shadow.tables + ((entry & ENTRY_ADDRESS) - shadow.base) / 8;
}

static u16 table_take(struct space *s)
{
	u16 number = shadow.free;

	if (number == NONE)
		return NONE;
	shadow.free = shadow.next[number];
	shadow.next[number] = s->first;
	s->first = number;
	page_zero_at(table_at(number));
	return number;
}

static unsigned index_of(u64 raw_page, unsigned level)
{
	return (unsigned)(raw_page >> 9 * level) % ENTRIES;
}

/* ---- CPUs in guests */

static void want_out(const struct space *s)
{
	u32 number = (u32)(s - shadow.spaces) + 1;

	if (__atomic_load_n(&shadow.inside[s->cpu], __ATOMIC_SEQ_CST) == number)
		shadow.wanted |= BIT(s->cpu);
}

/* Waits until no CPU uses a leaf that has been taken away. None can enter again before the lock is
 * free. */
static void fetch_out(void)
{
	while (shadow.wanted != 0) {
		unsigned cpu = (unsigned)__builtin_ctzl(shadow.wanted);

		cpu_kick(cpu);
		while (__atomic_load_n(&shadow.inside[cpu], __ATOMIC_SEQ_CST) != 0)
			cpu_relax();
		shadow.wanted &= ~BIT(cpu);
	}
}

void shadow_enter(unsigned cpu, const struct space *s)
{
	__atomic_store_n(&shadow.inside[cpu], (u32)(s - shadow.spaces) + 1, __ATOMIC_SEQ_CST);
}

void shadow_leave(unsigned cpu)
{
	__atomic_store_n(&shadow.inside[cpu], 0, __ATOMIC_SEQ_CST);
}

/* ---- spaces */

/* Gives all its tables back, the root too. */
static void space_drop(struct space *s)
{
	u16 number = s->first;

	want_out(s);
	fetch_out();
	while (number != NONE) {
		u16 next = shadow.next[number];

		shadow.next[number] = shadow.free;
		shadow.free = number;
		number = next;
	}
	s->first = s->root = NONE;
	s->recent_count = 0;
}

/* Empty, but with a root. */
static void space_clear(struct space *s)
{
	space_drop(s);
	s->root = table_take(s);
}

static bool live(const struct space *s)
{
	return s->asid != 0;
}

void space_clear_all(void)
{
	for (unsigned i = 0; i < SPACES; i++) {
		if (live(&shadow.spaces[i]))
			space_drop(&shadow.spaces[i]);
	}
	for (unsigned i = 0; i < SPACES; i++) {
		if (live(&shadow.spaces[i]))
			shadow.spaces[i].root = table_take(&shadow.spaces[i]);
	}
}

static struct space *space_new(unsigned cpu, u32 asid, u32 kind)
{
	struct space *s = NULL;

	for (unsigned i = 0; i < SPACES && s == NULL; i++) {
		if (!live(&shadow.spaces[i]))
			s = &shadow.spaces[i];
	}
	if (s == NULL) {
		s = &shadow.spaces[shadow.victim++ % SPACES];
		space_drop(s);
	}
	*s = (struct space){.asid = asid, .cpu = cpu, .kind = kind, .first = NONE, .root = NONE};
	if (shadow.free == NONE)
		space_clear_all();
	else
		s->root = table_take(s);
	return s;
}

struct space *shadow_space(unsigned cpu, const struct view *view)
{
	u32 kind = view->vmpl | (view->unpaged ? 4u : 0);

	ASSERT(view->asid != 0 && view->asid < MODEL_ASIDS);
	shadow.ncr3[view->asid] = view->ncr3;
	for (unsigned i = 0; i < SPACES; i++) {
		struct space *s = &shadow.spaces[i];

		if (s->asid == view->asid && s->cpu == cpu && s->kind == kind)
			return s;
	}
	return space_new(cpu, view->asid, kind);
}

pfn_t shadow_root(const struct space *s)
{
	return pfn((shadow.base >> PAGE_SHIFT) + s->root);
}

u64 space_leaf(const struct space *s, u64 raw_page, unsigned *level)
{
	const u64 *table = table_at(s->root);

	for (*level = 3;; --*level) {
		u64 entry = table[index_of(raw_page, *level)];

		if ((entry & ENTRY_P) == 0)
			return 0;
		if (*level == 0 || (entry & ENTRY_PS) != 0)
			return entry;
		table = table_of(entry);
	}
}

static void leaf_remove(struct space *s, u64 raw_page)
{
	u64 *table = table_at(s->root);

	for (unsigned level = 3;; level--) {
		u64 *entry = &table[index_of(raw_page, level)];

		if ((*entry & ENTRY_P) == 0)
			return;
		if (level == 0 || (*entry & ENTRY_PS) != 0) {
			WRITE_ONCE(*entry, 0);
			want_out(s);
			return;
		}
		table = table_of(*entry);
	}
}

/* The client's table still says what the leaf does. */
static bool still_so(u32 asid, u64 raw_page, u64 entry, unsigned level)
{
	u64 gpa = (raw_page & ~BIT(shadow.c_bit - PAGE_SHIFT)) << PAGE_SHIFT;
	u64 within = raw_page & (LEVEL_PAGES(level) - 1);
	struct nested_leaf leaf;

	nested_leaf_find(shadow.ncr3[asid], gpa, &leaf);
	return leaf.present && leaf.user && leaf.frame == (entry & ENTRY_ADDRESS) >> PAGE_SHIFT &&
	       within == 0 && (leaf.level >= LEVEL_2M) == (level == LEVEL_2M) &&
	       (leaf.write || (entry & LEAF_WRITE) == 0) && (leaf.exec || (entry & LEAF_NX) != 0);
}

/* A flush, after which the processor happens to walk at once to what it has used last: a guest that
 * is flushed often would spend its time on faults. */
static void space_refresh(struct space *s)
{
	u32 count = s->recent_count, kept = 0;

	if (count > RECENT) {
		space_clear(s);
		return;
	}
	for (u32 i = 0; i < count; i++) {
		u64 raw_page = s->recent[i];
		unsigned level;
		u64 entry = space_leaf(s, raw_page, &level);

		if (entry == 0)
			continue;
		if (still_so(s->asid, raw_page, entry, level))
			s->recent[kept++] = raw_page;
		else
			leaf_remove(s, raw_page);
	}
	s->recent_count = kept;
}

void shadow_flush(unsigned cpu, u32 asid, u64 ncr3)
{
	if (asid != 0)
		shadow.ncr3[asid] = ncr3;
	for (unsigned i = 0; i < SPACES; i++) {
		struct space *s = &shadow.spaces[i];

		if (!live(s) || s->cpu != cpu)
			continue;
		if (asid == 0)
			space_clear(s);
		else if (s->asid == asid)
			space_refresh(s);
	}
}

/* Both aliases, on every CPU. */
static void leaves_remove(u32 asid, u64 gfn)
{
	for (unsigned i = 0; i < SPACES; i++) {
		struct space *s = &shadow.spaces[i];

		if (s->asid != asid)
			continue;
		leaf_remove(s, gfn);
		leaf_remove(s, gfn | BIT(shadow.c_bit - PAGE_SHIFT));
	}
}

static bool place(struct space *s, u64 raw_page, unsigned level, u64 leaf)
{
	u64 *table = table_at(s->root);

	for (unsigned at = 3;; at--) {
		u64 *entry = &table[index_of(raw_page, at)];

		if (at == level) {
			WRITE_ONCE(*entry, leaf);
			return true;
		}
		if ((*entry & ENTRY_P) == 0 || (*entry & ENTRY_PS) != 0) {
			u16 number = table_take(s);

			if (number == NONE)
				return false;
			*entry = (shadow.base + number * PAGE_SIZE) | ENTRY_TABLE;
		}
		table = table_of(*entry);
	}
}

void space_place(struct space *s, u64 raw_page, unsigned level, u64 leaf)
{
	raw_page = ALIGN_DOWN(raw_page, LEVEL_PAGES(level));
	if (!place(s, raw_page, level, leaf)) {
		/* It is a TLB: begin anew. */
		space_clear_all();
		if (!place(s, raw_page, level, leaf))
			panic("the SNP model's pool of tables is too small");
	}
	if (s->recent_count < RECENT)
		s->recent[s->recent_count] = raw_page;
	if (s->recent_count <= RECENT)
		s->recent_count++;
}

/* ---- forms */

static u64 form(u64 frame)
{
	return frame < shadow.frames ? shadow.forms[frame] : 0;
}

static u64 form_make(u64 flags, u32 asid, u64 gfn)
{
	return flags | (u64)asid << FORM_ASID | gfn << FORM_GFN;
}

static u32 form_asid(u64 f)
{
	return (u32)(f >> FORM_ASID) % MODEL_ASIDS;
}

bool shadow_is_plain(pfn_t p)
{
	return (form(p.n) & FORM_PLAIN) != 0;
}

bool form_is_raw_mapped(u64 frame)
{
	return (form(frame) & FORM_RAW) != 0;
}

static void transform(u64 frame, u32 asid)
{
	static const struct cipher_key none;
	const struct cipher_key *key = cipher_key_of(asid);

	cipher_page(key != NULL ? key : &none, pfn(frame));
}

/* The plain frame is the guest's still. */
static bool still_there(u64 frame, u32 asid, u64 gfn)
{
	struct rmp_entry entry;
	struct nested_leaf leaf;

	if (rmp_get(pfn(frame), &entry) && entry.assigned)
		return entry.asid == asid && entry.gpa == gfn << PAGE_SHIFT;
	if (shadow.ncr3[asid] == 0)
		return false;
	nested_leaf_find(shadow.ncr3[asid], gfn << PAGE_SHIFT, &leaf);
	return leaf.present && leaf.frame == frame;
}

/* No leaf leads to it any more, once fetch_out() has returned. */
static void unmap(u64 f)
{
	if ((f & FORM_MANY) != 0)
		space_clear_all();
	else if ((f & (FORM_PLAIN | FORM_RAW)) != 0)
		leaves_remove(form_asid(f), f >> FORM_GFN);
}

void shadow_evict(pfn_t first, u64 count)
{
	for (u64 frame = first.n; frame < first.n + count; frame++) {
		if (frame < shadow.frames)
			shadow.blocks[frame / BLOCK_PAGES] = 0;
		unmap(form(frame));
	}
	fetch_out();
	for (u64 frame = first.n; frame < first.n + count; frame++) {
		u64 f = form(frame);

		if (f == 0)
			continue;
		if ((f & FORM_PLAIN) != 0 && still_there(frame, form_asid(f), f >> FORM_GFN))
			transform(frame, form_asid(f));
		shadow.forms[frame] = 0;
	}
}

void form_set_plain(u64 frame, u32 asid, u64 gfn)
{
	u64 wanted = form_make(FORM_PLAIN, asid, gfn);

	if (frame >= shadow.frames || shadow.forms[frame] == wanted)
		return;
	shadow_evict(pfn(frame), 1);
	transform(frame, asid);
	shadow.forms[frame] = wanted;
}

void form_set_raw(u64 frame, u32 asid, u64 gfn)
{
	u64 wanted = form_make(FORM_RAW, asid, gfn), f;

	if (frame >= shadow.frames)
		return;
	if ((shadow.forms[frame] & FORM_PLAIN) != 0)
		shadow_evict(pfn(frame), 1);
	f = shadow.forms[frame];
	if (f == wanted)
		return;
	shadow.blocks[frame / BLOCK_PAGES] = 0;
	shadow.forms[frame] = f == 0 ? wanted : f | FORM_MANY;
}

/* The block's frames are those of guest pages from `gfn` on, and all are of this form. Both are
 * aligned, and the block is RAM. */
static bool block_is(u64 frame, u64 flags, u32 asid, u64 gfn)
{
	return shadow.blocks[frame / BLOCK_PAGES] == form_make(flags, asid, gfn);
}

void form_block_set_plain(u64 frame, u32 asid, u64 gfn)
{
	if (block_is(frame, FORM_PLAIN, asid, gfn))
		return;
	for (u64 i = 0; i < BLOCK_PAGES; i++)
		form_set_plain(frame + i, asid, gfn + i);
	shadow.blocks[frame / BLOCK_PAGES] = form_make(FORM_PLAIN, asid, gfn);
}

void form_block_set_raw(u64 frame, u32 asid, u64 gfn)
{
	for (u64 i = 0; i < BLOCK_PAGES; i++)
		form_set_raw(frame + i, asid, gfn + i);
	shadow.blocks[frame / BLOCK_PAGES] = form_make(FORM_RAW, asid, gfn);
}

bool form_block_is_plain(u64 frame, u32 asid, u64 gfn)
{
	return block_is(frame, FORM_PLAIN, asid, gfn);
}

bool form_block_is_raw(u64 frame, u32 asid, u64 gfn)
{
	return block_is(frame, FORM_RAW, asid, gfn);
}

void shadow_forget_asid(u32 asid)
{
	/* From here on a frame is this guest's only where the RMP says so. */
	shadow.ncr3[asid] = 0;
	for (u64 frame = 0; frame < shadow.frames; frame++) {
		if (shadow.forms[frame] != 0 && form_asid(shadow.forms[frame]) == asid)
			shadow_evict(pfn(frame), 1);
	}
	for (unsigned i = 0; i < SPACES; i++) {
		struct space *s = &shadow.spaces[i];

		if (s->asid == asid) {
			space_drop(s);
			s->asid = 0;
		}
	}
}
