/* SPDX-License-Identifier: BSD-2-Clause */
/* How addresses of this host are reached with datagrams: what is remembered, and what makes room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/addr.h"
#include "context/local_peer.h"

enum { MANY = 64 * LOCAL_PEER_SETS * LOCAL_PEER_WAYS };

static struct local_peers peers;

static int empty(void **state)
{
	peers = (struct local_peers){ 0 };
	return 0;
}

static struct ip_addr address(uint32_t n)
{
	return ip_addr_v4(&n);
}

static void test_what_is_noted_is_found(void **state)
{
	struct ip_addr a = address(1), b = address(2);
	struct local_peer *p = local_peer_note(&peers, &a, 53, LOCAL_PEER_NEW, 7);

	assert_ptr_equal(local_peer_find(&peers, &a, 53), p);
	assert_null(local_peer_find(&peers, &a, 54));
	assert_null(local_peer_find(&peers, &b, 53));
	assert_true(p->port == 53 && p->state == LOCAL_PEER_NEW && p->looked == 7 && p->by_kernel);
	assert_ptr_equal(local_peer_note(&peers, &a, 53, LOCAL_PEER_THERE, 9), p);
	assert_true(p->state == LOCAL_PEER_THERE && p->looked == 9 && p->by_kernel);
	assert_false(local_peer_note(&peers, &b, 53, LOCAL_PEER_THERE, 9)->by_kernel);
}

/* However many pass by, who is there stays as long as its set has others. */
static void test_who_is_there_stays(void **state)
{
	struct ip_addr there = address(0);
	unsigned found = 0;

	local_peer_note(&peers, &there, 1000, LOCAL_PEER_THERE, 1);
	for (uint32_t i = 1; i < MANY; i++) {
		struct ip_addr a = address(i);

		local_peer_note(&peers, &a, 1000, i & 1 ? LOCAL_PEER_NEW : LOCAL_PEER_KERNEL, i);
	}
	assert_non_null(local_peer_find(&peers, &there, 1000));
	for (uint32_t i = 1; i < MANY; i++) {
		struct ip_addr a = address(i);

		found += local_peer_find(&peers, &a, 1000) != NULL;
	}
	assert_true(found > 0 && found < LOCAL_PEER_SETS * LOCAL_PEER_WAYS);
}

/* Of equals what was found out first makes room: the last that fits in a set is there. */
static void test_the_oldest_goes(void **state)
{
	struct ip_addr a;

	for (uint32_t i = 0; i < MANY; i++) {
		a = address(i);
		local_peer_note(&peers, &a, 1000, LOCAL_PEER_THERE, i);
		assert_non_null(local_peer_find(&peers, &a, 1000));
		if (i > 0) {
			a = address(i - 1);
			assert_non_null(local_peer_find(&peers, &a, 1000));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_what_is_noted_is_found, empty),
		cmocka_unit_test_setup(test_who_is_there_stays, empty),
		cmocka_unit_test_setup(test_the_oldest_goes, empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
