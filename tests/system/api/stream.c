/* SPDX-License-Identifier: BSD-2-Clause */
/* stream.c - see stream.h. */
#include "stream.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>

unsigned char stream_bytes[4 << 20];
volatile int signals_seen;

int tcp(void)
{
	int fd = socket(family(), SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fail("socket");
	return fd;
}

int tcp_bound(int port)
{
	struct addr a = here(port);
	int fd = tcp(), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, SA(&a), a.len) < 0)
		fail("bind to port %d", port);
	return fd;
}

int tcp_listening(int port, int backlog)
{
	int fd = tcp_bound(port);

	if (listen(fd, backlog) < 0)
		fail("listen");
	return fd;
}

int linked_out(int *slot)
{
	struct addr to = there(PORT_PEER);
	int fd = tcp();

	if (connect(fd, SA(&to), to.len) < 0)
		fail("connect to the peer");
	*slot = (int)peer("accept %d", PORT_PEER);
	if (*slot < 0)
		fail("the peer accepts: %d", *slot);
	return fd;
}

int taken_in(int listener, int port, int *slot)
{
	int fd;

	*slot = (int)peer("begin %d", port);
	if (*slot < 0)
		fail("the peer connects: %d", *slot);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		fail("accept");
	if (peer("done %d", *slot) != 0)
		fail("the peer's connection");
	return fd;
}

int linked_in(int *slot)
{
	int listener = tcp_listening(PORT_HERE, 8), fd = taken_in(listener, PORT_HERE, slot);

	close(listener);
	return fd;
}

int linked(int *slot)
{
	return family() == AF_INET6 && !mapped() ? linked_in(slot) : linked_out(slot);
}

void nonblock(int fd)
{
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
		fail("O_NONBLOCK");
}

long order(const char *format, ...)
{
	char text[200];
	va_list args;
	long answer;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	answer = peer("%s", text);
	if (answer < 0)
		say("peer %s: %s", text, strerrorname_np((int)-answer));
	else
		say("peer %s: %ld", text, answer);
	return answer;
}

void bring(int slot, int size)
{
	long sent = peer("deliver %d %d", slot, size);

	if (sent != size)
		fail("the peer sent %ld of %d bytes", sent, size);
}

int events_of(int fd, int events, int timeout_ms)
{
	struct pollfd set = { .fd = fd, .events = (short)events };
	int n = poll(&set, 1, timeout_ms);

	say("  poll for %#x: %d, %#x", (unsigned)events, n, (unsigned)(unsigned short)set.revents);
	return set.revents;
}

void say_error(int fd)
{
	int value = -1;
	socklen_t len = sizeof(value);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &len) < 0)
		say("  SO_ERROR not told: %s", strerrorname_np(errno));
	else
		say("  SO_ERROR %s", value ? strerrorname_np(value) : "0");
}

void say_state(int fd)
{
	static const char *const names[] = {
		"0", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT",
		"LAST_ACK", "LISTEN", "CLOSING",
	};
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		say("  state not told: %s", strerrorname_np(errno));
	else
		say("  state %s", info.tcpi_state < sizeof(names) / sizeof(names[0]) ? names[info.tcpi_state] : "?");
}

void say_names(int fd)
{
	struct addr a = { .len = sizeof(a.ss) };

	if (CALL(getsockname(fd, SA(&a), &a.len)) == 0)
		say_addr("  local", &a);
	a.len = sizeof(a.ss);
	if (CALL(getpeername(fd, SA(&a), &a.len)) == 0)
		say_addr("  remote", &a);
}

void set_int(int fd, int level, int option, int value)
{
	int ret = setsockopt(fd, level, option, &value, sizeof(value));

	say("  set %d/%d to %d: %s", level, option, value, ret < 0 ? strerrorname_np(errno) : "0");
}

void get_int(int fd, const char *name, int level, int option)
{
	int value = -77;
	socklen_t len = sizeof(value);

	if (getsockopt(fd, level, option, &value, &len) < 0)
		say("  %s not told: %s", name, strerrorname_np(errno));
	else
		say("  %s %d length %u", name, value, len);
}

