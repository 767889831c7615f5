/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream_option.c - options of TCP sockets: the shadow has them first, the engine follows.
 *
 * Values are read back from the shadow, which has checked, doubled and clamped them as the kernel does; what is on or off
 * is what the program gave. (Two threads that set such a one at once may so leave shadow and engine with one value each.)
 */
#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>

#include "base/reason.h"
#include "context/handover.h"
#include "context/stream_internal.h"
#include "socket/opts.h"
#include "sys/sys.h"
#include "tcp/cc.h"

/* <netinet/tcp.h> and <linux/tcp.h> meet names of the engine's; the numbers are the kernel's ABI. */
enum {
	OPT_NODELAY = 1,
	OPT_MAXSEG = 2,
	OPT_CORK = 3,
	OPT_KEEPIDLE = 4,
	OPT_KEEPINTVL = 5,
	OPT_KEEPCNT = 6,
	OPT_SYNCNT = 7,
	OPT_LINGER2 = 8,
	OPT_DEFER_ACCEPT = 9,
	OPT_WINDOW_CLAMP = 10,
	OPT_INFO = 11,
	OPT_QUICKACK = 12,
	OPT_CONGESTION = 13,
	OPT_MD5SIG = 14,
	OPT_THIN_LINEAR_TIMEOUTS = 16,
	OPT_THIN_DUPACK = 17,
	OPT_USER_TIMEOUT = 18,
	OPT_REPAIR = 19,
	OPT_FASTOPEN = 23,
	OPT_TIMESTAMP = 24,
	OPT_NOTSENT_LOWAT = 25,
	OPT_SAVE_SYN = 27,
	OPT_FASTOPEN_CONNECT = 30,
	OPT_ULP = 31,
	OPT_MD5SIG_EXT = 32,
	OPT_FASTOPEN_KEY = 33,
	OPT_FASTOPEN_NO_COOKIE = 34,
	OPT_ZEROCOPY_RECEIVE = 35,
	OPT_TX_DELAY = 37,
	OPT_AO_ADD_KEY = 38,
	OPT_RCVTIMEO_OLD = 20,
	OPT_SNDTIMEO_OLD = 21,
	OPT_RCVTIMEO_NEW = 66,
	OPT_SNDTIMEO_NEW = 67,
	OPT_ADDRFORM = 1, /* of IPv6 */
	OPT_STAMP_OLD = 29,
	OPT_STAMPNS_OLD = 35,
	OPT_STAMPING_OLD = 37,
	OPT_STAMP_NEW = 63,
	OPT_STAMPNS_NEW = 64,
	OPT_STAMPING_NEW = 65,
	OPT_TXREHASH = 74,
	CONGESTION_NAME = 16,
	ZEROCOPY_RECEIVE_LEAST = 12,
	ZEROCOPY_RECEIVE_MOST = 4096,
};

#define PRESETS_FRESH FS_SEC(1)

/* --- reading back --- */

static int read_int(int fd, int level, int name, int otherwise)
{
	int v = otherwise;
	socklen_t len = sizeof(v);

	return sys_getsockopt(fd, level, name, &v, &len) == 0 ? v : otherwise;
}

static fs_ns read_timeout(int fd, int name)
{
	struct timeval tv = { 0 };
	socklen_t len = sizeof(tv);

	return sys_getsockopt(fd, SOL_SOCKET, name, &tv, &len) < 0 ? 0 : fs_span(tv.tv_sec, FS_US(tv.tv_usec));
}

static int32_t read_linger(int fd)
{
	struct linger l = { 0 };
	socklen_t len = sizeof(l);

	sys_getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &len);
	return l.l_onoff ? l.l_linger : -1;
}

static uint8_t read_congestion(int fd, uint8_t otherwise)
{
	char name[CONGESTION_NAME + 1] = "";
	socklen_t len = CONGESTION_NAME;
	int found;

	if (sys_getsockopt(fd, IPPROTO_TCP, OPT_CONGESTION, name, &len) < 0)
		return otherwise;
	found = tcp_cc_by_name(name, strlen(name));
	return found < 0 ? otherwise : (uint8_t)found;
}

/* --- the table --- */

