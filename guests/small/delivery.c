/* SPDX-License-Identifier: BSD-2-Clause */
/* Bodies about interrupts and exceptions: their delivery, also when it is itself interrupted. */
#include "guests/small/guest.h"

#define STACK_PAGE  0x800000ul /* the exception stack */
#define IDT_PAGE    0x801000ul
#define FAR_TARGET  0x3ffff000ul
#define VECTOR_TEST 0x40u

static volatile u64 taken[256];
static volatile u64 error_of[256];

static bool note(struct trap_frame *frame)
{
	taken[frame->vector]++;
	error_of[frame->vector] = frame->error;
	return true;
}

/* #GP of `mov %ax, %ds` with a bad selector: two bytes to be skipped. */
static bool note_and_skip(struct trap_frame *frame)
{
	note(frame);
	frame->rip += 2;
	return true;
}

BODY(halt)
{
	trap_handlers[VECTOR_TEST] = note;
	trap_handlers[VECTOR_NMI] = note;
	__asm__ volatile("sti; hlt; cli" : : : "memory"); /* woken by vector 0x40 */
	REQUIRE(taken[VECTOR_TEST] == 1);
	step(1); /* vector 0x40 is made pending while interrupts are off */
	REQUIRE(taken[VECTOR_TEST] == 1);
	__asm__ volatile("sti; nop; nop; cli" : : : "memory");
	REQUIRE(taken[VECTOR_TEST] == 2);
	__asm__ volatile("hlt" : : : "memory"); /* interrupts off: woken by an NMI */
	REQUIRE(taken[VECTOR_NMI] == 1 && taken[VECTOR_TEST] == 2);
	__asm__ volatile("hlt" : : : "memory"); /* the manager says: go on */
	step(2);
	REQUIRE(taken[VECTOR_NMI] == 2);
}

/* `how`: 0 a page that nobody has touched, 1 a page that is shared. */
static void prepare(volatile u8 *page, u32 how)
{
	if (how)
		REQUIRE(make_shared((u64)page, PAGE_SIZE) == 0);
}

static void stack_case(unsigned vector, u32 how, u64 stack)
{
	trap_ist_set(4, (void *)(stack + PAGE_SIZE));
	trap_ist_use(vector, 4);
	prepare((volatile u8 *)stack, how);
	step(100 + vector);
}

/* The exception stack is not there, or on the wrong side: the event is delivered all the same,
 * once. */
BODY(nested_delivery)
{
	u64 stack = STACK_PAGE;

	trap_handlers[VECTOR_GP] = note_and_skip;
	trap_handlers[VECTOR_UD] = note_and_skip;
	trap_handlers[VECTOR_NMI] = note;
	trap_handlers[VECTOR_TEST] = note;
	trap_handlers[0x80] = note;
	for (u32 how = 0; how < 2; how++) {
		stack_case(VECTOR_GP, how, stack);
		__asm__ volatile("mov %0, %%ds" : : "a"(0x1230) : "memory");
		REQUIRE(taken[VECTOR_GP] == how + 1 && error_of[VECTOR_GP] == 0x1230);
		stack += PAGE_SIZE;
		stack_case(VECTOR_UD, how, stack);
		__asm__ volatile("ud2" : : : "memory");
		REQUIRE(taken[VECTOR_UD] == how + 1);
		stack += PAGE_SIZE;
		stack_case(0x80, how, stack);
		__asm__ volatile("int $0x80" : : : "memory");
		REQUIRE(taken[0x80] == how + 1);
		stack += PAGE_SIZE;
		stack_case(VECTOR_TEST, how, stack); /* the manager injects it there */
		__asm__ volatile("sti; nop; nop; cli" : : : "memory");
		REQUIRE(taken[VECTOR_TEST] == how + 1);
		stack += PAGE_SIZE;
		stack_case(VECTOR_NMI, how, stack);
		__asm__ volatile("nop; nop" : : : "memory");
		REQUIRE(taken[VECTOR_NMI] == how + 1);
		stack += PAGE_SIZE;
	}
}

BODY(triple_fault)
{
	struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) none = {0, 0};

	__asm__ volatile("lidt %0; ud2" : : "m"(none) : "memory");
}

BODY(halt_for_ever)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

BODY(pass)
{
	step(1);
}
