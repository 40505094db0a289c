/* SPDX-License-Identifier: BSD-2-Clause */
/* Page State Change (GHCB specification, 4.1.6 and table 8): a list of pages that are to become
 * private or shared.
 *
 * Entries of the same kind that follow each other become one request to the manager. Between two of
 * them the guest can change what it likes, so each entry is read once, and only what was read then
 * counts. The list may be taken up again where it was left.
 */
#include "kernel/emulate.h"
#include "kernel/exits.h"
#include "kernel/protocol.h"
#include "svm/ghcb.h"
#include "svm/sev_vcpu.h"

#define HEADER_BYTES 8u
#define ENTRY_BYTES  8u

#define ENTRY_DONE    0xffful /* pages of it that are done */
#define ENTRY_GFN(e)  ((e) >> 12 & (BIT(40) - 1))
#define ENTRY_OP(e)   ((unsigned)((e) >> 52 & 0xf))
#define ENTRY_2M      BIT(56)
#define ENTRY_UNKNOWN (~0ul << 57)

/* 3 and 4, PSMASH and UNSMASH, are hints. */
#define OP_LAST_HINT 4u

#define RESULT_HEADER (BIT(32) | 1)
#define RESULT_ENTRY  (BIT(32) | 2)
#define RESULT_OTHER  (0x100ul << 32)

static struct ghcb *ghcb_of(struct vcpu *v)
{
	return &v->vendor->sev->ghcb;
}

static u64 entry_address(const struct ghcb *g, unsigned n)
{
	return g->scratch + HEADER_BYTES + (u64)n * ENTRY_BYTES;
}

static bool entry_read(struct vcpu *v, unsigned n, u64 *entry)
{
	return ghcb_read(v, entry_address(ghcb_of(v), n), entry, ENTRY_BYTES);
}

/* One entry, as it was read. */
struct pages {
	u64 first, count;
	unsigned op;
	bool large, hint;
};

/* False: it is invalid. `count` 0: there is nothing (more) to do. */
static bool entry_decode(const struct vcpu *v, u64 entry, struct pages *p)
{
	u64 size = (entry & ENTRY_2M) != 0 ? BLOCK_PAGES : 1, pages_done = entry & ENTRY_DONE;
	u64 g = ENTRY_GFN(entry), end = 1ul << (v->vm->memory.gpa_bits - PAGE_SHIFT);

	*p = (struct pages){
		.first = g + pages_done,
		.count = size - pages_done,
		.op = ENTRY_OP(entry),
		.large = size != 1,
	};
	p->hint = p->op > PSC_SHARED && p->op <= OP_LAST_HINT;
	return (entry & ENTRY_UNKNOWN) == 0 && pages_done <= size && g % size == 0 && g < end &&
	       size <= end - g && p->op != 0 && p->op <= OP_LAST_HINT;
}

static void end(struct vcpu *v, u64 result)
{
	ghcb_of(v)->psc_running = false;
	ghcb_of(v)->result = result;
}

/* Tells the guest how far it is. */
static bool progress(struct vcpu *v)
{
	struct ghcb *g = ghcb_of(v);
	u16 current = g->psc_next;

	for (unsigned n = g->psc_at; n < g->psc_next; n++) {
		u64 entry;

		if (!entry_read(v, n, &entry))
			return false;
		entry &= ~ENTRY_DONE;
		entry |= (entry & ENTRY_2M) != 0 ? BLOCK_PAGES : 1;
		if (!ghcb_write(v, entry_address(g, n), &entry, ENTRY_BYTES))
			return false;
	}
	g->psc_at = g->psc_next;
	return ghcb_write(v, g->scratch, &current, sizeof(current));
}

/* The run that begins at the next entry: [psc_at, psc_next). False: result is set, or all is done.
 */
static bool run_find(struct vcpu *v, struct pages *run)
{
	struct ghcb *g = ghcb_of(v);
	struct pages more;
	u64 entry;

	for (;;) {
		if (g->psc_at > g->psc_end) {
			end(v, 0);
			return false;
		}
		if (!entry_read(v, g->psc_at, &entry) || !entry_decode(v, entry, run)) {
			end(v, RESULT_ENTRY);
			return false;
		}
		g->psc_next = (u16)(g->psc_at + 1);
		if (!run->hint && run->count != 0)
			break;
		if (!progress(v)) {
			end(v, RESULT_OTHER);
			return false;
		}
	}
	while (g->psc_next <= g->psc_end && entry_read(v, g->psc_next, &entry) &&
	       entry_decode(v, entry, &more) && more.op == run->op && more.large == run->large &&
	       (entry & ENTRY_DONE) == 0 && more.first == run->first + run->count) {
		run->count += more.count;
		g->psc_next++;
	}
	return true;
}

/* Asks for runs until the manager must be waited for, or nothing is left. */
static enum after ask(struct vcpu *v)
{
	struct ghcb *g = ghcb_of(v);
	struct pages run;
	enum after after;

	while (g->psc_running && run_find(v, &run)) {
		g->skipped = false;
		v->exit.length = 1;
		after = explicit_exit(v, run.first << PAGE_SHIFT, run.count, run.op == PSC_PRIVATE);
		/* Not yet: psc_continue() when the answer is there. */
		if (after != AFTER_RESUME || !g->skipped)
			return after;
		if (v->gpr[RAX] != 0 || !progress(v))
			end(v, RESULT_OTHER);
	}
	return ghcb_done(v, g->result, 0);
}

enum after psc_begin(struct vcpu *v, unsigned room)
{
	struct ghcb *g = ghcb_of(v);
	u64 header;

	g->phase = GHCB_ANSWER;
	g->kind = GHCB_PAGES;
	g->psc_running = true;
	g->result = 0;
	if (!ghcb_read(v, g->scratch, &header, sizeof(header)))
		header = ~0ul;
	g->psc_at = (u16)header;
	g->psc_end = (u16)(header >> 16);
	/* What the buffer really holds. */
	if (header >> 32 != 0 || g->psc_end >= (room - HEADER_BYTES) / ENTRY_BYTES)
		end(v, RESULT_HEADER);
	return ask(v);
}

enum after psc_continue(struct vcpu *v)
{
	if (v->gpr[RAX] != 0 || !progress(v))
		end(v, RESULT_OTHER);
	return ask(v);
}
