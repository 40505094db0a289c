/* SPDX-License-Identifier: BSD-2-Clause */
#include "guests/testman/testman.h"

#define RUBBISH	 0xa5
#define PATIENCE 10000000000ul /* TSC ticks, for guests with timers */

struct test test;

struct build build_sw = {.type = SEPTUM_SW_PROTECTED, .memory = TEST_MEMORY};
struct build build_sw_bit = {.type = SEPTUM_SW_PROTECTED, .memory = TEST_MEMORY};
struct build build_plain = {.type = SEPTUM_PLAIN, .memory = TEST_MEMORY};

extern const u8 small_image[];
extern const u8 small_image_end[];
extern struct scenario __start_scenarios[];
extern struct scenario __stop_scenarios[];

void test_fail(const char *file, int line, const char *what)
{
	const struct septum_event *e = &test.last;

	if (!test.failed)
		print("FAIL %s: %s:%d: not so: %s (status %s; last event type %u flags 0x%x "
		      "gpa 0x%lx size 0x%lx data 0x%lx 0x%lx; guest line %lu)\n",
		      test.name, file, line, what, status_name(test.status), e->type, e->flags,
		      e->gpa, e->size, e->data[0], e->data[1], test.guest_line);
	test.failed = true;
}

/* ---- the world of a scenario */

bool pool_add(u64 blocks)
{
	u8 *memory = memory_take(blocks * LARGE_SIZE, LARGE_SIZE);
	struct reply r;

	if (!test.pool.id) {
		r = septum(SEPTUM_CALL_POOL_CREATE, 0);
		test.status = r.status;
		CHECK_OR_FALSE(r.status == SEPTUM_OK);
		test.pool.id = r.value;
	}
	CHECK_OR_FALSE(test.pool.count < TEST_POOLS_MAX);
	memset(memory, RUBBISH, blocks * LARGE_SIZE);
	CHECK_OR_FALSE(GIVES(OK, SEPTUM_CALL_POOL_DONATE, test.pool.id, (u64)memory / PAGE_SIZE,
			     blocks * 512));
	test.pool.memory[test.pool.count] = memory;
	test.pool.blocks[test.pool.count++] = blocks;
	test.vm.pool = test.pool.id;
	return true;
}

bool guest_prepare(const struct build *build, const char *body)
{
	static char args[64];
	struct image image = {
		.data = small_image,
		.size = (u64)(small_image_end - small_image),
		.args = args,
	};

	if (!test.pool.id && !pool_add(TEST_BLOCKS))
		return false;
	memcpy(args, "body=", 5);
	memcpy(args + 5, body, strlen(body) + 1);
	CHECK_OR_FALSE(guest_build(&test.vm, build, &image) == NULL);
	return true;
}

bool guest_begin(const struct build *build, const char *body)
{
	if (!guest_prepare(build, body))
		return false;
	CHECK_OR_FALSE(GIVES(OK, SEPTUM_CALL_VM_START, test.vm.id));
	return true;
}

static bool pool_clean(void)
{
	u64 blocks = 0;
	struct reply r;

	if (!test.pool.id)
		return true;
	CHECK_OR_FALSE(pool_whole(test.pool.id));
	for (u32 i = 0; i < test.pool.count; i++)
		blocks += test.pool.blocks[i];
	for (; blocks; blocks--)
		CHECK_OR_FALSE(GIVES(OK, SEPTUM_CALL_POOL_RECLAIM, test.pool.id));
	CHECK_OR_FALSE(GIVES(E_EMPTY, SEPTUM_CALL_POOL_RECLAIM, test.pool.id));
	CHECK_OR_FALSE(GIVES(OK, SEPTUM_CALL_POOL_DESTROY, test.pool.id));
	for (u32 i = 0; i < test.pool.count; i++)
		CHECK_OR_FALSE(
			filled_with(test.pool.memory[i], 0, test.pool.blocks[i] * LARGE_SIZE));
	r = septum(SEPTUM_CALL_POOL_INFO, test.pool.id);
	CHECK_OR_FALSE(r.status == SEPTUM_E_NO_POOL);
	return true;
}

static bool nothing(struct trap_frame *frame)
{
	(void)frame;
	return true;
}

/* An IRET of the root's own. Bochs 2.7 does not end the blocking of virtual NMIs when a VM entry
 * says so: after an NMI whose delivery faulted, only some IRET does, and until then it shows in
 * every VMCS, of the root and of later guests. */
static void execute_iret(void)
{
	trap_handlers[0x80] = nothing;
	__asm__ volatile("int $0x80" : : : "memory");
}

