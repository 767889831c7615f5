/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * window.c - how much the peer may send: the window that is announced, and the receive buffer behind it.
 *
 * Half of the free buffer is window, since a frame is charged more than its bytes (recv.c); rcv_ssthresh holds
 * the window back while it is not known that the peer's segments use their frames well. The buffer follows
 * what the program reads in a round trip (dynamic right-sizing, as Linux does it).
 * Standards: RFC 9293 3.8.6 and 3.8.6.2.2 (Clark's algorithm against silly windows), RFC 7323 2.
 * Not here: when a window is worth an ACK of its own (delack.c).
 */
#include "base/err.h"
#include "tcp/conn.h"
#include "tcp/recv_internal.h"
#include "tcp/tcp_internal.h"

enum {
	WSCALE_MAX = 14, /* RFC 7323 2.3 */
	WINDOW_MAX = 65535,
	MSS_GUESS = 536, /* of the peer's segments, before one came: RFC 9293 3.7.1 */
	MSS_LEAST = 88,	 /* no estimate below: a window of one byte is not worth announcing */
	INITIAL_SEGMENTS = 10,
	/* A segment of at least this many bytes uses its frame well enough for the window to open. */
	WELL_FILLED = 512,
};

static inline uint32_t window_of(uint32_t space)
{
	return space / 2; /* see tcp_full_window() */
}

static inline uint32_t round_down(uint32_t n, unsigned shift)
{
	return n >> shift << shift;
}

static inline uint32_t round_up(uint32_t n, unsigned shift)
{
	return round_down(n + (1U << shift) - 1, shift);
}

static inline uint32_t free_window(const struct tcp_conn *c)
{
	uint32_t space = c->rcvbuf > c->rcv_charge ? c->rcvbuf - c->rcv_charge : 0;

	return FS_MIN(window_of(space), c->window_clamp);
}

static uint32_t clamp_of(const struct tcp_options *options)
{
	uint32_t clamp = (uint32_t)WINDOW_MAX << WSCALE_MAX;

	if (options->window_clamp)
		clamp = options->window_clamp;
	if (options->rcvbuf)
		clamp = FS_MIN(clamp, window_of(options->rcvbuf));
	return clamp;
}

struct tcp_rx_start tcp_rx_start(const struct tcp_config *config, const struct tcp_options *options, uint16_t mss,
				 bool scaling)
{
	uint32_t clamp = clamp_of(options);
	uint32_t space = FS_MIN(window_of(options->rcvbuf ? options->rcvbuf : config->rcvbuf[1]), clamp);
	uint32_t largest = FS_MIN(FS_MAX(space, config->rcvbuf[2]), clamp);
	struct tcp_rx_start start = { .window = FS_MIN(space, (uint32_t)WINDOW_MAX) };

	if (mss > 0 && start.window > mss)
		start.window -= start.window % mss;
	while (scaling && start.wscale < WSCALE_MAX && (uint32_t)WINDOW_MAX << start.wscale < largest)
		start.wscale++;
	return start;
}

void tcp_rx_begin(struct tcp_conn *c, fs_ns now)
{
	const struct tcp_config *config = &c->stack->config;
	struct tcp_rx_start start =
		tcp_rx_start(config, &c->options, c->advertised_mss, tcp_has(c, TCP_CONN_WSCALE));

	c->rcvbuf = c->options.rcvbuf ? c->options.rcvbuf : config->rcvbuf[1];
	c->rcv_wscale = start.wscale;
	c->window_clamp = FS_MIN(clamp_of(&c->options), (uint32_t)WINDOW_MAX << start.wscale);
	c->rcv_wnd = c->rcv_ssthresh = start.window;
	c->rcv_space_us = tcp_us(now);
}

void tcp_rx_synced(struct tcp_conn *c, tcp_seq irs)
{
	c->irs = irs;
	c->rcv_nxt = c->rcv_wup = c->copied_seq = c->last_ack_sent = irs + 1;
	c->rcv_up = irs;
}

void tcp_rx_established(struct tcp_conn *c, fs_ns now)
{
	uint32_t guess = FS_MIN((uint32_t)FS_MIN(c->advertised_mss, c->mss), c->rcv_wnd / 2);

	if (!tcp_has(c, TCP_CONN_WSCALE)) {
		c->snd_wscale = c->rcv_wscale = 0;
		c->window_clamp = FS_MIN(c->window_clamp, (uint32_t)WINDOW_MAX);
	}
	c->rcv_mss = (uint16_t)FS_MAX(FS_MIN(guess, (uint32_t)MSS_GUESS), (uint32_t)MSS_LEAST);
	c->rcv_ssthresh = FS_MIN(c->rcv_ssthresh, tcp_full_window(c));
	c->rcv_space = FS_MIN(FS_MIN(c->rcv_ssthresh, c->rcv_wnd), INITIAL_SEGMENTS * (uint32_t)c->advertised_mss);
	c->rcv_space = FS_MAX(c->rcv_space, 1U);
	c->rcv_space_seq = c->copied_seq;
	c->rcv_space_us = tcp_us(now);
	if (c->rtt.min_us != UINT32_MAX)
		c->rcv_rtt_us = FS_MAX(c->rtt.min_us, 1U);
}

/* Without scaling the field takes any number: whole segments, and no change for less than one. */
static __attribute__((noinline)) uint32_t whole_segments(const struct tcp_conn *c, uint32_t space, uint32_t mss, uint32_t full)
{
	uint32_t window = c->rcv_wnd;

	if (window + mss <= space || window > space)
		return space - space % mss;
	if (mss == full && space > window + full / 2)
		return space;
	return window;
}

/* Inline: every segment that leaves asks. */
static inline uint32_t select_window(const struct tcp_conn *c)
{
	uint32_t full = tcp_full_window(c);
	uint32_t mss = FS_MIN((uint32_t)c->rcv_mss, full);
	uint32_t space = free_window(c);

	if (mss == 0)
		return 0;
	if (space < full / 2) {
		/* Rounding up below must not make something of nothing. */
		space = round_down(space, c->rcv_wscale);
		if (space < full / 16 || space < mss)
			return 0;
	}
	space = FS_MIN(space, c->rcv_ssthresh);
	if (c->rcv_wscale)
		return round_up(space, c->rcv_wscale);
	return whole_segments(c, space, mss, full);
}

uint32_t tcp_select_window(const struct tcp_conn *c)
{
	return select_window(c);
}

uint16_t tcp_announce_window(struct tcp_conn *c, bool syn)
{
	uint32_t promised, window;

	if (__builtin_expect(syn, 0)) {
		c->rcv_wup = c->rcv_nxt;
		return (uint16_t)FS_MIN(c->rcv_wnd, (uint32_t)WINDOW_MAX);
	}
	if (__builtin_expect(tcp_is_memory_scarce(c), 0))
		c->rcv_ssthresh = FS_MIN(c->rcv_ssthresh, 4 * (uint32_t)c->advertised_mss);
	promised = tcp_receive_window(c);
	window = select_window(c);
	/* What was promised stays promised (SHLD-14), and scaling loses the low bits: up, not down. */
	if (window < promised)
		window = round_up(promised, c->rcv_wscale);
	window = FS_MIN(window, (uint32_t)WINDOW_MAX << c->rcv_wscale);
	c->rcv_wnd = window;
	c->rcv_wup = c->rcv_nxt;
	return (uint16_t)(window >> c->rcv_wscale);
}

bool tcp_window_opened(const struct tcp_conn *c)
{
	uint32_t promised = tcp_receive_window(c);
	uint32_t window;

	if (!tcp_window_is_low(c))
		return false;
	window = tcp_select_window(c);
	return window > 0 && window >= 2 * promised;
}

void tcp_window_grow(struct tcp_conn *c, uint32_t len)
{
	uint32_t space = free_window(c);

	if (len < WELL_FILLED || space <= c->rcv_ssthresh || tcp_is_memory_scarce(c))
		return;
	c->rcv_ssthresh += FS_MIN(space - c->rcv_ssthresh, FS_MAX(2 * (uint32_t)c->advertised_mss, 2 * len));
}

/*
 * Dynamic right-sizing: once a round trip, if the program read more than in any round before, the window becomes
 * twice that, and more while it grows, so that it does not bound a sender in slow start.
 */
void tcp_window_adapt(struct tcp_conn *c, fs_ns now)
{
	uint32_t copied = c->copied_seq - c->rcv_space_seq;

	if (c->rcv_rtt_us == 0)
		return;
	if (copied > c->rcv_space) {
		uint64_t window = 2 * (uint64_t)copied + 16 * (uint64_t)c->advertised_mss;

		window += 2 * (window * (copied - c->rcv_space) / c->rcv_space);
		if (!c->options.rcvbuf)
			c->rcvbuf = FS_MAX(c->rcvbuf,
					   (uint32_t)FS_MIN(2 * window, (uint64_t)c->stack->config.rcvbuf[2]));
		c->rcv_space = copied;
	}
	tcp_rx_round(c, now);
}
