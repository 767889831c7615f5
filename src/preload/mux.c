/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mux.c - poll, select and epoll.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "context/multiplex.h"
#include "host/clock.h"
#include "host/mem.h"
#include "preload/libc.h"
#include "sys/sys.h"

static fs_ns from_ms(int ms)
{
	return ms < 0 ? -1 : FS_MS(ms);
}

static bool valid(const struct timespec *t)
{
	return t->tv_sec >= 0 && t->tv_nsec >= 0 && t->tv_nsec < FS_SEC(1);
}

static fs_ns from_timespec(const struct timespec *t)
{
	if (!t)
		return -1;
	return fs_span(t->tv_sec, t->tv_nsec);
}

/* --- poll --- */

FSOCK_EXPORT int poll(struct pollfd *fds, nfds_t n, int ms)
{
	int ret = multiplex_poll(fsock_context, fds, n, from_ms(ms), NULL);

	return ret == MULTIPLEX_KERNEL ? LIBC(poll)(fds, n, ms) : (int)libc_result(ret);
}

FSOCK_EXPORT int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *limit, const sigset_t *mask)
{
	signal_set set = mask ? signal_set_from(mask) : 0;
	int ret = MULTIPLEX_KERNEL;

	if (!limit || valid(limit))
		ret = multiplex_poll(fsock_context, fds, n, from_timespec(limit), mask ? &set : NULL);
	return ret == MULTIPLEX_KERNEL ? LIBC(ppoll)(fds, n, limit, mask) : (int)libc_result(ret);
}

FSOCK_EXPORT int __poll_chk(struct pollfd *fds, nfds_t n, int ms, size_t room)
{
	if (room / sizeof(*fds) < n)
		return LIBC(__poll_chk)(fds, n, ms, room);
	return poll(fds, n, ms);
}

FSOCK_EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *limit,
			     const sigset_t *mask, size_t room)
{
	if (room / sizeof(*fds) < n)
		return LIBC(__ppoll_chk)(fds, n, limit, mask, room);
	return ppoll(fds, n, limit, mask);
}

/* --- select --- */

enum { WORD_BITS = 64 };

/* Sets are bit strings as long as the program says, FD_SETSIZE or not. */
static bool has(const fd_set *set, int fd)
{
	return set && ((const uint64_t *)set)[fd / WORD_BITS] >> (fd % WORD_BITS) & 1;
}

static void put(fd_set *set, int fd, bool on)
{
	uint64_t bit = 1ULL << (fd % WORD_BITS);

	if (on)
		((uint64_t *)set)[fd / WORD_BITS] |= bit;
	else
		((uint64_t *)set)[fd / WORD_BITS] &= ~bit;
}

struct select_call {
	int n;
	fd_set *in, *out, *except;
};

static short wanted(const struct select_call *c, int fd)
{
	return (short)((has(c->in, fd) ? POLLIN | POLLRDNORM | POLLRDBAND : 0) |
		       (has(c->out, fd) ? POLLOUT | POLLWRNORM | POLLWRBAND : 0) |
		       (has(c->except, fd) ? POLLPRI : 0));
}

/*
 * How many bits of the sets count: the kernel stops at the end of its descriptor table, so programs may
 * say a number beyond the end of their sets.
 */
static int clamp(int n)
{
	char text[2048];
	int fd, size = FD_SETSIZE;
	const char *at;
	long len;

	if (n <= FD_SETSIZE)
		return n;
	fd = sys_openat(AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC, 0);
	len = fd < 0 ? 0 : sys_read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		sys_close(fd);
	text[len > 0 ? len : 0] = '\0';
	at = strstr(text, "FDSize:");
	if (at)
		size = (int)strtol(at + strlen("FDSize:"), NULL, 10);
	return FS_MIN(n, size);
}

