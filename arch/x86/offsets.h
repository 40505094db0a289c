/* SPDX-License-Identifier: BSD-2-Clause */
/* Offsets in struct cpu that assembly needs; cpu.c asserts them. */
#ifndef ARCH_X86_OFFSETS_H
#define ARCH_X86_OFFSETS_H

#define CPU_NMI_SEEN 32 /* nmi_seen, and kicked in the byte after it: one word to compare */

#endif
