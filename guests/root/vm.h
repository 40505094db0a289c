/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest as its manager sees it: pool, memory, rings. */
#ifndef GUESTS_ROOT_VM_H
#define GUESTS_ROOT_VM_H

#include "guests/lib/types.h"
#include "guests/root/hypercall.h"

struct vm {
	u64 id;
	u64 pool;
	u32 vcpus;
	u32 type;  /* enum septum_vm_type */
	u64 flags; /* SEPTUM_VM_* */
	u64 shared_bit;
	u64 ram_size;
	u64 slot; /* of the guest's memory, from address 0 */
	u8 *ram;  /* root frames: the guest's shared side, or all of it in place */
	volatile struct septum_ring *ring;
	volatile struct septum_event *events;
	volatile struct septum_completion *completions;
	u8 *payloads;
	u32 event_tail;
	u32 completion_head;
};

/* Takes root memory for the pool and donates it: `blocks` of 2 MiB. */
u64 pool_make(u64 blocks);
/* Donates `blocks` more. */
struct reply pool_refill(u64 pool, u64 blocks);
/* All frames of the pool are free. */
bool pool_whole(u64 pool);

/* Creates the VM with a ring area of its own; `vm->pool`, type, shared_bit and vcpus are set by the
 * caller. */
struct reply vm_create(struct vm *vm, u64 flags);
struct reply vm_destroy(struct vm *vm);
/* For a manager that begins anew: the first VM with an id from `from` on. False: there is none. Its
 * id, pool, type, shared_bit and vcpus are filled in. */
bool vm_find(struct vm *vm, u64 from);
/* Takes it over, with a new ring area. */
struct reply vm_adopt(struct vm *vm);
struct reply vcpu_set(struct vm *vm, u64 vcpu, u64 reg, u64 value);
u64 vm_counter(const struct vm *vm, enum septum_counter counter);

/* ATTR_SET over a range that may need several calls. */
struct reply attr_set(struct vm *vm, u64 gfn, u64 count, u64 attributes);
#define ATTR_RWX     (SEPTUM_ATTR_READ | SEPTUM_ATTR_WRITE | SEPTUM_ATTR_EXEC)
#define ATTR_PRIVATE (ATTR_RWX | SEPTUM_ATTR_PRIVATE)

/* Copies bytes to guest-physical memory, page by page, through MEM_LOAD. BUILDING only. */
struct reply mem_load(struct vm *vm, u64 gpa, const void *from, u64 bytes);

/* One call of RUN, after serving the root's own interrupts as long as it is interrupted. */
struct reply vm_run(struct vm *vm, u64 vcpu);

/* The same with RUN_UNTIL, until TSC `until` at the latest. */
struct reply vm_run_until(struct vm *vm, u64 vcpu, u64 until);

/* Takes the next event; false: there is none. */
bool event_take(struct vm *vm, struct septum_event *event);
/* The payload bytes of a vCPU. */
u8 *payload(struct vm *vm, u32 vcpu);
/* Writes a completion; the slot is where Septum will leave its status. */
u32 completion_put(struct vm *vm, const struct septum_completion *completion);
u32 completion_status(struct vm *vm, u32 slot);

#endif
