/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_ack_rig.h - a connection with segments and nothing around it: what acknowledgements do, with exact numbers.
 *
 * Segments are numbered from 0 and RIG_MSS bytes long; nothing is in them. The sequence numbers wrap among the first
 * eight. What sends, arms timers and frees segments in the engine is played by the functions here, as tcp_internal.h
 * promises: so a test says when something leaves, and sees what would leave.
 */
#ifndef FSOCK_TESTS_UNIT_TCP_ACK_RIG_H
#define FSOCK_TESTS_UNIT_TCP_ACK_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/counter.h"
#include "base/fbuf.h"
#include "tcp/loss.h"

enum {
	RIG_MSS = 1000,
	RIG_CHUNK = 64,
	RIG_SEGMENTS = 1024,
	RIG_WINDOW = 4 << 20, /* what the peer announces as a rule */
	RIG_WSCALE = 7,
	RIG_PEER_SEQ = 5000,
};

#define RIG_FIRST ((tcp_seq)-RIG_MSS * 5) /* number of segment 0 */

struct rig {
	struct tcp_conn c; /* first member */
	struct tcp_stack tcp;
	struct ip_stack ip;
	struct ip_env env;
	uint64_t counters[FS_CTR_N];
	struct fbuf_pool pool;
	void *memory[2];
	fs_ns now;
	tcp_seq base;		 /* number of segment 0 */
	unsigned dirty, spaces;	 /* calls */
	bool probe_blocked;	 /* tail probes cannot leave */
	fs_ns echo_at;		 /* the peer echoes this time's timestamp; 0 = none, if there are timestamps */
	uint32_t window;	 /* the peer announces, bytes */
	uint32_t peer_seq;	 /* of the peer's segments */
	char sent[1024];	 /* what left since the last look: "N3 R0 P7": new, again, probe */
	/* What leaves goes there, too; NULL = nowhere. */
	void (*carry)(struct rig *r, char what, int segment);
};

/* inline definitions */

static inline struct rig *rig_of(struct tcp_conn *c)
{
	return (struct rig *)(void *)c;
}

static inline tcp_seq rig_seq(const struct rig *r, int segment)
{
	return r->base + (tcp_seq)segment * RIG_MSS;
}

static inline int rig_number(const struct rig *r, tcp_seq seq)
{
	return (int)(seq_diff(seq, r->base) / RIG_MSS);
}

/* --- the rest of the engine --- */

void tcp_rto_arm(struct tcp_conn *c, fs_ns now)
{
	tcp_timer_set(c, TCP_TIMER_RTX, now + FS_US(tcp_rto_us(c)));
}

void tcp_rearm_rtx(struct tcp_conn *c, fs_ns now)
{
	if (tcp_tlp_arm(c, now) || !tcp_is_outstanding(c))
		tcp_timer_stop(c, TCP_TIMER_RTX);
	else
		tcp_rto_arm(c, now);
}

void tcp_mark_dirty(struct tcp_conn *c)
{
	rig_of(c)->dirty++;
}

void tcp_send_space(struct tcp_conn *c, const struct ip_env *env)
{
	rig_of(c)->spaces++;
}

void tcp_send_tune(struct tcp_conn *c)
{
}

void tcp_seg_trim_front(struct tcp_conn *c, struct fbuf *seg, uint32_t n)
{
	tcp_seg(seg)->seq += n;
	tcp_seg(seg)->len = (uint16_t)(tcp_seg(seg)->len - n);
}

void tcp_seg_pop(struct tcp_conn *c)
{
	struct fbuf *f = c->first;

	assert_ptr_not_equal(f, c->send_next);
	c->first = tcp_seg(f)->next;
	if (c->first)
		tcp_seg(c->first)->prev = NULL;
	else
		c->last = NULL;
	c->n_segs--;
	memset(f->own, 0xee, sizeof(f->own));
	fbuf_free(f);
}

static inline void rig_log(struct rig *r, char what, tcp_seq seq)
{
	size_t n = strlen(r->sent);

	if (r->carry) {
		r->carry(r, what, rig_number(r, seq));
		return;
	}
	snprintf(r->sent + n, sizeof(r->sent) - n, "%s%c%d", n > 0 ? " " : "", what, rig_number(r, seq));
}

