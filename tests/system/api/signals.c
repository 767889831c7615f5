/* SPDX-License-Identifier: BSD-2-Clause */
/* signals.c - blocking calls and signals: EINTR, SA_RESTART, masks, handlers. P34-P38, EP20. */
#include "record.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>

static unsigned char buf[2048];
static volatile sig_atomic_t handled;
static int handler_fd = -1;
static sigjmp_buf way_out;

static void on_alarm(int number)
{
	handled += number == SIGALRM;
}

static void catch(int flags)
{
	struct sigaction act = { .sa_handler = on_alarm, .sa_flags = flags };

	sigemptyset(&act.sa_mask);
	handled = 0;
	if (sigaction(SIGALRM, &act, NULL) < 0)
		fail("sigaction");
}

static void alarm_in(int ms)
{
	struct itimerval timer = { .it_value = { ms / 1000, (ms % 1000) * 1000 } };

	setitimer(ITIMER_REAL, &timer, NULL);
}

CASE(receive_is_interrupted)
{
	struct iovec part = { buf, 100 };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1 };
	struct mmsghdr many = { .msg_hdr = msg };
	int fd = udp_bound(PORT_HERE);

	catch(0);
	alarm_in(100);
	CALL_TICKED(recv(fd, buf, 100, 0), 0);
	alarm_in(100);
	CALL_TICKED(recvfrom(fd, buf, 100, 0, NULL, NULL), 0);
	alarm_in(100);
	CALL_TICKED(recvmsg(fd, &msg, 0), 0);
	alarm_in(100);
	CALL_TICKED(recvmmsg(fd, &many, 1, 0, NULL), 0);
	alarm_in(100);
	CALL_TICKED(read(fd, buf, 100), 0);
	alarm_in(100);
	CALL_TICKED(readv(fd, &part, 1), 0);
	say("handled %d", (int)handled);
}

CASE_FAST(receive_is_restarted)
{
	struct iovec part = { buf, 100 };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1 };
	int fd = udp_bound(PORT_HERE);

	catch(SA_RESTART);
	alarm_in(100);
	peer("later 300 %d 40 1", PORT_HERE);
	CALL_TICKED(recv(fd, buf, 100, 0), 0);
	say("handled %d", (int)handled);
	alarm_in(100);
	peer("later 300 %d 41 1", PORT_HERE);
	CALL_TICKED(read(fd, buf, 100), 0);
	say("handled %d", (int)handled);
	alarm_in(100);
	peer("later 300 %d 42 1", PORT_HERE);
	CALL_TICKED(recvmsg(fd, &msg, 0), 0);
	say("handled %d", (int)handled);
}

/* One that the program blocks is pending all the time. */
CASE_FAST(while_another_is_pending)
{
	int fd = udp_bound(PORT_HERE);
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CALL(sigprocmask(SIG_BLOCK, &set, NULL));
	CALL(raise(SIGUSR1));
	catch(0);
	alarm_in(100);
	CALL_TICKED(recv(fd, buf, 100, 0), 0);
	catch(SA_RESTART);
	alarm_in(100);
	peer("later 300 %d 40 1", PORT_HERE);
	CALL_TICKED(recv(fd, buf, 100, 0), 0);
	say("handled %d", (int)handled);
	CALL(sigpending(&set));
	CALL(sigismember(&set, SIGUSR1));
}

/* A receive with a timeout is never restarted. */
CASE(receive_with_a_timeout)
{
	struct timeval limit = { 60, 0 };
	int fd = udp_bound(PORT_HERE);

	CALL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	catch(SA_RESTART);
	alarm_in(100);
	CALL_TICKED(recv(fd, buf, 100, 0), 0);
	say("handled %d", (int)handled);
}

