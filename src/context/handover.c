/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handover.c - see handover.h. What is done to the kernel's socket: host/repair.h, docs/decisions/0023.
 *
 * Behind a port entry a segment goes to the kernel if the kernel has a socket for it. That is too early while the socket
 * is made: a segment that the peer sends again would be taken where the receive queue is filled to just then, and what is
 * filled in behind it would stand at numbers that it does not have. A flow entry keeps all of them with us so long.
 */
#include "context/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "base/reason.h"
#include "context/bare.h"
#include "context/internal_fds.h"
#include "context/lease.h"
#include "context/passed.h"
#include "context/sister.h"
#include "context/stream_internal.h"
#include "host/repair.h"
#include "host/signals.h"
#include "sys/sys.h"
#include "tcp/snapshot.h"

#define SETTLED_NS FS_MS(10) /* after a move, until all that is on its way has come as far as the ports */
#define DRIVE_NS FS_MS(1) /* between looks at what an exiting process waits for */
#define BIRTH_NS FS_MS(500) /* for a child to run */
#define QUEUE_NS FS_MS(100) /* with the lock, for what waits at a listener that is given away */

static uint32_t read_queue(void *conn, enum tcp_queue which, uint32_t offset, void *to, uint32_t len)
{
	return tcp_export_queue(conn, which, offset, to, len);
}

/*
 * Frames may have been on their way to the ports when the kernel got the connection: the engine's half, which is frozen,
 * swallows them. Without it they would be answered by a reset.
 */
void handover_settle(struct context *ctx)
{
	struct list *e;

	if (ctx->now - ctx->stack->moved_at < SETTLED_NS)
		return;
	context_drain(ctx); /* nobody may have looked at the ports since */
	while ((e = list_pop_front(&ctx->stack->moved)) != NULL)
		tcp_discard(FS_CONTAINER_OF(e, struct tcp_conn, queue), &ctx->env);
}

/* The kernel has @conn, which nobody finds in a list any more. */
static void moved(struct context *ctx, struct tcp_conn *conn)
{
	conn->user = NULL;
	list_remove(&conn->queue); /* a bare one may have news */
	list_push_back(&ctx->stack->moved, &conn->queue);
	ctx->stack->moved_at = ctx->now;
	ctx->stack->counter[FS_CTR_moved_to_kernel]++;
}

/* The kernel's socket is complete; or it @failed, and the entry may be one that the connection had before: unless it stands on a
 * leased port, its end takes that out (stream_released()). */
static void let_pass(struct context *ctx, const struct tcp_conn *conn, int failed)
{
	if (failed && !context_lease_covers(ctx, conn->end.local_port))
		return;
	stream_unsteer_flow(ctx, &conn->end);
	ctx->stack->flows--;
}

/* The kernel gets @conn as the socket @fd. On failure @why names the step, and the engine goes on with it. */
static int move(struct context *ctx, struct tcp_conn *conn, int fd, const char **why)
{
	struct tcp_snapshot snap;
	struct host_repair repair = {
		.snap = &snap,
		.read = read_queue,
		.context = conn,
		.congestion = tcp_cc_at(conn->options.congestion)->name,
	};
	uint16_t port = conn->end.local_port;
	int ret, reuse = 0;
	socklen_t len = sizeof(reuse);

	*why = "its state does not move";
	sys_getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, &len);
	repair.reuseaddr = reuse != 0;
	segments_flush(ctx); /* what waits to leave counts as sent already */
	ret = conn->state == TCP_CLOSED ? tcp_export_ended(conn, &snap, ctx->now) : tcp_export(conn, &snap, ctx->now);
	if (ret < 0)
		return ret;
	*why = "no room for a flow entry";
	ret = stream_steer_flow(ctx, &conn->end);
	if (ret == 0) {
		ret = host_repair_build(fd, &repair, why);
		let_pass(ctx, conn, ret);
	}
	if (ret < 0) {
		tcp_thaw(conn, &ctx->env, ctx->now);
		segments_send(ctx);
		return ret;
	}
	ret = host_repair_start(fd, &repair, why);
	if (ret < 0) /* what was not sent yet does not fit: the kernel resets it when it is closed */
		host_log(&ctx->log, LOG_WARN, "a connection is lost in its move to the kernel (error %d): %s", -ret, *why);
	context_lease_moved(ctx, port);
	moved(ctx, conn);
	return 0;
}

