/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * links.h - what a program says to others of its host through shared memory: links, and the sockets that use them, as
 * ss(8) lists sockets.
 */
#ifndef FSOCK_TOOLS_LINKS_H
#define FSOCK_TOOLS_LINKS_H

#include <stdbool.h>
#include <stdio.h>

#include <cjson/cJSON.h>

struct stats_snapshot;
struct stats_sock;

/* Is it among the sockets that links_print() lists: open, a connection by a link or a listener that takes such? */
bool links_has(const struct stats_sock *sock);

/* Two tables, each unless it is empty. @former: of @seconds ago, bytes are rates then; or NULL. */
void links_print(const struct stats_snapshot *stack, const struct stats_snapshot *former, double seconds, FILE *to);

/* Adds "links": an array with an object of each. */
void links_json(cJSON *root, const struct stats_snapshot *stack);

#endif