/* What an option is to the engine. */
enum act {
	SHADOW,	    /* nothing */
	DECLINE,    /* it cannot have it: the socket stays with the kernel, or moves there */
	DECLINE_SET, /* likewise, once the shadow has taken it */
	DECLINE_LISTENER, /* likewise, but a connection has nothing of it */
	STAMP,	    /* SO_TIMESTAMP and its kin */
	STAMPING,   /* SO_TIMESTAMPING: of what arrives; what leaves is the kernel's to tell */
	NODELAY, MAXSEG, CORK, KEEPIDLE, KEEPINTVL, KEEPCNT, SYNCNT, LINGER2, DEFER_ACCEPT, WINDOW_CLAMP, QUICKACK,
	CONGESTION, USER_TIMEOUT, FASTOPEN, NOTSENT_LOWAT, FASTOPEN_CONNECT, FASTOPEN_NO_COOKIE,
	SNDBUF, RCVBUF, RCVLOWAT, LINGER, KEEPALIVE, OOBINLINE, PACING, RCVTIMEO, SNDTIMEO, PEEK_OFF, MARK, DEVICE,
	REUSEADDR, REUSEPORT, ZEROCOPY, INQ, TOS, TCLASS, TTL, HOPS, V6ONLY, RECVERR, UNICAST_IF,
};

struct option {
	int level, name;
	enum act act;
	bool inherited; /* by the shadow of an accepted connection */
};

