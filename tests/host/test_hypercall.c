/* sources: tests/host/manager.c tests/host/fake_vendor.c tests/host/fake.c mm/?*.c
 * kernel/protocol.c kernel/explicit.c kernel/ring.c kernel/vm.c kernel/vcpu.c kernel/lapic.c
 * kernel/lapic_vcpu.c tests/host/fake_timer.c kernel/root.c kernel/adopt.c kernel/hypercall.c
 * kernel/trace.c */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The root-facing hypercalls: what they do, what they refuse, and that a refusal changes nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernel/trace.h"
#include "tests/host/fake.h"
#include "tests/host/manager.h"

#define S     40u
#define PAGES 1024ul
#define RWX   (SEPTUM_ATTR_READ | SEPTUM_ATTR_WRITE | SEPTUM_ATTR_EXEC)
#define ALL   0xful

static u64 pool, spare_pool, building, running, plain;

/* Three VMs: one BUILDING, one running with an event outstanding, one PLAIN. */
static int world(void **state)
{
	(void)state;
	machine_start();
	pool = pool_new(2);
	spare_pool = pool_new(1);
	building = vm_new(SEPTUM_SW_PROTECTED, pool, 3, S, 0);
	running = vm_new(SEPTUM_SW_PROTECTED, pool, 2, 0, 0);
	plain = vm_new(SEPTUM_PLAIN, pool, 1, 0, 0);
	assert_true(building && running && plain);
	assert_int_equal(CALL5(SLOT_ADD, building, 0, PAGES, ROOT_SLOT,
			       SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE)
				 .status,
			 OK);
	assert_int_equal(CALL5(SLOT_ADD, running, 0, 16, ROOT_SLOT + 2048,
			       SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE)
				 .status,
			 OK);
	assert_int_equal(
		CALL5(SLOT_ADD, running, 16, 16, ROOT_SLOT + 2064, SEPTUM_SLOT_INPLACE).status, OK);
	assert_int_equal(CALL5(SLOT_ADD, plain, 0, 16, ROOT_SLOT + 3072, SEPTUM_SLOT_SHARED).status,
			 OK);
	assert_int_equal(CALL2(VCPU_CREATE, building, 0).status, OK);
	assert_int_equal(CALL2(VCPU_CREATE, running, 0).status, OK);
	assert_int_equal(CALL2(VCPU_CREATE, plain, 0).status, OK);
	assert_int_equal(CALL4(ATTR_SET, building, 8, 8, ALL).status, OK);
	assert_int_equal(CALL4(ATTR_SET, running, 8, 4, ALL).status, OK);
	assert_int_equal(CALL4(MEM_LOAD, building, 8, 2, ROOT_PAGE).status, OK);
	assert_int_equal(CALL3(PREFAULT, running, 8, 4).status, OK);
	assert_int_equal(CALL1(VM_START, running).status, OK);
	fake_step(running, 0, STEP_IN, 0x60, 0, 0);
	assert_int_equal(CALL2(RUN, running, SEPTUM_ALL).status, OK);
	return 0;
}

static int empty(void **state)
{
	(void)state;
	machine_empty();
	return 0;
}

/* ---- Who may call, and what there is ---- */

static void only_cpl_0_in_64_bit_mode_may_call(void **state)
{
	u64 before = machine_digest();

	(void)state;
	for (unsigned cpl = 1; cpl < 4; cpl++) {
		fake_cpl = cpl;
		assert_int_equal(CALL1(VM_START, building).status, E_DENIED);
	}
	fake_cpl = 0;
	fake_long_mode = false;
	assert_int_equal(CALL1(VM_START, building).status, E_DENIED);
	assert_int_equal(CALL0(VERSION).status, E_DENIED);
	fake_long_mode = true;
	assert_int_equal(machine_digest(), before);
	assert_int_equal(CALL1(VM_START, building).status, OK);
}

