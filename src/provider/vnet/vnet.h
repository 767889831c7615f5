/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vnet.h - virtio-net headers of packet sockets, and sending super-frames through one.
 *
 * A super-frame is one frame of up to 64 KB that carries many segments: the headers once, and
 * gso_size payload bytes per segment. The kernel cuts it up where it must; on veth nobody must, and
 * the peer's AF_XDP socket receives it whole (design hazard 13).
 *
 * Does:     TCP over IPv4 and IPv6, and UDP (UDP_SEGMENT) super-frames, bypassing the queueing
 *           disciplines as AF_XDP does.
 * Does not: receive; send ordinary frames, but to have their time of departure; touch the egress guard (it sits in a
 * queueing discipline).
 * Threads:  holder of the stack's lock only.
 * Errors:   0 or a descriptor, or -errno.
 */
#ifndef FSOCK_PROVIDER_VNET_VNET_H
#define FSOCK_PROVIDER_VNET_VNET_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/fbuf.h"
#include "provider/provider.h"

enum {
	VNET_MAX_FRAME = 65535 + 14, /* longest super-frame: an IPv4 datagram and its link header */
	VNET_MAX_PARTS = 48,	     /* longest chain. 45 segments of 1,448 bytes, each in its chunk, fill a frame */
};

/* Where a super-frame's headers are, and how it is to be cut. */
struct vnet_layout {
	uint16_t l4_offset;   /* of the TCP or UDP header, bytes from the frame's start */
	uint16_t header_len;  /* link, IP and transport headers together */
	uint16_t csum_offset; /* of the checksum field, from the transport header */
	uint8_t gso_type;     /* VIRTIO_NET_HDR_GSO_* */
};

/* Does the interface take super-frames at present? Costs three cheap system calls. */
bool vnet_possible(uint32_t ifindex);

/* The same for super-frames of UDP. Costs some more. */
bool vnet_possible_udp(uint32_t ifindex);

/* A socket that sends on the interface and receives nothing. Descriptor >= @fd_floor, -EPERM,
 * -EOPNOTSUPP (no segmentation offload, too), -EMFILE, -ENETDOWN. */
int vnet_open(uint32_t ifindex, int fd_floor);

/*
 * What a packet socket with PACKET_VNET_HDR is to be told of a frame: nothing (all zero), that the kernel
 * completes its checksum (FBUF_CSUM_PARTIAL), or how it is cut up (gso_size, with FBUF_CSUM_PARTIAL).
 * 0, or -EINVAL: the frame is not of a form known here.
 */
int vnet_header(const struct fbuf *frame, struct virtio_net_hdr *hdr);

/*
 * Send one super-frame: frame->gso_size > 0, csum FBUF_CSUM_PARTIAL, the IP header complete for the
 * whole length. The frame stays the caller's and may be freed at once.
 * 0; -EAGAIN: not now; -EINVAL: not a frame this can send; -ENETDOWN; -EOPNOTSUPP: the device no
 * longer segments, and nobody does it in software for a sender that bypasses the queueing
 * disciplines (a veth whose peer got a native XDP program is such a device).
 */
int vnet_send(int fd, uint32_t ifindex, const struct fbuf *frame);

/*
 * A provider's transmit_stamped(): send one frame of @port, ordinary or with a partial checksum, past the queueing
 * disciplines. *fd: the socket for it, opened here when it is -1. Taken and counted: 0, and the frame is freed;
 * *stamp: in, no stamp is earlier; out, when the driver got it (CLOCK_REALTIME, ns) if that was told at once.
 * The frame stays the caller's: as vnet_send(), -EOPNOTSUPP also where there can be no such socket.
 */
int vnet_transmit_stamped(int *fd, int fd_floor, struct provider_port *port, struct fbuf *frame, fs_ns *stamp);

/* Find the layout of a frame whose first @len bytes are at @bytes. 0 or -EINVAL. */
int vnet_parse(const uint8_t *bytes, uint32_t len, struct vnet_layout *out);

#endif
