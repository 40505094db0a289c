/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/shadow.h"
#include "mm/window.h"
#include "model/cipher.h"
#include "model/rmp.h"

void shadow_evict(pfn_t first, u64 count)
{
	(void)first;
	(void)count;
}

void shadow_forget_asid(u32 asid)
{
	(void)asid;
}
