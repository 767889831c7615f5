/* SPDX-License-Identifier: BSD-2-Clause */
/* stream_opts.c - options of streams: what they answer, before and after connecting, and TCP_INFO. P50. */
#include "stream.h"

static unsigned char buf[2048];

struct option {
	const char *name;
	int level, number;
};

#define OPTION(level, name) { #name, level, name }

static const struct option options[] = {
	OPTION(SOL_SOCKET, SO_TYPE), OPTION(SOL_SOCKET, SO_PROTOCOL), OPTION(SOL_SOCKET, SO_DOMAIN),
	OPTION(SOL_SOCKET, SO_ACCEPTCONN), OPTION(SOL_SOCKET, SO_ERROR), OPTION(SOL_SOCKET, SO_REUSEADDR),
	OPTION(SOL_SOCKET, SO_REUSEPORT), OPTION(SOL_SOCKET, SO_KEEPALIVE), OPTION(SOL_SOCKET, SO_OOBINLINE),
	OPTION(SOL_SOCKET, SO_BROADCAST), OPTION(SOL_SOCKET, SO_DONTROUTE), OPTION(SOL_SOCKET, SO_PRIORITY),
	OPTION(SOL_SOCKET, SO_RCVLOWAT), OPTION(SOL_SOCKET, SO_SNDLOWAT), OPTION(SOL_SOCKET, SO_MARK),
	OPTION(SOL_SOCKET, SO_ZEROCOPY), OPTION(SOL_SOCKET, SO_PEEK_OFF), OPTION(SOL_SOCKET, SO_TIMESTAMP),
	OPTION(SOL_SOCKET, SO_DEBUG), OPTION(SOL_SOCKET, SO_NO_CHECK), OPTION(SOL_SOCKET, SO_RXQ_OVFL),
	OPTION(IPPROTO_TCP, TCP_NODELAY), OPTION(IPPROTO_TCP, TCP_CORK), OPTION(IPPROTO_TCP, TCP_KEEPIDLE),
	OPTION(IPPROTO_TCP, TCP_KEEPINTVL), OPTION(IPPROTO_TCP, TCP_KEEPCNT), OPTION(IPPROTO_TCP, TCP_SYNCNT),
	OPTION(IPPROTO_TCP, TCP_LINGER2), OPTION(IPPROTO_TCP, TCP_DEFER_ACCEPT), OPTION(IPPROTO_TCP, TCP_USER_TIMEOUT),
	OPTION(IPPROTO_TCP, TCP_NOTSENT_LOWAT), OPTION(IPPROTO_TCP, TCP_FASTOPEN_CONNECT),
	OPTION(IPPROTO_TCP, TCP_FASTOPEN), OPTION(IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS), OPTION(IPPROTO_TCP, TCP_THIN_DUPACK),
	OPTION(IPPROTO_TCP, TCP_SAVE_SYN), OPTION(IPPROTO_TCP, TCP_INQ), OPTION(IPPROTO_TCP, TCP_TX_DELAY),
	OPTION(IPPROTO_TCP, TCP_REPAIR), OPTION(IPPROTO_TCP, 9999),
	OPTION(IPPROTO_IP, IP_TOS), OPTION(IPPROTO_IP, IP_TTL), OPTION(IPPROTO_IP, IP_MTU_DISCOVER),
	OPTION(IPPROTO_IP, IP_RECVTOS), OPTION(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT), OPTION(IPPROTO_IP, IP_FREEBIND),
	OPTION(IPPROTO_IPV6, IPV6_V6ONLY), OPTION(IPPROTO_IPV6, IPV6_TCLASS), OPTION(IPPROTO_IPV6, IPV6_UNICAST_HOPS),
};

static void all_options(int fd)
{
	size_t i;

	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		get_int(fd, options[i].name, options[i].level, options[i].number);
}

CASE(values)
{
	all_options(tcp());
}

CASE(values_of_a_listener)
{
	all_options(tcp_listening(PORT_HERE, 4));
}

CASE_FAST(values_of_a_connection)
{
	int slot, fd = linked(&slot);

	all_options(fd);
	bring(slot, 100);
	receive_all(fd, 100);
	get_int(fd, "SO_ERROR", SOL_SOCKET, SO_ERROR);
	get_int(fd, "IP_MTU", family() == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, family() == AF_INET ? IP_MTU : IPV6_MTU);
}

