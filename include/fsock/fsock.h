/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fsock.h - the native interface of fsock: datagrams and streams received where they lie, several per call.
 *
 * A program starts the library, opens an endpoint on a local address, binds channels to ports of it,
 * and exchanges datagrams by them:
 *
 *     fsock_init(FSOCK_API_VERSION);
 *     fsock_open(&local, sizeof(local), FSOCK_UDP, &ep);
 *     fsock_bind(ep, FSOCK_BIND_DEFAULT, 7000, &ch);
 *     n = fsock_recv_batch(ch, FSOCK_RECV_DEFAULT, datagrams, 32);
 *     ... read them ...
 *     fsock_release_batch(ch, datagrams, n);
 *
 * Connections are channels of an endpoint opened with FSOCK_TCP, by fsock_connect() or fsock_listen() and
 * fsock_accept().
 *
 * Where the address belongs to an interface that fsock may accelerate, datagrams and segments go past the
 * kernel's stack; everywhere else, and for whatever the fast path does not carry, the same calls use a kernel
 * socket. Nothing fails for want of privilege: fsock_getopt() with
 * FSOCK_REASON says why a channel is slow. See fsock(3).
 *
 * version.h the version of these headers, types.h constants and structs, api.h the calls.
 */
#ifndef FSOCK_FSOCK_H
#define FSOCK_FSOCK_H

#include <fsock/api.h>
#include <fsock/types.h>
#include <fsock/version.h>

#endif
