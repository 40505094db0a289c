/* SPDX-License-Identifier: BSD-2-Clause */
/* The manager's side of the rings on a thread of its own: guests/root/vm.c, as a payload links it.
 *
 * What both sides write follows from an event's seq, so that each can tell what the other must have
 * written. */
#ifndef TESTS_HOST_RING_MANAGER_H
#define TESTS_HOST_RING_MANAGER_H

#include <stdint.h>

static inline uint64_t ring_word(uint32_t seq, uint32_t what)
{
	return (seq * 0x9e3779b97f4a7c15ull) ^ ((uint64_t)what << 56 | seq);
}

/* What Septum says of a completion. */
static inline uint32_t ring_status_of(uint32_t seq)
{
	return (uint32_t)ring_word(seq, 9) & 0xffff;
}

struct ring_manager {
	void *area; /* the ring area */
	uint32_t vcpus;
	uint64_t events; /* to be answered; then it ends */
	uint64_t wrong;	 /* out: entries that were not what they should be */
};

/* A thread's function; the argument is a struct ring_manager. */
void *ring_manager_run(void *manager);

#endif
