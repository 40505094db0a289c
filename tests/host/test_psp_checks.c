/* SPDX-License-Identifier: BSD-2-Clause */
/* The PSP's commands with each precondition violated: the documented status, and nothing changed.
 */
/* sources: model/psp.c model/psp_asid.c model/psp_platform.c model/psp_context.c model/psp_launch.c
 * model/psp_pages.c model/psp_cpuid.c model/psp_message.c model/psp_report.c model/psp_sev.c
 * model/psp_key.c model/rmp.c model/cipher.c model/crypto.c tests/host/fake_crypto.c
 * tests/host/fake_sev.c */
/* ldflags: -lbearssl */
#include <stdio.h>

#include "tests/host/fake_sev.h"

/* A good command in a world, one field of it (or something in the world) made bad, and the answer.
 */
struct row {
	const char *name;
	u32 command;
	enum world world;
	const void *buffer;
	size_t size;
	size_t offset, width; /* of the field; width 0: none */
	u64 value;
	u32 status;
	void (*spoil)(void); /* or NULL */
};

static const struct snp_cmd_init_ex init_ex = {.flags = 1};
static const struct snp_cmd_shutdown_ex shutdown_ex = {.length = 8};
static const u64 context_address = CONTEXT_AT, new_context = CONTEXT2_AT,
		 status_address = STATUS_AT, reclaim_page = PAGE_AT, unsmash = SMALLS_AT;
static const struct snp_cmd_launch_start start = {.context = CONTEXT_AT, .policy = FAKE_POLICY};
static const struct snp_cmd_activate activate = {.context = CONTEXT_AT, .asid = ASID};
static const struct snp_cmd_launch_update update = {
	.context = CONTEXT_AT, .type = SNP_PAGE_NORMAL << 1, .page = PAGE_AT};
static const struct snp_cmd_launch_update block_update = {
	.context = CONTEXT_AT, .type = 1 | SNP_PAGE_NORMAL << 1, .page = BLOCK_AT};
static const struct snp_cmd_launch_finish finish = {.context = CONTEXT_AT};
static const struct snp_cmd_launch_finish finish_id = {
	.context = CONTEXT_AT, .id_block = SOURCE_AT, .id_auth = REQUEST_AT, .flags = 1};
static const struct snp_cmd_guest_status guest_status = {.context = CONTEXT_AT,
							 .status = STATUS_AT};
static const struct snp_cmd_guest_request request = {
	.context = CONTEXT_AT, .request = REQUEST_AT, .response = RESPONSE_AT};
static const struct snp_cmd_debug debug = {.context = CONTEXT_AT, .from = PAGE_AT, .to = DEBUG_AT};
static const struct snp_cmd_config config = {.reported_tcb = 0};
static const struct snp_cmd_commit commit = {.length = 4};
static const struct snp_cmd_feature_info feature = {.length = 16, .address = STATUS_AT};
static const struct sev_cmd_init sev_init = {.flags = 1, .tmr = 0x300000, .tmr_size = 0x100000};
static const struct sev_cmd_handle handle = {.handle = 1};
static const struct sev_cmd_activate sev_activate = {.handle = 1, .asid = SEV_ASID};
static const struct sev_cmd_launch_start sev_start = {.handle = 0};
static const struct sev_cmd_range sev_update = {.handle = 1, .address = PLAIN_AT, .size = 4096};
static const struct sev_cmd_range sev_measure = {.handle = 1, .address = PLAIN_AT, .size = 48};
static const struct sev_cmd_secret sev_secret = {.handle = 1,
						 .header = SOURCE_AT,
						 .header_size = 52,
						 .guest = PLAIN_AT,
						 .guest_size = 32,
						 .transport = LIST_AT,
						 .transport_size = 32};
static const struct sev_cmd_debug sev_debug = {
	.handle = 1, .from = PLAIN_AT, .to = SOURCE_AT, .size = 32};

/* Ways to spoil a world. */

