/* sources: kernel/lapic.c */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The registers of a guest's local APIC, against tables written from the manual (Intel SDM Vol. 3,
 * chapter 11), and against slower ways of saying the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "kernel/lapic.h"

#define X2(reg) (MSR_X2APIC_FIRST + ((reg) >> 4))
#define BASE_X	(LAPIC_ADDRESS | 0x900)
#define BASE_X2 (LAPIC_ADDRESS | 0xd00)
#define NOW	1000000ul
#define ALL_64	(~0ul)

static struct lapic a;
static u64 random_state = 88172645463325252ul;

static u64 random_64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static void begin(bool x2)
{
	lapic_init(&a, 5, true);
	if (x2)
		assert_int_equal(lapic_msr_write(&a, MSR_APIC_BASE, NOW, BASE_X2), LAPIC_DONE);
}

static void put(u32 reg, u64 value)
{
	enum lapic_result result = lapic_x2(&a) ? lapic_msr_write(&a, X2(reg), NOW, value)
						: lapic_page_write(&a, reg, 4, value, NOW);

	assert_int_not_equal(result, LAPIC_FAULT);
}

static u64 get_at(u32 reg, u64 now)
{
	u64 value = 0;

	if (!lapic_x2(&a))
		return lapic_page_read(&a, reg, 4, now);
	assert_int_equal(lapic_msr_read(&a, X2(reg), now, &value), LAPIC_DONE);
	return value;
}

static u64 get(u32 reg)
{
	return get_at(reg, NOW);
}

static bool requested(u8 vector)
{
	return a.irr[vector / 64] >> vector % 64 & 1;
}

/* ---- which registers there are, and which bits of them ---- */

/* Table 11-6, and the figures of the registers for bits. */
static const struct reg {
	u32 offset;
	bool read, write;
	u64 bits; /* that may be 1 in a write */
	u64 kept; /* .. and are read back */
} x2_registers[] = {
	{0x020, true, false, 0, 0},
	{0x030, true, false, 0, 0},
	{0x080, true, true, 0xff, 0xff},
	{0x0a0, true, false, 0, 0},
	{0x0b0, false, true, 0, 0},
	{0x0d0, true, false, 0, 0},
	{0x0f0, true, true, 0x1ff, 0x1ff},
	{0x100, true, false, 0, 0},
	{0x110, true, false, 0, 0},
	{0x120, true, false, 0, 0},
	{0x130, true, false, 0, 0},
	{0x140, true, false, 0, 0},
	{0x150, true, false, 0, 0},
	{0x160, true, false, 0, 0},
	{0x170, true, false, 0, 0},
	{0x180, true, false, 0, 0},
	{0x190, true, false, 0, 0},
	{0x1a0, true, false, 0, 0},
	{0x1b0, true, false, 0, 0},
	{0x1c0, true, false, 0, 0},
	{0x1d0, true, false, 0, 0},
	{0x1e0, true, false, 0, 0},
	{0x1f0, true, false, 0, 0},
	{0x200, true, false, 0, 0},
	{0x210, true, false, 0, 0},
	{0x220, true, false, 0, 0},
	{0x230, true, false, 0, 0},
	{0x240, true, false, 0, 0},
	{0x250, true, false, 0, 0},
	{0x260, true, false, 0, 0},
	{0x270, true, false, 0, 0},
	{0x280, true, true, 0, 0},
	{0x300, true, true, 0xffffffff000ccfff, 0xffffffff000ccfff},
	{0x320, true, true, 0x710ff, 0x700ff},
	{0x330, true, true, 0x117ff, 0x107ff},
	{0x340, true, true, 0x117ff, 0x107ff},
	{0x350, true, true, 0x1f7ff, 0x1a7ff},
	{0x360, true, true, 0x1f7ff, 0x1a7ff},
	{0x370, true, true, 0x110ff, 0x100ff},
	{0x380, true, true, 0xffffffff, 0xffffffff},
	{0x390, true, false, 0, 0},
	{0x3e0, true, true, 0xb, 0xb},
	{0x3f0, false, true, 0xff, 0},
};

