/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_host_link.c - links and addresses out of RTM_NEWLINK and RTM_NEWADDR messages.
 */
#include "host/link.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/ipv6.h>
#include <linux/rtnetlink.h>

#include "host_message.h"

static struct host_nl_req empty(void)
{
	return (struct host_nl_req){ .len = NETLINK_HEAD };
}

static struct host_nl_req link_request(unsigned flags)
{
	struct ifinfomsg head = { .ifi_index = 3, .ifi_type = ARPHRD_ETHER, .ifi_flags = flags };
	struct host_nl_req req;

	host_nl_req_init(&req, RTM_NEWLINK, 0, &head, sizeof(head));
	host_nl_req_put(&req, IFLA_IFNAME, "eth7", 5);
	return req;
}

/* IFLA_LINKINFO with these kinds; NULL = without. */
static void put_info(struct host_nl_req *req, const char *kind, const char *slave_kind)
{
	struct host_nl_req info = empty();

	if (kind)
		host_nl_req_put(&info, IFLA_INFO_KIND, kind, strlen(kind) + 1);
	if (slave_kind)
		host_nl_req_put(&info, IFLA_INFO_SLAVE_KIND, slave_kind, strlen(slave_kind) + 1);
	message_nest(req, IFLA_LINKINFO, &info);
}

static struct host_link parsed(const struct host_nl_req *req)
{
	struct host_nl_msg msg = message_of(req, RTM_NEWLINK);
	struct host_link link;

	assert_int_equal(host_link_parse(&msg, &link), 0);
	return link;
}

static void host_link_parse__plain(void **state)
{
	static const uint8_t mac[] = { 2, 0, 0, 0, 0, 9 };
	struct host_nl_req req = link_request(IFF_UP | IFF_RUNNING);
	struct host_link link;

	host_nl_req_put(&req, IFLA_ADDRESS, mac, sizeof(mac));
	host_nl_req_put_u32(&req, IFLA_MTU, 9000);
	host_nl_req_put(&req, IFLA_OPERSTATE, "\x06", 1);
	host_nl_req_put(&req, IFLA_QDISC, "fq_codel", 9);
	host_nl_req_put_u32(&req, IFLA_NUM_RX_QUEUES, 4);
	link = parsed(&req);
	assert_int_equal(link.ifindex, 3);
	assert_string_equal(link.name, "eth7");
	assert_true(link.has_mac);
	assert_memory_equal(link.mac.b, mac, 6);
	assert_true(link.ethernet);
	assert_int_equal(link.flags, IFF_UP | IFF_RUNNING);
	assert_int_equal(link.mtu, 9000);
	assert_int_equal(link.mtu6, 0);
	assert_int_equal(link.operstate, IF_OPER_UP);
	assert_string_equal(link.qdisc, "fq_codel");
	assert_int_equal(link.rx_queues, 4);
	assert_int_equal(link.tx_queues, 1);
	assert_int_equal(link.kind, HOST_LINK_OTHER);
	assert_int_equal(link.role, HOST_LINK_MASTERLESS);
	assert_int_equal(link.xdp_modes, 0);
}

static void host_link_parse__kinds(void **state)
{
	struct host_nl_req req = link_request(IFF_LOOPBACK);

	assert_int_equal(parsed(&req).kind, HOST_LINK_LOOPBACK);
	req = link_request(0);
	put_info(&req, "veth", NULL);
	assert_int_equal(parsed(&req).kind, HOST_LINK_VETH);
	assert_string_equal(parsed(&req).kind_name, "veth");
	req = link_request(0);
	put_info(&req, "vethx", NULL);
	assert_int_equal(parsed(&req).kind, HOST_LINK_OTHER);
}

static void hazard_2_host_link_parse__roles(void **state)
{
	static const struct {
		const char *slave_kind;
		enum host_link_role role;
	} cases[] = {
		{ "bridge", HOST_LINK_BRIDGE_PORT },	   { "bond", HOST_LINK_BOND_MEMBER },
		{ "team", HOST_LINK_TEAM_MEMBER },	   { "vrf", HOST_LINK_VRF_SLAVE },
		{ "openvswitch", HOST_LINK_OTHER_MEMBER }, { NULL, HOST_LINK_OTHER_MEMBER },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct host_nl_req req = link_request(IFF_UP);
		struct host_link link;

		host_nl_req_put_u32(&req, IFLA_MASTER, 12);
		if (cases[i].slave_kind)
			put_info(&req, "veth", cases[i].slave_kind);
		link = parsed(&req);
		assert_int_equal(link.master, 12);
		assert_int_equal(link.role, cases[i].role);
	}
}

