/* SPDX-License-Identifier: BSD-2-Clause */
#include "arch/x86/traps.h"
#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/io.h"
#include "arch/x86/machine.h"
#include "arch/x86/smp.h"
#include "kernel/lapic.h"
#include "kernel/panic.h"
#include "kernel/print.h"
#include "kernel/symbols.h"

#define EXCEPTIONS 32
#define STUB_SIZE  16

enum {
	VECTOR_DB = 1,
	VECTOR_NMI = 2,
	VECTOR_UD = 6,
	VECTOR_DF = 8,
	VECTOR_GP = 13,
	VECTOR_PF = 14,
	VECTOR_MC = 18,
	VECTOR_SX = 30,
	VECTOR_INTERRUPT = EXCEPTIONS, /* any of them; CPU 0 lets only that of its timer in */
};
#define SX_INIT 1

#define RFLAGS_IF BIT(9)

/* 64-bit interrupt gate (Intel SDM vol. 3, 6.14.1; AMD APM vol. 2, 4.8.4). */
struct gate {
	u16 offset_low;
	u16 selector;
	u8 ist;
	u8 type;
	u16 offset_middle;
	u32 offset_high;
	u32 reserved;
};
_Static_assert(sizeof(struct gate) == 16, "gate");
#define GATE_INTERRUPT 0x8e /* present, DPL 0 */

struct ex_entry {
	int32_t fault, fixup; /* relative to themselves */
};

extern const u8 trap_stubs[];
extern const struct ex_entry ex_table_start[], ex_table_end[];

static struct gate idt[256];

static const char *const names[EXCEPTIONS] = {
	[0] = "#DE divide error",
	[1] = "#DB debug",
	[2] = "NMI",
	[3] = "#BP breakpoint",
	[4] = "#OF overflow",
	[5] = "#BR bound range",
	[6] = "#UD invalid opcode",
	[7] = "#NM device not available",
	[8] = "#DF double fault",
	[10] = "#TS invalid TSS",
	[11] = "#NP segment not present",
	[12] = "#SS stack fault",
	[13] = "#GP general protection",
	[14] = "#PF page fault",
	[16] = "#MF x87",
	[17] = "#AC alignment check",
	[18] = "#MC machine check",
	[19] = "#XM SIMD",
	[20] = "#VE virtualization",
	[21] = "#CP control protection",
	[28] = "#HV hypervisor injection",
	[29] = "#VC VMM communication",
	[30] = "#SX security",
};

void traps_start(void)
{
	for (unsigned v = 0; v < ARRAY_COUNT(idt); v++) {
		u64 entry = (u64)trap_stubs + (u64)MIN(v, VECTOR_INTERRUPT) * STUB_SIZE;

		idt[v] = (struct gate){
			.offset_low = (u16)entry,
			.offset_middle = (u16)(entry >> 16),
			.offset_high = (u32)(entry >> 32),
			.selector = SELECTOR_CODE,
			.type = GATE_INTERRUPT,
		};
	}
}

void traps_use_ist(void)
{
	idt[VECTOR_DF].ist = IST_DOUBLE_FAULT;
	idt[VECTOR_NMI].ist = IST_NMI;
	idt[VECTOR_MC].ist = IST_MACHINE_CHECK;
}

void traps_load(void)
{
	struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) pointer = {sizeof(idt) - 1, (u64)idt};

	__asm__ volatile("lidt %0" : : "m"(pointer));
}

static bool fix_up(struct trap_frame *f)
{
	u64 count = ((u64)ex_table_end - (u64)ex_table_start) / sizeof(ex_table_start[0]);

	for (u64 i = 0; i < count; i++) {
		const struct ex_entry *e = &ex_table_start[i];

		if ((u64)&e->fault + (u64)e->fault == f->rip) {
			f->rip = (u64)&e->fixup + (u64)e->fixup;
			return true;
		}
	}
	return false;
}

