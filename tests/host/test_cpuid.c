/* sources: kernel/lapic.c */
/* SPDX-License-Identifier: BSD-2-Clause */
/* What guests and the root are told of a processor that the test makes up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/io.h"

static struct cpuid made_up(uint32_t leaf, uint32_t subleaf);
#define cpuid(leaf, subleaf) made_up(leaf, subleaf)
#include "kernel/cpuid.c"
#undef cpuid

u64 tsc_frequency(void)
{
	return 3000000000;
}

static u32 everything; /* what each register of each leaf of the processor says */
static u64 guest_xcr0, loaded_xcr0;
static bool spec_ctrl;
static struct vcpu_state state_now;
static struct vm vm;
static struct vcpu v;

static struct cpuid made_up(u32 leaf, u32 subleaf)
{
	struct cpuid all = {everything, everything, everything, everything};

	if (leaf == 0)
		all.eax = 0x1f;
	if (leaf == 0x80000000)
		all.eax = 0x80000021;
	if (leaf == 0x80000008)
		all.eax = 0x3030;
	if (leaf == 0xd && subleaf >= 2)
		all = (struct cpuid){.eax = 64, .ebx = 576 + 64 * (subleaf - 2)};
	return all;
}

u64 world_xcr0_guest(void)
{
	return guest_xcr0;
}

u64 world_xcr0_loaded(void)
{
	return loaded_xcr0;
}

bool world_msr(u32 index)
{
	return index == 0x48 && spec_ctrl;
}

static void state_get(const struct vcpu *of, struct vcpu_state *to)
{
	(void)of;
	*to = state_now;
}

static const struct vendor_ops ops = {.state_get = state_get};
const struct vendor_ops *vendor = &ops;

static int start(void **state)
{
	(void)state;
	memset(&table, 0, sizeof(table));
	memset(&vm, 0, sizeof(vm));
	memset(&v, 0, sizeof(v));
	memset(&state_now, 0, sizeof(state_now));
	v.vm = &vm;
	vm.type = SEPTUM_SW_PROTECTED;
	vm.memory.gpa_bits = 40;
	everything = ~0u;
	guest_xcr0 = 0x2e7;
	loaded_xcr0 = 1;
	spec_ctrl = true;
	cpuid_setup();
	return 0;
}

enum { EAX, EBX, ECX, EDX };

static const u32 *ask(u32 leaf, u32 subleaf)
{
	static u32 out[4];

	v.gpr[RAX] = 0xffffffff00000000 | leaf;
	v.gpr[RCX] = 0xffffffff00000000 | subleaf;
	cpuid_answer(&v);
	out[0] = (u32)v.gpr[RAX];
	out[1] = (u32)v.gpr[RBX];
	out[2] = (u32)v.gpr[RCX];
	out[3] = (u32)v.gpr[RDX];
	assert_int_equal((v.gpr[RAX] | v.gpr[RBX] | v.gpr[RCX] | v.gpr[RDX]) >> 32, 0);
	return out;
}

static bool has(u32 leaf, unsigned reg, unsigned bit)
{
	return (ask(leaf, 0)[reg] >> bit & 1) != 0;
}

struct feature {
	u32 leaf;
	u8 reg, bit;
};

