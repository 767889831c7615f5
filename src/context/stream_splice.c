/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream_splice.c - between streams and other descriptors: sendfile(2) and splice(2).
 *
 * Towards a stream the kernel reads file or pipe straight into segments that the engine reserves: one copy. It is asked
 * for what it has at hand (RWF_NOWAIT), for the stack's lock is held; what has to come from a disk first is read with
 * the lock free, a little at a time, and that little is copied twice. From a stream into a pipe bytes are copied
 * twice: those that the pipe has no room for must stay where they are.
 */
#include <errno.h>
#include <linux/fs.h>
#include <signal.h>
#include <string.h>

#include "context/local.h"
#include "context/stream_internal.h"
#include "context/thread.h"
#include "context/turn.h"
#include "socket/epoll.h"
#include "sys/sys.h"

enum {
	PIECE = 4096,		    /* bytes copied twice at a time */
};

/* What a step waits for. */
enum carry_want { WANT_STREAM, WANT_OTHER, WANT_DISK, WANT_MEMORY };

/* One such call under way. */
struct carry {
	struct context *ctx;
	int fd, other;	/* the stream, the file or pipe */
	int64_t at;	/* position in the file; -1 = none: a pipe */
	size_t left, done;
	int flags;	/* MSG_MORE: more comes after this call */
	bool patient;	/* a pipe may be waited for */
	enum carry_want want;
	bool nonblock;	/* the stream's own */
	bool held;	/* bytes were sent with the promise of more */
	fs_ns limit;	/* SO_SNDTIMEO, SO_RCVTIMEO */
	fs_ns napped;	/* for memory */
	bool counted;	/* as a call of its turn */
	bool more;	/* others of the turn will follow */
};

/* --- both ways --- */

/* Lock taken, and the stack looked after. NULL: libc's call. */
static struct sock *enter(struct carry *c, bool poll)
{
	struct sock *s = stream_enter(c->ctx, c->fd);

	if (!s)
		return NULL;
	if (poll)
		context_poll(c->ctx);
	else
		stream_now(c->ctx);
	/* Housekeeping may have found that the number means something else by now. */
	if (context_live_sock(c->ctx, c->fd) != s || !sock_is_engines(s)) {
		context_leave(c->ctx);
		return NULL;
	}
	c->nonblock = s->nonblock;
	return s;
}

static ssize_t leave(struct carry *c, ssize_t ret)
{
	segments_flush_soon(c->ctx);
	context_leave(c->ctx);
	return ret;
}

/* -EAGAIN again, or another error: the call ends. 0 = go on. */
static int wait_a_little(struct carry *c, struct blocker *b, short events)
{
	struct pollfd fds[1 + BLOCKER_SPARE] = { { .fd = c->other, .events = events } };

	if (c->want == WANT_STREAM || c->want == WANT_MEMORY ? c->nonblock : (c->done || !c->patient))
		return -EAGAIN;
	if (c->want == WANT_MEMORY)
		return stream_await_memory(b, c->limit, c->done != 0, &c->napped);
	stream_note_part(b, c->done != 0);
	if (c->want == WANT_STREAM)
		return stream_pause_for(c->ctx, c->fd, b, c->limit, events == POLLIN ? POLLOUT : POLLIN);
	return stream_pause(c->ctx, c->fd, b, c->limit, fds, c->want == WANT_OTHER);
}

static void count(struct carry *c, size_t n)
{
	c->done += n;
	c->left -= n;
	if (c->at >= 0)
		c->at += (int64_t)n;
}

/* The answer, with what came of it before an error. */
static ssize_t answer(const struct carry *c, struct blocker *b, ssize_t ret)
{
	blocker_end(b); /* before the signal */
	if (c->done)
		return (ssize_t)c->done;
	if (ret == -EPIPE)
		sys_tgkill(sys_getpid(), sys_gettid(), SIGPIPE);
	return ret;
}

