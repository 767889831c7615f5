/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_udp_udp.c - which endpoint a datagram belongs to, and what leaves its queue.
 */
#include "udp_rig.h"

enum { PORT = 53, PEER_PORT = 9000 };

static const struct ip_addr any = { 0 };

struct fixture {
	struct rig_host h;
	struct ip_addr peer, peer6, any4;
};

static void setup(struct fixture *f)
{
	rig_open(&f->h, 0);
	f->peer = rig_v4(10, 0, 0, 2);
	f->peer6 = rig_v6(0xfd, 2);
	f->any4 = rig_v4(0, 0, 0, 0);
}

static struct udp_pcb *find(struct fixture *f, struct ip_addr local, uint16_t local_port,
			    struct ip_addr remote, uint16_t remote_port)
{
	return udp_find(&f->h.udp, &local, local_port, &remote, remote_port, RIG_IFINDEX);
}

/* The endpoint of an IPv4 or IPv6 datagram from the peer to the port. */
static struct udp_pcb *find4(struct fixture *f)
{
	return find(f, f->h.v4, PORT, f->peer, PEER_PORT);
}

static struct udp_pcb *find6(struct fixture *f)
{
	return find(f, f->h.v6, PORT, f->peer6, PEER_PORT);
}

static void udp_find__nothing_bound(void **state)
{
	struct fixture f;

	setup(&f);
	assert_null(find4(&f));
	assert_null(find4(&f)); /* the hint must not invent one either */
	rig_close_udp(&f.h);
}

static void udp_find__wildcard_by_port(void **state)
{
	struct udp_pcb a, b;
	struct fixture f;

	setup(&f);
	rig_bind(&f.h, &a, f.any4, PORT, 0);
	rig_bind(&f.h, &b, any, PORT + 1, 0); /* both forms of "any" */
	assert_ptr_equal(find4(&f), &a);
	assert_ptr_equal(find(&f, f.h.v4, PORT + 1, f.peer, 1), &b);
	assert_null(find(&f, f.h.v4, PORT + 2, f.peer, 1));
	udp_remove(&f.h.udp, &a);
	assert_null(find4(&f));
	udp_remove(&f.h.udp, &b);
	rig_close_udp(&f.h);
}

/* Which socket takes which family, alone: the matrix of AF_INET, AF_INET6 and V6ONLY with wildcard,
 * v4-mapped and IPv6 bindings. */
static void udp_find__family_matrix(void **state)
{
	static const struct {
		uint32_t flags;
		char local; /* a = any, m = ::ffff:0.0.0.0, 4 = our IPv4 (mapped), 6 = our IPv6 */
		bool takes4, takes6;
	} row[] = {
		{ 0, 'a', true, false },
		{ 0, '4', true, false },
		{ UDP_PCB_V6, 'a', true, true },
		{ UDP_PCB_V6, 'm', true, false },
		{ UDP_PCB_V6, '4', true, false },
		{ UDP_PCB_V6, '6', false, true },
		{ UDP_PCB_V6 | UDP_PCB_V6ONLY, 'a', false, true },
		{ UDP_PCB_V6 | UDP_PCB_V6ONLY, '6', false, true },
		{ UDP_PCB_V6ONLY, 'a', true, false }, /* means nothing on AF_INET */
	};
	struct fixture f;

	setup(&f);
	for (unsigned i = 0; i < FS_ARRAY_SIZE(row); i++) {
		struct ip_addr local = any;
		struct udp_pcb a;

		if (row[i].local == 'm')
			local = f.any4;
		else if (row[i].local != 'a')
			local = row[i].local == '4' ? f.h.v4 : f.h.v6;
		rig_bind(&f.h, &a, local, PORT, row[i].flags);
		assert_ptr_equal(find4(&f), row[i].takes4 ? &a : NULL);
		assert_ptr_equal(find6(&f), row[i].takes6 ? &a : NULL);
		rig_unbind(&f.h, &a);
	}
	rig_close_udp(&f.h);
}

