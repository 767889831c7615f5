/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an option or a flag means to the fast path. The table is written out here a second time, from
 * what the options mean, so that a line lost or changed there is noticed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include "base/err.h"
#include "socket/opts.h"

struct option {
	int level, name;
};

static enum sock_opt_action action(struct option o, int value)
{
	return sock_opt_action(o.level, o.name, &value, sizeof(value));
}

/* Any value may be set and the fast path goes on. */
static const struct option harmless[] = {
	{ SOL_SOCKET, SO_SNDBUF },
	{ SOL_SOCKET, SO_SNDBUFFORCE },
	{ SOL_SOCKET, SO_RCVLOWAT },
	{ SOL_SOCKET, SO_BROADCAST },
	{ SOL_SOCKET, SO_KEEPALIVE },
	{ SOL_SOCKET, SO_LINGER },
	{ SOL_SOCKET, SO_OOBINLINE },
	{ SOL_SOCKET, SO_DEBUG },
	{ SOL_SOCKET, SO_BSDCOMPAT },
	{ SOL_SOCKET, SO_PRIORITY },
	{ SOL_SOCKET, SO_MAX_PACING_RATE },
	{ SOL_SOCKET, SO_BUSY_POLL },
	{ SOL_SOCKET, SO_BUSY_POLL_BUDGET },
	{ SOL_SOCKET, SO_PREFER_BUSY_POLL },
	{ SOL_SOCKET, SO_INCOMING_CPU },
	{ SOL_SOCKET, SO_ZEROCOPY },
	{ SOL_SOCKET, SO_TXTIME },
	{ SOL_SOCKET, SO_LOCK_FILTER },
	{ SOL_SOCKET, SO_DETACH_FILTER },
	{ SOL_SOCKET, SO_PASSCRED },
	{ SOL_SOCKET, SO_NOFCS },
	{ SOL_SOCKET, SO_CNX_ADVICE },
	{ SOL_SOCKET, 73 },
	{ SOL_SOCKET, 74 },
	{ IPPROTO_IP, 26 },
	{ IPPROTO_IP, IP_MINTTL },
	{ IPPROTO_IP, IP_RECVFRAGSIZE },
	{ IPPROTO_IP, IP_FREEBIND },
	{ IPPROTO_IP, IP_TRANSPARENT },
	{ IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT },
	{ IPPROTO_IP, 51 },
	{ IPPROTO_IPV6, 31 },
	{ IPPROTO_IPV6, IPV6_MTU_DISCOVER },
	{ IPPROTO_IPV6, IPV6_DONTFRAG },
	{ IPPROTO_IPV6, IPV6_RECVPATHMTU },
	{ IPPROTO_IPV6, IPV6_MINHOPCOUNT },
	{ IPPROTO_IPV6, IPV6_RECVRTHDR },
	{ IPPROTO_IPV6, IPV6_RECVHOPOPTS },
	{ IPPROTO_IPV6, IPV6_RECVDSTOPTS },
	{ IPPROTO_IPV6, IPV6_RECVFRAGSIZE },
	{ IPPROTO_IPV6, IPV6_FREEBIND },
	{ IPPROTO_IPV6, IPV6_TRANSPARENT },
};

/* Which groups are received, and from whom. */
static const struct option groups[] = {
	{ IPPROTO_IP, IP_MULTICAST_ALL },
	{ IPPROTO_IP, IP_ADD_MEMBERSHIP },
	{ IPPROTO_IP, IP_DROP_MEMBERSHIP },
	{ IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP },
	{ IPPROTO_IP, IP_DROP_SOURCE_MEMBERSHIP },
	{ IPPROTO_IP, IP_BLOCK_SOURCE },
	{ IPPROTO_IP, IP_UNBLOCK_SOURCE },
	{ IPPROTO_IPV6, IPV6_JOIN_GROUP },
	{ IPPROTO_IPV6, IPV6_LEAVE_GROUP },
	{ IPPROTO_IP, MCAST_JOIN_GROUP },
	{ IPPROTO_IP, MCAST_LEAVE_GROUP },
	{ IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP },
	{ IPPROTO_IP, MCAST_LEAVE_SOURCE_GROUP },
	{ IPPROTO_IP, MCAST_BLOCK_SOURCE },
	{ IPPROTO_IP, MCAST_UNBLOCK_SOURCE },
	{ IPPROTO_IP, MCAST_MSFILTER },
	{ IPPROTO_IPV6, MCAST_JOIN_GROUP },
	{ IPPROTO_IPV6, MCAST_LEAVE_GROUP },
	{ IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP },
	{ IPPROTO_IPV6, MCAST_LEAVE_SOURCE_GROUP },
	{ IPPROTO_IPV6, MCAST_BLOCK_SOURCE },
	{ IPPROTO_IPV6, MCAST_UNBLOCK_SOURCE },
	{ IPPROTO_IPV6, MCAST_MSFILTER },
	{ IPPROTO_IP, IP_MSFILTER },
	{ IPPROTO_IPV6, 29 /* IPV6_MULTICAST_ALL */ },
};

