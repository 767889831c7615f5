/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel resets the sender of a segment of which it knows no connection by one without ACK, if the segment has an
 * ACK (RFC 9293 3.5.2); a socket that resets its own peer does so with an ACK, as does a refusal of a SYN.
 *
 * Relied on by: src/steer/bpf/guard.bpf.c, is_usurped().
 */
#include "bpf_tiny.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/time.h>

enum { NOBODY = 9 }; /* a port */

static struct sockaddr_in self = { .sin_family = AF_INET };
static int raw; /* gets a copy of every TCP packet */

/* The first reset since: its flags, without what may stand beside it. 0 = none. */
static int next_reset(void)
{
	struct {
		uint8_t ip[20];
		struct tcphdr tcp;
		uint8_t rest[256];
	} packet;

	while (recv(raw, &packet, sizeof(packet), 0) >= (ssize_t)(sizeof(packet.ip) + sizeof(packet.tcp)))
		if (packet.tcp.th_flags & TH_RST)
			return packet.tcp.th_flags & (TH_RST | TH_ACK);
	return 0;
}

static uint16_t sum(const void *data, size_t len, uint32_t total)
{
	const uint16_t *word = data;

	for (size_t i = 0; i < len / 2; i++)
		total += word[i];
	total = (total >> 16) + (total & 0xffff);
	return (uint16_t)~((total >> 16) + total);
}

/* A segment out of the blue, which has an ACK, to @port. */
static void send_stray(uint16_t port)
{
	struct sockaddr_in to = self;
	struct tcphdr tcp = { .th_sport = htons(1), .th_dport = port, .th_seq = 1, .th_off = 5, .th_flags = TH_ACK };
	uint32_t pseudo = 2 * (htonl(INADDR_LOOPBACK) & 0xffff) + 2 * (htonl(INADDR_LOOPBACK) >> 16) +
			  htons(IPPROTO_TCP) + htons(sizeof(tcp));

	tcp.th_sum = sum(&tcp, sizeof(tcp), pseudo);
	to.sin_port = 0;
	check(sendto(raw, &tcp, sizeof(tcp), 0, (struct sockaddr *)&to, sizeof(to)) == sizeof(tcp), "a segment by hand");
}

/* A connection whose accepted end closes with @linger, or with data unread. */
static void close_rudely(int listener, int linger)
{
	const struct linger now = { 1, 0 };
	int client = socket(AF_INET, SOCK_STREAM, 0), server;
	char byte = 1;

	check(connect(client, (struct sockaddr *)&self, sizeof(self)) == 0, "a connection");
	server = accept(listener, NULL, NULL);
	check(send(client, &byte, 1, 0) == 1 && recv(server, &byte, 1, linger ? 0 : MSG_PEEK) == 1, "a byte of data");
	if (linger)
		setsockopt(server, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(server);
	close(client);
}

int main(void)
{
	const struct timeval limit = { .tv_sec = 2 };
	socklen_t len = sizeof(self);
	struct sockaddr_in nobody;
	int listener, client;

	own_namespace();
	self.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	raw = socket(AF_INET, SOCK_RAW, IPPROTO_TCP);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(raw, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	check(bind(listener, (struct sockaddr *)&self, sizeof(self)) == 0 && listen(listener, 4) == 0 &&
		      getsockname(listener, (struct sockaddr *)&self, &len) == 0,
	      "a listener on loopback");

	send_stray(self.sin_port);
	check(next_reset() == TH_RST, "a listener resets a stray segment without ACK");
	send_stray(htons(NOBODY));
	check(next_reset() == TH_RST, "so does the kernel where nobody listens");

	close_rudely(listener, 0);
	check(next_reset() == (TH_RST | TH_ACK), "a socket that leaves data unread resets with ACK");
	close_rudely(listener, 1);
	check(next_reset() == (TH_RST | TH_ACK), "so does one that lingers for no time");

	nobody = self;
	nobody.sin_port = htons(NOBODY);
	client = socket(AF_INET, SOCK_STREAM, 0);
	check(connect(client, (struct sockaddr *)&nobody, sizeof(nobody)) < 0 && errno == ECONNREFUSED, "a refusal");
	check(next_reset() == (TH_RST | TH_ACK), "a SYN is refused with ACK");
	return 0;
}
