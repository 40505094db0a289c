/* SPDX-License-Identifier: BSD-2-Clause */
/* Between boot.S and C. */
#ifndef KERNEL_MAIN_H
#define KERNEL_MAIN_H

#include "kernel/types.h"

/* The first C function: loader's magic, its information and the image's place, all physical. */
_Noreturn void boot_main(u32 magic, u64 information, u64 image);

/* The first C function of another processor. */
_Noreturn void ap_main(void);

/* Run `next` on the stack that ends at `top`; the old one is not returned to. */
_Noreturn void boot_stack_switch(u64 top, void (*next)(void));

#endif
