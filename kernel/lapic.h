/* SPDX-License-Identifier: BSD-2-Clause */
/* The registers of a guest's local APIC (Intel SDM Vol. 3, chapter 11; AMD APM Vol. 2, chapter 16):
 * xAPIC by its page, x2APIC by its MSRs, IA32_APIC_BASE and IA32_TSC_DEADLINE.
 *
 * This file knows of no vCPU and no processor: time comes in as `now`, the host's TSC, and a
 * message to another APIC goes out as LAPIC_SEND. kernel/lapic_vcpu.h puts it to work. All of it
 * belongs to the CPU that runs the vCPU, but for `posted` and `startup`, into which every CPU puts
 * what comes from elsewhere, and `base`, `ldr` and `dfr`, which others read to see who is
 * addressed.
 *
 * What there is: version 14h, six LVT entries, no level-triggered interrupts (so TMR is 0 and no
 * EOI is broadcast), no relocation: a base address other than FEE00000h is refused. LINT0, LINT1,
 * thermal and performance entries are registers without a source. The timer's clock is the TSC
 * divided by 8, which CPUID leaf 15h states.
 */
#ifndef KERNEL_LAPIC_H
#define KERNEL_LAPIC_H

#include "kernel/types.h"

#define MSR_APIC_BASE	 0x1bu
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC_FIRST 0x800u
#define MSR_X2APIC_LAST	 0x8ffu

#define LAPIC_ADDRESS	0xfee00000ul
#define LAPIC_BASE_BSP	BIT(8)
#define LAPIC_BASE_X2	BIT(10)
#define LAPIC_BASE_ON	BIT(11)
#define LAPIC_CLOCK_LOG 3u /* the timer's clock is the TSC / 2^this */

/* A periodic timer whose period is shorter (in TSC ticks) ticks as if it were this: else a guest
 * could keep its processor busy with nothing but its own timer. */
#define LAPIC_PERIOD_MIN 16384ul

#define NEVER (~0ul) /* as a time */

/* Byte offsets in the page; MSR 800h + offset / 16. */
enum lapic_reg {
	LAPIC_ID = 0x020,
	LAPIC_VERSION = 0x030,
	LAPIC_TPR = 0x080,
	LAPIC_APR = 0x090,
	LAPIC_PPR = 0x0a0,
	LAPIC_EOI = 0x0b0,
	LAPIC_RRD = 0x0c0,
	LAPIC_LDR = 0x0d0,
	LAPIC_DFR = 0x0e0,
	LAPIC_SVR = 0x0f0,
	LAPIC_ISR = 0x100,
	LAPIC_TMR = 0x180,
	LAPIC_IRR = 0x200,
	LAPIC_ESR = 0x280,
	LAPIC_CMCI = 0x2f0,
	LAPIC_ICR = 0x300,
	LAPIC_ICR_HIGH = 0x310,
	LAPIC_LVT_TIMER = 0x320,
	LAPIC_LVT_THERMAL = 0x330,
	LAPIC_LVT_COUNTER = 0x340,
	LAPIC_LVT_LINT0 = 0x350,
	LAPIC_LVT_LINT1 = 0x360,
	LAPIC_LVT_ERROR = 0x370,
	LAPIC_INITIAL = 0x380,
	LAPIC_CURRENT = 0x390,
	LAPIC_DIVIDE = 0x3e0,
	LAPIC_SELF_IPI = 0x3f0,
};
#define LAPIC_LVTS 6u

/* Interrupt command register: 11.6.1, 11.12.9. */
#define ICR_VECTOR(icr)	   ((u8)(icr))
#define ICR_MODE(icr)	   ((u32)(icr) >> 8 & 7)
#define ICR_LOGICAL	   BIT(11)
#define ICR_LEVEL	   BIT(14)
#define ICR_TRIGGER	   BIT(15)
#define ICR_SHORTHAND(icr) ((u32)(icr) >> 18 & 3)
enum icr_mode { ICR_FIXED, ICR_LOWEST, ICR_SMI, ICR_MODE3, ICR_NMI, ICR_INIT, ICR_STARTUP };
enum icr_shorthand { ICR_NO_SHORTHAND, ICR_SELF, ICR_ALL, ICR_OTHERS };

/* Error status: 11.5.3. */
#define ESR_SEND_VECTOR	   BIT(5)
#define ESR_RECEIVE_VECTOR BIT(6)
#define ESR_REGISTER	   BIT(7)

