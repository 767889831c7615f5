/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * raw_pp.c - what the wire and the ring layer give without any protocol above: the floor beside which
 * fsock's own figures are put.
 *
 *      raw_pp ping|pong|flood|sink interface=IF local=A remote=A mac=M [key=value...]
 *
 * ping and pong exchange one UDP frame at a time; a sequence number proves that never more than one
 * is in flight (a stale reply would halve the apparent time). flood sends as fast as it can, sink
 * counts and copies the data, as whoever wants them has to. Each end is one process with its own port,
 * spinning. The last line on stdout is JSON.
 *
 *      port=5000 count=200000 warmup=20000 size=64 seconds=3 batch=1 cpu=-1 chunks=4096 option=
 *      provider=xdp
 * size: bytes of UDP data. batch: frames per kick (flood). count 0 (pong): until the peer is silent
 * for a second.
 */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raw_port.h"

enum {
	BURST = 32,
	LOST_NS = 100000000,	  /* a reply this late is lost */
	START_NS = 2000000000,	  /* wait for the peer's first reply; each try ends after LOST_NS */
	SILENCE_NS = 1000000000,  /* pong and sink end after this, once traffic has been seen */
	IDLE_TURNS = 1024,	  /* empty polls between two looks at the clock */
	SEQUENCE_AT = RAW_HEADERS,
};

struct options {
	const char *mode;
	struct raw_port_args port;
	struct raw_flow flow;
	uint64_t count, warmup;
	uint32_t size, batch;
	double seconds;
	int cpu;
};

struct histogram {
	uint32_t *ns; /* one entry per round trip: half of it */
	uint64_t n;
};

static int parse(int argc, char **argv, struct options *o)
{
	if (argc < 2)
		return -EINVAL;
	o->mode = argv[1];
	o->count = strtoull(raw_value(argc, argv, "count", "200000"), NULL, 0);
	o->warmup = strtoull(raw_value(argc, argv, "warmup", "20000"), NULL, 0);
	o->size = (uint32_t)atoi(raw_value(argc, argv, "size", "64"));
	o->batch = (uint32_t)atoi(raw_value(argc, argv, "batch", "1"));
	o->seconds = atof(raw_value(argc, argv, "seconds", "3"));
	o->cpu = atoi(raw_value(argc, argv, "cpu", "-1"));
	if (o->size < sizeof(uint64_t) || o->size > 65507 || o->batch == 0 || o->batch > BURST)
		return -EINVAL;
	return raw_parse(argc, argv, &o->port, &o->flow);
}

static struct fbuf *new_frame(struct raw_port *rp, const struct options *o, const uint8_t *headers,
			      uint64_t sequence)
{
	struct fbuf *f = fbuf_alloc_chain(rp->pool, RAW_HEADERS + o->size);
	uint32_t left = RAW_HEADERS + o->size;

	if (!f)
		return NULL;
	f->total = left;
	for (struct fbuf *part = f; part; part = part->next) {
		part->len = FS_MIN(left, fbuf_tailroom(part));
		left -= part->len;
	}
	memcpy(f->data, headers, RAW_HEADERS);
	memcpy(f->data + SEQUENCE_AT, &sequence, sizeof(sequence));
	return f;
}

static bool send_all(struct raw_port *rp, struct fbuf **frames, unsigned n)
{
	const struct provider_ops *ops = rp->handle.ops;
	unsigned sent = 0;

	while (sent < n) {
		sent += ops->transmit(&rp->handle, frames + sent, n - sent);
		if (ops->kick(&rp->handle) < 0 && rp->port->error != 0)
			return false;
	}
	return true;
}

