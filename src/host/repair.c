/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * repair.c - a kernel socket carries on a connection that an engine had, by TCP_REPAIR.
 *
 * In repair mode a socket connects without a word, takes bytes into either queue, and counts as sent what it is given
 * to send. A FIN that the peer sent cannot be put in: it comes as a segment from a raw socket to ourselves
 * (repair_segment.c). Where that does not arrive (no CAP_NET_RAW, a filter), its number counts as received and
 * reading is shut, which the program can tell from a FIN by TCP_INFO only.
 */
#include "host/repair.h"

#include <errno.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/tcp.h>
#include <string.h>

#include "base/err.h"
#include "host/repair_internal.h"
#include "sys/sys.h"
#include "tcp/snapshot.h"
#include "wire/tcp.h"

enum {
	SPARE = 65536,	 /* bytes of buffer beyond what must go in */
	BUF_LOCK = 72,	 /* SO_BUF_LOCK, Linux 5.14 */
	TRIES = 3,	 /* for a segment to ourselves */
	LOOKS = 20,	 /* whether it came, per try */
	LOOK_NS = 100000,
};

union name {
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* --- small things --- */

static int set(int fd, int level, int option, int value)
{
	return sys_setsockopt(fd, level, option, &value, sizeof(value));
}

static int get(int fd, int level, int option)
{
	int value = 0;
	socklen_t len = sizeof(value);
	int ret = sys_getsockopt(fd, level, option, &value, &len);

	return ret < 0 ? ret : value;
}

static int fail(const char **why, const char *step, int error)
{
	*why = step;
	return error;
}

static bool has(const struct tcp_snapshot *s, uint32_t flag)
{
	return (s->flags & flag) != 0;
}

/* Bytes in the send queue, FIN not counted; all of them, and of them those that left at least once. */
static uint32_t send_len(const struct tcp_snapshot *s)
{
	return seq_gt(s->snd_end, s->snd_una) ? s->snd_end - s->snd_una : 0;
}

static uint32_t sent_len(const struct tcp_snapshot *s)
{
	tcp_seq end = seq_min(s->snd_nxt, s->snd_end);

	return seq_gt(end, s->snd_una) ? end - s->snd_una : 0;
}

/* The peer acked our FIN: snd_una is beyond it. */
static bool fin_is_acked(const struct tcp_snapshot *s)
{
	return has(s, TCP_SNAPSHOT_FIN_SENT) && seq_gt(s->snd_una, s->snd_end);
}

/* Number behind the bytes received: the peer's FIN. */
static tcp_seq received_end(const struct tcp_snapshot *s)
{
	return s->rcv_nxt - has(s, TCP_SNAPSHOT_FIN_RECEIVED);
}

/* Nobody reads what an orphan received. */
static uint32_t receive_len(const struct tcp_snapshot *s)
{
	return has(s, TCP_SNAPSHOT_ORPHAN) ? 0 : received_end(s) - s->copied_seq;
}

/*
 * Is there an urgent byte among them which is not part of the stream as the program reads it? The kernel cannot be told
 * of it, so it stays out of the queue. Where it is, or the queue's end.
 */
static uint32_t urgent_at(const struct tcp_snapshot *s)
{
	uint32_t at = s->rcv_up - s->copied_seq, len = receive_len(s);

	return has(s, TCP_SNAPSHOT_URG_IN) && !s->options.oob_inline && at < len ? at : len;
}

static bool is_sound(const struct tcp_snapshot *s)
{
	switch (s->state) {
	case TCP_ESTABLISHED:
	case TCP_FIN_WAIT1:
	case TCP_FIN_WAIT2:
	case TCP_CLOSE_WAIT:
	case TCP_CLOSING:
	case TCP_LAST_ACK:
		break;
	default:
		return false;
	}
	return s->version == TCP_SNAPSHOT_VERSION && s->local_port && s->remote_port && s->snd_wscale <= 14 &&
	       s->rcv_wscale <= 14 && ip_addr_is_v4(&s->local) == ip_addr_is_v4(&s->remote) &&
	       seq_le(s->snd_una, s->snd_nxt) && seq_le(s->copied_seq, received_end(s));
}

/* --- names --- */

static socklen_t make_name(union name *name, int family, const struct ip_addr *addr, uint16_t port, uint32_t ifindex)
{
	memset(name, 0, sizeof(*name));
	if (family == AF_INET) {
		name->v4.sin_family = AF_INET;
		name->v4.sin_port = be16_make(port).raw;
		memcpy(&name->v4.sin_addr, addr->b + 12, 4);
		return sizeof(name->v4);
	}
	name->v6.sin6_family = AF_INET6;
	name->v6.sin6_port = be16_make(port).raw;
	name->v6.sin6_scope_id = ip_addr_is_link_local(addr) && !ip_addr_is_v4(addr) ? ifindex : 0;
	memcpy(&name->v6.sin6_addr, addr->b, 16);
	return sizeof(name->v6);
}

static bool is_name(const union name *name, const struct ip_addr *addr, uint16_t port)
{
	if (name->v4.sin_family == AF_INET)
		return name->v4.sin_port == be16_make(port).raw && memcmp(&name->v4.sin_addr, addr->b + 12, 4) == 0;
	return name->v6.sin6_port == be16_make(port).raw && memcmp(&name->v6.sin6_addr, addr->b, 16) == 0;
}

/* --- the steps of building --- */

static int enter(int fd, const char **why)
{
	int ret = set(fd, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_ON);

	return ret < 0 ? fail(why, ret == -EPERM ? "TCP_REPAIR needs CAP_NET_ADMIN" : "TCP_REPAIR", ret) : 0;
}

/* Room for all that goes in and for the window that was promised, before the kernel chooses its own. Not the program's
 * wish, so it does not stop the kernel from tuning. */
static void make_room(int fd, const struct tcp_snapshot *s)
{
	set(fd, SOL_SOCKET, SO_SNDBUFFORCE, (int)FS_MIN(send_len(s) + send_len(s) / 4 + SPARE, 1U << 29));
	set(fd, SOL_SOCKET, SO_RCVBUFFORCE,
	    (int)FS_MIN(receive_len(s) + receive_len(s) / 4 + s->rcv_wnd + SPARE, 1U << 29));
	set(fd, SOL_SOCKET, BUF_LOCK, 0);
	/* Bytes not sent yet would stop at it. */
	set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, INT32_MAX);
}

