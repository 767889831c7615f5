/* SPDX-License-Identifier: BSD-2-Clause */
/* record.c - see record.h. Lines go out by one write each: no buffer that a fork could double. */
#include "record.h"

#include <stdarg.h>

static struct test_case *cases;
static const char *family_name = "v4";

static const char *const here4 = "10.77.0.1", *const there4 = "10.77.0.2";
static const char *const here6 = "fd77::1", *const there6 = "fd77::2";

void record_case(struct test_case *c)
{
	c->next = cases;
	cases = c;
}

void fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vdprintf(2, format, args);
	va_end(args);
	dprintf(2, " (%s)\n", strerror(errno));
	_exit(99);
}

static void put(const char *line, size_t len)
{
	if (write(1, line, len) != (ssize_t)len)
		_exit(98);
}

void say(const char *format, ...)
{
	char line[1024];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	if (len > (int)sizeof(line) - 2)
		len = sizeof(line) - 2;
	line[len++] = '\n';
	put(line, (size_t)len);
}

void say_call(const char *text, long ret, int err)
{
	if (ret < 0)
		say("%s = %ld %s", text, ret, err == ERRNO_MARK ? "(errno not set)" : strerrorname_np(err));
	else if (err != ERRNO_MARK)
		say("%s = %ld (errno changed to %s)", text, ret, strerrorname_np(err));
	else
		say("%s = %ld", text, ret);
}

static const char *host_name(const struct addr *a, char *text)
{
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&a->ss;
	const struct sockaddr_in *four = (const struct sockaddr_in *)&a->ss;
	const char *prefix = "";

	if (a->ss.ss_family == AF_INET) {
		inet_ntop(AF_INET, &four->sin_addr, text, INET6_ADDRSTRLEN);
	} else {
		inet_ntop(AF_INET6, &six->sin6_addr, text, INET6_ADDRSTRLEN);
		if (strncmp(text, "::ffff:", 7) == 0) {
			memmove(text, text + 7, strlen(text + 7) + 1);
			prefix = "mapped-";
		}
	}
	if (strcmp(text, here4) == 0 || strcmp(text, here6) == 0)
		return *prefix ? "mapped-here" : "here";
	if (strcmp(text, there4) == 0 || strcmp(text, there6) == 0)
		return *prefix ? "mapped-there" : "there";
	return text;
}

void say_addr(const char *label, const struct addr *a)
{
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&a->ss;
	char text[INET6_ADDRSTRLEN], port[16];
	int number;

	if (a->len < sizeof(sa_family_t)) {
		say("%s: length %d", label, (int)a->len);
		return;
	}
	if (a->ss.ss_family != AF_INET && a->ss.ss_family != AF_INET6) {
		say("%s: length %d family %d", label, (int)a->len, a->ss.ss_family);
		return;
	}
	number = ntohs(six->sin6_port);		/* at the same place as sin_port */
	snprintf(port, sizeof(port), "%d", number);
	say("%s: length %d family %d %s port %s", label, (int)a->len, a->ss.ss_family,
	    host_name(a, text), number >= 32768 ? "ephemeral" : port);
	if (a->ss.ss_family == AF_INET6 && a->len >= sizeof(*six))
		say("%s: flowinfo %u scope %u", label, six->sin6_flowinfo, six->sin6_scope_id);
}

void say_data(const char *label, const void *data, size_t len)
{
	const unsigned char *byte = data;
	uint32_t hash = 2166136261U;
	size_t i;

	for (i = 0; i < len; i++)
		hash = (hash ^ byte[i]) * 16777619U;
	say("%s: %zu bytes, hash %08x", label, len, hash);
}

int hidden(int value)
{
	volatile int opaque = value;

	return opaque;
}

int family(void)
{
	return strcmp(family_name, "v4") == 0 ? AF_INET : AF_INET6;
}

bool mapped(void)
{
	return strcmp(family_name, "mapped") == 0;
}

