/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_provider_packet.c - any bytes in a slot of a packet socket's ring: a frame that lies in the slot,
 * or none.
 */
#include <string.h>

#include "base/fbuf.h"
#include "fuzz.h"
#include "provider/packet/packet_ring.h"

enum { SLOT = 2048 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_Alignas(16) uint8_t memory[SLOT] = { 0 };
	struct packet_slot slot;
	struct packet_meta meta;
	uint32_t sum = 0;

	memcpy(memory, data, size < SLOT ? size : SLOT);
	if (packet_slot_read((const void *)memory, SLOT, &slot) < 0)
		return 0;
	FUZZ_CHECK(slot.total > 0);
	if (slot.queued) {
		FUZZ_CHECK(slot.len == 0);
		return 0;
	}
	FUZZ_CHECK(slot.len == slot.total && slot.len <= SLOT);
	FUZZ_CHECK(slot.frame >= memory && slot.frame + slot.len <= memory + SLOT);
	for (uint32_t i = 0; i < slot.len; i++)
		sum += slot.frame[i];
	FUZZ_CHECK(sum <= 255 * slot.len);
	if (packet_meta_read(&slot.vnet, slot.total, &meta) < 0)
		return 0;
	FUZZ_CHECK(meta.csum <= FBUF_CSUM_PARTIAL && meta.gso_size < slot.total);
	return 0;
}
