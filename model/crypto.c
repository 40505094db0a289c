/* SPDX-License-Identifier: BSD-2-Clause */
#include <bearssl.h>

#include "model/crypto.h"
#include "model/crypto_impl.h"

#define STACK_SIZE 16384u
#define STACK_FILL 0x5a

_Static_assert(sizeof(br_sha256_context) <= sizeof(struct crypto_sha256_state), "SHA-256 state");

/* One for the machine; `busy` guards it. The library's code reads only FS:28h of `guard`. */
static struct {
	u8 stack[STACK_SIZE] __attribute__((aligned(64)));
	u8 save[CRYPTO_SAVE_SIZE] __attribute__((aligned(64)));
	u64 guard[8];
	bool busy;
	bool filled;
} crypto;

static void run(void (*work)(void *argument), void *argument)
{
	while (__atomic_exchange_n(&crypto.busy, true, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
	if (!crypto.filled) {
		memset(crypto.stack, STACK_FILL, sizeof(crypto.stack));
		crypto.filled = true;
	}
	crypto_call(work, argument, crypto.stack + STACK_SIZE, crypto.guard, crypto.save);
	__atomic_store_n(&crypto.busy, false, __ATOMIC_RELEASE);
}

size_t crypto_stack_used(void)
{
	size_t i = 0;

	while (crypto.filled && i < STACK_SIZE && crypto.stack[i] == STACK_FILL)
		i++;
	return crypto.filled ? STACK_SIZE - i : 0;
}

size_t crypto_stack_size(void)
{
	return STACK_SIZE;
}

/* Hashes */

struct hash_job {
	const void *data;
	size_t size;
	u8 *digest;
	br_sha256_context *state;
};

static void do_sha384(void *argument)
{
	struct hash_job *job = argument;
	br_sha384_context context;

	br_sha384_init(&context);
	br_sha384_update(&context, job->data, job->size);
	br_sha384_out(&context, job->digest);
}

void crypto_sha384(const void *data, size_t size, u8 digest[SHA384_SIZE])
{
	struct hash_job job = {.data = data, .size = size, .digest = digest};

	run(do_sha384, &job);
}

static void do_sha256_start(void *argument)
{
	br_sha256_init(argument);
}

static void do_sha256_add(void *argument)
{
	struct hash_job *job = argument;

	br_sha256_update(job->state, job->data, job->size);
}

static void do_sha256_end(void *argument)
{
	struct hash_job *job = argument;

	br_sha256_out(job->state, job->digest);
}

/* The library's context holds a pointer to its own constants; a stored state must not. */
static void unpack(br_sha256_context *context, const struct crypto_sha256_state *state)
{
	memcpy(context, state, sizeof(*context));
	context->vtable = &br_sha256_vtable;
}

static void pack(struct crypto_sha256_state *state, br_sha256_context *context)
{
	context->vtable = NULL;
	memset(state, 0, sizeof(*state));
	memcpy(state, context, sizeof(*context));
}

void crypto_sha256_start(struct crypto_sha256_state *state)
{
	br_sha256_context context;

	memset(&context, 0, sizeof(context));
	run(do_sha256_start, &context);
	pack(state, &context);
}

void crypto_sha256_add(struct crypto_sha256_state *state, const void *data, size_t size)
{
	br_sha256_context context;
	struct hash_job job = {.data = data, .size = size, .state = &context};

	unpack(&context, state);
	run(do_sha256_add, &job);
	pack(state, &context);
}

void crypto_sha256_end(const struct crypto_sha256_state *state, u8 digest[SHA256_SIZE])
{
	br_sha256_context context;
	struct hash_job job = {.digest = digest, .state = &context};

	unpack(&context, state);
	run(do_sha256_end, &job);
}

void crypto_sha256(const void *data, size_t size, u8 digest[SHA256_SIZE])
{
	struct crypto_sha256_state state;

	crypto_sha256_start(&state);
	crypto_sha256_add(&state, data, size);
	crypto_sha256_end(&state, digest);
}

/* HMAC */

struct hmac_job {
	const br_hash_class *hash;
	const void *key, *data;
	size_t key_size, size;
	u8 *mac;
};

static void do_hmac(void *argument)
{
	struct hmac_job *job = argument;
	br_hmac_key_context key;
	br_hmac_context context;

	br_hmac_key_init(&key, job->hash, job->key, job->key_size);
	br_hmac_init(&context, &key, 0);
	br_hmac_update(&context, job->data, job->size);
	br_hmac_out(&context, job->mac);
}

static void hmac(const br_hash_class *hash, const void *key, size_t key_size, const void *data,
		 size_t size, u8 *mac)
{
	struct hmac_job job = {.hash = hash,
			       .key = key,
			       .key_size = key_size,
			       .data = data,
			       .size = size,
			       .mac = mac};

	run(do_hmac, &job);
}

void crypto_hmac_sha256(const void *key, size_t key_size, const void *data, size_t size,
			u8 mac[SHA256_SIZE])
{
	hmac(&br_sha256_vtable, key, key_size, data, size, mac);
}

void crypto_hmac_sha384(const void *key, size_t key_size, const void *data, size_t size,
			u8 mac[SHA384_SIZE])
{
	hmac(&br_sha384_vtable, key, key_size, data, size, mac);
}

/* AES-256-GCM */

struct gcm_job {
	const struct crypto_gcm *message;
	bool encrypt;
	bool good;
};

static void do_gcm(void *argument)
{
	struct gcm_job *job = argument;
	const struct crypto_gcm *m = job->message;
	const br_block_ctr_class *aes = br_aes_x86ni_ctr_get_vtable();
	br_ghash ghash = br_ghash_pclmul_get();
	br_aes_gen_ctr_keys keys;
	br_gcm_context context;

	/* The processor's instructions where it has them: ten times faster, under an emulator too.
	 */
	if (!aes)
		aes = &br_aes_ct64_ctr_vtable;
	aes->init(&keys.vtable, m->key, GCM_KEY_SIZE);
	br_gcm_init(&context, &keys.vtable, ghash ? ghash : br_ghash_ctmul64);
	br_gcm_reset(&context, m->iv, GCM_IV_SIZE);
	br_gcm_aad_inject(&context, m->aad, m->aad_size);
	br_gcm_flip(&context);
	br_gcm_run(&context, job->encrypt, m->data, m->size);
	if (job->encrypt)
		br_gcm_get_tag(&context, m->tag);
	else
		job->good = br_gcm_check_tag(&context, m->tag) == 1;
}

void crypto_gcm_seal(const struct crypto_gcm *message)
{
	struct gcm_job job = {.message = message, .encrypt = true};

	run(do_gcm, &job);
}

bool crypto_gcm_open(const struct crypto_gcm *message)
{
	struct gcm_job job = {.message = message, .encrypt = false};

	run(do_gcm, &job);
	return job.good;
}

/* AES-128-CTR */

struct ctr_job {
	const u8 *key, *iv;
	void *data;
	size_t size;
};

static void do_ctr(void *argument)
{
	struct ctr_job *job = argument;
	br_aes_ct64_ctr_keys keys;
	u32 counter;

	memcpy(&counter, job->iv + GCM_IV_SIZE, sizeof(counter));
	br_aes_ct64_ctr_init(&keys, job->key, 16);
	br_aes_ct64_ctr_run(&keys, job->iv, __builtin_bswap32(counter), job->data, job->size);
}

void crypto_aes128_ctr(const u8 key[16], const u8 iv[16], void *data, size_t size)
{
	struct ctr_job job = {.key = key, .iv = iv, .data = data, .size = size};

	run(do_ctr, &job);
}

/* ECDSA */

struct p384_job {
	const u8 *key, *digest, *signature_in, *point_in;
	u8 *signature, *point;
	bool good;
};

#define POINT_SIZE (1 + 2 * P384_SIZE) /* 4, X, Y (SEC 1, 2.3.3) */

static void do_public(void *argument)
{
	struct p384_job *job = argument;
	u8 key[P384_SIZE], point[POINT_SIZE];
	br_ec_private_key private = {.curve = BR_EC_secp384r1, .x = key, .xlen = sizeof(key)};
	br_ec_public_key public;

	memcpy(key, job->key, sizeof(key));
	job->good = br_ec_compute_pub(&br_ec_prime_i31, &public, point, &private) == sizeof(point);
	if (job->good)
		memcpy(job->point, point + 1, sizeof(point) - 1);
}

static void do_sign(void *argument)
{
	struct p384_job *job = argument;
	u8 key[P384_SIZE];
	br_ec_private_key private = {.curve = BR_EC_secp384r1, .x = key, .xlen = sizeof(key)};

	memcpy(key, job->key, sizeof(key));
	job->good = br_ecdsa_i31_sign_raw(&br_ec_prime_i31, &br_sha384_vtable, job->digest,
					  &private, job->signature) == (size_t)2 * P384_SIZE;
}

static void do_verify(void *argument)
{
	struct p384_job *job = argument;
	u8 point[POINT_SIZE] = {4};
	br_ec_public_key public = {.curve = BR_EC_secp384r1, .q = point, .qlen = sizeof(point)};

	memcpy(point + 1, job->point_in, sizeof(point) - 1);
	job->good = br_ecdsa_i31_vrfy_raw(&br_ec_prime_i31, job->digest, SHA384_SIZE, &public,
					  job->signature_in, (size_t)2 * P384_SIZE) == 1;
}

bool crypto_p384_public(const u8 key[P384_SIZE], u8 point[2 * P384_SIZE])
{
	struct p384_job job = {.key = key, .point = point};

	run(do_public, &job);
	return job.good;
}

bool crypto_p384_sign(const u8 key[P384_SIZE], const u8 digest[SHA384_SIZE],
		      u8 signature[2 * P384_SIZE])
{
	struct p384_job job = {.key = key, .digest = digest, .signature = signature};

	run(do_sign, &job);
	return job.good;
}

bool crypto_p384_verify(const u8 point[2 * P384_SIZE], const u8 digest[SHA384_SIZE],
			const u8 signature[2 * P384_SIZE])
{
	struct p384_job job = {.point_in = point, .digest = digest, .signature_in = signature};

	run(do_verify, &job);
	return job.good;
}

/* FIPS 180-4, SHA-384 of "abc": the first bytes. */
static const u8 abc_digest[] = {0xcb, 0x00, 0x75, 0x3f, 0x45, 0xa3, 0x5e, 0x8b};

bool crypto_selftest(void)
{
	const u64 before[2] = {0x5e97a11ed15c0de5, 0x0123456789abcdef};
	u8 digest[SHA384_SIZE], tag[GCM_TAG_SIZE], data[40] = {1, 2, 3};
	struct crypto_gcm message = {.key = digest,
				     .aad = before,
				     .aad_size = sizeof(before),
				     .data = data,
				     .size = sizeof(data),
				     .tag = tag};
	u64 after[2];
	bool good;

	__asm__ volatile("movdqu %0, %%xmm1" : : "m"(before));
	crypto_sha384("abc", 3, digest);
	message.iv = digest + GCM_KEY_SIZE;
	crypto_gcm_seal(&message);
	good = crypto_gcm_open(&message);
	__asm__ volatile("movdqu %%xmm1, %0" : "=m"(after));
	return good && memcmp(digest, abc_digest, sizeof(abc_digest)) == 0 &&
	       memcmp(before, after, sizeof(before)) == 0;
}
