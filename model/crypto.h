/* SPDX-License-Identifier: BSD-2-Clause */
/* The cryptography of the software machines: a wrapper of BearSSL, which is built for user
 * programs.
 *
 * The library uses SSE registers, and a stack with a guard word at FS:28h. So each call saves this
 * CPU's x87 and SSE state and FS base, which may be a guest's, runs on a stack of its own, and puts
 * everything back (model/crypto_call.S). One call at a time in the machine; callers need no lock.
 * The library allocates nothing. Interrupts are off, NMIs have their own stack.
 *
 * Numbers are big-endian, as the library and the standards have them.
 */
#ifndef MODEL_CRYPTO_H
#define MODEL_CRYPTO_H

#include "kernel/types.h"

#define SHA256_SIZE  32u
#define SHA384_SIZE  48u
#define GCM_KEY_SIZE 32u
#define GCM_IV_SIZE  12u
#define GCM_TAG_SIZE 16u
#define P384_SIZE    48u

/* SHA-384 and SHA-256 of `size` bytes (FIPS 180-4). */
void crypto_sha384(const void *data, size_t size, u8 digest[SHA384_SIZE]);
void crypto_sha256(const void *data, size_t size, u8 digest[SHA256_SIZE]);

/* SHA-256 in pieces. Plain data: it may be copied and stored. */
struct crypto_sha256_state {
	u64 word[16];
};
void crypto_sha256_start(struct crypto_sha256_state *state);
void crypto_sha256_add(struct crypto_sha256_state *state, const void *data, size_t size);
void crypto_sha256_end(const struct crypto_sha256_state *state, u8 digest[SHA256_SIZE]);

/* HMAC (RFC 2104) with SHA-256 and with SHA-384. */
void crypto_hmac_sha256(const void *key, size_t key_size, const void *data, size_t size,
			u8 mac[SHA256_SIZE]);
void crypto_hmac_sha384(const void *key, size_t key_size, const void *data, size_t size,
			u8 mac[SHA384_SIZE]);

/* AES-256-GCM (SP 800-38D), in place. Sealing writes the tag; opening returns false where the tag
 * is not that of key, IV, additional and sealed data: then `data` holds nothing of use. */
struct crypto_gcm {
	const u8 *key; /* GCM_KEY_SIZE bytes */
	const u8 *iv;  /* GCM_IV_SIZE bytes */
	const void *aad;
	size_t aad_size;
	void *data;
	size_t size;
	u8 *tag; /* GCM_TAG_SIZE bytes */
};
void crypto_gcm_seal(const struct crypto_gcm *message);
bool crypto_gcm_open(const struct crypto_gcm *message);

/* AES-128 in counter mode, in place. The last four bytes of the IV count blocks. */
void crypto_aes128_ctr(const u8 key[16], const u8 iv[16], void *data, size_t size);

/* ECDSA over P-384 (FIPS 186-4; the nonce as RFC 6979 says, so a signature repeats exactly).
 * `digest` is SHA-384; a point is X then Y, a signature R then S. False: not a key, not a point,
 * not this digest's signature. */
bool crypto_p384_public(const u8 key[P384_SIZE], u8 point[2 * P384_SIZE]);
bool crypto_p384_sign(const u8 key[P384_SIZE], const u8 digest[SHA384_SIZE],
		      u8 signature[2 * P384_SIZE]);
bool crypto_p384_verify(const u8 point[2 * P384_SIZE], const u8 digest[SHA384_SIZE],
			const u8 signature[2 * P384_SIZE]);

/* The library computes a known hash and opens what it has sealed, and a call leaves the SSE
 * registers as they were, which are somebody else's. */
bool crypto_selftest(void);

/* How much of its stack the library has ever used, in bytes, and how much there is. */
size_t crypto_stack_used(void);
size_t crypto_stack_size(void);

#endif
