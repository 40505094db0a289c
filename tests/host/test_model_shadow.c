/* sources: mm/?*.c model/rmp.c model/cipher.c model/shadow.c model/access.c tests/host/fake.c */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The SNP model's access checks, one by one (APM Vol. 2, table 15-39), and what lies in memory: the
 * client's nested table and the RMP on one side, leaves and forms on the other. */
#include "tests/host/fake.h"

#include "arch/x86/smp.h"
#include "model/cipher.h"
#include "model/rmp.h"
#include "model/shadow.h"

#define RAM	8192ul
#define COVERED 3072ul
#define TABLES	3500ul /* the client's nested table lies here */
#define SMALL	100ul  /* gfn = frame of pages that are mapped by 4 KiB */
#define LARGE	1024ul /* .. by one leaf of 2 MiB */
#define LARGE2	1536ul /* .. by another */
#define ABOVE	3100ul /* .. but not covered by the RMP */
#define C	(1ul << 47)

#define P     0x1ul
#define W     0x2ul
#define U     0x4ul
#define RSV   0x8ul
#define I     0x10ul
#define FINAL (1ul << 32)
#define WALK  (1ul << 33)

static const struct cipher_key key = {{11, 22, 33, 44}};
static struct view snp, sev;
static struct space *space;
static unsigned self;

unsigned cpu_self(void)
{
	return self;
}

static u64 *entry_of(u64 gfn, unsigned level)
{
	if (level == 1)
		return (u64 *)fake_frame(pfn(TABLES + 2)) + gfn / 512;
	return (u64 *)fake_frame(pfn(TABLES + 3 + gfn / 512)) + gfn % 512;
}

static u64 link_to(u64 frame)
{
	return frame * PAGE_SIZE | 7;
}

static void nested_map_small(u64 gfn, u64 frame, u64 flags)
{
	*entry_of(gfn, 1) = link_to(TABLES + 3 + gfn / 512);
	*entry_of(gfn, 0) = frame * PAGE_SIZE | flags;
}

static int setup(void **state)
{
	u64 pages = (RMP_HEADER + COVERED * RMP_ENTRY_SIZE) / PAGE_SIZE;
	u64 base;

	(void)state;
	fake_start(RAM, &nested_format_npt);
	fake_kick_hook = NULL;
	shadow_setup(RAM, 47, 48);
	base = own_pfn(own_alloc(pages)).n * PAGE_SIZE;
	assert_true(fake_root_end() > COVERED + 1024);
	rmp_enable(base, base + pages * PAGE_SIZE - 1);
	*(u64 *)fake_frame(pfn(TABLES)) = link_to(TABLES + 1);
	*(u64 *)fake_frame(pfn(TABLES + 1)) = link_to(TABLES + 2);
	for (u64 i = 0; i < 32; i++) {
		nested_map_small(SMALL + i, SMALL + i, 7);
		nested_map_small(ABOVE + i, ABOVE + i, 7);
	}
	*entry_of(LARGE, 1) = LARGE * PAGE_SIZE | 0x87;
	*entry_of(LARGE2, 1) = LARGE2 * PAGE_SIZE | 0x87;
	snp = (struct view){.asid = 1, .snp = true, .es = true, .ncr3 = TABLES * PAGE_SIZE};
	sev = (struct view){.asid = 25, .ncr3 = TABLES * PAGE_SIZE};
	self = 0;
	cipher_key_set(1, &key);
	cipher_key_set(25, &key);
	rmp_lock();
	space = shadow_space(0, &snp);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rmp_unlock();
	cipher_key_clear(1);
	cipher_key_clear(25);
	fake_stop();
	return 0;
}

/* Owned by ASID 1 at its own gfn and validated, but for what `change` says. */
static struct rmp_entry entry_for(u64 frame, bool large)
{
	return (struct rmp_entry){
		.gpa = frame * PAGE_SIZE,
		.asid = 1,
		.assigned = true,
		.large = large,
		.validated = true,
		.perms = {RMP_ALL},
	};
}

static void own(u64 frame, bool large)
{
	struct rmp_entry e = entry_for(frame, large);

	rmp_set(pfn(frame), &e);
}

static u64 nothing_yet = ~0ul;

