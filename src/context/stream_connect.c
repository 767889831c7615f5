/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream_connect.c - connections that the program begins (DESIGN D4: who attaches, and when).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/reason.h"
#include "context/helper.h"
#include "context/lease.h"
#include "context/stream_internal.h"
#include "context/turn.h"
#include "sys/sys.h"

enum {
	IN6_SHORTEST = 24, /* SIN6_LEN_RFC2133: the shortest IPv6 address that the kernel takes */
};

bool stream_get_name(bool v6, bool v6_only, const struct sockaddr *name, socklen_t len, struct ip_addr *addr,
		     uint16_t *port)
{
	union stream_name to;

	if (!name || len > sizeof(struct sockaddr_storage) || len < (v6 ? sizeof(to.in6) : sizeof(to.in)))
		return false;
	memcpy(&to, name, FS_MIN((size_t)len, sizeof(to)));
	if (to.sa.sa_family != (v6 ? AF_INET6 : AF_INET))
		return false;
	if (v6 && (to.in6.sin6_flowinfo || to.in6.sin6_scope_id))
		return false;
	*addr = v6 ? ip_addr_v6(&to.in6.sin6_addr) : ip_addr_v4(&to.in.sin_addr);
	*port = ntohs(v6 ? to.in6.sin6_port : to.in.sin_port);
	return *port != 0 && !ip_addr_is_any(addr) && !ip_addr_is_multicast(addr) &&
	       !(v6_only && ip_addr_is_v4(addr));
}

/* --- whether --- */

/* A client attaches at its first connect under the latency profile or where a port stands already, else from its
 * second on; who names its own port, at once. */
static bool may_attach(const struct context *ctx, bool named_port)
{
	return named_port || ctx->config.profile == CONFIG_PROFILE_LATENCY ||
	       ctx->n_connects >= ctx->config.client_connects;
}

struct ip_dst *stream_way(struct context *ctx, const struct ip_addr *bound, bool named_port, uint64_t packed,
			  const struct ip_addr *remote, int *reason)
{
	bool attach = may_attach(ctx, named_port);
	struct context_choice choice;
	struct ip_dst *d;
	uint32_t ifindex;

	context_choice_unpack(packed, &choice);
	choice.bound = *bound;
	choice.tcp = true;
	d = context_resolve_by(ctx, remote, &choice);
	if (d && d->way == IP_DST_KERNEL && d->reason == FS_REASON_no_interface && attach) {
		ifindex = context_interface_of(ctx, &d->local);
		*reason = FS_REASON_no_interface;
		if (!ifindex || context_port(ctx, ifindex, reason) < 0)
			return NULL;
		d = context_resolve_by(ctx, remote, &choice);
	}
	if (d && d->way == IP_DST_FAST && ctx->handle[d->port].ops)
		return d;
	*reason = !d || d->way == IP_DST_FAST ? FS_REASON_join_denied :
		  d->reason == FS_REASON_no_interface && !attach ? FS_REASON_short_lived : d->reason;
	return NULL;
}

/* A local port for the connection that nobody else has. 0 = none, and *error. */
static uint16_t choose_port(struct context *ctx, struct sock *s, const struct ip_addr *local,
			    const struct ip_addr *remote, uint16_t remote_port, int *error)
{
	int port = s->stream.local_port;

	if (port == 0)
		port = context_lease(ctx, local, remote, remote_port);
	*error = port < 0 ? port : 0;
	return port < 0 ? 0 : (uint16_t)port;
}

/* The engine's tables hold it: what arrives for it must come to the stack. */
static int steer_bound(struct context *ctx, struct sock *s)
{
	/* A lease is steered itself. */
	return s->stream.local_port ? stream_steer_flow(ctx, &s->stream.conn->end) : 0;
}

/* --- beginning --- */

static int decline(struct context *ctx, struct sock *s, int reason)
{
	s->stream.error = 0;
	s->stream.last_port = 0;
	record_reason(s->record, reason, ctx->why[0] ? ctx->why : NULL);
	sock_publish(s);
	return CONTEXT_KERNEL;
}

