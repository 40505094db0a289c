/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest sees what the processor has and the table below allows, of the extended states that
 * world_xcr0_guest() allows. The root partition sees the processor, without what Septum keeps.
 *
 * SDM Vol. 2, CPUID; AMD APM Vol. 3, appendix E.
 */
#include "kernel/cpuid.h"
#include "arch/x86/io.h"
#include "arch/x86/tsc.h"
#include "kernel/exits.h"
#include "kernel/string.h"
#include "kernel/vendor.h"
#include "kernel/vm.h"

#define CR4_OSXSAVE	  BIT(18)
#define CR4_PKE		  BIT(22)
#define MSR_SPEC_CTRL	  0x48
#define XCR0_AVX	  BIT(2)
#define XCR0_AVX512	  (BIT(5) | BIT(6) | BIT(7))
#define XCR0_PKRU	  BIT(9)
#define SUBLEAF_ANY	  ~0u
#define BASIC_MAX	  0x16u
#define EXTENDED_MAX	  0x80000008u
#define SEALED_LEAF	  0x8000001fu
#define XSAVE_LEGACY_SIZE 576u

#define B(n) (1u << (n))
#define ALL  0xffffffffu

#define LEAF1_ECX_HYPERVISOR B(31)
#define LEAF1_ECX_OSXSAVE    B(27)
#define LEAF1_ECX_XSAVE	     B(26)

/* Features by the extended state that they need. */
#define LEAF1_ECX_AVX	  (B(12) | B(28) | B(29)) /* FMA AVX F16C */
#define LEAF7_EBX_AVX	  B(5)			  /* AVX2 */
#define LEAF7_ECX_AVX	  (B(9) | B(10))	  /* VAES VPCLMULQDQ */
#define EXTENDED1_ECX_AVX (B(11) | B(16))	  /* XOP FMA4 */
#define LEAF7_EBX_AVX512                                                                           \
	(B(16) | B(17) | B(21) | B(26) | B(27) | B(28) | B(30) |                                   \
	 B(31)) /* F DQ IFMA PF ER CD BW VL */
#define LEAF7_ECX_AVX512                                                                           \
	(B(1) | B(6) | B(11) | B(12) | B(14))	      /* VBMI VBMI2 VNNI BITALG VPOPCNTDQ */
#define LEAF7_EDX_AVX512 (B(2) | B(3) | B(8) | B(23)) /* 4VNNIW 4FMAPS VP2INTERSECT FP16 */

/* Features that are MSR_SPEC_CTRL: offered where it is switched. */
#define LEAF7_EDX_SPEC	   (B(26) | B(27) | B(31)) /* IBRS STIBP SSBD */
#define EXTENDED8_EBX_SPEC (B(14) | B(15) | B(24))

#define LEAF1_ECX                                                                                  \
	(B(0) | B(1) | B(9) | B(13) | B(19) | B(20) | B(22) | B(23) | B(25) | B(30) |              \
	 LEAF1_ECX_XSAVE |                                                                         \
	 LEAF1_ECX_AVX) /* SSE3 PCLMUL SSSE3 CX16 SSE4 MOVBE POPCNT AES RDRAND */
/* FPU VME DE PSE TSC MSR PAE MCE CX8; PGE MCA CMOV PAT PSE36; MMX FXSR: AMD has them twice */
#define COMMON_EDX (0x1ffu | 0x3e000u | B(23) | B(24))
#define LEAF1_EDX  (COMMON_EDX | B(11) | B(19) | B(25) | B(26)) /* SEP CLFLUSH SSE SSE2 */
#define LEAF7_EBX                                                                                  \
	(B(0) | B(3) | B(7) | B(8) | B(9) | B(18) | B(19) | B(20) | B(23) | B(24) | B(29) |        \
	 LEAF7_EBX_AVX | LEAF7_EBX_AVX512) /* FSGSBASE BMI1 SMEP BMI2 ERMS RDSEED ADX SMAP         \
					    * CLFLUSHOPT CLWB SHA */
