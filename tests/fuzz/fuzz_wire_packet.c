/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_wire_packet.c - whole frames. The first two bytes of the input say where the first part of
 * the frame ends (little endian; 0 or beyond the end: one part), the rest is the frame.
 *
 * Offsets and lengths stay inside the frame; a frame in parts gives what the whole frame gives, or
 * says that it is split; the result agrees with the parsers of the single protocols.
 */
#include "wire/packet.h"

#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/protocol.h"
#include "wire/tcp.h"
#include "wire/udp.h"

static void check_bounds(const struct packet *p, size_t first, size_t total)
{
	size_t end = (size_t)p->l3_offset + p->l3_len;

	FUZZ_CHECK(p->l3_offset < p->l4_offset && p->l4_offset <= p->payload_offset);
	FUZZ_CHECK(p->payload_offset <= first && first <= total && end <= total);
	FUZZ_CHECK((size_t)p->l4_offset + p->l4_len == end);
	FUZZ_CHECK((size_t)p->payload_offset + p->payload_len <= end);
	FUZZ_CHECK(!p->is_fragment || p->src_port + p->dst_port == 0);
	FUZZ_CHECK(p->is_fragment || (p->frag_offset == 0 && !p->more_fragments));
	FUZZ_CHECK((size_t)p->frag_offset + (p->is_fragment ? p->l4_len : 0) <= 65535);
}

static void check_ip(const struct packet *p, const uint8_t *frame, size_t total)
{
	const uint8_t *l3 = frame + p->l3_offset;
	struct ipv4_hdr v4 = { 0 };
	struct ipv6_hdr v6 = { 0 };

	if (p->is_v6) {
		FUZZ_CHECK(ipv6_parse(&v6, l3, total - p->l3_offset) == IPV6_HDR_LEN);
		FUZZ_CHECK(ip_addr_equal(&v6.src, &p->src) && ip_addr_equal(&v6.dst, &p->dst));
		FUZZ_CHECK(p->has_ext == ipv6_nh_is_ext(v6.next_header));
		return;
	}
	FUZZ_CHECK(ipv4_parse(&v4, l3, total - p->l3_offset) == p->l4_offset - p->l3_offset);
	FUZZ_CHECK(ipv4_checksum_ok(l3, v4.hdr_len) && !v4.source_route);
	FUZZ_CHECK(ip_addr_equal(&v4.src, &p->src) && ip_addr_equal(&v4.dst, &p->dst));
	FUZZ_CHECK(v4.total_len == p->l3_len && v4.id == p->ip_id);
}

static void check_transport(const struct packet *p, const uint8_t *frame)
{
	const uint8_t *l4 = frame + p->l4_offset;
	struct udp_hdr udp = { 0 };

	if (p->is_fragment)
		return;
	if (p->protocol == WIRE_PROTO_UDP) {
		FUZZ_CHECK(udp_parse(&udp, l4, p->l4_len) == UDP_HDR_LEN);
		FUZZ_CHECK(udp.src_port == p->src_port && udp.dst_port == p->dst_port);
		FUZZ_CHECK(udp_payload_len(&udp, p->l4_len) == (int)p->payload_len);
	} else if (p->protocol == WIRE_PROTO_TCP) {
		struct tcp_hdr tcp = { 0 };
		int len = tcp_parse(&tcp, l4, p->l4_len);

		/* Options are not read by packet_parse(). */
		FUZZ_CHECK(len == WIRE_BAD_OPTION || len == p->payload_offset - p->l4_offset);
		FUZZ_CHECK(tcp.src_port == p->src_port && tcp.dst_port == p->dst_port);
	}
}

/* The same frame with only @first bytes in its first part, which is copied to find overruns. */
static void check_split(const struct packet *whole, enum packet_result want, const uint8_t *frame,
			size_t first, size_t total)
{
	uint8_t *part = malloc(first > 0 ? first : 1);
	enum packet_result got;
	struct packet p;

	FUZZ_CHECK(part != NULL);
	memcpy(part, frame, first);
	memset(&p, 0xa5, sizeof(p));
	got = packet_parse(&p, part, first, total);
	free(part);
	if (got == PACKET_DROP_ETH_SPLIT) {
		FUZZ_CHECK(first < total);
		return;
	}
	/* With less to look at the reason may be another one, but not the verdict. */
	FUZZ_CHECK((got == PACKET_OK) == (want == PACKET_OK));
	if (got != PACKET_OK)
		return;
	FUZZ_CHECK(memcmp(&p, whole, sizeof(p)) == 0);
	check_bounds(&p, first, total);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum packet_result result;
	const uint8_t *frame = data + 2;
	size_t first, total;
	struct packet p, ip;

	if (size < 2)
		return 0;
	total = size - 2;
	first = (size_t)(data[0] | data[1] << 8);
	memset(&p, 0xa5, sizeof(p));
	result = packet_parse(&p, frame, total, total);
	FUZZ_CHECK(result < PACKET_N_RESULTS && result != PACKET_DROP_ETH_SPLIT);
	if (result == PACKET_OK) {
		check_bounds(&p, total, total);
		check_ip(&p, frame, total);
		check_transport(&p, frame);
		FUZZ_CHECK(packet_parse_ip(&ip, frame + p.l3_offset, total - p.l3_offset,
					   total - p.l3_offset) == PACKET_OK);
		FUZZ_CHECK(ip.payload_len == p.payload_len && ip.protocol == p.protocol);
	}
	if (first > 0 && first <= total)
		check_split(&p, result, frame, first, total);
	return 0;
}