/* Every pair of bindings, in both orders of insertion: the preferred one wins. */
static void udp_find__preference_matrix(void **state)
{
	/* Best first, for an IPv4 datagram. */
	static const struct {
		bool connected, specific, v6;
	} rank[] = {
		{ true, true, false }, { true, true, true },	{ false, true, false },
		{ false, true, true }, { false, false, false }, { false, false, true },
	};
	struct fixture f;

	setup(&f);
	for (unsigned i = 0; i < FS_ARRAY_SIZE(rank); i++) {
		for (unsigned j = 0; j < FS_ARRAY_SIZE(rank); j++) {
			struct udp_pcb pcb[2];

			if (i == j || (rank[i].connected && rank[j].connected))
				continue;
			for (unsigned k = 0; k < 2; k++) {
				unsigned r = k == 0 ? i : j;

				rig_bind(&f.h, &pcb[k], rank[r].specific ? f.h.v4 : any, PORT,
					 rank[r].v6 ? UDP_PCB_V6 : 0);
				if (rank[r].connected)
					rig_connect(&f.h, &pcb[k], f.peer, PEER_PORT);
			}
			assert_ptr_equal(find4(&f), i < j ? &pcb[0] : &pcb[1]);
			assert_ptr_equal(find4(&f), i < j ? &pcb[0] : &pcb[1]); /* by the hint */
			rig_unbind(&f.h, &pcb[0]);
			rig_unbind(&f.h, &pcb[1]);
		}
	}
	rig_close_udp(&f.h);
}

static void udp_find__latest_of_equals(void **state)
{
	struct udp_pcb a, b;
	struct fixture f;

	setup(&f);
	rig_bind(&f.h, &a, any, PORT, 0);
	rig_bind(&f.h, &b, any, PORT, 0);
	assert_ptr_equal(find4(&f), &b);
	rig_unbind(&f.h, &b);
	assert_ptr_equal(find4(&f), &a);
	rig_unbind(&f.h, &a);
	rig_close_udp(&f.h);
}

static void udp_find__latest_of_equal_flows(void **state)
{
	struct udp_pcb a, b;
	struct fixture f;

	setup(&f);
	rig_bind(&f.h, &a, f.h.v4, PORT, 0);
	rig_connect(&f.h, &a, f.peer, PEER_PORT);
	rig_bind(&f.h, &b, f.h.v4, PORT, UDP_PCB_V6);
	rig_connect(&f.h, &b, f.peer, PEER_PORT);
	assert_ptr_equal(find4(&f), &b);
	rig_unbind(&f.h, &b);
	assert_ptr_equal(find4(&f), &a);
	rig_unbind(&f.h, &a);
	rig_close_udp(&f.h);
}

static void udp_find__connected_takes_its_peer_only(void **state)
{
	struct udp_pcb a, wild;
	struct fixture f;

	setup(&f);
	rig_bind(&f.h, &a, f.h.v4, PORT, 0);
	rig_connect(&f.h, &a, f.peer, PEER_PORT);
	assert_ptr_equal(find4(&f), &a);
	assert_null(find(&f, f.h.v4, PORT, f.peer, PEER_PORT + 1));
	assert_null(find(&f, f.h.v4, PORT, rig_v4(10, 0, 0, 3), PEER_PORT));
	assert_null(find(&f, rig_v4(10, 0, 0, 9), PORT, f.peer, PEER_PORT));
	assert_null(find(&f, f.h.v4, PORT + 1, f.peer, PEER_PORT));
	rig_bind(&f.h, &wild, any, PORT, 0);
	assert_ptr_equal(find(&f, f.h.v4, PORT, f.peer, PEER_PORT + 1), &wild);
	assert_ptr_equal(find4(&f), &a);
	rig_unbind(&f.h, &a);
	rig_unbind(&f.h, &wild);
	rig_close_udp(&f.h);
}

