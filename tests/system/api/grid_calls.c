/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * grid_calls.c - every call with bad and with harmless arguments, on a socket of each kind in each state. What
 * changes the state is in grid_turns.c. P49, P50, P55, EP06.
 */
#include "grid.h"

#include <linux/sockios.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

static unsigned char buf[4096];

static struct addr of_family(int other)
{
	struct addr a = there(PORT_SINK);

	a.ss.ss_family = (sa_family_t)other;
	((unsigned char *)&a.ss)[sizeof(a.ss.ss_family)] = 0; /* to a local socket an abstract name: no file is left */
	return a;
}

static void bad_names(void)
{
	struct addr a = here(PORT_HERE2), foreign = of_family(AF_UNIX), unknown = of_family(9999), name;

	TRY(bind(it, SA(&a), 0));
	TRY(bind(it, SA(&a), 1));
	TRY(bind(it, SA(&a), 8));
	TRY(bind(it, SA(&a), (socklen_t)-1));
	TRY(bind(it, SA(&a), sizeof(a.ss) + 1));
	TRY(bind(it, SA(&foreign), foreign.len));
	TRY(bind(it, SA(&unknown), unknown.len));
	TRY(bind(it, out_of_reach(), a.len));
	TRY(connect(it, SA(&a), 0));
	TRY(connect(it, SA(&a), 1));
	TRY(connect(it, SA(&a), 8));
	TRY(connect(it, SA(&a), (socklen_t)-1));
	TRY(connect(it, SA(&a), sizeof(a.ss) + 1));
	TRY(connect(it, SA(&foreign), foreign.len));
	TRY(connect(it, SA(&unknown), unknown.len));
	name.len = (socklen_t)-1;
	TRY(getsockname(it, SA(&name), &name.len));
	name.len = 0;
	TRY(getsockname(it, SA(&name), &name.len));
	say("length %u", name.len);
	name.len = (socklen_t)-1;
	TRY(getpeername(it, SA(&name), &name.len));
	name.len = 3;
	TRY(getpeername(it, SA(&name), &name.len));
	say("length %u", name.len);
	name.len = sizeof(name.ss);
	if (grid_now->touched)
		return;
	TRY(getsockname(it, out_of_reach(), &name.len));
	TRY(getsockname(it, SA(&name), out_of_reach()));
	TRY(getpeername(it, out_of_reach(), &name.len));
	TRY(getpeername(it, SA(&name), out_of_reach()));
}

static void bad_options(void)
{
	int value[4] = { 0 };
	socklen_t len = sizeof(int), none = 0, negative = (socklen_t)-1;

	TRY(getsockopt(it, hidden(-1), SO_TYPE, value, &len));
	TRY(getsockopt(it, 77777, SO_TYPE, value, &len));
	TRY(getsockopt(it, SOL_SOCKET, 9999, value, &len));
	TRY(getsockopt(it, SOL_SOCKET, hidden(-1), value, &len));
	TRY(getsockopt(it, SOL_SOCKET, SO_TYPE, value, &none));
	TRY(getsockopt(it, SOL_SOCKET, SO_TYPE, value, &negative));
	TRY(getsockopt(it, SOL_SOCKET, SO_TYPE, out_of_reach(), &len));
	TRY(getsockopt(it, SOL_SOCKET, SO_TYPE, value, out_of_reach()));
	TRY(getsockopt(it, IPPROTO_TCP, TCP_NODELAY, value, out_of_reach()));
	TRY(getsockopt(it, IPPROTO_TCP, TCP_NODELAY, out_of_reach(), &len));
	TRY(getsockopt(it, IPPROTO_TCP, 9999, value, &len));
	TRY(getsockopt(it, IPPROTO_UDP, 9999, value, &len));
	TRY(getsockopt(it, IPPROTO_IP, 9999, value, &len));
	TRY(getsockopt(it, IPPROTO_IPV6, 9999, value, &len));
	TRY(setsockopt(it, hidden(-1), SO_KEEPALIVE, value, sizeof(int)));
	TRY(setsockopt(it, 77777, SO_KEEPALIVE, value, sizeof(int)));
	TRY(setsockopt(it, SOL_SOCKET, 9999, value, sizeof(int)));
	TRY(setsockopt(it, SOL_SOCKET, hidden(-1), value, sizeof(int)));
	TRY(setsockopt(it, SOL_SOCKET, SO_KEEPALIVE, value, 0));
	TRY(setsockopt(it, SOL_SOCKET, SO_KEEPALIVE, value, (socklen_t)-1));
	TRY(setsockopt(it, SOL_SOCKET, SO_KEEPALIVE, out_of_reach(), sizeof(int)));
	TRY(setsockopt(it, SOL_SOCKET, SO_TYPE, value, sizeof(int)));
	TRY(setsockopt(it, SOL_SOCKET, SO_ERROR, value, sizeof(int)));
	TRY(setsockopt(it, SOL_SOCKET, SO_ACCEPTCONN, value, sizeof(int)));
	TRY(setsockopt(it, IPPROTO_TCP, TCP_NODELAY, out_of_reach(), sizeof(int)));
	TRY(setsockopt(it, IPPROTO_TCP, TCP_INFO, value, sizeof(int)));
	TRY(setsockopt(it, IPPROTO_TCP, 9999, value, sizeof(int)));
	TRY(setsockopt(it, IPPROTO_UDP, 9999, value, sizeof(int)));
	TRY(setsockopt(it, IPPROTO_IP, 9999, value, sizeof(int)));
	TRY(setsockopt(it, IPPROTO_IPV6, 9999, value, sizeof(int)));
}