static const struct reg *x2_register(u32 offset)
{
	for (unsigned i = 0; i < ARRAY_COUNT(x2_registers); i++) {
		if (x2_registers[i].offset == offset)
			return &x2_registers[i];
	}
	return NULL;
}

static void each_msr_has_the_manuals_bits_and_faults_else(void **state)
{
	(void)state;
	for (u32 msr = MSR_X2APIC_FIRST; msr <= MSR_X2APIC_LAST; msr++) {
		const struct reg *r = x2_register((msr - MSR_X2APIC_FIRST) << 4);
		struct lapic before;
		u64 value;

		begin(true);
		put(LAPIC_SVR, 0x1ff);
		assert_int_equal(lapic_msr_read(&a, msr, NOW, &value) == LAPIC_DONE, r && r->read);
		for (unsigned bit = 0; bit < 64; bit++) {
			bool allowed = r && r->write && (r->bits >> bit & 1) != 0;
			enum lapic_result result;

			before = a;
			result = lapic_msr_write(&a, msr, NOW, BIT(bit));
			assert_int_equal(result == LAPIC_FAULT, !allowed);
			if (!allowed)
				assert_memory_equal(&a, &before, sizeof(a));
			if (!allowed || !r->read)
				continue;
			assert_int_equal(lapic_msr_read(&a, msr, NOW, &value), LAPIC_DONE);
			/* SVR's bit 8 clear masks what is written to an LVT. */
			if (r->offset >= 0x320 && r->offset <= 0x370)
				value &= ~BIT(16) | BIT(bit);
			assert_int_equal(value, BIT(bit) & r->kept);
		}
		if (r && r->write) {
			before = a;
			assert_int_not_equal(lapic_msr_write(&a, msr, NOW, 0), LAPIC_FAULT);
		}
	}
}

static void msrs_fault_where_the_mode_is_another(void **state)
{
	static const u64 bases[] = {BASE_X, LAPIC_ADDRESS | 0x100};
	u64 value;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		begin(false);
		assert_int_equal(lapic_msr_write(&a, MSR_APIC_BASE, NOW, bases[i]), LAPIC_DONE);
		for (u32 msr = MSR_X2APIC_FIRST; msr <= MSR_X2APIC_LAST; msr++) {
			assert_int_equal(lapic_msr_read(&a, msr, NOW, &value), LAPIC_FAULT);
			assert_int_equal(lapic_msr_write(&a, msr, NOW, 0), LAPIC_FAULT);
		}
	}
}

/* Table 11-1: read, written, and what is kept of ones. */
static const struct {
	u32 offset;
	bool read, write;
	u32 kept, fixed; /* `fixed`: bits that always read as 1 */
} page_registers[] = {
	{0x020, true, true, 0, 5u << 24},
	{0x030, true, true, 0, 0x50014},
	{0x080, true, true, 0xff, 0},
	{0x090, true, true, 0, 0},
	{0x0a0, true, true, 0, 0},
	{0x0b0, true, true, 0, 0},
	{0x0c0, true, true, 0, 0},
	{0x0d0, true, true, 0xff000000, 0},
	{0x0e0, true, true, 0xf0000000, 0x0fffffff},
	{0x0f0, true, true, 0x1ff, 0},
	{0x280, true, true, 0, 0},
	{0x300, true, true, 0xccfff, 0},
	{0x310, true, true, 0xff000000, 0},
	{0x320, true, true, 0x700ff, 0},
	{0x330, true, true, 0x107ff, 0},
	{0x340, true, true, 0x107ff, 0},
	{0x350, true, true, 0x1a7ff, 0},
	{0x360, true, true, 0x1a7ff, 0},
	{0x370, true, true, 0x100ff, 0},
	{0x380, true, true, 0xffffffff, 0},
	{0x390, true, true, 0, 0},
	{0x3e0, true, true, 0xb, 0},
};

