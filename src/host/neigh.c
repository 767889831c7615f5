/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * neigh.c - RTM_GETNEIGH and RTM_NEWNEIGH with NTF_USE (rtnetlink(7), linux/neighbour.h).
 */
#include "host/neigh.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "host/netlink.h"

enum {
	NUD_USABLE = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY,
	NUD_CONFIRMED = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE,
};

int host_neigh_parse(const struct host_nl_msg *msg, struct host_neigh *neigh)
{
	struct host_nl_attr table[NDA_MAX + 1];
	struct ndmsg head;
	int ret = host_nl_msg_attrs(msg, sizeof(head), table, NDA_MAX + 1);

	if (ret < 0)
		return ret;
	memcpy(&head, msg->data, sizeof(head));
	/* Bridge forwarding entries (AF_BRIDGE) and proxy entries share the message type. */
	if ((head.ndm_family != AF_INET && head.ndm_family != AF_INET6) ||
	    (head.ndm_flags & NTF_PROXY))
		return 0;
	*neigh = (struct host_neigh){ .ifindex = head.ndm_ifindex, .state = head.ndm_state };
	if (!host_nl_ip(&table[NDA_DST], &neigh->addr))
		return -EBADMSG;
	neigh->failed = head.ndm_state & NUD_FAILED;
	if (table[NDA_LLADDR].data && table[NDA_LLADDR].len == sizeof(neigh->mac.b)) {
		memcpy(neigh->mac.b, table[NDA_LLADDR].data, sizeof(neigh->mac.b));
		neigh->usable = head.ndm_state & NUD_USABLE;
		neigh->confirmed = head.ndm_state & NUD_CONFIRMED;
	}
	return 1;
}

static int neigh_answer(const struct host_nl_msg *msg, void *arg)
{
	int ret = msg->type == RTM_NEWNEIGH ? host_neigh_parse(msg, arg) : 0;

	return ret < 0 ? ret : 0;
}

int host_neigh_get(struct host_nl *nl, int ifindex, const struct ip_addr *addr,
		   struct host_neigh *neigh)
{
	struct ndmsg head = {
		.ndm_family = ip_addr_is_v4(addr) ? AF_INET : AF_INET6,
		.ndm_ifindex = ifindex,
	};
	struct host_neigh found = { 0 };
	struct host_nl_req req;
	int ret;

	host_nl_req_init(&req, RTM_GETNEIGH, 0, &head, sizeof(head));
	host_nl_req_put_ip(&req, NDA_DST, addr);
	ret = host_nl_call(nl, &req, neigh_answer, &found);
	if (ret < 0)
		return ret;
	if (!found.ifindex)
		return -ENOENT;
	*neigh = found;
	return 0;
}

int host_neigh_use(struct host_nl *nl, int ifindex, const struct ip_addr *addr)
{
	struct ndmsg head = {
		.ndm_family = ip_addr_is_v4(addr) ? AF_INET : AF_INET6,
		.ndm_ifindex = ifindex,
		.ndm_flags = NTF_USE,
	};
	struct host_nl_req req;

	host_nl_req_init(&req, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_ACK, &head, sizeof(head));
	host_nl_req_put_ip(&req, NDA_DST, addr);
	return host_nl_call(nl, &req, NULL, NULL);
}
