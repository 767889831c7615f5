/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * monitor.c - rtnetlink notifications (rtnetlink(7)).
 *
 * Does not hear of learned MTUs: the kernel announces none. They carry an expiry (route.h), and the
 * ICMP error that brings one reaches the stack by its own tap.
 */
#include "host/monitor.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "base/err.h"

enum {
	DRAIN_MAX = 256, /* datagrams in one call: a storm must not hold up the caller's traffic */
};

int host_monitor_open(struct host_monitor *m, int fd_floor, void *buf, size_t size)
{
	/* Those a kernel may lack (no IPv6, no nexthop objects before 5.3) are not an error. */
	static const struct {
		uint8_t group;
		bool optional;
	} groups[] = {
		{ RTNLGRP_LINK, false },       { RTNLGRP_NEIGH, false },
		{ RTNLGRP_TC, false },	       { RTNLGRP_IPV4_IFADDR, false },
		{ RTNLGRP_IPV4_ROUTE, false }, { RTNLGRP_IPV4_RULE, false },
		{ RTNLGRP_IPV6_IFADDR, true }, { RTNLGRP_IPV6_ROUTE, true },
		{ RTNLGRP_IPV6_RULE, true },   { RTNLGRP_IPV6_IFINFO, true },
		{ RTNLGRP_NEXTHOP, true },
	};
	int ret = host_nl_open(&m->nl, NETLINK_ROUTE, fd_floor, buf, size);

	for (size_t i = 0; ret == 0 && i < FS_ARRAY_SIZE(groups); i++) {
		ret = host_nl_join(&m->nl, groups[i].group);
		if (ret < 0 && groups[i].optional)
			ret = 0;
	}
	if (ret < 0)
		host_nl_close(&m->nl);
	return ret;
}

void host_monitor_close(struct host_monitor *m)
{
	host_nl_close(&m->nl);
}

static int parse_link(const struct host_nl_msg *msg, struct host_change *change)
{
	struct ifinfomsg head;

	if (msg->len < sizeof(head))
		return -EBADMSG;
	memcpy(&head, msg->data, sizeof(head));
	/* A bridge tells of a port that left with AF_BRIDGE and RTM_DELLINK: the link stays. */
	change->gone = msg->type == RTM_DELLINK && head.ifi_family != AF_BRIDGE;
	change->ifindex = head.ifi_index;
	return HOST_CHANGED_LINK;
}

static int parse_addr(const struct host_nl_msg *msg, struct host_change *change)
{
	struct host_nl_attr table[IFA_MAX + 1];
	struct ifaddrmsg head;
	int ret = host_nl_msg_attrs(msg, sizeof(head), table, IFA_MAX + 1);

	if (ret < 0)
		return ret;
	memcpy(&head, msg->data, sizeof(head));
	change->ifindex = (int)head.ifa_index;
	change->gone = msg->type == RTM_DELADDR;
	if (!host_nl_ip(&table[IFA_LOCAL], &change->addr))
		host_nl_ip(&table[IFA_ADDRESS], &change->addr);
	return HOST_CHANGED_ADDR;
}

static int parse_neigh(const struct host_nl_msg *msg, struct host_change *change)
{
	int ret = host_neigh_parse(msg, &change->neigh);

	if (ret <= 0)
		return ret;
	change->ifindex = change->neigh.ifindex;
	change->gone = msg->type == RTM_DELNEIGH;
	return HOST_CHANGED_NEIGH;
}

static int parse_tc(const struct host_nl_msg *msg, struct host_change *change)
{
	struct tcmsg head;

	if (msg->len < sizeof(head))
		return -EBADMSG;
	memcpy(&head, msg->data, sizeof(head));
	change->ifindex = head.tcm_ifindex;
	change->gone = msg->type == RTM_DELQDISC || msg->type == RTM_DELTFILTER;
	return HOST_CHANGED_TC;
}

int host_change_parse(const struct host_nl_msg *msg, struct host_change *change)
{
	int kind;

	*change = (struct host_change){ 0 };
	switch (msg->type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		kind = parse_link(msg, change);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		kind = parse_addr(msg, change);
		break;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		kind = parse_neigh(msg, change);
		break;
	case RTM_NEWQDISC:
	case RTM_DELQDISC:
	case RTM_NEWTCLASS:
	case RTM_DELTCLASS:
	case RTM_NEWTFILTER:
	case RTM_DELTFILTER:
	case RTM_NEWCHAIN:
	case RTM_DELCHAIN:
		kind = parse_tc(msg, change);
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
	case RTM_NEWRULE:
	case RTM_DELRULE:
	case RTM_NEWNEXTHOP:
	case RTM_DELNEXTHOP:
		kind = HOST_CHANGED_ROUTE;
		break;
	default:
		kind = 0;
		break;
	}
	if (kind > 0)
		change->kind = (unsigned)kind;
	return kind;
}

/* The changes in one datagram; one that cannot be read counts as lost. */
static int drain_datagram(const uint8_t *data, size_t len, host_change_fn *fn, void *arg)
{
	struct host_nl_walk walk = { .at = data, .left = len };
	struct host_change change;
	struct host_nl_msg msg;
	int changed = 0;
	int ret;

	while ((ret = host_nl_next_msg(&walk, &msg)) > 0) {
		ret = host_change_parse(&msg, &change);
		if (ret < 0)
			break;
		changed |= ret;
		if (ret && ret != HOST_CHANGED_ROUTE && fn)
			fn(&change, arg);
	}
	return ret < 0 ? HOST_CHANGED_ALL : changed;
}

int host_monitor_drain(struct host_monitor *m, host_change_fn *fn, void *arg)
{
	int changed = 0;

	for (int i = 0; i < DRAIN_MAX; i++) {
		long len = host_nl_receive(&m->nl);

		if (len == -EAGAIN)
			break;
		if (len == -ENOBUFS || len == -EMSGSIZE)
			changed |= HOST_CHANGED_ALL;
		else if (len < 0)
			return (int)len;
		else
			changed |= drain_datagram(m->nl.buf, (size_t)len, fn, arg);
	}
	return changed;
}