static struct addr make(const char *four, const char *six, int port)
{
	struct sockaddr_in *in4;
	struct sockaddr_in6 *in6;
	struct addr a = { .len = 0 };
	char text[64];

	if (family() == AF_INET) {
		in4 = (struct sockaddr_in *)&a.ss;
		in4->sin_family = AF_INET;
		in4->sin_port = htons((uint16_t)port);
		inet_pton(AF_INET, four, &in4->sin_addr);
		a.len = sizeof(*in4);
		return a;
	}
	in6 = (struct sockaddr_in6 *)&a.ss;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons((uint16_t)port);
	snprintf(text, sizeof(text), "::ffff:%s", four);
	inet_pton(AF_INET6, mapped() ? text : six, &in6->sin6_addr);
	a.len = sizeof(*in6);
	return a;
}

struct addr here(int port)
{
	return make(here4, here6, port);
}

struct addr there(int port)
{
	return make(there4, there6, port);
}

struct addr any(int port)
{
	struct addr a = make("0.0.0.0", "::", port);

	if (mapped())
		memset(&((struct sockaddr_in6 *)&a.ss)->sin6_addr, 0, 16);
	return a;
}

int udp(void)
{
	int fd = socket(family(), SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fail("socket");
	return fd;
}

int udp_bound(int port)
{
	struct addr a = here(port);
	int fd = udp();

	if (bind(fd, SA(&a), a.len) < 0)
		fail("bind to port %d", port);
	return fd;
}

int udp_connected(int local, int remote)
{
	struct addr a = there(remote);
	int fd = local ? udp_bound(local) : udp();

	if (connect(fd, SA(&a), a.len) < 0)
		fail("connect to port %d", remote);
	return fd;
}

int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

void say_time(int64_t began_ms, int lo_ms)
{
	int64_t took = now_ms() - began_ms;

	if (took + 1 < lo_ms) /* one of grace: the two clock reads round down */
		say("  early: %lld ms, not %d", (long long)took, lo_ms);
	else if (took > HANGS_MS)
		say("  late: %lld ms", (long long)took);
	else
		say("  timely");
}

void say_ticks(int64_t began_ms, int lo_ms)
{
	say_time(began_ms, lo_ms - lo_ms / 5);
}

void sleep_ms(int ms)
{
	struct timespec left = { ms / 1000, (ms % 1000) * 1000000L };

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

void settle(void)
{
	sleep_ms(30);
}

long peer(const char *format, ...)
{
	char text[256];
	va_list args;
	ssize_t len;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (send(CONTROL_FD, text, (size_t)len, 0) != len)
		fail("order '%s' to the peer", text);
	do
		len = recv(CONTROL_FD, text, sizeof(text) - 1, 0);
	while (len < 0 && errno == EINTR);
	if (len <= 0)
		fail("no answer from the peer");
	text[len] = 0;
	return atol(text);
}

void deliver(int port, int size, int count)
{
	if (peer("send %d %d %d", port, size, count) != count)
		fail("the peer could not send %d datagrams of %d bytes", count, size);
	settle();
}

unsigned char pattern(int seq, size_t at)
{
	return (unsigned char)(seq * 31 + (int)at * 7 + (int)(at >> 8));
}

void (*record_before)(const char *name);
void (*record_after)(void);

static void run(const char *name)
{
	struct test_case *c = cases;

	while (c && strcmp(c->name, name) != 0)
		c = c->next;
	if (!c)
		fail("no case %s", name);
	if (record_before)
		record_before(name);
	c->run();
	say("end");
	if (record_after)
		record_after();
}

int main(int argc, char **argv)
{
	char *name;

	if (argc != 3)
		fail("usage: %s CASE[,CASE...] v4|v6|mapped", argv[0]);
	family_name = argv[2];
	fcntl(CONTROL_FD, F_SETFD, FD_CLOEXEC);
	for (name = strtok(argv[1], ","); name; name = strtok(NULL, ","))
		run(name);
	return 0;
}
