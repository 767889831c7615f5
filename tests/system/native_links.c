/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * native_links.c - a program of the native interface that does what it is told, for test_native_links.py.
 *
 *     native_links ADDRESS
 *
 * It says that it is ready, and the number of its process.
 *
 * Each line of standard input is a command, each line of standard output its answer: what the call returned, and behind
 * it what it gave. Channels are numbers from 0 on, in the order of their making; all are members of one group.
 *
 *     listen PORT BACKLOG, connect PEER PORT, begin PEER PORT (does not wait), again I PEER PORT (connect once more),
 *     accept, take (accept if there is one), send I WORD, recv I, look I (does not wait), close I, poll MS, get I OPTION,
 *     moved I (fsock_handover()), name I OPTION, fds
 *     interrupted PEER PORT MS  connect, and a signal comes after so long
 *     elsewhere PEER PORT       a thread leaves the network namespace, and connects by an endpoint that it opens there
 *     calls PEER PORT N   connections that the other side ends: with `begin` and `end` on standard output around each
 *     takes N             the other side of that
 *     exec                the program begins anew, in the same process
 *     fork                a child that tries to receive on channel 0
 *     beside PEER PORT S  a child that connects and looks at that without a pause, for S seconds: what comes for its
 *                         parent, too, it takes from the link
 *     pour I N, drain I N so many bytes
 *     lend I, release I   in place: one piece
 *     fill I              sends until there is no room: how many bytes went
 *     watch MS, seen      a thread that sleeps in the group's poll so long; what that found, as poll tells it
 *     gives I N           sends N pieces of 64 bytes while another thread moves it, and shuts down
 *     takes-lent I        in place, to the end, while another thread polls: bytes; pieces that were not taken back
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fsock/fsock.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "native_check.h"

enum { MOST = 4096, LINE = 200, PATIENCE_S = 20 };

static const char *own_address;
static struct fsock_ep *ep;
static struct fsock_group *group;
static struct fsock_channel *channel[MOST];
static unsigned n_channels;

static union fsock_addr name_of(const char *address, int port)
{
	union fsock_addr name = { .in.sin_family = AF_INET };

	EQUAL(inet_pton(AF_INET, address, &name.in.sin_addr), 1);
	name.in.sin_port = htons((uint16_t)port);
	return name;
}

static void limit(struct fsock_channel *ch, int option, int64_t ns)
{
	EQUAL(fsock_setopt(ch, option, &ns, sizeof(ns)), 0);
}

static struct fsock_channel *fresh(int port)
{
	struct fsock_channel *ch;

	EQUAL(fsock_bind(ep, 0, (uint16_t)port, &ch), 0);
	limit(ch, FSOCK_RX_TIMEOUT, PATIENCE_S * 1000 * MS);
	limit(ch, FSOCK_TX_TIMEOUT, PATIENCE_S * 1000 * MS);
	return ch;
}

static void keep(struct fsock_channel *ch)
{
	NEED(n_channels < MOST);
	channel[n_channels] = ch;
	EQUAL(fsock_group_add(group, ch, &channel[n_channels++]), 0);
}

static int connect_to(struct fsock_channel *ch, const char *address, int port)
{
	union fsock_addr to = name_of(address, port);

	return fsock_connect(ch, &to.sa, sizeof(to));
}

static int begin(const char *address, int port, bool waits)
{
	struct fsock_channel *ch = fresh(0);
	int ret;

	if (!waits)
		limit(ch, FSOCK_TX_TIMEOUT, 0);
	ret = connect_to(ch, address, port);
	keep(ch);
	return ret;
}

static void heed(int number)
{
}

static int interrupted(const char *address, int port, int ms)
{
	struct itimerval after = { .it_value.tv_usec = ms * 1000 };
	struct sigaction action = { .sa_handler = heed };

	EQUAL(sigaction(SIGALRM, &action, NULL), 0);
	EQUAL(setitimer(ITIMER_REAL, &after, NULL), 0);
	return begin(address, port, true);
}

static int listen_at(int port, int backlog)
{
	struct fsock_channel *ch = fresh(port);
	int ret = fsock_listen(ch, backlog);

	keep(ch);
	return ret;
}

