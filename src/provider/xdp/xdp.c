/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xdp.c - the xdp provider: opening, joining and closing a port, its steering and its statistics.
 *
 * A port is an AF_XDP socket per queue (xdp_queues.c) whose frames src/steer's program picks, moved by
 * xdp_io.c, and a packet socket for super-frames (vnet). Copy or zero-copy and the program's mode are chosen per
 * driver from a table of measurements.
 *
 * Checksums: received frames are FBUF_CSUM_UNKNOWN. A TCP segment of a kernel peer on the same host
 * may carry only the folded pseudo-header sum (af_xdp.md 13); XDP has no word for that, so it is for
 * ip and tcp to compare when verification fails. UDP of that kind comes by the side in generic mode
 * (xdp_side.c).
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "provider/steered/steered.h"
#include "provider/vnet/vnet.h"
#include "provider/xdp/xdp_port.h"
#include "sys/sys.h"

enum {
	ETH_LEN = 14,
	TAG_LEN = 4,
	TEST_FRAME_LEN = 60,
	TEST_STEP_US = 100,
	TEST_LIMIT_US = 200000,
};

/*
 * How to attach, per driver. veth: generic, 0.96 us against 1.2 us a frame (every frame is an skb
 * already), and it has no zero-copy. All others: native with whatever copying the driver offers, then
 * generic.
 */
struct driver_mode {
	const char *driver;
	bool native; /* first choice */
	bool copy;   /* do not ask for zero-copy */
};

static const struct driver_mode driver_modes[] = {
	{ .driver = "veth", .native = false, .copy = true },
	{ .driver = "", .native = true, .copy = false }, /* any other; the last */
};

static const char option_native[] = "mode=native";
static const char option_generic[] = "mode=generic";

static int fail(const struct provider_open_args *args, int error, const char *text)
{
	size_t len = FS_MIN(strlen(text), (size_t)PROVIDER_WHY_LEN - 1);

	memcpy(args->why, text, len);
	args->why[len] = '\0';
	return error;
}

static const struct driver_mode *mode_of(const char *driver)
{
	const struct driver_mode *m = driver_modes;

	while (m->driver[0] != '\0' && strcmp(m->driver, driver) != 0)
		m++;
	return m;
}

static bool wants_native(const struct provider_open_args *args)
{
	if (strcmp(args->option, option_native) == 0)
		return true;
	if (strcmp(args->option, option_generic) == 0)
		return false;
	return mode_of(args->driver)->native;
}

static bool option_known(const char *option)
{
	return option[0] == '\0' || strcmp(option, option_native) == 0 ||
	       strcmp(option, option_generic) == 0;
}

static int refuse_panicking(const struct provider_open_args *args)
{
	return fail(args, -EOPNOTSUPP,
		    "Linux 6.17 can panic when AF_XDP sends in copy mode; use another kernel");
}

/* Only the generic mode cannot tell partial checksums apart (hazard 3). */
static void set_mode(struct provider_caps *caps, bool native)
{
	caps->sheds_udp_partial = !native;
	memcpy(caps->mode, native ? "native\0" : "generic", sizeof("generic"));
}

static void set_caps(struct provider_caps *caps, const struct provider_open_args *args)
{
	*caps = (struct provider_caps){
		.max_frame = args->mtu + ETH_LEN + TAG_LEN,
		.max_parts = XSK_MAX_PARTS,
		.gso_parts = VNET_MAX_PARTS,
		.steers = true,
		.needs_kick = true,
	};
	set_mode(caps, wants_native(args));
}

static int xdp_probe(const struct provider_open_args *args, struct provider_caps *caps)
{
	int rc;

	if (!option_known(args->option))
		return fail(args, -EOPNOTSUPP,
			    "the xdp provider knows mode=native and mode=generic only");
	if (mode_of(args->driver)->copy && xsk_kernel_tx_panics())
		return refuse_panicking(args);
	rc = xsk_probe(args->why);
	if (rc == 0 && caps)
		set_caps(caps, args);
	return rc;
}

/* --- steering: between a handle and a struct steer --- */

