/* SPDX-License-Identifier: BSD-2-Clause */
/* Who owns a frame, as the processor sees it: the reverse map table (APM Vol. 2, 15.36.3 ff.). */
#include "arch/x86/io.h"
#include "kernel/print.h"
#include "svm/sev.h"

/* Another CPU or the firmware is at the entry: that passes. TSC ticks. */
#define BUSY_TICKS (1ul << 28)

static u64 lost;

u64 sev_rmp_lost(void)
{
	return __atomic_load_n(&lost, __ATOMIC_RELAXED);
}

static bool passes(u32 status)
{
	return status == RMP_FAIL_INUSE || status == RMP_FAIL_OVERLAP;
}

static u32 update(pfn_t p, const struct rmp_state *state)
{
	u64 start = rdtsc();
	u32 status;

	for (;;) {
		status = sev_machine->rmpupdate(pfn_to_hpa(p), state);
		if (!passes(status) || rdtsc() - start > BUSY_TICKS)
			return status;
		cpu_pause();
	}
}

bool sev_rmp_assign(pfn_t p, unsigned level, u64 gpa, u32 asid, bool immutable)
{
	const struct rmp_state state = {
		.gpa = gpa,
		.assigned = 1,
		.pagesize = level == LEVEL_2M ? RMP_2M : RMP_4K,
		.immutable = immutable,
		.asid = asid,
	};

	return update(p, &state) == RMP_OK;
}

bool sev_rmp_firmware(pfn_t p, unsigned level)
{
	const struct rmp_state state = {
		.assigned = 1,
		.pagesize = level == LEVEL_2M ? RMP_2M : RMP_4K,
		.immutable = 1,
	};

	return update(p, &state) == RMP_OK;
}

bool sev_rmp_look(pfn_t p, struct rmp_state *state)
{
	return sev_machine->rmpread(pfn_to_hpa(p), state) == RMP_OK;
}

bool sev_rmp_smash(pfn_t head)
{
	struct rmp_state state;
	u64 start = rdtsc();
	u32 status;

	do {
		status = sev_machine->psmash(pfn_to_hpa(head));
		if (status == RMP_OK)
			return true;
		cpu_pause();
	} while (status == RMP_FAIL_INUSE && rdtsc() - start <= BUSY_TICKS);
	/* Another CPU may have been here first. */
	return sev_rmp_look(head, &state) && (state.pagesize & RMP_2M) == 0;
}

/* Immutable pages are the firmware's to let go. */
static bool reclaim(pfn_t p, unsigned level, const struct rmp_state *state)
{
	return state->immutable == 0 || psp_reclaim(p, level) == PSP_SUCCESS;
}

static bool release_one(pfn_t p)
{
	const struct rmp_state none = {0};
	struct rmp_state state;

	if (!sev_rmp_look(p, &state))
		return false;
	if (state.assigned == 0 && state.immutable == 0)
		return true;
	return reclaim(p, LEVEL_4K, &state) && update(p, &none) == RMP_OK;
}

static bool release_block(pfn_t head)
{
	const struct rmp_state none = {.pagesize = RMP_2M};
	struct rmp_state state;
	bool all = true;

	if (!sev_rmp_look(head, &state))
		return false;
	if ((state.pagesize & RMP_2M) != 0) {
		if (reclaim(head, LEVEL_2M, &state) && update(head, &none) == RMP_OK)
			return true;
		if (!sev_rmp_smash(head))
			return false;
	}
	for (u64 i = 0; i < BLOCK_PAGES; i++)
		all &= release_one(pfn(head.n + i));
	return all;
}

bool sev_rmp_release(pfn_t p, unsigned level)
{
	static struct ratelimit limit;
	bool done = level == LEVEL_2M ? release_block(p) : release_one(p);

	if (!done) {
		__atomic_fetch_add(&lost, LEVEL_PAGES(level), __ATOMIC_RELAXED);
		printk_limited(&limit, LOG_ERROR,
			       "SEV: frame %lx is not given back by the machine; it is not used "
			       "again",
			       p.n);
	}
	return done;
}
