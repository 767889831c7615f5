/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * provider.h - the contract between a stack and a way to move frames.
 *
 * A provider is one folder behind `struct provider_ops`, one line in providers.def, and nothing else.
 * A *port* is one attachment of a provider to one interface, with the receive queues that this stack
 * serves: n_queues of them from first_queue on. Frames of other queues are the kernel's, or the provider's who
 * has them. The queues are the provider's own business; a port has one frame pool, one order of frames sent, by
 * its first queue, and one descriptor to sleep on. Its state is split in two:
 *
 *   struct provider_port     shared: lives in stack memory, holds plain pointers and no descriptors,
 *                            so that every process of a fork tree that joined the stack can drive it;
 *   struct provider_handle   private: this process's descriptors of that port.
 *
 * Does:     move bursts of chained frames, sleep and wake, steer, report.
 * Does not: parse protocols, choose routes, take locks, allocate: memory is handed in.
 * Threads:  holder of the stack's lock only.
 * Errors:   0 or a count, or -errno. With PROVIDER_E_*: see open().
 */
#ifndef FSOCK_PROVIDER_PROVIDER_H
#define FSOCK_PROVIDER_PROVIDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/barrier.h"
#include "base/clock.h"
#include "base/fbuf.h"

enum {
	PROVIDER_MAX_QUEUES = 32, /* of one port. Beyond, the kernel's cost per queue outgrows the frames:
				     decisions/0012 */
	PROVIDER_MAX_FDS = PROVIDER_MAX_QUEUES + 16,
	PROVIDER_WHY_LEN = 160, /* bytes of an explanation, with its NUL */
	PROVIDER_SHED_ALL = -1, /* see struct provider_open_args */
};

/* What a port can do. Fixed after open, but for max_gso and sheds_udp_partial. */
struct provider_caps {
	uint32_t max_frame;    /* longest frame in bytes, all parts together */
	uint32_t max_parts;    /* longest chain it sends */
	uint32_t gso_parts;    /* longest chain of a super-frame */
	uint16_t max_gso;      /* longest super-frame it sends as one, bytes; 0 = none. Falls to 0 when
				  the device gives segmentation up (tx_bad counts the frame) */
	bool gso_udp;	       /* super-frames of UDP (UDP_SEGMENT), too. They may be of one segment */
	bool tx_csum_partial;  /* takes FBUF_CSUM_PARTIAL */
	bool rx_stamp;	       /* fbuf.device_stamp is set */
	bool stamps_wall;      /* the fbuf.stamp it sets is of CLOCK_REALTIME already, see provider_port.stamp */
	bool steers;	       /* has steer_add; without it every frame of its queues comes to the stack */
	bool needs_kick;       /* transmit() needs kick() before frames leave */
	bool sheds_udp_partial; /* UDP frames with a partial checksum go to the kernel (hazard 3). May end
				   with tend() */
	char mode[12];	       /* how frames are steered, a word for people; probe() says what it expects */
};

/* Free-running counters of a port, exported by `fsock stat`. */
struct provider_stats {
	uint64_t rx_frames, rx_bytes;
	uint64_t tx_frames, tx_bytes;
	uint64_t tx_full;	     /* frames not accepted: ring or device full, caller keeps them */
	uint64_t tx_bad;	     /* frames accepted and thrown away: empty, too many parts, no
					super-frame */
	uint64_t kicks, kick_again;  /* system calls to send, and those answered EAGAIN/EBUSY/ENOBUFS */
	uint64_t rx_bad;	     /* descriptors or frames the provider had to throw away */
	uint64_t rx_no_frame;	     /* times the receive side could not be refilled: pool empty */
	uint64_t kernel_rx_dropped, kernel_rx_ring_full, kernel_fill_empty;
	uint64_t kernel_rx_invalid, kernel_tx_invalid, kernel_tx_empty;
	uint64_t steer_passed_stale, steer_passed_partial, steer_redirected, guard_dropped;
	uint64_t steer_passed_no_queue; /* came on a queue that is not served: to the kernel */
	uint64_t side_frames; /* of rx_frames: taken by packet sockets beside the port's own kind */
	uint64_t side_lost;   /* frames for those that found no room there */
};

/* One rule of steering. Order and verdicts: DESIGN D4. */
enum steer_verdict { STEER_STACK = 1, STEER_KERNEL = 2, STEER_DROP = 3 };