static void every_number_is_a_call_or_e_call(void **state)
{
	static const u8 numbers[] = {0,	 1,  2,	 8,  9,	 10, 11, 12, 16, 17, 18, 19,
				     24, 25, 26, 27, 28, 29, 30, 32, 33, 34, 35, 36,
				     37, 38, 39, 40, 41, 42, 48, 49, 50, 51, 52, 53};
	u64 before = machine_digest();
	unsigned next = 0;

	(void)state;
	for (u64 n = 0; n < 300; n++) {
		bool known = next < sizeof(numbers) && numbers[next] == n;

		next += known;
		assert_int_equal(hypercall_name(n) != NULL, known);
		if (!known)
			assert_int_equal(call(n, 0, 0, 0, 0, 0, 0).status, E_CALL);
	}
	assert_int_equal(call(~0ul, 0, 0, 0, 0, 0, 0).status, E_CALL);
	assert_int_equal(call(1ul << 32, 0, 0, 0, 0, 0, 0).status, E_CALL);
	assert_string_equal(hypercall_name(SEPTUM_CALL_SLOT_REMOVE), "SLOT_REMOVE");
	assert_int_equal(machine_digest(), before);
}

static void version_says_what_is_compatible(void **state)
{
	static const struct {
		u64 wanted, status;
	} cases[] = {
		{SEPTUM_ABI_VERSION, OK},
		{SEPTUM_ABI_VERSION + 1, E_VERSION},
		{SEPTUM_ABI_VERSION + 0x10000, E_VERSION},
		{SEPTUM_ABI_VERSION - 0x10000, E_VERSION},
		{0, E_VERSION},
		{~0ul, E_VERSION},
		{1ul << 32 | SEPTUM_ABI_VERSION, E_VERSION},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
		struct answer a = CALL1(VERSION, cases[i].wanted);

		assert_int_equal(a.status, cases[i].status);
		assert_int_equal(a.value, SEPTUM_ABI_VERSION);
	}
}

static void info_tells_the_machine(void **state)
{
	(void)state;
	assert_int_equal(CALL1(INFO, SEPTUM_INFO_VENDOR).value, 7);
	assert_int_equal(CALL1(INFO, SEPTUM_INFO_SHARED_BIT_MAX).value, 47);
	assert_int_equal(CALL1(INFO, SEPTUM_INFO_VM_TYPES).value, 6);
	assert_int_equal(CALL1(INFO, SEPTUM_INFO_CPUS).value, 1);
	assert_int_equal(CALL1(INFO, SEPTUM_INFO_LEVEL_MAX).value, 2);
	assert_int_equal(CALL1(INFO, SEPTUM_INFO_TSC_KHZ).value, 1000000);
	assert_int_equal(CALL1(INFO, SEPTUM_INFO_SEV).value, 0);
	for (u64 what = 7; what < 70; what++) {
		assert_int_equal(CALL1(INFO, what).status, E_ARG);
	}
}

static void console_text_reaches_it_without_control_characters(void **state)
{
	(void)state;
	assert_int_equal(
		call(SEPTUM_CALL_CONSOLE, 12, 0x0a0d091b5b324a41ul, 0x7f009b42, 0, 0, 0).status,
		OK);
	assert_int_equal(fake_console_length, 12);
	assert_memory_equal(fake_console, "AJ2[.\t\r\nB...", 12);
	assert_int_equal(CALL1(CONSOLE, 0).status, E_ARG);
	assert_int_equal(CALL1(CONSOLE, 33).status, E_ARG);
	assert_int_equal(CALL1(CONSOLE, ~0ul).status, E_ARG);
	assert_int_equal(call(SEPTUM_CALL_CONSOLE, 32, 0, 0, 0, 0x4141414141414141ul, 0).status,
			 OK);
	assert_int_equal(fake_console_length, 44);
	assert_memory_equal(fake_console + 36, "AAAAAAAA", 8);
}

