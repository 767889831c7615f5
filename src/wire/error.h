/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * error.h - what a parser of this room returns instead of a header length.
 *
 * All negative, all distinct; the values are errno's so that they may travel as results of other
 * calls. A parser looks at lengths first: whatever it returns, it has read no byte beyond them.
 */
#ifndef FSOCK_WIRE_ERROR_H
#define FSOCK_WIRE_ERROR_H

#include <errno.h>

enum wire_error {
	WIRE_TRUNCATED = -ENODATA,	  /* fewer bytes than the header needs */
	WIRE_BAD_VERSION = -EPFNOSUPPORT, /* version field is not this header's */
	WIRE_BAD_LENGTH = -EMSGSIZE,	  /* a length field contradicts the header or the packet */
	WIRE_BAD_OPTION = -EBADMSG,	  /* an option or extension is malformed */
	WIRE_UNSUPPORTED = -EOPNOTSUPP,	  /* well formed, but nothing this stack handles */
};

#endif
