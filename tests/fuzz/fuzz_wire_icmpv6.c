/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_wire_icmpv6.c - ICMPv6 headers, written back byte for byte.
 */
#include "wire/icmpv6.h"

#include <string.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t bytes[ICMPV6_HDR_LEN];
	struct icmpv6_hdr h;
	int len = icmpv6_parse(&h, data, size);

	if (len < 0) {
		FUZZ_CHECK(len == WIRE_TRUNCATED && size < ICMPV6_HDR_LEN);
		return 0;
	}
	FUZZ_CHECK(len == ICMPV6_HDR_LEN);
	FUZZ_CHECK(icmpv6_is_error(h.type) == !(data[0] & 0x80));
	FUZZ_CHECK(icmpv6_emit(&h, bytes, sizeof(bytes)) == ICMPV6_HDR_LEN);
	FUZZ_CHECK(memcmp(bytes, data, ICMPV6_HDR_LEN) == 0);
	return 0;
}