static inline void rig_send_one(struct rig *r, char what)
{
	struct tcp_conn *c = &r->c;
	struct fbuf *f = c->send_next;

	assert_non_null(f);
	tcp_rate_sent(c, f, r->now);
	tcp_seg(f)->sent_at = r->now;
	c->packets_out++;
	c->send_next = tcp_seg(f)->next;
	c->snd_nxt += tcp_seg(f)->len;
	c->last_sent_at = r->now;
	rig_log(r, what, tcp_seg(f)->seq);
}

bool tcp_probe_tail(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	struct rig *r = rig_of(c);
	struct fbuf *f = c->send_next ? tcp_seg(c->send_next)->prev : c->last;

	if (r->probe_blocked)
		return false;
	if (c->send_next && seq_le(tcp_seg_end(c->send_next), c->snd_una + c->snd_wnd)) {
		rig_send_one(r, 'P');
		return true;
	}
	tcp_rate_sent(c, f, now);
	tcp_seg(f)->sent_at = now;
	rig_log(r, 'P', tcp_seg(f)->seq);
	return true;
}

/* --- beginning and end --- */

static inline void rig_open_as(struct rig *r, uint32_t flags, const char *algorithm)
{
	struct tcp_conn *c = &r->c;

	memset(r, 0, sizeof(*r));
	r->now = FS_SEC(1000);
	r->window = RIG_WINDOW;
	r->peer_seq = RIG_PEER_SEQ;
	fbuf_pool_init(&r->pool, RIG_CHUNK, 0);
	r->memory[0] = aligned_alloc(64, RIG_SEGMENTS * sizeof(struct fbuf));
	r->memory[1] = aligned_alloc(64, (size_t)RIG_SEGMENTS * RIG_CHUNK);
	fbuf_pool_add(&r->pool, r->memory[0], r->memory[1], RIG_SEGMENTS);
	timer_wheel_init(&r->tcp.wheel, r->now);
	timer_init(&r->c.timer, TCP_WHEEL_CONN);
	r->ip.counters = r->counters;
	r->tcp.ip = &r->ip;
	r->tcp.config = (struct tcp_config){ .rto_min_us = 200000, .rto_initial_us = 1000000,
					     .rto_max_us = 120000000, .delack_max_us = 200000,
					     .max_reordering = 300 };
	c->stack = &r->tcp;
	c->flags = flags;
	c->state = TCP_ESTABLISHED;
	c->mss = c->cc.mss = RIG_MSS;
	c->snd_wscale = RIG_WSCALE;
	r->base = RIG_FIRST;
	c->iss = r->base - 1;
	c->snd_una = c->snd_nxt = c->snd_end = r->base;
	c->snd_wnd = c->max_wnd = r->window;
	c->snd_wl1 = r->peer_seq;
	c->snd_wl2 = c->snd_una;
	for (unsigned i = 0; i < TCP_N_TIMERS; i++)
		c->due[i] = FS_NEVER;
	tcp_rtt_init(&c->rtt, r->tcp.config.rto_initial_us);
	c->cc.cwnd = 10;
	c->cc.ssthresh = TCP_SSTHRESH_NONE;
	c->cc.clamp = TCP_CWND_MAX;
	tcp_cc_set(&c->cc, (unsigned)tcp_cc_by_name(algorithm, strlen(algorithm)), r->now);
	tcp_loss_init(c, r->now);
}

static inline void rig_open(struct rig *r, uint32_t flags)
{
	rig_open_as(r, flags, "reno");
}

static inline void rig_close(struct rig *r)
{
	r->c.send_next = NULL;
	while (r->c.first)
		tcp_seg_pop(&r->c);
	assert_int_equal(r->pool.n_free, r->pool.n_total);
	free(r->memory[0]);
	free(r->memory[1]);
}

/* --- oracle: counts and pointers are what the list says --- */

static inline void rig_check_run(struct rig *r, struct fbuf *f)
{
	struct fbuf *next = tcp_seg(f)->next, *end = f;

	if (!tcp_sack_run_begins(f))
		return;
	while (next && tcp_seg_has(next, TCP_SEG_SACKED)) {
		end = next;
		next = tcp_seg(next)->next;
	}
	assert_ptr_equal(tcp_seg(f)->run, end);
	assert_ptr_equal(tcp_seg(end)->run, f);
}