/* 0 is the default, anything else is not carried. */
static const struct option zero_only[] = {
	{ SOL_SOCKET, SO_WIFI_STATUS },
	{ IPPROTO_IP, IP_RECVOPTS },
	{ IPPROTO_IP, IP_RETOPTS },
	{ IPPROTO_IP, IP_PASSSEC },
	{ IPPROTO_IP, IP_CHECKSUM },
	{ IPPROTO_IPV6, IPV6_MTU },
	{ IPPROTO_IPV6, IPV6_AUTOFLOWLABEL },
	{ IPPROTO_IPV6, 11 },
	{ IPPROTO_IPV6, 33 },
};

/* Options that change what leaves or arrives and that nothing here carries. */
static const struct option carried_by_the_kernel[] = {
	{ SOL_SOCKET, SO_ATTACH_FILTER },
	{ SOL_SOCKET, SO_ATTACH_BPF },
	{ SOL_SOCKET, 0x7fff },
	{ IPPROTO_IP, IP_OPTIONS },
	{ IPPROTO_IP, IP_HDRINCL },
	{ IPPROTO_IP, IP_XFRM_POLICY },
	{ IPPROTO_IP, IP_IPSEC_POLICY },
	{ IPPROTO_IP, 0x7fff },
	{ IPPROTO_IPV6, IPV6_RTHDR },
	{ IPPROTO_IPV6, IPV6_HOPOPTS },
	{ IPPROTO_IPV6, IPV6_DSTOPTS },
	{ IPPROTO_IPV6, IPV6_PKTINFO },
	{ IPPROTO_IPV6, IPV6_2292PKTINFO },
	{ IPPROTO_IPV6, IPV6_ADDR_PREFERENCES },
	{ IPPROTO_IPV6, IPV6_ADDRFORM },
	{ IPPROTO_IPV6, 0x7fff },
	{ IPPROTO_UDP, UDP_ENCAP },
	{ IPPROTO_UDP, 0x7fff },
	{ 0x7fff, 1 },
	{ -1, -1 },
};

static void sock_opt_action__harmless(void **state)
{
	for (size_t i = 0; i < FS_ARRAY_SIZE(harmless); i++) {
		assert_int_equal(action(harmless[i], 0), SOCK_OPT_SHADOW);
		assert_int_equal(action(harmless[i], 1), SOCK_OPT_SHADOW);
		assert_int_equal(sock_opt_action(harmless[i].level, harmless[i].name, NULL, 0),
				 SOCK_OPT_SHADOW);
	}
}

static void sock_opt_action__groups(void **state)
{
	for (size_t i = 0; i < FS_ARRAY_SIZE(groups); i++) {
		assert_int_equal(action(groups[i], 0), SOCK_OPT_GROUP);
		assert_int_equal(action(groups[i], 1), SOCK_OPT_GROUP);
	}
}

static void sock_opt_action__only_the_default(void **state)
{
	for (size_t i = 0; i < FS_ARRAY_SIZE(zero_only); i++) {
		assert_int_equal(action(zero_only[i], 0), SOCK_OPT_SHADOW);
		assert_int_equal(action(zero_only[i], 1), SOCK_OPT_FALL_BACK);
		assert_int_equal(action(zero_only[i], -1), SOCK_OPT_FALL_BACK);
		assert_int_equal(action(zero_only[i], 0x100), SOCK_OPT_FALL_BACK);
	}
}

static void sock_opt_action__unknown_is_never_ignored(void **state)
{
	for (size_t i = 0; i < FS_ARRAY_SIZE(carried_by_the_kernel); i++) {
		assert_int_equal(action(carried_by_the_kernel[i], 0), SOCK_OPT_FALL_BACK);
		assert_int_equal(action(carried_by_the_kernel[i], 1), SOCK_OPT_FALL_BACK);
	}
	/* A name means something only within its level. */
	assert_int_equal(action((struct option){ IPPROTO_TCP, SO_SNDBUF }, 1), SOCK_OPT_FALL_BACK);
}

