/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conn.h - connections over a link, and listeners for them: what TCP's sockets see, without TCP.
 *
 * Does:     connect, accept, send, receive, urgent bytes, half closes, resets, readiness; of such between Unix sockets
 *           what differs, which is how they end, and that each side has a few bytes for the other ahead of the stream.
 * Does not: know descriptors, options that have no effect here, blocking: -EAGAIN, and local_conn_wait() to be told.
 * Threads:  holder of the stack's lock only.
 * Errors:   0 or a count, or -errno.
 *
 * A connection is its user's from local_connect() or local_accept() until local_close() or local_abort(), whatever
 * becomes of it or of its link; only then may the link's memory go.
 */
#ifndef FSOCK_LOCAL_CONN_H
#define FSOCK_LOCAL_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/list.h"
#include "local/stream.h"
#include "local/tap.h"

struct local_link;
struct local_ops;

enum { LOCAL_NO_SLOT = UINT32_MAX };

/* What may be done now (levels), and what just became possible (edges); the bits are enum tcp_ready's. */
enum local_ready {
	LOCAL_READY_IN = 1 << 0,    /* receive gives bytes, 0 or an error; accept gives a connection */
	LOCAL_READY_OUT = 1 << 1,   /* send takes bytes or gives an error */
	LOCAL_READY_PRI = 1 << 2,   /* an urgent byte waits */
	LOCAL_READY_ERR = 1 << 3,   /* an error waits in SO_ERROR */
	LOCAL_READY_HUP = 1 << 4,   /* both directions are shut */
	LOCAL_READY_RDHUP = 1 << 5, /* the peer shut, or we shut reading */
};

/*
 * enum local_state - life of a slot, on one side
 *
 * FREE       nobody has it. Ours: local_connect() takes it. Theirs: OPEN does.
 * CONNECTING we sent OPEN. Send and shut down as in ESTABLISHED; nothing comes. Exits: ACCEPTED, REFUSED, its user
 *            closes.
 * QUEUED     came by OPEN, waits in a listener. As ESTABLISHED, but nobody has it yet. Exits: accept, the listener
 *            closes.
 * ESTABLISHED
 *            a user has it, and bytes move, unless flags say otherwise.
 * OVER       a user has it, and it is ended: refused, reset, or its link is no more. What came can be read; `error`
 *            says why.
 * LEFT       its user, if it had one, has closed. Waits for the other side to end, and for our own messages to leave.
 */
enum local_state {
	LOCAL_FREE,
	LOCAL_CONNECTING,
	LOCAL_QUEUED,
	LOCAL_ESTABLISHED,
	LOCAL_OVER,
	LOCAL_LEFT,
	LOCAL_N_STATES
};

extern const char *const local_state_name[LOCAL_N_STATES];

enum local_conn_flags {
	LOCAL_FIN_SENT = 1 << 0,      /* we shut writing */
	LOCAL_FIN_RECEIVED = 1 << 1,  /* no more bytes come than have been seen */
	LOCAL_SHUT_RD = 1 << 2,	      /* we shut reading */
	LOCAL_PEER_LEFT = 1 << 3,     /* the other side said its last, or cannot any more */
	LOCAL_WE_LEFT = 1 << 4,	      /* we said our last, or have it to say */
	LOCAL_ANSWERED = 1 << 5,      /* ACCEPTED came, or we sent it */
	LOCAL_OOB_INLINE = 1 << 6,    /* SO_OOBINLINE: set by local_conn_set_inline() */
	LOCAL_PEER_MOVED = 1 << 7,    /* the other side waits at `place` */
	LOCAL_TAPPED = 1 << 8,	      /* somebody captures what it carries, from its beginning on (tap.h) */
	LOCAL_UNIX = 1 << 9,	      /* between Unix sockets: never tapped, no urgent bytes */
};

/* What a user keeps beside its connection: nothing here looks at it. */
struct local_own {
	uint32_t user_timeout_ms;
	uint16_t keep_idle_s; /* 0 = it is not to be kept alive */
	bool nodelay, resets; /* TCP_NODELAY; SO_LINGER of 0 */
	bool bound;	      /* the user chose the address that it calls from */
	bool settling;	      /* `queued` is in the list of those that connect, or follow */
	bool moving;	      /* to the kernel, just now */
	fs_ns since, begun;   /* connecting: since the last attempt, the first one */
	struct list starved;  /* local_link.starving, or the user's list of such */
	fs_ns starved_since;  /* since when nothing is read, */
	uint64_t starved_at;  /* behind this byte */
};

