/* SPDX-License-Identifier: BSD-2-Clause */
/* The bench manager: answers the bench guest's events by the shortest way, keeps its samples, and
 * prints a line for each row:
 *
 *   BENCH <id> <samples> <min> <median> <zeroing> <entries> <flushes>
 *
 * and with the counting build (kernel/tally_list.h) also, without those of the bracket,
 *
 *   TALLY <id> <what>=<count>..
 *
 * in ticks of the TSC for one operation. min and median are without zeroing; zeroing, guest entries
 * and flushes of the nested TLB are the most that one sample had.
 */
#include "guests/bench/protocol.h"
#include "guests/lib/cpu.h"
#include "guests/lib/print.h"
#include "guests/lib/string.h"
#include "guests/root/build.h"
#include "guests/root/machine.h"
#include "guests/small/protocol.h"
#include "kernel/tally_list.h"

#define POOL_BLOCKS 72ul
/* Zeroing a frame: iterations of REP STOSQ. */
#define ZEROING (PAGE_SIZE / 8)

extern const u8 bench_image[];
extern const u8 bench_image_end[];

static const struct {
	const char *id;
	u32 operations;
} rows[BENCH_ROW_COUNT] = {
#define X(name, id, operations) {id, operations},
	BENCH_ROWS(X)
#undef X
};

/* What one sample did. */
struct counts {
	u64 frames, exits, flushes;
	u64 tallies[TALLY_COUNT];
};

static struct {
	u32 count;
	u64 ticks[BENCH_SAMPLES_MAX];
	struct counts most;
} results[BENCH_ROW_COUNT];

static struct vm vm;
static bool intel;
static struct counts before;
static u32 row;
static bool batch_due;
static int ended = -1;
static bool tallying;		 /* Septum counts */
static u64 looking[TALLY_COUNT]; /* what it takes to look */

/* RUN's value. */
static inline u64 run(u64 id, u64 vcpu)
{
	u64 rax = SEPTUM_CALL_RUN;
	u64 rdx;

	if (intel)
		__asm__ volatile("vmcall" : "+a"(rax), "=d"(rdx) : "D"(id), "S"(vcpu) : "memory");
	else
		__asm__ volatile("vmmcall" : "+a"(rax), "=d"(rdx) : "D"(id), "S"(vcpu) : "memory");
	if (__builtin_expect(rax != SEPTUM_OK, 0)) {
		print("bench: RUN: %s\n", status_name((u32)rax & 0xff));
		machine_exit(96);
	}
	if (__builtin_expect((rdx & 0xff) == SEPTUM_RUN_INTERRUPTED, 0))
		interrupts_serve();
	if (__builtin_expect(rdx >> 32 != 0, 0)) {
		print("bench: a verdict was refused\n");
		machine_exit(95);
	}
	return rdx;
}

static void look(struct counts *c)
{
	c->frames = vm_counter(&vm, SEPTUM_COUNTER_FRAMES_HELD);
	c->exits = vm_counter(&vm, SEPTUM_COUNTER_EXITS);
	c->flushes = vm_counter(&vm, SEPTUM_COUNTER_FLUSHES);
	if (!tallying)
		return;
	septum(TALLY_CALL, TALLY_COUNT);
	for (u32 i = 0; i < TALLY_COUNT; i++)
		c->tallies[i] = septum(TALLY_CALL, i).value;
}

static u64 larger(u64 a, u64 b)
{
	return a > b ? a : b;
}

/* `own`: exits since `before` that are not the operation's. */
static void sample(u32 of, u64 ticks, u64 own)
{
	struct counts now;
	u64 frames;

	look(&now);
	frames = before.frames > now.frames ? before.frames - now.frames : 0;
	if (results[of].count == BENCH_SAMPLES_MAX)
		return;
	results[of].ticks[results[of].count++] = ticks - frames * ZEROING;
	results[of].most.frames = larger(results[of].most.frames, frames);
	results[of].most.exits = larger(results[of].most.exits, now.exits - before.exits - own);
	results[of].most.flushes = larger(results[of].most.flushes, now.flushes - before.flushes);
	for (u32 i = 0; i < TALLY_COUNT; i++)
		results[of].most.tallies[i] =
			larger(results[of].most.tallies[i], now.tallies[i] - before.tallies[i]);
}

static __attribute__((noinline)) void port_write(u64 port, u64 value)
{
	switch (port) {
	case PORT_BEGIN:
		row = value < BENCH_ROW_COUNT ? (u32)value : 0;
		look(&before);
		break;
	case PORT_SAMPLE:
		sample(row, value, 1);
		break;
	case PORT_EXIT:
		ended = (int)value;
		break;
	case PORT_TEXT:
		console_put((char)value);
		break;
	default:
		break;
	}
}

static inline void answer(const volatile struct septum_event *e)
{
	u32 head = vm.completion_head;
	volatile struct septum_completion *c = &vm.completions[head % SEPTUM_RING_ENTRIES];

	if (__builtin_expect(e->type == SEPTUM_EVENT_IO && e->data[0] == PORT_BATCH, 0)) {
		batch_due = true; /* vCPU 0 waits for ever */
		return;
	}
	c->seq = e->seq;
	c->vcpu = e->vcpu;
	c->flags = 0;
	c->value = 0;
	switch (e->type) {
	case SEPTUM_EVENT_IO:
		if (e->data[0] != PORT_PING)
			port_write(e->data[0], e->data[1]);
		c->verdict = SEPTUM_VERDICT_COMPLETE;
		break;
	case SEPTUM_EVENT_EXPLICIT:
	case SEPTUM_EVENT_MEMORY_FAULT:
		if (e->gpa == BENCH_REFUSED_PAGE) {
			c->verdict = SEPTUM_VERDICT_COMPLETE;
			c->value = (u64)-SEPTUM_KVM_EINVAL;
			break;
		}
		c->verdict = SEPTUM_VERDICT_CONVERT;
		c->flags = e->flags & SEPTUM_EVENT_PRIVATE;
		c->gpa = e->gpa & ~(PAGE_SIZE - 1);
		c->size = e->size;
		break;
	default:
		print("bench: event type %u, gpa 0x%lx, data 0x%lx 0x%lx\n", e->type, e->gpa,
		      e->data[0], e->data[1]);
		machine_exit(94);
	}
	vm.completion_head = head + 1;
}