/* Members of the three sets; whether one of them is ours. */
static unsigned count(const struct select_call *c, bool *concerned)
{
	unsigned members = 0;

	*concerned = false;
	for (int fd = 0; fd < c->n; fd++) {
		if (!wanted(c, fd))
			continue;
		members++;
		*concerned |= multiplex_concerns(fsock_context, fd);
	}
	return members;
}

/* What poll found, in the terms of select (the kernel's fs/select.c). Returns bits set. */
static int report(const struct select_call *c, const struct pollfd *fds, unsigned n)
{
	int bits = 0;

	for (unsigned i = 0; i < n; i++) {
		int fd = fds[i].fd;
		bool in = has(c->in, fd) &&
			  (fds[i].revents & (POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR));
		bool out = has(c->out, fd) && (fds[i].revents & (POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR));
		bool except = has(c->except, fd) && (fds[i].revents & POLLPRI);

		if (c->in)
			put(c->in, fd, in);
		if (c->out)
			put(c->out, fd, out);
		if (c->except)
			put(c->except, fd, except);
		bits += in + out + except;
	}
	return bits;
}

/* MULTIPLEX_KERNEL, bits, or -errno. Sets are changed on success only. */
static int select_run(const struct select_call *c, fs_ns limit, const signal_set *mask)
{
	bool concerned;
	unsigned members = 0, n = 0;
	struct pollfd *fds;
	int ret;

	if (multiplex_matters(fsock_context) && c->n > 0)
		members = count(c, &concerned);
	if (members == 0 || !concerned)
		return MULTIPLEX_KERNEL;
	fds = mem_private(members * sizeof(*fds));
	if (!fds)
		return -ENOMEM;
	for (int fd = 0; fd < c->n; fd++)
		if (wanted(c, fd))
			fds[n++] = (struct pollfd){ .fd = fd, .events = wanted(c, fd) };
	ret = multiplex_poll(fsock_context, fds, n, limit, mask);
	for (unsigned i = 0; ret > 0 && i < n; i++)
		if (fds[i].revents & POLLNVAL)
			ret = -EBADF;
	if (ret >= 0)
		ret = report(c, fds, n);
	sys_munmap(fds, members * sizeof(*fds));
	return ret;
}

/* More than a second's worth of microseconds is no error here. */
static fs_ns from_timeval(const struct timeval *t)
{
	enum { SECOND = 1000000 };

	return fs_span(FS_MIN((int64_t)t->tv_sec, FS_SPAN_MAX) + t->tv_usec / SECOND,
		       FS_US(t->tv_usec % SECOND));
}

FSOCK_EXPORT int select(int n, fd_set *in, fd_set *out, fd_set *except, struct timeval *limit)
{
	struct select_call c = { .n = fsock_context ? clamp(n) : n, .in = in, .out = out, .except = except };
	bool regular = !limit || (limit->tv_sec >= 0 && limit->tv_usec >= 0);
	fs_ns ns = limit && regular ? from_timeval(limit) : -1;
	fs_ns end = limit && fsock_context ? host_clock_kernel() + ns : 0, left;
	int ret = MULTIPLEX_KERNEL;

	if (regular)
		ret = select_run(&c, ns, NULL);
	if (ret == MULTIPLEX_KERNEL)
		return LIBC(select)(n, in, out, except, limit);
	if (limit) { /* Linux tells what was left */
		left = fs_left(end, host_clock_kernel());
		limit->tv_sec = left / FS_SEC(1);
		limit->tv_usec = left % FS_SEC(1) / FS_US(1);
	}
	return (int)libc_result(ret);
}

FSOCK_EXPORT int pselect(int n, fd_set *in, fd_set *out, fd_set *except, const struct timespec *limit,
			 const sigset_t *mask)
{
	struct select_call c = { .n = fsock_context ? clamp(n) : n, .in = in, .out = out, .except = except };
	signal_set set = mask ? signal_set_from(mask) : 0;
	int ret = MULTIPLEX_KERNEL;

	if (!limit || valid(limit))
		ret = select_run(&c, from_timespec(limit), mask ? &set : NULL);
	return ret == MULTIPLEX_KERNEL ? LIBC(pselect)(n, in, out, except, limit, mask)
				       : (int)libc_result(ret);
}

