/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link.c - links and addresses over rtnetlink, drivers and queues over ethtool's ioctl
 * (rtnetlink(7), linux/ethtool.h).
 *
 * Does not open a socket for the ioctl: a netlink socket passes it on to the device layer, and
 * belongs to the right namespace already.
 */
#include "host/link.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/ipv6.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>

#include "base/err.h"
#include "host/netlink.h"
#include "host/route.h"
#include "sys/sys.h"

enum {
	SKIP_STATS = 1 << 3,   /* RTEXT_FILTER_SKIP_STATS: a third of the message, unused here */
	IPV4_MTU_MAX = 0xffff, /* IP_MAX_MTU */
	IPV6_MTU_MAX = 0xffff + 40,
};

/* --- parsing --- */

/* Copy a string attribute of at most @size - 1 characters. */
static void parse_string(const struct host_nl_attr *attr, char *to, size_t size)
{
	size_t len = FS_MIN((size_t)attr->len, size - 1);

	memset(to, 0, size);
	if (attr->data)
		memcpy(to, attr->data, len);
}

static bool same(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

static enum host_link_role role_of(const char *slave_kind)
{
	static const struct {
		const char *kind;
		enum host_link_role role;
	} roles[] = {
		{ "bridge", HOST_LINK_BRIDGE_PORT },
		{ "bond", HOST_LINK_BOND_MEMBER },
		{ "team", HOST_LINK_TEAM_MEMBER },
		{ "vrf", HOST_LINK_VRF_SLAVE },
	};

	for (size_t i = 0; i < FS_ARRAY_SIZE(roles); i++) {
		if (same(slave_kind, roles[i].kind))
			return roles[i].role;
	}
	return HOST_LINK_OTHER_MEMBER;
}

static int parse_info(const struct host_nl_attr *info, struct host_link *link)
{
	struct host_nl_attr table[IFLA_INFO_MAX + 1];
	char slave_kind[HOST_LINK_KIND_MAX];
	int ret = 0;

	memset(table, 0, sizeof(table));
	if (info->data)
		ret = host_nl_attrs(info->data, info->len, table, IFLA_INFO_MAX + 1);
	if (ret < 0)
		return ret;
	parse_string(&table[IFLA_INFO_KIND], link->kind_name, sizeof(link->kind_name));
	parse_string(&table[IFLA_INFO_SLAVE_KIND], slave_kind, sizeof(slave_kind));
	if (link->master)
		link->role = role_of(slave_kind);
	return 0;
}

static int parse_xdp(const struct host_nl_attr *xdp, struct host_link *link)
{
	struct host_nl_attr table[IFLA_XDP_MAX + 1];
	uint32_t id;
	int ret;

	if (!xdp->data)
		return 0;
	ret = host_nl_attrs(xdp->data, xdp->len, table, IFLA_XDP_MAX + 1);
	if (ret < 0)
		return ret;
	link->xdp_prog[0] = host_nl_u32(&table[IFLA_XDP_DRV_PROG_ID], 0);
	link->xdp_prog[1] = host_nl_u32(&table[IFLA_XDP_SKB_PROG_ID], 0);
	link->xdp_prog[2] = host_nl_u32(&table[IFLA_XDP_HW_PROG_ID], 0);
	/* Kernels before 4.20 name a lone program only by IFLA_XDP_PROG_ID. */
	id = host_nl_u32(&table[IFLA_XDP_PROG_ID], 0);
	switch (host_nl_u8(&table[IFLA_XDP_ATTACHED], XDP_ATTACHED_NONE)) {
	case XDP_ATTACHED_DRV:
		link->xdp_prog[0] = link->xdp_prog[0] ? link->xdp_prog[0] : id;
		break;
	case XDP_ATTACHED_SKB:
		link->xdp_prog[1] = link->xdp_prog[1] ? link->xdp_prog[1] : id;
		break;
	case XDP_ATTACHED_HW:
		link->xdp_prog[2] = link->xdp_prog[2] ? link->xdp_prog[2] : id;
		break;
	default:
		break;
	}
	for (int i = 0; i < 3; i++) {
		if (link->xdp_prog[i])
			link->xdp_modes |= 1u << i;
	}
	return 0;
}

/* IFLA_AF_SPEC { AF_INET6 { IFLA_INET6_CONF: array of s32 } }; absent without IPv6. */
static int parse_mtu6(const struct host_nl_attr *spec, struct host_link *link)
{
	struct host_nl_attr family[AF_INET6 + 1];
	struct host_nl_attr inet6[IFLA_INET6_MAX + 1];
	const struct host_nl_attr *conf = &inet6[IFLA_INET6_CONF];
	int ret;

	if (!spec->data)
		return 0;
	ret = host_nl_attrs(spec->data, spec->len, family, AF_INET6 + 1);
	if (ret < 0 || !family[AF_INET6].data)
		return ret;
	ret = host_nl_attrs(family[AF_INET6].data, family[AF_INET6].len, inet6, IFLA_INET6_MAX + 1);
	if (ret < 0)
		return ret;
	if (conf->data && conf->len >= (DEVCONF_MTU6 + 1) * sizeof(int32_t))
		memcpy(&link->mtu6, conf->data + DEVCONF_MTU6 * sizeof(int32_t),
		       sizeof(link->mtu6));
	return 0;
}

/* A physical virtio device has no rtnetlink kind: host_link_ask_driver() completes it. */
static enum host_link_kind kind_of(const struct host_link *link)
{
	if (link->flags & IFF_LOOPBACK)
		return HOST_LINK_LOOPBACK;
	return same(link->kind_name, "veth") ? HOST_LINK_VETH : HOST_LINK_OTHER;
}

int host_link_parse(const struct host_nl_msg *msg, struct host_link *link)
{
	struct host_nl_attr table[IFLA_MAX + 1];
	struct ifinfomsg head;
	int ret = host_nl_msg_attrs(msg, sizeof(head), table, IFLA_MAX + 1);

	if (ret < 0)
		return ret;
	memcpy(&head, msg->data, sizeof(head));
	*link = (struct host_link){
		.ifindex = head.ifi_index,
		.flags = head.ifi_flags,
		.ethernet = head.ifi_type == ARPHRD_ETHER,
		.mtu = host_nl_u32(&table[IFLA_MTU], 0),
		.operstate = host_nl_u8(&table[IFLA_OPERSTATE], IF_OPER_UNKNOWN),
		.master = (int)host_nl_u32(&table[IFLA_MASTER], 0),
		.rx_queues = host_nl_u32(&table[IFLA_NUM_RX_QUEUES], 1),
		.tx_queues = host_nl_u32(&table[IFLA_NUM_TX_QUEUES], 1),
	};
	if (head.ifi_index <= 0)
		return -EBADMSG;
	parse_string(&table[IFLA_IFNAME], link->name, sizeof(link->name));
	parse_string(&table[IFLA_QDISC], link->qdisc, sizeof(link->qdisc));
	if (table[IFLA_ADDRESS].data && table[IFLA_ADDRESS].len == sizeof(link->mac.b)) {
		memcpy(link->mac.b, table[IFLA_ADDRESS].data, sizeof(link->mac.b));
		link->has_mac = true;
	}
	ret = parse_info(&table[IFLA_LINKINFO], link);
	if (ret == 0)
		ret = parse_xdp(&table[IFLA_XDP], link);
	if (ret == 0)
		ret = parse_mtu6(&table[IFLA_AF_SPEC], link);
	link->kind = kind_of(link);
	return ret;
}

int host_addr_parse(const struct host_nl_msg *msg, struct host_addr *addr)
{
	struct host_nl_attr table[IFA_MAX + 1];
	struct ifaddrmsg head;
	uint32_t flags;
	int ret = host_nl_msg_attrs(msg, sizeof(head), table, IFA_MAX + 1);

	if (ret < 0)
		return ret;
	memcpy(&head, msg->data, sizeof(head));
	if (head.ifa_family != AF_INET && head.ifa_family != AF_INET6)
		return 0;
	flags = host_nl_u32(&table[IFA_FLAGS], head.ifa_flags);
	*addr = (struct host_addr){
		.ifindex = (int)head.ifa_index,
		.prefix_len = head.ifa_prefixlen,
		.deprecated = flags & IFA_F_DEPRECATED,
	};
	/* On a point-to-point link IFA_ADDRESS is the peer and IFA_LOCAL is ours. */
	if (!host_nl_ip(&table[IFA_LOCAL], &addr->addr) &&
	    !host_nl_ip(&table[IFA_ADDRESS], &addr->addr))
		return -EBADMSG;
	host_nl_ip(&table[IFA_BROADCAST], &addr->broadcast);
	if (flags & IFA_F_DADFAILED)
		return 0;
	/* An optimistic address is tentative and in use at once (RFC 4429). */
	return !(flags & IFA_F_TENTATIVE) || (flags & IFA_F_OPTIMISTIC);
}

/* --- asking --- */

static int ethtool(struct host_nl *nl, const struct host_link *link, void *command)
{
	struct ifreq ifr;

	memset(&ifr, 0, sizeof(ifr));
	memcpy(ifr.ifr_name, link->name, sizeof(link->name));
	ifr.ifr_data = command;
	return sys_ioctl(nl->fd, SIOCETHTOOL, &ifr);
}

/* What only the driver knows. A device without ethtool support keeps what the message said. */
static void ask_driver(struct host_nl *nl, struct host_link *link)
{
	struct ethtool_drvinfo driver = { .cmd = ETHTOOL_GDRVINFO };
	struct ethtool_channels channels = { .cmd = ETHTOOL_GCHANNELS };

	if (ethtool(nl, link, &driver) == 0) {
		memcpy(link->driver, driver.driver, sizeof(link->driver) - 1);
		if (link->kind == HOST_LINK_OTHER && same(link->driver, "virtio_net"))
			link->kind = HOST_LINK_VIRTIO;
	}
	if (ethtool(nl, link, &channels) == 0) {
		uint32_t rx = channels.rx_count + channels.combined_count;
		uint32_t tx = channels.tx_count + channels.combined_count;

		link->rx_queues = rx ? rx : link->rx_queues;
		link->tx_queues = tx ? tx : link->tx_queues;
	}
}

static int link_answer(const struct host_nl_msg *msg, void *arg)
{
	return msg->type == RTM_NEWLINK ? host_link_parse(msg, arg) : 0;
}

static int link_ask(struct host_nl *nl, int ifindex, const char *name, struct host_link *link)
{
	struct ifinfomsg head = { .ifi_index = ifindex };
	struct host_link found = { 0 };
	struct host_nl_req req;
	size_t len = 0;
	int ret;

	host_nl_req_init(&req, RTM_GETLINK, 0, &head, sizeof(head));
	host_nl_req_put_u32(&req, IFLA_EXT_MASK, SKIP_STATS);
	if (name) {
		while (len < HOST_LINK_NAME_MAX && name[len])
			len++;
		if (len == 0 || len == HOST_LINK_NAME_MAX)
			return -ENODEV;
		host_nl_req_put(&req, IFLA_IFNAME, name, len + 1);
	} else if (ifindex <= 0) {
		return -ENODEV;
	}
	ret = host_nl_call(nl, &req, link_answer, &found);
	if (ret < 0)
		return ret;
	if (!found.ifindex)
		return -ENODEV;
	*link = found;
	return 0;
}

int host_link_look(struct host_nl *nl, int ifindex, struct host_link *link)
{
	return link_ask(nl, ifindex, NULL, link);
}

int host_link_get(struct host_nl *nl, int ifindex, struct host_link *link)
{
	int ret = link_ask(nl, ifindex, NULL, link);

	if (ret == 0)
		ask_driver(nl, link);
	return ret;
}

int host_link_find(struct host_nl *nl, const char *name, struct host_link *link)
{
	int ret = link_ask(nl, 0, name, link);

	if (ret == 0)
		ask_driver(nl, link);
	return ret;
}

/*
 * The device's own MTU by two ioctls: a tenth of the cost of RTM_GETLINK (measured 0.7 against 8
 * us), and this is asked for every new destination. The interface may be renamed in between:
 * -ENODEV.
 */
static int device_mtu(struct host_nl *nl, int ifindex)
{
	struct ifreq ifr;
	int ret;

	memset(&ifr, 0, sizeof(ifr));
	ifr.ifr_ifindex = ifindex;
	ret = sys_ioctl(nl->fd, SIOCGIFNAME, &ifr);
	if (ret == 0)
		ret = sys_ioctl(nl->fd, SIOCGIFMTU, &ifr);
	return ret < 0 ? ret : ifr.ifr_mtu;
}

int host_link_mtu(struct host_nl *nl, int ifindex, bool v6)
{
	struct host_link link;
	int ret = v6 ? -ENODEV : device_mtu(nl, ifindex);

	if (ret >= 0)
		return FS_MIN(ret, (int)IPV4_MTU_MAX);
	ret = link_ask(nl, ifindex, NULL, &link);
	if (ret < 0)
		return ret;
	if (v6)
		return (int)FS_MIN(link.mtu6 ? link.mtu6 : link.mtu, (uint32_t)IPV6_MTU_MAX);
	return (int)FS_MIN(link.mtu, (uint32_t)IPV4_MTU_MAX);
}

/* A dump's destination: an array that may be too small, and the full count. */
struct list {
	void *items;
	int room;
	int count;
	int ifindex; /* wanted; 0 = all */
};

static int list_link(const struct host_nl_msg *msg, void *arg)
{
	struct list *list = arg;
	struct host_link *links = list->items;
	struct host_link spare;
	int ret;

	if (msg->type != RTM_NEWLINK)
		return 0;
	ret = host_link_parse(msg, list->count < list->room ? &links[list->count] : &spare);
	if (ret < 0)
		return ret;
	list->count++;
	return 0;
}

int host_link_list(struct host_nl *nl, struct host_link *links, int n)
{
	struct list list = { .items = links, .room = n };
	struct ifinfomsg head = { 0 };
	struct host_nl_req req;
	int ret;

	host_nl_req_init(&req, RTM_GETLINK, NLM_F_DUMP, &head, sizeof(head));
	host_nl_req_put_u32(&req, IFLA_EXT_MASK, SKIP_STATS);
	ret = host_nl_call(nl, &req, list_link, &list);
	if (ret < 0)
		return ret;
	for (int i = 0; i < FS_MIN(list.count, n); i++)
		ask_driver(nl, &links[i]);
	return list.count;
}

static int list_addr(const struct host_nl_msg *msg, void *arg)
{
	struct list *list = arg;
	struct host_addr *addrs = list->items;
	struct host_addr addr;
	int ret;

	if (msg->type != RTM_NEWADDR)
		return 0;
	ret = host_addr_parse(msg, &addr);
	if (ret <= 0)
		return ret;
	/* Kernels without strict checking ignore the filter. */
	if (list->ifindex && addr.ifindex != list->ifindex)
		return 0;
	if (list->count < list->room)
		addrs[list->count] = addr;
	list->count++;
	return 0;
}

int host_addr_list(struct host_nl *nl, int ifindex, struct host_addr *addrs, int n)
{
	static const unsigned char families[] = { AF_INET, AF_INET6 };
	struct list list = { .items = addrs, .room = n, .ifindex = ifindex };

	for (size_t i = 0; i < FS_ARRAY_SIZE(families); i++) {
		struct ifaddrmsg head = { .ifa_family = families[i],
					  .ifa_index = (uint32_t)ifindex };
		struct host_nl_req req;
		int ret;

		host_nl_req_init(&req, RTM_GETADDR, NLM_F_DUMP, &head, sizeof(head));
		ret = host_nl_call(nl, &req, list_addr, &list);
		/* A kernel without IPv6 has no such dump. */
		if (ret < 0 && !(families[i] == AF_INET6 && ret == -EOPNOTSUPP))
			return ret;
	}
	return list.count;
}

struct default_search {
	int ifindex;
	bool found;
};

static int search_default(const struct host_nl_msg *msg, void *arg)
{
	struct default_search *search = arg;
	int ret;

	if (msg->type != RTM_NEWROUTE)
		return 0;
	ret = host_route_is_default(msg, search->ifindex);
	if (ret < 0)
		return ret;
	search->found = ret > 0;
	return ret > 0 ? HOST_NL_STOP : 0;
}

int host_link_has_default_route(struct host_nl *nl, int ifindex)
{
	static const unsigned char families[] = { AF_INET, AF_INET6 };
	struct default_search search = { .ifindex = ifindex };

	for (size_t i = 0; i < FS_ARRAY_SIZE(families) && !search.found; i++) {
		struct rtmsg head = { .rtm_family = families[i] };
		struct host_nl_req req;
		int ret;

		host_nl_req_init(&req, RTM_GETROUTE, NLM_F_DUMP, &head, sizeof(head));
		host_nl_req_put_u32(&req, RTA_OIF, (uint32_t)ifindex);
		ret = host_nl_call(nl, &req, search_default, &search);
		if (ret < 0 && !(families[i] == AF_INET6 && ret == -EOPNOTSUPP))
			return ret;
	}
	return search.found;
}
