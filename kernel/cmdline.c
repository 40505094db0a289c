/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/cmdline.h"
#include "kernel/print.h"
#include "kernel/string.h"

#define WORD_MAX 64

extern const struct cmdline_option __start_septum_options[], __stop_septum_options[];

static u64 option_count(void)
{
	return ((u64)__stop_septum_options - (u64)__start_septum_options) /
	       sizeof(__start_septum_options[0]);
}

static const struct cmdline_option *find(const char *name)
{
	for (u64 i = 0; i < option_count(); i++)
		if (strcmp(__start_septum_options[i].name, name) == 0)
			return &__start_septum_options[i];
	return NULL;
}

static void print_known(void)
{
	printk(LOG_ERROR, "The boot options are:");
	for (u64 i = 0; i < option_count(); i++) {
		const struct cmdline_option *o = &__start_septum_options[i];

		printk(LOG_ERROR, "  %s%s%s: %s", o->name, o->values != NULL ? "=" : "",
		       o->values != NULL ? o->values : "", o->help);
	}
}

static bool parse_word(char *word)
{
	char *value = strchr(word, '=');
	const struct cmdline_option *option;

	if (value != NULL)
		*value++ = '\0';
	option = find(word);
	if (option == NULL) {
		printk(LOG_ERROR, "There is no boot option \"%s\".", word);
		print_known();
		return false;
	}
	if (option->values == NULL && value != NULL) {
		printk(LOG_ERROR, "Boot option %s takes no value, but was given \"%s\".", word,
		       value);
		return false;
	}
	if ((option->values != NULL && value == NULL) || !option->parse(value)) {
		printk(LOG_ERROR, "Boot option %s=%s is not understood; %s accepts %s (%s).", word,
		       value != NULL ? value : "", word, option->values, option->help);
		return false;
	}
	return true;
}

static bool is_end(const char *word, size_t length)
{
	return length == 0 || (length == 2 && word[0] == '-' && word[1] == '-');
}

static const char *next_word(const char *text, size_t *length)
{
	const char *end;

	while (*text == ' ')
		text++;
	for (end = text; *end != '\0' && *end != ' '; end++)
		;
	*length = (size_t)(end - text);
	return text;
}

const char *cmdline_rest(const char *text)
{
	size_t length;

	for (text = next_word(text, &length); !is_end(text, length);
	     text = next_word(text + length, &length))
		;
	return next_word(text + length, &length);
}

bool cmdline_parse(const char *text)
{
	char word[WORD_MAX];

	for (;;) {
		size_t length;

		text = next_word(text, &length);
		if (is_end(text, length))
			return true;
		if (length >= sizeof(word)) {
			printk(LOG_ERROR,
			       "A boot option is longer than %d characters: \"%.40s...\".",
			       WORD_MAX - 1, text);
			return false;
		}
		memcpy(word, text, length);
		word[length] = '\0';
		if (!parse_word(word))
			return false;
		text += length;
	}
}

/* Decimal digits, or 0x and hexadecimal ones; `*end` is what follows them. */
static bool parse_digits(const char *text, u64 *result, const char **end)
{
	u64 base = 10;
	u64 number = 0;
	const char *start;

	if (text[0] == '0' && text[1] == 'x') {
		base = 16;
		text += 2;
	}
	for (start = text;; text++) {
		u64 digit;

		if (*text >= '0' && *text <= '9')
			digit = (u64)(*text - '0');
		else if (base == 16 && *text >= 'a' && *text <= 'f')
			digit = (u64)(*text - 'a') + 10;
		else
			break;
		if (__builtin_mul_overflow(number, base, &number) ||
		    __builtin_add_overflow(number, digit, &number))
			return false;
	}
	*result = number;
	*end = text;
	return text != start;
}

bool cmdline_number(const char *value, u64 *result)
{
	const char *end;

	return parse_digits(value, result, &end) && *end == '\0';
}

bool cmdline_size(const char *value, u64 *result)
{
	const char *end;
	unsigned shift = 0;

	if (!parse_digits(value, result, &end))
		return false;
	if (*end == 'K' || *end == 'k')
		shift = 10;
	else if (*end == 'M' || *end == 'm')
		shift = 20;
	else if (*end == 'G' || *end == 'g')
		shift = 30;
	if (shift != 0)
		end++;
	return *end == '\0' && !__builtin_mul_overflow(*result, 1ul << shift, result);
}

bool cmdline_choice(const char *value, const char *const *names, unsigned count, unsigned *result)
{
	for (unsigned i = 0; i < count; i++) {
		if (strcmp(value, names[i]) == 0) {
			*result = i;
			return true;
		}
	}
	return false;
}
