/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream_end.c - TCP sockets come, change sides, and go.
 *
 * close() gives a connection to the engine, which finishes it alone: FIN, retransmissions, TIME-WAIT.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/reason.h"
#include "context/handover.h"
#include "context/lease.h"
#include "context/local.h"
#include "context/sister_internal.h"
#include "context/sister.h"
#include "context/stamp.h"
#include "context/stream_internal.h"
#include "context/turn.h"
#include "socket/epoll.h"
#include "socket/opts.h"
#include "sys/sys.h"

#define STRAY_NS FS_SEC(1) /* until a SYN without an answer is sent again (RFC 6298 2.1) */

/* --- coming --- */

void stream_read_names(struct sock *s, int fd)
{
	union stream_name name;
	socklen_t len = sizeof(name);

	if (s->stream.is_unix || sys_getsockname(fd, &name, &len) < 0)
		return;
	if (name.sa.sa_family == AF_INET6) {
		s->stream.local = ip_addr_v6(&name.in6.sin6_addr);
		s->stream.local_port = ntohs(name.in6.sin6_port);
	} else {
		s->stream.local = ip_addr_v4(&name.in.sin_addr);
		s->stream.local_port = ntohs(name.in.sin_port);
	}
	if (ip_addr_is_any(&s->stream.local))
		s->stream.local = (struct ip_addr){ 0 };
	else if (s->stream.v6 && !ip_addr_is_v4(&s->stream.local))
		s->stream.v6_only = true; /* as __inet6_bind() */
}

static struct sock *new_sock(struct context *ctx, int fd, int domain, bool nonblock)
{
	struct stats_sock *record = context_record(ctx, fd, domain, domain == AF_UNIX ? 0 : IPPROTO_TCP);
	struct sock *s = record ? context_sock_alloc(ctx) : NULL;

	if (!s) {
		bool full = ctx->stack->socks.in_use >= ctx->config.max_sockets;

		record_reason(record, full ? FS_REASON_too_many_sockets : FS_REASON_memory, NULL);
		context_fd_set(ctx, fd, record ? FD_RECORD : FD_NONE, record, 0);
		return NULL;
	}
	sock_init(s, record, SOCK_TCP, domain == AF_INET6, ++ctx->stack->generation);
	s->stream.is_unix = domain == AF_UNIX;
	s->cookie = record->cookie;
	s->nonblock = nonblock;
	s->refs[ctx->slot] = 1;
	list_push_back(&ctx->stack->all_streams, &s->all);
	context_fd_set(ctx, fd, FD_STREAM, s, s->generation);
	return s;
}

void stream_open(struct context *ctx, int fd, int domain, bool nonblock)
{
	struct sock *s = new_sock(ctx, fd, domain, nonblock);

	if (!s)
		return;
	s->stream.same_netns = true;
	stream_read_options(ctx, s, fd);
}

struct sock *stream_adopt(struct context *ctx, int fd, const struct sock *listener, int flags)
{
	bool is_unix = listener->stream.is_unix;
	int domain = is_unix ? AF_UNIX : listener->stream.v6 ? AF_INET6 : AF_INET;
	struct sock *s = new_sock(ctx, fd, domain, flags & SOCK_NONBLOCK);

	if (s && is_unix) {
		s->stream.same_netns = true;
		stream_read_options(ctx, s, fd); /* its listener's are its own */
	}
	if (!s || is_unix)
		return s;
	s->rcvtimeo = listener->rcvtimeo;
	s->stream.sndtimeo = listener->stream.sndtimeo;
	s->stream.options = listener->stream.options;
	s->stream.listening = listener->stream.listening;
	s->stream.v6_only = listener->stream.v6_only;
	s->stream.ifindex = listener->stream.ifindex;
	s->stream.zerocopy = listener->stream.zerocopy;
	s->stream.reuseaddr = listener->stream.reuseaddr;
	s->stream.tells_inq = listener->stream.tells_inq;
	memcpy(s->stream.inherit, listener->stream.inherit, sizeof(s->stream.inherit));
	if (listener->cmsgs & SOCK_CMSG_STAMPS) {
		s->stamps = listener->stamps;
		s->stamps.counted = false;
		stamp_changed(ctx, s);
	}
	return s;
}

void stream_accepted(struct sock *s, int fd, const struct sock *listener, int from)
{
	s->way = SOCK_FAST;
	record_reason(s->record, FS_REASON_none, NULL);
	sock_publish(s);
	if (!s->stream.is_unix && (listener->stream.inherit[0] | listener->stream.inherit[1]))
		stream_inherit(listener, from, fd);
}

/* --- the kernel's epoll sets --- */