static void each_word_of_the_page_is_a_register_or_an_error(void **state)
{
	(void)state;
	for (u32 offset = 0; offset < PAGE_SIZE; offset += 16) {
		bool bits = offset >= 0x100 && offset < 0x280;
		unsigned n = 0;

		while (n < ARRAY_COUNT(page_registers) && page_registers[n].offset != offset)
			n++;
		for (unsigned bit = 0; bit < 32; bit++) {
			bool known = bits || n < ARRAY_COUNT(page_registers);
			u32 expected = 0;
			u64 value;

			begin(false);
			put(LAPIC_SVR, 0x1ff);
			put(offset, BIT(bit));
			value = lapic_page_read(&a, offset, 4, NOW);
			assert_int_equal((a.errors & ESR_REGISTER) != 0, !known);
			if (!bits && known)
				expected = ((u32)BIT(bit) & page_registers[n].kept) |
					   page_registers[n].fixed;
			if (offset >= 0x320 && offset <= 0x370)
				value &= ~BIT(16) | BIT(bit);
			/* The write has gone to the priority, too. */
			assert_int_equal(value, expected);
		}
	}
}

static void only_whole_words_of_the_page_are_written(void **state)
{
	struct lapic before;

	(void)state;
	begin(false);
	put(LAPIC_SVR, 0x1ab);
	before = a;
	for (u32 bytes = 1; bytes <= 8; bytes++) {
		for (u32 at = 0; at < 16; at++) {
			if (bytes == 4 && at == 0)
				continue;
			lapic_page_write(&a, LAPIC_SVR + at, bytes, 0, NOW);
			lapic_page_write(&a, LAPIC_EOI + at, bytes, 0, NOW);
			assert_memory_equal(&a, &before, sizeof(a));
		}
	}
	assert_int_equal(lapic_page_read(&a, LAPIC_SVR, 1, NOW), 0xab);
	assert_int_equal(lapic_page_read(&a, LAPIC_SVR + 1, 1, NOW), 1);
	assert_int_equal(lapic_page_read(&a, LAPIC_SVR, 2, NOW), 0x1ab);
	assert_int_equal(lapic_page_read(&a, LAPIC_SVR + 1, 4, NOW), 1);
	assert_int_equal(lapic_page_read(&a, LAPIC_SVR + 4, 4, NOW), 0);
	assert_int_equal(lapic_page_read(&a, LAPIC_SVR, 8, NOW), 0x1ab);
}

/* ---- modes: figure 11-27 ---- */

static void modes_change_as_in_the_manuals_figure(void **state)
{
	static const u64 modes[] = {0, 0x800, 0xc00, 0x400};
	static const bool allowed[4][4] = {
		/* to:	 off	xAPIC  x2APIC invalid */
		{true, true, false, false},  /* off */
		{true, true, true, false},   /* xAPIC */
		{true, false, true, false},  /* x2APIC */
		{false, false, false, false} /* invalid: is never there */
	};

	(void)state;
	for (unsigned from = 0; from < 3; from++) {
		for (unsigned to = 0; to < 4; to++) {
			struct lapic before;

			lapic_init(&a, 5, from & 1);
			assert_true(lapic_base_set(&a, LAPIC_ADDRESS | modes[from]));
			a.svr = 0x1aa;
			a.tpr = 0x40;
			a.irr[2] = 7;
			before = a;
			assert_int_equal(
				lapic_msr_write(&a, MSR_APIC_BASE, NOW, LAPIC_ADDRESS | modes[to]),
				allowed[from][to] ? LAPIC_DONE : LAPIC_FAULT);
			if (!allowed[from][to]) {
				assert_memory_equal(&a, &before, sizeof(a));
				continue;
			}
			/* The BSP flag is the processor's. */
			assert_int_equal(a.base,
					 LAPIC_ADDRESS | modes[to] | (from & 1 ? 0x100 : 0));
			assert_int_equal(a.svr, to == 0 && from != 0 ? 0xff : 0x1aa);
			assert_int_equal(a.irr[2], to == 0 && from != 0 ? 0 : 7);
		}
	}
	begin(false);
	for (unsigned bit = 0; bit < 64; bit++) {
		u64 value = BASE_X ^ BIT(bit);
		bool good = bit == 8 || bit == 10 || bit == 11;

		lapic_init(&a, 5, true);
		assert_int_equal(lapic_msr_write(&a, MSR_APIC_BASE, NOW, value) == LAPIC_DONE,
				 good);
	}
}

