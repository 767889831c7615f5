/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream_unix.c - streams of Unix sockets over links: which listener a name means, connecting, names, what the kernel
 * says of the other end.
 *
 * Such a stream is one of a link as TCP's are (stream_local.c), under other names. Its shadow is a Unix socket that is
 * not connected. A listener is known by its file's device and inode or by its abstract name's hash, whatever a program
 * calls it by; what it is called, each side tells the other ahead of the bytes. What the kernel would say of who is at
 * the other end is asked of the link's own socket, and a link is of one listener and one process that calls (local.h).
 *
 * Not here: what differs in the bytes and their ends (src/local/conn.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/reason.h"
#include "context/handover.h"
#include "context/local.h"
#include "context/stream_internal.h"
#include "sys/sys.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

enum {
	PATH_AT = offsetof(struct sockaddr_un, sun_path),
	ORDER = 18, /* of a byte ring: 256 KiB, as much as the kernel's buffers hold by default, and a little more */
};

_Static_assert((int)STREAM_UNIX_NAME == (int)sizeof(struct sockaddr_un) + 1, "names fit");
_Static_assert((int)STREAM_UNIX_NAME == (int)LOCAL_AHEAD_MAX, "whole");

/* --- names --- */

/* As given by the program, with a zero behind it. The kernel counts that one where the path has none. */
struct name {
	union {
		struct sockaddr_un un;
		char bytes[STREAM_UNIX_NAME];
	};
	socklen_t len;
};

static bool read_name(const struct sockaddr *from, socklen_t len, struct name *name)
{
	memset(name, 0, sizeof(*name));
	if (!from || len <= PATH_AT || len > sizeof(name->un))
		return false;
	memcpy(name->bytes, from, len);
	name->len = len;
	return name->un.sun_family == AF_UNIX;
}

static bool is_abstract(const struct name *name)
{
	return name->un.sun_path[0] == '\0';
}

/* The shadow's own; of no length beyond the family where it has none. */
static void own_name(int fd, struct name *name)
{
	memset(name, 0, sizeof(*name));
	name->len = sizeof(name->bytes);
	if (sys_getsockname(fd, name->bytes, &name->len) < 0)
		name->len = 0;
	if (name->len <= PATH_AT)
		name->len = 0;
}

void stream_unix_bound(struct sock *s, int fd)
{
	struct name name;
	struct stat st;

	own_name(fd, &name);
	s->stream.local = (struct ip_addr){ 0 };
	if (name.len == 0)
		return;
	if (is_abstract(&name))
		s->stream.local = local_unix_abstract(name.un.sun_path, name.len - PATH_AT);
	else if (sys_fstatat(AT_FDCWD, name.un.sun_path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(st.st_mode))
		s->stream.local = local_unix_path(st.st_dev, st.st_ino);
}

/* Which listener @name means, and may this process connect to it, as far as the file says? Its descriptor, if it has
 * one, is the caller's then. */
static bool find_called(struct context *ctx, const struct name *name, struct local_called *called)
{
	struct stat st;
	int file;

	*called = (struct local_called){ .file = -1 };
	if (is_abstract(name)) {
		called->name = name->un.sun_path;
		called->name_len = name->len - PATH_AT;
		called->id = local_unix_abstract(called->name, called->name_len);
		return true;
	}
	file = sys_fd_raise(sys_openat(AT_FDCWD, name->un.sun_path, O_PATH | O_CLOEXEC, 0), ctx->fd_floor);
	if (file < 0)
		return false;
	if (sys_fstat(file, &st) == 0 && S_ISSOCK(st.st_mode) &&
	    sys_faccessat2(file, "", W_OK, AT_EMPTY_PATH | AT_EACCESS) == 0) {
		called->file = file;
		called->id = local_unix_path(st.st_dev, st.st_ino);
		return true;
	}
	sys_close(file);
	return false;
}

/* --- listening --- */

void stream_unix_listens(struct sock *s, int fd)
{
	struct name name;

	own_name(fd, &name);
	s->stream.own_len = (uint8_t)name.len;
	memcpy(s->stream.own_name, name.bytes, name.len);
	s->stream.local_listener.ahead = s->stream.own_name;
	s->stream.local_listener.ahead_len = s->stream.own_len;
}

void stream_unix_learn(struct sock *s)
{
	sa_family_t family = AF_UNIX;
	size_t len;

	if (s->stream.local_conn->ahead == 0)
		return;
	len = local_take_ahead(s->stream.local_conn, s->stream.peer_name);

	s->stream.peer_len = (uint8_t)(len > PATH_AT ? len : 0);
	if (s->stream.peer_len)
		memcpy(s->stream.peer_name, &family, sizeof(family));
}

void stream_unix_accepted(struct sock *s, const struct sock *listener)
{
	s->stream.peer_len = 0;
	s->stream.own_len = listener->stream.own_len;
	memcpy(s->stream.own_name, listener->stream.own_name, sizeof(s->stream.own_name));
	stream_unix_learn(s);
}

void stream_unix_put_name(const struct sock *s, bool peer, void *to, socklen_t *len)
{
	const uint8_t *name = peer ? s->stream.peer_name : s->stream.own_name;
	struct sockaddr_un nobody = { .sun_family = AF_UNIX };
	socklen_t whole = peer ? s->stream.peer_len : s->stream.own_len;

	if (whole == 0)
		memcpy(to, &nobody, FS_MIN(*len, (socklen_t)PATH_AT));
	else
		memcpy(to, name, FS_MIN(*len, whole));
	*len = whole ? whole : (socklen_t)PATH_AT;
}

/* --- connecting --- */

struct local_call stream_unix_call(const struct sock *s, const struct ip_addr *id)
{
	return (struct local_call){
		.remote = *id,
		.send_order = ORDER,
		.receive_order = ORDER,
		.is_unix = true,
		.ahead = s->stream.own_name,
		.ahead_len = s->stream.own_len,
	};
}

static int begin(struct context *ctx, struct sock *s, int fd, const struct local_called *called)
{
	struct local_call call;
	struct local_link *link = local_find_unix(ctx, called);
	struct name own;

	if (!link || !stream_local_may_open(ctx, link, ORDER))
		return CONTEXT_KERNEL;
	own_name(fd, &own);
	s->stream.own_len = (uint8_t)own.len;
	memcpy(s->stream.own_name, own.bytes, own.len);
	call = stream_unix_call(s, &called->id);
	if (local_connect(link, &call, s, &s->stream.local_conn) < 0)
		return CONTEXT_KERNEL;
	stream_local_begun(ctx, s);
	return -EINPROGRESS;
}

static int decline(struct context *ctx, struct sock *s, int reason)
{
	record_reason(s->record, reason, NULL);
	sock_publish(s);
	return CONTEXT_KERNEL;
}

int stream_unix_begin(struct context *ctx, struct sock *s, int fd, const struct sockaddr *to, socklen_t len)
{
	struct local_called called;
	struct name name;
	int ret;

	if (sock_is_engines(s))
		return -EISCONN;
	if (s->way != SOCK_UNDECIDED)
		return CONTEXT_KERNEL;
	if (s->stream.declined)
		return decline(ctx, s, FS_REASON_option);
	if (!s->stream.same_netns && !context_same_namespace(ctx, fd))
		return decline(ctx, s, FS_REASON_namespace);
	ctx->local.no_memory = false;
	s->stream.peer_len = 0;
	if (!read_name(to, len, &name) || !find_called(ctx, &name, &called))
		return CONTEXT_KERNEL;
	memcpy(s->stream.peer_name, name.bytes, name.len); /* to be shown, until the listener says how it is called */
	s->stream.peer_len = (uint8_t)name.len;
	ret = begin(ctx, s, fd, &called);
	if (called.file >= 0)
		sys_close(called.file);
	if (ret != CONTEXT_KERNEL)
		return ret;
	return decline(ctx, s, ctx->local.no_memory ? FS_REASON_memory : FS_REASON_unlinked);
}

/* The attempt is over, and the socket as it was before. */
static void abandon(struct context *ctx, struct sock *s)
{
	stream_local_disconnect(ctx, s);
	s->stream.error = 0;
	s->stream.last_port = 0;
}

/* Of an abstract name the listener has only shown that its hash is that. */
static bool is_called(const struct sock *s, const struct sockaddr *to, socklen_t len)
{
	struct name name;

	return read_name(to, len, &name) && (!is_abstract(&name) || (s->stream.peer_len == name.len &&
							       memcmp(s->stream.peer_name, name.bytes, name.len) == 0));
}

/* What has become of it; @late: 0, or why it is not waited for any longer. */
static int outcome(struct context *ctx, struct sock *s, const struct sockaddr *to, socklen_t len, int late)
{
	const struct local_conn *conn = s->stream.local_conn;

	if (!conn)
		return stream_has_followed(s) ? 0 : CONTEXT_KERNEL;
	if (!stream_local_waits(s)) {
		stream_unix_learn(s);
		s->stream.connecting = false;
		if (is_called(s, to, len))
			return 0;
		abandon(ctx, s);
		return CONTEXT_KERNEL;
	}
	if (conn->state == LOCAL_OVER && conn->error == ENOBUFS && s->nonblock)
		late = -EAGAIN;
	/* The kernel waits where there is no room, and nowhere else: a signal ends no other wait. */
	if (late == -EINTR && conn->error != ENOBUFS)
		late = 0;
	if (late)
		abandon(ctx, s);
	return late ? late : -EINPROGRESS;
}

int stream_unix_wait(struct context *ctx, int fd, const struct sockaddr *to, socklen_t len, fs_ns limit)
{
	struct pollfd fds[BLOCKER_SPARE];
	BLOCKER(b);
	int ret = 0;

	do {
		struct sock *s;
		int late = ret == -EINPROGRESS ? stream_pause(ctx, fd, &b, limit, fds, 0) : 0;

		s = stream_enter(ctx, fd);
		if (!s)
			return CONTEXT_KERNEL;
		context_poll(ctx);
		ret = context_live_sock(ctx, fd) == s ? outcome(ctx, s, to, len, FS_MIN(late, 0)) : CONTEXT_KERNEL;
		context_leave(ctx);
	} while (ret == -EINPROGRESS);
	return ret;
}

/* --- beside the bytes --- */

int stream_unix_to_kernel(struct context *ctx, int fd)
{
	return handover_fd(ctx, fd, FS_REASON_flag) == 0 ? CONTEXT_KERNEL : -ECONNRESET;
}

int stream_unix_check(struct context *ctx, int fd, const struct datagram *d)
{
	struct sock *s = stream_enter(ctx, fd);
	bool is_local = s && s->stream.is_unix && s->stream.local_conn;

	if (s)
		context_leave(ctx);
	if (!is_local)
		return 0;
	return d->name && d->name_len ? -EISCONN : d->flags & MSG_OOB ? stream_unix_to_kernel(ctx, fd) : 0;
}

socklen_t stream_unix_put_source(struct context *ctx, int fd, const struct datagram *d)
{
	struct sock *s = d->name ? stream_enter(ctx, fd) : NULL;
	socklen_t len = d->name_len;

	if (!s)
		return 0;
	stream_unix_put_name(s, true, d->name, &len);
	context_leave(ctx);
	return len;
}

/* --- options --- */

bool stream_unix_declines(int level, int name)
{
	if (level != SOL_SOCKET)
		return true;
	switch (name) {
	case SO_PASSCRED:
	case SO_PASSSEC:
	case SO_PEEK_OFF:
	case SO_ATTACH_FILTER:
	case SO_ATTACH_BPF:
		return true;
	default:
		return name >= SO_PEERPIDFD - 1 && name != SO_PEERPIDFD; /* SO_PASSPIDFD, and what came after it */
	}
}

int stream_unix_get_option(struct context *ctx, struct sock *s, int level, int name, void *value, socklen_t *len)
{
	struct name peer;
	socklen_t whole = sizeof(peer.bytes);

	if (level != SOL_SOCKET)
		return CONTEXT_KERNEL;
	switch (name) {
	case SO_PEERCRED:
	case SO_PEERSEC:
	case SO_PEERGROUPS:
	case SO_PEERPIDFD:
		return local_unix_peer(ctx, s->stream.local_conn, name, value, len);
	case SO_PEERNAME:
		stream_unix_put_name(s, true, peer.bytes, &whole);
		return len && (int)*len > (int)whole ? -EINVAL : stream_put_option(value, len, peer.bytes, whole);
	default:
		return CONTEXT_KERNEL;
	}
}
