/* SPDX-License-Identifier: BSD-2-Clause */
/* Leased local ports, with real sockets of the kernel on this host, and ports of the stack that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "context/internal.h"
#include "context/lease.h"
#include "local/conn.h"
#include "tcp/end.h"

enum { BUCKETS = 64, ENDS = 128, FD_FLOOR = 100, FIRST = 16, REMOTE_PORT = 80 };

struct fixture {
	struct context ctx;
	struct stack stack;
	struct provider_port port[2];
	struct table_node *end_buckets[BUCKETS], *listener_buckets[BUCKETS];
	struct tcp_end end[ENDS];
	unsigned n_ends;
	uint64_t counter[FS_CTR_N];
	uint32_t entered[2]; /* steering entries of the two ports */
	uint32_t room;	     /* entries a port has room for */
};

static struct fixture fixture, *const f = &fixture;
static struct ip_addr here, remote, elsewhere;

static int fake_add(struct provider_handle *handle, const struct steer_rule *rule)
{
	uint32_t *entered = &f->entered[handle->port - f->port];

	assert_int_equal(rule->protocol, IPPROTO_TCP);
	assert_int_equal(rule->verdict, STEER_STACK);
	assert_true(ip_addr_is_any(&rule->local));
	assert_true(context_lease_covers(&f->ctx, rule->local_port));
	if (*entered == f->room)
		return -E2BIG;
	++*entered;
	return 0;
}

static int fake_remove(struct provider_handle *handle, const struct steer_rule *rule)
{
	assert_int_equal(rule->protocol, IPPROTO_TCP);
	f->entered[handle->port - f->port]--;
	return 0;
}

static const struct provider_ops fake = { .name = "fake", .steer_add = fake_add, .steer_remove = fake_remove };

static void open_port(unsigned i, uint32_t serial)
{
	f->stack.port[i] = &f->port[i];
	f->stack.port_opened[i] = f->ctx.handle_opened[i] = serial;
	f->ctx.handle[i] = (struct provider_handle){ .ops = &fake, .port = &f->port[i] };
}

static int setup(void **state)
{
	const struct siphash_key key[TCP_N_SECRETS] = { 0 };
	const struct in_addr addr[] = { { htonl(0x0a000001) }, { htonl(0x0a000002) }, { htonl(0x0a000003) } };

	memset(f, 0, sizeof(*f));
	f->room = UINT32_MAX;
	f->ctx.stack = &f->stack;
	f->ctx.fd_floor = FD_FLOOR;
	f->ctx.nl.fd = -1;
	f->stack.counter = f->stack.ip.counters = f->counter;
	f->ctx.now = FS_SEC(100);
	config_init(&f->ctx.config);
	tcp_init(&f->stack.tcp, &f->stack.ip, key, key, f->end_buckets, BUCKETS, f->listener_buckets, BUCKETS, f->ctx.now);
	here = ip_addr_v4(&addr[0]);
	remote = ip_addr_v4(&addr[1]);
	elsewhere = ip_addr_v4(&addr[2]);
	open_port(0, 1);
	return mem_create(&f->ctx.arena, "fsock-test-lease", 4096, FD_FLOOR);
}

static int teardown(void **state)
{
	for (int i = 0; i < 2; i++)
		if (f->ctx.leases[i] > 0)
			close(f->ctx.leases[i]);
	mem_close(&f->ctx.arena);
	return 0;
}

static int lease(const struct ip_addr *to)
{
	return context_lease(&f->ctx, &here, to, REMOTE_PORT);
}

/* A port of a lease, in use from here on. */
static int connect_to(const struct ip_addr *to)
{
	int port = lease(to);
	struct tcp_end *end = &f->end[f->n_ends++];

	assert_true(f->n_ends <= ENDS);
	assert_in_range(port, 1, 65535);
	assert_true(tcp_tuple_is_free(&f->stack.tcp, &here, (uint16_t)port, to, REMOTE_PORT, f->ctx.now));
	*end = (struct tcp_end){ .local = here, .remote = *to, .local_port = (uint16_t)port, .remote_port = REMOTE_PORT,
				 .kind = TCP_END_CONN };
	tcp_end_insert(&f->stack.tcp, end);
	return port;
}

