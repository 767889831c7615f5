/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xdp_side.c - the side of a port in generic mode: packet sockets that take what the XDP program sheds.
 *
 * There a UDP frame with a partial checksum cannot be told from a super-frame of many (design hazard 3), so
 * the program passes it. What it passes reaches the tap (src/steer), which marks the stack's, and then these
 * sockets, whose virtio-net header tells both. Whatever a kernel on the same host sends comes so: over veth
 * it completes no checksum.
 *
 * It also sheds what somebody wants to know the time of (xdp_side_stamp_port()): generic mode runs after the
 * kernel took its stamp, on veth some microseconds, and only packet sockets are told that.
 *
 * Opened at the first such wish, or once enough was shed: who has no such peer pays nothing, and a program that exchanges a few
 * datagrams does not wait for it. What was shed before is the shadow's. Of a flow all frames come one
 * way, since its sender completes checksums or does not; but for one complete sum in 65,536, which looks
 * partial.
 */
#include <errno.h>
#include <time.h>

#include "provider/xdp/xdp_port.h"
#include "sys/sys.h"

enum {
	LINK_HEADERS = 18, /* Ethernet and a tag */
	READINGS = 3,
	LOOKALIKE = 8192, /* frames among which one may look partial: eight times what chance makes */
};

#define UNDISTURBED FS_US(1)

void xdp_side_close(struct provider_handle *handle)
{
	packet_rx_unmap(&xdp_port_of(handle)->side_rx);
	for (int i = 0; i < PACKET_SOCKETS; i++) {
		int *fd = &handle->fd[XDP_FD_SIDE + i];

		if (*fd >= 0)
			sys_close(*fd);
		*fd = -1;
	}
}

/* The sockets before the tap: from then on the kernel has what comes no more. */
static int side_open(struct provider_handle *handle)
{
	struct xdp_port *p = xdp_port_of(handle);
	int fd_floor = handle->fd[XDP_FD_QUEUE], *fd = &handle->fd[XDP_FD_SIDE];
	const struct packet_rx_args args = {
		.ifindex = p->base.ifindex,
		.mtu = p->base.caps.max_frame - LINK_HEADERS,
		.fd_floor = fd_floor,
		.rings = (uint8_t *)p->queue[0].xsk.rings + XDP_QUEUES_RINGS + STEER_SHARED_BYTES,
	};
	struct steer s;
	int rc = packet_rx_open(&p->side_rx, fd, &args);

	if (rc == 0)
		rc = xdp_queues_wait(handle, fd_floor);
	if (rc == 0)
		rc = packet_rx_watch(fd, handle->fd[XDP_FD_WAIT]);
	if (rc < 0)
		goto failed;
	s = xdp_steer_of(handle);
	rc = steer_side_add(&s, fd_floor);
	if (rc < 0)
		goto failed;
	xdp_steer_fds_to(handle, &s);
	steer_programs(&s, p->base.programs);
	return 0;
failed:
	xdp_side_close(handle);
	return rc;
}

void xdp_side_stamp_port(struct provider_handle *handle, uint16_t port, bool on)
{
	struct xdp_port *p = xdp_port_of(handle);

	p->side_asked |= on;
	steer_port_aside(p->shared, port, on);
}

/* One complete sum in 65,536 has the value of a partial one: between two ends that complete theirs these must not
 * open what costs both a stall and part of their rate. */
static bool shed_enough(const struct xdp_port *p)
{
	uint64_t by_chance = p->base.stats.rx_frames / LOOKALIKE;

	return steer_passed_partial(p->shared) >= (uint64_t)p->shed_limit + by_chance;
}

bool xdp_side_tend(struct provider_handle *handle)
{
	struct xdp_port *p = xdp_port_of(handle);

	if (p->side != XDP_SIDE_WAITING || p->base.error != 0 || p->base.owner_pid != sys_getpid() ||
	    (!p->side_asked && !shed_enough(p)))
		return false;
	/* One attempt: what is missing now is missing later. */
	p->side = XDP_SIDE_NONE;
	if (side_open(handle) < 0)
		return false;
	p->side = XDP_SIDE_OPEN;
	p->base.caps.sheds_udp_partial = false;
	return true;
}

int xdp_side_join(struct provider_handle *handle, int fd_floor)
{
	const struct xdp_port *p = xdp_port_of(handle);
	const int *fd = &handle->fd[XDP_FD_SIDE];
	int rc;

	if (p->side != XDP_SIDE_OPEN)
		return 0;
	/* From one that joined before the side was opened. Who would take frames without these answered
	 * steering for them as well. */
	if (fd[0] < 0 || fd[1] < 0)
		return -ESRCH;
	rc = packet_rx_map(&p->side_rx, fd);
	if (rc == 0)
		rc = xdp_queues_wait(handle, fd_floor);
	return rc < 0 ? rc : packet_rx_watch(fd, handle->fd[XDP_FD_WAIT]);
}

void xdp_side_adopt(struct provider_handle *handle, struct steer *s, int fd_floor)
{
	struct xdp_port *p = xdp_port_of(handle);

	if (p->side != XDP_SIDE_OPEN)
		return;
	if (xdp_side_here(handle) && steer_side_add(s, fd_floor) == 0)
		return;
	xdp_side_close(handle);
	steer_side_lost(s);
	p->side = XDP_SIDE_NONE;
	p->base.caps.sheds_udp_partial = true;
}

static fs_ns clock_read(int clock)
{
	struct timespec now;

	sys_clock_gettime(clock, &now);
	return FS_SEC(now.tv_sec) + now.tv_nsec;
}

/* How far the wall clock is ahead of the running one, by the least disturbed reading of a few. */
static fs_ns wall_ahead(void)
{
	fs_ns ahead = 0, best = FS_SEC(1);

	for (int i = 0; i < READINGS && best > UNDISTURBED; i++) {
		fs_ns before = clock_read(CLOCK_MONOTONIC);
		fs_ns wall = clock_read(CLOCK_REALTIME);
		fs_ns took = clock_read(CLOCK_MONOTONIC) - before;

		if (took >= best)
			continue;
		best = took;
		ahead = wall - before - took / 2;
	}
	return ahead;
}

/* The sockets' stamps are of another clock than the program's. */
static void restamp(struct fbuf **frames, unsigned n)
{
	fs_ns ahead = wall_ahead();

	for (unsigned i = 0; i < n; i++)
		frames[i]->stamp -= frames[i]->stamp ? ahead : 0;
}

unsigned xdp_side_take(struct provider_handle *handle, struct fbuf **frames, unsigned n)
{
	struct xdp_port *p = xdp_port_of(handle);
	unsigned got = packet_rx_take(&p->side_rx, &handle->fd[XDP_FD_SIDE], &p->base, frames, n);

	if (p->base.stamp && got)
		restamp(frames, got);
	p->base.stats.rx_frames += got;
	p->base.stats.side_frames += got;
	return got;
}

void xdp_side_probe(const struct provider_handle *handle)
{
	for (int i = 0; i < PACKET_SOCKETS; i++) {
		socklen_t len = sizeof(int);
		int error;

		(void)sys_getsockopt(handle->fd[XDP_FD_SIDE + i], SOL_SOCKET, SO_ERROR, &error, &len);
	}
}