#define LEAF7_ECX (B(2) | B(8) | B(22) | LEAF7_ECX_AVX | LEAF7_ECX_AVX512) /* UMIP GFNI RDPID */
#define LEAF7_EDX (B(4) | B(10) | LEAF7_EDX_SPEC | LEAF7_EDX_AVX512)	   /* FSRM MD_CLEAR */
#define EXTENDED1_ECX                                                                              \
	(B(0) | B(5) | B(6) | B(7) | B(8) |                                                        \
	 EXTENDED1_ECX_AVX) /* LAHF ABM SSE4A MISALIGN PREFETCHW */
#define EXTENDED1_EDX                                                                              \
	(COMMON_EDX | B(11) | B(20) | B(22) | B(26) | B(27) | B(29)) /* SYSCALL NX MMXEXT 1G       \
								      * RDTSCP LM */
#define EXTENDED8_EBX (B(0) | B(2) | B(12) | EXTENDED8_EBX_SPEC)     /* CLZERO XSAVEERPTR IBPB */

/* What of each leaf a guest may see of the processor's; leaves that are not here are zero. Kept
 * from guests, with the reason: VMX, SVM, SMX, SGX, TME, SEV, PT, debug store, performance
 * counters: not virtualized MONITOR, APIC, x2APIC, TSC deadline, MTRR, TSC_ADJUST, HTT and
 * topology: there is no such device PCID, INVPCID, LA57, PKU, PKS, CET, XSAVES, AMX, UINTR: nobody
 * would switch or walk them */
static const struct row {
	u32 leaf, subleaf;
	u32 mask[4]; /* EAX EBX ECX EDX */
} rows[] = {
	{0x0, SUBLEAF_ANY, {0, ALL, ALL, ALL}},
	{0x1, SUBLEAF_ANY, {ALL, 0x0000ff00, LEAF1_ECX, LEAF1_EDX}},
	{0x2, SUBLEAF_ANY, {ALL, ALL, ALL, ALL}},
	{0x4, 0, {0x3ff, ALL, ALL, ALL}},
	{0x4, 1, {0x3ff, ALL, ALL, ALL}},
	{0x4, 2, {0x3ff, ALL, ALL, ALL}},
	{0x4, 3, {0x3ff, ALL, ALL, ALL}},
	{0x7, 0, {0, LEAF7_EBX, LEAF7_ECX, LEAF7_EDX}},
	{0xd, 1, {B(0) | B(1) | B(2), 0, 0, 0}}, /* XSAVEOPT XSAVEC XGETBV1 */
	{0x15, SUBLEAF_ANY, {ALL, ALL, ALL, 0}},
	{0x16, SUBLEAF_ANY, {ALL, ALL, ALL, 0}},
	{0x80000000, SUBLEAF_ANY, {0, ALL, ALL, ALL}},
	{0x80000001, SUBLEAF_ANY, {ALL, 0, EXTENDED1_ECX, EXTENDED1_EDX}},
	{0x80000002, SUBLEAF_ANY, {ALL, ALL, ALL, ALL}},
	{0x80000003, SUBLEAF_ANY, {ALL, ALL, ALL, ALL}},
	{0x80000004, SUBLEAF_ANY, {ALL, ALL, ALL, ALL}},
	{0x80000005, SUBLEAF_ANY, {ALL, ALL, ALL, ALL}},
	{0x80000006, SUBLEAF_ANY, {ALL, ALL, ALL, ALL}},
	{0x80000007, SUBLEAF_ANY, {0, 0, 0, B(8)}}, /* invariant TSC */
	{0x80000008, SUBLEAF_ANY, {0, EXTENDED8_EBX, 0, 0}},
};

#define PLACES	(BASIC_MAX + 1 + (EXTENDED_MAX & 0xff) + 1)
#define NOWHERE 0xffu

