/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_internal.h - between the files of this room, by the file that defines it.
 *
 * The way of a segment: tcp.c verifies, parses and finds the end; input.c (RFC 9293 3.10.7) judges sequence
 * numbers and control bits, gives the acknowledgement to ack.c, payload to recv.c (in order) or ooo.c, and
 * marks the connection dirty. tcp_burst_end() calls tcp_output() for each dirty connection: retransmissions,
 * new data, FIN, or a bare ACK if one is owed and nothing carried it.
 * What has a header of its own is not repeated here: end.h, request.h, timewait.h, fastopen.h, reply.h, cc.h.
 * Threads: holder of the stack's lock only.
 */
#ifndef FSOCK_TCP_TCP_INTERNAL_H
#define FSOCK_TCP_TCP_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/csum.h"
#include "ip/ip.h"
#include "tcp/conn.h"
#include "tcp/end.h"
#include "tcp/fastopen.h"
#include "tcp/reply.h"
#include "tcp/request.h"
#include "tcp/rtt.h"
#include "tcp/tcp.h"
#include "tcp/timewait.h"
#include "wire/packet.h"
#include "wire/tcp.h"

/* A received segment on its way through the room. */
struct tcp_in {
	struct tcp_hdr h;
	struct fbuf *frame;  /* payload only, trimmed; NULL = none, or somebody took it. Owned by whoever holds
				the tcp_in: tcp.c frees what is left */
	uint32_t len;	     /* payload bytes */
	tcp_seq end;	     /* h.seq + payload, SYN and FIN counted: SEG.SEQ + SEG.LEN */
	uint32_t segments;	     /* of a super-frame; 1 otherwise */
	uint32_t ifindex;    /* where it came by */
	tcp_seq iss;	     /* a SYN over TIME-WAIT: the number to begin with; 0 = any */
	bool ce, ect;	     /* IP said: congestion experienced; ECN-capable */
	const struct packet *p;
	fs_ns now;
};

/* --- state.c: life of a connection --- */

/* The only place that writes conn->state. Tells TCP_READY_* edges that follow from it. */
void tcp_set_state(struct tcp_conn *c, const struct ip_env *env, enum tcp_state state);

/* The handshake is done, by whichever way: windows, estimators, congestion control start; ESTABLISHED. rcv/snd
 * numbers, wscales, mss and flags are set. */
void tcp_established(struct tcp_conn *c, const struct ip_env *env, fs_ns now);

/* End at once without a word: CLOSED with @error (positive, 0 = orderly), timers stopped, out of the table, what
 * was to be sent is freed. What its user can still read stays (as Linux). Frees an orphan, after which @c is
 * gone: returns true then. */
bool tcp_drop(struct tcp_conn *c, const struct ip_env *env, int error);

/* As above after sending RST. */
bool tcp_reset(struct tcp_conn *c, const struct ip_env *env, int error, fs_ns now);

/* Our FIN is acked and the peer's is in: a struct tcp_tw takes the place, @c is CLOSED. As tcp_drop(). */
bool tcp_enter_time_wait(struct tcp_conn *c, const struct ip_env *env, fs_ns now);

/* Our FIN was acked: FIN-WAIT-1 -> FIN-WAIT-2, CLOSING -> TIME-WAIT, LAST-ACK -> CLOSED. As tcp_drop(). */
bool tcp_fin_acked(struct tcp_conn *c, const struct ip_env *env, fs_ns now);

/* Report edges to the user. */
void tcp_tell(struct tcp_conn *c, const struct ip_env *env, uint32_t edges);

/* Fresh memory from the slab, zeroed and prepared: timers off, lists empty, options of the stack, round-trip
 * estimator and initial window begun, sndbuf set. Whoever enters it into the table sets TCP_CONN_IN_TABLE. */
struct tcp_conn *tcp_conn_alloc(struct tcp_stack *tcp, void *user);

