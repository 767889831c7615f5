/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_host_repair.c - connections that change from one kernel socket to another, while the peer's socket notices nothing.
 *
 * Two namespaces with a veth pair, "a" and "b". What host_repair_build() is given comes from a live kernel socket of a's by
 * TCP_REPAIR, so the state is one that really occurs; that socket is closed without a word. The peer is made deaf
 * by a socket filter where something must stay unacked, and while nobody has the connection. Needs root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "host/repair.h"
#include "tcp/snapshot.h"

enum {
	PORT = 4000,
	QUEUE = 1 << 20,	/* bytes that a's socket takes before a deaf peer's window ends it */
	PATIENCE_MS = 20000,	/* a hang guard, no measure */
	MANY = 300000,		/* more than a first window holds: some stay unsent */
	SOME = 5000,
};

/* What the connection has between it and its peer when it moves. */
struct plan {
	const char *name;
	int state;		/* enum tcp_state */
	uint32_t unacked;	/* bytes written with a deaf peer */
	uint32_t unread;	/* bytes the peer wrote */
	bool fin_unsent;
};

enum kind { V4, V6, MAPPED };

struct way {
	int a, b, listener;	/* a: the connection's side that moves; b: its peer */
	enum kind kind;
	struct plan plan;
	uint64_t a_wrote, a_read, b_wrote, b_read;
	bool a_shut, b_shut;
	struct tcp_snapshot s;
	struct tcp_info before;
	uint8_t *send, *receive;
	uint32_t n_send, n_receive;
};

static int ns_a = -1, ns_b = -1;

/* --- the world --- */

static void run(const char *command)
{
	if (system(command) != 0)
		fail_msg("%s", command);
}

static void enter(int ns)
{
	assert_int_equal(setns(ns, CLONE_NEWNET), 0);
}

static int open_namespace(void)
{
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

static int make_world(void **state)
{
	char command[200];

	(void)state;
	if (geteuid() != 0)
		return 0;
	ns_b = open_namespace();
	ns_a = open_namespace();
	snprintf(command, sizeof(command), "ip link add va type veth peer name vb netns /proc/%d/fd/%d", getpid(), ns_b);
	run(command);
	run("ip link set lo up; ip addr add 10.9.0.1/24 dev va; ip addr add fd09::1/64 dev va nodad; ip link set va up");
	enter(ns_b);
	run("ip link set lo up; ip addr add 10.9.0.2/24 dev vb; ip addr add fd09::2/64 dev vb nodad; ip link set vb up");
	enter(ns_a);
	return 0;
}

static void sysctl_tcp(const char *name, const char *value)
{
	static const int *const spaces[] = { &ns_a, &ns_b };
	char path[100];

	for (unsigned i = 0; i < 2; i++) {
		int fd;

		enter(*spaces[i]);
		snprintf(path, sizeof(path), "/proc/sys/net/ipv4/tcp_%s", name);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		assert_true(fd >= 0 && write(fd, value, strlen(value)) > 0);
		close(fd);
	}
	enter(ns_a);
}

/* --- sockets --- */

static int get_int(int fd, int level, int option)
{
	int value = 0;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, option, &value, &len), 0);
	return value;
}

static void set_int(int fd, int level, int option, int value)
{
	assert_int_equal(setsockopt(fd, level, option, &value, sizeof(value)), 0);
}

static struct tcp_info info_of(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	return info;
}

static void await_state(int fd, int state)
{
	for (unsigned i = 0; i < PATIENCE_MS && info_of(fd).tcpi_state != state; i++)
		usleep(1000);
	assert_int_equal(info_of(fd).tcpi_state, state);
}

/* Everything that comes for @fd is dropped below TCP. */
static void deafen(int fd, bool deaf)
{
	struct sock_filter drop = { .code = BPF_RET | BPF_K, .k = 0 };
	struct sock_fprog program;

	memset(&program, 0, sizeof(program)); /* its padding, too: memcheck looks at what the kernel is given */
	program.len = 1;
	program.filter = &drop;
	if (deaf)
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)), 0);
	else
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &program, sizeof(program)), 0);
}

static socklen_t name_of(struct sockaddr_in6 *to, enum kind kind, unsigned host, uint16_t port)
{
	char text[40];

	memset(to, 0, sizeof(*to));
	if (kind == V4) {
		struct sockaddr_in *v4 = (struct sockaddr_in *)to;

		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		v4->sin_addr.s_addr = htonl(0x0a090000 + host);
		return sizeof(*v4);
	}
	to->sin6_family = AF_INET6;
	to->sin6_port = htons(port);
	snprintf(text, sizeof(text), kind == V6 ? "fd09::%u" : "::ffff:10.9.0.%u", host);
	inet_pton(AF_INET6, text, &to->sin6_addr);
	return sizeof(*to);
}

