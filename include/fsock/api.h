/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * api.h - the calls of the native interface.
 *
 * Return:  0 or a count; -errno on failure. errno itself is left alone, errors of the kernel come as
 *          they are.
 * Threads: every call may be made by any thread; several threads may use one channel or group. A call
 *          must not be under way in what another thread closes.
 * Signals: a wait ends with -EINTR when a handler without SA_RESTART ran; one with it may end the wait
 *          too. Waits are cancellation points. No call is async-signal-safe.
 * fork:    a child may use the channels it inherited: parent and child share each queue, whoever
 *          receives a datagram first has it. Datagrams received in place belong to the process that
 *          received them; while it holds any of a channel, in-place receives of the other fail with
 *          -EBUSY. Groups and connections on the fast path stay with the parent: a child makes its own,
 *          its calls on the parent's connections fail with -EBADF. A listener both may accept from.
 * exec:    everything is closed.
 * setuid:  a process with a connection or listener on the fast path has a thread of fsock's, without capabilities, that
 *          keeps them going while the program computes. libc has every thread follow setuid(), setgid() and their like,
 *          and aborts where one may not: call them before, or set the option `helper` to 0. Under the preload no
 *          matter.
 */
#ifndef FSOCK_API_H
#define FSOCK_API_H

#include <fsock/types.h>
#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- the library --- */

/*
 * fsock_init() - start the library; @version is FSOCK_API_VERSION. Each call counts, and has its
 * fsock_fini(): libraries of one program may all make it. In a program that runs under `fsock run` the
 * preloaded library is found and used, so that there is one stack, never two.
 *
 * Return: 0
 *         -ENOTSUP  this library does not know @version
 *         -ELIBBAD  the preloaded library is of another version of fsock, see standard error
 */
int fsock_init(unsigned version);

/* fsock_fini() - the last one ends the library's use: further calls fail with -EINVAL. Closes nothing:
 * what is still open stays so until the process ends. */
void fsock_fini(void);

/* --- endpoints --- */

/*
 * fsock_open() - an endpoint on the local address @local (@len bytes; its port counts for nothing):
 * AF_INET or AF_INET6, a wildcard address for every interface. @flags: FSOCK_UDP or FSOCK_TCP. The interface
 * that carries the address decides how its channels' frames move.
 *
 * Return: 0, and *ep, which fsock_close_ep() ends
 *         -EINVAL           @len too short, @ep NULL, or fsock_init() was not called
 *         -EAFNOSUPPORT     not an Internet address
 *         -EPROTONOSUPPORT  @flags name no protocol that this version carries
 *         -ENOMEM
 */
int fsock_open(const struct sockaddr *local, socklen_t len, unsigned flags, struct fsock_ep **ep);

/*
 * fsock_set_ep_attribute() - FSOCK_RINGBUF_SIZE, FSOCK_HOLD_MAX: @len bytes at @value, for channels
 * that are bound afterwards.
 *
 * Return: 0; -EINVAL unknown attribute, wrong length, or out of range
 */
int fsock_set_ep_attribute(struct fsock_ep *ep, int attribute, const void *value, size_t len);

/* fsock_close_ep() - close @ep and its channels, as fsock_close() does. Return: 0. */
int fsock_close_ep(struct fsock_ep *ep);

/* --- channels --- */

/*
 * fsock_bind() - a channel on @port (host order) of the endpoint's address; 0 leaves the choice open, as
 * clients do. @flags: FSOCK_BIND_*. Of TCP it is what fsock_connect() or fsock_listen() makes of it;
 * SO_REUSEADDR is set: connections of the past do not keep a server from its port.
 *
 * Return: 0, and *ch, which fsock_close() ends
 *         -EADDRINUSE, -EADDRNOTAVAIL, -EACCES, -EMFILE, ...  as bind(2) and socket(2)
 *         -EINVAL unknown flag; -ENOMEM
 */
int fsock_bind(struct fsock_ep *ep, unsigned flags, uint16_t port, struct fsock_channel **ch);

/*
 * fsock_connect() - UDP: exchange datagrams with @peer only, and hear of ICMP errors. TCP: connect to it, waiting at
 * most FSOCK_TX_TIMEOUT. AF_UNSPEC dissolves it; a connection is reset.
 *
 * A connection that takes the fast path, or the shared memory of a program of this host, has no kernel socket and uses
 * no descriptor. Where it cannot, it is the kernel's, behind the same calls (FSOCK_REASON).
 *
 * Return: 0
 *         -ENETUNREACH, -EACCES, -ECONNREFUSED, -ETIMEDOUT, ...  as connect(2): a TCP channel may try again
 *         -EINPROGRESS  TCP, the time is up: it goes on. FSOCK_EVENT_OUT tells of its end; called again, it says
 *                       how it went
 *         -EALREADY     TCP, called again with a time limit of 0: it is on its way still
 *         -EISCONN      TCP: it is connected, or listens
 */
