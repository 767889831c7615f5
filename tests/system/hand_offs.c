/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hand_offs.c - tokens between two programs, waited for by epoll with pauses at random: no wake-up is lost.
 *
 * usage: hand_offs take KIND TRIGGER WHO ADDRESS PORT WORKERS SOCKETS EACH SEED   says "ready"; each worker waits for SOCKETS of
 *                                                                                its own and gives every token back
 *        hand_offs give KIND TRIGGER WHO ADDRESS PORT WORKERS SOCKETS EACH SEED   the other end, one thread
 *
 * KIND is tcp or udp, TRIGGER level or edge, WHO threads or children. Of each socket one token is under way, EACH times. A
 * worker that sleeps for GUARD_S while something can be read there has lost a wake-up; one for which nothing came has only lost
 * a datagram, which the giver sends again after AGAIN_S. Exit status 0 when all tokens went round.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_WORKERS = 8, BATCH = 64, GUARD_S = 20, AGAIN_S = 45 };

static struct {
	int tcp, edge, children;
	struct sockaddr_in at;
	unsigned workers, sockets;
	uint64_t each;
	uint64_t seed;
} config;

struct end {
	int fd;
	uint64_t next; /* number of the token that comes next */
	time_t gave;
};

/* In memory that children share. */
struct worker {
	pthread_t thread;
	pid_t child;
	int epfd;
	uint64_t state;
	uint64_t events; /* atomic */
	unsigned open;	 /* atomic: sockets with tokens to come */
	struct end *ends;
};

