/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sockets.h - sockets and ports of a snapshot in words and in JSON: what `why` and `stat` share.
 */
#ifndef FSOCK_TOOLS_SOCKETS_H
#define FSOCK_TOOLS_SOCKETS_H

#include <stddef.h>
#include <stdio.h>

#include <cjson/cJSON.h>

struct stats_port;
struct stats_snapshot;
struct stats_sock;

enum { SOCKET_NAME_LEN = 128 };

/* "udp 10.0.0.1:53 > 10.0.0.2:4711". Returns @to, SOCKET_NAME_LEN bytes. */
char *socket_name(const struct stats_sock *sock, char *to);

/* The port a socket of @snapshot uses, NULL = none, several, or @snapshot is NULL. */
const struct stats_port *socket_port(const struct stats_sock *sock,
				     const struct stats_snapshot *snapshot);

/* Everything of one socket. @snapshot may be NULL (a record without its stack). */
cJSON *socket_json(const struct stats_sock *sock, const struct stats_snapshot *snapshot);

/* Three lines at most: the socket, accelerated or the reason, the remedy. */
void socket_explain(const struct stats_sock *sock, const struct stats_snapshot *snapshot, FILE *to);

/* Name of port counter @i, NULL beyond the last. */
const char *port_counter_name(unsigned i);

cJSON *port_json(const struct stats_port *port);

#endif
