/* SPDX-License-Identifier: BSD-2-Clause */
/* The processors: starting them, giving them work, reaching them.
 *
 * CPU 0, on which Septum was started, is the root partition's; the others are guest CPUs, which
 *sleep until cpu_run_on() gives them something to do. Septum runs with interrupts off everywhere,
 *so a CPU is reached by an NMI, a *kick*: if it sleeps it wakes, if it is in guest mode it leaves,
 *and if it is in Septum, its next cpu_sleep() or entry to guest mode returns at once (vendor->run()
 *with EXIT_NMI). Whoever waits for something therefore does
 *
 *	for (;;) {
 *		kick_take();
 *		if (what it waits for)
 *			break;
 *		cpu_sleep();
 *	}
 *
 * and whoever brings it about does so first and kicks then.
 *
 * An NMI that is nobody's kick goes to the root partition if it comes to CPU 0. On a guest CPU it
 *is as good as a kick: the root can wake one with its own APIC, without leaving guest mode.
 */
#ifndef ARCH_X86_SMP_H
#define ARCH_X86_SMP_H

#include "arch/x86/cpu.h"
#include "kernel/types.h"
#include "mm/tlb.h"

/* How many there are to use: CPUs 0..cpu_count - 1. */
extern unsigned cpu_count;

/* Starts the other processors of the MADT, as many as the option cpus= allows, and prints a line
 * about them. One that does not come up in time, or cannot run guests, is reported and left out. On
 * the boot CPU, after vendor->cpu_enable(), before own_seal(). */
void smp_start(void);

/* Makes guest CPU `cpu` call work(argument); it sleeps again when that returns. False: there is no
 * such guest CPU, or it has work already. What the caller has written before is visible to it. */
bool cpu_run_on(unsigned cpu, void (*work)(void *argument), void *argument);
/* It would take work now. What it has written in its last work is visible to the caller. */
bool cpu_is_idle(unsigned cpu);

/* This CPU's number. */
unsigned cpu_self(void);

/* cpu_kick() and cpu_await() are declared in mm/tlb.h, which needs them too. A kick costs nothing
 * if one is already on its way. */
/* TSC ticks after which cpu_await() gives up: 17 s at 4 GHz. */
extern u64 cpu_patience;
/* This CPU has been kicked since the last call. */
bool kick_take(void);
/* .. and that is not taken yet. */
bool kick_pending(void);
/* Sleeps until this CPU is kicked, or returns at once if it has been and that is not taken yet. May
 * also return without a cause. */
void cpu_sleep(void);
/* The same, and also returns after SEPTUM_POLL_MICROSECONDS. On a guest CPU. */
void cpu_sleep_poll(void);
/* The same, and also returns about TSC `when`. On a guest CPU. */
void cpu_sleep_until(u64 when);
/* Takes, and forgets, the interrupts that wait for this guest CPU. */
void interrupts_take(void);

/* Stops all other CPUs for good (panic, the end of the machine); waits a moment for them. False:
 * another CPU is about to stop this one. */
bool cpus_stop(void);

/* No other CPU has an old translation of Septum's own addresses in its TLB any more. */
void cpus_flush(void);

/* Calls work() on every CPU, and returns when all have done so; one caller at a time. It is called
 * out of the NMI handler, so it takes no lock and uses no window. */
void cpus_call(void (*work)(void));

/* An NMI has come to this CPU: called by its handler, and where the processor reports one instead
 * of delivering it. May not return (cpus_stop()). */
void cpu_nmi(void);

#endif
