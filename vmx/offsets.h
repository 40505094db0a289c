/* SPDX-License-Identifier: BSD-2-Clause */
/* Offsets that assembly needs; vmx.c asserts them. */
#ifndef VMX_OFFSETS_H
#define VMX_OFFSETS_H

#define CPU_NMI_SEEN 32 /* struct cpu */

#endif
