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

void trace(enum septum_trace what, unsigned vm, unsigned vcpu, u64 a, u64 b)
{
	u64 index = __atomic_fetch_add(&head, 1, __ATOMIC_RELAXED);

	entries[index % TRACE_ENTRIES] = (struct septum_trace_entry){
		.tsc = tsc_read(),
		.what = (u16)what,
		.vm = (u16)vm,
		.vcpu = (u16)vcpu,
		.a = a,
		.b = b,
	};
}

unsigned trace_copy(struct septum_trace_entry *to, unsigned max)
{
	u64 end = __atomic_load_n(&head, __ATOMIC_ACQUIRE);
	u64 count = MIN(MIN(end, (u64)TRACE_ENTRIES), (u64)max);

	for (u64 i = 0; i < count; i++)
		to[i] = entries[(end - count + i) % TRACE_ENTRIES];
	return (unsigned)count;
}
