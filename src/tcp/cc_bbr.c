/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cc_bbr.c - "bbr": paces at the bandwidth the path was seen to deliver, and keeps a bandwidth-delay product or two
 * in flight (BBR version 1).
 *
 * The model is two filters: the largest delivery rate of ten rounds and the smallest round trip of ten seconds.
 * STARTUP finds the first by doubling, DRAIN empties the queue this made, PROBE_BW asks for more in one of
 * eight round trips, PROBE_RTT lets the queue drain every ten seconds to see the second. Losses bound the
 * window for the round trip they appear in and change the model in nothing.
 * Does not: detect policers, model ACK aggregation (both are later additions). A random phase to begin PROBE_BW
 * in is taken from the time, the engine having no randomness.
 * Standards: draft-cardwell-iccrg-bbr-congestion-control-00; sections below are its.
 */
#include <stdbool.h>

#include "base/err.h"
#include "tcp/cc.h"

enum bbr_mode { BBR_STARTUP, BBR_DRAIN, BBR_PROBE_BW, BBR_PROBE_RTT };

/* Gains in units of GAIN_ONE. */
enum {
	GAIN_ONE = 256,
	GAIN_HIGH = 739, /* 4.3.1.1: 2 / ln 2, the smallest that doubles each round */
	GAIN_DRAIN = 88, /* 4.3.2.1: its inverse */
	GAIN_CWND = 512, /* 4.2.3.2: room for delayed and aggregated ACKs */
};

enum {
	BW_ROUNDS = 10,		/* 4.1.1.4: BtlBwFilterLen */
	FULL_BW_ROUNDS = 3,	/* 4.3.1.2: without growth by a quarter the pipe is full */
	MIN_CWND = 4,		/* 4.2.3.3: segments */
	INITIAL_CWND = 10,	/* RFC 6928; until so many were delivered the window only grows */
	CYCLE_LEN = 8,
	INITIAL_RTT_US = 1000,	/* 4.2.1: of the first pacing rate, before any sample */
	PACING_MARGIN_PERCENT = 1, /* paced just below, so that a queue of our own drains (Linux) */
	QUANTUM_BYTES_MAX = 65536, /* 4.2.2 */
	BW_SHIFT = 8,		/* fractional bits of a rate in segments per second */
	MIN_RTT_WINDOW_S = 10,	/* 4.1.2.3: RTpropFilterLen */
	PROBE_RTT_MS = 200,	/* 4.3.5: ProbeRTTDuration */
};

/* 4.3.4.1: one round trip more, one less, six as the model says. */
static const uint16_t cycle_gain[CYCLE_LEN] = { GAIN_ONE * 5 / 4, GAIN_ONE * 3 / 4, GAIN_ONE, GAIN_ONE,
						GAIN_ONE,	  GAIN_ONE,	    GAIN_ONE, GAIN_ONE };

/* The three best samples of the window, each younger than the one before it: so the next is known when the
 * best one ages out. */
struct bbr_max {
	uint64_t bw[3];
	uint32_t round[3];
};

struct bbr {
	struct bbr_max max;	  /* 4.1.1: BtlBw; segments per second, 2^-BW_SHIFT */
	uint64_t full_bw;	  /* 4.3.1.2: the best when growth was seen last */
	fs_ns min_rtt_at;
	fs_ns cycle_at;		  /* when the phase of PROBE_BW began */
	fs_ns probe_rtt_done_at;  /* 0 = not drained yet */
	uint32_t min_rtt_us;	  /* RTprop; UINT32_MAX = none */
	uint32_t round;		  /* counted */
	uint32_t prior_cwnd;	  /* to go back to after recovery or PROBE_RTT */
	uint32_t round_delivered; /* low bits of tcp_cc.delivered when the round began */
	uint32_t conserve_until;  /* 4.2.3.4: packet conservation until this is delivered, low bits; while conserves */
	uint8_t mode : 2;	  /* enum bbr_mode */
	uint8_t cycle : 3;	  /* index in cycle_gain */
	uint8_t prior_state : 3;  /* enum tcp_ca_state at the last ACK */
	uint8_t full_bw_count;
	bool conserves : 1;
	bool filled : 1;	  /* the pipe has been full once */
	bool idle_restart : 1;
	bool round_start : 1;	  /* of this ACK */
	bool probe_rtt_round_done : 1;
	bool seen_rtt : 1;	  /* the pacing rate is of a measured round trip */
};
static_assert(sizeof(struct bbr) <= sizeof(((struct tcp_cc *)0)->private), "state fits");

