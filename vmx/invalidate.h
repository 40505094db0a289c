/* SPDX-License-Identifier: BSD-2-Clause */
/* INVEPT and INVVPID (Intel SDM Vol. 3, 31.3), single-context: type 1 of both. */
#ifndef VMX_INVALIDATE_H
#define VMX_INVALIDATE_H

#include "vmx/vmx.h"

#define INVALIDATE_SINGLE 1ul

struct invalidate_descriptor {
	u64 context; /* EPTP or VPID */
	u64 address;
};

static inline void invept_single(u64 eptp)
{
	struct invalidate_descriptor d = {eptp, 0};
	bool failed;

	tally(TALLY_INVEPT);
	__asm__ volatile("invept %1, %2"
			 : "=@ccbe"(failed)
			 : "m"(d), "r"(INVALIDATE_SINGLE)
			 : "memory");
	if (failed)
		vmx_broken("INVEPT", eptp);
}

static inline void invvpid_single(u16 vpid)
{
	struct invalidate_descriptor d = {vpid, 0};
	bool failed;

	tally(TALLY_INVVPID);
	__asm__ volatile("invvpid %1, %2"
			 : "=@ccbe"(failed)
			 : "m"(d), "r"(INVALIDATE_SINGLE)
			 : "memory");
	if (failed)
		vmx_broken("INVVPID", vpid);
}

#endif
