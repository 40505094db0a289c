/* SPDX-License-Identifier: BSD-2-Clause */
/* A 5x7 font for the framebuffer, drawn for this project. */
#ifndef ARCH_X86_FONT_H
#define ARCH_X86_FONT_H

#include "kernel/types.h"

#define FONT_WIDTH  7
#define FONT_HEIGHT 16

/* The glyph of a character; that of '?' for what is not printable ASCII. */
const u8 *font_glyph(char c);

/* Is the dot at (x, y) of the FONT_WIDTH x FONT_HEIGHT cell set? */
bool font_dot(const u8 *glyph, u32 x, u32 y);

#endif
