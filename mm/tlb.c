/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/tlb.h"

void tlb_init(struct tlb *tlb)
{
	*tlb = (struct tlb){.epoch = 1};
}

u64 tlb_invalidate(struct tlb *tlb)
{
	__atomic_fetch_add(&tlb->flush_count, 1, __ATOMIC_RELAXED);
	/* The edits of the table come before the epoch that promises them. */
	return __atomic_add_fetch(&tlb->epoch, 1, __ATOMIC_SEQ_CST);
}

bool tlb_enter(struct tlb *tlb, unsigned cpu)
{
	u64 epoch = __atomic_load_n(&tlb->epoch, __ATOMIC_ACQUIRE);

	if (tlb->seen[cpu] == epoch)
		return false;
	tlb->seen[cpu] = epoch;
	return true;
}