static bool is_owner(const struct provider_handle *handle)
{
	return handle->port->owner_pid == sys_getpid();
}

struct steer xdp_steer_of(const struct provider_handle *handle)
{
	const struct xdp_port *p = xdp_port_of(handle);
	struct steer s = {
		.shared = p->shared,
		.ifindex = p->base.ifindex,
		.guard = p->guard,
		.owner = is_owner(handle) && !p->beside,
	};

	for (int i = 0; i < STEER_N_FDS; i++)
		s.fd[i] = handle->fd[XDP_FD_STEER + i];
	return s;
}

void xdp_steer_fds_to(struct provider_handle *handle, const struct steer *s)
{
	for (int i = 0; i < STEER_N_FDS; i++)
		handle->fd[XDP_FD_STEER + i] = s->fd[i];
}

static int attach(struct provider_handle *handle, const struct provider_open_args *args)
{
	struct xdp_port *p = xdp_port_of(handle);
	struct steer_open_args sa = {
		.ifindex = args->ifindex,
		.native = wants_native(args),
		.n_queues = STEER_MAX_QUEUES,
		.guard = STEER_GUARD_NONE, /* comes with the first TCP rule */
		.mac = args->mac,
		.at = (uint8_t *)args->rings + XDP_QUEUES_RINGS,
		.fd_floor = args->fd_floor,
		.why = args->why,
		.why_len = PROVIDER_WHY_LEN,
		.former = args->former,
	};
	struct steer s;
	int rc;

	rc = steer_open(&s, &sa);
	if (rc == -EOPNOTSUPP && sa.native && args->option[0] == '\0') {
		sa.native = false;
		rc = steer_open(&s, &sa);
	}
	if (rc == -ENODEV)
		return fail(args, -ENETDOWN, "the interface is gone");
	if (rc < 0)
		return rc;
	xdp_steer_fds_to(handle, &s);
	p->shared = s.shared;
	p->beat = &s.shared->beat[args->first_queue];
	p->guard = s.guard;
	steer_programs(&s, p->base.programs);
	set_mode(&p->base.caps, sa.native);
	p->generic = !sa.native;
	p->shed_limit = args->shed_limit;
	p->side = p->generic && args->shed_limit != PROVIDER_SHED_ALL ? XDP_SIDE_WAITING : XDP_SIDE_NONE;
	return 0;
}

/* Instead: another port attached. */
static int stand_beside(struct provider_handle *handle, const struct provider_open_args *args)
{
	const struct xdp_port *home = xdp_port_of(args->beside);
	struct xdp_port *p = xdp_port_of(handle);
	const struct steer of_home = xdp_steer_of(args->beside);
	struct steer s;
	int rc = steer_beside(&s, &of_home, (uint8_t *)args->rings + XDP_QUEUES_RINGS, args->fd_floor);

	if (rc == -EMFILE)
		return fail(args, rc, "out of file descriptors");
	if (rc < 0)
		return fail(args, -ENOMEM, "the steering tables cannot be mapped");
	xdp_steer_fds_to(handle, &s);
	p->beside = true;
	p->shared = s.shared;
	p->beat = &s.shared->beat[args->first_queue];
	p->guard = STEER_GUARD_NONE;
	steer_programs_told(p->shared, p->base.programs);
	set_mode(&p->base.caps, !home->generic);
	p->generic = home->generic;
	p->side = XDP_SIDE_NONE;
	return 0;
}

static int can_stand_beside(const struct provider_open_args *args)
{
	const struct provider_handle *home = args->beside;

	if (home->ops != &provider_xdp || home->port->ifindex != args->ifindex ||
	    home->fd[XDP_FD_STEER + STEER_FD_XSKS] < 0)
		return fail(args, -EOPNOTSUPP, "the port beside steers no AF_XDP sockets of this interface");
	if (home->port->error == -ENODEV)
		return fail(args, -ENETDOWN, "the interface is gone");
	return 0;
}

static void detach(struct provider_handle *handle)
{
	struct xdp_port *p = xdp_port_of(handle);
	struct steer s = xdp_steer_of(handle);

	steer_close(&s);
	for (int i = 0; i < STEER_N_FDS; i++)
		handle->fd[XDP_FD_STEER + i] = -1;
	if (is_owner(handle))
		p->shared = NULL;
}

