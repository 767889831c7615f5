/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * repair_internal.h - what repair.c does by other files: a segment to ourselves, and the options.
 *
 * Threads:  as repair.h.
 */
#ifndef FSOCK_HOST_REPAIR_INTERNAL_H
#define FSOCK_HOST_REPAIR_INTERNAL_H

struct host_repair;
struct tcp_hdr;
struct tcp_snapshot;

/*
 * host_repair_inject() - send @h, without payload, to ourselves as if from the peer. It takes the way through the
 * loopback, which no steering, no reverse path filter and no egress guard of another interface sees.
 * 0, -EPERM (CAP_NET_RAW is missing), -errno. Whether it arrived is the caller's to look at.
 */
int host_repair_inject(const struct host_repair *repair, const struct tcp_hdr *h);

/* Options that hold from the beginning. What the kernel refuses it refused the program already, too. */
void host_repair_options(int fd, const struct host_repair *repair);

/* Limits that would have been in the way while the queues were filled. */
void host_repair_limits(int fd, const struct tcp_snapshot *snap);

#endif