static void the_trace_comes_oldest_first_into_a_root_page(void **state)
{
	struct septum_trace_entry entry, last = {0};
	struct answer a;

	(void)state;
	for (u64 i = 0; i < 2000; i++)
		trace(SEPTUM_TRACE_INJECT, 1, 2, i, ~i);
	a = CALL1(TRACE_READ, ROOT_PAGE);
	assert_int_equal(a.status, OK);
	assert_int_equal(a.value, 128);
	for (u64 i = 0; i < 128; i++) {
		assert_int_equal(root_read(hpa(ROOT_PAGE * PAGE_SIZE + i * sizeof(entry)), &entry,
					   sizeof(entry)),
				 OK);
		assert_int_equal(entry.what, SEPTUM_TRACE_INJECT);
		assert_int_equal(entry.a, 2000 - 128 + i);
		assert_int_equal(entry.b, ~entry.a);
		assert_true(entry.tsc >= last.tsc);
		last = entry;
	}
	/* Calls are traced. */
	CALL1(POOL_INFO, 99);
	assert_int_equal(CALL1(TRACE_READ, ROOT_PAGE).value, 128);
	assert_int_equal(
		root_read(hpa(ROOT_PAGE * PAGE_SIZE + 127 * sizeof(entry)), &entry, sizeof(entry)),
		OK);
	assert_int_equal(entry.what, SEPTUM_TRACE_HYPERCALL);
	assert_int_equal(entry.a, SEPTUM_CALL_POOL_INFO);
	assert_int_equal(entry.b, E_NO_POOL);
	assert_int_equal(CALL1(TRACE_READ, ROOT_POOL).status, E_NOT_ROOT);
	assert_int_equal(CALL1(TRACE_READ, 1ul << 40).status, E_RANGE);
	assert_int_equal(CALL1(TRACE_READ, ~0ul).status, E_RANGE);
}

/* ---- Refusals ---- */

struct refusal {
	u64 call, arg[6];
	u64 status, argument;
};

