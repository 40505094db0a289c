/* SPDX-License-Identifier: BSD-2-Clause */
/* The devices that the test manager plays for small/devices.c. */
#ifndef GUESTS_SMALL_DEVICES_H
#define GUESTS_SMALL_DEVICES_H

#define DEVICE	     0x30000000ul /* 256 bytes that remember, beyond the guest's memory */
#define DEVICE_BYTES 256u
#define PORT_MEMORY  0x600u /* 16 bytes that remember */
#define PORT_STRING  0x610u /* OUTS: bytes are summed; INS: 0, 1, 2, .. since the last OUT */
#define PORT_NOBODY  0x777u
#define MSR_DEVICE   0x12345u /* reads what was written */
#define MSR_NOBODY   0x12346u

#endif