struct steer_rule {
	uint8_t protocol;	/* IPPROTO_UDP or IPPROTO_TCP */
	bool flow;		/* false: a port entry; remote is ignored. true: one 4-tuple */
	bool v6_only;		/* wildcard entry of an IPv6-only socket: leave IPv4 alone */
	bool v4_only;		/* wildcard entry of an IPv4 socket */
	uint16_t local_port, remote_port; /* host order */
	struct ip_addr local;	/* any = wildcard (port entries only) */
	struct ip_addr remote;
	enum steer_verdict verdict; /* port entries: always STEER_STACK */
};

/* What tend() did. */
enum provider_tended {
	PROVIDER_TENDED_NOTHING,
	PROVIDER_TENDED,       /* the descriptors changed, wait_fd() with them; others join anew */
	PROVIDER_TENDS_SLOWLY, /* nothing yet: call again with slowly, when it may take its time */
};

struct provider_ops;

/* Shared half. A provider embeds it as the first member of its own struct of ops->port_size bytes. */
struct provider_port {
	uint32_t kind;		/* index in the registry, from the open arguments: functions are never
				   stored in shared memory */
	uint32_t ifindex;
	uint32_t first_queue;	/* number on the interface of the first receive queue served */
	uint32_t n_queues;	/* receive queues served, from that on */
	struct fbuf_pool *pool; /* pinned pool, borrowed */
	struct provider_caps caps;
	struct provider_stats stats;
	uint32_t programs[3];	/* ids of BPF programs the port attached, 0 = none: policy detection (D14)
				   must not take them for somebody else's. The first one takes frames */
	int32_t owner_pid;	/* process that holds steering; 0 = nobody */
	int32_t error;		/* 0, or -errno since frames no longer move. -ENETDOWN: the interface is down;
				   back to 0 when it is up again. -ENODEV: it is gone from here, for this
				   port for good, even if it returns: close the port. -ENOLINK: steering was detached
				   by a stranger: the same, but another may be opened */
	uint32_t caller;	/* written by the stack before transmit() and kick(): the thread that calls; else 0 */
	uint32_t in_call;	/* that thread, while it is there in a system call of which it need not come back: the
				   shared half is whole, the frames handed over have left or are the provider's to free,
				   and what the call did may have happened; else not that thread */
	uint8_t index;		/* what receive() puts into fbuf.port; from the open arguments */
	bool stamp;		/* written by the stack at any time: somebody wants to know when frames
				   arrive. A provider that knows it better than its caller sets fbuf.stamp to
				   it (ns of CLOCK_MONOTONIC), from the next receive() or arm() on */
};

/* Private half. */
struct provider_handle {
	const struct provider_ops *ops;
	struct provider_port *port;	/* borrowed from the stack */
	int fd[PROVIDER_MAX_FDS];	/* meaning is the provider's; -1 = none. All close-on-exec, high */
	int n_fds;			/* entries the provider uses */
};

/* What a process holds of a port, for others of its fork tree to take by pidfd_getfd(). */
struct provider_hold {
	int32_t pid;		  /* 0 = nothing */
	int fd[PROVIDER_MAX_FDS]; /* that process's numbers; -1 = none */
};

/* What open() is given. Everything is borrowed for the call unless said otherwise. */
struct provider_open_args {
	uint32_t kind;		/* the provider's index in the registry, for port->kind */
	uint32_t ifindex;
	const char *ifname;
	const char *driver;	/* ethtool's driver name; "" = unknown */
	uint32_t first_queue;	/* number of the first receive queue to serve, and to send by */
	uint32_t n_queues;	/* receive queues to serve, from that on: 1 .. PROVIDER_MAX_QUEUES. open() may serve
				   fewer, see port->n_queues, where one beyond the first cannot be had */
	uint8_t index;		/* of the port in its stack, for fbuf.port */
	struct eth_addr mac;
	uint32_t mtu;
	struct fbuf_pool *pool;	/* borrowed for the port's life; memory is page aligned, one region */
	const struct provider_handle *beside; /* NULL, or this process's handle of a port that attached steering to
				   the same interface and serves other queues of it, see open() */
	void *rings;		/* address range that is the port's alone until close, 64 KiB aligned:
				   mapped over (MAP_FIXED) and left unmapped in the end */
	size_t rings_len;	/* bytes of it, at least ops->rings_len */
	int fd_floor;		/* lowest number a descriptor may get (F_DUPFD_CLOEXEC) */
	const char *option;	/* provider's own option text, "" = none; e.g. "mode=native" */
	int64_t shed_limit;	/* UDP frames with a partial checksum that may go to the kernel, beside those
				   that only look so, before tend() looks for a way to take them;
				   PROVIDER_SHED_ALL = never */
	bool shed_ready;	/* prepare that way in open(), so that tend() holds nobody up: some 40 ms more
				   here, as much at the end, and memory */
	uint32_t former;	/* program of an owner that just ended, 0 = none: what it had attached
				   may take the kernel a moment to remove, which is waited for */
	char *why;		/* PROVIDER_WHY_LEN bytes: set to one sentence on failure, and when fewer
				   queues are served than were asked for */
};

