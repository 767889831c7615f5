/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * null.c - a provider that receives nothing and throws away what it is given.
 *
 * It proves the plug point: this folder and one line in providers.def are all that it takes.
 */
#include <errno.h>
#include <string.h>

#include "provider/provider.h"

static int null_probe(const struct provider_open_args *args, struct provider_caps *caps)
{
	(void)args;
	if (caps)
		*caps = (struct provider_caps){ .max_frame = 1514, .max_parts = 1 };
	return 0;
}

static int null_join(struct provider_handle *handle, struct provider_port *port,
		     const struct provider_hold *from, int fd_floor);

static int null_open(struct provider_handle *handle, struct provider_port *port,
		     const struct provider_open_args *args)
{
	null_probe(args, &port->caps);
	port->kind = args->kind;
	port->ifindex = args->ifindex;
	port->n_queues = args->n_queues;
	port->index = args->index;
	port->pool = args->pool;
	return null_join(handle, port, NULL, args->fd_floor);
}

static void null_nothing(struct provider_handle *handle)
{
	(void)handle;
}

static unsigned null_receive(struct provider_handle *handle, struct fbuf **frames, unsigned n)
{
	(void)handle, (void)frames, (void)n;
	return 0;
}

static unsigned null_transmit(struct provider_handle *handle, struct fbuf *const *frames,
			      unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		handle->port->stats.tx_frames++;
		handle->port->stats.tx_bytes += frames[i]->total;
		fbuf_free(frames[i]);
	}
	return n;
}

static int null_kick(struct provider_handle *handle)
{
	(void)handle;
	return 0;
}

static unsigned null_tx_pending(const struct provider_handle *handle)
{
	(void)handle;
	return 0;
}

static int null_wait_fd(const struct provider_handle *handle)
{
	(void)handle;
	return -1;
}

static bool null_arm(struct provider_handle *handle)
{
	(void)handle;
	return false;
}

static int null_set_local_addrs(struct provider_handle *handle, const struct ip_addr *addrs,
				unsigned n)
{
	(void)handle, (void)addrs, (void)n;
	return 0;
}

static void null_heartbeat(struct provider_handle *handle, fs_ns now)
{
	(void)handle, (void)now;
}

extern const struct provider_ops provider_null;
const struct provider_ops provider_null = {
	.name = "null",
	.port_size = sizeof(struct provider_port),
	.probe = null_probe,
	.open = null_open,
	.fork_child = null_nothing,
	.join = null_join,
	.receive = null_receive,
	.transmit = null_transmit,
	.kick = null_kick,
	.tx_pending = null_tx_pending,
	.wait_fd = null_wait_fd,
	.arm = null_arm,
	.disarm = null_nothing,
	.set_local_addrs = null_set_local_addrs,
	.heartbeat = null_heartbeat,
	.refresh_stats = null_nothing,
	.close = null_nothing,
};

static int null_join(struct provider_handle *handle, struct provider_port *port,
		     const struct provider_hold *from, int fd_floor)
{
	(void)from, (void)fd_floor;
	*handle = (struct provider_handle){ .ops = &provider_null, .port = port };
	memset(handle->fd, 0xff, sizeof(handle->fd)); /* all -1 */
	return 0;
}
