/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frame.c - bytes of frames on the lossy link.
 *
 * Frames come from engines under test and from fuzzers: whatever does not parse is left as it is.
 * Standards: RFC 9293 3.1 (fields a segment of a super-frame has of its own), RFC 3168 5 and 6.1.1.
 */
#include "provider/fault/frame.h"

#include <string.h>

#include "base/csum.h"
#include "base/endian.h"
#include "base/seq.h"
#include "wire/packet.h"
#include "wire/protocol.h"
#include "wire/tcp.h"

enum {
	V4_TOS = 1, V4_TOTAL_LEN = 2, V4_ID = 4, V4_CHECKSUM = 10,
	V6_PAYLOAD_LEN = 4, V6_HDR_LEN = 40,
	L4_TCP_CHECKSUM = 16, L4_UDP_CHECKSUM = 6,
	TCP_SEQ_AT = 4, TCP_FLAGS_AT = 13,
	ECN_MASK = 3,
};

static bool parse(struct packet *p, const struct fbuf *frame)
{
	return frame->len > 0 && packet_parse(p, frame->data, frame->len, frame->total) == PACKET_OK;
}

uint32_t fault_frame_ip_len(const struct fbuf *frame)
{
	struct packet p;

	if (!parse(&p, frame))
		return 0;
	if (frame->gso_size == 0)
		return p.l3_len;
	return p.payload_offset - (uint32_t)p.l3_offset + FS_MIN((uint32_t)frame->gso_size, p.payload_len);
}

/* --- kinds --- */

/* Mixes what makes a flow one direction of a connection. */
static uint64_t flow_key(const struct packet *p)
{
	uint64_t key = p->src.d[1] * 0x9e3779b97f4a7c15ULL ^ p->dst.d[1];

	key = (key ^ key >> 29) * 0xbf58476d1ce4e5b9ULL;
	key ^= (uint64_t)p->src_port << 16 | p->dst_port;
	key = (key ^ key >> 32) * 0x94d049bb133111ebULL;
	return key | 1;
}

static bool is_again(const struct packet *p, const struct tcp_hdr *h, struct fault_flow *flows)
{
	uint64_t key = flow_key(p);
	struct fault_flow *flow = &flows[key >> 60];
	uint32_t end = h->seq + p->payload_len + !!(h->flags & TCP_SYN) + !!(h->flags & TCP_FIN);
	bool again;

	static_assert(FAULT_FLOWS == 16, "four bits choose the flow");
	if (end == h->seq)
		return false;
	again = flow->key == key && seq_le(end, flow->next);
	if (!again)
		*flow = (struct fault_flow){ key, end };
	return again;
}

uint32_t fault_frame_kinds(const struct fbuf *frame, struct fault_flow *flows)
{
	struct packet p;
	struct tcp_hdr h;
	uint32_t kinds = 0;

	if (!parse(&p, frame) || p.protocol != WIRE_PROTO_TCP || p.is_fragment ||
	    tcp_parse(&h, frame->data + p.l4_offset, frame->len - p.l4_offset) < 0)
		return 0;
	if (h.flags & TCP_RST)
		return FAULT_KIND_RST;
	if (h.flags & TCP_SYN)
		kinds |= h.flags & TCP_ACK ? FAULT_KIND_SYN_ACK : FAULT_KIND_SYN;
	if (h.flags & TCP_FIN)
		kinds |= FAULT_KIND_FIN;
	if (p.payload_len > 0)
		kinds |= FAULT_KIND_DATA;
	if (kinds == 0)
		return FAULT_KIND_ACK;
	if (is_again(&p, &h, flows))
		kinds |= FAULT_KIND_AGAIN;
	return kinds;
}

/* --- checksums --- */

static uint64_t sum_from(const struct fbuf *frame, uint32_t offset, uint32_t len)
{
	uint64_t sum = 0;
	uint32_t done = 0;

	for (const struct fbuf *part = frame; part && done < len; part = part->next) {
		uint32_t here;

		if (offset >= part->len) {
			offset -= part->len;
			continue;
		}
		here = FS_MIN(part->len - offset, len - done);
		sum = csum_combine(sum, csum_inline(part->data + offset, here), done);
		done += here;
		offset = 0;
	}
	return sum;
}

/* Where the transport's checksum lies; NULL = it has none that is known here. */
static uint8_t *checksum_field(struct fbuf *frame, const struct packet *p)
{
	uint32_t at = p->l4_offset;

	if (p->is_fragment)
		return NULL;
	if (p->protocol == WIRE_PROTO_TCP)
		at += L4_TCP_CHECKSUM;
	else if (p->protocol == WIRE_PROTO_UDP)
		at += L4_UDP_CHECKSUM;
	else
		return NULL;
	return frame->data + at;
}

