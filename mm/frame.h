/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames and their owners: one 8-byte descriptor per frame of RAM.
 *
 * The descriptor says what the frame is (enum frame_state), whose, and one argument:
 *
 *   state     owner            argument
 *   ROOT      0                number of pins
 *   OFFERED   VM               gfn that it backs
 *   POOL      pool             0
 *   PRIVATE   VM               gfn
 *   TABLE     VM               0
 *   OBJECT    VM               0
 *   INPLACE   VM               gfn
 *
 * 512 frames of an aligned 2 MiB block that are wholly in a pool or wholly one private block of a
 * VM have ONE descriptor, at the first frame (level 1); the other 511 are not looked at. ROOT,
 * OFFERED and INPLACE frames always have one each.
 *
 * A state changes only by frame_change() and its kin, under the descriptor's own lock (bit 0), and
 * only as mm/frame_table.h allows.
 *
 * Lock order: kernel/lock_order.h; never two frames at once.
 */
#ifndef MM_FRAME_H
#define MM_FRAME_H

#include "kernel/types.h"
#include "mm/frame_table.h"

enum frame_state {
#define X(name, text) FRAME_##name,
	FRAME_STATE_LIST(X)
#undef X
		FRAME_STATES
};

enum frame_op {
#define X(name, text) FRAME_OP_##name,
	FRAME_OP_LIST(X)
#undef X
		FRAME_OPS
};

enum frame_condition { FRAME_REFUSED, FRAME_ANY, FRAME_UNPINNED, FRAME_PINNED, FRAME_OWNER };

struct frame_cell {
	u8 condition; /* enum frame_condition; FRAME_REFUSED: not allowed */
	u8 to;	      /* enum frame_state */
};

/* The table of mm/frame_table.h, as frame_change() uses it. */
extern const struct frame_cell frame_cells[FRAME_OPS][FRAME_STATES];

#define FRAME_PINS_MAX 0xfffffful

/* A copy of a descriptor. `level`: LEVEL_2M when it speaks for a whole block. `arg` is that of the
 * frame asked for (the gfn of a frame inside a private block). */
struct frame {
	enum frame_state state;
	unsigned level;
	u16 owner;
	u64 arg;
};

/* Makes descriptors, all ABSENT, for frames below `end`; from own_alloc(), once. */
void frame_setup(pfn_t end);
/* Frames from here on have no descriptor: they are not RAM. A multiple of 512. */
pfn_t frame_limit(void);

/* What a frame is, without a lock: true at some moment of the call. ABSENT beyond the limit. */
struct frame frame_get(pfn_t p);

/* Does `op` to one frame that has its own descriptor, or refuses and changes nothing.
 *
 *   op                                   owner           arg
 *   TAKE_*, OFFER                        the new owner   the new argument
 *   HIDE, REVEAL                         the VM          the gfn (must be that of the descriptor)
 *   GIVE                                 the VM          the pool's id, the new owner
 *   DONATE                               the pool        -
 *   RECLAIM                              the pool        -
 *   WITHDRAW                             the VM          -
 *   others                               -               -
 */
bool frame_change(enum frame_op op, pfn_t p, u16 owner, u64 arg);
/* The same for a block's descriptor. `head` is the first frame of a level-1 block. */
bool frame_change_block(enum frame_op op, pfn_t head, u16 owner, u64 arg);

/* TAKE_* of one frame of pool `pool`; false: it is something else, and stays so. */
bool frame_take(enum frame_op op, pfn_t p, u16 pool, u16 owner, u64 arg);
/* GIVE of frames [first, first + count) of one block to pool `pool`. Each has its own descriptor,
 * is `state`, of VM `owner`, and has `arg`, or the gfns from `arg` on if private. False: one is
 * something else, those before it have changed. */
bool frame_give(enum frame_state state, pfn_t first, u64 count, u16 owner, u64 arg, u16 pool);

/* Start-up, before any other operation: ADD for a whole range, each frame of which is ABSENT or
 * ROOT, below the limit. */
void frame_add(pfn_t first, u64 count);

/* Gives each frame of a level-1 block a descriptor of its own. */
void frame_split(pfn_t head);
/* One descriptor for 512 frames that are all POOL or all PRIVATE at consecutive gfns, of one owner.
 * False, and nothing has changed: they are not. The caller keeps them from changing meanwhile. */
bool frame_join(pfn_t head);
/* The same for a block of which the caller knows that all are POOL. */
void frame_join_free(pfn_t head);

/* The frame is the root's to see (USE), and stays so until frame_unlock(). */
bool frame_use(pfn_t p);
void frame_unlock(pfn_t p);

/* How many frames of the 2 MiB block that contains `p` the root may see. */
unsigned frame_block_root(pfn_t p);

const char *frame_state_name(enum frame_state state);

#endif