static void a_local_apic_shows(void **state)
{
	const u32 *out;

	(void)state;
	vm.vcpu_limit = 5;
	v.has_apic = true;
	lapic_init(&v.lapic, 3, false);
	assert_int_equal(ask(0, 0)[EAX], 0x16);
	assert_true(has(1, EDX, 9) && has(1, ECX, 21) && has(1, ECX, 24) && has(1, EDX, 28));
	assert_int_equal(ask(1, 0)[EBX] >> 16 & 0xff, 5);
	assert_int_equal(ask(6, 0)[EAX], 4);
	out = ask(0xb, 0);
	assert_true(out[EAX] == 0 && out[EBX] == 1 && out[ECX] == 0x100 && out[EDX] == 3);
	out = ask(0xb, 1);
	assert_true(out[EAX] == 3 && out[EBX] == 5 && out[ECX] == 0x201 && out[EDX] == 3);
	out = ask(0xb, 2);
	assert_true(out[EAX] == 0 && out[EBX] == 0 && out[ECX] == 2 && out[EDX] == 3);
	out = ask(0x15, 0);
	assert_int_equal((u64)out[ECX] * out[EBX] / out[EAX], 3000000000);
	assert_int_equal(ask(0x16, 0)[EAX], 3000);
	assert_int_equal(ask(0x40000000, 0)[EAX], 0x40000010);
	out = ask(0x40000010, 0);
	assert_true(out[EAX] == 3000000 && out[EBX] == 375000);
	/* Off by IA32_APIC_BASE: SDM Vol. 3, 11.4.3. */
	assert_true(lapic_base_set(&v.lapic, LAPIC_ADDRESS));
	assert_false(has(1, EDX, 9));
	vm.vcpu_limit = 1;
	assert_false(has(1, EDX, 28));
}

/* Of a processor that has everything. */
static void guests_are_not_told_of_what_is_not_virtualized(void **state)
{
	static const struct feature hidden[] = {
		{1, ECX, 2},	       /* DTES64 */
		{1, ECX, 3},	       /* MONITOR */
		{1, ECX, 5},	       /* VMX */
		{1, ECX, 6},	       /* SMX */
		{1, ECX, 15},	       /* PDCM */
		{1, ECX, 17},	       /* PCID */
		{1, ECX, 21},	       /* x2APIC */
		{1, ECX, 24},	       /* TSC deadline */
		{1, ECX, 27},	       /* OSXSAVE, CR4 is 0 */
		{1, EDX, 9},	       /* APIC */
		{1, EDX, 12},	       /* MTRR */
		{1, EDX, 21},	       /* debug store */
		{1, EDX, 28},	       /* HTT */
		{7, EBX, 1},	       /* TSC_ADJUST */
		{7, EBX, 2},	       /* SGX */
		{7, EBX, 10},	       /* INVPCID */
		{7, EBX, 25},	       /* PT */
		{7, ECX, 3},	       /* PKU */
		{7, ECX, 5},	       /* WAITPKG */
		{7, ECX, 7},	       /* CET-SS */
		{7, ECX, 13},	       /* TME */
		{7, ECX, 16},	       /* LA57 */
		{7, ECX, 31},	       /* PKS */
		{7, EDX, 5},	       /* UINTR */
		{7, EDX, 20},	       /* CET-IBT */
		{7, EDX, 24},	       /* AMX */
		{7, EDX, 29},	       /* ARCH_CAPABILITIES */
		{0x80000001, ECX, 2},  /* SVM */
		{0x80000001, ECX, 12}, /* SKINIT */
		{0x80000001, ECX, 29}, /* MWAITX */
		{0x80000001, EDX, 9},  /* APIC */
		{0x80000001, EDX, 12}, /* MTRR */
		{0x80000008, EBX, 3},  /* INVLPGB */
		{0x80000008, EBX, 8},  /* MCOMMIT */
	};
	static const u32 empty[] = {3,		5,	    6,		8,	    0xa,
				    0xb,	0xf,	    0x10,	0x12,	    0x14,
				    0x18,	0x1f,	    0x80000009, 0x8000000a, 0x8000001f,
				    0x80000021, 0x40000002, 0x40000102, 0xc0000000};

	(void)state;
	for (unsigned n = 0; n < ARRAY_COUNT(hidden); n++) {
		if (has(hidden[n].leaf, hidden[n].reg, hidden[n].bit))
			print_error("%x register %u bit %u\n", hidden[n].leaf, hidden[n].reg,
				    hidden[n].bit);
		assert_false(has(hidden[n].leaf, hidden[n].reg, hidden[n].bit));
	}
	for (unsigned n = 0; n < ARRAY_COUNT(empty); n++) {
		const u32 *out = ask(empty[n], 0);

		assert_int_equal(out[0] | out[1] | out[2] | out[3], 0);
	}
}

