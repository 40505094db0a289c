/* SPDX-License-Identifier: BSD-2-Clause */
/* One vCPU of one guest, for tests of what is done about its exits.
 *
 * Its memory is 16 pages, each of which is RAM, a device (MMIO), or private where the guest's
 * accesses are shared (an access faults and posts an event). The vendor keeps its state in a
 * struct; events end up in `posted`. Nothing below kernel/ is real but the decoder and the page
 * walker.
 */
#ifndef TESTS_HOST_ONE_VCPU_H
#define TESTS_HOST_ONE_VCPU_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "kernel/emulate.h"
#include "kernel/exits.h"
#include "kernel/guest_access.h"
#include "kernel/machine_check.h"
#include "kernel/protocol.h"
#include "kernel/vendor.h"
#include "kernel/vm.h"

#define ONE_PAGES 16u
#define CODE	  0x1000u
#define DATA	  0x4000u
#define DEVICE	  0x8000u /* a page of MMIO, with RAM on both sides */

enum page_kind { PAGE_RAM, PAGE_MMIO, PAGE_OTHER_KIND };

extern struct vcpu one;
extern struct vcpu_state one_state;
extern u8 one_ram[ONE_PAGES * PAGE_SIZE];
extern enum page_kind one_page[ONE_PAGES];
extern u8 one_payload[SEPTUM_PAYLOAD_BYTES];

extern struct septum_event posted; /* the last event, */
extern unsigned posted_count;	   /* .. and how many there were */

/* What explicit_request() answers; `one_request_waits`: it posts an event instead. */
extern s64 one_answer;
extern bool one_request_waits;
extern u64 one_request[3];

/* What the CPU's own registers say (rdmsr and the like are never executed). */
extern unsigned one_kicks;
extern unsigned one_skipped; /* instructions skipped */

/* guest_run(): the exits that entries of the guest end with, one after the other; what was loaded
 * and entered; an NMI that Septum's own handler sees during the n-th entry (from 1). */
extern enum exit_reason one_exits[8];
extern unsigned one_entries;
extern unsigned one_nmi_at;
extern const struct vcpu *one_loaded;
extern const struct world *one_world;
extern struct vcpu one_root;

/* 64-bit mode, CPL 0, paging off (addresses are their own translation). For cmocka's setup. */
int one_start(void **state);
/* 32-bit protected mode with page tables at 0xe000: page n maps to page n, all but `hole`. */
void one_paged(unsigned hole);

/* Puts an instruction at CODE and RIP there. */
void one_code(const void *bytes, unsigned count);

/* The exit as the vendor would report it, without the instruction's length. */
enum after one_exit(enum exit_reason reason);
enum after one_io(u16 port, u8 size, bool in, bool string);
/* A nested fault of the guest at `address`. */
enum after one_fault(u64 address, bool write);

/* The manager answers the posted event, and the vCPU is entered: as protocol.c and guest_run(). */
enum after one_complete(u64 value);
/* As after a conversion: the vCPU goes on. */
enum after one_resolved(void);

#endif
