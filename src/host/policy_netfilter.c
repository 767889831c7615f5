/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * policy_netfilter.c - base chains of nftables, and the tables of legacy iptables.
 *
 * Does not read rules: a base chain's use count is the number of its rules, since nothing can jump
 * to one; and a legacy built-in chain is empty when its first entry is its policy. A chain without
 * rules whose policy is accept touches nothing; distributions create such chains at boot.
 *
 * Tables of the families bridge and arp do not count: bridge ports are declined elsewhere, and ARP
 * is spoken by the kernel itself, through its own hooks.
 */
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <linux/netlink.h>

#include "base/err.h"
#include "host/log.h"
#include "host/policy_internal.h"
#include "sys/sys.h"

/* nftables' integers are in network order. */
static uint32_t be32_of(const struct host_nl_attr *attr, uint32_t missing)
{
	return attr->data ? __builtin_bswap32(host_nl_u32(attr, __builtin_bswap32(missing)))
			  : missing;
}

/* A name out of a message: "?" when it is absent or not terminated. */
static const char *name_of(const struct host_nl_attr *attr)
{
	if (!attr->data || !attr->len || attr->data[attr->len - 1] != 0)
		return "?";
	return (const char *)attr->data;
}

/*
 * Does a hook bound to devices concern @ifname? A list element of a type this code does not know (a
 * name prefix, from 6.16 on) counts as a match.
 */
static int hook_on_device(const struct host_nl_attr *hook, const char *ifname)
{
	struct host_nl_walk walk = { 0 };
	struct host_nl_attr device;
	int ret;

	if (hook[NFTA_HOOK_DEV].data && policy_same(name_of(&hook[NFTA_HOOK_DEV]), ifname))
		return 1;
	if (hook[NFTA_HOOK_DEVS].data)
		walk = (struct host_nl_walk){ hook[NFTA_HOOK_DEVS].data, hook[NFTA_HOOK_DEVS].len };
	while ((ret = host_nl_next_attr(&walk, &device)) > 0) {
		if (device.type != NFTA_DEVICE_NAME || policy_same(name_of(&device), ifname))
			return 1;
	}
	return ret;
}

/* The hook's name if it may touch the query's packets, else NULL. */
static const char *hook_name(uint8_t family, uint32_t hook, const struct host_policy_query *query)
{
	static const char *const inet[] = { "prerouting", "input",	 NULL,
					    "output",	  "postrouting", "ingress" };
	static const char *const netdev[] = { "ingress", "egress" };

	switch (family) {
	case NFPROTO_NETDEV:
		return hook < FS_ARRAY_SIZE(netdev) ? netdev[hook] : NULL;
	case NFPROTO_IPV4:
		if (!query->v4)
			return NULL;
		break;
	case NFPROTO_IPV6:
		if (!query->v6)
			return NULL;
		break;
	case NFPROTO_INET:
		break;
	default:
		return NULL;
	}
	return hook < FS_ARRAY_SIZE(inet) ? inet[hook] : NULL;
}

int host_policy_parse_chain(const struct host_nl_msg *msg, const struct host_policy_query *query,
			    const char *ifname, char *what, size_t size)
{
	struct host_nl_attr chain[NFTA_CHAIN_MAX + 1];
	struct host_nl_attr hook[NFTA_HOOK_MAX + 1];
	const char *where;
	uint8_t family;
	bool bound;
	int ret = host_nl_msg_attrs(msg, sizeof(struct nfgenmsg), chain, NFTA_CHAIN_MAX + 1);

	if (ret < 0)
		return ret;
	family = msg->data[offsetof(struct nfgenmsg, nfgen_family)];
	if (!chain[NFTA_CHAIN_HOOK].data)
		return 0; /* not a base chain: reached from one that is, or never */
	ret = host_nl_attrs(chain[NFTA_CHAIN_HOOK].data, chain[NFTA_CHAIN_HOOK].len, hook,
			    NFTA_HOOK_MAX + 1);
	if (ret < 0)
		return ret;
	where = hook_name(family, be32_of(&hook[NFTA_HOOK_HOOKNUM], UINT32_MAX), query);
	if (!where)
		return 0;
	bound = hook[NFTA_HOOK_DEV].data || hook[NFTA_HOOK_DEVS].data;
	if (bound && ifname[0]) {
		ret = hook_on_device(hook, ifname);
		if (ret <= 0)
			return ret;
	}
	if (be32_of(&chain[NFTA_CHAIN_USE], 0) == 0 &&
	    be32_of(&chain[NFTA_CHAIN_POLICY], NF_ACCEPT) == NF_ACCEPT)
		return 0;
	host_format(what, size, "nftables chain %s %s at hook %s",
		    name_of(&chain[NFTA_CHAIN_TABLE]), name_of(&chain[NFTA_CHAIN_NAME]), where);
	return 1;
}

