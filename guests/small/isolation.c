/* SPDX-License-Identifier: BSD-2-Clause */
/* Bodies about registers: what a guest has in them is its own. */
#include "guests/lib/registers.h"
#include "guests/small/guest.h"

#define ROUNDS 20u

static struct registers mine;
static struct registers seen;

/* Every exit that keeps all registers, with a secret in each; 0, or the number of the register that
 * was not kept. */
static void secret_round(u64 seed)
{
	u64 lost = registers_across_out(seed, 0x80);

	REQUIRE(lost == 0);
	lost = registers_across_touch(seed + 1, 0x800000 + seed % 64 * PAGE_SIZE);
	REQUIRE(lost == 0);
}

BODY(registers)
{
	registers_fill(&mine, 0x6e57);
	registers_load(&mine);
	for (u64 i = 0; i < ROUNDS; i++) {
		secret_round(SECRET_SEED + i);
		step(1);
		registers_store(&seen);
		REQUIRE(registers_compare(&mine, &seen) == 0);
	}
}

BODY(xsetbv)
{
	u64 value = 0;
	u32 supported = cpuid(0xd, 0).a;

	if (!(cpuid(1, 0).c >> 26 & 1))
		return; /* no XSAVE */
	PROBE("xor %%eax, %%eax\n\txgetbv", : : "c"(0), "d"(0) : "rax", "memory");
	REQUIRE(trap_last.vector == VECTOR_UD); /* not before CR4.OSXSAVE */
	REQUIRE(!(cpuid(1, 0).c >> 27 & 1));
	cr4_write(cr4_read() | CR4_OSXSAVE);
	REQUIRE(cpuid(1, 0).c >> 27 & 1);
	PROBE("mov %0, %%rax\n\txsetbv",
	      :
	      : "r"((u64)(supported & 7)), "c"(0), "d"(0)
	      : "rax", "memory");
	REQUIRE(trap_last.vector < 0);
	__asm__ volatile("xgetbv" : "=a"(value) : "c"(0) : "rdx");
	REQUIRE((u32)value == (supported & 7));
	/* Without x87; with a reserved bit; a register that there is not; AVX without SSE. */
	PROBE("mov %0, %%rax\n\txsetbv", : : "r"(2ul), "c"(0), "d"(0) : "rax", "memory");
	REQUIRE(trap_last.vector == VECTOR_GP);
	PROBE("mov %0, %%rax\n\txsetbv", : : "r"(3ul), "c"(0), "d"(1u << 31) : "rax", "memory");
	REQUIRE(trap_last.vector == VECTOR_GP);
	PROBE("mov %0, %%rax\n\txsetbv", : : "r"(3ul), "c"(7), "d"(0) : "rax", "memory");
	REQUIRE(trap_last.vector == VECTOR_GP);
	PROBE("mov %0, %%rax\n\txsetbv", : : "r"(5ul), "c"(0), "d"(0) : "rax", "memory");
	REQUIRE(trap_last.vector == VECTOR_GP);
	__asm__ volatile("xgetbv" : "=a"(value) : "c"(0) : "rdx");
	REQUIRE((u32)value == (supported & 7));
}
