/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conn.h - one connection: its state, and its segments.
 *
 * Fields are grouped by the file that writes them; others read. Names are RFC 9293's where it has one, and
 * Linux's (as TCP_INFO shows them) for loss recovery.
 *
 * Sending. A segment is one fbuf with at most MSS bytes of payload and room for headers in front; what TCP
 * keeps about it lies in fbuf.own as struct tcp_seg. All segments, sent or not, are in one list in order of
 * sequence numbers: [first ... | send_next ... last]. Transmission holds the fbuf (fbuf_hold()) and hands it
 * on: it stays in the list until it is acked *and* the provider gave it back. Several segments become a
 * super-frame by chaining their fbufs for that one transmission. A segment that is still shared when it must
 * be sent again is copied. FIN and SYN are not in the list: they are numbers (iss, fin_seq).
 *
 * Receiving. In-order payload waits in `rx`, out-of-order payload in `ooo`, as the frames it came in, trimmed
 * to payload; small ones are merged and pinned ones copied out when the pool runs low (design hazard 5).
 *
 * Does not: transitions (state.c), arithmetic of windows (see the functions in tcp_internal.h).
 * Threads:  holder of the stack's lock only.
 */
#ifndef FSOCK_TCP_CONN_H
#define FSOCK_TCP_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fbuf.h"
#include "base/list.h"
#include "base/seq.h"
#include "base/timer.h"
#include "tcp/cc.h"
#include "tcp/tcp.h"

struct ip_dst;

/* --- segments to send --- */

enum tcp_seg_mark {
	TCP_SEG_SACKED = 1 << 0,  /* the peer has it, out of order (counted in sacked_out) */
	TCP_SEG_LOST = 1 << 1,	  /* believed lost (lost_out), to be sent again unless RETRANS is set, too */
	TCP_SEG_RETRANS = 1 << 2, /* its last transmission was a retransmission of recovery's, in the network
				     (retrans_out); not a tail loss probe's */
	TCP_SEG_EVER_RETRANS = 1 << 3, /* Karn: no round-trip sample from it */
	TCP_SEG_APP_LIMITED = 1 << 4, /* rate sample, see tcp_cc_ack.app_limited */
	TCP_SEG_SUMMED = 1 << 5,  /* `sum` is valid */
	TCP_SEG_PUSH = 1 << 6,	  /* ends a write: PSH when sent (RFC 9293 3.9.1.2) */
	TCP_SEG_LONE = 1 << 7,	  /* lone.c sent it: nothing else was out, and the window allowed more than it */
};

/* A segment's own words in its fbuf (fbuf.own). Times in us are wrapped to 32 bits: compare by difference. */
struct tcp_seg {
	struct fbuf *prev, *next; /* in tcp_conn's list, NULL at the ends */
	fs_ns sent_at;		  /* last transmission; 0 = never sent */
	tcp_seq seq;
	uint16_t len;		  /* payload bytes, > 0 */
	uint16_t offset;	  /* of the payload from fbuf.chunk */
	uint32_t first_sent_us;	  /* delivery rate: when its flight's interval began */
	uint32_t delivered_us;	  /* and conn->delivered_us when it was sent */
	uint32_t delivered;	  /* low bits of conn->cc.delivered when it was sent */
	uint16_t sum;		  /* folded csum.h sum of the payload, as if at an even offset */
	uint8_t marks;		  /* enum tcp_seg_mark */
	uint8_t retransmits;	  /* of this segment, saturating */
	struct fbuf *run;	  /* other end of a run of SACKED segments; valid at both ends of one (sack.c) */
};
static_assert(sizeof(struct tcp_seg) <= sizeof(((struct fbuf *)0)->own), "a segment fits in its fbuf");

/* --- received payload out of order: the same words of a received frame --- */

/*
 * A run of payload without gaps: its frames through fbuf.link, these words in the first of them. Runs are few
 * however many frames wait. A FIN out of order is no run but a number: tcp_conn.rcv_fin.
 */
struct tcp_ooo {
	struct fbuf *prev, *next; /* runs in tcp_conn.ooo_first's list, ascending, neither overlapping nor touching */
	struct fbuf *tail;	  /* the run's last frame, itself perhaps */
	tcp_seq seq, end;	  /* end: first number after it */
	uint32_t arrived;	  /* when it last grew, in order of arrival: for SACK blocks (RFC 2018 4) */
};
static_assert(sizeof(struct tcp_ooo) <= sizeof(((struct fbuf *)0)->own), "so does a gap's far side");

