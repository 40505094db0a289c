/* SPDX-License-Identifier: BSD-2-Clause */
/* Detached vCPUs (design, section 5; docs/smp.md): each owns a guest CPU, which runs it, posts its
 * events and takes its verdicts from the ring without any exit of the root's.
 *
 * The calls are declared in kernel/vm.h. They are made on CPU 0, which alone gives CPUs away; it
 * holds no lock while it waits for one to come back.
 */
#ifndef KERNEL_DETACHED_H
#define KERNEL_DETACHED_H

#include "kernel/vcpu.h"

/* The work of a guest CPU: runs `vcpu` until its `leave` is set. */
void detached_run(void *vcpu);

#endif
