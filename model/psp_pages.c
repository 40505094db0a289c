/* SPDX-License-Identifier: BSD-2-Clause */
/* Pages that the host wants back from the firmware, or as one of 2 MiB; and a guest's memory for a
 * debugger, where the guest's policy allows one. */
#include "kernel/string.h"
#include "mm/window.h"
#include "model/psp_impl.h"

u32 psp_snp_page_reclaim(union psp_command *c)
{
	u64 address = c->address.address & PAGE_MASK;
	bool large = c->address.address & 1;
	struct rmp_entry entry;
	enum rmp_page_state state;
	u32 status;

	if (c->address.address & ~PAGE_MASK & ~1ul)
		return SEV_INVALID_PARAM;
	if (psp.snp_state != PLATFORM_INIT)
		return SEV_INVALID_PLATFORM_STATE;
	status = psp_page_get(address, &entry, &state);
	if (status)
		return status;
	if (entry.large != large)
		return SEV_INVALID_PAGE_SIZE;
	if (large && !IS_ALIGNED(address, BLOCK_PAGES << PAGE_SHIFT))
		return SEV_INVALID_ADDRESS;
	if (!entry.immutable)
		return SEV_SUCCESS;
	switch (state) {
	case RMP_STATE_METADATA:
	case RMP_STATE_FIRMWARE:
	case RMP_STATE_PRE_GUEST:
	case RMP_STATE_PRE_SWAP:
		break;
	default:
		return SEV_INVALID_PAGE_STATE;
	}
	if (state == RMP_STATE_METADATA)
		entry.gpa &= RMP_GPA_TAG(1) - 1;
	entry.immutable = false;
	psp_page_set(address, &entry);
	return SEV_SUCCESS;
}

static bool entries_merge(u64 address)
{
	struct rmp_entry head, entry;
	bool good = true;

	rmp_lock();
	for (u64 i = 0; good && i < BLOCK_PAGES; i++) {
		good = rmp_get(pfn((address >> PAGE_SHIFT) + i), &entry) && !entry.large &&
		       entry.immutable && !entry.vmsa && entry.asid;
		if (i == 0)
			head = entry;
		good = good && rmp_entry_state(&entry) == rmp_entry_state(&head) &&
		       entry.asid == head.asid && entry.gpa == head.gpa + (i << PAGE_SHIFT) &&
		       memcmp(entry.perms, head.perms, sizeof(entry.perms)) == 0;
	}
	good = good && IS_ALIGNED(head.gpa, BLOCK_PAGES << PAGE_SHIFT);
	if (good)
		rmp_unsmash(hpa_to_pfn(hpa(address)));
	rmp_unlock();
	return good;
}

u32 psp_snp_page_unsmash(union psp_command *c)
{
	u64 address = c->address.address;
	u64 size = BLOCK_PAGES << PAGE_SHIFT;

	if (!IS_ALIGNED(address, size))
		return SEV_INVALID_PARAM;
	if (psp.snp_state != PLATFORM_INIT)
		return SEV_INVALID_PLATFORM_STATE;
	if (psp_range_valid(address, size) ||
	    (address <= psp.rmp_last.n && address + size > psp.rmp_first.n))
		return SEV_INVALID_ADDRESS;
	return entries_merge(address) ? SEV_SUCCESS : SEV_INVALID_PAGE_STATE;
}

u32 psp_snp_dbg_decrypt(union psp_command *c)
{
	const struct snp_cmd_debug *debug = &c->debug;
	struct psp_context context;
	struct rmp_entry from, to;
	enum rmp_page_state from_state, to_state;
	u32 status;

	if (!IS_ALIGNED(debug->context | debug->from | debug->to, PAGE_SIZE))
		return SEV_INVALID_PARAM;
	status = psp_context_open(debug->context, &context);
	if (status == SEV_SUCCESS)
		status = psp_page_get(debug->from, &from, &from_state);
	if (status == SEV_SUCCESS)
		status = psp_page_get(debug->to, &to, &to_state);
	if (status)
		return status;
	if ((from_state != RMP_STATE_PRE_GUEST && from_state != RMP_STATE_PRE_SWAP &&
	     from_state != RMP_STATE_GUEST_INVALID && from_state != RMP_STATE_GUEST_VALID) ||
	    to_state != RMP_STATE_FIRMWARE)
		return SEV_INVALID_PAGE_STATE;
	if (from.asid != context.binding.asid)
		return SEV_INVALID_PAGE_OWNER;
	if ((context.policy & SNP_POLICY_DEBUG) == 0)
		return SEV_POLICY_FAILURE;
	if (context.binding.asid == 0)
		return SEV_INACTIVE;
	psp_evict(debug->from);
	psp_copy_in(debug->from, psp.page, PAGE_SIZE);
	for (unsigned at = 0; at < PAGE_SIZE; at += 512)
		cipher_bytes(&context.binding.key, hpa(debug->from + at), psp.page + at, 512);
	psp_copy_out(debug->to, psp.page, PAGE_SIZE);
	memset(psp.page, 0, sizeof(psp.page));
	return SEV_SUCCESS;
}