static int chain_answer(const struct host_nl_msg *msg, void *arg)
{
	struct policy_scan *scan = arg;
	int ret;

	if (msg->type != ((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWCHAIN))
		return 0;
	ret = host_policy_parse_chain(msg, scan->query, scan->link.name, scan->result->what,
				      sizeof(scan->result->what));
	return ret > 0 ? HOST_NL_STOP : ret;
}

int policy_look_nftables(struct policy_scan *scan)
{
	struct nfgenmsg head = { .nfgen_family = NFPROTO_UNSPEC, .version = NFNETLINK_V0 };
	struct host_nl_req req;
	int ret;

	if (scan->policy->netfilter.fd < 0)
		return 0;
	host_nl_req_init(&req, (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETCHAIN, NLM_F_DUMP, &head,
			 sizeof(head));
	ret = host_nl_call(&scan->policy->netfilter, &req, chain_answer, scan);
	if (ret == -EINVAL || ret == -EOPNOTSUPP)
		return 0; /* a kernel without nftables */
	if (scan->result->what[0])
		return 1; /* whatever became of the rest of the dump */
	return ret;
}

/* --- legacy iptables --- */

/* What differs between the two families. */
struct legacy {
	int family;
	int level;	      /* of the socket options */
	size_t target_offset; /* of that word in an entry */
};

static const struct legacy legacy_families[] = {
	{ AF_INET, IPPROTO_IP, offsetof(struct ipt_entry, target_offset) },
	{ AF_INET6, IPPROTO_IPV6, offsetof(struct ip6t_entry, target_offset) },
};

/* The policy at the end of the chain that starts at @at in @entries: does it accept? */
static bool legacy_accepts(const struct legacy *legacy, const uint8_t *entries, size_t size,
			   size_t at)
{
	struct xt_standard_target target;
	uint16_t skip;

	if (at > size || size - at < legacy->target_offset + sizeof(skip))
		return false;
	memcpy(&skip, entries + at + legacy->target_offset, sizeof(skip));
	if (skip > size - at || size - at - skip < sizeof(target))
		return false;
	memcpy(&target, entries + at + skip, sizeof(target));
	return target.target.u.user.name[0] == 0 && target.verdict == -NF_ACCEPT - 1;
}

/* One loaded table. 1 = one of its chains does something, 0 = none does. */
static int legacy_table(struct policy_scan *scan, const struct legacy *legacy, int fd,
			const char *table)
{
	static const char *const chains[] = { "PREROUTING", "INPUT", NULL, "OUTPUT",
					      "POSTROUTING" };
	struct ipt_getinfo info = { .valid_hooks = 0 };
	struct ipt_get_entries *all = (struct ipt_get_entries *)(void *)scan->nl->buf;
	socklen_t len = sizeof(info);
	bool known;
	int ret;

	host_format(info.name, sizeof(info.name), "%s", table);
	/* The same option numbers and layouts for both families, see ip6_tables.h. */
	ret = sys_getsockopt(fd, legacy->level, IPT_SO_GET_INFO, &info, &len);
	if (ret < 0)
		return ret == -ENOENT ? 0 : ret;
	known = info.size <= scan->nl->size - sizeof(*all);
	if (known) {
		memset(all, 0, sizeof(*all));
		memcpy(all->name, info.name, sizeof(all->name));
		all->size = info.size;
		len = (socklen_t)(sizeof(*all) + info.size);
		/* EAGAIN: the table changed in between; the look is repeated. */
		ret = sys_getsockopt(fd, legacy->level, IPT_SO_GET_ENTRIES, all, &len);
		if (ret < 0)
			return ret;
	}
	for (unsigned hook = 0; hook < FS_ARRAY_SIZE(chains); hook++) {
		if (!chains[hook] || !(info.valid_hooks & (1u << hook)))
			continue;
		if (info.hook_entry[hook] == info.underflow[hook] && known &&
		    legacy_accepts(legacy, (const uint8_t *)all->entrytable, info.size,
				   info.underflow[hook]))
			continue;
		host_format(scan->result->what, sizeof(scan->result->what),
			    "ip%stables table %s, chain %s", legacy->family == AF_INET6 ? "6" : "",
			    table, chains[hook]);
		return 1;
	}
	return 0;
}

/* The tables this namespace has, from a list of names: asking for one by name would create it. */
static int legacy_tables(struct policy_scan *scan, const struct legacy *legacy, int names)
{
	char text[256];
	char *table = text;
	ssize_t len;
	int ret = 0;
	int fd;

	if (names < 0)
		return names == -ENOENT ? 0 : names;
	len = sys_pread(names, text, sizeof(text), 0);
	if (len <= 0)
		return (int)len;
	fd = sys_socket(legacy->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fd == -EAFNOSUPPORT ? 0 : fd;
	for (char *at = text; at < text + len && ret == 0; at++) {
		if (*at != '\n')
			continue;
		*at = 0;
		ret = legacy_table(scan, legacy, fd, table);
		table = at + 1;
	}
	sys_close(fd);
	return ret;
}

int policy_look_iptables(struct policy_scan *scan)
{
	int ret = 0;

	if (scan->query->v4)
		ret = legacy_tables(scan, &legacy_families[0], scan->policy->tables[0]);
	if (ret == 0 && scan->query->v6)
		ret = legacy_tables(scan, &legacy_families[1], scan->policy->tables[1]);
	return ret;
}
