/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream_local.c - connections of sockets to other programs of this host, over links (local.h).
 *
 * The shadow of one that connects is bound, so that its port is the kernel's to give, and nobody else's. The kernel has
 * the last word about who cannot be reached so: if the listener refuses, or its program does not answer, the shadow
 * connects. One that is full is tried again, as TCP would.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/reason.h"
#include "context/local.h"
#include "context/stream_internal.h"
#include "local/link.h"
#include "socket/epoll.h"
#include "sys/sys.h"
#include "tcp/info.h"

#define FULL_UNIX_NS FS_MS(2) /* until a Unix socket that was full is tried again: its caller the kernel would wake */

enum {
	LOOPBACK_MTU = 65536,
	RTO_US = 200000,
	WSCALE = 7,
	WINDOW = 10,	  /* segments, RFC 6928 */
	HEADERS_V4 = 52,  /* of a segment with a timestamp */
	HEADERS_V6 = 72,
};

/* --- beginning --- */

/* Of one that the program bound to an address alone: its port was to be chosen when it connects, which is now. */
static void set_portless(int fd, int on)
{
	sys_setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
}

/* By the kernel, which answers for it from now on. */
static bool bind_shadow(struct sock *s, int fd)
{
	bool has_address = !ip_addr_is_any(&s->stream.local);
	union stream_name name;
	socklen_t len = sizeof(name);
	int ret;

	if (s->stream.local_port || s->stream.local_own_port)
		return true;
	stream_put_name(s->stream.v6, &s->stream.local, 0, &name, &len);
	if (has_address)
		set_portless(fd, 0);
	ret = sys_bind(fd, &name, len);
	if (has_address)
		set_portless(fd, 1);
	if (ret < 0 || sys_getsockname(fd, &name, &len) < 0)
		return false;
	s->stream.local_own_port = ntohs(s->stream.v6 ? name.in6.sin6_port : name.in.sin_port);
	return true;
}

/* The address that the kernel would choose to talk to @to, one of this host's. */
struct ip_addr stream_local_source(const struct ip_addr *bound, const struct stream_called *to)
{
	static const uint8_t loopback[] = { 127, 0, 0, 1 };

	if (!ip_addr_is_any(bound))
		return *bound;
	if (to->source)
		return *to->source;
	return ip_addr_is_v4(&to->addr) ? ip_addr_v4(loopback) : to->addr;
}

/* Does another socket talk to @call->remote from the port that the program bound @s to? */
static bool is_taken(const struct context *ctx, const struct sock *s, const struct local_call *call)
{
	struct list *e;

	if (!s->stream.local_port)
		return false;
	LIST_FOR_EACH(e, &ctx->stack->all_streams) {
		const struct local_conn *other = FS_CONTAINER_OF(e, struct sock, all)->stream.local_conn;

		if (other && other->local_port == s->stream.local_port && other->remote_port == call->remote_port &&
		    ip_addr_equal(&other->remote, &call->remote) && ip_addr_equal(&other->local, &call->local))
			return true;
	}
	return false;
}

/*
 * Rings take pages only as they are written to, and who goes beyond
 * the control group's limit is killed: so all that were ever handed out count, before further ones are. Those that are
 * used again ask nothing.
 */
bool stream_local_may_open(struct context *ctx, const struct local_link *link, unsigned order)
{
	const struct local_half *half = &link->half;
	uint32_t rings = 2 * ((UINT32_C(1) << order) / LOCAL_UNIT);

	if (half->used + rings <= half->reached)
		return true;
	ctx->local.no_memory = !context_has_memory((size_t)(half->reached + rings) * LOCAL_UNIT);
	return !ctx->local.no_memory;
}

void stream_local_begun(struct context *ctx, struct sock *s)
{
	stream_local_set_options(s);
	s->way = SOCK_FAST;
	s->unsteered = false;
	s->stream.error = 0;
	s->stream.connecting = true;
	s->stream.local_since = s->stream.local_begun = ctx->now;
	list_push_back(&ctx->stack->local->connecting, &s->stream.of_local);
	record_reason(s->record, FS_REASON_none, NULL);
	sock_publish(s);
	stream_changed_sides(ctx, s);
	local_told(ctx, s->stream.local_conn->link);
}

