/* SPDX-License-Identifier: BSD-2-Clause */
/* Bodies that ask for conversions. */
#include "guests/small/guest.h"

#define AREA	   0x600000ul /* 6 MiB */
#define AREA_BYTES (LARGE_SIZE + PAGE_SIZE)

static const struct {
	u64 offset, size;
} ranges[] = {
	{0, PAGE_SIZE},		 {0, LARGE_SIZE},	  {PAGE_SIZE, PAGE_SIZE},
	{PAGE_SIZE, LARGE_SIZE}, {LARGE_SIZE, PAGE_SIZE},
};

static bool hold(volatile u8 *at, u8 value, u64 bytes)
{
	u64 word = 0x0101010101010101ul * value;

	for (u64 offset = 0; offset < bytes; offset += PAGE_SIZE) {
		volatile u64 *page = (volatile void *)(at + offset);

		if (page[0] != word || page[200] != word || page[511] != word)
			return false;
	}
	return true;
}

static void fill(volatile u8 *at, u8 value, u64 bytes)
{
	memset((void *)at, value, bytes);
}

/* Everything but the range holds 0xcc, seen through the shared side. */
static bool rest_untouched(u64 offset, u64 size)
{
	volatile u8 *area = shared_alias(AREA);

	return hold(area, 0xcc, offset) &&
	       hold(area + offset + size, 0xcc, AREA_BYTES - offset - size);
}

static void convert_range(u64 offset, u64 size)
{
	volatile u8 *shared = shared_alias(AREA + offset);
	volatile u8 *private = (volatile u8 *)(AREA + offset);

	fill(shared, 0x11, size);
	REQUIRE(make_private(AREA + offset, size) == 0);
	REQUIRE(hold(private, 0, size));
	fill(private, 0x22, size);
	step(2);
	REQUIRE(hold(private, 0x22, size) && rest_untouched(offset, size));
	for (u64 page = PAGE_SIZE; page < size; page += 2 * PAGE_SIZE)
		REQUIRE(make_shared(AREA + offset + page, PAGE_SIZE) == 0);
	step(3);
	for (u64 page = 0; page < size; page += PAGE_SIZE) {
		bool odd = page / PAGE_SIZE % 2;

		REQUIRE(hold(odd ? shared + page : private + page, odd ? 0x33 : 0x22, PAGE_SIZE));
	}
	REQUIRE(make_shared(AREA + offset, size) == 0);
	fill(shared, 0x33, size);
	step(4);
	REQUIRE(hold(shared, 0x44, size) && rest_untouched(offset, size));
}

/* Two backings: each side keeps its own content, and private content ends with the conversion. */
BODY(ranges)
{
	for (unsigned i = 0; i < ARRAY_COUNT(ranges); i++) {
		REQUIRE(make_shared(AREA, AREA_BYTES) == 0);
		fill(shared_alias(AREA), 0xaa, AREA_BYTES);
		step(1);
		REQUIRE(hold(shared_alias(AREA), 0xcc, AREA_BYTES));
		convert_range(ranges[i].offset, ranges[i].size);
	}
}

/* The manager throws private pages away while the guest waits: they read zero, the others do not.
 */
BODY(discard)
{
	for (u32 round = 0; round < 2; round++) {
		fill((volatile u8 *)AREA, 0x77, LARGE_SIZE);
		step(round);
		REQUIRE(hold((volatile u8 *)AREA, 0x77, 4 * PAGE_SIZE));
		REQUIRE(hold((volatile u8 *)AREA + 4 * PAGE_SIZE, 0, 8 * PAGE_SIZE));
		REQUIRE(hold((volatile u8 *)AREA + 12 * PAGE_SIZE, 0x77,
			     LARGE_SIZE - 12 * PAGE_SIZE));
	}
}

BODY(explicit_answers)
{
	*word_at(AREA) = 7;
	REQUIRE(make_shared(AREA, PAGE_SIZE) == -SEPTUM_KVM_EINVAL);
	REQUIRE(*word_at(AREA) == 7);
	REQUIRE(make_shared(AREA, 4 * PAGE_SIZE) == 0);
	/* Already so: no event. */
	REQUIRE(make_shared(AREA, 4 * PAGE_SIZE) == 0);
	step(1);
	/* Two runs of pages that are not yet so: two events. */
	REQUIRE(make_shared(AREA - PAGE_SIZE, 6 * PAGE_SIZE) == 0);
	/* The second of two runs is refused: the first stays converted. */
	REQUIRE(make_private(AREA + PAGE_SIZE, PAGE_SIZE) == 0);
	step(2);
	REQUIRE(make_private(AREA, 3 * PAGE_SIZE) == -SEPTUM_KVM_EOPNOTSUPP);
}

