/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cc_cubic.c - "cubic": the window is a cubic function of the time since the last reduction.
 *
 * Windows are compared in fractions of a segment: with thousands of segments in flight one ACK's share of growth
 * is far below one. Growth is 2^-32 segments, the cubic itself 2^-10 (cc_cubic.h).
 * Does not: use floating point (the engine has none), pace.
 * Standards: RFC 9438, RFC 9406 (slow start).
 */
#include "tcp/cc_cubic.h"

#include <stdbool.h>

#include "base/err.h"
#include "tcp/cc.h"
#include "tcp/hystart.h"

/* RFC 9438 4.6: beta 0.7; 4.3: alpha = 3 * (1 - beta) / (1 + beta) = 9/17; 4.7: (1 + beta) / 2 = 17/20. */
enum { BETA_NUM = 7, BETA_DEN = 10, ALPHA_NUM = 9, ALPHA_DEN = 17, FAST_NUM = 17, FAST_DEN = 20 };

enum { FINE_SHIFT = 32 }; /* fractional bits of a window that grows */

/* What a reduction changes and a mistaken one gives back (RFC 9438 4.9). */
struct curve {
	uint64_t w_est;	     /* the window Reno would have, 2^-32 segments */
	fs_ns epoch_at;	     /* when this stage of congestion avoidance began; FS_NEVER = at the next ACK */
	uint64_t w_max;	     /* 2^-10 segments; 0 = the window at the beginning of the epoch */
	uint32_t k;	     /* ms */
	uint32_t cwnd_prior; /* segments: the window when ssthresh was set last */
};

struct cubic {
	struct curve now, undo;
	fs_ns last_at;	/* last ACK, valid while an epoch runs */
	uint32_t fraction; /* of a segment beyond tcp_cc.cwnd, 2^-32; of this epoch */
	struct hystart hystart;
};
static_assert(sizeof(struct cubic) <= sizeof(((struct tcp_cc *)0)->private), "state fits");

static struct cubic *cubic(struct tcp_cc *cc)
{
	return (struct cubic *)cc->private;
}

/* Largest r with r^3 <= x, bit by bit; once an epoch. */
static uint32_t cube_root(uint64_t x)
{
	uint64_t root = 0;

	for (int shift = 63; shift >= 0; shift -= 3) {
		uint64_t step;

		root *= 2;
		step = 3 * root * (root + 1) + 1; /* (root + 1)^3 - root^3 */
		if (x >> shift >= step) {
			x -= step << shift;
			root++;
		}
	}
	return (uint32_t)root;
}

uint32_t tcp_cubic_k(uint64_t w_max, uint64_t cwnd)
{
	if (cwnd >= w_max)
		return 0;
	return cube_root((w_max - cwnd) * TCP_CUBIC_C_DEN / TCP_CUBIC_C_NUM);
}

uint64_t tcp_cubic_w(uint64_t w_max, uint32_t k, uint32_t t)
{
	uint64_t d = FS_MIN(t < k ? k - t : t - k, (uint32_t)TCP_CUBIC_SPAN_MAX_MS);
	uint64_t distance = d * d * d * TCP_CUBIC_C_NUM / TCP_CUBIC_C_DEN;

	if (t >= k)
		return w_max + distance;
	return distance < w_max ? w_max - distance : 0;
}

static void cubic_init(struct tcp_cc *cc, fs_ns now)
{
	hystart_init(&cubic(cc)->hystart);
	cubic(cc)->now.epoch_at = FS_NEVER;
	cubic(cc)->now.cwnd_prior = cc->cwnd;
}

/* A stage of congestion avoidance begins. */
static void begin_epoch(struct cubic *c, struct tcp_cc *cc, fs_ns now)
{
	uint64_t cwnd = (uint64_t)cc->cwnd << TCP_CUBIC_SHIFT;

	c->fraction = 0;
	c->now.epoch_at = now;
	cc->times_idle = true;
	c->now.w_est = (uint64_t)cc->cwnd << FINE_SHIFT;
	/* 4.8, 4.10: after a timeout or without any loss before there is nothing to return to: K is 0. */
	if (c->now.w_max < cwnd)
		c->now.w_max = cwnd;
	c->now.k = tcp_cubic_k(c->now.w_max, cwnd);
}

/* 4.2, 5.8: the time in which the program and not the window bounded what was sent is none of the epoch's. */
static void shift_epoch(struct cubic *c, fs_ns now)
{
	if (c->now.epoch_at != FS_NEVER)
		c->now.epoch_at += now - c->last_at;
	c->last_at = now;
}

/* 4.3: W_est; Reno's increase with a share such that it loses as much as it gains at beta 0.7. */
static void grow_w_est(struct curve *w, uint32_t cwnd, uint32_t acked)
{
	bool caught_up = w->w_est >> FINE_SHIFT >= w->cwnd_prior;
	uint32_t num = caught_up ? 1 : ALPHA_NUM, den = caught_up ? 1 : ALPHA_DEN;

	w->w_est += ((uint64_t)num * acked << FINE_SHIFT) / ((uint64_t)den * cwnd);
	w->w_est = FS_MIN(w->w_est, (uint64_t)TCP_CWND_MAX << FINE_SHIFT);
}

