/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_wire_arp.c - ARP. A packet that parses is written back byte for byte.
 */
#include "wire/arp.h"

#include <string.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t bytes[ARP_LEN];
	struct arp_hdr h;
	int len = arp_parse(&h, data, size);

	if (len < 0) {
		FUZZ_CHECK((len == WIRE_TRUNCATED) == (size < ARP_LEN));
		FUZZ_CHECK(len == WIRE_TRUNCATED || len == WIRE_UNSUPPORTED ||
			   len == WIRE_BAD_LENGTH);
		return 0;
	}
	FUZZ_CHECK(len == ARP_LEN && size >= ARP_LEN);
	FUZZ_CHECK(ip_addr_is_v4(&h.sender_ip) && ip_addr_is_v4(&h.target_ip));
	FUZZ_CHECK(arp_emit(&h, bytes, sizeof(bytes)) == ARP_LEN);
	FUZZ_CHECK(memcmp(bytes, data, ARP_LEN) == 0);
	return 0;
}