/* The result as one number: 0 OK, 0x404 or 0x400 #VC, else the error code of the fault. */
static u64 access_as(struct space *s, const struct view *view, u64 raw_gpa, unsigned access)
{
	struct shadow_reply reply = {.error = nothing_yet};
	enum shadow_result result = shadow_access(s, view, raw_gpa, access, &reply);

	if (result == SHADOW_OK)
		return 0;
	assert_true((result == SHADOW_VC) == (reply.error == 0x404 || reply.error == 0x400));
	return reply.error;
}

static u64 access_snp(u64 raw_gpa, unsigned access)
{
	return access_as(space, &snp, raw_gpa, access);
}

/* The entry that the CPU walks to. */
#define NX (1ul << 63)
static u64 leaf_of(u64 raw_page)
{
	u64 table = shadow_root(space).n * PAGE_SIZE;

	for (unsigned level = 3;; level--) {
		u64 entry =
			((u64 *)fake_frame(pfn(table / PAGE_SIZE)))[raw_page >> 9 * level & 511];

		if (level == 0 || !(entry & 1) || (entry & 0x80))
			return entry;
		table = entry & 0x000ffffffffff000ul;
	}
}

static void private_accesses_are_checked_in_order(void **state)
{
	static const struct {
		const char *what;
		struct rmp_entry entry;
		u64 error;
	} rows[] = {
		{"all is well", {.assigned = true, .asid = 1, .validated = true}, 0},
		{"not assigned", {.assigned = false}, NPF_RMP},
		{"another guest's", {.assigned = true, .asid = 2, .validated = true}, NPF_RMP},
		{"the firmware's", {.assigned = true, .asid = 0}, NPF_RMP},
		{"another gpa",
		 {.assigned = true, .asid = 1, .gpa = 0x1000, .validated = true},
		 NPF_RMP},
		{"immutable",
		 {.assigned = true, .asid = 1, .immutable = true, .validated = true},
		 NPF_RMP},
		{"not validated", {.assigned = true, .asid = 1}, 0x404},
		{"not validated, another gpa",
		 {.assigned = true, .asid = 1, .gpa = 0x1000},
		 NPF_RMP},
		{"another's, another gpa", {.assigned = true, .asid = 2, .gpa = 0x1000}, NPF_RMP},
	};
	static const struct {
		u64 bit;
		unsigned access;
		u64 error;
	} kinds[] = {
		{C, 0, P | U | FINAL | NPF_ENC},
		{C, ACCESS_WRITE, P | W | U | FINAL | NPF_ENC},
		{C, ACCESS_FETCH, P | U | I | FINAL | NPF_ENC},
		{C, ACCESS_WALK, P | W | U | WALK | NPF_ENC},
		/* private whatever the C-bit says */
		{0, ACCESS_FETCH, P | U | I | FINAL | NPF_ENC},
		{0, ACCESS_WALK, P | W | U | WALK | NPF_ENC},
	};

	(void)state;
	for (unsigned k = 0; k < ARRAY_COUNT(kinds); k++) {
		for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
			struct rmp_entry e = rows[i].entry;
			u64 wanted = rows[i].error, got;

			if (e.gpa == 0)
				e.gpa = SMALL * PAGE_SIZE;
			rmp_set(pfn(SMALL), &e);
			if (wanted != 0 && wanted != 0x404)
				wanted |= kinds[k].error;
			got = access_snp(SMALL * PAGE_SIZE | 0x123 | kinds[k].bit, kinds[k].access);
			if (got != wanted)
				fail_msg("%s, kind %u: %lx, not %lx", rows[i].what, k, got, wanted);
		}
	}
}

static void what_the_table_does_not_cover_is_nobodys(void **state)
{
	(void)state;
	assert_int_equal(access_snp(ABOVE * PAGE_SIZE | C, 0), P | U | FINAL | NPF_ENC | NPF_RMP);
	assert_int_equal(access_snp(ABOVE * PAGE_SIZE, ACCESS_WRITE), 0);
}

