/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * listen.c - listeners: which one a SYN is for, the accept queue, and what leaves it.
 *
 * Overflow is Linux's (RFC 4987, T4987-1): a queue takes one more than its backlog says; with the accept queue full
 * SYNs are dropped and so is the last ACK of handshakes under way, whose SYN-ACK is then sent again.
 * Not here: half-open connections (request.c), cookies (cookie.c), Fast Open (fastopen.c).
 * Standards: RFC 9293 3.10.7.2.
 */
#include <errno.h>
#include <string.h>

#include "base/counter.h"
#include "base/err.h"
#include "ip/ip.h"
#include "tcp/request.h"
#include "tcp/tcp_internal.h"

static struct tcp_listener *listener_of(struct table_node *node)
{
	return FS_CONTAINER_OF(node, struct tcp_listener, node);
}

static struct tcp_req *req_of(struct list *link)
{
	return FS_CONTAINER_OF(link, struct tcp_req, link);
}

static struct tcp_conn *conn_of(struct list *queue)
{
	return FS_CONTAINER_OF(queue, struct tcp_conn, queue);
}

/* May @l be reached by that family at all? */
static bool takes_family(const struct tcp_listener *l, bool is_v4)
{
	if (ip_addr_is_any(&l->local)) {
		/* bind(::ffff:0.0.0.0) means any IPv4 address, and no other. */
		if (l->is_v6 && ip_addr_is_v4(&l->local))
			return is_v4;
	} else if (ip_addr_is_v4(&l->local) != is_v4) {
		return false;
	}
	if (!is_v4)
		return l->is_v6;
	return !l->is_v6 || !l->own.v6_only;
}

/* --- look-up --- */

/* What a SYN asks for. */
struct wanted {
	const struct ip_addr *local, *remote;
	uint16_t local_port, remote_port;
	uint32_t ifindex;
	bool is_v4;
};

/* Linux's preference: the address outweighs the device, and that the family. -1 = not for this listener. */
static int score(const struct tcp_listener *l, const struct wanted *w)
{
	int s = 0;

	if (l->local_port != w->local_port || !takes_family(l, w->is_v4))
		return -1;
	if (l->ifindex != 0 && l->ifindex != w->ifindex)
		return -1;
	if (!ip_addr_is_any(&l->local)) {
		if (!ip_addr_equal(&l->local, w->local))
			return -1;
		s += 4;
	}
	return s + (l->ifindex ? 2 : 0) + (w->is_v4 && !l->is_v6);
}

/* Of the @members that share their port and score @best, the one this flow belongs to. */
static struct tcp_listener *pick(struct tcp_stack *tcp, const struct wanted *w, int best, uint32_t members)
{
	uint32_t skip = tcp_end_hash(tcp, w->local, w->local_port, w->remote, w->remote_port) % members;
	struct table_node *node;

	TABLE_FOR_EACH_MATCH(node, &tcp->listeners, w->local_port) {
		struct tcp_listener *l = listener_of(node);

		if (l->reuseport && score(l, w) == best && skip-- == 0)
			return l;
	}
	return NULL;
}

struct tcp_listener *tcp_listener_find(struct tcp_stack *tcp, const struct ip_addr *local, uint16_t local_port,
				       const struct ip_addr *remote, uint16_t remote_port, uint32_t ifindex)
{
	struct wanted w = { local, remote, local_port, remote_port, ifindex, ip_addr_is_v4(local) };
	struct tcp_listener *found = NULL;
	struct table_node *node;
	uint32_t members = 0;
	int best = -1;

	TABLE_FOR_EACH_MATCH(node, &tcp->listeners, local_port) {
		struct tcp_listener *l = listener_of(node);
		int s = score(l, &w);

		if (s > best) {
			found = l;
			best = s;
			members = 0;
		}
		members += s == best && best >= 0 && l->reuseport;
	}
	return members > 1 ? pick(tcp, &w, best, members) : found;
}

/* --- life --- */

/* Could the same SYN be for both? */
static bool overlap(const struct tcp_listener *a, const struct tcp_listener *b)
{
	if (a->local_port != b->local_port || (a->ifindex && b->ifindex && a->ifindex != b->ifindex))
		return false;
	for (int is_v4 = 0; is_v4 < 2; is_v4++) {
		if (!takes_family(a, is_v4) || !takes_family(b, is_v4))
			continue;
		if (ip_addr_is_any(&a->local) || ip_addr_is_any(&b->local) || ip_addr_equal(&a->local, &b->local))
			return true;
	}
	return false;
}

