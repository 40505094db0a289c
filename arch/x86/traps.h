/* SPDX-License-Identifier: BSD-2-Clause */
/* Exceptions that happen in Septum itself. */
#ifndef ARCH_X86_TRAPS_H
#define ARCH_X86_TRAPS_H

#include "kernel/types.h"

/* What trap_entry in traps_entry.S leaves on the stack. */
struct trap_frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
	u64 vector, error;
	u64 rip, cs, rflags, rsp, ss;
};

/* Fill the IDT, every vector on the current stack; once. */
void traps_start(void);

/* #DF, NMI and #MC on stacks of their own, once there is a TSS that has them. */
void traps_use_ist(void);

/* Load the IDT on this processor. */
void traps_load(void);

/* True once for one or more NMIs that came to this processor while Septum itself ran: they are the
 * root's, to be given to it at its next entry. */
bool nmi_take(void);

/* An NMI that interrupts [start, end), the last instructions before an entry to guest mode or a
 * sleep, continues at `abort`, so that it does not wait for the next exit or for ever. Boot only.
 */
void nmi_window_add(const char *start, const char *end, const char *abort);

/* Called by the assembly. */
void trap_handle(struct trap_frame *frame);

#endif
