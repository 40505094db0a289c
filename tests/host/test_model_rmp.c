/* sources: mm/?*.c model/rmp.c model/cipher.c model/shadow.c model/access.c tests/host/fake.c */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The SNP model's RMP: what each instruction refuses and why, page states, and random operations
 * against a flat array. */
#include "tests/host/fake.h"

#include "model/cipher.h"
#include "model/rmp.h"
#include "model/shadow.h"
#include "arch/x86/smp.h"

#define RAM	8192ul
#define COVERED 3072ul /* frames that the table speaks for */
#define BLOCK	1024ul /* an aligned frame */
#define MIB2	(512ul * PAGE_SIZE)

unsigned cpu_self(void)
{
	return 0;
}

static int setup(void **state)
{
	static bool enabled;
	u64 pages = (RMP_HEADER + COVERED * RMP_ENTRY_SIZE) / PAGE_SIZE;
	u64 base;

	(void)state;
	fake_start(RAM, &nested_format_npt);
	shadow_setup(RAM, 47, 48);
	base = own_pfn(own_alloc(pages)).n * PAGE_SIZE;
	if (!enabled) {
		/* Before SNP_EN there are no such instructions. */
		struct rmp_state s = {.assigned = 1};

		assert_int_equal(rmp_update(hpa(BLOCK * PAGE_SIZE), &s), RMP_UNDEFINED);
		assert_int_equal(rmp_psmash(hpa(BLOCK * PAGE_SIZE)), RMP_UNDEFINED);
		assert_int_equal(rmp_read(hpa(BLOCK * PAGE_SIZE), &s), RMP_UNDEFINED);
	}
	enabled = true;
	assert_true(fake_root_end() > COVERED + 1024);
	rmp_enable(base, base + pages * PAGE_SIZE - 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_stop();
	return 0;
}

static u32 update(u64 frame, u64 gpa, unsigned assigned, unsigned size, unsigned immutable,
		  u32 asid)
{
	const struct rmp_state s = {
		.gpa = gpa,
		.assigned = (u8)assigned,
		.pagesize = (u8)size,
		.immutable = (u8)immutable,
		.asid = asid,
	};

	return rmp_update(hpa(frame * PAGE_SIZE), &s);
}

static void change(u64 frame, bool validated, bool immutable, bool vmsa)
{
	struct rmp_entry e;

	rmp_lock();
	assert_true(rmp_get(pfn(frame), &e));
	e.validated = validated;
	e.immutable = immutable;
	e.vmsa = vmsa;
	rmp_set(pfn(frame), &e);
	rmp_unlock();
}

static enum rmp_page_state state_of(u64 frame)
{
	return rmp_page_state(pfn(frame));
}

static void an_entry_lies_as_the_processor_lays_it(void **state)
{
	hpa_t first, last;
	const u64 *q;

	(void)state;
	assert_int_equal(update(BLOCK + 3, 0x123456000, 1, RMP_4K, 0, 5), RMP_OK);
	change(BLOCK + 3, true, false, true);
	assert_true(rmp_extent(&first, &last));
	q = (const u64 *)fake_frame(hpa_to_pfn(hpa(first.n + RMP_HEADER))) + (BLOCK + 3) * 2;
	assert_int_equal(q[0], 1 | 0x123456000 | 5ul << 51 | 1ul << 61 | 1ul << 62);
	assert_int_equal(q[1], RMP_ALL); /* VMPL0 has all rights, the others none */
	change(BLOCK + 3, true, true, false);
	assert_int_equal(q[0], 1 | 4 | 0x123456000 | 5ul << 51 | 1ul << 62 | 1ul << 63);
}

static void page_states(void **state)
{
	static const struct {
		struct rmp_entry entry;
		enum rmp_page_state state;
	} rows[] = {
		{{0}, RMP_STATE_HYPERVISOR},
		{{.immutable = true}, RMP_STATE_HV_FIXED},
		{{.asid = 1}, RMP_STATE_INVALID},
		{{.validated = true}, RMP_STATE_INVALID},
		{{.assigned = true, .immutable = true}, RMP_STATE_FIRMWARE},
		{{.assigned = true, .immutable = true, .vmsa = true}, RMP_STATE_CONTEXT},
		{{.assigned = true, .immutable = true, .gpa = RMP_GPA_TAG(1) | 0x1000},
		 RMP_STATE_METADATA},
		{{.assigned = true, .immutable = true, .gpa = RMP_GPA_TAG(1)}, RMP_STATE_INVALID},
		{{.assigned = true, .immutable = true, .gpa = RMP_GPA_TAG(2) | 0x1000},
		 RMP_STATE_FIRMWARE_IOMMU},
		{{.assigned = true, .immutable = true, .gpa = RMP_GPA_TAG(2) | 0x2000},
		 RMP_STATE_INVALID},
		{{.assigned = true, .immutable = true, .validated = true}, RMP_STATE_INVALID},
		{{.assigned = true}, RMP_STATE_RECLAIM},
		{{.assigned = true, .validated = true}, RMP_STATE_INVALID},
		{{.assigned = true, .asid = 1, .immutable = true}, RMP_STATE_PRE_GUEST},
		{{.assigned = true, .asid = 1, .immutable = true, .validated = true},
		 RMP_STATE_PRE_SWAP},
		{{.assigned = true, .asid = 1}, RMP_STATE_GUEST_INVALID},
		{{.assigned = true, .asid = 1, .validated = true}, RMP_STATE_GUEST_VALID},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
		assert_int_equal(rmp_entry_state(&rows[i].entry), rows[i].state);
		rmp_lock();
		rmp_set(pfn(BLOCK), &rows[i].entry);
		rmp_unlock();
		assert_int_equal(state_of(BLOCK), rows[i].state);
	}
	assert_int_equal(state_of(COVERED - 1), RMP_STATE_HYPERVISOR);
	assert_int_equal(state_of(COVERED), RMP_STATE_DEFAULT);
}

static void rmpupdate_makes_the_states_that_the_host_may_make(void **state)
{
	(void)state;
	assert_int_equal(update(BLOCK, 0, 1, RMP_4K, 1, 0), RMP_OK);
	assert_int_equal(state_of(BLOCK), RMP_STATE_FIRMWARE);
	assert_int_equal(update(BLOCK + 1, 0x7000, 1, RMP_4K, 1, 3), RMP_OK);
	assert_int_equal(state_of(BLOCK + 1), RMP_STATE_PRE_GUEST);
	assert_int_equal(update(BLOCK + 2, 0x7000, 1, RMP_4K, 0, 3), RMP_OK);
	assert_int_equal(state_of(BLOCK + 2), RMP_STATE_GUEST_INVALID);
	change(BLOCK + 2, true, false, false);
	assert_int_equal(state_of(BLOCK + 2), RMP_STATE_GUEST_VALID);
	assert_int_equal(update(BLOCK + 2, 0, 0, RMP_4K, 0, 0), RMP_OK);
	assert_int_equal(state_of(BLOCK + 2), RMP_STATE_HYPERVISOR);
	assert_int_equal(update(BLOCK + 512, 0x400000, 1, RMP_2M, 0, 3), RMP_OK);
	assert_int_equal(state_of(BLOCK + 512 + 511), RMP_STATE_GUEST_INVALID);
	assert_int_equal(update(BLOCK + 512, 0, 0, RMP_2M, 0, 0), RMP_OK);
	for (u64 i = 0; i < 512; i++)
		assert_int_equal(state_of(BLOCK + 512 + i), RMP_STATE_HYPERVISOR);
}

static void reassigning_a_page_ends_its_validation(void **state)
{
	static const struct {
		u64 gpa;
		u32 asid;
	} again[] = {{0x7000, 3}, {0x8000, 3}, {0x7000, 4}};
	struct rmp_entry e;

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(again); i++) {
		assert_int_equal(update(BLOCK, 0x7000, 1, RMP_4K, 0, 3), RMP_OK);
		change(BLOCK, true, false, true);
		rmp_lock();
		rmp_get(pfn(BLOCK), &e);
		e.perms[1] = RMP_READ;
		rmp_set(pfn(BLOCK), &e);
		rmp_unlock();
		assert_int_equal(update(BLOCK, again[i].gpa, 1, RMP_4K, 0, again[i].asid), RMP_OK);
		rmp_get(pfn(BLOCK), &e);
		assert_false(e.validated || e.vmsa);
		assert_int_equal(e.gpa, again[i].gpa);
		assert_int_equal(e.asid, again[i].asid);
		assert_int_equal(e.perms[0], RMP_ALL);
		assert_int_equal(e.perms[1], 0);
	}
}

