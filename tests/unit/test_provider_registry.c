/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of providers: positions, names, and that every entry fulfils the contract. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "provider/fault/fault.h"
#include "provider/provider.h"

static void provider_at__out_of_range_is_null(void **state)
{
	assert_true(provider_count() >= 1);
	assert_non_null(provider_at(provider_count() - 1));
	assert_null(provider_at(provider_count()));
	assert_null(provider_at(UINT32_MAX));
}

static void provider_by_name__finds_each_by_its_own(void **state)
{
	for (unsigned i = 0; i < provider_count(); i++)
		assert_ptr_equal(provider_by_name(provider_at(i)->name), provider_at(i));
	assert_string_equal(provider_by_name("xdp")->name, "xdp");
}

static void provider_by_name__unknown_is_null(void **state)
{
	assert_null(provider_by_name(""));
	assert_null(provider_by_name("xd"));
	assert_null(provider_by_name("xdpx"));
	assert_null(provider_by_name("null")); /* a provider of the tests */
	assert_null(provider_by_name("fault"));
}

static void assert_complete(const struct provider_ops *o)
{
	assert_non_null(o->name);
	assert_true(o->port_size >= sizeof(struct provider_port));
	assert_non_null(o->probe);
	assert_non_null(o->open);
	assert_non_null(o->fork_child);
	assert_non_null(o->join);
	assert_non_null(o->receive);
	assert_non_null(o->transmit);
	assert_non_null(o->kick);
	assert_non_null(o->tx_pending);
	assert_non_null(o->wait_fd);
	assert_non_null(o->arm);
	assert_non_null(o->disarm);
	assert_non_null(o->set_local_addrs);
	assert_non_null(o->heartbeat);
	assert_non_null(o->refresh_stats);
	assert_non_null(o->close);
	assert_int_equal(o->steer_add == NULL, o->steer_remove == NULL);
}

static void provider_ops__are_complete(void **state)
{
	for (unsigned i = 0; i < provider_count(); i++)
		assert_complete(provider_at(i));
	assert_complete(&provider_fault);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(provider_at__out_of_range_is_null),
		cmocka_unit_test(provider_by_name__finds_each_by_its_own),
		cmocka_unit_test(provider_by_name__unknown_is_null),
		cmocka_unit_test(provider_ops__are_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
