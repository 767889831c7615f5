/* SPDX-License-Identifier: BSD-2-Clause */
/* Signals let in one by one while everything is blocked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "host/signals.h"

static volatile sig_atomic_t ran;

static void handler(int number)
{
	ran++;
}

static void handle(int number, int flags)
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = flags };

	assert_int_equal(sigaction(number, &sa, NULL), 0);
}

static signal_set saved;

static int setup(void **state)
{
	ran = 0;
	saved = signal_block_all();
	return 0;
}

static int teardown(void **state)
{
	static const int used[] = { SIGUSR1, SIGUSR2, SIGCHLD, SIGWINCH };

	for (size_t i = 0; i < sizeof(used) / sizeof(used[0]); i++)
		signal(used[i], SIG_IGN); /* discards what is pending */
	for (size_t i = 0; i < sizeof(used) / sizeof(used[0]); i++)
		signal(used[i], SIG_DFL);
	signal_restore(saved);
	return 0;
}

static signal_set bit(int number)
{
	return 1ULL << (number - 1);
}

static void signal_block_all__and_restore(void **state)
{
	sigset_t now;

	handle(SIGUSR1, 0);
	raise(SIGUSR1);
	assert_int_equal(ran, 0);
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	assert_true(sigismember(&now, SIGUSR1));
	signal_restore(saved);
	assert_int_equal(ran, 1);
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	assert_false(sigismember(&now, SIGUSR1));
	assert_true(signal_block_all() == saved);
}

static void signal_set_from__bit_per_signal(void **state)
{
	sigset_t set;

	sigemptyset(&set);
	assert_true(signal_set_from(&set) == 0);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGRTMAX);
	assert_true(signal_set_from(&set) == (bit(SIGHUP) | bit(SIGRTMAX)));
}

static void signal_admit__nothing_pending(void **state)
{
	assert_int_equal(signal_admit(0), SIGNAL_NONE);
}

static void signal_admit__handler_without_restart(void **state)
{
	handle(SIGUSR1, 0);
	raise(SIGUSR1);
	assert_int_equal(signal_admit(0), SIGNAL_EINTR);
	assert_int_equal(ran, 1);
	assert_int_equal(signal_admit(0), SIGNAL_NONE); /* once */
	assert_int_equal(ran, 1);
	raise(SIGUSR1); /* everything is blocked again */
	assert_int_equal(ran, 1);
}

static void signal_admit__handler_with_restart(void **state)
{
	handle(SIGUSR1, SA_RESTART);
	raise(SIGUSR1);
	assert_int_equal(signal_admit(0), SIGNAL_RESTART);
	assert_int_equal(ran, 1);
}

static void signal_admit__one_without_restart_decides(void **state)
{
	handle(SIGUSR1, SA_RESTART);
	handle(SIGUSR2, 0);
	raise(SIGUSR1);
	raise(SIGUSR2);
	assert_int_equal(signal_admit(0), SIGNAL_EINTR);
	assert_int_equal(ran, 2);
}

static void signal_admit__callers_mask_holds(void **state)
{
	handle(SIGUSR1, 0);
	raise(SIGUSR1);
	assert_int_equal(signal_admit(bit(SIGUSR1)), SIGNAL_BLOCKED);
	assert_int_equal(ran, 0);
	assert_int_equal(signal_admit(bit(SIGUSR2)), SIGNAL_EINTR);
	assert_int_equal(ran, 1);
}

static void signal_admit__action_that_does_nothing(void **state)
{
	signal(SIGCHLD, SIG_DFL); /* ignored by default */
	raise(SIGCHLD);
	raise(SIGWINCH);
	assert_int_equal(signal_admit(0), SIGNAL_NONE);
}

static void change_action(int number)
{
	ran++;
	signal(number, SIG_DFL);
}

static void signal_admit__action_is_read_before_the_handler_runs(void **state)
{
	struct sigaction sa = { .sa_handler = change_action };

	assert_int_equal(sigaction(SIGUSR1, &sa, NULL), 0);
	raise(SIGUSR1);
	assert_int_equal(signal_admit(0), SIGNAL_EINTR);
	assert_int_equal(ran, 1);
}

static void signal_take__only_what_is_at_its_default(void **state)
{
	struct sigaction sa;

	signal(SIGUSR1, SIG_DFL);
	assert_int_equal(signal_take(SIGUSR1, handler), 0);
	assert_int_equal(sigaction(SIGUSR1, NULL, &sa), 0);
	assert_true(sa.sa_flags & SA_RESTART);
	raise(SIGUSR1);
	assert_int_equal(signal_admit(0), SIGNAL_RESTART);
	assert_int_equal(ran, 1);
	assert_int_equal(signal_take(SIGUSR1, change_action), -EBUSY); /* it has one: this */
	signal(SIGUSR1, SIG_IGN);
	assert_int_equal(signal_take(SIGUSR1, handler), -EBUSY);
	assert_int_equal(sigaction(SIGUSR1, NULL, &sa), 0);
	assert_true(sa.sa_handler == SIG_IGN);
	assert_int_equal(signal_take(SIGKILL, handler), -EINVAL);
}

static void signal_open__readable_while_one_is_pending(void **state)
{
	int fd = signal_open(300);
	struct pollfd p = { .fd = fd, .events = POLLIN };

	assert_true(fd >= 300);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(poll(&p, 1, 0), 0);
	handle(SIGUSR1, 0);
	raise(SIGUSR1);
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_int_equal(signal_admit(0), SIGNAL_EINTR); /* nothing was taken from the descriptor */
	assert_int_equal(poll(&p, 1, 0), 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(signal_block_all__and_restore),
		T(signal_set_from__bit_per_signal),
		T(signal_admit__nothing_pending),
		T(signal_admit__handler_without_restart),
		T(signal_admit__handler_with_restart),
		T(signal_admit__one_without_restart_decides),
		T(signal_admit__callers_mask_holds),
		T(signal_admit__action_that_does_nothing),
		T(signal_admit__action_is_read_before_the_handler_runs),
		T(signal_take__only_what_is_at_its_default),
		T(signal_open__readable_while_one_is_pending),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