static inline void rig_check(struct rig *r)
{
	struct tcp_conn *c = &r->c;
	uint32_t out = 0, sacked = 0, lost = 0, again = 0;
	bool before_hint = c->lost_next != NULL, cursor = c->sack_cursor == NULL;
	tcp_seq high = c->snd_una, seq = c->snd_una;

	for (struct fbuf *f = c->first; f && f != c->send_next; f = tcp_seg(f)->next) {
		struct tcp_seg *s = tcp_seg(f);

		assert_int_equal(s->seq, seq);
		seq += s->len;
		out++;
		if (s->marks & TCP_SEG_SACKED) {
			sacked++;
			high = seq;
			rig_check_run(r, f);
			assert_false(s->marks & (TCP_SEG_LOST | TCP_SEG_RETRANS));
		}
		lost += (s->marks & TCP_SEG_LOST) != 0;
		again += (s->marks & TCP_SEG_RETRANS) != 0;
		if (f == c->lost_next)
			before_hint = false;
		if (before_hint)
			assert_int_not_equal(s->marks & (TCP_SEG_LOST | TCP_SEG_RETRANS), TCP_SEG_LOST);
		cursor |= f == c->sack_cursor;
	}
	assert_true(cursor);
	assert_true(sacked > 0 || !c->sack_cursor);
	assert_int_equal(c->packets_out, out);
	assert_int_equal(c->lost_out, lost);
	assert_int_equal(c->retrans_out, again);
	if (tcp_is_sack(c)) {
		assert_int_equal(c->sacked_out, sacked);
		if (sacked > 0)
			assert_int_equal(c->high_sacked, high);
	}
	assert_true(c->sacked_out + c->lost_out <= c->packets_out);
	assert_true(c->cc.cwnd >= 1);
	assert_true(c->cc.ssthresh >= 2);
	if (tcp_is_outstanding(c))
		assert_true(c->due[TCP_TIMER_RTX] != FS_NEVER || c->due[TCP_TIMER_LOSS] != FS_NEVER);
}

/* --- sending --- */

/* @n more segments are queued. */
static inline void rig_write(struct rig *r, unsigned n)
{
	struct tcp_conn *c = &r->c;

	while (n-- > 0) {
		struct fbuf *f = fbuf_alloc(&r->pool);

		assert_non_null(f);
		*tcp_seg(f) = (struct tcp_seg){ .prev = c->last, .seq = c->snd_end, .len = RIG_MSS };
		if (c->last)
			tcp_seg(c->last)->next = f;
		else
			c->first = f;
		c->last = f;
		if (!c->send_next)
			c->send_next = f;
		c->snd_end += RIG_MSS;
		c->n_segs++;
	}
}

/* @n segments leave for the first time, whatever the window says. */
static inline void rig_send(struct rig *r, unsigned n)
{
	while (n-- > 0)
		rig_send_one(r, 'N');
	tcp_rearm_rtx(&r->c, r->now);
}

static inline void rig_again(struct rig *r, struct fbuf *f)
{
	tcp_rate_sent(&r->c, f, r->now);
	tcp_mark_retransmitted(&r->c, f, r->now);
	tcp_seg(f)->sent_at = r->now;
	rig_log(r, 'R', tcp_seg(f)->seq);
}

/* What output.c does: lost segments again, then new ones, as the windows allow. */
static inline void rig_output(struct rig *r)
{
	struct tcp_conn *c = &r->c;
	bool limited = false, any = false;
	struct fbuf *f;

	while ((f = tcp_loss_next(c, NULL)) != NULL) {
		limited = tcp_cwnd_room(c) == 0;
		if (limited)
			break;
		rig_again(r, f);
		any = true;
	}
	while (!f && c->send_next && seq_le(tcp_seg_end(c->send_next), c->snd_una + c->snd_wnd)) {
		limited = tcp_cwnd_room(c) == 0;
		if (limited)
			break;
		rig_send_one(r, 'N');
		any = true;
	}
	tcp_cwnd_validate(c, limited);
	tcp_rate_check_app_limited(c);
	if (any && !tcp_tlp_arm(c, r->now) && c->due[TCP_TIMER_RTX] == FS_NEVER)
		tcp_timer_set(c, TCP_TIMER_RTX, r->now + FS_US(tcp_rto_us(c)));
	rig_check(r);
}

