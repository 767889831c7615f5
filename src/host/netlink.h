/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netlink.h - a small netlink client: requests with answers, dumps, notifications, attributes.
 *
 * Does:     build requests in caller's memory; match answers by sequence number; walk multi-part
 *           dumps; check every length before it is used.
 * Does not: allocate, wait (the kernel answers within the send; nothing here can hang), retry.
 * Threads:  one caller at a time per struct host_nl; the parsers are pure.
 * Errors:   0 or -errno. -EBADMSG: a length inside the answer lies. -ENOBUFS: the answer was
 *           dropped. -EAGAIN: the kernel's table changed under a dump; what was delivered may be
 *           inconsistent.
 */
#ifndef FSOCK_HOST_NETLINK_H
#define FSOCK_HOST_NETLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/addr.h"

enum {
	HOST_NL_BUF_MIN = 8192,	  /* smallest receive buffer host_nl_open() takes */
	HOST_NL_BUF_GOOD = 32768, /* no dump part of the kernel is larger */
	HOST_NL_REQ_MAX = 384,	  /* longest request, headers included */
	HOST_NL_STOP = 1,	  /* what a callback returns to see no more of a dump */
};

/* One netlink socket of this process, in the network namespace the opening thread was in. */
struct host_nl {
	int fd;		 /* owned; -1 = closed. Close-on-exec, at or above the floor given */
	uint32_t port;	 /* our address: answers carry it, notifications carry their cause's */
	uint32_t seq;	 /* of the last request */
	uint32_t strays; /* messages host_nl_call() passed over: notifications of joined groups */
	uint8_t *buf;	 /* borrowed until host_nl_close(); 4-byte aligned */
	size_t size;	 /* bytes at @buf */
};

/* One message of an answer. Pointers reach into the receive buffer: valid inside the callback. */
struct host_nl_msg {
	uint16_t type;
	uint16_t flags;
	uint32_t seq;	     /* of that request */
	uint32_t port;	     /* whose request caused it */
	uint32_t len;	     /* bytes at @data, the netlink header left out */
	const uint8_t *data; /* borrowed, 4-byte aligned */
};

/* One attribute. @data NULL = not present. Copy values out: only 4-byte alignment is certain. */
struct host_nl_attr {
	uint16_t type; /* nested and byte order flags removed */
	uint16_t len;  /* bytes at @data */
	const uint8_t *data;
};

/* A walk over messages or attributes. */
struct host_nl_walk {
	const uint8_t *at;
	size_t left;
};

/* A request under construction. */
struct host_nl_req {
	_Alignas(8) uint8_t buf[HOST_NL_REQ_MAX];
	uint32_t len;
	bool overflow; /* something did not fit: host_nl_call() refuses with -EMSGSIZE */
};

/* 0 = go on, HOST_NL_STOP = enough, -errno = enough and that is the result. */
typedef int host_nl_fn(const struct host_nl_msg *msg, void *arg);

/*
 * host_nl_open() - a socket of @protocol (NETLINK_ROUTE, ...), non-blocking, close-on-exec, at or
 * above @fd_floor. @buf is lent until host_nl_close(), at least HOST_NL_BUF_MIN bytes, 4-byte
 * aligned.
 * Return: 0, or -errno with @nl closed.
 */
int host_nl_open(struct host_nl *nl, int protocol, int fd_floor, void *buf, size_t size);
void host_nl_close(struct host_nl *nl);

/* Join multicast @group (a number, not a mask). 0 or -errno: unknown group, -EPERM. */
int host_nl_join(struct host_nl *nl, unsigned group);

/* Start a request of @type with NLM_F_* @flags and the family's fixed header. */
void host_nl_req_init(struct host_nl_req *req, uint16_t type, uint16_t flags, const void *header,
		      size_t len);
void host_nl_req_put(struct host_nl_req *req, uint16_t type, const void *value, size_t len);
void host_nl_req_put_u32(struct host_nl_req *req, uint16_t type, uint32_t value);
/* The address in the form of its family: 4 bytes for IPv4, 16 for IPv6. */
void host_nl_req_put_ip(struct host_nl_req *req, uint16_t type, const struct ip_addr *addr);

/*
 * host_nl_call() - send @req, deliver each message of the answer to @fn (NULL = ignore them).
 * A request needs NLM_F_ACK or NLM_F_DUMP, or exactly one message is expected.
 * Return: 0; the kernel's -errno; the first negative value of @fn; or an error of the head comment.
 */
int host_nl_call(struct host_nl *nl, struct host_nl_req *req, host_nl_fn *fn, void *arg);

/*
 * host_nl_receive() - one datagram into nl->buf, only from the kernel, without waiting.
 * Return: its length; -EAGAIN = none; -ENOBUFS = notifications were lost; -EMSGSIZE = it did not
 * fit.
 */
long host_nl_receive(struct host_nl *nl);

/* Next message of @walk. 1 and @msg; 0 at the end; -EBADMSG. */
int host_nl_next_msg(struct host_nl_walk *walk, struct host_nl_msg *msg);
/* Next attribute of @walk. 1 and @attr; 0 at the end; -EBADMSG. */
int host_nl_next_attr(struct host_nl_walk *walk, struct host_nl_attr *attr);

/*
 * host_nl_attrs() - sort the attributes of @data into @table by type; types from @n on are skipped,
 * the last of a repeated type wins. Return 0 or -EBADMSG.
 */
int host_nl_attrs(const uint8_t *data, size_t len, struct host_nl_attr *table, size_t n);
/* The same for what follows a fixed header of @header bytes in @msg; -EBADMSG if it is shorter. */
int host_nl_msg_attrs(const struct host_nl_msg *msg, size_t header, struct host_nl_attr *table,
		      size_t n);

/* The address in @attr: true if it has the length of one (4 or 16 bytes). */
bool host_nl_ip(const struct host_nl_attr *attr, struct ip_addr *addr);

/* inline definitions */

/* The value, or @missing when the attribute is absent or too short. */
static inline uint32_t host_nl_u32(const struct host_nl_attr *attr, uint32_t missing)
{
	uint32_t value;

	if (!attr->data || attr->len < sizeof(value))
		return missing;
	memcpy(&value, attr->data, sizeof(value));
	return value;
}

static inline uint8_t host_nl_u8(const struct host_nl_attr *attr, uint8_t missing)
{
	return attr->data && attr->len ? attr->data[0] : missing;
}

#endif
