/* SPDX-License-Identifier: BSD-2-Clause */
/* stream_flow.c - streams whose peer does not read: what waits, what is cut short, what is told of it. P34, P39. */
#include "stream.h"

#include <linux/sockios.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

enum { MUCH = 3 << 20 };

static unsigned char buf[65536];

/* A connection with a peer that takes little, and a send buffer that holds little. */
static int narrow(int *slot)
{
	struct addr to = there(7021);
	int fd = tcp(), size = 20000;

	if (peer("listen 7021 4 4096") != 0)
		fail("listen");
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (connect(fd, SA(&to), to.len) < 0)
		fail("connect");
	*slot = (int)peer("accept 7021");
	fill_stream_bytes();
	return fd;
}

/*
 * Send without waiting until no more is taken for a while; how much it was. One byte more may find room in the
 * kernel's last buffer all the same: no case counts on a small send that waits.
 */
static long stuff(int fd)
{
	long total = 0, n;
	int idle = 0;

	while (idle < 3) {
		n = send(fd, stream_bytes + total, sizeof(stream_bytes) - (size_t)total, MSG_DONTWAIT | MSG_NOSIGNAL);
		total += n > 0 ? n : 0;
		idle = n > 0 ? 0 : idle + 1;
		if (n < 0)
			sleep_ms(20);
	}
	say("stuffed to %s", strerrorname_np(errno));
	return total;
}

/* @total bytes are what the peer takes, with nothing wrong. */
static void compare(int slot, long total)
{
	uint32_t hash = 2166136261U;
	long i;

	for (i = 0; i < total; i++)
		hash = (hash ^ stream_bytes[i]) * 16777619U;
	say("all there: %d", peer("take %d %ld", slot, total) == total);
	say("unchanged: %d", (uint32_t)peer("sum %d", slot) == hash);
}

CASE_FAST(does_not_wait)
{
	int slot, fd = narrow(&slot);
	long total = stuff(fd);

	say("some: %d", total > 4096);
	events_of(fd, POLLOUT, 0);
	compare(slot, total);
	events_of(fd, POLLOUT, 3000);
	CALL(send(fd, "x", 1, MSG_DONTWAIT));
	order("take %d 1", slot);
}

CASE_FAST(takes_a_part)
{
	int slot, fd = narrow(&slot);
	long n;

	nonblock(fd);
	n = send(fd, stream_bytes, MUCH, 0);
	say("a part: %d", n > 0 && n < MUCH);
	compare(slot, n);
}

CASE_FAST(waits_for_the_reader)
{
	int slot, fd = narrow(&slot);

	order("later 100 sink %d", slot);
	CALL(send(fd, stream_bytes, MUCH, 0));
	CALL(shutdown(fd, SHUT_WR));
	order("later 200 fin %d", slot);
	CALL(recv(fd, buf, 1, 0));
	order("sum %d", slot);
}

CASE_FAST(vector_waits_for_the_reader)
{
	struct iovec part[3] = { { stream_bytes, 100 }, { stream_bytes + 100, 1 << 20 }, { stream_bytes + 100 + (1 << 20), 7 } };
	int slot, fd = narrow(&slot);

	order("later 50 sink %d", slot);
	CALL(writev(fd, part, 3));
	CALL(shutdown(fd, SHUT_WR));
	order("later 200 fin %d", slot);
	CALL(recv(fd, buf, 1, 0));
	order("sum %d", slot);
}

CASE_FAST(send_timeout)
{
	struct timeval limit = { 0, 150000 };
	int slot, fd = narrow(&slot);
	long n;

	CALL(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)));
	n = send(fd, stream_bytes, MUCH, 0);
	say("a part: %d", n > 0 && n < MUCH);
	compare(slot, n);
	CALL_TICKED(send(fd, "x", 1, 0), 0);
}

CASE_FAST(signal_cuts_short)
{
	struct itimerval soon = { .it_value.tv_usec = 100000 };
	int slot, fd = narrow(&slot);
	long n;

	on_signal(SIGALRM, count_signal, 0);
	setitimer(ITIMER_REAL, &soon, NULL);
	n = send(fd, stream_bytes, MUCH, 0);
	say("a part: %d", n > 0 && n < MUCH);
	say("signals %d", signals_seen);
	compare(slot, n);
}