/* --- towards the stream --- */

/* What is at hand into @n pieces of memory. A named pipe does not know RWF_NOWAIT. */
static ssize_t read_now(const struct carry *c, const struct iovec *iov, int pieces)
{
	ssize_t n = sys_preadv2(c->other, iov, pieces, c->at, RWF_NOWAIT);
	struct pollfd readable = { .fd = c->other, .events = POLLIN };
	struct timespec none = { 0 };

	if (n != -EOPNOTSUPP || c->at >= 0)
		return n;
	if (sys_ppoll(&readable, 1, &none, NULL) <= 0)
		return -EAGAIN;
	return sys_preadv2(c->other, iov, pieces, c->at, 0);
}

/* Lock held. Move what there is room for: bytes, 0 at the file's end, -EAGAIN with what is wanted. */
static ssize_t fill(struct carry *c, struct sock *s)
{
	struct context *ctx = c->ctx;
	struct tcp_conn *conn = s->stream.conn;
	struct tcp_reservation r;
	ssize_t n;

	c->want = WANT_STREAM;
	if (c->done && (tcp_ready(conn) & TCP_READY_ERR))
		return 0; /* the next call's */
	context_segments_reserve(ctx, c->left);
	do
		n = tcp_reserve(conn, &r, c->left);
	while (n == -ENOMEM && context_payload_reserve(ctx));
	if (n == -ENOMEM) {
		c->want = WANT_MEMORY;
		return stream_starves(ctx, s);
	}
	if (n < 0)
		return n;
	n = read_now(c, r.iov, (int)r.n);
	if (n > 0)
		c->held = (c->flags & MSG_MORE) || (c->at >= 0 && (size_t)n < c->left);
	tcp_commit(conn, &ctx->env, &r, (size_t)FS_MAX(n, 0), n <= 0 || c->held || c->more ? TCP_SEND_MORE : 0, ctx->now);
	if (n == -EAGAIN || n == -EOPNOTSUPP) {
		c->want = c->at >= 0 ? WANT_DISK : WANT_OTHER;
		return -EAGAIN;
	}
	return n;
}

/* As fill(), over a link. */
static ssize_t fill_local(struct carry *c, struct local_conn *conn)
{
	static const uint8_t nothing[PIECE];
	struct iovec part[2] = { { (void *)nothing, FS_MIN(c->left, sizeof(nothing)) } };
	ssize_t n;
	int pieces;

	c->want = WANT_STREAM;
	if (c->done && conn->error)
		return 0; /* the next call's */
	pieces = local_reserve(conn, part, c->left);
	if (pieces == 0)
		return -EAGAIN;
	if (pieces < 0)
		return local_send(conn, part, 1, 0); /* which takes none of it, and says why */
	n = read_now(c, part, pieces);
	if (n > 0)
		local_commit(conn, (size_t)n);
	if (n == -EAGAIN || n == -EOPNOTSUPP) {
		c->want = c->at >= 0 ? WANT_DISK : WANT_OTHER;
		return -EAGAIN;
	}
	return n;
}

/* Over a link: bytes, 0 at the file's end, -EAGAIN. */
static ssize_t fill_all_local(struct carry *c, struct sock *s)
{
	struct local_link *link = s->stream.local_conn->link;
	ssize_t n;

	do {
		n = fill_local(c, s->stream.local_conn);
		if (n > 0)
			count(c, (size_t)n);
	} while (n > 0 && c->left > 0);
	if (n == -EAGAIN && c->want == WANT_STREAM)
		stream_ask_for_sets(c->ctx, s, EPOLLOUT | EPOLLWRNORM);
	local_told(c->ctx, link);
	return leave(c, n);
}