static void sizes_must_agree(void **state)
{
	u64 error = P | W | U | FINAL | NPF_ENC | NPF_RMP;

	(void)state;
	own(LARGE, true);
	assert_int_equal(access_snp((LARGE + 7) * PAGE_SIZE | C, ACCESS_WRITE), 0);
	/* nested 2 MiB, entries of 4 KiB */
	own(LARGE2, false);
	assert_int_equal(access_snp(LARGE2 * PAGE_SIZE | C, ACCESS_WRITE), error);
	/* nested 4 KiB, an entry of 2 MiB */
	nested_map_small(LARGE + 7, LARGE + 7, 7);
	shadow_flush(0, 1, TABLES * PAGE_SIZE);
	assert_int_equal(access_snp((LARGE + 7) * PAGE_SIZE | C, ACCESS_WRITE), error);
	/* The size is looked at before validation. */
	rmp_smash(pfn(LARGE));
	*entry_of(LARGE, 1) = LARGE * PAGE_SIZE | 0x87;
	assert_int_equal(access_snp((LARGE + 8) * PAGE_SIZE | C, ACCESS_WRITE), error);
}

static void vmpl_permissions(void **state)
{
	static const struct {
		u8 perms;
		bool read, write, fetch;
	} rows[] = {
		{0, false, false, false},
		{RMP_READ, true, false, false},
		{RMP_READ | RMP_WRITE, true, true, false},
		{RMP_READ | RMP_EXEC_S, true, false, true},
		{RMP_WRITE, false, false, false},
		{RMP_ALL, true, true, true},
	};
	struct view lower = snp;
	struct space *s;

	(void)state;
	lower.vmpl = 2;
	s = shadow_space(0, &lower);
	for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
		struct rmp_entry e = entry_for(SMALL, false);
		u64 at = SMALL * PAGE_SIZE | C,
		    refused = NPF_RMP | NPF_VMPL | NPF_ENC | P | U | FINAL;

		e.perms[2] = rows[i].perms;
		rmp_set(pfn(SMALL), &e);
		assert_int_equal(access_as(s, &lower, at, 0), rows[i].read ? 0 : refused);
		assert_int_equal(access_as(s, &lower, at, ACCESS_WRITE),
				 rows[i].write ? 0 : refused | W);
		assert_int_equal(access_as(s, &lower, at, ACCESS_FETCH),
				 rows[i].fetch ? 0 : refused | I);
		/* VMPL0 has all rights. */
		assert_int_equal(access_snp(at, ACCESS_WRITE), 0);
		/* Validation comes first. */
		e.validated = false;
		rmp_set(pfn(SMALL), &e);
		assert_int_equal(access_as(s, &lower, at, ACCESS_WRITE), 0x404);
	}
}

static void shared_accesses(void **state)
{
	u64 at = SMALL * PAGE_SIZE;

	(void)state;
	assert_int_equal(access_snp(at, 0), 0);
	assert_int_equal(access_snp(at, ACCESS_WRITE), 0);
	own(SMALL, false);
	/* A read is not checked; a write is. */
	assert_int_equal(access_snp(at, 0), 0);
	assert_int_equal(access_snp(at, ACCESS_WRITE), P | W | U | FINAL | NPF_RMP);
	/* A shared leaf is never one to fetch or to walk through. */
	assert_int_equal(access_snp(at + PAGE_SIZE, 0), 0);
	assert_int_equal(access_snp(at + PAGE_SIZE, ACCESS_FETCH),
			 P | U | I | FINAL | NPF_ENC | NPF_RMP);
	/* All 512 frames of a large translation. */
	assert_int_equal(access_snp(LARGE * PAGE_SIZE, ACCESS_WRITE), 0);
	assert_int_equal(leaf_of(LARGE), LARGE * PAGE_SIZE | 0xe7 | NX);
	/* again, after a flush */
	shadow_flush(0, 1, TABLES * PAGE_SIZE);
	assert_int_equal(access_snp(LARGE * PAGE_SIZE, ACCESS_WRITE), 0);
	assert_int_equal(leaf_of(LARGE), LARGE * PAGE_SIZE | 0xe7 | NX);
	shadow_flush(0, 1, TABLES * PAGE_SIZE);
	own(LARGE + 300, false);
	assert_int_equal(access_snp(LARGE * PAGE_SIZE, ACCESS_WRITE), P | W | U | FINAL | NPF_RMP);
	assert_int_equal(access_snp(LARGE * PAGE_SIZE, 0), 0);
}

