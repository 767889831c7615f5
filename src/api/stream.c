/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream.c - bytes in and out of connections: the engine's by context/bare.h, others by their sockets.
 */
#include <errno.h>
#include <string.h>

#include "api/api_internal.h"
#include "sys/sys.h"

/* What is told of @n bytes. */
static void describe(struct fsock_rxinfo *info, uint32_t n, bool kernel)
{
	memset(info, 0, sizeof(*info));
	info->flags = kernel ? FSOCK_RX_KERNEL : 0;
	info->length = n;
}

static int not_connected(const struct fsock_channel *ch)
{
	return ch->kind == API_FRESH || ch->kind == API_LISTENER;
}

/* --- by a socket --- */

static ssize_t receive_socket(const struct fsock_channel *ch, void *buf, size_t len, bool peek, fs_ns wait,
			      bool *kernel)
{
	fs_ns deadline = 0; /* to read the clock takes as long as a message over a link */
	ssize_t n;

	*kernel = true;
	if (len == 0)
		return 0;
	while ((n = api_socket_recv(ch, buf, len, peek ? MSG_PEEK : 0, wait, kernel)) == -EAGAIN && wait != 0) {
		deadline = deadline ? deadline : api_deadline(wait);
		n = api_socket_wait(ch, POLLIN, deadline);
		if (n < 0)
			break;
	}
	return n;
}

/* By whatever carries it. @kernel: that was the kernel's socket. */
static ssize_t receive(struct fsock_channel *ch, void *buf, size_t len, bool peek, fs_ns wait, bool *kernel)
{
	*kernel = false;
	return api_kind(ch) == API_KERNEL ? receive_socket(ch, buf, len, peek, wait, kernel) :
					    bare_receive(ch->ctx, &ch->bare, buf, len, peek ? TCP_RECV_PEEK : 0, wait);
}

/* The next bytes in a buffer of ours, lent. */
static ssize_t lend_buffer(struct fsock_channel *ch, struct iovec *part, struct fsock_rxinfo *info, fs_ns wait)
{
	struct api_buffer *buffer;
	bool kernel;
	ssize_t n;

	if (fs_load_relaxed(&ch->n_lent) >= ch->ep->hold_max)
		return -ENOBUFS;
	buffer = api_buffer_get(ch);
	if (!buffer)
		return -ENOMEM;
	n = receive(ch, buffer->data, sizeof(buffer->data), false, wait, &kernel);
	describe(info, n > 0 ? (uint32_t)n : 0, kernel);
	if (n <= 0) {
		api_buffer_put(ch, buffer);
		return n;
	}
	*part = (struct iovec){ .iov_base = buffer->data, .iov_len = (size_t)n };
	info->parts = 1;
	info->held = (uintptr_t)buffer | API_HELD_BUFFER;
	api_buffer_lend(ch, buffer);
	return n;
}

static ssize_t send_socket(struct fsock_channel *ch, const void *buf, size_t len, bool more, fs_ns wait)
{
	fs_ns deadline = 0;
	bool wanted = ch->wants_out, kernel;
	size_t done = 0;
	ssize_t n;

	do {
		n = api_socket_send(ch, (const uint8_t *)buf + done, len - done, MSG_NOSIGNAL | (more ? MSG_MORE : 0), wait,
				    &kernel);
		if (n > 0)
			done += (size_t)n;
		if (n == -EAGAIN && wait != 0) {
			deadline = deadline ? deadline : api_deadline(wait);
			n = api_socket_wait(ch, POLLOUT, deadline);
		}
	} while (n >= 0 && done < len && kernel);
	ch->wants_out = done < len && (n == -EAGAIN || n == -ETIMEDOUT || !kernel);
	if (ch->wants_out != wanted)
		api_group_refresh(ch);
	return done || n >= 0 ? (ssize_t)done : n;
}

/* --- receiving --- */

/* Where pieces of the engine's go, of which @room parts each. */
struct places {
	struct fsock_datagram *datagrams; /* a batch; or NULL: one, to */
	struct iovec *parts;
	struct fsock_rxinfo *info;
};

static void give(void *arg, unsigned i, struct fbuf *piece)
{
	struct places *to = arg;
	struct fsock_rxinfo *info = to->datagrams ? &to->datagrams[i].info : to->info;
	struct iovec *at = to->datagrams ? to->datagrams[i].part : to->parts;

	describe(info, piece->total, false);
	info->held = (uintptr_t)piece;
	for (const struct fbuf *part = piece; part; part = part->next)
		if (part->len || part == piece)
			at[info->parts++] = (struct iovec){ .iov_base = part->data, .iov_len = part->len };
}

