/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest requests: what the guest asks comes sealed with one of its four keys (VMPCKs), and so goes
 * the answer. Requests count 1, 3, 5 .., the answers 2, 4, 6 .. under each key (SEV-SNP ABI, 8.26).
 * An error of the host is the command's status; one of the guest is in the answer. */
#include "kernel/string.h"
#include "mm/window.h"
#include "model/psp_impl.h"

#define HEADER_SIZE sizeof(struct snp_message_header)

/* One message, as it lies in a page. */
struct message {
	struct snp_message_header header;
	u8 payload[PAGE_SIZE - HEADER_SIZE];
};
static struct message request, answer;

struct cpuid_message { /* both directions; `status` is reserved in a request */
	u32 count, status;
	u64 reserved;
	struct snp_cpuid_entry entries[SNP_CPUID_MAX];
};
_Static_assert(sizeof(struct cpuid_message) <= sizeof(answer.payload), "CPUID message");

static u32 pages_check(const struct snp_cmd_guest_request *c, struct psp_context *context)
{
	struct rmp_entry from, to;
	enum rmp_page_state from_state, to_state;
	u32 status;

	if (!IS_ALIGNED(c->context, PAGE_SIZE))
		return SEV_INVALID_PARAM;
	if (psp.snp_state != PLATFORM_INIT)
		return SEV_INVALID_PLATFORM_STATE;
	status = psp_page_get(c->request, &from, &from_state);
	if (status == SEV_SUCCESS)
		status = psp_page_get(c->response, &to, &to_state);
	if (status == SEV_SUCCESS)
		status = psp_context_open(c->context, context);
	if (status)
		return status;
	if (to_state != RMP_STATE_FIRMWARE)
		return SEV_INVALID_PAGE_STATE;
	if (from.large || to.large)
		return SEV_INVALID_PAGE_SIZE;
	return context->state == SNP_GUEST_RUNNING ? SEV_SUCCESS : SEV_INVALID_GUEST_STATE;
}

/* Copies the request. Its page is the host's or the guest's: it is read once. */
static u32 request_copy(u64 from)
{
	u64 room = PAGE_SIZE - (from & ~PAGE_MASK);

	if (room < HEADER_SIZE)
		return SEV_INVALID_PARAM;
	psp_copy_in(from, &request, room);
	if (request.header.version != 1 || request.header.header_size != HEADER_SIZE ||
	    request.header.algo != 1 || request.header.size == 0 ||
	    !IS_ALIGNED(request.header.size, 16) || request.header.size > room - HEADER_SIZE ||
	    request.header.vmpck > 3)
		return SEV_INVALID_PARAM;
	memset(request.payload + request.header.size, 0,
	       sizeof(request.payload) - request.header.size);
	return SEV_SUCCESS;
}

static struct crypto_gcm message_of(struct message *message, const u8 *key, u8 iv[GCM_IV_SIZE])
{
	memset(iv, 0, GCM_IV_SIZE);
	memcpy(iv, &message->header.sequence, sizeof(message->header.sequence));
	return (struct crypto_gcm){.key = key,
				   .iv = iv,
				   .aad = &message->header.algo,
				   .aad_size = HEADER_SIZE - SNP_MESSAGE_AAD,
				   .data = message->payload,
				   .size = message->header.size,
				   .tag = message->header.tag};
}

static u16 cpuid_answer(void)
{
	const struct cpuid_message *in =
		(const struct cpuid_message *)(const void *)request.payload;
	struct cpuid_message *out = (struct cpuid_message *)(void *)answer.payload;

	if (in->status || in->reserved || in->count > SNP_CPUID_MAX) {
		out->status = SEV_INVALID_PARAM;
		return request.header.size;
	}
	memcpy(out->entries, in->entries, in->count * sizeof(in->entries[0]));
	if (!psp_cpuid_check(out->entries, in->count, &out->count))
		out->status = SEV_INVALID_PARAM;
	return request.header.size;
}

/* Fills the answer's payload. 0: there is no such message. */
static u16 answer_fill(const struct psp_context *context)
{
	const void *in = request.payload;
	void *out = answer.payload;
	u8 vmpck = request.header.vmpck;

	switch (request.header.type) {
	case SNP_MESSAGE_CPUID_REQ:
		return cpuid_answer();
	case SNP_MESSAGE_KEY_REQ:
		return psp_key(context, vmpck, in, out);
	case SNP_MESSAGE_REPORT_REQ:
		return psp_report(context, vmpck, in, out);
	case SNP_MESSAGE_TSC_INFO_REQ:
		return psp_tsc_info(context, in, out);
	default:
		return 0;
	}
}

static u32 exchange(struct psp_context *context, u64 room)
{
	const u8 *key = context->vmpck[request.header.vmpck];
	u64 *count = &context->counts[request.header.vmpck];
	u8 iv[GCM_IV_SIZE];
	struct crypto_gcm sealed = message_of(&request, key, iv);

	if (!crypto_gcm_open(&sealed))
		return SEV_BAD_MEASUREMENT;
	if (*count == ~0ul - 1 || request.header.sequence != *count + 1)
		return SEV_AEAD_OFLOW;
	if (request.header.message_version != 1)
		return SEV_INVALID_PARAM;
	memset(&answer, 0, sizeof(answer));
	answer.header = (struct snp_message_header){
		.sequence = request.header.sequence + 1,
		.algo = 1,
		.version = 1,
		.header_size = HEADER_SIZE,
		.type = request.header.type + 1,
		.message_version = 1,
		.vmpck = request.header.vmpck,
	};
	answer.header.size = answer_fill(context);
	if (answer.header.size == 0 || HEADER_SIZE + answer.header.size > room)
		return SEV_INVALID_PARAM;
	sealed = message_of(&answer, key, iv);
	crypto_gcm_seal(&sealed);
	*count += 2;
	return SEV_SUCCESS;
}

u32 psp_snp_guest_request(union psp_command *c)
{
	const struct snp_cmd_guest_request *guest = &c->guest_request;
	struct psp_context context;
	u32 status = pages_check(guest, &context);

	if (status == SEV_SUCCESS)
		status = request_copy(guest->request);
	if (status == SEV_SUCCESS)
		status = exchange(&context, PAGE_SIZE - (guest->response & ~PAGE_MASK));
	if (status == SEV_SUCCESS) {
		psp_context_seal(guest->context, &context);
		psp_copy_out(guest->response, &answer, HEADER_SIZE + answer.header.size);
	}
	memset(&request, 0, sizeof(request));
	memset(&answer, 0, sizeof(answer));
	return status;
}
