/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reply.c - segments of no connection: RST for nobody, SYN-ACKs, ACKs of requests and of TIME-WAIT. And the
 * numbers a connection begins with, which requests and connections have in common.
 *
 * They carry no data and are never kept: what must come again is built again.
 * Standards: RFC 9293 3.10.7.1 (reset generation), 3.4.1 and RFC 6528 (initial sequence numbers).
 */
#include "tcp/reply.h"

#include <errno.h>

#include "base/counter.h"
#include "base/err.h"
#include "ip/header.h"
#include "ip/ip.h"
#include "tcp/tcp_internal.h"
#include "wire/eth.h"
#include "wire/protocol.h"

static_assert(IP_TX_HEADROOM >= IP_HEADER_ROOM + TCP_MAX_HDR_LEN, "the longest header fits");

enum {
	CHECKSUM_AT = 16, /* of the field in the TCP header */
	KEPT_PART = 8,	  /* of a pool's low water: what no reply takes */
};

/* Domains of one secret: what is shown in one place must tell nothing of the other. */
enum { DOMAIN_ISN = 1, DOMAIN_TIMESTAMP = 2 };

static uint64_t tuple_hash(const struct tcp_stack *tcp, const struct tcp_end *end, uint32_t domain)
{
	const uint64_t key[5] = { end->local.d[0], end->local.d[1], end->remote.d[0], end->remote.d[1],
				  (uint64_t)domain << 32 | (uint32_t)end->local_port << 16 | end->remote_port };

	return siphash24(&tcp->secret[TCP_SECRET_ISN], key, sizeof(key));
}

/*
 * RFC 6528 3: a clock and a keyed hash of the tuple. The clock ticks every 64 ns as Linux's does, not every 4 us:
 * a tuple used again begins beyond what a fast connection sent before, and it takes 4.6 minutes to wrap, more
 * than segments live.
 */
tcp_seq tcp_isn(const struct tcp_stack *tcp, const struct tcp_end *end, fs_ns now)
{
	return (tcp_seq)((uint64_t)tuple_hash(tcp, end, DOMAIN_ISN) + (uint64_t)(now >> 6));
}

/* RFC 7323 7.1: our clock's age is nobody's business. The same tuple has the same offset, so that a new incarnation's
 * timestamps go on where the old one's were, which PAWS and TIME-WAIT rely on. */
uint32_t tcp_ts_offset(const struct tcp_stack *tcp, const struct tcp_end *end)
{
	return (uint32_t)tuple_hash(tcp, end, DOMAIN_TIMESTAMP);
}

/*
 * A chunk to build in; the payload pool's when the port's is low: then the provider copies it. Where that has none the
 * port's goes below its low water, and below what reception leaves (refill_allowance() of the XDP port): unread
 * connections keep it there for as long as they are not read, and nobody's SYN would be answered until then. The last
 * part is for connections, which have no other way to be read.
 */
static struct fbuf *alloc_frame(struct tcp_stack *tcp, const struct ip_port *port)
{
	struct fbuf *frame = NULL;

	if (port->pool->n_free > port->pool->low_water)
		frame = fbuf_alloc(port->pool);
	if (!frame)
		frame = fbuf_alloc(tcp->ip->payload);
	if (!frame && port->pool->n_free > port->pool->low_water / KEPT_PART)
		frame = fbuf_alloc(port->pool);
	if (!frame)
		tcp->ip->counters[FS_CTR_pool_empty]++;
	return frame;
}

/* Where to, if a frame may be built for it now; NULL = not. */
static struct ip_dst *reply_dst(struct tcp_stack *tcp, const struct ip_env *env, const struct tcp_reply *r)
{
	struct ip_dst *dst = env->tcp_ops->resolve(env->context, &r->remote, &r->local, r->choice);

	if (!dst || !ip_dst_ready(tcp->ip, dst) || !ip_addr_equal(&dst->local, &r->local))
		return NULL;
	return tcp->ip->port[dst->port].out.frames < IP_OUT_LIMIT ? dst : NULL;
}

/* The segment in front of @frame's end; its chunk's headroom may be anything. */
static void build(const struct tcp_reply *r, const struct ip_dst *dst, struct fbuf *frame)
{
	struct tcp_hdr h = r->h;
	uint32_t headers = dst->header_len;
	uint8_t *at = frame->chunk + IP_HEADER_ROOM;
	const struct tcp_style *style = &r->style;
	uint32_t len;
	uint64_t sum;
	uint8_t *ip;

	h.src_port = r->local_port;
	h.dst_port = r->remote_port;
	h.checksum = 0;
	len = (uint32_t)tcp_emit(&h, at, TCP_MAX_HDR_LEN);
	fs_assert(len > 0);
	sum = csum_add(ip_pseudo_sum(dst, WIRE_PROTO_TCP), ip_sum16((uint16_t)len));
	ip_store_field(at + CHECKSUM_AT, csum_finish(csum_add(sum, csum_inline(at, len))));
	ip = ip_header_put(dst, at, len, WIRE_PROTO_TCP);
	if (style->tos || style->hop_limit)
		ip_header_restyle(dst, ip, style->tos, style->hop_limit);
	frame->data = at - headers;
	frame->len = frame->total = headers + len;
	frame->port = dst->port;
	frame->l3_offset = ETH_HDR_LEN;
}

int tcp_reply(struct tcp_stack *tcp, const struct ip_env *env, const struct tcp_reply *r, fs_ns now)
{
	struct ip_dst *dst = reply_dst(tcp, env, r);
	struct fbuf *frame;

	if (!dst) {
		tcp->ip->counters[FS_CTR_tcp_blocked]++;
		return -EHOSTUNREACH;
	}
	frame = alloc_frame(tcp, &tcp->ip->port[dst->port]);
	if (!frame) {
		tcp->ip->counters[FS_CTR_tcp_blocked]++;
		return -ENOBUFS;
	}
	build(r, dst, frame);
	tcp->ip->counters[FS_CTR_tcp_segments_out]++;
	if (r->h.flags & TCP_RST)
		tcp->ip->counters[FS_CTR_tcp_resets_out]++;
	dst->neigh->used_at = env->now;
	fbuf_queue_push(&tcp->ip->port[dst->port].out, frame);
	return 0;
}

void tcp_reply_reset(struct tcp_stack *tcp, const struct ip_env *env, const struct tcp_in *in)
{
	const struct packet *p = in->p;
	struct tcp_reply r = {
		.local = p->dst,
		.remote = p->src,
		.local_port = p->dst_port,
		.remote_port = p->src_port,
		.h = { .flags = TCP_RST },
	};

	/* Never a RST to a RST; nor for what was sent to many. */
	if ((in->h.flags & TCP_RST) || ip_addr_is_multicast(&p->dst))
		return;
	if (in->h.flags & TCP_ACK) {
		r.h.seq = in->h.ack;
	} else {
		r.h.flags |= TCP_ACK;
		r.h.ack = in->end;
	}
	tcp_reply(tcp, env, &r, in->now);
}