/* splice() with nothing to take, and sendfile() with no room. P34 */
CASE_FAST(signal_interrupts_calls_of_files)
{
	struct itimerval soon = { .it_value.tv_usec = 100000 };
	int slot, fd = narrow(&slot), pipes[2], file = memfd_create("much", 0);
	long n;

	if (pipe(pipes) < 0 || write(file, stream_bytes, MUCH) != MUCH)
		fail("a pipe and a file");
	on_signal(SIGALRM, count_signal, 0);
	setitimer(ITIMER_REAL, &soon, NULL);
	CALL_TICKED(splice(fd, NULL, pipes[1], NULL, 100, 0), 0);
	say("signals %d", signals_seen);
	lseek(file, 0, SEEK_SET);
	setitimer(ITIMER_REAL, &soon, NULL);
	n = sendfile(fd, file, NULL, MUCH);
	say("a part: %d, as far as the file was read: %d", n > 0 && n < MUCH, lseek(file, 0, SEEK_CUR) == n);
	say("signals %d", signals_seen);
	compare(slot, n);
}

/* What a send has taken before the reset is its answer; the error comes with the next. */
CASE_FAST(reset_in_the_middle)
{
	int slot, fd = narrow(&slot);
	long n;

	order("later 100 reset %d", slot);
	n = send(fd, stream_bytes, MUCH, MSG_NOSIGNAL);
	say("a part: %d", n > 0 && n < MUCH);
	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
}

static void shut(int fd)
{
	shutdown(fd, SHUT_WR);
}

CASE_FAST(shutdown_while_it_waits)
{
	int slot, fd = narrow(&slot);
	long n;

	later(100, shut, fd);
	n = send(fd, stream_bytes, MUCH, MSG_NOSIGNAL);
	later_done();
	say("a part: %d", n > 0 && n < MUCH);
	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
}

CASE_FAST(unsent_and_unacknowledged)
{
	int slot, fd = narrow(&slot), all = -1, unsent = -1;
	long total;

	CALL(ioctl(fd, SIOCOUTQ, &all));
	CALL(ioctl(fd, SIOCOUTQNSD, &unsent));
	say("%d, %d", all, unsent);
	total = stuff(fd);
	CALL(ioctl(fd, SIOCOUTQ, &all));
	CALL(ioctl(fd, SIOCOUTQNSD, &unsent));
	say("waiting: %d, unsent among it: %d", all > 0 && all <= total, unsent > 0 && unsent <= all);
	compare(slot, total);
	events_of(fd, POLLOUT, 3000);
	settle();
	CALL(ioctl(fd, SIOCOUTQ, &all));
	CALL(ioctl(fd, SIOCOUTQNSD, &unsent));
	say("%d, %d", all, unsent);
}

CASE_FAST(not_sent_low_water)
{
	int slot, fd = narrow(&slot);

	set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1);
	events_of(fd, POLLOUT, 0);
	stuff(fd);
	events_of(fd, POLLOUT, 0);
	order("sink %d", slot);
	events_of(fd, POLLOUT, 3000);
}

CASE_FAST(select_of_a_full_one)
{
	struct timeval limit = { 0, 50000 };
	int slot, fd = narrow(&slot);
	fd_set out;

	stuff(fd);
	FD_ZERO(&out);
	FD_SET(fd, &out);
	CALL(select(fd + 1, NULL, &out, NULL, &limit));
	say("out %d", FD_ISSET(fd, &out));
	FD_SET(fd, &out);
	order("sink %d", slot);
	limit.tv_sec = 3;
	CALL(select(fd + 1, NULL, &out, NULL, &limit));
	say("out %d", FD_ISSET(fd, &out));
}

