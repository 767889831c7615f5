/* SPDX-License-Identifier: BSD-2-Clause */
/* stream_life.c - streams and descriptors, processes, threads. P04, P18, P20, P22, P25, P28, P37, P40, P53, EP22, EP27. */
#include "stream.h"

#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <linux/io_uring.h>
#include <linux/sched.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static unsigned char buf[65536];

static void ended(pid_t pid)
{
	int status = -1;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		say("child: signal %d", WTERMSIG(status));
	else
		say("child: status %d", WEXITSTATUS(status));
}

CASE_FAST(copies_share_the_connection)
{
	int slot, fd = linked(&slot), copy = dup(fd), third = fcntl(fd, F_DUPFD_CLOEXEC, 40);

	CALL(close(fd));
	CALL(send(copy, "one", 3, 0));
	CALL(send(third, "two", 3, 0));
	order("take %d 6", slot);
	bring(slot, 10);
	receive_all(third, 5);
	CALL(close(third));
	receive_all(copy, 5);
	CALL(close(copy));
	order("rest %d", slot);
}

CASE_FAST(copy_over_a_connection)
{
	int first, second, one = linked(&first), two = linked(&second);

	CALL(dup2(one, two) == two);
	order("rest %d", second);
	CALL(close(one));
	bring(first, 10);
	receive_all(two, 10);
	CALL(dup2(two, two) == two);
	CALL(dup3(two, two, 0));
	CALL(send(two, "x", 1, 0));
	order("take %d 1", first);
}

enum { RACES = 50, DELAYS = 25 };

struct race {
	pthread_barrier_t start;
	int listener, accepted;
};

static void *accept_in_race(void *argument)
{
	struct race *r = argument;

	pthread_barrier_wait(&r->start);
	r->accepted = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC);
	return NULL;
}

/* @file goes where the next descriptor would; while the kernel gives that number out it is EBUSY. */
static void put_over(int file, int number, int delay)
{
	for (volatile int i = 0; i < delay * 200; i++)
		;
	while (dup2(file, number) < 0)
		if (errno != EBUSY)
			fail("dup2");
}

/*
 * One thread accepts, another one puts a file where the connection's number may be. Whoever is first: the file has the
 * number, and the connection another one or its end. P18
 */
CASE_FAST(accepted_against_dup2)
{
	struct race r = { .listener = tcp_listening(PORT_HERE, 8) };
	int file = open("/dev/null", O_RDWR | O_CLOEXEC), wrong = 0;

	pthread_barrier_init(&r.start, NULL, 2);
	for (int i = 0; i < RACES; i++) {
		int number = dup(file), slot = (int)peer("begin %d", PORT_HERE);
		pthread_t thread;

		close(number);
		poll(&(struct pollfd){ .fd = r.listener, .events = POLLIN }, 1, -1);
		pthread_create(&thread, NULL, accept_in_race, &r);
		pthread_barrier_wait(&r.start);
		put_over(file, number, i % DELAYS);
		pthread_join(thread, NULL);
		wrong += read(number, buf, 1) != 0 || recv(number, buf, 1, 0) != -1 || errno != ENOTSOCK;
		if (r.accepted != number) {
			wrong += send(r.accepted, "word", 4, 0) != 4 || peer("take %d 4", slot) != 4;
			close(r.accepted);
		}
		wrong += peer("rest %d", slot) != 0;
		peer("close %d", slot);
		close(number);
	}
	say("wrong %d", wrong);
}

/* libc opens and closes the pipe of a program that it runs past the symbols, at a number that connections have before and
 * after. P04 */
CASE_FAST(pipes_of_programs)
{
	int slot, fd = linked_out(&slot);
	FILE *pipe;

	for (int i = 0; i < 3; i++) {
		int number = fd;

		CALL(close(fd));
		order("rest %d", slot);
		pipe = popen(i % 2 ? "read word; test $word = written" : "echo read", i % 2 ? "w" : "r");
		say("the connection's number %d", fileno(pipe) == number);
		if (i % 2)
			say("written %d", fputs("written\n", pipe) >= 0);
		else
			say("read %d", fgets((char *)buf, 100, pipe) && strcmp((char *)buf, "read\n") == 0);
		say("status %#x", (unsigned)pclose(pipe));
		fd = linked_out(&slot);
		say("the pipe's number %d", fd == number);
		bring(slot, 10);
		receive_all(fd, 10);
	}
}

