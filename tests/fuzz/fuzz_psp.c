/* sources: model/psp.c model/psp_asid.c model/psp_platform.c model/psp_context.c model/psp_launch.c
 * model/psp_pages.c model/psp_cpuid.c model/psp_message.c model/psp_report.c model/psp_sev.c
 * model/psp_key.c model/rmp.c model/cipher.c model/crypto.c tests/host/fake_crypto.c
 * tests/host/fake_sev.c */
/* flags: -lbearssl -lcmocka */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Hostile command buffers: whatever they say, a page that is not the firmware's, nor on its way to
 * a guest, does not change. One guest runs, another one is being launched. */
#include "tests/host/fake_sev.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static u8 memory_before[sizeof(fake_memory)];
static struct psp psp_before;
static u8 may_change[FRAMES];

static const u64 addresses[16] = {
	CONTEXT_AT, CONTEXT2_AT, STATUS_AT, RESPONSE_AT,   DEBUG_AT, PAGE_AT,
	VMSA_AT,    STRANGER_AT, PLAIN_AT,  FIXED_AT,	   BLOCK_AT, SMALLS_AT,
	RMP_AT,	    REQUEST_AT,	 SOURCE_AT, FIRM_BLOCK_AT,
};

static const u8 numbers[] = {
	SEV_INIT,
	SEV_SHUTDOWN,
	SEV_PLATFORM_STATUS,
	SEV_DF_FLUSH,
	SEV_DECOMMISSION,
	SEV_ACTIVATE,
	SEV_DEACTIVATE,
	SEV_GUEST_STATUS,
	SEV_LAUNCH_START,
	SEV_LAUNCH_UPDATE_DATA,
	SEV_LAUNCH_UPDATE_VMSA,
	SEV_LAUNCH_MEASURE,
	SEV_LAUNCH_SECRET,
	SEV_LAUNCH_FINISH,
	SEV_DBG_DECRYPT,
	SNP_INIT,
	SNP_SHUTDOWN,
	SNP_PLATFORM_STATUS,
	SNP_DF_FLUSH,
	SNP_INIT_EX,
	SNP_SHUTDOWN_EX,
	SNP_DECOMMISSION,
	SNP_ACTIVATE,
	SNP_GUEST_STATUS,
	SNP_GCTX_CREATE,
	SNP_GUEST_REQUEST,
	SNP_LAUNCH_START,
	SNP_LAUNCH_UPDATE,
	SNP_LAUNCH_FINISH,
	SNP_DBG_DECRYPT,
	SNP_PAGE_RECLAIM,
	SNP_PAGE_UNSMASH,
	SNP_CONFIG,
	SNP_COMMIT,
	SNP_FEATURE_INFO,
};

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void prepare(void)
{
	struct snp_cmd_launch_start start = {.context = CONTEXT2_AT,
					     .policy = FAKE_POLICY | BIT(19)};
	struct snp_cmd_activate activate = {.context = CONTEXT2_AT, .asid = ASID + 2};

	fake_sev_start();
	fake_policy |= BIT(19);
	fake_world(WORLD_RUNNING);
	require(fake_address_command(SNP_GCTX_CREATE, CONTEXT2_AT) == SEV_SUCCESS);
	require(fake_command(SNP_LAUNCH_START, &start, sizeof(start)) == SEV_SUCCESS);
	require(fake_command(SNP_ACTIVATE, &activate, sizeof(activate)) == SEV_SUCCESS);
	fake_page(0xa00000, 0x7000, ASID + 2, false, true, true);
	for (u64 page = 0; page < FRAMES; page++) {
		enum rmp_page_state state = rmp_page_state(pfn(page));

		may_change[page] =
			state == RMP_STATE_FIRMWARE || state == RMP_STATE_CONTEXT ||
			state == RMP_STATE_PRE_GUEST || page == COMMAND_AT >> 12 ||
			(page >= FIRM_BLOCK_AT >> 12 && page < (FIRM_BLOCK_AT + 0x200000) >> 12) ||
			(page >= BLOCK_AT >> 12 && page < (BLOCK_AT + 0x200000) >> 12);
	}
	memcpy(memory_before, fake_memory, sizeof(memory_before));
	memcpy(&psp_before, &psp, sizeof(psp_before));
}

/* A word whose upper byte is A5h stands for an address of the world. */
static void substitute(u64 *words, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (words[i] >> 56 == 0xa5)
			words[i] = addresses[words[i] & 15] +
				   (words[i] >> 8 & 0xfff) * (words[i] >> 40 & 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool prepared;

	if (!prepared)
		prepare();
	prepared = true;
	for (u64 page = 0; page < FRAMES; page++)
		if (fake_touched[page] || page == COMMAND_AT >> 12)
			memcpy(fake_memory + page * 4096, memory_before + page * 4096, 4096);
	memset(fake_touched, 0, sizeof(fake_touched));
	memcpy(&psp, &psp_before, sizeof(psp));
	for (u32 asid = 1; asid < MODEL_ASIDS; asid++)
		cipher_key_clear(asid);
	while (size >= 2) {
		u64 words[9] = {0};
		size_t part = MIN(size - 2, sizeof(words));
		u64 at = data[1] & 1 ? addresses[data[1] >> 4] : COMMAND_AT;
		u32 status;

		memcpy(words, data + 2, part);
		substitute(words, ARRAY_COUNT(words));
		if (at == COMMAND_AT)
			memcpy(AT(COMMAND_AT), words, sizeof(words));
		status = fake_command_at(
			data[0] < 250 ? numbers[data[0] % sizeof(numbers)] : data[0], at);
		require(status <= SEV_INVALID_KEY);
		data += 2 + part;
		size -= 2 + part;
	}
	require(psp.snp_state == PLATFORM_INIT);
	for (u64 page = 0; page < FRAMES; page++) {
		u64 byte = page << 12;

		if (fake_touched[page] && !may_change[page] &&
		    (byte < RMP_AT || byte >= 2 * RMP_AT))
			require(memcmp(fake_memory + byte, memory_before + byte, 4096) == 0);
	}
	return 0;
}
