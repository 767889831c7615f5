/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * policy_internal.h - what the files of the policy look share.
 *
 * Each look takes a scan and returns 1 = found (said by policy_found()), 0 = nothing, -errno;
 * -EPERM and -EACCES make policy.c note it as unchecked.
 */
#ifndef FSOCK_HOST_POLICY_INTERNAL_H
#define FSOCK_HOST_POLICY_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "host/link.h"
#include "host/policy.h"

enum { POLICY_PROGS_MAX = 64 }; /* programs listed at one attach point; the kernel allows no more */

/* One check in progress. All borrowed from host_policy_check(). */
struct policy_scan {
	struct host_policy *policy;
	struct host_nl *nl;
	const struct host_policy_query *query;
	struct host_policy_result *result;
	struct host_link link; /* of query->ifindex; ifindex 0 = no interface is asked about */
};

int policy_look_nftables(struct policy_scan *scan);
int policy_look_iptables(struct policy_scan *scan);
int policy_look_qdisc(struct policy_scan *scan);
int policy_look_tc(struct policy_scan *scan);

/* Is @prog one of the query's own? */
bool policy_is_own(const struct host_policy_query *query, uint32_t prog);

/* Same strings? */
bool policy_same(const char *a, const char *b);

/*
 * policy_progs() - the first program at an attach point that is not ours. @target: a descriptor of
 * a cgroup or an ifindex. Return: its id; 0 = none or the kernel has no such attach point; -errno.
 */
int64_t policy_progs(const struct host_policy_query *query, int target, uint32_t attach_type,
		     uint32_t flags);

#endif
