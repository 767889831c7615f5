/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bare_link.c - connections without a descriptor over links to other programs of this host (local.h), as bare.c calls
 * them.
 *
 * One that connects calls from a leased port (lease.h), and no system call is made for it: where the kernel has the
 * last word after all, a socket is made then, which connects from a port of its own, and the connection is that from
 * the beginning. Nobody has seen the other port but the listener that refused.
 *
 * Not here: connections of sockets (stream_local.c), which have a shadow for that.
 */
#include "context/bare_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/reason.h"
#include "context/lease.h"
#include "context/local.h"
#include "local/link.h"
#include "socket/epoll.h"
#include "sys/sys.h"
#include "tcp/info.h"

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

/* --- options: kept for who asks, and for the kernel's socket --- */

static void fill(struct tcp_options *options, const struct local_own *own)
{
	options->nodelay = own->nodelay;
	options->keepalive = own->keep_idle_s != 0;
	options->keep_idle_s = own->keep_idle_s;
	options->linger_s = own->resets ? 0 : -1;
	options->user_timeout_ms = own->user_timeout_ms;
}

void bare_link_get_options(struct context *ctx, const struct bare *bare, struct tcp_options *options)
{
	segments_open(ctx); /* without that the engine has no defaults, nor any use for them */
	tcp_options_default(options, &ctx->stack->tcp.config);
	fill(options, &bare->local->own);
}

static void keep(struct local_own *own, const struct tcp_options *options)
{
	own->nodelay = options->nodelay;
	own->keep_idle_s = options->keepalive ? options->keep_idle_s : 0;
	own->resets = options->linger_s == 0;
	own->user_timeout_ms = options->user_timeout_ms;
}

void bare_link_set_options(struct bare *bare, const struct tcp_options *options)
{
	keep(&bare->local->own, options);
}

/* --- beginning --- */

static struct list *connecting_of(const struct context *ctx)
{
	return &ctx->stack->local->bare_connecting[ctx->slot];
}

/* @conn, whose user is @bare's word, is the program's. */
static void belong(struct context *ctx, struct bare *bare, struct local_conn *conn)
{
	bare_bind_link(bare, conn);
	bare_record_open(ctx, bare);
	ctx->stack->local->n_bare[ctx->slot]++;
}

/* Over @link, from a port of nobody else's. */
static int begin(struct context *ctx, struct bare *bare, struct local_link *link, const struct bare_from *from,
		 struct local_call *call)
{
	const struct tcp_options *options = bare->conn ? tcp_get_options(bare->conn) : NULL;
	struct local_own own = { .bound = !ip_addr_is_any(&from->local), .since = ctx->now, .begun = ctx->now };
	const struct local_conn **holder;
	struct local_conn *conn;
	int port = context_lease_link(ctx, &call->local, &call->remote, call->remote_port, &holder);

	if (port < 0)
		return CONTEXT_KERNEL;
	call->local_port = (uint16_t)port;
	if (local_connect(link, call, bare_word(bare, ctx->slot), &conn) < 0)
		return CONTEXT_KERNEL;
	*holder = conn;
	conn->own = own;
	if (options) {
		keep(&conn->own, options);
		bare_carry_asleep(bare->conn->user, &conn->user);
		bare_drop(ctx, bare);
	}
	belong(ctx, bare, conn);
	bare->refused = false;
	bare->connecting = bare->wants_out = true;
	bare_link_settle_later(ctx, conn);
	local_told(ctx, link);
	return -EINPROGRESS;
}

static int call(struct context *ctx, struct bare *bare, const struct bare_from *from, const struct stream_called *to)
{
	struct local_call call = {
		.local = stream_local_source(&from->local, to),
		.remote = to->addr,
		.remote_port = to->port,
		.send_order = STREAM_LOCAL_ORDER,
		.receive_order = STREAM_LOCAL_ORDER,
	};
	struct local_link *link;

	if (!ip_addr_is_any(&from->local) && !local_is_own(ctx, &from->local))
		return CONTEXT_KERNEL;
	link = local_find(ctx, &to->addr, to->port, to->beyond ? &call.local : NULL);
	if (!link || !stream_local_may_open(ctx, link, STREAM_LOCAL_ORDER))
		return CONTEXT_KERNEL;
	return begin(ctx, bare, link, from, &call);
}

