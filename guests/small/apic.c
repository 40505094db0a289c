/* SPDX-License-Identifier: BSD-2-Clause */
/* Bodies about the local APIC: registers in both modes, the timer, messages, the start of vCPU 1.
 */
#include "guests/small/guest.h"

#define MSR_APIC_BASE	 0x1bu
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC	 0x800u
#define BASE_X2		 0x400u
#define BASE_ON		 0x800u
#define BASE		 0xfee00000ul

#define ID	  0x020u
#define VERSION	  0x030u
#define TPR	  0x080u
#define PPR	  0x0a0u
#define EOI	  0x0b0u
#define LDR	  0x0d0u
#define DFR	  0x0e0u
#define SVR	  0x0f0u
#define ISR	  0x100u
#define IRR	  0x200u
#define ESR	  0x280u
#define ICR	  0x300u
#define ICR_HIGH  0x310u
#define LVT_TIMER 0x320u
#define LVT_ERROR 0x370u
#define INITIAL	  0x380u
#define CURRENT	  0x390u
#define DIVIDE	  0x3e0u
#define SELF_IPI  0x3f0u

#define VECTOR_TIMER 0x40u
#define VECTOR_LOW   0x50u
#define VECTOR_HIGH  0x70u
#define VECTOR_IPI   0x80u
#define PERIODIC     0x20000u
#define DEADLINE     0x40000u
#define DIVIDE_BY_1  0xbu
#define ICR_NMI	     0x400u
#define ICR_INIT     0x4500u
#define ICR_STARTUP  0x4600u
#define ICR_OTHERS   0xc0000u

static bool x2;

static u32 get(u32 reg)
{
	return x2 ? (u32)msr_read(MSR_X2APIC + reg / 16) : *(volatile u32 *)(BASE + reg);
}

static void put(u32 reg, u32 value)
{
	if (x2)
		msr_write(MSR_X2APIC + reg / 16, value);
	else
		*(volatile u32 *)(BASE + reg) = value;
}

static void send(u32 to, u32 command)
{
	if (x2) {
		msr_write(MSR_X2APIC + ICR / 16, (u64)to << 32 | command);
	} else {
		put(ICR_HIGH, to << 24);
		put(ICR, command);
	}
}

static void self(u32 vector)
{
	if (x2)
		put(SELF_IPI, vector);
	else
		put(ICR, 0x40000u | vector);
}

static volatile u64 taken[256];
static volatile u32 order[8];
static volatile u32 orders;
static volatile u64 at; /* TSC of the last one */

static bool note(struct trap_frame *frame)
{
	at = tsc_read();
	taken[frame->vector]++;
	order[orders++ % 8] = (u32)frame->vector;
	put(EOI, 0);
	return true;
}

static void apic_begin(bool x2apic)
{
	x2 = x2apic;
	if (x2)
		msr_write(MSR_APIC_BASE, msr_read(MSR_APIC_BASE) | BASE_X2);
	put(SVR, 0x1ff);
	for (u32 vector = 32; vector < 256; vector++)
		trap_handlers[vector] = note;
}

static void interrupts(void)
{
	__asm__ volatile("sti; nop; nop; cli" : : : "memory");
}

static void halt(void)
{
	__asm__ volatile("sti; hlt; cli" : : : "memory");
}

/* Ticks of the TSC for a microsecond, by CPUID. */
static u64 microsecond(void)
{
	struct cpuid c = cpuid(0x40000010, 0);

	REQUIRE(c.a > 1000 && c.b == c.a / 8);
	return c.a / 1000;
}

/* ---- timer */

#define NAPS 600u

/* Interrupts stay on, and nothing exits. */
static void spin_until(volatile u64 *count, u64 wanted, u64 ticks)
{
	u64 start = tsc_read();

	__asm__ volatile("sti");
	while (*count < wanted && tsc_read() - start < ticks)
		__asm__ volatile("pause");
	__asm__ volatile("cli");
	REQUIRE(*count >= wanted);
}

