/* SPDX-License-Identifier: BSD-2-Clause */
#include "arch/x86/guest_walk.h"

#define CR0_WP	  BIT(16)
#define CR0_PG	  BIT(31)
#define CR4_PSE	  BIT(4)
#define CR4_PAE	  BIT(5)
#define CR4_LA57  BIT(12)
#define CR4_SMEP  BIT(20)
#define CR4_SMAP  BIT(21)
#define EFER_LMA  BIT(10)
#define EFER_NXE  BIT(11)
#define RFLAGS_AC BIT(18)

#define ENTRY_P	 BIT(0)
#define ENTRY_W	 BIT(1)
#define ENTRY_U	 BIT(2)
#define ENTRY_A	 BIT(5)
#define ENTRY_D	 BIT(6)
#define ENTRY_PS BIT(7)
#define ENTRY_NX BIT(63)

#define BITS(high, low) ((~0ul >> (63 - (high))) & (~0ul << (low)))

enum paging { PAGING_32, PAGING_PAE, PAGING_4_LEVEL };

static const struct {
	u8 levels;
	u8 index_bits;
	u8 entry_bytes;
} formats[] = {
	[PAGING_32] = {2, 10, 4},
	[PAGING_PAE] = {3, 9, 8},
	[PAGING_4_LEVEL] = {4, 9, 8},
};

/* What all entries on the way said, joined. */
struct rights {
	bool write, user, execute;
};

struct used_entry {
	u64 raw_gpa;
	u64 value;
};

static enum paging paging_of(const struct guest_mmu *mmu)
{
	if (mmu->efer & EFER_LMA)
		return PAGING_4_LEVEL;
	return (mmu->cr4 & CR4_PAE) ? PAGING_PAE : PAGING_32;
}

static bool nx_enabled(const struct guest_mmu *mmu)
{
	return (mmu->efer & EFER_NXE) && paging_of(mmu) != PAGING_32;
}

static bool is_user(const struct guest_mmu *mmu, unsigned access)
{
	return mmu->cpl == 3 && !(access & WALK_IMPLICIT);
}

static u64 address_bits(const struct guest_mmu *mmu)
{
	return (BITS(mmu->phys_bits - 1, 0) | mmu->extra_bits) & BITS(51, 12);
}

static bool is_leaf(const struct guest_mmu *mmu, enum paging paging, unsigned shift, u64 entry)
{
	if (shift == PAGE_SHIFT)
		return true;
	if (!(entry & ENTRY_PS))
		return false;
	if (paging == PAGING_32)
		return (mmu->cr4 & CR4_PSE) != 0;
	/* elsewhere at these levels the bit is reserved */
	return shift == 21 || (shift == 30 && paging == PAGING_4_LEVEL && mmu->gib_pages);
}

/* The bits that must be zero in a present entry which maps 1 << shift bytes. */
static u64 reserved_bits(const struct guest_mmu *mmu, enum paging paging, unsigned shift, bool leaf)
{
	u64 reserved;

	if (paging == PAGING_32) {
		if (!leaf || shift == PAGE_SHIFT)
			return 0;
		/* bits 20:13 are address bits 39:32 as far as those exist */
		return mmu->phys_bits >= 40 ? BIT(21) : BITS(21, mmu->phys_bits - 32 + 13);
	}

	reserved = BITS(51, 12) & ~address_bits(mmu);
	if (!nx_enabled(mmu))
		reserved |= ENTRY_NX;
	if (paging == PAGING_PAE)
		reserved |= BITS(62, 52);
	if (paging == PAGING_PAE && shift == 30)
		return reserved | ENTRY_NX | BITS(8, 5) | BITS(2, 1);
	if (leaf && shift > PAGE_SHIFT)
		return reserved | BITS(shift - 1, 13);
	return leaf || shift == 21 ? reserved : reserved | ENTRY_PS;
}

static u64 leaf_address(const struct guest_mmu *mmu, enum paging paging, unsigned shift, u64 entry)
{
	if (paging == PAGING_32 && shift == 22)
		return (entry & BITS(31, 22)) | (entry & BITS(20, 13)) << (32 - 13);
	if (paging == PAGING_32)
		return entry & BITS(31, 12);
	return entry & address_bits(mmu) & BITS(51, shift);
}

