/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * socket.c - calls on the socket of a channel that has one, API_KERNEL or API_LISTENER.
 *
 * It is the kernel's, unless a link to another program of this host carries it (the option `local`): then the context
 * has the answer (context/stream.h). Either way it does not block. Bytes over a link the context waits for; who waits
 * for anything else waits here.
 */
#include <errno.h>

#include "api/api_internal.h"
#include "api/host.h"
#include "context/lifecycle.h"
#include "context/multiplex.h"
#include "context/stream.h"
#include "sys/sys.h"

fs_ns api_deadline(fs_ns wait)
{
	return wait < 0 ? FS_NEVER : host_clock_kernel() + wait;
}

int api_socket_wait(const struct fsock_channel *ch, short events, fs_ns deadline)
{
	struct pollfd fd = { .fd = ch->fd, .events = events };
	fs_ns left = deadline == FS_NEVER ? -1 : deadline - host_clock_kernel();
	struct timespec limit = { .tv_sec = left / FS_SEC(1), .tv_nsec = left % FS_SEC(1) };
	int ret;

	if (deadline != FS_NEVER && left <= 0)
		return -ETIMEDOUT;
	ret = ch->ctx ? multiplex_poll(ch->ctx, &fd, 1, left, NULL) : MULTIPLEX_KERNEL;
	if (ret != MULTIPLEX_KERNEL)
		return FS_MIN(ret, 0);
	if (api_host_ppoll(&fd, 1, deadline == FS_NEVER ? NULL : &limit, NULL) < 0 && errno == EINTR)
		return -EINTR;
	return 0;
}

int api_socket_connect(const struct fsock_channel *ch, const struct sockaddr *peer, socklen_t len)
{
	int ret = ch->ctx ? stream_connect(ch->ctx, ch->fd, peer, len) : CONTEXT_KERNEL;

	if (ret != CONTEXT_KERNEL)
		return ret;
	ret = sys_connect(ch->fd, peer, len);
	if (ch->ctx && (ret == 0 || ret == -EINPROGRESS)) {
		stream_connected(ch->ctx, ch->fd);
		lifecycle_named(ch->ctx, ch->fd, peer, len);
	}
	return ret;
}

ssize_t api_socket_recv(const struct fsock_channel *ch, void *buf, size_t len, int flags, fs_ns wait, bool *kernel)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct datagram d = { .iov = &iov, .n_iov = 1, .flags = flags };
	ssize_t n = ch->ctx ? stream_receive_within(ch->ctx, ch->fd, &d, wait) : CONTEXT_KERNEL;

	*kernel = n == CONTEXT_KERNEL;
	if (*kernel)
		return sys_recvfrom(ch->fd, buf, len, flags | MSG_DONTWAIT, NULL, NULL);
	return n == -EAGAIN && wait != 0 ? -ETIMEDOUT : n;
}

ssize_t api_socket_send(const struct fsock_channel *ch, const void *buf, size_t len, int flags, fs_ns wait, bool *kernel)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	struct datagram d = { .iov = &iov, .n_iov = 1, .flags = flags };
	ssize_t n = ch->ctx ? stream_send_within(ch->ctx, ch->fd, &d, wait) : CONTEXT_KERNEL;

	*kernel = n == CONTEXT_KERNEL;
	if (*kernel)
		return sys_sendto(ch->fd, buf, len, flags | MSG_DONTWAIT, NULL, 0);
	return n == -EAGAIN && wait != 0 ? -ETIMEDOUT : n;
}

int api_socket_shutdown(const struct fsock_channel *ch, int how)
{
	int ret = ch->ctx ? stream_shutdown(ch->ctx, ch->fd, how) : CONTEXT_KERNEL;

	return ret == CONTEXT_KERNEL ? sys_shutdown(ch->fd, how) : ret;
}

int api_socket_name(const struct fsock_channel *ch, bool peer, union fsock_addr *name)
{
	socklen_t len = sizeof(*name);
	int ret = ch->ctx ? stream_name(ch->ctx, ch->fd, peer, &name->sa, &len) : CONTEXT_KERNEL;

	if (ret != CONTEXT_KERNEL)
		return ret;
	return peer ? sys_getpeername(ch->fd, name, &len) : sys_getsockname(ch->fd, name, &len);
}

int api_socket_get(const struct fsock_channel *ch, int level, int name, void *value, socklen_t *len)
{
	int ret = ch->ctx ? stream_get_option(ch->ctx, ch->fd, level, name, value, len) : CONTEXT_KERNEL;

	return ret == CONTEXT_KERNEL ? sys_getsockopt(ch->fd, level, name, value, len) : ret;
}

int api_socket_ioctl(const struct fsock_channel *ch, unsigned long request)
{
	int ret = ch->ctx ? stream_ioctl(ch->ctx, ch->fd, request) : CONTEXT_KERNEL, n = 0;

	if (ret != CONTEXT_KERNEL)
		return ret;
	ret = sys_ioctl(ch->fd, request, &n);
	return ret < 0 ? ret : n;
}
