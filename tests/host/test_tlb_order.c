/* SPDX-License-Identifier: BSD-2-Clause */
/* mm/tlb.h and mm/tlb.c on a processor that delays stores, as x86 does (Intel SDM vol. 3, 8.2;
 * "x86-TSO").
 *
 * Every atomic access of that code goes to a simulated machine here: a store waits in its CPU's
 * buffer until the machine likes to write it, unless it is a locked one (SEQ_CST), which waits for
 * the buffer to be empty; a load looks into its own CPU's buffer first. Two CPUs run as coroutines,
 * and every order of their steps, of the buffers' writes and of the kick's arrival is tried, up to
 * states that have been seen before. CPU 1 enters and leaves guest mode and uses a translation
 * there; CPU 0 changes the table, invalidates, and gives the old frame away. Then nobody may use it
 * any more.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <cmocka.h>

#include "kernel/types.h"

static u64 tso_load(const void *from);
static void tso_store(void *to, u64 value, bool locked);
static u64 tso_add(u64 *to, u64 value);
static void tso_fence(bool full);

#define __atomic_load_n(from, order)	     ((__typeof__(*(from)))tso_load(from))
#define __atomic_store_n(to, value, order)   tso_store(to, (u64)(value), (order) == __ATOMIC_SEQ_CST)
#define __atomic_add_fetch(to, value, order) (tso_add(to, value) + (value))
#define __atomic_fetch_add(to, value, order) tso_add(to, value)
#define __atomic_thread_fence(order)	     tso_fence((order) == __ATOMIC_SEQ_CST)

#include "mm/tlb.c"

#define CPUS	  2u
#define STORES	  8u /* a buffer holds at most */
#define STACK	  65536u
#define STEPS	  400u /* of one run */
#define SEEN_BITS 22u

static struct tlb tlb;

/* ---- The machine ---- */

enum action { STEP0, STEP1, WRITE0, WRITE1, KICK, ACTIONS };

static struct sim_cpu {
	ucontext_t context;
	void *stack;
	bool over;
	bool waits;  /* in cpu_await(): until memory has changed since it looked */
	bool looks;  /* it has read since cpu_await() */
	u64 looked;  /* `changes` when it began to */
	u64 history; /* of all that it has read: with it, its own state is known */
	struct {
		u64 *to;
		u64 value;
	} buffer[STORES];
	unsigned buffered;
} cpus[CPUS];
static ucontext_t scheduler;
static unsigned running;
static u64 changes; /* of memory */
/* What is broken: a barrier that the code asks for and does not get. */
static enum { NOTHING, ENTER, FENCE, SEEN, BROKEN } broken;

static u64 mixed(u64 hash, u64 value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15ull;
	return hash ^ hash >> 29;
}

/* A step of this CPU ends: anything else may happen now. */
static void pause_step(void)
{
	cpus[running].history = mixed(cpus[running].history, 2);
	swapcontext(&cpus[running].context, &scheduler);
}

static void write_one(struct sim_cpu *cpu)
{
	*cpu->buffer[0].to = cpu->buffer[0].value;
	cpu->buffered--;
	memmove(&cpu->buffer[0], &cpu->buffer[1], cpu->buffered * sizeof(cpu->buffer[0]));
	changes++;
}

static void tso_fence(bool full)
{
	while (full && broken != FENCE && cpus[running].buffered != 0)
		write_one(&cpus[running]);
}

static u64 tso_load(const void *from)
{
	struct sim_cpu *cpu = &cpus[running];
	u64 value;

	pause_step();
	if (!cpu->looks)
		cpu->looked = changes;
	cpu->looks = true;
	value = *(const u64 *)from;
	for (unsigned i = 0; i < cpu->buffered; i++)
		if (cpu->buffer[i].to == from)
			value = cpu->buffer[i].value;
	cpu->history = mixed(cpu->history, value);
	return value;
}

