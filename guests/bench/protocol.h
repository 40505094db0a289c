/* SPDX-License-Identifier: BSD-2-Clause */
/* The rows of the table, and the ports by which the bench guest and its manager speak. */
#ifndef GUESTS_BENCH_PROTOCOL_H
#define GUESTS_BENCH_PROTOCOL_H

/* X(name, id in the table, operations in one sample) */
#define BENCH_ROWS(X)                                                                              \
	X(BRACKET, "bracket", 1)                                                                   \
	X(FLOOR, "floor", 1)                                                                       \
	X(CPUID, "cpuid", 1)                                                                       \
	X(HYPERCALL, "hypercall", 1)                                                               \
	X(PIO, "pio-manager", 1)                                                                   \
	X(REFUSED, "explicit-refused", 1)                                                          \
	X(FAULT, "nested-fault", 1)                                                                \
	X(IMPLICIT_P, "implicit-4k", 1)                                                            \
	X(IMPLICIT_S, "implicit-4k-to-shared", 1)                                                  \
	X(BATCH_P, "implicit-4k-batch16", 16)                                                      \
	X(BATCH_S, "implicit-4k-batch16-to-shared", 16)                                            \
	X(PAGE_P, "explicit-4k-to-private", 1)                                                     \
	X(PAGE_S, "explicit-4k-to-shared", 1)                                                      \
	X(FIRST_P, "explicit-4k-first-to-private", 1)                                              \
	X(FIRST_S, "explicit-4k-first-to-shared", 1)                                               \
	X(BLOCK_P, "explicit-2m-to-private", 1)                                                    \
	X(BLOCK_S, "explicit-2m-to-shared", 1)                                                     \
	X(SCATTERED_P, "explicit-2m-scattered-to-private", 1)                                      \
	X(SCATTERED_S, "explicit-2m-scattered-to-shared", 1)                                       \
	X(LARGE_P, "explicit-64m-to-private", 1)                                                   \
	X(LARGE_S, "explicit-64m-to-shared", 1)                                                    \
	X(ATTRIBUTE_P, "attribute-page-to-private", 256)                                           \
	X(ATTRIBUTE_S, "attribute-page-to-shared", 256)                                            \
	X(TIMER, "timer", 1)

enum bench_row {
#define X(name, id, operations) BENCH_##name,
	BENCH_ROWS(X)
#undef X
		BENCH_ROW_COUNT
};

#define BENCH_SAMPLES	    200u
#define BENCH_SAMPLES_LARGE 20u
#define BENCH_SAMPLES_MAX   256u
#define BENCH_BATCH	    16u /* vCPUs 1..16 */

#define PORT_PING   0x510u /* OUT 32: answered at once */
#define PORT_BEGIN  0x514u /* OUT 32: a sample of this row begins, */
#define PORT_SAMPLE 0x518u /* OUT 32: .. and took so many ticks */
#define PORT_BATCH  0x51cu /* OUT 32: the other vCPUs may run; vCPU 0 is done */

#define BENCH_MEMORY	   (112ul << 20)
#define BENCH_TIMER_MEMORY (4ul << 20)
#define BENCH_SMALL	   0x1000000ul /* pages of a block that is never uniform */
#define BENCH_BLOCK	   0x1200000ul
#define BENCH_BARE	   0x1400000ul /* never touched */
#define BENCH_BATCH_AREA   0x1600000ul /* a page for each vCPU */
#define BENCH_REFUSED_PAGE 0x1800000ul /* requests for this page are refused */
#define BENCH_LARGE	   0x2000000ul
#define BENCH_LARGE_BYTES  (64ul << 20)

#endif
