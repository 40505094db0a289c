/* SPDX-License-Identifier: BSD-2-Clause */
/* What is done about an exit. */
#ifndef KERNEL_EXITS_H
#define KERNEL_EXITS_H

#include "kernel/vcpu.h"

enum after { AFTER_RESUME, AFTER_WAIT, AFTER_INTERRUPT, AFTER_TIME };

/* Handles v->exit. RESUME: enter again. WAIT: the vCPU has an event outstanding, is halted or dead.
 * INTERRUPT: the root must run (guests only). TIME: its turn is over. */
enum after exit_handle(struct vcpu *v);

/* Runs the root partition for ever. */
__attribute__((noreturn)) void root_run(struct vcpu *root);

/* Runs guest `v` on this CPU, in the root's place, until it waits or the root has an interrupt.
 * The root's world is back when it returns. */
enum after guest_run(struct vcpu *v);
/* TSC at which guest_run() and guest_idle() end with AFTER_TIME, or NEVER. */
extern u64 turn_end;
/* The same for one that waits in HLT for an interrupt that is not there: this CPU sleeps until
 * there is an exit, or turn_end. `v` may have woken up when it returns. */
enum after guest_idle(struct vcpu *v);

/* Delivers an exception at the next entry, combined with one in flight as SDM Vol. 3, table 6-5
 * says (#DF, shutdown). */
void inject_exception(struct vcpu *v, u8 vector, bool has_error, u32 error);

/* What is in flight in v->event is to come again after an exception that interrupts it. */
void inject_keep(struct vcpu *v);

/* A denied access: #MC with bank 0 filled, at the vCPU's next entry. `v` need not be loaded. */
void inject_machine_check(struct vcpu *v, gpa_t gpa);

/* RIP past the instruction that caused the exit; decodes it when the processor did not say its
 * length. False: its bytes could not be read (an event or fault is then pending) and nothing has
 * changed. */
bool exit_skip(struct vcpu *v);
/* That length alone, as exit_skip() finds it. */
bool exit_length(struct vcpu *v, unsigned *length);

/* The manager's COMPLETE for the instruction in flight (IN, MMIO, RDMSR, HLT, explicit request).
 * `v` need not be loaded: what follows is done by guest_run(), which may post a further event.
 * HLT answered with 0: v->wait is WAIT_HALTED afterwards, unless an interrupt is there already.
 * Returns OK when the answer is taken, E_VERDICT. */
enum status emulate_complete(struct vcpu *v, u64 value);
/* .. and its INJECT for IO, MSR, MMIO. */
void emulate_refuse(struct vcpu *v);

void cpuid_answer(struct vcpu *v);  /* kernel/cpuid.c: answers and skips nothing */
enum after io_exit(struct vcpu *v); /* kernel/io.c */
enum after mmio_access(struct vcpu *v, const struct access *access); /* kernel/mmio.c */
enum after msr_exit(struct vcpu *v, bool write);		     /* kernel/msr.c */
enum after guest_call(struct vcpu *v);				     /* kernel/guest_call.c */
enum after halt_exit(struct vcpu *v);				     /* kernel/exit.c */
/* The guest asks for a conversion by the name of its own interface: gpr[RAX] becomes 0 or negative,
 * then vendor->skip(). kernel/guest_call.c */
enum after explicit_exit(struct vcpu *v, u64 gpa, u64 pages, bool to_private);
/* A shared access to where nothing stands, already decoded: `bytes` 1, 2, 4 or 8, within a page.
 * What is read is in pending.value when vendor->skip() is called. kernel/mmio.c */
enum after mmio_request(struct vcpu *v, u64 gpa, unsigned bytes, bool write, u64 value);
/* The answer to a guest's hypercall made at `cpl`; false: it takes more than that. */
bool guest_call_answer(u64 number, unsigned cpl, s64 *answer);
void root_call(struct vcpu *v); /* kernel/hypercall.c */

void count_exit(struct vcpu *v);
static inline void count(struct vcpu *v, enum septum_counter counter)
{
	v->counters[counter]++;
}

#endif
