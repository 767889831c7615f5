/* SPDX-License-Identifier: BSD-2-Clause */
/* stamp.c - when datagrams arrived and left: SO_TIMESTAMP and its kin, the error queue, SIOCGSTAMP. */
#include "record.h"

#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/select.h>

enum {
	TIMESTAMP_NEW = 63,
	TIMESTAMPNS_NEW = 64,
	TIMESTAMPING_NEW = 65,
	OPT_RX_FILTER = 1 << 17,
	LARGE = 3000, /* more than the MTU: it leaves in fragments */
	MANY = 20,
};

#define RX (SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE)
#define TX (SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE)
#define TSONLY SOF_TIMESTAMPING_OPT_TSONLY

static int64_t wall(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* What a receive may say, and what it said. */
struct call {
	char data[4096];
	char control[1024];
	struct msghdr msg;
	int64_t from;	/* the earliest that a stamp may be */
	int64_t stamp;	/* the last one seen */
	uint32_t number; /* of the last message of the error queue */
	uint32_t kind;
};

/* A stamp is as precise as its form: one of microseconds is cut off. */
static const char *judge(const struct call *c, int64_t stamp, int64_t cut)
{
	if (stamp < c->from - cut)
		return "too early";
	return stamp > wall() ? "too late" : "in time";
}

static void show_stamp(struct call *c, const struct cmsghdr *m)
{
	int64_t words[6];
	bool us = m->cmsg_type == SO_TIMESTAMP || m->cmsg_type == TIMESTAMP_NEW;

	memset(words, 0, sizeof(words));
	memcpy(words, CMSG_DATA(m), m->cmsg_len - CMSG_LEN(0));
	c->stamp = words[0] * 1000000000LL + words[1] * (us ? 1000 : 1);
	say("  type %d length %zu: %s, device %s", m->cmsg_type, (size_t)m->cmsg_len,
	    judge(c, c->stamp, us ? 999 : 0), words[4] ? "says" : "silent");
}

static void show_error(struct call *c, const struct cmsghdr *m)
{
	struct sock_extended_err ee;
	struct addr offender = { .len = 0 };

	memcpy(&ee, CMSG_DATA(m), sizeof(ee));
	memcpy(&offender.ss, CMSG_DATA(m) + sizeof(ee), m->cmsg_len - CMSG_LEN(sizeof(ee)));
	if (offender.ss.ss_family)
		offender.len = family() == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	c->number = ee.ee_data;
	c->kind = ee.ee_info;
	say("  error level %d type %d length %zu: errno %u origin %u type %u code %u info %u data %u",
	    m->cmsg_level, m->cmsg_type, (size_t)m->cmsg_len, ee.ee_errno, ee.ee_origin, ee.ee_type,
	    ee.ee_code, ee.ee_info, ee.ee_data);
	say_addr("  offender", &offender);
}

static void show_control(struct call *c)
{
	for (struct cmsghdr *m = CMSG_FIRSTHDR(&c->msg); m; m = CMSG_NXTHDR(&c->msg, m)) {
		if (m->cmsg_level == SOL_SOCKET && m->cmsg_type != SO_RXQ_OVFL)
			show_stamp(c, m);
		else if ((m->cmsg_level == IPPROTO_IP && m->cmsg_type == IP_RECVERR) ||
			 (m->cmsg_level == IPPROTO_IPV6 && m->cmsg_type == IPV6_RECVERR))
			show_error(c, m);
		else
			say_data(m->cmsg_level == IPPROTO_IP ? "  ip" : "  other", CMSG_DATA(m),
				 m->cmsg_len - CMSG_LEN(0));
	}
}

static long receive(int fd, struct call *c, int flags, size_t room)
{
	struct iovec iov = { .iov_base = c->data, .iov_len = sizeof(c->data) };
	struct sockaddr_storage name;
	long n;

	c->msg = (struct msghdr){ .msg_name = &name, .msg_namelen = sizeof(name), .msg_iov = &iov, .msg_iovlen = 1,
				  .msg_control = c->control, .msg_controllen = room };
	errno = ERRNO_MARK;
	n = recvmsg(fd, &c->msg, flags);
	say_call("recvmsg", n, errno);
	if (n < 0)
		return n;
	say("  name %u flags %x control %zu", c->msg.msg_namelen, (unsigned)c->msg.msg_flags,
	    c->msg.msg_controllen);
	show_control(c);
	return n;
}

static int set(int fd, int name, int value)
{
	return setsockopt(fd, SOL_SOCKET, name, &value, sizeof(value));
}

/* One datagram there and back. */
static void echo(int fd, struct call *c)
{
	c->from = wall();
	CALL(send(fd, "hello", 5, 0));
	receive(fd, c, 0, sizeof(c->control));
}

CASE_FAST(each_option)
{
	static const int names[] = { SO_TIMESTAMP, SO_TIMESTAMPNS, TIMESTAMP_NEW, TIMESTAMPNS_NEW };
	int fd = udp_connected(PORT_HERE, PORT_ECHO);
	struct call c;

	for (int i = 0; i < 4; i++) {
		CALL(set(fd, names[i], 1));
		echo(fd, &c);
		CALL(set(fd, names[i], 0));
		echo(fd, &c);
	}
	/* The last one set decides about form and layout. */
	CALL(set(fd, SO_TIMESTAMPNS, 1));
	CALL(set(fd, TIMESTAMP_NEW, 1));
	echo(fd, &c);
	CALL(set(fd, SO_TIMESTAMPING, RX));
	echo(fd, &c);
	CALL(set(fd, TIMESTAMPING_NEW, RX));
	echo(fd, &c);
}

/* The kernel begins to stamp a moment after the first socket of the machine asked. */
static void have_the_kernel_stamp(void)
{
	int fd = udp();

	CALL(set(fd, SO_TIMESTAMP, 1));
	usleep(50000);
}

CASE_FAST(timestamping_flags)
{
	static const int flags[] = {
		RX, SOF_TIMESTAMPING_RX_SOFTWARE, RX | OPT_RX_FILTER, RX | SOF_TIMESTAMPING_OPT_CMSG | TSONLY,
		RX | SOF_TIMESTAMPING_RX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE | SOF_TIMESTAMPING_OPT_PKTINFO,
		SOF_TIMESTAMPING_RX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE, 1 << 30,
		RX | SOF_TIMESTAMPING_OPT_STATS, 0,
	};
	int fd = udp_connected(PORT_HERE, PORT_ECHO), value;
	socklen_t len;
	struct call c;

	have_the_kernel_stamp();
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		len = sizeof(value);
		say("flags %x", (unsigned)flags[i]);
		CALL(set(fd, SO_TIMESTAMPING, flags[i]));
		CALL(getsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &value, &len));
		say("are %x", (unsigned)value);
		echo(fd, &c);
	}
}

