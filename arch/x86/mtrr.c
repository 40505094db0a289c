/* SPDX-License-Identifier: BSD-2-Clause */
#include "arch/x86/mtrr.h"
#include "arch/x86/cpu.h"
#include "arch/x86/io.h"
#include "mm/root.h"

#define MSR_MTRR_CAP	 0xfe
#define MSR_MTRR_BASE(n) (0x200 + 2 * (n))
#define MSR_MTRR_MASK(n) (0x201 + 2 * (n))
#define MSR_MTRR_FIX64K	 0x250
#define MSR_MTRR_FIX16K	 0x258 /* two */
#define MSR_MTRR_FIX4K	 0x268 /* eight */
#define MSR_MTRR_DEFAULT 0x2ff
#define CAP_COUNT	 0xff
#define CAP_FIXED	 BIT(8)
#define DEFAULT_FIXED	 BIT(10)
#define DEFAULT_ENABLE	 BIT(11)
#define MASK_VALID	 BIT(11)

#define FIXED_END     0x100000ul
#define VARIABLES_MAX 32u

static struct {
	bool enabled, fixed;
	u8 default_type;
	u8 fixed_type[88]; /* 8 of 64 KiB, 16 of 16 KiB, 64 of 4 KiB */
	unsigned count;
	struct {
		u64 base, mask; /* page-aligned */
		u8 type;
	} variable[VARIABLES_MAX];
} mtrr;

static void fixed_read(void)
{
	static const u16 msrs[11] = {MSR_MTRR_FIX64K,	 MSR_MTRR_FIX16K,    MSR_MTRR_FIX16K + 1,
				     MSR_MTRR_FIX4K,	 MSR_MTRR_FIX4K + 1, MSR_MTRR_FIX4K + 2,
				     MSR_MTRR_FIX4K + 3, MSR_MTRR_FIX4K + 4, MSR_MTRR_FIX4K + 5,
				     MSR_MTRR_FIX4K + 6, MSR_MTRR_FIX4K + 7};

	for (unsigned i = 0; i < ARRAY_COUNT(msrs); i++) {
		u64 value = rdmsr(msrs[i]);

		for (unsigned j = 0; j < 8; j++)
			mtrr.fixed_type[i * 8 + j] = (u8)(value >> 8 * j);
	}
}

void mtrr_setup(void)
{
	const u64 address = (BIT(cpu_features.physical_bits) - 1) & PAGE_MASK;
	u64 capability, value;

	/* Without MTRRs all is write-back, as far as EPT is concerned. */
	mtrr.enabled = false;
	mtrr.default_type = MEMORY_WB;
	if ((cpuid(1, 0).edx & BIT(12)) == 0)
		return;
	capability = rdmsr(MSR_MTRR_CAP);
	value = rdmsr(MSR_MTRR_DEFAULT);
	mtrr.default_type = (u8)value;
	mtrr.enabled = (value & DEFAULT_ENABLE) != 0;
	if (!mtrr.enabled) {
		mtrr.default_type = MEMORY_UC;
		return;
	}
	mtrr.fixed = (capability & CAP_FIXED) != 0 && (value & DEFAULT_FIXED) != 0;
	if (mtrr.fixed)
		fixed_read();
	for (u32 i = 0; i < (capability & CAP_COUNT) && mtrr.count < VARIABLES_MAX; i++) {
		u64 base = rdmsr(MSR_MTRR_BASE(i));
		u64 mask = rdmsr(MSR_MTRR_MASK(i));

		if ((mask & MASK_VALID) == 0)
			continue;
		mtrr.variable[mtrr.count].base = base & mask & address;
		mtrr.variable[mtrr.count].mask = mask & address;
		mtrr.variable[mtrr.count].type = (u8)base;
		mtrr.count++;
	}
}

/* The type at a page below 1 MiB, and where its register's part ends. */
static u8 fixed_type_at(u64 at, u64 *end)
{
	unsigned index, shift;
	u64 first;

	if (at < 0x80000) {
		index = 0;
		first = 0;
		shift = 16;
	} else if (at < 0xc0000) {
		index = 8;
		first = 0x80000;
		shift = 14;
	} else {
		index = 24;
		first = 0xc0000;
		shift = 12;
	}
	*end = ALIGN_DOWN(at, 1ul << shift) + (1ul << shift);
	return mtrr.fixed_type[index + (unsigned)((at - first) >> shift)];
}

/* Two types over one page (12.11.4.1). */
static u8 combine(u8 a, u8 b)
{
	if (a == b)
		return a;
	if ((a == MEMORY_WT && b == MEMORY_WB) || (a == MEMORY_WB && b == MEMORY_WT))
		return MEMORY_WT;
	return MEMORY_UC;
}

/* The type at `at`, and in `*end` an address up to which it certainly holds. */
static u8 type_at(u64 at, u64 *end)
{
	bool found = false;
	u8 type = 0;

	*end = ~0ul;
	if (!mtrr.enabled)
		return mtrr.default_type;
	if (mtrr.fixed && at < FIXED_END)
		return fixed_type_at(at, end);
	for (unsigned i = 0; i < mtrr.count; i++) {
		/* What a mask compares above its lowest bit cannot change before the next
		 * multiple of that bit. */
		u64 mask = mtrr.variable[i].mask;
		u64 granule = mask & -mask;

		if (granule != 0)
			*end = MIN(*end, ALIGN_DOWN(at, granule) + granule);
		if ((at & mask) != mtrr.variable[i].base)
			continue;
		type = found ? combine(type, mtrr.variable[i].type) : mtrr.variable[i].type;
		found = true;
	}
	return found ? type : mtrr.default_type;
}

bool mtrr_type(hpa_t start, u64 size, u8 *type)
{
	u64 last = start.n + size - 1;
	u64 end;

	*type = type_at(start.n, &end);
	while (end - 1 < last) {
		if (type_at(end, &end) != *type)
			return false;
	}
	return true;
}

int memtype_of(hpa_t base, unsigned level)
{
	u8 type;

	return mtrr_type(base, PAGE_SIZE << LEVEL_SHIFT(level), &type) ? type : -1;
}
