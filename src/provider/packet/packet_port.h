/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * packet_port.h - the port of the packet provider, and what its files share.
 *
 * Received frames are copied out of their slot into the pool, and the slot is given back at once; frames
 * to send are copied by the kernel in kick(). So nothing of the pool is ever in the kernel's hands.
 *
 * Threads:  holder of the stack's lock only.
 */
#ifndef FSOCK_PROVIDER_PACKET_PACKET_PORT_H
#define FSOCK_PROVIDER_PACKET_PACKET_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "provider/packet/packet_rx.h"
#include "provider/provider.h"
#include "provider/vnet/vnet.h"
#include "steer/steer.h"

/* Meaning of provider_handle.fd[]. Each socket sends what is of its protocol. */
enum packet_fd {
	PACKET_FD_V4, /* the sockets of packet_rx.h, in its order */
	PACKET_FD_V6,
	PACKET_FD_WAIT,	 /* epoll set of both */
	PACKET_FD_STAMP, /* sends what is to be stamped, opened at the first; -1 = not yet */
	PACKET_FD_STEER, /* the first of src/steer's */
	PACKET_FDS = PACKET_FD_STEER + STEER_N_FDS,
};

static_assert((int)PACKET_FD_WAIT == (int)PACKET_SOCKETS, "they are the first of a handle's");

static_assert((int)PACKET_FDS <= (int)PROVIDER_MAX_FDS, "a handle holds all descriptors of a port");

enum {
	PACKET_TX_MAX = 512,   /* frames accepted and not yet sent */
	PACKET_TX_BURST = 32,  /* frames per system call */
	PACKET_MAX_PARTS = VNET_MAX_PARTS, /* of one frame */
};

/* Shared half of a port. */
struct packet_port {
	struct provider_port base;
	struct packet_rx rx;
	uint16_t refused;    /* times the device refused the frame in front */
	struct fbuf_queue tx; /* accepted, not yet sent */

	/* steering: a struct steer is made of these and a handle's descriptors */
	struct steer_shared *shared; /* mapped at one address in every process; NULL before open */
	uint8_t guard;		     /* enum steer_guard */
	uint8_t tap;		     /* enum steer_guard */
	bool guard_tried;	     /* no second attempt */
};

static inline struct packet_port *packet_port_of(const struct provider_handle *handle)
{
	return (struct packet_port *)(void *)handle->port; /* its first member */
}

extern const struct provider_ops provider_packet;

/* --- packet_io.c --- */

/* Ask the sockets whether the port lives, see provider_port.error. Some system calls. */
void packet_io_probe(struct provider_handle *handle);

unsigned packet_receive(struct provider_handle *handle, struct fbuf **frames, unsigned n);
unsigned packet_transmit(struct provider_handle *handle, struct fbuf *const *frames, unsigned n);
int packet_transmit_stamped(struct provider_handle *handle, struct fbuf *frame, fs_ns *stamp);
int packet_kick(struct provider_handle *handle);
unsigned packet_tx_pending(const struct provider_handle *handle);
bool packet_arm(struct provider_handle *handle);
void packet_disarm(struct provider_handle *handle);

#endif
