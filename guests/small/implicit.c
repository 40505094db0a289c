/* SPDX-License-Identifier: BSD-2-Clause */
/* Bodies that touch pages as what they are not. All need a SHARED bit. */
#include "guests/small/guest.h"

#define BLOCK 0x800000ul
#define PAGE  (BLOCK + 37 * PAGE_SIZE)

static u64 machine_check_address(void)
{
	u64 status = 0;
	u64 address = 0;

	REQUIRE(trap_last.vector == VECTOR_MC);
	REQUIRE(probe_msr_read(MSR_MCG_STATUS, &status) && (status & 4)); /* MCIP */
	REQUIRE(probe_msr_read(MSR_MC0_STATUS, &status));
	REQUIRE(status >> 63 & 1); /* valid */
	REQUIRE(status >> 61 & 1); /* uncorrected */
	REQUIRE(status >> 58 & 1); /* the address is valid */
	REQUIRE(probe_msr_read(MSR_MC0_ADDR, &address));
	msr_write(MSR_MC0_STATUS, 0);
	msr_write(MSR_MCG_STATUS, 0);
	return address;
}

/* One page of a private 2 MiB to shared and back, by mere access. */
BODY(implicit_page)
{
	for (u64 at = BLOCK; at < BLOCK + LARGE_SIZE; at += PAGE_SIZE)
		*word_at(at) = at;
	step(1);
	*shared_word(PAGE + 0x128) = 0xbeef;
	REQUIRE(*shared_word(PAGE + 0x128) == 0xbeef);
	for (u64 at = BLOCK; at < BLOCK + LARGE_SIZE; at += PAGE_SIZE)
		if (at != PAGE)
			REQUIRE(*word_at(at) == at);
	step(2);
	REQUIRE(*word_at(PAGE + 0x550) == 0);
	REQUIRE(*word_at(PAGE) == 0);
	*word_at(PAGE) = 0xcafe;
	step(3);
	REQUIRE(*word_at(PAGE) == 0xcafe);
	/* .. and a private access inside 2 MiB that are shared. */
	REQUIRE(make_shared(BLOCK, LARGE_SIZE) == 0);
	for (u64 at = BLOCK; at < BLOCK + LARGE_SIZE; at += PAGE_SIZE)
		*shared_word(at) = ~at;
	*word_at(PAGE) = 1;
	REQUIRE(*word_at(PAGE) == 1);
	for (u64 at = BLOCK; at < BLOCK + LARGE_SIZE; at += PAGE_SIZE)
		if (at != PAGE)
			REQUIRE(*shared_word(at) == ~at);
}

/* The manager answers one access by converting the whole 2 MiB. */
BODY(implicit_block)
{
	step(1);
	*shared_word(BLOCK + 8) = 1;
	for (u64 at = BLOCK; at < BLOCK + LARGE_SIZE; at += PAGE_SIZE)
		*shared_word(at) = at;
	step(2);
	REQUIRE(*word_at(BLOCK + 3 * PAGE_SIZE) == 0);
	for (u64 at = BLOCK; at < BLOCK + LARGE_SIZE; at += PAGE_SIZE) {
		REQUIRE(*word_at(at) == 0);
		*word_at(at) = at;
	}
	step(3);
	for (u64 at = BLOCK; at < BLOCK + LARGE_SIZE; at += PAGE_SIZE)
		REQUIRE(*word_at(at) == at);
}

/* Each access is denied: a machine check that names the address, RIP at the access. */
BODY(denied)
{
	u64 before;
	u64 value;

	*word_at(BLOCK) = 0x5ec;
	REQUIRE(!probe_read(shared_alias(BLOCK + 0x20), &value));
	REQUIRE((machine_check_address() & ~0xffful) == BLOCK);
	REQUIRE(!probe_write(shared_alias(BLOCK + 0x20), 1));
	REQUIRE((machine_check_address() & ~0xffful) == BLOCK);
	REQUIRE(*word_at(BLOCK) == 0x5ec && *word_at(BLOCK + 0x20) == 0);
	REQUIRE(make_shared(BLOCK, PAGE_SIZE) == 0);
	*shared_word(BLOCK) = 0x7e57;
	before = trap_last.rip;
	REQUIRE(!probe_write((void *)(BLOCK + 8), 1));
	REQUIRE(trap_last.rip == before); /* the same instruction */
	REQUIRE((machine_check_address() & ~0xffful) == BLOCK);
	REQUIRE(*shared_word(BLOCK) == 0x7e57 && *shared_word(BLOCK + 8) == 0);
}

