/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xsk.h - setting up and taking down one AF_XDP socket on one queue of one interface.
 *
 * The frame memory (UMEM) is a pinned pool of the stack, the rings are mapped at fixed addresses, and
 * `struct xsk` lives in stack memory: whoever holds a descriptor of the socket and the mappings can
 * drive it, in any process of a fork tree.
 *
 * Does:     create, register memory, map rings, bind, tune; map again in another process; undo.
 * Does not: attach programs or steer (src/steer), move frames (xdp_io.c).
 * Threads:  holder of the stack's lock only.
 * Errors:   descriptor or 0, or -errno with the meaning of provider.h's open(); @why then holds a
 *           sentence. After a failure nothing remains.
 */
#ifndef FSOCK_PROVIDER_XDP_XSK_H
#define FSOCK_PROVIDER_XDP_XSK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fbuf.h"
#include "provider/xdp/xsk_ring.h"

enum {
	XSK_RING_SLOT = 64 * 1024,	    /* address space for one ring, bytes */
	XSK_RINGS_LEN = 4 * XSK_RING_SLOT,  /* for all of them */
	XSK_RX_MAX = 2048,		    /* entries of RX and of FILL, at most */
	XSK_TX_MAX = 1024,		    /* entries of TX, at most; COMPLETION has twice as many */
	XSK_POOL_MIN = 64,		    /* chunks a queue below which a port makes no sense */
};

/* The shared half of an open socket. */
struct xsk {
	struct xsk_ring rx, fill, tx, completion; /* the latter two not mapped and of size 0 where the
						     socket only receives */
	void *rings;	    /* XSK_RINGS_LEN bytes of address space, borrowed */
	uint32_t tx_budget; /* descriptors one send call handles */
	uint32_t frame_len; /* bytes of a received frame that fit one chunk */
	bool zero_copy;	    /* the driver moves frames without the kernel copying them */
	bool multi_buffer;  /* frames may span descriptors */
};

struct xsk_args {
	const struct fbuf_pool *pool; /* its first region becomes the UMEM */
	uint32_t chunks;	      /* of the pool that this queue counts on, for its rings' sizes */
	int umem_fd;		      /* -1: register the pool here. Else a bound socket of another queue
					 that did: its memory and its mode are shared (Linux 5.10) */
	bool receives_only;	      /* no TX ring */
	void *rings;		      /* XSK_RINGS_LEN bytes, page aligned; mapped over */
	uint32_t ifindex, queue;
	bool copy;		      /* insist on copy mode; not asked where memory is shared */
	int fd_floor;		      /* lowest descriptor number */
	char *why;		      /* PROVIDER_WHY_LEN bytes */
};

/* Can this process make AF_XDP sockets? 0, -EPERM, -EOPNOTSUPP, -EMFILE, -ENOMEM. */
int xsk_probe(char *why);

/* True on kernels whose copy-mode transmission is known to panic (Linux 6.17, any patch level). */
bool xsk_kernel_tx_panics(void);
bool xsk_release_tx_panics(const char *release);

/* Make the socket, register the pool unless it is shared, map the rings. Returns the descriptor. */
int xsk_open(struct xsk *x, const struct xsk_args *args);

/*
 * Bind and tune. A queue whose owner just died is busy for a moment: waits for it, up to 1 s. The
 * caller has made sure that there is no live owner. On failure the socket remains, for xsk_close().
 */
int xsk_bind(struct xsk *x, int fd, const struct xsk_args *args);

/* Remove the mappings and close the descriptor. */
void xsk_close(const struct xsk *x, int fd);

/* Ring sizes for a pool of @chunks, all powers of two. */
void xsk_sizes(uint32_t chunks, uint32_t *rx, uint32_t *tx);

/* Map the rings of an open socket at their addresses, in another process. 0 or -errno. */
int xsk_map(const struct xsk *x, int fd);

/* Remove this process's ring mappings. The address range is left unmapped. */
void xsk_unmap(const struct xsk *x);

#endif
