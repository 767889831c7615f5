/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arp.h - ARP for IPv4 over Ethernet (RFC 826).
 *
 * Does:     parse and emit requests and replies.
 * Does not: other hardware or protocol kinds (WIRE_UNSUPPORTED), any answer to them.
 * Threads:  any, no state.
 */
#ifndef FSOCK_WIRE_ARP_H
#define FSOCK_WIRE_ARP_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "wire/error.h"

enum { ARP_LEN = 28 };

enum arp_op {
	ARP_REQUEST = 1,
	ARP_REPLY = 2,
};

struct arp_hdr {
	uint16_t op;			      /* enum arp_op, or another: not judged here */
	struct eth_addr sender_mac, target_mac; /* target: zero in a request */
	struct ip_addr sender_ip, target_ip;  /* IPv4-mapped */
};

/*
 * Parse the packet behind the link header; bytes beyond it are padding.
 * Return: 28, or WIRE_TRUNCATED; WIRE_UNSUPPORTED when it is not IPv4 over Ethernet;
 * WIRE_BAD_LENGTH when it is, but its address lengths are not 6 and 4.
 */
int arp_parse(struct arp_hdr *out, const void *bytes, size_t len);

/* Write the packet. Return: 28, or 0 when @room is too small (nothing written). */
size_t arp_emit(const struct arp_hdr *hdr, void *bytes, size_t room);

#endif
