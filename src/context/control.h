/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control.h - control messages of the fast path (cmsg(3)): those a socket asked for with what it
 * receives, and those a program gives with what it sends.
 *
 * Does:     received ones in the kernel's layout, order and truncation; sent ones that concern route and
 *           headers: IP_PKTINFO, IP_TOS, IP_TTL, their IPv6 twins, UDP_SEGMENT; SO_TIMESTAMPING.
 * Does not: know any other; a datagram sent with one takes the shadow, whose kernel knows them all.
 * Threads:  holder of the stack's lock.
 * Errors:   none; what is irregular is left to the kernel, which has the errno.
 */
#ifndef FSOCK_CONTEXT_CONTROL_H
#define FSOCK_CONTEXT_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "context/datagram.h"
#include "context/internal.h"

/* Room for control messages, and MSG_CTRUNC once it did not do. */
struct control_writer {
	uint8_t *at;
	size_t room;
	int flags;
};

/* One message, as the kernel's put_cmsg(). */
void control_write(struct control_writer *w, int level, int type, const void *data, size_t len);

/* What @s wants to know of addresses and headers of @f. @own: the address an answer would come from; NULL =
 * the one it was sent to. */
void control_put_network(const struct sock *s, const struct fbuf *f, const struct ip_addr *own,
			 struct control_writer *w);

/* The message at *@at of @len bytes; false: no further one, or (*@bad) nonsense. */
bool control_next(const uint8_t *bytes, size_t len, size_t *at, struct cmsghdr *head, bool *bad);

/* The payload, at least @len bytes, of the next IP_RECVERR or IPV6_RECVERR in what was received from *@at
 * on; NULL = none. */
uint8_t *control_next_error(const struct datagram *d, size_t *at, size_t len);

/*
 * Write what @s wants to know of the datagram @f into d->control; sets d->control_len to the bytes used,
 * and MSG_CTRUNC in d->msg_flags where the room did not do. @segment: UDP_GRO's size, 0 = one datagram.
 */
void control_put(struct sock *s, struct fbuf *f, uint32_t segment, struct datagram *d);

/* How one datagram goes out: as the socket's options say, changed by its control messages. */
struct control {
	struct udp_style style;
	struct context_choice choice;
	bool rerouted;	  /* choice differs from the socket's */
	bool headers;	  /* there was a message that concerns more than stamps */
	uint32_t stamps;  /* STAMP_TX_RECORD: what to report of it */
	uint32_t segment; /* UDP_SEGMENT; 0 = none */
};

/* The options of @s for a datagram of the family, and what d->control changes. False: the kernel's. */
bool control_get(const struct sock *s, const struct datagram *d, bool v6, struct control *out);

/* What of STAMP_TX_RECORD the shadow numbered @d for, which it sent. */
uint32_t control_stamps(const struct sock *s, const struct datagram *d);

/* A datagram of @s came by the shadow: its count of lost ones becomes that of both sides. */
void control_merge_drops(struct sock *s, struct datagram *d);

#endif
