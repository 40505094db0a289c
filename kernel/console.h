/* SPDX-License-Identifier: BSD-2-Clause */
/* Where messages go. */
#ifndef KERNEL_CONSOLE_H
#define KERNEL_CONSOLE_H

#include "kernel/types.h"

/* Write text to every console that is on; '\n' becomes CR LF where a terminal needs it. What two
 * CPUs write at the same time comes one after the other. */
void console_write(const char *text, size_t length);

/* At first, messages go to COM1 and the screen; from here on where the option console= says. */
void console_choose(void);

/* The last words of a machine that stops are for everybody, and wait for nobody: other CPUs have
 * been stopped, or not started. */
void console_everywhere(void);

#endif