static void store_sum(struct fbuf *frame, const struct packet *p, uint64_t sum)
{
	be16_t field = p->protocol == WIRE_PROTO_UDP ? csum_finish_udp(sum) : csum_finish(sum);

	memcpy(checksum_field(frame, p), &field, sizeof(field));
}

void fault_frame_complete(struct fbuf *frame)
{
	struct packet p;

	if (frame->csum != FBUF_CSUM_PARTIAL || !parse(&p, frame) || !checksum_field(frame, &p))
		return;
	/* The field holds the pseudo-header's sum and is summed like everything else. */
	store_sum(frame, &p, sum_from(frame, p.l4_offset, p.l4_len));
	frame->csum = FBUF_CSUM_UNKNOWN;
}

static void fix_v4_checksum(uint8_t *ip)
{
	be16_t field;

	memset(ip + V4_CHECKSUM, 0, 2);
	field = csum_finish(csum_inline(ip, (size_t)(ip[0] & 15) * 4));
	memcpy(ip + V4_CHECKSUM, &field, sizeof(field));
}

/* --- changes --- */

void fault_frame_flip(struct fbuf *frame, uint64_t bit)
{
	uint64_t byte = bit / 8;
	struct fbuf *part = frame;

	fault_frame_complete(frame);
	while (byte >= part->len) {
		byte -= part->len;
		part = part->next;
	}
	part->data[byte] ^= (uint8_t)(1u << (bit & 7));
}

bool fault_frame_mark(struct fbuf *frame)
{
	struct packet p;
	uint8_t *ip;

	if (!parse(&p, frame) || (p.tos & ECN_MASK) == 0)
		return false;
	ip = frame->data + p.l3_offset;
	if (p.is_v6) {
		ip[1] |= ECN_MASK << 4; /* the traffic class begins in the lower half of the first byte */
		return true;
	}
	ip[V4_TOS] |= ECN_MASK;
	fix_v4_checksum(ip);
	return true;
}

/* The headers of the super-frame @p in front of @segment, which begins @at payload bytes behind its first. */
static void put_headers(struct fbuf *segment, const uint8_t *headers, const struct packet *p, uint32_t at,
			bool is_last)
{
	uint32_t payload = segment->total, hdr_len = p->payload_offset;
	uint32_t l4_len = hdr_len - p->l4_offset + payload;
	uint8_t *to = fbuf_push(segment, hdr_len);
	uint8_t *ip = to + p->l3_offset, *tcp = to + p->l4_offset;
	uint8_t clear = (uint8_t)((is_last ? 0 : TCP_FIN | TCP_PSH) | (at > 0 ? TCP_CWR : 0));

	memcpy(to, headers, hdr_len);
	if (p->is_v6) {
		be16_store(ip + V6_PAYLOAD_LEN,
			   (uint16_t)(l4_len + p->l4_offset - p->l3_offset - V6_HDR_LEN));
	} else {
		be16_store(ip + V4_TOTAL_LEN, (uint16_t)(l4_len + p->l4_offset - p->l3_offset));
		fix_v4_checksum(ip);
	}
	be32_store(tcp + TCP_SEQ_AT, be32_load(tcp + TCP_SEQ_AT) + at);
	tcp[TCP_FLAGS_AT] &= (uint8_t)~clear;
	memset(tcp + L4_TCP_CHECKSUM, 0, 2);
	store_sum(segment, p, csum_add(csum_pseudo(&p->src, &p->dst, WIRE_PROTO_TCP, l4_len),
				       sum_from(segment, p->l4_offset, l4_len)));
	segment->csum = FBUF_CSUM_UNKNOWN;
}

bool fault_frame_split(struct fbuf *frame, struct fbuf_pool *pool, struct fbuf_queue *to)
{
	uint32_t size = frame->gso_size;
	struct packet p;
	struct fbuf *part;

	if (size == 0 || !parse(&p, frame) || p.protocol != WIRE_PROTO_TCP ||
	    p.payload_offset > frame->len || p.payload_offset > pool->headroom) {
		fbuf_queue_push(to, frame);
		return true;
	}
	for (uint32_t at = 0; at == 0 || at < p.payload_len; at += size) {
		uint32_t here = FS_MIN(size, p.payload_len - at);

		part = fbuf_clone_part(frame, pool, p.payload_offset + at, here);
		if (!part)
			break;
		put_headers(part, frame->data, &p, at, at + here == p.payload_len);
		fbuf_queue_push(to, part);
	}
	fbuf_free(frame);
	return part != NULL;
}
