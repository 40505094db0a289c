/* sources: arch/x86/guest_walk.c */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest page-table walker: each error bit by hand, and random tables against an oracle
 * that knows the entry formats bit by bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/guest_walk.h"

/* ---- guest memory: 64 pages of which the last 24 are special ---- */

#define PAGES	  64u
#define READ_ONLY 40u /* from here: a write is a nested fault */
#define MISSING	  48u /* from here: so is a read */
#define C_BIT	  BIT(51)
#define LOG_SIZE  8u

struct world {
	u8 bytes[MISSING][PAGE_SIZE];
	u64 ignored; /* address bits that select an alias of the same memory */
	u64 read_log[LOG_SIZE];
	unsigned reads, swaps;
	void (*before_swap)(struct world *world, u64 raw_gpa);
	void (*after_read)(struct world *world, u64 raw_gpa);
};

static struct world world, twin;

static u8 *backing(struct world *w, u64 raw_gpa, unsigned bytes)
{
	const u64 at = raw_gpa & ~w->ignored;

	assert_true(bytes > 0 && (at & (PAGE_SIZE - 1)) + bytes <= PAGE_SIZE);
	return at >> PAGE_SHIFT < MISSING ? &w->bytes[at >> PAGE_SHIFT][at & (PAGE_SIZE - 1)]
					  : NULL;
}

static bool world_read(void *context, u64 raw_gpa, void *to, unsigned bytes)
{
	struct world *const w = context;
	const u8 *const from = backing(w, raw_gpa, bytes);

	w->read_log[w->reads++ % LOG_SIZE] = raw_gpa;
	if (!from)
		return false;
	memcpy(to, from, bytes);
	if (w->after_read)
		w->after_read(w, raw_gpa);
	return true;
}

static bool world_write(void *context, u64 raw_gpa, const void *from, unsigned bytes)
{
	struct world *const w = context;
	u8 *const to = backing(w, raw_gpa, bytes);

	if (!to || (raw_gpa & ~w->ignored) >> PAGE_SHIFT >= READ_ONLY)
		return false;
	memcpy(to, from, bytes);
	return true;
}

static bool world_cmpxchg(void *context, u64 raw_gpa, unsigned bytes, u64 expected, u64 desired,
			  bool *swapped)
{
	struct world *const w = context;
	u8 *const at = backing(w, raw_gpa, bytes);
	u64 now = 0;

	assert_true((bytes == 4 || bytes == 8) && raw_gpa % bytes == 0);
	if (!at || (raw_gpa & ~w->ignored) >> PAGE_SHIFT >= READ_ONLY)
		return false;
	w->swaps++;
	if (w->before_swap)
		w->before_swap(w, raw_gpa);
	memcpy(&now, at, bytes);
	*swapped = now == expected;
	if (*swapped)
		memcpy(at, &desired, bytes);
	return true;
}

static const struct guest_mem_ops ops = {world_read, world_write, world_cmpxchg};

/* ---- cases by hand ---- */

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80 };
#define NX    BIT(63)
#define PG    (BIT(31) | BIT(0))
#define WP    BIT(16)
#define LMA   BIT(10)
#define NXE   BIT(11)
#define PSE   BIT(4)
#define PAE   BIT(5)
#define SMEP  BIT(20)
#define SMAP  BIT(21)
#define AC    BIT(18)
#define GVA   0x7f8045a03678ul /* indices 255, 1, 0x2d, 3; offset 0x678 */
#define GVA32 0x00c03678ul     /* 32-bit: 3, 3. PAE: 0, 6, 3 */

static void put8(u64 at, u64 value)
{
	memcpy(backing(&world, at, 8), &value, 8);
}

static u64 get8(u64 at)
{
	u64 value;

	memcpy(&value, backing(&world, at, 8), 8);
	return value;
}

static void put4(u64 at, u32 value)
{
	memcpy(backing(&world, at, 4), &value, 4);
}

static u32 get4(u64 at)
{
	u32 value;

	memcpy(&value, backing(&world, at, 4), 4);
	return value;
}

#define PML4E 0x17f8ul /* of GVA, with CR3 = 0x1000 */
#define PDPTE 0x2008ul
#define PDE   0x3168ul
#define PTE   0x4018ul

/* 4-level, supervisor, everything allowed: GVA is at 0x5678. */
static struct guest_mmu long_mode(void)
{
	memset(&world, 0, sizeof(world));
	put8(PML4E, 0x2000 | P | W | U);
	put8(PDPTE, 0x3000 | P | W | U);
	put8(PDE, 0x4000 | P | W | U);
	put8(PTE, 0x5000 | P | W | U);
	return (struct guest_mmu){
		.ops = &ops,
		.context = &world,
		.cr0 = PG | WP,
		.cr3 = 0x1000,
		.cr4 = PAE,
		.efer = LMA | NXE,
		.phys_bits = 40,
		.gib_pages = true,
	};
}

static struct guest_mmu user_mode(void)
{
	struct guest_mmu mmu = long_mode();

	mmu.cpl = 3;
	return mmu;
}

