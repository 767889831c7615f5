/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * grid_options.c - every option by number, read and set with lengths of 0, 1, 4, 8 and far too many, on a socket of each
 * kind in each state. P50.
 */
#include "grid.h"

static unsigned char buf[65536];

static const int lengths[] = { 0, 1, 4, 8, INT_MAX, -1 };

enum { N_LENGTHS = sizeof(lengths) / sizeof(lengths[0]) };

struct range {
	int level, first, last;
};

static const struct range ranges[] = {
	{ SOL_SOCKET, 1, 84 }, { IPPROTO_TCP, 1, 46 }, { IPPROTO_IP, 1, 55 }, { IPPROTO_IPV6, 1, 80 }, { IPPROTO_UDP, 1, 4 },
	{ IPPROTO_UDP, 99, 105 },
};

struct name {
	int level, number;
};

/* What two sockets never have in common, or what the kernel tells of itself; of TCP_INFO each release knows more. */
static const struct name of_one_socket[] = {
	{ SOL_SOCKET, 49 /* INCOMING_CPU */ }, { SOL_SOCKET, 55 /* MEMINFO */ }, { SOL_SOCKET, 56 /* INCOMING_NAPI_ID */ },
	{ SOL_SOCKET, 28 /* PEERNAME */ }, { SOL_SOCKET, 57 /* COOKIE */ }, { SOL_SOCKET, 71 /* NETNS_COOKIE */ }, { IPPROTO_TCP, 11 /* INFO */ },
	{ IPPROTO_TCP, 24 /* TIMESTAMP */ }, { IPPROTO_TCP, 26 /* CC_INFO */ }, { IPPROTO_TCP, 33 /* FASTOPEN_KEY */ },
	{ IPPROTO_IP, 52 /* PROTOCOL: of a stream its port */ },
};

/* What a program sets once to be another: it would say nothing about the next option. */
static const struct name not_set[] = {
	{ IPPROTO_TCP, 19 /* REPAIR */ }, { IPPROTO_TCP, 31 /* ULP: the kernel looks for a module */ },
	{ IPPROTO_TCP, 13 /* CONGESTION: likewise */ },
};

static bool is_one_of(const struct name *names, size_t n, int level, int number)
{
	while (n--)
		if (names[n].level == level && names[n].number == number)
			return true;
	return false;
}

#define ONE_OF(names, level, number) is_one_of(names, sizeof(names) / sizeof((names)[0]), level, number)

/* "ERROR" or "LENGTH=VALUE", "0" where that is one socket's alone, of one getsockopt() call with @room. */
static void get_with(int level, int number, int room, char *to, size_t size)
{
	socklen_t len = (socklen_t)room;
	int value = 0;

	memset(buf, 0, 64);
	if (getsockopt(it, level, number, buf, &len) < 0) {
		snprintf(to, size, " %s", strerrorname_np(errno));
		return;
	}
	memcpy(&value, buf, sizeof(value));
	if (ONE_OF(of_one_socket, level, number))
		snprintf(to, size, " 0");
	else
		snprintf(to, size, " %u=%d", len, value);
}

static void read_option(int level, int number)
{
	char line[256], *to = line;
	int i;

	grid_renew();
	to += snprintf(line, sizeof(line), "get %d/%d:", level, number);
	for (i = 0; i < N_LENGTHS; i++) {
		get_with(level, number, lengths[i], to, (size_t)(line + sizeof(line) - to));
		to += strlen(to);
	}
	grid_said(line, 0, ERRNO_MARK);
}

static void set_option(int level, int number)
{
	char line[256], *to = line;
	int i, value = 1;

	if (ONE_OF(not_set, level, number))
		return;
	to += snprintf(line, sizeof(line), "set %d/%d:", level, number);
	memset(buf, 0, 64);
	for (i = 0; i < N_LENGTHS; i++)
		to += snprintf(to, (size_t)(line + sizeof(line) - to), " %s",
			       setsockopt(it, level, number, buf, (socklen_t)lengths[i]) < 0 ? strerrorname_np(errno) : "0");
	i = setsockopt(it, level, number, &value, sizeof(value));
	to += snprintf(to, (size_t)(line + sizeof(line) - to), " 1: %s,", i < 0 ? strerrorname_np(errno) : "0");
	get_with(level, number, sizeof(value), to, (size_t)(line + sizeof(line) - to));
	grid_said(line, 0, ERRNO_MARK);
}

static void all_options(void (*work)(int, int), bool anew)
{
	size_t i;
	int number, last;

	for (i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		/* None of them is an option of an IPv4 socket. */
		last = ranges[i].level == IPPROTO_IPV6 && family() == AF_INET ? 3 : ranges[i].last;
		for (number = ranges[i].first; number <= last; number++) {
			if (anew)
				grid_again();
			work(ranges[i].level, number);
		}
	}
}

static void readings(const struct grid_state *table, const char *state)
{
	grid_enter(table, state);
	all_options(read_option, false);
}

static void settings(const struct grid_state *table, const char *state)
{
	grid_enter(table, state);
	all_options(set_option, true);
}

#define STREAM(state) readings(grid_streams, #state)
#define DATAGRAM(state) readings(grid_datagrams, "datagram_" #state)

CASE(fresh) { STREAM(fresh); }
CASE(bound) { STREAM(bound); }
CASE_PART(listening) { STREAM(listening); }
CASE_PART(awaited) { STREAM(awaited); }
CASE_PART(connecting) { STREAM(connecting); }
CASE_PART(refused) { STREAM(refused); }
CASE_PART(was_refused) { STREAM(was_refused); }
CASE_PART(connected) { STREAM(connected); }
CASE_PART(with_data) { STREAM(with_data); }
CASE_PART(peer_finished) { STREAM(peer_finished); }
CASE_PART(we_finished) { STREAM(we_finished); }
CASE_PART(both_finished) { STREAM(both_finished); }
CASE_PART(deaf) { STREAM(deaf); }
CASE_PART(was_reset) { STREAM(was_reset); }
CASE(datagram_fresh) { DATAGRAM(fresh); }
CASE_PART(datagram_bound) { DATAGRAM(bound); }
CASE_PART(datagram_connected) { DATAGRAM(connected); }
CASE_PART(datagram_with_data) { DATAGRAM(with_data); }
CASE(datagram_deaf) { DATAGRAM(deaf); }
CASE(no_descriptor) { readings(grid_others, "no_descriptor"); }
CASE(pipe_end) { readings(grid_others, "pipe_end"); }
CASE(set_fresh) { settings(grid_streams, "fresh"); }
CASE(set_bound) { settings(grid_streams, "bound"); }
CASE_PART(set_listening) { settings(grid_streams, "listening"); }
CASE_PART(set_connected) { settings(grid_streams, "connected"); }
CASE(set_datagram_fresh) { settings(grid_datagrams, "datagram_fresh"); }
CASE_PART(set_datagram_bound) { settings(grid_datagrams, "datagram_bound"); }
CASE_PART(set_datagram_connected) { settings(grid_datagrams, "datagram_connected"); }
