/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trial.c - see trial.h.
 *
 * Filters decide by a call's number and the words it is given. Nearly all look at the number alone, so each call is
 * made with words that no kernel accepts; socket(), of which they look at the family, is made as a stack makes it.
 */
#include "host/trial.h"

#include <linux/netlink.h>
#include <linux/prctl.h>
#include <linux/wait.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>

#include "base/err.h"
#include "host/caps.h"
#include "sys/sys.h"

enum { FAMILY_XDP = 44, KERNEL_SIGSET = 8 };

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
	__NR_preadv2, __NR_pwritev2, __NR_pread64,
	/* clang-format on */
};

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
};

/* In the child. A filter's signal finds no handler of the program's, and leaves no core. */
static void try_all(void)
{
	static const struct {
		uintptr_t handler, flags, restorer;
		uint64_t mask;
	} ends = { 0 };

	sys_call4(__NR_rt_sigaction, SIGSYS, (long)&ends, 0, KERNEL_SIGSET);
	sys_call5(__NR_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	for (size_t i = 0; i < FS_ARRAY_SIZE(sockets); i++)
		sys_close(sys_socket(sockets[i].family, sockets[i].type | SOCK_CLOEXEC, sockets[i].protocol));
	for (size_t i = 0; i < FS_ARRAY_SIZE(tried); i++)
		sys_call6(tried[i], -1, -1, -1, -1, -1, -1);
}

bool host_trial_dies(void)
{
	int status = 0;
	long child;

	if (host_caps_seccomp() == 0)
		return false;
	child = sys_call5(__NR_clone, 0, 0, 0, 0, 0); /* a signal of 0: its end is nobody's news */
	if (child == 0) {
		try_all();
		sys_call1(__NR_exit_group, 0);
	}
	if (child < 0)
		return true;
	while (sys_call4(__NR_wait4, child, (long)&status, __WALL, 0) == -EINTR)
		;
	return status != 0;
}
