/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * policy.h - does this host do anything to packets that XDP would bypass? (DESIGN D14)
 *
 * Does:     look for netfilter hooks (nftables, legacy iptables), xfrm policies, cgroup programs,
 *           queueing disciplines beyond the plain ones, foreign tc and XDP programs that could
 *           touch a socket's traffic; say the first it finds in a sentence.
 * Does not: understand rules: any rule in a chain the traffic passes counts. See BPF programs
 *           attached as netfilter links, nor LSM policy: the kernel does not list them without a
 *           module that is often absent.
 * Threads:  one at a time per struct host_policy.
 * Errors:   0, 1 or -errno. A look the caller has no privilege for is no error: it is named in
 *           host_policy_result.unchecked.
 */
#ifndef FSOCK_HOST_POLICY_H
#define FSOCK_HOST_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/netlink.h"

/* What was found, or could not be looked at. */
enum {
	HOST_POLICY_NFTABLES = 1 << 0,
	HOST_POLICY_IPTABLES = 1 << 1,
	HOST_POLICY_XFRM = 1 << 2,
	HOST_POLICY_CGROUP = 1 << 3,
	HOST_POLICY_QDISC = 1 << 4,
	HOST_POLICY_TC = 1 << 5, /* filters and tcx programs */
	HOST_POLICY_XDP = 1 << 6,
	HOST_POLICY_ALL = (1 << 7) - 1,
};

/* What a check is repeated with. Opened once, by a process that may use it (CAP_NET_ADMIN). */
struct host_policy {
	struct host_nl netfilter; /* owned; fd -1 = the kernel has none. Hears of rulesets */
	struct host_nl xfrm;	  /* the same; hears of policy changes */
	int cgroup;		  /* owned; this process's version 2 cgroup; -errno = why not */
	int tables[2];		  /* owned; lists of legacy tables, IPv4 and IPv6; or -errno */
};

/* Whose traffic is asked about. */
struct host_policy_query {
	int ifindex;   /* interface; 0 = only what concerns every interface */
	uint8_t proto; /* IPPROTO_UDP or IPPROTO_TCP; 0 = both, what concerns either counts */
	bool v4;
	bool v6;	     /* both for a dual-stack socket */
	unsigned ignore;     /* HOST_POLICY_* not to look for */
	const uint32_t *own; /* ids of BPF programs that are ours; borrowed */
	unsigned n_own;
};

struct host_policy_result {
	unsigned found;	    /* HOST_POLICY_*; the look ends with the first kind found */
	unsigned unchecked; /* HOST_POLICY_* that this process may not look at */
	char what[128];	    /* what was found, without a full stop; "" = nothing */
};

/*
 * host_policy_open() - both sockets and what else is kept. What the kernel does not have or does
 * not allow is left out. @buf as for host_nl_open(), shared by all of @policy's sockets.
 * Return: 0 or -errno (descriptors ran out, @buf too small), with @policy closed.
 */
int host_policy_open(struct host_policy *policy, int fd_floor, void *buf, size_t size);
void host_policy_close(struct host_policy *policy);

/*
 * host_policy_check() - look. @nl is a route socket with a buffer of its own.
 * Cost: about 50 us on a host without policy. Asking for nftables may load that kernel module.
 * Return: 0 = nothing found, 1 = found, -errno = the look failed; @result is written always.
 */
int host_policy_check(struct host_policy *policy, struct host_nl *nl,
		      const struct host_policy_query *query, struct host_policy_result *result);

/*
 * host_policy_changed() - have netfilter rulesets or xfrm policies changed since the last call?
 * Without waiting, one or two failed reads when not. The other kinds: HOST_CHANGED_TC and
 * HOST_CHANGED_LINK of monitor.h tell of qdiscs, filters and XDP; legacy iptables, tcx and cgroup
 * programs tell nobody. Opened without CAP_NET_ADMIN it hears nothing; dropping it later is no harm.
 */
bool host_policy_changed(struct host_policy *policy);

/*
 * Parsers, pure. Each 1 = this affects the query (@what, of @size bytes, says how), 0 = it does
 * not, -EBADMSG. A chain is an NFT_MSG_NEWCHAIN message, a filter an RTM_NEWTFILTER; @ifname is the
 * interface asked about, "" = every interface.
 */
int host_policy_parse_chain(const struct host_nl_msg *msg, const struct host_policy_query *query,
			    const char *ifname, char *what, size_t size);
int host_policy_parse_filter(const struct host_nl_msg *msg, const struct host_policy_query *query,
			     char *what, size_t size);
int host_policy_parse_qdisc(const struct host_nl_msg *msg, int ifindex, char *what, size_t size);

#endif
