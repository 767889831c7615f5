/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * odd.c - a client that reaches its calls in odd ways, for test_pitfalls.py.
 *
 * usage: odd next | plug LIBRARY | space | raw | patient | crowd | ends | churn COUNT | plain
 *
 * It talks to an echo server (talk.h) by what it found; where that goes past the preloaded library, by the ordinary calls
 * before and after, too.
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>

#include "talk.h"

static const struct talk_calls plain = { socket, connect, send, recv, close };

/* By names looked up in @where. */
static void talk_from(void *where, const char *who)
{
	struct talk_calls c = {
		.socket = (__typeof__(c.socket))dlsym(where, "socket"),
		.connect = (__typeof__(c.connect))dlsym(where, "connect"),
		.send = (__typeof__(c.send))dlsym(where, "send"),
		.recv = (__typeof__(c.recv))dlsym(where, "recv"),
		.close = (__typeof__(c.close))dlsym(where, "close"),
	};

	talk(&c, who);
}

/* A plug-in that prefers its own libraries: it finds libc's functions. */
static int talk_by_plug_in(const char *library)
{
	void *plug = dlopen(library, RTLD_NOW | RTLD_DEEPBIND);
	void (*ask)(const char *) = plug ? (void (*)(const char *))dlsym(plug, "guest_talk") : NULL;

	if (!ask)
		return 3;
	talk(&plain, "before");
	ask("plug-in");
	talk(&plain, "after");
	return 0;
}

/* Another libc, in a namespace of its own. */
static int talk_in_space(void)
{
	void *libc = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW);

	if (!libc)
		return 3;
	talk(&plain, "before");
	talk_from(libc, "space");
	talk(&plain, "after");
	return 0;
}

/* --- system calls by instructions of our own --- */

static long raw(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall" : "=a"(ret)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
#else
#error "how does this machine enter its kernel?"
#endif
}

static int raw_socket(int domain, int type, int protocol)
{
	return (int)raw(SYS_socket, domain, type, protocol, 0, 0, 0);
}

static int raw_connect(int fd, const struct sockaddr *to, socklen_t len)
{
	return (int)raw(SYS_connect, fd, (long)to, (long)len, 0, 0, 0);
}

static ssize_t raw_send(int fd, const void *data, size_t len, int flags)
{
	return raw(SYS_sendto, fd, (long)data, (long)len, flags, 0, 0);
}

static ssize_t raw_recv(int fd, void *data, size_t len, int flags)
{
	return raw(SYS_recvfrom, fd, (long)data, (long)len, flags, 0, 0);
}

static int raw_close(int fd)
{
	return (int)raw(SYS_close, fd, 0, 0, 0, 0, 0);
}

/* What waits in the stack is not for those who ask the kernel: an error, no data, and nothing lost. */
static bool keeps_its_data(void)
{
	int fd = talk_open(&plain, SOCK_STREAM);
	struct pollfd in = { .fd = fd, .events = POLLIN };
	char word[5] = "";
	bool kept;

	kept = send(fd, "word", 4, 0) == 4 && poll(&in, 1, -1) == 1 && raw_recv(fd, word, 4, MSG_DONTWAIT) == -ENOTCONN &&
	       recv(fd, word, 4, 0) == 4 && strcmp(word, "word") == 0;
	close(fd);
	return kept;
}

/* --- a ring made and entered so --- */

enum { RING_BYTES = 16384 }; /* of one entry: more than each of its parts takes */

