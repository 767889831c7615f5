/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netlink.c - small rtnetlink requests, each with a socket of its own.
 *
 * A program on clsact is recognised by its name, which says whether its owner made the qdisc too: that
 * must survive the owner, or nobody would ever remove the qdisc after a kill.
 * Does not: handle several answers in one datagram beyond what these requests bring.
 */
#include "steer/netlink.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <string.h>

#include "base/err.h"
#include "sys/sys.h"

enum {
	PRIORITY = 0x0f50, /* unlikely to be anybody's; lower runs earlier */
	HANDLE = 1,
	ANSWER_BYTES = 16384, /* one RTM_NEWLINK with all its attributes */
	ACK_BYTES = 256,      /* an acknowledgement, which quotes the request, as far as it is looked at */
};

struct hook {
	uint32_t minor;	      /* of clsact's handle */
	uint32_t name_len;    /* bytes of the first name, its NUL included */
	const char *name;
	const char *name_made; /* its owner made the qdisc */
};

static const struct hook hooks[] = {
	[STEER_HOOK_GUARD] = { TC_H_MIN_EGRESS, sizeof("fsock_guard"), "fsock_guard", "fsock_guard+q" },
	[STEER_HOOK_TAP] = { TC_H_MIN_INGRESS, sizeof("fsock_tap"), "fsock_tap", "fsock_tap+q" },
};

enum { MADE_LEN = sizeof("+q") - 1 }; /* by so much the second name is longer */

struct request {
	struct nlmsghdr head;
	union {
		struct ifinfomsg link;
		struct tcmsg tc;
	};
	char attrs[128];
};

/* Append an attribute. The requests of this file fit by construction. */
static struct rtattr *attr_put(struct request *req, unsigned short type, const void *data, size_t len)
{
	struct rtattr *attr = (struct rtattr *)(void *)((char *)req + NLMSG_ALIGN(req->head.nlmsg_len));

	attr->rta_type = type;
	attr->rta_len = (unsigned short)RTA_LENGTH(len);
	if (len)
		memcpy(RTA_DATA(attr), data, len);
	req->head.nlmsg_len = NLMSG_ALIGN(req->head.nlmsg_len) + RTA_ALIGN(attr->rta_len);
	fs_assert(req->head.nlmsg_len <= sizeof(*req));
	return attr;
}

static void attr_nest_end(struct request *req, struct rtattr *nest)
{
	nest->rta_len = (unsigned short)((char *)req + req->head.nlmsg_len - (char *)nest);
}

/* Attribute of @type in a run of attributes, NULL = absent. */
static const struct rtattr *attr_find(const void *attrs, size_t len, unsigned short type)
{
	const struct rtattr *attr = attrs;
	size_t step;

	while (len >= sizeof(*attr) && attr->rta_len >= sizeof(*attr) && attr->rta_len <= len) {
		if ((attr->rta_type & NLA_TYPE_MASK) == type)
			return attr;
		step = RTA_ALIGN(attr->rta_len);
		if (step >= len)
			break;
		len -= step;
		attr = (const void *)((const char *)attr + step);
	}
	return NULL;
}

/*
 * Send @req and receive the first answer into @answer. Returns bytes of an answer that is no
 * acknowledgement, 0 for a positive one (or the end of an empty dump), -errno for a negative one.
 */
static int talk(struct request *req, void *answer, size_t len)
{
	static const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	const struct nlmsghdr *head = answer;
	const struct nlmsgerr *error = NLMSG_DATA(head);
	ssize_t got;
	int fd;

	fd = sys_socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0)
		return fd;
	got = sys_sendto(fd, req, req->head.nlmsg_len, 0, &kernel, sizeof(kernel));
	while (got >= 0) {
		got = sys_recvfrom(fd, answer, len, 0, NULL, NULL);
		if (got != -EINTR)
			break;
		got = 0;
	}
	sys_close(fd);
	if (got < 0)
		return (int)got;
	if (!NLMSG_OK(head, (size_t)got))
		return -EPROTO;
	if (head->nlmsg_type == NLMSG_DONE)
		return 0;
	if (head->nlmsg_type == NLMSG_ERROR)
		return head->nlmsg_len >= NLMSG_LENGTH(sizeof(*error)) ? error->error : -EPROTO;
	return (int)head->nlmsg_len;
}

/* The same for a request whose answer is an acknowledgement. */
static int ask(struct request *req)
{
	char answer[ACK_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));

	return talk(req, answer, sizeof(answer));
}