int handover_conn(struct context *ctx, struct tcp_conn *conn, int fd)
{
	const char *why = "";
	int ret;

	stream_now(ctx);
	ret = move(ctx, conn, fd, &why);
	if (ret < 0)
		host_log(&ctx->log, LOG_WARN, "a connection stays in the engine (error %d): %s", -ret, why);
	return ret;
}

/* @conn, which was accepted for this, goes into the queue of the kernel's listener on its port. */
static int enqueue(struct context *ctx, struct tcp_conn *conn, uint32_t ifindex, const char **why)
{
	struct tcp_snapshot snap;
	struct host_repair repair = { .snap = &snap, .read = read_queue, .context = conn, .ifindex = ifindex };
	int ret;

	*why = "its state does not move";
	ret = tcp_export(conn, &snap, ctx->now);
	if (ret < 0)
		return ret;
	ret = host_repair_enqueue(&repair, ctx->nl_buf, HOST_NL_BUF_GOOD, why);
	if (ret < 0) {
		tcp_thaw(conn, &ctx->env, ctx->now);
		return ret;
	}
	if (ctx->stack->flows)
		stream_unsteer_flow(ctx, &conn->end);
	moved(ctx, conn);
	return 0;
}

/* Is another one of a listener's tried, after @ret of the last one? A queue that is full takes no other either, and nobody
 * gets the lock meanwhile. */
static bool goes_on(int ret, fs_ns end)
{
	return ret != -EAGAIN && ret != -EPERM && host_clock_kernel() < end;
}

/* Bytes of a connection that has none. */
static uint32_t read_nothing(void *context, enum tcp_queue which, uint32_t offset, void *to, uint32_t len)
{
	return 0;
}

void handover_begun(struct context *ctx, struct sock *s)
{
	struct tcp_snapshot snap;
	struct host_repair repair = { .snap = &snap, .read = read_nothing, .ifindex = s->stream.ifindex };
	const char *why = "", *failed = NULL;
	fs_ns end = host_clock_kernel() + QUEUE_NS;
	int ret = 0, error = 0;

	while (goes_on(ret, end) && tcp_export_request(&s->stream.listener, &snap)) {
		ret = host_repair_enqueue(&repair, ctx->nl_buf, HOST_NL_BUF_GOOD, &why);
		if (ret == 0)
			continue;
		failed = why;
		error = ret;
	}
	if (failed)
		host_log(&ctx->log, LOG_WARN, "handshakes are not completed, their listener is given away (error %d): %s",
			 -error, failed);
}

void handover_waiting(struct context *ctx, struct sock *s)
{
	const char *why = "", *failed = NULL;
	fs_ns end = host_clock_kernel() + QUEUE_NS;
	struct tcp_conn *conn;
	int ret = 0, error = 0;

	while ((conn = tcp_accept(&s->stream.listener)) != NULL) {
		if (goes_on(ret, end)) {
			ret = enqueue(ctx, conn, s->stream.ifindex, &why);
		} else if (ret == 0) {
			ret = -EAGAIN;
			why = "there was no time for so many";
		}
		if (ret == 0)
			continue;
		failed = conn->state == TCP_CLOSED ? failed : why;
		error = ret;
		tcp_abort(conn, &ctx->env, ctx->now);
	}
	if (failed)
		host_log(&ctx->log, LOG_WARN, "connections that wait for accept() are reset, their listener is given away "
			 "(error %d): %s", -error, failed);
	handover_begun(ctx, s);
}

