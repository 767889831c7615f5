/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_udp_send.c - what leaves: bytes, sums, chains, limits; and that the other side reads it.
 */
#include "udp_rig.h"

struct pair {
	struct rig_host a, b;
	struct udp_pcb pa, pb; /* a wildcard endpoint at each end, ports 1000 and 2000 */
};

static void pair_open_sized(struct pair *t, const struct rig_sizes *sizes)
{
	rig_open_sized(&t->a, 0, sizes);
	rig_open_sized(&t->b, 1, sizes);
	rig_bind(&t->a, &t->pa, (struct ip_addr){ 0 }, 1000, UDP_PCB_V6);
	rig_bind(&t->b, &t->pb, (struct ip_addr){ 0 }, 2000, UDP_PCB_V6);
}

static void pair_open(struct pair *t)
{
	pair_open_sized(t, &(struct rig_sizes){ RIG_PINNED, RIG_PAYLOAD, RIG_CHUNK });
}

static void pair_close(struct pair *t)
{
	rig_unbind(&t->a, &t->pa);
	rig_unbind(&t->b, &t->pb);
	rig_close_udp(&t->a);
	rig_close_udp(&t->b);
}

static void udp_send__reaches_the_other_side(void **state)
{
	struct pair t;

	pair_open(&t);
	assert_int_equal(rig_send(&t.a, &t.pa, rig_dst(&t.a, t.b.v4), 2000, "hello", 5), 0);
	assert_int_equal(rig_carry(&t.a, &t.b), 1);
	rig_expect_drop(&t.b, FS_CTR_N);
	rig_expect(&t.pb, "hello", 5);
	pair_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(udp_send__reaches_the_other_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