struct local_conn {
	/* --- looked at by each call that moves bytes --- */
	uint8_t state;	 /* enum local_state */
	bool is_plain;	 /* a user may send, and there is no flag or error that sending has to look at */
	uint16_t flags;	 /* enum local_conn_flags */
	int32_t error;	 /* pending, positive; 0 = none */
	struct local_link *link;
	struct local_tx tx;
	struct local_rx rx;
	void *user;	 /* the user's own */

	/* --- the rest --- */
	uint32_t owed;	 /* messages to be sent, 1 << enum local_kind each */
	uint32_t next;	 /* slot: in the chain of those that owe, or of the free ones */
	uint32_t ring[2]; /* where the byte ring of each way is; of ours: handed out */
	uint8_t order[2];
	bool is_owing;	 /* is in that chain */
	uint8_t grown_order; /* of a larger ring for what this side sends, handed out; 0 = there is none */
	uint32_t grown;	 /* where it is */
	uint16_t remote_port, local_port; /* host order */
	uint8_t ahead, ahead_sent; /* bytes for local_take_ahead(), and those of this side's */
	uint32_t refusal; /* what REFUSED says */
	uint32_t low_water; /* SO_RCVLOWAT: so many bytes make it readable; 0 = 1 */
	uint64_t listener_id;
	uint64_t urgent_taken; /* as rx.urgent: the urgent byte that was read as such */
	struct ip_addr remote, local;
	uint64_t counted_rx, counted_tx; /* bytes of each way that its link counts */
	struct local_tap tap;
	struct local_place place; /* where the other side, or this one, goes on */
	struct local_listener *listener; /* QUEUED: borrowed; else NULL */
	struct list queued;		 /* in its queue; of one that has a user, the user's own */
	struct local_own own;
};

/* A listening endpoint, embedded in a socket. Links of any number bring it connections. */
struct local_listener {
	struct list queue;  /* local_conn.queued, the oldest first */
	uint32_t waiting;   /* how many */
	uint32_t backlog;   /* how many may wait: what the dialling sides may use up together */
	const void *ahead;  /* of a Unix socket: @ahead_len bytes for who connects, LOCAL_AHEAD_MAX at most; borrowed */
	uint32_t ahead_len;
	void *user;
};

/* Have @n bytes been seen already? Then a look for so many is at nothing that the other side writes. */
static inline bool local_has_seen(const struct local_conn *conn, size_t n)
{
	return conn->rx.seen_head - conn->rx.pos >= n;
}

/* Whom to call. */
struct local_call {
	uint64_t listener;		  /* as the rendezvous named it */
	struct ip_addr local, remote;	  /* the caller's own address, and the one it called */
	uint16_t local_port, remote_port; /* host order */
	uint8_t send_order, receive_order; /* of the byte rings: LOCAL_ORDER_MIN to _MAX */
	bool is_unix;			  /* between Unix sockets, which have no ports: */
	uint8_t ahead_len;		  /* so many bytes, LOCAL_AHEAD_MAX at most, */
	const void *ahead;		  /* are for who accepts; borrowed */
};

/*
 * Begin a connection. 0, and *conn is CONNECTING: an event tells how it went on. Bytes may be sent already. -ENOBUFS:
 * this side's half has no slot or no room; -ENOTCONN: the link is no more. Then another way has to be taken, as when
 * the error is ENOBUFS that the connection comes to: the listener is full. ECONNREFUSED: there is none.
 */
int local_connect(struct local_link *link, const struct local_call *call, void *user, struct local_conn **conn);

void local_listener_init(struct local_listener *listener, uint32_t backlog, void *user);

/* The oldest connection that waits, or NULL. */
struct local_conn *local_accept(struct local_listener *listener, void *user);

/* Whoever waits is reset. The listener may go. */
void local_listener_close(struct local_listener *listener);

/* Of Unix sockets: what the other side sent ahead, into @to, where there is room for LOCAL_AHEAD_MAX bytes. How many; it
 * is taken once, before anything is received. */
size_t local_take_ahead(struct local_conn *conn, void *to);

enum local_send_flags { LOCAL_SEND_OOB = 1 << 0 /* the last byte is urgent */ };

/* Bytes taken (may be fewer than given), or -EAGAIN (no room), -EPIPE (shut or ended), or the pending error, which is
 * thereby taken. */
