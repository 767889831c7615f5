/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * local_ring.c - what shared memory between two processors gives, and the byte rings that could stand on it.
 *
 *	local_ring KIND MODE [key=value...]
 *
 * KIND: conn (a connection over a link, src/local/conn.h, whose messages are looked for when there are no bytes),
 *       stream (src/local/stream.h alone), records (another design, see below), posted (no ring: the reader says where it
 *       waits, and the writer has the kernel copy there), line (one cache line handed to and fro: the floor of pp; only
 *       that).
 * MODE: pp (half round trips of messages), rate (messages one way), bulk (the same, in Gbit/s), connect (connections
 *       over a link, begun, accepted and closed at both ends, one after the other; conn only), call (the same, each
 *       with a message and an answer, behind which the end that accepts closes; nanoseconds of one).
 *
 *	size=64 bytes of a message; bulk: 65536	read=size bytes of a read	order=18 of the ring
 *	count=2000000 messages (pp: round trips; bulk: 200000)		cpu=0,1 where the two processes are
 *	answer=size bytes of call's answer	sum=0; 1: who reads in bulk adds up what it read, as a program would look at it
 *
 * Nobody sleeps. The last line on stdout is JSON.
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/barrier.h"
#include "base/err.h"
#include "base/counter.h"
#include "local/link.h"

enum {
	TURNS = 8, /* round trips between two looks at the clock, whose price is a part of one */
	LONGEST = 1 << 20,
	PART = 64 << 10, /* of an answer, put or taken at once */
	WORD = 8,
	SLOTS = 64,
	MESSAGES = 16, /* at a look for them */
};

#define THERE (UINT64_C(1) << 63)

/*
 * The other design: records in the ring, each behind a word that is its length, and not zero only when all of it is
 * there. So the word that a reader waits for and the first bytes come in one line. Positions of headers are multiples
 * of a word.
 */
struct record_end {
	uint8_t *ring;
	struct local_stream_words *words;
	uint64_t pos;	     /* the writer's next header, or the reader's next byte */
	uint64_t tail;	     /* the reader's, as the writer last saw it, or as the reader last showed it */
	uint32_t mask, left; /* the reader's: of the record at pos */
};

/* Where the reader of one way waits. */
struct post {
	uint64_t at;	 /* in its memory */
	uint64_t len;	 /* bytes it takes; 0 = it does not wait. Set by it, cleared by the writer */
	uint64_t came __attribute__((aligned(FS_CACHE_LINE))); /* bytes, ever; the writer's */
	int pid;	 /* the reader's */
};

/* Shared: two ways. */
struct shared {
	struct post post[2] __attribute__((aligned(FS_CACHE_LINE)));
	struct local_stream_words words[2];
	uint64_t line __attribute__((aligned(FS_CACHE_LINE)));
	uint32_t ready __attribute__((aligned(FS_CACHE_LINE)));
};

struct ends {
	struct shared *shared;
	struct local_link *link;
	struct local_conn *conn;
	struct local_listener listener;
	uint64_t counters[FS_CTR_N];
	struct local_tx tx;
	struct local_rx rx;
	struct record_end out, in;
	struct post *post_out, *post_in;
	uint64_t came; /* of post_in, as far as it was taken */
};

struct kind {
	const char *name;
	size_t (*put)(struct ends *e, const void *from, size_t n);
	size_t (*take)(struct ends *e, void *to, size_t n);
};

struct options {
	const struct kind *kind;
	const char *mode;
	uint64_t count;
	uint32_t size, answer, read, order;
	bool sum;
	int cpu[2];
};

_Noreturn void fs_assert_failed(const char *expression, const char *file, int line)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, expression);
	abort();
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* --- the kinds --- */

static size_t stream_put(struct ends *e, const void *from, size_t n)
{
	struct iovec iov = { (void *)(uintptr_t)from, n };
	struct local_span span = { .iov = &iov, .left = 1 };
	ssize_t put = local_tx_put(&e->tx, &span);

	fs_assert(put >= 0);
	if (put > 0)
		fs_assert(!local_tx_tell(&e->tx)); /* the reader never sleeps */
	return (size_t)put;
}