static void timer_modes(void)
{
	volatile u64 *ticks = &taken[VECTOR_TIMER];
	u64 us = microsecond(), start, now;

	put(DIVIDE, DIVIDE_BY_1);
	put(LVT_TIMER, VECTOR_TIMER);
	*ticks = 0;
	put(INITIAL, ~0u);
	REQUIRE(get(CURRENT) != 0 && get(CURRENT) <= get(INITIAL));
	start = tsc_read();
	put(INITIAL, (u32)(us * 500 / 8));
	spin_until(ticks, 1, us * 1000000);
	REQUIRE(at - start >= us * 500 && get(CURRENT) == 0);
	start = tsc_read();
	put(INITIAL, (u32)(us * 500 / 8));
	halt();
	REQUIRE(*ticks == 2 && at - start >= us * 500);

	put(LVT_TIMER, PERIODIC | VECTOR_TIMER);
	start = tsc_read();
	put(INITIAL, (u32)(us * 200 / 8));
	spin_until(ticks, 7, us * 1000000);
	REQUIRE(at - start >= us * 1000);
	halt();
	REQUIRE(*ticks >= 8);
	put(INITIAL, 0);
	interrupts();
	now = *ticks;
	REQUIRE(get(CURRENT) == 0);

	put(LVT_TIMER, DEADLINE | VECTOR_TIMER);
	msr_write(MSR_TSC_DEADLINE, tsc_read() + us * 100000000);
	REQUIRE(msr_read(MSR_TSC_DEADLINE) != 0);
	start = tsc_read();
	msr_write(MSR_TSC_DEADLINE, start + us * 500);
	spin_until(ticks, now + 1, us * 1000000);
	REQUIRE(at - start >= us * 500 && msr_read(MSR_TSC_DEADLINE) == 0);
	start = tsc_read();
	msr_write(MSR_TSC_DEADLINE, start + us * 500);
	halt();
	REQUIRE(*ticks == now + 2 && at - start >= us * 500);
	msr_write(MSR_TSC_DEADLINE, 1); /* long past */
	interrupts();
	REQUIRE(*ticks == now + 3 && msr_read(MSR_TSC_DEADLINE) == 0);
	msr_write(MSR_TSC_DEADLINE, 0);
	interrupts();
	REQUIRE(*ticks == now + 3);
	/* However near it is: never between STI and HLT, which nothing would end then. */
	for (u64 i = 0; i < NAPS; i++) {
		msr_write(MSR_TSC_DEADLINE, tsc_read() + i * us / 16);
		halt();
	}
	REQUIRE(*ticks == now + 3 + NAPS);
}

BODY(apic_timer)
{
	apic_begin(true);
	timer_modes();
}

BODY(apic_timer_by_page)
{
	apic_begin(false);
	timer_modes();
}

/* A clock of its own, for ever. */
BODY(apic_ticks)
{
	apic_begin(true);
	put(DIVIDE, DIVIDE_BY_1);
	put(LVT_TIMER, PERIODIC | VECTOR_TIMER);
	put(INITIAL, (u32)(microsecond() * 50 / 8));
	__asm__ volatile("sti");
	for (;;)
		__asm__ volatile("pause");
}

/* ---- registers and priorities */

static void priorities(void)
{
	orders = 0;
	self(VECTOR_LOW);
	self(VECTOR_HIGH);
	REQUIRE((get(IRR + 0x20) >> (VECTOR_LOW & 31) & 1) &&
		(get(IRR + 0x30) >> (VECTOR_HIGH & 31) & 1));
	interrupts();
	REQUIRE(orders == 2 && order[0] == VECTOR_HIGH && order[1] == VECTOR_LOW);
	REQUIRE(get(IRR + 0x20) == 0 && get(ISR + 0x20) == 0 && get(ISR + 0x30) == 0);

	/* The task priority holds it back. */
	put(TPR, 0x50);
	self(VECTOR_LOW);
	interrupts();
	REQUIRE(orders == 2 && get(PPR) == 0x50);
	self(VECTOR_HIGH);
	interrupts();
	REQUIRE(orders == 3);
	put(TPR, 0x4f);
	REQUIRE(get(TPR) == 0x4f);
	interrupts();
	REQUIRE(orders == 4);
	put(TPR, 0);
}

