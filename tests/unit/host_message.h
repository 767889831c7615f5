/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * host_message.h - netlink messages for the tests of src/host's parsers: built, cut short, and with
 * lengths that lie. Each is parsed right before an unreadable page.
 */
#ifndef FSOCK_TESTS_UNIT_HOST_MESSAGE_H
#define FSOCK_TESTS_UNIT_HOST_MESSAGE_H

#include "host/netlink.h"
#include "wire_guard.h"

enum { NETLINK_HEAD = 16 }; /* struct nlmsghdr, which host_nl_msg leaves out */

/* Parse @msg; the result does not matter, only that nothing outside the message is read. */
typedef int message_parse_fn(const struct host_nl_msg *msg);

/* inline definitions */

/* What was built in @req, as the kernel's answer would arrive. */
static inline struct host_nl_msg message_of(const struct host_nl_req *req, uint16_t type)
{
	assert_false(req->overflow);
	return (struct host_nl_msg){
		.type = type,
		.len = req->len - NETLINK_HEAD,
		.data = req->buf + NETLINK_HEAD,
	};
}

/* An attribute that holds those built in @inner. */
static inline void message_nest(struct host_nl_req *req, uint16_t type,
				const struct host_nl_req *inner)
{
	host_nl_req_put(req, type, inner->buf + NETLINK_HEAD, inner->len - NETLINK_HEAD);
}

/* Every shorter message, and every word of it replaced by lengths that reach too far or nowhere. */
static inline void message_torture(const struct host_nl_msg *msg, message_parse_fn *parse)
{
	static const uint16_t lies[] = { 0, 1, 3, 4, 5, 7, 8, 12, 0x7fff, 0xffff };
	struct guard g = guard_make();
	struct host_nl_msg bad = *msg;

	for (bad.len = 0; bad.len < msg->len; bad.len++) {
		bad.data = guard_end(&g, msg->data, bad.len);
		parse(&bad);
	}
	bad.len = msg->len;
	for (size_t at = 0; at + 2 <= msg->len; at += 2) {
		for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
			uint8_t *copy = guard_end(&g, msg->data, msg->len);

			memcpy(copy + at, &lies[i], sizeof(lies[i]));
			bad.data = copy;
			parse(&bad);
		}
	}
	guard_free(&g);
}

#endif
