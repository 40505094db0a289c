/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/protocol.h"

#include "kernel/exits.h"
#include "kernel/machine_check.h"
#include "kernel/string.h"
#include "kernel/trace.h"
#include "mm/tlb.h"

#define V(verdict, effect) [SEPTUM_VERDICT_##verdict] = (effect)

/* Part 4 of <septum/abi.h>. */
const u8 verdict_effects[EVENT_TYPES][VERDICTS] = {
	[SEPTUM_EVENT_MEMORY_FAULT] = {V(CONVERT, EFFECT_CONVERT), V(RETRY, EFFECT_LOOK),
				       V(INJECT, EFFECT_DENY), V(KILL, EFFECT_KILL)},
	[SEPTUM_EVENT_EXPLICIT] = {V(CONVERT, EFFECT_GRANT), V(KILL, EFFECT_KILL),
				   V(COMPLETE, EFFECT_COMPLETE)},
	[SEPTUM_EVENT_POOL_EMPTY] = {V(RETRY, EFFECT_REFILLED), V(KILL, EFFECT_KILL)},
	[SEPTUM_EVENT_IO] = {V(INJECT, EFFECT_REFUSE), V(KILL, EFFECT_KILL),
			     V(COMPLETE, EFFECT_COMPLETE)},
	[SEPTUM_EVENT_MMIO] = {V(RETRY, EFFECT_LOOK), V(INJECT, EFFECT_REFUSE),
			       V(KILL, EFFECT_KILL), V(COMPLETE, EFFECT_COMPLETE)},
	[SEPTUM_EVENT_MSR] = {V(INJECT, EFFECT_REFUSE), V(KILL, EFFECT_KILL),
			      V(COMPLETE, EFFECT_COMPLETE)},
	[SEPTUM_EVENT_HALT] = {V(KILL, EFFECT_KILL), V(COMPLETE, EFFECT_COMPLETE)},
	[SEPTUM_EVENT_SHUTDOWN] = {V(KILL, EFFECT_KILL)},
	[SEPTUM_EVENT_FAILED] = {V(KILL, EFFECT_KILL)},
};

#define ACCESS_FLAGS                                                                               \
	(SEPTUM_EVENT_READ | SEPTUM_EVENT_WRITE | SEPTUM_EVENT_EXEC | SEPTUM_EVENT_PRIVATE)

/* ---- Events out ---- */

/* `event` without vcpu, vm and seq; `v` stops whether it could be posted or not. */
static void post(struct vcpu *v, struct septum_event *event)
{
	struct vm *vm = v->vm;
	enum status status;
	bool rings = false;

	event->vcpu = v->index;
	event->vm = vm->id;
	spin_lock(&vm->ring.lock);
	v->wait = WAIT_EVENT;
	v->slot.answer = SLOT_OPEN;
	status = ring_post(&vm->ring, event, &v->slot.position);
	v->slot.seq = status == OK ? event->seq : 0;
	if (event != &v->slot.event)
		v->slot.event = *event;
	if (status == OK) {
		vm->events_posted++;
		rings = v->cpu != 0 && vm->doorbell != 0 && ring_wakes(&vm->ring, v->slot.position);
	}
	spin_unlock(&vm->ring.lock);
	if (rings)
		doorbell_ring(vm->doorbell);
	if (status == OK)
		trace(SEPTUM_TRACE_EVENT, vm->id, v->index, (u64)event->type << 32 | event->seq,
		      event->gpa);
}

void event_post(struct vcpu *v, struct septum_event *event)
{
	event->stamp = memory_stamp(&v->vm->memory);
	post(v, event);
}

void events_repost(struct vm *vm)
{
	for (u32 i = 0; i < vm->vcpu_limit; i++) {
		struct vcpu *v = vm->vcpus[i];
		struct septum_event event;

		if (!v || v->dead || v->wait != WAIT_EVENT)
			continue;
		event = v->slot.event;
		/* The only event that has something in the payload page. */
		if (event.type == SEPTUM_EVENT_IO && (event.flags & SEPTUM_EVENT_STRING) &&
		    (event.flags & SEPTUM_EVENT_WRITE))
			memcpy(ring_payload(&vm->ring, i), v->pending.held,
			       event.size * event.data[2]);
		post(v, &event);
	}
}