static int stream(enum kind kind)
{
	int fd = socket(kind == V4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	return fd;
}

static int listen_at(int ns, enum kind kind, unsigned host, uint16_t port)
{
	struct sockaddr_in6 name;
	int fd;

	enter(ns);
	fd = stream(kind);
	set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, name_of(&name, kind, host, port)), 0);
	assert_int_equal(listen(fd, 16), 0);
	enter(ns_a);
	return fd;
}

/* a accepts from b if @passive, else connects to it. */
static void open_way(struct way *w, enum kind kind, bool passive)
{
	struct sockaddr_in6 name;
	struct pollfd p;
	int from;

	memset(w, 0, sizeof(*w));
	w->kind = kind;
	w->listener = passive ? listen_at(ns_a, kind, 1, PORT) : listen_at(ns_b, kind, 2, PORT);
	enter(passive ? ns_b : ns_a);
	from = stream(kind);
	enter(ns_a);
	connect(from, (struct sockaddr *)&name, name_of(&name, kind, passive ? 1 : 2, PORT));
	p = (struct pollfd){ .fd = w->listener, .events = POLLIN };
	assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
	w->a = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	w->b = from;
	if (!passive) {
		w->b = w->a;
		w->a = from;
		close(w->listener);
		w->listener = -1;
	}
	await_state(w->a, TCP_ESTABLISHED);
}

static void close_way(struct way *w)
{
	close(w->a);
	close(w->b);
	if (w->listener >= 0)
		close(w->listener);
	free(w->send);
	free(w->receive);
}

/* --- bytes whose value tells their place --- */

static uint8_t byte_at(uint64_t at)
{
	return (uint8_t)(at * 7 + (at >> 8) * 3 + (at >> 16));
}

static void write_bytes(int fd, uint64_t *wrote, uint32_t n)
{
	uint8_t bytes[1000];
	uint64_t end = *wrote + n;

	while (*wrote < end) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		uint32_t len = (uint32_t)FS_MIN(end - *wrote, sizeof(bytes));
		ssize_t ret;

		for (uint32_t i = 0; i < len; i++)
			bytes[i] = byte_at(*wrote + i);
		assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
		ret = send(fd, bytes, len, MSG_NOSIGNAL);
		if (ret < 0)
			fail_msg("send: %s", strerror(errno));
		*wrote += (uint64_t)ret;
	}
}

/* Reads what was written, then, @end: the end. */
static void read_bytes(int fd, uint64_t *got, uint64_t wrote, bool end)
{
	uint8_t bytes[8192];

	while (*got < wrote || end) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t ret;

		if (poll(&p, 1, PATIENCE_MS) != 1)
			fail_msg("nothing comes after %llu of %llu bytes", (unsigned long long)*got,
				 (unsigned long long)wrote);
		ret = recv(fd, bytes, sizeof(bytes), 0);
		if (ret < 0)
			fail_msg("recv after %llu: %s", (unsigned long long)*got, strerror(errno));
		if (ret == 0) {
			assert_int_equal(*got, wrote);
			return;
		}
		for (ssize_t i = 0; i < ret; i++, (*got)++)
			if (bytes[i] != byte_at(*got))
				fail_msg("byte %llu of %llu is wrong", (unsigned long long)*got,
					 (unsigned long long)wrote);
	}
}

/* --- out of one socket --- */

static uint32_t queue_seq(int fd, int queue)
{
	set_int(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, queue);
	return (uint32_t)get_int(fd, IPPROTO_TCP, TCP_QUEUE_SEQ);
}

static uint32_t queue_len(int fd, unsigned long request)
{
	int n = 0;

	assert_int_equal(ioctl(fd, request, &n), 0);
	return (uint32_t)n;
}

static uint8_t *take_queue(int fd, int queue, uint32_t len)
{
	uint8_t *bytes = malloc(len + 1);

	set_int(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, queue);
	assert_non_null(bytes);
	if (len > 0)
		assert_int_equal(recv(fd, bytes, len, MSG_PEEK), len);
	return bytes;
}

static struct ip_addr addr_of(enum kind kind, const struct sockaddr_in6 *name)
{
	return kind == V4 ? ip_addr_v4(&((const struct sockaddr_in *)name)->sin_addr) : ip_addr_v6(&name->sin6_addr);
}

static void take_names(struct way *w, struct tcp_snapshot *s)
{
	struct sockaddr_in6 name;
	socklen_t len = sizeof(name);

	assert_int_equal(getsockname(w->a, (struct sockaddr *)&name, &len), 0);
	s->local = addr_of(w->kind, &name);
	s->local_port = ntohs(name.sin6_port);
	len = sizeof(name);
	assert_int_equal(getpeername(w->a, (struct sockaddr *)&name, &len), 0);
	s->remote = addr_of(w->kind, &name);
	s->remote_port = ntohs(name.sin6_port);
}

