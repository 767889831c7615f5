/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a super-frame's headers are, for every form it may have, and what is not one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <linux/virtio_net.h>

#include "provider/vnet/vnet.h"

enum { GSO_UDP_L4 = 5 };

struct frame {
	uint8_t bytes[200];
	uint32_t len;
};

static void put(struct frame *f, const void *bytes, uint32_t n)
{
	memcpy(f->bytes + f->len, bytes, n);
	f->len += n;
}

static void put_link(struct frame *f, unsigned tags, const char type[2])
{
	memset(f, 0, sizeof(*f));
	f->len = 12;
	for (unsigned i = 0; i < tags; i++)
		put(f, i + 1 < tags ? "\x88\xa8\x00\x05" : "\x81\x00\x00\x07", 4);
	put(f, type, 2);
}

static void put_ipv4(struct frame *f, unsigned words, uint8_t protocol)
{
	uint8_t ip[60] = { (uint8_t)(0x40 | words), [9] = protocol };

	put(f, ip, words * 4);
}

static void put_tcp(struct frame *f, unsigned words)
{
	uint8_t tcp[60] = { [12] = (uint8_t)(words << 4) };

	put(f, tcp, words * 4);
}

static void assert_layout(const struct frame *f, uint16_t l4, uint16_t header, uint16_t csum, uint8_t gso)
{
	struct vnet_layout layout = { 0 };

	assert_int_equal(vnet_parse(f->bytes, f->len, &layout), 0);
	assert_int_equal(layout.l4_offset, l4);
	assert_int_equal(layout.header_len, header);
	assert_int_equal(layout.csum_offset, csum);
	assert_int_equal(layout.gso_type, gso);
}

static void vnet_parse__tcp_over_ipv4_with_options(void **state)
{
	struct frame f;

	put_link(&f, 0, "\x08\x00");
	put_ipv4(&f, 6, 6);
	put_tcp(&f, 8);
	assert_layout(&f, 14 + 24, 14 + 24 + 32, 16, VIRTIO_NET_HDR_GSO_TCPV4);
}

static void vnet_parse__udp_over_ipv4(void **state)
{
	struct frame f;

	put_link(&f, 0, "\x08\x00");
	put_ipv4(&f, 5, 17);
	put(&f, "\0\0\0\0\0\0\0\0", 8);
	assert_layout(&f, 34, 42, 6, GSO_UDP_L4);
}

static void vnet_parse__ipv6_and_tags(void **state)
{
	static const uint8_t ip6[40] = { 0x60, [6] = 6 };

	for (unsigned tags = 0; tags < 3; tags++) {
		struct frame f;

		put_link(&f, tags, "\x86\xdd");
		put(&f, ip6, sizeof(ip6));
		put_tcp(&f, 5);
		assert_layout(&f, (uint16_t)(54 + 4 * tags), (uint16_t)(74 + 4 * tags), 16,
			      VIRTIO_NET_HDR_GSO_TCPV6);
	}
}

static void vnet_parse__refuses_every_truncation(void **state)
{
	struct vnet_layout layout;
	struct frame f;

	put_link(&f, 2, "\x08\x00");
	put_ipv4(&f, 15, 6);
	put_tcp(&f, 15);
	for (uint32_t len = 0; len < f.len; len++)
		assert_int_equal(vnet_parse(f.bytes, len, &layout), -EINVAL);
	assert_int_equal(vnet_parse(f.bytes, f.len, &layout), 0);
}

static void vnet_parse__refuses_other_protocols(void **state)
{
	static const char *const types[] = { "\x08\x06", "\x88\xb5", "\x00\x2e" };
	struct vnet_layout layout;
	struct frame f;

	for (unsigned i = 0; i < 3; i++) {
		put_link(&f, 0, types[i]);
		put_ipv4(&f, 5, 6);
		put_tcp(&f, 5);
		assert_int_equal(vnet_parse(f.bytes, f.len, &layout), -EINVAL);
	}
	put_link(&f, 0, "\x08\x00");
	put_ipv4(&f, 5, 1);
	put_tcp(&f, 5);
	assert_int_equal(vnet_parse(f.bytes, f.len, &layout), -EINVAL);
	put_link(&f, 3, "\x08\x00"); /* one tag too many */
	put_ipv4(&f, 5, 6);
	put_tcp(&f, 5);
	assert_int_equal(vnet_parse(f.bytes, f.len, &layout), -EINVAL);
}

static void vnet_parse__refuses_header_lengths_below_the_minimum(void **state)
{
	struct vnet_layout layout;
	struct frame f;

	put_link(&f, 0, "\x08\x00");
	put_ipv4(&f, 5, 6);
	put_tcp(&f, 5);
	f.bytes[14] = 0x44;
	assert_int_equal(vnet_parse(f.bytes, f.len, &layout), -EINVAL);
	f.bytes[14] = 0x45;
	f.bytes[46] = 0x40;
	assert_int_equal(vnet_parse(f.bytes, f.len, &layout), -EINVAL);
}

static void vnet_send__refuses_what_is_no_super_frame(void **state)
{
	static uint8_t memory[2048];
	static struct fbuf buf;
	struct fbuf_pool pool;
	struct fbuf *f;
	struct frame bytes;

	fbuf_pool_init(&pool, sizeof(memory), 0);
	fbuf_pool_add(&pool, &buf, memory, 1);
	put_link(&bytes, 0, "\x08\x00");
	put_ipv4(&bytes, 5, 6);
	put_tcp(&bytes, 5);
	f = fbuf_alloc(&pool);
	assert_int_equal(fbuf_append(f, bytes.bytes, bytes.len), bytes.len);
	f->csum = FBUF_CSUM_PARTIAL;
	assert_int_equal(vnet_send(-1, 1, f), -EINVAL); /* no segment size */
	f->gso_size = 1000;
	f->csum = FBUF_CSUM_UNKNOWN;
	assert_int_equal(vnet_send(-1, 1, f), -EINVAL); /* nobody completes the sums */
	f->csum = FBUF_CSUM_PARTIAL;
	f->data[12] = 0x12;
	assert_int_equal(vnet_send(-1, 1, f), -EINVAL); /* not IP */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vnet_parse__tcp_over_ipv4_with_options),
		cmocka_unit_test(vnet_parse__udp_over_ipv4),
		cmocka_unit_test(vnet_parse__ipv6_and_tags),
		cmocka_unit_test(vnet_parse__refuses_every_truncation),
		cmocka_unit_test(vnet_parse__refuses_other_protocols),
		cmocka_unit_test(vnet_parse__refuses_header_lengths_below_the_minimum),
		cmocka_unit_test(vnet_send__refuses_what_is_no_super_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
