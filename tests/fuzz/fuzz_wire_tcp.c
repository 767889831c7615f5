/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_wire_tcp.c - TCP headers and options. What parses comes back from its own emission; the fast
 * path for the ordinary layout agrees with the general one.
 */
#include "wire/tcp.h"

#include "fuzz.h"

static void check_same(const struct tcp_hdr *a, const struct tcp_hdr *b)
{
	FUZZ_CHECK(a->src_port == b->src_port && a->dst_port == b->dst_port);
	FUZZ_CHECK(a->seq == b->seq && a->ack == b->ack && a->flags == b->flags);
	FUZZ_CHECK(a->window == b->window && a->checksum == b->checksum && a->urgent == b->urgent);
	FUZZ_CHECK(a->options == b->options && a->mss == b->mss && a->wscale == b->wscale);
	FUZZ_CHECK(a->ts_val == b->ts_val && a->ts_ecr == b->ts_ecr && a->n_sack == b->n_sack);
	FUZZ_CHECK(memcmp(a->sack, b->sack, a->n_sack * sizeof(a->sack[0])) == 0);
	FUZZ_CHECK(a->cookie_len == b->cookie_len && memcmp(a->cookie, b->cookie, a->cookie_len) == 0);
}

static void check_general_walk(const struct tcp_hdr *h, const uint8_t *data)
{
	struct tcp_hdr slow = *h;

	slow.options = 0;
	slow.mss = 0;
	slow.wscale = 0;
	slow.ts_val = 0;
	slow.ts_ecr = 0;
	slow.n_sack = 0;
	slow.cookie_len = 0;
	FUZZ_CHECK(tcp_parse_options(&slow, data + TCP_HDR_LEN, h->hdr_len - TCP_HDR_LEN) == 0);
	check_same(h, &slow);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t bytes[TCP_MAX_HDR_LEN];
	struct tcp_hdr h = { 0 }, again = { 0 };
	int len = tcp_parse(&h, data, size);
	size_t out;

	if (len < 0) {
		FUZZ_CHECK(len == WIRE_TRUNCATED || len == WIRE_BAD_LENGTH ||
			   len == WIRE_BAD_OPTION);
		FUZZ_CHECK(len != WIRE_TRUNCATED || size < TCP_MAX_HDR_LEN);
		return 0;
	}
	FUZZ_CHECK((size_t)len <= size && len == h.hdr_len && len >= TCP_HDR_LEN && len % 4 == 0);
	FUZZ_CHECK(h.n_sack <= TCP_MAX_SACK && h.flags <= TCP_FLAGS && h.cookie_len <= TCP_MAX_COOKIE);
	check_general_walk(&h, data);
	out = tcp_emit(&h, bytes, sizeof(bytes));
	FUZZ_CHECK((out == 0) == (tcp_emit_len(&h) > TCP_MAX_HDR_LEN));
	if (out == 0)
		return 0; /* packed tighter than Linux's padding allows */
	FUZZ_CHECK(out == tcp_emit_len(&h));
	FUZZ_CHECK(tcp_parse(&again, bytes, out) == (int)out);
	check_same(&h, &again);
	return 0;
}