/* What bind() says to a program that asks for @port. */
static int bind_errno(int family, uint16_t port)
{
	struct sockaddr_in6 name = { .sin6_family = (sa_family_t)family, .sin6_port = htons(port) };
	int fd = socket(family, SOCK_STREAM, 0), on = 1, ret;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	ret = bind(fd, (void *)&name, family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(name)) ? errno : 0;
	close(fd);
	return ret;
}

static void context_lease__the_kernel_gives_the_port_to_nobody(void **state)
{
	int port = connect_to(&remote);

	assert_int_equal(bind_errno(AF_INET, (uint16_t)port), EADDRINUSE);
	assert_int_equal(bind_errno(AF_INET6, (uint16_t)port), EADDRINUSE);
	assert_true(context_lease_covers(&f->ctx, (uint16_t)port));
	assert_false(context_lease_covers(&f->ctx, REMOTE_PORT));
}

static int descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 4 * FD_FLOOR; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void context_lease__uses_two_descriptors(void **state)
{
	int before = descriptors();

	for (int i = 0; i < 3 * FIRST; i++)
		connect_to(&remote);
	assert_int_equal(descriptors(), before + 2);
	for (int i = 0; i < 2; i++) {
		assert_true(f->ctx.leases[i] >= FD_FLOOR);
		assert_int_equal(fcntl(f->ctx.leases[i], F_GETFD), FD_CLOEXEC);
	}
}

static void context_lease__four_tuples_differ(void **state)
{
	for (int i = 0; i < 50; i++) {
		connect_to(&remote);
		connect_to(&elsewhere); /* the same ports again */
	}
	assert_int_equal(f->entered[0], 64);
}

static void context_lease__more_come_only_when_all_are_taken(void **state)
{
	for (int i = 0; i < FIRST; i++)
		connect_to(&remote);
	for (int i = 0; i < FIRST; i++)
		connect_to(&elsewhere);
	assert_int_equal(f->entered[0], FIRST);
	connect_to(&remote);
	assert_int_equal(f->entered[0], 2 * FIRST);
	connect_to(&elsewhere);
	assert_int_equal(f->entered[0], 2 * FIRST);
}

static void context_lease__one_after_the_other(void **state)
{
	uint64_t seen[1024] = { 0 };

	/* None is in use: the one that rested longest is next. */
	for (int i = 0; i < 2 * FIRST; i++) {
		int port = lease(&remote);
		bool again = seen[port / 64] >> (port % 64) & 1;

		assert_int_equal(again, i >= FIRST);
		seen[port / 64] |= 1ULL << (port % 64);
	}
}

static void context_lease__no_more_than_the_option_says(void **state)
{
	f->ctx.config.max_leases = 20;
	for (int i = 0; i < 20; i++)
		connect_to(&remote);
	assert_int_equal(lease(&remote), -EMFILE);
	assert_int_equal(f->entered[0], 20);
	connect_to(&elsewhere);
	tcp_end_remove(&f->stack.tcp, &f->end[7]);
	assert_int_equal(lease(&remote), f->end[7].local_port);
}

