/* SPDX-License-Identifier: BSD-2-Clause */
/* The SNP model's memory encryption: a stand-in for the AES-XEX of the memory controller.
 *
 * It keeps two properties of the real one and no other. The same plain text lies differently in
 * memory under each key and at each physical address; and whoever looks without the key (another
 * guest, the hypervisor, the wrong alias) sees noise. It hides nothing from somebody who tries:
 * it is a keystream, and it is cheap. Applying it twice gives back what was there.
 *
 * What lies in memory is the raw form, cipher text, of a private page, except while the page is
 * one that a guest can reach as C = 1 through the model's shadow tables: then it is plain
 * (model/shadow.h keeps the record).
 */
#ifndef MODEL_CIPHER_H
#define MODEL_CIPHER_H

#include "kernel/types.h"

#define MODEL_ASIDS 32u /* 0, the host's, up to 31 */

struct cipher_key {
	u64 w[4];
};

/* The key slot of an ASID, as ACTIVATE and DEACTIVATE fill and empty it. Clearing, or setting
 * another key, first forgets all that the model's processors know under this ASID; frames that are
 * still assigned to it in the RMP become raw again. Takes rmp_lock(); `asid` is from 1 to
 * MODEL_ASIDS - 1, others are ignored. */
void cipher_key_set(u32 asid, const struct cipher_key *key);
void cipher_key_clear(u32 asid);
/* NULL: no guest is activated under it. */
const struct cipher_key *cipher_key_of(u32 asid);

/* Transforms one frame in place. Whoever does that to a frame which may have belonged to a guest
 * calls shadow_evict() first. Window MODEL_DATA2. */
void cipher_page(const struct cipher_key *key, pfn_t p);

/* Transforms a copy in `data` of the `bytes` that lie (or are to lie) at physical address `at`,
 * which is 8-byte aligned; `bytes` is a multiple of 8, within one page. */
void cipher_bytes(const struct cipher_key *key, hpa_t at, void *data, unsigned bytes);

#endif