static bool is_taken(struct tcp_stack *tcp, const struct tcp_listener *listener)
{
	struct table_node *node;

	TABLE_FOR_EACH_MATCH(node, &tcp->listeners, listener->local_port) {
		const struct tcp_listener *l = listener_of(node);

		if (overlap(l, listener) && !(l->reuseport && listener->reuseport))
			return true;
	}
	return false;
}

int tcp_listen(struct tcp_stack *tcp, struct tcp_listener *listener, uint32_t backlog)
{
	listener->backlog = FS_MIN(backlog, (uint32_t)TCP_LISTENER_LIMIT_MAX);
	if (listener->stack)
		return 0;
	if (is_taken(tcp, listener))
		return -EADDRINUSE;
	list_init(&listener->reqs);
	list_init(&listener->ready);
	listener->stack = tcp;
	table_insert(&tcp->listeners, &listener->node, listener->local_port);
	return 0;
}

struct tcp_conn *tcp_accept(struct tcp_listener *listener)
{
	struct list *first = list_pop_front(&listener->ready);
	struct tcp_conn *c;

	if (!first)
		return NULL;
	c = conn_of(first);
	c->flags &= ~(uint32_t)TCP_CONN_QUEUED;
	listener->n_ready--;
	/* A Fast Open child whose handshake is not complete goes on to count (RFC 7413 5.1). */
	if (!tcp_has(c, TCP_CONN_TFO_CHILD))
		c->listener = NULL;
	return c;
}

void tcp_accept_undo(struct tcp_listener *listener, struct tcp_conn *c)
{
	list_push_front(&listener->ready, &c->queue);
	c->flags |= TCP_CONN_QUEUED;
	c->listener = listener;
	listener->n_ready++;
}

/* The Fast Open children their users have already: nothing but the table leads to them. */
static void disown_children(struct tcp_listener *listener)
{
	struct table_cursor cursor = { 0 };
	struct table_node *node;

	while (listener->n_fastopen > 0 && (node = table_next(&listener->stack->ends, &cursor)) != NULL) {
		struct tcp_end *end = FS_CONTAINER_OF(node, struct tcp_end, node);
		struct tcp_conn *c = (struct tcp_conn *)(void *)end;

		if (end->kind != TCP_END_CONN || c->listener != listener)
			continue;
		c->listener = NULL;
		c->flags &= ~(uint32_t)TCP_CONN_TFO_CHILD;
		listener->n_fastopen--;
	}
}

void tcp_retire(struct tcp_listener *listener)
{
	struct list *e;

	if (!listener->stack || listener->retired)
		return;
	listener->retired = true;
	table_remove(&listener->stack->listeners, &listener->node);
	while ((e = list_first(&listener->reqs)) != NULL)
		tcp_req_free(req_of(e));
}

void tcp_unlisten(struct tcp_listener *listener, const struct ip_env *env, fs_ns now)
{
	struct list *e;

	if (!listener->stack)
		return;
	tcp_retire(listener);
	while ((e = list_pop_front(&listener->ready)) != NULL) {
		struct tcp_conn *c = conn_of(e);

		listener->n_ready--;
		if (tcp_has(c, TCP_CONN_TFO_CHILD))
			listener->n_fastopen--;
		c->flags &= ~(uint32_t)(TCP_CONN_TFO_CHILD | TCP_CONN_QUEUED);
		c->listener = NULL;
		tcp_abort(c, env, now);
	}
	disown_children(listener);
	listener->stack = NULL;
	listener->retired = false;
}

/* --- segments --- */

void tcp_listen_input(struct tcp_listener *l, const struct ip_env *env, struct tcp_in *in)
{
	uint16_t flags = in->h.flags;

	/* First RST, then ACK, then SYN: RFC 9293 3.10.7.2. */
	if (flags & TCP_RST)
		goto drop;
	if (flags & TCP_ACK) {
		if (!(flags & TCP_SYN) && tcp_cookie_accept(l, env, in))
			return;
		tcp_reply_reset(l->stack, env, in);
		goto drop;
	}
	/* A SYN that ends what it begins: nobody means that, and Linux takes it for a scan. */
	if ((flags & TCP_SYN) && !(flags & TCP_FIN)) {
		tcp_request_begin(l, env, in);
		return;
	}
drop:
	l->stack->ip->counters[FS_CTR_drop_tcp_listen]++;
}

