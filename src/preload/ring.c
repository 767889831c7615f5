/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ring.c - io_uring: what a ring's requests name, the kernel looks up itself (posix-surface P03). A process that has
 * one leaves its sockets to the kernel, those to come, too.
 *
 * Requests are not looked at: a ring with a polling thread hands them over without a call. A ring made past syscall(),
 * by a library with instructions of its own, goes unseen.
 */
#include "preload/ring.h"

#include "base/reason.h"
#include "context/lifecycle.h"
#include "sys/sys.h"

static bool rings; /* kept by fork(), as rings are */

void preload_ring_made(void)
{
	int saved = errno;

	fs_store_relaxed(&rings, true);
	for (int fd = 0; fsock_context && fd <= fsock_context->fds.highest; fd++)
		preload_ring_opened(fd);
	errno = saved;
}

void preload_ring_opened(int fd)
{
	struct context *ctx = fsock_context;

	if (fs_load_relaxed(&rings) && ctx && fd_kind_is_sock(fd_kind_of(&ctx->fds, fd)) && !context_is_borrowed(ctx))
		lifecycle_to_kernel(ctx, fd, FS_REASON_io_uring, NULL);
}
