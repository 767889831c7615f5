/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bare.c - see bare.h. Calls drive the stack as those of stream.c do.
 *
 * What a connection over a link does instead is bare_link.c's.
 */
#include "context/bare_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/reason.h"
#include "context/handover.h"
#include "context/helper.h"
#include "context/lease.h"
#include "context/stay.h"
#include "socket/epoll.h"
#include "sys/sys.h"

/* --- entering and waiting --- */

static bool is_on_the_way(const struct tcp_conn *conn)
{
	return conn->state == TCP_SYN_SENT || conn->state == TCP_SYN_RECEIVED;
}

/* May this process call on @bare? The lock is held. */
static int check(struct context *ctx, const struct bare *bare)
{
	if (bare->moved)
		return CONTEXT_KERNEL;
	return context_joined(ctx) && bare_is_own(bare, ctx->slot) ? 0 : -EBADF;
}

/* Take the lock for a call on @bare. 0; without it -errno, or CONTEXT_KERNEL: it moved. */
static int enter(struct context *ctx, const struct bare *bare)
{
	int ret;

	if (!context_lock(ctx))
		return -ECONNABORTED;
	ret = check(ctx, bare);
	if (ret < 0)
		context_unlock(ctx);
	else if (__builtin_expect(ctx->ports_seen != ctx->stack->ports_serial, 0))
		context_ports_compare(ctx);
	return ret;
}

/* The same for one that is open. */
static int enter_open(struct context *ctx, const struct bare *bare)
{
	int ret = enter(ctx, bare);

	if (ret == 0 && !bare->conn) {
		context_unlock(ctx);
		ret = -ENOTCONN;
	}
	return ret;
}

/* Drive the stack, which may move @bare to the kernel: CONTEXT_KERNEL. */
static int drive(struct context *ctx, const struct bare *bare)
{
	context_poll(ctx);
	return bare->moved ? CONTEXT_KERNEL : 0;
}

/* Take the lock for a call on one that is open, and drive. 0; without the lock as enter_open() and drive(). */
static int enter_driven(struct context *ctx, const struct bare *bare)
{
	int ret = enter_open(ctx, bare);

	if (ret < 0)
		return ret;
	ret = drive(ctx, bare);
	if (ret < 0)
		context_leave(ctx);
	return ret;
}

static int begin_wait(struct context *ctx, struct bare *bare, struct blocker *b, fs_ns wait)
{
	int ret = enter_open(ctx, bare);
	struct stay *stay;

	if (ret < 0)
		return ret;
	stay = stay_begin(ctx, 1);
	if (stay) {
		blocker_init(b, ctx, wait, true, NULL);
		stay_on_bare(stay, bare);
		b->stay = stay;
	}
	context_leave(ctx);
	return stay ? 0 : -ENOMEM;
}

/* Wait a little; @b is zero before the first time. 0: look again, or why not. */
static int pause_for(struct context *ctx, struct bare *bare, struct blocker *b, fs_ns wait)
{
	struct pollfd fds[BLOCKER_SPARE];
	int ret;

	if (wait == 0)
		return -EAGAIN;
	ret = b->ctx ? 0 : begin_wait(ctx, bare, b, wait);
	if (ret < 0)
		return ret; /* it may have moved since the caller looked */
	ret = blocker_pause(b, fds, 0);
	return ret == CONTEXT_KERNEL ? -ECONNABORTED : ret;
}

/* --- beginning --- */

int bare_open_locked(struct context *ctx, struct bare *bare)
{
	struct tcp_conn *conn;
	int ret = segments_open(ctx);

	if (ret < 0)
		return ret;
	segments_expect(ctx, NULL, 0);
	conn = tcp_open(&ctx->stack->tcp, NULL);
	if (!conn)
		return -ENOMEM;
	bare_bind(bare, conn, ctx->slot);
	bare_record_open(ctx, bare);
	bare_join(bare, bare->set, &ctx->stack->bare_news[ctx->slot]);
	return 0;
}

