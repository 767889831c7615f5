/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * why.c - `fsock why`: for each socket, accelerated or the reason why not.
 *
 * Of a running process it reads the shared statistics. A program it starts itself appends a
 * record per socket to the memfd behind FSOCK_REPORT_FD, so that programs which end at once
 * explain themselves too; and it lends its stack, since one that a signal ends appends nothing.
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
#include <sys/socket.h>
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
			n_fast += socket_is_accelerated(&view.stacks[s].socks[i]);
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

/* What the program tells of itself. */
struct report {
	int records; /* memfd to which it appends */
	int stacks;  /* socket by which its stacks come */
	unsigned n;
	struct stats_sock *socks; /* owned: sockets that were closed, or open at a clean end */
	unsigned n_stacks;
	struct stats_snapshot stack[STATS_READ_MAX_STACKS];
};

/* Move @fd to where the program, which inherits it, counts on no number. The new one, or -1. */
static int inherited(int fd)
{
	struct rlimit limit;
	int high = -1;

	if (fd >= 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > REPORT_FD_FLOOR)
		high = fcntl(fd, F_DUPFD, REPORT_FD_FLOOR);
	if (fd >= 0 && high < 0)
		high = fcntl(fd, F_DUPFD, 3);
	if (fd >= 0)
		close(fd);
	return high;
}

/* Open to the program, and named to it. 0 or -errno. */
static int report_create(struct report *report)
{
	int memfd = memfd_create("fsock-report", MFD_CLOEXEC), append, pair[2], lent;
	char path[40], numbers[32];

	if (memfd < 0)
		return -errno;
	/* Several processes append; a descriptor of memfd_create() itself has no O_APPEND. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", memfd);
	append = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
	if (append < 0)
		append =
			fcntl(memfd, F_SETFL, O_APPEND) < 0 ? -1 : fcntl(memfd, F_DUPFD_CLOEXEC, 3);
	close(memfd);
	report->records = inherited(append);
	if (report->records < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	report->stacks = pair[0];
	lent = inherited(pair[1]);
	snprintf(numbers, sizeof(numbers), "%d,%d", report->records, lent);
	return setenv(STATS_REPORT_ENV, numbers, 1) < 0 ? -ENOMEM : 0;
}

static void read_records(struct report *report)
{
	off_t len = lseek(report->records, 0, SEEK_END);
	ssize_t got;

	if (len < (off_t)sizeof(*report->socks) || len > REPORT_MAX_BYTES)
		return;
	report->socks = malloc((size_t)len);
	if (!report->socks)
		return;
	got = pread(report->records, report->socks, (size_t)len, 0);
	report->n = got > 0 ? (unsigned)((size_t)got / sizeof(*report->socks)) : 0;
	for (unsigned i = 0; i < report->n; i++)
		stats_sock_tame(&report->socks[i]);
}

/* The next stack that was lent, or -1. */
static int next_stack(int from)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c;
	int fd;

	if (recvmsg(from, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
		return -1;
	c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(fd)))
		return -1;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

/* Of each stack the sockets that are in it still: those of a clean end stand among the records. */
static void read_stacks(struct report *report)
{
	int fd;

	while (report->n_stacks < STATS_READ_MAX_STACKS && (fd = next_stack(report->stacks)) >= 0) {
		struct stats_snapshot *s = &report->stack[report->n_stacks];
		unsigned kept = 0;

		if (stats_snapshot_read(s, fd, NULL) == 0) {
			for (unsigned i = 0; i < s->n_socks; i++)
				if (s->socks[i].fd != -1)
					s->socks[kept++] = s->socks[i];
			s->n_socks = kept;
			report->n_stacks++;
		}
		close(fd);
	}
}

static void report_free(struct report *report)
{
	free(report->socks);
	for (unsigned i = 0; i < report->n_stacks; i++)
		stats_snapshot_free(&report->stack[i]);
}

/* Socket @i of the report, and the stack it is in; NULL = a record of its own. */
static const struct stats_sock *report_sock(const struct report *report, unsigned i, const struct stats_snapshot **stack)
{
	*stack = NULL;
	if (i < report->n)
		return &report->socks[i];
	i -= report->n;
	for (*stack = report->stack; *stack < report->stack + report->n_stacks; ++*stack) {
		if (i < (*stack)->n_socks)
			return &(*stack)->socks[i];
		i -= (*stack)->n_socks;
	}
	return NULL;
}

static void report_text(const char *program, const struct report *report, FILE *to)
{
	const struct stats_snapshot *stack;
	const struct stats_sock *sock;
	unsigned n = 0, n_fast = 0;

	for (; (sock = report_sock(report, n, &stack)) != NULL; n++)
		n_fast += socket_is_accelerated(sock);
	fprintf(to, "fsock why: %s: ", program);
	if (n)
		fprintf(to, "%u socket%s, %u accelerated\n", n, n == 1 ? "" : "s", n_fast);
	else
		fprintf(to, "no Internet socket was opened, or fsock could not see it\n");
	for (unsigned i = 0; (sock = report_sock(report, i, &stack)) != NULL; i++)
		socket_explain(sock, stack, to);
}

static void report_json(const char *program, int status, const struct report *report, FILE *to)
{
	cJSON *root = cJSON_CreateObject(), *list;
	const struct stats_snapshot *stack;
	const struct stats_sock *sock;

	cJSON_AddStringToObject(root, "program", program);
	cJSON_AddNumberToObject(root, "status", status);
	list = cJSON_AddArrayToObject(root, "sockets");
	for (unsigned i = 0; (sock = report_sock(report, i, &stack)) != NULL; i++)
		cJSON_AddItemToArray(list, socket_json(sock, stack));
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
	struct report report = { 0 };
	int status, error;

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
	error = report_create(&report);
	if (error < 0) {
		command_warn(&command_why, "no place for the report: %s", strerror(-error));
		return EXIT_OURS;
	}
	status = run_child(argv);
	read_records(&report);
	read_stacks(&report);
	if (options->json)
		report_json(argv[0], status, &report, to);
	else
		report_text(argv[0], &report, to);
	report_free(&report);
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