static const struct option options[] = {
	{ IPPROTO_TCP, OPT_NODELAY, NODELAY, true },
	{ IPPROTO_TCP, OPT_MAXSEG, MAXSEG, true },
	{ IPPROTO_TCP, OPT_CORK, CORK, true },
	{ IPPROTO_TCP, OPT_KEEPIDLE, KEEPIDLE, true },
	{ IPPROTO_TCP, OPT_KEEPINTVL, KEEPINTVL, true },
	{ IPPROTO_TCP, OPT_KEEPCNT, KEEPCNT, true },
	{ IPPROTO_TCP, OPT_SYNCNT, SYNCNT, true },
	{ IPPROTO_TCP, OPT_LINGER2, LINGER2, true },
	{ IPPROTO_TCP, OPT_DEFER_ACCEPT, DEFER_ACCEPT, true },
	{ IPPROTO_TCP, OPT_WINDOW_CLAMP, WINDOW_CLAMP, true },
	{ IPPROTO_TCP, OPT_QUICKACK, QUICKACK, false },
	{ IPPROTO_TCP, OPT_CONGESTION, CONGESTION, true },
	{ IPPROTO_TCP, OPT_USER_TIMEOUT, USER_TIMEOUT, true },
	{ IPPROTO_TCP, OPT_FASTOPEN, FASTOPEN, false },
	{ IPPROTO_TCP, OPT_FASTOPEN_KEY, SHADOW, false },
	{ IPPROTO_TCP, OPT_NOTSENT_LOWAT, NOTSENT_LOWAT, true },
	{ IPPROTO_TCP, OPT_FASTOPEN_CONNECT, FASTOPEN_CONNECT, false },
	{ IPPROTO_TCP, OPT_FASTOPEN_NO_COOKIE, FASTOPEN_NO_COOKIE, false },
	{ IPPROTO_TCP, OPT_TIMESTAMP, SHADOW, false },
	{ IPPROTO_TCP, OPT_TX_DELAY, DECLINE, false },
	{ IPPROTO_TCP, STREAM_OPT_INQ, INQ, true },
	{ IPPROTO_TCP, OPT_MD5SIG, DECLINE, false },
	{ IPPROTO_TCP, OPT_MD5SIG_EXT, DECLINE, false },
	{ IPPROTO_TCP, OPT_AO_ADD_KEY, DECLINE, false },
	{ IPPROTO_TCP, OPT_SAVE_SYN, DECLINE_LISTENER, false },
	{ IPPROTO_TCP, OPT_THIN_LINEAR_TIMEOUTS, SHADOW, true }, /* Linux's own; RFC 6298's timers stay */
	{ IPPROTO_TCP, OPT_THIN_DUPACK, SHADOW, true },		 /* nothing any more, in Linux either */
	{ IPPROTO_TCP, OPT_REPAIR, DECLINE, false },
	{ IPPROTO_TCP, OPT_ULP, DECLINE, false },

	{ SOL_SOCKET, SO_SNDBUF, SNDBUF, true },
	{ SOL_SOCKET, SO_SNDBUFFORCE, SNDBUF, false },
	{ SOL_SOCKET, SO_RCVBUF, RCVBUF, true },
	{ SOL_SOCKET, SO_RCVBUFFORCE, RCVBUF, false },
	{ SOL_SOCKET, SO_RCVLOWAT, RCVLOWAT, true },
	{ SOL_SOCKET, SO_LINGER, LINGER, true },
	{ SOL_SOCKET, SO_KEEPALIVE, KEEPALIVE, true },
	{ SOL_SOCKET, SO_OOBINLINE, OOBINLINE, true },
	{ SOL_SOCKET, SO_MAX_PACING_RATE, PACING, true },
	{ SOL_SOCKET, OPT_RCVTIMEO_OLD, RCVTIMEO, true },
	{ SOL_SOCKET, OPT_RCVTIMEO_NEW, RCVTIMEO, false },
	{ SOL_SOCKET, OPT_SNDTIMEO_OLD, SNDTIMEO, true },
	{ SOL_SOCKET, OPT_SNDTIMEO_NEW, SNDTIMEO, false },
	{ SOL_SOCKET, SO_PEEK_OFF, PEEK_OFF, false },
	{ SOL_SOCKET, SO_MARK, MARK, true },
	{ SOL_SOCKET, SO_BINDTODEVICE, DEVICE, false },
	{ SOL_SOCKET, SO_BINDTOIFINDEX, DEVICE, true },
	{ SOL_SOCKET, SO_REUSEADDR, REUSEADDR, false }, /* as stream_settle_shadow() has it */
	{ SOL_SOCKET, SO_REUSEPORT, REUSEPORT, true },
	{ SOL_SOCKET, SO_ZEROCOPY, ZEROCOPY, true },
	{ SOL_SOCKET, SO_PRIORITY, SHADOW, true },
	{ SOL_SOCKET, SO_BROADCAST, SHADOW, true },
	{ SOL_SOCKET, SO_DEBUG, SHADOW, false },
	{ SOL_SOCKET, SO_BSDCOMPAT, SHADOW, false },
	{ SOL_SOCKET, SO_BUSY_POLL, SHADOW, false },
	{ SOL_SOCKET, SO_PREFER_BUSY_POLL, SHADOW, false },
	{ SOL_SOCKET, SO_BUSY_POLL_BUDGET, SHADOW, false },
	{ SOL_SOCKET, SO_INCOMING_CPU, SHADOW, false },
	{ SOL_SOCKET, SO_PASSCRED, SHADOW, false },
	{ SOL_SOCKET, OPT_STAMP_OLD, STAMP, true },
	{ SOL_SOCKET, OPT_STAMPNS_OLD, STAMP, true },
	{ SOL_SOCKET, OPT_STAMP_NEW, STAMP, true },
	{ SOL_SOCKET, OPT_STAMPNS_NEW, STAMP, true },
	{ SOL_SOCKET, OPT_STAMPING_OLD, STAMPING, true },
	{ SOL_SOCKET, OPT_STAMPING_NEW, STAMPING, true },
	{ SOL_SOCKET, SO_RXQ_OVFL, SHADOW, false }, /* of datagrams */
	{ SOL_SOCKET, SO_SELECT_ERR_QUEUE, SHADOW, false }, /* likewise: tcp_poll() does not ask */
	{ SOL_SOCKET, OPT_TXREHASH, SHADOW, false },
	{ SOL_SOCKET, SO_DETACH_FILTER, SHADOW, false },
	{ SOL_SOCKET, SO_LOCK_FILTER, SHADOW, false },
	{ SOL_SOCKET, SO_CNX_ADVICE, SHADOW, false },
	{ SOL_SOCKET, SO_NO_CHECK, SHADOW, false },
	{ SOL_SOCKET, SO_ATTACH_FILTER, DECLINE_SET, false },
	{ SOL_SOCKET, SO_DONTROUTE, DECLINE_SET, false },

	{ IPPROTO_IP, IP_TOS, TOS, true },
	{ IPPROTO_IP, IP_TTL, TTL, true },
	{ IPPROTO_IP, IP_RECVERR, RECVERR, true },
	{ IPPROTO_IP, IP_MTU_DISCOVER, SHADOW, true },
	{ IPPROTO_IP, IP_UNICAST_IF, UNICAST_IF, true },
	{ IPPROTO_IP, IP_FREEBIND, SHADOW, false },
	{ IPPROTO_IP, IP_TRANSPARENT, SHADOW, false },
	{ IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, SHADOW, false },
	{ IPPROTO_IP, IP_PKTINFO, SHADOW, false }, /* of datagrams, as the next ones */
	{ IPPROTO_IP, IP_RECVTTL, SHADOW, false },
	{ IPPROTO_IP, IP_RECVTOS, SHADOW, false },
	{ IPPROTO_IP, IP_RECVOPTS, SHADOW, false },
	{ IPPROTO_IP, IP_RECVORIGDSTADDR, SHADOW, false },
	{ IPPROTO_IP, IP_MINTTL, DECLINE, false },
	{ IPPROTO_IP, IP_OPTIONS, DECLINE_SET, false },
	{ IPPROTO_IPV6, IPV6_V6ONLY, V6ONLY, true },
	{ IPPROTO_IPV6, IPV6_TCLASS, TCLASS, true },
	{ IPPROTO_IPV6, IPV6_UNICAST_HOPS, HOPS, true },
	{ IPPROTO_IPV6, IPV6_RECVERR, RECVERR, true },
	{ IPPROTO_IPV6, IPV6_MTU_DISCOVER, SHADOW, true },
	{ IPPROTO_IPV6, IPV6_RECVPKTINFO, SHADOW, false },
	{ IPPROTO_IPV6, IPV6_RECVHOPLIMIT, SHADOW, false },
	{ IPPROTO_IPV6, IPV6_RECVTCLASS, SHADOW, false },
	{ IPPROTO_IPV6, IPV6_MINHOPCOUNT, DECLINE, false },
	{ IPPROTO_IPV6, IPV6_HOPOPTS, DECLINE_SET, false },
	{ IPPROTO_IPV6, IPV6_RTHDRDSTOPTS, DECLINE_SET, false },
	{ IPPROTO_IPV6, IPV6_RTHDR, DECLINE_SET, false },
	{ IPPROTO_IPV6, IPV6_DSTOPTS, DECLINE_SET, false },
};