int stream_local_connect(struct context *ctx, struct sock *s, int fd, const struct stream_called *to)
{
	struct local_call call = {
		.local = stream_local_source(&s->stream.local, to),
		.remote = to->addr,
		.remote_port = to->port,
		.send_order = STREAM_LOCAL_ORDER,
		.receive_order = STREAM_LOCAL_ORDER,
	};
	struct local_link *link;

	if (s->stream.ifindex || s->stream.options.fastopen_connect ||
	    (!s->stream.same_netns && !context_same_namespace(ctx, fd)))
		return CONTEXT_KERNEL;
	if (is_taken(ctx, s, &call))
		return -EADDRNOTAVAIL;
	link = local_find(ctx, &to->addr, to->port, to->beyond ? &call.local : NULL);
	if (!link || !stream_local_may_open(ctx, link, STREAM_LOCAL_ORDER) || !bind_shadow(s, fd))
		return CONTEXT_KERNEL;
	call.local_port = s->stream.local_port ? s->stream.local_port : s->stream.local_own_port;
	if (local_connect(link, &call, s, &s->stream.local_conn) < 0)
		return CONTEXT_KERNEL;
	stream_local_begun(ctx, s);
	return -EINPROGRESS;
}

/* --- what becomes of it --- */

/* The connection is the socket's no more, and the other side was told. */
void stream_local_part(struct context *ctx, struct sock *s, bool reset)
{
	struct local_conn *conn = s->stream.local_conn;
	struct local_link *link = conn->link;

	local_lend(ctx, conn);
	s->stream.local_conn = NULL;
	list_remove(&s->stream.of_local);
	if (reset)
		local_abort(conn);
	else
		local_close(conn);
	local_told(ctx, link);
}

/* The shadow connects as the socket did: nobody waits for that. */
static void connect_shadow(struct context *ctx, struct sock *s, int fd, const struct ip_addr *remote, uint16_t port)
{
	union stream_name name;
	socklen_t len = sizeof(name);
	int ret;

	stream_put_name(s->stream.v6, remote, port, &name, &len);
	ret = sys_connect(fd, &name, len);
	s->stream.connecting = false;
	if (ret == 0 || ret == -EINPROGRESS)
		return;
	s->stream.error = -ret;
	s->way = SOCK_UNDECIDED;
}

int stream_local_reason(const struct context *ctx, const struct local_link *link, int error)
{
	return error == ENOMEM ? FS_REASON_memory : local_is_beyond(ctx, link) ? FS_REASON_not_met : FS_REASON_loopback;
}

void stream_local_leave(struct context *ctx, struct sock *s, int fd)
{
	struct ip_addr remote = s->stream.local_conn->remote;
	uint16_t port = s->stream.local_conn->remote_port;
	int error = s->stream.local_conn->error, reason = stream_local_reason(ctx, s->stream.local_conn->link, error);

	if (s->stream.is_unix && reason != FS_REASON_memory)
		reason = FS_REASON_unlinked;
	local_forget(ctx, s->stream.local_conn, error == ECONNREFUSED);
	stream_local_part(ctx, s, true);
	s->way = SOCK_KERNEL;
	record_reason(s->record, reason, NULL);
	ctx->stack->counter[FS_CTR_local_to_kernel]++;
	if (fd >= 0)
		connect_shadow(ctx, s, fd, &remote, port);
	sock_publish(s);
	stream_changed_sides(ctx, s);
	ctx->to_ring |= sock_sleepers(s);
}

/* It did not come about by the link. Who waits in connect() goes on by libc's (outcome()). */
static void leave_to_kernel(struct context *ctx, struct sock *s)
{
	bool waits = !s->nonblock || s->stream.is_unix; /* who calls a Unix socket always does */
	int fd = waits ? -1 : stream_number(ctx, s);

	if (fd >= 0 || waits) /* else it is a relative's, which has a number of it */
		stream_local_leave(ctx, s, fd);
}

