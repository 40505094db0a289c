/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/trace.h"

_Static_assert((TRACE_ENTRIES & (TRACE_ENTRIES - 1)) == 0, "slot = index mod entries");

static struct septum_trace_entry entries[TRACE_ENTRIES];
static u64 head; /* entries ever written */

static u64 tsc_read(void)
{
	u32 low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (u64)high << 32 | low;
}

#ifdef PRODUCTION
u32 trace_kinds = TRACE_RARE;
#else
u32 trace_kinds = ~0u;
#endif

void trace_keep(enum septum_trace what, unsigned vm, unsigned vcpu, u64 a, u64 b)
{
	u64 index = __atomic_fetch_add(&head, 1, __ATOMIC_RELAXED);
	struct septum_trace_entry *entry = &entries[index % TRACE_ENTRIES];

	/* Others may read meanwhile: it is nothing until it is all there. */
	__atomic_store_n(&entry->what, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	entry->tsc = tsc_read();
	entry->vm = (u16)vm;
	entry->vcpu = (u16)vcpu;
	entry->a = a;
	entry->b = b;
	__atomic_store_n(&entry->what, (u16)what, __ATOMIC_RELEASE);
}

unsigned trace_copy(struct septum_trace_entry *to, unsigned max)
{
	u64 end = __atomic_load_n(&head, __ATOMIC_ACQUIRE);
	unsigned kept = 0;
	u64 count = MIN(MIN(end, (u64)TRACE_ENTRIES), (u64)max);

	for (u64 i = 0; i < count; i++) {
		const struct septum_trace_entry *entry =
			&entries[(end - count + i) % TRACE_ENTRIES];
		u16 what = __atomic_load_n(&entry->what, __ATOMIC_ACQUIRE);
		u64 tsc = READ_ONCE(entry->tsc);

		to[kept] = *entry;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		/* Not while it is written, nor of two entries. */
		if (what != 0 && READ_ONCE(entry->what) == what && READ_ONCE(entry->tsc) == tsc)
			kept++;
	}
	return kept;
}
