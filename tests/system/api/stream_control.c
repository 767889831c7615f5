/* SPDX-License-Identifier: BSD-2-Clause */
/* stream_control.c - control messages of streams, times of arrival, and options that few programs set. P49, P50. */
#include "stream.h"

#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>

/* What arrives carries a time from some moments after the first socket asked for it: the kernel's switch is slow. */
enum { SWITCHED_MS = 100 };

/* Younger than some headers. */
enum {
	STAMP_OLD = 29, STAMPNS_OLD = 35, STAMPING_OLD = 37, STAMP_NEW = 63, STAMPNS_NEW = 64, STAMPING_NEW = 65,
	FLAG_RX_FILTER = 1 << 17,
};

static unsigned char buf[65536];

static struct {
	struct msghdr msg;
	struct iovec part;
	union {
		char bytes[512];
		struct cmsghdr align;
	} control;
} in;

static int64_t wall_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

/* When the messages that tell a time may say it was; 0 = any. */
static int64_t not_before, not_after;

static void say_time_of(const struct cmsghdr *c)
{
	bool us = c->cmsg_type == STAMP_OLD || c->cmsg_type == STAMP_NEW;
	int64_t words[2], at;

	memcpy(words, CMSG_DATA(c), sizeof(words));
	at = words[0] * 1000000 + (us ? words[1] : words[1] / 1000);
	if (words[0] == 0)
		say("    no time");
	else if (not_before && at < not_before)
		say("    too early");
	else if (not_after && at > not_after)
		say("    too late");
	else
		say("    in time");
}

static void say_messages(void)
{
	struct sock_extended_err err;
	struct cmsghdr *c;
	int value;

	say("  control %zu, flags %#x, name %u", in.msg.msg_controllen, (unsigned)in.msg.msg_flags, in.msg.msg_namelen);
	for (c = CMSG_FIRSTHDR(&in.msg); c; c = CMSG_NXTHDR(&in.msg, c)) {
		say("  level %d type %d length %zu", c->cmsg_level, c->cmsg_type, c->cmsg_len);
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_len >= CMSG_LEN(16)) {
			say_time_of(c);
		} else if (c->cmsg_level == IPPROTO_TCP && c->cmsg_len >= CMSG_LEN(4)) {
			memcpy(&value, CMSG_DATA(c), sizeof(value));
			say("    %d", value);
		} else if (c->cmsg_len >= CMSG_LEN(sizeof(err))) {
			memcpy(&err, CMSG_DATA(c), sizeof(err));
			say("    errno %u origin %u info %u data %u", err.ee_errno, err.ee_origin, err.ee_info, err.ee_data);
		}
	}
}

/* recvmsg() with @room for control messages. */
static long receive(int fd, size_t size, size_t room, int flags)
{
	long n;

	memset(&in, 0, sizeof(in));
	in.part = (struct iovec){ buf, size };
	in.msg = (struct msghdr){ .msg_iov = &in.part, .msg_iovlen = 1, .msg_control = in.control.bytes, .msg_controllen = room,
				  .msg_flags = 0x7777 };
	n = CALL(recvmsg(fd, &in.msg, flags));
	if (n >= 0)
		say_messages();
	return n;
}

static void begin_stamps(int fd, int option, int value)
{
	not_before = not_after = 0;
	set_int(fd, SOL_SOCKET, option, value);
	sleep_ms(SWITCHED_MS);
	not_before = wall_us();
}

/* All that is known of an arrival, as @option tells it. */
static void stamped(int option, int value)
{
	int slot, fd = linked(&slot);

	begin_stamps(fd, option, value);
	bring(slot, 100);
	receive(fd, 60, sizeof(in.control), 0);
	receive(fd, 60, sizeof(in.control), 0);
	set_int(fd, SOL_SOCKET, option, 0);
	bring(slot, 10);
	receive(fd, 60, sizeof(in.control), 0);
}

