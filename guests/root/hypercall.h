/* SPDX-License-Identifier: BSD-2-Clause */
/* Septum's hypercalls: <septum/abi.h>, part 2. */
#ifndef GUESTS_ROOT_HYPERCALL_H
#define GUESTS_ROOT_HYPERCALL_H

#include "guests/lib/types.h"

#include <septum/abi.h>

struct reply {
	u32 status; /* enum septum_status */
	u32 argument;
	u64 value;
};

/* Unused arguments may be left out: septum(CALL, a, b). */
struct reply septum_call(u64 call, const u64 arguments[6]);
#define septum(call, ...) septum_call(call, (const u64[6]){__VA_ARGS__})

/* The name of a status as in the header, without SEPTUM_. */
const char *status_name(u32 status);

#endif
