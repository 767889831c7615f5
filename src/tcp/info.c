/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * info.c - TCP_INFO.
 *
 * Not counted, and 0: fackets and last_ack_sent (Linux does not either), last_ack_recv, segs_*, data_segs_*,
 * bytes_sent, bytes_retrans, delivery_rate, rehash: they would cost each connection more memory than a reader
 * of statistics is worth; the stack's counters have their sums.
 */
#include "tcp/info.h"

#include <string.h>

#include "base/err.h"
#include "ip/ip.h"
#include "tcp/tcp_internal.h"

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

static void fill_sender(const struct tcp_conn *c, struct tcp_info_layout *i, fs_ns now)
{
	i->snd_wscale = c->snd_wscale & 15;
	i->rto = tcp_rto_us(c);
	i->snd_mss = c->mss;
	i->unacked = c->packets_out;
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
	i->bytes_acked = c->bytes_acked;
	i->notsent_bytes = seq_gt(c->snd_end, c->snd_nxt) ? c->snd_end - c->snd_nxt : 0;
	i->min_rtt = c->rtt.min_us;
	i->delivered = (uint32_t)c->delivered;
	i->delivered_ce = (uint32_t)c->delivered_ce;
	i->dsack_dups = c->dsack_dups;
	i->reord_seen = c->reord_seen;
	i->snd_wnd = c->snd_wnd;
	i->delivery_rate_app_limited = c->app_limited != 0;
}

static void fill_receiver(const struct tcp_conn *c, struct tcp_info_layout *i, fs_ns now)
{
	i->rcv_wscale = c->rcv_wscale & 15;
	i->ato = c->ato_us;
	i->rcv_mss = c->rcv_mss;
	i->last_data_recv = ms_since(c->last_received_at, now);
	i->rcv_ssthresh = c->rcv_ssthresh;
	i->advmss = c->advertised_mss;
	i->rcv_rtt = c->rcv_rtt_us;
	i->rcv_space = c->rcv_space;
	i->bytes_received = c->bytes_received;
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
