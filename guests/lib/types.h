/* SPDX-License-Identifier: BSD-2-Clause */
/* Short names of the integer types, for everything in guests/. */
#ifndef GUESTS_LIB_TYPES_H
#define GUESTS_LIB_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;

#define PAGE_SIZE      4096ul
#define LARGE_SIZE     (512ul * PAGE_SIZE)
#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))

#endif
