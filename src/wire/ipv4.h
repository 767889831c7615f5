/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ipv4.h - the IPv4 header (RFC 791).
 *
 * Does:     parse and emit the header with its options, recognise fragments, verify and write the
 *           header checksum, compare the total length with what is there.
 * Does not: act on options, reassemble, look at addresses.
 * Threads:  any, no state.
 */
#ifndef FSOCK_WIRE_IPV4_H
#define FSOCK_WIRE_IPV4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/addr.h"
#include "base/csum.h"
#include "base/endian.h"
#include "wire/error.h"

enum {
	IPV4_HDR_LEN = 20,
	IPV4_MAX_HDR_LEN = 60,
};

struct ipv4_hdr {
	struct ip_addr src, dst; /* IPv4-mapped, as everywhere */
	uint16_t total_len;	 /* header and payload, bytes, as the field says */
	uint16_t id;
	uint16_t frag_offset;	 /* bytes, a multiple of 8 */
	uint16_t checksum;	 /* as received; ipv4_emit() computes its own */
	uint8_t hdr_len;	 /* bytes, 20..60 */
	uint8_t tos, ttl, protocol;
	bool dont_fragment, more_fragments;
	bool reserved_flag;	 /* the bit RFC 791 wants zero; kept, since others set it */
	bool source_route;	 /* a loose or strict source route option is present */
	const uint8_t *options;	 /* hdr_len - 20 bytes, borrowed from the input; NULL without */
};

/*
 * Parse a header. The checksum is not looked at (ipv4_checksum_ok()), the total length only against
 * the header itself (ipv4_payload_len() for the rest), so that a quoted header parses too.
 * Return: header length 20..60, or WIRE_TRUNCATED, WIRE_BAD_VERSION, WIRE_BAD_LENGTH (IHL below 5,
 * total length below the header's), WIRE_BAD_OPTION.
 */
static inline int ipv4_parse(struct ipv4_hdr *out, const void *bytes, size_t len);

/* True when the sum over @hdr_len bytes of header is right. @hdr_len comes from ipv4_parse(). */
static inline bool ipv4_checksum_ok(const void *bytes, size_t hdr_len);

/*
 * Payload bytes of a packet of which @available bytes (with header) arrived; surplus is padding.
 * Return: 0..65515, or WIRE_BAD_LENGTH when the packet claims more than is there.
 */
static inline int ipv4_payload_len(const struct ipv4_hdr *hdr, size_t available);

/*
 * Write the header with its options and the right checksum. hdr->hdr_len and total_len must be set.
 * Return: hdr_len, or 0 when @room is too small or hdr_len is impossible (nothing written).
 */
size_t ipv4_emit(const struct ipv4_hdr *hdr, void *bytes, size_t room);

/* Check @len bytes of options. 0, IPV4_SOURCE_ROUTE when one of them is a source route, or
 * WIRE_BAD_OPTION. (Not through struct ipv4_hdr: it stays in registers where nobody takes its
 * address.) */
enum { IPV4_SOURCE_ROUTE = 1 };
int ipv4_check_options(const uint8_t *options, size_t len);

/* inline definitions */

/* Any part of a datagram that does not come whole. */
static inline bool ipv4_is_fragment(const struct ipv4_hdr *hdr)
{
	return hdr->more_fragments || hdr->frag_offset != 0;
}

static inline int ipv4_parse(struct ipv4_hdr *out, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint16_t frag;

	if (len < 1)
		return WIRE_TRUNCATED;
	if (p[0] >> 4 != 4)
		return WIRE_BAD_VERSION;
	if (len < IPV4_HDR_LEN)
		return WIRE_TRUNCATED;
	out->hdr_len = (uint8_t)((p[0] & 0x0f) * 4);
	out->tos = p[1];
	out->total_len = be16_load(p + 2);
	out->id = be16_load(p + 4);
	frag = be16_load(p + 6);
	out->reserved_flag = frag & 0x8000;
	out->dont_fragment = frag & 0x4000;
	out->more_fragments = frag & 0x2000;
	out->frag_offset = (uint16_t)((frag & 0x1fff) * 8);
	out->ttl = p[8];
	out->protocol = p[9];
	out->checksum = be16_load(p + 10);
	out->src = ip_addr_v4(p + 12);
	out->dst = ip_addr_v4(p + 16);
	out->source_route = false;
	out->options = NULL;
	if (out->hdr_len < IPV4_HDR_LEN || out->total_len < out->hdr_len)
		return WIRE_BAD_LENGTH;
	if (out->hdr_len > IPV4_HDR_LEN) {
		int ret;

		if (len < out->hdr_len)
			return WIRE_TRUNCATED;
		out->options = p + IPV4_HDR_LEN;
		ret = ipv4_check_options(out->options, out->hdr_len - (size_t)IPV4_HDR_LEN);
		if (ret < 0)
			return ret;
		out->source_route = ret == IPV4_SOURCE_ROUTE;
	}
	return out->hdr_len;
}

/* A word of 32 bits as it lies in memory. */
static inline uint64_t ipv4_word(const uint8_t *p)
{
	uint32_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

/* Of a header without options. 32-bit words into 64 bits: no carry can be lost. */
static inline uint64_t ipv4_sum_plain(const uint8_t *p)
{
	return ipv4_word(p) + ipv4_word(p + 4) + ipv4_word(p + 8) + ipv4_word(p + 12) + ipv4_word(p + 16);
}

static inline bool ipv4_checksum_ok(const void *bytes, size_t hdr_len)
{
	if (hdr_len == IPV4_HDR_LEN)
		return csum_is_valid(ipv4_sum_plain(bytes));
	return csum_is_valid(csum_inline(bytes, hdr_len));
}

static inline int ipv4_payload_len(const struct ipv4_hdr *hdr, size_t available)
{
	if (hdr->total_len > available)
		return WIRE_BAD_LENGTH;
	return hdr->total_len - hdr->hdr_len;
}

#endif
