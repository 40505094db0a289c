/* SPDX-License-Identifier: BSD-2-Clause */
/* sources: tests/host/manager.c tests/host/fake_vendor.c tests/host/fake.c mm/?*.c
 * kernel/protocol.c kernel/explicit.c kernel/ring.c kernel/vm.c kernel/vcpu.c kernel/lapic.c
 * kernel/lapic_vcpu.c tests/host/fake_timer.c kernel/root.c kernel/adopt.c kernel/hypercall.c
 * kernel/trace.c svm/sev_guest.c svm/sev_launch.c svm/sev_rmp.c svm/sev_psp.c svm/sev_asid.c
 * svm/sev_memory.c */
/* The SEV client against a hostile machine and firmware: every instruction and every command of a
 * guest's life fails, once or from then on, with each code. Nothing crashes; what the machine does
 * not give back is lost, counted and used by nobody; all else comes back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "arch/x86/paging.h"
#include "arch/x86/smp.h"
#include "kernel/print.h"
#include "svm/sev.h"
#include "svm/sev_vcpu.h"
#include "tests/host/fake.h"
#include "tests/host/manager.h"

#define RWX    (SEPTUM_ATTR_READ | SEPTUM_ATTR_WRITE | SEPTUM_ATTR_EXEC)
#define FRAMES 65536ul

/* ---- A machine that keeps the rules, and fails when told ---- */

enum kind { RMP, SMASH, PSP };

static struct entry {
	u64 gpa;
	u32 asid;
	bool assigned, large, immutable, validated, context;
} rmp[FRAMES];

static struct {
	u64 count;	/* operations so far */
	u64 at;		/* the one that fails; 0: none */
	enum kind kind; /* of the one that has failed */
	u32 rmp_code, psp_code;
	bool for_ever;
} hostile;
static u32 registers[3];

static bool fails(enum kind kind)
{
	u64 n = ++hostile.count;

	if (hostile.at == 0 || n < hostile.at)
		return false;
	if (n == hostile.at)
		hostile.kind = kind;
	return n == hostile.at || (hostile.for_ever && kind == hostile.kind);
}

static struct entry *entry_of(u64 frame)
{
	u64 head = ALIGN_DOWN(frame, BLOCK_PAGES);

	assert_true(frame < FRAMES);
	return rmp[head].large ? &rmp[head] : &rmp[frame];
}

static u32 rmpupdate(hpa_t page, const struct rmp_state *state)
{
	u64 first = page.n >> PAGE_SHIFT;
	u64 count = state->pagesize == RMP_2M ? BLOCK_PAGES : 1;

	if (fails(RMP))
		return hostile.rmp_code;
	assert_int_equal(first % count, 0);
	for (u64 i = 0; i < count; i++) {
		const struct entry *e = entry_of(first + i);

		if (e->immutable)
			return RMP_FAIL_PERMISSION;
		if (count == 1 ? e->large : !e->large && e->assigned)
			return RMP_FAIL_OVERLAP;
	}
	for (u64 i = 0; i < count; i++)
		rmp[first + i] = (struct entry){0};
	rmp[first] = (struct entry){
		.gpa = state->gpa,
		.asid = state->asid,
		.assigned = state->assigned,
		.large = state->assigned && count > 1,
		.immutable = state->immutable,
	};
	return RMP_OK;
}

static u32 psmash(hpa_t block)
{
	u64 head = block.n >> PAGE_SHIFT;
	struct entry e = rmp[head];

	if (fails(SMASH))
		return hostile.rmp_code;
	if (!e.large || e.immutable)
		return RMP_FAIL_REQUIREMENTS;
	e.large = false;
	for (u64 i = 0; i < BLOCK_PAGES; i++) {
		rmp[head + i] = e;
		e.gpa += PAGE_SIZE;
	}
	return RMP_OK;
}

static u32 rmpread(hpa_t page, struct rmp_state *state)
{
	u64 frame = page.n >> PAGE_SHIFT;
	const struct entry *e = entry_of(frame);

	*state = (struct rmp_state){
		.gpa = e->gpa + (e->large ? frame % BLOCK_PAGES * PAGE_SIZE : 0),
		.assigned = e->assigned,
		.pagesize = e->large ? 3 : 0,
		.immutable = e->immutable,
		.asid = e->asid,
	};
	return RMP_OK;
}

static u64 command_word(unsigned at)
{
	u64 address = registers[PSP_ADDRESS_LO] | (u64)registers[PSP_ADDRESS_HI] << 32, value;

	memcpy(&value, (u8 *)fake_frame(pfn(address >> PAGE_SHIFT)) + address % PAGE_SIZE + at, 8);
	return value;
}

