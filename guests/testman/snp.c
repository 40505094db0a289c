/* SPDX-License-Identifier: BSD-2-Clause */
/* SNP guests (guests/snp): conversions by access and by request, and requests that are none.
 * Skipped where there is no SNP; `sev=model` brings it. */
#include "guests/snp/guest.h"
#include "guests/testman/testman.h"

#define POLICY 0x30000ul

#define TABLE_ENTRY 0x3ul /* present, writable */
#define TABLE_LARGE 0x83ul

extern const u8 snp_image[], snp_image_end[];

static u64 c_bit;

/* PML4, PDPT, and a PD for each kind. */
static void tables_make(u64 *page)
{
	u64 *pml4 = page, *pdpt = page + 512, *pd[2] = {page + 1024, page + 1536};

	memset(page, 0, 4 * PAGE_SIZE);
	pml4[0] = (SNP_TABLES + PAGE_SIZE) | TABLE_ENTRY | c_bit;
	for (u64 i = 0; i < 2; i++)
		pdpt[i] = (SNP_TABLES + (2 + i) * PAGE_SIZE) | TABLE_ENTRY | c_bit;
	for (u64 i = 0; i < SNP_PAGES_2M; i++) {
		pd[0][i] = i * LARGE_SIZE | TABLE_LARGE | c_bit;
		pd[1][i] = i * LARGE_SIZE | TABLE_LARGE;
	}
}

