/* SPDX-License-Identifier: BSD-2-Clause */
/* The PSP's commands as they are meant: launches whose digests an independent tool computes as
 * well, guest messages, reports that openssl verifies. */
/* sources: model/psp.c model/psp_asid.c model/psp_platform.c model/psp_context.c model/psp_launch.c
 * model/psp_pages.c model/psp_cpuid.c model/psp_message.c model/psp_report.c model/psp_sev.c
 * model/psp_key.c model/rmp.c model/cipher.c model/crypto.c tests/host/fake_crypto.c
 * tests/host/fake_sev.c */
/* ldflags: -lbearssl */
#include <sys/wait.h>

#include "tests/host/fake_sev.h"

#define DIRECTORY "build/host/psp/"

static int fresh(void **state)
{
	(void)state;
	fake_sev_start();
	return system("mkdir -p " DIRECTORY) != 0;
}

static void file_write(const char *name, const void *data, size_t size)
{
	FILE *f = fopen(name, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, size, f), size);
	assert_int_equal(fclose(f), 0);
}

/* The hexadecimal number that a command prints. */
static void tool(const char *command, u8 *to, size_t size)
{
	FILE *f = popen(command, "r");
	unsigned byte;

	assert_non_null(f);
	for (size_t i = 0; i < size; i++) {
		assert_int_equal(fscanf(f, "%2x", &byte), 1);
		to[i] = (u8)byte;
	}
	assert_int_equal(pclose(f), 0);
}

static void pattern(u64 address, u64 size, u32 seed)
{
	for (u64 i = 0; i < size; i++) {
		seed = seed * 1664525 + 1013904223;
		fake_memory[address + i] = (u8)(seed >> 24);
	}
}

static void update(u64 page, u32 type, bool large, u8 perms1)
{
	struct snp_cmd_launch_update c = {.context = CONTEXT_AT,
					  .type = (u32)large | type << 1,
					  .page = page,
					  .perms = {perms1, 0, 0}};

	assert_int_equal(fake_command(SNP_LAUNCH_UPDATE, &c, sizeof(c)), SEV_SUCCESS);
}

static struct psp_context context(void)
{
	struct psp_context c;

	assert_int_equal(psp_context_open(CONTEXT_AT, &c), SEV_SUCCESS);
	return c;
}

/* The page as the guest sees it. */
static void decrypted(u64 address, u8 page[4096])
{
	struct psp_context c = context();

	memcpy(page, AT(address), 4096);
	for (u64 at = 0; at < 4096; at += 64)
		cipher_bytes(&c.binding.key, hpa(address + at), page + at, 64);
}

/* Every page type, both sizes: the digest is the tool's, the pages are the guest's. */
static void a_launch_is_measured_as_the_tool_measures_it(void **state)
{
	static u8 block[512 * 4096], plain[4096], vmsa[4096], page[4096];
	char list[2048];
	u8 expected[48];
	struct psp_context c;
	struct rmp_entry entry;
	enum rmp_page_state page_state;

	(void)state;
	fake_world(WORLD_ACTIVE);
	pattern(BLOCK_AT, sizeof(block), 1);
	pattern(PAGE_AT, 4096, 2);
	pattern(VMSA_AT, 4096, 3);
	memset(AT(VMSA_AT) + 0x3b0, 0, 8); /* SEV_FEATURES: no secure TSC */
	memset(AT(SMALLS_AT), 0, 512 * 4096);
	memcpy(block, AT(BLOCK_AT), sizeof(block));
	memcpy(plain, AT(PAGE_AT), sizeof(plain));
	memcpy(vmsa, AT(VMSA_AT), sizeof(vmsa));
	file_write(DIRECTORY "block", block, sizeof(block));
	file_write(DIRECTORY "page", plain, sizeof(plain));
	file_write(DIRECTORY "vmsa", vmsa, sizeof(vmsa));

	update(BLOCK_AT, SNP_PAGE_NORMAL, true, 0);
	update(PAGE_AT, SNP_PAGE_NORMAL, false, 5);
	update(SMALLS_AT, SNP_PAGE_ZERO, false, 0);
	update(SMALLS_AT + 0x1000, SNP_PAGE_UNMEASURED, false, 0);
	update(SMALLS_AT + 0x2000, SNP_PAGE_SECRETS, false, 0);
	update(SMALLS_AT + 0x3000, SNP_PAGE_CPUID, false, 0);
	update(VMSA_AT, SNP_PAGE_VMSA, false, 0);

	snprintf(list, sizeof(list),
		 "normal %#lx 2M " DIRECTORY "block\nnormal %#lx 4K " DIRECTORY "page perms=5,0,0\n"
		 "zero %#lx 4K\nunmeasured %#lx 4K\nsecrets %#lx 4K\ncpuid %#lx 4K\n"
		 "vmsa %#lx 4K " DIRECTORY "vmsa # the first processor\n",
		 BLOCK_GPA, PAGE_GPA, SMALLS_GPA, SMALLS_GPA + 0x1000, SMALLS_GPA + 0x2000,
		 SMALLS_GPA + 0x3000, VMSA_GPA);
	file_write(DIRECTORY "list", list, strlen(list));
	tool("tools/launch-digest snp " DIRECTORY "list", expected, sizeof(expected));
	c = context();
	assert_memory_equal(c.digest, expected, sizeof(expected));

	assert_int_equal(fake_state(BLOCK_AT), RMP_STATE_GUEST_VALID);
	assert_int_equal(fake_state(PAGE_AT), RMP_STATE_GUEST_VALID);
	assert_int_equal(psp_page_get(VMSA_AT, &entry, &page_state), SEV_SUCCESS);
	assert_true(entry.vmsa && entry.validated && !entry.immutable);
	assert_int_equal(psp_page_get(PAGE_AT, &entry, &page_state), SEV_SUCCESS);
	assert_int_equal(entry.perms[0], RMP_ALL);
	assert_int_equal(entry.perms[1], 5);
	assert_memory_not_equal(AT(PAGE_AT), plain, 4096);
	decrypted(PAGE_AT, page);
	assert_memory_equal(page, plain, 4096);
	decrypted(BLOCK_AT + 300 * 4096, page);
	assert_memory_equal(page, block + 300 * 4096, 4096);
	decrypted(VMSA_AT, page);
	assert_memory_equal(page, vmsa, 4096);
	decrypted(SMALLS_AT, page);
	assert_true(psp_is_zero(page, 4096));
	decrypted(SMALLS_AT + 0x2000, page);
	assert_memory_equal(((struct snp_secrets_page *)(void *)page)->vmpck, c.vmpck,
			    sizeof(c.vmpck));
	assert_int_equal(((struct snp_secrets_page *)(void *)page)->version, 3);
}

