/* SPDX-License-Identifier: BSD-2-Clause */
/* Which CPUs may still hold translations of a nested table, and since when.
 *
 * Every nested table has one `struct tlb`. Whoever removes or narrows a mapping calls
 * tlb_invalidate() once for the whole range, and only when it has returned may a frame change hands
 * or an attribute change become visible.
 *
 * Translations are used only in guest mode. So a CPU that is in Septum need only flush before it
 * enters again, and one that is in guest mode is kicked out of it. The vendor code does, for each
 * entry,
 *
 *	tlb_enter()	says: I am in guest mode with this table, flushed as of epoch e; then looks
 *at the epoch; if it is another one, says so, and returns true (flush if so) (enter guest mode,
 *unless this CPU has been kicked) tlb_leave()
 *
 * and tlb_invalidate() moves the epoch on, then looks who is in guest mode with an older one, kicks
 * those CPUs and waits for them. A full barrier stands between the two steps on either side, so at
 * least one of the two sees the other: the CPU the new epoch, or tlb_invalidate() the CPU. A kick
 * that comes between tlb_enter() and the entry itself prevents the entry (arch/x86/smp.h).
 *
 * tlb_invalidate() waits with locks held. That is safe since a CPU waits for nothing, neither lock
 * nor flush, between tlb_enter() and tlb_leave().
 */
#ifndef MM_TLB_H
#define MM_TLB_H

#include "kernel/types.h"

#define CPUS_MAX 64u

struct tlb {
	u64 epoch;	    /* grows with each invalidation that had to be; never 0 */
	u64 seen[CPUS_MAX]; /* by CPU: the epoch as of its last flush; 0: it never entered */
	u64 flush_count;
	u64 kick_count; /* CPUs that had to be fetched out of guest mode */
};

/* What each CPU says of itself; tlb.c only, but for the inline functions here. */
struct tlb_cpu {
	struct tlb *tlb; /* in guest mode with this one; NULL: in Septum */
	u64 epoch;	 /* .. having flushed as of here */
} __attribute__((aligned(64)));
extern struct tlb_cpu tlb_cpus[CPUS_MAX];
/* Only CPUs below this enter guest mode; set before the first does. */
extern unsigned tlb_cpu_count;

void tlb_init(struct tlb *tlb);

/* Returns when no CPU can use a translation of `tlb` that was removed from the table before the
 * call. Returns the epoch as of which that is so: the one before, when no CPU has entered since it
 * began, so that several removals in a row cost one flush. This CPU is not in guest mode. */
u64 tlb_invalidate(struct tlb *tlb);

/* The slow half of tlb_enter(). */
void tlb_renew(struct tlb *tlb, unsigned cpu);

/* CPU `cpu` is about to enter guest mode with this table. True: it must flush what it holds of it
 * first; it is then recorded as done. tlb->seen[cpu] is the epoch that it enters with. */
static inline bool tlb_enter(struct tlb *tlb, unsigned cpu)
{
	struct tlb_cpu *here = &tlb_cpus[cpu];
	u64 seen = tlb->seen[cpu];

	__atomic_store_n(&here->epoch, seen, __ATOMIC_RELAXED);
	__atomic_store_n(&here->tlb, tlb, __ATOMIC_SEQ_CST); /* a full barrier on x86 */
	if (__builtin_expect(__atomic_load_n(&tlb->epoch, __ATOMIC_SEQ_CST) == seen, 1))
		return false;
	tlb_renew(tlb, cpu);
	return true;
}

/* It has left guest mode, or has not entered after all. */
static inline void tlb_leave(unsigned cpu)
{
	__atomic_store_n(&tlb_cpus[cpu].tlb, NULL, __ATOMIC_RELEASE);
}

/* ---- Given by arch/, and by the host tests' machine. */

/* Makes a CPU leave guest mode, or not enter it; does not wait. */
void cpu_kick(unsigned cpu);
/* A turn of a loop that waits for CPU `cpu`. `*since` is 0 before the first turn. No CPU keeps
 * another waiting for long, so when this has lasted far longer than anything can take, Septum
 * itself is broken: it panics and names the CPU. */
void cpu_await(unsigned cpu, u64 *since);
/* A turn of any other such loop. */
void cpu_relax(void);

#endif
