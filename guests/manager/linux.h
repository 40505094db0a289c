/* SPDX-License-Identifier: BSD-2-Clause */
/* Linux guests: a kernel by the 64-bit boot protocol, and the small machine that it finds.
 *
 *   linux.c     the kernel image, boot_params, page tables and the shim's parameters
 *   acpi.c      the tables that describe the machine
 *   platform.c  its ports and MSRs beside the serial line
 *   clock.c     the time-stamp counter
 */
#ifndef GUESTS_MANAGER_LINUX_H
#define GUESTS_MANAGER_LINUX_H

#include "guests/manager/manager.h"

/* ---- linux.c */

/* Loads kernel, initrd and all that they need into the BUILDING VM of `g`, and makes its vCPUs,
 * whose first starts in the shim. NULL, or a sentence. */
const char *linux_load(struct guest *g);

/* ---- acpi.c */

/* One 64 KiB block for all tables, at the end of the guest's memory. */
#define ACPI_BYTES 0x10000ul

/* The machine's own registers (FADT: sleep control, sleep status, reset). */
#define PORT_SLEEP_CONTROL 0x600u
#define PORT_SLEEP_STATUS  0x601u
#define PORT_RESET	   0x602u
#define RESET_VALUE	   0x01u
#define SLEEP_TYPE_OFF	   5u /* \_S5 of guests/linux/dsdt.asl */

/* Fills `to`, which the guest will see at `gpa`; the RSDP is at its start. */
void acpi_make(u8 *to, u64 gpa, u32 vcpus);

/* ---- platform.c */

/* A port that is neither COM1 nor an end; the value of a read. */
u64 platform_port(struct guest *g, const struct septum_event *event, u64 value);
/* An MSR that Septum does not own: answers the event. */
void platform_msr(struct guest *g, const struct septum_event *event);

/* ---- clock.c */

/* As Septum says; 0: unknown. */
u64 clock_tsc_khz(void);
/* Microseconds since the first call. */
u64 clock_microseconds(void);

#endif
