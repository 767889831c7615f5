/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * repair_internal.h - what repair.c does by other files: a segment to ourselves, and the options.
 *
 * Threads:  as repair.h.
 */
#ifndef FSOCK_HOST_REPAIR_INTERNAL_H
#define FSOCK_HOST_REPAIR_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

struct host_repair;
struct tcp_hdr;
struct tcp_snapshot;

enum { HOST_REPAIR_PIECE = 3584 }; /* bytes of a queue at a time: with the kernel's overhead still one page */

/*
 * host_repair_inject() - send @h and @len bytes, HOST_REPAIR_PIECE at most, to ourselves as if from the peer. It
 * takes the way through the loopback, which no steering, no reverse path filter and no egress guard of another
 * interface sees. 0, -EPERM (CAP_NET_RAW is missing), -errno. Whether it arrived is the caller's to look at.
 */
int host_repair_inject(const struct host_repair *repair, const struct tcp_hdr *h, const void *payload, size_t len);

/* The peer's FIN at the end of what was received, which brings @fd into @state (enum tcp_state). False: it did not. */
bool host_repair_peer_fin(int fd, const struct host_repair *repair, int state);

/* Options that hold from the beginning. What the kernel refuses it refused the program already, too. */
void host_repair_options(int fd, const struct host_repair *repair);

/* Limits that would have been in the way while the queues were filled. */
void host_repair_limits(int fd, const struct tcp_snapshot *snap);

#endif
