/* SPDX-License-Identifier: BSD-2-Clause */
#include "guests/manager/journal.h"
#include "guests/lib/print.h"
#include "guests/manager/linux.h"

#define SHOWN_UNEXPLAINED 8ul

static const char *const kinds[JOURNAL_KINDS] = {
	[SEPTUM_EVENT_MEMORY_FAULT] = "memory faults",
	[SEPTUM_EVENT_EXPLICIT] = "explicit requests",
	[SEPTUM_EVENT_POOL_EMPTY] = "empty pools",
	[SEPTUM_EVENT_IO] = "port accesses",
	[SEPTUM_EVENT_MMIO] = "device memory",
	[SEPTUM_EVENT_MSR] = "MSRs",
	[SEPTUM_EVENT_HALT] = "halts",
	[SEPTUM_EVENT_SHUTDOWN] = "shutdowns",
	[SEPTUM_EVENT_FAILED] = "failures",
};

void journal_event(struct guest *g, const struct septum_event *e)
{
	if (e->type < JOURNAL_KINDS)
		g->journal.events[e->type]++;
}

void journal_conversion(struct guest *g, const struct septum_event *e, u64 start, u64 size,
			bool granted)
{
	struct journal *j = &g->journal;
	struct journal_entry *last = j->used ? &j->entries[j->used - 1] : NULL;
	bool requested = e->type == SEPTUM_EVENT_EXPLICIT;
	bool to_private = e->flags & SEPTUM_EVENT_PRIVATE;

	if (last && last->end == start && last->requested == requested &&
	    last->to_private == to_private && last->granted == granted) {
		last->end += size;
		last->count++;
		return;
	}
	if (j->used == JOURNAL_ENTRIES) {
		j->lost++;
		return;
	}
	j->entries[j->used++] = (struct journal_entry){
		.microseconds = clock_microseconds(),
		.start = start,
		.end = start + size,
		.count = 1,
		.requested = requested,
		.to_private = to_private,
		.granted = granted,
	};
}

void journal_unexplained(struct guest *g, const struct septum_event *e)
{
	if (g->journal.unexplained++ >= SHOWN_UNEXPLAINED)
		return;
	print("manager: vm %lu: UNEXPLAINED %s: gpa 0x%lx size %lu flags 0x%x data 0x%lx 0x%lx\n",
	      g->vm.id, e->type < JOURNAL_KINDS && kinds[e->type] ? kinds[e->type] : "event",
	      e->gpa, e->size, e->flags, e->data[0], e->data[1]);
}

void journal_print(const struct guest *g, unsigned number)
{
	const struct journal *j = &g->journal;

	print("  guest %u events:", number);
	for (unsigned i = 0; i < JOURNAL_KINDS; i++)
		if (kinds[i] && j->events[i])
			print(" %lu %s,", j->events[i], kinds[i]);
	print(" %lu unexplained\n", j->unexplained);
	if (j->used)
		print("  guest %u conversions:\n", number);
	for (u32 i = 0; i < j->used; i++) {
		const struct journal_entry *e = &j->entries[i];

		print("    %3lu.%06lu s  %s to %-7s 0x%09lx .. 0x%09lx %7lu pages in %4u %s\n",
		      e->microseconds / 1000000, e->microseconds % 1000000,
		      e->requested ? "explicit" : "implicit", e->to_private ? "private" : "shared",
		      e->start, e->end, (e->end - e->start) / PAGE_SIZE, e->count,
		      e->granted ? "granted" : "DENIED");
	}
	if (j->lost)
		print("    and %lu more\n", j->lost);
}