/* --- timers --- */

/*
 * A connection has one timer in the wheel, due at the earliest of these deadlines or before: setting one later or
 * cancelling it touches a word only (timer.c).
 */
enum tcp_timer {
	TCP_TIMER_RTX,	/* RTO of data, SYN, FIN; or window probe (persist) when the window is closed */
	TCP_TIMER_LOSS, /* RACK's reordering window, or tail loss probe (RFC 8985) */
	TCP_TIMER_ACK,	/* delayed ACK */
	TCP_TIMER_PACE, /* next transmission allowed; or what could not leave for local reasons is tried again */
	TCP_TIMER_LIFE, /* keep-alive; FIN-WAIT-2 of an orphan; user timeout */
	TCP_N_TIMERS
};

/* What loss.c means by TCP_TIMER_LOSS. */
enum tcp_loss_timer { TCP_LOSS_TIMER_NONE, TCP_LOSS_TIMER_TLP, TCP_LOSS_TIMER_REORDER };

/* --- flags --- */

enum tcp_conn_flag {
	/* negotiated; in SYN-SENT: what our SYN offers. The SYN-ACK takes away what it does not agree to */
	TCP_CONN_TS = 1 << 0,	      /* timestamps on every segment (RFC 7323) */
	TCP_CONN_SACK = 1 << 1,
	TCP_CONN_WSCALE = 1 << 2,
	TCP_CONN_ECN = 1 << 3,	      /* RFC 3168 */
	TCP_CONN_V6 = 1 << 4,	      /* addresses are IPv6's */
	TCP_CONN_PASSIVE = 1 << 5,    /* began at a listener (MUST-11) */
	/* life */
	TCP_CONN_ORPHAN = 1 << 6,     /* closed by its user: freed when it ends */
	TCP_CONN_FROZEN = 1 << 7,     /* exported, or being imported: input is dropped, timers stand */
	TCP_CONN_IN_TABLE = 1 << 8,
	TCP_CONN_FIN_QUEUED = 1 << 9, /* we shall send FIN at fin_seq */
	TCP_CONN_FIN_SENT = 1 << 10,  /* at least once; snd_nxt is beyond it */
	TCP_CONN_FIN_RECEIVED = 1 << 11, /* in order: rcv_nxt is beyond it */
	TCP_CONN_SHUT_RD = 1 << 12,   /* the user reads no more */
	TCP_CONN_CONNECTED = 1 << 13, /* was ESTABLISHED once: POLLHUP and errors differ */
	/* urgent (urgent.c) */
	TCP_CONN_URG_OUT = 1 << 14,   /* snd_up is ahead of snd_una */
	TCP_CONN_URG_IN = 1 << 15,    /* rcv_up is valid: mark not read past */
	TCP_CONN_URG_BYTE = 1 << 16,  /* oob_byte waits for MSG_OOB */
	/* ECN */
	TCP_CONN_ECE_ECHO = 1 << 17,  /* CE came, CWR has not: echo (RFC 3168 6.1.3) */
	TCP_CONN_CWR_PENDING = 1 << 18, /* next new data carries CWR */
	TCP_CONN_ECN_SEEN = 1 << 19,  /* ECT came from the peer: it is capable on the path */
	/* Fast Open */
	TCP_CONN_TFO_SYN_DATA = 1 << 20, /* our SYN carried data */
	TCP_CONN_TFO_CHILD = 1 << 21, /* accepted by cookie, handshake not complete: counts in listener */
	/* output */
	TCP_CONN_CWND_LIMITED = 1 << 22, /* the window bounded the last flight */
	TCP_CONN_DIRTY = 1 << 23,     /* in tcp_stack.dirty */
	TCP_CONN_NO_SPACE = 1 << 24,  /* tcp_send() was refused: tell when there is room */
	TCP_CONN_DST_BLOCKED = 1 << 25, /* something could not leave for local reasons: TCP_TIMER_PACE tries again */
	TCP_CONN_PUSH_ALL = 1 << 26,  /* uncorked: do not hold the last segment back once */
	TCP_CONN_FIN_LOST = 1 << 27,  /* our FIN was not answered in time: it goes again */
	/* receive */
	TCP_CONN_URG_WAIT = 1 << 28,  /* URG_IN, and the urgent byte itself has not come yet */
	TCP_CONN_FIN_AHEAD = 1 << 29, /* the peer's FIN is known, at rcv_fin, and something before it is missing */
	/* listener */
	TCP_CONN_QUEUED = 1 << 30,    /* in its listener's accept queue */
	/* dialogues */
	TCP_CONN_PLAIN = INT32_MIN,   /* neither options nor what was negotiated ask for more than the short ways do
					 (lone.c, quick.c): tcp_plain_update() */
};

