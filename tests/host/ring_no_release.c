/* SPDX-License-Identifier: BSD-2-Clause */
/* kernel/ring.c without its release order: broken on purpose, for test_ring_threads.c. */
#include "tests/host/ring_variants.h"

#undef __ATOMIC_RELEASE
#define __ATOMIC_RELEASE __ATOMIC_RELAXED
#define ring_init	 no_release_init
#define ring_replace	 no_release_replace
#define ring_post	 no_release_post
#define ring_wakes	 no_release_wakes
#define ring_take	 no_release_take
#define ring_complete	 no_release_complete
#define ring_consumed	 no_release_consumed
#define ring_payload	 no_release_payload
#define ring_log	 no_release_log
#include "kernel/ring.c"

const struct ring_functions ring_no_release = {ring_post, ring_take, ring_complete, ring_consumed};
