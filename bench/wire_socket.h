/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wire_socket.h - all frames of an interface, whoever they are for, and sending others by it.
 *
 * Does:     take frames as the device would get them, super-frames whole and checksums partial, with the time
 *           at which they came; send frames past every queue.
 * Does not: cut super-frames, complete checksums, look into frames. VLAN tags are lost.
 * Threads:  one.
 * Errors:   open() says -errno; afterwards everything that goes wrong is counted.
 */
#ifndef FSOCK_BENCH_WIRE_SOCKET_H
#define FSOCK_BENCH_WIRE_SOCKET_H

#include <stdint.h>

#include "base/fbuf.h"

enum {
	WIRE_SOCKET_CHUNK = 1 << 17, /* of the pool that frames are received into: each is one chunk */
};

struct wire_socket {
	int fd;
	uint64_t taken, supers; /* frames received; those of them that are super-frames */
	uint64_t strange;	/* received and thrown away: truncated, super-frames of anything but TCP */
	uint64_t missed;	/* the socket's buffer was full */
	uint64_t given, unsent; /* frames sent; those the kernel refused */
};

/* 0, -ENODEV, -EPERM, -errno. */
int wire_socket_open(struct wire_socket *ws, const char *ifname);

/* The next frame that has come, in a chunk of @pool, and when (CLOCK_REALTIME). The caller owns it. NULL: none. */
struct fbuf *wire_socket_receive(struct wire_socket *ws, struct fbuf_pool *pool, fs_ns *stamp);

/* Send @frame, an ordinary one with its checksum complete. Takes it. */
void wire_socket_send(struct wire_socket *ws, struct fbuf *frame);

/* Bring @missed up to date. */
void wire_socket_refresh(struct wire_socket *ws);

#endif
