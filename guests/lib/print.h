/* SPDX-License-Identifier: BSD-2-Clause */
/* printf with %c %s %d %u %x %lu %lx %ld %p %%, a width and the flags 0 and -. */
#ifndef GUESTS_LIB_PRINT_H
#define GUESTS_LIB_PRINT_H

#include "guests/lib/types.h"

/* Where characters go; each program gives its own. */
void console_put(char c);

__attribute__((format(printf, 1, 2))) void print(const char *format, ...);

#endif