/* A handshake cannot move; its program has nothing on the way yet, so the shadow begins anew. */
static int begin_anew(struct context *ctx, struct sock *s, int fd)
{
	union stream_name to;
	socklen_t len = sizeof(to);
	struct tcp_end end = s->stream.conn->end;
	long flags = sys_fcntl(fd, F_GETFL, 0);
	int ret;

	stream_disconnect(ctx, s);
	s->stream.error = 0; /* it goes on */
	stream_put_name(s->stream.v6, &end.remote, end.remote_port, &to, &len);
	sys_fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	ret = sys_connect(fd, &to, len);
	sys_fcntl(fd, F_SETFL, flags);
	return ret == -EINPROGRESS ? 0 : ret;
}

/* The process that is heir @i, which may have been made just now; 0: it does not run yet. */
static uint32_t born(struct context *ctx, unsigned i)
{
	const struct timespec pause = { .tv_nsec = DRIVE_NS };
	uint32_t pid;

	for (fs_ns waited = 0; (pid = fs_load_acquire(&ctx->stack->heir[i].pid)) == 0 && waited < BIRTH_NS; waited += DRIVE_NS)
		sys_nanosleep(&pause);
	return pid;
}

/* The descriptor @number of process @pid as one of ours, if it names the socket @s. Nothing but sockets is opened: closing
 * a file gives back the program's locks on it. */
static int fetch(uint32_t pid, int pidfd, int number, const struct sock *s)
{
	static const char kind[] = "socket:";
	char path[48], name[sizeof(kind)] = { 0 };
	int fd;

	host_format(path, sizeof(path), "/proc/%u/fd/%u", pid, (unsigned)number);
	if (sys_readlinkat(AT_FDCWD, path, name, sizeof(kind) - 1) < 0 || memcmp(name, kind, sizeof(kind) - 1) != 0)
		return -EBADF;
	fd = sys_pidfd_getfd(pidfd, number, 0);
	if (fd < 0 || context_names(fd, s))
		return fd;
	sys_close(fd);
	return -EBADF;
}

static int fetch_any(struct context *ctx, uint32_t pid, const struct sock *s)
{
	int pidfd = sys_pidfd_open((int)pid, 0), fd;

	if (pidfd < 0)
		return pidfd;
	fd = fetch(pid, pidfd, s->record->fd, s);
	for (int number = 0; fd < 0 && number <= ctx->fds.highest; number++)
		fd = fetch(pid, pidfd, number, s);
	sys_close(pidfd);
	return fd;
}

/* Its program closed @s, which children have that made no call yet: a descriptor of one of these, to be closed. A child that is
 * ending just now has it no more. */
static int number_of_heir(struct context *ctx, struct sock *s)
{
	int fd = -EBADF;

	for (unsigned i = 0; fd < 0 && i < STACK_HEIRS; i++) {
		uint32_t pid = s->heirs & 1ULL << i ? born(ctx, i) : 0;

		if (pid)
			fd = fetch_any(ctx, pid, s);
		if (fd == -ESRCH)
			s->heirs &= ~(1ULL << i);
	}
	return fd;
}

/* @fd: a descriptor of its shadow. */
static int give_away(struct context *ctx, struct sock *s, int fd, int reason)
{
	struct tcp_conn *conn = s->stream.conn;
	int ret;

	stream_now(ctx);
	sock_publish(s); /* what the engine did for it */
	if (conn->state == TCP_SYN_SENT) {
		ret = begin_anew(ctx, s, fd);
	} else {
		stream_settle_shadow(s, fd);
		ret = handover_conn(ctx, conn, fd);
		if (ret < 0)
			return ret;
	}
	s->stream.conn = NULL;
	s->way = SOCK_KERNEL;
	record_reason(s->record, reason, NULL);
	stream_changed_sides(ctx, s);
	ctx->to_ring |= sock_sleepers(s); /* they look at the shadow from now on */
	return ret;
}

int handover_sock(struct context *ctx, struct sock *s, int reason)
{
	int fd, ret;

	if (s->stream.local_conn)
		return stream_local_move(ctx, s, reason);
	if (!s->stream.conn) {
		stream_demote(ctx, s, reason, NULL);
		return 0;
	}
	fd = stream_number(ctx, s);
	if (fd >= 0)
		return give_away(ctx, s, fd, reason);
	fd = number_of_heir(ctx, s);
	if (fd < 0)
		return fd;
	ret = give_away(ctx, s, fd, reason);
	sys_close(fd);
	return ret;
}