/* As the kernel would, by no loopback: @to is of this host, or of another namespace of it. */
static int call_by_way(struct context *ctx, struct bare *bare, const struct bare_from *from, struct stream_called *to)
{
	struct context_choice choice = { .tcp = true, .bound = from->local };
	const struct ip_dst *d = context_resolve_by(ctx, &to->addr, &choice);

	if (!d)
		return CONTEXT_KERNEL;
	to->source = &d->local;
	to->beyond = ctx->local.dir > 0 && stream_leads_beyond(d);
	if (!to->beyond && !(d->way == IP_DST_KERNEL && d->reason == FS_REASON_loopback))
		return CONTEXT_KERNEL;
	return call(ctx, bare, from, to);
}

int bare_link_connect(struct context *ctx, struct bare *bare, const struct bare_from *from,
		      const struct ip_addr *remote, uint16_t port)
{
	struct stream_called to = { .addr = *remote, .port = port };

	if (!ctx->config.local || from->port)
		return CONTEXT_KERNEL; /* a port of the program's choice is its socket's, as are links then */
	return ip_addr_is_loopback(remote) ? call(ctx, bare, from, &to) : call_by_way(ctx, bare, from, &to);
}

void bare_link_accept(struct context *ctx, struct bare *bare, struct sock *listener)
{
	struct local_conn *conn;

	conn = local_accept(&listener->stream.local_listener, bare_word(bare, ctx->slot));
	belong(ctx, bare, conn);
	keep(&conn->own, &listener->stream.options);
}

/* --- leaving --- */

void bare_link_end(struct context *ctx, struct local_conn *conn, bool abort)
{
	struct local_link *link = conn->link;

	bare_record_close(ctx, conn);
	ctx->stack->local->n_bare[bare_slot(conn->user)]--;
	local_lend(ctx, conn);
	list_remove(&conn->queued);
	conn->user = NULL;
	conn->own.settling = false;
	if (abort || conn->own.resets)
		local_abort(conn);
	else
		local_close(conn);
	local_told(ctx, link);
}

/* The kernel socket @fd goes on in its place. Who waits, or its group, is to hear of it. */
static void become_kernels(struct context *ctx, struct bare *bare, int fd, int reason, bool abort)
{
	struct local_conn *conn = bare->local;

	ctx->to_ring |= bare_sleepers(conn->user);
	if (bare->set) {
		bare->set->moved = true;
		ctx->to_ring |= bare->set->sleepers.slots;
	}
	bare_link_end(ctx, conn, abort);
	bare->local = NULL;
	bare->fd = fd;
	fs_store_release(&bare->moved, (uint8_t)reason);
}

static void put_options(const struct bare *bare, int fd)
{
	struct tcp_options options = { 0 };

	fill(&options, &bare->local->own);
	bare_put_options(fd, &options);
}

static int family_of(const struct bare *bare)
{
	return bare->v6 ? AF_INET6 : AF_INET;
}

static int make_socket(const struct bare *bare)
{
	int fd = (int)sys_socket(family_of(bare), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0)
		put_options(bare, fd);
	return fd;
}

/* As the connection was to be. 0 or -EINPROGRESS; else how it failed. */
static int connect_there(const struct bare *bare, int fd)
{
	const struct local_conn *conn = bare->local;
	union stream_name name;
	socklen_t len = sizeof(name);
	int on = 1, ret = 0;

	if (conn->own.bound) {
		sys_setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
		stream_put_name(bare->v6, &conn->local, 0, &name, &len);
		ret = sys_bind(fd, &name, len);
		len = sizeof(name);
	}
	stream_put_name(bare->v6, &conn->remote, conn->remote_port, &name, &len);
	return ret < 0 ? ret : sys_connect(fd, &name, len);
}

/* It is settled, whatever came of it: its sets look at it as at any. */
static void settled(struct context *ctx, struct local_conn *conn)
{
	list_remove(&conn->queued);
	conn->own.settling = false;
	ctx->to_ring |= bare_link_event(conn, ctx->slot, ctx->stack->local->bare_news);
}

