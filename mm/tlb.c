/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/tlb.h"

struct tlb_cpu tlb_cpus[CPUS_MAX];
unsigned tlb_cpu_count = CPUS_MAX;

void tlb_init(struct tlb *tlb)
{
	*tlb = (struct tlb){.epoch = 1};
}

/* In guest mode with `tlb` and translations from before `epoch`.
 *
 * The two words are not read at once. If the CPU has meanwhile left and is somewhere else, the
 * epoch may be another table's; whatever it is, the CPU has then left `tlb` since the epoch moved
 * on, and finds the new one when it comes back. If it has only just said `tlb`, the epoch read is
 * the one it said before, or a later one. */
static bool is_behind(unsigned cpu, const struct tlb *tlb, u64 epoch)
{
	const struct tlb_cpu *c = &tlb_cpus[cpu];

	return __atomic_load_n(&c->tlb, __ATOMIC_SEQ_CST) == tlb &&
	       __atomic_load_n(&c->epoch, __ATOMIC_ACQUIRE) < epoch;
}

u64 tlb_invalidate(struct tlb *tlb)
{
	u64 epoch, behind = 0;
	bool held = false;

	_Static_assert(CPUS_MAX <= 64, "a word has a bit for each");
	/* The edits of the table come before the look at who has flushed since the epoch began, as
	 * on the other side the entry in seen[] before the first look at the table. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	epoch = __atomic_load_n(&tlb->epoch, __ATOMIC_SEQ_CST);
	for (unsigned cpu = 0; cpu < tlb_cpu_count; cpu++)
		held |= __atomic_load_n(&tlb->seen[cpu], __ATOMIC_SEQ_CST) == epoch;
	if (held) {
		__atomic_fetch_add(&tlb->flush_count, 1, __ATOMIC_RELAXED);
		/* .. and before the epoch that promises them. */
		epoch = __atomic_add_fetch(&tlb->epoch, 1, __ATOMIC_SEQ_CST);
	}
	/* If not, there may still be one that another caller is waiting for. */
	for (unsigned cpu = 0; cpu < tlb_cpu_count; cpu++) {
		if (!is_behind(cpu, tlb, epoch))
			continue;
		behind |= BIT(cpu);
		__atomic_fetch_add(&tlb->kick_count, 1, __ATOMIC_RELAXED);
		cpu_kick(cpu);
	}
	/* All have been kicked before the first is waited for. */
	for (; behind != 0; behind &= behind - 1) {
		unsigned cpu = (unsigned)__builtin_ctzl(behind);
		u64 since = 0;

		while (is_behind(cpu, tlb, epoch))
			cpu_await(cpu, &since);
	}
	return epoch;
}

void tlb_renew(struct tlb *tlb, unsigned cpu)
{
	u64 epoch = __atomic_load_n(&tlb->epoch, __ATOMIC_SEQ_CST);

	__atomic_store_n(&tlb->seen[cpu], epoch, __ATOMIC_SEQ_CST);
	__atomic_store_n(&tlb_cpus[cpu].epoch, epoch, __ATOMIC_RELEASE);
}