/* `startup`, a message INIT and then a SIPI, which no CPU has looked at yet. */
#define STARTUP_VECTOR 0xffu
#define STARTUP_INIT   (1u << 8)
#define STARTUP_SIPI   (1u << 9)

struct lapic {
	u64 base; /* IA32_APIC_BASE */
	u32 id;
	u32 tpr, ldr, dfr, svr;
	u32 esr, errors; /* as read, and since ESR was written last */
	u32 lvt[LAPIC_LVTS];
	u32 initial, divide;
	u64 icr;
	u64 irr[4], isr[4];
	u64 start;	/* of the count, host TSC */
	u64 deadline;	/* IA32_TSC_DEADLINE, guest TSC; 0: not armed */
	u64 due;	/* when the timer expires next, host TSC, or NEVER */
	u64 tsc_offset; /* guest TSC - host TSC */

	u64 posted[4]; /* vectors on their way here */
	u32 startup;
	bool news; /* something is in `posted` or `startup`, or was a moment ago */
};

enum lapic_result {
	LAPIC_DONE,
	LAPIC_FAULT, /* #GP, nothing has changed */
	LAPIC_SEND,  /* done, and the message in `icr` is to be sent */
};

/* As after power-up, in xAPIC mode. */
void lapic_init(struct lapic *a, u32 id, bool bsp);
/* INIT: 11.4.7.3. IA32_APIC_BASE stays. */
void lapic_reset(struct lapic *a);

static inline bool lapic_on(const struct lapic *a)
{
	return (READ_ONCE(a->base) & LAPIC_BASE_ON) != 0;
}
static inline bool lapic_x2(const struct lapic *a)
{
	return (READ_ONCE(a->base) & LAPIC_BASE_X2) != 0;
}
static inline bool lapic_x(const struct lapic *a)
{
	return (a->base & (LAPIC_BASE_ON | LAPIC_BASE_X2)) == LAPIC_BASE_ON;
}

/* RDMSR and WRMSR of IA32_APIC_BASE, IA32_TSC_DEADLINE and 800h..8FFh. `*value` is set unless the
 * read faults. */
enum lapic_result lapic_msr_read(const struct lapic *a, u32 msr, u64 now, u64 *value);
enum lapic_result lapic_msr_write(struct lapic *a, u32 msr, u64 now, u64 value);

/* Accesses to the page, in xAPIC mode; `offset` + `bytes` within it. Only aligned accesses of 4
 * bytes to a register's first 4 are defined (11.4.1.1); other reads give the bytes that lie there,
 * or 0, other writes do nothing. */
u64 lapic_page_read(struct lapic *a, u32 offset, u32 bytes, u64 now);
enum lapic_result lapic_page_write(struct lapic *a, u32 offset, u32 bytes, u64 value, u64 now);

/* IA32_APIC_BASE as the manager may set it before the start: any of the three modes. */
bool lapic_base_set(struct lapic *a, u64 value);

/* A fixed interrupt has come. Dropped while the APIC is off by base or SVR; an illegal vector is an
 * error (11.5.2, 11.5.3). */
void lapic_accept(struct lapic *a, u8 vector);

/* The highest request that no interrupt in service holds back (the TPR may still), or -1. */
int lapic_request(const struct lapic *a);
/* The processor has taken it: from IRR to ISR. */
void lapic_take(struct lapic *a, u8 vector);
/* .. and gives it back undelivered. */
void lapic_give_back(struct lapic *a, u8 vector);
u32 lapic_ppr(const struct lapic *a);

/* The writes that a guest makes most, x2APIC's EOI and a deadline that is past, as far as nothing
 * has to be done but to registers. `tpr` is the processor's, `open`: it takes interrupts after the
 * write. True: done, and *vector is what it takes at once (in service already), or -1. False:
 * nothing has changed. */
bool lapic_write_hot(struct lapic *a, u32 msr, u64 now, u64 value, u32 tpr, bool open, int *vector);

/* Called at `now` >= due. */
void lapic_expire(struct lapic *a, u64 now);
/* The guest has set its TSC. */
void lapic_tsc_set(struct lapic *a, u64 now, u64 offset);

/* The message `icr` of an APIC that is in x2APIC mode or not has this destination. No shorthand. */
bool lapic_addressed(const struct lapic *target, u64 icr, bool sender_x2);

#endif