static struct bbr *bbr(struct tcp_cc *cc)
{
	return (struct bbr *)cc->private;
}

/* Was what was delivered sent when @delivered had been already? */
static bool was_sent_since(const struct tcp_cc_ack *ack, uint32_t delivered)
{
	return ack->interval_us > 0 && (int32_t)((uint32_t)ack->prior_delivered - delivered) >= 0;
}

/* --- the bandwidth filter --- */

static void max_reset(struct bbr_max *m, uint64_t bw, uint32_t round)
{
	for (unsigned i = 0; i < FS_ARRAY_SIZE(m->bw); i++) {
		m->bw[i] = bw;
		m->round[i] = round;
	}
}

/* The best sample is older than the window: the next ones move up and @bw is the youngest. */
static void max_age(struct bbr_max *m, uint64_t bw, uint32_t round)
{
	for (unsigned i = 0; i < 2 && round - m->round[0] > BW_ROUNDS; i++) {
		m->bw[0] = m->bw[1];
		m->round[0] = m->round[1];
		m->bw[1] = m->bw[2];
		m->round[1] = m->round[2];
		m->bw[2] = bw;
		m->round[2] = round;
	}
}

static void max_update(struct bbr_max *m, uint64_t bw, uint32_t round)
{
	if (bw >= m->bw[0] || round - m->round[2] > BW_ROUNDS) {
		max_reset(m, bw, round);
		return;
	}
	if (bw >= m->bw[1]) {
		m->bw[1] = m->bw[2] = bw;
		m->round[1] = m->round[2] = round;
	} else if (bw >= m->bw[2]) {
		m->bw[2] = bw;
		m->round[2] = round;
	}
	max_age(m, bw, round);
	/* The runners-up are of the same round as the best: spread them over the window, or all age out at once. */
	if (m->round[1] == m->round[0] && round - m->round[1] > BW_ROUNDS / 4) {
		m->bw[1] = m->bw[2] = bw;
		m->round[1] = m->round[2] = round;
	} else if (m->round[2] == m->round[1] && round - m->round[2] > BW_ROUNDS / 2) {
		m->bw[2] = bw;
		m->round[2] = round;
	}
}

/* --- pacing and window (4.2) --- */

static uint32_t pacing_gain(const struct bbr *b)
{
	switch ((enum bbr_mode)b->mode) {
	case BBR_STARTUP:
		return GAIN_HIGH;
	case BBR_DRAIN:
		return GAIN_DRAIN;
	case BBR_PROBE_BW:
		return cycle_gain[b->cycle];
	case BBR_PROBE_RTT:
		break;
	}
	return GAIN_ONE;
}

static uint32_t cwnd_gain(const struct bbr *b)
{
	switch ((enum bbr_mode)b->mode) {
	case BBR_STARTUP:
	case BBR_DRAIN:
		return GAIN_HIGH;
	case BBR_PROBE_BW:
		return GAIN_CWND;
	case BBR_PROBE_RTT:
		break;
	}
	return GAIN_ONE;
}

static uint64_t rate_of(const struct tcp_cc *cc, uint64_t bw, uint32_t gain)
{
	uint64_t rate = bw * cc->mss >> BW_SHIFT;

	return rate * gain / GAIN_ONE * (100 - PACING_MARGIN_PERCENT) / 100;
}

/* 4.2.1: before the pipe was full the rate only rises: a sample may be low for want of data in flight. */
static void set_pacing_rate(struct tcp_cc *cc, uint32_t gain)
{
	struct bbr *b = bbr(cc);
	uint64_t rate = rate_of(cc, b->max.bw[0], gain);

	if (b->filled || rate > cc->pacing_rate)
		cc->pacing_rate = rate;
}

static void init_pacing_rate(struct tcp_cc *cc)
{
	uint32_t rtt_us = cc->srtt_us > 0 ? cc->srtt_us : INITIAL_RTT_US;

	bbr(cc)->seen_rtt = cc->srtt_us > 0;
	cc->pacing_rate = rate_of(cc, ((uint64_t)cc->cwnd * 1000000 << BW_SHIFT) / rtt_us, GAIN_HIGH);
}