/* The multiplexing calls are interrupted whatever SA_RESTART says. */
CASE(multiplexing_is_interrupted)
{
	static const int flags[] = { 0, SA_RESTART };
	int fd = udp_bound(PORT_HERE), ep = epoll_create1(0), i;
	struct epoll_event e = { .events = EPOLLIN };
	struct pollfd set = { .fd = fd, .events = POLLIN };
	struct timeval limit;
	fd_set in;

	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	for (i = 0; i < 2; i++) {
		catch(flags[i]);
		alarm_in(100);
		CALL_TICKED(poll(&set, 1, 60000), 0);
		alarm_in(100);
		CALL_TICKED(poll(&set, 1, -1), 0);
		alarm_in(100);
		CALL_TICKED(ppoll(&set, 1, NULL, NULL), 0);
		FD_ZERO(&in);
		FD_SET(fd, &in);
		limit = (struct timeval){ 60, 0 };
		alarm_in(100);
		CALL_TICKED(select(fd + 1, &in, NULL, NULL, &limit), 0);
		say("kept %d, time taken off %d", FD_ISSET(fd, &in), limit.tv_sec < 60);
		alarm_in(100);
		CALL_TICKED(pselect(fd + 1, &in, NULL, NULL, NULL, NULL), 0);
		alarm_in(100);
		CALL_TICKED(epoll_wait(ep, &e, 1, 60000), 0);
		alarm_in(100);
		CALL_TICKED(epoll_wait(ep, &e, 1, -1), 0);
		alarm_in(100);
		CALL_TICKED(epoll_pwait(ep, &e, 1, -1, NULL), 0);
		say("handled %d", (int)handled);
	}
}

/* A signal pending under the caller's mask ends the wait at once when the call lets it through. P36 */
CASE(mask_is_swapped_atomically)
{
	struct timespec limit = { 60, 0 };
	int fd = udp_bound(PORT_HERE), ep = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLIN };
	struct pollfd set = { .fd = fd, .events = POLLIN };
	sigset_t blocked, none, now;
	fd_set in;

	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	catch(0);
	sigemptyset(&none);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGALRM);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	raise(SIGALRM);
	say("not handled yet %d", (int)handled);
	CALL_TICKED(poll(&set, 1, 50), 50);
	CALL_TICKED(ppoll(&set, 1, &limit, &none), 0);
	say("handled %d", (int)handled);
	raise(SIGALRM);
	FD_ZERO(&in);
	FD_SET(fd, &in);
	CALL_TICKED(pselect(fd + 1, &in, NULL, NULL, &limit, &none), 0);
	say("handled %d", (int)handled);
	raise(SIGALRM);
	CALL_TICKED(epoll_pwait(ep, &e, 1, 60000, &none), 0);
	say("handled %d", (int)handled);
	raise(SIGALRM);
	CALL_TICKED(ppoll(&set, 1, &(struct timespec){ 0, 50000000 }, &blocked), 50);
	say("handled %d", (int)handled);
	sigprocmask(SIG_SETMASK, NULL, &now);
	say("mask back %d", sigismember(&now, SIGALRM));
	sigprocmask(SIG_SETMASK, &none, NULL);
	say("handled %d", (int)handled);
}

/* With data there the calls succeed and leave a pending signal where it is, or handle it: as the kernel. */
CASE_FAST(data_and_signal)
{
	int fd = udp_bound(PORT_HERE);
	struct pollfd set = { .fd = fd, .events = POLLIN };
	sigset_t blocked, none;

	catch(0);
	sigemptyset(&none);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGALRM);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	deliver(PORT_HERE, 10, 1);
	raise(SIGALRM);
	CALL(recv(fd, buf, 100, MSG_PEEK));
	CALL(ppoll(&set, 1, &(struct timespec){ 1, 0 }, &none));
	say("handled %d", (int)handled);
	sigprocmask(SIG_SETMASK, &none, NULL);
	say("handled %d", (int)handled);
	CALL(recv(fd, buf, 100, 0));
}

/* A signal storm loses no datagram and no wait. P38 */
CASE_FAST(storm)
{
	struct itimerval often = { { 0, 1000 }, { 0, 1000 } }, stop = { { 0, 0 }, { 0, 0 } };
	int fd = udp_bound(PORT_HERE), ep = epoll_create1(0), got = 0, i;
	struct epoll_event e = { .events = EPOLLIN };
	long n;

	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	catch(SA_RESTART);
	setitimer(ITIMER_REAL, &often, NULL);
	for (i = 0; i < 20 || handled < 20; i++) {
		peer("send %d 20 5", PORT_HERE);
		while (got < (i + 1) * 5) {
			n = epoll_wait(ep, &e, 1, 2000);
			if (n < 0 && errno == EINTR)
				continue;
			if (n == 0)
				fail("waited in vain after %d", got);
			while (recv(fd, buf, 100, MSG_DONTWAIT) == 20)
				got++;
		}
	}
	setitimer(ITIMER_REAL, &stop, NULL);
	say("all came %d", got == i * 5);
}

