/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * against_kernel.c - the same segments and calls to the kernel's TCP and to ours; their answers are compared.
 *
 * The kernel is behind a TUN device in a network namespace of this program's own, which needs root. Coarse: what it
 * answers at once is compared (flags, relative numbers, length, SACK blocks), windows and timers are not. A trace is a
 * handshake and some steps drawn from a seed. Differences that are meant are in the table `meant`; any other ends the
 * trace and fails the run.
 *
 * Usage: against_kernel [A..B [-v]]. Ends with 77 where there is no TUN or no privilege.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "host.h"
#include "play.h"
#include "random.h"
#include "tcp/conn.h"
#include "trouble.h"
#include "wire/ipv4.h"
#include "wire/packet.h"
#include "wire/protocol.h"
#include "world.h"

enum {
	MAX_STEPS = 12,
	MAX_REPLIES = 16,
	FRAME = 4096,
	QUIET_MS = 2, /* without an answer of the kernel's: there is none */
	MAX_OPTIONS = 40,
	SKIP = 77,
};

/* --- a trace --- */

enum kind { STEP_SEGMENT, STEP_WRITE, STEP_READ, STEP_SHUTDOWN, STEP_CLOSE };

struct step {
	uint8_t kind;
	uint16_t flags;
	int32_t seq, ack; /* from what is next in order */
	uint32_t len;
	bool old_timestamp, no_timestamp;
};

/* What both sides are told, in the same words. */
struct trace {
	uint64_t seed;
	bool ts, sack;
	uint32_t peer_iss;
	unsigned n;
	struct step step[MAX_STEPS];
};

struct reply {
	uint16_t flags;
	uint32_t seq, ack; /* relative to both initial numbers */
	uint32_t len;
	uint8_t n_sack;
	struct tcp_sack_block sack[TCP_MAX_SACK];
};

struct replies {
	unsigned n;
	struct reply r[MAX_REPLIES];
};

static void draw_step(struct sim_random *r, struct step *s)
{
	static const uint16_t flags[] = { TCP_ACK, TCP_ACK, TCP_ACK, TCP_ACK | TCP_PSH, TCP_ACK | TCP_FIN, TCP_RST,
					  TCP_RST | TCP_ACK, TCP_SYN, TCP_SYN | TCP_ACK, TCP_FIN, 0, TCP_ACK | TCP_RST | TCP_FIN };
	static const int32_t near[] = { 0, 0, 0, 0, -1, 1, -100, 100, 1000, -1000, 60000, 100000, -100000, 1 << 30 };
	static const uint32_t lens[] = { 0, 0, 0, 1, 100, 1000 };

	*s = (struct step){ .kind = STEP_SEGMENT };
	switch (sim_below(r, 12)) {
	case 0:
		s->kind = STEP_WRITE;
		s->len = (uint32_t)sim_range(r, 1, 3000);
		return;
	case 1:
		s->kind = STEP_READ;
		return;
	case 2:
		s->kind = sim_chance(r, 50) ? STEP_SHUTDOWN : STEP_CLOSE;
		return;
	default:
		s->flags = SIM_PICK(r, flags);
		s->seq = SIM_PICK(r, near);
		s->ack = SIM_PICK(r, near);
		s->len = SIM_PICK(r, lens);
		s->old_timestamp = sim_chance(r, 5);
		s->no_timestamp = !s->old_timestamp && sim_chance(r, 5);
	}
}

static void draw_trace(struct trace *t, uint64_t seed)
{
	struct sim_random r = sim_random_stream(seed, 1);

	*t = (struct trace){ .seed = seed, .ts = sim_chance(&r, 60), .sack = sim_chance(&r, 70) };
	t->peer_iss = (uint32_t)sim_random_next(&r);
	t->n = (unsigned)sim_range(&r, 1, MAX_STEPS);
	for (unsigned i = 0; i < t->n; i++)
		draw_step(&r, &t->step[i]);
}

/* --- what a side is, seen from its peer --- */

struct side {
	const char *name;
	uint32_t iss;	     /* the side's; known from its SYN-ACK */
	uint32_t next;	     /* highest number it sent */
	uint32_t peer_next;  /* what the peer sent in order */
	uint32_t their_ts;   /* the last timestamp it sent */
	uint32_t our_ts;
	bool knows_iss;
	struct replies got;
	uint16_t peer_port;
};

