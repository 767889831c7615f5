/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * record.h - frame of the programs of the three-column harness.
 *
 * A program holds cases. The harness starts it as `program CASE FAMILY` once on kernel sockets, once
 * with the library loaded and switched off, once accelerated, and compares what it prints line by
 * line. Hence the rule for every line: it depends on what the calls returned and on nothing else;
 * ephemeral ports, times and descriptors of no interest are printed by name or not at all.
 *
 * The program runs in one namespace (address "here"), api_peer in the other ("there"). Descriptor
 * CONTROL_FD of both is one end of a socket pair, over which peer() gives orders.
 *
 * What a case claims of the accelerated column is checked by the harness from fsock's records:
 * CASE()       nothing: no datagram is meant to arrive
 * CASE_FAST()  every datagram takes the fast path
 * CASE_BUT(, n) all but n do
 * CASE_PART()  some do; others cannot (fragments, loopback, groups, a peer that is the kernel's)
 * CASE_BY(, r) a socket is left to the kernel, for reason r of reasons.def
 */
#ifndef FST_RECORD_H
#define FST_RECORD_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
	CONTROL_FD = 3,
	ERRNO_MARK = 7777,	/* no errno has this value: a call that succeeds must leave it */
	PORT_ECHO = 7007,	/* the peer answers here */
	PORT_SOURCE = 7008,	/* what peer("send ...") comes from */
	PORT_SINK = 7009,	/* the peer counts what arrives here, see peer("got") */
	PORT_CLOSED = 7999,	/* nobody listens: an ICMP error comes back */
	PORT_HERE = 5001,	/* the program's own */
	PORT_HERE2 = 5002,
};

/* Address of either kind, with its length. */
struct addr {
	struct sockaddr_storage ss;
	socklen_t len;
};

#define SA(a) ((struct sockaddr *)&(a)->ss)

struct test_case {
	const char *name;
	void (*run)(void);
	struct test_case *next;
};

void record_case(struct test_case *c);

/* Called before and after each case, where set. */
extern void (*record_before)(const char *name);
extern void (*record_after)(void);

#define CASE(name) \
	static void run_##name(void); \
	static struct test_case case_##name = { #name, run_##name, NULL }; \
	__attribute__((constructor)) static void add_##name(void) { record_case(&case_##name); } \
	static void run_##name(void)
#define CASE_FAST(name) CASE(name)
#define CASE_BUT(name, n) CASE(name)
#define CASE_PART(name) CASE(name)
#define CASE_BY(name, reason) CASE(name)

/* Family of this run: AF_INET or AF_INET6; mapped() when AF_INET6 sockets carry IPv4. */
int family(void);
bool mapped(void);

struct addr here(int port);
struct addr there(int port);
struct addr any(int port);		/* wildcard */

/* A UDP socket of the family of the run; dies when the kernel refuses. */
int udp(void);
int udp_bound(int port);		/* to here(port) */
int udp_connected(int local, int remote);	/* local 0: left to connect() */

/* @value, unknown to the compiler, which would refuse some of the bad arguments we pass. */
int hidden(int value);

/* Print one line. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void say_call(const char *text, long ret, int err);
void say_addr(const char *label, const struct addr *a);
void say_data(const char *label, const void *data, size_t len);

/* Evaluate a call with errno marked, print text, result and errno; value: the result. */
#define CALL(expr) \
	__extension__({ \
		long ret_; \
		errno = ERRNO_MARK; \
		ret_ = (long)(expr); \
		say_call(#expr, ret_, errno); \
		ret_; \
	})

/* The same for calls that return a descriptor: success prints 'fd'. */
#define CALL_FD(expr) \
	__extension__({ \
		int ret_; \
		errno = ERRNO_MARK; \
		ret_ = (int)(expr); \
		say_call(#expr, ret_ < 0 ? -1 : 0, errno); \
		ret_; \
	})

/*
 * The same with the time it took. Early: before @lo ms, the limit that the call has to sit out, 0 where something else
 * ends it. Late: after HANGS_MS, which no load explains; where a limit would hide that, it is far beyond.
 */
#define HANGS_MS 20000
#define CALL_TIMED(expr, lo) CALL_MEASURED(expr, lo, say_time)

/* The same of a socket's own limit, which the kernel counts in ticks, of which up to five of 4 ms go missing where a
 * processor was taken away (MAX_STALLED_JIFFIES). */
#define CALL_TICKED(expr, lo) CALL_MEASURED(expr, lo, say_ticks)

#define CALL_MEASURED(expr, lo, say_how) \
	__extension__({ \
		int64_t began_ = now_ms(); \
		long timed_ = CALL(expr); \
		say_how(began_, lo); \
		timed_; \
	})

int64_t now_ms(void);
void say_time(int64_t began_ms, int lo_ms);
void say_ticks(int64_t began_ms, int lo_ms);

/* Give an order to the peer and wait for its answer, a number. See peer.c. */
long peer(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Have the peer send @count datagrams of @size to @port here, and wait until they are here. */
void deliver(int port, int size, int count);

/* Wait without any socket call; long enough for a datagram to arrive. */
void settle(void);
void sleep_ms(int ms);

/* The payload the peer's datagram number @seq has at @at. */
unsigned char pattern(int seq, size_t at);

void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