/* Must be CLOSED and out of the table. Calls tcp_ops.released for an orphan. */
void tcp_conn_free(struct tcp_conn *c, const struct ip_env *env);

/* Does poll(2) call it writable: two thirds free, as Linux, and less unsent than TCP_NOTSENT_LOWAT. */
static inline bool tcp_is_writable(const struct tcp_conn *c);

/* --- input.c: RFC 9293 3.10.7 --- */

/* One segment for a connection. @in->frame may be taken. @c may be gone afterwards. */
void tcp_conn_input(struct tcp_conn *c, const struct ip_env *env, struct tcp_in *in);

/* --- ooo.c: payload out of order --- */

/* Keep what is new of @in's payload, which lies within the window (takes in->frame); D-SACK is set for what is
 * old. The latest segment's run becomes the newest. Bounded by the receive buffer and a number of runs: the
 * highest are dropped. False: nothing was kept. */
bool tcp_ooo_insert(struct tcp_conn *c, struct tcp_in *in);

/* rcv_nxt reached the first run: move what follows in order to rx, advancing rcv_nxt. */
void tcp_ooo_drain(struct tcp_conn *c);

/* The blocks for an ACK, D-SACK first (RFC 2018 4, RFC 2883 4). Returns how many, at most @max. */
uint32_t tcp_ooo_blocks(const struct tcp_conn *c, struct tcp_sack_block *to, uint32_t max);
void tcp_ooo_purge(struct tcp_conn *c);

/* The numbers from @left to @right - 1 came a second time: tell the peer once (RFC 2883). */
void tcp_dsack(struct tcp_conn *c, tcp_seq left, tcp_seq right);

/* --- recv.c: the receive queue --- */

/* In-order payload (takes in->frame; trimmed: rcv_nxt is its first number, it ends within the window): merges small
 * ones, copies out when the pool is low, advances rcv_nxt. 0, or -ENOBUFS: buffer full or no memory, counted. */
int tcp_rx_append(struct tcp_conn *c, struct tcp_in *in);

/* Charge and pin @frame to the connection's receive side, which takes it; or copies it to the payload pool and frees
 * it. NULL: no memory, @frame is still the caller's. */
struct fbuf *tcp_rx_settle(struct tcp_conn *c, struct fbuf *frame);
void tcp_rx_unsettle(struct tcp_conn *c, struct fbuf *frame); /* undo the charge, the caller owns @frame */
void tcp_rx_purge(struct tcp_conn *c);

/* Copy @len payload bytes of @frame behind those of @tail, which the connection holds: small ones do not keep a
 * chunk each. False: it is not small, or there is no room. @frame stays the caller's. */
bool tcp_rx_merge(struct tcp_conn *c, struct fbuf *tail, const struct fbuf *frame);

/* --- window.c: what the peer may send --- */

/* Window to announce in the next segment, scaled down already for its field (SYNs are not scaled: @syn). Updates
 * rcv_wnd and rcv_wup. Never moves the right edge left (SHLD-14), avoids silly windows (MUST-39). */
uint16_t tcp_announce_window(struct tcp_conn *c, bool syn);

/* No more will come until the program reads: window or buffer is used up. Then it is told of what there is, even
 * if that is less than it waits for (SO_RCVLOWAT). */
static inline bool tcp_is_full(const struct tcp_conn *c);

/* What tcp_announce_window() would announce in bytes if it were free to, with nothing changed. */
uint32_t tcp_select_window(const struct tcp_conn *c);

/* What a connection of these options begins with: the window of its SYN or SYN-ACK, and the shift of its scale
 * option (the smallest that covers the largest buffer it may get; 0 without scaling). @mss: as advertised. */
struct tcp_rx_start {
	uint32_t window;
	uint8_t wscale;
};
struct tcp_rx_start tcp_rx_start(const struct tcp_config *config, const struct tcp_options *options, uint16_t mss,
				 bool scaling);