static void take_window(struct way *w, struct tcp_snapshot *s)
{
	struct tcp_repair_window window;
	socklen_t len = sizeof(window);

	assert_int_equal(getsockopt(w->a, IPPROTO_TCP, TCP_REPAIR_WINDOW, &window, &len), 0);
	s->snd_wl1 = window.snd_wl1;
	s->snd_wnd = window.snd_wnd;
	s->max_window = window.max_window;
	s->rcv_wnd = window.rcv_wnd;
	s->rcv_wup = window.rcv_wup;
}

static void take_sequences(struct way *w, struct tcp_snapshot *s)
{
	bool fin_out = s->flags & TCP_SNAPSHOT_FIN_QUEUED, fin_in = s->flags & TCP_SNAPSHOT_FIN_RECEIVED;
	uint32_t end = queue_seq(w->a, TCP_SEND_QUEUE);

	s->snd_una = end - queue_len(w->a, SIOCOUTQ);
	s->snd_nxt = end - queue_len(w->a, SIOCOUTQNSD);
	s->snd_end = end - fin_out;
	if (fin_out && s->snd_nxt == end)
		s->flags |= TCP_SNAPSHOT_FIN_SENT;
	s->rcv_nxt = queue_seq(w->a, TCP_RECV_QUEUE);
	w->n_receive = queue_len(w->a, SIOCINQ);
	s->copied_seq = s->rcv_nxt - fin_in - w->n_receive;
	w->n_send = s->state == TCP_FIN_WAIT2 ? 0 : s->snd_end - s->snd_una;
}

/* As the engine's tcp_export() says it; then the socket is gone without a word. */
static void take_out(struct way *w)
{
	struct tcp_snapshot *s = &w->s;

	w->before = info_of(w->a);
	set_int(w->a, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_ON);
	memset(s, 0, sizeof(*s));
	s->version = TCP_SNAPSHOT_VERSION;
	s->state = w->before.tcpi_state;
	s->flags |= w->before.tcpi_options & TCPI_OPT_TIMESTAMPS ? TCP_SNAPSHOT_TS : 0;
	s->flags |= w->before.tcpi_options & TCPI_OPT_SACK ? TCP_SNAPSHOT_SACK : 0;
	s->flags |= w->before.tcpi_options & TCPI_OPT_WSCALE ? TCP_SNAPSHOT_WSCALE : 0;
	if (s->state == TCP_FIN_WAIT1 || s->state == TCP_FIN_WAIT2 || s->state == TCP_CLOSING || s->state == TCP_LAST_ACK)
		s->flags |= TCP_SNAPSHOT_FIN_QUEUED;
	if (s->state == TCP_CLOSE_WAIT || s->state == TCP_CLOSING || s->state == TCP_LAST_ACK)
		s->flags |= TCP_SNAPSHOT_FIN_RECEIVED;
	s->snd_wscale = w->before.tcpi_snd_wscale;
	s->rcv_wscale = w->before.tcpi_rcv_wscale;
	s->mss_clamp = (uint16_t)get_int(w->a, IPPROTO_TCP, TCP_MAXSEG);
	s->ts_now = (uint32_t)get_int(w->a, IPPROTO_TCP, TCP_TIMESTAMP);
	s->options.linger_s = -1;
	take_names(w, s);
	take_window(w, s);
	take_sequences(w, s);
	w->send = take_queue(w->a, TCP_SEND_QUEUE, w->n_send);
	w->receive = take_queue(w->a, TCP_RECV_QUEUE, w->n_receive);
	close(w->a);
	w->a = -1;
}

static uint32_t read_queue(void *context, enum tcp_queue which, uint32_t offset, void *to, uint32_t len)
{
	const struct way *w = context;
	uint32_t n = which == TCP_QUEUE_SEND ? w->n_send : w->n_receive;

	len = offset < n ? FS_MIN(len, n - offset) : 0;
	memcpy(to, (which == TCP_QUEUE_SEND ? w->send : w->receive) + offset, len);
	return len;
}

static struct host_repair repair_of(struct way *w)
{
	return (struct host_repair){ .snap = &w->s, .read = read_queue, .context = w, .reuseaddr = w->listener >= 0 };
}

static void put_in(struct way *w, int fd)
{
	struct host_repair r = repair_of(w);
	const char *why = "";
	int ret = host_repair_build(fd, &r, &why);

	if (ret < 0)
		fail_msg("%s: %s: %s", w->plan.name, why, strerror(-ret));
	assert_int_equal(queue_len(fd, SIOCINQ), w->n_receive);
	if (w->plan.state != TCP_FIN_WAIT2) /* there the ack of our FIN may be missing */
		assert_int_equal(queue_len(fd, SIOCOUTQ), w->s.snd_nxt - w->s.snd_una); /* the rest is not sent */
	assert_int_equal(queue_len(fd, SIOCOUTQNSD), 0);
	deafen(w->b, false);
	assert_int_equal(host_repair_start(fd, &r, &why), 0);
	w->a = fd;
}

