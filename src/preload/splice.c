/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * splice.c - bytes that never pass through the program: sendfile() and splice().
 *
 * tee() and vmsplice() have no socket at either end, copy_file_range() has none either.
 */
#include "context/sister.h"
#include "context/stream.h"
#include "preload/libc.h"

FSOCK_EXPORT ssize_t sendfile(int out, int in, off_t *offset, size_t count)
{
	ssize_t ret = stream_send_file(context_of(fsock_context, out), out, in, offset, count);

	return ret == CONTEXT_KERNEL ? LIBC(sendfile)(out, in, offset, count) : libc_result(ret);
}

/* off64_t is off_t on 64-bit machines; programs built for large files use this name. */
FSOCK_EXPORT ssize_t sendfile64(int out, int in, off64_t *offset, size_t count) __attribute__((alias("sendfile")));

/* Flags that the kernel refuses, and offsets, which neither pipes nor sockets have, are libc's to refuse. */
FSOCK_EXPORT ssize_t splice(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t len, unsigned flags)
{
	const unsigned known = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT;
	struct context *to = context_of(fsock_context, out), *from = context_of(fsock_context, in);
	ssize_t ret = CONTEXT_KERNEL;

	if (in_offset || out_offset || (flags & ~known))
		return LIBC(splice)(in, in_offset, out, out_offset, len, flags);
	if (stream_is(to, out))
		ret = stream_from_pipe(to, out, in, len, flags);
	else if (stream_is(from, in))
		ret = stream_to_pipe(from, in, out, len, flags);
	return ret == CONTEXT_KERNEL ? LIBC(splice)(in, in_offset, out, out_offset, len, flags) : libc_result(ret);
}
