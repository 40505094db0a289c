/* SPDX-License-Identifier: BSD-2-Clause */
#include "arch/x86/uart.h"
#include "arch/x86/io.h"

/* National Semiconductor PC16550D data sheet, section 8. */
#define COM1	       0x3f8
#define DATA	       (COM1 + 0)
#define INTERRUPTS     (COM1 + 1)
#define FIFO	       (COM1 + 2)
#define LINE_CONTROL   (COM1 + 3)
#define MODEM_CONTROL  (COM1 + 4)
#define LINE_STATUS    (COM1 + 5)
#define SCRATCH	       (COM1 + 7)
#define LCR_8N1	       0x03
#define LCR_DLAB       0x80
#define LSR_THR_EMPTY  0x20
#define DIVISOR_115200 1

static bool present;

void uart_start(void)
{
	out8(SCRATCH, 0x5a);
	present = in8(SCRATCH) == 0x5a;
	if (!present)
		return;
	out8(INTERRUPTS, 0);
	out8(LINE_CONTROL, LCR_DLAB);
	out8(DATA, DIVISOR_115200);
	out8(INTERRUPTS, 0);
	out8(LINE_CONTROL, LCR_8N1);
	out8(FIFO, 0x07);	   /* on, both emptied */
	out8(MODEM_CONTROL, 0x03); /* DTR, RTS */
}

void uart_put(char c)
{
	if (!present)
		return;
	/* A line that never drains must not stop Septum: about a tenth of a second. */
	for (unsigned i = 0; i < 100000 && (in8(LINE_STATUS) & LSR_THR_EMPTY) == 0; i++)
		cpu_pause();
	out8(DATA, (u8)c);
}
