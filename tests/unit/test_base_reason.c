/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of reasons. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>

#include "base/reason.h"

static void fs_reason_info__every_line_is_complete(void **state)
{
	for (uint32_t i = 0; i < FS_REASON_N; i++) {
		const struct fs_reason_info *info = fs_reason_info(i);

		assert_non_null(info);
		assert_true(info->name[0] && info->text[0]);
		assert_non_null(info->remedy);
		for (const char *c = info->name; *c; c++)
			assert_true(islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '_');
		for (uint32_t k = 0; k < i; k++)
			assert_string_not_equal(fs_reason_info(k)->name, info->name);
	}
}

/* Zero means accelerated everywhere a reason is stored; tools compare the names. */
static void fs_reason_info__index_and_name_agree(void **state)
{
	assert_int_equal(FS_REASON_none, 0);
	assert_string_equal(fs_reason_info(0)->name, "none");
	assert_string_equal(fs_reason_info(FS_REASON_policy)->name, "policy");
}

static void fs_reason_info__unknown_is_null(void **state)
{
	assert_null(fs_reason_info(FS_REASON_N));
	assert_null(fs_reason_info(UINT32_MAX));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(fs_reason_info__every_line_is_complete),
		cmocka_unit_test(fs_reason_info__index_and_name_agree),
		cmocka_unit_test(fs_reason_info__unknown_is_null),
	};

	return cmocka_run_group_tests_name("base_reason", tests, NULL, NULL);
}
