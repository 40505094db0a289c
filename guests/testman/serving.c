/* SPDX-License-Identifier: BSD-2-Clause */
#include "guests/testman/serving.h"

#define ANSWERS	 SEPTUM_RING_ENTRIES
#define SEQS_MAX (1u << 20)

struct tally tally;

/* By seq: how far the event has come. */
enum fate { UNSEEN, TAKEN, ANSWERED, SETTLED };
static u8 fates[SEQS_MAX]; /* enum fate */
static u32 seq_highest;	   /* of those that are not UNSEEN */
/* By slot of the ring: the event that its completion answers. */
static u32 slot_seq[ANSWERS];

u64 number(const char *name, u64 otherwise)
{
	char text[24] = "";
	u64 n = 0;

	if (!option_find(boot->args, name, text, sizeof(text)))
		return otherwise;
	for (const char *c = text; *c >= '0' && *c <= '9'; c++)
		n = n * 10 + (u64)(*c - '0');
	return n;
}

bool enough_cpus(u64 wanted)
{
	u64 cpus = septum(SEPTUM_CALL_INFO, SEPTUM_INFO_CPUS).value;

	if (cpus >= wanted)
		return true;
	print("SKIP %s: it needs %lu processors and there are %lu\n", test.name, wanted, cpus);
	test.skipped = true;
	return false;
}

bool detach(u64 vcpu, u64 cpu)
{
	return GIVES(OK, SEPTUM_CALL_VCPU_DETACH, test.vm.id, vcpu, cpu);
}

bool attach(u64 vcpu)
{
	return GIVES(OK, SEPTUM_CALL_VCPU_ATTACH, test.vm.id, vcpu);
}

u64 vcpu_state(u64 vcpu)
{
	return septum(SEPTUM_CALL_VCPU_INFO, test.vm.id, vcpu).value & 0xff;
}

void wait_ticks(u64 ticks)
{
	u64 start = tsc_read();

	while (tsc_read() - start < ticks)
		__asm__ volatile("pause");
}

static char *append(char *to, const char *text)
{
	size_t n = strlen(text);

	memcpy(to, text, n + 1);
	return to + n;
}

void words(char *to, const char *body, u64 n)
{
	char digits[24];
	char *d = digits + sizeof(digits) - 1;

	*d = 0;
	for (; n; n /= 10)
		*--d = (char)('0' + n % 10);
	append(append(append(to, body), " rounds="), d);
}

/* ---- the book */

void tally_start(void)
{
	memset(fates, UNSEEN, seq_highest + 1);
	seq_highest = 0;
	memset(&tally, 0, sizeof(tally));
	memset(slot_seq, 0, sizeof(slot_seq));
	/* What was put into the ring before is not in the book. */
	tally.looked = test.vm.completion_head;
}

static void advance(u32 seq, enum fate from, enum fate to, const char *otherwise)
{
	if (seq == 0 || seq >= SEQS_MAX)
		tally.wrong = "a seq is 0, or the book is full";
	else if (fates[seq] != from)
		tally.wrong = otherwise;
	else
		fates[seq] = (u8)to;
	if (seq < SEQS_MAX && seq > seq_highest)
		seq_highest = seq;
}

void outcomes(void)
{
	u32 tail = __atomic_load_n(&test.vm.ring->completion_tail, __ATOMIC_ACQUIRE);

	for (; tally.looked != tail; tally.looked++) {
		u32 slot = tally.looked % ANSWERS;
		u32 status = completion_status(&test.vm, slot);

		advance(slot_seq[slot], ANSWERED, SETTLED,
			"an answer has two outcomes, or none was given");
		slot_seq[slot] = 0;
		tally.outcomes++;
		if (status == SEPTUM_E_STALE)
			tally.stale++;
		else if (status != SEPTUM_OK)
			tally.refused++;
	}
}