int bare_open(struct context *ctx, struct bare *bare)
{
	int ret = enter(ctx, bare);

	if (ret < 0)
		return ret;
	stream_now(ctx);
	ret = bare->conn ? 0 : bare_open_locked(ctx, bare);
	context_leave(ctx);
	return ret;
}

void bare_drop(struct context *ctx, struct bare *bare)
{
	struct tcp_conn *old = bare->conn;

	bare_record_close(ctx, old);
	list_remove(&old->queue);
	old->user = NULL;
	tcp_abort(old, &ctx->env, ctx->now);
	bare->conn = NULL;
}

/* A fresh connection with the options of the one before, which comes to nothing. */
static int renew(struct context *ctx, struct bare *bare)
{
	struct tcp_options options = *tcp_get_options(bare->conn);
	const void *before = bare->conn->user;
	int ret;

	bare_drop(ctx, bare);
	bare->connecting = bare->wants_out = false;
	ret = bare_open_locked(ctx, bare);
	if (ret < 0)
		return ret;
	bare_carry_asleep(before, &bare->conn->user);
	tcp_set_options(bare->conn, &ctx->env, &options, ctx->now);
	return 0;
}

/* Whom to call: may the fast path? */
static bool read_peer(const struct context *ctx, const struct bare_from *from, const struct sockaddr *peer, socklen_t len,
		      struct ip_addr *remote, uint16_t *port, int *reason)
{
	*reason = FS_REASON_loopback;
	if (!stream_get_name(from->v6, false, peer, len, remote, port)) {
		if (ip_addr_is_link_local(&from->local))
			*reason = FS_REASON_scoped;
		return false;
	}
	*reason = FS_REASON_bypass;
	return !config_bypass_has(ctx->config.bypass, IPPROTO_TCP, *port);
}

static int begin(struct context *ctx, struct bare *bare, const struct bare_from *from, const struct ip_addr *local,
		 const struct ip_addr *remote, uint16_t remote_port, int *reason)
{
	int port = from->port ? from->port : context_lease(ctx, local, remote, remote_port), ret;

	*reason = FS_REASON_descriptors;
	if (port < 0)
		return port == -EADDRNOTAVAIL ? port : CONTEXT_KERNEL;
	ret = tcp_connect(bare->conn, &ctx->env, local, (uint16_t)port, remote, remote_port, ctx->now);
	if (ret == 0 && from->port)
		ret = stream_steer_flow(ctx, &bare->conn->end);
	if (ret == 0) {
		bare->connecting = bare->wants_out = true;
		bare_record_publish(ctx, bare->conn);
		return -EINPROGRESS;
	}
	*reason = FS_REASON_memory;
	return renew(ctx, bare) < 0 || ret != -EADDRNOTAVAIL ? CONTEXT_KERNEL : ret;
}

static int connect_first(struct context *ctx, struct bare *bare, const struct bare_from *from, const struct sockaddr *peer,
			 socklen_t len, int *reason)
{
	struct ip_addr remote, local;
	struct ip_dst *d;
	uint16_t port;
	int ret;

	ctx->why[0] = '\0';
	ctx->local.no_memory = false;
	ctx->n_connects++;
	if (!read_peer(ctx, from, peer, len, &remote, &port, reason))
		return CONTEXT_KERNEL;
	ret = bare_link_connect(ctx, bare, from, &remote, port);
	if (ret != CONTEXT_KERNEL)
		return ret;
	*reason = FS_REASON_memory;
	if (!bare->conn && bare_open_locked(ctx, bare) < 0)
		return CONTEXT_KERNEL;
	d = stream_way(ctx, &from->local, from->port != 0, tcp_get_options(bare->conn)->choice, &remote, reason);
	if (!d) {
		*reason = ctx->local.no_memory ? FS_REASON_memory : *reason;
		return CONTEXT_KERNEL;
	}
	local = d->local;
	context_neigh_want(ctx, d);
	return begin(ctx, bare, from, &local, &remote, port, reason);
}