/* --- self-test --- */

/* Of all queues together. */
static bool read_kernel_stats(const struct provider_handle *handle, struct xdp_statistics *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (uint32_t i = 0; i < handle->port->n_queues; i++) {
		struct xdp_statistics st = { 0 };
		socklen_t len = sizeof(st);

		if (sys_getsockopt(handle->fd[XDP_FD_QUEUE + i], SOL_XDP, XDP_STATISTICS, &st, &len) < 0)
			return false;
		sum->rx_dropped += st.rx_dropped;
		sum->rx_ring_full += st.rx_ring_full;
		sum->rx_fill_ring_empty_descs += st.rx_fill_ring_empty_descs;
		sum->rx_invalid_descs += st.rx_invalid_descs;
		sum->tx_invalid_descs += st.tx_invalid_descs;
		sum->tx_ring_empty_descs += st.tx_ring_empty_descs;
	}
	return true;
}

/* A frame no receiver takes: from our address to our address, IEEE 802 Local Experimental type. A
 * bridge does not send it back to where it came from, and learns only what it knows. */
static struct fbuf *test_frame(struct fbuf_pool *pool, const struct eth_addr *mac)
{
	struct fbuf *f = fbuf_alloc(pool);

	if (!f)
		return NULL;
	memset(f->data, 0, TEST_FRAME_LEN);
	memcpy(f->data, mac->b, 6);
	memcpy(f->data + 6, mac->b, 6);
	f->data[12] = 0x88;
	f->data[13] = 0xb5;
	f->len = f->total = TEST_FRAME_LEN;
	return f;
}

/* Many driver faults show only as frames that never leave or never complete. */
static int await_completion(struct provider_handle *handle)
{
	struct xdp_port *p = xdp_port_of(handle);
	const struct timespec pause = { .tv_nsec = TEST_STEP_US * 1000 };
	int rc = 0;

	for (int waited = 0; waited < TEST_LIMIT_US; waited += TEST_STEP_US) {
		rc = xdp_kick(handle);
		if (rc < 0 && rc != -EAGAIN)
			return rc;
		xdp_io_reclaim(p);
		if (p->tx_in_flight == 0)
			return 0;
		sys_nanosleep(&pause);
	}
	return -ETIMEDOUT;
}

/*
 * What can be known without a peer: the FILL ring was accepted, a frame of ours is taken, completed
 * and comes back as the chunk we gave, and the kernel has found nothing invalid. That frames also
 * arrive shows only with traffic; the heartbeat of steering covers a receive side that stays silent.
 */
static int self_test(struct provider_handle *handle, const struct provider_open_args *args)
{
	struct xdp_port *p = xdp_port_of(handle);
	struct fbuf *frame = test_frame(args->pool, &args->mac);
	struct xdp_statistics st;
	int rc;

	if (!frame)
		return fail(args, -ENOMEM, "the frame pool is too small to send from");
	if (xdp_transmit(handle, &frame, 1) != 1) {
		fbuf_free(frame);
		return fail(args, -EPROTO, "self-test: the transmit ring takes no frame");
	}
	rc = await_completion(handle);
	if (rc == -ENETDOWN)
		return fail(args, -ENETDOWN, "the interface is down or gone");
	if (rc < 0)
		return fail(args, -EPROTO,
			    "self-test: a frame sent was not completed within 0.2 s");
	if (p->base.stats.rx_bad != 0)
		return fail(args, -EPROTO, "self-test: the completed frame is not the one sent");
	if (!read_kernel_stats(handle, &st) || st.rx_invalid_descs != 0 || st.tx_invalid_descs != 0)
		return fail(args, -EPROTO, "self-test: the kernel found descriptors invalid");
	memset(&p->base.stats, 0, sizeof(p->base.stats));
	return 0;
}

/* --- open, join, close --- */

