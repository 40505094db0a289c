/* sources: kernel/lock_order.c */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The check of a debug build: which acquisitions are refused, and what is said of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "kernel/lock_order.h"
#include "kernel/panic.h"
#include "kernel/symbols.h"

static struct lock_list list;
static char said[256];
static jmp_buf out;
static int lock[16];

struct lock_list *lock_list_self(void)
{
	return &list;
}

bool symbol_find(u64 address, const char **name, u64 *offset)
{
	*name = "function";
	*offset = address & 0xf;
	return true;
}

void panic(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(said, sizeof(said), format, args);
	va_end(args);
	longjmp(out, 1);
}

static int start(void **state)
{
	(void)state;
	memset(&list, 0, sizeof(list));
	said[0] = '\0';
	return 0;
}

static bool take(unsigned n, u32 rank)
{
	if (setjmp(out) != 0)
		return false;
	lock_order_take(&lock[n], rank);
	return true;
}

static bool give(unsigned n)
{
	if (setjmp(out) != 0)
		return false;
	lock_order_give(&lock[n]);
	return true;
}

static void inwards_is_allowed_and_giving_back_in_any_order(void **state)
{
	(void)state;
	for (unsigned turn = 0; turn < 3; turn++) {
		assert_true(take(1, RANK_MEMORY));
		assert_true(take(2, RANK_POOL));
		assert_true(take(3, RANK_FRAME));
		assert_true(give(2));
		assert_true(give(3));
		assert_true(take(2, RANK_ROOT));
		assert_true(give(1));
		assert_true(give(2));
		assert_int_equal(list.count, 0);
	}
}

static void outwards_is_refused_and_both_places_are_named(void **state)
{
	(void)state;
	assert_true(take(1, RANK_FRAME));
	assert_false(take(2, RANK_MEMORY));
	assert_non_null(strstr(said, "memory of a VM is taken at function+"));
	assert_non_null(strstr(said, "frame descriptor is held since function+"));
}

static void the_last_lock_taken_does_not_hide_an_earlier_one(void **state)
{
	(void)state;
	assert_true(take(1, RANK_MEMORY));
	assert_true(take(2, RANK_CONSOLE));
	assert_true(give(2));
	assert_false(take(3, RANK_RING));
}

static void two_of_a_rank_and_the_same_twice_are_refused(void **state)
{
	(void)state;
	assert_true(take(1, RANK_POOL));
	assert_false(take(2, RANK_POOL));
	assert_false(take(1, RANK_POOL));
}

static void a_lock_without_a_rank_is_refused(void **state)
{
	(void)state;
	assert_false(take(1, RANK_NONE));
	assert_non_null(strstr(said, "without a rank"));
	assert_false(take(1, RANK_CONSOLE + 1));
}

static void what_is_not_held_cannot_be_given_back(void **state)
{
	(void)state;
	assert_true(take(1, RANK_POOL));
	assert_false(give(2));
	assert_non_null(strstr(said, "not held"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(inwards_is_allowed_and_giving_back_in_any_order, start),
		cmocka_unit_test_setup(outwards_is_refused_and_both_places_are_named, start),
		cmocka_unit_test_setup(the_last_lock_taken_does_not_hide_an_earlier_one, start),
		cmocka_unit_test_setup(two_of_a_rank_and_the_same_twice_are_refused, start),
		cmocka_unit_test_setup(a_lock_without_a_rank_is_refused, start),
		cmocka_unit_test_setup(what_is_not_held_cannot_be_given_back, start),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