static ssize_t recv_in_place(struct fsock_channel *ch, struct iovec *parts, unsigned n, struct fsock_rxinfo *info, fs_ns wait)
{
	struct places to = { .parts = parts, .info = info };
	int ret;

	describe(info, 0, false);
	if (api_lends_buffers(ch))
		return lend_buffer(ch, parts, info, wait);
	ret = bare_lend(ch->ctx, &ch->bare, 1, n, ch->ep->hold_max, wait, give, &to);
	return ret > 0 ? (ssize_t)info->length : ret;
}

static ssize_t recv_copied(struct fsock_channel *ch, void *buf, size_t len, bool peek, struct fsock_rxinfo *info, fs_ns wait)
{
	bool kernel;
	ssize_t n = receive(ch, buf, len, peek, wait, &kernel);

	if (info && n >= 0)
		describe(info, (uint32_t)n, kernel);
	return n;
}

ssize_t api_stream_recv(struct fsock_channel *ch, unsigned flags, void *buf, size_t len, struct fsock_rxinfo *info)
{
	fs_ns wait = api_patience(&ch->rx_timeout, flags & FSOCK_RECV_NONBLOCK);
	unsigned parts = (unsigned)FS_MIN(len / sizeof(struct iovec), (size_t)UINT16_MAX);
	int saved = errno;
	ssize_t n;

	if (not_connected(ch))
		return -ENOTCONN;
	len = FS_MIN(len, (size_t)INT32_MAX);
	do
		n = flags & FSOCK_RECV_INPLACE ? recv_in_place(ch, buf, parts, info, wait) :
						 recv_copied(ch, buf, len, flags & FSOCK_RECV_PEEK, info, wait);
	while (n == CONTEXT_KERNEL);
	errno = saved;
	return n;
}

static int batch_once(struct fsock_channel *ch, struct fsock_datagram *datagrams, unsigned n, fs_ns wait)
{
	struct places to = { .datagrams = datagrams };
	ssize_t got;

	if (!api_lends_buffers(ch))
		return bare_lend(ch->ctx, &ch->bare, n, FSOCK_PARTS_MAX, ch->ep->hold_max, wait, give, &to);
	got = lend_buffer(ch, datagrams->part, &datagrams->info, wait);
	return got > 0 ? 1 : (int)got;
}

int api_stream_recv_batch(struct fsock_channel *ch, unsigned flags, struct fsock_datagram *datagrams, unsigned n)
{
	fs_ns wait = api_patience(&ch->rx_timeout, flags & FSOCK_RECV_NONBLOCK);
	int saved = errno, ret;

	if (not_connected(ch))
		return -ENOTCONN;
	do
		ret = batch_once(ch, datagrams, n, wait);
	while (ret == CONTEXT_KERNEL);
	errno = saved;
	return ret;
}

int api_stream_release(struct fsock_channel *ch, struct fsock_rxinfo *info)
{
	struct fbuf *piece = (void *)(uintptr_t)info->held;

	info->held = 0;
	if (!piece)
		return 0;
	if (api_kind(ch) == API_FAST && !ch->bare.by_link)
		return bare_release(ch->ctx, &ch->bare, &piece, 1);
	if (!api_lends_buffers(ch) || !((uintptr_t)piece & API_HELD_BUFFER))
		return -EINVAL;
	return api_buffer_return(ch, (void *)((uintptr_t)piece & ~(uintptr_t)API_HELD_BUFFER));
}

/* --- sending --- */

ssize_t api_stream_send(struct fsock_channel *ch, unsigned flags, const void *buf, size_t len,
			const struct fsock_txinfo *info)
{
	fs_ns wait = api_patience(&ch->tx_timeout, flags & FSOCK_SEND_NONBLOCK);
	bool more = flags & FSOCK_SEND_MORE, by_socket;
	int saved = errno;
	size_t done = 0;
	ssize_t n;

	if ((!buf && len) || (flags & ~(unsigned)(FSOCK_SEND_NONBLOCK | FSOCK_SEND_MORE)) || (info && info->valid))
		return -EINVAL;
	if (not_connected(ch))
		return -ENOTCONN;
	len = FS_MIN(len, (size_t)INT32_MAX);
	/* Where it moves meanwhile, the rest goes by the kernel. */
	do {
		const uint8_t *rest = (const uint8_t *)buf + done;

		by_socket = api_kind(ch) == API_KERNEL;
		n = by_socket ? send_socket(ch, rest, len - done, more, wait) :
				bare_send(ch->ctx, &ch->bare, rest, len - done, more ? TCP_SEND_MORE : 0, wait);
		if (n > 0)
			done += (size_t)n;
	} while (!by_socket && (n == CONTEXT_KERNEL || (done && done < len)) && api_kind(ch) == API_KERNEL);
	errno = saved;
	return done ? (ssize_t)done : n;
}
