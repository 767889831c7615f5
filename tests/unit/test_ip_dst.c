/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_ip_dst.c - the destination cache: keys, references, staleness, eviction, templates.
 */
#include "ip_rig.h"

static void open_host(struct rig_host *h)
{
	rig_open_ip(h, 0, &(struct rig_sizes){ RIG_PINNED, RIG_PAYLOAD, RIG_CHUNK });
}

static struct ip_addr remote(uint8_t last)
{
	return rig_v4(10, 0, 0, last);
}

static struct ip_dst *add_kernel(struct rig_host *h, uint8_t last)
{
	struct ip_dst answer = { .remote = remote(last), .way = IP_DST_KERNEL, .reason = 3 };

	return ip_dst_add(&h->ip, &answer);
}

static struct ip_dst *find(struct rig_host *h, uint8_t last)
{
	struct ip_addr r = remote(last), any = { 0 };

	return ip_dst_find(&h->ip, &r, &any, 0);
}

static void ip_dst_find__counts_hits_and_misses(void **state)
{
	struct rig_host h;
	struct ip_dst *dst;

	open_host(&h);
	assert_null(find(&h, 2));
	dst = add_kernel(&h, 2);
	assert_ptr_equal(find(&h, 2), dst);
	assert_int_equal(h.counters[FS_CTR_route_misses], 1);
	assert_int_equal(h.counters[FS_CTR_route_hits], 1);
	rig_close(&h);
}

static void ip_dst_find__bound_source_is_part_of_the_key(void **state)
{
	struct ip_dst answer = { .remote = remote(2), .bound = remote(7) };
	struct ip_addr r = remote(2), other = remote(8);
	struct rig_host h;
	struct ip_dst *dst;

	open_host(&h);
	dst = ip_dst_add(&h.ip, &answer);
	assert_null(find(&h, 2));
	assert_null(ip_dst_find(&h.ip, &r, &other, 0));
	assert_ptr_equal(ip_dst_find(&h.ip, &r, &answer.bound, 0), dst);
	assert_null(ip_dst_find(&h.ip, &r, &answer.bound, 1));
	rig_close(&h);
}

static void ip_dst_add__copies_the_answer(void **state)
{
	struct ip_dst answer = { .remote = remote(2),
				 .local = remote(1),
				 .way = IP_DST_KERNEL,
				 .reason = 9,
				 .mtu = 1400,
				 .hop_limit = 3,
				 .checked_at = 77,
				 .refs = 5,
				 .stale = true,
				 .header_len = 34 };
	struct rig_host h;
	struct ip_dst *dst;

	open_host(&h);
	dst = ip_dst_add(&h.ip, &answer);
	assert_true(ip_addr_equal(&dst->local, &answer.local));
	assert_int_equal(dst->way, IP_DST_KERNEL);
	assert_int_equal(dst->reason, 9);
	assert_int_equal(dst->mtu, 1400);
	assert_int_equal(dst->hop_limit, 3);
	assert_int_equal(dst->checked_at, 77);
	assert_int_equal(dst->refs, 0);
	assert_false(dst->stale);
	assert_int_equal(dst->header_len, 0);
	rig_close(&h);
}

static void ip_dst_add__same_key_replaces(void **state)
{
	struct rig_host h;
	struct ip_dst *old, *new;

	open_host(&h);
	old = add_kernel(&h, 2);
	ip_dst_get(&h.ip, old);
	new = add_kernel(&h, 2);
	assert_ptr_not_equal(old, new);
	assert_true(old->stale);
	assert_ptr_equal(find(&h, 2), new);
	ip_dst_put(&h.ip, old);
	assert_int_equal(h.ip.dst_slab.in_use, 1);
	rig_close(&h);
}

static void ip_dst_add__full_evicts_the_oldest_unreferenced(void **state)
{
	struct rig_host h;

	open_host(&h);
	for (uint8_t i = 0; i < RIG_DSTS; i++)
		assert_non_null(add_kernel(&h, (uint8_t)(10 + i)));
	ip_dst_get(&h.ip, find(&h, 10));
	assert_non_null(add_kernel(&h, 99));
	assert_non_null(find(&h, 10)); /* oldest, but referenced */
	assert_null(find(&h, 11));
	assert_non_null(find(&h, 12));
	/* a reference given back makes it the youngest of the idle */
	ip_dst_put(&h.ip, find(&h, 10));
	assert_non_null(add_kernel(&h, 98));
	assert_non_null(find(&h, 10));
	assert_null(find(&h, 12));
	rig_close(&h);
}

