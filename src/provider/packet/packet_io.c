/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * packet_io.c - the data path of the packet provider: receive, transmit, kick.
 *
 * Does not attach, steer or parse protocols, but for the layout of a frame whose checksum the kernel is
 * to complete (vnet). One system call sends a burst; what receiving does is in packet_rx.c.
 */
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <string.h>
#include <sys/uio.h>

#include "provider/packet/packet_port.h"
#include "provider/vnet/vnet.h"
#include "sys/sys.h"

enum {
	KICK_ROUNDS = 64,  /* send calls beyond those the frames explain, then kick() gives up */
	REFUSED_MAX = 64,  /* a frame the device refused so often is thrown away */
	ETHERTYPE_AT = 12, /* in the frame */
};

/* --- the port's life --- */

/* Ask @request of the interface. False: it cannot be asked, or there is none of this number. */
static bool interface_ask(const struct provider_handle *handle, unsigned long request, struct ifreq *ifr)
{
	int fd = handle->fd[PACKET_FD_V4];
	struct ifreq name = { .ifr_ifindex = (int)handle->port->ifindex };

	if (sys_ioctl(fd, SIOCGIFNAME, &name) < 0)
		return false;
	memcpy(ifr->ifr_name, name.ifr_name, sizeof(ifr->ifr_name));
	return sys_ioctl(fd, request, ifr) == 0;
}

/* IFF_RUNNING would say so up to a second late. */
static bool interface_has_carrier(const struct provider_handle *handle)
{
	struct ethtool_value link = { .cmd = ETHTOOL_GLINK };
	struct ifreq ifr = { .ifr_data = (void *)&link };

	return !interface_ask(handle, SIOCETHTOOL, &ifr) || link.data;
}

/* Is the interface up, and are the sockets bound to it? 0, -ENETDOWN; -ENODEV: it went, which unbinds them,
 * and for good: it may have come back meanwhile. */
static int interface_state(const struct provider_handle *handle)
{
	struct sockaddr_ll bound = { 0 };
	struct ifreq ifr = { 0 };
	socklen_t len = sizeof(bound);

	if (sys_getsockname(handle->fd[PACKET_FD_V4], &bound, &len) < 0 ||
	    bound.sll_ifindex != (int)handle->port->ifindex)
		return -ENODEV;
	return interface_ask(handle, SIOCGIFFLAGS, &ifr) && (ifr.ifr_flags & IFF_UP) ? 0 : -ENETDOWN;
}