static void tso_store(void *to, u64 value, bool locked)
{
	struct sim_cpu *cpu = &cpus[running];

	pause_step();
	if (cpu->buffered == STORES)
		write_one(cpu);
	cpu->buffer[cpu->buffered].to = to;
	cpu->buffer[cpu->buffered++].value = value;
	cpu->history = mixed(cpu->history, 1);
	if ((broken == ENTER && to == &tlb_cpus[1].tlb) || (broken == SEEN && to == &tlb.seen[1]))
		return;
	while (locked && cpu->buffered != 0)
		write_one(cpu);
}

static u64 tso_add(u64 *to, u64 value)
{
	u64 old;

	/* Nobody else looks at the counters. */
	if (to == &tlb.epoch)
		pause_step();
	while (cpus[running].buffered != 0)
		write_one(&cpus[running]);
	old = *to;
	*to += value;
	changes++;
	cpus[running].history = mixed(cpus[running].history, old);
	return old;
}

/* ---- What the two CPUs do ---- */

static u64 table;   /* what a walk finds; each conversion puts the next number */
static u64 retired; /* this frame and those before have changed hands */
static bool kick_sent, kicked;
static bool stale;
static unsigned rounds;

void cpu_kick(unsigned cpu)
{
	assert_int_equal(cpu, 1);
	kick_sent = true;
	changes++;
}

void cpu_await(unsigned cpu, u64 *since)
{
	assert_int_equal(cpu, 1);
	(void)since;
	cpus[running].waits = true;
	pause_step();
	cpus[running].waits = false;
	cpus[running].looks = false;
}

static void converting_cpu(void)
{
	for (unsigned n = 1; n <= rounds; n++) {
		tso_store(&table, n + 1, false);
		tlb_invalidate(&tlb);
		retired = n;
	}
}

static void entering_cpu(void)
{
	u64 cached = 1; /* from the time before */

	for (unsigned n = 0; n < 2; n++) {
		if (tlb_enter(&tlb, 1))
			cached = 0;
		/* In guest mode, until it is kicked or wants to leave. */
		for (unsigned i = 0; i < 2; i++) {
			pause_step();
			if (kicked)
				break;
			if (cached == 0)
				cached = tso_load(&table);
			else
				stale |= cached <= retired;
			cpus[1].history = mixed(cpus[1].history, cached);
		}
		kicked = false;
		tlb_leave(1);
	}
}

static void run_cpu(unsigned number)
{
	running = number;
	(number == 0 ? converting_cpu : entering_cpu)();
	cpus[number].over = true;
	swapcontext(&cpus[number].context, &scheduler);
}

/* ---- Every order ---- */

static u8 plan[STEPS];	  /* the actions of this run */
static u8 options[STEPS]; /* bit n: action n is possible there and not tried yet */
static u64 *seen;
static u64 states;

static bool seen_before(u64 hash)
{
	u64 at = hash >> (64 - SEEN_BITS);

	hash |= 1;
	for (; seen[at] != 0; at = (at + 1) % (1u << SEEN_BITS))
		if (seen[at] == hash)
			return true;
	seen[at] = hash;
	assert_true(++states < 1u << (SEEN_BITS - 1));
	return false;
}

static u64 state_hash(void)
{
	u64 hash = 0;

	for (unsigned i = 0; i < CPUS; i++) {
		hash = mixed(hash, cpus[i].history);
		hash = mixed(hash, cpus[i].over);
		hash = mixed(hash, cpus[i].waits | cpus[i].looks << 1);
		hash = mixed(hash, cpus[i].looked == changes);
		hash = mixed(hash, cpus[i].buffered);
		for (unsigned n = 0; n < cpus[i].buffered; n++) {
			hash = mixed(hash, (u64)cpus[i].buffer[n].to);
			hash = mixed(hash, cpus[i].buffer[n].value);
		}
	}
	hash = mixed(hash, tlb.epoch);
	hash = mixed(hash, tlb.seen[1]);
	hash = mixed(hash, (u64)tlb_cpus[1].tlb);
	hash = mixed(hash, tlb_cpus[1].epoch);
	hash = mixed(hash, table);
	hash = mixed(hash, retired);
	return mixed(hash, (u64)kick_sent << 1 | kicked);
}