static void try(int fd, const char *name, int level, int number, const int *values, int count)
{
	int i;

	for (i = 0; i < count; i++) {
		set_int(fd, level, number, values[i]);
		get_int(fd, name, level, number);
	}
}

static void try_all(int fd)
{
	static const int some[] = { 0, 1, 2, 100, -1, 40000 };
	static const int numbers[] = {
		TCP_NODELAY, TCP_CORK, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_SYNCNT, TCP_LINGER2, TCP_USER_TIMEOUT,
		TCP_NOTSENT_LOWAT, TCP_FASTOPEN_CONNECT, TCP_THIN_LINEAR_TIMEOUTS, TCP_SAVE_SYN, TCP_INQ,
	};
	char name[32];
	size_t i;

	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		snprintf(name, sizeof(name), "TCP option %d", numbers[i]);
		try(fd, name, IPPROTO_TCP, numbers[i], some, 6);
	}
}

CASE(set_and_get)
{
	try_all(tcp());
}

CASE_FAST(set_and_get_of_a_connection)
{
	int slot, fd = linked(&slot);

	try_all(fd);
	set_int(fd, IPPROTO_TCP, TCP_CORK, 0);
	set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 0);
	bring(slot, 100);
	receive_all(fd, 100);
	CALL(send(fd, "x", 1, 0));
	order("take %d 1", slot);
}

/* What was set while the stack had it is in force in the kernel. P48 */
CASE_BY(kept_by_the_kernel, option)
{
	static const int seconds = 30;
	struct linger linger = { .l_onoff = 1, .l_linger = 3 }, shown = { 0 };
	struct timeval limit = { .tv_usec = 100000 };
	int slot, fd = linked(&slot);
	socklen_t len = sizeof(shown);

	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds);
	set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, seconds + 1);
	set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 7);
	set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 40000);
	set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 30000);
	set_int(fd, IPPROTO_TCP, TCP_LINGER2, 9);
	set_int(fd, IPPROTO_TCP, TCP_INQ, 1);
	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_int(fd, SOL_SOCKET, SO_OOBINLINE, 1);
	set_int(fd, SOL_SOCKET, SO_PRIORITY, 3);
	set_int(fd, SOL_SOCKET, SO_MARK, 5);
	set_int(fd, SOL_SOCKET, SO_RCVLOWAT, 20);
	set_int(fd, SOL_SOCKET, SO_TIMESTAMP, 1);
	set_int(fd, SOL_SOCKET, SO_SNDBUF, 100000);
	set_int(fd, SOL_SOCKET, SO_RCVBUF, 100000);
	set_int(fd, IPPROTO_IP, IP_TTL, 33);
	set_int(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 34);
	CALL(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	CALL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	CALL(fcntl(fd, F_SETOWN, getpid()));
	all_options(fd);
	get_int(fd, "SO_SNDBUF", SOL_SOCKET, SO_SNDBUF);
	get_int(fd, "SO_RCVBUF", SOL_SOCKET, SO_RCVBUF);
	CALL(getsockopt(fd, SOL_SOCKET, SO_LINGER, &shown, &len));
	say("linger %d %d", shown.l_onoff, shown.l_linger);
	bring(slot, 10);
	CALL_TICKED(recv(fd, buf, 100, MSG_WAITALL), 100);
	bring(slot, 10);
	events_of(fd, POLLIN, 50);
	bring(slot, 10);
	events_of(fd, POLLIN, 2000);
}

CASE(set_and_get_of_a_listener)
{
	try_all(tcp_listening(PORT_HERE, 4));
}

CASE(defer_accept)
{
	static const int some[] = { 0, 1, 2, 5, 30, 1000, -1 };

	try(tcp_listening(PORT_HERE, 4), "TCP_DEFER_ACCEPT", IPPROTO_TCP, TCP_DEFER_ACCEPT, some, 7);
}

CASE(fast_open)
{
	static const int some[] = { 0, 5, 100000, -1 };

	try(tcp_listening(PORT_HERE, 4), "TCP_FASTOPEN", IPPROTO_TCP, TCP_FASTOPEN, some, 4);
}