static void ids_by_mode(void **state)
{
	(void)state;
	lapic_init(&a, 37, false);
	assert_int_equal(get(LAPIC_ID), 37u << 24);
	put(LAPIC_LDR, 0x12345678);
	assert_int_equal(get(LAPIC_LDR), 0x12000000);
	assert_int_equal(lapic_msr_write(&a, MSR_APIC_BASE, NOW, BASE_X2), LAPIC_DONE);
	assert_int_equal(get(LAPIC_ID), 37);
	assert_int_equal(get(LAPIC_LDR), 2u << 16 | 1u << 5);
}

/* ---- priorities ---- */

/* The slow way: bit by bit. */
static int highest_of(const u64 bits[4])
{
	for (int vector = 255; vector >= 0; vector--) {
		if (bits[vector / 64] >> vector % 64 & 1)
			return vector;
	}
	return -1;
}

static void requests_follow_classes(void **state)
{
	(void)state;
	begin(true);
	put(LAPIC_SVR, 0x1ff);
	for (unsigned n = 0; n < 20000; n++) {
		int irr, isr, request;
		u32 ppr;

		lapic_accept(&a, (u8)(16 + random_64() % 240));
		irr = highest_of(a.irr);
		isr = highest_of(a.isr);
		request = lapic_request(&a);
		if (isr >= 0 && irr / 16 <= isr / 16)
			assert_int_equal(request, -1);
		else
			assert_int_equal(request, irr);
		a.tpr = (u32)(random_64() & 0xff);
		ppr = lapic_ppr(&a);
		if (isr < 0 || a.tpr / 16 >= (u32)isr / 16)
			assert_int_equal(ppr, a.tpr);
		else
			assert_int_equal(ppr, isr / 16 * 16);
		if (request >= 0 && random_64() % 2) {
			lapic_take(&a, (u8)request);
			assert_int_equal(highest_of(a.isr), request);
			assert_false(requested((u8)request));
			assert_int_equal(
				get(LAPIC_ISR + (u32)request / 32 * 16) >> (request % 32) & 1, 1);
			if (random_64() % 8 == 0) {
				lapic_give_back(&a, (u8)request);
				assert_true(requested((u8)request));
				assert_int_equal(highest_of(a.isr), isr);
			}
		}
		if (random_64() % 2) {
			isr = highest_of(a.isr);
			put(LAPIC_EOI, 0);
			assert_true(isr < 0 || highest_of(a.isr) < isr);
		}
	}
	for (u32 reg = LAPIC_TMR; reg < LAPIC_IRR; reg += 16)
		assert_int_equal(get(reg), 0);
}

static void nothing_comes_while_it_is_off(void **state)
{
	(void)state;
	begin(true);
	lapic_accept(&a, 0x40);
	assert_int_equal(lapic_request(&a), -1); /* SVR says off after a reset */
	put(LAPIC_SVR, 0x1ff);
	put(LAPIC_LVT_ERROR, 0x50);
	lapic_accept(&a, 0x40);
	assert_int_equal(lapic_request(&a), 0x40);
	put(LAPIC_SVR, 0xff);
	assert_int_equal(lapic_request(&a), 0x40); /* what has come stays */
	lapic_accept(&a, 0x41);
	assert_false(requested(0x41));
	assert_int_equal(get(LAPIC_LVT_ERROR), 0x10050);
	put(LAPIC_LVT_ERROR, 0x50);
	assert_int_equal(get(LAPIC_LVT_ERROR), 0x10050);
	put(LAPIC_SVR, 0x1ff);
	assert_int_equal(get(LAPIC_LVT_ERROR), 0x10050);
}

