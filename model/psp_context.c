/* SPDX-License-Identifier: BSD-2-Clause */
/* An SNP guest is what its context page says. The page is the firmware's, but it lies in memory
 * that the host can read, so its content is sealed: by a key of this PSP, with the page's address.
 */
#include "kernel/string.h"
#include "mm/window.h"
#include "model/psp_impl.h"

struct sealed {
	u64 count, address;
	u8 tag[GCM_TAG_SIZE];
	u8 content[sizeof(struct psp_context)];
};
_Static_assert(sizeof(struct sealed) <= PAGE_SIZE, "context page");

static struct sealed *page_of(u64 address)
{
	return window_map(WINDOW_PSP_CONTEXT, hpa_to_pfn(hpa(address)));
}

/* The IV is the count, which is never used twice under one key. */
static struct crypto_gcm message_of(struct sealed *sealed, u8 iv[GCM_IV_SIZE], void *content)
{
	memset(iv, 0, GCM_IV_SIZE);
	memcpy(iv, &sealed->count, sizeof(sealed->count));
	return (struct crypto_gcm){.key = psp.seal_key,
				   .iv = iv,
				   .aad = &sealed->address,
				   .aad_size = sizeof(sealed->address),
				   .data = content,
				   .size = sizeof(struct psp_context),
				   .tag = sealed->tag};
}

void psp_context_seal(u64 address, const struct psp_context *context)
{
	struct sealed *page = page_of(address);
	struct sealed sealed = {.count = ++psp.seal_count, .address = address};
	u8 iv[GCM_IV_SIZE];
	struct crypto_gcm message = message_of(&sealed, iv, sealed.content);

	memcpy(sealed.content, context, sizeof(*context));
	crypto_gcm_seal(&message);
	memcpy(page, &sealed, sizeof(sealed));
}

static bool open_page(u64 address, struct psp_context *context)
{
	struct sealed sealed;
	struct crypto_gcm message;
	u8 iv[GCM_IV_SIZE];

	memcpy(&sealed, page_of(address), sizeof(sealed));
	sealed.address = address;
	memcpy(context, sealed.content, sizeof(*context));
	message = message_of(&sealed, iv, context);
	return crypto_gcm_open(&message);
}

u32 psp_context_open(u64 address, struct psp_context *context)
{
	struct rmp_entry entry;
	enum rmp_page_state state;
	u32 status;

	if (!IS_ALIGNED(address, PAGE_SIZE))
		return SEV_INVALID_PARAM;
	if (psp.snp_state != PLATFORM_INIT)
		return SEV_INVALID_PLATFORM_STATE;
	status = psp_page_get(address, &entry, &state);
	if (status)
		return status;
	if (state != RMP_STATE_CONTEXT || !open_page(address, context))
		return SEV_INVALID_GUEST;
	return SEV_SUCCESS;
}

u32 psp_snp_gctx_create(union psp_command *c)
{
	u64 address = c->address.address;
	struct psp_context context = {.state = SNP_GUEST_INIT, .launch_tcb = PSP_TCB};
	struct rmp_entry entry;
	enum rmp_page_state state;
	u32 status;

	if (!IS_ALIGNED(address, PAGE_SIZE))
		return SEV_INVALID_PARAM;
	if (psp.snp_state != PLATFORM_INIT)
		return SEV_INVALID_PLATFORM_STATE;
	status = psp_page_get(address, &entry, &state);
	if (status)
		return status;
	if (state != RMP_STATE_FIRMWARE)
		return SEV_INVALID_PAGE_STATE;
	if (entry.large)
		return SEV_INVALID_PAGE_SIZE;
	context.binding.encrypted_state = true;
	psp_random(&context.binding.key, sizeof(context.binding.key));
	entry.vmsa = true;
	psp_page_set(address, &entry);
	psp_zero(address, PAGE_SIZE);
	psp_context_seal(address, &context);
	return SEV_SUCCESS;
}

u32 psp_snp_decommission(union psp_command *c)
{
	u64 address = c->address.address;
	struct psp_context context;
	struct rmp_entry entry;
	enum rmp_page_state state;
	u32 status = psp_context_open(address, &context);

	if (status)
		return status;
	psp_asid_deactivate(&context.binding);
	if (context.state != SNP_GUEST_INIT)
		psp.snp_guests--;
	psp_page_get(address, &entry, &state);
	entry.vmsa = false;
	psp_page_set(address, &entry);
	psp_zero(address, PAGE_SIZE);
	return SEV_SUCCESS;
}