CASE(segment_size)
{
	static const int some[] = { 0, 50, 88, 536, 1400, 32767, 40000, -1 };
	int fd = tcp();

	get_int(fd, "TCP_MAXSEG", IPPROTO_TCP, TCP_MAXSEG);
	try(fd, "TCP_MAXSEG", IPPROTO_TCP, TCP_MAXSEG, some, 8);
}

CASE_FAST(segment_size_in_use)
{
	struct addr to = there(PORT_PEER);
	int fd = tcp(), slot;

	set_int(fd, IPPROTO_TCP, TCP_MAXSEG, 800);
	CALL(connect(fd, SA(&to), to.len));
	slot = (int)order("accept %d", PORT_PEER);
	get_int(fd, "TCP_MAXSEG", IPPROTO_TCP, TCP_MAXSEG);
	order("mss %d", slot);
	bring(slot, 5000);
	receive_all(fd, 5000);
	CALL(send(fd, stream_bytes, 5000, 0));
	order("take %d 5000", slot);
}

CASE_FAST(segment_size_of_the_path)
{
	int slot, fd = linked(&slot);

	get_int(fd, "TCP_MAXSEG", IPPROTO_TCP, TCP_MAXSEG);
	order("mss %d", slot);
	order("options %d", slot);
}

CASE(window_clamp)
{
	static const int some[] = { 0, 1, 5000, 100000, -1 };

	try(tcp(), "TCP_WINDOW_CLAMP", IPPROTO_TCP, TCP_WINDOW_CLAMP, some, 5);
}

CASE(buffers)
{
	static const int some[] = { 0, 1, 1000, 4096, 100000, 1 << 30, -1 };
	int fd = tcp();

	try(fd, "SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, some, 7);
	try(fd, "SO_SNDBUF", SOL_SOCKET, SO_SNDBUF, some, 7);
	try(fd, "SO_RCVLOWAT", SOL_SOCKET, SO_RCVLOWAT, some, 7);
	try(fd, "SO_SNDLOWAT", SOL_SOCKET, SO_SNDLOWAT, some, 7);
}

CASE_FAST(buffers_of_a_connection)
{
	static const int some[] = { 1, 4096, 100000 };
	int slot, fd = linked(&slot);

	try(fd, "SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, some, 3);
	try(fd, "SO_SNDBUF", SOL_SOCKET, SO_SNDBUF, some, 3);
	bring(slot, 100);
	receive_all(fd, 100);
}

static void linger_is(int fd)
{
	struct linger back = { -1, -1 };
	socklen_t len = sizeof(back);

	CALL(getsockopt(fd, SOL_SOCKET, SO_LINGER, &back, &len));
	say("  %d %d length %u", back.l_onoff, back.l_linger, len);
}

CASE(linger)
{
	static const struct linger some[] = { { 1, 0 }, { 1, 5 }, { 0, 9 }, { 7, 3 }, { 1, 0x7fffffff } };
	int fd = tcp();
	size_t i;

	linger_is(fd);
	for (i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
		CALL(setsockopt(fd, SOL_SOCKET, SO_LINGER, &some[i], sizeof(some[i])));
		linger_is(fd);
	}
	CALL(setsockopt(fd, SOL_SOCKET, SO_LINGER, &some[0], 4));
}

CASE_FAST(keepalive)
{
	int slot, fd = linked(&slot);

	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	get_int(fd, "SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE);
	set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 77);
	get_int(fd, "TCP_KEEPIDLE", IPPROTO_TCP, TCP_KEEPIDLE);
	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 0);
	get_int(fd, "SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE);
}

CASE_FAST(quick_acknowledgements)
{
	int slot, fd = linked(&slot);

	set_int(fd, IPPROTO_TCP, TCP_QUICKACK, 1);
	get_int(fd, "TCP_QUICKACK", IPPROTO_TCP, TCP_QUICKACK);
	set_int(fd, IPPROTO_TCP, TCP_QUICKACK, 0);
	get_int(fd, "TCP_QUICKACK", IPPROTO_TCP, TCP_QUICKACK);
	bring(slot, 10);
	receive_all(fd, 10);
}

static void congestion_is(int fd, socklen_t room)
{
	char name[32];
	socklen_t len = room;

	memset(name, 'z', sizeof(name));
	CALL(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len));
	say("  %.*s length %u", (int)(len < 16 ? len : 16), name, len);
}

static void congestion_of(int fd)
{
	congestion_is(fd, 32);
	CALL(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
	congestion_is(fd, 16);
	congestion_is(fd, 3);
	CALL(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "nonsense", 8));
	CALL(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "", 0));
	congestion_is(fd, 16);
	CALL(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 6));
	congestion_is(fd, 16);
}

