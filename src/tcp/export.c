/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * export.c - a connection leaves this engine for another or the kernel, or comes from there (DESIGN D13).
 *
 * While it moves it is frozen: it drops what arrives, which the peer sends again, and its timers stand. So no
 * byte is lost or doubled, whoever goes on with it. What was in flight counts as in flight afterwards, too, with its
 * age unknown: the first timeout or probe finds out what of it arrived.
 * Does not: move TIME-WAIT, which needs nobody, nor a handshake that was begun here, which is over within a round
 * trip. One at a listener goes to the kernel alone, as does what a user has not read of a connection that ended.
 */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "ip/ip.h"
#include "tcp/request.h"
#include "tcp/snapshot.h"
#include "tcp/tcp_internal.h"

/* Of each in a connection and in a snapshot. */
static const struct {
	uint32_t conn, snapshot;
} flag_map[] = {
	{ TCP_CONN_TS, TCP_SNAPSHOT_TS },
	{ TCP_CONN_SACK, TCP_SNAPSHOT_SACK },
	{ TCP_CONN_WSCALE, TCP_SNAPSHOT_WSCALE },
	{ TCP_CONN_ECN, TCP_SNAPSHOT_ECN },
	{ TCP_CONN_PASSIVE, TCP_SNAPSHOT_PASSIVE },
	{ TCP_CONN_FIN_QUEUED, TCP_SNAPSHOT_FIN_QUEUED },
	{ TCP_CONN_FIN_SENT, TCP_SNAPSHOT_FIN_SENT },
	{ TCP_CONN_FIN_RECEIVED, TCP_SNAPSHOT_FIN_RECEIVED },
	{ TCP_CONN_SHUT_RD, TCP_SNAPSHOT_SHUT_RD },
	{ TCP_CONN_URG_OUT, TCP_SNAPSHOT_URG_OUT },
	{ TCP_CONN_URG_IN, TCP_SNAPSHOT_URG_IN },
	{ TCP_CONN_URG_BYTE, TCP_SNAPSHOT_URG_BYTE },
	{ TCP_CONN_URG_WAIT, TCP_SNAPSHOT_URG_WAIT },
	{ TCP_CONN_ORPHAN, TCP_SNAPSHOT_ORPHAN },
	{ TCP_CONN_ECE_ECHO, TCP_SNAPSHOT_ECN_ECHO },
};

/* May a connection in that state move? */
static bool is_movable(unsigned state)
{
	switch (state) {
	case TCP_ESTABLISHED:
	case TCP_FIN_WAIT1:
	case TCP_FIN_WAIT2:
	case TCP_CLOSE_WAIT:
	case TCP_CLOSING:
	case TCP_LAST_ACK:
		return true;
	}
	return false;
}

/* --- out --- */

static void export_timestamps(const struct tcp_conn *c, struct tcp_snapshot *to, fs_ns now)
{
	uint32_t clock = tcp_ts_now(c, now);

	if (!tcp_has(c, TCP_CONN_TS))
		return;
	to->ts_now = clock + (clock & 1);
	to->ts_recent = c->ts_recent;
	to->ts_recent_age_ms = (uint32_t)((now - c->ts_recent_at) / FS_MS(1));
}

static void export_sequences(const struct tcp_conn *c, struct tcp_snapshot *to)
{
	to->iss = c->iss;
	to->snd_una = c->snd_una;
	to->snd_nxt = c->snd_nxt;
	to->snd_end = c->snd_end;
	to->irs = c->irs;
	to->copied_seq = c->copied_seq;
	to->rcv_nxt = c->rcv_nxt;
	to->snd_wl1 = c->snd_wl1;
	to->snd_wl2 = c->snd_wl2;
	to->snd_wnd = c->snd_wnd;
	to->max_window = c->max_wnd;
	to->rcv_wnd = c->rcv_wnd;
	to->rcv_wup = c->rcv_wup;
	to->snd_up = c->snd_up;
	to->rcv_up = c->rcv_up;
}

