/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_host_netlink.c - whole datagrams of a netlink socket into every parser of src/host.
 *
 * The messages come from the kernel, which is trusted; what is tried here is a kernel of another
 * version, with attributes that are longer, shorter or nested otherwise. The seeds were recorded from
 * Linux 6.18.
 */
#include <linux/rtnetlink.h>
#include <netinet/in.h>

#include "base/err.h"
#include "fuzz.h"
#include "host/diag.h"
#include "host/link.h"
#include "host/monitor.h"
#include "host/policy.h"
#include "host/route.h"

static const uint32_t own[] = { 7 };
static const uint64_t cookies[] = { 7 };

static void parse_route_family(const struct host_nl_msg *msg)
{
	struct host_route route = { .ifindex = 0 };
	struct host_change change;
	struct host_neigh neigh;
	int ret = host_route_parse(msg, &route);

	fs_assert(ret <= 0 && (ret < 0 || route.ifindex > 0));
	ret = host_route_is_default(msg, 2);
	fs_assert(ret <= 1);
	ret = host_neigh_parse(msg, &neigh);
	fs_assert(ret <= 1 && (ret < 1 || !neigh.confirmed || neigh.usable));
	ret = host_change_parse(msg, &change);
	fs_assert(ret < 0 || (ret & ~HOST_CHANGED_ALL) == 0);
}

static void parse_links(const struct host_nl_msg *msg)
{
	struct host_link link;
	struct host_addr addr;

	if (host_link_parse(msg, &link) == 0) {
		fs_assert(link.ifindex > 0);
		fs_assert(memchr(link.name, 0, sizeof(link.name)));
		fs_assert(memchr(link.kind_name, 0, sizeof(link.kind_name)));
		fs_assert(memchr(link.qdisc, 0, sizeof(link.qdisc)));
		fs_assert((link.role == HOST_LINK_MASTERLESS) == (link.master == 0));
	}
	fs_assert(host_addr_parse(msg, &addr) <= 1);
}

static void parse_policy(const struct host_nl_msg *msg)
{
	struct host_policy_query query = { .v4 = true, .v6 = true, .own = own, .n_own = 1 };
	char what[32];

	what[0] = 0;
	if (host_policy_parse_chain(msg, &query, "eth0", what, sizeof(what)) == 1)
		fs_assert(what[0] && memchr(what, 0, sizeof(what)));
	if (host_policy_parse_filter(msg, &query, what, sizeof(what)) == 1)
		fs_assert(what[0] && memchr(what, 0, sizeof(what)));
	host_policy_parse_qdisc(msg, 2, what, sizeof(what));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct host_port_query port = {
		.port = 53, .proto = IPPROTO_UDP, .v4 = true, .v6 = true, .own = cookies, .n_own = 1
	};
	struct host_nl_walk walk = { data, size };
	struct host_nl_msg msg;

	while (host_nl_next_msg(&walk, &msg) > 0) {
		fs_assert(msg.data >= data && msg.data + msg.len <= data + size);
		parse_route_family(&msg);
		parse_links(&msg);
		parse_policy(&msg);
		host_port_parse(&msg, &port);
	}
	host_port_parse_line((const char *)data, size, &port);
	return 0;
}
