/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * input.c - frames from a provider: judged by their headers, handed to the protocol.
 *
 * Steering sends here only whole UDP datagrams to addresses of the port, or to groups that were joined,
 * and these in frames to a group's station only (DESIGN D4). The checks below
 * are the belt beside it: steering may be older than the addresses, and some providers have none.
 * Not here: transport checksums, since they cover data that only the protocol looks at.
 * Standards: RFC 1122 3.2.1, RFC 8200.
 */
#include <string.h>

#include "base/counter.h"
#include "base/err.h"
#include "ip/header.h"
#include "ip/ip.h"
#include "wire/packet.h"
#include "wire/protocol.h"

/* A tag with VLAN id 0 carries only a priority (802.1Q 9.6): the frame is untagged. */
static bool is_of_other_vlan(const struct packet *p, const struct fbuf *frame)
{
	if ((frame->vlan & 0x0fff) != 0 || p->eth.n_tags > 1)
		return true;
	return p->eth.n_tags == 1 && eth_tag_vid(&p->eth.tag[0]) != 0;
}

/* What a host must not accept as a source (RFC 1122 3.2.1.3; RFC 4291 2.7). Linux refuses its own
 * IPv4 addresses too (they can only be forged), its own IPv6 ones not. */
static bool is_bad_source(const struct ip_port *port, const struct packet *p)
{
	if (ip_addr_is_multicast(&p->src) || ip_addr_is_loopback(&p->src))
		return true;
	if (p->is_v6)
		return false;
	return p->src.w[3] == 0 || p->src.w[3] == UINT32_MAX || ip_port_is_local(port, &p->src);
}

/* Why a well-formed packet is not for this stack; FS_CTR_N = it is. */
static enum fs_counter judge(const struct ip_port *port, const struct ip_env *env, const struct packet *p,
			     const struct fbuf *frame)
{
	bool to_group = eth_addr_is_group(&p->eth.dst);

	if (!to_group && !eth_addr_equal(&p->eth.dst, &port->mac))
		return FS_CTR_drop_eth_not_us;
	if (is_of_other_vlan(p, frame))
		return FS_CTR_drop_eth_vlan;
	if (!(to_group ? ip_addr_is_multicast(&p->dst) : ip_port_is_local(port, &p->dst)))
		return FS_CTR_drop_ip_not_local;
	if (is_bad_source(port, p))
		return FS_CTR_drop_ip_source;
	if (p->is_fragment)
		return FS_CTR_drop_ip_fragment;
	if (p->has_ext)
		return FS_CTR_drop_ip6_ext;
	if (p->protocol == WIRE_PROTO_UDP)
		return FS_CTR_N;
	if (p->protocol != WIRE_PROTO_TCP || !env->tcp_input)
		return FS_CTR_drop_ip_protocol;
	/* A connection has two ends: what was sent to many begins none (RFC 9293 3.9.2.3, MUST-57). */
	if (to_group)
		return FS_CTR_drop_ip_not_local;
	/* Datagrams may come from ::, as Linux has it; a SYN must not (MUST-63). */
	if (ip_addr_is_any(&p->src))
		return FS_CTR_drop_ip_source;
	return FS_CTR_N;
}

/* The second line of the fbuf: what recvmsg() tells the program. */
static void describe(const struct ip_port *port, const struct packet *p, struct fbuf *frame)
{
	frame->src = p->src;
	frame->dst = p->dst;
	frame->src_port = p->src_port;
	frame->dst_port = p->dst_port;
	frame->ifindex = port->ifindex;
	frame->ttl = p->ttl;
	frame->tos = p->tos;
	frame->l3_offset = (uint8_t)p->l3_offset;
}

static __attribute__((noinline)) void input_one(struct ip_stack *ip, const struct ip_env *env, struct fbuf *frame, fs_ns now)
{
	struct ip_port *port;
	struct packet p;
	enum packet_result result;
	enum fs_counter why;

	fs_assert(frame->port < IP_MAX_PORTS);
	port = &ip->port[frame->port];
	result = packet_parse(&p, frame->data, frame->len, frame->total);
	if (result != PACKET_OK)
		why = packet_drop_counter(result);
	else
		why = judge(port, env, &p, frame);
	if (why != FS_CTR_N) {
		ip->counters[why]++;
		fbuf_free(frame);
		return;
	}
	describe(port, &p, frame);
	if (frame->total > p.l3_offset + p.l3_len)
		fbuf_trim(frame, p.l3_offset + p.l3_len);
	/* The parser has seen the headers in the first part: no need of fbuf_pull()'s loop. */
	frame->data += p.l4_offset;
	frame->len -= p.l4_offset;
	frame->total -= p.l4_offset;
	if (p.protocol == WIRE_PROTO_UDP)
		env->input(env, &p, frame, now);
	else
		env->tcp_input(env, &p, frame, now);
}

/*
 * The next frame's bytes and description, while this one is worked on: all of it, which the checksum reads. The
 * processor's own prefetch begins anew with each frame, and notices late. Always inline: as a call gcc may leave it
 * out, since it computes nothing.
 */
__attribute__((always_inline)) static inline void prefetch(const struct fbuf *frame)
{
	uint32_t at = 0;

	do {
		__builtin_prefetch(frame->data + at);
		at += FS_CACHE_LINE;
	} while (at < frame->len);
	__builtin_prefetch(&frame->src, 1);
}

/* Taken the short way? What is not IPv4 with TCP is spared the call; whatever it is, the long way judges. */
static inline bool is_quick(const struct ip_env *env, struct fbuf *frame, fs_ns now)
{
	return env->tcp_quick && frame->len > ETH_HDR_LEN + IPV4_HDR_LEN &&
	       frame->data[ETH_HDR_LEN + IP_V4_PROTOCOL] == WIRE_PROTO_TCP && env->tcp_quick(env, frame, now);
}

static __attribute__((noinline)) void input_many(struct ip_stack *ip, const struct ip_env *env, struct fbuf **frames,
						 unsigned n, fs_ns now)
{
	for (unsigned i = 0; i < n; i++) {
		if (i + 1 < n)
			prefetch(frames[i + 1]);
		if (!is_quick(env, frames[i], now))
			input_one(ip, env, frames[i], now);
	}
}

void ip_input(struct ip_stack *ip, const struct ip_env *env, struct fbuf **frames, unsigned n, fs_ns now)
{
	if (n != 1)
		input_many(ip, env, frames, n, now);
	else if (!is_quick(env, *frames, now))
		input_one(ip, env, *frames, now);
}