/* A request with its answer, where it gives one and all columns must give the same. */
static void ask(const char *name, unsigned long request)
{
	int value = -77;
	long ret;

	grid_renew();
	errno = ERRNO_MARK;
	ret = ioctl(it, request, &value);
	grid_said(name, ret, errno);
	say("value %d", value);
}

static void requests(void)
{
	int zero = 0;
	struct timespec stamp[2];

	ask("FIONREAD", FIONREAD);
	ask("SIOCINQ", SIOCINQ);
	ask("SIOCOUTQ", SIOCOUTQ);
	ask("SIOCOUTQNSD", SIOCOUTQNSD);
	ask("SIOCATMARK", SIOCATMARK);
	ask("SIOCGPGRP", SIOCGPGRP);
	ask("FIOGETOWN", FIOGETOWN);
	ask("unknown request", 0x12345);
	if (!grid_now->touched) {
		TRY(ioctl(it, FIONREAD, out_of_reach()));
		TRY(ioctl(it, SIOCATMARK, out_of_reach()));
	}
	TRY(ioctl(it, FIONBIO, out_of_reach()));
	TRY(ioctl(it, FIOASYNC, &zero));
	TRY(ioctl(it, FIOCLEX, NULL));
	TRY(fcntl(it, F_GETFD));
	TRY(ioctl(it, FIONCLEX, NULL));
	TRY(fcntl(it, F_GETFD));
	TRY(ioctl(it, SIOCGSTAMP, stamp));
	TRY(ioctl(it, SIOCGSTAMPNS, stamp));
	TRY(ioctl(it, SIOCGIFCONF, out_of_reach()));
	TRY(fcntl(it, F_GETFL));
	TRY(fcntl(it, F_SETFL, O_RDWR));
	TRY(fcntl(it, F_GETFL));
	TRY(fcntl(it, F_SETFL, O_RDWR | O_NONBLOCK | O_APPEND));
	TRY(fcntl(it, F_GETFL));
	TRY(fcntl(it, F_SETFL, O_NONBLOCK));
	TRY(fcntl(it, F_GETOWN));
	TRY(fcntl(it, F_GETSIG));
	TRY(fcntl(it, F_SETSIG, 999));
	TRY(fcntl(it, F_DUPFD, -1));
	TRY(fcntl(it, F_DUPFD, 1 << 30));
	TRY(fcntl(it, F_GETPIPE_SZ));
	TRY(fcntl(it, F_GETLEASE));
	TRY(fcntl(it, 9999, 0));
	TRY(sockatmark(it));
}

