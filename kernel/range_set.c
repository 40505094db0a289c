/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/range_set.h"

/* Replace `old` ranges at `index` by `count` (0 to 2) new ones. */
static bool replace(struct range_set *set, unsigned index, unsigned old, unsigned count,
		    const struct range *new)
{
	unsigned total = set->count - old + count;

	if (total > RANGE_SET_MAX)
		return false;
	if (count > old)
		for (unsigned i = total; i-- > index + count;)
			set->ranges[i] = set->ranges[i - count + old];
	else
		for (unsigned i = index + count; i < total; i++)
			set->ranges[i] = set->ranges[i + old - count];
	for (unsigned i = 0; i < count; i++)
		set->ranges[index + i] = new[i];
	set->count = total;
	return true;
}

bool range_set_add(struct range_set *set, u64 start, u64 end)
{
	unsigned first = 0;
	unsigned last;

	if (start >= end)
		return true;
	while (first < set->count && set->ranges[first].end < start)
		first++;
	for (last = first; last < set->count && set->ranges[last].start <= end; last++) {
		start = MIN(start, set->ranges[last].start);
		end = MAX(end, set->ranges[last].end);
	}
	return replace(set, first, last - first, 1, &(struct range){start, end});
}

bool range_set_remove(struct range_set *set, u64 start, u64 end)
{
	unsigned first = 0;
	unsigned last, count = 0;
	struct range rest[2];

	if (start >= end)
		return true;
	while (first < set->count && set->ranges[first].end <= start)
		first++;
	for (last = first; last < set->count && set->ranges[last].start < end; last++)
		;
	if (first == last)
		return true;
	if (set->ranges[first].start < start)
		rest[count++] = (struct range){set->ranges[first].start, start};
	if (set->ranges[last - 1].end > end)
		rest[count++] = (struct range){end, set->ranges[last - 1].end};
	return replace(set, first, last - first, count, rest);
}

bool range_set_contains(const struct range_set *set, u64 start, u64 end)
{
	for (unsigned i = 0; i < set->count; i++)
		if (start >= set->ranges[i].start && end <= set->ranges[i].end)
			return true;
	return false;
}

bool range_set_overlaps(const struct range_set *set, u64 start, u64 end)
{
	for (unsigned i = 0; i < set->count; i++)
		if (start < set->ranges[i].end && end > set->ranges[i].start)
			return true;
	return false;
}

u64 range_set_total(const struct range_set *set)
{
	u64 total = 0;

	for (unsigned i = 0; i < set->count; i++)
		total += set->ranges[i].end - set->ranges[i].start;
	return total;
}