void receive_all(int fd, size_t size)
{
	static unsigned char got[sizeof(stream_bytes)];
	size_t at = 0;
	ssize_t n = 1;

	while (at < size && n > 0) {
		n = recv(fd, got + at, size - at, 0);
		if (n > 0)
			at += (size_t)n;
	}
	say_data("received", got, at);
	if (n == 0 && size)
		say("  end of the stream");
	else if (n < 0)
		say("  %s", strerrorname_np(errno));
}

void fill_stream_bytes(void)
{
	size_t i;

	for (i = 0; i < sizeof(stream_bytes); i++)
		stream_bytes[i] = pattern(0, i);
}

struct addr nowhere(int port)
{
	struct addr a = there(port);
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&a.ss;

	if (family() == AF_INET)
		inet_pton(AF_INET, "10.77.0.99", &((struct sockaddr_in *)&a.ss)->sin_addr);
	else
		inet_pton(AF_INET6, mapped() ? "::ffff:10.77.0.99" : "fd77::99", &six->sin6_addr);
	return a;
}

void on_signal(int number, void (*handler)(int), int flags)
{
	struct sigaction act = { .sa_handler = handler, .sa_flags = flags };

	sigaction(number, &act, NULL);
}

void count_signal(int number)
{
	(void)number;
	signals_seen++;
}

static struct {
	pthread_t thread;
	void (*work)(int);
	int ms, argument;
} helper;

static void *help(void *unused)
{
	(void)unused;
	sleep_ms(helper.ms);
	helper.work(helper.argument);
	return NULL;
}

void later(int ms, void (*work)(int), int argument)
{
	helper.ms = ms;
	helper.work = work;
	helper.argument = argument;
	if (pthread_create(&helper.thread, NULL, help, NULL) != 0)
		fail("thread");
}

void later_done(void)
{
	pthread_join(helper.thread, NULL);
}

static timer_t guard;

static void hung(int number)
{
	(void)number;
	say("hung");
	_exit(97);
}

static void arm_guard(int seconds)
{
	struct itimerspec limit = { .it_value.tv_sec = seconds };

	timer_settime(guard, 0, &limit, NULL);
}

static void before(const char *name)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMAX - 1 };

	if (!guard) {
		on_signal(SIGRTMAX - 1, hung, 0);
		timer_create(CLOCK_MONOTONIC, &event, &guard);
	}
	arm_guard(GUARD_S);
	signals_seen = 0;
	say("case %s", name);
}

/* How many connections and listeners the kernel has on the program's ports. */
static int kernel_holds(void)
{
	FILE *table = fopen(family() == AF_INET ? "/proc/net/tcp" : "/proc/net/tcp6", "re");
	unsigned port;
	char line[256];
	int n = 0;

	while (table && fgets(line, sizeof(line), table))
		n += sscanf(line, "%*u: %*[0-9A-F]:%x", &port) == 1 && (port == PORT_HERE || port == PORT_HERE2);
	if (table)
		fclose(table);
	return n;
}

/*
 * The next case binds there: wait for what a peer with little of a processor has yet to end. What a case cut off from
 * its peer stays, and is waited for once.
 */
static void await_free_ports(void)
{
	static int cut_off;
	int64_t end = now_ms() + 1000;
	int n;

	while ((n = kernel_holds()) > cut_off && now_ms() < end)
		sleep_ms(1);
	cut_off = n;
}

/* Tells the harness on stderr how much of the records of this end and of the peer belong to the cases so far. */
static void after(void)
{
	static const int used[] = { SIGPIPE, SIGALRM, SIGURG, SIGIO, SIGUSR1, SIGUSR2 };
	const char *report = getenv("FSOCK_REPORT_FD");
	size_t i;
	int fd;

	alarm(0);
	peer("clear");
	for (fd = CONTROL_FD + 1; fd <= LAST_FD; fd++)
		close(fd);
	peer("clear"); /* the third segment of a handshake may have waited for the end */
	await_free_ports();
	for (i = 0; i < sizeof(used) / sizeof(used[0]); i++)
		signal(used[i], SIG_DFL);
	dprintf(2, "records %ld %ld\n", report ? (long)lseek(atoi(report), 0, SEEK_END) : 0L, peer("records"));
	arm_guard(0);
}

__attribute__((constructor)) static void hooks(void)
{
	record_before = before;
	record_after = after;
}
