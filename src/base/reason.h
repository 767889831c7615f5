/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reason.h - why a socket is not accelerated, derived from reasons.def (DESIGN D10).
 *
 * FS_REASON_<name> is the value stored in sockets and in the shared statistics; fs_reason_info() gives
 * what tools print. Adding a reason is one line in reasons.def.
 * Threads: any.
 */
#ifndef FSOCK_BASE_REASON_H
#define FSOCK_BASE_REASON_H

#include <stdint.h>

enum fs_reason {
#define REASON(name, text, remedy) FS_REASON_##name,
#include "base/reasons.def"
#undef REASON
	FS_REASON_N
};

struct fs_reason_info {
	const char *name;   /* one word, stable */
	const char *text;   /* what is the matter */
	const char *remedy; /* what to do about it, "" = nothing to mend */
};

/* Description of @reason, which may come from another process's file: NULL when unknown. */
const struct fs_reason_info *fs_reason_info(uint32_t reason);

#endif
