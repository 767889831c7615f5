/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fastopen.c - TCP Fast Open (RFC 7413): data with the SYN.
 *
 * Server: a keyed hash of both addresses is the cookie it grants; a SYN that brings it back makes a child at once,
 * which is in the accept queue before the handshake is complete. How many of those there may be is limited, and
 * one that ends by RST goes on to count for a while, since a reset costs the sender of spoofed SYNs nothing.
 * Client: cookies and MSS of servers are kept in a small table; a path that swallows SYNs with the option is
 * left alone for longer each time.
 * Does not: the experimental option 254.
 */
#include "tcp/fastopen.h"

#include <string.h>

#include "base/counter.h"
#include "base/err.h"
#include "ip/ip.h"
#include "tcp/info.h"
#include "tcp/request.h"
#include "tcp/tcp_internal.h"

enum {
	CLIENT = 1 << 0, /* bits of tcp_config.fastopen */
	SERVER = 1 << 1,

	PENALTY_S = 60,	  /* a reset child goes on to count: about what Linux does */
	BACKOFF_S = 60,	  /* after the second loss in a row; doubled with each */
	BACKOFF_MAX = 10, /* doublings */

	MSS_DEFAULT_V4 = 536,
	MSS_DEFAULT_V6 = 1220,
};

/* --- server --- */

void tcp_fastopen_cookie(const struct tcp_stack *tcp, const struct ip_addr *local, const struct ip_addr *remote,
			 uint8_t cookie[TCP_FASTOPEN_COOKIE_LEN])
{
	const uint64_t key[4] = { local->d[0], local->d[1], remote->d[0], remote->d[1] };
	uint64_t hash = siphash24(&tcp->secret[TCP_SECRET_FASTOPEN], key, sizeof(key));

	memcpy(cookie, &hash, TCP_FASTOPEN_COOKIE_LEN);
}

/* Payload that came with the SYN is read at once. What has no memory is as if it had not come. */
static void take_syn_data(struct tcp_conn *c, struct tcp_in *in)
{
	if (in->len == 0 || in->len > tcp_receive_window(c))
		return;
	c->syn_data_taken = tcp_rx_append(c, in) == 0;
}

/* The child in SYN-RECEIVED, its SYN-ACK on the way. NULL: no memory. */
static struct tcp_conn *make_child(struct tcp_listener *l, const struct ip_env *env, struct tcp_in *in,
				   const struct tcp_handshake *hs)
{
	struct tcp_end end = tcp_end_of(in, TCP_END_CONN);
	struct tcp_conn *c = tcp_child_create(l, env, &end, hs, in->now);

	if (!c)
		return NULL;
	c->flags |= TCP_CONN_TFO_CHILD;
	l->n_fastopen++;
	c->snd_una = hs->iss;
	c->snd_wnd = in->h.window; /* of a SYN: not scaled */
	c->max_wnd = c->snd_wnd;
	c->snd_wl1 = hs->irs;
	c->snd_wl2 = hs->iss;
	tcp_set_state(c, env, TCP_SYN_RECEIVED);
	take_syn_data(c, in);
	return c;
}

static bool is_valid(const struct tcp_in *in, const uint8_t *cookie)
{
	return in->h.cookie_len == TCP_FASTOPEN_COOKIE_LEN && memcmp(in->h.cookie, cookie, TCP_FASTOPEN_COOKIE_LEN) == 0;
}