/* A copy that comes by a process's descriptor, be it the process itself, is a copy as any. P22 */
CASE_FAST(copied_by_pidfd)
{
	int slot, fd = linked(&slot), self = (int)syscall(SYS_pidfd_open, getpid(), 0), copy;
	pid_t child;

	CALL_FD(copy = (int)syscall(SYS_pidfd_getfd, self, fd, 0));
	say("another number %d", copy != fd);
	CALL(send(copy, "copy", 4, 0));
	order("take %d 4", slot);
	bring(slot, 10);
	receive_all(copy, 10);
	CALL(close(fd));
	CALL(send(copy, "x", 1, 0));
	order("take %d 1", slot);
	child = fork();
	if (child == 0) {
		int parents = (int)syscall(SYS_pidfd_open, getppid(), 0), again = (int)syscall(SYS_pidfd_getfd, parents, copy, 0);

		close(copy);
		_exit(again < 0 || send(again, "child", 5, 0) != 5);
	}
	order("take %d 5", slot);
	ended(child);
	CALL(close(copy));
	order("rest %d", slot);
}

CASE_FAST(shutdown_by_a_copy)
{
	int slot, fd = linked(&slot), copy = dup(fd);

	CALL(shutdown(copy, SHUT_WR));
	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
	order("rest %d", slot);
}

CASE_FAST(flags_of_a_copy)
{
	int slot, fd = linked(&slot), copy = dup(fd), on = 1;

	CALL(ioctl(copy, FIONBIO, &on));
	say("status %#x", (unsigned)fcntl(fd, F_GETFL));
	CALL(recv(fd, buf, 1, 0));
	CALL(fcntl(fd, F_SETFL, 0));
	say("status %#x", (unsigned)fcntl(copy, F_GETFL));
	bring(slot, 1);
	CALL(recv(copy, buf, 1, 0));
}

CASE_FAST(lowest_free_number)
{
	int slot, fd = linked_out(&slot), next = tcp(), listener, got;

	say("next %d", next == fd + 1);
	close(fd);
	listener = tcp_listening(PORT_HERE, 4);
	say("reused %d", listener == fd);
	close(next);
	got = taken_in(listener, PORT_HERE, &slot);
	say("accepted at %d", got == next);
	bring(slot, 10);
	receive_all(got, 10);
}

CASE_FAST(closed_twice)
{
	int slot, fd = linked(&slot);

	CALL(close(fd));
	CALL(close(fd));
	CALL(recv(fd, buf, 1, 0));
	order("rest %d", slot);
}

CASE_FAST(kind_of_file)
{
	struct stat st;
	int slot, fd = linked(&slot);

	CALL(fstat(fd, &st));
	say("socket %d", S_ISSOCK(st.st_mode));
	CALL(fsync(fd));
	CALL(ftruncate(fd, 0));
	say("mapped %d", mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED);
}

CASE_FAST(closing_a_range)
{
	int slot, fd = linked(&slot), kept = linked_out(&(int){ 0 });

	CALL(close_range((unsigned)fd, (unsigned)fd, 0));
	order("rest %d", slot);
	CALL(send(kept, "x", 1, 0));
}

CASE_FAST(child_takes_over)
{
	int slot, fd = linked(&slot);
	pid_t pid = fork();

	if (pid == 0) {
		if (send(fd, "child", 5, 0) != 5 || recv(fd, buf, 10, MSG_WAITALL) != 10)
			_exit(1);
		_exit(0);
	}
	CALL(close(fd));
	order("take %d 5", slot);
	order("send %d 10", slot);
	ended(pid);
	order("rest %d", slot);
}