/* The engine's half is given back: the socket is as before. */
static void abandon(struct context *ctx, struct sock *s)
{
	s->stream.conn->user = NULL;
	tcp_abort(s->stream.conn, &ctx->env, ctx->now);
	s->stream.conn = NULL;
}

/* Fast Open: the SYN waits for data to take along. The program is told that it is connected (TCP_FASTOPEN_CONNECT). */
static bool is_deferred(const struct tcp_conn *conn)
{
	return conn->state == TCP_SYN_SENT && conn->snd_nxt == conn->iss;
}

static int begin(struct context *ctx, struct sock *s, struct ip_dst *d, const struct ip_addr *remote,
		 uint16_t remote_port)
{
	struct ip_addr local = d->local;
	int error;
	uint16_t port = choose_port(ctx, s, &local, remote, remote_port, &error);

	if (!port)
		return error == -EADDRNOTAVAIL ? error : decline(ctx, s, FS_REASON_descriptors);
	s->stream.conn = tcp_open(&ctx->stack->tcp, s);
	if (!s->stream.conn)
		return decline(ctx, s, FS_REASON_memory);
	stream_preset(ctx, &s->stream.options);
	tcp_set_options(s->stream.conn, &ctx->env, &s->stream.options, ctx->now);
	context_neigh_want(ctx, d);
	turn_says(ctx, HABIT_CONNECT, s);
	error = tcp_connect(s->stream.conn, &ctx->env, &local, port, remote, remote_port, ctx->now);
	if (error == 0)
		error = steer_bound(ctx, s);
	if (error < 0) {
		abandon(ctx, s);
		return error == -EADDRNOTAVAIL ? error : decline(ctx, s, FS_REASON_memory);
	}
	s->way = SOCK_FAST;
	s->stream.error = 0;
	s->stream.connecting = true;
	s->record->port_index = d->port;
	record_reason(s->record, FS_REASON_none, NULL);
	sock_publish(s);
	stream_changed_sides(ctx, s);
	segments_send_soon(ctx);
	return is_deferred(s->stream.conn) ? 0 : -EINPROGRESS;
}

static const struct ip_dst *resolve(struct context *ctx, const struct sock *s, const struct ip_addr *remote)
{
	struct context_choice choice;

	context_choice_unpack(s->stream.options.choice, &choice);
	choice.bound = s->stream.local;
	choice.tcp = true;
	return context_resolve_by(ctx, remote, &choice);
}

/* To this host itself: over a link, if it can be. */
static int connect_local(struct context *ctx, struct sock *s, int fd, const struct ip_addr *remote, uint16_t port)
{
	struct stream_called to = { .addr = *remote, .port = port };
	const struct ip_dst *d;

	if (!ctx->config.local)
		return CONTEXT_KERNEL;
	if (ip_addr_is_loopback(remote))
		return stream_local_connect(ctx, s, fd, &to);
	d = resolve(ctx, s, remote);
	if (!d)
		return CONTEXT_KERNEL;
	to.source = &d->local;
	return stream_local_connect(ctx, s, fd, &to);
}

/* To another namespace of this host, if one that shares the directory has that address: no other way is shorter. */
static int connect_beyond(struct context *ctx, struct sock *s, int fd, const struct ip_addr *remote, uint16_t port)
{
	struct stream_called to = { .addr = *remote, .port = port, .beyond = true };
	const struct ip_dst *d;

	if (ctx->local.dir <= 0)
		return CONTEXT_KERNEL;
	d = resolve(ctx, s, remote);
	if (!stream_leads_beyond(d))
		return CONTEXT_KERNEL; /* also to this host itself */
	to.source = &d->local;
	return stream_local_connect(ctx, s, fd, &to);
}

