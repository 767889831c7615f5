/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * option.h - TCP options of packet scripts: "mss 1460, sackok, ts 5 0, nop, wscale 7" and the bytes.
 *
 * Names:    mss N, wscale N, sackok, sack L:R ..., ts VAL ECR, nop, eol, fo [COOKIE], raw BYTE ...
 *           Cookies are $NAME, 0x..., or ?NAME. In segments expected, * is any value and ?NAME binds it; `.` is our
 *           or the peer's clock (VAL), the last value seen (ECR).
 * Does not: pad expected options: they are compared byte by byte.
 * Threads:  one.
 * Errors:   false after script_fail().
 */
#ifndef FSOCK_TESTS_PACKET_OPTION_H
#define FSOCK_TESTS_PACKET_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "script.h"

enum { OPTION_BYTES = 64, OPTION_BINDS = 8 };

struct option_bind {
	char name[VALUE_NAME];
	uint32_t base;	 /* subtracted from what is there */
	uint8_t at, len;
	bool cookie;
};

struct options {
	uint8_t bytes[OPTION_BYTES], mask[OPTION_BYTES]; /* mask 0: any */
	uint8_t n;
	struct option_bind bind[OPTION_BINDS];
	uint8_t n_binds;
	bool has_ts;
	uint32_t ts_val; /* absolute */
};

/* @text without its angle brackets; @out: of a segment we sent. */
bool option_parse(struct script *s, const struct flow *flow, const char *text, bool out, struct options *o);

/* Pad with zeroes to a multiple of four. */
void option_pad(struct options *o);

/* Compare with what is there, and bind. */
bool option_match(struct script *s, const struct options *want, const uint8_t *bytes, uint8_t n);

/* In the script's notation, without brackets. */
void option_text(const struct flow *flow, const uint8_t *bytes, uint8_t n, char *to, size_t room);

#endif