static pid_t child_by(int call)
{
	struct clone_args args = { .exit_signal = SIGCHLD };

	switch (call) {
	case SYS_fork: return (pid_t)syscall(SYS_fork);
	case SYS_clone: return (pid_t)syscall(SYS_clone, (long)SIGCHLD, NULL, NULL, NULL, NULL);
	default: return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	}
}

/* It is the only one left with the connection before it makes a call, whatever made it. */
CASE_FAST(child_of_a_raw_call)
{
	static const int calls[] = { SYS_fork, SYS_clone, SYS_clone3 };

	for (int turn = 0; turn < 3; turn++) {
		int slot, fd = linked(&slot), pipes[2];
		pid_t pid;

		if (pipe(pipes) < 0)
			fail("pipe");
		pid = child_by(calls[turn]);
		if (pid == 0) {
			close(pipes[1]);
			_exit(read(pipes[0], buf, 1) != 0 || send(fd, "child", 5, MSG_NOSIGNAL) != 5 || recv(fd, buf, 10, MSG_WAITALL) != 10);
		}
		CALL(close(fd));
		close(pipes[0]);
		close(pipes[1]);
		order("take %d 5", slot);
		order("send %d 10", slot);
		ended(pid);
		order("rest %d", slot);
	}
}

/* libc has not heard of that child, and waits for every thread of its parent's that it remembers. */
CASE_FAST(child_of_a_raw_call_changes_groups)
{
	int slot, fd = linked(&slot), n = getgroups(0, NULL);
	gid_t groups[100];

	if (n > 100 || getgroups(n, groups) != n)
		fail("getgroups");
	for (int turn = 0; turn < 10; turn++) {
		pid_t pid;

		CALL(setgroups((size_t)n, groups)); /* a thread that ended for this is about to run again */
		pid = child_by(turn % 2 ? SYS_clone : SYS_clone3);
		if (pid == 0)
			_exit(setgroups((size_t)n, groups) != 0);
		ended(pid);
	}
	CALL(send(fd, "on", 2, 0));
	order("take %d 2", slot);
	order("rest %d", slot);
}

/* Libc has every thread of the process follow, and ends the program where one may not. */
CASE_FAST(groups_that_change)
{
	enum { NOBODY = 65534, SAME = -1 };
	int slot, fd = linked(&slot), n = getgroups(0, NULL);
	gid_t groups[100];

	if (n > 100 || getgroups(n, groups) != n)
		fail("getgroups");
	CALL(initgroups("nobody", NOBODY));
	CALL(setgroups((size_t)n, groups));
	CALL(setegid(NOBODY));
	CALL(setegid(0));
	CALL(setregid(SAME, NOBODY));
	CALL(setregid(SAME, 0));
	CALL(setresgid(SAME, NOBODY, SAME));
	CALL(setresgid(SAME, 0, SAME));
	CALL(setgid(NOBODY));
	CALL(setgid(0));
	CALL(send(fd, "on", 2, 0));
	order("take %d 2", slot);
	order("rest %d", slot);
}

/* On a stack of its own, from libc's clone(), with what it then does to itself; it has made no call before. */
static int grandchild_of_a_raw_call(void *fd)
{
	pid_t pid;

	if (setgid(getgid()) != 0)
		return 1;
	pid = child_by(SYS_clone);
	if (pid == 0)
		_exit(send(*(int *)fd, "child", 5, MSG_NOSIGNAL) != 5);
	ended(pid);
	return 0;
}

CASE_FAST(child_on_its_own_stack)
{
	static uint8_t stack[1 << 18] __attribute__((aligned(64)));
	int slot, fd = linked(&slot);

	ended(clone(grandchild_of_a_raw_call, stack + sizeof(stack), SIGCHLD, &fd));
	order("take %d 5", slot);
	order("rest %d", slot);
}

/* From the handler's end on: where a fork takes longer than that, a timer that goes on would leave the calls no time. */
static void interrupt_soon(void)
{
	struct itimerval soon = { .it_value.tv_usec = 2000 };

	setitimer(ITIMER_REAL, &soon, NULL);
}

static void fork_from_handler(int number)
{
	pid_t pid = child_by(SYS_fork);

	(void)number;
	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
	if (++signals_seen < 100)
		interrupt_soon();
}