/* Buffers, clamp, rcv_wscale (with TCP_CONN_WSCALE), first window of a new connection; before the SYN, or when a
 * request becomes a connection. advertised_mss is set. */
void tcp_rx_begin(struct tcp_conn *c, fs_ns now);

/* The peer's SYN with number @irs is in: irs, rcv_nxt, rcv_wup, copied_seq and what hangs on them. */
void tcp_rx_synced(struct tcp_conn *c, tcp_seq irs);

/* The handshake is done: estimates begin (tcp_established() calls it). */
void tcp_rx_established(struct tcp_conn *c, fs_ns now);

/* Is what could be announced twice what the peer believes? Then it should hear of it. */
bool tcp_window_opened(const struct tcp_conn *c);

/* @len bytes came in one segment: more may. */
void tcp_window_grow(struct tcp_conn *c, uint32_t len);

/* The program read, a round trip or more after the last time: perhaps a larger buffer is worth while. */
void tcp_window_adapt(struct tcp_conn *c, fs_ns now);

/* --- delack.c: acknowledging --- */

/* A data segment arrived (before its frame is taken): estimates rcv_mss, the receiver's round trip, the delayed-ACK
 * timeout, opens the window. */
void tcp_rx_measure(struct tcp_conn *c, const struct tcp_in *in);

/* One is owed for data just received: decide now, later or with the answer (SHLD-18, SHLD-19, MUST-40). */
void tcp_ack_owed(struct tcp_conn *c, fs_ns now);

/* One is owed at the burst's end, whatever else. */
void tcp_ack_now(struct tcp_conn *c);

/* Hold the ACK that is owed for the program's answer: tcp_release_acks() or the delayed ACK's timer sends it. False: it
 * is not to be held, and nothing happened. */
bool tcp_ack_hold(struct tcp_conn *c, fs_ns now);

/* The next @n ACKs are not delayed, if that is more than were not anyway; nor is it a dialogue any more. */
void tcp_ack_quickly(struct tcp_conn *c, uint32_t n);

/* TCP_TIMER_ACK fired: adapts the timeout and asks for the ACK. */
void tcp_ack_overdue(struct tcp_conn *c);

/* The program read @n bytes, or gave them back: send an ACK if that is worth one. */
void tcp_ack_after_read(struct tcp_conn *c, const struct ip_env *env, uint32_t n, fs_ns now);

/* A segment with ACK = rcv_nxt left: nothing is owed any more. Every one of them calls it. */
static inline void tcp_ack_sent(struct tcp_conn *c);

/* New data left: soon after data came it is an answer, so a dialogue. */
static inline void tcp_answered(struct tcp_conn *c, fs_ns now);

/* --- urgent.c (RFC 6093, with Linux's view of the pointer) --- */

/* A segment of payload that is acceptable, with URG or while URG_WAIT: the mark moves, the byte is kept. */
void tcp_urgent_in(struct tcp_conn *c, const struct ip_env *env, const struct tcp_in *in);

/* Bytes that may be read from copied_seq on before the mark stops; @len at most. 0: the next byte is the urgent one. */
uint32_t tcp_urgent_limit(const struct tcp_conn *c, uint32_t len);

/* copied_seq moved: forget a mark that was passed. */
void tcp_urgent_passed(struct tcp_conn *c);

/* MSG_OOB: 1, 0 at the end, or -errno as tcp_recv(). */
int tcp_urgent_recv(struct tcp_conn *c, uint8_t *to, uint32_t flags);

/* --- ack.c: what an ACK does --- */

enum tcp_ack_result {
	TCP_ACK_OK,	/* new or duplicate, processed */
	TCP_ACK_OLD,	/* below SND.UNA: nothing but window and D-SACK information */
	TCP_ACK_BLIND,	/* too old or beyond SND.NXT: drop the segment and answer (RFC 5961 5.2) */
};

