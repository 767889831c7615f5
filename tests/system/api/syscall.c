/* SPDX-License-Identifier: BSD-2-Clause */
/* syscall.c - syscall(): what concerns sockets only in part, or not at all. P02. */
#include "record.h"

#include <linux/futex.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { KERNEL_SIGSET = 8, STACK = 64 << 10, PAGE = 4096 };

static unsigned char buf[4096];

CASE(six_arguments_reach_the_kernel)
{
	int fd = memfd_create("x", 0);
	char *page;

	CALL(ftruncate(fd, 2 * PAGE));
	CALL(pwrite(fd, "second", 6, PAGE));
	page = (char *)syscall(SYS_mmap, NULL, (size_t)PAGE, (long)PROT_READ, (long)MAP_SHARED, fd, (long)PAGE);
	say("%s", page);
	CALL(syscall(SYS_munmap, page, (size_t)PAGE));
}

CASE(errors)
{
	uint32_t word = 1;

	CALL(syscall(100000));
	CALL(syscall(-1));
	CALL(syscall(511));
	CALL(syscall(512));
	CALL(syscall(SYS_futex, &word, (long)FUTEX_WAIT, 2L, NULL, NULL, 0L));
	CALL(syscall(SYS_read, -1, buf, sizeof(buf)));
	CALL(syscall(SYS_getppid) > 0);
}

/* Libc keeps the time that is given; the kernel says what is left, if it can. */
CASE_FAST(times_that_are_left)
{
	static const struct timespec constant = { .tv_nsec = 1000 };
	struct timespec limit = { .tv_sec = 60 };
	int fd = udp_connected(PORT_HERE, PORT_ECHO);
	struct pollfd set = { .fd = fd, .events = POLLIN };
	fd_set in;

	CALL(syscall(SYS_ppoll, &set, 1L, &constant, NULL, (long)KERNEL_SIGSET));
	FD_ZERO(&in);
	FD_SET(fd, &in);
	CALL(syscall(SYS_pselect6, fd + 1, &in, NULL, NULL, &constant, NULL));
	CALL(syscall(SYS_sendto, fd, "x", (size_t)1, 0L, NULL, 0L));
	CALL(syscall(SYS_ppoll, &set, 1L, &limit, NULL, 0L));
	say("less: %d", limit.tv_sec < 60 && limit.tv_sec > 20);
	limit = (struct timespec){ .tv_sec = 60 };
	FD_SET(fd, &in);
	CALL(syscall(SYS_pselect6, fd + 1, &in, NULL, NULL, &limit, NULL));
	say("less: %d", limit.tv_sec < 60 && limit.tv_sec > 20);
	CALL(syscall(SYS_recvfrom, fd, buf, sizeof(buf), 0L, NULL, NULL));
	limit = (struct timespec){ .tv_sec = 0 };
	CALL(syscall(SYS_ppoll, &set, 1L, &limit, NULL, 0L));
}

CASE(masks_of_another_size)
{
	struct {
		const sigset_t *mask;
		size_t size;
	} arg = { .size = 3 };
	int fd = udp_bound(PORT_HERE), epfd = epoll_create1(0);
	struct pollfd set = { .fd = fd, .events = POLLIN };
	struct epoll_event event = { .events = EPOLLIN };
	struct timespec none = { 0 };
	sigset_t mask;
	fd_set in;

	sigemptyset(&mask);
	FD_ZERO(&in);
	FD_SET(fd, &in);
	CALL(syscall(SYS_epoll_ctl, epfd, (long)EPOLL_CTL_ADD, fd, &event));
	CALL(syscall(SYS_ppoll, &set, 1L, &none, &mask, 3L));
	CALL(syscall(SYS_ppoll, &set, 1L, &none, NULL, 3L));
	CALL(syscall(SYS_epoll_pwait, epfd, &event, 1L, 0L, &mask, 3L));
	CALL(syscall(SYS_epoll_pwait, epfd, &event, 1L, 0L, &mask, (long)KERNEL_SIGSET));
	CALL(syscall(SYS_epoll_pwait2, epfd, &event, 1L, &none, &mask, 3L));
	CALL(syscall(SYS_pselect6, fd + 1, &in, NULL, NULL, &none, &arg));
	arg.mask = &mask;
	CALL(syscall(SYS_pselect6, fd + 1, &in, NULL, NULL, &none, &arg));
}

