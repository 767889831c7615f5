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
	{ SOL_SOCKET, SO_REUSEADDR },
	{ SOL_SOCKET, SO_REUSEPORT },
	{ SOL_SOCKET, SO_BROADCAST },
	{ SOL_SOCKET, SO_KEEPALIVE },
	{ SOL_SOCKET, SO_LINGER },
	{ SOL_SOCKET, SO_OOBINLINE },
	{ SOL_SOCKET, SO_DEBUG },
	{ SOL_SOCKET, SO_BUSY_POLL },
	{ SOL_SOCKET, SO_ZEROCOPY },
	{ IPPROTO_IP, IP_MULTICAST_TTL },
	{ IPPROTO_IP, IP_MULTICAST_LOOP },
	{ IPPROTO_IP, IP_MULTICAST_IF },
	{ IPPROTO_IP, IP_RECVERR },
	{ IPPROTO_IPV6, IPV6_MULTICAST_HOPS },
	{ IPPROTO_IPV6, IPV6_MULTICAST_LOOP },
	{ IPPROTO_IPV6, IPV6_MULTICAST_IF },
	{ IPPROTO_IPV6, IPV6_RECVERR },
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
	{ SOL_SOCKET, SO_PRIORITY },
	{ SOL_SOCKET, SO_MARK },
	{ SOL_SOCKET, SO_TIMESTAMP },
	{ SOL_SOCKET, SO_TIMESTAMPNS },
	{ SOL_SOCKET, SO_TIMESTAMPING },
	{ SOL_SOCKET, SO_RXQ_OVFL },
	{ IPPROTO_IP, IP_TOS },
	{ IPPROTO_IP, IP_PKTINFO },
	{ IPPROTO_IP, IP_RECVTOS },
	{ IPPROTO_IP, IP_RECVTTL },
	{ IPPROTO_IP, IP_RECVOPTS },
	{ IPPROTO_IP, IP_FREEBIND },
	{ IPPROTO_IPV6, IPV6_TCLASS },
	{ IPPROTO_IPV6, IPV6_RECVPKTINFO },
	{ IPPROTO_IPV6, IPV6_RECVHOPLIMIT },
	{ IPPROTO_IPV6, IPV6_RECVTCLASS },
	{ IPPROTO_UDP, UDP_CORK },
	{ IPPROTO_UDP, UDP_SEGMENT },
	{ IPPROTO_UDP, UDP_GRO },
};

/* Options that change what leaves or arrives and that nothing here carries. */
static const struct option carried_by_the_kernel[] = {
	{ SOL_SOCKET, SO_BINDTODEVICE },
	{ SOL_SOCKET, SO_ATTACH_FILTER },
	{ SOL_SOCKET, SO_ATTACH_BPF },
	{ SOL_SOCKET, SO_DONTROUTE },
	{ SOL_SOCKET, SO_TXTIME },
	{ SOL_SOCKET, SO_PEEK_OFF },
	{ SOL_SOCKET, SO_NO_CHECK },
	{ SOL_SOCKET, SO_RCVLOWAT },
	{ SOL_SOCKET, 0x7fff },
	{ IPPROTO_IP, IP_OPTIONS },
	{ IPPROTO_IP, IP_TRANSPARENT },
	{ IPPROTO_IP, IP_HDRINCL },
	{ IPPROTO_IP, IP_UNICAST_IF },
	{ IPPROTO_IP, 0x7fff },
	{ IPPROTO_IPV6, IPV6_UNICAST_IF },
	{ IPPROTO_IPV6, IPV6_RTHDR },
	{ IPPROTO_IPV6, 0x7fff },
	{ IPPROTO_UDP, UDP_ENCAP },
	{ IPPROTO_UDP, UDP_NO_CHECK6_TX },
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
		{ { IPPROTO_IPV6, IPV6_V6ONLY }, SOCK_OPT_V6ONLY },
	};

	for (size_t i = 0; i < FS_ARRAY_SIZE(list); i++) {
		assert_int_equal(action(list[i].o, 0), list[i].want);
		assert_int_equal(action(list[i].o, 65536), list[i].want);
	}
}

