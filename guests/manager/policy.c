/* SPDX-License-Identifier: BSD-2-Clause */
/* What the manager decides about conversions.
 *
 *   convert  a page that the guest accesses as the other kind becomes that kind
 *   deny     it does not: the guest gets a machine check
 *   ask      whoever sits at the console decides; nobody there means deny
 *
 * What the guest asks for explicitly it gets.
 */
#include "guests/lib/cpu.h"
#include "guests/lib/print.h"
#include "guests/manager/manager.h"
#include "guests/root/machine.h"

#define COM1_DATA   0x3f8u
#define COM1_STATUS 0x3fdu
#define COM1_READY  0x01u

/* How long a person has to answer: 2^34 ticks of the time-stamp counter, some seconds. */
#define ASK_TICKS (1ul << 34)

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
	completion_put(&g->vm, &c);
}

static bool ask(struct guest *g, const struct septum_event *e)
{
	u64 start = tsc_read();

	print("manager: vm %lu wants page 0x%lx %s: (c)onvert or (d)eny? ", g->vm.id,
	      e->gpa & ~(PAGE_SIZE - 1), e->flags & SEPTUM_EVENT_PRIVATE ? "private" : "shared");
	console_flush();
	while (tsc_read() - start < ASK_TICKS) {
		char key;

		if (in8(COM1_STATUS) == 0xff)
			break;
		if (!(in8(COM1_STATUS) & COM1_READY)) {
			cpu_relax();
			continue;
		}
		key = (char)in8(COM1_DATA);
		if (key == 'c' || key == 'd') {
			print("%c\n", key);
			return key == 'c';
		}
	}
	print("no answer: denied\n");
	return false;
}

void policy_serve(struct guest *g, const struct septum_event *e)
{
	u32 not_by_converting = SEPTUM_EVENT_NO_SLOT | SEPTUM_EVENT_PERMISSION;
	bool grant = g->policy == POLICY_CONVERT;

	if (e->type == SEPTUM_EVENT_EXPLICIT) {
		convert(g, e);
		return;
	}
	if (e->flags & not_by_converting) {
		answer(g, e, SEPTUM_VERDICT_INJECT, 0);
		return;
	}
	if (g->policy == POLICY_ASK)
		grant = ask(g, e);
	if (grant)
		convert(g, e);
	else
		answer(g, e, SEPTUM_VERDICT_INJECT, 0);
}
