/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/lock_order.h"

#include "kernel/panic.h"
#include "kernel/symbols.h"

static const char *const names[] = {
#define X(name, text) text,
	LOCK_RANK_LIST(X)
#undef X
};

struct place {
	const char *name;
	u64 offset;
};

static struct place place_of(u64 site)
{
	struct place place = {"?", site};

	symbol_find(site, &place.name, &place.offset);
	return place;
}

void lock_order_take(const void *lock, u32 rank)
{
	struct lock_list *list = lock_list_self();
	u64 site = (u64)__builtin_return_address(0);
	struct place here = place_of(site), there;

	if (rank == RANK_NONE || rank >= ARRAY_COUNT(names))
		panic("lock order: a lock without a rank is taken at %s+0x%lx", here.name,
		      here.offset);
	for (unsigned i = 0; i < list->count; i++) {
		if (list->held[i].rank < rank)
			continue;
		there = place_of(list->held[i].site);
		panic("lock order: %s is taken at %s+0x%lx while %s is held since %s+0x%lx",
		      names[rank], here.name, here.offset, names[list->held[i].rank], there.name,
		      there.offset);
	}
	if (list->count == LOCKS_HELD_MAX)
		panic("lock order: too many locks are held at %s+0x%lx", here.name, here.offset);
	list->held[list->count].lock = lock;
	list->held[list->count].site = site;
	list->held[list->count].rank = (enum lock_rank)rank;
	list->count++;
}

void lock_order_give(const void *lock)
{
	struct lock_list *list = lock_list_self();
	struct place here;

	for (unsigned i = list->count; i-- > 0;) {
		if (list->held[i].lock != lock)
			continue;
		list->count--;
		for (; i < list->count; i++)
			list->held[i] = list->held[i + 1];
		return;
	}
	here = place_of((u64)__builtin_return_address(0));
	panic("lock order: a lock that is not held is given back at %s+0x%lx", here.name,
	      here.offset);
}