static void rmpupdate_refuses(void **state)
{
	static const struct {
		u64 address;
		struct rmp_state s;
		u32 status;
	} rows[] = {
		/* input */
		{BLOCK * PAGE_SIZE + 8, {.assigned = 1}, RMP_FAIL_INPUT},
		{BLOCK * PAGE_SIZE + PAGE_SIZE, {.assigned = 1, .pagesize = 1}, RMP_FAIL_INPUT},
		{COVERED * PAGE_SIZE, {.assigned = 1}, RMP_FAIL_INPUT},
		{1ul << 47, {.assigned = 1}, RMP_FAIL_INPUT},
		{BLOCK * PAGE_SIZE, {.assigned = 2}, RMP_FAIL_INPUT},
		{BLOCK * PAGE_SIZE, {.assigned = 1, .pagesize = 2}, RMP_FAIL_INPUT},
		{BLOCK * PAGE_SIZE, {.assigned = 1, .immutable = 2}, RMP_FAIL_INPUT},
		{BLOCK * PAGE_SIZE, {.assigned = 1, .reserved = 1}, RMP_FAIL_INPUT},
		{BLOCK * PAGE_SIZE, {.assigned = 1, .gpa = 0x800}, RMP_FAIL_INPUT},
		{BLOCK * PAGE_SIZE, {.assigned = 1, .pagesize = 1, .gpa = 0x1000}, RMP_FAIL_INPUT},
		{BLOCK * PAGE_SIZE, {.assigned = 1, .gpa = 1ul << 51}, RMP_FAIL_INPUT},
		{BLOCK * PAGE_SIZE, {.assigned = 1, .asid = MODEL_ASIDS}, RMP_FAIL_INPUT},
		/* an immutable entry; one of the 512 */
		{0 * PAGE_SIZE, {.assigned = 0}, RMP_FAIL_PERMISSION},
		{0 * PAGE_SIZE, {.assigned = 1, .pagesize = 1}, RMP_FAIL_PERMISSION},
		/* a running vCPU's */
		{513 * PAGE_SIZE, {.assigned = 1}, RMP_FAIL_INUSE},
		{515 * PAGE_SIZE, {.assigned = 1}, RMP_FAIL_INUSE},
		{512 * PAGE_SIZE, {.assigned = 1, .pagesize = 1}, RMP_FAIL_INUSE},
		/* 4 KiB in 2 MiB: inside and the head; 2 MiB over 4 KiB */
		{(BLOCK + 512 + 7) * PAGE_SIZE, {.assigned = 1, .asid = 1}, RMP_FAIL_OVERLAP},
		{(BLOCK + 512 + 7) * PAGE_SIZE, {.assigned = 0}, RMP_FAIL_OVERLAP},
		{(BLOCK + 512) * PAGE_SIZE, {.assigned = 0}, RMP_FAIL_OVERLAP},
		{BLOCK * PAGE_SIZE, {.assigned = 1, .pagesize = 1, .asid = 1}, RMP_FAIL_OVERLAP},
		{BLOCK * PAGE_SIZE, {.assigned = 0, .pagesize = 1}, RMP_FAIL_OVERLAP},
	};

	(void)state;
	assert_int_equal(update(0, 0, 1, RMP_4K, 1, 0), RMP_OK);
	assert_int_equal(update(BLOCK + 9, 0x9000, 1, RMP_4K, 0, 1), RMP_OK);
	assert_int_equal(update(BLOCK + 512, 0x400000, 1, RMP_2M, 0, 1), RMP_OK);
	rmp_use(0, pfn(513), pfn(515));
	for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
		struct rmp_entry before, after;

		rmp_get(pfn(rows[i].address / PAGE_SIZE), &before);
		if (rmp_update(hpa(rows[i].address), &rows[i].s) != rows[i].status)
			fail_msg("row %u", i);
		rmp_get(pfn(rows[i].address / PAGE_SIZE), &after);
		assert_memory_equal(&before, &after, sizeof(before));
	}
	rmp_use(0, PFN_NONE, PFN_NONE);
	assert_int_equal(update(513, 0, 1, RMP_4K, 0, 0), RMP_OK);
	/* The first thing wrong is told: immutable before overlapping. */
	change(BLOCK + 512, false, true, false);
	assert_int_equal(update(BLOCK + 512 + 7, 0, 0, RMP_4K, 0, 0), RMP_FAIL_PERMISSION);
}