_Static_assert(FS_ARRAY_SIZE(options) <= 128, "bits of stream.inherit");

static const struct option *find(int level, int name)
{
	for (size_t i = 0; i < FS_ARRAY_SIZE(options); i++)
		if (options[i].level == level && options[i].name == name)
			return &options[i];
	return NULL;
}

bool stream_option_at(size_t i, int *level, int *name)
{
	if (i >= FS_ARRAY_SIZE(options))
		return false;
	*level = options[i].level;
	*name = options[i].name;
	return true;
}

/* --- setting --- */

static void set_choice(struct stream *s, void (*change)(struct context_choice *, uint32_t), uint32_t value)
{
	struct context_choice choice;

	context_choice_unpack(s->options.choice, &choice);
	change(&choice, value);
	s->options.choice = context_choice_pack(&choice);
}

static void choose_mark(struct context_choice *c, uint32_t mark)
{
	c->mark = mark;
}

static void choose_device(struct context_choice *c, uint32_t ifindex)
{
	c->oif = ifindex;
}

static void choose_tos(struct context_choice *c, uint32_t tos)
{
	context_choice_tos(c, (uint8_t)tos);
}

/* What the option is now that the shadow took @given. Of those that are on or off nobody needs to be asked. */
static int now_is(const struct option *opt, int fd, int given)
{
	bool on_or_off = opt->act == NODELAY || opt->act == CORK || opt->act == KEEPALIVE || opt->act == OOBINLINE;

	return on_or_off ? given : read_int(fd, opt->level, opt->name, 0);
}

/* Options of IPPROTO_TCP. */
static void note_tcp(struct stream *s, const struct option *opt, int fd, int given)
{
	struct tcp_options *o = &s->options;
	int v = now_is(opt, fd, given);

	switch (opt->act) {
	case NODELAY: o->nodelay = v != 0; break;
	case MAXSEG: o->mss = (uint16_t)v; break;
	case CORK: o->cork = v != 0; break;
	case KEEPIDLE: o->keep_idle_s = (uint16_t)v; break;
	case KEEPINTVL: o->keep_interval_s = (uint16_t)v; break;
	case KEEPCNT: o->keep_count = (uint8_t)v; break;
	case SYNCNT: o->syn_count = (uint8_t)v; break;
	case LINGER2: o->linger2_s = (int16_t)v; break;
	case WINDOW_CLAMP: o->window_clamp = (uint32_t)v; break;
	case CONGESTION: o->congestion = read_congestion(fd, o->congestion); break;
	case USER_TIMEOUT: o->user_timeout_ms = (uint32_t)v; break;
	case FASTOPEN: s->listening.fastopen_queue = (uint16_t)v; break;
	case NOTSENT_LOWAT: o->notsent_lowat = (uint32_t)v; break;
	case FASTOPEN_CONNECT: o->fastopen_connect = v != 0; break;
	case FASTOPEN_NO_COOKIE: o->fastopen_no_cookie = v != 0; break;
	case INQ: s->tells_inq = v != 0; break;
	default: break;
	}
}

