/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_wire_ipv4.c - IPv4 headers. One that parses is written back byte for byte, but for the
 * checksum, which is then right.
 */
#include "wire/ipv4.h"

#include "fuzz.h"

static void check_emit(const struct ipv4_hdr *h, const uint8_t *data, size_t len)
{
	uint8_t bytes[IPV4_MAX_HDR_LEN];

	FUZZ_CHECK(ipv4_emit(h, bytes, len - 1) == 0);
	FUZZ_CHECK(ipv4_emit(h, bytes, len) == len);
	FUZZ_CHECK(ipv4_checksum_ok(bytes, len));
	FUZZ_CHECK(memcmp(bytes, data, 10) == 0);
	FUZZ_CHECK(memcmp(bytes + 12, data + 12, len - 12) == 0);
	/* 0 and 0xffff are the same number in the checksum's arithmetic. */
	if (ipv4_checksum_ok(data, len) && h->checksum != 0xffff)
		FUZZ_CHECK(memcmp(bytes, data, len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipv4_hdr h = { 0 };
	int payload, len = ipv4_parse(&h, data, size);

	if (len < 0) {
		FUZZ_CHECK(len == WIRE_TRUNCATED || len == WIRE_BAD_VERSION ||
			   len == WIRE_BAD_LENGTH || len == WIRE_BAD_OPTION);
		FUZZ_CHECK(len != WIRE_TRUNCATED || size < IPV4_MAX_HDR_LEN);
		return 0;
	}
	FUZZ_CHECK((size_t)len <= size && len == h.hdr_len);
	FUZZ_CHECK(len >= IPV4_HDR_LEN && len <= IPV4_MAX_HDR_LEN && len % 4 == 0);
	FUZZ_CHECK(h.frag_offset % 8 == 0);
	FUZZ_CHECK((h.options != NULL) == (len > IPV4_HDR_LEN));
	FUZZ_CHECK(ip_addr_is_v4(&h.src) && ip_addr_is_v4(&h.dst));
	payload = ipv4_payload_len(&h, size);
	FUZZ_CHECK(payload == WIRE_BAD_LENGTH || (payload >= 0 && (size_t)(len + payload) <= size));
	check_emit(&h, data, (size_t)len);
	return 0;
}