static void a_flush_takes_away_what_the_table_no_longer_gives(void **state)
{
	static const struct {
		u64 frame, flags;
	} edits[] = {
		{SMALL, 0}, {SMALL + 1, 7},	    {SMALL, 5}, {SMALL, 7 | 1ul << 63},
		{SMALL, 3}, {SMALL, 7 | 1ul << 51},
	};
	u64 raw = SMALL | C >> PAGE_SHIFT;

	(void)state;
	own(SMALL, false);
	for (unsigned i = 0; i < ARRAY_COUNT(edits); i++) {
		nested_map_small(SMALL, SMALL, 7);
		assert_int_equal(access_snp(SMALL * PAGE_SIZE | C, ACCESS_WRITE), 0);
		shadow_flush(0, 1, TABLES * PAGE_SIZE);
		assert_int_not_equal(leaf_of(raw), 0); /* nothing has changed */
		nested_map_small(SMALL, edits[i].frame, edits[i].flags);
		assert_int_not_equal(leaf_of(raw), 0);
		shadow_flush(0, 1, TABLES * PAGE_SIZE);
		assert_int_equal(leaf_of(raw), 0);
	}
	/* another table altogether */
	nested_map_small(SMALL, SMALL, 7);
	assert_int_equal(access_snp(SMALL * PAGE_SIZE | C, ACCESS_WRITE), 0);
	shadow_flush(0, 1, (TABLES + 20) * PAGE_SIZE);
	assert_int_equal(leaf_of(raw), 0);
	/* large becomes small, and the other way round */
	shadow_flush(0, 1, TABLES * PAGE_SIZE);
	own(LARGE, true);
	assert_int_equal(access_snp((LARGE + 5) * PAGE_SIZE | C, ACCESS_WRITE), 0);
	nested_map_small(LARGE, LARGE, 7);
	shadow_flush(0, 1, TABLES * PAGE_SIZE);
	assert_int_equal(leaf_of(LARGE | C >> PAGE_SHIFT), 0);
	rmp_smash(pfn(LARGE));
	assert_int_equal(access_snp(LARGE * PAGE_SIZE | C, ACCESS_WRITE), 0);
	*entry_of(LARGE, 1) = LARGE * PAGE_SIZE | 0x87;
	shadow_flush(0, 1, TABLES * PAGE_SIZE);
	assert_int_equal(leaf_of(LARGE | C >> PAGE_SHIFT), 0);
	/* many leaves: all of them go */
	for (u64 i = 0; i < 32; i++) {
		own(SMALL + i, false);
		assert_int_equal(access_snp((SMALL + i) * PAGE_SIZE | C, 0), 0);
		assert_int_equal(access_snp((SMALL + i) * PAGE_SIZE, ACCESS_WALK), 0);
		assert_int_equal(access_snp((SMALL + i) * PAGE_SIZE, ACCESS_FETCH), 0);
		assert_int_equal(access_snp((ABOVE + i) * PAGE_SIZE, 0), 0);
	}
	shadow_flush(0, 1, TABLES * PAGE_SIZE);
	for (u64 i = 0; i < 32; i++)
		assert_int_equal(leaf_of(SMALL + i) | leaf_of(ABOVE + i), 0);
}

static void a_block_that_is_plain_stays_so_until_one_page_changes(void **state)
{
	(void)state;
	own(LARGE, true);
	assert_int_equal(access_snp(LARGE * PAGE_SIZE | C, ACCESS_WRITE), 0);
	assert_int_equal(leaf_of(LARGE | C >> PAGE_SHIFT), LARGE * PAGE_SIZE | 0x2e7);
	shadow_flush(0, 1, TABLES * PAGE_SIZE);
	/* One page of it through the wrong alias, then the block again. */
	assert_int_equal(access_snp((LARGE + 9) * PAGE_SIZE, 0), 0);
	assert_false(shadow_is_plain(pfn(LARGE + 9)));
	assert_true(shadow_is_plain(pfn(LARGE + 8)));
	assert_int_equal(access_snp(LARGE * PAGE_SIZE | C, ACCESS_WRITE), 0);
	assert_true(shadow_is_plain(pfn(LARGE + 9)));
	assert_int_equal(leaf_of(LARGE + 9), 0);
	shadow_flush(0, 1, TABLES * PAGE_SIZE);
	assert_int_equal(access_snp(LARGE * PAGE_SIZE | C, ACCESS_WRITE), 0);
	assert_int_equal(leaf_of(LARGE | C >> PAGE_SHIFT), LARGE * PAGE_SIZE | 0x2e7);
}