static void export_rest(const struct tcp_conn *c, struct tcp_snapshot *to)
{
	to->mss_clamp = c->peer_mss;
	to->advertised_mss = c->advertised_mss;
	to->path_mtu = c->path_mtu;
	to->rcv_mss = c->rcv_mss;
	to->srtt_us = c->rtt.srtt_us;
	to->rttvar_us = c->rtt.rttvar_us;
	to->min_rtt_us = c->rtt.min_us;
	to->cwnd = c->cc.cwnd;
	to->ssthresh = c->cc.ssthresh;
	to->reordering = c->reordering;
	to->sndbuf = c->sndbuf;
	to->rcvbuf = c->rcvbuf;
	to->window_clamp = c->window_clamp;
	to->error = c->error;
	to->soft_error = c->soft_error;
	to->bytes_acked = c->bytes_acked;
	to->bytes_received = c->bytes_received;
	to->options = c->options;
}

static void export_begin(struct tcp_snapshot *to, const struct tcp_end *end, uint32_t conn_flags, uint8_t state)
{
	memset(to, 0, sizeof(*to));
	to->version = TCP_SNAPSHOT_VERSION;
	for (unsigned i = 0; i < FS_ARRAY_SIZE(flag_map); i++)
		to->flags |= conn_flags & flag_map[i].conn ? flag_map[i].snapshot : 0;
	to->local = end->local;
	to->remote = end->remote;
	to->local_port = end->local_port;
	to->remote_port = end->remote_port;
	to->state = state;
}

static void take_out(struct tcp_conn *conn, struct tcp_snapshot *to, fs_ns now)
{
	export_begin(to, &conn->end, conn->flags, conn->state);
	to->snd_wscale = conn->snd_wscale;
	to->rcv_wscale = conn->rcv_wscale;
	to->oob_byte = conn->oob_byte;
	export_timestamps(conn, to, now);
	export_sequences(conn, to);
	export_rest(conn, to);
	conn->flags |= TCP_CONN_FROZEN;
	conn->flags &= ~(uint32_t)TCP_CONN_DIRTY;
	list_remove(&conn->dirty);
	tcp_timers_stop(conn);
}

int tcp_export(struct tcp_conn *conn, struct tcp_snapshot *to, fs_ns now)
{
	/* Who was not accepted yet is its listener's, and has no user that would go with it. */
	if (!is_movable(conn->state) || tcp_has(conn, TCP_CONN_FROZEN | TCP_CONN_QUEUED))
		return -EINVAL;
	take_out(conn, to, now);
	return 0;
}

int tcp_export_ended(struct tcp_conn *conn, struct tcp_snapshot *to, fs_ns now)
{
	bool whole = tcp_has(conn, TCP_CONN_FIN_SENT) && tcp_has(conn, TCP_CONN_FIN_RECEIVED) && conn->error == 0;

	if (conn->state != TCP_CLOSED || !whole || tcp_has(conn, TCP_CONN_FROZEN | TCP_CONN_QUEUED))
		return -EINVAL;
	take_out(conn, to, now);
	to->state = TCP_CLOSING;
	to->flags &= ~(uint32_t)TCP_SNAPSHOT_SHUT_RD; /* its end did that; what it received can be read */
	return 0;
}

/* The peer's window is not kept: its next segment tells it anew. */
static void export_request(const struct tcp_req *req, struct tcp_snapshot *to)
{
	const struct tcp_handshake *hs = &req->hs;

	export_begin(to, &req->end, hs->flags | TCP_CONN_PASSIVE, TCP_SYN_RECEIVED);
	to->snd_wscale = hs->snd_wscale;
	to->rcv_wscale = hs->rcv_wscale;
	to->iss = to->snd_una = hs->iss;
	to->snd_nxt = to->snd_end = hs->iss + 1;
	to->irs = to->snd_wl1 = hs->irs;
	to->copied_seq = to->rcv_nxt = to->rcv_wup = hs->irs + 1;
	to->snd_wnd = to->max_window = UINT16_MAX;
	to->rcv_wnd = hs->window;
	to->mss_clamp = hs->peer_mss;
	to->advertised_mss = hs->advertised_mss;
	to->options = req->listener->options;
}

