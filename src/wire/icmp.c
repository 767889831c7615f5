/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * icmp.c - ICMP headers and quoted datagrams of both families.
 *
 * Standards: RFC 792, RFC 1191; RFC 4443 2.4 for what an ICMPv6 error quotes.
 * Not here: what an error does to a socket (src/ip, src/udp).
 */
#include "wire/icmp.h"

#include "base/endian.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/protocol.h"

int icmp_parse(struct icmp_hdr *out, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	if (len < ICMP_HDR_LEN)
		return WIRE_TRUNCATED;
	out->type = p[0];
	out->code = p[1];
	out->checksum = be16_load(p + 2);
	out->rest = be32_load(p + 4);
	return ICMP_HDR_LEN;
}

size_t icmp_emit(const struct icmp_hdr *hdr, void *bytes, size_t room)
{
	uint8_t *p = bytes;

	if (room < ICMP_HDR_LEN)
		return 0;
	p[0] = hdr->type;
	p[1] = hdr->code;
	be16_store(p + 2, hdr->checksum);
	be32_store(p + 4, hdr->rest);
	return ICMP_HDR_LEN;
}

/* The quoted IPv4 header: addresses, protocol, is_fragment. Offset of its payload or error. */
static int original_ipv4(struct icmp_original *out, const uint8_t *p, size_t len, bool *later)
{
	struct ipv4_hdr ip;
	int ret = ipv4_parse(&ip, p, len);

	if (ret < 0)
		return ret;
	out->src = ip.src;
	out->dst = ip.dst;
	out->protocol = ip.protocol;
	out->is_fragment = ipv4_is_fragment(&ip);
	*later = ip.frag_offset != 0;
	return ret;
}

static int original_ipv6(struct icmp_original *out, const uint8_t *p, size_t len, bool *later)
{
	struct ipv6_hdr ip;
	struct ipv6_ext ext;
	int ret = ipv6_parse(&ip, p, len);

	if (ret < 0)
		return ret;
	ret = ipv6_ext_parse(&ext, ip.next_header, p + IPV6_HDR_LEN, len - IPV6_HDR_LEN);
	if (ret < 0)
		return ret;
	out->src = ip.src;
	out->dst = ip.dst;
	out->protocol = ext.protocol;
	out->is_fragment = ipv6_is_fragment(&ext);
	*later = ext.frag_offset != 0;
	return IPV6_HDR_LEN + ret;
}

int icmp_original_parse(struct icmp_original *out, bool v6, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	bool later = false; /* a fragment that does not begin with the transport header */
	int at;

	memset(out, 0, sizeof(*out));
	at = v6 ? original_ipv6(out, p, len, &later) : original_ipv4(out, p, len, &later);
	if (at < 0)
		return at;
	out->l4_offset = (uint16_t)at;
	if (later || (out->protocol != WIRE_PROTO_UDP && out->protocol != WIRE_PROTO_TCP))
		return at;
	if (len - (size_t)at < ICMP_QUOTED_L4)
		return WIRE_TRUNCATED;
	out->has_ports = true;
	out->src_port = be16_load(p + at);
	out->dst_port = be16_load(p + at + 2);
	out->tcp_seq = be32_load(p + at + 4);
	return at;
}