/* It did not come about by the link: the kernel has the last word. */
static void leave_to_kernel(struct context *ctx, struct bare *bare)
{
	struct local_conn *conn = bare->local;
	int fd = make_socket(bare), ret = fd < 0 ? fd : connect_there(bare, fd);

	local_forget(ctx, conn, conn->error == ECONNREFUSED);
	ctx->stack->counter[FS_CTR_local_to_kernel]++;
	if (ret == 0 || ret == -EINPROGRESS) {
		become_kernels(ctx, bare, fd, stream_local_reason(ctx, conn->link, conn->error), true);
		return;
	}
	if (fd >= 0)
		sys_close(fd);
	local_lend(ctx, conn);
	if (conn->state == LOCAL_OVER)
		conn->error = -ret;
	else
		local_break(conn, -ret);
	bare->refused = true;
	settled(ctx, conn);
	local_told(ctx, conn->link);
}

/* The listener has no room: as a SYN that it drops, the attempt is made again later. */
static void try_again(struct context *ctx, struct bare *bare)
{
	struct local_conn *before = bare->local, *conn;
	struct local_call call = {
		.local = before->local,
		.remote = before->remote,
		.remote_port = before->remote_port,
		.send_order = STREAM_LOCAL_ORDER,
		.receive_order = STREAM_LOCAL_ORDER,
	};
	const struct local_conn **holder;
	int port = context_lease_link(ctx, &call.local, &call.remote, call.remote_port, &holder);

	before->own.since = ctx->now;
	call.local_port = (uint16_t)port;
	if (port < 0 || local_connect(before->link, &call, before->user, &conn) < 0)
		return;
	*holder = conn;
	conn->own = before->own;
	list_init(&conn->own.starved); /* nobody sent */
	conn->own.settling = false;
	belong(ctx, bare, conn);
	bare_link_settle_later(ctx, conn);
	bare_link_end(ctx, before, true);
}

/* --- what becomes of it --- */

void bare_link_settle_later(struct context *ctx, struct local_conn *conn)
{
	unsigned slot = bare_slot(conn->user);

	if (conn->own.settling)
		return;
	list_remove(&conn->queued);
	list_push_back(&ctx->stack->local->bare_connecting[slot], &conn->queued);
	conn->own.settling = true;
	if (slot != ctx->slot)
		ctx->to_ring |= 1U << slot;
}

void bare_link_moved(struct context *ctx, struct local_conn *conn)
{
	unsigned slot = bare_slot(conn->user);

	bare_link_settle_later(ctx, conn);
	ctx->to_ring |= bare_sleepers(conn->user);
	if (slot == ctx->slot && bare_of(conn->user)->set)
		ctx->to_ring |= bare_of(conn->user)->set->sleepers.slots;
}

/* When it has to be looked at: now, where the other side waits to be followed. */
static fs_ns due_at(const struct local_conn *conn)
{
	if (conn->flags & LOCAL_PEER_MOVED)
		return conn->own.moving ? FS_NEVER : 0;
	return conn->own.since + (conn->error == ENOBUFS ? STREAM_LOCAL_FULL_NS : STREAM_LOCAL_ANSWER_NS);
}

/* The other side is the kernel's. */
static void follow(struct context *ctx, struct bare *bare)
{
	struct local_conn *conn = bare->local;
	int fd = make_socket(bare);

	if (fd >= 0 && stream_local_follow_by(conn, family_of(bare), fd)) {
		ctx->stack->counter[FS_CTR_moved_to_kernel]++;
		become_kernels(ctx, bare, fd, FS_REASON_peer_moved, false);
		return;
	}
	if (fd >= 0)
		sys_close(fd);
	local_lend(ctx, conn);
	local_break(conn, ECONNRESET);
	settled(ctx, conn);
	local_told(ctx, conn->link);
}