static ssize_t fill_once(struct carry *c)
{
	struct sock *s = enter(c, true);
	ssize_t n;

	if (!s)
		return CONTEXT_KERNEL;
	c->limit = s->stream.sndtimeo;
	if (s->stream.local_conn)
		return fill_all_local(c, s);
	c->more = !c->counted && turn_says(c->ctx, HABIT_DATA, s) && !(c->flags & MSG_MORE);
	c->counted = true;
	if (c->more)
		segments_keep(c->ctx, s);
	do {
		n = fill(c, s);
		if (n > 0)
			count(c, (size_t)n);
	} while (n > 0 && c->left > 0);
	if (!c->more && c->left == 0 && !(c->flags & MSG_MORE))
		segments_kept(c->ctx, s);
	return leave(c, n);
}

/* With the lock free: a piece of the file, whatever it takes. Bytes, 0 at its end, and where a signal or the time
 * limit has cut the piece short: to go on would be to wait again. */
static ssize_t fetch(struct carry *c)
{
	uint8_t piece[PIECE];
	struct iovec iov = { .iov_base = piece, .iov_len = FS_MIN(c->left, sizeof(piece)) };
	struct datagram d = { .iov = &iov, .n_iov = 1, .flags = MSG_NOSIGNAL };
	ssize_t n = sys_preadv2(c->other, &iov, 1, c->at, 0);

	if (n <= 0)
		return n;
	iov.iov_len = (size_t)n;
	c->held = (size_t)n < c->left || (c->flags & MSG_MORE);
	d.flags |= c->held ? MSG_MORE : 0;
	n = stream_send(c->ctx, c->fd, &d);
	if (n > 0)
		count(c, (size_t)n);
	return n < (ssize_t)iov.iov_len ? FS_MIN(n, 0) : n;
}

/* The file ended before what was promised: what was held back leaves. */
static void push(struct carry *c)
{
	struct tcp_reservation none = { 0 };
	struct sock *s = enter(c, false);

	if (!s)
		return;
	if (s->stream.conn)
		tcp_commit(s->stream.conn, &c->ctx->env, &none, 0, 0, c->ctx->now);
	leave(c, 0);
}

/* Until everything is there, the file or pipe has no more for now, or the stream no room. */
static ssize_t carry_in(struct carry *c)
{
	BLOCKER(b);
	ssize_t n;

	ease_end(&context_thread.ease);
	do {
		n = fill_once(c);
		if (n == -EAGAIN && c->want == WANT_DISK) {
			blocker_end(&b); /* a send of its own, which lets signals in itself */
			n = fetch(c);
		} else if (n == -EAGAIN) {
			n = wait_a_little(c, &b, POLLIN) ?: 1;
		}
	} while (n > 0 && c->left > 0);
	if (n == 0 && c->held && !(c->flags & MSG_MORE))
		push(c);
	return answer(c, &b, n);
}

ssize_t stream_send_file(struct context *ctx, int fd, int file, int64_t *offset, size_t count)
{
	struct carry c = { .ctx = ctx, .fd = fd, .other = file, .left = FS_MIN(count, (size_t)RW_MAX) };
	ssize_t ret;

	if (!stream_is(ctx, fd))
		return CONTEXT_KERNEL;
	c.at = offset ? *offset : sys_lseek(file, 0, SEEK_CUR);
	if (c.at < 0 || count == 0)
		return CONTEXT_KERNEL;
	ret = carry_in(&c);
	if (ret == -ESPIPE) /* a pipe or a socket has no position: libc's call knows their errors */
		return CONTEXT_KERNEL;
	if (c.done && offset)
		*offset = c.at;
	else if (c.done)
		sys_lseek(file, c.at, SEEK_SET);
	return ret == -EISDIR ? -EINVAL : ret;
}

static bool is_pipe(int fd)
{
	return sys_fcntl(fd, F_GETPIPE_SZ, 0) >= 0;
}

