/* SPDX-License-Identifier: BSD-2-Clause */
/* grid.c - see grid.h. */
#include "grid.h"

#include <sys/epoll.h>
#include <sys/mman.h>

enum { ALL = POLLIN | POLLOUT | POLLPRI | POLLRDHUP };

int it = -1;
const struct grid_state *grid_now;
static int slot = -1, set = -1;		/* the peer's name of the connection; an epoll set that holds `it` */

static void wait_for(int fd, short events)
{
	struct pollfd one = { .fd = fd, .events = events };

	if (poll(&one, 1, 5000) != 1)
		fail("a state did not come about");
}

static void wait_for_state(int fd, int state)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);
	int64_t end = now_ms() + 5000;

	do {
		if (now_ms() > end || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
			fail("a state did not come about");
		sleep_ms(1);
	} while (info.tcpi_state != state);
}

/* The peer's FIN makes a dialogue of it until the delayed ACK has left (tcp_fin(), tcp_delack_timer_handler()). */
static void wait_for_ack(int fd)
{
	socklen_t len = sizeof(int);
	int64_t end = now_ms() + 5000;
	int quick = 0;

	do {
		if (now_ms() > end || getsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &quick, &len) < 0)
			fail("no ACK was sent");
		sleep_ms(1);
	} while (!quick);
}

static int connected(void)
{
	return linked(&slot);
}

static int fresh(void)
{
	return tcp();
}

static int bound(void)
{
	return tcp_bound(PORT_HERE);
}

static int listening(void)
{
	return tcp_listening(PORT_HERE, 8);
}

/* A connection waits for accept(). */
static int awaited(void)
{
	int fd = listening();

	slot = (int)peer("begin %d", PORT_HERE);
	wait_for(fd, POLLIN);
	return fd;
}

static int to_nowhere(struct addr to)
{
	int fd = tcp();

	nonblock(fd);
	if (connect(fd, SA(&to), to.len) == 0 || errno != EINPROGRESS)
		fail("connect");
	return fd;
}

static int connecting(void)
{
	return to_nowhere(nowhere(PORT_PEER));
}

/* Nobody has asked for the error yet. */
static int refused(void)
{
	int fd = to_nowhere(there(PORT_CLOSED));

	wait_for(fd, POLLIN);
	return fd;
}

static void take_error(int fd)
{
	int value;
	socklen_t len = sizeof(value);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &len) < 0 || !value)
		fail("no error");
}

static int was_refused(void)
{
	int fd = refused();

	take_error(fd);
	return fd;
}

static int with_data(void)
{
	int fd = connected();

	bring(slot, GRID_DATA);
	return fd;
}

static int peer_finished(void)
{
	int fd = connected();

	peer("fin %d", slot);
	wait_for(fd, POLLRDHUP);
	wait_for_ack(fd);
	return fd;
}

static int we_finished(void)
{
	int fd = connected();

	shutdown(fd, SHUT_WR);
	peer("rest %d", slot);
	wait_for_state(fd, STATE_FIN_WAIT2);
	return fd;
}

static int both_finished(void)
{
	int fd = peer_finished();

	shutdown(fd, SHUT_WR);
	peer("rest %d", slot);
	wait_for_state(fd, STATE_CLOSE);
	return fd;
}

static int deaf(void)
{
	int fd = connected();

	shutdown(fd, SHUT_RD);
	return fd;
}

static int reset(void)
{
	int fd = connected();

	peer("reset %d", slot);
	slot = -1;
	wait_for(fd, POLLIN);
	return fd;
}

static int was_reset(void)
{
	int fd = reset();

	take_error(fd);
	return fd;
}

const struct grid_state grid_streams[] = {
	{ "fresh", fresh, false, false },
	{ "bound", bound, false, false },
	{ "listening", listening, false, false },
	{ "awaited", awaited, false, false },
	{ "connecting", connecting, false, true },
	{ "refused", refused, true, true },
	{ "was_refused", was_refused, false, true },
	{ "connected", connected, false, true },
	{ "with_data", with_data, false, true },
	{ "peer_finished", peer_finished, false, true },
	{ "we_finished", we_finished, false, true },
	{ "both_finished", both_finished, false, true },
	{ "deaf", deaf, false, true },
	{ "reset", reset, true, true },
	{ "was_reset", was_reset, false, true },
	{ NULL, NULL, false, false },
};