/* Those of the other levels. */
static void note_socket(struct sock *s, const struct option *opt, int fd, int given)
{
	struct tcp_options *o = &s->stream.options;
	int v = now_is(opt, fd, given);

	switch (opt->act) {
	case SNDBUF: o->sndbuf = (uint32_t)read_int(fd, SOL_SOCKET, SO_SNDBUF, 0); break;
	case RCVBUF: o->rcvbuf = (uint32_t)read_int(fd, SOL_SOCKET, SO_RCVBUF, 0); break;
	case RCVLOWAT: o->rcvlowat = (uint32_t)v; break;
	case LINGER: o->linger_s = read_linger(fd); break;
	case KEEPALIVE: o->keepalive = v != 0; break;
	case OOBINLINE: o->oob_inline = v != 0; break;
	case PACING: o->max_pacing_rate = (uint32_t)v == UINT32_MAX ? 0 : (uint32_t)v; break;
	case RCVTIMEO: s->rcvtimeo = read_timeout(fd, OPT_RCVTIMEO_OLD); break;
	case SNDTIMEO: s->stream.sndtimeo = read_timeout(fd, OPT_SNDTIMEO_OLD); break;
	case PEEK_OFF: s->stream.peek_off = v; break;
	case MARK: set_choice(&s->stream, choose_mark, (uint32_t)v); break;
	case DEVICE:
		s->stream.ifindex = (uint32_t)read_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX, 0);
		set_choice(&s->stream, choose_device, s->stream.ifindex);
		break;
	case REUSEADDR: s->stream.reuseaddr = v != 0; break;
	case REUSEPORT: s->stream.reuseport = v != 0; break;
	case ZEROCOPY: s->stream.zerocopy = v != 0; break;
	case TOS:
		o->style[0].tos = (uint8_t)v;
		set_choice(&s->stream, choose_tos, (uint32_t)v);
		break;
	case TCLASS: o->style[1].tos = (uint8_t)FS_MAX(v, 0); break;
	case TTL: o->style[0].hop_limit = (uint8_t)FS_MAX(v, 0); break;
	case HOPS: o->style[1].hop_limit = (uint8_t)FS_MAX(v, 0); break;
	case V6ONLY: s->stream.v6_only = v != 0; break;
	case RECVERR: o->recverr = v != 0; break;
	case UNICAST_IF: set_choice(&s->stream, choose_device, __builtin_bswap32((uint32_t)v)); break;
	default: break;
	}
}

/* A connection moves to the kernel, which has what the engine has not. True: it did. */
static bool give_away(struct context *ctx, struct sock *s)
{
	bool over = s->stream.local_conn ? local_is_over(s->stream.local_conn) : s->stream.conn->state == TCP_CLOSED;

	return !over && handover_sock(ctx, s, FS_REASON_option) == 0;
}

void stream_decline_group(struct context *ctx, const struct sock *s)
{
	struct list *e;

	LIST_FOR_EACH(e, &ctx->stack->all_streams) {
		struct sock *other = FS_CONTAINER_OF(e, struct sock, all);

		if (other != s && other->stream.by_links && stream_shares_port(&s->stream, &other->stream))
			stream_demote(ctx, other, FS_REASON_option, ctx->why);
	}
}

static void decline(struct context *ctx, struct sock *s, int level, int name)
{
	host_format(ctx->why, sizeof(ctx->why), "option level %d name %d", level, name);
	if (sock_is_engines(s)) {
		give_away(ctx, s); /* where it cannot, the option is the shadow's alone */
		return;
	}
	s->stream.declined = true;
	stream_decline_group(ctx, s);
	if (stream_is_listener(&s->stream))
		stream_demote(ctx, s, FS_REASON_option, ctx->why);
	else
		record_reason(s->record, FS_REASON_option, ctx->why);
}

/* TCP_DEFER_ACCEPT: the kernel keeps it as retransmissions, and shows seconds. */
static uint8_t retransmissions_of(int seconds)
{
	int n = 0, timeout = 1, period = 1;

	while (seconds > period && n < UINT8_MAX) {
		n++;
		timeout = FS_MIN(2 * timeout, 120);
		period += timeout;
	}
	return (uint8_t)(seconds > 0 ? n + 1 : 0);
}

/* What the kernel takes only from a socket without a connection. */
static bool comes_too_late(const struct stream *s, enum act act)
{
	return act == FASTOPEN || act == FASTOPEN_CONNECT || act == FASTOPEN_NO_COOKIE || (act == V6ONLY && s->v6);
}

int stream_option_before(struct context *ctx, int fd, int level, int name)
{
	const struct option *opt = find(level, name);
	struct sock *s = opt ? stream_enter(ctx, fd) : NULL;
	const struct tcp_conn *conn;
	int ret = 0;

	if (!s)
		return 0;
	conn = s->stream.conn;
	if (s->stream.is_unix)
		ret = 0; /* the shadow knows what such a socket takes */
	else if (((conn && conn->state != TCP_CLOSED) || s->stream.local_conn) && comes_too_late(&s->stream, opt->act))
		ret = -EINVAL;
	else if (sock_is_engines(s) && (opt->act == DECLINE || opt->act == DEVICE))
		give_away(ctx, s); /* the shadow, unconnected, would refuse what a connection's takes, or not be connected any more */
	context_leave(ctx);
	return ret;
}

