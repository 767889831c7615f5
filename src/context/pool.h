/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pool.h - how many queues of an interface a port serves, and the frame pool that goes with them.
 *
 * Does:     start from the interface and the options, give way when memory or limits refuse, say why;
 *           make the pool.
 * Does not: open ports (port.c).
 * Threads:  holder of the stack's lock.
 * Errors:   0 or -errno.
 */
#ifndef FSOCK_CONTEXT_POOL_H
#define FSOCK_CONTEXT_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "stats/format/stats.h"

struct context;
struct config;

struct pool_plan {
	uint32_t first;	 /* queue to serve */
	uint32_t queues; /* to serve, from that one on */
	uint32_t chunks; /* of frame memory for each */
	bool short_of;	 /* memory, a limit or the number of queues a port may have held it down: worth a
			    warning, which the option `queues` is not */
	char note[STATS_DETAIL_LEN]; /* why it is less than the interface and umem_size say; "" = it is not */
};

/* What to try first on an interface that has @rx_queues. */
void pool_plan_init(struct pool_plan *plan, const struct config *config, uint32_t rx_queues);

/* Of these, what is the share of the stack @ctx among its sisters (sister.h). */
void pool_plan_share(struct pool_plan *plan, const struct context *ctx);

/* Memory did not suffice, as @why says: ask for less. False when there is no less. */
bool pool_plan_shrink(struct pool_plan *plan, const char *why);

/*
 * The pinned pool of port slot @slot, of plan->queues times plan->chunks. It is kept for the next port of
 * the slot and changes its size then, unless sockets still hold frames of it: it stays as it is then.
 */
int pool_make(struct context *ctx, unsigned slot, const struct pool_plan *plan);

#endif
