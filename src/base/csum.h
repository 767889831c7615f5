/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * csum.h - the Internet checksum (RFC 1071) over memory, while copying, and over pseudo-headers.
 *
 * A *sum* is a uint64_t ones' complement accumulator over 16-bit words as they lie in memory. Start
 * from 0, put parts together with csum_add(), or csum_combine() when a part may begin at an odd
 * offset, and end with csum_finish(), which gives the field in network order ready to be stored.
 * Over bytes that include a correct checksum field csum_is_valid() holds.
 *
 * Does:     scalar and vector variants with identical results after csum_fold().
 * Does not: choose the variant. Whoever builds a stack looks at the processor and keeps an enum
 *           csum_kind in it; the engine only passes it on.
 * Threads:  any, no state.
 */
#ifndef FSOCK_BASE_CSUM_H
#define FSOCK_BASE_CSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/addr.h"
#include "base/endian.h"

/* Stored in stack memory, where function pointers have no place (DESIGN D2). */
enum csum_kind {
	CSUM_SCALAR, /* any processor */
	CSUM_SSE2,   /* any x86-64 */
	CSUM_AVX2,
	CSUM_N_KINDS
};

struct csum_ops {
	const char *name;

	/* Sum of @len bytes at @p, any alignment, as if at an even offset. */
	uint64_t (*sum)(const void *p, size_t len);

	/* The same, while copying them to @to, which must not overlap @from. */
	uint64_t (*copy)(void *to, const void *from, size_t len);
};

/*
 * The variant of that kind; the scalar one where this build lacks it. Never NULL.
 * Running a variant that the processor lacks is an illegal instruction: the caller has looked.
 */
const struct csum_ops *csum_ops(enum csum_kind kind);

/* Pseudo-header of @len bytes of @protocol between two addresses of one family, v4-mapped or IPv6
 * (RFC 768, RFC 8200 8.1). */
uint64_t csum_pseudo(const struct ip_addr *src, const struct ip_addr *dst, uint8_t protocol,
		     uint32_t len);

/* inline definitions */

/* Up to this length a call and vector set-up cost more than they save: 64-byte messages with their
 * headers, TCP's with timestamps, stay below it. */
#define CSUM_INLINE_MAX 128

static inline uint64_t csum_add(uint64_t a, uint64_t b)
{
	uint64_t sum = a + b;

	return sum + (sum < b);
}

/* Reduce to 16 bits, in memory order, not inverted. 0 only if every summed byte was 0. */
static inline uint16_t csum_fold(uint64_t sum)
{
	uint32_t half;

	/* A number plus its halves exchanged: the carry of the lower addition ends up in the upper one,
	 * which is what ones' complement wants. */
	sum += sum >> 32 | sum << 32;
	half = (uint32_t)(sum >> 32);
	half += half >> 16 | half << 16;
	return (uint16_t)(half >> 16);
}

/* Sum of the bytes before @offset and of a part @b that begins at @offset. A part at an odd offset
 * has its bytes in the other halves of the words: swap them (RFC 1071 2B). */
static inline uint64_t csum_combine(uint64_t a, uint64_t b, size_t offset)
{
	if (offset & 1)
		b = __builtin_bswap16(csum_fold(b));
	return csum_add(a, b);
}

/* The checksum field for what was summed (with the field itself as 0). */
static inline be16_t csum_finish(uint64_t sum)
{
	return (be16_t){ (uint16_t)~csum_fold(sum) };
}

/* The same of a sum of few words, which 32 bits hold. */
static inline be16_t csum_finish32(uint32_t sum)
{
	sum += sum >> 16 | sum << 16;
	return (be16_t){ (uint16_t)~(sum >> 16) };
}

/* The same for UDP, where 0 would mean "none": all ones instead (RFC 768). */
static inline be16_t csum_finish_udp(uint64_t sum)
{
	be16_t field = csum_finish(sum);

	return field.raw ? field : (be16_t){ 0xffff };
}

/* What a field with FBUF_CSUM_PARTIAL holds: the folded pseudo-header sum, not inverted. */
static inline be16_t csum_partial(uint64_t pseudo)
{
	return (be16_t){ csum_fold(pseudo) };
}

/* Is the sum over data and their checksum field that of an intact packet? */
static inline bool csum_is_valid(uint64_t sum)
{
	return csum_fold(sum) == 0xffff;
}

/* The sum of 32 bits. */
static inline uint64_t csum_word(be32_t net)
{
	return net.raw;
}

