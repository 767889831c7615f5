/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_ip_input.c - which frames reach the protocol, in what shape, and which counter takes the rest.
 *
 * The protocol is a recorder. Faults of single headers are tried in test_wire_packet.c; here each
 * drop reason of the link and the network layer once.
 */
#include "ip_rig.h"
#include "wire/packet.h"

static const char text[] = "0123456789abcdef";

struct recorder {
	struct rig_host h;
	unsigned calls;
	struct packet last;
	struct fbuf *frame; /* the last one, owned */
	fs_ns now;
};

static void record(const struct ip_env *env, const struct packet *p, struct fbuf *frame, fs_ns now)
{
	struct recorder *r = env->context;

	r->calls++;
	r->last = *p;
	fbuf_free(r->frame);
	r->frame = frame;
	r->now = now;
}

static void setup(struct recorder *r)
{
	memset(r, 0, sizeof(*r));
	rig_open_ip(&r->h, 0, &(struct rig_sizes){ RIG_PINNED, RIG_PAYLOAD, RIG_CHUNK });
	r->h.env = (struct ip_env){ .csum = csum_ops(CSUM_SCALAR), .input = record, .context = r };
}

static void teardown(struct recorder *r)
{
	fbuf_free(r->frame);
	rig_close(&r->h);
}

static struct rig_datagram good(const struct recorder *r)
{
	return (struct rig_datagram){ .src = rig_v4(10, 0, 0, 2),
				      .dst = r->h.v4,
				      .src_port = 7,
				      .dst_port = 9,
				      .payload = text,
				      .len = 16 };
}

static struct rig_datagram good6(const struct recorder *r)
{
	struct rig_datagram d = good(r);

	d.src = rig_v6(0xfd, 2);
	d.dst = r->h.v6;
	return d;
}

static void expect_dropped(struct recorder *r, enum fs_counter which)
{
	assert_int_equal(r->calls, 0);
	rig_expect_drop(&r->h, which);
	teardown(r);
}

/* One datagram is dropped for that reason. */
static void drop(struct recorder *r, const struct rig_datagram *d, enum fs_counter which)
{
	rig_input(&r->h, d);
	expect_dropped(r, which);
}

/* One built frame, already spoiled, is dropped for that reason. */
static void drop_frame(struct recorder *r, const struct rig_frame *f, enum fs_counter which)
{
	rig_input_fbuf(&r->h, rig_fbuf(&r->h, f->bytes, f->len, 0));
	expect_dropped(r, which);
}

static void ip_input__describes_a_v4_datagram(void **state)
{
	struct rig_datagram d;
	struct recorder r;

	setup(&r);
	d = good(&r);
	d.tos = 0xb8;
	d.ttl = 3;
	r.h.env.now = 99;
	rig_input(&r.h, &d);
	assert_int_equal(r.calls, 1);
	assert_int_equal(r.now, 99);
	assert_true(ip_addr_equal(&r.frame->src, &d.src));
	assert_true(ip_addr_equal(&r.frame->dst, &d.dst));
	assert_int_equal(r.frame->src_port, 7);
	assert_int_equal(r.frame->dst_port, 9);
	assert_int_equal(r.frame->ttl, 3);
	assert_int_equal(r.frame->tos, 0xb8);
	assert_int_equal(r.frame->ifindex, RIG_IFINDEX);
	assert_int_equal(r.frame->l3_offset, 14);
	assert_int_equal(r.frame->total, 24);
	assert_int_equal(r.frame->len, 24);
	assert_memory_equal(r.frame->data + 8, text, 16);
	rig_expect_drop(&r.h, FS_CTR_N);
	teardown(&r);
}

static void ip_input__describes_a_v6_datagram(void **state)
{
	struct rig_datagram d;
	struct recorder r;

	setup(&r);
	d = good6(&r);
	d.ttl = 255;
	rig_input(&r.h, &d);
	assert_int_equal(r.calls, 1);
	assert_true(ip_addr_equal(&r.frame->src, &d.src));
	assert_int_equal(r.frame->ttl, 255);
	assert_int_equal(r.frame->total, 24);
	assert_memory_equal(r.frame->data + 8, text, 16);
	teardown(&r);
}

