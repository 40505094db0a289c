/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/host.h"
#include "arch/x86/cpu.h"
#include "arch/x86/io.h"
#include "kernel/boot_info.h"
#include "kernel/string.h"

#define CR4_OSXSAVE BIT(18)
#define X87_SSE	    3u
#define AVX	    4u

/* XSAVE area (SDM Vol. 1, 13.4). */
#define XSAVE_BV     512
#define XSAVE_HEADER 64
#define XSAVE_YMM    576
#define XSAVE_BYTES  832
#define FCW_INIT     0x037f
#define MXCSR_INIT   0x1f80
#define XSAVE_FCW    0
#define XSAVE_MXCSR  24

static struct {
	u8 area[XSAVE_BYTES];
	u64 xcr0; /* what host_fpu_load() found */
} * cpus;
static u32 components; /* 0: FXSAVE only */

u64 host_frames(void)
{
	const struct range_set *ram = &boot_info.memory[BOOT_RAM];
	u64 end = 0;

	for (unsigned i = 0; i < ram->count; i++)
		end = MAX(end, ram->ranges[i].end);
	return end >> PAGE_SHIFT;
}

unsigned host_physical_bits(void)
{
	return cpu_features.physical_bits;
}

u32 host_asid(void)
{
	return cpuid(0x8000000a, 0).ebx - 1;
}

bool host_msr_read(u32 index, u64 *value)
{
	return rdmsr_safe(index, value);
}

bool host_msr_write(u32 index, u64 value)
{
	return wrmsr_safe(index, value);
}

struct sev_cpuid host_cpuid(u32 leaf, u32 subleaf)
{
	struct cpuid c = cpuid(leaf, subleaf);

	return (struct sev_cpuid){c.eax, c.ebx, c.ecx, c.edx};
}

void host_wbinvd(void)
{
	__asm__ volatile("wbinvd" : : : "memory");
}

void host_cr2_write(u64 value)
{
	write_cr2(value);
}

static u64 xgetbv(void)
{
	u32 low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (u64)high << 32 | low;
}

static void xsetbv(u64 value)
{
	__asm__ volatile("xsetbv" : : "c"(0), "a"((u32)value), "d"((u32)(value >> 32)));
}

void host_fpu_setup(void)
{
	cpus = own_alloc((CPU_MAX * sizeof(*cpus) + PAGE_SIZE - 1) / PAGE_SIZE);
	if ((read_cr4() & CR4_OSXSAVE) != 0)
		components = cpuid(0xd, 0).eax & (X87_SSE | AVX);
}

static void restore(const u8 *area)
{
	if (components != 0)
		__asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"(components), "d"(0) : "memory");
	else
		__asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
}

void host_fpu_load(unsigned cpu, const struct host_fpu *fpu)
{
	u8 *area = cpus[cpu].area;
	u64 bv = components;

	memcpy(area, fpu->fx, sizeof(fpu->fx));
	memset(area + XSAVE_BV, 0, XSAVE_HEADER);
	memcpy(area + XSAVE_BV, &bv, sizeof(bv));
	memcpy(area + XSAVE_YMM, fpu->ymm, sizeof(fpu->ymm));
	if (components != 0) {
		cpus[cpu].xcr0 = xgetbv();
		xsetbv(components);
	}
	restore(area);
	if (components != 0)
		xsetbv((fpu->xcr0 & components) | 1);
}

void host_fpu_save(unsigned cpu, struct host_fpu *fpu)
{
	u8 *area = cpus[cpu].area;
	u16 fcw = FCW_INIT;
	u32 mxcsr = MXCSR_INIT;

	if (components != 0) {
		fpu->xcr0 = xgetbv();
		xsetbv(components);
		__asm__ volatile("xsave64 (%0)" : : "r"(area), "a"(components), "d"(0) : "memory");
	} else {
		__asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory");
	}
	memcpy(fpu->fx, area, sizeof(fpu->fx));
	memcpy(fpu->ymm, area + XSAVE_YMM, sizeof(fpu->ymm));
	memset(area, 0, XSAVE_BYTES);
	memcpy(area + XSAVE_FCW, &fcw, sizeof(fcw));
	memcpy(area + XSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
	restore(area);
	if (components != 0)
		xsetbv(cpus[cpu].xcr0);
}
