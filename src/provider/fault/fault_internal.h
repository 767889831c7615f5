/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fault_internal.h - between the provider (fault.c) and the wire (link.c).
 *
 * Threads: one for the link and both its ends.
 */
#ifndef FSOCK_PROVIDER_FAULT_FAULT_INTERNAL_H
#define FSOCK_PROVIDER_FAULT_FAULT_INTERNAL_H

#include "provider/fault/fault.h"

#define FAULT_MAGIC 0x6661756c746c6e6bULL /* "faultlnk" */

/* @frame goes on its way to end @end, or meets its fate. Takes it. */
void fault_link_send(struct fault_link *link, unsigned end, struct fbuf *frame);

/* The first frame that has arrived by @now; NULL = none. The caller owns it. */
struct fbuf *fault_direction_take(struct fault_direction *d, fs_ns now);

/* Free everything under way. */
void fault_direction_clear(struct fault_direction *d);

#endif
