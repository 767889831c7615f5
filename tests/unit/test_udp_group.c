/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_udp_group.c - memberships, source filters, and copies for every receiver of a group.
 *
 * The expectations are what ip_mc_sf_allow(), inet6_mc_check() and the two is_mcast_sock() of Linux
 * decide; tests/system/test_multicast.py asks a kernel.
 */
#include "udp/group.h"

#include "udp_rig.h"

enum { PORT = 5000, PEER_PORT = 9000, OTHER_IF = RIG_IFINDEX + 1, N = 4 };

static const char text[] = "0123456789abcdef";

struct fixture {
	struct rig_host h;
	struct udp_pcb pcb[N];
	struct udp_group member[N];
	struct table_node *buckets[8];
	unsigned bound, joined;
	struct rig_datagram d;
};

static void setup_sized(struct fixture *f, uint32_t payload)
{
	memset(f, 0, sizeof(*f));
	rig_open_sized(&f->h, 0, &(struct rig_sizes){ RIG_PINNED, payload, RIG_CHUNK });
	udp_groups_init(&f->h.udp, f->buckets, FS_ARRAY_SIZE(f->buckets));
	f->d = (struct rig_datagram){ .src = rig_v4(10, 0, 0, 2),
				      .dst = rig_v4(239, 1, 2, 3),
				      .src_port = PEER_PORT,
				      .dst_port = PORT,
				      .payload = text,
				      .len = 16,
				      .mac = { { 0x01, 0x00, 0x5e, 1, 2, 3 } } };
}

static void setup(struct fixture *f)
{
	setup_sized(f, RIG_PAYLOAD);
}

static void setup6(struct fixture *f)
{
	setup(f);
	f->d.src = rig_v6(0xfe, 2);
	f->d.dst = rig_v6(0xff, 9);
	f->d.mac = (struct eth_addr){ { 0x33, 0x33, 0, 0, 0, 9 } };
}

static void teardown(struct fixture *f)
{
	for (unsigned i = 0; i < f->joined; i++)
		udp_group_leave(&f->h.udp, &f->member[i]);
	assert_int_equal(f->h.udp.by_group.count, 0);
	for (unsigned i = 0; i < f->bound; i++) {
		assert_null(f->pcb[i].groups);
		rig_unbind(&f->h, &f->pcb[i]);
	}
	rig_close_udp(&f->h);
}

/* One more endpoint on PORT. */
static struct udp_pcb *bound(struct fixture *f, struct ip_addr local, uint32_t flags)
{
	struct udp_pcb *pcb = &f->pcb[f->bound++];

	rig_bind(&f->h, pcb, local, PORT, flags);
	return pcb;
}

static struct udp_pcb *wild(struct fixture *f)
{
	return bound(f, (struct ip_addr){ 0 }, 0);
}

static struct udp_group *join(struct fixture *f, struct udp_pcb *pcb, struct ip_addr group, uint32_t ifindex)
{
	struct udp_group *g = &f->member[f->joined++];

	g->group = group;
	g->ifindex = ifindex;
	g->exclude = true;
	udp_group_join(&f->h.udp, pcb, g);
	return g;
}

/* Does @pcb, alone of all, receive one datagram now? */
static bool receives(struct fixture *f, struct udp_pcb *pcb)
{
	struct fbuf *frame;

	rig_input(&f->h, &f->d);
	frame = udp_receive(pcb);
	fbuf_free(frame);
	return frame != NULL;
}

static void udp_group__not_joined_takes_what_others_joined(void **state)
{
	struct fixture f;
	struct udp_pcb *pcb;

	setup(&f);
	pcb = wild(&f);
	assert_true(receives(&f, pcb));
	pcb->flags |= UDP_PCB_JOINED_ONLY6; /* the other family's */
	assert_true(receives(&f, pcb));
	pcb->flags |= UDP_PCB_JOINED_ONLY;
	assert_false(receives(&f, pcb));
	assert_int_equal(f.h.counters[FS_CTR_drop_udp_no_socket], 1);
	join(&f, pcb, rig_v4(239, 1, 2, 4), RIG_IFINDEX);
	assert_false(receives(&f, pcb));
	join(&f, pcb, f.d.dst, RIG_IFINDEX);
	assert_true(receives(&f, pcb));
	teardown(&f);
}

static void udp_group__v4_membership_counts_on_its_interface(void **state)
{
	struct fixture f;
	struct udp_pcb *pcb;

	setup(&f);
	pcb = wild(&f);
	join(&f, pcb, f.d.dst, OTHER_IF)->exclude = false;
	assert_true(receives(&f, pcb)); /* as if it were no member at all */
	pcb->flags |= UDP_PCB_JOINED_ONLY;
	assert_false(receives(&f, pcb));
	teardown(&f);
}