static void udp_find__connected_v6only_does_not_take_mapped(void **state)
{
	struct udp_pcb a;
	struct fixture f;

	setup(&f);
	rig_bind(&f.h, &a, f.h.v4, PORT, UDP_PCB_V6 | UDP_PCB_V6ONLY);
	rig_connect(&f.h, &a, f.peer, PEER_PORT);
	assert_null(find4(&f));
	rig_unbind(&f.h, &a);
	rig_close_udp(&f.h);
}

static void udp_find__specific_takes_its_address_only(void **state)
{
	struct udp_pcb a;
	struct fixture f;

	setup(&f);
	rig_bind(&f.h, &a, f.h.v4, PORT, 0);
	assert_ptr_equal(find4(&f), &a);
	assert_null(find(&f, rig_v4(10, 0, 0, 9), PORT, f.peer, PEER_PORT));
	rig_unbind(&f.h, &a);
	rig_close_udp(&f.h);
}

/* The hint is a whole 4-tuple: one wildcard endpoint and a connected one beside it. */
static void udp_find__hint_of_a_wildcard_hides_no_flow(void **state)
{
	struct udp_pcb wild, flow;
	struct fixture f;

	setup(&f);
	rig_bind(&f.h, &wild, any, PORT, 0);
	rig_bind(&f.h, &flow, f.h.v4, PORT, 0);
	rig_connect(&f.h, &flow, f.peer, PEER_PORT);
	assert_ptr_equal(find(&f, f.h.v4, PORT, f.peer, 1), &wild);
	assert_ptr_equal(find4(&f), &flow);
	assert_ptr_equal(find(&f, f.h.v4, PORT, f.peer, 1), &wild);
	rig_unbind(&f.h, &wild);
	rig_unbind(&f.h, &flow);
	rig_close_udp(&f.h);
}

static void udp_insert__clears_the_hint(void **state)
{
	struct udp_pcb wild, flow;
	struct fixture f;

	setup(&f);
	rig_bind(&f.h, &wild, any, PORT, 0);
	assert_ptr_equal(find4(&f), &wild);
	rig_bind(&f.h, &flow, f.h.v4, PORT, 0);
	assert_ptr_equal(find4(&f), &flow);
	rig_unbind(&f.h, &flow);
	assert_ptr_equal(find4(&f), &wild);
	rig_unbind(&f.h, &wild);
	rig_close_udp(&f.h);
}

static void udp_insert__twice_is_our_bug(void **state)
{
	struct udp_pcb a;
	struct fixture f;

	setup(&f);
	rig_bind(&f.h, &a, any, PORT, 0);
	expect_assert_failure(udp_insert(&f.h.udp, &a));
	rig_unbind(&f.h, &a);
	rig_close_udp(&f.h);
}

static void udp_remove__not_in_is_fine(void **state)
{
	struct udp_pcb a = { .limit = 1 };
	struct fixture f;

	setup(&f);
	udp_remove(&f.h.udp, &a);
	rig_bind(&f.h, &a, any, PORT, 0);
	udp_remove(&f.h.udp, &a);
	udp_remove(&f.h.udp, &a);
	assert_int_equal(f.h.udp.by_port.count, 0);
	rig_close_udp(&f.h);
}

static void udp_find__many_flows_on_one_port(void **state)
{
	enum { FLOWS = 500 };
	struct udp_pcb wild, *flow = calloc(FLOWS, sizeof(*flow));
	struct fixture f;

	setup(&f);
	rig_bind(&f.h, &wild, any, PORT, 0);
	for (unsigned i = 0; i < FLOWS; i++) {
		rig_bind(&f.h, &flow[i], f.h.v4, PORT, 0);
		rig_connect(&f.h, &flow[i], f.peer, (uint16_t)(1000 + i));
	}
	for (unsigned i = 0; i < FLOWS; i++)
		assert_ptr_equal(find(&f, f.h.v4, PORT, f.peer, (uint16_t)(1000 + i)), &flow[i]);
	assert_ptr_equal(find4(&f), &wild);
	assert_int_equal(f.h.udp.by_port.count, 1);
	for (unsigned i = 0; i < FLOWS; i++)
		rig_unbind(&f.h, &flow[i]);
	assert_int_equal(f.h.udp.by_flow.count, 0);
	rig_unbind(&f.h, &wild);
	free(flow);
	rig_close_udp(&f.h);
}

