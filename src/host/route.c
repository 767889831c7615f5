/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * route.c - RTM_GETROUTE asked the way a socket's own look-up asks (rtnetlink(7)).
 *
 * Does not set RTM_F_LOOKUP_TABLE or RTM_F_FIB_MATCH: without them the kernel runs the output
 * look-up itself, rules, source selection, multipath choice and learned MTUs included; with
 * FIB_MATCH it would show the table entry instead of the decision.
 */
#include "host/route.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "host/link.h"
#include "host/netlink.h"

enum {
	DSCP_MASK = 0xfc,      /* the kernel refuses ECN bits in a look-up (rtm_tos) */
	FLAG_LOCAL = 0x80000000, /* RTCF_LOCAL: of a group, it is delivered here as well */
	MS_PER_USER_TICK = 10, /* rta_expires counts USER_HZ, 100 a second on every architecture */
};

/* -errno the kernel gives for a route type that carries nothing; 0 for one that does. */
static int type_errno(unsigned char type)
{
	switch (type) {
	case RTN_UNICAST:
	case RTN_LOCAL:
	case RTN_BROADCAST:
	case RTN_ANYCAST:
	case RTN_MULTICAST:
		return 0;
	case RTN_BLACKHOLE:
		return -EINVAL;
	case RTN_PROHIBIT:
		return -EACCES;
	case RTN_UNREACHABLE:
		return -EHOSTUNREACH;
	default:
		return -ENETUNREACH;
	}
}

static enum host_route_type route_type(const struct rtmsg *rtm)
{
	switch (rtm->rtm_type) {
	case RTN_LOCAL:
	case RTN_ANYCAST:
		return HOST_ROUTE_LOCAL;
	case RTN_BROADCAST:
		return HOST_ROUTE_BROADCAST;
	case RTN_MULTICAST:
		return HOST_ROUTE_MULTICAST;
	default:
		return HOST_ROUTE_UNICAST;
	}
}

/* RTA_VIA carries a next hop of the other family (RFC 8950): a family word, then the address. */
static void parse_via(const struct host_nl_attr *via, struct ip_addr *gateway)
{
	struct host_nl_attr addr = *via;

	if (!via->data || via->len <= sizeof(uint16_t))
		return;
	addr.data += sizeof(uint16_t);
	addr.len = (uint16_t)(addr.len - sizeof(uint16_t));
	host_nl_ip(&addr, gateway);
}

static int parse_metrics(const struct host_nl_attr *metrics, struct host_route *route)
{
	struct host_nl_attr table[RTAX_MAX + 1];
	int ret;

	if (!metrics->data)
		return 0;
	ret = host_nl_attrs(metrics->data, metrics->len, table, RTAX_MAX + 1);
	if (ret < 0)
		return ret;
	route->mtu = host_nl_u32(&table[RTAX_MTU], 0);
	route->mtu_locked = host_nl_u32(&table[RTAX_LOCK], 0) & (1u << RTAX_MTU);
	route->hop_limit = (uint8_t)host_nl_u32(&table[RTAX_HOPLIMIT], 0);
	return 0;
}

static uint32_t parse_expires(const struct host_nl_attr *attr)
{
	struct rta_cacheinfo info;

	if (!attr->data || attr->len < sizeof(info))
		return 0;
	memcpy(&info, attr->data, sizeof(info));
	if (info.rta_expires <= 0 || info.rta_expires > INT32_MAX / MS_PER_USER_TICK)
		return 0;
	return (uint32_t)info.rta_expires * MS_PER_USER_TICK;
}

int host_route_parse(const struct host_nl_msg *msg, struct host_route *route)
{
	struct host_nl_attr table[RTA_MAX + 1];
	struct rtmsg rtm;
	int ret = host_nl_msg_attrs(msg, sizeof(rtm), table, RTA_MAX + 1);

	if (ret < 0)
		return ret;
	memcpy(&rtm, msg->data, sizeof(rtm));
	ret = type_errno(rtm.rtm_type);
	if (ret < 0)
		return ret;
	*route = (struct host_route){
		.type = route_type(&rtm),
		.ifindex = (int)host_nl_u32(&table[RTA_OIF], 0),
		.expires_ms = parse_expires(&table[RTA_CACHEINFO]),
		.joined = rtm.rtm_type == RTN_MULTICAST && (rtm.rtm_flags & FLAG_LOCAL),
	};
	if (route->ifindex <= 0)
		return -EBADMSG;
	if (!host_nl_ip(&table[RTA_GATEWAY], &route->gateway))
		parse_via(&table[RTA_VIA], &route->gateway);
	host_nl_ip(&table[RTA_PREFSRC], &route->prefsrc);
	return parse_metrics(&table[RTA_METRICS], route);
}

