/* SPDX-License-Identifier: BSD-2-Clause */
/* The few ACPI tables Septum reads. The firmware is trusted until Septum runs; lengths and
 * checksums are checked all the same. (ACPI Specification 6.5, section 5.2.) */
#ifndef ARCH_X86_ACPI_H
#define ARCH_X86_ACPI_H

#include "arch/x86/layout.h"
#include "kernel/types.h"

struct acpi_info {
	hpa_t rsdp;	       /* 0: found nowhere, or only the loader's copy of it */
	unsigned cpu_count;    /* enabled processors in the MADT; 0: no MADT */
	u32 apic_ids[CPU_MAX]; /* of the first CPU_MAX of them */
	hpa_t dmar, ivrs;      /* VT-d's and AMD-Vi's table; 0: none */
	u16 timer_port;	       /* of the power-management timer; 0: none */
};

extern struct acpi_info acpi_info;

/* Fill acpi_info and print what was found. Windows must work. */
void acpi_start(void);

#endif
