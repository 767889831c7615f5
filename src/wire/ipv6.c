/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ipv6.c - IPv6 extension headers and emission.
 *
 * Standards: RFC 8200 4 (extension headers), RFC 4302 2 (AH), RFC 5095 (routing type 0), RFC 6946
 * (atomic fragments).
 * Not here: jumbograms; a packet that carries one is WIRE_UNSUPPORTED by its option's number.
 */
#include "wire/ipv6.h"

enum {
	IPV6_OPT_PAD1 = 0,
	IPV6_OPT_ACTION = 0xc0, /* RFC 8200 4.2: what to do with an unknown option; 0 = skip it */
};

/* Check the options of a hop-by-hop or destination options header. */
static int ipv6_options_check(const uint8_t *p, size_t len)
{
	size_t at = 0;

	while (at < len) {
		if (p[at] == IPV6_OPT_PAD1) {
			at++;
			continue;
		}
		if (at + 2 > len || (size_t)p[at + 1] + 2 > len - at)
			return WIRE_BAD_OPTION;
		if (p[at] & IPV6_OPT_ACTION)
			return WIRE_UNSUPPORTED;
		at += (size_t)p[at + 1] + 2;
	}
	return 0;
}

static int ipv6_fragment_parse(struct ipv6_ext *out, const uint8_t *p)
{
	uint16_t field = be16_load(p + 2);

	out->has_fragment_hdr = true;
	out->more_fragments = field & 1;
	out->frag_offset = field & 0xfff8;
	out->frag_id = be32_load(p + 4);
	return 0;
}

/* One extension header of kind @kind at @p, @size bytes long: whatever must be looked at. */
static int ipv6_ext_check(struct ipv6_ext *out, uint8_t kind, const uint8_t *p, size_t size)
{
	switch (kind) {
	case IPV6_NH_HOP:
		if (out->count != 0)
			return WIRE_BAD_OPTION;
		return ipv6_options_check(p + 2, size - 2);
	case IPV6_NH_DEST:
		return ipv6_options_check(p + 2, size - 2);
	case IPV6_NH_ROUTING:
		return p[3] != 0 ? WIRE_UNSUPPORTED : 0;
	case IPV6_NH_FRAGMENT:
		return ipv6_fragment_parse(out, p);
	}
	return 0; /* AH: its length is all there is to know without a key */
}

/* Bytes of the extension header of kind @kind whose second byte is @field. */
static size_t ipv6_ext_size(uint8_t kind, uint8_t field)
{
	if (kind == IPV6_NH_FRAGMENT)
		return IPV6_FRAG_LEN;
	if (kind == IPV6_NH_AH)
		return ((size_t)field + 2) * 4;
	return ((size_t)field + 1) * 8;
}

int ipv6_ext_parse(struct ipv6_ext *out, uint8_t next_header, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	size_t at = 0;

	memset(out, 0, sizeof(*out));
	out->protocol = next_header;
	while (ipv6_nh_is_ext(out->protocol)) {
		size_t size;
		int ret;

		if (out->count == IPV6_MAX_EXT)
			return WIRE_UNSUPPORTED;
		if (len - at < 8)
			return WIRE_TRUNCATED;
		size = ipv6_ext_size(out->protocol, p[at + 1]);
		if (len - at < size)
			return WIRE_TRUNCATED;
		ret = ipv6_ext_check(out, out->protocol, p + at, size);
		if (ret < 0)
			return ret;
		out->protocol = p[at];
		out->count++;
		at += size;
		if (out->frag_offset != 0)
			break;
	}
	out->len = (uint16_t)at;
	return (int)at;
}

size_t ipv6_emit(const struct ipv6_hdr *hdr, void *bytes, size_t room)
{
	uint8_t *p = bytes;

	if (room < IPV6_HDR_LEN)
		return 0;
	be32_store(p, 6u << 28 | (uint32_t)hdr->traffic_class << 20 | (hdr->flow_label & 0xfffff));
	be16_store(p + 4, hdr->payload_len);
	p[6] = hdr->next_header;
	p[7] = hdr->hop_limit;
	memcpy(p + 8, hdr->src.b, 16);
	memcpy(p + 24, hdr->dst.b, 16);
	return IPV6_HDR_LEN;
}

size_t ipv6_frag_emit(const struct ipv6_ext *ext, void *bytes, size_t room)
{
	uint8_t *p = bytes;

	if (room < IPV6_FRAG_LEN)
		return 0;
	p[0] = ext->protocol;
	p[1] = 0;
	be16_store(p + 2, (uint16_t)((ext->frag_offset & 0xfff8) | (ext->more_fragments ? 1 : 0)));
	be32_store(p + 4, ext->frag_id);
	return IPV6_FRAG_LEN;
}
