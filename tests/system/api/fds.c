/* SPDX-License-Identifier: BSD-2-Clause */
/* fds.c - the descriptor table: duplicates, closing, status flags, ioctls. P18, P19, P20, P21, P23, P49. */
#include "record.h"

#include <signal.h>

#include <linux/close_range.h>

static unsigned char buf[2048];

static void echo_over(int fd)
{
	struct addr to = there(PORT_ECHO);

	CALL(sendto(fd, "duplicate", 9, 0, SA(&to), to.len));
	CALL(recv(fd, buf, sizeof(buf), 0));
}

CASE_FAST(dup_shares_the_socket)
{
	int fd = udp_bound(PORT_HERE), copy, third;

	CALL_FD(copy = dup(fd));
	say("close-on-exec %d", fcntl(copy, F_GETFD));
	echo_over(copy);
	deliver(PORT_HERE, 50, 3);
	CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
	CALL(recv(copy, buf, sizeof(buf), MSG_DONTWAIT));
	CALL(close(fd));
	CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
	CALL(recv(copy, buf, sizeof(buf), MSG_DONTWAIT));
	echo_over(copy);
	CALL_FD(third = fcntl(copy, F_DUPFD_CLOEXEC, 100));
	say("at least 100: %d, close-on-exec %d", third >= 100, fcntl(third, F_GETFD));
	CALL(close(copy));
	echo_over(third);
	CALL_FD(copy = fcntl(third, F_DUPFD, 200));
	echo_over(copy);
}

CASE_FAST(dup2_onto)
{
	int fd = udp_bound(PORT_HERE), other = udp_bound(PORT_HERE2), spare = open("/dev/null", O_RDWR);

	say("same number %d", dup2(fd, fd) == fd);
	CALL(dup3(fd, fd, 0));
	CALL(dup2(fd, -1));
	CALL(dup2(-1, fd));
	CALL(dup2(9999, fd));
	say("onto a file %d", dup2(fd, spare) == spare);
	echo_over(spare);
	say("onto another socket %d", dup2(fd, other) == other);
	echo_over(other);
	CALL_FD(udp_bound(PORT_HERE2));
	say("onto a free number %d", dup3(fd, 77, O_CLOEXEC) == 77);
	CALL(fcntl(77, F_GETFD));
	CALL(close(fd));
	echo_over(77);
	CALL(dup3(77, 78, 0x1234));
	fd = open("/dev/null", O_RDWR);
	CALL(dup2(fd, 77) == 77);
	CALL(recv(77, buf, 10, MSG_DONTWAIT));
	echo_over(spare);
}

CASE(closing)
{
	int fd = udp_bound(PORT_HERE);

	CALL(close(fd));
	CALL(close(fd));
	CALL(close(-1));
	CALL(close(9999));
	CALL(fcntl(fd, F_GETFL));
	CALL(ioctl(fd, FIONREAD, buf));
	CALL(shutdown(fd, SHUT_RD));
	CALL_FD(udp_bound(PORT_HERE));
}

CASE_FAST(number_used_again)
{
	int fd = udp_bound(PORT_HERE), file;

	echo_over(fd);
	CALL(close(fd));
	file = open("/dev/null", O_RDWR);
	say("same number %d", file == fd);
	CALL(recv(file, buf, 10, MSG_DONTWAIT));
	CALL(write(file, "x", 1));
	CALL(close(file));
	fd = udp_bound(PORT_HERE2);
	say("same number %d", file == fd);
	echo_over(fd);
}

CASE_FAST(close_range_keeps_the_rest)
{
	int fd = udp_bound(PORT_HERE), high = fcntl(fd, F_DUPFD, 60);

	echo_over(fd);
	CALL(close_range(50, 40, 0));
	CALL(close_range(10, 50, 0x8000));
	CALL(close_range((unsigned)high, (unsigned)high, CLOSE_RANGE_CLOEXEC));
	CALL(fcntl(high, F_GETFD));
	CALL(close_range(10, ~0U, 0));
	CALL(recv(high, buf, 10, MSG_DONTWAIT));
	echo_over(fd);
	fd = udp();
	echo_over(fd);
}

/* Daemons close every number they can; sockets opened later must work as before. P19 */
CASE_FAST(close_everything)
{
	int i, fd = udp_bound(PORT_HERE);

	echo_over(fd);
	for (i = CONTROL_FD + 1; i < 1024; i++)
		close(i);
	CALL(recv(fd, buf, 10, MSG_DONTWAIT));
	fd = udp_bound(PORT_HERE);
	echo_over(fd);
	closefrom(CONTROL_FD + 1);
	CALL(recv(fd, buf, 10, MSG_DONTWAIT));
	fd = udp_bound(PORT_HERE2);
	say("lowest number %d", fd);
	echo_over(fd);
}

CASE_FAST(standard_descriptors)
{
	int fd;

	close(0);
	fd = udp_bound(PORT_HERE);
	say("number %d", fd);
	echo_over(fd);
}

CASE(no_descriptors_left)
{
	int fds[2000], n = 0, i, errors = 0;

	while (n < 2000 && (fds[n] = open("/dev/null", O_RDWR)) >= 0)
		n++;
	CALL_FD(socket(family(), SOCK_DGRAM, 0));
	for (i = 0; i < n; i++)
		errors += close(fds[i]) != 0;
	say("errors %d", errors);
	CALL_FD(socket(family(), SOCK_DGRAM, 0));
}

