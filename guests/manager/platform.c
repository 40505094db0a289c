/* SPDX-License-Identifier: BSD-2-Clause */
/* What a Linux guest finds beside COM1: registers to switch off and to reset, and the absence of
 * everything else. Linux looks for much that is not there; what it is known to look for is listed,
 * with the answer that ends the search soonest. An access that is not listed is answered the same
 * way and reported: something is there that nobody has thought of.
 */
#include "guests/lib/print.h"
#include "guests/lib/string.h"
#include "guests/manager/journal.h"
#include "guests/manager/linux.h"

#define SLEEP_ENABLE	 0x20u
#define SLEEP_TYPE_SHIFT 2u
#define SLEEP_TYPE_MASK	 7u

static const struct {
	u16 first, last;
	u32 answer; /* each byte */
} known_ports[] = {
	{0x20, 0x21, 0xff}, /* interrupt controllers */
	{0x2e, 0x2f, 0xff}, /* super-I/O, as 0x4e */
	{0x40, 0x41, 0xff}, /* interval timer; all ones in channel 2 would be polled 50,000 times */
	{0x42, 0x42, 0x00}, /* .. */
	{0x43, 0x43, 0xff}, /* .. */
	{0x4e, 0x4f, 0xff}, /* super-I/O */
	{0x60, 0x60, 0xff}, /* keyboard controller */
	{0x61, 0x61, 0x20}, /* its port B: the timer's output is high */
	{0x64, 0x64, 0xff}, /* keyboard controller */
	{0x70, 0x70, 0xff}, /* clock; all ones would be an update that never ends */
	{0x71, 0x71, 0x00}, /* .. */
	{0x80, 0x80, 0xff}, /* written for a delay */
	{0x87, 0x87, 0xff}, /* a DMA page register, read by the driver of the serial line */
	{0xa0, 0xa1, 0xff}, /* interrupt controllers */
	{0xed, 0xed, 0xff}, /* written for a delay */
	{0x2e8, 0x2ef, 0xff}, /* COM4 */
	{0x2f8, 0x2ff, 0xff}, /* COM2 */
	{0x3e8, 0x3ef, 0xff}, /* COM3 */
	{0x4d0, 0x4d1, 0xff}, /* trigger modes of the interrupt controllers */
	{0xcf8, 0xcff, 0xff}, /* PCI configuration */
};

/* Read by Linux on an AMD processor, with what keeps it from complaining where #GP would. */
static const struct {
	u32 index;
	bool refused;
	u64 value;
} known_msrs[] = {
	{0x8b, false, 0},		/* microcode */
	{0xc0010010, false, 0},		/* SYSCFG */
	{0xc0010015, false, 1ul << 24}, /* HWCR: the counter runs at the P0 frequency */
	{0xc001001f, false, 0},		/* NB_CFG */
	{0xc0010131, true, 0},		/* SEV_STATUS */
	{0xc0011020, false, 0},		/* LS_CFG */
	{0xc0011021, false, 0},		/* IC_CFG */
	{0xc0011022, false, 0},		/* DC_CFG */
	{0xc0011023, false, 0},		/* .. */
	{0xc0011028, false, 0},		/* FP_CFG */
	{0xc0011029, false, 0},		/* DE_CFG */
	{0xc0010000, true, 0},		/* performance event select 0 */
	{0xc0010004, true, 0},		/* performance counter 0 */
	{0xc0010200, true, 0},		/* .. of the core */
	{0x179, true, 0},		/* machine check */
};

static u64 repeated(u32 byte, u64 size)
{
	u64 all = byte * 0x0101010101010101ul;

	return size >= 8 ? all : all & ((1ul << size * 8) - 1);
}

static void sleep_written(struct guest *g, u64 value)
{
	if ((value & SLEEP_ENABLE) &&
	    (value >> SLEEP_TYPE_SHIFT & SLEEP_TYPE_MASK) == SLEEP_TYPE_OFF)
		guest_end(g, END_EXIT, 0);
}

u64 platform_port(struct guest *g, const struct septum_event *e, u64 value)
{
	u64 port = e->data[0];
	bool write = e->flags & SEPTUM_EVENT_WRITE;

	switch (port) {
	case PORT_SLEEP_CONTROL:
		if (write)
			sleep_written(g, value);
		return 0;
	case PORT_SLEEP_STATUS:
		return 0;
	case PORT_RESET:
		if (write && (value & 0xff) == RESET_VALUE)
			guest_end(g, END_RESET, 0);
		return 0;
	default:
		break;
	}
	for (u32 i = 0; i < ARRAY_COUNT(known_ports); i++)
		if (port >= known_ports[i].first && port <= known_ports[i].last)
			return repeated(known_ports[i].answer, e->size);
	journal_unexplained(g, e);
	return repeated(0xff, e->size);
}

void platform_msr(struct guest *g, const struct septum_event *e)
{
	for (u32 i = 0; i < ARRAY_COUNT(known_msrs); i++) {
		if (e->data[0] != known_msrs[i].index)
			continue;
		if (known_msrs[i].refused)
			answer(g, e, SEPTUM_VERDICT_INJECT, 0);
		else
			answer(g, e, SEPTUM_VERDICT_COMPLETE, known_msrs[i].value);
		return;
	}
	journal_unexplained(g, e);
	answer(g, e, SEPTUM_VERDICT_INJECT, 0);
}
