/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * talk.h - what the programs and libraries of test_pitfalls.py say to an echo server, by functions they were given.
 */
#ifndef FST_TALK_H
#define FST_TALK_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	TALK_ROUNDS = 50,
	TALK_DATAGRAMS = 9000,	/* port that echoes datagrams */
	TALK_STREAMS = 9001,	/* port that echoes streams */
};

/* How to reach the calls. */
struct talk_calls {
	int (*socket)(int, int, int);
	int (*connect)(int, const struct sockaddr *, socklen_t);
	ssize_t (*send)(int, const void *, size_t, int);
	ssize_t (*recv)(int, void *, size_t, int);
	int (*close)(int);
};

/* A socket of @type that is connected to the server at TALK_ADDRESS; -1: a call failed. */
static inline int talk_open(const struct talk_calls *c, int type)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	int fd = c->socket(AF_INET, type, 0);

	to.sin_port = htons(type == SOCK_DGRAM ? TALK_DATAGRAMS : TALK_STREAMS);
	if (fd < 0 || inet_pton(AF_INET, getenv("TALK_ADDRESS"), &to.sin_addr) != 1 ||
	    c->connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
		return -1;
	return fd;
}

/* Rounds of four bytes that came back as they went. */
static inline int talk_rounds(const struct talk_calls *c, int fd)
{
	char word[5], answer[5];
	int i;

	for (i = 0; i < TALK_ROUNDS; i++) {
		snprintf(word, sizeof(word), "%04d", i);
		if (c->send(fd, word, 4, 0) != 4 || c->recv(fd, answer, 4, 0) != 4 || memcmp(word, answer, 4) != 0)
			break;
	}
	return i;
}

/* One line on descriptor 1: @who, and how many rounds by a socket of each kind went well. */
static inline void talk(const struct talk_calls *c, const char *who)
{
	int datagram = talk_open(c, SOCK_DGRAM), stream = talk_open(c, SOCK_STREAM);
	int first = talk_rounds(c, datagram), second = talk_rounds(c, stream);
	char line[100];
	int n;

	c->close(datagram);
	c->close(stream);
	n = snprintf(line, sizeof(line), "%s: %d %d\n", who, first, second);
	if (write(1, line, (size_t)n) != n)
		_exit(99);
}

#endif
