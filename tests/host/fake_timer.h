/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine's clocks, as kernel/ sees them: the TSC is the host's and has 1 GHz by definition;
 * what the processor's timer is armed for is remembered and never comes. */
#ifndef TESTS_FAKE_TIMER_H
#define TESTS_FAKE_TIMER_H

#include "kernel/types.h"

extern u64 fake_armed;	   /* what timer_arm() was given last */
extern bool fake_fired;	   /* timer_fired() says so */
extern u64 fake_frequency; /* of the TSC */

#endif
