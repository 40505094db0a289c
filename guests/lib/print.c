/* SPDX-License-Identifier: BSD-2-Clause */
#include "guests/lib/print.h"
#include "guests/lib/string.h"

#include <stdarg.h>

struct field {
	unsigned width;
	bool left;
	char pad;
};

static void put_field(const char *text, size_t length, const struct field *f)
{
	size_t fill = f->width > length ? f->width - length : 0;

	for (size_t i = 0; !f->left && i < fill; i++)
		console_put(f->pad);
	for (size_t i = 0; i < length; i++)
		console_put(text[i]);
	for (size_t i = 0; f->left && i < fill; i++)
		console_put(' ');
}

static void put_number(u64 n, unsigned base, bool minus, const struct field *f)
{
	char text[24];
	size_t at = sizeof(text);

	do {
		text[--at] = "0123456789abcdef"[n % base];
		n /= base;
	} while (n);
	if (minus)
		text[--at] = '-';
	put_field(text + at, sizeof(text) - at, f);
}

/* One conversion; `c` is its letter. */
static void put_converted(char c, bool wide, const struct field *f, va_list *args)
{
	u64 n;
	s64 s;
	const char *text;
	char one;

	switch (c) {
	case 'c':
		one = (char)va_arg(*args, int);
		put_field(&one, 1, f);
		break;
	case 's':
		text = va_arg(*args, const char *);
		put_field(text, strlen(text), f);
		break;
	case 'd':
		s = wide ? va_arg(*args, long) : va_arg(*args, int);
		put_number(s < 0 ? 0 - (u64)s : (u64)s, 10, s < 0, f);
		break;
	case 'u':
	case 'x':
		n = wide ? va_arg(*args, unsigned long) : va_arg(*args, unsigned);
		put_number(n, c == 'x' ? 16 : 10, false, f);
		break;
	case 'p':
		put_number((u64)va_arg(*args, void *), 16, false, f);
		break;
	default:
		console_put(c);
		break;
	}
}

void print(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	for (; *format; format++) {
		struct field f = {.pad = ' '};
		bool wide = false;

		if (*format != '%') {
			console_put(*format);
			continue;
		}
		format++;
		for (; *format == '-' || *format == '0'; format++) {
			if (*format == '-')
				f.left = true;
			else
				f.pad = '0';
		}
		for (; *format >= '0' && *format <= '9'; format++)
			f.width = f.width * 10 + (unsigned)(*format - '0');
		for (; *format == 'l'; format++)
			wide = true;
		if (!*format)
			break;
		put_converted(*format, wide, &f, &args);
	}
	va_end(args);
}