bool tcp_export_request(struct tcp_listener *listener, struct tcp_snapshot *to)
{
	struct list *e;

	LIST_FOR_EACH(e, &listener->reqs) {
		struct tcp_req *req = FS_CONTAINER_OF(e, struct tcp_req, link);

		if (req->flags & TCP_REQ_PENALTY)
			continue;
		export_request(req, to);
		tcp_req_free(req);
		return true;
	}
	return false;
}

/* Bytes [offset, offset + len) of the segments' payload; returns how many there are. */
static uint32_t copy_segments(const struct tcp_conn *c, uint32_t offset, uint8_t *to, uint32_t len)
{
	uint32_t done = 0;

	for (struct fbuf *f = c->first; f && done < len; f = tcp_seg(f)->next) {
		uint32_t here = tcp_seg(f)->len;

		if (offset >= here) {
			offset -= here;
			continue;
		}
		here = FS_MIN(here - offset, len - done);
		memcpy(to + done, f->chunk + tcp_seg(f)->offset + offset, here);
		done += here;
		offset = 0;
	}
	return done;
}

static uint32_t copy_received(const struct tcp_conn *c, uint32_t offset, uint8_t *to, uint32_t len)
{
	uint32_t done = 0;

	for (const struct fbuf *f = c->rx.head; f && done < len; f = f->link) {
		if (offset >= f->total) {
			offset -= f->total;
			continue;
		}
		done += fbuf_copy_out(f, offset, to + done, len - done);
		offset = 0;
	}
	return done;
}

uint32_t tcp_export_queue(const struct tcp_conn *conn, enum tcp_queue which, uint32_t offset, void *to, uint32_t len)
{
	return which == TCP_QUEUE_SEND ? copy_segments(conn, offset, to, len) : copy_received(conn, offset, to, len);
}

void tcp_discard(struct tcp_conn *conn, const struct ip_env *env)
{
	if (!tcp_has(conn, TCP_CONN_ORPHAN)) {
		conn->flags |= TCP_CONN_ORPHAN;
		conn->stack->n_orphans++;
	}
	conn->flags &= ~(uint32_t)TCP_CONN_FROZEN;
	tcp_drop(conn, env, 0);
}

/* --- in --- */

static void import_timestamps(struct tcp_conn *c, const struct tcp_snapshot *from, fs_ns now)
{
	if (!tcp_has(c, TCP_CONN_TS))
		return;
	c->ts_offset = from->ts_now - (uint32_t)(now / FS_MS(1));
	c->ts_recent = from->ts_recent;
	c->ts_recent_at = FS_MAX(now - FS_MS((fs_ns)from->ts_recent_age_ms), 1);
}

/* The queues are empty yet: snd_end and rcv_nxt go forward as their bytes come in. */
static void import_sequences(struct tcp_conn *c, const struct tcp_snapshot *from)
{
	c->iss = from->iss;
	c->snd_una = from->snd_una;
	c->snd_end = seq_min(from->snd_una, from->snd_end); /* the FIN is acked: una is beyond it */
	c->snd_nxt = from->snd_nxt;
	c->snd_wl1 = from->snd_wl1;
	c->snd_wl2 = from->snd_wl2;
	c->snd_wnd = from->snd_wnd;
	c->max_wnd = from->max_window;
	c->snd_up = from->snd_up;
	c->irs = from->irs;
	c->copied_seq = c->rcv_nxt = from->copied_seq;
	c->rcv_wup = from->rcv_wup;
	c->last_ack_sent = from->rcv_wup;
	c->rcv_wnd = from->rcv_wnd;
	c->rcv_up = from->rcv_up;
	if (from->flags & TCP_SNAPSHOT_FIN_RECEIVED) {
		c->flags &= ~(uint32_t)TCP_CONN_FIN_RECEIVED;
		c->flags |= TCP_CONN_FIN_AHEAD;
		c->rcv_fin = from->rcv_nxt - 1;
	}
}