static int datagram_connected(void)
{
	return udp_connected(PORT_HERE, PORT_SINK);
}

static int datagram_bound(void)
{
	return udp_bound(PORT_HERE);
}

static int datagram_with_data(void)
{
	int fd = datagram_connected(), i;

	for (i = 0; i < 3; i++)
		peer("datagram %d %d", PORT_HERE, GRID_DATA);
	wait_for(fd, POLLIN);
	settle();
	return fd;
}

/* The peer's kernel answers no more than a number of them in a second. */
static int datagram_refused(void)
{
	int fd = udp_connected(PORT_HERE, PORT_CLOSED), tries = 100;
	struct pollfd one = { .fd = fd };

	do {
		if (!tries--)
			fail("nobody refuses");
		send(fd, "x", 1, 0);
	} while (poll(&one, 1, 50) != 1);
	return fd;
}

static int datagram_deaf(void)
{
	int fd = datagram_connected();

	shutdown(fd, SHUT_RD);
	return fd;
}

static int datagram_shut(void)
{
	int fd = datagram_connected();

	shutdown(fd, SHUT_RDWR);
	return fd;
}

const struct grid_state grid_datagrams[] = {
	{ "datagram_fresh", udp, false, false },
	{ "datagram_bound", datagram_bound, false, false },
	{ "datagram_connected", datagram_connected, false, true },
	{ "datagram_with_data", datagram_with_data, false, true },
	{ "datagram_refused", datagram_refused, true, true },
	{ "datagram_deaf", datagram_deaf, false, true },
	{ "datagram_shut", datagram_shut, false, true },
	{ NULL, NULL, false, false },
};

static int no_descriptor(void)
{
	return CLOSED_FD;
}

static int pipe_end(void)
{
	int ends[2];

	if (pipe(ends) < 0)
		fail("pipe");
	return ends[0];
}

static int local_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

const struct grid_state grid_others[] = {
	{ "no_descriptor", no_descriptor, false, false },
	{ "pipe_end", pipe_end, false, false },
	{ "local_socket", local_socket, false, false },
	{ NULL, NULL, false, false },
};

bool grid_is_datagram(void)
{
	return strncmp(grid_now->name, "datagram", 8) == 0;
}

void grid_leave(void)
{
	if (it >= 0 && it != CLOSED_FD)
		close(it);
	if (set >= 0)
		close(set);
	if (slot >= 0)
		peer("reset %d", slot);
	it = set = slot = -1;
}

void grid_again(void)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP };

	grid_leave();
	it = grid_now->make();
	set = epoll_create1(EPOLL_CLOEXEC);
	if (it == CLOSED_FD)
		return;
	if (epoll_ctl(set, EPOLL_CTL_ADD, it, &event) < 0)
		fail("epoll_ctl");
	if (it < CONTROL_FD || it >= CLOSED_FD)
		fail("descriptor %d", it);
	nonblock(it);
}

static bool once;

void grid_once(bool on)
{
	once = on;
}

void grid_renew(void)
{
	if (grid_now->passing && !once)
		grid_again();
}

void grid_renew_for_flag(void)
{
	if (grid_now->passing || grid_is_datagram())
		grid_again();
}

void grid_enter(const struct grid_state *table, const char *name)
{
	while (table->name && strcmp(table->name, name) != 0)
		table++;
	if (!table->name)
		fail("no state %s", name);
	grid_now = table;
	it = set = slot = -1;
	grid_again();
	grid_said("now", 0, ERRNO_MARK);
}

void grid_said(const char *text, long ret, int err)
{
	struct pollfd one = { .fd = it, .events = ALL };
	struct epoll_event event;
	char line[256];

	poll(&one, 1, 0);
	if (epoll_wait(set, &event, 1, 0) != 1)
		event.events = 0;
	snprintf(line, sizeof(line), "[%x %x] %s", (unsigned)(unsigned short)one.revents, event.events, text);
	say_call(line, ret, err);
}

void *out_of_reach(void)
{
	static void *page;

	if (!page)
		page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return page;
}
