/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bare_record.c - records of connections without a descriptor, as `fsock stat` and `fsock why` read them.
 *
 * Does:     give one to as many as there are places, and count all. When a connection ends, its place and its record
 *           are the next one's.
 * Does not: leave a trace in the connection: 100,000 of them pay nothing. Records are found from their places.
 */
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/reason.h"
#include "context/bare.h"
#include "context/internal.h"
#include "ip/ip.h"

#define OWN_COOKIE (1ULL << 63) /* the kernel's count from 1 */

/* Of @conn; NULL: a free one that has a record, or may have one: natives take none of the last half. */
static struct stack_bare *place_of(struct stack *s, const void *conn)
{
	for (unsigned i = 0; i < STACK_BARE_PLACES; i++) {
		struct stack_bare *place = &s->bare[i];

		if (place->conn == conn && (conn || place->record || s->head.n_socks < s->head.max_socks / 2))
			return place;
	}
	return NULL;
}

static void publish(const struct stack_bare *place)
{
	const struct tcp_conn *conn = place->conn;
	struct stats_sock *r = place->record;
	bool begun;

	if (place->by_link) {
		record_reason(r, FS_REASON_none, NULL);
		sock_publish_local(place->conn, r);
		return;
	}
	begun = conn->state != TCP_CLOSED || tcp_has(conn, TCP_CONN_CONNECTED);
	record_reason(r, begun ? FS_REASON_none : FS_REASON_pending, NULL);
	if (conn->dst && conn->dst->way == IP_DST_FAST)
		r->port_index = conn->dst->port;
	sock_publish_conn(conn, r);
}

void bare_record_open(struct context *ctx, const struct bare *bare)
{
	struct stack *s = ctx->stack;
	struct stack_bare *place;

	s->head.n_bare++;
	place = s->n_bare_places < STACK_BARE_PLACES ? place_of(s, NULL) : NULL;
	if (!place)
		return;
	if (!place->record)
		place->record = &s->records[s->head.n_socks++];
	*place->record = (struct stats_sock){
		.cookie = OWN_COOKIE | ++s->bare_serial,
		.family = bare->v6 ? AF_INET6 : AF_INET,
		.protocol = IPPROTO_TCP,
		.bare = 1,
		.fd = STATS_NO_FD,
		.pid = ctx->pid,
		.port_index = 0xff,
	};
	place->conn = bare->conn;
	place->by_link = bare->by_link;
	s->n_bare_places++;
	publish(place);
}

void bare_record_publish(struct context *ctx, const void *conn)
{
	const struct stack_bare *place = place_of(ctx->stack, conn);

	if (place)
		publish(place);
}

void bare_record_publish_some(struct context *ctx, unsigned n)
{
	struct stack *s = ctx->stack;

	for (; n > 0 && s->n_bare_places; n--) {
		const struct stack_bare *place = &s->bare[s->bare_turn++ % STACK_BARE_PLACES];

		if (place->conn)
			publish(place);
	}
}

void bare_record_close(struct context *ctx, const void *conn)
{
	struct stack_bare *place = place_of(ctx->stack, conn);

	ctx->stack->head.n_bare--;
	if (!place)
		return;
	publish(place);
	context_record_close(ctx, place->record);
	place->conn = NULL;
	ctx->stack->n_bare_places--;
}