static void expect_page(const struct guest_mmu *mmu, u64 gva, unsigned access, u64 raw_gpa,
			unsigned shift)
{
	struct guest_walk walk;

	assert_int_equal(guest_walk(mmu, gva, access, &walk), WALK_OK);
	assert_int_equal(walk.raw_gpa, raw_gpa);
	assert_int_equal(walk.page_shift, shift);
	assert_int_equal(walk.gva, gva);
}

static void expect_fault(const struct guest_mmu *mmu, u64 gva, unsigned access, u32 code)
{
	const struct world before = world;
	struct guest_walk walk;

	assert_int_equal(guest_walk(mmu, gva, access, &walk), WALK_PAGE_FAULT);
	assert_int_equal(walk.error_code, code);
	assert_int_equal(walk.gva, gva);
	assert_memory_equal(before.bytes, world.bytes, sizeof(world.bytes));
}

static void expect_nested(const struct guest_mmu *mmu, u64 gva, unsigned access, u64 raw_gpa,
			  bool write)
{
	struct guest_walk walk;

	assert_int_equal(guest_walk(mmu, gva, access, &walk), WALK_NESTED);
	assert_int_equal(walk.raw_gpa, raw_gpa);
	assert_int_equal(walk.nested_write, write);
	assert_true(walk.nested_table);
}

static void without_paging_an_address_is_itself(void **state)
{
	struct guest_mmu mmu = long_mode();

	(void)state;
	mmu.cr0 = 1;
	mmu.efer = 0;
	expect_page(&mmu, 0xfee00000, WALK_WRITE, 0xfee00000, 12);
	assert_int_equal(world.reads, 0);
}

static void four_levels_are_walked_and_marked(void **state)
{
	struct guest_mmu mmu = long_mode();

	(void)state;
	expect_page(&mmu, GVA, 0, 0x5678, 12);
	assert_int_equal(get8(PML4E), 0x2000 | P | W | U | A);
	assert_int_equal(get8(PDPTE), 0x3000 | P | W | U | A);
	assert_int_equal(get8(PDE), 0x4000 | P | W | U | A);
	assert_int_equal(get8(PTE), 0x5000 | P | W | U | A);
	assert_int_equal(world.reads, 4);
	assert_int_equal(world.swaps, 4);
	expect_page(&mmu, GVA, WALK_WRITE, 0x5678, 12);
	assert_int_equal(get8(PDE), 0x4000 | P | W | U | A);
	assert_int_equal(get8(PTE), 0x5000 | P | W | U | A | D);
	assert_int_equal(world.swaps, 5);
	/* and once all is marked, nothing is written */
	expect_page(&mmu, GVA, WALK_WRITE, 0x5678, 12);
	assert_int_equal(world.swaps, 5);
}

static void large_pages_of_long_mode(void **state)
{
	struct guest_mmu mmu = long_mode();

	(void)state;
	put8(PDE, 0x1234e00000 | P | W | PS);
	expect_page(&mmu, GVA, WALK_WRITE, 0x1234e03678, 21);
	assert_int_equal(get8(PDE) & (A | D), A | D);
	assert_int_equal(get8(PDPTE) & (A | D), A);
	put8(PDE, 0x600000 | P | W | PS | BIT(13));
	expect_fault(&mmu, GVA, 0, 0x9);
	put8(PDE, 0x600000 | P | W | PS | BIT(12)); /* PAT */
	expect_page(&mmu, GVA, 0, 0x603678, 21);

	put8(PDPTE, 0x40000000 | P | W | PS);
	expect_page(&mmu, GVA, 0, 0x40000000 + (GVA & 0x3fffffff), 30);
	put8(PDPTE, 0x40000000 | P | W | PS | BIT(29));
	expect_fault(&mmu, GVA, 0, 0x9);
	put8(PDPTE, 0x40000000 | P | W | PS);
	mmu.gib_pages = false;
	expect_fault(&mmu, GVA, 0, 0x9);
	put8(PML4E, 0x2000 | P | W | U | PS);
	expect_fault(&mmu, GVA, WALK_WRITE, 0xb);
}

static void not_present_at_each_level(void **state)
{
	static const u64 slots[] = {PML4E, PDPTE, PDE, PTE};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct guest_mmu mmu = long_mode();

		/* with every other bit set: a missing entry has no reserved bits */
		put8(slots[i], ~1ul);
		expect_fault(&mmu, GVA, 0, 0x0);
		expect_fault(&mmu, GVA, WALK_WRITE, 0x2);
		expect_fault(&mmu, GVA, WALK_FETCH, 0x10);
		mmu.cpl = 3;
		expect_fault(&mmu, GVA, 0, 0x4);
		expect_fault(&mmu, GVA, WALK_WRITE, 0x6);
		expect_fault(&mmu, GVA, WALK_FETCH, 0x14);
		expect_fault(&mmu, GVA, WALK_IMPLICIT, 0x0);
		mmu.efer &= ~NXE;
		expect_fault(&mmu, GVA, WALK_FETCH, 0x4);
		mmu.cr4 |= SMEP;
		expect_fault(&mmu, GVA, WALK_FETCH, 0x14);
	}
}