/* --- epoll --- */

/* Threads inside libc's waits, on any set: mux_waits is counted, not listed, because the waits begin
 * before there is a context to list them in. */
static unsigned mux_waits;

FSOCK_EXPORT int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	int ret = MULTIPLEX_KERNEL;

	if (fsock_context)
		ret = multiplex_ctl(fsock_context, epfd, op, fd, event, fs_load_relaxed(&mux_waits));
	return ret == MULTIPLEX_KERNEL ? LIBC(epoll_ctl)(epfd, op, fd, event) : (int)libc_result(ret);
}

/* A wait as all three functions make it. @libc: their own call for a set that is the kernel's alone. */
struct epoll_call {
	int epfd, max;
	struct epoll_event *events;
	fs_ns limit; /* -1 = none */
	const sigset_t *mask;
	const struct timespec *limit_given; /* epoll_pwait2() */
	int ms_given;
	int (*libc)(const struct epoll_call *c);
};

static int epoll_run(const struct epoll_call *c)
{
	signal_set set = c->mask ? signal_set_from(c->mask) : 0;
	fs_ns left = c->limit, end = FS_NEVER;
	int ret;

	for (;;) {
		ret = multiplex_wait(fsock_context, c->epfd, c->events, c->max, left, c->mask ? &set : NULL);
		if (ret != MULTIPLEX_KERNEL)
			return (int)libc_result(ret);
		if (left >= 0 && end == FS_NEVER && fsock_context)
			end = host_clock_kernel() + left;
		fs_fetch_add(&mux_waits, 1);
		ret = c->libc(c); /* a cancelled thread stays counted: one look too many, later */
		fs_fetch_sub(&mux_waits, 1);
		if (ret <= 0)
			return ret;
		ret = multiplex_adopt(fsock_context, c->epfd, c->events, ret);
		if (ret)
			return ret;
		/* Only our own event: the set has accelerated members since. */
		if (end != FS_NEVER)
			left = fs_left(end, host_clock_kernel());
	}
}

static int libc_epoll_wait(const struct epoll_call *c)
{
	return LIBC(epoll_wait)(c->epfd, c->events, c->max, c->ms_given);
}

static int libc_epoll_pwait(const struct epoll_call *c)
{
	return LIBC(epoll_pwait)(c->epfd, c->events, c->max, c->ms_given, c->mask);
}

static int libc_epoll_pwait2(const struct epoll_call *c)
{
	return LIBC(epoll_pwait2)(c->epfd, c->events, c->max, c->limit_given, c->mask);
}

FSOCK_EXPORT int epoll_wait(int epfd, struct epoll_event *events, int max, int ms)
{
	struct epoll_call c = {
		.epfd = epfd, .events = events, .max = max, .limit = from_ms(ms), .ms_given = ms,
		.libc = libc_epoll_wait,
	};

	return epoll_run(&c);
}

FSOCK_EXPORT int epoll_pwait(int epfd, struct epoll_event *events, int max, int ms, const sigset_t *mask)
{
	struct epoll_call c = {
		.epfd = epfd, .events = events, .max = max, .limit = from_ms(ms), .ms_given = ms,
		.mask = mask, .libc = libc_epoll_pwait,
	};

	return epoll_run(&c);
}

FSOCK_EXPORT int epoll_pwait2(int epfd, struct epoll_event *events, int max, const struct timespec *limit,
			      const sigset_t *mask)
{
	struct epoll_call c = {
		.epfd = epfd, .events = events, .max = max, .limit = from_timespec(limit),
		.limit_given = limit, .mask = mask, .libc = libc_epoll_pwait2,
	};

	if (limit && !valid(limit))
		return libc_epoll_pwait2(&c);
	return epoll_run(&c);
}
