/* SPDX-License-Identifier: BSD-2-Clause */
/* stream_flags.c - MSG_ flags, urgent data and low-water marks of streams. P39, P49, EP13. */
#include "stream.h"

#include <linux/errqueue.h>
#include <linux/sockios.h>
#include <signal.h>

static unsigned char buf[65536];

CASE_FAST(peek)
{
	int slot, fd = linked(&slot);

	bring(slot, 100);
	CALL(recv(fd, buf, 10, MSG_PEEK));
	CALL(recv(fd, buf, 1000, MSG_PEEK));
	say_data("  seen", buf, 100);
	CALL(recv(fd, buf, 40, 0));
	CALL(recv(fd, buf, 1000, MSG_PEEK));
	say_data("  seen", buf, 60);
	receive_all(fd, 60);
	CALL(recv(fd, buf, 10, MSG_PEEK | MSG_DONTWAIT));
	order("fin %d", slot);
	CALL(recv(fd, buf, 10, MSG_PEEK));
	CALL(recv(fd, buf, 10, MSG_PEEK));
}

CASE_FAST(peek_over_segments)
{
	int slot, fd = linked(&slot);

	bring(slot, 30);
	bring(slot, 30);
	bring(slot, 30);
	CALL(recv(fd, buf, 1000, MSG_PEEK));
	CALL(recv(fd, buf, 45, MSG_PEEK));
	CALL(recv(fd, buf, 45, 0));
	CALL(recv(fd, buf, 1000, MSG_PEEK));
	say_data("  seen", buf, 45);
}

CASE_FAST(peek_waits_for_all)
{
	int slot, fd = linked(&slot);

	bring(slot, 30);
	order("later 100 send %d 30", slot);
	CALL_TICKED(recv(fd, buf, 60, MSG_PEEK | MSG_WAITALL), 0);
	say_data("  seen", buf, 60);
	receive_all(fd, 60);
}

CASE_FAST(peek_offset)
{
	int slot, fd = linked(&slot);

	get_int(fd, "offset", SOL_SOCKET, SO_PEEK_OFF);
	set_int(fd, SOL_SOCKET, SO_PEEK_OFF, 5);
	bring(slot, 100);
	CALL(recv(fd, buf, 10, MSG_PEEK));
	say_data("  seen", buf, 10);
	get_int(fd, "offset", SOL_SOCKET, SO_PEEK_OFF);
	CALL(recv(fd, buf, 10, MSG_PEEK));
	get_int(fd, "offset", SOL_SOCKET, SO_PEEK_OFF);
	CALL(recv(fd, buf, 20, 0));
	get_int(fd, "offset", SOL_SOCKET, SO_PEEK_OFF);
	CALL(recv(fd, buf, 1000, MSG_PEEK));
	get_int(fd, "offset", SOL_SOCKET, SO_PEEK_OFF);
	set_int(fd, SOL_SOCKET, SO_PEEK_OFF, -1);
	CALL(recv(fd, buf, 10, MSG_PEEK));
	get_int(fd, "offset", SOL_SOCKET, SO_PEEK_OFF);
}

CASE_FAST(wait_for_all)
{
	int slot, fd = linked(&slot);

	bring(slot, 10);
	order("later 60 send %d 10", slot);
	order("later 120 send %d 10", slot);
	CALL(recv(fd, buf, 30, MSG_WAITALL));
	say_data("  received", buf, 30);
	bring(slot, 10);
	CALL(recv(fd, buf, 30, MSG_WAITALL | MSG_DONTWAIT));
	bring(slot, 10);
	order("later 60 fin %d", slot);
	CALL(recv(fd, buf, 30, MSG_WAITALL));
	CALL(recv(fd, buf, 30, MSG_WAITALL));
}

CASE_FAST(wait_for_all_is_cut_short)
{
	struct timeval limit = { 0, 150000 };
	struct itimerval soon = { .it_value.tv_usec = 80000 };
	int slot, fd = linked(&slot);

	on_signal(SIGALRM, count_signal, 0);
	bring(slot, 10);
	setitimer(ITIMER_REAL, &soon, NULL);
	CALL(recv(fd, buf, 30, MSG_WAITALL));
	setitimer(ITIMER_REAL, &soon, NULL);
	CALL(recv(fd, buf, 30, MSG_WAITALL));
	say("signals %d", signals_seen);
	CALL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	bring(slot, 10);
	CALL_TICKED(recv(fd, buf, 30, MSG_WAITALL), 150);
	CALL_TICKED(recv(fd, buf, 30, MSG_WAITALL), 150);
	bring(slot, 10);
	order("later 40 reset %d", slot);
	CALL(recv(fd, buf, 30, MSG_WAITALL));
	CALL(recv(fd, buf, 30, MSG_WAITALL));
}

