/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream_listen.c - listeners: in the engine and, by their shadows, in the kernel.
 *
 * The port entry goes in before the shadow listens, and out before it closes (DESIGN D4). What a listener
 * accepted goes on without it: when the entry leaves, each of its connections gets a flow entry.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/reason.h"
#include "context/bare_internal.h"
#include "context/handover.h"
#include "context/helper.h"
#include "context/lease.h"
#include "context/lifecycle.h"
#include "context/local.h"
#include "context/sister.h"
#include "context/stream_internal.h"
#include "host/diag.h"
#include "socket/bare.h"
#include "sys/sys.h"
#include "tcp/request.h"

enum {
	OWN_MAX = 32,	   /* listeners of ours on one port; with more, the rest count as strangers */
	SOMAXCONN_DEFAULT = 4096,
	KERNEL_HOT = 8,	   /* after a connection from the shadow, look there for so many accepts */
};

#define KERNEL_LATE_NS FS_MS(1) /* it waits so long at the most where the engine's come all the time */

/* --- steering --- */

static struct steer_rule rule_of(const struct sock *s)
{
	return (struct steer_rule){
		.protocol = IPPROTO_TCP,
		.v6_only = s->stream.v6 && s->stream.v6_only,
		.v4_only = !s->stream.v6,
		.local_port = s->rule_port,
		.local = s->rule_local,
		.verdict = STEER_STACK,
	};
}

static bool same_rule(const struct steer_rule *a, const struct steer_rule *b)
{
	return a->local_port == b->local_port && a->v6_only == b->v6_only && a->v4_only == b->v4_only &&
	       ip_addr_equal(&a->local, &b->local);
}

/* Another listener of the stack needs the same entry (SO_REUSEPORT). */
static bool entry_needed(const struct context *ctx, const struct sock *s, unsigned port)
{
	struct steer_rule rule = rule_of(s), its;
	struct list *e;

	LIST_FOR_EACH(e, &ctx->stack->all_streams) {
		const struct sock *other = FS_CONTAINER_OF(e, struct sock, all);

		if (other == s || !(other->steered & (1u << port)))
			continue;
		its = rule_of(other);
		if (same_rule(&rule, &its))
			return true;
	}
	return false;
}

static int steer_on(struct context *ctx, struct sock *s, unsigned port)
{
	struct provider_handle *h = &ctx->handle[port];
	struct steer_rule rule = rule_of(s);

	if (!h->ops)
		return FS_REASON_join_denied;
	if (!s->stream.home && context_rule_add(ctx, port, &rule) < 0) /* a twin's is home's */
		return FS_REASON_too_many_sockets;
	s->steered |= (uint16_t)(1u << port);
	s->record->port_index = s->record->port_index == 0xff ? (uint8_t)port : s->record->port_index;
	return 0;
}

int stream_steer(struct context *ctx, struct sock *s)
{
	uint32_t ifindex[IP_MAX_PORTS];
	int reason = FS_REASON_no_interface, refused = 0;
	unsigned n = 1;

	if (!ip_addr_is_any(&s->rule_local)) {
		ifindex[0] = context_interface_of(ctx, &s->rule_local);
		n = ifindex[0] && (!s->stream.ifindex || s->stream.ifindex == ifindex[0]);
	} else if (s->stream.ifindex) {
		ifindex[0] = s->stream.ifindex;
	} else {
		n = context_interfaces(ctx, ifindex, IP_MAX_PORTS, &reason);
	}
	for (unsigned i = 0; i < n; i++) {
		int port = context_port(ctx, ifindex[i], &reason);

		if (port >= 0)
			reason = s->steered & (1u << port) ? 0 : steer_on(ctx, s, (unsigned)port);
		if (reason)
			refused = reason;
	}
	return s->steered ? 0 : refused ? refused : reason;
}

static struct steer_rule flow_of(const struct tcp_end *end)
{
	return (struct steer_rule){
		.protocol = IPPROTO_TCP,
		.flow = true,
		.local_port = end->local_port,
		.remote_port = end->remote_port,
		.local = end->local,
		.remote = end->remote,
		.verdict = STEER_STACK,
	};
}