CASE_FAST(nobody_asked)
{
	int slot, fd = linked(&slot);

	bring(slot, 100);
	receive(fd, 10, sizeof(in.control), 0);
	receive(fd, 10, 0, 0);
	receive(fd, 10, sizeof(in.control), MSG_PEEK | MSG_CMSG_CLOEXEC);
}

CASE_FAST(time)
{
	stamped(STAMP_OLD, 1);
}

CASE_FAST(time_in_ns)
{
	stamped(STAMPNS_OLD, 1);
}

CASE_FAST(time_new)
{
	stamped(STAMP_NEW, 1);
}

CASE_FAST(time_in_ns_new)
{
	stamped(STAMPNS_NEW, 1);
}

CASE_FAST(time_by_flags)
{
	stamped(STAMPING_OLD, SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE);
}

CASE_FAST(time_by_flags_new)
{
	stamped(STAMPING_NEW, SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE);
}

CASE_FAST(time_of_no_device)
{
	stamped(STAMPING_OLD, SOF_TIMESTAMPING_RX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE);
}

CASE_FAST(time_kept_but_not_told)
{
	stamped(STAMPING_OLD, SOF_TIMESTAMPING_RX_SOFTWARE);
}

CASE_FAST(time_filtered)
{
	int slot, fd = linked(&slot);

	begin_stamps(fd, STAMP_OLD, 1);
	set_int(fd, SOL_SOCKET, STAMPING_OLD, SOF_TIMESTAMPING_SOFTWARE | FLAG_RX_FILTER);
	bring(slot, 10);
	receive(fd, 10, sizeof(in.control), 0);
	set_int(fd, SOL_SOCKET, STAMPING_OLD, SOF_TIMESTAMPING_SOFTWARE);
	bring(slot, 10);
	receive(fd, 10, sizeof(in.control), 0);
}

/* Arrival, not reading. */
CASE_FAST(time_before_it_is_read)
{
	int slot, fd = linked(&slot);

	begin_stamps(fd, STAMPNS_OLD, 1);
	bring(slot, 100);
	sleep_ms(20);
	not_after = wall_us();
	sleep_ms(50);
	receive(fd, 100, sizeof(in.control), 0);
}

/* Of several segments, the last one that was read from. */
CASE_FAST(time_of_the_last)
{
	int slot, fd = linked(&slot);

	begin_stamps(fd, STAMPNS_OLD, 1);
	bring(slot, 5000);
	sleep_ms(20);
	not_before = wall_us();
	bring(slot, 5000);
	receive(fd, 20000, sizeof(in.control), 0);
	bring(slot, 10);
	order("later 60 send %d 10", slot);
	sleep_ms(5);
	not_before = wall_us();
	receive(fd, 20, sizeof(in.control), MSG_WAITALL);
}

CASE_FAST(time_by_every_call)
{
	struct mmsghdr several[2] = { 0 };
	struct iovec parts[2] = { { buf, 10 }, { buf + 10, 10 } };
	union {
		char bytes[128];
		struct cmsghdr align;
	} control[2];
	int i, slot, fd = linked(&slot);

	begin_stamps(fd, STAMP_OLD, 1);
	bring(slot, 100);
	receive(fd, 10, sizeof(in.control), MSG_PEEK);
	receive(fd, 10, sizeof(in.control), MSG_TRUNC);
	receive(fd, 0, sizeof(in.control), 0);
	receive(fd, 10, sizeof(in.control), MSG_WAITALL);
	CALL(recv(fd, buf, 10, 0));
	CALL(read(fd, buf, 10));
	for (i = 0; i < 2; i++)
		several[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i], .msg_iovlen = 1, .msg_control = control[i].bytes,
						      .msg_controllen = sizeof(control[i]) };
	CALL(recvmmsg(fd, several, 2, 0, NULL));
	for (i = 0; i < 2; i++)
		say("  %u bytes, control %zu", several[i].msg_len, several[i].msg_hdr.msg_controllen);
	order("fin %d", slot);
	receive(fd, 100, sizeof(in.control), 0);
	receive(fd, 100, sizeof(in.control), 0);
}

