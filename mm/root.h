/* SPDX-License-Identifier: BSD-2-Clause */
/* The root partition's memory, as the rest of mm sees it; what others see is in mm/memory.h.
 *
 * The root's nested table is identity and only a cache: what is not in it is put there by
 * root_fault(), as large as the frames' states allow. So taking frames away from the root needs no
 * table, and when its tables run out all of it is dropped and fills again.
 *
 * root_lock() serialises everything that changes what the root sees: its table, and each
 * frame_change from or to ROOT, OFFERED and INPLACE except RECLAIM, which only adds. Order: memory
 * lock, pool lock, root lock, frame locks.
 */
#ifndef MM_ROOT_H
#define MM_ROOT_H

#include "kernel/types.h"
#include "mm/memory.h"

/* The root's EPT memory type (SDM Vol. 3, 28.3.7: 0 UC, 1 WC, 4 WT, 5 WP, 6 WB) of one 4 KiB, 2 MiB
 * or 1 GiB range (`level`) at `base` that is not RAM; negative: not the same throughout. Given by
 * arch/; without it, UC. */
int memtype_of(hpa_t base, unsigned level);

void root_lock(void);
void root_unlock(void);

/* Removes [first, first + count) from the root's table. Under root_lock(); the caller then calls
 * tlb_invalidate(root_tlb()) once. */
void root_forget(pfn_t first, u64 count);

/* Offers root frames in place to `owner`, for gfns from `page` on: ROOT to OFFERED, all or none.
 * E_NOT_ROOT: not all are free root memory. And the end of it. */
enum status root_offer(pfn_t first, u64 count, u16 owner, gfn_t page);
void root_withdraw(pfn_t first, u64 count, u16 owner);

/* True: a device's range, or a firmware's, that the root may map (not RAM, not claimed). */
bool root_device(hpa_t base, u64 size);

#endif
