/* SPDX-License-Identifier: BSD-2-Clause */
#include "guests/root/hypercall.h"
#include "guests/lib/cpu.h"

struct reply septum_call(u64 call, const u64 arguments[6])
{
	static int intel = -1;
	u64 rax = call;
	u64 rdx = arguments[2];
	register u64 r8 __asm__("r8") = arguments[4];
	register u64 r9 __asm__("r9") = arguments[5];

	if (intel < 0)
		intel = cpu_is_intel();
	if (intel)
		__asm__ volatile("vmcall"
				 : "+a"(rax), "+d"(rdx)
				 : "D"(arguments[0]), "S"(arguments[1]), "c"(arguments[3]), "r"(r8),
				   "r"(r9)
				 : "memory");
	else
		__asm__ volatile("vmmcall"
				 : "+a"(rax), "+d"(rdx)
				 : "D"(arguments[0]), "S"(arguments[1]), "c"(arguments[3]), "r"(r8),
				   "r"(r9)
				 : "memory");
	return (struct reply){(u32)(rax & 0xff), (u32)(rax >> 8 & 0xff), rdx};
}

const char *status_name(u32 status)
{
	static const char *const names[] = {
#define X(name, number, text) [number] = #name,
		SEPTUM_STATUS_LIST(X)
#undef X
	};

	return status < ARRAY_COUNT(names) ? names[status] : "?";
}