/* One request; what the kernel answered. */
static int ring_does(int ring, const struct io_uring_params *p, const struct io_uring_sqe *request)
{
	uint8_t *queue = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	struct io_uring_sqe *sqe = mmap(NULL, sizeof(*sqe), PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	const struct io_uring_cqe *cqe = (const void *)(queue + p->cq_off.cqes);
	uint32_t *head = (void *)(queue + p->cq_off.head), at = *head;

	*sqe = *request;
	*(uint32_t *)(void *)(queue + p->sq_off.array) = 0;
	__atomic_fetch_add((uint32_t *)(void *)(queue + p->sq_off.tail), 1, __ATOMIC_RELEASE);
	raw(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0);
	__atomic_store_n(head, at + 1, __ATOMIC_RELEASE);
	return cqe[at % p->cq_entries].res;
}

/* Asked by the ring, socket @fd has nothing to give, and a stream takes nothing. */
static bool ring_is_refused(int ring, const struct io_uring_params *p, int fd, int type)
{
	char word[5] = "ring";
	struct io_uring_sqe request = { .opcode = IORING_OP_RECV, .fd = fd, .addr = (uint64_t)(uintptr_t)word, .len = 4,
					.msg_flags = MSG_DONTWAIT };

	if (ring_does(ring, p, &request) != (type == SOCK_STREAM ? -ENOTCONN : -EAGAIN))
		return false;
	request.opcode = IORING_OP_SEND;
	request.msg_flags = MSG_NOSIGNAL;
	return type != SOCK_STREAM || (ring_does(ring, p, &request) == -EPIPE && strcmp(word, "ring") == 0);
}

/* Of what comes and goes on the fast path a ring, if the kernel grants one, takes nothing and adds nothing. */
static bool keeps_its_data_from_a_ring(int type)
{
	struct io_uring_params p = { 0 };
	int ring = (int)raw(SYS_io_uring_setup, 1, (long)&p, 0, 0, 0, 0), fd = talk_open(&plain, type);
	struct pollfd in = { .fd = fd, .events = POLLIN };
	char word[5] = "";
	bool kept = send(fd, "0123", 4, 0) == 4 && poll(&in, 1, -1) == 1;

	if (ring >= 0)
		kept = kept && ring_is_refused(ring, &p, fd, type);
	kept = kept && recv(fd, word, 4, 0) == 4 && strcmp(word, "0123") == 0;
	kept = kept && send(fd, "4567", 4, 0) == 4 && recv(fd, word, 4, 0) == 4 && strcmp(word, "4567") == 0;
	close(fd);
	raw_close(ring);
	return kept;
}

static int talk_raw(void)
{
	static const struct talk_calls c = { raw_socket, raw_connect, raw_send, raw_recv, raw_close };

	talk(&plain, "before");
	talk(&c, "raw");
	talk(&plain, "after");
	if (!keeps_its_data())
		return 4;
	return keeps_its_data_from_a_ring(SOCK_STREAM) && keeps_its_data_from_a_ring(SOCK_DGRAM) ? 0 : 5;
}

/* --- time limits, measured by the kernel's clock --- */

static long kernel_ms(void)
{
	struct timespec now;

	raw(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&now, 0, 0, 0, 0);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Each kind of wait, of a quarter of a second: none comes early, none never. */
static int wait_patiently(void)
{
	struct timeval limit = { .tv_usec = 250000 }, room;
	int datagram = talk_open(&plain, SOCK_DGRAM), stream = talk_open(&plain, SOCK_STREAM), ep = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN };
	struct pollfd in = { .fd = datagram, .events = POLLIN };
	char byte;
	fd_set set;

	talk_rounds(&plain, datagram); /* by now it is on the fast path */
	talk_rounds(&plain, stream);
	setsockopt(datagram, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(stream, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	epoll_ctl(ep, EPOLL_CTL_ADD, datagram, &event);
	for (int kind = 0; kind < 5; kind++) {
		long began = kernel_ms(), ret;

		FD_ZERO(&set);
		FD_SET(datagram, &set);
		room = limit;
		ret = kind == 0 ? recv(datagram, &byte, 1, 0) : kind == 1 ? recv(stream, &byte, 1, 0) :
		      kind == 2 ? poll(&in, 1, 250) : kind == 3 ? epoll_wait(ep, &event, 1, 250) :
		      select(datagram + 1, &set, NULL, NULL, &room);
		if (ret != (kind < 2 ? -1 : 0) || kernel_ms() - began < 249)
			return 5 + kind;
	}
	talk(&plain, "patient");
	return 0;
}

/* --- threads --- */

enum { CROWD = 4 };

static void *talk_in_crowd(void *arg)
{
	talk(&plain, arg);
	return NULL;
}

static int talk_all_at_once(void)
{
	pthread_t thread[CROWD];

	for (int i = 0; i < CROWD; i++)
		if (pthread_create(&thread[i], NULL, talk_in_crowd, "crowd") != 0)
			return 3;
	for (int i = 0; i < CROWD; i++)
		pthread_join(thread[i], NULL);
	return 0;
}

/* --- sockets that come and go --- */

static long resident_kib(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long pages = 0;

	if (!file || fscanf(file, "%*s %ld", &pages) != 1)
		_exit(98);
	fclose(file);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static int lowest_free(void)
{
	int fd = dup(1);

	close(fd);
	return fd;
}

/* One of each kind, in turn. */
static void make_one(long i)
{
	struct sockaddr_in any = { .sin_family = AF_INET };
	int fd = i % 8 == 0 ? talk_open(&plain, SOCK_DGRAM) : socket(AF_INET, i % 2 ? SOCK_DGRAM : SOCK_STREAM, 0);

	if (fd < 0)
		_exit(97);
	if (i % 8 == 0 && send(fd, "word", 4, 0) != 4)
		_exit(96);
	if (i % 8 >= 5 && bind(fd, (const struct sockaddr *)&any, sizeof(any)) < 0)
		_exit(95);
	if (i % 8 == 6 && listen(fd, 5) < 0)
		_exit(94);
	close(fd);
}

/* What is grown is said once there was everything. */
static int come_and_go(long times)
{
	long warm = times / 10, before = 0;
	int free_before = 0;

	for (long i = 0; i < times; i++) {
		if (i == warm) {
			before = resident_kib();
			free_before = lowest_free();
		}
		make_one(i);
	}
	printf("made: %ld\nKiB more: %ld\ndescriptors more: %d\n", times, resident_kib() - before, lowest_free() - free_before);
	return 0;
}

static int sent; /* atomic */

static void *go_on(void *arg)
{
	int fd = talk_open(&plain, SOCK_STREAM);
	char word[4];

	(void)arg;
	while (send(fd, "word", 4, 0) == 4 && recv(fd, word, 4, MSG_WAITALL) == 4)
		__atomic_fetch_add(&sent, 1, __ATOMIC_RELAXED);
	_exit(93);
}

/* What it has to print takes until somebody reads it; another thread sends all the while. */
static int end_slowly(void)
{
	enum { LINES = 50000 };
	static char buffered[LINES * 10]; /* more than a pipe holds */
	pthread_t thread;

	setvbuf(stdout, buffered, _IOFBF, sizeof(buffered));
	if (pthread_create(&thread, NULL, go_on, NULL) != 0)
		return 3;
	while (__atomic_load_n(&sent, __ATOMIC_RELAXED) < 100)
		sched_yield();
	for (int i = 0; i < LINES; i++)
		puts("a line");
	return 0;
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";

	if (strcmp(how, "plug") == 0 && argc > 2)
		return talk_by_plug_in(argv[2]);
	if (strcmp(how, "space") == 0)
		return talk_in_space();
	if (strcmp(how, "raw") == 0)
		return talk_raw();
	if (strcmp(how, "patient") == 0)
		return wait_patiently();
	if (strcmp(how, "crowd") == 0)
		return talk_all_at_once();
	if (strcmp(how, "ends") == 0)
		return end_slowly();
	if (strcmp(how, "churn") == 0 && argc > 2)
		return come_and_go(atol(argv[2]));
	if (strcmp(how, "next") == 0)
		talk_from(RTLD_NEXT, "next");
	else
		talk(&plain, "plain");
	return 0;
}
