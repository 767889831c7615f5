/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * diag.h - who else has this port? (DESIGN D3, design-hazards row 16)
 *
 * Does:     list the sockets of this namespace bound to a local port (sock_diag(7), else
 *           /proc/net/udp and udp6) and say whether one that is not ours would receive what we
 *           steer.
 * Does not: watch: asked at bind and now and then, it walks the kernel's whole table of sockets.
 * Threads:  any; opens and closes its own socket.
 * Errors:   1, 0 or -errno.
 */
#ifndef FSOCK_HOST_DIAG_H
#define FSOCK_HOST_DIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

struct host_nl_msg;

struct host_port_query {
	struct ip_addr addr; /* our bound address; any of either family = wildcard */
	uint16_t port;	     /* host order */
	uint8_t proto;	     /* IPPROTO_UDP or IPPROTO_TCP */
	bool v4;	     /* our socket takes IPv4 */
	bool v6;	     /* our socket takes IPv6; both = dual-stack */
	int ifindex;	     /* SO_BINDTODEVICE; 0 = none */
	const uint64_t *own; /* SO_COOKIEs of our sockets and shadows on this port; borrowed */
	unsigned n_own;
};

/*
 * host_port_shared() - does a socket that is not among @query->own overlap with ours: same port,
 * and an address and a device that do not keep the two apart? @buf: HOST_NL_BUF_MIN bytes or more,
 * 4-byte aligned, used during the call.
 * Without sock_diag for the protocol cookies are unknown and the sockets are counted instead: more
 * that overlap than @query->n_own means shared.
 * Return: 1 shared, 0 not, -errno.
 */
int host_port_shared(const struct host_port_query *query, void *buf, size_t size);

/* Does the socket in this sock_diag answer overlap and is not ours? Pure. 1, 0 or -EBADMSG. */
int host_port_parse(const struct host_nl_msg *msg, const struct host_port_query *query);

/*
 * The same for one line of /proc/net/udp{,6} or tcp{,6} of @len bytes, without regard to whose it
 * is. Pure. 1, 0; a heading or a damaged line is 0.
 */
int host_port_parse_line(const char *line, size_t len, const struct host_port_query *query);

#endif