bool world_clean(void)
{
	bool clean = true;

	execute_iret();

	if (test.vm.id) {
		test.status = vm_destroy(&test.vm).status;
		if (test.status != SEPTUM_OK) {
			test_fail(__FILE__, __LINE__, "the VM can be destroyed");
			clean = false;
		}
	}
	clean = clean && pool_clean();
	if (!GIVES(OK, SEPTUM_CALL_AUDIT, 0)) {
		test_fail(__FILE__, __LINE__, "the audit is clean");
		clean = false;
	}
	memset(&test.vm, 0, sizeof(test.vm));
	memset(&test.pool, 0, sizeof(test.pool));
	memset(&test.step, 0, sizeof(test.step));
	test.serve_conversions = false;
	test.step_answer = 0;
	return clean;
}

/* ---- events */

static void complete(const struct septum_event *e, u64 value)
{
	struct septum_completion c = {
		.seq = e->seq,
		.vcpu = e->vcpu,
		.verdict = SEPTUM_VERDICT_COMPLETE,
		.value = value,
	};

	completion_put(&test.vm, &c);
}

static void serve_conversion(const struct septum_event *e)
{
	struct septum_completion c = {
		.seq = e->seq,
		.vcpu = e->vcpu,
		.verdict = SEPTUM_VERDICT_CONVERT,
		.flags = e->flags & SEPTUM_EVENT_PRIVATE,
		.gpa = e->gpa & ~(PAGE_SIZE - 1),
		.size = e->size,
	};

	completion_put(&test.vm, &c);
	test.conversions++;
}

/* Events that are the same for every scenario. */
static bool served(const struct septum_event *e)
{
	bool out = e->flags & SEPTUM_EVENT_WRITE;

	if (test.serve_conversions &&
	    (e->type == SEPTUM_EVENT_EXPLICIT ||
	     (e->type == SEPTUM_EVENT_MEMORY_FAULT && !(e->flags & SEPTUM_EVENT_NO_SLOT)))) {
		serve_conversion(e);
		return true;
	}
	if (e->type != SEPTUM_EVENT_IO || (e->flags & SEPTUM_EVENT_STRING))
		return false;
	if (e->data[0] == PORT_TEXT && out)
		console_put((char)e->data[1]);
	else if (e->data[0] == PORT_LINE && out)
		test.guest_line = e->data[1];
	else
		return false;
	complete(e, 0);
	return true;
}

static void step_release(u32 vcpu)
{
	if (!test.step[vcpu].waits)
		return;
	test.step[vcpu].waits = false;
	complete(&test.step[vcpu].event, test.step_answer);
	test.step_answer = 0;
}

static bool next_of(u64 vcpu, struct septum_event *event)
{
	u32 idle = 0;

	for (u32 i = 0; i < TEST_VCPUS; i++)
		if (vcpu == SEPTUM_ALL || vcpu == i)
			step_release(i);
	while (idle < 2) {
		struct reply r;

		if (event_take(&test.vm, event)) {
			test.last = *event;
			idle = 0;
			if (served(event))
				continue;
			return true;
		}
		if (test.vm.flags & SEPTUM_VM_APIC)
			r = vm_run_until(&test.vm, vcpu, tsc_read() + PATIENCE);
		else
			r = vm_run(&test.vm, vcpu);
		test.status = r.status;
		if (r.status != SEPTUM_OK)
			return false;
		idle++;
	}
	return false;
}

bool next_on(u32 vcpu, struct septum_event *event)
{
	CHECK_OR_FALSE(next_of(vcpu, event));
	return true;
}

bool next(struct septum_event *event)
{
	CHECK_OR_FALSE(next_of(SEPTUM_ALL, event));
	return true;
}

bool expect_idle(void)
{
	struct septum_event event;

	CHECK_OR_FALSE(!next_of(SEPTUM_ALL, &event) && test.status == SEPTUM_OK);
	return true;
}

static bool step_of(u64 vcpu, u32 value)
{
	struct septum_event e;

	CHECK_OR_FALSE(next_of(vcpu, &e));
	CHECK_OR_FALSE(e.type == SEPTUM_EVENT_IO && e.data[0] == PORT_STEP &&
		       (e.flags & SEPTUM_EVENT_WRITE) && e.size == 4 && e.data[1] == value);
	complete(&e, 0);
	CHECK_OR_FALSE(next_of(e.vcpu, &e));
	CHECK_OR_FALSE(e.type == SEPTUM_EVENT_IO && e.data[0] == PORT_STEP &&
		       !(e.flags & SEPTUM_EVENT_WRITE));
	test.step[e.vcpu].event = e;
	test.step[e.vcpu].waits = true;
	return true;
}

