/* SPDX-License-Identifier: BSD-2-Clause */
/* Coverage of the hypervisor itself, in builds made with COVERAGE=1. */
#ifndef KERNEL_COVERAGE_H
#define KERNEL_COVERAGE_H

#ifdef COVERAGE
/* Write all counters to the debug port 0xe9; tools/gcda-extract turns them into .gcda files. */
void coverage_dump(void);
#else
static inline void coverage_dump(void)
{
}
#endif

#endif
