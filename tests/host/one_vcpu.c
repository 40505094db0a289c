/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/host/one_vcpu.h"

#include "arch/x86/cpu.h"
#include "arch/x86/machine.h"
#include "arch/x86/smp.h"
#include "arch/x86/traps.h"
#include "kernel/cpuid.h"
#include "kernel/panic.h"
#include "kernel/print.h"
#include "kernel/trace.h"

struct vcpu one;
unsigned cpu_count = 1;

unsigned cpu_self(void)
{
	return 0;
}

u64 turn_end = NEVER;
unsigned one_kicks;

void cpu_kick(unsigned cpu)
{
	(void)cpu;
	one_kicks++;
}

bool kick_pending(void)
{
	return false;
}
struct vcpu_state one_state;
u8 one_ram[ONE_PAGES * PAGE_SIZE];
enum page_kind one_page[ONE_PAGES];
u8 one_payload[SEPTUM_PAYLOAD_BYTES];
struct septum_event posted;
unsigned posted_count;
s64 one_answer;
bool one_request_waits;
u64 one_request[3];
unsigned one_skipped;

enum exit_reason one_exits[8];
unsigned one_entries;
unsigned one_nmi_at;
const struct vcpu *one_loaded;
const struct world *one_world;
struct vcpu one_root;

static bool nmi_seen;
static struct vm vm;

int one_start(void **state)
{
	(void)state;
	memset(&one, 0, sizeof(one));
	memset(&vm, 0, sizeof(vm));
	memset(&one_state, 0, sizeof(one_state));
	memset(one_ram, 0, sizeof(one_ram));
	memset(one_page, 0, sizeof(one_page));
	memset(one_payload, 0, sizeof(one_payload));
	memset(&posted, 0, sizeof(posted));
	memset(&one_root, 0, sizeof(one_root));
	posted_count = one_skipped = one_entries = one_nmi_at = 0;
	nmi_seen = false;
	one_loaded = &one_root;
	one_world = &one_root.world;
	one_answer = 0;
	one_request_waits = false;
	one.vm = &vm;
	one.interrupt = -1;
	one.preempt_at = NEVER;
	turn_end = NEVER;
	one_kicks = 0;
	vm.id = 1;
	vm.vcpu_limit = 1;
	vm.vcpus[0] = &one;
	vm.memory.gpa_bits = 40;
	one_page[DEVICE / PAGE_SIZE] = PAGE_MMIO;
	one_state.rip = CODE;
	one_state.rsp = 0x3000;
	one_state.rflags = 2;
	one_state.cr0 = 0x11;
	one_state.cr4 = CR4_MCE;
	one_state.efer = BIT(8) | BIT(10);
	for (unsigned n = 0; n < SEG_COUNT; n++)
		one_state.seg[n] = (struct segment_state){.limit = ~0u, .access = 0xc093};
	one_state.seg[SEG_CS].access = 0xa09b;
	return 0;
}

void one_paged(unsigned hole)
{
	u32 *directory = (u32 *)(void *)(one_ram + 0xe000);
	u32 *table = (u32 *)(void *)(one_ram + 0xf000);

	one_state.efer = 0;
	one_state.seg[SEG_CS].access = 0xc09b;
	one_state.cr0 = 0x80000011;
	one_state.cr3 = 0xe000;
	directory[0] = 0xf000 | 7;
	for (u32 n = 0; n < ONE_PAGES; n++)
		table[n] = n == hole ? 0 : n << 12 | 7;
}

void one_code(const void *bytes, unsigned count)
{
	memcpy(one_ram + CODE, bytes, count);
	one_state.rip = CODE;
}

enum after one_exit(enum exit_reason reason)
{
	one.exit.reason = reason;
	one.exit.length = 0;
	return exit_handle(&one);
}

enum after one_io(u16 port, u8 size, bool in, bool string)
{
	one.exit.io.port = port;
	one.exit.io.size = size;
	one.exit.io.in = in;
	one.exit.io.string = string;
	return one_exit(EXIT_IO);
}

enum after one_fault(u64 address, bool write)
{
	one.exit.access = (struct access){.raw_gpa = address, .write = write};
	return one_exit(EXIT_NESTED_FAULT);
}

enum after one_resolved(void)
{
	one.wait = WAIT_NONE;
	return one.pending.kind != PENDING_NONE ? emulate_continue(&one) : AFTER_RESUME;
}

enum after one_complete(u64 value)
{
	assert_int_equal(one.wait, WAIT_EVENT);
	one.wait = WAIT_NONE;
	assert_int_equal(emulate_complete(&one, value), OK);
	return one.wait == WAIT_NONE ? one_resolved() : AFTER_WAIT;
}

