/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xsk.c - set-up of an AF_XDP socket: memory registration, ring mappings, bind, tuning.
 *
 * Order and error meanings follow the kernel document "AF_XDP". No program is attached here and no
 * frame is moved.
 */
#include "provider/xdp/xsk.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include "provider/provider.h"
#include "sys/sys.h"

enum {
	SEND_BUFFER = 16 << 20,	/* copy mode charges each frame's skb to the socket */
	WAIT_STEP_US = 2000,	/* first pause while a dying owner lets go of what is wanted */
	WAIT_QUEUE_US = 1000000,
	WAIT_PAGES_US = 50000,	/* less: a program of the same user that lives on may hold them */
};

/* Page offsets of the four mappings, in the order of their slots. */
enum { SLOT_RX, SLOT_TX, SLOT_FILL, SLOT_COMPLETION, SLOTS };

static const uint64_t slot_page_offset[SLOTS] = {
	XDP_PGOFF_RX_RING,
	XDP_PGOFF_TX_RING,
	XDP_UMEM_PGOFF_FILL_RING,
	XDP_UMEM_PGOFF_COMPLETION_RING,
};

static int fail(char *why, int error, const char *text)
{
	size_t len = strlen(text);

	if (len >= PROVIDER_WHY_LEN)
		len = PROVIDER_WHY_LEN - 1;
	memcpy(why, text, len);
	why[len] = '\0';
	return error;
}

static int fail_socket(char *why, int error)
{
	switch (error) {
	case -EPERM:
	case -EACCES:
		return fail(why, -EPERM, "AF_XDP sockets need CAP_NET_RAW");
	case -EMFILE:
	case -ENFILE:
		return fail(why, -EMFILE, "no descriptor left for the AF_XDP socket");
	case -EAFNOSUPPORT:
	case -EINVAL:
	case -EPROTONOSUPPORT:
		return fail(why, -EOPNOTSUPP, "the kernel has no AF_XDP (CONFIG_XDP_SOCKETS)");
	default:
		return fail(why, -ENOMEM, "the kernel has no memory for an AF_XDP socket");
	}
}

int xsk_probe(char *why)
{
	int fd = sys_socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return fail_socket(why, fd);
	sys_close(fd);
	return 0;
}

/*
 * Linux 6.17 kept state of a completion in skb control bytes that veth overwrites, and panics when
 * the skb is freed; mended in 6.18. Distribution kernels do not tell their backports, so all of 6.17
 * counts.
 */
bool xsk_release_tx_panics(const char *release)
{
	static const char bad[] = "6.17";
	char next;

	if (strncmp(release, bad, sizeof(bad) - 1) != 0)
		return false;
	next = release[sizeof(bad) - 1];
	return next < '0' || next > '9';
}

bool xsk_kernel_tx_panics(void)
{
	struct utsname name;

	if (sys_call1(__NR_uname, (long)&name) < 0)
		return false;
	return xsk_release_tx_panics(name.release);
}

static uint32_t power_of_two_at_most(uint32_t n)
{
	return n == 0 ? 0 : 1u << (31 - __builtin_clz(n));
}

void xsk_sizes(uint32_t chunks, uint32_t *rx, uint32_t *tx)
{
	*rx = FS_MIN(power_of_two_at_most(chunks / 2), (uint32_t)XSK_RX_MAX);
	*tx = FS_MIN(power_of_two_at_most(chunks / 4), (uint32_t)XSK_TX_MAX);
}

static int set_option(int fd, int name, const void *value, size_t len)
{
	return sys_setsockopt(fd, SOL_XDP, name, value, (socklen_t)len);
}

/* The wait for an owner that is gone, whose sockets and pages the kernel gives up in a work item; us. */
struct patience {
	long waited, step, total;
};

/* A pause. False: it has been long enough. */
static bool wait_on(struct patience *p)
{
	struct timespec pause = { .tv_nsec = p->step * 1000 };

	if (p->waited >= p->total)
		return false;
	sys_nanosleep(&pause);
	p->waited += p->step;
	p->step = FS_MIN(2 * p->step, p->total / 10);
	return true;
}

