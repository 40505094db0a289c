/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/lapic.h"

#define REGISTERS    0x400u /* bytes of the page behind which there is none */
#define VERSION	     (0x14u | (LAPIC_LVTS - 1) << 16)
#define VECTOR_MIN   16u
#define BASE_FLAGS   (LAPIC_BASE_BSP | LAPIC_BASE_X2 | LAPIC_BASE_ON)
#define BASE_MODE    (LAPIC_BASE_X2 | LAPIC_BASE_ON)
#define SVR_ON	     BIT(8)
#define SVR_BITS     0x1ffu
#define DFR_ONES     0x0fffffffu
#define DIVIDE_BITS  0xbu
#define LVT_MASKED   BIT(16)
#define LVT_STATUS   BIT(12) /* and remote IRR, BIT(14): never set, writes to them do nothing */
#define LVT_REMOTE   BIT(14)
#define ICR_STATUS   BIT(12)
#define ICR_RESERVED 0xfff33000u /* of the lower half: 12, 13, 16, 17, 20 to 31 */
#define ALL_XAPIC    0xffu
#define ALL_X2APIC   0xffffffffu

/* LVT entries in the order of their registers: what of each can be written. 11.5.1, 11.5.4. */
enum { TIMER, THERMAL, COUNTER, LINT0, LINT1, ERROR };
#define LVT_MODE  0x700u
#define LVT_INPUT 0xa000u /* polarity, trigger */
static const u32 lvt_bits[LAPIC_LVTS] = {
	[TIMER] = 0x700ff,
	[THERMAL] = 0x100ff | LVT_MODE,
	[COUNTER] = 0x100ff | LVT_MODE,
	[LINT0] = 0x100ff | LVT_MODE | LVT_INPUT,
	[LINT1] = 0x100ff | LVT_MODE | LVT_INPUT,
	[ERROR] = 0x100ff,
};

enum timer_mode { ONE_SHOT, PERIODIC, DEADLINE, NO_MODE };

/* ---- Interrupts ---- */

static int highest(const u64 bits[4])
{
	for (int i = 3; i >= 0; i--) {
		if (bits[i] != 0)
			return i * 64 + 63 - __builtin_clzl(bits[i]);
	}
	return -1;
}

static void set(u64 bits[4], u8 vector)
{
	bits[vector / 64] |= BIT(vector % 64);
}

static void clear(u64 bits[4], u8 vector)
{
	bits[vector / 64] &= ~BIT(vector % 64);
}

static bool software_on(const struct lapic *a)
{
	return lapic_on(a) && (a->svr & SVR_ON) != 0;
}

static void lvt_fire(struct lapic *a, unsigned entry)
{
	u8 vector = (u8)a->lvt[entry];

	if ((a->lvt[entry] & LVT_MASKED) != 0)
		return;
	/* An error while an error is reported reports no further one. */
	if (vector < VECTOR_MIN)
		a->errors |= ESR_RECEIVE_VECTOR;
	else
		set(a->irr, vector);
}

static void error(struct lapic *a, u64 what)
{
	a->errors |= (u32)what;
	lvt_fire(a, ERROR);
}

void lapic_accept(struct lapic *a, u8 vector)
{
	if (!software_on(a))
		return;
	if (vector < VECTOR_MIN)
		error(a, ESR_RECEIVE_VECTOR);
	else
		set(a->irr, vector);
}

int lapic_request(const struct lapic *a)
{
	int vector = highest(a->irr);

	return vector >= 0 && vector >> 4 > highest(a->isr) >> 4 ? vector : -1;
}

void lapic_take(struct lapic *a, u8 vector)
{
	clear(a->irr, vector);
	set(a->isr, vector);
}

void lapic_give_back(struct lapic *a, u8 vector)
{
	clear(a->isr, vector);
	set(a->irr, vector);
}

/* 11.8.3.1 */
u32 lapic_ppr(const struct lapic *a)
{
	int in_service = highest(a->isr);

	if (in_service < 0 || a->tpr >> 4 >= (u32)in_service >> 4)
		return a->tpr;
	return (u32)in_service & 0xf0;
}

static void end_of_interrupt(struct lapic *a)
{
	int vector = highest(a->isr);

	if (vector >= 0)
		clear(a->isr, (u8)vector);
}