int stream_steer_flow(struct context *ctx, const struct tcp_end *end)
{
	struct steer_rule rule = flow_of(end);
	int ret = 0;

	for (unsigned i = 0; ret == 0 && i < ctx->n_handles; i++)
		if (ctx->handle[i].ops)
			ret = context_rule_add(ctx, i, &rule);
	ctx->stack->flows += ret == 0;
	return ret;
}

void stream_unsteer_flow(struct context *ctx, const struct tcp_end *end)
{
	struct steer_rule rule = flow_of(end);

	for (unsigned i = 0; i < ctx->n_handles; i++) {
		struct provider_handle *h = &ctx->handle[i];

		if (h->ops && h->ops->steer_remove)
			h->ops->steer_remove(h, &rule);
	}
}

/* Has the connection of @end moved to the kernel? */
static bool is_away(const struct tcp_end *end)
{
	return tcp_has(FS_CONTAINER_OF(end, struct tcp_conn, end), TCP_CONN_FROZEN);
}

/* The entry that brought what @s accepted is about to go. */
static void keep_flows(struct context *ctx, const struct sock *s)
{
	struct table_cursor cursor = { 0 };
	struct table_node *node;

	while ((node = table_next(&ctx->stack->tcp.ends, &cursor)) != NULL) {
		const struct tcp_end *end = FS_CONTAINER_OF(node, struct tcp_end, node);

		if (end->kind == TCP_END_CONN && end->local_port == s->rule_port && !is_away(end))
			stream_steer_flow(ctx, end);
	}
}

static void keep_twins_flows(struct context *ctx, struct sock *twin, int reason)
{
	keep_flows(ctx, twin);
}

static void keep_all_flows(struct context *ctx, struct sock *s)
{
	keep_flows(ctx, s);
	if (sister_has_twins(ctx))
		sisters_each_twin(ctx, s, keep_twins_flows, 0);
}

void stream_unsteer(struct context *ctx, struct sock *s)
{
	struct steer_rule rule = rule_of(s);
	bool kept = false;

	for (unsigned i = 0; s->steered && i < IP_MAX_PORTS; i++) {
		struct provider_handle *h = &ctx->handle[i];

		if (!(s->steered & (1u << i)) || (ctx->stack->port[i] && !h->ops))
			continue;
		if (h->ops && h->ops->steer_remove && !entry_needed(ctx, s, i)) {
			if (!kept)
				keep_all_flows(ctx, s);
			kept = true;
			if (!s->stream.home)
				h->ops->steer_remove(h, &rule);
		}
		s->steered &= (uint16_t)~(1u << i);
	}
	if (s->steered)
		ctx->stack->entries_left = true;
}

/* Is what listener @s takes found on interface @ifindex? */
static bool belongs_on(struct context *ctx, const struct sock *s, uint32_t ifindex)
{
	if (s->stream.ifindex && s->stream.ifindex != ifindex)
		return false;
	return ip_addr_is_any(&s->rule_local) || context_interface_of(ctx, &s->rule_local) == ifindex;
}

/* Its tables are no more. */
static void forget_port(struct context *ctx, unsigned port)
{
	struct list *e;

	LIST_FOR_EACH(e, &ctx->stack->all_streams) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, all);

		s->steered &= (uint16_t)~(1u << port);
		if (s->record->port_index == port)
			s->record->port_index = 0xff;
	}
}

/* Connections that no entry of a port brings here: of a port that their program chose, or whose listener left. */
static void resteer_flows(struct context *ctx, unsigned port)
{
	struct tcp_stack *tcp = &ctx->stack->tcp;
	struct provider_handle *h = &ctx->handle[port];
	struct table_cursor cursor = { 0 };
	struct table_node *node;

	while (ctx->stack->flows && h->ops->steer_add && (node = table_next(&tcp->ends, &cursor)) != NULL) {
		const struct tcp_end *end = FS_CONTAINER_OF(node, struct tcp_end, node);
		struct steer_rule rule = flow_of(end);

		if (end->kind == TCP_END_CONN && !is_away(end) && !context_lease_covers(ctx, end->local_port) &&
		    !tcp_listener_find(tcp, &end->local, end->local_port, &end->remote, end->remote_port,
				       ctx->stack->ip.port[port].ifindex))
			h->ops->steer_add(h, &rule);
	}
}