static void leaves_give_what_was_asked_and_no_more(void **state)
{
	u64 at = SMALL * PAGE_SIZE;

	(void)state;
	assert_int_equal(access_snp(at, 0), 0);
	assert_int_equal(leaf_of(SMALL), at | 0x67 | NX);
	own(SMALL, false);
	assert_int_equal(leaf_of(SMALL), 0);
	assert_int_equal(access_snp(at, 0), 0);
	assert_int_equal(leaf_of(SMALL), at | 0x65 | NX);
	assert_int_equal(access_snp(at | C, 0), 0);
	assert_int_equal(leaf_of(SMALL), 0);
	assert_int_equal(leaf_of(SMALL | C >> PAGE_SHIFT), at | 0x267);
	/* for a fetch, for a walk, at the address without the bit */
	assert_int_equal(access_snp(at, ACCESS_FETCH), 0);
	assert_int_equal(leaf_of(SMALL), at | 0x265);
	assert_int_equal(access_snp(at, ACCESS_WALK), 0);
	assert_int_equal(leaf_of(SMALL), at | 0x267 | NX);
}

static void the_nested_table_comes_first(void **state)
{
	u64 at = SMALL * PAGE_SIZE | C, flags = U | FINAL | NPF_ENC;

	(void)state;
	own(SMALL, false);
	nested_map_small(SMALL, SMALL, 0);
	assert_int_equal(access_snp(at, 0), flags);
	assert_int_equal(access_snp(SMALL * PAGE_SIZE, ACCESS_WRITE), W | U | FINAL);
	nested_map_small(SMALL, SMALL, 5);
	assert_int_equal(access_snp(at, 0), 0);
	assert_int_equal(access_snp(at, ACCESS_WRITE), flags | P | W);
	assert_int_equal(access_snp(at, ACCESS_WALK), (flags & ~FINAL) | P | W | WALK);
	nested_map_small(SMALL, SMALL, 7 | 1ul << 63);
	shadow_flush(0, 1, TABLES * PAGE_SIZE);
	assert_int_equal(access_snp(at, ACCESS_WRITE), 0);
	assert_int_equal(access_snp(at, ACCESS_FETCH), flags | P | I);
	nested_map_small(SMALL, SMALL, 3); /* U = 0 */
	shadow_flush(0, 1, TABLES * PAGE_SIZE);
	assert_int_equal(access_snp(at, 0), flags | P);
	/* A reserved bit: #VC 0x400 with encrypted state, a fault without. */
	nested_map_small(SMALL, SMALL, 7 | 1ul << 51);
	assert_int_equal(access_snp(at & ~C, 0), 0x400);
	assert_int_equal(access_as(shadow_space(0, &sev), &sev, SMALL * PAGE_SIZE, 0),
			 P | U | RSV | FINAL);
}

static void an_edit_shows_only_after_a_flush_but_the_rmp_at_once(void **state)
{
	struct shadow_reply reply;
	u64 at = SMALL * PAGE_SIZE | C;

	(void)state;
	own(SMALL, false);
	assert_int_equal(access_snp(at, ACCESS_WRITE), 0);
	nested_map_small(SMALL, SMALL, 0);
	assert_int_equal(shadow_access(space, &snp, at, ACCESS_WRITE, &reply), SHADOW_OK);
	assert_int_equal(reply.pfn.n, SMALL);
	shadow_flush(1, 1, TABLES * PAGE_SIZE);	 /* another CPU's */
	shadow_flush(0, 25, TABLES * PAGE_SIZE); /* another guest's */
	assert_int_equal(access_snp(at, ACCESS_WRITE), 0);
	shadow_flush(0, 1, TABLES * PAGE_SIZE);
	assert_int_equal(access_snp(at, ACCESS_WRITE), W | U | FINAL | NPF_ENC);
	nested_map_small(SMALL, SMALL, 7);
	assert_int_equal(access_snp(at, ACCESS_WRITE), 0);
	shadow_flush(0, 0, 0);
	nested_map_small(SMALL, SMALL, 0);
	assert_int_equal(access_snp(at, ACCESS_WRITE), W | U | FINAL | NPF_ENC);
	nested_map_small(SMALL, SMALL, 7);
	assert_int_equal(access_snp(at, ACCESS_WRITE), 0);
	rmp_unlock();
	assert_int_equal(rmp_update(hpa(SMALL * PAGE_SIZE), &(struct rmp_state){0}), RMP_OK);
	rmp_lock();
	assert_int_equal(access_snp(at, 0), P | U | FINAL | NPF_ENC | NPF_RMP);
}

