/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * by_syscall.h - included before everything else, it has a program make its calls through syscall(). P02
 *
 * Programs that read what a libc function makes of its arguments beyond the kernel's call are not built so.
 */
#ifndef FST_BY_SYSCALL_H
#define FST_BY_SYSCALL_H

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { KERNEL_SIGSET = 8 };

static inline int as_int(long ret)
{
	return (int)ret;
}

#define socket(domain, type, protocol) as_int(syscall(SYS_socket, domain, type, protocol))
#define bind(fd, name, len) as_int(syscall(SYS_bind, fd, name, len))
#define connect(fd, name, len) as_int(syscall(SYS_connect, fd, name, len))
#define listen(fd, backlog) syscall(SYS_listen, fd, backlog)
#define accept(fd, name, len) as_int(syscall(SYS_accept, fd, name, len))
#define accept4(fd, name, len, flags) as_int(syscall(SYS_accept4, fd, name, len, flags))
#define getsockname(fd, name, len) syscall(SYS_getsockname, fd, name, len)
#define getpeername(fd, name, len) syscall(SYS_getpeername, fd, name, len)
#define shutdown(fd, how) syscall(SYS_shutdown, fd, how)
#define setsockopt(fd, level, name, value, len) syscall(SYS_setsockopt, fd, level, name, value, len)
#define getsockopt(fd, level, name, value, len) syscall(SYS_getsockopt, fd, level, name, value, len)
#define send(fd, from, len, flags) syscall(SYS_sendto, fd, from, (size_t)(len), flags, NULL, 0L)
#define sendto(fd, from, len, flags, name, name_len) syscall(SYS_sendto, fd, from, (size_t)(len), flags, name, (long)(name_len))
#define sendmsg(fd, msg, flags) syscall(SYS_sendmsg, fd, msg, flags)
#define sendmmsg(fd, vec, n, flags) syscall(SYS_sendmmsg, fd, vec, n, flags)
#define write(fd, from, len) syscall(SYS_write, fd, from, (size_t)(len))
#define writev(fd, iov, n) syscall(SYS_writev, fd, iov, n)
#define pwritev2(fd, iov, n, at, flags) syscall(SYS_pwritev2, fd, iov, n, (long)(at), 0L, (long)(flags))
#define recv(fd, to, len, flags) syscall(SYS_recvfrom, fd, to, (size_t)(len), flags, NULL, NULL)
#define recvfrom(fd, to, len, flags, name, name_len) syscall(SYS_recvfrom, fd, to, (size_t)(len), flags, name, name_len)
#define recvmsg(fd, msg, flags) syscall(SYS_recvmsg, fd, msg, flags)
#define recvmmsg(fd, vec, n, flags, limit) syscall(SYS_recvmmsg, fd, vec, n, flags, limit)
#define read(fd, to, len) syscall(SYS_read, fd, to, (size_t)(len))
#define readv(fd, iov, n) syscall(SYS_readv, fd, iov, n)
#define preadv2(fd, iov, n, at, flags) syscall(SYS_preadv2, fd, iov, n, (long)(at), 0L, (long)(flags))
#define sendfile(out, in, at, n) syscall(SYS_sendfile, out, in, at, n)
#define splice(in, in_at, out, out_at, n, flags) syscall(SYS_splice, in, in_at, out, out_at, n, (long)(flags))
#define poll(...) as_int(syscall(SYS_poll, __VA_ARGS__)) /* of which one may be a literal with commas */
#define select(...) syscall(SYS_select, __VA_ARGS__)
#define epoll_ctl(epfd, op, fd, event) syscall(SYS_epoll_ctl, epfd, op, fd, event)
#define epoll_wait(epfd, events, n, ms) syscall(SYS_epoll_wait, epfd, events, n, ms)
#define epoll_pwait(epfd, events, n, ms, mask) syscall(SYS_epoll_pwait, epfd, events, n, ms, mask, (long)KERNEL_SIGSET)
#define epoll_pwait2(epfd, events, n, limit, mask) \
	syscall(SYS_epoll_pwait2, epfd, events, n, limit, mask, (long)KERNEL_SIGSET)
#define close(fd) syscall(SYS_close, fd)
#define close_range(first, last, flags) syscall(SYS_close_range, first, last, flags)
#define dup(fd) as_int(syscall(SYS_dup, fd))
#define dup2(from, to) as_int(syscall(SYS_dup2, from, to))
#define dup3(from, to, flags) as_int(syscall(SYS_dup3, from, to, flags))
#define fcntl(...) as_int(syscall(SYS_fcntl, __VA_ARGS__))
#define ioctl(...) syscall(SYS_ioctl, __VA_ARGS__)

/* These change the time that is left; libc's functions do not, and take constants. */
static inline long ppoll_raw(struct pollfd *fds, nfds_t n, const struct timespec *limit, const sigset_t *mask)
{
	struct timespec copy;

	if (limit)
		copy = *limit;
	return syscall(SYS_ppoll, fds, n, limit ? &copy : NULL, mask, (long)KERNEL_SIGSET);
}

static inline long pselect_raw(int n, fd_set *in, fd_set *out, fd_set *except, const struct timespec *limit,
			       const sigset_t *mask)
{
	struct {
		const sigset_t *mask;
		size_t size;
	} arg = { mask, KERNEL_SIGSET };
	struct timespec copy;

	if (limit)
		copy = *limit;
	return syscall(SYS_pselect6, n, in, out, except, limit ? &copy : NULL, &arg);
}

#define ppoll(...) ppoll_raw(__VA_ARGS__)
#define pselect(...) pselect_raw(__VA_ARGS__)

#endif