/*
 * The operations. `frames` arrays hold heads of chains.
 */
struct provider_ops {
	const char *name;  /* as in --provider= */
	size_t port_size;  /* bytes of the shared half */
	size_t rings_len;  /* address space needed for rings */

	/* Could this provider serve the interface? Cheap, without side effects.
	 * 0 or -errno as open(), and why. caps may be NULL. */
	int (*probe)(const struct provider_open_args *args, struct provider_caps *caps);

	/*
	 * Attach. @port is zeroed memory of port_size bytes; @handle gets ops, port and fds.
	 * Self-test included. On failure nothing remains and args->why says why:
	 *
	 * Beside another port nothing is attached: the new one serves its queues by the steering that stands
	 * there. Rules are common to both, whoever adds or removes them; local addresses and the guard are the
	 * other's, as are counters of steering. Each answers for its own queues. The other may belong to another
	 * stack: open() and close() need its lock as well, nothing else does. When it closes, no frames come any
	 * more: close this one, too. When this one closes, frames of its queues go as if it had never been.
	 * What is not told by queue, see sheds_udp_partial and stamp_port(), is the other's alone.
	 *
	 *   -EBUSY       another process holds a queue        (reason interface_busy)
	 *   -EEXIST      a foreign program is attached        (reason foreign_xdp)
	 *   -EPERM       privilege                            (reason privilege)
	 *   -ENOBUFS     memory may not be locked             (reason memlock); perhaps less of it may
	 *   -ENOMEM      memory                               (reason memory); the same
	 *   -EMFILE      descriptors                          (reason descriptors)
	 *   -EOPNOTSUPP  kernel or driver cannot, or the provider has no part of an interface to give
	 *                (first_queue, beside)                (reason no_af_xdp)
	 *   -ENETDOWN    interface down or gone               (reason interface_down)
	 *   -EPROTO      self-test failed                     (reason self_test)
	 */
	int (*open)(struct provider_handle *handle, struct provider_port *port,
		    const struct provider_open_args *args);

	/* A child of a fork: drop this process's descriptors without disturbing the owner. Afterwards
	 * only join() may be called. A child that never uses the port must call it too, at once: an
	 * inherited copy keeps the queue busy after the owner is gone. */
	void (*fork_child)(struct provider_handle *handle);

	/* A process that shares the stack obtains what it needs to drive the port from another one that
	 * does (pidfd_getfd) and maps the rings at their addresses. 0, -EPERM, -errno; -ESRCH: that
	 * process is gone or going. */
	int (*join)(struct provider_handle *handle, struct provider_port *port,
		    const struct provider_hold *from, int fd_floor);

	/* The owner ended: be the owner. For who holds the port by join(), in whose hands everything stays as it
	 * is, what is attached included. NULL = joining is all it takes. */
	void (*adopt)(struct provider_handle *handle, int fd_floor);

	/* Take up to @n frames, from every queue in its turn: a flood on one does not silence another.
	 * Ownership passes to the caller. Returns how many. Frames are whole;
	 * fbuf.total, port, csum, gso_size, vlan are set, device_stamp only with caps.rx_stamp,
	 * stamp see provider_port.stamp; 0 where it is unknown.
	 * A dead port returns 0. That it died shows in port->error, at the latest after the next
	 * kick(), arm() or refresh_stats(): a receive that makes no system call cannot see it. */
	unsigned (*receive)(struct provider_handle *handle, struct fbuf **frames, unsigned n);

	/* Hand over up to @n frames, which leave in this order; ownership of those counted passes to the
	 * provider, which frees them when sent. Never blocks. kick() starts the transfer. A frame outside
	 * the pinned pool is copied into it first. A super-frame (gso_size > 0, at most caps.max_gso bytes) needs
	 * FBUF_CSUM_PARTIAL; it may leave at once, but not before what was handed over earlier. The caller hands over
	 * nothing behind one: what would be lost with it where a process dies there (provider_port.in_call). */
	unsigned (*transmit)(struct provider_handle *handle, struct fbuf *const *frames, unsigned n);

