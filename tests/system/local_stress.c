/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * local_stress.c - two processes on one link, in real time: many bytes, sizes and pauses by chance, and deaths.
 *
 *	local_stress bytes=N [seed=N] [threads]   N bytes through flows in both directions, all of them checked
 *	local_stress kills=N [seed=N]             N times the other process is killed in the midst of it
 *
 * The arena is a memfd, doorbells are eventfds. A side that has nothing to do sleeps on its doorbell; one that sleeps
 * for HANG_S seconds has been forgotten, and the run has failed. With `threads` the other side is a thread: what
 * ThreadSanitizer can follow. Of a killed process the survivor finds a prefix of its bytes, and then the end or a
 * reset.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/counter.h"
#include "local/link.h"
#include "tests/sim/pattern.h"
#include "tests/sim/random.h"

enum {
	SLOTS = 16,
	UNITS = 1024,
	FLOWS = 6,	   /* at a time, of each side's */
	LISTENER = 1,
	PORT = 80,
	FLOW_MOST = 1 << 20, /* bytes each way */
	BLOCK = 64 << 10,
	HANG_S = 30,
	PAUSE_US = 200,
};

/* An end of a flow. What it sends depends on the flow's name and on who it is. */
struct end {
	struct local_conn *conn; /* NULL = none */
	uint64_t name, to_send, sent, got, to_get;
	bool is_shut, is_asked, saw_end;
};

struct side {
	struct local_link *link;
	struct local_listener listener;
	struct end end[2 * FLOWS];
	uint64_t counters[FS_CTR_N];
	struct sim_random random;
	int bell, other_bell;
	unsigned number;
	uint64_t to_move, moved; /* bytes that its own flows send: the plan, and what they have begun */
	uint64_t flows;		 /* begun */
	bool lost;		 /* the other side is dead */
};

_Noreturn void fs_assert_failed(const char *expression, const char *file, int line)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, expression);
	abort();
}

static _Noreturn void fail(const struct side *s, const char *what)
{
	fprintf(stderr, "local_stress: side %u: %s\n", s->number, what);
	_exit(1);
}

/* --- the link's wishes --- */

static void on_event(void *context, struct local_conn *conn, uint32_t edges)
{
	((struct end *)conn->user)->is_asked = false;
}

static void on_incoming(void *context, struct local_listener *listener)
{
}

static struct local_listener *find(void *context, uint64_t id, const struct ip_addr *local, uint16_t port)
{
	return id == LISTENER ? &((struct side *)context)->listener : NULL;
}

static void on_moved(void *context, struct local_conn *conn)
{
}

static const struct local_ops ops = { on_event, on_incoming, find, on_moved, NULL, NULL, NULL };

/* --- flows --- */

static uint64_t key_of(uint64_t name, bool of_dialler)
{
	return sim_mix(name * 2 + of_dialler);
}

/* How many bytes a flow sends each way: both ends know. */
static uint64_t len_of(uint64_t name, bool by_dialler)
{
	struct sim_random r = sim_random_stream(name, by_dialler);

	return sim_spread(&r, 1, FLOW_MOST);
}

static bool is_dialler(const struct side *s, const struct end *end)
{
	return end < s->end + FLOWS;
}

static void begin(struct side *s, struct end *end, struct local_conn *conn, uint64_t name)
{
	bool dialler = is_dialler(s, end);

	*end = (struct end){ .conn = conn, .name = name, .to_send = len_of(name, dialler) };
	end->to_get = len_of(name, !dialler);
	conn->user = end;
}

/* The name travels in the addresses. */
static bool dial(struct side *s, struct end *end)
{
	struct local_call call = { .listener = LISTENER, .remote_port = PORT };
	uint64_t name = s->flows << 1 | s->number;
	struct local_conn *conn;

	if (s->moved >= s->to_move || s->lost)
		return false;
	call.send_order = (uint8_t)sim_range(&s->random, LOCAL_ORDER_MIN, LOCAL_ORDER_MIN + 5);
	call.receive_order = (uint8_t)sim_range(&s->random, LOCAL_ORDER_MIN, LOCAL_ORDER_MIN + 5);
	call.local.d[0] = name;
	if (local_connect(s->link, &call, end, &conn) < 0)
		return false;
	s->flows++;
	begin(s, end, conn, name);
	s->moved += end->to_send + end->to_get;
	return true;
}

static bool accept_one(struct side *s)
{
	for (struct end *end = s->end + FLOWS; end < s->end + 2 * FLOWS; end++) {
		struct local_conn *conn = end->conn ? NULL : local_accept(&s->listener, end);

		if (!conn)
			continue;
		begin(s, end, conn, conn->remote.d[0]);
		return true;
	}
	return false;
}

/* @error came to @end: only a death explains it, or a listener that was full. */
static void take_error(struct side *s, struct end *end, int error)
{
	if (error == ENOBUFS && is_dialler(s, end)) {
		s->moved -= end->to_send + end->to_get; /* another one will */
		end->sent = end->to_send = 0;
		end->to_get = end->got;
	} else if (!s->lost) {
		fail(s, strerror(error));
	}
	end->saw_end = true;
	end->to_send = end->sent;
}