/*
 * Acknowledgement, window and SACK fields of @in: frees acked segments, samples the round trip and the rate, runs
 * loss detection and congestion control, arms RTX and LOSS timers, tells TCP_READY_OUT. Does not send: what may
 * go now goes at the burst's end. Does not judge FIN: see tcp_fin_is_acked().
 */
enum tcp_ack_result tcp_ack_input(struct tcp_conn *c, const struct ip_env *env, struct tcp_in *in);

static inline bool tcp_fin_is_acked(const struct tcp_conn *c);

/* The handshake's ACK acks our SYN: first round-trip sample. @syn_sent_at: 0 = it was sent more than once, then only
 * timestamps can tell; without them RTO is 3 s (T6298-1). */
void tcp_ack_syn(struct tcp_conn *c, const struct tcp_in *in, fs_ns syn_sent_at);

/* --- loss.c, and what loss.h lists (RFC 6675, 8985, 6937, 5682, 2883) --- */

/* Data begin to flow: thresholds. Counts and the round-trip estimator stay as they are. */
void tcp_loss_init(struct tcp_conn *c, fs_ns now);

/* The retransmission timer fired with data outstanding: LOSS, what is not SACKed counts as lost (F-RTO doubts it).
 * Before conn->retransmits and backoff count this timeout. Sends nothing: tcp_loss_next() gives the first. */
void tcp_loss_on_rto(struct tcp_conn *c, fs_ns now);

/* TCP_TIMER_LOSS fired. Marks, or sends the probe by tcp_probe_tail(); arms RTX. */
void tcp_loss_on_timer(struct tcp_conn *c, const struct ip_env *env, fs_ns now);

/* Data was sent or acked: arm the tail loss probe if it applies (RFC 8985 7.2); RTX is off then until it was sent.
 * False: it does not, the RTO rules. */
bool tcp_tlp_arm(struct tcp_conn *c, fs_ns now);

/* The next segment to send again (LOST, not RETRANS), from @from on (NULL = where the last search ended); NULL = none.
 * While conn->frto is TCP_FRTO_PROBE new data go first: none. */
struct fbuf *tcp_loss_next(struct tcp_conn *c, struct fbuf *from);

/*
 * @seg's LOST/RETRANS/SACKED marks and the counts that go with them; nobody else writes them.
 * tcp_mark_retransmitted(): recovery sent it again; not for tail loss probes, which tlp.c counts.
 * tcp_unmark(): it was acked and is about to be popped, c->first as a rule; packets_out no longer counts it.
 */
void tcp_mark_lost(struct tcp_conn *c, struct fbuf *seg);
void tcp_mark_retransmitted(struct tcp_conn *c, struct fbuf *seg, fs_ns now);
void tcp_unmark(struct tcp_conn *c, struct fbuf *seg);

/* All segments are thrown away: no counts, no marks, no timers of recovery. */
void tcp_loss_purge(struct tcp_conn *c);

/* Segments that may be sent now: cwnd (PRR included) less in flight, at least 0. */
static inline uint32_t tcp_cwnd_room(const struct tcp_conn *c);

/* After sending: was the window what @limited it (RFC 7661)? A window that is not used does not grow. */
static inline void tcp_cwnd_validate(struct tcp_conn *c, bool limited);

/* Congestion told otherwise: enter CWR with a reduced window (ECN, local drops). */
void tcp_enter_cwr(struct tcp_conn *c, fs_ns now);

/* Path MTU fell, conn->mss with it: oversized segments in flight count as lost, without reducing the window. */
void tcp_loss_on_mtu(struct tcp_conn *c, fs_ns now);

/* What congestion control reads of the connection is as the connection has it. Before it is asked. */
static inline void tcp_cc_inform(struct tcp_conn *c);

/* --- rate.c: delivery rate (draft-cheng-iccrg-delivery-rate-estimation) --- */

/* @seg is sent, for the first time or again; before packets_out counts it. Counts for PRR as well. */
void tcp_rate_sent(struct tcp_conn *c, struct fbuf *seg, fs_ns now);