static u8 possible(void)
{
	u8 now = 0;

	for (unsigned i = 0; i < CPUS; i++) {
		if (!cpus[i].over && !(cpus[i].waits && cpus[i].looked == changes))
			now |= (u8)(1u << (STEP0 + i));
		if (cpus[i].buffered != 0)
			now |= (u8)(1u << (WRITE0 + i));
	}
	return kick_sent ? now | 1u << KICK : now;
}

static void act(enum action action)
{
	switch (action) {
	case STEP0:
	case STEP1:
		running = action - STEP0;
		swapcontext(&scheduler, &cpus[running].context);
		break;
	case WRITE0:
	case WRITE1:
		write_one(&cpus[action - WRITE0]);
		break;
	default: /* as any interrupt, it waits for the stores */
		while (cpus[1].buffered != 0)
			write_one(&cpus[1]);
		kick_sent = false;
		kicked = true;
		changes++;
	}
}

static void cpu_start(unsigned number)
{
	struct sim_cpu *cpu = &cpus[number];
	void *stack = cpu->stack ? cpu->stack : malloc(STACK);

	memset(cpu, 0, sizeof(*cpu));
	cpu->stack = stack;
	getcontext(&cpu->context);
	cpu->context.uc_stack.ss_sp = stack;
	cpu->context.uc_stack.ss_size = STACK;
	makecontext(&cpu->context, (void (*)(void))run_cpu, 1, number);
}

static void machine_start(void)
{
	cpu_start(0);
	cpu_start(1);
	tlb = (struct tlb){.epoch = 1, .seen = {1, 1}};
	memset(tlb_cpus, 0, sizeof(tlb_cpus));
	tlb_cpu_count = CPUS;
	table = 1;
	retired = changes = 0;
	kick_sent = kicked = stale = false;
}

/* One run: `depth` actions of the plan, then the first that is possible, until a state that was
 * seen before, or the end. Returns its length. */
static unsigned run(unsigned depth)
{
	unsigned n;

	machine_start();
	for (n = 0; !stale; n++) {
		assert_true(n < STEPS);
		if (n >= depth) {
			if (seen_before(state_hash()))
				break;
			options[n] = possible();
			if (options[n] == 0) {
				assert_true(cpus[0].over && cpus[1].over);
				break;
			}
			plan[n] = (u8)__builtin_ctz(options[n]);
			options[n] &= (u8) ~(1u << plan[n]);
		}
		act(plan[n]);
	}
	return n;
}

/* True: some order lets a stale translation be used. */
static bool some_order_is_stale(void)
{
	unsigned depth = 0;

	seen = calloc(1u << SEEN_BITS, sizeof(*seen));
	assert_non_null(seen);
	states = 0;
	do {
		depth = run(depth);
		while (depth > 0 && options[depth - 1] == 0)
			depth--;
		if (depth > 0) {
			plan[depth - 1] = (u8)__builtin_ctz(options[depth - 1]);
			options[depth - 1] &= (u8) ~(1u << plan[depth - 1]);
		}
	} while (!stale && depth > 0);
	free(seen);
	printf("broken: %u, conversions: %u, states: %lu\n", broken, rounds, states);
	return stale;
}

static void no_order_of_stores_lets_a_stale_translation_be_used(void **state)
{
	(void)state;
	broken = NOTHING;
	for (rounds = 1; rounds <= 2; rounds++)
		assert_false(some_order_is_stale());
}

static void without_one_of_the_barriers_some_order_does(void **state)
{
	(void)state;
	for (broken = ENTER; broken < BROKEN; broken++) {
		bool found = false;

		for (rounds = 1; rounds <= 2 && !found; rounds++)
			found = some_order_is_stale();
		assert_true(found);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_order_of_stores_lets_a_stale_translation_be_used),
		cmocka_unit_test(without_one_of_the_barriers_some_order_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
