/* SPDX-License-Identifier: BSD-2-Clause */
/* Which CPUs may still hold translations of a nested table, and since when.
 *
 * Every nested table has one `struct tlb`. Whoever removes or narrows a mapping calls
 * tlb_invalidate() once for the whole range, and only when it has returned may a frame change hands
 * or an attribute change become visible. Translations are used only in guest mode, so for a CPU
 * that is in Septum it is enough that it flushes before it enters again: tlb_enter(), called by the
 * vendor code for each entry, says whether it must.
 *
 * One processor for now: tlb_invalidate() never has to reach another. The contract is that of many.
 */
#ifndef MM_TLB_H
#define MM_TLB_H

#include "kernel/types.h"

#define CPUS_MAX 64u

struct tlb {
	u64 epoch;	    /* grows with each invalidation; never 0 */
	u64 seen[CPUS_MAX]; /* by CPU: the epoch as of its last flush; 0: it never entered */
	u64 flush_count;
};

void tlb_init(struct tlb *tlb);

/* Returns when no CPU can use a translation of `tlb` that was removed from the table before the
 * call. Returns the new epoch. */
u64 tlb_invalidate(struct tlb *tlb);

/* CPU `cpu` is about to enter guest mode with this table. True: it must flush what it holds of it
 * first; it is then recorded as done. */
bool tlb_enter(struct tlb *tlb, unsigned cpu);

#endif
