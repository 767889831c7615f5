/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * packet_rx.c - see packet_rx.h.
 *
 * A frame longer than its slot lies in the socket's own queue and costs a system call.
 */
#include "provider/packet/packet_rx.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <sys/utsname.h>

#include "steer/tap.h"
#include "sys/sys.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5 /* UDP_SEGMENT, Linux 6.2 */
#endif

enum {
	SEND_BUFFER = 16 << 20,
	RECEIVE_BUFFER = 4 << 20, /* of super-frames, which do not fit their slots */
	COPY_THRESHOLD = 1,	  /* bytes: any frame that does not fit goes there */
	PARTS_MAX = 64,		  /* of a frame that is received from the queue */
	UDP_HEADER = 8,
};

static const uint16_t protocols[PACKET_SOCKETS] = { ETH_P_IP, ETH_P_IPV6 };

/* --- the sockets --- */

/*
 * Map over the range the caller reserved. MADV_DONTFORK: a mapping in an idle child would keep the
 * socket alive after its owner is gone (design hazard 6); a child that wants to drive the port maps again.
 */
static int ring_map(const struct packet_ring *ring, int fd)
{
	void *got = sys_mmap(ring->memory, PACKET_RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			     fd, 0);

	if (sys_is_err(got))
		return (int)(intptr_t)got;
	return sys_madvise(got, PACKET_RING_BYTES, MADV_DONTFORK);
}

static int socket_tune(const struct packet_ring *ring, int fd)
{
	const struct tpacket_req req = {
		.tp_block_size = PACKET_BLOCK_BYTES,
		.tp_block_nr = PACKET_RING_BYTES / PACKET_BLOCK_BYTES,
		.tp_frame_size = ring->slot_len,
		.tp_frame_nr = ring->slots,
	};
	const int one = 1, version = TPACKET_V2, threshold = COPY_THRESHOLD;
	const int receive = RECEIVE_BUFFER, transmit = SEND_BUFFER;
	int rc;

	rc = sys_setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version));
	if (rc == 0)
		rc = sys_setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one));
	if (rc == 0)
		rc = sys_setsockopt(fd, SOL_PACKET, PACKET_COPY_THRESH, &threshold, sizeof(threshold));
	/* As with AF_XDP: what the stack sends passes no queueing discipline, nor the guard. */
	if (rc == 0)
		rc = sys_setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one));
	if (rc == 0)
		rc = sys_setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req));
	if (rc == 0)
		rc = steer_tap_filter(fd);
	if (rc < 0)
		return rc;
	/* Each without effect on failure: less speed, nothing else. */
	if (sys_setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive, sizeof(receive)) < 0)
		(void)sys_setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive, sizeof(receive));
	if (sys_setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &transmit, sizeof(transmit)) < 0)
		(void)sys_setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &transmit, sizeof(transmit));
	return 0;
}

/* Make and map one socket. */
static int socket_open(struct packet_ring *ring, int *out, uint8_t *memory, const struct packet_rx_args *args)
{
	/* Protocol 0: nothing comes, whatever is set up in which order. */
	int fd = sys_fd_raise(sys_socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), args->fd_floor), rc;

	if (fd < 0)
		return fd == -EINVAL ? -EMFILE : fd;
	*out = fd;
	packet_ring_size(ring, args->mtu);
	rc = socket_tune(ring, fd);
	if (rc < 0)
		return rc;
	ring->memory = memory;
	return ring_map(ring, fd);
}

int packet_rx_open(struct packet_rx *rx, int fd[PACKET_SOCKETS], const struct packet_rx_args *args)
{
	int rc = 0;

	*rx = (struct packet_rx){ 0 };
	for (int i = 0; i < PACKET_SOCKETS && rc == 0; i++)
		rc = socket_open(&rx->ring[i], &fd[i], args->rings + (size_t)i * PACKET_RING_BYTES, args);
	return rc;
}

