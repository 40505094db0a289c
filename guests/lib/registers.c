/* SPDX-License-Identifier: BSD-2-Clause */
#include "guests/lib/registers.h"
#include "guests/lib/cpu.h"
#include "guests/lib/string.h"

static const u32 msrs[REGISTERS_MSRS] = {
	MSR_STAR,    MSR_LSTAR,		 MSR_CSTAR,	  MSR_FMASK,	    MSR_FS_BASE,
	MSR_GS_BASE, MSR_KERNEL_GS_BASE, MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,
	MSR_PAT,     MSR_TSC_AUX,
};

/* TSC_AUX is there with RDTSCP. */
static u32 msr_count(void)
{
	return cpuid(0x80000001, 0).d >> 27 & 1 ? REGISTERS_MSRS : REGISTERS_MSRS - 1;
}

/* FXSAVE area, SDM Vol. 1, 10.5.1: control word at 0, status 2, tag 4, MXCSR at 24, ST0-7 at 32
 * with 16 bytes each, XMM0-15 at 160. */
static void fill_fx(u8 *fx, u64 seed)
{
	u16 control = 0x037f;
	u32 mxcsr = 0x1f80 | (seed & 1 ? 0x8000u : 0x6000u);

	memset(fx, 0, 512);
	memcpy(fx, &control, 2);
	fx[4] = 0xff; /* all in use */
	memcpy(fx + 24, &mxcsr, 4);
	for (u32 i = 0; i < 8; i++) {
		u64 mantissa = seed * (i + 3) | 1ul << 63;
		u16 exponent = (u16)(0x3fff + i);

		memcpy(fx + 32 + 16 * i, &mantissa, 8);
		memcpy(fx + 40 + 16 * i, &exponent, 2);
	}
	for (u32 i = 0; i < 32; i++) {
		u64 word = seed * (i + 17);

		memcpy(fx + 160 + 8 * i, &word, 8);
	}
}

static bool avx_on(void)
{
	struct cpuid r = cpuid(1, 0);
	u32 low;
	u32 high;

	if (!(r.c >> 26 & 1) || !(r.c >> 28 & 1))
		return false;
	cr4_write(cr4_read() | CR4_OSXSAVE);
	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	__asm__ volatile("xsetbv" : : "a"(low | 7), "d"(high), "c"(0));
	return true;
}

void registers_fill(struct registers *r, u64 seed)
{
	memset(r, 0, sizeof(*r));
	cr4_write(cr4_read() | CR4_OSFXSR | CR4_OSXMMEXCPT);
	fill_fx(r->fx, seed);
	r->avx = avx_on();
	for (u32 i = 0; i < 16; i++) {
		memcpy(r->ymm[i], r->fx + 160 + 16 * i, 16);
		memset(r->ymm[i] + 16, (int)(seed + i), 16);
	}
	for (u32 i = 0; i < 4; i++)
		r->debug[i] = (seed * (i + 5)) & 0x7ffffffff000ul;
	r->debug7 = 0x400 | (seed & 1 ? 0x00f00000u : 0x00010000u); /* conditions, none enabled */
	for (u32 i = 0; i < REGISTERS_MSRS; i++)
		r->msr[i] = (seed * (i + 7)) & 0x7fffffffffffu;
	r->msr[3] &= 0xffffffffu;					     /* FMASK */
	r->msr[7] &= 0xffffu;						     /* SYSENTER_CS */
	r->msr[10] = seed & 1 ? 0x0007040600070406ul : 0x0007010600070106ul; /* PAT: legal types */
	r->msr[11] &= 0xffffffffu;					     /* TSC_AUX */
	r->cr2 = seed * 3 & 0x7fffffffffffu;
}

void registers_load(const struct registers *r)
{
	for (u32 i = 0; i < msr_count(); i++)
		msr_write(msrs[i], r->msr[i]);
	__asm__ volatile("mov %0, %%dr0" : : "r"(r->debug[0]));
	__asm__ volatile("mov %0, %%dr1" : : "r"(r->debug[1]));
	__asm__ volatile("mov %0, %%dr2" : : "r"(r->debug[2]));
	__asm__ volatile("mov %0, %%dr3" : : "r"(r->debug[3]));
	__asm__ volatile("mov %0, %%dr7" : : "r"(r->debug7));
	cr2_write(r->cr2);
	__asm__ volatile("fxrstor64 (%0)" : : "r"(r->fx) : "memory");
#define YMM(n) "vmovdqu " #n "*32(%0), %%ymm" #n "\n\t"
	if (r->avx)
		__asm__ volatile(YMM(0) YMM(1) YMM(2) YMM(3) YMM(4) YMM(5) YMM(6) YMM(7) YMM(8)
					 YMM(9) YMM(10) YMM(11) YMM(12) YMM(13) YMM(14) YMM(15)
				 :
				 : "r"(r->ymm)
				 : "memory");
#undef YMM
}

void registers_store(struct registers *r)
{
	for (u32 i = 0; i < msr_count(); i++)
		r->msr[i] = msr_read(msrs[i]);
	__asm__ volatile("mov %%dr0, %0" : "=r"(r->debug[0]));
	__asm__ volatile("mov %%dr1, %0" : "=r"(r->debug[1]));
	__asm__ volatile("mov %%dr2, %0" : "=r"(r->debug[2]));
	__asm__ volatile("mov %%dr3, %0" : "=r"(r->debug[3]));
	__asm__ volatile("mov %%dr7, %0" : "=r"(r->debug7));
	r->cr2 = cr2_read();
	r->avx = cpuid(1, 0).c >> 28 & 1;
	__asm__ volatile("fxsave64 (%0)" : : "r"(r->fx) : "memory");
#define YMM(n) "vmovdqu %%ymm" #n ", " #n "*32(%0)\n\t"
	if (r->avx)
		__asm__ volatile(YMM(0) YMM(1) YMM(2) YMM(3) YMM(4) YMM(5) YMM(6) YMM(7) YMM(8)
					 YMM(9) YMM(10) YMM(11) YMM(12) YMM(13) YMM(14) YMM(15)
				 :
				 : "r"(r->ymm)
				 : "memory");
#undef YMM
}

unsigned registers_compare(const struct registers *a, const struct registers *b)
{
	/* x87 control and MXCSR, then the registers; instruction pointers are not compared. */
	if (memcmp(a->fx, b->fx, 5) || memcmp(a->fx + 24, b->fx + 24, 4) ||
	    memcmp(a->fx + 160, b->fx + 160, 256))
		return 1;
	for (u32 i = 0; i < 8; i++)
		if (memcmp(a->fx + 32 + 16 * i, b->fx + 32 + 16 * i, 10))
			return 1;
	if (a->avx && memcmp(a->ymm, b->ymm, sizeof(a->ymm)))
		return 2;
	for (u32 i = 0; i < 4; i++)
		if (a->debug[i] != b->debug[i])
			return 3 + i;
	if ((a->debug7 ^ b->debug7) & 0xffff23ff)
		return 7;
	if (a->cr2 != b->cr2)
		return 8;
	for (u32 i = 0; i < msr_count(); i++)
		if (a->msr[i] != b->msr[i])
			return 16 + i;
	return 0;
}
