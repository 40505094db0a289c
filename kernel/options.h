/* SPDX-License-Identifier: BSD-2-Clause */
/* The values of the boot options that more than one part of Septum reads. */
#ifndef KERNEL_OPTIONS_H
#define KERNEL_OPTIONS_H

#include "kernel/types.h"

enum boot_policy { POLICY_CONVERT, POLICY_DENY, POLICY_ASK };

struct options {
	u64 pool_size;		 /* bytes of private pool reserved at boot; 0: none */
	enum boot_policy policy; /* for the manager */
	const char *policy_name;
	bool emulator_exit; /* the machine may end the emulator it runs in */
};

extern struct options options;

#endif
