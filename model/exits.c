/* SPDX-License-Identifier: BSD-2-Clause */
/* Each #VMEXIT of the processor below: is it the client's, the guest's (#VC), or the model's own?
 *
 * With encrypted state, automatic exits go to the client and everything else that is intercepted is
 * #VC in the guest, with the exit code as its error code (APM Vol. 2, 15.35.4, table 15-33).
 * CPUID, port I/O and VMGEXIT are intercepted whatever the client says; RIP is behind PAUSE, HLT
 * and VMGEXIT, so that the client need not look for instructions. Without encrypted state the
 * client gets what it has intercepted, with the next RIP.
 */
#include "arch/x86/guest_walk.h"
#include "model/rmp.h"
#include "model/run.h"

#define PREFIX_REPNE 0xf2u
#define PREFIX_REP   0xf3u
#define VMGEXIT_SIZE 4u

static enum step nested_fault(struct vmrun *run)
{
	const struct vmcb_control *c = &run->vmcb->control;
	u64 info = c->exit_info1, raw_gpa = c->exit_info2;
	unsigned access = 0;
	struct shadow_reply reply;
	enum shadow_result result;
	u64 gva = 0;

	if ((info & NPF_WALK) != 0)
		access = ACCESS_WALK;
	else if ((info & NPF_FETCH) != 0)
		access = ACCESS_FETCH;
	else if ((info & NPF_WRITE) != 0)
		access = ACCESS_WRITE;
	result = shadow_access(run->space, &run->view, raw_gpa, access, &reply);
	if (result == SHADOW_OK) {
		/* An event whose delivery met the fault is delivered again. INT n, INT3 and INTO
		 * are at RIP still. */
		u64 event = c->exit_event, type = event & EVENT_TYPE, vector = event & EVENT_VECTOR;

		if ((event & EVENT_VALID) != 0 && type != EVENT_TYPE_SOFT &&
		    !(type == EVENT_TYPE_EXC && (vector == 3 || vector == 4)))
			run->vmcb->control.event = event;
		return STEP_AGAIN;
	}
	if (result == SHADOW_VC && reply.error != VC_NPF)
		gva = run_find_gva(run, raw_gpa, access);
	return run_nested_fault(run, result, reply.error, raw_gpa, gva);
}

static enum step pass_on(struct vmrun *run)
{
	const struct vmcb_control *c = &run->vmcb->control;

	return run_exit(run, (u32)c->exit_code, c->exit_info1, c->exit_info2);
}

static bool intercepted(const struct vmrun *run, enum intercept n)
{
	return (run->control.intercepts[n / 32u] >> n % 32u & 1) != 0;
}

/* Bytes F3 or F2, 0F 01 D9. */
static bool is_vmgexit(struct vmrun *run)
{
	u8 bytes[VMGEXIT_SIZE];

	return run->view.es && run_fetch(run, bytes, VMGEXIT_SIZE) == VMGEXIT_SIZE &&
	       (bytes[0] == PREFIX_REP || bytes[0] == PREFIX_REPNE) && bytes[1] == 0x0f &&
	       bytes[2] == 0x01 && bytes[3] == 0xd9;
}

static enum step vmmcall(struct vmrun *run)
{
	if (is_vmgexit(run)) {
		run_skip(run, VMGEXIT_SIZE);
		return run_exit(run, VMEXIT_VMGEXIT, 0, 0);
	}
	if (!intercepted(run, ICEPT_VMMCALL))
		return run_exception(run, VECTOR_UD, false, 0);
	return run->view.es ? run_vc(run, VMEXIT_VMMCALL) : pass_on(run);
}

static enum step exception(struct vmrun *run, unsigned vector)
{
	enum step step;

	if (vector == VECTOR_UD && run_rmp_instruction(run, &step))
		return step;
	if ((run->control.exceptions >> vector & 1) != 0)
		return run->view.es ? run_vc(run, VMEXIT_EXCEPTIONS + vector) : pass_on(run);
	return run_exception(run, vector, false, 0); /* #UD */
}

/* An instruction intercept that the client has asked for. RIP goes on by `skip`, if not 0. */
static enum step automatic(struct vmrun *run, unsigned skip)
{
	if (run->view.es)
		run_skip(run, run_length(run, skip));
	return pass_on(run);
}

enum step run_handle(struct vmrun *run)
{
	u32 code = (u32)run->vmcb->control.exit_code;

	switch (code) {
	case VMEXIT_INTR:
	case VMEXIT_NMI:
	case VMEXIT_SMI:
	case VMEXIT_INIT:
	case VMEXIT_VINTR:
	case VMEXIT_SHUTDOWN:
	case VMEXIT_MC:
	case VMEXIT_INVALID:
		return pass_on(run);
	case VMEXIT_NPF:
		return nested_fault(run);
	case VMEXIT_HLT:
		return automatic(run, 1);
	case VMEXIT_PAUSE:
		return automatic(run, 2);
	case VMEXIT_MSR:
		return run_msr(run);
	case VMEXIT_VMMCALL:
		return vmmcall(run);
	case VMEXIT_CR0_WRITE:
		if ((run->control.cr_write & 1) == 0)
			return run_cr0(run);
		break;
	default:
		if (code >= VMEXIT_EXCEPTIONS && code < VMEXIT_EXCEPTIONS_END)
			return exception(run, code - VMEXIT_EXCEPTIONS);
		break;
	}
	return run->view.es ? run_vc(run, code) : pass_on(run);
}