static void send_inside(int number)
{
	struct addr to = there(PORT_SINK);

	on_alarm(number);
	sendto(handler_fd, "from a handler", 14, MSG_DONTWAIT, SA(&to), to.len);
}

/* The handler uses the same socket its thread is blocked on. P37 */
CASE_FAST(handler_sends)
{
	struct sigaction act = { .sa_handler = send_inside, .sa_flags = SA_RESTART };
	struct itimerval often = { { 0, 20000 }, { 0, 20000 } }, stop = { { 0, 0 }, { 0, 0 } };
	int fd = udp_bound(PORT_HERE);

	handler_fd = fd;
	sigemptyset(&act.sa_mask);
	sigaction(SIGALRM, &act, NULL);
	peer("later 500 %d 33 1", PORT_HERE);
	setitimer(ITIMER_REAL, &often, NULL);
	CALL_TICKED(recv(fd, buf, 100, 0), 0);
	setitimer(ITIMER_REAL, &stop, NULL);
	say("handled several %d, all of them sent %d", handled > 5, peer("got") == handled);
}

static void jump(int number)
{
	siglongjmp(way_out, number);
}

/* Leaving a blocked call by siglongjmp must not leave a lock behind. P37 */
CASE_FAST(jump_out)
{
	struct sigaction act = { .sa_handler = jump };
	int fd = udp_bound(PORT_HERE), ep = epoll_create1(0), i;
	struct epoll_event e = { .events = EPOLLIN };
	struct addr to = there(PORT_ECHO);

	sigemptyset(&act.sa_mask);
	sigaction(SIGALRM, &act, NULL);
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	for (i = 0; i < 6; i++) {
		if (sigsetjmp(way_out, 1) == 0) {
			alarm_in(50);
			if (i % 2)
				recv(fd, buf, 100, 0);
			else
				epoll_wait(ep, &e, 1, -1);
			say("not reached");
		}
	}
	CALL(sendto(fd, "alive", 5, 0, SA(&to), to.len));
	CALL(recv(fd, buf, 100, 0));
}

CASE(killed_while_blocked)
{
	int fd = udp_bound(PORT_HERE);

	signal(SIGALRM, SIG_IGN);
	alarm_in(50);
	CALL_TICKED(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 200), 200);
	catch(0);
	signal(SIGALRM, on_alarm);
	alarm_in(50);
	CALL_TICKED(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 60000), 0);
	say("handled %d", (int)handled);
}

static pthread_t waiter;

static void *signal_later(void *number)
{
	sleep_ms(100);
	pthread_kill(waiter, *(int *)number);
	return NULL;
}

static void count(int number)
{
	(void)number;
	handled++;
}

/* A receive in which signal @number arrives. It has a time limit, so that it is never restarted. */
static void receive_with(int fd, int number)
{
	pthread_t thread;

	handled = 0;
	if (pthread_create(&thread, NULL, signal_later, &number) != 0)
		fail("pthread_create");
	CALL_TICKED(recv(fd, buf, 100, 0), 0);
	pthread_join(thread, NULL);
	say("handled %d", (int)handled);
}

/* Whatever the signal, and whichever call installed its handler. P38 */
CASE(signals_of_every_kind)
{
	static const int numbers[] = { SIGPROF, SIGVTALRM, SIGSEGV, SIGBUS, SIGCHLD, SIGURG };
	struct timeval limit = { 60, 0 };
	int fd = udp_bound(PORT_HERE);

	waiter = pthread_self();
	CALL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		say("signal %d", numbers[i]);
		signal(numbers[i], count);
		receive_with(fd, numbers[i]);
		signal(numbers[i], SIG_DFL);
	}
	sysv_signal(SIGUSR1, count); /* which serves once */
	receive_with(fd, SIGUSR1);
	say("gone %d", signal(SIGUSR1, count) == SIG_DFL);
	receive_with(fd, SIGUSR1);
	say("still there %d", signal(SIGUSR1, SIG_DFL) == count);
}
