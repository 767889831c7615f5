/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trial.c - see trial.h.
 *
 * Filters decide by a call's number and the words it is given. Nearly all look at the number alone, so each call is
 * made with words that no kernel accepts; socket(), of which they look at the family, is made as a stack makes it.
 */
#include "host/trial.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/prctl.h>
#include <linux/wait.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>

#include "base/err.h"
#include "host/caps.h"
#include "host/netns.h"
#include "sys/sys.h"

enum { FAMILY_XDP = 44 };

/* Never valid together. Calls that would do something with them (fork, exit, kill, munmap) are not tried. */
static const long tried[] = {
	/* clang-format off */
	__NR_bpf, __NR_io_uring_setup, __NR_io_uring_enter, __NR_memfd_create, __NR_ftruncate, __NR_eventfd2,
	__NR_signalfd4, __NR_epoll_create1, __NR_epoll_ctl, __NR_epoll_pwait, __NR_epoll_pwait2, __NR_ppoll,
	__NR_pidfd_open, __NR_pidfd_getfd, __NR_process_vm_writev, __NR_kcmp, __NR_fsopen, __NR_fsconfig,
	__NR_fsmount, __NR_fstatfs, __NR_readlinkat, __NR_prlimit64, __NR_capget, __NR_capset,
	__NR_rt_sigaction, __NR_rt_sigprocmask, __NR_rt_sigpending, __NR_tgkill, __NR_sigaltstack,
	__NR_sched_getaffinity, __NR_getcpu, __NR_clock_gettime, __NR_nanosleep, __NR_futex, __NR_getrandom,
	__NR_mprotect, __NR_madvise, __NR_dup3, __NR_fcntl, __NR_ioctl, __NR_close_range, __NR_bind,
	__NR_listen, __NR_connect, __NR_shutdown, __NR_sendto, __NR_sendmsg, __NR_sendmmsg, __NR_recvfrom,
	__NR_recvmsg, __NR_accept4, __NR_getsockname, __NR_getpeername, __NR_getsockopt, __NR_setsockopt,
	__NR_preadv2, __NR_pwritev2, __NR_pread64, __NR_clone3, __NR_set_robust_list, __NR_rseq,
	__NR_sched_yield, __NR_process_vm_readv, __NR_pselect6, __NR_lseek, __NR_uname, __NR_mmap, __NR_fstat,
	__NR_flock, __NR_unlinkat, __NR_getdents64,
	/* clang-format on */
};

/* By who looks at files of Unix sockets alone. */
static const long tried_of_files[] = { __NR_newfstatat, __NR_faccessat2 };

static const struct {
	int family, type, protocol;
} sockets[] = {
	{ FAMILY_XDP, SOCK_RAW, 0 },
	{ AF_PACKET, SOCK_RAW, 0 },
	{ AF_INET, SOCK_RAW, IPPROTO_ICMP },
	{ AF_INET6, SOCK_RAW, IPPROTO_ICMPV6 },
	{ AF_NETLINK, SOCK_RAW, NETLINK_ROUTE },
	{ AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG },
	{ AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER },
	{ AF_NETLINK, SOCK_RAW, NETLINK_XFRM },
	{ AF_INET, SOCK_RAW, IPPROTO_RAW },
	{ AF_INET, SOCK_STREAM, 0 },
	{ AF_INET6, SOCK_DGRAM, 0 },
	{ AF_UNIX, SOCK_DGRAM, 0 },
};

/* In the child. A filter's signal finds no handler of the program's, since it is blocked, and leaves no core. */
static void try_all(bool files)
{
	int pair[2];

	sys_call5(__NR_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	for (size_t i = 0; i < FS_ARRAY_SIZE(sockets); i++)
		sys_close(sys_socket(sockets[i].family, sockets[i].type | SOCK_CLOEXEC, sockets[i].protocol));
	sys_socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
	for (size_t i = 0; i < FS_ARRAY_SIZE(tried); i++)
		sys_call6(tried[i], -1, -1, -1, -1, -1, -1);
	for (size_t i = 0; files && i < FS_ARRAY_SIZE(tried_of_files); i++)
		sys_call6(tried_of_files[i], -1, -1, -1, -1, -1, -1);
}

/* Would a child be the first of a namespace that the program made for its own children, or could that not be said? */
static bool is_first_of_namespace(void)
{
	return !host_pidns_inode() || host_pidns_changes() || host_time_changes();
}

/* The program hears nothing of it: it has no signal for its end. */
static long make_child(bool files)
{
	uint64_t all = UINT64_MAX, saved = 0;
	long child;

	sys_call4(__NR_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&saved, sizeof(all));
	child = sys_call5(__NR_clone, 0, 0, 0, 0, 0);
	if (child == 0) {
		try_all(files);
		sys_call1(__NR_exit_group, 0);
	}
	sys_call4(__NR_rt_sigprocmask, SIG_SETMASK, (long)&saved, 0, sizeof(saved));
	return child;
}

int host_trial(bool files)
{
	int status = 0;
	long child, ended;

	if (host_caps_seccomp() == 0)
		return 0;
	if (is_first_of_namespace())
		return -EPERM;
	child = make_child(files);
	if (child < 0)
		return (int)child;
	do
		ended = sys_call4(__NR_wait4, child, (long)&status, __WALL, 0);
	while (ended == -EINTR);
	return ended == child && status == 0 ? 0 : -EPERM;
}