/* The listener has no room: as a SYN that it drops, the attempt is made again later. */
static void try_again(struct context *ctx, struct sock *s)
{
	struct local_conn *before = s->stream.local_conn, *conn;
	struct local_call call = {
		.local = before->local,
		.remote = before->remote,
		.local_port = before->local_port,
		.remote_port = before->remote_port,
		.send_order = STREAM_LOCAL_ORDER,
		.receive_order = STREAM_LOCAL_ORDER,
	};

	if (s->stream.is_unix)
		call = stream_unix_call(s, &before->remote);
	s->stream.local_since = ctx->now;
	if (local_connect(before->link, &call, s, &conn) < 0)
		return;
	local_abort(before);
	s->stream.local_conn = conn;
	stream_local_set_options(s);
	local_told(ctx, conn->link);
}

/* When the attempt of @s has to be looked at. */
static fs_ns due_at(const struct context *ctx, const struct sock *s)
{
	/* Of what others of the stack have numbers of they look after. */
	if ((s->nonblock && !s->stream.is_unix && !s->refs[ctx->slot]) || s->stream.local_moves)
		return FS_NEVER;
	if (s->stream.local_conn->flags & LOCAL_PEER_MOVED)
		return s->refs[ctx->slot] ? s->stream.local_since : FS_NEVER;
	if (s->stream.local_conn->error != ENOBUFS)
		return s->stream.local_since + STREAM_LOCAL_ANSWER_NS;
	return s->stream.local_since + (s->stream.is_unix ? FULL_UNIX_NS : STREAM_LOCAL_FULL_NS);
}

fs_ns stream_local_next(const struct context *ctx)
{
	fs_ns next = FS_NEVER;
	struct list *e;

	LIST_FOR_EACH(e, &ctx->stack->local->connecting)
		next = FS_MIN(next, due_at(ctx, FS_CONTAINER_OF(e, struct sock, stream.of_local)));
	return next;
}

void stream_local_settle(struct context *ctx)
{
	struct list *e, *following;

	LIST_FOR_EACH_SAFE(e, following, &ctx->stack->local->connecting) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, stream.of_local);

		const struct local_conn *conn = s->stream.local_conn;
		bool full = conn->state == LOCAL_OVER && conn->error == ENOBUFS && conn->link->ended == LOCAL_LINK_UP &&
			    (s->stream.is_unix || ctx->now - s->stream.local_begun < STREAM_LOCAL_LONG_NS);

		if (s->stream.local_moves || (full && s->stream.is_unix && s->nonblock))
			continue; /* who called says that it is full */
		if ((conn->flags & LOCAL_PEER_MOVED) && conn->state == LOCAL_ESTABLISHED) {
			if (!stream_local_follow(ctx, s) && s->refs[ctx->slot])
				s->stream.local_since = ctx->now + STREAM_LOCAL_ANSWER_NS; /* until the next look */
		} else if (conn->state == LOCAL_ESTABLISHED || (conn->flags & LOCAL_PEER_MOVED) || local_was_accepted(conn)) {
			list_remove(&s->stream.of_local);
		} else if (full && ctx->now >= due_at(ctx, s)) {
			try_again(ctx, s);
		} else if (!full && (conn->state == LOCAL_OVER || ctx->now >= due_at(ctx, s))) {
			leave_to_kernel(ctx, s);
		}
	}
}

bool stream_local_waits(const struct sock *s)
{
	return list_is_linked(&s->stream.of_local) && s->stream.local_conn->state != LOCAL_ESTABLISHED;
}

int stream_local_outcome(struct sock *s)
{
	if (stream_local_waits(s))
		return -EINPROGRESS;
	s->stream.connecting = false;
	return 0;
}

/* --- accepting --- */

bool stream_leads_beyond(const struct ip_dst *d)
{
	return d && !d->error && (d->way == IP_DST_FAST || d->reason == FS_REASON_no_interface);
}

/* Who calls from another namespace calls by no address that is every namespace's own, and is to be answered by the
 * kernel as well as by the link, by an interface whose rules let it pass. */