ssize_t local_send(struct local_conn *conn, const struct iovec *iov, int n, uint32_t flags);

enum local_recv_flags {
	LOCAL_RECV_PEEK = 1 << 0,
	LOCAL_RECV_OOB = 1 << 1,
	LOCAL_RECV_TRUNC = 1 << 2, /* discard */
};

/* Copy bytes that came; stops at the urgent mark as TCP's receive does. @offset: with PEEK, where to begin. Bytes, 0 at
 * the end, or -EAGAIN, -EINVAL (OOB: none), -ENOTCONN, or the pending error, which is thereby taken. */
ssize_t local_recv(struct local_conn *conn, const struct iovec *iov, int n, uint32_t flags, uint32_t offset);

/*
 * The ring for what this side sends gives place to one of 1 << @order bytes, larger than it, of this side's half: there is
 * room then, though nothing was read. Once a connection, not before its first byte. An event tells that it can send. 0;
 * -ENOBUFS: there was one, or there is no room for it; -ENOTCONN: nothing is sent any more.
 */
int local_grow(struct local_conn *conn, unsigned order);

/*
 * Tell the other side that this one goes on at @place. Nothing is read or written here from then on; bytes that the
 * other side has not read, each sends again there. 0; -ENOTCONN: there is no such connection, or no other side any more.
 */
int local_move(struct local_conn *conn, const struct local_place *place);

/* For that: where the other side's bytes were read up to, and @len bytes that this side sent, from position @from on.
 * Returns how many of them there are. */
uint64_t local_read_at(const struct local_conn *conn);
size_t local_sent(const struct local_conn *conn, uint64_t from, void *to, size_t len);

/* Shut a direction (bits). 0 or -ENOTCONN. Where a Unix socket reads no more, the other one's send() gives -EPIPE. */
enum local_shut { LOCAL_SHUT_READING = 1 << 0, LOCAL_SHUT_WRITING = 1 << 1 };
int local_shutdown(struct local_conn *conn, uint32_t how);

/* The user is done with it: an orderly end, or a reset if bytes that came were not read. What was sent can still be
 * read by the other side. */
void local_close(struct local_conn *conn);

/* The same with a reset in any case. */
void local_abort(struct local_conn *conn);

/* The connection is OVER with @error, and the user still has it. The other side is reset, of a slot of its own once the user
 * lets go of it. */
void local_break(struct local_conn *conn, int error);

/* The link counts what was read and written up to now. (What moves bytes does not: it has a count of its own to keep.) */
void local_conn_count(struct local_conn *conn);

/* Levels, enum local_ready. */
uint32_t local_ready(struct local_conn *conn);

/* Ask for an event when the connection is ready for any of @wants (IN, OUT). Returns what it is ready for now, of these
 * and errors and ends; 0: it is not, and the other side knows that it is asked. What is asked for once is told once. */
uint32_t local_conn_wait(struct local_conn *conn, uint32_t wants);

/* Ask for an event when more bytes come than are there by now, whether there are any. Told once, too. */
void local_conn_ask(struct local_conn *conn);

/*
 * For who can put bytes where they go: the places of the next ones, @most of them at the most, in one piece or two; the
 * @n that are there, local_commit() sends. How many pieces; 0: no room; -1: send would give an error, or learn something.
 */
int local_reserve(struct local_conn *conn, struct iovec part[2], size_t most);
void local_commit(struct local_conn *conn, size_t n);

uint32_t local_inq(struct local_conn *conn);	    /* bytes that receive would give now (FIONREAD) */
uint32_t local_left(struct local_conn *conn);	    /* bytes that came, an urgent one and the end with them (TCP_INQ) */
uint64_t local_outq(const struct local_conn *conn); /* bytes that the other side has not read (SIOCOUTQ) */
bool local_at_mark(struct local_conn *conn);	    /* is the next byte the urgent one? (SIOCATMARK) */
int local_take_error(struct local_conn *conn);	    /* the pending error, positive, and none any more; 0 = none */
void local_conn_set_inline(struct local_conn *conn, bool on); /* SO_OOBINLINE */
void local_conn_set_low_water(struct local_conn *conn, uint32_t bytes); /* SO_RCVLOWAT */

/* Was it accepted, whatever became of it then? */
bool local_was_accepted(const struct local_conn *conn);

/* Have both sides ended it, as far as names and shutdown go (ENOTCONN)? Bytes may still wait. */
bool local_is_over(const struct local_conn *conn);

#endif
