/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_wire_packet.c - whole frames: what packet_parse() finds, and which counter takes the rest.
 */
#include "wire/packet.h"

#include "wire/arp.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/protocol.h"
#include "wire/tcp.h"
#include "wire/udp.h"
#include "wire_guard.h"

enum { FRAME_MAX = 256 };

struct frame {
	uint8_t bytes[FRAME_MAX];
	size_t len, l3, l4; /* l3, l4: offsets */
};

static const uint8_t addr_a[] = { 10, 0, 0, 1 }, addr_b[] = { 10, 0, 0, 2 };
static const uint8_t addr_a6[16] = { 0xfd, [15] = 1 }, addr_b6[16] = { 0xfd, [15] = 2 };

static void frame_eth(struct frame *f, uint16_t type, uint8_t n_tags)
{
	struct eth_hdr h = { .dst = { { 2, 0, 0, 0, 0, 2 } }, .src = { { 2, 0, 0, 0, 0, 1 } },
			     .type = type, .n_tags = n_tags,
			     .tag = { { ETH_TYPE_QINQ, 10 }, { ETH_TYPE_VLAN, 20 } } };

	memset(f, 0, sizeof(*f));
	f->l3 = eth_emit(&h, f->bytes, sizeof(f->bytes));
	f->len = f->l3;
}

/* An IPv4 header in front of @payload bytes yet to come. */
static void frame_ipv4(struct frame *f, uint8_t protocol, size_t payload)
{
	struct ipv4_hdr h = { .src = ip_addr_v4(addr_a), .dst = ip_addr_v4(addr_b), .hdr_len = 20,
			      .total_len = (uint16_t)(20 + payload), .ttl = 64, .tos = 0x10,
			      .protocol = protocol, .id = 77, .dont_fragment = true };

	f->l4 = f->l3 + ipv4_emit(&h, f->bytes + f->l3, sizeof(f->bytes) - f->l3);
	f->len = f->l4 + payload;
}

static void frame_ipv6(struct frame *f, uint8_t next_header, size_t payload)
{
	struct ipv6_hdr h = { .src = ip_addr_v6(addr_a6), .dst = ip_addr_v6(addr_b6),
			      .payload_len = (uint16_t)payload, .next_header = next_header,
			      .hop_limit = 63, .traffic_class = 0x20, .flow_label = 0xabcde };

	f->l4 = f->l3 + ipv6_emit(&h, f->bytes + f->l3, sizeof(f->bytes) - f->l3);
	f->len = f->l4 + payload;
}

static void frame_udp(struct frame *f, size_t at, size_t payload)
{
	struct udp_hdr h = { .src_port = 1000, .dst_port = 2000, .len = (uint16_t)(8 + payload),
			     .checksum = 0xabcd };

	assert_int_equal(udp_emit(&h, f->bytes + at, 8), 8);
}

static struct frame udp4(uint8_t n_tags, size_t payload)
{
	struct frame f;

	frame_eth(&f, ETH_TYPE_IPV4, n_tags);
	frame_ipv4(&f, WIRE_PROTO_UDP, 8 + payload);
	frame_udp(&f, f.l4, payload);
	return f;
}

static struct frame udp6(size_t payload)
{
	struct frame f;

	frame_eth(&f, ETH_TYPE_IPV6, 0);
	frame_ipv6(&f, WIRE_PROTO_UDP, 8 + payload);
	frame_udp(&f, f.l4, payload);
	return f;
}

/* After a change of the IPv4 header: make its checksum right again. */
static void fix_ipv4_checksum(struct frame *f)
{
	size_t hdr_len = (size_t)(f->bytes[f->l3] & 15) * 4;
	be16_t sum;

	memset(f->bytes + f->l3 + 10, 0, 2);
	sum = csum_finish(csum_inline(f->bytes + f->l3, hdr_len));
	memcpy(f->bytes + f->l3 + 10, &sum, 2);
}

static enum packet_result parse(struct packet *p, const struct frame *f)
{
	struct guard g = guard_make();
	enum packet_result ret;

