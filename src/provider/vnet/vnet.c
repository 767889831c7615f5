/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vnet.c - super-frames, and frames with their time of departure, through AF_PACKET with PACKET_VNET_HDR.
 *
 * The header's form is that of the Virtual I/O Device specification 1.2, 5.1.6, as the kernel's
 * packet sockets take it (10 bytes, host order). Does not check that the lengths in the IP header
 * agree with the frame: the stack made both.
 */
#include "provider/vnet/vnet.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <string.h>
#include <sys/uio.h>

#include "sys/sys.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5 /* UDP_SEGMENT, Linux 6.2 */
#endif

#define NS_PER_SEC 1000000000LL

enum {
	SEND_BUFFER = 16 << 20,
	STAMPS_MAX = 8, /* looked at for one */
	HEADERS_MAX = 14 + 8 + 60 + 60, /* link and two tags; IPv4 and TCP, both with options */
	ETH_LEN = 14,
	TAG_LEN = 4,
	FEATURES_MAX = 128, /* of a network device; there are some 65 */
	TYPE_IPV4 = 0x0800,
	TYPE_IPV6 = 0x86dd,
	TYPE_VLAN = 0x8100,
	TYPE_QINQ = 0x88a8,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
};

/* Does the device cut TCP super-frames up, or pass them on whole? */
static bool device_segments(int fd, uint32_t ifindex)
{
	struct ethtool_value tso = { .cmd = ETHTOOL_GTSO };
	struct ifreq ifr = { .ifr_ifindex = (int)ifindex };

	if (sys_ioctl(fd, SIOCGIFNAME, &ifr) < 0)
		return false;
	ifr.ifr_data = (void *)&tso;
	return sys_ioctl(fd, SIOCETHTOOL, &ifr) == 0 && tso.data != 0;
}

/* Numbers and names of the device's features, which differ by kernel: a head of the kernel's, what it fills
 * in behind it. */
struct features {
	struct ifreq ifr;
	uint64_t set[(sizeof(struct ethtool_sset_info) + sizeof(uint32_t) + 7) / 8];
	uint64_t names[(sizeof(struct ethtool_gstrings) + FEATURES_MAX * ETH_GSTRING_LEN + 7) / 8];
	uint64_t values[(sizeof(struct ethtool_gfeatures) +
			 FEATURES_MAX / 32 * sizeof(struct ethtool_get_features_block) + 7) / 8];
};

static bool ethtool(int fd, struct features *f, void *question)
{
	f->ifr.ifr_data = question;
	return sys_ioctl(fd, SIOCETHTOOL, &f->ifr) == 0;
}

/* How many features there are, 0 = it cannot be said. */
static uint32_t features_count(int fd, struct features *f)
{
	struct ethtool_sset_info *set = (void *)f->set;

	set->cmd = ETHTOOL_GSSET_INFO;
	set->sset_mask = 1ULL << ETH_SS_FEATURES;
	return ethtool(fd, f, set) && set->sset_mask && set->data[0] <= FEATURES_MAX ? set->data[0] : 0;
}

/* The same for UDP. */
static __attribute__((noinline)) bool device_segments_udp(int fd, uint32_t ifindex)
{
	static const char wanted[] = "tx-udp-segmentation";
	struct features f = { .ifr = { .ifr_ifindex = (int)ifindex } };
	struct ethtool_gstrings *names = (void *)f.names;
	struct ethtool_gfeatures *values = (void *)f.values;
	uint32_t n;

	if (sys_ioctl(fd, SIOCGIFNAME, &f.ifr) < 0)
		return false;
	n = features_count(fd, &f);
	*names = (struct ethtool_gstrings){ .cmd = ETHTOOL_GSTRINGS, .string_set = ETH_SS_FEATURES, .len = n };
	*values = (struct ethtool_gfeatures){ .cmd = ETHTOOL_GFEATURES, .size = (n + 31) / 32 };
	if (n == 0 || !ethtool(fd, &f, names) || !ethtool(fd, &f, values))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (strncmp((char *)names->data + (size_t)i * ETH_GSTRING_LEN, wanted, ETH_GSTRING_LEN) == 0)
			return values->features[i / 32].active >> i % 32 & 1;
	return false;
}

static bool ask(uint32_t ifindex, bool (*question)(int, uint32_t))
{
	/* Any socket carries the question; this kind is closed without waiting for anything. */
	int fd = sys_socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool possible;

	if (fd < 0)
		return false;
	possible = question(fd, ifindex);
	sys_close(fd);
	return possible;
}

bool vnet_possible(uint32_t ifindex)
{
	return ask(ifindex, device_segments);
}

