/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netlink.h - the two things steering needs rtnetlink for.
 *
 * Does:     ask which XDP program an interface has; hang the guard on clsact where the kernel has no
 *           tcx links, and take it off again.
 * Does not: keep a socket: each call opens and closes its own.
 * Threads:  any; no state.
 * Errors:   0 or -errno, as the kernel answers.
 */
#ifndef FSOCK_STEER_NETLINK_H
#define FSOCK_STEER_NETLINK_H

#include <stdint.h>

/* Id of the attached XDP program of any mode, 0 = none. -ENODEV: no such interface. */
int steer_netlink_xdp(uint32_t ifindex, uint32_t *prog_id);

/*
 * Attach @prog_fd as a direct-action filter on the interface's egress, making the clsact qdisc where
 * it is missing. A guard left by a dead owner is replaced: call this only when steering is known to be
 * free. A filter outlives its process; the program lets everything pass once its owner's sockets are
 * closed.
 * -EEXIST: a foreign filter sits at our priority.
 */
int steer_netlink_guard_attach(uint32_t ifindex, int prog_fd);

/* Id of our guard's program. -ENOENT: there is none. */
int steer_netlink_guard_id(uint32_t ifindex, uint32_t *prog_id);

/* Remove our guard if there is one, and the qdisc if we made it and nobody else uses it. 0, -errno. */
int steer_netlink_guard_detach(uint32_t ifindex);

#endif