static int set_sequence(int fd, int queue, tcp_seq seq)
{
	int ret = set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, queue);

	return ret < 0 ? ret : sys_setsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &seq, sizeof(seq));
}

/* FINs are put in later, behind their numbers; the peer's only if @inject, else its number counts as received. */
static int set_sequences(int fd, const struct tcp_snapshot *s, bool inject, const char **why)
{
	uint32_t in_queue = receive_len(s) - (urgent_at(s) < receive_len(s));
	int ret = set_sequence(fd, TCP_RECV_QUEUE, (inject ? received_end(s) : s->rcv_nxt) - in_queue);

	if (ret == 0)
		ret = set_sequence(fd, TCP_SEND_QUEUE, s->snd_una - fin_is_acked(s));
	return ret < 0 ? fail(why, "TCP_QUEUE_SEQ", ret) : 0;
}

static int connect_names(int fd, const struct host_repair *r, const char **why)
{
	const struct tcp_snapshot *s = r->snap;
	int ret, family = get(fd, SOL_SOCKET, SO_DOMAIN);
	union name name;
	socklen_t len = sizeof(name);

	if (family < 0 || (family == AF_INET && !ip_addr_is_v4(&s->local)))
		return fail(why, "not a socket of its family", family < 0 ? family : -EAFNOSUPPORT);
	memset(&name, 0, sizeof(name));
	ret = sys_getsockname(fd, &name, &len);
	if (ret == 0 && name.v4.sin_port == 0) {
		len = make_name(&name, family, &s->local, s->local_port, r->ifindex);
		ret = sys_bind(fd, &name, len);
	}
	if (ret < 0)
		return fail(why, "bind", ret);
	len = make_name(&name, family, &s->remote, s->remote_port, r->ifindex);
	ret = sys_connect(fd, &name, len);
	if (ret < 0)
		return fail(why, "connect", ret);
	len = sizeof(name);
	ret = sys_getsockname(fd, &name, &len);
	if (ret == 0 && !is_name(&name, &s->local, s->local_port))
		ret = -EADDRNOTAVAIL;
	return ret < 0 ? fail(why, "bound to another address", ret) : 0;
}

