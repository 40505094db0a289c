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
 * Instruction fetches and page-table walks are private whatever the C-bit says (APM Vol. 2,
 * 15.34.5). The CPU below walks at the address without the bit then, so the page gets a private
 * leaf there too; a C = 0 data access to that page is not told from it (docs/models.md).
 *
 * All of it under rmp_lock(), unless said otherwise.
 */
#ifndef MODEL_SHADOW_H
#define MODEL_SHADOW_H

#include "kernel/types.h"

/* The error code of a nested fault (APM Vol. 2, 15.25.6 and 15.36.10). */
#define NPF_PRESENT  BIT(0)
#define NPF_USER     BIT(2) /* every nested access is one of a user */
#define NPF_RESERVED BIT(3)
#define NPF_RMP	     BIT(31)
#define NPF_FINAL    BIT(32)
#define NPF_ENC	     BIT(34)
#define NPF_SIZEM    BIT(35)
#define NPF_VMPL     BIT(36)

#define VC_NPF	       0x400u /* #VC: a reserved bit in the nested table */
#define VC_UNVALIDATED 0x404u

#define SHADOW_LEVEL_MAX LEVEL_2M

/* Memory for the tables and the record of forms, for frames below `frames`; the C-bit's number and
 * the width of a physical address. At start-up. */
void shadow_setup(u64 frames, unsigned c_bit, unsigned physical_bits);
u64 shadow_c_bit(void); /* as an address */

/* Who accesses. */
struct view {
	u32 asid;
	u8 vmpl;
	bool snp, es;
	bool unpaged; /* CR0.PG = 0: everything is private */
	u64 ncr3;
};

struct space;

/* What `cpu` knows of this view: made empty if it is not there. NULL never. */
struct space *shadow_space(unsigned cpu, const struct view *view);
/* The table for VMCB nCR3. */
pfn_t shadow_root(const struct space *space);
/* `cpu` forgets what it knows under `asid`, whose table is now `ncr3`; 0: everything. (It may walk
 * to some of that at once, as processors may.) */
void shadow_flush(unsigned cpu, u32 asid, u64 ncr3);

/* `cpu` enters the guest with this space as soon as the lock is free; it has left it again (no
 * lock needed). A CPU that is wanted out is kicked in between, so that its entry ends at once. */
void shadow_enter(unsigned cpu, const struct space *space);
void shadow_leave(unsigned cpu);

/* One access to guest-physical memory, decided as the processor does (APM Vol. 2, tables 15-36 and
 * 15-39): nested table first, then RMP: covered, owned by the guest, reverse map, mutable, page
 * size; validated; VMPL. SHADOW_OK: a leaf is there for it; *reply says which frame. */
#define ACCESS_WRITE BIT(0)
#define ACCESS_FETCH BIT(1)
#define ACCESS_WALK  BIT(2) /* of a page-table entry */
enum shadow_result {
	SHADOW_OK,
	SHADOW_NPF, /* #VMEXIT(NPF) with error code reply->error */
	SHADOW_VC,  /* #VC with error code reply->error; unless that is 0x400, CR2 is the GVA */
};
struct shadow_reply {
	u64 error;
	pfn_t pfn;
};
enum shadow_result shadow_access(struct space *space, const struct view *view, u64 raw_gpa,
				 unsigned access, struct shadow_reply *reply);

/* The same for PVALIDATE, RMPADJUST and RMPQUERY of the page at `raw_gpa`: up to the checks that
 * those leave out (page size, validated, VMPL). SHADOW_OK: reply->pfn, *nested_large: the nested
 * leaf is 2 MiB or more. Makes no leaf. */
enum shadow_result shadow_look(const struct view *view, u64 raw_gpa, struct shadow_reply *reply,
			       bool *nested_large);

/* The RMP entries of these frames are about to change, or the PSP is about to use them: no CPU can
 * reach them through a space when this returns, and they are raw. */
void shadow_evict(pfn_t first, u64 count);
/* The VMSA or another page that the processor itself reads raw. */
static inline void shadow_raw(pfn_t p)
{
	shadow_evict(p, 1);
}

/* Nothing of this ASID is left: its frames that are still assigned to it in the RMP become raw, its
 * spaces are empty. Its key is still set. */
void shadow_forget_asid(u32 asid);

/* For tests: the frame is plain. */
bool shadow_is_plain(pfn_t p);

#endif
