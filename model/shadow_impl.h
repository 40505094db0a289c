/* SPDX-License-Identifier: BSD-2-Clause */
/* What shadow.c (tables and forms) and access.c (who may access what) have in common. All under
 * rmp_lock(). */
#ifndef MODEL_SHADOW_IMPL_H
#define MODEL_SHADOW_IMPL_H

#include "model/shadow.h"

/* Entries of a space. Bit 9 is ours: the leaf shows the plain form. */
#define LEAF_BASE    0x065ul /* present, user, accessed, dirty */
#define LEAF_WRITE   BIT(1)
#define LEAF_LARGE   BIT(7)
#define LEAF_PRIVATE BIT(9)
#define LEAF_NX	     BIT(63)
#define LEAF_ADDRESS 0x000ffffffffff000ul

/* Where the client's nested table maps a guest page. */
struct nested_leaf {
	u64 frame;	/* of the 4 KiB page asked for */
	unsigned level; /* of the leaf */
	bool present, write, exec;
	bool user;     /* U = 1 at each level */
	bool reserved; /* a reserved bit is set at some level */
};
void nested_leaf_find(u64 ncr3, u64 gpa, struct nested_leaf *leaf);

u64 shadow_frames(void);
unsigned shadow_physical_bits(void);

/* The leaf at a page number with the C-bit; 0: none. */
u64 space_leaf(const struct space *space, u64 raw_page, unsigned *level);
/* Makes one. May empty all spaces before. */
void space_place(struct space *space, u64 raw_page, unsigned level, u64 leaf);
void space_clear_all(void);

/* The frame is plain for this guest page, or is raw and has a leaf for this guest page; and no leaf
 * of the other kind is left. */
void form_set_plain(u64 frame, u32 asid, u64 gfn);
void form_set_raw(u64 frame, u32 asid, u64 gfn);
bool form_is_raw_mapped(u64 frame);
/* The same for 512 frames and guest pages, both aligned; and whether that is so already: then, of
 * raw ones, none has been assigned in the RMP since. */
void form_block_set_plain(u64 frame, u32 asid, u64 gfn);
void form_block_set_raw(u64 frame, u32 asid, u64 gfn);
bool form_block_is_plain(u64 frame, u32 asid, u64 gfn);
bool form_block_is_raw(u64 frame, u32 asid, u64 gfn);

#endif