/* .. and CR8 is the task priority: no write of it exits, but what waits for one comes. */
BODY(apic_cr8)
{
	u64 cr8;

	apic_begin(true);
	__asm__ volatile("mov %0, %%cr8" : : "r"(7ul) : "memory");
	REQUIRE(get(TPR) == 0x70 && get(PPR) == 0x70);
	self(VECTOR_LOW);
	self(VECTOR_HIGH);
	__asm__ volatile("sti; nop; nop" : : : "memory");
	REQUIRE(orders == 0);
	__asm__ volatile("mov %0, %%cr8; nop; nop" : : "r"(6ul) : "memory");
	REQUIRE(orders == 1 && order[0] == VECTOR_HIGH);
	__asm__ volatile("mov %0, %%cr8; nop; nop; cli" : : "r"(4ul) : "memory");
	REQUIRE(orders == 2 && order[1] == VECTOR_LOW);
	put(TPR, 0x30);
	__asm__ volatile("mov %%cr8, %0" : "=r"(cr8));
	REQUIRE(cr8 == 3);
}

/* A handler that is interrupted by the higher class only. */
static volatile u32 depth, deepest;
static bool nested(struct trap_frame *frame)
{
	depth++;
	deepest = depth > deepest ? depth : deepest;
	if (frame->vector == VECTOR_LOW) {
		REQUIRE(get(PPR) == (VECTOR_LOW & 0xf0));
		self(VECTOR_LOW + 1);
		self(VECTOR_HIGH);
		interrupts();
	}
	note(frame);
	depth--;
	return true;
}

static void nesting(void)
{
	orders = depth = deepest = 0;
	for (u32 vector = VECTOR_LOW; vector <= VECTOR_HIGH; vector++)
		trap_handlers[vector] = nested;
	self(VECTOR_LOW);
	interrupts();
	REQUIRE(orders == 3 && deepest == 2);
	REQUIRE(order[0] == VECTOR_HIGH && order[1] == VECTOR_LOW && order[2] == VECTOR_LOW + 1);
}

static bool faults(u32 msr, u64 value)
{
	return !probe_msr_write(msr, value) && trap_last.vector == VECTOR_GP;
}

BODY(apic_registers)
{
	u64 value;

	REQUIRE(cpuid(1, 0).c >> 21 & 1 && cpuid(1, 0).c >> 24 & 1 && cpuid(1, 0).d >> 9 & 1);
	REQUIRE(cpuid(6, 0).a >> 2 & 1 && cpuid(0xb, 1).d == 0);
	REQUIRE(msr_read(MSR_APIC_BASE) == (BASE | 0x900));
	REQUIRE(!probe_msr_read(MSR_X2APIC + ID / 16, &value));
	REQUIRE(get(VERSION) == 0x50014 && get(ID) == 0);
	put(LDR, ~0u);
	REQUIRE(get(LDR) == 0xff000000 && get(DFR) == ~0u);
	REQUIRE(faults(MSR_APIC_BASE, BASE | BASE_X2) && faults(MSR_APIC_BASE, 0xfec00800));
	apic_begin(true);
	REQUIRE(faults(MSR_APIC_BASE, BASE | BASE_ON));
	REQUIRE(get(LDR) == 1 && get(ID) == 0);
	REQUIRE(faults(MSR_X2APIC + ID / 16, 0) && faults(MSR_X2APIC + EOI / 16, 1) &&
		faults(MSR_X2APIC + DFR / 16, 0) && faults(MSR_X2APIC + ICR / 16, 1 << 12));
	REQUIRE(!probe_msr_read(MSR_X2APIC + EOI / 16, &value) &&
		!probe_msr_read(MSR_X2APIC + ICR_HIGH / 16, &value));
	priorities();
	nesting();
	/* An illegal vector is an error of the sender's. */
	trap_handlers[VECTOR_IPI] = note;
	put(LVT_ERROR, VECTOR_IPI);
	send(0, 5);
	interrupts();
	put(ESR, 0);
	REQUIRE(taken[VECTOR_IPI] == 1 && get(ESR) == 1 << 5);
	msr_write(MSR_APIC_BASE, BASE);
	REQUIRE((cpuid(1, 0).d >> 9 & 1) == 0 && !probe_msr_read(MSR_X2APIC + ID / 16, &value));
	REQUIRE(faults(MSR_APIC_BASE, BASE | BASE_ON | BASE_X2));
	msr_write(MSR_APIC_BASE, BASE | BASE_ON);
	x2 = false;
	REQUIRE(get(SVR) == 0xff && get(LDR) == 0);
}

