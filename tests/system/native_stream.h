/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * native_stream.h - what the cases of connections have in common. Whatever is not as it must be ends the process
 * (native_check.h).
 */
#ifndef FSOCK_TESTS_NATIVE_STREAM_H
#define FSOCK_TESTS_NATIVE_STREAM_H

#include <fsock/fsock.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { BULK = 24 << 20, BLOCK = 64 << 10 }; /* bytes of pour(), of one send */

struct native_case {
	const char *name; /* NULL = the end of a table */
	void (*run)(void);
};

/* Of native_moves.c. */
extern const struct native_case native_moves[];

extern bool fast, linked;	       /* connections must take the fast path, or a link */
extern union fsock_addr local, peer;

struct fsock_ep *open_ep(void);

/* A time, ns; an option that is an int. */
void set_time(struct fsock_channel *ch, int option, int64_t ns);
int get(struct fsock_channel *ch, int option);
void set(struct fsock_channel *ch, int option, int n);

/* Why it takes the way it takes; @text has room for 200 bytes. */
void tell_reason(struct fsock_channel *ch, char *text);

/* A channel that waits for 5 s at most; one that is connected to the peer. */
struct fsock_channel *fresh(struct fsock_ep *ep);
struct fsock_channel *connected(struct fsock_ep *ep);

/* All of @len bytes; @word, and that it comes back. */
void receive(struct fsock_channel *ch, void *to, size_t len);
void ask(struct fsock_channel *ch, const char *word);

/* For the test to look at what is: says @word, goes on when standard input has a byte. No call of fsock's meanwhile. */
void rest(const char *word);

/* How many the process has. */

/* A thread that sends BULK bytes to the channel @arg, and ends that direction. */
void *pour(void *arg);

/* Are @parts what pour() sent from its byte @at on? Where the next ones begin. */
size_t check(const struct iovec *parts, unsigned n, size_t at);

#endif