/* In the middle of calls, too, of which one has what the others wait for. */
static void still_whole(int fd, int slot)
{
	CALL(send(fd, "word", 4, 0));
	order("take %d 4", slot);
	bring(slot, 10);
	receive_all(fd, 10);
	CALL(close(fd));
	order("rest %d", slot);
}

pid_t __vfork(void);

/* As programs do that start others: what the child closes is the parent's. */
CASE_FAST(vfork_and_close)
{
	int slot, fd = linked(&slot);
	pid_t pid = vfork();

	if (pid == 0) {
		close(fd);
		_exit(5);
	}
	ended(pid);
	pid = __vfork();
	if (pid == 0) {
		close(fd);
		_exit(6);
	}
	ended(pid);
	still_whole(fd, slot);
}

static int shared_fd;

static int closes(void *arg)
{
	return close(shared_fd) == 0 && close(shared_fd) < 0 ? 7 : 9;
}

CASE_FAST(clone_in_the_same_memory)
{
	int slot;

	shared_fd = linked(&slot);
	ended(clone(closes, buf + sizeof(buf), CLONE_VM | SIGCHLD, NULL));
	still_whole(shared_fd, slot);
}

CASE_FAST(handler_forks)
{
	int slot, fd = linked(&slot);

	order("echo %d", slot);
	on_signal(SIGALRM, fork_from_handler, SA_RESTART);
	interrupt_soon();
	while (signals_seen < 100)
		if (send(fd, "x", 1, 0) != 1 || recv(fd, buf, 1, 0) != 1)
			fail("echo");
	say("forked");
}

CASE_FAST(child_ends_without_a_word)
{
	int slot, fd = linked(&slot);
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	ended(pid);
	CALL(send(fd, "x", 1, 0));
	order("take %d 1", slot);
	bring(slot, 10);
	receive_all(fd, 10);
}

CASE_FAST(child_shuts_down)
{
	int slot, fd = linked(&slot);
	pid_t pid = fork();

	if (pid == 0)
		_exit(shutdown(fd, SHUT_WR) != 0);
	ended(pid);
	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
	order("rest %d", slot);
}

CASE_FAST(child_accepts)
{
	int fd = tcp_listening(PORT_HERE, 8), got;
	pid_t pid;

	peer("begin %d", PORT_HERE);
	pid = fork();
	if (pid == 0) {
		got = accept(fd, NULL, NULL);
		if (got < 0 || send(got, "child", 5, 0) != 5 || recv(got, buf, 1, 0) != 0)
			_exit(1);
		_exit(0);
	}
	order("take 0 5");
	order("fin 0");
	ended(pid);
	order("rest 0");
	peer("begin %d", PORT_HERE);
	CALL_FD(accept(fd, NULL, NULL));
}

CASE_FAST(child_connects)
{
	struct addr to = there(PORT_PEER);
	int slot, fd = linked(&slot), own;
	pid_t pid = fork();

	if (pid == 0) {
		own = tcp();
		_exit(connect(own, SA(&to), to.len) != 0 || send(own, "child", 5, 0) != 5);
	}
	order("accept %d", PORT_PEER);
	order("rest %d", slot + 1);
	ended(pid);
	CALL(send(fd, "x", 1, 0));
	order("take %d 1", slot);
}

/* A program started with the connection as its standard output. */
CASE(another_program_writes)
{
	int slot, fd = linked(&slot);
	pid_t pid = fork();

	if (pid == 0) {
		dup2(fd, 1);
		execl("/bin/echo", "echo", "from another program", (char *)NULL);
		_exit(1);
	}
	CALL(close(fd));
	ended(pid);
	order("rest %d", slot);
	order("sum %d", slot);
}

CASE_FAST(another_program_beside)
{
	char *argv[] = { "true", NULL }, *none[] = { NULL };
	int slot, fd = linked(&slot);
	pid_t pid;

	CALL(posix_spawn(&pid, "/bin/true", NULL, NULL, argv, none));
	ended(pid);
	bring(slot, 10);
	receive_all(fd, 10);
}