/* May this process pin so much, if its user has nothing pinned elsewhere? */
static bool limit_allows(uint64_t len)
{
	struct rlimit limit;

	return sys_call4(__NR_prlimit64, 0, RLIMIT_MEMLOCK, 0, (long)&limit) == 0 && len <= limit.rlim_cur;
}

/* What an owner that is gone had pinned still counts against its user for a moment. */
static int register_patiently(int fd, const struct xdp_umem_reg *reg)
{
	struct patience patience = { .step = WAIT_STEP_US, .total = limit_allows(reg->len) ? WAIT_PAGES_US : 0 };
	int rc;

	do
		rc = set_option(fd, XDP_UMEM_REG, reg, sizeof(*reg));
	while (rc == -ENOBUFS && wait_on(&patience));
	return rc;
}

static int register_memory(int fd, const struct xsk_args *args)
{
	const struct fbuf_pool *pool = args->pool;
	struct xdp_umem_reg reg = {
		.addr = (uintptr_t)pool->memory,
		.len = (uint64_t)pool->first_count * pool->chunk_size,
		.chunk_size = pool->chunk_size,
	};
	int rc;

	if (pool->chunk_shift == 0 || pool->chunk_size < 2048 || pool->chunk_size > 4096)
		return fail(args->why, -ENOMEM, "AF_XDP takes chunks of 2048 or 4096 bytes only");
	rc = register_patiently(fd, &reg);
	if (rc == -ENOBUFS || rc == -EPERM)
		return fail(args->why, -ENOBUFS,
			    "RLIMIT_MEMLOCK does not allow pinning the frame pool");
	if (rc < 0)
		return fail(args->why, -ENOMEM, "the frame pool could not be registered (UMEM)");
	return 0;
}

static int size_rings(int fd, struct xsk *x, const struct xsk_args *args)
{
	uint32_t rx, tx, completion;

	if (args->chunks < XSK_POOL_MIN)
		return fail(args->why, -ENOMEM, "the frame pool has fewer than 64 chunks a queue");
	xsk_sizes(args->chunks, &rx, &tx);
	/* Twice TX, so that frames sent but not yet reclaimed never stop transmission. A queue must have
	 * the ring even if nothing is ever completed there. */
	completion = args->receives_only ? 1 : 2 * tx;
	x->rx.size = x->fill.size = rx;
	if (!args->receives_only) {
		x->tx.size = tx;
		x->completion.size = completion;
	}
	if (set_option(fd, XDP_UMEM_FILL_RING, &rx, sizeof(rx)) < 0 ||
	    set_option(fd, XDP_UMEM_COMPLETION_RING, &completion, sizeof(completion)) < 0 ||
	    set_option(fd, XDP_RX_RING, &rx, sizeof(rx)) < 0 ||
	    (!args->receives_only && set_option(fd, XDP_TX_RING, &tx, sizeof(tx)) < 0))
		return fail(args->why, -ENOMEM, "the kernel has no memory for the AF_XDP rings");
	return 0;
}

/* Bytes a ring needs mapped; 0 when the kernel's offsets make no sense or exceed the slot. */
static size_t ring_bytes(const struct xdp_ring_offset *o, uint32_t entries, size_t entry)
{
	uint64_t end = o->desc + (uint64_t)entries * entry;

	if (o->producer + 4 > o->desc || o->consumer + 4 > o->desc || o->flags + 4 > o->desc ||
	    o->producer == o->consumer || o->desc % 8 != 0 || end > XSK_RING_SLOT)
		return 0;
	return (size_t)end;
}

