/* SPDX-License-Identifier: BSD-2-Clause */
#include "guests/lib/print.h"
#include "guests/manager/manager.h"

static const struct {
	const char *text;
	enum septum_counter counter;
} rows[] = {
	{"implicit conversions forwarded", SEPTUM_COUNTER_IMPLICIT_FORWARDED},
	{"implicit conversions converted", SEPTUM_COUNTER_IMPLICIT_CONVERTED},
	{"implicit conversions denied", SEPTUM_COUNTER_IMPLICIT_DENIED},
	{"verdicts that were stale", SEPTUM_COUNTER_VERDICTS_STALE},
	{"verdicts refused", SEPTUM_COUNTER_VERDICTS_REFUSED},
	{"explicit requests", SEPTUM_COUNTER_EXPLICIT_REQUESTS},
	{"explicit requests granted", SEPTUM_COUNTER_EXPLICIT_DONE},
	{"pages private at the end", SEPTUM_COUNTER_PAGES_PRIVATE},
	{"pages shared at the end", SEPTUM_COUNTER_PAGES_SHARED},
	{"pool frames held at the end", SEPTUM_COUNTER_FRAMES_HELD},
	{"VM exits", SEPTUM_COUNTER_EXITS},
};

void report_collect(struct guest *g)
{
	for (u32 i = 0; i < ARRAY_COUNT(rows); i++)
		g->counters[rows[i].counter] = vm_counter(&g->vm, rows[i].counter);
}

static bool ended_well(const struct guest *g)
{
	return g->end == END_EXIT && g->code == 0 && g->journal.unexplained == 0;
}

static void say_end(unsigned number, const struct guest *g)
{
	print("  guest %u ", number);
	switch (g->end) {
	case END_EXIT:
		print(g->code ? "reported failure, code %lu" : "ended well", g->code);
		break;
	case END_RESET:
		print("reset itself, as a kernel does after a panic");
		break;
	case END_SHUTDOWN:
		print("ended in a triple fault");
		break;
	case END_FAILED:
		print("could not go on: failure %lu, detail 0x%lx", g->code, g->detail);
		break;
	case END_HALTED:
		print("halted, and no interrupt would come");
		break;
	case END_STARVED:
		print("needed more private memory than there is");
		break;
	case END_RING:
		print("was stopped: its ring is broken");
		break;
	default:
		print("was not started");
		break;
	}
	print("\n");
}

static u64 sum(enum septum_counter counter)
{
	u64 total = 0;

	for (unsigned i = 0; i < guest_count; i++)
		total += guests[i].counters[counter];
	return total;
}

int report(u64 leaked)
{
	struct reply audit = septum(SEPTUM_CALL_AUDIT, 0);
	bool well = guest_count > 0;

	print("\n%-34s", "");
	for (unsigned i = 0; i < guest_count; i++)
		print(" %7s %u", "guest", i + 1);
	print("\n");
	for (u32 row = 0; row < ARRAY_COUNT(rows); row++) {
		print("  %-32s", rows[row].text);
		for (unsigned i = 0; i < guest_count; i++)
			print(" %9lu", guests[i].counters[rows[row].counter]);
		print("\n");
	}
	print("  %-32s %9lu\n", "frames leaked", leaked);
	if (audit.status == SEPTUM_OK)
		print("  %-32s %9s\n\n", "audit", "clean");
	else
		print("  %-32s %9s (invariant %lu)\n\n", "audit", "VIOLATED", audit.value);
	for (unsigned i = 0; i < guest_count; i++)
		if (guests[i].is_linux)
			journal_print(&guests[i], i + 1);
	for (unsigned i = 0; i < guest_count; i++) {
		say_end(i + 1, &guests[i]);
		well &= ended_well(&guests[i]);
	}
	well &= leaked == 0 && audit.status == SEPTUM_OK;
	if (well)
		print("Outcome: all is well. %lu implicit conversions were forwarded, %lu "
		      "converted, %lu denied; every frame came back.\n",
		      sum(SEPTUM_COUNTER_IMPLICIT_FORWARDED),
		      sum(SEPTUM_COUNTER_IMPLICIT_CONVERTED), sum(SEPTUM_COUNTER_IMPLICIT_DENIED));
	else
		print("Outcome: FAILURE, as the lines above say.\n");
	return well ? 0 : 1;
}
