/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * emulator.c - a long, slow or lossy link between two interfaces, in real time.
 *
 *      emulator IF0 IF1 [key=value...]
 *
 * What comes by one interface leaves by the other, after what the simulator's link (src/provider/fault) does
 * to it: the same code under another clock. Each direction is a link of its own with a seed of its own, so
 * which frames of one direction are lost does not depend on how those of the other fall between them.
 *
 * Super-frames are cut into the segments a wire would carry before they meet their fate, and partial
 * checksums are completed: rate, queue and loss see frames of the size of the MTU whatever offloads the ends
 * have. A frame's time begins when the kernel got it, however late we run; late_us of the last line says how
 * late it left.
 *
 * Until SIGTERM or SIGINT; then the counters follow on stdout, one line of JSON. `ready` on stderr says that
 * frames pass. Memory is fixed: `chunks` of 2 KiB for everything under way.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>

#include "provider/fault/fault.h"
#include "wire_socket.h"

enum {
	BURST = 64, /* frames taken from a socket before what is due leaves */
	RX_CHUNKS = 4,
	WIRE_CHUNK = 2048,
	OUT_CHUNKS = BURST * 8,
	CHUNKS = 16384, /* of WIRE_CHUNK, for frames under way */
	MAX_FRAME = UINT16_MAX,
};

/* One direction: a link whose end 0 gets what came in, and whose end 1 gives what goes out. */
struct way {
	struct fault_link link;
	struct provider_handle in, out;
	struct wire_socket *from, *to;
	fs_ns late, latest; /* sum, and most, of the lateness of the first frame of each delivery */
	uint64_t deliveries;
};

struct options {
	const char *ifname[2];
	struct fault_config config[2]; /* from IF0 to IF1, and back */
	uint64_t seed, chunks;
};

struct emulator {
	struct wire_socket socket[2];
	struct way way[2];
	struct fbuf_pool rx, wire, out;
	fs_ns began;
};

static const char *const way_names[2] = { "forward", "back" };

_Noreturn void fs_assert_failed(const char *expression, const char *file, int line)
{
	fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, expression);
	abort();
}

static fs_ns clock_of(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (fs_ns)t.tv_sec * FS_SEC(1) + t.tv_nsec;
}

/* --- options --- */

static const struct key {
	const char *name;
	size_t at, size; /* in struct fault_config */
	uint64_t scale, max;
	const char *help;
} keys[] = {
#define KEY(name, field, scale, max, help)                                                                    \
	{ name, offsetof(struct fault_config, field), sizeof(((struct fault_config *)0)->field), scale, max, help }
	KEY("delay_us", delay, 1000, 10000000, "one way, microseconds"),
	KEY("jitter_us", jitter, 1000, 10000000, "up to so much more; frames keep their order"),
	KEY("rate", rate_bps, 1, 100000000000, "bits per second on the line; 0 = no limit"),
	KEY("queue", queue_bytes, 1, UINT32_MAX, "bytes that wait for the line, drop-tail; 0 = no limit"),
	KEY("loss", loss, 1, FAULT_MILLION, "frames of a million"),
	KEY("duplicate", duplicate, 1, FAULT_MILLION, "frames of a million that come twice"),
	KEY("corrupt", corrupt, 1, FAULT_MILLION, "frames of a million with one bit changed"),
	KEY("reorder", reorder, 1, FAULT_MILLION, "frames of a million that are late by reorder_us"),
	KEY("reorder_us", reorder_by, 1000, 10000000, "and may be overtaken"),
#undef KEY
};

static void print_help(void)
{
	printf("usage: emulator IF0 IF1 [key=value...]\n\n"
	       "A link in real time between two interfaces that have no addresses.\n"
	       "forward.key is from IF0 to IF1, back.key from IF1 to IF0, key alone is both.\n\n");
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		printf("  %-12s%s\n", keys[i].name, keys[i].help);
	printf("  %-12swhat happens to the frames of a direction is a function of it and their order (1)\n"
	       "  %-12smemory for frames under way, of %d bytes (%d)\n",
	       "seed", "chunks", WIRE_CHUNK, CHUNKS);
}

static bool number_of(const char *text, uint64_t max, uint64_t *value)
{
	char *rest;

	errno = 0;
	*value = strtoull(text, &rest, 10);
	return errno == 0 && text[0] >= '0' && text[0] <= '9' && *rest == '\0' && *value <= max;
}

static void put(struct fault_config *config, const struct key *key, uint64_t value)
{
	uint8_t *at = (uint8_t *)config + key->at;
	uint32_t narrow = (uint32_t)value;

	value *= key->scale;
	if (key->size == sizeof(narrow))
		memcpy(at, &narrow, sizeof(narrow));
	else
		memcpy(at, &value, sizeof(value));
}

