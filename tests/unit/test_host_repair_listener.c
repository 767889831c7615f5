/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_host_repair_listener.c - connections that nobody has accepted change to a listener of the kernel's, while the
 * peer's socket notices nothing (kernel_way.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/repair.h"
#include "kernel_way.h"

/* What the peer sent and nobody read, at a connection that is taken out as if nobody had accepted it. */
static void take_out_waiting(struct way *w, enum way_kind kind, uint32_t unread)
{
	way_open(w, kind, true);
	way_write(w->b, &w->b_wrote, unread);
	while (way_queue_len(w->a, SIOCINQ) < unread || way_queue_len(w->b, SIOCOUTQ) > 0)
		usleep(1000);
	way_take_out(w);
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
	struct host_repair r = way_repair(w);

	r.ifindex = ifindex;
	return enqueue_by(w, &r);
}

/* Accepted from the listener, it goes on. */
static void check_goes_on(struct way *w)
{
	struct pollfd p = { .fd = w->listener, .events = POLLIN };

	assert_int_equal(poll(&p, 1, WAY_PATIENCE_MS), 1);
	w->a = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(w->a >= 0);
	assert_int_equal(way_info(w->a).tcpi_rcv_wscale, w->s.rcv_wscale);
	way_write(w->a, &w->a_wrote, WAY_MANY);
	way_read(w->b, &w->b_read, w->a_wrote, false);
	way_write(w->b, &w->b_wrote, WAY_SOME);
	way_read(w->a, &w->a_read, w->b_wrote, false);
}

static void test_into_the_queue_of_a_listener(void **state)
{
	(void)state;
	if (!way_is_possible())
		skip();
	for (unsigned i = 0; i < 6; i++) {
		bool bound = i % 2;
		struct way w;

		take_out_waiting(&w, (enum way_kind)(i / 2), WAY_SOME);
		assert_int_equal(setsockopt(w.listener, SOL_SOCKET, SO_BINDTODEVICE, "va", bound ? 3 : 0), 0);
		assert_int_equal(enqueue(&w, bound ? if_nametoindex("va") : 0), 0);
		check_goes_on(&w);
		way_close(&w);
	}
}

/* Its first ACK is not there yet: that of the peer's next segment does as well. */
static void test_into_the_half_open_ones_of_a_listener(void **state)
{
	(void)state;
	if (!way_is_possible())
		skip();
	for (unsigned kind = WAY_V4; kind <= WAY_MAPPED; kind++) {
		struct way w;

		take_out_waiting(&w, (enum way_kind)kind, 0);
		w.s.state = TCP_SYN_RECEIVED;
		w.s.snd_una = w.s.iss;
		assert_int_equal(enqueue(&w, 0), 0);
		way_write(w.b, &w.b_wrote, WAY_SOME);
		check_goes_on(&w);
		way_close(&w);
	}
}

/* As way_read_queue(), while the peer sends more. */
static uint32_t read_queue_meanwhile(void *context, enum tcp_queue which, uint32_t offset, void *to, uint32_t len)
{
	struct way *w = context;

	if (offset == 0)
		way_write(w->b, &w->b_wrote, WAY_SOME);
	return way_read_queue(context, which, offset, to, len);
}

static void test_into_the_queue_while_the_peer_goes_on(void **state)
{
	struct host_repair r;
	struct way w;

	(void)state;
	if (!way_is_possible())
		skip();
	take_out_waiting(&w, WAY_V4, WAY_SOME);
	r = way_repair(&w);
	r.read = read_queue_meanwhile;
	assert_int_equal(enqueue_by(&w, &r), 0);
	check_goes_on(&w);
	way_close(&w);
}

/* Accepts, reads all and ends it. */
static void *serve_one(void *arg)
{
	struct way *w = arg;
	struct pollfd p = { .fd = w->listener, .events = POLLIN };

	poll(&p, 1, WAY_PATIENCE_MS);
	w->a = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	way_read(w->a, &w->a_read, WAY_SOME, false);
	shutdown(w->a, SHUT_WR);
	for (unsigned i = 0; i < 10000 && way_info(w->a).tcpi_state != TCP_FIN_WAIT2; i++)
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
	if (!way_is_possible())
		skip();
	sched_getaffinity(0, sizeof(all), &all);
	CPU_ZERO(&one);
	CPU_SET((size_t)sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	for (unsigned i = 0; i < 10; i++) {
		pthread_t thread;
		struct way w;

		take_out_waiting(&w, WAY_V4, WAY_SOME);
		thread = begin_to_serve(&w);
		assert_int_equal(enqueue(&w, 0), 0);
		pthread_join(thread, NULL);
		way_read(w.b, &w.b_read, 0, true);
		way_close(&w);
	}
	sched_setaffinity(0, sizeof(all), &all);
}

/* Nobody listens, or not on that interface, or something was said already: nothing comes of it. */
static void test_not_into_the_queue(void **state)
{
	struct way w;

	(void)state;
	if (!way_is_possible())
		skip();
	for (unsigned i = 0; i < 3; i++) {
		take_out_waiting(&w, WAY_V4, WAY_SOME);
		if (i == 0)
			shutdown(w.listener, SHUT_RD);
		if (i == 1)
			assert_int_equal(setsockopt(w.listener, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3), 0);
		w.s.iss -= i == 2;
		assert_int_equal(enqueue(&w, 0), i == 2 ? -EINVAL : -EAGAIN);
		assert_int_equal(accept4(w.listener, NULL, NULL, SOCK_NONBLOCK), -1);
		way_close(&w);
	}
}

/* Another one fills the queue. Of the listener itself, which sock_diag names then, nothing tells it from a connection that
 * nobody wrote to, without a window scale. */
static void test_not_into_a_full_queue(void **state)
{
	struct pollfd p = { .events = POLLIN };
	struct way w;
	int other;

	(void)state;
	if (!way_is_possible())
		skip();
	way_sysctl("window_scaling", "0");
	take_out_waiting(&w, WAY_V4, 0);
	way_sysctl("window_scaling", "1");
	assert_int_equal(listen(w.listener, 0), 0);
	other = way_knock(WAY_V4);
	p.fd = w.listener;
	assert_int_equal(poll(&p, 1, WAY_PATIENCE_MS), 1);
	assert_int_equal(enqueue(&w, 0), -EAGAIN);
	close(other);
	way_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_into_the_queue_of_a_listener),
		cmocka_unit_test(test_into_the_half_open_ones_of_a_listener),
		cmocka_unit_test(test_into_the_queue_while_the_peer_goes_on),
		cmocka_unit_test(test_into_the_queue_where_it_is_served_at_once),
		cmocka_unit_test(test_not_into_the_queue),
		cmocka_unit_test(test_not_into_a_full_queue),
	};

	return cmocka_run_group_tests(tests, way_make_world, NULL);
}
