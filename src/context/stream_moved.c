/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream_moved.c - a connection over a link becomes one of the kernel's, when a program without fsock is to have it.
 *
 * Who moves listens at its own address, at a port of the kernel's choice, and tells the other side, whose shadow
 * connects there and says first what it was told to and how far it has read. Each side then sends again what the other
 * one has not read. The connection that comes of it takes the place of the shadow at all numbers that this process has
 * of it. It needs no privilege, but its ports are others than before; of Unix sockets the names.
 *
 * A side that has nobody at the other end any more plays both parts: what waits in the ring can be read, and the end or
 * the reset comes behind it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/un.h>

#include "base/reason.h"
#include "context/local.h"
#include "context/stream_internal.h"
#include "local/link.h"
#include "sys/sys.h"

#define STEP_NS FS_US(50)     /* between looks for the other side */
#define PATIENCE_NS FS_MS(500) /* with the lock, for it to come; and for bytes to find room */

#define GREETING "\0fsock\0"
#define PLACE_NAME "\0fsock/moved/" /* and 12 digits: where a Unix socket waits */

enum {
	PIECE = 3584,	  /* bytes: with what the kernel keeps beside them they fill a page */
	VISITORS = 8,	  /* who may wait where a connection goes on, and who may be there unheard */
	MOST = 1 << 20,	  /* of a socket's buffer; the system's limit is less */
};

/* What is said first: so that nobody else takes it for a request of his. */
struct greeting {
	char what[8];
	uint8_t nonce[16];
	uint64_t read_at;
};

/* --- sockets --- */

union place_name {
	struct sockaddr_un un;
	union stream_name ip;
	struct sockaddr sa;
};

/* Of a Unix socket @place has an abstract name, drawn by who moves; else its port at @addr. */
static void name_of(int family, const struct ip_addr *addr, const struct local_place *place, union place_name *name,
		    socklen_t *len)
{
	static const char digits[] = "0123456789abcdef";
	char *at = name->un.sun_path + sizeof(PLACE_NAME) - 1;

	*len = sizeof(*name);
	if (family != AF_UNIX) {
		stream_put_name(family == AF_INET6, addr, place->port, name, len);
		return;
	}
	*name = (union place_name){ .un = { .sun_family = AF_UNIX, .sun_path = PLACE_NAME } };
	for (size_t i = 0; i < sizeof(place->spare); i++) {
		*at++ = digits[place->spare[i] >> 4];
		*at++ = digits[place->spare[i] & 15];
	}
	*len = (socklen_t)(at - (char *)name);
}

/* Listens at the address that the other side knows of this one, and says where. 0 or -errno. */
static int listen_here(const struct local_conn *conn, int family, int *fd, struct local_place *place)
{
	union place_name name;
	socklen_t len;
	int ret;

	name_of(family, &conn->local, place, &name, &len);
	*fd = sys_socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*fd < 0)
		return *fd;
	ret = sys_bind(*fd, &name, len);
	if (ret == 0)
		ret = sys_listen(*fd, VISITORS);
	if (ret == 0)
		ret = sys_getsockname(*fd, &name, &len);
	if (ret == 0) {
		place->port = family == AF_UNIX ? 0 : ntohs(family == AF_INET6 ? name.ip.in6.sin6_port : name.ip.in.sin_port);
		return 0;
	}
	sys_close(*fd);
	return ret;
}

/* Before @end. */
static bool becomes_ready(int fd, short events, fs_ns end)
{
	struct pollfd ready = { .fd = fd, .events = events };
	struct timespec limit = { .tv_nsec = fs_left(end, host_clock_kernel()) };

	return sys_ppoll(&ready, 1, &limit, NULL) > 0;
}

/* A Unix socket's buffer has room for what a ring may hold. What it was, for give_back_room(). */
static int make_room(int family, int fd)
{
	int before = 0, most = MOST;
	socklen_t len = sizeof(before);

	if (family != AF_UNIX || sys_getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &before, &len) < 0)
		return 0;
	sys_setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &most, sizeof(most));
	return before;
}

static void give_back_room(int fd, int before)
{
	int half = before / 2; /* the kernel doubles what it is given */

	if (before > 0)
		sys_setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &half, sizeof(half));
}

