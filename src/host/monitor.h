/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * monitor.h - hear of every change to what was asked of the kernel and cached (DESIGN D5, D14).
 *
 * Does:     one socket joined to the link, address, route, rule, nexthop, neighbour and traffic
 *           control groups of this namespace; a non-blocking drain that says which kinds changed.
 * Does not: keep tables; repeat what was lost: an overflow says that everything may have changed.
 * Threads:  one at a time per struct host_monitor. Its fd may be polled by anybody.
 * Errors:   0 or -errno.
 */
#ifndef FSOCK_HOST_MONITOR_H
#define FSOCK_HOST_MONITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "host/neigh.h"
#include "host/netlink.h"

enum {
	HOST_CHANGED_LINK = 1 << 0, /* state, MTU, master, XDP program, name; gone or new */
	HOST_CHANGED_ADDR = 1 << 1,
	HOST_CHANGED_ROUTE = 1 << 2, /* route, rule or nexthop: every cached route is void */
	HOST_CHANGED_NEIGH = 1 << 3,
	HOST_CHANGED_TC = 1 << 4,   /* a queueing discipline or a filter */
	HOST_CHANGED_LOST = 1 << 5, /* notifications were lost; comes with all the other bits */
	HOST_CHANGED_ALL = (1 << 6) - 1,
};

/* One change. Which fields count is said by @kind, one HOST_CHANGED_* bit. */
struct host_change {
	unsigned kind;
	bool gone;		 /* removed; false = new or changed */
	int ifindex;		 /* of a link, address, neighbour or tc change; 0 = none */
	struct ip_addr addr;	 /* of an address change */
	struct host_neigh neigh; /* of a neighbour change */
};

typedef void host_change_fn(const struct host_change *change, void *arg);

struct host_monitor {
	struct host_nl nl;
};

/* @buf is lent until host_monitor_close(), as for host_nl_open(). */
int host_monitor_open(struct host_monitor *m, int fd_floor, void *buf, size_t size);
void host_monitor_close(struct host_monitor *m);

/*
 * host_monitor_drain() - take every notification waiting; @fn (NULL = none) hears of each link,
 * address, neighbour and tc change, route changes come only as a bit. It must not use the monitor.
 * Return: HOST_CHANGED_* bits, 0 = nothing; or -errno when the socket itself fails.
 */
int host_monitor_drain(struct host_monitor *m, host_change_fn *fn, void *arg);

/* What one notification means. Pure. A HOST_CHANGED_* bit; 0 = of no interest; -EBADMSG. */
int host_change_parse(const struct host_nl_msg *msg, struct host_change *change);

#endif