	memset(p, 0xa5, sizeof(*p)); /* every field must be written */
	ret = packet_parse(p, guard_end(&g, f->bytes, f->len), f->len, f->len);
	guard_free(&g);
	return ret;
}

static enum packet_result result_of(const struct frame *f)
{
	struct packet p;

	return parse(&p, f);
}

static void packet_parse__udp4(void **state)
{
	struct ip_addr src = ip_addr_v4(addr_a), dst = ip_addr_v4(addr_b);
	struct frame f = udp4(0, 5);
	struct packet p;

	assert_int_equal(parse(&p, &f), PACKET_OK);
	assert_true(ip_addr_equal(&p.src, &src));
	assert_true(ip_addr_equal(&p.dst, &dst));
	assert_int_equal(p.src_port, 1000);
	assert_int_equal(p.dst_port, 2000);
	assert_int_equal(p.protocol, WIRE_PROTO_UDP);
	assert_int_equal(p.l4_checksum, 0xabcd);
	assert_int_equal(p.ttl, 64);
	assert_int_equal(p.tos, 0x10);
	assert_int_equal(p.ip_id, 77);
	assert_true(p.dont_fragment);
	assert_false(p.is_v6 || p.is_fragment || p.has_options || p.has_ext);
	assert_int_equal(p.l3_offset, 14);
	assert_int_equal(p.l3_len, 33);
	assert_int_equal(p.l4_offset, 34);
	assert_int_equal(p.l4_len, 13);
	assert_int_equal(p.payload_offset, 42);
	assert_int_equal(p.payload_len, 5);
	assert_int_equal(p.eth.n_tags, 0);
	assert_int_equal(p.eth.dst.b[5], 2);
}

static void packet_parse__udp6(void **state)
{
	struct ip_addr src = ip_addr_v6(addr_a6), dst = ip_addr_v6(addr_b6);
	struct frame f = udp6(5);
	struct packet p;

	assert_int_equal(parse(&p, &f), PACKET_OK);
	assert_true(ip_addr_equal(&p.src, &src));
	assert_true(ip_addr_equal(&p.dst, &dst));
	assert_true(p.is_v6);
	assert_false(p.has_ext || p.has_options || p.is_fragment || p.more_fragments);
	assert_false(p.dont_fragment);
	assert_int_equal(p.ip_id, 0);
	assert_int_equal(p.frag_offset, 0);
	assert_int_equal(p.ttl, 63);
	assert_int_equal(p.tos, 0x20);
	assert_int_equal(p.flow_label, 0xabcde);
	assert_int_equal(p.l3_len, 53);
	assert_int_equal(p.l4_offset, 54);
	assert_int_equal(p.payload_offset, 62);
	assert_int_equal(p.payload_len, 5);
	assert_int_equal(p.dst_port, 2000);
}

static void packet_parse__tags(void **state)
{
	struct frame f = udp4(2, 1);
	struct packet p;

	assert_int_equal(parse(&p, &f), PACKET_OK);
	assert_int_equal(p.eth.n_tags, 2);
	assert_int_equal(eth_tag_vid(&p.eth.tag[1]), 20);
	assert_int_equal(p.l3_offset, 22);
	assert_int_equal(p.payload_offset, 50);
}

static void packet_parse__padding_is_not_payload(void **state)
{
	struct frame f = udp4(0, 1);
	struct packet p;

	f.len = 60;
	assert_int_equal(parse(&p, &f), PACKET_OK);
	assert_int_equal(p.l3_len, 29);
	assert_int_equal(p.payload_len, 1);
}

/* A datagram shorter than its packet: the surplus is cut, as on the kernel. */
static void packet_parse__udp_shorter_than_packet(void **state)
{
	struct frame f = udp4(0, 10);
	struct packet p;

	be16_store(f.bytes + f.l4 + 4, 11);
	assert_int_equal(parse(&p, &f), PACKET_OK);
	assert_int_equal(p.payload_len, 3);
	assert_int_equal(p.l4_len, 18);
}

static void packet_parse__empty_datagram(void **state)
{
	struct frame f = udp4(0, 0);
	struct packet p;

	assert_int_equal(parse(&p, &f), PACKET_OK);
	assert_int_equal(p.payload_len, 0);
	assert_int_equal(p.payload_offset, f.len);
}