static void reserved_bits_at_each_level(void **state)
{
	static const u64 slots[] = {PML4E, PDPTE, PDE, PTE};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct guest_mmu mmu = long_mode();
		const u64 entry = get8(slots[i]);

		for (unsigned bit = 40; bit < 52; bit++) {
			put8(slots[i], entry | BIT(bit));
			expect_fault(&mmu, GVA, 0, 0x9);
			/* reserved bits come before rights */
			mmu.cpl = 3;
			expect_fault(&mmu, GVA, WALK_WRITE, 0xf);
			mmu.cpl = 0;
		}
		for (unsigned bit = 52; bit < 63; bit++) {
			put8(slots[i], entry | BIT(bit));
			expect_page(&mmu, GVA, 0, 0x5678, 12);
		}
		put8(slots[i], entry | NX);
		expect_page(&mmu, GVA, 0, 0x5678, 12);
		mmu.efer &= ~NXE;
		expect_fault(&mmu, GVA, 0, 0x9);
		mmu.efer |= NXE;
		/* the C-bit is an address bit, and comes back with the address */
		put8(slots[i], entry | C_BIT);
		mmu.extra_bits = world.ignored = C_BIT;
		expect_page(&mmu, GVA, 0, slots[i] == PTE ? C_BIT | 0x5678 : 0x5678, 12);
	}
}

static void user_and_write_rights(void **state)
{
	static const u64 slots[] = {PML4E, PDPTE, PDE, PTE};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct guest_mmu mmu = user_mode();
		const u64 entry = get8(slots[i]);

		expect_page(&mmu, GVA, WALK_WRITE, 0x5678, 12);
		put8(slots[i], entry & ~(u64)U);
		expect_fault(&mmu, GVA, 0, 0x5);
		expect_fault(&mmu, GVA, WALK_WRITE, 0x7);
		expect_fault(&mmu, GVA, WALK_FETCH, 0x15);
		expect_page(&mmu, GVA, WALK_WRITE | WALK_IMPLICIT, 0x5678, 12);

		put8(slots[i], entry & ~(u64)W);
		expect_page(&mmu, GVA, 0, 0x5678, 12);
		expect_fault(&mmu, GVA, WALK_WRITE, 0x7);
		mmu.cr0 &= ~WP; /* not for user mode */
		expect_fault(&mmu, GVA, WALK_WRITE, 0x7);
		mmu.cpl = 0;
		expect_page(&mmu, GVA, WALK_WRITE, 0x5678, 12);
		assert_int_equal(get8(PTE) & D, D);
		mmu.cr0 |= WP;
		expect_fault(&mmu, GVA, WALK_WRITE, 0x3);
		mmu.cpl = 3;
		expect_fault(&mmu, GVA, WALK_WRITE | WALK_IMPLICIT, 0x3);
	}
}

static void execute_rights(void **state)
{
	static const u64 slots[] = {PML4E, PDPTE, PDE, PTE};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct guest_mmu mmu = long_mode();

		put8(slots[i], get8(slots[i]) | NX);
		expect_page(&mmu, GVA, WALK_WRITE, 0x5678, 12);
		expect_fault(&mmu, GVA, WALK_FETCH, 0x11);
		mmu.cpl = 3;
		expect_fault(&mmu, GVA, WALK_FETCH, 0x15);
	}
}

static void smep_and_smap(void **state)
{
	struct guest_mmu mmu = long_mode();

	(void)state;
	mmu.cr4 |= SMEP;
	expect_page(&mmu, GVA, 0, 0x5678, 12);
	expect_fault(&mmu, GVA, WALK_FETCH, 0x11);
	mmu.cpl = 3;
	expect_page(&mmu, GVA, WALK_FETCH, 0x5678, 12);
	mmu.cpl = 0;
	put8(PDE, 0x4000 | P | W); /* one supervisor entry on the way is enough */
	expect_page(&mmu, GVA, WALK_FETCH, 0x5678, 12);

	mmu = long_mode();
	mmu.cr4 |= SMAP;
	expect_fault(&mmu, GVA, 0, 0x1);
	expect_fault(&mmu, GVA, WALK_WRITE, 0x3);
	expect_page(&mmu, GVA, WALK_FETCH, 0x5678, 12);
	mmu.cr0 &= ~WP;
	expect_fault(&mmu, GVA, WALK_WRITE, 0x3);
	mmu.rflags = AC;
	expect_page(&mmu, GVA, WALK_WRITE, 0x5678, 12);
	expect_fault(&mmu, GVA, WALK_IMPLICIT, 0x1); /* AC does not help these */
	mmu.cpl = 3;
	expect_page(&mmu, GVA, 0, 0x5678, 12);
	expect_fault(&mmu, GVA, WALK_IMPLICIT, 0x1);
	put8(PTE, 0x5000 | P | W);
	expect_page(&mmu, GVA, WALK_IMPLICIT, 0x5678, 12);
}

static void canonical_form_and_five_levels(void **state)
{
	struct guest_mmu mmu = long_mode();
	struct guest_walk walk;

	(void)state;
	assert_int_equal(guest_walk(&mmu, 0x800000000000, 0, &walk), WALK_NONCANONICAL);
	assert_int_equal(guest_walk(&mmu, 0xffff7fffffffffff, 0, &walk), WALK_NONCANONICAL);
	assert_int_equal(walk.gva, 0xffff7fffffffffff);
	assert_int_equal(guest_walk(&mmu, 0xffff800000000000, 0, &walk), WALK_PAGE_FAULT);
	assert_int_equal(guest_walk(&mmu, 0x7fffffffffff, 0, &walk), WALK_PAGE_FAULT);
	assert_int_equal(world.reads, 1 + 2);
	mmu.cr4 |= BIT(12);
	assert_int_equal(guest_walk(&mmu, GVA, 0, &walk), WALK_UNSUPPORTED);
}

