/* SPDX-License-Identifier: BSD-2-Clause */
/* The conversion protocol: events out, verdicts in (design, section 5; <septum/abi.h>, part 4).
 *
 * An event stops its vCPU (WAIT_EVENT) until a verdict for its seq has been applied. Verdicts are
 * drained from the ring into the vCPU's slot under the ring lock, and applied by the CPU that is
 * about to run the vCPU. Which verdict may answer which event is one table.
 */
#ifndef KERNEL_PROTOCOL_H
#define KERNEL_PROTOCOL_H

#include "kernel/vcpu.h"
#include "kernel/vm.h"

/* Posts an event for `v`, which stops. `type`, `flags`, `gpa`, `size` and `data` are filled in by
 * the caller, the rest here. A broken ring leaves the vCPU stopped for good. */
void event_post(struct vcpu *v, struct septum_event *event);

/* A nested fault, or an access by Septum in the guest's name: resolve it, or post its event.
 * True: resolved, the vCPU can go on. */
bool access_fault(struct vcpu *v, const struct access *access, u64 code);

/* The guest asks for a conversion (map-GPA-range). Validates as KVM does. Returns true when the
 * answer is known at once, with it in `*answer` (0 or -SEPTUM_KVM_*): false: an event was posted,
 * and the guest's call returns when it is answered. Merged runs: the part of the range that is
 * already as wanted makes no event. */
bool explicit_request(struct vcpu *v, u64 gpa, u64 pages, u64 attributes, s64 *answer);

/* Takes all completions of the VM's ring, refuses those that can be refused at once, leaves the
 * others in their vCPUs' slots and applies them. Returns the number refused. Sets the vCPUs'
 * WAIT_NONE where they can go on. E_RING in `*status` when the ring is broken. */
u32 verdicts_drain(struct vm *vm, enum status *status);

/* Loop guard, called for each denied (INJECTed) access: true: the vCPU was cut off (FAILED event
 * posted). */
bool loop_guard(struct vcpu *v, gpa_t gpa);

#endif