static bool send_some(struct side *s, struct end *end)
{
	static __thread uint8_t bytes[BLOCK];
	uint64_t n = sim_spread(&s->random, 1, BLOCK);
	struct iovec iov = { bytes, (size_t)FS_MIN(n, end->to_send - end->sent) };
	ssize_t put;

	if (iov.iov_len == 0)
		return false;
	sim_pattern_fill(key_of(end->name, is_dialler(s, end)), end->sent, bytes, iov.iov_len);
	put = local_send(end->conn, &iov, 1, 0);
	if (put == -EAGAIN)
		return false;
	if (put < 0)
		take_error(s, end, (int)-put);
	else
		end->sent += (uint64_t)put;
	return true;
}

static bool receive_some(struct side *s, struct end *end)
{
	static __thread uint8_t bytes[BLOCK];
	struct iovec iov = { bytes, (size_t)sim_spread(&s->random, 1, BLOCK) };
	ssize_t got;

	if (end->saw_end)
		return false;
	got = local_recv(end->conn, &iov, 1, 0, 0);
	if (got == -EAGAIN)
		return false;
	if (got < 0) {
		take_error(s, end, (int)-got);
	} else if (got == 0) {
		end->saw_end = true;
		if (end->got != end->to_get && !s->lost)
			fail(s, "the end before all bytes");
	} else {
		if (sim_pattern_match(key_of(end->name, !is_dialler(s, end)), end->got, bytes, (size_t)got) !=
		    (size_t)got)
			fail(s, "wrong bytes");
		end->got += (uint64_t)got;
		if (end->got > end->to_get)
			fail(s, "too many bytes");
	}
	return true;
}

static bool act(struct side *s, struct end *end)
{
	if (send_some(s, end) || receive_some(s, end))
		return true;
	if (end->sent == end->to_send && end->saw_end) {
		local_close(end->conn);
		end->conn = NULL;
		return true;
	}
	if (end->sent == end->to_send && !end->is_shut) {
		end->is_shut = true;
		local_shutdown(end->conn, LOCAL_SHUT_WRITING);
		return true;
	}
	end->is_asked = local_conn_wait(end->conn, (end->saw_end ? 0 : LOCAL_READY_IN) |
						      (end->sent < end->to_send ? LOCAL_READY_OUT : 0)) == 0;
	return !end->is_asked;
}

/* --- a side --- */

static bool act_all(struct side *s)
{
	bool busy = accept_one(s);

	for (struct end *end = s->end; end < s->end + 2 * FLOWS; end++) {
		if (!end->conn)
			busy |= is_dialler(s, end) && dial(s, end);
		else if (!end->is_asked)
			busy |= act(s, end);
	}
	return busy;
}

static void ring(struct side *s)
{
	uint64_t one = 1;

	if (write(s->other_bell, &one, sizeof(one)) != sizeof(one))
		fail(s, "cannot ring");
}

/* Where a side says that it begins no more flows: in the first page of the arena, behind what the link has there. */
static uint32_t *said_all(const struct side *s, unsigned side)
{
	return (uint32_t *)(void *)(s->link->arena + LOCAL_PAGE / 2 + side * FS_CACHE_LINE);
}

/* Both sides have begun all, and nothing of it is left here; or the other one is dead. */
static bool is_done(struct side *s)
{
	for (const struct end *end = s->end; end < s->end + 2 * FLOWS; end++)
		if (end->conn)
			return false;
	if (s->lost)
		return true;
	if (s->moved >= s->to_move && fs_load_relaxed(said_all(s, s->number)) == 0) {
		fs_store_release(said_all(s, s->number), 1);
		ring(s);
	}
	return fs_load_acquire(said_all(s, 0)) && fs_load_acquire(said_all(s, 1)) && local_link_is_idle(s->link);
}

/* Until the bell rings, or @death is readable: the other process' end. */
static void sleep_for_bell(struct side *s, int death)
{
	struct pollfd fds[2] = { { s->bell, POLLIN, 0 }, { death, POLLIN, 0 } };
	uint64_t n;

	if (poll(fds, death >= 0 ? 2 : 1, HANG_S * 1000) == 0)
		fail(s, "nobody woke it");
	if ((fds[0].revents & POLLIN) && read(s->bell, &n, sizeof(n)) != sizeof(n))
		fail(s, "cannot hear");
	if (fds[1].revents) {
		s->lost = true;
		local_link_died(s->link);
	}
}

/* Let the other side get ahead, or behind. */
static void pause_sometimes(struct side *s)
{
	struct timespec some = { 0, (long)sim_below(&s->random, PAUSE_US) * 1000 };

	if (sim_below(&s->random, 2000) == 0)
		nanosleep(&some, NULL);
}

static bool may_sleep(struct local_link *link)
{
	local_link_arm(link);
	return local_link_poll(link, LOCAL_CELLS) == 0;
}

