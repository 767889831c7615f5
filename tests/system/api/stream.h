/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream.h - what the stream programs share beside record.h. Their peer is stream_peer.c.
 *
 * A stream program runs several cases in one process, `program CASE,CASE,... FAMILY`: "case NAME" begins each, and
 * between two the peer resets its connections, descriptors from CONTROL_FD + 1 on are closed, signals are
 * the default's again. A case that takes longer than GUARD_S ends the process with status 97.
 */
#ifndef FST_STREAM_H
#define FST_STREAM_H

#include "record.h"

#include <linux/tcp.h>

enum {
	PORT_PEER = 7010,	/* the peer listens here, see peer("accept ...") */
	GUARD_S = 15,
	LAST_FD = 200,		/* no case opens a descriptor beyond */
};

/* A stream socket of the family of the run. */
int tcp(void);
int tcp_bound(int port);		/* to here(port), SO_REUSEADDR set */
int tcp_listening(int port, int backlog);

/* A connection with the peer, which knows it by *slot: this program connects out, or takes one in by a
 * listener on PORT_HERE, now closed. linked() is the first for IPv4, the second for IPv6. */
int linked_out(int *slot);
int linked_in(int *slot);
int linked(int *slot);

/* One which is taken in by @listener. */
int taken_in(int listener, int port, int *slot);

void nonblock(int fd);

/* Give an order to the peer, print it and the answer: an errno by name. */
long order(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The peer sends @size bytes, which are here when this returns. */
void bring(int slot, int size);

/* poll() on one descriptor; prints what it answers. */
int events_of(int fd, int events, int timeout_ms);

/* Print and take SO_ERROR; print the state of a connection; the addresses at both ends. */
void say_error(int fd);
void say_state(int fd);
void say_names(int fd);

/* setsockopt() of an int, getsockopt() of an int, printed. */
void set_int(int fd, int level, int option, int value);
void get_int(int fd, const char *name, int level, int option);

/* Receive and print @size bytes, by as many calls as it takes; prints the end of the stream and errors. */
void receive_all(int fd, size_t size);

/* pattern(0, 0 ...), as much as a case may ever send at once. */
extern unsigned char stream_bytes[4 << 20];
void fill_stream_bytes(void);

/* An address nobody has: what goes there is lost. */
struct addr nowhere(int port);

void on_signal(int number, void (*handler)(int), int flags);
void count_signal(int number);
extern volatile int signals_seen;

/* Call @work(@argument) in a thread after @ms; later_done() waits for it. */
void later(int ms, void (*work)(int), int argument);
void later_done(void);

#endif
