/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * why.c - `fsock why`: for each socket, accelerated or the reason why not.
 *
 * Of a running process it reads the shared statistics. A program it starts itself appends a
 * record per socket to the memfd behind FSOCK_REPORT_FD, so that programs which end at once
 * explain themselves too.
 */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "json.h"
#include "launch.h"
#include "process.h"
#include "sockets.h"

enum {
	REPORT_FD_FLOOR = 900,	    /* out of the way of numbers the program counts on */
	REPORT_MAX_BYTES = 1 << 28, /* of a report that is read back */
};

struct why_options {
	bool json;
	const char *output; /* file for the report, NULL = the standard one */
};

/* --- a running process --- */

static int explain_process(const struct why_options *options, int pid)
{
	struct process_view view;
	int rc = process_look(&view, pid);
	unsigned n_socks = 0, n_fast = 0;
	cJSON *root, *list;

	if (rc < 0) {
		command_warn(&command_why, "%d: %s", pid, process_error(rc));
		return EXIT_FINDINGS;
	}
	root = process_json(&view);
	list = cJSON_AddArrayToObject(root, "sockets");
	for (unsigned s = 0; s < view.n_stacks; s++) {
		n_socks += view.stacks[s].n_socks;
		for (unsigned i = 0; i < view.stacks[s].n_socks; i++) {
			n_fast += view.stacks[s].socks[i].accelerated != 0;
			cJSON_AddItemToArray(
				list, socket_json(&view.stacks[s].socks[i], &view.stacks[s]));
		}
	}
	if (options->json) {
		json_finish(root, false, stdout);
		process_free(&view);
		return view.loaded ? EXIT_FINE : EXIT_FINDINGS;
	}
	cJSON_Delete(root);
	printf("%s (pid %d): ", view.comm, pid);
	if (view.note[0])
		printf("%s\n", view.note);
	else
		printf("%u socket%s, %u accelerated\n", n_socks, n_socks == 1 ? "" : "s", n_fast);
	if (view.remedy[0])
		printf("  remedy: %s\n", view.remedy);
	for (unsigned s = 0; s < view.n_stacks; s++) {
		for (unsigned i = 0; i < view.stacks[s].n_socks; i++)
			socket_explain(&view.stacks[s].socks[i], &view.stacks[s], stdout);
	}
	process_free(&view);
	return view.loaded ? EXIT_FINE : EXIT_FINDINGS;
}

/* --- a program started here --- */