static bool is_from_beyond(struct context *ctx, const struct local_conn *conn)
{
	struct context_choice choice = { .tcp = true, .bound = conn->local };

	return !ip_addr_is_loopback(&conn->local) && !ip_addr_is_loopback(&conn->remote) &&
	       stream_leads_beyond(context_resolve_by(ctx, &conn->remote, &choice)) &&
	       local_scope_verdict(ctx, &conn->remote, &conn->local) == 0;
}

/* Programs go by the name of who calls: it shall not be another host, nor a port that only root has. */
bool stream_local_admits(struct context *ctx, const struct local_conn *conn)
{
	bool known;

	if (conn->flags & LOCAL_UNIX)
		return local_unix_admits(ctx, conn);
	if (conn->local_port == 0 || local_is_of_unix(ctx, conn->link))
		return false; /* that of a Unix socket's listener, or by its link */
	known = local_is_beyond(ctx, conn->link) ? is_from_beyond(ctx, conn) : local_is_own(ctx, &conn->remote);
	return known && local_is_own(ctx, &conn->local) && local_may_have(ctx, conn->link, conn->remote_port);
}

int stream_local_accept(struct context *ctx, struct sock *listener, int from, struct sockaddr *name, socklen_t *len,
			int flags)
{
	int fd, type = SOCK_STREAM | (flags & (SOCK_NONBLOCK | SOCK_CLOEXEC));
	struct local_conn *conn;
	struct sock *s;

	if (name && (!len || (int)*len < 0)) { /* found out when there is a connection, that ends (stream_listen.c) */
		conn = local_accept(&listener->stream.local_listener, NULL);
		local_close(conn);
		local_told(ctx, conn->link);
		return len ? -EINVAL : -EFAULT;
	}
	fd = sys_socket(listener->stream.is_unix ? AF_UNIX : listener->stream.v6 ? AF_INET6 : AF_INET, type, 0);
	if (fd < 0)
		return fd;
	s = stream_adopt(ctx, fd, listener, flags);
	if (!s) {
		context_fd_forget(ctx, fd);
		sys_close(fd);
		return -ENOBUFS;
	}
	conn = s->stream.local_conn = local_accept(&listener->stream.local_listener, s);
	stream_local_set_options(s);
	if (s->stream.is_unix)
		stream_unix_accepted(s, listener);
	stream_accepted(s, fd, listener, from);
	if (name && s->stream.is_unix)
		stream_unix_put_name(s, true, name, len);
	else if (name)
		stream_put_name(s->stream.v6, &conn->remote, conn->remote_port, name, len);
	return fd;
}

/* --- ending --- */

void stream_local_end(struct context *ctx, struct sock *s)
{
	local_withdraw(ctx, s);
	if (s->stream.local_conn)
		stream_local_part(ctx, s, !s->stream.is_unix && s->stream.options.linger_s == 0);
}

void stream_local_disconnect(struct context *ctx, struct sock *s)
{
	struct local_conn *conn = s->stream.local_conn;

	sock_publish(s);
	s->stream.error = conn->state == LOCAL_OVER ? conn->error : ECONNRESET;
	s->stream.last_port = conn->local_port;
	s->stream.connecting = false;
	stream_local_part(ctx, s, true);
	s->way = SOCK_UNDECIDED;
	stream_changed_sides(ctx, s);
	ctx->to_ring |= sock_sleepers(s);
}

int stream_local_shutdown(struct context *ctx, struct sock *s, int how)
{
	static const uint32_t bits[] = { LOCAL_SHUT_READING, LOCAL_SHUT_WRITING,
					 LOCAL_SHUT_READING | LOCAL_SHUT_WRITING };
	struct local_conn *conn = s->stream.local_conn;
	int ret;

	if (how < SHUT_RD || how > SHUT_RDWR)
		return -EINVAL;
	if (conn->state == LOCAL_CONNECTING) {
		stream_local_disconnect(ctx, s);
		return 0;
	}
	local_lend(ctx, conn);
	ret = local_shutdown(conn, bits[how]);
	ctx->to_ring |= s->sleepers.slots | epoll_sock_news(s, sock_ready(s));
	local_told(ctx, conn->link);
	return ret;
}

