/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * repair_segment.c - a segment of the peer's, made here and received here.
 *
 * The kernel routes what a raw socket sends to an address of this host through the loopback, whatever source the
 * header has, and receives it with the route it left by, so that nothing validates the source.
 */
#include <errno.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <string.h>

#include "base/csum.h"
#include "host/repair.h"
#include "host/repair_internal.h"
#include "sys/sys.h"
#include "tcp/snapshot.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/protocol.h"
#include "wire/tcp.h"

enum {
	HOPS = 64,
	ROOM = IPV6_HDR_LEN + TCP_MAX_HDR_LEN + HOST_REPAIR_PIECE,
	CHECKSUM_AT = 16, /* in the TCP header */
};

/* Length of the IP header written. */
static size_t emit_ip(const struct tcp_snapshot *s, uint8_t *bytes, uint16_t payload)
{
	if (ip_addr_is_v4(&s->local)) {
		struct ipv4_hdr ip = { .src = s->remote, .dst = s->local, .hdr_len = IPV4_HDR_LEN, .ttl = HOPS,
				       .protocol = WIRE_PROTO_TCP, .dont_fragment = true };

		ip.total_len = (uint16_t)(IPV4_HDR_LEN + payload);
		return ipv4_emit(&ip, bytes, IPV4_HDR_LEN);
	}
	return ipv6_emit(&(struct ipv6_hdr){ .src = s->remote, .dst = s->local, .payload_len = payload,
					     .next_header = WIRE_PROTO_TCP, .hop_limit = HOPS }, bytes, IPV6_HDR_LEN);
}

static int send_raw(const struct host_repair *r, const uint8_t *bytes, size_t len)
{
	const struct ip_addr *local = &r->snap->local;
	struct sockaddr_in to4 = { .sin_family = AF_INET };
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6 };
	bool v4 = ip_addr_is_v4(local);
	int fd = sys_socket(v4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	ssize_t ret;

	if (fd < 0)
		return fd;
	memcpy(&to4.sin_addr, local->b + 12, 4);
	memcpy(&to6.sin6_addr, local->b, 16);
	to6.sin6_scope_id = ip_addr_is_link_local(local) ? r->ifindex : 0;
	ret = sys_sendto(fd, bytes, len, MSG_DONTWAIT, v4 ? (void *)&to4 : (void *)&to6, v4 ? sizeof(to4) : sizeof(to6));
	sys_close(fd);
	return ret < 0 ? (int)ret : 0;
}

int host_repair_inject(const struct host_repair *repair, const struct tcp_hdr *h, const void *payload, size_t len)
{
	const struct tcp_snapshot *s = repair->snap;
	size_t hdr = tcp_emit_len(h), l4 = hdr + len, l3;
	uint8_t bytes[ROOM];
	be16_t sum;

	if (len > HOST_REPAIR_PIECE)
		return -EINVAL;
	l3 = emit_ip(s, bytes, (uint16_t)l4);
	if (tcp_emit(h, bytes + l3, sizeof(bytes) - l3) != hdr)
		return -EINVAL;
	if (len)
		memcpy(bytes + l3 + hdr, payload, len);
	sum = csum_finish(csum_add(csum_pseudo(&s->remote, &s->local, WIRE_PROTO_TCP, (uint32_t)l4),
				   csum_inline(bytes + l3, l4)));
	memcpy(bytes + l3 + CHECKSUM_AT, &sum, sizeof(sum));
	return send_raw(repair, bytes, l3 + l4);
}