bool stream_option_again(struct context *ctx, int fd, int level, int name, const void *value, socklen_t len)
{
	const struct option *opt = find(level, name);
	uint32_t flags = 0;
	struct sock *s;
	bool moved;

	if (!opt || opt->act != STAMPING || len < sizeof(flags))
		return false;
	memcpy(&flags, value, sizeof(flags));
	s = flags & STAMP_OPT_ID ? stream_enter(ctx, fd) : NULL;
	if (!s)
		return false;
	moved = sock_is_engines(s) && give_away(ctx, s);
	context_leave(ctx);
	return moved;
}

/* A Unix socket heeds few of them. */
static void note_unix(struct sock *s, const struct option *opt, int fd, int given)
{
	if (opt && (opt->act == RCVTIMEO || opt->act == SNDTIMEO || opt->act == RCVLOWAT))
		note_socket(s, opt, fd, given);
}

/* SO_TIMESTAMP and its kin. What is sent has no stamp of ours: numbers of bytes and their acknowledgements are in the
 * kernel's error queue. */
static void note_stamps(struct context *ctx, struct sock *s, int level, int name, const void *value, socklen_t len)
{
	struct sock_opt o = sock_opt(level, name, value, len);

	context_note_stamps(ctx, s, &o);
	if (s->stamps.flags & (STAMP_TX_RECORD | STAMP_OPT_ID))
		decline(ctx, s, level, name);
}

/* Is it the kernel's to carry? What is not in the table is. */
static bool is_declined(const struct sock *s, const struct option *opt, int level, int name)
{
	if (s->stream.is_unix)
		return stream_unix_declines(level, name);
	return !opt || opt->act == DECLINE || opt->act == DECLINE_SET || (opt->act == DECLINE_LISTENER && !sock_is_engines(s));
}

/* Its entries are on interfaces that are no longer its own, or lack some that are. */
static bool listens_elsewhere(const struct sock *s, const struct option *opt, int fd)
{
	return opt->act == DEVICE && stream_listens(&s->stream) &&
	       (uint32_t)read_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX, 0) != s->stream.ifindex;
}

int stream_option(struct context *ctx, int fd, int level, int name, const void *value, socklen_t len)
{
	struct sock *s = stream_is(ctx, fd) ? stream_enter_checked(ctx, fd) : NULL;
	const struct option *opt = find(level, name);
	struct tcp_options before;
	int given = 0, ret = 0;

	if (!s)
		return 0;
	before = s->stream.options;
	stream_now(ctx);
	memcpy(&given, value, FS_MIN((size_t)len, sizeof(given)));
	if (is_declined(s, opt, level, name) || listens_elsewhere(s, opt, fd)) {
		bool was_local = s->stream.local_conn != NULL;

		decline(ctx, s, level, name);
		if (was_local && !s->stream.local_conn) /* it has another shadow now */
			sys_setsockopt(fd, level, name, value, len);
	} else if (s->stream.is_unix) {
		note_unix(s, opt, fd, given);
	} else if (opt->act == STAMP || opt->act == STAMPING) {
		note_stamps(ctx, s, level, name, value, len);
	} else if (opt->act == QUICKACK) {
		s->stream.options.quickack_off = given == 0;
		if (s->stream.conn)
			tcp_quickack(s->stream.conn, &ctx->env, given != 0, ctx->now);
	} else if (opt->act == DEFER_ACCEPT) {
		s->stream.listening.defer_accept = retransmissions_of(given);
		if (given && s->stream.by_links && stream_listens(&s->stream))
			local_unpublish(ctx, s); /* links know nothing of it; the engine does */
		else if (given && s->stream.by_links)
			stream_demote(ctx, s, FS_REASON_option, "TCP_DEFER_ACCEPT");
	} else if (opt->act != SHADOW) {
		if (level == IPPROTO_TCP)
			note_tcp(&s->stream, opt, fd, given);
		else
			note_socket(s, opt, fd, given);
	}
	if (opt && opt->inherited)
		s->stream.inherit[(opt - options) / 64] |= 1ULL << (opt - options) % 64;
	if (s->stream.local_conn)
		stream_local_set_options(s);
	if (s->stream.conn)
		ret = tcp_set_options(s->stream.conn, &ctx->env, &s->stream.options, ctx->now);
	if (ret < 0)
		s->stream.options = before;
	else if (stream_listens(&s->stream))
		stream_listener_options(&s->stream);
	segments_send(ctx);
	context_leave(ctx);
	return ret;
}

/* Of four options that name one setting: 0 of one of them would undo another. */
static bool is_unset_stamp(const struct option *opt, const char *value)
{
	int v;

	memcpy(&v, value, sizeof(v));
	return opt->act == STAMP && v == 0;
}

