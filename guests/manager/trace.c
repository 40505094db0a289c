/* SPDX-License-Identifier: BSD-2-Clause */
/* The option `trace`: the newest entries of Septum's trace ring, in the form that tools/trace
 * reads. */
#include "guests/lib/print.h"
#include "guests/lib/string.h"
#include "guests/manager/manager.h"
#include "guests/root/machine.h"

#include <septum/abi.h>

void trace_print(void)
{
	char value[8];
	u64 *words;
	struct reply r;

	if (!option_find(boot->args, "trace", value, sizeof(value)))
		return;
	words = memory_take(PAGE_SIZE, PAGE_SIZE);
	r = septum(SEPTUM_CALL_TRACE_READ, (u64)words / PAGE_SIZE);
	if (r.status != SEPTUM_OK) {
		print("manager: TRACE_READ: %s\n", status_name(r.status));
		return;
	}
	for (u64 i = 0; i < r.value; i++) {
		/* As bytes in memory, so that the reader need not know the layout to copy it. */
		const u8 *bytes = (const u8 *)words + i * sizeof(struct septum_trace_entry);

		print("trace: ");
		for (u64 b = 0; b < sizeof(struct septum_trace_entry); b++)
			print("%x%x", bytes[b] >> 4, bytes[b] & 15);
		print("\n");
	}
}