static void deliver(struct fixture *f, const char *payload)
{
	struct rig_datagram d = { .src = f->peer,
				  .dst = f->h.v4,
				  .src_port = PEER_PORT,
				  .dst_port = PORT,
				  .payload = payload,
				  .len = strlen(payload) };

	rig_input(&f->h, &d);
}

static void udp_receive__in_order_of_arrival(void **state)
{
	struct fixture f;
	struct udp_pcb a;

	setup(&f);
	rig_bind(&f.h, &a, any, PORT, 0);
	assert_null(udp_receive(&a));
	deliver(&f, "one");
	deliver(&f, "two");
	assert_int_equal(a.queue.frames, 2);
	assert_int_equal(a.charged, 2 * (3 + UDP_CHARGE_OVERHEAD));
	rig_expect(&a, "one", 3);
	rig_expect(&a, "two", 3);
	assert_int_equal(a.charged, 0);
	assert_null(udp_receive(&a));
	rig_unbind(&f.h, &a);
	rig_close_udp(&f.h);
}

/* What was queued before the socket left the tables can still be read. */
static void udp_receive__after_remove(void **state)
{
	struct fixture f;
	struct udp_pcb a;

	setup(&f);
	rig_bind(&f.h, &a, any, PORT, 0);
	deliver(&f, "one");
	udp_remove(&f.h.udp, &a);
	rig_expect(&a, "one", 3);
	rig_unbind(&f.h, &a);
	rig_close_udp(&f.h);
}

static void udp_receive__never_bound(void **state)
{
	struct udp_pcb a = { .limit = 1 };

	assert_null(udp_receive(&a));
	udp_purge(&a);
}

/* What is lent counts as if it stood in the queue, until it is back. */
static void udp_hold__goes_on_to_count(void **state)
{
	struct fbuf *one, *two;
	struct fixture f;
	struct udp_pcb a;

	setup(&f);
	rig_bind(&f.h, &a, any, PORT, 0);
	assert_null(udp_hold(&a));
	deliver(&f, "one");
	deliver(&f, "two");
	one = udp_hold(&a);
	two = udp_hold(&a);
	assert_null(udp_hold(&a));
	assert_memory_equal(one->data, "one", 3);
	assert_int_equal(a.charged, 2 * (3 + UDP_CHARGE_OVERHEAD));
	assert_int_equal(a.pinned, 2);
	assert_int_equal(f.h.udp.idle, 1);
	udp_release(&a, two); /* in any order */
	assert_int_equal(a.charged, 3 + UDP_CHARGE_OVERHEAD);
	a.limit = 3 + UDP_CHARGE_OVERHEAD;
	deliver(&f, "dropped");
	assert_int_equal(a.drops, 1);
	udp_release(&a, one);
	assert_int_equal(a.charged + a.pinned, 0);
	deliver(&f, "three");
	rig_expect(&a, "three", 5);
	rig_unbind(&f.h, &a);
	rig_close_udp(&f.h);
}

static void udp_purge__returns_every_chunk(void **state)
{
	struct fixture f;
	struct udp_pcb a;

	setup(&f);
	rig_bind(&f.h, &a, any, PORT, 0);
	for (unsigned i = 0; i < 60; i++)
		deliver(&f, "datagram"); /* beyond the fair share: both pools hold some */
	assert_true(a.pinned > 0 && a.copied > 0);
	rig_unbind(&f.h, &a);
	rig_close_udp(&f.h);
}