CASE(congestion)
{
	congestion_of(tcp());
}

CASE_FAST(congestion_of_a_connection)
{
	int slot, fd = linked(&slot);

	congestion_of(fd);
	bring(slot, 100);
	receive_all(fd, 100);
}

CASE(lengths)
{
	static const int lens[] = { 0, 1, 2, 3, 4, 5, 8, 100 };
	int fd = tcp(), value[25] = { 1 };
	size_t i;

	for (i = 0; i < 8; i++) {
		socklen_t len = (socklen_t)lens[i];

		say("length %d", lens[i]);
		CALL(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, value, len));
		CALL(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, value, &len));
		say("  became %u", len);
		len = (socklen_t)lens[i];
		CALL(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, value, &len));
		say("  became %u", len);
		len = (socklen_t)lens[i];
		CALL(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, value, len));
		CALL(getsockopt(fd, IPPROTO_TCP, TCP_INFO, value, &len));
		say("  became %u", len);
	}
}

CASE(wrong)
{
	void *bad = (void *)(uintptr_t)hidden(8);
	socklen_t len = 4, negative = (socklen_t)-1;
	int fd = tcp(), value = 1;

	CALL(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, bad, 4));
	CALL(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, bad, &len));
	CALL(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, bad));
	CALL(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &negative));
	CALL(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, negative));
	CALL(setsockopt(fd, IPPROTO_TCP, 9999, &value, 4));
	CALL(getsockopt(fd, IPPROTO_TCP, 9999, &value, &len));
	CALL(setsockopt(fd, SOL_SOCKET, 9999, &value, 4));
	CALL(setsockopt(fd, 9999, 1, &value, 4));
	CALL(getsockopt(fd, 9999, 1, &value, &len));
	CALL(setsockopt(fd, IPPROTO_UDP, 103, &value, 4));
	CALL(setsockopt(99, IPPROTO_TCP, TCP_NODELAY, &value, 4));
	CALL(getsockopt(99, IPPROTO_TCP, TCP_NODELAY, &value, &len));
	CALL(setsockopt(fd, IPPROTO_TCP, TCP_INFO, &value, 4));
	CALL(setsockopt(fd, IPPROTO_TCP, TCP_ULP, "nonsense", 8));
}

CASE_FAST(wrong_on_a_connection)
{
	void *bad = (void *)(uintptr_t)hidden(8);
	socklen_t len = 4;
	int slot, fd = linked(&slot), value = 1;

	CALL(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, bad, 4));
	CALL(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, bad, &len));
	CALL(setsockopt(fd, IPPROTO_TCP, 9999, &value, 4));
	CALL(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &value, 4));
	CALL(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &value, 4));
	CALL(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, 2));
}

CASE(information_out_of_reach)
{
	void *bad = (void *)(uintptr_t)hidden(8);
	int slot, fd = linked(&slot);
	socklen_t len = 4;

	CALL(getsockopt(fd, IPPROTO_TCP, TCP_INFO, bad, &len));
}

static struct tcp_info info_of(int fd, socklen_t room)
{
	struct tcp_info info;
	socklen_t len = room;

