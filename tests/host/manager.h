/* SPDX-License-Identifier: BSD-2-Clause */
/* A manager for tests: hypercalls through root_call(), rings through root memory. */
#ifndef TESTS_MANAGER_H
#define TESTS_MANAGER_H

#include "tests/host/fake_vendor.h"

/* Root frames that tests use; all of it ordinary RAM. */
#define ROOT_POOL   2048ul /* first of POOL_BLOCKS blocks that become pools */
#define POOL_BLOCKS 4ul
#define ROOT_RING   512ul  /* ring areas, 16 frames apart */
#define ROOT_SLOT   4096ul /* behind slots */
#define ROOT_PAGE   1088ul /* to load from, to read traces into */

/* The status (low byte) and argument (second byte) of a call; its value. */
struct answer {
	u64 status;
	u64 argument;
	u64 value;
};
struct answer call(u64 number, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f);
#define CALL0(n)		   call(SEPTUM_CALL_##n, 0, 0, 0, 0, 0, 0)
#define CALL1(n, a)		   call(SEPTUM_CALL_##n, a, 0, 0, 0, 0, 0)
#define CALL2(n, a, b)		   call(SEPTUM_CALL_##n, a, b, 0, 0, 0, 0)
#define CALL3(n, a, b, c)	   call(SEPTUM_CALL_##n, a, b, c, 0, 0, 0)
#define CALL4(n, a, b, c, d)	   call(SEPTUM_CALL_##n, a, b, c, d, 0, 0)
#define CALL5(n, a, b, c, d, e)	   call(SEPTUM_CALL_##n, a, b, c, d, e, 0)
#define CALL6(n, a, b, c, d, e, f) call(SEPTUM_CALL_##n, a, b, c, d, e, f)

/* Starts the machine and the root partition, with machine_pages of RAM; once a process. */
extern u64 machine_pages;
void machine_start(void);
/* Destroys every VM and pool, as a manager would, and checks that every frame is the root's again,
 * unpinned, and the audit clean. */
void machine_empty(void);
/* The audit, or abort with what it says. */
void audit_clean(void);
/* Everything that a refused call must not change, as one number. */
u64 machine_digest(void);

/* A pool of `blocks` blocks, 0 to POOL_BLOCKS. */
u64 pool_new(u64 blocks);
/* Takes free frames out of a pool until `left` are, and gives them back. */
void pool_starve(u64 pool, u64 left);
void pool_feed(void);

/* A VM with its ring area; 0 when it cannot be made. */
u64 vm_new(u64 type, u64 pool, u64 vcpus, u64 shared_bit, u64 flags);
u64 ring_pfn(u64 vm);
/* VM_ADOPT: the VM's ring area is another one from now on, for the functions below too. */
struct answer vm_adopt_with(u64 vm, u64 ring);
/* .. one that nothing uses. */
struct answer vm_adopt_anew(u64 vm);

/* The manager's side of the rings of VM `vm`. */
u32 ring_read(u64 vm, size_t offset);
void ring_write(u64 vm, size_t offset, u32 value);
/* The next event, taken; false: there is none. */
bool event_take(u64 vm, struct septum_event *event);
/* As event_take, without moving event_tail. */
bool event_look(u64 vm, struct septum_event *event);
/* Puts a completion into the ring; returns its slot. */
u32 completion_put(u64 vm, const struct septum_completion *c);
/* The status that Septum wrote. */
u32 completion_status(u64 vm, u32 slot);
/* Puts it, runs, and returns its status. */
u32 answer_event(u64 vm, const struct septum_event *event, u16 verdict, u32 flags, u64 gpa,
		 u64 size, u64 value);

#endif