/* With and without SA_RESTART, while a part of what it waits for lies there all the time. */
CASE_FAST(peek_for_all_is_cut_short)
{
	struct timeval limit = { 10, 0 };
	struct itimerval soon = { .it_value.tv_usec = 80000 };
	int slot, fd = linked(&slot);

	bring(slot, 10);
	on_signal(SIGALRM, count_signal, 0);
	setitimer(ITIMER_REAL, &soon, NULL);
	CALL(recv(fd, buf, 30, MSG_PEEK | MSG_WAITALL));
	on_signal(SIGALRM, count_signal, SA_RESTART);
	setitimer(ITIMER_REAL, &soon, NULL);
	CALL(recv(fd, buf, 30, MSG_PEEK | MSG_WAITALL));
	CALL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	setitimer(ITIMER_REAL, &soon, NULL);
	CALL(recv(fd, buf, 30, MSG_PEEK | MSG_WAITALL));
	say("signals %d", signals_seen);
}

CASE_FAST(one_call_does_not_wait)
{
	int slot, fd = linked(&slot);

	CALL(recv(fd, buf, 10, MSG_DONTWAIT));
	say("status %#x", (unsigned)fcntl(fd, F_GETFL));
	bring(slot, 10);
	CALL(recv(fd, buf, 10, MSG_DONTWAIT));
	nonblock(fd);
	CALL(recv(fd, buf, 10, 0));
	CALL(read(fd, buf, 10));
}

CASE_FAST(throw_away)
{
	int slot, fd = linked(&slot);

	bring(slot, 100);
	memset(buf, 0xee, 100);
	CALL(recv(fd, buf, 30, MSG_TRUNC));
	say("untouched: %d", buf[0] == 0xee);
	CALL(recv(fd, NULL, 30, MSG_TRUNC));
	CALL(recv(fd, NULL, 1000, MSG_TRUNC));
	CALL(recv(fd, NULL, 1000, MSG_TRUNC | MSG_DONTWAIT));
	bring(slot, 10);
	CALL(recv(fd, buf, 5, MSG_TRUNC | MSG_PEEK));
	receive_all(fd, 10);
}

CASE_FAST(more_to_come)
{
	int slot, fd = linked(&slot);

	fill_stream_bytes();
	CALL(send(fd, stream_bytes, 10, MSG_MORE));
	CALL(send(fd, stream_bytes + 10, 10, MSG_MORE));
	CALL(send(fd, stream_bytes + 20, 10, 0));
	order("take %d 30", slot);
	order("sum %d", slot);
	/* Without more the rest goes out by itself. */
	CALL(send(fd, stream_bytes, 10, MSG_MORE));
	order("take %d 10", slot);
}

CASE_FAST(cork)
{
	int slot, fd = linked(&slot);

	set_int(fd, IPPROTO_TCP, TCP_CORK, 1);
	CALL(send(fd, "0123456789", 10, 0));
	CALL(send(fd, "0123456789", 10, 0));
	set_int(fd, IPPROTO_TCP, TCP_CORK, 0);
	order("take %d 20", slot);
	set_int(fd, IPPROTO_TCP, TCP_CORK, 1);
	CALL(send(fd, "0123456789", 10, 0));
	order("take %d 10", slot);
	CALL(send(fd, "0123456789", 10, 0));
	CALL(shutdown(fd, SHUT_WR));
	order("rest %d", slot);
}

CASE_FAST(flags_without_meaning)
{
	int slot, fd = linked(&slot);

	CALL(send(fd, "a", 1, MSG_EOR));
	CALL(send(fd, "b", 1, MSG_CONFIRM));
	CALL(send(fd, "c", 1, MSG_NOSIGNAL | MSG_DONTWAIT));
	CALL(send(fd, "d", 1, MSG_DONTROUTE));
	CALL(send(fd, "e", 1, MSG_PROXY));
	order("take %d 5", slot);
	CALL(recv(fd, buf, 1, MSG_ERRQUEUE));
	CALL(recv(fd, buf, 1, MSG_ERRQUEUE | MSG_DONTWAIT));
	bring(slot, 3);
	CALL(recv(fd, buf, 1, MSG_CMSG_CLOEXEC));
	CALL(recv(fd, buf, 1, MSG_NOSIGNAL));
}

