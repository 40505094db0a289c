/* SPDX-License-Identifier: BSD-2-Clause */
/* COM1 at 115200 8N1, polled. */
#ifndef ARCH_X86_UART_H
#define ARCH_X86_UART_H

void uart_start(void);

/* Send one byte; dropped when there is no UART. */
void uart_put(char c);

#endif
