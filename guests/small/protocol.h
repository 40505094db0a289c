/* SPDX-License-Identifier: BSD-2-Clause */
/* The ports by which small guests and the test manager speak. */
#ifndef GUESTS_SMALL_PROTOCOL_H
#define GUESTS_SMALL_PROTOCOL_H

#define PORT_COM1     0x3f8u
#define PORT_EXIT     0xf4u   /* OUT 32: the guest ends; 0: all is well */
#define PORT_SHUTDOWN 0x8900u /* OUT 8 of "Shutdown": the guest ends */
#define PORT_STEP     0x500u  /* OUT 32: see step(); then IN 32 fetches the answer */
#define PORT_LINE     0x504u  /* OUT 32: the line of the check that failed */
#define PORT_TEXT     0xe9u   /* OUT 8: text, as on Bochs */

#define FREE_START 0x400000ul /* 4 MiB */

#endif
