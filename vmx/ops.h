/* SPDX-License-Identifier: BSD-2-Clause */
/* The operations of vmx_ops (kernel/vendor.h) that do not live in vmx.c. */
#ifndef VMX_OPS_H
#define VMX_OPS_H

#include "kernel/vendor.h"

const char *vmx_cpu_enable(void);
void vmx_cpu_disable(void);

#endif
