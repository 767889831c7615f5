/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seq.h - sequence numbers: arithmetic modulo 2^32 (RFC 9293 3.4).
 *
 * Comparisons hold for numbers less than 2^31 apart. Sequence numbers are compared by nothing else
 * (style rule 35); they are added to as the unsigned numbers they are.
 * Threads: any, pure values.
 */
#ifndef FSOCK_BASE_SEQ_H
#define FSOCK_BASE_SEQ_H

#include <stdbool.h>
#include <stdint.h>

typedef uint32_t tcp_seq;

/* inline definitions */

/* How far @a is ahead of @b; negative: behind. */
static inline int32_t seq_diff(tcp_seq a, tcp_seq b)
{
	return (int32_t)(a - b);
}

static inline bool seq_lt(tcp_seq a, tcp_seq b)
{
	return seq_diff(a, b) < 0;
}

static inline bool seq_le(tcp_seq a, tcp_seq b)
{
	return seq_diff(a, b) <= 0;
}

static inline bool seq_gt(tcp_seq a, tcp_seq b)
{
	return seq_diff(a, b) > 0;
}

static inline bool seq_ge(tcp_seq a, tcp_seq b)
{
	return seq_diff(a, b) >= 0;
}

static inline tcp_seq seq_max(tcp_seq a, tcp_seq b)
{
	return seq_gt(a, b) ? a : b;
}

static inline tcp_seq seq_min(tcp_seq a, tcp_seq b)
{
	return seq_lt(a, b) ? a : b;
}

/* left <= s < left + len */
static inline bool seq_in(tcp_seq s, tcp_seq left, uint32_t len)
{
	return s - left < len;
}

#endif
