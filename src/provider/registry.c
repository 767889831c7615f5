/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * registry.c - the table of providers, made from providers.def.
 *
 * Includes no provider: each is known by its name alone. A port in shared memory names its provider
 * by the position in this table (DESIGN D2), the same in every process of one build.
 */
#include "provider/provider.h"

#include <string.h>

/* The test of the plug point compiles this file with a longer list. */
#ifndef PROVIDERS_DEF
#define PROVIDERS_DEF "provider/providers.def"
#endif

#define PROVIDER(name) extern const struct provider_ops provider_##name;
#include PROVIDERS_DEF
#undef PROVIDER

#define PROVIDER(name) &provider_##name,
static const struct provider_ops *const providers[] = {
#include PROVIDERS_DEF
};
#undef PROVIDER

unsigned provider_count(void)
{
	return FS_ARRAY_SIZE(providers);
}

const struct provider_ops *provider_at(unsigned kind)
{
	return kind < FS_ARRAY_SIZE(providers) ? providers[kind] : NULL;
}

const struct provider_ops *provider_by_name(const char *name)
{
	for (unsigned i = 0; i < FS_ARRAY_SIZE(providers); i++)
		if (strcmp(providers[i]->name, name) == 0)
			return providers[i];
	return NULL;
}
