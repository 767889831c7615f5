/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_ip_ip.c - ports of an ip stack: what is accepted, what a change keeps and what it spoils.
 */
#include "ip_rig.h"

#include <errno.h>

static void open_host(struct rig_host *h)
{
	rig_open_ip(h, 0, &(struct rig_sizes){ RIG_PINNED, RIG_PAYLOAD, RIG_CHUNK });
}

static void ip_port_set__refuses_unusable_ports(void **state)
{
	struct fbuf_pool small;
	struct ip_port conf;
	struct rig_host h;

	open_host(&h);
	conf = h.ip.port[0];
	assert_int_equal(ip_port_set(&h.ip, IP_MAX_PORTS, &conf), -EINVAL);
	conf.ifindex = 0;
	assert_int_equal(ip_port_set(&h.ip, 1, &conf), -EINVAL);
	conf.ifindex = 1;
	conf.n_local = IP_MAX_LOCAL + 1;
	assert_int_equal(ip_port_set(&h.ip, 1, &conf), -EINVAL);
	conf.n_local = IP_MAX_LOCAL;
	conf.pool = NULL;
	assert_int_equal(ip_port_set(&h.ip, 1, &conf), -EINVAL);
	fbuf_pool_init(&small, 2048, IP_TX_HEADROOM - 1);
	conf.pool = &small;
	assert_int_equal(ip_port_set(&h.ip, 1, &conf), -EINVAL);
	assert_int_equal(h.ip.port[1].ifindex, 0);
	fbuf_pool_init(&small, 2048, IP_TX_HEADROOM);
	assert_int_equal(ip_port_set(&h.ip, 1, &conf), 0);
	assert_int_equal(h.ip.port[1].ifindex, 1);
	rig_close(&h);
}

static void ip_port_set__keeps_what_waits(void **state)
{
	struct fbuf_queue stray = { 0 };
	struct ip_port conf;
	struct rig_host h;

	open_host(&h);
	fbuf_queue_push(&h.ip.port[0].out, fbuf_alloc(&h.pinned));
	conf = h.ip.port[0];
	conf.out = stray;
	conf.mtu = 1400;
	assert_int_equal(ip_port_set(&h.ip, 0, &conf), 0);
	assert_int_equal(h.ip.port[0].out.frames, 1);
	assert_int_equal(h.ip.port[0].mtu, 1400);
	rig_close(&h);
}

static void ip_port_set__new_mac_reaches_the_templates(void **state)
{
	struct ip_port conf;
	struct rig_host h;
	struct ip_dst *idle, *busy;

	open_host(&h);
	idle = rig_dst(&h, rig_v4(10, 0, 0, 2));
	busy = rig_dst(&h, rig_v4(10, 0, 0, 3));
	ip_dst_get(&h.ip, busy);
	assert_true(ip_dst_ready(&h.ip, idle));
	assert_true(ip_dst_ready(&h.ip, busy));
	conf = h.ip.port[0];
	conf.mac = (struct eth_addr){ { 2, 7, 7, 7, 7, 7 } };
	assert_int_equal(ip_port_set(&h.ip, 0, &conf), 0);
	assert_true(ip_dst_ready(&h.ip, idle));
	assert_true(ip_dst_ready(&h.ip, busy));
	assert_memory_equal(idle->header + IP_HEADER_ROOM - 34 + 6, &conf.mac, 6);
	assert_memory_equal(busy->header + IP_HEADER_ROOM - 34 + 6, &conf.mac, 6);
	rig_close(&h);
}

static void ip_port_clear__frees_and_forgets(void **state)
{
	struct ip_addr a = rig_v4(10, 0, 0, 2), any = { 0 };
	struct rig_host h;
	struct ip_dst *dst;

	open_host(&h);
	dst = rig_dst(&h, a);
	ip_dst_get(&h.ip, dst);
	assert_true(ip_dst_ready(&h.ip, dst));
	fbuf_queue_push(&h.ip.port[0].out, fbuf_alloc(&h.pinned));
	assert_int_equal(ip_port_clear(&h.ip, 0), 0);
	assert_int_equal(h.pinned.n_free, h.pinned.n_total);
	assert_null(ip_dst_find(&h.ip, &a, &any, 0));
	assert_null(neigh_find(&h.ip.neigh, 0, &a));
	assert_false(ip_dst_ready(&h.ip, dst));
	ip_dst_put(&h.ip, dst);
	assert_int_equal(h.ip.dst_slab.in_use, 0);
	assert_int_equal(h.ip.neigh.slab.in_use, 0);
	assert_int_equal(ip_port_clear(&h.ip, IP_MAX_PORTS), -EINVAL);
	rig_close(&h);
}

static void ip_port_is_local__each_address(void **state)
{
	struct ip_addr other = rig_v4(10, 0, 0, 9);
	struct rig_host h;

	open_host(&h);
	assert_true(ip_port_is_local(&h.ip.port[0], &h.v4));
	assert_true(ip_port_is_local(&h.ip.port[0], &h.v6));
	assert_false(ip_port_is_local(&h.ip.port[0], &other));
	assert_false(ip_port_is_local(&h.ip.port[1], &h.v4));
	rig_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ip_port_set__refuses_unusable_ports),
		cmocka_unit_test(ip_port_set__keeps_what_waits),
		cmocka_unit_test(ip_port_set__new_mac_reaches_the_templates),
		cmocka_unit_test(ip_port_clear__frees_and_forgets),
		cmocka_unit_test(ip_port_is_local__each_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
