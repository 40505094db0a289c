/* sources: mm/?*.c tests/host/fake.c */
/* ldflags: -pthread */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory read and written for the guest while another processor is at the same word: it is
 * old or new, never half of each. */
#include "tests/host/fake.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define RAM	 8192ul
#define POOL	 4096ul
#define FRAME	 1024ul
#define GFN	 16ul
#define ROUNDS	 20000u
#define PACE	 50u /* rounds between two naps: the other thread may have no processor */
#define RAW(gfn) ((gfn) << PAGE_SHIFT)

static struct memory mem;
static int stop; /* no volatile bool: UBSan's check of it is hoisted out of a loop */
static u64 word __attribute__((aligned(64)));

static int setup(void **state)
{
	const struct access write = {.raw_gpa = RAW(GFN), .write = true};
	struct pool *pool;
	u32 id, slot;

	(void)state;
	fake_start(RAM, &nested_format_npt);
	assert_int_equal(pool_create(&id), OK);
	pool = pool_by_id(id);
	assert_int_equal(pool_donate(pool, pfn(POOL), 512), OK);
	assert_int_equal(memory_init(&mem, 1, pool, &nested_format_npt, 0, 40, false, false), OK);
	assert_int_equal(memory_slot_add(&mem, gfn(GFN), 1, pfn(FRAME), SEPTUM_SLOT_SHARED, &slot),
			 OK);
	assert_int_equal(memory_fault(&mem, &write).outcome, FAULT_RESOLVED);
	return 0;
}

static void *toggle(void *at)
{
	for (u64 value = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); value = ~value)
		*(volatile u64 *)at = value;
	return NULL;
}

/* Another processor writes all zeroes and all ones in turn; what is read is one of the two. */
static void reads_are_whole(void **state)
{
	u64 *at = fake_frame(pfn(FRAME));
	unsigned torn = 0;
	pthread_t other;

	(void)state;
	__atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
	assert_int_equal(pthread_create(&other, NULL, toggle, at), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		u64 eight = 1;
		u32 four = 1;
		u16 two = 1;

		if (i % PACE == 0)
			usleep(1);
		(void)memory_read(&mem, RAW(GFN), &eight, 8);
		(void)memory_read(&mem, RAW(GFN) + 4, &four, 4);
		(void)memory_read(&mem, RAW(GFN) + 2, &two, 2);
		torn += eight != 0 && eight != ~0ul;
		torn += four != 0 && four != ~0u;
		torn += two != 0 && two != 0xffff;
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	assert_int_equal(pthread_join(other, NULL), 0);
	assert_int_equal(torn, 0);
}

static void *look(void *at)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		u64 seen = *(volatile u64 *)at;

		if (seen != 0 && seen != ~0ul)
			word = seen;
	}
	return NULL;
}

/* What is written is seen whole. */
static void writes_are_whole(void **state)
{
	u64 *at = fake_frame(pfn(FRAME));
	pthread_t other;

	(void)state;
	__atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
	word = 0;
	*at = 0;
	assert_int_equal(pthread_create(&other, NULL, look, at), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		u64 value = (i & 1) != 0 ? ~0ul : 0;

		(void)memory_write(&mem, RAW(GFN), &value, 8);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	assert_int_equal(pthread_join(other, NULL), 0);
	assert_int_equal(word, 0);
}

/* Sizes and places that no single access can be: byte by byte, and nothing beside. */
static void odd_ones_are_copied(void **state)
{
	u8 *at = fake_frame(pfn(FRAME));
	u8 from[16], to[16];

	(void)state;
	for (unsigned bytes = 1; bytes <= 15; bytes++) {
		for (unsigned offset = 0; offset < 9; offset++) {
			for (unsigned i = 0; i < sizeof(from); i++)
				from[i] = (u8)(i + bytes * 16 + offset);
			memset(at, 0xee, 32);
			memset(to, 0xdd, sizeof(to));
			assert_true(memory_write(&mem, RAW(GFN) + offset, from, bytes));
			assert_true(memory_read(&mem, RAW(GFN) + offset, to, bytes));
			assert_memory_equal(to, from, bytes);
			assert_int_equal(to[bytes], 0xdd);
			assert_int_equal(at[offset + bytes], 0xee);
			if (offset != 0)
				assert_int_equal(at[offset - 1], 0xee);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(reads_are_whole, setup),
		cmocka_unit_test_setup(writes_are_whole, setup),
		cmocka_unit_test_setup(odd_ones_are_copied, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