/* At the first listener; tells its number. */
static int accept_one(unsigned flags, char *text)
{
	struct fsock_channel *ch;
	int ret = fsock_accept(channel[0], flags, &ch);

	if (ret < 0)
		return ret;
	keep(ch);
	snprintf(text, LINE, "%u", n_channels - 1);
	return 0;
}

static long receive(struct fsock_channel *ch, unsigned flags, char *text)
{
	long n = fsock_recv(ch, flags, text, LINE - 1, NULL);

	text[n > 0 ? n : 0] = '\0';
	return n;
}

/* Of each channel that is told of: its number and its bits. */
static int poll_for(int ms, char *text)
{
	struct fsock_event events[16];
	int n = fsock_poll(group, events, 16, ms * MS), at = 0;

	*text = '\0';
	for (int i = 0; i < n; i++)
		at += snprintf(text + at, (size_t)(LINE - at), "%s%ld:%u", i ? " " : "",
			       (long)((struct fsock_channel **)events[i].data - channel), events[i].events);
	return n;
}

static int name_to(struct fsock_channel *ch, int option, char *text)
{
	union fsock_addr name;
	size_t len = sizeof(name);
	int ret = fsock_getopt(ch, option, &name, &len);
	char address[INET_ADDRSTRLEN];

	if (ret == 0)
		snprintf(text, LINE, "%s %d", inet_ntop(AF_INET, &name.in.sin_addr, address, sizeof(address)),
			 ntohs(name.in.sin_port));
	return ret;
}

static int get(struct fsock_channel *ch, int option, char *text)
{
	int n = -1, ret;
	size_t len = sizeof(n);

	ret = fsock_getopt(ch, option, &n, &len);
	snprintf(text, LINE, "%d", n);
	return ret;
}

static void mark(const char *word)
{
	EQUAL(write(STDOUT_FILENO, word, strlen(word)), (long)strlen(word));
}

static int calls(const char *address, int port, int n)
{
	char byte;

	for (int i = 0; i < n; i++) {
		struct fsock_channel *ch;

		mark("begin\n");
		ch = fresh(0);
		EQUAL(connect_to(ch, address, port), 0);
		EQUAL(fsock_send(ch, 0, "x", 1, NULL), 1);
		EQUAL(fsock_recv(ch, 0, &byte, 1, NULL), 1);
		EQUAL(fsock_recv(ch, 0, &byte, 1, NULL), 0);
		EQUAL(fsock_close(ch), 0);
		mark("end\n");
	}
	return n;
}

/* One that has come to nothing, and is the kernel's, is one more: its caller did not wait so long. */
static int takes(int n)
{
	char byte;

	for (int done = 0; done < n;) {
		struct fsock_channel *ch;

		mark("begin\n");
		EQUAL(fsock_accept(channel[0], 0, &ch), 0);
		if (fsock_recv(ch, 0, &byte, 1, NULL) == 1) {
			EQUAL(fsock_send(ch, 0, &byte, 1, NULL), 1);
			done++;
		}
		EQUAL(fsock_close(ch), 0);
		mark("end\n");
	}
	return n;
}

