/* SPDX-License-Identifier: BSD-2-Clause */
/* Address space identifiers of encrypted guests, which name their keys as well.
 *
 * One that a guest has had is not handed out again before every CPU has written its caches back and
 * the firmware has flushed the data fabric (SEV API 2.1.5, SNP ABI 4.6: WBINVD, then DF_FLUSH);
 * that is done for all of them at once, when no clean one is left.
 */
#include "arch/x86/smp.h"
#include "svm/sev.h"

#define ASIDS_MAX 1024u

enum { CLEAN, TAKEN, USED };

static struct spinlock lock = SPINLOCK(RANK_ASID);
static u8 state[ASIDS_MAX];

void asid_start(void)
{
	sev_features.asid_max = MIN(sev_features.asid_max, ASIDS_MAX - 1);
}

static void caches_write_back(void)
{
	sev_machine->wbinvd();
}

bool asid_flush(void)
{
	u32 status = PSP_SUCCESS;

	cpus_call(caches_write_back);
	if (sev_features.snp)
		status = psp_command(PSP_SNP_DF_FLUSH, NULL, 0);
	if (status == PSP_SUCCESS && sev_features.sev)
		status = psp_command(PSP_SEV_DF_FLUSH, NULL, 0);
	return status == PSP_SUCCESS;
}

static u32 find(u32 first, u32 last, u8 wanted)
{
	for (u32 n = first; n <= last; n++) {
		if (state[n] == wanted)
			return n;
	}
	return 0;
}

u32 asid_take(bool plain)
{
	u32 first = plain ? MAX(sev_features.asid_plain, 1u) : 1;
	u32 last = plain ? sev_features.asid_max
			 : MIN(sev_features.asid_plain - 1, sev_features.asid_max);
	u32 asid;

	if (!plain && sev_features.asid_plain == 0)
		return 0;
	spin_lock(&lock);
	asid = find(first, last, CLEAN);
	if (asid == 0 && find(first, last, USED) != 0 && asid_flush()) {
		for (u32 n = 1; n <= sev_features.asid_max; n++)
			state[n] = state[n] == USED ? CLEAN : state[n];
		asid = find(first, last, CLEAN);
	}
	if (asid != 0)
		state[asid] = TAKEN;
	spin_unlock(&lock);
	return asid;
}

void asid_give(u32 asid)
{
	spin_lock(&lock);
	state[asid] = USED;
	spin_unlock(&lock);
}