static void other_calls(void)
{
	struct iovec one = { buf, 1 };
	struct stat info;
	off_t at = 0;

	TRY(lseek(it, 0, SEEK_SET));
	TRY(lseek(it, 0, SEEK_CUR));
	TRY(ftruncate(it, 0));
	TRY(fsync(it));
	TRY(fdatasync(it));
	TRY(pread(it, buf, 1, 0));
	TRY(pwrite(it, buf, 1, 0));
	TRY(preadv(it, &one, 1, 0));
	TRY(pwritev(it, &one, 1, 0));
	TRY(preadv2(it, &one, 1, 5, 0));
	TRY(pwritev2(it, &one, 1, 5, 0));
	TRY(preadv2(it, &one, 1, -1, 0x10000));
	TRY(pwritev2(it, &one, 1, -1, 0x10000));
	TRY(fstat(it, &info) || !S_ISSOCK(info.st_mode));
	TRY(dup2(it, -1));
	TRY(dup2(it, it) == it);
	TRY(dup3(it, it, 0));
	TRY(dup3(it, 150, 12345));
	TRY(sendfile(it, -1, NULL, 10));
	TRY(sendfile(it, it, NULL, 10));
	TRY(sendfile(1, it, &at, 10));
	TRY(splice(it, NULL, -1, NULL, 1, SPLICE_F_NONBLOCK));
	TRY(splice(it, NULL, it, NULL, 1, SPLICE_F_NONBLOCK));
	TRY(splice(it, &at, 0, NULL, 1, 0x100));
	TRY(accept4(it, NULL, NULL, 0x12345));
	TRY(shutdown(it, 3));
	TRY(shutdown(it, hidden(-1)));
}

static void registrations(void)
{
	struct epoll_event event = { .events = EPOLLIN };
	int other = epoll_create1(0), again = epoll_create1(0);

	TRY(epoll_ctl(other, EPOLL_CTL_MOD, it, &event));
	TRY(epoll_ctl(other, EPOLL_CTL_DEL, it, NULL));
	TRY(epoll_ctl(other, 99, it, &event));
	TRY(epoll_ctl(it, EPOLL_CTL_ADD, other, &event));
	TRY(epoll_ctl(it, EPOLL_CTL_ADD, it, &event));
	TRY(epoll_ctl(other, EPOLL_CTL_ADD, it, &event));
	TRY(epoll_ctl(other, EPOLL_CTL_ADD, it, &event));
	TRY(epoll_wait(other, &event, 0, 0));
	TRY(epoll_wait(other, &event, hidden(-1), 0));
	TRY(epoll_wait(it, &event, 1, 0));
	TRY(epoll_wait(other, &event, 1, 0));
	event.events = EPOLLOUT | EPOLLET;
	TRY(epoll_ctl(other, EPOLL_CTL_MOD, it, &event));
	TRY(epoll_wait(other, &event, 1, 0));
	TRY(epoll_wait(other, &event, 1, 0));
	event.events = EPOLLIN | EPOLLOUT | EPOLLONESHOT;
	TRY(epoll_ctl(other, EPOLL_CTL_MOD, it, &event));
	TRY(epoll_wait(other, &event, 1, 0));
	TRY(epoll_wait(other, &event, 1, 0));
	event.events = EPOLLIN | EPOLLEXCLUSIVE;
	TRY(epoll_ctl(other, EPOLL_CTL_MOD, it, &event));
	TRY(epoll_ctl(again, EPOLL_CTL_ADD, it, &event));
	TRY(epoll_ctl(again, EPOLL_CTL_MOD, it, &event));
	TRY(epoll_ctl(again, EPOLL_CTL_DEL, it, NULL));
	TRY(epoll_ctl(other, EPOLL_CTL_DEL, it, NULL));
	TRY(epoll_ctl(other, EPOLL_CTL_DEL, it, NULL));
	TRY(epoll_wait(other, &event, 1, 0));
	close(again);
	close(other);
}

