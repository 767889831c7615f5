/* SPDX-License-Identifier: BSD-2-Clause */
/* One accelerated socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <poll.h>

#include "local/link.h"
#include "socket/epoll.h"
#include "socket/sock.h"

static struct sock sock;
static struct stats_sock record;

static int setup(void **state)
{
	memset(&sock, 0xa5, sizeof(sock));
	memset(&record, 0, sizeof(record));
	return 0;
}

static void sock_init__whatever_was_there(void **state)
{
	sock_init(&sock, &record, SOCK_UDP, false, 7);
	assert_ptr_equal(sock.record, &record);
	assert_int_equal(sock.generation, 7);
	assert_int_equal(sock.way, SOCK_UNDECIDED);
	assert_int_equal(sock.pcb.flags, 0);
	assert_true(list_is_empty(&sock.items));
	assert_false(list_is_linked(&sock.all));
	assert_int_equal(sock_refs(&sock), 0);
	assert_null(sock.dst);
	assert_false(sock.nonblock || sock.bound);
	sock_init(&sock, &record, SOCK_UDP, true, 8);
	assert_int_equal(sock.pcb.flags, UDP_PCB_V6);
}

static void sock_refs__adds_all_processes(void **state)
{
	sock_init(&sock, &record, SOCK_UDP, false, 1);
	sock.refs[0] = 1;
	sock.refs[3] = 2;
	sock.refs[STATS_MAX_PROCS - 1] = 4;
	assert_int_equal(sock_refs(&sock), 7);
	for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
		sock.refs[i] = UINT16_MAX; /* no wrap at 16 bits */
	assert_int_equal(sock_refs(&sock), STATS_MAX_PROCS * UINT16_MAX);
}

static void sock_sleepers__of_the_socket_and_of_its_sets(void **state)
{
	static struct epoll_set set;
	static struct epoll_item item;

	sock_init(&sock, &record, SOCK_UDP, false, 1);
	assert_int_equal(sock_sleepers(&sock), 0);
	sleepers_add(&sock.sleepers, 0);
	sleepers_add(&sock.sleepers, STATS_MAX_PROCS - 1);
	item.set = &set;
	list_push_back(&sock.items, &item.of_member);
	sleepers_add(&set.sleepers, 2);
	assert_int_equal(sock_sleepers(&sock), 1u | 1u << 2 | 1u << (STATS_MAX_PROCS - 1));
}

static void sleepers__counts_threads_of_each_process(void **state)
{
	struct sleepers s = { 0 };

	sleepers_add(&s, 3);
	sleepers_add(&s, 3);
	sleepers_add(&s, 4);
	sleepers_remove(&s, 3);
	assert_int_equal(s.slots, 1u << 3 | 1u << 4);
	sleepers_remove(&s, 3);
	assert_int_equal(s.slots, 1u << 4);
	sleepers_add(&s, 5);
	sleepers_forget(&s, 4);
	assert_int_equal(s.slots, 1u << 5);
	sleepers_remove(&s, 4); /* a late one of a process that was given up */
	assert_int_equal(s.slots, 1u << 5);
}

static void sock_ready__follows_the_queue(void **state)
{
	struct fbuf frame;

	sock_init(&sock, &record, SOCK_UDP, false, 1);
	assert_int_equal(sock_ready(&sock), 0);
	sock.pcb.queue.head = &frame;
	assert_int_equal(sock_ready(&sock), POLLIN | POLLRDNORM);
	sock.errors.head = &frame;
	assert_int_equal(sock_ready(&sock), POLLIN | POLLRDNORM | POLLERR);
	sock.error_is_pri = true;
	sock.pcb.queue.head = NULL;
	assert_int_equal(sock_ready(&sock), POLLERR | POLLPRI);
}

static void sock_of__is_the_way_back(void **state)
{
	assert_ptr_equal(sock_of(&sock.pcb), &sock);
}

static void sock_publish__copies_what_tools_show(void **state)
{
	sock_init(&sock, &record, SOCK_UDP, false, 1);
	sock.pcb.local_port = 9000;
	sock.pcb.remote_port = 53;
	memset(sock.pcb.local.b, 0x11, 16);
	memset(sock.pcb.remote.b, 0x22, 16);
	sock.pcb.drops = 3;
	sock.pcb.queue.frames = 4;
	sock.pcb.charged = 5000;
	sock_publish(&sock);
	assert_int_equal(record.accelerated, 0);
	assert_int_equal(record.local_port, 9000);
	assert_int_equal(record.remote_port, 53);
	assert_memory_equal(record.local, sock.pcb.local.b, 16);
	assert_memory_equal(record.remote, sock.pcb.remote.b, 16);
	assert_int_equal(record.drops, 3);
	assert_int_equal(record.queued_frames, 4);
	assert_int_equal(record.queued_bytes, 5000);
	sock.way = SOCK_FAST;
	sock_publish(&sock);
	assert_int_equal(record.accelerated, 1);
	sock.way = SOCK_KERNEL;
	sock_publish(&sock);
	assert_int_equal(record.accelerated, 0);
}

