/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * csum.c - the Internet checksum: the portable variant and pseudo-headers. RFC 1071, RFC 768,
 * RFC 8200 8.1. The vector variants are in csum_x86.c.
 *
 * Ones' complement addition does not care how wide the words are, as long as every carry comes back:
 * 64-bit words are summed and the carries counted apart, four independent chains at a time.
 */
#include "base/csum.h"

#include "base/csum_internal.h"
#include "base/err.h"

struct chains {
	uint64_t sum[4], carries[4];
};

static void chains_add(struct chains *c, unsigned i, uint64_t word)
{
	c->sum[i] += word;
	c->carries[i] += c->sum[i] < word;
}

static uint64_t chains_total(const struct chains *c)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < FS_ARRAY_SIZE(c->sum); i++)
		total = csum_add(csum_add(total, c->sum[i]), c->carries[i]);
	return total;
}

uint64_t csum_scalar_sum(const void *from, size_t len)
{
	const uint8_t *p = from;
	struct chains c = { 0 };

	for (; len >= 32; len -= 32, p += 32) {
		for (unsigned i = 0; i < 4; i++)
			chains_add(&c, i, csum_load64(p + 8 * i));
	}
	return csum_add(chains_total(&c), csum_inline(p, len));
}

uint64_t csum_scalar_copy(void *dest, const void *from, size_t len)
{
	const uint8_t *p = from;
	uint8_t *to = dest;
	struct chains c = { 0 };

	for (; len >= 32; len -= 32, p += 32, to += 32) {
		for (unsigned i = 0; i < 4; i++) {
			uint64_t word = csum_load64(p + 8 * i);

			memcpy(to + 8 * i, &word, 8);
			chains_add(&c, i, word);
		}
	}
	memcpy(to, p, len);
	return csum_add(chains_total(&c), csum_inline(p, len));
}

uint64_t csum_pseudo(const struct ip_addr *src, const struct ip_addr *dst, uint8_t protocol,
		     uint32_t len)
{
	uint64_t sum = (uint64_t)be32_make(len).raw + be32_make(protocol).raw;

	if (ip_addr_is_v4(src)) {
		/* The 16-bit length of RFC 768 in a 32-bit word: the upper half adds 0. */
		sum += (uint64_t)src->w[3] + dst->w[3];
		return sum;
	}
	for (unsigned i = 0; i < 2; i++)
		sum = csum_add(csum_add(sum, src->d[i]), dst->d[i]);
	return sum;
}