static void cpu_without_snp(void)
{
	fake_msrs[1].syscfg &= ~BIT(24);
}
static void cpu_without_vmpl(void)
{
	fake_msrs[1].syscfg &= ~BIT(25);
}
static void cpu_without_mfdm(void)
{
	fake_msrs[1].syscfg &= ~BIT(19);
}
static void cpu_without_encryption(void)
{
	fake_msrs[1].syscfg &= ~BIT(23);
}
static void cpu_without_smmlock(void)
{
	fake_msrs[1].hwcr = 0;
}
static void cpu_with_hsave(void)
{
	fake_msrs[1].hsave_pa = 0x5000;
}
static void cpu_with_other_rmp(void)
{
	fake_msrs[1].rmp_end += 0x100000;
}
static void rmp_misaligned(void)
{
	fake_msrs[0].rmp_base = fake_msrs[1].rmp_base = RMP_AT + 0x2000;
}
static void rmp_end_misaligned(void)
{
	fake_msrs[0].rmp_end = fake_msrs[1].rmp_end = 2 * RMP_AT - 0x1001;
}
static void rmp_absent(void)
{
	fake_msrs[0].rmp_base = fake_msrs[1].rmp_base = 0;
}
static void bad_list(void)
{
	struct {
		u32 count, reserved;
		u64 base;
		u32 pages, reserved2;
	} list = {.count = 1, .base = RMP_AT + 0x1000, .pages = 1};

	memcpy(AT(LIST_AT), &list, sizeof(list));
}
static void long_list(void)
{
	u32 count = 256;

	memcpy(AT(LIST_AT), &count, sizeof(count));
}
static void sev_is_up(void)
{
	struct sev_cmd_init init = {.flags = 0};

	assert_int_equal(fake_command(SEV_INIT, &init, sizeof(init)), SEV_SUCCESS);
}
static void a_guest_ran(void)
{
	assert_int_equal(fake_address_command(SNP_DECOMMISSION, CONTEXT_AT), SEV_SUCCESS);
}
static void context_touched(void)
{
	AT(CONTEXT_AT)[100] ^= 1;
}
/* A copy of the guest's context in another context page. */
static void context_copied(void)
{
	assert_int_equal(fake_address_command(SNP_GCTX_CREATE, CONTEXT2_AT), SEV_SUCCESS);
	memcpy(AT(CONTEXT2_AT), AT(CONTEXT_AT), 4096);
}
static void asid_pages(void)
{
	fake_page(PLAIN_AT, 0x5000, ASID, false, false, true);
}
static void asid_taken(void)
{
	struct snp_cmd_launch_start other = {.context = CONTEXT2_AT, .policy = FAKE_POLICY};
	struct snp_cmd_activate its = {.context = CONTEXT2_AT, .asid = ASID};

	assert_int_equal(fake_address_command(SNP_GCTX_CREATE, CONTEXT2_AT), SEV_SUCCESS);
	assert_int_equal(fake_command(SNP_LAUNCH_START, &other, sizeof(other)), SEV_SUCCESS);
	assert_int_equal(fake_command(SNP_ACTIVATE, &its, sizeof(its)), SEV_SUCCESS);
}
/* ASID had a guest that ran. */
static void asid_dirty(void)
{
	struct snp_cmd_launch_finish its = {.context = CONTEXT2_AT};

	asid_taken();
	assert_int_equal(fake_command(SNP_LAUNCH_FINISH, &its, sizeof(its)), SEV_SUCCESS);
	assert_int_equal(fake_address_command(SNP_DECOMMISSION, CONTEXT2_AT), SEV_SUCCESS);
}
static void asid_dirty_no_wbinvd(void)
{
	asid_dirty();
	model_psp_wbinvd(1);
}
static void page_large(void)
{
	struct rmp_state state = {.pagesize = RMP_2M, .asid = ASID, .assigned = 1, .immutable = 1};

	assert_int_equal(rmp_update(hpa(0xa00000), &state), RMP_OK);
}
static void imi_guest(void)
{
	struct psp_context context;

	assert_int_equal(psp_context_open(CONTEXT_AT, &context), SEV_SUCCESS);
	context.imi = 1;
	psp_context_seal(CONTEXT_AT, &context);
}
static void guest_inactive(void)
{
	struct psp_context context;

	assert_int_equal(psp_context_open(CONTEXT_AT, &context), SEV_SUCCESS);
	context.binding.asid = 0;
	psp_context_seal(CONTEXT_AT, &context);
}
static void cpuid_page_reserved(void)
{
	u64 one = 1;

	memcpy(AT(PAGE_AT) + 8, &one, sizeof(one));
}
static void cpuid_page_long(void)
{
	u32 count = 65;

	memcpy(AT(PAGE_AT), &count, sizeof(count));
}
static void policy_of_id_wrong(void)
{
	struct snp_id_block block = {.policy = 1};

	memcpy(AT(SOURCE_AT), &block, sizeof(block));
}
static void id_algo_wrong(void)
{
	struct snp_id_block block = {.policy = FAKE_POLICY};

	memcpy(AT(SOURCE_AT), &block, sizeof(block));
}
static void id_unsigned(void)
{
	u32 algo = 1;

	id_algo_wrong();
	memcpy(AT(REQUEST_AT), &algo, sizeof(algo));
}
static void digest_wrong(void)
{
	struct snp_id_block block = {.digest = {1}, .policy = FAKE_POLICY};

	memcpy(AT(SOURCE_AT), &block, sizeof(block));
}
static void request_header(size_t offset, u8 value)
{
	struct snp_message_header header = {.sequence = 1,
					    .algo = 1,
					    .version = 1,
					    .header_size = 0x60,
					    .type = SNP_MESSAGE_REPORT_REQ,
					    .message_version = 1,
					    .size = 96};

	((u8 *)&header)[offset] = value;
	memcpy(AT(REQUEST_AT), &header, sizeof(header));
}
static void request_unsealed(void)
{
	request_header(0, 0);
}
static void request_algo(void)
{
	request_header(0x30, 2);
}
static void request_version(void)
{
	request_header(0x31, 2);
}
static void request_header_size(void)
{
	request_header(0x32, 0x61);
}
static void request_size_odd(void)
{
	request_header(0x36, 97);
}
static void request_size_none(void)
{
	request_header(0x36, 0);
}
static void request_size_large(void)
{
	request_header(0x37, 0x0f);
	AT(REQUEST_AT)[0x36] = 0xb0;
}
static void request_vmpck(void)
{
	request_header(0x3c, 4);
}
static void debug_allowed(void)
{
	struct psp_context context;

	assert_int_equal(psp_context_open(CONTEXT_AT, &context), SEV_SUCCESS);
	context.policy |= SNP_POLICY_DEBUG;
	psp_context_seal(CONTEXT_AT, &context);
}
static void debug_allowed_inactive(void)
{
	debug_allowed();
	guest_inactive();
}
static void small_vmsa(void)
{
	struct rmp_entry entry;
	enum rmp_page_state state;

	assert_int_equal(psp_page_get(SMALLS_AT + 7 * 4096, &entry, &state), SEV_SUCCESS);
	entry.vmsa = true;
	psp_page_set(SMALLS_AT + 7 * 4096, &entry);
}
static void small_entry(void (*change)(struct rmp_entry *entry))
{
	struct rmp_entry entry;
	enum rmp_page_state state;

	assert_int_equal(psp_page_get(SMALLS_AT + 511 * 4096, &entry, &state), SEV_SUCCESS);
	change(&entry);
	psp_page_set(SMALLS_AT + 511 * 4096, &entry);
}
static void change_gpa(struct rmp_entry *entry)
{
	entry->gpa += 4096;
}
static void change_asid(struct rmp_entry *entry)
{
	entry->asid++;
}
static void change_perms(struct rmp_entry *entry)
{
	entry->perms[2] = 1;
}
static void change_mutable(struct rmp_entry *entry)
{
	entry->immutable = false;
}
static void change_validated(struct rmp_entry *entry)
{
	entry->validated = true;
}
static void small_gpa(void)
{
	small_entry(change_gpa);
}
static void small_asid(void)
{
	small_entry(change_asid);
}
static void small_perms(void)
{
	small_entry(change_perms);
}
static void small_mutable(void)
{
	small_entry(change_mutable);
}
static void small_state(void)
{
	small_entry(change_validated);
}
static void smalls_unaligned(void)
{
	for (u64 i = 0; i < 512; i++) {
		struct rmp_entry entry;
		enum rmp_page_state state;

		assert_int_equal(psp_page_get(SMALLS_AT + i * 4096, &entry, &state), SEV_SUCCESS);
		entry.gpa += 4096;
		psp_page_set(SMALLS_AT + i * 4096, &entry);
	}
}
static void sev_full(void)
{
	for (unsigned i = 1; i < PSP_SEV_GUESTS; i++)
		assert_int_equal(fake_command(SEV_LAUNCH_START, &sev_start, sizeof(sev_start)),
				 SEV_SUCCESS);
}
static void sev_no_share(void)
{
	psp.sev_guests[0].policy = SEV_POLICY_NOKS;
}
static void sev_no_es(void)
{
	psp.es = false;
}
static void sev_asid_taken(void)
{
	struct sev_cmd_activate its = {.handle = 2, .asid = SEV_ASID};

	assert_int_equal(fake_command(SEV_LAUNCH_START, &sev_start, sizeof(sev_start)),
			 SEV_SUCCESS);
	assert_int_equal(fake_command(SEV_ACTIVATE, &its, sizeof(its)), SEV_SUCCESS);
}
static void sev_dirty(void)
{
	psp.clean[SEV_ASID] = 0;
	psp.dirty[SEV_ASID] = 2;
}
static void sev_no_debug(void)
{
	psp.sev_guests[0].policy = SEV_POLICY_NODBG;
}
static void sev_deactivated(void)
{
	assert_int_equal(fake_command(SEV_DEACTIVATE, &handle, sizeof(handle)), SEV_SUCCESS);
}

#define B(buffer)      &(buffer), sizeof(buffer)
#define F(type, field) offsetof(struct type, field), sizeof(((struct type *)0)->field)
#define ALL	       0, 0, 0