CASE_FAST(timestamping_struct)
{
	struct {
		int flags, phc;
	} s = { RX, 0 };
	int fd = udp_connected(PORT_HERE, PORT_ECHO);
	struct call c;

	have_the_kernel_stamp();
	CALL(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &s, sizeof(s)));
	echo(fd, &c);
	s.flags = RX | 1 << 15; /* SOF_TIMESTAMPING_BIND_PHC, of a clock there is not */
	s.phc = 77;
	CALL(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &s, sizeof(s)));
	CALL(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &s, 3));
	CALL(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &s, 6));
	echo(fd, &c);
}

CASE_FAST(order_of_messages)
{
	int fd = udp_connected(PORT_HERE, PORT_ECHO), on = 1;
	struct call c;

	CALL(set(fd, SO_RXQ_OVFL, 1));
	CALL(set(fd, SO_TIMESTAMPNS, 1));
	CALL(set(fd, SO_TIMESTAMPING, RX));
	CALL(setsockopt(fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof(on)));
	if (family() == AF_INET6)
		CALL(setsockopt(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof(on)));
	echo(fd, &c);
	for (size_t room = 0; room < 120; room += 13) {
		c.from = wall();
		CALL(send(fd, "hello", 5, 0));
		say("room %zu", room);
		c.msg.msg_control = NULL;
		{
			struct iovec iov = { .iov_base = c.data, .iov_len = sizeof(c.data) };
			struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.control,
					      .msg_controllen = room };

			CALL(recvmsg(fd, &msg, 0));
			say("  flags %x control %zu", (unsigned)msg.msg_flags, msg.msg_controllen);
		}
	}
}