/* The number of @set in this process, or -1. */
static int number_of(struct context *ctx, const struct epoll_set *set)
{
	for (int fd = 0; fd <= ctx->fds.highest; fd++) {
		const struct fd_entry *e = fd_entry_at(&ctx->fds, fd);

		if (e && e->kind == FD_EPOLL && e->object == set)
			return fd;
	}
	return -1;
}

void stream_changed_sides(struct context *ctx, struct sock *s)
{
	struct list *e;

	LIST_FOR_EACH(e, &s->items) {
		struct epoll_item *item = FS_CONTAINER_OF(e, struct epoll_item, of_member);
		int epfd = number_of(ctx, item->set);

		if (epfd >= 0)
			context_tell_epoll(ctx, epfd, item);
	}
	/* Of what comes over a link the members are to ask. */
	ctx->to_ring |= epoll_sock_news(s, sock_is_local(s) ? EPOLLIN | EPOLLOUT : sock_ready(s));
}

/* --- changing sides --- */

int stream_number(struct context *ctx, const struct sock *s)
{
	for (int fd = 0; fd <= ctx->fds.highest; fd++)
		if (context_live_sock(ctx, fd) == s)
			return fd;
	return -1;
}

/* O_NONBLOCK of a listener's shadow is ours (stream_listen.c). */
void stream_give_flags_back(const struct sock *s, int fd)
{
	long flags = fd < 0 || s->nonblock || s->stream.home || !context_names(fd, s) ? -1 : sys_fcntl(fd, F_GETFL, 0);

	if (flags >= 0 && (flags & O_NONBLOCK))
		sys_fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

/* The shadow has the listener for itself. What is under way to us is still ours to receive: no RST, the next SYN is
 * its. */
static void leave_to_shadow(struct context *ctx)
{
	stream_now(ctx); /* nobody may have looked for long */
	ctx->stack->tcp.stray_until = ctx->now + STRAY_NS;
}

/* The engine's half of a listener goes: steering first, or what comes would find nobody. */
static void stop_listening(struct context *ctx, struct sock *s)
{
	stream_unsteer(ctx, s);
	tcp_unlisten(&s->stream.listener, &ctx->env, ctx->now);
	s->stream.listener.stack = NULL;
	segments_send(ctx);
}

/* It listens by its shadow alone from now on. */
static void move_listener(struct context *ctx, struct sock *s)
{
	stop_listening(ctx, s);
	stream_give_flags_back(s, stream_number(ctx, s));
	s->stream.leaving = 0;
}

/* Does its program go on to accept through us, once @reason moved it? */
static bool still_accepts(int reason)
{
	return reason == FS_REASON_policy || reason == FS_REASON_option || reason == FS_REASON_moved;
}

/* New connections are the shadow's from now on. Those that wait for accept() move when they are accepted: only then
 * they have a descriptor. */
static void leave(struct context *ctx, struct sock *s, int reason, const char *detail)
{
	if (s->stream.leaving)
		return;
	leave_to_shadow(ctx);
	handover_begun(ctx, s);
	stream_unsteer(ctx, s);
	tcp_retire(&s->stream.listener);
	s->stream.leaving = (uint8_t)reason;
	s->unsteered = true;
	record_reason(s->record, reason, detail);
	sock_publish(s);
	ctx->stack->counter[FS_CTR_moved_to_kernel]++;
}

void stream_left(struct context *ctx, struct sock *s)
{
	move_listener(ctx, s);
	s->way = SOCK_KERNEL;
	sock_publish(s);
	ctx->to_ring |= sock_sleepers(s);
}

static void demote_twin(struct context *ctx, struct sock *twin, int reason)
{
	if (ctx->stack->untold)
		sister_tell_home(ctx);
	stream_demote(ctx, twin, reason, NULL);
}

/* A connection within the host is not touched by what becomes of its interfaces. */
static bool concerns_interfaces(int reason)
{
	switch (reason) {
	case FS_REASON_no_interface:
	case FS_REASON_default_route:
	case FS_REASON_interface_kind:
	case FS_REASON_interface_down:
	case FS_REASON_interface_busy:
	case FS_REASON_foreign_xdp:
	case FS_REASON_policy:
	case FS_REASON_self_test:
	case FS_REASON_owner_gone:
	case FS_REASON_recovering:
	case FS_REASON_detached:
		return true;
	default:
		return false;
	}
}

/* A listener that links lead to: what comes otherwise is the shadow's from now on, but for what waits. Where it is not
 * about interfaces nobody finds it by a link any more, either, and those who did are accepted still. */
static void leave_interfaces(struct context *ctx, struct sock *s, int reason, const char *detail)
{
	if (!concerns_interfaces(reason))
		local_unpublish(ctx, s);
	if (stream_listens(&s->stream)) {
		leave_to_shadow(ctx);
		handover_waiting(ctx, s);
		stop_listening(ctx, s);
	}
	s->unsteered = true;
	record_reason(s->record, reason, detail);
	sock_publish(s);
	ctx->to_ring |= sock_sleepers(s);
}

/* Do links lead to the listener @s still, for all that @reason says? */
static bool stays_by_links(struct context *ctx, const struct sock *s, int reason)
{
	if (!s->stream.by_links)
		return false;
	if (still_accepts(reason) && stream_has_by_link(&s->stream))
		return true;
	/* Rules may be of the interfaces alone, or of all. */
	return concerns_interfaces(reason) && (reason != FS_REASON_policy || context_policy_verdict(ctx, CONTEXT_LOOPBACK) == 0);
}

void stream_demote(struct context *ctx, struct sock *s, int reason, const char *detail)
{
	bool was_by_links = s->stream.by_links;

	if (s->way == SOCK_KERNEL)
		return;
	if (stays_by_links(ctx, s, reason)) {
		leave_interfaces(ctx, s, reason, detail);
		return;
	}
	local_withdraw(ctx, s);
	if (stream_listens(&s->stream) && sister_has_twins(ctx))
		sisters_each_twin(ctx, s, demote_twin, reason);
	if (stream_listens(&s->stream) && sister_has_twins(ctx))
		sister_receive(ctx); /* those that wait at twins by now count */
	if (stream_listens(&s->stream) && stream_waiting(&s->stream) && still_accepts(reason)) {
		leave(ctx, s, reason, detail);
		return;
	}
	if (stream_listens(&s->stream)) {
		if (reason != FS_REASON_shutdown) {
			leave_to_shadow(ctx);
			handover_waiting(ctx, s);
		}
		move_listener(ctx, s);
	} else if (s->stream.conn) {
		handover_sock(ctx, s, reason);
		return;
	} else if (s->stream.local_conn) {
		if (!concerns_interfaces(reason))
			stream_local_move(ctx, s, reason);
		return;
	} else if (was_by_links) {
		stream_give_flags_back(s, stream_number(ctx, s));
	}
	s->way = SOCK_KERNEL;
	record_reason(s->record, reason, detail);
	sock_publish(s);
	ctx->stack->counter[FS_CTR_moved_to_kernel]++;
	ctx->to_ring |= sock_sleepers(s);
}

void stream_give_back(struct context *ctx, struct sock *s, int reason)
{
	if (s->stream.by_links)
		stream_give_flags_back(s, stream_number(ctx, s));
	if (s->stream.by_links && !s->heirs)
		local_withdraw(ctx, s);
	if (!stream_listens(&s->stream))
		return;
	if (sister_has_twins(ctx))
		sisters_each_twin(ctx, s, stream_give_back, reason);
	context_drain(ctx); /* a handshake that is complete need not be repeated */
	leave_to_shadow(ctx);
	handover_waiting(ctx, s);
	if (s->heirs) { /* who joins goes on with both halves */
		stream_give_flags_back(s, stream_number(ctx, s));
		return;
	}
	move_listener(ctx, s);
	s->way = SOCK_KERNEL;
	if (reason != FS_REASON_none)
		record_reason(s->record, reason, NULL);
	ctx->to_ring |= sock_sleepers(s);
}

/* The engine's half goes; what is left to be said to the peer, the engine says. */
static void let_conn_go(struct context *ctx, struct sock *s)
{
	struct tcp_conn *conn = s->stream.conn;

	s->stream.conn = NULL;
	conn->user = NULL;
	turn_says(ctx, HABIT_END, s);
	segments_kept(ctx, s);
	tcp_close(conn, &ctx->env, ctx->now);
	segments_send_soon(ctx);
}

/* What a connection given up in this state leaves in SO_ERROR. */
static int error_left(const struct tcp_conn *conn)
{
	switch (conn->state) {
	case TCP_SYN_SENT:
	case TCP_SYN_RECEIVED:
	case TCP_ESTABLISHED:
	case TCP_FIN_WAIT1:
	case TCP_FIN_WAIT2:
	case TCP_CLOSE_WAIT:
		return ECONNRESET;
	case TCP_CLOSING:
	case TCP_LAST_ACK:
		return tcp_outq_unsent(conn) ? ECONNRESET : conn->error;
	default:
		return conn->error;
	}
}

void stream_disconnect(struct context *ctx, struct sock *s)
{
	struct tcp_conn *conn = s->stream.conn;

	if (s->stream.local_conn) {
		stream_local_disconnect(ctx, s);
		return;
	}
	sock_publish(s); /* what went by it counts */
	s->stream.error = error_left(conn);
	s->stream.last_port = conn->end.local_port;
	s->stream.conn = NULL;
	s->stream.connecting = false;
	conn->user = NULL;
	tcp_abort(conn, &ctx->env, ctx->now);
	s->way = SOCK_UNDECIDED;
	stream_changed_sides(ctx, s);
	ctx->to_ring |= sock_sleepers(s);
	segments_send(ctx);
}

bool stream_retire(struct context *ctx, struct sock *s, int fd)
{
	struct stats_sock *record = s->record;

	if (s->way != SOCK_KERNEL || sock_is_engines(s) || s->stream.by_links || s->stream.error)
		return false;
	if (sock_is_used(s) || s->heirs || context_is_steered(s))
		return false;
	/* Registrations with epoll sets need the object: they translate the kernel's events. */
	if (!list_is_empty(&s->items) || sock_refs(s) > 1 || s->refs[ctx->slot] == 0)
		return false;
	context_fd_set(ctx, fd, FD_RECORD, record, 0);
	s->record = &(struct stats_sock){ .fd = -1 }; /* the record lives on behind the descriptor */
	context_sock_free(ctx, s);
	return true;
}

/* --- going --- */

void stream_end(struct context *ctx, struct sock *s)
{
	stream_now(ctx);
	stamp_forget(ctx, s);
	if (stream_listens(&s->stream))
		stop_listening(ctx, s);
	if (s->stream.conn)
		let_conn_go(ctx, s);
	if (s->stream.local_conn || s->stream.by_links)
		stream_local_end(ctx, s);
}

/* It may have an entry although its port has one, too, if somebody listens there anew. Leased ports alone have none. */
void stream_released(struct context *ctx, struct tcp_conn *conn)
{
	if (ctx->stack->flows && !context_lease_covers(ctx, conn->end.local_port))
		stream_unsteer_flow(ctx, &conn->end);
}

int stream_shutdown(struct context *ctx, int fd, int how)
{
	static const uint32_t bits[] = { TCP_SHUT_RD, TCP_SHUT_WR, TCP_SHUT_RD | TCP_SHUT_WR };
	struct sock *s = stream_is(ctx, fd) ? stream_enter_checked(ctx, fd) : NULL;
	int ret = CONTEXT_KERNEL;

	if (!s)
		return CONTEXT_KERNEL;
	stream_now(ctx);
	if (s->stream.local_conn) {
		ret = stream_local_shutdown(ctx, s, how);
	} else if (s->stream.conn && (how < SHUT_RD || how > SHUT_RDWR)) {
		ret = -EINVAL;
	} else if (s->stream.conn && s->stream.conn->state == TCP_SYN_SENT) {
		stream_disconnect(ctx, s); /* whichever half it names (inet_shutdown()) */
		ret = 0;
	} else if (s->stream.conn) {
		if (how != SHUT_RD)
			turn_says(ctx, HABIT_END, s);
		ret = tcp_shutdown(s->stream.conn, &ctx->env, bits[how], ctx->now);
		segments_send_soon(ctx);
	} else if (s->stream.is_unix || (stream_is_listener(&s->stream) && (how == SHUT_RD || how == SHUT_RDWR))) {
		stream_demote(ctx, s, FS_REASON_shutdown, NULL);
	}
	context_leave(ctx);
	return ret;
}

/* Is everything it was to say, FIN included, with the peer? */
static bool is_settled(const struct tcp_conn *conn)
{
	return conn->state == TCP_CLOSED || conn->state == TCP_FIN_WAIT2 || conn->state == TCP_TIME_WAIT;
}

/* As tcp_close() with sk_stream_wait_close(): the FIN goes, then we wait for what SO_LINGER allows. */
void stream_linger(struct context *ctx, int fd)
{
	struct sock *s = stream_is(ctx, fd) ? stream_enter(ctx, fd) : NULL;
	bool waits = s && s->stream.conn && s->stream.options.linger_s > 0 && sock_refs(s) == 1 && !s->passed &&
		     tcp_has(s->stream.conn, TCP_CONN_CONNECTED) && !tcp_inq(s->stream.conn);
	fs_ns limit = waits ? FS_SEC((int64_t)s->stream.options.linger_s) : 0;
	struct pollfd fds[BLOCKER_SPARE];
	BLOCKER(b);

	if (!s)
		return;
	stream_now(ctx);
	if (waits) {
		tcp_shutdown(s->stream.conn, &ctx->env, TCP_SHUT_WR, ctx->now);
		segments_send(ctx);
		waits = !is_settled(s->stream.conn);
	}
	context_leave(ctx);
	while (waits && stream_pause(ctx, fd, &b, limit, fds, 0) == 0) {
		s = stream_enter(ctx, fd);
		if (!s)
			return;
		context_poll(ctx);
		waits = context_live_sock(ctx, fd) == s && s->stream.conn && !is_settled(s->stream.conn);
		context_leave(ctx);
	}
}
