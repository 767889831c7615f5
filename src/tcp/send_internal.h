/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * send_internal.h - what send.c and lone.c agree on.
 */
#ifndef FSOCK_TCP_SEND_INTERNAL_H
#define FSOCK_TCP_SEND_INTERNAL_H

enum {
	/* What a segment costs beside its payload: its description and the room in front. Linux counts some
	 * more for each; a buffer of given size holds about as much here. */
	TCP_SEG_OVERHEAD = 256,
};

#endif