static void legacy_32_bit_paging(void **state)
{
	struct guest_mmu mmu = long_mode();

	(void)state;
	memset(&world, 0, sizeof(world));
	mmu.efer = NXE; /* without PAE it has no effect */
	mmu.cr4 = 0;
	mmu.cr3 = 0xabcd00001fff; /* bits 63:32 and 11:0 are not the table's address */
	put4(0x100c, 0x2000 | P | W | U);
	put4(0x200c, 0x5000 | P | U);
	expect_page(&mmu, GVA32, 0, 0x5678, 12);
	assert_int_equal(get4(0x100c), 0x2000 | P | W | U | A);
	assert_int_equal(get4(0x200c), 0x5000 | P | U | A);
	assert_int_equal(get4(0x2010), 0);
	expect_fault(&mmu, GVA32, WALK_WRITE, 0x3);
	put4(0x200c, 0);
	expect_fault(&mmu, GVA32, WALK_FETCH, 0x0); /* no I/D bit here */
	mmu.cr4 |= SMEP;
	expect_fault(&mmu, GVA32, WALK_FETCH, 0x10);

	/* PS means nothing before CR4.PSE */
	put4(0x100c, 0x2000 | P | W | U | PS);
	put4(0x200c, 0x5000 | P | U);
	expect_page(&mmu, GVA32, 0, 0x5678, 12);
	mmu.cr4 = PSE;
	put4(0x100c, 0x12400000 | P | W | PS | 0xab << 13); /* PSE-36 */
	expect_page(&mmu, GVA32, WALK_WRITE, 0xab12403678, 22);
	assert_int_equal(get4(0x100c), 0x12400000 | P | W | PS | A | D | 0xab << 13);
	mmu.phys_bits = 36;
	expect_fault(&mmu, GVA32, 0, 0x9);
	put4(0x100c, 0x12400000 | P | W | PS | 0xb << 13);
	expect_page(&mmu, GVA32, 0, 0xb12403678, 22);
	for (unsigned width = 32; width <= 40; width++) {
		mmu.phys_bits = (u8)width;
		for (unsigned bit = 13; bit <= 20; bit++) {
			put4(0x100c, 0x12400000 | P | W | PS | 1u << bit);
			if (bit + 19 >= width)
				expect_fault(&mmu, GVA32, 0, 0x9);
			else
				expect_page(&mmu, GVA32, 0, 0x12403678 | BIT(bit + 19), 22);
		}
	}
	mmu.phys_bits = 48;
	put4(0x100c, 0x12400000 | P | W | PS | BIT(21));
	expect_fault(&mmu, GVA32, 0, 0x9);
}

static void pae_paging(void **state)
{
	struct guest_mmu mmu = long_mode();
	struct guest_walk walk;
	const u64 registers[4] = {0x3000 | P, 0, 0, 0};

	(void)state;
	memset(&world, 0, sizeof(world));
	mmu.efer = NXE;
	mmu.cr3 = 0x1fe0;
	put8(0x1fe0, 0x2000 | P);
	put8(0x2030, 0x4000 | P | W | U);
	put8(PTE, 0x5000 | P | W | U);
	mmu.cpl = 3; /* the PDPTE has no rights to take away */
	expect_page(&mmu, GVA32, WALK_WRITE, 0x5678, 12);
	assert_int_equal(get8(0x1fe0), 0x2000 | P);
	assert_int_equal(get8(0x2030), 0x4000 | P | W | U | A);
	/* an address has 32 bits */
	assert_int_equal(guest_walk(&mmu, GVA32 | BIT(32), 0, &walk), WALK_OK);
	assert_int_equal(walk.raw_gpa, 0x5678);
	assert_int_equal(walk.gva, GVA32);

	for (unsigned bit = 1; bit < 64; bit++) {
		const bool reserved = bit <= 2 || (bit >= 5 && bit <= 8) || bit >= 40;

		if (bit >= 12 && bit < 40)
			continue;
		put8(0x1fe0, 0x2000 | P | BIT(bit));
		if (reserved)
			expect_fault(&mmu, GVA32, 0, 0xd);
		else
			expect_page(&mmu, GVA32, 0, 0x5678, 12);
	}
	put8(0x1fe0, 0x2000 | P);
	for (unsigned bit = 40; bit < 63; bit++) {
		put8(PTE, 0x5000 | P | W | U | BIT(bit));
		expect_fault(&mmu, GVA32, WALK_WRITE, 0xf);
	}
	put8(PTE, 0x5000 | P | W | U | NX);
	expect_fault(&mmu, GVA32, WALK_FETCH, 0x15);

	put8(0x2030, 0x600000 | P | U | PS);
	expect_page(&mmu, GVA32, 0, 0x600000 + (GVA32 & 0x1fffff), 21);

	/* the registers instead of memory */
	mmu.pdpte = registers;
	put8(0x3030, 0x4000 | P | U);
	put8(PTE, 0x5000 | P | U);
	expect_page(&mmu, GVA32, 0, 0x5678, 12);
	expect_fault(&mmu, GVA32 | 0x40000000, 0, 0x4);
}

