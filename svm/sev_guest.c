/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest as the secure processor knows it: from VM_CREATE to VM_DESTROY (SEV API, 6 and 8.5 ff.;
 * SEV-SNP firmware ABI, 4.4, 8.10 ff.). */
#include "arch/x86/paging.h"
#include "kernel/object.h"
#include "kernel/print.h"
#include "kernel/string.h"
#include "kernel/vendor.h"
#include "mm/window.h"
#include "svm/sev.h"

#define POLICY_SEV_ES BIT(2)
#define POLICY_32     0xffffffffff000000ul /* what no SEV policy has; 23:16 API, 15:6 zero */

u64 sev_types(void)
{
	return (sev_features.sev ? BIT(SEPTUM_SEV) : 0) |
	       (sev_features.es ? BIT(SEPTUM_SEV_ES) : 0) |
	       (sev_features.snp ? BIT(SEPTUM_SNP) : 0);
}

u64 sev_info(void)
{
	if (sev_types() == 0)
		return 0;
	return sev_features.cbit | (sev_machine != &sev_hardware ? BIT(8) : 0) |
	       (u64)sev_features.snp_major << 24 | (u64)sev_features.snp_minor << 16;
}

static struct result refused(struct sev_guest *guest, u32 status)
{
	static struct ratelimit limit;

	guest->psp_status = status;
	if (status == PSP_POLICY_FAILURE || status == PSP_INVALID_PARAM)
		return (struct result){E_ARG, 5, 0};
	printk_limited(&limit, LOG_WARN, "SEV: the secure processor refuses a guest: status %x",
		       status);
	return (struct result){E_FIRMWARE, 0, status};
}

/* Activation, with the flush that it may want. */
static u32 activate(enum psp_command command, void *buffer, unsigned bytes)
{
	u32 status = psp_command(command, buffer, bytes);

	if ((status == PSP_DF_FLUSH_REQUIRED || status == PSP_WBINVD_REQUIRED) && asid_flush())
		status = psp_command(command, buffer, bytes);
	return status;
}

/* ---- SNP ---- */

struct snp_launch_start {
	u64 context, policy, migration;
	u32 flags, tsc_khz;
	u8 gosvw[16];
};
_Static_assert(sizeof(struct snp_launch_start) == 0x30, "SNP_LAUNCH_START");

struct snp_activate {
	u64 context;
	u32 asid;
} __attribute__((packed));

static u64 context_of(const struct sev_guest *guest)
{
	return pfn_to_hpa(object_pfn(guest->context)).n;
}

/* The context page, where it is no context (any more). */
static void context_end(struct vm *vm)
{
	struct sev_guest *guest = sev_guest(vm);

	if (guest->context == NULL)
		return;
	if (sev_rmp_release(object_pfn(guest->context), LEVEL_4K))
		object_give(vm->pool, guest->context);
	else
		object_lose(vm->pool, guest->context);
	guest->context = NULL;
	vm->objects--;
}

static struct result snp_create(struct vm *vm)
{
	struct sev_guest *guest = sev_guest(vm);
	struct snp_launch_start start = {.policy = guest->policy};
	struct snp_activate active = {.asid = guest->asid};
	enum status status = object_take(vm->pool, vm->id, &guest->context);
	u64 address;
	u32 answer;

	if (status != OK)
		return (struct result){status, 3, 0};
	vm->objects++;
	address = context_of(guest);
	answer = sev_rmp_firmware(hpa_to_pfn(hpa(address)), LEVEL_4K)
			 ? psp_command(PSP_SNP_GCTX_CREATE, &address, sizeof(address))
			 : (u32)PSP_NO_PAGE;
	if (answer != PSP_SUCCESS) {
		context_end(vm);
		return refused(guest, answer);
	}
	guest->stage = SEV_STAGE_LOADING;
	start.context = active.context = address;
	answer = psp_command(PSP_SNP_LAUNCH_START, &start, sizeof(start));
	if (answer != PSP_SUCCESS)
		return refused(guest, answer);
	answer = activate(PSP_SNP_ACTIVATE, &active, sizeof(active));
	if (answer != PSP_SUCCESS)
		return refused(guest, answer);
	return (struct result){OK, 0, 0};
}

static bool snp_end(struct vm *vm)
{
	struct sev_guest *guest = sev_guest(vm);
	u64 address;
	bool done;

	if (guest->stage == SEV_STAGE_NONE)
		return true;
	address = context_of(guest);
	done = psp_command(PSP_SNP_DECOMMISSION, &address, sizeof(address)) == PSP_SUCCESS;
	context_end(vm);
	return done;
}

/* ---- SEV, SEV-ES ---- */