static void import_rtt(struct tcp_conn *c, const struct tcp_snapshot *from, fs_ns now)
{
	const struct tcp_config *config = &c->stack->config;

	if (from->srtt_us == 0)
		return;
	c->rtt.srtt_us = from->srtt_us;
	c->rtt.rttvar_us = c->rtt.mdev_us = c->rtt.mdev_max_us = FS_MIN(from->rttvar_us, config->rto_max_us / 4);
	c->rtt.round_end = c->snd_nxt;
	c->rtt.rto_us = (uint32_t)FS_MIN((uint64_t)from->srtt_us + FS_MAX(4 * c->rtt.rttvar_us, config->rto_min_us),
					 (uint64_t)config->rto_max_us);
	c->rtt.min_us = from->min_rtt_us;
	c->rtt.min_at_ms = (uint32_t)(now / FS_MS(1));
}

static void import_rest(struct tcp_conn *c, const struct tcp_snapshot *from, fs_ns now)
{
	c->peer_mss = from->mss_clamp;
	c->advertised_mss = from->advertised_mss;
	if (from->path_mtu < c->path_mtu && from->path_mtu > 0) {
		c->path_mtu = from->path_mtu;
		c->mtu_lowered_s = FS_MAX((uint32_t)(now / FS_SEC(1)), 1U);
	}
	c->snd_wscale = from->snd_wscale;
	c->rcv_wscale = from->rcv_wscale;
	c->oob_byte = from->oob_byte;
	c->error = from->error;
	c->soft_error = from->soft_error;
	c->bytes_acked = from->bytes_acked;
	/* What comes with the queue counts when it is put in. */
	c->bytes_received = from->bytes_received - (from->rcv_nxt - from->copied_seq -
						    ((from->flags & TCP_SNAPSHOT_FIN_RECEIVED) != 0));
	c->sndbuf = from->sndbuf;
}

/* What a hand from outside may have written must not make the engine stumble: another program sent it. */
static bool is_sound(const struct tcp_snapshot *from)
{
	uint32_t fin = (from->flags & TCP_SNAPSHOT_FIN_SENT) != 0;

	if (from->version != TCP_SNAPSHOT_VERSION || !is_movable(from->state))
		return false;
	if (from->local_port == 0 || from->remote_port == 0 || from->snd_wscale > 14 || from->rcv_wscale > 14)
		return false;
	if (ip_addr_is_v4(&from->local) != ip_addr_is_v4(&from->remote))
		return false;
	if (fin && !(from->flags & TCP_SNAPSHOT_FIN_QUEUED))
		return false;
	return seq_le(from->snd_una, from->snd_nxt) && seq_le(from->snd_nxt, from->snd_end + fin) &&
	       seq_le(from->copied_seq, from->rcv_nxt) && tcp_cc_at(from->options.congestion);
}

