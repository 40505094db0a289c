/* SPDX-License-Identifier: BSD-2-Clause */
/* The platform as a whole: SEV and SNP start and end apart from each other; who wants both starts
 * SNP first and ends it last (SEV-SNP ABI, SNP_INIT, SNP_SHUTDOWN). */
#include "kernel/string.h"
#include "mm/page.h"
#include "model/psp_impl.h"

#define SYSCFG_MFDM	   BIT(19)
#define SYSCFG_MEM_ENCRYPT BIT(23)
#define SYSCFG_SNP	   BIT(24)
#define SYSCFG_VMPL	   BIT(25)
#define HWCR_SMMLOCK	   BIT(0)

#define MIB 0x100000ul

#define SEV_HWERROR_PLATFORM	      0x13u
#define SEV_RMP_INITIALIZATION_FAILED 0x26u

static bool syscfg_everywhere(u64 bits)
{
	for (unsigned cpu = 0; cpu < model_cpu_count(); cpu++) {
		struct model_msrs msrs;

		model_cpu_msrs(cpu, &msrs);
		if ((msrs.syscfg & bits) != bits)
			return false;
	}
	return true;
}

/* SEV */

/* Once SNP's RMP is there, the region for SEV-ES is 2 MiB, else 1 MiB, aligned to its size. */
static u32 trusted_region_check(u64 address, u64 size)
{
	u64 wanted = psp.rmp_initialised ? 2 * MIB : MIB;
	u32 status = psp_writable(address, size);

	if (status)
		return status;
	if (!IS_ALIGNED(address, wanted))
		return SEV_INVALID_ADDRESS;
	return size == wanted ? SEV_SUCCESS : SEV_INVALID_LENGTH;
}

u32 psp_sev_init(union psp_command *c)
{
	const struct sev_cmd_init *init = &c->sev_init;
	u32 status;

	if (psp.sev_state != PLATFORM_UNINIT)
		return SEV_INVALID_PLATFORM_STATE;
	if (!syscfg_everywhere(SYSCFG_MEM_ENCRYPT))
		return SEV_HWERROR_PLATFORM;
	if (init->flags > 1 || init->reserved)
		return SEV_INVALID_CONFIG;
	if (syscfg_everywhere(SYSCFG_SNP) && !psp.rmp_initialised)
		return SEV_INVALID_PLATFORM_STATE;
	if (init->flags) {
		status = trusted_region_check(init->tmr, init->tmr_size);
		if (status)
			return status;
	}
	if (psp.snp_state == PLATFORM_UNINIT)
		psp_asid_reset();
	psp.es = init->flags;
	psp.sev_state = PLATFORM_INIT;
	return SEV_SUCCESS;
}

u32 psp_sev_shutdown(union psp_command *c)
{
	(void)c;
	for (unsigned i = 0; i < PSP_SEV_GUESTS; i++)
		psp_asid_deactivate(&psp.sev_guests[i].binding);
	memset(psp.sev_guests, 0, sizeof(psp.sev_guests));
	psp.es = false;
	psp.sev_state = PLATFORM_UNINIT;
	return SEV_SUCCESS;
}

u32 psp_sev_platform_status(union psp_command *c)
{
	struct sev_cmd_platform_status *status = &c->sev_platform_status;

	status->major = PSP_MAJOR;
	status->minor = PSP_MINOR;
	status->state = psp.sev_state;
	status->config = psp.es;
	status->build = PSP_BUILD;
	for (unsigned i = 0; i < PSP_SEV_GUESTS; i++)
		status->guests += psp.sev_guests[i].state != SEV_GUEST_INVALID;
	return SEV_SUCCESS;
}

/* SNP */

static u32 processors_check(bool hsave_clear, hpa_t *first, hpa_t *last)
{
	struct model_msrs msrs, msrs0;

	if (!syscfg_everywhere(SYSCFG_MEM_ENCRYPT | SYSCFG_SNP | SYSCFG_VMPL | SYSCFG_MFDM))
		return SEV_INVALID_CONFIG;
	model_cpu_msrs(0, &msrs0);
	for (unsigned cpu = 0; cpu < model_cpu_count(); cpu++) {
		model_cpu_msrs(cpu, &msrs);
		if ((msrs.hwcr & HWCR_SMMLOCK) == 0 || msrs.rmp_base != msrs0.rmp_base ||
		    msrs.rmp_end != msrs0.rmp_end || (hsave_clear && msrs.hsave_pa))
			return SEV_INVALID_CONFIG;
	}
	*first = hpa(msrs0.rmp_base);
	*last = hpa(msrs0.rmp_end);
	if (first->n == 0 || !IS_ALIGNED(first->n, MIB) || !IS_ALIGNED(last->n + 1, MIB) ||
	    last->n < first->n || psp_range_valid(first->n, last->n - first->n + 1) ||
	    !rmp_enabled())
		return SEV_INVALID_CONFIG;
	return SEV_SUCCESS;
}

