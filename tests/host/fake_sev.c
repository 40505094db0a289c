/* SPDX-License-Identifier: BSD-2-Clause */

#include "tests/host/fake_sev.h"

#include "kernel/panic.h"
#include "mm/window.h"
#include "model/shadow.h"

u8 fake_memory[FRAMES * 4096ul] __attribute__((aligned(4096)));
struct model_msrs fake_msrs[SEV_CPUS];
bool fake_es;
u64 fake_policy;
u8 fake_touched[FRAMES];
static u8 nowhere[4096];

static struct sev_cpuid machine_cpuid(void)
{
	return (struct sev_cpuid){
		.eax = 0x1a, .ebx = 47, .ecx = MODEL_ASIDS - 1, .edx = LEAST_ASID};
}

const struct sev_machine sev_model = {.name = "fake", .cpuid = machine_cpuid};

void *window_map(enum window_slot slot, pfn_t p)
{
	(void)slot;
	if (p.n >= FRAMES)
		return nowhere;
	fake_touched[p.n] = 1;
	return fake_memory + p.n * 4096;
}

void panic(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	abort();
}

/* Nobody ever sees a page plain here, so there is nothing to take away. */
void shadow_evict(pfn_t first, u64 count)
{
	(void)first;
	(void)count;
}

void shadow_forget_asid(u32 asid)
{
	(void)asid;
}

unsigned model_cpu_count(void)
{
	return SEV_CPUS;
}

void model_cpu_msrs(unsigned cpu, struct model_msrs *msrs)
{
	*msrs = fake_msrs[cpu];
}

struct sev_cpuid model_cpuid(u32 leaf, u32 subleaf)
{
	if (leaf == 0)
		return (struct sev_cpuid){.eax = 0xd};
	if (leaf == 1)
		return (struct sev_cpuid){
			.eax = 0x800f12, .ebx = 0x800, .ecx = 0x00380203, .edx = 0x178bfbff};
	if (leaf == 7 && subleaf == 0)
		return (struct sev_cpuid){.ebx = 0x209c01a9, .ecx = 0x4};
	if (leaf == 0x8000001f)
		return (struct sev_cpuid){.eax = 0x1a, .ebx = 47 | 1 << 6, .ecx = 31, .edx = 10};
	return (struct sev_cpuid){0};
}

u32 fake_command_at(u32 number, u64 address)
{
	u32 response;

	model_psp_write(PSP_ADDRESS_LO, (u32)address);
	model_psp_write(PSP_ADDRESS_HI, (u32)(address >> 32));
	model_psp_write(PSP_CMDRESP, number << 16);
	response = model_psp_read(PSP_CMDRESP);
	assert_int_equal(response >> 16, 0x8000 | number);
	return response & 0xffff;
}

u32 fake_command(u32 number, const void *buffer, size_t size)
{
	if (buffer)
		memcpy(AT(COMMAND_AT), buffer, size);
	return fake_command_at(number, COMMAND_AT);
}

u32 fake_address_command(u32 number, u64 address)
{
	return fake_command(number, &address, sizeof(address));
}

void fake_flush(void)
{
	for (unsigned cpu = 0; cpu < SEV_CPUS; cpu++)
		model_psp_wbinvd(cpu);
	assert_int_equal(fake_command(SNP_DF_FLUSH, NULL, 0), SEV_SUCCESS);
}

void fake_page(u64 address, u64 gpa, u32 asid, bool large, bool immutable, bool assigned)
{
	struct rmp_state state = {.gpa = gpa,
				  .asid = asid,
				  .pagesize = large,
				  .immutable = immutable,
				  .assigned = assigned};

	assert_int_equal(rmp_update(hpa(address), &state), RMP_OK);
}

enum rmp_page_state fake_state(u64 address)
{
	return rmp_page_state(pfn(address >> 12));
}

void fake_sev_start(void)
{
	memset(fake_memory, 0, sizeof(fake_memory));
	memset(&psp, 0, sizeof(psp));
	for (u32 asid = 1; asid < MODEL_ASIDS; asid++)
		cipher_key_clear(asid);
	for (unsigned cpu = 0; cpu < SEV_CPUS; cpu++)
		fake_msrs[cpu] = (struct model_msrs){.syscfg = 0x3880000,
						     .hwcr = 1,
						     .rmp_base = RMP_AT,
						     .rmp_end = 2 * RMP_AT - 1};
	rmp_enable(RMP_AT, 2 * RMP_AT - 1);
	fake_es = false;
	fake_policy = FAKE_POLICY;
	model_psp_find();
}

