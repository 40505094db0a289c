/* SPDX-License-Identifier: BSD-2-Clause */
/* What the counting build counts; the bench manager reads the list too. */
#ifndef KERNEL_TALLY_LIST_H
#define KERNEL_TALLY_LIST_H

#define TALLY_LIST(X)                                                                              \
	X(ROOT_ENTRIES, "root-entries")                                                            \
	X(GUEST_ENTRIES, "guest-entries")                                                          \
	X(FLUSH_ALL, "flush-all") /* all ASIDs of the processor */                                 \
	X(FLUSH_ASID, "flush-asid")                                                                \
	X(NEW_ASID, "new-asid") /* a flush by never using the old one again */                     \
	X(INVEPT, "invept")                                                                        \
	X(INVVPID, "invvpid")                                                                      \
	X(VMLOAD, "vmload")                                                                        \
	X(VMSAVE, "vmsave")                                                                        \
	X(XSAVE, "xsave")                                                                          \
	X(XRSTOR, "xrstor")                                                                        \
	X(XSETBV, "xsetbv")                                                                        \
	X(VMREAD, "vmread")                                                                        \
	X(VMWRITE, "vmwrite")                                                                      \
	X(VMPTRLD, "vmptrld")                                                                      \
	X(WRMSR, "wrmsr")                                                                          \
	X(IPI, "ipi")                                                                              \
	X(WRITEBACK, "writeback") /* of the caches: WBINVD */

enum tally {
#define X(name, id) TALLY_##name,
	TALLY_LIST(X)
#undef X
		TALLY_COUNT
};

/* The counting build's hypercall of the root: RDI TALLY_COUNT: keeps the counts of now; less: RDX
 * is the one that was kept. */
#define TALLY_CALL 0x74616c6c79ul
/* .. and the guest's, which its entry stub answers by itself. */
#define FLOOR_CALL 0x666c6f6ful

#endif