/* Sending stopped: because there was nothing to send? */
void tcp_rate_check_app_limited(struct tcp_conn *c);

/* --- send.c: from the user's memory into segments --- */

/* Split @seg after @len payload bytes: the rest becomes a segment behind it, with the same marks and counts adjusted.
 * 0 or -ENOBUFS. For a lower MSS and for windows that end within a segment. */
int tcp_seg_split(struct tcp_conn *c, struct fbuf *seg, uint32_t len);

/* Cut @n payload bytes off the front, which were acked. */
void tcp_seg_trim_front(struct tcp_conn *c, struct fbuf *seg, uint32_t n);

/* The first segment leaves the list: acked. Its share is given up. */
void tcp_seg_pop(struct tcp_conn *c);
void tcp_send_purge(struct tcp_conn *c);

/* Bytes that another engine had queued go behind what is queued: as sent before snd_nxt, as not sent from there on. The
 * buffer's limit does not count. Bytes taken, or -ENOMEM. */
int tcp_send_restore(struct tcp_conn *c, const void *from, uint32_t len, fs_ns now);

/* Room in the send buffer appeared: tell, if somebody was refused and a third is free (as Linux). */
void tcp_send_space(struct tcp_conn *c, const struct ip_env *env);

/* The send buffer grows with the window: auto-tuning. */
void tcp_send_tune(struct tcp_conn *c);

/* Options, handshake or path changed: is TCP_CONN_PLAIN true (lone.c)? */
void tcp_plain_update(struct tcp_conn *c);

/* tcp_send() of whatever lone.c does not do itself. */
ssize_t tcp_send_any(struct tcp_conn *c, const struct ip_env *env, const struct iovec *iov, int n, uint32_t flags,
		     fs_ns now);

/* --- output.c: from segments to frames --- */

/* At the end of the burst something is to be sent. */
void tcp_mark_dirty(struct tcp_conn *c);

/* Send what may be sent: lost segments, new data, FIN; else the ACK that is owed. tcp_output_hold(): with @hold a last
 * segment that is not full waits, more is to come (MSG_MORE). */
void tcp_output(struct tcp_conn *c, const struct ip_env *env, fs_ns now);
void tcp_output_hold(struct tcp_conn *c, const struct ip_env *env, bool hold, fs_ns now);

/* mss and cc.mss follow from path_mtu, peer_mss, options and flags, and from what a chunk holds. Splits nothing. */
void tcp_update_mss(struct tcp_conn *c);

/* SYN, or SYN with ACK, with the options of the handshake; the first or again. Fast Open's data go with it. */
void tcp_send_syn(struct tcp_conn *c, const struct ip_env *env, fs_ns now);
void tcp_send_ack(struct tcp_conn *c, const struct ip_env *env, fs_ns now);
void tcp_send_reset(struct tcp_conn *c, const struct ip_env *env, fs_ns now);

/* A challenge ACK, if the budget has one left. */
void tcp_send_challenge(struct tcp_conn *c, const struct ip_env *env, fs_ns now);

/* Probe a closed window or an idle peer: no data, an old sequence number. */
void tcp_send_probe(struct tcp_conn *c, const struct ip_env *env, fs_ns now);

/* Tail loss probe: new data if there are, else the last segment again. True: something left. */
bool tcp_probe_tail(struct tcp_conn *c, const struct ip_env *env, fs_ns now);

/* conn->dst, resolved and ready to build frames; NULL = not now. */
struct ip_dst *tcp_dst(struct tcp_conn *c, const struct ip_env *env);

/* --- option.c --- */

/* @c begins with @options, a listener's or what it had elsewhere: buffers and congestion control follow. Before
 * tcp_rx_begin(). */
void tcp_options_inherit(struct tcp_conn *c, const struct tcp_options *options, fs_ns now);

/* --- icmp.c --- */

