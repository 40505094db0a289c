/* SPDX-License-Identifier: BSD-2-Clause */
/* Boot options: words `name` or `name=value`, separated by spaces. What follows the word `--` is
 * for the root partition and not looked at.
 *
 * Whoever has an option declares it next to the variable it sets:
 *
 *	static bool parse_pool(const char *value) { return cmdline_size(value, &pool_size); }
 *	CMDLINE_OPTION(pool, "SIZE", "private pool reserved at boot, for example 64M", parse_pool);
 */
#ifndef KERNEL_CMDLINE_H
#define KERNEL_CMDLINE_H

#include "kernel/types.h"

struct cmdline_option {
	const char *name;
	const char *values; /* what may follow '=', for the error; NULL: no '=' at all */
	const char *help;
	/* `value` is what follows '=', or NULL. False: malformed. */
	bool (*parse)(const char *value);
};

#define CMDLINE_OPTION(id, option_name, values_text, help_text, function)                          \
	static const struct cmdline_option option_##id                                             \
		__attribute__((used, section("septum_options"), aligned(8))) = {                   \
			option_name, values_text, help_text, function}

/* Parse `text`, calling each option's parser in order. Returns true, or prints one sentence that
 * names the first bad option and what it accepts, and returns false. */
bool cmdline_parse(const char *text);

/* What follows `--` in `text`, or "". */
const char *cmdline_rest(const char *text);

/* Values. All refuse trailing characters. Sizes take K, M or G; the result fits 64 bits. */
bool cmdline_number(const char *value, u64 *result);
bool cmdline_size(const char *value, u64 *result);
/* `names` is an array of `count` words; the result is the index of the one that equals `value`. */
bool cmdline_choice(const char *value, const char *const *names, unsigned count, unsigned *result);

#endif
