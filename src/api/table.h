/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * table.h - the native interface as a table of functions, by which two libraries share one context.
 *
 * The interface is linked into libfsock.so and into the preload library. When both are in a process the
 * preload's is used: libfsock.so finds its table by API_TABLE_SYMBOL, and its exported functions lead
 * there. What crosses between the libraries is thus the public ABI and nothing else: no struct of the
 * engine, so the two may be of different builds.
 *
 * Threads: the table is constant.
 */
#ifndef FSOCK_API_TABLE_H
#define FSOCK_API_TABLE_H

#include <fsock/fsock.h>

/* Of the struct below and of the calls in it. Both libraries must have the same. */
#define API_TABLE_VERSION 2

/* Exported by the preload library, a function of type api_table_fn. The name stays as it is when the
 * version changes, so that another version is recognised instead of overlooked. */
#define API_TABLE_SYMBOL "fsock_private_context_1"

struct api_table {
	uint32_t version; /* API_TABLE_VERSION; never moves */
	uint32_t size;	  /* bytes of this struct; never moves */
	const char *build; /* FSOCK_VERSION, for messages; never moves */
#define CALL(ret, name, params, args) ret(*name) params;
#include "api/calls.def"
#undef CALL
};

typedef const struct api_table *api_table_fn(void);

/* The interface of the library this is linked into. */
const struct api_table *api_table_own(void);

#define CALL(ret, name, params, args) ret api_##name params;
#include "api/calls.def"
#undef CALL

#endif
