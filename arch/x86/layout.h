/* SPDX-License-Identifier: BSD-2-Clause */
/* Septum's own address space, the same on every processor.
 *
 *   TABLE   nested and attribute tables, by frame number
 *   OWN     frames Septum took for itself at boot, read-write, for good
 *   STACK   per-CPU stacks, each with an unmapped guard page below it
 *   WINDOW  per-CPU 4 KiB windows on frames that are not Septum's
 *   OBJECT  4 KiB mappings of frames that became Septum's while it runs
 *   IMAGE   Septum itself: text RX, read-only data R, data RW
 *
 * Nothing is mapped below the canonical hole once boot_paging_final() has run.
 */
#ifndef ARCH_X86_LAYOUT_H
#define ARCH_X86_LAYOUT_H

#define IMAGE_VA  0xffffffff80000000
#define IMAGE_LMA 0x200000 /* where the image runs unless the loader moves it */
#define IMAGE_MAX 0x800000 /* what the static page tables can map */

#define CPU_MAX 64

#define TABLE_VA  0xffff800000000000
#define OWN_VA	  0xffffc00000000000
#define STACK_VA  0xffffc80000000000
#define WINDOW_VA 0xffffd00000000000
#define OBJECT_VA 0xffffe00000000000

#define OBJECT_SLOTS 16384

/* One CPU's part of the STACK area, in pages: the guard page of each stack comes first. */
#define STACK_CPU_PAGES	 32
#define STACK_MAIN_PAGES 4
#define STACK_IST_PAGES	 2
#define STACK_IST_FIRST	 (1 + STACK_MAIN_PAGES)
#define STACK_IST_STRIDE (1 + STACK_IST_PAGES)

#define SELECTOR_CODE 0x08
#define SELECTOR_DATA 0x10
#define SELECTOR_TSS  0x18

#endif