/* A connection by a link, over rings of nothing: what the record says of it. */
static void sock_publish__a_connection_by_a_link(void **state)
{
	static struct local_stream_words out, in;
	static struct local_link link;
	static struct local_conn conn;

	link = (struct local_link){ .number = 3, .peer_pid = 4711 };
	conn = (struct local_conn){ .state = LOCAL_ESTABLISHED, .link = &link, .local_port = 80, .remote_port = 4000 };
	out = (struct local_stream_words){ .head = 500, .read = 480 };
	in = (struct local_stream_words){ .head = 70 };
	conn.tx = (struct local_tx){ .words = &out, .mask = 4095, .head = 500 };
	conn.rx = (struct local_rx){ .words = &in, .mask = 4095, .pos = 40, .seen_head = 40 };
	sock_init(&sock, &record, SOCK_TCP, false, 1);
	sock.way = SOCK_FAST;
	sock.stream.local_conn = &conn;
	sock_publish(&sock);
	assert_int_equal(record.link, 3);
	assert_int_equal(record.peer_pid, 4711);
	assert_int_equal(record.state, TCP_ESTABLISHED);
	assert_int_equal(record.queued_bytes, 30);
	assert_int_equal(record.unread_bytes, 20);
	assert_int_equal(record.rx_bytes, 40);
	assert_int_equal(record.tx_bytes, 500);
	assert_int_equal(link.rx_bytes, 40); /* the link's sum has it, once */
	sock_publish(&sock);
	assert_int_equal(link.rx_bytes, 40);
	assert_int_equal(link.tx_bytes, 500);

	sock.stream.local_conn = NULL; /* it goes on in the kernel */
	sock.way = SOCK_KERNEL;
	sock_publish(&sock);
	assert_int_equal(record.link | record.peer_pid | record.state | record.unread_bytes, 0);
	assert_int_equal(record.remote_port, 4000);
}

static void sock_publish__a_listener_that_links_reach(void **state)
{
	sock_init(&sock, &record, SOCK_TCP, false, 1);
	sock.way = SOCK_FAST;
	sock.unsteered = sock.stream.by_links = true;
	sock.stream.local_port = 80;
	sock.stream.local_listener = (struct local_listener){ .waiting = 2, .backlog = 128 };
	sock_publish(&sock);
	assert_int_equal(record.link, STATS_ANY_LINK);
	assert_int_equal(record.state, TCP_LISTEN);
	assert_int_equal(record.queued_frames, 2);
	assert_int_equal(record.unread_bytes, 128);
	sock.stream.by_links = false;
	sock_publish(&sock);
	assert_int_equal(record.link | record.state | record.queued_frames | record.unread_bytes, 0);
}

static void sock_local_state__as_tcp_shows_it(void **state)
{
	static const struct {
		enum local_state local;
		uint16_t flags;
		uint8_t state;
	} cases[] = {
		{ LOCAL_CONNECTING, 0, TCP_SYN_SENT },
		{ LOCAL_ESTABLISHED, 0, TCP_ESTABLISHED },
		{ LOCAL_ESTABLISHED, LOCAL_FIN_SENT, TCP_FIN_WAIT2 },
		{ LOCAL_ESTABLISHED, LOCAL_FIN_RECEIVED, TCP_CLOSE_WAIT },
		{ LOCAL_ESTABLISHED, LOCAL_FIN_RECEIVED | LOCAL_FIN_SENT, TCP_CLOSED },
		{ LOCAL_OVER, 0, TCP_CLOSED },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct local_conn conn = { .state = (uint8_t)cases[i].local, .flags = cases[i].flags };

		assert_int_equal(sock_local_state(&conn), cases[i].state);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(sock_init__whatever_was_there, setup),
		cmocka_unit_test_setup(sock_refs__adds_all_processes, setup),
		cmocka_unit_test_setup(sock_sleepers__of_the_socket_and_of_its_sets, setup),
		cmocka_unit_test_setup(sleepers__counts_threads_of_each_process, setup),
		cmocka_unit_test_setup(sock_ready__follows_the_queue, setup),
		cmocka_unit_test_setup(sock_of__is_the_way_back, setup),
		cmocka_unit_test_setup(sock_publish__copies_what_tools_show, setup),
		cmocka_unit_test_setup(sock_publish__a_connection_by_a_link, setup),
		cmocka_unit_test_setup(sock_publish__a_listener_that_links_reach, setup),
		cmocka_unit_test_setup(sock_local_state__as_tcp_shows_it, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