static void an_unreachable_table_is_a_nested_fault(void **state)
{
	struct guest_mmu mmu = long_mode();

	(void)state;
	mmu.cr3 = 0x3e000;
	expect_nested(&mmu, GVA, WALK_WRITE, 0x3e7f8, false);
	mmu.cr3 = 0x1000;
	put8(PDPTE, 0x3f000 | P | W | U);
	expect_nested(&mmu, GVA, 0, 0x3f168, false);

	/* readable only: the accessed bit is what cannot be written */
	put8(PDPTE, 0x28000 | P | W | U);
	put8(0x28168, 0x4000 | P | W | U);
	expect_nested(&mmu, GVA, 0, 0x28168, true);
	assert_int_equal(get8(PTE) & A, 0);
	put8(0x28168, 0x4000 | P | W | U | A);
	expect_page(&mmu, GVA, 0, 0x5678, 12);
}

/* ---- a guest that changes its tables under the walk ---- */

static void unmap_pte(struct world *w, u64 raw_gpa)
{
	(void)w;
	if (raw_gpa == PTE)
		put8(PTE, 0x6000);
}

static void flip_pte(struct world *w, u64 raw_gpa)
{
	(void)w;
	if (raw_gpa == PTE)
		put8(PTE, get8(PTE) ^ BIT(52));
}

static void remap_pte_once(struct world *w, u64 raw_gpa)
{
	if (raw_gpa == PTE) {
		put8(PTE, 0x6000 | P | W | U);
		w->before_swap = NULL;
	}
}

static void a_changed_entry_is_walked_anew(void **state)
{
	struct guest_mmu mmu = long_mode();
	struct guest_walk walk;

	(void)state;
	world.before_swap = remap_pte_once;
	expect_page(&mmu, GVA, WALK_WRITE, 0x6678, 12);
	assert_int_equal(get8(PTE), 0x6000 | P | W | U | A | D);

	mmu = long_mode();
	world.before_swap = unmap_pte;
	assert_int_equal(guest_walk(&mmu, GVA, 0, &walk), WALK_PAGE_FAULT);
	assert_int_equal(walk.error_code, 0);
	assert_int_equal(get8(PTE), 0x6000);

	/* and a guest that never stops does not hold the walker */
	mmu = long_mode();
	world.before_swap = flip_pte;
	assert_int_equal(guest_walk(&mmu, GVA, 0, &walk), WALK_RACED);
	assert_int_equal(world.reads, 4 * WALK_TRIES);
	assert_int_equal(get8(PTE) & A, 0);
}

static void poison(struct world *w, u64 raw_gpa)
{
	/* whoever reads an entry again gets this */
	memset(backing(w, raw_gpa, 8), 0xff, 8);
}

static void each_entry_is_read_once(void **state)
{
	struct guest_mmu mmu = long_mode();

	(void)state;
	put8(PML4E, get8(PML4E) | A);
	put8(PDPTE, get8(PDPTE) | A);
	put8(PDE, get8(PDE) | A);
	put8(PTE, get8(PTE) | A);
	world.after_read = poison;
	expect_page(&mmu, GVA, 0, 0x5678, 12);
	assert_int_equal(world.reads, 4);
	assert_int_equal(world.read_log[0], PML4E);
	assert_int_equal(world.read_log[1], PDPTE);
	assert_int_equal(world.read_log[2], PDE);
	assert_int_equal(world.read_log[3], PTE);
}

/* ---- copying ---- */

#define EDGE (GVA - 0x678 + 0xff8) /* eight bytes before the end of GVA's page */

static void a_copy_crosses_pages(void **state)
{
	struct guest_mmu mmu = long_mode();
	struct guest_walk walk;
	u8 buffer[PAGE_SIZE];
	unsigned done;

	(void)state;
	put8(PTE + 8, 0x7000 | P | W | U);
	put8(0x5ff8, 0x1122334455667788);
	put8(0x7000, 0x99aabbccddeeff00);
	assert_int_equal(gva_read(&mmu, EDGE, buffer, 15, 0, &walk, &done), WALK_OK);
	assert_int_equal(done, 15);
	assert_memory_equal(buffer, "\x88\x77\x66\x55\x44\x33\x22\x11\x00\xff\xee\xdd\xcc\xbb\xaa",
			    15);
	assert_int_equal(gva_write(&mmu, EDGE + 5, "abcdefgh", 8, 0, &walk, &done), WALK_OK);
	assert_int_equal(done, 8);
	assert_memory_equal(world.bytes[5] + 0xff8,
			    "\x88\x77\x66\x55\x44"
			    "abc",
			    8);
	assert_memory_equal(world.bytes[7], "defgh\xbb\xaa\x99", 8);
	assert_int_equal(get8(PTE + 8) & D, D);
	/* exactly one page, and nothing of the next */
	put8(PTE + 8, 0);
	assert_int_equal(gva_read(&mmu, GVA - 0x678, buffer, PAGE_SIZE, 0, &walk, &done), WALK_OK);
	assert_int_equal(done, PAGE_SIZE);
	assert_memory_equal(buffer, world.bytes[5], PAGE_SIZE);
	assert_int_equal(gva_read(&mmu, EDGE, buffer, 8, 0, &walk, &done), WALK_OK);
	assert_int_equal(gva_write(&mmu, EDGE, buffer, 8, 0, &walk, &done), WALK_OK);
	assert_int_equal(gva_read(&mmu, EDGE, buffer, 0, 0, &walk, &done), WALK_OK);
	assert_int_equal(gva_read(&mmu, GVA, buffer, PAGE_SIZE + 1, 0, &walk, &done),
			 WALK_UNSUPPORTED);
	assert_int_equal(gva_write(&mmu, GVA, buffer, PAGE_SIZE + 1, 0, &walk, &done),
			 WALK_UNSUPPORTED);
}