/* A fresh connection has room for a ring's bytes as a rule. */
static bool write_all(int fd, const void *bytes, size_t len, fs_ns end)
{
	const uint8_t *at = bytes;

	while (len > 0) {
		ssize_t n = sys_sendto(fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);

		if (n == -EAGAIN && becomes_ready(fd, POLLOUT, end))
			continue;
		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

/* @fd is shut as far as @conn is. */
static void shut(int fd, const struct local_conn *conn)
{
	if (conn->flags & LOCAL_FIN_SENT)
		sys_shutdown(fd, SHUT_WR);
	if (conn->flags & LOCAL_SHUT_RD)
		sys_shutdown(fd, SHUT_RD);
}

/* What this side sent from position @from on, and the end behind it. */
static bool send_again(const struct local_conn *conn, int family, int fd, uint64_t from, fs_ns end)
{
	int before = make_room(family, fd);
	uint8_t piece[PIECE];
	bool whole = true;
	size_t n;

	while (whole && (n = local_sent(conn, from, piece, sizeof(piece))) > 0) {
		whole = write_all(fd, piece, n, end);
		from += n;
	}
	give_back_room(fd, before);
	if (whole)
		shut(fd, conn);
	return whole;
}

/* --- the side that follows --- */

bool stream_local_follow_by(struct local_conn *conn, int family, int fd)
{
	struct greeting greeting = { .what = GREETING, .read_at = local_read_at(conn) };
	fs_ns end = host_clock_kernel() + PATIENCE_NS;
	long flags = sys_fcntl(fd, F_GETFL, 0);
	union place_name name;
	socklen_t len;
	bool done;
	int ret;

	memcpy(greeting.nonce, conn->place.nonce, sizeof(greeting.nonce));
	name_of(family, &conn->remote, &conn->place, &name, &len);
	sys_fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	ret = sys_connect(fd, &name, len);
	done = (ret == 0 || (ret == -EINPROGRESS && becomes_ready(fd, POLLOUT, end))) &&
	       write_all(fd, &greeting, sizeof(greeting), end) &&
	       send_again(conn, family, fd, conn->tx.head - local_outq(conn), end);
	sys_fcntl(fd, F_SETFL, flags);
	return done;
}

/* The kernel has it. */
static void part_for_kernel(struct context *ctx, struct sock *s, int reason)
{
	sock_publish(s);
	stream_local_part(ctx, s, false);
	s->way = SOCK_KERNEL;
	record_reason(s->record, reason, NULL);
	ctx->stack->counter[FS_CTR_moved_to_kernel]++;
	stream_changed_sides(ctx, s);
	ctx->to_ring |= sock_sleepers(s);
}

bool stream_has_followed(const struct sock *s)
{
	return s->way == SOCK_KERNEL && s->record->reason == FS_REASON_peer_moved;
}

bool stream_local_follow(struct context *ctx, struct sock *s)
{
	int fd = stream_number(ctx, s);

	if (fd < 0)
		return false; /* a relative has a number of it */
	if (s->stream.is_unix)
		stream_unix_learn(s);
	if (stream_local_follow_by(s->stream.local_conn, stream_family(s), fd))
		part_for_kernel(ctx, s, FS_REASON_peer_moved);
	else
		stream_local_disconnect(ctx, s);
	return true;
}

/* --- the side that moves --- */

/* Where a connection goes on, and who came there. Anybody on the host may, and say nothing: nobody is waited for alone. */
struct waiting {
	int listener;
	int spare; /* a number kept for the one that is told: without one it would come in vain */
	struct local_place place;
	fs_ns end;
	uint64_t read_at;      /* where the one that was told has read up to */
	int visitor[VISITORS]; /* the oldest first */
	unsigned n;
};

static int leaves(struct waiting *w, unsigned i)
{
	int fd = w->visitor[i];

	w->n--;
	memmove(&w->visitor[i], &w->visitor[i + 1], (w->n - i) * sizeof(w->visitor[0]));
	return fd;
}

/* Is it who was told? -EAGAIN: it has not said it all; -EPERM: it is not. */
static int is_expected(struct waiting *w, int fd)
{
	struct greeting greeting;
	ssize_t n = sys_recvfrom(fd, &greeting, sizeof(greeting), MSG_DONTWAIT | MSG_PEEK, NULL, NULL);

	if (n == -EAGAIN || (n > 0 && n < (ssize_t)sizeof(greeting)))
		return -EAGAIN;
	if (n <= 0 || memcmp(greeting.what, GREETING, sizeof(greeting.what)) != 0 ||
	    memcmp(greeting.nonce, w->place.nonce, sizeof(greeting.nonce)) != 0)
		return -EPERM;
	sys_recvfrom(fd, &greeting, sizeof(greeting), MSG_DONTWAIT, NULL, NULL);
	w->read_at = greeting.read_at;
	return 0;
}

/* The one that was told, or -EAGAIN: it is not there yet. */
static int find_expected(struct waiting *w)
{
	int fd = sys_accept4(w->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd == -EMFILE && w->spare >= 0) {
		sys_close(w->spare);
		w->spare = -1;
		fd = sys_accept4(w->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	}
	if (w->n && (fd == -EMFILE || (fd >= 0 && w->n == VISITORS)))
		sys_close(leaves(w, 0)); /* the next look has its number */
	if (fd >= 0)
		w->visitor[w->n++] = fd;
	for (unsigned i = w->n; i-- > 0;) {
		int ret = is_expected(w, w->visitor[i]);

		if (ret == 0)
			return leaves(w, i);
		if (ret != -EAGAIN)
			sys_close(leaves(w, i));
	}
	return -EAGAIN;
}

/* The other side's socket, or -errno: it did not come. It may be in this very stack. */
static int await_other(struct context *ctx, const struct local_conn *conn, struct waiting *w)
{
	const struct timespec step = { .tv_nsec = STEP_NS };
	int fd;

	for (;;) {
		bool gone;

		stream_now(ctx);
		local_poll(ctx);
		gone = conn->flags & LOCAL_PEER_LEFT; /* before the look: it came before it left */
		fd = find_expected(w);
		if (fd < 0 && (gone || ((conn->flags & LOCAL_PEER_MOVED) && conn->link->side == 1)))
			fd = -ESHUTDOWN;
		else if (fd < 0 && host_clock_kernel() >= w->end)
			fd = -ETIMEDOUT;
		if (fd != -EAGAIN)
			break;
		sys_nanosleep(&step);
	}
	while (w->n)
		sys_close(leaves(w, 0));
	return fd;
}

/* Nobody is at the other end: what it sent, and how it ended. */
static int play_both(struct local_conn *conn, int family, int listener, const struct local_place *place, fs_ns end)
{
	const struct linger at_once = { .l_onoff = 1 };
	uint8_t piece[PIECE];
	struct iovec iov = { piece, sizeof(piece) };
	union place_name name;
	bool whole = true;
	socklen_t len;
	ssize_t n = 0;
	int other, fd;

	name_of(family, &conn->local, place, &name, &len);
	other = sys_socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (other < 0)
		return other;
	make_room(family, other);
	fd = sys_connect(other, &name, len);
	if (fd == 0)
		fd = sys_accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	while (fd >= 0 && whole && (n = local_recv(conn, &iov, 1, 0, 0)) > 0)
		whole = write_all(other, piece, (size_t)n, end);
	if (fd >= 0 && (conn->state == LOCAL_OVER || n < 0 || !whole))
		sys_setsockopt(other, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	if (fd >= 0 && family == AF_UNIX && (conn->state == LOCAL_OVER || n < 0 || !whole))
		sys_sendto(fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0); /* unread, it makes the close a reset */
	sys_close(other);
	if (fd >= 0)
		shut(fd, conn);
	return fd;
}

/* @made, which becomes the kernel's socket of @s, at all numbers of this process's. */
static void take_place(struct context *ctx, struct sock *s, int shadow, int made)
{
	long flags = sys_fcntl(shadow, F_GETFL, 0);
	socklen_t len = sizeof(s->cookie);

	stream_inherit(s, shadow, made);
	stream_settle_shadow(s, made);
	sys_fcntl(made, F_SETFL, flags);
	for (int fd = 0; fd <= ctx->fds.highest; fd++) {
		long own = context_live_sock(ctx, fd) == s ? sys_fcntl(fd, F_GETFD, 0) : -1;

		if (own >= 0)
			sys_dup3(made, fd, own & FD_CLOEXEC ? O_CLOEXEC : 0);
	}
	sys_getsockopt(made, SOL_SOCKET, SO_COOKIE, &s->cookie, &len);
	s->record->cookie = s->cookie;
	sys_close(made);
}

int stream_local_make_other(struct context *ctx, struct local_conn *conn, int family)
{
	struct waiting w = { .end = host_clock_kernel() + PATIENCE_NS };
	int fd;

	if (sys_getrandom(&w.place, sizeof(w.place), 0) != (ssize_t)sizeof(w.place))
		return -EIO;
	w.place.port = 0;
	fd = listen_here(conn, family, &w.listener, &w.place);
	if (fd < 0)
		return fd;
	w.spare = (int)sys_fcntl(w.listener, F_DUPFD_CLOEXEC, 0);
	fd = w.spare < 0 ? w.spare : local_move(conn, &w.place);
	if (fd == 0) {
		local_told(ctx, conn->link);
		fd = await_other(ctx, conn, &w);
		if (fd >= 0 && !send_again(conn, family, fd, w.read_at, w.end)) {
			sys_close(fd);
			fd = -EIO;
		}
	}
	if (w.spare >= 0)
		sys_close(w.spare);
	if ((fd == -ENOTCONN || fd == -ESHUTDOWN) && !(conn->flags & LOCAL_PEER_MOVED))
		fd = play_both(conn, family, w.listener, &w.place, w.end);
	sys_close(w.listener);
	return fd;
}

int stream_local_move(struct context *ctx, struct sock *s, int reason)
{
	int shadow = stream_number(ctx, s), fd;

	if (shadow < 0)
		return -EBADF;
	if (stream_local_waits(s)) {
		stream_local_leave(ctx, s, s->stream.is_unix ? -1 : shadow);
		return 0;
	}
	if (s->stream.local_conn->flags & LOCAL_PEER_MOVED)
		return stream_local_follow(ctx, s) ? 0 : -EBADF;
	if (s->stream.is_unix)
		stream_unix_learn(s);
	s->stream.local_moves = true;
	fd = stream_local_make_other(ctx, s->stream.local_conn, stream_family(s));
	s->stream.local_moves = false;
	/* Both sides moved at once: one of them follows. */
	if (fd < 0 && (s->stream.local_conn->flags & LOCAL_PEER_MOVED) && s->stream.local_conn->link->side == 1)
		return stream_local_follow(ctx, s) ? 0 : -EBADF;
	if (fd < 0)
		return fd;
	take_place(ctx, s, shadow, fd);
	part_for_kernel(ctx, s, reason);
	return 0;
}