static void guests_are_told_of_what_systems_need(void **state)
{
	static const struct feature shown[] = {
		{1, EDX, 0},	       {1, EDX, 3},	      {1, EDX, 5},
		{1, EDX, 6},	       {1, EDX, 7},	      {1, EDX, 8},
		{1, EDX, 14},	       {1, EDX, 15},	      {1, EDX, 16},
		{1, EDX, 24},	       {1, EDX, 25},	      {1, EDX, 26},
		{1, ECX, 13},	       {1, ECX, 26},	      {1, ECX, 28},
		{1, ECX, 31},	       {7, EBX, 7},	      {7, EBX, 20},
		{7, EBX, 16},	       {7, EDX, 26},	      {7, EBX, 5},
		{7, EBX, 0},	       {0x80000001, EDX, 11}, {0x80000001, EDX, 20},
		{0x80000001, EDX, 29}, {0x80000001, EDX, 26}, {0x80000007, EDX, 8},
	};

	(void)state;
	for (unsigned n = 0; n < ARRAY_COUNT(shown); n++)
		assert_true(has(shown[n].leaf, shown[n].reg, shown[n].bit));
	assert_int_equal(ask(0, 0)[0], 0x16);
	assert_int_equal(ask(0x80000000, 0)[0], 0x80000008);
}

static void nothing_is_invented(void **state)
{
	(void)state;
	everything = 0;
	memset(&table, 0, sizeof(table));
	cpuid_setup();
	assert_int_equal(ask(1, 0)[ECX], BIT(31));
	assert_int_equal(ask(1, 0)[EDX], 0);
	assert_int_equal(ask(7, 0)[EBX] | ask(7, 0)[ECX] | ask(7, 0)[EDX], 0);
	assert_int_equal(ask(0x80000001, 0)[EDX] | ask(0x80000001, 0)[ECX], 0);
	assert_int_equal(ask(0xd, 0)[EAX], 0);
}

static void features_without_their_state_are_hidden(void **state)
{
	(void)state;
	guest_xcr0 = 3; /* no AVX */
	spec_ctrl = false;
	everything = ~(u32)BIT(20); /* nor AMD's virtualized SPEC_CTRL, of which this is the bit */
	memset(&table, 0, sizeof(table));
	cpuid_setup();
	assert_false(has(1, ECX, 28) || has(1, ECX, 12) || has(1, ECX, 29));
	assert_false(has(7, EBX, 5) || has(7, EBX, 16) || has(7, ECX, 9) || has(7, EDX, 23));
	assert_false(has(0x80000001, ECX, 11) || has(7, EDX, 26) || has(0x80000008, EBX, 14));
	assert_true(has(7, EBX, 7) && has(1, ECX, 26));
}

static void the_extended_state_is_what_a_guest_may_use(void **state)
{
	const u32 *out;

	(void)state;
	out = ask(0xd, 0);
	assert_int_equal(out[EAX], 0xe7); /* not PKRU */
	assert_int_equal(out[EDX], 0);
	assert_int_equal(out[EBX], 576); /* x87 is what is loaded */
	assert_int_equal(out[ECX], 576 + 64 * 6);
	loaded_xcr0 = 7;
	assert_int_equal(ask(0xd, 0)[EBX], 640);
	assert_int_equal(ask(0xd, 1)[EAX], 7); /* no XSAVES */
	assert_int_equal(ask(0xd, 1)[EBX], 640);
	assert_int_equal(ask(0xd, 2)[EBX], 576);
	assert_int_equal(ask(0xd, 9)[EAX], 0);
	assert_int_equal(ask(0xd, 17)[EAX], 0);
	assert_int_equal(ask(0xd, ~0u)[EAX], 0);
}

