/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory read and written for the guest, with exactly the rights of its nested table. */
#include "mm/memory.h"
#include "mm/memory_impl.h"
#include "mm/page.h"

/* The byte at `raw_gpa`, or NULL when an access that needs `prot` would fault. */
static void *look(struct memory *mem, u64 raw_gpa, unsigned bytes, unsigned prot)
{
	u64 offset = raw_gpa % PAGE_SIZE, page = raw_gpa >> PAGE_SHIFT;
	struct leaf leaf;

	if (offset + bytes > PAGE_SIZE || page >= memory_end(mem) << (mem->shared_bit != 0) ||
	    !nested_find(&mem->nested, page, &leaf) || (leaf.is_private && guard_keeps(mem)) ||
	    (nested_prot(&mem->nested, leaf.entry) & prot) != prot)
		return NULL;
	return (u8 *)window_map(WINDOW_GUEST, pfn(leaf.pfn.n + (page - leaf.page))) + offset;
}

/* An aligned word of 2, 4 or 8 bytes with one access, as the processor does: another vCPU may be
 * writing it meanwhile, and half of a page-table entry is none. */
static void copy_once(void *to, const void *from, unsigned bytes)
{
	if (((uintptr_t)to | (uintptr_t)from) % bytes != 0) {
		bytes_copy(to, from, bytes);
		return;
	}
	switch (bytes) {
	case 2:
		*(volatile u16 *)to = *(const volatile u16 *)from;
		break;
	case 4:
		*(volatile u32 *)to = *(const volatile u32 *)from;
		break;
	case 8:
		*(volatile u64 *)to = *(const volatile u64 *)from;
		break;
	default:
		bytes_copy(to, from, bytes);
		break;
	}
}

bool memory_read(struct memory *mem, u64 raw_gpa, void *to, unsigned bytes)
{
	const void *from;

	spin_lock(&mem->lock);
	from = look(mem, raw_gpa, bytes, PROT_READ);
	if (from != NULL)
		copy_once(to, from, bytes);
	spin_unlock(&mem->lock);
	return from != NULL;
}

bool memory_write(struct memory *mem, u64 raw_gpa, const void *from, unsigned bytes)
{
	void *to;

	spin_lock(&mem->lock);
	to = look(mem, raw_gpa, bytes, PROT_READ | PROT_WRITE);
	if (to != NULL)
		copy_once(to, from, bytes);
	spin_unlock(&mem->lock);
	return to != NULL;
}

bool memory_cmpxchg(struct memory *mem, u64 raw_gpa, unsigned bytes, u64 expected, u64 desired,
		    bool *swapped)
{
	void *at = NULL;

	spin_lock(&mem->lock);
	if ((bytes == 4 || bytes == 8) && raw_gpa % bytes == 0)
		at = look(mem, raw_gpa, bytes, PROT_READ | PROT_WRITE);
	if (at != NULL && bytes == 8) {
		*swapped = __atomic_compare_exchange_n((u64 *)at, &expected, desired, false,
						       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	} else if (at != NULL) {
		u32 old = (u32)expected;

		*swapped = __atomic_compare_exchange_n((u32 *)at, &old, (u32)desired, false,
						       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
	spin_unlock(&mem->lock);
	return at != NULL;
}
