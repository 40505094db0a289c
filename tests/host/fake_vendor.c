/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/host/fake_vendor.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/cpu.h"
#include "arch/x86/smp.h"
#include "kernel/console.h"
#include "kernel/machine_check.h"
#include "kernel/print.h"
#include "kernel/protocol.h"

struct vendor_vcpu {
	struct vcpu_state state;
};

struct cpu_features cpu_features = {.physical_bits = 48};
unsigned cpu_count = 1;

unsigned cpu_self(void)
{
	return 0;
}

unsigned fake_cpl;
bool fake_long_mode = true;
unsigned fake_order[64];
unsigned fake_turns;
const struct vcpu *fake_loaded;
void (*fake_hook)(struct vcpu *v);
char fake_console[256];
size_t fake_console_length;

static struct fake_cpu cpus[SEPTUM_MAX_VMS][SEPTUM_MAX_VCPUS];

struct fake_cpu *fake_cpu(u64 vm, u64 vcpu)
{
	assert(vm < SEPTUM_MAX_VMS && vcpu < SEPTUM_MAX_VCPUS);
	return &cpus[vm][vcpu];
}

void fake_step(u64 vm, u64 vcpu, enum step_kind kind, u64 a, u64 b, u64 c)
{
	struct fake_cpu *cpu = fake_cpu(vm, vcpu);

	assert(cpu->count < FAKE_STEPS - 1);
	cpu->steps[cpu->count++] = (struct fake_step){kind, a, b, c};
}

void fake_reset(void)
{
	memset(cpus, 0, sizeof(cpus));
	fake_turns = 0;
	fake_cpl = 0;
	fake_long_mode = true;
	fake_hook = NULL;
	fake_console_length = 0;
}

/* ---- kernel/exits.h ---- */

static enum after after_of(const struct vcpu *v)
{
	return v->wait != WAIT_NONE || v->dead ? AFTER_WAIT : AFTER_RESUME;
}

static void next(struct fake_cpu *cpu, u64 seen)
{
	cpu->seen[cpu->at++] = seen;
	cpu->in_flight = false;
	cpu->answered = false;
}

static void access_step(struct vcpu *v, struct fake_cpu *cpu, const struct fake_step *step)
{
	struct access access = {
		.raw_gpa = step->a,
		.write = step->kind == STEP_WRITE,
		.exec = step->kind == STEP_EXEC,
		.walk = step->kind == STEP_WALK,
	};
	u64 value = step->b;
	bool done = false;

	/* An access that is not allowed faults; one that is may still find no mapping. */
	if (memory_decide(&v->vm->memory, &access).outcome == FAULT_RESOLVED) {
		if (access.write)
			done = memory_write(&v->vm->memory, step->a, &value, sizeof(value));
		else
			done = memory_read(&v->vm->memory, step->a, &value, sizeof(value));
	}
	if (done)
		next(cpu, value);
	else
		access_fault(v, &access, 0x1000 + step->kind);
}

static void post(struct vcpu *v, struct fake_cpu *cpu, u16 type, u32 flags, u64 size, u64 data)
{
	struct septum_event event = {.type = type, .flags = flags, .size = size, .data = {data}};

	cpu->in_flight = true;
	event_post(v, &event);
}

static void one_step(struct vcpu *v, struct fake_cpu *cpu)
{
	const struct fake_step *step = &cpu->steps[cpu->at];
	s64 answer;

	if (cpu->answered) {
		next(cpu, cpu->answer);
		return;
	}
	switch (step->kind) {
	case STEP_READ:
	case STEP_WRITE:
	case STEP_EXEC:
	case STEP_WALK:
		access_step(v, cpu, step);
		break;
	case STEP_MAP_RANGE:
		if (explicit_request(v, step->a, step->b, step->c, &answer))
			next(cpu, (u64)answer);
		else
			cpu->in_flight = true;
		break;
	case STEP_IN:
		post(v, cpu, SEPTUM_EVENT_IO, 0, 1, step->a);
		break;
	case STEP_RDMSR:
		post(v, cpu, SEPTUM_EVENT_MSR, 0, 8, step->a);
		break;
	case STEP_HALT:
		post(v, cpu, SEPTUM_EVENT_HALT, step->a ? SEPTUM_EVENT_INTERRUPTIBLE : 0, 0, 0);
		break;
	case STEP_SHUTDOWN:
		post(v, cpu, SEPTUM_EVENT_SHUTDOWN, 0, 0, 0);
		break;
	default:
		abort();
	}
}

enum after guest_run(struct vcpu *v)
{
	struct fake_cpu *cpu = fake_cpu(v->vm->id, v->index);

	assert(!v->root && !v->dead && v->wait == WAIT_NONE && v->running);
	fake_order[fake_turns++ % 64] = v->index;
	cpu->turns++;
	if (v->nmi_pending) {
		v->nmi_pending = false;
		cpu->nmis++;
	}
	if (v->interrupt >= 0) {
		v->interrupt = -1;
		cpu->interrupts++;
	}
	for (unsigned n = 0; n < 4 * FAKE_STEPS; n++) {
		v->counters[SEPTUM_COUNTER_EXITS]++;
		if (fake_hook)
			fake_hook(v);
		if (cpu->machine_check) {
			cpu->machine_check = false;
			cpu->machine_checks++;
			cpu->refused[cpu->at] = true;
			next(cpu, 0);
			continue;
		}
		if (cpu->at == cpu->count || cpu->steps[cpu->at].kind == STEP_END)
			return AFTER_WAIT;
		if (cpu->steps[cpu->at].kind == STEP_INTERRUPT) {
			next(cpu, 0);
			return AFTER_INTERRUPT;
		}
		one_step(v, cpu);
		if (after_of(v) == AFTER_WAIT)
			return AFTER_WAIT;
	}
	return AFTER_INTERRUPT;
}