/* ---- Memory ---- */

static bool reachable(u64 address, unsigned bytes, enum page_kind kind)
{
	return address + bytes <= sizeof(one_ram) && one_page[address / PAGE_SIZE] == kind;
}

bool memory_read(struct memory *mem, u64 raw_gpa, void *to, unsigned bytes)
{
	(void)mem;
	if (!reachable(raw_gpa, bytes, PAGE_RAM))
		return false;
	memcpy(to, one_ram + raw_gpa, bytes);
	return true;
}

bool memory_write(struct memory *mem, u64 raw_gpa, const void *from, unsigned bytes)
{
	(void)mem;
	if (!reachable(raw_gpa, bytes, PAGE_RAM))
		return false;
	memcpy(one_ram + raw_gpa, from, bytes);
	return true;
}

bool memory_cmpxchg(struct memory *mem, u64 raw_gpa, unsigned bytes, u64 expected, u64 desired,
		    bool *swapped)
{
	u64 now = 0;

	if (!memory_read(mem, raw_gpa, &now, bytes))
		return false;
	*swapped = now == expected;
	return !*swapped || memory_write(mem, raw_gpa, &desired, bytes);
}

struct fault memory_decide(struct memory *mem, const struct access *access)
{
	struct fault fault = {.gpa = gpa(access->raw_gpa), .outcome = FAULT_RESOLVED};

	(void)mem;
	if (access->raw_gpa >= BIT(40))
		fault.outcome = FAULT_BEYOND;
	else if (access->raw_gpa >= sizeof(one_ram))
		fault.outcome = FAULT_MMIO;
	else if (one_page[access->raw_gpa / PAGE_SIZE] == PAGE_MMIO)
		fault.outcome = FAULT_MMIO;
	else if (one_page[access->raw_gpa / PAGE_SIZE] == PAGE_OTHER_KIND)
		fault.outcome = FAULT_CONVERSION;
	return fault;
}

enum status root_read(hpa_t from, void *to, u64 bytes)
{
	return memory_read(NULL, from.n, to, (unsigned)bytes) ? OK : E_NOT_ROOT;
}

enum status root_write(hpa_t to, const void *from, u64 bytes)
{
	return memory_write(NULL, to.n, from, (unsigned)bytes) ? OK : E_NOT_ROOT;
}

bool root_fault(const struct access *access)
{
	return memory_decide(NULL, access).outcome == FAULT_RESOLVED;
}

/* ---- Protocol ---- */

void event_post(struct vcpu *v, struct septum_event *event)
{
	assert_int_equal(v->wait, WAIT_NONE);
	posted = *event;
	posted_count++;
	v->wait = WAIT_EVENT;
}

bool access_fault(struct vcpu *v, const struct access *access, u64 code)
{
	struct fault fault = memory_decide(&v->vm->memory, access);
	struct septum_event event = {.type = SEPTUM_EVENT_MEMORY_FAULT, .gpa = fault.gpa.n};

	(void)code;
	if (fault.outcome == FAULT_MMIO)
		return mmio_access(v, access) == AFTER_RESUME;
	if (fault.outcome == FAULT_RESOLVED)
		return true;
	if (fault.outcome == FAULT_BEYOND) {
		machine_check_raise(v, fault.gpa, access->exec);
		return v->wait == WAIT_NONE;
	}
	event_post(v, &event);
	return false;
}

bool explicit_request(struct vcpu *v, u64 where, u64 pages, u64 attributes, s64 *answer)
{
	struct septum_event event = {.type = SEPTUM_EVENT_EXPLICIT, .gpa = where};

	one_request[0] = where;
	one_request[1] = pages;
	one_request[2] = attributes;
	*answer = one_answer;
	if (one_request_waits)
		event_post(v, &event);
	return !one_request_waits;
}

u8 *ring_payload(struct ring *ring, u32 vcpu)
{
	(void)ring;
	(void)vcpu;
	return one_payload;
}

u32 trace_kinds;

void trace_keep(enum septum_trace what, unsigned id, unsigned vcpu, u64 a, u64 b)
{
	(void)what, (void)id, (void)vcpu, (void)a, (void)b;
}

struct vcpu *vm_root_vcpu(void)
{
	return &one_root;
}

void root_call(struct vcpu *v)
{
	v->gpr[RAX] = 0x5e7;
}

/* ---- The vendor ---- */

static u64 rip_get(const struct vcpu *v)
{
	(void)v;
	return one_state.rip;
}

static void rip_set(struct vcpu *v, u64 rip)
{
	(void)v;
	one_state.rip = rip;
}