	/* Send one frame at once, behind whatever has been kicked, and say when the driver got it: slower than
	 * transmit(), and the time is the kernel's own. @stamp: in, the time now by CLOCK_REALTIME; out, that
	 * of the driver, or unchanged where it does not tell. 0: the frame is the provider's; otherwise the
	 * caller's still: -EAGAIN not now, -EOPNOTSUPP, -EINVAL, -ENETDOWN. NULL = transmit() is all there is. */
	int (*transmit_stamped)(struct provider_handle *handle, struct fbuf *frame, fs_ns *stamp);

	/* Start what transmit() queued. 0: nothing remains; -EAGAIN: some remain queued, call again;
	 * -ENETDOWN: the port is dead or the interface down (port->error says which); they remain, and
	 * leave late if it comes up again. Other -errno: they remain. */
	int (*kick)(struct provider_handle *handle);

	/* Frames (or parts of frames) that transmit() accepted and kick() has not got rid of yet. */
	unsigned (*tx_pending)(const struct provider_handle *handle);

	/* Descriptor that polls readable while receive() has work on any queue; -1 = none. A removed
	 * interface need not show on it: who sleeps watches link events, too. */
	int (*wait_fd)(const struct provider_handle *handle);

	/* Before sleeping on wait_fd: prepare. Returns true when there is work already. */
	bool (*arm)(struct provider_handle *handle);
	void (*disarm)(struct provider_handle *handle);

	/* Steering; callable by the owner, and by a joined process. add of an existing rule replaces
	 * its verdict; remove of an absent one is 0. -E2BIG: table full. NULL where !caps.steers. */
	int (*steer_add)(struct provider_handle *handle, const struct steer_rule *rule);
	int (*steer_remove)(struct provider_handle *handle, const struct steer_rule *rule);

	/* No rule holds any more, whoever holds the port. Without a system call; by any process, and also beside the
	 * holder of the lock: for a stack that nobody trusts. NULL where !caps.steers. */
	void (*steer_forget)(struct provider_handle *handle);

	/* Did somebody take the steering program off who is not of ours? One system call, which may wait as long as an
	 * interface is being changed: seldom. NULL = it cannot be told. */
	bool (*is_detached)(const struct provider_handle *handle);

	/* Datagrams for local port @port shall come with the best time of arrival there is, even if slower; or
	 * no longer. As steer_add(); may wait for tend(). NULL = there is no better one. */
	void (*stamp_port)(struct provider_handle *handle, uint16_t port, bool on);

	/* The addresses local to the interface: only frames to these are considered (hazard 2).
	 * Replaces the former set. Nothing for a port beside another, which has set them. */
	int (*set_local_addrs)(struct provider_handle *handle, const struct ip_addr *addrs, unsigned n);

	/* Tell steering that somebody takes frames (hazard 6). Called when frames were taken (empty looks
	 * answer by themselves); costs a load unless steering asked. @now may be some ms old. */
	void (*heartbeat)(struct provider_handle *handle, fs_ns now);

	/* Nobody takes frames until @until, but somebody will: they wait, and are not the kernel's meanwhile. Again
	 * with the time as it is when somebody does. NULL = nothing tells. */
	void (*vouch)(struct provider_handle *handle, fs_ns until);

	/* Owner, now and then: do what has become sensible for the traffic seen. Mostly a few loads. What
	 * would take some 30 ms is left undone unless @slowly. NULL = nothing ever. */
	enum provider_tended (*tend)(struct provider_handle *handle, bool slowly);

	/* Bring port->stats up to date (may cost a system call). */
	void (*refresh_stats)(struct provider_handle *handle);

	/* Owner: detach for all, unmap, close; frames inside the rings return to the pool.
	 * Joined process: only its own descriptors and mappings.
	 * Of a port whose last holder ended nothing is left but what lies in stack memory: a handle with
	 * all descriptors -1, and port->owner_pid this process, returns its frames to the pool. */
	void (*close)(struct provider_handle *handle);
};

/* --- registry (registry.c, providers.def) --- */

/* Number of providers, best first. */
unsigned provider_count(void);
const struct provider_ops *provider_at(unsigned kind); /* NULL when out of range */
const struct provider_ops *provider_by_name(const char *name); /* NULL when unknown */

/* --- for providers: around a system call that sends, see provider_port.in_call --- */

static inline void provider_call_begins(struct provider_port *port);
static inline void provider_call_ends(struct provider_port *port);

/* inline definitions */

static inline void provider_call_begins(struct provider_port *port)
{
	fs_program_order();
	fs_store_relaxed(&port->in_call, port->caller);
	fs_program_order();
}

static inline void provider_call_ends(struct provider_port *port)
{
	fs_program_order();
	fs_store_relaxed(&port->in_call, 0);
	fs_program_order();
}

#endif
