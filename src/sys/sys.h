/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sys.h - raw system calls, inline, past libc.
 *
 * The preloaded library interposes libc's socket(), read(), close() and the rest, so its own rooms must
 * not call those symbols: they would come back to it. Here each call is an instruction in the caller.
 *
 * Does:     sys_call0() .. sys_call6(), and one typed wrapper per call in use.
 * Does not: touch errno, restart after a signal, act as a cancellation point.
 * Threads:  any; async-signal-safe.
 * Errors:   a count, a descriptor or 0; -errno on failure. sys_mmap() too: test with sys_is_err().
 *
 * Append a wrapper when a room needs one; arguments in the kernel's order, kernel structs where libc's
 * differ (sigset is 8 bytes, timespec is 64-bit on both architectures).
 */
#ifndef FSOCK_SYS_SYS_H
#define FSOCK_SYS_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

enum {
	SYS_SIGSET_BYTES = 8, /* what the kernel calls sizeof(sigset_t) */
};

union bpf_attr;
struct epoll_event;
struct statfs;

/* inline definitions */

static inline long sys_call6(long nr, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc #0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory", "cc");
	return x0;
#else
#error "fsock knows the system call convention of x86_64 and aarch64 only"
#endif
}

/*
 * Fewer arguments: the rest are zero. A register load more than necessary costs nothing beside the
 * call itself, and one copy of the instruction sequence is one place to get right.
 */
static inline long sys_call0(long nr)
{
	return sys_call6(nr, 0, 0, 0, 0, 0, 0);
}

static inline long sys_call1(long nr, long a)
{
	return sys_call6(nr, a, 0, 0, 0, 0, 0);
}

static inline long sys_call2(long nr, long a, long b)
{
	return sys_call6(nr, a, b, 0, 0, 0, 0);
}

static inline long sys_call3(long nr, long a, long b, long c)
{
	return sys_call6(nr, a, b, c, 0, 0, 0);
}

static inline long sys_call4(long nr, long a, long b, long c, long d)
{
	return sys_call6(nr, a, b, c, d, 0, 0);
}

static inline long sys_call5(long nr, long a, long b, long c, long d, long e)
{
	return sys_call6(nr, a, b, c, d, e, 0);
}

/* --- descriptors --- */

static inline int sys_close(int fd)
{
	return (int)sys_call1(__NR_close, fd);
}

static inline int sys_close_range(unsigned first, unsigned last, unsigned flags)
{
	return (int)sys_call3(__NR_close_range, (long)first, (long)last, (long)flags);
}

static inline int sys_fcntl(int fd, int cmd, long arg)
{
	return (int)sys_call3(__NR_fcntl, fd, cmd, arg);
}

static inline int sys_dup3(int fd, int to, int flags)
{
	return (int)sys_call3(__NR_dup3, fd, to, flags);
}

static inline int sys_ioctl(int fd, unsigned long request, void *arg)
{
	return (int)sys_call3(__NR_ioctl, fd, (long)request, (long)arg);
}

static inline ssize_t sys_read(int fd, void *to, size_t len)
{
	return sys_call3(__NR_read, fd, (long)to, (long)len);
}

static inline ssize_t sys_write(int fd, const void *from, size_t len)
{
	return sys_call3(__NR_write, fd, (long)from, (long)len);
}

static inline ssize_t sys_pread(int fd, void *to, size_t len, int64_t at)
{
	return sys_call4(__NR_pread64, fd, (long)to, (long)len, (long)at);
}

struct iovec;

/* @at -1: at the descriptor's position, which moves. @flags: RWF_NOWAIT ... */
static inline ssize_t sys_preadv2(int fd, const struct iovec *iov, int n, int64_t at, int flags)
{
	return sys_call6(__NR_preadv2, fd, (long)iov, n, (long)at, 0, flags);
}

static inline ssize_t sys_pwritev2(int fd, const struct iovec *iov, int n, int64_t at, int flags)
{
	return sys_call6(__NR_pwritev2, fd, (long)iov, n, (long)at, 0, flags);
}

static inline int64_t sys_lseek(int fd, int64_t at, int whence)
{
	return sys_call3(__NR_lseek, fd, (long)at, whence);
}

static inline int sys_openat(int dir, const char *path, int flags, unsigned mode)
{
	return (int)sys_call4(__NR_openat, dir, (long)path, flags, (long)mode);
}

static inline int sys_readlinkat(int dir, const char *path, char *to, size_t len)
{
	return (int)sys_call4(__NR_readlinkat, dir, (long)path, (long)to, (long)len);
}

static inline int sys_ftruncate(int fd, int64_t len)
{
	return (int)sys_call2(__NR_ftruncate, fd, (long)len);
}