CASE_FAST(peeked_twice)
{
	int fd = udp_connected(PORT_HERE, PORT_ECHO);
	struct call c;
	int64_t first;

	CALL(set(fd, SO_TIMESTAMPNS, 1));
	c.from = wall();
	CALL(send(fd, "hello", 5, 0));
	receive(fd, &c, MSG_PEEK, sizeof(c.control));
	first = c.stamp;
	settle();
	receive(fd, &c, 0, sizeof(c.control));
	say("the same: %d", first == c.stamp);
}

/* A reader that comes late, without a call that could take the datagram, finds the time of its arrival. */
CASE_FAST(of_arrival)
{
	int fd = udp_bound(PORT_HERE);
	struct call c = { .from = wall() };
	int64_t late;

	CALL(set(fd, SO_TIMESTAMPNS, 1));
	say("sent %ld", peer("send %d 10 1", PORT_HERE)); /* with it, stamping is switched on for sure */
	receive(fd, &c, 0, sizeof(c.control));
	c.from = wall();
	say("sent %ld", peer("send %d 10 1", PORT_HERE));
	sleep_ms(200);
	late = wall() - 50000000;
	receive(fd, &c, 0, sizeof(c.control));
	say("before the end of the wait: %d", c.stamp < late);
}

CASE_PART(one_after_the_other)
{
	int fd = udp_bound(PORT_HERE);
	int64_t last = 0, from = wall();
	bool rising = true;
	struct call c;

	CALL(set(fd, SO_TIMESTAMPNS, 1));
	say("sent %ld", peer("send %d 10 %d", PORT_HERE, MANY));
	for (int i = 0; i < MANY; i++) {
		c.from = from;
		receive(fd, &c, 0, sizeof(c.control));
		rising &= c.stamp >= last;
		last = c.stamp;
	}
	say("rising: %d", rising);
}