struct sev_launch_start {
	u32 handle, policy;
	u64 certificate;
	u32 certificate_length, reserved0;
	u64 session;
	u32 session_length;
} __attribute__((packed));
_Static_assert(sizeof(struct sev_launch_start) == 0x24, "LAUNCH_START");

static struct result plain_create(struct vm *vm)
{
	struct sev_guest *guest = sev_guest(vm);
	struct sev_launch_start start = {.policy = (u32)guest->policy};
	struct {
		u32 handle, asid;
	} active = {0, guest->asid};
	u32 answer;

	answer = psp_command(PSP_SEV_LAUNCH_START, &start, sizeof(start));
	if (answer != PSP_SUCCESS)
		return refused(guest, answer);
	guest->handle = active.handle = start.handle;
	guest->stage = SEV_STAGE_LOADING;
	answer = activate(PSP_SEV_ACTIVATE, &active, sizeof(active));
	if (answer != PSP_SUCCESS)
		return refused(guest, answer);
	guest->activated = true;
	return (struct result){OK, 0, 0};
}

static bool plain_end(struct sev_guest *guest)
{
	u32 handle = guest->handle;
	bool done = true;

	if (guest->stage == SEV_STAGE_NONE)
		return true;
	if (guest->activated)
		done = psp_command(PSP_SEV_DEACTIVATE, &handle, sizeof(handle)) == PSP_SUCCESS;
	return psp_command(PSP_SEV_DECOMMISSION, &handle, sizeof(handle)) == PSP_SUCCESS && done;
}

/* ---- Both ---- */

static bool policy_fits(u8 type, u64 policy)
{
	if (type == SEPTUM_SNP)
		return true;
	return policy <= ~0u && !!(policy & POLICY_SEV_ES) == (type == SEPTUM_SEV_ES);
}

struct result sev_vm_create(struct vm *vm, u64 policy)
{
	struct result result;
	struct sev_guest *guest;
	void *object;
	enum status status;

	if (!policy_fits(vm->type, policy))
		return (struct result){E_ARG, 5, 0};
	status = object_take(vm->pool, vm->id, &object);
	if (status != OK)
		return (struct result){status, 3, 0};
	vm->objects++;
	guest = object;
	*guest = (struct sev_guest){.type = vm->type, .policy = policy};
	vm->sealed = guest;
	vm->memory.guard_context = guest;
	vm->memory.guard = vm->type == SEPTUM_SNP ? &sev_guard_ops : &sev_plain_guard_ops;
	guest->asid = asid_take(vm->type == SEPTUM_SEV);
	if (guest->asid == 0)
		result = (struct result){E_LIMIT, 0, 0};
	else
		result = vm->type == SEPTUM_SNP ? snp_create(vm) : plain_create(vm);
	if (result.status != OK)
		sev_vm_destroy(vm);
	return result;
}

void sev_vm_destroy(struct vm *vm)
{
	struct sev_guest *guest = sev_guest(vm);
	static struct ratelimit limit;
	bool done;

	if (guest == NULL)
		return;
	done = vm->type == SEPTUM_SNP ? snp_end(vm) : plain_end(guest);
	/* An ASID that the firmware still takes for somebody's is nobody else's. */
	if (done && guest->asid != 0)
		asid_give(guest->asid);
	if (!done)
		printk_limited(&limit, LOG_ERROR,
			       "SEV: the secure processor does not let a guest go; ASID %u is lost",
			       guest->asid);
	if (guest->id_auth != NULL) {
		object_give(vm->pool, guest->id_auth);
		vm->objects--;
	}
	vm->memory.guard = NULL;
	vm->sealed = NULL;
	object_give(vm->pool, guest);
	vm->objects--;
}

static unsigned sev_gpa_bits(void)
{
	return sev_features.cbit;
}

/* APM Vol. 3, appendix E, Fn8000_001F: what the guest has, and where its C-bit is. */
static void sev_cpuid(const struct vm *vm, u32 out[4])
{
	struct sev_cpuid id = sev_machine->cpuid();
	u32 has = (u32)BIT(1);

	if (vm->type != SEPTUM_SEV)
		has |= (u32)BIT(3);
	if (vm->type == SEPTUM_SNP)
		has |= (u32)BIT(4);
	has |= (u32)BIT(10); /* coherent across the C-bit */
	out[0] = id.eax & has;
	out[1] = id.ebx & ((u32)BIT(31) | 0xfff); /* and what it costs of the address */
}

const struct sealed_ops sev_ops = {
	.gpa_bits = sev_gpa_bits,
	.leaf = sev_cpuid,
	.types = sev_types,
	.info = sev_info,
	.vm_create = sev_vm_create,
	.vm_start = sev_vm_start,
	.vm_destroy = sev_vm_destroy,
	.page = sev_page,
	.measure = sev_measure,
	.secret = sev_secret,
	.id = sev_id,
	.request = sev_request,
};