static void send_later(int fd)
{
	if (send(fd, "later", 5, 0) != 5)
		say("send of the other thread failed");
}

CASE_FAST(one_reads_one_writes)
{
	int slot, fd = linked(&slot);

	order("echo %d", slot);
	later(80, send_later, fd);
	CALL(recv(fd, buf, 5, MSG_WAITALL));
	later_done();
}

static void *talk(void *argument)
{
	int fd = *(int *)argument, i;
	unsigned char mine[64];
	intptr_t bad = 0;

	for (i = 0; i < 100; i++) {
		memset(mine, fd + i, sizeof(mine));
		bad += send(fd, mine, sizeof(mine), 0) != (ssize_t)sizeof(mine);
		bad += recv(fd, mine, sizeof(mine), MSG_WAITALL) != (ssize_t)sizeof(mine) || mine[63] != (unsigned char)(fd + i);
	}
	return (void *)bad;
}

CASE_FAST(threads_with_their_own)
{
	pthread_t threads[4];
	int fds[4], i, slot;
	void *bad;

	for (i = 0; i < 4; i++) {
		fds[i] = linked_out(&slot);
		order("echo %d", slot);
	}
	for (i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, talk, &fds[i]);
	for (i = 0; i < 4; i++) {
		pthread_join(threads[i], &bad);
		say("wrong %ld", (long)(intptr_t)bad);
	}
}

/* A connection outlives the thread that made it. */
static int made, made_slot;

static void make(int unused)
{
	(void)unused;
	made = linked_out(&made_slot);
}

CASE_FAST(made_by_another_thread)
{
	later(0, make, 0);
	later_done();
	bring(made_slot, 10);
	receive_all(made, 10);
}

static int passing[2];

static void pass(int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec part = { "x", 1 };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	CALL(sendmsg(passing[0], &msg, 0));
}

static int taken(void)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec part = { buf, 1 };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	int fd = -1;

	CALL(recvmsg(passing[1], &msg, 0));
	if (CMSG_FIRSTHDR(&msg))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

CASE_BY(passed_within_the_process, fd_passed)
{
	int slot, fd = linked(&slot), copy;

	CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, passing));
	pass(fd);
	copy = taken();
	say("another number %d", copy != fd);
	bring(slot, 10);
	receive_all(copy, 10);
	CALL(close(fd));
	CALL(send(copy, "x", 1, 0));
	order("take %d 1", slot);
}

CASE_BY(stream_of_stdio, option)
{
	int slot, fd = linked(&slot);
	FILE *file = fdopen(fd, "r+");

	CALL(fputs("printed", file) >= 0);
	CALL(fflush(file));
	order("take %d 7", slot);
	order("send %d 10", slot);
	CALL(fread(buf, 1, 10, file));
	CALL(fclose(file));
	order("rest %d", slot);
}

/* --- threads that end in a call, and descriptors that are closed under one --- */

static void *wait_in_recv(void *argument)
{
	recv(*(int *)argument, buf, 1, 0);
	return NULL;
}

static void *wait_in_accept(void *argument)
{
	accept(*(int *)argument, NULL, NULL);
	return NULL;
}

static void *wait_in_connect(void *argument)
{
	struct addr to = nowhere(9);

	connect(*(int *)argument, SA(&to), to.len);
	return NULL;
}

static void *wait_in_send(void *argument)
{
	while (send(*(int *)argument, stream_bytes, sizeof(stream_bytes), 0) > 0)
		;
	return NULL;
}

static void cancel(void *(*wait)(void *), int fd)
{
	pthread_t thread;
	void *result;

	if (pthread_create(&thread, NULL, wait, &fd) != 0)
		fail("thread");
	settle();
	CALL(pthread_cancel(thread));
	CALL(pthread_join(thread, &result));
	say("cancelled %d", result == PTHREAD_CANCELED);
}

CASE_FAST(cancelled_in_recv)
{
	int slot, fd = linked(&slot);

	cancel(wait_in_recv, fd);
	bring(slot, 10);
	receive_all(fd, 10);
}