static inline int sys_fstat(int fd, struct stat *st)
{
	return (int)sys_call2(__NR_fstat, fd, (long)st);
}

static inline int sys_fstatat(int dir, const char *path, struct stat *st, int flags)
{
	return (int)sys_call4(__NR_newfstatat, dir, (long)path, (long)st, flags);
}

#ifndef __NR_faccessat2
#define __NR_faccessat2 439 /* Linux 5.8 */
#endif

static inline int sys_faccessat2(int dir, const char *path, int mode, int flags)
{
	return (int)sys_call4(__NR_faccessat2, dir, (long)path, mode, flags);
}

static inline int sys_unlinkat(int dir, const char *path, int flags)
{
	return (int)sys_call3(__NR_unlinkat, dir, (long)path, flags);
}

static inline int sys_flock(int fd, int operation)
{
	return (int)sys_call2(__NR_flock, fd, operation);
}

/* Records of struct dirent64. Returns their bytes; 0 = the end. */
static inline ssize_t sys_getdents64(int fd, void *to, size_t len)
{
	return sys_call3(__NR_getdents64, fd, (long)to, (long)len);
}

static inline int sys_fstatfs(int fd, struct statfs *fs)
{
	return (int)sys_call2(__NR_fstatfs, fd, (long)fs);
}

static inline int sys_memfd_create(const char *name, unsigned flags)
{
	return (int)sys_call2(__NR_memfd_create, (long)name, (long)flags);
}

static inline int sys_eventfd(unsigned count, int flags)
{
	return (int)sys_call2(__NR_eventfd2, (long)count, flags);
}

/*
 * Move @fd to the lowest free number at or above @floor, close-on-exec, and close @fd. Programs count
 * on low numbers being theirs. On failure @fd is closed too, so the caller has one descriptor or none.
 * Negative @fd is returned as it is, so that the call can wrap the one that made the descriptor.
 * -EMFILE also when the floor lies above the limit of descriptors (the kernel says EINVAL).
 */
static inline int sys_fd_raise(int fd, int floor)
{
	int high;

	if (fd < 0 || fd >= floor)
		return fd;
	high = sys_fcntl(fd, F_DUPFD_CLOEXEC, floor);
	sys_close(fd);
	return high == -EINVAL ? -EMFILE : high;
}

/* --- memory --- */

/* True for a value that sys_mmap() or any raw call returned for failure; (int)(long)p is -errno then. */
static inline bool sys_is_err(const void *p)
{
	return (unsigned long)p >= (unsigned long)-4095L;
}

static inline void *sys_mmap(void *at, size_t len, int prot, int flags, int fd, int64_t offset)
{
	return (void *)sys_call6(__NR_mmap, (long)at, (long)len, prot, flags, fd, (long)offset);
}

static inline int sys_munmap(void *at, size_t len)
{
	return (int)sys_call2(__NR_munmap, (long)at, (long)len);
}

static inline int sys_madvise(void *at, size_t len, int advice)
{
	return (int)sys_call3(__NR_madvise, (long)at, (long)len, advice);
}

static inline int sys_mprotect(void *at, size_t len, int prot)
{
	return (int)sys_call3(__NR_mprotect, (long)at, (long)len, prot);
}

/* --- sockets --- */

static inline int sys_socket(int family, int type, int protocol)
{
	return (int)sys_call3(__NR_socket, family, type, protocol);
}

static inline int sys_socketpair(int family, int type, int protocol, int fd[2])
{
	return (int)sys_call4(__NR_socketpair, family, type, protocol, (long)fd);
}

static inline int sys_bind(int fd, const void *addr, socklen_t len)
{
	return (int)sys_call3(__NR_bind, fd, (long)addr, (long)len);
}

static inline int sys_connect(int fd, const void *addr, socklen_t len)
{
	return (int)sys_call3(__NR_connect, fd, (long)addr, (long)len);
}

static inline int sys_listen(int fd, int backlog)
{
	return (int)sys_call2(__NR_listen, fd, backlog);
}

static inline int sys_accept4(int fd, void *addr, socklen_t *len, int flags)
{
	return (int)sys_call4(__NR_accept4, fd, (long)addr, (long)len, flags);
}

static inline int sys_shutdown(int fd, int how)
{
	return (int)sys_call2(__NR_shutdown, fd, how);
}

static inline int sys_getsockname(int fd, void *addr, socklen_t *len)
{
	return (int)sys_call3(__NR_getsockname, fd, (long)addr, (long)len);
}

static inline int sys_getpeername(int fd, void *addr, socklen_t *len)
{
	return (int)sys_call3(__NR_getpeername, fd, (long)addr, (long)len);
}