/* 4.2, 4.4, 4.5: towards the cubic's value one round trip ahead, by at most half the window. */
static uint64_t grow_cubic(const struct curve *w, uint64_t window, uint32_t cwnd, uint32_t t, uint32_t rtt,
			   uint32_t acked)
{
	uint64_t target = tcp_cubic_w(w->w_max, w->k, t + rtt);
	uint64_t limit = (uint64_t)cwnd * 3 / 2 << TCP_CUBIC_SHIFT;

	target = FS_MIN(target, limit) << (FINE_SHIFT - TCP_CUBIC_SHIFT);
	if (target <= window)
		return window;
	/* One ACK of a whole window may not go beyond the target either. */
	return window + (target - window) / cwnd * FS_MIN(acked, cwnd);
}

static void avoid(struct cubic *c, struct tcp_cc *cc, uint32_t acked, fs_ns now)
{
	struct curve *w = &c->now;
	uint64_t window;
	uint32_t t;

	if (w->epoch_at == FS_NEVER)
		begin_epoch(c, cc, now);
	t = (uint32_t)FS_MIN((now - w->epoch_at) / FS_MS(1), (fs_ns)TCP_CUBIC_SPAN_MAX_MS);
	window = ((uint64_t)cc->cwnd << FINE_SHIFT) + c->fraction;
	grow_w_est(w, cc->cwnd, acked);
	if (tcp_cubic_w(w->w_max, w->k, t) << (FINE_SHIFT - TCP_CUBIC_SHIFT) < w->w_est)
		window = FS_MAX(window, w->w_est);
	else
		window = grow_cubic(w, window, cc->cwnd, t, cc->srtt_us / 1000, acked);
	if (window >> FINE_SHIFT >= cc->clamp)
		window = (uint64_t)cc->clamp << FINE_SHIFT;
	cc->cwnd = (uint32_t)(window >> FINE_SHIFT);
	c->fraction = (uint32_t)window;
}

static void cubic_acked(struct tcp_cc *cc, const struct tcp_cc_ack *ack)
{
	uint32_t left = ack->acked_sacked;
	struct cubic *c = cubic(cc);

	if (!ack->cwnd_limited) {
		shift_epoch(c, ack->now);
		return;
	}
	c->last_at = ack->now;
	/* Round trips of a window that is not used say nothing of its size: RFC 9406 4.2 wants eight of each round. */
	if (cc->ssthresh == TCP_SSTHRESH_NONE && hystart_ack(&c->hystart, ack->round_start, ack->rtt_us)) {
		cc->ssthresh = cc->cwnd;
		c->now.cwnd_prior = cc->cwnd;
	}
	if (tcp_cc_in_slow_start(cc)) {
		if (cc->ssthresh == TCP_SSTHRESH_NONE)
			left = hystart_growth(&c->hystart, left);
		left = tcp_cc_slow_start(cc, left);
	}
	if (left > 0 && !tcp_cc_in_slow_start(cc))
		avoid(c, cc, left, ack->now);
}

/* 4.6, 4.7 */
static uint32_t cubic_ssthresh(struct tcp_cc *cc, fs_ns now)
{
	struct cubic *c = cubic(cc);
	uint64_t cwnd = (uint64_t)cc->cwnd << TCP_CUBIC_SHIFT;

	c->undo = c->now;
	/* 4.7: it did not get back to where it was: others want a share, so aim lower. */
	c->now.w_max = cwnd < c->now.w_max ? cwnd * FAST_NUM / FAST_DEN : cwnd;
	c->now.cwnd_prior = cc->cwnd;
	c->now.epoch_at = FS_NEVER;
	return FS_MAX(cc->cwnd * BETA_NUM / BETA_DEN, 2U);
}

/* 4.8: after a timeout the first epoch has K = 0 and W_max = cwnd. */
static void cubic_state(struct tcp_cc *cc, enum tcp_ca_state state, fs_ns now)
{
	if (state != TCP_CA_LOSS)
		return;
	cubic(cc)->now.w_max = 0;
	cubic(cc)->now.epoch_at = FS_NEVER;
}

/* 4.9 */
static uint32_t cubic_undo(struct tcp_cc *cc)
{
	struct cubic *c = cubic(cc);

	c->now = c->undo;
	return FS_MAX(cc->cwnd, cc->prior_cwnd);
}

static void cubic_event(struct tcp_cc *cc, enum tcp_cc_event event, fs_ns now)
{
	if (event == TCP_CC_TX_START)
		shift_epoch(cubic(cc), now);
}

const struct tcp_cc_ops tcp_cc_cubic = {
	.name = "cubic",
	.init = cubic_init,
	.acked = cubic_acked,
	.ssthresh = cubic_ssthresh,
	.state = cubic_state,
	.undo = cubic_undo,
	.event = cubic_event,
};
