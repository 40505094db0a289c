/* SPDX-License-Identifier: BSD-2-Clause */
/* sources: kernel/lapic.c */
/* A guest that writes anything to its local APIC, in any mode and at any time: nothing is left in a
 * state that has no meaning, and the timer never comes too early or asks for the past. */
#include <stdlib.h>
#include <string.h>

#include "kernel/lapic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

struct step {
	uint8_t what, after;
	uint16_t reg;
	uint64_t value;
} __attribute__((packed));

static void look(const struct lapic *a, u64 now)
{
	int request = lapic_request(a);

	require(a->due > now);
	require((a->base & ~0xd00ul) == LAPIC_ADDRESS && (a->base & 0xc00) != 0x400);
	require((a->irr[0] & 0xffff) == 0 && (a->isr[0] & 0xffff) == 0);
	require(request == -1 || (request >= 16 && request < 256));
	require(lapic_ppr(a) < 256 && a->tpr < 256 && (a->svr & ~0x1ffu) == 0);
	require(a->deadline == 0 || (a->lvt[0] >> 17 & 3) == 2);
	require(lapic_on(a) || a->due == NEVER);
	for (unsigned i = 0; i < LAPIC_LVTS; i++)
		require((a->svr & 0x100) != 0 || (a->lvt[i] & BIT(16)) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	u64 now = 1000, out;
	struct lapic a;
	struct step s;
	int vector;

	lapic_init(&a, 3, true);
	for (; size >= sizeof(s); data += sizeof(s), size -= sizeof(s)) {
		u64 before;

		memcpy(&s, data, sizeof(s));
		now += (u64)s.after << (s.what >> 4);
		if (now >= a.due) {
			before = a.due;
			lapic_expire(&a, now);
			require(a.due > before);
		}
		switch (s.what % 10) {
		case 0:
			lapic_msr_write(&a, MSR_APIC_BASE, now, s.value);
			break;
		case 1:
			lapic_msr_write(&a, MSR_TSC_DEADLINE, now, s.value);
			break;
		case 2:
			lapic_msr_write(&a, MSR_X2APIC_FIRST + s.reg % 256, now, s.value);
			break;
		case 3:
			lapic_msr_read(&a, MSR_X2APIC_FIRST + s.reg % 256, now, &out);
			break;
		case 4:
			if (lapic_x(&a))
				lapic_page_write(&a, s.reg % 4089, 1 + s.after % 8, s.value, now);
			break;
		case 5:
			if (lapic_x(&a))
				lapic_page_read(&a, s.reg % 4089, 1 + s.after % 8, now);
			break;
		case 6:
			lapic_accept(&a, (u8)s.value);
			break;
		case 7:
			vector = lapic_request(&a);
			if (vector >= 0)
				lapic_take(&a, (u8)vector);
			break;
		case 8:
			lapic_tsc_set(&a, now, s.value);
			break;
		default:
			lapic_write_hot(&a, s.reg % 2 ? MSR_TSC_DEADLINE : 0x80b, now, s.value,
					s.after, s.reg & 2, &vector);
			break;
		}
		if (now >= a.due)
			lapic_expire(&a, now);
		look(&a, now);
		lapic_addressed(&a, s.value, s.reg & 1);
	}
	return 0;
}