/* Numbers are those of world(). */
static void each_bad_argument_has_its_error_and_changes_nothing(void **state)
{
	const u64 P = pool, B = building, R = running, L = plain, HUGE = ~0ul;
	const u64 SP = SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE, IN = SEPTUM_SLOT_INPLACE;
	const u64 FREE = ROOT_SLOT + 6000; /* root frames that nothing uses */
	const struct refusal refusals[] = {
#define C(name) SEPTUM_CALL_##name
		{C(POOL_DONATE), {0, FREE, 512}, E_NO_POOL, 1},
		{C(POOL_DONATE), {32, FREE, 512}, E_NO_POOL, 1},
		{C(POOL_DONATE), {HUGE, FREE, 512}, E_NO_POOL, 1},
		{C(POOL_DONATE), {P, 0x3001, 512}, E_ALIGN, 2},
		{C(POOL_DONATE), {P, 0x3000, 511}, E_ALIGN, 2},
		{C(POOL_DONATE), {P, 0x3000, 0}, E_RANGE, 3},
		{C(POOL_DONATE), {P, 0x3000, 512 * 65}, E_RANGE, 3},
		{C(POOL_DONATE), {P, HUGE & ~511ul, 512}, E_RANGE, 2},
		{C(POOL_DONATE), {P, (1ul << 40) - 512, 512}, E_RANGE, 3},
		{C(POOL_DONATE), {P, 0x10000000, 512}, E_RANGE, 3},
		{C(POOL_DONATE), {P, ROOT_POOL, 512}, E_NOT_ROOT, 2},
		{C(POOL_DONATE), {P, ROOT_SLOT, 512}, E_NOT_ROOT, 2},
		{C(POOL_DONATE), {P, ROOT_RING, 512}, E_NOT_ROOT, 2},
		{C(POOL_RECLAIM), {77}, E_NO_POOL, 1},
		{C(POOL_DESTROY), {0}, E_NO_POOL, 1},
		{C(POOL_DESTROY), {P}, E_BUSY, 1},
		{C(POOL_DESTROY), {spare_pool}, E_BUSY, 1},
		{C(POOL_INFO), {31}, E_NO_POOL, 1},

		{C(VM_CREATE), {0, 0, P, 1, 0, FREE}, E_ARG, 1},
		{C(VM_CREATE), {7, 0, P, 1, 0, FREE}, E_ARG, 1},
		{C(VM_CREATE), {HUGE, 0, P, 1, 0, FREE}, E_ARG, 1},
		{C(VM_CREATE), {1ul << 32 | 2, 0, P, 1, 0, FREE}, E_ARG, 1},
		{C(VM_CREATE), {SEPTUM_SEV, 0, P, 1, 0, FREE}, E_UNSUPPORTED, 1},
		{C(VM_CREATE), {SEPTUM_TDX, 0, P, 1, 0, FREE}, E_UNSUPPORTED, 1},
		{C(VM_CREATE), {2, 4, P, 1, 0, FREE}, E_ARG, 2},
		{C(VM_CREATE), {2, 1ul << 63, P, 1, 0, FREE}, E_ARG, 2},
		{C(VM_CREATE), {2, 0, 0, 1, 0, FREE}, E_NO_POOL, 3},
		{C(VM_CREATE), {2, 0, HUGE, 1, 0, FREE}, E_NO_POOL, 3},
		{C(VM_CREATE), {2, 0, P, 0, 0, FREE}, E_ARG, 4},
		{C(VM_CREATE), {2, 0, P, 65, 0, FREE}, E_ARG, 4},
		{C(VM_CREATE), {2, 0, P, HUGE, 0, FREE}, E_ARG, 4},
		{C(VM_CREATE), {2, 0, P, 1, 31, FREE}, E_ARG, 5},
		{C(VM_CREATE), {2, 0, P, 1, 48, FREE}, E_ARG, 5},
		{C(VM_CREATE), {2, 0, P, 1, HUGE, FREE}, E_ARG, 5},
		{C(VM_CREATE), {1, 0, P, 1, 40, FREE}, E_ARG, 5},
		{C(VM_CREATE), {2, 0, P, 1, 0, HUGE}, E_RANGE, 6},
		{C(VM_CREATE), {2, 0, P, 1, 0, (1ul << 40) - 1}, E_NOT_ROOT, 6},
		{C(VM_CREATE), {2, 0, P, 1, 0, 0x10000000}, E_NOT_ROOT, 6},
		{C(VM_CREATE), {2, 0, P, 1, 0, ROOT_POOL}, E_NOT_ROOT, 6},
		{C(VM_CREATE), {2, 0, P, 1, 0, ROOT_POOL - 2}, E_NOT_ROOT, 6},
		{C(VM_DESTROY), {0}, E_NO_VM, 1},
		{C(VM_DESTROY), {63}, E_NO_VM, 1},
		{C(VM_DESTROY), {64}, E_NO_VM, 1},
		{C(VM_DESTROY), {HUGE}, E_NO_VM, 1},
		{C(VM_START), {0}, E_NO_VM, 1},
		{C(VM_FIND), {0}, E_NO_VM, 1},
		{C(VM_FIND), {63}, E_NO_VM, 1},
		{C(VM_FIND), {HUGE}, E_NO_VM, 1},
		{C(VM_ADOPT), {0, FREE}, E_NO_VM, 1},
		{C(VM_ADOPT), {63, FREE}, E_NO_VM, 1},
		{C(VM_ADOPT), {R, HUGE}, E_RANGE, 2},
		{C(VM_ADOPT), {R, ROOT_POOL}, E_NOT_ROOT, 2},
		{C(VM_ADOPT), {B, (1ul << 40) - 1}, E_NOT_ROOT, 2},
		{C(VM_START), {R}, E_STATE, 1},
		{C(VM_COUNTER), {9, 0, 0}, E_NO_VM, 1},
		{C(VM_COUNTER), {B, 1, 0}, E_NO_VCPU, 2},
		{C(VM_COUNTER), {B, HUGE - 1, 0}, E_NO_VCPU, 2},
		{C(VM_COUNTER), {B, 0, 15}, E_ARG, 3},
		{C(VM_COUNTER), {B, HUGE, SEPTUM_COUNTER_END}, E_ARG, 3},
		{C(VM_COUNTER), {B, HUGE, HUGE}, E_ARG, 3},

		{C(SLOT_ADD), {0, 0x5000, 1, FREE, SP}, E_NO_VM, 1},
		{C(SLOT_ADD), {B, 0, 1, FREE, SP}, E_EXISTS, 2},
		{C(SLOT_ADD), {B, PAGES - 1, 2, FREE, SP}, E_EXISTS, 2},
		{C(SLOT_ADD), {B, 0x5000, 0, FREE, SP}, E_RANGE, 3},
		{C(SLOT_ADD), {B, 0x5000, HUGE, FREE, SP}, E_RANGE, 3},
		{C(SLOT_ADD), {B, HUGE, 1, FREE, SP}, E_RANGE, 3},
		{C(SLOT_ADD), {B, (1ul << (S - 12)) - 1, 2, FREE, SP}, E_RANGE, 3},
		{C(SLOT_ADD), {B, 0x5000, 1, HUGE, SP}, E_RANGE, 4},
		{C(SLOT_ADD), {B, 0x5000, 1, ROOT_POOL, SP}, E_NOT_ROOT, 4},
		{C(SLOT_ADD), {B, 0x5000, 2, ROOT_POOL - 1, IN}, E_NOT_ROOT, 4},
		{C(SLOT_ADD), {B, 0x5000, 1, ROOT_SLOT, IN}, E_NOT_ROOT, 4},
		{C(SLOT_ADD), {B, 0x5000, 1, FREE, SEPTUM_SLOT_PRIVATE}, E_ARG, 4},
		{C(SLOT_ADD), {B, 0x5000, 1, FREE, 0}, E_ARG, 5},
		{C(SLOT_ADD), {B, 0x5000, 1, FREE, 8}, E_ARG, 5},
		{C(SLOT_ADD), {B, 0x5000, 1, FREE, IN | SEPTUM_SLOT_SHARED}, E_ARG, 5},
		{C(SLOT_ADD), {B, 0x5000, 1, FREE, HUGE}, E_ARG, 5},
		{C(SLOT_ADD), {L, 0x5000, 1, 0, SEPTUM_SLOT_PRIVATE}, E_UNSUPPORTED, 5},
		{C(SLOT_ADD), {L, 0x5000, 1, FREE, IN}, E_UNSUPPORTED, 5},
		{C(SLOT_REMOVE), {64, 0}, E_NO_VM, 1},
		{C(SLOT_REMOVE), {B, 1}, E_NO_SLOT, 2},
		{C(SLOT_REMOVE), {B, 32}, E_NO_SLOT, 2},
		{C(SLOT_REMOVE), {B, HUGE}, E_NO_SLOT, 2},
		{C(SLOT_REMOVE), {R, 0}, E_POPULATED, 2},

		{C(ATTR_SET), {0, 0, 1, RWX}, E_NO_VM, 1},
		{C(ATTR_SET), {B, 0, 0, RWX}, E_RANGE, 2},
		{C(ATTR_SET), {B, 0, HUGE, RWX}, E_RANGE, 2},
		{C(ATTR_SET), {B, 1ul << (S - 12), 1, RWX}, E_RANGE, 2},
		{C(ATTR_SET), {B, HUGE, 2, RWX}, E_RANGE, 2},
		{C(ATTR_SET), {B, 0, 1, SEPTUM_ATTR_WRITE}, E_ARG, 4},
		{C(ATTR_SET), {B, 0, 1, SEPTUM_ATTR_EXEC}, E_ARG, 4},
		{C(ATTR_SET), {B, 0, 1, 0x10}, E_ARG, 4},
		{C(ATTR_SET), {B, 0, 1, HUGE}, E_ARG, 4},
		{C(ATTR_SET), {L, 0, 1, ALL}, E_UNSUPPORTED, 4},
		{C(ATTR_SET), {R, 0, 1, ALL}, E_UNSUPPORTED, 4},
		{C(ATTR_SET), {R, 8, 1, RWX}, E_UNSUPPORTED, 4},
		{C(ATTR_GET), {99, 0}, E_NO_VM, 1},
		{C(ATTR_GET), {B, 1ul << (S - 12)}, E_RANGE, 2},
		{C(ATTR_GET), {B, HUGE}, E_RANGE, 2},

		{C(MEM_LOAD), {0, 0, 1, ROOT_PAGE}, E_NO_VM, 1},
		{C(MEM_LOAD), {R, 0, 1, ROOT_PAGE}, E_STATE, 1},
		{C(MEM_LOAD), {B, 0, 0, ROOT_PAGE}, E_RANGE, 2},
		{C(MEM_LOAD), {B, HUGE, 2, ROOT_PAGE}, E_RANGE, 2},
		{C(MEM_LOAD), {B, 0, 513, ROOT_PAGE}, E_RANGE, 3},
		{C(MEM_LOAD), {B, PAGES, 1, ROOT_PAGE}, E_NO_SLOT, 2},
		{C(MEM_LOAD), {B, 0, 1, ROOT_POOL}, E_NOT_ROOT, 4},
		{C(MEM_LOAD), {B, 0, 1, HUGE}, E_RANGE, 4},
		{C(MEM_DISCARD), {99, 0, 1}, E_NO_VM, 1},
		{C(MEM_DISCARD), {R, 8, 1}, E_POPULATED, 2},
		{C(MEM_DISCARD), {B, 0, 0}, E_RANGE, 2},
		{C(MEM_DISCARD), {B, 0, HUGE}, E_RANGE, 2},
		{C(PREFAULT), {99, 0, 1}, E_NO_VM, 1},
		{C(PREFAULT), {B, 0, 0}, E_RANGE, 2},
		{C(PREFAULT), {B, HUGE, 2}, E_RANGE, 2},
		{C(PREFAULT), {B, PAGES, 1}, E_NO_SLOT, 2},

		{C(VCPU_CREATE), {99, 0}, E_NO_VM, 1},
		{C(VCPU_CREATE), {B, 3}, E_NO_VCPU, 2},
		{C(VCPU_CREATE), {B, HUGE}, E_NO_VCPU, 2},
		{C(VCPU_CREATE), {B, 0}, E_EXISTS, 2},
		{C(VCPU_CREATE), {R, 1}, E_STATE, 1},
		{C(VCPU_SET), {99, 0, 0, 0}, E_NO_VM, 1},
		{C(VCPU_SET), {B, 1, 0, 0}, E_NO_VCPU, 2},
		{C(VCPU_SET), {R, 0, 0, 0}, E_STATE, 1},
		{C(VCPU_SET), {B, 0, 26, 0}, E_ARG, 3},
		{C(VCPU_SET), {B, 0, 31, 0}, E_ARG, 3},
		{C(VCPU_SET), {B, 0, 64, 0}, E_ARG, 3},
		{C(VCPU_SET), {B, 0, HUGE, 0}, E_ARG, 3},
		{C(VCPU_SET), {B, 0, SEPTUM_REG_SEG, 0x10000}, E_ARG, 4},
		{C(VCPU_SET), {B, 0, SEPTUM_REG_SEG + 2, 1ul << 32}, E_ARG, 4},
		{C(VCPU_SET), {B, 0, SEPTUM_REG_SEG + 3, 1ul << 17}, E_ARG, 4},
		{C(VCPU_SET), {B, 0, SEPTUM_REG_GDTR_LIMIT, 0x10000}, E_ARG, 4},
		{C(VCPU_INFO), {99, 0}, E_NO_VM, 1},
		{C(VCPU_INFO), {B, 1}, E_NO_VCPU, 2},
		{C(VCPU_INFO), {B, SEPTUM_ALL}, E_NO_VCPU, 2},
		{C(VCPU_INTERRUPT), {99, 0, 32}, E_NO_VM, 1},
		{C(VCPU_INTERRUPT), {B, 64, 32}, E_NO_VCPU, 2},
		{C(VCPU_INTERRUPT), {B, 0, 0}, E_ARG, 3},
		{C(VCPU_INTERRUPT), {B, 0, 15}, E_ARG, 3},
		{C(VCPU_INTERRUPT), {B, 0, 256}, E_ARG, 3},
		{C(VCPU_INTERRUPT), {B, 0, HUGE}, E_ARG, 3},
		{C(RUN), {99, 0}, E_NO_VM, 1},
		{C(RUN), {B, 0}, E_STATE, 1},
		{C(RUN), {R, 1}, E_NO_VCPU, 2},
		{C(RUN), {R, 2}, E_NO_VCPU, 2},
#undef C
	};
	u64 before = machine_digest();

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(refusals); i++) {
		const struct refusal *r = &refusals[i];
		struct answer a = call(r->call, r->arg[0], r->arg[1], r->arg[2], r->arg[3],
				       r->arg[4], r->arg[5]);

		if (a.status != r->status || a.argument != r->argument || a.value != 0 ||
		    machine_digest() != before)
			fail_msg("row %u, %s: status %lu (want %lu), argument %lu (want %lu), "
				 "value %lx, %s",
				 i, hypercall_name(r->call), a.status, r->status, a.argument,
				 r->argument, a.value,
				 machine_digest() == before ? "nothing changed" : "changed");
	}
	audit_clean();
}