static void psmash_keeps_everything_but_the_size(void **state)
{
	(void)state;
	assert_int_equal(update(BLOCK, 0x600000, 1, RMP_2M, 0, 7), RMP_OK);
	change(BLOCK, true, false, false);
	assert_int_equal(rmp_psmash(hpa(BLOCK * PAGE_SIZE)), RMP_OK);
	for (u64 i = 0; i < 512; i++) {
		struct rmp_state s;
		struct rmp_entry e;

		assert_true(rmp_get(pfn(BLOCK + i), &e));
		assert_true(e.assigned && e.validated && !e.large && !e.immutable);
		assert_int_equal(e.asid, 7);
		assert_int_equal(e.gpa, 0x600000 + i * PAGE_SIZE);
		assert_int_equal(e.perms[0], RMP_ALL);
		assert_int_equal(rmp_read(hpa((BLOCK + i) * PAGE_SIZE), &s), RMP_OK);
		assert_int_equal(s.pagesize, 0);
	}
	rmp_lock();
	rmp_unsmash(pfn(BLOCK));
	rmp_unlock();
	assert_int_equal(rmp_psmash(hpa(BLOCK * PAGE_SIZE)), RMP_OK);
}

static void psmash_refuses(void **state)
{
	(void)state;
	assert_int_equal(rmp_psmash(hpa((BLOCK + 1) * PAGE_SIZE)), RMP_FAIL_INPUT);
	assert_int_equal(rmp_psmash(hpa(COVERED * PAGE_SIZE)), RMP_FAIL_INPUT);
	assert_int_equal(rmp_psmash(hpa(BLOCK * PAGE_SIZE)), RMP_FAIL_REQUIREMENTS);
	assert_int_equal(update(BLOCK, 0, 1, RMP_4K, 0, 1), RMP_OK);
	assert_int_equal(rmp_psmash(hpa(BLOCK * PAGE_SIZE)), RMP_FAIL_REQUIREMENTS);
	assert_int_equal(update(BLOCK, 0, 0, RMP_4K, 0, 0), RMP_OK);
	assert_int_equal(update(BLOCK, 0, 1, RMP_2M, 1, 1), RMP_OK);
	assert_int_equal(rmp_psmash(hpa(BLOCK * PAGE_SIZE)), RMP_FAIL_PERMISSION);
	change(BLOCK, false, false, false);
	rmp_use(1, pfn(BLOCK + 5), PFN_NONE);
	assert_int_equal(rmp_psmash(hpa(BLOCK * PAGE_SIZE)), RMP_FAIL_INUSE);
	rmp_use(1, PFN_NONE, PFN_NONE);
	assert_int_equal(rmp_psmash(hpa(BLOCK * PAGE_SIZE)), RMP_OK);
}

