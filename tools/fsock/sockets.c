/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sockets.c - the records of the shared statistics in words.
 */
#include "sockets.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/reason.h"
#include "json.h"
#include "provider/provider.h"
#include "stats/reader.h"

static_assert(SOCKET_ENDPOINT_LEN == INET6_ADDRSTRLEN + 10, "an address, brackets and a port");

enum { LISTEN = 10, N_STATES = 13 }; /* Linux's, as in struct stats_sock */

/* The fields of struct provider_stats in their order; the assertions below tie the two. */
#define PORT_COUNTERS(X)                                                                           \
	X(rx_frames)                                                                               \
	X(rx_bytes) X(tx_frames) X(tx_bytes) X(tx_full) X(tx_bad) X(kicks) X(kick_again) X(rx_bad) \
		X(rx_no_frame) X(kernel_rx_dropped) X(kernel_rx_ring_full) X(kernel_fill_empty)    \
			X(kernel_rx_invalid) X(kernel_tx_invalid) X(kernel_tx_empty)               \
				X(steer_passed_stale) X(steer_passed_partial) X(steer_redirected)  \
					X(guard_dropped) X(steer_passed_no_queue) X(side_frames)   \
						X(side_lost)

#define NAME(field) #field,
static const char *const port_counters[] = { PORT_COUNTERS(NAME) };
#undef NAME

