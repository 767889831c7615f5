/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * snapshot.h - a connection's state while it moves to another engine or to the kernel (DESIGN D13).
 *
 * What TCP_REPAIR carries, in its terms; and behind that what makes an engine go on where the other stopped, which
 * the kernel finds out anew. The bytes of the queues travel beside it: the send queue's from snd_una on, the
 * receive queue's from copied_seq on. What waited behind a gap is not moved, the peer sends it again.
 *
 * Fixed widths, no pointers: it may pass through a pipe between programs of one version of the library.
 * Threads:  any, a layout.
 */
#ifndef FSOCK_TCP_SNAPSHOT_H
#define FSOCK_TCP_SNAPSHOT_H

#include <assert.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/seq.h"
#include "tcp/tcp.h"

enum { TCP_SNAPSHOT_VERSION = 1 };

enum tcp_snapshot_flag {
	TCP_SNAPSHOT_TS = 1 << 0,   /* TCPOPT_TIMESTAMP of TCP_REPAIR_OPTIONS */
	TCP_SNAPSHOT_SACK = 1 << 1, /* TCPOPT_SACK_PERM */
	TCP_SNAPSHOT_WSCALE = 1 << 2,
	TCP_SNAPSHOT_ECN = 1 << 3,
	TCP_SNAPSHOT_PASSIVE = 1 << 4,
	TCP_SNAPSHOT_FIN_QUEUED = 1 << 5,   /* the user shut writing: FIN at snd_end */
	TCP_SNAPSHOT_FIN_SENT = 1 << 6,
	TCP_SNAPSHOT_FIN_RECEIVED = 1 << 7, /* the last number before rcv_nxt is the peer's FIN */
	TCP_SNAPSHOT_SHUT_RD = 1 << 8,
	TCP_SNAPSHOT_URG_OUT = 1 << 9,	    /* snd_up is valid */
	TCP_SNAPSHOT_URG_IN = 1 << 10,	    /* rcv_up is valid */
	TCP_SNAPSHOT_URG_BYTE = 1 << 11,    /* oob_byte is valid */
	TCP_SNAPSHOT_URG_WAIT = 1 << 12,
	TCP_SNAPSHOT_ORPHAN = 1 << 13,	    /* its user closed it already */
	TCP_SNAPSHOT_ECN_ECHO = 1 << 14,    /* congestion is to be echoed */
};

struct tcp_snapshot {
	uint32_t version;	/* TCP_SNAPSHOT_VERSION */
	uint32_t flags;		/* enum tcp_snapshot_flag */
	struct ip_addr local, remote;
	uint16_t local_port, remote_port; /* host order */
	uint8_t state;		/* enum tcp_state */
	uint8_t snd_wscale, rcv_wscale; /* shifts: TCPOPT_WINDOW's value is snd | rcv << 16 */
	uint8_t oob_byte;

	/* --- TCP_QUEUE_SEQ: of the send queue snd_una's first byte, of the receive queue copied_seq --- */
	tcp_seq iss, snd_una, snd_nxt, snd_end;
	tcp_seq irs, copied_seq, rcv_nxt;

	/* --- TCP_REPAIR_WINDOW --- */
	tcp_seq snd_wl1;
	uint32_t snd_wnd, max_window, rcv_wnd;
	tcp_seq rcv_wup;

	/*
	 * TCP_TIMESTAMP: our clock for this connection when it was frozen. Never odd: the kernel would take an odd
	 * one for a clock of microseconds (design hazard 20). Never below what was sent before, or PAWS would drop
	 * what follows.
	 */
	uint32_t ts_now;
	uint32_t ts_recent, ts_recent_age_ms;

	uint16_t mss_clamp;	/* TCPOPT_MAXSEG: as the peer said */
	uint16_t advertised_mss;

	/* --- what the kernel finds out anew --- */
	uint16_t path_mtu;
	uint16_t rcv_mss;
	tcp_seq snd_wl2, snd_up, rcv_up;
	uint32_t srtt_us, rttvar_us, min_rtt_us; /* 0, UINT32_MAX = no sample */
	uint32_t cwnd, ssthresh, reordering;
	uint32_t sndbuf, rcvbuf, window_clamp;
	int32_t error, soft_error;
	uint64_t bytes_acked, bytes_received;
	struct tcp_options options;
};
static_assert(sizeof(struct tcp_snapshot) % 8 == 0, "no padding at the end");

#endif
