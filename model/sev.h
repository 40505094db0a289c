/* SPDX-License-Identifier: BSD-2-Clause */
/* The SNP model's processor: its CPUID, its host MSRs, and what VMRUN asks of them. */
#ifndef MODEL_SEV_H
#define MODEL_SEV_H

#include "kernel/types.h"

/* CPU `cpu` may run a guest with this ASID: SMM is locked, the host save area is set, and the ASID
 * is one of that kind of guest (CPUID 8000001Fh ECX, EDX). */
bool sev_run_allowed(unsigned cpu, u32 asid, bool es);

/* model/run.c: memory for `cpus` processors, at start-up; and VMRUN, as svm_enter() is called. */
void run_setup(unsigned cpus);
void run_vmrun(u64 vmcb_pa, u64 *gprs, u64 host_vmcb_pa);

#endif