static struct {
	u32 value[ARRAY_COUNT(rows)][4]; /* what guests see, but for what depends on the vCPU */
	u8 first[PLACES];		 /* by leaf: its first row, */
	u8 count[PLACES];		 /* .. and how many subleaves it has */
	const u32 *plain[PLACES]; /* by leaf: the whole answer, if no vCPU or subleaf matters */
	u32 basic_max, extended_max;
	unsigned physical_bits;
	/* XSAVE: where each component lies (standard form), SDM Vol. 1, 13.4.3 */
	u32 xsave_end[64];
} table;

static unsigned place_of(u32 leaf)
{
	if (leaf <= BASIC_MAX)
		return leaf;
	if (leaf - 0x80000000 <= EXTENDED_MAX - 0x80000000)
		return BASIC_MAX + 1 + (leaf - 0x80000000);
	return NOWHERE;
}

static bool host_has(u32 leaf)
{
	return leaf <= (leaf < 0x80000000 ? table.basic_max : table.extended_max);
}

/* Features whose registers a guest could not use. */
static void without_state(u32 leaf, u32 *value)
{
	u64 xcr0 = world_xcr0_guest();
	bool avx = (xcr0 & XCR0_AVX) != 0;
	bool avx512 = (xcr0 & XCR0_AVX512) == XCR0_AVX512;
	/* AMD's virtualized SPEC_CTRL is switched by the processor (APM Vol. 2, 15.37). */
	bool spec = world_msr(MSR_SPEC_CTRL) ||
		    (host_has(0x8000000a) && (cpuid(0x8000000a, 0).edx & B(20)) != 0);

	switch (leaf) {
	case 0x1:
		if (!avx)
			value[2] &= ~LEAF1_ECX_AVX;
		break;
	case 0x7:
		if (!avx) {
			value[1] &= ~LEAF7_EBX_AVX;
			value[2] &= ~LEAF7_ECX_AVX;
		}
		if (!avx512) {
			value[1] &= ~LEAF7_EBX_AVX512;
			value[2] &= ~LEAF7_ECX_AVX512;
			value[3] &= ~LEAF7_EDX_AVX512;
		}
		if (!spec)
			value[3] &= ~LEAF7_EDX_SPEC;
		break;
	case 0x80000001:
		if (!avx)
			value[2] &= ~EXTENDED1_ECX_AVX;
		break;
	case 0x80000008:
		if (!spec)
			value[1] &= ~EXTENDED8_EBX_SPEC;
		break;
	default:
		break;
	}
}

static void widths_find(void)
{
	table.physical_bits = 36;
	if (host_has(0x80000008))
		table.physical_bits = MIN(cpuid(0x80000008, 0).eax & 0xff, 52u);
	for (unsigned i = 2; i < 63 && host_has(0xd); i++) {
		struct cpuid component = cpuid(0xd, i);

		if ((world_xcr0_guest() & BIT(i)) != 0)
			table.xsave_end[i] = component.ebx + component.eax;
	}
}

void cpuid_setup(void)
{
	table.basic_max = cpuid(0, 0).eax;
	table.extended_max = cpuid(0x80000000, 0).eax;
	memset(table.first, NOWHERE, sizeof(table.first));
	widths_find();
	for (unsigned n = 0; n < ARRAY_COUNT(rows); n++) {
		const struct row *row = &rows[n];
		unsigned place = place_of(row->leaf);
		u32 *value = table.value[n];
		struct cpuid host = {0};

		if (host_has(row->leaf))
			host = cpuid(row->leaf, row->subleaf == SUBLEAF_ANY ? 0 : row->subleaf);
		value[0] = host.eax & row->mask[0];
		value[1] = host.ebx & row->mask[1];
		value[2] = host.ecx & row->mask[2];
		value[3] = host.edx & row->mask[3];
		without_state(row->leaf, value);
		if (row->leaf == 0x0)
			value[0] = MIN(table.basic_max, BASIC_MAX);
		if (row->leaf == 0x1)
			value[2] |= LEAF1_ECX_HYPERVISOR;
		if (row->leaf == 0x80000000)
			value[0] = MIN(table.extended_max, EXTENDED_MAX);
		if (table.first[place] == NOWHERE)
			table.first[place] = (u8)n;
		table.count[place]++;
		if (row->subleaf == SUBLEAF_ANY && row->leaf != 0x1 && row->leaf != 0x80000008)
			table.plain[place] = value;
	}
}

