/* SPDX-License-Identifier: BSD-2-Clause */
/* Sizes of a receive ring, what a slot and a virtio-net header may say, and which kernels lose what. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/fbuf.h"
#include "provider/packet/packet_ring.h"

enum { SLOT = 2048, AT = 96, GSO_UDP_L4 = 5 };

static _Alignas(16) uint8_t slot[SLOT];

static struct tpacket2_hdr *filled(uint32_t status, uint32_t at, uint32_t snap, uint32_t len)
{
	struct tpacket2_hdr *hdr = (void *)slot;

	memset(slot, 0xaa, sizeof(slot));
	memset(hdr, 0, sizeof(*hdr));
	hdr->tp_status = status;
	hdr->tp_mac = (uint16_t)at;
	hdr->tp_snaplen = snap;
	hdr->tp_len = len;
	return hdr;
}

static void packet_ring_size__frames_of_the_mtu_fit(void **state)
{
	static const uint32_t mtus[][2] = {
		{ 68, 2048 }, { 1500, 2048 }, { 1902, 2048 }, { 1903, 4096 }, { 9000, 16384 }, { 65535, 16384 },
	};

	for (unsigned i = 0; i < FS_ARRAY_SIZE(mtus); i++) {
		struct packet_ring ring = { 0 };

		packet_ring_size(&ring, mtus[i][0]);
		assert_int_equal(ring.slot_len, mtus[i][1]);
		assert_int_equal(ring.slot_len * ring.slots, PACKET_RING_BYTES);
	}
}

static void packet_slot_read__whole_frame(void **state)
{
	struct packet_slot out;

	assert_int_equal(packet_slot_read(filled(TP_STATUS_USER, AT, 60, 60), SLOT, &out), 0);
	assert_ptr_equal(out.frame, slot + AT);
	assert_int_equal(out.len, 60);
	assert_int_equal(out.total, 60);
	assert_false(out.queued);
	assert_int_equal(out.vlan, 0);
	assert_int_equal(out.vnet.flags, 0xaa);
	assert_int_equal(packet_slot_read(filled(TP_STATUS_USER, AT, SLOT - AT, SLOT - AT), SLOT, &out), 0);
}

static void packet_slot_read__stripped_tag(void **state)
{
	struct packet_slot out;
	struct tpacket2_hdr *hdr = filled(TP_STATUS_USER | TP_STATUS_VLAN_VALID, AT, 60, 60);

	hdr->tp_vlan_tci = 0x6005;
	assert_int_equal(packet_slot_read(hdr, SLOT, &out), 0);
	assert_int_equal(out.vlan, 0x6005);
}

static void packet_slot_read__longer_than_the_slot_is_queued(void **state)
{
	struct packet_slot out;

	assert_int_equal(packet_slot_read(filled(TP_STATUS_USER | TP_STATUS_COPY, AT, 1900, 60000), SLOT, &out),
			 0);
	assert_true(out.queued);
	assert_int_equal(out.len, 0);
	assert_int_equal(out.total, 60000);
	assert_int_equal(packet_slot_read(filled(TP_STATUS_USER | TP_STATUS_COPY, AT, 0, 0), SLOT, &out),
			 -EINVAL);
}

static void packet_slot_read__cut_off_or_outside_is_refused(void **state)
{
	static const uint32_t bad[][3] = {
		{ AT, 1900, 60000 },	       /* cut off, and not queued */
		{ AT, 0, 0 },		       /* empty */
		{ AT, SLOT - AT + 1, SLOT - AT + 1 },
		{ AT, UINT32_MAX, UINT32_MAX },
		{ SLOT + 1, 60, 60 },
		{ 0, 60, 60 },
		{ sizeof(struct tpacket2_hdr) + sizeof(struct virtio_net_hdr) - 1, 60, 60 },
	};
	struct packet_slot out;

	for (unsigned i = 0; i < FS_ARRAY_SIZE(bad); i++)
		assert_int_equal(packet_slot_read(filled(TP_STATUS_USER, bad[i][0], bad[i][1], bad[i][2]),
						  SLOT, &out),
				 -EINVAL);
}