static void a_zero_page_is_zero_whatever_it_was(void **state)
{
	u8 page[4096];

	(void)state;
	fake_world(WORLD_ACTIVE);
	pattern(PAGE_AT, 4096, 9);
	update(PAGE_AT, SNP_PAGE_ZERO, false, 0);
	decrypted(PAGE_AT, page);
	assert_true(psp_is_zero(page, 4096));
}

static void secure_tsc_is_set_but_not_measured(void **state)
{
	u8 page[4096], expected[48];
	u64 features = BIT(0) | BIT(9), scale;
	struct psp_context c;

	(void)state;
	fake_world(WORLD_ACTIVE);
	c = context();
	c.tsc_frequency = 99800 * 3 + 49900; /* 3.5 times the reference */
	psp_context_seal(CONTEXT_AT, &c);
	memcpy(AT(VMSA_AT) + 0x3b0, &features, sizeof(features));
	file_write(DIRECTORY "vmsa", AT(VMSA_AT), 4096);
	file_write(DIRECTORY "list", "vmsa 0xfffffffff000 4096 " DIRECTORY "vmsa\n",
		   strlen("vmsa 0xfffffffff000 4096 " DIRECTORY "vmsa\n"));
	update(VMSA_AT, SNP_PAGE_VMSA, false, 0);
	tool("tools/launch-digest snp " DIRECTORY "list", expected, sizeof(expected));
	assert_memory_equal(context().digest, expected, sizeof(expected));
	decrypted(VMSA_AT, page);
	memcpy(&scale, page + 0x2f0, sizeof(scale));
	assert_int_equal(scale, 3ul << 32 | 1ul << 31);
}

static void wrong_cpuid_is_corrected_and_not_launched(void **state)
{
	struct snp_cpuid_page *page = (void *)AT(PAGE_AT);
	struct snp_cmd_launch_update c = {
		.context = CONTEXT_AT, .type = SNP_PAGE_CPUID << 1, .page = PAGE_AT};
	struct psp_context before, after;

	(void)state;
	fake_world(WORLD_ACTIVE);
	before = context();
	page->count = 5;
	page->entries[0] = (struct snp_cpuid_entry){.leaf = 0, .eax = 0x20}; /* too high */
	page->entries[1] = (struct snp_cpuid_entry){
		.leaf = 1, .eax = 0x800f12, .ebx = 0x12340800, .ecx = 0x8838020b, .edx = 1};
	page->entries[2] = (struct snp_cpuid_entry){.leaf = 0x8000001f, .eax = 0x1a, .ebx = 51};
	page->entries[3] = (struct snp_cpuid_entry){.leaf = 0x14, .eax = 7}; /* not a known leaf */
	page->entries[4] = (struct snp_cpuid_entry){.leaf = 0x40000000, .eax = 7};
	assert_int_equal(fake_command(SNP_LAUNCH_UPDATE, &c, sizeof(c)), SEV_INVALID_PARAM);
	assert_int_equal(page->entries[0].eax, 0xd);
	assert_int_equal(page->entries[1].ebx, 0x12340800);
	assert_int_equal(page->entries[1].ecx, 0x88380203); /* OSXSAVE and hypervisor are free */
	assert_int_equal(page->entries[2].ebx & 0xfff, 47 | 1 << 6);
	assert_int_equal(page->entries[3].eax, 0);
	assert_int_equal(page->entries[4].eax, 7);
	assert_int_equal(fake_state(PAGE_AT), RMP_STATE_PRE_GUEST);
	after = context();
	assert_memory_equal(&before, &after, sizeof(before));

	assert_int_equal(fake_command(SNP_LAUNCH_UPDATE, &c, sizeof(c)), SEV_SUCCESS);
	assert_int_equal(fake_state(PAGE_AT), RMP_STATE_GUEST_VALID);
}

/* Guest messages */

static struct {
	struct snp_message_header header;
	u8 payload[4000];
} message;

static struct crypto_gcm sealing(const u8 *key, u8 iv[12])
{
	memset(iv, 0, 12);
	memcpy(iv, &message.header.sequence, 8);
	return (struct crypto_gcm){.key = key,
				   .iv = iv,
				   .aad = &message.header.algo,
				   .aad_size = 0x30,
				   .data = message.payload,
				   .size = message.header.size,
				   .tag = message.header.tag};
}

static void request_write(u8 vmpck, u64 sequence, u8 type, const void *payload, u16 size)
{
	struct psp_context c = context();
	struct crypto_gcm gcm;
	u8 iv[12];

	memset(&message, 0, sizeof(message));
	message.header = (struct snp_message_header){.sequence = sequence,
						     .algo = 1,
						     .version = 1,
						     .header_size = 0x60,
						     .type = type,
						     .message_version = 1,
						     .size = size,
						     .vmpck = vmpck};
	memcpy(message.payload, payload, size);
	gcm = sealing(c.vmpck[vmpck], iv);
	crypto_gcm_seal(&gcm);
	memcpy(AT(REQUEST_AT), &message, 0x60ul + size);
}

