/* SPDX-License-Identifier: BSD-2-Clause */
/* One interrupt of this processor's local APIC at a moment of the TSC, for guests' deadlines on
 * SVM, which has no preemption timer, and for sleep.
 *
 * A guest CPU's APIC is Septum's own. CPU 0's is the root partition's: its timer is borrowed while
 * a guest runs there, and given back before the root does, as if the time had passed for it
 * meanwhile. When the root's own expiry comes first, that ends the loan. What the root can notice:
 * the initial count of a one-shot timer reads as what was left of it. A periodic timer of the
 * root's that runs is not borrowed: guests then have their deadlines looked at whenever it
 * interrupts.
 */
#ifndef ARCH_X86_TIMER_H
#define ARCH_X86_TIMER_H

#include "kernel/types.h"

/* On CPU 0, while it starts: the timer counts from the one to the other (after apic_setup()), which
 * gives its speed; then it is as it was found, but stopped. */
void timer_measure_begin(void);
void timer_measure_end(void);
/* Makes that of a guest CPU ready. */
void timer_setup(void);

/* An interrupt comes at TSC `when` or before; one that comes too early is the caller's to notice,
 * and to arm the timer again. An earlier one that is armed stays. On CPU 0 only while a guest runs.
 */
void timer_arm(u64 when);

/* CPU 0, after an exit for an interrupt: it was the timer's; nothing else is taken. */
bool timer_fired(void);

/* CPU 0: the root is about to run. */
void timer_return(void);

/* On a guest CPU: nothing is armed any more. */
void timer_stop(void);

#endif