enum {
#define INDEX(field) PORT_COUNTER_##field,
	PORT_COUNTERS(INDEX)
#undef INDEX
		PORT_N_COUNTERS
};
#define IN_PLACE(field)                                                                            \
	static_assert(offsetof(struct provider_stats, field) ==                                    \
			      sizeof(uint64_t) * PORT_COUNTER_##field,                             \
		      #field);
PORT_COUNTERS(IN_PLACE)
#undef IN_PLACE
static_assert(sizeof(struct provider_stats) == sizeof(uint64_t) * PORT_N_COUNTERS,
	      "every field of provider_stats has a name here");
static_assert(sizeof(struct provider_stats) <= sizeof(((struct stats_port *)0)->counter),
	      "provider_stats fits its place in the format");

const char *port_counter_name(unsigned i)
{
	return i < PORT_N_COUNTERS ? port_counters[i] : NULL;
}

char *socket_endpoint(const uint8_t bytes[16], uint16_t port, char *to)
{
	struct ip_addr addr = ip_addr_v6(bytes);
	char text[INET6_ADDRSTRLEN];

	if (ip_addr_is_any(&addr))
		snprintf(to, SOCKET_ENDPOINT_LEN, "*:%u", port);
	else if (ip_addr_is_v4(&addr))
		snprintf(to, SOCKET_ENDPOINT_LEN, "%s:%u",
			 inet_ntop(AF_INET, bytes + 12, text, sizeof(text)), port);
	else
		snprintf(to, SOCKET_ENDPOINT_LEN, "[%s]:%u",
			 inet_ntop(AF_INET6, bytes, text, sizeof(text)), port);
	return to;
}

bool socket_is_unix(const struct stats_sock *sock)
{
	return sock->family == AF_UNIX;
}

static const char *protocol_name(const struct stats_sock *sock)
{
	if (socket_is_unix(sock))
		return "unix";
	switch (sock->protocol) {
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_TCP:
		return "tcp";
	default:
		return "other";
	}
}

const struct stats_sock *socket_before(const struct stats_snapshot *former, uint64_t cookie)
{
	for (unsigned i = 0; former && i < former->n_socks; i++) {
		if (former->socks[i].cookie == cookie)
			return &former->socks[i];
	}
	return NULL;
}

char *socket_local(const struct stats_sock *sock, char *to)
{
	size_t i;

	if (!socket_is_unix(sock))
		return socket_endpoint(sock->local, sock->local_port, to);
	for (i = 0; i < sizeof(sock->unix_name) - 1 && sock->unix_name[i]; i++)
		to[i] = (char)(sock->unix_name[i] > ' ' && sock->unix_name[i] < 127 ? sock->unix_name[i] : '?');
	to[i] = '\0';
	return to;
}

char *socket_remote(const struct stats_sock *sock, char *to)
{
	if (!socket_is_unix(sock))
		return socket_endpoint(sock->remote, sock->remote_port, to);
	to[0] = '-';
	to[1] = '\0';
	return to;
}

static bool has_peer(const struct stats_sock *sock)
{
	return sock->remote_port != 0;
}

char *socket_name(const struct stats_sock *sock, char *to)
{
	char local[SOCKET_ENDPOINT_LEN], remote[SOCKET_ENDPOINT_LEN];

	if (sock->family == 0) { /* a process without a stack (context/start.c) */
		snprintf(to, SOCKET_NAME_LEN, "every socket");
		return to;
	}
	snprintf(to, SOCKET_NAME_LEN, "%s%s %s%s%s", protocol_name(sock),
		 sock->family == AF_INET6 ? "6" : "",
		 socket_local(sock, local), has_peer(sock) ? " > " : "",
		 has_peer(sock) ? socket_remote(sock, remote) : "");
	return to;
}

const struct stats_port *socket_port(const struct stats_sock *sock,
				     const struct stats_snapshot *snapshot)
{
	if (!snapshot || !sock->accelerated || sock->port_index >= snapshot->n_ports)
		return NULL;
	return &snapshot->ports[sock->port_index];
}

/* Of datagrams that any link may bring, others are told apart. */
static bool is_by_links(const struct stats_sock *sock)
{
	return sock->link && (sock->link != STATS_ANY_LINK || sock->protocol == IPPROTO_TCP || sock->accelerated);
}

bool socket_is_accelerated(const struct stats_sock *sock)
{
	return sock->accelerated || is_by_links(sock);
}

const char *socket_by(const struct stats_sock *sock)
{
	if (is_by_links(sock))
		return "link";
	return sock->accelerated ? "interface" : "kernel";
}

const char *socket_state(const struct stats_sock *sock)
{
	static const char *const names[N_STATES] = {
		NULL,	     "ESTAB",  "SYN-SENT",   "SYN-RECV", "FIN-WAIT-1", "FIN-WAIT-2",  "TIME-WAIT",
		"UNCONN",    "CLOSE-WAIT", "LAST-ACK", "LISTEN",   "CLOSING",	 "NEW-SYN-RECV",
	};

	if (sock->protocol != IPPROTO_TCP && !socket_is_unix(sock))
		return NULL;
	return sock->state < N_STATES ? names[sock->state] : NULL;
}

uint32_t socket_recv_q(const struct stats_sock *sock)
{
	return sock->state == LISTEN ? sock->queued_frames : sock->queued_bytes;
}

uint32_t socket_send_q(const struct stats_sock *sock)
{
	return sock->unread_bytes;
}

static void add_way(cJSON *object, const struct stats_sock *sock)
{
	bool connection = sock->link && sock->link != STATS_ANY_LINK;

	cJSON_AddStringToObject(object, "by", socket_by(sock));
	json_add_text(object, "state", socket_state(sock));
	cJSON_AddNumberToObject(object, "recv_q", socket_recv_q(sock));
	cJSON_AddNumberToObject(object, "send_q", socket_send_q(sock));
	if (!connection)
		return;
	cJSON_AddNumberToObject(object, "link", sock->link);
	cJSON_AddNumberToObject(object, "peer_pid", sock->peer_pid);
}

static void add_reason(cJSON *object, const struct stats_sock *sock)
{
	const struct fs_reason_info *info = fs_reason_info(sock->reason);
	char unknown[32];

	snprintf(unknown, sizeof(unknown), "unknown-%u", sock->reason);
	if (sock->accelerated) {
		json_add_text(object, "reason", NULL);
		return;
	}
	json_add_text(object, "reason", info ? info->name : unknown);
	json_add_text(object, "text", info ? info->text : "a reason this version does not know");
	json_add_text(object, "remedy", info ? info->remedy : NULL);
}

cJSON *socket_json(const struct stats_sock *sock, const struct stats_snapshot *snapshot)
{
	const struct stats_port *port = socket_port(sock, snapshot);
	cJSON *object = cJSON_CreateObject();
	char text[SOCKET_ENDPOINT_LEN];

	cJSON_AddNumberToObject(object, "fd", sock->fd);
	cJSON_AddNumberToObject(object, "pid", sock->pid);
	json_add_u64(object, "cookie", sock->cookie);
	cJSON_AddStringToObject(object, "protocol", protocol_name(sock));
	cJSON_AddStringToObject(object, "family", sock->family == AF_UNIX    ? "unix" :
						sock->family == AF_INET6 ? "inet6" :
									   "inet");
	cJSON_AddStringToObject(object, "local", socket_local(sock, text));
	json_add_text(object, "remote",
		      has_peer(sock) ? socket_remote(sock, text) : NULL);
	cJSON_AddBoolToObject(object, "accelerated", socket_is_accelerated(sock));
	add_way(object, sock);
	json_add_text(object, "provider", port ? port->provider : NULL);
	json_add_text(object, "interface", port ? port->ifname : NULL);
	if (port)
		cJSON_AddNumberToObject(object, "queues", port->queues);
	add_reason(object, sock);
	json_add_text(object, "detail", sock->detail);
	json_add_u64(object, "rx_fast", sock->rx_fast);
	json_add_u64(object, "rx_kernel", sock->rx_kernel);
	json_add_u64(object, "tx_fast", sock->tx_fast);
	json_add_u64(object, "tx_kernel", sock->tx_kernel);
	json_add_u64(object, "rx_bytes", sock->rx_bytes);
	json_add_u64(object, "tx_bytes", sock->tx_bytes);
	json_add_u64(object, "drops", sock->drops);
	cJSON_AddNumberToObject(object, "queued_frames", sock->queued_frames);
	cJSON_AddNumberToObject(object, "queued_bytes", sock->queued_bytes);
	return object;
}

static void explain_linked(const struct stats_sock *sock, FILE *to)
{
	if (sock->link == STATS_ANY_LINK)
		fprintf(to, "    takes accelerated programs of this host by links, through shared memory\n");
	else
		fprintf(to, "    accelerated by link %u, through shared memory with process %u of this host\n", sock->link,
			sock->peer_pid);
}

static void explain_accelerated(const struct stats_sock *sock, const struct stats_port *port,
				FILE *to)
{
	uint64_t fast = sock->rx_fast + sock->tx_fast;
	uint64_t all = fast + sock->rx_kernel + sock->tx_kernel;

	fprintf(to, "    accelerated");
	if (port)
		fprintf(to, " by %s on %s%s%s, %u of %u queues", port->provider, port->ifname,
			port->mode[0] ? ", " : "", port->mode, port->queues, port->rx_queues);
	fprintf(to, "; %" PRIu64 " of %" PRIu64 " %s took the fast path\n", fast, all,
		sock->protocol == IPPROTO_TCP ? "segments" : "datagrams");
	if (sock->detail[0])
		fprintf(to, "    %s\n", sock->detail);
}

void socket_explain(const struct stats_sock *sock, const struct stats_snapshot *snapshot, FILE *to)
{
	const struct fs_reason_info *info = fs_reason_info(sock->reason);
	char name[SOCKET_NAME_LEN];

	if (sock->family == 0)
		fprintf(to, "  %s of pid %u\n", socket_name(sock, name), sock->pid);
	else if (sock->fd >= 0)
		fprintf(to, "  fd %-3d %s\n", sock->fd, socket_name(sock, name));
	else if (sock->fd == STATS_NO_FD)
		fprintf(to, "  no fd  %s\n", socket_name(sock, name));
	else
		fprintf(to, "  closed %s\n", socket_name(sock, name));
	if (sock->link)
		explain_linked(sock, to);
	if (sock->link && (sock->link != STATS_ANY_LINK || sock->reason == FS_REASON_loopback || socket_is_unix(sock)))
		return; /* there is no more to it: who comes otherwise cannot be helped */
	if (sock->accelerated) {
		explain_accelerated(sock, socket_port(sock, snapshot), to);
		return;
	}
	fprintf(to, "    kernel (%s): %s%s%s\n", info ? info->name : "unknown",
		info ? info->text : "a reason this version does not know",
		sock->detail[0] ? "; " : "", sock->detail);
	if (info && info->remedy[0])
		fprintf(to, "    remedy: %s\n", info->remedy);
}

cJSON *port_json(const struct stats_port *port)
{
	cJSON *object = cJSON_CreateObject(), *counters;

	json_add_text(object, "interface", port->ifname);
	cJSON_AddNumberToObject(object, "ifindex", port->ifindex);
	cJSON_AddNumberToObject(object, "queues", port->queues);
	cJSON_AddNumberToObject(object, "rx_queues", port->rx_queues);
	json_add_text(object, "provider", port->provider);
	json_add_text(object, "mode", port->mode);
	cJSON_AddNumberToObject(object, "error", port->error);
	cJSON_AddNumberToObject(object, "owner_pid", port->owner_pid);
	cJSON_AddNumberToObject(object, "frames_total", port->frames_total);
	cJSON_AddNumberToObject(object, "frames_free", port->frames_free);
	json_add_text(object, "note", port->note);
	counters = cJSON_AddObjectToObject(object, "counters");
	for (unsigned i = 0; port_counter_name(i); i++)
		json_add_u64(counters, port_counter_name(i), port->counter[i]);
	return object;
}
