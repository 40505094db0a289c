/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/console.h"
#include "arch/x86/screen.h"
#include "arch/x86/uart.h"
#include "kernel/cmdline.h"
#include "kernel/spinlock.h"

#define ON_COM1	  1u
#define ON_SCREEN 2u

/* Everywhere until the options are known, so that a complaint about them is seen. */
static unsigned outputs = ON_COM1 | ON_SCREEN;
static unsigned chosen = ON_COM1;

static bool parse_console(const char *value)
{
	static const char *const names[] = {"com1", "vga", "both"};
	static const unsigned values[] = {ON_COM1, ON_SCREEN, ON_COM1 | ON_SCREEN};
	unsigned choice;

	if (!cmdline_choice(value, names, ARRAY_COUNT(names), &choice))
		return false;
	chosen = values[choice];
	return true;
}
CMDLINE_OPTION(console, "console", "com1|vga|both", "where messages go", parse_console);

void console_choose(void)
{
	outputs = chosen;
}

/* The last words: of the only CPU that still runs, which may have been stopped in the middle of a
 * line, by itself or by another. */
static bool last_words;

void console_everywhere(void)
{
	last_words = true;
	outputs = ON_COM1 | ON_SCREEN;
}

static struct spinlock lock = SPINLOCK(RANK_CONSOLE);

void console_write(const char *text, size_t length)
{
	bool alone = last_words;

	if (!alone)
		spin_lock(&lock);
	for (size_t i = 0; i < length; i++) {
		if ((outputs & ON_COM1) != 0) {
			if (text[i] == '\n')
				uart_put('\r');
			uart_put(text[i]);
		}
		if ((outputs & ON_SCREEN) != 0)
			screen_put(text[i]);
	}
	if (!alone)
		spin_unlock(&lock);
}
