/* SPDX-License-Identifier: BSD-2-Clause */
/* What only SNP guests ask for: messages to the firmware, and other vCPUs (GHCB specification,
 * 4.1.7, 4.1.8, 4.1.9). */
#include "arch/x86/paging.h"
#include "kernel/emulate.h"
#include "kernel/exits.h"
#include "kernel/lapic_vcpu.h"
#include "kernel/object.h"
#include "kernel/string.h"
#include "mm/window.h"
#include "svm/ghcb.h"
#include "svm/sev_vcpu.h"
#include "svm/vmsa.h"

#define VMM_ERROR(n)   ((u64)(n) << 32)
#define CERTS_TOO_FEW  1u  /* VMM errors */
#define CERTS_END      24u /* bytes: an empty table is its own end */
#define REQUEST_FAILED (1u << 31)

/* One message on its way, for one vCPU at a time. */
static struct spinlock message_lock = SPINLOCK(RANK_CALL);
static u8 message[PAGE_SIZE] __attribute__((aligned(8)));

static u64 request_run(struct vcpu *v, u64 request, u64 response)
{
	struct sev_guest *guest = sev_guest(v->vm);
	u32 status;

	if (!ghcb_read(v, request, message, PAGE_SIZE))
		return VMM_ERROR(REQUEST_FAILED);
	status = psp_guest_request(object_pfn(guest->context), message);
	if (status >= PSP_NO_ANSWER)
		return VMM_ERROR(REQUEST_FAILED);
	if (status == PSP_SUCCESS && !ghcb_write(v, response, message, PAGE_SIZE))
		return VMM_ERROR(REQUEST_FAILED);
	return status;
}

enum after guest_request(struct vcpu *v, const struct ghcb_page *page)
{
	bool certificates = page->code == GHCB_EVENT_REQUEST_CERTS;
	static const u8 none[CERTS_END];
	u64 result;

	if (page->info1 % PAGE_SIZE != 0 || page->info2 % PAGE_SIZE != 0 ||
	    page->info1 == page->info2)
		return ghcb_malformed(v, GHCB_INVALID_INPUT);
	if (certificates && (!ghcb_valid(page, GHCB_RAX) || !ghcb_valid(page, GHCB_RCX + 16)))
		return ghcb_malformed(v, GHCB_MISSING_INPUT);
	if (certificates && page->rbx == 0) {
		v->gpr[RBX] = 1;
		return ghcb_done(v, VMM_ERROR(CERTS_TOO_FEW), BIT(RBX));
	}
	if (certificates &&
	    (page->rax % PAGE_SIZE != 0 || !ghcb_write(v, page->rax, none, sizeof(none))))
		return ghcb_malformed(v, GHCB_INVALID_INPUT);
	spin_lock(&message_lock);
	result = request_run(v, page->info1, page->info2);
	spin_unlock(&message_lock);
	return ghcb_done(v, result, 0);
}

/* ---- Other vCPUs ---- */

enum { AP_CREATE_ON_INIT, AP_CREATE, AP_DESTROY };

bool ap_create_possible(const struct vcpu *v)
{
	return v->has_apic;
}

/* The page may be a VMSA: the guest's, and nowhere where a processor's erratum is. Whether it is
 * one the processor looks at when it enters. */
static bool vmsa_acceptable(struct vcpu *v, u64 gpa)
{
	struct memory *mem = &v->vm->memory;
	struct rmp_state state;
	pfn_t p;

	if (gpa % PAGE_SIZE != 0 || gpa % (BLOCK_PAGES * PAGE_SIZE) == 0 ||
	    gpa >> mem->gpa_bits != 0)
		return false;
	if (memory_private_frame(mem, gpa_to_gfn((gpa_t){gpa}), &p) != OK ||
	    !sev_rmp_look(p, &state))
		return false;
	return state.assigned != 0 && state.immutable == 0 && (state.pagesize & RMP_2M) == 0 &&
	       state.asid == sev_guest(v->vm)->asid && state.gpa == gpa;
}

enum after ap_create(struct vcpu *v, const struct ghcb_page *page)
{
	struct sev_guest *guest = sev_guest(v->vm);
	unsigned op = (unsigned)(page->info1 & 0xffff);
	u64 id = page->info1 >> 32, vmpl = page->info1 >> 16 & 0xf;
	struct vcpu *to = vcpu_by_index(v->vm, id);

	if (to == NULL || to == v || vmpl != 0 || op > AP_DESTROY || !ap_create_possible(to))
		goto refuse;
	if (op != AP_DESTROY && (page->rax != VMSA_SNP || !vmsa_acceptable(v, page->info2)))
		goto refuse;
	__atomic_store_n(&guest->ap_vmsa[id], op == AP_DESTROY ? 0 : page->info2, __ATOMIC_SEQ_CST);
	if (op == AP_CREATE)
		lapic_start(to);
	else if (op == AP_DESTROY)
		lapic_stop(to);
	return ghcb_done(v, 0, 0);

refuse:
	ghcb_begin(v, GHCB_SILENT);
	inject_general_protection(v);
	return AFTER_RESUME;
}
