/* SPDX-License-Identifier: BSD-2-Clause */
/* Filters of system calls, each in a child of its own: which of them a stack would not survive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "host/trial.h"

enum outcome { SURVIVES, DIES, FAILS, TOLD };

static void confine(long number, uint32_t action)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { .len = FS_ARRAY_SIZE(code), .filter = code };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0)
		_exit(100);
}

static volatile sig_atomic_t signals;

static void count(int number)
{
	signals++;
}

/* What a program under a filter that answers @number by @action is told, and whether it notices the trial. */
static enum outcome outcome(long number, uint32_t action)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		int ret;

		signal(SIGCHLD, count);
		signal(SIGSYS, count);
		confine(number, action);
		ret = host_trial(true);
		if (signals || (number != SYS_wait4 && (waitpid(-1, NULL, __WALL) != -1 || errno != ECHILD)))
			_exit(TOLD);
		_exit(ret == 0 ? SURVIVES : ret == -EPERM ? DIES : FAILS);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return (enum outcome)WEXITSTATUS(status);
}

static void host_trial__no_filter(void **state)
{
	assert_int_equal(host_trial(true), 0);
}

static void host_trial__filter_of_nothing_we_call(void **state)
{
	assert_int_equal(outcome(SYS_reboot, SECCOMP_RET_KILL_PROCESS), SURVIVES);
}

static void host_trial__refused_by_an_error(void **state)
{
	assert_int_equal(outcome(SYS_bpf, SECCOMP_RET_ERRNO | EPERM), SURVIVES);
}

static void host_trial__killed(void **state)
{
	static const long calls[] = { SYS_bpf,	       SYS_io_uring_setup, SYS_fsopen,
				      SYS_pidfd_getfd, SYS_socket,	   SYS_clone3 };

	for (size_t i = 0; i < FS_ARRAY_SIZE(calls); i++) {
		assert_int_equal(outcome(calls[i], SECCOMP_RET_KILL_PROCESS), DIES);
		assert_int_equal(outcome(calls[i], SECCOMP_RET_KILL_THREAD), DIES);
	}
}

/* A handler of the program's own is not called in its copy. */
static void host_trial__signal_that_the_program_handles(void **state)
{
	assert_int_equal(outcome(SYS_bpf, SECCOMP_RET_TRAP), DIES);
}

static void host_trial__no_child_to_be_had(void **state)
{
	assert_int_equal(outcome(SYS_clone, SECCOMP_RET_ERRNO | EPERM), DIES);
	assert_int_equal(outcome(SYS_clone, SECCOMP_RET_ERRNO | EAGAIN), FAILS);
}

static void host_trial__end_that_is_not_told(void **state)
{
	assert_int_equal(outcome(SYS_wait4, SECCOMP_RET_ERRNO | EPERM), DIES);
}

/* Whose first process the child would be, and which would end with it. */
static void host_trial__namespace_made_for_children(void **state)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		if (unshare(CLONE_NEWPID) < 0)
			_exit(77);
		confine(SYS_reboot, SECCOMP_RET_ERRNO | EPERM);
		if (host_trial(true) != -EPERM)
			_exit(1);
		child = fork();
		if (child == 0)
			_exit(0);
		_exit(child < 0 || waitpid(child, &status, 0) != child || status != 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_trial__no_filter),
		cmocka_unit_test(host_trial__filter_of_nothing_we_call),
		cmocka_unit_test(host_trial__refused_by_an_error),
		cmocka_unit_test(host_trial__killed),
		cmocka_unit_test(host_trial__signal_that_the_program_handles),
		cmocka_unit_test(host_trial__no_child_to_be_had),
		cmocka_unit_test(host_trial__end_that_is_not_told),
		cmocka_unit_test(host_trial__namespace_made_for_children),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