CASE_FAST(urgent_out)
{
	int slot, fd = linked(&slot);

	CALL(send(fd, "abc", 3, 0));
	CALL(send(fd, "X", 1, MSG_OOB));
	order("urgent %d", slot);
	CALL(send(fd, "def", 3, 0));
	order("take %d 3", slot);
	order("take %d 3", slot);
	CALL(send(fd, "12345", 5, MSG_OOB));
	order("urgent %d", slot);
	order("take %d 4", slot);
}

CASE_FAST(urgent_in)
{
	int slot, fd = linked(&slot), at = -1;

	CALL(recv(fd, buf, 1, MSG_OOB));
	bring(slot, 5);
	order("oob %d", slot);
	events_of(fd, POLLIN | POLLPRI, 2000);
	CALL(ioctl(fd, SIOCATMARK, &at));
	say("at the mark %d", at);
	CALL(recv(fd, buf, 1, MSG_OOB | MSG_PEEK));
	CALL(recv(fd, buf, 10, MSG_OOB));
	say("urgent %c", buf[0]);
	CALL(recv(fd, buf, 1, MSG_OOB));
	events_of(fd, POLLIN | POLLPRI, 0);
	bring(slot, 4);
	CALL(recv(fd, buf, 100, 0));
	CALL(ioctl(fd, SIOCATMARK, &at));
	say("at the mark %d, %d", at, sockatmark(fd));
	CALL(recv(fd, buf, 100, 0));
	say("at the mark %d", sockatmark(fd));
	CALL(recv(fd, buf, 1, MSG_OOB | MSG_DONTWAIT));
}

/* Which stays in the stream. */
static void read_past_an_urgent_byte(int fd, int slot)
{
	order("oob %d", slot);
	bring(slot, 5);
	events_of(fd, POLLIN | POLLPRI, 2000);
	CALL(recv(fd, buf, 1, MSG_OOB));
	CALL(recv(fd, buf, 100, 0));
	say("at the mark %d", sockatmark(fd));
	CALL(recv(fd, buf, 100, 0));
	say("first %c", buf[0]);
}

CASE_FAST(urgent_in_line)
{
	int slot, fd = linked(&slot);

	set_int(fd, SOL_SOCKET, SO_OOBINLINE, 1);
	bring(slot, 5);
	read_past_an_urgent_byte(fd, slot);
	say("at the mark %d", sockatmark(fd));
}

/* The same by a connection that became the kernel's before the byte came. P48 */
CASE_BY(urgent_in_line_after_a_move, option)
{
	int slot, fd = linked(&slot);

	set_int(fd, SOL_SOCKET, SO_OOBINLINE, 1);
	bring(slot, 5);
	CALL(fcntl(fd, F_SETFL, O_ASYNC));
	get_int(fd, "SO_OOBINLINE", SOL_SOCKET, SO_OOBINLINE);
	read_past_an_urgent_byte(fd, slot);
}

/* A second urgent byte takes the place of the first, which stays in the stream. */
CASE_FAST(urgent_twice)
{
	int slot, fd = linked(&slot);

	order("oob %d", slot);
	bring(slot, 3);
	order("oob %d", slot);
	bring(slot, 3);
	CALL(recv(fd, buf, 1, MSG_OOB));
	CALL(recv(fd, buf, 100, 0));
	say_data("  received", buf, 4);
	CALL(recv(fd, buf, 100, 0));
}

CASE_BY(urgent_signal, option)
{
	int slot, fd = linked(&slot);

	on_signal(SIGURG, count_signal, 0);
	CALL(fcntl(fd, F_SETOWN, getpid()) < 0);
	order("oob %d", slot);
	events_of(fd, POLLPRI, 2000);
	say("signals %d", signals_seen);
	CALL(recv(fd, buf, 1, MSG_OOB));
}