static void errors_are_kept_until_they_are_asked_for(void **state)
{
	(void)state;
	begin(true);
	put(LAPIC_SVR, 0x1ff);
	for (u64 vector = 0; vector < 32; vector++) {
		enum lapic_result result = lapic_msr_write(&a, X2(LAPIC_ICR), NOW, vector);

		assert_int_equal(result, vector < 16 ? LAPIC_DONE : LAPIC_SEND);
		put(LAPIC_ESR, 0);
		assert_int_equal(get(LAPIC_ESR), vector < 16 ? ESR_SEND_VECTOR : 0);
	}
	/* NMI, INIT, SIPI and SMI have no vector to be illegal. */
	for (u64 mode = 2; mode < 7; mode++)
		assert_int_equal(lapic_msr_write(&a, X2(LAPIC_ICR), NOW, mode << 8), LAPIC_SEND);
	lapic_accept(&a, 15);
	put(LAPIC_SELF_IPI, 3);
	assert_int_equal(get(LAPIC_ESR), 0);
	put(LAPIC_LVT_ERROR, 0x60);
	lapic_accept(&a, 1);
	assert_int_equal(lapic_request(&a), 0x60);
	put(LAPIC_ESR, 0);
	assert_int_equal(get(LAPIC_ESR), ESR_RECEIVE_VECTOR);
	put(LAPIC_ESR, 0);
	assert_int_equal(get(LAPIC_ESR), 0);
	/* An error about the error's own vector ends there. */
	put(LAPIC_LVT_ERROR, 2);
	lapic_accept(&a, 1);
	put(LAPIC_ESR, 0);
	assert_int_equal(get(LAPIC_ESR), ESR_RECEIVE_VECTOR);
	put(LAPIC_SELF_IPI, 0x77);
	assert_true(requested(0x77));
}

/* ---- timer ---- */

#define VECTOR 0x40u

static void timer(u32 mode, u32 divide)
{
	begin(true);
	put(LAPIC_SVR, 0x1ff);
	put(LAPIC_DIVIDE, divide);
	put(LAPIC_LVT_TIMER, mode << 17 | VECTOR);
	assert_int_equal(a.due, NEVER);
}

static bool fires(u64 now)
{
	bool fired;

	assert_true(now >= a.due);
	lapic_expire(&a, now);
	fired = requested(VECTOR);
	a.irr[VECTOR / 64] = 0;
	return fired;
}

static void one_shot_counts_down_by_its_divider(void **state)
{
	/* Figure 11-10. */
	static const u8 divides[][2] = {{0, 2},	 {1, 4},  {2, 8},    {3, 16},
					{8, 32}, {9, 64}, {10, 128}, {11, 1}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(divides); i++) {
		u64 unit = divides[i][1] * 8ul;

		timer(0, divides[i][0]);
		put(LAPIC_INITIAL, 1000);
		assert_int_equal(a.due, NOW + 1000 * unit);
		assert_int_equal(get(LAPIC_CURRENT), 1000);
		assert_int_equal(get_at(LAPIC_CURRENT, NOW + unit - 1), 1000);
		assert_int_equal(get_at(LAPIC_CURRENT, NOW + unit), 999);
		assert_int_equal(get_at(LAPIC_CURRENT, NOW + 999 * unit), 1);
		assert_int_equal(get_at(LAPIC_CURRENT, NOW + 1000 * unit), 0);
		assert_int_equal(get_at(LAPIC_CURRENT, NOW + 10000 * unit), 0);
		assert_true(fires(NOW + 1000 * unit));
		assert_int_equal(a.due, NEVER);
		assert_int_equal(get(LAPIC_CURRENT), 0);
		assert_int_equal(get(LAPIC_INITIAL), 1000);
	}
	timer(0, 10);
	put(LAPIC_INITIAL, 0xffffffff);
	assert_int_equal(a.due, NOW + 0xfffffffful * 1024);
	put(LAPIC_INITIAL, 0);
	assert_int_equal(a.due, NEVER);
}

static void a_period_goes_on_and_does_not_drift(void **state)
{
	(void)state;
	timer(1, 11);
	put(LAPIC_INITIAL, 10000);
	assert_int_equal(a.due, NOW + 80000);
	assert_true(fires(NOW + 80000));
	assert_int_equal(a.due, NOW + 160000);
	/* Late by more than three periods: one interrupt, and the next where it would have been. */
	assert_true(fires(NOW + 425000));
	assert_int_equal(a.due, NOW + 480000);
	assert_int_equal(get_at(LAPIC_CURRENT, NOW + 425000), 10000 - 25000 / 8);
	put(LAPIC_LVT_TIMER, BIT(16) | 1 << 17 | VECTOR);
	assert_false(fires(NOW + 480000));
	assert_int_equal(a.due, NOW + 560000);
	/* Shorter than anybody needs. */
	timer(1, 11);
	put(LAPIC_INITIAL, 1);
	assert_int_equal(a.due, NOW + LAPIC_PERIOD_MIN);
	assert_true(fires(NOW + 1000 * LAPIC_PERIOD_MIN + 5));
	assert_int_equal(a.due, NOW + 1001 * LAPIC_PERIOD_MIN);
}