static int connect_first(struct context *ctx, struct sock *s, int fd, const struct sockaddr *name, socklen_t len)
{
	struct ip_addr remote;
	struct ip_dst *d;
	uint16_t port;
	int reason = FS_REASON_none, ret;

	if (!stream_get_name(s->stream.v6, s->stream.v6_only, name, len, &remote, &port))
		return CONTEXT_KERNEL;
	ctx->why[0] = '\0';
	ctx->local.no_memory = false;
	ctx->n_connects++;
	if (config_bypass_has(ctx->config.bypass, IPPROTO_TCP, port))
		return decline(ctx, s, FS_REASON_bypass);
	if (s->stream.declined)
		return decline(ctx, s, FS_REASON_option);
	ret = ip_addr_is_loopback(&remote) ? connect_local(ctx, s, fd, &remote, port) :
					     connect_beyond(ctx, s, fd, &remote, port);
	if (ret != CONTEXT_KERNEL)
		return ret;
	d = stream_way(ctx, &s->stream.local, s->stream.named_port, s->stream.options.choice, &remote, &reason);
	if (!d && reason == FS_REASON_loopback && !ip_addr_is_loopback(&remote))
		ret = connect_local(ctx, s, fd, &remote, port);
	if (!d)
		return ret == CONTEXT_KERNEL ? decline(ctx, s, ctx->local.no_memory ? FS_REASON_memory : reason) : ret;
	/* Not earlier: a program that connects once pays for nothing that it does not use. */
	return segments_open(ctx) < 0 ? decline(ctx, s, FS_REASON_memory) : begin(ctx, s, d, &remote, port);
}

/* --- going on --- */

static bool is_on_the_way(const struct tcp_conn *conn)
{
	return conn->state == TCP_SYN_SENT || conn->state == TCP_SYN_RECEIVED;
}

/* The connection came to nothing: the socket may connect again, as a fresh one. */
static int failed(struct context *ctx, struct sock *s)
{
	int error = tcp_take_error(s->stream.conn);

	stream_disconnect(ctx, s);
	return error ? -error : -ECONNABORTED;
}

/* What has become of it: 0, -EINPROGRESS, how it failed, or CONTEXT_KERNEL: it goes on there. */
static int outcome(struct context *ctx, struct sock *s)
{
	int error;

	if (s->stream.local_conn)
		return stream_local_outcome(s);
	if (!s->stream.conn && s->way == SOCK_KERNEL)
		return stream_has_followed(s) ? 0 : CONTEXT_KERNEL;
	if (!s->stream.conn) { /* another thread dissolved it */
		error = stream_take_error(s);
		return error == CONTEXT_KERNEL ? -ECONNABORTED : error;
	}
	if (is_on_the_way(s->stream.conn))
		return -EINPROGRESS;
	s->stream.connecting = false;
	return s->stream.conn->state == TCP_CLOSED && !tcp_has(s->stream.conn, TCP_CONN_CONNECTED) ? failed(ctx, s) : 0;
}

/* connect() on a socket that is the engine's already. */
static int once_more(struct context *ctx, struct sock *s)
{
	bool deferred = s->stream.conn && is_deferred(s->stream.conn);
	int ret = s->stream.connecting && !deferred ? outcome(ctx, s) : -EISCONN;

	return ret == -EINPROGRESS ? -EALREADY : ret;
}

int stream_send_connects(struct context *ctx, struct sock *s)
{
	return s->stream.conn && is_deferred(s->stream.conn) ? 0 : once_more(ctx, s);
}

static bool is_unspecified(const struct sockaddr *name, socklen_t len)
{
	sa_family_t family;

	if (len < sizeof(family))
		return false;
	memcpy(&family, name, sizeof(family));
	return family == AF_UNSPEC;
}

static int connect_again(struct context *ctx, struct sock *s, const struct sockaddr *name, socklen_t len)
{
	if (len < sizeof(sa_family_t))
		return -EINVAL;
	if (is_unspecified(name, len)) {
		stream_disconnect(ctx, s);
		return 0;
	}
	return once_more(ctx, s);
}

/* @late: what is said when time is up. */
static int wait_connected(struct context *ctx, int fd, fs_ns limit, int late)
{
	struct pollfd fds[BLOCKER_SPARE];
	BLOCKER(b);
	int ret;

	for (;;) {
		struct sock *s;

		ret = stream_pause(ctx, fd, &b, limit, fds, 0);
		if (ret < 0)
			return ret == -EAGAIN ? late : ret;
		s = stream_enter(ctx, fd);
		if (!s)
			return CONTEXT_KERNEL;
		context_poll(ctx);
		ret = context_live_sock(ctx, fd) == s ? outcome(ctx, s) : CONTEXT_KERNEL;
		/* The peer has accepted by the time connect() returns: a program may tell it by other ways to go on. */
		if (ret == 0 && segments_held(ctx))
			segments_release(ctx, FS_NEVER);
		context_leave(ctx);
		if (ret != -EINPROGRESS)
			return ret;
	}
}