/* What SYS_close frees is free: the next socket of the number is another. */
CASE_FAST(close_ends_the_socket)
{
	for (int i = 0; i < 3; i++) {
		int fd = udp_connected(PORT_HERE, PORT_ECHO);

		CALL(syscall(SYS_write, fd, "hello", (size_t)5));
		CALL(syscall(SYS_read, fd, buf, sizeof(buf)));
		CALL(syscall(SYS_close, fd));
		CALL(syscall(SYS_read, fd, buf, sizeof(buf)));
	}
}

static void *wait_uncancelled(void *arg)
{
	int fd = *(int *)arg;

	CALL(syscall(SYS_recvfrom, fd, buf, sizeof(buf), 0L, NULL, NULL));
	pthread_testcancel();
	say("not reached");
	return NULL;
}

CASE_FAST(is_no_point_of_cancellation)
{
	int fd = udp_connected(PORT_HERE, PORT_ECHO);
	pthread_t thread;

	pthread_create(&thread, NULL, wait_uncancelled, &fd);
	sleep_ms(50);
	pthread_cancel(thread);
	sleep_ms(50);
	CALL(syscall(SYS_write, fd, "hello", (size_t)5));
	CALL(pthread_join(thread, NULL));
}

/* Children of the raw calls: as from fork(), by the number of the signal, and on a stack of their own. */
CASE_FAST(children)
{
	int fd = udp_connected(PORT_HERE, PORT_ECHO), status;
	pid_t child = (pid_t)syscall(SYS_fork);

	if (child == 0) {
		syscall(SYS_write, fd, "child", (size_t)5);
		syscall(SYS_exit_group, syscall(SYS_read, fd, buf, sizeof(buf)));
	}
	CALL(waitpid(child, &status, 0) == child);
	CALL(WEXITSTATUS(status));
	child = (pid_t)syscall(SYS_clone, (long)SIGCHLD, NULL, NULL, NULL, NULL);
	if (child == 0)
		syscall(SYS_exit_group, 7L);
	CALL(waitpid(child, &status, 0) == child);
	CALL(WEXITSTATUS(status));
	CALL(syscall(SYS_write, fd, "parent", (size_t)6));
	CALL(syscall(SYS_read, fd, buf, sizeof(buf)));
}

static volatile int ran;

static void on_own_stack(void)
{
	ran = 1;
	syscall(SYS_exit, 5L);
}

/* The child returns from syscall() to what lies on top of its stack. */
CASE(clone_on_another_stack)
{
	void **top = (void **)(mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + STACK - 64);
	int status;
	pid_t child;

	top[0] = (void *)on_own_stack;
	child = (pid_t)syscall(SYS_clone, (long)(CLONE_VM | CLONE_VFORK | SIGCHLD), top, NULL, NULL, NULL);
	CALL(waitpid(child, &status, 0) == child);
	say("ran %d, status %d", ran, WEXITSTATUS(status));
}

CASE_FAST(program_executed)
{
	int fd = udp_connected(PORT_HERE, PORT_ECHO), status;
	char *argv[] = { "sh", "-c", "exit 9", NULL };
	pid_t child = fork();

	if (child == 0) {
		syscall(SYS_execve, "/bin/sh", argv, environ);
		syscall(SYS_exit_group, 1L);
	}
	CALL(waitpid(child, &status, 0) == child);
	CALL(WEXITSTATUS(status));
	CALL(syscall(SYS_write, fd, "parent", (size_t)6));
	CALL(syscall(SYS_read, fd, buf, sizeof(buf)));
}