/* Bytes of each slot; 0 = the socket has no such ring. */
static int slot_lengths(const struct xsk *x, int fd, struct xdp_mmap_offsets *o, size_t len[SLOTS])
{
	const uint32_t size[SLOTS] = { x->rx.size, x->tx.size, x->fill.size, x->completion.size };
	socklen_t o_len = sizeof(*o);

	if (sys_getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, o, &o_len) < 0 || o_len != sizeof(*o))
		return -EOPNOTSUPP;
	len[SLOT_RX] = ring_bytes(&o->rx, x->rx.size, sizeof(struct xdp_desc));
	len[SLOT_TX] = ring_bytes(&o->tx, x->tx.size, sizeof(struct xdp_desc));
	len[SLOT_FILL] = ring_bytes(&o->fr, x->fill.size, sizeof(uint64_t));
	len[SLOT_COMPLETION] = ring_bytes(&o->cr, x->completion.size, sizeof(uint64_t));
	for (int i = 0; i < SLOTS; i++) {
		if (size[i] == 0)
			len[i] = 0;
		else if (len[i] == 0)
			return -EOPNOTSUPP;
	}
	return 0;
}

static uint8_t *slot_address(const struct xsk *x, int slot)
{
	return (uint8_t *)x->rings + (size_t)slot * XSK_RING_SLOT;
}

/*
 * Map over the range the caller reserved. MADV_DONTFORK: a mapping in an idle child would keep the
 * socket, and with it the queue, alive after its owner is gone (design hazard 6); a child that wants
 * to drive the port maps again.
 */
static int map_slots(const struct xsk *x, int fd, const size_t len[SLOTS])
{
	for (int i = 0; i < SLOTS; i++) {
		uint8_t *at = slot_address(x, i);
		void *got;

		if (len[i] == 0)
			continue;
		got = sys_mmap(at, len[i], PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE | MAP_FIXED, fd,
			       (int64_t)slot_page_offset[i]);
		if (sys_is_err(got) || sys_madvise(at, len[i], MADV_DONTFORK) < 0) {
			xsk_unmap(x);
			return sys_is_err(got) ? (int)(intptr_t)got : -ENOMEM;
		}
	}
	return 0;
}

int xsk_map(const struct xsk *x, int fd)
{
	struct xdp_mmap_offsets o;
	size_t len[SLOTS];
	int rc = slot_lengths(x, fd, &o, len);

	return rc < 0 ? rc : map_slots(x, fd, len);
}

void xsk_unmap(const struct xsk *x)
{
	sys_munmap(x->rings, XSK_RINGS_LEN);
}

static int map_rings(struct xsk *x, int fd, char *why)
{
	struct xdp_mmap_offsets o;
	size_t len[SLOTS];

	if (slot_lengths(x, fd, &o, len) < 0)
		return fail(why, -EOPNOTSUPP,
			    "the kernel describes its AF_XDP rings in an unknown way");
	if (map_slots(x, fd, len) < 0)
		return fail(why, -ENOMEM, "the AF_XDP rings could not be mapped");
	xsk_ring_init(&x->rx, slot_address(x, SLOT_RX), &o.rx, x->rx.size);
	xsk_ring_init(&x->fill, slot_address(x, SLOT_FILL), &o.fr, x->fill.size);
	if (x->tx.size == 0)
		return 0;
	xsk_ring_init(&x->tx, slot_address(x, SLOT_TX), &o.tx, x->tx.size);
	xsk_ring_init(&x->completion, slot_address(x, SLOT_COMPLETION), &o.cr, x->completion.size);
	return 0;
}