CASE_FAST(time_and_what_is_left)
{
	int slot, fd = linked(&slot);

	begin_stamps(fd, STAMPNS_OLD, 1);
	set_int(fd, SOL_SOCKET, STAMPING_OLD, SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE);
	set_int(fd, IPPROTO_TCP, TCP_INQ, 1);
	bring(slot, 100);
	receive(fd, 10, sizeof(in.control), 0);
	receive(fd, 10, 32, 0);
	receive(fd, 10, 20, 0);
	receive(fd, 10, 8, 0);
	receive(fd, 10, 0, 0);
	receive(fd, 10, sizeof(in.control), MSG_PEEK);
}

CASE_FAST(time_asked_of_the_listener)
{
	int listener = tcp_listening(PORT_HERE, 4), slot, fd;

	begin_stamps(listener, STAMPNS_OLD, 1);
	fd = taken_in(listener, PORT_HERE, &slot);
	get_int(fd, "SO_TIMESTAMP", SOL_SOCKET, STAMP_OLD);
	get_int(fd, "SO_TIMESTAMPNS", SOL_SOCKET, STAMPNS_OLD);
	bring(slot, 10);
	receive(fd, 10, sizeof(in.control), 0);
}

CASE_FAST(time_asked_before_connect)
{
	struct addr to = there(PORT_PEER);
	int fd = tcp(), slot;

	begin_stamps(fd, STAMP_OLD, 1);
	CALL(connect(fd, SA(&to), to.len));
	slot = (int)order("accept %d", PORT_PEER);
	bring(slot, 10);
	receive(fd, 10, sizeof(in.control), 0);
}

CASE_FAST(last_time)
{
	struct timeval at;
	int slot, fd = linked(&slot);

	bring(slot, 10);
	receive_all(fd, 10);
	CALL(ioctl(fd, SIOCGSTAMP_OLD, &at));
	CALL(ioctl(fd, SIOCGSTAMPNS_OLD, &at));
}

/* --- times of what is sent: the kernel's --- */

static void sent_times(int fd)
{
	int i;

	for (i = 0; i < 3; i++) {
		events_of(fd, 0, 100);
		if (receive(fd, 0, sizeof(in.control), MSG_ERRQUEUE) < 0)
			break;
	}
}

CASE_BY(time_sent, option)
{
	int slot, fd = linked(&slot);

	begin_stamps(fd, STAMPING_OLD, SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_TX_ACK | SOF_TIMESTAMPING_SOFTWARE |
		     SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_OPT_TSONLY);
	CALL(send(fd, buf, 100, 0));
	order("take %d 100", slot);
	sleep_ms(60); /* an acknowledgement may be put off for 40 ms */
	sent_times(fd);
	bring(slot, 10);
	receive_all(fd, 10);
}

CASE_BY(time_sent_asked_before, option)
{
	struct addr to = there(PORT_PEER);
	int fd = tcp(), slot;

	begin_stamps(fd, STAMPING_OLD, SOF_TIMESTAMPING_TX_SCHED | SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_TSONLY);
	CALL(connect(fd, SA(&to), to.len));
	slot = (int)order("accept %d", PORT_PEER);
	CALL(send(fd, buf, 100, 0));
	order("take %d 100", slot);
	sent_times(fd);
}

CASE_BY(time_sent_of_one_send, option)
{
	union {
		char bytes[64];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec part = { buf, 100 };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes,
			      .msg_controllen = CMSG_SPACE(sizeof(int)) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int slot, fd = linked(&slot), flags = SOF_TIMESTAMPING_TX_SCHED;

	begin_stamps(fd, STAMPING_OLD, SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_TSONLY);
	CALL(send(fd, buf, 100, 0));
	*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = STAMPING_OLD };
	memcpy(CMSG_DATA(c), &flags, sizeof(flags));
	CALL(sendmsg(fd, &msg, 0));
	order("take %d 200", slot);
	sent_times(fd);
}

