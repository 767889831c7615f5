/* SPDX-License-Identifier: BSD-2-Clause */
/* process.c - fork, exec, vfork, posix_spawn with open datagram sockets. P25-P29, P47, EP26, EP27. */
#include "record.h"

#include <spawn.h>
#include <sys/epoll.h>
#include <sys/wait.h>

static unsigned char buf[2048];

static void echo_over(int fd, const char *who)
{
	struct addr to = there(PORT_ECHO);

	say("%s", who);
	CALL(sendto(fd, "echo", 4, 0, SA(&to), to.len));
	CALL(recv(fd, buf, sizeof(buf), 0));
}

/* Wait for the child, print how it ended. */
static void reap(pid_t pid)
{
	int status = -1;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	say("child ended: exited %d status %d", WIFEXITED(status), WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

CASE_FAST(child_uses_the_socket)
{
	int fd = udp_bound(PORT_HERE);
	pid_t pid;

	echo_over(fd, "parent first");
	pid = fork();
	if (pid == 0) {
		echo_over(fd, "child");
		_exit(3);
	}
	reap(pid);
	echo_over(fd, "parent after");
	deliver(PORT_HERE, 30, 2);
	CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
	CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
}

CASE_FAST(child_closes_its_copy)
{
	int fd = udp_bound(PORT_HERE);
	pid_t pid;

	echo_over(fd, "parent first");
	pid = fork();
	if (pid == 0) {
		CALL(close(fd));
		CALL(recv(fd, buf, 10, MSG_DONTWAIT));
		exit(0);
	}
	reap(pid);
	echo_over(fd, "parent after");
}

/* The parent closes; the child is the only one left with the socket. */
CASE_FAST(child_inherits_alone)
{
	int fd = udp_bound(PORT_HERE), pipes[2];
	pid_t pid;
	char c;

	if (pipe(pipes) < 0)
		fail("pipe");
	echo_over(fd, "parent first");
	pid = fork();
	if (pid == 0) {
		close(pipes[1]);
		if (read(pipes[0], &c, 1) != 0)
			_exit(9);
		echo_over(fd, "child alone");
		_exit(0);
	}
	close(pipes[0]);
	CALL(close(fd));
	CALL(close(pipes[1]));
	reap(pid);
	CALL_FD(udp_bound(PORT_HERE));
}

CASE_FAST(child_has_sockets_of_its_own)
{
	int fd = udp_bound(PORT_HERE);
	pid_t pid;

	echo_over(fd, "parent first");
	pid = fork();
	if (pid == 0) {
		close(fd);
		echo_over(udp_bound(PORT_HERE2), "child");
		_exit(0);
	}
	reap(pid);
	echo_over(fd, "parent after");
	CALL_FD(udp_bound(PORT_HERE2));
}

/* Both read the same socket; each datagram goes to exactly one of them. */
CASE_FAST(both_read)
{
	int fd = udp_bound(PORT_HERE), pipes[2], mine = 0, theirs = 0;
	struct timeval limit = { 0, 300000 };
	pid_t pid;

	if (pipe(pipes) < 0)
		fail("pipe");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	pid = fork();
	if (pid == 0) {
		while (recv(fd, buf, sizeof(buf), 0) > 0)
			theirs++;
		if (write(pipes[1], &theirs, sizeof(theirs)) < 0)
			_exit(9);
		_exit(0);
	}
	peer("send %d 100 200", PORT_HERE);
	while (recv(fd, buf, sizeof(buf), 0) > 0)
		mine++;
	if (read(pipes[0], &theirs, sizeof(theirs)) != sizeof(theirs))
		fail("no count from the child");
	reap(pid);
	say("together %d", mine + theirs);
	echo_over(fd, "parent after");
}

CASE_FAST(epoll_set_in_both)
{
	int fd = udp_bound(PORT_HERE), ep = epoll_create1(0), n;
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = 5 };
	pid_t pid;

	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	pid = fork();
	if (pid == 0) {
		n = epoll_wait(ep, &e, 1, 2000);
		say("child %d data %d", n, (int)e.data.u64);
		CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
		_exit(0);
	}
	sleep_ms(100);
	peer("send %d 20 1", PORT_HERE);
	reap(pid);
	peer("send %d 20 1", PORT_HERE);
	CALL(epoll_wait(ep, &e, 1, 2000));
	CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
}

/* One event of @ep: what was given as data. */
static void wait_for_one(int ep, const char *who)
{
	struct epoll_event e = { 0 };
	int n = epoll_wait(ep, &e, 1, HANGS_MS);

	say("%s: %d, %#x of %d", who, n, n > 0 ? e.events : 0, n > 0 ? (int)e.data.u64 : 0);
}

/* What parent and child say to one another. */
static void tell(int pipes[2])
{
	if (write(pipes[1], "x", 1) != 1)
		fail("write to a pipe");
}

static void await(int pipes[2])
{
	char c;

	if (read(pipes[0], &c, 1) != 1)
		fail("read from a pipe");
}

/* A set of a socket and a pipe: whoever of both waits hears of either, turn by turn. EP27 */
CASE_FAST(set_that_both_go_on_using)
{
	int fd = udp_bound(PORT_HERE), ep = epoll_create1(0), others[2], to_child[2], to_parent[2];
	struct epoll_event datagrams = { .events = EPOLLIN, .data.u64 = 5 }, bytes = { .events = EPOLLIN, .data.u64 = 6 };
	pid_t pid;

	if (pipe(others) < 0 || pipe(to_child) < 0 || pipe(to_parent) < 0)
		fail("pipe");
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &datagrams));
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, others[0], &bytes));
	echo_over(fd, "parent first");
	pid = fork();
	for (int turn = 0; turn < 4; turn++) {
		if (pid == 0) {
			await(to_child);
			wait_for_one(ep, "child");
			CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
			tell(others);
			wait_for_one(ep, "child");
			await(others);
			tell(to_parent);
			continue;
		}
		deliver(PORT_HERE, 20, 1);
		wait_for_one(ep, "parent");
		tell(to_child); /* who reads what both heard of */
		await(to_parent);
		deliver(PORT_HERE, 20, 1);
		wait_for_one(ep, "parent");
		CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
		CALL(epoll_wait(ep, &bytes, 1, 0));
	}
	if (pid == 0)
		_exit(0);
	reap(pid);
	deliver(PORT_HERE, 20, 1);
	wait_for_one(ep, "parent");
}