/* Answers every event that is there; returns how many. */
static inline u32 answer_all(void)
{
	u32 head = __atomic_load_n(&vm.ring->event_head, __ATOMIC_ACQUIRE);
	u32 tail = vm.event_tail;
	u32 count = head - tail;

	for (; tail != head; tail++)
		answer(&vm.events[tail % SEPTUM_RING_ENTRIES]);
	vm.event_tail = tail;
	__atomic_store_n(&vm.ring->event_tail, tail, __ATOMIC_RELEASE);
	__atomic_store_n(&vm.ring->completion_head, vm.completion_head, __ATOMIC_RELEASE);
	return count;
}

/* One RUN applies the verdicts on all vCPUs and runs each to its next event. */
static void batch(void)
{
	struct counts once, twice;

	look(&once);
	look(&twice);
	for (u32 i = 0; i < TALLY_COUNT; i++)
		looking[i] = twice.tallies[i] - once.tallies[i];
	run(vm.id, SEPTUM_ALL); /* to everyone's first: shared */
	for (u32 i = 0; i < 2 * BENCH_SAMPLES + 2; i++) {
		u32 of = i % 2 ? BENCH_BATCH_P : BENCH_BATCH_S;
		u64 start;
		u64 ticks;
		u32 count;

		look(&before);
		start = tsc_read();
		count = answer_all();
		run(vm.id, SEPTUM_ALL);
		ticks = tsc_read() - start;
		if (i < 2)
			continue; /* pages of tables are taken */
		if (count != BENCH_BATCH) {
			print("bench: a batch of %u\n", count);
			machine_exit(93);
		}
		sample(of, ticks, 0);
	}
}

static void tallies_print(u32 of)
{
	static const char *const names[TALLY_COUNT] = {
#define X(name, id) id,
		TALLY_LIST(X)
#undef X
	};
	bool batched = of == BENCH_BATCH_P || of == BENCH_BATCH_S;
	const u64 *own = batched ? looking : results[BENCH_BRACKET].most.tallies;

	if (!tallying || of == BENCH_BRACKET)
		return;
	print("TALLY %s", rows[of].id);
	for (u32 i = 0; i < TALLY_COUNT; i++) {
		if (results[of].most.tallies[i] != own[i])
			print(" %s=%lu", names[i], results[of].most.tallies[i] - own[i]);
	}
	print("\n");
}

static void report(u32 of)
{
	u64 *ticks = results[of].ticks;
	u32 count = results[of].count;
	u32 each = rows[of].operations;

	for (u32 i = 1; i < count; i++) {
		u64 value = ticks[i];
		u32 at = i;

		for (; at > 0 && ticks[at - 1] > value; at--)
			ticks[at] = ticks[at - 1];
		ticks[at] = value;
	}
	if (count == 0)
		return;
	print("BENCH %s %u %lu %lu %lu %lu %lu\n", rows[of].id, count, (ticks[0] + each - 1) / each,
	      (ticks[count / 2] + each - 1) / each, results[of].most.frames * ZEROING / each,
	      results[of].most.exits, results[of].most.flushes);
	tallies_print(of);
}

/* Runs one guest to its end. False: it failed. */
static bool guest(const struct build *build, const char *args)
{
	struct image image = {
		.data = bench_image,
		.size = (u64)(bench_image_end - bench_image),
		.args = args,
	};
	const char *error = guest_build(&vm, build, &image);

	if (error || septum(SEPTUM_CALL_VM_START, vm.id).status != SEPTUM_OK) {
		print("bench: %s\n", error ? error : "the guest cannot be started");
		return false;
	}
	ended = -1;
	batch_due = false;
	while (ended < 0 && !batch_due) {
		run(vm.id, 0);
		answer_all();
	}
	if (batch_due) {
		batch();
		ended = 0;
	}
	return vm_destroy(&vm).status == SEPTUM_OK && ended == 0;
}

int root_main(void)
{
	struct build build = {
		.type = SEPTUM_SW_PROTECTED,
		.vcpus = BENCH_BATCH + 1,
		.memory = BENCH_MEMORY,
	};
	struct build with_apic = {
		.type = SEPTUM_SW_PROTECTED,
		.memory = BENCH_TIMER_MEMORY,
		.flags = SEPTUM_VM_APIC,
	};

	intel = cpu_is_intel();
	tallying = septum(TALLY_CALL, TALLY_COUNT).status == SEPTUM_OK;
	build.shared_bit = septum(SEPTUM_CALL_INFO, SEPTUM_INFO_SHARED_BIT_MAX).value;
	vm.pool = pool_make(POOL_BLOCKS);
	if (!guest(&build, "body=bench") || !guest(&with_apic, "body=timer"))
		return 1;
	for (u32 i = 0; i < BENCH_ROW_COUNT; i++)
		report(i);
	if (!pool_whole(vm.pool) || septum(SEPTUM_CALL_AUDIT, 0).status != SEPTUM_OK) {
		print("bench: the world is not clean afterwards\n");
		return 1;
	}
	return 0;
}