static void ip_input__trims_padding(void **state)
{
	struct rig_datagram d;
	struct recorder r;

	setup(&r);
	d = good(&r);
	d.padding = 30;
	rig_input(&r.h, &d);
	assert_int_equal(r.calls, 1);
	assert_int_equal(r.frame->total, 24);
	teardown(&r);
}

static void ip_input__skips_options(void **state)
{
	struct rig_datagram d;
	struct recorder r;

	setup(&r);
	d = good(&r);
	d.options = true;
	rig_input(&r.h, &d);
	assert_int_equal(r.calls, 1);
	assert_memory_equal(r.frame->data + 8, text, 16);
	teardown(&r);
}

static void ip_input__chains_stay_whole(void **state)
{
	const struct rig_frame *f;
	struct rig_datagram d;
	struct recorder r;

	setup(&r);
	d = good(&r);
	d.padding = 9;
	f = rig_build(&d);
	rig_input_fbuf(&r.h, rig_fbuf(&r.h, f->bytes, f->len, 43));
	assert_int_equal(r.calls, 1);
	assert_int_equal(r.frame->total, 24);
	assert_int_equal(r.frame->len, 9);
	assert_non_null(r.frame->next);
	teardown(&r);
}

static void ip_input__takes_a_burst(void **state)
{
	struct fbuf *frames[5];
	const struct rig_frame *f;
	struct rig_datagram d;
	struct recorder r;

	setup(&r);
	d = good(&r);
	f = rig_build(&d);
	for (unsigned i = 0; i < FS_ARRAY_SIZE(frames); i++)
		frames[i] = rig_fbuf(&r.h, f->bytes, i == 2 ? 20 : f->len, 0);
	ip_input(&r.h.ip, &r.h.env, frames, FS_ARRAY_SIZE(frames), 0);
	assert_int_equal(r.calls, 4);
	rig_expect_drop(&r.h, FS_CTR_drop_ip_header);
	ip_input(&r.h.ip, &r.h.env, NULL, 0, 0);
	teardown(&r);
}

static void ip_input__priority_tag_is_no_vlan(void **state)
{
	struct rig_datagram d;
	struct recorder r;

	setup(&r);
	d = good(&r);
	d.vid = 5 << 13;
	rig_input(&r.h, &d);
	assert_int_equal(r.calls, 1);
	teardown(&r);
}

static void ip_input__drop_eth_short(void **state)
{
	struct recorder r;
	struct rig_frame *f;
	struct rig_datagram d;

	setup(&r);
	d = good(&r);
	f = rig_build(&d);
	f->len = 13;
	drop_frame(&r, f, FS_CTR_drop_eth_short);
}

static void ip_input__empty_frame(void **state)
{
	struct recorder r;

	setup(&r);
	rig_input_fbuf(&r.h, fbuf_alloc(&r.h.pinned));
	expect_dropped(&r, FS_CTR_drop_eth_short);
}

static void ip_input__drop_eth_type(void **state)
{
	struct recorder r;
	struct rig_frame *f;
	struct rig_datagram d;

	setup(&r);
	d = good(&r);
	f = rig_build(&d);
	f->bytes[13] = 6; /* ARP */
	drop_frame(&r, f, FS_CTR_drop_eth_type);
}

static void ip_input__drop_eth_not_us(void **state)
{
	struct rig_datagram d;
	struct recorder r;

	setup(&r);
	d = good(&r);
	d.mac = (struct eth_addr){ { 2, 0, 0, 0, 0, 2 } };
	drop(&r, &d, FS_CTR_drop_eth_not_us);
}

static void ip_input__drop_eth_vlan(void **state)
{
	struct rig_datagram d;
	struct recorder r;

	setup(&r);
	d = good(&r);
	d.vid = 5;
	drop(&r, &d, FS_CTR_drop_eth_vlan);
}

