/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * local_pcap.h - what connections by links carry, as packets of TCP in a file that tcpdump(8) and wireshark read: pcapng
 * (draft-ietf-opsawg-pcapng), frames as of the loopback interface, times of the wall clock.
 *
 * Each process appends to its file: sections of the same form, which may lie in any order, and packets that refer to any
 * of them. So relatives, and programs one after the other, share one. A packet is written as its bytes are sent, or
 * received; sums are right, sequence numbers of one connection follow each other, windows mean nothing.
 *
 * Does:     open, write. A file that does not take more is closed, once, with a word in the log.
 * Does not: keep what it writes.
 * Threads:  holder of the stack's lock only.
 */
#ifndef FSOCK_CONTEXT_LOCAL_PCAP_H
#define FSOCK_CONTEXT_LOCAL_PCAP_H

#include <stdint.h>

struct local_conn;
struct local_segment;

enum {
	LOCAL_PCAP_MSS = 32768,	   /* of the packets */
	LOCAL_PCAP_SNAP_MIN = 128, /* headers, and some */
};

/* Zeroed: nothing is captured. */
struct local_pcap {
	int fd;	       /* 0 = off */
	uint32_t snap; /* bytes of a packet that are kept */
};

/* Capture to @path, behind what it has. 0; -EINVAL: it is something else than a capture; -EFBIG: beyond RLIMIT_FSIZE;
 * -errno. On failure @pcap is off. */
int local_pcap_open(struct local_pcap *pcap, const char *path, uint32_t snap, int fd_floor);

/* @segment of @conn was seen at @now, ns of the wall clock. 0, or as above, and @pcap is off then. */
int local_pcap_write(struct local_pcap *pcap, const struct local_conn *conn, const struct local_segment *segment,
		     uint64_t now);

#endif
