/* SPDX-License-Identifier: BSD-2-Clause */
/* The SNP model's secure processor (PSP): the mailbox of sev_machine.h, and what it and the model's
 * processors know of each other.
 *
 * Behind the mailbox are the commands of the SEV firmware (55766) and of the SEV-SNP firmware
 * (56860) that a hypervisor needs to launch, run and destroy guests, with the firmware's checks in
 * the firmware's order. Its randomness is RDRAND's, or the time stamp counter's where there is
 * none: it is a model. Reports are signed with a key that everybody knows (model/psp_key.c).
 *
 * Windows PSP_*. Takes rmp_lock() for each look at the RMP; the caller does not hold it.
 */
#ifndef MODEL_PSP_H
#define MODEL_PSP_H

#include "svm/sev_machine.h"

/* sev_machine.psp_find, psp_read and psp_write. */
bool model_psp_find(void);
u32 model_psp_read(enum psp_register which);
void model_psp_write(enum psp_register which, u32 value);

/* CPU `cpu` executes WBINVD. */
void model_psp_wbinvd(unsigned cpu);

/* The ASID is that of a guest that is activated and launched: VMRUN with another one is
 * VMEXIT_INVALID. */
bool model_psp_asid_runs(u32 asid);

/* What the PSP asks the processors: given by the processors' model. */

/* Processors, the most that there ever are; CPUs are 0 .. count - 1, at most 64. */
unsigned model_cpu_count(void);

struct model_msrs {
	u64 syscfg, hwcr, hsave_pa, rmp_base, rmp_end;
};
void model_cpu_msrs(unsigned cpu, struct model_msrs *msrs);

/* CPUID as this machine's processor answers it to the PSP, which compares a guest's CPUID page with
 * that (SNP_LAUNCH_UPDATE). */
struct sev_cpuid model_cpuid(u32 leaf, u32 subleaf);

#endif
