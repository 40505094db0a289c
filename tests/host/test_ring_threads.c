/* sources: kernel/ring.c tests/host/ring_no_release.c tests/host/ring_no_acquire.c
 * tests/host/ring_manager.c guests/root/vm.c */
/* sanitizer: thread */
/* ldflags: -pthread */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Septum's side of the rings and the manager's on two threads, under ThreadSanitizer: every access
 * to an entry, a payload or a status must be ordered by the indices. Each variant runs in a process
 * of its own, whose exit status says what ThreadSanitizer found. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "kernel/ring.h"
#include "tests/host/ring_manager.h"
#include "tests/host/ring_variants.h"

#define VCPUS	16u
#define EVENTS	60000ul
#define FOUND	66 /* ThreadSanitizer's exit status */
#define CONTENT 3  /* an entry was not what the other side wrote */

static _Alignas(4096) u8 area[SEPTUM_RING_PAGES(VCPUS)][4096];
static struct ring ring;

/* Septum's own view of each vCPU. */
static struct {
	u32 seq; /* of the outstanding event; 0: none */
	u32 position;
} vcpus[VCPUS];

static void post(const struct ring_functions *f, u32 vcpu)
{
	u64 *payload = (u64 *)ring_payload(&ring, vcpu);
	u32 seq = ring.next_seq;
	struct septum_event event = {
		.vcpu = (u16)vcpu,
		.gpa = ring_word(seq, 1),
		.stamp = ring_word(seq, 2),
		.data = {0, 0, ring_word(seq, 3)},
	};

	payload[0] = ring_word(seq, 4);
	payload[63] = ring_word(seq, 5);
	if (f->post(&ring, &event, &vcpus[vcpu].position) != OK || event.seq != seq)
		_exit(CONTENT);
	vcpus[vcpu].seq = seq;
}

static void judge(const struct ring_functions *f, const struct septum_completion *c, u32 slot)
{
	const u64 *payload = (const u64 *)ring_payload(&ring, c->vcpu);
	u32 seq = c->seq;

	if (c->vcpu >= VCPUS || vcpus[c->vcpu].seq != seq ||
	    !f->consumed(&ring, vcpus[c->vcpu].position) || c->gpa != ring_word(seq, 7) ||
	    c->value != ring_word(seq, 8) || payload[1] != ring_word(seq, 6))
		_exit(CONTENT);
	vcpus[c->vcpu].seq = 0;
	f->complete(&ring, slot, (enum status)ring_status_of(seq));
}

static _Noreturn void both_sides(const struct ring_functions *f)
{
	struct ring_manager manager = {area, VCPUS, EVENTS, 0};
	struct septum_completion c;
	u64 posted = 0, settled = 0;
	pthread_t thread;
	u32 slot;

	ring.shared = (void *)area[0];
	ring.events = (void *)area[1];
	ring.completions = (void *)area[2];
	ring.log = (void *)area[3];
	ring.payload[0] = area[4];
	ring.payload[1] = area[5];
	ring_init(&ring, VCPUS);
	if (pthread_create(&thread, NULL, ring_manager_run, &manager) != 0)
		_exit(CONTENT);
	while (settled < EVENTS) {
		for (u32 v = 0; v < VCPUS && posted < EVENTS; v++) {
			if (vcpus[v].seq == 0 && ++posted)
				post(f, v);
		}
		while (f->take(&ring, &c, &slot)) {
			judge(f, &c, slot);
			settled++;
		}
		if (ring.broken)
			_exit(CONTENT);
		/* Where one processor serves both threads. */
		sched_yield();
	}
	pthread_join(thread, NULL);
	exit(manager.wrong ? CONTENT : 0);
}

static int outcome(const struct ring_functions *f, bool quiet)
{
	pid_t child;
	int status;

	fflush(NULL);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		if (quiet && !freopen("/dev/null", "w", stderr))
			_exit(1);
		both_sides(f);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void both_sides_agree_without_a_race(void **state)
{
	const struct ring_functions f = {ring_post, ring_take, ring_complete, ring_consumed};

	(void)state;
	assert_int_equal(outcome(&f, false), 0);
}

static void without_release_or_acquire_a_race_is_found(void **state)
{
	(void)state;
	assert_int_equal(outcome(&ring_no_release, true), FOUND);
	assert_int_equal(outcome(&ring_no_acquire, true), FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_sides_agree_without_a_race),
		cmocka_unit_test(without_release_or_acquire_a_race_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Which finding ends the process is said here, not by whoever runs the test. It is called before
 * anything that could count or watch it is ready. */
const char *__tsan_default_options(void);
__attribute__((no_sanitize("thread"), no_profile_instrument_function)) const char *
__tsan_default_options(void)
{
	return "exitcode=66:halt_on_error=1";
}