int fsock_connect(struct fsock_channel *ch, const struct sockaddr *peer, socklen_t len);

/*
 * fsock_listen() - accept connections on a TCP channel, of which at most @backlog wait; again: change that. Of a
 * channel bound to port 0 the kernel chooses it: see FSOCK_LOCAL. A kernel socket listens too, so that connections
 * which come beside the fast path are accepted all the same.
 *
 * Return: 0; -EISCONN it is connected; -EOPNOTSUPP not TCP; -EADDRINUSE, -EMFILE, ... as listen(2)
 */
int fsock_listen(struct fsock_channel *ch, int backlog);

/*
 * fsock_accept() - the next connection to @listener, as a channel of the same endpoint; FSOCK_PEER is who it is.
 * @flags: FSOCK_ACCEPT_*.
 *
 * Return: 0, and *ch, which fsock_close() ends
 *         -EAGAIN     FSOCK_ACCEPT_NONBLOCK, or a time limit of 0, and none there
 *         -ETIMEDOUT  none came within FSOCK_RX_TIMEOUT
 *         -EINTR; -ENOMEM; -EMFILE, ... one for the kernel, as accept(2)
 *         -EINVAL     it does not listen; -EOPNOTSUPP not TCP
 */
int fsock_accept(struct fsock_channel *listener, unsigned flags, struct fsock_channel **ch);

/* fsock_shutdown() - end a direction of a connection, or both (FSOCK_SHUT_*).
 * Return: 0; -ENOTCONN; -EINVAL no or unknown bits; -EOPNOTSUPP not TCP */
int fsock_shutdown(struct fsock_channel *ch, unsigned how);

/*
 * fsock_handover() - the kernel carries on a connection that is on the fast path, for good; the peer notices nothing.
 * For a program that gives the connection away: to another program by SCM_RIGHTS, to a child, to a library that
 * wants a descriptor. What was received and not read, and what was sent and not acknowledged, goes along; calls under
 * way in other threads go on; a group tells its events as before. The channel stays what it is, over a kernel socket,
 * which FSOCK_FD names: the channel's still, not blocking, closed by fsock_close(); who keeps it longer makes a
 * duplicate.
 *
 * Return: 0, also where the kernel has it already
 *         -EPERM       no CAP_NET_ADMIN (TCP_REPAIR; a connection through shared memory needs none, and goes on at
 *                      other ports); it goes on as before, and so with every other error
 *         -ENOTCONN    not connected, or not yet; it listens; it has ended
 *         -EBUSY       pieces received in place are not released
 *         -EBADF       a connection of the parent's, in a child
 *         -EMFILE, -ENFILE, -ENOMEM, ...  no kernel socket, or no room in it
 *         -EOPNOTSUPP  not TCP; -EINVAL
 */
int fsock_handover(struct fsock_channel *ch);

/* fsock_setopt(), fsock_getopt() - an option of a channel: FSOCK_RX_TIMEOUT and so on, whose comments
 * tell the type of @value. *len: in, bytes at @value; out, bytes used.
 *
 * Return: 0
 *         -ENOPROTOOPT  no such option, or not to be set, or not to be read
 *         -EINVAL       wrong length or value; -ENOTCONN FSOCK_PEER of a channel without
 *         -EADDRINUSE, -ENODEV, ...  as the kernel says of memberships
 */
int fsock_setopt(struct fsock_channel *ch, int option, const void *value, size_t len);
int fsock_getopt(struct fsock_channel *ch, int option, void *value, size_t *len);

/* fsock_close() - end @ch. What it lent is gone: no pointer into it may be used any more. It leaves its group by
 * itself. What a connection has still to send it sends without the program, whose own end closes what is open.
 * Return: 0. */
int fsock_close(struct fsock_channel *ch);

/* --- receiving --- */