static bool registers_set(enum snp_body body)
{
	const struct {
		u32 reg;
		u64 value;
	} values[] = {
		{SEPTUM_REG_RIP, SNP_IMAGE},
		{SEPTUM_REG_RAX + 4, SNP_STACK}, /* RSP */
		{SEPTUM_REG_RAX + 7, (u64)body}, /* RDI */
		{SEPTUM_REG_CR3, SNP_TABLES | c_bit},
		{SEPTUM_REG_CR0, 0x80000011},
		{SEPTUM_REG_CR4, 0x60}, /* PAE, MCE */
		{SEPTUM_REG_EFER, 0x500},
		{SEPTUM_REG_SEG + 4 * 1 + 0, 0x10},
		{SEPTUM_REG_SEG + 4 * 1 + 3, 0xa09b},
		{SEPTUM_REG_SEG + 4 * 2 + 0, 0x18},
	};

	for (u32 i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		CHECK_OR_FALSE(vcpu_set(&test.vm, 0, values[i].reg, values[i].value).status ==
			       SEPTUM_OK);
	return true;
}

/* False also when there is no SNP: then the scenario is skipped. */
static bool snp_prepare(enum snp_body body)
{
	static const struct build build = {
		.type = SEPTUM_SNP,
		.shared_bit = POLICY,
		.memory = TEST_MEMORY,
	};
	u64 bytes = (u64)(snp_image_end - snp_image);
	u64 *tables = memory_take(4 * PAGE_SIZE, PAGE_SIZE);
	u8 *image = memory_take(SNP_LOADED, PAGE_SIZE);

	if (!(septum(SEPTUM_CALL_INFO, SEPTUM_INFO_VM_TYPES).value & 1ul << SEPTUM_SNP)) {
		print("SKIP %s: there is no SNP\n", test.name);
		test.skipped = true;
		return false;
	}
	c_bit = 1ul << (septum(SEPTUM_CALL_INFO, SEPTUM_INFO_SEV).value & 0x3f);
	if (!test.pool.id && !pool_add(TEST_BLOCKS))
		return false;
	CHECK_OR_FALSE(guest_create(&test.vm, &build) == NULL);
	tables_make(tables);
	CHECK_OR_FALSE(bytes <= SNP_STACK - SNP_IMAGE);
	memset(image, 0, SNP_LOADED);
	memcpy(image, snp_image, bytes);
	CHECK_OR_FALSE(mem_load(&test.vm, SNP_TABLES, tables, 4 * PAGE_SIZE).status == SEPTUM_OK);
	CHECK_OR_FALSE(mem_load(&test.vm, SNP_IMAGE, image, SNP_LOADED).status == SEPTUM_OK);
	CHECK_OR_FALSE(GIVES(OK, SEPTUM_CALL_VCPU_CREATE, test.vm.id, 0));
	return registers_set(body);
}

static bool snp_begin(enum snp_body body)
{
	if (!snp_prepare(body))
		return false;
	CHECK_OR_FALSE(GIVES(OK, SEPTUM_CALL_VM_START, test.vm.id));
	test.serve_conversions = true;
	CHECK_OR_FALSE(expect_step(1));
	test.serve_conversions = false;
	return true;
}

static u64 counted(enum septum_counter counter)
{
	return vm_counter(&test.vm, counter);
}

SCENARIO(snp_a_private_access_to_a_shared_page_is_forwarded)
{
	struct septum_event e;

	if (!snp_begin(SNP_BODY_TO_PRIVATE))
		return;
	CHECK(*(volatile u64 *)ram_at(SNP_FREE) == 0x1111);
	CHECK(next(&e));
	CHECK(e.type == SEPTUM_EVENT_MEMORY_FAULT && e.gpa == SNP_FREE + 8);
	CHECK(e.flags == (SEPTUM_EVENT_PRIVATE | SEPTUM_EVENT_READ));
	CHECK(e.data[1] & 1ul << 34); /* ENC */
	CHECK(verdict(&e, SEPTUM_VERDICT_RETRY, 0) == SEPTUM_E_NO_PROGRESS);
	CHECK(convert(&e, SNP_FREE, PAGE_SIZE, true) == SEPTUM_OK);
	CHECK(expect_step(2));
	CHECK(*(volatile u64 *)ram_at(SNP_FREE) == 0x1111);
	CHECK(counted(SEPTUM_COUNTER_IMPLICIT_CONVERTED) == 1);
	CHECK(GIVES(OK, SEPTUM_CALL_AUDIT, 0));
	CHECK(expect_end());
}

SCENARIO(snp_a_shared_write_to_a_private_page_is_forwarded_a_read_is_ciphertext)
{
	struct septum_event e;

	if (!snp_begin(SNP_BODY_TO_SHARED))
		return;
	/* The read made no event. */
	CHECK(expect_step(2));
	CHECK(counted(SEPTUM_COUNTER_IMPLICIT_FORWARDED) == 0);
	CHECK(next(&e));
	CHECK(e.type == SEPTUM_EVENT_MEMORY_FAULT && e.gpa == SNP_FREE + 0x3010);
	CHECK(e.flags == SEPTUM_EVENT_WRITE);
	CHECK(convert(&e, SNP_FREE + 0x3000, PAGE_SIZE, false) == SEPTUM_OK);
	CHECK(expect_step(3));
	CHECK(*(volatile u64 *)ram_at(SNP_FREE + 0x3010) == 0x3333);
	CHECK(counted(SEPTUM_COUNTER_FRAMES_LOST) == 0);
	CHECK(GIVES(OK, SEPTUM_CALL_AUDIT, 0));
	CHECK(expect_end());
}

SCENARIO(snp_a_denied_access_is_a_machine_check)
{
	struct septum_event e;

	if (!snp_begin(SNP_BODY_DENIED))
		return;
	CHECK(next(&e));
	CHECK(e.type == SEPTUM_EVENT_MEMORY_FAULT && e.gpa == SNP_FREE);
	CHECK(e.flags == (SEPTUM_EVENT_PRIVATE | SEPTUM_EVENT_WRITE));
	CHECK(verdict(&e, SEPTUM_VERDICT_INJECT, 0) == SEPTUM_OK);
	CHECK(expect_step(2));
	CHECK(*(volatile u64 *)ram_at(SNP_FREE) == 9);
	CHECK(counted(SEPTUM_COUNTER_IMPLICIT_DENIED) == 1);
	CHECK(expect_end());
}

SCENARIO(snp_a_hostile_request_is_answered_as_the_specification_says)
{
	if (!snp_begin(SNP_BODY_HOSTILE))
		return;
	CHECK(expect_end());
}

SCENARIO(snp_entries_in_a_row_are_one_request)
{
	struct septum_event e;

	if (!snp_begin(SNP_BODY_RUNS))
		return;
	CHECK(next(&e));
	CHECK(e.type == SEPTUM_EVENT_EXPLICIT && e.flags == 0);
	CHECK(e.gpa == SNP_FREE && e.size == 2 * LARGE_SIZE);
	CHECK(grant(&e) == SEPTUM_OK);
	CHECK(next(&e));
	CHECK(e.type == SEPTUM_EVENT_EXPLICIT && e.gpa == SNP_FREE + 3 * LARGE_SIZE);
	CHECK(e.size == 2 * PAGE_SIZE);
	CHECK(grant(&e) == SEPTUM_OK);
	CHECK(expect_step(2));
	CHECK(next(&e));
	CHECK(e.type == SEPTUM_EVENT_EXPLICIT && e.flags == SEPTUM_EVENT_PRIVATE);
	CHECK(e.gpa == SNP_FREE + LARGE_SIZE / 2 && e.size == LARGE_SIZE / 2);
	CHECK(grant(&e) == SEPTUM_OK);
	CHECK(expect_step(3));
	CHECK(GIVES(OK, SEPTUM_CALL_AUDIT, 0));
	CHECK(expect_end());
}

SCENARIO(snp_a_2m_entry_is_smashed_and_keeps_what_is_validated)
{
	if (!snp_begin(SNP_BODY_SIZES))
		return;
	CHECK(counted(SEPTUM_COUNTER_MAPPED_4K) > 0);
	CHECK(GIVES(OK, SEPTUM_CALL_AUDIT, 0));
	CHECK(expect_end());
}

SCENARIO(snp_validation_and_rights_end_when_a_page_is_taken_away)
{
	if (!snp_begin(SNP_BODY_RIGHTS))
		return;
	CHECK(GIVES(OK, SEPTUM_CALL_AUDIT, 0));
	CHECK(expect_end());
}

/* What a manager may not do at a launch, and that nothing is left of one that fails. */
SCENARIO(snp_launch_refusals)
{
	const u64 page = SNP_FREE / PAGE_SIZE;
	u8 *bytes = memory_take(PAGE_SIZE, PAGE_SIZE);
	const u64 root = (u64)bytes / PAGE_SIZE;

	memset(bytes, 0x5a, PAGE_SIZE);
	if (!snp_prepare(SNP_BODY_TO_PRIVATE))
		return;
	CHECK(GIVES(E_EXISTS, SEPTUM_CALL_MEM_LOAD, test.vm.id, SNP_IMAGE / PAGE_SIZE, 1, root));
	CHECK(GIVES(E_ARG, SEPTUM_CALL_SEV_PAGE, test.vm.id, page, 0, 2));
	CHECK(GIVES(E_ARG, SEPTUM_CALL_SEV_PAGE, test.vm.id, page, root, SEPTUM_SEV_PAGE_ZERO));
	CHECK(GIVES(E_ARG, SEPTUM_CALL_SEV_PAGE, test.vm.id, page, 0, SEPTUM_SEV_PAGE_UNMEASURED));
	CHECK(GIVES(E_UNSUPPORTED, SEPTUM_CALL_SEV_MEASURE, test.vm.id, root));
	CHECK(GIVES(E_UNSUPPORTED, SEPTUM_CALL_SEV_SECRET, test.vm.id, page, root, 16));
	CHECK(GIVES(E_NO_SLOT, SEPTUM_CALL_SEV_PAGE, test.vm.id, 0x1000000, 0,
		    SEPTUM_SEV_PAGE_ZERO) ||
	      test.status == SEPTUM_E_UNSUPPORTED);
	/* A table that says more than the processor has comes back as it may be. */
	memset(bytes, 0, PAGE_SIZE);
	*(u32 *)bytes = 1;
	*(u32 *)(bytes + 16) = 0x80000001;
	*(u32 *)(bytes + 16 + 36) = 0xffffffff; /* EDX */
	CHECK(GIVES(E_ARG, SEPTUM_CALL_SEV_PAGE, test.vm.id, page, root, SEPTUM_SEV_PAGE_CPUID));
	CHECK(*(u32 *)(bytes + 16 + 36) != 0xffffffff);
	CHECK(GIVES(OK, SEPTUM_CALL_SEV_PAGE, test.vm.id, page, root, SEPTUM_SEV_PAGE_CPUID));
	CHECK(GIVES(OK, SEPTUM_CALL_SEV_PAGE, test.vm.id, page + 1, 0, SEPTUM_SEV_PAGE_SECRETS));
	CHECK(GIVES(E_EXISTS, SEPTUM_CALL_SEV_PAGE, test.vm.id, page + 1, 0, SEPTUM_SEV_PAGE_ZERO));
	CHECK(GIVES(OK, SEPTUM_CALL_AUDIT, 0));
	CHECK(GIVES(OK, SEPTUM_CALL_VM_START, test.vm.id));
	CHECK(GIVES(E_STATE, SEPTUM_CALL_SEV_PAGE, test.vm.id, page + 2, 0, SEPTUM_SEV_PAGE_ZERO));
	/* A policy that the firmware does not know: nothing is left of the VM. */
	CHECK(GIVES(E_ARG, SEPTUM_CALL_VM_CREATE, SEPTUM_SNP, 0, test.pool.id, 1, 1ul << 40,
		    (u64)memory_take(5 * PAGE_SIZE, PAGE_SIZE) / PAGE_SIZE));
}