/*
 * The handshake's results. Scales are set even where none were agreed on: the kernel has chosen one that it would
 * apply. The MSS is given before connecting as TCP_MAXSEG, too: the kernel does not compute it anew afterwards.
 */
static int set_handshake(int fd, const struct tcp_snapshot *s, uint16_t mss, const char **why)
{
	bool scaled = has(s, TCP_SNAPSHOT_WSCALE);
	struct tcp_repair_opt opts[4];
	unsigned n = 0;
	int ret;

	opts[n++] = (struct tcp_repair_opt){ TCP_OPT_MSS, mss };
	opts[n++] = (struct tcp_repair_opt){ TCP_OPT_WSCALE,
					     scaled ? s->snd_wscale | (uint32_t)s->rcv_wscale << 16 : 0 };
	if (has(s, TCP_SNAPSHOT_SACK))
		opts[n++] = (struct tcp_repair_opt){ TCP_OPT_SACK_PERMITTED, 0 };
	if (has(s, TCP_SNAPSHOT_TS))
		opts[n++] = (struct tcp_repair_opt){ TCP_OPT_TIMESTAMP, 0 };
	ret = sys_setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, opts, (socklen_t)(n * sizeof(*opts)));
	if (ret < 0)
		return fail(why, "TCP_REPAIR_OPTIONS", ret);
	if (has(s, TCP_SNAPSHOT_TS)) {
		ret = set(fd, IPPROTO_TCP, TCP_TIMESTAMP, (int)(s->ts_now + (s->ts_now & 1)));
		if (ret < 0)
			return fail(why, "TCP_TIMESTAMP", ret);
	}
	return 0;
}

/*
 * Checked against the numbers behind the receive queue, hence after it is filled. The peer's FIN is put in afterwards,
 * and has room.
 */
static int set_window(int fd, const struct tcp_snapshot *s, const char **why)
{
	struct tcp_repair_window window = {
		.snd_wl1 = seq_min(s->snd_wl1, received_end(s)),
		.snd_wnd = s->snd_wnd,
		.max_window = FS_MAX(s->max_window, s->snd_wnd),
		.rcv_wup = seq_min(s->rcv_wup, received_end(s)),
	};
	int ret;

	window.rcv_wnd = s->rcv_wup + s->rcv_wnd - window.rcv_wup;
	if (has(s, TCP_SNAPSHOT_FIN_RECEIVED))
		window.rcv_wnd = FS_MAX(window.rcv_wnd, received_end(s) - window.rcv_wup + 1);
	ret = sys_setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &window, sizeof(window));
	return ret < 0 ? fail(why, "TCP_REPAIR_WINDOW", ret) : 0;
}