/* What has become of it: 0, -EINPROGRESS, or how it failed. */
static int outcome(struct context *ctx, struct bare *bare)
{
	int error;

	if (bare->by_link)
		return bare_link_outcome(ctx, bare);
	if (is_on_the_way(bare->conn))
		return -EINPROGRESS;
	bare->connecting = bare->wants_out = false;
	if (bare->conn->state != TCP_CLOSED || tcp_has(bare->conn, TCP_CONN_CONNECTED))
		return 0;
	error = tcp_take_error(bare->conn);
	renew(ctx, bare);
	return error ? -error : -ECONNABORTED;
}

/* One look at a connection on its way. */
static int look_connected(struct context *ctx, struct bare *bare)
{
	int ret = enter_driven(ctx, bare);

	if (ret < 0)
		return ret;
	ret = outcome(ctx, bare);
	/* The peer has accepted by the time connect returns, as in stream_connect(). */
	if (ret == 0 && segments_held(ctx))
		segments_release(ctx, FS_NEVER);
	segments_send(ctx);
	context_leave(ctx);
	return ret;
}

static int wait_connected(struct context *ctx, struct bare *bare, fs_ns wait)
{
	BLOCKER(b);
	int ret;

	do {
		ret = pause_for(ctx, bare, &b, wait);
		if (ret < 0)
			return ret == -EAGAIN || ret == -ETIMEDOUT ? -EINPROGRESS : ret;
		ret = look_connected(ctx, bare);
	} while (ret == -EINPROGRESS);
	return ret;
}

int bare_connect(struct context *ctx, struct bare *bare, const struct bare_from *from, const struct sockaddr *peer,
		 socklen_t len, fs_ns wait, int *reason)
{
	int ret = enter(ctx, bare);

	if (ret < 0)
		return ret;
	ret = drive(ctx, bare);
	if (ret < 0) {
		context_leave(ctx);
		return ret;
	}
	if (bare->connecting) {
		ret = outcome(ctx, bare);
		if (ret == -EINPROGRESS && wait == 0)
			ret = -EALREADY;
	} else if (bare->conn && (bare->by_link || tcp_has(bare->conn, TCP_CONN_CONNECTED))) {
		ret = -EISCONN;
	} else {
		ret = connect_first(ctx, bare, from, peer, len, reason);
	}
	segments_send(ctx);
	context_leave(ctx);
	if (ret != -EINPROGRESS)
		return ret;
	helper_want(ctx);
	return wait_connected(ctx, bare, wait);
}

/* --- bytes --- */

/* A call took or gave @n bytes, or failed: whose program moves bytes needs no word of connect any more. */
static inline void note_used(struct bare *bare, ssize_t n)
{
	if (__builtin_expect(bare->connecting, 0) && n >= 0)
		bare->connecting = is_on_the_way(bare->conn);
}

static ssize_t send_once(struct context *ctx, struct bare *bare, const struct iovec *iov, uint32_t flags)
{
	ssize_t n = enter_open(ctx, bare);

	if (n < 0)
		return n;
	if (bare->by_link) {
		n = bare_link_send(ctx, bare, iov);
		context_leave(ctx);
		return n;
	}
	/* What is out may be acknowledged by now, and what is not may be due. */
	if (bare->conn->first)
		n = drive(ctx, bare);
	else
		stream_now(ctx);
	if (__builtin_expect(n == 0, 1)) {
		context_segments_reserve(ctx, iov->iov_len);
		n = tcp_send(bare->conn, &ctx->env, iov, 1, flags, ctx->now);
		note_used(bare, n);
		bare->wants_out = bare->connecting || n == -EAGAIN || (n >= 0 && (size_t)n < iov->iov_len);
	}
	segments_flush(ctx);
	context_leave(ctx);
	return n;
}

