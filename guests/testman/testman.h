/* SPDX-License-Identifier: BSD-2-Clause */
/* The test manager: a root payload that plays the manager of small guests, scenario by scenario.
 *
 * A scenario is SCENARIO(name) { ... }: it makes guests, CHECKs, and returns; when a CHECK fails it
 * returns at once. Before and after it the harness makes and checks a world in which every VM and
 * pool is gone, every frame came back zeroed, and the audit is clean.
 */
#ifndef GUESTS_TESTMAN_TESTMAN_H
#define GUESTS_TESTMAN_TESTMAN_H

#include "guests/lib/cpu.h"
#include "guests/lib/print.h"
#include "guests/lib/string.h"
#include "guests/lib/trap.h"
#include "guests/root/build.h"
#include "guests/root/machine.h"
#include "guests/small/protocol.h"

struct scenario {
	const char *name;
	void (*run)(void);
	bool quick; /* also where time is short */
};

/* Not const: position-independent code has relocations here. */
#define SCENARIO_KIND(name, quick)                                                                 \
	static void scenario_##name(void);                                                         \
	static struct scenario entry_##name                                                        \
		__attribute__((section("scenarios"), used, aligned(8))) = {#name, scenario_##name, \
									   quick};                 \
	static void scenario_##name(void)
#define SCENARIO(name)	     SCENARIO_KIND(name, false)
#define SCENARIO_QUICK(name) SCENARIO_KIND(name, true)

#define TEST_VCPUS     2u
#define TEST_MEMORY    (16ul << 20)
#define TEST_BLOCKS    10ul /* of the pool: memory, tables, vCPUs */
#define TEST_POOLS_MAX 8u

/* The scenario's one VM, and what is known of it. */
extern struct test {
	const char *name;
	struct vm vm;
	bool failed;
	bool skipped;		  /* the machine lacks what it needs; it has said so and returned */
	u32 status;		  /* of the last call or verdict */
	struct septum_event last; /* the last event that next() gave */
	struct {
		struct septum_event event;
		bool waits;
	} step[TEST_VCPUS];
	u32 step_answer;	/* what the guest's next step() returns */
	bool serve_conversions; /* next() grants conversions itself */
	u64 conversions;	/* how many it granted */
	u64 guest_line;
	struct {
		u64 id;
		u8 *memory[TEST_POOLS_MAX];
		u64 blocks[TEST_POOLS_MAX];
		u32 count;
	} pool;
} test;

void test_fail(const char *file, int line, const char *what);
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			test_fail(__FILE__, __LINE__, #condition);                                 \
			return;                                                                    \
		}                                                                                  \
	} while (0)
/* For helpers that return false on failure, having said why. */
#define CHECK_OR_FALSE(condition)                                                                  \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			test_fail(__FILE__, __LINE__, #condition);                                 \
			return false;                                                              \
		}                                                                                  \
	} while (0)

/* A hypercall whose status is kept in test.status; true when it is this one. */
#define GIVES(wanted, ...) ((test.status = septum(__VA_ARGS__).status) == SEPTUM_##wanted)

/* Builds of the usual kinds: private memory, one vCPU. */
extern struct build build_sw;	  /* without a SHARED bit */
extern struct build build_sw_bit; /* with one */
extern struct build build_plain;

/* The pool of the scenario: donates `blocks` of 2 MiB full of rubbish (creates it at first). */
bool pool_add(u64 blocks);
/* Makes the pool if there is none, and test.vm with a small guest's body; not started. */
bool guest_prepare(const struct build *build, const char *body);
/* .. and starts it. */
bool guest_begin(const struct build *build, const char *body);
/* Removes VM and pool and checks that nothing is left. Called by the harness too. */
bool world_clean(void);

/* Runs (all vCPUs, or one) until an event that concerns the scenario. False, and the scenario has
 * failed, when nothing runs any more. A vCPU that waits in a step() goes on first. */
bool next(struct septum_event *event);
bool next_on(u32 vcpu, struct septum_event *event);
/* Runs until the guest is in step(value) and leaves it there. */
bool expect_step(u32 value);
bool expect_step_on(u32 vcpu, u32 value);
/* Runs to the guest's end, which must be good. */
bool expect_end(void);
/* Runs until nothing runs: true when no event was posted. */
bool expect_idle(void);

/* Answers an event and runs its vCPU; returns the verdict's status. */
u32 verdict(const struct septum_event *event, u32 verdict, u64 value);
u32 convert(const struct septum_event *event, u64 gpa, u64 size, bool to_private);
/* As the guest asked. */
u32 grant(const struct septum_event *event);
u32 answer_with(const struct septum_completion *completion);

/* Where the root sees the guest's shared memory. */
u8 *ram_at(u64 gpa);
/* The first, a middle and the last word of each page hold this byte. */
bool pages_hold(const volatile u8 *at, u8 value, u64 bytes);

#endif
