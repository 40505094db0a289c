/* SPDX-License-Identifier: BSD-2-Clause */
/* Counts of what is one instruction and costs much more (`make build BENCH=count`, whose
 * instructions are not those that `make bench` reports). In every other build nothing of it is
 * there. */
#ifndef KERNEL_TALLY_H
#define KERNEL_TALLY_H

#include "kernel/tally_list.h"
#include "kernel/types.h"

#ifdef TALLY
extern u64 tally_counts[TALLY_COUNT];
static inline void tally(enum tally what)
{
	tally_counts[what]++;
}
#else
static inline void tally(enum tally what)
{
	(void)what;
}
#endif

#endif
