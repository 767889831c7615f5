/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * addr.h - IP and link addresses as values.
 *
 * One form for both families: IPv4 lives as ::ffff:a.b.c.d, so that a dual-stack socket's look-up,
 * hash and comparison need no second case. Bytes are in network order throughout.
 * Threads: any, pure values.
 */
#ifndef FSOCK_BASE_ADDR_H
#define FSOCK_BASE_ADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct ip_addr {
	union {
		uint8_t b[16]; /* network order */
		uint32_t w[4]; /* as loaded from memory: compare and copy only */
		uint64_t d[2];
	};
};

struct eth_addr {
	uint8_t b[6];
};

/* inline definitions */

static inline struct ip_addr ip_addr_v4(const void *four_bytes)
{
	struct ip_addr a = { .b = { [10] = 0xff, [11] = 0xff } };

	memcpy(a.b + 12, four_bytes, 4);
	return a;
}

static inline struct ip_addr ip_addr_v6(const void *sixteen_bytes)
{
	struct ip_addr a;

	memcpy(a.b, sixteen_bytes, 16);
	return a;
}

static inline bool ip_addr_is_v4(const struct ip_addr *a)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	return memcmp(a->b, mapped, sizeof(mapped)) == 0;
}

static inline bool ip_addr_equal(const struct ip_addr *a, const struct ip_addr *b)
{
	return a->d[0] == b->d[0] && a->d[1] == b->d[1];
}

/* :: or 0.0.0.0 */
static inline bool ip_addr_is_any(const struct ip_addr *a)
{
	return a->d[0] == 0 && (a->d[1] == 0 || (ip_addr_is_v4(a) && a->w[3] == 0));
}

static inline bool ip_addr_is_multicast(const struct ip_addr *a)
{
	return ip_addr_is_v4(a) ? (a->b[12] & 0xf0) == 0xe0 : a->b[0] == 0xff;
}

/* 127.0.0.0/8 or ::1 */
static inline bool ip_addr_is_loopback(const struct ip_addr *a)
{
	static const struct ip_addr one = { .b = { [15] = 1 } };

	return ip_addr_is_v4(a) ? a->b[12] == 127 : ip_addr_equal(a, &one);
}

static inline bool ip_addr_is_link_local(const struct ip_addr *a)
{
	return ip_addr_is_v4(a) ? a->b[12] == 169 && a->b[13] == 254
				: a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

#endif
