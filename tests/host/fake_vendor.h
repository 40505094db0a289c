/* SPDX-License-Identifier: BSD-2-Clause */
/* A processor that executes scripts: what kernel/exits.h and kernel/vendor.h promise, without a
 * processor. Each vCPU has a list of steps; guest_run() does them one by one through the real
 * memory and protocol code, stops where a guest would stop, and goes on where its verdict lets it.
 */
#ifndef TESTS_FAKE_VENDOR_H
#define TESTS_FAKE_VENDOR_H

#include "kernel/exits.h"
#include "kernel/vendor.h"
#include "kernel/vm.h"

#define FAKE_VENDOR_PAGES 3u
#define FAKE_XSAVE_BYTES  576u

enum step_kind {
	STEP_END,   /* nothing more to do: gives its turn up */
	STEP_READ,  /* a: address as the processor forms it; 8 bytes into `seen` */
	STEP_WRITE, /* .. and b: the value */
	STEP_EXEC,
	STEP_WALK,	/* a page walk's read */
	STEP_MAP_RANGE, /* a: gpa, b: pages, c: attributes; the answer into `seen` */
	STEP_IN,	/* a: port; the value into `seen` */
	STEP_RDMSR,	/* a: number; the value into `seen` */
	STEP_HALT,	/* a: interrupts are enabled */
	STEP_SHUTDOWN,
	STEP_INTERRUPT, /* the root gets one: guest_run() returns once */
};

/* How often the root was interrupted for an event. */
extern unsigned fake_doorbells;

struct fake_step {
	enum step_kind kind;
	u64 a, b, c;
};

#define FAKE_STEPS 128u
struct fake_cpu {
	struct fake_step steps[FAKE_STEPS];
	u64 seen[FAKE_STEPS];	  /* by step */
	bool refused[FAKE_STEPS]; /* the step ended in an exception */
	unsigned count, at;
	bool in_flight, answered;
	u64 answer;
	bool machine_check; /* pending */
	u64 machine_check_gpa;
	unsigned machine_checks, exceptions, turns, nmis, interrupts;
	struct vcpu_state state;
};

struct fake_cpu *fake_cpu(u64 vm, u64 vcpu);
void fake_step(u64 vm, u64 vcpu, enum step_kind kind, u64 a, u64 b, u64 c);
/* Forgets all scripts and counts. */
void fake_reset(void);

extern unsigned fake_cpl;
extern bool fake_long_mode;
extern unsigned fake_order[64]; /* vCPUs in the order of their turns */
extern unsigned fake_turns;
extern const struct vcpu *fake_loaded;
/* Called before each step; for what happens meanwhile elsewhere. */
extern void (*fake_hook)(struct vcpu *v);

/* What call_console() wrote. */
extern char fake_console[256];
extern size_t fake_console_length;

#endif