static void selections(void)
{
	static const short wanted[] = { 0, POLLIN, POLLOUT, POLLPRI, POLLRDHUP, POLLERR, POLLRDNORM, POLLRDBAND, POLLWRNORM,
					POLLWRBAND, (short)0xffff };
	fd_set in, out, bad;
	struct timeval none = { 0, 0 };
	struct pollfd one;
	char name[32];
	size_t i;
	int n;

	for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		grid_renew();
		one = (struct pollfd){ .fd = it, .events = wanted[i] };
		n = poll(&one, 1, 0);
		snprintf(name, sizeof(name), "poll for %#hx", (unsigned short)wanted[i]);
		say("%s: %d, %#hx", name, n, (unsigned short)one.revents);
	}
	grid_renew();
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_ZERO(&bad);
	FD_SET(it, &in);
	FD_SET(it, &out);
	FD_SET(it, &bad);
	TRY(select(it + 1, &in, &out, &bad, &none));
	say("in %d out %d bad %d", FD_ISSET(it, &in) != 0, FD_ISSET(it, &out) != 0, FD_ISSET(it, &bad) != 0);
}

static void receptions(void)
{
	struct mmsghdr many[2] = { { .msg_len = 7 } };
	struct iovec one = { buf, 1 }, none = { NULL, 0 };
	struct msghdr head = { .msg_iov = &one, .msg_iovlen = 1 };
	struct timespec negative = { -1, 0 }, large = { 0, 1000000000 };
	int beyond = hidden(IOV_MAX + 1);

	TRY(recv(it, buf, 0, 0));
	TRY(read(it, buf, 0));
	TRY(readv(it, &one, 0));
	TRY(readv(it, &one, hidden(-1)));
	TRY(readv(it, &one, beyond));
	TRY(readv(it, &none, 1));
	TRY(recvmsg(it, &head, MSG_ERRQUEUE));
	head.msg_iovlen = (size_t)beyond;
	TRY(recvmsg(it, &head, 0));
	head.msg_iovlen = (size_t)-1;
	TRY(recvmsg(it, &head, 0));
	head.msg_iovlen = 0;
	head.msg_flags = 0x5555;
	TRY(recvmsg(it, &head, MSG_PEEK));
	say("flags %#x", (unsigned)head.msg_flags);
	many[0].msg_hdr = (struct msghdr){ .msg_iov = &one, .msg_iovlen = 1 };
	TRY(recvmmsg(it, many, 0, 0, NULL));
	TRY(recvmmsg(it, many, 1, 0, &negative));
	TRY(recvmmsg(it, many, 1, 0, &large));
	TRY(recv(it, buf, sizeof(buf), MSG_PEEK));
	TRY(recv(it, buf, 10, MSG_PEEK | MSG_TRUNC));
	TRY(recv(it, buf, 1, MSG_OOB));
	TRY(recv(it, buf, 1, MSG_OOB | MSG_PEEK));
	TRY_BITS("recv with flag", recv(it, buf, 1, MSG_DONTWAIT | bit));
	TRY(recv(it, buf, 1, -1));
	TRY(recv(it, buf, sizeof(buf), MSG_WAITALL));
	TRY(read(it, buf, sizeof(buf)));
	TRY(readv(it, &one, 1));
	TRY(recvmmsg(it, many, 1, 0, NULL));
	if (!grid_now->touched)
		TRY(recv(it, out_of_reach(), 10, MSG_DONTWAIT));
}

