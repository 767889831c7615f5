/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_wire_eth.c - link headers. A header that parses is written back byte for byte.
 */
#include "wire/eth.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t bytes[ETH_MAX_HDR_LEN];
	struct eth_hdr h;
	int len = eth_parse(&h, data, size);

	if (len < 0) {
		FUZZ_CHECK(len == WIRE_TRUNCATED || len == WIRE_UNSUPPORTED);
		FUZZ_CHECK(len != WIRE_TRUNCATED || size < ETH_MAX_HDR_LEN);
		return 0;
	}
	FUZZ_CHECK((size_t)len <= size);
	FUZZ_CHECK(h.n_tags <= ETH_MAX_TAGS && !eth_type_is_tag(h.type) && h.type >= ETH_TYPE_MIN);
	FUZZ_CHECK(eth_emit_len(&h) == (size_t)len);
	FUZZ_CHECK(eth_emit(&h, bytes, (size_t)len - 1) == 0);
	FUZZ_CHECK(eth_emit(&h, bytes, (size_t)len) == (size_t)len);
	FUZZ_CHECK(memcmp(bytes, data, (size_t)len) == 0);
	return 0;
}