static u32 request_send(void)
{
	struct snp_cmd_guest_request c = {
		.context = CONTEXT_AT, .request = REQUEST_AT, .response = RESPONSE_AT};

	return fake_command(SNP_GUEST_REQUEST, &c, sizeof(c));
}

/* Opens the answer; its header must be the one that belongs to the request. */
static const void *answer_read(u8 vmpck, u64 sequence, u8 type)
{
	struct psp_context c = context();
	struct crypto_gcm gcm;
	u8 iv[12];

	memcpy(&message, AT(RESPONSE_AT), sizeof(message));
	assert_int_equal(message.header.sequence, sequence);
	assert_int_equal(message.header.type, type);
	assert_int_equal(message.header.vmpck, vmpck);
	assert_int_equal(message.header.header_size, 0x60);
	gcm = sealing(c.vmpck[vmpck], iv);
	assert_true(crypto_gcm_open(&gcm));
	return message.payload;
}

static const struct snp_report_response *report_get(u8 vmpck, u64 sequence, u32 vmpl)
{
	struct snp_report_request r = {.data = "what the guest wants to be in it", .vmpl = vmpl};

	request_write(vmpck, sequence, SNP_MESSAGE_REPORT_REQ, &r, sizeof(r));
	assert_int_equal(request_send(), SEV_SUCCESS);
	return answer_read(vmpck, sequence + 1, SNP_MESSAGE_REPORT_RSP);
}

static int verify(const struct snp_report *report, const char *options)
{
	char command[512];
	int status;

	file_write(DIRECTORY "report", report, sizeof(*report));
	snprintf(command, sizeof(command),
		 "tools/verify-report " DIRECTORY "report %s >" DIRECTORY "verify.log 2>&1",
		 options);
	status = system(command);
	return WEXITSTATUS(status);
}

static void a_report_verifies_and_one_with_a_flipped_bit_does_not(void **state)
{
	static const size_t flips[] = {0x08, 0x50, 0x90, 0xbf, 0x1a0, 0x29f, 0x2a0, 0x2a0 + 72};
	const struct snp_report_response *response;
	struct snp_report report;
	char options[256] = "--measurement ";

	(void)state;
	fake_world(WORLD_ACTIVE);
	pattern(PAGE_AT, 4096, 2);
	update(PAGE_AT, SNP_PAGE_NORMAL, false, 0);
	{
		struct snp_cmd_launch_finish c = {.context = CONTEXT_AT, .host_data = {0xab}};

		assert_int_equal(fake_command(SNP_LAUNCH_FINISH, &c, sizeof(c)), SEV_SUCCESS);
	}
	response = report_get(0, 1, 2);
	assert_int_equal(response->status, SEV_SUCCESS);
	assert_int_equal(response->size, sizeof(report));
	report = response->report;
	assert_memory_equal(report.measurement, context().digest, 48);
	assert_int_equal(report.vmpl, 2);
	assert_int_equal(report.policy, FAKE_POLICY);
	assert_string_equal((const char *)report.chip_id, "Septum model: not hardware");
	for (unsigned i = 0; i < 48; i++)
		snprintf(options + strlen(options), 3, "%02x", report.measurement[i]);
	strcat(options, " --host-data ab --policy 0x30000 --vmpl 2");
	assert_int_equal(verify(&report, options), 0);
	assert_int_equal(verify(&report, "--vmpl 1"), 1);
	assert_int_equal(verify(&report, "--measurement 00"), 1);
	assert_int_equal(verify(&report, "--chain model/certificates/root.pem"), 1);
	assert_int_equal(
		verify(&report, "--chain model/certificates/root.pem model/certificates/chip.pem"),
		1);
	for (unsigned i = 0; i < ARRAY_COUNT(flips); i++) {
		((u8 *)&report)[flips[i]] ^= 4;
		assert_int_equal(verify(&report, ""), 1);
		((u8 *)&report)[flips[i]] ^= 4;
	}
	assert_int_equal(verify(&report, ""), 0);
}

static void a_message_counts_once_and_in_order(void **state)
{
	struct snp_report_request r = {.vmpl = 3};
	struct psp_context before;
	u8 old[0x60 + sizeof(r)];

	(void)state;
	fake_world(WORLD_RUNNING);
	report_get(0, 1, 0);
	memcpy(old, AT(REQUEST_AT), sizeof(old));
	report_get(3, 1, 3); /* each key has a count of its own */
	report_get(0, 3, 0);
	before = context();
	assert_int_equal(before.counts[0], 4);
	assert_int_equal(before.counts[3], 2);

	memcpy(AT(REQUEST_AT), old, sizeof(old));
	assert_int_equal(request_send(), SEV_AEAD_OFLOW); /* replayed */
	request_write(0, 7, SNP_MESSAGE_REPORT_REQ, &r, sizeof(r));
	assert_int_equal(request_send(), SEV_AEAD_OFLOW); /* one left out */
	request_write(0, 4, SNP_MESSAGE_REPORT_REQ, &r, sizeof(r));
	assert_int_equal(request_send(), SEV_AEAD_OFLOW);
	for (unsigned at = 0; at < sizeof(old); at++) {
		if (at >= 0x10 && at < 0x20)
			continue; /* the unused half of the tag */
		if (at >= 0x28 && at < 0x38)
			continue; /* reserved, or checked as fields */
		if (at == 0x3c)
			continue;
		request_write(0, 5, SNP_MESSAGE_REPORT_REQ, &r, sizeof(r));
		AT(REQUEST_AT)[at] ^= 1;
		assert_int_equal(request_send(), SEV_BAD_MEASUREMENT);
	}
	request_write(0, 5, SNP_MESSAGE_REPORT_REQ, &r, sizeof(r));
	AT(REQUEST_AT)[0x3c] = 1; /* another key */
	assert_int_equal(request_send(), SEV_BAD_MEASUREMENT);
	request_write(0, 5, 0x55, &r, sizeof(r));
	assert_int_equal(request_send(), SEV_INVALID_PARAM);
	assert_int_equal(context().counts[0], 4);
	report_get(0, 5, 0);

	struct psp_context c = context();

	c.counts[0] = ~0ul - 1;
	psp_context_seal(CONTEXT_AT, &c);
	request_write(0, ~0ul, SNP_MESSAGE_REPORT_REQ, &r, sizeof(r));
	assert_int_equal(request_send(), SEV_AEAD_OFLOW);
}