static void world_snp(void)
{
	static const u64 firmware[] = {CONTEXT_AT, CONTEXT2_AT, STATUS_AT, RESPONSE_AT, DEBUG_AT};
	struct {
		u32 count, reserved;
		u64 base;
		u32 pages, reserved2;
	} list = {.count = 1, .base = FIXED_AT, .pages = 1};
	struct snp_cmd_init_ex init = {.flags = 3, .list = LIST_AT};

	memcpy(AT(LIST_AT), &list, sizeof(list));
	assert_int_equal(fake_command(SNP_INIT_EX, &init, sizeof(init)), SEV_SUCCESS);
	fake_flush();
	for (unsigned i = 0; i < ARRAY_COUNT(firmware); i++)
		fake_page(firmware[i], 0, 0, false, true, true);
	fake_page(FIRM_BLOCK_AT, 0, 0, true, true, true);
}

/* After ACTIVATE, which wants an ASID without pages. */
static void world_pages(void)
{
	fake_page(PAGE_AT, PAGE_GPA, ASID, false, true, true);
	fake_page(VMSA_AT, VMSA_GPA, ASID, false, true, true);
	fake_page(STRANGER_AT, PAGE_GPA, ASID + 1, false, true, true);
	fake_page(BLOCK_AT, BLOCK_GPA, ASID, true, true, true);
	for (u64 i = 0; i < 512; i++)
		fake_page(SMALLS_AT + i * 4096, SMALLS_GPA + i * 4096, ASID, false, true, true);
}

static void world_of_snp(enum world world)
{
	struct snp_cmd_launch_start start = {.context = CONTEXT_AT, .policy = fake_policy};
	struct snp_cmd_activate activate = {.context = CONTEXT_AT, .asid = ASID};
	struct snp_cmd_launch_finish finish = {.context = CONTEXT_AT};

	if (world >= WORLD_SNP)
		world_snp();
	if (world >= WORLD_CONTEXT)
		assert_int_equal(fake_address_command(SNP_GCTX_CREATE, CONTEXT_AT), SEV_SUCCESS);
	if (world >= WORLD_LAUNCH)
		assert_int_equal(fake_command(SNP_LAUNCH_START, &start, sizeof(start)),
				 SEV_SUCCESS);
	if (world >= WORLD_ACTIVE) {
		assert_int_equal(fake_command(SNP_ACTIVATE, &activate, sizeof(activate)),
				 SEV_SUCCESS);
		world_pages();
	}
	if (world >= WORLD_RUNNING)
		assert_int_equal(fake_command(SNP_LAUNCH_FINISH, &finish, sizeof(finish)),
				 SEV_SUCCESS);
}

static void world_of_sev(enum world world)
{
	struct sev_cmd_init init = {.flags = 1, .tmr = 0x300000, .tmr_size = 0x100000};
	struct sev_cmd_launch_start start = {.policy = fake_es ? SEV_POLICY_ES : 0};
	struct sev_cmd_activate activate = {.handle = 1, .asid = fake_es ? ASID : SEV_ASID};
	struct sev_cmd_range measure = {.handle = 1, .address = STATUS_AT, .size = 48};
	struct sev_cmd_handle finish = {.handle = 1};

	for (unsigned cpu = 0; cpu < SEV_CPUS; cpu++)
		fake_msrs[cpu].syscfg = 0x800000;
	assert_int_equal(fake_command(SEV_INIT, &init, sizeof(init)), SEV_SUCCESS);
	fake_flush();
	if (world >= WORLD_SEV_LAUNCH)
		assert_int_equal(fake_command(SEV_LAUNCH_START, &start, sizeof(start)),
				 SEV_SUCCESS);
	if (world >= WORLD_SEV_ACTIVE)
		assert_int_equal(fake_command(SEV_ACTIVATE, &activate, sizeof(activate)),
				 SEV_SUCCESS);
	if (world >= WORLD_SEV_MEASURED)
		assert_int_equal(fake_command(SEV_LAUNCH_MEASURE, &measure, sizeof(measure)),
				 SEV_SUCCESS);
	if (world >= WORLD_SEV_RUNNING)
		assert_int_equal(fake_command(SEV_LAUNCH_FINISH, &finish, sizeof(finish)),
				 SEV_SUCCESS);
}

void fake_world(enum world world)
{
	if (world >= WORLD_SEV)
		world_of_sev(world);
	else
		world_of_snp(world);
}