static void a_copy_tells_where_it_failed(void **state)
{
	struct guest_mmu mmu = long_mode();
	struct guest_walk walk;
	u8 buffer[16] = "0123456789abcdef";
	unsigned done;

	(void)state;
	put8(0x5ff8, 0x1122334455667788);
	/* the second page is missing: a read gives what is there, a write changes nothing */
	assert_int_equal(gva_read(&mmu, EDGE, buffer, 15, WALK_FETCH, &walk, &done),
			 WALK_PAGE_FAULT);
	assert_int_equal(done, 8);
	assert_memory_equal(buffer, world.bytes[5] + 0xff8, 8);
	assert_int_equal(walk.gva, EDGE + 8);
	assert_int_equal(walk.error_code, 0x10);
	assert_int_equal(gva_write(&mmu, EDGE + 1, buffer, 15, 0, &walk, &done), WALK_PAGE_FAULT);
	assert_int_equal(done, 0);
	assert_int_equal(walk.gva, EDGE + 8);
	assert_int_equal(walk.error_code, 0x2);
	assert_int_equal(get8(0x5ff8), 0x1122334455667788);

	/* data in a page that cannot be reached */
	put8(PTE + 8, 0x30000 | P | W);
	assert_int_equal(gva_read(&mmu, EDGE, buffer, 15, 0, &walk, &done), WALK_NESTED);
	assert_int_equal(done, 8);
	assert_int_equal(walk.raw_gpa, 0x30000);
	assert_false(walk.nested_write);
	assert_false(walk.nested_table);
	put8(PTE, 0x29000 | P | W);
	assert_int_equal(gva_write(&mmu, GVA, buffer, 4, 0, &walk, &done), WALK_NESTED);
	assert_int_equal(done, 0);
	assert_int_equal(walk.raw_gpa, 0x29678);
	assert_true(walk.nested_write);
	assert_false(walk.nested_table);

	/* the end of the lower half */
	assert_int_equal(gva_read(&mmu, 0x800000000000, buffer, 1, 0, &walk, &done),
			 WALK_NONCANONICAL);
	assert_int_equal(done, 0);
}

/* ---- random tables against the oracle ---- */

static u64 seed;

static u64 random_64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1d;
}

static bool chance(unsigned percent)
{
	return (random_64() >> 33) % 100 < percent;
}

struct verdict {
	enum walk_status status;
	u64 raw_gpa;
	u32 code;
	unsigned shift;
	bool nested_write;
};

enum table { TABLE_PML4, TABLE_PDPT, TABLE_PAE_PDPT, TABLE_PD, TABLE_PT, TABLE_PD32, TABLE_PT32 };

/* SDM Vol 3, tables 4-4 to 4-20: must bit `bit` of this entry be zero? */
static bool must_be_zero(const struct guest_mmu *m, enum table t, bool leaf, unsigned bit)
{
	const bool long_mode = m->efer & LMA;

	if (t == TABLE_PT32 || (t == TABLE_PD32 && !leaf))
		return false;
	if (t == TABLE_PD32)
		return bit == 21 || (bit >= 13 && bit <= 20 && bit + 19 >= m->phys_bits);
	if (bit == 63)
		return t == TABLE_PAE_PDPT || !(m->efer & NXE);
	if (bit >= 52)
		return !long_mode;
	if (bit >= 12 && bit >= m->phys_bits)
		return !(m->extra_bits >> bit & 1);
	if (t == TABLE_PAE_PDPT)
		return bit == 1 || bit == 2 || (bit >= 5 && bit <= 8);
	if (bit == 7)
		return t == TABLE_PML4 || (t == TABLE_PDPT && !m->gib_pages);
	if (leaf && t == TABLE_PD)
		return bit >= 13 && bit <= 20;
	if (leaf && t == TABLE_PDPT)
		return bit >= 13 && bit <= 29;
	return false;
}