/* Bytes [from, to) of a queue into the socket, as its mode has it. */
static int put_bytes(int fd, const struct host_repair *r, enum tcp_queue which, uint32_t from, uint32_t to)
{
	uint8_t piece[HOST_REPAIR_PIECE];

	while (from < to) {
		uint32_t len = r->read(r->context, which, from, piece, FS_MIN(to - from, (uint32_t)HOST_REPAIR_PIECE));
		ssize_t ret;

		if (len == 0)
			return -EINVAL;
		ret = sys_sendto(fd, piece, len, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
		if (ret == -EINTR)
			continue;
		if (ret <= 0)
			return ret == -EAGAIN ? -ENOMEM : (int)ret;
		from += (uint32_t)ret;
	}
	return 0;
}

static int put_received(int fd, const struct host_repair *r, const char **why)
{
	uint32_t urgent = urgent_at(r->snap);
	int ret = set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, TCP_RECV_QUEUE);

	if (ret == 0)
		ret = put_bytes(fd, r, TCP_QUEUE_RECEIVE, 0, urgent);
	if (ret == 0)
		ret = put_bytes(fd, r, TCP_QUEUE_RECEIVE, urgent + 1, receive_len(r->snap));
	return ret < 0 ? fail(why, "receive queue", ret) : 0;
}

/* In repair mode what is written to this queue counts as sent, and a FIN too. */
static int put_sent(int fd, const struct host_repair *r, const char **why)
{
	int ret = set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE);

	if (ret == 0)
		ret = put_bytes(fd, r, TCP_QUEUE_SEND, 0, sent_len(r->snap));
	return ret < 0 ? fail(why, "send queue", ret) : 0;
}

/* --- FINs --- */

static int state_of(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	memset(&info, 0, sizeof(info));
	sys_getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
	return info.tcpi_state;
}

/* The loopback delivers at once, or as soon as another processor comes to it. */
static bool comes_into(int fd, int state)
{
	const struct timespec pause = { .tv_nsec = LOOK_NS };

	for (unsigned i = 0; i < LOOKS; i++) {
		if (state_of(fd) == state)
			return true;
		sys_nanosleep(&pause);
	}
	return false;
}

/* A segment of the peer's to ourselves, after which the socket is in @state. */
static bool inject(int fd, const struct host_repair *r, const struct tcp_hdr *h, int state)
{
	for (unsigned i = 0; i < TRIES; i++) {
		if (host_repair_inject(r, h, NULL, 0) < 0)
			return false;
		if (comes_into(fd, state))
			return true;
	}
	return false;
}

static struct tcp_hdr peer_segment(const struct tcp_snapshot *s, uint16_t flags, tcp_seq seq)
{
	struct tcp_hdr h;

	memset(&h, 0, sizeof(h));
	h.src_port = s->remote_port;
	h.dst_port = s->local_port;
	h.seq = seq;
	h.ack = s->snd_una;
	h.flags = flags;
	h.window = (uint16_t)FS_MIN(s->snd_wnd >> (has(s, TCP_SNAPSHOT_WSCALE) ? s->snd_wscale : 0), 65535U);
	if (has(s, TCP_SNAPSHOT_TS)) {
		h.options = TCP_HAS_TIMESTAMP;
		h.ts_val = s->ts_recent;
		h.ts_ecr = s->ts_now;
	}
	return h;
}

bool host_repair_peer_fin(int fd, const struct host_repair *r, int state)
{
	struct tcp_hdr h = peer_segment(r->snap, TCP_ACK | TCP_FIN, received_end(r->snap));

	return inject(fd, r, &h, state);
}

/* Without it the kernel sends our FIN again, and the peer's answer does the same. */
static void put_fin_ack(int fd, const struct host_repair *r)
{
	struct tcp_hdr h = peer_segment(r->snap, TCP_ACK, received_end(r->snap));

	inject(fd, r, &h, TCP_FIN_WAIT2);
}

/* Who closed first decides between CLOSING and LAST-ACK, so FINs go in in that order. One of ours that was not sent
 * waits for the bytes before it. -EAGAIN: the peer's did not arrive. */