static u32 access_flags(const struct access *access, const struct fault *fault)
{
	u32 flags = fault->is_private ? SEPTUM_EVENT_PRIVATE : 0;

	if (access->exec)
		flags |= SEPTUM_EVENT_EXEC;
	if (access->write)
		flags |= SEPTUM_EVENT_WRITE;
	if (!access->exec && !access->write)
		flags |= SEPTUM_EVENT_READ;
	if (access->user)
		flags |= SEPTUM_EVENT_USER;
	if (access->walk)
		flags |= SEPTUM_EVENT_WALK;
	if (fault->outcome == FAULT_PERMISSION)
		flags |= SEPTUM_EVENT_PERMISSION;
	if (fault->outcome == FAULT_NO_SLOT)
		flags |= SEPTUM_EVENT_NO_SLOT;
	return flags;
}

/* Posts what `fault` says of `access`, if that is for the manager to decide. */
static bool fault_post(struct vcpu *v, struct access access, u64 code, const struct fault *fault)
{
	struct septum_event *event;

	switch (fault->outcome) {
	case FAULT_CONVERSION:
		count(v, SEPTUM_COUNTER_IMPLICIT_FORWARDED);
		/* fall through */
	case FAULT_PERMISSION:
	case FAULT_NO_SLOT:
		event = event_begin(v, SEPTUM_EVENT_MEMORY_FAULT);
		event->data[0] = access.raw_gpa;
		event->data[1] = code;
		break;
	case FAULT_POOL_EMPTY:
		count(v, SEPTUM_COUNTER_POOL_EMPTY);
		event = event_begin(v, SEPTUM_EVENT_POOL_EMPTY);
		event->data[0] = fault->needed;
		break;
	default:
		return false;
	}
	event->flags = access_flags(&access, fault);
	event->gpa = fault->gpa.n;
	event->size = PAGE_SIZE;
	event->stamp = fault->stamp;
	v->slot.access = access;
	v->slot.code = code;
	v->slot.cause = fault->outcome;
	post(v, event);
	return true;
}

/* An instruction or a page table behind which nothing stands: there is nothing to emulate, and
 * looking for it would only fault in the same place again. */
static void access_failed(struct vcpu *v, const struct access *access, const struct fault *fault,
			  enum septum_failure failure, u64 code)
{
	struct septum_event event = {
		.type = SEPTUM_EVENT_FAILED,
		.flags = access_flags(access, fault),
		.gpa = fault->gpa.n,
		.data = {failure, code},
	};

	event_post(v, &event);
}

bool access_fault(struct vcpu *v, const struct access *access, u64 code)
{
	struct fault fault = memory_fault(&v->vm->memory, access);

	switch (fault.outcome) {
	case FAULT_RESOLVED:
		return true;
	case FAULT_MACHINE:
		access_failed(v, access, &fault, SEPTUM_FAILURE_MACHINE, code);
		return false;
	case FAULT_BEYOND:
		machine_check_raise(v, fault.gpa, access->exec);
		return v->wait == WAIT_NONE;
	case FAULT_MMIO:
		/* Nobody can see which instruction it is of a guest with encrypted registers. */
		if (!access->exec && !access->walk && !v->sealed)
			return mmio_access(v, access) == AFTER_RESUME;
		access_failed(v, access, &fault, SEPTUM_FAILURE_DECODE, 0);
		return false;
	default:
		return !fault_post(v, *access, code, &fault);
	}
}

/* ---- Verdicts in: what each effect does ----
 *
 * The vCPU waits and nobody runs it. On OK the event is answered: the vCPU goes on, waits for the
 * next event, sleeps or is dead. Else it is as it was. */

static void event_answered(struct vcpu *v)
{
	v->slot.seq = 0;
	v->wait = WAIT_NONE;
}

/* Resolves the access now rather than by another nested fault; or it is the next event. What is
 * neither (MMIO by now) shows when the guest repeats it. */
static void access_repeat(struct vcpu *v)
{
	struct fault fault = memory_fault(&v->vm->memory, &v->slot.access);

	event_answered(v);
	if (fault.outcome != FAULT_RESOLVED)
		fault_post(v, v->slot.access, v->slot.code, &fault);
}

static enum status effect_convert(struct vcpu *v, const struct septum_completion *c)
{
	const struct septum_event *event = &v->slot.event;
	bool to_private = c->flags & SEPTUM_EVENT_PRIVATE;
	gfn_t page = gpa_to_gfn(gpa(event->gpa));
	gfn_t first = gpa_to_gfn(gpa(c->gpa));
	u64 pages = c->size >> PAGE_SHIFT;
	enum status status;

