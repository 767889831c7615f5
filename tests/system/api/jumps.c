/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * jumps.c - signal handlers that leave a call by siglongjmp(). P37
 *
 * The harness runs these with few sockets (columns.py, OPTIONS): if what such a call held did not come
 * back, the last of a case would find no place, and its datagrams go by the kernel.
 */
#include "record.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>

enum {
	SOCKETS = 16,	   /* as columns.py says */
	ROUNDS = 3 * SOCKETS,
	SOON_US = 3000,	   /* until the signal, again and again as long as the call does not wait */
	LONG_US = 1000,	   /* of processor time: a call that takes so long is one that waits by polling */
	OFTEN_US = 200,
	MEMBERS = 80,	   /* of a poll() that is too large for the stack's room */
};

static unsigned char buf[2048];
static sigjmp_buf way_out;
static volatile int round_no, jumped;
static volatile int64_t ran_before, slept_before;

static void alarm_in(int us)
{
	struct itimerval timer = { .it_value = { 0, us } };

	setitimer(ITIMER_REAL, &timer, NULL);
}

/* What this thread has run and how often it slept. */
static int64_t ran_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static int64_t slept(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nvcsw;
}

/* The next call waits: from here on a signal comes. */
static void about_to_wait(void)
{
	ran_before = ran_us();
	slept_before = slept();
	alarm_in(SOON_US);
}

/* Is the thread in the middle of the wait, whenever it got a processor? If not the signal comes once more. */
static bool waits(void)
{
	if (slept() > slept_before || ran_us() > ran_before + LONG_US)
		return true;
	alarm_in(SOON_US);
	return false;
}

/* A call that is left; printed only if it returns. */
#define WAIT(expr) \
	do \
		about_to_wait(); \
	while ((expr) < 0 && errno == EINTR); \
	say("%s came back", #expr)

static void jump(int number)
{
	if (!waits())
		return;
	jumped++;
	siglongjmp(way_out, number);
}

static void catch(int flags)
{
	struct sigaction act = { .sa_handler = jump, .sa_flags = flags };

	sigemptyset(&act.sa_mask);
	sigaction(SIGALRM, &act, NULL);
}

/* As many sockets as there may be find a place, and the last one is served. */
static void all_places_are_free(void)
{
	struct addr to = there(PORT_ECHO);
	int fds[SOCKETS - 1], n, last;

	for (n = 0; n < SOCKETS - 1; n++)
		fds[n] = udp_bound(PORT_HERE + 10 + n);
	last = udp_bound(PORT_HERE);
	CALL(sendto(last, "alive", 5, 0, SA(&to), to.len));
	CALL(recv(last, buf, 100, 0));
	while (n > 0)
		close(fds[--n]);
	close(last);
}

/* What a process does once, which takes its time, is done. */
static void warm_up(void)
{
	int fd = udp_bound(PORT_HERE), ep = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLIN };

	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	epoll_wait(ep, &e, 1, 20);
	close(ep);
	close(fd);
}

/* @wait waits for one socket for ever; a handler leaves it; the socket is closed. Often. */
static void again_and_again(void (*wait)(int fd))
{
	static volatile int fd;

	jumped = 0;
	warm_up();
	for (round_no = 0; round_no < ROUNDS; round_no++) {
		fd = udp_bound(PORT_HERE);
		if (sigsetjmp(way_out, 1) == 0)
			wait(fd);
		close(fd);
	}
	say("jumped each time %d", jumped == ROUNDS);
	all_places_are_free();
}

static void in_recv(int fd)
{
	WAIT(recv(fd, buf, 100, 0));
}

static void in_poll(int fd)
{
	WAIT(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, -1));
}

static void in_large_poll(int fd)
{
	struct pollfd set[MEMBERS];
	int i;

	for (i = 0; i < MEMBERS; i++)
		set[i] = (struct pollfd){ .fd = fd, .events = POLLIN };
	WAIT(poll(set, MEMBERS, -1));
}

static void in_epoll_wait(int fd)
{
	static int ep;
	struct epoll_event e = { .events = EPOLLIN };

	if (ep)
		close(ep);
	ep = epoll_create1(0);
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	WAIT(epoll_wait(ep, &e, 1, -1));
}