static void port_init(struct provider_handle *handle, struct provider_port *port,
		      const struct provider_open_args *args)
{
	handle->ops = &provider_xdp;
	handle->port = port;
	handle->n_fds = XDP_FDS;
	for (int i = 0; i < PROVIDER_MAX_FDS; i++)
		handle->fd[i] = -1;
	port->kind = args->kind;
	port->ifindex = args->ifindex;
	port->first_queue = args->first_queue;
	port->n_queues = args->n_queues;
	port->index = args->index;
	port->pool = args->pool;
	port->owner_pid = sys_getpid();
	set_caps(&port->caps, args);
}

/* From here on frames come. */
static int steer_to_queues(struct provider_handle *handle, const struct provider_open_args *args)
{
	struct steer s = xdp_steer_of(handle);

	for (uint32_t i = 0; i < handle->port->n_queues; i++) {
		/* A question to whoever served the queue before this port would make it stale from the start. */
		steer_heartbeat(s.shared, args->first_queue + i, 0);
		if (steer_set_xsk(&s, args->first_queue + i, handle->fd[XDP_FD_QUEUE + i]) < 0)
			return fail(args, -EOPNOTSUPP,
				    "the AF_XDP socket could not be entered into the steering map");
	}
	return 0;
}

/* What closing descriptors does not undo. A joined process may hold the sockets, too: they would stay in the map. */
static void leave_steering(struct provider_handle *handle)
{
	struct steer s = xdp_steer_of(handle);

	if (s.fd[STEER_FD_XSKS] < 0)
		return; /* its last holder is gone */
	for (uint32_t i = 0; i < handle->port->n_queues; i++)
		steer_set_xsk(&s, handle->port->first_queue + i, -1);
	handle->port->stamp = false;
	xdp_io_switch_stamps(xdp_port_of(handle));
}

/*
 * The program is attached before bind: whether somebody lives on the interface is then known, and a
 * queue that is busy all the same belongs to the dead, which bind waits for.
 */
static int open_sockets(struct provider_handle *handle, const struct provider_open_args *args)
{
	struct xdp_port *p = xdp_port_of(handle);
	const struct xsk *first = &p->queue[0].xsk;
	int rc = xdp_queues_create(handle, args);

	if (rc < 0)
		return rc;
	rc = args->beside ? stand_beside(handle, args) : attach(handle, args);
	if (rc < 0)
		goto not_attached;
	rc = xdp_queues_bind(handle, args,
			     p->generic || mode_of(args->driver)->copy);
	if (rc < 0)
		goto not_bound;
	if (!first->zero_copy && xsk_kernel_tx_panics()) {
		rc = refuse_panicking(args);
		goto not_bound;
	}
	p->base.caps.max_parts =
		first->multi_buffer ? FS_MIN((uint32_t)XSK_MAX_PARTS, first->tx.size) : 1;
	xdp_io_init(p);
	/* The side socket itself waits for the first super-frame: closing one costs up to 20 ms. */
	p->base.caps.max_gso = vnet_possible(args->ifindex) ? UINT16_MAX : 0;
	p->base.caps.gso_udp = packet_rx_knows_udp_gso() && vnet_possible_udp(args->ifindex);
	rc = self_test(handle, args);
	if (rc < 0)
		goto not_bound;
	rc = steer_to_queues(handle, args);
	if (rc == 0)
		return 0;
not_bound:
	detach(handle);
not_attached:
	xdp_queues_close(handle);
	xdp_io_reclaim_all(p);
	return rc;
}

static int xdp_open(struct provider_handle *handle, struct provider_port *port,
		    const struct provider_open_args *args)
{
	int rc = xdp_probe(args, NULL);

	if (rc < 0)
		return rc;
	if (args->n_queues == 0 || args->n_queues > PROVIDER_MAX_QUEUES ||
	    args->first_queue > STEER_MAX_QUEUES - args->n_queues)
		return fail(args, -EOPNOTSUPP, "not queues a port can have");
	if (args->rings_len < provider_xdp.rings_len)
		return fail(args, -ENOMEM, "the address range for the rings is too small");
	if (args->beside)
		rc = can_stand_beside(args);
	if (rc < 0)
		return rc;
	port_init(handle, port, args);
	rc = open_sockets(handle, args);
	if (rc < 0) {
		for (int i = 0; i < PROVIDER_MAX_FDS; i++)
			handle->fd[i] = -1;
		port->owner_pid = 0;
		return rc;
	}
	if (args->shed_ready)
		xdp_side_prepare(handle);
	return 0;
}