/*
 * fsock_recv() - the next datagram, copied to @buf, or in place. @info, if not NULL, is filled.
 *
 * With FSOCK_RECV_INPLACE @buf is a struct iovec[FSOCK_PARTS_MAX] and @len its bytes: info->parts
 * entries of it, nearly always one, then point to the bytes where they lie. They may be read until
 * fsock_release(), and count against the channel's receive queue as long: one who holds much loses what
 * arrives. @info is needed then, and FSOCK_RECV_PEEK not allowed.
 *
 * Of a connection: the next bytes, as many as there are, up to @len. In place: the next piece of the stream, a
 * segment's or, where many came as one, as much as the vector has entries for. Pieces count against the window: one
 * who holds much slows the peer down.
 *
 * Return: bytes: of the datagram or piece in place, else copied (info->length tells of more)
 *         0           TCP: the peer sends no more; nothing to release
 *         -EAGAIN     FSOCK_RECV_NONBLOCK, or a time limit of 0, and nothing there
 *         -ETIMEDOUT  nothing came within FSOCK_RX_TIMEOUT
 *         -ENOBUFS    FSOCK_HOLD_MAX datagrams are lent: release some
 *         -EBUSY      another process of the fork tree holds datagrams of this channel
 *         -ENOMEM     no memory for a datagram that came by the kernel
 *         -EINTR      a signal handler ran
 *         -EINVAL     unknown flag, or the vector is too short
 *         -ECONNREFUSED, -EHOSTUNREACH, ...  errors by ICMP that a connected channel hears of
 *         -ECONNRESET, -ETIMEDOUT, ...  how a connection ended; -ENOTCONN
 */
ssize_t fsock_recv(struct fsock_channel *ch, unsigned flags, void *buf, size_t len,
		   struct fsock_rxinfo *info);

/*
 * fsock_recv_batch() - up to @n datagrams in place: all that have arrived, waiting for the first only.
 * FSOCK_RECV_NONBLOCK is the only flag. Each is to be released, in any order; in the order received
 * costs least.
 *
 * Return: datagrams filled, at least 1, of a connection pieces; 0 the peer sends no more; errors as fsock_recv(), which
 *         then filled none
 */
int fsock_recv_batch(struct fsock_channel *ch, unsigned flags, struct fsock_datagram *datagrams, unsigned n);

/*
 * fsock_release() - give back what a receive in place lent; info->held becomes 0. Nothing held: 0.
 *
 * Return: 0; -EINVAL not lent by @ch to this process, or released before
 */
int fsock_release(struct fsock_channel *ch, struct fsock_rxinfo *info);

/* fsock_release_batch() - the same for @n datagrams at the price of one. Return: 0; -EINVAL when one of
 * them was not lent: the others are released all the same. */
int fsock_release_batch(struct fsock_channel *ch, struct fsock_datagram *datagrams, unsigned n);

/* --- sending --- */

/*
 * fsock_send() - one datagram of the @len bytes at @buf, which is the caller's again on return. @info
 * NULL: to the connected peer. On a connection @info is NULL, or asks for nothing; all bytes are taken, waiting for
 * room, but for those that FSOCK_TX_TIMEOUT, FSOCK_SEND_NONBLOCK, a signal or the connection's end leave over. No
 * signal is raised.
 *
 * Return: @len; of a connection bytes taken
 *         -EPIPE, -ECONNRESET, ...  how a connection ended; -ETIMEDOUT no room within FSOCK_TX_TIMEOUT; -ENOTCONN
 *         -EDESTADDRREQ  no destination and not connected
 *         -EAGAIN        FSOCK_SEND_NONBLOCK, and no room
 *         -EMSGSIZE, -ENETUNREACH, ...  as sendto(2); -EINVAL unknown flag or bit of info->valid
 */
ssize_t fsock_send(struct fsock_channel *ch, unsigned flags, const void *buf, size_t len,
		   struct fsock_txinfo *info);

/* --- waiting for many --- */

/* fsock_group_open() - an empty group; fsock_group_close() ends it, not its channels.
 * Return: 0 and *group; -EMFILE, -ENOMEM, -EINVAL */
int fsock_group_open(struct fsock_group **group);
int fsock_group_close(struct fsock_group *group);

/* fsock_group_add() - wait for @ch too; @data comes back with its events. A channel is in one group at
 * most. Return: 0; -EBUSY it is in one; -ENOMEM, -ENOSPC. */
int fsock_group_add(struct fsock_group *group, struct fsock_channel *ch, void *data);

/* fsock_group_remove() - Return: 0; -ENOENT it is not in. */
int fsock_group_remove(struct fsock_group *group, struct fsock_channel *ch);

/*
 * fsock_poll() - wait until a channel of @group has something, at most @timeout ns; -1 for ever, 0 only
 * look. A channel is reported as long as it has something (level-triggered).
 *
 * Return: events filled, at most @n; 0 the time is up; -EINTR; -EINVAL @n 0
 */
int fsock_poll(struct fsock_group *group, struct fsock_event *events, unsigned n, int64_t timeout);

/*
 * fsock_group_fd() - a descriptor for another event loop (poll, epoll): readable while fsock_poll() may
 * find something. Once it is, call fsock_poll() with timeout 0 until it returns 0; only then the
 * descriptor waits for news. It is the group's: not to be read, written or closed.
 *
 * Return: the descriptor; -EMFILE, -ENOMEM
 */
int fsock_group_fd(struct fsock_group *group);

#ifdef __cplusplus
}
#endif

#endif
