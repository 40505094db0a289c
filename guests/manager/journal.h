/* SPDX-License-Identifier: BSD-2-Clause */
/* What happened to a guest: how many events of each kind, which conversions when, and what nothing
 * explains. */
#ifndef GUESTS_MANAGER_JOURNAL_H
#define GUESTS_MANAGER_JOURNAL_H

#include "guests/lib/types.h"

#include <septum/abi.h>

#define JOURNAL_ENTRIES 256u
#define JOURNAL_KINDS	10u /* of events: 1 .. 9 */

/* One or several conversions of the same kind, one after the other in memory. */
struct journal_entry {
	u64 microseconds; /* of the first */
	u64 start, end;
	u32 count;
	bool requested; /* by the guest; else implicit */
	bool to_private;
	bool granted;
};

struct journal {
	struct journal_entry entries[JOURNAL_ENTRIES];
	u32 used;
	u64 lost;
	u64 events[JOURNAL_KINDS];
	u64 unexplained;
};

struct guest;

/* Every event, before it is served. */
void journal_event(struct guest *g, const struct septum_event *event);
/* A decision about [start, start + size). */
void journal_conversion(struct guest *g, const struct septum_event *event, u64 start, u64 size,
			bool granted);
/* An event that a well-behaved guest of this kind does not cause. The first few are printed. */
void journal_unexplained(struct guest *g, const struct septum_event *event);
/* The table. */
void journal_print(const struct guest *g, unsigned number);

#endif