static void packet_parse__ipv4_options(void **state)
{
	static const uint8_t alert[] = { 0x94, 4, 0, 0 };
	struct frame f = udp4(0, 2);
	struct packet p;

	memmove(f.bytes + f.l4 + 4, f.bytes + f.l4, 10);
	memcpy(f.bytes + f.l4, alert, 4);
	f.len += 4;
	f.bytes[f.l3] = 0x46;
	be16_store(f.bytes + f.l3 + 2, 34);
	fix_ipv4_checksum(&f);
	assert_int_equal(parse(&p, &f), PACKET_OK);
	assert_true(p.has_options);
	assert_int_equal(p.l4_offset, 38);
	assert_int_equal(p.dst_port, 2000);
	f.bytes[f.l4 + 1] = 5; /* past the header */
	fix_ipv4_checksum(&f);
	assert_int_equal(parse(&p, &f), PACKET_DROP_IP_OPTIONS);
	f.bytes[f.l3 + 10]++; /* the checksum is judged before the options */
	assert_int_equal(parse(&p, &f), PACKET_DROP_IP_CHECKSUM);
	f.bytes[f.l4] = 131; /* source route */
	f.bytes[f.l4 + 1] = 4;
	fix_ipv4_checksum(&f);
	assert_int_equal(parse(&p, &f), PACKET_DROP_IP_OPTIONS);
}

static void packet_parse__ipv4_fragments(void **state)
{
	struct frame f = udp4(0, 8);
	struct packet p;

	be16_store(f.bytes + f.l3 + 6, 0x2000);
	fix_ipv4_checksum(&f);
	assert_int_equal(parse(&p, &f), PACKET_OK);
	assert_true(p.is_fragment && p.more_fragments);
	assert_int_equal(p.frag_offset, 0);
	assert_int_equal(p.src_port, 0);
	assert_int_equal(p.payload_offset, p.l4_offset);
	assert_int_equal(p.payload_len, 16);
	be16_store(f.bytes + f.l3 + 6, 8189);
	fix_ipv4_checksum(&f);
	assert_int_equal(parse(&p, &f), PACKET_OK); /* 65512 + 16 <= 65535 */
	assert_int_equal(p.frag_offset, 65512);
	be16_store(f.bytes + f.l3 + 6, 8190);
	fix_ipv4_checksum(&f);
	assert_int_equal(parse(&p, &f), PACKET_DROP_IP_LENGTH);
}

static void packet_parse__ipv6_extensions(void **state)
{
	static const uint8_t ext[] = { IPV6_NH_DEST, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0 };
	struct frame f;
	struct packet p;

	frame_eth(&f, ETH_TYPE_IPV6, 0);
	frame_ipv6(&f, IPV6_NH_HOP, sizeof(ext) + 8 + 3);
	memcpy(f.bytes + f.l4, ext, sizeof(ext));
	frame_udp(&f, f.l4 + sizeof(ext), 3);
	assert_int_equal(parse(&p, &f), PACKET_OK);
	assert_true(p.has_ext);
	assert_int_equal(p.protocol, WIRE_PROTO_UDP);
	assert_int_equal(p.l4_offset, 70);
	assert_int_equal(p.l4_len, 11);
	assert_int_equal(p.payload_len, 3);
	assert_int_equal(p.dst_port, 2000);
	f.bytes[f.l4 + 3] = 5; /* option past its header */
	assert_int_equal(parse(&p, &f), PACKET_DROP_IP6_EXT);
	f.bytes[f.l4 + 3] = 4;
	f.bytes[f.l4 + 1] = 200; /* header past the packet */
	assert_int_equal(parse(&p, &f), PACKET_DROP_IP6_EXT);
}

