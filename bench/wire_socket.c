/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wire_socket.c - a packet socket with virtio-net headers on an interface that no stack uses.
 */
#include "wire_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
	BUFFER = 16 << 20, /* bytes that wait while we do not run; super-frames are charged with their pages */
	MAX_PARTS = 16,
};

static int set(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int prepare(int fd, const char *ifname)
{
	struct sockaddr_ll at = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)if_nametoindex(ifname),
	};
	int rc;

	if (at.sll_ifindex == 0)
		return -ENODEV;
	if ((rc = set(fd, SOL_PACKET, PACKET_VNET_HDR, 1)) < 0 ||
	    (rc = set(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)) < 0 ||
	    (rc = set(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1)) < 0 ||
	    (rc = set(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1)) < 0 ||
	    (rc = set(fd, SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)) < 0)
		return rc;
	/* Bound last: nothing comes before everything is set. */
	return bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ? -errno : 0;
}

int wire_socket_open(struct wire_socket *ws, const char *ifname)
{
	int rc;

	memset(ws, 0, sizeof(*ws));
	ws->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (ws->fd < 0)
		return -errno;
	rc = prepare(ws->fd, ifname);
	if (rc < 0)
		close(ws->fd);
	return rc;
}

static fs_ns stamp_of(struct msghdr *msg)
{
	struct timespec at = { 0 };

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS)
			memcpy(&at, CMSG_DATA(c), sizeof(at));
	return (fs_ns)at.tv_sec * FS_SEC(1) + at.tv_nsec;
}

/* What the kernel says of the frame; false: it is none that can be carried on. */
static bool describe(struct fbuf *frame, const struct virtio_net_hdr *hdr)
{
	uint8_t type = hdr->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;

	if (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		frame->csum = FBUF_CSUM_PARTIAL;
	if (type == VIRTIO_NET_HDR_GSO_NONE)
		return true;
	frame->gso_size = hdr->gso_size;
	return (type == VIRTIO_NET_HDR_GSO_TCPV4 || type == VIRTIO_NET_HDR_GSO_TCPV6) &&
	       frame->csum == FBUF_CSUM_PARTIAL;
}

/* 1: a frame; 0: one that was thrown away; -1: none is there. */
static int receive_one(struct wire_socket *ws, struct fbuf *frame, fs_ns *stamp)
{
	struct virtio_net_hdr hdr;
	struct iovec to[2] = { { &hdr, sizeof(hdr) }, { frame->data, fbuf_tailroom(frame) } };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct timespec))];
	} control;
	struct msghdr msg = {
		.msg_iov = to,
		.msg_iovlen = 2,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t got = recvmsg(ws->fd, &msg, 0);

	if (got < 0)
		return -1;
	ws->taken++;
	if (got <= (ssize_t)sizeof(hdr) || (msg.msg_flags & MSG_TRUNC) || !describe(frame, &hdr)) {
		ws->strange++;
		return 0;
	}
	frame->len = frame->total = (uint32_t)got - (uint32_t)sizeof(hdr);
	ws->supers += frame->gso_size > 0;
	*stamp = stamp_of(&msg);
	return 1;
}

struct fbuf *wire_socket_receive(struct wire_socket *ws, struct fbuf_pool *pool, fs_ns *stamp)
{
	struct fbuf *frame;
	int rc;

	do {
		frame = fbuf_alloc(pool);
		if (!frame)
			return NULL;
		rc = receive_one(ws, frame, stamp);
		if (rc <= 0)
			fbuf_free(frame);
	} while (rc == 0);
	return rc > 0 ? frame : NULL;
}

void wire_socket_send(struct wire_socket *ws, struct fbuf *frame)
{
	struct virtio_net_hdr hdr = { 0 };
	struct iovec from[1 + MAX_PARTS] = { { &hdr, sizeof(hdr) } };
	struct msghdr msg = { .msg_iov = from, .msg_iovlen = 1 };
	bool fits = frame->gso_size == 0;

	for (const struct fbuf *part = frame; part && fits; part = part->next) {
		fits = msg.msg_iovlen < 1 + MAX_PARTS;
		if (fits)
			from[msg.msg_iovlen++] = (struct iovec){ part->data, part->len };
	}
	if (fits && sendmsg(ws->fd, &msg, 0) >= 0)
		ws->given++;
	else
		ws->unsent++;
	fbuf_free(frame);
}

void wire_socket_refresh(struct wire_socket *ws)
{
	struct tpacket_stats since;
	socklen_t len = sizeof(since);

	if (getsockopt(ws->fd, SOL_PACKET, PACKET_STATISTICS, &since, &len) == 0)
		ws->missed += since.tp_drops;
}
