/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cc.h - congestion control: the plug point and what every algorithm works on.
 *
 * An algorithm is one file cc_NAME.c with a const struct tcp_cc_ops, and one line in cc.def. It sees a struct
 * tcp_cc and what an acknowledgement told, never a connection: so it is tested alone, with numbers. Loss
 * detection (loss.h) is the same for all; the algorithm decides how much may be in flight.
 *
 * Units:    windows in segments of @mss bytes, as TCP_INFO reports them; rates in bytes per second; times
 *           in fs_ns, round trips in us.
 * Does not: send, mark losses, own a timer. Functions are never stored: tcp_cc.algorithm is the index
 *           in cc.def.
 * Threads:  holder of the stack's lock only.
 */
#ifndef FSOCK_TCP_CC_H
#define FSOCK_TCP_CC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

enum {
	TCP_CC_PRIVATE = 12, /* 64-bit words an algorithm has to itself */
	TCP_CC_NAME_MAX = 16, /* bytes of a name with its NUL, as TCP_CONGESTION has it */
	TCP_CWND_MAX = 1 << 24,
	TCP_SSTHRESH_NONE = 0x7fffffff, /* "infinite": RFC 5681 3.1 */
	TCP_CC_INITIAL_MSS = 1460, /* RFC 6928 2: the initial window holds so many bytes per segment configured */
};

/*
 * enum tcp_ca_state - what loss recovery is at; Linux's names and order, tcpi_ca_state shows it.
 *
 * OPEN      nothing unusual. The window grows.
 * DISORDER  duplicate ACKs or SACKs came. The window stands; limited transmit (RFC 3042).
 * CWR       the window shrinks because of ECN or local congestion, not of loss.
 * RECOVERY  lost segments are sent again, the window follows PRR (RFC 6937). Until high_seq is acked.
 * LOSS      the retransmission timer fired; slow start from one segment. Until high_seq is acked.
 */
enum tcp_ca_state { TCP_CA_OPEN, TCP_CA_DISORDER, TCP_CA_CWR, TCP_CA_RECOVERY, TCP_CA_LOSS, TCP_CA_N_STATES };

enum tcp_cc_event {
	TCP_CC_TX_START,     /* first data after nothing was in flight */
	TCP_CC_CWND_RESTART, /* the window was reset after idling (RFC 5681 4.1) */
	TCP_CC_LOSS,	     /* the retransmission timer fired */
	TCP_CC_ECN_CE,	     /* a segment came marked: congestion experienced */
	TCP_CC_ECN_NO_CE,    /* a segment came with ECT and unmarked */
	TCP_CC_N_EVENTS
};

/* What one ACK tells, filled by ack.c. Segments. */
struct tcp_cc_ack {
	uint32_t acked;		/* newly acknowledged cumulatively */
	uint32_t acked_sacked;	/* newly delivered, cumulatively or selectively */
	uint32_t losses;	/* newly marked lost */
	uint32_t in_flight;	/* before this ACK was processed */
	int32_t rtt_us;		/* sample of this ACK; -1 = none */
	bool ece;		/* the peer echoed congestion */
	bool round_start;	/* a round trip began: everything sent before the last one was delivered */
	bool cwnd_limited;	/* the window, not the program, bounded what was sent */
	fs_ns now;
	/* Delivery rate (draft-cheng-iccrg-delivery-rate-estimation); interval_us <= 0: no valid sample. */
	uint32_t delivered;	   /* segments over the interval */
	uint32_t delivered_ce;	   /* of them marked CE, with accurate feedback or DCTCP's */
	int64_t interval_us;
	uint64_t prior_delivered;  /* tcp_cc.delivered when the sampled segment was sent */
	bool app_limited;	   /* the sample is of a time when the program had nothing to send */
	bool ack_delayed;	   /* looks like a delayed ACK: the round trip holds the peer's timer */
};

/* The window of one connection; embedded in it. */
struct tcp_cc {
	/* --- written by loss recovery and the algorithm --- */
	uint64_t pacing_rate;	/* bytes per second; 0 = as fast as the window allows */
	uint32_t cwnd;		/* segments that may be in flight; >= 1 */
	uint32_t ssthresh;	/* TCP_SSTHRESH_NONE = not known yet */
	uint32_t cwnd_count;	/* segments acked towards the next increment */
	uint32_t prior_cwnd;	/* before the last reduction, for undo */
	uint32_t prior_ssthresh;