static void context_lease__without_descriptors(void **state)
{
	struct rlimit limit, none;

	getrlimit(RLIMIT_NOFILE, &limit);
	none = (struct rlimit){ FD_FLOOR, limit.rlim_max };
	setrlimit(RLIMIT_NOFILE, &none);
	assert_int_equal(lease(&remote), -EMFILE);
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void context_lease__ports_left_to_the_kernel_are_none(void **state)
{
	strcpy(f->ctx.config.bypass, "tcp:1-65535");
	assert_int_equal(lease(&remote), -EADDRNOTAVAIL);
	assert_int_equal(f->entered[0], 0);
}

static void context_lease__is_steered_on_every_port(void **state)
{
	int port;

	open_port(1, 2);
	port = lease(&remote);
	assert_int_equal(f->entered[0], FIRST);
	assert_int_equal(f->entered[1], FIRST);
	/* One that another process opened, and this has no part in, is in the way. */
	f->ctx.handle[1].ops = NULL;
	for (int i = 0; i < FIRST; i++)
		connect_to(&remote);
	assert_int_equal(lease(&remote), -EADDRNOTAVAIL);
	f->ctx.handle[1].ops = &fake;
	assert_true(lease(&remote) != port);
	assert_int_equal(f->entered[1], 2 * FIRST);
}

static void context_lease__no_room_for_entries(void **state)
{
	f->room = 3;
	for (int i = 0; i < 3; i++)
		connect_to(&remote);
	assert_int_equal(lease(&remote), -EADDRNOTAVAIL);
}

static void context_lease_resteer__a_port_opened_anew(void **state)
{
	lease(&remote);
	f->entered[0] = 0;
	open_port(0, 7);
	context_lease_resteer(&f->ctx, 0);
	assert_int_equal(f->entered[0], FIRST);
	open_port(1, 8);
	context_lease_resteer(&f->ctx, 1);
	assert_int_equal(f->entered[1], FIRST);
}

static void context_lease_moved__is_given_out_no_more(void **state)
{
	int port = lease(&remote);

	context_lease_moved(&f->ctx, (uint16_t)port);
	for (int i = 0; i < 2 * FIRST; i++)
		assert_int_not_equal(lease(&remote), port);
	assert_true(context_lease_covers(&f->ctx, (uint16_t)port));
}

/* A child makes a lease and ends. Its port; 0 = it got none. */
static uint16_t of_a_child(void)
{
	uint16_t port = 0;
	int way[2], got;
	pid_t child;

	assert_int_equal(pipe(way), 0);
	child = fork();
	if (child == 0) {
		got = lease(&remote);
		port = (uint16_t)FS_MAX(got, 0);
		_exit(write(way[1], &port, sizeof(port)) != sizeof(port));
	}
	assert_int_equal(read(way[0], &port, sizeof(port)), sizeof(port));
	waitpid(child, NULL, 0);
	close(way[0]);
	close(way[1]);
	return port;
}

static void context_lease__a_childs_is_the_parents_too(void **state)
{
	uint16_t port;

	context_lease_before_fork(&f->ctx);
	port = of_a_child();
	assert_int_not_equal(port, 0);
	assert_int_equal(bind_errno(AF_INET, port), EADDRINUSE);
}

static void context_lease__who_has_no_part_has_none(void **state)
{
	f->stack.leases_held = true; /* by a process that is no ancestor */
	assert_int_equal(lease(&remote), -EMFILE);
}

/* As a connection over a link has it, from when it is begun. */
static int take_by_link(struct local_conn *conn, const struct ip_addr *to)
{
	const struct local_conn **holder = NULL;
	int port = context_lease_link(&f->ctx, &here, to, REMOTE_PORT, &holder);

	if (port < 0)
		return port;
	*conn = (struct local_conn){ .state = LOCAL_CONNECTING, .local_port = (uint16_t)port };
	*holder = conn;
	return port;
}

/* Whomever it calls; others' connections are of other addresses. Nothing is steered for it. */
static void context_lease_link__one_each(void **state)
{
	struct local_conn conn[FIRST + 1];
	bool seen[65536] = { false };

	for (unsigned i = 0; i <= FIRST; i++) {
		int port = take_by_link(&conn[i], i % 2 ? &remote : &elsewhere);

		assert_in_range(port, 1, 65535);
		assert_true(context_lease_covers(&f->ctx, (uint16_t)port));
		assert_false(seen[port]);
		seen[port] = true;
		assert_int_equal(bind_errno(AF_INET, (uint16_t)port), EADDRINUSE);
	}
	assert_int_equal(f->entered[0], 0);
	assert_in_range(connect_to(&remote), 1, 65535);
	assert_int_not_equal(f->entered[0], 0);
}

static unsigned leases(void)
{
	unsigned n = 0;

	for (unsigned port = 1; port < 65536; port++)
		n += context_lease_covers(&f->ctx, (uint16_t)port);
	return n;
}

/* A program's only connection pays for few of them; the engine has its choice nevertheless. */
static void context_lease_link__few_at_first(void **state)
{
	struct local_conn conn[8];

	assert_in_range(take_by_link(&conn[0], &remote), 1, 65535);
	assert_in_range(leases(), 1, 4);
	conn[0].state = LOCAL_FREE;
	assert_in_range(take_by_link(&conn[0], &remote), 1, 65535);
	assert_in_range(leases(), 1, 4);
	for (unsigned i = 1; i < 8; i++)
		assert_in_range(take_by_link(&conn[i], &remote), 1, 65535);
	assert_true(leases() < FIRST);
	connect_to(&elsewhere);
	assert_true(leases() >= FIRST);
}

/* Where there are no more for the engine, it has those. */
static void context_lease__few_are_better_than_none(void **state)
{
	struct rlimit limit, none;
	struct local_conn conn;

	getrlimit(RLIMIT_NOFILE, &limit);
	none = (struct rlimit){ FD_FLOOR, limit.rlim_max };
	assert_in_range(take_by_link(&conn, &remote), 1, 65535);
	setrlimit(RLIMIT_NOFILE, &none);
	connect_to(&remote);
	setrlimit(RLIMIT_NOFILE, &limit);
	assert_in_range(leases(), 1, FIRST - 1);
}

/* Until both sides have left it, and its place is free, or another's. */
static void context_lease_link__free_with_its_connection(void **state)
{
	struct local_conn conn[FIRST], again;
	int port;

	f->ctx.config.max_leases = FIRST;
	for (unsigned i = 0; i < FIRST; i++)
		assert_in_range(take_by_link(&conn[i], &remote), 1, 65535);
	assert_true(take_by_link(&again, &remote) < 0);
	conn[3].state = LOCAL_LEFT;
	assert_true(take_by_link(&again, &remote) < 0);
	conn[3].state = LOCAL_FREE;
	port = conn[3].local_port;
	assert_int_equal(take_by_link(&again, &remote), port);
	port = conn[5].local_port;
	conn[5].local_port = 80; /* the place is of a connection that came */
	assert_int_equal(take_by_link(&again, &elsewhere), port);
}

static void context_lease_link__not_one_that_moved(void **state)
{
	struct local_conn conn[FIRST];

	f->ctx.config.max_leases = FIRST;
	context_lease_moved(&f->ctx, (uint16_t)connect_to(&remote));
	for (unsigned i = 0; i < FIRST - 1; i++)
		assert_in_range(take_by_link(&conn[i], &remote), 1, 65535);
	assert_true(take_by_link(&conn[FIRST - 1], &remote) < 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(context_lease__the_kernel_gives_the_port_to_nobody),
		TEST(context_lease__uses_two_descriptors),
		TEST(context_lease__four_tuples_differ),
		TEST(context_lease__more_come_only_when_all_are_taken),
		TEST(context_lease__one_after_the_other),
		TEST(context_lease__no_more_than_the_option_says),
		TEST(context_lease__without_descriptors),
		TEST(context_lease__ports_left_to_the_kernel_are_none),
		TEST(context_lease__is_steered_on_every_port),
		TEST(context_lease__no_room_for_entries),
		TEST(context_lease_resteer__a_port_opened_anew),
		TEST(context_lease_moved__is_given_out_no_more),
		TEST(context_lease__a_childs_is_the_parents_too),
		TEST(context_lease__who_has_no_part_has_none),
		TEST(context_lease_link__one_each),
		TEST(context_lease_link__few_at_first),
		TEST(context_lease__few_are_better_than_none),
		TEST(context_lease_link__free_with_its_connection),
		TEST(context_lease_link__not_one_that_moved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