int handover_fd(struct context *ctx, int fd, int reason)
{
	struct sock *s = stream_is(ctx, fd) ? stream_enter_checked(ctx, fd) : NULL;
	int ret;

	if (!s)
		return -EBADF;
	ret = handover_sock(ctx, s, reason);
	context_leave(ctx);
	return ret;
}

void handover_port(struct context *ctx, unsigned port, int reason, const char *detail)
{
	struct list *e;

	if (ctx->stack->tcp.ip && ctx->slot < STATS_MAX_PROCS)
		bare_leave(ctx, port, reason);
	LIST_FOR_EACH(e, &ctx->stack->all_streams) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, all);

		if (s->way != SOCK_FAST)
			continue;
		if (s->stream.conn && s->record->port_index == port)
			handover_sock(ctx, s, reason);
		else if (s->steered & (1u << port))
			stream_demote(ctx, s, reason, detail);
	}
}

/* --- on request --- */

/* Everything in the request is another's word: it names a socket of ours, or it does not. */
static int answer(struct context *ctx, int fd)
{
	struct sock *s;

	context_check_descriptor(ctx, fd);
	s = context_live_sock(ctx, fd);
	if (!s)
		return -EBADF;
	if (s->protocol == SOCK_TCP)
		return handover_sock(ctx, s, FS_REASON_moved);
	context_dismiss(ctx, s, FS_REASON_moved, NULL);
	return 0;
}

/* All of this process, one after the other; what cannot move stays. What it opens from now on is the kernel's, or the
 * next connection of a client's would be back on the fast path. */
static void leave_all(struct context *ctx)
{
	unsigned n = 0, kept = 0;
	int error = 0, ret;

	ctx->config.accelerate = false;
	for (int fd = 0; fd <= ctx->fds.highest; fd++) {
		ret = answer(ctx, fd);
		if (ret == -EBADF)
			continue;
		n++;
		kept += ret < 0;
		error = ret < 0 ? ret : error;
	}
	for (unsigned port = 0; ctx->stack->tcp.ip && port < ctx->n_handles; port++)
		bare_leave(ctx, port, FS_REASON_moved);
	context_ring(ctx);
	host_log(&ctx->log, kept ? LOG_WARN : LOG_INFO,
		 "handover_signal: of %u sockets %u stay on the fast path (error %d)", n, kept, -error);
}

void handover_look(struct context *ctx)
{
	struct stats_request *r = &ctx->stack->head.request;
	uint32_t serial = fs_load_acquire(&r->serial), asked = 1;

	if (ctx->slot < STATS_MAX_PROCS && fs_compare_exchange(&ctx->to_leave, &asked, 0u))
		leave_all(ctx);
	if (fs_load_relaxed(&r->answered) == serial || fs_load_relaxed(&r->pid) != ctx->pid)
		return;
	fs_store_relaxed(&r->result, answer(ctx, fs_load_relaxed(&r->fd)));
	fs_store_release(&r->answered, serial);
}

bool handover_is_asked(const struct context *ctx)
{
	const struct stats_request *r = &ctx->stack->head.request;

	if (fs_load_relaxed(&ctx->to_leave))
		return true;
	return fs_load_acquire(&r->serial) != fs_load_relaxed(&r->answered) && fs_load_relaxed(&r->pid) == ctx->pid;
}

/* In whatever the thread was doing, with the lock perhaps. Who sleeps in fsock looks at it; the helper repeats the bell
 * for one that had looked just before. */
static void on_signal(int number)
{
	struct context *o, *home = fs_load_acquire(&fsock_context);
	int saved = errno;
	uint64_t one = 1;

	if (!home || context_is_borrowed(home))
		return;
	CONTEXT_EACH(o, home) {
		fs_store_release(&o->to_leave, 1u);
		if (o->slot < STATS_MAX_PROCS && o->doorbell[o->slot] >= 0)
			sys_write(o->doorbell[o->slot], &one, sizeof(one));
	}
	errno = saved;
}

