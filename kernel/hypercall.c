/* SPDX-License-Identifier: BSD-2-Clause */
/* The root-facing hypercalls: <septum/abi.h>, part 2. */
#include "arch/x86/smp.h"
#include "arch/x86/tsc.h"
#include "kernel/coverage.h"
#include "kernel/console.h"
#include "kernel/exits.h"
#include "kernel/panic.h"
#include "kernel/print.h"
#include "kernel/string.h"
#include "kernel/tally.h"
#include "kernel/trace.h"
#include "kernel/vendor.h"
#include "kernel/vm.h"
#include "mm/audit.h"
#include "mm/memory.h"
#include "mm/pool.h"

#define ARGUMENTS 6u

typedef struct result (*call_fn)(const u64 *arg);

/* One row per call. `blame`: the argument that an error of the memory functions is about. */
struct call {
	const char *name;
	call_fn fn;
	u8 arguments;
	u8 blame[E_FIRMWARE + 1];
};

static struct result done(u64 value)
{
	return (struct result){OK, 0, value};
}

static struct result refuse(enum status status, u8 argument)
{
	return (struct result){status, argument, 0};
}

/* ---- Septum itself ---- */

static struct result call_version(const u64 *arg)
{
	u64 major = arg[0] >> 16, minor = arg[0] & 0xffff;

	if (major != SEPTUM_ABI_MAJOR || minor > SEPTUM_ABI_MINOR)
		return (struct result){E_VERSION, 1, SEPTUM_ABI_VERSION};
	return done(SEPTUM_ABI_VERSION);
}

static struct result call_info(const u64 *arg)
{
	switch (arg[0]) {
	case SEPTUM_INFO_VENDOR:
		return done(vendor->number);
	case SEPTUM_INFO_SHARED_BIT_MAX:
		return done(vm_gpa_bits() - 1);
	case SEPTUM_INFO_VM_TYPES:
		return done(vm_types());
	case SEPTUM_INFO_CPUS:
		return done(cpu_count);
	case SEPTUM_INFO_LEVEL_MAX:
		return done(nested_level_max);
	case SEPTUM_INFO_TSC_KHZ:
		return done(tsc_frequency() / 1000);
	case SEPTUM_INFO_SEV:
		return done(vendor->sealed != NULL ? vendor->sealed->info() : 0);
	default:
		return refuse(E_ARG, 1);
	}
}

/* What a terminal would act upon does not reach it; \n, \r and \t do. */
static char printable(u8 byte)
{
	bool control = byte < 0x20 || (byte >= 0x7f && byte < 0xa0);

	if (byte == '\n' || byte == '\r' || byte == '\t' || !control)
		return (char)byte;
	return '.';
}

static struct result call_console(const u64 *arg)
{
	char text[32];

	if (arg[0] == 0 || arg[0] > sizeof(text))
		return refuse(E_ARG, 1);
	for (unsigned i = 0; i < arg[0]; i++)
		text[i] = printable((u8)(arg[1 + i / 8] >> i % 8 * 8));
	console_write(text, arg[0]);
	return done(0);
}

static struct result call_audit(const u64 *arg)
{
	static struct ratelimit limit;
	struct audit_report report = {0};
	enum audit_violation violation = audit_run(&report);

	(void)arg;
	if (violation == AUDIT_CLEAN)
		return done(0);
	printk_limited(&limit, LOG_ERROR, "audit: %s (owner %u, frame %lx, page %lx)", report.text,
		       report.owner, report.pfn.n, report.page);
	return (struct result){E_BROKEN, 0, violation};
}

static struct result call_trace_read(const u64 *arg)
{
	static struct spinlock lock = SPINLOCK(RANK_CALL);
	static struct septum_trace_entry copy[PAGE_SIZE / sizeof(struct septum_trace_entry)];
	enum status status;
	unsigned count;

