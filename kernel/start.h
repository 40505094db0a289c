/* SPDX-License-Identifier: BSD-2-Clause */
/* From a running processor with its own page tables to the root partition. */
#ifndef KERNEL_START_H
#define KERNEL_START_H

/* Turns virtualization on, takes Septum's memory, gives the rest to the root partition and runs it.
 * On the boot processor, after objects_start(). */
_Noreturn void hypervisor_start(void);

#endif
