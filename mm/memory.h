/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's memory: slots, attributes and the nested table, kept in agreement.
 *
 * Three things say what a guest page is: its slot (what can stand behind it), its attribute (what
 * it is meant to be) and the nested table (what the processor uses). The table only ever holds what
 * slot and attribute allow, at the alias that fits: with a SHARED bit, shared pages are mapped at
 * gpa | bit and private ones at gpa; without, at gpa whatever they are.
 *
 * Operations on a range check and reserve everything first and then commit with steps that cannot
 * fail, a 2 MiB block at a time. Where the contract says E_AGAIN, the operation looks at
 * memory_must_stop() between blocks and may return early with its progress.
 *
 * All functions take `lock` of the memory themselves unless said otherwise; none may be called with
 * a pool or frame lock held. Windows used: ZERO, COPY_*; memory_read/write: GUEST.
 */
#ifndef MM_MEMORY_H
#define MM_MEMORY_H

#include "kernel/spinlock.h"
#include "kernel/status.h"
#include "kernel/types.h"
#include "mm/attr.h"
#include "mm/guard.h"
#include "mm/nested.h"
#include "mm/pool.h"
#include "mm/tlb.h"

struct slot {
	gfn_t first;
	u64 count;  /* 0: unused */
	pfn_t root; /* first root frame, or PFN_NONE */
	u32 flags;  /* SEPTUM_SLOT_* */
	u32 reserved;
};

struct memory {
	struct spinlock lock;
	u16 owner;     /* VM id, as in the frame descriptors */
	u8 shared_bit; /* 0: none */
	u8 gpa_bits;   /* width of a gpa WITHOUT the SHARED bit: gfns are below 1 << (gpa_bits - 12)
			*/
	bool plain;    /* PLAIN: never private */
	bool discard;  /* VM_DISCARD */
	bool building; /* the VM has not been started */
	u64 end;       /* one past the last gfn */
	u64 alias;     /* what the page number of a shared access has more than the gfn, or 0 */
	struct pool *pool;
	struct nested nested;
	struct attr attr;
	struct tlb tlb;
	struct slot slots[SEPTUM_MAX_SLOTS];
	u64 slot_stamp; /* vm stamp of the last slot change */
	/* Machines that keep a record of their own (mm/guard.h); NULL: none. */
	const struct guard_ops *guard;
	void *guard_context;
	bool guard_refused; /* since the last look */
	bool one_frame;	    /* SEV, SEV-ES: one frame stands behind both aliases of a page */
	u64 content;	    /* pool frames with private content; all it holds: memory_frames() */
	u32 slot_recent;    /* where the last look-up ended */
};

/* One access as a nested fault or a software walk sees it. */
struct access {
	u64 raw_gpa; /* byte-exact, with the SHARED bit as it was */
	bool write, exec, user;
	bool walk; /* the processor's own access to a guest page table */
	/* Where the processor says the kind itself: it is `is_private`. */
	bool kind_known, is_private;
	bool guard;    /* the machine's record forbids it, whatever the table says: it may be .. */
	bool small;    /* .. that the guest asks for 4 KiB where one entry has 2 MiB */
	bool hopeless; /* .. for the last time */
};

enum fault_outcome {
	FAULT_RESOLVED,	  /* mapped, or a translation that was there already: enter again */
	FAULT_CONVERSION, /* access kind and attribute differ */
	FAULT_PERMISSION, /* kinds agree, a permission of the attribute forbids it */
	FAULT_NO_SLOT,	  /* private access, nothing stands behind the page */
	FAULT_MMIO,	  /* shared access, nothing stands behind the page */
	FAULT_POOL_EMPTY, /* `needed` frames are missing */
	FAULT_MACHINE,	  /* the machine's record of owners refuses what should be possible */
	FAULT_BEYOND,	  /* the address is outside of the guest-physical space */
};