ssize_t bare_send(struct context *ctx, struct bare *bare, const void *buf, size_t len, uint32_t flags, fs_ns wait)
{
	size_t done = 0;
	BLOCKER(b);
	ssize_t n;

	do {
		struct iovec iov = { .iov_base = (uint8_t *)buf + done, .iov_len = len - done };

		n = send_once(ctx, bare, &iov, flags);
		if (n > 0)
			done += (size_t)n;
		if (n == -EAGAIN)
			n = pause_for(ctx, bare, &b, wait);
	} while (n >= 0 && done < len);
	return done ? (ssize_t)done : n;
}

/* Drive, unless bytes are there already. As drive(). */
static int look(struct context *ctx, const struct bare *bare)
{
	if (tcp_inq(bare->conn) == 0)
		return drive(ctx, bare);
	stream_now(ctx);
	return 0;
}

static ssize_t receive_once(struct context *ctx, struct bare *bare, const struct iovec *iov, uint32_t flags)
{
	ssize_t n = enter_open(ctx, bare);

	if (n < 0)
		return n;
	if (bare->by_link) {
		n = bare_link_receive(ctx, bare, iov, flags);
		context_leave(ctx);
		return n;
	}
	n = look(ctx, bare);
	if (__builtin_expect(n == 0, 1)) {
		n = tcp_recv(bare->conn, &ctx->env, iov, 1, flags, 0, ctx->now);
		note_used(bare, n);
	}
	segments_flush(ctx);
	context_leave(ctx);
	return n;
}

ssize_t bare_receive(struct context *ctx, struct bare *bare, void *buf, size_t len, uint32_t flags, fs_ns wait)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	ssize_t n;
	BLOCKER(b);

	if (len == 0)
		return 0;
	do
		n = receive_once(ctx, bare, &iov, flags);
	while (n == -EAGAIN && (n = pause_for(ctx, bare, &b, wait)) == 0);
	return n;
}

/* --- in place --- */

static void append_held(struct bare *bare, struct fbuf *piece)
{
	piece->link = NULL;
	if (bare->held_last)
		bare->held_last->link = piece;
	else
		bare->held = piece;
	bare->held_last = piece;
	bare->n_held++;
}

/* No bytes: the end, an error, or nothing yet. */
static int nothing(struct context *ctx, struct bare *bare)
{
	uint8_t byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };

	return (int)tcp_recv(bare->conn, &ctx->env, &iov, 1, TCP_RECV_PEEK, 0, ctx->now);
}

static int lend_once(struct context *ctx, struct bare *bare, unsigned n, unsigned parts, uint32_t most, bare_give_fn *give,
		     void *to)
{
	int ret = enter_open(ctx, bare);
	unsigned done = 0;

	if (ret < 0)
		return ret;
	if (bare->by_link) { /* it lends nothing: who calls has a look at that first */
		context_leave(ctx);
		return -EINVAL;
	}
	ret = look(ctx, bare);
	while (ret == 0 && done < n && bare->n_held < most) {
		struct fbuf *piece = tcp_hold_some(bare->conn, parts);

		if (!piece)
			break;
		append_held(bare, piece);
		give(to, done++, piece);
	}
	if (ret < 0 || done)
		ret = done ? (int)done : ret;
	else if (tcp_inq(bare->conn) > 0)
		ret = bare->n_held >= most ? -ENOBUFS : -ENOMEM;
	else
		ret = nothing(ctx, bare);
	segments_flush(ctx);
	context_leave(ctx);
	return ret;
}

int bare_lend(struct context *ctx, struct bare *bare, unsigned n, unsigned parts, uint32_t most, fs_ns wait,
	      bare_give_fn *give, void *to)
{
	BLOCKER(b);
	int ret;

	do
		ret = lend_once(ctx, bare, n, parts, most, give, to);
	while (ret == -EAGAIN && (ret = pause_for(ctx, bare, &b, wait)) == 0);
	return ret;
}

/* Who releases in the order received finds it first. */
static bool unlink_held(struct bare *bare, const struct fbuf *piece)
{
	struct fbuf **at = &bare->held, *before = NULL;

	while (*at && *at != piece) {
		before = *at;
		at = &before->link;
	}
	if (!*at)
		return false;
	*at = piece->link;
	if (bare->held_last == piece)
		bare->held_last = before;
	bare->n_held--;
	return true;
}

