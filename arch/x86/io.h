/* SPDX-License-Identifier: BSD-2-Clause */
/* Ports, MSRs and the other single instructions that C cannot say. */
#ifndef ARCH_X86_IO_H
#define ARCH_X86_IO_H

#include "kernel/tally.h"
#include "kernel/types.h"

static inline u8 in8(u16 port)
{
	u8 value;
	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void out8(u16 port, u8 value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline u32 in32(u16 port)
{
	u32 value;
	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

struct cpuid {
	u32 eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(u32 leaf, u32 subleaf)
{
	struct cpuid r;
	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(subleaf));
	return r;
}

static inline u64 rdmsr(u32 msr)
{
	u32 low, high;
	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return ((u64)high << 32) | low;
}

static inline void wrmsr(u32 msr, u64 value)
{
	tally(TALLY_WRMSR);
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}

/* An entry of the exception table: a #GP, #UD or #PF at `label` continues at `fixup`. */
#define EX_TABLE(label, fixup)                                                                     \
	".pushsection __ex_table, \"a\"\n\t"                                                       \
	".balign 4\n\t"                                                                            \
	".long " label " - .\n\t"                                                                  \
	".long " fixup " - .\n\t"                                                                  \
	".popsection\n\t"

/* As rdmsr() and wrmsr(), but return false where the processor raises #GP. */
static inline bool rdmsr_safe(u32 msr, u64 *value)
{
	u32 low = 0, high = 0, fault = 1;
	__asm__ volatile("1: rdmsr\n\t"
			 "xor %2, %2\n\t"
			 "2:\n\t" EX_TABLE("1b", "2b")
			 : "+a"(low), "+d"(high), "+r"(fault)
			 : "c"(msr));
	*value = ((u64)high << 32) | low;
	return fault == 0;
}

static inline bool wrmsr_safe(u32 msr, u64 value)
{
	u32 fault = 1;

	tally(TALLY_WRMSR);
	__asm__ volatile("1: wrmsr\n\t"
			 "xor %0, %0\n\t"
			 "2:\n\t" EX_TABLE("1b", "2b")
			 : "+r"(fault)
			 : "c"(msr), "a"((u32)value), "d"((u32)(value >> 32))
			 : "memory");
	return fault == 0;
}

#define READ_REGISTER(name)                                                                        \
	static inline u64 read_##name(void)                                                        \
	{                                                                                          \
		u64 value;                                                                         \
		__asm__ volatile("mov %%" #name ", %0" : "=r"(value));                             \
		return value;                                                                      \
	}
#define WRITE_REGISTER(name)                                                                       \
	static inline void write_##name(u64 value)                                                 \
	{                                                                                          \
		__asm__ volatile("mov %0, %%" #name : : "r"(value) : "memory");                    \
	}
READ_REGISTER(cr0)
READ_REGISTER(cr2)
READ_REGISTER(cr3)
READ_REGISTER(cr4)
WRITE_REGISTER(cr0)
WRITE_REGISTER(cr2)
WRITE_REGISTER(cr3)
WRITE_REGISTER(cr4)

static inline void invlpg(const void *va)
{
	__asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}

static inline u64 rdtsc(void)
{
	u32 low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return ((u64)high << 32) | low;
}

static inline void cpu_pause(void)
{
	__asm__ volatile("pause");
}

_Noreturn static inline void cpu_halt_forever(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

#endif