/* No lock stays behind, and nothing is accepted for who is gone. EP22, as the next two. */
CASE_FAST(cancelled_in_accept)
{
	int slot, fd, listener = tcp_listening(PORT_HERE, 4);

	cancel(wait_in_accept, listener);
	fd = taken_in(listener, PORT_HERE, &slot);
	bring(slot, 10);
	receive_all(fd, 10);
	nonblock(listener);
	CALL(accept(listener, NULL, NULL));
}

CASE_FAST(cancelled_in_connect)
{
	struct addr to = nowhere(9);
	int slot, fd = tcp();

	cancel(wait_in_connect, fd);
	nonblock(fd);
	CALL(connect(fd, SA(&to), to.len));
	CALL(close(fd));
	fd = linked(&slot);
	bring(slot, 10);
	receive_all(fd, 10);
}

CASE_FAST(cancelled_in_send)
{
	int slot, fd = linked(&slot);

	cancel(wait_in_send, fd);
	bring(slot, 10);
	receive_all(fd, 10);
	CALL(shutdown(fd, SHUT_WR));
	say("the peer read some %d", peer("rest %d", slot) > 0);
}

struct waiter {
	pthread_t thread;
	int fd, error;
	long result;
};

static void *receive_one(void *argument)
{
	struct waiter *w = argument;

	errno = ERRNO_MARK;
	w->result = recv(w->fd, buf, 10, 0);
	w->error = errno;
	return NULL;
}

static void *accept_one(void *argument)
{
	struct waiter *w = argument;

	errno = ERRNO_MARK;
	w->result = accept(w->fd, NULL, NULL) < 0 ? -1 : 0;
	w->error = errno;
	return NULL;
}

/* In the kernel the call goes on: it holds the file. Here it ends (decision 0011). P40, as the next. */
CASE_FAST(closed_under_recv)
{
	int slot, again;
	struct waiter w = { .fd = linked(&slot) };

	pthread_create(&w.thread, NULL, receive_one, &w);
	settle();
	CALL(close(w.fd));
	order("send %d 10", slot);
	pthread_join(w.thread, NULL);
	say_call("recv", w.result, w.error);
	again = linked(&slot);
	bring(slot, 10);
	receive_all(again, 10);
}

CASE_FAST(closed_under_accept)
{
	struct waiter w = { .fd = tcp_listening(PORT_HERE, 4) };
	int slot, fd;

	pthread_create(&w.thread, NULL, accept_one, &w);
	settle();
	CALL(close(w.fd));
	order("begin %d", PORT_HERE);
	pthread_join(w.thread, NULL);
	say_call("accept", w.result, w.error);
	fd = linked(&slot);
	bring(slot, 10);
	receive_all(fd, 10);
}

static void answer_one(int listener)
{
	int fd = accept(listener, NULL, NULL);
	char c[16];
	ssize_t n;

	while ((n = recv(fd, c, sizeof(c), 0)) > 0)
		send(fd, c, (size_t)n, 0);
	close(fd);
}

/* Of one stack: the kernel carries what stays inside the host. P52 */
CASE(threads_talk_to_each_other)
{
	struct addr to = here(PORT_HERE);
	int listener = tcp_listening(PORT_HERE, 4), fd = tcp();

	later(0, answer_one, listener);
	CALL(connect(fd, SA(&to), to.len));
	for (int i = 0; i < 2; i++) {
		CALL(send(fd, "ping", 4, 0));
		receive_all(fd, 4);
	}
	CALL(shutdown(fd, SHUT_WR));
	CALL(recv(fd, buf, 10, 0));
	later_done();
}

static volatile int in_handler_fd;

static void from_handler(int number)
{
	(void)number;
	if (send(in_handler_fd, "handler", 7, MSG_DONTWAIT) != 7)
		signals_seen = -100;
	signals_seen++;
}

CASE_FAST(handler_sends_while_recv_waits)
{
	struct itimerval soon = { .it_value.tv_usec = 80000 };
	int slot, fd = linked(&slot);

	in_handler_fd = fd;
	order("echo %d", slot);
	on_signal(SIGALRM, from_handler, SA_RESTART);
	setitimer(ITIMER_REAL, &soon, NULL);
	CALL(recv(fd, buf, 7, MSG_WAITALL));
	say("signals %d", signals_seen);
}