/* The memfd of FSOCK_REPORT_FD, open to the program, or -errno. */
static int report_create(void)
{
	int memfd = memfd_create("fsock-report", MFD_CLOEXEC), append, fd;
	struct rlimit limit;
	char path[40], number[16];

	if (memfd < 0)
		return -errno;
	/* Several processes append; a descriptor of memfd_create() itself has no O_APPEND. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", memfd);
	append = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
	if (append < 0)
		append =
			fcntl(memfd, F_SETFL, O_APPEND) < 0 ? -1 : fcntl(memfd, F_DUPFD_CLOEXEC, 3);
	fd = -1;
	if (append >= 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
	    limit.rlim_cur > REPORT_FD_FLOOR)
		fd = fcntl(append, F_DUPFD, REPORT_FD_FLOOR);
	if (append >= 0 && fd < 0)
		fd = fcntl(append, F_DUPFD, 3);
	if (fd < 0)
		return -errno;
	close(memfd);
	close(append);
	snprintf(number, sizeof(number), "%d", fd);
	return setenv(STATS_REPORT_ENV, number, 1) < 0 ? -ENOMEM : fd;
}

/* The records written so far, owned by the caller; *n of them. */
static struct stats_sock *report_read(int fd, unsigned *n)
{
	off_t len = lseek(fd, 0, SEEK_END);
	struct stats_sock *socks;
	ssize_t got;

	*n = 0;
	if (len < (off_t)sizeof(*socks) || len > REPORT_MAX_BYTES)
		return NULL;
	socks = malloc((size_t)len);
	if (!socks)
		return NULL;
	got = pread(fd, socks, (size_t)len, 0);
	*n = got > 0 ? (unsigned)((size_t)got / sizeof(*socks)) : 0;
	for (unsigned i = 0; i < *n; i++)
		stats_sock_tame(&socks[i]);
	return socks;
}

static void report_text(const char *program, const struct stats_sock *socks, unsigned n, FILE *to)
{
	unsigned n_fast = 0;

	for (unsigned i = 0; i < n; i++)
		n_fast += socks[i].accelerated != 0;
	fprintf(to, "fsock why: %s: ", program);
	if (n)
		fprintf(to, "%u socket%s, %u accelerated\n", n, n == 1 ? "" : "s", n_fast);
	else
		fprintf(to, "no Internet socket was opened, or fsock could not see it\n");
	for (unsigned i = 0; i < n; i++)
		socket_explain(&socks[i], NULL, to);
}

static void report_json(const char *program, int status, const struct stats_sock *socks, unsigned n,
			FILE *to)
{
	cJSON *root = cJSON_CreateObject(), *list;

	cJSON_AddStringToObject(root, "program", program);
	cJSON_AddNumberToObject(root, "status", status);
	list = cJSON_AddArrayToObject(root, "sockets");
	for (unsigned i = 0; i < n; i++)
		cJSON_AddItemToArray(list, socket_json(&socks[i], NULL));
	json_finish(root, true, to);
}

/* Start argv and wait; its exit status as a shell gives it. */
static int run_child(char *const *argv)
{
	int state;
	pid_t child;

	child = fork();
	if (child < 0) {
		command_warn(&command_why, "%s: %s", argv[0], strerror(errno));
		return EXIT_OURS;
	}
	if (child == 0)
		_exit(launch_exec(&command_why, argv));
	/* The keyboard's signals are for the program; its sockets are still to be explained. */
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	while (waitpid(child, &state, 0) < 0) {
		if (errno != EINTR)
			return EXIT_OURS;
	}
	return WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
}

static int explain_program(const struct why_options *options, char *const *argv)
{
	FILE *to = options->json ? stdout : stderr;
	struct stats_sock *socks;
	int status, report;
	unsigned n;

	if (options->output) {
		to = fopen(options->output, "we");
		if (!to) {
			command_warn(&command_why, "%s: %s", options->output, strerror(errno));
			return EXIT_OURS;
		}
	}
	status = launch_prepare(&command_why, argv[0]);
	if (status)
		return status;
	report = report_create();
	if (report < 0) {
		command_warn(&command_why, "no place for the report: %s", strerror(-report));
		return EXIT_OURS;
	}
	status = run_child(argv);
	socks = report_read(report, &n);
	if (options->json)
		report_json(argv[0], status, socks, n, to);
	else
		report_text(argv[0], socks, n, to);
	free(socks);
	if (to != stdout && to != stderr)
		fclose(to);
	return status;
}

static int why_main(int argc, char **argv)
{
	struct why_options options = { .json = false };
	const char *process = NULL;
	bool program = false;
	int i, status;

	for (i = 1; i < argc && !program; i++) {
		if (argv[i][0] != '-' && !process) {
			process = argv[i];
		} else if (strcmp(argv[i], "--") == 0) {
			program = true;
		} else if (strcmp(argv[i], "--json") == 0) {
			options.json = true;
		} else if (strncmp(argv[i], "--output=", 9) == 0) {
			options.output = argv[i] + 9;
		} else {
			status = launch_take_option(&command_why, argv[i]);
			if (status)
				return EXIT_USAGE;
		}
	}
	if (program) {
		if (i >= argc || process)
			return command_misused(&command_why, process ? "a process id or a program, not both:"
								  : "no program behind --",
					       process);
		return explain_program(&options, argv + i);
	}
	if (!process || !command_pid(process))
		return command_misused(&command_why, "expected one process id, or -- and a program",
				       NULL);
	return explain_process(&options, command_pid(process));
}

const struct command command_why = {
	.name = "why",
	.usage =
		"[--json] PID | [--json] [--output=FILE] [--OPTION=VALUE]... -- "
		 "PROGRAM [ARGUMENT...]",
	.summary = "tell for each socket whether it is accelerated, and why not",
	.help = "With a process id: looks at the running program, which notices nothing. With\n"
		"-- and a program: runs it as `fsock run` does, with the same options, and\n"
		"reports when it has ended. Text goes to standard error, JSON as one line to\n"
		"standard output, so that the program's own output stays apart; --output=FILE\n"
		"takes either.\n\n"
		"A socket is accelerated (provider, interface), or stays with the kernel for\n"
		"a reason; reasons come with a remedy where there is one.\n\n"
		"Exit status: of PROGRAM when one was run; else 0, or 1 when the process\n"
		"cannot be looked at or runs without fsock.\n",
	.main = why_main,
};
