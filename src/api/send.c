/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * send.c - sending: by the fast path where it goes there, else by the shadow.
 */
#include <errno.h>

#include "api/api_internal.h"
#include "api/table.h"
#include "context/datagram.h"
#include "sys/sys.h"

static socklen_t addr_len(const union fsock_addr *addr)
{
	return addr->sa.sa_family == AF_INET6 ? sizeof(addr->in6) : sizeof(addr->in);
}

static ssize_t send_one(struct fsock_channel *ch, const struct datagram *d)
{
	const struct iovec *iov = d->iov;
	ssize_t n = ch->ctx ? datagram_send(ch->ctx, ch->fd, d) : DATAGRAM_KERNEL;

	if (n != DATAGRAM_KERNEL)
		return n;
	if (d->stamp)
		*d->stamp = host_clock_wall();
	n = sys_sendto(ch->fd, iov->iov_base, iov->iov_len, d->flags, d->name, d->name_len);
	if (n >= 0 && ch->ctx)
		datagram_sent_by_kernel(ch->ctx, ch->fd, n, d);
	return n;
}

ssize_t api_send(struct fsock_channel *ch, unsigned flags, const void *buf, size_t len,
		 struct fsock_txinfo *info)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	struct datagram d = {
		.iov = &iov, .n_iov = 1, .flags = flags & FSOCK_SEND_NONBLOCK ? MSG_DONTWAIT : 0
	};
	unsigned wanted = info ? info->valid : 0;
	fs_ns stamp = 0;
	ssize_t n;

	if (ch && ch->kind != API_DATAGRAM)
		return api_stream_send(ch, flags, buf, len, info);
	if (!ch || (!buf && len) || (flags & ~(unsigned)FSOCK_SEND_NONBLOCK) ||
	    (wanted & ~(unsigned)(FSOCK_TXINFO_DESTINATION | FSOCK_TXINFO_SOFTWARE)))
		return -EINVAL;
	if (wanted & FSOCK_TXINFO_DESTINATION) {
		d.name = &info->destination;
		d.name_len = addr_len(&info->destination);
	}
	if (wanted & FSOCK_TXINFO_SOFTWARE)
		d.stamp = &stamp;
	n = send_one(ch, &d);
	if (n >= 0 && (wanted & FSOCK_TXINFO_SOFTWARE))
		info->software = (uint64_t)stamp;
	return n;
}
