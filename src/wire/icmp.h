/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * icmp.h - ICMP messages (RFC 792, RFC 1191), and the datagram an error of either family quotes.
 *
 * Does:     parse and emit the 8-byte header; find addresses, protocol, ports in a quoted datagram.
 * Does not: compute or verify the checksum (it covers the whole message), map errors to errno,
 *           read the extensions of RFC 4884 (they lie behind what is wanted here).
 * Threads:  any, no state.
 */
#ifndef FSOCK_WIRE_ICMP_H
#define FSOCK_WIRE_ICMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "wire/error.h"

enum {
	ICMP_HDR_LEN = 8,
	ICMP_QUOTED_L4 = 8, /* RFC 792: bytes of the transport header every error quotes */
};

/* Message types; FS_ keeps them apart from the system's <netinet/ip_icmp.h>. */
enum fs_icmp_type {
	FS_ICMP_ECHO_REPLY = 0,
	FS_ICMP_UNREACHABLE = 3,
	FS_ICMP_SOURCE_QUENCH = 4, /* deprecated by RFC 6633 */
	FS_ICMP_REDIRECT = 5,
	FS_ICMP_ECHO = 8,
	FS_ICMP_TIME_EXCEEDED = 11,
	FS_ICMP_PARAMETER = 12,
};

enum {
	FS_ICMP_CODE_FRAG_NEEDED = 4, /* of FS_ICMP_UNREACHABLE */
};

struct icmp_hdr {
	uint8_t type, code;
	uint16_t checksum;
	uint32_t rest; /* second word, host order; its meaning depends on the type, see below */
};

/* Where a datagram quoted by an error came from and went to. */
struct icmp_original {
	struct ip_addr src, dst;
	uint16_t src_port, dst_port; /* host order; 0 when !has_ports */
	uint32_t tcp_seq;	     /* second word of the transport header: for TCP */
	uint16_t l4_offset;	     /* from the quoted IP header */
	uint8_t protocol;
	bool has_ports;		     /* UDP or TCP, and not a later fragment */
	bool is_fragment;
};

/* Return: 8, or WIRE_TRUNCATED. */
int icmp_parse(struct icmp_hdr *out, const void *bytes, size_t len);

/* Write the header, checksum as given. Return: 8, or 0 when @room is too small (nothing is
 * written). */
size_t icmp_emit(const struct icmp_hdr *hdr, void *bytes, size_t room);

/*
 * Read the datagram quoted at @bytes (behind the ICMP header), IPv6 when @v6. Its lengths are not
 * compared with @len: errors cut it.
 * Return: offset of the transport header, or the IP parser's error; WIRE_TRUNCATED too when a UDP
 * or TCP header is quoted with fewer than ICMP_QUOTED_L4 bytes.
 */
int icmp_original_parse(struct icmp_original *out, bool v6, const void *bytes, size_t len);

/* inline definitions */

static inline uint16_t icmp_echo_id(const struct icmp_hdr *hdr)
{
	return (uint16_t)(hdr->rest >> 16);
}

static inline uint16_t icmp_echo_seq(const struct icmp_hdr *hdr)
{
	return (uint16_t)hdr->rest;
}

/* Next-hop MTU of "fragmentation needed" (RFC 1191 4); 0 from routers that predate it. */
static inline uint16_t icmp_mtu(const struct icmp_hdr *hdr)
{
	return (uint16_t)hdr->rest;
}

/* Byte of the quoted datagram that a parameter problem complains of. */
static inline uint8_t icmp_pointer(const struct icmp_hdr *hdr)
{
	return (uint8_t)(hdr->rest >> 24);
}

/* Types that quote a datagram. */
static inline bool icmp_is_error(uint8_t type)
{
	return type == FS_ICMP_UNREACHABLE || type == FS_ICMP_SOURCE_QUENCH ||
	       type == FS_ICMP_REDIRECT || type == FS_ICMP_TIME_EXCEEDED ||
	       type == FS_ICMP_PARAMETER;
}

#endif