static void a_new_divider_keeps_the_count(void **state)
{
	(void)state;
	for (u32 mode = 0; mode < 2; mode++) {
		timer(mode, 11);
		put(LAPIC_INITIAL, 10000);
		assert_int_equal(lapic_msr_write(&a, X2(LAPIC_DIVIDE), NOW + 32000, 1), LAPIC_DONE);
		assert_int_equal(get_at(LAPIC_CURRENT, NOW + 32000), 6000);
		assert_int_equal(a.due, NOW + 32000 + 6000 * 32);
	}
	timer(0, 11);
	put(LAPIC_DIVIDE, 3);
	assert_int_equal(a.due, NEVER);
}

static u64 deadline(void)
{
	u64 value = 1;

	assert_int_equal(lapic_msr_read(&a, MSR_TSC_DEADLINE, NOW, &value), LAPIC_DONE);
	return value;
}

static void deadline_set(u64 value)
{
	assert_int_equal(lapic_msr_write(&a, MSR_TSC_DEADLINE, NOW, value), LAPIC_DONE);
}

static void deadlines_in_the_guests_time(void **state)
{
	static const u64 offsets[] = {0, 5000, 0 - NOW / 2};

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(offsets); i++) {
		timer(2, 0);
		lapic_tsc_set(&a, NOW, offsets[i]);
		deadline_set(NOW + offsets[i] + 1);
		assert_int_equal(a.due, NOW + 1);
		assert_int_equal(deadline(), NOW + offsets[i] + 1);
		assert_true(fires(NOW + 1));
		assert_int_equal(deadline(), 0);
		/* Now, past, long past: at once. */
		for (u64 back = 0; back < 3; back++) {
			deadline_set(NOW + offsets[i] - back);
			assert_true(requested(VECTOR));
			a.irr[VECTOR / 64] = 0;
			assert_int_equal(deadline(), 0);
			assert_int_equal(a.due, NEVER);
		}
		deadline_set(1);
		assert_true(requested(VECTOR));
		a.irr[VECTOR / 64] = 0;
		/* 0 disarms; the end of time never comes. */
		deadline_set(NOW + offsets[i] + 77);
		deadline_set(0);
		assert_int_equal(a.due, NEVER);
		deadline_set(~0ul);
		assert_false(requested(VECTOR));
		assert_true(a.due > ~0ul / 2);
		put(LAPIC_LVT_TIMER, BIT(16) | 2 << 17 | VECTOR);
		deadline_set(1);
		assert_false(requested(VECTOR));
		assert_int_equal(deadline(), 0);
	}
	/* The guest sets its clock: the deadline stays where it is on it. */
	timer(2, 0);
	deadline_set(NOW + 1000);
	lapic_tsc_set(&a, NOW, 400);
	assert_int_equal(a.due, NOW + 600);
	lapic_tsc_set(&a, NOW, 2000);
	assert_true(requested(VECTOR));
	assert_int_equal(a.due, NEVER);
}

static void another_mode_disarms(void **state)
{
	(void)state;
	timer(0, 11);
	put(LAPIC_INITIAL, 1000);
	deadline_set(NOW + 5); /* not in this mode */
	assert_int_equal(deadline(), 0);
	put(LAPIC_LVT_TIMER, 1 << 17 | VECTOR);
	assert_int_equal(a.due, NOW + LAPIC_PERIOD_MIN);
	put(LAPIC_LVT_TIMER, 0 << 17 | VECTOR);
	assert_int_equal(a.due, NOW + 8000);
	put(LAPIC_LVT_TIMER, 2 << 17 | VECTOR);
	assert_int_equal(a.due, NEVER);
	assert_int_equal(get(LAPIC_INITIAL), 0);
	put(LAPIC_INITIAL, 1000);
	assert_int_equal(a.due, NEVER);
	deadline_set(NOW + 5);
	put(LAPIC_LVT_TIMER, 3 << 17 | VECTOR); /* reserved: nothing runs */
	assert_int_equal(a.due, NEVER);
	deadline_set(NOW + 5);
	put(LAPIC_INITIAL, 1000);
	assert_int_equal(a.due, NEVER);
}

