/* SPDX-License-Identifier: BSD-2-Clause */
/* Accesses to guest-physical addresses where nothing stands behind a shared page: devices that the
 * manager plays.
 *
 * One instruction is done in up to four steps: two parts of the load and two of the store, since
 * each may cross a page. A step is an event, or ordinary guest memory (the other side of MOVS, the
 * other page of a crossing access). Registers change after the last step only. A LOCK prefix is not
 * honoured, as a device has no use for it.
 */
#include "kernel/emulate.h"
#include "kernel/guest_access.h"
#include "kernel/lapic_vcpu.h"
#include "kernel/protocol.h"
#include "kernel/string.h"
#include "kernel/vendor.h"
#include "kernel/vm.h"

/* v->pending, for PENDING_MMIO: phase: the step; data[0]: the bytes loaded so far; data[1]: gpa of
 * the event outstanding; size: its bytes. */
enum { STEP_LOAD, STEP_LOAD_REST, STEP_STORE, STEP_STORE_REST, STEP_END };

struct step {
	u64 address;
	unsigned offset; /* of the operand's bytes */
	unsigned bytes;	 /* 0: there is nothing to do */
	bool write;
};

static bool is_load(const struct insn *insn)
{
	return insn->op == INSN_MOVS || insn->mem_read;
}

/* The instruction's registers; the vendor has RSP. */
static void registers_get(const struct vcpu *v, u64 gpr[GPR_COUNT])
{
	memcpy(gpr, v->gpr, sizeof(v->gpr));
	gpr[RSP] = vendor->rsp_get(v);
}

static struct step step_of(const struct insn *insn, const struct vcpu_state *state, const u64 *gpr,
			   unsigned number)
{
	struct step step = {.write = number >= STEP_STORE};
	const struct insn_mem *operand = &insn->mem;
	unsigned first;
	u64 address;

	if (insn->op == INSN_MOVS && !step.write)
		operand = &insn->source;
	if (step.write ? !insn->mem_write : !is_load(insn))
		return step;
	address = insn_linear(insn, operand, gpr, state->rip, state->seg[operand->segment].base);
	first = (unsigned)MIN((u64)insn->mem_size, PAGE_SIZE - address % PAGE_SIZE);
	if (number % 2 == 0) {
		step.address = address;
		step.bytes = first;
	} else {
		step.address = address + first;
		if (insn->mode != DECODE_64)
			step.address = (u32)step.address;
		step.offset = first;
		step.bytes = insn->mem_size - first;
	}
	return step;
}

static void post(struct vcpu *v, const struct step *step, gpa_t gpa, u64 value)
{
	struct septum_event event = {
		.type = SEPTUM_EVENT_MMIO,
		.flags = step->write ? SEPTUM_EVENT_WRITE : SEPTUM_EVENT_READ,
		.gpa = gpa.n,
		.size = step->bytes,
	};

	if (step->write)
		event.data[1] = step->bytes == 8 ? value : value & (BIT(8 * step->bytes) - 1);
	v->pending.answered = false;
	v->pending.size = (u8)step->bytes;
	v->pending.data[1] = gpa.n;
	event_post(v, &event);
}

/* Does one step, or begins it. `bytes`: the operand's part, read or to be written. */
static bool step_do(struct vcpu *v, const struct step *step, unsigned cpl, u8 *bytes)
{
	struct memory *mem = &v->vm->memory;
	struct access access = {.write = step->write, .user = cpl == 3};

	for (unsigned tries = 0; tries < GUEST_TRIES; tries++) {
		struct fault fault;
		u64 value = 0;

		if (!guest_translate(v, step->address, step->write, &access.raw_gpa))
			return false;
		if (step->write ? memory_write(mem, access.raw_gpa, bytes, step->bytes)
				: memory_read(mem, access.raw_gpa, bytes, step->bytes))
			return true;
		fault = memory_decide(mem, &access);
		if (fault.outcome == FAULT_MMIO &&
		    lapic_page(v, fault.gpa.n, bytes, step->bytes, step->write))
			return true;
		if (fault.outcome == FAULT_MMIO) {
			memcpy(&value, bytes, step->bytes);
			post(v, step, fault.gpa, value);
			return false;
		}
		if (!guest_resolve(v, &access))
			return false;
	}
	v->pending.kind = PENDING_NONE;
	return false;
}

enum after mmio_continue(struct vcpu *v)
{
	const struct insn insn = v->pending.insn;
	struct vcpu_state state;
	enum execute_status end;
	u64 gpr[GPR_COUNT], before, stored;