/* Protection keys are not offered, so there is nothing to save for them. */
u64 cpuid_guest_xcr0(void)
{
	return world_xcr0_guest() & ~XCR0_PKRU;
}

bool cpuid_guest_has(u32 leaf, unsigned reg, unsigned bit)
{
	unsigned place = place_of(leaf);

	return place != NOWHERE && table.first[place] != NOWHERE &&
	       (table.value[table.first[place]][reg] >> bit & 1) != 0;
}

unsigned cpuid_physical_bits(const struct vcpu *v)
{
	const struct memory *mem = &v->vm->memory;

	if (v->root)
		return table.physical_bits;
	return mem->shared_bit != 0 ? mem->shared_bit + 1u : mem->gpa_bits;
}

static u64 cr4_of(const struct vcpu *v)
{
	struct vcpu_state state;

	vendor->state_get(v, &state);
	return state.cr4;
}

static u32 xsave_size(u64 xcr0)
{
	u32 size = XSAVE_LEGACY_SIZE;

	for (unsigned i = 2; i < 63; i++) {
		if ((xcr0 & BIT(i)) != 0)
			size = MAX(size, table.xsave_end[i]);
	}
	return size;
}

static void xsave_leaf(const struct vcpu *v, u32 subleaf, u32 out[4])
{
	u64 all = cpuid_guest_xcr0();
	u64 loaded = v->sealed ? v->sealed_xcr0 : world_xcr0_loaded();

	if (!cpuid_guest_has(0x1, 2, 26))
		return;
	if (subleaf == 0) {
		out[0] = (u32)all;
		out[1] = xsave_size(loaded);
		out[2] = xsave_size(all);
		out[3] = (u32)(all >> 32);
	} else if (subleaf == 1) {
		memcpy(out, table.value[table.first[0xd]], 4 * sizeof(*out));
		/* Size of the compacted form; no component that guests have needs alignment. */
		out[1] = XSAVE_LEGACY_SIZE;
		for (unsigned i = 2; i < 63; i++) {
			if ((loaded & BIT(i)) != 0)
				out[1] += cpuid(0xd, i).eax;
		}
	} else if (subleaf < 63 && (all & BIT(subleaf)) != 0) {
		struct cpuid component = cpuid(0xd, subleaf);

		out[0] = component.eax;
		out[1] = component.ebx;
	}
}

static void text(u32 *out, const char *name)
{
	memcpy(out, name, 12);
}

/* <septum/abi.h>, part 6. */
/* KVM_FEATURE_*: what a guest's kernel must find to tell of its conversions. SNP has another way.
 */
static u32 kvm_features(const struct vm *vm)
{
	const u32 map_gpa_range = B(16), migration_control = B(17);

	switch (vm->type) {
	case SEPTUM_SEV:
	case SEPTUM_SEV_ES:
		return map_gpa_range | migration_control;
	case SEPTUM_SNP:
		return 0;
	default:
		return vm->memory.plain ? 0 : map_gpa_range;
	}
}