static inline uint64_t csum_load64(const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

/* The last 0 to 7 bytes as one word, padded with zeros behind. */
static inline uint64_t csum_tail_word(const uint8_t *p, size_t len)
{
	uint64_t word = 0;
	uint8_t *to = (uint8_t *)&word;

	if (len & 4) {
		memcpy(to, p, 4);
		to += 4;
		p += 4;
	}
	if (len & 2) {
		memcpy(to, p, 2);
		to += 2;
		p += 2;
	}
	if (len & 1)
		*to = *p;
	return word;
}

/*
 * csum_add() of the 8, 16 or 32 bytes at @p. Each carry goes on into the next word, and the last one comes back: an
 * instruction a word, which compilers do not find in the portable form.
 */
#ifdef __x86_64__
static inline uint64_t csum_add8(uint64_t sum, const uint8_t *p)
{
	__asm__("addq %1, %0\n\tadcq $0, %0" : "+r"(sum) : "m"(*(const uint8_t(*)[8])p) : "cc");
	return sum;
}

static inline uint64_t csum_add16(uint64_t sum, const uint8_t *p)
{
	__asm__("addq (%1), %0\n\tadcq 8(%1), %0\n\tadcq $0, %0"
		: "+r"(sum)
		: "r"(p), "m"(*(const uint8_t(*)[16])p)
		: "cc");
	return sum;
}

static inline uint64_t csum_add32(uint64_t sum, const uint8_t *p)
{
	__asm__("addq (%1), %0\n\tadcq 8(%1), %0\n\tadcq 16(%1), %0\n\tadcq 24(%1), %0\n\tadcq $0, %0"
		: "+r"(sum)
		: "r"(p), "m"(*(const uint8_t(*)[32])p)
		: "cc");
	return sum;
}
#else
static inline uint64_t csum_add8(uint64_t sum, const uint8_t *p)
{
	return csum_add(sum, csum_load64(p));
}

static inline uint64_t csum_add16(uint64_t sum, const uint8_t *p)
{
	return csum_add8(csum_add8(sum, p), p + 8);
}

static inline uint64_t csum_add32(uint64_t sum, const uint8_t *p)
{
	return csum_add16(csum_add16(sum, p), p + 16);
}
#endif

/* Sum without a call; for short data. What is left after whole 32 bytes goes by its bits: one branch each. */
static inline uint64_t csum_inline(const void *from, size_t len)
{
	const uint8_t *p = from, *end = p + (len & ~(size_t)31);
	uint64_t sum = 0;

	for (; p != end; p += 32)
		sum = csum_add32(sum, p);
	if (len & 16) {
		sum = csum_add16(sum, p);
		p += 16;
	}
	if (len & 8) {
		sum = csum_add8(sum, p);
		p += 8;
	}
	if (len & 7)
		sum = csum_add(sum, csum_tail_word(p, len & 7));
	return sum;
}

static inline uint64_t csum_bytes(const struct csum_ops *ops, const void *p, size_t len)
{
	return len <= CSUM_INLINE_MAX ? csum_inline(p, len) : ops->sum(p, len);
}

/* The last 0 to 7 bytes, in pieces: a memcpy() of unknown length would be a call. */
static inline uint64_t csum_copy_tail(uint8_t *to, const uint8_t *from, size_t len)
{
	size_t at = 0;

	if (len & 4) {
		memcpy(to, from, 4);
		at = 4;
	}
	if (len & 2) {
		memcpy(to + at, from + at, 2);
		at += 2;
	}
	if (len & 1)
		to[at] = from[at];
	return csum_tail_word(from, len);
}

/* Copy and sum without a call; for short data. */
static inline uint64_t csum_copy_inline(void *to, const void *from, size_t len)
{
	const uint8_t *p = from, *end = p + (len & ~(size_t)31);
	uint64_t sum = 0;
	uint8_t *q = to;

	for (; p != end; p += 32, q += 32) {
		memcpy(q, p, 32);
		sum = csum_add32(sum, p);
	}
	for (end = p + (len & 24); p != end; p += 8, q += 8) {
		memcpy(q, p, 8);
		sum = csum_add8(sum, p);
	}
	if (len & 7)
		sum = csum_add(sum, csum_copy_tail(q, p, len & 7));
	return sum;
}

/* Copy @len bytes that do not overlap, and sum them. */
static inline uint64_t csum_copy(const struct csum_ops *ops, void *to, const void *from, size_t len)
{
	return len <= CSUM_INLINE_MAX ? csum_copy_inline(to, from, len) : ops->copy(to, from, len);
}

#endif
