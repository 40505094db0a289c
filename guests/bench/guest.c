/* SPDX-License-Identifier: BSD-2-Clause */
/* The bench guest: does each operation between two readings of the TSC and tells its manager. What
 * it takes to have the memory as an operation wants it lies outside of the two.
 */
#include "guests/bench/protocol.h"
#include "guests/small/guest.h"
#include "kernel/tally_list.h"

#define SAMPLE(row, operation)                                                                     \
	do {                                                                                       \
		u32 start_, end_;                                                                  \
                                                                                                   \
		out32(PORT_BEGIN, (row));                                                          \
		start_ = ticks();                                                                  \
		operation;                                                                         \
		end_ = ticks();                                                                    \
		out32(PORT_SAMPLE, end_ - start_);                                                 \
	} while (0)

static bool intel;

static inline u32 ticks(void)
{
	u32 low;

	__asm__ volatile("rdtsc" : "=a"(low) : : "rdx", "memory");
	return low;
}

static inline s64 call(u64 number, u64 address, u64 pages, u64 flags)
{
	s64 result;

	if (intel)
		__asm__ volatile("vmcall"
				 : "=a"(result)
				 : "a"(number), "b"(address), "c"(pages), "d"(flags)
				 : "memory");
	else
		__asm__ volatile("vmmcall"
				 : "=a"(result)
				 : "a"(number), "b"(address), "c"(pages), "d"(flags)
				 : "memory");
	return result;
}

static inline void convert(u64 address, u64 bytes, bool to_private)
{
	s64 result = call(SEPTUM_HC_MAP_GPA_RANGE, address, bytes / PAGE_SIZE,
			  to_private ? SEPTUM_MAP_PRIVATE : 0);

	if (__builtin_expect(result != 0, 0))
		guest_fail(__FILE__, __LINE__, "a conversion is granted");
}

static inline volatile u64 *word(u64 address, bool private)
{
	return (volatile u64 *)(private ? address : SHARED_ALIAS + address);
}

static void touch(u64 address, u64 bytes, u64 stride, bool private)
{
	for (u64 offset = 0; offset < bytes; offset += stride)
		*word(address + offset, private) = 1;
}

static void exits(void)
{
	volatile u64 *shared = word(BENCH_SMALL, false);

	for (u32 i = 0; i < BENCH_SAMPLES; i++) {
		SAMPLE(BENCH_BRACKET, (void)0);
		SAMPLE(BENCH_FLOOR, call(FLOOR_CALL, 0, 0, 0));
	}
	for (u32 i = 0; i < BENCH_SAMPLES; i++) {
		SAMPLE(BENCH_CPUID, cpuid(0, 0));
		SAMPLE(BENCH_HYPERCALL, call(63, 0, 0, 0));
		SAMPLE(BENCH_PIO, out32(PORT_PING, 0));
		SAMPLE(BENCH_REFUSED, call(SEPTUM_HC_MAP_GPA_RANGE, BENCH_REFUSED_PAGE, 1, 0));
	}
	for (u32 i = 0; i < BENCH_SAMPLES; i++) {
		convert(BENCH_SMALL, PAGE_SIZE, false);
		SAMPLE(BENCH_FAULT, *shared = 1);
		convert(BENCH_SMALL, PAGE_SIZE, true);
		*word(BENCH_SMALL, true) = 1;
	}
}

/* One page of a block whose other pages are private, all of them populated. */
static void pages(void)
{
	u64 page = BENCH_SMALL + 5 * PAGE_SIZE;
	volatile u64 *shared = word(page, false);
	volatile u64 *private = word(page, true);

	touch(BENCH_SMALL, LARGE_SIZE, PAGE_SIZE, true);
	convert(BENCH_SMALL, PAGE_SIZE, false);
	for (u32 i = 0; i < BENCH_SAMPLES; i++) {
		SAMPLE(BENCH_IMPLICIT_S, *shared = 1);
		SAMPLE(BENCH_IMPLICIT_P, *private = 1);
		SAMPLE(BENCH_PAGE_S, convert(page, PAGE_SIZE, false); *shared = 1);
		SAMPLE(BENCH_PAGE_P, convert(page, PAGE_SIZE, true); *private = 1);
	}
}

/* A block that is one frame on either side. */
static void blocks(void)
{
	volatile u64 *shared = word(BENCH_BLOCK, false);
	volatile u64 *private = word(BENCH_BLOCK, true);

	*private = 1;
	for (u32 i = 0; i < BENCH_SAMPLES; i++) {
		SAMPLE(BENCH_BLOCK_S, convert(BENCH_BLOCK, LARGE_SIZE, false));
		*shared = 1;
		SAMPLE(BENCH_BLOCK_P, convert(BENCH_BLOCK, LARGE_SIZE, true));
		*private = 1;
		SAMPLE(BENCH_FIRST_S, convert(BENCH_BLOCK, PAGE_SIZE, false); *shared = 1);
		convert(BENCH_BLOCK + PAGE_SIZE, LARGE_SIZE - PAGE_SIZE, false);
		*word(BENCH_BLOCK + PAGE_SIZE, false) = 1;
		SAMPLE(BENCH_FIRST_P, convert(BENCH_BLOCK, PAGE_SIZE, true); *private = 1);
		convert(BENCH_BLOCK, PAGE_SIZE, false);
		convert(BENCH_BLOCK, LARGE_SIZE, true);
		*private = 1;
	}
}

