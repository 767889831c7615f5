/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * links.c - see links.h.
 */
#include "links.h"

#include <inttypes.h>
#include <string.h>

#include "grid.h"
#include "json.h"
#include "sockets.h"
#include "stats/reader.h"

/* What @value grew by in a second, or itself where nothing came before. */
static uint64_t per_second(uint64_t value, const uint64_t *before, double seconds)
{
	return before ? (uint64_t)((double)(value - *before) / seconds) : value;
}

/* The same link in an earlier look, NULL = it was not there. */
static const struct stats_link *link_before(const struct stats_snapshot *former, uint32_t serial)
{
	for (unsigned i = 0; former && i < former->n_links; i++)
		if (former->links[i].serial == serial)
			return &former->links[i];
	return NULL;
}

bool links_has(const struct stats_sock *sock)
{
	return sock->link && sock->fd != -1;
}

static void print_links(const struct stats_snapshot *stack, const struct stats_snapshot *former, double seconds,
			FILE *to)
{
	struct grid grid;

	grid_init(&grid, former ? "LINK|PEER PID|DIALLED BY|NETNS|CONNECTIONS|RX BYTES/S|TX BYTES/S|RINGS|SHARED"
				: "LINK|PEER PID|DIALLED BY|NETNS|CONNECTIONS|RX BYTES|TX BYTES|RINGS|SHARED");
	for (unsigned i = 0; i < stack->n_links; i++) {
		const struct stats_link *link = &stack->links[i], *old = link_before(former, link->serial);

		if (!link->serial)
			continue;
		grid_add(&grid, "%u", i + 1);
		grid_add(&grid, "%u", link->peer_pid);
		grid_add(&grid, "%s", link->listened ? "peer" : "us");
		grid_add(&grid, "%s", link->beyond ? "other" : "own");
		grid_add(&grid, "%u", link->connections);
		grid_add(&grid, "%" PRIu64, per_second(link->rx_bytes, old ? &old->rx_bytes : NULL, seconds));
		grid_add(&grid, "%" PRIu64, per_second(link->tx_bytes, old ? &old->tx_bytes : NULL, seconds));
		grid_add(&grid, "%" PRIu64, link->ring_bytes);
		grid_add(&grid, "%" PRIu64, link->shared_bytes);
	}
	grid_print(&grid, "  ", to);
	grid_free(&grid);
}

static void add_place(struct grid *grid, const struct stats_sock *sock)
{
	char text[SOCKET_ENDPOINT_LEN];

	grid_add(grid, "%s", socket_local(sock, text));
	if (sock->link == STATS_ANY_LINK) {
		grid_add(grid, "%s", socket_is_unix(sock) ? "-" : "*:*");
		grid_add(grid, "any");
		grid_add(grid, "-");
		return;
	}
	grid_add(grid, "%s", socket_remote(sock, text));
	grid_add(grid, "%u", sock->link);
	grid_add(grid, "%u", sock->peer_pid);
}

static void print_socks(const struct stats_snapshot *stack, const struct stats_snapshot *former, double seconds,
			FILE *to)
{
	struct grid grid;

	grid_init(&grid, former ? "STATE|RECV-Q|SEND-Q|LOCAL|PEER|LINK|PEER PID|FD|PID|RX BYTES/S|TX BYTES/S"
				: "STATE|RECV-Q|SEND-Q|LOCAL|PEER|LINK|PEER PID|FD|PID|RX BYTES|TX BYTES");
	for (unsigned i = 0; i < stack->n_socks; i++) {
		const struct stats_sock *sock = &stack->socks[i], *old = socket_before(former, sock->cookie);
		const char *state = socket_state(sock);

		if (!links_has(sock))
			continue;
		grid_add(&grid, "%s", state ? state : "-");
		grid_add(&grid, "%u", socket_recv_q(sock));
		grid_add(&grid, "%u", socket_send_q(sock));
		add_place(&grid, sock);
		grid_add(&grid, "%d", sock->fd);
		grid_add(&grid, "%u", sock->pid);
		grid_add(&grid, "%" PRIu64, per_second(sock->rx_bytes, old ? &old->rx_bytes : NULL, seconds));
		grid_add(&grid, "%" PRIu64, per_second(sock->tx_bytes, old ? &old->tx_bytes : NULL, seconds));
	}
	grid_print(&grid, "  ", to);
	grid_free(&grid);
}

void links_print(const struct stats_snapshot *stack, const struct stats_snapshot *former, double seconds, FILE *to)
{
	print_links(stack, former, seconds, to);
	print_socks(stack, former, seconds, to);
}

void links_json(cJSON *root, const struct stats_snapshot *stack)
{
	cJSON *list = cJSON_AddArrayToObject(root, "links");

	for (unsigned i = 0; i < stack->n_links; i++) {
		const struct stats_link *link = &stack->links[i];
		cJSON *object;

		if (!link->serial)
			continue;
		object = cJSON_CreateObject();
		cJSON_AddNumberToObject(object, "link", i + 1);
		cJSON_AddNumberToObject(object, "peer_pid", link->peer_pid);
		cJSON_AddBoolToObject(object, "dialled", !link->listened);
		cJSON_AddBoolToObject(object, "other_netns", link->beyond);
		cJSON_AddNumberToObject(object, "connections", link->connections);
		json_add_u64(object, "rx_bytes", link->rx_bytes);
		json_add_u64(object, "tx_bytes", link->tx_bytes);
		json_add_u64(object, "ring_bytes", link->ring_bytes);
		json_add_u64(object, "shared_bytes", link->shared_bytes);
		cJSON_AddItemToArray(list, object);
	}
}
