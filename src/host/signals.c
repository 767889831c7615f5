/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * signals.c - see signals.h.
 */
#include "host/signals.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "sys/sys.h"

enum {
	N_SIGNALS = 64,
	SIGNAL_CANCEL = 32, /* glibc's pthread_cancel() */
	SIGNAL_SETXID = 33, /* and setuid() in all threads */
};

#define BIT(n) (1ULL << ((n) - 1))
#define OURS_TO_BLOCK (~(BIT(SIGNAL_CANCEL) | BIT(SIGNAL_SETXID)))

/* The kernel's struct sigaction, which libc's differs from. */
struct kernel_sigaction {
	void (*handler)(int);
	unsigned long flags;
#if defined(__x86_64__)
	void (*restorer)(void);
#endif
	signal_set mask;
};

signal_set signal_block_all(void)
{
	signal_set all = OURS_TO_BLOCK, old = 0;

	sys_call4(__NR_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&old, SYS_SIGSET_BYTES);
	return old;
}

void signal_restore(signal_set mask)
{
	sys_call4(__NR_rt_sigprocmask, SIG_SETMASK, (long)&mask, 0, SYS_SIGSET_BYTES);
}

signal_set signal_set_from(const void *sigset)
{
	signal_set s;

	memcpy(&s, sigset, sizeof(s)); /* libc's set begins with the kernel's 64 bits */
	return s;
}

/* Do all handlers of the signals in @set carry SA_RESTART? */
static bool all_restart(signal_set set)
{
	for (int n = 1; n <= N_SIGNALS; n++) {
		struct kernel_sigaction sa;

		if (!(set & BIT(n)))
			continue;
		if (sys_call4(__NR_rt_sigaction, n, 0, (long)&sa, SYS_SIGSET_BYTES) < 0)
			continue;
		if (sa.handler == SIG_DFL || sa.handler == SIG_IGN)
			continue;
		if (!(sa.flags & SA_RESTART))
			return false;
	}
	return true;
}

enum signal_result signal_admit(signal_set mask)
{
	struct timespec now = { 0 };
	signal_set pending = 0;
	bool restart;

	sys_call2(__NR_rt_sigpending, (long)&pending, SYS_SIGSET_BYTES);
	if ((pending & ~mask) == 0)
		return pending ? SIGNAL_BLOCKED : SIGNAL_NONE;
	pending &= ~mask;
	restart = all_restart(pending); /* before the handlers run: one may change the action */
	if (sys_ppoll(NULL, 0, &now, &mask) != -EINTR)
		return SIGNAL_NONE; /* ignored, or its default action was none or over */
	return restart ? SIGNAL_RESTART : SIGNAL_EINTR;
}

int signal_take(int number, void (*handler)(int))
{
	struct sigaction ours = { .sa_handler = handler, .sa_flags = SA_RESTART }, its;

	if (sigaction(number, NULL, &its) < 0)
		return -errno;
	if ((its.sa_flags & SA_SIGINFO) || its.sa_handler != SIG_DFL)
		return -EBUSY;
	return sigaction(number, &ours, NULL) < 0 ? -errno : 0;
}

int signal_open(int fd_floor)
{
	signal_set all = OURS_TO_BLOCK;

	return sys_fd_raise((int)sys_call4(__NR_signalfd4, -1, (long)&all, SYS_SIGSET_BYTES,
					   SFD_CLOEXEC | SFD_NONBLOCK),
			    fd_floor);
}
