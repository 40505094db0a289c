/* SPDX-License-Identifier: BSD-2-Clause */
/* The few functions that a freestanding compiler and its programs expect. As in ISO C. */
#ifndef GUESTS_LIB_STRING_H
#define GUESTS_LIB_STRING_H

#include "guests/lib/types.h"

void *memcpy(void *to, const void *from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
size_t strlen(const char *text);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t limit);

/* True when every byte of the range has this value. */
bool filled_with(const void *from, u8 value, size_t bytes);

/* Finds the word `name=value` (or the bare word `name`) in a command line; words are separated by
 * blanks, and a word `--` ends the search. Copies the value, cut to `size - 1`, with a 0 at the
 * end; the value of a bare word is "". False: it is not there. */
bool option_find(const char *line, const char *name, char *value, size_t size);

/* A decimal number, or hexadecimal after 0x, with an optional suffix K, M or G. False: it is none,
 * or it does not fit. */
bool number_parse(const char *text, u64 *number);

#endif
