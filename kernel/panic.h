/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of the road, for broken invariants of Septum itself. Nothing that a guest, the manager
 * or a device does may lead here. */
#ifndef KERNEL_PANIC_H
#define KERNEL_PANIC_H

#include "kernel/types.h"

/* Print the message and a backtrace, then stop the machine for good. */
__attribute__((format(printf, 1, 2))) _Noreturn void panic(const char *format, ...);

/* As panic(), with the backtrace of another place: instruction `ip`, frame pointer `frame`. */
__attribute__((format(printf, 3, 4))) _Noreturn void panic_at(u64 ip, u64 frame, const char *format,
							      ...);

/* As panic(), without a backtrace, for a machine or an option Septum cannot work with: the
 * message is for the person who started it and names the remedy. Boot only. */
__attribute__((format(printf, 1, 2))) _Noreturn void boot_fail(const char *format, ...);

/* Print the return addresses found from frame pointer `frame` on, with symbols. */
void backtrace_print(u64 ip, u64 frame);

#ifdef PRODUCTION
#define ASSERT(condition) ((void)sizeof(condition))
#else
#define ASSERT(condition)                                                                          \
	((condition) ? (void)0 : panic("%s:%d: %s does not hold", __FILE__, __LINE__, #condition))
#endif

#endif
