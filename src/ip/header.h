/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * header.h - the headers in front of a transport header, from a destination's template.
 *
 * The template (struct ip_dst) is copied in one piece of fixed length, so that it is a few vector moves, and
 * then the fields that differ are stored over it. They are at fixed places: a template has no options. It
 * is made for UDP; another protocol differs in one byte and, in ones' complement, by a constant.
 *
 * Does:     Ethernet and IP header for one packet, the sum over the pseudo-header.
 * Does not: fragment, choose identifications.
 * Threads:  holder of the stack's lock only.
 * Standards: RFC 791, RFC 8200, RFC 1071 (arithmetic).
 */
#ifndef FSOCK_IP_HEADER_H
#define FSOCK_IP_HEADER_H

#include <stdint.h>
#include <string.h>

#include "base/csum.h"
#include "base/endian.h"
#include "ip/ip.h"
#include "wire/eth.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/protocol.h"

/* Where the fields lie (RFC 791 3.1, RFC 8200 3). */
enum {
	IP_V4_TOS = 1,
	IP_V4_TOTAL_LEN = 2,
	IP_V4_ID = 4,
	IP_V4_FRAGMENT = 6,
	IP_V4_TTL = 8,
	IP_V4_PROTOCOL = 9,
	IP_V4_CHECKSUM = 10,
	IP_V4_PUT = 48, /* Ethernet and IPv4, rounded up to whole vectors */
	IP_V6_PAYLOAD_LEN = 4,
	IP_V6_NEXT_HEADER = 6,
	IP_V6_HOP_LIMIT = 7,
};

/*
 * Write Ethernet and IP header of a packet to @dst in front of its transport header at @l4, which has
 * IP_HEADER_ROOM bytes before it; all of them are written. @len: transport header and payload. The
 * template is up to date: ip_dst_ready() was true in this call of the engine. A super-frame's @len may exceed
 * 65535 - 20 only with IPv6. Returns the address of the IP header.
 */
static inline uint8_t *ip_header_put(const struct ip_dst *dst, uint8_t *l4, uint32_t len, uint8_t protocol);

/* The same to a destination that is known to be one of IPv4. */
static inline void ip_header_put_v4(const struct ip_dst *dst, uint8_t *l4, uint32_t len, uint8_t protocol);

/* Give the header at @ip, which ip_header_put() wrote, another TOS or traffic class and, unless 0, another
 * hop limit. Rare, so that the sum is simply taken anew. */
void ip_header_restyle(const struct ip_dst *dst, uint8_t *ip, uint8_t tos, uint8_t hop_limit);

/* The csum.h sum over @dst's pseudo-header but for the length; so short that a few more may simply be added. */
static inline uint64_t ip_pseudo_sum(const struct ip_dst *dst, uint8_t protocol);

/* Is the frame at @frame for the station that @dst's template of IPv4 comes from? */
static inline bool ip_header_is_to_station(const struct ip_dst *dst, const uint8_t *frame);

/* inline definitions */

/* The csum.h sum of one 16-bit field. */
static inline uint64_t ip_sum16(uint16_t host)
{
	be16_t net = be16_make(host);

	return net.raw;
}

/* What to add to a sum over the template's protocol to have one over @protocol. */
static inline uint64_t ip_protocol_delta(uint8_t protocol)
{
	return protocol == WIRE_PROTO_UDP
		       ? 0
		       : ip_sum16((uint16_t)(protocol >= WIRE_PROTO_UDP ? protocol - WIRE_PROTO_UDP
									: 0xffff - (WIRE_PROTO_UDP - protocol)));
}

static inline void ip_store_field(uint8_t *at, be16_t field)
{
	memcpy(at, &field, sizeof(field));
}

/* What differs from the template of IPv4. */
static inline void ip_header_fill_v4(const struct ip_dst *dst, uint8_t *ip, uint32_t len, uint8_t protocol)
{
	uint16_t total = (uint16_t)(len + IPV4_HDR_LEN);
	uint32_t sum = (uint32_t)(dst->ip_sum + ip_sum16(total));

	be16_store(ip + IP_V4_TOTAL_LEN, total);
	if (protocol != WIRE_PROTO_UDP) {
		ip[IP_V4_PROTOCOL] = protocol;
		sum += (uint32_t)ip_protocol_delta(protocol);
	}
	ip_store_field(ip + IP_V4_CHECKSUM, csum_finish32(sum));
}

static inline uint8_t *ip_header_put(const struct ip_dst *dst, uint8_t *l4, uint32_t len, uint8_t protocol)
{
	uint8_t *ip = l4 - (dst->is_v6 ? (size_t)IPV6_HDR_LEN : (size_t)IPV4_HDR_LEN);

	memcpy(l4 - IP_HEADER_ROOM, dst->header, IP_HEADER_ROOM);
	if (dst->is_v6) {
		be16_store(ip + IP_V6_PAYLOAD_LEN, (uint16_t)len);
		if (protocol != WIRE_PROTO_UDP)
			ip[IP_V6_NEXT_HEADER] = protocol;
	} else {
		ip_header_fill_v4(dst, ip, len, protocol);
	}
	return ip;
}

static inline void ip_header_put_v4(const struct ip_dst *dst, uint8_t *l4, uint32_t len, uint8_t protocol)
{
	memcpy(l4 - IP_V4_PUT, dst->header + IP_HEADER_ROOM - IP_V4_PUT, IP_V4_PUT);
	ip_header_fill_v4(dst, l4 - IPV4_HDR_LEN, len, protocol);
}

static inline bool ip_header_is_to_station(const struct ip_dst *dst, const uint8_t *frame)
{
	const uint8_t *source = dst->header + IP_HEADER_ROOM - IPV4_HDR_LEN - ETH_HDR_LEN + sizeof(struct eth_addr);
	uint64_t theirs, ours, mask = FS_BE64(0xffffffffffff0000);

	/* Two bytes more than a station has lie behind either. */
	memcpy(&theirs, frame, sizeof(theirs));
	memcpy(&ours, source, sizeof(ours));
	return ((theirs ^ ours) & mask) == 0;
}

static inline uint64_t ip_pseudo_sum(const struct ip_dst *dst, uint8_t protocol)
{
	return dst->pseudo_sum + ip_protocol_delta(protocol);
}

#endif
