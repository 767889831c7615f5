/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * csum_x86.c - the Internet checksum with SSE2 and AVX2, and the table of variants.
 *
 * Each 64-bit lane accumulates 32-bit words: 2^32 of them fit before a lane can overflow, far beyond
 * any frame, so no carry is lost. Loads and stores are unaligned: on the processors that matter they
 * cost nothing extra on aligned data, and a peeled prologue would make results depend on alignment.
 * The functions carry their target as an attribute; the rest of the build stays at the base level,
 * and who calls them has looked at the processor.
 */
#include "base/csum.h"

#include <immintrin.h>

#include "base/csum_internal.h"
#include "base/err.h"

/* Add the four 32-bit words of @v to the two 64-bit lanes of @acc. */
static inline __m128i sse2_add(__m128i acc, __m128i v)
{
	const __m128i low = _mm_set1_epi64x(0xffffffff);

	return _mm_add_epi64(_mm_add_epi64(acc, _mm_and_si128(v, low)), _mm_srli_epi64(v, 32));
}

static inline uint64_t sse2_total(__m128i a, __m128i b)
{
	__m128i acc = _mm_add_epi64(a, b);

	return (uint64_t)_mm_cvtsi128_si64(acc) +
	       (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(acc, acc));
}

static uint64_t sse2_sum(const void *from, size_t len)
{
	const uint8_t *p = from;
	__m128i a = _mm_setzero_si128(), b = a;

	for (; len >= 32; len -= 32, p += 32) {
		a = sse2_add(a, _mm_loadu_si128((const __m128i_u *)p));
		b = sse2_add(b, _mm_loadu_si128((const __m128i_u *)(p + 16)));
	}
	return csum_add(sse2_total(a, b), csum_inline(p, len));
}

static uint64_t sse2_copy(void *dest, const void *from, size_t len)
{
	const uint8_t *p = from;
	uint8_t *to = dest;
	__m128i a = _mm_setzero_si128(), b = a;

	for (; len >= 32; len -= 32, p += 32, to += 32) {
		__m128i v = _mm_loadu_si128((const __m128i_u *)p);
		__m128i w = _mm_loadu_si128((const __m128i_u *)(p + 16));

		_mm_storeu_si128((__m128i_u *)to, v);
		_mm_storeu_si128((__m128i_u *)(to + 16), w);
		a = sse2_add(a, v);
		b = sse2_add(b, w);
	}
	memcpy(to, p, len);
	return csum_add(sse2_total(a, b), csum_inline(p, len));
}

#define AVX2 __attribute__((target("avx2")))

AVX2 static inline __m256i avx2_add(__m256i acc, __m256i v)
{
	const __m256i low = _mm256_set1_epi64x(0xffffffff);

	return _mm256_add_epi64(_mm256_add_epi64(acc, _mm256_and_si256(v, low)),
				_mm256_srli_epi64(v, 32));
}

AVX2 static inline uint64_t avx2_total(__m256i a, __m256i b)
{
	__m256i acc = _mm256_add_epi64(a, b);

	return sse2_total(_mm256_castsi256_si128(acc), _mm256_extracti128_si256(acc, 1));
}

AVX2 static uint64_t avx2_sum(const void *from, size_t len)
{
	const uint8_t *p = from;
	__m256i a = _mm256_setzero_si256(), b = a;

	for (; len >= 64; len -= 64, p += 64) {
		a = avx2_add(a, _mm256_loadu_si256((const __m256i_u *)p));
		b = avx2_add(b, _mm256_loadu_si256((const __m256i_u *)(p + 32)));
	}
	return csum_add(avx2_total(a, b), csum_inline(p, len));
}

AVX2 static uint64_t avx2_copy(void *dest, const void *from, size_t len)
{
	const uint8_t *p = from;
	uint8_t *to = dest;
	__m256i a = _mm256_setzero_si256(), b = a;

	for (; len >= 64; len -= 64, p += 64, to += 64) {
		__m256i v = _mm256_loadu_si256((const __m256i_u *)p);
		__m256i w = _mm256_loadu_si256((const __m256i_u *)(p + 32));

		_mm256_storeu_si256((__m256i_u *)to, v);
		_mm256_storeu_si256((__m256i_u *)(to + 32), w);
		a = avx2_add(a, v);
		b = avx2_add(b, w);
	}
	memcpy(to, p, len);
	return csum_add(avx2_total(a, b), csum_inline(p, len));
}

static const struct csum_ops variant[] = {
	[CSUM_SCALAR] = { "scalar", csum_scalar_sum, csum_scalar_copy },
	[CSUM_SSE2] = { "sse2", sse2_sum, sse2_copy },
	[CSUM_AVX2] = { "avx2", avx2_sum, avx2_copy },
};
static_assert(FS_ARRAY_SIZE(variant) == CSUM_N_KINDS, "every kind has a variant");

const struct csum_ops *csum_ops(enum csum_kind kind)
{
	return &variant[(unsigned)kind < CSUM_N_KINDS ? kind : CSUM_SCALAR];
}
