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
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "host/trial.h"

enum outcome { SURVIVES, DIES, TOLD };

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
		bool dies;

		signal(SIGCHLD, count);
		signal(SIGSYS, count);
		confine(number, action);
		dies = host_trial_dies();
		if (signals || waitpid(-1, NULL, 0) != -1 || errno != ECHILD)
			_exit(TOLD);
		_exit(dies ? DIES : SURVIVES);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return (enum outcome)WEXITSTATUS(status);
}

static void host_trial_dies__no_filter(void **state)
{
	assert_false(host_trial_dies());
}

static void host_trial_dies__filter_of_nothing_we_call(void **state)
{
	assert_int_equal(outcome(SYS_reboot, SECCOMP_RET_KILL_PROCESS), SURVIVES);
}

static void host_trial_dies__refused_by_an_error(void **state)
{
	assert_int_equal(outcome(SYS_bpf, SECCOMP_RET_ERRNO | EPERM), SURVIVES);
}

static void host_trial_dies__killed(void **state)
{
	static const long calls[] = { SYS_bpf, SYS_io_uring_setup, SYS_fsopen, SYS_pidfd_getfd, SYS_socket };

	for (size_t i = 0; i < FS_ARRAY_SIZE(calls); i++) {
		assert_int_equal(outcome(calls[i], SECCOMP_RET_KILL_PROCESS), DIES);
		assert_int_equal(outcome(calls[i], SECCOMP_RET_KILL_THREAD), DIES);
	}
}

/* A handler of the program's own is not called in its copy. */
static void host_trial_dies__signal_that_the_program_handles(void **state)
{
	assert_int_equal(outcome(SYS_bpf, SECCOMP_RET_TRAP), DIES);
}

static void host_trial_dies__no_child_to_be_had(void **state)
{
	assert_int_equal(outcome(SYS_clone, SECCOMP_RET_ERRNO | EPERM), DIES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_trial_dies__no_filter),
		cmocka_unit_test(host_trial_dies__filter_of_nothing_we_call),
		cmocka_unit_test(host_trial_dies__refused_by_an_error),
		cmocka_unit_test(host_trial_dies__killed),
		cmocka_unit_test(host_trial_dies__signal_that_the_program_handles),
		cmocka_unit_test(host_trial_dies__no_child_to_be_had),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