static void packet_parse__ipv6_fragment(void **state)
{
	struct ipv6_ext ext = { .protocol = WIRE_PROTO_UDP, .frag_offset = 1448,
				.frag_id = 0x12345678 };
	struct frame f;
	struct packet p;

	frame_eth(&f, ETH_TYPE_IPV6, 0);
	frame_ipv6(&f, IPV6_NH_FRAGMENT, 8 + 10);
	assert_int_equal(ipv6_frag_emit(&ext, f.bytes + f.l4, 8), 8);
	assert_int_equal(parse(&p, &f), PACKET_OK);
	assert_true(p.is_fragment && p.has_ext);
	assert_int_equal(p.frag_offset, 1448);
	assert_int_equal(p.ip_id, 0x12345678);
	assert_int_equal(p.src_port, 0);
	assert_int_equal(p.payload_len, 10);
	ext.frag_offset = 65528;
	assert_int_equal(ipv6_frag_emit(&ext, f.bytes + f.l4, 8), 8);
	assert_int_equal(parse(&p, &f), PACKET_DROP_IP_LENGTH);
}

static void packet_parse__tcp(void **state)
{
	struct tcp_hdr h = { .src_port = 80, .dst_port = 5000, .options = TCP_HAS_TIMESTAMP,
			     .checksum = 0x55aa };
	struct frame f;
	struct packet p;

	frame_eth(&f, ETH_TYPE_IPV4, 0);
	frame_ipv4(&f, WIRE_PROTO_TCP, 32 + 7);
	assert_int_equal(tcp_emit(&h, f.bytes + f.l4, 32), 32);
	assert_int_equal(parse(&p, &f), PACKET_OK);
	assert_int_equal(p.src_port, 80);
	assert_int_equal(p.dst_port, 5000);
	assert_int_equal(p.l4_checksum, 0x55aa);
	assert_int_equal(p.payload_offset, 66);
	assert_int_equal(p.payload_len, 7);
	f.bytes[f.l4 + 12] = 4 << 4;
	assert_int_equal(parse(&p, &f), PACKET_DROP_TCP_HEADER);
	f.bytes[f.l4 + 12] = 10 << 4; /* header longer than what IP carries */
	assert_int_equal(parse(&p, &f), PACKET_DROP_TCP_HEADER);
}

static void packet_parse__icmp_of_either_family(void **state)
{
	struct frame f;
	struct packet p;

	frame_eth(&f, ETH_TYPE_IPV4, 0);
	frame_ipv4(&f, WIRE_PROTO_ICMP, 12);
	be16_store(f.bytes + f.l4 + 2, 0x7777);
	assert_int_equal(parse(&p, &f), PACKET_OK);
	assert_int_equal(p.l4_checksum, 0x7777);
	assert_int_equal(p.payload_len, 4);
	frame_eth(&f, ETH_TYPE_IPV6, 0);
	frame_ipv6(&f, WIRE_PROTO_ICMPV6, 7);
	assert_int_equal(parse(&p, &f), PACKET_DROP_ICMP_HEADER);
	/* Over the other family the number is just an unknown protocol. */
	frame_eth(&f, ETH_TYPE_IPV4, 0);
	frame_ipv4(&f, WIRE_PROTO_ICMPV6, 3);
	assert_int_equal(parse(&p, &f), PACKET_OK);
	assert_int_equal(p.payload_offset, p.l4_offset);
}

static void packet_parse__unknown_protocol(void **state)
{
	struct frame f;
	struct packet p;

	frame_eth(&f, ETH_TYPE_IPV4, 0);
	frame_ipv4(&f, 47, 0);
	assert_int_equal(parse(&p, &f), PACKET_OK);
	assert_int_equal(p.protocol, 47);
	assert_int_equal(p.payload_len, 0);
}

static void packet_parse__other_ethertypes(void **state)
{
	struct frame f;
	struct packet p;

	frame_eth(&f, ETH_TYPE_ARP, 1);
	f.len += ARP_LEN;
	assert_int_equal(parse(&p, &f), PACKET_DROP_ETH_TYPE);
	assert_int_equal(p.eth.type, ETH_TYPE_ARP);
	assert_int_equal(p.l3_offset, 18);
	frame_eth(&f, 0x0026, 0);
	assert_int_equal(parse(&p, &f), PACKET_DROP_ETH_TYPE);
	assert_int_equal(p.l3_offset, 0);
}