	vendor->state_get(v, &state);
	for (; v->pending.phase < STEP_END; v->pending.phase++) {
		struct step step;
		u64 flags = state.rflags;
		u8 *bytes = (u8 *)&v->pending.data[0];

		registers_get(v, gpr);
		step = step_of(&insn, &state, gpr, v->pending.phase);
		if (step.bytes == 0)
			continue;
		if (step.write) {
			insn_execute(&insn, gpr, &flags, v->pending.data[0], &stored);
			bytes = (u8 *)&stored;
		}
		if (!step_do(v, &step, state.cpl, bytes + step.offset))
			return after_of(v);
	}

	registers_get(v, gpr);
	before = gpr[RSP];
	end = insn_execute(&insn, gpr, &state.rflags, v->pending.data[0], &stored);
	memcpy(v->gpr, gpr, sizeof(v->gpr));
	if (gpr[RSP] != before)
		vendor->rsp_set(v, gpr[RSP]);
	vendor->rflags_set(v, state.rflags);
	v->pending.kind = PENDING_NONE;
	if (end == EXECUTE_DONE)
		vendor->skip(v, insn.length);
	return AFTER_RESUME;
}

void mmio_answer(struct vcpu *v, u64 value)
{
	unsigned step = v->pending.phase;

	v->pending.answered = false;
	if (step == STEP_LOAD)
		memcpy(&v->pending.data[0], &value, v->pending.size);
	if (step == STEP_LOAD_REST)
		memcpy((u8 *)&v->pending.data[0] + v->pending.insn.mem_size - v->pending.size,
		       &value, v->pending.size);
	v->pending.phase++;
}

/* Does the instruction access `raw_gpa` at all? If not, what was fetched is not what faulted. */
static bool reaches(struct vcpu *v, const struct insn *insn, u64 raw_gpa, bool *raised)
{
	struct vcpu_state state;
	u64 gpr[GPR_COUNT];

	*raised = false;
	vendor->state_get(v, &state);
	registers_get(v, gpr);
	for (unsigned n = STEP_LOAD; n < STEP_END; n++) {
		struct step step = step_of(insn, &state, gpr, n);
		u64 at;

		if (step.bytes == 0)
			continue;
		if (!guest_translate(v, step.address, step.write, &at)) {
			*raised = true;
			return false;
		}
		if (raw_gpa >= at && raw_gpa < at + step.bytes)
			return true;
	}
	return false;
}

enum after mmio_request(struct vcpu *v, u64 gpa, unsigned bytes, bool write, u64 value)
{
	const struct access access = {.raw_gpa = gpa, .write = write, .kind_known = true};
	struct septum_event event = {
		.type = SEPTUM_EVENT_MMIO,
		.flags = write ? SEPTUM_EVENT_WRITE : SEPTUM_EVENT_READ,
		.gpa = gpa,
		.size = bytes,
	};

	if (lapic_page(v, gpa, &value, bytes, write)) {
		v->pending.value = value;
		vendor->skip(v, v->exit.length);
		return AFTER_RESUME;
	}
	/* Memory is nobody's to play. */
	if (memory_decide(&v->vm->memory, &access).outcome != FAULT_MMIO) {
		inject_general_protection(v);
		return after_of(v);
	}
	if (write)
		event.data[1] = bytes == 8 ? value : value & (BIT(8 * bytes) - 1);
	pending_begin(v, PENDING_BUFFER_MMIO, v->exit.length);
	v->pending.size = (u8)bytes;
	v->pending.data[1] = gpa;
	event_post(v, &event);
	return AFTER_WAIT;
}

enum after mmio_access(struct vcpu *v, const struct access *access)
{
	struct guest_insn fetched;
	const struct insn *insn = &fetched.insn;
	u64 raw_gpa = access->raw_gpa;
	bool raised;

	if (v->pending.kind == PENDING_MMIO)
		return AFTER_RESUME; /* step_do() looks again */
	/* Code and page tables in a device, and exception frames pushed to one, are nobody's need.
	 */
	if (access->exec || access->walk || v->event.kind != EVENT_NONE)
		goto undecodable;
	if (!guest_fetch(v, &fetched))
		return after_of(v);
	if (fetched.status != DECODE_OK || insn->op > INSN_LAST_MEMORY || !insn->has_mem ||
	    insn->op == INSN_INS || insn->op == INSN_OUTS)
		goto undecodable;
	if (!reaches(v, insn, raw_gpa, &raised)) {
		if (raised)
			return after_of(v);
		goto undecodable;
	}
	pending_begin(v, PENDING_MMIO, insn->length);
	v->pending.insn = *insn;
	v->pending.data[0] = 0;
	return mmio_continue(v);

undecodable:
	vcpu_fail(v, SEPTUM_FAILURE_DECODE, raw_gpa, 0);
	return AFTER_WAIT;
}
