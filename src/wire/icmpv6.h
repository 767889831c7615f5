/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * icmpv6.h - ICMPv6 messages (RFC 4443).
 *
 * Does:     parse and emit the 8-byte header of errors and echo. The datagram an error quotes is
 *           read by icmp_original_parse() of icmp.h.
 * Does not: compute or verify the checksum (it covers the whole message and a pseudo-header), map
 *           errors to errno, read neighbour discovery.
 * Threads:  any, no state.
 */
#ifndef FSOCK_WIRE_ICMPV6_H
#define FSOCK_WIRE_ICMPV6_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/error.h"

enum { ICMPV6_HDR_LEN = 8 };

/* Message types; FS_ keeps them apart from the system's <netinet/icmp6.h>. */
enum fs_icmpv6_type {
	FS_ICMPV6_UNREACHABLE = 1,
	FS_ICMPV6_PACKET_TOO_BIG = 2,
	FS_ICMPV6_TIME_EXCEEDED = 3,
	FS_ICMPV6_PARAMETER = 4,
	FS_ICMPV6_ECHO = 128,
	FS_ICMPV6_ECHO_REPLY = 129,
};

struct icmpv6_hdr {
	uint8_t type, code;
	uint16_t checksum;
	uint32_t rest; /* second word, host order: MTU of "packet too big", pointer of a parameter
			  problem, id and sequence of an echo */
};

/* Return: 8, or WIRE_TRUNCATED. */
int icmpv6_parse(struct icmpv6_hdr *out, const void *bytes, size_t len);

/* Write the header, checksum as given. Return: 8, or 0 when @room is too small (nothing is
 * written). */
size_t icmpv6_emit(const struct icmpv6_hdr *hdr, void *bytes, size_t room);

/* inline definitions */

static inline uint16_t icmpv6_echo_id(const struct icmpv6_hdr *hdr)
{
	return (uint16_t)(hdr->rest >> 16);
}

static inline uint16_t icmpv6_echo_seq(const struct icmpv6_hdr *hdr)
{
	return (uint16_t)hdr->rest;
}

/* RFC 4443 2.1: the high bit of the type tells errors (0) from information. Errors quote a
 * datagram. */
static inline bool icmpv6_is_error(uint8_t type)
{
	return type < 128;
}

#endif
