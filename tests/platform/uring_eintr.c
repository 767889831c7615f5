/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A multishot poll of io_uring on an epoll set tells of events by a word in memory, without a system
 * call, again and again. Its completion runs in the thread that armed it: an epoll_wait() of that
 * thread on another set then ends with EINTR though every signal is blocked (seen on Linux 6.18; a
 * kernel that sleeps on is as good), a ppoll() goes on undisturbed.
 *
 * Relied on by: src/host/watch, which is why src/context/block.c sleeps in ppoll() and nowhere else.
 */
#include "bpf_tiny.h"

#include <linux/io_uring.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

enum {
	RING = 8,
	EVENT_MS = 20, /* when the watched set gets its event */
	SLEEP_MS = 100,
	LIMIT_MS = 2000,
};

struct ring {
	int fd;
	uint8_t *at; /* both rings */
	struct io_uring_sqe *sqes;
	struct io_uring_params p;
};

/* Sets and what makes them ready. */
struct bed {
	struct ring ring;
	int watched, watched_event; /* the set the ring watches */
	int other, other_event;	    /* a set nothing happens in */
};

static uint32_t *word(const struct ring *r, uint32_t offset)
{
	return (void *)(r->at + offset);
}

static uint32_t completions(const struct ring *r)
{
	return __atomic_load_n(word(r, r->p.cq_off.tail), __ATOMIC_ACQUIRE);
}

static void ring_open(struct ring *r)
{
	size_t sq, cq;

	memset(&r->p, 0, sizeof(r->p));
	r->fd = (int)syscall(__NR_io_uring_setup, RING, &r->p);
	if (r->fd < 0)
		skip("io_uring is denied");
	if (!(r->p.features & IORING_FEAT_SINGLE_MMAP))
		skip("one mapping for both rings (Linux 5.4)");
	sq = r->p.sq_off.array + r->p.sq_entries * sizeof(uint32_t);
	cq = r->p.cq_off.cqes + r->p.cq_entries * sizeof(struct io_uring_cqe);
	r->at = mmap(NULL, sq > cq ? sq : cq, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd,
		     IORING_OFF_SQ_RING);
	r->sqes = mmap(NULL, r->p.sq_entries * sizeof(*r->sqes), PROT_READ | PROT_WRITE, MAP_SHARED,
		       r->fd, IORING_OFF_SQES);
	check(r->at != MAP_FAILED && r->sqes != MAP_FAILED, "the rings can be mapped");
}

static void ring_watch(struct ring *r, int fd)
{
	r->sqes[0] = (struct io_uring_sqe){
		.opcode = IORING_OP_POLL_ADD,
		.fd = fd,
		.len = IORING_POLL_ADD_MULTI,
		.poll32_events = EPOLLIN,
	};
	word(r, r->p.sq_off.array)[0] = 0;
	__atomic_store_n(word(r, r->p.sq_off.tail), 1, __ATOMIC_RELEASE);
	check(syscall(__NR_io_uring_enter, r->fd, 1, 0, 0, NULL, 0) == 1, "the poll is armed");
	check(completions(r) == 0, "nothing is reported of a set without events");
}

static int set_over(int event_fd)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int set = epoll_create1(EPOLL_CLOEXEC);

	check(set >= 0 && epoll_ctl(set, EPOLL_CTL_ADD, event_fd, &event) == 0, "a set");
	return set;
}

static void *ready_later(void *arg)
{
	const struct bed *b = arg;
	const uint64_t one = 1;

	pause_ms(EVENT_MS);
	check(write(b->watched_event, &one, sizeof(one)) == sizeof(one), "an event");
	return NULL;
}

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void spins(struct bed *b)
{
	uint32_t before = completions(&b->ring);
	long limit = now_ms() + LIMIT_MS;

	while (completions(&b->ring) == before) /* the clock is no system call either (vdso) */
		check(now_ms() < limit, "a completion reaches a thread that makes no system call");
}

static void sleeps_in_ppoll(struct bed *b)
{
	struct pollfd fd = { .fd = b->other_event, .events = POLLIN };
	struct timespec limit = { .tv_nsec = SLEEP_MS * 1000000L };
	long start = now_ms();

	check(ppoll(&fd, 1, &limit, NULL) == 0, "ppoll() is not interrupted");
	check(now_ms() - start >= SLEEP_MS - 1, "ppoll() waits as long as it was told");
}

static void sleeps_in_epoll_wait(struct bed *b)
{
	struct epoll_event event;
	long start = now_ms();
	int n = epoll_wait(b->other, &event, 1, SLEEP_MS);

	if (n < 0 && errno == EINTR) {
		printf("epoll_wait() ended with EINTR after %ld ms, no signal\n", now_ms() - start);
		return;
	}
	check(n == 0, "epoll_wait() sleeps on, or ends with EINTR");
	printf("epoll_wait() was not interrupted on this kernel\n");
}

/* @waiting goes on in this thread, which armed the poll, while the watched set gets an event. */
static void during(struct bed *b, void (*waiting)(struct bed *))
{
	uint32_t before = completions(&b->ring);
	pthread_t helper;

	check(pthread_create(&helper, NULL, ready_later, b) == 0, "a thread");
	waiting(b);
	pthread_join(helper, NULL);
	check(completions(&b->ring) > before, "each event is reported: the poll stays armed");
}

int main(void)
{
	struct bed b;
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL); /* whatever interrupts is no signal */
	b.watched_event = eventfd(0, EFD_CLOEXEC);
	b.other_event = eventfd(0, EFD_CLOEXEC);
	b.watched = set_over(b.watched_event);
	b.other = set_over(b.other_event);
	ring_open(&b.ring);
	ring_watch(&b.ring, b.watched);
	during(&b, spins);
	during(&b, sleeps_in_ppoll);
	during(&b, sleeps_in_epoll_wait);
	return 0;
}
