/* SPDX-License-Identifier: BSD-2-Clause */
/* sources: tests/host/manager.c tests/host/fake_vendor.c tests/host/fake.c
 * mm/attr.c mm/audit.c mm/audit_frames.c mm/frame.c mm/memory.c mm/memory_access.c
 * mm/memory_convert.c mm/memory_destroy.c mm/memory_fault.c mm/memory_load.c mm/memory_slots.c
 * mm/nested.c mm/pool.c mm/root.c mm/tlb.c
 * kernel/protocol.c kernel/explicit.c kernel/ring.c kernel/vm.c kernel/vcpu.c kernel/lapic.c
 * kernel/lapic_vcpu.c tests/host/fake_timer.c kernel/root.c kernel/adopt.c kernel/hypercall.c
 * kernel/trace.c */
/* flags: -lcmocka */
/* A hostile manager with a guest that helps it: any hypercall with any arguments, any content of
 * the shared pages, any access by the guest, in any order, against the real memory and protocol
 * code. After each input the audit is clean, and when everything has been destroyed every frame is
 * the root's again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/host/fake.h"
#include "tests/host/manager.h"

#define GUEST_PAGES 1024ul
#define SHARED_BIT  40u

struct input {
	const u8 *at, *end;
};

static u8 take(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static u64 take_word(struct input *in)
{
	u64 word = 0;

	for (unsigned i = 0; i < 8; i++)
		word |= (u64)take(in) << 8 * i;
	return word;
}

/* Mostly what means something; sometimes anything. */
static u64 argument(struct input *in)
{
	static const u64 known[] = {
		ROOT_POOL,	  ROOT_POOL + 512, ROOT_RING,  ROOT_SLOT, ROOT_SLOT + 1024,
		ROOT_SLOT + 1536, ROOT_PAGE,	   0x3000,     512,	  513,
		GUEST_PAGES,	  GUEST_PAGES - 1, SHARED_BIT, 1ul << 20, 1ul << 28,
		1ul << 36,	  1ul << 40,	   1ul << 52,  1ul << 63, ~0ul,
		~0xffful,	  0xffffffff,	   0xf000,     4096,
	};
	u8 how = take(in);

	if (how < 160)
		return how & 15;
	if (how < 200)
		return take(in);
	if (how < 248)
		return known[how % ARRAY_COUNT(known)];
	return take_word(in);
}

static u64 guest_address(struct input *in)
{
	u8 how = take(in);
	u64 page = how & 0x3f ? how & 0x3f : argument(in);

	return (how & 0x80 ? 1ul << SHARED_BIT : 0) | page << PAGE_SHIFT | (how & 0x40 ? 8 : 0);
}

static void hypercall_op(struct input *in)
{
	static const u8 calls[] = {
		SEPTUM_CALL_VERSION,	  SEPTUM_CALL_INFO,	      SEPTUM_CALL_CONSOLE,
		SEPTUM_CALL_POOL_CREATE,  SEPTUM_CALL_POOL_DONATE,    SEPTUM_CALL_POOL_RECLAIM,
		SEPTUM_CALL_POOL_DESTROY, SEPTUM_CALL_POOL_INFO,      SEPTUM_CALL_VM_CREATE,
		SEPTUM_CALL_VM_DESTROY,	  SEPTUM_CALL_VM_START,	      SEPTUM_CALL_VM_COUNTER,
		SEPTUM_CALL_SLOT_ADD,	  SEPTUM_CALL_SLOT_REMOVE,    SEPTUM_CALL_ATTR_SET,
		SEPTUM_CALL_ATTR_GET,	  SEPTUM_CALL_MEM_LOAD,	      SEPTUM_CALL_MEM_DISCARD,
		SEPTUM_CALL_PREFAULT,	  SEPTUM_CALL_VCPU_CREATE,    SEPTUM_CALL_VCPU_SET,
		SEPTUM_CALL_VCPU_INFO,	  SEPTUM_CALL_VCPU_INTERRUPT, SEPTUM_CALL_RUN,
		SEPTUM_CALL_VM_FIND,	  SEPTUM_CALL_VM_ADOPT,	      SEPTUM_CALL_TRACE_READ,
		SEPTUM_CALL_AUDIT};
	u8 number = take(in);
	u64 arg[6];
	struct answer a;

	for (unsigned i = 0; i < 6; i++)
		arg[i] = argument(in);
	a = call(number < 250 ? calls[number % ARRAY_COUNT(calls)] : number, arg[0], arg[1], arg[2],
		 arg[3], arg[4], arg[5]);
	if (a.status > E_FIRMWARE || a.status == E_BROKEN || a.argument > 6)
		abort();
}

