/* SPDX-License-Identifier: BSD-2-Clause */
/* Bodies about the processor: debug exceptions, alignment checks, interrupt priorities, caches. */
#include "guests/small/guest.h"

#define VECTOR_AC    17u
#define VECTOR_TEST  0x40u
#define RFLAGS_AC    (1ul << 18)
#define CR0_AM	     (1ul << 18)
#define DR6_BS	     (1ul << 14)
#define MSR_DEBUGCTL 0x1d9u
#define DEBUGCTL_BTF 2ul
#define USER_STACK   0x800000ul

static volatile u64 taken[256];
static volatile u64 causes; /* DR6 of the last #DB */

static bool note(struct trap_frame *frame)
{
	taken[frame->vector]++;
	return true;
}

static bool note_debug(struct trap_frame *frame)
{
	u64 value;

	__asm__ volatile("mov %%dr6, %0" : "=r"(value));
	__asm__ volatile("mov %0, %%dr6" : : "r"(0xffff0ff0ul));
	causes = value;
	return note(frame);
}

/* A step at a time over instructions that exit and those that do not, INT1, and a watched word.
 * With SVM, Bochs 2.7 leaves the causes out of DR6, and QEMU has no INT1. */
BODY(debugging)
{
	static volatile u64 word;
	bool exact = cpu_is_intel();

	trap_handlers[VECTOR_DB] = note_debug;
	__asm__ volatile("pushfq; orl $0x100, (%%rsp); popfq\n\t"
			 "cpuid\n\t"
			 "nop\n\t"
			 "pushfq; andl $~0x100, (%%rsp); popfq"
			 : "+a"((u64){0}), "+c"((u64){0})
			 :
			 : "rbx", "rdx", "memory", "cc");
	REQUIRE(taken[VECTOR_DB] == 5);
	REQUIRE(causes & DR6_BS || !exact);
	if (exact) {
		causes = 0;
		__asm__ volatile(".byte 0xf1" : : : "memory");
		REQUIRE(taken[VECTOR_DB] == 6);
		REQUIRE(!(causes & (DR6_BS | 15)));
	}
	taken[VECTOR_DB] = 0;
	__asm__ volatile("mov %0, %%dr0" : : "r"(&word));
	__asm__ volatile("mov %0, %%dr7" : : "r"(0x400ul | 1 | 9 << 16)); /* writes, 8 bytes */
	word = 1;
	__asm__ volatile("mov %0, %%dr7" : : "r"(0x400ul));
	REQUIRE(taken[VECTOR_DB] == 1);
	REQUIRE((causes & 15) == 1 || !exact);
}

static u64 misaligned(u64 address)
{
	u64 value;

	__asm__ volatile("pushfq; orl %2, (%%rsp); popfq\n\t"
			 "mov (%1), %0"
			 : "=r"(value)
			 : "r"(address), "i"(RFLAGS_AC)
			 : "memory", "cc");
	return value;
}

static bool note_alignment(struct trap_frame *frame)
{
	frame->rflags &= ~RFLAGS_AC;
	REQUIRE(frame->error == 0);
	return note(frame);
}

/* QEMU checks no alignment. */
BODY(alignment)
{
	static volatile u8 bytes[16] __attribute__((aligned(16))) = {0, 1, 2, 3, 4, 5, 6, 7, 8};

	trap_handlers[VECTOR_AC] = note_alignment;
	cr0_write(cr0_read() | CR0_AM);
	REQUIRE(user_run(misaligned, (u64)&bytes[1], (void *)USER_STACK) == 0x0807060504030201ul);
	REQUIRE(taken[VECTOR_AC] == 1 || !cpu_is_intel());
	cr0_write(cr0_read() & ~CR0_AM);
}

static void cr8_write(u64 value)
{
	__asm__ volatile("mov %0, %%cr8" : : "r"(value) : "memory");
}

static u64 cr8_read(void)
{
	u64 value;

	__asm__ volatile("mov %%cr8, %0" : "=r"(value) : : "memory");
	return value;
}

/* CR8 holds back what is not above it, and is the guest's own. */
BODY(priorities)
{
	trap_handlers[VECTOR_TEST] = note;
	REQUIRE(cr8_read() == 0);
	cr8_write(VECTOR_TEST >> 4);
	step(1); /* vector 0x40 is made pending */
	REQUIRE(cr8_read() == VECTOR_TEST >> 4);
	__asm__ volatile("sti; nop; nop" : : : "memory");
	REQUIRE(taken[VECTOR_TEST] == 0);
	step(2);
	REQUIRE(taken[VECTOR_TEST] == 0);
	cr8_write((VECTOR_TEST >> 4) - 1);
	__asm__ volatile("nop; nop; cli" : : : "memory");
	REQUIRE(taken[VECTOR_TEST] == 1);
	cr8_write(0);
}

BODY(caches)
{
	static volatile u64 word;
	u64 value;

	word = 0x600d;
	__asm__ volatile("wbinvd" : : : "memory");
	__asm__ volatile("invd" : : : "memory"); /* loses nothing */
	REQUIRE(word == 0x600d);
	cr0_write(cr0_read() | 1ul << 30); /* CD: kept for the guest to see */
	REQUIRE(cr0_read() & 1ul << 30);
	cr0_write(cr0_read() & ~(1ul << 30));
	if (!cpu_is_intel())
		return; /* QEMU lets NW be set without CD, and then cannot be entered */
	PROBE("mov %0, %%rax\n\tmov %%rax, %%cr0", : : "r"(cr0_read() | CR0_NW) : "rax", "memory");
	REQUIRE(trap_last.vector == VECTOR_GP);
	REQUIRE(!(cr0_read() & CR0_NW));
	REQUIRE(probe_msr_write(MSR_DEBUGCTL, DEBUGCTL_BTF));
	REQUIRE(probe_msr_read(MSR_DEBUGCTL, &value) && value == DEBUGCTL_BTF);
	REQUIRE(!probe_msr_write(MSR_DEBUGCTL, 1)); /* LBR: the root's branches are in there */
	REQUIRE(probe_msr_write(MSR_DEBUGCTL, 0));
}

/* Interrupts on, and nothing to do. */
BODY(spin)
{
	do {
		__asm__ volatile("sti" : : : "memory");
		for (u32 i = 0; i < 100000; i++)
			cpu_relax();
		__asm__ volatile("cli" : : : "memory");
	} while (!step(1));
}