static void rmpread_tells(void **state)
{
	struct rmp_state s;

	(void)state;
	assert_int_equal(rmp_read(hpa(BLOCK * PAGE_SIZE + 1), &s), RMP_FAIL_INPUT);
	assert_int_equal(rmp_read(hpa(COVERED * PAGE_SIZE), &s), RMP_FAIL_INPUT);
	assert_int_equal(update(BLOCK, 0x600000, 1, RMP_2M, 0, 7), RMP_OK);
	assert_int_equal(rmp_read(hpa((BLOCK + 3) * PAGE_SIZE), &s), RMP_OK);
	assert_int_equal(s.gpa, 0x603000);
	assert_int_equal(s.assigned, 1);
	assert_int_equal(s.pagesize, 3);
	assert_int_equal(s.asid, 7);
}

/* ---- at random */

static struct rmp_entry flat[2048];

static u32 expect_update(u64 frame, const struct rmp_state *s)
{
	u64 count = s->pagesize ? 512 : 1;
	bool in_large = flat[frame & ~511ul].large;

	for (u64 i = 0; i < count; i++) {
		if (flat[frame + i].immutable)
			return RMP_FAIL_PERMISSION;
	}
	if (count == 1 && in_large)
		return RMP_FAIL_OVERLAP;
	for (u64 i = 0; i < count && count > 1 && !in_large; i++) {
		if (flat[frame + i].assigned)
			return RMP_FAIL_OVERLAP;
	}
	for (u64 i = 0; i < count; i++) {
		flat[frame + i] = (struct rmp_entry){.immutable = s->immutable};
		if (s->assigned) {
			flat[frame + i] = (struct rmp_entry){
				.gpa = s->gpa + i * PAGE_SIZE,
				.asid = s->asid,
				.assigned = true,
				.large = s->pagesize,
				.immutable = s->immutable,
				.perms = {RMP_ALL},
			};
		}
	}
	return RMP_OK;
}