	if (arg[0] >= PFN_LIMIT)
		return refuse(E_RANGE, 1);
	spin_lock(&lock);
	count = trace_copy(copy, ARRAY_COUNT(copy));
	status = root_write(pfn_to_hpa(pfn(arg[0])), copy, count * sizeof(copy[0]));
	spin_unlock(&lock);
	return status == OK ? done(count) : refuse(status, 1);
}

/* ---- Pools ---- */

static struct result call_pool_create(const u64 *arg)
{
	u32 id = 0;
	enum status status = pool_create(&id);

	(void)arg;
	return (struct result){status, 0, id};
}

static struct result call_pool_donate(const u64 *arg)
{
	struct pool *pool = pool_by_id(arg[0]);

	if (!pool)
		return refuse(E_NO_POOL, 1);
	if (arg[1] >= PFN_LIMIT)
		return refuse(E_RANGE, 2);
	return refuse(pool_donate(pool, pfn(arg[1]), arg[2]), 0);
}

static struct result call_pool_reclaim(const u64 *arg)
{
	struct pool *pool = pool_by_id(arg[0]);
	pfn_t first = pfn(0);
	enum status status;

	if (!pool)
		return refuse(E_NO_POOL, 1);
	status = pool_reclaim(pool, &first);
	return status == OK ? done(first.n) : refuse(status, 0);
}

static struct result call_pool_destroy(const u64 *arg)
{
	struct pool *pool = pool_by_id(arg[0]);

	return pool ? refuse(pool_destroy(pool), 0) : refuse(E_NO_POOL, 1);
}

static struct result call_pool_info(const u64 *arg)
{
	struct pool *pool = pool_by_id(arg[0]);

	if (!pool)
		return refuse(E_NO_POOL, 1);
	return done((pool_free_count(pool) & 0xffffffff) | pool_total_count(pool) << 32);
}

/* ---- VMs and vCPUs: kernel/vm.c and vcpu.c ---- */

static struct result call_vm_create(const u64 *arg)
{
	return vm_create(arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}

static struct result call_vm_destroy(const u64 *arg)
{
	return vm_destroy(arg[0]);
}

static struct result call_vm_start(const u64 *arg)
{
	return vm_start(arg[0]);
}

static struct result call_vm_counter(const u64 *arg)
{
	return vm_counter(arg[0], arg[1], arg[2]);
}

static struct result call_vcpu_create(const u64 *arg)
{
	return vcpu_create(arg[0], arg[1]);
}

static struct result call_vcpu_set(const u64 *arg)
{
	return vcpu_set(arg[0], arg[1], arg[2], arg[3]);
}

static struct result call_vcpu_info(const u64 *arg)
{
	return vcpu_info(arg[0], arg[1]);
}

static struct result call_vcpu_interrupt(const u64 *arg)
{
	return vcpu_interrupt(arg[0], arg[1], arg[2]);
}

static struct result call_vcpu_detach(const u64 *arg)
{
	return vcpu_detach(arg[0], arg[1], arg[2]);
}

static struct result call_vcpu_attach(const u64 *arg)
{
	return vcpu_attach(arg[0], arg[1]);
}

static struct result call_doorbell(const u64 *arg)
{
	return vm_doorbell(arg[0], arg[1]);
}

static struct result call_run(const u64 *arg)
{
	return vm_run(arg[0], arg[1]);
}

static struct result call_vm_find(const u64 *arg)
{
	return vm_find(arg[0]);
}

static struct result call_vm_adopt(const u64 *arg)
{
	return vm_adopt(arg[0], arg[1]);
}

static struct result call_run_until(const u64 *arg)
{
	return vm_run_until(arg[0], arg[1], arg[2]);
}

/* ---- Guest memory ---- */

static struct result call_slot_add(const u64 *arg)
{
	struct vm *vm = vm_by_id(arg[0], false);
	const u64 known = SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE | SEPTUM_SLOT_INPLACE;
	const u64 with_root = SEPTUM_SLOT_SHARED | SEPTUM_SLOT_INPLACE;
	bool root = arg[4] & with_root;
	u32 slot = 0;
	enum status status;