/* ---- contents */

static u64 *word(u64 frame)
{
	return fake_frame(pfn(frame));
}

static u64 raw_of(u64 frame, u64 plain)
{
	cipher_bytes(&key, hpa(frame * PAGE_SIZE), &plain, 8);
	return plain;
}

static void private_pages_are_plain_only_where_the_guest_reaches_them(void **state)
{
	(void)state;
	own(SMALL, false);
	*word(SMALL) = raw_of(SMALL, 0x1234);
	assert_int_equal(access_snp(SMALL * PAGE_SIZE | C, 0), 0);
	assert_int_equal(*word(SMALL), 0x1234);
	/* through the wrong alias: cipher text; and back */
	assert_int_equal(access_snp(SMALL * PAGE_SIZE, 0), 0);
	assert_int_equal(*word(SMALL), raw_of(SMALL, 0x1234));
	assert_int_equal(access_snp(SMALL * PAGE_SIZE | C, 0), 0);
	assert_int_equal(*word(SMALL), 0x1234);
	/* A flush alone changes nothing; the RMP and the firmware do. */
	shadow_flush(0, 1, TABLES * PAGE_SIZE);
	assert_true(shadow_is_plain(pfn(SMALL)));
	shadow_evict(pfn(SMALL), 1);
	assert_int_equal(*word(SMALL), raw_of(SMALL, 0x1234));
	assert_int_equal(access_snp(SMALL * PAGE_SIZE | C, 0), 0);
	rmp_set(pfn(SMALL), &(struct rmp_entry){0});
	assert_int_equal(*word(SMALL), raw_of(SMALL, 0x1234));
}

static void a_large_page_is_transformed_as_a_whole(void **state)
{
	(void)state;
	own(LARGE, true);
	for (u64 i = 0; i < 512; i++)
		*word(LARGE + i) = raw_of(LARGE + i, i);
	assert_int_equal(access_snp((LARGE + 100) * PAGE_SIZE | C, ACCESS_WRITE), 0);
	for (u64 i = 0; i < 512; i++)
		assert_int_equal(*word(LARGE + i), i);
	rmp_smash(pfn(LARGE));
	for (u64 i = 0; i < 512; i++)
		assert_int_equal(*word(LARGE + i), raw_of(LARGE + i, i));
}

static void sev_has_two_aliases_and_no_fault(void **state)
{
	struct space *s = shadow_space(0, &sev);
	u64 at = (SMALL + 5) * PAGE_SIZE;

	(void)state;
	assert_int_equal(access_as(s, &sev, at | C, ACCESS_WRITE), 0);
	*word(SMALL + 5) = 77;
	assert_int_equal(access_as(s, &sev, at, ACCESS_WRITE), 0);
	assert_int_equal(*word(SMALL + 5), raw_of(SMALL + 5, 77));
	*word(SMALL + 5) = 88;
	assert_int_equal(access_as(s, &sev, at | C, 0), 0);
	assert_int_equal(*word(SMALL + 5), raw_of(SMALL + 5, 88));
	/* What belongs to an SNP guest it cannot write. */
	own(SMALL + 6, false);
	assert_int_equal(access_as(s, &sev, at + PAGE_SIZE, ACCESS_WRITE),
			 P | W | U | FINAL | NPF_RMP);
	assert_int_equal(access_as(s, &sev, (at + PAGE_SIZE) | C, ACCESS_WRITE),
			 P | W | U | FINAL | NPF_ENC | NPF_RMP);
}

static void a_frame_that_left_an_sev_guest_is_not_touched(void **state)
{
	struct space *s = shadow_space(0, &sev);

	(void)state;
	assert_int_equal(access_as(s, &sev, SMALL * PAGE_SIZE | C, ACCESS_WRITE), 0);
	/* The client takes it away, zeroes it and gives it to somebody else before any flush. */
	nested_map_small(SMALL, SMALL, 0);
	*word(SMALL) = 5;
	own(SMALL, false);
	assert_int_equal(*word(SMALL), 5);
	/* .. who sees it as plain of the other's form no more. */
	assert_false(shadow_is_plain(pfn(SMALL)));
	/* The end of the guest does not change frames of others either. */
	assert_int_equal(access_as(s, &sev, (SMALL + 1) * PAGE_SIZE | C, ACCESS_WRITE), 0);
	*word(SMALL + 1) = 6;
	rmp_unlock();
	cipher_key_clear(25);
	rmp_lock();
	assert_int_equal(*word(SMALL + 1), 6);
	assert_false(shadow_is_plain(pfn(SMALL + 1)));
}

