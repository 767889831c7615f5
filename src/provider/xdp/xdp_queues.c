/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xdp_queues.c - the AF_XDP sockets of a port, one per receive queue, over one frame pool. Queues are counted from
 * the port's first.
 *
 * The first queue's socket registers the pool; the others share its memory (XDP_SHARED_UMEM), each with
 * FILL and RX rings of its own, so that any chunk may be received into by any queue and sent by the
 * first. Where there are several, an epoll set is what the process sleeps on.
 *
 * Does not attach or steer (xdp.c), nor move frames (xdp_io.c).
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "provider/xdp/xdp_port.h"
#include "sys/sys.h"

static int fail(const struct provider_open_args *args, int error, const char *text)
{
	size_t len = FS_MIN(strlen(text), (size_t)PROVIDER_WHY_LEN - 1);

	memcpy(args->why, text, len);
	args->why[len] = '\0';
	return error;
}

static struct xsk_args xsk_args_of(const struct provider_handle *handle,
				   const struct provider_open_args *args, uint32_t queue)
{
	return (struct xsk_args){
		.pool = args->pool,
		.chunks = args->pool->first_count / args->n_queues,
		.umem_fd = queue == 0 ? -1 : handle->fd[XDP_FD_QUEUE],
		.receives_only = queue > 0,
		.rings = (uint8_t *)args->rings + (size_t)queue * XSK_RINGS_LEN,
		.ifindex = args->ifindex,
		.queue = args->first_queue + queue,
		.fd_floor = args->fd_floor,
		.why = args->why,
	};
}

/* --- the descriptor to sleep on --- */

static int wait_create(struct provider_handle *handle, int fd_floor)
{
	int fd = sys_fd_raise(sys_epoll_create1(EPOLL_CLOEXEC), fd_floor);

	if (fd < 0)
		return fd == -EINVAL ? -EMFILE : fd;
	handle->fd[XDP_FD_WAIT] = fd;
	return 0;
}

static int wait_add(const struct provider_handle *handle, uint32_t queue)
{
	struct epoll_event event = { .events = EPOLLIN };

	return sys_epoll_ctl(handle->fd[XDP_FD_WAIT], EPOLL_CTL_ADD, handle->fd[XDP_FD_QUEUE + queue],
			     &event);
}

int xdp_queues_wait(struct provider_handle *handle, int fd_floor)
{
	int rc = handle->fd[XDP_FD_WAIT] >= 0 ? 0 : wait_create(handle, fd_floor);

	if (rc == 0)
		rc = wait_add(handle, 0);
	return rc == -EEXIST ? 0 : rc;
}

static void fd_drop(int *fd)
{
	if (*fd >= 0)
		sys_close(*fd);
	*fd = -1;
}

/* --- open --- */

int xdp_queues_create(struct provider_handle *handle, const struct provider_open_args *args)
{
	const struct xsk_args xa = xsk_args_of(handle, args, 0);
	int fd = xsk_open(&xdp_port_of(handle)->queue[0].xsk, &xa);

	if (fd < 0)
		return fd;
	handle->fd[XDP_FD_QUEUE] = fd;
	return 0;
}

/* One more queue, ready to be steered to. */
static int add_queue(struct provider_handle *handle, const struct provider_open_args *args,
		     uint32_t queue)
{
	struct xdp_port *p = xdp_port_of(handle);
	struct xsk *x = &p->queue[queue].xsk;
	const struct xsk_args xa = xsk_args_of(handle, args, queue);
	int fd = xsk_open(x, &xa), rc;

	if (fd < 0)
		return fd;
	rc = xsk_bind(x, fd, &xa);
	if (rc < 0)
		goto failed;
	x->multi_buffer = p->queue[0].xsk.multi_buffer;
	handle->fd[XDP_FD_QUEUE + queue] = fd;
	rc = wait_add(handle, queue);
	if (rc == 0)
		return 0;
	rc = fail(args, -ENOMEM, "the kernel has no memory to wait for one more queue");
failed:
	handle->fd[XDP_FD_QUEUE + queue] = -1;
	xsk_close(x, fd);
	return rc;
}

/*
 * The queues beyond the first, until one cannot be had: then the others' frames are the kernel's, which
 * is right and not fast. A queue that somebody else has, or an interface that goes, is another matter.
 */
static int add_queues(struct provider_handle *handle, const struct provider_open_args *args)
{
	struct provider_port *port = handle->port;
	int rc = wait_create(handle, args->fd_floor);

	if (rc < 0)
		fail(args, rc, "no descriptor left to wait for several queues");
	else if (wait_add(handle, 0) < 0)
		rc = fail(args, -ENOMEM, "the kernel has no memory to wait for several queues");
	for (port->n_queues = 1; rc == 0 && port->n_queues < args->n_queues; port->n_queues++) {
		rc = add_queue(handle, args, port->n_queues);
		if (rc < 0)
			break;
	}
	if (port->n_queues == 1)
		fd_drop(&handle->fd[XDP_FD_WAIT]);
	return rc == -EBUSY || rc == -ENETDOWN ? rc : 0;
}

int xdp_queues_bind(struct provider_handle *handle, const struct provider_open_args *args, bool copy)
{
	struct xsk_args xa = xsk_args_of(handle, args, 0);
	int rc;

	xa.copy = copy;
	rc = xsk_bind(&xdp_port_of(handle)->queue[0].xsk, handle->fd[XDP_FD_QUEUE], &xa);
	if (rc < 0 || args->n_queues == 1)
		return rc;
	return add_queues(handle, args);
}

/* --- join, close --- */

int xdp_queues_join(struct provider_handle *handle, int fd_floor)
{
	const struct xdp_port *p = xdp_port_of(handle);
	int rc = p->base.n_queues > 1 ? wait_create(handle, fd_floor) : 0;

	for (uint32_t i = 0; rc == 0 && i < p->base.n_queues; i++) {
		rc = xsk_map(&p->queue[i].xsk, handle->fd[XDP_FD_QUEUE + i]);
		if (rc == 0 && p->base.n_queues > 1)
			rc = wait_add(handle, i);
	}
	return rc;
}

void xdp_queues_close(struct provider_handle *handle)
{
	/* All of the range: the port that this process knew may have had more queues than the one that
	 * another process opened in its place since. */
	sys_munmap(xdp_port_of(handle)->queue[0].xsk.rings, XDP_QUEUES_RINGS);
	for (uint32_t i = 0; i < PROVIDER_MAX_QUEUES; i++)
		fd_drop(&handle->fd[XDP_FD_QUEUE + i]);
	fd_drop(&handle->fd[XDP_FD_WAIT]);
}