	if (!vm)
		return refuse(E_NO_VM, 1);
	if (arg[4] == 0 || (arg[4] & ~known) ||
	    ((arg[4] & SEPTUM_SLOT_INPLACE) && arg[4] != SEPTUM_SLOT_INPLACE))
		return refuse(E_ARG, 5);
	if (!root && arg[3] != 0)
		return refuse(E_ARG, 4);
	if (arg[3] >= PFN_LIMIT)
		return refuse(E_RANGE, 4);
	status = memory_slot_add(&vm->memory, gfn(arg[1]), arg[2], root ? pfn(arg[3]) : PFN_NONE,
				 (u32)arg[4], &slot);
	return (struct result){status, 0, status == OK ? slot : 0};
}

static struct result call_slot_remove(const u64 *arg)
{
	struct vm *vm = vm_by_id(arg[0], false);

	return vm ? refuse(memory_slot_remove(&vm->memory, arg[1]), 0) : refuse(E_NO_VM, 1);
}

/* A range call: its value is the number of pages done where `partial` says so, or on E_AGAIN. */
static struct result ranged(enum status status, u64 pages, bool partial)
{
	if (status != OK && status != E_AGAIN && !partial)
		pages = 0;
	return (struct result){status, 0, pages};
}

static struct result call_attr_set(const u64 *arg)
{
	const u64 known =
		SEPTUM_ATTR_READ | SEPTUM_ATTR_WRITE | SEPTUM_ATTR_EXEC | SEPTUM_ATTR_PRIVATE;
	struct vm *vm = vm_by_id(arg[0], false);
	enum status status;
	u64 pages = 0;

	if (!vm)
		return refuse(E_NO_VM, 1);
	if (arg[3] & ~known)
		return refuse(E_ARG, 4);
	if ((arg[3] & (SEPTUM_ATTR_WRITE | SEPTUM_ATTR_EXEC)) && !(arg[3] & SEPTUM_ATTR_READ))
		return refuse(E_ARG, 4);
	status = memory_attr_set(&vm->memory, gfn(arg[1]), arg[2], (unsigned)arg[3], &pages);
	return ranged(status, status == OK ? 0 : pages, false);
}

static struct result call_attr_get(const u64 *arg)
{
	struct vm *vm = vm_by_id(arg[0], false);
	unsigned attributes = 0;
	enum status status;
	u64 stamp = 0;

	if (!vm)
		return refuse(E_NO_VM, 1);
	status = memory_attr_get(&vm->memory, gfn(arg[1]), &attributes, &stamp);
	return status == OK ? done(attributes | stamp << 8) : refuse(status, 0);
}

static struct result call_mem_load(const u64 *arg)
{
	struct vm *vm = vm_by_id(arg[0], false);
	enum status status;
	u64 pages = 0;

	if (!vm)
		return refuse(E_NO_VM, 1);
	if (vm->state != VM_BUILDING)
		return refuse(E_STATE, 1);
	if (arg[2] > BLOCK_PAGES)
		return refuse(E_RANGE, 3);
	if (arg[3] >= PFN_LIMIT)
		return refuse(E_RANGE, 4);
	status = memory_load(&vm->memory, gfn(arg[1]), arg[2], pfn(arg[3]), &pages);
	return ranged(status, pages, true);
}

static struct result call_mem_discard(const u64 *arg)
{
	struct vm *vm = vm_by_id(arg[0], false);
	enum status status;
	u64 pages = 0;

	if (!vm)
		return refuse(E_NO_VM, 1);
	status = memory_discard(&vm->memory, gfn(arg[1]), arg[2], &pages);
	return ranged(status, status == OK ? 0 : pages, false);
}

static struct result call_prefault(const u64 *arg)
{
	struct vm *vm = vm_by_id(arg[0], false);
	enum status status;
	u64 pages = 0;

