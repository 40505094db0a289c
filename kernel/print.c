/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/print.h"
#include "kernel/console.h"
#include "kernel/string.h"

#define LINE_SIZE  256
#define LINE_EXTRA 16 /* what stands before it, and the newline */

enum log_level log_level = LOG_INFO;

struct output {
	char *to;
	size_t size;
	size_t length; /* what it would be without the limit */
};

struct conversion {
	bool left;
	bool zero;
	bool upper;
	unsigned width;
	size_t precision;
};

static void put(struct output *out, char c)
{
	if (out->length + 1 < out->size)
		out->to[out->length] = c;
	out->length++;
}

static void put_text(struct output *out, const char *text, size_t length,
		     const struct conversion *c)
{
	size_t pad = length < c->width ? c->width - length : 0;

	if (!c->left)
		for (; pad != 0; pad--)
			put(out, ' ');
	for (size_t i = 0; i < length; i++)
		put(out, text[i]);
	for (; pad != 0; pad--)
		put(out, ' ');
}

static void put_number(struct output *out, u64 value, bool negative, unsigned base,
		       struct conversion *c)
{
	char digits[24];
	size_t start = sizeof(digits);
	const char *alphabet = c->upper ? "0123456789ABCDEF" : "0123456789abcdef";

	do {
		digits[--start] = alphabet[value % base];
		value /= base;
	} while (value != 0);

	if (c->zero && !c->left) {
		if (negative)
			put(out, '-');
		for (size_t n = sizeof(digits) - start + negative; n < c->width; n++)
			put(out, '0');
		c->width = 0;
	} else if (negative) {
		digits[--start] = '-';
	}
	put_text(out, digits + start, sizeof(digits) - start, c);
}

static const char *parse_conversion(const char *f, struct conversion *c, bool *is_long)
{
	*c = (struct conversion){.precision = (size_t)-1};
	*is_long = false;
	for (;; f++) {
		if (*f == '-')
			c->left = true;
		else if (*f == '0')
			c->zero = true;
		else
			break;
	}
	for (; *f >= '0' && *f <= '9'; f++)
		c->width = c->width * 10 + (unsigned)(*f - '0');
	if (*f == '.') {
		c->precision = 0;
		for (f++; *f >= '0' && *f <= '9'; f++)
			c->precision = c->precision * 10 + (size_t)(*f - '0');
	}
	for (; *f == 'l' || *f == 'z'; f++)
		*is_long = true;
	return f;
}

int vsnprintf(char *to, size_t size, const char *format, va_list args)
{
	struct output out = {to, size, 0};
	struct conversion c;
	bool is_long;
	const char *text;
	s64 number;

	for (const char *f = format; *f != '\0'; f++) {
		if (*f != '%') {
			put(&out, *f);
			continue;
		}
		f = parse_conversion(f + 1, &c, &is_long);
		switch (*f) {
		case 'c':
			put(&out, (char)va_arg(args, int));
			break;
		case 's':
			text = va_arg(args, const char *);
			if (text == NULL)
				text = "(null)";
			put_text(&out, text, strnlen(text, c.precision), &c);
			break;
		case 'd':
		case 'i':
			number = is_long ? va_arg(args, s64) : va_arg(args, int);
			put_number(&out, number < 0 ? -(u64)number : (u64)number, number < 0, 10,
				   &c);
			break;
		case 'u':
			put_number(&out, is_long ? va_arg(args, u64) : va_arg(args, unsigned),
				   false, 10, &c);
			break;
		case 'X':
			c.upper = true;
			/* fall through */
		case 'x':
			put_number(&out, is_long ? va_arg(args, u64) : va_arg(args, unsigned),
				   false, 16, &c);
			break;
		case 'p':
			c.zero = true;
			c.width = 16;
			put_number(&out, va_arg(args, u64), false, 16, &c);
			break;
		case '%':
			put(&out, '%');
			break;
		default: /* end of the string, or a conversion this function does not know */
			goto end;
		}
	}
end:
	if (size != 0)
		to[MIN(out.length, size - 1)] = '\0';
	return (int)out.length;
}

int snprintf(char *to, size_t size, const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(to, size, format, args);
	va_end(args);
	return length;
}

void vprintk(enum log_level level, const char *format, va_list args)
{
	static const char *const prefix[] = {"ERROR: ", "warning: ", "", "debug: "};
	char line[LINE_SIZE + LINE_EXTRA];
	size_t start, length;

	if (level > log_level)
		return;
	/* In one piece, since other CPUs print too. */
	start = strlen(prefix[level]);
	memcpy(line, prefix[level], start);
	length = (size_t)vsnprintf(line + start, LINE_SIZE, format, args);
	length = start + MIN(length, LINE_SIZE - 1ul);
	line[length] = '\n';
	console_write(line, length + 1);
}

void printk(enum log_level level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintk(level, format, args);
	va_end(args);
}

void printk_limited(struct ratelimit *limit, enum log_level level, const char *format, ...)
{
	va_list args;
	u64 n = __atomic_add_fetch(&limit->count, 1, __ATOMIC_RELAXED);

	if (n > RATELIMIT_FREE && (n & (n - 1)) != 0)
		return;
	va_start(args, format);
	vprintk(level, format, args);
	va_end(args);
	if (n > RATELIMIT_FREE)
		printk(level, "(message %lu of its kind; most of them are not shown)", n);
}