struct fault {
	enum fault_outcome outcome;
	bool is_private; /* the access kind */
	gpa_t gpa;	 /* without the SHARED bit */
	u64 stamp;	 /* the memory's stamp when this was decided */
	u64 needed;
};

/* `shared_bit` 0 or a bit number below `gpa_bits`, else E_ARG. `gpa_bits`: width of the nested walk
 * or the processor, whichever is less (at most 48); with a SHARED bit the guest's own addresses end
 * below it. Takes the nested root from the pool, which it binds: E_POOL_EMPTY. What the processor
 * needs is mem->nested.root and mem->tlb. */
enum status memory_init(struct memory *mem, u16 owner, struct pool *pool,
			const struct nested_format *format, unsigned shared_bit, unsigned gpa_bits,
			bool plain, bool discard);

/* Frees everything: private frames and tables to the pool, in-place frames to the root, all zeroed;
 * slots unpinned, the pool unbound. The caller has stopped the vCPUs, and gives back pool frames of
 * its own before the pool may be destroyed. E_AGAIN: call again. */
enum status memory_destroy(struct memory *mem);

/* See SEPTUM_CALL_SLOT_ADD, _SLOT_REMOVE, _ATTR_SET, _ATTR_GET, _MEM_LOAD, _MEM_DISCARD, _PREFAULT
 * for ranges and errors. `*done` counts pages. */
enum status memory_slot_add(struct memory *mem, gfn_t first, u64 count, pfn_t root, u32 flags,
			    u32 *slot);
enum status memory_slot_remove(struct memory *mem, u64 slot);
enum status memory_attr_set(struct memory *mem, gfn_t first, u64 count, unsigned attributes,
			    u64 *done);
enum status memory_attr_get(struct memory *mem, gfn_t page, unsigned *attributes, u64 *stamp);
/* One page of a guest with a guard, BUILDING: `content`, a page, becomes part of the launch image
 * as `kind` of guard_ops.launch. E_STATE, E_RANGE, E_NO_SLOT, E_UNSUPPORTED (it is not private),
 * E_EXISTS, E_POOL_EMPTY, E_FIRMWARE, E_ARG: `content` is what would be accepted. */
enum status memory_launch(struct memory *mem, gfn_t page, void *content, unsigned kind);
/* The frame behind a private page, as it is now. E_RANGE, E_NO_SLOT: there is none. */
enum status memory_private_frame(struct memory *mem, gfn_t page, pfn_t *p);
enum status memory_load(struct memory *mem, gfn_t first, u64 count, pfn_t from, u64 *done);
enum status memory_discard(struct memory *mem, gfn_t first, u64 count, u64 *done);
enum status memory_prefault(struct memory *mem, gfn_t first, u64 count, u64 *done);

/* Decides one access, and maps the page if slot and attribute allow it: with the largest leaf that
 * is uniform and contiguous. Never changes an attribute. */
struct fault memory_fault(struct memory *mem, const struct access *access);

/* As memory_fault, but changes nothing: what would it say? FAULT_RESOLVED and FAULT_POOL_EMPTY are
 * both "it could be mapped". For the progress check of RETRY. */
struct fault memory_decide(struct memory *mem, const struct access *access);

enum convert_content { CONVERT_ZERO, CONVERT_PRESERVE };

/* Converts [first, first + count) to private or shared.
 *
 *   since   a stamp: E_STALE if any page of the range has changed later; or MEMORY_ANY_STAMP
 *   given   pages whose private content the guest has given up: a sub-range of the range (all of it
 *           for an explicit request, the faulting page for an implicit one)
 *   content PRESERVE keeps content in place: E_UNSUPPORTED unless all of it is SLOT_INPLACE
 *
 * All or nothing: E_STALE, E_RANGE, E_NO_SLOT (to private: a page without private backing),
 * E_POPULATED (see SEPTUM_VM_DISCARD), E_POOL_EMPTY, E_NO_TABLE, E_UNSUPPORTED (plain). Pages that
 * are in the wanted state already keep their stamps. Not interruptible: at most CONVERT_PAGES_MAX
 * pages, else E_RANGE; a longer request is served in pieces by the caller. */