bool tcp_fastopen_begin(struct tcp_listener *l, const struct ip_env *env, struct tcp_in *in,
			const struct tcp_handshake *hs, struct tcp_synack *s, uint8_t cookie[TCP_FASTOPEN_COOKIE_LEN])
{
	struct tcp_stack *tcp = l->stack;
	bool has_option = in->h.options & TCP_HAS_FASTOPEN;
	struct tcp_conn *c = NULL;

	if (!(tcp->config.fastopen & SERVER) || l->own.fastopen_queue == 0)
		return false;
	if (!has_option && !(l->options.fastopen_no_cookie && in->len > 0))
		return false;
	if (l->n_fastopen >= l->own.fastopen_queue) {
		/* RFC 7413 5.1: no cookie either, or every client would come back with data. */
		tcp->ip->counters[FS_CTR_tcp_fastopen_in_refused]++;
		return false;
	}
	tcp_fastopen_cookie(tcp, &in->p->dst, &in->p->src, cookie);
	if (l->options.fastopen_no_cookie || is_valid(in, cookie))
		c = make_child(l, env, in, hs);
	else if (in->h.cookie_len > 0)
		tcp->ip->counters[FS_CTR_tcp_fastopen_in_refused]++;
	if (!c) {
		/* Asked for, or wrong: here is the right one. */
		if (has_option) {
			s->cookie_len = TCP_FASTOPEN_COOKIE_LEN;
			s->cookie = cookie;
		}
		return false;
	}
	tcp->ip->counters[FS_CTR_tcp_fastopen_in]++;
	tcp_send_syn(c, env, in->now);
	if (env->tcp_ops->incoming)
		env->tcp_ops->incoming(env->context, l);
	return true;
}

/* @l's child was reset: its place stays taken for a while. Without memory for that it does not. */
static void punish(struct tcp_listener *l, fs_ns now)
{
	struct tcp_stack *tcp = l->stack;
	struct tcp_req *req = slab_alloc(&tcp->reqs);

	if (!req)
		return;
	req->listener = l;
	req->flags = TCP_REQ_PENALTY;
	timer_init(&req->timer, TCP_WHEEL_REQ);
	list_push_back(&l->reqs, &req->link);
	timer_add(&tcp->wheel, &req->timer, now + FS_SEC(PENALTY_S));
	l->n_fastopen++;
}

void tcp_fastopen_pardon(struct tcp_req *req)
{
	tcp_req_free(req);
}

void tcp_child_settled(struct tcp_conn *c, const struct ip_env *env, bool ok)
{
	struct tcp_listener *l = c->listener;

	if (!tcp_has(c, TCP_CONN_TFO_CHILD))
		return;
	c->flags &= ~(uint32_t)TCP_CONN_TFO_CHILD;
	if (!l)
		return;
	l->n_fastopen--;
	if (!ok)
		punish(l, env->now);
	if (!tcp_has(c, TCP_CONN_QUEUED))
		c->listener = NULL;
}

/* --- client --- */

static struct tcp_fastopen_entry *cache_find(const struct tcp_conn *c)
{
	struct tcp_stack *tcp = c->stack;

	for (unsigned i = 0; i < TCP_FASTOPEN_CACHE; i++) {
		struct tcp_fastopen_entry *e = &tcp->fastopen[i];

		if (ip_addr_equal(&e->remote, &c->end.remote) && ip_addr_equal(&e->local, &c->end.local))
			return e;
	}
	return NULL;
}

/* The entry of @c's server, a fresh one if there is none: the one unused for longest gives way. */
static struct tcp_fastopen_entry *cache_get(const struct tcp_conn *c, fs_ns now)
{
	struct tcp_fastopen_entry *e = cache_find(c), *oldest = &c->stack->fastopen[0];

	for (unsigned i = 0; !e && i < TCP_FASTOPEN_CACHE; i++) {
		struct tcp_fastopen_entry *at = &c->stack->fastopen[i];

		if (ip_addr_is_any(&at->remote)) {
			oldest = at;
			break;
		}
		if (at->used_at < oldest->used_at)
			oldest = at;
	}
	if (!e) {
		e = oldest;
		*e = (struct tcp_fastopen_entry){ .local = c->end.local, .remote = c->end.remote };
	}
	e->used_at = now;
	return e;
}

/* Does the path swallow such SYNs? One loss proves nothing. */
static bool is_black_hole(const struct tcp_fastopen_entry *e, fs_ns now)
{
	return e && e->failures > 1 &&
	       now - e->failed_at < FS_SEC((fs_ns)BACKOFF_S << FS_MIN(e->failures, (uint8_t)BACKOFF_MAX));
}