	if (event->flags & (SEPTUM_EVENT_NO_SLOT | SEPTUM_EVENT_PERMISSION))
		return E_VERDICT;
	if ((event->flags ^ c->flags) & SEPTUM_EVENT_PRIVATE)
		return E_VERDICT;
	if (!IS_ALIGNED(c->gpa, PAGE_SIZE) || !IS_ALIGNED(c->size, PAGE_SIZE))
		return E_ALIGN;
	/* A page below the range is far beyond its end here. */
	if (pages == 0 || pages > CONVERT_PAGES_MAX || page.n - first.n >= pages)
		return E_RANGE;
	status = memory_convert(&v->vm->memory, first, pages, to_private, event->stamp, page, 1,
				CONVERT_ZERO);
	if (status == OK) {
		count(v, SEPTUM_COUNTER_IMPLICIT_CONVERTED);
		trace(SEPTUM_TRACE_CONVERT, v->vm->id, v->index, first.n,
		      pages << 8 | (to_private ? SEPTUM_ATTR_PRIVATE : 0));
	}
	if (status == E_POOL_EMPTY)
		count(v, SEPTUM_COUNTER_POOL_EMPTY);
	if (status == OK || status == E_STALE)
		access_repeat(v);
	return status;
}

static enum status instruction_complete(struct vcpu *v, u64 value)
{
	u32 seq = v->slot.seq;
	enum status status;

	event_answered(v);
	status = emulate_complete(v, value);
	if (status != OK) {
		v->slot.seq = seq;
		v->wait = WAIT_EVENT;
	}
	return status;
}

static enum status effect_grant(struct vcpu *v, const struct septum_completion *c)
{
	const struct septum_event *event = &v->slot.event;
	bool to_private = c->flags & SEPTUM_EVENT_PRIVATE;
	gfn_t first = gpa_to_gfn(gpa(event->gpa));
	u64 pages = event->size >> PAGE_SHIFT;
	enum status status;

	if ((event->flags ^ c->flags) & SEPTUM_EVENT_PRIVATE)
		return E_VERDICT;
	if (!IS_ALIGNED(c->gpa, PAGE_SIZE) || !IS_ALIGNED(c->size, PAGE_SIZE))
		return E_ALIGN;
	if (c->gpa != event->gpa || c->size != event->size)
		return E_RANGE;
	/* The guest itself asks, so nothing that happened meanwhile makes its wish stale. */
	status = memory_convert(&v->vm->memory, first, pages, to_private, MEMORY_ANY_STAMP, first,
				pages, v->request.preserve ? CONVERT_PRESERVE : CONVERT_ZERO);
	if (status == E_POOL_EMPTY)
		count(v, SEPTUM_COUNTER_POOL_EMPTY);
	if (status != OK)
		return status;
	trace(SEPTUM_TRACE_CONVERT, v->vm->id, v->index, first.n,
	      pages << 8 | (to_private ? SEPTUM_ATTR_PRIVATE : 0));
	event_answered(v);
	if (explicit_next(v))
		return OK;
	count(v, SEPTUM_COUNTER_EXPLICIT_DONE);
	return instruction_complete(v, 0);
}

static enum status effect_look(struct vcpu *v)
{
	struct memory *mem = &v->vm->memory;
	const struct septum_event *event = &v->slot.event;
	struct access access = v->slot.access;
	struct fault fault;

	if (event->type == SEPTUM_EVENT_MMIO) {
		access = (struct access){
			.raw_gpa = event->gpa | (mem->shared_bit ? BIT(mem->shared_bit) : 0),
			.write = event->flags & SEPTUM_EVENT_WRITE,
		};
		if (memory_decide(mem, &access).outcome == FAULT_MMIO)
			return E_NO_PROGRESS;
		/* The instruction starts again from its beginning. */
		v->pending.kind = 0;
		event_answered(v);
		return OK;
	}
	fault = memory_decide(mem, &access);
	if (fault.outcome == v->slot.cause &&
	    memory_stamp_range(mem, gpa_to_gfn(gpa(event->gpa)), 1) <= event->stamp)
		return E_NO_PROGRESS;
	access_repeat(v);
	return OK;
}

static enum status effect_refilled(struct vcpu *v)
{
	struct memory *mem = &v->vm->memory;
	const struct septum_event *event = &v->slot.event;
	struct fault fault = memory_decide(mem, &v->slot.access);

	if ((fault.outcome == FAULT_RESOLVED || fault.outcome == FAULT_POOL_EMPTY) &&
	    pool_free_count(v->vm->pool) < event->data[0] &&
	    memory_stamp_range(mem, gpa_to_gfn(gpa(event->gpa)), 1) <= event->stamp)
		return E_NO_PROGRESS;
	access_repeat(v);
	return OK;
}