BODY(apic_page)
{
	apic_begin(false);
	priorities();
	nesting();
	REQUIRE(*(volatile u8 *)(BASE + SVR + 1) == 1);
	*(volatile u8 *)(BASE + SVR + 1) = 0; /* not defined; does nothing here */
	REQUIRE(get(SVR) == 0x1ff);
	put(0x40, 0);
	put(ESR, 0);
	REQUIRE(get(ESR) == 1 << 7);
}

/* ---- halts */

/* step(1): the manager sends VECTOR_IPI while this halts; nothing else would end it. */
BODY(apic_halt)
{
	apic_begin(true);
	trap_handlers[VECTOR_NMI] = note;
	halt();
	REQUIRE(taken[VECTOR_IPI] == 1);
	step(1);
	interrupts();
	REQUIRE(taken[VECTOR_IPI] == 2 && taken[VECTOR_LOW] == 1 && taken[VECTOR_HIGH] == 1);
	REQUIRE(order[1] == VECTOR_IPI && order[2] == VECTOR_HIGH && order[3] == VECTOR_LOW);
	__asm__ volatile("hlt" : : : "memory"); /* interrupts off: an event; an NMI ends it */
	REQUIRE(taken[VECTOR_NMI] == 1);
}

/* ---- two vCPUs */

extern const u8 trampoline[];
extern const u8 trampoline_end[];
#define TRAMPOLINE 0x8000ul

__asm__(".pushsection .rodata\n"
	".globl trampoline, trampoline_end\n"
	".code16\n"
	"trampoline:\n"
	"	cli\n"
	"	mov %cs, %ax\n"
	"	mov %ax, %ds\n"
	"	lgdtl trampoline_pointer - trampoline\n"
	"	mov %cr0, %eax\n"
	"	or $1, %eax\n"
	"	mov %eax, %cr0\n"
	"	ljmpl $8, $0x8000 + trampoline_32 - trampoline\n"
	".code32\n"
	"trampoline_32:\n"
	"	mov $16, %eax\n"
	"	mov %eax, %ds\n"
	"	mov %eax, %es\n"
	"	mov %eax, %ss\n"
	"	mov $0x53410001, %eax\n"
	"	mov $guest_entry, %ecx\n"
	"	jmp *%ecx\n"
	".code64\n"
	".balign 8\n"
	"trampoline_gdt:\n"
	"	.quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff\n"
	"trampoline_pointer:\n"
	"	.word 23\n"
	"	.long 0x8000 + trampoline_gdt - trampoline\n"
	"trampoline_end:\n"
	".popsection\n");

static volatile u64 started, pings, nmis;
static u64 rounds;

static bool pong(struct trap_frame *frame)
{
	(void)frame;
	pings++;
	put(EOI, 0);
	send(0, VECTOR_IPI);
	return true;
}

