/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * packet.c - the packet provider: opening, joining and closing a port, its steering and its statistics.
 *
 * A port is two packet sockets, for IPv4 and for IPv6, whose frames src/steer's tap picks, moved by
 * packet_rx.c and packet_io.c. It works on any Ethernet interface and needs neither AF_XDP nor locked memory, and on
 * veth it takes what kernel peers send without exception: a packet socket tells what the checksum is
 * worth, and how a super-frame is cut.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>

#include "provider/packet/packet_port.h"
#include "provider/steered/steered.h"
#include "provider/vnet/vnet.h"
#include "sys/sys.h"

enum {
	ETH_LEN = 14,
	TAG_LEN = 4,
	TEST_FRAME_LEN = 60,
};

static int fail(const struct provider_open_args *args, int error, const char *text)
{
	size_t len = FS_MIN(strlen(text), (size_t)PROVIDER_WHY_LEN - 1);

	memcpy(args->why, text, len);
	args->why[len] = '\0';
	return error;
}

static int fail_errno(const struct provider_open_args *args, int error, const char *otherwise)
{
	switch (error) {
	case -EPERM:
	case -EACCES:
		return fail(args, -EPERM, "packet sockets need CAP_NET_RAW");
	case -EMFILE:
	case -ENFILE:
	case -EINVAL:
		return fail(args, error == -EINVAL ? -EOPNOTSUPP : -EMFILE,
			    error == -EINVAL ? otherwise : "no descriptor left for the packet sockets");
	case -EAFNOSUPPORT:
	case -EPROTONOSUPPORT:
		return fail(args, -EOPNOTSUPP, "the kernel has no packet sockets (CONFIG_PACKET)");
	case -ENODEV:
	case -ENXIO:
	case -ENETDOWN:
		return fail(args, -ENETDOWN, "the interface is down or gone");
	case -ENOMEM:
	case -ENOBUFS:
		return fail(args, -ENOMEM, "the kernel has no memory for the packet rings");
	default:
		return fail(args, -EOPNOTSUPP, otherwise);
	}
}

static void set_caps(struct provider_caps *caps, const struct provider_open_args *args)
{
	*caps = (struct provider_caps){
		.max_frame = args->mtu + ETH_LEN + TAG_LEN,
		.max_parts = PACKET_MAX_PARTS,
		.gso_parts = PACKET_MAX_PARTS,
		.steers = true,
		.needs_kick = true,
		.mode = "tap",
		.stamps_wall = true,
	};
}

/* What the sockets take comes by any queue. */
static int refuse_part(const struct provider_open_args *args)
{
	return args->first_queue > 0 || args->beside ?
		       fail(args, -EOPNOTSUPP, "packet sockets have an interface whole: no queue apart from others") :
		       0;
}

static int packet_probe(const struct provider_open_args *args, struct provider_caps *caps)
{
	int fd, rc = refuse_part(args);

	if (rc < 0)
		return rc;
	fd = sys_socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail_errno(args, fd, "packet sockets cannot be made here");
	sys_close(fd);
	if (caps)
		set_caps(caps, args);
	return 0;
}

/* --- steering: between a handle and a struct steer --- */

static bool is_owner(const struct provider_handle *handle)
{
	return handle->port->owner_pid == sys_getpid();
}

static struct steer steer_of(const struct provider_handle *handle)
{
	const struct packet_port *p = packet_port_of(handle);
	struct steer s = {
		.shared = p->shared,
		.ifindex = p->base.ifindex,
		.guard = p->guard,
		.tap = p->tap,
		.owner = is_owner(handle),
	};

	for (int i = 0; i < STEER_N_FDS; i++)
		s.fd[i] = handle->fd[PACKET_FD_STEER + i];
	return s;
}

static void steer_fds_to(struct provider_handle *handle, const struct steer *s)
{
	for (int i = 0; i < STEER_N_FDS; i++)
		handle->fd[PACKET_FD_STEER + i] = s->fd[i];
}

static int attach(struct provider_handle *handle, const struct provider_open_args *args)
{
	struct packet_port *p = packet_port_of(handle);
	const struct steer_open_args sa = {
		.ifindex = args->ifindex,
		.tap = true,
		.tap_hang = strcmp(args->option, "tap=clsact") == 0 ? STEER_GUARD_CLSACT : STEER_GUARD_AUTO,
		.no_udp_gso = !packet_rx_knows_udp_gso(),
		.n_queues = 1,
		.guard = STEER_GUARD_NONE, /* comes with the first TCP rule */
		.mac = args->mac,
		.at = (uint8_t *)args->rings + PACKET_RINGS_LEN,
		.fd_floor = args->fd_floor,
		.why = args->why,
		.why_len = PROVIDER_WHY_LEN,
		.former = args->former,
	};
	struct steer s;
	int rc = steer_open(&s, &sa);

	if (rc == -ENODEV)
		return fail(args, -ENETDOWN, "the interface is gone");
	if (rc < 0)
		return rc;
	steer_fds_to(handle, &s);
	p->shared = s.shared;
	p->guard = s.guard;
	p->tap = s.tap;
	steer_programs(&s, p->base.programs);
	return 0;
}

