/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream.c - bytes in and out of connections.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <signal.h>
#include <string.h>

#include "context/control.h"
#include "context/local.h"
#include "context/stay.h"
#include "context/stream_internal.h"
#include "context/thread.h"
#include "context/turn.h"
#include "host/signals.h"
#include "socket/epoll.h"
#include "socket/opts.h"
#include "sys/sys.h"

#define NAP_NS FS_MS(2)    /* between looks whether there is memory: as Linux at least, sk_stream_wait_memory() */
#define HALF_NS FS_US(500) /* between looks at a part of what is waited for */

/* --- entering and waiting --- */

struct sock *stream_enter(struct context *ctx, int fd)
{
	return context_enter_kind(ctx, fd, FD_STREAM);
}

struct sock *stream_enter_checked(struct context *ctx, int fd)
{
	if (fd_kind_of(&ctx->fds, fd) != FD_STREAM || !context_lock(ctx))
		return NULL;
	context_check_old_descriptor(ctx, fd);
	context_leave(ctx);
	return stream_enter(ctx, fd);
}

void stream_now(struct context *ctx)
{
	ctx->now = host_clock_now(&ctx->clock);
	ctx->env.now = ctx->now;
}

static int begin_wait(struct context *ctx, int fd, struct blocker *b, fs_ns limit)
{
	struct sock *s = stream_enter(ctx, fd);
	struct stay *stay;

	if (!s)
		return CONTEXT_KERNEL;
	stay = stay_begin(ctx, 1);
	if (stay) {
		/* The kernel restarts a call only where no timeout is set (sock_intr_errno()). */
		blocker_init(b, ctx, limit ? limit : -1, limit == 0, NULL);
		stay_on_sock(ctx, stay, s);
		b->stay = stay;
		b->spin_allowed = s->way == SOCK_FAST && (!s->unsteered || s->stream.by_links);
	}
	context_leave(ctx);
	return stay ? 0 : -ENOMEM;
}

int stream_pause(struct context *ctx, int fd, struct blocker *b, fs_ns limit, struct pollfd *fds, unsigned n)
{
	int ret = b->ctx ? 0 : begin_wait(ctx, fd, b, limit);

	if (ret == 0)
		ret = blocker_pause(b, fds, n);
	return ret == -ETIMEDOUT ? -EAGAIN : ret;
}

/* The last try before the sleep did something, or nothing: what comes over a link is asked for behind it. True: it may be
 * there by now. */
static bool ask_again(struct context *ctx, int fd, short events)
{
	struct sock *s = stream_enter(ctx, fd);
	bool ready;

	if (!s)
		return true;
	ready = sock_ask(s, (uint32_t)events);
	context_leave(ctx);
	return ready;
}

int stream_pause_for(struct context *ctx, int fd, struct blocker *b, fs_ns limit, short events)
{
	const struct timespec little = { .tv_nsec = HALF_NS };
	struct pollfd fds[BLOCKER_SPARE];

	if (b->armed && fs_load_relaxed(&ctx->stack->local) && ask_again(ctx, fd, events)) {
		blocker_disarm(b);
		/* Still? Then it is a part of what the call waits for, which it leaves where it is: of more it is not told. */
		if (b->unanswered++)
			sys_nanosleep(&little);
	}
	return stream_pause(ctx, fd, b, limit, fds, 0);
}

void stream_ask_for_sets(struct context *ctx, struct sock *s, uint32_t event)
{
	if (!list_is_empty(&s->items) && sock_ask(s, event))
		ctx->to_ring |= epoll_sock_news(s, event);
}

int stream_take_error(struct sock *s)
{
	int error = s->stream.error;

	s->stream.error = 0;
	return error ? -error : CONTEXT_KERNEL;
}

int stream_rest_of(const struct datagram *d, size_t done, struct iovec *part, const struct iovec **iov)
{
	size_t i = 0;

	*iov = d->iov;
	if (done == 0)
		return (int)d->n_iov;
	while (done >= d->iov[i].iov_len)
		done -= d->iov[i++].iov_len;
	*part = (struct iovec){ (uint8_t *)d->iov[i].iov_base + done, d->iov[i].iov_len - done };
	*iov = part;
	return 1;
}

/* --- receiving --- */

