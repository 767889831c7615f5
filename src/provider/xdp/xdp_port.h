/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xdp_port.h - the port of the xdp provider, and what its files share.
 *
 * A chunk that lies in one of the rings belongs to the kernel. It is marked by fbuf.link pointing to
 * the fbuf itself, which no queue can do: so every address that comes back is checked to be one that
 * was given, exactly once, and close() finds what the rings still hold.
 *
 * Threads:  holder of the stack's lock only.
 */
#ifndef FSOCK_PROVIDER_XDP_XDP_PORT_H
#define FSOCK_PROVIDER_XDP_XDP_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "provider/provider.h"
#include "provider/xdp/xsk.h"
#include "steer/steer.h"

/* Meaning of provider_handle.fd[]. */
enum xdp_fd {
	XDP_FD_SOCKET,
	XDP_FD_VNET,  /* AF_PACKET side socket, opened at the first super-frame; -1 = not yet */
	XDP_FD_STEER, /* the first of src/steer's */
	XDP_FDS = XDP_FD_STEER + STEER_N_FDS,
};

static_assert((int)XDP_FDS <= (int)PROVIDER_MAX_FDS, "a handle holds all descriptors of a port");

enum {
	XDP_REFILL_BATCH = 64,	/* chunks moved to FILL at a time */
	XDP_RECLAIM_BATCH = 32, /* frames sent before COMPLETION is looked at */
	XDP_IDLE_BATCH = 8,	/* either of them when there is nothing to receive: a line of FILL */
};

/* Shared half of a port. */
struct xdp_port {
	struct provider_port base;

	/* reception */
	struct xsk xsk;
	uint32_t rx_posted;	 /* chunks in the kernel's hands for reception */
	uint32_t rx_target;	 /* as many as there should be */
	uint32_t rx_batch;	 /* refill when so many are missing */
	struct fbuf *rx_head;	 /* frame of which only the first parts have come, owned; or NULL */
	struct fbuf *rx_tail;	 /* its last part */
	bool rx_skip;		 /* the rest of a frame that was given up is being thrown away */

	/* transmission */
	uint32_t tx_unkicked;  /* descriptors published and not yet taken by the kernel */
	uint32_t tx_in_flight; /* chunks in TX, the kernel or COMPLETION */
	uint32_t tx_batch;     /* look at COMPLETION when so many are in flight */

	bool gone;	       /* the interface was removed: the port will not come back */

	/* steering: a struct steer is made of these and a handle's descriptors */
	struct steer_shared *shared; /* mapped at one address in every process; NULL before open */
	uint8_t guard;		     /* enum steer_guard */
	bool guard_tried;	     /* no second attempt */
	int32_t owner_fd[XDP_FDS];   /* the owner's descriptor numbers, for join() */
};

static inline struct xdp_port *xdp_port_of(const struct provider_handle *handle)
{
	return (struct xdp_port *)(void *)handle->port; /* its first member */
}

extern const struct provider_ops provider_xdp;

/* --- xdp_io.c --- */

/* Set the figures above for the pool and fill FILL for the first time. */
void xdp_io_init(struct xdp_port *p);
/* Free what has been sent and completed. */
void xdp_io_reclaim(struct xdp_port *p);
/* Ask the socket whether the port lives, see provider_port.error. Two system calls at most. */
void xdp_io_probe(struct provider_handle *handle);
/* Return every chunk the rings still hold to the pool. The socket must be closed already. */
void xdp_io_reclaim_all(struct xdp_port *p);
/* Note what a call on the socket returned; true when the port is (or stays) dead. */
bool xdp_io_check(struct xdp_port *p, int rc);

unsigned xdp_receive(struct provider_handle *handle, struct fbuf **frames, unsigned n);
unsigned xdp_transmit(struct provider_handle *handle, struct fbuf *const *frames, unsigned n);
int xdp_kick(struct provider_handle *handle);
unsigned xdp_tx_pending(const struct provider_handle *handle);
bool xdp_arm(struct provider_handle *handle);
void xdp_disarm(struct provider_handle *handle);

#endif