/* What a child is told of its parent's connection; it looks at its group, and closes it. */
static int in_a_child(void)
{
	struct fsock_event event;
	pid_t child = fork();
	int status, told;
	char byte;

	if (child == 0) {
		told = (int)fsock_recv(channel[0], FSOCK_RECV_NONBLOCK, &byte, 1, NULL);
		EQUAL(fsock_poll(group, &event, 1, 0), 0);
		EQUAL(fsock_close(channel[0]), 0);
		_exit(-told);
	}
	EQUAL(waitpid(child, &status, 0), child);
	NEED(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

static int beside(const char *address, int port, int seconds)
{
	time_t end = time(NULL) + seconds;
	struct fsock_channel *ch;
	char byte;

	if (fork() != 0)
		return 0;
	ch = fresh(0);
	EQUAL(connect_to(ch, address, port), 0);
	while (time(NULL) < end)
		EQUAL(fsock_recv(ch, FSOCK_RECV_NONBLOCK, &byte, 1, NULL), -EAGAIN);
	_exit(0);
}

static char many[1 << 20];

static long drain(struct fsock_channel *ch, int n)
{
	int done = 0;

	while (done < n) {
		size_t left = (size_t)(n - done);
		long got = fsock_recv(ch, FSOCK_RECV_DEFAULT, many, left < sizeof(many) ? left : sizeof(many), NULL);

		if (got <= 0)
			return got;
		done += (int)got;
	}
	return done;
}

static struct fsock_rxinfo lent;

static long lend(struct fsock_channel *ch, char *text)
{
	struct iovec parts[FSOCK_PARTS_MAX];
	long n = fsock_recv(ch, FSOCK_RECV_INPLACE, parts, sizeof(parts), &lent);

	if (n > 0)
		snprintf(text, LINE, "%.*s", (int)n, (const char *)parts[0].iov_base);
	return n;
}

static long fill(struct fsock_channel *ch)
{
	long n, done = 0;

	while ((n = fsock_send(ch, FSOCK_SEND_NONBLOCK, many, 4096, NULL)) > 0)
		done += n;
	return n == -EAGAIN ? done : n;
}

/* --- beside another thread --- */

static struct {
	const char *address;
	int port, ret;
} elsewhere;

static void *do_elsewhere(void *arg)
{
	union fsock_addr own = name_of("127.0.0.1", 0);
	struct fsock_channel *ch;
	struct fsock_ep *there;

	EQUAL(unshare(CLONE_NEWNET), 0);
	EQUAL(fsock_open(&own.sa, sizeof(own), FSOCK_TCP, &there), 0);
	EQUAL(fsock_bind(there, 0, 0, &ch), 0);
	elsewhere.ret = connect_to(ch, elsewhere.address, elsewhere.port);
	EQUAL(fsock_close_ep(there), 0);
	return NULL;
}

static int from_elsewhere(const char *address, int port)
{
	pthread_t thread;

	elsewhere.address = address;
	elsewhere.port = port;
	EQUAL(pthread_create(&thread, NULL, do_elsewhere, NULL), 0);
	EQUAL(pthread_join(thread, NULL), 0);
	return elsewhere.ret;
}

static struct {
	pthread_t thread;
	int ms, n;
	char text[LINE];
} watch;

static void *do_watch(void *arg)
{
	watch.n = poll_for(watch.ms, watch.text);
	return NULL;
}

static int watch_for(int ms)
{
	watch.ms = ms;
	EQUAL(pthread_create(&watch.thread, NULL, do_watch, NULL), 0);
	return 0;
}

static int seen(char *text)
{
	EQUAL(pthread_join(watch.thread, NULL), 0);
	memcpy(text, watch.text, LINE);
	return watch.n;
}

static void *do_move(void *arg)
{
	struct timespec some = { .tv_nsec = 500000 + rand() % 3000000 };

	nanosleep(&some, NULL);
	EQUAL(fsock_handover(arg), 0);
	return NULL;
}

static long gives(struct fsock_channel *ch, int n)
{
	pthread_t mover;

	EQUAL(pthread_create(&mover, NULL, do_move, ch), 0);
	for (int i = 0; i < n; i++)
		EQUAL(fsock_send(ch, FSOCK_SEND_DEFAULT, many, 64, NULL), 64);
	EQUAL(pthread_join(mover, NULL), 0);
	return fsock_shutdown(ch, FSOCK_SHUT_WR);
}

static bool is_over;

static void *do_poll(void *arg)
{
	struct fsock_event events[4];

	while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED))
		NEED(fsock_poll(group, events, 4, 0) >= 0);
	return NULL;
}

static long takes_lent(struct fsock_channel *ch, char *text)
{
	struct iovec parts[FSOCK_PARTS_MAX];
	struct fsock_rxinfo info;
	long n, done = 0, refused = 0;
	pthread_t driver;

	__atomic_store_n(&is_over, false, __ATOMIC_RELAXED);
	EQUAL(pthread_create(&driver, NULL, do_poll, NULL), 0);
	while ((n = fsock_recv(ch, FSOCK_RECV_INPLACE | FSOCK_RECV_NONBLOCK, parts, sizeof(parts), &info)) != 0) {
		if (n == -EAGAIN)
			continue;
		if (n < 0)
			break;
		done += n;
		refused += fsock_release(ch, &info) != 0;
	}
	__atomic_store_n(&is_over, true, __ATOMIC_RELAXED);
	EQUAL(pthread_join(driver, NULL), 0);
	snprintf(text, LINE, "%ld", refused);
	return n < 0 ? n : done;
}