/* One receive under way. */
struct receipt {
	struct context *ctx;
	int fd;
	struct datagram *d;
	size_t total, done;
	size_t target;	/* so many are enough */
	fs_ns limit;	/* SO_RCVTIMEO; 0 = none */
	bool may_wait;
	bool is_told;	/* by the caller, whatever the socket is set to: limit and may_wait */
	int left;	/* TCP_INQ: bytes still to read when it ended; -1 = nobody asked */
	fs_ns stamp;	/* when the last segment came that was read from; 0 = unknown, or nobody asked */
	bool named;	/* what was read came from who has a name: a Unix socket */
};

/* How much is enough (sock_rcvlowat()). */
static size_t target_of(const struct receipt *r, const struct stream *s)
{
	if (r->d->flags & MSG_WAITALL)
		return r->total;
	return FS_MIN((size_t)FS_MAX(s->options.rcvlowat, 1u), r->total);
}

static void note_patience(struct receipt *r, const struct sock *s)
{
	r->target = target_of(r, &s->stream);
	if (r->is_told)
		return;
	r->limit = s->rcvtimeo;
	r->may_wait = !s->nonblock && !(r->d->flags & MSG_DONTWAIT);
}

static uint32_t recv_flags(const struct sock *s, int flags)
{
	return (flags & MSG_PEEK ? TCP_RECV_PEEK : 0) | (flags & MSG_OOB ? TCP_RECV_OOB : 0) |
	       (flags & MSG_TRUNC ? TCP_RECV_TRUNC : 0) | (s->cmsgs & SOCK_CMSG_STAMPS ? TCP_RECV_STAMP : 0);
}

/* SO_PEEK_OFF: a peek moves it on, a read back. */
static void move_peek(struct sock *s, int flags, size_t n)
{
	int32_t *off = &s->stream.peek_off;

	if (__builtin_expect(*off < 0, 1) || (flags & MSG_OOB))
		return;
	if (flags & MSG_PEEK)
		*off += (int32_t)n;
	else
		*off = FS_MAX(*off - (int32_t)n, 0);
}

/* Where in the queue a peek goes on. */
static uint32_t peek_from(const struct receipt *r, const struct stream *s)
{
	if (!(r->d->flags & MSG_PEEK))
		return 0;
	return s->peek_off >= 0 ? (uint32_t)s->peek_off : (uint32_t)r->done;
}

/* Move what is there. True: the call is over, with *@result. */
static bool take(struct receipt *r, struct sock *s, ssize_t *result)
{
	struct context *ctx = r->ctx;
	struct tcp_conn *conn = s->stream.conn;
	const struct iovec *iov;
	struct iovec part;
	int n = stream_rest_of(r->d, r->done, &part, &iov);
	uint32_t flags = recv_flags(s, r->d->flags);
	ssize_t got;

	if (r->done && (tcp_ready(conn) & TCP_READY_ERR))
		got = 0; /* the next call's */
	else
		got = tcp_recv(conn, &ctx->env, iov, n, flags, peek_from(r, &s->stream), ctx->now);
	if (__builtin_expect(flags & TCP_RECV_STAMP, 0) && got >= 0 && ctx->stack->tcp.read_stamp)
		r->stamp = ctx->stack->tcp.read_stamp;
	if (got == -EAGAIN)
		return false;
	if (got <= 0) {
		*result = r->done ? (ssize_t)r->done : got;
		return true;
	}
	r->done += (size_t)got;
	move_peek(s, r->d->flags, (size_t)got);
	*result = (ssize_t)r->done;
	return (r->d->flags & MSG_OOB) || r->done >= r->target || tcp_at_mark(conn);
}

/* As tcp_inq_hint(): the end counts, and an urgent byte. */
static int bytes_left(const struct tcp_conn *conn)
{
	return (int)(conn->rcv_nxt - conn->copied_seq);
}

_Static_assert((int)TCP_RECV_PEEK == (int)LOCAL_RECV_PEEK && (int)TCP_RECV_OOB == (int)LOCAL_RECV_OOB &&
		       (int)TCP_RECV_TRUNC == (int)LOCAL_RECV_TRUNC,
	       "one set of flags for both");

