/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netlink.c - requests, answers and attributes of netlink sockets (linux/netlink.h, RFC 3549).
 *
 * Does not use libmnl: what the preloaded library brings into a program is libc alone (DESIGN D6).
 *
 * The kernel handles a request within the send: the answer, or the first part of a dump, is queued
 * when the send returns, and reading one part fills the next. So every read is MSG_DONTWAIT;
 * "nothing there" means a lost answer and never a wait.
 */
#include "host/netlink.h"

#include <errno.h>
#include <linux/netlink.h>

#include "base/err.h"
#include "sys/sys.h"

enum {
	ALIGN = 4,	  /* NLMSG_ALIGNTO and NLA_ALIGNTO */
	ATTR_HEAD = 4,	  /* struct nlattr */
	STRAYS_MAX = 64,  /* messages of others passed over before an answer is given up */
	FLUSH_MAX = 4096, /* parts of an unwanted answer read to its end */
};

static size_t aligned(size_t n)
{
	return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

int host_nl_open(struct host_nl *nl, int protocol, int fd_floor, void *buf, size_t size)
{
	struct sockaddr_nl any = { .nl_family = AF_NETLINK };
	socklen_t len = sizeof(any);
	int one = 1;
	int ret;

	*nl = (struct host_nl){ .fd = -1 };
	if (size < HOST_NL_BUF_MIN || ((uintptr_t)buf & (ALIGN - 1)))
		return -EINVAL;
	ret = sys_fd_raise(
		sys_socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol),
		fd_floor);
	if (ret < 0)
		return ret;
	*nl = (struct host_nl){ .fd = ret, .buf = buf, .size = size };
	ret = sys_bind(nl->fd, &any, sizeof(any));
	if (ret == 0)
		ret = sys_getsockname(nl->fd, &any, &len);
	if (ret < 0) {
		host_nl_close(nl);
		return ret;
	}
	nl->port = any.nl_pid;
	/* Before 4.20 unknown: dumps are then unfiltered, and every callback filters itself. */
	sys_setsockopt(nl->fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
	/* An error answer then does not repeat the request. */
	sys_setsockopt(nl->fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	return 0;
}

void host_nl_close(struct host_nl *nl)
{
	if (nl->fd >= 0)
		sys_close(nl->fd);
	*nl = (struct host_nl){ .fd = -1 };
}

int host_nl_join(struct host_nl *nl, unsigned group)
{
	return sys_setsockopt(nl->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group));
}

/* --- building --- */

/* Room for @len bytes plus padding at the end of @req, zeroed; NULL = full. */
static uint8_t *req_extend(struct host_nl_req *req, size_t len)
{
	size_t need = aligned(len);
	uint8_t *at = req->buf + req->len;

	if (need > sizeof(req->buf) - req->len) {
		req->overflow = true;
		return NULL;
	}
	memset(at, 0, need);
	req->len += (uint32_t)need;
	return at;
}

void host_nl_req_init(struct host_nl_req *req, uint16_t type, uint16_t flags, const void *header,
		      size_t len)
{
	struct nlmsghdr head = { .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags };
	uint8_t *at;

	req->len = 0;
	req->overflow = false;
	at = req_extend(req, sizeof(head));
	memcpy(at, &head, sizeof(head));
	at = req_extend(req, len);
	if (at && len)
		memcpy(at, header, len);
}

void host_nl_req_put(struct host_nl_req *req, uint16_t type, const void *value, size_t len)
{
	struct nlattr head = { .nla_type = type, .nla_len = (uint16_t)(ATTR_HEAD + len) };
	uint8_t *at = req_extend(req, ATTR_HEAD + len);

	if (!at)
		return;
	memcpy(at, &head, ATTR_HEAD);
	if (len)
		memcpy(at + ATTR_HEAD, value, len);
}

void host_nl_req_put_u32(struct host_nl_req *req, uint16_t type, uint32_t value)
{
	host_nl_req_put(req, type, &value, sizeof(value));
}

void host_nl_req_put_ip(struct host_nl_req *req, uint16_t type, const struct ip_addr *addr)
{
	if (ip_addr_is_v4(addr))
		host_nl_req_put(req, type, addr->b + 12, 4);
	else
		host_nl_req_put(req, type, addr->b, 16);
}

/* --- parsing --- */

int host_nl_next_msg(struct host_nl_walk *walk, struct host_nl_msg *msg)
{
	struct nlmsghdr head;
	size_t step;

	if (walk->left < sizeof(head))
		return walk->left ? -EBADMSG : 0;
	memcpy(&head, walk->at, sizeof(head));
	if (head.nlmsg_len < sizeof(head) || head.nlmsg_len > walk->left)
		return -EBADMSG;
	*msg = (struct host_nl_msg){
		.type = head.nlmsg_type,
		.flags = head.nlmsg_flags,
		.seq = head.nlmsg_seq,
		.port = head.nlmsg_pid,
		.len = head.nlmsg_len - (uint32_t)sizeof(head),
		.data = walk->at + sizeof(head),
	};
	step = FS_MIN(aligned(head.nlmsg_len), walk->left);
	walk->at += step;
	walk->left -= step;
	return 1;
}

int host_nl_next_attr(struct host_nl_walk *walk, struct host_nl_attr *attr)
{
	struct nlattr head;
	size_t step;

	if (walk->left < ATTR_HEAD)
		return walk->left ? -EBADMSG : 0;
	memcpy(&head, walk->at, ATTR_HEAD);
	if (head.nla_len < ATTR_HEAD || head.nla_len > walk->left)
		return -EBADMSG;
	*attr = (struct host_nl_attr){
		.type = head.nla_type & NLA_TYPE_MASK,
		.len = (uint16_t)(head.nla_len - ATTR_HEAD),
		.data = walk->at + ATTR_HEAD,
	};
	step = FS_MIN(aligned(head.nla_len), walk->left);
	walk->at += step;
	walk->left -= step;
	return 1;
}

int host_nl_attrs(const uint8_t *data, size_t len, struct host_nl_attr *table, size_t n)
{
	struct host_nl_walk walk = { .at = data, .left = len };
	struct host_nl_attr attr;
	int ret;

	memset(table, 0, n * sizeof(*table));
	while ((ret = host_nl_next_attr(&walk, &attr)) > 0) {
		if (attr.type < n)
			table[attr.type] = attr;
	}
	return ret;
}

int host_nl_msg_attrs(const struct host_nl_msg *msg, size_t header, struct host_nl_attr *table,
		      size_t n)
{
	size_t skip = aligned(header);

	if (msg->len < header)
		return -EBADMSG;
	if (skip > msg->len)
		skip = msg->len;
	return host_nl_attrs(msg->data + skip, msg->len - skip, table, n);
}

bool host_nl_ip(const struct host_nl_attr *attr, struct ip_addr *addr)
{
	if (!attr->data || (attr->len != 4 && attr->len != 16))
		return false;
	*addr = attr->len == 4 ? ip_addr_v4(attr->data) : ip_addr_v6(attr->data);
	return true;
}

/* --- talking --- */

long host_nl_receive(struct host_nl *nl)
{
	struct sockaddr_nl from;
	socklen_t from_len;
	long len;

	do {
		from = (struct sockaddr_nl){ .nl_pid = 0 };
		from_len = sizeof(from);
		len = sys_recvfrom(nl->fd, nl->buf, nl->size, MSG_DONTWAIT | MSG_TRUNC, &from,
				   &from_len);
		if (len == -EINTR)
			continue;
		if (len < 0)
			return len;
		/* Any process may send to a netlink port; only the kernel has port 0. */
	} while (len == -EINTR || from.nl_pid != 0);
	return (size_t)len > nl->size ? -EMSGSIZE : len;
}

struct call {
	struct host_nl *nl;
	host_nl_fn *fn; /* NULL = the rest is not wanted */
	void *arg;
	int result;  /* what the call returns */
	bool one;    /* one message is the whole answer */
	bool done;   /* the answer is complete */
	bool broken; /* a dump said it is inconsistent */
};

/* The errno word of NLMSG_ERROR and NLMSG_DONE; a missing one of NLMSG_DONE is 0. */
static int message_errno(const struct host_nl_msg *msg)
{
	int error;

	if (msg->len < sizeof(error))
		return msg->type == NLMSG_ERROR ? -EBADMSG : 0;
	memcpy(&error, msg->data, sizeof(error));
	return error > 0 ? -EBADMSG : error;
}

static void call_message(struct call *call, const struct host_nl_msg *msg)
{
	int ret;

	if (msg->flags & NLM_F_DUMP_INTR)
		call->broken = true;
	if (msg->type == NLMSG_ERROR || msg->type == NLMSG_DONE) {
		ret = message_errno(msg);
		if (ret < 0 && call->result >= 0)
			call->result = ret;
		call->done = true;
		return;
	}
	if (msg->type == NLMSG_OVERRUN && call->result >= 0)
		call->result = -ENOBUFS;
	if (msg->type < NLMSG_MIN_TYPE)
		return;
	if (call->fn) {
		ret = call->fn(msg, call->arg);
		if (ret < 0)
			call->result = ret;
		if (ret != 0)
			call->fn = NULL;
	}
	if (call->one && !(msg->flags & NLM_F_MULTI))
		call->done = true;
}

/* One datagram of the answer. Return: 0 or -EBADMSG. */
static int call_datagram(struct call *call, const uint8_t *data, size_t len)
{
	struct host_nl_walk walk = { .at = data, .left = len };
	struct host_nl_msg msg;
	int ret;

	while (!call->done && (ret = host_nl_next_msg(&walk, &msg)) != 0) {
		if (ret < 0)
			return ret;
		/*
		 * Of a request given up earlier, or a notification: those carry the sequence number
		 * of somebody else's request, which may equal ours, and his port.
		 */
		if (msg.seq != call->nl->seq || msg.port != call->nl->port)
			call->nl->strays++;
		else
			call_message(call, &msg);
	}
	return 0;
}

static int call_answer(struct call *call)
{
	uint32_t strays = call->nl->strays;

	while (!call->done) {
		long len = host_nl_receive(call->nl);
		int ret;

		if (len < 0)
			return len == -EAGAIN ? -ENOBUFS : (int)len;
		ret = call_datagram(call, call->nl->buf, (size_t)len);
		if (ret < 0)
			return ret;
		if (call->nl->strays - strays > STRAYS_MAX)
			return -ENOBUFS;
	}
	if (call->broken && call->result >= 0)
		return -EAGAIN;
	return call->result;
}

/* Read an abandoned answer to its end: a dump left standing makes the next one fail (EBUSY). */
static void flush(struct host_nl *nl)
{
	for (int i = 0; i < FLUSH_MAX; i++) {
		long len = host_nl_receive(nl);

		if (len < 0 && len != -ENOBUFS && len != -EMSGSIZE)
			return;
		nl->strays++;
	}
}

int host_nl_call(struct host_nl *nl, struct host_nl_req *req, host_nl_fn *fn, void *arg)
{
	struct call call = { .nl = nl, .fn = fn, .arg = arg };
	struct nlmsghdr head;
	long len;
	int ret;

	if (nl->fd < 0)
		return -EBADF;
	if (req->overflow)
		return -EMSGSIZE;
	memcpy(&head, req->buf, sizeof(head));
	head.nlmsg_len = req->len;
	head.nlmsg_seq = ++nl->seq;
	memcpy(req->buf, &head, sizeof(head));
	call.one = !(head.nlmsg_flags & NLM_F_ACK) && (head.nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP;
	do {
		len = sys_sendto(nl->fd, req->buf, req->len, 0, NULL, 0);
	} while (len == -EINTR);
	if (len < 0)
		return (int)len;
	ret = call_answer(&call);
	if (!call.done)
		flush(nl);
	return ret;
}