/* The guest's own errors are in the answer, and count. */
static void a_guests_error_is_answered(void **state)
{
	struct snp_report_request r = {.vmpl = 1};
	const struct snp_report_response *answer;

	(void)state;
	fake_world(WORLD_RUNNING);
	request_write(2, 1, SNP_MESSAGE_REPORT_REQ, &r, sizeof(r)); /* VMPL 1 with VMPL 2's key */
	assert_int_equal(request_send(), SEV_SUCCESS);
	answer = answer_read(2, 2, SNP_MESSAGE_REPORT_RSP);
	assert_int_equal(answer->status, SEV_INVALID_PARAM);
	assert_true(psp_is_zero(&answer->report, sizeof(answer->report)));
	r = (struct snp_report_request){.vmpl = 2, .key = 2}; /* no VLEK here */
	request_write(2, 3, SNP_MESSAGE_REPORT_REQ, &r, sizeof(r));
	assert_int_equal(request_send(), SEV_SUCCESS);
	answer = answer_read(2, 4, SNP_MESSAGE_REPORT_RSP);
	assert_int_equal(answer->status, SEV_INVALID_KEY);
	r = (struct snp_report_request){.vmpl = 2, .reserved = {1}};
	request_write(2, 5, SNP_MESSAGE_REPORT_REQ, &r, sizeof(r));
	assert_int_equal(request_send(), SEV_SUCCESS);
	answer = answer_read(2, 6, SNP_MESSAGE_REPORT_RSP);
	assert_int_equal(answer->status, SEV_INVALID_PARAM);
}

static struct snp_key_response key_get(u64 sequence, struct snp_key_request request)
{
	struct snp_key_response answer;

	request_write(0, sequence, SNP_MESSAGE_KEY_REQ, &request, sizeof(request));
	assert_int_equal(request_send(), SEV_SUCCESS);
	memcpy(&answer, answer_read(0, sequence + 1, SNP_MESSAGE_KEY_RSP), sizeof(answer));
	return answer;
}

static void a_derived_key_depends_on_what_was_asked(void **state)
{
	struct snp_key_request different[] = {
		{.select = 0},
		{.select = 1},
		{.select = 0, .fields = 1},
		{.select = 0, .fields = 8},
		{.select = 0, .vmpl = 1},
		{.select = 0, .fields = 32, .tcb = 1},
	};
	struct snp_key_response keys[ARRAY_COUNT(different)], again;
	u64 sequence = 1;

	(void)state;
	fake_world(WORLD_RUNNING);
	for (unsigned i = 0; i < ARRAY_COUNT(different); i++, sequence += 2) {
		keys[i] = key_get(sequence, different[i]);
		assert_int_equal(keys[i].status, SEV_SUCCESS);
		for (unsigned j = 0; j < i; j++)
			assert_memory_not_equal(keys[i].key, keys[j].key, 32);
	}
	again = key_get(sequence, different[3]);
	assert_memory_equal(again.key, keys[3].key, 32);
	sequence += 2;
	assert_int_equal(key_get(sequence, (struct snp_key_request){.fields = 64}).status,
			 SEV_INVALID_PARAM);
	sequence += 2;
	assert_int_equal(
		key_get(sequence, (struct snp_key_request){.fields = 16, .guest_svn = 1}).status,
		SEV_INVALID_PARAM);
	sequence += 2;
	assert_int_equal(key_get(sequence, (struct snp_key_request){.fields = 32, .tcb = 2}).status,
			 SEV_INVALID_PARAM);
	sequence += 2;
	assert_int_equal(key_get(sequence, (struct snp_key_request){.select = 6}).status,
			 SEV_INVALID_KEY);
}

static void tsc_info_and_cpuid_are_answered(void **state)
{
	struct snp_tsc_request tsc = {{0}};
	struct {
		u32 count, reserved;
		u64 reserved2;
		struct snp_cpuid_entry entries[2];
	} cpuid = {.count = 2,
		   .entries = {{.leaf = 0, .eax = 0xd}, {.leaf = 7, .ebx = 0xffffffff}}};
	const struct snp_tsc_response *answer;
	const u32 *words;

	(void)state;
	fake_world(WORLD_RUNNING);
	request_write(0, 1, SNP_MESSAGE_TSC_INFO_REQ, &tsc, sizeof(tsc));
	assert_int_equal(request_send(), SEV_SUCCESS);
	answer = answer_read(0, 2, SNP_MESSAGE_TSC_INFO_RSP);
	assert_int_equal(answer->status, SEV_SUCCESS);
	assert_int_equal(answer->factor, 200);
	request_write(0, 3, SNP_MESSAGE_CPUID_REQ, &cpuid, sizeof(cpuid));
	assert_int_equal(request_send(), SEV_SUCCESS);
	words = answer_read(0, 4, SNP_MESSAGE_CPUID_RSP);
	assert_int_equal(words[0], 2);
	assert_int_equal(words[1], SEV_INVALID_PARAM);
	assert_int_equal(((const struct snp_cpuid_entry *)(words + 4))[1].ebx, 0x209c01a9);
}

/* ID block */

static const u8 id_key[48] = {[40] = 1, 2, 3, 4, 5, 6, 7, 8};
static const u8 author_key[48] = {[40] = 8, 7, 6, 5, 4, 3, 2, 1};

static void little(u8 to[72], const u8 big[48])
{
	memset(to, 0, 72);
	for (unsigned i = 0; i < 48; i++)
		to[i] = big[47 - i];
}

