/* SPDX-License-Identifier: BSD-2-Clause */
/* Septum's side of the event and completion rings of a VM (<septum/abi.h>, part 3).
 *
 * The pages belong to the root, which can write anything into them at any moment. So: Septum keeps
 * its own indices here, reads each shared word exactly once, copies an entry before it looks at it,
 * and marks the ring broken when an index cannot be right. A broken ring stays broken until it is
 * replaced.
 *
 * `lock` serialises Septum's side. The caller of every function but ring_init holds it.
 */
#ifndef KERNEL_RING_H
#define KERNEL_RING_H

#include "kernel/spinlock.h"
#include "kernel/status.h"
#include "kernel/types.h"

#include <septum/abi.h>

#define RING_LOG_ENTRIES 128u

struct ring {
	struct spinlock lock;
	bool broken;
	u32 vcpus;
	struct septum_ring *shared;	       /* page 0, mapped permanently */
	struct septum_event *events;	       /* page 1 */
	struct septum_completion *completions; /* page 2 */
	struct septum_trace_entry *log;	       /* page 3 */
	u8 *payload[8];			       /* pages 4.. */
	u32 event_head;			       /* Septum's own copies */
	u32 event_tail;			       /* last value of the manager's that was right */
	u32 completion_tail;
	u32 completion_next; /* to be taken; from the tail up to it they are in work */
	u64 completion_done; /* by slot: answered, but one before it is not */
	u32 log_head;
	u32 next_seq;
};

/* Fills in the shared header. The pages are pinned and mapped (object_map) by the caller, which has
 * set the pointers. */
void ring_init(struct ring *ring, u32 vcpus);

/* Exchanges the pages of `ring` and `area` (nothing else of `area` is used), and begins anew on its
 * new ones as ring_init does, but seqs go on: what names an event of before names none now. */
void ring_replace(struct ring *ring, struct ring *area);

/* Publishes an event; gives it its seq (never 0) and returns its position. Cannot overflow: the
 * caller has at most one outstanding event for each vCPU. E_RING: broken. */
enum status ring_post(struct ring *ring, struct septum_event *event, u32 *position);

/* The manager wants to be woken by the event at this position. */
bool ring_wakes(const struct ring *ring, u32 position);

/* The next completion, copied. `*slot` is what ring_complete() wants. False: none, or the ring is
 * (now) broken. */
bool ring_take(struct ring *ring, struct septum_completion *completion, u32 *slot);

/* Stores the outcome in the completion's status. Each taken completion is answered once, in any
 * order; completion_tail advances to the first that is not answered yet. */
void ring_complete(struct ring *ring, u32 slot, enum status status);

/* The manager has taken the event at `position`. Reads event_tail once; may find the ring broken
 * (then false). */
bool ring_consumed(struct ring *ring, u32 position);

/* A vCPU's payload bytes (512), in memory that the root can write. */
u8 *ring_payload(struct ring *ring, u32 vcpu);

/* Advisory, lossy. */
void ring_log(struct ring *ring, const struct septum_trace_entry *entry);

#endif
