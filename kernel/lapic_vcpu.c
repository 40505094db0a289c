/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/lapic_vcpu.h"

#include "arch/x86/io.h"
#include "arch/x86/smp.h"
#include "arch/x86/timer.h"
#include "arch/x86/tsc.h"
#include "kernel/emulate.h"
#include "kernel/string.h"
#include "kernel/vendor.h"
#include "kernel/vm.h"

#define CR0_ET	    BIT(4)
#define CR0_CD_NW   (BIT(30) | BIT(29))
#define RFLAGS_SET  BIT(1)
#define SEGMENT_MAX 0xffffu

/* Access-rights words of real mode: SDM Vol. 3, table 10-1. */
#define ACCESS_CODE 0x9bu
#define ACCESS_DATA 0x93u
#define ACCESS_LDTR 0x82u
#define ACCESS_TR   0x8bu

/* On CPU 0 the turn of a vCPU that has sent something to another ends soon: TSC ticks. */
#define YIELD_TICKS 50000ul

/* ---- Posting, on any CPU ---- */

static void tell(struct vcpu *to)
{
	unsigned cpu;

	__atomic_store_n(&to->lapic.news, true, __ATOMIC_SEQ_CST);
	cpu = __atomic_load_n(&to->cpu, __ATOMIC_SEQ_CST);
	if (cpu == cpu_self()) {
		if (cpu == 0 && turn_end != NEVER)
			turn_end = MIN(turn_end, rdtsc() + YIELD_TICKS);
		return;
	}
	/* Else RUN looks when it comes to it. */
	if (cpu != 0 || __atomic_load_n(&to->running, __ATOMIC_SEQ_CST) ||
	    __atomic_load_n(&to->vm->sleeping, __ATOMIC_SEQ_CST))
		cpu_kick(cpu);
}

void lapic_post(struct vcpu *to, u8 vector)
{
	__atomic_fetch_or(&to->lapic.posted[vector / 64], BIT(vector % 64), __ATOMIC_SEQ_CST);
	tell(to);
}

void lapic_post_nmi(struct vcpu *to)
{
	__atomic_store_n(&to->nmi_pending, true, __ATOMIC_SEQ_CST);
	tell(to);
}