void answer(const struct septum_event *e)
{
	struct septum_completion c = {
		.seq = e->seq,
		.vcpu = e->vcpu,
		.verdict = SEPTUM_VERDICT_COMPLETE,
	};

	if (e->type == SEPTUM_EVENT_MEMORY_FAULT || e->type == SEPTUM_EVENT_EXPLICIT) {
		c.verdict = SEPTUM_VERDICT_CONVERT;
		c.flags = e->flags & SEPTUM_EVENT_PRIVATE;
		c.gpa = e->gpa & ~(PAGE_SIZE - 1);
		c.size = e->size;
		tally.conversions++;
		tally.faults += e->type == SEPTUM_EVENT_MEMORY_FAULT;
	}
	advance(e->seq, TAKEN, ANSWERED, "an event is answered twice");
	slot_seq[completion_put(&test.vm, &c)] = e->seq;
}

static void text_taken(const struct septum_event *e)
{
	u64 n = e->size * e->data[2];

	n = n < sizeof(tally.text) ? n : sizeof(tally.text) - 1;
	memcpy(tally.text, payload(&test.vm, e->vcpu), n);
	tally.text[n] = 0;
}

void take(const struct septum_event *e)
{
	test.last = *e;
	if (tally.events++ == 0)
		tally.first = e->seq;
	tally.last = e->seq;
	advance(e->seq, UNSEEN, TAKEN, "an event comes twice");
	if (e->type == SEPTUM_EVENT_HALT || e->type == SEPTUM_EVENT_SHUTDOWN ||
	    e->type == SEPTUM_EVENT_FAILED)
		tally.bad++;
	if (e->type == SEPTUM_EVENT_IO && (e->flags & SEPTUM_EVENT_STRING)) {
		text_taken(e);
		answer(e);
	} else if (e->type == SEPTUM_EVENT_IO && e->data[0] == PORT_TEXT) {
		console_put((char)e->data[1]);
		answer(e);
	} else if (e->type == SEPTUM_EVENT_IO && e->data[0] == PORT_LINE) {
		test.guest_line = e->data[1];
		answer(e);
	} else if (e->type == SEPTUM_EVENT_IO) {
		tally.done++;
		tally.bad += e->data[0] == PORT_EXIT && e->data[1] != 0;
	} else if (!tally.bad) {
		answer(e);
	}
}

bool room(void)
{
	outcomes();
	return test.vm.completion_head - tally.looked < ANSWERS;
}

static void standstill(void)
{
	volatile struct septum_ring *r = test.vm.ring;

	print("     %lu events, %lu outcomes; events %u..%u, completions %u..%u\n", tally.events,
	      tally.outcomes, r->event_tail, r->event_head, r->completion_tail, r->completion_head);
	print("     RUN: %s\n",
	      status_name(septum(SEPTUM_CALL_RUN, test.vm.id, SEPTUM_ALL).status));
	for (u32 v = 0; v < test.vm.vcpus; v++)
		print("     vCPU %u: 0x%lx, %lu exits\n", v,
		      septum(SEPTUM_CALL_VCPU_INFO, test.vm.id, v).value,
		      septum(SEPTUM_CALL_VM_COUNTER, test.vm.id, v, SEPTUM_COUNTER_EXITS).value);
}

bool serve(u32 vcpus, u64 ticks)
{
	u64 last = tsc_read();
	struct septum_event e;

	while (tally.done < vcpus && !tally.bad && !tally.wrong && tsc_read() - last < ticks) {
		if (room() && event_take(&test.vm, &e)) {
			take(&e);
			last = tsc_read();
		} else if (tally.runs) {
			CHECK_OR_FALSE(vm_run(&test.vm, SEPTUM_ALL).status == SEPTUM_OK);
		} else {
			__asm__ volatile("pause");
		}
	}
	outcomes();
	if (tally.wrong)
		print("     %s\n", tally.wrong);
	if (tally.done != vcpus)
		standstill();
	CHECK_OR_FALSE(!tally.wrong);
	CHECK_OR_FALSE(!tally.bad && tally.done == vcpus);
	CHECK_OR_FALSE(!tally.refused);
	return true;
}

bool each_answered_once(u64 open)
{
	CHECK_OR_FALSE(!tally.wrong);
	/* seqs have no gaps: none was lost. */
	CHECK_OR_FALSE(tally.events == (u64)(tally.last - tally.first) + 1);
	CHECK_OR_FALSE(tally.outcomes + open == tally.events);
	return true;
}