	if (!vm)
		return refuse(E_NO_VM, 1);
	status = memory_prefault(&vm->memory, gfn(arg[1]), arg[2], &pages);
	return ranged(status, pages, true);
}

/* ---- SEV, SEV-ES, SNP ---- */

/* A VM that is being built, of a type that the machine seals. */
static struct result sealed_find(u64 id, struct vm **vm)
{
	*vm = vm_by_id(id, false);
	if (!*vm)
		return refuse(E_NO_VM, 1);
	if ((*vm)->sealed == NULL)
		return refuse(E_UNSUPPORTED, 1);
	if ((*vm)->state != VM_BUILDING)
		return refuse(E_STATE, 1);
	return done(0);
}

static struct result call_sev_page(const u64 *arg)
{
	struct vm *vm;
	struct result result = sealed_find(arg[0], &vm);

	if (result.status == OK && arg[2] >= PFN_LIMIT)
		return refuse(E_RANGE, 3);
	return result.status == OK ? vendor->sealed->page(vm, arg[1], arg[2], arg[3]) : result;
}

static struct result call_sev_measure(const u64 *arg)
{
	struct vm *vm;
	struct result result = sealed_find(arg[0], &vm);

	if (result.status == OK && arg[1] >= PFN_LIMIT)
		return refuse(E_RANGE, 2);
	return result.status == OK ? vendor->sealed->measure(vm, arg[1]) : result;
}

static struct result call_sev_secret(const u64 *arg)
{
	struct vm *vm;
	struct result result = sealed_find(arg[0], &vm);

	if (result.status == OK && arg[2] >= PFN_LIMIT)
		return refuse(E_RANGE, 3);
	return result.status == OK ? vendor->sealed->secret(vm, arg[1], arg[2], arg[3]) : result;
}

static struct result call_sev_id(const u64 *arg)
{
	struct vm *vm;
	struct result result = sealed_find(arg[0], &vm);