void stream_resteer(struct context *ctx, unsigned port)
{
	struct list *e;

	forget_port(ctx, port);
	LIST_FOR_EACH(e, &ctx->stack->all_streams) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, all);

		if (stream_listens(&s->stream) && !s->stream.leaving && belongs_on(ctx, s, ctx->stack->ip.port[port].ifindex))
			steer_on(ctx, s, port);
	}
	resteer_flows(ctx, port);
}

/* --- interfaces that return --- */

void stream_port_gone(struct context *ctx, unsigned port)
{
	struct list *e;

	ctx->stack->waiting |= ctx->stack->tcp.n_conns > 0;
	LIST_FOR_EACH(e, &ctx->stack->all_streams) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, all);

		if (!(s->steered & (1u << port)) || s->stream.leaving)
			continue;
		s->missing += s->missing < UINT8_MAX;
		ctx->stack->waiting = true;
	}
	forget_port(ctx, port);
}

/* As steer_again() of datagram sockets: who takes all interfaces waits for as many as there were. */
static bool listener_returns(struct context *ctx, struct sock *s)
{
	uint16_t before = s->steered;
	int gained;

	if (!s->missing || !stream_listens(&s->stream) || s->stream.leaving)
		return true;
	stream_steer(ctx, s);
	gained = __builtin_popcount(s->steered & ~(unsigned)before);
	s->missing -= (uint8_t)FS_MIN(gained, (int)s->missing);
	return s->missing == 0;
}

/* Has the interface with @local a port, which opens if need be? */
static bool address_returns(struct context *ctx, const struct ip_addr *local)
{
	uint32_t ifindex = context_interface_of(ctx, local);
	int reason;

	return ifindex && context_port(ctx, ifindex, &reason) >= 0;
}

bool stream_return(struct context *ctx)
{
	struct table_cursor cursor = { 0 };
	struct ip_addr last = { 0 };
	struct table_node *node;
	bool all = true;
	struct list *e;

	LIST_FOR_EACH(e, &ctx->stack->all_streams)
		all &= listener_returns(ctx, FS_CONTAINER_OF(e, struct sock, all));
	while (ctx->stack->tcp.n_conns && (node = table_next(&ctx->stack->tcp.ends, &cursor)) != NULL) {
		const struct tcp_end *end = FS_CONTAINER_OF(node, struct tcp_end, node);

		if (end->kind != TCP_END_CONN || is_away(end) || ip_addr_equal(&end->local, &last))
			continue;
		last = end->local;
		all &= address_returns(ctx, &last);
	}
	return all;
}

/* --- whether --- */

/* Does a socket outside this stack listen on the port, too? It would lose what it shares. */
static bool is_foreign(struct context *ctx, const struct sock *s)
{
	uint64_t own[OWN_MAX];
	struct host_port_query query = {
		.addr = s->stream.local,
		.port = s->stream.local_port,
		.proto = IPPROTO_TCP,
		.v4 = !s->stream.v6 || !s->stream.v6_only,
		.v6 = s->stream.v6,
		.ifindex = (int)s->stream.ifindex,
		.own = own,
	};
	struct list *e;

	LIST_FOR_EACH(e, &ctx->stack->all_streams) {
		const struct sock *other = FS_CONTAINER_OF(e, struct sock, all);

		if (other->stream.local_port == s->stream.local_port && query.n_own < OWN_MAX)
			own[query.n_own++] = other->cookie;
	}
	return s->stream.reuseport && host_port_shared(&query, ctx->nl_buf, HOST_NL_BUF_GOOD) > 0;
}

