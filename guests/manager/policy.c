/* SPDX-License-Identifier: BSD-2-Clause */
/* What the manager decides about conversions.
 *
 *   convert  a page that the guest accesses as the other kind becomes that kind
 *   deny     it does not: the guest gets a machine check
 *   ask      whoever sits at the console decides; nobody there means deny
 *
 * What the guest asks for explicitly it gets, unless explicit=deny.
 */
#include "guests/lib/cpu.h"
#include "guests/lib/print.h"
#include "guests/lib/string.h"
#include "guests/manager/manager.h"
#include "guests/root/machine.h"

#define COM1_DATA   0x3f8u
#define COM1_STATUS 0x3fdu
#define COM1_READY  0x01u

#define CMOS_INDEX   0x70u
#define CMOS_DATA    0x71u
#define CMOS_SECONDS 0u

/* How long a person has to answer, by the clock of the machine; option ask-seconds=. Where there is
 * no such clock, 2^36 ticks of the time-stamp counter end it. */
#define ASK_SECONDS 10ul
#define ASK_TICKS   (1ul << 36)

static void convert(struct guest *g, const struct septum_event *e)
{
	struct septum_completion c = {
		.seq = e->seq,
		.vcpu = e->vcpu,
		.verdict = SEPTUM_VERDICT_CONVERT,
		.flags = e->flags & SEPTUM_EVENT_PRIVATE,
		.gpa = e->gpa,
		.size = e->size,
	};

	if (e->type == SEPTUM_EVENT_MEMORY_FAULT) {
		c.gpa = e->gpa & ~(PAGE_SIZE - 1);
		c.size = PAGE_SIZE;
	}
	journal_conversion(g, e, c.gpa, c.size, true);
	completion_put(&g->vm, &c);
}

static void deny(struct guest *g, const struct septum_event *e)
{
	journal_conversion(g, e, e->gpa & ~(PAGE_SIZE - 1), PAGE_SIZE, false);
	answer(g, e, SEPTUM_VERDICT_INJECT, 0);
}

static void explicit_serve(struct guest *g, const struct septum_event *e)
{
	if (!g->deny_explicit) {
		convert(g, e);
		return;
	}
	journal_conversion(g, e, e->gpa, e->size, false);
	answer(g, e, SEPTUM_VERDICT_COMPLETE, (u64)-SEPTUM_KVM_EPERM);
}

static u8 clock_seconds(void)
{
	out8(CMOS_INDEX, CMOS_SECONDS);
	return in8(CMOS_DATA);
}

/* The next key, c or d, or 0: nobody is there. */
static char key_wait(void)
{
	u64 start = tsc_read();
	u64 seconds = ASK_SECONDS;
	u8 second = clock_seconds();
	char value[16];

	if (option_find(boot->args, "ask-seconds", value, sizeof(value)))
		number_parse(value, &seconds);
	while (seconds && tsc_read() - start < ASK_TICKS) {
		u8 status = in8(COM1_STATUS);
		char key;

		if (status == 0xff)
			return 0; /* there is no COM1 */
		if (clock_seconds() != second) {
			second = clock_seconds();
			seconds--;
		}
		if (!(status & COM1_READY))
			continue;
		key = (char)in8(COM1_DATA);
		if (key == 'c' || key == 'd')
			return key;
	}
	return 0;
}

static bool ask(struct guest *g, const struct septum_event *e)
{
	char key;

	serial_flush(g);
	print("manager: vm %lu wants page 0x%lx %s: (c)onvert or (d)eny? ", g->vm.id,
	      e->gpa & ~(PAGE_SIZE - 1), e->flags & SEPTUM_EVENT_PRIVATE ? "private" : "shared");
	console_flush();
	key = key_wait();
	if (key)
		print("%c\n", key);
	else
		print("no answer: denied\n");
	return key == 'c';
}

void policy_serve(struct guest *g, const struct septum_event *e)
{
	u32 not_by_converting = SEPTUM_EVENT_NO_SLOT | SEPTUM_EVENT_PERMISSION;
	bool grant = g->policy == POLICY_CONVERT;

	if (e->type == SEPTUM_EVENT_EXPLICIT) {
		explicit_serve(g, e);
		return;
	}
	if (e->flags & not_by_converting) {
		if (g->is_linux)
			journal_unexplained(g, e);
		answer(g, e, SEPTUM_VERDICT_INJECT, 0);
		return;
	}
	if (g->policy == POLICY_ASK)
		grant = ask(g, e);
	if (grant)
		convert(g, e);
	else
		deny(g, e);
}
