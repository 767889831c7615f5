/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream_internal.h - what the files of TCP sockets share. All with the stack's lock held.
 */
#ifndef FSOCK_CONTEXT_STREAM_INTERNAL_H
#define FSOCK_CONTEXT_STREAM_INTERNAL_H

#include <netinet/in.h>

#include "context/block.h"
#include "context/internal.h"
#include "context/stream.h"
#include "tcp/conn.h"

/* Options of more than one file, by their numbers: <netinet/tcp.h> does not go with the engine. */
enum {
	STREAM_OPT_ADDRFORM = 1, /* IPV6_ADDRFORM */
	STREAM_OPT_MAXSEG = 2,
	STREAM_OPT_INFO = 11,
	STREAM_OPT_INQ = 36, /* also the type of its message */
};

struct tcp_info_layout;

/* A socket address of either family. */
union stream_name {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* --- stream.c --- */

/* As context_enter(), for a stream. No lock before. */
struct sock *stream_enter(struct context *ctx, int fd);

/* The same after a look whether @fd is what it was. */
struct sock *stream_enter_checked(struct context *ctx, int fd);

/* Of @d's buffers, what lies behind the first @done bytes: all of them, or one's rest. Returns how many. */
int stream_rest_of(const struct datagram *d, size_t done, struct iovec *part, const struct iovec **iov);

/* This moment, for what follows. */
void stream_now(struct context *ctx);

/*
 * Wait a little for the socket behind @fd; @b is zero before the first time. @limit: ns from the first time on,
 * 0 = none. fds has room for BLOCKER_SPARE more entries behind @n. 0: look again; -EAGAIN: time is up; -EINTR;
 * CONTEXT_KERNEL; -ENOMEM. No lock before.
 */
int stream_pause(struct context *ctx, int fd, struct blocker *b, fs_ns limit, struct pollfd *fds, unsigned n);

/* The same for the socket alone, until it is ready for @events (POLLIN or POLLOUT), or more so. */
int stream_pause_for(struct context *ctx, int fd, struct blocker *b, fs_ns limit, short events);

/* There was no memory for what is to be sent, nor anything of the connection's own on the way that will free some;
 * others' bytes may. The kernel's sockets wait then, too, or say EAGAIN. As no event will tell when there is some, who
 * waits for room hears of it now and tries again. -EAGAIN. Lock held. */
ssize_t stream_starves(struct context *ctx, struct sock *s);

/* Before each pause of a call that moves bytes: with a part done it ends where a handler runs, whatever SA_RESTART says
 * (tcp_recvmsg_locked(), tcp_sendmsg_locked()). The first pause lets none run. */
static inline void stream_note_part(struct blocker *b, bool part)
{
	b->restartable &= !part;
}

/* Nobody tells when there is some: a call that may wait naps, @napped so far; @part of it is done. 0 = try again; -EAGAIN
 * at the time limit (0 = none), -EINTR. What @b waited for is over. No lock. */
int stream_await_memory(struct blocker *b, fs_ns limit, bool part, fs_ns *napped);

/* A call that does not wait found nothing for @event, of a connection over a link: its epoll sets hear of it when it
 * comes. Lock held. */
void stream_ask_for_sets(struct context *ctx, struct sock *s, uint32_t event);

/* What the connection that ended left to be told, once: -errno. CONTEXT_KERNEL: the shadow's word counts. */
int stream_take_error(struct sock *s);

/* recvmsg(MSG_ERRQUEUE). No lock before. */
ssize_t stream_receive_error(struct context *ctx, int fd, struct datagram *d);

/* The kernel's form of (@addr, @port) for a socket of the family, cut at *@len, which becomes the whole length. */
void stream_put_name(bool v6, const struct ip_addr *addr, uint16_t port, void *name, socklen_t *len);

/* --- stream_control.c --- */

/* Write the control messages of a receive into @d; TCP_INQ: @left bytes are still to read, -1 = nobody asked. @stamp:
 * tcp_stack.read_stamp. No lock before. */
void stream_put_control(struct context *ctx, int fd, int left, fs_ns stamp, struct datagram *d);

/* Control messages of a send: 0, -EINVAL; CONTEXT_KERNEL, and the connection is the kernel's now: only that tells
 * when what is sent leaves. No lock before. */
int stream_check_control(struct context *ctx, int fd, const struct datagram *d);

/* --- stream_connect.c --- */

/* Where to. False: irregular, or nothing that leaves this host; the kernel knows what to say. */
bool stream_get_name(bool v6, bool v6_only, const struct sockaddr *name, socklen_t len, struct ip_addr *addr,
		     uint16_t *port);

/* The way from @bound (any = not bound) to @remote by the fast path, or NULL and the reason. @named_port: as in struct
 * stream. @packed: what else decides. */
struct ip_dst *stream_way(struct context *ctx, const struct ip_addr *bound, bool named_port, uint64_t packed,
			  const struct ip_addr *remote, int *reason);

/* --- stream_option.c --- */

/* What the namespace's settings say where the program said nothing, once the engine is prepared. */
void stream_preset(const struct context *ctx, struct tcp_options *o);

/* What a new socket's options are, as the system presets them. */
void stream_read_options(struct context *ctx, struct sock *s, int fd);

/* What its listener gives to what it accepts. */
void stream_listener_options(struct stream *s);

/* @s, which only the kernel carries, may be one of several listeners of a port, and links would lead past it, or past a
 * program that says which of them is next (SO_ATTACH_REUSEPORT_CBPF): they lead to none of them. */
void stream_decline_group(struct context *ctx, const struct sock *s);

/* The shadow @to of a connection accepted by @listener, whose own is @from, gets the options that an accepted one
 * inherits. */
void stream_inherit(const struct sock *listener, int from, int to);

/* @fd is about to be the kernel's socket of @s, or of what @s accepted, and to know what its shadow did not have to:
 * setting SO_REUSEADDR for each connection accepted would be a system call for what nobody asks for. */
void stream_settle_shadow(const struct sock *s, int fd);

/* --- stream_listen.c --- */

/* Put the entries of listener @s in wherever they are missing. 0 or why not. */
int stream_steer(struct context *ctx, struct sock *s);

/* A twin of home's listener (sister.h), named already, listens in its stack. */
void stream_begin_twin(struct context *ctx, struct sock *s, uint32_t backlog);

/* Listener @s, which was leaving, has nobody left that waits for accept(): it is the kernel's alone. */
void stream_left(struct context *ctx, struct sock *s);

/* One more flow is the stack's, or no longer, on all ports. */
int stream_steer_flow(struct context *ctx, const struct tcp_end *end);
void stream_unsteer_flow(struct context *ctx, const struct tcp_end *end);

/* Answer getsockopt(2) with @have bytes of @from. 0, -EFAULT, -EINVAL. */
int stream_put_option(void *to, socklen_t *len, const void *from, socklen_t have);

/* --- stream_local.c --- */

#define STREAM_LOCAL_ANSWER_NS FS_MS(250) /* for the listener's program to answer: it may compute, or be stopped */
#define STREAM_LOCAL_LONG_NS FS_SEC(3) /* it was full so long: the kernel's own queue is tried, and its patience */
#define STREAM_LOCAL_FULL_NS FS_MS(200) /* until one that was full is tried again; the kernel would take a second */
enum { STREAM_LOCAL_ORDER = 16 /* of a byte ring: 64 KiB */ };

/* Who is called. */
struct stream_called {
	struct ip_addr addr;
	uint16_t port;
	const struct ip_addr *source; /* the kernel's choice of an address to call from; NULL = of the loopback network */
	bool beyond;		      /* in another network namespace */
};

/* Connect @s, whose shadow is @fd, over a link: -EINPROGRESS; -EADDRNOTAVAIL: the program named a port that talks to
 * @to already; or CONTEXT_KERNEL: nobody is reached so. */
int stream_local_connect(struct context *ctx, struct sock *s, int fd, const struct stream_called *to);

/* AF_INET, AF_INET6 or AF_UNIX. */
static inline int stream_family(const struct sock *s)
{
	return s->stream.is_unix ? AF_UNIX : s->stream.v6 ? AF_INET6 : AF_INET;
}

/* Is there memory for one more connection with rings of 1 << @order bytes over @link? */
bool stream_local_may_open(struct context *ctx, const struct local_link *link, unsigned order);

/* @s is connecting over a link: its connection is set. */
void stream_local_begun(struct context *ctx, struct sock *s);

/* Does the kernel know a way by which @d, the answer about an address, leaves this host? */
bool stream_leads_beyond(const struct ip_dst *d);

/* From which address, if the program has bound itself to @bound, or to none. */
struct ip_addr stream_local_source(const struct ip_addr *bound, const struct stream_called *to);

/* Why the kernel has an attempt that ended with @error, over @link. enum fs_reason */
int stream_local_reason(const struct context *ctx, const struct local_link *link, int error);

/* Those whose connect() was answered, or not in time: the shadows of the latter connect. */
void stream_local_settle(struct context *ctx);

/* When that has to be looked at again; FS_NEVER = it need not. */
fs_ns stream_local_next(const struct context *ctx);

/* Is it not known yet what becomes of it? */
bool stream_local_waits(const struct sock *s);

/* What connect() says of it: 0 or -EINPROGRESS. */
int stream_local_outcome(struct sock *s);

/* May @conn, which comes over a link, be who it says it is? (local_ops.admits) */
bool stream_local_admits(struct context *ctx, const struct local_conn *conn);

/* accept4(2) at @listener, whose number is @from, of a connection that waits there: a descriptor or -errno. */
int stream_local_accept(struct context *ctx, struct sock *listener, int from, struct sockaddr *name, socklen_t *len,
			int flags);

/* As stream_end(), stream_disconnect(), stream_shutdown() of a connection over a link; the first one ends a listener
 * for such, too. */
void stream_local_end(struct context *ctx, struct sock *s);
void stream_local_disconnect(struct context *ctx, struct sock *s);
int stream_local_shutdown(struct context *ctx, struct sock *s, int how);

/* The connection is the socket's no more, and the other side was told; by a @reset, or in order. */
void stream_local_part(struct context *ctx, struct sock *s, bool reset);

/* The attempt is given up. The shadow @fd connects; -1: who waits in connect() has it do that. */
void stream_local_leave(struct context *ctx, struct sock *s, int fd);

/* What the program set that such a connection heeds. */
void stream_local_set_options(struct sock *s);

/* What TCP would show of @conn, on which nothing is lost. */
void stream_local_info(struct local_conn *conn, struct tcp_info_layout *info);

/* getsockopt(2), as stream_get_option(). */
int stream_local_get_option(struct context *ctx, struct sock *s, int level, int name, void *value, socklen_t *len);

/* --- stream_unix.c --- */

/* The shadow @fd of the Unix socket @s was bound just now. */
void stream_unix_bound(struct sock *s, int fd);

/* It listens, and links lead to it. */
void stream_unix_listens(struct sock *s, int fd);

/* What the other side says it is called, once it has said so. */
void stream_unix_learn(struct sock *s);

/* @s has its connection, which @listener accepted. */
void stream_unix_accepted(struct sock *s, const struct sock *listener);

/* Its name, or the other end's, of a connection over a link; as stream_put_name(). */
void stream_unix_put_name(const struct sock *s, bool peer, void *to, socklen_t *len);

/* How the listener known by @id is called. */
struct local_call stream_unix_call(const struct sock *s, const struct ip_addr *id);

/* connect(2), until an answer is to be waited for: -EINPROGRESS, -EISCONN or CONTEXT_KERNEL. */
int stream_unix_begin(struct context *ctx, struct sock *s, int fd, const struct sockaddr *to, socklen_t len);

/* What comes of it: 0, -EAGAIN where the listener has no room and the socket does not wait, or not any longer; -EINTR;
 * CONTEXT_KERNEL. No lock before. */
int stream_unix_wait(struct context *ctx, int fd, const struct sockaddr *to, socklen_t len, fs_ns limit);

/* Before a send that names somebody, or has an urgent byte: 0; -EISCONN; CONTEXT_KERNEL, and the connection is the
 * kernel's now, which alone carries that; -ECONNRESET: it could not move. Other sockets: 0. No lock before. */
int stream_unix_check(struct context *ctx, int fd, const struct datagram *d);

/* The same of a send with control messages, of a Unix socket: CONTEXT_KERNEL or -ECONNRESET. */
int stream_unix_to_kernel(struct context *ctx, int fd);

/* What the sender is called, for a receive. The length of its name. No lock before. */
socklen_t stream_unix_put_source(struct context *ctx, int fd, const struct datagram *d);

/* Is an option that was set only the kernel's to carry? */
bool stream_unix_declines(int level, int name);

/* getsockopt(2), as stream_get_option(), of a connection over a link. */
int stream_unix_get_option(struct context *ctx, struct sock *s, int level, int name, void *value, socklen_t *len);

/* --- stream_moved.c --- */

/* @conn, of a socket of @family, moves: a socket that carries it on, not blocking, which the other side has been told of;
 * or -errno, as stream_local_move(). */
int stream_local_make_other(struct context *ctx, struct local_conn *conn, int family);

/* The other side of @conn did that: the fresh socket @fd becomes what it waits for. */
bool stream_local_follow_by(struct local_conn *conn, int family, int fd);

/* The connection of @s, or its attempt, becomes the kernel's, for @reason (enum fs_reason). 0 or -errno: then it is as
 * it was, but the other side may have been told that it ends. */
int stream_local_move(struct context *ctx, struct sock *s, int reason);

/* The other side did that: the shadow follows. False: this process has no number of it. */
bool stream_local_follow(struct context *ctx, struct sock *s);

/* Is @s the kernel's because it followed? Then its shadow is connected, also where connect() is still to hear of it. */
bool stream_has_followed(const struct sock *s);

/* --- stream_rest.c --- */

/* A call under way whose connection became the kernel's after @done bytes. */
struct stream_rest {
	struct context *ctx;
	int fd;
	struct blocker *b;	/* it has waited before */
	const struct datagram *d;
	short events;		/* POLLIN: it receives; POLLOUT: it sends */
	fs_ns limit;		/* as stream_pause() */
	size_t done, target;	/* bytes; it is over with so many */
	int left;		/* in the end: bytes still to read */
};

/* Go on until all is done, or the call's end comes otherwise. Returns what is done then. No lock. */
size_t stream_rest(struct stream_rest *r);

/* --- stream_end.c --- */

/* The shadow's address, into the socket. */
void stream_read_names(struct sock *s, int fd);

/* The socket of the fresh descriptor @fd that @listener accepts; NULL = no memory. Its connection is to be set. */
struct sock *stream_adopt(struct context *ctx, int fd, const struct sock *listener, int flags);

/* @s, a socket adopted as @fd, has its connection, which @listener accepted, whose number is @from. */
void stream_accepted(struct sock *s, int fd, const struct sock *listener, int from);

/* @s, whose shadow is @fd, listens for the kernel alone: its O_NONBLOCK is the program's again. @fd < 0: whoever has
 * one does it. */
void stream_give_flags_back(const struct sock *s, int fd);

/* Listener @s, which was lent (lent.c), has no holder any more but heirs: what waits goes to its shadow, and without heirs
 * all of it. @reason: as context_give_back(). */
void stream_give_back(struct context *ctx, struct sock *s, int reason);

/* A socket that is the kernel's alone: its descriptor is libc's from now on, with a record. False: not yet. */
bool stream_retire(struct context *ctx, struct sock *s, int fd);

/* The connection, if it is one still, is reset; the socket may connect anew. As the kernel's tcp_disconnect(): who asks
 * then learns of the reset, and the port stays in sight. */
void stream_disconnect(struct context *ctx, struct sock *s);

/* MSG_FASTOPEN on a socket that has a connection: what connect() would say, but 0 where one waits for data to take
 * along. */
int stream_send_connects(struct context *ctx, struct sock *s);

/* From now on everything about @s comes from the engine, or from the shadow again: what the kernel's epoll sets
 * hold follows. */
void stream_changed_sides(struct context *ctx, struct sock *s);

#endif