CASE_FAST(numbers_without_connection)
{
	int slot, fd = tcp();

	set_int(fd, SOL_SOCKET, STAMPING_OLD, SOF_TIMESTAMPING_OPT_ID);
	get_int(fd, "flags", SOL_SOCKET, STAMPING_OLD);
	set_int(fd, SOL_SOCKET, STAMPING_OLD, 1 << 30);
	fd = linked(&slot);
	set_int(fd, SOL_SOCKET, STAMPING_OLD, 1 << 30);
	bring(slot, 10);
	receive_all(fd, 10);
}

/* --- given with what is sent --- */

static void send_with(int fd, int level, int type, size_t length, int value)
{
	union {
		char bytes[64];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec part = { buf, 10 };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes,
			      .msg_controllen = CMSG_SPACE(sizeof(int)) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	*c = (struct cmsghdr){ .cmsg_len = length, .cmsg_level = level, .cmsg_type = type };
	memcpy(CMSG_DATA(c), &value, sizeof(value));
	say("level %d type %d length %zu", level, type, length);
	CALL(sendmsg(fd, &msg, 0));
}

CASE_FAST(given_messages)
{
	int slot, fd = linked(&slot);

	send_with(fd, IPPROTO_IP, IP_TOS, CMSG_LEN(4), 0x10);
	send_with(fd, IPPROTO_IPV6, IPV6_TCLASS, CMSG_LEN(4), 0x10);
	send_with(fd, IPPROTO_IP, 9999, CMSG_LEN(4), 0);
	send_with(fd, IPPROTO_IP, IP_TOS, 3, 0);
	send_with(fd, IPPROTO_IP, IP_TOS, 1000, 0);
	send_with(fd, SOL_SOCKET, SCM_RIGHTS, CMSG_LEN(4), fd);
	send_with(fd, SOL_SOCKET, STAMPING_OLD, CMSG_LEN(4), 0);
	send_with(fd, SOL_SOCKET, STAMPING_OLD, CMSG_LEN(2), 0);
	send_with(fd, SOL_SOCKET, STAMPING_OLD, CMSG_LEN(4), SOF_TIMESTAMPING_OPT_ID);
	send_with(fd, SOL_SOCKET, SO_MARK, CMSG_LEN(4), 7);
	send_with(fd, SOL_SOCKET, SO_MARK, CMSG_LEN(2), 7);
	send_with(fd, SOL_SOCKET, SO_PRIORITY, CMSG_LEN(4), 3);
	send_with(fd, SOL_SOCKET, SO_TXTIME, CMSG_LEN(4), 3);
	send_with(fd, SOL_SOCKET, SO_KEEPALIVE, CMSG_LEN(4), 1);
	order("take %d 60", slot);
}

/* --- what is left to read, in every form --- */

CASE_FAST(left_in_every_form)
{
	int slot, fd = linked(&slot);

	set_int(fd, IPPROTO_TCP, TCP_INQ, 1);
	get_int(fd, "TCP_INQ", IPPROTO_TCP, TCP_INQ);
	receive(fd, 10, sizeof(in.control), MSG_DONTWAIT);
	bring(slot, 100);
	receive(fd, 10, sizeof(in.control), MSG_PEEK);
	receive(fd, 10, sizeof(in.control), MSG_TRUNC);
	receive(fd, 0, sizeof(in.control), 0);
	receive(fd, 10, 12, 0);
	receive(fd, 10, 18, 0);
	receive(fd, 70, sizeof(in.control), 0);
	order("oob %d", slot);
	receive(fd, 1, sizeof(in.control), MSG_OOB);
	order("fin %d", slot);
	receive(fd, 10, sizeof(in.control), 0);
	receive(fd, 10, sizeof(in.control), 0);
}

/* --- options of receiving which say nothing in streams --- */

CASE_FAST(headers_are_not_told)
{
	int slot, fd = linked(&slot);

	if (family() == AF_INET) {
		set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
		set_int(fd, IPPROTO_IP, IP_RECVTOS, 1);
		set_int(fd, IPPROTO_IP, IP_RECVTTL, 1);
		set_int(fd, IPPROTO_IP, IP_RECVOPTS, 1);
	} else {
		set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
		set_int(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
		set_int(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
	}
	set_int(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
	bring(slot, 10);
	receive(fd, 10, sizeof(in.control), 0);
}

/* --- options that only the kernel carries: the connection moves there --- */

static void still_works(int fd, int slot)
{
	bring(slot, 10);
	receive_all(fd, 10);
	CALL(send(fd, "0123456789", 10, 0));
	order("take %d 10", slot);
}

CASE_BY(upper_protocol, option)
{
	int slot, fd = linked(&slot);

	CALL(setsockopt(fd, IPPROTO_TCP, TCP_ULP, "nonsense", 8));
	still_works(fd, slot);
}

CASE_BY(repair, option)
{
	int slot, fd = linked(&slot);

	set_int(fd, IPPROTO_TCP, TCP_REPAIR, 1);
	get_int(fd, "TCP_REPAIR", IPPROTO_TCP, TCP_REPAIR);
	set_int(fd, IPPROTO_TCP, TCP_REPAIR, -1);
	still_works(fd, slot);
}

CASE_BY(lowest_ttl, option)
{
	int slot, fd = linked(&slot);

	if (family() == AF_INET)
		set_int(fd, IPPROTO_IP, IP_MINTTL, 5);
	else
		set_int(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, 5);
	still_works(fd, slot);
}

CASE_BY(delay_of_transmission, option)
{
	int slot, fd = linked(&slot);

	set_int(fd, IPPROTO_TCP, TCP_TX_DELAY, 1000);
	get_int(fd, "TCP_TX_DELAY", IPPROTO_TCP, TCP_TX_DELAY);
	still_works(fd, slot);
}

CASE_BY(mapped_receive, option)
{
	struct tcp_zerocopy_receive zc = { 0 };
	socklen_t len = sizeof(zc);
	int slot, fd = linked(&slot);

	bring(slot, 10);
	CALL(getsockopt(fd, IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &zc, &len));
	say("  length %u, hint %u", zc.length, zc.recv_skip_hint);
	receive_all(fd, 10);
	still_works(fd, slot);
}

CASE_BY(kept_handshake, option)
{
	int listener = tcp_listening(PORT_HERE, 4), slot, fd;
	socklen_t len = sizeof(buf);

	set_int(listener, IPPROTO_TCP, TCP_SAVE_SYN, 1);
	fd = taken_in(listener, PORT_HERE, &slot);
	CALL(getsockopt(fd, IPPROTO_TCP, TCP_SAVED_SYN, buf, &len));
	say("  version %u", buf[0] >> 4);
	CALL(getsockopt(fd, IPPROTO_TCP, TCP_SAVED_SYN, buf, &len));
	still_works(fd, slot);
}

/* A socket that is to connect under such an option connects in the kernel. */
CASE_BY(kernels_before_connect, option)
{
	struct addr to = there(PORT_PEER);
	int fd = tcp(), slot;

	set_int(fd, IPPROTO_TCP, TCP_TX_DELAY, 1000);
	CALL(connect(fd, SA(&to), to.len));
	slot = (int)order("accept %d", PORT_PEER);
	still_works(fd, slot);
}

/* --- options which change nothing that is to be seen --- */

CASE_FAST(quiet_options)
{
	static const int numbers[] = { SO_MARK, SO_PRIORITY, SO_BUSY_POLL, SO_PREFER_BUSY_POLL, SO_BROADCAST, SO_DEBUG,
				       SO_RXQ_OVFL, SO_SELECT_ERR_QUEUE, SO_INCOMING_CPU };
	int slot, fd = linked(&slot);
	size_t i;
	char name[24];

	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		snprintf(name, sizeof(name), "SO option %d", numbers[i]);
		set_int(fd, SOL_SOCKET, numbers[i], 1);
		if (numbers[i] != SO_INCOMING_CPU) /* the kernel's own word from the next segment on */
			get_int(fd, name, SOL_SOCKET, numbers[i]);
	}
	set_int(fd, IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, 1);
	set_int(fd, IPPROTO_TCP, TCP_THIN_DUPACK, 1);
	set_int(fd, SOL_SOCKET, SO_MARK, 0);
	still_works(fd, slot);
}

static int option_of(int fd, int level, int number)
{
	int value = -77;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, number, &value, &len) < 0 ? -errno : value;
}

CASE_FAST(where_it_arrived)
{
	int slot, fd = linked(&slot);

	say("CPU unknown: %d", option_of(tcp(), SOL_SOCKET, SO_INCOMING_CPU) < 0);
	bring(slot, 10);
	receive_all(fd, 10);
	say("CPU unknown: %d", option_of(fd, SOL_SOCKET, SO_INCOMING_CPU) < 0);
	say("cookie: %d", getsockopt(fd, SOL_SOCKET, SO_COOKIE, buf, &(socklen_t){ 8 }));
}

CASE_FAST(information_of_congestion)
{
	socklen_t len = sizeof(buf);
	int slot, fd = linked(&slot);

	CALL(getsockopt(fd, IPPROTO_TCP, TCP_CC_INFO, buf, &len));
	say("  length %u", len);
	still_works(fd, slot);
}

/* --- flags of receiving, together --- */

CASE_FAST(flags_together)
{
	int slot, fd = linked(&slot);

	bring(slot, 100);
	receive(fd, 10, 0, MSG_TRUNC | MSG_WAITALL);
	receive(fd, 200, 0, MSG_TRUNC | MSG_WAITALL | MSG_DONTWAIT);
	receive(fd, 10, 0, MSG_OOB | MSG_DONTWAIT);
	receive(fd, 10, 0, MSG_OOB | MSG_WAITALL);
	receive(fd, 10, 0, MSG_ERRQUEUE | MSG_PEEK);
	bring(slot, 10);
	receive(fd, 10, 0, MSG_EOR | MSG_DONTROUTE | MSG_CONFIRM | MSG_MORE);
	CALL(send(fd, "ab", 2, MSG_OOB | MSG_MORE));
	CALL(send(fd, "cd", 2, MSG_EOR | MSG_MORE));
	CALL(send(fd, "ef", 2, MSG_PEEK | MSG_WAITALL | MSG_TRUNC));
	order("take %d 5", slot);
}

/* Copies are told of one by one or together, and until they are read poll() says so. */
CASE_FAST(copies_are_told)
{
	int slot, fd = linked(&slot), i;

	set_int(fd, SOL_SOCKET, SO_ZEROCOPY, 1);
	events_of(fd, POLLOUT, 0);
	for (i = 0; i < 3; i++)
		CALL(send(fd, buf, 1000, MSG_ZEROCOPY));
	CALL(send(fd, buf, 1000, 0));
	order("take %d 4000", slot);
	sleep_ms(60);
	events_of(fd, 0, 2000);
	receive(fd, 100, sizeof(in.control), MSG_ERRQUEUE);
	events_of(fd, 0, 0);
	receive(fd, 100, sizeof(in.control), MSG_ERRQUEUE);
	CALL(send(fd, buf, 0, MSG_ZEROCOPY));
	CALL(send(fd, buf, 1000, MSG_ZEROCOPY));
	order("take %d 1000", slot);
	sleep_ms(60);
	receive(fd, 100, 8, MSG_ERRQUEUE);
	receive(fd, 100, sizeof(in.control), MSG_ERRQUEUE);
}
