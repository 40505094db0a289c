/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/console.h"
#include "arch/x86/uart.h"

void console_write(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (text[i] == '\n')
			uart_put('\r');
		uart_put(text[i]);
	}
}