bool loop_guard(struct vcpu *v, gpa_t where)
{
	u64 stamp = memory_stamp_range(&v->vm->memory, gpa_to_gfn(where), 1);
	u32 flags = v->slot.event.flags & ACCESS_FLAGS;
	struct septum_event failed = {
		.type = SEPTUM_EVENT_FAILED,
		.flags = flags,
		.gpa = where.n,
		.data = {SEPTUM_FAILURE_LOOP},
	};

	if (v->loop_count == 0 || v->loop_gpa != where.n || v->loop_flags != flags ||
	    v->loop_stamp != stamp) {
		v->loop_gpa = where.n;
		v->loop_flags = flags;
		v->loop_stamp = stamp;
		v->loop_count = 0;
	}
	if (++v->loop_count < LOOP_LIMIT)
		return false;
	v->loop_count = 0;
	count(v, SEPTUM_COUNTER_LOOPS);
	event_post(v, &failed);
	return true;
}

static enum status effect_deny(struct vcpu *v)
{
	gpa_t where = gpa(v->slot.event.gpa);
	bool conversion = v->slot.cause == FAULT_CONVERSION;

	if (conversion)
		count(v, SEPTUM_COUNTER_IMPLICIT_DENIED);
	event_answered(v);
	if (loop_guard(v, where))
		return OK;
	inject_machine_check(v, where);
	return OK;
}

static enum status effect_refuse(struct vcpu *v)
{
	bool memory = v->slot.event.type == SEPTUM_EVENT_MMIO;

	event_answered(v);
	if (memory && loop_guard(v, gpa(v->slot.event.gpa)))
		return OK;
	emulate_refuse(v);
	return OK;
}

static enum status effect_complete(struct vcpu *v, const struct septum_completion *c)
{
	u16 type = v->slot.event.type;
	enum status status;

	if (type == SEPTUM_EVENT_EXPLICIT && c->value == 0)
		return E_ARG;
	if (type == SEPTUM_EVENT_HALT && c->value > 1)
		return E_ARG;
	status = instruction_complete(v, c->value);
	if (status == OK && type == SEPTUM_EVENT_EXPLICIT)
		v->request.active = false;
	return status;
}

static enum status effect_kill(struct vcpu *v)
{
	v->slot.seq = 0;
	v->request.active = false;
	v->dead = true;
	return OK;
}

static enum status apply(struct vcpu *v, const struct septum_completion *c)
{
	switch ((enum verdict_effect)verdict_effects[v->slot.event.type][c->verdict]) {
	case EFFECT_CONVERT:
		return effect_convert(v, c);
	case EFFECT_GRANT:
		return effect_grant(v, c);
	case EFFECT_LOOK:
		return effect_look(v);
	case EFFECT_REFILLED:
		return effect_refilled(v);
	case EFFECT_DENY:
		return effect_deny(v);
	case EFFECT_REFUSE:
		return effect_refuse(v);
	case EFFECT_COMPLETE:
		return effect_complete(v, c);
	case EFFECT_KILL:
		return effect_kill(v);
	case EFFECT_NONE:
		break;
	}
	return E_VERDICT;
}

/* ---- Draining ---- */

/* Whose event `c` answers, and whether it can at all. Under the ring lock. `*of` is set as soon as
 * the vCPU is known. */
static enum status accept(struct vm *vm, const struct septum_completion *c, struct vcpu **of)
{
	struct vcpu *v;
	u32 flags_allowed = c->verdict == SEPTUM_VERDICT_CONVERT ? SEPTUM_EVENT_PRIVATE : 0;

	if (c->vcpu >= vm->vcpu_limit || !vm->vcpus[c->vcpu])
		return E_NO_VCPU;
	v = vm->vcpus[c->vcpu];
	*of = v;
	if (c->verdict == 0 || c->verdict >= VERDICTS)
		return E_VERDICT;
	if ((c->flags & ~flags_allowed) || (c->reserved[0] | c->reserved[1] | c->reserved[2]))
		return E_ARG;
	/* The CPU that applies a verdict changes the rest without the lock. */
	if (v->slot.answer != SLOT_OPEN || v->wait != WAIT_EVENT || v->dead || v->running)
		return E_NO_EVENT;
	if (v->slot.seq == 0 || v->slot.seq != c->seq)
		return E_NO_EVENT;
	if (!ring_consumed(&vm->ring, v->slot.position))
		return vm->ring.broken ? E_RING : E_NO_EVENT;
	if (verdict_effects[v->slot.event.type][c->verdict] == EFFECT_NONE)
		return E_VERDICT;
	return OK;
}