static void step_op(struct input *in)
{
	u8 what = take(in);
	u64 where = guest_address(in);
	enum step_kind kind = 1 + what % STEP_INTERRUPT;
	struct fake_cpu *cpu = fake_cpu(1, what >> 4 & 1);

	if (cpu->count > FAKE_STEPS - 3)
		return;
	if (kind == STEP_MAP_RANGE)
		fake_step(1, what >> 4 & 1, kind, where & PAGE_MASK, argument(in), argument(in));
	else
		fake_step(1, what >> 4 & 1, kind, where, what, 0);
}

/* VM 1 is still the one of world(), with its ring area. */
static bool ring_there(void)
{
	struct vm *vm = vm_by_id(1, true);

	return vm && vm->ring_first.n == ring_pfn(1);
}

/* An answer to the next event, right or nearly so. */
static void answer_op(struct input *in)
{
	u8 how = take(in);
	struct septum_event e = {0};
	struct septum_completion c;

	if (!ring_there() ||
	    ring_read(1, offsetof(struct septum_ring, event_head)) -
			    ring_read(1, offsetof(struct septum_ring, event_tail)) >
		    SEPTUM_RING_ENTRIES)
		return;
	if (how & 0x80 ? !event_look(1, &e) : !event_take(1, &e))
		return;
	c = (struct septum_completion){
		.seq = e.seq,
		.vcpu = e.vcpu,
		.verdict = how & 7,
		.flags = (how & 7) == SEPTUM_VERDICT_CONVERT ? e.flags & SEPTUM_EVENT_PRIVATE : 0,
		.gpa = e.gpa & PAGE_MASK,
		.size = e.size,
		.value = how >> 3 & 3,
	};
	if (how & 0x40) {
		c.gpa -= (u64)take(in) << PAGE_SHIFT;
		c.size += (u64)take(in) << PAGE_SHIFT;
	}
	if (how & 0x20)
		((u8 *)&c)[take(in) % sizeof(c)] ^= take(in);
	completion_put(1, &c);
}

static void scribble_op(struct input *in)
{
	u8 page = take(in) % 5;
	u64 offset = page == 0 ? take(in) % 7 * 64ul : take(in) * 16ul;
	u32 word = take(in);

	if (word > 0xf0)
		word = (u32)take_word(in);
	if (!ring_there())
		return;
	(void)root_write(hpa((ring_pfn(1) + page) * PAGE_SIZE + offset), &word, sizeof(word));
}

static void world(u8 how)
{
	u64 pool = pool_new(1 + (how & 1));
	u64 bit = how & 2 ? SHARED_BIT : 0;
	u64 vm = vm_new(how & 0x60 ? SEPTUM_SW_PROTECTED : SEPTUM_PLAIN, pool, 2,
			how & 0x60 ? bit : 0, how & 4 ? SEPTUM_VM_DISCARD : 0);

	if (vm != 1)
		abort();
	CALL5(SLOT_ADD, vm, 0, GUEST_PAGES / 2, ROOT_SLOT, SEPTUM_SLOT_INPLACE);
	CALL5(SLOT_ADD, vm, GUEST_PAGES / 2, GUEST_PAGES / 2, ROOT_SLOT + GUEST_PAGES / 2,
	      SEPTUM_SLOT_SHARED | (how & 0x60 ? SEPTUM_SLOT_PRIVATE : 0));
	CALL2(VCPU_CREATE, vm, 0);
	CALL2(VCPU_CREATE, vm, 1);
	if (how & 0x10)
		pool_starve(pool, how >> 5);
	if (how & 8)
		CALL1(VM_START, vm);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = {data, data + size};

	machine_pages = ROOT_SLOT + 2048;
	machine_start();
	fake_windows_direct = true;
	audit_zero_every = 8;
	world(take(&in));
	for (unsigned n = 0; n < 200 && in.at < in.end; n++) {
		u8 op = take(&in);

		switch (op & 7) {
		case 0:
		case 1:
			hypercall_op(&in);
			break;
		case 2:
			step_op(&in);
			break;
		case 3:
			answer_op(&in);
			break;
		case 4:
			scribble_op(&in);
			break;
		case 5:
			fake_stop_after = op >> 4;
			break;
		case 6:
			if (op & 0x80)
				pool_feed();
			break;
		default:
			CALL2(RUN, 1, op & 0x80 ? 1 : SEPTUM_ALL);
		}
	}
	fake_stop_after = 0;
	fake_console_length = 0;
	pool_feed();
	audit_clean();
	machine_empty();
	return 0;
}