static void packet_parse__bad_ip_headers(void **state)
{
	struct frame f = udp4(0, 4);

	f.bytes[f.l3] = 0x65;
	assert_int_equal(result_of(&f), PACKET_DROP_IP_VERSION);
	f.bytes[f.l3] = 0x44;
	assert_int_equal(result_of(&f), PACKET_DROP_IP_HEADER);
	f = udp4(0, 4);
	be16_store(f.bytes + f.l3 + 2, 19);
	fix_ipv4_checksum(&f);
	assert_int_equal(result_of(&f), PACKET_DROP_IP_LENGTH);
	be16_store(f.bytes + f.l3 + 2, 33); /* one more than there is */
	fix_ipv4_checksum(&f);
	assert_int_equal(result_of(&f), PACKET_DROP_IP_LENGTH);
	f = udp4(0, 4);
	f.bytes[f.l3 + 8]++;
	assert_int_equal(result_of(&f), PACKET_DROP_IP_CHECKSUM);
	f = udp6(4);
	f.bytes[f.l3] = 0x45;
	assert_int_equal(result_of(&f), PACKET_DROP_IP_VERSION);
	f = udp6(4);
	f.bytes[f.l3 + 5]++;
	assert_int_equal(result_of(&f), PACKET_DROP_IP_LENGTH);
}

static void packet_parse__bad_udp_lengths(void **state)
{
	struct frame f = udp4(0, 4);

	for (unsigned len = 0; len < 8; len++) {
		be16_store(f.bytes + f.l4 + 4, (uint16_t)len);
		assert_int_equal(result_of(&f), PACKET_DROP_UDP_LENGTH);
	}
	be16_store(f.bytes + f.l4 + 4, 13);
	f.len = 60; /* padding does not count */
	assert_int_equal(result_of(&f), PACKET_DROP_UDP_LENGTH);
	frame_eth(&f, ETH_TYPE_IPV4, 0);
	frame_ipv4(&f, WIRE_PROTO_UDP, 7);
	assert_int_equal(result_of(&f), PACKET_DROP_UDP_SHORT);
}

/* A frame cut at any length never passes, reads nothing behind the cut, and says where it broke. */
static void packet_parse__truncated_at_every_length(void **state)
{
	struct frame f = udp4(1, 4);
	struct guard g = guard_make();
	struct packet p;

	for (size_t n = 0; n < f.len; n++) {
		enum packet_result want = n < 18   ? PACKET_DROP_ETH_SHORT
					  : n < 38 ? PACKET_DROP_IP_HEADER
						   : PACKET_DROP_IP_LENGTH;

		assert_int_equal(packet_parse(&p, guard_end(&g, f.bytes, n), n, n), want);
	}
	f = udp6(4);
	for (size_t n = 0; n < f.len; n++) {
		enum packet_result want = n < 14   ? PACKET_DROP_ETH_SHORT
					  : n < 54 ? PACKET_DROP_IP_HEADER
						   : PACKET_DROP_IP_LENGTH;

		assert_int_equal(packet_parse(&p, guard_end(&g, f.bytes, n), n, n), want);
	}
	guard_free(&g);
}

/* The same frames whole, but with only the first n bytes in the first part. */
static void packet_parse__first_part_of_every_length(void **state)
{
	struct frame f = udp4(0, 4);
	struct guard g = guard_make();
	struct packet p;

	for (size_t n = 0; n <= f.len; n++)
		assert_int_equal(packet_parse(&p, guard_end(&g, f.bytes, n), n, f.len),
				 n < 42 ? PACKET_DROP_ETH_SPLIT : PACKET_OK);
	assert_int_equal(p.payload_len, 4);
	frame_eth(&f, ETH_TYPE_IPV6, 2);
	frame_ipv6(&f, IPV6_NH_DEST, 8 + 8);
	memcpy(f.bytes + f.l4, "\x11\0\1\4\0\0\0", 8);
	frame_udp(&f, f.l4 + 8, 0);
	for (size_t n = 0; n <= f.len; n++)
		assert_int_equal(packet_parse(&p, guard_end(&g, f.bytes, n), n, f.len),
				 n < f.len ? PACKET_DROP_ETH_SPLIT : PACKET_OK);
	guard_free(&g);
}

