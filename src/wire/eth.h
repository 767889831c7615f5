/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * eth.h - Ethernet II frames with up to two VLAN tags (IEEE 802.3, 802.1Q, 802.1ad).
 *
 * Does:     parse and emit the link header.
 * Does not: handle 802.3 length frames (LLC), frames with more than two tags, or the frame check
 *           sequence, which no provider delivers.
 * Threads:  any, no state.
 */
#ifndef FSOCK_WIRE_ETH_H
#define FSOCK_WIRE_ETH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/addr.h"
#include "base/endian.h"
#include "wire/error.h"

enum {
	ETH_HDR_LEN = 14,
	ETH_TAG_LEN = 4,
	ETH_MAX_TAGS = 2,
	ETH_MAX_HDR_LEN = ETH_HDR_LEN + ETH_MAX_TAGS * ETH_TAG_LEN,
	ETH_TYPE_MIN = 0x0600, /* IEEE 802.3 3.2.6: below it the field is a length */
};

/* EtherTypes; the names leave room for the system's own ETH_P_ and ETHERTYPE_. */
enum {
	ETH_TYPE_IPV4 = 0x0800,
	ETH_TYPE_ARP = 0x0806,
	ETH_TYPE_VLAN = 0x8100, /* 802.1Q customer tag */
	ETH_TYPE_QINQ = 0x88a8, /* 802.1ad service tag */
	ETH_TYPE_IPV6 = 0x86dd,
};

struct eth_tag {
	uint16_t tpid; /* ETH_TYPE_VLAN or ETH_TYPE_QINQ */
	uint16_t tci;  /* priority (3 bits), drop eligible (1), VLAN id (12); host order */
};

struct eth_hdr {
	struct eth_addr dst, src;
	uint16_t type;	/* EtherType after the tags, host order */
	uint8_t n_tags; /* entries of tag[] in use, outermost first; unused ones are 0 */
	struct eth_tag tag[ETH_MAX_TAGS];
};

/*
 * Parse a frame's link header.
 * Return: its length with tags (14, 18, 22), or WIRE_TRUNCATED, or WIRE_UNSUPPORTED for an 802.3
 * length frame and for more than two tags.
 */
static inline int eth_parse(struct eth_hdr *out, const void *bytes, size_t len);

/* Length eth_emit() writes. */
static inline size_t eth_emit_len(const struct eth_hdr *hdr);

/* Write the header. Return: its length, or 0 when @room is too small (nothing written). */
size_t eth_emit(const struct eth_hdr *hdr, void *bytes, size_t room);

/* The slow half of eth_parse(): tagged frames. */
int eth_parse_tags(struct eth_hdr *out, const void *bytes, size_t len);

/* inline definitions */

static inline uint16_t eth_tag_vid(const struct eth_tag *tag)
{
	return tag->tci & 0x0fff;
}

static inline bool eth_addr_equal(const struct eth_addr *a, const struct eth_addr *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

/* Group bit: multicast and broadcast. */
static inline bool eth_addr_is_group(const struct eth_addr *a)
{
	return a->b[0] & 1;
}

/* The station of a group: RFC 1112 6.4, RFC 2464 7. */
static inline struct eth_addr eth_group_of(const struct ip_addr *group)
{
	struct eth_addr mac = { { 0x33, 0x33 } };

	if (ip_addr_is_v4(group))
		return (struct eth_addr){
			{ 0x01, 0x00, 0x5e, group->b[13] & 0x7f, group->b[14], group->b[15] }
		};
	memcpy(mac.b + 2, group->b + 12, 4);
	return mac;
}

static inline bool eth_type_is_tag(uint16_t type)
{
	return type == ETH_TYPE_VLAN || type == ETH_TYPE_QINQ;
}

static inline int eth_parse(struct eth_hdr *out, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	if (len < ETH_HDR_LEN)
		return WIRE_TRUNCATED;
	memcpy(out->dst.b, p, 6);
	memcpy(out->src.b, p + 6, 6);
	out->type = be16_load(p + 12);
	out->n_tags = 0;
	memset(out->tag, 0, sizeof(out->tag));
	if (out->type < ETH_TYPE_MIN)
		return WIRE_UNSUPPORTED;
	if (eth_type_is_tag(out->type))
		return eth_parse_tags(out, bytes, len);
	return ETH_HDR_LEN;
}

static inline size_t eth_emit_len(const struct eth_hdr *hdr)
{
	return ETH_HDR_LEN + (size_t)hdr->n_tags * ETH_TAG_LEN;
}

#endif