/* Length and stamp of the next datagram, without a line: the two ways are read in turns. */
static long taken(int fd, int64_t *stamp)
{
	char data[LARGE + 100], control[256];
	struct iovec iov = { data, sizeof(data) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	long n = recvmsg(fd, &msg, 0);
	struct cmsghdr *m = CMSG_FIRSTHDR(&msg);
	struct timespec t = { 0 };

	if (n >= 0 && m && m->cmsg_type == SO_TIMESTAMPNS)
		memcpy(&t, CMSG_DATA(m), sizeof(t));
	*stamp = t.tv_sec * 1000000000LL + t.tv_nsec;
	return n;
}

/* What neither the stack nor the shadow can tell alone: stamps put in order what came by both. */
CASE_PART(hazard_29_stamps_order_what_came_by_both_ways)
{
	enum { EACH = 5 };
	int64_t stamp[2 * EACH], last = 0;
	long length[2 * EACH];
	int fd = udp_bound(PORT_HERE);

	CALL(set(fd, SO_TIMESTAMPNS, 1));
	deliver(PORT_HERE, 10, 1); /* with it, stamping is switched on for sure */
	CALL(taken(fd, &last));
	for (int i = 0; i < EACH; i++) {
		deliver(PORT_HERE, 20 + i, 1);
		deliver(PORT_HERE, LARGE + i, 1);
	}
	for (int i = 0; i < 2 * EACH; i++)
		length[i] = taken(fd, &stamp[i]);
	for (int n = 0; n < 2 * EACH; n++) {
		int next = 0;

		for (int i = 1; i < 2 * EACH; i++)
			if (stamp[i] < stamp[next])
				next = i;
		say("%ld, later than the one before: %d", length[next], stamp[next] > last);
		last = stamp[next];
		stamp[next] = INT64_MAX;
	}
}

CASE_FAST(asked_too_late)
{
	int fd = udp_connected(PORT_HERE, PORT_ECHO);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct call c = { .from = wall() };

	CALL(send(fd, "hello", 5, 0));
	CALL(poll(&p, 1, 1000));
	CALL(set(fd, SO_TIMESTAMP, 1));
	receive(fd, &c, 0, sizeof(c.control));
}

static void show_last(int fd, unsigned long request, int64_t from)
{
	struct timespec t = { 0 };
	int64_t stamp;

	CALL(ioctl(fd, request, &t));
	stamp = t.tv_sec * 1000000000LL + t.tv_nsec * (request == SIOCGSTAMP_OLD ? 1000 : 1);
	if (t.tv_sec)
		say("  %s", stamp < from - 999 ? "too early" : stamp > wall() ? "too late" : "in time");
}

CASE_FAST(last_stamp)
{
	int fd = udp_connected(PORT_HERE, PORT_ECHO);
	int64_t from = wall();
	char c[8];

	show_last(fd, SIOCGSTAMP_OLD, from);
	for (int i = 0; i < 3; i++) {
		from = wall();
		CALL(send(fd, "hello", 5, 0));
		CALL(recv(fd, c, sizeof(c), 0));
		show_last(fd, SIOCGSTAMP_OLD, from);
		show_last(fd, SIOCGSTAMPNS_OLD, from);
	}
	CALL(ioctl(fd, SIOCGSTAMPNS_OLD, NULL));
}

/* --- transmit --- */

static int sender(int flags)
{
	int fd = udp_connected(PORT_HERE, PORT_SINK);

	if (set(fd, SO_TIMESTAMPING, flags) < 0)
		fail("SO_TIMESTAMPING");
	return fd;
}

static long error(int fd, struct call *c)
{
	long n = receive(fd, c, MSG_ERRQUEUE, sizeof(c->control));

	if (n >= 5)
		say("  ends with %.5s", c->data + n - 5);
	return n;
}

static void send_hello(int fd, struct call *c)
{
	c->from = wall();
	CALL(send(fd, "hello", 5, 0));
}

CASE_FAST(sent)
{
	int fd = sender(TX);
	struct call c;

	error(fd, &c);
	for (int i = 0; i < 3; i++) {
		send_hello(fd, &c);
		error(fd, &c);
		error(fd, &c);
	}
	say("got %ld", peer("got"));
}

CASE_FAST(sent_numbers)
{
	int fd = sender(TX | TSONLY | SOF_TIMESTAMPING_OPT_ID);
	struct call c;

	for (int i = 0; i < 3; i++)
		send_hello(fd, &c);
	for (int i = 0; i < 4; i++)
		error(fd, &c);
	CALL(set(fd, SO_TIMESTAMPING, TX | TSONLY | SOF_TIMESTAMPING_OPT_ID));
	send_hello(fd, &c);
	error(fd, &c);
	CALL(set(fd, SO_TIMESTAMPING, TX | TSONLY));
	send_hello(fd, &c);
	error(fd, &c);
	CALL(set(fd, SO_TIMESTAMPING, TX | TSONLY | SOF_TIMESTAMPING_OPT_ID));
	send_hello(fd, &c);
	error(fd, &c);
}

/* Numbers run on over datagrams that left in fragments, and thus by the kernel. */
CASE_PART(sent_either_way)
{
	int fd = sender(TX | TSONLY | SOF_TIMESTAMPING_OPT_ID);
	static char large[LARGE];
	uint32_t seen = 0;
	struct call c;

	for (int i = 0; i < 3; i++) {
		c.from = wall();
		CALL(send(fd, "hello", 5, 0));
		CALL(send(fd, "again", 5, 0));
		CALL(send(fd, large, sizeof(large), 0));
	}
	for (int i = 0; i < 9; i++) {
		struct iovec iov = { .iov_base = c.data, .iov_len = sizeof(c.data) };

		c.msg = (struct msghdr){ .msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.control,
					 .msg_controllen = sizeof(c.control) };
		CALL(recvmsg(fd, &c.msg, MSG_ERRQUEUE));
		for (struct cmsghdr *m = CMSG_FIRSTHDR(&c.msg); m; m = CMSG_NXTHDR(&c.msg, m)) {
			struct sock_extended_err ee;

			if (m->cmsg_level == SOL_SOCKET)
				continue;
			memcpy(&ee, CMSG_DATA(m), sizeof(ee));
			seen |= ee.ee_data < 32 ? 1u << ee.ee_data : 1u << 31;
		}
	}
	say("numbers %x", seen);
	error(fd, &c);
}

CASE_FAST(sent_and_scheduled)
{
	int fd = sender(TX | SOF_TIMESTAMPING_TX_SCHED | SOF_TIMESTAMPING_OPT_ID);
	struct call c;

	send_hello(fd, &c);
	error(fd, &c);
	error(fd, &c);
	error(fd, &c);
	CALL(set(fd, SO_TIMESTAMPING, SOF_TIMESTAMPING_TX_SCHED | SOF_TIMESTAMPING_SOFTWARE));
	send_hello(fd, &c);
	error(fd, &c);
	error(fd, &c);
	CALL(set(fd, SO_TIMESTAMPING, SOF_TIMESTAMPING_TX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE));
	send_hello(fd, &c);
	error(fd, &c);
}

/* Without SOF_TIMESTAMPING_SOFTWARE there is a message that says no time. */
CASE_FAST(sent_unreported)
{
	int fd = sender(SOF_TIMESTAMPING_TX_SOFTWARE);
	struct call c;

	send_hello(fd, &c);
	error(fd, &c);
	CALL(set(fd, SO_TIMESTAMPNS, 1));
	send_hello(fd, &c);
	error(fd, &c);
}

CASE_FAST(sent_details)
{
	int fd = sender(TX | SOF_TIMESTAMPING_OPT_CMSG), on = 1;
	struct call c;

	send_hello(fd, &c);
	error(fd, &c);
	CALL(setsockopt(fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof(on)));
	CALL(setsockopt(fd, IPPROTO_IP, IP_RECVTOS, &on, sizeof(on)));
	if (family() == AF_INET6)
		CALL(setsockopt(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof(on)));
	send_hello(fd, &c);
	error(fd, &c);
	if (family() == AF_INET6)
		CALL(setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)));
	else
		CALL(setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)));
	send_hello(fd, &c);
	error(fd, &c);
	CALL(set(fd, SO_TIMESTAMPING, TX | TSONLY | SOF_TIMESTAMPING_OPT_CMSG));
	send_hello(fd, &c);
	error(fd, &c);
}

