/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * raw_stream.c - how many bytes of one TCP flow the providers carry without any protocol above: the floor beside
 * which fsock's streams are put.
 *
 *      raw_stream send|sink interface=IF local=A remote=A mac=M [key=value...]
 *
 * send makes frames that look like TCP's, super-frames of many segments where the port takes them or one frame
 * per segment; sink takes them and tells by a frame of its own how many bytes have come, so that no more than a
 * window of them is under way. Each end is one process with its own port, spinning. The last line on stdout is
 * JSON.
 *
 *      port=5000 seconds=3 mss=1448 size=60000 window=1048576 part=0 copy=1 cpu=-1 chunks=4096 option=
 *      provider=xdp
 * mss: bytes of a segment. size: of a frame; not above mss: frame by frame. part: of a chunk, 0 = all that fit.
 * copy: the payload is copied in and out, as by a program's write and read.
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
	STUCK_NS = 200000000,	 /* without news for so long what is under way is lost */
	SILENCE_NS = 1000000000, /* sink ends after this, once traffic has been seen */
	IDLE_TURNS = 1024,	 /* empty polls between two looks at the clock */
	PROGRAM = 1 << 20,	 /* bytes of a program's own memory */
};

struct options {
	const char *mode;
	struct raw_port_args port;
	struct raw_flow flow;
	uint32_t mss, size, part, window;
	bool copy;
	double seconds;
	int cpu;
};

struct stream {
	struct raw_port *rp;
	const struct options *o;
	uint64_t done;	 /* bytes sent, or received */
	uint64_t acked;	 /* bytes of them that the other end told of */
	uint64_t lost;	 /* bytes nothing was heard of any more */
	uint64_t frames;
	int64_t heard;	 /* ns: when there was news */
	double cpu;	 /* seconds when the stream began */
	uint8_t *program; /* PROGRAM bytes */
};

static int parse(int argc, char **argv, struct options *o)
{
	if (argc < 2)
		return -EINVAL;
	o->mode = argv[1];
	o->mss = (uint32_t)atoi(raw_value(argc, argv, "mss", "1448"));
	o->size = (uint32_t)atoi(raw_value(argc, argv, "size", "60000"));
	o->part = (uint32_t)atoi(raw_value(argc, argv, "part", "0"));
	o->window = (uint32_t)atoi(raw_value(argc, argv, "window", "1048576"));
	o->copy = atoi(raw_value(argc, argv, "copy", "1"));
	o->seconds = atof(raw_value(argc, argv, "seconds", "3"));
	o->cpu = atoi(raw_value(argc, argv, "cpu", "-1"));
	if (o->mss == 0 || o->mss > UINT16_MAX || o->size == 0 || o->size > 65483 || o->window < o->size)
		return -EINVAL;
	return raw_parse(argc, argv, &o->port, &o->flow);
}

/* --- sending --- */

static bool put_payload(struct stream *s, struct fbuf *frame, uint32_t headers)
{
	uint32_t left = s->o->size, at = (uint32_t)(s->done % (PROGRAM - UINT16_MAX));

	for (struct fbuf *part = frame; part && left > 0; part = part->next) {
		uint32_t before = part == frame ? headers : 0;
		uint32_t len = FS_MIN(left, fbuf_tailroom(part) - before);

		if (s->o->part)
			len = FS_MIN(len, s->o->part);
		if (s->o->copy)
			memcpy(part->data + before, s->program + at, len);
		part->len = before + len;
		left -= len;
		at += len;
	}
	return left == 0;
}

/* A chain of as many chunks as the payload needs. */
static struct fbuf *new_frame(struct stream *s)
{
	const struct options *o = s->o;
	uint32_t per_part = o->part ? o->part : RAW_CHUNK - RAW_HEADROOM - RAW_TCP_HEADERS;
	uint32_t parts = (o->size + per_part - 1) / per_part, headers;
	struct fbuf *f = fbuf_alloc_chain(s->rp->pool, parts * RAW_CHUNK - RAW_HEADROOM);

	if (!f)
		return NULL;
	headers = raw_tcp_headers(&o->flow, (uint32_t)s->done, o->size, f->data);
	f->total = headers + o->size;
	if (!put_payload(s, f, headers)) {
		fbuf_free(f);
		return NULL;
	}
	if (o->size > o->mss) {
		f->gso_size = (uint16_t)o->mss;
		f->csum = FBUF_CSUM_PARTIAL;
	}
	fbuf_trim(f, f->total);
	return f;
}

static uint32_t headers_len(const struct stream *s)
{
	return (ip_addr_is_v4(&s->o->flow.src) ? 34 : 54) + RAW_TCP_HEADER;
}

/* Frames that came: how many bytes the other end has by now. A kernel that got one of ours answers otherwise. */
static void take_news(struct stream *s)
{
	struct fbuf *frames[BURST];
	unsigned got = s->rp->handle.ops->receive(&s->rp->handle, frames, BURST);

	for (unsigned i = 0; i < got; i++) {
		uint64_t bytes;

		if (frames[i]->total == headers_len(s) + sizeof(bytes)) {
			fbuf_copy_out(frames[i], headers_len(s), &bytes, sizeof(bytes));
			s->acked = FS_MAX(s->acked, bytes);
		}
		fbuf_free(frames[i]);
	}
	s->lost = FS_MIN(s->lost, s->done - s->acked); /* late, and not lost */
	if (got > 0) {
		s->heard = raw_now();
		s->rp->handle.ops->heartbeat(&s->rp->handle, s->heard);
	}
}

