/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * info.h - what TCP_INFO gives: the layout of Linux's struct tcp_info.
 *
 * <linux/tcp.h> cannot be included here: it has an enum tcp_ca_state of its own. A test holds the two against each
 * other. Programs hand in a length; what they do not know of is left out.
 * Threads:  any, a layout.
 */
#ifndef FSOCK_TCP_INFO_H
#define FSOCK_TCP_INFO_H

#include <stdint.h>

enum tcp_info_option {
	TCP_INFO_TIMESTAMPS = 1,
	TCP_INFO_SACK = 2,
	TCP_INFO_WSCALE = 4,
	TCP_INFO_ECN = 8,
	TCP_INFO_ECN_SEEN = 16,
	TCP_INFO_SYN_DATA = 32,
};

/* Why a Fast Open of ours came to nothing. */
enum tcp_info_fastopen {
	TCP_INFO_FASTOPEN_OK, /* or not tried */
	TCP_INFO_FASTOPEN_NO_COOKIE,
	TCP_INFO_FASTOPEN_NOT_TAKEN,
	TCP_INFO_FASTOPEN_SYN_LOST,
};

struct tcp_info_layout {
	uint8_t state, ca_state, retransmits, probes, backoff, options;
	uint8_t snd_wscale : 4, rcv_wscale : 4;
	uint8_t delivery_rate_app_limited : 1, fastopen_client_fail : 2;
	uint32_t rto, ato; /* us */
	uint32_t snd_mss, rcv_mss;
	uint32_t unacked, sacked, lost, retrans, fackets; /* segments */
	uint32_t last_data_sent, last_ack_sent, last_data_recv, last_ack_recv; /* ms ago */
	uint32_t pmtu, rcv_ssthresh;
	uint32_t rtt, rttvar; /* us */
	uint32_t snd_ssthresh, snd_cwnd;
	uint32_t advmss, reordering;
	uint32_t rcv_rtt, rcv_space;
	uint32_t total_retrans;
	uint64_t pacing_rate, max_pacing_rate; /* bytes per second */
	uint64_t bytes_acked, bytes_received;
	uint32_t segs_out, segs_in;
	uint32_t notsent_bytes, min_rtt;
	uint32_t data_segs_in, data_segs_out;
	uint64_t delivery_rate;
	uint64_t busy_time, rwnd_limited, sndbuf_limited; /* us */
	uint32_t delivered, delivered_ce;
	uint64_t bytes_sent, bytes_retrans;
	uint32_t dsack_dups, reord_seen;
	uint32_t rcv_ooopack;
	uint32_t snd_wnd;
	uint32_t rcv_wnd, rehash; /* since Linux 6.2 */
};

#endif
