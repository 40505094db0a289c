/* SPDX-License-Identifier: BSD-2-Clause */
/* The SNP model's reverse map table (RMP) and the host's instructions on it.
 *
 * The table lies in the memory that the client named by RMP_BASE and RMP_END, in the layout of
 * Zen 3 and 4: 16 KiB that are the processor's own, then 16 bytes for each frame from address 0
 * on (AMD-ASPFW, sev_rmp.h; AMD64 APM Vol. 2, 15.36.3 and 15.36.4). A 2 MiB entry is the entry of
 * its first frame with the page size bit; the 511 others are zero.
 *
 * One lock, rmp_lock(), guards the table, the processors' shadow tables (model/shadow.h) and the
 * record of which frames are plain. It is taken with any of the client's locks held, and nothing
 * but a kick's wait happens under it. Window MODEL_RMP.
 */
#ifndef MODEL_RMP_H
#define MODEL_RMP_H

#include "kernel/types.h"
#include "svm/sev_machine.h"

#define RMP_HEADER     0x4000ul /* bytes before the first entry */
#define RMP_ENTRY_SIZE 16ul
#define RMP_GPA_LIMIT  BIT(51)
#define RMP_ASID_LIMIT 1024u

/* VMPL permissions (APM Vol. 3, RMPADJUST). */
#define RMP_READ   BIT(0)
#define RMP_WRITE  BIT(1)
#define RMP_EXEC_U BIT(2)
#define RMP_EXEC_S BIT(3)
#define RMP_ALL	   0x0fu
#define RMP_VMPLS  4u

struct rmp_entry {
	u64 gpa; /* bytes */
	u32 asid;
	bool assigned, large, immutable, validated, vmsa;
	u8 perms[RMP_VMPLS];
};

/* Page states of the firmware (SEV-SNP firmware ABI, 5.2; AMD-ASPFW rmp_entry_get_state). */
enum rmp_page_state {
	RMP_STATE_INVALID,
	RMP_STATE_DEFAULT, /* not covered by the table: the hypervisor's */
	RMP_STATE_HYPERVISOR,
	RMP_STATE_HV_FIXED,
	RMP_STATE_FIRMWARE,
	RMP_STATE_FIRMWARE_IOMMU,
	RMP_STATE_RECLAIM,
	RMP_STATE_CONTEXT,
	RMP_STATE_METADATA,
	RMP_STATE_PRE_GUEST,
	RMP_STATE_PRE_SWAP,
	RMP_STATE_GUEST_INVALID,
	RMP_STATE_GUEST_VALID,
};

/* Bits 38:36 of an entry's gpa field (a page number, bits 50:12 of the entry) tell METADATA and
 * FIRMWARE_IOMMU pages from FIRMWARE ones. */
#define RMP_GPA_TAG(tag) ((u64)(tag) << (36 + PAGE_SHIFT))

void rmp_lock(void);
void rmp_unlock(void);

/* SNP_EN: from now on the table is in force. `base` first byte, `end` last byte. */
void rmp_enable(u64 base, u64 end);
/* It is, on some processor: for good. */
bool rmp_enabled(void);
/* What the table takes up. False: not enabled. */
bool rmp_extent(hpa_t *first, hpa_t *last);

/* The entry that speaks for a frame; for a frame inside of a 2 MiB entry that entry, with the gpa
 * of the frame. False: the table does not cover it, and *entry is that of a hypervisor's page.
 * rmp_lock() is held. */
bool rmp_get(pfn_t p, struct rmp_entry *entry);
/* Replaces it. entry->large: all 512 frames from `p`, which is aligned to them; else the frame is
 * not inside of a 2 MiB entry. Processors forget the frames first, and what was plain is raw again
 * under the old entry's key. The table covers them. rmp_lock() is held. */
void rmp_set(pfn_t p, const struct rmp_entry *entry);
enum rmp_page_state rmp_page_state(pfn_t p);
enum rmp_page_state rmp_entry_state(const struct rmp_entry *entry);

/* RMPUPDATE, PSMASH, RMPREAD: enum rmp_status; checked in this order:
 *   RMP_UNDEFINED        SNP is not enabled (#UD)
 *   RMP_FAIL_INPUT       address misaligned or not covered; RMPUPDATE: reserved bits, a gpa that
 *                        is misaligned or too large, an ASID above CPUID 8000001Fh ECX
 *   RMP_FAIL_PERMISSION  the entry, or one of the 512, is immutable
 *   RMP_FAIL_INUSE       VMCB or VMSA of a vCPU that is running
 *   RMP_FAIL_OVERLAP     RMPUPDATE: 4 KiB inside of a 2 MiB entry, or 2 MiB over assigned 4 KiB
 *   RMP_FAIL_REQUIREMENTS PSMASH: no assigned 2 MiB entry
 * Take rmp_lock(). */
#define RMP_UNDEFINED 0xfffffffful
u32 rmp_update(hpa_t page, const struct rmp_state *state);
u32 rmp_psmash(hpa_t block);
u32 rmp_read(hpa_t page, struct rmp_state *state);

/* The 512 entries of a PSMASH, or the one of a PAGE_UNSMASH, without checks. rmp_lock() is held. */
void rmp_smash(pfn_t first);
void rmp_unsmash(pfn_t first);

/* The pages that CPU `cpu` runs a guest from; PFN_NONE: none any more. rmp_lock() is held, or they
 * are the CPU's own and it ends their use. */
void rmp_use(unsigned cpu, pfn_t vmcb, pfn_t vmsa);

#endif
