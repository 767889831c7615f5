/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel_way.c - see kernel_way.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "kernel_way.h"

enum { PORT = 4000 };

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

bool way_is_possible(void)
{
	return ns_a >= 0;
}

int way_make_world(void **state)
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

void way_sysctl(const char *name, const char *value)
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

int way_get_int(int fd, int level, int option)
{
	int value = 0;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, option, &value, &len), 0);
	return value;
}

void way_set_int(int fd, int level, int option, int value)
{
	assert_int_equal(setsockopt(fd, level, option, &value, sizeof(value)), 0);
}

struct tcp_info way_info(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	return info;
}

void way_await_state(int fd, int state)
{
	for (unsigned i = 0; i < WAY_PATIENCE_MS && way_info(fd).tcpi_state != state; i++)
		usleep(1000);
	assert_int_equal(way_info(fd).tcpi_state, state);
}

void way_deafen(int fd, bool deaf)
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

socklen_t way_name(struct sockaddr_in6 *to, enum way_kind kind, unsigned host, uint16_t port)
{
	char text[40];

	memset(to, 0, sizeof(*to));
	if (kind == WAY_V4) {
		struct sockaddr_in *v4 = (struct sockaddr_in *)to;

		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		v4->sin_addr.s_addr = htonl(0x0a090000 + host);
		return sizeof(*v4);
	}
	to->sin6_family = AF_INET6;
	to->sin6_port = htons(port);
	snprintf(text, sizeof(text), kind == WAY_V6 ? "fd09::%u" : "::ffff:10.9.0.%u", host);
	inet_pton(AF_INET6, text, &to->sin6_addr);
	return sizeof(*to);
}

int way_socket(enum way_kind kind)
{
	int fd = socket(kind == WAY_V4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	return fd;
}

static int listen_at(int ns, enum way_kind kind, unsigned host, uint16_t port)
{
	struct sockaddr_in6 name;
	int fd;

	enter(ns);
	fd = way_socket(kind);
	way_set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, way_name(&name, kind, host, port)), 0);
	assert_int_equal(listen(fd, 16), 0);
	enter(ns_a);
	return fd;
}

/* A socket of @ns connects to where @host listens, and does not wait. */
static int connect_from(int ns, enum way_kind kind, unsigned host)
{
	struct sockaddr_in6 name;
	int fd;

	enter(ns);
	fd = way_socket(kind);
	enter(ns_a);
	connect(fd, (struct sockaddr *)&name, way_name(&name, kind, host, PORT));
	return fd;
}

int way_knock(enum way_kind kind)
{
	return connect_from(ns_b, kind, 1);
}

void way_open(struct way *w, enum way_kind kind, bool passive)
{
	struct pollfd p;
	int from;

	memset(w, 0, sizeof(*w));
	w->kind = kind;
	w->listener = passive ? listen_at(ns_a, kind, 1, PORT) : listen_at(ns_b, kind, 2, PORT);
	from = connect_from(passive ? ns_b : ns_a, kind, passive ? 1 : 2);
	p = (struct pollfd){ .fd = w->listener, .events = POLLIN };
	assert_int_equal(poll(&p, 1, WAY_PATIENCE_MS), 1);
	w->a = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	w->b = from;
	if (!passive) {
		w->b = w->a;
		w->a = from;
		close(w->listener);
		w->listener = -1;
	}
	way_await_state(w->a, TCP_ESTABLISHED);
}

void way_close(struct way *w)
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

void way_write(int fd, uint64_t *wrote, uint32_t n)
{
	uint8_t bytes[1000];
	uint64_t end = *wrote + n;

	while (*wrote < end) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		uint32_t len = (uint32_t)FS_MIN(end - *wrote, sizeof(bytes));
		ssize_t ret;

		for (uint32_t i = 0; i < len; i++)
			bytes[i] = byte_at(*wrote + i);
		assert_int_equal(poll(&p, 1, WAY_PATIENCE_MS), 1);
		ret = send(fd, bytes, len, MSG_NOSIGNAL);
		if (ret < 0)
			fail_msg("send: %s", strerror(errno));
		*wrote += (uint64_t)ret;
	}
}

void way_read(int fd, uint64_t *got, uint64_t wrote, bool end)
{
	uint8_t bytes[8192];

	while (*got < wrote || end) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t ret;

		if (poll(&p, 1, WAY_PATIENCE_MS) != 1)
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
	way_set_int(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, queue);
	return (uint32_t)way_get_int(fd, IPPROTO_TCP, TCP_QUEUE_SEQ);
}

uint32_t way_queue_len(int fd, unsigned long request)
{
	int n = 0;

	assert_int_equal(ioctl(fd, request, &n), 0);
	return (uint32_t)n;
}

static uint8_t *take_queue(int fd, int queue, uint32_t len)
{
	uint8_t *bytes = malloc(len + 1);

	way_set_int(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, queue);
	assert_non_null(bytes);
	if (len > 0)
		assert_int_equal(recv(fd, bytes, len, MSG_PEEK), len);
	return bytes;
}

static struct ip_addr addr_of(enum way_kind kind, const struct sockaddr_in6 *name)
{
	return kind == WAY_V4 ? ip_addr_v4(&((const struct sockaddr_in *)name)->sin_addr) : ip_addr_v6(&name->sin6_addr);
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

	s->snd_una = end - way_queue_len(w->a, SIOCOUTQ);
	s->snd_nxt = end - way_queue_len(w->a, SIOCOUTQNSD);
	s->snd_end = end - fin_out;
	if (fin_out && s->snd_nxt == end)
		s->flags |= TCP_SNAPSHOT_FIN_SENT;
	s->rcv_nxt = queue_seq(w->a, TCP_RECV_QUEUE);
	w->n_receive = way_queue_len(w->a, SIOCINQ);
	s->copied_seq = s->rcv_nxt - fin_in - w->n_receive;
	w->n_send = s->state == TCP_FIN_WAIT2 ? 0 : s->snd_end - s->snd_una;
}

void way_take_out(struct way *w)
{
	struct tcp_snapshot *s = &w->s;

	w->before = way_info(w->a);
	way_set_int(w->a, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_ON);
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
	s->mss_clamp = (uint16_t)way_get_int(w->a, IPPROTO_TCP, TCP_MAXSEG);
	s->ts_now = (uint32_t)way_get_int(w->a, IPPROTO_TCP, TCP_TIMESTAMP);
	s->options.linger_s = -1;
	take_names(w, s);
	take_window(w, s);
	take_sequences(w, s);
	w->send = take_queue(w->a, TCP_SEND_QUEUE, w->n_send);
	w->receive = take_queue(w->a, TCP_RECV_QUEUE, w->n_receive);
	close(w->a);
	w->a = -1;
}

uint32_t way_read_queue(void *context, enum tcp_queue which, uint32_t offset, void *to, uint32_t len)
{
	const struct way *w = context;
	uint32_t n = which == TCP_QUEUE_SEND ? w->n_send : w->n_receive;

	len = offset < n ? FS_MIN(len, n - offset) : 0;
	memcpy(to, (which == TCP_QUEUE_SEND ? w->send : w->receive) + offset, len);
	return len;
}

struct host_repair way_repair(struct way *w)
{
	return (struct host_repair){ .snap = &w->s, .read = way_read_queue, .context = w, .reuseaddr = w->listener >= 0 };
}