/* What left since the last time, in this order. */
#define rig_expect_sent(r, text)                                                                                       \
	do {                                                                                                           \
		assert_string_equal((r)->sent, text);                                                                  \
		(r)->sent[0] = '\0';                                                                                   \
	} while (0)

/* --- receiving --- */

/* An ACK as it would come now, for everything before segment @ack. */
static inline struct tcp_in rig_in(struct rig *r, int ack)
{
	struct tcp_in in = { .h = { .seq = r->peer_seq, .ack = rig_seq(r, ack), .flags = TCP_ACK,
				    .window = (uint16_t)(r->window >> RIG_WSCALE) },
			     .segments = 1, .now = r->now };

	if (tcp_has(&r->c, TCP_CONN_TS)) {
		in.h.options = TCP_HAS_TIMESTAMP;
		in.h.ts_ecr = r->echo_at ? tcp_ts_now(&r->c, r->echo_at) : 0;
	}
	in.end = in.h.seq;
	return in;
}

static inline enum tcp_ack_result rig_take(struct rig *r, struct tcp_in *in)
{
	enum tcp_ack_result ret = tcp_ack_input(&r->c, &r->env, in);

	rig_check(r);
	return ret;
}

static inline void rig_ack(struct rig *r, int ack)
{
	struct tcp_in in = rig_in(r, ack);

	rig_take(r, &in);
}

/* Blocks in segments: [left, right). */
static inline enum tcp_ack_result rig_sack_blocks(struct rig *r, int ack, const struct tcp_sack_block *b, size_t n)
{
	struct tcp_in in = rig_in(r, ack);

	in.h.n_sack = (uint8_t)n;
	for (size_t i = 0; i < n; i++) {
		in.h.sack[i].left = rig_seq(r, (int)b[i].left);
		in.h.sack[i].right = rig_seq(r, (int)b[i].right);
	}
	return rig_take(r, &in);
}

#define rig_sack(r, ack, ...)                                                                                          \
	rig_sack_blocks(r, ack, (const struct tcp_sack_block[]){ __VA_ARGS__ },                                        \
			sizeof((const struct tcp_sack_block[]){ __VA_ARGS__ }) / sizeof(struct tcp_sack_block))

/* --- time --- */

/* The retransmission timer fires, and what may leave does: timer.c's part. */
static inline void rig_timeout(struct rig *r)
{
	struct tcp_conn *c = &r->c;

	assert_int_not_equal(c->due[TCP_TIMER_RTX], FS_NEVER);
	r->now = FS_MAX(r->now, c->due[TCP_TIMER_RTX]);
	c->due[TCP_TIMER_RTX] = FS_NEVER;
	tcp_loss_on_rto(c, r->now);
	c->retransmits++;
	c->rtt.backoff++;
	tcp_rearm_rtx(c, r->now);
	rig_output(r);
}

/* The loss timer fires, and what may leave does. */
static inline void rig_loss_timeout(struct rig *r)
{
	struct tcp_conn *c = &r->c;

	assert_int_not_equal(c->due[TCP_TIMER_LOSS], FS_NEVER);
	r->now = FS_MAX(r->now, c->due[TCP_TIMER_LOSS]);
	c->due[TCP_TIMER_LOSS] = FS_NEVER;
	tcp_loss_on_timer(c, &r->env, r->now);
	rig_check(r);
	if (r->dirty > 0)
		rig_output(r);
	r->dirty = 0;
}

/* A round trip of @us is known and nothing is out; segments count from here. */
static inline void rig_warm(struct rig *r, uint32_t us)
{
	rig_write(r, 1);
	rig_send(r, 1);
	r->echo_at = r->now;
	r->now += FS_US(us);
	rig_ack(r, 1);
	r->base = r->c.snd_una;
	r->sent[0] = '\0';
	r->dirty = 0;
	r->now += FS_SEC(1);
}

/* The counter moved by @n since it was looked at last. */
static inline void rig_expect_count(struct rig *r, enum fs_counter which, uint64_t n)
{
	assert_int_equal(r->counters[which], n);
	r->counters[which] = 0;
}

#endif
