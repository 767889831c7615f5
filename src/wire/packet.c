/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * packet.c - an incoming frame's headers, link to transport.
 *
 * The ordinary case (Ethernet, IPv4 without options, UDP) runs straight through inline parsers.
 * Order of the checks is the kernel's (ip_rcv: form, checksum, length, options), so that a frame
 * with several faults counts as it would there.
 * Not here: the formats themselves, see the header of each protocol.
 */
#include "wire/packet.h"

#include "base/err.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/protocol.h"
#include "wire/tcp.h"
#include "wire/udp.h"

enum { IP_MAX_LEN = 65535 };

/* The bytes at hand. */
struct view {
	const uint8_t *first; /* borrowed */
	size_t first_len;     /* bytes at first */
	size_t total_len;     /* bytes of the frame, not below first_len */
};

/*
 * By halves: an IPv4 address is put together in registers, half by half; copied as one value of 16
 * bytes it goes through the stack and waits for its two stores (5 ns of 16, measured 2026-11).
 */
static void copy_addr(struct ip_addr *to, const struct ip_addr *from)
{
	to->d[0] = from->d[0];
	to->d[1] = from->d[1];
}

/* A header of @need bytes from the frame's start is not in the first part: whose fault is it? */
static enum packet_result too_short(const struct view *v, size_t need, enum packet_result drop)
{
	return v->total_len >= need ? PACKET_DROP_ETH_SPLIT : drop;
}

static enum packet_result parse_udp(struct packet *out, const struct view *v)
{
	size_t end = (size_t)out->l4_offset + UDP_HDR_LEN;
	struct udp_hdr udp;
	int payload;

	if (out->l4_len < UDP_HDR_LEN)
		return PACKET_DROP_UDP_SHORT;
	if (v->first_len < end)
		return PACKET_DROP_ETH_SPLIT;
	if (udp_parse(&udp, v->first + out->l4_offset, UDP_HDR_LEN) < 0)
		return PACKET_DROP_UDP_LENGTH;
	payload = udp_payload_len(&udp, out->l4_len);
	if (payload < 0)
		return PACKET_DROP_UDP_LENGTH;
	out->src_port = udp.src_port;
	out->dst_port = udp.dst_port;
	out->l4_checksum = udp.checksum;
	out->payload_offset = (uint16_t)end;
	out->payload_len = (uint32_t)payload;
	return PACKET_OK;
}

static enum packet_result parse_tcp(struct packet *out, const struct view *v)
{
	const uint8_t *p = v->first + out->l4_offset;
	size_t hdr_len;

	if (out->l4_len < TCP_HDR_LEN)
		return PACKET_DROP_TCP_HEADER;
	if (v->first_len < (size_t)out->l4_offset + TCP_HDR_LEN)
		return PACKET_DROP_ETH_SPLIT;
	hdr_len = (size_t)(p[12] >> 4) * 4;
	if (hdr_len < TCP_HDR_LEN || hdr_len > out->l4_len)
		return PACKET_DROP_TCP_HEADER;
	if (v->first_len < out->l4_offset + hdr_len)
		return PACKET_DROP_ETH_SPLIT;
	out->src_port = be16_load(p);
	out->dst_port = be16_load(p + 2);
	out->l4_checksum = be16_load(p + 16);
	out->payload_offset = (uint16_t)(out->l4_offset + hdr_len);
	out->payload_len = out->l4_len - (uint32_t)hdr_len;
	return PACKET_OK;
}

static enum packet_result parse_icmp(struct packet *out, const struct view *v)
{
	if (out->l4_len < ICMP_HDR_LEN)
		return PACKET_DROP_ICMP_HEADER;
	if (v->first_len < (size_t)out->l4_offset + ICMP_HDR_LEN)
		return PACKET_DROP_ETH_SPLIT;
	out->l4_checksum = be16_load(v->first + out->l4_offset + 2);
	out->payload_offset = (uint16_t)(out->l4_offset + ICMP_HDR_LEN);
	out->payload_len = out->l4_len - ICMP_HDR_LEN;
	return PACKET_OK;
}