enum after guest_idle(struct vcpu *v)
{
	assert(v->wait == WAIT_HALTED);
	return AFTER_INTERRUPT;
}

enum status emulate_complete(struct vcpu *v, u64 value)
{
	struct fake_cpu *cpu = fake_cpu(v->vm->id, v->index);

	if (!cpu->in_flight)
		return E_VERDICT;
	cpu->answered = true;
	cpu->answer = value;
	if (cpu->steps[cpu->at].kind == STEP_HALT && value == 0 && !v->nmi_pending &&
	    v->interrupt < 0)
		v->wait = WAIT_HALTED;
	return OK;
}

void emulate_refuse(struct vcpu *v)
{
	struct fake_cpu *cpu = fake_cpu(v->vm->id, v->index);

	cpu->exceptions++;
	cpu->refused[cpu->at] = true;
	next(cpu, 0);
}

void inject_machine_check(struct vcpu *v, gpa_t where)
{
	struct fake_cpu *cpu = fake_cpu(v->vm->id, v->index);

	cpu->machine_check = true;
	cpu->machine_check_gpa = where.n;
}

void machine_check_raise(struct vcpu *v, gpa_t where, bool fetch)
{
	(void)fetch;
	inject_machine_check(v, where);
}

enum after mmio_access(struct vcpu *v, const struct access *access)
{
	struct fake_cpu *cpu = fake_cpu(v->vm->id, v->index);
	u64 bit = v->vm->memory.shared_bit ? BIT(v->vm->memory.shared_bit) : 0;
	struct septum_event event = {
		.type = SEPTUM_EVENT_MMIO,
		.flags = access->write ? SEPTUM_EVENT_WRITE : SEPTUM_EVENT_READ,
		.gpa = access->raw_gpa & ~bit,
		.size = 8,
	};

	cpu->in_flight = true;
	event_post(v, &event);
	return AFTER_WAIT;
}

/* ---- kernel/vendor.h ---- */

static struct vendor_vcpu *loaded(const struct vcpu *v)
{
	assert(fake_loaded == v);
	return v->vendor;
}

static void vcpu_init(struct vcpu *v, void *const pages[])
{
	static const u8 zero[PAGE_SIZE];

	for (unsigned i = 0; i < FAKE_VENDOR_PAGES; i++)
		assert(memcmp(pages[i], zero, PAGE_SIZE) == 0);
	v->vendor = pages[0];
	v->vendor->state.rflags = 2;
	memset(pages[1], 0x55, PAGE_SIZE);
	if (!v->root)
		memset(fake_cpu(v->vm->id, v->index), 0, sizeof(struct fake_cpu));
	fake_loaded = NULL; /* as a VMCLEAR would */
}

static void vcpu_destroy(struct vcpu *v)
{
	assert(v->vendor);
	v->vendor = NULL;
	fake_loaded = NULL;
}

static void load(struct vcpu *v)
{
	assert(v->vendor);
	fake_loaded = v;
}

static unsigned cpl_get(const struct vcpu *v)
{
	loaded(v);
	return fake_cpl;
}

static bool long_mode(const struct vcpu *v)
{
	loaded(v);
	return fake_long_mode;
}

static void state_get(const struct vcpu *v, struct vcpu_state *state)
{
	*state = loaded(v)->state;
}

static void state_set(struct vcpu *v, const struct vcpu_state *state)
{
	loaded(v)->state = *state;
}

static const struct vendor_ops ops = {
	.name = "fake",
	.number = 7,
	.format = &nested_format_npt,
	.vcpu_pages = FAKE_VENDOR_PAGES,
	.vcpu_init = vcpu_init,
	.vcpu_destroy = vcpu_destroy,
	.load = load,
	.cpl_get = cpl_get,
	.long_mode = long_mode,
	.state_get = state_get,
	.state_set = state_set,
};
const struct vendor_ops *vendor = &ops;

/* ---- arch/x86/world.h, kernel/console.h ---- */

unsigned world_xsave_pages_guest(void)
{
	return 1;
}

unsigned world_xsave_pages_root(void)
{
	return 1;
}

void world_init(struct world *world, void *xsave, bool root)
{
	static const u8 zero[PAGE_SIZE];

	(void)root;
	assert(memcmp(xsave, zero, PAGE_SIZE) == 0);
	world->xsave = xsave;
	memset(xsave, 0x77, FAKE_XSAVE_BYTES);
}

void printk_limited(struct ratelimit *limit, enum log_level level, const char *format, ...)
{
	va_list args;

	(void)level;
	limit->count++;
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

void console_write(const char *text, size_t length)
{
	size_t room = sizeof(fake_console) - fake_console_length;

	length = length < room ? length : room;
	memcpy(fake_console + fake_console_length, text, length);
	fake_console_length += length;
}

/* ---- kernel/detached.c: no vCPU is ever detached here, unless a test says so ---- */

unsigned fake_doorbells;

struct result vcpu_detach(u64 id, u64 index, u64 cpu)
{
	(void)id;
	(void)index;
	(void)cpu;
	return (struct result){E_ARG, 3, 0};
}

struct result vcpu_attach(u64 id, u64 index)
{
	(void)id;
	(void)index;
	return (struct result){E_STATE, 2, 0};
}

struct result vm_doorbell(u64 id, u64 vector)
{
	(void)id;
	(void)vector;
	return (struct result){E_STATE, 2, 0};
}

void vcpus_attach(struct vm *vm)
{
	(void)vm;
}

void doorbell_ring(u8 vector)
{
	(void)vector;
	fake_doorbells++;
}