bool tcp_accept_queue_full(struct tcp_listener *l)
{
	if (l->n_ready <= l->backlog)
		return false;
	l->overflows++;
	l->stack->ip->counters[FS_CTR_tcp_listen_overflows]++;
	l->stack->ip->counters[FS_CTR_drop_tcp_listen_overflow]++;
	return true;
}

/* --- children --- */

void tcp_attach_path(struct tcp_conn *c, const struct ip_env *env, uint32_t mtu)
{
	struct ip_dst *dst = env->tcp_ops->resolve(env->context, &c->end.remote, &c->end.local, c->options.choice);

	if (dst && ip_addr_equal(&dst->local, &c->end.local)) { /* MUST-45 */
		ip_dst_get(c->stack->ip, dst);
		c->dst = dst;
		mtu = dst->mtu;
	}
	c->path_mtu = (uint16_t)FS_MIN(mtu, (uint32_t)UINT16_MAX);
}

/* Sequence space and windows as the SYN-ACK leaves them. */
static void child_numbers(struct tcp_conn *c, const struct tcp_handshake *hs, fs_ns now)
{
	c->iss = hs->iss;
	c->snd_una = c->snd_nxt = c->snd_end = c->snd_up = hs->iss + 1;
	c->last_partial = c->high_seq = c->undo_marker = hs->iss + 1;
	c->snd_wl1 = hs->irs;
	c->snd_wl2 = hs->iss + 1;
	c->snd_wscale = hs->snd_wscale;
	c->peer_mss = hs->peer_mss;
	c->advertised_mss = hs->advertised_mss;
	c->ts_offset = hs->ts_offset;
	c->ts_recent = hs->ts_recent;
	c->ts_recent_at = tcp_has(c, TCP_CONN_TS) ? now : 0;
	tcp_rx_begin(c, now);
	tcp_rx_synced(c, hs->irs);
	c->rcv_wscale = hs->rcv_wscale;
	c->rcv_wnd = hs->window;
	c->last_ack_sent = c->rcv_nxt;
}

struct tcp_conn *tcp_child_create(struct tcp_listener *l, const struct ip_env *env, const struct tcp_end *end,
				  const struct tcp_handshake *hs, fs_ns now)
{
	struct tcp_stack *tcp = l->stack;
	struct tcp_conn *c = tcp_conn_alloc(tcp, NULL);

	if (!c) {
		tcp->ip->counters[FS_CTR_drop_tcp_no_memory]++;
		return NULL;
	}
	c->end.local = end->local;
	c->end.remote = end->remote;
	c->end.local_port = end->local_port;
	c->end.remote_port = end->remote_port;
	c->flags |= hs->flags | TCP_CONN_PASSIVE | (ip_addr_is_v4(&end->remote) ? 0 : TCP_CONN_V6);
	tcp_options_inherit(c, &l->options, now);
	/* Without a route now the MSS that was announced tells the MTU. */
	tcp_attach_path(c, env, hs->advertised_mss + (tcp_has(c, TCP_CONN_V6) ? 60u : 40u));
	child_numbers(c, hs, now);
	tcp_update_mss(c);
	tcp_end_insert(tcp, &c->end);
	c->flags |= TCP_CONN_IN_TABLE | TCP_CONN_QUEUED;
	c->listener = l;
	list_push_back(&l->ready, &c->queue);
	l->n_ready++;
	return c;
}

void tcp_child_established(struct tcp_conn *c, const struct ip_env *env, struct tcp_in *in, fs_ns syn_sent_at)
{
	struct tcp_listener *l = c->listener;

	/* RFC 9293 3.10.7.4, fifth, SYN-RECEIVED. */
	c->snd_wnd = (uint32_t)in->h.window << c->snd_wscale;
	c->max_wnd = c->snd_wnd;
	c->snd_wl1 = in->h.seq;
	c->snd_wl2 = in->h.ack;
	tcp_ack_syn(c, in, syn_sent_at);
	tcp_established(c, env, in->now);
	if (env->tcp_ops->incoming)
		env->tcp_ops->incoming(env->context, l);
	/* Data and FIN that came along, and all other tests: as for any segment. */
	tcp_conn_input(c, env, in);
}