/* l4_offset, l4_len and protocol are set. */
static enum packet_result parse_l4(struct packet *out, const struct view *v)
{
	if (__builtin_expect(out->protocol == WIRE_PROTO_UDP && !out->is_fragment, 1))
		return parse_udp(out, v);
	out->src_port = 0;
	out->dst_port = 0;
	out->l4_checksum = 0;
	out->payload_offset = out->l4_offset;
	out->payload_len = out->l4_len;
	if (out->is_fragment) {
		if ((size_t)out->frag_offset + out->l4_len > IP_MAX_LEN)
			return PACKET_DROP_IP_LENGTH;
		return PACKET_OK;
	}
	if (out->protocol == WIRE_PROTO_TCP)
		return parse_tcp(out, v);
	if (out->protocol == (out->is_v6 ? WIRE_PROTO_ICMPV6 : WIRE_PROTO_ICMP))
		return parse_icmp(out, v);
	return PACKET_OK;
}

/* What ipv4_parse() refused, as a counter. */
static enum packet_result ipv4_failure(const struct view *v, size_t l3, int error)
{
	const uint8_t *p = v->first + l3;
	size_t hdr_len = IPV4_HDR_LEN;

	if (error == WIRE_BAD_VERSION)
		return PACKET_DROP_IP_VERSION;
	if (v->first_len - l3 >= IPV4_HDR_LEN)
		hdr_len = (size_t)(p[0] & 0x0f) * 4;
	if (error == WIRE_TRUNCATED)
		return too_short(v, l3 + hdr_len, PACKET_DROP_IP_HEADER);
	if (error == WIRE_BAD_LENGTH)
		return hdr_len < IPV4_HDR_LEN ? PACKET_DROP_IP_HEADER : PACKET_DROP_IP_LENGTH;
	return ipv4_checksum_ok(p, hdr_len) ? PACKET_DROP_IP_OPTIONS : PACKET_DROP_IP_CHECKSUM;
}

static enum packet_result parse_ipv4(struct packet *out, const struct view *v, size_t l3)
{
	const uint8_t *p = v->first + l3;
	struct ipv4_hdr ip;
	int hdr_len, payload;

	hdr_len = ipv4_parse(&ip, p, v->first_len - l3);
	if (hdr_len < 0)
		return ipv4_failure(v, l3, hdr_len);
	if (!ipv4_checksum_ok(p, (size_t)hdr_len))
		return PACKET_DROP_IP_CHECKSUM;
	payload = ipv4_payload_len(&ip, v->total_len - l3);
	if (payload < 0)
		return PACKET_DROP_IP_LENGTH;
	if (ip.source_route)
		return PACKET_DROP_IP_OPTIONS;
	copy_addr(&out->src, &ip.src);
	copy_addr(&out->dst, &ip.dst);
	out->protocol = ip.protocol;
	out->ttl = ip.ttl;
	out->tos = ip.tos;
	out->flow_label = 0;
	out->is_v6 = false;
	out->has_ext = false;
	out->is_fragment = ipv4_is_fragment(&ip);
	out->more_fragments = ip.more_fragments;
	out->frag_offset = ip.frag_offset;
	out->dont_fragment = ip.dont_fragment;
	out->has_options = ip.options != NULL;
	out->ip_id = ip.id;
	out->l3_len = ip.total_len;
	out->l4_offset = (uint16_t)(l3 + (size_t)hdr_len);
	out->l4_len = (uint32_t)payload;
	return PACKET_OK;
}

static enum packet_result parse_ipv6_ext(struct packet *out, const struct view *v)
{
	size_t have = FS_MIN(v->first_len - out->l4_offset, (size_t)out->l4_len);
	struct ipv6_ext ext;
	int len;

	len = ipv6_ext_parse(&ext, out->protocol, v->first + out->l4_offset, have);
	if (len == WIRE_TRUNCATED && have < out->l4_len)
		return PACKET_DROP_ETH_SPLIT;
	if (len < 0)
		return PACKET_DROP_IP6_EXT;
	out->protocol = ext.protocol;
	out->has_ext = true;
	out->is_fragment = ipv6_is_fragment(&ext);
	out->more_fragments = ext.more_fragments;
	out->frag_offset = ext.frag_offset;
	out->ip_id = ext.frag_id;
	out->l4_offset = (uint16_t)(out->l4_offset + len);
	out->l4_len -= (uint32_t)len;
	return PACKET_OK;
}

