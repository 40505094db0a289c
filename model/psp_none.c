/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the PSP's own files are not linked: there is none. */
#include "model/psp.h"

__attribute__((weak)) bool model_psp_find(void)
{
	return false;
}

__attribute__((weak)) u32 model_psp_read(enum psp_register which)
{
	(void)which;
	return 0;
}

__attribute__((weak)) void model_psp_write(enum psp_register which, u32 value)
{
	(void)which;
	(void)value;
}

__attribute__((weak)) void model_psp_wbinvd(unsigned cpu)
{
	(void)cpu;
}

__attribute__((weak)) bool model_psp_asid_runs(u32 asid)
{
	(void)asid;
	return true;
}
