/* SPDX-License-Identifier: BSD-2-Clause */
#include "guests/lib/string.h"

void *memcpy(void *to, const void *from, size_t bytes)
{
	void *start = to;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
	return start;
}

void *memmove(void *to, const void *from, size_t bytes)
{
	u8 *d = to;
	const u8 *s = from;

	if ((uintptr_t)to - (uintptr_t)from >= bytes)
		return memcpy(to, from, bytes);
	while (bytes--)
		d[bytes] = s[bytes];
	return to;
}

void *memset(void *to, int value, size_t bytes)
{
	void *at = to;
	size_t words = bytes / 8;
	size_t rest = bytes % 8;
	u64 word = 0x0101010101010101ul * (u8)value;

	__asm__ volatile("rep stosq" : "+D"(at), "+c"(words) : "a"(word) : "memory");
	__asm__ volatile("rep stosb" : "+D"(at), "+c"(rest) : "a"(word) : "memory");
	return to;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
	const u8 *x = a;
	const u8 *y = b;

	for (; bytes; bytes--, x++, y++)
		if (*x != *y)
			return *x < *y ? -1 : 1;
	return 0;
}

size_t strlen(const char *text)
{
	size_t n = 0;

	while (text[n])
		n++;
	return n;
}

int strncmp(const char *a, const char *b, size_t limit)
{
	for (; limit; limit--, a++, b++) {
		if (*a != *b)
			return (u8)*a < (u8)*b ? -1 : 1;
		if (!*a)
			break;
	}
	return 0;
}

int strcmp(const char *a, const char *b)
{
	return strncmp(a, b, SIZE_MAX);
}

bool filled_with(const void *from, u8 value, size_t bytes)
{
	const u8 *at = from;
	u64 word = 0x0101010101010101ul * value;

	for (; bytes && (uintptr_t)at % 8; at++, bytes--)
		if (*at != value)
			return false;
	for (; bytes >= 8; at += 8, bytes -= 8)
		if (*(const u64 *)(const void *)at != word)
			return false;
	for (; bytes; at++, bytes--)
		if (*at != value)
			return false;
	return true;
}

bool option_find(const char *line, const char *name, char *value, size_t size)
{
	size_t length = strlen(name);

	while (*line) {
		size_t word = 0;
		size_t n = 0;

		while (*line == ' ')
			line++;
		while (line[word] && line[word] != ' ')
			word++;
		if (word == 2 && line[0] == '-' && line[1] == '-')
			return false;
		if (word >= length && strncmp(line, name, length) == 0 &&
		    (word == length || line[length] == '=')) {
			const char *from = line + length + (word > length);

			while (from + n < line + word && n + 1 < size) {
				value[n] = from[n];
				n++;
			}
			value[n] = 0;
			return true;
		}
		line += word;
	}
	return false;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 99;
}

bool number_parse(const char *text, u64 *number)
{
	unsigned base = 10;
	unsigned shift = 0;
	u64 n = 0;
	bool any = false;

	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		base = 16;
		text += 2;
	}
	for (; digit(*text) < (int)base; text++, any = true) {
		if (n > (UINT64_MAX - 15) / base)
			return false;
		n = n * base + (u64)digit(*text);
	}
	switch (*text) {
	case 'K':
		shift = 10;
		break;
	case 'M':
		shift = 20;
		break;
	case 'G':
		shift = 30;
		break;
	default:
		break;
	}
	if (shift)
		text++;
	if (!any || *text || (n << shift) >> shift != n)
		return false;
	*number = n << shift;
	return true;
}