/* Room for any other answer: mapped, since a thread of the program asks, whose stack may be as small. NULL = none. */
static char *answer_map(void)
{
	void *p = sys_mmap(NULL, ANSWER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return sys_is_err(p) ? NULL : p;
}

static void answer_unmap(char *answer)
{
	sys_munmap(answer, ANSWER_BYTES);
}

/* The program that a link's attributes name; 0 = none. */
static uint32_t xdp_id(const char *attrs, size_t len)
{
	static const unsigned short ids[] = { IFLA_XDP_PROG_ID, IFLA_XDP_DRV_PROG_ID,
					      IFLA_XDP_SKB_PROG_ID, IFLA_XDP_HW_PROG_ID };
	const struct rtattr *xdp = attr_find(attrs, len, IFLA_XDP), *id;
	uint32_t found = 0;

	for (unsigned i = 0; xdp && i < FS_ARRAY_SIZE(ids) && found == 0; i++) {
		id = attr_find(RTA_DATA(xdp), RTA_PAYLOAD(xdp), ids[i]);
		if (id && RTA_PAYLOAD(id) >= sizeof(found))
			memcpy(&found, RTA_DATA(id), sizeof(found));
	}
	return found;
}

int steer_netlink_xdp(uint32_t ifindex, uint32_t *prog_id)
{
	struct request req = { .head = { .nlmsg_len = NLMSG_LENGTH(sizeof(req.link)),
					 .nlmsg_type = RTM_GETLINK,
					 .nlmsg_flags = NLM_F_REQUEST },
			       .link = { .ifi_index = (int)ifindex } };
	const size_t skip = NLMSG_LENGTH(sizeof(req.link));
	char *answer = answer_map();
	int len;

	*prog_id = 0;
	if (!answer)
		return -ENOMEM;
	len = talk(&req, answer, ANSWER_BYTES);
	if (len >= 0 && (size_t)len < skip)
		len = -EPROTO;
	if (len >= 0)
		*prog_id = xdp_id(answer + skip, (size_t)len - skip);
	answer_unmap(answer);
	return len < 0 ? len : 0;
}

static struct request tc_request(uint32_t ifindex, uint16_t type, uint16_t flags)
{
	struct request req = { .head = { .nlmsg_len = NLMSG_LENGTH(sizeof(req.tc)),
					 .nlmsg_type = type,
					 .nlmsg_flags = NLM_F_REQUEST | flags },
			       .tc = { .tcm_family = AF_UNSPEC, .tcm_ifindex = (int)ifindex } };

	return req;
}

/* A request about the filter of a hook. */
static struct request filter_request(uint32_t ifindex, enum steer_hook hook, uint16_t type,
				     uint16_t flags)
{
	struct request req = tc_request(ifindex, type, flags);

	req.tc.tcm_parent = TC_H_MAKE(TC_H_CLSACT, hooks[hook].minor);
	req.tc.tcm_handle = HANDLE;
	req.tc.tcm_info = TC_H_MAKE(PRIORITY << 16, __builtin_bswap16(ETH_P_ALL));
	attr_put(&req, TCA_KIND, "bpf", sizeof("bpf"));
	return req;
}

/* Is the qdisc there? Makes it otherwise. 0 = was there, 1 = made, -errno. */
static int qdisc_make(uint32_t ifindex)
{
	struct request req = tc_request(ifindex, RTM_NEWQDISC, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
	int ret;

	req.tc.tcm_parent = TC_H_CLSACT;
	req.tc.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
	attr_put(&req, TCA_KIND, "clsact", sizeof("clsact"));
	ret = ask(&req);
	if (ret == -EEXIST)
		return 0;
	return ret < 0 ? ret : 1;
}

/* Any filter at this hook (TC_H_MIN_INGRESS or _EGRESS)? 1, 0 or -errno. */
static int has_filters(uint32_t ifindex, uint32_t hook)
{
	struct request req = tc_request(ifindex, RTM_GETTFILTER, NLM_F_DUMP);
	char *answer = answer_map();
	int ret;

	if (!answer)
		return -ENOMEM;
	req.tc.tcm_parent = TC_H_MAKE(TC_H_CLSACT, hook);
	ret = talk(&req, answer, ANSWER_BYTES);
	answer_unmap(answer);
	return ret > 0 ? 1 : ret;
}

/* Remove the qdisc unless somebody else's filters hang on it. */
static int qdisc_remove(uint32_t ifindex)
{
	struct request req = tc_request(ifindex, RTM_DELQDISC, NLM_F_ACK);

	if (has_filters(ifindex, TC_H_MIN_INGRESS) != 0 || has_filters(ifindex, TC_H_MIN_EGRESS) != 0)
		return 0;
	req.tc.tcm_parent = TC_H_CLSACT;
	req.tc.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
	return ask(&req);
}

static bool is_name(const struct rtattr *attr, const char *name, size_t len)
{
	return attr && RTA_PAYLOAD(attr) == len && memcmp(RTA_DATA(attr), name, len) == 0;
}

/* Whose filter do these attributes describe? As filter_find(). */
static int filter_owner(const char *attrs, size_t len, enum steer_hook hook, uint32_t *prog_id)
{
	const struct rtattr *options = attr_find(attrs, len, TCA_OPTIONS), *name, *id;

	if (!options)
		return -EEXIST;
	name = attr_find(RTA_DATA(options), RTA_PAYLOAD(options), TCA_BPF_NAME);
	id = attr_find(RTA_DATA(options), RTA_PAYLOAD(options), TCA_BPF_ID);
	if (id && RTA_PAYLOAD(id) >= sizeof(*prog_id))
		memcpy(prog_id, RTA_DATA(id), sizeof(*prog_id));
	if (is_name(name, hooks[hook].name_made, hooks[hook].name_len + MADE_LEN))
		return 2;
	return is_name(name, hooks[hook].name, hooks[hook].name_len) ? 1 : -EEXIST;
}

/* What sits at the hook's place: 0 nothing, 1 ours, 2 ours with its qdisc, -EEXIST foreign, -errno.
 * Its program's id goes to @prog_id. */
static int filter_find(uint32_t ifindex, enum steer_hook hook, uint32_t *prog_id)
{
	struct request req = filter_request(ifindex, hook, RTM_GETTFILTER, 0);
	const size_t skip = NLMSG_LENGTH(sizeof(req.tc));
	char *answer = answer_map();
	int ret;

	*prog_id = 0;
	if (!answer)
		return -ENOMEM;
	ret = talk(&req, answer, ANSWER_BYTES);
	if (ret == -ENOENT || ret == -EINVAL) /* no such filter; no clsact at all */
		ret = 0;
	else if (ret >= 0)
		ret = (size_t)ret < skip ? -EPROTO : filter_owner(answer + skip, (size_t)ret - skip, hook, prog_id);
	answer_unmap(answer);
	return ret;
}

int steer_netlink_id(uint32_t ifindex, enum steer_hook hook, uint32_t *prog_id)
{
	int found = filter_find(ifindex, hook, prog_id);

	return found > 0 && *prog_id ? 0 : -ENOENT;
}

int steer_netlink_detach(uint32_t ifindex, enum steer_hook hook)
{
	struct request req = filter_request(ifindex, hook, RTM_DELTFILTER, NLM_F_ACK);
	uint32_t prog_id;
	int found = filter_find(ifindex, hook, &prog_id);
	int ret;

	if (found <= 0)
		return found == -EEXIST ? 0 : found;
	ret = ask(&req);
	if (ret < 0 || found == 1)
		return ret;
	return qdisc_remove(ifindex);
}

int steer_netlink_attach(uint32_t ifindex, enum steer_hook hook, int prog_fd)
{
	struct request req = filter_request(ifindex, hook, RTM_NEWTFILTER,
					    NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
	const uint32_t flags = TCA_BPF_FLAG_ACT_DIRECT;
	struct rtattr *options;
	int made, ret;

	ret = steer_netlink_detach(ifindex, hook);
	if (ret < 0)
		return ret;
	made = qdisc_make(ifindex);
	if (made < 0)
		return made;
	options = attr_put(&req, TCA_OPTIONS, NULL, 0);
	attr_put(&req, TCA_BPF_FD, &prog_fd, sizeof(prog_fd));
	if (made)
		attr_put(&req, TCA_BPF_NAME, hooks[hook].name_made, hooks[hook].name_len + MADE_LEN);
	else
		attr_put(&req, TCA_BPF_NAME, hooks[hook].name, hooks[hook].name_len);
	attr_put(&req, TCA_BPF_FLAGS, &flags, sizeof(flags));
	attr_nest_end(&req, options);
	ret = ask(&req);
	if (ret < 0 && made)
		qdisc_remove(ifindex);
	return ret;
}