	if (result.status == OK && (arg[1] >= PFN_LIMIT || arg[2] >= PFN_LIMIT))
		return refuse(E_RANGE, arg[1] >= PFN_LIMIT ? 2 : 3);
	return result.status == OK ? vendor->sealed->id(vm, arg[1], arg[2]) : result;
}

/* ---- The table ---- */

#define BLAME_RANGE [E_ALIGN] = 2, [E_RANGE] = 2, [E_NO_SLOT] = 2
#define CALL(call, count, function, ...)                                                           \
	[SEPTUM_CALL_##call] = {                                                                   \
		.name = #call, .fn = (function), .arguments = (count), .blame = {__VA_ARGS__}}

/* A number with two rows does not compile (-Woverride-init). */
static const struct call calls[] = {
	CALL(VERSION, 1, call_version),
	CALL(INFO, 1, call_info),
	CALL(CONSOLE, 5, call_console),
	CALL(POOL_CREATE, 0, call_pool_create),
	CALL(POOL_DONATE, 3, call_pool_donate, [E_ALIGN] = 2, [E_RANGE] = 3, [E_NOT_ROOT] = 2),
	CALL(POOL_RECLAIM, 1, call_pool_reclaim),
	CALL(POOL_DESTROY, 1, call_pool_destroy, [E_BUSY] = 1),
	CALL(POOL_INFO, 1, call_pool_info),
	CALL(VM_CREATE, 6, call_vm_create),
	CALL(VM_DESTROY, 1, call_vm_destroy),
	CALL(VM_START, 1, call_vm_start),
	CALL(VM_COUNTER, 3, call_vm_counter),
	CALL(SLOT_ADD, 5,
	     call_slot_add, [E_RANGE] = 3, [E_EXISTS] = 2, [E_NOT_ROOT] = 4, [E_UNSUPPORTED] = 5),
	CALL(SLOT_REMOVE, 2, call_slot_remove, [E_NO_SLOT] = 2, [E_POPULATED] = 2),
	CALL(ATTR_SET, 4, call_attr_set,
	     BLAME_RANGE, [E_ARG] = 4, [E_UNSUPPORTED] = 4, [E_POPULATED] = 2),
	CALL(ATTR_GET, 2, call_attr_get, BLAME_RANGE),
	CALL(MEM_LOAD, 4, call_mem_load, BLAME_RANGE, [E_NOT_ROOT] = 4, [E_EXISTS] = 2),
	CALL(MEM_DISCARD, 3, call_mem_discard, BLAME_RANGE, [E_UNSUPPORTED] = 2, [E_POPULATED] = 2),
	CALL(PREFAULT, 3, call_prefault, BLAME_RANGE),
	CALL(VCPU_CREATE, 2, call_vcpu_create),
	CALL(VCPU_SET, 4, call_vcpu_set),
	CALL(VCPU_INFO, 2, call_vcpu_info),
	CALL(VCPU_INTERRUPT, 3, call_vcpu_interrupt),
	CALL(RUN, 2, call_run),
	CALL(VCPU_DETACH, 3, call_vcpu_detach),
	CALL(VCPU_ATTACH, 2, call_vcpu_attach),
	CALL(DOORBELL, 2, call_doorbell),
	CALL(VM_FIND, 1, call_vm_find),
	CALL(VM_ADOPT, 2, call_vm_adopt),
	CALL(RUN_UNTIL, 3, call_run_until),
	CALL(AUDIT, 0, call_audit),
	CALL(TRACE_READ, 1, call_trace_read),
	CALL(SEV_PAGE, 4, call_sev_page),
	CALL(SEV_MEASURE, 2, call_sev_measure),
	CALL(SEV_SECRET, 4, call_sev_secret),
	CALL(SEV_ID, 3, call_sev_id),
};
_Static_assert(ARRAY_COUNT(calls) == SEPTUM_CALL_SEV_ID + 1, "a row for each call");

const char *hypercall_name(u64 number)
{
	return number < ARRAY_COUNT(calls) ? calls[number].name : NULL;
}

struct result hypercall(u64 number, const u64 *arg)
{
	const struct call *call;
	struct result result;

	if (number >= ARRAY_COUNT(calls) || !calls[number].fn)
		return refuse(E_CALL, 0);
	call = &calls[number];
	result = call->fn(arg);
	if (result.status == OK)
		result.argument = 0;
	else if (result.argument == 0)
		result.argument = call->blame[result.status];
	ASSERT(result.argument <= call->arguments);
	return result;
}

#ifdef TALLY
u64 tally_counts[TALLY_COUNT];

static u64 tally_read(u64 which)
{
	static u64 kept[TALLY_COUNT];

	if (which == TALLY_COUNT)
		memcpy(kept, tally_counts, sizeof(kept));
	return which < TALLY_COUNT ? kept[which] : 0;
}
#endif

/* The caller has skipped the instruction: RUN loads other vCPUs. */
void root_call(struct vcpu *v)
{
	const u64 arg[ARGUMENTS] = {v->gpr[RDI], v->gpr[RSI], v->gpr[RDX],
				    v->gpr[RCX], v->gpr[R8],  v->gpr[R9]};
	u64 number = v->gpr[RAX];
	struct result result = {E_DENIED, 0, 0};

	if (number == COVERAGE_CALL)
		coverage_dump();
#ifdef TALLY
	if (number == TALLY_CALL) {
		v->gpr[RAX] = OK;
		v->gpr[RDX] = tally_read(arg[0]);
		return;
	}
#endif
	if (vendor->cpl_get(v) == 0 && vendor->long_mode(v))
		result = hypercall(number, arg);
	v->gpr[RAX] = (u64)result.status | (u64)result.argument << 8;
	v->gpr[RDX] = result.value;
	trace(SEPTUM_TRACE_HYPERCALL, 0, v->index, number, (u64)result.status);
}
