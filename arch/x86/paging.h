/* SPDX-License-Identifier: BSD-2-Clause */
/* Septum's own page tables. They are built once, at boot, and never shared with anybody.
 * Implements mm/window.h. */
#ifndef ARCH_X86_PAGING_H
#define ARCH_X86_PAGING_H

#include "kernel/types.h"

struct cpu;

/* Page table entry bits (Intel SDM vol. 3, 4.5; AMD APM vol. 2, 5.3). */
#define PTE_PRESENT  BIT(0)
#define PTE_WRITE    BIT(1)
#define PTE_PWT	     BIT(3)
#define PTE_PCD	     BIT(4)
#define PTE_ACCESSED BIT(5)
#define PTE_DIRTY    BIT(6)
#define PTE_LARGE    BIT(7) /* in a directory: a 2 MiB page */
#define PTE_GLOBAL   BIT(8)
#define PTE_NX	     BIT(63)
#define PTE_ADDRESS  0x000ffffffffff000ul

/* Read-write, no-execute, global, with the accessed and dirty bits set in advance. */
#define PTE_DATA     (PTE_PRESENT | PTE_WRITE | PTE_ACCESSED | PTE_DIRTY | PTE_GLOBAL | PTE_NX)
#define PTE_UNCACHED (PTE_PWT | PTE_PCD)

/* Replace the boot tables by the final ones: image with its permissions, windows of `cpu`; nothing
 * else is reachable any more. `image` is where the image lies. NX must be there. */
void paging_start(struct cpu *cpu, u64 image);

/* Load those tables on this processor, and turn on what protects them. */
void paging_enable(void);

/* Flush what this processor holds of them, global pages too. */
void paging_flush(void);

/* Where a symbol of the image lies. */
hpa_t paging_image_pa(const void *symbol);

/* Give `cpu` its windows. */
void paging_windows(struct cpu *cpu);

/* Choose the RAM from which own_alloc() takes; after boot_info is complete, before own_alloc(). */
void own_start(void);

/* No own_alloc() after this: what was taken is now in boot_info.reserved. */
void own_seal(void);

/* Map and return stack `top` addresses for CPU `id`; see layout.h. Boot only. */
void stacks_map(u32 id);
u64 stack_main_top(u32 id);
u64 stack_ist_top(u32 id, unsigned ist);

/* Map `pages` of device memory uncached at consecutive addresses of the OWN area. Boot only. */
void *device_map(hpa_t start, u64 pages);

/* Prepare the OBJECT area. Boot only. */
void objects_start(void);

/* Copy from physical memory through WINDOW_FIRMWARE. What lies beyond the processor's physical
 * address width reads as zero. */
void physical_read(hpa_t from, void *to, size_t size);

#endif