	/* --- written by the connection, read here --- */
	uint32_t clamp;		/* cwnd never exceeds it; > 0, set before tcp_cc_set() */
	uint32_t mss;		/* bytes per segment, options excluded */
	uint32_t srtt_us;	/* smoothed, 0 = no sample yet */
	uint32_t min_rtt_us;	/* over the last minutes, UINT32_MAX = none */
	uint8_t ca_state;	/* enum tcp_ca_state */
	bool times_idle;	/* the algorithm's: TX_START is to be told, and acked() called, while the window is not used,
				   too. Else both may be left out for a segment that was out alone */
	uint8_t algorithm;	/* index in cc.def */
	uint64_t delivered;	/* segments delivered in the connection's life */

	uint64_t private[TCP_CC_PRIVATE]; /* the algorithm's, zeroed before init() */
};

struct tcp_cc_ops {
	const char *name;    /* as in TCP_CONGESTION */
	bool paces;	     /* sets pacing_rate itself */
	bool wants_ecn;	     /* negotiates ECN whatever the configuration, and marks every segment (DCTCP) */
	bool owns_window;    /* acked() sets cwnd in every state; recovery does not touch it (BBR) */

	void (*init)(struct tcp_cc *cc, fs_ns now);

	/* Every ACK that delivered something, in every state, before acked(). NULL = nothing to learn. */
	void (*observe)(struct tcp_cc *cc, const struct tcp_cc_ack *ack);

	/* After every ACK that delivered something, recovery's marks done. Where !owns_window only in
	 * OPEN, DISORDER and LOSS with cwnd below ssthresh: when the window may grow. */
	void (*acked)(struct tcp_cc *cc, const struct tcp_cc_ack *ack);

	/* The new ssthresh after a loss or an echo of congestion; cwnd is still the old one. >= 2. */
	uint32_t (*ssthresh)(struct tcp_cc *cc, fs_ns now);

	/* Recovery enters @state, after ssthresh() where it reduces the window, and cc->ssthresh is set: the algorithm
	 * may change it. cc->ca_state is still the old one. NULL = nothing to do. */
	void (*state)(struct tcp_cc *cc, enum tcp_ca_state state, fs_ns now);

	/* The reduction was a mistake: the window to go back to. NULL: max(cwnd, prior_cwnd). */
	uint32_t (*undo)(struct tcp_cc *cc);

	/* NULL = nothing to do. */
	void (*event)(struct tcp_cc *cc, enum tcp_cc_event event, fs_ns now);
};

/* --- registry (cc.c, cc.def) --- */

unsigned tcp_cc_count(void);
const struct tcp_cc_ops *tcp_cc_at(unsigned algorithm); /* NULL when out of range */
static inline const struct tcp_cc_ops *tcp_cc_of(const struct tcp_cc *cc); /* never NULL */
extern const struct tcp_cc_ops *const tcp_cc_table[]; /* for the line above */
int tcp_cc_by_name(const char *name, size_t len);	/* index or -ENOENT; @name need not end in NUL */

/* Begin with @algorithm: cwnd and ssthresh stay, private memory is zeroed. For a connection that changes its
 * algorithm as well. */
void tcp_cc_set(struct tcp_cc *cc, unsigned algorithm, fs_ns now);

/* The window to begin with where @segments are configured (RFC 6928 2: fewer when they are large); >= 1. */
uint32_t tcp_cc_initial_window(uint32_t segments, uint32_t mss);

/* --- what several algorithms share (cc.c) --- */

/* Slow start: grow by @acked up to ssthresh. Returns the segments left over for congestion avoidance. */
uint32_t tcp_cc_slow_start(struct tcp_cc *cc, uint32_t acked);

/* Congestion avoidance by counting: one segment more for every @per acked (RFC 5681 3.1). */
void tcp_cc_avoid(struct tcp_cc *cc, uint32_t per, uint32_t acked);

/* inline definitions */

static inline const struct tcp_cc_ops *tcp_cc_of(const struct tcp_cc *cc)
{
	return tcp_cc_table[cc->algorithm];
}

static inline bool tcp_cc_in_slow_start(const struct tcp_cc *cc)
{
	return cc->cwnd < cc->ssthresh;
}

#endif
