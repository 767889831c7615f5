/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_wire_udp.c - UDP headers, written back byte for byte.
 */
#include "wire/udp.h"

#include <string.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t bytes[UDP_HDR_LEN];
	struct udp_hdr h;
	int payload, len = udp_parse(&h, data, size);

	if (len < 0) {
		FUZZ_CHECK(len == (size < UDP_HDR_LEN ? WIRE_TRUNCATED : WIRE_BAD_LENGTH));
		return 0;
	}
	FUZZ_CHECK(len == UDP_HDR_LEN && size >= UDP_HDR_LEN && h.len >= UDP_HDR_LEN);
	FUZZ_CHECK(udp_emit(&h, bytes, sizeof(bytes)) == UDP_HDR_LEN);
	FUZZ_CHECK(memcmp(bytes, data, UDP_HDR_LEN) == 0);
	payload = udp_payload_len(&h, size);
	FUZZ_CHECK((payload == WIRE_BAD_LENGTH) == (h.len > size));
	FUZZ_CHECK(payload < 0 || (size_t)(len + payload) <= size);
	return 0;
}
