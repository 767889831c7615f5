/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * host.h - what the native interface needs of the library it is linked into.
 *
 * Two libraries carry it, the preload and libfsock.so, and each defines these: they differ in what libc's
 * functions are to them.
 */
#ifndef FSOCK_API_HOST_H
#define FSOCK_API_HOST_H

#include <poll.h>
#include <time.h>

/* ppoll() as libc has it, behind whatever interposes it; a context_ppoll_fn, @mask NULL. */
int api_host_ppoll(struct pollfd *fds, unsigned long n, const struct timespec *limit, const void *mask);

/* There is a context: see to it that it hears of fork(). Any thread, any number of times. */
void api_host_started(void);

#endif