static u32 command(u32 number)
{
	struct entry *e;

	switch (number) {
	case PSP_SNP_GCTX_CREATE:
		e = entry_of(command_word(0) >> PAGE_SHIFT);
		if (!e->immutable || e->asid != 0)
			return 0x1a;
		e->context = true;
		return PSP_SUCCESS;
	case PSP_SNP_DECOMMISSION:
		e = entry_of(command_word(0) >> PAGE_SHIFT);
		if (!e->context)
			return 0x10;
		e->context = false;
		return PSP_SUCCESS;
	case PSP_SNP_LAUNCH_UPDATE:
		e = entry_of(command_word(16) >> PAGE_SHIFT);
		if (!e->immutable || e->asid == 0 || e->validated)
			return 0x1a;
		e->immutable = false;
		e->validated = true;
		return PSP_SUCCESS;
	case PSP_SNP_PAGE_RECLAIM:
		e = entry_of(command_word(0) >> PAGE_SHIFT);
		if (e->context)
			return 0x1a;
		e->immutable = false;
		return PSP_SUCCESS;
	default:
		return PSP_SUCCESS;
	}
}

static bool psp_find(void)
{
	return true;
}

static u32 psp_read(enum psp_register which)
{
	return registers[which];
}

static void psp_write(enum psp_register which, u32 value)
{
	registers[which] = value;
	if (which == PSP_CMDRESP)
		registers[which] = (u32)BIT(31) |
				   (fails(PSP) ? hostile.psp_code : command(value >> 16 & 0x7ff));
}

static void nothing(void)
{
}

static struct sev_cpuid cpuid_none(void)
{
	return (struct sev_cpuid){0};
}

static const struct sev_machine machine = {
	.name = "hostile",
	.cpuid = cpuid_none,
	.rmpupdate = rmpupdate,
	.psmash = psmash,
	.rmpread = rmpread,
	.wbinvd = nothing,
	.psp_find = psp_find,
	.psp_read = psp_read,
	.psp_write = psp_write,
};

/* ---- What the client needs of the rest ---- */

const struct sev_machine *sev_machine = &machine;
const struct sev_machine sev_hardware;
struct sev_features sev_features;

void cpus_call(void (*work)(void))
{
	work();
}

void printk(enum log_level level, const char *format, ...)
{
	(void)level;
	(void)format;
}

hpa_t paging_image_pa(const void *symbol)
{
	(void)symbol;
	return hpa(0);
}

void sev_cpuid_table(const struct vcpu *v, void *page)
{
	(void)v;
	(void)page;
}

void sev_vcpu_sealed(struct vcpu *v, hpa_t page)
{
	(void)v;
	(void)page;
}

enum after sev_request(struct vcpu *v)
{
	(void)v;
	return AFTER_WAIT;
}

/* ---- A guest's life ---- */

#define RAM_PAGES 8192ul
#define RAM_BYTES (RAM_PAGES * PAGE_SIZE)

static u64 pool;
static u8 snapshot[RAM_BYTES];

static int world(void **state)
{
	static struct vendor_ops mine;

	(void)state;
	machine_pages = RAM_PAGES;
	machine_start();
	mine = *vendor;
	mine.sealed = &sev_ops;
	vendor = &mine;
	sev_features = (struct sev_features){
		.sev = true, .snp = true, .cbit = 47, .asid_max = 3, .asid_plain = 3};
	asid_start();
	assert_true(psp_start());
	assert_true(psp_snp_begin());
	fake_windows_direct = true;
	return 0;
}

static int empty(void **state)
{
	(void)state;
	machine_empty();
	return 0;
}

static struct fault touch(u64 vm, u64 g, bool is_private, bool guard)
{
	const struct access access = {
		.raw_gpa = g << PAGE_SHIFT,
		.write = true,
		.kind_known = true,
		.is_private = is_private,
		.guard = guard,
		.small = guard,
	};

	return memory_fault(&vm_by_id(vm, false)->memory, &access);
}

