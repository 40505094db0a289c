/* SPDX-License-Identifier: BSD-2-Clause */
/* VM 0: the root partition's vCPU, from Septum's own frames. */
#include "kernel/panic.h"
#include "kernel/vendor.h"
#include "kernel/vm.h"
#include "mm/window.h"

#define CR0_PE	  BIT(0)
#define CR0_ET	  BIT(4)
#define CR0_NE	  BIT(5)
#define CR0_WP	  BIT(16)
#define CR0_PG	  BIT(31)
#define CR4_PAE	  BIT(5)
#define EFER_LME  BIT(8)
#define EFER_LMA  BIT(10)
#define EFER_NXE  BIT(11)
#define FLAGS_SET BIT(1)

/* Access-rights words of flat 64-bit segments: SDM Vol. 3, 24.4.1. */
#define ACCESS_CODE64	0xa09bu
#define ACCESS_DATA	0xc093u
#define ACCESS_TSS	0x008bu
#define ACCESS_UNUSABLE 0x10000u

/* Taken by vm_reserve_root(). */
static struct {
	struct vm *vm;
	struct vcpu *vcpu;
	void *xsave;
	void *vendor[VCPU_VENDOR_PAGES_MAX];
} reserved;

static struct vm *root_vm;

struct vcpu *vm_root_vcpu(void)
{
	return root_vm ? root_vm->vcpus[0] : NULL;
}

static u64 pages(u64 bytes)
{
	return (bytes + PAGE_SIZE - 1) / PAGE_SIZE;
}

void vm_reserve_root(void)
{
	reserved.vm = own_alloc(pages(sizeof(struct vm)));
	reserved.vcpu = own_alloc(pages(sizeof(struct vcpu)));
	reserved.xsave = own_alloc(world_xsave_pages_root());
	for (unsigned i = 0; i < vendor->vcpu_pages; i++)
		reserved.vendor[i] = own_alloc(1);
}

struct vcpu *vm_create_root(u64 entry, u64 stack, u64 argument, u64 cr3)
{
	struct vm *vm = reserved.vm;
	struct vcpu *v = reserved.vcpu;
	struct vcpu_state state;

	ASSERT(vm);

	vm->vcpu_limit = 1;
	vm->state = VM_RUNNABLE;
	v->vm = vm;
	v->root = true;
	v->interrupt = -1;
	v->preempt_at = NEVER;
	for (unsigned i = 0; i < vendor->vcpu_pages; i++)
		v->vendor_pages[i] = reserved.vendor[i];
	world_init(&v->world, reserved.xsave, true);
	vendor->vcpu_init(v, v->vendor_pages);
	vendor->load(v);
	vendor->state_get(v, &state);
	state.rip = entry;
	state.rsp = stack;
	state.rflags = FLAGS_SET;
	state.cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	state.cr3 = cr3;
	state.cr4 = CR4_PAE;
	state.efer = EFER_LME | EFER_LMA | EFER_NXE;
	for (unsigned n = SEG_ES; n <= SEG_GS; n++)
		state.seg[n] = (struct segment_state){.limit = ~0u, .access = ACCESS_DATA};
	state.seg[SEG_CS].access = ACCESS_CODE64;
	state.seg[SEG_LDTR] = (struct segment_state){.access = ACCESS_UNUSABLE};
	state.seg[SEG_TR] = (struct segment_state){.limit = 0x67, .access = ACCESS_TSS};
	vendor->state_set(v, &state);
	v->gpr[RDI] = argument;
	vm->vcpus[0] = v;
	root_vm = vm;
	return v;
}
