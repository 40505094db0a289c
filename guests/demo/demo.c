/* SPDX-License-Identifier: BSD-2-Clause */
/* The demonstration: a protected guest converts pages, explicitly and by mere access. */
#include "guests/small/guest.h"

#define EXPLICIT_PAGE  0x800000ul /* 8 MiB */
#define IMPLICIT_BLOCK 0xa00000ul /* 10 MiB: a 2 MiB page, of which one 4 KiB page is shared */
#define EXPLICIT_BLOCK 0xc00000ul /* 12 MiB: converted as a whole */
#define PAGE_IN_BLOCK  (IMPLICIT_BLOCK + 37 * PAGE_SIZE)

#define UART_DATA   0
#define UART_STATUS 5
#define UART_EMPTY  0x20u

static unsigned denials;

/* The demonstration speaks through the serial line, as guests do. */
static void serial_put(char c)
{
	while (!(in8(PORT_COM1 + UART_STATUS) & UART_EMPTY))
		cpu_relax();
	out8(PORT_COM1 + UART_DATA, (u8)c);
}

static void say(const char *text)
{
	for (; *text; text++)
		serial_put(*text);
	serial_put('\n');
}

static void say_hex(const char *text, u64 number)
{
	char line[96];
	size_t n = strlen(text);
	unsigned shift = 60;

	memcpy(line, text, n);
	line[n++] = '0';
	line[n++] = 'x';
	while (shift && !(number >> shift))
		shift -= 4;
	for (;; shift -= 4) {
		line[n++] = "0123456789abcdef"[number >> shift & 15];
		if (!shift)
			break;
	}
	line[n] = 0;
	say(line);
}

/* The manager may deny an access: then it is a machine check at the page's address. */
static bool touched(bool ok, u64 gpa)
{
	u64 where = 0;

	if (ok)
		return true;
	denials++;
	REQUIRE(trap_last.vector == VECTOR_MC);
	REQUIRE(probe_msr_read(MSR_MC0_ADDR, &where));
	REQUIRE((where & ~(PAGE_SIZE - 1)) == (gpa & ~(PAGE_SIZE - 1)));
	msr_write(MSR_MCG_STATUS, 0);
	say_hex("  denied: a machine check names address ", where);
	return false;
}

static void explicit_page(void)
{
	u64 value;

	say_hex("explicit: a secret is written to the private page at ", EXPLICIT_PAGE);
	*word_at(EXPLICIT_PAGE) = 0x5ec2e7;
	REQUIRE(make_shared(EXPLICIT_PAGE, PAGE_SIZE) == 0);
	REQUIRE(probe_read(shared_alias(EXPLICIT_PAGE), &value));
	REQUIRE(value != 0x5ec2e7);
	*shared_word(EXPLICIT_PAGE) = 0x1111;
	say("explicit: it is shared now; the secret did not come along");
	REQUIRE(make_private(EXPLICIT_PAGE, PAGE_SIZE) == 0);
	REQUIRE(*word_at(EXPLICIT_PAGE) == 0);
	say("explicit: it is private again, and reads zero");
}

static void implicit_page(void)
{
	u64 value;
	bool ok;

	say_hex("implicit: the private 2 MiB at ", IMPLICIT_BLOCK);
	for (u64 at = IMPLICIT_BLOCK; at < IMPLICIT_BLOCK + LARGE_SIZE; at += PAGE_SIZE)
		*word_at(at) = at;
	say_hex("implicit: a shared access to one page of it, ", PAGE_IN_BLOCK);
	ok = touched(probe_write(shared_alias(PAGE_IN_BLOCK), 0x2222), PAGE_IN_BLOCK);
	if (ok) {
		REQUIRE(*shared_word(PAGE_IN_BLOCK) == 0x2222);
		say("  the manager converted it; its neighbours are private as before");
	}
	REQUIRE(*word_at(PAGE_IN_BLOCK - PAGE_SIZE) == PAGE_IN_BLOCK - PAGE_SIZE);
	REQUIRE(*word_at(PAGE_IN_BLOCK + PAGE_SIZE) == PAGE_IN_BLOCK + PAGE_SIZE);
	say("implicit: a private access to the same page");
	if (touched(probe_read((void *)PAGE_IN_BLOCK, &value), PAGE_IN_BLOCK)) {
		REQUIRE(value == (ok ? 0 : PAGE_IN_BLOCK));
		say(ok ? "  the manager converted it back; it reads zero"
		       : "  it was never converted; its content is untouched");
	} else {
		REQUIRE(*shared_word(PAGE_IN_BLOCK) == 0x2222);
	}
}

static void explicit_block(void)
{
	u64 value;

	say_hex("explicit: 2 MiB at once become shared, ", EXPLICIT_BLOCK);
	*word_at(EXPLICIT_BLOCK) = 1;
	REQUIRE(make_shared(EXPLICIT_BLOCK, LARGE_SIZE) == 0);
	*shared_word(EXPLICIT_BLOCK + LARGE_SIZE - 8) = 0x3333;
	say("implicit: a private access to its first page");
	if (touched(probe_read((void *)EXPLICIT_BLOCK, &value), EXPLICIT_BLOCK)) {
		REQUIRE(value == 0);
		say("  the manager converted it; the rest is shared as before");
	}
	REQUIRE(*shared_word(EXPLICIT_BLOCK + LARGE_SIZE - 8) == 0x3333);
	REQUIRE(make_private(EXPLICIT_BLOCK, LARGE_SIZE) == 0);
	REQUIRE(*word_at(EXPLICIT_BLOCK + LARGE_SIZE - 8) == 0);
	say("explicit: all of it is private again");
}

BODY(demo)
{
	say("Hello from a guest of Septum.");
	if (!guest.shared_bit) {
		say("This guest has no SHARED address bit, so there is nothing to show.");
		guest_exit(4);
	}
	say_hex("Addresses with this bit are shared: ", 1ul << guest.shared_bit);
	explicit_page();
	implicit_page();
	explicit_block();
	say(denials ? "Done; the manager denied what was not asked for."
		    : "Done; everything was as it should be.");
}
