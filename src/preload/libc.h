/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libc.h - libc's own versions of the functions this library takes the place of.
 *
 * LIBC(name) is the next definition after ours, found at first use by dlsym(RTLD_NEXT): no work at
 * start, nothing allocated, and another preloaded library behind us is honoured. It keeps what a raw
 * system call would lose: cancellation points, errno, whatever that library does.
 *
 * Threads: any; the first use may race with itself, both find the same address.
 */
#ifndef FSOCK_PRELOAD_LIBC_H
#define FSOCK_PRELOAD_LIBC_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/barrier.h"

/* Ours are the only exported symbols. */
#define FSOCK_EXPORT __attribute__((visibility("default")))

struct __user_cap_header_struct;
struct __user_cap_data_struct;

/* What headers declare only under _FORTIFY_SOURCE, or not at all. */
ssize_t __read_chk(int fd, void *to, size_t len, size_t room);
ssize_t __recv_chk(int fd, void *to, size_t len, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *to, size_t len, size_t room, int flags, struct sockaddr *name,
		       socklen_t *name_len);
int __poll_chk(struct pollfd *fds, nfds_t n, int ms, size_t room);
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *limit, const sigset_t *mask,
		size_t room);
int __dprintf_chk(int fd, int flag, const char *format, ...);
int __vdprintf_chk(int fd, int flag, const char *format, va_list args);
int __sendmmsg(int fd, struct mmsghdr *vec, unsigned n, int flags);
int pidfd_getfd(int pidfd, int fd, unsigned flags);
int capset(struct __user_cap_header_struct *header, const struct __user_cap_data_struct *data);

