/* SPDX-License-Identifier: BSD-2-Clause */
/* The states of a frame and what may be done in each: the one table from which frame.c's checks,
 * the unit test of every cell and docs/frame-states.md are made. Included several times on purpose.
 *
 * FRAME_STATE_LIST: X(name, text)
 * FRAME_OP_LIST:    X(name, text)
 * FRAME_CELL_LIST:  X(operation, from, to, condition). A cell that is not listed is refused.
 *
 * Conditions: ANY; UNPINNED: nobody has pinned it; PINNED: somebody has; OWNER: the caller names
 * the owner that the descriptor holds.
 */
#define FRAME_STATE_LIST(X)                                                                        \
	X(ABSENT, "no RAM, or RAM that nobody may use")                                            \
	X(SEPTUM, "the hypervisor's own, mapped by nobody else")                                   \
	X(ROOT, "the root partition's; arg counts its pins")                                       \
	X(OFFERED, "the root's, offered in place to one VM, whose page it backs while shared")     \
	X(POOL, "free in a pool, zero")                                                            \
	X(PRIVATE, "private content of one VM at one gfn, from a pool")                            \
	X(TABLE, "nested or attribute table of a VM, from a pool")                                 \
	X(OBJECT, "state of a VM or vCPU, from a pool")                                            \
	X(INPLACE, "private content of one VM at one gfn, from the root, to whom it returns")      \
	X(LOST, "was a pool's; the machine gives it to nobody again (SNP)")

#define FRAME_OP_LIST(X)                                                                           \
	X(ADD, "start-up: RAM that the root may own")                                              \
	X(CLAIM, "start-up: becomes Septum's")                                                     \
	X(DONATE, "from the root to a pool")                                                       \
	X(RECLAIM, "from a pool to the root")                                                      \
	X(TAKE_PRIVATE, "from a pool, for private content")                                        \
	X(TAKE_TABLE, "from a pool, for a table")                                                  \
	X(TAKE_OBJECT, "from a pool, for VM or vCPU state")                                        \
	X(GIVE, "back to its pool, zeroed")                                                        \
	X(OFFER, "the root offers it in place")                                                    \
	X(WITHDRAW, "the offer ends")                                                              \
	X(HIDE, "in place: becomes private")                                                       \
	X(REVEAL, "in place: becomes shared")                                                      \
	X(PIN, "must stay the root's for now")                                                     \
	X(UNPIN, "one pin less")                                                                   \
	X(USE, "mapped for the root, or read or written for it")                                   \
	X(LOSE, "the machine does not give it back")

#define FRAME_CELL_LIST(X)                                                                         \
	X(ADD, ABSENT, ROOT, ANY)                                                                  \
	X(CLAIM, ABSENT, SEPTUM, ANY)                                                              \
	X(CLAIM, SEPTUM, SEPTUM, ANY)                                                              \
	X(CLAIM, ROOT, SEPTUM, UNPINNED)                                                           \
	X(DONATE, ROOT, POOL, UNPINNED)                                                            \
	X(RECLAIM, POOL, ROOT, OWNER)                                                              \
	X(TAKE_PRIVATE, POOL, PRIVATE, ANY)                                                        \
	X(TAKE_TABLE, POOL, TABLE, ANY)                                                            \
	X(TAKE_OBJECT, POOL, OBJECT, ANY)                                                          \
	X(GIVE, PRIVATE, POOL, OWNER)                                                              \
	X(GIVE, TABLE, POOL, OWNER)                                                                \
	X(GIVE, OBJECT, POOL, OWNER)                                                               \
	X(OFFER, ROOT, OFFERED, UNPINNED)                                                          \
	X(WITHDRAW, OFFERED, ROOT, OWNER)                                                          \
	X(HIDE, OFFERED, INPLACE, OWNER)                                                           \
	X(REVEAL, INPLACE, OFFERED, OWNER)                                                         \
	X(PIN, ROOT, ROOT, ANY)                                                                    \
	X(UNPIN, ROOT, ROOT, PINNED)                                                               \
	X(USE, ROOT, ROOT, ANY)                                                                    \
	X(USE, OFFERED, OFFERED, ANY)                                                              \
	X(LOSE, PRIVATE, LOST, OWNER)                                                              \
	X(LOSE, OBJECT, LOST, OWNER)
