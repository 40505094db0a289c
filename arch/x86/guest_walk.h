/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's own page tables, walked in software.
 *
 * For reading what a guest sees at a linear address: the bytes of an instruction,
 * the payload of a string. It decides as the processor does, with the same #PF error
 * codes, and sets accessed and dirty bits as the processor does.
 *
 * The tables are the guest's and may change at any time: each entry is read once, and
 * an accessed or dirty bit is set by compare-and-swap on exactly what was read.
 * Guest-physical memory is reached only through struct guest_mem_ops. No state, no
 * allocation; bounded: at most WALK_TRIES walks of at most four entries.
 *
 * Intel SDM Vol 3: 4.3 (32-bit), 4.4 (PAE), 4.5 (4-level), 4.6 (access rights), 4.7
 * (error code), 4.8 (accessed and dirty). AMD APM Vol 2: 5.3, 5.6, 15.25.10 (PDPTEs
 * are read from memory at each walk under nested paging).
 *
 * Not offered to guests, and so not looked at: protection keys (CR4.PKE, CR4.PKS),
 * shadow stacks (CR4.CET), 5-level paging (CR4.LA57: WALK_UNSUPPORTED).
 */
#ifndef ARCH_X86_GUEST_WALK_H
#define ARCH_X86_GUEST_WALK_H

#include "kernel/types.h"

/* How to reach guest-physical memory. Addresses are raw: with the SHARED bit or C-bit
 * as the guest's tables have it. False: the access would fault in the nested table. */
struct guest_mem_ops {
	/* Naturally aligned 4 and 8 bytes are read with one load. Never crosses a page. */
	bool (*read)(void *context, u64 raw_gpa, void *to, unsigned bytes);
	bool (*write)(void *context, u64 raw_gpa, const void *from, unsigned bytes);
	/* Aligned word of 4 or 8 bytes; *swapped: it was `expected` and is now `desired`. */
	bool (*cmpxchg)(void *context, u64 raw_gpa, unsigned bytes, u64 expected, u64 desired,
			bool *swapped);
};

/* The processor state that translation depends on, as the guest sees it. */
struct guest_mmu {
	const struct guest_mem_ops *ops;
	void *context;	   /* handed to ops */
	u64 cr0, cr3, cr4; /* cr3: with C-bit, if any */
	u64 efer, rflags;
	u8 cpl;
	u8 phys_bits;	  /* physical-address width that the guest is told: 32 to 52 */
	bool gib_pages;	  /* CPUID 0x80000001 EDX bit 26 */
	u64 extra_bits;	  /* address bits at or above phys_bits that are not reserved: C-bit, SHARED
			   */
	const u64 *pdpte; /* PAE: the four PDPTE registers (VMX); NULL: in memory at CR3 (SVM) */
};

#define WALK_WRITE BIT(0)
#define WALK_FETCH BIT(1) /* instruction fetch; not together with WALK_WRITE */
#define WALK_IMPLICIT                                                                              \
	BIT(2) /* the processor's own access (GDT, IDT, TSS): supervisor at any CPL                \
		*/

#define WALK_TRIES 16u /* the guest may change an entry under the walk so often */

#define PF_PRESENT  BIT(0)
#define PF_WRITE    BIT(1)
#define PF_USER	    BIT(2)
#define PF_RESERVED BIT(3)
#define PF_FETCH    BIT(4)

enum walk_status {
	WALK_OK,
	WALK_PAGE_FAULT,   /* the guest gets #PF with error_code and CR2 = gva */
	WALK_NESTED,	   /* raw_gpa is not accessible: raise the nested fault there */
	WALK_NONCANONICAL, /* the guest gets #GP(0), or #SS(0) for a stack access */
	WALK_RACED,	   /* the tables kept changing: enter the guest again */
	WALK_UNSUPPORTED,  /* a paging mode that guests are not offered */
};

struct guest_walk {
	u64 gva;	   /* OK: as asked. Else the linear address that failed */
	u64 raw_gpa;	   /* OK: translation of gva. NESTED: what could not be accessed */
	u8 page_shift;	   /* OK: 12, 21, 22 or 30; without paging 12 */
	u32 error_code;	   /* PAGE_FAULT */
	bool nested_write; /* NESTED: it was to be written */
	bool nested_table; /* NESTED: it is a page-table entry, not the data */
};

/* Translates one linear address for one access (WALK_* flags).
 *
 * `gva` is cut to 32 bits if EFER.LMA is 0. With CR0.PG clear it is the result.
 * *walk is written in every case; accessed and dirty bits are set only with WALK_OK
 * (or, for the entries before it, when one of them is WALK_NESTED or WALK_RACED).
 * The data page itself is not touched: that it can be accessed is not known.
 */
enum walk_status guest_walk(const struct guest_mmu *mmu, u64 gva, unsigned access,
			    struct guest_walk *walk);

/* Copy from or to guest-linear memory; at most PAGE_SIZE bytes, which may cross a page.
 *
 * *done is the number of bytes copied, from the start. gva_read: those before the page
 * that failed. gva_write: translates everything before it writes anything, so that it is
 * 0 except for `bytes`, or when the second page is WALK_NESTED for the data itself.
 * Failures as for guest_walk, told in *walk; WALK_UNSUPPORTED also for too many bytes.
 * `access` of gva_write includes WALK_WRITE without being told.
 *
 * To fetch an instruction: gva_read(mmu, CS.base + RIP, buffer, 15, WALK_FETCH, ...) and
 * decode what came; only if that is DECODE_SHORT does the failure matter.
 */
enum walk_status gva_read(const struct guest_mmu *mmu, u64 gva, void *to, unsigned bytes,
			  unsigned access, struct guest_walk *walk, unsigned *done);
enum walk_status gva_write(const struct guest_mmu *mmu, u64 gva, const void *from, unsigned bytes,
			   unsigned access, struct guest_walk *walk, unsigned *done);

#endif