/* What the peer sends: header filled for @side. */
static void fill(const struct trace *t, struct side *side, const struct step *s, struct tcp_hdr *h)
{
	*h = (struct tcp_hdr){ .src_port = side->peer_port, .dst_port = SIM_PORT, .flags = s->flags, .window = 1000 };
	h->seq = side->peer_next + (uint32_t)s->seq;
	h->ack = s->flags & TCP_ACK ? side->next + (uint32_t)s->ack : 0;
	if (t->ts && !s->no_timestamp) {
		h->options |= TCP_HAS_TIMESTAMP;
		h->ts_val = s->old_timestamp ? side->our_ts - 100 : ++side->our_ts;
		h->ts_ecr = side->their_ts;
	}
	if (s->flags == TCP_SYN && !side->knows_iss) {
		h->options |= TCP_HAS_MSS | TCP_HAS_WSCALE | (t->sack ? TCP_HAS_SACK_PERMITTED : 0);
		h->mss = 1460;
		h->wscale = 7;
		h->window = 64000;
	}
	/* What continues the stream is sent; all else is somebody's mistake. */
	if (s->seq == 0 && !(s->flags & (TCP_RST | TCP_SYN)) && (s->flags & TCP_ACK) && s->ack == 0 && !s->old_timestamp)
		side->peer_next += s->len + !!(s->flags & TCP_FIN);
}

/* @bytes is an IP packet that @side sent. */
static void take(const struct trace *t, struct side *side, const uint8_t *bytes, uint32_t len)
{
	struct reply *r = &side->got.r[side->got.n];
	struct packet p;
	struct tcp_hdr h;
	uint32_t end;

	if (packet_parse_ip(&p, bytes, len, len) != PACKET_OK || p.protocol != WIRE_PROTO_TCP ||
	    tcp_parse(&h, bytes + p.l4_offset, p.l4_len) < 0 || h.dst_port != side->peer_port || side->got.n == MAX_REPLIES)
		return;
	if ((h.flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK) && (!side->knows_iss || h.seq != side->iss)) {
		side->iss = h.seq; /* also of a connection that follows a reset one */
		side->next = h.seq + 1;
		side->knows_iss = true;
	}
	end = h.seq + p.payload_len + !!(h.flags & TCP_FIN);
	/* The kernel's clock is the wall's: what it sends again, or as a probe, is not an answer. */
	if (end != h.seq && (int32_t)(end - side->next) <= 0 && !(h.flags & TCP_RST))
		return;
	if ((int32_t)(end - side->next) > 0 && !(h.flags & TCP_RST))
		side->next = end;
	if (h.options & TCP_HAS_TIMESTAMP)
		side->their_ts = h.ts_val;
	*r = (struct reply){ .flags = h.flags, .len = p.payload_len, .n_sack = h.n_sack };
	r->seq = h.seq - side->iss;
	r->ack = h.flags & TCP_ACK ? h.ack - t->peer_iss : 0;
	for (unsigned i = 0; i < h.n_sack; i++)
		r->sack[i] = (struct tcp_sack_block){ h.sack[i].left - t->peer_iss, h.sack[i].right - t->peer_iss };
	side->got.n++;
}

/* --- the kernel --- */

struct kernel {
	int tun, listener, conn;
	struct side side;
};

