/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ipv6.h - the IPv6 header and its extension headers (RFC 8200, AH: RFC 4302).
 *
 * Does:     parse and emit the fixed header; walk hop-by-hop options, routing, fragment,
 *           destination options and authentication headers to the first that is none of these.
 * Does not: jumbograms (RFC 2675), reassembly, any action a routing header asks for, verify AH.
 * Threads:  any, no state.
 */
#ifndef FSOCK_WIRE_IPV6_H
#define FSOCK_WIRE_IPV6_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/addr.h"
#include "base/endian.h"
#include "wire/error.h"

enum {
	IPV6_HDR_LEN = 40,
	IPV6_FRAG_LEN = 8,
	IPV6_MAX_EXT = 8, /* headers walked; RFC 8200 4.1 has 7 in a complete packet */
};

/* Next header values that stand for extension headers, and the end of a chain. */
enum {
	IPV6_NH_HOP = 0,
	IPV6_NH_ROUTING = 43,
	IPV6_NH_FRAGMENT = 44,
	IPV6_NH_AH = 51,
	IPV6_NH_NONE = 59,
	IPV6_NH_DEST = 60,
};

struct ipv6_hdr {
	struct ip_addr src, dst;
	uint32_t flow_label;	 /* 20 bits, host order */
	uint16_t payload_len;	 /* bytes after the fixed header, extension headers included */
	uint8_t traffic_class, next_header, hop_limit;
};

/* What the walk over the extension headers found. */
struct ipv6_ext {
	uint16_t len;		/* bytes of all extension headers walked */
	uint8_t count;		/* how many */
	uint8_t protocol;	/* of what follows; of a fragment: as its header says */
	bool has_fragment_hdr;	/* frag_* are meaningful */
	bool more_fragments;
	uint16_t frag_offset;	/* bytes, a multiple of 8 */
	uint32_t frag_id;
};

/*
 * Parse the fixed header. payload_len is not compared with @len (ipv6_payload_len() for that).
 * Return: 40, or WIRE_TRUNCATED, WIRE_BAD_VERSION.
 */
static inline int ipv6_parse(struct ipv6_hdr *out, const void *bytes, size_t len);

/*
 * Payload bytes of a packet of which @available bytes (fixed header included) arrived.
 * Return: 0..65535, or WIRE_BAD_LENGTH when the packet claims more than is there.
 */
static inline int ipv6_payload_len(const struct ipv6_hdr *hdr, size_t available);

/*
 * Walk the extension headers that start at @bytes, the first being @next_header. Stops behind the
 * fragment header of any fragment but the first: what follows is payload.
 * Return: bytes walked (= out->len, 0 when there is none), or
 *         WIRE_TRUNCATED    a header runs past @len
 *         WIRE_BAD_OPTION   malformed option; hop-by-hop not first (RFC 8200 4.1)
 *         WIRE_UNSUPPORTED  more than IPV6_MAX_EXT headers, an option that must not be skipped
 *                           (RFC 8200 4.2; jumbo payloads among them), a routing header with
 *                           segments left (4.4; type 0: RFC 5095)
 */
int ipv6_ext_parse(struct ipv6_ext *out, uint8_t next_header, const void *bytes, size_t len);

/* Write the fixed header. Return: 40, or 0 when @room is too small (nothing written). */
size_t ipv6_emit(const struct ipv6_hdr *hdr, void *bytes, size_t room);

/*
 * Write a fragment header that announces ext->protocol from the frag_ fields.
 * Return: 8, or 0 when @room is too small (nothing written).
 */
size_t ipv6_frag_emit(const struct ipv6_ext *ext, void *bytes, size_t room);

/* inline definitions */

/* Any part of a datagram that does not come whole. An atomic fragment (RFC 6946) does. */
static inline bool ipv6_is_fragment(const struct ipv6_ext *ext)
{
	return ext->more_fragments || ext->frag_offset != 0;
}

static inline bool ipv6_nh_is_ext(uint8_t next_header)
{
	return next_header == IPV6_NH_HOP || next_header == IPV6_NH_ROUTING ||
	       next_header == IPV6_NH_FRAGMENT || next_header == IPV6_NH_AH ||
	       next_header == IPV6_NH_DEST;
}

static inline int ipv6_parse(struct ipv6_hdr *out, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint32_t word;

	if (len < 1)
		return WIRE_TRUNCATED;
	if (p[0] >> 4 != 6)
		return WIRE_BAD_VERSION;
	if (len < IPV6_HDR_LEN)
		return WIRE_TRUNCATED;
	word = be32_load(p);
	out->traffic_class = (uint8_t)(word >> 20);
	out->flow_label = word & 0xfffff;
	out->payload_len = be16_load(p + 4);
	out->next_header = p[6];
	out->hop_limit = p[7];
	out->src = ip_addr_v6(p + 8);
	out->dst = ip_addr_v6(p + 24);
	return IPV6_HDR_LEN;
}

static inline int ipv6_payload_len(const struct ipv6_hdr *hdr, size_t available)
{
	if ((size_t)hdr->payload_len + IPV6_HDR_LEN > available)
		return WIRE_BAD_LENGTH;
	return hdr->payload_len;
}

#endif
