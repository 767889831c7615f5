/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_wire_icmp.c - ICMP headers and quoted datagrams of both families. The header is written back
 * byte for byte; ports are given only where they were quoted.
 */
#include "wire/icmp.h"

#include <string.h>

#include "base/endian.h"
#include "fuzz.h"
#include "wire/protocol.h"

static void check_original(bool v6, const uint8_t *data, size_t size)
{
	struct icmp_original o;
	int at = icmp_original_parse(&o, v6, data, size);

	if (at < 0) {
		FUZZ_CHECK(at == WIRE_TRUNCATED || at == WIRE_BAD_VERSION ||
			   at == WIRE_BAD_LENGTH || at == WIRE_BAD_OPTION ||
			   at == WIRE_UNSUPPORTED);
		return;
	}
	FUZZ_CHECK((size_t)at <= size && at == o.l4_offset && data[0] >> 4 == (v6 ? 6 : 4));
	if (!o.has_ports) {
		FUZZ_CHECK(o.src_port == 0 && o.dst_port == 0);
		return;
	}
	FUZZ_CHECK(o.protocol == WIRE_PROTO_UDP || o.protocol == WIRE_PROTO_TCP);
	FUZZ_CHECK((size_t)at + ICMP_QUOTED_L4 <= size);
	FUZZ_CHECK(o.src_port == be16_load(data + at) && o.dst_port == be16_load(data + at + 2));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t bytes[ICMP_HDR_LEN];
	struct icmp_hdr h;
	int len = icmp_parse(&h, data, size);

	if (len < 0) {
		FUZZ_CHECK(len == WIRE_TRUNCATED && size < ICMP_HDR_LEN);
		return 0;
	}
	FUZZ_CHECK(len == ICMP_HDR_LEN);
	FUZZ_CHECK(icmp_emit(&h, bytes, sizeof(bytes)) == ICMP_HDR_LEN);
	FUZZ_CHECK(memcmp(bytes, data, ICMP_HDR_LEN) == 0);
	check_original(false, data + len, size - (size_t)len);
	check_original(true, data + len, size - (size_t)len);
	return 0;
}
