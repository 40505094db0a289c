/* SPDX-License-Identifier: BSD-2-Clause */
/* Bodies that read and write memory while the manager changes what stands behind it. */
#include "guests/small/guest.h"

#define AREA	    0x600000ul
#define AREA_END    0x1000000ul /* 16 MiB */
#define OTHER	    0x2000000ul /* 32 MiB: a second slot */
#define SECRET	    0x5ec2e75ec2e7ul
#define SECRET_PAGE 0x600000ul

static u64 secret_of(u64 gpa)
{
	return SECRET << 16 | gpa / PAGE_SIZE;
}

/* Private memory full of words that nobody else may see. */
BODY(secret)
{
	for (u64 at = SECRET_PAGE; at < SECRET_PAGE + 2 * LARGE_SIZE; at += PAGE_SIZE)
		for (u64 word = 0; word < PAGE_SIZE; word += 512)
			*word_at(at + word) = secret_of(at);
	step(1);
	for (u64 at = SECRET_PAGE; at < SECRET_PAGE + 2 * LARGE_SIZE; at += PAGE_SIZE)
		for (u64 word = 0; word < PAGE_SIZE; word += 512)
			REQUIRE(*word_at(at + word) == secret_of(at));
}

/* Fresh private pages read zero, whatever was in their frames; touches many of them. */
BODY(touch_much)
{
	for (u64 at = AREA; at < AREA_END; at += PAGE_SIZE) {
		for (u64 word = 0; word < PAGE_SIZE; word += 512)
			REQUIRE(*word_at(at + word) == 0);
		*word_at(at) = at;
	}
	for (u64 at = AREA; at < AREA_END; at += PAGE_SIZE)
		REQUIRE(*word_at(at) == at);
}

/* One page after the other, alternately shared, so that no 2 MiB is uniform. */
BODY(touch_spread)
{
	for (u64 at = AREA; at < AREA_END; at += 2 * PAGE_SIZE)
		REQUIRE(make_shared(at, PAGE_SIZE) == 0);
	for (u64 at = AREA + PAGE_SIZE; at < AREA_END; at += 2 * PAGE_SIZE)
		*word_at(at) = at;
	for (u64 at = AREA + PAGE_SIZE; at < AREA_END; at += 2 * PAGE_SIZE)
		REQUIRE(*word_at(at) == at);
}

/* Reads the other slot, and says what it read. */
BODY(read_other)
{
	for (;;)
		step((u32)*word_at(OTHER + 0x18));
}

BODY(prefaulted)
{
	step(1);
	for (u64 at = 0x800000; at < 0x800000 + LARGE_SIZE; at += PAGE_SIZE)
		REQUIRE(*word_at(at) == 0);
	step(2);
}