enum tcp_ack_flag {
	TCP_ACK_NOW = 1 << 0,	  /* send one at the burst's end, whatever else */
	TCP_ACK_DELAYED = 1 << 1, /* one is owed; TCP_TIMER_ACK runs */
	TCP_ACK_QUICK = 1 << 2,	  /* TCP_QUICKACK: no delaying (until it turns into a dialogue again) */
	TCP_ACK_PINGPONG = 1 << 3, /* a dialogue: answers carry ACKs, so wait for them */
	TCP_ACK_DSACK = 1 << 4,	  /* dsack[] goes first among the blocks, once (RFC 2883) */
	TCP_ACK_CHALLENGE = 1 << 5, /* the ACK asked for by NOW is a challenge: throttled (RFC 5961 7) */
	TCP_ACK_PUSHED = 1 << 6,  /* a small segment came since the last ACK: reading it may be worth one */
	TCP_ACK_PUSHED2 = 1 << 7, /* a second one */
};

/* The end of what the program wrote, where it makes a small frame: tcp_run_waits_for_more(). */
struct tcp_tail {
	uint32_t us;	/* when there was one last, wrapped us */
	uint8_t in_row; /* without a pause, or a word of the peer, between them */
	bool waits;	/* it is held: until more comes, an ACK does, or TCP_TIMER_PACE */
};

/* What bounds the sender just now, the last that applies. BUSY: data are queued, nothing but the network holds them
 * back. RWND: the peer's window does. SNDBUF: nothing waits, the program would give more if there were room. Linux's
 * names in TCP_INFO, where busy_time is the sum of all. */
enum tcp_chrono { TCP_CHRONO_NONE, TCP_CHRONO_BUSY, TCP_CHRONO_RWND, TCP_CHRONO_SNDBUF, TCP_N_CHRONOS };

/* A range of sequence numbers: left .. right - 1. */
struct tcp_range {
	tcp_seq left, right;
};

/* Round-trip estimator (RFC 6298), rtt.c. us. */
struct tcp_rtt {
	uint32_t srtt_us;    /* 0 = no sample yet */
	uint32_t rttvar_us;  /* RFC 6298's RTTVAR: at once what mdev_max_us rises to, falls once a round only */
	uint32_t mdev_us, mdev_max_us; /* smoothed mean deviation; its largest value of the current round */
	tcp_seq round_end;   /* the round ends when this is acked */
	uint32_t rto_us;     /* without backoff */
	uint32_t min_us;     /* over a window of 5 minutes; UINT32_MAX = none */
	uint32_t min_at_ms;  /* when min_us was seen, wrapped */
	uint8_t srtt_eighths; /* of a us, beyond srtt_us */
	uint8_t backoff;     /* doublings in force */
};

/* F-RTO (RFC 5682), loss recovery's doubts about a timeout. */
enum tcp_frto {
	TCP_FRTO_OFF,  /* no timeout, or its losses are real */
	TCP_FRTO_ON,   /* the first segment was sent again: what the next ACKs say decides */
	TCP_FRTO_PROBE, /* an ACK advanced: new data go before any other retransmission (step 2.b) */
};

/* RACK (RFC 8985), loss.c. */
struct tcp_rack {
	fs_ns sent_at;		/* RACK.xmit_ts: of the segment delivered that was sent last */
	tcp_seq end_seq;	/* its end */
	uint32_t rtt_us;	/* its round trip */
	uint32_t last_delivered; /* conn->cc.delivered when reo_steps was last raised */
	uint8_t reo_steps;	/* reordering window in quarters of min RTT; 1 at the beginning */
	uint8_t reo_persist;	/* recoveries for which a raised window persists still */
	bool advanced;		/* sent_at moved with this ACK */
	bool dsack_seen;
};