static void sign(const u8 key[48], const void *data, size_t size, struct snp_signature *signature)
{
	u8 digest[48], numbers[96];

	crypto_sha384(data, size, digest);
	assert_true(crypto_p384_sign(key, digest, numbers));
	little(signature->r, numbers);
	little(signature->s, numbers + 48);
}

static void public_of(const u8 key[48], struct snp_public_key *public)
{
	u8 point[96];

	assert_true(crypto_p384_public(key, point));
	public->curve = SNP_CURVE_P384;
	little(public->x, point);
	little(public->y, point + 48);
}

static void id_write(struct snp_id_block *block, struct snp_id_auth *auth)
{
	memset(auth, 0, sizeof(*auth));
	auth->id_algo = auth->author_algo = 1;
	public_of(id_key, &auth->id_key);
	public_of(author_key, &auth->author_key);
	sign(id_key, block, sizeof(*block), &auth->block_signature);
	sign(author_key, &auth->id_key, sizeof(auth->id_key), &auth->key_signature);
}

static void a_signed_id_block_is_in_the_report(void **state)
{
	struct snp_cmd_launch_finish c = {
		.context = CONTEXT_AT, .id_block = SOURCE_AT, .id_auth = REQUEST_AT, .flags = 3};
	struct snp_id_block *block = (void *)AT(SOURCE_AT);
	struct snp_id_auth *auth = (void *)AT(REQUEST_AT);
	const struct snp_report_response *response;
	u8 digest[48];

	(void)state;
	fake_world(WORLD_ACTIVE);
	update(PAGE_AT, SNP_PAGE_NORMAL, false, 0);
	*block = (struct snp_id_block){.family_id = "a family",
				       .image_id = "an image",
				       .version = 1,
				       .guest_svn = 7,
				       .policy = FAKE_POLICY};
	memcpy(block->digest, context().digest, 48);
	id_write(block, auth);
	/* Each signature counts: of the block, and of the key. */
	auth->key_signature.s[5] ^= 1;
	assert_int_equal(fake_command(SNP_LAUNCH_FINISH, &c, sizeof(c)), SEV_BAD_SIGNATURE);
	auth->key_signature.s[5] ^= 1;
	auth->block_signature.r[0] ^= 1;
	assert_int_equal(fake_command(SNP_LAUNCH_FINISH, &c, sizeof(c)), SEV_BAD_SIGNATURE);
	auth->block_signature.r[0] ^= 1;
	block->guest_svn = 8;
	assert_int_equal(fake_command(SNP_LAUNCH_FINISH, &c, sizeof(c)), SEV_BAD_SIGNATURE);
	block->guest_svn = 7;
	assert_int_equal(context().state, SNP_GUEST_LAUNCH);
	assert_int_equal(fake_command(SNP_LAUNCH_FINISH, &c, sizeof(c)), SEV_SUCCESS);
	crypto_sha384(&auth->id_key, sizeof(auth->id_key), digest);
	response = report_get(0, 1, 0);
	assert_int_equal(response->report.guest_svn, 7);
	assert_string_equal((const char *)response->report.family_id, "a family");
	assert_memory_equal(response->report.id_key_digest, digest, 48);
	assert_int_equal(response->report.flags & 1, 1);
	assert_int_equal(verify(&response->report, ""), 0);
}

/* Platform, pages */

static void a_masked_chip_signs_nothing(void **state)
{
	struct snp_cmd_config config = {.flags = 3};
	const struct snp_report_response *response;

	(void)state;
	fake_world(WORLD_RUNNING);
	assert_int_equal(fake_command(SNP_CONFIG, &config, sizeof(config)), SEV_SUCCESS);
	response = report_get(0, 1, 0);
	assert_true(psp_is_zero(response->report.chip_id, 64));
	assert_true(psp_is_zero(&response->report.signature, sizeof(struct snp_signature)));
	assert_int_equal(verify(&response->report, ""), 1);
	assert_int_equal(key_get(3, (struct snp_key_request){.select = 0}).status, SEV_INVALID_KEY);
	assert_int_equal(key_get(5, (struct snp_key_request){.select = 1}).status, SEV_SUCCESS);
}

static void status_is_told(void **state)
{
	const struct snp_platform_status *status = (void *)AT(STATUS_AT);
	const struct snp_guest_status *guest = (void *)AT(STATUS_AT);
	struct snp_cmd_guest_status c = {.context = CONTEXT_AT, .status = STATUS_AT};
	struct snp_cmd_feature_info info = {.length = 16, .ecx = 1, .address = STATUS_AT};

	(void)state;
	assert_int_equal(fake_address_command(SNP_PLATFORM_STATUS, STATUS_AT), SEV_SUCCESS);
	assert_int_equal(status->state, PLATFORM_UNINIT);
	fake_world(WORLD_ACTIVE);
	assert_int_equal(fake_address_command(SNP_PLATFORM_STATUS, STATUS_AT), SEV_SUCCESS);
	assert_int_equal(status->state, PLATFORM_INIT);
	assert_int_equal(status->rmp, 1);
	assert_int_equal(status->guests, 1);
	assert_int_equal(status->major, 1);
	assert_int_equal(fake_command(SNP_GUEST_STATUS, &c, sizeof(c)), SEV_SUCCESS);
	assert_int_equal(guest->asid, ASID);
	assert_int_equal(guest->state, SNP_GUEST_LAUNCH);
	assert_int_equal(guest->policy, FAKE_POLICY);
	assert_int_equal(fake_command(SNP_FEATURE_INFO, &info, sizeof(info)), SEV_SUCCESS);
	assert_int_equal(*(u32 *)(void *)AT(STATUS_AT), 0x107);
}

static void init_makes_the_table_and_what_is_fixed(void **state)
{
	(void)state;
	memset(AT(RMP_AT), 0xff, 0x100000);
	fake_world(WORLD_SNP);
	assert_int_equal(fake_state(RMP_AT), RMP_STATE_FIRMWARE);
	assert_int_equal(fake_state(2 * RMP_AT - 1), RMP_STATE_FIRMWARE);
	assert_int_equal(fake_state(FIXED_AT), RMP_STATE_HV_FIXED);
	assert_int_equal(fake_state(PLAIN_AT), RMP_STATE_HYPERVISOR);
	assert_int_equal(fake_state(0), RMP_STATE_HYPERVISOR);
}

