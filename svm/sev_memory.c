/* SPDX-License-Identifier: BSD-2-Clause */
/* What the machine must be told of a guest's private frames (mm/guard.h). */
#include "mm/guard.h"
#include "kernel/print.h"
#include "svm/sev.h"

/* ---- SNP: each frame has an entry in the RMP ---- */

static bool assign(struct memory *mem, pfn_t p, u64 g, unsigned level)
{
	const struct sev_guest *guest = mem->guard_context;

	return sev_rmp_assign(p, level, gfn_to_gpa(gfn(g)).n, guest->asid, false);
}

static void split(struct memory *mem, pfn_t head, u64 g)
{
	struct sev_guest *guest = mem->guard_context;
	bool whole = true;

	if (sev_rmp_smash(head))
		return;
	/* What the guest has validated is lost to it then, which it sees; not to anybody else. */
	whole = sev_rmp_release(head, LEVEL_2M);
	for (u64 i = 0; i < BLOCK_PAGES && whole; i++)
		whole = assign(mem, pfn(head.n + i), g + i, LEVEL_4K);
	if (!whole)
		guest->broken = true;
}

static bool release(struct memory *mem, pfn_t p, unsigned level)
{
	(void)mem;
	return sev_rmp_release(p, level);
}

/* The entry as it must be; its size too. */
static enum guard_verdict look(struct memory *mem, pfn_t p, u64 g, unsigned level)
{
	const struct sev_guest *guest = mem->guard_context;
	struct rmp_state state;
	bool large;

	if (!sev_rmp_look(p, &state))
		return GUARD_WRONG;
	large = (state.pagesize & RMP_2M) != 0;
	if (state.assigned == 0 || state.asid != guest->asid || state.immutable != 0 ||
	    state.gpa != gfn_to_gpa(gfn(g)).n)
		return GUARD_WRONG;
	if (large == (level == LEVEL_2M))
		return GUARD_FINE;
	return large ? GUARD_LARGER : GUARD_WRONG;
}

const struct guard_ops sev_guard_ops = {
	.assign = assign,
	.split = split,
	.release = release,
	.look = look,
	.launch = sev_launch,
};

/* ---- SEV and SEV-ES: there is no owner but a key ---- */

const struct guard_ops sev_plain_guard_ops = {
	.launch = sev_launch,
};