/* 4.2.2: how much leaves in one go, segments. */
static uint32_t quantum(const struct tcp_cc *cc)
{
	uint64_t ms = cc->pacing_rate / 1000;

	if (cc->pacing_rate < 1200000 / 8)
		return 1;
	if (cc->pacing_rate < 24000000 / 8)
		return 2;
	return (uint32_t)FS_MAX(FS_MIN(ms, (uint64_t)QUANTUM_BYTES_MAX) / cc->mss, 1U);
}

/* 4.2.3.2: @gain bandwidth-delay products, segments, rounded up. */
static uint64_t bdp(const struct tcp_cc *cc, const struct bbr *b, uint32_t gain)
{
	uint64_t scaled;

	if (b->min_rtt_us == UINT32_MAX)
		return cc->cwnd; /* no sample yet: the initial window */
	scaled = b->max.bw[0] * b->min_rtt_us / 1000000;
	return (scaled * gain + (GAIN_ONE << BW_SHIFT) - 1) / (GAIN_ONE << BW_SHIFT);
}

static uint64_t inflight(const struct tcp_cc *cc, const struct bbr *b, uint32_t gain)
{
	return bdp(cc, b, gain) + 3 * (uint64_t)quantum(cc);
}

static void save_cwnd(struct tcp_cc *cc)
{
	struct bbr *b = bbr(cc);

	if (b->prior_state < TCP_CA_RECOVERY && b->mode != BBR_PROBE_RTT)
		b->prior_cwnd = cc->cwnd;
	else
		b->prior_cwnd = FS_MAX(b->prior_cwnd, cc->cwnd);
}

/* 4.2.3.4: for one round trip after a loss no more leaves than arrived; then back. True: cwnd is set. */
static bool modulate_for_recovery(struct tcp_cc *cc, const struct tcp_cc_ack *ack, uint32_t now_in_flight)
{
	struct bbr *b = bbr(cc);
	uint8_t prior = b->prior_state;

	b->prior_state = cc->ca_state;
	if (ack->losses > 0)
		cc->cwnd = cc->cwnd > ack->losses ? cc->cwnd - ack->losses : 1;
	if (cc->ca_state == TCP_CA_RECOVERY && prior != TCP_CA_RECOVERY) {
		b->conserves = true;
		b->conserve_until = (uint32_t)cc->delivered;
		cc->cwnd = now_in_flight + ack->acked_sacked;
	} else if (prior >= TCP_CA_RECOVERY && cc->ca_state < TCP_CA_RECOVERY) {
		b->conserves = false;
		cc->cwnd = FS_MAX(cc->cwnd, b->prior_cwnd);
	} else if (b->conserves && was_sent_since(ack, b->conserve_until)) {
		b->conserves = false;
	}
	if (!b->conserves)
		return false;
	cc->cwnd = FS_MAX(cc->cwnd, now_in_flight + ack->acked_sacked);
	return true;
}

static void set_cwnd(struct tcp_cc *cc, const struct tcp_cc_ack *ack, uint32_t now_in_flight)
{
	struct bbr *b = bbr(cc);
	uint64_t target = inflight(cc, b, cwnd_gain(b));

	if (!modulate_for_recovery(cc, ack, now_in_flight)) {
		uint32_t grown = FS_MIN(cc->cwnd + ack->acked_sacked, (uint32_t)TCP_CWND_MAX);

		if (b->filled)
			cc->cwnd = (uint32_t)FS_MIN(grown, target);
		else if (cc->cwnd < target || cc->delivered < INITIAL_CWND)
			cc->cwnd = grown;
		cc->cwnd = FS_MAX(cc->cwnd, (uint32_t)MIN_CWND);
	}
	cc->cwnd = FS_MIN(cc->cwnd, cc->clamp);
	if (b->mode == BBR_PROBE_RTT)
		cc->cwnd = FS_MIN(cc->cwnd, (uint32_t)MIN_CWND);
}

/* --- the model (4.1) --- */

/* A round ends when something sent after its begin is delivered. While PROBE_RTT keeps the flight small rounds are
 * not counted: two hundred of them would age the bandwidth out of its filter. */
