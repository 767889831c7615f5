/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * packet_rx.h - packet sockets that take what src/steer's tap picked on one interface.
 *
 * Two sockets, one for each protocol: those for all protocols are served before the tap decides. Received
 * frames are copied out of their slot into the frame pool, and the slot is given back at once; so nothing
 * of the pool is ever in the kernel's hands.
 *
 * Does:     open, map, sleep on and empty the sockets and their rings; tell the checksum's state and how a
 *           super-frame is cut.
 * Does not: attach the tap (src/steer), parse protocols, answer steering's heartbeat.
 * Threads:  holder of the stack's lock only.
 * Errors:   0 or a count, or -errno as the kernel has it.
 */
#ifndef FSOCK_PROVIDER_PACKET_PACKET_RX_H
#define FSOCK_PROVIDER_PACKET_PACKET_RX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fbuf.h"
#include "provider/packet/packet_ring.h"
#include "provider/provider.h"

enum {
	PACKET_SOCKETS = 2, /* of IPv4, of IPv6: entries of every @fd below */
	PACKET_RINGS_LEN = PACKET_SOCKETS * PACKET_RING_BYTES, /* address space for the rings */
};

/* The shared half: lives in stack memory. */
struct packet_rx {
	struct packet_ring ring[PACKET_SOCKETS];
	uint8_t turn; /* ring that is looked at first */
};

struct packet_rx_args {
	uint32_t mtu;
	int fd_floor;	/* lowest number a descriptor may get */
	uint8_t *rings; /* PACKET_RINGS_LEN bytes of address space, page aligned; mapped over */
};

/* Make and map the sockets; nothing comes before packet_rx_bind(), and nobody's traffic passes them. On failure
 * what exists stands in @fd, which the caller has set to -1 and closes; the rings are for packet_rx_unmap(). They
 * send as well: past the queueing disciplines, with virtio-net headers. Costs some 8 ms a socket, and three times
 * that when it closes: the kernel waits until no processor can be using the ring. */
int packet_rx_open(struct packet_rx *rx, int fd[PACKET_SOCKETS], const struct packet_rx_args *args);

/* From here on what the tap picked on @ifindex comes. Microseconds. */
int packet_rx_bind(const int fd[PACKET_SOCKETS], uint32_t ifindex);

/* Have the epoll set @set wait for them. */
int packet_rx_watch(const int fd[PACKET_SOCKETS], int set);

/* In a process that got the descriptors from another one: map the rings at their addresses. */
int packet_rx_map(const struct packet_rx *rx, const int fd[PACKET_SOCKETS]);

/* Remove this process's mappings, as far as there are any. */
void packet_rx_unmap(const struct packet_rx *rx);

/*
 * Take up to @n frames into @port's pool; the caller owns them. Counts rx_bytes, rx_bad, rx_no_frame in the
 * port's statistics, rx_frames is the caller's. fbuf.stamp is of CLOCK_REALTIME, if port->stamp. Makes no system call
 * but for frames longer than a slot.
 */
unsigned packet_rx_take(struct packet_rx *rx, const int fd[PACKET_SOCKETS], struct provider_port *port,
			struct fbuf **frames, unsigned n);

/* Is there something to take? */
bool packet_rx_ready(const struct packet_rx *rx);

/* Can this kernel's packet sockets describe super-frames of UDP? Before 6.2 they lose them. */
bool packet_rx_knows_udp_gso(void);

/* Frames the kernel could not put into the rings since the last call. */
uint64_t packet_rx_lost(const int fd[PACKET_SOCKETS]);

#endif