/* Of a server nobody knows (RFC 7413 4.1.3; MUST-15). */
static uint16_t default_mss(const struct tcp_conn *c)
{
	return tcp_has(c, TCP_CONN_V6) ? MSS_DEFAULT_V6 : MSS_DEFAULT_V4;
}

bool tcp_fastopen_ready(struct tcp_conn *c, fs_ns now)
{
	const struct tcp_fastopen_entry *e = cache_find(c);

	if (!(c->stack->config.fastopen & CLIENT) || is_black_hole(e, now))
		return false;
	if (!c->options.fastopen_no_cookie && !(e && e->len > 0))
		return false;
	if (e && e->mss > c->peer_mss) {
		/* Until the SYN-ACK says it again. */
		c->peer_mss = e->mss;
		tcp_update_mss(c);
	}
	return true;
}

uint32_t tcp_fastopen_syn(struct tcp_conn *c, struct tcp_hdr *h, fs_ns now)
{
	const struct tcp_fastopen_entry *e = cache_find(c);
	uint32_t mss = default_mss(c);

	if (!c->options.fastopen_connect || !(c->stack->config.fastopen & CLIENT) || is_black_hole(e, now))
		return 0;
	if (!c->options.fastopen_no_cookie) {
		h->options |= TCP_HAS_FASTOPEN;
		h->cookie_len = e ? e->len : 0;
		if (h->cookie_len == 0) {
			c->fastopen_fail = TCP_INFO_FASTOPEN_NO_COOKIE;
			return 0;
		}
		memcpy(h->cookie, e->cookie, e->len);
	}
	if (e && e->mss)
		mss = e->mss;
	/* What the path carries; of it the options of a SYN take more than those of other segments. */
	mss = FS_MIN(mss, (uint32_t)c->advertised_mss);
	return mss > TCP_MAX_HDR_LEN - TCP_HDR_LEN ? mss - (TCP_MAX_HDR_LEN - TCP_HDR_LEN) : 0;
}

void tcp_fastopen_answered(struct tcp_conn *c, const struct tcp_in *in)
{
	bool has_option = in->h.options & TCP_HAS_FASTOPEN;
	bool taken = seq_gt(in->h.ack, c->iss + 1);
	struct tcp_fastopen_entry *e;

	c->peer_mss = default_mss(c); /* unless the SYN-ACK says so, too */
	if (tcp_has(c, TCP_CONN_TFO_SYN_DATA)) {
		c->syn_data_taken = taken;
		if (!taken)
			c->fastopen_fail = c->retransmits > 0 ? TCP_INFO_FASTOPEN_SYN_LOST : TCP_INFO_FASTOPEN_NOT_TAKEN;
		tcp_count(c, taken ? FS_CTR_tcp_fastopen_out : FS_CTR_tcp_fastopen_out_failed);
	}
	if (!c->options.fastopen_connect || (!has_option && !cache_find(c)))
		return;
	e = cache_get(c, in->now);
	e->failures = 0;
	if (in->h.options & TCP_HAS_MSS)
		e->mss = in->h.mss;
	if (has_option && in->h.cookie_len > 0) {
		e->len = in->h.cookie_len;
		memcpy(e->cookie, in->h.cookie, e->len);
	} else if (tcp_has(c, TCP_CONN_TFO_SYN_DATA) && !taken) {
		/* RFC 7413 4.2.2: neither data nor cookie were wanted. The next asks again. */
		e->len = 0;
	}
}

void tcp_fastopen_lost(struct tcp_conn *c, fs_ns now)
{
	struct tcp_fastopen_entry *e;

	if (!c->options.fastopen_connect)
		return;
	e = cache_get(c, now);
	e->failed_at = now;
	if (e->failures < UINT8_MAX)
		e->failures++;
}
