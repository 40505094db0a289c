/* SPDX-License-Identifier: BSD-2-Clause */
/* The devices of a guest: a serial line, two ways to end, and nothing else. A port or address that
 * nobody owns reads all ones, and writes go nowhere; an unknown MSR is #GP. Linux guests have a
 * little more, in platform.c. */
#include "guests/lib/string.h"
#include "guests/manager/linux.h"

#define COM1	      0x3f8u
#define COM1_END      0x400u
#define PORT_EXIT     0xf4u
#define PORT_SHUTDOWN 0x8900u

static u64 ones(u64 size)
{
	return size >= 8 ? ~0ul : (1ul << size * 8) - 1;
}

void guest_end(struct guest *g, enum end end, u64 code)
{
	if (g->end != END_NONE)
		return;
	g->end = end;
	g->code = code;
}

static void shutdown_put(struct guest *g, u8 c)
{
	static const char word[] = "Shutdown";

	if (c == (u8)word[g->shutdown_matched])
		g->shutdown_matched++;
	else
		g->shutdown_matched = c == (u8)word[0];
	if (g->shutdown_matched == sizeof(word) - 1)
		guest_end(g, END_EXIT, 0);
}

/* One access; the value of a read, or 0. */
static u64 port_access(struct guest *g, const struct septum_event *e, u64 value)
{
	u64 port = e->data[0];
	bool write = e->flags & SEPTUM_EVENT_WRITE;

	if (port >= COM1 && port < COM1_END && e->size == 1) {
		if (!write)
			return serial_in(g, (u16)(port - COM1));
		serial_out(g, (u16)(port - COM1), (u8)value);
	} else if (write && port == PORT_EXIT) {
		guest_end(g, END_EXIT, value);
	} else if (write && port == PORT_SHUTDOWN) {
		shutdown_put(g, (u8)value);
	} else if (g->is_linux) {
		return platform_port(g, e, value);
	}
	return ones(e->size);
}

static void port_string(struct guest *g, const struct septum_event *e)
{
	u8 *bytes = payload(&g->vm, e->vcpu);
	bool write = e->flags & SEPTUM_EVENT_WRITE;

	for (u64 i = 0; i < e->data[2] && (i + 1) * e->size <= SEPTUM_PAYLOAD_BYTES; i++) {
		u64 value = 0;

		if (write)
			memcpy(&value, bytes + i * e->size, e->size);
		value = port_access(g, e, value);
		if (!write)
			memcpy(bytes + i * e->size, &value, e->size);
	}
}

void devices_serve(struct guest *g, const struct septum_event *e)
{
	u64 value = ones(e->size);

	switch (e->type) {
	case SEPTUM_EVENT_IO:
		if (e->size != 1 && e->size != 2 && e->size != 4)
			break;
		if (e->flags & SEPTUM_EVENT_STRING)
			port_string(g, e);
		else
			value = port_access(g, e, e->data[1]);
		break;
	case SEPTUM_EVENT_MSR:
		if (g->is_linux)
			platform_msr(g, e);
		else
			answer(g, e, SEPTUM_VERDICT_INJECT, 0);
		return;
	default:
		if (g->is_linux)
			journal_unexplained(g, e);
		break;
	}
	/* A guest that has ended keeps its event: it runs no more. */
	if (g->end == END_NONE)
		answer(g, e, SEPTUM_VERDICT_COMPLETE, value);
}