/* The path's MTU is @mtu now (IP bytes): segments follow. */
void tcp_lower_mtu(struct tcp_conn *c, uint32_t mtu, fs_ns now);

/* It was lowered long ago: try the destination's again (RFC 1191 6.3, RFC 8201 5.3). Before new data are sent. */
static inline void tcp_age_mtu(struct tcp_conn *c, fs_ns now);
void tcp_raise_mtu(struct tcp_conn *c, fs_ns now);

/* --- info.c --- */

/* From now on @which bounds the sender, unless something stronger does; or does no more. Inline: twice for every
 * request and answer. */
static inline void tcp_chrono_start(struct tcp_conn *c, enum tcp_chrono which, fs_ns now);
static inline void tcp_chrono_stop(struct tcp_conn *c, enum tcp_chrono which, fs_ns now);

/* --- listen.c --- */

/* A connection that did not begin with tcp_connect() learns its destination and path MTU; @mtu if there is no
 * route just now. */
void tcp_attach_path(struct tcp_conn *c, const struct ip_env *env, uint32_t mtu);

/* --- timer.c --- */

static inline void tcp_timer_set(struct tcp_conn *c, enum tcp_timer which, fs_ns deadline);
static inline void tcp_timer_stop(struct tcp_conn *c, enum tcp_timer which);
void tcp_timers_stop(struct tcp_conn *c);

/* Arm RTX after data was sent or acked: TLP if it applies, else RTO from @now; off if nothing is outstanding; window
 * probe if nothing is and the window is closed with data waiting. */
void tcp_rearm_rtx(struct tcp_conn *c, fs_ns now);

/* RTX one RTO from @now, or when the user's timeout ends. */
void tcp_rto_arm(struct tcp_conn *c, fs_ns now);
void tcp_keepalive_arm(struct tcp_conn *c, fs_ns now);

enum {
	TCP_HEADERS_V4 = 40, /* IP and TCP without options */
	TCP_HEADERS_V6 = 60,
	TCP_MSS_DEFAULT_V4 = 536, /* of a peer that does not say: RFC 9293 3.7.1, MUST-15 */
	TCP_MSS_DEFAULT_V6 = 1220,
	TCP_MSS_LEAST = 48, /* with options; Linux's: less would be an attack */
};

/* inline definitions */

static inline void tcp_count(const struct tcp_conn *c, enum fs_counter which)
{
	c->stack->ip->counters[which]++;
}

static inline bool tcp_is_full(const struct tcp_conn *c)
{
	return tcp_receive_window(c) <= c->rcv_mss || c->rcv_charge >= c->rcvbuf - c->rcvbuf / 8;
}

static inline bool tcp_is_writable(const struct tcp_conn *c)
{
	return c->snd_charge <= c->sndbuf - c->sndbuf / 3 &&
	       (c->options.notsent_lowat == 0 || c->snd_end - c->snd_nxt < c->options.notsent_lowat ||
		seq_ge(c->snd_nxt, c->snd_end));
}

static inline void tcp_answered(struct tcp_conn *c, fs_ns now)
{
	if (now - c->last_received_at < FS_US(c->ato_us))
		c->ack_flags |= TCP_ACK_PINGPONG;
}

static inline uint32_t tcp_cwnd_room(const struct tcp_conn *c)
{
	uint32_t in_flight = tcp_in_flight(c);

	return c->cc.cwnd > in_flight ? c->cc.cwnd - in_flight : 0;
}

static inline bool tcp_fin_is_acked(const struct tcp_conn *c)
{
	return tcp_has(c, TCP_CONN_FIN_SENT) && seq_gt(c->snd_una, c->snd_end);
}

static inline uint32_t tcp_chrono_ticks(fs_ns t)
{
	return (uint32_t)(t >> 20);
}

