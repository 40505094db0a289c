/* SPDX-License-Identifier: BSD-2-Clause */
/* An ASID is, on each processor, dirty (no guest, but its cache may hold lines of the last one),
 * clean, allocated (to a guest whose launch is not finished) or in use. WBINVD on a processor and
 * then DF_FLUSH make dirty ones clean (AMD-ASPFW, sev_guest.c; SEV API, ACTIVATE, DF_FLUSH). Each
 * of the model's processors is a core complex of its own. */
#include "kernel/string.h"
#include "model/psp_impl.h"

/* Bits 4:0 are enough for 31 ASIDs; cipher.h has no more. */
u32 psp_max_asid(void)
{
	return MIN(sev_model.cpuid().ecx, MODEL_ASIDS - 1);
}

u64 psp_all_cpus(void)
{
	unsigned count = model_cpu_count();

	return count >= 64 ? ~0ul : BIT(count) - 1;
}

void psp_asid_reset(void)
{
	for (u32 asid = 0; asid < MODEL_ASIDS; asid++) {
		psp.dirty[asid] = psp_all_cpus();
		psp.clean[asid] = psp.allocated[asid] = psp.used[asid] = 0;
	}
	__atomic_store_n(&psp.wbinvd_done, 0, __ATOMIC_RELEASE);
}

bool psp_asids_clean(void)
{
	for (u32 asid = 1; asid <= psp_max_asid(); asid++)
		if (psp.clean[asid] != psp_all_cpus())
			return false;
	return true;
}

void model_psp_wbinvd(unsigned cpu)
{
	__atomic_or_fetch(&psp.wbinvd_done, BIT(cpu), __ATOMIC_ACQ_REL);
}

bool model_psp_asid_runs(u32 asid)
{
	return asid && asid < MODEL_ASIDS && READ_ONCE(psp.used[asid]) != 0;
}

u32 psp_df_flush(union psp_command *c)
{
	u64 done = __atomic_load_n(&psp.wbinvd_done, __ATOMIC_ACQUIRE) & psp_all_cpus();

	(void)c;
	for (u32 asid = 1; asid < MODEL_ASIDS; asid++) {
		u64 now = psp.dirty[asid] & done;

		psp.dirty[asid] &= ~now;
		psp.clean[asid] |= now;
	}
	return done == psp_all_cpus() ? SEV_SUCCESS : SEV_WBINVD_REQUIRED;
}

u32 psp_asid_activate(struct psp_binding *binding, u32 asid, bool running)
{
	u32 least = sev_model.cpuid().edx;
	u64 all = psp_all_cpus();

	if (asid == 0 || asid > psp_max_asid())
		return SEV_INVALID_ASID;
	if (psp.used[asid] || psp.allocated[asid])
		return SEV_ASID_OWNED;
	if (binding->asid)
		return SEV_ACTIVE;
	if (psp.dirty[asid])
		return SEV_DF_FLUSH_REQUIRED;
	if (binding->encrypted_state ? asid >= least : asid < least)
		return SEV_INVALID_ASID;
	cipher_key_set(asid, &binding->key);
	binding->asid = asid;
	psp.clean[asid] &= ~all;
	psp.allocated[asid] |= all;
	if (running)
		psp_asid_run(binding);
	return SEV_SUCCESS;
}

void psp_asid_run(struct psp_binding *binding)
{
	u32 asid = binding->asid;

	if (binding->runs)
		return;
	binding->runs = true;
	psp.used[asid] |= psp.allocated[asid];
	psp.allocated[asid] = 0;
}

void psp_asid_deactivate(struct psp_binding *binding)
{
	u32 asid = binding->asid;

	if (!asid)
		return;
	psp.clean[asid] |= psp.allocated[asid];
	psp.allocated[asid] = 0;
	if (psp.used[asid]) {
		__atomic_and_fetch(&psp.wbinvd_done, ~psp.used[asid], __ATOMIC_ACQ_REL);
		psp.dirty[asid] |= psp.used[asid];
		psp.used[asid] = 0;
	}
	cipher_key_clear(asid);
	binding->asid = 0;
	binding->runs = false;
}
