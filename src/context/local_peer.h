/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * local_peer.h - how addresses and ports of this host are reached with datagrams, as far as is known (datagram_local.h).
 *
 * A table of fixed size in stack memory. Where it is full, what is the kernel's makes room before what a link leads to,
 * and of those what was found out first: forgetting costs a datagram or two by the kernel.
 *
 * Does not: find out; look whether a link that is named is still there.
 * Threads:  holder of the stack's lock only.
 */
#ifndef FSOCK_CONTEXT_LOCAL_PEER_H
#define FSOCK_CONTEXT_LOCAL_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/clock.h"

enum {
	LOCAL_PEER_SETS = 256,
	LOCAL_PEER_WAYS = 4, /* places of a set */
};

enum local_peer_state {
	LOCAL_PEER_NEW,	   /* a datagram was sent there, by the kernel: worth a look with the next one */
	LOCAL_PEER_KERNEL, /* looked for in vain, or gone */
	LOCAL_PEER_THERE,  /* at the end of a link, or in this stack */
};

struct local_peer {
	struct ip_addr addr;
	uint16_t port;	 /* 0 = the place is free */
	uint8_t state;	 /* enum local_peer_state */
	uint8_t link;	 /* LOCAL_PEER_THERE: index; LOCAL_LINKS = it is this stack's own */
	uint32_t serial; /* that the link had */
	bool by_kernel;	 /* something went there by the kernel since something went by the link */
	fs_ns looked;	 /* when the state was found out */
};

struct local_peers {
	struct local_peer place[LOCAL_PEER_SETS * LOCAL_PEER_WAYS]; /* sets by their hash; all 0 is empty */
};

/* What is known of @addr and @port, or NULL. Borrowed until the next local_peer_note(). */
struct local_peer *local_peer_find(struct local_peers *peers, const struct ip_addr *addr, uint16_t port);

/* What is known of them, which is @state as of @now; if nothing was, in the place of another. by_kernel is kept, and
 * true where nothing was known and @state is not LOCAL_PEER_THERE. Never NULL; borrowed likewise. */
struct local_peer *local_peer_note(struct local_peers *peers, const struct ip_addr *addr, uint16_t port,
				   enum local_peer_state state, fs_ns now);

#endif
