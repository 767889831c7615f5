/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp.c - TCP options and emission of the header.
 *
 * Standards: RFC 9293 3.1 and 3.2 (header, options, MSS), RFC 7323 (window scale, timestamps),
 * RFC 2018 (SACK), RFC 7413 (Fast Open). The order of emitted options is Linux's.
 * Not here: parsing of the ordinary layouts, which is inline in tcp.h.
 */
#include "wire/tcp.h"

enum {
	TCP_MSS_LEN = 4,
	TCP_WSCALE_LEN = 3,
	TCP_SACK_PERMITTED_LEN = 2,
	TCP_SACK_BASE_LEN = 2,
	TCP_SACK_BLOCK_LEN = 8,
	TCP_TIMESTAMP_LEN = 10,
	TCP_FASTOPEN_BASE_LEN = 2,
};

/* May a Fast Open option have a cookie of that many bytes? */
static bool is_cookie_len(size_t len)
{
	return len == 0 || (len >= TCP_MIN_COOKIE && len <= TCP_MAX_COOKIE && len % 2 == 0);
}

static void parse_fastopen(struct tcp_hdr *out, const uint8_t *p, size_t len)
{
	size_t cookie_len = len - TCP_FASTOPEN_BASE_LEN;

	if (!is_cookie_len(cookie_len))
		return;
	out->options |= TCP_HAS_FASTOPEN;
	out->cookie_len = (uint8_t)cookie_len;
	memcpy(out->cookie, p + TCP_FASTOPEN_BASE_LEN, cookie_len);
}

static int parse_sack(struct tcp_hdr *out, const uint8_t *p, size_t len)
{
	size_t n = (len - TCP_SACK_BASE_LEN) / TCP_SACK_BLOCK_LEN;

	if (n == 0 || n > TCP_MAX_SACK || len != TCP_SACK_BASE_LEN + n * TCP_SACK_BLOCK_LEN)
		return WIRE_BAD_OPTION;
	out->n_sack = (uint8_t)n;
	for (size_t i = 0; i < n; i++) {
		out->sack[i].left = be32_load(p + 2 + i * TCP_SACK_BLOCK_LEN);
		out->sack[i].right = be32_load(p + 6 + i * TCP_SACK_BLOCK_LEN);
	}
	return 0;
}

/* One option at @p, @len bytes with kind and length, all there. */
static int parse_option(struct tcp_hdr *out, const uint8_t *p, size_t len)
{
	switch (p[0]) {
	case TCP_OPT_MSS:
		if (len != TCP_MSS_LEN)
			return WIRE_BAD_OPTION;
		out->options |= TCP_HAS_MSS;
		out->mss = be16_load(p + 2);
		return 0;
	case TCP_OPT_WSCALE:
		if (len != TCP_WSCALE_LEN)
			return WIRE_BAD_OPTION;
		out->options |= TCP_HAS_WSCALE;
		out->wscale = p[2];
		return 0;
	case TCP_OPT_SACK_PERMITTED:
		if (len != TCP_SACK_PERMITTED_LEN)
			return WIRE_BAD_OPTION;
		out->options |= TCP_HAS_SACK_PERMITTED;
		return 0;
	case TCP_OPT_SACK:
		return parse_sack(out, p, len);
	case TCP_OPT_TIMESTAMP:
		if (len != TCP_TIMESTAMP_LEN)
			return WIRE_BAD_OPTION;
		out->options |= TCP_HAS_TIMESTAMP;
		out->ts_val = be32_load(p + 2);
		out->ts_ecr = be32_load(p + 6);
		return 0;
	case TCP_OPT_FASTOPEN:
		parse_fastopen(out, p, len);
		return 0;
	}
	return 0; /* RFC 9293 3.1, MUST-6: ignore unknown options */
}

int tcp_parse_options(struct tcp_hdr *out, const uint8_t *options, size_t len)
{
	size_t at = 0;

	while (at < len && options[at] != TCP_OPT_END) {
		size_t opt_len;

		if (options[at] == TCP_OPT_NOP) {
			at++;
			continue;
		}
		if (at + 2 > len)
			return WIRE_BAD_OPTION;
		opt_len = options[at + 1];
		if (opt_len < 2 || opt_len > len - at)
			return WIRE_BAD_OPTION;
		if (parse_option(out, options + at, opt_len) < 0)
			return WIRE_BAD_OPTION;
		at += opt_len;
	}
	return 0;
}