#define MEMORY_ANY_STAMP  (~0ul)
#define CONVERT_PAGES_MAX (512ul * 512ul)
enum status memory_convert(struct memory *mem, gfn_t first, u64 count, bool to_private, u64 since,
			   gfn_t given_first, u64 given_count, enum convert_content content);

/* The newest stamp; and the newest of a range. */
u64 memory_stamp(const struct memory *mem);
u64 memory_stamp_range(struct memory *mem, gfn_t first, u64 count);

/* Reads or writes guest memory as the guest's own access at `raw_gpa` would (kind by the SHARED bit
 * or attribute), not crossing a page. False: it would fault (the caller raises it with
 * memory_fault). Never touches a frame that is not this guest's to see. `bytes` at least 1; 2, 4 or
 * 8 are one access when both addresses are aligned to them. */
bool memory_read(struct memory *mem, u64 raw_gpa, void *to, unsigned bytes);
bool memory_write(struct memory *mem, u64 raw_gpa, const void *from, unsigned bytes);
/* Compare-and-swap of an aligned 4- or 8-byte word (accessed/dirty bits). `*swapped`: it was
 * `expected`. False as above. */
bool memory_cmpxchg(struct memory *mem, u64 raw_gpa, unsigned bytes, u64 expected, u64 desired,
		    bool *swapped);

struct memory_counts {
	u64 private_pages; /* attribute private */
	u64 shared_pages;  /* of slots, attribute shared */
	u64 mapped[3];	   /* leaves by level */
};
void memory_count(struct memory *mem, struct memory_counts *counts);

/* The pool frames it holds: content and tables. */
u64 memory_frames(const struct memory *mem);

/* True: an interrupt waits that Septum must let through; range operations return E_AGAIN at the
 * next block boundary, having done at least one block. Given by kernel/, false in most host tests.
 */
bool memory_must_stop(void);

/* ---- The root partition's memory: everything that nobody else owns, at its own address. */

/* The memory map given to memory_setup: RAM that the root may own. Everything else below
 * `phys_bits` is a device's, mapped to the root on demand except where hidden. */
struct memory_region {
	hpa_t base;
	u64 size;
	bool ram;
};

/* Builds the descriptors (own_alloc), gives all RAM to the root (the caller then claims Septum's
 * own with memory_claim() and calls own_alloc() no more), and makes the root's nested table, empty:
 * it fills on demand. memtype_of() of mm/root.h tells the root's memory type of what is not RAM. */
void memory_setup(const struct memory_region *regions, unsigned count, unsigned phys_bits,
		  const struct nested_format *format);

/* Makes Septum's frames and hidden ranges (in pages, rounded outwards; RAM or not) unreachable for
 * everybody else; at start-up, after memory_setup() and before the first pin. Panics when there are
 * too many hidden ranges outside of RAM. */
void memory_claim(hpa_t base, u64 size);

struct nested *root_nested(void);
struct tlb *root_tlb(void);

/* A nested fault of the root. True: mapped, enter again. False: not the root's: refuse (#GP). */
bool root_fault(const struct access *access);

/* Copies from or to root-owned memory at an address that the root gave. E_NOT_ROOT: not all of the
 * range is the root's. */
enum status root_read(hpa_t from, void *to, u64 bytes);
enum status root_write(hpa_t to, const void *from, u64 bytes);

/* Pins root frames (rings, slots), so that they cannot be donated or change owner. All or none.
 * E_NOT_ROOT, E_LIMIT (pinned too often), E_RANGE. */
enum status root_pin(pfn_t first, u64 count);
void root_unpin(pfn_t first, u64 count);

#endif
