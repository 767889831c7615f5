/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * icmpv6.c - ICMPv6 headers.
 *
 * Standard: RFC 4443 2.1. Not here: quoted datagrams (icmp.c), neighbour discovery.
 */
#include "wire/icmpv6.h"

#include "base/endian.h"

int icmpv6_parse(struct icmpv6_hdr *out, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	if (len < ICMPV6_HDR_LEN)
		return WIRE_TRUNCATED;
	out->type = p[0];
	out->code = p[1];
	out->checksum = be16_load(p + 2);
	out->rest = be32_load(p + 4);
	return ICMPV6_HDR_LEN;
}

size_t icmpv6_emit(const struct icmpv6_hdr *hdr, void *bytes, size_t room)
{
	uint8_t *p = bytes;

	if (room < ICMPV6_HDR_LEN)
		return 0;
	p[0] = hdr->type;
	p[1] = hdr->code;
	be16_store(p + 2, hdr->checksum);
	be32_store(p + 4, hdr->rest);
	return ICMPV6_HDR_LEN;
}