/* A refusal is counted and told in the advisory log. */
static void refused_account(struct vm *vm, struct vcpu *v, const struct septum_completion *c,
			    enum status status)
{
	u64 *counters = v ? v->counters : vm->counters;
	struct septum_trace_entry entry = {
		.what = SEPTUM_TRACE_VERDICT,
		.vm = vm->id,
		.vcpu = c->vcpu,
		.a = (u64)c->verdict << 32 | c->seq,
		.b = (u64)status,
	};

	/* Of whichever vCPU, on whichever CPU; all under the ring lock. */
	counters[status == E_STALE ? SEPTUM_COUNTER_VERDICTS_STALE
				   : SEPTUM_COUNTER_VERDICTS_REFUSED]++;
	ring_log(&vm->ring, &entry);
}

static void answered(struct vm *vm, struct vcpu *v, const struct septum_completion *c,
		     u32 ring_slot, enum status status)
{
	trace(SEPTUM_TRACE_VERDICT, vm->id, c->vcpu, (u64)c->verdict << 32 | c->seq, (u64)status);
	if (status != OK)
		refused_account(vm, v, c, status);
	ring_complete(&vm->ring, ring_slot, status);
}

/* Work, in pages converted, after which an interrupt of the root is looked for. */
#define DRAIN_LOOK_PAGES 512u
/* What a completion costs beside its pages. */
#define DRAIN_COST_PAGES 8u

/* Verdict `c` on the event of `v`, which this CPU runs. The ring lock is held, and let go
 * meanwhile: when the next event has been posted, the next verdict may be in the slot before this
 * returns. */
static enum status verdict_apply(struct vcpu *v, const struct septum_completion *c, u32 ring_slot)
{
	struct ring *ring = &v->vm->ring;
	enum status status;

	v->slot.answer = SLOT_APPLYING;
	spin_unlock(&ring->lock);
	status = apply(v, c);
	spin_lock(&ring->lock);
	if (v->slot.answer == SLOT_APPLYING)
		v->slot.answer = SLOT_OPEN;
	answered(v->vm, v, c, ring_slot, status);
	return status;
}

/* The one that waits in the slot. */
static enum status slot_apply(struct vcpu *v)
{
	const struct septum_completion c = v->slot.completion;

	v->vm->answered &= ~BIT(v->index);
	return verdict_apply(v, &c, v->slot.ring_slot);
}

/* One completion. *work grows by what it cost. */
static enum status drain_one(struct vm *vm, struct vcpu *self, const struct septum_completion *c,
			     u32 ring_slot, u64 *work)
{
	struct vcpu *v = NULL;
	enum status status = accept(vm, c, &v);

	*work += DRAIN_COST_PAGES;
	if (status != OK) {
		answered(vm, v, c, ring_slot, status);
		return status;
	}
	if (self ? v == self : v->cpu == 0) {
		status = verdict_apply(v, c, ring_slot);
		if (c->verdict == SEPTUM_VERDICT_CONVERT && status == OK)
			*work += c->size >> PAGE_SHIFT;
		return status;
	}
	v->slot.completion = *c;
	v->slot.ring_slot = ring_slot;
	v->slot.answer = SLOT_ANSWERED;
	vm->answered |= BIT(v->index);
	if (v->cpu != 0)
		cpu_kick(v->cpu);
	return status;
}

/* What other CPUs have taken out of the ring for the vCPUs of this one. */
static u32 left_apply(struct vm *vm, struct vcpu *self)
{
	u32 refused = 0;

	/* The lock is let go meanwhile: each is looked at again. */
	for (u64 left = vm->answered; left != 0; left &= left - 1) {
		struct vcpu *v = vm->vcpus[__builtin_ctzl(left)];

		if ((self ? v == self : v->cpu == 0) && v->slot.answer == SLOT_ANSWERED)
			refused += slot_apply(v) != OK;
	}
	return refused;
}

u32 verdicts_drain(struct vm *vm, struct vcpu *self, enum status *status)
{
	struct ring *ring = &vm->ring;
	struct septum_completion c;
	u32 slot, refused;
	u64 work = 0;

	*status = OK;
	spin_lock(&ring->lock);
	refused = left_apply(vm, self);
	/* No more than the ring holds: what another CPU adds meanwhile waits for the next time. */
	for (u32 taken = 0; taken < SEPTUM_RING_ENTRIES && ring_take(ring, &c, &slot); taken++) {
		if (drain_one(vm, self, &c, slot, &work) != OK)
			refused++;
		if (work >= DRAIN_LOOK_PAGES && memory_must_stop()) {
			*status = E_AGAIN;
			break;
		}
	}
	if (ring->broken)
		*status = E_RING;
	spin_unlock(&ring->lock);
	return refused;
}
