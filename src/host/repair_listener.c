/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * repair_listener.c - a connection that an engine accepted and nobody fetched goes into the queue of a kernel's
 * listener.
 *
 * The kernel puts in there only what it shook hands with itself. So its handshake is played to it, by segments from
 * ourselves (repair_segment.c), and its own number must come out as the one the engine gave the peer. That number is
 * not drawn where the SYN meets a TIME-WAIT of the same ends: it is a fixed step behind what was sent there last
 * (tcp_timewait_state_process(), RFC 1122 4.2.2.13). A TIME-WAIT of our choice is what a socket in repair mode leaves.
 * What the peer had sent comes behind. To the peer all of it looks like repetitions.
 *
 * Of a handshake that is not complete only the SYN is played: the peer's own ACK comes, or the kernel asks for it.
 */
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>

#include "base/err.h"
#include "host/netlink.h"
#include "host/repair.h"
#include "host/repair_internal.h"
#include "sys/sys.h"
#include "tcp/snapshot.h"
#include "wire/tcp.h"

enum {
	STEP = 65535 + 2, /* from the last number of a TIME-WAIT to the first of what follows it */
	TRIES = 3,
	LOOKS = 20,
	LOOK_NS = 100000,
};

/* What the kernel says of the connection. */
struct look {
	int state;	   /* enum tcp_state, the kernel's numbers; 0 = there is none */
	uint64_t cookie;   /* of this one, and of no other on the same ends */
	bool is_whole;	   /* neither half-open nor TIME-WAIT or what becomes it: the rest is known */
	uint64_t received; /* bytes and FIN in order, read or not */
	uint8_t rcv_wscale;
};

static bool has(const struct tcp_snapshot *s, uint32_t flag)
{
	return (s->flags & flag) != 0;
}

static uint32_t queued(const struct tcp_snapshot *s)
{
	return s->rcv_nxt - s->copied_seq;
}

static bool is_half_open(const struct tcp_snapshot *s)
{
	return s->state == TCP_SYN_RECEIVED;
}

/* Only who has said and read nothing can be begun anew. The kernel cannot be told of an urgent byte. */
static bool is_untouched(const struct tcp_snapshot *s)
{
	bool begun = s->state == TCP_ESTABLISHED || s->state == TCP_CLOSE_WAIT || is_half_open(s);

	return begun && s->snd_nxt == s->iss + 1 && s->snd_una == s->iss + !is_half_open(s) && s->snd_end == s->snd_nxt &&
	       s->copied_seq == s->irs + 1 && !has(s, TCP_SNAPSHOT_URG_IN | TCP_SNAPSHOT_FIN_QUEUED | TCP_SNAPSHOT_SHUT_RD);
}

/* --- looking --- */

static int read_look(const struct host_nl_msg *msg, void *arg)
{
	struct host_nl_attr table[INET_DIAG_INFO + 1];
	struct inet_diag_msg head;
	struct look *look = arg;
	struct tcp_info info;

	if (msg->type != SOCK_DIAG_BY_FAMILY || host_nl_msg_attrs(msg, sizeof(head), table, FS_ARRAY_SIZE(table)) < 0)
		return 0;
	memcpy(&head, msg->data, sizeof(head));
	look->state = head.idiag_state;
	look->cookie = head.id.idiag_cookie[0] | (uint64_t)head.id.idiag_cookie[1] << 32;
	look->is_whole = table[INET_DIAG_INFO].data != NULL;
	if (!look->is_whole)
		return 0;
	memset(&info, 0, sizeof(info));
	memcpy(&info, table[INET_DIAG_INFO].data, FS_MIN(sizeof(info), (size_t)table[INET_DIAG_INFO].len));
	look->received = info.tcpi_bytes_received;
	look->rcv_wscale = info.tcpi_rcv_wscale;
	return 0;
}

static struct look look_at(const struct host_repair *r, struct host_nl *nl)
{
	const struct tcp_snapshot *s = r->snap;
	struct inet_diag_req_v2 head = {
		.sdiag_family = ip_addr_is_v4(&s->local) ? AF_INET : AF_INET6,
		.sdiag_protocol = IPPROTO_TCP,
		.idiag_ext = 1 << (INET_DIAG_INFO - 1),
		.idiag_states = UINT32_MAX,
		.id.idiag_sport = be16_make(s->local_port).raw,
		.id.idiag_dport = be16_make(s->remote_port).raw,
		.id.idiag_if = r->ifindex,
		.id.idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE },
	};
	size_t skip = ip_addr_is_v4(&s->local) ? 12 : 0;
	struct look look = { 0 };
	struct host_nl_req req;

	memcpy(head.id.idiag_src, s->local.b + skip, 16 - skip);
	memcpy(head.id.idiag_dst, s->remote.b + skip, 16 - skip);
	host_nl_req_init(&req, SOCK_DIAG_BY_FAMILY, 0, &head, sizeof(head));
	host_nl_call(nl, &req, read_look, &look);
	return look;
}

/*
 * Is it there, with all that it had? It may have more: the peer goes on meanwhile, and who accepts there may have
 * read it, answered and closed. @before: the TIME-WAIT it comes from.
 */
static bool is_there(const struct tcp_snapshot *s, const struct look *look, const struct look *before)
{
	if (look->state == TCP_LISTEN)
		return false; /* sock_diag names the listener where it finds no connection */
	if (look->is_whole)
		return look->received >= queued(s);
	if (look->state == TCP_SYN_RECEIVED)
		return is_half_open(s);
	return look->state != 0 && look->cookie != before->cookie; /* over already */
}