/* As take(), of a connection over a link. */
static bool take_local(struct receipt *r, struct sock *s, ssize_t *result)
{
	struct local_conn *conn = s->stream.local_conn;
	uint32_t known = LOCAL_RECV_PEEK | LOCAL_RECV_OOB | (s->stream.is_unix ? 0 : LOCAL_RECV_TRUNC);
	uint32_t flags = recv_flags(s, r->d->flags) & known;
	const struct iovec *iov;
	struct iovec part;
	ssize_t got = 0;

	for (;;) {
		int n = stream_rest_of(r->d, r->done, &part, &iov);

		if (!(r->done && conn->error)) /* else it is the next call's */
			got = local_recv(conn, iov, n, flags, peek_from(r, &s->stream));
		if (got == -EAGAIN)
			return false;
		if (__builtin_expect(s->cmsgs & SOCK_CMSG_STAMPS, 0) && (got > 0 || r->total == 0))
			r->stamp = host_clock_wall(); /* it came when it was seen: nobody saw it before */
		if (got <= 0)
			break;
		r->done += (size_t)got;
		move_peek(s, r->d->flags, (size_t)got);
		if (flags & LOCAL_RECV_OOB || r->done >= r->target || local_at_mark(conn)) {
			got = 0;
			break;
		}
	}
	*result = r->done ? (ssize_t)r->done : got;
	return true;
}

/* As receive_once(), of such. Bytes that are there ask for no look at anything else. */
static ssize_t receive_local(struct receipt *r, struct sock *s)
{
	struct context *ctx = r->ctx;
	ssize_t ret = -EAGAIN;
	bool over;

	note_patience(r, s);
	r->named = s->stream.is_unix && s->stream.peer_len;
	local_lend(ctx, s->stream.local_conn);
	over = take_local(r, s, &ret);
	if (!over) {
		ease_missed(&context_thread.ease);
		context_poll(ctx);
		if (context_live_sock(ctx, r->fd) != s || !s->stream.local_conn) {
			context_leave(ctx);
			return -EAGAIN; /* what it is now is seen by the next look */
		}
		over = take_local(r, s, &ret);
	} else if (ret > 0 && ease_found(&context_thread.ease, r->fd) && !local_has_seen(s->stream.local_conn, 1)) {
		ease_begin(&context_thread.ease, host_clock_now(&ctx->clock));
	}
	if (!over && !r->may_wait)
		stream_ask_for_sets(ctx, s, EPOLLIN | EPOLLRDNORM);
	if (__builtin_expect(s->stream.tells_inq, 0))
		r->left = (int)local_left(s->stream.local_conn);
	local_told(ctx, s->stream.local_conn->link);
	context_leave(ctx);
	return over ? ret : -EAGAIN;
}

/* One look. -EAGAIN: the call goes on. */
static ssize_t receive_once(struct receipt *r)
{
	struct context *ctx = r->ctx;
	struct sock *s = stream_enter(ctx, r->fd);
	ssize_t ret = CONTEXT_KERNEL;
	uint32_t waiting;
	bool over = true;

	if (!s)
		return CONTEXT_KERNEL;
	if (s->stream.local_conn)
		return receive_local(r, s);
	if (s->stream.conn && tcp_inq(s->stream.conn) > 0)
		stream_now(ctx);
	else
		context_poll_calm(ctx);
	/* Housekeeping may have found that the number means something else by now. */
	if (context_live_sock(ctx, r->fd) != s || !s->stream.conn) {
		if (context_live_sock(ctx, r->fd) == s && !stream_retire(ctx, s, r->fd) && !(r->d->flags & MSG_OOB))
			ret = stream_take_error(s);
		context_leave(ctx);
		return ret;
	}
	note_patience(r, s);
	waiting = segments_waiting(ctx);
	do
		over = take(r, s, &ret);
	while (!over && r->done < r->total && tcp_inq(s->stream.conn) > 0 && !(r->d->flags & MSG_PEEK));
	if (__builtin_expect(s->stream.tells_inq, 0))
		r->left = bytes_left(s->stream.conn);
	context_calm(ctx);
	/* The peer may wait for a window that opened; other answers can go on waiting. */
	if (segments_waiting(ctx) != waiting)
		segments_flush(ctx);
	else
		segments_flush_soon(ctx);
	context_leave(ctx);
	return over ? ret : -EAGAIN;
}