void handover_heed_signal(const struct context *home)
{
	static const int number[] = { [CONFIG_HANDOVER_USR1] = SIGUSR1, [CONFIG_HANDOVER_USR2] = SIGUSR2,
				      [CONFIG_HANDOVER_URG] = SIGURG, [CONFIG_HANDOVER_WINCH] = SIGWINCH };
	int ret = 0;

	if (home->config.handover_signal != CONFIG_HANDOVER_NONE)
		ret = signal_take(number[home->config.handover_signal], on_signal);
	if (ret < 0)
		host_log(&home->log, LOG_WARN, "handover_signal: the program has an action of its own for signal %d, "
			 "which stays (error %d)", number[home->config.handover_signal], -ret);
}

/* --- at exit and before exec --- */

/* Does no other process that joined hold it? Heirs may. */
static bool is_mine(const struct context *ctx, const struct sock *s)
{
	return s->stream.conn && sock_refs(s) == s->refs[ctx->slot];
}

/* Close what is this process's alone, as the kernel will close the descriptors. */
static void close_all(struct context *ctx)
{
	struct list *e, *following;

	LIST_FOR_EACH_SAFE(e, following, &ctx->stack->all_streams) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, all);

		if (is_mine(ctx, s) && !s->heirs) {
			struct tcp_conn *conn = s->stream.conn;

			sock_publish(s);
			s->stream.conn = NULL;
			s->way = SOCK_KERNEL; /* who calls still stands still from now on (lock.c) */
			conn->user = NULL;
			tcp_close(conn, &ctx->env, ctx->now);
		}
	}
	segments_send(ctx);
}

/* Does the peer still have to hear something of it, or in FIN-WAIT-2 we of the peer? */
static bool is_unfinished(const struct tcp_conn *conn)
{
	return tcp_has(conn, TCP_CONN_ORPHAN) && !tcp_has(conn, TCP_CONN_FROZEN) && conn->state != TCP_CLOSED &&
	       conn->state != TCP_SYN_SENT && conn->state != TCP_SYN_RECEIVED;
}

/* Has it said everything, and the peer acknowledged it? It loses nothing when nobody goes on with it. */
static bool is_said(const struct tcp_conn *conn)
{
	return conn->state == TCP_FIN_WAIT2;
}

/* The next one from @cursor on; the table may change between two calls, so it begins anew after each that moved. */
static struct tcp_conn *next_unfinished(struct context *ctx, struct table_cursor *cursor)
{
	struct table_node *node;

	while ((node = table_next(&ctx->stack->tcp.ends, cursor)) != NULL) {
		struct tcp_end *end = FS_CONTAINER_OF(node, struct tcp_end, node);
		struct tcp_conn *conn = FS_CONTAINER_OF(end, struct tcp_conn, end);

		if (end->kind == TCP_END_CONN && is_unfinished(conn))
			return conn;
	}
	return NULL;
}

/* An orphan finds a socket of its own. Only its memory is missing then. */
static int move_orphan(struct context *ctx, struct tcp_conn *conn)
{
	bool v6 = !ip_addr_is_v4(&conn->end.local);
	int fd = sys_socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), ret;
	const char *why = "";
	const int on = 1;

	if (fd < 0)
		return fd;
	/* What it inherited is forgotten by now; nobody else shall find the port taken longer than by the kernel's own. */
	sys_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	ret = move(ctx, conn, fd, &why);
	if (ret < 0)
		host_log(&ctx->log, LOG_INFO, "a closed connection stays in the engine (error %d): %s", -ret, why);
	sys_close(fd);
	return ret;
}