static void dump(const struct trap_frame *f)
{
	const char *name = "?";
	u64 offset = 0;

	symbol_find(f->rip, &name, &offset);
	printk(LOG_ERROR, "CPU %u: %s (vector %lu, error %lx) at %s+0x%lx", this_cpu()->id,
	       names[f->vector] != NULL ? names[f->vector] : "reserved", f->vector, f->error, name,
	       offset);
	printk(LOG_ERROR, "rip %016lx  cs %04lx  rflags %08lx", f->rip, f->cs, f->rflags);
	printk(LOG_ERROR, "rsp %016lx  ss %04lx  rbp %016lx", f->rsp, f->ss, f->rbp);
	printk(LOG_ERROR, "rax %016lx  rbx %016lx  rcx %016lx", f->rax, f->rbx, f->rcx);
	printk(LOG_ERROR, "rdx %016lx  rsi %016lx  rdi %016lx", f->rdx, f->rsi, f->rdi);
	printk(LOG_ERROR, "r8  %016lx  r9  %016lx  r10 %016lx", f->r8, f->r9, f->r10);
	printk(LOG_ERROR, "r11 %016lx  r12 %016lx  r13 %016lx", f->r11, f->r12, f->r13);
	printk(LOG_ERROR, "r14 %016lx  r15 %016lx", f->r14, f->r15);
	printk(LOG_ERROR, "cr0 %016lx  cr2 %016lx  cr3 %016lx  cr4 %08lx", read_cr0(), read_cr2(),
	       read_cr3(), read_cr4());
}

bool nmi_take(void)
{
	return __atomic_exchange_n(&this_cpu()->nmi_seen, false, __ATOMIC_RELAXED);
}

#define NMI_WINDOWS 6u
static struct {
	u64 start, end, abort;
} nmi_windows[NMI_WINDOWS];
static unsigned nmi_window_count;

void nmi_window_add(const char *start, const char *end, const char *abort)
{
	ASSERT(nmi_window_count < NMI_WINDOWS);
	nmi_windows[nmi_window_count].start = (u64)start;
	nmi_windows[nmi_window_count].end = (u64)end;
	nmi_windows[nmi_window_count].abort = (u64)abort;
	nmi_window_count++;
}

static void window_leave(struct trap_frame *f)
{
	for (unsigned i = 0; i < nmi_window_count; i++) {
		if (f->rip >= nmi_windows[i].start && f->rip < nmi_windows[i].end)
			f->rip = nmi_windows[i].abort;
	}
}

static void nmi(struct trap_frame *f)
{
	cpu_nmi();
	window_leave(f);
}

void trap_handle(struct trap_frame *f)
{
	/* Septum sets no breakpoints. Bochs 2.7 delivers a stepping guest's #DB after its exit,
	 * with the guest's GS still loaded. */
	if (f->vector == VECTOR_DB)
		return;
	/* SVM turns an INIT that a root device or CPU sends into this (VM_CR.R_INIT). */
	if (f->vector == VECTOR_SX && f->error == SX_INIT)
		return;
	if (f->vector == VECTOR_INTERRUPT) {
		/* One at a time: on CPU 0 the next is the root's (arch/x86/timer.c). */
		f->rflags &= ~RFLAGS_IF;
		this_cpu()->timer_at = NEVER;
		/* Not to a HLT that nothing ends: QEMU may lose the shadow of the STI before it. */
		window_leave(f);
		apic_end_of_interrupt();
		return;
	}
	if (f->vector == VECTOR_NMI) {
		nmi(f);
		return;
	}
	if ((f->vector == VECTOR_GP || f->vector == VECTOR_UD || f->vector == VECTOR_PF) &&
	    fix_up(f))
		return;
	machine_alone();
	dump(f);
	panic_at(&(struct code_place){f->rip, f->rsp, f->rbp}, "%s in Septum",
		 names[f->vector] != NULL ? names[f->vector] : "reserved exception");
}
