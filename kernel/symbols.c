/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/symbols.h"

/* Written by tools/mksymbols: offsets from image_start in ascending order, and for each
 * its name's place in symbol_names. */
struct symbol {
	u32 offset;
	u32 name;
};
extern const u32 symbol_count;
extern const struct symbol symbol_table[];
extern const char symbol_names[];
extern const char image_start[], text_end[];

bool symbol_find(u64 address, const char **name, u64 *offset)
{
	u32 low = 0;
	u32 high = symbol_count;
	u64 wanted = address - (u64)image_start;

	if (address < (u64)image_start || address >= (u64)text_end || symbol_count == 0 ||
	    wanted < symbol_table[0].offset)
		return false;
	while (high - low > 1) {
		u32 middle = low + (high - low) / 2;

		if (symbol_table[middle].offset <= wanted)
			low = middle;
		else
			high = middle;
	}
	*name = symbol_names + symbol_table[low].name;
	*offset = wanted - symbol_table[low].offset;
	return true;
}
