/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/emulate.h"
#include "arch/x86/emulate.h"
#include "kernel/machine_check.h"
#include "kernel/ring.h"
#include "kernel/string.h"
#include "kernel/vendor.h"
#include "kernel/vm.h"

void pending_begin(struct vcpu *v, enum pending_kind kind, unsigned length)
{
	v->pending.kind = (u8)kind;
	v->pending.length = (u8)length;
	v->pending.answered = false;
	v->pending.phase = 0;
}

enum status emulate_complete(struct vcpu *v, u64 value)
{
	switch ((enum pending_kind)v->pending.kind) {
	case PENDING_HALT:
		if (value > 1)
			return E_VERDICT;
		v->pending.kind = PENDING_NONE;
		if (value == 0 && !v->nmi_pending && !(v->pending.data[0] && v->interrupt >= 0))
			v->wait = WAIT_HALTED;
		v->halted = v->has_apic && v->wait == WAIT_HALTED;
		v->halt_if = false;
		return OK;
	case PENDING_BUFFER_IN:
	case PENDING_STRING_IN:
		/* The manager may use its page for something else as soon as this is done. */
		memcpy(v->pending.held, ring_payload(&v->vm->ring, v->index),
		       v->pending.data[0] * v->pending.insn.size);
		break;
	case PENDING_NONE:
	case PENDING_MACHINE_CHECK:
	case PENDING_STRING_STORE:
		return E_VERDICT;
	default:
		break;
	}
	v->pending.answered = true;
	v->pending.value = value;
	return OK;
}

void emulate_refuse(struct vcpu *v)
{
	if (v->pending.kind == PENDING_MMIO || v->pending.kind == PENDING_BUFFER_MMIO)
		inject_machine_check(v, gpa(v->pending.data[1]));
	else
		inject_general_protection(v);
}

static enum after finish(struct vcpu *v)
{
	unsigned length = v->pending.length;

	v->pending.kind = PENDING_NONE;
	vendor->skip(v, length);
	return AFTER_RESUME;
}

enum after emulate_continue(struct vcpu *v)
{
	enum pending_kind kind = v->pending.kind;
	u64 value = v->pending.value;
	struct insn_reg accumulator = {.n = RAX};

	switch (kind) {
	case PENDING_MACHINE_CHECK:
		v->pending.kind = PENDING_NONE;
		machine_check_raise(v, gpa(v->pending.data[0]), v->pending.data[1] != 0);
		return after_of(v);
	case PENDING_STRING_STORE:
		return string_store(v);
	case PENDING_MMIO:
		if (v->pending.answered)
			mmio_answer(v, value);
		return mmio_continue(v);
	default:
		break;
	}
	if (!v->pending.answered) {
		v->pending.kind = PENDING_NONE;
		return AFTER_RESUME;
	}
	switch (kind) {
	case PENDING_IO_IN:
		insn_reg_write(v->gpr, accumulator, v->pending.size, value);
		return finish(v);
	case PENDING_MSR_READ:
		v->gpr[RAX] = (u32)value;
		v->gpr[RDX] = value >> 32;
		return finish(v);
	case PENDING_CALL:
		v->gpr[RAX] = vendor->long_mode(v) ? value : (u32)value;
		return finish(v);
	case PENDING_STRING_OUT:
		return string_out_done(v);
	case PENDING_STRING_IN:
		v->pending.kind = PENDING_STRING_STORE;
		return string_store(v);
	default: /* IO_OUT, MSR_WRITE */
		return finish(v);
	}
}
