/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * info.c - TCP_INFO.
 *
 * 0 as in Linux: fackets and last_ack_sent. 0 since nothing of it is done: rehash.
 */
#include "tcp/info.h"

#include <string.h>

#include "base/err.h"
#include "ip/ip.h"
#include "tcp/tcp_internal.h"

enum { TIMESTAMP_LEN = 12 }; /* bytes of every segment that has them */

static uint32_t ms(fs_ns t)
{
	return (uint32_t)(t / FS_MS(1));
}

/* Time spent on @which, now included; us. An end leaves the clock running. */
static uint64_t spent_us(const struct tcp_conn *c, enum tcp_chrono which, fs_ns now)
{
	uint32_t spent = c->chrono_spent[which - 1];

	if (c->chrono == which && c->first)
		spent += tcp_chrono_ticks(now) - c->chrono_at;
	return ((uint64_t)spent << 20) / 1000;
}

static void fill_times(const struct tcp_conn *c, struct tcp_info_layout *i, fs_ns now)
{
	i->rwnd_limited = spent_us(c, TCP_CHRONO_RWND, now);
	i->sndbuf_limited = spent_us(c, TCP_CHRONO_SNDBUF, now);
	i->busy_time = spent_us(c, TCP_CHRONO_BUSY, now) + i->rwnd_limited + i->sndbuf_limited;
}

static uint8_t options(const struct tcp_conn *c)
{
	static const struct {
		uint32_t flag;
		uint8_t option;
	} map[] = {
		{ TCP_CONN_TS, TCP_INFO_TIMESTAMPS },  { TCP_CONN_SACK, TCP_INFO_SACK },
		{ TCP_CONN_WSCALE, TCP_INFO_WSCALE },  { TCP_CONN_ECN, TCP_INFO_ECN },
		{ TCP_CONN_ECN_SEEN, TCP_INFO_ECN_SEEN },
	};
	uint8_t set = 0;

	for (unsigned i = 0; i < FS_ARRAY_SIZE(map); i++)
		set |= tcp_has(c, map[i].flag) ? map[i].option : 0;
	if (c->syn_data_taken)
		set |= TCP_INFO_SYN_DATA;
	return set;
}

static uint32_t ms_since(fs_ns then, fs_ns now)
{
	return then == 0 ? 0 : ms(now - then);
}

/* Payload that left, retransmissions included. bytes_acked counts our FIN once it is acked; snd_una is beyond it
 * then. */
static uint64_t bytes_sent(const struct tcp_conn *c)
{
	tcp_seq from = tcp_has(c, TCP_CONN_CONNECTED) ? c->snd_una : c->iss + 1;
	tcp_seq to = tcp_has(c, TCP_CONN_FIN_SENT) ? c->snd_end : c->snd_nxt;

	if (!tcp_has(c, TCP_CONN_CONNECTED) && to == c->iss)
		return 0;
	return c->bytes_acked + c->bytes_retrans + (uint64_t)(int64_t)seq_diff(to, from);
}

/* Lone segments are not sampled (ack.c): what a dialogue shows is one of them in a round trip. */
static void fill_rate(const struct tcp_conn *c, struct tcp_info_layout *i)
{
	uint64_t segments = c->rate_delivered;
	uint32_t us = c->rate_interval_us;

	i->delivery_rate_app_limited = c->rate_app_limited;
	if (us == 0 && c->cc.delivered > 0 && c->rtt.min_us != UINT32_MAX) {
		segments = 1;
		us = c->rtt.min_us;
		i->delivery_rate_app_limited = 1;
	}
	if (us > 0)
		i->delivery_rate = segments * c->mss * 1000000 / us;
}