int packet_rx_bind(const int fd[PACKET_SOCKETS], uint32_t ifindex)
{
	int rc = 0;

	for (int i = 0; i < PACKET_SOCKETS && rc == 0; i++) {
		const struct sockaddr_ll addr = {
			.sll_family = AF_PACKET,
			.sll_protocol = __builtin_bswap16(protocols[i]),
			.sll_ifindex = (int)ifindex,
		};

		rc = sys_bind(fd[i], &addr, sizeof(addr));
	}
	return rc;
}

int packet_rx_watch(const int fd[PACKET_SOCKETS], int set)
{
	struct epoll_event event = { .events = EPOLLIN };
	int rc = 0;

	for (int i = 0; i < PACKET_SOCKETS && rc == 0; i++)
		rc = sys_epoll_ctl(set, EPOLL_CTL_ADD, fd[i], &event);
	return rc;
}

int packet_rx_map(const struct packet_rx *rx, const int fd[PACKET_SOCKETS])
{
	int rc = 0;

	for (int i = 0; i < PACKET_SOCKETS && rc == 0; i++)
		rc = ring_map(&rx->ring[i], fd[i]);
	return rc;
}

void packet_rx_unmap(const struct packet_rx *rx)
{
	for (int i = 0; i < PACKET_SOCKETS; i++)
		if (rx->ring[i].memory)
			sys_munmap(rx->ring[i].memory, PACKET_RING_BYTES);
}

bool packet_rx_knows_udp_gso(void)
{
	struct utsname name;

	return sys_call1(__NR_uname, (long)&name) == 0 && !packet_release_lacks_udp_gso(name.release);
}

uint64_t packet_rx_lost(const int fd[PACKET_SOCKETS])
{
	uint64_t lost = 0;

	for (int i = 0; i < PACKET_SOCKETS; i++) {
		struct tpacket_stats st = { 0 };
		socklen_t len = sizeof(st);

		/* Reading sets them to 0. */
		if (sys_getsockopt(fd[i], SOL_PACKET, PACKET_STATISTICS, &st, &len) == 0)
			lost += st.tp_drops;
	}
	return lost;
}

/* --- reception --- */

/* May another frame of @len bytes be received? A quarter of the low-water mark is kept for senders;
 * below it frames wait in the ring, which the kernel counts when it overflows. */
static bool may_take(const struct fbuf_pool *pool, uint32_t len)
{
	return pool->n_free > pool->low_water / 4 + len / pool->chunk_size;
}

/* What the parts of a frame hold: the first, and each of the others but the last. */
struct cut {
	uint32_t first, step;
};

/* A super-frame of UDP whose every part is to hold a datagram, so that nobody need copy them apart. NULL: it
 * is none, or the parts would be too many or too long, or there is no memory. */
static struct fbuf *alloc_cut(struct fbuf_pool *pool, const struct packet_slot *slot, struct cut *cut)
{
	const struct virtio_net_hdr *vnet = &slot->vnet;
	uint32_t headers = (uint32_t)vnet->csum_start + UDP_HEADER, parts;
	struct fbuf *frame, *last;

	if (!slot->queued || vnet->gso_type != VIRTIO_NET_HDR_GSO_UDP_L4 || vnet->gso_size == 0 ||
	    headers + vnet->gso_size > pool->chunk_size - pool->headroom || headers >= slot->total)
		return NULL;
	parts = (slot->total - headers + vnet->gso_size - 1) / vnet->gso_size;
	if (parts > PARTS_MAX || !may_take(pool, parts * pool->chunk_size))
		return NULL;
	*cut = (struct cut){ headers + vnet->gso_size, vnet->gso_size };
	frame = last = fbuf_alloc(pool);
	while (--parts > 0)
		last = last->next = fbuf_alloc(pool);
	return frame;
}

/* A frame for @len bytes, each part's room in @iov from 1 on. Entries, or 0 = no memory. */
static unsigned scatter(struct fbuf *frame, uint32_t len, const struct cut *cut, struct iovec iov[1 + PARTS_MAX])
{
	unsigned n = 1;

	for (struct fbuf *part = frame; part && len > 0 && n <= PARTS_MAX; part = part->next) {
		part->len = FS_MIN(FS_MIN(len, fbuf_tailroom(part)), n == 1 ? cut->first : cut->step);
		iov[n++] = (struct iovec){ .iov_base = part->data, .iov_len = part->len };
		len -= part->len;
	}
	return len == 0 ? n : 0;
}