static long beside_a_thread(const char *what, struct fsock_channel *ch, const char *word, char *text)
{
	if (strcmp(what, "gives") == 0)
		return gives(ch, atoi(word));
	EQUAL(strcmp(what, "takes-lent"), 0);
	return takes_lent(ch, text);
}

static long about_channel(const char *what, struct fsock_channel *ch, const char *word, int number, char *text)
{
	if (strcmp(what, "again") == 0)
		return connect_to(ch, word, number);
	if (strcmp(what, "lend") == 0)
		return lend(ch, text);
	if (strcmp(what, "release") == 0)
		return fsock_release(ch, &lent);
	if (strcmp(what, "pour") == 0)
		return fsock_send(ch, FSOCK_SEND_DEFAULT, many, (size_t)atoi(word), NULL);
	if (strcmp(what, "drain") == 0)
		return drain(ch, atoi(word));
	if (strcmp(what, "send") == 0)
		return fsock_send(ch, FSOCK_SEND_DEFAULT, word, strlen(word), NULL);
	if (strcmp(what, "recv") == 0)
		return receive(ch, FSOCK_RECV_DEFAULT, text);
	if (strcmp(what, "look") == 0)
		return receive(ch, FSOCK_RECV_NONBLOCK, text);
	if (strcmp(what, "close") == 0)
		return fsock_close(ch);
	if (strcmp(what, "get") == 0)
		return get(ch, atoi(word), text);
	if (strcmp(what, "name") == 0)
		return name_to(ch, atoi(word), text);
	if (strcmp(what, "fill") == 0)
		return fill(ch);
	if (strcmp(what, "moved") == 0)
		return fsock_handover(ch);
	return beside_a_thread(what, ch, word, text);
}

static long run(const char *line, char *text)
{
	char what[20] = "", first[LINE] = "", word[LINE] = "";
	int number = 0;

	sscanf(line, "%19s %199s %199s %d", what, first, word, &number);
	if (strcmp(what, "listen") == 0)
		return listen_at(atoi(first), atoi(word));
	if (strcmp(what, "connect") == 0 || strcmp(what, "begin") == 0)
		return begin(first, atoi(word), what[0] == 'c');
	if (strcmp(what, "accept") == 0 || strcmp(what, "take") == 0)
		return accept_one(what[0] == 't' ? FSOCK_ACCEPT_NONBLOCK : 0, text);
	if (strcmp(what, "poll") == 0)
		return poll_for(atoi(first), text);
	if (strcmp(what, "watch") == 0)
		return watch_for(atoi(first));
	if (strcmp(what, "seen") == 0)
		return seen(text);
	if (strcmp(what, "fds") == 0)
		return descriptors();
	if (strcmp(what, "calls") == 0)
		return calls(first, atoi(word), number);
	if (strcmp(what, "takes") == 0)
		return takes(atoi(first));
	if (strcmp(what, "fork") == 0)
		return in_a_child();
	if (strcmp(what, "elsewhere") == 0)
		return from_elsewhere(first, atoi(word));
	if (strcmp(what, "interrupted") == 0)
		return interrupted(first, atoi(word), number);
	if (strcmp(what, "exec") == 0)
		return execl("/proc/self/exe", "native_links", own_address, NULL);
	if (strcmp(what, "beside") == 0)
		return beside(first, atoi(word), number);
	NEED(atoi(first) >= 0 && (unsigned)atoi(first) < n_channels);
	return about_channel(what, channel[atoi(first)], word, number, text);
}

int main(int argc, char **argv)
{
	char line[LINE], text[LINE], answer[2 * LINE];
	union fsock_addr own;

	own_address = argc > 1 ? argv[1] : "";
	own = name_of(own_address, 0);
	EQUAL(fsock_init(FSOCK_API_VERSION), 0);
	EQUAL(fsock_open(&own.sa, sizeof(own), FSOCK_TCP, &ep), 0);
	EQUAL(fsock_group_open(&group), 0);
	snprintf(answer, sizeof(answer), "ready %d\n", (int)getpid());
	mark(answer);
	while (fgets(line, sizeof(line), stdin)) {
		long ret;

		text[0] = '\0';
		ret = run(line, text);
		snprintf(answer, sizeof(answer), "= %ld %s\n", ret, text);
		mark(answer);
	}
	return 0;
}