static struct verdict oracle(const struct guest_mmu *m, u64 gva, unsigned access)
{
	static const enum table long_tables[] = {TABLE_PML4, TABLE_PDPT, TABLE_PD, TABLE_PT};
	static const enum table pae_tables[] = {TABLE_PAE_PDPT, TABLE_PD, TABLE_PT};
	static const enum table old_tables[] = {TABLE_PD32, TABLE_PT32};
	const bool is_long = m->efer & LMA, is_pae = !is_long && (m->cr4 & PAE);
	const bool nx = (m->efer & NXE) && (is_long || is_pae);
	const bool user = m->cpl == 3 && !(access & WALK_IMPLICIT);
	const enum table *t = is_long ? long_tables : is_pae ? pae_tables : old_tables;
	const unsigned shifts[] = {39, 30, 21, 12}, old_shifts[] = {22, 12};
	const unsigned *shift = is_long ? shifts : is_pae ? shifts + 1 : old_shifts;
	const unsigned size = is_long || is_pae ? 8 : 4;
	const u64 address_mask = ((1ul << m->phys_bits) - 1) | m->extra_bits;
	u64 at[4], value[4], base, frame;
	unsigned n = 0;
	bool all_w = true, all_u = true, any_nx = false, fault = false;
	struct verdict v = {.status = WALK_PAGE_FAULT};

	v.code = (access & WALK_WRITE ? 2u : 0) | (user ? 4u : 0);
	if ((access & WALK_FETCH) && (nx || (m->cr4 & SMEP)))
		v.code |= 0x10;
	base = is_long	? m->cr3 & address_mask & ~0xffful & 0xffffffffff000
	       : is_pae ? m->cr3 & 0xffffffe0
			: m->cr3 & 0xfffff000;
	for (;; n++) {
		const unsigned entries = size == 4 ? 1024 : t[n] == TABLE_PAE_PDPT ? 4 : 512;
		u64 e = 0;
		u8 *memory;
		bool leaf;

		at[n] = base + (gva >> shift[n]) % entries * size;
		memory = backing(&twin, at[n], size);
		if (!memory)
			return (struct verdict){.status = WALK_NESTED, .raw_gpa = at[n]};
		memcpy(&e, memory, size);
		value[n] = e;
		if (!(e & 1))
			return v;
		leaf = t[n] == TABLE_PT || t[n] == TABLE_PT32 ||
		       ((e & 0x80) && (t[n] == TABLE_PD || (t[n] == TABLE_PDPT && m->gib_pages) ||
				       (t[n] == TABLE_PD32 && (m->cr4 & PSE))));
		for (unsigned bit = 0; bit < 64; bit++)
			if ((e >> bit & 1) && must_be_zero(m, t[n], leaf, bit)) {
				v.code |= 9;
				return v;
			}
		if (t[n] != TABLE_PAE_PDPT) {
			all_w = all_w && (e & 2);
			all_u = all_u && (e & 4);
			any_nx = any_nx || (nx && e >> 63);
		}
		frame = size == 4 ? e & 0xfffff000 : e & address_mask & 0xffffffffff000;
		if (leaf)
			break;
		base = frame;
	}
	if (t[n] == TABLE_PD32)
		frame = (value[n] & 0xffc00000) + (value[n] >> 13 & 0xff) * (1ul << 32);
	/* the low bits of a large frame: PAT */
	v.raw_gpa = frame - frame % (1ul << shift[n]) + gva % (1ul << shift[n]);
	v.shift = shift[n];

	if (access & WALK_FETCH)
		fault = any_nx || (user && !all_u) || (!user && all_u && (m->cr4 & SMEP));
	else if (user)
		fault = !all_u || ((access & WALK_WRITE) && !all_w);
	else
		fault = (all_u && (m->cr4 & SMAP) &&
			 ((access & WALK_IMPLICIT) || !(m->rflags & AC))) ||
			((access & WALK_WRITE) && !all_w && (m->cr0 & WP));
	if (fault) {
		v.code |= 1;
		return v;
	}
	for (unsigned i = 0; i <= n; i++) {
		u64 marked = value[i] | A;

		if (i == n && (access & WALK_WRITE))
			marked |= D;
		if (t[i] == TABLE_PAE_PDPT || marked == value[i])
			continue;
		if ((at[i] & ~twin.ignored) >> PAGE_SHIFT >= READ_ONLY)
			return (struct verdict){
				.status = WALK_NESTED, .raw_gpa = at[i], .nested_write = true};
		memcpy(backing(&twin, at[i], size), &marked, size);
	}
	v.status = WALK_OK;
	return v;
}

/* Puts plausible entries on the way of gva; later ones may overwrite earlier ones. */
static void random_tables(const struct guest_mmu *m, u64 gva)
{
	const bool wide = (m->efer & LMA) || (m->cr4 & PAE);
	const unsigned bits = wide ? 9 : 10, size = wide ? 8 : 4;
	const unsigned levels = m->efer & LMA ? 4 : wide ? 3 : 2;
	u64 table = m->cr3 & (wide && levels == 3 ? 0xffffffe0 : 0xfffff000);

	for (unsigned level = levels; level-- > 0;) {
		const u64 at = table + ((gva >> (12 + bits * level)) & ((1u << bits) - 1)) * size;
		const bool pdpte = levels == 3 && level == 2;
		u64 e = (random_64() % (chance(10) ? PAGES : READ_ONLY)) << 12;
		u8 *memory = backing(&world, at, size);

		table = e;
		if (!memory)
			return;
		if (!chance(4))
			e |= P;
		if (!pdpte)
			e |= random_64() & (A | D | 0xe18);
		if (!pdpte && !chance(12))
			e |= W;
		if (!pdpte && !chance(15))
			e |= U;
		if (!pdpte && chance(15)) {
			e |= PS;
			if (level == 1 && !chance(20))
				e &= wide ? ~0x1ff000ul | 0x1000 : ~0x3ff000ul | 0x1ff000;
			if (level == 2 && !chance(20))
				e &= ~0x3ffff000ul | 0x1000;
		}
		if (wide && chance(10))
			e |= NX & (0 - (u64)!pdpte);
		if (wide && chance(10))
			e |= m->extra_bits;
		if (chance(7))
			e |= BIT(random_64() % (8 * size));
		memcpy(memory, &e, size);
	}
}