/* The registration is the socket's, which the child has still: both hear of it, until the child closes it, too. EP27 */
CASE_FAST(set_whose_members_number_the_parent_closed)
{
	int fd = udp_bound(PORT_HERE), ep = epoll_create1(0), to_child[2], to_parent[2];
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = 5 };
	pid_t pid;

	if (pipe(to_child) < 0 || pipe(to_parent) < 0)
		fail("pipe");
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	echo_over(fd, "parent first");
	pid = fork();
	if (pid == 0) {
		await(to_child);
		for (int turn = 0; turn < 2; turn++) {
			wait_for_one(ep, "child");
			CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
			tell(to_parent);
			await(to_child);
		}
		CALL(close(fd));
		CALL(epoll_wait(ep, &e, 1, 0));
		_exit(0);
	}
	CALL(close(fd));
	deliver(PORT_HERE, 20, 1);
	wait_for_one(ep, "parent");
	tell(to_child);
	await(to_parent);
	CALL(epoll_wait(ep, &e, 1, 0));
	deliver(PORT_HERE, 20, 1);
	tell(to_child);
	await(to_parent);
	tell(to_child);
	reap(pid);
	CALL(epoll_wait(ep, &e, 1, 0));
	fd = udp_bound(PORT_HERE);
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	deliver(PORT_HERE, 20, 1);
	wait_for_one(ep, "parent");
}

/* A worker's set made after the fork: it must wake although the parent drains the ring (row 9). */
CASE_FAST(sets_made_after_fork)
{
	int fd = udp_bound(PORT_HERE), other = udp_bound(PORT_HERE2), ep;
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = 5 };
	pid_t pid;

	echo_over(fd, "parent first");
	pid = fork();
	if (pid == 0) {
		ep = epoll_create1(0);
		epoll_ctl(ep, EPOLL_CTL_ADD, other, &e);
		say("child %d", epoll_wait(ep, &e, 1, 3000));
		CALL(recv(other, buf, sizeof(buf), MSG_DONTWAIT));
		_exit(0);
	}
	sleep_ms(100);
	peer("later 200 %d 20 1", PORT_HERE2);
	CALL_TICKED(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 600), 600);
	reap(pid);
}

CASE_FAST(grandchildren)
{
	int fd = udp_bound(PORT_HERE), depth;
	pid_t pid;

	for (depth = 0; depth < 3; depth++) {
		pid = fork();
		if (pid > 0) {
			reap(pid);
			if (depth)
				_exit(depth);
			break;
		}
	}
	say("depth %d", depth);
	echo_over(fd, "use");
	if (depth)
		_exit(depth);
}

CASE_FAST(vfork_and_spawn)
{
	static char *argv[] = { "true", NULL }, *env[] = { NULL };
	int fd = udp_bound(PORT_HERE);
	pid_t pid;

	echo_over(fd, "parent first");
	pid = vfork();
	if (pid == 0) {
		execve("/bin/true", argv, env);
		_exit(9);
	}
	reap(pid);
	echo_over(fd, "parent after vfork");
	CALL(posix_spawn(&pid, "/bin/true", NULL, NULL, argv, env));
	reap(pid);
	say("system %d", system("exit 4") >> 8);
	echo_over(fd, "parent after spawn");
}

CASE_FAST(exec_keeps_what_is_not_close_on_exec)
{
	int fd = udp_bound(PORT_HERE), kept, gone;
	char script[200];
	pid_t pid;

	kept = fcntl(fd, F_DUPFD, 40);
	gone = fcntl(fd, F_DUPFD_CLOEXEC, 41);
	snprintf(script, sizeof(script), "test -S /proc/self/fd/%d && ! test -e /proc/self/fd/%d", kept, gone);
	pid = fork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", script, (char *)NULL);
		_exit(9);
	}
	reap(pid);
	echo_over(kept, "parent after");
}

CASE_FAST(many_forks)
{
	int fd = udp_bound(PORT_HERE), i, status, bad = 0;
	pid_t pid;

	for (i = 0; i < 40; i++) {
		pid = fork();
		if (pid == 0)
			_exit(i);
		waitpid(pid, &status, 0);
		bad += !WIFEXITED(status) || WEXITSTATUS(status) != i;
	}
	say("bad %d", bad);
	echo_over(fd, "parent after");
}