static u64 first_table(const struct guest_mmu *mmu, enum paging paging)
{
	switch (paging) {
	case PAGING_32:
		return mmu->cr3 & BITS(31, 12);
	case PAGING_PAE:
		return mmu->cr3 & BITS(31, 5);
	default:
		return mmu->cr3 & address_bits(mmu);
	}
}

static u32 fault_code(const struct guest_mmu *mmu, unsigned access)
{
	u64 code = 0;

	if (access & WALK_WRITE)
		code |= PF_WRITE;
	if (is_user(mmu, access))
		code |= PF_USER;
	if ((access & WALK_FETCH) && (nx_enabled(mmu) || (mmu->cr4 & CR4_SMEP)))
		code |= PF_FETCH;
	return (u32)code;
}

/* SDM Vol 3, 4.6.1 */
static bool permitted(const struct guest_mmu *mmu, unsigned access, const struct rights *rights)
{
	if ((access & WALK_FETCH) && !rights->execute)
		return false;
	if (is_user(mmu, access))
		return rights->user && (rights->write || !(access & WALK_WRITE));

	if (rights->user && (access & WALK_FETCH))
		return !(mmu->cr4 & CR4_SMEP);
	if (rights->user && (mmu->cr4 & CR4_SMAP)) {
		/* RFLAGS.AC lifts SMAP for the program's own accesses only, and CPL 3 has none here
		 */
		if ((access & WALK_IMPLICIT) || !(mmu->rflags & RFLAGS_AC))
			return false;
	}
	return rights->write || !(access & WALK_WRITE) || !(mmu->cr0 & CR0_WP);
}

static bool read_entry(const struct guest_mmu *mmu, u64 raw_gpa, unsigned bytes, u64 *entry)
{
	u32 narrow;

	if (bytes == 8)
		return mmu->ops->read(mmu->context, raw_gpa, entry, 8);
	if (!mmu->ops->read(mmu->context, raw_gpa, &narrow, 4))
		return false;
	*entry = narrow;
	return true;
}

static enum walk_status nested(struct guest_walk *walk, u64 raw_gpa, bool write, bool table)
{
	walk->raw_gpa = raw_gpa;
	walk->nested_write = write;
	walk->nested_table = table;
	return WALK_NESTED;
}

static enum walk_status page_fault(struct guest_walk *walk, u32 code)
{
	walk->error_code = code;
	return WALK_PAGE_FAULT;
}

/* Sets what is missing of accessed and dirty in the entries of one walk, the leaf last. */
static enum walk_status mark_used(const struct guest_mmu *mmu, const struct used_entry *used,
				  unsigned count, unsigned bytes, bool dirty,
				  struct guest_walk *walk)
{
	for (unsigned i = 0; i < count; i++) {
		const u64 old = used[i].value;
		const u64 new = old | ENTRY_A | (dirty && i == count - 1 ? ENTRY_D : 0);
		bool swapped;

		if (new == old)
			continue;
		if (!mmu->ops->cmpxchg(mmu->context, used[i].raw_gpa, bytes, old, new, &swapped))
			return nested(walk, used[i].raw_gpa, true, true);
		if (!swapped)
			return WALK_RACED;
	}
	return WALK_OK;
}

static enum walk_status walk_once(const struct guest_mmu *mmu, u64 gva, unsigned access,
				  struct guest_walk *walk)
{
	const enum paging paging = paging_of(mmu);
	const unsigned index_bits = formats[paging].index_bits;
	const unsigned bytes = formats[paging].entry_bytes;
	const u32 code = fault_code(mmu, access);
	unsigned shift = PAGE_SHIFT + index_bits * formats[paging].levels;
	struct rights rights = {.write = true, .user = true, .execute = true};
	struct used_entry used[4];
	unsigned used_count = 0;
	u64 table = first_table(mmu, paging);
	enum walk_status status;

