/* SPDX-License-Identifier: BSD-2-Clause */
#include "guests/lib/print.h"
#include "guests/manager/manager.h"

/* Registers of the 16550 by offset; with LCR.DLAB the first two are the divisor. */
enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCRATCH };

#define LCR_DLAB      0x80u
#define LSR_IDLE      0x60u /* transmitter empty, nothing received */
#define IIR_NONE      0xc1u /* FIFOs on, no interrupt pending */
#define IIR_EMPTY     0xc2u /* the transmitter is empty */
#define IER_EMPTY     0x02u /* .. wanted */
#define MCR_LOOP      0x10u
#define MSR_CONNECTED 0xb0u /* carrier, data set ready, clear to send */

void serial_flush(struct guest *g)
{
	struct uart *u = &g->uart;

	if (!u->length)
		return;
	print("[vm %lu] ", g->vm.id);
	for (unsigned i = 0; i < u->length; i++)
		console_put(u->line[i]);
	console_put('\n');
	u->length = 0;
}

static void put(struct guest *g, char c)
{
	struct uart *u = &g->uart;

	if (c == '\r')
		return;
	if (c == '\n' && u->length == 0)
		print("[vm %lu]\n", g->vm.id);
	else if (c == '\n')
		serial_flush(g);
	else
		u->line[u->length++] = c >= ' ' || c == '\t' ? c : '?';
	if (u->length == sizeof(u->line))
		serial_flush(g);
}

/* Loopback: the outputs DTR, RTS, OUT1 and OUT2 are the inputs DSR, CTS, RI and DCD. */
static u8 modem_status(const struct uart *u)
{
	u8 m = u->mcr;

	if (!(m & MCR_LOOP))
		return MSR_CONNECTED;
	return (u8)((m & 0x01) << 5 | (m & 0x02) << 3 | (m & 0x04) << 4 | (m & 0x08) << 4);
}

/* Says each time once that the transmitter has become empty: at once after each character. A
 * driver that has no interrupt polls this register. */
static u8 interrupt_id(struct uart *u)
{
	bool empty = u->empty_pending && (u->ier & IER_EMPTY);

	if (empty)
		u->empty_pending = false;
	return empty ? IIR_EMPTY : IIR_NONE;
}

u8 serial_in(struct guest *g, u16 offset)
{
	struct uart *u = &g->uart;
	bool divisor = u->lcr & LCR_DLAB;

	switch (offset) {
	case DATA:
		return divisor ? u->dll : 0;
	case IER:
		return divisor ? u->dlm : u->ier;
	case IIR:
		return interrupt_id(u);
	case LCR:
		return u->lcr;
	case MCR:
		return u->mcr;
	case LSR:
		return LSR_IDLE;
	case MSR:
		return modem_status(u);
	default:
		return u->scratch;
	}
}

void serial_out(struct guest *g, u16 offset, u8 value)
{
	struct uart *u = &g->uart;
	bool divisor = u->lcr & LCR_DLAB;

	switch (offset) {
	case DATA:
		if (divisor)
			u->dll = value;
		else
			put(g, (char)value);
		u->empty_pending = true;
		break;
	case IER:
		if (divisor) {
			u->dlm = value;
		} else {
			u->ier = value & 0x0f;
			u->empty_pending = true;
		}
		break;
	case LCR:
		u->lcr = value;
		break;
	case MCR:
		u->mcr = value & 0x1f;
		break;
	case SCRATCH:
		u->scratch = value;
		break;
	default: /* FIFO control and the read-only ones */
		break;
	}
}