/* As long as one page is of the other kind, the others get frames of their own. */
static void scatter(bool private)
{
	convert(BENCH_BLOCK + LARGE_SIZE - PAGE_SIZE, PAGE_SIZE, !private);
	touch(BENCH_BLOCK, LARGE_SIZE - PAGE_SIZE, PAGE_SIZE, private);
	convert(BENCH_BLOCK + LARGE_SIZE - PAGE_SIZE, PAGE_SIZE, private);
}

static void scattered(void)
{
	for (u32 i = 0; i < BENCH_SAMPLES; i++) {
		convert(BENCH_BLOCK, LARGE_SIZE, false);
		scatter(false);
		SAMPLE(BENCH_SCATTERED_P, convert(BENCH_BLOCK, LARGE_SIZE, true));
		scatter(true);
		SAMPLE(BENCH_SCATTERED_S, convert(BENCH_BLOCK, LARGE_SIZE, false));
		convert(BENCH_BLOCK, LARGE_SIZE, true);
	}
}

static void large(void)
{
	for (u32 i = 0; i < BENCH_SAMPLES_LARGE; i++) {
		touch(BENCH_LARGE, BENCH_LARGE_BYTES, LARGE_SIZE, true);
		SAMPLE(BENCH_LARGE_S, convert(BENCH_LARGE, BENCH_LARGE_BYTES, false));
		touch(BENCH_LARGE, BENCH_LARGE_BYTES, LARGE_SIZE, false);
		SAMPLE(BENCH_LARGE_P, convert(BENCH_LARGE, BENCH_LARGE_BYTES, true));
	}
}

static void attributes(void)
{
	convert(BENCH_BARE + LARGE_SIZE - PAGE_SIZE, PAGE_SIZE, false);
	for (u32 i = 0; i < BENCH_SAMPLES; i++) {
		SAMPLE(BENCH_ATTRIBUTE_S, convert(BENCH_BARE, 256 * PAGE_SIZE, false));
		SAMPLE(BENCH_ATTRIBUTE_P, convert(BENCH_BARE, 256 * PAGE_SIZE, true));
	}
}

/* Each vCPU has a page, which it uses now privately, now shared. */
static void batch(void)
{
	static u32 last;
	u32 vcpu = __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
	u64 page = BENCH_BATCH_AREA + vcpu * PAGE_SIZE;

	for (;;) {
		*word(page, false) = 1;
		*word(page, true) = 1;
	}
}

/* Arms the local APIC's timer with a deadline that is past, takes the interrupt, ends it. */
#define MSR_APIC_BASE	 0x1bu
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_SVR		 0x80fu
#define MSR_LVT_TIMER	 0x832u
#define BASE_X2		 0x400u
#define SVR_ON		 0x1ffu
#define DEADLINE	 0x40000u
#define VECTOR_TIMER	 0x40u

extern const u8 timer_handler[];
static volatile u64 interrupts;

__asm__(".pushsection .text\n"
	".globl timer_handler\n"
	"timer_handler:\n"
	"	push %rax\n"
	"	push %rcx\n"
	"	push %rdx\n"
	"	incq interrupts(%rip)\n"
	"	mov $0x80b, %ecx\n"
	"	xor %eax, %eax\n"
	"	xor %edx, %edx\n"
	"	wrmsr\n"
	"	pop %rdx\n"
	"	pop %rcx\n"
	"	pop %rax\n"
	"	iretq\n"
	".popsection\n");

static void gate_set(unsigned vector, const u8 *handler)
{
	u16 *gate = (u16 *)trap_idt() + 8ul * vector;
	u64 at = (u64)handler;

	gate[0] = (u16)at;
	gate[3] = (u16)(at >> 16);
	gate[4] = (u16)(at >> 32);
	gate[5] = (u16)(at >> 48);
}

BODY(timer)
{
	msr_write(MSR_APIC_BASE, msr_read(MSR_APIC_BASE) | BASE_X2);
	msr_write(MSR_SVR, SVR_ON);
	msr_write(MSR_LVT_TIMER, DEADLINE | VECTOR_TIMER);
	gate_set(VECTOR_TIMER, timer_handler);
	__asm__ volatile("sti");
	for (u32 i = 0; i < BENCH_SAMPLES; i++)
		SAMPLE(BENCH_TIMER, msr_write(MSR_TSC_DEADLINE, 1));
	__asm__ volatile("cli");
	REQUIRE(interrupts == BENCH_SAMPLES);
}

BODY_WITH_AP(bench, batch)
{
	intel = cpu_is_intel();
	exits();
	pages();
	blocks();
	scattered();
	large();
	attributes();
	/* The block of the batch is never uniform, and no private page there is populated. */
	convert(BENCH_BATCH_AREA, PAGE_SIZE, false);
	out32(PORT_BATCH, 0);
}