/* The connection moved to the kernel, and what was not read with it: a peek begins anew. */
static ssize_t receive_rest(struct receipt *r, struct blocker *b)
{
	struct stream_rest rest = {
		.ctx = r->ctx, .fd = r->fd, .b = b, .d = r->d, .events = POLLIN, .limit = r->limit, .done = r->done,
		.target = r->target
	};

	if (r->d->flags & MSG_PEEK)
		return CONTEXT_KERNEL;
	stream_rest(&rest);
	if (r->left >= 0)
		r->left = rest.left;
	return (ssize_t)rest.done;
}

/* The writer at the other end, if it is to be (ease.h). Without the lock. */
static inline void leave_alone(const struct context *ctx, int fd)
{
	const struct ease *e = &context_thread.ease;

	while (__builtin_expect(ease_is_due(e, fd), 0) && ease_goes_on(e, host_clock_now(&ctx->clock)))
		fs_cpu_relax();
}

static ssize_t receive(struct receipt *r)
{
	struct datagram *d = r->d;
	BLOCKER(b);
	ssize_t n = datagram_check_iov(d, &r->total);

	if (n < 0)
		return n;
	leave_alone(r->ctx, r->fd);
	while ((n = receive_once(r)) == -EAGAIN && r->may_wait) {
		stream_note_part(&b, r->done != 0);
		n = stream_pause_for(r->ctx, r->fd, &b, r->limit, POLLIN);
		if (n < 0)
			break;
	}
	if (n == CONTEXT_KERNEL && r->done && b.ctx)
		n = receive_rest(r, &b);
	else if (n < 0 && r->done)
		n = (ssize_t)r->done;
	if (n >= 0) {
		d->name_len = r->named && n > 0 ? stream_unix_put_source(r->ctx, r->fd, d) : 0;
		d->msg_flags = d->flags & (MSG_OOB | MSG_CMSG_CLOEXEC);
		stream_put_control(r->ctx, r->fd, r->left, r->stamp, d);
	}
	return n;
}

ssize_t stream_receive(struct context *ctx, int fd, struct datagram *d)
{
	struct receipt r = { .ctx = ctx, .fd = fd, .d = d, .left = -1 };

	if (!stream_is(ctx, fd))
		return CONTEXT_KERNEL;
	return d->flags & MSG_ERRQUEUE ? stream_receive_error(ctx, fd, d) : receive(&r);
}

ssize_t stream_receive_within(struct context *ctx, int fd, struct datagram *d, fs_ns wait)
{
	struct receipt r = {
		.ctx = ctx, .fd = fd, .d = d, .left = -1, .is_told = true, .may_wait = wait != 0, .limit = FS_MAX(wait, 0)
	};

	return stream_is(ctx, fd) ? receive(&r) : CONTEXT_KERNEL;
}

/* --- sending --- */

/* One send under way. */
struct dispatch {
	struct context *ctx;
	int fd;
	const struct datagram *d;
	size_t total, done;
	fs_ns limit;	/* SO_SNDTIMEO; 0 = none */
	bool may_wait;
	bool is_told;	/* as in struct receipt */
	bool counted;	/* as a call of its turn */
	bool more;	/* others of the turn will follow */
	bool starves;	/* the last time there was no memory */
};

static void note_room_patience(struct dispatch *t, const struct sock *s)
{
	if (t->is_told)
		return;
	t->limit = s->stream.sndtimeo;
	t->may_wait = !s->nonblock && !(t->d->flags & MSG_DONTWAIT);
}

static uint32_t send_flags(const struct dispatch *t)
{
	return (t->more || (t->d->flags & MSG_MORE) ? TCP_SEND_MORE : 0) | (t->d->flags & MSG_OOB ? TCP_SEND_OOB : 0);
}

ssize_t stream_starves(struct context *ctx, struct sock *s)
{
	ctx->to_ring |= s->sleepers.slots;
	if (!list_is_empty(&s->items))
		ctx->to_ring |= epoll_sock_news(s, EPOLLOUT | EPOLLWRNORM);
	return -EAGAIN;
}

