/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_host_repair.c - connections that change from one kernel socket to another, while the peer's socket notices
 * nothing (kernel_way.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/capability.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "host/repair.h"
#include "kernel_way.h"

enum { QUEUE = 1 << 20 }; /* bytes that a's socket takes before a deaf peer's window ends it */

static void put_in(struct way *w, int fd)
{
	struct host_repair r = way_repair(w);
	const char *why = "";
	int ret = host_repair_build(fd, &r, &why);

	if (ret < 0)
		fail_msg("%s: %s: %s", w->plan.name, why, strerror(-ret));
	assert_int_equal(way_queue_len(fd, SIOCINQ), w->n_receive);
	if (w->plan.state != TCP_FIN_WAIT2) /* there the ack of our FIN may be missing */
		assert_int_equal(way_queue_len(fd, SIOCOUTQ), w->s.snd_nxt - w->s.snd_una); /* the rest is not sent */
	assert_int_equal(way_queue_len(fd, SIOCOUTQNSD), 0);
	way_deafen(w->b, false);
	assert_int_equal(host_repair_start(fd, &r, &why), 0);
	w->a = fd;
}

/* --- a state of affairs, the move, and the rest of the connection's life --- */

static void begin(struct way *w, const struct way_plan *plan)
{
	w->plan = *plan;
	way_set_int(w->a, SOL_SOCKET, SO_SNDBUFFORCE, QUEUE);
	way_write(w->a, &w->a_wrote, 3000);
	way_read(w->b, &w->b_read, w->a_wrote, false);
	way_write(w->b, &w->b_wrote, 3000);
	way_read(w->a, &w->a_read, w->b_wrote, false);
	way_write(w->b, &w->b_wrote, plan->unread);
	while (way_queue_len(w->a, SIOCINQ) < plan->unread || way_queue_len(w->b, SIOCOUTQ) > 0)
		usleep(1000);
	w->b_shut = plan->state == TCP_CLOSE_WAIT || plan->state == TCP_LAST_ACK || plan->state == TCP_CLOSING;
	w->a_shut = plan->state != TCP_CLOSE_WAIT && plan->state != TCP_ESTABLISHED;
	if (plan->state == TCP_CLOSE_WAIT || plan->state == TCP_LAST_ACK) {
		shutdown(w->b, SHUT_WR);
		way_await_state(w->a, TCP_CLOSE_WAIT);
		way_await_state(w->b, TCP_FIN_WAIT2);
	}
	if (plan->state != TCP_FIN_WAIT2)
		way_deafen(w->b, true);
	way_write(w->a, &w->a_wrote, plan->unacked);
	if (w->a_shut)
		shutdown(w->a, SHUT_WR);
	if (plan->state == TCP_CLOSING)
		shutdown(w->b, SHUT_WR);
	way_await_state(w->a, plan->state);
	if (plan->state == TCP_FIN_WAIT2)
		way_deafen(w->b, true);
}

static void check_like_before(struct way *w)
{
	struct tcp_info now = way_info(w->a);

	assert_int_equal(now.tcpi_state, w->plan.state);
	assert_int_equal(now.tcpi_options & (TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK),
			 w->before.tcpi_options & (TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK));
	assert_int_equal(now.tcpi_snd_wscale, w->before.tcpi_snd_wscale);
	assert_int_equal(now.tcpi_rcv_wscale, w->before.tcpi_rcv_wscale);
	/* Where the kernel would have taken timestamps it reports an MSS for segments with them, and sends full ones. */
	assert_in_range(now.tcpi_snd_mss, w->before.tcpi_snd_mss - 12, w->before.tcpi_snd_mss);
	/* The first word of the new socket tells the peer a window as large as the promise. */
	if (w->plan.state == TCP_ESTABLISHED)
		assert_true(way_info(w->b).tcpi_snd_wnd >= w->s.rcv_wnd / 2);
	assert_int_equal(way_get_int(w->a, SOL_SOCKET, SO_REUSEADDR), w->listener >= 0);
	assert_int_equal(way_get_int(w->a, SOL_SOCKET, SO_ERROR), 0);
}

static void finish(struct way *w)
{
	bool last_ack = w->plan.state == TCP_LAST_ACK || w->plan.state == TCP_CLOSE_WAIT;

	if (!w->b_shut)
		way_write(w->b, &w->b_wrote, 20000);
	if (!w->a_shut)
		way_write(w->a, &w->a_wrote, 20000);
	way_read(w->b, &w->b_read, w->a_wrote, w->a_shut);
	if (!w->a_shut)
		shutdown(w->a, SHUT_WR);
	if (!w->b_shut)
		shutdown(w->b, SHUT_WR);
	way_read(w->a, &w->a_read, w->b_wrote, true);
	way_read(w->b, &w->b_read, w->a_wrote, true);
	assert_int_equal(way_get_int(w->b, SOL_SOCKET, SO_ERROR), 0);
	assert_int_equal(way_get_int(w->a, SOL_SOCKET, SO_ERROR), 0);
	if (last_ack)
		way_await_state(w->a, TCP_CLOSED); /* acked, and no TIME-WAIT of ours */
}

static const struct way_plan plans[] = {
	{ "idle", TCP_ESTABLISHED, 0, 0, false },
	{ "established", TCP_ESTABLISHED, WAY_MANY, WAY_SOME, false },
	{ "close-wait", TCP_CLOSE_WAIT, WAY_SOME, WAY_SOME, false },
	{ "close-wait, much", TCP_CLOSE_WAIT, WAY_MANY, 0, false },
	{ "fin-wait-1", TCP_FIN_WAIT1, WAY_SOME, WAY_SOME, false },
	{ "fin-wait-1, unsent", TCP_FIN_WAIT1, WAY_MANY, 0, true },
	{ "fin-wait-2", TCP_FIN_WAIT2, WAY_SOME, WAY_SOME, false },
	{ "closing", TCP_CLOSING, WAY_SOME, WAY_SOME, false },
	{ "last-ack", TCP_LAST_ACK, WAY_SOME, WAY_SOME, false },
	{ "last-ack, unsent", TCP_LAST_ACK, WAY_MANY, 0, true },
};
enum { PLANS = FS_ARRAY_SIZE(plans) };

/* All at once: their retransmissions wait together. */
static void move_all(enum way_kind kind)
{
	static struct way ways[PLANS];

	if (!way_is_possible())
		skip();
	for (unsigned i = 0; i < PLANS; i++) {
		way_open(&ways[i], kind, false);
		begin(&ways[i], &plans[i]);
		way_take_out(&ways[i]);
		assert_int_equal(ways[i].plan.fin_unsent,
				 (ways[i].s.flags & (TCP_SNAPSHOT_FIN_QUEUED | TCP_SNAPSHOT_FIN_SENT)) ==
					 TCP_SNAPSHOT_FIN_QUEUED);
		put_in(&ways[i], way_socket(kind));
		check_like_before(&ways[i]);
	}
	for (unsigned i = 0; i < PLANS; i++) {
		finish(&ways[i]);
		way_close(&ways[i]);
	}
}

static void test_v4(void **state)
{
	(void)state;
	move_all(WAY_V4);
}

static void test_v6(void **state)
{
	(void)state;
	move_all(WAY_V6);
}

static void test_v4_mapped(void **state)
{
	(void)state;
	move_all(WAY_MAPPED);
}

static void test_options_of_the_handshake(void **state)
{
	static const char *const options[] = { "timestamps", "sack", "window_scaling" };

	(void)state;
	if (!way_is_possible())
		skip();
	for (unsigned i = 0; i < FS_ARRAY_SIZE(options); i++) {
		struct way w;

		way_sysctl(options[i], "0");
		way_open(&w, WAY_V4, false);
		way_sysctl(options[i], "1"); /* the new socket would rather have it */
		begin(&w, &plans[1]);
		way_take_out(&w);
		put_in(&w, way_socket(WAY_V4));
		check_like_before(&w);
		finish(&w);
		way_close(&w);
	}
}

/* What was not read of one that both ended, and its end; the kernel's TIME-WAIT begins with the move. */
static void test_both_ended(void **state)
{
	static const struct way_plan plan = { "both ended", TCP_FIN_WAIT2, WAY_SOME, 0, false };
	struct way w;

	(void)state;
	if (!way_is_possible())
		skip();
	way_open(&w, WAY_V4, false);
	begin(&w, &plan);
	way_take_out(&w);
	w.s.state = TCP_CLOSING;
	w.s.flags |= TCP_SNAPSHOT_FIN_SENT | TCP_SNAPSHOT_FIN_RECEIVED;
	w.s.rcv_nxt++;
	put_in(&w, way_socket(WAY_V4));
	assert_int_equal(way_info(w.a).tcpi_state, TCP_CLOSED);
	assert_int_equal(way_get_int(w.a, SOL_SOCKET, SO_ERROR), 0);
	way_read(w.a, &w.a_read, w.b_wrote, true);
	way_close(&w);
}

/* The listener listens on, and after its end a new one takes the port beside the moved connection. */
static void test_beside_a_listener(void **state)
{
	struct way w, next;

	(void)state;
	if (!way_is_possible())
		skip();
	way_open(&w, WAY_V4, true);
	begin(&w, &plans[1]);
	way_take_out(&w);
	put_in(&w, way_socket(WAY_V4));
	check_like_before(&w);
	close(w.listener);
	way_open(&next, WAY_V4, true);
	w.listener = next.listener;
	next.listener = -1;
	way_close(&next);
	finish(&w);
	way_close(&w);
}

/* Another socket of ours holds the port, without SO_REUSEADDR. */
static void test_on_a_leased_port(void **state)
{
	struct sockaddr_in6 name;
	struct way w;
	int lease;

	(void)state;
	if (!way_is_possible())
		skip();
	way_open(&w, WAY_V4, false);
	begin(&w, &plans[1]);
	way_take_out(&w);
	lease = way_socket(WAY_MAPPED);
	way_name(&name, WAY_V6, 1, w.s.local_port);
	name.sin6_addr = in6addr_any;
	assert_int_equal(bind(lease, (struct sockaddr *)&name, sizeof(name)), 0);
	put_in(&w, way_socket(WAY_V4));
	check_like_before(&w);
	finish(&w);
	way_close(&w);
	close(lease);
}

/* The program bound its socket before it connected. */
static void test_bound_already(void **state)
{
	struct sockaddr_in6 name;
	struct way w;
	int fd;

	(void)state;
	if (!way_is_possible())
		skip();
	way_open(&w, WAY_V4, false);
	begin(&w, &plans[0]);
	way_take_out(&w);
	fd = way_socket(WAY_V4);
	way_name(&name, WAY_V4, 1, w.s.local_port);
	((struct sockaddr_in *)&name)->sin_addr.s_addr = INADDR_ANY;
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	put_in(&w, fd);
	check_like_before(&w);
	finish(&w);
	way_close(&w);
}

/* The urgent byte is no part of the stream that is read. */
static void test_urgent_byte_stays_out(void **state)
{
	struct way w;
	uint8_t bytes[8];

	(void)state;
	if (!way_is_possible())
		skip();
	way_open(&w, WAY_V4, false);
	begin(&w, &plans[0]);
	assert_int_equal(send(w.b, "abXcd", 5, 0), 5);
	while (way_queue_len(w.a, SIOCINQ) < 5)
		usleep(1000);
	way_deafen(w.b, true);
	way_take_out(&w);
	w.s.flags |= TCP_SNAPSHOT_URG_IN | TCP_SNAPSHOT_URG_BYTE;
	w.s.rcv_up = w.s.copied_seq + 2;
	{
		struct host_repair r = way_repair(&w);
		const char *why;

		w.a = way_socket(WAY_V4);
		assert_int_equal(host_repair_build(w.a, &r, &why), 0);
		way_deafen(w.b, false);
		assert_int_equal(host_repair_start(w.a, &r, &why), 0);
	}
	assert_int_equal(recv(w.a, bytes, sizeof(bytes), 0), 4);
	assert_memory_equal(bytes, "abcd", 4);
	way_close(&w);
}

static void test_options_of_the_program(void **state)
{
	struct host_repair r;
	const char *why;
	struct way w;

	(void)state;
	if (!way_is_possible())
		skip();
	way_open(&w, WAY_V4, false);
	begin(&w, &plans[0]);
	way_take_out(&w);
	w.s.options.nodelay = w.s.options.keepalive = true;
	w.s.options.keep_idle_s = 77;
	w.s.options.user_timeout_ms = 12345;
	w.s.options.notsent_lowat = 4321;
	w.s.options.sndbuf = 1 << 20;
	w.s.options.rcvbuf = 1 << 18;
	w.s.options.linger_s = 3;
	w.s.options.style[0].tos = 0x10;
	r = way_repair(&w);
	r.congestion = "reno";
	w.a = way_socket(WAY_V4);
	assert_int_equal(host_repair_build(w.a, &r, &why), 0);
	way_deafen(w.b, false);
	assert_int_equal(host_repair_start(w.a, &r, &why), 0);
	assert_int_equal(way_get_int(w.a, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(way_get_int(w.a, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(way_get_int(w.a, IPPROTO_TCP, TCP_KEEPIDLE), 77);
	assert_int_equal(way_get_int(w.a, IPPROTO_TCP, TCP_USER_TIMEOUT), 12345);
	assert_int_equal(way_get_int(w.a, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 4321);
	assert_int_equal(way_get_int(w.a, SOL_SOCKET, SO_SNDBUF), 1 << 20);
	assert_int_equal(way_get_int(w.a, SOL_SOCKET, SO_RCVBUF), 1 << 18);
	assert_int_equal(way_get_int(w.a, IPPROTO_IP, IP_TOS), 0x10);
	assert_int_equal(way_get_int(w.a, SOL_SOCKET, SO_LINGER), 1);
	finish(&w);
	way_close(&w);
}

/* An orphan's descriptor is closed at once; the kernel sends the rest and the FIN. */
static void test_orphan(void **state)
{
	static struct way w;

	(void)state;
	if (!way_is_possible())
		skip();
	way_open(&w, WAY_V6, false);
	begin(&w, &plans[5]);
	way_take_out(&w);
	w.s.flags |= TCP_SNAPSHOT_ORPHAN;
	put_in(&w, way_socket(WAY_V6));
	close(w.a);
	w.a = -1;
	way_read(w.b, &w.b_read, w.a_wrote, true);
	assert_int_equal(way_get_int(w.b, SOL_SOCKET, SO_ERROR), 0);
	way_close(&w);
}

/* --- what does not work --- */

static void test_refusals(void **state)
{
	struct host_repair r;
	const char *why = "";
	struct way w;
	int fd;

	(void)state;
	if (!way_is_possible())
		skip();
	way_open(&w, WAY_V4, false);
	begin(&w, &plans[0]);
	way_take_out(&w);
	r = way_repair(&w);
	fd = way_socket(WAY_V4);
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
	assert_int_equal(way_info(fd).tcpi_state, TCP_CLOSED);
	assert_int_equal(way_get_int(fd, SOL_SOCKET, SO_ERROR), 0);
	close(fd);
	assert_int_equal(host_repair_build(w.b, &r, &why), -EISCONN);
	way_close(&w);
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
	if (!way_is_possible())
		skip();
	way_open(&w, WAY_V4, false);
	begin(&w, &plans[0]);
	way_take_out(&w);
	r = way_repair(&w);
	fd = way_socket(WAY_V4);
	drop_capability(CAP_NET_ADMIN);
	ret = host_repair_build(fd, &r, &why);
	restore_capabilities();
	assert_int_equal(ret, -EPERM);
	assert_string_equal(why, "TCP_REPAIR needs CAP_NET_ADMIN");
	close(fd);
	way_close(&w);
}

/* No raw socket, no FIN of the peer's: the program sees the end all the same, and so does the peer. */
static void test_without_net_raw(void **state)
{
	static const unsigned tried[] = { 2, 6, 7, 8 }; /* of plans: a FIN received, or acked */
	static struct way ways[FS_ARRAY_SIZE(tried)];

	(void)state;
	if (!way_is_possible())
		skip();
	for (unsigned i = 0; i < FS_ARRAY_SIZE(tried); i++) {
		way_open(&ways[i], WAY_V4, false);
		begin(&ways[i], &plans[tried[i]]);
		way_take_out(&ways[i]);
		drop_capability(CAP_NET_RAW);
		put_in(&ways[i], way_socket(WAY_V4));
		restore_capabilities();
		ways[i].plan.state = TCP_ESTABLISHED; /* it ends with a TIME-WAIT, whatever it was */
	}
	for (unsigned i = 0; i < FS_ARRAY_SIZE(tried); i++) {
		finish(&ways[i]);
		way_close(&ways[i]);
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
		cmocka_unit_test(test_on_a_leased_port),
		cmocka_unit_test(test_bound_already),
		cmocka_unit_test(test_urgent_byte_stays_out),
		cmocka_unit_test(test_options_of_the_program),
		cmocka_unit_test(test_orphan),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_without_net_admin),
		cmocka_unit_test(test_without_net_raw),
	};

	return cmocka_run_group_tests(tests, way_make_world, NULL);
}
