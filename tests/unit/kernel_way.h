/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel_way.h - a connection between two kernel sockets, one of which can be taken out of the kernel.
 *
 * Two namespaces with a veth pair, "a" and "b". What host_repair_build() is given comes from a live kernel socket of
 * a's by TCP_REPAIR, so the state is one that really occurs; that socket is closed without a word. The peer is made
 * deaf by a socket filter where something must stay unacked, and while nobody has the connection. Needs root.
 *
 * Threads: any, each in a's namespace. Errors: the test fails.
 */
#ifndef FSOCK_TESTS_UNIT_KERNEL_WAY_H
#define FSOCK_TESTS_UNIT_KERNEL_WAY_H

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/repair.h"
#include "tcp/snapshot.h"

enum {
	WAY_PATIENCE_MS = 20000, /* a hang guard, no measure */
	WAY_MANY = 300000,	 /* bytes, more than a first window holds: some stay unsent */
	WAY_SOME = 5000,
};

/* What the connection has between it and its peer when it moves. */
struct way_plan {
	const char *name;
	int state;		/* enum tcp_state */
	uint32_t unacked;	/* bytes written with a deaf peer */
	uint32_t unread;	/* bytes the peer wrote */
	bool fin_unsent;
};

enum way_kind { WAY_V4, WAY_V6, WAY_MAPPED };

struct way {
	int a, b, listener;	/* a: the connection's side that moves; b: its peer */
	enum way_kind kind;
	struct way_plan plan;
	uint64_t a_wrote, a_read, b_wrote, b_read;
	bool a_shut, b_shut;
	struct tcp_snapshot s;
	struct tcp_info before;
	uint8_t *send, *receive;
	uint32_t n_send, n_receive;
};

/* The namespaces, for cmocka's group setup; without root there are none, and nothing else may be called. */
int way_make_world(void **state);
bool way_is_possible(void);

/* /proc/sys/net/ipv4/tcp_@name of both. */
void way_sysctl(const char *name, const char *value);

int way_get_int(int fd, int level, int option);
void way_set_int(int fd, int level, int option, int value);
struct tcp_info way_info(int fd);
void way_await_state(int fd, int state);
uint32_t way_queue_len(int fd, unsigned long request); /* bytes; SIOCINQ, SIOCOUTQ, SIOCOUTQNSD */

/* Everything that comes for @fd is dropped below TCP. */
void way_deafen(int fd, bool deaf);

/* The address of host 1, a, or 2, b; its length. */
socklen_t way_name(struct sockaddr_in6 *to, enum way_kind kind, unsigned host, uint16_t port);
int way_socket(enum way_kind kind);

/* a accepts from b if @passive, else connects to it. */
void way_open(struct way *w, enum way_kind kind, bool passive);
void way_close(struct way *w);

/* b begins another connection to where a listens: its socket. */
int way_knock(enum way_kind kind);

/* @n bytes whose value tells their place; *wrote of them went before. */
void way_write(int fd, uint64_t *wrote, uint32_t n);

/* Reads what was written, then, @end: the end. */
void way_read(int fd, uint64_t *got, uint64_t wrote, bool end);

/* w->s and the queues are what the engine's tcp_export() would say; then a's socket is gone without a word. */
void way_take_out(struct way *w);

/* host_repair.read of @context, a struct way; and all that host_repair_build() wants to know of it. */
uint32_t way_read_queue(void *context, enum tcp_queue which, uint32_t offset, void *to, uint32_t len);
struct host_repair way_repair(struct way *w);

#endif
