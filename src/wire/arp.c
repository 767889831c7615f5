/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arp.c - ARP packets for IPv4 over Ethernet.
 *
 * Standard: RFC 826. Not here: the protocol's behaviour (src/neigh).
 */
#include "wire/arp.h"

#include <string.h>

#include "base/endian.h"
#include "wire/eth.h"

enum { ARP_HW_ETHERNET = 1 };

int arp_parse(struct arp_hdr *out, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	if (len < ARP_LEN)
		return WIRE_TRUNCATED;
	if (be16_load(p) != ARP_HW_ETHERNET || be16_load(p + 2) != ETH_TYPE_IPV4)
		return WIRE_UNSUPPORTED;
	if (p[4] != 6 || p[5] != 4)
		return WIRE_BAD_LENGTH;
	out->op = be16_load(p + 6);
	memcpy(out->sender_mac.b, p + 8, 6);
	out->sender_ip = ip_addr_v4(p + 14);
	memcpy(out->target_mac.b, p + 18, 6);
	out->target_ip = ip_addr_v4(p + 24);
	return ARP_LEN;
}

size_t arp_emit(const struct arp_hdr *hdr, void *bytes, size_t room)
{
	uint8_t *p = bytes;

	if (room < ARP_LEN)
		return 0;
	be16_store(p, ARP_HW_ETHERNET);
	be16_store(p + 2, ETH_TYPE_IPV4);
	p[4] = 6;
	p[5] = 4;
	be16_store(p + 6, hdr->op);
	memcpy(p + 8, hdr->sender_mac.b, 6);
	memcpy(p + 14, hdr->sender_ip.b + 12, 4);
	memcpy(p + 18, hdr->target_mac.b, 6);
	memcpy(p + 24, hdr->target_ip.b + 12, 4);
	return ARP_LEN;
}