static void random_tables_agree_with_the_oracle(void **state)
{
	static const u8 widths[] = {32, 36, 39, 40, 46, 48, 51, 52};
	static const u64 extras[] = {0, 0, C_BIT, BIT(47)};
	unsigned counts[WALK_UNSUPPORTED + 1] = {0}, codes[32] = {0}, shifts[31] = {0};

	(void)state;
	seed = 0x9e3779b97f4a7c15;
	memset(&world, 0, sizeof(world));
	memset(&twin, 0, sizeof(twin));
	for (unsigned i = 0; i < 40000; i++) {
		struct guest_mmu m = {.ops = &ops, .context = &world};
		const u64 r = random_64();
		const unsigned access = (unsigned[]){0, WALK_WRITE, WALK_FETCH}[r % 3] |
					(chance(20) ? (unsigned)WALK_IMPLICIT : 0);
		struct guest_walk walk;
		struct verdict expected;
		enum walk_status status;
		u64 gva = random_64();

		m.cr0 = PG | (r & WP);
		m.cr4 = (random_64() & (PSE | SMEP | SMAP)) | (chance(75) ? PAE : 0);
		m.efer = r & NXE;
		if ((m.cr4 & PAE) && chance(60))
			m.efer |= LMA;
		m.rflags = random_64();
		m.cpl = chance(40) ? 3 : 0;
		m.phys_bits = widths[random_64() % 8];
		m.gib_pages = chance(70);
		m.extra_bits = extras[random_64() % 4];
		m.cr3 = (random_64() % (chance(5) ? PAGES : READ_ONLY)) << 12;
		if (!(m.efer & LMA))
			m.cr3 |= random_64() & 0xfe0;
		else if (chance(20))
			m.cr3 |= m.extra_bits;
		gva = m.efer & LMA ? (u64)((s64)(gva << 16) >> 16) : (u32)gva;
		world.ignored = twin.ignored = m.efer & LMA ? m.extra_bits : 0;
		world.reads = 0;
		random_tables(&m, gva);
		memcpy(twin.bytes, world.bytes, sizeof(world.bytes));

		expected = oracle(&m, gva, access);
		status = guest_walk(&m, gva, access, &walk);
		if (status != expected.status)
			fail_msg("case %u: status %d, oracle %d", i, status, expected.status);
		counts[status]++;
		if (status == WALK_PAGE_FAULT) {
			assert_int_equal(walk.error_code, expected.code);
			codes[expected.code]++;
		} else {
			assert_int_equal(walk.raw_gpa, expected.raw_gpa);
		}
		if (status == WALK_OK) {
			assert_int_equal(walk.page_shift, expected.shift);
			shifts[expected.shift]++;
		}
		if (status == WALK_NESTED) {
			assert_int_equal(walk.nested_write, expected.nested_write);
			assert_true(walk.nested_table);
		}
		assert_memory_equal(world.bytes, twin.bytes, sizeof(world.bytes));
	}
	print_message("ok %u, #PF %u, nested %u\n", counts[WALK_OK], counts[WALK_PAGE_FAULT],
		      counts[WALK_NESTED]);
	assert_true(counts[WALK_OK] > 8000);
	assert_true(counts[WALK_NESTED] > 500);
	assert_true(shifts[12] > 1000 && shifts[21] > 300 && shifts[22] > 100 && shifts[30] > 100);
	/* every error code that exists: present or reserved or neither, times w/u/fetch */
	for (unsigned code = 0; code < 32; code++) {
		const bool exists = !((code & 2) && (code & 16)) && (code & 9) != 8;

		if (exists != (codes[code] > 0))
			fail_msg("error code %#x seen %u times", code, codes[code]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_paging_an_address_is_itself),
		cmocka_unit_test(four_levels_are_walked_and_marked),
		cmocka_unit_test(large_pages_of_long_mode),
		cmocka_unit_test(not_present_at_each_level),
		cmocka_unit_test(reserved_bits_at_each_level),
		cmocka_unit_test(user_and_write_rights),
		cmocka_unit_test(execute_rights),
		cmocka_unit_test(smep_and_smap),
		cmocka_unit_test(canonical_form_and_five_levels),
		cmocka_unit_test(legacy_32_bit_paging),
		cmocka_unit_test(pae_paging),
		cmocka_unit_test(an_unreachable_table_is_a_nested_fault),
		cmocka_unit_test(a_changed_entry_is_walked_anew),
		cmocka_unit_test(each_entry_is_read_once),
		cmocka_unit_test(a_copy_crosses_pages),
		cmocka_unit_test(a_copy_tells_where_it_failed),
		cmocka_unit_test(random_tables_agree_with_the_oracle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