static void close_fds(struct provider_handle *handle)
{
	for (int i = 0; i < XDP_FDS; i++) {
		if (handle->fd[i] >= 0)
			sys_close(handle->fd[i]);
		handle->fd[i] = -1;
	}
}

static void xdp_fork_child(struct provider_handle *handle)
{
	close_fds(handle); /* the ring mappings did not come along: MADV_DONTFORK */
}

/* Descriptors a joined process takes over: not what the owner keeps ready, and not the side socket and the
 * epoll set, which each opens for itself. The links are among them: what is attached outlives its owner. */
static bool fd_is_shared(int i)
{
	return i != XDP_FD_WAIT && i != XDP_FD_VNET && i != XDP_FD_STAMP &&
	       (i < XDP_FD_READY || i >= XDP_FD_READY + PACKET_SOCKETS);
}

static int xdp_join(struct provider_handle *handle, struct provider_port *port,
		    const struct provider_hold *from, int fd_floor)
{
	struct xdp_port *p;
	struct steer s = { 0 };
	int rc;

	handle->ops = &provider_xdp;
	handle->port = port;
	handle->n_fds = XDP_FDS;
	for (int i = 0; i < PROVIDER_MAX_FDS; i++)
		handle->fd[i] = -1;
	p = xdp_port_of(handle);
	rc = steered_fetch(handle, from, fd_is_shared, fd_floor);
	if (rc < 0)
		goto failed;
	rc = xdp_queues_join(handle, fd_floor);
	if (rc == 0)
		rc = xdp_side_join(handle, fd_floor);
	if (rc < 0)
		goto failed;
	rc = steer_join(&s, port->ifindex, handle->fd + XDP_FD_STEER, p->shared);
	if (rc < 0)
		goto failed;
	return 0;

failed:
	xdp_side_close(handle);
	xdp_queues_close(handle);
	close_fds(handle);
	return rc;
}

static void xdp_adopt(struct provider_handle *handle, int fd_floor)
{
	struct xdp_port *p = xdp_port_of(handle);
	struct steer s = xdp_steer_of(handle);

	p->base.owner_pid = sys_getpid();
	if (p->beside)
		return;
	steer_adopt(&s, fd_floor);
	xdp_side_adopt(handle, &s, fd_floor);
	xdp_steer_fds_to(handle, &s);
	p->guard = s.guard;
	p->guard_tried = s.guard != STEER_GUARD_NONE;
	steer_programs(&s, p->base.programs);
}

static void xdp_close(struct provider_handle *handle)
{
	struct xdp_port *p = xdp_port_of(handle);
	bool owner = is_owner(handle);

	if (owner && p->beside)
		leave_steering(handle);
	detach(handle);
	xdp_side_close(handle);
	xdp_queues_close(handle);
	close_fds(handle);
	if (!owner)
		return;
	xdp_io_reclaim_all(p);
	p->base.owner_pid = 0;
}

/* --- steering --- */

/*
 * The guard stops segments of the kernel for TCP flows of the stack, so only TCP pays for it: 15 ms to
 * attach, as much to detach, and a look at each packet the kernel sends. A joined process cannot add
 * it: then it stays as it is, and a road aside (design hazard 18) is open to the kernel's resets.
 */
static void guard_for(struct provider_handle *handle, struct steer *s,
		      const struct steer_rule *rule)
{
	struct xdp_port *p = xdp_port_of(handle);

	if (rule->protocol != IPPROTO_TCP || s->guard != STEER_GUARD_NONE || p->guard_tried ||
	    !s->owner)
		return;
	p->guard_tried = true;
	steer_guard_add(s, handle->fd[XDP_FD_QUEUE]);
	p->guard = s->guard;
	xdp_steer_fds_to(handle, s);
	steer_programs(s, p->base.programs);
}