/* Lock held. Queue what there is room for. */
static ssize_t give(struct dispatch *t, struct sock *s)
{
	struct context *ctx = t->ctx;
	const struct iovec *iov;
	struct iovec part;
	int n = stream_rest_of(t->d, t->done, &part, &iov);
	ssize_t sent;

	if (t->done && (tcp_ready(s->stream.conn) & TCP_READY_ERR))
		return (ssize_t)t->done; /* the next call's */
	context_segments_reserve(ctx, t->total - t->done);
	do
		sent = tcp_send(s->stream.conn, &ctx->env, iov, n, send_flags(t), ctx->now);
	while (sent == -ENOMEM && context_payload_reserve(ctx));
	t->starves = sent == -ENOMEM;
	if (t->starves)
		return stream_starves(ctx, s);
	if (sent < 0)
		return sent;
	t->done += (size_t)sent;
	return t->done >= t->total ? (ssize_t)t->done : -EAGAIN;
}

/* The program's pages are outside the frame pool: nothing is sent from where it lies. */
static void note_copied(struct context *ctx, struct sock *s)
{
	s->stream.copied++;
	ctx->to_ring |= s->sleepers.slots | epoll_sock_error(s);
}

/* As give(), over a link: as much as there is room for. */
static ssize_t give_local(struct dispatch *t, struct sock *s)
{
	struct local_conn *conn = s->stream.local_conn;
	uint32_t flags = t->d->flags & MSG_OOB ? LOCAL_SEND_OOB : 0;
	const struct iovec *iov;
	struct iovec part;
	ssize_t sent;
	int n;

	if (stream_local_waits(s))
		return -EAGAIN;
	do {
		if (t->done && conn->error)
			return (ssize_t)t->done; /* the next call's */
		n = stream_rest_of(t->d, t->done, &part, &iov);
		sent = local_send(conn, iov, n, flags);
		if (sent < 0)
			return sent;
		t->done += (size_t)sent;
	} while (sent > 0 && t->done < t->total);
	return t->done >= t->total ? (ssize_t)t->done : -EAGAIN;
}

/* As send_once(), over a link. */
static ssize_t send_local(struct dispatch *t, struct sock *s)
{
	struct context *ctx = t->ctx;
	ssize_t ret;

	if (__builtin_expect((t->d->flags & MSG_FASTOPEN) && !t->done && !s->stream.is_unix, 0)) {
		ret = stream_send_connects(ctx, s);
		context_leave(ctx);
		return ret;
	}
	note_room_patience(t, s);
	local_heed(ctx, s->stream.local_conn->link);
	ret = give_local(t, s);
	if (ret == -EAGAIN) {
		context_poll(ctx);
		if (context_live_sock(ctx, t->fd) != s || !s->stream.local_conn) {
			context_leave(ctx);
			return -EAGAIN;
		}
		ret = give_local(t, s);
	}
	if (ret == -EAGAIN && !t->may_wait)
		stream_ask_for_sets(ctx, s, EPOLLOUT | EPOLLWRNORM);
	if (ret >= 0 && (t->d->flags & MSG_ZEROCOPY) && s->stream.zerocopy)
		note_copied(ctx, s);
	local_told(ctx, s->stream.local_conn->link);
	context_leave(ctx);
	return ret;
}

static ssize_t send_once(struct dispatch *t)
{
	struct context *ctx = t->ctx;
	struct sock *s = stream_enter(ctx, t->fd);
	size_t before = t->done;
	ssize_t ret;

	if (!s)
		return CONTEXT_KERNEL;
	if (s->stream.local_conn) {
		ease_end(&context_thread.ease);
		return send_local(t, s);
	}
	/* What is out may be acknowledged by now, and what is not may be due (pacing): a program that only sends must
	 * hear of it. */
	if (s->stream.conn && s->stream.conn->first)
		context_poll_calm(ctx);
	else
		stream_now(ctx);
	if (context_live_sock(ctx, t->fd) != s || !s->stream.conn) {
		ret = context_live_sock(ctx, t->fd) == s ? stream_take_error(s) : CONTEXT_KERNEL;
		context_leave(ctx);
		return ret;
	}
	if (__builtin_expect((t->d->flags & MSG_FASTOPEN) && !t->done, 0)) {
		ret = stream_send_connects(ctx, s);
		if (ret != 0) {
			context_leave(ctx);
			return ret;
		}
	}
	note_room_patience(t, s);
	/* What the program keeps back itself waits for its next call, and so does what lies before it for the turn's
	 * end. */
	t->more = !t->counted && turn_says(ctx, HABIT_DATA, s) && !(t->d->flags & MSG_MORE);
	t->counted = true;
	if (__builtin_expect(t->more, 0))
		segments_keep(ctx, s);
	do {
		before = t->done;
		ret = give(t, s);
	} while (ret == -EAGAIN && t->done > before);
	if (!t->more && t->done && !(t->d->flags & MSG_MORE))
		segments_kept(ctx, s);
	if (ret >= 0 && (t->d->flags & MSG_ZEROCOPY) && s->stream.zerocopy)
		note_copied(ctx, s);
	context_calm(ctx);
	segments_flush_soon(ctx);
	context_leave(ctx);
	return ret;
}

