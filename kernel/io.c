/* SPDX-License-Identifier: BSD-2-Clause */
/* Port accesses of guests: all of them are the manager's to answer.
 *
 * IOPL and the I/O permission bitmap have been checked by the processor before the exit: SDM Vol.
 * 3, 25.1.1; AMD APM Vol. 2, 15.9.1 and 15.10. For INS and OUTS segment and page checks have not:
 * with them an element that would fault ends the batch before it, and faults when its turn comes.
 */
#include "kernel/emulate.h"
#include "kernel/guest_access.h"
#include "kernel/protocol.h"
#include "kernel/ring.h"
#include "kernel/vendor.h"
#include "kernel/vm.h"

#define VECTOR_SS 12u

/* A string instruction as it proceeds, on a copy of the registers. */
struct string {
	struct vcpu_state state;
	const struct insn *insn;
	u64 gpr[GPR_COUNT];
	bool more; /* another element follows */
};

static void string_start(struct vcpu *v, struct string *s, const struct insn *insn)
{
	vendor->state_get(v, &s->state);
	s->insn = insn;
	memcpy(s->gpr, v->gpr, sizeof(s->gpr));
	s->more = insn_count(insn, s->gpr) != 0;
}

static void string_advance(struct string *s)
{
	u64 unused;

	s->more = insn_execute(s->insn, s->gpr, &s->state.rflags, 0, &unused) == EXECUTE_REPEATS;
}

static u64 string_address(const struct string *s)
{
	return insn_linear(s->insn, &s->insn->mem, s->gpr, s->state.rip,
			   s->state.seg[s->insn->mem.segment].base);
}

/* SDM Vol. 3, 5.3 and 5.4; in 64-bit mode only the canonical form counts. */
static bool segment_allows(const struct string *s, u64 address)
{
	const struct segment_state *segment = &s->state.seg[s->insn->mem.segment];
	bool write = s->insn->op == INSN_INS;
	u32 type = segment->access & 0xf;
	u32 offset = (u32)(address - segment->base);
	u64 last = (u64)offset + s->insn->size - 1;

	if (s->insn->mode == DECODE_64)
		return (u64)((s64)(address << 16) >> 16) == address;
	if ((segment->access & BIT(16)) != 0) /* unusable */
		return false;
	if ((type & 8) != 0 ? write || (type & 2) == 0 : write && (type & 2) == 0)
		return false;
	if ((type & 12) == 4) /* expand-down */
		return offset > segment->limit &&
		       last <= ((segment->access & BIT(14)) != 0 ? 0xfffffffful : 0xfffful);
	return last <= segment->limit;
}

static enum after segment_fault(struct vcpu *v, const struct string *s)
{
	u8 vector = s->insn->mem.segment == INSN_SS ? VECTOR_SS : VECTOR_GP;

	inject_exception(v, vector, true, 0);
	return after_of(v);
}

static enum after string_exit(struct vcpu *v)
{
	struct septum_event event = {.type = SEPTUM_EVENT_IO, .flags = SEPTUM_EVENT_STRING};
	struct guest_insn fetched;
	struct string s;
	u64 n, limit;
	bool in = v->exit.io.in;

	if (!guest_fetch(v, &fetched))
		return after_of(v);
	/* Another vCPU may have written over the instruction: then it is to be executed anew. */
	if (fetched.status != DECODE_OK || fetched.insn.op != (in ? INSN_INS : INSN_OUTS) ||
	    fetched.insn.size != v->exit.io.size)
		return AFTER_RESUME;

	string_start(v, &s, &fetched.insn);
	if (!s.more) {
		vendor->skip(v, fetched.insn.length);
		return AFTER_RESUME;
	}
	limit = SEPTUM_PAYLOAD_BYTES / fetched.insn.size;
	for (n = 0; n < limit && s.more; n++, string_advance(&s)) {
		enum guest_fault fault = n == 0 ? GUEST_RAISE : GUEST_QUIET;
		u64 address = string_address(&s);
		bool reached;

		if (!segment_allows(&s, address)) {
			if (n == 0)
				return segment_fault(v, &s);
			break;
		}
		reached = in ? guest_probe(v, address, s.insn->size, fault)
			     : guest_read(v, address, v->pending.held + n * s.insn->size,
					  s.insn->size, fault);
		if (!reached && n == 0)
			return after_of(v);
		if (!reached)
			break;
	}