static int verdict(struct context *ctx, const struct sock *s)
{
	if (config_bypass_has(ctx->config.bypass, IPPROTO_TCP, s->stream.local_port))
		return FS_REASON_bypass;
	if (s->stream.declined)
		return FS_REASON_option;
	if (ip_addr_is_loopback(&s->stream.local))
		return FS_REASON_loopback;
	if (ip_addr_is_link_local(&s->stream.local) && !ip_addr_is_v4(&s->stream.local))
		return FS_REASON_scoped;
	if (is_foreign(ctx, s))
		return FS_REASON_port_shared;
	return segments_open(ctx) < 0 ? FS_REASON_memory : 0;
}

/* What the kernel makes of a backlog (__sys_listen()). */
static uint32_t backlog_of(struct context *ctx, int backlog)
{
	char text[16] = "";
	int fd, max = ctx->somaxconn;

	if (max == 0) {
		fd = sys_openat(AT_FDCWD, "/proc/sys/net/core/somaxconn", O_RDONLY | O_CLOEXEC, 0);
		if (fd >= 0) {
			sys_read(fd, text, sizeof(text) - 1);
			sys_close(fd);
		}
		for (const char *c = text; *c >= '0' && *c <= '9'; c++)
			max = 10 * max + (*c - '0');
		ctx->somaxconn = max = max ? max : SOMAXCONN_DEFAULT;
	}
	return (uint32_t)backlog > (uint32_t)max ? (uint32_t)max : (uint32_t)backlog;
}

/* --- listening --- */

/* The engine's half. 0 or -errno. */
static int begin_engine(struct context *ctx, struct sock *s, uint32_t backlog)
{
	struct tcp_listener *l = &s->stream.listener;

	*l = (struct tcp_listener){
		.local = s->stream.local,
		.local_port = s->stream.local_port,
		.is_v6 = s->stream.v6,
		.reuseport = s->stream.reuseport,
		.ifindex = s->stream.ifindex,
		.user = s,
	};
	stream_listener_options(&s->stream);
	if (ip_addr_is_any(&l->local))
		l->local = (struct ip_addr){ 0 };
	s->rule_port = l->local_port;
	s->rule_local = l->local;
	return tcp_listen(&ctx->stack->tcp, l, backlog);
}

static int begin(struct context *ctx, struct sock *s, uint32_t backlog)
{
	struct tcp_listener *l = &s->stream.listener;
	int reason = verdict(ctx, s);

	if (reason)
		return reason;
	stream_preset(ctx, &s->stream.options);
	/* The engine first: a SYN that is steered must find its listener. */
	if (begin_engine(ctx, s, backlog) < 0)
		return FS_REASON_port_shared;
	reason = stream_steer(ctx, s);
	if (reason == 0)
		return 0;
	tcp_unlisten(l, &ctx->env, ctx->now);
	l->stack = NULL;
	return reason;
}

void stream_begin_twin(struct context *ctx, struct sock *s, uint32_t backlog)
{
	s->way = SOCK_FAST;
	record_reason(s->record, FS_REASON_none, NULL);
	if (begin_engine(ctx, s, backlog) < 0)
		s->stream.listener.stack = NULL; /* what comes to its queues passes to home's */
	else
		stream_steer(ctx, s);
	sock_publish(s);
}