static void pages_come_back(void **state)
{
	(void)state;
	fake_world(WORLD_ACTIVE);
	assert_int_equal(fake_address_command(SNP_PAGE_RECLAIM, STATUS_AT), SEV_SUCCESS);
	assert_int_equal(fake_state(STATUS_AT), RMP_STATE_RECLAIM);
	fake_page(STATUS_AT, 0, 0, false, false, false);
	assert_int_equal(fake_address_command(SNP_PAGE_RECLAIM, PAGE_AT), SEV_SUCCESS);
	assert_int_equal(fake_state(PAGE_AT), RMP_STATE_GUEST_INVALID);
	fake_page(PAGE_AT, 0, 0, false, false, false);
	assert_int_equal(fake_address_command(SNP_PAGE_RECLAIM, PLAIN_AT),
			 SEV_SUCCESS); /* as it is */
	assert_int_equal(fake_state(PLAIN_AT), RMP_STATE_HYPERVISOR);
	assert_int_equal(fake_address_command(SNP_PAGE_RECLAIM, BLOCK_AT | 1), SEV_SUCCESS);
	assert_int_equal(fake_state(BLOCK_AT), RMP_STATE_GUEST_INVALID);
	assert_int_equal(fake_address_command(SNP_PAGE_RECLAIM, FIRM_BLOCK_AT | 1), SEV_SUCCESS);
	assert_int_equal(fake_state(FIRM_BLOCK_AT), RMP_STATE_RECLAIM);
}

static void small_pages_become_a_large_one(void **state)
{
	struct rmp_entry entry;
	enum rmp_page_state page_state;

	(void)state;
	fake_world(WORLD_ACTIVE);
	assert_int_equal(fake_address_command(SNP_PAGE_UNSMASH, SMALLS_AT), SEV_SUCCESS);
	assert_int_equal(psp_page_get(SMALLS_AT + 0x5000, &entry, &page_state), SEV_SUCCESS);
	assert_true(entry.large);
	assert_int_equal(entry.gpa, SMALLS_GPA + 0x5000);
	assert_int_equal(page_state, RMP_STATE_PRE_GUEST);
	update(SMALLS_AT, SNP_PAGE_ZERO, true, 0);
	assert_int_equal(fake_state(SMALLS_AT), RMP_STATE_GUEST_VALID);
}

static void a_debugger_sees_plain_text_where_the_policy_says_so(void **state)
{
	struct snp_cmd_debug c = {.context = CONTEXT_AT, .from = PAGE_AT, .to = DEBUG_AT};
	u8 plain[4096];

	(void)state;
	fake_policy |= SNP_POLICY_DEBUG;
	fake_world(WORLD_ACTIVE);
	pattern(PAGE_AT, 4096, 4);
	memcpy(plain, AT(PAGE_AT), 4096);
	update(PAGE_AT, SNP_PAGE_NORMAL, false, 0);
	assert_int_equal(fake_command(SNP_DBG_DECRYPT, &c, sizeof(c)), SEV_SUCCESS);
	assert_memory_equal(AT(DEBUG_AT), plain, 4096);
}

static void an_asid_serves_the_next_guest_after_a_flush_only(void **state)
{
	struct snp_cmd_launch_start start = {.context = CONTEXT2_AT, .policy = FAKE_POLICY};
	struct snp_cmd_activate activate = {.context = CONTEXT2_AT, .asid = ASID};
	u64 pages[] = {PAGE_AT, VMSA_AT};

	(void)state;
	fake_world(WORLD_RUNNING);
	assert_true(model_psp_asid_runs(ASID));
	assert_int_equal(fake_address_command(SNP_DECOMMISSION, CONTEXT_AT), SEV_SUCCESS);
	assert_false(model_psp_asid_runs(ASID));
	assert_int_equal(fake_state(CONTEXT_AT), RMP_STATE_FIRMWARE);
	assert_true(psp_is_zero(AT(CONTEXT_AT), 4096));
	assert_int_equal(fake_address_command(SNP_GCTX_CREATE, CONTEXT2_AT), SEV_SUCCESS);
	assert_int_equal(fake_command(SNP_LAUNCH_START, &start, sizeof(start)), SEV_SUCCESS);
	assert_int_equal(fake_command(SNP_ACTIVATE, &activate, sizeof(activate)),
			 SEV_INVALID_CONFIG); /* the old guest's pages */
	for (unsigned i = 0; i < ARRAY_COUNT(pages); i++) {
		assert_int_equal(fake_address_command(SNP_PAGE_RECLAIM, pages[i]), SEV_SUCCESS);
		fake_page(pages[i], 0, 0, false, false, false);
	}
	assert_int_equal(fake_address_command(SNP_PAGE_RECLAIM, BLOCK_AT | 1), SEV_SUCCESS);
	fake_page(BLOCK_AT, 0, 0, true, false, false);
	for (u64 page = SMALLS_AT; page < SMALLS_AT + 0x200000; page += 4096) {
		assert_int_equal(fake_address_command(SNP_PAGE_RECLAIM, page), SEV_SUCCESS);
		fake_page(page, 0, 0, false, false, false);
	}
	assert_int_equal(fake_command(SNP_ACTIVATE, &activate, sizeof(activate)),
			 SEV_DF_FLUSH_REQUIRED);
	assert_int_equal(fake_command(SNP_DF_FLUSH, NULL, 0), SEV_WBINVD_REQUIRED);
	model_psp_wbinvd(0);
	assert_int_equal(fake_command(SNP_DF_FLUSH, NULL, 0), SEV_WBINVD_REQUIRED);
	assert_int_equal(fake_command(SNP_ACTIVATE, &activate, sizeof(activate)),
			 SEV_DF_FLUSH_REQUIRED);
	model_psp_wbinvd(1);
	assert_int_equal(fake_command(SNP_DF_FLUSH, NULL, 0), SEV_SUCCESS);
	assert_int_equal(fake_command(SNP_ACTIVATE, &activate, sizeof(activate)), SEV_SUCCESS);
	/* A guest that never ran leaves a clean ASID. */
	assert_int_equal(fake_address_command(SNP_DECOMMISSION, CONTEXT2_AT), SEV_SUCCESS);
	assert_int_equal(fake_command(SNP_SHUTDOWN, NULL, 0), SEV_SUCCESS);
	assert_int_equal(fake_command(SNP_SHUTDOWN, NULL, 0), SEV_SUCCESS);
	{
		struct snp_cmd_init_ex again = {.flags = 0};

		assert_int_equal(fake_command(SNP_INIT_EX, &again, sizeof(again)), SEV_SUCCESS);
	}
}

