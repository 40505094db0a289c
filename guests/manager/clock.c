/* SPDX-License-Identifier: BSD-2-Clause */
#include "guests/lib/cpu.h"
#include "guests/manager/linux.h"

u64 clock_tsc_khz(void)
{
	static u64 khz;

	if (!khz)
		khz = septum(SEPTUM_CALL_INFO, SEPTUM_INFO_TSC_KHZ).value;
	return khz;
}

u64 clock_microseconds(void)
{
	static u64 start;
	u64 khz = clock_tsc_khz();

	if (!start)
		start = tsc_read();
	return khz ? (tsc_read() - start) * 1000 / khz : 0;
}