CASE_FAST(out_of_receive)
{
	catch(0);
	again_and_again(in_recv);
}

CASE_FAST(out_of_poll)
{
	catch(0);
	again_and_again(in_poll);
}

CASE_FAST(out_of_a_large_poll)
{
	catch(0);
	again_and_again(in_large_poll);
}

CASE_FAST(out_of_epoll_wait)
{
	catch(0);
	again_and_again(in_epoll_wait);
}

/* The handler has a stack of its own. */
CASE_FAST(off_another_stack)
{
	static char memory[64 << 10];
	stack_t own = { .ss_sp = memory, .ss_size = sizeof(memory) };

	sigaltstack(&own, NULL);
	catch(SA_ONSTACK);
	again_and_again(in_recv);
}

/* The handler waits for another socket and is left itself. */
static void wait_for_another(int number)
{
	static volatile int fd;

	(void)number;
	if (!waits())
		return;
	fd = udp_bound(PORT_HERE2);
	catch(SA_NODEFER);
	in_recv(fd);
}

static void in_recv_twice(int fd)
{
	struct sigaction act = { .sa_handler = wait_for_another, .sa_flags = SA_NODEFER };

	sigemptyset(&act.sa_mask);
	sigaction(SIGALRM, &act, NULL);
	in_recv(fd);
}

CASE_FAST(out_of_two_at_once)
{
	static volatile int fd;

	warm_up();
	for (round_no = 0; round_no < ROUNDS; round_no++) {
		fd = udp_bound(PORT_HERE);
		if (sigsetjmp(way_out, 1) == 0)
			in_recv_twice(fd);
		close(fd);
		close(fd + 1); /* the handler's: the lowest number that was free */
	}
	say("jumped each time %d", jumped == ROUNDS);
	all_places_are_free();
}

static void *jump_and_end(void *arg)
{
	sigset_t alarms;

	sigemptyset(&alarms);
	sigaddset(&alarms, SIGALRM);
	if (sigsetjmp(way_out, 1) == 0) {
		pthread_sigmask(SIG_UNBLOCK, &alarms, NULL);
		in_recv(*(int *)arg);
	}
	return NULL;
}

/* The thread that jumped ends; another one closes, before or after that. */
CASE_FAST(at_the_end_of_the_thread)
{
	pthread_t thread;
	sigset_t alarms;
	int fd;

	warm_up();
	catch(0);
	sigemptyset(&alarms);
	sigaddset(&alarms, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarms, NULL);
	for (round_no = 0; round_no < ROUNDS; round_no++) {
		fd = udp_bound(PORT_HERE);
		pthread_create(&thread, NULL, jump_and_end, &fd);
		if (round_no % 2) {
			pthread_join(thread, NULL);
			close(fd);
		} else {
			while (jumped <= round_no)
				sleep_ms(1);
			close(fd);
			pthread_join(thread, NULL);
		}
	}
	say("jumped each time %d", jumped == ROUNDS);
	all_places_are_free();
}

/*
 * Out of calls that do not wait: one may have been in the middle of something, then all sockets are the
 * kernel's from there on; nothing hangs and nothing is lost that was there before.
 */
CASE(out_of_calls_that_do_not_wait)
{
	struct itimerval often = { { 0, OFTEN_US }, { 0, OFTEN_US } }, stop = { { 0, 0 }, { 0, 0 } };
	int fd = udp_bound(PORT_HERE), ep = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLIN };
	struct addr to = there(PORT_ECHO);

	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	catch(0);
	if (sigsetjmp(way_out, 1) == 0)
		setitimer(ITIMER_REAL, &often, NULL);
	while (jumped < 500) {
		recv(fd, buf, 100, MSG_DONTWAIT);
		epoll_wait(ep, &e, 1, 0);
	}
	signal(SIGALRM, SIG_IGN);
	setitimer(ITIMER_REAL, &stop, NULL);
	CALL(sendto(fd, "alive", 5, 0, SA(&to), to.len));
	CALL(recv(fd, buf, 100, 0));
	CALL(close(fd));
	fd = udp_bound(PORT_HERE);
	CALL(sendto(fd, "again", 5, 0, SA(&to), to.len));
	CALL(recv(fd, buf, 100, 0));
}