/* --- a state of affairs, the move, and the rest of the connection's life --- */

static void begin(struct way *w, const struct plan *plan)
{
	w->plan = *plan;
	set_int(w->a, SOL_SOCKET, SO_SNDBUFFORCE, QUEUE);
	write_bytes(w->a, &w->a_wrote, 3000);
	read_bytes(w->b, &w->b_read, w->a_wrote, false);
	write_bytes(w->b, &w->b_wrote, 3000);
	read_bytes(w->a, &w->a_read, w->b_wrote, false);
	write_bytes(w->b, &w->b_wrote, plan->unread);
	while (queue_len(w->a, SIOCINQ) < plan->unread || queue_len(w->b, SIOCOUTQ) > 0)
		usleep(1000);
	w->b_shut = plan->state == TCP_CLOSE_WAIT || plan->state == TCP_LAST_ACK || plan->state == TCP_CLOSING;
	w->a_shut = plan->state != TCP_CLOSE_WAIT && plan->state != TCP_ESTABLISHED;
	if (plan->state == TCP_CLOSE_WAIT || plan->state == TCP_LAST_ACK) {
		shutdown(w->b, SHUT_WR);
		await_state(w->a, TCP_CLOSE_WAIT);
		await_state(w->b, TCP_FIN_WAIT2);
	}
	if (plan->state != TCP_FIN_WAIT2)
		deafen(w->b, true);
	write_bytes(w->a, &w->a_wrote, plan->unacked);
	if (w->a_shut)
		shutdown(w->a, SHUT_WR);
	if (plan->state == TCP_CLOSING)
		shutdown(w->b, SHUT_WR);
	await_state(w->a, plan->state);
	if (plan->state == TCP_FIN_WAIT2)
		deafen(w->b, true);
}

static void check_like_before(struct way *w)
{
	struct tcp_info now = info_of(w->a);

	assert_int_equal(now.tcpi_state, w->plan.state);
	assert_int_equal(now.tcpi_options & (TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK),
			 w->before.tcpi_options & (TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK));
	assert_int_equal(now.tcpi_snd_wscale, w->before.tcpi_snd_wscale);
	assert_int_equal(now.tcpi_rcv_wscale, w->before.tcpi_rcv_wscale);
	/* Where the kernel would have taken timestamps it reports an MSS for segments with them, and sends full ones. */
	assert_in_range(now.tcpi_snd_mss, w->before.tcpi_snd_mss - 12, w->before.tcpi_snd_mss);
	/* The first word of the new socket tells the peer a window as large as the promise. */
	if (w->plan.state == TCP_ESTABLISHED)
		assert_true(info_of(w->b).tcpi_snd_wnd >= w->s.rcv_wnd / 2);
	assert_int_equal(get_int(w->a, SOL_SOCKET, SO_REUSEADDR), w->listener >= 0);
	assert_int_equal(get_int(w->a, SOL_SOCKET, SO_ERROR), 0);
}

static void finish(struct way *w)
{
	bool last_ack = w->plan.state == TCP_LAST_ACK || w->plan.state == TCP_CLOSE_WAIT;

	if (!w->b_shut)
		write_bytes(w->b, &w->b_wrote, 20000);
	if (!w->a_shut)
		write_bytes(w->a, &w->a_wrote, 20000);
	read_bytes(w->b, &w->b_read, w->a_wrote, w->a_shut);
	if (!w->a_shut)
		shutdown(w->a, SHUT_WR);
	if (!w->b_shut)
		shutdown(w->b, SHUT_WR);
	read_bytes(w->a, &w->a_read, w->b_wrote, true);
	read_bytes(w->b, &w->b_read, w->a_wrote, true);
	assert_int_equal(get_int(w->b, SOL_SOCKET, SO_ERROR), 0);
	assert_int_equal(get_int(w->a, SOL_SOCKET, SO_ERROR), 0);
	if (last_ack)
		await_state(w->a, TCP_CLOSED); /* acked, and no TIME-WAIT of ours */
}

static const struct plan plans[] = {
	{ "idle", TCP_ESTABLISHED, 0, 0, false },
	{ "established", TCP_ESTABLISHED, MANY, SOME, false },
	{ "close-wait", TCP_CLOSE_WAIT, SOME, SOME, false },
	{ "close-wait, much", TCP_CLOSE_WAIT, MANY, 0, false },
	{ "fin-wait-1", TCP_FIN_WAIT1, SOME, SOME, false },
	{ "fin-wait-1, unsent", TCP_FIN_WAIT1, MANY, 0, true },
	{ "fin-wait-2", TCP_FIN_WAIT2, SOME, SOME, false },
	{ "closing", TCP_CLOSING, SOME, SOME, false },
	{ "last-ack", TCP_LAST_ACK, SOME, SOME, false },
	{ "last-ack, unsent", TCP_LAST_ACK, MANY, 0, true },
};
enum { PLANS = FS_ARRAY_SIZE(plans) };

