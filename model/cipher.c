/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/cipher.h"
#include "mm/window.h"
#include "model/rmp.h"
#include "model/shadow.h"

static struct {
	bool active;
	struct cipher_key key;
} slots[MODEL_ASIDS];

/* Multipliers: the golden ratio's, and others without pattern. */
#define STEP 0x9e3779b97f4a7c15ul
#define MIX1 0xbf58476d1ce4e5b9ul
#define MIX2 0x94d049bb133111ebul

static u64 mix(u64 x)
{
	x = (x ^ x >> 30) * MIX1;
	x = (x ^ x >> 27) * MIX2;
	return x ^ x >> 31;
}

/* Where the four interleaved streams of a page begin. */
static void streams(const struct cipher_key *key, pfn_t p, u64 s[4])
{
	u64 place = mix(p.n * STEP + key->w[0]);

	for (unsigned i = 0; i < 4; i++)
		s[i] = mix(key->w[i] + place + i * STEP);
}

static inline u64 word(u64 s)
{
	return s ^ s << 29 ^ s >> 23;
}

void cipher_page(const struct cipher_key *key, pfn_t p)
{
	u64 *page = window_map(WINDOW_MODEL_DATA2, p);
	u64 s[4];

	streams(key, p, s);
	for (unsigned i = 0; i < PAGE_SIZE / 8; i += 4) {
		page[i] ^= word(s[0]);
		page[i + 1] ^= word(s[1]);
		page[i + 2] ^= word(s[2]);
		page[i + 3] ^= word(s[3]);
		s[0] += STEP;
		s[1] += STEP;
		s[2] += STEP;
		s[3] += STEP;
	}
}

void cipher_bytes(const struct cipher_key *key, hpa_t at, void *data, unsigned bytes)
{
	u64 first = at.n % PAGE_SIZE / 8;
	u64 *words = data;
	u64 s[4];

	streams(key, hpa_to_pfn(at), s);
	for (u64 i = first; i < first + bytes / 8; i++)
		words[i - first] ^= word(s[i % 4] + i / 4 * STEP);
}

static void slot_fill(u32 asid, const struct cipher_key *key)
{
	if (asid == 0 || asid >= MODEL_ASIDS)
		return;
	rmp_lock();
	if (slots[asid].active)
		shadow_forget_asid(asid);
	slots[asid].active = key != NULL;
	slots[asid].key = key != NULL ? *key : (struct cipher_key){0};
	rmp_unlock();
}

void cipher_key_set(u32 asid, const struct cipher_key *key)
{
	slot_fill(asid, key);
}

void cipher_key_clear(u32 asid)
{
	slot_fill(asid, NULL);
}

const struct cipher_key *cipher_key_of(u32 asid)
{
	return asid < MODEL_ASIDS && slots[asid].active ? &slots[asid].key : NULL;
}