static void udp_group__v6_latest_membership_counts_on_any_interface(void **state)
{
	struct fixture f;
	struct udp_pcb *pcb;
	struct udp_group *g;

	setup6(&f);
	pcb = bound(&f, (struct ip_addr){ 0 }, UDP_PCB_V6 | UDP_PCB_JOINED_ONLY6);
	assert_false(receives(&f, pcb));
	g = join(&f, pcb, f.d.dst, OTHER_IF);
	assert_true(receives(&f, pcb));
	join(&f, pcb, f.d.dst, RIG_IFINDEX)->exclude = false;
	assert_false(receives(&f, pcb));
	assert_ptr_equal(udp_group_find(pcb, &f.d.dst, OTHER_IF), g);
	teardown(&f);
}

static void udp_group__source_filters(void **state)
{
	struct fixture f;
	struct udp_pcb *pcb;
	struct udp_group *g;

	setup(&f);
	pcb = wild(&f);
	g = join(&f, pcb, f.d.dst, RIG_IFINDEX);
	assert_true(receives(&f, pcb));
	g->source[0] = rig_v4(10, 0, 0, 9);
	g->source[1] = f.d.src;
	g->n_sources = 1;
	assert_true(receives(&f, pcb));
	g->n_sources = 2;
	assert_false(receives(&f, pcb));
	g->exclude = false;
	assert_true(receives(&f, pcb));
	g->n_sources = 1;
	assert_false(receives(&f, pcb));
	g->n_sources = 0;
	assert_false(receives(&f, pcb));
	teardown(&f);
}

static void udp_group__address_port_device_and_family(void **state)
{
	static const struct {
		uint8_t local; /* 0 wildcard, 1 the group, 2 another group, 3 the host's, 4 ::ffff:0.0.0.0 */
		uint16_t port;
		uint32_t flags, device;
		bool v6, takes;
	} table[] = {
		{ 0, PORT, 0, 0, false, true },
		{ 0, PORT + 1, 0, 0, false, false },
		{ 1, PORT, 0, 0, false, true },
		{ 2, PORT, 0, 0, false, false },
		{ 3, PORT, 0, 0, false, false },
		{ 0, PORT, 0, RIG_IFINDEX, false, true },
		{ 0, PORT, 0, OTHER_IF, false, false },
		{ 0, PORT, UDP_PCB_V6, 0, false, true },
		{ 4, PORT, UDP_PCB_V6, 0, false, true },
		{ 4, PORT, UDP_PCB_V6, 0, true, false },
		{ 0, PORT, UDP_PCB_V6 | UDP_PCB_V6ONLY, 0, false, false },
		{ 0, PORT, UDP_PCB_V6 | UDP_PCB_V6ONLY, 0, true, true },
		{ 0, PORT, 0, 0, true, false },
		{ 1, PORT, UDP_PCB_V6, 0, true, true },
		{ 2, PORT, UDP_PCB_V6, 0, true, false },
		{ 0, PORT, UDP_PCB_V6, OTHER_IF, true, false },
	};

	for (unsigned i = 0; i < FS_ARRAY_SIZE(table); i++) {
		struct fixture f;
		struct ip_addr locals[5] = { 0 };
		struct udp_pcb *pcb;

		if (table[i].v6)
			setup6(&f);
		else
			setup(&f);
		locals[1] = f.d.dst;
		locals[2] = table[i].v6 ? rig_v6(0xff, 10) : rig_v4(239, 1, 2, 4);
		locals[3] = f.h.v4;
		locals[4] = rig_v4(0, 0, 0, 0);
		pcb = &f.pcb[f.bound++];
		rig_bind(&f.h, pcb, locals[table[i].local], table[i].port, table[i].flags);
		pcb->ifindex = table[i].device;
		if (receives(&f, pcb) != table[i].takes)
			fail_msg("row %u", i);
		teardown(&f);
	}
}

static void udp_group__connected_takes_its_peer_only(void **state)
{
	struct fixture f;
	struct udp_pcb *pcb;

	setup(&f);
	pcb = bound(&f, f.d.dst, 0);
	rig_connect(&f.h, pcb, f.d.src, PEER_PORT);
	assert_true(receives(&f, pcb));
	f.d.src_port++;
	assert_false(receives(&f, pcb));
	f.d.src_port--;
	f.d.src = rig_v4(10, 0, 0, 3);
	assert_false(receives(&f, pcb));
	teardown(&f);
}

static void udp_group__everybody_gets_a_copy(void **state)
{
	struct fixture f;

	setup(&f);
	for (unsigned i = 0; i < N; i++)
		join(&f, wild(&f), f.d.dst, RIG_IFINDEX);
	rig_connect(&f.h, &f.pcb[3], f.d.src, PEER_PORT); /* bound to :: and connected: takes no group */
	rig_input(&f.h, &f.d);
	rig_expect_drop(&f.h, FS_CTR_N);
	assert_int_equal(f.h.counters[FS_CTR_rx_datagrams], 3);
	assert_int_equal(f.h.counters[FS_CTR_rx_group_copies], 2);
	assert_int_equal(f.h.readable_calls, 3);
	assert_null(f.pcb[3].queue.head);
	for (unsigned i = 0; i < 3; i++) {
		const struct fbuf *frame = f.pcb[i].queue.head;

		assert_non_null(frame);
		assert_int_equal(frame->ifindex, RIG_IFINDEX);
		assert_true(ip_addr_equal(&frame->dst, &f.d.dst));
		assert_int_equal(f.pcb[i].pinned + f.pcb[i].copied, 1);
		rig_expect(&f.pcb[i], text, 16);
	}
	teardown(&f);
}

