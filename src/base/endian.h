/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * endian.h - integers in network byte order as types of their own.
 *
 * Does:     be16_t, be32_t, be64_t: single-member structs, so that a forgotten swap, a comparison
 *           with a host-order number or arithmetic on the raw value fails to compile. Loads and
 *           stores at any alignment.
 * Does not: parse headers (src/wire does).
 * Threads:  any, pure values.
 *
 * Two ways to use it: a layout struct with be*_t members (be16_get(h->port)), or bytes at an address
 * (be16_load(p + 2)). be*_t members want natural alignment; loads and stores do not.
 */
#ifndef FSOCK_BASE_ENDIAN_H
#define FSOCK_BASE_ENDIAN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* raw: the bytes as they lie in memory. Nobody but this header and csum.h looks at it. */
typedef struct {
	uint16_t raw;
} be16_t;

typedef struct {
	uint32_t raw;
} be32_t;

typedef struct {
	uint64_t raw;
} be64_t;

/* inline definitions */

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define FS_BE16(x) __builtin_bswap16(x)
#define FS_BE32(x) __builtin_bswap32(x)
#define FS_BE64(x) __builtin_bswap64(x)
#else
#define FS_BE16(x) ((uint16_t)(x))
#define FS_BE32(x) ((uint32_t)(x))
#define FS_BE64(x) ((uint64_t)(x))
#endif

static inline be16_t be16_make(uint16_t host)
{
	return (be16_t){ FS_BE16(host) };
}

static inline be32_t be32_make(uint32_t host)
{
	return (be32_t){ FS_BE32(host) };
}

static inline be64_t be64_make(uint64_t host)
{
	return (be64_t){ FS_BE64(host) };
}

static inline uint16_t be16_get(be16_t net)
{
	return FS_BE16(net.raw);
}

static inline uint32_t be32_get(be32_t net)
{
	return FS_BE32(net.raw);
}

static inline uint64_t be64_get(be64_t net)
{
	return FS_BE64(net.raw);
}

static inline bool be16_equal(be16_t a, be16_t b)
{
	return a.raw == b.raw;
}

static inline bool be32_equal(be32_t a, be32_t b)
{
	return a.raw == b.raw;
}

/* Host-order value of the network-order bytes at @p. */
static inline uint16_t be16_load(const void *p)
{
	be16_t net;

	memcpy(&net, p, sizeof(net));
	return be16_get(net);
}

static inline uint32_t be32_load(const void *p)
{
	be32_t net;

	memcpy(&net, p, sizeof(net));
	return be32_get(net);
}

static inline uint64_t be64_load(const void *p)
{
	be64_t net;

	memcpy(&net, p, sizeof(net));
	return be64_get(net);
}

/* Write @host to @p in network order. */
static inline void be16_store(void *p, uint16_t host)
{
	be16_t net = be16_make(host);

	memcpy(p, &net, sizeof(net));
}

static inline void be32_store(void *p, uint32_t host)
{
	be32_t net = be32_make(host);

	memcpy(p, &net, sizeof(net));
}

static inline void be64_store(void *p, uint64_t host)
{
	be64_t net = be64_make(host);

	memcpy(p, &net, sizeof(net));
}

#endif