/* One word of the command line; false: it is none, or its value is out of range. */
static bool parse_word(struct options *o, const char *word)
{
	const char *equals = strchr(word, '='), *name = word;
	unsigned from = 0, to = 2;
	uint64_t value;
	size_t len;

	if (!equals)
		return false;
	for (unsigned i = 0; i < 2; i++) {
		len = strlen(way_names[i]);
		if (strncmp(word, way_names[i], len) == 0 && word[len] == '.') {
			name = word + len + 1;
			from = i;
			to = i + 1;
		}
	}
	len = (size_t)(equals - name);
	if (len == 4 && strncmp(word, "seed", 4) == 0)
		return number_of(equals + 1, UINT64_MAX, &o->seed);
	if (len == 6 && strncmp(word, "chunks", 6) == 0)
		return number_of(equals + 1, 1 << 20, &o->chunks) && o->chunks > 0;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strlen(keys[i].name) != len || strncmp(name, keys[i].name, len) != 0)
			continue;
		if (!number_of(equals + 1, keys[i].max, &value))
			return false;
		for (unsigned d = from; d < to; d++)
			put(&o->config[d], &keys[i], value);
		return true;
	}
	return false;
}

static bool parse(struct options *o, int argc, char **argv)
{
	*o = (struct options){ .seed = 1, .chunks = CHUNKS };
	if (argc < 3) {
		fprintf(stderr, "emulator: two interfaces are needed, see --help\n");
		return false;
	}
	for (unsigned i = 0; i < 2; i++) {
		o->ifname[i] = argv[1 + i];
		o->config[i].complete = o->config[i].split = true;
	}
	for (int i = 3; i < argc; i++) {
		if (!parse_word(o, argv[i])) {
			fprintf(stderr, "emulator: no such setting, or out of its range: %s; see --help\n", argv[i]);
			return false;
		}
	}
	return true;
}

/* --- making --- */

