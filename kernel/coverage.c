/* SPDX-License-Identifier: BSD-2-Clause */
/* Built with COVERAGE=1 only. gcc's -fprofile-info-section lists the counters of each object file
 * between __gcov_info_start and __gcov_info_end; libgcov turns each into the content of a .gcda
 * file. They go to the debug port as text, one pair of lines for each object:
 *
 *	GCDA <path of the .gcda file>
 *	<content in hexadecimal>
 */
#include "kernel/coverage.h"

#ifdef COVERAGE

#include "arch/x86/io.h"
#include "kernel/panic.h"

#define DEBUG_PORT 0xe9

/* As gcc's gcov.h, which clang has not. */
struct gcov_info;
void __gcov_info_to_gcda(const struct gcov_info *info, void (*name)(const char *, void *),
			 void (*content)(const void *, unsigned, void *),
			 void *(*memory)(unsigned, void *), void *argument);

extern const struct gcov_info *const __gcov_info_start[];
extern const struct gcov_info *const __gcov_info_end[];

/* What libgcov refers to but does not call here. */
void __gcov_merge_add(void *counters, unsigned count);
void abort(void);
void *mmap(void);

void __gcov_merge_add(void *counters, unsigned count)
{
	(void)counters;
	(void)count;
}

void abort(void)
{
	panic("libgcov gave up");
}

void *mmap(void)
{
	panic("libgcov wants memory");
}

static void put_text(const char *text)
{
	for (; *text != '\0'; text++)
		out8(DEBUG_PORT, (u8)*text);
}

static void put_name(const char *name, void *unused)
{
	(void)unused;
	put_text("GCDA ");
	put_text(name);
	put_text("\n");
}

static void put_content(const void *data, unsigned size, void *unused)
{
	static const char digits[] = "0123456789abcdef";
	const u8 *bytes = data;

	(void)unused;
	for (unsigned i = 0; i < size; i++) {
		out8(DEBUG_PORT, (u8)digits[bytes[i] >> 4]);
		out8(DEBUG_PORT, (u8)digits[bytes[i] & 15]);
	}
}

static void *get_memory(unsigned size, void *unused)
{
	(void)unused;
	panic("libgcov wants %u bytes", size);
}

void coverage_dump(void)
{
	u64 count = ((u64)__gcov_info_end - (u64)__gcov_info_start) / sizeof(__gcov_info_start[0]);

	for (u64 i = 0; i < count; i++) {
		__gcov_info_to_gcda(__gcov_info_start[i], put_name, put_content, get_memory, NULL);
		put_text("\n");
	}
	put_text("GCDA-END\n");
}

#endif
