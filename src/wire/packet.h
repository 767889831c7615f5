/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * packet.h - one call that reads link, network and transport header of an incoming frame.
 *
 * Does:     everything that can be judged by looking at the headers: forms, lengths against the
 *           frame, the IPv4 header checksum, IPv6 extension headers, fragments, ports.
 * Does not: judge addresses, verify transport checksums (they cover all parts of the frame), read
 *           TCP options, reassemble.
 * Threads:  any, no state.
 * Errors:   an enum whose every value but the first has its drop counter.
 */
#ifndef FSOCK_WIRE_PACKET_H
#define FSOCK_WIRE_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/counter.h"
#include "wire/eth.h"

/*
 * What is wrong with a frame: PACKET_DROP_<first>, counted as drop_<second> of counters.def.
 *
 * ETH_SHORT    shorter than the link header
 * ETH_SPLIT    headers not within the first part of a longer frame
 * ETH_TYPE     neither IPv4 nor IPv6; see packet.l3_offset
 * IP_VERSION   version field does not match the EtherType
 * IP_HEADER    short of an IP header, IPv4 header length impossible
 * IP_LENGTH    more bytes claimed than the frame has, or fewer than the header;
 *              fragment that ends beyond 65535
 * IP_CHECKSUM  IPv4 header checksum wrong
 * IP_OPTIONS   IPv4 options malformed, or a source route
 * IP6_EXT      extension headers malformed, too many, or not to be skipped
 * UDP_SHORT    short of a UDP header
 * UDP_LENGTH   UDP length field below 8 or beyond the packet
 * TCP_HEADER   short of a TCP header, or data offset impossible
 * ICMP_HEADER  short of an ICMP or ICMPv6 header
 */
#define PACKET_DROPS(X)                 \
	X(ETH_SHORT, eth_short)         \
	X(ETH_SPLIT, eth_short)         \
	X(ETH_TYPE, eth_type)           \
	X(IP_VERSION, ip_version)       \
	X(IP_HEADER, ip_header)         \
	X(IP_LENGTH, ip_length)         \
	X(IP_CHECKSUM, ip_checksum)     \
	X(IP_OPTIONS, ip_options)       \
	X(IP6_EXT, ip6_ext)             \
	X(UDP_SHORT, udp_short)         \
	X(UDP_LENGTH, udp_length)       \
	X(TCP_HEADER, ip_protocol)      \
	X(ICMP_HEADER, ip_protocol)

#define PACKET_DROP_ENUM(name, counter) PACKET_DROP_##name,
enum packet_result {
	PACKET_OK,
	PACKET_DROPS(PACKET_DROP_ENUM) PACKET_N_RESULTS
};
#undef PACKET_DROP_ENUM

/*
 * A received packet. Offsets are from the frame's first byte. Numbers are in host order.
 * After PACKET_OK everything is valid; a fragment has no ports, its payload starts at l4_offset.
 */
struct packet {
	struct ip_addr src, dst;
	uint16_t src_port, dst_port; /* UDP and TCP; otherwise 0 */
	uint16_t l4_checksum;	     /* field of UDP, TCP, ICMP, ICMPv6. UDP: 0 = none */
	uint8_t protocol;	     /* IANA number behind all extension headers */
	uint8_t ttl, tos;	     /* or hop limit, traffic class */
	bool is_v6;
	bool is_fragment;	     /* frag_offset and more_fragments say which part */
	bool more_fragments;
	bool dont_fragment;	     /* IPv4 */
	bool has_options;	     /* IPv4 options present, well formed */
	bool has_ext;		     /* IPv6 extension headers present, well formed */
	uint16_t frag_offset;	     /* bytes */
	uint32_t ip_id;		     /* IPv4 id, or id of the IPv6 fragment header, else 0 */
	uint32_t flow_label;	     /* IPv6 */

	uint16_t l3_offset;	 /* IP header */
	uint16_t l4_offset;	 /* what follows the IP headers */
	uint16_t payload_offset; /* what follows the transport header; l4_offset where unknown */
	uint32_t l3_len;	 /* bytes of the IP packet with its headers; padding follows */
	uint32_t l4_len;	 /* bytes from l4_offset to the packet's end */
	uint32_t payload_len;	 /* bytes from payload_offset; UDP: as its length field says */

	struct eth_hdr eth; /* with tags */
};

/*
 * Parse the headers of a frame of @total_len bytes, of which @first_len lie at @first_part (the
 * rest in further parts; @first_len = @total_len for a whole frame).
 * Return: PACKET_OK, every field written; or why to drop, with only the fields of the layers parsed
 * before. A frame of another protocol (ARP) gives PACKET_DROP_ETH_TYPE with eth and l3_offset set;
 * l3_offset 0 there means an 802.3 length frame or more than two tags.
 */
enum packet_result packet_parse(struct packet *out, const void *first_part, size_t first_len,
				size_t total_len);

/* The same for a packet that starts with its IP header; @out->eth is zero, offsets start at 0. */
enum packet_result packet_parse_ip(struct packet *out, const void *first_part, size_t first_len,
				   size_t total_len);

/* The counter of a drop. @result must not be PACKET_OK. */
enum fs_counter packet_drop_counter(enum packet_result result);

#endif