static void fill_sender(const struct tcp_conn *c, struct tcp_info_layout *i, fs_ns now)
{
	bool began = tcp_has(c, TCP_CONN_CONNECTED);

	i->snd_wscale = c->snd_wscale & 15;
	i->rto = tcp_rto_us(c);
	i->snd_mss = c->mss;
	i->unacked = c->packets_out + (c->packets_out == 0 && tcp_is_outstanding(c)); /* SYN or FIN */
	i->sacked = c->sacked_out;
	i->lost = c->lost_out;
	i->retrans = c->retrans_out;
	i->last_data_sent = ms_since(c->last_sent_at, now);
	i->pmtu = c->path_mtu;
	i->rtt = c->rtt.srtt_us;
	i->rttvar = c->rtt.mdev_us;
	i->snd_ssthresh = c->cc.ssthresh;
	i->snd_cwnd = c->cc.cwnd;
	i->reordering = c->reordering;
	i->total_retrans = c->total_retrans;
	i->pacing_rate = c->cc.pacing_rate ? c->cc.pacing_rate : UINT64_MAX;
	i->max_pacing_rate = c->options.max_pacing_rate ? c->options.max_pacing_rate : UINT64_MAX;
	i->bytes_acked = c->bytes_acked + (began && !tcp_has(c, TCP_CONN_PASSIVE)); /* Linux counts its SYN, and FINs */
	i->bytes_sent = bytes_sent(c);
	i->bytes_retrans = c->bytes_retrans;
	i->data_segs_out = c->data_out;
	i->segs_out = c->data_out + c->bare_out;
	i->notsent_bytes = seq_gt(c->snd_end, c->snd_nxt) ? c->snd_end - c->snd_nxt : 0;
	i->min_rtt = c->rtt.min_us;
	i->delivered = (uint32_t)c->cc.delivered + began; /* the SYN, or the SYN-ACK */
	i->delivered_ce = (uint32_t)c->delivered_ce;
	i->dsack_dups = c->dsack_dups;
	i->reord_seen = c->reord_seen;
	i->snd_wnd = c->snd_wnd;
	i->fastopen_client_fail = c->fastopen_fail;
	fill_rate(c, i);
}

static void fill_receiver(const struct tcp_conn *c, struct tcp_info_layout *i, fs_ns now)
{
	i->rcv_wscale = c->rcv_wscale & 15;
	i->ato = c->ato_us;
	i->rcv_mss = c->rcv_mss;
	i->last_data_recv = ms_since(c->last_received_at, now);
	i->rcv_ssthresh = c->rcv_ssthresh;
	/* As Linux: of the payload, once timestamps are agreed on. */
	i->advmss = c->advertised_mss - (tcp_has(c, TCP_CONN_CONNECTED) && tcp_has(c, TCP_CONN_TS) ? TIMESTAMP_LEN : 0);
	i->rcv_rtt = c->rcv_rtt_us;
	i->rcv_space = c->rcv_space;
	i->bytes_received = c->bytes_received;
	i->data_segs_in = c->data_in;
	i->segs_in = c->data_in + c->bare_in;
	if (tcp_has(c, TCP_CONN_CONNECTED))
		i->last_ack_recv = ms((fs_ns)(tcp_coarse(now) - c->heard) << TCP_COARSE_SHIFT);
	i->rcv_ooopack = c->ooo_arrivals;
	i->rcv_wnd = tcp_receive_window(c);
}

size_t tcp_info(const struct tcp_conn *conn, void *to, size_t len, fs_ns now)
{
	struct tcp_info_layout i = {
		.state = conn->state,
		.ca_state = conn->cc.ca_state,
		.retransmits = conn->retransmits,
		.probes = (uint8_t)(conn->probes_out + conn->keepalive_probes),
		.backoff = conn->rtt.backoff,
		.options = options(conn),
	};

	fill_sender(conn, &i, now);
	fill_receiver(conn, &i, now);
	fill_times(conn, &i, now);
	len = FS_MIN(len, sizeof(i));
	memcpy(to, &i, len);
	return len;
}

size_t tcp_listener_info(const struct tcp_listener *listener, void *to, size_t len)
{
	struct tcp_info_layout i = {
		.state = listener->stack ? TCP_LISTEN : TCP_CLOSED,
		.unacked = listener->n_ready,
		.sacked = listener->backlog,
	};

	len = FS_MIN(len, sizeof(i));
	memcpy(to, &i, len);
	return len;
}
