/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream.h - the TCP half of a socket, and that of a Unix socket of bytes: what it has beside the engine's connection
 * or listener.
 *
 * A stream socket is SOCK_UNDECIDED until it connects or listens. As SOCK_FAST it has a connection or a listener of the
 * engine's, or a connection to another process of this host through shared memory (local_conn); a listener may take such,
 * too, or only such. A listener's shadow listens, too, in the kernel. The shadow of a connection is a fresh kernel socket
 * that is used for nothing but options and descriptors, until the connection moves there (DESIGN D3, D13).
 *
 * Lives in: stack memory, in struct sock.
 * Threads:  holder of the stack's lock only.
 */
#ifndef FSOCK_SOCKET_STREAM_H
#define FSOCK_SOCKET_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/clock.h"
#include "local/conn.h"
#include "tcp/tcp.h"

enum { STREAM_STACKS = 8, /* of one process */ STREAM_UNIX_NAME = 111 /* struct sockaddr_un, and a zero */ };

struct stream {
	struct tcp_conn *conn;	      /* the engine's; its `user` is the sock. NULL = none */
	struct tcp_listener listener; /* listens while listener.stack is set */
	struct tcp_options options;   /* as the program set them: what a connection or listener begins with */
	struct tcp_listen_options listening; /* likewise, a listener's alone, but for v6_only */
	struct ip_addr local;	      /* the shadow is bound to, any = no address */
	uint16_t local_port;	      /* likewise; 0 = not bound, or to an address only. Host order */
	uint16_t last_port;	      /* of the connection that ended last, which getsockname() still shows; 0 = none */
	int error;		      /* what it left to be told, as the kernel's tcp_disconnect(); 0 = nothing */
	bool v6, v6_only;
	bool named_port;	      /* the program chose local_port: no client that ends soon (DESIGN D4) */
	bool connecting;	      /* connect() has not said yet what became of it */
	bool same_netns;	      /* made in the stack's network namespace, in which it stays */
	bool reuseaddr;		      /* SO_REUSEADDR was set: the shadow of an accepted one need not know */
	bool reuseport;
	uint8_t leaving;	      /* listener: enum fs_reason why it is the kernel's, but for what waits for accept();
					 0 = it is not */
	bool took_kernel;	      /* listener: the fast path's turn at accept(), after the shadow's */
	uint32_t ifindex;	      /* SO_BINDTODEVICE; 0 = any */
	int32_t peek_off;	      /* SO_PEEK_OFF; -1 = off */
	fs_ns sndtimeo;		      /* SO_SNDTIMEO; 0 = none */
	uint64_t inherit[2];	      /* options set that accepted ones inherit, by bit of their table */
	bool declined;		      /* an option is set that only the kernel carries */
	bool zerocopy;		      /* SO_ZEROCOPY */
	bool tells_inq;		      /* TCP_INQ: a control message says what is left to read */
	uint32_t abandoned;	      /* whether the shadow was reset when the stack broke (context/broken.c); atomic */
	struct sock *home;	      /* a twin's (context/sister.h): home's listener; borrowed */
	uint32_t home_generation;     /* which it had */
	uint32_t untold;	      /* a twin's connections that home was not told of for want of room */
	uint32_t elsewhere[STREAM_STACKS]; /* listener: how many wait at its twins, by index of their stack */
	uint8_t turn;		      /* of the stack whose connection was accepted last */
	bool alone;		      /* it shall have no twins */
	struct local_conn *local_conn; /* to another process of the host, instead of conn; its `user` is the sock */
	struct local_listener local_listener; /* by_links: takes connections from such */
	struct list of_local;	      /* listeners, or those that are connecting (context/local.h) */
	bool by_links;
	bool local_moves;	      /* to the kernel, just now */
	bool took_local;	      /* listener: the others' turn at accept(), after one from a link */
	uint16_t local_own_port;      /* the shadow was bound to, for a connection over a link; 0 = it was not */
	fs_ns local_since, local_begun; /* connecting so: since the last attempt, the first one; following: when to look */
	bool is_unix;		      /* a Unix socket: only links carry it, it has no port, and `local` is what it is
					 known by on the host once it is bound (context/stream_unix.c) */
	uint8_t own_len, peer_len;    /* of such, once it has a connection: names as getsockname() and getpeername() */
	uint8_t own_name[STREAM_UNIX_NAME], peer_name[STREAM_UNIX_NAME]; /* have them; 0 = no name */
	uint32_t copied, told;	      /* sends with MSG_ZEROCOPY; of them, completed and reported */
};

/* Does it take connections over links, and one waits? */
static inline bool stream_has_by_link(const struct stream *s)
{
	return s->by_links && s->local_listener.waiting > 0;
}

/* Are they of one group (SO_REUSEPORT)? */
static inline bool stream_shares_port(const struct stream *s, const struct stream *other)
{
	return s->reuseport && other->reuseport && s->local_port && s->local_port == other->local_port;
}

/* Connections that wait for accept(), at a listener or its twins. */
static inline uint32_t stream_waiting(const struct stream *s)
{
	uint32_t n = s->listener.n_ready;

	for (unsigned i = 0; i < STREAM_STACKS; i++)
		n += s->elsewhere[i];
	return n;
}

/* By the engine. */
static inline bool stream_listens(const struct stream *s)
{
	return s->listener.stack != NULL;
}

/* By the engine, or for links, or both. */
static inline bool stream_is_listener(const struct stream *s)
{
	return stream_listens(s) || s->by_links;
}

#endif
