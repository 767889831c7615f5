/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * policy_tc.c - traffic control on one interface: queueing disciplines, filters, tcx programs.
 *
 * Does not count the plain disciplines: they order and drop by load, and express nobody's will.
 * What an AF_XDP frame bypasses on the way out is the whole of this; on the way in, XDP runs before
 * it.
 */
#include <errno.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "base/err.h"
#include "host/log.h"
#include "host/policy_internal.h"

enum {
	TCX_INGRESS = 46, /* BPF_TCX_INGRESS of linux/bpf.h, Linux 6.6 */
	TCX_EGRESS = 47,
};

static bool qdisc_is_plain(const char *kind)
{
	static const char *const plain[] = { "noqueue", "noop", "pfifo_fast", "pfifo",	"bfifo",
					     "mq",	"fq",	"fq_codel",   "clsact", "ingress" };

	for (size_t i = 0; i < FS_ARRAY_SIZE(plain); i++) {
		if (policy_same(kind, plain[i]))
			return true;
	}
	return false;
}

/* A kind is a terminated string; "?" else. */
static const char *kind_of(const struct host_nl_attr *attr)
{
	if (!attr->data || !attr->len || attr->data[attr->len - 1] != 0)
		return "?";
	return (const char *)attr->data;
}

int host_policy_parse_qdisc(const struct host_nl_msg *msg, int ifindex, char *what, size_t size)
{
	struct host_nl_attr table[TCA_MAX + 1];
	struct tcmsg head;
	int ret = host_nl_msg_attrs(msg, sizeof(head), table, TCA_MAX + 1);

	if (ret < 0)
		return ret;
	memcpy(&head, msg->data, sizeof(head));
	if (head.tcm_ifindex != ifindex || qdisc_is_plain(kind_of(&table[TCA_KIND])))
		return 0;
	host_format(what, size, "queueing discipline %s", kind_of(&table[TCA_KIND]));
	return 1;
}

static int qdisc_answer(const struct host_nl_msg *msg, void *arg)
{
	struct policy_scan *scan = arg;
	int ret;

	if (msg->type != RTM_NEWQDISC)
		return 0;
	ret = host_policy_parse_qdisc(msg, scan->query->ifindex, scan->result->what,
				      sizeof(scan->result->what));
	return ret > 0 ? HOST_NL_STOP : ret;
}

/* The disciplines below a multi-queue one. The kernel has no way to ask for one interface's. */
static int look_below(struct policy_scan *scan)
{
	struct tcmsg head = { .tcm_family = AF_UNSPEC, .tcm_ifindex = scan->query->ifindex };
	struct host_nl_req req;
	int ret;

	host_nl_req_init(&req, RTM_GETQDISC, NLM_F_DUMP, &head, sizeof(head));
	ret = host_nl_call(scan->nl, &req, qdisc_answer, scan);
	return scan->result->what[0] ? 1 : ret;
}

int policy_look_qdisc(struct policy_scan *scan)
{
	const char *root = scan->link.qdisc;
	struct host_policy_result *result = scan->result;
	size_t len;
	int ret = 0;

	if (policy_same(root, "mq"))
		ret = look_below(scan);
	else if (root[0] && !qdisc_is_plain(root))
		ret = (int)host_format(result->what, sizeof(result->what), "queueing discipline %s",
				       root);
	if (ret <= 0)
		return ret;
	len = strnlen(result->what, sizeof(result->what));
	host_format(result->what + len, sizeof(result->what) - len, " on %s", scan->link.name);
	return 1;
}

int host_policy_parse_filter(const struct host_nl_msg *msg, const struct host_policy_query *query,
			     char *what, size_t size)
{
	struct host_nl_attr table[TCA_MAX + 1];
	struct host_nl_attr options[TCA_BPF_MAX + 1];
	const char *kind;
	uint32_t prog;
	int ret = host_nl_msg_attrs(msg, sizeof(struct tcmsg), table, TCA_MAX + 1);

	if (ret < 0)
		return ret;
	kind = kind_of(&table[TCA_KIND]);
	if (!policy_same(kind, "bpf")) {
		host_format(what, size, "tc filter of kind %s", kind);
		return 1;
	}
	/* The first message of each classifier describes the classifier, without a program. */
	if (!table[TCA_OPTIONS].data)
		return 0;
	ret = host_nl_attrs(table[TCA_OPTIONS].data, table[TCA_OPTIONS].len, options,
			    TCA_BPF_MAX + 1);
	if (ret < 0)
		return ret;
	prog = host_nl_u32(&options[TCA_BPF_ID], 0);
	/* Classic BPF has no id, and is never ours. */
	if (prog && policy_is_own(query, prog))
		return 0;
	host_format(what, size, "tc filter with BPF program %u", prog);
	return 1;
}

static int filter_answer(const struct host_nl_msg *msg, void *arg)
{
	struct policy_scan *scan = arg;
	int ret;

	if (msg->type != RTM_NEWTFILTER)
		return 0;
	ret = host_policy_parse_filter(msg, scan->query, scan->result->what,
				       sizeof(scan->result->what));
	return ret > 0 ? HOST_NL_STOP : ret;
}

/* Filters at @parent of the interface; nothing there is an empty dump or EINVAL. */
static int look_filters(struct policy_scan *scan, uint32_t parent)
{
	struct tcmsg head = {
		.tcm_family = AF_UNSPEC,
		.tcm_ifindex = scan->query->ifindex,
		.tcm_parent = parent,
	};
	struct host_nl_req req;
	int ret;

	host_nl_req_init(&req, RTM_GETTFILTER, NLM_F_DUMP, &head, sizeof(head));
	ret = host_nl_call(scan->nl, &req, filter_answer, scan);
	if (scan->result->what[0])
		return 1;
	return ret == -EINVAL || ret == -EOPNOTSUPP ? 0 : ret;
}

static int look_tcx(struct policy_scan *scan, uint32_t attach_type)
{
	int64_t prog = policy_progs(scan->query, scan->query->ifindex, attach_type, 0);

	if (prog <= 0)
		return (int)prog;
	return (int)host_format(scan->result->what, sizeof(scan->result->what), "tcx program %u",
				(uint32_t)prog);
}

int policy_look_tc(struct policy_scan *scan)
{
	static const uint32_t parents[] = {
		TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS), /* the old ingress discipline too */
		TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS),
		0, /* the root discipline itself */
	};
	struct host_policy_result *result = scan->result;
	size_t len;
	int ret = 0;

	/* The program queries come last: without privilege they fail, the filter dumps do not. */
	for (size_t i = 0; i < FS_ARRAY_SIZE(parents) && ret == 0; i++)
		ret = look_filters(scan, parents[i]);
	if (ret == 0)
		ret = look_tcx(scan, TCX_INGRESS);
	if (ret == 0)
		ret = look_tcx(scan, TCX_EGRESS);
	if (ret <= 0)
		return ret;
	len = strnlen(result->what, sizeof(result->what));
	host_format(result->what + len, sizeof(result->what) - len, " on %s", scan->link.name);
	return 1;
}