static inline int sys_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	return (int)sys_call5(__NR_getsockopt, fd, level, name, (long)value, (long)len);
}

static inline int sys_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	return (int)sys_call5(__NR_setsockopt, fd, level, name, (long)value, (long)len);
}

static inline ssize_t sys_sendto(int fd, const void *from, size_t len, int flags, const void *addr,
				 socklen_t addr_len)
{
	return sys_call6(__NR_sendto, fd, (long)from, (long)len, flags, (long)addr, (long)addr_len);
}

static inline ssize_t sys_recvfrom(int fd, void *to, size_t len, int flags, void *addr,
				   socklen_t *addr_len)
{
	return sys_call6(__NR_recvfrom, fd, (long)to, (long)len, flags, (long)addr, (long)addr_len);
}

static inline ssize_t sys_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	return sys_call3(__NR_sendmsg, fd, (long)msg, flags);
}

static inline int sys_sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
	return (int)sys_call4(__NR_sendmmsg, fd, (long)msgs, n, flags);
}

static inline ssize_t sys_recvmsg(int fd, struct msghdr *msg, int flags)
{
	return sys_call3(__NR_recvmsg, fd, (long)msg, flags);
}

/* --- waiting and time --- */

/* @mask: kernel signal set of SYS_SIGSET_BYTES, NULL = unchanged. @limit may be modified. */
static inline int sys_ppoll(struct pollfd *fds, unsigned n, struct timespec *limit, const void *mask)
{
	return (int)sys_call5(__NR_ppoll, (long)fds, (long)n, (long)limit, (long)mask, SYS_SIGSET_BYTES);
}

static inline int sys_epoll_create1(int flags)
{
	return (int)sys_call1(__NR_epoll_create1, flags);
}

static inline int sys_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	return (int)sys_call4(__NR_epoll_ctl, epfd, op, fd, (long)event);
}

/* @timeout in ms, -1 = no limit. @mask as for sys_ppoll(). */
static inline int sys_epoll_pwait(int epfd, struct epoll_event *events, int n, int timeout,
				  const void *mask)
{
	return (int)sys_call6(__NR_epoll_pwait, epfd, (long)events, n, timeout, (long)mask,
			      SYS_SIGSET_BYTES);
}

static inline int sys_nanosleep(const struct timespec *time)
{
	return (int)sys_call2(__NR_nanosleep, (long)time, 0);
}

/* The vDSO's form is faster; this one is for slow paths. */
static inline int sys_clock_gettime(int clock, struct timespec *time)
{
	return (int)sys_call2(__NR_clock_gettime, clock, (long)time);
}

static inline long sys_futex(uint32_t *word, int op, uint32_t value, const struct timespec *limit,
			     uint32_t *word2, uint32_t value3)
{
	return sys_call6(__NR_futex, (long)word, op, (long)value, (long)limit, (long)word2, (long)value3);
}

/* --- processes --- */

static inline int sys_getpid(void)
{
	return (int)sys_call0(__NR_getpid);
}

static inline int sys_gettid(void)
{
	return (int)sys_call0(__NR_gettid);
}

/* The CPU this runs on, or -errno. */
static inline int sys_getcpu(void)
{
	unsigned cpu;
	long ret = sys_call3(__NR_getcpu, (long)&cpu, 0, 0);

	return ret < 0 ? (int)ret : (int)cpu;
}

/* With @sig 0 only asks whether the process exists: 0, -ESRCH, -EPERM (it does). */
static inline int sys_sigaltstack(const void *set, void *old)
{
	return (int)sys_call2(__NR_sigaltstack, (long)set, (long)old);
}

static inline int sys_kill(int pid, int sig)
{
	return (int)sys_call2(__NR_kill, pid, sig);
}

static inline int sys_tgkill(int pid, int tid, int sig)
{
	return (int)sys_call3(__NR_tgkill, pid, tid, sig);
}

static inline int sys_pidfd_open(int pid, unsigned flags)
{
	return (int)sys_call2(__NR_pidfd_open, pid, (long)flags);
}

static inline int sys_pidfd_getfd(int pidfd, int fd, unsigned flags)
{
	return (int)sys_call3(__NR_pidfd_getfd, pidfd, fd, (long)flags);
}

static inline ssize_t sys_getrandom(void *to, size_t len, unsigned flags)
{
	return sys_call3(__NR_getrandom, (long)to, (long)len, (long)flags);
}

/* --- bpf --- */

static inline int sys_bpf(int cmd, union bpf_attr *attr, unsigned len)
{
	return (int)sys_call3(__NR_bpf, cmd, (long)attr, (long)len);
}

#endif
