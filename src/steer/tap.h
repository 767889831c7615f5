/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tap.h - what packet sockets and the tap (bpf/tap.bpf.c) agree on, and who may have one.
 *
 * Does:     the filter by which a packet socket takes what the tap marked and nothing else; a name per
 *           interface that only one living process of a network namespace can hold. An XDP link says by
 *           itself that it is taken; tc programs do not.
 * Does not: attach the tap (steer.c), open packet sockets (the provider).
 * Threads:  any; no state.
 * Errors:   0 or a descriptor, or -errno.
 */
#ifndef FSOCK_STEER_TAP_H
#define FSOCK_STEER_TAP_H

#include <stdbool.h>
#include <stdint.h>

/* Let a packet socket take only what the tap marked. Do this before the socket is bound to a protocol. */
int steer_tap_filter(int fd);

/* Hold the interface's name. Returns a descriptor, close-on-exec and >= @fd_floor; the name is free when
 * its last copy is closed. -EBUSY: another process has it. */
int steer_tap_lock(uint32_t ifindex, int fd_floor);

/* Does a process hold the interface's name? */
bool steer_tap_held(uint32_t ifindex);

#endif