/* Receive the frame that lies in the socket's queue. NULL: none, or not whole; @vnet is then undefined. */
static struct fbuf *receive_queued(int fd, struct fbuf *frame, uint32_t total, const struct cut *cut,
				   struct virtio_net_hdr *vnet)
{
	struct iovec iov[1 + PARTS_MAX];
	struct msghdr msg = { .msg_iov = iov };
	unsigned n = scatter(frame, total, cut, iov);

	iov[0] = (struct iovec){ .iov_base = vnet, .iov_len = sizeof(*vnet) };
	msg.msg_iovlen = n;
	if (n == 0) {
		/* Too long a chain: take it off the queue, or the next would be taken for it. */
		msg.msg_iovlen = 1;
	}
	if (sys_recvmsg(fd, &msg, MSG_DONTWAIT) != (ssize_t)(sizeof(*vnet) + total) || n == 0) {
		fbuf_free(frame);
		return NULL;
	}
	frame->total = total;
	return frame;
}

/* Copy the frame of the ring's next slot. False: no memory, the slot stays. Otherwise the slot is done
 * with, and @out the frame, or NULL if it was nothing. */
static bool take_slot(struct provider_port *port, int fd, const struct packet_ring *ring,
		      const struct tpacket2_hdr *hdr, struct fbuf **out)
{
	struct fbuf_pool *pool = port->pool;
	struct cut cut = { UINT32_MAX, UINT32_MAX };
	struct packet_slot slot;
	struct packet_meta meta;
	struct fbuf *f;

	*out = NULL;
	if (packet_slot_read(hdr, ring->slot_len, &slot) < 0)
		return true;
	f = alloc_cut(pool, &slot, &cut);
	if (!f)
		f = may_take(pool, slot.total) ? fbuf_alloc_chain(pool, slot.total) : NULL;
	if (!f) {
		port->stats.rx_no_frame++;
		return false;
	}
	if (slot.queued) {
		f = receive_queued(fd, f, slot.total, &cut, &slot.vnet);
		if (!f)
			return true;
	} else if (!f->next) {
		memcpy(f->data, slot.frame, slot.len);
		f->len = f->total = slot.len;
	} else {
		fbuf_append(f, slot.frame, slot.len);
	}
	if (packet_meta_read(&slot.vnet, slot.total, &meta) < 0) {
		fbuf_free(f);
		return true;
	}
	f->csum = meta.csum;
	f->gso_size = meta.gso_size;
	f->vlan = slot.vlan;
	f->port = port->index;
	if (port->stamp)
		f->stamp = FS_SEC(fs_load_relaxed(&hdr->tp_sec)) + fs_load_relaxed(&hdr->tp_nsec);
	*out = f;
	return true;
}

/* Up to @n frames of one ring. */
static unsigned take_from(struct packet_ring *ring, int fd, struct provider_port *port, struct fbuf **frames,
			  unsigned n)
{
	const struct tpacket2_hdr *hdr;
	unsigned got = 0;

	while (got < n && (hdr = packet_ring_ready(ring)) != NULL) {
		struct fbuf *f;

		if (!take_slot(port, fd, ring, hdr, &f))
			break;
		packet_ring_advance(ring);
		if (!f) {
			port->stats.rx_bad++;
			continue;
		}
		port->stats.rx_bytes += f->total;
		frames[got++] = f;
	}
	return got;
}

unsigned packet_rx_take(struct packet_rx *rx, const int fd[PACKET_SOCKETS], struct provider_port *port,
			struct fbuf **frames, unsigned n)
{
	unsigned i = rx->turn, got = take_from(&rx->ring[i], fd[i], port, frames, n);

	/* The other one goes first next time when this one filled all there was room for. */
	i ^= 1;
	if (got < n)
		got += take_from(&rx->ring[i], fd[i], port, frames + got, n - got);
	else
		rx->turn = (uint8_t)i;
	return got;
}

bool packet_rx_ready(const struct packet_rx *rx)
{
	return packet_ring_ready(&rx->ring[0]) || packet_ring_ready(&rx->ring[1]);
}