static void set(const char *name, const char *value)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static bool kernel_open(struct kernel *k)
{
	struct ifreq ifr = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(SIM_PORT) };
	int control, one = 1;

	if (unshare(CLONE_NEWNET) < 0)
		return false;
	k->tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	strcpy(ifr.ifr_name, "fst0");
	if (k->tun < 0 || ioctl(k->tun, TUNSETIFF, &ifr) < 0)
		return false;
	control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	inet_pton(AF_INET, "10.0.0.1", &a.sin_addr);
	memcpy(&ifr.ifr_addr, &a, sizeof(a));
	if (ioctl(control, SIOCSIFADDR, &ifr) < 0)
		return false;
	inet_pton(AF_INET, "255.255.255.0", &a.sin_addr);
	memcpy(&ifr.ifr_netmask, &a, sizeof(a));
	if (ioctl(control, SIOCSIFNETMASK, &ifr) < 0)
		return false;
	ifr.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(control, SIOCSIFFLAGS, &ifr) < 0)
		return false;
	close(control);
	/* Answers that are limited in number would differ by chance. */
	set("tcp_invalid_ratelimit", "0");
	set("tcp_challenge_ack_limit", "2147483647");
	set("tcp_ecn", "0");
	set("tcp_fastopen", "0");
	set("tcp_early_retrans", "0");
	set("tcp_autocorking", "0");
	a.sin_addr.s_addr = INADDR_ANY;
	k->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(k->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	return bind(k->listener, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(k->listener, 100) == 0;
}

static void kernel_drain(const struct trace *t, struct kernel *k)
{
	struct pollfd p = { .fd = k->tun, .events = POLLIN };
	uint8_t bytes[FRAME];
	ssize_t n;

	while (poll(&p, 1, QUIET_MS) > 0)
		while ((n = read(k->tun, bytes, sizeof(bytes))) > 0)
			take(t, &k->side, bytes, (uint32_t)n);
}

static void kernel_segment(const struct trace *t, struct kernel *k, const struct step *s)
{
	static const uint8_t kernel_addr[4] = { 10, 0, 0, 1 }, peer_addr[4] = { 10, 0, 0, 2 };
	uint8_t b[FRAME] = { 0 };
	struct tcp_hdr h;
	struct ipv4_hdr ip = { .src = ip_addr_v4(peer_addr), .dst = ip_addr_v4(kernel_addr), .hdr_len = IPV4_HDR_LEN,
			       .ttl = 64, .protocol = WIRE_PROTO_TCP, .dont_fragment = true };
	uint32_t l4_len;
	be16_t sum;

	fill(t, &k->side, s, &h);
	l4_len = (uint32_t)tcp_emit_len(&h) + s->len;
	ip.total_len = (uint16_t)(IPV4_HDR_LEN + l4_len);
	ipv4_emit(&ip, b, sizeof(b));
	tcp_emit(&h, b + IPV4_HDR_LEN, TCP_MAX_HDR_LEN);
	sum = csum_finish(csum_add(csum_pseudo(&ip.src, &ip.dst, WIRE_PROTO_TCP, l4_len),
				   csum_inline(b + IPV4_HDR_LEN, l4_len)));
	memcpy(b + IPV4_HDR_LEN + 16, &sum, 2);
	if (write(k->tun, b, ip.total_len) < 0)
		perror("tun");
}

static void kernel_call(struct kernel *k, const struct step *s)
{
	uint8_t bytes[FRAME] = { 0 };

	if (k->conn < 0)
		k->conn = accept4(k->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (k->conn < 0)
		return;
	switch (s->kind) {
	case STEP_WRITE:
		if (send(k->conn, bytes, s->len, MSG_NOSIGNAL) < 0)
			break;
		break;
	case STEP_READ:
		while (recv(k->conn, bytes, sizeof(bytes), 0) > 0)
			;
		break;
	case STEP_SHUTDOWN:
		shutdown(k->conn, SHUT_WR);
		break;
	case STEP_CLOSE:
		close(k->conn);
		k->conn = -2;
		break;
	default:
		break;
	}
}

static void kernel_step(const struct trace *t, struct kernel *k, const struct step *s)
{
	k->side.got.n = 0;
	if (s->kind == STEP_SEGMENT)
		kernel_segment(t, k, s);
	else if (k->conn != -2)
		kernel_call(k, s);
	kernel_drain(t, k);
	if (k->conn == -1)
		k->conn = accept4(k->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static void kernel_begin(struct kernel *k, const struct trace *t, uint16_t port)
{
	k->conn = -1;
	k->side = (struct side){ .name = "kernel", .peer_next = t->peer_iss, .our_ts = 1000, .peer_port = port };
}

/* Nothing stays, neither of what was accepted nor of what waits to be. */
static void kernel_end(struct kernel *k)
{
	struct linger reset = { 1, 0 };

	do {
		if (k->conn < 0)
			continue;
		setsockopt(k->conn, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(k->conn);
	} while ((k->conn = accept4(k->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
}

/* --- our engine --- */

struct ours {
	struct sim_world *world;
	struct sim_host *host;
	struct tcp_listener listener;
	struct tcp_conn *conn;
	bool closed;
	const struct trace *trace;
	struct side side;
};

static void ours_sending(struct sim_world *w, struct sim_host *host, unsigned port, const struct fbuf *frame)
{
	struct ours *o = w->more;
	uint8_t bytes[FRAME];
	uint32_t n = fbuf_copy_out(frame, 0, bytes, sizeof(bytes));

	(void)port;
	if (host == o->host)
		take(o->trace, &o->side, bytes + 14, n - 14);
}

static void ours_settle(struct ours *o)
{
	sim_host_settle(o->host);
	while (sim_step(o->world, o->world->now + FS_US(20))) /* as little as the kernel has: no timer comes due */
		;
}

static void ours_step(const struct trace *t, struct ours *o, const struct step *s)
{
	uint8_t bytes[FRAME] = { 0 };
	struct iovec iov = { bytes, sizeof(bytes) };
	struct tcp_conn *c;

	o->side.got.n = 0;
	o->host->env.now = o->world->now;
	if (s->kind == STEP_SEGMENT) {
		struct sim_forged f = { .src = sim_host_peer(o->host, 0)->v4, .dst = o->host->v4, .payload = bytes, .len = s->len };

		fill(t, &o->side, s, &f.h);
		sim_forge(o->host, 0, &f);
	} else if (o->conn && !o->closed) {
		c = o->conn;
		switch (s->kind) {
		case STEP_WRITE:
			iov.iov_len = s->len;
			tcp_send(c, &o->host->env, &iov, 1, 0, o->world->now);
			break;
		case STEP_READ:
			while (tcp_recv(c, &o->host->env, &iov, 1, 0, 0, o->world->now) > 0)
				;
			break;
		case STEP_SHUTDOWN:
			tcp_shutdown(c, &o->host->env, TCP_SHUT_WR, o->world->now);
			break;
		default:
			o->closed = true;
			tcp_close(c, &o->host->env, o->world->now);
		}
	}
	ours_settle(o);
	if (!o->conn)
		o->conn = tcp_accept(&o->listener);
}

/* --- comparing --- */

static bool same_reply(const struct reply *a, const struct reply *b)
{
	/* Whether a reset carries an ACK, and a segment PSH, is nobody's concern. */
	if ((a->flags ^ b->flags) & ~(uint32_t)(TCP_PSH | (a->flags & TCP_RST ? TCP_ACK : 0)))
		return false;
	if (a->seq != b->seq && !(a->flags & TCP_RST))
		return false;
	if (a->flags & TCP_RST)
		return true;
	return a->ack == b->ack && a->len == b->len && a->n_sack == b->n_sack &&
	       memcmp(a->sack, b->sack, a->n_sack * sizeof(a->sack[0])) == 0;
}

static bool same_replies(const struct replies *a, const struct replies *b)
{
	for (unsigned i = 0; i < a->n && i < b->n; i++)
		if (!same_reply(&a->r[i], &b->r[i]))
			return false;
	return a->n == b->n;
}

struct moment {
	const struct step *step;
	const struct replies *kernel, *ours;
	bool had_fin;	 /* a FIN that was not in order was sent */
	bool ended;	 /* one in order */
	bool had_gap;	 /* text came that was not in order */
	bool closed, forgotten; /* closed by its user; and its FIN acked */
	bool acks_differ; /* one of them has acked what the other has not yet */
};

/* Nothing but ACKs, with whatever blocks. */
static bool only_acks(const struct replies *r)
{
	for (unsigned i = 0; i < r->n; i++)
		if (r->r[i].flags != TCP_ACK || r->r[i].len > 0)
			return false;
	return true;
}

static uint32_t text_of(const struct replies *r)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < r->n; i++)
		sum += r->r[i].len;
	return sum;
}

/* The kernel does not look at the number of a segment without ACK; RFC 9293 3.10.7.4 does first. */
static bool has_no_ack(const struct moment *m)
{
	return m->step->kind == STEP_SEGMENT && !(m->step->flags & (TCP_ACK | TCP_RST | TCP_SYN)) && m->kernel->n == 0 &&
	       only_acks(m->ours);
}

/* The kernel's FIN is a number like any other in SACK and D-SACK blocks; here blocks are of data. */
static bool has_fin_in_a_block(const struct moment *m)
{
	if (!m->had_fin || m->kernel->n != m->ours->n)
		return false;
	for (unsigned i = 0; i < m->kernel->n; i++) {
		struct reply k = m->kernel->r[i], o = m->ours->r[i];

		k.n_sack = o.n_sack = 0;
		if (!same_reply(&k, &o))
			return false;
	}
	return true;
}

/* The kernel makes room for SACK blocks in segments with data or FIN; here they travel alone, and data are full-sized. */
static bool has_blocks_with_data(const struct moment *m)
{
	uint16_t k = 0, o = 0;

	for (unsigned i = 0; i < m->kernel->n; i++)
		k |= m->kernel->r[i].flags;
	for (unsigned i = 0; i < m->ours->n; i++)
		o |= m->ours->r[i].flags;
	if (m->kernel->n == 0 || m->kernel->r[0].n_sack == 0)
		return false;
	return (k & o & TCP_FIN) || (text_of(m->kernel) > 0 && text_of(m->ours) - text_of(m->kernel) < MAX_OPTIONS);
}

/* RFC 5961 3.2: what counts is the RST's own number; the kernel also challenges if text behind it is in the window. */
static bool is_reset_with_text(const struct moment *m)
{
	return (m->step->flags & TCP_RST) && (m->step->len > 0 || (m->step->flags & TCP_FIN)) && m->ours->n == 0 &&
	       only_acks(m->kernel);
}

/* A closed connection in FIN-WAIT-2 is a few words in the kernel, which look at numbers in their own order. */
static bool is_orphan(const struct moment *m)
{
	return m->forgotten;
}

static bool is_reset(const struct replies *r)
{
	return r->n == 1 && (r->r[0].flags & TCP_RST);
}

/* Text after the peer's FIN: ignored here (RFC 9293 3.10.7.4, seventh), reset by some kernels. */
static bool is_after_the_end(const struct moment *m)
{
	return m->ended && m->step->kind == STEP_SEGMENT && (only_acks(m->ours) || is_reset(m->kernel));
}

/* A FIN whose number an earlier text has: the kernel ends there, here the text goes on. */
static bool is_end_before_text(const struct moment *m)
{
	return m->ended && m->had_gap && (m->step->flags & TCP_FIN);
}

/* A FIN behind a hole says that text is missing, which nobody would read: the kernel resets at once. */
static bool is_fin_for_nobody(const struct moment *m)
{
	return (m->step->flags & TCP_FIN) && m->step->seq != 0 && is_reset(m->kernel) && only_acks(m->ours);
}

/* When an ACK of data in order, or of a window that opens, leaves is each one's own choice (RFC 9293 3.8.6.3), and what
 * counts as old depends on it. */
static bool acks_at_another_time(const struct moment *m)
{
	bool takes = m->step->kind == STEP_READ || m->step->kind == STEP_WRITE || m->step->len > 0 ||
		     (m->step->flags & TCP_FIN);

	return (takes || m->acks_differ) && only_acks(m->kernel) && only_acks(m->ours);
}

/* Kernels since 6.16 drop a bare ACK with an old timestamp; RFC 7323 5.3 R1 answers it. */
static bool is_old_ack(const struct moment *m)
{
	return m->step->old_timestamp && m->step->len == 0 && m->kernel->n == 0 && only_acks(m->ours);
}

/* What waited behind a hole goes with the user who would have read it. */
static bool has_no_blocks_after_close(const struct moment *m)
{
	return m->closed && only_acks(m->kernel) && only_acks(m->ours);
}

/* An ACK that a hole wants at once is sent also beside data, where it is no duplicate (RFC 5681 2). */
static bool has_duplicate_beside_data(const struct moment *m)
{
	struct replies k = { 0 }, o = { 0 };

	for (unsigned i = 0; i < m->kernel->n; i++)
		if (m->kernel->r[i].flags != TCP_ACK || m->kernel->r[i].len > 0)
			k.r[k.n++] = m->kernel->r[i];
	for (unsigned i = 0; i < m->ours->n; i++)
		if (m->ours->r[i].flags != TCP_ACK || m->ours->r[i].len > 0)
			o.r[o.n++] = m->ours->r[i];
	return m->step->seq != 0 && k.n > 0 && same_replies(&k, &o);
}

/* @ends: what follows cannot be compared any more. */
static const struct {
	const char *what;
	bool (*is)(const struct moment *m);
	bool ends;
} meant[] = {
	{ "FIN before text that came earlier", is_end_before_text, true },
	{ "ACK of data in order at another time", acks_at_another_time, false },
	{ "segment without ACK", has_no_ack, false },
	{ "FIN in a SACK block", has_fin_in_a_block, false },
	{ "SACK blocks with data", has_blocks_with_data, true },
	{ "duplicate ACK beside data", has_duplicate_beside_data, false },
	{ "RST with text", is_reset_with_text, false },
	{ "bare ACK with an old timestamp", is_old_ack, false },
	{ "orphan in FIN-WAIT-2", is_orphan, true },
	{ "SACK blocks after close", has_no_blocks_after_close, false },
	{ "FIN behind a hole, after close", is_fin_for_nobody, true },
	{ "after the peer's end", is_after_the_end, true },
};

static void print(const char *name, const struct replies *r)
{
	fprintf(stderr, "  %s:", name);
	for (unsigned i = 0; i < r->n; i++) {
		const struct reply *x = &r->r[i];

		fprintf(stderr, " [flags %02x seq %d ack %d len %u sack", x->flags, (int32_t)x->seq, (int32_t)x->ack, x->len);
		for (unsigned k = 0; k < x->n_sack; k++)
			fprintf(stderr, " %d..%d", (int32_t)x->sack[k].left, (int32_t)x->sack[k].right);
		fprintf(stderr, "]");
	}
	fprintf(stderr, "%s\n", r->n ? "" : " nothing");
}

static void print_step(unsigned i, const struct step *s)
{
	static const char *const names[] = { "segment", "write", "read", "shutdown", "close" };

	fprintf(stderr, " step %u: %s flags %02x seq %+d ack %+d len %u%s\n", i, names[s->kind], s->flags, s->seq, s->ack,
		s->len, s->old_timestamp ? " old timestamp" : s->no_timestamp ? " no timestamp" : "");
}

/* --- a run --- */

struct run {
	struct kernel *kernel;
	struct trace trace;
	uint16_t port;
	bool verbose, same;
	bool had_fin, had_gap, ended, closed, shut, fin_acked, acks_differ;
	bool over; /* another connection began: its number is another */
	unsigned steps, meant;
};

/* Text in order with an ACK that may be too old to be true, as any is while nothing was acked: the kernel's header prediction
 * does not ask, RFC 5961 5.2 does. What follows cannot be compared, whether it shows at once or not. */
static bool is_predicted_blindly(const struct step *s)
{
	return s->kind == STEP_SEGMENT && (s->flags & ~TCP_PSH) == TCP_ACK && s->seq == 0 && s->len > 0 && s->ack < 0;
}

static bool step_both(struct run *run, struct ours *o, unsigned i, const struct step *s)
{
	struct moment m = { .step = s, .kernel = &run->kernel->side.got, .ours = &o->side.got };

	kernel_step(&run->trace, run->kernel, s);
	ours_step(&run->trace, o, s);
	run->steps++;
	run->had_fin |= s->kind == STEP_SEGMENT && (s->flags & TCP_FIN) && s->seq != 0;
	run->had_gap |= s->kind == STEP_SEGMENT && s->seq > 0 && s->len > 0;
	run->ended |= s->kind == STEP_SEGMENT && (s->flags & TCP_FIN) && (s->flags & TCP_ACK) && s->seq <= 0 &&
		      s->seq + (int32_t)s->len >= 0;
	run->fin_acked |= run->shut && s->kind == STEP_SEGMENT && (s->flags & TCP_ACK) && s->ack == 0;
	m.forgotten = run->closed && run->fin_acked;
	run->closed |= s->kind == STEP_CLOSE;
	run->shut |= s->kind == STEP_CLOSE || s->kind == STEP_SHUTDOWN;
	m.had_fin = run->had_fin;
	m.had_gap = run->had_gap;
	m.ended = run->ended;
	m.closed = run->closed;
	m.acks_differ = run->acks_differ;
	for (unsigned k = 0; k < m.ours->n && run->steps > 1; k++)
		run->over |= (m.ours->r[k].flags & TCP_SYN) != 0;
	if (run->verbose) {
		print_step(i, s);
		print("kernel", m.kernel);
		print("ours", m.ours);
	}
	if (is_predicted_blindly(s)) {
		run->over = true;
		run->meant++;
		return true;
	}
	if (same_replies(m.kernel, m.ours))
		return true;
	for (unsigned k = 0; k < FS_ARRAY_SIZE(meant); k++) {
		if (meant[k].is(&m)) {
			run->acks_differ |= meant[k].is == acks_at_another_time;
			run->over |= meant[k].ends;
			run->meant++;
			return true;
		}
	}
	if (!run->verbose) {
		fprintf(stderr, "seed %llu (%s%s) differs\n", (unsigned long long)run->trace.seed, run->trace.ts ? "timestamps" : "",
			run->trace.sack ? " sack" : "");
		for (unsigned k = 0; k < i; k++)
			print_step(k, &run->trace.step[k]);
		print_step(i, s);
		print("kernel", m.kernel);
		print("ours", m.ours);
	}
	return false;
}

static void body(struct sim_world *w, void *argument)
{
	static const struct step syn = { .flags = TCP_SYN }, third = { .flags = TCP_ACK };
	struct run *run = argument;
	struct sim_host_config config = { .use_tcp_config = true };
	const struct fault_config nowhere = { .loss = FAULT_MILLION };
	struct ours o = { .world = w, .trace = &run->trace };

	tcp_config_default(&config.tcp);
	config.tcp.challenge_per_s = 1000;
	sim_play_create(w);
	w->watch = (struct sim_watch){ .sending = ours_sending };
	w->more = &o;
	o.side = (struct side){ .name = "ours", .peer_next = run->trace.peer_iss, .our_ts = 1000, .peer_port = run->port };
	o.host = sim_host_create(w, &config);
	sim_link_create(w, o.host, sim_host_create(w, &config), &nowhere, 64);
	o.listener.local_port = SIM_PORT;
	o.listener.user = NULL;
	tcp_options_default(&o.listener.options, &config.tcp);
	o.host->env.tcp_ops = &(const struct tcp_ops){ .resolve = o.host->env.tcp_ops->resolve };
	SIM_CHECK(w, tcp_listen(&o.host->tcp, &o.listener, 10) == 0, "listen");
	kernel_begin(run->kernel, &run->trace, run->port);
	run->same = step_both(run, &o, 0, &syn);
	run->kernel->side.peer_next = o.side.peer_next = run->trace.peer_iss + 1;
	run->same = run->same && step_both(run, &o, 0, &third);
	for (unsigned i = 0; i < run->trace.n && run->same && !run->over; i++)
		run->same = step_both(run, &o, i, &run->trace.step[i]);
	kernel_end(run->kernel);
	kernel_drain(&run->trace, run->kernel);
}

int main(int argc, char **argv)
{
	unsigned long long first = 1, last = 300;
	struct kernel k = { .conn = -1 };
	unsigned different = 0, steps = 0, agreed = 0;
	uint16_t port = 1024;

	if (argc > 1 && sscanf(argv[1], "%llu..%llu", &first, &last) != 2) {
		fprintf(stderr, "usage: against_kernel [A..B [-v]]\n");
		return 2;
	}
	if (!kernel_open(&k)) {
		fprintf(stderr, "no namespace or no TUN: %s\n", strerror(errno));
		return SKIP;
	}
	for (uint64_t seed = first; seed <= last; seed++) {
		struct run run = { .kernel = &k, .port = port++, .verbose = argc > 2 };
		struct sim_world *w = sim_world_create(seed, FS_SEC(1000), 0);

		if (port == 60000)
			port = 1024;
		draw_trace(&run.trace, seed);
		if (!sim_world_run(w, body, &run)) {
			fprintf(stderr, "seed %llu: %s\n", (unsigned long long)seed, w->message);
			run.same = false;
		}
		different += !run.same;
		steps += run.steps;
		agreed += run.meant;
		sim_world_destroy(w);
	}
	printf("%llu traces, %u steps, %u meant differences, %u traces differ\n", last - first + 1, steps, agreed, different);
	return different ? 1 : 0;
}