/* All at once: their retransmissions wait together. */
static void move_all(enum kind kind)
{
	static struct way ways[PLANS];

	if (ns_a < 0)
		skip();
	for (unsigned i = 0; i < PLANS; i++) {
		open_way(&ways[i], kind, false);
		begin(&ways[i], &plans[i]);
		take_out(&ways[i]);
		assert_int_equal(ways[i].plan.fin_unsent,
				 (ways[i].s.flags & (TCP_SNAPSHOT_FIN_QUEUED | TCP_SNAPSHOT_FIN_SENT)) ==
					 TCP_SNAPSHOT_FIN_QUEUED);
		put_in(&ways[i], stream(kind));
		check_like_before(&ways[i]);
	}
	for (unsigned i = 0; i < PLANS; i++) {
		finish(&ways[i]);
		close_way(&ways[i]);
	}
}

static void test_v4(void **state)
{
	(void)state;
	move_all(V4);
}

static void test_v6(void **state)
{
	(void)state;
	move_all(V6);
}

static void test_v4_mapped(void **state)
{
	(void)state;
	move_all(MAPPED);
}

static void test_options_of_the_handshake(void **state)
{
	static const char *const options[] = { "timestamps", "sack", "window_scaling" };

	(void)state;
	if (ns_a < 0)
		skip();
	for (unsigned i = 0; i < FS_ARRAY_SIZE(options); i++) {
		struct way w;

		sysctl_tcp(options[i], "0");
		open_way(&w, V4, false);
		sysctl_tcp(options[i], "1"); /* the new socket would rather have it */
		begin(&w, &plans[1]);
		take_out(&w);
		put_in(&w, stream(V4));
		check_like_before(&w);
		finish(&w);
		close_way(&w);
	}
}

/* What was not read of one that both ended, and its end; the kernel's TIME-WAIT begins with the move. */
static void test_both_ended(void **state)
{
	static const struct plan plan = { "both ended", TCP_FIN_WAIT2, SOME, 0, false };
	struct way w;

	(void)state;
	if (ns_a < 0)
		skip();
	open_way(&w, V4, false);
	begin(&w, &plan);
	take_out(&w);
	w.s.state = TCP_CLOSING;
	w.s.flags |= TCP_SNAPSHOT_FIN_SENT | TCP_SNAPSHOT_FIN_RECEIVED;
	w.s.rcv_nxt++;
	put_in(&w, stream(V4));
	assert_int_equal(info_of(w.a).tcpi_state, TCP_CLOSED);
	assert_int_equal(get_int(w.a, SOL_SOCKET, SO_ERROR), 0);
	read_bytes(w.a, &w.a_read, w.b_wrote, true);
	close_way(&w);
}

/* The listener listens on, and after its end a new one takes the port beside the moved connection. */
static void test_beside_a_listener(void **state)
{
	struct way w, next;

	(void)state;
	if (ns_a < 0)
		skip();
	open_way(&w, V4, true);
	begin(&w, &plans[1]);
	take_out(&w);
	put_in(&w, stream(V4));
	check_like_before(&w);
	close(w.listener);
	open_way(&next, V4, true);
	w.listener = next.listener;
	next.listener = -1;
	close_way(&next);
	finish(&w);
	close_way(&w);
}

/* What the peer sent and nobody read, at a connection that is taken out as if nobody had accepted it. */
static void take_out_waiting(struct way *w, enum kind kind, uint32_t unread)
{
	open_way(w, kind, true);
	write_bytes(w->b, &w->b_wrote, unread);
	while (queue_len(w->a, SIOCINQ) < unread || queue_len(w->b, SIOCOUTQ) > 0)
		usleep(1000);
	take_out(w);
	w->s.iss = w->s.snd_una - 1;
	w->s.irs = w->s.copied_seq - 1;
}

static int enqueue_by(struct way *w, const struct host_repair *r)
{
	static _Alignas(4) uint8_t buf[8192];
	const char *why;

	return host_repair_enqueue(r, buf, sizeof(buf), &why);
}

static int enqueue(struct way *w, uint32_t ifindex)
{
	struct host_repair r = repair_of(w);

	r.ifindex = ifindex;
	return enqueue_by(w, &r);
}

/* Accepted from the listener, it goes on. */
static void check_goes_on(struct way *w)
{
	struct pollfd p = { .fd = w->listener, .events = POLLIN };

	assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
	w->a = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(w->a >= 0);
	assert_int_equal(info_of(w->a).tcpi_rcv_wscale, w->s.rcv_wscale);
	write_bytes(w->a, &w->a_wrote, MANY);
	read_bytes(w->b, &w->b_read, w->a_wrote, false);
	write_bytes(w->b, &w->b_wrote, SOME);
	read_bytes(w->a, &w->a_read, w->b_wrote, false);
}

