/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exports.c - what libfsock.so exports: choosing the table, and each call through it.
 */
#include <dlfcn.h>
#include <errno.h>

#include "api/table.h"
#include "base/barrier.h"
#include "host/log.h"

#define FSOCK_EXPORT __attribute__((visibility("default")))

/* The one mutable variable of this room: whose interface is in use, and by how many. */
static struct {
	const struct api_table *table; /* NULL = not started */
	uint32_t users;
} started;

static void complain(const struct api_table *preload)
{
	static const struct host_log standard_error = { .fd = 2, .level = LOG_WARN };

	host_log(&standard_error, LOG_WARN,
		 "libfsock.so is of version " FSOCK_VERSION ", the preloaded library of %s: they cannot share a stack",
		 preload->build);
}

/* The preload's table where there is one, else ours. NULL: there is one that is not ours to use. */
static const struct api_table *find_table(void)
{
	api_table_fn *lend = (api_table_fn *)dlsym(RTLD_DEFAULT, API_TABLE_SYMBOL);
	const struct api_table *preload = lend ? lend() : NULL;

	if (!preload)
		return api_table_own();
	if (preload->version == API_TABLE_VERSION && preload->size == sizeof(*preload))
		return preload;
	complain(preload);
	return NULL;
}

FSOCK_EXPORT int fsock_init(unsigned version)
{
	const struct api_table *table;

	if (version == 0 || version > FSOCK_API_VERSION)
		return -ENOTSUP;
	table = find_table();
	if (!table)
		return -ELIBBAD;
	fs_fetch_add(&started.users, 1);
	fs_store_release(&started.table, table);
	return 0;
}

FSOCK_EXPORT void fsock_fini(void)
{
	uint32_t users = fs_load_relaxed(&started.users);

	while (users != 0 && !fs_compare_exchange(&started.users, &users, users - 1))
		continue;
	if (users == 1)
		fs_store_release(&started.table, NULL);
}

#define CALL(ret, name, params, args)                                                              \
	FSOCK_EXPORT ret fsock_##name params                                                       \
	{                                                                                          \
		const struct api_table *table = fs_load_acquire(&started.table);                   \
												   \
		return table ? table->name args : -EINVAL;                                         \
	}
#include "api/calls.def"
#undef CALL
