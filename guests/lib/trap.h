/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptor tables, exceptions and interrupts, and the means to survive an access that faults.
 *
 * Each CPU has a GDT and TSS of its own; the IDT is common. NMI, #DF and #MC have stacks of their
 * own (IST 1, 2, 3); IST 4 is free for programs: see trap_ist_set().
 */
#ifndef GUESTS_LIB_TRAP_H
#define GUESTS_LIB_TRAP_H

#include "guests/lib/types.h"

#define TRAP_CPUS 2u

#define SELECTOR_CODE	   0x08u
#define SELECTOR_DATA	   0x10u
#define SELECTOR_USER_DATA 0x1bu
#define SELECTOR_USER_CODE 0x23u
#define SELECTOR_CODE32	   0x28u

#define VECTOR_DB  1
#define VECTOR_NMI 2
#define VECTOR_UD  6
#define VECTOR_DF  8
#define VECTOR_GP  13
#define VECTOR_PF  14
#define VECTOR_MC  18

struct trap_frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
	u64 vector, error;
	u64 rip, cs, rflags, rsp, ss;
};

/* True: dealt with, return from it. Otherwise the common code looks for a PROBE in progress, and
 * without one reports the exception and ends the program. */
typedef bool trap_handler(struct trap_frame *frame);
extern trap_handler *trap_handlers[256];

/* The last exception that ended a PROBE, or vector -1. */
struct trap_record {
	int vector;
	u64 error, rip, cr2;
};
extern struct trap_record trap_last;
extern u64 trap_resume; /* where to go on after an exception, or 0 */

/* Runs assembly that may fault. After it, trap_last says what happened. Operands are as for asm;
 * RAX is clobbered before the text runs. */
#define PROBE(text, ...)                                                                           \
	do {                                                                                       \
		trap_last.vector = -1;                                                             \
		__asm__ volatile("lea 771f(%%rip), %%rax\n\t"                                      \
				 "mov %%rax, trap_resume(%%rip)\n\t" text "\n\t"                   \
				 "771: movq $0, trap_resume(%%rip)" __VA_ARGS__);                  \
	} while (0)

/* Reads or writes one word where that may fault. False: it did, see trap_last. */
bool probe_read(const volatile void *address, u64 *value);
bool probe_write(volatile void *address, u64 value);
bool probe_msr_read(u32 index, u64 *value);
bool probe_msr_write(u32 index, u64 value);

/* Loads descriptor tables for this CPU (0..TRAP_CPUS-1) and, on CPU 0, sets up the IDT. */
void trap_init(unsigned cpu);

/* Gives a vector an IST stack (0: none). */
void trap_ist_use(unsigned vector, unsigned ist);
/* Sets the stack of IST `ist` (1..7) of CPU 0; `top` is one past its end. */
void trap_ist_set(unsigned ist, void *top);
/* The address of the IDT, 4 KiB, page aligned. */
void *trap_idt(void);

/* Runs `function` at CPL 3 on `stack` (its top), with IOPL 0 and interrupts off; returns what it
 * returned. The pages involved must be user pages. */
u64 user_run(u64 (*function)(u64), u64 argument, void *stack);

/* Each program's own: an exception that nobody expected. */
__attribute__((noreturn)) void trap_unexpected(const struct trap_frame *frame);

#endif