/* What a context page once held is no guest once the page is not a context. */
static void a_context_that_ended_does_not_come_back(void **state)
{
	struct snp_cmd_guest_status c = {.context = CONTEXT_AT, .status = STATUS_AT};
	u8 old[4096];

	(void)state;
	fake_world(WORLD_LAUNCH);
	memcpy(old, AT(CONTEXT_AT), sizeof(old));
	assert_int_equal(fake_command(SNP_GUEST_STATUS, &c, sizeof(c)), SEV_SUCCESS);
	assert_int_equal(fake_address_command(SNP_DECOMMISSION, CONTEXT_AT), SEV_SUCCESS);
	memcpy(AT(CONTEXT_AT), old, sizeof(old));
	assert_int_equal(fake_command(SNP_GUEST_STATUS, &c, sizeof(c)), SEV_INVALID_GUEST);
}

/* While SNP is up, a command whose buffer is written wants it in the firmware's hands. */
static void a_buffer_that_is_written_is_the_firmwares(void **state)
{
	(void)state;
	fake_world(WORLD_SNP);
	assert_int_equal(fake_command_at(SEV_PLATFORM_STATUS, PLAIN_AT), SEV_INVALID_PAGE_STATE);
	assert_int_equal(fake_command_at(SEV_PLATFORM_STATUS, STATUS_AT + 0xffa),
			 SEV_SUCCESS); /* crosses into RESPONSE_AT */
	assert_int_equal(fake_state(STATUS_AT), RMP_STATE_RECLAIM);
	assert_int_equal(fake_state(RESPONSE_AT), RMP_STATE_RECLAIM);
	assert_int_equal(AT(STATUS_AT)[0xffa], 1);
}

/* SEV */

static void sev_is_measured_as_the_tool_measures_it(void **state)
{
	struct sev_cmd_range data = {.handle = 1, .address = PLAIN_AT + 0x10, .size = 0x2000};
	struct sev_cmd_range vmsa = {.handle = 1, .address = VMSA_AT, .size = 4096};
	struct sev_cmd_range measure = {.handle = 1, .address = STATUS_AT, .size = 48};
	struct sev_cmd_handle handle = {.handle = 1};
	char command[512];
	u8 expected[32], plain[0x2000];

	(void)state;
	for (unsigned es = 0; es < 2; es++) {
		fake_sev_start();
		fake_es = es;
		fake_world(WORLD_SEV_ACTIVE);
		pattern(PLAIN_AT, 0x3000, 5);
		pattern(VMSA_AT, 4096, 6);
		memcpy(plain, AT(PLAIN_AT) + 0x10, sizeof(plain));
		file_write(DIRECTORY "data", plain, sizeof(plain));
		file_write(DIRECTORY "vmsa", AT(VMSA_AT), 4096);
		assert_int_equal(fake_command(SEV_LAUNCH_UPDATE_DATA, &data, sizeof(data)),
				 SEV_SUCCESS);
		assert_memory_not_equal(plain, AT(PLAIN_AT) + 0x10, sizeof(plain));
		if (es)
			assert_int_equal(fake_command(SEV_LAUNCH_UPDATE_VMSA, &vmsa, sizeof(vmsa)),
					 SEV_SUCCESS);
		assert_int_equal(fake_command(SEV_LAUNCH_MEASURE, &measure, sizeof(measure)),
				 SEV_SUCCESS);
		snprintf(command, sizeof(command), "tools/launch-digest sev --policy %u --nonce ",
			 es ? 4 : 0);
		for (unsigned i = 0; i < 16; i++)
			snprintf(command + strlen(command), 3, "%02x", AT(STATUS_AT)[32 + i]);
		strcat(command, " " DIRECTORY "data ");
		strcat(command, es ? DIRECTORY "vmsa" : "");
		tool(command, expected, sizeof(expected));
		assert_memory_equal(AT(STATUS_AT), expected, sizeof(expected));
		assert_false(model_psp_asid_runs(es ? ASID : SEV_ASID));
		assert_int_equal(fake_command(SEV_LAUNCH_FINISH, &handle, sizeof(handle)),
				 SEV_SUCCESS);
		assert_true(model_psp_asid_runs(es ? ASID : SEV_ASID));
		{
			struct sev_cmd_debug debug = {.handle = 1,
						      .from = PLAIN_AT + 0x10,
						      .to = CONTEXT_AT,
						      .size = 0x2000};

			assert_int_equal(fake_command(SEV_DBG_DECRYPT, &debug, sizeof(debug)),
					 SEV_SUCCESS);
			assert_memory_equal(AT(CONTEXT_AT), plain, sizeof(plain));
		}
	}
}