static int send_burst(struct stream *s)
{
	const struct provider_ops *ops = s->rp->handle.ops;
	struct fbuf *frames[BURST];
	unsigned n = 0, sent = 0;

	while (n < BURST && s->done + s->o->size - s->acked - s->lost <= s->o->window && (frames[n] = new_frame(s))) {
		s->done += s->o->size;
		n++;
	}
	while (sent < n) {
		sent += ops->transmit(&s->rp->handle, frames + sent, n - sent);
		if (ops->kick(&s->rp->handle) < 0 && s->rp->port->error != 0)
			return -ENETDOWN;
	}
	s->frames += n;
	return 0;
}

static int send_stream(struct stream *s)
{
	int64_t begin = raw_now(), now = begin, end = begin + (int64_t)(s->o->seconds * 1e9);
	int rc = 0;

	s->heard = begin;
	s->cpu = raw_cpu_seconds();
	while (rc == 0 && now < end) {
		rc = send_burst(s);
		take_news(s);
		now = raw_now();
		if (now - s->heard > STUCK_NS) {
			s->lost = s->done - s->acked;
			s->heard = now;
		}
	}
	printf("{\"mode\":\"send\",\"size\":%u,\"mss\":%u,\"frames\":%" PRIu64 ",\"seconds\":%.3f,\"lost\":%" PRIu64
	       ",\"gbit\":%.2f,\"cpu\":%.3f,", s->o->size, s->o->mss, s->frames, (double)(now - begin) / 1e9, s->lost,
	       (double)s->acked * 8 / (double)(now - begin), raw_cpu_seconds() - s->cpu);
	return rc;
}

/* --- receiving --- */

static uint32_t payload_of(const struct stream *s, const struct fbuf *f)
{
	return f->total > headers_len(s) ? f->total - headers_len(s) : 0;
}

/* How many bytes have come. Lost ones are not sent again: the next one tells. */
static void tell(struct stream *s)
{
	struct fbuf *f = fbuf_alloc(s->rp->pool);
	uint32_t headers;

	if (!f)
		return;
	headers = raw_tcp_headers(&s->o->flow, 0, sizeof(s->done), f->data);
	memcpy(f->data + headers, &s->done, sizeof(s->done));
	f->len = f->total = headers + sizeof(s->done);
	if (s->rp->handle.ops->transmit(&s->rp->handle, &f, 1) != 1)
		fbuf_free(f);
	s->rp->handle.ops->kick(&s->rp->handle);
}

static int sink(struct stream *s)
{
	const struct provider_ops *ops = s->rp->handle.ops;
	int64_t first = 0, last = 0, now = raw_now();
	double cpu;
	uint32_t turns = 0;

	for (;;) {
		struct fbuf *frames[BURST];
		unsigned got = ops->receive(&s->rp->handle, frames, BURST);

		if (got == 0) {
			if (++turns % IDLE_TURNS != 0)
				continue;
			now = raw_now();
			if (first != 0 && now - last > SILENCE_NS)
				break;
			continue;
		}
		now = last = raw_now();
		if (first == 0) {
			first = now;
			s->cpu = raw_cpu_seconds();
		}
		ops->heartbeat(&s->rp->handle, now);
		s->frames += got;
		for (unsigned i = 0; i < got; i++) {
			s->done += payload_of(s, frames[i]);
			if (s->o->copy)
				fbuf_copy_out(frames[i], 0, s->program, PROGRAM);
			fbuf_free(frames[i]);
		}
		tell(s);
	}
	cpu = raw_cpu_seconds() - s->cpu;
	printf("{\"mode\":\"sink\",\"frames\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"seconds\":%.3f,\"cpu\":%.3f,", s->frames, s->done,
	       (double)(last - first) / 1e9, cpu - (double)(now - last) / 1e9);
	return 0;
}

static int run(struct raw_port *rp, const struct options *o)
{
	struct stream s = { .rp = rp, .o = o, .program = calloc(1, PROGRAM) };
	int rc;

	if (!s.program)
		return -ENOMEM;
	if (strcmp(o->mode, "send") == 0)
		rc = o->size > o->mss && o->size + RAW_TCP_HEADERS > rp->port->caps.max_gso ? -EOPNOTSUPP
											   : send_stream(&s);
	else
		rc = sink(&s);
	if (rc != -EOPNOTSUPP) {
		raw_port_print(rp);
		printf("}\n");
	}
	free(s.program);
	return rc;
}

int main(int argc, char **argv)
{
	struct options o = { 0 };
	struct raw_port *rp;
	int rc;

	if (parse(argc, argv, &o) < 0) {
		fprintf(stderr, "usage: raw_stream send|sink interface=IF local=ADDR remote=ADDR mac=MAC [key=value...]\n");
		return 2;
	}
	rp = raw_port_create(&o.port);
	if (!rp) {
		fprintf(stderr, "raw_stream: no memory, or no interface %s\n", o.port.ifname);
		return 1;
	}
	o.flow.src_mac = rp->mac;
	if (o.cpu >= 0 && raw_pin(o.cpu) < 0)
		fprintf(stderr, "raw_stream: cannot pin to CPU %d\n", o.cpu);
	rc = raw_port_open(rp, &o.port);
	if (rc == 0)
		rc = raw_port_steer(rp, IPPROTO_TCP, o.flow.dst_port);
	if (rc < 0) {
		fprintf(stderr, "raw_stream: %s: %s (%s)\n", o.port.ifname, rp->why, strerror(-rc));
		return 1;
	}
	fprintf(stderr, "ready\n");
	rc = run(rp, &o);
	rp->handle.ops->close(&rp->handle);
	if (rc < 0)
		fprintf(stderr, "raw_stream: %s: %s\n", o.mode, strerror(-rc));
	return rc < 0;
}
