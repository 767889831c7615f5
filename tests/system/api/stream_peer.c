/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream_peer.c - the other end of the stream programs: obeys what arrives on CONTROL_FD, answers with one number.
 *
 * stream_peer v4|v6. It listens on PORT_PEER and holds connections by slot, the lowest free number. Bytes it
 * sends are the stream pattern(0, offset). A negative answer is an errno; -ETIME: nothing happened for GUARD_MS.
 *
 * listen PORT BACKLOG RCVBUF   open another listener (RCVBUF 0: the kernel's choice)
 * unlisten PORT                close it
 * accept PORT                  wait for a connection, slot
 * waiting PORT                 how many wait there now, none of them taken
 * connect PORT LOCAL           to the program, wait for the end of it, slot (LOCAL 0: any port)
 * begin PORT                   the same without waiting, slot
 * done SLOT                    wait for the end of that: 0 or an errno
 * send SLOT SIZE               bytes taken by the kernel until it takes no more for 100 ms
 * deliver SLOT SIZE            send, then wait until the program's end has acknowledged; half a second at most
 * source SLOT SIZE             send in the background
 * take SLOT SIZE               receive so much or up to the end of the stream, bytes
 * rest SLOT                    receive to the end of the stream, bytes; a reset is -ECONNRESET
 * sum SLOT, sent SLOT          hash over all bytes received; offset of the next byte to send
 * echo SLOT, sink SLOT         do that in the background
 * oob SLOT                     one urgent byte
 * urgent SLOT                  receive one urgent byte
 * fin SLOT                     shutdown(SHUT_WR), wait for its acknowledgement; half a second at most
 * shut SLOT HOW, close SLOT, reset SLOT
 * state SLOT, error SLOT, options SLOT, mss SLOT  tcpi_state, SO_ERROR, tcpi_options, tcpi_snd_mss
 * deaf SLOT ON                 a filter drops all that comes
 * unreachable SLOT CODE        a router's message about the next byte that the program sends, or sent
 * datagram PORT SIZE           one to the program's PORT, from PORT_SINK, where whatever arrives is left unread
 * later MS ORDER               do ORDER after MS ms
 * clear                        reset all connections, close all listeners but the first
 * records                      bytes of its own records so far (FSOCK_REPORT_FD)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONTROL_FD = 3, PORT_SINK = 7009, PORT_PEER = 7010, GUARD_MS = 4000, N_CONNS = 64, N_LISTENERS = 8, N_LATER = 8 };

enum mode { HOLD, ECHO, SINK };

struct conn {
	int fd;		/* 0: free */
	enum mode mode;
	long sent, due;	/* offset in the stream to the program; how much "source" has left */
	uint32_t hash;
};

struct listener {
	int fd, port;	/* fd 0: free */
};

struct later {
	int64_t at;	/* ms; 0: free */
	char order[128];
};

struct peer {
	int family;
	struct conn conns[N_CONNS];
	struct listener listeners[N_LISTENERS];
	struct later later[N_LATER];
	int datagrams;
};

