/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp.h - the TCP header and its options (RFC 9293 3.1, RFC 7323, RFC 2018, RFC 3168, RFC 9768, RFC 7413).
 *
 * Does:     parse and emit header and options: MSS, window scale, SACK permitted, SACK blocks,
 *           timestamps, Fast Open. Unknown options are skipped.
 * Does not: compute or verify the checksum (it covers the payload), judge values (a window scale
 *           above 14, an option on the wrong segment): that is the protocol's.
 * Threads:  any, no state.
 */
#ifndef FSOCK_WIRE_TCP_H
#define FSOCK_WIRE_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/csum.h"
#include "base/endian.h"
#include "wire/error.h"

enum {
	TCP_HDR_LEN = 20,
	TCP_MAX_HDR_LEN = 60,
	TCP_MAX_SACK = 4, /* blocks that fit in 40 bytes of options (RFC 2018 3) */
	TCP_MIN_COOKIE = 4, /* bytes of a Fast Open cookie, always even (RFC 7413 2) */
	TCP_MAX_COOKIE = 16,
};

/* Bits of tcp_hdr.flags, as they lie in the header. */
enum tcp_flag {
	TCP_FIN = 1 << 0,
	TCP_SYN = 1 << 1,
	TCP_RST = 1 << 2,
	TCP_PSH = 1 << 3,
	TCP_ACK = 1 << 4,
	TCP_URG = 1 << 5,
	TCP_ECE = 1 << 6,
	TCP_CWR = 1 << 7,
	TCP_AE = 1 << 8, /* accurate ECN; formerly NS */
	TCP_FLAGS = (1 << 9) - 1,
};

/* Bits of tcp_hdr.options. */
enum tcp_option {
	TCP_HAS_MSS = 1 << 0,
	TCP_HAS_WSCALE = 1 << 1,
	TCP_HAS_SACK_PERMITTED = 1 << 2,
	TCP_HAS_TIMESTAMP = 1 << 3,
	TCP_HAS_FASTOPEN = 1 << 4,
};

struct tcp_sack_block {
	uint32_t left, right; /* first sequence number held, first one after it */
};

struct tcp_hdr {
	uint16_t src_port, dst_port; /* host order, as all numbers here */
	uint32_t seq, ack;
	uint16_t flags;		     /* enum tcp_flag; the reserved bits are dropped */
	uint16_t window;	     /* not scaled */
	uint16_t checksum;
	uint16_t urgent;
	uint8_t hdr_len;	     /* bytes with options; tcp_emit() computes its own */
	uint8_t options;	     /* enum tcp_option: which of the following are valid */
	uint8_t wscale;		     /* shift count, 0..255 as received */
	uint8_t n_sack;		     /* valid entries of sack[]; 0 = no SACK option */
	uint16_t mss;
	uint8_t cookie_len;	     /* of a Fast Open option; 0 = it asks for a cookie */
	uint32_t ts_val, ts_ecr;
	struct tcp_sack_block sack[TCP_MAX_SACK];
	uint8_t cookie[TCP_MAX_COOKIE];
};

/*
 * Parse header and options. Values whose bit is missing are 0, sack[] beyond n_sack and cookie[] beyond
 * cookie_len are not written. Of an option that comes twice the last counts. A Fast Open option whose
 * cookie has an impossible length is skipped (RFC 7413 4.1.1).
 * Return: header length 20..60, or WIRE_TRUNCATED, WIRE_BAD_LENGTH (data offset below 5),
 * WIRE_BAD_OPTION (length below 2, past the header, or not the option's own: RFC 9293 3.1, MUST-7).
 */
static inline int tcp_parse(struct tcp_hdr *out, const void *bytes, size_t len);

/* Header length tcp_emit() writes; above TCP_MAX_HDR_LEN when the options do not fit together. */
size_t tcp_emit_len(const struct tcp_hdr *hdr);

/*
 * Write header and options in Linux's order and padding, which peers' fast paths expect.
 * Return: header length, or 0 when @room is too small, the options take more than 40 bytes or the cookie has
 * an impossible length (nothing written). Checksum as given.
 */
size_t tcp_emit(const struct tcp_hdr *hdr, void *bytes, size_t room);

/*
 * The same for nearly every segment of a connection: no options, or timestamps only (whatever @hdr says of others),
 * checksum field 0. @bytes has room for TCP_HDR_LEN + TCP_TS_LAYOUT_LEN. Returns the csum.h sum of what was written;
 * tcp_emit_common_len() is its length.
 */