static u32 expect_smash(u64 frame)
{
	if (flat[frame].immutable)
		return RMP_FAIL_PERMISSION;
	if (!flat[frame].large)
		return RMP_FAIL_REQUIREMENTS;
	for (u64 i = 0; i < 512; i++)
		flat[frame + i].large = false;
	return RMP_OK;
}

static void at_random_the_table_is_what_a_flat_one_would_be(void **state)
{
	unsigned accepted = 0;

	(void)state;
	memset(flat, 0, sizeof(flat));
	for (unsigned turn = 0; turn < 20000; turn++) {
		/* Few frames, so that operations meet. */
		u64 frame = fake_below(4) * 512 + (fake_below(3) ? fake_below(3) : 0);
		struct rmp_entry e;
		u32 status;

		switch (fake_below(8)) {
		case 0:
			frame &= ~511ul;
			status = expect_smash(frame);
			assert_int_equal(rmp_psmash(hpa(frame * PAGE_SIZE)), status);
			break;
		case 1: /* the guest and the firmware */
			rmp_get(pfn(frame), &e);
			if (!e.assigned || e.large)
				continue;
			e.validated = flat[frame].validated = fake_below(2);
			e.immutable = flat[frame].immutable = false;
			rmp_lock();
			rmp_set(pfn(frame), &e);
			rmp_unlock();
			continue;
		default: {
			bool large = fake_below(4) == 0;
			struct rmp_state s = {
				.gpa = fake_below(8) * MIB2,
				.assigned = (u8)fake_below(2),
				.pagesize = large,
				.immutable = fake_below(16) == 0,
				.asid = (u32)fake_below(4),
			};

			if (large)
				frame &= ~511ul;
			status = expect_update(frame, &s);
			assert_int_equal(rmp_update(hpa(frame * PAGE_SIZE), &s), status);
		}
		}
		accepted += status == RMP_OK;
		for (u64 i = 0; i < 3; i++) {
			u64 look = (frame & ~511ul) + i * 255;

			assert_true(rmp_get(pfn(look), &e));
			assert_memory_equal(&e, &flat[look], sizeof(e));
		}
		/* What can never be changed again would end the test. */
		if (turn % 64 == 0) {
			for (u64 block = 0; block < 4; block++) {
				for (u64 i = 0; i < 512; i++) {
					rmp_lock();
					rmp_get(pfn(block * 512 + i), &e);
					if (e.immutable && (!e.large || i == 0)) {
						e.immutable = false;
						rmp_set(pfn(block * 512 + i), &e);
					}
					rmp_unlock();
					flat[block * 512 + i].immutable = false;
				}
			}
		}
	}
	assert_true(accepted > 2000);
}

static void the_cipher_is_an_involution_that_depends_on_key_and_place(void **state)
{
	const struct cipher_key one = {{1, 2, 3, 4}}, two = {{1, 2, 3, 5}};
	u64 *a = fake_frame(pfn(10)), *b = fake_frame(pfn(11));
	u64 plain[512], raw[512], part[8];
	unsigned equal = 0;

	(void)state;
	for (unsigned i = 0; i < 512; i++)
		plain[i] = a[i] = b[i] = i % 4;
	cipher_page(&one, pfn(10));
	cipher_page(&one, pfn(11));
	memcpy(raw, a, PAGE_SIZE);
	for (unsigned i = 0; i < 512; i++)
		equal += (a[i] == b[i]) + (a[i] == plain[i]) + (i > 0 && a[i] == a[i - 1]);
	assert_int_equal(equal, 0);
	cipher_page(&two, pfn(10));
	assert_memory_not_equal(a, plain, 64);
	cipher_page(&two, pfn(10));
	/* A part of it is the same as in the whole. */
	memcpy(part, a + 37, sizeof(part));
	cipher_bytes(&one, hpa(10 * PAGE_SIZE + 37 * 8), part, sizeof(part));
	assert_memory_equal(part, plain + 37, sizeof(part));
	cipher_page(&one, pfn(10));
	assert_memory_equal(a, plain, PAGE_SIZE);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(an_entry_lies_as_the_processor_lays_it),
		T(page_states),
		T(rmpupdate_makes_the_states_that_the_host_may_make),
		T(reassigning_a_page_ends_its_validation),
		T(rmpupdate_refuses),
		T(psmash_keeps_everything_but_the_size),
		T(psmash_refuses),
		T(rmpread_tells),
		T(at_random_the_table_is_what_a_flat_one_would_be),
		T(the_cipher_is_an_involution_that_depends_on_key_and_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