/* And does it announce its windows as the peer was told? A half-open one cannot be asked. */
static bool arrived(const struct host_repair *r, struct host_nl *nl, const struct look *before)
{
	const struct tcp_snapshot *s = r->snap;
	uint8_t rcv_wscale = has(s, TCP_SNAPSHOT_WSCALE) ? s->rcv_wscale : 0;
	const struct timespec pause = { .tv_nsec = LOOK_NS };

	for (unsigned i = 0; i < LOOKS; i++) {
		struct look look = look_at(r, nl);

		if (is_there(s, &look, before))
			return !look.is_whole || look.rcv_wscale == rcv_wscale;
		sys_nanosleep(&pause);
	}
	return false;
}

/* --- the steps --- */

/* What is left of a connection before this one. */
static int leave_time_wait(const struct host_repair *r, const char **why)
{
	bool v4 = ip_addr_is_v4(&r->snap->local);
	struct tcp_snapshot past = *r->snap;
	struct host_repair before = { .snap = &past, .ifindex = r->ifindex };
	int fd = sys_socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), ret;

	if (fd < 0)
		return fd;
	past.state = TCP_FIN_WAIT2;
	past.flags = TCP_SNAPSHOT_FIN_QUEUED | TCP_SNAPSHOT_FIN_SENT;
	past.snd_una = past.snd_nxt = past.iss - STEP;
	past.snd_end = past.snd_una - 1;
	past.copied_seq = past.rcv_nxt = past.snd_wl1 = past.rcv_wup = past.irs - 2; /* its FIN is before our SYN */
	ret = host_repair_build(fd, &before, why);
	if (ret == 0 && !host_repair_peer_fin(fd, &before, TCP_CLOSED)) {
		*why = "no segment to ourselves arrives";
		ret = -EAGAIN;
	}
	sys_close(fd);
	return ret;
}

static int play_syn(const struct host_repair *r)
{
	const struct tcp_snapshot *s = r->snap;
	struct tcp_hdr h = {
		.src_port = s->remote_port,
		.dst_port = s->local_port,
		.seq = s->irs,
		.flags = TCP_SYN,
		.window = (uint16_t)FS_MIN(s->snd_wnd, 65535U),
		.options = TCP_HAS_MSS,
		.mss = s->mss_clamp,
	};

	/* No timestamps: the kernel's clock for these ends is not the one that the peer saw, which could run ahead. */
	if (has(s, TCP_SNAPSHOT_WSCALE)) {
		h.options |= TCP_HAS_WSCALE;
		h.wscale = s->snd_wscale;
	}
	if (has(s, TCP_SNAPSHOT_SACK))
		h.options |= TCP_HAS_SACK_PERMITTED;
	return host_repair_inject(r, &h, NULL, 0);
}

/* The ACK that completes the handshake, if the engine had it, then what the peer had sent. */
static int play_rest(const struct host_repair *r)
{
	const struct tcp_snapshot *s = r->snap;
	uint32_t bytes = queued(s) - has(s, TCP_SNAPSHOT_FIN_RECEIVED), done = 0, len = 0;
	struct tcp_hdr h = {
		.src_port = s->remote_port,
		.dst_port = s->local_port,
		.ack = s->iss + 1,
		.window = (uint16_t)FS_MIN(s->snd_wnd >> (has(s, TCP_SNAPSHOT_WSCALE) ? s->snd_wscale : 0), 65535U),
	};
	uint8_t piece[HOST_REPAIR_PIECE];
	int ret = 0;

	if (is_half_open(s))
		return 0;
	for (bool first = true; ret == 0 && (first || done < bytes); first = false, done += len) {
		len = first ? 0 : r->read(r->context, TCP_QUEUE_RECEIVE, done, piece, FS_MIN(bytes - done, sizeof(piece)));
		if (len == 0 && !first)
			return -EINVAL;
		h.seq = s->irs + 1 + done;
		h.flags = first ? TCP_ACK : TCP_ACK | TCP_PSH;
		ret = host_repair_inject(r, &h, piece, len);
	}
	h.seq = s->irs + 1 + bytes;
	h.flags = TCP_ACK | TCP_FIN;
	return ret == 0 && has(s, TCP_SNAPSHOT_FIN_RECEIVED) ? host_repair_inject(r, &h, NULL, 0) : ret;
}

/* What did not get as far as the queue, or not whole, ends without a word. */
static void take_back(const struct host_repair *r, const struct look *look)
{
	const struct tcp_snapshot *s = r->snap;
	struct tcp_hdr h = {
		.src_port = s->remote_port,
		.dst_port = s->local_port,
		.seq = s->irs + 1 + (uint32_t)look->received,
		.flags = TCP_RST,
	};

	host_repair_inject(r, &h, NULL, 0);
}

static int play(const struct host_repair *r, struct host_nl *nl, const char **why)
{
	struct look look, before;
	int ret = leave_time_wait(r, why);

	if (ret < 0)
		return ret;
	before = look_at(r, nl);
	*why = "a segment to ourselves";
	ret = play_syn(r);
	for (unsigned i = 0; ret == 0 && i < TRIES; i++) {
		ret = play_rest(r);
		if (ret == 0 && arrived(r, nl, &before))
			return 0;
	}
	look = look_at(r, nl);
	take_back(r, &look);
	*why = "the listener did not take it";
	return ret < 0 ? ret : -EAGAIN;
}

int host_repair_enqueue(const struct host_repair *repair, void *buf, size_t size, const char **why)
{
	struct host_nl nl;
	int ret;

	*why = "a state that cannot move";
	if (!is_untouched(repair->snap))
		return -EINVAL;
	*why = "sock_diag";
	ret = host_nl_open(&nl, NETLINK_SOCK_DIAG, 0, buf, size);
	if (ret < 0)
		return ret;
	ret = play(repair, &nl, why);
	host_nl_close(&nl);
	return ret;
}
