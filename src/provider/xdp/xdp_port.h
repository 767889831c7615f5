/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xdp_port.h - the port of the xdp provider, and what its files share.
 *
 * A chunk that lies in one of the rings belongs to the kernel. It is marked by fbuf.link pointing to
 * the fbuf itself, which no queue can do: so every address that comes back is checked to be one that
 * was given, exactly once, and close() finds what the rings still hold.
 *
 * Threads:  holder of the stack's lock only.
 */
#ifndef FSOCK_PROVIDER_XDP_XDP_PORT_H
#define FSOCK_PROVIDER_XDP_XDP_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "provider/packet/packet_rx.h"
#include "provider/provider.h"
#include "provider/xdp/xsk.h"
#include "steer/steer.h"

/* Meaning of provider_handle.fd[]. */
enum xdp_fd {
	XDP_FD_WAIT,  /* epoll set over all sockets to receive from, where there are several; else -1 */
	XDP_FD_VNET,  /* AF_PACKET side socket, opened at the first super-frame; -1 = not yet */
	XDP_FD_STAMP, /* the same for frames whose departure is to be stamped */
	XDP_FD_SIDE,  /* the sockets of packet_rx.h; -1 = not yet, see xdp_side.c */
	XDP_FD_READY = XDP_FD_SIDE + PACKET_SOCKETS, /* the same as long as they are not bound: owner only */
	XDP_FD_STEER = XDP_FD_READY + PACKET_SOCKETS, /* the first of src/steer's */
	XDP_FD_QUEUE = XDP_FD_STEER + STEER_N_FDS, /* the AF_XDP socket of queue 0, then of the others */
	XDP_FDS = XDP_FD_QUEUE + PROVIDER_MAX_QUEUES,
};

static_assert((int)XDP_FDS <= (int)PROVIDER_MAX_FDS, "a handle holds all descriptors of a port");

enum {
	XDP_REFILL_BATCH = 64,	/* chunks moved to FILL at a time */
	XDP_RECLAIM_BATCH = 32, /* frames sent before COMPLETION is looked at */
	XDP_IDLE_BATCH = 8,	/* either of them when there is nothing to receive: a line of FILL */
	XDP_SHALLOW = 512,	/* chunks in FILL while super-frames stream; no more than a quarter of the ring */
	XDP_CALM_MIN = 8,	/* rings full of them after which the depth of FILL is reviewed */
	XDP_CALM_MAX = 1024,	/* the same at most: doubled each time that less depth was too little */
};

/* One receive queue: its AF_XDP socket and what is under way there. */
struct xdp_queue {
	struct xsk xsk;
	uint32_t index;		 /* the queue's number on the interface */
	uint32_t rx_posted;	 /* chunks in the kernel's hands for reception */
	uint32_t rx_target;	 /* as many as there should be: the depth of FILL, see review_depth() */
	uint32_t rx_batch;	 /* refill when so many are missing */
	uint32_t rx_calm;	 /* rings full until the depth is reviewed */
	uint32_t rx_used;	 /* chunks since it was */
	uint32_t rx_super;	 /* those of them that held parts of super-frames */
	uint32_t rx_peak;	 /* most of them at once */
	struct fbuf *rx_head;	 /* frame of which only the first parts have come, owned; or NULL */
	struct fbuf *rx_tail;	 /* its last part */
	bool rx_skip;		 /* the rest of a frame that was given up is being thrown away */
};

/* The packet sockets that take what generic mode sheds. */
enum xdp_side {
	XDP_SIDE_NONE,	  /* not wanted, not needed, or not to be had */
	XDP_SIDE_WAITING, /* until enough was shed */
	XDP_SIDE_OPEN,	  /* sockets and tap stand */
};

/*
 * Shared half of a port. Frames leave by the first queue alone, whatever flow they belong to: that keeps
 * their order without a thought, and any chunk may be sent there. The other sockets only receive.
 */
struct xdp_port {
	struct provider_port base;
	uint32_t rx_next;      /* queue whose turn it is to be looked at first */

	/* transmission, on the first queue */
	uint32_t tx_unkicked;  /* descriptors published and not yet taken by the kernel */
	uint32_t tx_in_flight; /* chunks in TX, the kernel or COMPLETION */
	uint32_t tx_batch;     /* look at COMPLETION when so many are in flight */
	struct fbuf *tx_super; /* super-frame that is being sent, owned; who finds one has it from a process that died there */

	/* times of arrival, by the program: see struct steer_stamp */
	uint64_t stamp_key;    /* as in `shared`; 0 = off */

	/* steering: a struct steer is made of these and a handle's descriptors */
	struct steer_shared *shared; /* mapped at one address in every process; NULL before open */
	struct steer_beat *beat;     /* there: the first queue's, before those of the others */
	uint8_t guard;		     /* enum steer_guard */
	bool guard_tried;	     /* no second attempt */
	bool generic;		     /* the program's mode */
	bool beside;		     /* another port attached it, see provider.h's open() */

