/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * table.c - this library's native interface as a table.
 */
#include "api/table.h"

const struct api_table *api_table_own(void)
{
	static const struct api_table table = {
		.version = API_TABLE_VERSION,
		.size = sizeof(table),
		.build = FSOCK_VERSION,
#define CALL(ret, name, params, args) .name = api_##name,
#include "api/calls.def"
#undef CALL
	};

	return &table;
}