static void what_depends_on_the_vcpu(void **state)
{
	(void)state;
	v.index = 5;
	assert_int_equal(ask(1, 0)[EBX] >> 24, 5);
	state_now.cr4 = BIT(18);
	assert_true(has(1, ECX, 27));
	assert_int_equal(ask(0x80000008, 0)[EAX], 48 << 8 | 40);
	vm.memory.shared_bit = 46;
	assert_int_equal(ask(0x80000008, 0)[EAX], 48 << 8 | 47);
	assert_int_equal(ask(7, 1)[EAX] | ask(7, ~0u)[EBX], 0);
	assert_int_equal(ask(4, 3)[EAX], 0x3ff);
	assert_int_equal(ask(4, 4)[EAX], 0);
}

static void the_interface_names_itself(void **state)
{
	(void)state;
	vm.memory.shared_bit = 46;
	assert_int_equal(ask(0x40000000, 0)[EAX], 0x40000001);
	assert_memory_equal(&ask(0x40000000, 0)[1], "KVMKVMKVM\0\0\0", 12);
	assert_int_equal(ask(0x40000001, 0)[EAX], BIT(16));
	assert_memory_equal(&ask(0x40000100, 0)[1], "SeptumSeptum", 12);
	assert_int_equal(ask(0x40000101, 0)[EAX], SEPTUM_SW_PROTECTED);
	assert_int_equal(ask(0x40000101, 0)[EBX], 46);
	assert_int_equal(ask(0x40000101, 0)[ECX], 0);
	assert_int_equal(ask(0x40000101, 0)[EDX], SEPTUM_ABI_VERSION);
	vm.memory.slots[3] = (struct slot){.count = 1, .flags = SEPTUM_SLOT_INPLACE};
	vm.memory.discard = true;
	assert_int_equal(ask(0x40000101, 0)[ECX], SEPTUM_GUEST_DISCARD | SEPTUM_GUEST_PRESERVE);
	vm.memory.plain = true;
	assert_int_equal(ask(0x40000001, 0)[EAX], 0);
}

static void the_root_sees_the_processor_without_virtualization(void **state)
{
	static const struct feature hidden[] = {
		{1, ECX, 5},  {1, ECX, 27},	    {7, EBX, 25},
		{7, ECX, 16}, {0x80000001, ECX, 2}, {7, ECX, 4},
	};

	(void)state;
	v.root = true;
	for (unsigned n = 0; n < ARRAY_COUNT(hidden); n++)
		assert_false(has(hidden[n].leaf, hidden[n].reg, hidden[n].bit));
	state_now.cr4 = BIT(18) | BIT(22);
	assert_true(has(1, ECX, 27) && has(7, ECX, 4) && has(1, EDX, 9) && has(1, ECX, 31));
	assert_int_equal(ask(0x8000000a, 0)[EDX] | ask(0x8000001f, 0)[EAX], 0);
	assert_memory_equal(&ask(0x40000000, 0)[1], "SeptumSeptum", 12);
	assert_int_equal(ask(0x40000001, 0)[EDX], SEPTUM_ABI_VERSION);
	assert_int_equal(ask(0x1f, 0)[EAX], ~0u);
}

#define T(name) cmocka_unit_test_setup(name, start)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(guests_are_not_told_of_what_is_not_virtualized),
		T(guests_are_told_of_what_systems_need),
		T(nothing_is_invented),
		T(features_without_their_state_are_hidden),
		T(the_extended_state_is_what_a_guest_may_use),
		T(what_depends_on_the_vcpu),
		T(a_local_apic_shows),
		T(the_interface_names_itself),
		T(the_root_sees_the_processor_without_virtualization),
	};

	return cmocka_run_group_tests_name("cpuid", tests, NULL, NULL);
}
