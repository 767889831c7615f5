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
#include "base/fbuf.h"
#include "base/list.h"
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

static inline uint32_t udp_chunks(const struct fbuf *frame)
{
	uint32_t n = 1;

	while ((frame = frame->next) != NULL)
		n++;
	return n;
}

/* @frame of a pinned pool comes to @pcb's queue, or leaves it. */
static inline void udp_pin(struct udp_stack *udp, struct udp_pcb *pcb, const struct fbuf *frame)
{
	if (pcb->pinned == 0)
		list_push_back(&udp->holders, &pcb->holder);
	pcb->pinned += udp_chunks(frame);
}

static inline void udp_unpin(struct udp_pcb *pcb, const struct fbuf *frame)
{
	pcb->pinned -= udp_chunks(frame);
	if (pcb->pinned == 0)
		list_remove(&pcb->holder);
}

#endif