static void transmissions(void)
{
	struct mmsghdr many[2] = { { .msg_len = 7 } };
	struct iovec one = { buf, 1 }, none = { NULL, 0 };
	struct msghdr head = { .msg_iov = &one, .msg_iovlen = 1 };
	struct addr short_one = there(PORT_SINK), foreign = of_family(AF_UNIX);
	int beyond = hidden(IOV_MAX + 1);

	TRY(writev(it, &one, hidden(-1)));
	TRY(writev(it, &one, beyond));
	TRY(sendto(it, buf, 1, MSG_NOSIGNAL, SA(&short_one), (socklen_t)-1));
	TRY(sendto(it, buf, 1, MSG_NOSIGNAL, SA(&short_one), sizeof(short_one.ss) + 1));
	if (grid_is_datagram()) {
		TRY(sendto(it, buf, 1, MSG_NOSIGNAL, SA(&short_one), 1));
		TRY(sendto(it, buf, 1, MSG_NOSIGNAL, SA(&short_one), 8));
		TRY(sendto(it, buf, 1, MSG_NOSIGNAL, SA(&foreign), foreign.len));
		TRY(send(it, stream_bytes, 65536, MSG_NOSIGNAL));
		TRY(send(it, stream_bytes, 1 << 20, MSG_NOSIGNAL));
	}
	head.msg_iovlen = (size_t)beyond;
	TRY(sendmsg(it, &head, MSG_NOSIGNAL));
	head.msg_iovlen = (size_t)-1;
	TRY(sendmsg(it, &head, MSG_NOSIGNAL));
	head.msg_iovlen = 0;
	TRY(sendmsg(it, &head, MSG_NOSIGNAL));
	TRY(send(it, buf, 0, MSG_NOSIGNAL));
	TRY(sendmmsg(it, many, 0, MSG_NOSIGNAL));
	many[0].msg_hdr = (struct msghdr){ .msg_iov = &none, .msg_iovlen = 1 };
	TRY(sendmmsg(it, many, 1, MSG_NOSIGNAL));
	TRY(send(it, buf, 1, MSG_NOSIGNAL));
	TRY_BITS("send with flag", send(it, buf, 1, MSG_NOSIGNAL | MSG_DONTWAIT | bit));
	if (!grid_now->touched)
		TRY(send(it, out_of_reach(), 10, MSG_NOSIGNAL));
}

/* The signal for writing where nobody reads any more comes once for each call without MSG_NOSIGNAL. */
static void signals_for(void)
{
	struct iovec one = { buf, 1 };

	on_signal(SIGPIPE, count_signal, 0);
	TRY(send(it, buf, 1, 0));
	TRY(write(it, buf, 1));
	TRY(writev(it, &one, 1));
	TRY(write(it, buf, 0));
	say("signals %d", signals_seen);
	on_signal(SIGPIPE, SIG_DFL, 0);
}

static void grid(const struct grid_state *table, const char *state)
{
	static void (*const groups[])(void) = {
		bad_names, bad_options, requests, other_calls, registrations, selections, receptions, transmissions, signals_for,
	};
	size_t i;

	grid_enter(table, state);
	for (i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		grid_again();
		groups[i]();
	}
	if (table != grid_others)
		say_names(it);
	say_error(it);
}

#define STREAM(state) grid(grid_streams, #state)
#define DATAGRAM(state) grid(grid_datagrams, "datagram_" #state)
#define OTHER(state) grid(grid_others, #state)

CASE(fresh) { STREAM(fresh); }
CASE(bound) { STREAM(bound); }
CASE_PART(listening) { STREAM(listening); }
CASE_PART(awaited) { STREAM(awaited); }
CASE_PART(connecting) { STREAM(connecting); }
CASE_PART(refused) { STREAM(refused); }
CASE_PART(was_refused) { STREAM(was_refused); }
CASE_PART(connected) { STREAM(connected); }
CASE_PART(with_data) { STREAM(with_data); }
CASE_PART(peer_finished) { STREAM(peer_finished); }
CASE_PART(we_finished) { STREAM(we_finished); }
CASE_PART(both_finished) { STREAM(both_finished); }
CASE_PART(deaf) { STREAM(deaf); }
CASE_PART(reset) { STREAM(reset); }
CASE_PART(was_reset) { STREAM(was_reset); }
CASE(datagram_fresh) { DATAGRAM(fresh); }
CASE_PART(datagram_bound) { DATAGRAM(bound); }
CASE_PART(datagram_connected) { DATAGRAM(connected); }
CASE_PART(datagram_with_data) { DATAGRAM(with_data); }
CASE_PART(datagram_refused) { DATAGRAM(refused); }
CASE(datagram_deaf) { DATAGRAM(deaf); }
CASE(datagram_shut) { DATAGRAM(shut); }
CASE(no_descriptor) { OTHER(no_descriptor); }
CASE(pipe_end) { OTHER(pipe_end); }
CASE(local_socket) { OTHER(local_socket); }