struct tcp_conn *tcp_import(struct tcp_stack *tcp, const struct ip_env *env, const struct tcp_snapshot *from,
			    void *user, fs_ns now)
{
	struct tcp_conn *c;

	if (!is_sound(from) ||
	    tcp_end_find(tcp, &from->local, from->local_port, &from->remote, from->remote_port))
		return NULL;
	c = tcp_conn_alloc(tcp, user);
	if (!c)
		return NULL;
	c->end.local = from->local;
	c->end.remote = from->remote;
	c->end.local_port = from->local_port;
	c->end.remote_port = from->remote_port;
	for (unsigned i = 0; i < FS_ARRAY_SIZE(flag_map); i++)
		c->flags |= from->flags & flag_map[i].snapshot ? flag_map[i].conn : 0;
	c->flags |= TCP_CONN_CONNECTED | TCP_CONN_FROZEN | TCP_CONN_IN_TABLE;
	c->flags |= ip_addr_is_v4(&from->remote) ? 0 : TCP_CONN_V6;
	tcp->n_orphans += tcp_has(c, TCP_CONN_ORPHAN);
	tcp_options_inherit(c, &from->options, now);
	tcp_attach_path(c, env, from->path_mtu);
	import_rest(c, from, now);
	tcp_rx_begin(c, now);
	import_sequences(c, from);
	import_timestamps(c, from, now);
	c->rcv_wscale = from->rcv_wscale;
	c->heard = tcp_coarse(now);
	c->rcvbuf = FS_MAX(c->rcvbuf, from->rcvbuf);
	tcp_update_mss(c);
	tcp_loss_init(c, now);
	import_rtt(c, from, now);
	c->cc.ssthresh = from->ssthresh;
	c->cc.cwnd = FS_MAX(FS_MIN(from->cwnd, (uint32_t)TCP_CWND_MAX), c->cc.cwnd);
	tcp_rx_established(c, now);
	c->window_clamp = FS_MAX(c->window_clamp, FS_MIN(from->window_clamp, (uint32_t)UINT16_MAX << c->rcv_wscale));
	tcp_end_insert(tcp, &c->end);
	tcp_set_state(c, env, from->state);
	return c;
}

static struct fbuf *alloc_payload(struct tcp_conn *c)
{
	return fbuf_alloc(c->stack->ip->payload);
}

/* In order, as if it had just arrived. */
static int import_received(struct tcp_conn *c, const uint8_t *from, uint32_t len, fs_ns now)
{
	uint32_t done = 0;

	while (done < len) {
		struct fbuf *frame = alloc_payload(c);
		struct tcp_in in = { .now = now, .segments = 1 };

		if (!frame)
			break;
		in.frame = frame;
		in.len = fbuf_append(frame, from + done, len - done);
		if (tcp_rx_append(c, &in) < 0)
			break;
		done += in.len;
	}
	return done > 0 || len == 0 ? (int)done : -ENOMEM;
}

int tcp_import_queue(struct tcp_conn *conn, enum tcp_queue which, const void *from, uint32_t len, fs_ns now)
{
	fs_assert(tcp_has(conn, TCP_CONN_FROZEN));
	if (which == TCP_QUEUE_RECEIVE)
		return import_received(conn, from, FS_MIN(len, (uint32_t)INT32_MAX), now);
	return tcp_send_restore(conn, from, FS_MIN(len, (uint32_t)INT32_MAX), now);
}

void tcp_thaw(struct tcp_conn *conn, const struct ip_env *env, fs_ns now)
{
	if (!tcp_has(conn, TCP_CONN_FROZEN))
		return;
	conn->flags &= ~(uint32_t)TCP_CONN_FROZEN;
	if (conn->state == TCP_CLOSED)
		return;
	if (tcp_has(conn, TCP_CONN_FIN_AHEAD) && conn->rcv_fin == conn->rcv_nxt) {
		conn->flags &= ~(uint32_t)TCP_CONN_FIN_AHEAD;
		conn->flags |= TCP_CONN_FIN_RECEIVED;
		conn->rcv_nxt++;
	}
	tcp_rearm_rtx(conn, now);
	tcp_keepalive_arm(conn, now);
	/* The peer may have sent into the void for a while: tell it where we are. */
	tcp_ack_now(conn);
	if (!tcp_is_writable(conn))
		conn->flags |= TCP_CONN_NO_SPACE;
	tcp_plain_update(conn);
	tcp_tell(conn, env, tcp_ready(conn));
}