static bool make_pool(struct fbuf_pool *pool, uint32_t chunk, uint32_t headroom, uint32_t chunks)
{
	struct fbuf *bufs = calloc(chunks, sizeof(*bufs));
	void *memory = mmap(NULL, (size_t)chunks * chunk, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (!bufs || memory == MAP_FAILED)
		return false;
	fbuf_pool_init(pool, chunk, headroom);
	fbuf_pool_add(pool, bufs, memory, chunks);
	return true;
}

static bool open_end(struct provider_handle *handle, const struct way *way, unsigned end_of, struct fbuf_pool *pool)
{
	char option[FAULT_OPTION_LEN], why[PROVIDER_WHY_LEN];
	struct provider_open_args args = {
		.ifname = "link", .driver = "", .n_queues = 1, .mtu = MAX_FRAME,
		.pool = pool, .option = option, .why = why,
	};
	struct provider_port *port = calloc(1, provider_fault.port_size);

	fault_option(&way->link, end_of, option);
	return port && provider_fault.open(handle, port, &args) == 0;
}

static bool make(struct emulator *e, const struct options *o)
{
	if (!make_pool(&e->rx, WIRE_SOCKET_CHUNK, 0, RX_CHUNKS) ||
	    !make_pool(&e->wire, WIRE_CHUNK, FAULT_WIRE_HEADROOM, (uint32_t)o->chunks) ||
	    !make_pool(&e->out, WIRE_CHUNK, 0, OUT_CHUNKS))
		goto memory;
	e->began = clock_of(CLOCK_MONOTONIC);
	for (unsigned d = 0; d < 2; d++) {
		struct way *way = &e->way[d];

		fault_link_init(&way->link, &o->config[d], o->seed * 2 + d);
		fault_link_advance(&way->link, e->began);
		way->link.wire = &e->wire;
		way->from = &e->socket[d];
		way->to = &e->socket[!d];
		if (!open_end(&way->in, way, 0, &e->rx) || !open_end(&way->out, way, 1, &e->out))
			goto memory;
	}
	return true;
memory:
	fprintf(stderr, "emulator: no memory for %" PRIu64 " chunks\n", o->chunks);
	return false;
}

static bool open_sockets(struct emulator *e, const struct options *o)
{
	for (unsigned i = 0; i < 2; i++) {
		int rc = wire_socket_open(&e->socket[i], o->ifname[i]);

		if (rc < 0) {
			fprintf(stderr, "emulator: %s: %s\n", o->ifname[i], strerror(-rc));
			return false;
		}
	}
	return true;
}

/* --- running --- */

/* What came goes onto the link, at the time when the kernel got it. */
static void take(struct emulator *e, struct way *way)
{
	fs_ns now = clock_of(CLOCK_MONOTONIC), wall = clock_of(CLOCK_REALTIME), stamp;
	struct fbuf *frame;

	for (int i = 0; i < BURST && (frame = wire_socket_receive(way->from, &e->rx, &stamp)); i++) {
		fs_ns came = stamp > 0 ? FS_MIN(stamp - wall + now, now) : now;

		fault_link_advance(&way->link, FS_MAX(way->link.now, came));
		if (provider_fault.transmit(&way->in, &frame, 1) == 0)
			fbuf_free(frame);
		provider_fault.kick(&way->in);
	}
}

static void give(struct way *way, fs_ns now)
{
	fs_ns due = fault_link_next(&way->link);
	struct fbuf *frames[BURST];
	unsigned n;

	if (due > now)
		return;
	way->late += now - due;
	way->latest = FS_MAX(way->latest, now - due);
	way->deliveries++;
	fault_link_advance(&way->link, FS_MAX(way->link.now, now));
	while ((n = provider_fault.receive(&way->out, frames, BURST)) > 0)
		for (unsigned i = 0; i < n; i++)
			wire_socket_send(way->to, frames[i]);
}

/* Until something comes by @signals. */
static void run(struct emulator *e, int signals)
{
	struct pollfd fds[3] = { { signals, POLLIN, 0 }, { e->socket[0].fd, POLLIN, 0 }, { e->socket[1].fd, POLLIN, 0 } };

	while (!fds[0].revents) {
		fs_ns next, now;
		struct timespec wait;

		for (unsigned d = 0; d < 2; d++)
			take(e, &e->way[d]);
		now = clock_of(CLOCK_MONOTONIC);
		for (unsigned d = 0; d < 2; d++)
			give(&e->way[d], now);
		next = FS_MIN(fault_link_next(&e->way[0].link), fault_link_next(&e->way[1].link));
		now = FS_MAX(next - clock_of(CLOCK_MONOTONIC), 0);
		wait = (struct timespec){ now / FS_SEC(1), now % FS_SEC(1) };
		ppoll(fds, 3, next == FS_NEVER ? NULL : &wait, NULL);
	}
}

static void print_way(const struct emulator *e, unsigned d)
{
	const struct way *way = &e->way[d];
	const struct fault_counts *c = &way->link.to[1].counts;
	uint64_t strange = way->from->strange + way->in.port->stats.tx_bad;

	printf(",\"%s\":{\"taken\":%" PRIu64 ",\"supers\":%" PRIu64 ",\"sent\":%" PRIu64 ",\"delivered\":%" PRIu64
	       ",\"lost\":%" PRIu64 ",\"overflowed\":%" PRIu64 ",\"doubled\":%" PRIu64 ",\"corrupted\":%" PRIu64
	       ",\"reordered\":%" PRIu64 ",",
	       way_names[d], way->from->taken, way->from->supers, c->sent, c->delivered, c->lost, c->overflowed,
	       c->doubled, c->corrupted, c->reordered);
	/* What no link of this kind does: we were not up to it. */
	printf("\"missed\":%" PRIu64 ",\"strange\":%" PRIu64 ",\"no_chunk\":%" PRIu64 ",\"refused\":%" PRIu64
	       ",\"unsent\":%" PRIu64 ",\"late_us\":{\"mean\":%.1f,\"max\":%.1f}}",
	       way->from->missed, strange, c->no_chunk, c->refused, way->to->unsent,
	       way->deliveries ? (double)way->late / (double)way->deliveries / 1000 : 0.0,
	       (double)way->latest / 1000);
}

/* Frames leave when they are due, not when others have had their turns. Without the right to it they leave later. */
static void be_punctual(void)
{
	struct sched_param first = { .sched_priority = 1 };

	sched_setscheduler(0, SCHED_FIFO, &first);
	prctl(PR_SET_TIMERSLACK, 1);
}

int main(int argc, char **argv)
{
	static struct emulator e;
	struct options o;
	sigset_t ends;

	if (argc > 1 && strcmp(argv[1], "--help") == 0) {
		print_help();
		return 0;
	}
	if (!parse(&o, argc, argv))
		return 2;
	if (!make(&e, &o) || !open_sockets(&e, &o))
		return 1;
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	be_punctual();
	fprintf(stderr, "ready\n");
	run(&e, signalfd(-1, &ends, SFD_CLOEXEC));
	printf("{\"seconds\":%.3f", (double)(clock_of(CLOCK_MONOTONIC) - e.began) / 1e9);
	for (unsigned d = 0; d < 2; d++) {
		wire_socket_refresh(&e.socket[d]);
		print_way(&e, d);
	}
	printf("}\n");
	return 0;
}
