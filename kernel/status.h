/* SPDX-License-Identifier: BSD-2-Clause */
/* The statuses of <septum/abi.h> under their short names: OK, E_RANGE, ... One list, two spellings.
 */
#ifndef KERNEL_STATUS_H
#define KERNEL_STATUS_H

#include <septum/abi.h>

enum status {
#define X(name, number, text) name = (number),
	SEPTUM_STATUS_LIST(X)
#undef X
};

#endif