static unsigned char buffer[65536];

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static socklen_t address(int family, struct sockaddr_storage *ss, int mine, int port)
{
	struct sockaddr_in *in4 = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

	memset(ss, 0, sizeof(*ss));
	if (family == AF_INET) {
		in4->sin_family = AF_INET;
		in4->sin_port = htons((uint16_t)port);
		inet_pton(AF_INET, mine ? "10.77.0.2" : "10.77.0.1", &in4->sin_addr);
		return sizeof(*in4);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons((uint16_t)port);
	inet_pton(AF_INET6, mine ? "fd77::2" : "fd77::1", &in6->sin6_addr);
	return sizeof(*in6);
}

/* Wait for @events, at most @ms. */
static int ready(int fd, short events, int ms)
{
	struct pollfd set = { .fd = fd, .events = events };

	return poll(&set, 1, ms) > 0;
}

static int stream_socket(const struct peer *p, int port)
{
	struct sockaddr_storage ss;
	socklen_t len = address(p->family, &ss, 1, port);
	int fd = socket(p->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (port && bind(fd, (struct sockaddr *)&ss, len) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static long open_listener(struct peer *p, int port, int backlog, int rcvbuf)
{
	int i, fd = stream_socket(p, port);

	if (fd < 0)
		return -errno;
	if (rcvbuf)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
	if (listen(fd, backlog) < 0)
		return -errno;
	for (i = 0; i < N_LISTENERS; i++) {
		if (!p->listeners[i].fd) {
			p->listeners[i] = (struct listener){ fd, port };
			return 0;
		}
	}
	return -ENOSPC;
}

static struct listener *find_listener(struct peer *p, int port)
{
	int i;

	for (i = 0; i < N_LISTENERS; i++) {
		if (p->listeners[i].fd && p->listeners[i].port == port)
			return &p->listeners[i];
	}
	return NULL;
}

static long keep(struct peer *p, int fd)
{
	int i;

	for (i = 0; i < N_CONNS; i++) {
		if (!p->conns[i].fd) {
			p->conns[i] = (struct conn){ .fd = fd, .hash = 2166136261U };
			return i;
		}
	}
	close(fd);
	return -ENOSPC;
}

static long accept_one(struct peer *p, int port)
{
	struct listener *l = find_listener(p, port);
	int fd, on = 1;

	if (!l)
		return -ENOENT;
	if (!ready(l->fd, POLLIN, GUARD_MS))
		return -ETIME;
	fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return keep(p, fd);
}

static long waiting(struct peer *p, int port)
{
	struct listener *l = find_listener(p, port);
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (!l)
		return -ENOENT;
	ready(l->fd, POLLIN, 300);
	/* Of a listener: the length of its queue. */
	return getsockopt(l->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ? -errno : (long)info.tcpi_unacked;
}

static long begin(struct peer *p, int port, int local)
{
	struct sockaddr_storage ss;
	socklen_t len = address(p->family, &ss, 0, port);
	int fd = stream_socket(p, local);

	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS) {
		close(fd);
		return -errno;
	}
	return keep(p, fd);
}

static int datagram_socket(int family)
{
	struct sockaddr_storage ss;
	socklen_t len = address(family, &ss, 1, PORT_SINK);
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return bind(fd, (struct sockaddr *)&ss, len) < 0 ? -1 : fd;
}

static long datagram(const struct peer *p, int port, int size)
{
	struct sockaddr_storage ss;
	socklen_t len = address(p->family, &ss, 0, port);
	ssize_t n;

	/* An error of an earlier one is reported once. */
	n = sendto(p->datagrams, buffer, (size_t)size, 0, (struct sockaddr *)&ss, len);
	if (n < 0)
		n = sendto(p->datagrams, buffer, (size_t)size, 0, (struct sockaddr *)&ss, len);
	return n < 0 ? -errno : n;
}

static long so_error(int fd)
{
	int value = 0;
	socklen_t len = sizeof(value);

	getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &len);
	return value;
}

static long done(const struct conn *c)
{
	return ready(c->fd, POLLOUT, GUARD_MS) ? -so_error(c->fd) : -ETIME;
}

static void forget(struct conn *c)
{
	close(c->fd);
	memset(c, 0, sizeof(*c));
}

static long connect_to(struct peer *p, int port, int local)
{
	long slot = begin(p, port, local), bad;

	if (slot < 0)
		return slot;
	bad = done(&p->conns[slot]);
	if (bad < 0) {
		forget(&p->conns[slot]);
		return bad;
	}
	return slot;
}

/* Send up to @size bytes without waiting. */
static long push(struct conn *c, long size)
{
	long i, n = size < (long)sizeof(buffer) ? size : (long)sizeof(buffer);

	for (i = 0; i < n; i++)
		buffer[i] = (unsigned char)((c->sent + i) * 7 + ((c->sent + i) >> 8));
	n = send(c->fd, buffer, (size_t)n, MSG_NOSIGNAL);
	if (n > 0)
		c->sent += n;
	return n < 0 ? -errno : n;
}

static long send_some(struct conn *c, long size)
{
	long total = 0, n;

	while (total < size) {
		if (!ready(c->fd, POLLOUT, 100))
			break;
		n = push(c, size - total);
		if (n < 0)
			return n == -EAGAIN ? total : n;
		total += n;
	}
	return total;
}

static int tcp_state(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
	return info.tcpi_state;
}

/* Until everything has been acknowledged, or for half a second. */
static void wait_acked(const struct conn *c)
{
	int64_t end = now_ms() + 500;
	int left = 0, state;

	while (now_ms() < end) {
		state = tcp_state(c->fd);
		if (ioctl(c->fd, SIOCOUTQ, &left) < 0 || (left == 0 && state != TCP_FIN_WAIT1 && state != TCP_LAST_ACK))
			return;
		usleep(200);
	}
}

static long deliver(struct conn *c, long size)
{
	long n = send_some(c, size);

	wait_acked(c);
	return n;
}

/* Receive without waiting; 0 at the end. */
static long pull(struct conn *c, long size)
{
	long i, n = recv(c->fd, buffer, size < (long)sizeof(buffer) ? (size_t)size : sizeof(buffer), MSG_DONTWAIT);

	for (i = 0; i < n; i++)
		c->hash = (c->hash ^ buffer[i]) * 16777619U;
	return n < 0 ? -errno : n;
}

static long take(struct conn *c, long size)
{
	long total = 0, n;

	while (total < size) {
		if (!ready(c->fd, POLLIN, GUARD_MS))
			return -ETIME;
		n = pull(c, size - total);
		if (n < 0 && n != -EAGAIN)
			return n;
		if (n == 0)
			break;
		if (n > 0)
			total += n;
	}
	return total;
}

static long urgent(struct conn *c)
{
	char byte = 0;

	if (!ready(c->fd, POLLPRI, GUARD_MS))
		return -ETIME;
	return recv(c->fd, &byte, 1, MSG_OOB) < 0 ? -errno : byte;
}

static void reset(struct conn *c)
{
	struct linger hard = { 1, 0 };

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	forget(c);
}

static long clear(struct peer *p)
{
	struct linger hard = { 1, 0 };
	int i, fd;

	for (i = 0; i < N_CONNS; i++) {
		if (p->conns[i].fd)
			reset(&p->conns[i]);
	}
	while ((fd = accept4(p->listeners[0].fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		close(fd);
	}
	for (i = 1; i < N_LISTENERS; i++) {
		if (p->listeners[i].fd)
			close(p->listeners[i].fd);
		p->listeners[i].fd = 0;
	}
	memset(p->later, 0, sizeof(p->later));
	return 0;
}

static long records(void)
{
	const char *report = getenv("FSOCK_REPORT_FD");

	return report ? (long)lseek(atoi(report), 0, SEEK_END) : 0;
}

static long put_off(struct peer *p, int ms, const char *order)
{
	int i;

	for (i = 0; i < N_LATER; i++) {
		if (!p->later[i].at) {
			p->later[i].at = now_ms() + ms;
			snprintf(p->later[i].order, sizeof(p->later[i].order), "%s", order);
			return 0;
		}
	}
	return -ENOSPC;
}

static long ask(const struct conn *c, const char *verb)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (strcmp(verb, "error") == 0)
		return so_error(c->fd);
	getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len);
	if (strcmp(verb, "state") == 0)
		return info.tcpi_state;
	if (strcmp(verb, "mss") == 0)
		return info.tcpi_snd_mss;
	return strcmp(verb, "options") == 0 ? info.tcpi_options : -EINVAL;
}

static long obey_finally(struct conn *c, const char *verb, int how)
{
	if (strcmp(verb, "fin") == 0) {
		if (shutdown(c->fd, SHUT_WR) < 0)
			return -errno;
		wait_acked(c);
		return 0;
	}
	if (strcmp(verb, "shut") == 0)
		return shutdown(c->fd, how) < 0 ? -errno : 0;
	if (strcmp(verb, "close") == 0) {
		forget(c);
		return 0;
	}
	if (strcmp(verb, "reset") == 0) {
		reset(c);
		return 0;
	}
	return ask(c, verb);
}

static long make_deaf(const struct conn *c, int on)
{
	struct sock_filter code[] = { BPF_STMT(BPF_RET | BPF_K, 0) };
	struct sock_fprog program = { 1, code };

	return setsockopt(c->fd, SOL_SOCKET, on ? SO_ATTACH_FILTER : SO_DETACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

/* The number of the next byte that is to come. */
static uint32_t awaited(const struct conn *c)
{
	int on = 1, queue = TCP_RECV_QUEUE, off = -1; /* -1: without a probe of the window */
	socklen_t len = sizeof(uint32_t);
	uint32_t seq = 0;

	setsockopt(c->fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on));
	setsockopt(c->fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue));
	getsockopt(c->fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &seq, &len);
	setsockopt(c->fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off));
	return seq;
}

static uint16_t checksum(const void *data, size_t len)
{
	const uint16_t *word = data;
	uint32_t sum = 0;
	size_t i;

	for (i = 0; i < len / 2; i++)
		sum += word[i];
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)~(sum + (sum >> 16));
}

/* The message's header, and what it quotes. Their length. */
static size_t quote(int family, int code, const struct sockaddr_storage *from, const struct sockaddr_storage *to,
		    const struct tcphdr *segment, char *message)
{
	void *quoted = message + 8;
	struct ip *ip = quoted;
	struct ip6_hdr *ip6 = quoted;
	size_t len = 8 + (family == AF_INET ? sizeof(*ip) : sizeof(*ip6));
	uint16_t sum;

	message[1] = (char)code;
	memcpy(message + len, segment, sizeof(*segment));
	if (family == AF_INET6) { /* the kernel knows the sum */
		message[0] = ICMP6_DST_UNREACH;
		ip6->ip6_vfc = 0x60;
		ip6->ip6_nxt = IPPROTO_TCP;
		ip6->ip6_hlim = 64;
		ip6->ip6_plen = htons(sizeof(*segment) + 1);
		ip6->ip6_src = ((const struct sockaddr_in6 *)from)->sin6_addr;
		ip6->ip6_dst = ((const struct sockaddr_in6 *)to)->sin6_addr;
		return len + sizeof(*segment);
	}
	message[0] = ICMP_DEST_UNREACH;
	ip->ip_v = 4;
	ip->ip_hl = 5;
	ip->ip_ttl = 64;
	ip->ip_p = IPPROTO_TCP;
	ip->ip_len = htons(sizeof(*ip) + sizeof(*segment) + 1);
	ip->ip_src = ((const struct sockaddr_in *)from)->sin_addr;
	ip->ip_dst = ((const struct sockaddr_in *)to)->sin_addr;
	len += sizeof(*segment);
	sum = checksum(message, len);
	memcpy(message + 2, &sum, sizeof(sum));
	return len;
}

static long unreachable(const struct peer *p, const struct conn *c, int code)
{
	struct sockaddr_storage mine, its;
	socklen_t mine_len = sizeof(mine), its_len = sizeof(its);
	struct tcphdr segment = { .th_seq = htonl(awaited(c)), .th_off = 5, .th_flags = TH_ACK | TH_PUSH };
	_Alignas(8) char message[128] = { 0 };
	int fd = socket(p->family, SOCK_RAW | SOCK_CLOEXEC, p->family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	ssize_t n;

	getsockname(c->fd, (struct sockaddr *)&mine, &mine_len);
	getpeername(c->fd, (struct sockaddr *)&its, &its_len);
	/* Ports are at the same place in both families, and none in a raw socket's address. */
	segment.th_sport = ((struct sockaddr_in *)&its)->sin_port;
	segment.th_dport = ((struct sockaddr_in *)&mine)->sin_port;
	((struct sockaddr_in *)&its)->sin_port = 0;
	n = sendto(fd, message, quote(p->family, code, &its, &mine, &segment, message), 0, (struct sockaddr *)&its, its_len);
	n = n < 0 ? -errno : 0;
	close(fd);
	return n;
}

static long obey_slot(struct conn *c, const char *verb, long size)
{
	if (strcmp(verb, "done") == 0)
		return done(c);
	if (strcmp(verb, "send") == 0)
		return send_some(c, size);
	if (strcmp(verb, "deliver") == 0)
		return deliver(c, size);
	if (strcmp(verb, "take") == 0)
		return take(c, size);
	if (strcmp(verb, "rest") == 0)
		return take(c, 1L << 40);
	if (strcmp(verb, "sum") == 0)
		return c->hash;
	if (strcmp(verb, "deaf") == 0)
		return make_deaf(c, (int)size);
	if (strcmp(verb, "sent") == 0)
		return c->sent;
	if (strcmp(verb, "urgent") == 0)
		return urgent(c);
	if (strcmp(verb, "oob") == 0) {
		size = send(c->fd, "!", 1, MSG_OOB | MSG_NOSIGNAL);
		wait_acked(c);
		return size;
	}
	if (strcmp(verb, "source") == 0)
		c->due += size;
	else if (strcmp(verb, "echo") == 0)
		c->mode = ECHO;
	else if (strcmp(verb, "sink") == 0)
		c->mode = SINK;
	else
		return obey_finally(c, verb, (int)size);
	return 0;
}

static long obey(struct peer *p, const char *order)
{
	char verb[16];
	long a = 0, b = 0, c = 0;
	int at = 0;

	if (sscanf(order, "later %ld %n", &a, &at) == 1 && at)
		return put_off(p, (int)a, order + at);
	if (sscanf(order, "%15s %ld %ld %ld", verb, &a, &b, &c) < 1)
		return -EINVAL;
	if (strcmp(verb, "ready") == 0)
		return 1;
	if (strcmp(verb, "clear") == 0)
		return clear(p);
	if (strcmp(verb, "records") == 0)
		return records();
	if (strcmp(verb, "listen") == 0)
		return open_listener(p, (int)a, (int)b, (int)c);
	if (strcmp(verb, "unlisten") == 0) {
		struct listener *l = find_listener(p, (int)a);

		if (!l)
			return -ENOENT;
		close(l->fd);
		l->fd = 0;
		return 0;
	}
	if (strcmp(verb, "accept") == 0)
		return accept_one(p, (int)a);
	if (strcmp(verb, "waiting") == 0)
		return waiting(p, (int)a);
	if (strcmp(verb, "connect") == 0)
		return connect_to(p, (int)a, (int)b);
	if (strcmp(verb, "begin") == 0)
		return begin(p, (int)a, (int)b);
	if (strcmp(verb, "datagram") == 0)
		return datagram(p, (int)a, (int)b);
	if (a < 0 || a >= N_CONNS || !p->conns[a].fd)
		return -EBADF;
	if (strcmp(verb, "unreachable") == 0)
		return unreachable(p, &p->conns[a], (int)b);
	return obey_slot(&p->conns[a], verb, b);
}

static int until_later(const struct peer *p)
{
	int64_t left, least = -1;
	int i;

	for (i = 0; i < N_LATER; i++) {
		if (!p->later[i].at)
			continue;
		left = p->later[i].at - now_ms();
		left = left < 0 ? 0 : left;
		least = least < 0 || left < least ? left : least;
	}
	return (int)least;
}

static void do_later(struct peer *p)
{
	char order[128];
	int i;

	for (i = 0; i < N_LATER; i++) {
		if (!p->later[i].at || now_ms() < p->later[i].at)
			continue;
		p->later[i].at = 0;
		memcpy(order, p->later[i].order, sizeof(order));
		obey(p, order);
	}
}

/* Send all @size bytes of the buffer; 0: it cannot be. */
static long give_back(const struct conn *c, long size)
{
	long at = 0, n;

	while (at < size) {
		if (!ready(c->fd, POLLOUT, GUARD_MS))
			return 0;
		n = send(c->fd, buffer + at, (size_t)(size - at), MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			return 0;
		at += n > 0 ? n : 0;
	}
	return at;
}

/* What goes on in the background with one connection. */
static void work(struct conn *c, short events)
{
	long n;

	if (c->due && (events & POLLOUT)) {
		n = push(c, c->due);
		c->due = n < 0 && n != -EAGAIN ? 0 : c->due - (n > 0 ? n : 0);
	}
	if (c->mode == HOLD || !(events & (POLLIN | POLLHUP | POLLERR)))
		return;
	n = pull(c, sizeof(buffer));
	if (n > 0 && c->mode == ECHO)
		n = give_back(c, n);
	if (n <= 0 && n != -EAGAIN)
		c->mode = HOLD;
}

static void one_round(struct peer *p, struct pollfd *set)
{
	struct conn *of[N_CONNS];
	nfds_t n = 1;
	int i;

	set[0] = (struct pollfd){ .fd = CONTROL_FD, .events = POLLIN };
	for (i = 0; i < N_CONNS; i++) {
		struct conn *c = &p->conns[i];

		if (!c->fd || (c->mode == HOLD && !c->due))
			continue;
		of[n - 1] = c;
		set[n++] = (struct pollfd){ .fd = c->fd, .events = (short)((c->mode ? POLLIN : 0) | (c->due ? POLLOUT : 0)) };
	}
	if (poll(set, n, until_later(p)) < 0 && errno != EINTR)
		exit(1);
	while (n-- > 1) {
		if (set[n].revents)
			work(of[n - 1], set[n].revents);
	}
	do_later(p);
}

int main(int argc, char **argv)
{
	static struct peer p;
	struct pollfd set[N_CONNS + 1];
	char order[256], answer[32];
	ssize_t len;

	if (argc != 2)
		return 2;
	p.family = strcmp(argv[1], "v6") == 0 ? AF_INET6 : AF_INET;
	p.datagrams = datagram_socket(p.family);
	if (p.datagrams < 0 || open_listener(&p, PORT_PEER, 64, 0) < 0) {
		perror("api_stream_peer: listen");
		return 1;
	}
	for (;;) {
		one_round(&p, set);
		if (!set[0].revents)
			continue;
		len = recv(CONTROL_FD, order, sizeof(order) - 1, 0);
		if (len <= 0)
			return 0;
		order[len] = 0;
		len = snprintf(answer, sizeof(answer), "%ld", obey(&p, order));
		if (send(CONTROL_FD, answer, (size_t)len, MSG_NOSIGNAL) != len)
			return 0;
	}
}