/* One round trip. Time of the reply, 0 = lost; frames that answer another question count in @stale. */
static int64_t round_trip(struct raw_port *rp, const struct options *o, const uint8_t *headers,
			  uint64_t sequence, int64_t started, uint64_t *stale)
{
	const struct provider_ops *ops = rp->handle.ops;
	struct fbuf *f = new_frame(rp, o, headers, sequence);
	uint32_t turns = 0;

	if (!f || !send_all(rp, &f, 1))
		return 0;
	for (;;) {
		uint64_t got;

		if (ops->receive(&rp->handle, &f, 1) == 0) {
			if (++turns % IDLE_TURNS == 0 && raw_now() - started > LOST_NS)
				return 0;
			continue;
		}
		ops->heartbeat(&rp->handle, started);
		memcpy(&got, f->data + SEQUENCE_AT, sizeof(got));
		fbuf_free(f);
		if (got == sequence)
			return raw_now();
		(*stale)++;
	}
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint32_t percentile(const struct histogram *h, double p)
{
	uint64_t i = (uint64_t)((double)h->n * p / 100);

	return h->n == 0 ? 0 : h->ns[FS_MIN(i, h->n - 1)];
}

static int ping(struct raw_port *rp, const struct options *o, const uint8_t *headers)
{
	struct histogram h = { .ns = calloc(o->count, sizeof(uint32_t)) };
	uint64_t stale = 0, lost = 0, sequence = 1;
	int64_t begin = raw_now(), last, now;

	if (!h.ns)
		return -ENOMEM;
	while (round_trip(rp, o, headers, sequence++, raw_now(), &stale) == 0)
		if (raw_now() - begin > START_NS)
			return -ETIMEDOUT;
	last = raw_now();
	for (uint64_t i = 0; i < o->warmup + o->count; i++) {
		now = round_trip(rp, o, headers, sequence++, last, &stale);
		if (now == 0) {
			lost++;
			last = raw_now();
			continue;
		}
		if (i >= o->warmup)
			h.ns[h.n++] = (uint32_t)((now - last) / 2);
		last = now;
	}
	qsort(h.ns, h.n, sizeof(uint32_t), compare);
	printf("{\"mode\":\"ping\",\"size\":%u,\"n\":%" PRIu64 ",\"p50\":%u,\"p99\":%u,\"p99.9\":%u,"
	       "\"max\":%u,\"lost\":%" PRIu64 ",\"stale\":%" PRIu64 ",",
	       o->size, h.n, percentile(&h, 50), percentile(&h, 99), percentile(&h, 99.9),
	       percentile(&h, 100), lost, stale);
	raw_port_print(rp);
	printf("}\n");
	free(h.ns);
	return stale == 0 && h.n > 0 ? 0 : -EPROTO;
}

static int flood(struct raw_port *rp, const struct options *o, const uint8_t *headers)
{
	int64_t begin = raw_now(), end = begin + (int64_t)(o->seconds * 1e9), now = begin;
	uint64_t sent = 0, no_frame = 0;

	while (now < end) {
		struct fbuf *frames[BURST];
		unsigned n = 0;

		while (n < o->batch && (frames[n] = new_frame(rp, o, headers, sent + n)))
			n++;
		no_frame += n == 0;
		if (n > 0 ? !send_all(rp, frames, n) : rp->handle.ops->kick(&rp->handle) < 0)
			return -ENETDOWN;
		sent += n;
		now = raw_now();
	}
	printf("{\"mode\":\"flood\",\"size\":%u,\"batch\":%u,\"n\":%" PRIu64 ",\"seconds\":%.3f,"
	       "\"per_second\":%.0f,\"no_frame\":%" PRIu64 ",",
	       o->size, o->batch, sent, (double)(now - begin) / 1e9,
	       (double)sent / ((double)(now - begin) / 1e9), no_frame);
	raw_port_print(rp);
	printf("}\n");
	return 0;
}

/* What arrived leaves the memory that the sender's processor writes next time: that is part of the floor. */
static void copy_out(struct fbuf *f)
{
	uint8_t data[1 << 16];

	fbuf_copy_out(f, 0, data, sizeof(data));
	__asm__ volatile("" : : "r"(data) : "memory"); /* as if somebody read it */
	fbuf_free(f);
}

/* pong and sink: take frames until the peer is silent. */
static int answer(struct raw_port *rp, bool reply)
{
	const struct provider_ops *ops = rp->handle.ops;
	int64_t first = 0, last = 0, now = raw_now();
	uint64_t n = 0;
	uint32_t turns = 0;

	for (;;) {
		struct fbuf *frames[BURST];
		unsigned got = ops->receive(&rp->handle, frames, BURST);

		if (got == 0) {
			if (++turns % IDLE_TURNS != 0)
				continue;
			now = raw_now();
			if (n > 0 && now - last > SILENCE_NS)
				break;
			continue;
		}
		ops->heartbeat(&rp->handle, now);
		n += got;
		first = first ? first : now;
		if (!reply) {
			last = now = raw_now();
			for (unsigned i = 0; i < got; i++)
				copy_out(frames[i]);
			continue;
		}
		for (unsigned i = 0; i < got; i++)
			raw_turn_round(frames[i]->data);
		if (!send_all(rp, frames, got))
			return -ENETDOWN;
		last = now; /* coarse: the clock is read on empty turns */
	}
	printf("{\"mode\":\"%s\",\"n\":%" PRIu64 ",\"seconds\":%.3f,\"per_second\":%.0f,",
	       reply ? "pong" : "sink", n, (double)(last - first) / 1e9,
	       last > first ? (double)n / ((double)(last - first) / 1e9) : 0.0);
	raw_port_print(rp);
	printf("}\n");
	return 0;
}

static int run(struct raw_port *rp, const struct options *o)
{
	uint8_t headers[RAW_HEADERS];

	raw_headers(&o->flow, o->size, headers);
	if (strcmp(o->mode, "ping") == 0)
		return ping(rp, o, headers);
	if (strcmp(o->mode, "flood") == 0)
		return flood(rp, o, headers);
	return answer(rp, strcmp(o->mode, "pong") == 0);
}

int main(int argc, char **argv)
{
	struct options o = { 0 };
	struct raw_port *rp;
	int rc;

	if (parse(argc, argv, &o) < 0) {
		fprintf(stderr, "usage: raw_pp ping|pong|flood|sink interface=IF local=ADDR remote=ADDR "
				"mac=MAC [key=value...]\n");
		return 2;
	}
	rp = raw_port_create(&o.port);
	if (!rp) {
		fprintf(stderr, "raw_pp: no memory, or no interface %s\n", o.port.ifname);
		return 1;
	}
	o.flow.src_mac = rp->mac;
	if (o.cpu >= 0 && raw_pin(o.cpu) < 0)
		fprintf(stderr, "raw_pp: cannot pin to CPU %d\n", o.cpu);
	rc = raw_port_open(rp, &o.port);
	if (rc == 0)
		rc = raw_port_steer(rp, IPPROTO_UDP, o.flow.dst_port);
	if (rc < 0) {
		fprintf(stderr, "raw_pp: %s: %s (%s)\n", o.port.ifname, rp->why, strerror(-rc));
		return 1;
	}
	fprintf(stderr, "ready\n");
	rc = run(rp, &o);
	rp->handle.ops->close(&rp->handle);
	if (rc < 0)
		fprintf(stderr, "raw_pp: %s: %s\n", o.mode, strerror(-rc));
	return rc < 0;
}