static void update_round(struct tcp_cc *cc, const struct tcp_cc_ack *ack)
{
	struct bbr *b = bbr(cc);

	b->round_start = was_sent_since(ack, b->round_delivered);
	if (!b->round_start)
		return;
	b->round_delivered = (uint32_t)cc->delivered;
	if (b->mode != BBR_PROBE_RTT)
		b->round++;
}

/* 4.1.1.3: samples that the program limited count only when they exceed what is known. */
static void update_bw(struct tcp_cc *cc, const struct tcp_cc_ack *ack)
{
	struct bbr *b = bbr(cc);
	uint64_t bw;

	if (ack->interval_us <= 0 || ack->delivered == 0)
		return;
	bw = ((uint64_t)ack->delivered * 1000000 << BW_SHIFT) / (uint64_t)ack->interval_us;
	if (bw >= b->max.bw[0] || (!ack->app_limited && b->mode != BBR_PROBE_RTT))
		max_update(&b->max, bw, b->round);
}

/* 4.3.1.2 */
static void check_full_pipe(struct bbr *b, const struct tcp_cc_ack *ack)
{
	if (b->filled || !b->round_start || ack->app_limited)
		return;
	if (b->max.bw[0] >= b->full_bw + b->full_bw / 4) {
		b->full_bw = b->max.bw[0];
		b->full_bw_count = 0;
		return;
	}
	b->full_bw_count++;
	b->filled = b->full_bw_count >= FULL_BW_ROUNDS;
}

/* --- the state machine (4.3) --- */

static void enter_probe_bw(struct bbr *b, fs_ns now)
{
	b->mode = BBR_PROBE_BW;
	/* 4.3.4.2: any phase but the one that drains; flows must not probe in step. */
	b->cycle = (uint8_t)(CYCLE_LEN - 1 - (uint64_t)(now / FS_US(1)) % (CYCLE_LEN - 1));
	b->cycle = (uint8_t)((b->cycle + 1) % CYCLE_LEN);
	b->cycle_at = now;
}

static void check_drain(struct tcp_cc *cc, uint32_t now_in_flight, fs_ns now)
{
	struct bbr *b = bbr(cc);

	if (b->mode == BBR_STARTUP && b->filled)
		b->mode = BBR_DRAIN;
	if (b->mode == BBR_DRAIN && now_in_flight <= bdp(cc, b, GAIN_ONE))
		enter_probe_bw(b, now);
}

/* 4.3.4.3: the phase that probes lasts until the queue shows or loses, the one that drains until it is gone. */
static bool phase_is_over(const struct tcp_cc *cc, const struct bbr *b, const struct tcp_cc_ack *ack)
{
	bool is_long = ack->now - b->cycle_at > (fs_ns)b->min_rtt_us * 1000;
	uint32_t gain = cycle_gain[b->cycle];

	if (gain > GAIN_ONE)
		return is_long && (ack->losses > 0 || ack->in_flight >= inflight(cc, b, gain));
	if (gain < GAIN_ONE)
		return is_long || ack->in_flight <= bdp(cc, b, GAIN_ONE);
	return is_long;
}

static void check_cycle(struct tcp_cc *cc, const struct tcp_cc_ack *ack)
{
	struct bbr *b = bbr(cc);

	if (b->mode != BBR_PROBE_BW || !phase_is_over(cc, b, ack))
		return;
	b->cycle = (uint8_t)((b->cycle + 1) % CYCLE_LEN);
	b->cycle_at = ack->now;
}

static void exit_probe_rtt(struct tcp_cc *cc, fs_ns now)
{
	struct bbr *b = bbr(cc);

	b->min_rtt_at = now;
	cc->cwnd = FS_MAX(cc->cwnd, b->prior_cwnd);
	if (b->filled)
		enter_probe_bw(b, now);
	else
		b->mode = BBR_STARTUP;
}

/* 4.3.5: wait until the flight is small, then for a round trip and PROBE_RTT_MS. */
static void probe_rtt(struct tcp_cc *cc, uint32_t now_in_flight, fs_ns now)
{
	struct bbr *b = bbr(cc);

	if (b->probe_rtt_done_at == 0) {
		if (now_in_flight > MIN_CWND)
			return;
		b->probe_rtt_done_at = now + FS_MS(PROBE_RTT_MS);
		b->probe_rtt_round_done = false;
		b->round_delivered = (uint32_t)cc->delivered;
		return;
	}
	b->probe_rtt_round_done |= b->round_start;
	if (b->probe_rtt_round_done && now > b->probe_rtt_done_at)
		exit_probe_rtt(cc, now);
}