int bare_release(struct context *ctx, struct bare *bare, struct fbuf *const *piece, unsigned n)
{
	int ret = enter_open(ctx, bare);

	if (ret < 0)
		return ret == -ECONNABORTED ? 0 : -EINVAL; /* a broken stack's memory serves nobody any more */
	stream_now(ctx);
	for (unsigned i = 0; i < n; i++) {
		if (!bare->by_link && unlink_held(bare, piece[i]))
			tcp_release(bare->conn, &ctx->env, piece[i], ctx->now);
		else
			ret = -EINVAL;
	}
	segments_flush(ctx);
	context_leave(ctx);
	return ret;
}

/* --- the rest --- */

int bare_shutdown(struct context *ctx, struct bare *bare, uint32_t how)
{
	int ret = enter_open(ctx, bare);

	if (ret < 0)
		return ret;
	stream_now(ctx);
	ret = bare->by_link ? bare_link_shutdown(ctx, bare, how) : tcp_shutdown(bare->conn, &ctx->env, how, ctx->now);
	segments_send(ctx);
	context_leave(ctx);
	return ret;
}

static int put_name(const struct tcp_conn *conn, bool v6, bool peer, void *name, socklen_t *len)
{
	const struct tcp_end *end = &conn->end;

	if (end->local_port == 0 || (peer && !tcp_has(conn, TCP_CONN_CONNECTED)))
		return -ENOTCONN;
	stream_put_name(v6, peer ? &end->remote : &end->local, peer ? end->remote_port : end->local_port, name, len);
	return 0;
}

int bare_name(struct context *ctx, struct bare *bare, bool v6, bool peer, void *name, socklen_t *len)
{
	int ret = enter_open(ctx, bare);

	if (ret < 0)
		return ret;
	ret = bare->by_link ? bare_link_name(bare, v6, peer, name, len) : put_name(bare->conn, v6, peer, name, len);
	context_leave(ctx);
	return ret;
}

int bare_get_options(struct context *ctx, struct bare *bare, struct tcp_options *options)
{
	int ret = enter_open(ctx, bare);

	if (ret < 0)
		return ret;
	if (bare->by_link)
		bare_link_get_options(ctx, bare, options);
	else
		*options = *tcp_get_options(bare->conn);
	context_leave(ctx);
	return 0;
}

int bare_set_options(struct context *ctx, struct bare *bare, const struct tcp_options *options)
{
	int ret = enter_open(ctx, bare);

	if (ret < 0)
		return ret;
	stream_now(ctx);
	if (bare->by_link)
		bare_link_set_options(bare, options);
	else
		ret = tcp_set_options(bare->conn, &ctx->env, options, ctx->now);
	segments_send(ctx);
	context_leave(ctx);
	return ret;
}

int bare_pause(struct context *ctx, struct bare *bare, bool paused)
{
	int ret = enter(ctx, bare);

	if (ret < 0)
		return ret;
	bare->paused = paused;
	if (!paused && bare->set) {
		bare_join(bare, bare->set, &ctx->stack->bare_news[ctx->slot]);
		ctx->to_ring |= bare->set->sleepers.slots;
	}
	context_leave(ctx);
	return 0;
}

int bare_ask(struct context *ctx, struct bare *bare, enum bare_ask what, void *value, size_t *len)
{
	int ret = enter_driven(ctx, bare), n = 0;

	if (ret < 0)
		return ret;
	if (bare->by_link)
		ret = bare_link_ask(bare, what, value, len);
	else if (what == BARE_INFO)
		*len = tcp_info(bare->conn, value, *len, ctx->now);
	else if (*len < sizeof(n))
		ret = -EINVAL;
	else if (what == BARE_ERROR)
		n = tcp_take_any_error(bare->conn);
	else
		n = (int)(what == BARE_INQ ? tcp_inq(bare->conn) : tcp_outq(bare->conn));
	if (what != BARE_INFO && ret == 0 && !bare->by_link) {
		memcpy(value, &n, sizeof(n));
		*len = sizeof(n);
	}
	context_leave(ctx);
	return ret;
}