/* 0, or why some could not move: what concerns one of them does not keep the others. */
static int move_orphans(struct context *ctx)
{
	struct table_cursor cursor = { 0 };
	struct tcp_conn *conn;
	int failed = 0;

	while (failed != -EPERM && failed != -EMFILE && (conn = next_unfinished(ctx, &cursor)) != NULL) {
		int ret = move_orphan(ctx, conn);

		if (ret < 0)
			failed = ret;
		else
			cursor = (struct table_cursor){ 0 };
	}
	return failed;
}

/* The same of those that have something to say still. */
static struct tcp_conn *first_unsaid(struct context *ctx)
{
	struct table_cursor cursor = { 0 };
	struct tcp_conn *conn;

	do
		conn = next_unfinished(ctx, &cursor);
	while (conn && is_said(conn));
	return conn;
}

/* Give the peers time to acknowledge; then reset those that did not. */
static void linger(struct context *ctx, int error)
{
	fs_ns end = host_clock_kernel() + FS_MS(ctx->config.exit_linger);
	struct timespec pause = { .tv_nsec = DRIVE_NS };
	struct tcp_conn *conn;
	unsigned n = 0;

	while (first_unsaid(ctx) && host_clock_kernel() < end) {
		context_leave(ctx);
		sys_nanosleep(&pause);
		if (!context_lock(ctx))
			return;
		context_poll(ctx);
	}
	while ((conn = first_unsaid(ctx)) != NULL) {
		tcp_abort(conn, &ctx->env, ctx->now);
		n++;
	}
	segments_send(ctx);
	if (n)
		host_log(&ctx->log, LOG_WARN, "%u connections were not finished within exit_linger and are reset: the kernel "
			 "could not take them over (error %d%s)", n, -error, error == -EPERM ? ", CAP_NET_ADMIN" : "");
}

/* Another process of the stack goes on with what is left. */
static bool is_last(const struct context *ctx)
{
	for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
		if (i != ctx->slot && ctx->stack->proc[i].pid && !context_is_dead(ctx->stack->proc[i].pid))
			return false;
	return true;
}

/* What this process alone has moves; with the @last one of the stack what children hold that made no call yet, too: they share
 * the shadow. False: some that children held did not. */
static bool hand_over(struct context *ctx, int reason, bool last)
{
	bool all = true;
	struct list *e;

	LIST_FOR_EACH(e, &ctx->stack->all_streams) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, all);

		if (!is_mine(ctx, s) || (!last && s->heirs) || s->stream.conn->state == TCP_CLOSED)
			continue;
		if (s->heirs)
			all &= handover_sock(ctx, s, reason) >= 0;
		else
			handover_sock(ctx, s, reason);
	}
	return all;
}

/* Where no other process drives them, orphans move, too. Before exec, which may fail, so does what it closes. */
static void leave(struct context *ctx, int reason)
{
	bool last = is_last(ctx);
	int error;

	if (!hand_over(ctx, reason, last) && !ctx->executing) {
		/* Its holder may have ended since it was looked for: then it ends as what nobody has. */
		context_forget_gone_heirs(ctx, true);
		close_all(ctx);
	}
	if (!last)
		return;
	error = move_orphans(ctx);
	if (error < 0)
		linger(ctx, error);
}

void handover_at_exit(struct context *ctx)
{
	if (!ctx->stack->tcp.ip || ctx->slot >= STATS_MAX_PROCS)
		return;
	context_poll(ctx);
	if (is_last(ctx))
		passed_end(ctx);
	context_forget_gone_heirs(ctx, true);
	close_all(ctx);
	leave(ctx, FS_REASON_moved);
}

void handover_before_exec(struct context *ctx)
{
	ctx->executing = true;
	for (int fd = 0; fd <= ctx->fds.highest; fd++)
		if (stream_is(ctx, fd) && context_fd_stays_open(fd))
			handover_fd(ctx, fd, FS_REASON_executed);
	if (ctx->slot >= STATS_MAX_PROCS || !context_lock(ctx))
		return;
	context_give_back_all(ctx, FS_REASON_executed);
	if (ctx->stack->tcp.ip) {
		context_poll(ctx);
		segments_flush(ctx);
		leave(ctx, FS_REASON_executed);
	}
	context_leave(ctx);
}