struct tcp_conn {
	/* --- identity: handshake --- */
	struct tcp_end end;	/* first member: see tcp_end */
	struct tcp_stack *stack; /* borrowed, never NULL */
	void *user;		/* the caller's; NULL in the accept queue */
	struct ip_dst *dst;	/* referenced; NULL = to be resolved */
	uint32_t flags;		/* enum tcp_conn_flag */
	uint8_t state;		/* enum tcp_state; state.c */
	uint8_t snd_wscale, rcv_wscale; /* shifts of windows received and sent */
	uint8_t ack_flags;	/* enum tcp_ack_flag */
	int16_t error;		/* pending, positive errno; 0 = none */
	uint8_t soft_error;	/* from ICMP or the way out, likewise: reported if the connection times out (MUST-56) */

	/* --- sender: output.c and send.c; snd_una, snd_wnd, snd_wl* by ack.c --- */
	tcp_seq snd_una, snd_nxt; /* RFC 9293 3.3.1 */
	uint32_t snd_wnd;	/* scaled */
	uint32_t max_wnd;	/* largest snd_wnd seen: MAX.SND.WND */
	tcp_seq snd_wl1, snd_wl2;
	tcp_seq iss;
	tcp_seq snd_end;	/* first number after what is queued; == fin_seq when FIN_QUEUED */
	tcp_seq snd_up;		/* urgent pointer to send, after the urgent byte */
	tcp_seq last_partial;	/* end of the last segment sent that was not full: Nagle by Minshall */
	uint32_t mtu_lowered_s;	/* when path_mtu was, seconds of the clock; 0 = it is the destination's (icmp.c) */
	struct fbuf *first, *last; /* segments in order; NULL = none. Owned */
	struct fbuf *send_next;	/* first one never sent; NULL = all sent */
	fs_ns last_sent_at;	/* data or SYN; 0 = never */
	fs_ns pace_at;		/* next segment not before; 0 = now */
	uint32_t n_segs;	/* in the list */
	uint32_t snd_charge;	/* bytes accounted against sndbuf */
	uint32_t sndbuf;	/* limit, auto-tuned unless options.sndbuf */
	uint16_t mss;		/* payload of a full segment now: path, peer and options considered (SendMSS) */
	uint16_t peer_mss;	/* as the peer said, or the default (MUST-15) */
	uint16_t advertised_mss;
	uint16_t path_mtu;	/* IP bytes; lowered by ICMP and black-hole escape */

	/* --- receiver: input.c, recv.c, ooo.c --- */
	tcp_seq rcv_nxt, rcv_wup; /* rcv_wup: rcv_nxt when the window was last announced */
	uint32_t rcv_wnd;	/* announced, from rcv_wup on */
	tcp_seq irs;
	tcp_seq copied_seq;	/* next number the user reads */
	tcp_seq rcv_up;		/* the urgent byte's number (Linux's view: pointer - 1; RFC 6093) */
	uint32_t heard;		/* when the last acceptable segment came, tcp_coarse() */
	uint32_t bare_in;	/* segments without payload in life; see data_in */
	uint32_t ooo_arrivals;	/* counts: tcp_ooo.arrived */
	struct fbuf_queue rx;	/* in order; from copied_seq to rcv_nxt. Owned */
	struct fbuf *ooo_first, *ooo_last; /* runs, struct tcp_ooo; owned */
	uint32_t rcv_charge;	/* bytes accounted against rcvbuf: rx, ooo, held in place */
	uint32_t rcv_pinned;	/* chunks of pinned pools among these */
	struct list holder;	/* in tcp_stack.holders while rcv_pinned > 0 */
	uint32_t rcvbuf;	/* limit, auto-tuned unless options.rcvbuf */
	uint32_t rcv_ssthresh;	/* window we allow ourselves to announce now */
	uint32_t window_clamp;
	uint16_t rcv_mss;	/* estimate of the peer's segments, for delayed ACKs and SWS */
	uint8_t quick_acks;	/* to send at once before delaying begins */
	uint8_t oob_byte;
	uint16_t n_ooo;		/* runs */
	uint16_t last_segment;	/* bytes of the last segment shorter than rcv_mss: two alike are the new estimate */
	uint32_t data_in;	/* segments with payload in life, acceptable or not (TCP_INFO) */
	fs_ns last_received_at;	/* data */
	uint32_t ato_us;	/* delayed-ACK timeout now */
	struct tcp_range dsack;
	/* Receive auto-tuning: bytes read in the last round trip as seen by the receiver. */
	uint32_t rcv_space;
	tcp_seq rcv_space_seq;	/* copied_seq when this measurement began */
	tcp_seq rcv_fin;	/* number of the peer's FIN; valid with FIN_AHEAD */
	uint32_t rcv_space_us;	/* when, wrapped us; in SYN-SENT when the connection began */
	uint32_t rcv_rtt_us;	/* receiver's estimate of the round trip, 0 = none */
	uint32_t rcv_rtt_seq;	/* with timestamps: the echo of the last sample; else where the window ends that is */
	uint32_t rcv_rtt_began_us; /* measured since then, wrapped us; 0 = not yet */

