/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * counter.c - counting datagrams where they lie: nothing is copied, and one call takes many.
 *
 *     counter ADDRESS PORT [DATAGRAMS]
 *
 * Each datagram is expected to begin with a sequence number, 64 bits in network order, as feeds have
 * them. The number of datagrams, bytes and gaps is printed when DATAGRAMS have come, or nothing has for
 * a second.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fsock/fsock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 64 };

struct count {
	uint64_t datagrams, bytes, gaps;
	uint64_t expected; /* sequence number */
};

static void die(const char *what, int error)
{
	fprintf(stderr, "counter: %s: %s\n", what, strerror(-error));
	exit(1);
}

/* The bytes are read in the frame that the network card, or its driver, wrote. */
static void look_at(struct count *c, const struct fsock_datagram *d)
{
	uint64_t sequence;

	c->datagrams++;
	c->bytes += d->info.length;
	if (d->part[0].iov_len < sizeof(sequence))
		return;
	memcpy(&sequence, d->part[0].iov_base, sizeof(sequence));
	sequence = be64toh(sequence);
	c->gaps += sequence != c->expected;
	c->expected = sequence + 1;
}

/* Until @wanted datagrams came, or the channel's time limit passed. */
static int count_datagrams(struct fsock_channel *ch, struct count *c, uint64_t wanted)
{
	struct fsock_datagram datagrams[BATCH];

	while (c->datagrams < wanted) {
		int n = fsock_recv_batch(ch, FSOCK_RECV_DEFAULT, datagrams, BATCH);

		if (n < 0)
			return n;
		for (int i = 0; i < n; i++)
			look_at(c, &datagrams[i]);
		fsock_release_batch(ch, datagrams, (unsigned)n);
	}
	return 0;
}

int main(int argc, char **argv)
{
	union fsock_addr local = { .in.sin_family = AF_INET };
	uint64_t wanted = argc > 3 ? strtoull(argv[3], NULL, 10) : UINT64_MAX;
	int64_t second = 1000000000;
	struct count count = { 0 };
	struct fsock_channel *ch;
	struct fsock_ep *ep;
	int ret;

	if (argc < 3 || inet_pton(AF_INET, argv[1], &local.in.sin_addr) != 1) {
		fprintf(stderr, "usage: counter ADDRESS PORT [DATAGRAMS]\n");
		return 2;
	}
	ret = fsock_init(FSOCK_API_VERSION);
	if (ret < 0)
		die("fsock", ret);
	ret = fsock_open(&local.sa, sizeof(local.in), FSOCK_UDP, &ep);
	if (ret < 0)
		die("endpoint", ret);
	ret = fsock_bind(ep, FSOCK_BIND_DEFAULT, (uint16_t)atoi(argv[2]), &ch);
	if (ret < 0)
		die("channel", ret);
	fprintf(stderr, "ready\n");

	ret = count_datagrams(ch, &count, 1); /* the first may take its time */
	fsock_setopt(ch, FSOCK_RX_TIMEOUT, &second, sizeof(second));
	if (ret == 0)
		ret = count_datagrams(ch, &count, wanted);
	if (ret < 0 && ret != -ETIMEDOUT)
		die("receive", ret);
	printf("%llu datagrams, %llu bytes, %llu gaps\n", (unsigned long long)count.datagrams,
	       (unsigned long long)count.bytes, (unsigned long long)count.gaps);
	fsock_close_ep(ep); /* and its channel */
	fsock_fini();
	return 0;
}
