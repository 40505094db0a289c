/* SPDX-License-Identifier: BSD-2-Clause */
/* Bodies for vCPUs that own a processor each. rounds=N says how often. */
#include "guests/small/guest.h"

#define AREA  0x800000ul
#define PAGES 4ul

/* What a word holds: whose it is, which side, and a count. */
#define TAG(vcpu, is_private, n) ((u64)((vcpu) << 1 | (is_private)) << 56 | (n))

static u64 rounds(void)
{
	char text[24] = "1000";
	u64 n = 0;

	option_find(guest.args, "rounds", text, sizeof(text));
	for (const char *c = text; *c >= '0' && *c <= '9'; c++)
		n = n * 10 + (u64)(*c - '0');
	return n;
}

/* One page, accessed as shared and as private by turns: each access is an implicit conversion. */
BODY(turns)
{
	u64 n = rounds();

	for (u64 i = 1; i <= n; i += 2) {
		*shared_word(AREA) = i;
		REQUIRE(*shared_word(AREA) == i);
		*word_at(AREA) = ~i;
		REQUIRE(*word_at(AREA) == ~i);
	}
}

static u64 next_random(u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state >> 11;
}

/* Each vCPU has a word of its own on each side of each page. The shared side keeps what was
 * written; the private one holds it, or 0 if the page was shared in between. Never what another has
 * written, nor the other side. */
static void race(u64 vcpu)
{
	u64 state = 88172645463325252ul + vcpu, n = rounds();
	u64 shared[PAGES] = {0}, private[PAGES] = {0};

	for (u64 i = 1; i <= n; i++) {
		u64 choice = next_random(&state), page = choice % PAGES;
		u64 at = AREA + page * PAGE_SIZE + vcpu * 8, value;

		if (choice & 0x10)
			REQUIRE(((choice & 0x20)
					 ? make_private(AREA + page * PAGE_SIZE, PAGE_SIZE)
					 : make_shared(AREA + page * PAGE_SIZE, PAGE_SIZE)) == 0);
		if (choice & 0x40) {
			value = *word_at(at);
			REQUIRE(value == 0 || value == private[page]);
			private[page] = TAG(vcpu, 1, i);
			*word_at(at) = private[page];
		} else {
			value = *shared_word(at);
			REQUIRE(value == shared[page]);
			shared[page] = TAG(vcpu, 0, i);
			*shared_word(at) = shared[page];
		}
	}
}

static void race_ap(void)
{
	race(1);
	out32(PORT_STEP, 1);
}

BODY_WITH_AP(race, race_ap)
{
	REQUIRE(make_shared(AREA, PAGES * PAGE_SIZE) == 0);
	for (u64 i = 0; i < PAGES; i++)
		memset((void *)shared_alias(AREA + i * PAGE_SIZE), 0, PAGE_SIZE);
	step(1);
	race(0);
}

#define GO    (AREA + 0x10000)
#define KEPT  (AREA + 0x11000) /* private, what vCPU 0 counts */
#define OTHER (AREA + 0x12000) /* vCPU 1's */

/* Its managers die while vCPU 0 computes and vCPU 1 waits for the answer to an access, to a request
 * and to string output. */
static void outlives_ap(void)
{
	static const char text[] = "outlived";
	const char *from = text;
	u64 n = sizeof(text) - 1;

	*word_at(OTHER) = 0x6f757274;
	*shared_word(OTHER + PAGE_SIZE) = 0x1234;
	REQUIRE(*shared_word(OTHER + PAGE_SIZE) == 0x1234);
	REQUIRE(make_shared(OTHER + 2 * PAGE_SIZE, PAGE_SIZE) == 0);
	*shared_word(OTHER + 2 * PAGE_SIZE) = 0x5678;
	__asm__ volatile("rep outsb" : "+S"(from), "+c"(n) : "d"(PORT_TEXT) : "memory");
	REQUIRE(n == 0 && from == text + sizeof(text) - 1);
	REQUIRE(*word_at(OTHER) == 0x6f757274);
	REQUIRE(*shared_word(OTHER + PAGE_SIZE) == 0x1234);
	REQUIRE(*shared_word(OTHER + 2 * PAGE_SIZE) == 0x5678);
	out32(PORT_STEP, 1);
}

BODY_WITH_AP(outlives, outlives_ap)
{
	u64 n = 0;

	REQUIRE(make_shared(GO, PAGE_SIZE) == 0);
	*shared_word(GO) = 0;
	*word_at(KEPT) = 0;
	step(1);
	while (*shared_word(GO) == 0)
		REQUIRE(++*word_at(KEPT) == ++n);
	*shared_word(AREA) = n;
	*word_at(AREA) = n + 1;
	REQUIRE(*shared_word(AREA) == n && *word_at(KEPT) == n);
}

/* The same with interrupts on. */
BODY(stuck_open)
{
	__asm__ volatile("sti");
	for (;;)
		__asm__ volatile("pause");
}

/* Cannot be stopped but from outside. */
BODY(stuck)
{
	__asm__ volatile("cli");
	for (;;)
		__asm__ volatile("pause");
}
