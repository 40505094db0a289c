/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine as a whole: stopping it, and looking at Septum's own memory with care. */
#ifndef ARCH_X86_MACHINE_H
#define ARCH_X86_MACHINE_H

#include "kernel/types.h"

/* What tools/run reads from the line "SEPTUM-EXIT: <n>" and from the emulator's exit port. */
enum exit_code { EXIT_SUCCESS = 0, EXIT_PANIC = 101, EXIT_BOOT_FAILED = 102 };

/* Allow machine_stop() to end an emulator (boot option emulator-exit). */
void machine_allow_emulator_exit(void);

/* Stop all other processors for good, and come back; or, if another one is doing that, stop. */
void machine_alone(void);

/* Stop for good, all processors. Under an emulator, if allowed, end it with `code`: SEPTUM-EXIT on
 * the console, then 0x10 + code to QEMU's isa-debug-exit at port 0xf4, then "Shutdown" to Bochs's
 * 0x8900. */
_Noreturn void machine_stop(enum exit_code code);

/* Read the word at `address` if it lies on one of Septum's stacks; for backtraces. */
bool machine_stack_read(u64 address, u64 *value);

#endif