/* --- ending --- */

/* The lock is held. @conn is the engine's alone from now on, or nobody's. */
static void let_go(struct context *ctx, struct tcp_conn *conn, bool abort)
{
	bare_record_close(ctx, conn);
	list_remove(&conn->queue);
	conn->user = NULL;
	if (abort)
		tcp_abort(conn, &ctx->env, ctx->now);
	else
		tcp_close(conn, &ctx->env, ctx->now);
}

static void end_own(struct context *ctx, struct bare *bare, bool abort)
{
	struct fbuf *piece;

	while (!bare->by_link && (piece = bare->held) != NULL) {
		unlink_held(bare, piece);
		tcp_release(bare->conn, &ctx->env, piece, ctx->now);
	}
	if (bare->by_link)
		bare_link_end(ctx, bare->local, abort);
	else
		let_go(ctx, bare->conn, abort);
	*bare = (struct bare){ 0 };
}

static void end(struct context *ctx, struct bare *bare, bool abort)
{
	int ret = enter_open(ctx, bare);

	if (ret < 0) {
		if (ret != CONTEXT_KERNEL)
			*bare = (struct bare){ 0 };
		return;
	}
	stay_look(ctx);
	stream_now(ctx);
	end_own(ctx, bare, abort);
	segments_send(ctx);
	context_leave(ctx);
}

void bare_close(struct context *ctx, struct bare *bare)
{
	end(ctx, bare, false);
}

void bare_abort(struct context *ctx, struct bare *bare)
{
	end(ctx, bare, true);
}

static void bury_one(struct context *ctx, struct tcp_conn *conn, unsigned slot)
{
	if (!bare_is(conn->user) || bare_slot(conn->user) != slot)
		return;
	if (slot == ctx->slot)
		end_own(ctx, bare_of(conn->user), false);
	else
		let_go(ctx, conn, false);
}

/* Those in a list of connections with news: ended ones are nowhere else. */
static void bury_listed(struct context *ctx, struct list *news, unsigned slot)
{
	struct list *e, *following;

	LIST_FOR_EACH_SAFE(e, following, news)
		bury_one(ctx, FS_CONTAINER_OF(e, struct tcp_conn, queue), slot);
}

void bare_bury(struct context *ctx, unsigned slot)
{
	struct table_cursor cursor = { 0 };
	struct table_node *node;
	struct list *e;

	stream_now(ctx);
	bare_link_bury(ctx, slot);
	if (!ctx->stack->tcp.ip)
		return;
	while ((node = table_next(&ctx->stack->tcp.ends, &cursor)) != NULL) {
		struct tcp_end *end = FS_CONTAINER_OF(node, struct tcp_end, node);

		if (end->kind == TCP_END_CONN)
			bury_one(ctx, FS_CONTAINER_OF(end, struct tcp_conn, end), slot);
	}
	LIST_FOR_EACH(e, &ctx->stack->all_sets)
		bury_listed(ctx, &FS_CONTAINER_OF(e, struct epoll_set, all)->bare, slot);
	bury_listed(ctx, &ctx->stack->bare_news[slot], slot);
	segments_send(ctx);
}

/* --- what the kernel carries --- */

/* <netinet/tcp.h> meets names of the engine's; the numbers are the kernel's ABI. */
enum { TCP_NODELAY = 1, TCP_KEEPIDLE = 4, TCP_USER_TIMEOUT = 18 };

static void set(int fd, int level, int name, int value)
{
	sys_setsockopt(fd, level, name, &value, sizeof(value));
}