static void show_room(int fd, struct call *c, size_t len, int flags)
{
	struct iovec iov = { .iov_base = c->data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = c->control,
			      .msg_controllen = len * 4 };

	CALL(recvmsg(fd, &msg, MSG_ERRQUEUE | flags));
	say("  flags %x control %zu", (unsigned)msg.msg_flags, msg.msg_controllen);
}

CASE_FAST(sent_little_room)
{
	int fd = sender(TX);
	struct call c;

	for (size_t len = 0; len < 40; len += 7) {
		send_hello(fd, &c);
		show_room(fd, &c, len, 0);
	}
	send_hello(fd, &c);
	show_room(fd, &c, 10, MSG_PEEK); /* takes it all the same */
	show_room(fd, &c, 10, MSG_TRUNC | MSG_DONTWAIT);
	send_hello(fd, &c);
	CALL(recv(fd, c.data, sizeof(c.data), MSG_ERRQUEUE) > 5);
	send_hello(fd, &c);
	CALL(recv(fd, c.data, 3, MSG_ERRQUEUE | MSG_TRUNC));
}

static void show_poll(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	CALL(poll(&p, 1, 0));
	say("  asked %x, is %x", (unsigned)events, (unsigned)p.revents);
}

static void show_polls(int fd)
{
	fd_set in, out, except;
	struct timeval none = { 0 };

	show_poll(fd, 0);
	show_poll(fd, POLLPRI);
	show_poll(fd, POLLIN | POLLOUT | POLLPRI | POLLERR);
	FD_ZERO(&in);
	FD_SET(fd, &in);
	out = except = in;
	CALL(select(fd + 1, &in, &out, &except, &none));
	say("  select %d %d %d", FD_ISSET(fd, &in), FD_ISSET(fd, &out), FD_ISSET(fd, &except));
}

