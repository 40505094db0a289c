/* SPDX-License-Identifier: BSD-2-Clause */
/* The launch image: what the manager gives a guest before it starts, measured and encrypted by the
 * secure processor (SEV API, 6.3 to 6.7; SEV-SNP firmware ABI, 8.17, 8.18). */
#include "arch/x86/paging.h"
#include "kernel/cpuid.h"
#include "kernel/object.h"
#include "kernel/print.h"
#include "kernel/string.h"
#include "mm/page.h"
#include "mm/window.h"
#include "svm/sev.h"
#include "svm/sev_vcpu.h"
#include "svm/vmsa.h"

#define PAGE_NORMAL 1u /* page types of LAUNCH_UPDATE, beside those of <septum/abi.h> */
#define PAGE_VMSA   2u

/* ---- Commands ---- */

struct snp_launch_update {
	u64 context;
	u32 size_type; /* bit 0: 2 MiB, 3:1 type */
	u32 reserved0;
	u64 page;
	u8 reserved1, vmpl1, vmpl2, vmpl3;
	u32 reserved2;
};
_Static_assert(sizeof(struct snp_launch_update) == 0x20, "SNP_LAUNCH_UPDATE");

struct snp_launch_finish {
	u64 context, id_block, id_auth;
	u32 flags; /* 0: ID block, 1: author key */
	u32 reserved;
	u8 host_data[32];
};
_Static_assert(sizeof(struct snp_launch_finish) == 0x40, "SNP_LAUNCH_FINISH");

struct sev_update {
	u32 handle, reserved;
	u64 address;
	u32 length;
} __attribute__((packed));
_Static_assert(sizeof(struct sev_update) == 0x14, "LAUNCH_UPDATE_DATA, _VMSA, MEASURE");

struct sev_launch_secret {
	u32 handle, reserved0;
	u64 header;
	u32 header_length, reserved1;
	u64 guest;
	u32 guest_length, reserved2;
	u64 packet;
	u32 packet_length;
} __attribute__((packed));
_Static_assert(sizeof(struct sev_launch_secret) == 0x34, "LAUNCH_UPDATE_SECRET");

static struct result no(enum status status, u8 argument)
{
	return (struct result){status, argument, 0};
}

static struct result firmware(struct sev_guest *guest, u32 status)
{
	if (status == PSP_SUCCESS)
		return (struct result){OK, 0, 0};
	guest->psp_status = status;
	return (struct result){E_FIRMWARE, 0, status};
}

/* A hypervisor's page becomes the guest's at `gpa`, by the firmware. On failure it is the
 * hypervisor's again, with what the firmware has left there, or E_BROKEN: it is nobody's. */
static enum status snp_update(struct sev_guest *guest, pfn_t p, u64 gpa, unsigned type)
{
	struct snp_launch_update update = {
		.context = pfn_to_hpa(object_pfn(guest->context)).n,
		.size_type = type << 1,
		.page = pfn_to_hpa(p).n,
	};
	u32 status;

	if (!sev_rmp_assign(p, LEVEL_4K, gpa, guest->asid, true)) {
		guest->psp_status = PSP_NO_PAGE;
		return E_FIRMWARE;
	}
	status = psp_command(PSP_SNP_LAUNCH_UPDATE, &update, sizeof(update));
	if (status == PSP_SUCCESS)
		return OK;
	guest->psp_status = status;
	if (!sev_rmp_release(p, LEVEL_4K))
		return E_BROKEN;
	return status == PSP_INVALID_PARAM ? E_ARG : E_FIRMWARE;
}

/* A command that writes to the guest's page `p`. Where pages have owners, it is the firmware's
 * meanwhile. E_BROKEN: it still is. */
static enum status firmware_page(struct sev_guest *guest, enum psp_command command, void *buffer,
				 unsigned bytes, pfn_t p)
{
	if (sev_features.snp && !sev_rmp_firmware(p, LEVEL_4K)) {
		guest->psp_status = PSP_NO_PAGE;
		return E_FIRMWARE;
	}
	guest->psp_status = psp_command(command, buffer, bytes);
	if (sev_features.snp && !sev_rmp_release(p, LEVEL_4K)) {
		guest->broken = true;
		return E_BROKEN;
	}
	return guest->psp_status == PSP_SUCCESS ? OK : E_FIRMWARE;
}

static enum status plain_update(struct sev_guest *guest, enum psp_command command, pfn_t p)
{
	struct sev_update update = {guest->handle, 0, pfn_to_hpa(p).n, PAGE_SIZE};