static void skip_by(struct vcpu *v, unsigned length)
{
	(void)v;
	assert_in_range(length, 1, 15);
	one_state.rip += length;
	one_skipped++;
}

static u64 rsp_get(const struct vcpu *v)
{
	(void)v;
	return one_state.rsp;
}

static void rsp_set(struct vcpu *v, u64 rsp)
{
	(void)v;
	one_state.rsp = rsp;
}

static u64 rflags_get(const struct vcpu *v)
{
	(void)v;
	return one_state.rflags;
}

static void rflags_set(struct vcpu *v, u64 rflags)
{
	(void)v;
	one_state.rflags = rflags;
}

static unsigned cpl_get(const struct vcpu *v)
{
	(void)v;
	return one_state.cpl;
}

static bool long_mode(const struct vcpu *v)
{
	(void)v;
	return (one_state.efer & BIT(10)) != 0 && (one_state.seg[SEG_CS].access & BIT(13)) != 0;
}

static void state_get(const struct vcpu *v, struct vcpu_state *state)
{
	(void)v;
	*state = one_state;
}

static void state_set(struct vcpu *v, const struct vcpu_state *state)
{
	(void)v;
	one_state = *state;
}

static bool control_write(struct vcpu *v, unsigned cr, u64 value)
{
	(void)v;
	if (cr != 4 || (value & BIT(13)) != 0)
		return false;
	one_state.cr4 = value;
	return true;
}

/* Has EFER and LSTAR and nothing else. */
static bool msr_get(const struct vcpu *v, u32 index, u64 *value)
{
	(void)v;
	*value = index == 0xc0000080 ? one_state.efer : 0;
	return index == 0xc0000080 || index == 0xc0000082;
}

static bool msr_set(struct vcpu *v, u32 index, u64 value)
{
	(void)v;
	if (index == 0xc0000080 && value >> 16 != 0)
		return false;
	if (index == 0xc0000080)
		one_state.efer = value;
	return index == 0xc0000080 || index == 0xc0000082 || index == 0x277;
}

static void load(struct vcpu *v)
{
	one_loaded = v;
}

static void run(struct vcpu *v)
{
	assert_ptr_equal(one_loaded, v);
	assert_ptr_equal(one_world, &v->world);
	assert_int_equal(v->pending.kind, PENDING_NONE);
	assert_in_range(one_entries, 0, ARRAY_COUNT(one_exits) - 1);
	v->exit.reason = one_exits[one_entries++];
	v->exit.length = 0;
	nmi_seen = one_entries == one_nmi_at;
}

static void tsc_offset_set(struct vcpu *v, u64 offset)
{
	(void)v;
	(void)offset;
}

static const struct vendor_ops ops = {
	.name = "one",
	.load = load,
	.run = run,
	.rip_get = rip_get,
	.rip_set = rip_set,
	.skip = skip_by,
	.rsp_get = rsp_get,
	.rsp_set = rsp_set,
	.rflags_get = rflags_get,
	.rflags_set = rflags_set,
	.cpl_get = cpl_get,
	.long_mode = long_mode,
	.state_get = state_get,
	.state_set = state_set,
	.control_write = control_write,
	.msr_get = msr_get,
	.msr_set = msr_set,
	.tsc_offset_set = tsc_offset_set,
};
const struct vendor_ops *vendor = &ops;

/* ---- The machine ---- */

unsigned cpuid_physical_bits(const struct vcpu *v)
{
	return v->vm->memory.gpa_bits;
}

void cpuid_answer(struct vcpu *v)
{
	v->gpr[RAX] = 0xc1d;
}

bool nmi_take(void)
{
	bool seen = nmi_seen;

	nmi_seen = false;
	return seen;
}

void world_switch(struct world *from, struct world *to)
{
	assert_ptr_equal(one_world, from);
	one_world = to;
}

u64 cpuid_guest_xcr0(void)
{
	return 7;
}

u64 world_xcr0_root(void)
{
	return 7;
}

bool world_xsetbv(struct world *world, u64 value, u64 allowed)
{
	if ((value & ~allowed) != 0 || (value & 1) == 0)
		return false;
	world->xcr0 = value;
	return true;
}

bool world_msr(u32 index)
{
	(void)index;
	return false;
}

bool world_msr_write(struct world *world, u32 index, u64 value)
{
	(void)world, (void)index, (void)value;
	return true;
}

void printk(enum log_level level, const char *format, ...)
{
	(void)level, (void)format;
}

_Noreturn void panic(const char *format, ...)
{
	print_error("panic: %s\n", format);
	__builtin_trap();
}

_Noreturn void machine_stop(enum exit_code code)
{
	(void)code;
	__builtin_trap();
}