static s64 other_makers_call(u64 number)
{
	s64 result;

	if (cpu_is_intel())
		__asm__ volatile("vmmcall" : "=a"(result) : "a"(number) : "memory");
	else
		__asm__ volatile("vmcall" : "=a"(result) : "a"(number) : "memory");
	return result;
}

static u64 call_as_user(u64 number)
{
	return (u64)guest_call(number, AREA, 1, SEPTUM_MAP_PRIVATE, 0);
}

static u8 user_stack[PAGE_SIZE] __attribute__((aligned(16)));

BODY(guest_calls)
{
	u64 call = SEPTUM_HC_MAP_GPA_RANGE;
	u64 private = SEPTUM_MAP_PRIVATE;
	s64 result;

	for (u64 number = 0; number < 64; number++)
		if (number != call)
			REQUIRE(guest_call(number, 0, 0, 0, 0) == -SEPTUM_KVM_ENOSYS);
	REQUIRE(guest_call(~0ul, 0, 0, 0, 0) == -SEPTUM_KVM_ENOSYS);
	REQUIRE(other_makers_call(63) == -SEPTUM_KVM_ENOSYS);
	REQUIRE(guest_call(call, AREA + 1, 1, private, 0) == -SEPTUM_KVM_EINVAL);
	REQUIRE(guest_call(call, AREA, 0, private, 0) == -SEPTUM_KVM_EINVAL);
	REQUIRE(guest_call(call, AREA, ~0ul, private, 0) == -SEPTUM_KVM_EINVAL);
	REQUIRE(guest_call(call, 1ul << 60, 1, private, 0) == -SEPTUM_KVM_EINVAL);
	REQUIRE(guest_call(call, 0xc0000000, 1, private, 0) == -SEPTUM_KVM_EINVAL);
	REQUIRE(guest_call(call, AREA, 1, private | 3, 0) == -SEPTUM_KVM_EINVAL);
	REQUIRE(guest_call(call, AREA, 1, private | 1ul << 40, 0) == -SEPTUM_KVM_EINVAL);
	REQUIRE(guest_call(call, AREA, 1, SEPTUM_MAP_PRESERVE, 0) == -SEPTUM_KVM_EOPNOTSUPP);
	result = (s64)user_run(call_as_user, call, user_stack + sizeof(user_stack));
	REQUIRE(result == -SEPTUM_KVM_EPERM);
	result = (s64)user_run(call_as_user, 63, user_stack + sizeof(user_stack));
	REQUIRE(result == -SEPTUM_KVM_EPERM);
}

/* In place: the same frame changes its owner, and keeps its content only if the guest says so. */
BODY(inplace)
{
	volatile u64 *private = word_at(AREA);
	volatile u64 *shared = shared_word(AREA);
	u64 call = SEPTUM_HC_MAP_GPA_RANGE;

	REQUIRE(guest.features & SEPTUM_GUEST_PRESERVE);
	*private = 0x600d;
	step(1);
	REQUIRE(guest_call(call, AREA, 1, SEPTUM_MAP_PRESERVE, 0) == 0);
	REQUIRE(*shared == 0x600d);
	step(2); /* the manager writes 0x7007 */
	REQUIRE(*shared == 0x7007);
	REQUIRE(guest_call(call, AREA, 1, SEPTUM_MAP_PRIVATE | SEPTUM_MAP_PRESERVE, 0) == 0);
	REQUIRE(*private == 0x7007);
	step(3);
	REQUIRE(make_shared(AREA, PAGE_SIZE) == 0);
	REQUIRE(*shared == 0);
	*shared = 0x8008;
	REQUIRE(guest_call(call, AREA, 1, SEPTUM_MAP_PRIVATE | SEPTUM_MAP_ZERO, 0) == 0);
	REQUIRE(*private == 0);
	/* Whole blocks. */
	fill((volatile u8 *)0x800000, 0x66, LARGE_SIZE);
	REQUIRE(guest_call(call, 0x800000, 512, SEPTUM_MAP_PRESERVE | 1, 0) == 0);
	REQUIRE(hold(shared_alias(0x800000), 0x66, LARGE_SIZE));
	step(4);
	REQUIRE(make_private(0x800000, LARGE_SIZE) == 0);
	REQUIRE(hold((volatile u8 *)0x800000, 0, LARGE_SIZE));
}
