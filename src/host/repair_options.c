/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * repair_options.c - options of a connection that the kernel takes over, set on its socket.
 *
 * A shadow that a program has a descriptor of has them already; one made for an accepted connection has none.
 * Not here: SO_REUSEADDR (repair.c), SO_PEEK_OFF and time-outs of calls, which are the descriptor's.
 */
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/tcp.h>
#include <string.h>

#include "base/err.h"
#include "host/repair.h"
#include "host/repair_internal.h"
#include "sys/sys.h"
#include "tcp/snapshot.h"

static void set(int fd, int level, int option, int64_t value)
{
	int v = (int)value;

	sys_setsockopt(fd, level, option, &v, sizeof(v));
}

/* 0 = the program did not ask. */
static void set_if(int fd, int level, int option, int64_t value)
{
	if (value != 0)
		set(fd, level, option, value);
}

/* An orphan's close must neither wait nor reset. */
static void set_linger(int fd, const struct tcp_snapshot *s)
{
	bool on = s->options.linger_s >= 0 && !(s->flags & TCP_SNAPSHOT_ORPHAN);
	const struct linger linger = { .l_onoff = on, .l_linger = on ? s->options.linger_s : 0 };

	sys_setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static void set_tcp(int fd, const struct tcp_options *o)
{
	set(fd, IPPROTO_TCP, TCP_NODELAY, o->nodelay);
	set(fd, IPPROTO_TCP, TCP_CORK, o->cork);
	set_if(fd, IPPROTO_TCP, TCP_KEEPIDLE, o->keep_idle_s);
	set_if(fd, IPPROTO_TCP, TCP_KEEPINTVL, o->keep_interval_s);
	set_if(fd, IPPROTO_TCP, TCP_KEEPCNT, o->keep_count);
	set_if(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, o->user_timeout_ms);
	set_if(fd, IPPROTO_TCP, TCP_LINGER2, o->linger2_s);
	set_if(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, o->window_clamp);
	/* For connecting it was the connection's MSS. */
	set(fd, IPPROTO_TCP, TCP_MAXSEG, o->mss);
	if (o->quickack_off)
		set(fd, IPPROTO_TCP, TCP_QUICKACK, 0);
}

/* IPv6's are an error, or without effect, on a socket of IPv4. */
static void set_ip(int fd, const struct tcp_options *o)
{
	set_if(fd, IPPROTO_IP, IP_TOS, o->style[0].tos);
	set_if(fd, IPPROTO_IP, IP_TTL, o->style[0].hop_limit);
	set_if(fd, IPPROTO_IPV6, IPV6_TCLASS, o->style[1].tos);
	set_if(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, o->style[1].hop_limit);
	if (o->recverr) {
		set(fd, IPPROTO_IP, IP_RECVERR, 1);
		set(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
	}
}

void host_repair_options(int fd, const struct host_repair *repair)
{
	const struct tcp_options *o = &repair->snap->options;

	if (repair->congestion)
		sys_setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, repair->congestion, (socklen_t)strlen(repair->congestion));
	set_tcp(fd, o);
	set_ip(fd, o);
	set(fd, SOL_SOCKET, SO_KEEPALIVE, o->keepalive);
	set(fd, SOL_SOCKET, SO_OOBINLINE, o->oob_inline);
	set_if(fd, SOL_SOCKET, SO_RCVLOWAT, o->rcvlowat);
	set_if(fd, SOL_SOCKET, SO_MAX_PACING_RATE, o->max_pacing_rate);
	set_linger(fd, repair->snap);
}

/* The kernel doubles what it is given and reports the double, which is what options hold. Where the program did not
 * say, the kernel goes on tuning. */
void host_repair_limits(int fd, const struct tcp_snapshot *snap)
{
	const struct tcp_options *o = &snap->options;

	if (o->sndbuf)
		set(fd, SOL_SOCKET, SO_SNDBUFFORCE, o->sndbuf / 2);
	if (o->rcvbuf)
		set(fd, SOL_SOCKET, SO_RCVBUFFORCE, o->rcvbuf / 2);
	set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, o->notsent_lowat);
}