/* The shadow's calls must not wait: who waits, waits for both. The program's own O_NONBLOCK is in s->nonblock. */
static void make_nonblocking(int fd)
{
	long flags = sys_fcntl(fd, F_GETFL, 0);

	if (flags >= 0 && !(flags & O_NONBLOCK))
		sys_fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

void stream_inherited(const struct sock *s, int fd)
{
	if (s->lent && stream_listens(&s->stream))
		make_nonblocking(fd); /* its parent gave that back */
}

static void accelerate(struct context *ctx, struct sock *s, int fd, int backlog)
{
	int reason;

	ctx->why[0] = '\0';
	stream_now(ctx);
	if (s->stream.declined)
		stream_decline_group(ctx, s);
	reason = begin(ctx, s, backlog_of(ctx, backlog));
	record_reason(s->record, reason, ctx->why[0] ? ctx->why : NULL);
	if (reason != FS_REASON_bypass && local_publish(ctx, s, fd, backlog_of(ctx, backlog)) == 0)
		s->unsteered = reason != 0; /* who comes otherwise is the shadow's */
	else if (reason)
		s->way = SOCK_KERNEL;
	if (s->way == SOCK_KERNEL)
		return;
	make_nonblocking(fd);
	s->way = SOCK_FAST;
	sock_publish(s);
}

void stream_stand_alone(struct context *ctx, int fd)
{
	struct sock *s = stream_is(ctx, fd) ? stream_enter(ctx, fd) : NULL;

	if (!s)
		return;
	s->stream.alone = true;
	context_leave(ctx);
}

/* A Unix socket: the kernel's listener first, which says whether there may be one. */
static int listen_unix(struct context *ctx, struct sock *s, int fd, int backlog)
{
	int ret = sock_is_engines(s) ? -EINVAL : sys_listen(fd, backlog), reason;

	if (ret == 0 && s->stream.by_links)
		s->stream.local_listener.backlog = backlog_of(ctx, backlog);
	if (ret < 0 || s->way != SOCK_UNDECIDED)
		return ret;
	stream_now(ctx);
	reason = FS_REASON_unlinked;
	if (!ip_addr_is_any(&s->stream.local))
		reason = local_publish(ctx, s, fd, backlog_of(ctx, backlog));
	record_reason(s->record, reason, NULL);
	s->way = reason ? SOCK_KERNEL : SOCK_FAST;
	if (reason)
		return ret;
	stream_unix_listens(s, fd);
	make_nonblocking(fd);
	sock_publish(s);
	return ret;
}

int stream_listen(struct context *ctx, int fd, int backlog)
{
	struct sock *s = stream_is(ctx, fd) ? stream_enter_checked(ctx, fd) : NULL;
	struct sock listener; /* as the twins are to be */
	bool twins = false;
	int ret;

	if (!s)
		return CONTEXT_KERNEL;
	if (s->stream.is_unix) {
		ret = listen_unix(ctx, s, fd, backlog);
		context_leave(ctx);
		if (ret == 0)
			helper_want(ctx);
		return ret;
	}
	if (s->way == SOCK_UNDECIDED && s->stream.local_port)
		accelerate(ctx, s, fd, backlog);
	else if (stream_listens(&s->stream))
		tcp_listen(&ctx->stack->tcp, &s->stream.listener, backlog_of(ctx, backlog));
	if (s->stream.by_links)
		s->stream.local_listener.backlog = backlog_of(ctx, backlog);
	/* A connection's shadow could listen as well as not: it is fresh. */
	ret = sock_is_engines(s) ? -EINVAL : sys_listen(fd, backlog);
	if (ret == 0 && s->way == SOCK_UNDECIDED) {
		stream_read_names(s, fd); /* which gave it a port */
		accelerate(ctx, s, fd, backlog);
	} else if (ret < 0 && stream_is_listener(&s->stream)) {
		stream_demote(ctx, s, FS_REASON_pending, NULL);
	}
	if (__builtin_expect(sister_has_twins(ctx), 0)) {
		twins = ret == 0 && s->way == SOCK_FAST && stream_listens(&s->stream) && !s->stream.alone;
		listener = *s;
		listener.stream.home = s;
	}
	context_leave(ctx);
	if (twins)
		sisters_listen(ctx, fd, &listener, backlog_of(ctx, backlog));
	if (ret == 0)
		helper_want(ctx);
	return ret;
}

/* --- accepting --- */

struct acceptance {
	struct context *ctx;
	int fd;
	struct sockaddr *name;
	socklen_t *len;
	int flags;
	fs_ns limit;
	bool may_wait, kernel_next, kernel_hot;
	int reason;	   /* why what the kernel has is the kernel's */
	int stack;	   /* where the next one is that the engines have; -1 = they have none */
	bool leaving;	   /* the listener is */
	struct bare *bare; /* what a connection of the engine's becomes; NULL = a socket */
	fs_ns wait;	   /* of a bare one, ns; 0 = never, -1 = for ever */
};

/* There is no place for the peer's address: as in the kernel, which finds out when it has the connection, that ends. */
static int waste(struct context *ctx, struct sock *s, int error)
{
	struct tcp_conn *conn = tcp_accept(&s->stream.listener);

	tcp_close(conn, &ctx->env, ctx->now);
	segments_send(ctx);
	return error;
}

/* No room for a socket of the stack's: the connection goes on in the kernel as @fd, which has a record that says why,
 * if there was room for that. Where it cannot move it waits on, as it does when descriptors are short. @fd or
 * -ENOBUFS. */
static int accept_away(struct acceptance *a, struct sock *s, int fd)
{
	struct context *ctx = a->ctx;
	struct tcp_conn *conn = tcp_accept(&s->stream.listener);
	struct tcp_end end = conn->end;
	bool gone = conn->state == TCP_CLOSED;

	if (s->stream.inherit[0] | s->stream.inherit[1])
		stream_inherit(s, a->fd, fd);
	stream_settle_shadow(s, fd);
	if (gone || handover_conn(ctx, conn, fd) < 0) {
		if (gone)
			tcp_close(conn, &ctx->env, ctx->now);
		else
			tcp_accept_undo(&s->stream.listener, conn);
		context_fd_forget(ctx, fd);
		sys_close(fd);
		return gone ? -ECONNABORTED : -ENOBUFS;
	}
	if (a->name)
		stream_put_name(s->stream.v6, &end.remote, end.remote_port, a->name, a->len);
	return fd;
}

static int accept_engines(struct acceptance *a, struct sock *s)
{
	struct context *ctx = a->ctx;
	int fd, type = SOCK_STREAM | (a->flags & (SOCK_NONBLOCK | SOCK_CLOEXEC));
	struct sock *child;

	if (a->bare) {
		bare_bind(a->bare, tcp_accept(&s->stream.listener), ctx->slot);
		bare_record_open(ctx, a->bare);
		return 0;
	}
	if (a->name && !a->len)
		return waste(ctx, s, -EFAULT);
	if (a->name && (int)*a->len < 0)
		return waste(ctx, s, -EINVAL);
	fd = sys_socket(s->stream.v6 ? AF_INET6 : AF_INET, type, 0);
	if (fd < 0)
		return fd;
	child = stream_adopt(ctx, fd, s, a->flags);
	if (!child)
		return accept_away(a, s, fd);
	child->stream.conn = tcp_accept(&s->stream.listener);
	child->stream.conn->user = child;
	child->record->port_index = s->record->port_index;
	stream_accepted(child, fd, s, a->fd);
	if (a->name)
		stream_put_name(s->stream.v6, &child->stream.conn->end.remote, child->stream.conn->end.remote_port, a->name,
				a->len);
	return fd;
}

/* accept4() makes a socket before it looks whether there is anything to accept: asking first is a tenth of that. */
static bool kernel_has_none(const struct acceptance *a)
{
	struct pollfd shadow = { .fd = a->fd, .events = POLLIN };
	struct timespec zero = { 0 };

	return !a->kernel_hot && sys_ppoll(&shadow, 1, &zero, NULL) == 0;
}

/* The engine has one. A descriptor or -errno. */
static int accept_fast(struct acceptance *a, struct sock *s)
{
	int fd = accept_engines(a, s), reason = s->stream.leaving;
	struct context *ctx = a->ctx;
	struct sock *child;

	if (__builtin_expect(reason == 0, 1))
		return fd;
	child = fd >= 0 ? context_live_sock(ctx, fd) : NULL;
	if (fd >= 0 && a->bare)
		bare_follow(ctx, a->bare, reason);
	else if (child)
		handover_sock(ctx, child, reason);
	if (stream_waiting(&s->stream) == 0)
		stream_left(ctx, s);
	return fd;
}

/* After a look at the twin in @stack: what was to be accepted there @stays, or was the last one of a listener that
 * leaves. */
static void settle_at_home(const struct acceptance *a, unsigned stack, bool stays)
{
	struct sock *s = stream_enter(a->ctx, a->fd);

	if (!s)
		return;
	if (stays && stream_listens(&s->stream))
		sister_undo(a->ctx, s, stack);
	else if (s->stream.leaving && stream_waiting(&s->stream) == 0)
		stream_left(a->ctx, s);
	context_leave(a->ctx);
}

/* A number just made that another stack knows was closed past close(): nobody means that any more. */
static void forget_elsewhere(const struct context *ctx, int fd)
{
	for (unsigned i = 0; i < ctx->n_stacks; i++) {
		struct context *o = ctx->stacks[i];

		if (o == ctx || fd_kind_of(&o->fds, fd) == FD_NONE || !sister_enter(o))
			continue;
		context_fd_forget(o, fd);
		sister_leave(o);
	}
}

/* At a twin of the listener @a->fd. */
static int accept_in_sister(const struct acceptance *a, struct context *o)
{
	struct acceptance at = *a;
	struct sock *s = NULL;
	uint32_t waiting;
	bool stays = false;
	int ret = -EAGAIN;

	at.ctx = o;
	if (!sister_enter(o))
		return ret;
	s = context_live_sock(o, a->fd);
	stream_now(o);
	if (s && s->stream.home && s->stream.listener.n_ready) {
		waiting = s->stream.listener.n_ready;
		ret = accept_fast(&at, s);
		stays = ret < 0 && s->stream.listener.n_ready == waiting;
	}
	segments_flush_soon(o);
	sister_leave(o);
	if (ret >= 0) {
		forget_elsewhere(o, ret);
		helper_want(o);
	}
	if (stays || a->leaving)
		settle_at_home(a, o->index, stays);
	return ret;
}

/* Where the engines' next one is; its turn is taken. */
static int next_stack(const struct acceptance *a, struct sock *s)
{
	if (__builtin_expect(!sister_has_twins(a->ctx), 1))
		return s->stream.listener.n_ready ? 0 : -1;
	return sister_next(a->ctx, s);
}

static int accept_kernel(struct acceptance *a)
{
	struct sock *s;
	int fd;

	if (kernel_has_none(a))
		return -EAGAIN;
	fd = sys_accept4(a->fd, a->name, a->len, a->flags);
	if (fd < 0)
		return fd;
	lifecycle_accepted(a->ctx, fd, a->reason);
	s = stream_enter(a->ctx, a->fd);
	if (s) {
		s->kernel_hot = KERNEL_HOT;
		s->stream.took_kernel = true;
		context_leave(a->ctx);
	}
	return fd;
}

/* Most listeners never have one of the kernel's. */
static bool kernel_due(const struct context *ctx, const struct sock *s)
{
	fs_ns often = FS_US(ctx->config.kernel_look);

	if (stream_waiting(&s->stream) && s->stream.took_kernel)
		return false;
	return s->kernel_hot || ctx->now - s->kernel_looked >= (stream_waiting(&s->stream) ? FS_MAX(often, KERNEL_LATE_NS) : often);
}

/* Is the next one from another process of the host? They take turns with the others. */
static bool local_is_next(const struct acceptance *a, struct sock *s)
{
	bool others = stream_waiting(&s->stream) || kernel_due(a->ctx, s);

	return stream_has_by_link(&s->stream) && !(s->stream.took_local && others);
}

/* A descriptor, 0 for a bare one, or -errno. */
static int accept_local(const struct acceptance *a, struct sock *s)
{
	if (!a->bare)
		return stream_local_accept(a->ctx, s, a->fd, a->name, a->len, a->flags);
	bare_link_accept(a->ctx, a->bare, s);
	return 0;
}

/* One look at both sides, which take turns while both have connections. */
static int accept_once(struct acceptance *a, bool must)
{
	struct context *ctx = a->ctx;
	struct sock *s = stream_enter(ctx, a->fd);
	int ret = -EAGAIN;

	if (!s)
		return CONTEXT_KERNEL;
	context_poll(ctx);
	if (context_live_sock(ctx, a->fd) != s || !stream_is_listener(&s->stream)) {
		if (context_live_sock(ctx, a->fd) == s && s->way == SOCK_KERNEL)
			stream_give_flags_back(s, a->fd); /* it left when another process had no descriptor of it */
		context_leave(ctx);
		return CONTEXT_KERNEL;
	}
	a->leaving = s->stream.leaving;
	a->limit = a->bare ? FS_MAX(a->wait, 0) : s->rcvtimeo;
	a->may_wait = a->bare ? a->wait != 0 : !s->nonblock;
	a->kernel_hot = s->kernel_hot;
	a->reason = s->unsteered && s->record->reason ? (int)s->record->reason : FS_REASON_kernel_arrival;
	if (local_is_next(a, s)) {
		s->stream.took_local = true;
		ret = accept_local(a, s);
		context_leave(ctx);
		return ret;
	}
	s->stream.took_local = false;
	a->kernel_next = kernel_due(ctx, s) || (must && !stream_waiting(&s->stream));
	a->stack = -1;
	if (a->kernel_next)
		s->kernel_looked = ctx->now;
	else
		a->stack = next_stack(a, s);
	if (a->stack == 0)
		ret = accept_fast(a, s);
	s->stream.took_kernel = false;
	s->kernel_hot -= s->kernel_hot > 0;
	segments_flush_soon(ctx);
	context_leave(ctx);
	if (a->stack > 0)
		return accept_in_sister(a, ctx->stacks[a->stack]);
	if (a->stack == 0 && ret >= 0 && !a->bare && ctx->n_stacks > 1)
		forget_elsewhere(ctx, ret);
	if (!a->kernel_next)
		return ret;
	ret = accept_kernel(a);
	if (ret != -EAGAIN)
		return ret;
	s = stream_enter(ctx, a->fd);
	if (!s)
		return CONTEXT_KERNEL;
	a->stack = stream_listens(&s->stream) ? next_stack(a, s) : -1;
	ret = a->stack == 0 ? accept_fast(a, s) : -EAGAIN;
	if (a->stack < 0 && stream_has_by_link(&s->stream))
		ret = accept_local(a, s);
	context_leave(ctx);
	return a->stack > 0 ? accept_in_sister(a, ctx->stacks[a->stack]) : ret;
}

static int accept_one(struct acceptance *a)
{
	struct pollfd fds[1 + BLOCKER_SPARE] = { { .fd = a->fd, .events = POLLIN } };
	bool must = true;
	BLOCKER(b);
	int ret;

	while ((ret = accept_once(a, must)) == -EAGAIN && (a->may_wait || a->stack > 0)) {
		if (a->stack > 0)
			continue; /* the one it was told of is none any more */
		ret = stream_pause(a->ctx, a->fd, &b, a->limit, fds, 1);
		if (ret < 0)
			break;
		must = b.slept;
		b.slept = false;
	}
	if (ret >= 0)
		helper_want(a->ctx); /* in a child that took over its parent's listener it is the first */
	return ret;
}

int stream_accept(struct context *ctx, int fd, struct sockaddr *name, socklen_t *len, int flags)
{
	struct acceptance a = { .ctx = ctx, .fd = fd, .name = name, .len = len, .flags = flags };

	if (!stream_is(ctx, fd) || (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)))
		return CONTEXT_KERNEL;
	return accept_one(&a);
}

int stream_accept_bare(struct context *ctx, int fd, struct bare *bare, fs_ns wait)
{
	struct acceptance a = { .ctx = ctx, .fd = fd, .flags = SOCK_CLOEXEC | SOCK_NONBLOCK, .bare = bare, .wait = wait };

	return stream_is(ctx, fd) ? accept_one(&a) : CONTEXT_KERNEL;
}