static void must(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

/* --- pauses --- */

static uint64_t draw(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Mostly none; of the others most are as long as the steps between a look and a sleep. */
static void pause_at_random(uint64_t *state)
{
	uint64_t n = draw(state);
	struct timespec sleep = { .tv_nsec = (long)(n >> 20 & 0xffff) };

	if (n % 4096 == 0)
		nanosleep(&sleep, NULL);
	else if (n % 64 == 1)
		sched_yield();
	else if (n % 4 == 2)
		for (volatile unsigned turns = (unsigned)(n >> 20) % 2000; turns > 0; turns--)
			;
}

/* --- sockets --- */

static int new_socket(void)
{
	const int on = 1;
	int fd = socket(AF_INET, config.tcp ? SOCK_STREAM : SOCK_DGRAM, 0);

	must(fd >= 0, "socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	return fd;
}

static struct sockaddr_in at_port(unsigned offset)
{
	struct sockaddr_in at = config.at;

	at.sin_port = htons((uint16_t)(ntohs(at.sin_port) + offset));
	return at;
}

static void keep(struct end *e, int fd)
{
	const int on = 1;

	if (config.tcp)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	must(fcntl(fd, F_SETFL, O_NONBLOCK) == 0, "F_SETFL");
	e->fd = fd;
}

static void watch(struct worker *w, unsigned n)
{
	w->epfd = epoll_create1(0);
	for (unsigned i = 0; i < n; i++) {
		struct epoll_event event = { .events = EPOLLIN | (config.edge ? EPOLLET : 0), .data.u32 = i };

		must(epoll_ctl(w->epfd, EPOLL_CTL_ADD, w->ends[i].fd, &event) == 0, "epoll_ctl");
	}
}

/* Datagrams come at ports of their own; connections are accepted one after the other. */
static void take_sockets(struct worker *workers)
{
	unsigned n = config.workers * config.sockets;
	int listener = config.tcp ? new_socket() : -1;

	if (config.tcp)
		must(bind(listener, (struct sockaddr *)&config.at, sizeof(config.at)) == 0 && listen(listener, (int)n) == 0,
		     "listen");
	for (unsigned i = 0; !config.tcp && i < n; i++) {
		struct sockaddr_in at = at_port(i);
		int fd = new_socket();

		must(bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0, "bind");
		keep(&workers[i % config.workers].ends[i / config.workers], fd);
	}
	puts("ready");
	fflush(stdout);
	for (unsigned i = 0; config.tcp && i < n; i++) {
		int fd = accept(listener, NULL, NULL);

		must(fd >= 0, "accept");
		keep(&workers[i % config.workers].ends[i / config.workers], fd);
	}
	if (config.tcp)
		close(listener);
}

static void give_sockets(struct worker *w)
{
	for (unsigned i = 0; i < config.workers * config.sockets; i++) {
		struct sockaddr_in to = config.tcp ? config.at : at_port(i);
		int fd = new_socket();

		must(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0, "connect");
		keep(&w->ends[i], fd);
	}
	watch(w, config.workers * config.sockets);
}

/* --- the taker --- */

/* The token that is there, given back; 0: there is none. After the last one of all the giver closes. */
static int take_one(struct worker *w, struct end *e)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	uint64_t token;
	ssize_t n = recvfrom(e->fd, &token, sizeof(token), 0, (struct sockaddr *)&from, &len);

	if (n < 0 ? errno == EAGAIN : n == 0 && config.tcp && e->next == config.each)
		return 0;
	must(n == sizeof(token), "recvfrom");
	must(token == e->next || (!config.tcp && token < e->next), "a token that is not due"); /* sent again */
	pause_at_random(&w->state);
	if (config.tcp)
		n = send(e->fd, &token, sizeof(token), MSG_NOSIGNAL);
	else
		n = sendto(e->fd, &token, sizeof(token), 0, (struct sockaddr *)&from, len);
	must(n == sizeof(token), "send");
	if (token == e->next && ++e->next == config.each)
		__atomic_fetch_sub(&w->open, 1, __ATOMIC_RELAXED);
	return 1;
}

static void *taker(void *arg)
{
	struct worker *w = arg;
	struct epoll_event events[BATCH];

	watch(w, config.sockets);
	while (__atomic_load_n(&w->open, __ATOMIC_RELAXED)) {
		int n;

		pause_at_random(&w->state);
		n = epoll_wait(w->epfd, events, 1 + (int)(draw(&w->state) % BATCH), -1);
		must(n > 0, "epoll_wait");
		__atomic_fetch_add(&w->events, (uint64_t)n, __ATOMIC_RELAXED);
		for (int i = 0; i < n; i++)
			while (take_one(w, &w->ends[events[i].data.u32]) && config.edge)
				;
	}
	return NULL;
}

/* Sleeps @w although something is there? */
static int is_late(const struct worker *w)
{
	uint64_t token;

	for (unsigned i = 0; i < config.sockets; i++)
		if (recv(w->ends[i].fd, &token, sizeof(token), MSG_PEEK | MSG_DONTWAIT) > 0)
			return 1;
	return 0;
}

/* @w stood still for long. The look would wake it, so it comes late. */
static void question(struct worker *w)
{
	fprintf(stderr, "a worker stands still after %llu events\n", (unsigned long long)w->events);
	must(!is_late(w) && !config.tcp, "a wake-up was lost");
}

/* Until all have ended. */
static void guard(struct worker *workers)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	struct { uint64_t events; time_t since; } seen[MAX_WORKERS] = { 0 };

	for (unsigned open = 1; open > 0; nanosleep(&pause, NULL)) {
		open = 0;
		for (unsigned i = 0; i < config.workers; i++) {
			uint64_t events = __atomic_load_n(&workers[i].events, __ATOMIC_RELAXED);

			if (!__atomic_load_n(&workers[i].open, __ATOMIC_RELAXED))
				continue;
			open++;
			if (seen[i].since > 0 && events == seen[i].events && time(NULL) - seen[i].since > GUARD_S)
				question(&workers[i]);
			else if (seen[i].since > 0 && events == seen[i].events)
				continue;
			seen[i].events = events;
			seen[i].since = time(NULL);
		}
	}
}

static void start(struct worker *w)
{
	pid_t pid;

	if (!config.children) {
		must(pthread_create(&w->thread, NULL, taker, w) == 0, "pthread_create");
		return;
	}
	pid = fork();
	must(pid >= 0, "fork");
	if (pid == 0) {
		taker(w);
		_exit(0);
	}
	w->child = pid;
}

static void join(struct worker *w)
{
	int status;

	if (!config.children) {
		pthread_join(w->thread, NULL);
		return;
	}
	must(waitpid(w->child, &status, 0) == w->child && status == 0, "a child did not end well");
}

static void take(struct worker *workers)
{
	uint64_t events = 0;

	take_sockets(workers);
	for (unsigned i = 0; i < config.workers; i++)
		start(&workers[i]);
	guard(workers);
	for (unsigned i = 0; i < config.workers; i++) {
		join(&workers[i]);
		events += workers[i].events;
	}
	printf("taken %llu\n", (unsigned long long)events);
	fflush(stdout);
	getchar(); /* its counters are looked at */
}

/* --- the giver --- */

static void give_one(struct worker *w, struct end *e)
{
	ssize_t n;

	if (e->next == config.each)
		return;
	n = send(e->fd, &e->next, sizeof(e->next), MSG_NOSIGNAL);
	must(n == sizeof(e->next), "send");
	e->gave = time(NULL);
	pause_at_random(&w->state);
}

static void given_back(struct worker *w, struct end *e)
{
	uint64_t token;
	ssize_t n = recv(e->fd, &token, sizeof(token), 0);

	if (n < 0 && errno == EAGAIN)
		return;
	must(n == sizeof(token), "recv");
	if (token != e->next)
		return; /* of one that was sent twice */
	if (++e->next == config.each)
		w->open--;
	give_one(w, e);
}

/* How many datagrams were lost on the way. */
static unsigned again(struct worker *w)
{
	unsigned lost = 0;

	for (unsigned i = 0; i < config.workers * config.sockets; i++)
		if (w->ends[i].next < config.each && time(NULL) - w->ends[i].gave >= AGAIN_S) {
			give_one(w, &w->ends[i]);
			lost++;
		}
	return lost;
}

static void give(struct worker *w)
{
	struct epoll_event events[BATCH];
	unsigned lost = 0;

	give_sockets(w);
	for (unsigned i = 0; i < config.workers * config.sockets; i++)
		give_one(w, &w->ends[i]);
	while (w->open) {
		int n = epoll_wait(w->epfd, events, BATCH, 1000);

		must(n >= 0, "epoll_wait");
		for (int i = 0; i < n; i++)
			given_back(w, &w->ends[events[i].data.u32]);
		if (n == 0 && !config.tcp)
			lost += again(w);
	}
	printf("given, %u lost\n", lost);
}

static void *shared(size_t n, size_t size)
{
	void *at = mmap(NULL, n * size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	must(at != MAP_FAILED, "mmap");
	return at;
}

static void configure(char **words)
{
	config.tcp = strcmp(words[0], "tcp") == 0;
	config.edge = strcmp(words[1], "edge") == 0;
	config.children = strcmp(words[2], "children") == 0;
	config.at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(words[4])) };
	must(inet_pton(AF_INET, words[3], &config.at.sin_addr) == 1, "address");
	config.workers = (unsigned)atoi(words[5]);
	config.sockets = (unsigned)atoi(words[6]);
	config.each = strtoull(words[7], NULL, 10);
	config.seed = strtoull(words[8], NULL, 10);
	must(config.workers <= MAX_WORKERS, "too many workers");
}

int main(int argc, char **argv)
{
	struct rlimit files = { 65536, 65536 };
	struct worker *workers;
	int gives;

	must(argc == 11, "usage: see hand_offs.c");
	configure(argv + 2);
	setrlimit(RLIMIT_NOFILE, &files);
	gives = strcmp(argv[1], "give") == 0;
	workers = shared(config.workers, sizeof(*workers));
	for (unsigned i = 0; i < config.workers; i++) {
		struct worker *w = &workers[i];

		w->state = (config.seed + i) * 0x9e3779b97f4a7c15ULL | 1;
		w->open = gives ? config.workers * config.sockets : config.sockets;
		w->ends = shared(w->open, sizeof(struct end));
	}
	if (gives)
		give(workers);
	else
		take(workers);
	return 0;
}