static void packet_ring_ready__in_order_and_round(void **state)
{
	static _Alignas(16) uint8_t memory[4 * 2048];
	struct packet_ring ring = { .memory = memory, .slot_len = 2048, .slots = 4, .next = UINT32_MAX - 1 };

	assert_null(packet_ring_ready(&ring));
	for (unsigned i = 0; i < 8; i++) {
		struct tpacket2_hdr *hdr = (void *)(memory + ((2 + i) % 4) * 2048);

		hdr->tp_status = TP_STATUS_USER;
		assert_ptr_equal(packet_ring_ready(&ring), hdr);
		packet_ring_advance(&ring);
		assert_int_equal(hdr->tp_status, TP_STATUS_KERNEL);
		assert_null(packet_ring_ready(&ring));
	}
}

static void packet_meta_read__checksums(void **state)
{
	struct virtio_net_hdr vnet = { 0 };
	struct packet_meta meta;

	assert_int_equal(packet_meta_read(&vnet, 60, &meta), 0);
	assert_int_equal(meta.csum, FBUF_CSUM_UNKNOWN);
	vnet.flags = VIRTIO_NET_HDR_F_DATA_VALID;
	assert_int_equal(packet_meta_read(&vnet, 60, &meta), 0);
	assert_int_equal(meta.csum, FBUF_CSUM_VERIFIED);
	vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	assert_int_equal(packet_meta_read(&vnet, 60, &meta), 0);
	assert_int_equal(meta.csum, FBUF_CSUM_PARTIAL);
}

static void packet_meta_read__super_frames(void **state)
{
	static const uint8_t types[] = { VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_HDR_GSO_TCPV6, GSO_UDP_L4,
					 VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN };
	struct packet_meta meta;

	for (unsigned i = 0; i < FS_ARRAY_SIZE(types); i++) {
		struct virtio_net_hdr vnet = { .gso_type = types[i], .gso_size = 1000 };

		assert_int_equal(packet_meta_read(&vnet, 30000, &meta), 0);
		assert_int_equal(meta.gso_size, 1000);
		assert_int_equal(packet_meta_read(&vnet, 1000, &meta), -EINVAL);
		vnet.gso_size = 0;
		assert_int_equal(packet_meta_read(&vnet, 30000, &meta), -EINVAL);
	}
}

static void packet_meta_read__other_kinds(void **state)
{
	struct virtio_net_hdr vnet = { .gso_type = VIRTIO_NET_HDR_GSO_UDP, .gso_size = 1480 };
	struct packet_meta meta;

	assert_int_equal(packet_meta_read(&vnet, 30000, &meta), 0);
	assert_int_equal(meta.gso_size, 0); /* one datagram */
	vnet.gso_type = 6;
	assert_int_equal(packet_meta_read(&vnet, 30000, &meta), -EINVAL);
}

static void packet_release_lacks_udp_gso__by_version(void **state)
{
	assert_true(packet_release_lacks_udp_gso("6.1.0-31-amd64"));
	assert_true(packet_release_lacks_udp_gso("5.15.0"));
	assert_true(packet_release_lacks_udp_gso("6.1"));
	assert_true(packet_release_lacks_udp_gso(""));
	assert_false(packet_release_lacks_udp_gso("6.2.0"));
	assert_false(packet_release_lacks_udp_gso("6.18.44"));
	assert_false(packet_release_lacks_udp_gso("7.0"));
	assert_false(packet_release_lacks_udp_gso("6.12"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packet_ring_size__frames_of_the_mtu_fit),
		cmocka_unit_test(packet_slot_read__whole_frame),
		cmocka_unit_test(packet_slot_read__stripped_tag),
		cmocka_unit_test(packet_slot_read__longer_than_the_slot_is_queued),
		cmocka_unit_test(packet_slot_read__cut_off_or_outside_is_refused),
		cmocka_unit_test(packet_ring_ready__in_order_and_round),
		cmocka_unit_test(packet_meta_read__checksums),
		cmocka_unit_test(packet_meta_read__super_frames),
		cmocka_unit_test(packet_meta_read__other_kinds),
		cmocka_unit_test(packet_release_lacks_udp_gso__by_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