static void sock_opt_action__path_mtu(void **state)
{
	static const struct option both[] = { { IPPROTO_IP, IP_MTU_DISCOVER },
					      { IPPROTO_IPV6, IPV6_MTU_DISCOVER } };

	for (size_t i = 0; i < FS_ARRAY_SIZE(both); i++) {
		assert_int_equal(action(both[i], IP_PMTUDISC_WANT), SOCK_OPT_SHADOW);
		assert_int_equal(action(both[i], IP_PMTUDISC_DO), SOCK_OPT_SHADOW);
		assert_int_equal(action(both[i], IP_PMTUDISC_DONT), SOCK_OPT_FALL_BACK);
		assert_int_equal(action(both[i], IP_PMTUDISC_PROBE), SOCK_OPT_FALL_BACK);
	}
}

static void sock_opt_action__hop_limit(void **state)
{
	static const struct option both[] = { { IPPROTO_IP, IP_TTL },
					      { IPPROTO_IPV6, IPV6_UNICAST_HOPS } };

	for (size_t i = 0; i < FS_ARRAY_SIZE(both); i++) {
		assert_int_equal(action(both[i], -1), SOCK_OPT_SHADOW);
		assert_int_equal(action(both[i], 0), SOCK_OPT_FALL_BACK);
		assert_int_equal(action(both[i], 64), SOCK_OPT_FALL_BACK);
	}
}

static void sock_opt_action__value_of_one_byte(void **state)
{
	static const uint8_t zero = 0, two = 2, four = 4;

	assert_int_equal(sock_opt_action(IPPROTO_IP, IP_TOS, &zero, 1), SOCK_OPT_SHADOW);
	assert_int_equal(sock_opt_action(IPPROTO_IP, IP_TOS, &four, 1), SOCK_OPT_FALL_BACK);
	assert_int_equal(sock_opt_action(IPPROTO_IP, IP_MTU_DISCOVER, &two, 1), SOCK_OPT_SHADOW);
	/* No value at all counts as 0, which the kernel took it for. */
	assert_int_equal(sock_opt_action(IPPROTO_IP, IP_TOS, NULL, 0), SOCK_OPT_SHADOW);
}

static void sock_send_flags__each(void **state)
{
	static const int fast[] = {
		0,	     MSG_DONTWAIT, MSG_NOSIGNAL,
		MSG_CONFIRM, MSG_EOR,	   MSG_DONTWAIT | MSG_NOSIGNAL | MSG_CONFIRM | MSG_EOR
	};
	static const int back[] = { MSG_MORE, MSG_DONTROUTE,	       MSG_ZEROCOPY, MSG_FASTOPEN,
				    MSG_SYN,  MSG_MORE | MSG_DONTWAIT, 0x08000000 };

	for (size_t i = 0; i < FS_ARRAY_SIZE(fast); i++)
		assert_int_equal(sock_send_flags(fast[i]), SOCK_FLAG_FAST);
	for (size_t i = 0; i < FS_ARRAY_SIZE(back); i++)
		assert_int_equal(sock_send_flags(back[i]), SOCK_FLAG_FALL_BACK);
	assert_int_equal(sock_send_flags(MSG_OOB), SOCK_FLAG_SHADOW);
	assert_int_equal(sock_send_flags(MSG_OOB | MSG_MORE), SOCK_FLAG_SHADOW);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sock_opt_action__harmless),
		cmocka_unit_test(sock_opt_action__groups),
		cmocka_unit_test(sock_opt_action__only_the_default),
		cmocka_unit_test(sock_opt_action__unknown_is_never_ignored),
		cmocka_unit_test(sock_opt_action__read_back),
		cmocka_unit_test(sock_opt_action__path_mtu),
		cmocka_unit_test(sock_opt_action__hop_limit),
		cmocka_unit_test(sock_opt_action__value_of_one_byte),
		cmocka_unit_test(sock_send_flags__each),
		cmocka_unit_test(sock_recv_flags__each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
