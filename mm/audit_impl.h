/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of the audit. A check returns false when it has reported a violation. */
#ifndef MM_AUDIT_IMPL_H
#define MM_AUDIT_IMPL_H

#include "mm/attr.h"
#include "mm/audit.h"

/* Reports a violation, unless there was one before. Returns false. */
bool audit_fail(struct audit_report *report, enum audit_violation violation, u16 owner, pfn_t p,
		u64 page);

/* This frame has been marked in this audit. */
bool audit_seen(pfn_t p);
/* Marks it; false: it was marked before, or is no RAM. */
bool audit_mark(pfn_t p);

/* An attribute tree: tables, counts, stamps. The memory lock is held. */
bool audit_attr(struct audit_report *report, const struct attr *attr);
/* Every descriptor, after all tables have been walked. */
bool audit_frames(struct audit_report *report);
/* Pools: counts and lists. */
bool audit_pools(struct audit_report *report);

#endif