CASE_FAST(mixed_with_datagrams)
{
	struct addr a = here(PORT_HERE2), to = there(9);
	int slot, fd = linked(&slot), datagrams = udp();

	CALL(bind(datagrams, SA(&a), a.len));
	CALL(sendto(datagrams, "x", 1, 0, SA(&to), to.len));
	bring(slot, 10);
	receive_all(fd, 10);
	CALL(close(datagrams));
	CALL(send(fd, "x", 1, 0));
	order("take %d 1", slot);
}

/* What a program leaves when it ends in the middle of everything. While it is quiet: its helper looks around with the lock as it
 * begins, and who dies then takes the connections along. In the call by which its bytes left: test_tcp_workers.py. */
CASE_PART(child_is_killed)
{
	struct addr to = there(PORT_PEER);
	pid_t pid = fork();
	int own;

	if (pid == 0) {
		own = tcp();
		if (connect(own, SA(&to), to.len) != 0 || send(own, "child", 5, 0) != 5)
			_exit(1);
		pause();
	}
	order("accept %d", PORT_PEER);
	order("take 0 5");
	usleep(500000);
	kill(pid, SIGKILL);
	ended(pid);
	order("rest 0");
}

/* As set_whose_members_number_the_parent_closed of process.c. EP27 */
CASE_BY(childs_connection_in_a_shared_set, option)
{
	int slot, fd = linked(&slot), ep = epoll_create1(EPOLL_CLOEXEC), to_child[2], to_parent[2];
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = 5 };
	char c = 0;
	pid_t pid;

	if (pipe(to_child) < 0 || pipe(to_parent) < 0)
		fail("pipe");
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	pid = fork();
	if (pid == 0) {
		if (read(to_child[0], &c, 1) != 1 || epoll_wait(ep, &e, 1, GUARD_S * 1000) != 1 || e.data.u64 != 5 ||
		    recv(fd, buf, 10, MSG_WAITALL) != 10 || write(to_parent[1], &c, 1) != 1)
			_exit(1);
		/* What it is the kernel's from is in the set as before. */
		if (read(to_child[0], &c, 1) != 1 || fcntl(fd, F_SETFL, O_ASYNC) != 0 || write(to_parent[1], &c, 1) != 1 ||
		    epoll_wait(ep, &e, 1, GUARD_S * 1000) != 1 || e.data.u64 != 5 || recv(fd, buf, 10, MSG_WAITALL) != 10)
			_exit(2);
		_exit(0);
	}
	CALL(close(fd));
	order("send %d 10", slot);
	CALL(epoll_wait(ep, &e, 1, GUARD_S * 1000));
	say("%#x of %d", e.events, (int)e.data.u64);
	CALL(write(to_child[1], &c, 1));
	CALL(read(to_parent[0], &c, 1));
	CALL(epoll_wait(ep, &e, 1, 0));
	CALL(write(to_child[1], &c, 1));
	CALL(read(to_parent[0], &c, 1));
	order("send %d 10", slot);
	ended(pid);
	order("rest %d", slot);
	CALL(epoll_wait(ep, &e, 1, 0));
}

/*
 * Connections that live when a ring is made move with what is queued both ways; a listener's are the kernel's. P03
 * What the process opens later is the kernel's: no case may follow.
 */
CASE_BY(ring_made, io_uring)
{
	struct io_uring_params p = { 0 };
	int slot, other, fd = linked_out(&slot), listener = tcp_listening(PORT_HERE, 5);

	order("send %d 100", slot);
	CALL(send(fd, "before", 6, 0));
	say("a ring: %d", syscall(SYS_io_uring_setup, 1L, &p) >= 0);
	receive_all(fd, 100);
	CALL(send(fd, "after", 5, 0));
	order("take %d 11", slot);
	close(fd);
	fd = taken_in(listener, PORT_HERE, &other);
	CALL(send(fd, "hello", 5, 0));
	order("take %d 5", other);
}