static int xdp_steer_add(struct provider_handle *handle, const struct steer_rule *rule)
{
	struct steer s = xdp_steer_of(handle);

	guard_for(handle, &s, rule);
	return steered_add(&s, rule);
}

static int xdp_steer_remove(struct provider_handle *handle, const struct steer_rule *rule)
{
	struct steer s = xdp_steer_of(handle);

	return steered_remove(&s, rule);
}

static int xdp_set_local_addrs(struct provider_handle *handle, const struct ip_addr *addrs,
			       unsigned n)
{
	struct steer s = xdp_steer_of(handle);

	return xdp_port_of(handle)->beside ? 0 : steer_set_local(&s, addrs, n);
}

static void xdp_heartbeat(struct provider_handle *handle, fs_ns now)
{
	struct xdp_port *p = xdp_port_of(handle);
	uint32_t i = 0;

	/* Every queue has its turn in receive(), so what waits on one is about to be taken too. */
	do
		steer_beat_answer(p->beat + i, now);
	while (++i < p->base.n_queues);
}

static void xdp_steer_forget(struct provider_handle *handle)
{
	steer_forget(xdp_port_of(handle)->shared);
}

static void xdp_vouch(struct provider_handle *handle, fs_ns until)
{
	struct xdp_port *p = xdp_port_of(handle);

	for (uint32_t i = 0; i < p->base.n_queues; i++)
		steer_beat_vouch(p->beat + i, until);
}

static bool xdp_is_detached(const struct provider_handle *handle)
{
	const struct steer s = xdp_steer_of(handle);

	return steer_is_off(&s);
}

static void xdp_refresh_stats(struct provider_handle *handle)
{
	struct xdp_port *p = xdp_port_of(handle);
	struct provider_stats *to = &p->base.stats;
	struct xdp_statistics st;

	if (read_kernel_stats(handle, &st)) {
		to->kernel_rx_dropped = st.rx_dropped;
		to->kernel_rx_ring_full = st.rx_ring_full;
		to->kernel_fill_empty = st.rx_fill_ring_empty_descs;
		to->kernel_rx_invalid = st.rx_invalid_descs;
		to->kernel_tx_invalid = st.tx_invalid_descs;
		to->kernel_tx_empty = st.tx_ring_empty_descs;
	}
	if (xdp_side_here(handle))
		to->side_lost += packet_rx_lost(&handle->fd[XDP_FD_SIDE]);
	if (p->beside)
		steer_programs_told(p->shared, p->base.programs);
	else
		steered_stats(p->shared, to);
	xdp_io_switch_stamps(p);
	xdp_io_probe(handle);
}

static int xdp_wait_fd(const struct provider_handle *handle)
{
	return handle->fd[XDP_FD_WAIT] >= 0 ? handle->fd[XDP_FD_WAIT] : handle->fd[XDP_FD_QUEUE];
}

const struct provider_ops provider_xdp = {
	.name = "xdp",
	.port_size = sizeof(struct xdp_port),
	.rings_len = XDP_QUEUES_RINGS + STEER_SHARED_BYTES + XDP_SIDE_RINGS,
	.probe = xdp_probe,
	.open = xdp_open,
	.fork_child = xdp_fork_child,
	.join = xdp_join,
	.adopt = xdp_adopt,
	.receive = xdp_receive,
	.transmit = xdp_transmit,
	.transmit_stamped = xdp_transmit_stamped,
	.kick = xdp_kick,
	.tx_pending = xdp_tx_pending,
	.wait_fd = xdp_wait_fd,
	.arm = xdp_arm,
	.disarm = xdp_disarm,
	.steer_add = xdp_steer_add,
	.steer_remove = xdp_steer_remove,
	.steer_forget = xdp_steer_forget,
	.is_detached = xdp_is_detached,
	.stamp_port = xdp_side_stamp_port,
	.set_local_addrs = xdp_set_local_addrs,
	.heartbeat = xdp_heartbeat,
	.vouch = xdp_vouch,
	.tend = xdp_side_tend,
	.refresh_stats = xdp_refresh_stats,
	.close = xdp_close,
};