static void raise_pipe(int flags)
{
	if (!(flags & MSG_NOSIGNAL))
		sys_tgkill(sys_getpid(), sys_gettid(), SIGPIPE);
}

int stream_await_memory(struct blocker *b, fs_ns limit, bool part, fs_ns *napped)
{
	const struct timespec nap = { .tv_nsec = NAP_NS };
	enum signal_result came;
	signal_set saved;

	if (limit && *napped >= limit)
		return -EAGAIN;
	blocker_end(b); /* which has signals blocked since it waited for room */
	*napped += NAP_NS;
	saved = signal_block_all();
	sys_nanosleep(&nap);
	came = signal_admit(saved);
	signal_restore(saved);
	return came == SIGNAL_EINTR || (came == SIGNAL_RESTART && (limit || part)) ? -EINTR : 0;
}

/* The connection moved to the kernel, with what was sent. */
static ssize_t send_rest(const struct dispatch *t, struct blocker *b)
{
	struct stream_rest rest = {
		.ctx = t->ctx, .fd = t->fd, .b = b, .d = t->d, .events = POLLOUT, .limit = t->limit, .done = t->done,
		.target = t->total
	};

	return (ssize_t)stream_rest(&rest);
}

static ssize_t dispatch(struct dispatch *t)
{
	fs_ns napped = 0;
	BLOCKER(b);
	ssize_t n = datagram_check_iov(t->d, &t->total);

	if (n == 0 && __builtin_expect(t->d->control != NULL, 0))
		n = stream_check_control(t->ctx, t->fd, t->d);
	if (n == 0 && __builtin_expect(t->d->name_len != 0 || (t->d->flags & MSG_OOB), 0))
		n = stream_unix_check(t->ctx, t->fd, t->d);
	if (n < 0)
		return n;
	while ((n = send_once(t)) == -EAGAIN && t->may_wait) {
		stream_note_part(&b, t->done != 0);
		n = t->starves ? stream_await_memory(&b, t->limit, t->done != 0, &napped) :
				 stream_pause_for(t->ctx, t->fd, &b, t->limit, POLLOUT);
		if (n < 0)
			break;
	}
	if (n == CONTEXT_KERNEL && t->done && b.ctx)
		n = send_rest(t, &b);
	blocker_end(&b); /* before the signal */
	if (n < 0 && t->done)
		return (ssize_t)t->done;
	if (n == -EPIPE)
		raise_pipe(t->d->flags);
	return n;
}

ssize_t stream_send(struct context *ctx, int fd, const struct datagram *d)
{
	struct dispatch t = { .ctx = ctx, .fd = fd, .d = d };

	return stream_is(ctx, fd) ? dispatch(&t) : CONTEXT_KERNEL;
}

ssize_t stream_send_within(struct context *ctx, int fd, const struct datagram *d, fs_ns wait)
{
	struct dispatch t = {
		.ctx = ctx, .fd = fd, .d = d, .is_told = true, .may_wait = wait != 0, .limit = FS_MAX(wait, 0)
	};

	return stream_is(ctx, fd) ? dispatch(&t) : CONTEXT_KERNEL;
}

/* --- MSG_ZEROCOPY: the bytes were copied, so every send is complete at once --- */

