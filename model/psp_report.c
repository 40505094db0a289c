/* SPDX-License-Identifier: BSD-2-Clause */
/* What a guest can ask the PSP for: a signed report on itself, a key of its own, its clock. */
#include "kernel/string.h"
#include "model/psp_impl.h"

#define KEY_VCEK 1u /* selection of a key: 0 VLEK or else VCEK; 2 VLEK, which the model has not */

#define SIGNED_BY_NONE 7u

#define CHIP_ID "Septum model: not hardware"

static bool key_usable(const struct psp_context *context, u32 select)
{
	return select <= KEY_VCEK && !context->no_vcek;
}

static void number_out(const u8 big[P384_SIZE], u8 little[72])
{
	for (unsigned i = 0; i < P384_SIZE; i++)
		little[i] = big[P384_SIZE - 1 - i];
}

static void report_sign(struct snp_report *report)
{
	u8 digest[SHA384_SIZE], numbers[2 * P384_SIZE];

	crypto_sha384(report, offsetof(struct snp_report, signature), digest);
	if (!crypto_p384_sign(psp_signing_key, digest, numbers))
		return;
	number_out(numbers, report->signature.r);
	number_out(numbers + P384_SIZE, report->signature.s);
}

u16 psp_report(const struct psp_context *context, u8 vmpck,
	       const struct snp_report_request *request, struct snp_report_response *answer)
{
	struct snp_report *report = &answer->report;

	answer->size = sizeof(*report);
	if (!psp_is_zero(request->reserved, sizeof(request->reserved)) || request->key > 3)
		answer->status = SEV_INVALID_PARAM;
	else if (!key_usable(context, request->key))
		answer->status = SEV_INVALID_KEY;
	else if (request->vmpl < vmpck)
		answer->status = SEV_INVALID_PARAM;
	if (answer->status)
		return sizeof(*answer);

	report->version = 2;
	report->guest_svn = context->id_block.guest_svn;
	report->policy = context->policy;
	memcpy(report->family_id, context->id_block.family_id, sizeof(report->family_id));
	memcpy(report->image_id, context->id_block.image_id, sizeof(report->image_id));
	report->vmpl = request->vmpl;
	report->algo = SNP_ALGO_ECDSA_P384;
	report->current_tcb = report->committed_tcb = PSP_TCB;
	report->reported_tcb = psp.reported_tcb;
	report->launch_tcb = context->launch_tcb;
	report->flags = (u32)context->author_key_en | (u32)psp.mask_chip_key << 1 |
			(psp.mask_chip_key ? SIGNED_BY_NONE << 2 : 0);
	memcpy(report->report_data, request->data, sizeof(report->report_data));
	memcpy(report->measurement, context->digest, sizeof(report->measurement));
	memcpy(report->host_data, context->host_data, sizeof(report->host_data));
	memcpy(report->id_key_digest, context->id_key_digest, sizeof(report->id_key_digest));
	memcpy(report->author_key_digest, context->author_key_digest,
	       sizeof(report->author_key_digest));
	memcpy(report->report_id, context->report_id, sizeof(report->report_id));
	memcpy(report->report_id_agent, context->report_id_agent, sizeof(report->report_id_agent));
	if (!psp.mask_chip_id)
		memcpy(report->chip_id, CHIP_ID, sizeof(CHIP_ID));
	report->current_major = report->committed_major = PSP_MAJOR;
	report->current_minor = report->committed_minor = PSP_MINOR;
	report->current_build = report->committed_build = PSP_BUILD;
	if (!psp.mask_chip_key)
		report_sign(report);
	return sizeof(*answer);
}

/* What a derived key depends on (SEV-SNP ABI, MSG_KEY_REQ; AMD-ASPFW, snp_mix_data). */
struct key_mix {
	u32 select; /* 0: root key, 2:1: 0 no ID block, 1 ID key, 2 author key */
	u32 reserved;
	u64 fields;
	u32 vmpl, guest_svn;
	u64 tcb, policy;
	u8 image_id[16], family_id[16], measurement[32], host_data[32], id_key[32];
};
_Static_assert(sizeof(struct key_mix) == 168, "key derivation");

#define FIELD_POLICY	  BIT(0)
#define FIELD_IMAGE	  BIT(1)
#define FIELD_FAMILY	  BIT(2)
#define FIELD_MEASUREMENT BIT(3)
#define FIELD_SVN	  BIT(4)
#define FIELD_TCB	  BIT(5)