bool expect_step(u32 value)
{
	return step_of(SEPTUM_ALL, value);
}

bool expect_step_on(u32 vcpu, u32 value)
{
	return step_of(vcpu, value);
}

bool expect_end(void)
{
	struct septum_event e;

	CHECK_OR_FALSE(next_of(SEPTUM_ALL, &e));
	CHECK_OR_FALSE(e.type == SEPTUM_EVENT_IO && e.data[0] == PORT_EXIT &&
		       (e.flags & SEPTUM_EVENT_WRITE));
	CHECK_OR_FALSE(e.data[1] == 0);
	return true;
}

u32 answer_with(const struct septum_completion *c)
{
	u32 slot = completion_put(&test.vm, c);
	struct reply r = vm_run(&test.vm, c->vcpu);

	test.status = r.status == SEPTUM_OK ? completion_status(&test.vm, slot) : r.status;
	return test.status;
}

u32 verdict(const struct septum_event *e, u32 kind, u64 value)
{
	struct septum_completion c = {
		.seq = e->seq,
		.vcpu = e->vcpu,
		.verdict = (u16)kind,
		.value = value,
	};

	return answer_with(&c);
}

u32 convert(const struct septum_event *e, u64 gpa, u64 size, bool to_private)
{
	struct septum_completion c = {
		.seq = e->seq,
		.vcpu = e->vcpu,
		.verdict = SEPTUM_VERDICT_CONVERT,
		.flags = to_private ? SEPTUM_EVENT_PRIVATE : 0,
		.gpa = gpa,
		.size = size,
	};

	return answer_with(&c);
}

u32 grant(const struct septum_event *e)
{
	return convert(e, e->gpa & ~(PAGE_SIZE - 1), e->size, e->flags & SEPTUM_EVENT_PRIVATE);
}

u8 *ram_at(u64 gpa)
{
	return test.vm.ram + gpa;
}

bool pages_hold(const volatile u8 *at, u8 value, u64 bytes)
{
	u64 word = 0x0101010101010101ul * value;

	for (u64 offset = 0; offset < bytes; offset += PAGE_SIZE) {
		const volatile u64 *page = (const volatile void *)(at + offset);

		if (page[0] != word || page[200] != word || page[511] != word)
			return false;
	}
	return true;
}

/* ---- the run */

/* Is it in a list of names with commas between them? */
static bool listed(const struct scenario *s, const char *names)
{
	size_t length = strlen(s->name);

	while (*names) {
		size_t n = 0;

		while (names[n] && names[n] != ',')
			n++;
		if (n == length && strncmp(names, s->name, n) == 0)
			return true;
		names += n + (names[n] == ',');
	}
	return false;
}

static bool selected(const struct scenario *s, const char *names)
{
	if (strcmp(names, "all") == 0)
		return true;
	if (strcmp(names, "quick") == 0)
		return s->quick;
	if (strcmp(names, "detached") == 0)
		return strncmp(s->name, "detached_", 9) == 0;
	return listed(s, names);
}

/* Options: scenario=all|quick|detached|NAME,NAME.. except=NAME,NAME.. after=NAME (begins behind
 * that one).
 */
int root_main(void)
{
	static char names[900] = "all";
	static char except[200];
	static char after[64];
	u64 passed = 0;
	u64 failed = 0;
	u64 skipped = 0;
	u64 start = memory_mark();

	build_sw_bit.shared_bit = septum(SEPTUM_CALL_INFO, SEPTUM_INFO_SHARED_BIT_MAX).value;
	option_find(boot->args, "scenario", names, sizeof(names));
	option_find(boot->args, "except", except, sizeof(except));
	option_find(boot->args, "after", after, sizeof(after));
	for (struct scenario *s = __start_scenarios; s < __stop_scenarios; s++) {
		if (*after) {
			if (strcmp(after, s->name) == 0)
				*after = 0;
			continue;
		}
		if (!selected(s, names) || listed(s, except))
			continue;
		memset(&test, 0, sizeof(test));
		test.name = s->name;
		print("RUN  %s\n", s->name);
		s->run();
		/* What could not be taken back may still be Septum's to write. */
		if (world_clean())
			memory_release(start);
		else
			test.failed = true;
		if (test.failed) {
			failed++;
		} else if (test.skipped) {
			skipped++;
		} else {
			passed++;
			print("PASS %s\n", s->name);
		}
	}
	print("testman: %lu passed, %lu failed, %lu skipped\n", passed, failed, skipped);
	return failed || !(passed + skipped) ? 1 : 0;
}