/* Everything that a guest can have done to it. Some of it fails, when something fails below. */
static void live(u64 vm)
{
	struct memory *mem = &vm_by_id(vm, false)->memory;

	CALL5(SLOT_ADD, vm, 0, 1024, ROOT_SLOT, SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE);
	CALL4(ATTR_SET, vm, 0, 1024, RWX | SEPTUM_ATTR_PRIVATE);
	CALL4(MEM_LOAD, vm, 0, 3, ROOT_PAGE);
	CALL4(SEV_PAGE, vm, 8, 0, SEPTUM_SEV_PAGE_SECRETS);
	CALL1(VM_START, vm);
	touch(vm, 20, true, false);
	touch(vm, 512, true, false);
	touch(vm, 600, true, true);
	memory_convert(mem, gfn(700), 2, false, MEMORY_ANY_STAMP, gfn(700), 2, CONVERT_ZERO);
	touch(vm, 701, false, false);
	memory_convert(mem, gfn(700), 1, true, MEMORY_ANY_STAMP, gfn(700), 1, CONVERT_ZERO);
	touch(vm, 700, true, false);
	memory_convert(mem, gfn(0), 600, false, MEMORY_ANY_STAMP, gfn(0), 600, CONVERT_ZERO);
	touch(vm, 1, false, false);
}

static void everything_is_somewhere(u64 lost)
{
	u64 info = CALL1(POOL_INFO, pool).value;

	audit_clean();
	assert_int_equal(info >> 32, (info & 0xffffffff) + lost);
	for (u64 p = 0; p < frame_limit().n; p++) {
		if (frame_get(pfn(p)).state == FRAME_POOL)
			assert_false(entry_of(p)->assigned);
	}
}

static u64 one_life(void)
{
	u64 vm = vm_new(SEPTUM_SNP, pool, 1, 0x30000, 0), status;

	if (vm == 0)
		return 0;
	live(vm);
	do
		status = CALL1(VM_DESTROY, vm).status;
	while (status == E_AGAIN);
	assert_int_equal(status, OK);
	return vm;
}

static void without_a_failure_nothing_is_lost(void **state)
{
	(void)state;
	pool = pool_new(3);
	/* Twice as many lives as there are ASIDs: they are flushed and come back. */
	for (unsigned i = 0; i < 5; i++) {
		assert_int_not_equal(one_life(), 0);
		assert_int_equal(pool_lost_count(), 0);
		everything_is_somewhere(0);
	}
}

/* In a process of its own. Exit status: 0 nothing was lost, 1 something was, 2 and more: wrong. */
static int life_with(u64 at, u32 rmp_code, u32 psp_code, bool for_ever)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		hostile.count = 0;
		hostile.at = at;
		hostile.rmp_code = rmp_code;
		hostile.psp_code = psp_code;
		hostile.for_ever = for_ever;
		one_life();
		hostile.at = 0;
		everything_is_somewhere(pool_lost_count());
		_exit(pool_lost_count() != 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	/* The machine's RAM is shared by processes. */
	if (status != 0)
		memcpy(fake_frame(pfn(0)), snapshot, RAM_BYTES);
	if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
		print_error("operation %lu, codes %x and %x%s\n", at, rmp_code, psp_code,
			    for_ever ? ", for ever" : "");
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static u64 operations(void)
{
	hostile.count = 0;
	hostile.at = 0;
	assert_int_not_equal(one_life(), 0);
	memcpy(snapshot, fake_frame(pfn(0)), RAM_BYTES);
	return hostile.count;
}

/* The launch operation by operation; of what comes for each of 512 frames less. */
static u64 later(u64 at)
{
	return at < 32 ? at + 1 : at + at / 3;
}

static void what_passes_costs_nothing(void **state)
{
	(void)state;
	pool = pool_new(3);
	for (u64 at = 1, end = operations(); at <= end; at = later(at))
		assert_int_equal(life_with(at, RMP_FAIL_INUSE, PSP_SUCCESS, false), 0);
}

static void whatever_fails_only_what_may_not_be_used_is_lost(void **state)
{
	static const u32 rmp_codes[] = {RMP_FAIL_INPUT, RMP_FAIL_PERMISSION};
	static const u32 psp_codes[] = {PSP_POLICY_FAILURE, 0x1a};
	u64 end, losses = 0;

	(void)state;
	pool = pool_new(3);
	end = operations();
	for (u64 at = 1; at <= end; at = later(at)) {
		for (unsigned i = 0; i < ARRAY_COUNT(psp_codes); i++) {
			u32 code = rmp_codes[i % ARRAY_COUNT(rmp_codes)];
			int once = life_with(at, code, psp_codes[i], false);
			int always = life_with(at, code, psp_codes[i], true);

			assert_true(once <= 1 && always <= 1);
			losses += (u64)(once + always);
		}
	}
	/* The machine did keep frames. */
	assert_true(losses > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(without_a_failure_nothing_is_lost, empty),
		cmocka_unit_test_teardown(what_passes_costs_nothing, empty),
		cmocka_unit_test_teardown(whatever_fails_only_what_may_not_be_used_is_lost, empty),
	};

	return cmocka_run_group_tests(tests, world, NULL);
}
