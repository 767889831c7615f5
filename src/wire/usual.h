/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * usual.h - the one form that nearly every frame of a TCP connection over IPv4 has, recognised in one go.
 *
 * Untagged Ethernet; IPv4 whole and without options; TCP with ACK, perhaps PSH, and timestamps alone as RFC 7323
 * appendix A lays them out; nothing behind the segment.
 *
 * Does:     compare the form, the lengths and the IPv4 header's checksum, and read the numbers.
 * Does not: look at addresses, ports and payload, verify TCP's checksum: usual_tcp4_intact() does that.
 * Threads:  any, no state.
 */
#ifndef FSOCK_WIRE_USUAL_H
#define FSOCK_WIRE_USUAL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/csum.h"
#include "base/endian.h"
#include "wire/eth.h"
#include "wire/ipv4.h"
#include "wire/protocol.h"
#include "wire/tcp.h"

enum { USUAL_TCP4_HDR = ETH_HDR_LEN + IPV4_HDR_LEN + TCP_HDR_LEN + TCP_TS_LAYOUT_LEN };

struct usual_tcp4 {
	uint32_t src, dst; /* addresses as they lie in memory, like ip_addr.w[3] */
	uint32_t ports;	   /* source in the upper half, destination in the lower */
	uint32_t seq, ack, ts_val;
	uint16_t window;
	bool push;
};

/* @len bytes of a whole frame at @frame. False: it has another form, or is wrong; @out is not to be read. */
static inline bool usual_tcp4(struct usual_tcp4 *out, const uint8_t *frame, uint32_t len);

/* Is TCP's checksum right? For what usual_tcp4() was true of. */
static inline bool usual_tcp4_intact(const struct csum_ops *ops, const uint8_t *frame, uint32_t len);

/* inline definitions */

static inline bool usual_tcp4(struct usual_tcp4 *out, const uint8_t *frame, uint32_t len)
{
	const uint8_t *ip = frame + ETH_HDR_LEN, *tcp = ip + IPV4_HDR_LEN;
	uint32_t offset_flags_window;

	if (len < USUAL_TCP4_HDR)
		return false;
	offset_flags_window = be32_load(tcp + 12);
	/* EtherType, version and header length; fragment and protocol, whatever the TTL; data offset, and no flag but
	 * ACK and PSH; the options. */
	if ((ipv4_word(ip - 2) & FS_BE32(0xffffff00u)) != FS_BE32(0x08004500u) ||
	    (ipv4_word(ip + 6) & FS_BE32(0x3fff00ffu)) != FS_BE32(WIRE_PROTO_TCP) ||
	    (offset_flags_window & 0xfff70000) != (8u << 28 | (uint32_t)TCP_ACK << 16) ||
	    ipv4_word(tcp + TCP_HDR_LEN) != FS_BE32((uint32_t)TCP_TS_LAYOUT))
		return false;
	if (be16_load(ip + 2) != len - ETH_HDR_LEN || ipv4_sum_plain(ip) % 0xffff != 0)
		return false;
	out->src = (uint32_t)ipv4_word(ip + 12);
	out->dst = (uint32_t)ipv4_word(ip + 16);
	out->ports = be32_load(tcp);
	out->seq = be32_load(tcp + 4);
	out->ack = be32_load(tcp + 8);
	out->window = (uint16_t)offset_flags_window;
	out->push = offset_flags_window & (uint32_t)TCP_PSH << 16;
	out->ts_val = be32_load(tcp + TCP_HDR_LEN + 4);
	return true;
}

static inline bool usual_tcp4_intact(const struct csum_ops *ops, const uint8_t *frame, uint32_t len)
{
	/* The addresses end where the segment begins: one sum over both. */
	uint32_t before = ETH_HDR_LEN + IPV4_HDR_LEN - 8, segment = len - ETH_HDR_LEN - (uint32_t)IPV4_HDR_LEN;
	uint64_t sum = csum_bytes(ops, frame + before, len - before);
	be16_t protocol = be16_make(WIRE_PROTO_TCP), length = be16_make((uint16_t)segment);

	return csum_is_valid(csum_add(sum, (uint64_t)protocol.raw + length.raw));
}

#endif