static void detach(struct provider_handle *handle)
{
	struct packet_port *p = packet_port_of(handle);
	struct steer s = steer_of(handle);

	steer_close(&s);
	for (int i = 0; i < STEER_N_FDS; i++)
		handle->fd[PACKET_FD_STEER + i] = -1;
	if (s.owner)
		p->shared = NULL;
}

/* --- sockets --- */

static int sockets_open(struct provider_handle *handle, const struct provider_open_args *args)
{
	const struct packet_rx_args rx = {
		.mtu = args->mtu,
		.fd_floor = args->fd_floor,
		.rings = args->rings,
	};
	int fd = sys_fd_raise(sys_epoll_create1(EPOLL_CLOEXEC), args->fd_floor), rc;

	if (fd < 0)
		return fail_errno(args, fd == -EINVAL ? -EMFILE : fd, "no epoll set can be made");
	handle->fd[PACKET_FD_WAIT] = fd;
	rc = packet_rx_open(&packet_port_of(handle)->rx, &handle->fd[PACKET_FD_V4], &rx);
	if (rc == 0)
		rc = packet_rx_bind(&handle->fd[PACKET_FD_V4], args->ifindex);
	if (rc == 0)
		rc = packet_rx_watch(&handle->fd[PACKET_FD_V4], fd);
	return rc < 0 ? fail_errno(args, rc, "the kernel refuses a packet socket with ring and virtio-net header")
		      : 0;
}

/* --- self-test --- */

/*
 * A frame no receiver takes, from our address to our address, IEEE 802 Local Experimental type: is it
 * taken from us? A device without carrier may refuse it. That frames also arrive shows only with
 * traffic; the heartbeat of steering covers a receive side that stays silent.
 */
static int self_test(struct provider_handle *handle, const struct provider_open_args *args)
{
	struct packet_port *p = packet_port_of(handle);
	struct fbuf *f = fbuf_alloc(args->pool);
	int rc;

	if (!f)
		return fail(args, -ENOMEM, "the frame pool is too small to send from");
	memset(f->data, 0, TEST_FRAME_LEN);
	memcpy(f->data, args->mac.b, 6);
	memcpy(f->data + 6, args->mac.b, 6);
	f->data[12] = 0x88;
	f->data[13] = 0xb5;
	f->len = f->total = TEST_FRAME_LEN;
	packet_transmit(handle, &f, 1);
	rc = packet_kick(handle);
	if (rc == -ENETDOWN)
		return fail(args, -ENETDOWN, "the interface is down or gone");
	if (rc < 0)
		fbuf_queue_free(&p->tx);
	if (p->base.stats.tx_bad)
		return fail(args, -EPROTO, "self-test: the kernel refuses to send a frame");
	memset(&p->base.stats, 0, sizeof(p->base.stats));
	return 0;
}

/* --- open, join, close --- */

static void handle_init(struct provider_handle *handle, struct provider_port *port)
{
	handle->ops = &provider_packet;
	handle->port = port;
	handle->n_fds = PACKET_FDS;
	for (int i = 0; i < PROVIDER_MAX_FDS; i++)
		handle->fd[i] = -1;
}

static void port_init(struct provider_handle *handle, struct provider_port *port,
		      const struct provider_open_args *args)
{
	handle_init(handle, port);
	port->kind = args->kind;
	port->ifindex = args->ifindex;
	port->n_queues = args->n_queues; /* the sockets have no queues: what is steered comes, by any */
	port->index = args->index;
	port->pool = args->pool;
	port->owner_pid = sys_getpid();
	set_caps(&port->caps, args);
}

static void close_fds(struct provider_handle *handle)
{
	for (int i = 0; i < PACKET_FDS; i++) {
		if (handle->fd[i] >= 0)
			sys_close(handle->fd[i]);
		handle->fd[i] = -1;
	}
}

/* The tap first: whether somebody lives on the interface is then known. It takes nothing yet. */
static int packet_open(struct provider_handle *handle, struct provider_port *port,
		       const struct provider_open_args *args)
{
	struct packet_port *p;
	int rc = refuse_part(args);

	if (rc < 0)
		return rc;
	if (args->rings_len < provider_packet.rings_len)
		return fail(args, -ENOMEM, "the address range for the rings is too small");
	port_init(handle, port, args);
	p = packet_port_of(handle);
	rc = attach(handle, args);
	if (rc < 0)
		goto not_attached;
	rc = sockets_open(handle, args);
	if (rc < 0)
		goto failed;
	port->caps.max_gso = vnet_possible(args->ifindex) ? UINT16_MAX : 0;
	port->caps.gso_udp = packet_rx_knows_udp_gso() && vnet_possible_udp(args->ifindex);
	rc = self_test(handle, args);
	if (rc < 0)
		goto failed;
	return 0;

failed:
	detach(handle);
	fbuf_queue_free(&p->tx);
not_attached:
	packet_rx_unmap(&p->rx);
	close_fds(handle);
	port->owner_pid = 0;
	return rc;
}

static void packet_fork_child(struct provider_handle *handle)
{
	close_fds(handle); /* the ring mappings did not come along: MADV_DONTFORK */
}