/* ---- Timer: 11.5.4 ---- */

static enum timer_mode mode_of(const struct lapic *a)
{
	return (enum timer_mode)(a->lvt[TIMER] >> 17 & 3);
}

/* TSC ticks for one count. */
static unsigned unit_log(const struct lapic *a)
{
	u32 divide = (a->divide & 3) | (a->divide >> 1 & 4);

	return ((divide + 1) & 7) + LAPIC_CLOCK_LOG;
}

static u64 period_of(const struct lapic *a)
{
	u64 period = (u64)a->initial << unit_log(a);

	return mode_of(a) == PERIODIC ? MAX(period, LAPIC_PERIOD_MIN) : period;
}

static void stop(struct lapic *a)
{
	a->initial = 0;
	a->deadline = 0;
	a->due = NEVER;
}

static void count_from(struct lapic *a, u64 start)
{
	a->start = start;
	a->due = a->initial != 0 ? start + period_of(a) : NEVER;
}

static u32 current_count(const struct lapic *a, u64 now)
{
	u64 gone;

	if (a->initial == 0 || a->due == NEVER || mode_of(a) > PERIODIC)
		return 0;
	gone = (now - a->start) >> unit_log(a);
	if (gone >= a->initial) {
		if (mode_of(a) == ONE_SHOT)
			return 0;
		gone %= a->initial;
	}
	return a->initial - (u32)gone;
}

void lapic_expire(struct lapic *a, u64 now)
{
	u64 period;

	if (mode_of(a) == PERIODIC) {
		period = period_of(a);
		a->start += (now - a->start) / period * period;
		a->due = a->start + period;
	} else {
		a->due = NEVER;
		a->deadline = 0;
	}
	lvt_fire(a, TIMER);
}

/* Compared without sign, as the guest's TSC is: the largest deadline is never reached. */
static void deadline_look(struct lapic *a, u64 now)
{
	u64 guest_now = now + a->tsc_offset, left = a->deadline - guest_now;

	if (a->deadline <= guest_now)
		lapic_expire(a, now);
	else
		a->due = left < NEVER - now ? now + left : NEVER;
}

static void deadline_write(struct lapic *a, u64 now, u64 value)
{
	if (mode_of(a) != DEADLINE)
		return;
	a->deadline = value;
	a->due = NEVER;
	if (value != 0)
		deadline_look(a, now);
}

void lapic_tsc_set(struct lapic *a, u64 now, u64 offset)
{
	a->tsc_offset = offset;
	if (a->deadline != 0)
		deadline_look(a, now);
}

static void divide_write(struct lapic *a, u64 now, u32 value)
{
	u64 gone = a->initial - current_count(a, now);

	a->divide = value & DIVIDE_BITS;
	if (a->due != NEVER && mode_of(a) <= PERIODIC)
		count_from(a, now - (gone << unit_log(a)));
}

static void lvt_write(struct lapic *a, unsigned entry, u64 now, u32 value)
{
	enum timer_mode before = mode_of(a);

	value &= lvt_bits[entry];
	if ((a->svr & SVR_ON) == 0)
		value |= (u32)LVT_MASKED;
	a->lvt[entry] = value;
	if (entry != TIMER || mode_of(a) == before)
		return;
	if (before > PERIODIC || mode_of(a) > PERIODIC)
		stop(a);
	else if (a->due != NEVER)
		count_from(a, now - ((u64)(a->initial - current_count(a, now)) << unit_log(a)));
}

/* ---- Reset ---- */

void lapic_reset(struct lapic *a)
{
	a->tpr = a->ldr = a->esr = a->errors = a->divide = 0;
	a->dfr = ~0u;
	a->svr = 0xff;
	a->icr = 0;
	for (unsigned i = 0; i < LAPIC_LVTS; i++)
		a->lvt[i] = (u32)LVT_MASKED;
	for (unsigned i = 0; i < 4; i++)
		a->irr[i] = a->isr[i] = 0;
	stop(a);
}

void lapic_init(struct lapic *a, u32 id, bool bsp)
{
	*a = (struct lapic){
		.base = LAPIC_ADDRESS | LAPIC_BASE_ON | (bsp ? LAPIC_BASE_BSP : 0),
		.id = id,
	};
	lapic_reset(a);
}

