/* SPDX-License-Identifier: BSD-2-Clause */
/* What every small guest has: its start, its view of memory, and how it tells the manager what
 * happened.
 *
 * A small guest is a body: BODY(name) { ... }. The image has many; the word body=NAME of the
 * command line chooses. A body that returns has passed. Memory from FREE_START on is the body's.
 */
#ifndef GUESTS_SMALL_GUEST_H
#define GUESTS_SMALL_GUEST_H

#include "guests/lib/cpu.h"
#include "guests/lib/print.h"
#include "guests/lib/string.h"
#include "guests/lib/trap.h"
#include "guests/lib/types.h"
#include "guests/small/protocol.h"

#include <septum/abi.h>

struct body {
	const char *name;
	void (*run)(void);
	void (*run_ap)(void); /* vCPU 1, or NULL */
};

#define BODY_WITH_AP(name, ap)                                                                     \
	static void body_##name(void);                                                             \
	static const struct body entry_##name                                                      \
		__attribute__((section(".bodies"), used, aligned(8))) = {#name, body_##name, ap};  \
	static void body_##name(void)
#define BODY(name) BODY_WITH_AP(name, NULL)

/* From CPUID 0x40000101. */
extern struct guest_view {
	u32 type;
	u32 shared_bit; /* 0: none */
	u32 features;	/* SEPTUM_GUEST_* */
	const char *args;
	const u32 *info; /* multiboot information */
} guest;

/* The shared alias of an address below 1 GiB: with a SHARED bit another virtual address, without
 * one the address itself. */
#define SHARED_ALIAS (1ul << 39)
volatile u8 *shared_alias(u64 gpa);
static inline volatile u64 *word_at(u64 gpa)
{
	return (volatile u64 *)gpa;
}
static inline volatile u64 *shared_word(u64 gpa)
{
	return (volatile u64 *)shared_alias(gpa);
}

/* Splits the 2 MiB page of the identity map around `address` into 4 KiB pages, whose entries it
 * returns. At most 4 times. */
u64 *page_table_split(u64 address);

/* A hypercall as KVM's guests make it; VMCALL or VMMCALL by the processor's maker. */
s64 guest_call(u64 number, u64 a, u64 b, u64 c, u64 d);
/* map-GPA-range. */
s64 make_private(u64 gpa, u64 bytes);
s64 make_shared(u64 gpa, u64 bytes);

/* Stops until the manager goes on; `value` says where the body is. Returns its answer. */
u32 step(u32 value);

/* Ends the guest when a condition does not hold. */
#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			guest_fail(__FILE__, __LINE__, #condition);                                \
	} while (0)
__attribute__((noreturn)) void guest_fail(const char *file, int line, const char *what);
__attribute__((noreturn)) void guest_exit(u32 code);

#endif
