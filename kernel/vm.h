/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtual machine: its memory, its vCPUs, its rings.
 *
 * The structure lies in frames of the guest's own pool (state OBJECT). VM 0 is the root partition
 * and has neither pool nor rings.
 *
 * Lock order: kernel/lock_order.h. The ring lock is not held while a verdict is applied, for that
 * may post the next event; the state of the vCPU's slot keeps a second verdict away meanwhile.
 */
#ifndef KERNEL_VM_H
#define KERNEL_VM_H

#include "kernel/ring.h"
#include "kernel/spinlock.h"
#include "kernel/vcpu.h"
#include "mm/memory.h"

enum vm_state { VM_BUILDING, VM_RUNNABLE, VM_DYING };

struct vm {
	u16 id;
	u8 type;   /* enum septum_vm_type */
	u8 state;  /* enum vm_state */
	u32 flags; /* SEPTUM_VM_* */
	u32 vcpu_limit;
	u32 next_run;	   /* round robin of RUN(ALL): the first to be looked at */
	bool started;	   /* it has been RUNNABLE */
	u8 doorbell;	   /* vector for the root's events of detached vCPUs, or 0 */
	u32 events_posted; /* ever, runs freely */
	bool sleeping;	   /* RUN sleeps: whoever wakes an attached vCPU kicks CPU 0 */
	u64 answered;	   /* by vCPU: its slot is SLOT_ANSWERED. Under the ring lock */
	struct pool *pool;
	struct memory memory;
	struct ring ring;
	u64 counters[SEPTUM_COUNTER_END]; /* those that belong to no vCPU */
	u64 objects;			  /* OBJECT frames */
	pfn_t ring_first;		  /* of the ring area */
	void *sealed;			  /* the vendor's, for types of vendor->sealed */
	struct vcpu *vcpus[SEPTUM_MAX_VCPUS];
};

/* The types that can be made here: bit n: enum septum_vm_type n. */
u64 vm_types(void);

/* Width of guest-physical addresses on this machine. */
unsigned vm_gpa_bits(void);

/* NULL: there is none, or (dying allowed only when `dying`) it is being destroyed. */
struct vm *vm_by_id(u64 id, bool dying);
struct vcpu *vcpu_by_index(struct vm *vm, u64 index);

/* RUN may enter it: it waits for nothing, or what ends its halt has come. */
bool vcpu_runnable(const struct vcpu *v);
/* Gives back what the vCPUs hold. None of them runs. */
void vcpus_destroy(struct vm *vm);

/* Root frame numbers given by the manager are below this. */
#define PFN_LIMIT BIT(40)

/* The SEPTUM_CALL_VM_* and _VCPU_* calls of <septum/abi.h>, arguments as there. */
struct result {
	enum status status;
	u8 argument; /* the argument to blame, 1..6, or 0 */
	u64 value;
};
struct result vm_create(u64 type, u64 flags, u64 pool, u64 vcpus, u64 shared_bit, u64 ring);
struct result vm_destroy(u64 id);
struct result vm_start(u64 id);
struct result vm_find(u64 id);
struct result vm_adopt(u64 id, u64 first);
struct result vm_counter(u64 id, u64 index, u64 counter);
struct result vcpu_create(u64 id, u64 index);
struct result vcpu_set(u64 id, u64 index, u64 reg, u64 value);
struct result vcpu_info(u64 id, u64 index);
struct result vcpu_interrupt(u64 id, u64 index, u64 vector);
struct result vm_run(u64 id, u64 index);
struct result vm_run_until(u64 id, u64 index, u64 until);

/* kernel/adopt.c: a ring area, pinned and mapped; only the page pointers of `ring` are used.
 * E_NOT_ROOT, E_LIMIT. */
enum status ring_area_attach(struct ring *ring, u32 vcpus, pfn_t first);
void ring_area_detach(struct ring *ring, u32 vcpus, pfn_t first);

/* kernel/detached.c */
struct result vcpu_detach(u64 id, u64 index, u64 cpu);
struct result vcpu_attach(u64 id, u64 index);
struct result vm_doorbell(u64 id, u64 vector);
/* All vCPUs of the VM have left their CPUs. */
void vcpus_attach(struct vm *vm);
/* Interrupts the root. */
void doorbell_ring(u8 vector);

/* Any call of <septum/abi.h>, with its six arguments, whoever makes it (root_call() has checked).
 */
struct result hypercall(u64 number, const u64 *arg);
/* "VM_CREATE" and so on; NULL: there is no such call. */
const char *hypercall_name(u64 number);

/* Takes the frames of VM 0 by own_alloc(): after world_setup() and the choice of the vendor, before
 * memory_setup(). */
void vm_reserve_root(void);

/* Makes VM 0 and its vCPU from Septum's own frames; `entry`, `stack`, `argument` (rdi) and page
 * tables `cr3` are addresses in root memory. */
struct vcpu *vm_create_root(u64 entry, u64 stack, u64 argument, u64 cr3);
/* The root's vCPU of this CPU; NULL before vm_create_root(). */
struct vcpu *vm_root_vcpu(void);

#endif