static void hypervisor_leaf(const struct vcpu *v, u32 leaf, u32 out[4])
{
	const struct vm *vm = v->vm;
	bool root = v->root;

	switch (leaf) {
	case 0x40000000:
		out[0] = 0x40000001;
		text(&out[1], root ? "SeptumSeptum" : "KVMKVMKVM\0\0\0");
		return;
	case 0x40000001:
		if (!root) {
			out[0] = kvm_features(vm);
			return;
		}
		break;
	case 0x40000100:
		if (!root) {
			out[0] = 0x40000101;
			text(&out[1], "SeptumSeptum");
		}
		return;
	case 0x40000101:
		if (root)
			return;
		break;
	default:
		return;
	}
	out[3] = SEPTUM_ABI_VERSION;
	if (root)
		return;
	out[0] = vm->type;
	out[1] = vm->memory.shared_bit;
	if (vm->memory.discard)
		out[2] |= SEPTUM_GUEST_DISCARD;
	for (unsigned n = 0; n < SEPTUM_MAX_SLOTS; n++) {
		const struct slot *slot = &vm->memory.slots[n];

		if (slot->count != 0 && (slot->flags & SEPTUM_SLOT_INPLACE) != 0)
			out[2] |= SEPTUM_GUEST_PRESERVE;
	}
}

static void guest_answer(const struct vcpu *v, u32 leaf, u32 subleaf, u32 out[4])
{
	unsigned place = place_of(leaf);

	if (leaf >> 16 == 0x4000) {
		hypervisor_leaf(v, leaf, out);
		return;
	}
	if (leaf == 0xd) {
		xsave_leaf(v, subleaf, out);
		return;
	}
	if (leaf == SEALED_LEAF && v->vm->sealed != NULL) {
		vendor->sealed->leaf(v->vm, out);
		return;
	}
	if (place == NOWHERE || table.first[place] == NOWHERE)
		return;
	if (rows[table.first[place]].subleaf == SUBLEAF_ANY)
		subleaf = 0;
	if (subleaf >= table.count[place])
		return;
	memcpy(out, table.value[table.first[place] + subleaf], 4 * sizeof(*out));
	if (leaf == 0x1) {
		out[1] |= (u32)v->index << 24;
		if ((out[2] & LEAF1_ECX_XSAVE) != 0 && (cr4_of(v) & CR4_OSXSAVE) != 0)
			out[2] |= LEAF1_ECX_OSXSAVE;
	}
	if (leaf == 0x80000000 && v->vm->sealed != NULL)
		out[0] = SEALED_LEAF;
	if (leaf == 0x80000008)
		out[0] = 48u << 8 | cpuid_physical_bits(v);
}

#define LEAF1_ECX_X2APIC   B(21)
#define LEAF1_ECX_DEADLINE B(24)
#define LEAF1_EDX_APIC	   B(9)
#define LEAF1_EDX_HTT	   B(28)
#define LEAF6_EAX_ARAT	   B(2)
#define LEVEL_THREAD	   1u /* leaf 0xb, ECX[15:8] */
#define LEVEL_CORE	   2u

/* Levels of the topology: one thread a core, and the cores of the VM. */
static void topology_leaf(const struct vcpu *v, u32 subleaf, u32 out[4])
{
	u32 cores = v->vm->vcpu_limit;

	out[2] = subleaf & 0xff;
	out[3] = v->lapic.id;
	if (subleaf == 0) {
		out[1] = 1;
		out[2] |= LEVEL_THREAD << 8;
	} else if (subleaf == 1) {
		out[0] = cores > 1 ? 32 - (u32)__builtin_clz(cores - 1) : 0;
		out[1] = cores;
		out[2] |= LEVEL_CORE << 8;
	}
}