/* Descriptors a joined process takes over, the link and the interface's name among them: what is attached outlives
 * its owner. */
static bool fd_is_shared(int i)
{
	return i != PACKET_FD_STAMP;
}

static int packet_join(struct provider_handle *handle, struct provider_port *port,
		       const struct provider_hold *from, int fd_floor)
{
	struct packet_port *p;
	struct steer s = { 0 };
	int rc;

	handle_init(handle, port);
	p = packet_port_of(handle);
	rc = steered_fetch(handle, from, fd_is_shared, fd_floor);
	if (rc == 0)
		rc = packet_rx_map(&p->rx, &handle->fd[PACKET_FD_V4]);
	if (rc == 0)
		rc = steer_join(&s, port->ifindex, handle->fd + PACKET_FD_STEER, p->shared);
	if (rc < 0) {
		packet_rx_unmap(&p->rx);
		close_fds(handle);
	}
	return rc;
}

static void packet_adopt(struct provider_handle *handle, int fd_floor)
{
	struct packet_port *p = packet_port_of(handle);
	struct steer s = steer_of(handle);

	steer_adopt(&s, fd_floor);
	steer_fds_to(handle, &s);
	p->guard = s.guard;
	p->guard_tried = s.guard != STEER_GUARD_NONE;
	memset(p->base.programs, 0, sizeof(p->base.programs));
	steer_programs(&s, p->base.programs);
	p->base.owner_pid = sys_getpid();
}

static void packet_close(struct provider_handle *handle)
{
	struct packet_port *p = packet_port_of(handle);
	bool owner = is_owner(handle);

	detach(handle);
	packet_rx_unmap(&p->rx);
	close_fds(handle);
	if (!owner)
		return;
	fbuf_queue_free(&p->tx);
	p->base.owner_pid = 0;
}

/* --- steering --- */

/* Only TCP pays for the guard: see the xdp provider. */
static void guard_for(struct provider_handle *handle, struct steer *s, const struct steer_rule *rule)
{
	struct packet_port *p = packet_port_of(handle);

	if (rule->protocol != IPPROTO_TCP || s->guard != STEER_GUARD_NONE || p->guard_tried || !s->owner)
		return;
	p->guard_tried = true;
	steer_guard_add(s, handle->fd[PACKET_FD_V4]);
	p->guard = s->guard;
	steer_fds_to(handle, s);
	steer_programs(s, p->base.programs);
}

static int packet_steer_add(struct provider_handle *handle, const struct steer_rule *rule)
{
	struct steer s = steer_of(handle);

	guard_for(handle, &s, rule);
	return steered_add(&s, rule);
}

static int packet_steer_remove(struct provider_handle *handle, const struct steer_rule *rule)
{
	struct steer s = steer_of(handle);

	return steered_remove(&s, rule);
}

static int packet_set_local_addrs(struct provider_handle *handle, const struct ip_addr *addrs, unsigned n)
{
	struct steer s = steer_of(handle);

	return steer_set_local(&s, addrs, n);
}

static void packet_heartbeat(struct provider_handle *handle, fs_ns now)
{
	steer_heartbeat(packet_port_of(handle)->shared, 0, now);
}

static void packet_steer_forget(struct provider_handle *handle)
{
	steer_forget(packet_port_of(handle)->shared);
}

static void packet_vouch(struct provider_handle *handle, fs_ns until)
{
	steer_beat_vouch(&packet_port_of(handle)->shared->beat[0], until);
}

static bool packet_is_detached(const struct provider_handle *handle)
{
	const struct steer s = steer_of(handle);

	return steer_is_off(&s);
}

static void packet_refresh_stats(struct provider_handle *handle)
{
	struct packet_port *p = packet_port_of(handle);

	p->base.stats.kernel_rx_ring_full += packet_rx_lost(&handle->fd[PACKET_FD_V4]);
	steered_stats(p->shared, &p->base.stats);
	packet_io_probe(handle);
}

static int packet_wait_fd(const struct provider_handle *handle)
{
	return handle->fd[PACKET_FD_WAIT];
}

const struct provider_ops provider_packet = {
	.name = "packet",
	.port_size = sizeof(struct packet_port),
	.rings_len = PACKET_RINGS_LEN + STEER_SHARED_BYTES,
	.probe = packet_probe,
	.open = packet_open,
	.fork_child = packet_fork_child,
	.join = packet_join,
	.adopt = packet_adopt,
	.receive = packet_receive,
	.transmit = packet_transmit,
	.transmit_stamped = packet_transmit_stamped,
	.kick = packet_kick,
	.tx_pending = packet_tx_pending,
	.wait_fd = packet_wait_fd,
	.arm = packet_arm,
	.disarm = packet_disarm,
	.steer_add = packet_steer_add,
	.steer_remove = packet_steer_remove,
	.steer_forget = packet_steer_forget,
	.is_detached = packet_is_detached,
	.set_local_addrs = packet_set_local_addrs,
	.heartbeat = packet_heartbeat,
	.vouch = packet_vouch,
	.refresh_stats = packet_refresh_stats,
	.close = packet_close,
};
