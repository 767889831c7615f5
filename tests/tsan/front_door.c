/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * front_door.c - several threads on shared sockets, linked with the preload's own sources and built with
 * ThreadSanitizer: every access of the front door, the context and the engine is watched.
 *
 * usage: front_door ADDRESS PORT     where an echo server listens
 *
 * Plain socket calls and nothing of fsock; tests/system/test_tsan.py provides namespaces and echo
 * server and judges. Each scene lasts a fixed time. Exit status 0 unless a call fails that must not.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SCENE_MS = 1500, WAIT_MS = 50, THREADS = 3 };

static struct sockaddr_in server;

/* ThreadSanitizer keeps books of descriptors too: closing one that another thread receives from is a
 * race of the program, as is sending on one that was closed. Here it is what one scene is about. */
const char *__tsan_default_suppressions(void);

const char *__tsan_default_suppressions(void)
{
	return "race_top:^recv$\n";
}

/* What the threads of one scene share. */
struct scene {
	int fd, other, epfd;
	bool stop;    /* atomic */
	unsigned got; /* atomic: datagrams received */
};

static void must(bool good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

static int open_socket(void)
{
	struct timeval limit = { .tv_usec = WAIT_MS * 1000 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	must(fd >= 0, "socket");
	must(connect(fd, (struct sockaddr *)&server, sizeof(server)) == 0, "connect");
	must(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0, "SO_RCVTIMEO");
	return fd;
}

static bool stopped(struct scene *s)
{
	return __atomic_load_n(&s->stop, __ATOMIC_RELAXED);
}

static void took(struct scene *s, ssize_t n)
{
	if (n >= 0)
		__atomic_fetch_add(&s->got, 1, __ATOMIC_RELAXED);
}

static void sleep_ms(unsigned ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

/* --- what a thread may do --- */

static void *reader(void *arg)
{
	struct scene *s = arg;
	char buf[256];

	while (!stopped(s))
		took(s, recv(s->fd, buf, sizeof(buf), 0));
	return NULL;
}

static void *writer(void *arg)
{
	struct scene *s = arg;

	while (!stopped(s)) {
		send(s->fd, "ping", 4, MSG_DONTWAIT);
		sched_yield();
	}
	return NULL;
}

static void *poller(void *arg)
{
	struct scene *s = arg;
	char buf[256];

	while (!stopped(s)) {
		struct pollfd fds[2] = { { .fd = s->fd, .events = POLLIN },
					 { .fd = s->other, .events = POLLIN } };

		if (poll(fds, 2, WAIT_MS) <= 0)
			continue;
		for (int i = 0; i < 2; i++)
			if (fds[i].revents & POLLIN)
				took(s, recv(fds[i].fd, buf, sizeof(buf), MSG_DONTWAIT));
	}
	return NULL;
}

static void *waiter(void *arg)
{
	struct scene *s = arg;
	struct epoll_event events[4];
	char buf[256];

	while (!stopped(s)) {
		int n = epoll_wait(s->epfd, events, 4, WAIT_MS);

		for (int i = 0; i < n; i++)
			took(s, recv(events[i].data.fd, buf, sizeof(buf), MSG_DONTWAIT));
	}
	return NULL;
}

/* Registers, changes and removes under the waiter's feet. */
static void *controller(void *arg)
{
	static const uint32_t kinds[] = { EPOLLIN, EPOLLIN | EPOLLET, EPOLLIN | EPOLLONESHOT };
	struct scene *s = arg;

	for (unsigned turn = 0; !stopped(s); turn++) {
		struct epoll_event event = { .events = kinds[turn % 3], .data.fd = s->fd };

		must(epoll_ctl(s->epfd, EPOLL_CTL_MOD, s->fd, &event) == 0, "EPOLL_CTL_MOD");
		event.data.fd = s->other;
		must(epoll_ctl(s->epfd, EPOLL_CTL_ADD, s->other, &event) == 0, "EPOLL_CTL_ADD");
		send(s->other, "ping", 4, 0);
		sched_yield();
		must(epoll_ctl(s->epfd, EPOLL_CTL_DEL, s->other, NULL) == 0, "EPOLL_CTL_DEL");
	}
	return NULL;
}

/* Changes what the descriptor is while others use it. */
static void *changer(void *arg)
{
	struct scene *s = arg;

	for (unsigned turn = 0; !stopped(s); turn++) {
		struct timeval limit = { .tv_usec = WAIT_MS * 1000 + turn % 2 };
		int size = 65536 + (int)(turn % 2) * 65536, copy;

		must(fcntl(s->fd, F_SETFL, turn % 2 ? O_NONBLOCK : 0) == 0, "F_SETFL");
		must(setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0,
		     "SO_RCVTIMEO");
		must(setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) == 0,
		     "SO_RCVBUF");
		copy = dup(s->fd);
		must(copy >= 0, "dup");
		close(copy);
		sleep_ms(1);
	}
	return NULL;
}

/* --- scenes --- */

typedef void *thread_fn(void *);

static void play(const char *name, struct scene *s, thread_fn *const *threads,
		 void (*main_part)(struct scene *))
{
	pthread_t id[THREADS];
	unsigned n = 0;

	for (; n < THREADS && threads[n]; n++)
		must(pthread_create(&id[n], NULL, threads[n], s) == 0, "pthread_create");
	main_part(s);
	__atomic_store_n(&s->stop, true, __ATOMIC_RELAXED);
	while (n)
		pthread_join(id[--n], NULL);
	printf("%s: %u received\n", name, s->got);
	fflush(stdout);
}

static void just_wait(struct scene *s)
{
	sleep_ms(SCENE_MS);
}

static void two_readers(void)
{
	static thread_fn *const threads[THREADS] = { reader, reader, writer };
	struct scene s = { .fd = open_socket(), .other = -1, .epfd = -1 };

	play("two readers", &s, threads, just_wait);
	close(s.fd);
}

static void reader_and_changer(void)
{
	static thread_fn *const threads[THREADS] = { reader, writer, changer };
	struct scene s = { .fd = open_socket(), .other = -1, .epfd = -1 };

	play("reader and changer", &s, threads, just_wait);
	close(s.fd);
}

static void poll_and_send(void)
{
	static thread_fn *const threads[THREADS] = { poller, writer };
	struct scene s = { .fd = open_socket(), .other = open_socket(), .epfd = -1 };

	play("poll and send", &s, threads, just_wait);
	close(s.fd);
	close(s.other);
}

static void epoll_and_control(void)
{
	static thread_fn *const threads[THREADS] = { waiter, writer, controller };
	struct scene s = { .fd = open_socket(), .other = open_socket(), .epfd = epoll_create1(0) };
	struct epoll_event event = { .events = EPOLLIN, .data.fd = s.fd };

	must(epoll_ctl(s.epfd, EPOLL_CTL_ADD, s.fd, &event) == 0, "EPOLL_CTL_ADD");
	play("epoll and control", &s, threads, just_wait);
	close(s.fd);
	close(s.other);
	close(s.epfd);
}

static void *one_receive(void *arg)
{
	struct scene *s = arg;
	char buf[256];

	took(s, recv(s->fd, buf, sizeof(buf), 0));
	return NULL;
}

/* One that came late receives from the new socket, perhaps since before that had a time limit. */
static void join_receiver(pthread_t id, int fd)
{
	struct timespec until;

	do {
		send(fd, "ping", 4, 0);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec++;
	} while (pthread_timedjoin_np(id, NULL, &until) != 0);
}

/* The descriptor goes, and its number comes back, while a thread receives. */
static void close_against_recv(void)
{
	struct scene s = { .fd = open_socket() };

	for (unsigned turn = 0; turn < 20; turn++) {
		pthread_t id;
		int fd = s.fd;

		send(fd, "ping", 4, 0);
		must(pthread_create(&id, NULL, one_receive, &s) == 0, "pthread_create");
		sleep_ms(turn % 3);
		close(fd);
		must(open_socket() == fd, "the number was not reused");
		join_receiver(id, fd);
	}
	printf("close against recv: %u received\n", s.got);
	close(s.fd);
}

static void child(struct scene *s)
{
	char buf[256];

	for (int i = 0; i < 20; i++) {
		send(s->fd, "pong", 4, 0);
		recv(s->fd, buf, sizeof(buf), 0);
	}
	_exit(0);
}

static void fork_children(struct scene *s)
{
	for (int i = 0; i < 3; i++) {
		int status;
		pid_t pid = fork();

		must(pid >= 0, "fork");
		if (pid == 0)
			child(s);
		sleep_ms(20);
		must(waitpid(pid, &status, 0) == pid, "waitpid");
		must(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child did not end well");
	}
}

static void fork_beside_threads(void)
{
	static thread_fn *const threads[THREADS] = { reader, writer };
	struct scene s = { .fd = open_socket(), .other = -1, .epfd = -1 };

	play("fork beside threads", &s, threads, fork_children);
	close(s.fd);
}

int main(int argc, char **argv)
{
	must(argc == 3, "usage: front_door ADDRESS PORT");
	server.sin_family = AF_INET;
	server.sin_port = htons((uint16_t)atoi(argv[2]));
	must(inet_pton(AF_INET, argv[1], &server.sin_addr) == 1, "address");
	two_readers();
	reader_and_changer();
	poll_and_send();
	epoll_and_control();
	close_against_recv();
	fork_beside_threads();
	puts("done");
	return 0;
}
