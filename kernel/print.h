/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages. ERROR is about the machine or Septum, WARN about the manager, DEBUG about guests;
 * INFO is what a person wants to read at every boot. */
#ifndef KERNEL_PRINT_H
#define KERNEL_PRINT_H

#include <stdarg.h>

#include "kernel/types.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Messages above this level are dropped. LOG_INFO until the command line says otherwise. */
extern enum log_level log_level;

/* Print one line; the newline is added. Formats: %c %s %d %i %u %x %X %p %% with the flags
 * '-' and '0', a width, a precision for %s, and the lengths l, ll and z. A line is cut at
 * 255 characters. */
__attribute__((format(printf, 2, 3))) void printk(enum log_level level, const char *format, ...);
__attribute__((format(printf, 2, 0))) void vprintk(enum log_level level, const char *format,
						   va_list args);

/* As the C library's, with the formats above. */
__attribute__((format(printf, 3, 4))) int snprintf(char *to, size_t size, const char *format, ...);
__attribute__((format(printf, 3, 0))) int vsnprintf(char *to, size_t size, const char *format,
						    va_list args);

/* For whatever a guest or the manager can repeat: the first RATELIMIT_FREE messages of one
 * `struct ratelimit` are printed, then only the 32nd, 64th, 128th and so on, with the count. */
#define RATELIMIT_FREE 16
struct ratelimit {
	u64 count;
};
__attribute__((format(printf, 3, 4))) void
printk_limited(struct ratelimit *limit, enum log_level level, const char *format, ...);

#endif