static bool base_valid(u64 value)
{
	return (value & ~BASE_FLAGS) == LAPIC_ADDRESS && (value & BASE_MODE) != LAPIC_BASE_X2;
}

bool lapic_base_set(struct lapic *a, u64 value)
{
	if (!base_valid(value))
		return false;
	a->base = (value & ~LAPIC_BASE_BSP) | (a->base & LAPIC_BASE_BSP);
	return true;
}

/* 11.12.5, figure 11-27. */
static enum lapic_result base_write(struct lapic *a, u64 value)
{
	u64 from = a->base & BASE_MODE, to = value & BASE_MODE;

	if (!base_valid(value) || (from == BASE_MODE && to == LAPIC_BASE_ON) ||
	    (from == 0 && to == BASE_MODE))
		return LAPIC_FAULT;
	if (from != 0 && to == 0)
		lapic_reset(a);
	if (from != to)
		a->icr = (u32)a->icr;
	WRITE_ONCE(a->base, (value & ~LAPIC_BASE_BSP) | (a->base & LAPIC_BASE_BSP));
	return LAPIC_DONE;
}

/* ---- Registers ---- */

static u32 bits_read(const u64 bits[4], u32 reg)
{
	u32 n = reg >> 4 & 7;

	return (u32)(bits[n / 2] >> (n % 2 * 32));
}

static u32 logical_id(const struct lapic *a)
{
	if (lapic_x2(a))
		return a->id >> 4 << 16 | 1u << (a->id & 15); /* 11.12.10.2 */
	return READ_ONCE(a->ldr);
}

/* False: there is no such register to be read in any mode. */
static bool reg_read(const struct lapic *a, u32 reg, u64 now, u32 *value)
{
	*value = 0;
	switch (reg) {
	case LAPIC_ID:
		*value = lapic_x2(a) ? a->id : a->id << 24;
		return true;
	case LAPIC_VERSION:
		*value = VERSION;
		return true;
	case LAPIC_TPR:
		*value = a->tpr;
		return true;
	case LAPIC_PPR:
		*value = lapic_ppr(a);
		return true;
	case LAPIC_LDR:
		*value = logical_id(a);
		return true;
	case LAPIC_SVR:
		*value = a->svr;
		return true;
	case LAPIC_ISR ... LAPIC_ISR + 0x70:
		*value = bits_read(a->isr, reg);
		return true;
	case LAPIC_TMR ... LAPIC_TMR + 0x70:
		return true;
	case LAPIC_IRR ... LAPIC_IRR + 0x70:
		*value = bits_read(a->irr, reg);
		return true;
	case LAPIC_ESR:
		*value = a->esr;
		return true;
	case LAPIC_LVT_TIMER ... LAPIC_LVT_ERROR:
		*value = a->lvt[(reg - LAPIC_LVT_TIMER) >> 4];
		return true;
	case LAPIC_INITIAL:
		*value = a->initial;
		return true;
	case LAPIC_CURRENT:
		*value = current_count(a, now);
		return true;
	case LAPIC_DIVIDE:
		*value = a->divide;
		return true;
	default:
		return false;
	}
}

static enum lapic_result icr_write(struct lapic *a, u64 value)
{
	enum icr_mode mode = (enum icr_mode)ICR_MODE(value);

	a->icr = value;
	if (mode <= ICR_LOWEST && ICR_VECTOR(value) < VECTOR_MIN) {
		error(a, ESR_SEND_VECTOR);
		return LAPIC_DONE;
	}
	return LAPIC_SEND;
}

static void svr_write(struct lapic *a, u32 value)
{
	a->svr = value & SVR_BITS;
	if ((a->svr & SVR_ON) != 0)
		return;
	for (unsigned i = 0; i < LAPIC_LVTS; i++)
		a->lvt[i] |= (u32)LVT_MASKED;
}