static void settle(struct context *ctx, struct bare *bare)
{
	struct local_conn *conn = bare->local;
	bool full = conn->state == LOCAL_OVER && conn->error == ENOBUFS && conn->link->ended == LOCAL_LINK_UP &&
		    ctx->now - conn->own.begun < STREAM_LOCAL_LONG_NS;

	if (conn->own.moving)
		return;
	if ((conn->flags & LOCAL_PEER_MOVED) && conn->state == LOCAL_ESTABLISHED)
		follow(ctx, bare);
	else if (conn->state == LOCAL_ESTABLISHED || (conn->flags & LOCAL_PEER_MOVED) || local_was_accepted(conn))
		settled(ctx, conn);
	else if (full && ctx->now >= due_at(conn))
		try_again(ctx, bare);
	else if (!full && (conn->state == LOCAL_OVER || ctx->now >= due_at(conn)))
		leave_to_kernel(ctx, bare);
}

void bare_link_settle(struct context *ctx)
{
	struct list *e, *following;

	if (ctx->slot >= STATS_MAX_PROCS || __builtin_expect(list_is_empty(connecting_of(ctx)), 1))
		return;
	LIST_FOR_EACH_SAFE(e, following, connecting_of(ctx))
		settle(ctx, bare_of(FS_CONTAINER_OF(e, struct local_conn, queued)->user));
}

fs_ns bare_link_next(const struct context *ctx)
{
	fs_ns next = FS_NEVER;
	struct list *e;

	if (ctx->slot >= STATS_MAX_PROCS)
		return next;
	LIST_FOR_EACH(e, connecting_of(ctx))
		next = FS_MIN(next, due_at(FS_CONTAINER_OF(e, struct local_conn, queued)));
	return next;
}

/* It came to nothing: @bare may connect anew, with the options it had. */
static int failed(struct context *ctx, struct bare *bare)
{
	int error = local_take_error(bare->local);
	const void *before = bare->local->user;
	struct tcp_options options;

	bare_link_get_options(ctx, bare, &options);
	bare_link_end(ctx, bare->local, true);
	bare->conn = NULL;
	bare->by_link = bare->refused = false;
	if (bare_open_locked(ctx, bare) == 0) {
		bare_carry_asleep(before, &bare->conn->user);
		tcp_set_options(bare->conn, &ctx->env, &options, ctx->now);
	}
	return error ? -error : -ECONNABORTED;
}

int bare_link_outcome(struct context *ctx, struct bare *bare)
{
	if (bare_link_waits(bare->local))
		return -EINPROGRESS;
	bare->connecting = bare->wants_out = false;
	return bare->refused ? failed(ctx, bare) : 0;
}

/* --- bytes --- */

/* A call took or gave @n bytes, or failed: whose program moves bytes needs no word of connect any more, unless that is
 * how it failed. */
static void note_used(struct bare *bare, ssize_t n)
{
	bare->connecting = bare->connecting && (n < 0 || bare->refused);
}

/* Before try @turn: what came meanwhile is taken. 0; -EAGAIN: it is still on its way; CONTEXT_KERNEL: it moved. */
static int before_try(struct context *ctx, const struct bare *bare, int turn)
{
	if (turn > 0)
		context_poll(ctx);
	if (bare->moved)
		return CONTEXT_KERNEL;
	return bare_link_waits(bare->local) ? -EAGAIN : 0;
}

ssize_t bare_link_send(struct context *ctx, struct bare *bare, const struct iovec *iov)
{
	bool wanted = bare->wants_out;
	ssize_t n = -EAGAIN;

	local_heed(ctx, bare->local->link);
	for (int turn = 0; turn < 2 && n == -EAGAIN; turn++) {
		n = before_try(ctx, bare, turn);
		if (n == CONTEXT_KERNEL)
			return n;
		if (n == 0)
			n = local_send(bare->local, iov, 1, 0);
	}
	note_used(bare, n);
	bare->wants_out = bare->connecting || n == -EAGAIN || (n >= 0 && (size_t)n < iov->iov_len);
	if (bare->wants_out)
		bare_look_again(bare);
	if (bare->wants_out && !wanted && bare->set)
		ctx->to_ring |= bare->set->sleepers.slots; /* who sleeps has asked the other side for less */
	local_told(ctx, bare->local->link);
	return n;
}

_Static_assert((int)TCP_RECV_PEEK == (int)LOCAL_RECV_PEEK, "one set of flags for both");