#define LIBC_SYMBOLS(SYM)                                                                          \
	SYM(int, socket, (int, int, int))                                                          \
	SYM(int, bind, (int, const struct sockaddr *, socklen_t))                                  \
	SYM(int, connect, (int, const struct sockaddr *, socklen_t))                               \
	SYM(int, listen, (int, int))                                                               \
	SYM(int, accept, (int, struct sockaddr *, socklen_t *))                                    \
	SYM(int, accept4, (int, struct sockaddr *, socklen_t *, int))                              \
	SYM(int, getsockname, (int, struct sockaddr *, socklen_t *))                               \
	SYM(int, getpeername, (int, struct sockaddr *, socklen_t *))                               \
	SYM(int, shutdown, (int, int))                                                             \
	SYM(int, setsockopt, (int, int, int, const void *, socklen_t))                             \
	SYM(int, getsockopt, (int, int, int, void *, socklen_t *))                                 \
	SYM(ssize_t, send, (int, const void *, size_t, int))                                       \
	SYM(ssize_t, sendto, (int, const void *, size_t, int, const struct sockaddr *, socklen_t)) \
	SYM(ssize_t, sendmsg, (int, const struct msghdr *, int))                                   \
	SYM(int, sendmmsg, (int, struct mmsghdr *, unsigned, int))                                 \
	SYM(ssize_t, write, (int, const void *, size_t))                                           \
	SYM(ssize_t, writev, (int, const struct iovec *, int))                                     \
	SYM(ssize_t, pwritev2, (int, const struct iovec *, int, off_t, int))                       \
	SYM(ssize_t, recv, (int, void *, size_t, int))                                             \
	SYM(ssize_t, recvfrom, (int, void *, size_t, int, struct sockaddr *, socklen_t *))         \
	SYM(ssize_t, recvmsg, (int, struct msghdr *, int))                                         \
	SYM(int, recvmmsg, (int, struct mmsghdr *, unsigned, int, struct timespec *))              \
	SYM(ssize_t, read, (int, void *, size_t))                                                  \
	SYM(ssize_t, readv, (int, const struct iovec *, int))                                      \
	SYM(ssize_t, preadv2, (int, const struct iovec *, int, off_t, int))                        \
	SYM(ssize_t, sendfile, (int, int, off_t *, size_t))                                        \
	SYM(ssize_t, splice, (int, off64_t *, int, off64_t *, size_t, unsigned))                   \
	SYM(ssize_t, __read_chk, (int, void *, size_t, size_t))                                    \
	SYM(ssize_t, __recv_chk, (int, void *, size_t, size_t, int))                               \
	SYM(ssize_t, __recvfrom_chk,                                                               \
	    (int, void *, size_t, size_t, int, struct sockaddr *, socklen_t *))                    \
	SYM(int, poll, (struct pollfd *, nfds_t, int))                                             \
	SYM(int, ppoll, (struct pollfd *, nfds_t, const struct timespec *, const sigset_t *))      \
	SYM(int, __poll_chk, (struct pollfd *, nfds_t, int, size_t))                               \
	SYM(int, __ppoll_chk,                                                                      \
	    (struct pollfd *, nfds_t, const struct timespec *, const sigset_t *, size_t))          \
	SYM(int, select, (int, fd_set *, fd_set *, fd_set *, struct timeval *))                    \
	SYM(int, pselect,                                                                          \
	    (int, fd_set *, fd_set *, fd_set *, const struct timespec *, const sigset_t *))        \
	SYM(int, epoll_ctl, (int, int, int, struct epoll_event *))                                 \
	SYM(int, epoll_wait, (int, struct epoll_event *, int, int))                                \
	SYM(int, epoll_pwait, (int, struct epoll_event *, int, int, const sigset_t *))             \
	SYM(int, epoll_pwait2,                                                                     \
	    (int, struct epoll_event *, int, const struct timespec *, const sigset_t *))           \
	SYM(int, close, (int))                                                                     \
	SYM(int, fclose, (FILE *))                                                                 \
	SYM(FILE *, freopen, (const char *, const char *, FILE *))                                 \
	SYM(FILE *, freopen64, (const char *, const char *, FILE *))                               \
	SYM(int, vdprintf, (int, const char *, va_list))                                           \
	SYM(int, __vdprintf_chk, (int, int, const char *, va_list))                                \
	SYM(FILE *, fdopen, (int, const char *))                                                   \
	SYM(int, dup, (int))                                                                       \
	SYM(int, dup2, (int, int))                                                                 \
	SYM(int, dup3, (int, int, int))                                                            \
	SYM(int, fcntl, (int, int, ...))                                                           \
	SYM(int, fcntl64, (int, int, ...))                                                         \
	SYM(int, ioctl, (int, unsigned long, ...))                                                 \
	SYM(int, sockatmark, (int))                                                                \
	SYM(int, close_range, (unsigned, unsigned, int))                                           \
	SYM(void, closefrom, (int))                                                                \
	SYM(int, setuid, (uid_t))                                                                  \
	SYM(int, setgid, (gid_t))                                                                  \
	SYM(int, seteuid, (uid_t))                                                                 \
	SYM(int, setegid, (gid_t))                                                                 \
	SYM(int, setreuid, (uid_t, uid_t))                                                         \
	SYM(int, setregid, (gid_t, gid_t))                                                         \
	SYM(int, setresuid, (uid_t, uid_t, uid_t))                                                 \
	SYM(int, setresgid, (gid_t, gid_t, gid_t))                                                 \
	SYM(int, setgroups, (size_t, const gid_t *))                                               \
	SYM(int, initgroups, (const char *, gid_t))                                                \
	SYM(int, prctl, (int, ...))                                                                \
	SYM(int, capset, (struct __user_cap_header_struct *, const struct __user_cap_data_struct *)) \
	SYM(int, unshare, (int))                                                                   \
	SYM(int, setns, (int, int))                                                                \
	SYM(pid_t, vfork, (void))                                                                  \
	SYM(int, clone, (int (*)(void *), void *, int, void *, ...))                               \
	SYM(int, execve, (const char *, char *const[], char *const[]))                             \
	SYM(int, execv, (const char *, char *const[]))                                             \
	SYM(int, execvp, (const char *, char *const[]))                                            \
	SYM(int, execvpe, (const char *, char *const[], char *const[]))                            \
	SYM(int, fexecve, (int, char *const[], char *const[]))                                     \
	SYM(int, execveat, (int, const char *, char *const[], char *const[], int))                 \
	SYM(int, daemon, (int, int))                                                               \
	SYM(void, _exit, (int))

/* One cached address per symbol; NULL = not looked up yet. */
struct libc_table {
#define SYM(ret, name, args) ret(*name) args;
	LIBC_SYMBOLS(SYM)
#undef SYM
};

extern struct libc_table libc_table;

/* Find @name behind us and store it in @slot. Does not return when libc lacks it. */
void *libc_find(const char *name, void **slot);

#define LIBC(name)                                                                                 \
	((__typeof__(libc_table.name))(fs_load_relaxed(&libc_table.name)                           \
					       ? (void *)fs_load_relaxed(&libc_table.name)         \
					       : libc_find(#name, (void **)&libc_table.name)))

/* inline definitions */

/* The end of every call of ours: errno is set here and nowhere else. */
static inline ssize_t libc_result(ssize_t ret)
{
	if (__builtin_expect(ret >= 0, 1))
		return ret;
	errno = (int)-ret;
	return -1;
}

#endif