/* Those that are written alike in both modes, valid values only. */
static void reg_write(struct lapic *a, u32 reg, u64 now, u32 value)
{
	switch (reg) {
	case LAPIC_TPR:
		a->tpr = value & 0xff;
		return;
	case LAPIC_EOI:
		end_of_interrupt(a);
		return;
	case LAPIC_SVR:
		svr_write(a, value);
		return;
	case LAPIC_ESR:
		a->esr = a->errors;
		a->errors = 0;
		return;
	case LAPIC_LVT_TIMER ... LAPIC_LVT_ERROR:
		lvt_write(a, (reg - LAPIC_LVT_TIMER) >> 4, now, value);
		return;
	case LAPIC_INITIAL:
		if (mode_of(a) <= PERIODIC) {
			a->initial = value;
			count_from(a, now);
		}
		return;
	case LAPIC_DIVIDE:
		divide_write(a, now, value);
		return;
	default:
		return;
	}
}

/* ---- xAPIC: table 11-1 ---- */

static bool read_by_page(const struct lapic *a, u32 reg, u64 now, u32 *value)
{
	if (reg_read(a, reg, now, value))
		return true;
	switch (reg) {
	case LAPIC_APR:
	case LAPIC_RRD:
	case LAPIC_EOI:
		return true;
	case LAPIC_DFR:
		*value = a->dfr;
		return true;
	case LAPIC_ICR:
		*value = (u32)a->icr;
		return true;
	case LAPIC_ICR_HIGH:
		*value = (u32)(a->icr >> 32);
		return true;
	default:
		return false;
	}
}

u64 lapic_page_read(struct lapic *a, u32 offset, u32 bytes, u64 now)
{
	u32 at = offset & 15, value;

	if (!read_by_page(a, offset & ~15u, now, &value)) {
		error(a, ESR_REGISTER);
		return 0;
	}
	if (at >= 4)
		return 0;
	value >>= 8 * at;
	return bytes >= 4 ? value : value & (u32)(BIT(8 * bytes) - 1);
}

enum lapic_result lapic_page_write(struct lapic *a, u32 offset, u32 bytes, u64 value, u64 now)
{
	u32 word = (u32)value;

	if (bytes != 4 || (offset & 15) != 0)
		return LAPIC_DONE;
	switch (offset) {
	case LAPIC_ID: /* no processor of these days lets it be changed */
	case LAPIC_VERSION:
	case LAPIC_APR:
	case LAPIC_PPR:
	case LAPIC_RRD:
	case LAPIC_ISR ... LAPIC_ESR - 0x10:
	case LAPIC_CURRENT:
		return LAPIC_DONE;
	case LAPIC_LDR:
		WRITE_ONCE(a->ldr, word & 0xff000000);
		return LAPIC_DONE;
	case LAPIC_DFR:
		WRITE_ONCE(a->dfr, word | DFR_ONES);
		return LAPIC_DONE;
	case LAPIC_ICR_HIGH:
		a->icr = (u32)a->icr | (u64)(word & 0xff000000) << 32;
		return LAPIC_DONE;
	case LAPIC_ICR:
		return icr_write(a, (a->icr & ~0xfffffffful) | (word & ~ICR_RESERVED));
	case LAPIC_TPR:
	case LAPIC_EOI:
	case LAPIC_SVR:
	case LAPIC_ESR:
	case LAPIC_LVT_TIMER ... LAPIC_INITIAL:
	case LAPIC_DIVIDE:
		reg_write(a, offset, now, word);
		return LAPIC_DONE;
	default:
		error(a, ESR_REGISTER);
		return LAPIC_DONE;
	}
}

/* ---- x2APIC: table 11-6 ---- */

enum lapic_result lapic_msr_read(const struct lapic *a, u32 msr, u64 now, u64 *value)
{
	u32 reg = (msr - MSR_X2APIC_FIRST) << 4, word;

	switch (msr) {
	case MSR_APIC_BASE:
		*value = a->base;
		return LAPIC_DONE;
	case MSR_TSC_DEADLINE:
		*value = a->deadline;
		return LAPIC_DONE;
	default:
		break;
	}
	if (!lapic_x2(a))
		return LAPIC_FAULT;
	if (reg == LAPIC_ICR) {
		*value = a->icr;
		return LAPIC_DONE;
	}
	if (!reg_read(a, reg, now, &word))
		return LAPIC_FAULT;
	*value = word;
	return LAPIC_DONE;
}

