/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * udp_internal.h - between the files of this room.
 */
#ifndef FSOCK_UDP_UDP_INTERNAL_H
#define FSOCK_UDP_UDP_INTERNAL_H

#include <stdint.h>

#include "base/csum.h"
#include "base/endian.h"

/* inline definitions */

/* The csum.h sum of one 16-bit field. */
static inline uint64_t udp_sum16(uint16_t host)
{
	be16_t net = be16_make(host);

	return csum_inline(&net, sizeof(net));
}

#endif