static int put_fins(int fd, const struct host_repair *r, bool inject, const char **why)
{
	const struct tcp_snapshot *s = r->snap;
	bool peers = has(s, TCP_SNAPSHOT_FIN_RECEIVED);
	int ret;

	if (peers && !inject)
		sys_shutdown(fd, SHUT_RD);
	else if (peers && s->state != TCP_CLOSING && !host_repair_peer_fin(fd, r, TCP_CLOSE_WAIT))
		return -EAGAIN;
	if (!has(s, TCP_SNAPSHOT_FIN_SENT))
		return 0;
	ret = sys_shutdown(fd, SHUT_WR);
	if (ret < 0)
		return fail(why, "shutdown", ret);
	if (fin_is_acked(s))
		put_fin_ack(fd, r);
	if (peers && inject && s->state == TCP_CLOSING &&
	    !host_repair_peer_fin(fd, r, fin_is_acked(s) ? TCP_CLOSED : TCP_CLOSING))
		return -EAGAIN;
	return 0;
}

static int build(int fd, const struct host_repair *r, bool inject, const char **why)
{
	const struct tcp_snapshot *s = r->snap;
	uint16_t mss = s->options.mss ? FS_MIN(s->mss_clamp, s->options.mss) : s->mss_clamp;
	int ret = enter(fd, why);

	if (ret < 0)
		return ret;
	make_room(fd, s);
	set(fd, IPPROTO_TCP, TCP_MAXSEG, mss);
	ret = set_sequences(fd, s, inject, why);
	if (ret == 0)
		ret = connect_names(fd, r, why);
	if (ret == 0)
		ret = set_handshake(fd, s, mss, why);
	if (ret == 0)
		ret = put_received(fd, r, why);
	if (ret == 0)
		ret = put_sent(fd, r, why);
	if (ret == 0)
		ret = set_window(fd, s, why);
	if (ret == 0)
		ret = put_fins(fd, r, inject, why);
	return ret;
}

/* A socket in repair mode disconnects without a word; what it leaves in SO_ERROR is nobody's error. */
static void unbuild(int fd, bool reuseaddr)
{
	const struct sockaddr none = { .sa_family = AF_UNSPEC };

	sys_connect(fd, &none, sizeof(none));
	set(fd, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP);
	set(fd, SOL_SOCKET, SO_REUSEADDR, reuseaddr);
	get(fd, SOL_SOCKET, SO_ERROR);
}

int host_repair_build(int fd, const struct host_repair *repair, const char **why)
{
	int ret;

	if (!is_sound(repair->snap))
		return fail(why, "a state that cannot move", -EINVAL);
	if (state_of(fd) != TCP_CLOSED)
		return fail(why, "not a fresh socket", -EISCONN);
	ret = build(fd, repair, true, why);
	if (ret == -EAGAIN) {
		unbuild(fd, repair->reuseaddr);
		ret = build(fd, repair, false, why);
	}
	if (ret < 0) {
		unbuild(fd, repair->reuseaddr);
		return ret;
	}
	host_repair_options(fd, repair);
	return 0;
}

/* --- and going --- */

int host_repair_start(int fd, const struct host_repair *repair, const char **why)
{
	const struct tcp_snapshot *s = repair->snap;
	int ret = set(fd, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_OFF);

	if (ret < 0)
		return fail(why, "TCP_REPAIR off", ret);
	set(fd, SOL_SOCKET, SO_REUSEADDR, repair->reuseaddr);
	ret = put_bytes(fd, repair, TCP_QUEUE_SEND, sent_len(s), send_len(s));
	if (ret < 0)
		return fail(why, "bytes not sent yet", ret);
	if (has(s, TCP_SNAPSHOT_FIN_QUEUED) && !has(s, TCP_SNAPSHOT_FIN_SENT)) {
		sys_shutdown(fd, SHUT_WR);
		/* Too late to count it as received, but the program sees the end. */
		if (s->state == TCP_CLOSING && !host_repair_peer_fin(fd, repair, TCP_CLOSING))
			sys_shutdown(fd, SHUT_RD);
	}
	if (has(s, TCP_SNAPSHOT_SHUT_RD))
		sys_shutdown(fd, SHUT_RD);
	host_repair_limits(fd, s);
	return 0;
}