static void host_link_parse__xdp(void **state)
{
	struct host_nl_req req = link_request(IFF_UP), xdp = empty();
	struct host_link link;

	/* Both modes at once. */
	host_nl_req_put(&xdp, IFLA_XDP_ATTACHED, "\x04", 1);
	host_nl_req_put_u32(&xdp, IFLA_XDP_DRV_PROG_ID, 31);
	host_nl_req_put_u32(&xdp, IFLA_XDP_SKB_PROG_ID, 32);
	message_nest(&req, IFLA_XDP, &xdp);
	link = parsed(&req);
	assert_int_equal(link.xdp_modes, HOST_XDP_NATIVE | HOST_XDP_GENERIC);
	assert_int_equal(link.xdp_prog[0], 31);
	assert_int_equal(link.xdp_prog[1], 32);
	assert_int_equal(link.xdp_prog[2], 0);

	/* An old kernel's way to say "generic, program 33". */
	req = link_request(IFF_UP);
	xdp = empty();
	host_nl_req_put(&xdp, IFLA_XDP_ATTACHED, "\x02", 1);
	host_nl_req_put_u32(&xdp, IFLA_XDP_PROG_ID, 33);
	message_nest(&req, IFLA_XDP, &xdp);
	link = parsed(&req);
	assert_int_equal(link.xdp_modes, HOST_XDP_GENERIC);
	assert_int_equal(link.xdp_prog[1], 33);

	req = link_request(IFF_UP);
	xdp = empty();
	host_nl_req_put(&xdp, IFLA_XDP_ATTACHED, "\x00", 1);
	message_nest(&req, IFLA_XDP, &xdp);
	assert_int_equal(parsed(&req).xdp_modes, 0);
}

static struct host_nl_req with_mtu6(size_t conf_words)
{
	struct host_nl_req req = link_request(IFF_UP), spec = empty(), inet6 = empty();
	int32_t conf[DEVCONF_MTU6 + 2] = { [DEVCONF_MTU6] = 1400 };

	host_nl_req_put(&inet6, IFLA_INET6_CONF, conf, conf_words * sizeof(conf[0]));
	message_nest(&spec, AF_INET6, &inet6);
	message_nest(&req, IFLA_AF_SPEC, &spec);
	return req;
}

static void host_link_parse__mtu6(void **state)
{
	struct host_nl_req req = with_mtu6(DEVCONF_MTU6 + 2);

	assert_int_equal(parsed(&req).mtu6, 1400);
	req = with_mtu6(DEVCONF_MTU6);
	assert_int_equal(parsed(&req).mtu6, 0);
}

static void host_link_parse__names_are_bounded(void **state)
{
	struct host_nl_req req = link_request(IFF_UP);
	struct host_link link;

	host_nl_req_put(&req, IFLA_IFNAME, "0123456789abcdefghij", 20);
	link = parsed(&req);
	assert_string_equal(link.name, "0123456789abcde");
	req = link_request(IFF_UP);
	host_nl_req_put(&req, IFLA_IFNAME, "abc", 3); /* not terminated */
	assert_string_equal(parsed(&req).name, "abc");
}

static void host_link_parse__other_hardware_addresses(void **state)
{
	static const uint8_t infiniband[20] = { 1 };
	struct host_nl_req req = link_request(IFF_UP);

	host_nl_req_put(&req, IFLA_ADDRESS, infiniband, sizeof(infiniband));
	assert_false(parsed(&req).has_mac);
}

static int parse_link(const struct host_nl_msg *msg)
{
	struct host_link link;

	return host_link_parse(msg, &link);
}

static void host_link_parse__torture(void **state)
{
	struct host_nl_req req = with_mtu6(DEVCONF_MTU6 + 2), xdp = empty();
	struct host_nl_msg msg;

	host_nl_req_put_u32(&xdp, IFLA_XDP_DRV_PROG_ID, 31);
	message_nest(&req, IFLA_XDP, &xdp);
	put_info(&req, "veth", "bridge");
	msg = message_of(&req, RTM_NEWLINK);
	message_torture(&msg, parse_link);
	msg.len = 15;
	assert_int_equal(parse_link(&msg), -EBADMSG);
}

