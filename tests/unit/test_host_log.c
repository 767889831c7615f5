/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines to a descriptor, and the formatter behind them. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "host/log.h"

static int pipe_fd[2];
static struct host_log host_log_to;

static int setup(void **state)
{
	if (pipe(pipe_fd) < 0)
		return -1;
	host_log_to = (struct host_log){ .fd = pipe_fd[1], .level = LOG_INFO };
	return 0;
}

static int teardown(void **state)
{
	close(pipe_fd[0]);
	return close(pipe_fd[1]);
}

/* What was written, as one string; "" when nothing was. */
static const char *written(void)
{
	static char text[2048];
	ssize_t n;

	close(pipe_fd[1]);
	n = read(pipe_fd[0], text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	pipe_fd[1] = dup(2); /* for teardown */
	return text;
}

static void host_format__each_conversion(void **state)
{
	char to[200];

	assert_int_equal(host_format(to, sizeof(to), "%s|%d|%u|%x|%%", "word", -7, 8u, 0xbeefu),
			 16);
	assert_string_equal(to, "word|-7|8|beef|%");
	host_format(to, sizeof(to), "%llu %llx", (unsigned long long)UINT64_MAX, 0x123456789abcULL);
	assert_string_equal(to, "18446744073709551615 123456789abc");
	host_format(to, sizeof(to), "%d %d %u", INT_MIN, INT_MAX, UINT_MAX);
	assert_string_equal(to, "-2147483648 2147483647 4294967295");
	host_format(to, sizeof(to), "%d%u%x", 0, 0u, 0u);
	assert_string_equal(to, "000");
}

static void host_format__null_string(void **state)
{
	char to[20];
	const char *volatile none = NULL;

	host_format(to, sizeof(to), "<%s>", none);
	assert_string_equal(to, "<(null)>");
}

static void host_format__short_buffers(void **state)
{
	char to[8];

	memset(to, 'x', sizeof(to));
	assert_int_equal(host_format(to, 4, "%s", "abcdef"), 3);
	assert_memory_equal(to, "abc\0xxxx", 8);
	assert_int_equal(host_format(to, 1, "%s", "abcdef"), 0);
	assert_string_equal(to, "");
	to[0] = 'y';
	assert_int_equal(host_format(to, 0, "%s", "abcdef"), 0);
	assert_int_equal(to[0], 'y');
	assert_int_equal(host_format(to, 4, "%d", -12345), 3);
	assert_string_equal(to, "-12");
}

static void host_log__one_line_with_the_process(void **state)
{
	char want[100];

	host_log(&host_log_to, LOG_WARN, "%s is %d", "this", 5);
	snprintf(want, sizeof(want), "fsock[%d]: this is 5\n", getpid());
	assert_string_equal(written(), want);
}

static void host_log__levels(void **state)
{
	host_log(&host_log_to, LOG_DEBUG, "dropped");
	host_log(&host_log_to, LOG_INFO, "kept");
	host_log_to.level = LOG_ERROR;
	host_log(&host_log_to, LOG_WARN, "dropped");
	assert_non_null(strstr(written(), "kept"));
}

static void host_log__long_lines_are_cut_and_end(void **state)
{
	char word[1000];
	const char *line;

	memset(word, 'w', sizeof(word));
	word[sizeof(word) - 1] = '\0';
	host_log(&host_log_to, LOG_ERROR, "%s", word);
	line = written();
	assert_true(strlen(line) <= 512);
	assert_int_equal(line[strlen(line) - 1], '\n');
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void fs_assert_failed__says_where_and_ends_the_process(void **state)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		dup2(pipe_fd[1], 2);
		signal(SIGILL, SIG_DFL); /* not cmocka's */
		signal(SIGTRAP, SIG_DFL);
		fs_assert_failed("1 == 2", "file.c", 33);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_non_null(strstr(written(), "assertion failed: 1 == 2 at file.c:33\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(host_format__each_conversion),
		T(host_format__null_string),
		T(host_format__short_buffers),
		T(host_log__one_line_with_the_process),
		T(host_log__levels),
		T(host_log__long_lines_are_cut_and_end),
		T(fs_assert_failed__says_where_and_ends_the_process),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