CASE(status_flags)
{
	int fd = udp_bound(PORT_HERE), copy = dup(fd), on = 1, off = 0;

	CALL(fcntl(fd, F_GETFL));
	CALL(ioctl(fd, FIONBIO, &on));
	CALL(fcntl(fd, F_GETFL));
	CALL(fcntl(copy, F_GETFL));
	CALL(recv(copy, buf, 10, 0));
	CALL(ioctl(copy, FIONBIO, &off));
	CALL(fcntl(fd, F_GETFL));
	CALL(fcntl(fd, F_SETFL, O_NONBLOCK | O_APPEND));
	CALL(fcntl(fd, F_GETFL));
	CALL(recv(fd, buf, 10, 0));
	CALL(read(fd, buf, 10));
	CALL(fcntl(fd, F_SETFL, 0));
	CALL(fcntl(copy, F_GETFL));
	CALL(fcntl(fd, F_SETFD, FD_CLOEXEC));
	CALL(fcntl(fd, F_GETFD));
	CALL(fcntl(copy, F_GETFD));
	CALL(ioctl(fd, FIOCLEX));
	CALL(ioctl(fd, FIONCLEX));
	CALL(fcntl(fd, F_GETFD));
	CALL(fcntl(fd, 9999, 0));
	CALL(fcntl(-1, F_GETFL));
	CALL(fcntl(fd, F_DUPFD, -1));
	CALL(fcntl(fd, F_DUPFD, 100000000));
	CALL(fcntl(fd, F_SETOWN, getpid()));
	say("owner is us %d", fcntl(fd, F_GETOWN) == getpid());
	CALL(fcntl(fd, F_GETLK, buf));
	CALL(fcntl(fd, F_SETPIPE_SZ, 4096));
}

static volatile sig_atomic_t told, told_of;

static void on_arrival(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	told_of = info->si_fd;
	told++;
}

/* Who asks for signals gets them from the kernel, and O_NONBLOCK, however it was set, goes along. P23, P48 */
CASE_BY(signal_of_arrival, option)
{
	struct sigaction act = { .sa_sigaction = on_arrival, .sa_flags = SA_SIGINFO | SA_RESTART };
	int fd = udp_bound(PORT_HERE), on = 1;

	sigaction(SIGRTMIN, &act, NULL);
	echo_over(fd);
	CALL(ioctl(fd, FIONBIO, &on));
	CALL(fcntl(fd, F_SETOWN, getpid()));
	CALL(fcntl(fd, F_SETSIG, SIGRTMIN));
	say("the signal is ours %d", fcntl(fd, F_GETSIG) == SIGRTMIN);
	CALL(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC));
	CALL(fcntl(fd, F_GETFL));
	CALL(recv(fd, buf, 10, 0));
	deliver(PORT_HERE, 10, 1);
	say("told %d, of this one %d", told > 0, told_of == fd);
	CALL(recv(fd, buf, 100, 0));
	CALL(recv(fd, buf, 100, 0));
	on = 0;
	CALL(ioctl(fd, FIOASYNC, &on));
	CALL(fcntl(fd, F_GETFL));
	told = 0;
	deliver(PORT_HERE, 10, 1);
	say("told %d", (int)told);
	CALL(recv(fd, buf, 100, 0));
}

CASE_FAST(fionread)
{
	int fd = udp_bound(PORT_HERE), size = -1;

	CALL(ioctl(fd, FIONREAD, &size));
	say("size %d", size);
	deliver(PORT_HERE, 123, 1);
	deliver(PORT_HERE, 45, 1);
	CALL(ioctl(fd, FIONREAD, NULL));
	CALL(ioctl(fd, FIONREAD, &size));
	say("size %d", size);
	CALL(recv(fd, buf, 10, 0));
	CALL(ioctl(fd, FIONREAD, &size));
	say("size %d", size);
	CALL(recv(fd, buf, 0, 0));
	deliver(PORT_HERE, 0, 1);
	CALL(ioctl(fd, FIONREAD, &size));
	say("size %d", size);
	CALL(recv(fd, buf, 10, 0));
	CALL(ioctl(fd, TIOCOUTQ, &size));
	say("unsent %d", size);
	CALL(ioctl(fd, 0x12345678, &size));
	CALL(ioctl(-1, FIONREAD, &size));
}

/* Where nothing more is received a call returns 0 at once, unless the answer came before. */
static void await_answer(int fd)
{
	int size = 0;

	while (ioctl(fd, FIONREAD, &size) == 0 && size == 0)
		sleep_ms(1);
}

CASE_BY(shutdown_kinds, shutdown)
{
	struct addr to = there(PORT_ECHO);
	int fd = udp_bound(PORT_HERE);

	CALL(shutdown(fd, SHUT_RD));
	CALL(shutdown(fd, 77));
	CALL(shutdown(fd, -1));
	CALL(connect(fd, SA(&to), to.len));
	CALL(send(fd, "before", 6, 0));
	await_answer(fd);
	CALL(recv(fd, buf, 100, 0));
	CALL(shutdown(fd, SHUT_WR));
	CALL(send(fd, "after", 5, MSG_NOSIGNAL));
	CALL(sendto(fd, "after", 5, MSG_NOSIGNAL, SA(&to), to.len));
	CALL(recv(fd, buf, 100, MSG_DONTWAIT));
	CALL(shutdown(fd, SHUT_RD));
	CALL(recv(fd, buf, 100, MSG_DONTWAIT));
	CALL(recv(fd, buf, 100, 0));
	CALL(shutdown(fd, SHUT_RDWR));
}
