/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * packet_ring.c - sizes of the ring, and reading what the kernel wrote into a slot.
 *
 * Formats: the kernel's packet_mmap document; Virtual I/O Device specification 1.2, 5.1.6, in the host's
 * byte order as packet sockets have it.
 */
#include "provider/packet/packet_ring.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/fbuf.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5 /* UDP_SEGMENT, Linux 6.2 */
#endif

enum {
	ETH_LEN = 14,
	TAG_LEN = 4,
	GSO_LACKING_BEFORE_MAJOR = 6,
	GSO_LACKING_BEFORE_MINOR = 2,
};

static_assert(PACKET_BLOCK_BYTES % PACKET_SLOT_MAX == 0, "slots do not straddle blocks");
static_assert(PACKET_RING_BYTES % PACKET_BLOCK_BYTES == 0, "a ring is whole blocks");

void packet_ring_size(struct packet_ring *ring, uint32_t mtu)
{
	uint32_t need = PACKET_SLOT_HEAD + mtu + ETH_LEN + TAG_LEN;

	ring->slot_len = PACKET_SLOT_MIN;
	while (ring->slot_len < need && ring->slot_len < PACKET_SLOT_MAX)
		ring->slot_len *= 2;
	ring->slots = PACKET_RING_BYTES / ring->slot_len;
}

int packet_slot_read(const struct tpacket2_hdr *hdr, uint32_t slot_len, struct packet_slot *out)
{
	uint32_t status = fs_load_relaxed(&hdr->tp_status);
	uint32_t len = fs_load_relaxed(&hdr->tp_snaplen);
	uint32_t at = fs_load_relaxed(&hdr->tp_mac);

	out->total = fs_load_relaxed(&hdr->tp_len);
	out->vlan = status & TP_STATUS_VLAN_VALID ? fs_load_relaxed(&hdr->tp_vlan_tci) : 0;
	out->queued = status & TP_STATUS_COPY;
	out->len = 0;
	memset(&out->vnet, 0, sizeof(out->vnet));
	if (out->queued) {
		if (at >= sizeof(*hdr) + sizeof(out->vnet) && at <= slot_len)
			memcpy(&out->vnet, (const uint8_t *)hdr + at - sizeof(out->vnet), sizeof(out->vnet));
		return out->total ? 0 : -EINVAL;
	}
	/* A shorter one was cut off: the socket's queue was full. */
	if (len != out->total || len == 0)
		return -EINVAL;
	if (at < sizeof(*hdr) + sizeof(out->vnet) || at > slot_len || len > slot_len - at)
		return -EINVAL;
	out->len = len;
	out->frame = (const uint8_t *)hdr + at;
	memcpy(&out->vnet, out->frame - sizeof(out->vnet), sizeof(out->vnet));
	return 0;
}

int packet_meta_read(const struct virtio_net_hdr *vnet, uint32_t total, struct packet_meta *out)
{
	out->csum = FBUF_CSUM_UNKNOWN;
	out->gso_size = 0;
	if (vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		out->csum = FBUF_CSUM_PARTIAL;
	else if (vnet->flags & VIRTIO_NET_HDR_F_DATA_VALID)
		out->csum = FBUF_CSUM_VERIFIED;
	switch (vnet->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
	case VIRTIO_NET_HDR_GSO_UDP: /* one datagram, to be fragmented where it must */
		return 0;
	case VIRTIO_NET_HDR_GSO_TCPV4:
	case VIRTIO_NET_HDR_GSO_TCPV6:
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		if (vnet->gso_size == 0 || vnet->gso_size >= total)
			return -EINVAL;
		out->gso_size = vnet->gso_size;
		return 0;
	default:
		return -EINVAL;
	}
}

/* A number at @text, moved behind it and a dot. */
static unsigned number(const char **text)
{
	unsigned n = 0;

	while (**text >= '0' && **text <= '9' && n < 1000)
		n = n * 10 + (unsigned)(*(*text)++ - '0');
	if (**text == '.')
		(*text)++;
	return n;
}

bool packet_release_lacks_udp_gso(const char *release)
{
	unsigned major = number(&release), minor = number(&release);

	if (major != GSO_LACKING_BEFORE_MAJOR)
		return major < GSO_LACKING_BEFORE_MAJOR;
	return minor < GSO_LACKING_BEFORE_MINOR;
}