static void ip_dst_add__full_of_referenced_ones(void **state)
{
	struct ip_dst answer = { .remote = remote(99), .way = IP_DST_FAST };
	struct ip_addr a = remote(99);
	const struct eth_addr mac = { { 2 } };
	struct rig_host h;

	open_host(&h);
	for (uint8_t i = 0; i < RIG_DSTS; i++)
		ip_dst_get(&h.ip, add_kernel(&h, (uint8_t)(10 + i)));
	answer.neigh = neigh_learn(&h.ip.neigh, 0, &a, &mac, NEIGH_VALID, 1);
	assert_null(ip_dst_add(&h.ip, &answer));
	assert_int_equal(answer.neigh->refs, 0);
	rig_close(&h);
}

static void ip_dst_put__stale_is_freed_with_its_last_reference(void **state)
{
	struct rig_host h;
	struct ip_dst *dst;

	open_host(&h);
	dst = rig_dst(&h, remote(2));
	ip_dst_get(&h.ip, dst);
	ip_dst_get(&h.ip, dst);
	ip_dst_flush(&h.ip);
	assert_true(dst->stale);
	assert_null(find(&h, 2));
	ip_dst_put(&h.ip, dst);
	assert_int_equal(dst->neigh->refs, 1);
	ip_dst_put(&h.ip, dst);
	assert_int_equal(h.ip.dst_slab.in_use, 0);
	rig_close(&h);
}

static void ip_dst_put__more_often_than_get_is_our_bug(void **state)
{
	struct rig_host h;
	struct ip_dst *dst;

	open_host(&h);
	dst = add_kernel(&h, 2);
	expect_assert_failure(ip_dst_put(&h.ip, dst));
	rig_close(&h);
}

static void ip_dst_flush__forgets_all(void **state)
{
	struct rig_host h;

	open_host(&h);
	add_kernel(&h, 2);
	rig_dst(&h, remote(3));
	ip_dst_flush(&h.ip);
	assert_null(find(&h, 2));
	assert_null(find(&h, 3));
	assert_int_equal(h.ip.dst_slab.in_use, 0);
	assert_int_equal(h.counters[FS_CTR_route_flushes], 1);
	rig_close(&h);
}

static void ip_dst_flush__twice_with_a_stale_one(void **state)
{
	struct rig_host h;
	struct ip_dst *dst;

	open_host(&h);
	dst = add_kernel(&h, 2);
	ip_dst_get(&h.ip, dst);
	ip_dst_flush(&h.ip);
	ip_dst_flush(&h.ip);
	assert_int_equal(h.ip.dst_slab.in_use, 1);
	ip_dst_put(&h.ip, dst);
	assert_int_equal(h.ip.dst_slab.in_use, 0);
	rig_close(&h);
}

static void ip_dst_flush_port__spares_other_ways(void **state)
{
	struct rig_host h;

	open_host(&h);
	add_kernel(&h, 2); /* its port field is 0 but means nothing */
	rig_dst(&h, remote(3));
	ip_dst_flush_port(&h.ip, 1);
	assert_non_null(find(&h, 3));
	ip_dst_flush_port(&h.ip, 0);
	assert_null(find(&h, 3));
	assert_non_null(find(&h, 2));
	rig_close(&h);
}

static void ip_dst_ready__needs_a_valid_neighbour(void **state)
{
	struct ip_addr a = remote(2);
	struct rig_host h;
	struct ip_dst *dst;

	open_host(&h);
	dst = rig_dst(&h, a);
	assert_true(ip_dst_ready(&h.ip, dst));
	neigh_learn(&h.ip.neigh, 0, &a, NULL, NEIGH_FAILED, 2);
	assert_false(ip_dst_ready(&h.ip, dst));
	assert_int_equal(h.counters[FS_CTR_neigh_misses], 1);
	neigh_forget(&h.ip.neigh, 0, &a);
	assert_false(ip_dst_ready(&h.ip, dst));
	rig_close(&h);
}

static void ip_dst_ready__follows_a_new_mac(void **state)
{
	const struct eth_addr mac = { { 2, 9, 9, 9, 9, 9 } };
	struct ip_addr a = remote(2);
	struct rig_host h;
	struct ip_dst *dst;

	open_host(&h);
	dst = rig_dst(&h, a);
	assert_true(ip_dst_ready(&h.ip, dst));
	neigh_learn(&h.ip.neigh, 0, &a, &mac, NEIGH_VALID, 2);
	assert_true(ip_dst_ready(&h.ip, dst));
	assert_memory_equal(dst->header + IP_HEADER_ROOM - dst->header_len, &mac, 6);
	rig_close(&h);
}