ssize_t stream_receive_error(struct context *ctx, int fd, struct datagram *d)
{
	struct sock *s = stream_enter(ctx, fd);
	struct {
		struct sock_extended_err error;
		struct sockaddr_in6 offender;
	} message = { .error = { .ee_origin = SO_EE_ORIGIN_ZEROCOPY, .ee_code = SO_EE_CODE_ZEROCOPY_COPIED } };
	struct control_writer w = { .at = d->control, .room = d->control_len };
	bool v6;

	if (!s)
		return CONTEXT_KERNEL;
	if (!sock_is_engines(s)) {
		context_leave(ctx);
		return CONTEXT_KERNEL;
	}
	if (s->stream.told == s->stream.copied) {
		context_leave(ctx);
		return -EAGAIN;
	}
	message.error.ee_info = s->stream.told;
	message.error.ee_data = s->stream.copied - 1;
	if (!(d->flags & MSG_PEEK))
		s->stream.told = s->stream.copied;
	v6 = s->stream.v6;
	context_leave(ctx);
	control_write(&w, v6 ? SOL_IPV6 : SOL_IP, v6 ? IPV6_RECVERR : IP_RECVERR, &message,
		      sizeof(message.error) + (v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in)));
	d->control_len -= w.room;
	d->name_len = 0;
	d->msg_flags = MSG_ERRQUEUE | w.flags | (d->flags & MSG_CMSG_CLOEXEC);
	return 0;
}

/* --- names --- */

void stream_put_name(bool v6, const struct ip_addr *addr, uint16_t port, void *to, socklen_t *len)
{
	union stream_name name;
	socklen_t whole = v6 ? sizeof(name.in6) : sizeof(name.in);

	memset(&name, 0, sizeof(name));
	if (v6) {
		name.in6.sin6_family = AF_INET6;
		name.in6.sin6_port = htons(port);
		memcpy(&name.in6.sin6_addr, addr->b, sizeof(name.in6.sin6_addr));
	} else {
		name.in.sin_family = AF_INET;
		name.in.sin_port = htons(port);
		memcpy(&name.in.sin_addr, addr->b + 12, sizeof(name.in.sin_addr));
	}
	memcpy(to, &name, FS_MIN(*len, whole));
	*len = whole;
}

/* The kernel gives a port back that the program did not bind, and goes on to show it. */
static bool shows_last_port(const struct sock *s)
{
	return s->way == SOCK_UNDECIDED && s->stream.last_port && !s->stream.local_port;
}

/* By bind() since its connection ended. */
static bool is_bound_anew(const struct sock *s)
{
	return s->stream.conn->state == TCP_CLOSED && s->stream.local_port &&
	       s->stream.local_port != s->stream.conn->end.local_port;
}

static void put_local_name(const struct sock *s, bool peer, struct sockaddr *name, socklen_t *len)
{
	const struct local_conn *conn = s->stream.local_conn;

	if (s->stream.is_unix) {
		stream_unix_put_name(s, peer, name, len);
		return;
	}
	stream_put_name(s->stream.v6, peer ? &conn->remote : &conn->local, peer ? conn->remote_port : conn->local_port,
			name, len);
}

/* Is the other end of it one that can be named? */
static bool has_no_peer(const struct sock *s)
{
	const struct tcp_conn *conn = s->stream.conn;

	if (s->stream.local_conn)
		return stream_local_waits(s) || local_is_over(s->stream.local_conn);
	return conn->state == TCP_CLOSED || conn->state == TCP_SYN_SENT;
}

int stream_name(struct context *ctx, int fd, bool peer, struct sockaddr *name, socklen_t *len)
{
	struct sock *s = stream_is(ctx, fd) ? stream_enter(ctx, fd) : NULL;
	const struct tcp_conn *conn = s ? s->stream.conn : NULL;
	int ret = 0;

	if (!s)
		return CONTEXT_KERNEL;
	if (!sock_is_engines(s) && (peer || !shows_last_port(s))) {
		ret = CONTEXT_KERNEL;
	} else if (conn && !peer && is_bound_anew(s)) {
		ret = CONTEXT_KERNEL;
	} else if (peer && has_no_peer(s)) {
		ret = -ENOTCONN;
	} else if (!name || !len) {
		ret = -EFAULT;
	} else if ((int)*len < 0) {
		ret = -EINVAL;
	} else if (s->stream.local_conn) {
		put_local_name(s, peer, name, len);
	} else if (!conn) {
		stream_put_name(s->stream.v6, &s->stream.local, s->stream.last_port, name, len);
	} else {
		stream_put_name(s->stream.v6, peer ? &conn->end.remote : &conn->end.local,
				peer ? conn->end.remote_port : conn->end.local_port, name, len);
	}
	context_leave(ctx);
	return ret;
}