static void sock_opt_action__read_back(void **state)
{
	static const struct {
		struct option o;
		enum sock_opt_action want;
	} list[] = {
		{ { SOL_SOCKET, SO_RCVBUF }, SOCK_OPT_RCVBUF },
		{ { SOL_SOCKET, SO_RCVBUFFORCE }, SOCK_OPT_RCVBUF },
		{ { SOL_SOCKET, 20 }, SOCK_OPT_RCVTIMEO }, /* SO_RCVTIMEO_OLD, _NEW */
		{ { SOL_SOCKET, 66 }, SOCK_OPT_RCVTIMEO },
		{ { SOL_SOCKET, 21 }, SOCK_OPT_SHADOW },
		{ { SOL_SOCKET, 67 }, SOCK_OPT_SHADOW },
		{ { SOL_SOCKET, SO_BINDTODEVICE }, SOCK_OPT_DEVICE },
		{ { SOL_SOCKET, SO_BINDTOIFINDEX }, SOCK_OPT_DEVICE },
		{ { SOL_SOCKET, SO_REUSEADDR }, SOCK_OPT_SHARE },
		{ { SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF }, SOCK_OPT_REUSEPORT_BPF },
		{ { SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF }, SOCK_OPT_REUSEPORT_BPF },
		{ { IPPROTO_IPV6, IPV6_V6ONLY }, SOCK_OPT_V6ONLY },
	};

	for (size_t i = 0; i < FS_ARRAY_SIZE(list); i++) {
		assert_int_equal(action(list[i].o, 0), list[i].want);
		assert_int_equal(action(list[i].o, 65536), list[i].want);
	}
}

static struct sock_opt opt(int level, int name, int value)
{
	return sock_opt(level, name, &value, sizeof(value));
}

static void sock_opt__switches(void **state)
{
	static const struct {
		struct option o;
		enum sock_opt_action want;
		uint32_t bit;
	} list[] = {
		{ { SOL_SOCKET, SO_REUSEPORT }, SOCK_OPT_REUSEPORT, 0 },
		{ { SOL_SOCKET, SO_DONTROUTE }, SOCK_OPT_DONTROUTE, 0 },
		{ { SOL_SOCKET, SO_NO_CHECK }, SOCK_OPT_NO_CHECK, 0 },
		{ { IPPROTO_IP, IP_RECVERR }, SOCK_OPT_RECVERR, 0 },
		{ { IPPROTO_IPV6, IPV6_RECVERR }, SOCK_OPT_RECVERR, 0 },
		{ { IPPROTO_UDP, UDP_CORK }, SOCK_OPT_CORK, 0 },
		{ { IPPROTO_UDP, UDP_GRO }, SOCK_OPT_GRO, 0 },
		{ { IPPROTO_UDP, UDP_NO_CHECK6_TX }, SOCK_OPT_NO_CHECK6_TX, 0 },
		{ { IPPROTO_UDP, UDP_NO_CHECK6_RX }, SOCK_OPT_NO_CHECK6_RX, 0 },
		{ { SOL_SOCKET, SO_SELECT_ERR_QUEUE }, SOCK_OPT_SELECT_ERROR, 0 },
		{ { SOL_SOCKET, SO_TIMESTAMP }, SOCK_OPT_STAMP, 0 },
		{ { SOL_SOCKET, SO_TIMESTAMPNS }, SOCK_OPT_STAMP, SOCK_STAMP_NS },
		{ { SOL_SOCKET, 63 }, SOCK_OPT_STAMP, SOCK_STAMP_NEW },
		{ { SOL_SOCKET, 64 }, SOCK_OPT_STAMP, SOCK_STAMP_NS | SOCK_STAMP_NEW },
		{ { SOL_SOCKET, SO_RXQ_OVFL }, SOCK_OPT_CMSG, SOCK_CMSG_OVFL },
		{ { SOL_SOCKET, 75 /* SO_RCVMARK */ }, SOCK_OPT_CMSG, SOCK_CMSG_MARK },
		{ { IPPROTO_IP, IP_PKTINFO }, SOCK_OPT_CMSG, SOCK_CMSG_PKTINFO },
		{ { IPPROTO_IP, IP_RECVTTL }, SOCK_OPT_CMSG, SOCK_CMSG_TTL },
		{ { IPPROTO_IP, IP_RECVTOS }, SOCK_OPT_CMSG, SOCK_CMSG_TOS },
		{ { IPPROTO_IP, IP_RECVORIGDSTADDR }, SOCK_OPT_CMSG, SOCK_CMSG_ORIGDST },
		{ { IPPROTO_IPV6, IPV6_RECVPKTINFO }, SOCK_OPT_CMSG, SOCK_CMSG_PKTINFO6 },
		{ { IPPROTO_IPV6, IPV6_RECVHOPLIMIT }, SOCK_OPT_CMSG, SOCK_CMSG_HOPLIMIT },
		{ { IPPROTO_IPV6, IPV6_RECVTCLASS }, SOCK_OPT_CMSG, SOCK_CMSG_TCLASS },
		{ { IPPROTO_IPV6, IPV6_RECVORIGDSTADDR }, SOCK_OPT_CMSG, SOCK_CMSG_ORIGDST6 },
	};

	for (size_t i = 0; i < FS_ARRAY_SIZE(list); i++) {
		static const int values[] = { 0, 1, 2, -1, 0x100 };

		for (size_t j = 0; j < FS_ARRAY_SIZE(values); j++) {
			struct sock_opt o = opt(list[i].o.level, list[i].o.name, values[j]);

			assert_int_equal(o.action, list[i].want);
			assert_int_equal(o.bit, list[i].bit);
			assert_int_equal(o.value, values[j] != 0);
		}
	}
}

