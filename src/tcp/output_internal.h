/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * output_internal.h - between output.c, which decides what leaves, superframe.c, which decides what goes together,
 * and frame.c, which builds it.
 *
 * Threads: holder of the stack's lock only.
 */
#ifndef FSOCK_TCP_OUTPUT_INTERNAL_H
#define FSOCK_TCP_OUTPUT_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "ip/ip.h"
#include "tcp/conn.h"
#include "tcp/tcp_internal.h"

/* Consecutive segments that leave as one frame. */
struct tcp_run {
	struct fbuf *first;
	uint32_t n;	/* segments */
	uint32_t len;	/* payload bytes of all; more than conn->mss: a super-frame */
	uint16_t flags;	/* enum tcp_flag beside ACK: PSH, FIN, CWR */
	bool again;	/* was sent before: no ECT (RFC 3168 6.1.5) */
};

/*
 * Build the frame of @run for @dst (tcp_dst() gave it in this call, the out queue has room) and queue it. Every
 * segment is held, or its bytes are copied if it is shared still. Numbers and timers of the connection stay as
 * they are, but for what follows from having sent an ACK. False: no memory for the copy.
 */
bool tcp_frame_data(struct tcp_conn *c, const struct ip_env *env, struct ip_dst *dst, const struct tcp_run *run,
		    fs_ns now);

/*
 * A frame without payload: @flags of enum tcp_flag, @seq, and with TCP_ACK what we acknowledge, SACK blocks
 * included. As above. False: no memory.
 */
bool tcp_frame_control(struct tcp_conn *c, const struct ip_env *env, struct ip_dst *dst, tcp_seq seq, uint16_t flags,
		       fs_ns now);

/* A frame with header @h as it is but for ports and checksum, and @run's payload behind (NULL = none). */
bool tcp_frame_syn(struct tcp_conn *c, const struct ip_env *env, struct ip_dst *dst, struct tcp_hdr *h,
		   const struct tcp_run *run);

/* Data that no window test lets go, as much as the peer's window takes, at once: the override of RFC 9293
 * 3.8.6.2.1. False: its window is closed, or nothing could leave. */
bool tcp_push_partial(struct tcp_conn *c, const struct ip_env *env, fs_ns now);

/* Something could not leave: no destination, frame or room. TCP_TIMER_PACE tries again, soon at first. */
void tcp_blocked(struct tcp_conn *c, fs_ns now);

/*
 * Segments behind the first one of @run join its frame while it takes them, @bytes and @segments in all. Returns what
 * stays behind, NULL = nothing. @hold as for tcp_output_hold(). superframe.c, as the next.
 */
struct fbuf *tcp_run_gather(const struct tcp_conn *c, const struct ip_dst *dst, struct tcp_run *run, uint32_t bytes,
			    uint32_t segments, bool hold);

/*
 * The windows end within a super-frame, and ACKs are under way that open them: it waits for those, since the stump of
 * it would come back as an ACK that lets no more than a stump go, for good. As Linux, which does without where a third
 * of the window would wait. @may: segments that the congestion window lets go; @behind: what tcp_run_gather() returned.
 */
bool tcp_run_waits_for_window(const struct tcp_conn *c, const struct ip_dst *dst, const struct tcp_run *run, uint32_t may,
			      struct fbuf *behind);

/*
 * @run ends what there is to send, and is small: does it wait for more? In a stream of large writes it does, on a short
 * path with something under way: the next write comes at once, or an ACK, or after a ms TCP_TIMER_PACE. A stream is
 * seen by several such ends in a row, without a pause and without a word from the peer: in a dialogue the end of a
 * message leaves as Nagle lets it. As Linux' autocorking, which asks whether the device still has something to send.
 */
bool tcp_run_waits_for_more(struct tcp_conn *c, const struct ip_dst *dst, const struct tcp_run *run, fs_ns now);

/* inline definitions */

/* Bytes from @seq on that the peer's window holds; negative: beyond it. */
static inline int32_t tcp_window_from(const struct tcp_conn *c, tcp_seq seq)
{
	return seq_diff(c->snd_una + c->snd_wnd, seq);
}

/* Segments that a frame without segmentation offload takes. */
static inline uint32_t tcp_parts_of(const struct tcp_conn *c, const struct ip_dst *dst)
{
	return FS_MAX(c->stack->ip->port[dst->port].max_parts, (uint8_t)1);
}

/* Has @f no room for more? A chunk may hold less than the path allows. */
static inline bool tcp_seg_is_full(const struct tcp_conn *c, struct fbuf *f)
{
	uint32_t len = tcp_seg(f)->len;

	return len >= c->mss || len >= f->pool->chunk_size - IP_TX_HEADROOM;
}

/*
 * Nagle, with Minshall's modification: a segment that is not full waits while one such is not acknowledged
 * (RFC 9293 3.7.4, SHLD-7). Only the last one can be: what is before it has no room left.
 */
static inline bool tcp_is_held_back(const struct tcp_conn *c, struct fbuf *f, bool hold)
{
	if (tcp_seg(f)->next || tcp_seg_is_full(c, f))
		return false;
	if (__builtin_expect(tcp_has(c, TCP_CONN_PUSH_ALL | TCP_CONN_FIN_QUEUED | TCP_CONN_URG_OUT), 0))
		return false;
	if (hold || c->options.cork)
		return true;
	return !c->options.nodelay && c->packets_out > 0 && seq_gt(c->last_partial, c->snd_una) &&
	       seq_le(c->last_partial, c->snd_nxt);
}

/* The sequence number of segments without data: what we sent last, unless the peer took its window back. */
static inline tcp_seq tcp_control_seq(const struct tcp_conn *c)
{
	tcp_seq end = c->snd_una + c->snd_wnd;

	if (seq_ge(end, c->snd_nxt) || (tcp_has(c, TCP_CONN_WSCALE) && c->snd_nxt - end < (1U << c->rcv_wscale)))
		return c->snd_nxt;
	return end;
}

#endif