static void tune(struct xsk *x, int fd, const struct fbuf_pool *pool)
{
	struct xdp_options options = { 0 };
	socklen_t len = sizeof(options);
	int bytes = SEND_BUFFER;
	uint32_t budget = x->tx.size;

	if (sys_getsockopt(fd, SOL_XDP, XDP_OPTIONS, &options, &len) == 0)
		x->zero_copy = options.flags & XDP_OPTIONS_ZEROCOPY;
	x->frame_len = pool->chunk_size - XSK_RX_HEADROOM;
	if (x->tx.size == 0)
		return;
	/* Each without effect on failure: less speed, nothing else. */
	if (sys_setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
		(void)sys_setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	x->tx_budget = XSK_TX_BUDGET_DEFAULT;
	if (budget > x->tx_budget &&
	    set_option(fd, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof(budget)) == 0)
		x->tx_budget = budget;
}

/* The flags are those of the socket that shares: none may be given. */
static int bind_shared(int fd, const struct xsk_args *args)
{
	struct sockaddr_xdp addr = {
		.sxdp_family = AF_XDP,
		.sxdp_flags = XDP_SHARED_UMEM,
		.sxdp_ifindex = args->ifindex,
		.sxdp_queue_id = args->queue,
		.sxdp_shared_umem_fd = (uint32_t)args->umem_fd,
	};

	return sys_bind(fd, &addr, sizeof(addr));
}

/*
 * Bind, once. Kernels before 6.6 do not know frames of several descriptors and answer EINVAL to the
 * flag; then such frames are given up, not the socket.
 */
static int bind_once(struct xsk *x, int fd, const struct xsk_args *args)
{
	struct sockaddr_xdp addr = {
		.sxdp_family = AF_XDP,
		.sxdp_flags = XDP_USE_NEED_WAKEUP | XDP_USE_SG | (args->copy ? XDP_COPY : 0),
		.sxdp_ifindex = args->ifindex,
		.sxdp_queue_id = args->queue,
	};
	int rc;

	if (args->umem_fd >= 0)
		return bind_shared(fd, args);
	rc = sys_bind(fd, &addr, sizeof(addr));
	x->multi_buffer = true;
	if (rc == -EINVAL || rc == -EOPNOTSUPP) {
		addr.sxdp_flags &= (uint16_t)~XDP_USE_SG;
		x->multi_buffer = false;
		rc = sys_bind(fd, &addr, sizeof(addr));
	}
	return rc;
}

/* A queue stays busy for a moment after its owner died. */
static int bind_patiently(struct xsk *x, int fd, const struct xsk_args *args)
{
	struct patience patience = { .step = WAIT_STEP_US, .total = WAIT_QUEUE_US };
	int rc;

	do
		rc = bind_once(x, fd, args);
	while (rc == -EBUSY && wait_on(&patience));
	return rc;
}

int xsk_bind(struct xsk *x, int fd, const struct xsk_args *args)
{
	int rc = bind_patiently(x, fd, args);

	switch (rc) {
	case 0:
		tune(x, fd, args->pool);
		return 0;
	case -EBUSY:
		return fail(args->why, -EBUSY, "another process holds the queue of this interface");
	case -ENETDOWN:
	case -ENODEV:
	case -ENXIO:
		return fail(args->why, -ENETDOWN, "the interface is down or gone");
	case -EPERM:
	case -EACCES:
		return fail(args->why, -EPERM, "binding an AF_XDP socket is not permitted");
	case -ENOMEM:
	case -ENOBUFS:
		return fail(args->why, -ENOMEM,
			    "the kernel has no memory to bind the AF_XDP socket");
	default:
		return fail(args->why, -EOPNOTSUPP,
			    "driver or queue does not take an AF_XDP socket");
	}
}

int xsk_open(struct xsk *x, const struct xsk_args *args)
{
	int fd = sys_socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return fail_socket(args->why, fd);
	fd = sys_fd_raise(fd, args->fd_floor);
	if (fd < 0)
		return fail_socket(args->why, fd == -EINVAL ? -EMFILE : fd);

	*x = (struct xsk){ .rings = args->rings };
	rc = args->umem_fd < 0 ? register_memory(fd, args) : 0;
	if (rc < 0)
		goto not_mapped;
	rc = size_rings(fd, x, args);
	if (rc < 0)
		goto not_mapped;
	rc = map_rings(x, fd, args->why);
	if (rc < 0)
		goto not_mapped;
	return fd;

not_mapped:
	sys_close(fd);
	return rc;
}

void xsk_close(const struct xsk *x, int fd)
{
	xsk_unmap(x);
	sys_close(fd);
}
