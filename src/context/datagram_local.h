/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * datagram_local.h - datagrams to and from other programs of this host, over links (local.h), and within the stack.
 *
 * A socket takes part with its shadow bound, and connected, as the kernel has it. Whom a datagram is for is found by
 * the stack's own look-up, at the end where it is taken; so there are no connections, and who is reached how is known
 * by address and port alone: from dialling, or since datagrams came from there. What finds nobody goes back, and by the
 * shadow to the kernel, which has the last word: somebody else may be there, or ECONNREFUSED is due.
 *
 * Does not: groups, broadcasts, what options make special: the kernel's.
 * Threads:  holder of the stack's lock only.
 */
#ifndef FSOCK_CONTEXT_DATAGRAM_LOCAL_H
#define FSOCK_CONTEXT_DATAGRAM_LOCAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/reason.h"
#include "ip/ip.h"

struct context;
struct datagram;
struct sock;
struct udp_style;

/* @s, whose shadow @fd is bound, takes datagrams over links from now on. One that is undecided is fast by that alone.
 * Why not (enum fs_reason), or 0. */
int datagram_local_join(struct context *ctx, struct sock *s, int fd);

/* Not any more; others of the host hear of it. What is queued stays. Before it leaves the tables. */
void datagram_local_leave(struct context *ctx, struct sock *s);

/* Can @addr and @port, to which @d leads, be had by a link, or within the stack? Dials, where @s may. */
bool datagram_local_is_there(struct context *ctx, const struct sock *s, int fd, const struct ip_dst *d,
			     const struct ip_addr *addr, uint16_t port);

/* Send @len bytes of @d, as @style says, to @addr and @port, to which @dst leads. Bytes sent, also where there was no
 * room for them at the other end, or DATAGRAM_KERNEL. */
ssize_t datagram_local_send(struct context *ctx, struct sock *s, const struct udp_style *style, const struct ip_dst *dst,
			    const struct ip_addr *addr, uint16_t port, const struct datagram *d, size_t len);

/* The kernel sends a datagram to @addr and @port; what follows by a link is to be received after it. */
void datagram_local_passed_by(struct context *ctx, const struct ip_addr *addr, uint16_t port);

/* Take what came over link @index, a bounded number of datagrams. Returns how many. */
unsigned datagram_local_take(struct context *ctx, unsigned index);

/* Link @index has ended: what the other side did not read of this one's goes by the kernel. */
void datagram_local_take_back(struct context *ctx, unsigned index);

/* Does @d lead to an address of this host? */
static inline bool datagram_local_is_near(const struct ip_dst *d)
{
	return d->way == IP_DST_KERNEL && d->reason == FS_REASON_loopback;
}

#endif