	for (;;) {
		u64 entry, slot, index;
		bool registers, leaf;

		shift -= index_bits;
		index = (gva >> shift) & (BIT(index_bits) - 1);
		slot = table + index * bytes;
		registers = paging == PAGING_PAE && shift == 30;
		if (registers && mmu->pdpte)
			entry = mmu->pdpte[index & 3];
		else if (!read_entry(mmu, slot, bytes, &entry))
			return nested(walk, slot, false, true);

		if (!(entry & ENTRY_P))
			return page_fault(walk, code);
		leaf = is_leaf(mmu, paging, shift, entry);
		if (entry & reserved_bits(mmu, paging, shift, leaf))
			return page_fault(walk, code | (u32)(PF_PRESENT | PF_RESERVED));
		if (!registers) {
			/* a PDPTE of PAE has neither rights nor an accessed bit */
			rights.write &= (entry & ENTRY_W) != 0;
			rights.user &= (entry & ENTRY_U) != 0;
			rights.execute &= !(nx_enabled(mmu) && (entry & ENTRY_NX));
			used[used_count++] = (struct used_entry){slot, entry};
		}
		table = leaf_address(mmu, paging, leaf ? shift : PAGE_SHIFT, entry);
		if (leaf)
			break;
	}
	if (!permitted(mmu, access, &rights))
		return page_fault(walk, code | (u32)PF_PRESENT);

	status = mark_used(mmu, used, used_count, bytes, (access & WALK_WRITE) != 0, walk);
	if (status != WALK_OK)
		return status;
	walk->raw_gpa = table | (gva & (BIT(shift) - 1));
	walk->page_shift = (u8)shift;
	return WALK_OK;
}

enum walk_status guest_walk(const struct guest_mmu *mmu, u64 gva, unsigned access,
			    struct guest_walk *walk)
{
	const bool wide = (mmu->efer & EFER_LMA) != 0;

	if (!wide)
		gva = (u32)gva;
	*walk = (struct guest_walk){.gva = gva};
	if (!(mmu->cr0 & CR0_PG)) {
		walk->raw_gpa = gva;
		walk->page_shift = PAGE_SHIFT;
		return WALK_OK;
	}
	if (wide && (mmu->cr4 & CR4_LA57))
		return WALK_UNSUPPORTED;
	if (wide && (u64)((s64)(gva << 16) >> 16) != gva)
		return WALK_NONCANONICAL;

	for (unsigned i = 0; i < WALK_TRIES; i++) {
		const enum walk_status status = walk_once(mmu, gva, access, walk);

		if (status != WALK_RACED)
			return status;
	}
	return WALK_RACED;
}

static unsigned bytes_in_page(u64 gva, unsigned bytes)
{
	return (unsigned)MIN(PAGE_SIZE - (gva & (PAGE_SIZE - 1)), bytes);
}

enum walk_status gva_read(const struct guest_mmu *mmu, u64 gva, void *to, unsigned bytes,
			  unsigned access, struct guest_walk *walk, unsigned *done)
{
	*done = 0;
	*walk = (struct guest_walk){.gva = gva};
	if (bytes > PAGE_SIZE)
		return WALK_UNSUPPORTED;
	while (*done < bytes) {
		const unsigned count = bytes_in_page(gva + *done, bytes - *done);
		const enum walk_status status = guest_walk(mmu, gva + *done, access, walk);

		if (status != WALK_OK)
			return status;
		if (!mmu->ops->read(mmu->context, walk->raw_gpa, (u8 *)to + *done, count))
			return nested(walk, walk->raw_gpa, false, false);
		*done += count;
	}
	return WALK_OK;
}

enum walk_status gva_write(const struct guest_mmu *mmu, u64 gva, const void *from, unsigned bytes,
			   unsigned access, struct guest_walk *walk, unsigned *done)
{
	const unsigned first = bytes_in_page(gva, bytes);
	struct guest_walk pages[2];
	unsigned count = 0;

	*done = 0;
	*walk = (struct guest_walk){.gva = gva};
	if (bytes > PAGE_SIZE)
		return WALK_UNSUPPORTED;
	for (unsigned at = 0; at < bytes; at = count == 1 ? first : bytes) {
		const enum walk_status status =
			guest_walk(mmu, gva + at, access | (unsigned)WALK_WRITE, walk);

		if (status != WALK_OK)
			return status;
		pages[count++] = *walk;
	}
	for (unsigned i = 0; i < count; i++) {
		const unsigned n = i == 0 ? first : bytes - first;

		*walk = pages[i];
		if (!mmu->ops->write(mmu->context, walk->raw_gpa, (const u8 *)from + *done, n))
			return nested(walk, walk->raw_gpa, true, false);
		*done += n;
	}
	return WALK_OK;
}