/* What may be written, by register; all else is reserved. False: not to be written at all. */
static bool writable(u32 reg, u64 *bits)
{
	switch (reg) {
	case LAPIC_TPR:
	case LAPIC_SELF_IPI:
		*bits = 0xff;
		return true;
	case LAPIC_EOI:
	case LAPIC_ESR:
		*bits = 0;
		return true;
	case LAPIC_SVR:
		*bits = SVR_BITS;
		return true;
	case LAPIC_ICR:
		*bits = ~(u64)ICR_RESERVED;
		return true;
	case LAPIC_LVT_TIMER ... LAPIC_LVT_ERROR:
		*bits = lvt_bits[(reg - LAPIC_LVT_TIMER) >> 4] | LVT_STATUS;
		if (reg == LAPIC_LVT_LINT0 || reg == LAPIC_LVT_LINT1)
			*bits |= LVT_REMOTE;
		return true;
	case LAPIC_INITIAL:
		*bits = 0xffffffff;
		return true;
	case LAPIC_DIVIDE:
		*bits = DIVIDE_BITS;
		return true;
	default:
		return false;
	}
}

enum lapic_result lapic_msr_write(struct lapic *a, u32 msr, u64 now, u64 value)
{
	u32 reg = (msr - MSR_X2APIC_FIRST) << 4;
	u64 bits;

	switch (msr) {
	case MSR_APIC_BASE:
		return base_write(a, value);
	case MSR_TSC_DEADLINE:
		deadline_write(a, now, value);
		return LAPIC_DONE;
	default:
		break;
	}
	if (!lapic_x2(a) || !writable(reg, &bits) || (value & ~bits) != 0)
		return LAPIC_FAULT;
	if (reg == LAPIC_ICR)
		return icr_write(a, value);
	if (reg == LAPIC_SELF_IPI)
		lapic_accept(a, (u8)value);
	else
		reg_write(a, reg, now, (u32)value);
	return LAPIC_DONE;
}

/* ---- The same in short ---- */

static bool none(const u64 bits[4])
{
	return (bits[0] | bits[1] | bits[2] | bits[3]) == 0;
}

bool lapic_write_hot(struct lapic *a, u32 msr, u64 now, u64 value, u32 tpr, bool open, int *vector)
{
	u32 lvt = a->lvt[TIMER];

	*vector = -1;
	if (!lapic_x2(a) || !none(a->irr))
		return false;
	if (msr == MSR_X2APIC_FIRST + (LAPIC_EOI >> 4) && value == 0) {
		end_of_interrupt(a);
		return true;
	}
	if (msr != MSR_TSC_DEADLINE || mode_of(a) != DEADLINE || value == 0 ||
	    value > now + a->tsc_offset || !open || (lvt & LVT_MASKED) != 0 ||
	    (u8)lvt < VECTOR_MIN || (lvt & 0xf0) <= (tpr & 0xf0) || !none(a->isr))
		return false;
	a->deadline = 0;
	a->due = NEVER;
	set(a->isr, (u8)lvt);
	*vector = (u8)lvt;
	return true;
}

/* ---- Messages: 11.6.2, 11.12.10 ---- */

/* Logical destinations of 8 bits. */
static bool logical_match(u32 dfr, u32 ldr, u32 destination)
{
	u32 id = ldr >> 24;

	if (destination == ALL_XAPIC)
		return true;
	switch (dfr >> 28) {
	case 15: /* flat */
		return (id & destination) != 0;
	case 0: /* clusters */
		return id >> 4 == destination >> 4 && (id & destination & 15) != 0;
	default:
		return false;
	}
}

bool lapic_addressed(const struct lapic *target, u64 icr, bool sender_x2)
{
	u32 destination = (u32)(icr >> 32), id;

	if (!lapic_on(target))
		return false;
	if (!sender_x2)
		destination >>= 24;
	if (destination == (sender_x2 ? ALL_X2APIC : ALL_XAPIC))
		return true;
	if ((icr & ICR_LOGICAL) == 0)
		return destination == target->id;
	if (!lapic_x2(target))
		return logical_match(READ_ONCE(target->dfr), READ_ONCE(target->ldr),
				     destination & ALL_XAPIC);
	id = logical_id(target);
	return id >> 16 == destination >> 16 && (id & destination & 0xffff) != 0;
}
