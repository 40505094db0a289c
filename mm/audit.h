/* SPDX-License-Identifier: BSD-2-Clause */
/* The audit: walks every nested table, attribute table, pool and frame descriptor and reports the
 * first thing that does not agree. Needs time linear in memory; a debug hypercall and a test
 * helper.
 */
#ifndef MM_AUDIT_H
#define MM_AUDIT_H

#include "kernel/types.h"

/* X(name, text). Numbers count from 1; 0 is a clean audit. */
#define AUDIT_LIST(X)                                                                              \
	X(TABLE_STATE, "a table's frame is not a table of its VM, or is used twice")               \
	X(TABLE_COUNT, "a VM holds another number of tables than it has")                          \
	X(LEAF_COUNT, "a nested table has another number of leaves than counted")                  \
	X(LEAF_HIDDEN, "an entry is not present though its page has permissions")                  \
	X(LEAF_BACKING, "a leaf maps what is not behind its page")                                 \
	X(LEAF_KIND, "a leaf's alias or kind differs from the page's attribute")                   \
	X(LEAF_PERMISSION, "a leaf's permissions are not those of the attribute")                  \
	X(PRIVATE_OWNER, "a private frame is mapped by another VM or at another gfn than it says") \
	X(PRIVATE_TWICE, "a private frame is mapped twice")                                        \
	X(PRIVATE_LOST, "a private frame is mapped by nobody")                                     \
	X(SHARED_STATE, "a shared leaf maps a frame that is not pinned or offered by the root")    \
	X(INPLACE_STATE, "an in-place frame's state is not that of its page's attribute")          \
	X(CONTENT_COUNT, "a VM holds another number of private frames than counted")               \
	X(ATTR_COUNT, "an attribute count is wrong")                                               \
	X(ATTR_STAMP, "a page's stamp is newer than the newest")                                   \
	X(ROOT_SEES, "the root's table maps a frame that is not the root's")                       \
	X(OWNER_GONE, "a frame belongs to a VM that does not exist")                               \
	X(BLOCK_RECORD, "a block's record and its frames' states differ")                          \
	X(POOL_COUNT, "a pool's counts or lists are wrong")                                        \
	X(NOT_ZERO, "a free frame is not zero")                                                    \
	X(ROOT_COUNT, "a block's count of root frames is wrong")                                   \
	X(GUARD, "the machine's record of a private frame differs from Septum's")

enum audit_violation {
	AUDIT_CLEAN,
#define X(name, text) AUDIT_##name,
	AUDIT_LIST(X)
#undef X
		AUDIT_VIOLATIONS
};

struct audit_report {
	enum audit_violation violation;
	const char *text;
	u16 owner; /* the VM or pool, 0: the root */
	pfn_t pfn; /* the frame, or PFN_NONE */
	u64 page;  /* the page of the nested table, or gfn; ~0: none */
};

/* Free frames are looked at for zeroes one in so many, others the next time; 1: all. */
extern unsigned audit_zero_every;

/* No lock of mm is held; all are taken. Windows AUDIT*, ATTR*, NESTED*. */
enum audit_violation audit_run(struct audit_report *report);

/* Its memory; by memory_setup(). */
void audit_setup(void);

#endif