static void a_short_measurement_buffer_is_told_the_size(void **state)
{
	struct sev_cmd_range measure = {.handle = 1, .address = STATUS_AT, .size = 47};

	(void)state;
	fake_world(WORLD_SEV_ACTIVE);
	assert_int_equal(fake_command(SEV_LAUNCH_MEASURE, &measure, sizeof(measure)),
			 SEV_INVALID_LENGTH);
	assert_int_equal(((struct sev_cmd_range *)(void *)AT(COMMAND_AT))->size, 48);
	assert_int_equal(psp.sev_guests[0].state, SEV_GUEST_LUPDATE);
}

static void a_sealed_secret_reaches_the_guest(void **state)
{
	static const char text[48] = "a secret of the guest's owner, 48 bytes long";
	struct sev_cmd_secret c = {.handle = 1,
				   .header = SOURCE_AT,
				   .header_size = 52,
				   .guest = PLAIN_AT + 0xff0, /* over a page's end */
				   .guest_size = sizeof(text),
				   .transport = LIST_AT,
				   .transport_size = sizeof(text)};
	struct sev_packet_header *header = (void *)AT(SOURCE_AT);
	struct {
		u8 context;
		u32 flags;
		u8 iv[16];
		u32 size, transport_size;
		u8 data[sizeof(text)], measurement[32];
	} __attribute__((packed))
	input = {.context = 1, .size = sizeof(text), .transport_size = sizeof(text)};
	const u8 zero[16] = {0};
	u8 got[sizeof(text)];

	(void)state;
	fake_world(WORLD_SEV_MEASURED);
	for (unsigned i = 0; i < 16; i++)
		header->iv[i] = input.iv[i] = (u8)(i * 3);
	memcpy(input.data, text, sizeof(text));
	crypto_aes128_ctr(zero, input.iv, input.data, sizeof(text));
	memcpy(AT(LIST_AT), input.data, sizeof(text));
	memcpy(input.measurement, AT(STATUS_AT), 32);
	crypto_hmac_sha256(zero, sizeof(zero), &input, sizeof(input), header->mac);
	assert_int_equal(fake_command(SEV_LAUNCH_SECRET, &c, sizeof(c)), SEV_SUCCESS);
	memcpy(got, AT(PLAIN_AT) + 0xff0, sizeof(got));
	assert_memory_not_equal(got, text, sizeof(text));
	cipher_bytes(&psp.sev_guests[0].binding.key, hpa(PLAIN_AT + 0xff0), got, 16);
	cipher_bytes(&psp.sev_guests[0].binding.key, hpa(PLAIN_AT + 0x1000), got + 16, 32);
	assert_memory_equal(got, text, sizeof(text));
}

static void sev_guests_come_and_go(void **state)
{
	struct sev_cmd_guest_status status = {.handle = 1};
	struct sev_cmd_handle handle = {.handle = 1};
	const struct sev_cmd_guest_status *got = (void *)AT(COMMAND_AT);
	const struct sev_cmd_platform_status *platform = (void *)AT(COMMAND_AT);

	(void)state;
	fake_world(WORLD_SEV_RUNNING);
	assert_int_equal(fake_command(SEV_GUEST_STATUS, &status, sizeof(status)), SEV_SUCCESS);
	assert_int_equal(got->state, SEV_GUEST_RUNNING);
	assert_int_equal(got->asid, SEV_ASID);
	assert_int_equal(fake_command(SEV_PLATFORM_STATUS, NULL, 0), SEV_SUCCESS);
	assert_int_equal(platform->state, PLATFORM_WORKING);
	assert_int_equal(platform->guests, 1);
	assert_int_equal(fake_command(SEV_DEACTIVATE, &handle, sizeof(handle)), SEV_SUCCESS);
	assert_int_equal(fake_command(SEV_DECOMMISSION, &handle, sizeof(handle)), SEV_SUCCESS);
	assert_int_equal(fake_command(SEV_GUEST_STATUS, &status, sizeof(status)), SEV_SUCCESS);
	assert_int_equal(got->state, SEV_GUEST_INVALID);
	assert_int_equal(fake_command(SEV_PLATFORM_STATUS, NULL, 0), SEV_SUCCESS);
	assert_int_equal(platform->state, PLATFORM_INIT);
	assert_int_equal(fake_command(SEV_SHUTDOWN, NULL, 0), SEV_SUCCESS);
	assert_int_equal(fake_command(SEV_PLATFORM_STATUS, NULL, 0), SEV_SUCCESS);
	assert_int_equal(platform->state, PLATFORM_UNINIT);
}

static void randomness_does_not_repeat(void **state)
{
	u8 pieces[64][16];

	(void)state;
	for (unsigned i = 0; i < 64; i++) {
		psp_random(pieces[i], 16);
		for (unsigned j = 0; j < i; j++)
			assert_memory_not_equal(pieces[i], pieces[j], 16);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, fresh)
	const struct CMUnitTest tests[] = {
		T(a_launch_is_measured_as_the_tool_measures_it),
		T(a_zero_page_is_zero_whatever_it_was),
		T(secure_tsc_is_set_but_not_measured),
		T(wrong_cpuid_is_corrected_and_not_launched),
		T(a_report_verifies_and_one_with_a_flipped_bit_does_not),
		T(a_message_counts_once_and_in_order),
		T(a_guests_error_is_answered),
		T(a_derived_key_depends_on_what_was_asked),
		T(tsc_info_and_cpuid_are_answered),
		T(a_signed_id_block_is_in_the_report),
		T(a_masked_chip_signs_nothing),
		T(status_is_told),
		T(init_makes_the_table_and_what_is_fixed),
		T(pages_come_back),
		T(small_pages_become_a_large_one),
		T(a_debugger_sees_plain_text_where_the_policy_says_so),
		T(an_asid_serves_the_next_guest_after_a_flush_only),
		T(a_context_that_ended_does_not_come_back),
		T(a_buffer_that_is_written_is_the_firmwares),
		T(sev_is_measured_as_the_tool_measures_it),
		T(a_short_measurement_buffer_is_told_the_size),
		T(a_sealed_secret_reaches_the_guest),
		T(sev_guests_come_and_go),
		T(randomness_does_not_repeat),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
