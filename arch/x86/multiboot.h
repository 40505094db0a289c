/* SPDX-License-Identifier: BSD-2-Clause */
/* The two multiboot protocols, as far as Septum reads them. */
#ifndef ARCH_X86_MULTIBOOT_H
#define ARCH_X86_MULTIBOOT_H

#include "kernel/boot_info.h"

/* Fill boot_info from what the loader left at physical `address`, which must still be mapped one
 * to one. Returns NULL, or a sentence that says what was wrong with it. */
const char *multiboot_read(u32 magic, u64 address, u64 image, u64 image_size);

#endif
