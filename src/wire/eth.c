/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * eth.c - VLAN tags and emission of the link header.
 *
 * Standards: IEEE 802.3 clause 3 (Ethernet II), 802.1Q clause 9 (tags, 802.1ad included).
 * Not here: untagged parsing, which is inline in eth.h.
 */
#include "wire/eth.h"

int eth_parse_tags(struct eth_hdr *out, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	size_t at = ETH_HDR_LEN;

	out->n_tags = 0;
	while (eth_type_is_tag(out->type)) {
		if (out->n_tags == ETH_MAX_TAGS)
			return WIRE_UNSUPPORTED;
		if (len < at + ETH_TAG_LEN)
			return WIRE_TRUNCATED;
		out->tag[out->n_tags].tpid = out->type;
		out->tag[out->n_tags].tci = be16_load(p + at);
		out->n_tags++;
		out->type = be16_load(p + at + 2);
		at += ETH_TAG_LEN;
	}
	if (out->type < ETH_TYPE_MIN)
		return WIRE_UNSUPPORTED;
	return (int)at;
}

size_t eth_emit(const struct eth_hdr *hdr, void *bytes, size_t room)
{
	uint8_t *p = bytes;
	size_t at = 12;

	if (hdr->n_tags > ETH_MAX_TAGS || room < eth_emit_len(hdr))
		return 0;
	memcpy(p, hdr->dst.b, 6);
	memcpy(p + 6, hdr->src.b, 6);
	for (unsigned i = 0; i < hdr->n_tags; i++) {
		be16_store(p + at, hdr->tag[i].tpid);
		be16_store(p + at + 2, hdr->tag[i].tci);
		at += ETH_TAG_LEN;
	}
	be16_store(p + at, hdr->type);
	return at + 2;
}