/* ---- destinations ---- */

static void who_is_addressed(void **state)
{
	static const struct {
		bool sender_x2, target_x2, logical;
		u32 destination, id, ldr, dfr;
		bool addressed;
	} cases[] = {
		/* physical */
		{false, false, false, 3, 3, 0, ~0u, true},
		{false, false, false, 4, 3, 0, ~0u, false},
		{false, false, false, 0xff, 3, 0, ~0u, true},
		{true, true, false, 3, 3, 0, ~0u, true},
		{true, true, false, 0x103, 3, 0, ~0u, false},
		{true, true, false, 0xff, 3, 0, ~0u, false},
		{true, true, false, ~0u, 3, 0, ~0u, true},
		{true, false, false, 3, 3, 0, ~0u, true},
		{false, true, false, 3, 3, 0, ~0u, true},
		/* logical, flat */
		{false, false, true, 0x06, 3, 0x04000000, ~0u, true},
		{false, false, true, 0x06, 3, 0x08000000, ~0u, false},
		{false, false, true, 0xff, 3, 0, ~0u, true},
		/* logical, clusters */
		{false, false, true, 0x23, 3, 0x22000000, 0x0fffffff, true},
		{false, false, true, 0x23, 3, 0x32000000, 0x0fffffff, false},
		{false, false, true, 0x23, 3, 0x24000000, 0x0fffffff, false},
		{false, false, true, 0x23, 3, 0x23000000, 0x7fffffff, false}, /* no model */
		/* logical, x2APIC: cluster 2, number 5 */
		{true, true, true, 2u << 16 | 1u << 5, 37, 0, ~0u, true},
		{true, true, true, 2u << 16 | 0xffff, 37, 0, ~0u, true},
		{true, true, true, 1u << 16 | 0xffff, 37, 0, ~0u, false},
		{true, true, true, 2u << 16 | 0xffdf, 37, 0, ~0u, false},
		{true, true, true, ~0u, 37, 0, ~0u, true},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
		u64 icr = cases[i].logical ? ICR_LOGICAL : 0;

		lapic_init(&a, cases[i].id, false);
		assert_true(lapic_base_set(&a, cases[i].target_x2 ? BASE_X2 : BASE_X));
		a.ldr = cases[i].ldr;
		a.dfr = cases[i].dfr;
		icr |= (u64)cases[i].destination << (cases[i].sender_x2 ? 32 : 56);
		if (lapic_addressed(&a, icr, cases[i].sender_x2) != cases[i].addressed)
			fail_msg("case %u", i);
		assert_true(lapic_base_set(&a, LAPIC_ADDRESS));
		assert_false(lapic_addressed(&a, icr, cases[i].sender_x2));
	}
}

static void the_page_sends_with_both_halves(void **state)
{
	(void)state;
	begin(false);
	put(LAPIC_ICR_HIGH, 0x07123456);
	assert_int_equal(lapic_page_write(&a, LAPIC_ICR, 4, 0xfff37a45, NOW), LAPIC_SEND);
	assert_int_equal(a.icr, 0x0700000000004a45ul);
	assert_int_equal(get(LAPIC_ICR), 0x4a45);
	assert_int_equal(get(LAPIC_ICR_HIGH), 0x07000000);
}

/* ---- the short way is the long one ---- */