static void udp_group__one_full_receiver_costs_the_others_nothing(void **state)
{
	for (unsigned full = 0; full < 3; full++) {
		struct fixture f;

		setup(&f);
		for (unsigned i = 0; i < 3; i++)
			join(&f, wild(&f), f.d.dst, RIG_IFINDEX);
		f.pcb[full].limit = 0;
		rig_input(&f.h, &f.d);
		rig_expect_drop(&f.h, FS_CTR_drop_udp_rcvbuf);
		assert_int_equal(f.h.readable_calls, 2);
		for (unsigned i = 0; i < 3; i++) {
			assert_int_equal(f.pcb[i].queue.frames, i != full);
			assert_int_equal(f.pcb[i].drops, i == full);
		}
		teardown(&f);
	}
}

static void udp_group__no_memory_for_a_copy(void **state)
{
	struct fixture f;

	setup_sized(&f, 0);
	join(&f, wild(&f), f.d.dst, RIG_IFINDEX);
	join(&f, wild(&f), f.d.dst, RIG_IFINDEX);
	rig_input(&f.h, &f.d);
	rig_expect_drop(&f.h, FS_CTR_drop_udp_no_memory);
	assert_int_equal(f.pcb[0].queue.frames + f.pcb[1].queue.frames, 1);
	teardown(&f);
}

static void udp_group__station_and_address_must_agree(void **state)
{
	struct fixture f;
	struct udp_pcb *pcb;

	setup(&f);
	pcb = wild(&f);
	f.d.mac = f.h.mac;
	assert_false(receives(&f, pcb));
	f.d.mac.b[0] = 0x01;
	f.d.dst = f.h.v4;
	assert_false(receives(&f, pcb));
	assert_int_equal(f.h.counters[FS_CTR_drop_ip_not_local], 2);
	teardown(&f);
}

static void udp_group__bad_checksum_reaches_nobody(void **state)
{
	struct fixture f;

	setup(&f);
	wild(&f);
	f.d.bad_checksum = true;
	rig_input(&f.h, &f.d);
	rig_expect_drop(&f.h, FS_CTR_drop_udp_checksum);
	teardown(&f);
}

static void udp_group_next__walks_one_group(void **state)
{
	struct fixture f;
	struct udp_group *g = NULL;
	unsigned seen = 0;

	setup(&f);
	assert_null(udp_group_next(&f.h.udp, &f.d.dst, NULL));
	for (unsigned i = 0; i < N; i++)
		join(&f, wild(&f), i == 1 ? rig_v4(239, 1, 2, 4) : f.d.dst, RIG_IFINDEX);
	while ((g = udp_group_next(&f.h.udp, &f.d.dst, g)) != NULL)
		seen |= 1u << (g->pcb - f.pcb);
	assert_int_equal(seen, 0xd);
	assert_null(udp_group_find(&f.pcb[1], &f.d.dst, RIG_IFINDEX));
	teardown(&f);
}

static void udp_group__unsummed_v6_is_for_who_wants_it(void **state)
{
	struct fixture f;

	setup6(&f);
	for (unsigned i = 0; i < 2; i++)
		bound(&f, (struct ip_addr){ 0 }, UDP_PCB_V6);
	f.d.no_checksum = true;
	rig_input(&f.h, &f.d);
	rig_expect_drop(&f.h, FS_CTR_drop_udp_zero6);
	f.h.counters[FS_CTR_drop_udp_zero6] = 0;
	f.pcb[0].flags |= UDP_PCB_NO_CHECK6;
	rig_input(&f.h, &f.d);
	rig_expect_drop(&f.h, FS_CTR_N);
	assert_int_equal(f.pcb[0].queue.frames, 1);
	assert_int_equal(f.pcb[1].queue.frames, 0);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(udp_group__not_joined_takes_what_others_joined),
		cmocka_unit_test(udp_group__v4_membership_counts_on_its_interface),
		cmocka_unit_test(udp_group__v6_latest_membership_counts_on_any_interface),
		cmocka_unit_test(udp_group__source_filters),
		cmocka_unit_test(udp_group__address_port_device_and_family),
		cmocka_unit_test(udp_group__connected_takes_its_peer_only),
		cmocka_unit_test(udp_group__everybody_gets_a_copy),
		cmocka_unit_test(udp_group__one_full_receiver_costs_the_others_nothing),
		cmocka_unit_test(udp_group__no_memory_for_a_copy),
		cmocka_unit_test(udp_group__station_and_address_must_agree),
		cmocka_unit_test(udp_group__bad_checksum_reaches_nobody),
		cmocka_unit_test(udp_group__unsummed_v6_is_for_who_wants_it),
		cmocka_unit_test(udp_group_next__walks_one_group),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
