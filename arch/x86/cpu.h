/* SPDX-License-Identifier: BSD-2-Clause */
/* What each processor has of its own, and what the processor can do. */
#ifndef ARCH_X86_CPU_H
#define ARCH_X86_CPU_H

#include "arch/x86/layout.h"
#include "arch/x86/world.h"
#include "kernel/lock_order.h"
#include "kernel/types.h"
#include "mm/window.h"

/* Task state segment, 64-bit (Intel SDM vol. 3, 8.7; AMD APM vol. 2, 12.2.5). */
struct tss {
	u32 reserved0;
	u64 rsp[3];
	u64 reserved1;
	u64 ist[7];
	u64 reserved2;
	u16 reserved3;
	u16 io_map_base;
} __attribute__((packed));
_Static_assert(sizeof(struct tss) == 104, "TSS");

/* IST numbers; each is a stack of its own with a guard page. */
enum ist { IST_NONE, IST_DOUBLE_FAULT, IST_NMI, IST_MACHINE_CHECK, IST_COUNT };

/* One processor's area. GS base points to it whenever Septum runs. */
struct cpu {
	struct cpu *self; /* first, so that %gs:0 is its address */
	u32 id;		  /* 0 is the boot processor */
	u32 apic_id;
	u64 stack_top; /* of the main stack, 16-byte aligned */

	/* NMIs that came to this CPU, and what of them is to be done; see arch/x86/smp.h. */
	u64 nmi_count;
	bool nmi_seen; /* one for the root came while Septum itself ran */
	bool kicked;   /* Septum's own came. The two are compared as one word: offsets.h */
	bool kick;     /* .. is on its way */
	bool flush;    /* the handler is to flush Septum's own translations, and clears this */
	bool stopped;  /* for good */
	void (*everywhere)(void); /* asked for by cpus_call(); NULL: nothing */

	u32 mailbox; /* enum mailbox of smp.c: what work() and argument are */
	void (*work)(void *argument);
	void *argument;
	u64 timer_at;	    /* TSC for which its timer is armed, or NEVER; arch/x86/timer.h */
	struct world world; /* of a guest CPU that runs no guest; CPU 0 has the root's instead */

	u8 *windows;		      /* this CPU's part of the WINDOW area */
	u64 *window_entries;	      /* its page table entries */
	u64 window_pfn[WINDOW_COUNT]; /* what each window shows; ~0 for nothing */

	struct lock_list locks;
	u64 gdt[5];
	struct tss tss;
} __attribute__((aligned(64)));

/* CPU 0 is the boot processor. */
extern struct cpu cpu_table[CPU_MAX];

static inline struct cpu *this_cpu(void)
{
	struct cpu *cpu;
	__asm__("mov %%gs:0, %0" : "=r"(cpu));
	return cpu;
}

/* An NMI for the root or a kick has come to this processor and is not taken yet. */
static inline bool nmi_or_kick(const struct cpu *cpu)
{
	return *(const volatile u16 *)&cpu->nmi_seen != 0;
}

enum cpu_vendor { CPU_INTEL, CPU_AMD, CPU_OTHER };

struct cpu_features {
	enum cpu_vendor vendor;
	char vendor_name[13];
	char brand[49];
	u32 physical_bits; /* MAXPHYADDR */
	bool nx, smep, smap, umip, pge, xsave, page_1g;
	bool vmx, svm;
	bool under_hypervisor;
};

/* The boot processor's features; valid after cpu_identify(). */
extern struct cpu_features cpu_features;
void cpu_identify(void);

/* Say in one sentence why this machine cannot run Septum, or return NULL if nothing common to
 * both vendors stands in the way. The vendor's own conditions are its probe's to check. */
const char *cpu_unsupported(void);

/* First of all: GS base and an IDT without stacks of its own, so that faults in early start-up
 * are reported. */
void cpu_early(struct cpu *cpu);
/* The same on another processor, whose faults are reported once its tables are loaded too. */
void cpu_early_ap(struct cpu *cpu);

/* GDT and TSS of the running processor, and GS base after the segment loads. Its stacks are mapped
 * by stacks_map() before. */
void cpu_tables_load(struct cpu *cpu);

#endif
