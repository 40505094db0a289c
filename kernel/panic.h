/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of the road, for broken invariants of Septum itself. Nothing that a guest, the manager
 * or a device does may lead here. */
#ifndef KERNEL_PANIC_H
#define KERNEL_PANIC_H

#include "kernel/types.h"

/* Print the message and a backtrace, then stop the machine for good. */
__attribute__((format(printf, 1, 2))) _Noreturn void panic(const char *format, ...);

/* A place in Septum's code; `sp` matters where a function keeps no frame. */
struct code_place {
	u64 ip, sp, frame; /* ip and sp 0: not known */
};

/* As panic(), with the backtrace of another place. */
__attribute__((format(printf, 2, 3))) _Noreturn void panic_at(const struct code_place *place,
							      const char *format, ...);

/* As panic(), without a backtrace, for a machine or an option Septum cannot work with: the
 * message is for the person who started it and names the remedy. Boot only. */
__attribute__((format(printf, 1, 2))) _Noreturn void boot_fail(const char *format, ...);

/* Print where `place` is and the return addresses found from there on, with symbols. */
void backtrace_print(const struct code_place *place);

#ifdef PRODUCTION
#define ASSERT(condition) ((void)sizeof(condition))
#else
#define ASSERT(condition)                                                                          \
	((condition) ? (void)0 : panic("%s:%d: %s does not hold", __FILE__, __LINE__, #condition))
#endif

#endif
