/* SPDX-License-Identifier: BSD-2-Clause */
/* Sleeping without missing what should wake.
 *
 * void cpu_sleep(void)
 * void cpu_sleep_open(void)	interrupts on meanwhile
 *
 * In:  interrupts off, GS base is Septum's.
 * Out: as a C function.
 *
 * An NMI that interrupts one of the windows before it sleeps continues behind it (nmi_window_add).
 */
#include "arch/x86/offsets.h"

	.text
	.globl cpu_sleep, cpu_sleep_start, cpu_sleep_end
	.type cpu_sleep, @function
cpu_sleep:
cpu_sleep_start:
	cmpw	$0, %gs:CPU_NMI_SEEN	/* and kicked */
	jne	cpu_sleep_end
	hlt
cpu_sleep_end:
	ret
	.size cpu_sleep, . - cpu_sleep

	.globl cpu_sleep_open, cpu_sleep_open_start, cpu_sleep_open_end
	.type cpu_sleep_open, @function
cpu_sleep_open:
cpu_sleep_open_start:
	cmpw	$0, %gs:CPU_NMI_SEEN
	jne	cpu_sleep_open_end
	sti
	hlt
cpu_sleep_open_end:
	cli
	ret
	.size cpu_sleep_open, . - cpu_sleep_open

	.section .note.GNU-stack, "", @progbits