static const struct row rows[] = {
	{"unknown command", 0x7f, WORLD_COLD, NULL, 0, ALL, SEV_INVALID_COMMAND, NULL},
	{"command beyond the table", 0x3ff, WORLD_COLD, NULL, 0, ALL, SEV_INVALID_COMMAND, NULL},
	{"command 0", 0, WORLD_COLD, NULL, 0, ALL, SEV_INVALID_COMMAND, NULL},

	{"snp_init: twice", SNP_INIT, WORLD_SNP, NULL, 0, ALL, SEV_INVALID_PLATFORM_STATE, NULL},
	{"snp_init: after sev_init", SNP_INIT, WORLD_SEV, NULL, 0, ALL, SEV_INVALID_PLATFORM_STATE,
	 NULL},
	{"snp_init: SNP_EN missing", SNP_INIT, WORLD_COLD, NULL, 0, ALL, SEV_INVALID_CONFIG,
	 cpu_without_snp},
	{"snp_init: VMPL_EN missing", SNP_INIT, WORLD_COLD, NULL, 0, ALL, SEV_INVALID_CONFIG,
	 cpu_without_vmpl},
	{"snp_init: MFDM missing", SNP_INIT, WORLD_COLD, NULL, 0, ALL, SEV_INVALID_CONFIG,
	 cpu_without_mfdm},
	{"snp_init: encryption off", SNP_INIT, WORLD_COLD, NULL, 0, ALL, SEV_INVALID_CONFIG,
	 cpu_without_encryption},
	{"snp_init: SMMLOCK missing", SNP_INIT, WORLD_COLD, NULL, 0, ALL, SEV_INVALID_CONFIG,
	 cpu_without_smmlock},
	{"snp_init: HSAVE_PA set", SNP_INIT, WORLD_COLD, NULL, 0, ALL, SEV_INVALID_CONFIG,
	 cpu_with_hsave},
	{"snp_init: RMPs differ", SNP_INIT, WORLD_COLD, NULL, 0, ALL, SEV_INVALID_CONFIG,
	 cpu_with_other_rmp},
	{"snp_init: RMP misaligned", SNP_INIT, WORLD_COLD, NULL, 0, ALL, SEV_INVALID_CONFIG,
	 rmp_misaligned},
	{"snp_init: RMP end", SNP_INIT, WORLD_COLD, NULL, 0, ALL, SEV_INVALID_CONFIG,
	 rmp_end_misaligned},
	{"snp_init: no RMP", SNP_INIT, WORLD_COLD, NULL, 0, ALL, SEV_INVALID_CONFIG, rmp_absent},
	{"init_ex: flags", SNP_INIT_EX, WORLD_COLD, B(init_ex), F(snp_cmd_init_ex, flags), 5,
	 SEV_INVALID_PARAM, NULL},
	{"init_ex: reserved", SNP_INIT_EX, WORLD_COLD, B(init_ex), F(snp_cmd_init_ex, reserved), 1,
	 SEV_INVALID_PARAM, NULL},
	{"init_ex: reserved end", SNP_INIT_EX, WORLD_COLD, B(init_ex), 63, 1, 1, SEV_INVALID_PARAM,
	 NULL},
	{"init_ex: twice", SNP_INIT_EX, WORLD_SNP, B(init_ex), ALL, SEV_INVALID_PLATFORM_STATE,
	 NULL},
	{"init_ex: RMP never initialised", SNP_INIT_EX, WORLD_COLD, B(init_ex),
	 F(snp_cmd_init_ex, flags), 0, SEV_RMP_INIT_REQUIRED, NULL},
	{"init_ex: list without address", SNP_INIT_EX, WORLD_COLD, B(init_ex),
	 F(snp_cmd_init_ex, flags), 3, 0x26, NULL},
	{"init_ex: list over the RMP", SNP_INIT_EX, WORLD_COLD,
	 &(const struct snp_cmd_init_ex){.flags = 3, .list = LIST_AT}, 64, ALL, 0x26, bad_list},
	{"init_ex: list too long", SNP_INIT_EX, WORLD_COLD,
	 &(const struct snp_cmd_init_ex){.flags = 3, .list = LIST_AT}, 64, ALL, 0x26, long_list},
	{"init_ex: list misaligned", SNP_INIT_EX, WORLD_COLD,
	 &(const struct snp_cmd_init_ex){.flags = 3, .list = LIST_AT + 8}, 64, ALL, 0x26, NULL},

	{"shutdown: SEV is up", SNP_SHUTDOWN, WORLD_SNP, NULL, 0, ALL, SEV_INVALID_PLATFORM_STATE,
	 sev_is_up},
	{"shutdown: guest there", SNP_SHUTDOWN, WORLD_RUNNING, NULL, 0, ALL, SEV_DF_FLUSH_REQUIRED,
	 NULL},
	{"shutdown: guest pending", SNP_SHUTDOWN, WORLD_ACTIVE, NULL, 0, ALL, SEV_DF_FLUSH_REQUIRED,
	 NULL},
	{"shutdown: not flushed", SNP_SHUTDOWN, WORLD_RUNNING, NULL, 0, ALL, SEV_DF_FLUSH_REQUIRED,
	 a_guest_ran},
	{"shutdown_ex: length", SNP_SHUTDOWN_EX, WORLD_SNP, B(shutdown_ex),
	 F(snp_cmd_shutdown_ex, length), 7, SEV_INVALID_PARAM, NULL},
	{"shutdown_ex: reserved", SNP_SHUTDOWN_EX, WORLD_SNP, B(shutdown_ex),
	 F(snp_cmd_shutdown_ex, flags), 4, SEV_INVALID_PARAM, NULL},
	{"shutdown_ex: x86", SNP_SHUTDOWN_EX, WORLD_SNP, B(shutdown_ex),
	 F(snp_cmd_shutdown_ex, flags), 3, SEV_INVALID_PARAM, NULL},
	{"df_flush: no WBINVD", SNP_DF_FLUSH, WORLD_RUNNING, NULL, 0, ALL, SEV_WBINVD_REQUIRED,
	 a_guest_ran},

	{"platform_status: crosses a page", SNP_PLATFORM_STATUS, WORLD_COLD, B(status_address), 0,
	 8, STATUS_AT + 0xff0, SEV_INVALID_PARAM, NULL},
	{"platform_status: not the firmware's", SNP_PLATFORM_STATUS, WORLD_SNP, B(status_address),
	 0, 8, PLAIN_AT, SEV_INVALID_PAGE_STATE, NULL},
	{"platform_status: no memory", SNP_PLATFORM_STATUS, WORLD_SNP, B(status_address), 0, 8,
	 ~0xffful, SEV_INVALID_ADDRESS, NULL},
	{"platform_status: in the RMP", SNP_PLATFORM_STATUS, WORLD_SNP, B(status_address), 0, 8,
	 RMP_AT, SEV_INVALID_ADDRESS, NULL},
	{"config: flags", SNP_CONFIG, WORLD_SNP, B(config), F(snp_cmd_config, flags), 4,
	 SEV_INVALID_PARAM, NULL},
	{"config: reserved", SNP_CONFIG, WORLD_SNP, B(config), 63, 1, 1, SEV_INVALID_PARAM, NULL},
	{"config: TCB too new", SNP_CONFIG, WORLD_SNP, B(config), F(snp_cmd_config, reported_tcb),
	 2, SEV_INVALID_PARAM, NULL},
	{"commit: length", SNP_COMMIT, WORLD_SNP, B(commit), F(snp_cmd_commit, length), 8,
	 SEV_INVALID_PARAM, NULL},
	{"feature_info: length", SNP_FEATURE_INFO, WORLD_SNP, B(feature),
	 F(snp_cmd_feature_info, length), 8, SEV_INVALID_PARAM, NULL},
	{"feature_info: alignment", SNP_FEATURE_INFO, WORLD_SNP, B(feature),
	 F(snp_cmd_feature_info, address), STATUS_AT + 2, SEV_INVALID_ADDRESS, NULL},
	{"feature_info: crosses a page", SNP_FEATURE_INFO, WORLD_SNP, B(feature),
	 F(snp_cmd_feature_info, address), STATUS_AT + 0xff4, SEV_INVALID_ADDRESS, NULL},
	{"feature_info: page state", SNP_FEATURE_INFO, WORLD_SNP, B(feature),
	 F(snp_cmd_feature_info, address), PLAIN_AT, SEV_INVALID_PAGE_STATE, NULL},
	{"feature_info: leaf", SNP_FEATURE_INFO, WORLD_SNP, B(feature),
	 F(snp_cmd_feature_info, ecx), 2, SEV_INVALID_PARAM, NULL},

	{"gctx_create: alignment", SNP_GCTX_CREATE, WORLD_SNP, B(new_context), 0, 8,
	 CONTEXT2_AT + 1, SEV_INVALID_PARAM, NULL},
	{"gctx_create: platform", SNP_GCTX_CREATE, WORLD_COLD, B(new_context), ALL,
	 SEV_INVALID_PLATFORM_STATE, NULL},
	{"gctx_create: hypervisor page", SNP_GCTX_CREATE, WORLD_SNP, B(new_context), 0, 8, PLAIN_AT,
	 SEV_INVALID_PAGE_STATE, NULL},
	{"gctx_create: fixed page", SNP_GCTX_CREATE, WORLD_SNP, B(new_context), 0, 8, FIXED_AT,
	 SEV_INVALID_PAGE_STATE, NULL},
	{"gctx_create: again", SNP_GCTX_CREATE, WORLD_CONTEXT, B(new_context), 0, 8, CONTEXT_AT,
	 SEV_INVALID_PAGE_STATE, NULL},
	{"gctx_create: 2 MiB", SNP_GCTX_CREATE, WORLD_SNP, B(new_context), 0, 8, FIRM_BLOCK_AT,
	 SEV_INVALID_PAGE_SIZE, NULL},
	{"gctx_create: the RMP", SNP_GCTX_CREATE, WORLD_SNP, B(new_context), 0, 8, RMP_AT,
	 SEV_INVALID_ADDRESS, NULL},

	{"decommission: alignment", SNP_DECOMMISSION, WORLD_CONTEXT, B(context_address), 0, 8,
	 CONTEXT_AT + 8, SEV_INVALID_PARAM, NULL},
	{"decommission: platform", SNP_DECOMMISSION, WORLD_COLD, B(context_address), ALL,
	 SEV_INVALID_PLATFORM_STATE, NULL},
	{"decommission: no context", SNP_DECOMMISSION, WORLD_CONTEXT, B(context_address), 0, 8,
	 STATUS_AT, SEV_INVALID_GUEST, NULL},
	{"decommission: context touched", SNP_DECOMMISSION, WORLD_CONTEXT, B(context_address), ALL,
	 SEV_INVALID_GUEST, context_touched},

	{"launch_start: flags", SNP_LAUNCH_START, WORLD_CONTEXT, B(start),
	 F(snp_cmd_launch_start, flags), 4, SEV_INVALID_PARAM, NULL},
	{"launch_start: agent", SNP_LAUNCH_START, WORLD_CONTEXT, B(start),
	 F(snp_cmd_launch_start, agent), 8, SEV_INVALID_PARAM, NULL},
	{"launch_start: platform", SNP_LAUNCH_START, WORLD_COLD, B(start), ALL,
	 SEV_INVALID_PLATFORM_STATE, NULL},
	{"launch_start: no context", SNP_LAUNCH_START, WORLD_SNP, B(start), ALL, SEV_INVALID_GUEST,
	 NULL},
	{"launch_start: twice", SNP_LAUNCH_START, WORLD_LAUNCH, B(start), ALL,
	 SEV_INVALID_GUEST_STATE, NULL},
	{"launch_start: running", SNP_LAUNCH_START, WORLD_RUNNING, B(start), ALL,
	 SEV_INVALID_GUEST_STATE, NULL},
	{"launch_start: policy bit 17", SNP_LAUNCH_START, WORLD_CONTEXT, B(start),
	 F(snp_cmd_launch_start, policy), 0x10000, SEV_POLICY_FAILURE, NULL},
	{"launch_start: policy reserved", SNP_LAUNCH_START, WORLD_CONTEXT, B(start),
	 F(snp_cmd_launch_start, policy), 0x230000, SEV_POLICY_FAILURE, NULL},
	{"launch_start: policy major", SNP_LAUNCH_START, WORLD_CONTEXT, B(start),
	 F(snp_cmd_launch_start, policy), 0x30200, SEV_POLICY_FAILURE, NULL},
	{"launch_start: policy minor", SNP_LAUNCH_START, WORLD_CONTEXT, B(start),
	 F(snp_cmd_launch_start, policy), 0x30138, SEV_POLICY_FAILURE, NULL},
	{"launch_start: with an agent", SNP_LAUNCH_START, WORLD_CONTEXT, B(start),
	 F(snp_cmd_launch_start, flags), 1, SEV_POLICY_FAILURE, NULL},

	{"activate: alignment", SNP_ACTIVATE, WORLD_LAUNCH, B(activate),
	 F(snp_cmd_activate, context), CONTEXT_AT + 1, SEV_INVALID_PARAM, NULL},
	{"activate: platform", SNP_ACTIVATE, WORLD_COLD, B(activate), ALL,
	 SEV_INVALID_PLATFORM_STATE, NULL},
	{"activate: no context", SNP_ACTIVATE, WORLD_SNP, B(activate), ALL, SEV_INVALID_GUEST,
	 NULL},
	{"activate: before launch_start", SNP_ACTIVATE, WORLD_CONTEXT, B(activate), ALL,
	 SEV_INVALID_GUEST_STATE, NULL},
	{"activate: context of another page", SNP_ACTIVATE, WORLD_LAUNCH, B(activate),
	 F(snp_cmd_activate, context), CONTEXT2_AT, SEV_INVALID_GUEST, context_copied},
	{"activate: ASID 0", SNP_ACTIVATE, WORLD_LAUNCH, B(activate), F(snp_cmd_activate, asid), 0,
	 SEV_INVALID_ASID, NULL},
	{"activate: ASID too high", SNP_ACTIVATE, WORLD_LAUNCH, B(activate),
	 F(snp_cmd_activate, asid), 32, SEV_INVALID_ASID, NULL},
	{"activate: ASID absurd", SNP_ACTIVATE, WORLD_LAUNCH, B(activate),
	 F(snp_cmd_activate, asid), ~0u, SEV_INVALID_ASID, NULL},
	{"activate: ASID of SEV's", SNP_ACTIVATE, WORLD_LAUNCH, B(activate),
	 F(snp_cmd_activate, asid), LEAST_ASID, SEV_INVALID_ASID, NULL},
	{"activate: ASID has pages", SNP_ACTIVATE, WORLD_LAUNCH, B(activate), ALL,
	 SEV_INVALID_CONFIG, asid_pages},
	{"activate: ASID owned", SNP_ACTIVATE, WORLD_LAUNCH, B(activate), ALL, SEV_ASID_OWNED,
	 asid_taken},
	{"activate: twice", SNP_ACTIVATE, WORLD_ACTIVE, B(activate), F(snp_cmd_activate, asid),
	 ASID + 2, SEV_ACTIVE, NULL},
	{"activate: ASID dirty", SNP_ACTIVATE, WORLD_LAUNCH, B(activate), ALL,
	 SEV_DF_FLUSH_REQUIRED, asid_dirty},
	{"df_flush: WBINVD on one CPU only", SNP_ACTIVATE, WORLD_LAUNCH, B(activate), ALL,
	 SEV_DF_FLUSH_REQUIRED, asid_dirty_no_wbinvd},

	{"update: context alignment", SNP_LAUNCH_UPDATE, WORLD_ACTIVE, B(update),
	 F(snp_cmd_launch_update, context), CONTEXT_AT + 1, SEV_INVALID_PARAM, NULL},
	{"update: page alignment", SNP_LAUNCH_UPDATE, WORLD_ACTIVE, B(update),
	 F(snp_cmd_launch_update, page), PAGE_AT + 1, SEV_INVALID_PARAM, NULL},
	{"update: type reserved", SNP_LAUNCH_UPDATE, WORLD_ACTIVE, B(update),
	 F(snp_cmd_launch_update, type), 0x22, SEV_INVALID_PARAM, NULL},
	{"update: reserved", SNP_LAUNCH_UPDATE, WORLD_ACTIVE, B(update),
	 F(snp_cmd_launch_update, reserved), 1, SEV_INVALID_PARAM, NULL},
	{"update: reserved 2", SNP_LAUNCH_UPDATE, WORLD_ACTIVE, B(update),
	 F(snp_cmd_launch_update, reserved2), 1, SEV_INVALID_PARAM, NULL},
	{"update: reserved 3", SNP_LAUNCH_UPDATE, WORLD_ACTIVE, B(update),
	 F(snp_cmd_launch_update, reserved3), 1, SEV_INVALID_PARAM, NULL},
	{"update: platform", SNP_LAUNCH_UPDATE, WORLD_COLD, B(update), ALL,
	 SEV_INVALID_PLATFORM_STATE, NULL},
	{"update: no context", SNP_LAUNCH_UPDATE, WORLD_ACTIVE, B(update),
	 F(snp_cmd_launch_update, context), STATUS_AT, SEV_INVALID_GUEST, NULL},
	{"update: hypervisor page", SNP_LAUNCH_UPDATE, WORLD_ACTIVE, B(update),
	 F(snp_cmd_launch_update, page), PLAIN_AT, SEV_INVALID_PAGE_STATE, NULL},
	{"update: firmware page", SNP_LAUNCH_UPDATE, WORLD_ACTIVE, B(update),
	 F(snp_cmd_launch_update, page), STATUS_AT, SEV_INVALID_PAGE_STATE, NULL},
	{"update: 4 KiB of 2 MiB", SNP_LAUNCH_UPDATE, WORLD_ACTIVE, B(update),
	 F(snp_cmd_launch_update, page), BLOCK_AT, SEV_INVALID_PAGE_SIZE, NULL},
	{"update: 2 MiB of 4 KiB", SNP_LAUNCH_UPDATE, WORLD_ACTIVE, B(update),
	 F(snp_cmd_launch_update, type), 3, SEV_INVALID_PAGE_SIZE, NULL},
	{"update: 2 MiB misaligned", SNP_LAUNCH_UPDATE, WORLD_ACTIVE, B(block_update),
	 F(snp_cmd_launch_update, page), BLOCK_AT + 0x1000, SEV_INVALID_ADDRESS, NULL},
	{"update: type 0", SNP_LAUNCH_UPDATE, WORLD_ACTIVE, B(update),
	 F(snp_cmd_launch_update, type), 0, SEV_INVALID_PARAM, NULL},
	{"update: type 7", SNP_LAUNCH_UPDATE, WORLD_ACTIVE, B(update),
	 F(snp_cmd_launch_update, type), 14, SEV_INVALID_PARAM, NULL},
	{"update: VMSA of 2 MiB", SNP_LAUNCH_UPDATE, WORLD_ACTIVE, B(block_update),
	 F(snp_cmd_launch_update, type), 5, SEV_INVALID_PAGE_SIZE, NULL},
	{"update: secrets of 2 MiB", SNP_LAUNCH_UPDATE, WORLD_ACTIVE, B(block_update),
	 F(snp_cmd_launch_update, type), 11, SEV_INVALID_PAGE_SIZE, NULL},
	{"update: CPUID of 2 MiB", SNP_LAUNCH_UPDATE, WORLD_ACTIVE, B(block_update),
	 F(snp_cmd_launch_update, type), 13, SEV_INVALID_PAGE_SIZE, NULL},
	{"update: running", SNP_LAUNCH_UPDATE, WORLD_RUNNING, B(update), ALL,
	 SEV_INVALID_GUEST_STATE, NULL},
	{"update: not active", SNP_LAUNCH_UPDATE, WORLD_ACTIVE, B(update), ALL, SEV_INACTIVE,
	 guest_inactive},
	{"update: another's page", SNP_LAUNCH_UPDATE, WORLD_ACTIVE, B(update),
	 F(snp_cmd_launch_update, page), STRANGER_AT, SEV_INVALID_PAGE_OWNER, NULL},
	{"update: no migration image", SNP_LAUNCH_UPDATE, WORLD_ACTIVE, B(update), ALL,
	 SEV_INVALID_PARAM, imi_guest},
	{"update: CPUID reserved", SNP_LAUNCH_UPDATE, WORLD_ACTIVE, B(update),
	 F(snp_cmd_launch_update, type), 12, SEV_INVALID_PARAM, cpuid_page_reserved},
	{"update: CPUID too long", SNP_LAUNCH_UPDATE, WORLD_ACTIVE, B(update),
	 F(snp_cmd_launch_update, type), 12, SEV_INVALID_PARAM, cpuid_page_long},
	{"update: large elsewhere", SNP_LAUNCH_UPDATE, WORLD_ACTIVE, B(update),
	 F(snp_cmd_launch_update, page), 0xa03000, SEV_INVALID_PAGE_SIZE, page_large},

	{"finish: alignment", SNP_LAUNCH_FINISH, WORLD_ACTIVE, B(finish),
	 F(snp_cmd_launch_finish, context), CONTEXT_AT + 1, SEV_INVALID_PARAM, NULL},
	{"finish: flags", SNP_LAUNCH_FINISH, WORLD_ACTIVE, B(finish),
	 F(snp_cmd_launch_finish, flags), 8, SEV_INVALID_PARAM, NULL},
	{"finish: platform", SNP_LAUNCH_FINISH, WORLD_COLD, B(finish), ALL,
	 SEV_INVALID_PLATFORM_STATE, NULL},
	{"finish: no context", SNP_LAUNCH_FINISH, WORLD_SNP, B(finish), ALL, SEV_INVALID_GUEST,
	 NULL},
	{"finish: twice", SNP_LAUNCH_FINISH, WORLD_RUNNING, B(finish), ALL, SEV_INVALID_GUEST_STATE,
	 NULL},
	{"finish: not started", SNP_LAUNCH_FINISH, WORLD_CONTEXT, B(finish), ALL,
	 SEV_INVALID_GUEST_STATE, NULL},
	{"finish: migration image", SNP_LAUNCH_FINISH, WORLD_ACTIVE, B(finish), ALL,
	 SEV_INVALID_GUEST_STATE, imi_guest},
	{"finish: not active", SNP_LAUNCH_FINISH, WORLD_LAUNCH, B(finish), ALL, SEV_INACTIVE, NULL},
	{"finish: ID block nowhere", SNP_LAUNCH_FINISH, WORLD_ACTIVE, B(finish_id),
	 F(snp_cmd_launch_finish, id_block), ~0xffful, SEV_INVALID_ADDRESS, NULL},
	{"finish: digest", SNP_LAUNCH_FINISH, WORLD_ACTIVE, B(finish_id), ALL, SEV_BAD_MEASUREMENT,
	 digest_wrong},
	{"finish: ID policy", SNP_LAUNCH_FINISH, WORLD_ACTIVE, B(finish_id), ALL,
	 SEV_POLICY_FAILURE, policy_of_id_wrong},
	{"finish: ID algorithm", SNP_LAUNCH_FINISH, WORLD_ACTIVE, B(finish_id), ALL,
	 SEV_INVALID_PARAM, id_algo_wrong},
	{"finish: author algorithm", SNP_LAUNCH_FINISH, WORLD_ACTIVE, B(finish_id),
	 F(snp_cmd_launch_finish, flags), 3, SEV_INVALID_PARAM, id_unsigned},
	{"finish: no signature", SNP_LAUNCH_FINISH, WORLD_ACTIVE, B(finish_id), ALL,
	 SEV_BAD_SIGNATURE, id_unsigned},

	{"guest_status: crosses", SNP_GUEST_STATUS, WORLD_LAUNCH, B(guest_status),
	 F(snp_cmd_guest_status, status), STATUS_AT + 0xff0, SEV_INVALID_PARAM, NULL},
	{"guest_status: platform", SNP_GUEST_STATUS, WORLD_COLD, B(guest_status), ALL,
	 SEV_INVALID_PLATFORM_STATE, NULL},
	{"guest_status: no context", SNP_GUEST_STATUS, WORLD_SNP, B(guest_status), ALL,
	 SEV_INVALID_GUEST, NULL},
	{"guest_status: page state", SNP_GUEST_STATUS, WORLD_LAUNCH, B(guest_status),
	 F(snp_cmd_guest_status, status), PLAIN_AT, SEV_INVALID_PAGE_STATE, NULL},

	{"request: alignment", SNP_GUEST_REQUEST, WORLD_RUNNING, B(request),
	 F(snp_cmd_guest_request, context), 1, SEV_INVALID_PARAM, NULL},
	{"request: platform", SNP_GUEST_REQUEST, WORLD_COLD, B(request), ALL,
	 SEV_INVALID_PLATFORM_STATE, NULL},
	{"request: no context", SNP_GUEST_REQUEST, WORLD_SNP, B(request), ALL, SEV_INVALID_GUEST,
	 NULL},
	{"request: response page", SNP_GUEST_REQUEST, WORLD_RUNNING, B(request),
	 F(snp_cmd_guest_request, response), PLAIN_AT, SEV_INVALID_PAGE_STATE, NULL},
	{"request: response of 2 MiB", SNP_GUEST_REQUEST, WORLD_RUNNING, B(request),
	 F(snp_cmd_guest_request, response), FIRM_BLOCK_AT, SEV_INVALID_PAGE_SIZE, NULL},
	{"request: request of 2 MiB", SNP_GUEST_REQUEST, WORLD_RUNNING, B(request),
	 F(snp_cmd_guest_request, request), BLOCK_AT, SEV_INVALID_PAGE_SIZE, NULL},
	{"request: nowhere", SNP_GUEST_REQUEST, WORLD_RUNNING, B(request),
	 F(snp_cmd_guest_request, request), ~0xffful, SEV_INVALID_ADDRESS, NULL},
	{"request: not running", SNP_GUEST_REQUEST, WORLD_ACTIVE, B(request), ALL,
	 SEV_INVALID_GUEST_STATE, NULL},
	{"request: header crosses", SNP_GUEST_REQUEST, WORLD_RUNNING, B(request),
	 F(snp_cmd_guest_request, request), REQUEST_AT + 0xfa8, SEV_INVALID_PARAM, NULL},
	{"request: algorithm", SNP_GUEST_REQUEST, WORLD_RUNNING, B(request), ALL, SEV_INVALID_PARAM,
	 request_algo},
	{"request: version", SNP_GUEST_REQUEST, WORLD_RUNNING, B(request), ALL, SEV_INVALID_PARAM,
	 request_version},
	{"request: header size", SNP_GUEST_REQUEST, WORLD_RUNNING, B(request), ALL,
	 SEV_INVALID_PARAM, request_header_size},
	{"request: odd size", SNP_GUEST_REQUEST, WORLD_RUNNING, B(request), ALL, SEV_INVALID_PARAM,
	 request_size_odd},
	{"request: no size", SNP_GUEST_REQUEST, WORLD_RUNNING, B(request), ALL, SEV_INVALID_PARAM,
	 request_size_none},
	{"request: too large", SNP_GUEST_REQUEST, WORLD_RUNNING, B(request), ALL, SEV_INVALID_PARAM,
	 request_size_large},
	{"request: key", SNP_GUEST_REQUEST, WORLD_RUNNING, B(request), ALL, SEV_INVALID_PARAM,
	 request_vmpck},
	{"request: not sealed", SNP_GUEST_REQUEST, WORLD_RUNNING, B(request), ALL,
	 SEV_BAD_MEASUREMENT, request_unsealed},

	{"dbg_decrypt: alignment", SNP_DBG_DECRYPT, WORLD_ACTIVE, B(debug), F(snp_cmd_debug, to),
	 DEBUG_AT + 16, SEV_INVALID_PARAM, debug_allowed},
	{"dbg_decrypt: platform", SNP_DBG_DECRYPT, WORLD_COLD, B(debug), ALL,
	 SEV_INVALID_PLATFORM_STATE, NULL},
	{"dbg_decrypt: no context", SNP_DBG_DECRYPT, WORLD_SNP, B(debug), ALL, SEV_INVALID_GUEST,
	 NULL},
	{"dbg_decrypt: source state", SNP_DBG_DECRYPT, WORLD_ACTIVE, B(debug),
	 F(snp_cmd_debug, from), PLAIN_AT, SEV_INVALID_PAGE_STATE, debug_allowed},
	{"dbg_decrypt: target state", SNP_DBG_DECRYPT, WORLD_ACTIVE, B(debug), F(snp_cmd_debug, to),
	 PLAIN_AT, SEV_INVALID_PAGE_STATE, debug_allowed},
	{"dbg_decrypt: another's page", SNP_DBG_DECRYPT, WORLD_ACTIVE, B(debug),
	 F(snp_cmd_debug, from), STRANGER_AT, SEV_INVALID_PAGE_OWNER, debug_allowed},
	{"dbg_decrypt: policy", SNP_DBG_DECRYPT, WORLD_ACTIVE, B(debug), ALL, SEV_POLICY_FAILURE,
	 NULL},
	{"dbg_decrypt: not active", SNP_DBG_DECRYPT, WORLD_ACTIVE, B(debug), ALL,
	 SEV_INVALID_PAGE_OWNER, debug_allowed_inactive},

	{"reclaim: reserved", SNP_PAGE_RECLAIM, WORLD_ACTIVE, B(reclaim_page), 0, 8, PAGE_AT | 2,
	 SEV_INVALID_PARAM, NULL},
	{"reclaim: platform", SNP_PAGE_RECLAIM, WORLD_COLD, B(reclaim_page), ALL,
	 SEV_INVALID_PLATFORM_STATE, NULL},
	{"reclaim: nowhere", SNP_PAGE_RECLAIM, WORLD_ACTIVE, B(reclaim_page), 0, 8, ~0xffful,
	 SEV_INVALID_ADDRESS, NULL},
	{"reclaim: the RMP", SNP_PAGE_RECLAIM, WORLD_ACTIVE, B(reclaim_page), 0, 8, RMP_AT,
	 SEV_INVALID_ADDRESS, NULL},
	{"reclaim: too large", SNP_PAGE_RECLAIM, WORLD_ACTIVE, B(reclaim_page), 0, 8, PAGE_AT | 1,
	 SEV_INVALID_PAGE_SIZE, NULL},
	{"reclaim: too small", SNP_PAGE_RECLAIM, WORLD_ACTIVE, B(reclaim_page), 0, 8, BLOCK_AT,
	 SEV_INVALID_PAGE_SIZE, NULL},
	{"reclaim: misaligned", SNP_PAGE_RECLAIM, WORLD_ACTIVE, B(reclaim_page), 0, 8,
	 BLOCK_AT | 0x1001, SEV_INVALID_ADDRESS, NULL},
	{"reclaim: context", SNP_PAGE_RECLAIM, WORLD_ACTIVE, B(reclaim_page), 0, 8, CONTEXT_AT,
	 SEV_INVALID_PAGE_STATE, NULL},
	{"reclaim: fixed", SNP_PAGE_RECLAIM, WORLD_ACTIVE, B(reclaim_page), 0, 8, FIXED_AT,
	 SEV_INVALID_PAGE_STATE, NULL},
	{"unsmash: alignment", SNP_PAGE_UNSMASH, WORLD_ACTIVE, B(unsmash), 0, 8, SMALLS_AT + 0x1000,
	 SEV_INVALID_PARAM, NULL},
	{"unsmash: platform", SNP_PAGE_UNSMASH, WORLD_COLD, B(unsmash), ALL,
	 SEV_INVALID_PLATFORM_STATE, NULL},
	{"unsmash: the RMP", SNP_PAGE_UNSMASH, WORLD_ACTIVE, B(unsmash), 0, 8, 0,
	 SEV_INVALID_ADDRESS, NULL},
	{"unsmash: nowhere", SNP_PAGE_UNSMASH, WORLD_ACTIVE, B(unsmash), 0, 8, ~0x1ffffful,
	 SEV_INVALID_ADDRESS, NULL},
	{"unsmash: large already", SNP_PAGE_UNSMASH, WORLD_ACTIVE, B(unsmash), 0, 8, BLOCK_AT,
	 SEV_INVALID_PAGE_STATE, NULL},
	{"unsmash: nobody's", SNP_PAGE_UNSMASH, WORLD_ACTIVE, B(unsmash), 0, 8, 0xc00000,
	 SEV_INVALID_PAGE_STATE, NULL},
	{"unsmash: VMSA", SNP_PAGE_UNSMASH, WORLD_ACTIVE, B(unsmash), ALL, SEV_INVALID_PAGE_STATE,
	 small_vmsa},
	{"unsmash: gpa", SNP_PAGE_UNSMASH, WORLD_ACTIVE, B(unsmash), ALL, SEV_INVALID_PAGE_STATE,
	 small_gpa},
	{"unsmash: gpa misaligned", SNP_PAGE_UNSMASH, WORLD_ACTIVE, B(unsmash), ALL,
	 SEV_INVALID_PAGE_STATE, smalls_unaligned},
	{"unsmash: ASID", SNP_PAGE_UNSMASH, WORLD_ACTIVE, B(unsmash), ALL, SEV_INVALID_PAGE_STATE,
	 small_asid},
	{"unsmash: permissions", SNP_PAGE_UNSMASH, WORLD_ACTIVE, B(unsmash), ALL,
	 SEV_INVALID_PAGE_STATE, small_perms},
	{"unsmash: mutable", SNP_PAGE_UNSMASH, WORLD_ACTIVE, B(unsmash), ALL,
	 SEV_INVALID_PAGE_STATE, small_mutable},
	{"unsmash: state", SNP_PAGE_UNSMASH, WORLD_ACTIVE, B(unsmash), ALL, SEV_INVALID_PAGE_STATE,
	 small_state},

	{"sev_init: twice", SEV_INIT, WORLD_SEV, B(sev_init), ALL, SEV_INVALID_PLATFORM_STATE,
	 NULL},
	{"sev_init: encryption off", SEV_INIT, WORLD_COLD, B(sev_init), ALL, 0x13,
	 cpu_without_encryption},
	{"sev_init: flags", SEV_INIT, WORLD_COLD, B(sev_init), F(sev_cmd_init, flags), 2,
	 SEV_INVALID_CONFIG, NULL},
	{"sev_init: SNP not initialised", SEV_INIT, WORLD_COLD, B(sev_init), ALL,
	 SEV_INVALID_PLATFORM_STATE, NULL},
	{"sev_init: region alignment", SEV_INIT, WORLD_COLD, B(sev_init), F(sev_cmd_init, tmr),
	 0x301000, SEV_INVALID_ADDRESS, cpu_without_snp},
	{"sev_init: region size", SEV_INIT, WORLD_COLD, B(sev_init), F(sev_cmd_init, tmr_size),
	 0x1000, SEV_INVALID_LENGTH, cpu_without_snp},
	{"sev_init: region of 1 MiB with SNP", SEV_INIT, WORLD_SNP, B(sev_init),
	 F(sev_cmd_init, tmr), FIRM_BLOCK_AT, SEV_INVALID_LENGTH, NULL},
	{"sev_init: region page state", SEV_INIT, WORLD_SNP, B(sev_init), ALL,
	 SEV_INVALID_PAGE_STATE, NULL},

	{"sev launch_start: platform", SEV_LAUNCH_START, WORLD_COLD, B(sev_start), ALL,
	 SEV_INVALID_PLATFORM_STATE, NULL},
	{"sev launch_start: session", SEV_LAUNCH_START, WORLD_SEV, B(sev_start),
	 F(sev_cmd_launch_start, dh_cert), SOURCE_AT, SEV_UNSUPPORTED, NULL},
	{"sev launch_start: shared with nobody", SEV_LAUNCH_START, WORLD_SEV, B(sev_start),
	 F(sev_cmd_launch_start, handle), 1, SEV_INVALID_GUEST, NULL},
	{"sev launch_start: shared policy", SEV_LAUNCH_START, WORLD_SEV_LAUNCH,
	 &(const struct sev_cmd_launch_start){.handle = 1, .policy = 8}, sizeof(sev_start), ALL,
	 SEV_POLICY_FAILURE, NULL},
	{"sev launch_start: no sharing", SEV_LAUNCH_START, WORLD_SEV_LAUNCH,
	 &(const struct sev_cmd_launch_start){.handle = 1, .policy = SEV_POLICY_NOKS},
	 sizeof(sev_start), ALL, SEV_POLICY_FAILURE, sev_no_share},
	{"sev launch_start: full", SEV_LAUNCH_START, WORLD_SEV_LAUNCH, B(sev_start), ALL,
	 SEV_RESOURCE_LIMIT, sev_full},
	{"sev launch_start: no SEV-ES", SEV_LAUNCH_START, WORLD_SEV, B(sev_start),
	 F(sev_cmd_launch_start, policy), SEV_POLICY_ES, SEV_UNSUPPORTED, sev_no_es},
	{"sev activate: platform", SEV_ACTIVATE, WORLD_SEV, B(sev_activate), ALL,
	 SEV_INVALID_PLATFORM_STATE, NULL},
	{"sev activate: handle", SEV_ACTIVATE, WORLD_SEV_LAUNCH, B(sev_activate),
	 F(sev_cmd_activate, handle), 2, SEV_INVALID_GUEST, NULL},
	{"sev activate: handle absurd", SEV_ACTIVATE, WORLD_SEV_LAUNCH, B(sev_activate),
	 F(sev_cmd_activate, handle), ~0u, SEV_INVALID_GUEST, NULL},
	{"sev activate: ASID 0", SEV_ACTIVATE, WORLD_SEV_LAUNCH, B(sev_activate),
	 F(sev_cmd_activate, asid), 0, SEV_INVALID_ASID, NULL},
	{"sev activate: ASID of SEV-ES", SEV_ACTIVATE, WORLD_SEV_LAUNCH, B(sev_activate),
	 F(sev_cmd_activate, asid), LEAST_ASID - 1, SEV_INVALID_ASID, NULL},
	{"sev activate: owned", SEV_ACTIVATE, WORLD_SEV_LAUNCH, B(sev_activate), ALL,
	 SEV_ASID_OWNED, sev_asid_taken},
	{"sev activate: twice", SEV_ACTIVATE, WORLD_SEV_ACTIVE, B(sev_activate),
	 F(sev_cmd_activate, asid), SEV_ASID + 1, SEV_ACTIVE, NULL},
	{"sev activate: dirty", SEV_ACTIVATE, WORLD_SEV_LAUNCH, B(sev_activate), ALL,
	 SEV_DF_FLUSH_REQUIRED, sev_dirty},
	{"sev deactivate: platform", SEV_DEACTIVATE, WORLD_SEV, B(handle), ALL,
	 SEV_INVALID_PLATFORM_STATE, NULL},
	{"sev deactivate: handle", SEV_DEACTIVATE, WORLD_SEV_LAUNCH, B(handle), 0, 4, 0,
	 SEV_INVALID_GUEST, NULL},
	{"sev deactivate: inactive", SEV_DEACTIVATE, WORLD_SEV_LAUNCH, B(handle), ALL, SEV_INACTIVE,
	 NULL},
	{"sev decommission: platform", SEV_DECOMMISSION, WORLD_SEV, B(handle), ALL,
	 SEV_INVALID_PLATFORM_STATE, NULL},
	{"sev decommission: handle", SEV_DECOMMISSION, WORLD_SEV_LAUNCH, B(handle), 0, 4, 3,
	 SEV_INVALID_GUEST, NULL},
	{"sev decommission: active", SEV_DECOMMISSION, WORLD_SEV_RUNNING, B(handle), ALL,
	 SEV_ACTIVE, NULL},
	{"sev update: platform", SEV_LAUNCH_UPDATE_DATA, WORLD_SEV, B(sev_update), ALL,
	 SEV_INVALID_PLATFORM_STATE, NULL},
	{"sev update: handle", SEV_LAUNCH_UPDATE_DATA, WORLD_SEV_ACTIVE, B(sev_update),
	 F(sev_cmd_range, handle), 9, SEV_INVALID_GUEST, NULL},
	{"sev update: measured", SEV_LAUNCH_UPDATE_DATA, WORLD_SEV_MEASURED, B(sev_update), ALL,
	 SEV_INVALID_GUEST_STATE, NULL},
	{"sev update: inactive", SEV_LAUNCH_UPDATE_DATA, WORLD_SEV_LAUNCH, B(sev_update), ALL,
	 SEV_INACTIVE, NULL},
	{"sev update: alignment", SEV_LAUNCH_UPDATE_DATA, WORLD_SEV_ACTIVE, B(sev_update),
	 F(sev_cmd_range, address), PLAIN_AT + 8, SEV_INVALID_ADDRESS, NULL},
	{"sev update: length", SEV_LAUNCH_UPDATE_DATA, WORLD_SEV_ACTIVE, B(sev_update),
	 F(sev_cmd_range, size), 24, SEV_INVALID_LENGTH, NULL},
	{"sev update: nothing", SEV_LAUNCH_UPDATE_DATA, WORLD_SEV_ACTIVE, B(sev_update),
	 F(sev_cmd_range, size), 0, SEV_INVALID_LENGTH, NULL},
	{"sev update: nowhere", SEV_LAUNCH_UPDATE_DATA, WORLD_SEV_ACTIVE, B(sev_update),
	 F(sev_cmd_range, address), ~0xffful, SEV_INVALID_ADDRESS, NULL},
	{"sev vmsa: length", SEV_LAUNCH_UPDATE_VMSA, WORLD_SEV_ACTIVE, B(sev_update),
	 F(sev_cmd_range, size), 2048, SEV_INVALID_LENGTH, NULL},
	{"sev vmsa: not SEV-ES", SEV_LAUNCH_UPDATE_VMSA, WORLD_SEV_ACTIVE, B(sev_update), ALL,
	 SEV_UNSUPPORTED, NULL},
	{"sev measure: platform", SEV_LAUNCH_MEASURE, WORLD_SEV, B(sev_measure), ALL,
	 SEV_INVALID_PLATFORM_STATE, NULL},
	{"sev measure: handle", SEV_LAUNCH_MEASURE, WORLD_SEV_ACTIVE, B(sev_measure),
	 F(sev_cmd_range, handle), 9, SEV_INVALID_GUEST, NULL},
	{"sev measure: twice", SEV_LAUNCH_MEASURE, WORLD_SEV_MEASURED, B(sev_measure), ALL,
	 SEV_INVALID_GUEST_STATE, NULL},
	{"sev measure: nowhere", SEV_LAUNCH_MEASURE, WORLD_SEV_ACTIVE, B(sev_measure),
	 F(sev_cmd_range, address), ~0xffful, SEV_INVALID_ADDRESS, NULL},
	{"sev secret: platform", SEV_LAUNCH_SECRET, WORLD_SEV, B(sev_secret), ALL,
	 SEV_INVALID_PLATFORM_STATE, NULL},
	{"sev secret: handle", SEV_LAUNCH_SECRET, WORLD_SEV_MEASURED, B(sev_secret),
	 F(sev_cmd_secret, handle), 9, SEV_INVALID_GUEST, NULL},
	{"sev secret: alignment", SEV_LAUNCH_SECRET, WORLD_SEV_MEASURED, B(sev_secret),
	 F(sev_cmd_secret, guest), PLAIN_AT + 8, SEV_INVALID_ADDRESS, NULL},
	{"sev secret: header", SEV_LAUNCH_SECRET, WORLD_SEV_MEASURED, B(sev_secret),
	 F(sev_cmd_secret, header_size), 51, SEV_INVALID_LENGTH, NULL},
	{"sev secret: length", SEV_LAUNCH_SECRET, WORLD_SEV_MEASURED, B(sev_secret),
	 F(sev_cmd_secret, guest_size), 48, SEV_INVALID_LENGTH, NULL},
	{"sev secret: before measurement", SEV_LAUNCH_SECRET, WORLD_SEV_ACTIVE, B(sev_secret), ALL,
	 SEV_INVALID_GUEST_STATE, NULL},
	{"sev secret: inactive", SEV_LAUNCH_SECRET, WORLD_SEV_MEASURED, B(sev_secret), ALL,
	 SEV_INACTIVE, sev_deactivated},
	{"sev secret: header nowhere", SEV_LAUNCH_SECRET, WORLD_SEV_MEASURED, B(sev_secret),
	 F(sev_cmd_secret, header), ~0xful, SEV_INVALID_ADDRESS, NULL},
	{"sev secret: HMAC", SEV_LAUNCH_SECRET, WORLD_SEV_MEASURED, B(sev_secret), ALL,
	 SEV_BAD_MEASUREMENT, NULL},
	{"sev finish: platform", SEV_LAUNCH_FINISH, WORLD_SEV, B(handle), ALL,
	 SEV_INVALID_PLATFORM_STATE, NULL},
	{"sev finish: handle", SEV_LAUNCH_FINISH, WORLD_SEV_MEASURED, B(handle), 0, 4, 2,
	 SEV_INVALID_GUEST, NULL},
	{"sev finish: not measured", SEV_LAUNCH_FINISH, WORLD_SEV_ACTIVE, B(handle), ALL,
	 SEV_INVALID_GUEST_STATE, NULL},
	{"sev dbg: platform", SEV_DBG_DECRYPT, WORLD_SEV, B(sev_debug), ALL,
	 SEV_INVALID_PLATFORM_STATE, NULL},
	{"sev dbg: alignment", SEV_DBG_DECRYPT, WORLD_SEV_ACTIVE, B(sev_debug),
	 F(sev_cmd_debug, from), PLAIN_AT + 1, SEV_INVALID_ADDRESS, NULL},
	{"sev dbg: length", SEV_DBG_DECRYPT, WORLD_SEV_ACTIVE, B(sev_debug), F(sev_cmd_debug, size),
	 3, SEV_INVALID_LENGTH, NULL},
	{"sev dbg: handle", SEV_DBG_DECRYPT, WORLD_SEV_ACTIVE, B(sev_debug),
	 F(sev_cmd_debug, handle), 3, SEV_INVALID_GUEST, NULL},
	{"sev dbg: policy", SEV_DBG_DECRYPT, WORLD_SEV_ACTIVE, B(sev_debug), ALL,
	 SEV_POLICY_FAILURE, sev_no_debug},
	{"sev dbg: inactive", SEV_DBG_DECRYPT, WORLD_SEV_LAUNCH, B(sev_debug), ALL, SEV_INACTIVE,
	 NULL},
	{"sev guest_status: platform", SEV_GUEST_STATUS, WORLD_COLD, B(handle), ALL,
	 SEV_INVALID_PLATFORM_STATE, NULL},
};