static void udp_find__bound_to_an_interface(void **state)
{
	struct udp_pcb a, b, c;
	struct fixture f;

	setup(&f);
	rig_bind(&f.h, &a, f.any4, PORT, 0);
	udp_remove(&f.h.udp, &a);
	a.ifindex = RIG_IFINDEX + 1;
	udp_insert(&f.h.udp, &a);
	assert_null(find4(&f));
	a.ifindex = RIG_IFINDEX;
	assert_ptr_equal(find4(&f), &a);
	assert_null(udp_find(&f.h.udp, &f.h.v4, PORT, &f.peer, PEER_PORT, RIG_IFINDEX + 1));
	/* The interface outweighs what came later, the address outweighs the interface. */
	rig_bind(&f.h, &b, f.any4, PORT, 0);
	assert_ptr_equal(find4(&f), &a);
	rig_bind(&f.h, &c, f.h.v4, PORT, 0);
	assert_ptr_equal(find4(&f), &c);
	rig_connect(&f.h, &c, f.peer, PEER_PORT);
	c.ifindex = RIG_IFINDEX + 1;
	f.h.udp.last.pcb = NULL;
	assert_ptr_equal(find4(&f), &a);
	rig_unbind(&f.h, &a);
	rig_unbind(&f.h, &b);
	rig_unbind(&f.h, &c);
	rig_close_udp(&f.h);
}

static void udp_find__a_group_shares_its_port(void **state)
{
	struct udp_pcb group[3], *of_flow[64];
	unsigned seen[3] = { 0 };
	struct fixture f;

	setup(&f);
	for (unsigned i = 0; i < 3; i++)
		rig_bind(&f.h, &group[i], f.h.v4, PORT, UDP_PCB_REUSEPORT);
	for (uint16_t i = 0; i < 64; i++) {
		of_flow[i] = find(&f, f.h.v4, PORT, f.peer, (uint16_t)(1000 + i));
		assert_in_range((uintptr_t)of_flow[i], (uintptr_t)&group[0], (uintptr_t)&group[2]);
		seen[of_flow[i] - group]++;
	}
	for (unsigned i = 0; i < 3; i++)
		assert_in_range(seen[i], 5, 50);
	/* A flow stays with its member. */
	for (uint16_t i = 0; i < 64; i++)
		assert_ptr_equal(find(&f, f.h.v4, PORT, f.peer, (uint16_t)(1000 + i)), of_flow[i]);
	/* A member that is connected takes its peer's datagrams only. */
	rig_connect(&f.h, &group[1], f.peer, PEER_PORT);
	assert_ptr_equal(find4(&f), &group[1]);
	for (uint16_t i = 0; i < 64; i++)
		assert_ptr_not_equal(find(&f, f.h.v4, PORT, f.peer, (uint16_t)(1000 + i)), &group[1]);
	for (unsigned i = 0; i < 3; i++)
		rig_unbind(&f.h, &group[i]);
	rig_close_udp(&f.h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(udp_find__nothing_bound),
		cmocka_unit_test(udp_find__wildcard_by_port),
		cmocka_unit_test(udp_find__bound_to_an_interface),
		cmocka_unit_test(udp_find__a_group_shares_its_port),
		cmocka_unit_test(udp_find__family_matrix),
		cmocka_unit_test(udp_find__preference_matrix),
		cmocka_unit_test(udp_find__latest_of_equals),
		cmocka_unit_test(udp_find__latest_of_equal_flows),
		cmocka_unit_test(udp_find__connected_takes_its_peer_only),
		cmocka_unit_test(udp_find__connected_v6only_does_not_take_mapped),
		cmocka_unit_test(udp_find__specific_takes_its_address_only),
		cmocka_unit_test(udp_find__hint_of_a_wildcard_hides_no_flow),
		cmocka_unit_test(udp_insert__clears_the_hint),
		cmocka_unit_test(udp_insert__twice_is_our_bug),
		cmocka_unit_test(udp_remove__not_in_is_fine),
		cmocka_unit_test(udp_find__many_flows_on_one_port),
		cmocka_unit_test(udp_receive__in_order_of_arrival),
		cmocka_unit_test(udp_receive__after_remove),
		cmocka_unit_test(udp_receive__never_bound),
		cmocka_unit_test(udp_hold__goes_on_to_count),
		cmocka_unit_test(udp_purge__returns_every_chunk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
