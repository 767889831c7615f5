/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ipv4.c - IPv4 options and emission.
 *
 * Standard: RFC 791 3.1. Options are checked for form and otherwise left to the kernel's judgement;
 * only source routes are told apart, since hosts refuse them (RFC 7126 4.3, 4.4).
 */
#include "wire/ipv4.h"

enum {
	IPV4_OPT_END = 0,
	IPV4_OPT_NOP = 1,
	IPV4_OPT_LSRR = 131, /* loose source and record route */
	IPV4_OPT_SSRR = 137, /* strict source and record route */
};

int ipv4_check_options(const uint8_t *options, size_t len)
{
	size_t at = 0;
	int ret = 0;

	while (at < len) {
		uint8_t kind = options[at], opt_len;

		if (kind == IPV4_OPT_END)
			break;
		if (kind == IPV4_OPT_NOP) {
			at++;
			continue;
		}
		if (at + 2 > len)
			return WIRE_BAD_OPTION;
		opt_len = options[at + 1];
		if (opt_len < 2 || opt_len > len - at)
			return WIRE_BAD_OPTION;
		if (kind == IPV4_OPT_LSRR || kind == IPV4_OPT_SSRR)
			ret = IPV4_SOURCE_ROUTE;
		at += opt_len;
	}
	return ret;
}

size_t ipv4_emit(const struct ipv4_hdr *hdr, void *bytes, size_t room)
{
	uint8_t *p = bytes;
	uint16_t frag = (uint16_t)(hdr->frag_offset / 8);
	be16_t checksum;

	if (hdr->hdr_len < IPV4_HDR_LEN || hdr->hdr_len > IPV4_MAX_HDR_LEN || hdr->hdr_len % 4 != 0)
		return 0;
	if (room < hdr->hdr_len || (hdr->hdr_len > IPV4_HDR_LEN && hdr->options == NULL))
		return 0;
	frag |= hdr->reserved_flag ? 0x8000 : 0;
	frag |= hdr->dont_fragment ? 0x4000 : 0;
	frag |= hdr->more_fragments ? 0x2000 : 0;
	p[0] = (uint8_t)(4 << 4 | hdr->hdr_len / 4);
	p[1] = hdr->tos;
	be16_store(p + 2, hdr->total_len);
	be16_store(p + 4, hdr->id);
	be16_store(p + 6, frag);
	p[8] = hdr->ttl;
	p[9] = hdr->protocol;
	be16_store(p + 10, 0);
	memcpy(p + 12, hdr->src.b + 12, 4);
	memcpy(p + 16, hdr->dst.b + 12, 4);
	if (hdr->hdr_len > IPV4_HDR_LEN)
		memmove(p + IPV4_HDR_LEN, hdr->options, hdr->hdr_len - IPV4_HDR_LEN);
	checksum = csum_finish(csum_inline(p, hdr->hdr_len));
	memcpy(p + 10, &checksum, sizeof(checksum));
	return hdr->hdr_len;
}