static size_t stream_take(struct ends *e, void *to, size_t n)
{
	struct iovec iov = { to, n };
	struct local_span span = { .iov = &iov, .left = 1 };
	ssize_t there = local_rx_look(&e->rx, n);

	fs_assert(there >= 0);
	n = FS_MIN(n, (size_t)there);
	if (n > 0) {
		local_rx_copy(&e->rx, &span, 0, n);
		local_rx_pass(&e->rx, n);
		local_rx_give_back(&e->rx);
	}
	return n;
}

static size_t conn_put(struct ends *e, const void *from, size_t n)
{
	struct iovec iov = { (void *)(uintptr_t)from, n };
	ssize_t put = local_send(e->conn, &iov, 1, 0);

	fs_assert(put > 0 || put == -EAGAIN);
	return put > 0 ? (size_t)put : 0;
}

static size_t conn_take(struct ends *e, void *to, size_t n)
{
	struct iovec iov = { to, n };
	ssize_t got = local_recv(e->conn, &iov, 1, 0, 0);

	fs_assert(got > 0 || got == -EAGAIN);
	if (got > 0)
		return (size_t)got;
	local_link_poll(e->link, MESSAGES);
	return 0;
}

static uint64_t *word_at(const struct record_end *e, uint64_t pos)
{
	return (uint64_t *)(void *)(e->ring + (pos & e->mask));
}

static uint64_t words_of(uint64_t n)
{
	return (n + WORD - 1) & ~(uint64_t)(WORD - 1);
}

static size_t records_put(struct ends *e, const void *from, size_t n)
{
	struct record_end *o = &e->out;
	uint64_t *word = word_at(o, o->pos), size = o->mask + UINT64_C(1);
	uint8_t *to = (uint8_t *)(word + 1);
	size_t first;

	/* No record lies across the end of the ring; the word behind it has to be free, too. */
	n = FS_MIN(n, FS_MIN((size_t)(size - WORD - (o->pos & o->mask)), (size_t)LOCAL_SHOW));
	if (size - (o->pos - o->tail) < 2 * WORD + words_of(n)) {
		o->tail = fs_load_acquire(&o->words->tail);
		if (size - (o->pos - o->tail) < 2 * WORD)
			return 0;
		n = FS_MIN(n, (size_t)(size - (o->pos - o->tail) - 2 * WORD));
	}
	/* The line of the header comes last and at once, or the reader, who asks for it, takes it away in between. */
	first = FS_MIN(n, FS_CACHE_LINE - WORD - ((uintptr_t)word & (FS_CACHE_LINE - 1)));
	fs_store_relaxed(word_at(o, o->pos + WORD + words_of(n)), 0);
	memcpy(to + first, (const uint8_t *)from + first, n - first);
	memcpy(to, from, first);
	fs_store_release(word, THERE | n);
	o->pos += WORD + words_of(n);
	fs_assert(!local_bell_due(&o->words->reader_waits));
	return n;
}

static size_t records_take(struct ends *e, void *to, size_t n)
{
	struct record_end *i = &e->in;

	while (i->left == 0) {
		uint64_t word;

		__builtin_prefetch(i->ring + ((i->pos + FS_CACHE_LINE) & i->mask));
		word = fs_load_acquire(word_at(i, i->pos));
		if (word == 0)
			return 0;
		i->pos += WORD;
		i->left = (uint32_t)word; /* 0 in the last word of the ring */
	}
	n = FS_MIN(n, (size_t)i->left);
	memcpy(to, i->ring + (i->pos & i->mask), n);
	i->pos += n;
	i->left -= (uint32_t)n;
	if (i->left == 0)
		i->pos = words_of(i->pos);
	if (i->pos - i->tail > i->mask / 4) {
		fs_store_release(&i->words->tail, i->pos);
		i->tail = i->pos;
	}
	return n;
}

/* Straight to where the reader waits. */
static size_t posted_put(struct ends *e, const void *from, size_t n)
{
	struct post *post = e->post_out;
	size_t len = FS_MIN((size_t)fs_load_acquire(&post->len), n);
	struct iovec here = { (void *)from, len }, there;
	ssize_t put;

	if (len == 0)
		return 0;
	there = (struct iovec){ (void *)post->at, len };
	put = process_vm_writev(post->pid, &here, 1, &there, 1, 0);
	if (put <= 0) {
		perror("local_ring: process_vm_writev");
		exit(1);
	}
	fs_store_relaxed(&post->len, 0);
	fs_store_release(&post->came, post->came + (uint64_t)put);
	return (size_t)put;
}