	/* --- timestamps (RFC 7323) --- */
	uint32_t ts_offset;	/* added to our clock of ms */
	uint32_t ts_recent;	/* TS.Recent */
	fs_ns ts_recent_at;	/* when it was set; 0 = never */
	tcp_seq last_ack_sent;	/* Last.ACK.sent */
	uint32_t retrans_stamp;	/* timestamp of the first retransmission, for Eifel; 0 = none */

	/* --- acknowledgement and loss recovery: ack.c, sack.c, loss.c, rate.c, rtt.c --- */
	struct tcp_cc cc;
	struct tcp_rack rack;
	fs_ns rtx_began;	/* first timeout without progress since, for R2 and the user timeout; 0 = none */
	struct fbuf *sack_cursor; /* where SACK blocks were applied last; NULL = begin at first, and if none is */
	struct fbuf *lost_next;	/* no segment before it is to be sent again; NULL = begin at first */
	struct tcp_rtt rtt;
	uint32_t packets_out;	/* segments sent and not cumulatively acked, FIN and SYN not counted */
	uint32_t sacked_out;	/* of them, SACKed; without SACK: duplicate ACKs */
	uint32_t lost_out;	/* of them, marked LOST */
	uint32_t retrans_out;	/* retransmissions in the network */
	uint32_t reord_seen;	/* times the path was seen to reorder */
	tcp_seq high_seq;	/* snd_nxt when recovery began */
	tcp_seq high_sacked;	/* end of the highest SACKed segment; valid while sacked_out > 0 with SACK */
	tcp_seq undo_marker;	/* snd_una when the window was reduced; meaningful while can_undo */
	int32_t undo_retrans;	/* retransmissions not yet proved unnecessary; -1 = none was sent */
	union {
		/* while the window is being reduced: segments since that began */
		struct { uint32_t prr_delivered, prr_out; };
		/* in TCP_CA_OPEN: the small frame that ends what was written (superframe.c) */
		struct tcp_tail tail;
	};
	tcp_seq tlp_high_seq;	/* snd_nxt at the probe's time; valid while tlp_out */
	uint32_t delivered_ce;	/* delivered with ECE; low bits, as of the next two */
	uint32_t app_limited;	/* delivered + in flight when the program ran dry, 0 = not limited */
	uint32_t round_delivered; /* delivered when the current round began */
	uint32_t first_sent_us, delivered_us; /* delivery rate, wrapped us */
	uint32_t total_retrans, total_lost; /* segments in life */
	uint32_t max_packets_out; /* largest packets_out since cwnd_usage_seq was snd_nxt */
	tcp_seq cwnd_usage_seq;
	uint32_t dsack_dups;	/* segments the peer said it had twice */
	bool tlp_retrans : 1;	/* the probe sent old data again */
	bool can_undo : 1;	/* the window was reduced, and might go back (undo_marker) */
	bool reneged : 1;	/* the peer dropped what it had SACKed: no rate samples until recovery ends */
	bool rate_app_limited : 1; /* of the rate below */
	bool syn_data_taken : 1; /* Fast Open: data in a SYN, ours or the peer's, were accepted */
	uint8_t fastopen_fail : 2; /* why ours were not, enum tcp_info_fastopen */
	uint8_t loss_timer;	/* enum tcp_loss_timer */
	uint16_t reordering;	/* duplicate threshold, segments; 3 unless the path reorders */
	union {
		struct {
			uint16_t dup_acks; /* in a row, of the strict kind (RFC 5681 2) */
			uint8_t frto;	   /* enum tcp_frto */
			uint8_t retransmits; /* timeouts in a row without progress */
			uint8_t probes_out; /* window probes in a row unanswered */
			uint8_t keepalive_probes;
			bool persist;	   /* TCP_TIMER_RTX is for the probe of a closed window */
			bool tlp_out;	   /* a tail loss probe is not answered */
		};
		uint64_t unsettled;	   /* all of these at once: 0 = nothing is odd about what was sent */
	};

