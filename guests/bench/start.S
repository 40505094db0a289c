/* SPDX-License-Identifier: BSD-2-Clause */
/* As any small guest, with stacks for vCPUs 0..16. */
#define GUEST_STACKS 17
#include "guests/small/start.S"
