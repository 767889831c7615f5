/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * neigh.h - the kernel's neighbour table: look up a next hop, keep it fresh (DESIGN D5).
 *
 * Does:     one look-up, one "in use" mark. Changes arrive through monitor.h.
 * Does not: cache or solicit by itself; the table and the timers are the kernel's.
 * Threads:  as struct host_nl; the parser is pure.
 * Errors:   0 or -errno, those of netlink.h besides what each function says.
 */
#ifndef FSOCK_HOST_NEIGH_H
#define FSOCK_HOST_NEIGH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

struct host_nl;
struct host_nl_msg;

struct host_neigh {
	int ifindex;
	struct ip_addr addr;
	struct eth_addr mac; /* meaningful when @usable */
	bool usable;	     /* a frame may be sent to @mac now */
	bool confirmed;	     /* reachable or permanent; else mark it in use, to have it probed */
	bool failed;	     /* the neighbour did not answer */
	uint16_t state;	     /* NUD_* */
};

/* Return: 0; -ENOENT = the kernel has no entry. */
int host_neigh_get(struct host_nl *nl, int ifindex, const struct ip_addr *addr,
		   struct host_neigh *neigh);

/*
 * host_neigh_use() - what sending a packet would do to the entry: create it, solicit, move it from
 * stale to probed. Repeat about every 30 s while in use, else the entry goes stale unprobed, and is
 * removed.
 * Return: 0; -EPERM = CAP_NET_ADMIN is missing: send one datagram through a kernel socket instead.
 */
int host_neigh_use(struct host_nl *nl, int ifindex, const struct ip_addr *addr);

/* The entry in RTM_NEWNEIGH or RTM_DELNEIGH. Pure. 1; 0 = not an IP neighbour; -EBADMSG. */
int host_neigh_parse(const struct host_nl_msg *msg, struct host_neigh *neigh);

#endif