/* The host's list of ranges that shall stay HV_FIXED: count, reserved, and 16 bytes for each:
 * address, pages, reserved. One page. */
struct range {
	u64 base;
	u32 pages, reserved;
};
#define RANGES_MAX 255u
struct ranges {
	u32 count, reserved;
	struct range ranges[RANGES_MAX];
};

static bool ranges_good(const struct ranges *list, hpa_t first, hpa_t last)
{
	if (list->count > RANGES_MAX || list->reserved)
		return false;
	for (u32 i = 0; i < list->count; i++) {
		const struct range *range = &list->ranges[i];
		u64 size = (u64)range->pages << PAGE_SHIFT;

		if (!IS_ALIGNED(range->base, PAGE_SIZE) || psp_range_valid(range->base, size) ||
		    (size && range->base <= last.n && range->base + size > first.n))
			return false;
	}
	return true;
}

/* Every covered page a hypervisor's, but for the table itself and the list. */
static void table_fill(hpa_t first, hpa_t last, const struct ranges *list)
{
	struct rmp_entry entry = {.assigned = true, .immutable = true};
	struct rmp_entry before;

	psp_zero(first.n, last.n - first.n + 1);
	rmp_lock();
	for (u64 page = first.n; page <= last.n; page += PAGE_SIZE)
		if (rmp_get(hpa_to_pfn(hpa(page)), &before))
			rmp_set(hpa_to_pfn(hpa(page)), &entry);
	entry.assigned = false;
	for (u32 i = 0; list && i < list->count; i++)
		for (u64 n = 0; n < list->ranges[i].pages; n++) {
			pfn_t p = pfn((list->ranges[i].base >> PAGE_SHIFT) + n);

			if (!rmp_get(p, &before))
				break;
			rmp_set(p, &entry);
		}
	rmp_unlock();
}

static u32 snp_init(bool fill, u64 list_address)
{
	struct ranges *list = NULL;
	hpa_t first, last;
	u32 status = processors_check(fill, &first, &last);

	if (status)
		return status;
	_Static_assert(sizeof(*list) <= sizeof(psp.page), "range list");
	if (list_address) {
		list = (struct ranges *)(void *)psp.page;
		if (!IS_ALIGNED(list_address, PAGE_SIZE) ||
		    psp_copy_in(list_address, list, sizeof(*list)) ||
		    !ranges_good(list, first, last))
			return SEV_RMP_INITIALIZATION_FAILED;
	}
	psp.rmp_first = first;
	psp.rmp_last = last;
	if (fill)
		table_fill(first, last, list);
	psp.rmp_initialised = true;
	psp.snp_state = PLATFORM_INIT;
	psp.snp_guests = 0;
	psp.reported_tcb = PSP_TCB;
	psp_random(psp.seal_key, sizeof(psp.seal_key));
	psp_asid_reset();
	return SEV_SUCCESS;
}

u32 psp_snp_init(union psp_command *c)
{
	(void)c;
	if (psp.snp_state != PLATFORM_UNINIT || psp.sev_state != PLATFORM_UNINIT)
		return SEV_INVALID_PLATFORM_STATE;
	return snp_init(true, 0);
}

u32 psp_snp_init_ex(union psp_command *c)
{
	const struct snp_cmd_init_ex *init = &c->init_ex;
	bool fill = init->flags & BIT(0);

	if (init->flags > 3 || init->reserved ||
	    !psp_is_zero(init->reserved2, sizeof(init->reserved2)))
		return SEV_INVALID_PARAM;
	if (psp.snp_state != PLATFORM_UNINIT || psp.sev_state != PLATFORM_UNINIT)
		return SEV_INVALID_PLATFORM_STATE;
	if (!fill && !psp.rmp_initialised)
		return SEV_RMP_INIT_REQUIRED;
	if (init->flags & BIT(1)) {
		if (!fill)
			return SEV_INVALID_PARAM;
		if (init->list == 0)
			return SEV_RMP_INITIALIZATION_FAILED;
	}
	return snp_init(fill, init->flags & BIT(1) ? init->list : 0);
}

