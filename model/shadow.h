/* SPDX-License-Identifier: BSD-2-Clause */
/* The SNP model's translations: the nested tables that the CPUs really walk.
 *
 * A *space* is what one CPU knows under one ASID: a table of guest-physical addresses, the C-bit
 * among them as an ordinary address bit, so that both aliases of a page exist. It is filled by
 * faults, from the client's nested table (VMCB nCR3) and the RMP, and it is the model's TLB: what
 * the client changes in its table shows only after a flush. What the RMP says shows at once, as on
 * hardware: rmp_set() evicts.
 *
 * The *form* of a frame says how its contents lie in memory: raw, or plain for one ASID at one gfn.
 * A leaf that gives private access exists only while the frame is plain for that ASID and gfn, a
 * leaf that gives C = 0 access only while it is raw. Changing the form takes the leaves of the
 * other kind away first, fetches CPUs that use them out of the guest, and then transforms the
 * frame. A frame stays plain when its leaves go with a flush; shadow_evict() makes it raw.
 *
 * Without an RMP (SEV, SEV-ES) a frame may leave the guest without a word to the processor. So a
 * plain frame that the client's table no longer maps there is not transformed back: it is somebody
 * else's by now, who has overwritten it.
 *
 * All of it under rmp_lock(), unless said otherwise.
 */
#ifndef MODEL_SHADOW_H
#define MODEL_SHADOW_H

#include "kernel/types.h"

/* The RMP entries of these frames are about to change, or the PSP is about to use them: no CPU can
 * reach them through a space when this returns, and they are raw. */
void shadow_evict(pfn_t first, u64 count);

/* Nothing of this ASID is left: its frames that are still assigned to it become raw, its spaces are
 * empty. Its key is still set. */
void shadow_forget_asid(u32 asid);

#endif