static void the_end_of_an_snp_guest_leaves_cipher_text(void **state)
{
	(void)state;
	own(SMALL, false);
	assert_int_equal(access_snp(SMALL * PAGE_SIZE | C, ACCESS_WRITE), 0);
	*word(SMALL) = 99;
	rmp_unlock();
	cipher_key_clear(1);
	rmp_lock();
	assert_int_equal(*word(SMALL), raw_of(SMALL, 99));
}

static void with_paging_off_everything_is_private(void **state)
{
	struct view off = snp;
	struct space *s;

	(void)state;
	off.unpaged = true;
	s = shadow_space(0, &off);
	assert_ptr_not_equal(s, space);
	own(SMALL, false);
	assert_int_equal(access_as(s, &off, SMALL * PAGE_SIZE, ACCESS_WRITE), 0);
	assert_true(shadow_is_plain(pfn(SMALL)));
	assert_int_equal(access_as(s, &off, (SMALL + 1) * PAGE_SIZE, 0),
			 P | U | FINAL | NPF_ENC | NPF_RMP);
}

/* CPU 1 is in the guest: it is fetched out before anything is transformed. */
static bool kicked;
static void kick(unsigned cpu)
{
	assert_int_equal(cpu, 1);
	assert_int_equal(*word(SMALL), 123);
	kicked = true;
	shadow_leave(1);
}

static void other_processors_leave_before_a_page_changes(void **state)
{
	struct space *other = shadow_space(1, &snp);

	(void)state;
	own(SMALL, false);
	assert_int_equal(access_as(other, &snp, SMALL * PAGE_SIZE | C, ACCESS_WRITE), 0);
	*word(SMALL) = 123;
	fake_kick_hook = kick;
	kicked = false;
	shadow_enter(1, other);
	shadow_evict(pfn(SMALL), 1);
	assert_true(kicked);
	assert_int_equal(*word(SMALL), raw_of(SMALL, 123));
	/* Nobody is disturbed by a page that he does not use. */
	shadow_enter(1, other);
	kicked = false;
	own(SMALL + 1, false);
	assert_false(kicked);
	shadow_leave(1);
}

static void a_full_pool_begins_anew(void **state)
{
	(void)state;
	/* 2,000 guest addresses far from each other, through one table of the client's. */
	for (u64 i = 0; i < 512; i++)
		((u64 *)fake_frame(pfn(TABLES)))[i] = link_to(TABLES + 1);
	own(SMALL, false);
	assert_int_equal(access_snp(SMALL * PAGE_SIZE | C, 0), 0);
	for (u64 i = 1; i < 256; i++) {
		assert_int_equal(access_snp((i << 39) | (SMALL + 1) * PAGE_SIZE, ACCESS_WRITE), 0);
		((u64 *)fake_frame(pfn(TABLES + 1)))[i] = link_to(TABLES + 2);
		assert_int_equal(access_snp((i << 30) | (SMALL + 2) * PAGE_SIZE, ACCESS_WRITE), 0);
	}
	assert_int_equal(access_snp(SMALL * PAGE_SIZE | C, 0), 0);
	assert_true(shadow_is_plain(pfn(SMALL)));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(private_accesses_are_checked_in_order),
		T(what_the_table_does_not_cover_is_nobodys),
		T(sizes_must_agree),
		T(vmpl_permissions),
		T(shared_accesses),
		T(a_flush_takes_away_what_the_table_no_longer_gives),
		T(a_block_that_is_plain_stays_so_until_one_page_changes),
		T(leaves_give_what_was_asked_and_no_more),
		T(the_nested_table_comes_first),
		T(an_edit_shows_only_after_a_flush_but_the_rmp_at_once),
		T(private_pages_are_plain_only_where_the_guest_reaches_them),
		T(a_large_page_is_transformed_as_a_whole),
		T(sev_has_two_aliases_and_no_fault),
		T(a_frame_that_left_an_sev_guest_is_not_touched),
		T(the_end_of_an_snp_guest_leaves_cipher_text),
		T(with_paging_off_everything_is_private),
		T(other_processors_leave_before_a_page_changes),
		T(a_full_pool_begins_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