static int route_answer(const struct host_nl_msg *msg, void *arg)
{
	if (msg->type != RTM_NEWROUTE)
		return 0;
	return host_route_parse(msg, arg);
}

static int route_ask(struct host_nl *nl, const struct host_route_query *query,
		     const struct ip_addr *src, struct host_route *route)
{
	bool v4 = ip_addr_is_v4(&query->dst);
	uint8_t bits = v4 ? 32 : 128;
	struct rtmsg rtm = {
		.rtm_family = v4 ? AF_INET : AF_INET6,
		.rtm_dst_len = bits,
		.rtm_tos = query->tos & DSCP_MASK,
	};
	bool with_src = !ip_addr_is_any(src);
	struct host_nl_req req;
	int ret;

	if (with_src && ip_addr_is_v4(src) != v4)
		return -EINVAL;
	if (with_src)
		rtm.rtm_src_len = bits;
	host_nl_req_init(&req, RTM_GETROUTE, 0, &rtm, sizeof(rtm));
	host_nl_req_put_ip(&req, RTA_DST, &query->dst);
	if (with_src)
		host_nl_req_put_ip(&req, RTA_SRC, src);
	if (query->oif)
		host_nl_req_put_u32(&req, RTA_OIF, (uint32_t)query->oif);
	if (query->mark)
		host_nl_req_put_u32(&req, RTA_MARK, query->mark);
	if (query->uid != HOST_ROUTE_UID_SELF)
		host_nl_req_put_u32(&req, RTA_UID, query->uid);
	if (query->proto) {
		uint16_t sport = __builtin_bswap16(query->sport);
		uint16_t dport = __builtin_bswap16(query->dport);

		host_nl_req_put(&req, RTA_IP_PROTO, &query->proto, 1);
		/* The kernel refuses port 0 here (nla_get_be16 with a range check). */
		if (sport)
			host_nl_req_put(&req, RTA_SPORT, &sport, sizeof(sport));
		if (dport)
			host_nl_req_put(&req, RTA_DPORT, &dport, sizeof(dport));
	}
	ret = host_nl_call(nl, &req, route_answer, route);
	if (ret == 0 && with_src)
		route->prefsrc = *src;
	return ret;
}

int host_route_get(struct host_nl *nl, const struct host_route_query *query,
		   struct host_route *route)
{
	struct host_route found = { 0 };
	int ret = route_ask(nl, query, &query->src, &found);

	/*
	 * connect() looks up twice, the second time with the source of the first: source rules and
	 * a multipath hash over the source may then choose another way.
	 */
	if (ret == 0 && query->connect && ip_addr_is_any(&query->src) &&
	    !ip_addr_is_any(&found.prefsrc)) {
		struct ip_addr src = found.prefsrc;

		ret = route_ask(nl, query, &src, &found);
	}
	if (ret < 0)
		return ret;
	if (!found.mtu) {
		ret = host_link_mtu(nl, found.ifindex, !ip_addr_is_v4(&query->dst));
		if (ret < 0)
			return ret;
		found.mtu = (uint32_t)ret;
	}
	*route = found;
	return 0;
}

/* Does one of the next hops in RTA_MULTIPATH leave by @ifindex? 1, 0 or -EBADMSG. */
static int multipath_uses(const struct host_nl_attr *multipath, int ifindex)
{
	const uint8_t *at = multipath->data;
	size_t left = multipath->len;
	struct rtnexthop hop;

	while (at && left >= sizeof(hop)) {
		memcpy(&hop, at, sizeof(hop));
		if (hop.rtnh_len < sizeof(hop) || hop.rtnh_len > left)
			return -EBADMSG;
		if (hop.rtnh_ifindex == ifindex)
			return 1;
		size_t step = RTNH_ALIGN((size_t)hop.rtnh_len);

		if (step > left)
			break;
		at += step;
		left -= step;
	}
	return 0;
}

int host_route_is_default(const struct host_nl_msg *msg, int ifindex)
{
	struct host_nl_attr table[RTA_MAX + 1];
	struct rtmsg rtm;
	int ret = host_nl_msg_attrs(msg, sizeof(rtm), table, RTA_MAX + 1);

	if (ret < 0)
		return ret;
	memcpy(&rtm, msg->data, sizeof(rtm));
	if (rtm.rtm_dst_len != 0 || rtm.rtm_type != RTN_UNICAST)
		return 0;
	if ((int)host_nl_u32(&table[RTA_OIF], 0) == ifindex)
		return 1;
	return multipath_uses(&table[RTA_MULTIPATH], ifindex);
}