/* 4.1.2, 4.3.5 */
static void update_min_rtt(struct tcp_cc *cc, const struct tcp_cc_ack *ack, uint32_t now_in_flight)
{
	struct bbr *b = bbr(cc);
	bool expired = ack->now > b->min_rtt_at + FS_SEC(MIN_RTT_WINDOW_S);

	if (ack->rtt_us >= 0 &&
	    ((uint32_t)ack->rtt_us <= b->min_rtt_us || (expired && !ack->ack_delayed))) {
		b->min_rtt_us = (uint32_t)ack->rtt_us;
		b->min_rtt_at = ack->now;
	}
	if (expired && !b->idle_restart && b->mode != BBR_PROBE_RTT) {
		save_cwnd(cc);
		b->mode = BBR_PROBE_RTT;
		b->probe_rtt_done_at = 0;
	}
	if (b->mode == BBR_PROBE_RTT)
		probe_rtt(cc, now_in_flight, ack->now);
	if (ack->acked_sacked > 0)
		b->idle_restart = false;
}

/* --- operations --- */

static void bbr_init(struct tcp_cc *cc, fs_ns now)
{
	struct bbr *b = bbr(cc);

	b->min_rtt_us = cc->min_rtt_us;
	b->min_rtt_at = now;
	b->prior_state = cc->ca_state;
	b->round_delivered = (uint32_t)cc->delivered;
	cc->ssthresh = TCP_SSTHRESH_NONE;
	init_pacing_rate(cc);
}

static void bbr_acked(struct tcp_cc *cc, const struct tcp_cc_ack *ack)
{
	struct bbr *b = bbr(cc);
	uint32_t gone = ack->acked_sacked + ack->losses;
	uint32_t now_in_flight = ack->in_flight > gone ? ack->in_flight - gone : 0;

	if (!b->seen_rtt && cc->srtt_us > 0)
		init_pacing_rate(cc);
	update_round(cc, ack);
	update_bw(cc, ack);
	check_cycle(cc, ack);
	check_full_pipe(b, ack);
	check_drain(cc, now_in_flight, ack->now);
	update_min_rtt(cc, ack, now_in_flight);
	set_pacing_rate(cc, pacing_gain(b));
	set_cwnd(cc, ack, now_in_flight);
}

static uint32_t bbr_ssthresh(struct tcp_cc *cc, fs_ns now)
{
	save_cwnd(cc);
	return cc->ssthresh;
}

/* 4.2.3.4: after a timeout nothing is believed in flight; the window comes back with the state. */
static void bbr_state(struct tcp_cc *cc, enum tcp_ca_state state, fs_ns now)
{
	struct bbr *b = bbr(cc);

	if (state != TCP_CA_LOSS || cc->ca_state == TCP_CA_LOSS)
		return;
	save_cwnd(cc);
	b->prior_state = TCP_CA_LOSS;
	b->conserves = false;
	b->full_bw = 0;
	cc->cwnd = 1;
}

/* Nothing was lost: what looked like a full pipe may have been the same mistake. */
static uint32_t bbr_undo(struct tcp_cc *cc)
{
	struct bbr *b = bbr(cc);

	b->full_bw = 0;
	b->full_bw_count = 0;
	return FS_MAX(cc->cwnd, b->prior_cwnd);
}

/* 4.2.3.6: after idling the pipe is empty: begin at the known rate, do not probe with it. */
static void bbr_event(struct tcp_cc *cc, enum tcp_cc_event event, fs_ns now)
{
	struct bbr *b = bbr(cc);

	if (event != TCP_CC_TX_START)
		return;
	b->idle_restart = true;
	b->cycle_at = now;
	if (b->mode == BBR_PROBE_BW)
		set_pacing_rate(cc, GAIN_ONE);
	else if (b->mode == BBR_PROBE_RTT)
		probe_rtt(cc, 0, now);
}

const struct tcp_cc_ops tcp_cc_bbr = {
	.name = "bbr",
	.paces = true,
	.owns_window = true,
	.init = bbr_init,
	.acked = bbr_acked,
	.ssthresh = bbr_ssthresh,
	.state = bbr_state,
	.undo = bbr_undo,
	.event = bbr_event,
};
