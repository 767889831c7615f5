/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_wire_ipv6.c - IPv6 headers and the walk over extension headers. The fixed header is written
 * back byte for byte; the walk depends on nothing behind its end and accepts no prefix of itself.
 */
#include "wire/ipv6.h"

#include "fuzz.h"

static void check_walk(uint8_t next_header, const uint8_t *data, size_t size)
{
	struct ipv6_ext e, again;
	int len = ipv6_ext_parse(&e, next_header, data, size);

	if (len < 0) {
		FUZZ_CHECK(len == WIRE_TRUNCATED || len == WIRE_BAD_OPTION ||
			   len == WIRE_UNSUPPORTED);
		return;
	}
	FUZZ_CHECK((size_t)len <= size && len == e.len && len % 4 == 0);
	FUZZ_CHECK(e.count <= IPV6_MAX_EXT && (e.count == 0) == (len == 0));
	FUZZ_CHECK(!ipv6_nh_is_ext(e.protocol) || e.frag_offset != 0);
	FUZZ_CHECK(e.has_fragment_hdr || !ipv6_is_fragment(&e));
	FUZZ_CHECK(ipv6_ext_parse(&again, next_header, data, (size_t)len) == len);
	FUZZ_CHECK(again.protocol == e.protocol && again.frag_offset == e.frag_offset &&
		   again.more_fragments == e.more_fragments && again.frag_id == e.frag_id);
	if (len > 0)
		FUZZ_CHECK(ipv6_ext_parse(&again, next_header, data, (size_t)len - 1) ==
			   WIRE_TRUNCATED);
}

static void check_frag_emit(uint8_t next_header, const uint8_t *data, size_t size)
{
	struct ipv6_ext e, again;
	uint8_t bytes[IPV6_FRAG_LEN];

	if (next_header != IPV6_NH_FRAGMENT || size < IPV6_FRAG_LEN)
		return;
	if (ipv6_ext_parse(&e, next_header, data, IPV6_FRAG_LEN) != IPV6_FRAG_LEN)
		return;
	FUZZ_CHECK(ipv6_frag_emit(&e, bytes, sizeof(bytes)) == IPV6_FRAG_LEN);
	FUZZ_CHECK(ipv6_ext_parse(&again, next_header, bytes, sizeof(bytes)) == IPV6_FRAG_LEN);
	FUZZ_CHECK(again.protocol == e.protocol && again.frag_offset == e.frag_offset &&
		   again.more_fragments == e.more_fragments && again.frag_id == e.frag_id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t bytes[IPV6_HDR_LEN];
	struct ipv6_hdr h;
	int payload, len = ipv6_parse(&h, data, size);

	if (len < 0) {
		FUZZ_CHECK(len == WIRE_BAD_VERSION ||
			   (len == WIRE_TRUNCATED && size < IPV6_HDR_LEN));
		return 0;
	}
	FUZZ_CHECK(len == IPV6_HDR_LEN && size >= IPV6_HDR_LEN);
	FUZZ_CHECK(ipv6_emit(&h, bytes, sizeof(bytes)) == IPV6_HDR_LEN);
	FUZZ_CHECK(memcmp(bytes, data, IPV6_HDR_LEN) == 0);
	payload = ipv6_payload_len(&h, size);
	FUZZ_CHECK(payload == WIRE_BAD_LENGTH || (payload >= 0 && (size_t)(len + payload) <= size));
	check_walk(h.next_header, data + len, size - (size_t)len);
	check_frag_emit(h.next_header, data + len, size - (size_t)len);
	return 0;
}
