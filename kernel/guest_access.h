/* SPDX-License-Identifier: BSD-2-Clause */
/* What Septum reads and writes in a vCPU's name: instructions, the data of INS and OUTS, operands.
 *
 * It sees what the vCPU sees, through its page tables and nested table. Where the vCPU's own access
 * would fault, the fault is raised: #PF or #GP for the guest, or an event for the manager (a
 * private page behind a shared access, for instance). Then the functions return false: the caller
 * leaves everything as it was and returns after_of(v), and the instruction is executed again in
 * time. For the root partition too, whose nested faults are #GP(0).
 *
 * `v` is loaded.
 */
#ifndef KERNEL_GUEST_ACCESS_H
#define KERNEL_GUEST_ACCESS_H

#include "arch/x86/decode.h"
#include "arch/x86/emulate.h"
#include "kernel/string.h"
#include "kernel/vcpu.h"

/* An access that is resolved but does not succeed is given up after so many times, and the guest
 * entered: what it does then, the processor decides. */
#define GUEST_TRIES 16u

struct guest_insn {
	enum decode_status status;
	struct insn insn;
};

/* The instruction at RIP. True: `status` says whether it was understood. */
bool guest_fetch(struct vcpu *v, struct guest_insn *fetched);

/* GUEST_QUIET: nothing is raised, the caller only wants to know. */
enum guest_fault { GUEST_RAISE, GUEST_QUIET };

/* `bytes` at a linear address, with the rights of the current CPL. */
bool guest_read(struct vcpu *v, u64 address, void *to, unsigned bytes, enum guest_fault fault);
/* Returns true with all bytes written, else none are, or those before the page that failed. */
bool guest_write(struct vcpu *v, u64 address, const void *from, unsigned bytes);
/* Would guest_write() succeed? For guests only. */
bool guest_probe(struct vcpu *v, u64 address, unsigned bytes, enum guest_fault fault);

/* access_fault() for an access of Septum's. True: it is resolved and can be tried again. False: an
 * event is posted, or the guest has an exception to take. */
bool guest_resolve(struct vcpu *v, const struct access *access);

/* The guest-physical address, SHARED bit included, of one byte. */
bool guest_translate(struct vcpu *v, u64 address, bool write, u64 *raw_gpa);

#endif
