/* SPDX-License-Identifier: BSD-2-Clause */
#include "guests/root/build.h"
#include "guests/lib/print.h"
#include "guests/root/machine.h"

#define MULTIBOOT_LOADER_MAGIC 0x2badb002u

static const char *refused(const char *what, struct reply r)
{
	print("root: %s: %s, argument %u, value 0x%lx\n", what, status_name(r.status), r.argument,
	      r.value);
	return what;
}

static const char *add_memory(struct vm *vm, const struct build *b)
{
	static const u64 flags[] = {
		[BACKING_BOTH] = SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE,
		[BACKING_SHARED] = SEPTUM_SLOT_SHARED,
		[BACKING_INPLACE] = SEPTUM_SLOT_INPLACE,
	};
	bool plain = b->type == SEPTUM_PLAIN;
	u64 pages = b->memory / PAGE_SIZE;
	struct reply r;

	vm->ram_size = b->memory;
	vm->ram = memory_take(b->memory, LARGE_SIZE);
	r = septum(SEPTUM_CALL_SLOT_ADD, vm->id, 0, pages, (u64)vm->ram / PAGE_SIZE,
		   plain ? SEPTUM_SLOT_SHARED : flags[b->backing]);
	if (r.status != SEPTUM_OK)
		return refused("Septum refuses the guest's memory", r);
	vm->slot = r.value;
	if (!b->shared && !plain) {
		r = attr_set(vm, 0, pages, ATTR_PRIVATE);
		if (r.status != SEPTUM_OK)
			return refused("Septum refuses the guest's attributes", r);
	}
	return NULL;
}

static const char *add_vcpus(struct vm *vm, const struct image *image)
{
	for (u32 i = 0; i < vm->vcpus; i++) {
		struct reply r = septum(SEPTUM_CALL_VCPU_CREATE, vm->id, i);
		u64 rax = i ? BUILD_AP_MAGIC + i : image->info ? MULTIBOOT_LOADER_MAGIC : 0;

		if (r.status == SEPTUM_OK)
			r = vcpu_set(vm, i, SEPTUM_REG_RIP, image->entry);
		if (r.status == SEPTUM_OK)
			r = vcpu_set(vm, i, SEPTUM_REG_RAX, rax);
		if (r.status == SEPTUM_OK)
			r = vcpu_set(vm, i, SEPTUM_REG_RAX + 3, image->info);
		if (r.status != SEPTUM_OK)
			return refused("Septum refuses a vCPU", r);
	}
	return NULL;
}

const char *guest_create(struct vm *vm, const struct build *b)
{
	const char *error;
	struct reply r;

	vm->type = b->type;
	vm->vcpus = b->vcpus ? b->vcpus : 1;
	vm->shared_bit = b->shared_bit;
	r = vm_create(vm, b->flags);
	if (r.status != SEPTUM_OK)
		return refused("Septum refuses the VM", r);
	error = add_memory(vm, b);
	if (error)
		guest_abandon(vm);
	return error;
}

void guest_abandon(struct vm *vm)
{
	vm_destroy(vm);
	vm->id = 0;
}

const char *guest_build(struct vm *vm, const struct build *b, struct image *image)
{
	const char *error = guest_create(vm, b);

	if (error)
		return error;
	error = image_load(vm, image);
	if (!error)
		error = add_vcpus(vm, image);
	if (error)
		guest_abandon(vm);
	return error;
}
