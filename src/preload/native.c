/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * native.c - the native interface, lent to libfsock.so where both are in a process: the program's plain
 * sockets and its channels then share one context (api/table.h).
 */
#include "api/host.h"
#include "api/table.h"
#include "preload/libc.h"
#include "preload/process.h"

int api_host_ppoll(struct pollfd *fds, unsigned long n, const struct timespec *limit, const void *mask)
{
	return LIBC(ppoll)(fds, n, limit, mask);
}

void api_host_started(void)
{
	preload_register_fork();
}

api_table_fn fsock_private_context_1;

FSOCK_EXPORT const struct api_table *fsock_private_context_1(void)
{
	return api_table_own();
}
