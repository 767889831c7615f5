/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * udp.h - the UDP header (RFC 768, over IPv6: RFC 8200 8.1).
 *
 * Does:     parse and emit; compare the length field with the packet.
 * Does not: compute or verify the checksum (it covers the payload); jumbograms (length 0).
 * Threads:  any, no state.
 */
#ifndef FSOCK_WIRE_UDP_H
#define FSOCK_WIRE_UDP_H

#include <stddef.h>
#include <stdint.h>

#include "base/endian.h"
#include "wire/error.h"

enum { UDP_HDR_LEN = 8 };

struct udp_hdr {
	uint16_t src_port, dst_port; /* host order */
	uint16_t len;		     /* header and payload, bytes */
	uint16_t checksum;	     /* 0 = the sender computed none (not allowed over IPv6) */
};

/*
 * Parse a header. The length field is compared with the header only (udp_payload_len() for the
 * rest), so that a quoted header parses too.
 * Return: 8, or WIRE_TRUNCATED, or WIRE_BAD_LENGTH (below 8; 0 too, as in a jumbogram).
 */
static inline int udp_parse(struct udp_hdr *out, const void *bytes, size_t len);

/*
 * Payload bytes of a datagram to which IP gave @available bytes, header included. Fewer than
 * available is allowed, as on the kernel: the surplus is cut.
 * Return: 0..65527, or WIRE_BAD_LENGTH when it claims more than is there.
 */
static inline int udp_payload_len(const struct udp_hdr *hdr, size_t available);

/* Write the header. Return: 8, or 0 when @room is too small (nothing written). */
static inline size_t udp_emit(const struct udp_hdr *hdr, void *bytes, size_t room);

/* inline definitions */

static inline int udp_parse(struct udp_hdr *out, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	if (len < UDP_HDR_LEN)
		return WIRE_TRUNCATED;
	out->src_port = be16_load(p);
	out->dst_port = be16_load(p + 2);
	out->len = be16_load(p + 4);
	out->checksum = be16_load(p + 6);
	return out->len < UDP_HDR_LEN ? (int)WIRE_BAD_LENGTH : (int)UDP_HDR_LEN;
}

static inline int udp_payload_len(const struct udp_hdr *hdr, size_t available)
{
	if (hdr->len > available)
		return WIRE_BAD_LENGTH;
	return hdr->len - UDP_HDR_LEN;
}

static inline size_t udp_emit(const struct udp_hdr *hdr, void *bytes, size_t room)
{
	uint8_t *p = bytes;

	if (room < UDP_HDR_LEN)
		return 0;
	be16_store(p, hdr->src_port);
	be16_store(p + 2, hdr->dst_port);
	be16_store(p + 4, hdr->len);
	be16_store(p + 6, hdr->checksum);
	return UDP_HDR_LEN;
}

#endif
