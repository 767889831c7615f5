/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * counter.c - names, units and help texts of the counters. Holds no values.
 */
#include "base/counter.h"

#include <stddef.h>

#include "base/err.h"

static const struct fs_counter_info info[] = {
#define CTR(name, unit, help) { #name, unit, help },
#include "base/counters.def"
#undef CTR
};
static_assert(FS_ARRAY_SIZE(info) == FS_CTR_N, "every counter is described");

const struct fs_counter_info *fs_counter_info(uint32_t which)
{
	return which < FS_CTR_N ? &info[which] : NULL;
}
