/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lease.h - local ports for connections whose program left the choice open (DESIGN D3, hazard 15).
 *
 * A lease is a kernel socket of ours, bound to the wildcard address and a port of the kernel's choice. While it
 * is open the kernel gives that port to nobody else, neither at bind() nor at connect(). Every lease is steered to
 * the stack on all its ports, and many connections share one: which 4-tuples are free stands in the engine's table,
 * so a connect asks the kernel nothing. When all leases are taken for a remote, as many again are made.
 *
 * Their descriptors wait within a pair of unix sockets, not in the program's table of them: two numbers are all
 * that is used, and a fork passes on every lease of the stack, those made later included. So the processes of a
 * stack share them, and they end with the last process that has the pair.
 *
 * Does:     make, steer and choose leases. The choice is RFC 6056 3.3.4's (double hash): a connection's port says
 *           nothing of the next one's to another remote. DEVIATION: from few ports, not the whole range; who was
 *           talked to by all of them knows where to guess, and has the sequence numbers still to find.
 * Does not: know which connections use a lease.
 * Threads:  holder of the stack's lock, unless marked.
 */
#ifndef FSOCK_CONTEXT_LEASE_H
#define FSOCK_CONTEXT_LEASE_H

#include <stdbool.h>
#include <stdint.h>

struct context;
struct ip_addr;
struct local_conn;

/*
 * A local port (host order) for a connection from @local, which is not any, to @remote. Its 4-tuple is free until
 * somebody connects, and what comes for it is the stack's on every port that is open.
 *
 * Return: the port, or
 *         -EADDRNOTAVAIL  the kernel has none either
 *         -EMFILE, -ENOMEM, -errno: there may be one without us, so the connection is the kernel's
 */
int context_lease(struct context *ctx, const struct ip_addr *local, const struct ip_addr *remote, uint16_t remote_port);

/*
 * The same for a connection over a link (local.h), which has the lease for itself until both sides have left it, so that
 * the other side never sees two of one name. Nothing is steered. What is to have it goes to **@holder.
 */
int context_lease_link(struct context *ctx, const struct ip_addr *local, const struct ip_addr *remote,
		       uint16_t remote_port, const struct local_conn ***holder);

/* Is @port one? */
bool context_lease_covers(const struct context *ctx, uint16_t port);

/* A connection from this one went to the kernel, whose 4-tuple the engine does not know any more: the lease is given
 * out no more. Nothing when it is none. */
void context_lease_moved(struct context *ctx, uint16_t port);

/* @port of the stack was opened anew, with empty tables: enter the leases. */
void context_lease_resteer(struct context *ctx, unsigned port);

/* A fork is near: what the child is to inherit must be there. */
void context_lease_before_fork(struct context *ctx);

#endif
