/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * option.c - what a connection's user may choose, and what follows at once when it does.
 *
 * The checks are those of the kernel's setsockopt(); names, units and doubled buffer sizes are the front doors'.
 */
#include <errno.h>

#include "base/err.h"
#include "ip/ip.h"
#include "tcp/tcp_internal.h"

enum {
	KEEP_SECONDS_MAX = 32767,
	KEEP_COUNT_MAX = 127,
	SYN_COUNT_MAX = 127,
	MSS_MIN = 88,
	MSS_MAX = 32767,
	LINGER2_MAX_S = 120,
	WINDOW_CLAMP_MIN = 1152, /* half of the smallest receive buffer */
};

void tcp_options_default(struct tcp_options *options, const struct tcp_config *config)
{
	*options = (struct tcp_options){ .linger_s = -1, .congestion = config->congestion };
}

const struct tcp_options *tcp_get_options(const struct tcp_conn *conn)
{
	return &conn->options;
}

static bool is_valid(const struct tcp_conn *c, const struct tcp_options *o)
{
	const struct tcp_options *old = &c->options;
	bool closed = c->state == TCP_CLOSED;

	if (o->keep_idle_s > KEEP_SECONDS_MAX || o->keep_interval_s > KEEP_SECONDS_MAX)
		return false;
	if (o->keep_count > KEEP_COUNT_MAX || o->syn_count > SYN_COUNT_MAX)
		return false;
	if (o->mss != 0 && (o->mss < MSS_MIN || o->mss > MSS_MAX))
		return false;
	if (!tcp_cc_at(o->congestion))
		return false;
	/* These decide how a connection begins, and a clamp cannot be lifted from one that goes by it. */
	if (!closed && (o->fastopen_connect != old->fastopen_connect || o->fastopen_no_cookie != old->fastopen_no_cookie))
		return false;
	return closed || o->window_clamp != 0 || old->window_clamp == 0;
}

/* Values the kernel takes and bends. */
static void normalise(struct tcp_options *o)
{
	if (o->linger_s < 0)
		o->linger_s = -1;
	if (o->linger2_s < 0)
		o->linger2_s = -1;
	o->linger2_s = FS_MIN(o->linger2_s, (int16_t)LINGER2_MAX_S);
	if (o->window_clamp != 0)
		o->window_clamp = FS_MAX(o->window_clamp, (uint32_t)WINDOW_CLAMP_MIN);
}

/* Buffers, clamp and congestion control of @c as its options say. 0 in them = what it has. */
static void apply_memory(struct tcp_conn *c)
{
	const struct tcp_options *o = &c->options;

	if (o->sndbuf)
		c->sndbuf = o->sndbuf;
	if (o->rcvbuf)
		c->rcvbuf = o->rcvbuf;
	if (o->window_clamp && c->window_clamp) {
		c->window_clamp = FS_MIN(o->window_clamp, (uint32_t)UINT16_MAX << c->rcv_wscale);
		c->rcv_ssthresh = FS_MIN(c->rcv_ssthresh, c->window_clamp);
	}
}

void tcp_options_inherit(struct tcp_conn *c, const struct tcp_options *options, fs_ns now)
{
	c->options = *options;
	apply_memory(c);
	if (c->cc.algorithm != options->congestion)
		tcp_cc_set(&c->cc, options->congestion, now);
}

static bool may_send(const struct tcp_conn *c)
{
	return c->state != TCP_CLOSED && c->state != TCP_SYN_SENT && !tcp_has(c, TCP_CONN_FROZEN);
}

static void apply_keepalive(struct tcp_conn *c, const struct tcp_options *old, fs_ns now)
{
	const struct tcp_options *o = &c->options;

	if (o->keepalive == old->keepalive && o->keep_idle_s == old->keep_idle_s &&
	    o->keep_interval_s == old->keep_interval_s && o->keep_count == old->keep_count)
		return;
	if (c->state != TCP_CLOSED && !tcp_has(c, TCP_CONN_FROZEN))
		tcp_keepalive_arm(c, now);
}

int tcp_set_options(struct tcp_conn *conn, const struct ip_env *env, const struct tcp_options *options, fs_ns now)
{
	struct tcp_options old = conn->options, o = *options;
	uint32_t ready = tcp_ready(conn);
	bool push;

	if (!is_valid(conn, &o))
		return -EINVAL;
	normalise(&o);
	push = (o.nodelay && !old.nodelay) || (!o.cork && old.cork);
	conn->options = o;
	apply_memory(conn);
	if (o.congestion != old.congestion) {
		tcp_cc_inform(conn);
		tcp_cc_set(&conn->cc, o.congestion, now);
	}
	tcp_plain_update(conn);
	if (o.choice != old.choice && conn->dst) {
		/* Another mark or interface may lead another way: ask again at the next segment. */
		ip_dst_put(conn->stack->ip, conn->dst);
		conn->dst = NULL;
	}
	apply_keepalive(conn, &old, now);
	if (push && may_send(conn)) {
		conn->flags |= TCP_CONN_PUSH_ALL;
		tcp_output(conn, env, now);
	}
	/* A lower SO_RCVLOWAT or a larger buffer may make ready what was not. */
	ready = tcp_ready(conn) & ~ready;
	if (ready)
		tcp_tell(conn, env, ready);
	return 0;
}

void tcp_quickack(struct tcp_conn *conn, const struct ip_env *env, bool on, fs_ns now)
{
	conn->options.quickack_off = !on;
	if (!on) {
		conn->ack_flags &= (uint8_t)~TCP_ACK_QUICK;
		conn->ack_flags |= TCP_ACK_PINGPONG;
		return;
	}
	conn->ack_flags &= (uint8_t)~TCP_ACK_PINGPONG;
	conn->ack_flags |= TCP_ACK_QUICK;
	if ((conn->ack_flags & TCP_ACK_DELAYED) && may_send(conn)) {
		tcp_ack_now(conn);
		tcp_output(conn, env, now);
	}
}
