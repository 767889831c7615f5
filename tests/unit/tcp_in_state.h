/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_in_state.h - a connection brought to a state, for tests of what comes then.
 */
#ifndef FSOCK_TESTS_TCP_IN_STATE_H
#define FSOCK_TESTS_TCP_IN_STATE_H

#include "tcp_rig.h"

enum { FIN = TCP_FIN | TCP_ACK, RST = TCP_RST, SYN = TCP_SYN };

static inline const uint8_t *text(uint32_t at)
{
	return rig_pattern() + at;
}

static inline void peer_syn(struct tcp_rig *r)
{
	rig_seg_in(r, (struct rig_seg){ .seq = r->irs, .flags = TCP_SYN, .absolute = true, .no_ts = true });
}

/* Bring the connection to @state; what was sent on the way is gone. */
static inline void in_state(struct tcp_rig *r, enum tcp_state state, const struct rig_offer *offer)
{
	trig_open(r);
	r->tcp.config.challenge_per_s = 1000;
	if (state == TCP_SYN_SENT || state == TCP_SYN_RECEIVED) {
		assert_int_equal(trig_connect(r), 0);
		rig_drain(r);
		if (state == TCP_SYN_RECEIVED)
			peer_syn(r);
	} else {
		rig_establish(r, offer);
	}
	if (state == TCP_CLOSE_WAIT || state == TCP_LAST_ACK)
		rig_seg_in(r, (struct rig_seg){ .flags = FIN });
	if (state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING || state == TCP_LAST_ACK)
		assert_int_equal(tcp_shutdown(r->c, &r->h.env, TCP_SHUT_WR, r->now), 0);
	if (state == TCP_FIN_WAIT2)
		rig_seg_in(r, (struct rig_seg){ .ack = 1 });
	if (state == TCP_CLOSING)
		rig_seg_in(r, (struct rig_seg){ .flags = FIN });
	rig_drain(r);
	assert_int_equal(r->c->state, state);
	r->edges = 0;
}

/* Nothing came of it: no answer, no change. */
static inline void expect_ignored(struct tcp_rig *r, enum tcp_state state, enum fs_counter why)
{
	rig_no_out(r);
	assert_int_equal(r->c->state, state);
	assert_int_equal(rig_counter(r, why), 1);
}

#endif
