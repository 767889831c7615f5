/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * matrix_rules.h - what must come of one segment in one state, by the rules of the standards.
 *
 * RFC 9293 3.10.7 with RFC 5961, written down here a second time and without a look at the engine. Where both
 * differ because we follow Linux, the rule says so. Numbers are relative to the initial ones, windows in bytes.
 *
 * Does not: timestamps, windows that are closed (scripts do).
 * Threads:  any, a pure function.
 */
#ifndef FSOCK_TESTS_PACKET_MATRIX_RULES_H
#define FSOCK_TESTS_PACKET_MATRIX_RULES_H

#include <stdbool.h>
#include <stdint.h>

/* LISTENED: SYN-RECEIVED of a listener; the other one is of a simultaneous open. */
enum matrix_state {
	MATRIX_CLOSED,
	MATRIX_LISTEN,
	MATRIX_SYN_SENT,
	MATRIX_SYN_RECEIVED,
	MATRIX_LISTENED,
	MATRIX_ESTABLISHED,
	MATRIX_FIN_WAIT_1,
	MATRIX_FIN_WAIT_2,
	MATRIX_CLOSE_WAIT,
	MATRIX_CLOSING,
	MATRIX_LAST_ACK,
	MATRIX_TIME_WAIT,
	MATRIX_N_STATES
};

struct matrix_segment {
	bool syn, fin, rst, has_ack;
	int64_t seq, ack;
	uint32_t len; /* payload */
};

struct matrix_context {
	enum matrix_state state;
	int64_t rcv_nxt, snd_una, snd_nxt;
	int64_t rcv_wnd;
	int64_t max_snd_wnd;
};

enum matrix_reply { MATRIX_NOTHING, MATRIX_ACK, MATRIX_SYN_ACK, MATRIX_RST, MATRIX_RST_ACK };

struct matrix_outcome {
	enum matrix_reply reply;
	int64_t seq, ack; /* of the reply */
	enum matrix_state state;
	int64_t delivered; /* bytes the user may read */
};

struct matrix_outcome matrix_expect(const struct matrix_context *c, const struct matrix_segment *s);

#endif