static void ip_dst_ready__needs_the_port_up(void **state)
{
	struct ip_port conf;
	struct rig_host h;
	struct ip_dst *dst;

	open_host(&h);
	dst = rig_dst(&h, remote(2));
	assert_true(ip_dst_ready(&h.ip, dst));
	conf = h.ip.port[0];
	conf.up = false;
	ip_port_set(&h.ip, 0, &conf);
	assert_false(ip_dst_ready(&h.ip, dst));
	conf.up = true;
	ip_port_set(&h.ip, 0, &conf);
	assert_true(ip_dst_ready(&h.ip, dst));
	rig_close(&h);
}

static void ip_dst_ready__never_through_the_kernel(void **state)
{
	struct rig_host h;

	open_host(&h);
	assert_false(ip_dst_ready(&h.ip, add_kernel(&h, 2)));
	rig_close(&h);
}

static void ip_dst_ready__template_of_either_family(void **state)
{
	static const uint8_t v4[34] = {
		2, 0, 0, 0,    0, 2,  2,  0, 0, 0,  0, 1, 8, 0,	 0x45, 0, 0,
		0, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0,    0, 2
	};
	static const uint8_t v6[54] = {
		2,    0,    0, 0, 0, 2, 2, 0,  0,  0,		0,	  1,	       0x86,
		0xdd, 0x60, 0, 0, 0, 0, 0, 17, 64, [22] = 0xfd, [37] = 1, [38] = 0xfd, [53] = 2
	};
	struct rig_host h;
	struct ip_dst *dst;

	open_host(&h);
	dst = rig_dst(&h, remote(2));
	assert_true(ip_dst_ready(&h.ip, dst));
	assert_int_equal(dst->header_len, sizeof(v4));
	assert_memory_equal(dst->header + IP_HEADER_ROOM - sizeof(v4), v4, sizeof(v4));
	dst = rig_dst(&h, rig_v6(0xfd, 2));
	assert_true(ip_dst_ready(&h.ip, dst));
	assert_int_equal(dst->header_len, sizeof(v6));
	assert_memory_equal(dst->header + IP_HEADER_ROOM - sizeof(v6), v6, sizeof(v6));
	rig_close(&h);
}

static void ip_dst_ready__hop_limit_of_the_route(void **state)
{
	struct ip_dst answer = {
		.remote = remote(2), .local = remote(1), .hop_limit = 3, .mtu = 1500
	};
	const struct eth_addr mac = { { 2 } };
	struct rig_host h;
	struct ip_dst *dst;

	open_host(&h);
	answer.neigh = neigh_learn(&h.ip.neigh, 0, &answer.remote, &mac, NEIGH_VALID, 1);
	dst = ip_dst_add(&h.ip, &answer);
	assert_true(ip_dst_ready(&h.ip, dst));
	assert_int_equal(dst->header[IP_HEADER_ROOM - 20 + 8], 3);
	rig_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ip_dst_find__counts_hits_and_misses),
		cmocka_unit_test(ip_dst_find__bound_source_is_part_of_the_key),
		cmocka_unit_test(ip_dst_add__copies_the_answer),
		cmocka_unit_test(ip_dst_add__same_key_replaces),
		cmocka_unit_test(ip_dst_add__full_evicts_the_oldest_unreferenced),
		cmocka_unit_test(ip_dst_add__full_of_referenced_ones),
		cmocka_unit_test(ip_dst_put__stale_is_freed_with_its_last_reference),
		cmocka_unit_test(ip_dst_put__more_often_than_get_is_our_bug),
		cmocka_unit_test(ip_dst_flush__forgets_all),
		cmocka_unit_test(ip_dst_flush__twice_with_a_stale_one),
		cmocka_unit_test(ip_dst_flush_port__spares_other_ways),
		cmocka_unit_test(ip_dst_ready__needs_a_valid_neighbour),
		cmocka_unit_test(ip_dst_ready__follows_a_new_mac),
		cmocka_unit_test(ip_dst_ready__needs_the_port_up),
		cmocka_unit_test(ip_dst_ready__never_through_the_kernel),
		cmocka_unit_test(ip_dst_ready__template_of_either_family),
		cmocka_unit_test(ip_dst_ready__hop_limit_of_the_route),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
