/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * standalone.c - what the native interface needs where libfsock.so has a context of its own, with no
 * preloaded library in the process.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>

#include "api/host.h"
#include "base/barrier.h"
#include "context/lifecycle.h"
#include "context/process.h"

int api_host_ppoll(struct pollfd *fds, unsigned long n, const struct timespec *limit, const void *mask)
{
	return ppoll(fds, n, limit, mask);
}

void api_host_started(void)
{
	static unsigned registered;
	unsigned no = 0;

	fsock_context->helper.follows = true; /* this library is in nobody's place */
	if (fs_compare_exchange(&registered, &no, 1u))
		pthread_atfork(process_before_fork, process_parent_after_fork, process_child_after_fork);
}

__attribute__((destructor)) static void at_exit(void)
{
	if (fsock_context)
		lifecycle_exit(fsock_context);
}