/* The program does not read: the peer's sends stop, and go on when it does. */
CASE_FAST(our_window_closes_and_opens)
{
	int slot, fd = tcp(), size = 8192;
	struct addr to = there(PORT_PEER);
	long sent;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	CALL(connect(fd, SA(&to), to.len));
	slot = (int)order("accept %d", PORT_PEER);
	order("source %d 500000", slot);
	sleep_ms(100);
	events_of(fd, POLLIN, 1000);
	sent = peer("sent %d", slot);
	say("stopped: %d", sent > 0 && sent < 500000 + 8192);
	receive_all(fd, 500000);
}

CASE_FAST(receive_buffer_shrinks_later)
{
	int slot, fd = linked(&slot);

	order("source %d 300000", slot);
	sleep_ms(20);
	set_int(fd, SOL_SOCKET, SO_RCVBUF, 4096);
	receive_all(fd, 300000);
}

CASE_FAST(send_buffer_grows_later)
{
	int slot, fd = narrow(&slot);
	long total = stuff(fd), more;

	set_int(fd, SOL_SOCKET, SO_SNDBUF, 200000);
	events_of(fd, POLLOUT, 0);
	more = send(fd, stream_bytes + total, 50000, MSG_DONTWAIT);
	say("more: %d", more > 0);
	compare(slot, total + more);
}

CASE_FAST(receive_timeout)
{
	struct timeval limit = { 0, 120000 }, none = { 0, 0 };
	struct iovec part = { buf, 10 };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1 };
	int slot, fd = linked(&slot);

	CALL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	CALL_TICKED(recv(fd, buf, 10, 0), 120);
	CALL_TICKED(recvmsg(fd, &msg, 0), 120);
	CALL_TICKED(read(fd, buf, 10), 120);
	CALL_TICKED(recv(fd, buf, 10, MSG_PEEK), 120);
	bring(slot, 10);
	CALL_TICKED(recv(fd, buf, 10, 0), 0);
	CALL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none)));
	order("later 200 send %d 10", slot);
	CALL_TICKED(recv(fd, buf, 10, 0), 0);
}

CASE_FAST(receive_and_signals)
{
	struct itimerval soon = { .it_value.tv_usec = 80000 };
	int slot, fd = linked(&slot);

	on_signal(SIGALRM, count_signal, 0);
	setitimer(ITIMER_REAL, &soon, NULL);
	CALL(recv(fd, buf, 10, 0));
	say("signals %d", signals_seen);
	on_signal(SIGALRM, count_signal, SA_RESTART);
	setitimer(ITIMER_REAL, &soon, NULL);
	order("later 200 send %d 10", slot);
	CALL(recv(fd, buf, 10, 0));
	say("signals %d", signals_seen);
	setitimer(ITIMER_REAL, &soon, NULL);
	events_of(fd, POLLIN, 1000);
	say("%s, signals %d", strerrorname_np(errno), signals_seen);
}

/* Where a part is done, the call ends with it, though it would be restarted. */
CASE_FAST(part_and_signals)
{
	struct itimerval soon = { .it_value.tv_usec = 80000 };
	int slot, fd = narrow(&slot), file = memfd_create("part", MFD_CLOEXEC);
	ssize_t n;

	if (file < 0 || write(file, stream_bytes, MUCH) != MUCH)
		fail("memfd");
	on_signal(SIGALRM, count_signal, SA_RESTART);
	order("send %d 10", slot);
	setitimer(ITIMER_REAL, &soon, NULL);
	CALL(recv(fd, buf, 30, MSG_WAITALL));
	setitimer(ITIMER_REAL, &soon, NULL);
	n = send(fd, stream_bytes, MUCH, 0);
	say("a part was sent: %d", n > 0 && n < MUCH);
	compare(slot, n);
	setitimer(ITIMER_REAL, &soon, NULL);
	n = sendfile(fd, file, NULL, MUCH);
	say("a part of the file was sent: %d", n > 0 && n < MUCH);
	say("signals %d", signals_seen);
}

/* Unacknowledged for longer than TCP_USER_TIMEOUT: the window of the peer stays shut. */
CASE_FAST(user_timeout_of_a_shut_window)
{
	int slot, fd = narrow(&slot);

	if (family() != AF_INET)
		return;
	set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 400);
	stuff(fd);
	events_of(fd, POLLIN, 8000);
	say_error(fd);
	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
}
