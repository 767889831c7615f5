/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sockets.h - sockets and ports of a snapshot in words and in JSON: what `why` and `stat` share.
 */
#ifndef FSOCK_TOOLS_SOCKETS_H
#define FSOCK_TOOLS_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cjson/cJSON.h>

struct stats_port;
struct stats_snapshot;
struct stats_sock;

enum { SOCKET_NAME_LEN = 128, SOCKET_ENDPOINT_LEN = 56 /* INET6_ADDRSTRLEN and more */ };

/* "udp 10.0.0.1:53 > 10.0.0.2:4711". Returns @to, SOCKET_NAME_LEN bytes. */
char *socket_name(const struct stats_sock *sock, char *to);

/* "10.0.0.1:53", "[::1]:53", "*:53". Returns @to, SOCKET_ENDPOINT_LEN bytes. */
char *socket_endpoint(const uint8_t addr[16], uint16_t port, char *to);

bool socket_is_unix(const struct stats_sock *sock);

/* The same of either end of @sock; of a Unix socket the listener's name, and "-". */
char *socket_local(const struct stats_sock *sock, char *to);
char *socket_remote(const struct stats_sock *sock, char *to);

/* Does it take a way past the kernel, one of them at least? */
bool socket_is_accelerated(const struct stats_sock *sock);

/* "link": shared memory with programs of this host; "interface", "kernel". Of a listener the best that it takes. */
const char *socket_by(const struct stats_sock *sock);

/* As ss(8) names them; NULL = not known. */
const char *socket_state(const struct stats_sock *sock);

/* What ss(8) calls Recv-Q and Send-Q. */
uint32_t socket_recv_q(const struct stats_sock *sock);
uint32_t socket_send_q(const struct stats_sock *sock);

/* The port a socket of @snapshot uses, NULL = none, several, or @snapshot is NULL. */
const struct stats_port *socket_port(const struct stats_sock *sock,
				     const struct stats_snapshot *snapshot);

/* The record of the same socket in an earlier snapshot. NULL = it was not there, or @former is NULL. */
const struct stats_sock *socket_before(const struct stats_snapshot *former, uint64_t cookie);

/* Everything of one socket. @snapshot may be NULL (a record without its stack). */
cJSON *socket_json(const struct stats_sock *sock, const struct stats_snapshot *snapshot);

/* Three lines at most: the socket, accelerated or the reason, the remedy. */
void socket_explain(const struct stats_sock *sock, const struct stats_snapshot *snapshot, FILE *to);

/* Name of port counter @i, NULL beyond the last. */
const char *port_counter_name(unsigned i);

cJSON *port_json(const struct stats_port *port);

#endif