void stream_inherit(const struct sock *listener, int from, int fd)
{
	for (size_t i = 0; i < FS_ARRAY_SIZE(options); i++) {
		char value[64];
		socklen_t len = sizeof(value);

		if (!(listener->stream.inherit[i / 64] >> i % 64 & 1) ||
		    sys_getsockopt(from, options[i].level, options[i].name, value, &len) < 0 || is_unset_stamp(&options[i], value))
			continue;
		if (options[i].act == SNDBUF || options[i].act == RCVBUF) {
			int doubled; /* the kernel doubles what it is given */

			memcpy(&doubled, value, sizeof(doubled));
			doubled /= 2;
			memcpy(value, &doubled, sizeof(doubled));
		}
		sys_setsockopt(fd, options[i].level, options[i].name, value, len);
	}
}

void stream_settle_shadow(const struct sock *s, int fd)
{
	const int on = 1;

	if (s->stream.reuseaddr)
		sys_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
}

/* sysctl(8) may change them; who opens many sockets does not ask for each. */
static void refresh_presets(struct context *ctx, int fd, bool v6)
{
	fs_ns now = host_clock_now(&ctx->clock);

	if (ctx->presets.read_at == 0 || now - ctx->presets.read_at >= PRESETS_FRESH) {
		ctx->presets.read_at = now;
		ctx->presets.congestion = read_congestion(fd, ctx->stack->tcp.config.congestion);
		ctx->presets.v6_read = false;
	}
	if (v6 && !ctx->presets.v6_read) {
		ctx->presets.v6_read = true;
		ctx->presets.v6_only = read_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0) != 0;
	}
}

void stream_preset(const struct context *ctx, struct tcp_options *o)
{
	const struct host_tcp_keep *keep = &ctx->presets.keep;

	if (o->keep_idle_s == 0)
		o->keep_idle_s = keep->idle_s;
	if (o->keep_interval_s == 0)
		o->keep_interval_s = keep->interval_s;
	if (o->keep_count == 0)
		o->keep_count = keep->count;
}

void stream_read_options(struct context *ctx, struct sock *s, int fd)
{
	struct tcp_config config;

	if (!s->stream.is_unix)
		refresh_presets(ctx, fd, s->stream.v6);
	tcp_config_default(&config);
	config.congestion = ctx->presets.congestion;
	tcp_options_default(&s->stream.options, &config);
	s->stream.v6_only = s->stream.v6 && ctx->presets.v6_only;
}

void stream_listener_options(struct stream *s)
{
	s->listener.options = s->options;
	s->listener.own = s->listening;
	s->listener.own.v6_only = s->v6_only;
}

/* --- getting --- */

int stream_put_option(void *to, socklen_t *len, const void *from, socklen_t have)
{
	if (!len || (*len && !to))
		return -EFAULT;
	if ((int)*len < 0)
		return -EINVAL;
	*len = FS_MIN(*len, have);
	memcpy(to, from, *len);
	return 0;
}

static int get_info(const struct sock *s, void *to, socklen_t *len, fs_ns now)
{
	if (!len || (*len && !to))
		return -EFAULT;
	if ((int)*len < 0)
		return -EINVAL;
	*len = (socklen_t)(s->stream.conn ? tcp_info(s->stream.conn, to, *len, now) :
					    tcp_listener_info(&s->stream.listener, to, *len));
	return 0;
}

static int get_error(struct sock *s, void *value, socklen_t *len)
{
	int v = s->stream.error;

	if (s->stream.conn)
		v = tcp_take_any_error(s->stream.conn);
	else if (s->stream.local_conn && !stream_local_waits(s))
		v = local_take_error(s->stream.local_conn);
	s->stream.error = 0;
	return stream_put_option(value, len, &v, sizeof(v));
}

/* SO_PEERNAME, also of a connection that is over. The kernel wants no more than it has. */
static int get_peer_name(const struct sock *s, void *value, socklen_t *len)
{
	const struct tcp_conn *conn = s->stream.conn;
	union stream_name name;
	socklen_t whole = sizeof(name);

	stream_put_name(s->stream.v6, &conn->end.remote, conn->end.remote_port, &name, &whole);
	return len && (int)*len > (int)whole ? -EINVAL : stream_put_option(value, len, &name, whole);
}