static inline void tcp_chrono_set(struct tcp_conn *c, enum tcp_chrono to, fs_ns now)
{
	uint32_t at = tcp_chrono_ticks(now);

	if (c->chrono != TCP_CHRONO_NONE)
		c->chrono_spent[c->chrono - 1] += at - c->chrono_at;
	c->chrono = (uint8_t)to;
	c->chrono_at = at;
}

static inline void tcp_chrono_start(struct tcp_conn *c, enum tcp_chrono which, fs_ns now)
{
	if (which > c->chrono)
		tcp_chrono_set(c, which, now);
}

static inline void tcp_chrono_stop(struct tcp_conn *c, enum tcp_chrono which, fs_ns now)
{
	if (!c->first)
		tcp_chrono_set(c, TCP_CHRONO_NONE, now);
	else if (which == c->chrono)
		tcp_chrono_set(c, TCP_CHRONO_BUSY, now);
}

/* RFC 1191 6.3: ten minutes after the MTU fell one may look whether it rose. */
enum { TCP_MTU_AGE_S = 600 };

static inline void tcp_age_mtu(struct tcp_conn *c, fs_ns now)
{
	if (c->mtu_lowered_s != 0 && (uint32_t)(now / FS_SEC(1)) - c->mtu_lowered_s >= TCP_MTU_AGE_S)
		tcp_raise_mtu(c, now);
}

/* Is there something the peer has not acked: data, SYN or FIN? */
static inline bool tcp_is_outstanding(const struct tcp_conn *c)
{
	return c->snd_una != c->snd_nxt;
}

static inline void tcp_cc_inform(struct tcp_conn *c)
{
	c->cc.srtt_us = c->rtt.srtt_us;
	c->cc.min_rtt_us = c->rtt.min_us;
}

static inline void tcp_timer_set(struct tcp_conn *c, enum tcp_timer which, fs_ns deadline)
{
	c->due[which] = deadline;
	if (__builtin_expect(!timer_is_pending(&c->timer) || deadline < c->timer.deadline, 0))
		timer_add(&c->stack->wheel, &c->timer, deadline);
}

static inline void tcp_timer_stop(struct tcp_conn *c, enum tcp_timer which)
{
	c->due[which] = FS_NEVER;
}

/* Is @c in tcp_stack.held? What was held there may have left meanwhile. */
static inline bool tcp_ack_is_held(const struct tcp_conn *c)
{
	return !tcp_has(c, TCP_CONN_DIRTY) && list_is_linked(&c->dirty);
}

static inline void tcp_ack_sent(struct tcp_conn *c)
{
	uint8_t flags = c->ack_flags;

	c->last_ack_sent = c->rcv_nxt;
	c->ack_flags = flags & (TCP_ACK_QUICK | TCP_ACK_PINGPONG);
	if (flags & (TCP_ACK_NOW | TCP_ACK_DELAYED)) {
		if (__builtin_expect(c->quick_acks > 0, 0) && --c->quick_acks == 0)
			c->ato_us = c->stack->config.delack_min_us;
		tcp_timer_stop(c, TCP_TIMER_ACK);
	}
	if (__builtin_expect(flags & TCP_ACK_DSACK, 0))
		tcp_count(c, FS_CTR_tcp_dsacks_out);
}

/* RFC 7661's question, answered as Linux does: the strongest sign of a round trip counts for all of it. */
static inline void tcp_cwnd_validate(struct tcp_conn *c, bool limited)
{
	bool was_limited = tcp_has(c, TCP_CONN_CWND_LIMITED);

	limited |= tcp_in_flight(c) >= c->cc.cwnd;
	if (!limited && seq_lt(c->snd_una, c->cwnd_usage_seq) &&
	    (was_limited || c->packets_out <= c->max_packets_out))
		return;
	if (limited)
		c->flags |= TCP_CONN_CWND_LIMITED;
	else
		c->flags &= ~(uint32_t)TCP_CONN_CWND_LIMITED;
	c->max_packets_out = c->packets_out;
	c->cwnd_usage_seq = c->snd_nxt;
}

#endif
