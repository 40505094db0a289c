/* SPDX-License-Identifier: BSD-2-Clause */
/* Contents of frames, through windows. */
#ifndef MM_PAGE_H
#define MM_PAGE_H

#include "kernel/types.h"
#include "mm/window.h"

static inline void words_fill(u64 *words, u64 value, u64 count)
{
	__asm__ volatile("rep stosq" : "+D"(words), "+c"(count) : "a"(value) : "memory");
}

/* value, value + step, ..; `count` is a multiple of 8. Written out: splits are the longest part of
 * the first conversion in a block. */
static inline void words_count(u64 *words, u64 value, u64 step, u64 count)
{
	for (u64 *end = words + count; words != end; words += 8) {
		words[0] = value;
		words[1] = value += step;
		words[2] = value += step;
		words[3] = value += step;
		words[4] = value += step;
		words[5] = value += step;
		words[6] = value += step;
		words[7] = value += step;
		value += step;
	}
}

static inline void page_zero_at(void *page)
{
	u64 count = PAGE_SIZE / 8;

	__asm__ volatile("rep stosq" : "+D"(page), "+c"(count) : "a"(0ul) : "memory");
}

static inline void bytes_copy(void *to, const void *from, u64 count)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

static inline void page_copy_at(void *to, const void *from)
{
	u64 count = PAGE_SIZE / 8;

	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

#endif