void bare_put_options(int fd, const struct tcp_options *options)
{
	struct linger linger = { .l_onoff = options->linger_s >= 0, .l_linger = options->linger_s };

	set(fd, IPPROTO_TCP, TCP_NODELAY, options->nodelay);
	if (options->keepalive)
		set(fd, IPPROTO_TCP, TCP_KEEPIDLE, options->keep_idle_s);
	set(fd, SOL_SOCKET, SO_KEEPALIVE, options->keepalive);
	if (linger.l_onoff)
		sys_setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)options->user_timeout_ms);
}

/* The lock is held. It goes on as @fd, its bytes with it. */
static int move_to(struct context *ctx, struct bare *bare, int fd, int reason)
{
	uint32_t sleepers = bare_sleepers(bare->conn->user);
	int ret;

	bare_put_options(fd, tcp_get_options(bare->conn));
	ret = handover_conn(ctx, bare->conn, fd);
	if (ret < 0)
		return ret;
	bare_record_close(ctx, bare->conn);
	bare->conn = NULL;
	bare->fd = fd;
	fs_store_release(&bare->moved, (uint8_t)reason);
	ctx->to_ring |= sleepers; /* they wait for the kernel from now on */
	return 0;
}

static int move(struct context *ctx, struct bare *bare, int fd, int reason)
{
	int ret, own = -1;

	if (bare->by_link)
		return bare_link_move(ctx, bare, reason);
	if (!tcp_has(bare->conn, TCP_CONN_CONNECTED) || bare->conn->state == TCP_CLOSED)
		return -ENOTCONN;
	if (bare->n_held)
		return -EBUSY;
	if (fd < 0)
		fd = own = (int)sys_socket(bare->v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	ret = move_to(ctx, bare, fd, reason);
	if (ret < 0 && own >= 0)
		sys_close(own);
	return ret;
}

int bare_handover(struct context *ctx, struct bare *bare, int fd)
{
	int ret = enter_driven(ctx, bare); /* what has arrived need not be sent again */

	if (ret < 0)
		return ret;
	ret = move(ctx, bare, fd, FS_REASON_moved);
	segments_send(ctx);
	context_leave(ctx);
	return ret;
}

int bare_follow(struct context *ctx, struct bare *bare, int reason)
{
	/* Whose program has yet to hear of connect's end hears it from the engine. */
	struct epoll_set *set = bare->set;
	int ret = bare->connecting ? -ENOTCONN : move(ctx, bare, -1, reason);

	if (ret == 0 && set) { /* nobody called on it: its group is to hear of it */
		set->moved = true;
		ctx->to_ring |= set->sleepers.slots;
	}
	return ret;
}

/* Is @local an address of the port's interface? */
static bool is_on_port(struct context *ctx, const struct ip_addr *local, unsigned port)
{
	return context_interface_of(ctx, local) == ctx->stack->ip.port[port].ifindex;
}

void bare_leave(struct context *ctx, unsigned port, int reason)
{
	struct table_cursor cursor = { 0 };
	struct ip_addr local = { 0 };
	struct table_node *node;
	bool here = false;
	int ret = 0;

	/* What one lacks, a privilege or numbers, the others lack, too. */
	while (ret != -EPERM && ret != -EMFILE && (node = table_next(&ctx->stack->tcp.ends, &cursor)) != NULL) {
		struct tcp_end *end = FS_CONTAINER_OF(node, struct tcp_end, node);
		struct tcp_conn *conn = FS_CONTAINER_OF(end, struct tcp_conn, end);

		if (end->kind != TCP_END_CONN || !bare_is(conn->user) || bare_slot(conn->user) != ctx->slot)
			continue;
		if (!ip_addr_equal(&end->local, &local)) {
			local = end->local;
			here = is_on_port(ctx, &local, port);
		}
		if (here)
			ret = bare_follow(ctx, bare_of(conn->user), reason);
	}
}

void bare_declined(struct context *ctx, int fd, int reason)
{
	struct sock *s = stream_enter(ctx, fd);

	if (!s)
		return;
	s->way = SOCK_KERNEL;
	record_reason(s->record, reason, ctx->why[0] ? ctx->why : NULL);
	sock_publish(s);
	context_leave(ctx);
}