static enum packet_result parse_ipv6(struct packet *out, const struct view *v, size_t l3)
{
	struct ipv6_hdr ip;
	int payload, ret;

	ret = ipv6_parse(&ip, v->first + l3, v->first_len - l3);
	if (ret == WIRE_TRUNCATED)
		return too_short(v, l3 + IPV6_HDR_LEN, PACKET_DROP_IP_HEADER);
	if (ret < 0)
		return PACKET_DROP_IP_VERSION;
	payload = ipv6_payload_len(&ip, v->total_len - l3);
	if (payload < 0)
		return PACKET_DROP_IP_LENGTH;
	copy_addr(&out->src, &ip.src);
	copy_addr(&out->dst, &ip.dst);
	out->is_v6 = true;
	out->protocol = ip.next_header;
	out->ttl = ip.hop_limit;
	out->tos = ip.traffic_class;
	out->flow_label = ip.flow_label;
	out->ip_id = 0;
	out->frag_offset = 0;
	out->is_fragment = false;
	out->more_fragments = false;
	out->dont_fragment = false;
	out->has_options = false;
	out->has_ext = false;
	out->l3_len = (uint32_t)payload + IPV6_HDR_LEN;
	out->l4_offset = (uint16_t)(l3 + IPV6_HDR_LEN);
	out->l4_len = (uint32_t)payload;
	if (ipv6_nh_is_ext(ip.next_header))
		return parse_ipv6_ext(out, v);
	return PACKET_OK;
}

/* Network and transport header. One place for all ways in, so that the compiler unfolds it once. */
static enum packet_result parse_l3(struct packet *out, const struct view *v, uint16_t type)
{
	enum packet_result result;

	if (type == ETH_TYPE_IPV4)
		result = parse_ipv4(out, v, out->l3_offset);
	else if (type == ETH_TYPE_IPV6)
		result = parse_ipv6(out, v, out->l3_offset);
	else
		return PACKET_DROP_ETH_TYPE;
	return result == PACKET_OK ? parse_l4(out, v) : result;
}

enum packet_result packet_parse(struct packet *out, const void *first_part, size_t first_len,
				size_t total_len)
{
	struct view v = { first_part, FS_MIN(first_len, total_len), total_len };
	int l3;

	out->l3_offset = 0;
	l3 = eth_parse(&out->eth, v.first, v.first_len);
	if (l3 == WIRE_TRUNCATED) {
		size_t need = ETH_HDR_LEN;

		if (v.first_len >= ETH_HDR_LEN)
			need = eth_emit_len(&out->eth) + ETH_TAG_LEN;
		return too_short(&v, need, PACKET_DROP_ETH_SHORT);
	}
	if (l3 < 0)
		return PACKET_DROP_ETH_TYPE;
	out->l3_offset = (uint16_t)l3;
	return parse_l3(out, &v, out->eth.type);
}

enum packet_result packet_parse_ip(struct packet *out, const void *first_part, size_t first_len,
				   size_t total_len)
{
	struct view v = { first_part, FS_MIN(first_len, total_len), total_len };

	out->l3_offset = 0;
	memset(&out->eth, 0, sizeof(out->eth));
	if (v.first_len == 0)
		return too_short(&v, 1, PACKET_DROP_IP_HEADER);
	return parse_l3(out, &v, v.first[0] >> 4 == 6 ? ETH_TYPE_IPV6 : ETH_TYPE_IPV4);
}

enum fs_counter packet_drop_counter(enum packet_result result)
{
#define PACKET_COUNTER(name, counter) [PACKET_DROP_##name] = FS_CTR_drop_##counter,
	static const enum fs_counter which[] = { PACKET_DROPS(PACKET_COUNTER) };
#undef PACKET_COUNTER

	static_assert(FS_ARRAY_SIZE(which) == PACKET_N_RESULTS, "every drop has a counter");
	fs_assert(result > PACKET_OK && result < PACKET_N_RESULTS);
	return which[result];
}