	/* --- timers: timer.c --- */
	struct timer timer;	/* kind TCP_WHEEL_CONN */
	fs_ns due[TCP_N_TIMERS]; /* FS_NEVER = off */

	/* --- places --- */
	struct list dirty;	/* in tcp_stack.dirty, or without TCP_CONN_DIRTY in .held */
	struct list queue;	/* in tcp_listener.ready, or the user's */
	struct tcp_listener *listener; /* while in its accept queue or TFO_CHILD; else NULL */

	/* --- challenge ACKs (RFC 5961 7): a budget of this connection's own closes the side channel --- */
	uint32_t challenge_from; /* tcp_coarse() */
	uint16_t challenges;

	/* --- what the sender spent its time on: tcp_chrono_start(). Units of 2^20 ns, wrapped: about a ms --- */
	uint8_t chrono;		/* enum tcp_chrono */
	uint8_t blocked;	/* tries in a row that failed for local reasons */
	uint32_t chrono_at;	/* since when */
	uint32_t chrono_spent[TCP_N_CHRONOS - 1]; /* before that */

	/* --- in life, for TCP_INFO: ack.c, recv.c, output.c, frame.c, rate.c --- */
	uint64_t bytes_acked, bytes_received, bytes_retrans;
	uint32_t data_out, bare_out; /* segments with payload, and without */
	uint32_t rate_delivered, rate_interval_us; /* the last rate that says something: segments, and in what time; 0 = none */

	struct tcp_options options;
};

static_assert(sizeof(struct tcp_conn) <= 960, "an idle connection takes less than 1 KiB with its place in the table");

/* Kinds of timers in tcp_stack.wheel. */
enum { TCP_WHEEL_CONN = 1, TCP_WHEEL_REQ, TCP_WHEEL_TW };

/* inline definitions */

static inline struct tcp_seg *tcp_seg(struct fbuf *f)
{
	return (struct tcp_seg *)(void *)f->own;
}

static inline tcp_seq tcp_seg_end(struct fbuf *f)
{
	return tcp_seg(f)->seq + tcp_seg(f)->len;
}

static inline struct tcp_ooo *tcp_ooo(struct fbuf *f)
{
	return (struct tcp_ooo *)(void *)f->own;
}

/* Segments believed to be in the network (RFC 6675's pipe, in segments). */
static inline uint32_t tcp_in_flight(const struct tcp_conn *c)
{
	return c->packets_out - c->sacked_out - c->lost_out + c->retrans_out;
}

static inline bool tcp_has(const struct tcp_conn *c, uint32_t flags)
{
	return (c->flags & flags) != 0;
}

/* Our clock in a segment's timestamp: ms (RFC 7323 5.4), wrapped. */
static inline uint32_t tcp_ts_now(const struct tcp_conn *c, fs_ns now)
{
	return (uint32_t)((uint64_t)now / FS_MS(1)) + c->ts_offset;
}

/* Wrapped units of 2^20 ns, a ms roughly: for what may be long ago and costs little this way. */
enum { TCP_COARSE_SHIFT = 20 };

static inline uint32_t tcp_coarse(fs_ns t)
{
	return (uint32_t)((uint64_t)t >> TCP_COARSE_SHIFT);
}

/* Wrapped us, for what is compared by difference only. */
static inline uint32_t tcp_us(fs_ns t)
{
	return (uint32_t)((uint64_t)t / FS_US(1));
}

static inline uint32_t tcp_rto_us(const struct tcp_conn *c)
{
	uint64_t rto = (uint64_t)c->rtt.rto_us << FS_MIN(c->rtt.backoff, (uint8_t)20);

	return (uint32_t)FS_MIN(rto, (uint64_t)c->stack->config.rto_max_us);
}

/* What the peer may still send, from rcv_nxt on (RFC 9293 RCV.WND). */
static inline uint32_t tcp_receive_window(const struct tcp_conn *c)
{
	int32_t win = seq_diff(c->rcv_wup + c->rcv_wnd, c->rcv_nxt);

	return win < 0 ? 0 : (uint32_t)win;
}

#endif
