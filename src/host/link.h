/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link.h - interfaces of this network namespace and their addresses, as the kernel has them now.
 *
 * Does:     look up and list links with what decides about acceleration: kind, state, master,
 *           attached XDP program, queues, default route; list addresses in use.
 * Does not: cache (monitor.h says when to ask again), change anything.
 * Threads:  as struct host_nl; the parsers are pure.
 * Errors:   0, a count, or -errno: -ENODEV no such link, or those of netlink.h.
 */
#ifndef FSOCK_HOST_LINK_H
#define FSOCK_HOST_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

struct host_nl;
struct host_nl_msg;

enum {
	HOST_LINK_NAME_MAX = 16, /* IFNAMSIZ, with the final 0 */
	HOST_LINK_KIND_MAX = 16,
	HOST_LINK_DRIVER_MAX = 32, /* ETHTOOL_BUSINFO_LEN */
};

/* What the interface is, as far as the attach policy asks (DESIGN D4). */
enum host_link_kind {
	HOST_LINK_OTHER, /* see @kind and @driver */
	HOST_LINK_LOOPBACK,
	HOST_LINK_VETH,
	HOST_LINK_VIRTIO,
};

/* What the interface is a member of. Anything but NONE is declined (design-hazards row 2). */
enum host_link_role {
	HOST_LINK_MASTERLESS,
	HOST_LINK_BRIDGE_PORT,
	HOST_LINK_BOND_MEMBER,
	HOST_LINK_TEAM_MEMBER,
	HOST_LINK_VRF_SLAVE,
	HOST_LINK_OTHER_MEMBER, /* of a master of another kind */
};

/* Modes of an attached XDP program, XDP_ATTACHED_* of linux/if_link.h as bits; they may combine. */
enum {
	HOST_XDP_NATIVE = 1 << 0,
	HOST_XDP_GENERIC = 1 << 1,
	HOST_XDP_OFFLOADED = 1 << 2,
};

struct host_link {
	int ifindex;
	char name[HOST_LINK_NAME_MAX];
	enum host_link_kind kind;
	char kind_name[HOST_LINK_KIND_MAX]; /* rtnetlink's ("veth"); "" = a physical device */
	char driver[HOST_LINK_DRIVER_MAX];  /* ethtool's ("virtio_net"); "" = it has none */
	struct eth_addr mac;		    /* zero when @has_mac is false */
	bool has_mac;			    /* six bytes, as Ethernet has */
	bool ethernet;			    /* ARPHRD_ETHER */
	uint32_t flags;			    /* IFF_* */
	uint8_t operstate;		    /* IF_OPER_*; some drivers only say UNKNOWN */
	uint32_t mtu;
	uint32_t mtu6; /* of IPv6 on it; 0 = no IPv6 */
	int master;    /* ifindex; 0 = none */
	enum host_link_role role;
	unsigned xdp_modes;		/* HOST_XDP_*; 0 = no program */
	uint32_t xdp_prog[3];		/* program ids: native, generic, offloaded; 0 = none */
	char qdisc[HOST_LINK_KIND_MAX]; /* of the whole interface; "" = unknown */
	uint32_t rx_queues;		/* in use if the driver says, else allocated */
	uint32_t tx_queues;
};

/* One address of an interface, fit for use (neither tentative nor failed). */
struct host_addr {
	int ifindex;
	struct ip_addr addr;
	struct ip_addr broadcast; /* IPv4 only; any = none */
	uint8_t prefix_len;	  /* of its own family: 0..32 or 0..128 */
	bool deprecated;	  /* receives, is not chosen as a source */
};

/* By index or by name. @link is written on success only. */
int host_link_get(struct host_nl *nl, int ifindex, struct host_link *link);
int host_link_find(struct host_nl *nl, const char *name, struct host_link *link);

/* host_link_get() without asking the driver: @driver is "", queues are those allocated. */
int host_link_look(struct host_nl *nl, int ifindex, struct host_link *link);

/*
 * host_link_list() - every link of the namespace, the first @n of them into @links.
 * Return: how many there are (may exceed @n) or -errno.
 */
int host_link_list(struct host_nl *nl, struct host_link *links, int n);

/* MTU of IPv4 or IPv6 packets on the interface, bounded as the kernel bounds it; or -errno. */
int host_link_mtu(struct host_nl *nl, int ifindex, bool v6);

/* Has any table a default route out of this interface? 1, 0 or -errno. Walks the tables. */
int host_link_has_default_route(struct host_nl *nl, int ifindex);

/*
 * host_addr_list() - usable addresses of @ifindex (0 = of all), both families, the first @n into
 * @addrs.
 * Return: how many there are (may exceed @n) or -errno.
 */
int host_addr_list(struct host_nl *nl, int ifindex, struct host_addr *addrs, int n);

/*
 * Parsers of RTM_NEWLINK and RTM_NEWADDR. Pure. The link's driver and queues in use are not in
 * the message: "" and the allocated numbers. host_addr_parse() returns 1 for a usable address, 0
 * for one that is not, -EBADMSG.
 */
int host_link_parse(const struct host_nl_msg *msg, struct host_link *link);
int host_addr_parse(const struct host_nl_msg *msg, struct host_addr *addr);

#endif