/* An INIT makes older SIPIs void; of several SIPIs the first counts. */
static void post_startup(struct vcpu *to, u32 what)
{
	u32 old = __atomic_load_n(&to->lapic.startup, __ATOMIC_RELAXED), next;

	do {
		if (what == STARTUP_INIT)
			next = STARTUP_INIT;
		else
			next = (old & STARTUP_SIPI) != 0 ? old : old | what;
	} while (!__atomic_compare_exchange_n(&to->lapic.startup, &old, next, false,
					      __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
	tell(to);
}

void lapic_start(struct vcpu *to)
{
	post_startup(to, STARTUP_INIT);
	post_startup(to, STARTUP_SIPI);
}

void lapic_stop(struct vcpu *to)
{
	post_startup(to, STARTUP_INIT);
}

/* ---- Messages ---- */

static void deliver(struct vcpu *from, struct vcpu *to, u64 icr)
{
	switch ((enum icr_mode)ICR_MODE(icr)) {
	case ICR_FIXED:
	case ICR_LOWEST:
		if (to == from)
			lapic_accept(&to->lapic, ICR_VECTOR(icr));
		else
			lapic_post(to, ICR_VECTOR(icr));
		return;
	case ICR_NMI:
		lapic_post_nmi(to);
		return;
	case ICR_INIT:
		/* The end of a level is nothing that today's APICs send: 11.6.1. */
		if ((icr & ICR_TRIGGER) == 0 || (icr & ICR_LEVEL) != 0)
			post_startup(to, STARTUP_INIT);
		return;
	case ICR_STARTUP:
		post_startup(to, STARTUP_SIPI | ICR_VECTOR(icr));
		return;
	default:
		return;
	}
}

/* Which destinations each shorthand allows: table 11-3. */
static bool is_target(const struct vcpu *from, const struct vcpu *to, u64 icr)
{
	bool fixed = ICR_MODE(icr) == ICR_FIXED;

	switch ((enum icr_shorthand)ICR_SHORTHAND(icr)) {
	case ICR_SELF:
		return to == from && fixed;
	case ICR_ALL:
		return fixed && lapic_on(&to->lapic);
	case ICR_OTHERS:
		return to != from && lapic_on(&to->lapic);
	default:
		return lapic_addressed(&to->lapic, icr, lapic_x2(&from->lapic));
	}
}

static void send(struct vcpu *from)
{
	struct vm *vm = from->vm;
	u64 icr = from->lapic.icr;

	for (u32 i = 0; i < vm->vcpu_limit; i++) {
		struct vcpu *to = vm->vcpus[i];

		if (to == NULL || !is_target(from, to, icr))
			continue;
		deliver(from, to, icr);
		/* Which one has the lowest priority is the processor's own choice: 11.6.2.4. */
		if (ICR_MODE(icr) == ICR_LOWEST)
			return;
	}
}

/* ---- Accesses ---- */

/* What the processor has taken since the last look is in service. */
static void settle(struct vcpu *v)
{
	if (v->offered >= 0 && v->interrupt < 0)
		lapic_take(&v->lapic, (u8)v->offered);
	v->offered = (s16)v->interrupt;
}

/* SVM knows only the class. */
static u32 tpr_of(const struct vcpu *v)
{
	u8 tpr = vendor->tpr_get(v);

	return ((v->lapic.tpr ^ tpr) & 0xf0) != 0 ? tpr : v->lapic.tpr;
}

static enum lapic_result done(struct vcpu *v, enum lapic_result result)
{
	if (result == LAPIC_SEND)
		send(v);
	return result;
}

bool lapic_read_msr(struct vcpu *v, u32 msr, u64 *value)
{
	settle(v);
	v->lapic.tpr = tpr_of(v);
	return lapic_msr_read(&v->lapic, msr, rdtsc(), value) != LAPIC_FAULT;
}

bool lapic_write_msr(struct vcpu *v, u32 msr, u64 value)
{
	enum lapic_result result;

	settle(v);
	result = done(v, lapic_msr_write(&v->lapic, msr, rdtsc(), value));
	if (msr == MSR_X2APIC_FIRST + (LAPIC_TPR >> 4) || msr == MSR_APIC_BASE)
		vendor->tpr_set(v, (u8)v->lapic.tpr);
	return result != LAPIC_FAULT;
}

bool lapic_hot(struct vcpu *v, u32 msr, u64 value, u32 tpr, bool open, int *vector)
{
	settle(v);
	return lapic_write_hot(&v->lapic, msr, rdtsc(), value, tpr, open, vector);
}

bool lapic_page(struct vcpu *v, u64 gpa, void *bytes, unsigned count, bool write)
{
	u64 value = 0;

	if (!v->has_apic || (gpa & PAGE_MASK) != LAPIC_ADDRESS || !lapic_x(&v->lapic))
		return false;
	settle(v);
	v->lapic.tpr = tpr_of(v);
	if (write) {
		memcpy(&value, bytes, count);
		done(v,
		     lapic_page_write(&v->lapic, (u32)(gpa & ~PAGE_MASK), count, value, rdtsc()));
		vendor->tpr_set(v, (u8)v->lapic.tpr);
	} else {
		value = lapic_page_read(&v->lapic, (u32)(gpa & ~PAGE_MASK), count, rdtsc());
		memcpy(bytes, &value, count);
	}
	return true;
}

/* ---- INIT and SIPI: SDM Vol. 3, table 10-1 ---- */

static struct segment_state real_segment(u16 selector, u64 base, u32 access)
{
	return (struct segment_state){selector, SEGMENT_MAX, access, base};
}

/* `code`: the selector and base of CS; RIP is `rip`. */
static void state_reset(struct vcpu *v, u16 selector, u64 base, u64 rip)
{
	struct vcpu_state old, s = {.rip = rip, .rflags = RFLAGS_SET};

	vendor->state_get(v, &old);
	s.cr0 = CR0_ET | (old.cr0 & CR0_CD_NW);
	s.gdtr_limit = s.idtr_limit = SEGMENT_MAX;
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		s.seg[i] = real_segment(0, 0, ACCESS_DATA);
	s.seg[SEG_CS] = real_segment(selector, base, ACCESS_CODE);
	s.seg[SEG_LDTR] = real_segment(0, 0, ACCESS_LDTR);
	s.seg[SEG_TR] = real_segment(0, 0, ACCESS_TR);
	memset(v->gpr, 0, sizeof(v->gpr));
	v->gpr[RDX] = cpuid(1, 0).eax;
	vendor->state_set(v, &s);
}

static void init(struct vcpu *v)
{
	lapic_reset(&v->lapic);
	v->interrupt = -1;
	v->offered = -1;
	v->nmi_pending = false;
	v->halted = false;
	v->event.kind = EVENT_NONE;
	v->request.active = false;
	vendor->reset(v);
	vendor->tpr_set(v, 0);
	world_debug_reset();
	state_reset(v, 0xf000, 0xffff0000, 0xfff0);
	/* The bootstrap processor starts at once: 9.4.2. */
	v->parked = (v->lapic.base & LAPIC_BASE_BSP) == 0;
}

static void news_take(struct vcpu *v)
{
	struct lapic *a = &v->lapic;
	u32 startup;

	__atomic_store_n(&a->news, false, __ATOMIC_SEQ_CST);
	startup = __atomic_exchange_n(&a->startup, 0, __ATOMIC_SEQ_CST);
	if ((startup & STARTUP_INIT) != 0)
		init(v);
	for (unsigned i = 0; i < 4; i++) {
		u64 bits = __atomic_exchange_n(&a->posted[i], 0, __ATOMIC_SEQ_CST);

		for (; bits != 0; bits &= bits - 1)
			lapic_accept(a, (u8)(i * 64 + (unsigned)__builtin_ctzl(bits)));
	}
	if ((startup & STARTUP_SIPI) != 0 && v->parked) {
		u16 page = (u16)(startup & STARTUP_VECTOR);

		state_reset(v, (u16)(page << 8), (u64)page << PAGE_SHIFT, 0);
		v->parked = false;
	}
}

/* ---- Before an entry ---- */

static enum after wait(struct vcpu *v, enum wait_kind kind)
{
	spin_lock(&v->vm->ring.lock);
	v->wait = (u8)kind;
	spin_unlock(&v->vm->ring.lock);
	return AFTER_WAIT;
}

bool lapic_wakes(const struct vcpu *v)
{
	const struct lapic *a = &v->lapic;

	if (__atomic_load_n(&a->news, __ATOMIC_SEQ_CST) || v->nmi_pending ||
	    v->event.kind != EVENT_NONE)
		return true;
	if (!v->halt_if)
		return false;
	if (a->due != NEVER && rdtsc() >= a->due)
		return true;
	return lapic_request(a) >> 4 > (int)(tpr_of(v) >> 4);
}

void lapic_arm(struct vcpu *v, u64 at)
{
	if (vendor->preempts)
		v->preempt_at = at;
	else if (at != NEVER)
		timer_arm(at);
}

static enum after apic_enter(struct vcpu *v)
{
	struct lapic *a = &v->lapic;
	u64 now;

	settle(v);
	if (a->news)
		news_take(v);
	if (v->parked)
		return wait(v, WAIT_STARTUP);
	if (a->due != NEVER) {
		now = rdtsc();
		if (now >= a->due)
			lapic_expire(a, now);
	}
	if (v->halted) {
		if (!lapic_wakes(v))
			return wait(v, WAIT_HALTED);
		v->halted = false;
	}
	v->interrupt = lapic_request(a);
	v->offered = (s16)v->interrupt;
	return AFTER_RESUME;
}

enum after lapic_enter(struct vcpu *v, u64 until)
{
	enum after after = AFTER_RESUME;

	if (until != NEVER && rdtsc() >= until)
		return AFTER_TIME;
	if (v->has_apic)
		after = apic_enter(v);
	if (after == AFTER_RESUME)
		lapic_arm(v, v->has_apic ? MIN(v->lapic.due, until) : until);
	return after;
}

void lapic_create(struct vcpu *v)
{
	v->has_apic = true;
	v->offered = -1;
	lapic_init(&v->lapic, v->index, v->index == 0);
	v->parked = v->index != 0;
	if (v->parked)
		v->wait = WAIT_STARTUP;
}