CASE_FAST(mark_without_urgent_data)
{
	int slot, fd = linked(&slot);

	say("at the mark %d", sockatmark(fd));
	bring(slot, 5);
	say("at the mark %d", sockatmark(fd));
	CALL(recv(fd, buf, 5, 0));
	say("at the mark %d", sockatmark(fd));
}

CASE_FAST(low_water)
{
	struct timeval limit = { 0, 100000 };
	int slot, fd = linked(&slot);

	set_int(fd, SOL_SOCKET, SO_RCVLOWAT, 20);
	bring(slot, 10);
	events_of(fd, POLLIN, 50);
	CALL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	CALL_TICKED(recv(fd, buf, 100, 0), 100);
	bring(slot, 10);
	CALL(recv(fd, buf, 5, 0));
	bring(slot, 10);
	events_of(fd, POLLIN, 50);
	bring(slot, 5);
	events_of(fd, POLLIN, 1000);
	CALL(recv(fd, buf, 100, MSG_DONTWAIT));
	bring(slot, 5);
	order("fin %d", slot);
	events_of(fd, POLLIN, 1000);
	CALL(recv(fd, buf, 100, 0));
}

CASE_BY(asynchronous_signal, option)
{
	int slot, fd = linked(&slot);

	on_signal(SIGIO, count_signal, 0);
	CALL(fcntl(fd, F_SETOWN, getpid()) < 0);
	CALL(fcntl(fd, F_SETFL, O_ASYNC));
	bring(slot, 10);
	events_of(fd, POLLIN, 1000);
	say("signals: %s", signals_seen ? "some" : "none");
}

CASE_FAST(broken_pipe)
{
	int slot, fd = linked(&slot);

	on_signal(SIGPIPE, count_signal, 0);
	CALL(shutdown(fd, SHUT_WR));
	CALL(send(fd, "x", 1, 0));
	say("signals %d", signals_seen);
	CALL(write(fd, "x", 1));
	say("signals %d", signals_seen);
	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
	say("signals %d", signals_seen);
	CALL(send(fd, "", 0, 0));
	say("signals %d", signals_seen);
	say_error(fd);
}

CASE_FAST(broken_pipe_after_reset)
{
	int slot, fd = linked(&slot);

	on_signal(SIGPIPE, count_signal, 0);
	order("reset %d", slot);
	events_of(fd, POLLIN, 2000);
	CALL(send(fd, "x", 1, 0));
	say("signals %d", signals_seen);
	CALL(send(fd, "x", 1, 0));
	say("signals %d", signals_seen);
	CALL(recv(fd, buf, 1, 0));
}

/* A program whose SIGPIPE is the default's dies of it; ignored, the call fails. */
CASE_FAST(broken_pipe_ignored)
{
	int slot, fd = linked(&slot);

	signal(SIGPIPE, SIG_IGN);
	CALL(shutdown(fd, SHUT_WR));
	CALL(send(fd, "x", 1, 0));
}

CASE_FAST(zero_copy)
{
	union {
		char bytes[256];
		struct cmsghdr align;
	} control;
	struct msghdr msg = { .msg_control = control.bytes, .msg_controllen = sizeof(control) };
	int slot, fd = linked(&slot);
	struct cmsghdr *c;
	struct sock_extended_err err;

	fill_stream_bytes();
	CALL(send(fd, stream_bytes, 10000, MSG_ZEROCOPY));
	order("take %d 10000", slot);
	CALL(recvmsg(fd, &msg, MSG_ERRQUEUE));
	set_int(fd, SOL_SOCKET, SO_ZEROCOPY, 1);
	get_int(fd, "SO_ZEROCOPY", SOL_SOCKET, SO_ZEROCOPY);
	CALL(send(fd, stream_bytes, 10000, MSG_ZEROCOPY));
	order("take %d 10000", slot);
	events_of(fd, 0, 2000);
	msg.msg_controllen = sizeof(control);
	CALL(recvmsg(fd, &msg, MSG_ERRQUEUE));
	say("flags %#x", (unsigned)msg.msg_flags);
	c = CMSG_FIRSTHDR(&msg);
	if (!c)
		return;
	memcpy(&err, CMSG_DATA(c), sizeof(err));
	say("level %d type %d errno %u origin %u info %u data %u", c->cmsg_level, c->cmsg_type, err.ee_errno, err.ee_origin,
	    err.ee_info, err.ee_data);
	say("code %u", err.ee_code);
}
