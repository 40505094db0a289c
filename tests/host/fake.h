/* SPDX-License-Identifier: BSD-2-Clause */
/* A machine for the host tests of mm/: physical memory, windows, and processors that walk nested
 * tables and keep what they have found.
 *
 * A fake processor behaves as badly as a real one may: it caches leaves and pointers to tables for
 * as long as nobody tells it to flush (tlb_enter), and uses the cached ones first. Whenever it uses
 * one, the table is walked as well; if that gives another frame or fewer permissions, the
 * translation was stale, and the test fails (or, when fake_stale_expected, it is counted).
 */
#ifndef TESTS_HOST_FAKE_H
#define TESTS_HOST_FAKE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "mm/audit.h"
#include "mm/audit_impl.h"
#include "mm/memory.h"
#include "mm/memory_impl.h"
#include "mm/pool.h"
#include "mm/root.h"
#include "mm/window.h"

/* A fresh machine with RAM at 0..pages; own_alloc takes from the top. Memory beyond is a device's.
 */
void fake_start(u64 pages, const struct nested_format *format);
void fake_stop(void);

/* The RAM that is left to the root: frames below. */
u64 fake_root_end(void);
/* A frame's bytes, whoever owns it. */
void *fake_frame(pfn_t p);

/* memory_must_stop() says yes at the n-th question from now, 0: never. */
extern unsigned fake_stop_after;

/* Objects that are mapped, and how many can be: ~0 as it starts. */
extern unsigned fake_objects, fake_object_limit;

/* Windows are memory as it is instead of mappings of their own: much faster, but the use of a
 * window that shows something else by now goes unnoticed. */
extern bool fake_windows_direct;

/* memtype_of() answers this for 2 MiB and more (0: UC, -1: not the same throughout). */
extern int fake_memtype_large;

/* Stale translations found; with `fake_stale_expected` they do not fail the test. */
extern bool fake_stale_expected;
extern unsigned fake_stale_count;

/* What a translation to something else than RAM leads to. */
extern u64 fake_device;

#define FAKE_CPUS 3u

enum fake_kind { FAKE_READ, FAKE_WRITE, FAKE_EXEC };

/* Kicks sent to each CPU. A kicked CPU goes on until somebody waits for it (cpu_await()). */
extern unsigned fake_kicks[FAKE_CPUS];
/* Instead of all that, if not NULL. */
extern void (*fake_kick_hook)(unsigned cpu);

/* CPU `cpu` enters guest mode with this table and stays there until it has been kicked or
 * fake_leave(). fake_inside() is an access like fake_translate()'s while it is there; NULL: it
 * faults, or the CPU is not in guest mode. */
void fake_enter(unsigned cpu, const struct nested *nested, struct tlb *tlb);
void fake_leave(unsigned cpu);
bool fake_in_guest(unsigned cpu);
u64 *fake_inside(unsigned cpu, u64 raw_gpa, enum fake_kind kind);

/* One access by CPU `cpu` through the nested table, 8 bytes at `raw_gpa`, entering guest mode
 * first. NULL: it faults. */
u64 *fake_translate(unsigned cpu, const struct nested *nested, struct tlb *tlb, u64 raw_gpa,
		    enum fake_kind kind);

/* The same as a vCPU does it: faults are taken to memory_fault() until they are not RESOLVED. NULL:
 * *outcome says why. */
u64 *fake_access(unsigned cpu, struct memory *mem, u64 raw_gpa, enum fake_kind kind,
		 enum fault_outcome *outcome);
/* .. and as the root does it. NULL: refused. */
u64 *fake_root_access(unsigned cpu, u64 address, enum fake_kind kind);

/* The audit is clean, with every free frame looked at. */
void fake_audit(void);

/* xorshift, seeded by fake_start */
u64 fake_random(void);
u64 fake_below(u64 end);

#endif
