/* SPDX-License-Identifier: BSD-2-Clause */
/* The root partition's program: the embedded manager, or the first module whose command line begins
 * with the word `root`. <septum/abi.h>, part 5, says what it finds.
 *
 * It is a static position-independent ELF64 file with no other relocations than R_X86_64_RELATIVE.
 */
#ifndef KERNEL_ROOT_IMAGE_H
#define KERNEL_ROOT_IMAGE_H

#include "kernel/types.h"

/* Puts the program, its page tables, its stack and its boot information into root memory, donates
 * the pool of the boot option `pool=`, and enters it. After own_seal(), with Septum's memory
 * claimed; fails with boot_fail(). */
_Noreturn void root_start(void);

#endif
