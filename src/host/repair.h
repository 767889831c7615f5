/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * repair.h - a kernel socket carries on a connection that an engine had (DESIGN D13, hazard 20).
 *
 * The engine's half is tcp_export() and tcp_export_queue() (tcp/tcp.h). What is done to the kernel's socket, in which
 * order and why: docs/decisions/0023-the-kernel-carries-on-by-tcp-repair.md. Two steps, and the frames change sides in
 * between:
 *
 *	tcp_export()            the engine stands still
 *	host_repair_build()     the kernel has a socket for the connection, which sends nothing
 *	                        flow verdict "kernel", egress guard off for it
 *	host_repair_start()     the kernel speaks
 *	tcp_discard()
 *
 * What arrives meanwhile is lost and sent again by the peer; it never meets a kernel without the socket, which would
 * answer RST.
 *
 * Does:     ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK; IPv4, IPv6, IPv4 on an AF_INET6 socket.
 * Does not: handshakes but those at a listener (host_repair_enqueue(); a socket may connect by itself once the engine's
 *           attempt is aborted) nor TIME-WAIT (nobody needs it moved). It does not close: an orphan's descriptor is
 *           closed by the caller after host_repair_start(). ECN and the urgent mark stay behind, the kernel has no way
 *           to be told of them.
 * Threads:  any, one per socket.
 * Errors:   0 or -errno. -EPERM: CAP_NET_ADMIN is missing.
 */
#ifndef FSOCK_HOST_REPAIR_H
#define FSOCK_HOST_REPAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcp/tcp.h"

struct tcp_snapshot;

struct host_repair {
	const struct tcp_snapshot *snap; /* borrowed */

	/* Copy @len bytes of a queue from @offset on, 0 being snd_una or copied_seq; returns how many there were.
	 * Made for tcp_export_queue(). */
	uint32_t (*read)(void *context, enum tcp_queue which, uint32_t offset, void *to, uint32_t len);
	void *context;

	const char *congestion;	/* its name for the kernel; NULL = leave what the socket has */
	uint32_t ifindex;	/* of link-local addresses, and a listener's SO_BINDTODEVICE; 0 = none */
	bool reuseaddr;		/* SO_REUSEADDR as the program set it: leaving repair mode clears it */
};

/*
 * host_repair_build() - give @fd the connection, silently. @fd: a TCP socket that is neither connected nor listening;
 * if bound, to the connection's port. The port may be another socket's, a listener's too. Its buffers grow as needed.
 * Bytes of the receive queue and sent ones of the send queue are read here.
 *
 * On failure *@why names the step and @fd is unconnected again, perhaps bound. -EPERM, -EINVAL (a state that does not
 * move, or a snapshot that contradicts itself), -EADDRNOTAVAIL (the kernel has the 4-tuple already, or the address is
 * not of this host), -ENOMEM, -ENETUNREACH.
 */
int host_repair_build(int fd, const struct host_repair *repair, const char **why);

/*
 * host_repair_start() - it speaks from here on: tells the peer where it is, sends what was not sent yet, and ends as
 * the user wanted. Failure is that of the bytes not sent yet (-ENOMEM); then the connection must be reset by closing.
 */
int host_repair_start(int fd, const struct host_repair *repair, const char **why);

/*
 * host_repair_enqueue() - the connection, which was accepted by nobody, goes into the accept queue of the kernel's
 * listener that is bound to its port; in SYN-RECEIVED, to its half-open ones. @buf: HOST_NL_BUF_MIN bytes or more,
 * 4-byte aligned, used during the call. The kernel has it after 0, without timestamps and with the listener's options.
 * Otherwise the kernel has nothing, the peer was told nothing, and *@why names the step: -EPERM (CAP_NET_ADMIN or
 * CAP_NET_RAW is missing), -EINVAL (something was sent or read, or an urgent byte waits), -EAGAIN (no such listener,
 * its queue is full, a filter), as host_repair_build().
 */
int host_repair_enqueue(const struct host_repair *repair, void *buf, size_t size, const char **why);

#endif