ssize_t stream_from_pipe(struct context *ctx, int fd, int pipe, size_t len, unsigned flags)
{
	struct carry c = { .ctx = ctx, .fd = fd, .other = pipe, .at = -1, .left = FS_MIN(len, (size_t)RW_MAX),
			   .flags = flags & SPLICE_F_MORE ? MSG_MORE : 0, .patient = !(flags & SPLICE_F_NONBLOCK) };

	if (!stream_is(ctx, fd) || len == 0 || !is_pipe(pipe))
		return CONTEXT_KERNEL;
	return carry_in(&c);
}

/* --- out of the stream --- */

/* As much of @piece as the pipe has room for. The signal of one that nobody reads must not come in here. */
static ssize_t write_now(const struct carry *c, const struct iovec *piece)
{
	struct pollfd writable = { .fd = c->other, .events = POLLOUT };
	struct timespec none = { 0 };
	ssize_t n;

	if (sys_ppoll(&writable, 1, &none, NULL) <= 0)
		return -EAGAIN;
	if (writable.revents & POLLERR)
		return -EPIPE;
	n = sys_pwritev2(c->other, piece, 1, -1, RWF_NOWAIT);
	/* A named one does not know the flag, but is writable for a whole page. */
	return n == -EOPNOTSUPP ? sys_pwritev2(c->other, piece, 1, -1, 0) : n;
}

/* As tcp_recv(), of either kind of connection. */
static ssize_t receive(struct carry *c, struct sock *s, const struct iovec *piece, uint32_t flags)
{
	if (s->stream.local_conn)
		return local_recv(s->stream.local_conn, piece, 1, flags, 0);
	return tcp_recv(s->stream.conn, &c->ctx->env, piece, 1, flags, 0, c->ctx->now);
}

/* Lock held. Bytes moved, 0 at the end. */
static ssize_t drain(struct carry *c, struct sock *s)
{
	uint8_t bytes[PIECE];
	struct iovec piece = { .iov_base = bytes, .iov_len = FS_MIN(c->left, sizeof(bytes)) };
	ssize_t n;

	c->want = WANT_STREAM;
	if (c->done && (s->stream.local_conn ? local_inq(s->stream.local_conn) : tcp_inq(s->stream.conn)) == 0)
		return -EAGAIN; /* an end or an error is the next call's */
	n = receive(c, s, &piece, TCP_RECV_PEEK);
	if (n <= 0)
		return n;
	piece.iov_len = (size_t)n;
	c->want = WANT_OTHER;
	n = write_now(c, &piece);
	if (n <= 0)
		return n;
	piece.iov_len = (size_t)n;
	return receive(c, s, &piece, TCP_RECV_TRUNC);
}

static ssize_t drain_once(struct carry *c)
{
	struct sock *s = enter(c, true);
	ssize_t n;

	if (!s)
		return CONTEXT_KERNEL;
	c->limit = s->rcvtimeo;
	do {
		n = drain(c, s);
		if (n > 0)
			count(c, (size_t)n);
	} while (n > 0 && c->left > 0);
	if (s->stream.local_conn)
		local_told(c->ctx, s->stream.local_conn->link);
	return leave(c, n);
}

ssize_t stream_to_pipe(struct context *ctx, int fd, int pipe, size_t len, unsigned flags)
{
	struct carry c = { .ctx = ctx, .fd = fd, .other = pipe, .at = -1, .left = FS_MIN(len, (size_t)RW_MAX) };
	BLOCKER(b);
	ssize_t n;

	if (!stream_is(ctx, fd) || len == 0 || !is_pipe(pipe))
		return CONTEXT_KERNEL;
	c.patient = !(flags & SPLICE_F_NONBLOCK) && !(sys_fcntl(pipe, F_GETFL, 0) & O_NONBLOCK);
	do {
		n = drain_once(&c);
		if (n == -EAGAIN && !c.done)
			n = wait_a_little(&c, &b, POLLOUT) ?: 1;
	} while (n > 0 && !c.done);
	return answer(&c, &b, n);
}
