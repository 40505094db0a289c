/* SPDX-License-Identifier: BSD-2-Clause */
/* Coverage of the hypervisor itself, in builds made with COVERAGE=1. */
#ifndef KERNEL_COVERAGE_H
#define KERNEL_COVERAGE_H

/* In such a build only, the root's hypercall of this number calls coverage_dump(): the manager
 * makes it as its last act, since it ends the machine without Septum. */
#define COVERAGE_CALL 0x636f76

#ifdef COVERAGE
/* Write all counters to the debug port 0xe9; tools/gcda-extract turns them into .gcda files. */
void coverage_dump(void);
#else
static inline void coverage_dump(void)
{
}
#endif

#endif
