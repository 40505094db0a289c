/* SPDX-License-Identifier: BSD-2-Clause */
/* The trace ring: the last things that happened, for `tools/` and panics. Lossy, one for all CPUs.
 *
 * The production build keeps only what is rare (INJECT, VM) unless the boot option `trace` is
 * given; the others keep all. */
#ifndef KERNEL_TRACE_H
#define KERNEL_TRACE_H

#include "kernel/types.h"

#include <septum/abi.h>

#define TRACE_ENTRIES 1024u

#define TRACE_RARE (BIT(SEPTUM_TRACE_INJECT) | BIT(SEPTUM_TRACE_VM))

extern u32 trace_kinds; /* a bit for each enum septum_trace that is kept */

void trace_keep(enum septum_trace what, unsigned vm, unsigned vcpu, u64 a, u64 b);
static inline void trace(enum septum_trace what, unsigned vm, unsigned vcpu, u64 a, u64 b)
{
	if (__builtin_expect((trace_kinds >> what & 1) != 0, 0))
		trace_keep(what, vm, vcpu, a, b);
}

/* Copies the newest `max` entries, oldest first; returns how many there were. */
unsigned trace_copy(struct septum_trace_entry *to, unsigned max);

#endif