static void packet_parse__tcp_options_must_be_in_first_part(void **state)
{
	struct tcp_hdr h = { .options = TCP_HAS_TIMESTAMP };
	struct guard g = guard_make();
	struct frame f;
	struct packet p;

	frame_eth(&f, ETH_TYPE_IPV4, 0);
	frame_ipv4(&f, WIRE_PROTO_TCP, 32);
	assert_int_equal(tcp_emit(&h, f.bytes + f.l4, 32), 32);
	assert_int_equal(packet_parse(&p, guard_end(&g, f.bytes, 65), 65, 66),
			 PACKET_DROP_ETH_SPLIT);
	assert_int_equal(packet_parse(&p, guard_end(&g, f.bytes, 66), 66, 66), PACKET_OK);
	guard_free(&g);
}

static void packet_parse_ip__without_link_header(void **state)
{
	struct frame f = udp4(0, 4);
	struct packet p;

	assert_int_equal(packet_parse_ip(&p, f.bytes + 14, f.len - 14, f.len - 14), PACKET_OK);
	assert_int_equal(p.l3_offset, 0);
	assert_int_equal(p.l4_offset, 20);
	assert_int_equal(p.dst_port, 2000);
	f = udp6(4);
	assert_int_equal(packet_parse_ip(&p, f.bytes + 14, f.len - 14, f.len - 14), PACKET_OK);
	assert_true(p.is_v6);
	f.bytes[14] = 0x50;
	assert_int_equal(packet_parse_ip(&p, f.bytes + 14, f.len - 14, f.len - 14),
			 PACKET_DROP_IP_VERSION);
	assert_int_equal(packet_parse_ip(&p, NULL, 0, 0), PACKET_DROP_IP_HEADER);
	assert_int_equal(packet_parse_ip(&p, NULL, 0, 40), PACKET_DROP_ETH_SPLIT);
}

static void packet_drop_counter__each_result(void **state)
{
	assert_int_equal(packet_drop_counter(PACKET_DROP_ETH_SHORT), FS_CTR_drop_eth_short);
	assert_int_equal(packet_drop_counter(PACKET_DROP_IP_CHECKSUM), FS_CTR_drop_ip_checksum);
	assert_int_equal(packet_drop_counter(PACKET_DROP_UDP_LENGTH), FS_CTR_drop_udp_length);
	for (unsigned r = PACKET_OK + 1; r < PACKET_N_RESULTS; r++)
		assert_true(packet_drop_counter((enum packet_result)r) < FS_CTR_N);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packet_parse__udp4),
		cmocka_unit_test(packet_parse__udp6),
		cmocka_unit_test(packet_parse__tags),
		cmocka_unit_test(packet_parse__padding_is_not_payload),
		cmocka_unit_test(packet_parse__udp_shorter_than_packet),
		cmocka_unit_test(packet_parse__empty_datagram),
		cmocka_unit_test(packet_parse__ipv4_options),
		cmocka_unit_test(packet_parse__ipv4_fragments),
		cmocka_unit_test(packet_parse__ipv6_extensions),
		cmocka_unit_test(packet_parse__ipv6_fragment),
		cmocka_unit_test(packet_parse__tcp),
		cmocka_unit_test(packet_parse__icmp_of_either_family),
		cmocka_unit_test(packet_parse__unknown_protocol),
		cmocka_unit_test(packet_parse__other_ethertypes),
		cmocka_unit_test(packet_parse__bad_ip_headers),
		cmocka_unit_test(packet_parse__bad_udp_lengths),
		cmocka_unit_test(packet_parse__truncated_at_every_length),
		cmocka_unit_test(packet_parse__first_part_of_every_length),
		cmocka_unit_test(packet_parse__tcp_options_must_be_in_first_part),
		cmocka_unit_test(packet_parse_ip__without_link_header),
		cmocka_unit_test(packet_drop_counter__each_result),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