static void expect_opt(struct sock_opt o, enum sock_opt_action action, int value)
{
	assert_int_equal(o.action, action);
	assert_int_equal(o.value, value);
}

static void sock_opt__values(void **state)
{
	expect_opt(opt(SOL_SOCKET, SO_MARK, -1), SOCK_OPT_MARK, -1);
	expect_opt(opt(IPPROTO_IP, IP_TOS, 0xb8), SOCK_OPT_TOS, 0xb8);
	expect_opt(opt(IPPROTO_IPV6, IPV6_TCLASS, 0xb8), SOCK_OPT_TCLASS, 0xb8);
	expect_opt(opt(IPPROTO_IPV6, IPV6_TCLASS, -1), SOCK_OPT_TCLASS, 0);
	expect_opt(opt(IPPROTO_IP, IP_UNICAST_IF, 0x03000000), SOCK_OPT_UNICAST_IF, 3);
	expect_opt(opt(IPPROTO_IPV6, IPV6_UNICAST_IF, 0), SOCK_OPT_UNICAST_IF6, 0);
	expect_opt(opt(IPPROTO_UDP, UDP_SEGMENT, 1400), SOCK_OPT_SEGMENT, 1400);
	expect_opt(opt(SOL_SOCKET, SO_TIMESTAMPING, 0x18), SOCK_OPT_STAMPING, 0x18);
	assert_int_equal(opt(SOL_SOCKET, SO_TIMESTAMPING, 0x18).bit, 0);
	expect_opt(opt(SOL_SOCKET, 65, 0x18), SOCK_OPT_STAMPING, 0x18);
	assert_int_equal(opt(SOL_SOCKET, 65, 0x18).bit, SOCK_STAMP_NEW);
	assert_string_equal(opt(IPPROTO_IP, IP_TTL, 1).name, "IP_TTL");
	assert_null(opt(IPPROTO_IP, 0x7fff, 1).name);
}

static void sock_opt_action__peek_offset(void **state)
{
	assert_int_equal(action((struct option){ SOL_SOCKET, SO_PEEK_OFF }, -1), SOCK_OPT_SHADOW);
	assert_int_equal(action((struct option){ SOL_SOCKET, SO_PEEK_OFF }, 0), SOCK_OPT_FALL_BACK);
}

static void sock_opt__path_mtu(void **state)
{
	static const struct {
		int given, no_df;
	} list[] = { { IP_PMTUDISC_DONT, 1 },  { IP_PMTUDISC_WANT, 0 },	     { IP_PMTUDISC_DO, 0 },
		     { IP_PMTUDISC_PROBE, 0 }, { IP_PMTUDISC_INTERFACE, 1 }, { IP_PMTUDISC_OMIT, 1 } };

	for (size_t i = 0; i < FS_ARRAY_SIZE(list); i++)
		expect_opt(opt(IPPROTO_IP, IP_MTU_DISCOVER, list[i].given), SOCK_OPT_FRAGMENT,
			     list[i].no_df);
}

static void sock_opt__hop_limit(void **state)
{
	expect_opt(opt(IPPROTO_IP, IP_TTL, -1), SOCK_OPT_TTL, 0);
	expect_opt(opt(IPPROTO_IP, IP_TTL, 64), SOCK_OPT_TTL, 64);
	expect_opt(opt(IPPROTO_IPV6, IPV6_UNICAST_HOPS, -1), SOCK_OPT_HOPS, 0);
	expect_opt(opt(IPPROTO_IPV6, IPV6_UNICAST_HOPS, 255), SOCK_OPT_HOPS, 255);
	assert_int_equal(opt(IPPROTO_IPV6, IPV6_UNICAST_HOPS, 0).action, SOCK_OPT_FALL_BACK);
}

