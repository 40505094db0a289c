/* SPDX-License-Identifier: BSD-2-Clause */
/* The vocabulary: fixed-width integers and addresses that do not mix.
 *
 * An address is a struct of one word, so that handing a guest-physical address
 * to a function that wants a host-physical one does not compile. Arithmetic is
 * done on `.n` where it is meant, and the result is named again.
 *
 *   pfn_t  host-physical frame number (4 KiB)      hpa_t  its byte address
 *   gfn_t  guest-physical page number (4 KiB)      gpa_t  its byte address
 *   gva_t  guest linear address
 *
 * gfn_t and gpa_t never carry the C-bit or the SHARED bit; an address as the
 * hardware reported it, bits and all, is a plain u64 named `raw_gpa`.
 */
#ifndef KERNEL_TYPES_H
#define KERNEL_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int16_t s16;
typedef int64_t s64;

typedef struct {
	u64 n;
} pfn_t;
typedef struct {
	u64 n;
} hpa_t;
typedef struct {
	u64 n;
} gfn_t;
typedef struct {
	u64 n;
} gpa_t;
typedef struct {
	u64 n;
} gva_t;

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096ul
#define PAGE_MASK  (~(PAGE_SIZE - 1))

/* Sizes of nested and guest leaves, as levels: 0 = 4 KiB, 1 = 2 MiB, 2 = 1 GiB. */
enum level { LEVEL_4K, LEVEL_2M, LEVEL_1G };
#define LEVEL_SHIFT(level) (9u * (unsigned)(level))    /* log2 of 4 KiB pages */
#define LEVEL_PAGES(level) (1ul << LEVEL_SHIFT(level)) /* 1, 512, 262144 */
#define BLOCK_PAGES	   512ul		       /* 4 KiB pages of a 2 MiB block */

static inline pfn_t pfn(u64 n)
{
	return (pfn_t){n};
}
static inline gfn_t gfn(u64 n)
{
	return (gfn_t){n};
}
static inline gpa_t gpa(u64 n)
{
	return (gpa_t){n};
}
static inline hpa_t hpa(u64 n)
{
	return (hpa_t){n};
}
static inline gva_t gva(u64 n)
{
	return (gva_t){n};
}
static inline hpa_t pfn_to_hpa(pfn_t p)
{
	return (hpa_t){p.n << PAGE_SHIFT};
}
static inline pfn_t hpa_to_pfn(hpa_t a)
{
	return (pfn_t){a.n >> PAGE_SHIFT};
}
static inline gpa_t gfn_to_gpa(gfn_t g)
{
	return (gpa_t){g.n << PAGE_SHIFT};
}
static inline gfn_t gpa_to_gfn(gpa_t a)
{
	return (gfn_t){a.n >> PAGE_SHIFT};
}

#define PFN_NONE ((pfn_t){~0ul})
static inline bool pfn_is_none(pfn_t p)
{
	return p.n == ~0ul;
}

#define ARRAY_COUNT(a)			(sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)			((a) < (b) ? (a) : (b))
#define MAX(a, b)			((a) > (b) ? (a) : (b))
#define BIT(n)				(1ul << (n))
#define ALIGN_DOWN(x, a)		((x) & ~((a)-1))
#define ALIGN_UP(x, a)			(((x) + (a)-1) & ~((a)-1))
#define IS_ALIGNED(x, a)		(((x) & ((a)-1)) == 0)
#define READ_ONCE(x)			(*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, val)		(*(volatile __typeof__(x) *)&(x) = (val))
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