CASE_FAST(readiness)
{
	int fd = sender(TX | TSONLY);
	struct call c;

	show_polls(fd);
	send_hello(fd, &c);
	show_polls(fd);
	CALL(set(fd, SO_SELECT_ERR_QUEUE, 1));
	show_polls(fd);
	send_hello(fd, &c);
	error(fd, &c);
	show_polls(fd);
	error(fd, &c);
	show_polls(fd);
}

static void show_epoll(int ep, int wait)
{
	struct epoll_event events[4];
	int n = (int)CALL(epoll_wait(ep, events, 4, wait));

	for (int i = 0; i < n; i++)
		say("  events %x data %d", events[i].events, (int)events[i].data.u32);
}

CASE_FAST(epoll_readiness)
{
	static const uint32_t interests[] = { EPOLLIN, EPOLLIN | EPOLLPRI, EPOLLIN | EPOLLOUT, 0, EPOLLIN | EPOLLET };

	for (size_t i = 0; i < sizeof(interests) / sizeof(interests[0]); i++) {
		struct epoll_event event = { .events = interests[i], .data.u32 = 7 };
		int fd = sender(TX | TSONLY), ep = epoll_create1(0);
		struct call c;

		say("interest %x", interests[i]);
		CALL(set(fd, SO_SELECT_ERR_QUEUE, 1));
		send_hello(fd, &c); /* the socket is on its way by now */
		error(fd, &c);
		CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
		show_epoll(ep, 0);
		send_hello(fd, &c);
		show_epoll(ep, 100);
		show_epoll(ep, 0);
		send_hello(fd, &c);
		show_epoll(ep, 100);
		error(fd, &c);
		error(fd, &c);
		show_epoll(ep, 0);
		close(ep);
		close(fd);
	}
}

static long send_with(int fd, int type, uint32_t flags, size_t len)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(8)];
	} control = { .head = { .cmsg_level = SOL_SOCKET, .cmsg_type = type, .cmsg_len = CMSG_LEN(len) } };
	struct iovec iov = { .iov_base = "hello", .iov_len = 5 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			      .msg_controllen = CMSG_SPACE(len) };

	memcpy(CMSG_DATA(&control.head), &flags, sizeof(flags));
	return sendmsg(fd, &msg, 0);
}

CASE_FAST(sent_on_demand)
{
	int fd = sender(SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID | TSONLY);
	struct call c = { .from = wall() };

	CALL(send_with(fd, SO_TIMESTAMPING, SOF_TIMESTAMPING_TX_SOFTWARE, 4));
	error(fd, &c);
	send_hello(fd, &c);
	error(fd, &c);
	CALL(send_with(fd, TIMESTAMPING_NEW, SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_TX_SCHED, 4));
	error(fd, &c);
	error(fd, &c);
	CALL(send_with(fd, SO_TIMESTAMPING, 0, 4));
	error(fd, &c);
}

/* What the message says takes the place of what the option said. Refusals are the kernel's. */
CASE_FAST(sent_unlike_the_option)
{
	int fd = sender(TX | TSONLY);
	struct call c = { .from = wall() };

	CALL(send_with(fd, SO_TIMESTAMPING, 0, 4));
	error(fd, &c);
	CALL(send_with(fd, SO_TIMESTAMPING, SOF_TIMESTAMPING_TX_SCHED, 4));
	error(fd, &c);
	CALL(send_with(fd, SO_TIMESTAMPING, SOF_TIMESTAMPING_SOFTWARE, 4));
	CALL(send_with(fd, SO_TIMESTAMPING, SOF_TIMESTAMPING_TX_SOFTWARE, 8));
	error(fd, &c);
}

CASE_FAST(many_at_once)
{
	int fd = sender(TX | TSONLY | SOF_TIMESTAMPING_OPT_ID);
	struct iovec iov = { .iov_base = "hello", .iov_len = 5 };
	struct mmsghdr vec[MANY];
	struct call c = { .from = wall() };
	int64_t last = 0;

	for (int i = 0; i < MANY; i++)
		vec[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } };
	CALL(sendmmsg(fd, vec, MANY, 0));
	for (int i = 0; i < MANY; i++) {
		error(fd, &c);
		say("rising: %d", c.stamp >= last);
		last = c.stamp;
	}
	error(fd, &c);
}
