/* SPDX-License-Identifier: BSD-2-Clause */
#include "arch/x86/cpu.h"
#include "arch/x86/io.h"
#include "arch/x86/offsets.h"
#include "arch/x86/paging.h"
#include "arch/x86/traps.h"
#include "kernel/string.h"

#define MSR_FS_BASE	   0xc0000100
#define MSR_GS_BASE	   0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102

struct cpu_features cpu_features;
struct cpu cpu_table[CPU_MAX];

_Static_assert(offsetof(struct cpu, nmi_seen) == CPU_NMI_SEEN &&
		       offsetof(struct cpu, kicked) == CPU_NMI_SEEN + 1,
	       "offsets.h");

static bool bit(u32 word, unsigned n)
{
	return (word >> n & 1) != 0;
}

void cpu_identify(void)
{
	struct cpu_features *f = &cpu_features;
	struct cpuid r = cpuid(0, 0);
	u32 basic = r.eax;
	u32 extended = cpuid(0x80000000, 0).eax;

	memcpy(f->vendor_name + 0, &r.ebx, 4);
	memcpy(f->vendor_name + 4, &r.edx, 4);
	memcpy(f->vendor_name + 8, &r.ecx, 4);
	f->vendor = CPU_OTHER;
	if (strcmp(f->vendor_name, "GenuineIntel") == 0)
		f->vendor = CPU_INTEL;
	if (strcmp(f->vendor_name, "AuthenticAMD") == 0 ||
	    strcmp(f->vendor_name, "HygonGenuine") == 0)
		f->vendor = CPU_AMD;

	r = cpuid(1, 0);
	f->vmx = bit(r.ecx, 5);
	f->xsave = bit(r.ecx, 26);
	f->under_hypervisor = bit(r.ecx, 31);
	f->pge = bit(r.edx, 13);
	if (basic >= 7) {
		r = cpuid(7, 0);
		f->smep = bit(r.ebx, 7);
		f->smap = bit(r.ebx, 20);
		f->umip = bit(r.ecx, 2);
	}
	r = cpuid(0x80000001, 0);
	f->svm = bit(r.ecx, 2);
	f->nx = bit(r.edx, 20);
	f->page_1g = bit(r.edx, 26);
	f->physical_bits = extended >= 0x80000008 ? cpuid(0x80000008, 0).eax & 0xff : 36;
	for (u32 i = 0; i < 3 && extended >= 0x80000004; i++) {
		r = cpuid(0x80000002 + i, 0);
		memcpy(f->brand + 16 * (u64)i, &r, 16);
	}
}

const char *cpu_unsupported(void)
{
	const struct cpu_features *f = &cpu_features;

	if (!f->nx)
		return "This processor cannot mark pages no-execute (NX), or the firmware has "
		       "turned that off; enable \"execute disable\" (NX, XD) in the firmware "
		       "setup.";
	if (!f->vmx && !f->svm && f->under_hypervisor)
		return "Septum runs inside a virtual machine that offers neither VMX nor SVM; turn "
		       "on nested virtualization in the hypervisor below, or use real hardware.";
	if (!f->vmx && !f->svm)
		return "This processor offers neither Intel VT-x nor AMD-V; if it has one of "
		       "them, enable virtualization (VT-x, SVM) in the firmware setup.";
	return NULL;
}

void cpu_early(struct cpu *cpu)
{
	cpu->self = cpu;
	wrmsr(MSR_GS_BASE, (u64)cpu);
	traps_start();
	traps_load();
}

struct lock_list *lock_list_self(void)
{
	return &this_cpu()->locks;
}

void cpu_early_ap(struct cpu *cpu)
{
	cpu->self = cpu;
	wrmsr(MSR_GS_BASE, (u64)cpu);
	traps_load();
}

static void gdt_fill(struct cpu *cpu)
{
	u64 base = (u64)&cpu->tss;

	cpu->gdt[SELECTOR_CODE / 8] = 0x00af9b000000ffff;
	cpu->gdt[SELECTOR_DATA / 8] = 0x00cf93000000ffff;
	/* Available 64-bit TSS, two entries (Intel SDM vol. 3, 8.2.3; AMD APM vol. 2, 4.8.3). */
	cpu->gdt[SELECTOR_TSS / 8] = (sizeof(struct tss) - 1) | (base & 0xffffff) << 16 |
				     0x89ul << 40 | (base >> 24 & 0xff) << 56;
	cpu->gdt[SELECTOR_TSS / 8 + 1] = base >> 32;
}

void cpu_tables_load(struct cpu *cpu)
{
	struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) pointer = {sizeof(cpu->gdt) - 1, (u64)cpu->gdt};

	cpu->stack_top = stack_main_top(cpu->id);
	cpu->tss.io_map_base = sizeof(struct tss);
	for (unsigned ist = 1; ist < IST_COUNT; ist++)
		cpu->tss.ist[ist - 1] = stack_ist_top(cpu->id, ist);
	gdt_fill(cpu);
	__asm__ volatile("lgdt %0" : : "m"(pointer));
	__asm__ volatile("push %q0\n\t"
			 "lea 1f(%%rip), %%rax\n\t"
			 "push %%rax\n\t"
			 "lretq\n"
			 "1:\tmov %1, %%ds\n\t"
			 "mov %1, %%es\n\t"
			 "mov %1, %%ss\n\t"
			 "mov %2, %%fs\n\t"
			 "mov %2, %%gs"
			 :
			 : "r"((u64)SELECTOR_CODE), "r"(SELECTOR_DATA), "r"(0)
			 : "rax", "memory");
	wrmsr(MSR_FS_BASE, 0);
	wrmsr(MSR_GS_BASE, (u64)cpu);
	wrmsr(MSR_KERNEL_GS_BASE, 0);
	__asm__ volatile("ltr %w0" : : "r"(SELECTOR_TSS));
	traps_use_ist();
}
