/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An XDP program attached by a link goes with the last descriptor of that link: with its owner however
 * that ends, but not before an idle child that inherited a copy (design hazard 6).
 *
 * Relied on by: src/steer (crash of the owner), steer_fork_child(), the heartbeat.
 */
#include "bpf_tiny.h"

#include <signal.h>
#include <sys/wait.h>

/* Another program can be attached only when none is. */
static int is_attached(void)
{
	int prog = prog_constant(BPF_PROG_TYPE_XDP, XDP_PASS);
	int link = link_lo(prog, BPF_XDP, SKB_MODE);

	close(prog);
	check(link >= 0 || link == -EBUSY, "a second link is refused with EBUSY");
	if (link >= 0)
		close(link);
	return link == -EBUSY;
}

/* Detaching finishes within the exit of the process, but may lag its reaping a little. */
static int is_gone(void)
{
	for (int i = 0; i < 100; i++) {
		if (!is_attached())
			return 1;
		pause_ms(10);
	}
	return 0;
}

/* A process that attaches and sleeps; with @child it has a child that does nothing. Its pid, and the
 * child's through @child. Returns when both stand. */
static pid_t owner(pid_t *child)
{
	int pipe_fd[2];
	pid_t pid, grandchild = 0;

	check(pipe(pipe_fd) == 0, "a pipe");
	pid = fork();
	if (pid == 0) {
		int prog = prog_constant(BPF_PROG_TYPE_XDP, XDP_PASS);

		check(link_lo(prog, BPF_XDP, SKB_MODE) >= 0, "a program can be attached by link");
		if (child)
			grandchild = fork();
		if (child && grandchild == 0)
			for (;;)
				pause();
		check(write(pipe_fd[1], &grandchild, sizeof(grandchild)) > 0, "the pipe takes a pid");
		for (;;)
			pause();
	}
	check(read(pipe_fd[0], &grandchild, sizeof(grandchild)) > 0, "the owner attached");
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	if (child)
		*child = grandchild;
	return pid;
}

int main(void)
{
	pid_t pid, child;

	own_namespace();
	check(!is_attached(), "a fresh namespace has no program");

	pid = owner(NULL);
	check(is_attached(), "a living owner holds the attachment");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	check(is_gone(), "SIGKILL of the owner detaches");

	pid = owner(&child);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	pause_ms(100);
	check(is_attached(), "an inherited copy of the link keeps the program attached");
	kill(child, SIGKILL);
	check(is_gone(), "the last copy detaches");
	return 0;
}
