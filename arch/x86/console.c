/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/console.h"
#include "arch/x86/screen.h"
#include "arch/x86/uart.h"
#include "kernel/cmdline.h"

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

void console_everywhere(void)
{
	outputs = ON_COM1 | ON_SCREEN;
}

void console_write(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if ((outputs & ON_COM1) != 0) {
			if (text[i] == '\n')
				uart_put('\r');
			uart_put(text[i]);
		}
		if ((outputs & ON_SCREEN) != 0)
			screen_put(text[i]);
	}
}