	memset(&info, 0, sizeof(info));
	CALL(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	say("  room %u, length %s", room, len == room || len > 100 ? "as expected" : "short");
	return info;
}

CASE_FAST(information)
{
	int slot, fd = linked(&slot);
	struct tcp_info info;

	bring(slot, 5000);
	receive_all(fd, 5000);
	CALL(send(fd, stream_bytes, 3000, 0));
	order("take %d 3000", slot);
	sleep_ms(80);	/* an acknowledgement may be put off for 40 ms */
	events_of(fd, POLLIN, 0);
	info = info_of(fd, sizeof(info));
	say("state %u, ca_state %u, retransmits %u, probes %u, backoff %u", info.tcpi_state, info.tcpi_ca_state,
	    info.tcpi_retransmits, info.tcpi_probes, info.tcpi_backoff);
	say("options %#x", info.tcpi_options);
	say("scales %d", info.tcpi_snd_wscale > 0 && info.tcpi_rcv_wscale > 0);
	say("mss out %u, advertised %u, pmtu %u", info.tcpi_snd_mss, info.tcpi_advmss, info.tcpi_pmtu);
	say("rtt %d, min %d, rto %d", info.tcpi_rtt > 0 && info.tcpi_rtt < 1000000, info.tcpi_min_rtt <= info.tcpi_rtt,
	    info.tcpi_rto >= 200000 && info.tcpi_rto < 2000000);
	say("cwnd %d", info.tcpi_snd_cwnd >= 10);
	/* A peer that gets no processor for long is sent something twice. */
	say("unacked %u, sacked %u, lost %u, retrans %u, total %d", info.tcpi_unacked, info.tcpi_sacked, info.tcpi_lost,
	    info.tcpi_retrans, !info.tcpi_total_retrans == !info.tcpi_bytes_retrans);
	say("received %llu, acked more than 3000: %d", (unsigned long long)info.tcpi_bytes_received,
	    info.tcpi_bytes_acked == 3000 || info.tcpi_bytes_acked == 3001);
	say("segments %d %d", info.tcpi_segs_in > 2, info.tcpi_segs_out > 2);
	say("bytes sent %llu, unsent %u, window %d", (unsigned long long)(info.tcpi_bytes_sent - info.tcpi_bytes_retrans),
	    info.tcpi_notsent_bytes, info.tcpi_snd_wnd > 10000);
}

CASE_FAST(information_in_part)
{
	int slot, fd = linked(&slot);
	struct tcp_info info = info_of(fd, 1);

	say("state %u, options %#x", info.tcpi_state, info.tcpi_options);
	info = info_of(fd, 8);
	say("state %u, rto %u", info.tcpi_state, info.tcpi_rto);
	info_of(fd, 104);
	info_of(fd, 0);
}

CASE(information_of_others)
{
	struct tcp_info info = info_of(tcp(), sizeof(info));

	say("state %u, options %#x", info.tcpi_state, info.tcpi_options);
	info = info_of(tcp_listening(PORT_HERE, 7), sizeof(info));
	say("state %u, waiting %u, room %u", info.tcpi_state, info.tcpi_unacked, info.tcpi_sacked);
}

CASE_FAST(type_of_service)
{
	int level = family() == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, which = family() == AF_INET ? IP_TOS : IPV6_TCLASS;
	int slot, fd = linked(&slot);

	set_int(fd, level, which, 0xb8);
	get_int(fd, "service", level, which);
	set_int(fd, level, which, 0xbb);
	get_int(fd, "service", level, which);
	bring(slot, 10);
	receive_all(fd, 10);
	CALL(send(fd, "x", 1, 0));
	order("take %d 1", slot);
}

CASE(v6only)
{
	int fd = tcp(), level = IPPROTO_IPV6;

	get_int(fd, "before", level, IPV6_V6ONLY);
	set_int(fd, level, IPV6_V6ONLY, 1);
	get_int(fd, "after", level, IPV6_V6ONLY);
	fd = tcp_bound(PORT_HERE);
	set_int(fd, level, IPV6_V6ONLY, 1);
	get_int(fd, "bound", level, IPV6_V6ONLY);
}

/* Bytes still to read, told beside the data. */
CASE_FAST(what_is_left)
{
	union {
		char bytes[64];
		struct cmsghdr align;
	} control;
	struct iovec part = { buf, 30 };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control) };
	int slot, fd = linked(&slot), left;
	struct cmsghdr *c;

	set_int(fd, IPPROTO_TCP, TCP_INQ, 1);
	bring(slot, 100);
	CALL(recvmsg(fd, &msg, 0));
	c = CMSG_FIRSTHDR(&msg);
	if (!c)
		return;
	memcpy(&left, CMSG_DATA(c), sizeof(left));
	say("level %d type %d: %d", c->cmsg_level, c->cmsg_type, left);
}

CASE_FAST(bind_to_device)
{
	struct addr to = there(PORT_PEER);
	char name[16] = "";
	socklen_t len = sizeof(name);
	int fd = tcp(), slot;

	CALL(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "fst0", 4));
	CALL(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len));
	say("device %s", name);
	CALL(connect(fd, SA(&to), to.len));
	slot = (int)order("accept %d", PORT_PEER);
	bring(slot, 10);
	receive_all(fd, 10);
	CALL(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "none9", 5));
}
