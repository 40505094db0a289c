/* SPDX-License-Identifier: BSD-2-Clause */
/* How fast the TSC runs.
 *
 * Measured against the ACPI timer (ACPI Specification 6.5, 4.8.3.3), which only counts: nothing is
 * programmed and nobody waits. Start-up looks at it twice, which gives the frequency to about one
 * part in a thousand; whoever asks later makes the distance longer and the figure exact. CPUID leaf
 * 15h counts where it agrees (Intel SDM Vol. 3, 19.7.3).
 */
#ifndef ARCH_X86_TSC_H
#define ARCH_X86_TSC_H

#include "kernel/types.h"

/* On the boot CPU, after acpi_start(), and as the last thing of start-up. */
void tsc_measure_begin(void);
void tsc_measure_end(void);

/* In Hz, 0: unknown (no ACPI timer and no leaf 15h). The first call fixes it. On CPU 0. */
u64 tsc_frequency(void);

#endif