static void the_hot_way_gives_the_same(void **state)
{
	unsigned done = 0, taken = 0;

	(void)state;
	for (unsigned n = 0; n < 200000; n++) {
		static const u32 msrs[] = {X2(LAPIC_EOI), MSR_TSC_DEADLINE, X2(LAPIC_TPR)};
		u32 msr = msrs[random_64() % 3], tpr = (u32)(random_64() & 0xf0);
		u64 value = random_64() % 4 == 0 ? 0 : NOW + (random_64() % 5) - 2;
		bool open = random_64() % 4 != 0;
		struct lapic hot, before;
		int vector, request;

		begin(random_64() % 8 != 0);
		a.svr = 0x1ff;
		a.tpr = tpr;
		a.lvt[0] = (u32)(random_64() & 0x700ff);
		if (random_64() % 2)
			a.lvt[0] = 2 << 17 | (u32)(random_64() & 0xff);
		if (random_64() % 8 == 0)
			a.irr[random_64() % 4] = BIT(random_64() % 64);
		if (random_64() % 3 == 0)
			a.isr[random_64() % 4] = BIT(random_64() % 64);
		if (msr != MSR_TSC_DEADLINE)
			value = random_64() % 4 == 0;
		hot = before = a;
		if (!lapic_write_hot(&hot, msr, NOW, value, tpr, open, &vector)) {
			assert_memory_equal(&hot, &before, sizeof(hot));
			continue;
		}
		done++;
		assert_int_equal(lapic_msr_write(&a, msr, NOW, value), LAPIC_DONE);
		request = lapic_request(&a);
		if (request >= 0 && (u32)request >> 4 > tpr >> 4 && open)
			lapic_take(&a, (u8)request);
		else
			assert_int_equal(request, -1);
		taken += request >= 0;
		assert_int_equal(vector, request);
		assert_memory_equal(&hot, &a, sizeof(a));
	}
	assert_true(done > 10000 && taken > 1000);
}

/* ---- anything at all ---- */

static void any_sequence_keeps_it_in_order(void **state)
{
	u64 now = NOW;

	(void)state;
	begin(false);
	for (unsigned n = 0; n < 300000; n++) {
		u64 value = random_64() >> random_64() % 64, out;
		u32 msr = MSR_X2APIC_FIRST + (u32)(random_64() % 0x48);

		now += random_64() % 4096;
		switch (random_64() % 8) {
		case 0:
			lapic_msr_write(&a, MSR_APIC_BASE, now,
					LAPIC_ADDRESS | (random_64() & 0xc00));
			break;
		case 1:
			lapic_msr_write(&a, MSR_TSC_DEADLINE, now, now + value % 100000);
			break;
		case 2:
			if (lapic_x(&a))
				lapic_page_write(&a, (u32)(random_64() % PAGE_SIZE), 4, value, now);
			break;
		case 3:
			if (lapic_x(&a))
				lapic_page_read(&a, (u32)(random_64() % PAGE_SIZE), 4, now);
			break;
		case 4:
			lapic_msr_read(&a, msr, now, &out);
			break;
		case 5:
			lapic_accept(&a, (u8)value);
			break;
		default:
			lapic_msr_write(&a, msr, now, value);
		}
		if (now >= a.due)
			lapic_expire(&a, now);
		assert_true(a.due > now);
		assert_int_equal(a.irr[0] & 0xffff, 0);
		assert_int_equal(a.base & ~0xd00ul, LAPIC_ADDRESS);
		assert_int_not_equal(a.base & 0xc00, 0x400);
		assert_true(a.deadline == 0 || (a.lvt[0] >> 17 & 3) == 2);
		assert_true(lapic_on(&a) || (a.due == NEVER && lapic_request(&a) < 0));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_msr_has_the_manuals_bits_and_faults_else),
		cmocka_unit_test(msrs_fault_where_the_mode_is_another),
		cmocka_unit_test(each_word_of_the_page_is_a_register_or_an_error),
		cmocka_unit_test(only_whole_words_of_the_page_are_written),
		cmocka_unit_test(modes_change_as_in_the_manuals_figure),
		cmocka_unit_test(ids_by_mode),
		cmocka_unit_test(requests_follow_classes),
		cmocka_unit_test(nothing_comes_while_it_is_off),
		cmocka_unit_test(errors_are_kept_until_they_are_asked_for),
		cmocka_unit_test(one_shot_counts_down_by_its_divider),
		cmocka_unit_test(a_period_goes_on_and_does_not_drift),
		cmocka_unit_test(a_new_divider_keeps_the_count),
		cmocka_unit_test(deadlines_in_the_guests_time),
		cmocka_unit_test(another_mode_disarms),
		cmocka_unit_test(who_is_addressed),
		cmocka_unit_test(the_page_sends_with_both_halves),
		cmocka_unit_test(the_hot_way_gives_the_same),
		cmocka_unit_test(any_sequence_keeps_it_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
