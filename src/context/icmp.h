/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * icmp.h - ICMP errors about TCP connections of the stack, of which the kernel knows nothing (hazard 19).
 *
 * Does:     raw sockets that take copies of errors which quote TCP; hands them to the engine; remembers for ten
 *           minutes (RFC 1191 6.3, RFC 8201 5.3) what they said of a path's MTU, where the engine believed it: the
 *           kernel's route, asked once a second, does not say.
 * Does not: serve UDP, whose errors arrive on shadows (docs/decisions/0005).
 * Threads:  holder of the stack's lock.
 */
#ifndef FSOCK_CONTEXT_ICMP_H
#define FSOCK_CONTEXT_ICMP_H

#include <stdint.h>

struct context;
struct ip_addr;

/*
 * This process has TCP connections from now on: hear what happens to them. Nothing when it does already. A child
 * has its parent's sockets, and shares what arrives with it.
 * Return: 0, -EPERM: no CAP_NET_RAW, -errno. Said in the log the first time; then connections go on without, and
 * find a path's MTU by what is lost (tcp_config.mtu_probing).
 */
int context_icmp_open(struct context *ctx);

/* Take what arrived. What the engine wants to send about it leaves at the burst's end. */
void context_icmp_read(struct context *ctx);

/* @mtu, or what is known to be less on the way to @remote. */
uint32_t context_icmp_mtu(const struct context *ctx, const struct ip_addr *remote, uint32_t mtu);

#endif
