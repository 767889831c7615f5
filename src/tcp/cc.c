/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cc.c - the table of congestion controls, made from cc.def, and the arithmetic several of them share.
 *
 * Knows none of them but by name (cc_NAME.c).
 * Standards: RFC 5681 3.1, RFC 6928 2.
 */
#include "tcp/cc.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"

/* The test of the plug point compiles this file with a longer list. */
#ifndef TCP_CC_DEF
#define TCP_CC_DEF "tcp/cc.def"
#endif

#define CC(name) extern const struct tcp_cc_ops tcp_cc_##name;
#include TCP_CC_DEF
#undef CC

#define CC(name) &tcp_cc_##name,
const struct tcp_cc_ops *const tcp_cc_table[] = {
#include TCP_CC_DEF
};
#undef CC

unsigned tcp_cc_count(void)
{
	return FS_ARRAY_SIZE(tcp_cc_table);
}

const struct tcp_cc_ops *tcp_cc_at(unsigned algorithm)
{
	return algorithm < FS_ARRAY_SIZE(tcp_cc_table) ? tcp_cc_table[algorithm] : NULL;
}

/* @name is what a program gave to setsockopt(): @len bytes, with or without a NUL among them. */
static bool name_is(const char *ours, const char *name, size_t len)
{
	size_t i = 0;

	while (i < len && ours[i] != '\0' && ours[i] == name[i])
		i++;
	return ours[i] == '\0' && i > 0 && (i == len || name[i] == '\0');
}

int tcp_cc_by_name(const char *name, size_t len)
{
	for (unsigned i = 0; i < FS_ARRAY_SIZE(tcp_cc_table); i++)
		if (name_is(tcp_cc_table[i]->name, name, len))
			return (int)i;
	return -ENOENT;
}

void tcp_cc_set(struct tcp_cc *cc, unsigned algorithm, fs_ns now)
{
	fs_assert(algorithm < FS_ARRAY_SIZE(tcp_cc_table));
	memset(cc->private, 0, sizeof(cc->private));
	cc->algorithm = (uint8_t)algorithm;
	cc->cwnd_count = 0;
	cc->pacing_rate = 0;
	cc->times_idle = false;
	tcp_cc_table[algorithm]->init(cc, now);
}

uint32_t tcp_cc_initial_window(uint32_t segments, uint32_t mss)
{
	/* RFC 6928 2: as many bytes as so many of Ethernet's segments have; two of any size. */
	uint32_t fit = mss == 0 ? segments : segments * TCP_CC_INITIAL_MSS / mss;

	return FS_MAX(FS_MIN(segments, FS_MAX(fit, 2U)), 1U);
}

/* DEVIATION: RFC 5681 3.1 recommends one segment at most per ACK, RFC 9406 eight without pacing. We grow by what
 * was acknowledged, as Linux does: receivers that take super-frames acknowledge 44 segments at once, and
 * counting ACKs would make slow start a crawl. Tested: tcp_cc_slow_start__stretch_ack. */
uint32_t tcp_cc_slow_start(struct tcp_cc *cc, uint32_t acked)
{
	uint32_t room = cc->ssthresh > cc->cwnd ? cc->ssthresh - cc->cwnd : 0;
	uint32_t grow = FS_MIN(acked, room);

	cc->cwnd = FS_MIN(cc->cwnd + FS_MIN(grow, (uint32_t)TCP_CWND_MAX), cc->clamp);
	return acked - grow;
}

void tcp_cc_avoid(struct tcp_cc *cc, uint32_t per, uint32_t acked)
{
	uint32_t more;

	/* @per may have fallen below what had been counted: that is one increment, not several. */
	if (cc->cwnd_count >= per) {
		cc->cwnd_count = 0;
		cc->cwnd++;
	}
	cc->cwnd_count += acked;
	more = cc->cwnd_count / per;
	cc->cwnd_count -= more * per;
	cc->cwnd = FS_MIN(cc->cwnd + more, cc->clamp);
}
