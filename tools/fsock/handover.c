/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handover.c - `fsock handover`: a socket of a running program goes on in the kernel.
 *
 * The request is written into the stack's memory (struct stats_request); the program answers when one of its threads
 * is in fsock next. Who sleeps there is woken within a second.
 */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/barrier.h"
#include "base/err.h"
#include "json.h"
#include "process.h"
#include "stats/reader.h"

enum { PAUSE_NS = 2000000, DEFAULT_S = 5 };

struct handover_options {
	bool json;
	double timeout; /* seconds */
	int pid, fd;
};

/* The process's number where it lives, which a container's differs from ours. */
static uint32_t own_number(int pid)
{
	char path[32], line[256];
	uint32_t number = (uint32_t)pid;
	FILE *status;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	status = fopen(path, "r");
	while (status && fgets(line, sizeof(line), status)) {
		if (strncmp(line, "NSpid:", 6) != 0)
			continue;
		for (char *at = strtok(line + 6, "\t \n"); at; at = strtok(NULL, "\t \n"))
			number = (uint32_t)strtoul(at, NULL, 10);
	}
	if (status)
		fclose(status);
	return number;
}

/* Has the stack behind @stack an open socket with that descriptor? */
static bool has_socket(int stack, uint32_t pid, int fd)
{
	struct stats_snapshot snapshot;
	bool found = false;

	if (stats_snapshot_read(&snapshot, stack, NULL) < 0)
		return false;
	for (uint32_t i = 0; i < snapshot.n_socks; i++)
		found |= snapshot.socks[i].fd == fd && snapshot.socks[i].pid == pid;
	stats_snapshot_free(&snapshot);
	return found;
}

/* The request's place in the stack that has the socket, mapped. NULL, and *error. */
static struct stats_head *find(const struct handover_options *o, uint32_t pid, int *error)
{
	int fds[STATS_READ_MAX_STACKS], n = stats_find(o->pid, fds, STATS_READ_MAX_STACKS);
	struct stats_head *head = MAP_FAILED;
	char path[40];

	*error = n < 0 ? n : -EBADF;
	for (int i = 0; i < n; i++) {
		int fd = -1;

		if (head == MAP_FAILED && has_socket(fds[i], pid, o->fd)) {
			snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[i]);
			fd = open(path, O_RDWR | O_CLOEXEC);
			head = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*head), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
			*error = head == MAP_FAILED ? -errno : 0;
		}
		if (fd >= 0)
			close(fd);
		close(fds[i]);
	}
	return head == MAP_FAILED ? NULL : head;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* Until the last request is answered, or time is up. */
static bool settled(struct stats_request *r, double end)
{
	struct timespec pause = { .tv_nsec = PAUSE_NS };

	while (fs_load_acquire(&r->answered) != fs_load_acquire(&r->serial)) {
		if (now() >= end)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

static int ask(struct stats_request *r, uint32_t pid, const struct handover_options *o)
{
	double end = now() + o->timeout;

	if (!settled(r, end))
		return -EBUSY;
	fs_store_relaxed(&r->pid, pid);
	fs_store_relaxed(&r->fd, o->fd);
	fs_store_release(&r->serial, fs_load_relaxed(&r->serial) + 1);
	if (settled(r, end))
		return fs_load_relaxed(&r->result);
	/* Nobody shall move it long after we said that it did not. */
	fs_store_release(&r->answered, fs_load_relaxed(&r->serial));
	return -ETIMEDOUT;
}

static const char *sentence(int error)
{
	switch (error) {
	case 0: return "it goes on in the kernel";
	case -ESRCH: return "no such process";
	case -EACCES: return "the process belongs to somebody else";
	case -EBADF: return "no open socket of fsock's has that descriptor";
	case -EPERM: return "the program lacks CAP_NET_ADMIN, the connection stays where it is";
	case -EBUSY: return "another request is not answered yet";
	case -ETIMEDOUT: return "no thread of the program was in a call of fsock's meanwhile; nothing was moved";
	case -EINVAL: return "its state does not move; the connection stays where it is";
	default: return strerror(-error);
	}
}

static int hand_over(const struct handover_options *o)
{
	uint32_t pid = own_number(o->pid);
	int ret = 0;
	struct stats_head *head = find(o, pid, &ret);
	cJSON *root;

	if (head) {
		ret = ask(&head->request, pid, o);
		munmap(head, sizeof(*head));
	}
	if (o->json) {
		root = cJSON_CreateObject();
		cJSON_AddNumberToObject(root, "pid", o->pid);
		cJSON_AddNumberToObject(root, "fd", o->fd);
		cJSON_AddBoolToObject(root, "moved", ret == 0);
		cJSON_AddNumberToObject(root, "error", -ret);
		cJSON_AddStringToObject(root, "text", sentence(ret));
		json_finish(root, false, stdout);
	} else if (ret < 0) {
		command_warn(&command_handover, "%d, descriptor %d: %s", o->pid, o->fd, sentence(ret));
	} else {
		printf("%d, descriptor %d: %s\n", o->pid, o->fd, sentence(ret));
	}
	return ret == 0 ? EXIT_FINE : EXIT_FINDINGS;
}

static int handover_main(int argc, char **argv)
{
	struct handover_options o = { .timeout = DEFAULT_S, .fd = -1 };
	char *end;

	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];

		if (strcmp(arg, "--json") == 0) {
			o.json = true;
		} else if (strncmp(arg, "--timeout=", 10) == 0) {
			o.timeout = strtod(arg + 10, &end);
			if (!arg[10] || *end || !(o.timeout >= 0 && o.timeout <= 3600))
				return command_misused(&command_handover, "no number of seconds:", arg + 10);
		} else if (arg[0] == '-') {
			return command_misused(&command_handover, "unknown option", arg);
		} else if (!o.pid) {
			o.pid = command_pid(arg);
			if (!o.pid)
				return command_misused(&command_handover, "no process id:", arg);
		} else if (o.fd < 0) {
			long fd = strtol(arg, &end, 10);

			if (!*arg || *end || fd < 0 || fd > INT32_MAX)
				return command_misused(&command_handover, "no descriptor:", arg);
			o.fd = (int)fd;
		} else {
			return command_misused(&command_handover, "one socket at a time, not also", arg);
		}
	}
	if (o.fd < 0)
		return command_misused(&command_handover, "which descriptor of which process?", NULL);
	return hand_over(&o);
}

const struct command command_handover = {
	.name = "handover",
	.usage = "[--json] [--timeout=SECONDS] PID FD",
	.summary = "move a socket of a running program to the kernel",
	.help = "The connection, or the UDP socket, behind descriptor FD of process PID goes on in\n"
		"the kernel; program and peer notice nothing. `fsock why PID` shows descriptors. It\n"
		"does not come back.\n"
		"\n"
		"The program does it when one of its threads is in a call on a socket next; threads\n"
		"that wait there are woken. After --timeout seconds (5) without that the request is\n"
		"taken back. The program needs CAP_NET_ADMIN for a connection.\n"
		"\n"
		"Exit status: 0 moved, 1 not moved and why, 2 wrong usage.\n",
	.main = handover_main,
};
