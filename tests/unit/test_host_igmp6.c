/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_host_igmp6.c - lines of /proc/net/igmp6.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "host/igmp6.h"

static const struct ip_addr group = { .b = { 0xff, 0x02, [15] = 0xfb } };

static int parse(const char *line, uint32_t ifindex)
{
	return host_igmp6_parse_line(line, strlen(line), ifindex, &group);
}

static void host_igmp6_parse_line__member(void **state)
{
	assert_int_equal(parse("2    fst0            ff0200000000000000000000000000fb     1 00000004 0", 2), 1);
	assert_int_equal(parse("12\tx\tff0200000000000000000000000000fb", 12), 1);
}

static void host_igmp6_parse_line__others(void **state)
{
	static const char *const lines[] = {
		"3    fst0            ff0200000000000000000000000000fb     1 00000004 0",
		"22   fst0            ff0200000000000000000000000000fb     1 00000004 0",
		"2    fst0            ff0200000000000000000000000000fc     1 00000004 0",
		"2    fst0            ff0200000000000000000000000000f",
		"2    fst0            ff0200000000000000000000000000fbb",
		"2    fst0            gg0200000000000000000000000000fb",
		"2    fst0",
		"2",
		"",
		"   ",
		"x    fst0            ff0200000000000000000000000000fb",
		"42949672980000000002 fst0 ff0200000000000000000000000000fb",
	};

	for (size_t i = 0; i < FS_ARRAY_SIZE(lines); i++)
		assert_int_equal(parse(lines[i], 2), 0);
}

static void host_igmp6_joined__all_nodes_on_loopback(void **state)
{
	const struct ip_addr all_nodes = { .b = { 0xff, 0x02, [15] = 1 } };
	char buf[300];
	int ret = host_igmp6_joined(1, &all_nodes, buf, sizeof(buf));

	if (ret < 0)
		skip();
	assert_int_equal(ret, 1);
	assert_int_equal(host_igmp6_joined(1, &group, buf, sizeof(buf)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_igmp6_parse_line__member),
		cmocka_unit_test(host_igmp6_parse_line__others),
		cmocka_unit_test(host_igmp6_joined__all_nodes_on_loopback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