static bool return_to_it(struct trap_frame *frame)
{
	(void)frame;
	msr_write(MSR_MCG_STATUS, 0); /* a second one while MCIP is set would be a shutdown */
	return true;
}

/* Comes back to the denied access for ever. */
BODY(loops)
{
	trap_handlers[VECTOR_MC] = return_to_it;
	*shared_word(BLOCK) = 1;
	guest_fail(__FILE__, __LINE__, "the access was let through");
}

/* ---- page tables and CR3 on the wrong side */

#define TABLES 0xa00000ul    /* three pages: PDPT, PD, PT */
#define FAR    (200ul << 39) /* a part of the address space with tables of its own */

extern u64 guest_pml4[512];

static bool fill_in(struct trap_frame *frame)
{
	volatile u64 *pdpt = word_at(TABLES);

	(void)frame;
	if (pdpt[0])
		return false;
	pdpt[0] = (TABLES + PAGE_SIZE) | PTE_P | PTE_W;
	return true;
}

BODY(tables)
{
	u64 bit = 1ul << guest.shared_bit;
	u64 old = cr3_read();
	u64 value;

	/* Private tables where the page is shared: after the conversion they are empty. */
	REQUIRE(make_shared(TABLES, PAGE_SIZE) == 0);
	*word_at(TABLES + PAGE_SIZE) = BLOCK | PTE_P | PTE_W | PTE_PS;
	*word_at(BLOCK) = 0xfa2;
	guest_pml4[200] = TABLES | PTE_P | PTE_W;
	trap_handlers[VECTOR_PF] = fill_in;
	step(1);
	REQUIRE(*word_at(FAR) == 0xfa2);
	trap_handlers[VECTOR_PF] = NULL;
	guest_pml4[200] = 0;
	/* Shared tables where the page is private: their shared content counts after it. */
	REQUIRE(make_shared(TABLES, 2 * PAGE_SIZE) == 0);
	*shared_word(TABLES) = (TABLES + PAGE_SIZE) | bit | PTE_P | PTE_W;
	*shared_word(TABLES + PAGE_SIZE) = BLOCK | PTE_P | PTE_W | PTE_PS;
	REQUIRE(make_private(TABLES, 2 * PAGE_SIZE) == 0);
	guest_pml4[200] = TABLES | bit | PTE_P | PTE_W;
	cr3_write(old);
	step(2);
	REQUIRE(*word_at(FAR) == 0xfa2);
	/* CR3 itself. */
	REQUIRE(make_shared(TABLES, PAGE_SIZE) == 0);
	for (u64 i = 0; i < 512; i++)
		shared_word(TABLES)[i] = guest_pml4[i];
	REQUIRE(make_private(TABLES, PAGE_SIZE) == 0);
	guest_pml4[200] = 0;
	step(3);
	cr3_write(TABLES | bit);
	value = *word_at(BLOCK);
	REQUIRE(value == 0xfa2 && cr3_read() == (TABLES | bit));
	cr3_write(old);
}

/* ---- two vCPUs */

static void stale_second(void)
{
	step(11);
	REQUIRE(make_private(PAGE, PAGE_SIZE) == 0);
	*word_at(PAGE) = 0x2222;
	step(12);
	REQUIRE(make_shared(PAGE, PAGE_SIZE) == 0);
	step(13);
	guest_exit(0);
}

/* vCPU 0 accesses PAGE as private while it is shared; meanwhile vCPU 1 converts it explicitly. */
BODY_WITH_AP(stale, stale_second)
{
	u64 value;

	REQUIRE(make_shared(PAGE, PAGE_SIZE) == 0);
	step(1);
	value = *word_at(PAGE);
	step((u32)value);
	*word_at(PAGE + 8) = 1;
	step(3);
}