void stream_connected(struct context *ctx, int fd)
{
	struct sock *s = stream_is(ctx, fd) ? stream_enter(ctx, fd) : NULL;

	if (!s)
		return;
	if (s->way == SOCK_UNDECIDED)
		s->way = SOCK_KERNEL; /* a connection begun there stays there (DESIGN D4) */
	stream_read_names(s, fd);
	if (!stream_retire(ctx, s, fd))
		sock_publish(s);
	context_leave(ctx);
}

int stream_connect(struct context *ctx, int fd, const struct sockaddr *name, socklen_t len)
{
	struct sock *s = stream_is(ctx, fd) ? stream_enter(ctx, fd) : NULL;
	int ret = CONTEXT_KERNEL;
	bool nonblock, is_unix;
	fs_ns limit;

	if (!s)
		return CONTEXT_KERNEL;
	if (len > sizeof(struct sockaddr_storage)) { /* also in states of which the shadow does not know */
		context_leave(ctx);
		return -EINVAL;
	}
	context_poll(ctx);
	if (context_live_sock(ctx, fd) != s) {
		context_leave(ctx);
		return CONTEXT_KERNEL;
	}
	if (s->stream.is_unix)
		ret = stream_unix_begin(ctx, s, fd, name, len);
	else if (stream_is_listener(&s->stream) && is_unspecified(name, len))
		stream_demote(ctx, s, FS_REASON_shutdown, NULL); /* it listens no more */
	else if (sock_is_engines(s))
		ret = connect_again(ctx, s, name, len);
	else if (s->way == SOCK_UNDECIDED)
		ret = connect_first(ctx, s, fd, name, len);
	is_unix = s->stream.is_unix;
	nonblock = s->nonblock;
	limit = s->stream.sndtimeo;
	context_leave(ctx);
	if (ret != -EINPROGRESS && ret != -EALREADY)
		return ret;
	helper_want(ctx);
	if (is_unix)
		return stream_unix_wait(ctx, fd, name, len, nonblock ? 0 : limit);
	return nonblock ? ret : wait_connected(ctx, fd, limit, ret);
}

/* bind() of a socket that has an address: what the kernel says of the new one first (inet_bind(), inet6_bind()). */
static int refused_address(int fd, bool v6, const struct sockaddr *name, socklen_t len)
{
	sa_family_t family;
	int ret;

	/* Too short for either, the shadow takes none; can it be read? */
	ret = sys_bind(fd, name, FS_MIN(len, (socklen_t)sizeof(family)));
	if (ret == -EFAULT || len < sizeof(family))
		return ret;
	if (len > sizeof(struct sockaddr_storage) || len < (v6 ? IN6_SHORTEST : sizeof(struct sockaddr_in)))
		return -EINVAL;
	memcpy(&family, name, sizeof(family));
	return family == (v6 ? AF_INET6 : AF_INET) || (!v6 && family == AF_UNSPEC) ? -EINVAL : -EAFNOSUPPORT;
}

int stream_bind(struct context *ctx, int fd, const struct sockaddr *name, socklen_t len)
{
	struct sock *s = stream_is(ctx, fd) ? stream_enter(ctx, fd) : NULL;
	int ret = CONTEXT_KERNEL;

	if (!s)
		return CONTEXT_KERNEL;
	if (s->stream.is_unix)
		ret = CONTEXT_KERNEL; /* the shadow knows whether it has a name */
	else if ((s->stream.conn && s->stream.conn->state != TCP_CLOSED) ||
	    (s->stream.local_conn && !local_is_over(s->stream.local_conn)))
		ret = refused_address(fd, s->stream.v6, name, len);
	context_leave(ctx);
	return ret;
}