static int get_of_conn(struct sock *s, int level, int name, void *value, socklen_t *len)
{
	struct tcp_conn *conn = s->stream.conn;
	int v;

	if (level == SOL_SOCKET && name == SO_PEERNAME)
		return get_peer_name(s, value, len);
	if (level == SOL_SOCKET && name == SO_RCVBUF)
		v = (int)conn->rcvbuf;
	else if (level == SOL_SOCKET && name == SO_SNDBUF)
		v = (int)conn->sndbuf;
	else if (level == IPPROTO_TCP && name == OPT_MAXSEG)
		v = conn->mss;
	else if ((level == IPPROTO_IP && name == IP_MTU) || (level == IPPROTO_IPV6 && name == IPV6_MTU && s->stream.v6))
		v = conn->path_mtu;
	else if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY && s->stream.v6)
		v = s->stream.v6_only;
	else if (level == IPPROTO_IPV6 && name == OPT_ADDRFORM && s->stream.v6 && conn->state == TCP_ESTABLISHED)
		v = AF_INET6;
	else if (level == SOL_SOCKET && name == SO_PEEK_OFF)
		v = s->stream.peek_off;
	else if (level == SOL_SOCKET && name == SO_INCOMING_CPU && conn->bytes_received)
		v = sys_getcpu(); /* whoever looks takes the frames */
	else if (level == IPPROTO_TCP && name == OPT_QUICKACK)
		v = !(conn->ack_flags & TCP_ACK_PINGPONG);
	else
		return CONTEXT_KERNEL;
	if (level == IPPROTO_IPV6 && len && (int)*len < 0)
		*len = sizeof(v); /* as large as can be (do_ipv6_getsockopt()) */
	return stream_put_option(value, len, &v, sizeof(v));
}

/* struct tcp_zerocopy_receive, as short as the kernel takes it and longer than it will become. */
static bool is_zerocopy_request(const socklen_t *len)
{
	return len && *len >= ZEROCOPY_RECEIVE_LEAST && *len <= ZEROCOPY_RECEIVE_MOST;
}

int stream_get_option(struct context *ctx, int fd, int level, int name, void *value, socklen_t *len)
{
	struct sock *s = stream_is(ctx, fd) ? stream_enter(ctx, fd) : NULL;
	int ret = CONTEXT_KERNEL;
	const int on = 1;

	if (!s)
		return CONTEXT_KERNEL;
	if (sock_is_engines(s) || s->stream.error || stream_listens(&s->stream))
		context_poll(ctx);
	if (context_live_sock(ctx, fd) != s)
		ret = CONTEXT_KERNEL;
	else if (level == SOL_SOCKET && name == SO_ERROR && (sock_is_engines(s) || s->stream.error))
		ret = get_error(s, value, len);
	else if (level == IPPROTO_TCP && name == OPT_INFO && (s->stream.conn || stream_listens(&s->stream)))
		ret = get_info(s, value, len, ctx->now);
	else if (sock_is_engines(s) && level == IPPROTO_TCP && name == OPT_ZEROCOPY_RECEIVE && is_zerocopy_request(len))
		give_away(ctx, s); /* only the kernel maps what it received */
	else if (level == SOL_SOCKET && name == SO_REUSEADDR && s->stream.reuseaddr)
		ret = stream_put_option(value, len, &on, sizeof(on));
	else if (s->stream.local_conn)
		ret = stream_local_get_option(ctx, s, level, name, value, len);
	else if (s->stream.conn)
		ret = get_of_conn(s, level, name, value, len);
	context_leave(ctx);
	return ret;
}

static int local_ioctl(struct local_conn *conn, unsigned long request)
{
	if ((conn->flags & LOCAL_UNIX) && request != SIOCINQ)
		return request == SIOCOUTQ ? (int)local_outq(conn) : CONTEXT_KERNEL;
	switch (request) {
	case SIOCINQ: return (int)local_inq(conn);
	case SIOCOUTQ: /* what is sent is there, as over loopback, where the peer's kernel acknowledges at once */
	case SIOCOUTQNSD: return 0;
	case SIOCATMARK: return local_at_mark(conn);
	default: return CONTEXT_KERNEL;
	}
}

int stream_ioctl(struct context *ctx, int fd, unsigned long request)
{
	struct sock *s = stream_is(ctx, fd) ? stream_enter(ctx, fd) : NULL;
	int ret = CONTEXT_KERNEL;

	if (!s)
		return CONTEXT_KERNEL;
	context_poll(ctx);
	if (context_live_sock(ctx, fd) == s && s->stream.conn) {
		const struct tcp_conn *conn = s->stream.conn;

		ret = request == SIOCINQ      ? (int)tcp_inq(conn) :
		      request == SIOCOUTQ     ? (int)tcp_outq(conn) :
		      request == SIOCOUTQNSD  ? (int)tcp_outq_unsent(conn) :
		      request == SIOCATMARK   ? tcp_at_mark(conn) :
						CONTEXT_KERNEL;
	} else if (context_live_sock(ctx, fd) == s && s->stream.local_conn) {
		ret = local_ioctl(s->stream.local_conn, request);
	}
	context_leave(ctx);
	return ret;
}

int stream_nonblock(struct context *ctx, int fd)
{
	struct sock *s = stream_is(ctx, fd) ? stream_enter(ctx, fd) : NULL;
	int ret;

	if (!s)
		return -1;
	ret = stream_is_listener(&s->stream) ? s->nonblock : -1;
	context_leave(ctx);
	return ret;
}
