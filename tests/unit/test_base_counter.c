/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of counters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>

#include "base/counter.h"

static void fs_counter_info__every_line_is_complete(void **state)
{
	for (uint32_t i = 0; i < FS_CTR_N; i++) {
		const struct fs_counter_info *info = fs_counter_info(i);

		assert_non_null(info);
		assert_true(info->name[0] && info->unit[0] && info->help[0]);
		for (const char *c = info->name; *c; c++)
			assert_true(islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '_');
		for (uint32_t k = 0; k < i; k++)
			assert_string_not_equal(fs_counter_info(k)->name, info->name);
	}
}

static void fs_counter_info__index_and_name_agree(void **state)
{
	assert_string_equal(fs_counter_info(FS_CTR_drop_eth_short)->name, "drop_eth_short");
	assert_string_equal(fs_counter_info(FS_CTR_drop_udp_rcvbuf)->name, "drop_udp_rcvbuf");
	assert_string_equal(fs_counter_info(FS_CTR_eintr)->name, "eintr");
}

static void fs_counter_info__unknown_is_null(void **state)
{
	assert_null(fs_counter_info(FS_CTR_N));
	assert_null(fs_counter_info(UINT32_MAX));
}

static void fs_count__only_its_own(void **state)
{
	struct fs_counters c = { 0 };
	uint64_t sum = 0;

	fs_count(&c, FS_CTR_eintr);
	fs_count_add(&c, FS_CTR_rx_bytes, 1472);
	assert_true(c.v[FS_CTR_eintr] == 1);
	assert_true(c.v[FS_CTR_rx_bytes] == 1472);
	for (uint32_t i = 0; i < FS_CTR_N; i++)
		sum += c.v[i];
	assert_true(sum == 1473);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(fs_counter_info__every_line_is_complete),
		cmocka_unit_test(fs_counter_info__index_and_name_agree),
		cmocka_unit_test(fs_counter_info__unknown_is_null),
		cmocka_unit_test(fs_count__only_its_own),
	};

	return cmocka_run_group_tests_name("base_counter", tests, NULL, NULL);
}