static u8 before[sizeof(fake_memory)];

/* The PSP's state without its mailbox, its randomness, and what it scribbles on. */
static struct psp state_of(void)
{
	struct psp s;

	memcpy(&s, &psp, sizeof(s));

	s.response = s.low = s.high = 0;
	s.random_count = 0;
	memset(s.random_key, 0, sizeof(s.random_key));
	memset(s.page, 0, sizeof(s.page));
	return s;
}

static void a_violated_precondition_is_named_and_changes_nothing(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
		const struct row *row = &rows[i];
		struct psp psp_before, psp_after;
		u8 buffer[128] = {0};
		u32 status;

		fake_sev_start();
		fake_world(row->world);
		if (row->spoil)
			row->spoil();
		if (row->buffer)
			memcpy(buffer, row->buffer, row->size);
		memcpy(buffer + row->offset, &row->value, row->width);
		memcpy(AT(COMMAND_AT), buffer, sizeof(buffer));
		memcpy(before, fake_memory, sizeof(before));
		psp_before = state_of();
		status = fake_command_at(row->command, COMMAND_AT);
		psp_after = state_of();
		if (status != row->status)
			fail_msg("%s: status %#x, not %#x", row->name, status, row->status);
		if (memcmp(before, fake_memory, sizeof(before)) != 0)
			fail_msg("%s: memory has changed", row->name);
		if (memcmp(&psp_before, &psp_after, sizeof(psp_after)) != 0)
			fail_msg("%s: the PSP's state has changed", row->name);
	}
}

/* Each row's command is good without what the row makes bad: else the row says nothing. */
static void the_same_commands_unspoiled_succeed(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
		const struct row *row = &rows[i];
		u32 status;

		if (!row->width || row->spoil || row->command == SNP_LAUNCH_FINISH ||
		    row->command == SNP_GUEST_REQUEST || row->command == SEV_LAUNCH_SECRET ||
		    row->command == SEV_INIT || row->command == SEV_LAUNCH_UPDATE_VMSA)
			continue;
		fake_sev_start();
		fake_world(row->world);
		/* needs another world, or does not differ by one field only */
		if ((row->command == SNP_ACTIVATE && row->world == WORLD_ACTIVE) ||
		    (row->command == SEV_ACTIVATE && row->world == WORLD_SEV_ACTIVE) ||
		    (row->command == SEV_DEACTIVATE && row->world == WORLD_SEV_LAUNCH))
			continue;
		status = fake_command(row->command, row->buffer, row->size);
		if (status != SEV_SUCCESS)
			fail_msg("%s: the good command gives %#x", row->name, status);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_violated_precondition_is_named_and_changes_nothing),
		cmocka_unit_test(the_same_commands_unspoiled_succeed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
