/* SPDX-License-Identifier: BSD-2-Clause */
/* The one machine-check bank that a guest sees. SDM Vol. 3, 15.3 and 15.9. */
#ifndef KERNEL_MACHINE_CHECK_H
#define KERNEL_MACHINE_CHECK_H

#include "kernel/vcpu.h"

#define MSR_MCG_CAP    0x179u
#define MSR_MCG_STATUS 0x17au
#define MSR_MC0_CTL    0x400u
#define MSR_MC0_STATUS 0x401u
#define MSR_MC0_ADDR   0x402u
#define MSR_MC0_MISC   0x403u

#define MCG_CAP_GUEST (1ul | BIT(24)) /* one bank; software recovery (S and AR mean something) */

#define MCG_STATUS_RIPV BIT(0)
#define MCG_STATUS_EIPV BIT(1)
#define MCG_STATUS_MCIP BIT(2)

#define MC_STATUS_VAL	BIT(63)
#define MC_STATUS_UC	BIT(61)
#define MC_STATUS_EN	BIT(60)
#define MC_STATUS_MISCV BIT(59)
#define MC_STATUS_ADDRV BIT(58)
#define MC_STATUS_S	BIT(56)
#define MC_STATUS_AR	BIT(55)
#define MC_CODE_LOAD	0x134ul /* data load error: table 15-18 */
#define MC_CODE_FETCH	0x150ul /* instruction fetch error */

/* MC0_MISC: physical address mode (2), valid from bit 12 on. Figure 15-8. */
#define MC_MISC_GUEST ((2ul << 6) | 12)

#define CR4_MCE BIT(6)

/* `v` is loaded. Raises #MC for an access that was denied, or shuts the vCPU down as a processor
 * does that cannot take one. */
void machine_check_raise(struct vcpu *v, gpa_t gpa, bool fetch);

#endif
