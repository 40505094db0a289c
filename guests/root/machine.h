/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine as a root payload uses it: its start, console, memory, interrupts and end. */
#ifndef GUESTS_ROOT_MACHINE_H
#define GUESTS_ROOT_MACHINE_H

#include "guests/lib/types.h"

#include <septum/abi.h>

extern const struct septum_boot_info *boot;

/* Each payload's own: everything is set up. The value is the machine's exit: 0 is success. */
int root_main(void);

/* Contiguous free root memory, zeroed, aligned to `align` (a power of two, at least a page). Ends
 * the machine when there is none. */
void *memory_take(u64 bytes, u64 align);
/* What is taken after mark is free again after release(mark). */
u64 memory_mark(void);
void memory_release(u64 mark);
u64 memory_free(void);

/* Lets the root's pending interrupts be taken (and acknowledges them). */
void interrupts_serve(void);
/* How many were taken since the start. */
extern u64 interrupts_taken;

/* Prints everything that console_put has collected. */
void console_flush(void);

/* Prints `SEPTUM-EXIT: <n>`. With the boot option emulator-exit it ends the emulator: QEMU by port
 * 0xf4, value 0x10 + n, Bochs by port 0x8900. Else the machine halts. */
__attribute__((noreturn)) void machine_exit(int status);

#endif
