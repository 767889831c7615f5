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
 * They take frames from the first such wish on, or once enough was shed. What was shed before is the shadow's.
 * To open them holds up the program for some 30 ms. Where that would hurt it is done with the port's opening
 * (xdp_side_prepare()): then they wait, bound to nothing and not looked at, so that who has no such peer pays at
 * the start and at the end, and a look at each packet that the kernel has. Otherwise it is done when they are
 * needed.
 *
 * Of a flow all frames come one way, since its sender completes checksums or does not; but for one complete
 * sum in 65,536, which looks partial.
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

/* --- the sockets and the tap --- */

static void sockets_close(int fd[PACKET_SOCKETS])
{
	for (int i = 0; i < PACKET_SOCKETS; i++) {
		if (fd[i] >= 0)
			sys_close(fd[i]);
		fd[i] = -1;
	}
}

void xdp_side_close(struct provider_handle *handle)
{
	packet_rx_unmap(&xdp_port_of(handle)->side_rx);
	sockets_close(&handle->fd[XDP_FD_SIDE]);
	sockets_close(&handle->fd[XDP_FD_READY]);
}

/* What takes its time. The tap first: a kernel that has none fails at once. */
static int make_ready(struct provider_handle *handle)
{
	struct xdp_port *p = xdp_port_of(handle);
	const struct packet_rx_args args = {
		.mtu = p->base.caps.max_frame - LINK_HEADERS,
		.fd_floor = handle->fd[XDP_FD_QUEUE],
		.rings = (uint8_t *)p->queue[0].xsk.rings + XDP_QUEUES_RINGS + STEER_SHARED_BYTES,
	};
	struct steer s = xdp_steer_of(handle);
	int rc = steer_side_add(&s, args.fd_floor);

	if (rc < 0)
		return rc;
	xdp_steer_fds_to(handle, &s);
	steer_programs(&s, p->base.programs);
	return packet_rx_open(&p->side_rx, &handle->fd[XDP_FD_READY], &args);
}

/* What does not: from here on the kernel has what is shed no more. */
static int turn_on(struct provider_handle *handle)
{
	struct xdp_port *p = xdp_port_of(handle);
	int *ready = &handle->fd[XDP_FD_READY];
	int rc = packet_rx_bind(ready, p->base.ifindex);

	if (rc == 0)
		rc = xdp_queues_wait(handle, handle->fd[XDP_FD_QUEUE]);
	if (rc == 0)
		rc = packet_rx_watch(ready, handle->fd[XDP_FD_WAIT]);
	if (rc < 0)
		return rc;
	for (int i = 0; i < PACKET_SOCKETS; i++) {
		handle->fd[XDP_FD_SIDE + i] = ready[i];
		ready[i] = -1;
	}
	p->side = XDP_SIDE_OPEN;
	p->base.caps.sheds_udp_partial = false;
	steer_side_on(p->shared);
	return 0;
}

/* One attempt: what is missing now is missing later. */
static void give_up(struct provider_handle *handle)
{
	xdp_port_of(handle)->side = XDP_SIDE_NONE;
	xdp_side_close(handle);
}

void xdp_side_prepare(struct provider_handle *handle)
{
	if (xdp_port_of(handle)->side == XDP_SIDE_WAITING && make_ready(handle) < 0)
		give_up(handle);
}

/* --- when --- */

void xdp_side_stamp_port(struct provider_handle *handle, uint16_t port, bool on)
{
	struct xdp_port *p = xdp_port_of(handle);

	if (p->beside)
		return; /* the side is the other port's, and so would be the frames */
	p->side_asked |= on;
	steer_port_aside(p->shared, port, on);
}

/* One complete sum in 65,536 has the value of a partial one: between two ends that complete theirs these must not
 * open what costs both part of their rate. */
static bool shed_enough(const struct xdp_port *p)
{
	uint64_t by_chance = p->base.stats.rx_frames / LOOKALIKE;

	return steer_passed_partial(p->shared) >= (uint64_t)p->shed_limit + by_chance;
}

enum provider_tended xdp_side_tend(struct provider_handle *handle, bool slowly)
{
	struct xdp_port *p = xdp_port_of(handle);
	bool ready = handle->fd[XDP_FD_READY] >= 0;

	if (p->side != XDP_SIDE_WAITING || p->base.error != 0 || p->base.owner_pid != sys_getpid() ||
	    (!p->side_asked && !shed_enough(p)))
		return PROVIDER_TENDED_NOTHING;
	if (!ready && !slowly)
		return PROVIDER_TENDS_SLOWLY;
	if ((ready || make_ready(handle) == 0) && turn_on(handle) == 0)
		return PROVIDER_TENDED;
	give_up(handle);
	return PROVIDER_TENDED_NOTHING;
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
	steer_side_off(s->shared);
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