static bool count_nmi(struct trap_frame *frame)
{
	(void)frame;
	nmis++;
	return true;
}

static void other(void)
{
	u64 deadline;

	REQUIRE(get(ID) == (x2 ? 1u : 1u << 24));
	put(SVR, 0x1ff);
	if (x2)
		REQUIRE(get(LDR) == 2);
	/* A deadline of its own first. */
	put(LVT_TIMER, DEADLINE | VECTOR_TIMER);
	deadline = tsc_read() + microsecond() * 200;
	msr_write(MSR_TSC_DEADLINE, deadline);
	__asm__ volatile("sti; hlt" : : : "memory");
	REQUIRE(tsc_read() >= deadline);
	started++;
	for (;;)
		__asm__ volatile("sti; hlt; cli" : : : "memory");
}

static void start_other(void)
{
	u64 before = started, start = tsc_read(), us = microsecond();

	memcpy((void *)TRAMPOLINE, trampoline, (u64)(trampoline_end - trampoline));
	send(1, ICR_INIT);
	send(1, ICR_STARTUP | TRAMPOLINE >> 12);
	send(1, ICR_STARTUP | TRAMPOLINE >> 12);
	/* With interrupts on: Bochs lets none of the root's out of an SVM guest that has them off.
	 */
	while (started == before && tsc_read() - start < us * 5000000)
		__asm__ volatile("sti; nop; pause; cli");
	REQUIRE(started == before + 1);
}

static void exchange(void)
{
	u64 us = microsecond();

	trap_handlers[VECTOR_HIGH] = pong;
	trap_handlers[VECTOR_NMI] = count_nmi;
	start_other();
	taken[VECTOR_IPI] = 0;
	for (u64 i = 1; i <= rounds; i++) {
		send(1, VECTOR_HIGH);
		if (i % 2) {
			spin_until(&taken[VECTOR_IPI], i, us * 1000000);
		} else {
			while (taken[VECTOR_IPI] < i)
				halt();
		}
	}
	REQUIRE(pings == rounds);
	/* All but me; to a logical address; an NMI. */
	put(ICR, ICR_OTHERS | VECTOR_HIGH);
	spin_until(&taken[VECTOR_IPI], rounds + 1, us * 1000000);
	if (x2) {
		send(3, 0x800 | VECTOR_LOW); /* logical: both */
		send(2, 0x800 | VECTOR_HIGH);
		spin_until(&taken[VECTOR_IPI], rounds + 2, us * 1000000);
		REQUIRE(taken[VECTOR_LOW] >= 1);
	}
	send(1, ICR_NMI);
	for (u64 start = tsc_read(); nmis == 0 && tsc_read() - start < us * 1000000;)
		__asm__ volatile("sti; nop; pause; cli");
	REQUIRE(nmis == 1);
	/* Once more from the beginning, out of its HLT. */
	start_other();
	send(1, VECTOR_HIGH);
	spin_until(&taken[VECTOR_IPI], rounds + 2, us * 1000000);
}

static u64 number(const char *name, const char *otherwise)
{
	char text[24] = "";
	u64 n = 0;

	if (!option_find(guest.args, name, text, sizeof(text)))
		memcpy(text, otherwise, strlen(otherwise) + 1);
	for (const char *c = text; *c >= '0' && *c <= '9'; c++)
		n = n * 10 + (u64)(*c - '0');
	return n;
}

static void other_x2(void)
{
	msr_write(MSR_APIC_BASE, msr_read(MSR_APIC_BASE) | BASE_X2);
	other();
}

BODY_WITH_AP(apic_messages, other_x2)
{
	rounds = number("rounds", "50");
	apic_begin(true);
	exchange();
}

BODY_WITH_AP(apic_messages_by_page, other)
{
	rounds = number("rounds", "50");
	apic_begin(false);
	exchange();
}
