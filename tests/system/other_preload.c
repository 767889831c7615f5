/* SPDX-License-Identifier: BSD-2-Clause */
/* other_preload.c - the preload library as another version of fsock might have it; see src/api/table.h. */
#include <stdint.h>

struct table {
	uint32_t version, size;
	const char *build;
};

const struct table *fsock_private_context_1(void);

const struct table *fsock_private_context_1(void)
{
	static const struct table table = { .version = 99, .size = sizeof(table), .build = "99.0" };

	return &table;
}
