/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * protocol.h - the transport protocol numbers this stack knows (IANA protocol-numbers). The
 * system's IPPROTO_ names come with <netinet/in.h>, which the engine does not include.
 */
#ifndef FSOCK_WIRE_PROTOCOL_H
#define FSOCK_WIRE_PROTOCOL_H

enum wire_protocol {
	WIRE_PROTO_ICMP = 1,
	WIRE_PROTO_TCP = 6,
	WIRE_PROTO_UDP = 17,
	WIRE_PROTO_ICMPV6 = 58,
};

#endif