	/* what that mode cannot tell apart */
	uint8_t side;		   /* enum xdp_side */
	bool side_asked;	   /* stamps are wanted that only it has: wait no longer */
	bool side_first;	   /* looked at before the queues, next time */
	int64_t shed_limit;	   /* see struct provider_open_args */
	struct packet_rx side_rx;

	/* last: a port of one queue has what it touches in neighbouring lines */
	struct xdp_queue queue[PROVIDER_MAX_QUEUES]; /* base.n_queues of them */
};

static inline struct xdp_port *xdp_port_of(const struct provider_handle *handle)
{
	return (struct xdp_port *)(void *)handle->port; /* its first member */
}

extern const struct provider_ops provider_xdp;

/* --- xdp_queues.c --- */

/* Make the first queue's socket and register the pool there. 0 or -errno with args->why, as the next. */
int xdp_queues_create(struct provider_handle *handle, const struct provider_open_args *args);
/*
 * Bind it, then open the other queues over the same frame memory: as many as can be had, see
 * base.n_queues. @copy insists on copy mode. Steering must be attached: a busy queue is waited for.
 */
int xdp_queues_bind(struct provider_handle *handle, const struct provider_open_args *args, bool copy);
/* In a process that got the sockets' descriptors from the owner: map their rings, make a set to wait on. */
int xdp_queues_join(struct provider_handle *handle, int fd_floor);
/* Make the epoll set to sleep on, over the first queue, unless there is one. 0 or -errno. */
int xdp_queues_wait(struct provider_handle *handle, int fd_floor);
/* Unmap the rings and close the sockets and the set, as far as they exist. */
void xdp_queues_close(struct provider_handle *handle);
/* Bytes of args->rings that the queues use. */
#define XDP_QUEUES_RINGS ((size_t)PROVIDER_MAX_QUEUES * XSK_RINGS_LEN)

/* --- xdp_side.c --- */

/* provider.h's stamp_port(). */
void xdp_side_stamp_port(struct provider_handle *handle, uint16_t port, bool on);
/* Open it as far as that takes time, if it is to wait. */
void xdp_side_prepare(struct provider_handle *handle);
/* provider.h's tend(): open the side when its time has come. */
enum provider_tended xdp_side_tend(struct provider_handle *handle, bool slowly);
/* In a process that got its sockets from another one: map their rings, sleep on them too. */
int xdp_side_join(struct provider_handle *handle, int fd_floor);
/* The owner ended, @s is attached again: have the tap stand behind it again, or do without. */
void xdp_side_adopt(struct provider_handle *handle, struct steer *s, int fd_floor);
/* Unmap the rings and close the sockets, as far as they exist. */
void xdp_side_close(struct provider_handle *handle);
/* Address space it needs, behind that of steering. */
enum { XDP_SIDE_RINGS = PACKET_RINGS_LEN };
/* The part of xdp_receive() that is its own, where this process has the sockets. */
static inline bool xdp_side_here(const struct provider_handle *handle)
{
	return handle->fd[XDP_FD_SIDE] >= 0;
}
unsigned xdp_side_take(struct provider_handle *handle, struct fbuf **frames, unsigned n);
/* Ask the sockets for their errors, on which a sleeper would wake again and again. */
void xdp_side_probe(const struct provider_handle *handle);

/* --- xdp.c: between a handle and a struct steer --- */

struct steer xdp_steer_of(const struct provider_handle *handle);
void xdp_steer_fds_to(struct provider_handle *handle, const struct steer *s);

/* --- xdp_io.c --- */

/* Set the figures above for the pool and fill every FILL ring for the first time. */
void xdp_io_init(struct xdp_port *p);
/* Free what has been sent and completed. */
void xdp_io_reclaim(struct xdp_port *p);
/* Ask the sockets whether the port lives, see provider_port.error. A system call a queue, and one. */
void xdp_io_probe(struct provider_handle *handle);
/* Return every chunk the rings still hold to the pool. The sockets must be closed already. */
void xdp_io_reclaim_all(struct xdp_port *p);
/* Note what a call on the socket returned; true when the port is (or stays) dead. */
bool xdp_io_check(struct xdp_port *p, int rc);

/* Let the program stamp frames, or not, as the stack wants it by now. */
void xdp_io_switch_stamps(struct xdp_port *p);

unsigned xdp_receive(struct provider_handle *handle, struct fbuf **frames, unsigned n);
unsigned xdp_transmit(struct provider_handle *handle, struct fbuf *const *frames, unsigned n);
int xdp_transmit_stamped(struct provider_handle *handle, struct fbuf *frame, fs_ns *stamp);
int xdp_kick(struct provider_handle *handle);
unsigned xdp_tx_pending(const struct provider_handle *handle);
bool xdp_arm(struct provider_handle *handle);
void xdp_disarm(struct provider_handle *handle);

#endif
