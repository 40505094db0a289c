/* SPDX-License-Identifier: BSD-2-Clause */
/* The trace ring: the last things that happened, for `tools/` and panics. Lossy, one for all CPUs.
 */
#ifndef KERNEL_TRACE_H
#define KERNEL_TRACE_H

#include "kernel/types.h"

#include <septum/abi.h>

#define TRACE_ENTRIES 1024u

void trace(enum septum_trace what, unsigned vm, unsigned vcpu, u64 a, u64 b);

/* Copies the newest `max` entries, oldest first; returns how many there were. */
unsigned trace_copy(struct septum_trace_entry *to, unsigned max);

#endif