ssize_t bare_link_receive(struct context *ctx, struct bare *bare, const struct iovec *iov, uint32_t flags)
{
	ssize_t n = -EAGAIN;

	local_lend(ctx, bare->local);
	for (int turn = 0; turn < 2 && n == -EAGAIN; turn++) {
		n = before_try(ctx, bare, turn);
		if (n == CONTEXT_KERNEL)
			return n;
		if (n == 0)
			n = local_recv(bare->local, iov, 1, flags, 0);
	}
	note_used(bare, n);
	local_told(ctx, bare->local->link);
	return n;
}

/* --- the rest --- */

int bare_link_shutdown(struct context *ctx, struct bare *bare, uint32_t how)
{
	struct local_conn *conn = bare->local;
	int ret;

	if (bare_link_waits(conn))
		return -ENOTCONN;
	local_lend(ctx, conn);
	ret = local_shutdown(conn, (how & TCP_SHUT_RD ? LOCAL_SHUT_READING : 0) |
					   (how & TCP_SHUT_WR ? LOCAL_SHUT_WRITING : 0));
	ctx->to_ring |= bare_link_event(conn, ctx->slot, ctx->stack->local->bare_news);
	local_told(ctx, conn->link);
	return ret;
}

int bare_link_name(const struct bare *bare, bool v6, bool peer, void *name, socklen_t *len)
{
	const struct local_conn *conn = bare->local;

	/* On its way it may have another port in the end, which the kernel chooses. */
	if (bare_link_waits(conn) || bare->refused)
		return -ENOTCONN;
	if (peer)
		stream_put_name(v6, &conn->remote, conn->remote_port, name, len);
	else
		stream_put_name(v6, &conn->local, conn->local_port, name, len);
	return 0;
}

int bare_link_ask(struct bare *bare, enum bare_ask what, void *value, size_t *len)
{
	struct local_conn *conn = bare->local;
	struct tcp_info_layout info;
	int n;

	if (what == BARE_INFO) {
		stream_local_info(conn, &info);
		*len = FS_MIN(*len, sizeof(info));
		memcpy(value, &info, *len);
		return 0;
	}
	if (*len < sizeof(n))
		return -EINVAL;
	if (what == BARE_ERROR)
		n = bare_link_waits(conn) ? 0 : local_take_error(conn);
	else
		n = (int)(what == BARE_INQ ? local_inq(conn) : local_outq(conn));
	memcpy(value, &n, sizeof(n));
	*len = sizeof(n);
	return 0;
}

int bare_link_move(struct context *ctx, struct bare *bare, int reason)
{
	struct local_conn *conn = bare->local;
	int fd;

	if (conn->state != LOCAL_ESTABLISHED)
		return -ENOTCONN;
	if (conn->flags & LOCAL_PEER_MOVED) {
		follow(ctx, bare);
		return bare->moved ? 0 : -ENOTCONN;
	}
	conn->own.moving = true;
	fd = stream_local_make_other(ctx, conn, family_of(bare));
	conn->own.moving = false;
	if (fd < 0 && (conn->flags & LOCAL_PEER_MOVED) && conn->link->side == 1) { /* both at once: one follows */
		follow(ctx, bare);
		return bare->moved ? 0 : -ENOTCONN;
	}
	if (fd < 0)
		return fd;
	put_options(bare, fd);
	ctx->stack->counter[FS_CTR_moved_to_kernel]++;
	become_kernels(ctx, bare, fd, reason, false);
	return 0;
}

/* --- processes --- */

static void bury(struct context *ctx, struct local_link *link, unsigned slot)
{
	for (uint32_t i = 0; i < LOCAL_SIDES * link->slots; i++) {
		struct local_conn *conn = &link->conn[i];

		if (conn->state != LOCAL_FREE && bare_is(conn->user) && bare_slot(conn->user) == slot)
			bare_link_end(ctx, conn, false);
	}
}

void bare_link_bury(struct context *ctx, unsigned slot)
{
	const struct stack_local *l = ctx->stack->local;

	for (unsigned i = 0; l && i < l->n && l->n_bare[slot]; i++)
		if (l->link[i].serial)
			bury(ctx, l->link[i].link, slot);
}