static size_t posted_take(struct ends *e, void *to, size_t n)
{
	struct post *post = e->post_in;
	size_t came;

	post->at = (uint64_t)to;
	fs_store_release(&post->len, n);
	while ((came = (size_t)(fs_load_acquire(&post->came) - e->came)) == 0)
		;
	e->came += came;
	return came;
}

static const struct kind kinds[] = {
	{ "conn", conn_put, conn_take },
	{ "stream", stream_put, stream_take },
	{ "records", records_put, records_take },
	{ "posted", posted_put, posted_take },
	{ "line", NULL, NULL },
};

/* --- the modes --- */

static void put_all(struct ends *e, const struct options *o, const uint8_t *from, size_t n)
{
	for (size_t done = 0; done < n;) {
		size_t put = o->kind->put(e, from + done, n - done);

		done += put;
		if (put == 0)
			fs_cpu_relax();
	}
}

static void take_all(struct ends *e, const struct options *o, uint8_t *to, size_t n)
{
	for (size_t done = 0; done < n;)
		done += o->kind->take(e, to + done, n - done);
}

/* One turn of pp: whoever asks begins. */
static void exchange(struct ends *e, const struct options *o, unsigned side, uint8_t *buf, uint64_t turn)
{
	if (!o->kind->put) {
		while (fs_load_acquire(&e->shared->line) != 2 * turn + side)
			;
		fs_store_release(&e->shared->line, 2 * turn + side + 1);
	} else if (side == 0) {
		put_all(e, o, buf, o->size);
		take_all(e, o, buf, o->size);
	} else {
		take_all(e, o, buf, o->size);
		put_all(e, o, buf, o->size);
	}
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static int pp(struct ends *e, const struct options *o, unsigned side, uint8_t *buf)
{
	uint64_t samples = o->count / TURNS, turn = 0;
	uint32_t *ns = calloc(samples, sizeof(*ns));
	int64_t before, now;

	if (!ns)
		return 1;
	before = now_ns();
	for (uint64_t i = 0; i < samples; i++) {
		for (unsigned j = 0; j < TURNS; j++)
			exchange(e, o, side, buf, turn++);
		now = now_ns();
		/* tenths of nanoseconds of half a round trip */
		ns[i] = (uint32_t)((now - before) * 10 / (2 * TURNS));
		before = now;
	}
	qsort(ns, samples, sizeof(*ns), compare);
	if (side == 0)
		printf("{\"kind\":\"%s\",\"mode\":\"pp\",\"size\":%u,\"p50\":%.1f,\"p99\":%.1f}\n", o->kind->name,
		       o->size, ns[samples / 2] / 10.0, ns[samples * 99 / 100] / 10.0);
	free(ns);
	return 0;
}

/* As a program would that has to do with the bytes. */
static void look_at(const uint8_t *bytes, size_t n)
{
	static uint64_t sum;
	uint64_t word;

	for (size_t i = 0; i + sizeof(word) <= n; i += sizeof(word)) {
		memcpy(&word, bytes + i, sizeof(word));
		sum += word;
	}
	fs_store_relaxed(&sum, sum);
}

/* One way: side 0 writes all, side 1 reads all and says when it has. */
static int one_way(struct ends *e, const struct options *o, unsigned side, uint8_t *buf)
{
	uint64_t all = o->count * o->size, done = 0;
	int64_t begin = now_ns();
	double seconds;

	if (side == 1) {
		while (done < all) {
			size_t n = o->kind->take(e, buf, (size_t)FS_MIN((uint64_t)o->read, all - done));

			if (o->sum)
				look_at(buf, n);
			done += n;
		}
		fs_store_release(&e->shared->line, 1);
		return 0;
	}
	for (uint64_t i = 0; i < o->count; i++)
		put_all(e, o, buf, o->size);
	while (fs_load_acquire(&e->shared->line) != 1)
		;
	seconds = (double)(now_ns() - begin) / 1e9;
	printf("{\"kind\":\"%s\",\"mode\":\"%s\",\"size\":%u,\"read\":%u,\"order\":%u,", o->kind->name, o->mode,
	       o->size, o->read, o->order);
	printf("\"per_second\":%.0f,\"gbit\":%.2f}\n", (double)o->count / seconds,
	       (double)all * 8 / seconds / 1e9);
	return 0;
}

/* --- a link --- */

static void on_event(void *context, struct local_conn *conn, uint32_t edges)
{
}

static void on_incoming(void *context, struct local_listener *listener)
{
}

static struct local_listener *find(void *context, uint64_t id, const struct ip_addr *local, uint16_t port)
{
	return &((struct ends *)context)->listener;
}

static void on_moved(void *context, struct local_conn *conn)
{
}

static struct local_agreed agree(uint32_t order)
{
	return local_agree(SLOTS, FS_MAX(UINT32_C(256), UINT32_C(2) << (order - LOCAL_ORDER_MIN)));
}

static void link_init(struct ends *e, void *arena, unsigned side, uint32_t order)
{
	static const struct local_ops ops = { on_event, on_incoming, find, on_moved, NULL, NULL, NULL };
	struct local_config config = { .ops = &ops, .context = e, .counters = e->counters, .arena = arena, .side = side,
				       .agreed = agree(order) };
	size_t len = (local_link_len(&config.agreed) + FS_CACHE_LINE - 1) & ~(size_t)(FS_CACHE_LINE - 1);

	e->link = local_link_init(memset(aligned_alloc(FS_CACHE_LINE, len), 0, len), &config);
	local_listener_init(&e->listener, SLOTS, NULL);
}

/* @n bytes from @sender on to the other side. */
static void pass(struct ends *e, const struct options *o, bool sender, uint8_t *buf, size_t n)
{
	for (size_t part; n > 0; n -= part) {
		part = FS_MIN(n, (size_t)PART);
		if (sender)
			put_all(e, o, buf, part);
		else
			take_all(e, o, buf, part);
	}
}

/* One more connection, at this end. */
static struct local_conn *next_conn(struct ends *e, unsigned side, uint32_t order)
{
	struct local_call call = { .send_order = (uint8_t)order, .receive_order = (uint8_t)order };
	struct local_conn *conn = NULL;

	if (side == 0) {
		while (local_connect(e->link, &call, NULL, &conn) < 0)
			local_link_poll(e->link, MESSAGES);
		while (conn->state == LOCAL_CONNECTING)
			local_link_poll(e->link, MESSAGES);
		return conn;
	}
	while ((conn = local_accept(&e->listener, NULL)) == NULL)
		local_link_poll(e->link, MESSAGES);
	return conn;
}

static int connect_all(struct ends *e, const struct options *o, unsigned side)
{
	int64_t begin = now_ns();

	for (uint64_t i = 0; i < o->count; i++)
		local_close(next_conn(e, side, LOCAL_ORDER_MIN));
	while (!local_link_is_idle(e->link))
		local_link_poll(e->link, MESSAGES);
	if (side == 0)
		printf("{\"kind\":\"conn\",\"mode\":\"connect\",\"per_second\":%.0f}\n",
		       (double)o->count * 1e9 / (double)(now_ns() - begin));
	return 0;
}

static int call_all(struct ends *e, const struct options *o, unsigned side, uint8_t *buf)
{
	uint32_t *ns = calloc(o->count, sizeof(*ns));

	if (!ns)
		return 1;
	for (uint64_t i = 0; i < o->count; i++) {
		int64_t began = now_ns();

		e->conn = next_conn(e, side, o->order);
		pass(e, o, side == 0, buf, o->size);
		pass(e, o, side == 1, buf, o->answer);
		local_close(e->conn);
		ns[i] = (uint32_t)(now_ns() - began);
	}
	while (!local_link_is_idle(e->link))
		local_link_poll(e->link, MESSAGES);
	qsort(ns, o->count, sizeof(*ns), compare);
	if (side == 0)
		printf("{\"kind\":\"conn\",\"mode\":\"call\",\"size\":%u,\"answer\":%u,\"p50\":%u}\n", o->size,
		       o->answer, ns[o->count / 2]);
	free(ns);
	return 0;
}

static void init(struct ends *e, struct shared *shared, uint8_t *rings, unsigned side, uint32_t order)
{
	unsigned back = 1 - side;
	size_t len = (size_t)1 << order;

	e->shared = shared;
	e->post_out = &shared->post[back];
	e->post_in = &shared->post[side];
	e->post_in->pid = getpid();
	local_tx_init(&e->tx, rings + side * len, order, &shared->words[side]);
	local_rx_init(&e->rx, rings + back * len, order, &shared->words[back]);
	e->out = (struct record_end){ .ring = rings + side * len,
				      .words = &shared->words[side],
				      .mask = (uint32_t)len - 1 };
	e->in = (struct record_end){ .ring = rings + back * len,
				     .words = &shared->words[back],
				     .mask = (uint32_t)len - 1 };
}

static int run(const struct options *o, struct shared *shared, uint8_t *rings, unsigned side)
{
	static uint8_t buf[LONGEST];
	static struct ends e;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(o->cpu[side], &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		fprintf(stderr, "local_ring: cannot have processor %d\n", o->cpu[side]);
	init(&e, shared, rings, side, o->order);
	link_init(&e, rings + ((size_t)2 << o->order), side, o->order);
	memset(buf, (int)side, sizeof(buf)); /* its pages are there */
	fs_fetch_add(&shared->ready, 1);
	while (fs_load_acquire(&shared->ready) != 2)
		;
	if (strcmp(o->mode, "connect") == 0)
		return connect_all(&e, o, side);
	if (strcmp(o->mode, "call") == 0)
		return call_all(&e, o, side, buf);
	if (o->kind->put == conn_put)
		e.conn = next_conn(&e, side, o->order);
	return strcmp(o->mode, "pp") == 0 ? pp(&e, o, side, buf) : one_way(&e, o, side, buf);
}

static const char *value(int argc, char **argv, const char *key, const char *missing)
{
	size_t len = strlen(key);

	for (int i = 3; i < argc; i++)
		if (strncmp(argv[i], key, len) == 0 && argv[i][len] == '=')
			return argv[i] + len + 1;
	return missing;
}

static int parse(int argc, char **argv, struct options *o)
{
	bool bulk;

	if (argc < 3)
		return -EINVAL;
	for (unsigned i = 0; i < FS_ARRAY_SIZE(kinds); i++)
		if (strcmp(argv[1], kinds[i].name) == 0)
			o->kind = &kinds[i];
	o->mode = argv[2];
	bulk = strcmp(o->mode, "bulk") == 0;
	o->size = (uint32_t)atoi(value(argc, argv, "size", bulk ? "65536" : "64"));
	o->answer = (uint32_t)atoi(value(argc, argv, "answer", "0"));
	o->answer = o->answer ? o->answer : o->size;
	o->read = (uint32_t)atoi(value(argc, argv, "read", "0"));
	o->read = o->read ? o->read : o->size;
	o->sum = atoi(value(argc, argv, "sum", "0")) != 0;
	o->order = (uint32_t)atoi(value(argc, argv, "order", "18"));
	o->count = strtoull(value(argc, argv, "count", bulk ? "200000" : "2000000"), NULL, 0);
	if (sscanf(value(argc, argv, "cpu", "0,1"), "%d,%d", &o->cpu[0], &o->cpu[1]) != 2)
		return -EINVAL;
	if (!o->kind || o->size == 0 || o->size > LONGEST || o->read > LONGEST || o->count < TURNS ||
	    o->order < LOCAL_ORDER_MIN || o->order > LOCAL_ORDER_MAX)
		return -EINVAL;
	if (strcmp(o->mode, "pp") == 0)
		return 0;
	if (strcmp(o->mode, "connect") == 0 || strcmp(o->mode, "call") == 0)
		return o->kind->put == conn_put ? 0 : -EINVAL;
	return o->kind->put && (bulk || strcmp(o->mode, "rate") == 0) ? 0 : -EINVAL;
}

int main(int argc, char **argv)
{
	struct options o = { 0 };
	struct local_agreed agreed;
	size_t len;
	uint8_t *memory;
	int status = 0, mine;
	pid_t child;

	if (parse(argc, argv, &o) < 0) {
		fprintf(stderr, "usage: local_ring conn|stream|records|posted|line pp|rate|bulk|connect|call "
				"[key=value...]\n");
		return 2;
	}
	agreed = agree(o.order);
	len = LOCAL_PAGE + ((size_t)2 << o.order) + agreed.len;
	memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (memory == MAP_FAILED)
		return 1;
	local_arena_write(memory + len - agreed.len, &agreed);
	child = fork();
	if (child < 0)
		return 1;
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		return run(&o, (struct shared *)(void *)memory, memory + LOCAL_PAGE, 1);
	}
	mine = run(&o, (struct shared *)(void *)memory, memory + LOCAL_PAGE, 0);
	return waitpid(child, &status, 0) == child && status == 0 ? mine : 1;
}