static void run(struct side *s, int death)
{
	while (!is_done(s)) {
		bool sleeps;

		local_link_poll(s->link, LOCAL_CELLS);
		sleeps = !act_all(s) && !s->lost && !is_done(s) && may_sleep(s->link);
		if (local_link_rings(s->link))
			ring(s);
		if (sleeps)
			sleep_for_bell(s, death);
		pause_sometimes(s);
		if (s->link->ended > LOCAL_LINK_DIED)
			fail(s, local_end_name[s->link->ended]);
	}
}

static void side_init(struct side *s, void *arena, const struct local_agreed *agreed, unsigned number,
		      const int bells[2], uint64_t seed, uint64_t bytes)
{
	struct local_config config = {
		.ops = &ops, .context = s, .counters = s->counters, .arena = arena, .side = number, .agreed = *agreed
	};
	size_t len = (local_link_len(agreed) + FS_CACHE_LINE - 1) & ~(size_t)(FS_CACHE_LINE - 1);

	*s = (struct side){ .number = number, .bell = bells[number], .other_bell = bells[1 - number] };
	s->to_move = bytes / 2;
	s->random = sim_random_stream(seed, number);
	s->link = local_link_init(memset(aligned_alloc(FS_CACHE_LINE, len), 0, len), &config);
	local_listener_init(&s->listener, FLOWS, NULL);
}

static void side_fini(struct side *s)
{
	local_listener_close(&s->listener);
	if (!local_link_is_idle(s->link) || s->link->half.used != 0)
		fail(s, "connections are left");
	free(s->link);
}

static void *thread(void *side)
{
	run(side, -1);
	return NULL;
}

/* An arena in a memfd that neither side can cut off. */
static void *make_arena(const struct local_agreed *agreed)
{
	int fd = memfd_create("local_stress", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *arena = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, (off_t)agreed->len) == 0)
		arena = mmap(NULL, agreed->len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (arena == MAP_FAILED) {
		perror("local_stress: memory");
		exit(2);
	}
	close(fd);
	local_arena_write(arena, agreed);
	return arena;
}

/* One link, from its beginning to its end. @kill_us: after so long the other process is killed, 0 = not. */
static uint64_t one_link(uint64_t seed, uint64_t bytes, unsigned kill_us, bool threads)
{
	struct local_agreed agreed = local_agree(SLOTS, UNITS);
	void *arena = make_arena(&agreed);
	int bells[2] = { eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC) }, death[2] = { -1, -1 }, status = 0;
	static struct side side[2];
	pthread_t other;
	pid_t child = 0;

	for (unsigned i = 0; i < 2; i++)
		side_init(&side[i], arena, &agreed, i, bells, seed, bytes);
	if (threads) {
		if (pthread_create(&other, NULL, thread, &side[1]) != 0)
			exit(2);
	} else {
		if (pipe(death) < 0 || (child = fork()) < 0)
			exit(2);
		if (child == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			close(death[0]);
			run(&side[1], -1);
			side_fini(&side[1]);
			_exit(0);
		}
		close(death[1]); /* what is left of it is the child's: its end is the child's end */
	}
	if (kill_us > 0) {
		pid_t killer = fork();

		if (killer == 0) {
			usleep(kill_us);
			kill(child, SIGKILL);
			_exit(0);
		}
		run(&side[0], death[0]);
		waitpid(killer, NULL, 0);
	} else {
		run(&side[0], -1);
	}
	if (threads)
		pthread_join(other, NULL);
	else if (waitpid(child, &status, 0) != child || (status != 0 && !(kill_us && WIFSIGNALED(status))))
		fail(&side[0], "the other side failed");
	side_fini(&side[0]);
	if (threads)
		side_fini(&side[1]);
	else
		free(side[1].link);
	munmap(arena, agreed.len);
	close(bells[0]);
	close(bells[1]);
	close(death[0]);
	return side[0].counters[FS_CTR_local_bytes_in] + side[0].counters[FS_CTR_local_bytes_out];
}

int main(int argc, char **argv)
{
	unsigned long long bytes = 0, kills = 0, seed = 1, moved = 0;
	struct sim_random random;
	bool threads = false;

	for (int i = 1; i < argc; i++) {
		threads |= strcmp(argv[i], "threads") == 0;
		if (sscanf(argv[i], "bytes=%llu", &bytes) != 1 && sscanf(argv[i], "kills=%llu", &kills) != 1 &&
		    sscanf(argv[i], "seed=%llu", &seed) != 1 && strcmp(argv[i], "threads") != 0)
			bytes = kills = 0, i = argc;
	}
	if ((bytes == 0) == (kills == 0)) {
		fprintf(stderr, "usage: local_stress bytes=N|kills=N [seed=N] [threads]\n");
		return 2;
	}
	random = sim_random_stream(seed, 9);
	if (bytes > 0)
		moved = one_link(seed, bytes, 0, threads);
	for (unsigned long long i = 0; i < kills; i++)
		moved += one_link(seed + i, UINT64_C(1) << 40, (unsigned)sim_spread(&random, 1, 20000), false);
	printf("local_stress: %llu bytes, %llu deaths\n", moved, kills);
	return moved >= bytes ? 0 : 1;
}
