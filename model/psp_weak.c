/* SPDX-License-Identifier: BSD-2-Clause */
/* What the processors' model tells the PSP, until there is one. */
#include "model/psp.h"

__attribute__((weak)) const struct sev_machine sev_model;

__attribute__((weak)) unsigned model_cpu_count(void)
{
	return 1;
}

__attribute__((weak)) void model_cpu_msrs(unsigned cpu, struct model_msrs *msrs)
{
	(void)cpu;
	*msrs = (struct model_msrs){0};
}

__attribute__((weak)) struct sev_cpuid model_cpuid(u32 leaf, u32 subleaf)
{
	(void)leaf;
	(void)subleaf;
	return (struct sev_cpuid){0};
}
