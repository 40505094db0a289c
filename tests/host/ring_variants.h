/* SPDX-License-Identifier: BSD-2-Clause */
/* kernel/ring.c as it is, and broken. */
#ifndef TESTS_HOST_RING_VARIANTS_H
#define TESTS_HOST_RING_VARIANTS_H

#include "kernel/status.h"
#include "kernel/types.h"

#include <septum/abi.h>

struct ring;
struct ring_functions {
	enum status (*post)(struct ring *ring, struct septum_event *event, u32 *position);
	bool (*take)(struct ring *ring, struct septum_completion *completion, u32 *slot);
	void (*complete)(struct ring *ring, u32 slot, enum status status);
	bool (*consumed)(struct ring *ring, u32 position);
};
extern const struct ring_functions ring_no_release, ring_no_acquire;

#endif