/* A socket reports that its interface went down or away once; reading that clears it. */
void packet_io_probe(struct provider_handle *handle)
{
	struct packet_port *p = packet_port_of(handle);
	bool told = p->base.error != 0;

	for (int i = 0; i < PACKET_SOCKETS; i++) {
		socklen_t len = sizeof(int);
		int error = 0;

		if (sys_getsockopt(handle->fd[i], SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error != 0)
			told = true;
	}
	if (told && p->base.error != -ENODEV && p->base.error != -ENOLINK)
		p->base.error = interface_state(handle);
}

/* --- reception --- */

unsigned packet_receive(struct provider_handle *handle, struct fbuf **frames, unsigned n)
{
	struct packet_port *p = packet_port_of(handle);
	unsigned got = packet_rx_take(&p->rx, &handle->fd[PACKET_FD_V4], &p->base, frames, n);

	p->base.stats.rx_frames += got;
	/* A look at empty rings answers steering too: what was lost to a full ring was asked for as well.
	 * Time 0: as of the question. */
	if (got == 0)
		steer_heartbeat(p->shared, 0, 0);
	return got;
}

/* --- transmission --- */

unsigned packet_transmit(struct provider_handle *handle, struct fbuf *const *frames, unsigned n)
{
	struct packet_port *p = packet_port_of(handle);
	unsigned room = PACKET_TX_MAX - p->tx.frames, i;

	for (i = 0; i < n && i < room; i++)
		fbuf_queue_push(&p->tx, frames[i]);
	p->base.stats.tx_full += n - i;
	return i;
}

/* Socket of the frame's protocol. */
static int socket_of(const struct fbuf *frame)
{
	return frame->len > ETHERTYPE_AT + 1 && frame->data[ETHERTYPE_AT] == 0x86 &&
			       frame->data[ETHERTYPE_AT + 1] == 0xdd ?
		       PACKET_FD_V6 :
		       PACKET_FD_V4;
}

/* Messages of one system call. */
struct burst {
	struct mmsghdr msg[PACKET_TX_BURST];
	struct virtio_net_hdr vnet[PACKET_TX_BURST];
	struct iovec iov[PACKET_TX_BURST * 2 + PACKET_MAX_PARTS];
	unsigned n, n_iov;
};

/* Add a frame. 1, 0 = the burst is full, -EINVAL = it can never be sent. */
static int burst_add(struct burst *b, struct fbuf *frame, uint16_t max_gso)
{
	struct iovec *iov = &b->iov[b->n_iov];
	unsigned parts = 0;

	for (const struct fbuf *part = frame; part; part = part->next)
		parts += part->len > 0;
	if (parts == 0 || parts > PACKET_MAX_PARTS || (frame->gso_size && frame->total > max_gso))
		return -EINVAL;
	if (b->n == PACKET_TX_BURST || b->n_iov + 1 + parts > FS_ARRAY_SIZE(b->iov))
		return 0;
	if (vnet_header(frame, &b->vnet[b->n]) < 0)
		return -EINVAL;
	*iov++ = (struct iovec){ .iov_base = &b->vnet[b->n], .iov_len = sizeof(b->vnet[0]) };
	for (struct fbuf *part = frame; part; part = part->next)
		if (part->len > 0)
			*iov++ = (struct iovec){ .iov_base = part->data, .iov_len = part->len };
	b->msg[b->n] = (struct mmsghdr){
		.msg_hdr = { .msg_iov = &b->iov[b->n_iov], .msg_iovlen = 1 + parts },
	};
	b->n_iov += 1 + parts;
	b->n++;
	return 1;
}

static void drop_front(struct packet_port *p)
{
	p->base.stats.tx_bad++;
	p->refused = 0;
	fbuf_free(fbuf_queue_pop(&p->tx));
}

static void sent_front(struct packet_port *p, unsigned n)
{
	p->refused = 0;
	p->base.stats.tx_frames += n;
	while (n-- > 0) {
		struct fbuf *f = fbuf_queue_pop(&p->tx);

		p->base.stats.tx_bytes += f->total;
		fbuf_free(f);
	}
}

/* The frames in front that leave by one socket. Returns that socket's place; those that can never leave
 * are thrown away. The burst is empty when none is left. */
static int burst_make(struct packet_port *p, struct burst *b)
{
	struct fbuf *f;
	int which = PACKET_FD_V4;

	b->n = b->n_iov = 0;
	while ((f = p->tx.head) != NULL && b->n == 0) {
		which = socket_of(f);
		if (burst_add(b, f, p->base.caps.max_gso) <= 0)
			drop_front(p);
	}
	if (!f || b->n == 0)
		return which;
	while ((f = f->link) != NULL && socket_of(f) == which && burst_add(b, f, p->base.caps.max_gso) > 0)
		;
	return which;
}

/*
 * What a send call's error means for the frame in front. 0: it is settled, go on; -EAGAIN: later;
 * -ENETDOWN: the port is dead or the interface down.
 */
static int send_failed(struct provider_handle *handle, int rc)
{
	struct packet_port *p = packet_port_of(handle);

	switch (rc) {
	case -ENXIO: /* no longer bound: the interface was removed */
	case -ENODEV:
	case -ENETDOWN:
		if (p->base.error == 0)
			p->base.error = -ENETDOWN; /* for the look to confirm */
		packet_io_probe(handle);
		return p->base.error ? -ENETDOWN : -EAGAIN;
	case -ENOBUFS: /* the device had no room, or does not segment any more */
		p->base.stats.kick_again++;
		if (p->tx.head->gso_size && !vnet_possible(p->base.ifindex)) {
			p->base.caps.max_gso = 0;
			drop_front(p);
			return 0;
		}
		/* Without carrier nothing leaves, and nothing waits for it: as the kernel's own frames. The
		 * frame is none of those that can never be sent. */
		if (!interface_has_carrier(handle)) {
			p->refused = 0;
			fbuf_free(fbuf_queue_pop(&p->tx));
			return 0;
		}
		if (++p->refused >= REFUSED_MAX)
			drop_front(p);
		return -EAGAIN;
	case -EAGAIN:
	case -EINTR:
		p->base.stats.kick_again++;
		return -EAGAIN;
	default:
		drop_front(p);
		return 0;
	}
}

/* The usual case: one ordinary frame in one part. Its header goes in front of it. */
static int send_one(struct provider_handle *handle, struct fbuf *f)
{
	enum { HEADER = sizeof(struct virtio_net_hdr) };
	int rc;

	memset(f->data - HEADER, 0, HEADER);
	provider_call_begins(handle->port);
	rc = (int)sys_sendto(handle->fd[socket_of(f)], f->data - HEADER, f->len + HEADER, MSG_DONTWAIT, NULL,
			     0);
	provider_call_ends(handle->port);
	return rc < 0 ? rc : 1;
}

static bool is_usual(const struct packet_port *p, const struct fbuf *f)
{
	return p->tx.frames == 1 && !f->next && f->gso_size == 0 && f->csum != FBUF_CSUM_PARTIAL &&
	       f->len > 0 && fbuf_headroom(f) >= sizeof(struct virtio_net_hdr);
}

int packet_transmit_stamped(struct provider_handle *handle, struct fbuf *frame, fs_ns *stamp)
{
	struct packet_port *p = packet_port_of(handle);

	if (p->tx.head)
		return -EAGAIN; /* it would overtake them */
	return vnet_transmit_stamped(&handle->fd[PACKET_FD_STAMP], handle->fd[PACKET_FD_V4], &p->base, frame, stamp);
}

int packet_kick(struct provider_handle *handle)
{
	struct packet_port *p = packet_port_of(handle);
	unsigned rounds = p->tx.frames + KICK_ROUNDS;
	struct burst b;
	int rc, which;

	while (p->tx.head && rounds-- > 0) {
		if (is_usual(p, p->tx.head)) {
			rc = send_one(handle, p->tx.head);
		} else {
			which = burst_make(p, &b);
			if (b.n == 0)
				continue;
			provider_call_begins(&p->base); /* cut off here, the frames leave once more */
			rc = sys_sendmmsg(handle->fd[which], b.msg, b.n, MSG_DONTWAIT);
			provider_call_ends(&p->base);
		}
		p->base.stats.kicks++;
		if (rc > 0) {
			sent_front(p, (unsigned)rc);
			continue;
		}
		rc = send_failed(handle, rc);
		if (rc < 0)
			return rc;
	}
	return p->tx.head ? -EAGAIN : 0;
}

unsigned packet_tx_pending(const struct provider_handle *handle)
{
	return packet_port_of(handle)->tx.frames;
}

/* --- sleeping --- */

bool packet_arm(struct provider_handle *handle)
{
	struct packet_port *p = packet_port_of(handle);

	packet_io_probe(handle);
	return packet_rx_ready(&p->rx);
}

void packet_disarm(struct provider_handle *handle)
{
	(void)handle; /* the descriptor signals reception at all times; nothing was switched on */
}
