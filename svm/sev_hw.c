/* SPDX-License-Identifier: BSD-2-Clause */
/* The SEV machine as hardware: each function is one instruction or register access.
 *
 * RMPUPDATE, PSMASH, RMPREAD: APM Vol. 3. Their bytes are written out, since assemblers of today
 * do not all know them. */
#include "arch/x86/io.h"
#include "arch/x86/paging.h"
#include "mm/window.h"
#include "svm/sev_machine.h"
#include "svm/svm.h"

static struct sev_cpuid hw_cpuid(void)
{
	struct cpuid id = {0};

	if (cpuid(0x80000000, 0).eax >= 0x8000001f)
		id = cpuid(0x8000001f, 0);
	return (struct sev_cpuid){id.eax, id.ebx, id.ecx, id.edx};
}

static bool hw_msr_read(u32 index, u64 *value)
{
	return rdmsr_safe(index, value);
}

static bool hw_msr_write(u32 index, u64 value)
{
	return wrmsr_safe(index, value);
}

static u32 hw_rmpupdate(hpa_t page, const struct rmp_state *state)
{
	u64 result = page.n;

	__asm__ volatile(".byte 0xf2, 0x0f, 0x01, 0xfe"
			 : "+a"(result)
			 : "c"(state)
			 : "memory", "cc");
	return (u32)result;
}

static u32 hw_psmash(hpa_t block)
{
	u64 result = block.n;

	__asm__ volatile(".byte 0xf3, 0x0f, 0x01, 0xff" : "+a"(result) : : "memory", "cc");
	return (u32)result;
}

static u32 hw_rmpread(hpa_t page, struct rmp_state *state)
{
	u64 result = page.n;

	__asm__ volatile(".byte 0xf2, 0x0f, 0x01, 0xfd"
			 : "+a"(result)
			 : "c"(state)
			 : "memory", "cc");
	return (u32)result;
}

static void hw_wbinvd(void)
{
	__asm__ volatile("wbinvd" : : : "memory");
}

/* ---- The PSP: a PCI function with three registers in BAR 2 ---- */

#define PCI_ADDRESS   0xcf8
#define PCI_DATA      0xcfc
#define PCI_BAR2      0x18u
#define PCI_AMD	      0x1022u
#define BAR_64	      BIT(2)
#define REGISTER_PAGE 0x10000ul /* all of them lie in [10000h, 11000h) */

static volatile u8 *registers;
static const u16 *offsets; /* by enum psp_register, in that page */

static const u16 offsets_v1[] = {0x580, 0x5e0, 0x5e4}, offsets_v2[] = {0x980, 0x9e0, 0x9e4};

/* Functions with an SEV mailbox, and which generation of it. */
static const struct {
	u16 device;
	const u16 *offsets;
} devices[] = {
	{0x1456, offsets_v1},
	{0x1486, offsets_v2},
	{0x14ca, offsets_v2},
	{0x156e, offsets_v2},
};

static u32 pci_read(u32 function, u32 offset)
{
	u32 value;

	__asm__ volatile("outl %0, %w1"
			 :
			 : "a"((u32)BIT(31) | function << 8 | offset), "Nd"(PCI_ADDRESS));
	__asm__ volatile("inl %w1, %0" : "=a"(value) : "Nd"(PCI_DATA));
	return value;
}

static bool function_use(u32 function)
{
	u32 id = pci_read(function, 0);
	u64 bar;

	if ((id & 0xffff) != PCI_AMD)
		return false;
	for (unsigned i = 0; i < ARRAY_COUNT(devices); i++) {
		if (id >> 16 != devices[i].device)
			continue;
		bar = pci_read(function, PCI_BAR2);
		if ((bar & BAR_64) != 0)
			bar |= (u64)pci_read(function, PCI_BAR2 + 4) << 32;
		bar &= ~0xful;
		if (bar == 0)
			return false;
		offsets = devices[i].offsets;
		registers = device_map(hpa(bar + REGISTER_PAGE), 1);
		return true;
	}
	return false;
}

static bool hw_psp_find(void)
{
	for (u32 function = 0; function < 0x10000; function++) {
		if (function_use(function))
			return true;
	}
	return false;
}

static u32 hw_psp_read(enum psp_register which)
{
	return *(volatile u32 *)(registers + offsets[which]);
}

static void hw_psp_write(enum psp_register which, u32 value)
{
	*(volatile u32 *)(registers + offsets[which]) = value;
}

const struct sev_machine sev_hardware = {
	.name = "hardware",
	.cpuid = hw_cpuid,
	.msr_read = hw_msr_read,
	.msr_write = hw_msr_write,
	.rmpupdate = hw_rmpupdate,
	.psmash = hw_psmash,
	.rmpread = hw_rmpread,
	.wbinvd = hw_wbinvd,
	.psp_find = hw_psp_find,
	.psp_read = hw_psp_read,
	.psp_write = hw_psp_write,
	.enter = svm_enter,
};