bool vnet_possible_udp(uint32_t ifindex)
{
	return ask(ifindex, device_segments_udp);
}

/* A packet socket that sends. */
static int open_sender(uint32_t ifindex, int fd_floor)
{
	/* Protocol 0: no packet of the interface is ever delivered here. */
	struct sockaddr_ll addr = { .sll_family = AF_PACKET, .sll_ifindex = (int)ifindex };
	int fd = sys_fd_raise(sys_socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), fd_floor);
	int one = 1, rc;

	if (fd < 0)
		return fd;
	rc = sys_setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one));
	if (rc >= 0)
		rc = sys_setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one));
	if (rc >= 0)
		rc = sys_bind(fd, &addr, sizeof(addr));
	if (rc >= 0)
		return fd;
	sys_close(fd);
	return rc == -ENODEV || rc == -ENXIO ? -ENETDOWN : rc;
}

int vnet_open(uint32_t ifindex, int fd_floor)
{
	int fd = open_sender(ifindex, fd_floor), bytes = SEND_BUFFER;

	if (fd < 0)
		return fd;
	if (!device_segments(fd, ifindex)) {
		sys_close(fd);
		return -EOPNOTSUPP;
	}
	/* Without effect on failure: less speed, nothing else. */
	if (sys_setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
		(void)sys_setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	return fd;
}

/* A socket whose error queue tells when a frame was sent. As vnet_open(). */
static int open_stamped(uint32_t ifindex, int fd_floor)
{
	int fd = open_sender(ifindex, fd_floor), rc;
	int flags = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_TSONLY;

	if (fd < 0)
		return fd;
	rc = sys_setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof(flags));
	if (rc >= 0)
		return fd;
	sys_close(fd);
	return rc;
}

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

/* Length of the IP header at @ip and the protocol behind it; 0 = not a form we send. */
static uint32_t ip_header(const uint8_t *ip, uint32_t len, uint32_t type, uint8_t *protocol)
{
	uint32_t header;

	if (type == TYPE_IPV4 && len >= 20) {
		header = (ip[0] & 15u) * 4;
		*protocol = ip[9];
		return header >= 20 && header <= len ? header : 0;
	}
	if (type == TYPE_IPV6 && len >= 40) {
		*protocol = ip[6];
		return 40;
	}
	return 0;
}

static int tcp_layout(const uint8_t *tcp, uint32_t len, bool v6, struct vnet_layout *out)
{
	uint32_t header;

	if (len < 20)
		return -EINVAL;
	header = (uint32_t)(tcp[12] >> 4) * 4;
	if (header < 20 || header > len)
		return -EINVAL;
	out->header_len = (uint16_t)(out->l4_offset + header);
	out->csum_offset = 16;
	out->gso_type = v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
	return 0;
}

static int udp_layout(uint32_t len, struct vnet_layout *out)
{
	if (len < 8)
		return -EINVAL;
	out->header_len = (uint16_t)(out->l4_offset + 8);
	out->csum_offset = 6;
	out->gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
	return 0;
}

int vnet_parse(const uint8_t *bytes, uint32_t len, struct vnet_layout *out)
{
	uint32_t at = ETH_LEN, type, header;
	uint8_t protocol = 0;

	if (len < ETH_LEN)
		return -EINVAL;
	type = get16(bytes + 12);
	for (int tags = 0; tags < 2 && (type == TYPE_VLAN || type == TYPE_QINQ); tags++) {
		if (len < at + TAG_LEN)
			return -EINVAL;
		type = get16(bytes + at + 2);
		at += TAG_LEN;
	}
	header = ip_header(bytes + at, len - at, type, &protocol);
	if (header == 0)
		return -EINVAL;
	at += header;
	out->l4_offset = (uint16_t)at;
	if (protocol == PROTO_TCP)
		return tcp_layout(bytes + at, len - at, type == TYPE_IPV6, out);
	if (protocol == PROTO_UDP)
		return udp_layout(len - at, out);
	return -EINVAL;
}

/* The parts as a vector behind entry 0. Entries used, or -EINVAL. */
static int gather(const struct fbuf *frame, struct iovec iov[1 + VNET_MAX_PARTS])
{
	int n = 1;

	for (const struct fbuf *part = frame; part; part = part->next) {
		if (part->len == 0)
			continue;
		if (n == 1 + VNET_MAX_PARTS)
			return -EINVAL;
		iov[n++] = (struct iovec){ .iov_base = part->data, .iov_len = part->len };
	}
	return n;
}