static inline uint64_t tcp_emit_common(const struct tcp_hdr *hdr, void *bytes);
static inline size_t tcp_emit_common_len(const struct tcp_hdr *hdr);

/* The slow half of tcp_parse(): options in any layout. 0 or WIRE_BAD_OPTION. */
int tcp_parse_options(struct tcp_hdr *out, const uint8_t *options, size_t len);

/* inline definitions */

enum {
	TCP_OPT_END = 0,
	TCP_OPT_NOP = 1,
	TCP_OPT_MSS = 2,
	TCP_OPT_WSCALE = 3,
	TCP_OPT_SACK_PERMITTED = 4,
	TCP_OPT_SACK = 5,
	TCP_OPT_TIMESTAMP = 8,
	TCP_OPT_FASTOPEN = 34,
	TCP_TS_LAYOUT = TCP_OPT_NOP << 24 | TCP_OPT_NOP << 16 | TCP_OPT_TIMESTAMP << 8 | 10,
	TCP_TS_LAYOUT_LEN = 12,
};

static inline int tcp_parse(struct tcp_hdr *out, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	int ret = 0;

	if (len < TCP_HDR_LEN)
		return WIRE_TRUNCATED;
	out->src_port = be16_load(p);
	out->dst_port = be16_load(p + 2);
	out->seq = be32_load(p + 4);
	out->ack = be32_load(p + 8);
	out->flags = be16_load(p + 12) & TCP_FLAGS;
	out->hdr_len = (uint8_t)((p[12] >> 4) * 4);
	out->window = be16_load(p + 14);
	out->checksum = be16_load(p + 16);
	out->urgent = be16_load(p + 18);
	out->options = 0;
	out->wscale = 0;
	out->n_sack = 0;
	out->mss = 0;
	out->cookie_len = 0;
	out->ts_val = 0;
	out->ts_ecr = 0;
	if (out->hdr_len < TCP_HDR_LEN)
		return WIRE_BAD_LENGTH;
	if (out->hdr_len > len)
		return WIRE_TRUNCATED;
	/* RFC 7323 appendix A: the layout nearly every segment of a connection has. */
	if (out->hdr_len == TCP_HDR_LEN + TCP_TS_LAYOUT_LEN &&
	    be32_load(p + TCP_HDR_LEN) == TCP_TS_LAYOUT) {
		out->options = TCP_HAS_TIMESTAMP;
		out->ts_val = be32_load(p + TCP_HDR_LEN + 4);
		out->ts_ecr = be32_load(p + TCP_HDR_LEN + 8);
	} else if (out->hdr_len > TCP_HDR_LEN) {
		ret = tcp_parse_options(out, p + TCP_HDR_LEN, out->hdr_len - (size_t)TCP_HDR_LEN);
	}
	return ret < 0 ? ret : out->hdr_len;
}

static inline size_t tcp_emit_common_len(const struct tcp_hdr *hdr)
{
	return hdr->options & TCP_HAS_TIMESTAMP ? TCP_HDR_LEN + TCP_TS_LAYOUT_LEN : TCP_HDR_LEN;
}

/* Two words of 32 bits, which are summed while they are in registers. */
static inline uint64_t tcp_emit_words(uint8_t *p, uint32_t first, uint32_t second)
{
	be64_t net = be64_make((uint64_t)first << 32 | second);

	memcpy(p, &net, sizeof(net));
	return net.raw;
}

static inline uint64_t tcp_emit_common(const struct tcp_hdr *hdr, void *bytes)
{
	uint32_t offset = (uint32_t)tcp_emit_common_len(hdr) / 4 << 28;
	uint8_t *p = bytes;
	uint64_t sum;

	sum = tcp_emit_words(p, (uint32_t)hdr->src_port << 16 | hdr->dst_port, hdr->seq);
	sum = csum_add(sum, tcp_emit_words(p + 8, hdr->ack,
					   offset | (uint32_t)(hdr->flags & TCP_FLAGS) << 16 | hdr->window));
	if (hdr->options & TCP_HAS_TIMESTAMP) {
		sum = csum_add(sum, tcp_emit_words(p + 16, hdr->urgent, TCP_TS_LAYOUT));
		return csum_add(sum, tcp_emit_words(p + 24, hdr->ts_val, hdr->ts_ecr));
	}
	be32_store(p + 16, hdr->urgent);
	return csum_add(sum, csum_word(be32_make(hdr->urgent)));
}

#endif
