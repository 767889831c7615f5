/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * epoll_calls.h - what the cases of epoll say to sets and hear from them, of datagrams and of streams.
 *
 * Include behind record.h or stream.h, which say() and CALL() are of.
 */
#ifndef FSOCK_TESTS_EPOLL_CALLS_H
#define FSOCK_TESTS_EPOLL_CALLS_H

#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>

static int add(int ep, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event e = { .events = events, .data.u64 = data };

	return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
}

static int mod(int ep, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event e = { .events = events, .data.u64 = data };

	return epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e);
}

static int by_data(const void *a, const void *b)
{
	const struct epoll_event *x = a, *y = b;

	return x->data.u64 < y->data.u64 ? -1 : x->data.u64 > y->data.u64;
}

/* One wait, its events in the order of their data: the order of arrival is nobody's promise. */
static int wait_for(int ep, int max, int timeout)
{
	struct epoll_event e[64];
	int i, n;

	n = (int)CALL(epoll_wait(ep, e, max, timeout));
	if (n > 0)
		qsort(e, (size_t)n, sizeof(e[0]), by_data);
	for (i = 0; i < n; i++)
		say("  %#x data %#llx", e[i].events, (unsigned long long)e[i].data.u64);
	return n;
}

#endif