	return firmware_page(guest, command, &update, sizeof(update), p);
}

enum status sev_launch(struct memory *mem, pfn_t p, u64 g, unsigned kind)
{
	struct sev_guest *guest = mem->guard_context;

	if (guest->stage != SEV_STAGE_LOADING)
		return E_STATE;
	if (guest->type == SEPTUM_SNP)
		return snp_update(guest, p, gfn_to_gpa(gfn(g)).n,
				  kind == GUARD_LAUNCH_DATA ? PAGE_NORMAL : kind);
	return plain_update(guest, PSP_SEV_LAUNCH_UPDATE_DATA, p);
}

/* ---- Registers ---- */

static void vmsa_fill(const struct vcpu *v, struct vmsa *to)
{
	const struct vmcb_save *from = &v->vendor->vmcb->save;

	memset(to, 0, sizeof(*to));
	to->es = from->es;
	to->cs = from->cs;
	to->ss = from->ss;
	to->ds = from->ds;
	to->fs = from->fs;
	to->gs = from->gs;
	to->gdtr = from->gdtr;
	to->ldtr = from->ldtr;
	to->idtr = from->idtr;
	to->tr = from->tr;
	to->cpl = from->cpl;
	to->efer = from->efer;
	to->cr0 = from->cr0;
	to->cr2 = from->cr2;
	to->cr3 = from->cr3;
	to->cr4 = from->cr4;
	to->dr6 = from->dr6;
	to->dr7 = from->dr7;
	to->rflags = from->rflags;
	to->rip = from->rip;
	to->rsp = from->rsp;
	to->pat = from->pat;
	to->rax = v->gpr[RAX];
	to->rcx = v->gpr[RCX];
	to->rdx = v->gpr[RDX];
	to->rbx = v->gpr[RBX];
	to->rbp = v->gpr[RBP];
	to->rsi = v->gpr[RSI];
	to->rdi = v->gpr[RDI];
	memcpy(to->r8_15, &v->gpr[R8], sizeof(to->r8_15));
	to->xcr0 = 1;
	to->mxcsr = 0x1f80;
	to->fcw = 0x37f;
	to->sev_features = v->vm->type == SEPTUM_SNP ? VMSA_SNP : 0;
}

/* Processors with an erratum take a VMSA at the start of a 2 MiB block for one of 2 MiB. */
static enum status vmsa_take(struct vm *vm, void **page)
{
	enum status status = object_take(vm->pool, vm->id, page);
	void *first = *page;

	if (status != OK || object_pfn(first).n % BLOCK_PAGES != 0)
		return status;
	status = object_take(vm->pool, vm->id, page);
	object_give(vm->pool, first);
	return status;
}

enum status sev_vmsa_launch(struct vcpu *v)
{
	struct vm *vm = v->vm;
	struct sev_guest *guest = sev_guest(vm);
	struct sev_vcpu *s = v->vendor->sev;
	enum status status;
	void *page;

	if (s->vmsa != NULL)
		return OK;
	status = vmsa_take(vm, &page);
	if (status != OK)
		return status;
	vmsa_fill(v, page);
	if (vm->type == SEPTUM_SNP)
		status = snp_update(guest, object_pfn(page), VMSA_GPA, PAGE_VMSA);
	else
		status = plain_update(guest, PSP_SEV_LAUNCH_UPDATE_VMSA, object_pfn(page));
	if (status == E_BROKEN) {
		object_lose(vm->pool, page);
		return E_FIRMWARE;
	}
	if (status != OK) {
		object_give(vm->pool, page);
		return status == E_ARG ? E_FIRMWARE : status;
	}
	vm->objects++;
	s->vmsa = page;
	sev_vcpu_sealed(v, pfn_to_hpa(object_pfn(page)));
	return OK;
}

void sev_vmsa_end(struct vcpu *v)
{
	struct vm *vm = v->vm;
	struct sev_vcpu *s = v->vendor->sev;

	if (s == NULL || s->vmsa == NULL)
		return;
	if (vm->type != SEPTUM_SNP || sev_rmp_release(object_pfn(s->vmsa), LEVEL_4K))
		object_give(vm->pool, s->vmsa);
	else
		object_lose(vm->pool, s->vmsa);
	s->vmsa = NULL;
	vm->objects--;
}

static struct result vmsas_launch(struct vm *vm)
{
	struct sev_guest *guest = sev_guest(vm);

