/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * superframe.c - which segments leave as one frame, and when it waits to become larger.
 *
 * A frame costs as much as thousands of bytes do, be it full or not: the system call, the receiver's softirq, an ACK.
 * Not here: whether anything may leave at all (output.c).
 */
#include "tcp/output_internal.h"

enum {
	DEFER_PART = 3, /* a super-frame that could be longer does not wait for more than 1/3 of the window */
};

/* How much one frame may take, beside its first segment. */
struct limits {
	uint32_t bytes, segments;
};

static struct limits frame_limits(const struct tcp_conn *c, const struct ip_dst *dst, uint32_t bytes, uint32_t segments)
{
	const struct ip_port *port = &c->stack->ip->port[dst->port];
	uint32_t headers = (uint32_t)dst->header_len + TCP_HDR_LEN + TCP_TS_LAYOUT_LEN;
	uint32_t most = c->mss, parts = tcp_parts_of(c, dst);

	/* One urgent pointer and one CWR for many segments would be wrong for all but the first. */
	if (port->tcp_gso > headers + 2 * most && !tcp_has(c, TCP_CONN_URG_OUT | TCP_CONN_CWR_PENDING)) {
		most = port->tcp_gso - headers;
		parts = FS_MAX(port->gso_parts, (uint8_t)1);
	}
	return (struct limits){ FS_MIN(most, bytes), FS_MIN(parts, segments) };
}

struct fbuf *tcp_run_gather(const struct tcp_conn *c, const struct ip_dst *dst, struct tcp_run *run, uint32_t bytes,
			    uint32_t segments, bool hold)
{
	struct limits may = frame_limits(c, dst, bytes, segments);
	struct fbuf *f = tcp_seg(run->first)->next;

	for (; f && run->n < may.segments; f = tcp_seg(f)->next) {
		const struct tcp_seg *s = tcp_seg(f);

		if (run->len + s->len > may.bytes || tcp_is_held_back(c, f, hold))
			break;
		run->n++;
		run->len += s->len;
	}
	return f;
}

bool tcp_run_waits_for_window(const struct tcp_conn *c, const struct ip_dst *dst, const struct tcp_run *run, uint32_t may,
			      struct fbuf *behind)
{
	struct limits most = frame_limits(c, dst, UINT32_MAX, UINT32_MAX);
	uint32_t full = FS_MIN(most.segments, most.bytes / c->mss);
	uint32_t window = FS_MIN(c->cc.cwnd, c->snd_wnd / c->mss);

	if (run->n >= full || window < 2 * full || run->n > window / DEFER_PART || c->packets_out < full ||
	    c->cc.ca_state != TCP_CA_OPEN || tcp_has(c, TCP_CONN_PUSH_ALL))
		return false;
	/* Behind it is a full segment, which only the windows keep from joining. */
	return tcp_seg_is_full(c, behind) &&
	       (run->n >= may || tcp_window_from(c, c->snd_nxt + run->len + c->mss) < 0);
}
