/* SPDX-License-Identifier: BSD-2-Clause */
/* Makes a guest from a description, ready to be started. */
#ifndef GUESTS_ROOT_BUILD_H
#define GUESTS_ROOT_BUILD_H

#include "guests/root/image.h"

enum backing {
	BACKING_BOTH,	/* root frames for shared, pool frames for private pages */
	BACKING_SHARED, /* root frames only */
	BACKING_INPLACE,
};

struct build {
	u32 type;	/* enum septum_vm_type */
	u32 vcpus;	/* 0: 1 */
	u64 shared_bit; /* 0: none */
	u64 memory;	/* bytes, a multiple of 2 MiB */
	u64 flags;	/* SEPTUM_VM_* */
	enum backing backing;
	bool shared; /* start with all memory shared instead of private */
	u64 c_bit;   /* SEV, SEV-ES, SNP: number of the C-bit in page tables; else 0 */
};

/* RAX of vCPU n > 0 at its start; vCPU 0 has multiboot's magic number. */
#define BUILD_AP_MAGIC 0x53410000u

/* The VM with its memory, nothing loaded, no vCPU. `vm->pool` is the pool to be used. On error (a
 * sentence) a VM that was created is destroyed. */
const char *guest_create(struct vm *vm, const struct build *build);

/* Destroys a VM that could not be finished. */
void guest_abandon(struct vm *vm);

/* The same, with the image loaded and the vCPUs made. `vm->pool` is the pool to be used. On error
 * (a sentence) a VM that was created is destroyed. */
const char *guest_build(struct vm *vm, const struct build *build, struct image *image);

#endif
