/* SPDX-License-Identifier: BSD-2-Clause */
/* An SNP guest's first pages, their digest, and the end of the launch. */
#include "kernel/string.h"
#include "mm/window.h"
#include "model/psp_impl.h"

/* VMSA (APM Vol. 2, appendix B): what is not measured. */
#define VMSA_TSC_SCALE	   0x2f0
#define VMSA_TSC_OFFSET	   0x2f8
#define VMSA_SEV_FEATURES  0x3b0
#define FEATURE_SECURE_TSC BIT(9)

static void put64(u8 *at, u64 value)
{
	memcpy(at, &value, sizeof(value));
}

static void vmsa_prepare(u8 *vmsa, const struct psp_context *context)
{
	u64 features;

	memcpy(&features, vmsa + VMSA_SEV_FEATURES, sizeof(features));
	if (features & FEATURE_SECURE_TSC) {
		put64(vmsa + VMSA_TSC_SCALE, psp_tsc_scale(context->tsc_frequency));
		put64(vmsa + VMSA_TSC_OFFSET, 0);
	}
}

static void vmsa_digest(u8 *vmsa, u8 digest[SHA384_SIZE])
{
	u64 scale, offset;

	memcpy(&scale, vmsa + VMSA_TSC_SCALE, sizeof(scale));
	memcpy(&offset, vmsa + VMSA_TSC_OFFSET, sizeof(offset));
	put64(vmsa + VMSA_TSC_SCALE, 0);
	put64(vmsa + VMSA_TSC_OFFSET, 0);
	crypto_sha384(vmsa, PAGE_SIZE, digest);
	put64(vmsa + VMSA_TSC_SCALE, scale);
	put64(vmsa + VMSA_TSC_OFFSET, offset);
}

static void secrets_fill(const struct psp_context *context)
{
	struct snp_secrets_page *page = (struct snp_secrets_page *)(void *)psp.page;

	memset(page, 0, sizeof(*page));
	page->version = 3;
	page->imi = context->imi;
	page->fms = model_cpuid(1, 0).eax;
	memcpy(page->workarounds, context->workarounds, sizeof(page->workarounds));
	memcpy(page->vmpck, context->vmpck, sizeof(page->vmpck));
	page->tsc_factor = PSP_TSC_FACTOR;
}

static bool cpuid_good(void)
{
	struct snp_cpuid_page *page = (struct snp_cpuid_page *)(void *)psp.page;
	u32 checked;

	return page->reserved == 0 && page->reserved2 == 0 && page->count <= SNP_CPUID_MAX &&
	       psp_cpuid_check(page->entries, page->count, &checked);
}

static void extend(u8 digest[SHA384_SIZE], struct snp_page_info *info)
{
	memcpy(info->digest, digest, sizeof(info->digest));
	crypto_sha384(info, sizeof(*info), digest);
}

/* One 4 KiB page at `address`, gpa `gpa`, of the given type, as psp.page holds it. */
static void page_add(struct psp_context *context, const struct snp_cmd_launch_update *update,
		     u64 address, u64 gpa)
{
	u8 type = update->type >> 1 & 7;
	struct snp_page_info info = {
		.length = sizeof(info), .type = type, .imi = update->type >> 4 & 1, .gpa = gpa};

	memcpy(info.perms, update->perms, sizeof(info.perms));
	switch (type) {
	case SNP_PAGE_NORMAL:
		crypto_sha384(psp.page, PAGE_SIZE, info.contents);
		break;
	case SNP_PAGE_VMSA:
		vmsa_digest(psp.page, info.contents);
		vmsa_prepare(psp.page, context);
		break;
	case SNP_PAGE_ZERO:
		memset(psp.page, 0, PAGE_SIZE);
		break;
	case SNP_PAGE_SECRETS:
		secrets_fill(context);
		break;
	default:
		break;
	}
	extend(context->digest, &info);
	if (info.imi)
		extend(context->imi_digest, &info);
	psp_copy_out(address, psp.page, PAGE_SIZE);
	cipher_page(&context->binding.key, hpa_to_pfn(hpa(address)));
}

/* What can be said before the guest is looked at. */
static u32 update_check(const struct snp_cmd_launch_update *update, struct rmp_entry *entry)
{
	bool large = update->type & 1;
	u8 type = update->type >> 1 & 7;
	enum rmp_page_state state;
	u32 status = psp_page_get(update->page, entry, &state);

	if (status)
		return status;
	if (state != RMP_STATE_PRE_GUEST)
		return SEV_INVALID_PAGE_STATE;
	if (entry->large != large)
		return SEV_INVALID_PAGE_SIZE;
	if (large && !IS_ALIGNED(update->page, BLOCK_PAGES << PAGE_SHIFT))
		return SEV_INVALID_ADDRESS;
	if (type < SNP_PAGE_NORMAL || type > SNP_PAGE_CPUID)
		return SEV_INVALID_PARAM;
	if (large && type != SNP_PAGE_NORMAL && type != SNP_PAGE_ZERO &&
	    type != SNP_PAGE_UNMEASURED)
		return SEV_INVALID_PAGE_SIZE;
	return SEV_SUCCESS;
}

