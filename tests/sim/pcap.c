/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pcap.c - writing pcapng (draft-ietf-opsawg-pcapng): section header, interface descriptions, enhanced packets.
 *
 * Super-frames are written whole, so that the capture shows what the engine built.
 */
#include "pcap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fbuf.h"

enum {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_PACKET = 6,
	BYTE_ORDER_MAGIC = 0x1a2b3c4d,
	LINK_ETHERNET = 1,
	OPTION_IF_NAME = 2,
	OPTION_IF_TSRESOL = 9,
	OPTION_EPB_FLAGS = 2,
	INTERFACES = 64,
	NAME = 16,
};

struct sim_pcap {
	FILE *file;
	char name[INTERFACES][NAME];
	unsigned n;
};

struct block {
	uint8_t bytes[256];
	uint32_t len;
};

static void put(struct block *b, const void *from, uint32_t len)
{
	memcpy(b->bytes + b->len, from, len);
	b->len += len;
	while (b->len & 3)
		b->bytes[b->len++] = 0;
}

static void put32(struct block *b, uint32_t v)
{
	put(b, &v, sizeof(v));
}

static void put_option(struct block *b, uint16_t code, const void *value, uint16_t len)
{
	put32(b, (uint32_t)len << 16 | code); /* host order, as the magic says */
	put(b, value, len);
}

static void write_block(struct sim_pcap *p, uint32_t type, const struct block *b)
{
	uint32_t total = b->len + 12;

	fwrite(&type, 4, 1, p->file);
	fwrite(&total, 4, 1, p->file);
	fwrite(b->bytes, 1, b->len, p->file);
	fwrite(&total, 4, 1, p->file);
}

struct sim_pcap *sim_pcap_open(const char *path)
{
	struct sim_pcap *p = calloc(1, sizeof(*p));
	struct block b = { .len = 0 };

	if (!p)
		return NULL;
	p->file = fopen(path, "wb");
	if (!p->file) {
		perror(path);
		free(p);
		return NULL;
	}
	put32(&b, BYTE_ORDER_MAGIC);
	put32(&b, 1); /* version 1.0 */
	put32(&b, UINT32_MAX);
	put32(&b, UINT32_MAX); /* length of the section: not known */
	write_block(p, BLOCK_SECTION, &b);
	return p;
}

void sim_pcap_close(struct sim_pcap *p)
{
	if (!p)
		return;
	if (fclose(p->file) != 0)
		perror("capture");
	free(p);
}

static unsigned interface_of(struct sim_pcap *p, const char *name)
{
	struct block b = { .len = 0 };
	uint8_t nanoseconds = 9;

	for (unsigned i = 0; i < p->n; i++)
		if (strcmp(p->name[i], name) == 0)
			return i;
	if (p->n == INTERFACES)
		return INTERFACES - 1;
	snprintf(p->name[p->n], NAME, "%s", name);
	put32(&b, LINK_ETHERNET);
	put32(&b, 0); /* no limit of length */
	put_option(&b, OPTION_IF_NAME, name, (uint16_t)strlen(name));
	put_option(&b, OPTION_IF_TSRESOL, &nanoseconds, 1);
	put32(&b, 0);
	write_block(p, BLOCK_INTERFACE, &b);
	return p->n++;
}

void sim_pcap_frame(struct sim_pcap *p, const char *interface, bool outbound, const struct fbuf *frame, fs_ns now)
{
	uint32_t type = BLOCK_PACKET, padded = (frame->total + 3) & ~3u, total = 32 + padded + 12;
	uint32_t index = interface_of(p, interface), flags = outbound ? 2 : 1;
	uint32_t head[5] = { index, (uint32_t)((uint64_t)now >> 32), (uint32_t)now, frame->total, frame->total };
	uint32_t tail[3] = { 4u << 16 | OPTION_EPB_FLAGS, flags, 0 };

	fwrite(&type, 4, 1, p->file);
	fwrite(&total, 4, 1, p->file);
	fwrite(head, 4, 5, p->file);
	for (const struct fbuf *part = frame; part; part = part->next)
		fwrite(part->data, 1, part->len, p->file);
	fwrite("\0\0\0", 1, padded - frame->total, p->file);
	fwrite(tail, 4, 3, p->file);
	fwrite(&total, 4, 1, p->file);
}