/* --- addresses --- */

static struct host_nl_req addr_request(unsigned char family, uint32_t flags)
{
	struct ifaddrmsg head = { .ifa_family = family, .ifa_prefixlen = 24, .ifa_index = 3 };
	struct host_nl_req req;

	host_nl_req_init(&req, RTM_NEWADDR, 0, &head, sizeof(head));
	if (flags)
		host_nl_req_put_u32(&req, IFA_FLAGS, flags);
	return req;
}

static int addr_parsed(const struct host_nl_req *req, struct host_addr *addr)
{
	struct host_nl_msg msg = message_of(req, RTM_NEWADDR);

	return host_addr_parse(&msg, addr);
}

static void host_addr_parse__local_goes_before_peer(void **state)
{
	static const uint8_t ours[] = { 10, 0, 0, 1 }, peer[] = { 10, 0, 0, 2 },
			     all[] = { 10, 0, 0, 255 };
	struct host_nl_req req = addr_request(AF_INET, IFA_F_PERMANENT);
	struct ip_addr want = ip_addr_v4(ours), broadcast = ip_addr_v4(all);
	struct host_addr addr;

	host_nl_req_put(&req, IFA_ADDRESS, peer, 4);
	host_nl_req_put(&req, IFA_LOCAL, ours, 4);
	host_nl_req_put(&req, IFA_BROADCAST, all, 4);
	assert_int_equal(addr_parsed(&req, &addr), 1);
	assert_true(ip_addr_equal(&addr.addr, &want));
	assert_true(ip_addr_equal(&addr.broadcast, &broadcast));
	assert_int_equal(addr.ifindex, 3);
	assert_int_equal(addr.prefix_len, 24);
	assert_false(addr.deprecated);
}

static void host_addr_parse__usable_or_not(void **state)
{
	static const struct {
		uint32_t flags;
		int usable;
	} cases[] = {
		{ 0, 1 },
		{ IFA_F_PERMANENT, 1 },
		{ IFA_F_DEPRECATED, 1 },
		{ IFA_F_TENTATIVE, 0 },
		{ IFA_F_TENTATIVE | IFA_F_OPTIMISTIC, 1 },
		{ IFA_F_DADFAILED | IFA_F_TENTATIVE | IFA_F_OPTIMISTIC, 0 },
	};
	static const uint8_t six[16] = { 0xfd, [15] = 1 };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct host_nl_req req = addr_request(AF_INET6, cases[i].flags);
		struct host_addr addr;

		host_nl_req_put(&req, IFA_ADDRESS, six, 16);
		assert_int_equal(addr_parsed(&req, &addr), cases[i].usable);
		assert_int_equal(addr.deprecated, cases[i].flags == IFA_F_DEPRECATED);
	}
}

static void host_addr_parse__of_no_use(void **state)
{
	struct host_nl_req req = addr_request(AF_INET, 0);
	struct host_addr addr;

	assert_int_equal(addr_parsed(&req, &addr), -EBADMSG); /* without an address */
	req = addr_request(12, 0);			      /* DECnet */
	assert_int_equal(addr_parsed(&req, &addr), 0);
}

static int parse_addr(const struct host_nl_msg *msg)
{
	struct host_addr addr;

	return host_addr_parse(msg, &addr);
}

static void host_addr_parse__torture(void **state)
{
	static const uint8_t ours[] = { 10, 0, 0, 1 };
	struct host_nl_req req = addr_request(AF_INET, IFA_F_PERMANENT);
	struct host_nl_msg msg;

	host_nl_req_put(&req, IFA_LOCAL, ours, 4);
	msg = message_of(&req, RTM_NEWADDR);
	message_torture(&msg, parse_addr);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_link_parse__plain),
		cmocka_unit_test(host_link_parse__kinds),
		cmocka_unit_test(hazard_2_host_link_parse__roles),
		cmocka_unit_test(host_link_parse__xdp),
		cmocka_unit_test(host_link_parse__mtu6),
		cmocka_unit_test(host_link_parse__names_are_bounded),
		cmocka_unit_test(host_link_parse__other_hardware_addresses),
		cmocka_unit_test(host_link_parse__torture),
		cmocka_unit_test(host_addr_parse__local_goes_before_peer),
		cmocka_unit_test(host_addr_parse__usable_or_not),
		cmocka_unit_test(host_addr_parse__of_no_use),
		cmocka_unit_test(host_addr_parse__torture),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