	for (u32 i = 0; i < vm->vcpu_limit && sev_is_sealed(vm->type); i++) {
		enum status status = OK;

		if (vm->vcpus[i] != NULL)
			status = sev_vmsa_launch(vm->vcpus[i]);
		if (status != OK)
			return (struct result){status, 0,
					       status == E_FIRMWARE ? guest->psp_status : 0};
	}
	return (struct result){OK, 0, 0};
}

/* ---- The end of the launch ---- */

static u32 snp_finish(struct sev_guest *guest)
{
	struct snp_launch_finish finish = {.context = pfn_to_hpa(object_pfn(guest->context)).n};
	u32 author = 0;

	if (guest->id_set)
		memcpy(finish.host_data, guest->host_data, sizeof(finish.host_data));
	if (guest->id_block) {
		memcpy(&author, (u8 *)guest->id_auth + 0x880, sizeof(author));
		finish.flags = 1u | (author != 0 ? 2u : 0);
		finish.id_block = pfn_to_hpa(object_pfn(guest)).n + offsetof(struct sev_guest, id);
		finish.id_auth = pfn_to_hpa(object_pfn(guest->id_auth)).n;
	}
	return psp_command(PSP_SNP_LAUNCH_FINISH, &finish, sizeof(finish));
}

/* The measurement is 48 bytes. */
static u32 plain_measure(struct sev_guest *guest, u8 *measurement)
{
	struct sev_update measure = {guest->handle, 0, 0, 48};
	u32 status = psp_command_out(PSP_SEV_LAUNCH_MEASURE, &measure, sizeof(measure),
				     offsetof(struct sev_update, address), measurement, 48);
	if (status == PSP_SUCCESS)
		guest->stage = SEV_STAGE_MEASURED;
	return status;
}

struct result sev_vm_start(struct vm *vm)
{
	struct sev_guest *guest = sev_guest(vm);
	u8 measurement[48];
	u32 handle = guest->handle, status = PSP_SUCCESS;
	struct result result = vmsas_launch(vm);

	if (result.status != OK)
		return result;
	if (vm->type == SEPTUM_SNP) {
		status = snp_finish(guest);
	} else {
		/* The firmware ends a launch only after it has been measured. */
		if (guest->stage == SEV_STAGE_LOADING)
			status = plain_measure(guest, measurement);
		if (status == PSP_SUCCESS)
			status = psp_command(PSP_SEV_LAUNCH_FINISH, &handle, sizeof(handle));
	}
	if (status == PSP_SUCCESS)
		guest->stage = SEV_STAGE_RUNNING;
	return firmware(guest, status);
}

/* ---- Calls ---- */

/* One page on its way to a guest or back, for one call at a time. */
static struct spinlock page_lock = SPINLOCK(RANK_CALL);
static u8 page_buffer[PAGE_SIZE] __attribute__((aligned(8)));

/* The argument to blame for what memory_launch() says. */
static u8 blame(enum status status)
{
	switch (status) {
	case E_ALIGN:
	case E_RANGE:
	case E_NO_SLOT:
	case E_EXISTS:
	case E_UNSUPPORTED:
		return 2;
	case E_ARG:
		return 3;
	default:
		return 0;
	}
}

static struct result page_launch(struct vm *vm, u64 g, u64 root_page, u64 type)
{
	struct sev_guest *guest = sev_guest(vm);
	bool fill = type == SEPTUM_SEV_PAGE_CPUID && root_page == 0;
	enum status status;

	memset(page_buffer, 0, sizeof(page_buffer));
	if (root_page != 0) {
		status = root_read(pfn_to_hpa(pfn(root_page)), page_buffer, PAGE_SIZE);
		if (status != OK)
			return no(status, 3);
	}
	if (fill)
		sev_cpuid_table(vm->vcpus[0], page_buffer);
	status = memory_launch(&vm->memory, gfn(g), page_buffer, (unsigned)type);
	/* The firmware has put there what it takes in its place. */
	if (status == E_ARG && fill)
		status = memory_launch(&vm->memory, gfn(g), page_buffer, (unsigned)type);
	if (status == E_ARG && root_page != 0)
		(void)root_write(pfn_to_hpa(pfn(root_page)), page_buffer, PAGE_SIZE);
	return (struct result){status, blame(status), status == E_FIRMWARE ? guest->psp_status : 0};
}

struct result sev_page(struct vm *vm, u64 g, u64 root_page, u64 type)
{
	struct result result;