static void test_into_the_queue_of_a_listener(void **state)
{
	(void)state;
	if (ns_a < 0)
		skip();
	for (unsigned i = 0; i < 6; i++) {
		bool bound = i % 2;
		struct way w;

		take_out_waiting(&w, (enum kind)(i / 2), SOME);
		assert_int_equal(setsockopt(w.listener, SOL_SOCKET, SO_BINDTODEVICE, "va", bound ? 3 : 0), 0);
		assert_int_equal(enqueue(&w, bound ? if_nametoindex("va") : 0), 0);
		check_goes_on(&w);
		close_way(&w);
	}
}

/* Its first ACK is not there yet: that of the peer's next segment does as well. */
static void test_into_the_half_open_ones_of_a_listener(void **state)
{
	(void)state;
	if (ns_a < 0)
		skip();
	for (unsigned kind = V4; kind <= MAPPED; kind++) {
		struct way w;

		take_out_waiting(&w, (enum kind)kind, 0);
		w.s.state = TCP_SYN_RECEIVED;
		w.s.snd_una = w.s.iss;
		assert_int_equal(enqueue(&w, 0), 0);
		write_bytes(w.b, &w.b_wrote, SOME);
		check_goes_on(&w);
		close_way(&w);
	}
}

/* As read_queue(), while the peer sends more. */
static uint32_t read_queue_meanwhile(void *context, enum tcp_queue which, uint32_t offset, void *to, uint32_t len)
{
	struct way *w = context;

	if (offset == 0)
		write_bytes(w->b, &w->b_wrote, SOME);
	return read_queue(context, which, offset, to, len);
}

static void test_into_the_queue_while_the_peer_goes_on(void **state)
{
	struct host_repair r;
	struct way w;

	(void)state;
	if (ns_a < 0)
		skip();
	take_out_waiting(&w, V4, SOME);
	r = repair_of(&w);
	r.read = read_queue_meanwhile;
	assert_int_equal(enqueue_by(&w, &r), 0);
	check_goes_on(&w);
	close_way(&w);
}

/* Accepts, reads all and ends it. */
static void *serve_one(void *arg)
{
	struct way *w = arg;
	struct pollfd p = { .fd = w->listener, .events = POLLIN };

	poll(&p, 1, PATIENCE_MS);
	w->a = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	read_bytes(w->a, &w->a_read, SOME, false);
	shutdown(w->a, SHUT_WR);
	for (unsigned i = 0; i < 10000 && info_of(w->a).tcpi_state != TCP_FIN_WAIT2; i++)
		continue; /* who slept would let the caller go on */
	close(w->a); /* now it is no socket any more, but a few words as in TIME-WAIT */
	w->a = -1;
	return NULL;
}

/* On the caller's processor and before the caller, if that may be asked for. */
static pthread_t begin_to_serve(struct way *w)
{
	const struct sched_param first = { .sched_priority = 1 };
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
	pthread_attr_setschedparam(&attr, &first);
	pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
	if (pthread_create(&thread, &attr, serve_one, w) != 0)
		assert_int_equal(pthread_create(&thread, NULL, serve_one, w), 0);
	pthread_attr_destroy(&attr);
	return thread;
}

