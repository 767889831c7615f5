/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bytes.h - unaligned big-endian fields of packets, and the errors of every parser in this room.
 *
 * Does:     load and store 16- and 32-bit fields at any address; name what can be wrong with bytes.
 * Does not: check bounds: the caller has compared lengths before.
 * Threads:  any.
 */
#ifndef FSOCK_WIRE_BYTES_H
#define FSOCK_WIRE_BYTES_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * What a parser returns instead of a header length. All negative, all distinct; the values are
 * errno's so that they may travel as results of other calls.
 */
enum wire_error {
	WIRE_TRUNCATED = -ENODATA,	 /* fewer bytes than the header needs */
	WIRE_BAD_VERSION = -EPFNOSUPPORT, /* version or address family field is not this header's */
	WIRE_BAD_LENGTH = -EMSGSIZE,	 /* a length field contradicts the header or the packet */
	WIRE_BAD_OPTION = -EBADMSG,	 /* an option or extension is malformed */
	WIRE_BAD_CHECKSUM = -EILSEQ,	 /* the sum over the header is wrong */
	WIRE_UNSUPPORTED = -EOPNOTSUPP,	 /* well formed, but nothing this stack handles */
};

/* inline definitions */

static inline uint16_t wire_get16(const uint8_t *p)
{
	return (uint16_t)((uint16_t)p[0] << 8 | p[1]);
}

static inline uint32_t wire_get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void wire_put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void wire_put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

#endif