static void ip_input__drop_eth_vlan_that_the_provider_stripped(void **state)
{
	const struct rig_frame *f;
	struct rig_datagram d;
	struct recorder r;
	struct fbuf *frame;

	setup(&r);
	d = good(&r);
	f = rig_build(&d);
	frame = rig_fbuf(&r.h, f->bytes, f->len, 0);
	frame->vlan = 5;
	rig_input_fbuf(&r.h, frame);
	expect_dropped(&r, FS_CTR_drop_eth_vlan);
}

static void ip_input__drop_ip_version(void **state)
{
	struct recorder r;
	struct rig_frame *f;
	struct rig_datagram d;

	setup(&r);
	d = good(&r);
	f = rig_build(&d);
	f->bytes[14] = 0x65;
	drop_frame(&r, f, FS_CTR_drop_ip_version);
}

static void ip_input__drop_ip_header(void **state)
{
	struct recorder r;
	struct rig_frame *f;
	struct rig_datagram d;

	setup(&r);
	d = good(&r);
	f = rig_build(&d);
	f->bytes[14] = 0x44;
	drop_frame(&r, f, FS_CTR_drop_ip_header);
}

static void ip_input__drop_ip_length(void **state)
{
	struct recorder r;
	struct rig_frame *f;
	struct rig_datagram d;

	setup(&r);
	d = good(&r);
	f = rig_build(&d);
	f->len--; /* the total length exceeds the frame */
	drop_frame(&r, f, FS_CTR_drop_ip_length);
}

static void ip_input__drop_ip_checksum(void **state)
{
	struct recorder r;
	struct rig_frame *f;
	struct rig_datagram d;

	setup(&r);
	d = good(&r);
	f = rig_build(&d);
	f->bytes[14 + 8] ^= 1;
	drop_frame(&r, f, FS_CTR_drop_ip_checksum);
}

static void ip_input__drop_ip_options(void **state)
{
	static const uint8_t lsrr[4] = { 131, 3, 4, 0 };
	struct ipv4_hdr ip = {
		.hdr_len = 24, .total_len = 48, .ttl = 64, .protocol = 17, .options = lsrr
	};
	struct recorder r;
	struct rig_frame *f;
	struct rig_datagram d;

	setup(&r);
	d = good(&r);
	d.options = true;
	f = rig_build(&d);
	ip.src = d.src;
	ip.dst = d.dst;
	ipv4_emit(&ip, f->bytes + 14, 24);
	drop_frame(&r, f, FS_CTR_drop_ip_options);
}

static void ip_input__drop_ip_source(void **state)
{
	const struct ip_addr bad[] = {
		rig_v4(224, 0, 0, 1), rig_v4(255, 255, 255, 255), rig_v4(127, 0, 0, 1),
		rig_v4(0, 0, 0, 0),   rig_v4(10, 0, 0, 1),	  rig_v6(0xff, 1),
		rig_v6(0, 1), /* ::1 */
	};

	for (unsigned i = 0; i < FS_ARRAY_SIZE(bad); i++) {
		struct rig_datagram d;
		struct recorder r;

		setup(&r);
		d = ip_addr_is_v4(&bad[i]) ? good(&r) : good6(&r);
		d.src = bad[i];
		drop(&r, &d, FS_CTR_drop_ip_source);
	}
}

static void ip_input__drop_ip_not_local(void **state)
{
	struct rig_datagram d;
	struct recorder r;

	setup(&r);
	d = good(&r);
	d.dst = rig_v4(10, 0, 0, 3);
	drop(&r, &d, FS_CTR_drop_ip_not_local);
	setup(&r);
	d = good6(&r);
	d.dst = rig_v6(0xff, 1);
	drop(&r, &d, FS_CTR_drop_ip_not_local);
}