/* One request at a time; what the kernel answered. */
static int ring_does(int ring, const struct io_uring_params *p, const struct io_uring_sqe *request)
{
	void *queue = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	struct io_uring_sqe *sqe = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	const struct io_uring_cqe *cqe = queue + p->cq_off.cqes;
	uint32_t *head = queue + p->cq_off.head, *array = queue + p->sq_off.array, *tail = queue + p->sq_off.tail, at = *head;

	*sqe = *request;
	*array = 0;
	__atomic_fetch_add(tail, 1, __ATOMIC_RELEASE);
	syscall(SYS_io_uring_enter, ring, 1L, 1L, (long)IORING_ENTER_GETEVENTS, NULL, 0L);
	__atomic_store_n(head, at + 1, __ATOMIC_RELEASE);
	return cqe[at % p->cq_entries].res;
}

static int ring_receive(int ring, const struct io_uring_params *p, int fd)
{
	return ring_does(ring, p, &(struct io_uring_sqe){ .opcode = IORING_OP_RECV, .fd = fd, .addr = (uint64_t)buf,
							  .len = sizeof(buf) });
}

/* From a ring on, sockets are the kernel's, and what the ring receives is what the peer sent. P03 */
CASE_BY(ring, io_uring)
{
	struct io_uring_params p = { 0 };
	int before = udp_connected(PORT_HERE, PORT_ECHO), after, ring;

	CALL(send(before, "hello", 5, 0));
	CALL(recv(before, buf, sizeof(buf), 0));
	CALL(syscall(SYS_io_uring_setup, 0L, &p));
	ring = (int)syscall(SYS_io_uring_setup, 1L, &p);
	say("a ring: %d", ring >= 0);
	if (ring < 0)
		return;
	CALL(send(before, "hello", 5, 0));
	CALL(ring_receive(ring, &p, before));
	say("%.5s", buf);
	after = udp_connected(PORT_HERE2, PORT_ECHO);
	CALL(send(after, "other", 5, 0));
	CALL(ring_receive(ring, &p, after));
	say("%.5s", buf);
	CALL(send(before, "hello", 5, 0));
	CALL(recv(before, buf, sizeof(buf), 0));
}

/* A ring closes a socket that was accelerated, and what it accepts gets the number. P21 */
CASE_BY(ring_takes_a_number, io_uring)
{
	struct io_uring_params p = { 0 };
	int fd = udp_connected(PORT_HERE, PORT_ECHO), listener = socket(family(), SOCK_STREAM, 0), client, ring, got, on = 1;
	struct addr a = here(PORT_HERE2);

	CALL(send(fd, "hello", 5, 0));
	CALL(recv(fd, buf, sizeof(buf), 0));
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, SA(&a), a.len) < 0 || listen(listener, 4) < 0)
		fail("listen");
	ring = (int)syscall(SYS_io_uring_setup, 1L, &p);
	say("a ring: %d", ring >= 0);
	client = socket(family(), SOCK_STREAM, 0);
	CALL(connect(client, SA(&a), a.len));
	CALL(ring_does(ring, &p, &(struct io_uring_sqe){ .opcode = IORING_OP_CLOSE, .fd = fd }));
	got = ring_does(ring, &p, &(struct io_uring_sqe){ .opcode = IORING_OP_ACCEPT, .fd = listener });
	say("the number %d", got == fd);
	CALL(send(client, "word", 4, 0));
	CALL(recv(got, buf, sizeof(buf), 0));
	CALL(send(got, "answer", 6, 0));
	CALL(recv(client, buf, sizeof(buf), 0));
	CALL(shutdown(got, SHUT_WR));
	CALL(recv(client, buf, sizeof(buf), 0));
	CALL(close(got));
	CALL(recv(got, buf, sizeof(buf), 0));
	fd = udp_connected(PORT_HERE, PORT_ECHO);
	CALL(send(fd, "hello", 5, 0));
	CALL(recv(fd, buf, sizeof(buf), 0));
}