/* Pages of the RMP that are assigned to an ASID. The firmware has a counter for each; the model
 * reads the whole table, in the layout that rmp.h names. */
static bool asid_has_pages(u32 asid)
{
	hpa_t first, last;

	if (!rmp_extent(&first, &last))
		return false;
	for (u64 at = first.n + RMP_HEADER; at < last.n; at += PAGE_SIZE) {
		const u64 *entries = window_map(WINDOW_PSP_DATA, hpa_to_pfn(hpa(at)));

		for (unsigned i = 0; i < PAGE_SIZE / sizeof(*entries); i += 2)
			if ((entries[i] & BIT(0)) && (entries[i] >> 51 & 0x3ff) == asid)
				return true;
	}
	return false;
}

u32 psp_snp_activate(union psp_command *c)
{
	const struct snp_cmd_activate *activate = &c->activate;
	struct psp_context context;
	u32 status = psp_context_open(activate->context, &context);

	if (status)
		return status;
	if (context.state == SNP_GUEST_INIT)
		return SEV_INVALID_GUEST_STATE;
	if (activate->asid >= RMP_ASID_LIMIT)
		return SEV_INVALID_ASID;
	if (activate->asid && asid_has_pages(activate->asid))
		return SEV_INVALID_CONFIG;
	status = psp_asid_activate(&context.binding, activate->asid,
				   context.state == SNP_GUEST_RUNNING);
	if (status == SEV_SUCCESS)
		psp_context_seal(activate->context, &context);
	return status;
}

u32 psp_snp_guest_status(union psp_command *c)
{
	const struct snp_cmd_guest_status *guest = &c->guest_status;
	struct psp_context context;
	struct snp_guest_status data = {0};
	u32 status;

	if ((guest->status & ~PAGE_MASK) + sizeof(data) > PAGE_SIZE)
		return SEV_INVALID_PARAM;
	status = psp_context_open(guest->context, &context);
	if (status == SEV_SUCCESS)
		status = psp_writable(guest->status, sizeof(data));
	if (status)
		return status;
	data.policy = context.policy;
	data.asid = context.binding.asid;
	data.state = context.state;
	data.flags = context.no_vcek;
	return psp_copy_out(guest->status, &data, sizeof(data));
}

/* Migration agents are not in the model: `agent` must not be there. */
static bool policy_good(u64 policy, u32 flags)
{
	return (flags & BIT(0)) == 0 && (policy & SNP_POLICY_ONE) &&
	       (policy & SNP_POLICY_RESERVED) == 0 &&
	       (SNP_POLICY_MAJOR(policy) < PSP_MAJOR ||
		(SNP_POLICY_MAJOR(policy) == PSP_MAJOR && SNP_POLICY_MINOR(policy) <= PSP_MINOR));
}

u32 psp_snp_launch_start(union psp_command *c)
{
	const struct snp_cmd_launch_start *start = &c->launch_start;
	struct psp_context context;
	u32 status;

	if (start->flags > 3 || !IS_ALIGNED(start->agent, PAGE_SIZE))
		return SEV_INVALID_PARAM;
	status = psp_context_open(start->context, &context);
	if (status)
		return status;
	if (context.state != SNP_GUEST_INIT)
		return SEV_INVALID_GUEST_STATE;
	if (!policy_good(start->policy, start->flags))
		return SEV_POLICY_FAILURE;
	context.policy = start->policy;
	context.imi = start->flags >> 1 & 1;
	context.tsc_frequency = start->tsc_frequency;
	memcpy(context.workarounds, start->workarounds, sizeof(context.workarounds));
	psp_random(context.vmpck, sizeof(context.vmpck));
	psp_random(context.vmrk, sizeof(context.vmrk));
	psp_random(context.report_id, sizeof(context.report_id));
	memset(context.report_id_agent, 0xff, sizeof(context.report_id_agent));
	context.state = SNP_GUEST_LAUNCH;
	psp.snp_guests++;
	psp_context_seal(start->context, &context);
	return SEV_SUCCESS;
}
