/* SPDX-License-Identifier: BSD-2-Clause */
/* kernel/ring.c without its acquire order: broken on purpose, for test_ring_threads.c. */
#include "tests/host/ring_variants.h"

#undef __ATOMIC_ACQUIRE
#define __ATOMIC_ACQUIRE __ATOMIC_RELAXED
#define ring_init	 no_acquire_init
#define ring_replace	 no_acquire_replace
#define ring_post	 no_acquire_post
#define ring_wakes	 no_acquire_wakes
#define ring_take	 no_acquire_take
#define ring_complete	 no_acquire_complete
#define ring_consumed	 no_acquire_consumed
#define ring_payload	 no_acquire_payload
#define ring_log	 no_acquire_log
#include "kernel/ring.c"

const struct ring_functions ring_no_acquire = {ring_post, ring_take, ring_complete, ring_consumed};
