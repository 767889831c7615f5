/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ip_internal.h - between the files of this room.
 */
#ifndef FSOCK_IP_IP_INTERNAL_H
#define FSOCK_IP_IP_INTERNAL_H

struct ip_stack;

/* Make every template of the port's destinations rebuild before its next use. */
void ip_dst_spoil_port(struct ip_stack *ip, unsigned port);

#endif
