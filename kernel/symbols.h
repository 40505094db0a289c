/* SPDX-License-Identifier: BSD-2-Clause */
/* Names for addresses in Septum's text, from the table that the build embeds. */
#ifndef KERNEL_SYMBOLS_H
#define KERNEL_SYMBOLS_H

#include "kernel/types.h"

/* Find the function that contains `address`; false if it lies outside Septum's text. */
bool symbol_find(u64 address, const char **name, u64 *offset);

#endif
