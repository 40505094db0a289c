/* SPDX-License-Identifier: BSD-2-Clause */
/* Machines that keep a record of their own of who owns a frame (SNP's RMP), or that encrypt what a
 * guest is loaded with: what they must be told, and when.
 *
 * A frame of the pool is the hypervisor's. It is assigned before it is mapped as private, split
 * before its 2 MiB leaf is, and released when no translation is left and before anybody else has
 * it; so descriptor, nested table and the machine's record agree at all times.
 *
 * The memory lock is held in all of them.
 */
#ifndef MM_GUARD_H
#define MM_GUARD_H

#include "kernel/status.h"
#include "kernel/types.h"

struct memory;

enum guard_verdict {
	GUARD_FINE,
	GUARD_LARGER, /* one 2 MiB entry, where the leaf is of 4 KiB */
	GUARD_WRONG,
};

/* `kind` of launch() for ordinary content. Others are the guard's own. */
#define GUARD_LAUNCH_DATA 0u

struct guard_ops {
	/* False: refused, nothing has changed. NULL (all but launch): there is no record. */
	bool (*assign)(struct memory *mem, pfn_t p, u64 g, unsigned level);
	/* The 2 MiB block at `head` becomes 512 frames. */
	void (*split)(struct memory *mem, pfn_t head, u64 g);
	/* False: nobody may use the frame, or some of the block, any more. */
	bool (*release)(struct memory *mem, pfn_t p, unsigned level);
	/* What is recorded of `p`, mapped at `g` by a leaf of `level`. */
	enum guard_verdict (*look)(struct memory *mem, pfn_t p, u64 g, unsigned level);
	/* While the VM is built: a frame with its content, the hypervisor's, becomes part of the
	 * guest at `g`. On error it is the hypervisor's as before (E_ARG: what it should contain is
	 * in it), or lost: E_BROKEN. */
	enum status (*launch)(struct memory *mem, pfn_t p, u64 g, unsigned kind);
};

#endif