/* SP 800-108 in counter mode with HMAC-SHA-256, one block: 1, label, 0, context, 256. */
static void derive(const void *key, size_t key_size, const struct key_mix *mix, u8 derived[32])
{
	static const char label[] = "gmsg-keyreq"; /* its NUL is the separator */
	struct {
		u32 counter;
		char label[sizeof(label)];
		struct key_mix mix;
		u32 bits;
	} __attribute__((packed)) input = {.counter = 1, .mix = *mix, .bits = 256};

	memcpy(input.label, label, sizeof(label));
	crypto_hmac_sha256(key, key_size, &input, sizeof(input), derived);
}

/* Each part of the TCB is one byte, and no part may be newer than this firmware's. */
static bool tcb_good(u64 tcb)
{
	for (unsigned shift = 0; shift < 64; shift += 8)
		if ((tcb >> shift & 0xff) > (PSP_TCB >> shift & 0xff))
			return false;
	return true;
}

static u32 key_check(const struct psp_context *context, u8 vmpck,
		     const struct snp_key_request *request)
{
	bool chip = (request->select & 1) == 0;

	if (request->select > 7 || request->reserved)
		return SEV_INVALID_PARAM;
	if (chip && (psp.mask_chip_key || !key_usable(context, request->select >> 1)))
		return SEV_INVALID_KEY;
	if (request->vmpl < vmpck || request->fields > 0x3f)
		return SEV_INVALID_PARAM;
	if ((request->fields & FIELD_TCB) && !tcb_good(request->tcb))
		return SEV_INVALID_PARAM;
	if ((request->fields & FIELD_SVN) && request->guest_svn > context->id_block.guest_svn)
		return SEV_INVALID_PARAM;
	return SEV_SUCCESS;
}

u16 psp_key(const struct psp_context *context, u8 vmpck, const struct snp_key_request *request,
	    struct snp_key_response *answer)
{
	u64 fields = request->fields;
	u32 id_key = context->author_key_en ? 2 : context->id_block_en;
	struct key_mix mix = {.select = (request->select & 1) | id_key << 1,
			      .fields = fields,
			      .vmpl = request->vmpl};
	struct {
		u8 key[P384_SIZE];
		u64 tcb;
	} root;
	u8 chip[SHA384_SIZE];

	answer->status = key_check(context, vmpck, request);
	if (answer->status)
		return sizeof(*answer);
	memcpy(mix.host_data, context->host_data, sizeof(mix.host_data));
	if (id_key)
		memcpy(mix.id_key,
		       id_key == 2 ? context->author_key_digest : context->id_key_digest,
		       sizeof(mix.id_key));
	if (fields & FIELD_TCB)
		mix.tcb = request->tcb;
	if (fields & FIELD_SVN)
		mix.guest_svn = request->guest_svn;
	if (fields & FIELD_MEASUREMENT)
		memcpy(mix.measurement, context->digest, sizeof(mix.measurement));
	if (fields & FIELD_FAMILY)
		memcpy(mix.family_id, context->id_block.family_id, sizeof(mix.family_id));
	if (fields & FIELD_IMAGE)
		memcpy(mix.image_id, context->id_block.image_id, sizeof(mix.image_id));
	if (fields & FIELD_POLICY)
		mix.policy = context->policy;
	if (request->select & 1) {
		derive(context->vmrk, sizeof(context->vmrk), &mix, answer->key);
	} else {
		memcpy(root.key, psp_signing_key, sizeof(root.key));
		root.tcb = fields & FIELD_TCB ? request->tcb : psp.reported_tcb;
		crypto_sha384(&root, sizeof(root), chip);
		derive(chip, sizeof(chip), &mix, answer->key);
	}
	return sizeof(*answer);
}

/* 8.32 fixed point; the clock's own frequency is 100 MHz less 0.2 %, in kHz (AMD-ASPFW). */
u64 psp_tsc_scale(u32 frequency)
{
	const u64 reference = 99800;
	u64 whole = frequency / reference;
	u64 rest = ((frequency % reference << 32) + reference - 1) / reference;

	return (whole & 0xff) << 32 | (rest & 0xffffffff);
}

u16 psp_tsc_info(const struct psp_context *context, const struct snp_tsc_request *request,
		 struct snp_tsc_response *answer)
{
	if (!psp_is_zero(request->reserved, sizeof(request->reserved))) {
		answer->status = SEV_INVALID_PARAM;
		return sizeof(*answer);
	}
	answer->scale = psp_tsc_scale(context->tsc_frequency);
	answer->factor = PSP_TSC_FACTOR;
	return sizeof(*answer);
}
