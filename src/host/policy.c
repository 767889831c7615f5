/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * policy.c - the look for policy as a whole; xfrm, cgroup programs and XDP. Netfilter is in
 * policy_netfilter.c, traffic control in policy_tc.c.
 *
 * Does not weigh what it finds: a rule base that accepts everything by twenty rules counts as
 * policy. Bypassing a rule nobody would miss gains little; bypassing one that somebody relies on is
 * a hole.
 */
#include "host/policy.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <sys/statfs.h>

#include "base/err.h"
#include "host/log.h"
#include "host/policy_internal.h"
#include "steer/bpf_sys.h"
#include "sys/sys.h"

enum {
	ATTEMPTS = 3,	    /* a look that a change under way disturbed is repeated */
	CHANGES_MAX = 4096, /* notifications taken in one call */
};

/* --- helpers of the looks --- */

bool policy_same(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

bool policy_is_own(const struct host_policy_query *query, uint32_t prog)
{
	static const char ours[] = "fsock_";
	char name[BPF_SYS_NAME_LEN];

	for (unsigned i = 0; i < query->n_own; i++) {
		if (query->own[i] == prog)
			return true;
	}
	/* Another process's is not the host's will: opening the port tells who is in the way. */
	return bpf_sys_prog_name(prog, name) == 0 && memcmp(name, ours, sizeof(ours) - 1) == 0;
}

int64_t policy_progs(const struct host_policy_query *query, int target, uint32_t attach_type,
		     uint32_t flags)
{
	uint32_t ids[POLICY_PROGS_MAX];
	union bpf_attr attr;
	int ret;

	memset(&attr, 0, sizeof(attr));
	attr.query.target_fd = (uint32_t)target;
	attr.query.attach_type = attach_type;
	attr.query.query_flags = flags;
	attr.query.prog_ids = (uint64_t)(uintptr_t)ids;
	attr.query.prog_cnt = POLICY_PROGS_MAX;
	ret = sys_bpf(BPF_PROG_QUERY, &attr, sizeof(attr.query));
	/* ENOENT: tcx with nothing attached. EINVAL, EOPNOTSUPP: no such attach point here. */
	if (ret == -ENOENT || ret == -EINVAL || ret == -EOPNOTSUPP || ret == -ENOSYS)
		return 0;
	if (ret < 0 && ret != -ENOSPC)
		return ret;
	for (uint32_t i = 0; i < FS_MIN(attr.query.prog_cnt, (uint32_t)POLICY_PROGS_MAX); i++) {
		if (!policy_is_own(query, ids[i]))
			return ids[i];
	}
	return 0;
}

/* --- xfrm --- */

struct xfrm_answer {
	struct xfrmu_spdinfo counts;
	struct xfrm_userpolicy_default fallback;
	bool counted;
	bool defaulted;
};

static int xfrm_message(const struct host_nl_msg *msg, void *arg)
{
	struct host_nl_attr table[XFRMA_SPD_MAX + 1];
	struct xfrm_answer *answer = arg;
	int ret;

	if (msg->type == XFRM_MSG_GETDEFAULT || msg->type == XFRM_MSG_SETDEFAULT) {
		if (msg->len < sizeof(answer->fallback))
			return -EBADMSG;
		memcpy(&answer->fallback, msg->data, sizeof(answer->fallback));
		answer->defaulted = true;
		return 0;
	}
	if (msg->type != XFRM_MSG_NEWSPDINFO)
		return 0;
	ret = host_nl_msg_attrs(msg, sizeof(uint32_t), table, XFRMA_SPD_MAX + 1);
	if (ret < 0)
		return ret;
	if (!table[XFRMA_SPD_INFO].data || table[XFRMA_SPD_INFO].len < sizeof(answer->counts))
		return -EBADMSG;
	memcpy(&answer->counts, table[XFRMA_SPD_INFO].data, sizeof(answer->counts));
	answer->counted = true;
	return 0;
}

static int xfrm_ask(struct host_nl *nl, uint16_t type, size_t header, struct xfrm_answer *answer)
{
	struct host_nl_req req;
	uint32_t zero = 0;

	host_nl_req_init(&req, type, 0, &zero, header);
	return host_nl_call(nl, &req, xfrm_message, answer);
}

static int look_xfrm(struct policy_scan *scan)
{
	struct host_nl *nl = &scan->policy->xfrm;
	struct xfrm_answer answer = { .counted = false };
	int ret;

	if (nl->fd < 0)
		return 0;
	ret = xfrm_ask(nl, XFRM_MSG_GETSPDINFO, sizeof(uint32_t), &answer);
	if (ret < 0)
		return ret;
	if (answer.counts.incnt || answer.counts.outcnt) {
		host_format(scan->result->what, sizeof(scan->result->what),
			    "%u inbound and %u outbound IPsec policies (xfrm)", answer.counts.incnt,
			    answer.counts.outcnt);
		return 1;
	}
	/* "Block what no policy allows", from 5.15 on; older kernels do not know the question. */
	ret = xfrm_ask(nl, XFRM_MSG_GETDEFAULT, sizeof(struct xfrm_userpolicy_default), &answer);
	if (ret == -EINVAL || ret == -EOPNOTSUPP)
		return 0;
	if (ret < 0)
		return ret;
	if (answer.fallback.in != XFRM_USERPOLICY_BLOCK &&
	    answer.fallback.out != XFRM_USERPOLICY_BLOCK)
		return 0;
	host_format(scan->result->what, sizeof(scan->result->what),
		    "the default IPsec policy (xfrm) blocks");
	return 1;
}

/* --- cgroup programs --- */

struct attach_point {
	uint32_t type;
	const char *name;
	uint8_t proto; /* 0 = any */
	bool v4;
	bool v6;
};

/*
 * Programs that see or change packets, and those that may rewrite the address a call names: the
 * shadow would then be bound or connected elsewhere than the stack believes.
 */
static const struct attach_point attach_points[] = {
	{ BPF_CGROUP_INET_INGRESS, "ingress", 0, true, true },
	{ BPF_CGROUP_INET_EGRESS, "egress", 0, true, true },
	{ BPF_CGROUP_INET4_BIND, "bind", 0, true, false },
	{ BPF_CGROUP_INET6_BIND, "bind", 0, false, true },
	{ BPF_CGROUP_INET4_POST_BIND, "post_bind", 0, true, false },
	{ BPF_CGROUP_INET6_POST_BIND, "post_bind", 0, false, true },
	{ BPF_CGROUP_INET4_CONNECT, "connect", 0, true, false },
	{ BPF_CGROUP_INET6_CONNECT, "connect", 0, false, true },
	{ BPF_CGROUP_UDP4_SENDMSG, "sendmsg", IPPROTO_UDP, true, false },
	{ BPF_CGROUP_UDP6_SENDMSG, "sendmsg", IPPROTO_UDP, false, true },
	{ BPF_CGROUP_UDP4_RECVMSG, "recvmsg", IPPROTO_UDP, true, false },
	{ BPF_CGROUP_UDP6_RECVMSG, "recvmsg", IPPROTO_UDP, false, true },
	{ BPF_CGROUP_SOCK_OPS, "sock_ops", IPPROTO_TCP, true, true },
};

static int look_cgroup(struct policy_scan *scan)
{
	const struct host_policy_query *query = scan->query;
	int cgroup = scan->policy->cgroup;

	if (cgroup < 0)
		return cgroup == -ENOENT ? 0 : cgroup;
	for (size_t i = 0; i < FS_ARRAY_SIZE(attach_points); i++) {
		const struct attach_point *point = &attach_points[i];
		int64_t prog;

		if ((point->proto && query->proto && point->proto != query->proto) ||
		    !((point->v4 && query->v4) || (point->v6 && query->v6)))
			continue;
		prog = policy_progs(query, cgroup, point->type, BPF_F_QUERY_EFFECTIVE);
		if (prog < 0)
			return (int)prog;
		if (prog > 0) {
			host_format(scan->result->what, sizeof(scan->result->what),
				    "cgroup program %u (%s)", (uint32_t)prog, point->name);
			return 1;
		}
	}
	return 0;
}

/* The path of this process in the version 2 hierarchy, from "0::/path\n"; its length, or -errno. */
static int cgroup_path(char *text, size_t size)
{
	char *line = text;
	ssize_t len;
	int fd = sys_openat(AT_FDCWD, "/proc/self/cgroup", O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return fd;
	len = sys_read(fd, text, size - 1);
	sys_close(fd);
	if (len < 0)
		return (int)len;
	text[len] = '\n';
	for (char *end = text + len; line < end;) {
		char *stop = line;

		while (*stop != '\n')
			stop++;
		if (stop - line > 3 && memcmp(line, "0::", 3) == 0) {
			len = stop - line - 3;
			memmove(text, line + 3, (size_t)len);
			text[len] = 0;
			return (int)len;
		}
		line = stop + 1;
	}
	return -ENOENT;
}

/* @path below the directory @root, if it lies in a version 2 hierarchy; or -errno. */
static int cgroup_below(int root, const char *path)
{
	struct statfs fs;
	int fd;

	while (*path == '/')
		path++;
	fd = sys_openat(root, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	if (sys_call2(__NR_fstatfs, fd, (long)&fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
		return fd;
	sys_close(fd);
	return -EACCES;
}

/*
 * A mount of the hierarchy that no mount table shows, gone with the last descriptor: `ip netns
 * exec` covers /sys, and the usual mount with it. Needs CAP_SYS_ADMIN.
 */
static int cgroup_mount(void)
{
	int fs = (int)sys_call2(__NR_fsopen, (long)"cgroup2", FSOPEN_CLOEXEC);
	int ret;

	if (fs < 0)
		return fs;
	ret = (int)sys_call5(__NR_fsconfig, fs, FSCONFIG_CMD_CREATE, 0, 0, 0);
	if (ret == 0)
		ret = (int)sys_call3(__NR_fsmount, fs, FSMOUNT_CLOEXEC, 0);
	sys_close(fs);
	return ret;
}

/*
 * The directory of this process's cgroup. -ENOENT = no version 2 hierarchy is in use, so that no
 * program can be attached; -EACCES = there is one, but not where this process can look at it.
 */
static int cgroup_open(int fd_floor)
{
	static const char *const mounts[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
	char path[1024] = "";
	int ret = cgroup_path(path, sizeof(path));
	int root;

	if (ret < 0)
		return ret == -ENOENT ? ret : -EACCES;
	/* Outside the root of our cgroup namespace: no mount of ours leads there. */
	if (memcmp(path, "/..", 3) == 0)
		return -EACCES;
	ret = -EACCES;
	for (size_t i = 0; i <= FS_ARRAY_SIZE(mounts) && ret < 0; i++) {
		root = i < FS_ARRAY_SIZE(mounts) ? sys_openat(AT_FDCWD, mounts[i],
							      O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
						 : cgroup_mount();
		if (root < 0)
			continue;
		ret = cgroup_below(root, path);
		sys_close(root);
	}
	return ret < 0 ? -EACCES : sys_fd_raise(ret, fd_floor);
}

/* --- XDP --- */

static int look_xdp(struct policy_scan *scan)
{
	for (size_t i = 0; i < FS_ARRAY_SIZE(scan->link.xdp_prog); i++) {
		uint32_t prog = scan->link.xdp_prog[i];

		if (!prog || policy_is_own(scan->query, prog))
			continue;
		host_format(scan->result->what, sizeof(scan->result->what), "XDP program %u on %s",
			    prog, scan->link.name);
		return 1;
	}
	return 0;
}

/* --- the whole --- */

static const struct {
	unsigned kind;
	int (*look)(struct policy_scan *scan);
	bool interface; /* needs one */
} looks[] = {
	{ HOST_POLICY_XDP, look_xdp, true },
	{ HOST_POLICY_QDISC, policy_look_qdisc, true },
	{ HOST_POLICY_TC, policy_look_tc, true },
	{ HOST_POLICY_NFTABLES, policy_look_nftables, false },
	{ HOST_POLICY_IPTABLES, policy_look_iptables, false },
	{ HOST_POLICY_XFRM, look_xfrm, false },
	{ HOST_POLICY_CGROUP, look_cgroup, false },
};

/* Open @nl joined to @group. A kernel without @protocol, or a refused group, is no error. */
static int open_listener(struct host_nl *nl, int protocol, unsigned group, int fd_floor, void *buf,
			 size_t size)
{
	int ret = host_nl_open(nl, protocol, fd_floor, buf, size);

	if (ret == -EPROTONOSUPPORT || ret == -EPERM || ret == -EACCES)
		return 0;
	if (ret == 0)
		host_nl_join(nl, group);
	return ret;
}

int host_policy_open(struct host_policy *policy, int fd_floor, void *buf, size_t size)
{
	static const char *const names[] = { "/proc/thread-self/net/ip_tables_names",
					     "/proc/thread-self/net/ip6_tables_names" };
	int ret;

	*policy = (struct host_policy){
		.netfilter.fd = -1, .xfrm.fd = -1, .cgroup = -ENOENT, .tables = { -ENOENT, -ENOENT }
	};
	ret = open_listener(&policy->netfilter, NETLINK_NETFILTER, NFNLGRP_NFTABLES, fd_floor, buf,
			    size);
	if (ret == 0)
		ret = open_listener(&policy->xfrm, NETLINK_XFRM, XFRMNLGRP_POLICY, fd_floor, buf,
				    size);
	if (ret < 0) {
		host_policy_close(policy);
		return ret;
	}
	policy->cgroup = cgroup_open(fd_floor);
	for (size_t i = 0; i < FS_ARRAY_SIZE(names); i++)
		policy->tables[i] = sys_fd_raise(
			sys_openat(AT_FDCWD, names[i], O_RDONLY | O_CLOEXEC, 0), fd_floor);
	return 0;
}

void host_policy_close(struct host_policy *policy)
{
	host_nl_close(&policy->netfilter);
	host_nl_close(&policy->xfrm);
	if (policy->cgroup >= 0)
		sys_close(policy->cgroup);
	policy->cgroup = -ENOENT;
	for (size_t i = 0; i < FS_ARRAY_SIZE(policy->tables); i++) {
		if (policy->tables[i] >= 0)
			sys_close(policy->tables[i]);
		policy->tables[i] = -ENOENT;
	}
}

static int look_again(struct policy_scan *scan, int (*look)(struct policy_scan *scan))
{
	int ret = -EAGAIN;

	for (int i = 0; i < ATTEMPTS && (ret == -EAGAIN || ret == -ENOBUFS); i++)
		ret = look(scan);
	return ret;
}

int host_policy_check(struct host_policy *policy, struct host_nl *nl,
		      const struct host_policy_query *query, struct host_policy_result *result)
{
	struct policy_scan scan = { .policy = policy, .nl = nl, .query = query, .result = result };
	int ret = 0;

	*result = (struct host_policy_result){ .found = 0 };
	if (query->ifindex) {
		ret = host_link_look(nl, query->ifindex, &scan.link);
		if (ret < 0)
			return ret;
	}
	for (size_t i = 0; i < FS_ARRAY_SIZE(looks); i++) {
		if ((query->ignore & looks[i].kind) || (looks[i].interface && !query->ifindex))
			continue;
		ret = look_again(&scan, looks[i].look);
		if (ret == -EPERM || ret == -EACCES) {
			result->unchecked |= looks[i].kind;
			continue;
		}
		if (ret > 0)
			result->found = looks[i].kind;
		if (ret != 0)
			return ret;
	}
	return 0;
}

/* Notifications waiting on @nl, and those that answers were picked out from. */
static bool listener_changed(struct host_nl *nl)
{
	bool changed = nl->strays != 0;

	nl->strays = 0;
	if (nl->fd < 0)
		return false;
	for (int i = 0; i < CHANGES_MAX; i++) {
		if (host_nl_receive(nl) == -EAGAIN)
			break;
		changed = true;
	}
	return changed;
}

bool host_policy_changed(struct host_policy *policy)
{
	bool netfilter = listener_changed(&policy->netfilter);

	return listener_changed(&policy->xfrm) || netfilter;
}