/* --- what it is --- */

void stream_local_set_options(struct sock *s)
{
	if (s->stream.is_unix)
		return;
	local_conn_set_inline(s->stream.local_conn, s->stream.options.oob_inline);
	local_conn_set_low_water(s->stream.local_conn, s->stream.options.rcvlowat);
}

static int segment_size(const struct local_conn *conn)
{
	return LOOPBACK_MTU - (ip_addr_is_v4(&conn->remote) ? HEADERS_V4 : HEADERS_V6);
}

void stream_local_info(struct local_conn *conn, struct tcp_info_layout *info)
{
	uint32_t mss = (uint32_t)segment_size(conn);

	*info = (struct tcp_info_layout){
		.state = sock_local_state(conn),
		.options = TCP_INFO_TIMESTAMPS | TCP_INFO_SACK | TCP_INFO_WSCALE,
		.snd_mss = mss,
		.rcv_mss = mss,
		.advmss = mss,
		.pmtu = LOOPBACK_MTU,
		.snd_cwnd = WINDOW,
		.snd_ssthresh = INT32_MAX,
		.rcv_space = 1u << STREAM_LOCAL_ORDER,
		.snd_wscale = WSCALE,
		.rcv_wscale = WSCALE,
		.rto = RTO_US,
		.rtt = 1,
		.min_rtt = 1,
		.bytes_acked = conn->tx.head,
		.bytes_sent = conn->tx.head,
		.bytes_received = conn->rx.pos + local_inq(conn),
		.data_segs_in = (uint32_t)((conn->rx.pos + mss - 1) / mss),
		.data_segs_out = (uint32_t)((conn->tx.head + mss - 1) / mss),
	};
	info->segs_in = info->data_segs_in + 1;
	info->segs_out = info->data_segs_out + 1;
}

int stream_local_get_option(struct context *ctx, struct sock *s, int level, int name, void *value, socklen_t *len)
{
	struct local_conn *conn = s->stream.local_conn;
	struct tcp_info_layout info;
	union stream_name peer;
	socklen_t whole = sizeof(peer);
	int v;

	if (s->stream.is_unix)
		return stream_unix_get_option(ctx, s, level, name, value, len);
	if (level == IPPROTO_TCP && name == STREAM_OPT_INFO) {
		stream_local_info(conn, &info);
		return stream_put_option(value, len, &info, sizeof(info));
	}
	if (level == SOL_SOCKET && name == SO_PEERNAME) {
		stream_put_name(s->stream.v6, &conn->remote, conn->remote_port, &peer, &whole);
		return len && (int)*len > (int)whole ? -EINVAL : stream_put_option(value, len, &peer, whole);
	}
	if (level == SOL_SOCKET && name == SO_PEEK_OFF)
		v = s->stream.peek_off;
	else if (level == SOL_SOCKET && name == SO_INCOMING_CPU && conn->rx.pos)
		v = sys_getcpu(); /* who reads moves the bytes */
	else if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY && s->stream.v6)
		v = s->stream.v6_only;
	else if (level == IPPROTO_IPV6 && name == STREAM_OPT_ADDRFORM && s->stream.v6 &&
		 !(conn->flags & (LOCAL_FIN_SENT | LOCAL_FIN_RECEIVED)))
		v = AF_INET6;
	else if (level == IPPROTO_TCP && name == STREAM_OPT_MAXSEG)
		v = segment_size(conn);
	else if ((level == IPPROTO_IP && name == IP_MTU) || (level == IPPROTO_IPV6 && name == IPV6_MTU && s->stream.v6))
		v = ip_addr_is_v4(&conn->remote) ? LOOPBACK_MTU - 1 : LOOPBACK_MTU; /* as large as a packet can be */
	else
		return CONTEXT_KERNEL;
	if (level == IPPROTO_IPV6 && len && (int)*len < 0)
		*len = sizeof(v); /* as large as can be (do_ipv6_getsockopt()) */
	return stream_put_option(value, len, &v, sizeof(v));
}
