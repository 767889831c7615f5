/* SPDX-License-Identifier: BSD-2-Clause */
/* SipHash against published vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/siphash.h"

/* Appendix A of the paper and its reference code: key 00 01 .. 0f, message 00 01 .. of n bytes. */
static const uint64_t vector24[64] = {
	0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a, 0x85676696d7fb7e2d,
	0xcf2794e0277187b7, 0x18765564cd99a68d, 0xcbc9466e58fee3ce, 0xab0200f58b01d137,
	0x93f5f5799a932462, 0x9e0082df0ba9e4b0, 0x7a5dbbc594ddb9f3, 0xf4b32f46226bada7,
	0x751e8fbc860ee5fb, 0x14ea5627c0843d90, 0xf723ca908e7af2ee, 0xa129ca6149be45e5,
	0x3f2acc7f57c29bdb, 0x699ae9f52cbe4794, 0x4bc1b3f0968dd39c, 0xbb6dc91da77961bd,
	0xbed65cf21aa2ee98, 0xd0f2cbb02e3b67c7, 0x93536795e3a33e88, 0xa80c038ccd5ccec8,
	0xb8ad50c6f649af94, 0xbce192de8a85b8ea, 0x17d835b85bbb15f3, 0x2f2e6163076bcfad,
	0xde4daaaca71dc9a5, 0xa6a2506687956571, 0xad87a3535c49ef28, 0x32d892fad841c342,
	0x7127512f72f27cce, 0xa7f32346f95978e3, 0x12e0b01abb051238, 0x15e034d40fa197ae,
	0x314dffbe0815a3b4, 0x027990f029623981, 0xcadcd4e59ef40c4d, 0x9abfd8766a33735c,
	0x0e3ea96b5304a7d0, 0xad0c42d6fc585992, 0x187306c89bc215a9, 0xd4a60abcf3792b95,
	0xf935451de4f21df2, 0xa9538f0419755787, 0xdb9acddff56ca510, 0xd06c98cd5c0975eb,
	0xe612a3cb9ecba951, 0xc766e62cfcadaf96, 0xee64435a9752fe72, 0xa192d576b245165a,
	0x0a8787bf8ecb74b2, 0x81b3e73d20b49b6f, 0x7fa8220ba3b2ecea, 0x245731c13ca42499,
	0xb78dbfaf3a8d83bd, 0xea1ad565322a1a0b, 0x60e61c23a3795013, 0x6606d7e446282b93,
	0x6ca4ecb15c5f91e1, 0x9f626da15c9625f3, 0xe51b38608ef25f57, 0x958a324ceb064572,
};

/* Zero key, same messages: what CPython 3.11 computes as hash() of bytes with PYTHONHASHSEED=0. */
static const struct {
	size_t len;
	uint64_t hash;
} vector13[] = {
	{ 1, 0x68a914128e01e473 },  { 2, 0x010bac45c41e3669 },	{ 3, 0x4d4c9a4a8ef6e0ad },
	{ 7, 0x2f098ab0c751325a },  { 8, 0xead411e67ebe2eea },	{ 9, 0x75927f9d95124362 },
	{ 15, 0xf30eb725bb91c9ea }, { 16, 0x8972188433a5c5b7 }, { 17, 0x4883c49a2c009c1d },
	{ 24, 0x31185a47af932f3a }, { 31, 0x169739443111d49b }, { 32, 0x31ef8061c910629b },
	{ 40, 0x95bc321ab41d8206 }, { 63, 0x385d3e39e5f37359 },
};

static uint8_t message[64];

static int setup(void **state)
{
	for (size_t i = 0; i < sizeof(message); i++)
		message[i] = (uint8_t)i;
	return 0;
}

static void siphash24__published_vectors(void **state)
{
	const struct siphash_key key = { { 0x0706050403020100, 0x0f0e0d0c0b0a0908 } };

	for (size_t len = 0; len < FS_ARRAY_SIZE(vector24); len++)
		assert_true(siphash24(&key, message, len) == vector24[len]);
}

static void siphash13__vectors(void **state)
{
	const struct siphash_key zero = { { 0, 0 } };

	for (size_t i = 0; i < FS_ARRAY_SIZE(vector13); i++)
		assert_true(siphash13(&zero, message, vector13[i].len) == vector13[i].hash);
}

static void siphash13_words__equals_the_hash_of_their_bytes(void **state)
{
	const struct siphash_key key = { { 1, 2 } };
	uint64_t words[6];

	for (size_t n = 0; n <= FS_ARRAY_SIZE(words); n++) {
		for (size_t i = 0; i < n; i++) {
			words[i] = 0;
			for (size_t b = 0; b < 8; b++)
				words[i] |= (uint64_t)message[8 * i + b] << (8 * b);
		}
		assert_true(siphash13_words(&key, words, n) == siphash13(&key, message, 8 * n));
	}
}

static void siphash13__key_matters(void **state)
{
	const struct siphash_key a = { { 1, 0 } }, b = { { 0, 1 } };

	assert_true(siphash13(&a, message, 8) != siphash13(&b, message, 8));
}

static void siphash24__any_alignment(void **state)
{
	const struct siphash_key key = { { 3, 4 } };
	uint8_t moved[64 + 8];

	for (size_t align = 0; align < 8; align++) {
		memcpy(moved + align, message, sizeof(message));
		assert_true(siphash24(&key, moved + align, 63) == siphash24(&key, message, 63));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(siphash24__published_vectors),
		cmocka_unit_test(siphash13__vectors),
		cmocka_unit_test(siphash13_words__equals_the_hash_of_their_bytes),
		cmocka_unit_test(siphash13__key_matters),
		cmocka_unit_test(siphash24__any_alignment),
	};

	return cmocka_run_group_tests_name("base_siphash", tests, setup, NULL);
}