/* What a local APIC adds: <septum/abi.h>, part 7. */
static void apic_leaf(const struct vcpu *v, u32 leaf, u32 subleaf, u32 out[4])
{
	u64 hz = tsc_frequency();
	u32 mhz = (u32)(hz / 1000000);

	switch (leaf) {
	case 0x0:
		out[0] = BASIC_MAX;
		return;
	case 0x1:
		out[2] |= LEAF1_ECX_X2APIC | LEAF1_ECX_DEADLINE;
		out[3] |= lapic_on(&v->lapic) ? LEAF1_EDX_APIC : 0;
		if (v->vm->vcpu_limit > 1) {
			out[3] |= LEAF1_EDX_HTT;
			out[1] |= v->vm->vcpu_limit << 16;
		}
		return;
	case 0x6:
		out[0] |= LEAF6_EAX_ARAT;
		return;
	case 0xb:
		topology_leaf(v, subleaf, out);
		return;
	case 0x15:
		out[0] = 1;
		out[1] = 1u << LAPIC_CLOCK_LOG;
		out[2] = (u32)(hz >> LAPIC_CLOCK_LOG);
		return;
	case 0x16:
		out[0] = out[1] = mhz;
		out[2] = mhz >> LAPIC_CLOCK_LOG;
		return;
	case 0x40000000:
		out[0] = 0x40000010;
		return;
	case 0x40000010:
		out[0] = (u32)(hz / 1000);
		out[1] = (u32)((hz >> LAPIC_CLOCK_LOG) / 1000);
		return;
	default:
		return;
	}
}

/* Everything but what Septum uses itself or does not switch. */
static void root_answer(const struct vcpu *v, u32 leaf, u32 subleaf, u32 out[4])
{
	struct cpuid host;

	if (leaf >> 16 == 0x4000) {
		hypervisor_leaf(v, leaf, out);
		return;
	}
	host = cpuid(leaf, subleaf);
	switch (leaf) {
	case 0x1:
		host.ecx &= ~(B(5) | B(6) | LEAF1_ECX_OSXSAVE); /* VMX SMX */
		host.ecx |= LEAF1_ECX_HYPERVISOR;
		if ((cr4_of(v) & CR4_OSXSAVE) != 0)
			host.ecx |= LEAF1_ECX_OSXSAVE;
		break;
	case 0x7:
		if (subleaf != 0)
			break;
		host.ebx &= ~(B(2) | B(25)); /* SGX PT */
		host.ecx &= ~(B(4) | B(7) | B(13) | B(16) | B(30) | B(31));
		host.edx &= ~(B(5) | B(20)); /* UINTR CET-IBT */
		if ((cr4_of(v) & CR4_PKE) != 0)
			host.ecx |= B(4);
		break;
	case 0x12: /* SGX */
	case 0x14: /* PT */
	case 0x8000000a:
	case 0x8000001f:
		host = (struct cpuid){0};
		break;
	case 0x80000001:
		host.ecx &= ~(B(2) | B(12)); /* SVM SKINIT */
		break;
	case 0x80000008:
		host.ebx &= ~(B(3) | B(8)); /* INVLPGB, which SVM would refuse; MCOMMIT */
		break;
	default:
		break;
	}
	out[0] = host.eax;
	out[1] = host.ebx;
	out[2] = host.ecx;
	out[3] = host.edx;
}

const u32 *cpuid_plain(u32 leaf)
{
	unsigned place = place_of(leaf);

	return place != NOWHERE ? table.plain[place] : NULL;
}

void cpuid_look(const struct vcpu *v, u32 leaf, u32 subleaf, u32 out[4])
{
	memset(out, 0, 4 * sizeof(*out));
	if (v->root)
		root_answer(v, leaf, subleaf, out);
	else
		guest_answer(v, leaf, subleaf, out);
	if (v->has_apic)
		apic_leaf(v, leaf, subleaf, out);
}

bool cpuid_compact_xsave(void)
{
	return (table.value[table.first[0xd]][0] & B(1)) != 0;
}

void cpuid_answer(struct vcpu *v)
{
	u32 leaf = (u32)v->gpr[RAX], subleaf = (u32)v->gpr[RCX];
	u32 out[4];

	cpuid_look(v, leaf, subleaf, out);
	v->gpr[RAX] = out[0];
	v->gpr[RBX] = out[1];
	v->gpr[RCX] = out[2];
	v->gpr[RDX] = out[3];
}