u32 psp_snp_launch_update(union psp_command *c)
{
	const struct snp_cmd_launch_update *update = &c->launch_update;
	u8 type = update->type >> 1 & 7;
	u64 pages = update->type & 1 ? BLOCK_PAGES : 1;
	struct psp_context context;
	struct rmp_entry entry;
	u32 status;

	if (!IS_ALIGNED(update->context | update->page, PAGE_SIZE) || update->type >> 5 ||
	    update->reserved || update->reserved2 || update->reserved3)
		return SEV_INVALID_PARAM;
	status = psp_context_open(update->context, &context);
	if (status == SEV_SUCCESS)
		status = update_check(update, &entry);
	if (status)
		return status;
	if (context.state != SNP_GUEST_LAUNCH)
		return SEV_INVALID_GUEST_STATE;
	if (context.binding.asid == 0)
		return SEV_INACTIVE;
	if (entry.asid != context.binding.asid)
		return SEV_INVALID_PAGE_OWNER;
	if (context.imi && (update->type & BIT(4)) == 0)
		return SEV_INVALID_PARAM;
	if (type == SNP_PAGE_CPUID) {
		psp_copy_in(update->page, psp.page, PAGE_SIZE);
		if (!cpuid_good()) {
			psp_copy_out(update->page, psp.page, PAGE_SIZE);
			return SEV_INVALID_PARAM;
		}
	}
	for (u64 i = 0; i < pages; i++) {
		u64 at = update->page + (i << PAGE_SHIFT);

		psp_copy_in(at, psp.page, PAGE_SIZE);
		page_add(&context, update, at, entry.gpa + (i << PAGE_SHIFT));
	}
	memset(psp.page, 0, sizeof(psp.page));
	memcpy(entry.perms + 1, update->perms, sizeof(update->perms));
	entry.vmsa = type == SNP_PAGE_VMSA;
	entry.validated = true;
	entry.immutable = false;
	psp_page_set(update->page, &entry);
	psp_context_seal(update->context, &context);
	return SEV_SUCCESS;
}

/* Numbers as AMD's structures have them, to big-endian ones. */
static bool number_in(const u8 little[72], u8 big[P384_SIZE])
{
	for (unsigned i = 0; i < P384_SIZE; i++)
		big[P384_SIZE - 1 - i] = little[i];
	return psp_is_zero(little + P384_SIZE, 72 - P384_SIZE);
}

static bool signature_good(const struct snp_public_key *key, const struct snp_signature *signature,
			   const void *data, size_t size)
{
	u8 point[2 * P384_SIZE], numbers[2 * P384_SIZE], digest[SHA384_SIZE];

	if (key->curve != SNP_CURVE_P384 || !number_in(key->x, point) ||
	    !number_in(key->y, point + P384_SIZE) || !number_in(signature->r, numbers) ||
	    !number_in(signature->s, numbers + P384_SIZE))
		return false;
	crypto_sha384(data, size, digest);
	return crypto_p384_verify(point, digest, numbers);
}

static u32 id_check(struct psp_context *context, const struct snp_cmd_launch_finish *finish)
{
	const struct snp_id_auth *auth = (const struct snp_id_auth *)(const void *)psp.page;
	bool author = finish->flags & BIT(1);
	struct snp_id_block block;

	if (psp_copy_in(finish->id_block, &block, sizeof(block)) ||
	    psp_copy_in(finish->id_auth, psp.page, sizeof(*auth)))
		return SEV_INVALID_ADDRESS;
	if (memcmp(block.digest, context->digest, sizeof(block.digest)) != 0)
		return SEV_BAD_MEASUREMENT;
	if (block.policy != context->policy)
		return SEV_POLICY_FAILURE;
	if (auth->id_algo != SNP_ALGO_ECDSA_P384 ||
	    (author && auth->author_algo != SNP_ALGO_ECDSA_P384))
		return SEV_INVALID_PARAM;
	if (!signature_good(&auth->id_key, &auth->block_signature, &block, sizeof(block)))
		return SEV_BAD_SIGNATURE;
	if (author && !signature_good(&auth->author_key, &auth->key_signature, &auth->id_key,
				      sizeof(auth->id_key)))
		return SEV_BAD_SIGNATURE;
	context->id_block = block;
	crypto_sha384(&auth->id_key, sizeof(auth->id_key), context->id_key_digest);
	if (author)
		crypto_sha384(&auth->author_key, sizeof(auth->author_key),
			      context->author_key_digest);
	return SEV_SUCCESS;
}

u32 psp_snp_launch_finish(union psp_command *c)
{
	const struct snp_cmd_launch_finish *finish = &c->launch_finish;
	struct psp_context context;
	u32 status;

	if (!IS_ALIGNED(finish->context, PAGE_SIZE) || finish->flags > 7)
		return SEV_INVALID_PARAM;
	status = psp_context_open(finish->context, &context);
	if (status)
		return status;
	if (context.state != SNP_GUEST_LAUNCH || context.imi)
		return SEV_INVALID_GUEST_STATE;
	if (context.binding.asid == 0)
		return SEV_INACTIVE;
	if (finish->flags & BIT(0)) {
		status = id_check(&context, finish);
		if (status)
			return status;
	}
	memcpy(context.host_data, finish->host_data, sizeof(context.host_data));
	context.id_block_en = finish->flags & BIT(0);
	context.author_key_en = finish->flags >> 1 & 1;
	context.no_vcek = finish->flags >> 2 & 1;
	context.state = SNP_GUEST_RUNNING;
	psp_asid_run(&context.binding);
	psp_context_seal(finish->context, &context);
	return SEV_SUCCESS;
}
