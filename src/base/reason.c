/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reason.c - names, texts and remedies of the reasons. Decides nothing.
 */
#include "base/reason.h"

#include <stddef.h>

#include "base/err.h"

static const struct fs_reason_info info[] = {
#define REASON(name, text, remedy) { #name, text, remedy },
#include "base/reasons.def"
#undef REASON
};
static_assert(FS_ARRAY_SIZE(info) == FS_REASON_N, "every reason is described");
static_assert(FS_REASON_N <= UINT8_MAX,
	      "a reason fits the byte that sockets and statistics give it");

const struct fs_reason_info *fs_reason_info(uint32_t reason)
{
	return reason < FS_REASON_N ? &info[reason] : NULL;
}