int vnet_header(const struct fbuf *frame, struct virtio_net_hdr *hdr)
{
	uint8_t copy[HEADERS_MAX];
	struct vnet_layout layout = { 0 };
	const uint8_t *headers = frame->data;
	uint32_t len = frame->len;

	*hdr = (struct virtio_net_hdr){ 0 };
	if (frame->gso_size == 0 && frame->csum != FBUF_CSUM_PARTIAL)
		return 0;
	if (frame->csum != FBUF_CSUM_PARTIAL || frame->total > VNET_MAX_FRAME)
		return -EINVAL;
	if (len < sizeof(copy)) {
		len = fbuf_copy_out(frame, 0, copy, sizeof(copy));
		headers = copy;
	}
	if (vnet_parse(headers, len, &layout) < 0)
		return -EINVAL;
	hdr->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	hdr->hdr_len = layout.header_len;
	hdr->csum_start = layout.l4_offset;
	hdr->csum_offset = layout.csum_offset;
	if (frame->gso_size) {
		hdr->gso_type = layout.gso_type;
		hdr->gso_size = frame->gso_size;
	}
	return 0;
}

/* Does the device segment what is like this super-frame? */
static bool device_takes(int fd, uint32_t ifindex, const struct fbuf *frame)
{
	struct virtio_net_hdr hdr;

	if (vnet_header(frame, &hdr) < 0)
		return false;
	return hdr.gso_type == VIRTIO_NET_HDR_GSO_UDP_L4 ? device_segments_udp(fd, ifindex)
							 : device_segments(fd, ifindex);
}

/* 0, or what a send call's error means. */
static int result_of(int fd, uint32_t ifindex, const struct fbuf *frame, int n)
{
	if (n >= 0)
		return 0;
	switch (n) {
	case -ENOBUFS: /* the device had no room, or does not segment */
		return !frame->gso_size || device_takes(fd, ifindex, frame) ? -EAGAIN : -EOPNOTSUPP;
	case -EAGAIN:
	case -EBUSY:
	case -EINTR:
		return -EAGAIN;
	case -ENXIO:
	case -ENODEV:
	case -ENETDOWN:
		return -ENETDOWN;
	default:
		return -EINVAL;
	}
}

static int send_frame(int fd, uint32_t ifindex, const struct fbuf *frame)
{
	struct virtio_net_hdr hdr;
	struct iovec iov[1 + VNET_MAX_PARTS];
	struct msghdr msg = { .msg_iov = iov };
	int n;

	if (vnet_header(frame, &hdr) < 0)
		return -EINVAL;
	n = gather(frame, iov);
	if (n < 0)
		return n;
	iov[0] = (struct iovec){ .iov_base = &hdr, .iov_len = sizeof(hdr) };
	msg.msg_iovlen = (size_t)n;
	return result_of(fd, ifindex, frame, (int)sys_sendmsg(fd, &msg, MSG_DONTWAIT));
}

int vnet_send(int fd, uint32_t ifindex, const struct fbuf *frame)
{
	return frame->gso_size ? send_frame(fd, ifindex, frame) : -EINVAL;
}

/* The software stamp in @msg, 0 = none. */
static int64_t stamp_in(struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		int64_t words[2];

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPING)
			continue;
		memcpy(words, CMSG_DATA(c), sizeof(words));
		return words[0] * NS_PER_SEC + words[1];
	}
	return 0;
}

static int send_stamped(int fd, uint32_t ifindex, const struct fbuf *frame, fs_ns *stamp)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[256];
	} control;
	int64_t found, earliest = *stamp;
	int rc = send_frame(fd, ifindex, frame);

	if (rc < 0)
		return rc;
	/* Older ones, told too late, are of other frames. */
	for (int i = 0; i < STAMPS_MAX; i++) {
		struct msghdr msg = { .msg_control = &control, .msg_controllen = sizeof(control) };

		if (sys_recvmsg(fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
			break;
		found = stamp_in(&msg);
		if (found >= earliest)
			*stamp = found;
	}
	return 0;
}

int vnet_transmit_stamped(int *fd, int fd_floor, struct provider_port *port, struct fbuf *frame, fs_ns *stamp)
{
	int rc;

	if (*fd < 0)
		*fd = open_stamped(port->ifindex, fd_floor);
	if (*fd < 0) {
		*fd = -1;
		return -EOPNOTSUPP;
	}
	rc = send_stamped(*fd, port->ifindex, frame, stamp);
	if (rc < 0)
		return rc;
	port->stats.tx_frames++;
	port->stats.tx_bytes += frame->total;
	fbuf_free(frame);
	return 0;
}
