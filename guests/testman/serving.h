/* SPDX-License-Identifier: BSD-2-Clause */
/* The manager of detached vCPUs: takes events from the rings of test.vm and answers them without a
 * call, and keeps book of each: it comes once, is answered once, and its answer has one outcome. */
#ifndef GUESTS_TESTMAN_SERVING_H
#define GUESTS_TESTMAN_SERVING_H

#include "guests/testman/testman.h"

/* What became of the events. */
extern struct tally {
	u64 events, faults, conversions, stale, refused;
	u64 outcomes;	   /* answers that Septum has said yes or stale to */
	u32 first, last;   /* seq of the events */
	const char *wrong; /* what happened that must not, or NULL */
	u32 looked;	   /* completions whose outcome is known, runs freely */
	u32 done;	   /* vCPUs that have reached their end */
	u32 bad;	   /* exits of guests with a code */
	bool runs;	   /* serve() calls RUN too, for vCPUs that are not detached */
	char text[24];	   /* what came by string output last */
} tally;

/* Begins the book anew: for a new VM, or a new manager of an old one. */
void tally_start(void);
/* Takes an event into the book, and answers it as a manager does that grants everything; not the
 * guest's end. */
void take(const struct septum_event *event);
void answer(const struct septum_event *event);
/* Looks at what Septum has said of the completions since the last look. */
void outcomes(void);
/* .. and is there a slot for another answer? Finished in any order, those of the slowest vCPU keep
 * their slot and all behind it. */
bool room(void);
/* Serves the rings until so many vCPUs have ended. False, and the scenario has failed: nothing has
 * come for `ticks`, or something was wrong. */
bool serve(u32 vcpus, u64 ticks);
/* No event came twice or never, and all but `open` of them have one outcome. */
bool each_answered_once(u64 open);

#define PATIENCE 200000000000ul /* TSC ticks */

/* NAME=n of the command line. */
u64 number(const char *name, u64 otherwise);
/* "body rounds=n" */
void words(char *to, const char *body, u64 n);
/* False: the scenario is skipped. */
bool enough_cpus(u64 wanted);
bool detach(u64 vcpu, u64 cpu);
bool attach(u64 vcpu);
u64 vcpu_state(u64 vcpu);
void wait_ticks(u64 ticks);

#endif
