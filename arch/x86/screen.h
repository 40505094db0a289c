/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine's screen: VGA text where the BIOS started us, the loader's framebuffer else. */
#ifndef ARCH_X86_SCREEN_H
#define ARCH_X86_SCREEN_H

#include "kernel/types.h"

/* Find the screen. Until screen_unmap() it is reached through the boot page tables. */
void screen_start(void);

/* The boot page tables go away: nothing is shown until screen_map(), which is boot only. */
void screen_unmap(void);
void screen_map(void);

/* Show one character; '\n' starts a new line. Without a screen, nothing. */
void screen_put(char c);

#endif
