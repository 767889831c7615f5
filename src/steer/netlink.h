/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netlink.h - the two things steering needs rtnetlink for.
 *
 * Does:     ask which XDP program an interface has; hang guard and tap on clsact where the kernel has
 *           no tcx links, and take them off again.
 * Does not: keep a socket: each call opens and closes its own.
 * Threads:  any; no state.
 * Errors:   0 or -errno, as the kernel answers.
 */
#ifndef FSOCK_STEER_NETLINK_H
#define FSOCK_STEER_NETLINK_H

#include <stdint.h>

/* Id of the attached XDP program of any mode, 0 = none. -ENODEV: no such interface. */
int steer_netlink_xdp(uint32_t ifindex, uint32_t *prog_id);

/* Our programs on clsact, each at a place of its own. */
enum steer_hook {
	STEER_HOOK_GUARD, /* egress */
	STEER_HOOK_TAP,	  /* ingress */
};

/*
 * Attach @prog_fd as a direct-action filter, making the clsact qdisc where it is missing. One left by a
 * dead owner is replaced: call this only when steering is known to be free. A filter outlives its
 * process; the programs let everything pass once nobody takes frames any more.
 * -EEXIST: a foreign filter sits at our priority.
 */
int steer_netlink_attach(uint32_t ifindex, enum steer_hook hook, int prog_fd);

/* Id of our program there. -ENOENT: there is none. */
int steer_netlink_id(uint32_t ifindex, enum steer_hook hook, uint32_t *prog_id);

/* Remove ours if there is one, and the qdisc if we made it and nobody else uses it. 0, -errno. */
int steer_netlink_detach(uint32_t ifindex, enum steer_hook hook);

#endif