static void ip_input__address_of_another_port_is_not_local(void **state)
{
	const struct rig_frame *f;
	struct rig_datagram d;
	struct recorder r;
	struct ip_port conf;
	struct fbuf *frame;

	setup(&r);
	conf = r.h.ip.port[0];
	conf.local[0] = rig_v4(10, 1, 0, 1);
	assert_int_equal(ip_port_set(&r.h.ip, 1, &conf), 0);
	d = good(&r);
	f = rig_build(&d);
	frame = rig_fbuf(&r.h, f->bytes, f->len, 0);
	frame->port = 1;
	rig_input_fbuf(&r.h, frame);
	expect_dropped(&r, FS_CTR_drop_ip_not_local);
}

static void ip_input__drop_ip_fragment(void **state)
{
	struct rig_datagram d;
	struct recorder r;

	setup(&r);
	d = good(&r);
	d.fragment = true;
	drop(&r, &d, FS_CTR_drop_ip_fragment);
}

static void ip_input__drop_ip_protocol(void **state)
{
	static const uint8_t protocols[] = { WIRE_PROTO_ICMP, WIRE_PROTO_TCP, 132 };

	for (unsigned i = 0; i < FS_ARRAY_SIZE(protocols); i++) {
		struct rig_datagram d;
		struct recorder r;

		setup(&r);
		d = good(&r);
		d.protocol = protocols[i];
		drop(&r, &d, FS_CTR_drop_ip_protocol);
	}
}

static void ip_input__drop_ip6_ext(void **state)
{
	static const uint8_t dest[8] = { WIRE_PROTO_UDP, 0, 1, 4 }; /* PadN of 4 */
	struct recorder r;
	struct rig_frame *f;
	struct rig_datagram d;

	setup(&r);
	d = good6(&r);
	d.surplus = 8; /* room for the extension header, which makes it the UDP header's place */
	f = rig_build(&d);
	memmove(f->bytes + f->l4 + 8, f->bytes + f->l4, 24);
	memcpy(f->bytes + f->l4, dest, 8);
	f->bytes[f->l3 + 6] = IPV6_NH_DEST;
	drop_frame(&r, f, FS_CTR_drop_ip6_ext);
}

static void ip_input__port_beyond_the_stack_is_our_bug(void **state)
{
	struct recorder r;
	struct fbuf *frame;

	setup(&r);
	frame = fbuf_alloc(&r.h.pinned);
	frame->port = IP_MAX_PORTS;
	expect_assert_failure(rig_input_fbuf(&r.h, frame));
	fbuf_free(frame);
	teardown(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ip_input__describes_a_v4_datagram),
		cmocka_unit_test(ip_input__describes_a_v6_datagram),
		cmocka_unit_test(ip_input__trims_padding),
		cmocka_unit_test(ip_input__skips_options),
		cmocka_unit_test(ip_input__chains_stay_whole),
		cmocka_unit_test(ip_input__takes_a_burst),
		cmocka_unit_test(ip_input__priority_tag_is_no_vlan),
		cmocka_unit_test(ip_input__drop_eth_short),
		cmocka_unit_test(ip_input__empty_frame),
		cmocka_unit_test(ip_input__drop_eth_type),
		cmocka_unit_test(ip_input__drop_eth_not_us),
		cmocka_unit_test(ip_input__drop_eth_vlan),
		cmocka_unit_test(ip_input__drop_eth_vlan_that_the_provider_stripped),
		cmocka_unit_test(ip_input__drop_ip_version),
		cmocka_unit_test(ip_input__drop_ip_header),
		cmocka_unit_test(ip_input__drop_ip_length),
		cmocka_unit_test(ip_input__drop_ip_checksum),
		cmocka_unit_test(ip_input__drop_ip_options),
		cmocka_unit_test(ip_input__drop_ip_source),
		cmocka_unit_test(ip_input__drop_ip_not_local),
		cmocka_unit_test(ip_input__address_of_another_port_is_not_local),
		cmocka_unit_test(ip_input__drop_ip_fragment),
		cmocka_unit_test(ip_input__drop_ip_protocol),
		cmocka_unit_test(ip_input__drop_ip6_ext),
		cmocka_unit_test(ip_input__port_beyond_the_stack_is_our_bug),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