	pending_begin(v, in ? PENDING_STRING_IN : PENDING_STRING_OUT, fetched.insn.length);
	v->pending.insn = fetched.insn;
	v->pending.data[0] = n;
	v->pending.data[1] = 0; /* elements stored */
	if (!in)
		memcpy(ring_payload(&v->vm->ring, v->index), v->pending.held,
		       n * fetched.insn.size);
	event.flags |= in ? SEPTUM_EVENT_READ : SEPTUM_EVENT_WRITE;
	event.size = fetched.insn.size;
	event.data[0] = v->exit.io.port;
	event.data[2] = n;
	event_post(v, &event);
	return AFTER_WAIT;
}

/* All elements of this batch are done and the registers say so. */
static enum after string_end(struct vcpu *v, bool more)
{
	unsigned length = v->pending.length;

	v->pending.kind = PENDING_NONE;
	if (!more)
		vendor->skip(v, length);
	return AFTER_RESUME;
}

enum after string_out_done(struct vcpu *v)
{
	struct string s;

	string_start(v, &s, &v->pending.insn);
	for (u64 n = 0; n < v->pending.data[0]; n++)
		string_advance(&s);
	memcpy(v->gpr, s.gpr, sizeof(s.gpr));
	return string_end(v, s.more);
}

enum after string_store(struct vcpu *v)
{
	struct string s;
	unsigned size = v->pending.insn.size;

	string_start(v, &s, &v->pending.insn);
	while (v->pending.data[1] < v->pending.data[0]) {
		const u8 *element = v->pending.held + v->pending.data[1] * size;

		if (!guest_write(v, string_address(&s), element, size))
			return after_of(v);
		string_advance(&s);
		memcpy(v->gpr, s.gpr, sizeof(s.gpr));
		v->pending.data[1]++;
	}
	return string_end(v, s.more);
}

/* Elements that are not in the guest's registers or memory, but in pending.held. */
static enum after buffer_exit(struct vcpu *v)
{
	bool in = v->exit.io.in;
	u64 n = v->exit.io.count, bytes = n * v->exit.io.size;
	struct septum_event event = {
		.type = SEPTUM_EVENT_IO,
		.flags = SEPTUM_EVENT_STRING | (in ? SEPTUM_EVENT_READ : SEPTUM_EVENT_WRITE),
		.size = v->exit.io.size,
		.data = {v->exit.io.port, 0, n},
	};

	ASSERT(bytes <= SEPTUM_PAYLOAD_BYTES);
	if (!in)
		memcpy(ring_payload(&v->vm->ring, v->index), v->pending.held, bytes);
	pending_begin(v, in ? PENDING_BUFFER_IN : PENDING_BUFFER_OUT, v->exit.length);
	v->pending.data[0] = n;
	v->pending.insn.size = v->exit.io.size;
	event_post(v, &event);
	return AFTER_WAIT;
}

enum after io_exit(struct vcpu *v)
{
	unsigned size = v->exit.io.size;
	struct septum_event *event;
	unsigned length;

	if (v->exit.io.buffer)
		return buffer_exit(v);
	if (v->exit.io.string)
		return string_exit(v);
	if (!exit_length(v, &length))
		return after_of(v);
	pending_begin(v, v->exit.io.in ? PENDING_IO_IN : PENDING_IO_OUT, length);
	v->pending.size = (u8)size;
	event = event_begin(v, SEPTUM_EVENT_IO);
	event->size = size;
	event->data[0] = v->exit.io.port;
	if (v->exit.io.in) {
		event->flags = SEPTUM_EVENT_READ;
	} else {
		event->flags = SEPTUM_EVENT_WRITE;
		event->data[1] = v->gpr[RAX] & (size == 4 ? 0xffffffff : BIT(8 * size) - 1);
	}
	event_post(v, event);
	return AFTER_WAIT;
}