/* Each call with good arguments of which one, then two, are something else. Whatever is refused has
 * changed nothing; whatever is not has left a machine in order. */
static void no_argument_of_any_call_breaks_anything(void **state)
{
	static const u64 nasty[] = {0,
				    1,
				    2,
				    3,
				    7,
				    15,
				    31,
				    63,
				    64,
				    511,
				    512,
				    513,
				    PAGES,
				    4096,
				    ROOT_POOL,
				    ROOT_SLOT,
				    ROOT_RING,
				    1ul << 28,
				    (1ul << 28) - 1,
				    1ul << 36,
				    1ul << 40,
				    1ul << 52,
				    1ul << 63,
				    ~0ul,
				    ~0ul - 1,
				    ~0xffful,
				    0xffffffff};
	static const struct {
		u8 call;
		bool partial; /* its value tells how far it came, also on error */
		u64 arg[6];
	} good[] = {
		{SEPTUM_CALL_POOL_DONATE, false, {1, 0x3000, 512}},
		{SEPTUM_CALL_POOL_RECLAIM, false, {1}},
		{SEPTUM_CALL_POOL_DESTROY, false, {2}},
		{SEPTUM_CALL_VM_CREATE, false, {2, 0, 1, 1, 40, ROOT_PAGE + 64}},
		{SEPTUM_CALL_VM_START, false, {1}},
		{SEPTUM_CALL_VM_COUNTER, false, {1, ~0ul, 25}},
		{SEPTUM_CALL_SLOT_ADD, false, {1, 0x1000, 64, ROOT_SLOT + 4096, 3}},
		{SEPTUM_CALL_SLOT_REMOVE, false, {1, 1}},
		{SEPTUM_CALL_ATTR_SET, false, {1, 0, 300, ALL}},
		{SEPTUM_CALL_ATTR_GET, false, {1, 0}},
		{SEPTUM_CALL_MEM_LOAD, true, {1, 4, 8, ROOT_PAGE}},
		{SEPTUM_CALL_MEM_DISCARD, false, {1, 0, 64}},
		{SEPTUM_CALL_PREFAULT, true, {1, 0, 64}},
		{SEPTUM_CALL_VCPU_CREATE, false, {1, 1}},
		{SEPTUM_CALL_VCPU_SET, false, {1, 0, 20, 5}},
		{SEPTUM_CALL_VCPU_INFO, false, {2, 0}},
		{SEPTUM_CALL_VCPU_INTERRUPT, false, {2, 0, 32}},
		{SEPTUM_CALL_RUN, false, {2, ~0ul}},
		{SEPTUM_CALL_AUDIT, false, {0}},
		{SEPTUM_CALL_VM_DESTROY, false, {3}},
	};
	unsigned refused = 0, done = 0;

	for (unsigned c = 0; c < ARRAY_COUNT(good); c++) {
		empty(state);
		world(state);
		for (unsigned n = 0; n < 6 * ARRAY_COUNT(nasty) + 60; n++) {
			u64 arg[6], before = machine_digest();
			struct answer a;

			memcpy(arg, good[c].arg, sizeof(arg));
			arg[n % 6] = nasty[n / 6 % ARRAY_COUNT(nasty)];
			if (n >= 6 * ARRAY_COUNT(nasty))
				arg[fake_below(6)] = nasty[fake_below(ARRAY_COUNT(nasty))];
			a = call(good[c].call, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
			if (a.status == OK) {
				done++;
				continue;
			}
			refused++;
			assert_true(a.status <= E_FIRMWARE && a.status != E_CALL &&
				    a.status != E_BROKEN);
			if (a.value == 0 && machine_digest() != before)
				fail_msg("%s(%lx, %lx, %lx, %lx, %lx, %lx): status %lu, changed",
					 hypercall_name(good[c].call), arg[0], arg[1], arg[2],
					 arg[3], arg[4], arg[5], a.status);
			assert_true(a.value == 0 || good[c].partial || a.status == E_AGAIN);
		}
		audit_clean();
	}
	assert_true(refused > 1000);
	assert_true(done > 300);
}

static void a_long_operation_says_how_far_it_came(void **state)
{
	struct answer a;

	(void)state;
	fake_stop_after = 1;
	a = CALL4(ATTR_SET, building, 0, 1024, RWX | SEPTUM_ATTR_PRIVATE);
	fake_stop_after = 0;
	assert_int_equal(a.status, E_AGAIN);
	assert_true(a.value > 0 && a.value < 1024);
	a = CALL4(ATTR_SET, building, a.value, 1024 - a.value, RWX | SEPTUM_ATTR_PRIVATE);
	assert_int_equal(a.status, OK);
	assert_int_equal(a.value, 0);
	a = CALL3(PREFAULT, building, PAGES - 1, 2);
	assert_int_equal(a.status, E_NO_SLOT);
	assert_int_equal(a.value, 1);
	a = CALL4(MEM_LOAD, building, PAGES - 3, 5, ROOT_PAGE);
	assert_int_equal(a.status, E_NO_SLOT);
	assert_int_equal(a.value, 3);
	audit_clean();
}

static void the_audit_can_be_asked_for(void **state)
{
	struct answer a = CALL0(AUDIT);

	(void)state;
	assert_int_equal(a.status, OK);
	assert_int_equal(a.value, 0);
	/* A count that is wrong is an invariant that is broken. */
	vm_by_id(building, false)->memory.attr.private_pages++;
	a = CALL0(AUDIT);
	assert_int_equal(a.status, E_BROKEN);
	assert_int_equal(a.value, AUDIT_ATTR_COUNT);
	vm_by_id(building, false)->memory.attr.private_pages--;
	assert_int_equal(CALL0(AUDIT).status, OK);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, world, empty)
	const struct CMUnitTest tests[] = {
		T(only_cpl_0_in_64_bit_mode_may_call),
		T(every_number_is_a_call_or_e_call),
		T(version_says_what_is_compatible),
		T(info_tells_the_machine),
		T(console_text_reaches_it_without_control_characters),
		T(the_trace_comes_oldest_first_into_a_root_page),
		T(each_bad_argument_has_its_error_and_changes_nothing),
		T(no_argument_of_any_call_breaks_anything),
		T(a_long_operation_says_how_far_it_came),
		T(the_audit_can_be_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