/* Every option is padded to a multiple of 4; SACK permitted takes the padding of timestamps. */
size_t tcp_emit_len(const struct tcp_hdr *hdr)
{
	size_t len = TCP_HDR_LEN;

	if (hdr->options & TCP_HAS_MSS)
		len += 4;
	if (hdr->options & TCP_HAS_TIMESTAMP)
		len += TCP_TS_LAYOUT_LEN;
	else if (hdr->options & TCP_HAS_SACK_PERMITTED)
		len += 4;
	if (hdr->options & TCP_HAS_WSCALE)
		len += 4;
	if (hdr->n_sack > 0)
		len += 4 + (size_t)hdr->n_sack * TCP_SACK_BLOCK_LEN;
	if (hdr->options & TCP_HAS_FASTOPEN)
		len += (TCP_FASTOPEN_BASE_LEN + (size_t)hdr->cookie_len + 3) / 4 * 4;
	return len;
}

static uint8_t *emit_word(uint8_t *p, unsigned a, unsigned b, unsigned c, unsigned d)
{
	p[0] = (uint8_t)a;
	p[1] = (uint8_t)b;
	p[2] = (uint8_t)c;
	p[3] = (uint8_t)d;
	return p + 4;
}

/* The padding is behind this one. */
static void emit_fastopen(const struct tcp_hdr *hdr, uint8_t *p)
{
	size_t len = TCP_FASTOPEN_BASE_LEN + (size_t)hdr->cookie_len;

	p[0] = TCP_OPT_FASTOPEN;
	p[1] = (uint8_t)len;
	memcpy(p + TCP_FASTOPEN_BASE_LEN, hdr->cookie, hdr->cookie_len);
	for (; len % 4 != 0; len++)
		p[len] = TCP_OPT_NOP;
}

static void emit_options(const struct tcp_hdr *hdr, uint8_t *p)
{
	bool sack_permitted = hdr->options & TCP_HAS_SACK_PERMITTED;

	if (hdr->options & TCP_HAS_MSS)
		p = emit_word(p, TCP_OPT_MSS, TCP_MSS_LEN, hdr->mss >> 8, hdr->mss);
	if (hdr->options & TCP_HAS_TIMESTAMP) {
		if (sack_permitted)
			p = emit_word(p, TCP_OPT_SACK_PERMITTED, TCP_SACK_PERMITTED_LEN,
				      TCP_OPT_TIMESTAMP, TCP_TIMESTAMP_LEN);
		else
			p = emit_word(p, TCP_OPT_NOP, TCP_OPT_NOP, TCP_OPT_TIMESTAMP,
				      TCP_TIMESTAMP_LEN);
		be32_store(p, hdr->ts_val);
		be32_store(p + 4, hdr->ts_ecr);
		p += 8;
	} else if (sack_permitted) {
		p = emit_word(p, TCP_OPT_NOP, TCP_OPT_NOP, TCP_OPT_SACK_PERMITTED,
			      TCP_SACK_PERMITTED_LEN);
	}
	if (hdr->options & TCP_HAS_WSCALE)
		p = emit_word(p, TCP_OPT_NOP, TCP_OPT_WSCALE, TCP_WSCALE_LEN, hdr->wscale);
	if (hdr->n_sack > 0)
		p = emit_word(p, TCP_OPT_NOP, TCP_OPT_NOP, TCP_OPT_SACK,
			      TCP_SACK_BASE_LEN + hdr->n_sack * (unsigned)TCP_SACK_BLOCK_LEN);
	for (unsigned i = 0; i < hdr->n_sack; i++) {
		be32_store(p, hdr->sack[i].left);
		be32_store(p + 4, hdr->sack[i].right);
		p += TCP_SACK_BLOCK_LEN;
	}
	if (hdr->options & TCP_HAS_FASTOPEN)
		emit_fastopen(hdr, p);
}

size_t tcp_emit(const struct tcp_hdr *hdr, void *bytes, size_t room)
{
	size_t len = tcp_emit_len(hdr);
	uint8_t *p = bytes;

	if (hdr->n_sack > TCP_MAX_SACK || len > TCP_MAX_HDR_LEN || len > room)
		return 0;
	if ((hdr->options & TCP_HAS_FASTOPEN) && !is_cookie_len(hdr->cookie_len))
		return 0;
	be16_store(p, hdr->src_port);
	be16_store(p + 2, hdr->dst_port);
	be32_store(p + 4, hdr->seq);
	be32_store(p + 8, hdr->ack);
	be16_store(p + 12, (uint16_t)(len / 4 << 12 | (hdr->flags & TCP_FLAGS)));
	be16_store(p + 14, hdr->window);
	be16_store(p + 16, hdr->checksum);
	be16_store(p + 18, hdr->urgent);
	emit_options(hdr, p + TCP_HDR_LEN);
	return len;
}
