/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's hypercalls: KVM's numbers, registers and errors (<septum/abi.h>, part 6). */
#include "kernel/emulate.h"
#include "kernel/exits.h"
#include "kernel/protocol.h"
#include "kernel/vendor.h"
#include "kernel/vm.h"

bool guest_call_answer(u64 number, unsigned cpl, s64 *answer)
{
	*answer = cpl != 0 ? -SEPTUM_KVM_EPERM : -SEPTUM_KVM_ENOSYS;
	return cpl != 0 || number != SEPTUM_HC_MAP_GPA_RANGE;
}

enum after guest_call(struct vcpu *v)
{
	bool wide = vendor->long_mode(v);
	u64 mask = wide ? ~0ul : 0xfffffffful;
	u64 number = v->gpr[RAX] & mask;
	s64 answer;
	unsigned length;

	if (!exit_length(v, &length))
		return after_of(v);
	if (!guest_call_answer(number, vendor->cpl_get(v), &answer)) {
		/* The instruction stays where it is until its answer is known: a request of many
		 * runs goes on by being made again. */
		pending_begin(v, PENDING_CALL, length);
		if (!explicit_request(v, v->gpr[RBX] & mask, v->gpr[RCX] & mask, v->gpr[RDX] & mask,
				      &answer))
			return after_of(v);
		v->pending.kind = PENDING_NONE;
	}
	v->gpr[RAX] = (u64)answer & mask;
	vendor->skip(v, length);
	return AFTER_RESUME;
}

enum after explicit_exit(struct vcpu *v, u64 gpa, u64 pages, bool to_private)
{
	unsigned length = v->exit.length;
	s64 answer;

	pending_begin(v, PENDING_CALL, length);
	if (!explicit_request(v, gpa, pages, to_private ? SEPTUM_MAP_PRIVATE : 0, &answer))
		return after_of(v);
	v->pending.kind = PENDING_NONE;
	v->gpr[RAX] = (u64)answer;
	vendor->skip(v, length);
	return AFTER_RESUME;
}
