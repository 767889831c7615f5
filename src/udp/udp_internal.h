/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * udp_internal.h - between the files of this room.
 */
#ifndef FSOCK_UDP_UDP_INTERNAL_H
#define FSOCK_UDP_UDP_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/csum.h"
#include "base/endian.h"
#include "udp/udp.h"

/* Hash of a connected endpoint, keyed. */
uint32_t udp_flow_hash(const struct udp_stack *udp, const struct ip_addr *local, uint16_t local_port,
		       const struct ip_addr *remote, uint16_t remote_port);

/* inline definitions */

/* The csum.h sum of one 16-bit field. */
static inline uint64_t udp_sum16(uint16_t host)
{
	be16_t net = be16_make(host);

	return csum_inline(&net, sizeof(net));
}

/* May an endpoint of these flags take datagrams of that family at all? */
static inline bool udp_takes_family(uint32_t flags, bool is_v4)
{
	if (!is_v4)
		return flags & UDP_PCB_V6;
	return !(flags & UDP_PCB_V6) || !(flags & UDP_PCB_V6ONLY);
}

#endif
