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

/* What a verdict does to an event; 0: it cannot answer it (E_VERDICT). The one table behind part 4
 * of <septum/abi.h>; what depends on an event's flags is decided by the effect. */
enum verdict_effect {
	EFFECT_NONE,
	EFFECT_CONVERT,	 /* compare-and-set of a range, then look at the access again */
	EFFECT_GRANT,	 /* the run of an explicit request, exactly */
	EFFECT_LOOK,	 /* look at the access again, if anything has changed */
	EFFECT_REFILLED, /* the same, if the pool has */
	EFFECT_DENY,	 /* #MC, loop guard */
	EFFECT_REFUSE,	 /* the exception of the instruction in flight */
	EFFECT_KILL,
	EFFECT_COMPLETE, /* the instruction in flight yields `value` */
};
#define EVENT_TYPES (SEPTUM_EVENT_FAILED + 1)
#define VERDICTS    (SEPTUM_VERDICT_COMPLETE + 1)
extern const u8 verdict_effects[EVENT_TYPES][VERDICTS]; /* enum verdict_effect */

/* Equal denied accesses, without a change of the page's attribute, after which a vCPU is cut off.
 */
#define LOOP_LIMIT 64u

/* Where the next event of `v` may be made, zero but for `type`: event_post() need then not copy it.
 * The one before has been answered, or is not looked at any more. */
static inline struct septum_event *event_begin(struct vcpu *v, u16 type)
{
	v->slot.event = (struct septum_event){.type = type};
	return &v->slot.event;
}

/* Posts an event for `v`, which stops. `type`, `flags`, `gpa`, `size` and `data` are filled in by
 * the caller, the rest here. A broken ring leaves the vCPU stopped for good. */
void event_post(struct vcpu *v, struct septum_event *event);

/* The rings are new and empty: posts what each vCPU waits for once more. What was answered and not
 * applied yet is asked again. No vCPU of the VM runs or is detached. */
void events_repost(struct vm *vm);

/* A nested fault, or an access by Septum in the guest's name: resolve it, or post its event.
 * True: the vCPU can go on: enter it again and it repeats the access, or takes the exception that
 * was injected for an address beyond the guest-physical space. `v` is loaded. */
bool access_fault(struct vcpu *v, const struct access *access, u64 code);

/* The guest asks for a conversion (map-GPA-range). Validates as KVM does. Returns true when the
 * answer is known at once, with it in `*answer` (0 or -SEPTUM_KVM_*): false: an event was posted,
 * and the guest's call returns when it is answered. Merged runs: the part of the range that is
 * already as wanted makes no event, and a run is at most CONVERT_PAGES_MAX pages long. */
bool explicit_request(struct vcpu *v, u64 gpa, u64 pages, u64 attributes, s64 *answer);

/* A guest may ask for this many pages at once (1 TiB), else -E2BIG. */
#define EXPLICIT_PAGES_MAX (1ul << 28)

/* Posts the event for the next run of the explicit request of `v`. False: nothing is left, and the
 * request has ended. */
bool explicit_next(struct vcpu *v);

/* Takes the completions of the VM's ring, refuses those that can be refused at once, and puts each
 * of the others into its vCPU's slot. Applies those of the vCPUs that this CPU runs: `self`, which
 * is detached to it, or with NULL (RUN, on CPU 0) all that are attached. The CPU of another vCPU is
 * kicked. Returns the number refused. Sets the vCPUs' WAIT_NONE where they can go on; none of them
 * need be loaded. `*status`: OK; E_RING: the ring is broken; E_AGAIN: memory_must_stop(), some
 * completions are left. */
u32 verdicts_drain(struct vm *vm, struct vcpu *self, enum status *status);

/* Loop guard, called for each denied (INJECTed) access, that of v->slot.event: true: the vCPU was
 * cut off (FAILED event posted). */
bool loop_guard(struct vcpu *v, gpa_t gpa);

#endif
