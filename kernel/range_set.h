/* SPDX-License-Identifier: BSD-2-Clause */
/* A small set of byte ranges of physical memory: sorted, disjoint, not touching each other. */
#ifndef KERNEL_RANGE_SET_H
#define KERNEL_RANGE_SET_H

#include "kernel/types.h"

#define RANGE_SET_MAX 256

struct range {
	u64 start;
	u64 end; /* exclusive, > start */
};

struct range_set {
	unsigned count;
	struct range ranges[RANGE_SET_MAX];
};

/* Add or take away [start, end). An empty or reversed range changes nothing.
 * False, and nothing has changed: the set would need more than RANGE_SET_MAX ranges. */
bool range_set_add(struct range_set *set, u64 start, u64 end);
bool range_set_remove(struct range_set *set, u64 start, u64 end);

/* Is [start, end) wholly in the set, or does any of it lie in it? */
bool range_set_contains(const struct range_set *set, u64 start, u64 end);
bool range_set_overlaps(const struct range_set *set, u64 start, u64 end);

u64 range_set_total(const struct range_set *set);

#endif
