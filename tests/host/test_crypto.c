/* SPDX-License-Identifier: BSD-2-Clause */
/* The crypto wrapper against the standards' own examples. */
/* sources: model/crypto.c tests/host/fake_crypto.c */
/* ldflags: -lbearssl */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "model/crypto.h"

static void hex(u8 *to, const char *text)
{
	unsigned byte;

	for (; *text; text += 2, to++) {
		assert_int_equal(sscanf(text, "%2x", &byte), 1);
		*to = (u8)byte;
	}
}

static void assert_hex(const u8 *got, const char *expected)
{
	u8 bytes[256];
	size_t size = strlen(expected) / 2;

	assert_in_range(size, 1, sizeof(bytes));
	hex(bytes, expected);
	assert_memory_equal(got, bytes, size);
}

/* FIPS 180-4 examples */
static void sha384_and_sha256_of_abc(void **state)
{
	u8 digest[SHA384_SIZE];

	(void)state;
	crypto_sha384("abc", 3, digest);
	assert_hex(digest, "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
			   "8086072ba1e7cc2358baeca134c825a7");
	crypto_sha256("abc", 3, digest);
	assert_hex(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/* The state survives being moved between the pieces. */
static void sha256_in_pieces_is_sha256_of_the_whole(void **state)
{
	struct crypto_sha256_state hash, moved;
	u8 data[300], whole[SHA256_SIZE], pieces[SHA256_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (u8)(i * 7);
	crypto_sha256(data, sizeof(data), whole);
	for (size_t cut = 0; cut <= sizeof(data); cut += 25) {
		crypto_sha256_start(&hash);
		crypto_sha256_add(&hash, data, cut);
		moved = hash;
		memset(&hash, 0xff, sizeof(hash));
		crypto_sha256_add(&moved, data + cut, sizeof(data) - cut);
		crypto_sha256_end(&moved, pieces);
		assert_memory_equal(whole, pieces, sizeof(whole));
	}
}

/* RFC 4231, test cases 2 and 6 */
static void hmac_of_rfc_4231(void **state)
{
	u8 key[131], mac[SHA384_SIZE];
	const char *text = "what do ya want for nothing?";
	const char *larger = "Test Using Larger Than Block-Size Key - Hash Key First";

	(void)state;
	memset(key, 0xaa, sizeof(key));
	crypto_hmac_sha256("Jefe", 4, text, strlen(text), mac);
	assert_hex(mac, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	crypto_hmac_sha384("Jefe", 4, text, strlen(text), mac);
	assert_hex(mac, "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e"
			"8e2240ca5e69e2c78b3239ecfab21649");
	crypto_hmac_sha256(key, sizeof(key), larger, strlen(larger), mac);
	assert_hex(mac, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

/* The GCM specification's test case 16 (AES-256, additional data, a partial last block) */
static void gcm_test_case_16(void **state)
{
	u8 key[GCM_KEY_SIZE], iv[GCM_IV_SIZE], aad[20], data[60], plain[60], tag[GCM_TAG_SIZE];
	struct crypto_gcm m = {.key = key,
			       .iv = iv,
			       .aad = aad,
			       .aad_size = sizeof(aad),
			       .data = data,
			       .size = sizeof(data),
			       .tag = tag};

	(void)state;
	hex(key, "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
	hex(iv, "cafebabefacedbaddecaf888");
	hex(aad, "feedfacedeadbeeffeedfacedeadbeefabaddad2");
	hex(plain, "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
		   "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39");
	memcpy(data, plain, sizeof(data));
	crypto_gcm_seal(&m);
	assert_hex(data, "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
			 "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662");
	assert_hex(tag, "76fc6ece0f4e1768cddf8853bb2d551b");
	assert_true(crypto_gcm_open(&m));
	assert_memory_equal(data, plain, sizeof(data));

	for (unsigned what = 0; what < 4; what++) {
		u8 *touched[] = {tag, aad, data, iv};

		memcpy(data, plain, sizeof(data));
		crypto_gcm_seal(&m);
		touched[what][3] ^= 0x10;
		assert_false(crypto_gcm_open(&m));
		touched[what][3] ^= 0x10;
	}
}

/* RFC 6979, A.2.6, SHA-384 of "sample" */
static void ecdsa_of_rfc_6979(void **state)
{
	u8 key[P384_SIZE], point[2 * P384_SIZE], digest[SHA384_SIZE], signature[2 * P384_SIZE];

	(void)state;
	hex(key, "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d8"
		 "96d5724e4c70a825f872c9ea60d2edf5");
	assert_true(crypto_p384_public(key, point));
	assert_hex(point, "ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64"
			  "def8f0ea9055866064a254515480bc13"
			  "8015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1"
			  "288b231c3ae0d4fe7344fd2533264720");
	crypto_sha384("sample", 6, digest);
	assert_true(crypto_p384_sign(key, digest, signature));
	assert_hex(signature, "94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c"
			      "81a648152e44acf96e36dd1e80fabe46"
			      "99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94f"
			      "a329c145786e679e7b82c71a38628ac8");
	assert_true(crypto_p384_verify(point, digest, signature));
	for (size_t i = 0; i < sizeof(signature); i += 13) {
		signature[i] ^= 1;
		assert_false(crypto_p384_verify(point, digest, signature));
		signature[i] ^= 1;
	}
	digest[0] ^= 1;
	assert_false(crypto_p384_verify(point, digest, signature));
	memset(key, 0, sizeof(key));
	assert_false(crypto_p384_sign(key, digest, signature));
}

static void the_library_is_sound(void **state)
{
	(void)state;
	assert_true(crypto_selftest());
}

/* What was measured, with room for another compiler; a stack that overflows here is silent there.
 */
static void the_stack_is_large_enough(void **state)
{
	(void)state;
	assert_in_range(crypto_stack_used(), 512, crypto_stack_size() * 3 / 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha384_and_sha256_of_abc),
		cmocka_unit_test(sha256_in_pieces_is_sha256_of_the_whole),
		cmocka_unit_test(hmac_of_rfc_4231),
		cmocka_unit_test(gcm_test_case_16),
		cmocka_unit_test(ecdsa_of_rfc_6979),
		cmocka_unit_test(the_library_is_sound),
		cmocka_unit_test(the_stack_is_large_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
