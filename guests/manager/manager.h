/* SPDX-License-Identifier: BSD-2-Clause */
/* The embedded manager: runs guests, serves their events, holds the policy, reports.
 *
 * main.c creates the guests and ends with the report; loop.c runs them and hands each event to
 * policy.c (conversions) or devices.c (ports, device memory, MSRs; serial.c is the console). What
 * Linux guests need beyond that is in linux.h.
 */
#ifndef GUESTS_MANAGER_MANAGER_H
#define GUESTS_MANAGER_MANAGER_H

#include "guests/manager/journal.h"
#include "guests/root/build.h"
#include "guests/root/vm.h"

#define GUESTS_MAX 8u

enum policy { POLICY_CONVERT, POLICY_DENY, POLICY_ASK };

enum end {
	END_NONE,     /* it runs */
	END_EXIT,     /* it ended itself, with a code */
	END_RESET,    /* a Linux guest has reset itself */
	END_SHUTDOWN, /* triple fault */
	END_FAILED,   /* Septum could not go on with it */
	END_HALTED,   /* all its vCPUs halt, and no interrupt will come */
	END_STARVED,  /* its pool is empty and there is no more memory */
	END_RING,     /* Septum no longer trusts its ring */
};

struct uart {
	u8 ier, lcr, mcr, scratch, dll, dlm;
	bool empty_pending; /* the transmitter has become empty, and IIR has not said so yet */
	char line[256];
	unsigned length;
};

struct guest_type {
	const char *name; /* of the option type= */
	u32 type;	  /* enum septum_vm_type */
	enum backing backing;
	u64 policy; /* SEV, SEV-ES, SNP: the firmware's guest policy */
	bool shared_bit;
};

struct guest {
	struct vm vm;
	const struct guest_type *type;
	struct build build;
	struct image image;
	enum policy policy; /* of implicit conversions */
	bool deny_explicit;
	bool is_linux; /* image is a kernel, and the platform Linux's */
	enum end end;
	u64 code;   /* END_EXIT: the guest's; END_FAILED: enum septum_failure */
	u64 detail; /* END_FAILED: what else Septum said */
	bool own_pool;
	struct uart uart;
	unsigned shutdown_matched;
	u64 counters[SEPTUM_COUNTER_END]; /* as they were at the end */
	u64 halted;			  /* bit n: vCPU n */
	u64 ended_vcpus;
	struct journal journal;
};

extern struct guest guests[GUESTS_MAX];
extern unsigned guest_count;

/* options.c: makes guests[] out of the boot modules, or one with the demonstration. NULL, or a
 * sentence. */
const char *guests_choose(void);
bool policy_parse(const char *text, enum policy *policy);
extern const char *const policy_names[];

/* loop.c: runs all guests to their end. */
void guests_run(void);
/* Answers an event. */
void answer(struct guest *g, const struct septum_event *event, enum septum_verdict verdict,
	    u64 value);

/* policy.c: MEMORY_FAULT and EXPLICIT. */
void policy_serve(struct guest *g, const struct septum_event *event);

/* devices.c: IO, MMIO, MSR. */
void devices_serve(struct guest *g, const struct septum_event *event);
/* The guest ends: its vCPUs run no more. */
void guest_end(struct guest *g, enum end end, u64 code);

/* serial.c: a 16550 whose output goes to the console line by line, with the VM's name before it. */
u8 serial_in(struct guest *g, u16 offset);
void serial_out(struct guest *g, u16 offset, u8 value);
void serial_flush(struct guest *g);

/* report.c: takes the counters of a guest before it is destroyed; prints the table. Returns the
 * machine's exit: 0 when every guest ended well, nothing leaked and the audit is clean. */
void report_collect(struct guest *g);
int report(u64 leaked);

/* trace.c: prints Septum's trace ring if the option `trace` asks for it. */
void trace_print(void);

#endif