/* Somebody waits in accept() there, and may be done with it before anybody looks whether it came. */
static void test_into_the_queue_where_it_is_served_at_once(void **state)
{
	cpu_set_t all, one;

	(void)state;
	if (ns_a < 0)
		skip();
	sched_getaffinity(0, sizeof(all), &all);
	CPU_ZERO(&one);
	CPU_SET((size_t)sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	for (unsigned i = 0; i < 10; i++) {
		pthread_t thread;
		struct way w;

		take_out_waiting(&w, V4, SOME);
		thread = begin_to_serve(&w);
		assert_int_equal(enqueue(&w, 0), 0);
		pthread_join(thread, NULL);
		read_bytes(w.b, &w.b_read, 0, true);
		close_way(&w);
	}
	sched_setaffinity(0, sizeof(all), &all);
}

/* Nobody listens, or not on that interface, or something was said already: nothing comes of it. */
static void test_not_into_the_queue(void **state)
{
	struct way w;

	(void)state;
	if (ns_a < 0)
		skip();
	for (unsigned i = 0; i < 3; i++) {
		take_out_waiting(&w, V4, SOME);
		if (i == 0)
			shutdown(w.listener, SHUT_RD);
		if (i == 1)
			assert_int_equal(setsockopt(w.listener, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3), 0);
		w.s.iss -= i == 2;
		assert_int_equal(enqueue(&w, 0), i == 2 ? -EINVAL : -EAGAIN);
		assert_int_equal(accept4(w.listener, NULL, NULL, SOCK_NONBLOCK), -1);
		close_way(&w);
	}
}

/* Another socket of ours holds the port, without SO_REUSEADDR. */
static void test_on_a_leased_port(void **state)
{
	struct sockaddr_in6 name;
	struct way w;
	int lease;

	(void)state;
	if (ns_a < 0)
		skip();
	open_way(&w, V4, false);
	begin(&w, &plans[1]);
	take_out(&w);
	lease = stream(MAPPED);
	name_of(&name, V6, 1, w.s.local_port);
	name.sin6_addr = in6addr_any;
	assert_int_equal(bind(lease, (struct sockaddr *)&name, sizeof(name)), 0);
	put_in(&w, stream(V4));
	check_like_before(&w);
	finish(&w);
	close_way(&w);
	close(lease);
}

/* The program bound its socket before it connected. */
static void test_bound_already(void **state)
{
	struct sockaddr_in6 name;
	struct way w;
	int fd;

	(void)state;
	if (ns_a < 0)
		skip();
	open_way(&w, V4, false);
	begin(&w, &plans[0]);
	take_out(&w);
	fd = stream(V4);
	name_of(&name, V4, 1, w.s.local_port);
	((struct sockaddr_in *)&name)->sin_addr.s_addr = INADDR_ANY;
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	put_in(&w, fd);
	check_like_before(&w);
	finish(&w);
	close_way(&w);
}

/* The urgent byte is no part of the stream that is read. */
static void test_urgent_byte_stays_out(void **state)
{
	struct way w;
	uint8_t bytes[8];

	(void)state;
	if (ns_a < 0)
		skip();
	open_way(&w, V4, false);
	begin(&w, &plans[0]);
	assert_int_equal(send(w.b, "abXcd", 5, 0), 5);
	while (queue_len(w.a, SIOCINQ) < 5)
		usleep(1000);
	deafen(w.b, true);
	take_out(&w);
	w.s.flags |= TCP_SNAPSHOT_URG_IN | TCP_SNAPSHOT_URG_BYTE;
	w.s.rcv_up = w.s.copied_seq + 2;
	{
		struct host_repair r = repair_of(&w);
		const char *why;

		w.a = stream(V4);
		assert_int_equal(host_repair_build(w.a, &r, &why), 0);
		deafen(w.b, false);
		assert_int_equal(host_repair_start(w.a, &r, &why), 0);
	}
	assert_int_equal(recv(w.a, bytes, sizeof(bytes), 0), 4);
	assert_memory_equal(bytes, "abcd", 4);
	close_way(&w);
}

static void test_options_of_the_program(void **state)
{
	struct host_repair r;
	const char *why;
	struct way w;

	(void)state;
	if (ns_a < 0)
		skip();
	open_way(&w, V4, false);
	begin(&w, &plans[0]);
	take_out(&w);
	w.s.options.nodelay = w.s.options.keepalive = true;
	w.s.options.keep_idle_s = 77;
	w.s.options.user_timeout_ms = 12345;
	w.s.options.notsent_lowat = 4321;
	w.s.options.sndbuf = 1 << 20;
	w.s.options.rcvbuf = 1 << 18;
	w.s.options.linger_s = 3;
	w.s.options.style[0].tos = 0x10;
	r = repair_of(&w);
	r.congestion = "reno";
	w.a = stream(V4);
	assert_int_equal(host_repair_build(w.a, &r, &why), 0);
	deafen(w.b, false);
	assert_int_equal(host_repair_start(w.a, &r, &why), 0);
	assert_int_equal(get_int(w.a, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(get_int(w.a, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(get_int(w.a, IPPROTO_TCP, TCP_KEEPIDLE), 77);
	assert_int_equal(get_int(w.a, IPPROTO_TCP, TCP_USER_TIMEOUT), 12345);
	assert_int_equal(get_int(w.a, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 4321);
	assert_int_equal(get_int(w.a, SOL_SOCKET, SO_SNDBUF), 1 << 20);
	assert_int_equal(get_int(w.a, SOL_SOCKET, SO_RCVBUF), 1 << 18);
	assert_int_equal(get_int(w.a, IPPROTO_IP, IP_TOS), 0x10);
	assert_int_equal(get_int(w.a, SOL_SOCKET, SO_LINGER), 1);
	finish(&w);
	close_way(&w);
}

/* An orphan's descriptor is closed at once; the kernel sends the rest and the FIN. */
static void test_orphan(void **state)
{
	static struct way w;

	(void)state;
	if (ns_a < 0)
		skip();
	open_way(&w, V6, false);
	begin(&w, &plans[5]);
	take_out(&w);
	w.s.flags |= TCP_SNAPSHOT_ORPHAN;
	put_in(&w, stream(V6));
	close(w.a);
	w.a = -1;
	read_bytes(w.b, &w.b_read, w.a_wrote, true);
	assert_int_equal(get_int(w.b, SOL_SOCKET, SO_ERROR), 0);
	close_way(&w);
}

/* --- what does not work --- */

static void test_refusals(void **state)
{
	struct host_repair r;
	const char *why = "";
	struct way w;
	int fd;

	(void)state;
	if (ns_a < 0)
		skip();
	open_way(&w, V4, false);
	begin(&w, &plans[0]);
	take_out(&w);
	r = repair_of(&w);
	fd = stream(V4);
	w.s.state = TCP_SYN_SENT;
	assert_int_equal(host_repair_build(fd, &r, &why), -EINVAL);
	w.s.state = TCP_ESTABLISHED;
	w.s.local.b[15] = 99; /* nobody's */
	assert_int_equal(host_repair_build(fd, &r, &why), -EADDRNOTAVAIL);
	assert_string_equal(why, "bind");
	w.s.local.b[15] = 1;
	w.s.max_window = w.s.snd_wnd = 0;
	w.s.rcv_wup = w.s.rcv_nxt;
	w.s.rcv_wnd = UINT32_MAX; /* the kernel will not believe it */
	w.s.snd_wl1 = w.s.rcv_nxt;
	assert_true(host_repair_build(fd, &r, &why) < 0);
	assert_int_equal(info_of(fd).tcpi_state, TCP_CLOSED);
	assert_int_equal(get_int(fd, SOL_SOCKET, SO_ERROR), 0);
	close(fd);
	assert_int_equal(host_repair_build(w.b, &r, &why), -EISCONN);
	close_way(&w);
}

static void drop_capability(unsigned capability)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	syscall(SYS_capget, &head, data);
	data[0].effective &= ~(1U << capability);
	syscall(SYS_capset, &head, data);
}

static void restore_capabilities(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	syscall(SYS_capget, &head, data);
	data[0].effective = data[0].permitted;
	data[1].effective = data[1].permitted;
	syscall(SYS_capset, &head, data);
}

static void test_without_net_admin(void **state)
{
	struct host_repair r;
	const char *why = "";
	struct way w;
	int fd, ret;

	(void)state;
	if (ns_a < 0)
		skip();
	open_way(&w, V4, false);
	begin(&w, &plans[0]);
	take_out(&w);
	r = repair_of(&w);
	fd = stream(V4);
	drop_capability(CAP_NET_ADMIN);
	ret = host_repair_build(fd, &r, &why);
	restore_capabilities();
	assert_int_equal(ret, -EPERM);
	assert_string_equal(why, "TCP_REPAIR needs CAP_NET_ADMIN");
	close(fd);
	close_way(&w);
}

/* No raw socket, no FIN of the peer's: the program sees the end all the same, and so does the peer. */
static void test_without_net_raw(void **state)
{
	static const unsigned tried[] = { 2, 6, 7, 8 }; /* of plans: a FIN received, or acked */
	static struct way ways[FS_ARRAY_SIZE(tried)];

	(void)state;
	if (ns_a < 0)
		skip();
	for (unsigned i = 0; i < FS_ARRAY_SIZE(tried); i++) {
		open_way(&ways[i], V4, false);
		begin(&ways[i], &plans[tried[i]]);
		take_out(&ways[i]);
		drop_capability(CAP_NET_RAW);
		put_in(&ways[i], stream(V4));
		restore_capabilities();
		ways[i].plan.state = TCP_ESTABLISHED; /* it ends with a TIME-WAIT, whatever it was */
	}
	for (unsigned i = 0; i < FS_ARRAY_SIZE(tried); i++) {
		finish(&ways[i]);
		close_way(&ways[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v4),
		cmocka_unit_test(test_v6),
		cmocka_unit_test(test_v4_mapped),
		cmocka_unit_test(test_options_of_the_handshake),
		cmocka_unit_test(test_both_ended),
		cmocka_unit_test(test_beside_a_listener),
		cmocka_unit_test(test_into_the_queue_of_a_listener),
		cmocka_unit_test(test_into_the_half_open_ones_of_a_listener),
		cmocka_unit_test(test_into_the_queue_while_the_peer_goes_on),
		cmocka_unit_test(test_into_the_queue_where_it_is_served_at_once),
		cmocka_unit_test(test_not_into_the_queue),
		cmocka_unit_test(test_on_a_leased_port),
		cmocka_unit_test(test_bound_already),
		cmocka_unit_test(test_urgent_byte_stays_out),
		cmocka_unit_test(test_options_of_the_program),
		cmocka_unit_test(test_orphan),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_without_net_admin),
		cmocka_unit_test(test_without_net_raw),
	};

	return cmocka_run_group_tests(tests, make_world, NULL);
}