static void sock_opt__value_of_one_byte(void **state)
{
	static const uint8_t two = 2, four = 4;

	expect_opt(sock_opt(IPPROTO_IP, IP_TOS, &four, 1), SOCK_OPT_TOS, 4);
	expect_opt(sock_opt(IPPROTO_IP, IP_MTU_DISCOVER, &two, 1), SOCK_OPT_FRAGMENT, 0);
	/* No value at all counts as 0, which the kernel took it for. */
	expect_opt(sock_opt(IPPROTO_IP, IP_TOS, NULL, 0), SOCK_OPT_TOS, 0);
}

static void sock_send_flags__each(void **state)
{
	static const int fast[] = { 0,		 MSG_DONTWAIT, MSG_NOSIGNAL, MSG_CONFIRM,
				    MSG_EOR,	 MSG_DONTROUTE,
				    MSG_DONTWAIT | MSG_NOSIGNAL | MSG_CONFIRM | MSG_EOR | MSG_DONTROUTE };
	static const int shadow[] = { MSG_OOB, MSG_OOB | MSG_MORE, MSG_PROXY, MSG_FASTOPEN, MSG_SYN,
				      0x08000000 };
	static const int more[] = { MSG_MORE, MSG_MORE | MSG_DONTWAIT };

	for (size_t i = 0; i < FS_ARRAY_SIZE(fast); i++)
		assert_int_equal(sock_send_flags(fast[i]), SOCK_FLAG_FAST);
	for (size_t i = 0; i < FS_ARRAY_SIZE(shadow); i++)
		assert_int_equal(sock_send_flags(shadow[i]), SOCK_FLAG_SHADOW);
	for (size_t i = 0; i < FS_ARRAY_SIZE(more); i++)
		assert_int_equal(sock_send_flags(more[i]), SOCK_FLAG_MORE);
	assert_int_equal(sock_send_flags(MSG_ZEROCOPY), SOCK_FLAG_FALL_BACK);
}

static void sock_recv_flags__each(void **state)
{
	static const int fast[] = { 0,
				    MSG_DONTWAIT,
				    MSG_PEEK,
				    MSG_TRUNC,
				    MSG_WAITALL,
				    MSG_NOSIGNAL,
				    MSG_CMSG_CLOEXEC,
				    MSG_WAITFORONE,
				    MSG_PEEK | MSG_TRUNC,
				    MSG_OOB };

	for (size_t i = 0; i < FS_ARRAY_SIZE(fast); i++)
		assert_int_equal(sock_recv_flags(fast[i]), SOCK_FLAG_FAST);
	assert_int_equal(sock_recv_flags(MSG_ERRQUEUE), SOCK_FLAG_SHADOW);
	assert_int_equal(sock_recv_flags(MSG_ERRQUEUE | MSG_OOB), SOCK_FLAG_SHADOW);
	assert_int_equal(sock_recv_flags(MSG_ERRQUEUE | MSG_DONTWAIT), SOCK_FLAG_SHADOW);
}

static void sock_opt_at__each_once(void **state)
{
	int level, name, other_level, other_name;
	size_t n = 0;

	while (sock_opt_at(n, &level, &name)) {
		assert_non_null(sock_opt(level, name, NULL, 0).name);
		for (size_t i = 0; i < n; i++) {
			assert_true(sock_opt_at(i, &other_level, &other_name));
			assert_false(other_level == level && other_name == name);
		}
		n++;
	}
	assert_true(n > FS_ARRAY_SIZE(harmless) + FS_ARRAY_SIZE(groups));
	assert_false(sock_opt_at(n + 1, &level, &name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sock_opt_action__harmless),
		cmocka_unit_test(sock_opt_action__groups),
		cmocka_unit_test(sock_opt_action__only_the_default),
		cmocka_unit_test(sock_opt_action__unknown_is_never_ignored),
		cmocka_unit_test(sock_opt_action__read_back),
		cmocka_unit_test(sock_opt__switches),
		cmocka_unit_test(sock_opt__values),
		cmocka_unit_test(sock_opt_action__peek_offset),
		cmocka_unit_test(sock_opt__path_mtu),
		cmocka_unit_test(sock_opt__hop_limit),
		cmocka_unit_test(sock_opt__value_of_one_byte),
		cmocka_unit_test(sock_opt_at__each_once),
		cmocka_unit_test(sock_send_flags__each),
		cmocka_unit_test(sock_recv_flags__each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