	if (vm->type != SEPTUM_SNP)
		return no(E_UNSUPPORTED, 1);
	if (type < SEPTUM_SEV_PAGE_ZERO || type > SEPTUM_SEV_PAGE_CPUID)
		return no(E_ARG, 4);
	if (root_page != 0 && type != SEPTUM_SEV_PAGE_UNMEASURED && type != SEPTUM_SEV_PAGE_CPUID)
		return no(E_ARG, 3);
	if (root_page == 0 && type == SEPTUM_SEV_PAGE_UNMEASURED)
		return no(E_ARG, 3);
	if (root_page == 0 && type == SEPTUM_SEV_PAGE_CPUID && vm->vcpus[0] == NULL)
		return no(E_NO_VCPU, 1);
	spin_lock(&page_lock);
	result = page_launch(vm, g, root_page, type);
	spin_unlock(&page_lock);
	return result;
}

struct result sev_measure(struct vm *vm, u64 root_page)
{
	struct sev_guest *guest = sev_guest(vm);
	u8 measurement[48];
	struct result result;
	enum status status;

	if (vm->type == SEPTUM_SNP)
		return no(E_UNSUPPORTED, 1);
	if (guest->stage != SEV_STAGE_LOADING)
		return no(E_STATE, 1);
	/* Before anything that cannot be undone. */
	memset(measurement, 0, sizeof(measurement));
	status = root_write(pfn_to_hpa(pfn(root_page)), measurement, sizeof(measurement));
	if (status != OK)
		return no(status, 2);
	result = vmsas_launch(vm);
	if (result.status != OK)
		return result;
	result = firmware(guest, plain_measure(guest, measurement));
	if (result.status == OK)
		(void)root_write(pfn_to_hpa(pfn(root_page)), measurement, sizeof(measurement));
	return result;
}

#define SECRET_HEADER 52u
#define SECRET_AT     64u

static struct result secret_send(struct vm *vm, u64 g, u64 bytes)
{
	struct sev_guest *guest = sev_guest(vm);
	pfn_t p;
	enum status status = memory_private_frame(&vm->memory, gfn(g), &p);
	struct sev_launch_secret secret = {
		.handle = guest->handle,
		.header_length = SECRET_HEADER,
		.guest_length = (u32)bytes,
		.packet_length = (u32)bytes,
	};
	u64 at = paging_image_pa(page_buffer).n;

	if (status != OK)
		return no(status, 2);
	secret.header = at;
	secret.packet = at + SECRET_AT;
	secret.guest = pfn_to_hpa(p).n;
	status = firmware_page(guest, PSP_SEV_LAUNCH_UPDATE_SECRET, &secret, sizeof(secret), p);
	if (status == OK)
		return no(OK, 0);
	return (struct result){E_FIRMWARE, 0, guest->psp_status};
}

struct result sev_secret(struct vm *vm, u64 g, u64 root_page, u64 bytes)
{
	struct result result;
	enum status status;

	if (vm->type == SEPTUM_SNP)
		return no(E_UNSUPPORTED, 1);
	if (sev_guest(vm)->stage != SEV_STAGE_MEASURED)
		return no(E_STATE, 1);
	if (bytes == 0 || bytes % 16 != 0 || bytes > PAGE_SIZE - SECRET_AT)
		return no(E_RANGE, 4);
	spin_lock(&page_lock);
	status = root_read(pfn_to_hpa(pfn(root_page)), page_buffer, PAGE_SIZE);
	result = status == OK ? secret_send(vm, g, bytes) : no(status, 3);
	spin_unlock(&page_lock);
	return result;
}

struct result sev_id(struct vm *vm, u64 root_page, u64 auth_page)
{
	struct sev_guest *guest = sev_guest(vm);
	enum status status;
	u8 data[160];

	if (vm->type != SEPTUM_SNP)
		return no(E_UNSUPPORTED, 1);
	status = root_read(pfn_to_hpa(pfn(root_page)), data, sizeof(data));
	if (status != OK)
		return no(status, 2);
	if (auth_page != 0 && guest->id_auth == NULL) {
		status = object_take(vm->pool, vm->id, &guest->id_auth);
		if (status != OK)
			return no(status, 0);
		vm->objects++;
	}
	if (auth_page != 0) {
		status = root_read(pfn_to_hpa(pfn(auth_page)), guest->id_auth, PAGE_SIZE);
		if (status != OK)
			return no(status, 3);
	}
	memcpy(guest->id, data, sizeof(guest->id));
	memcpy(guest->host_data, data + 128, sizeof(guest->host_data));
	guest->id_set = true;
	guest->id_block = auth_page != 0;
	return no(OK, 0);
}