/* `ex` NULL: SNP_SHUTDOWN. The processors' own SNP stays on: this machine cannot turn it off. */
static u32 snp_shutdown(const struct snp_cmd_shutdown_ex *ex)
{
	if (psp.sev_state != PLATFORM_UNINIT)
		return SEV_INVALID_PLATFORM_STATE;
	if (psp.snp_state == PLATFORM_UNINIT)
		return SEV_SUCCESS;
	if (!psp_asids_clean())
		return SEV_DF_FLUSH_REQUIRED;
	if (ex && (ex->length != sizeof(*ex) || ex->flags > 1))
		return SEV_INVALID_PARAM;
	if (ex && ex->flags)
		psp.rmp_initialised = false;
	psp.snp_state = PLATFORM_UNINIT;
	psp.snp_guests = 0;
	psp.mask_chip_id = psp.mask_chip_key = false;
	return SEV_SUCCESS;
}

u32 psp_snp_shutdown(union psp_command *c)
{
	(void)c;
	return snp_shutdown(NULL);
}

u32 psp_snp_shutdown_ex(union psp_command *c)
{
	return snp_shutdown(&c->shutdown_ex);
}

u32 psp_snp_platform_status(union psp_command *c)
{
	u64 to = c->address.address;
	struct snp_platform_status data = {
		.major = PSP_MAJOR,
		.minor = PSP_MINOR,
		.state = psp.snp_state,
		.rmp = psp.rmp_initialised,
		.build = PSP_BUILD,
		.flags = (u32)psp.mask_chip_id | (u32)psp.mask_chip_key << 1 | 1u << 3,
		.guests = psp.snp_guests,
		.current_tcb = PSP_TCB,
		.reported_tcb = psp.snp_state == PLATFORM_INIT ? psp.reported_tcb : PSP_TCB,
	};
	u32 status;

	if ((to & ~PAGE_MASK) + sizeof(data) > PAGE_SIZE)
		return SEV_INVALID_PARAM;
	status = psp_writable(to, sizeof(data));
	return status ? status : psp_copy_out(to, &data, sizeof(data));
}

/* A TCB version is one byte for each part; older in every part. */
static bool tcb_newer(u64 a, u64 b)
{
	for (unsigned shift = 0; shift < 64; shift += 8)
		if ((a >> shift & 0xff) > (b >> shift & 0xff))
			return true;
	return false;
}

u32 psp_snp_config(union psp_command *c)
{
	const struct snp_cmd_config *config = &c->config;

	if (config->flags > 3 || !psp_is_zero(config->reserved, sizeof(config->reserved)) ||
	    tcb_newer(config->reported_tcb, PSP_TCB))
		return SEV_INVALID_PARAM;
	psp.reported_tcb = config->reported_tcb ? config->reported_tcb : PSP_TCB;
	psp.mask_chip_id = config->flags & BIT(0);
	psp.mask_chip_key = config->flags & BIT(1);
	return SEV_SUCCESS;
}

/* There is one firmware in the model, and it is committed. */
u32 psp_snp_commit(union psp_command *c)
{
	return c->commit.length == sizeof(c->commit) ? SEV_SUCCESS : SEV_INVALID_PARAM;
}

/* Like CPUID 80000024h: sub-leaf 0 the highest sub-leaf, 1 the guest messages that are known. */
u32 psp_snp_feature_info(union psp_command *c)
{
	const struct snp_cmd_feature_info *info = &c->feature_info;
	u32 registers[4] = {0};
	u32 status;

	if (info->length != sizeof(*info))
		return SEV_INVALID_PARAM;
	if (!IS_ALIGNED(info->address, 4) ||
	    (info->address & ~PAGE_MASK) + sizeof(registers) > PAGE_SIZE)
		return SEV_INVALID_ADDRESS;
	status = psp_writable(info->address, sizeof(registers));
	if (status)
		return status;
	if (info->ecx > 1)
		return SEV_INVALID_PARAM;
	if (info->ecx == 0) {
		registers[0] = 1;
		registers[1] = 1; /* the commands of SEV without SNP are there */
	} else {
		registers[0] = 0x107; /* CPUID, key, report, TSC_INFO */
	}
	return psp_copy_out(info->address, registers, sizeof(registers));
}
