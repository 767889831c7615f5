/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cc_cubic.h - the equations of CUBIC (RFC 9438), for its test.
 *
 * Units: windows in 2^-10 segments, times in ms: with them C = 0.4 segments / s^3 is the fraction
 * TCP_CUBIC_C_NUM / TCP_CUBIC_C_DEN exactly.
 * Threads: any, pure functions.
 */
#ifndef FSOCK_TCP_CC_CUBIC_H
#define FSOCK_TCP_CC_CUBIC_H

#include <stdint.h>

enum {
	TCP_CUBIC_SHIFT = 10,	     /* fractional bits of a window */
	TCP_CUBIC_C_NUM = 4,	     /* 0.4 * 2^10 / 10^9 */
	TCP_CUBIC_C_DEN = 9765625,
	TCP_CUBIC_SPAN_MAX_MS = 1000000, /* its cube times TCP_CUBIC_C_NUM fits in 64 bits */
};

/* Equation 2: how long it takes from @cwnd back to @w_max, ms, rounded down; 0 when @cwnd is not below it. */
uint32_t tcp_cubic_k(uint64_t w_max, uint64_t cwnd);

/* Equation 1: the window @t ms after the epoch began; never below 0. */
uint64_t tcp_cubic_w(uint64_t w_max, uint32_t k, uint32_t t);

#endif
