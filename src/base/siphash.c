/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * siphash.c - SipHash-2-4 and SipHash-1-3, from the paper's description (section 2).
 */
#include "base/siphash.h"

#include <string.h>

struct state {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate_left(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static inline void rounds(struct state *s, unsigned n)
{
	while (n-- > 0) {
		s->v0 += s->v1;
		s->v2 += s->v3;
		s->v1 = rotate_left(s->v1, 13) ^ s->v0;
		s->v3 = rotate_left(s->v3, 16) ^ s->v2;
		s->v0 = rotate_left(s->v0, 32);
		s->v2 += s->v1;
		s->v0 += s->v3;
		s->v1 = rotate_left(s->v1, 17) ^ s->v2;
		s->v3 = rotate_left(s->v3, 21) ^ s->v0;
		s->v2 = rotate_left(s->v2, 32);
	}
}

/* "somepseudorandomlygeneratedbytes", the paper's constants. */
static inline struct state start(const struct siphash_key *key)
{
	return (struct state){
		.v0 = key->k[0] ^ 0x736f6d6570736575,
		.v1 = key->k[1] ^ 0x646f72616e646f6d,
		.v2 = key->k[0] ^ 0x6c7967656e657261,
		.v3 = key->k[1] ^ 0x7465646279746573,
	};
}

static inline void compress(struct state *s, uint64_t word, unsigned c)
{
	s->v3 ^= word;
	rounds(s, c);
	s->v0 ^= word;
}

static inline uint64_t finish(struct state *s, uint64_t last_word, unsigned c, unsigned d)
{
	compress(s, last_word, c);
	s->v2 ^= 0xff;
	rounds(s, d);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

static inline uint64_t load_le64(const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? word : __builtin_bswap64(word);
}

/* Fewer than 8 bytes as a little-endian number. */
static inline uint64_t load_le_tail(const uint8_t *p, size_t len)
{
	uint64_t word = 0;

	while (len-- > 0)
		word = word << 8 | p[len];
	return word;
}

/* @c and @d are constants at every call: inlined, the loops over rounds unroll. */
static inline uint64_t siphash(const struct siphash_key *key, const void *bytes, size_t len,
			       unsigned c, unsigned d)
{
	const uint8_t *p = bytes;
	struct state s = start(key);
	size_t left = len;

	for (; left >= 8; left -= 8, p += 8)
		compress(&s, load_le64(p), c);
	return finish(&s, (uint64_t)len << 56 | load_le_tail(p, left), c, d);
}

uint64_t siphash24(const struct siphash_key *key, const void *bytes, size_t len)
{
	return siphash(key, bytes, len, 2, 4);
}

uint64_t siphash13(const struct siphash_key *key, const void *bytes, size_t len)
{
	return siphash(key, bytes, len, 1, 3);
}

uint64_t siphash13_words(const struct siphash_key *key, const uint64_t *words, size_t n)
{
	struct state s = start(key);

	for (size_t i = 0; i < n; i++)
		compress(&s, words[i], 1);
	return finish(&s, (uint64_t)(8 * n) << 56, 1, 3);
}
