/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_stats_reader.c - snapshots of well-formed, corrupted and shrinking segments.
 */
#include "stats/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { N_COUNTERS = 5, MAX_SOCKS = 4 };

/* A whole segment as a stack lays it out. */
struct segment {
	struct stats_head head;
	uint64_t counters[N_COUNTERS];
	struct stats_port ports[STATS_MAX_PORTS];
	struct stats_link links[STATS_MAX_LINKS];
	struct stats_sock socks[MAX_SOCKS];
};

static void segment_init(struct segment *s)
{
	memset(s, 0, sizeof(*s));
	s->head = (struct stats_head){
		.magic = STATS_MAGIC,
		.version = STATS_VERSION,
		.head_bytes = sizeof(*s),
		.stack_id = 7,
		.owner_pid = 42,
		.comm = "prog",
		.profile = "default",
		.n_counters = N_COUNTERS,
		.counters_offset = offsetof(struct segment, counters),
		.n_ports = 1,
		.ports_offset = offsetof(struct segment, ports),
		.n_socks = 3,
		.max_socks = MAX_SOCKS,
		.socks_offset = offsetof(struct segment, socks),
		.n_links = 2,
		.links_offset = offsetof(struct segment, links),
	};
	s->links[1].serial = 17;
	s->counters[2] = 99;
	strcpy(s->ports[0].ifname, "veth0");
	s->socks[0].cookie = 11;
	s->socks[2].cookie = 13;
	strcpy(s->socks[2].detail, "because");
}

static int file_of(const void *bytes, size_t len)
{
	int fd = memfd_create(STATS_MEMFD_PREFIX "test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, len, 0), (ssize_t)len);
	return fd;
}

static int read_bytes(struct stats_snapshot *snapshot, const void *bytes, size_t len,
		      const char **why)
{
	int fd = file_of(bytes, len);
	int rc = stats_snapshot_read(snapshot, fd, why);

	close(fd);
	return rc;
}

static void stats_head_check__accepts_a_whole_one(void **state)
{
	struct segment s;

	segment_init(&s);
	assert_null(stats_head_check(&s.head, sizeof(s)));
}

static void stats_head_check__refuses_each_broken_field(void **state)
{
	static const struct {
		size_t offset;
		uint32_t value;
	} broken[] = {
		{ offsetof(struct stats_head, magic), 0 },
		{ offsetof(struct stats_head, version), STATS_VERSION + 1 },
		{ offsetof(struct stats_head, head_bytes), 8 },
		{ offsetof(struct stats_head, head_bytes), sizeof(struct segment) + 1 },
		{ offsetof(struct stats_head, head_bytes), UINT32_MAX },
		{ offsetof(struct stats_head, n_counters), UINT32_MAX },
		{ offsetof(struct stats_head, n_counters), STATS_READ_MAX_COUNTERS },
		{ offsetof(struct stats_head, counters_offset), 0 },
		{ offsetof(struct stats_head, counters_offset), UINT32_MAX },
		{ offsetof(struct stats_head, counters_offset), sizeof(struct stats_head) + 1 },
		{ offsetof(struct stats_head, n_ports), STATS_MAX_PORTS + 1 },
		{ offsetof(struct stats_head, ports_offset), 8 },
		{ offsetof(struct stats_head, ports_offset), sizeof(struct segment) - 8 },
		{ offsetof(struct stats_head, n_links), STATS_MAX_LINKS + 1 },
		{ offsetof(struct stats_head, links_offset), 8 },
		{ offsetof(struct stats_head, links_offset), sizeof(struct segment) - 8 },
		{ offsetof(struct stats_head, n_socks), MAX_SOCKS + 1 },
		{ offsetof(struct stats_head, max_socks), UINT32_MAX },
		{ offsetof(struct stats_head, max_socks), MAX_SOCKS + 1 },
		{ offsetof(struct stats_head, socks_offset), UINT32_MAX - 7 },
		{ offsetof(struct stats_head, socks_offset), sizeof(struct segment) - 8 },
	};
	struct segment s;

	for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
		segment_init(&s);
		memcpy((char *)&s.head + broken[i].offset, &broken[i].value, sizeof(uint32_t));
		assert_non_null(stats_head_check(&s.head, sizeof(s)));
	}
}

static void stats_snapshot_read__copies_tables(void **state)
{
	struct stats_snapshot snap;
	struct segment s;

	segment_init(&s);
	assert_int_equal(read_bytes(&snap, &s, sizeof(s), NULL), 0);
	assert_int_equal(snap.head.stack_id, 7);
	assert_int_equal(snap.n_counters, N_COUNTERS);
	assert_int_equal(snap.counters[2], 99);
	assert_int_equal(snap.n_ports, 1);
	assert_string_equal(snap.ports[0].ifname, "veth0");
	assert_int_equal(snap.n_links, 2);
	assert_int_equal(snap.links[1].serial, 17);
	stats_snapshot_free(&snap);
}

static void stats_snapshot_read__leaves_unused_records_out(void **state)
{
	struct stats_snapshot snap;
	struct segment s;

	segment_init(&s);
	assert_int_equal(read_bytes(&snap, &s, sizeof(s), NULL), 0);
	assert_int_equal(snap.n_socks, 2);
	assert_int_equal(snap.socks[0].cookie, 11);
	assert_int_equal(snap.socks[1].cookie, 13);
	assert_string_equal(snap.socks[1].detail, "because");
	stats_snapshot_free(&snap);
}

static void stats_snapshot_read__tames_texts(void **state)
{
	struct stats_snapshot snap;
	struct segment s;

	segment_init(&s);
	memset(s.head.comm, 'x', sizeof(s.head.comm));
	memset(s.head.profile, 0x1b, sizeof(s.head.profile));
	memset(s.ports[0].ifname, 0xff, sizeof(s.ports[0].ifname));
	memset(s.socks[0].detail, '\n', sizeof(s.socks[0].detail));
	assert_int_equal(read_bytes(&snap, &s, sizeof(s), NULL), 0);
	assert_string_equal(snap.head.comm, "xxxxxxxxxxxxxxx");
	assert_string_equal(snap.head.profile, "???????????????");
	assert_string_equal(snap.ports[0].ifname, "???????????????");
	assert_int_equal(strlen(snap.socks[0].detail), STATS_DETAIL_LEN - 1);
	assert_int_equal(snap.socks[0].detail[0], '?');
	stats_snapshot_free(&snap);
}

static void stats_snapshot_read__refuses_short_and_foreign_files(void **state)
{
	struct stats_snapshot snap;
	struct segment s;
	const char *why;
	int pipe_fd[2];

	segment_init(&s);
	for (size_t len = 0; len < sizeof(s); len += 61) {
		why = NULL;
		assert_int_equal(read_bytes(&snap, &s, len, &why), -EPROTO);
		assert_non_null(why);
		assert_null(snap.counters);
	}
	assert_int_equal(pipe(pipe_fd), 0);
	assert_int_equal(stats_snapshot_read(&snap, pipe_fd[0], &why), -EPROTO);
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	assert_int_equal(stats_snapshot_read(&snap, -1, &why), -EBADF);
}

/*
 * Any bytes in the head: a refusal or a snapshot, never a read outside. ASan and valgrind watch.
 */
static void stats_snapshot_read__survives_random_heads(void **state)
{
	struct stats_snapshot snap;
	struct segment s;
	uint64_t seed = 1;

	for (int round = 0; round < 2000; round++) {
		segment_init(&s);
		for (int hits = 0; hits < 3; hits++) {
			size_t at;

			seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
			at = (seed >> 33) % sizeof(s.head);
			((unsigned char *)&s.head)[at] ^= (unsigned char)(seed >> 56);
		}
		if (read_bytes(&snap, &s, sizeof(s), NULL) == 0)
			assert_true(snap.n_socks <= MAX_SOCKS && snap.n_ports <= STATS_MAX_PORTS);
		stats_snapshot_free(&snap);
	}
}

static void stats_find__finds_each_stack_once(void **state)
{
	struct segment s;
	int fds[STATS_READ_MAX_STACKS], before, found, first, again, second;

	before = stats_find(getpid(), fds, STATS_READ_MAX_STACKS);
	assert_int_equal(before, 0);
	segment_init(&s);
	first = file_of(&s, sizeof(s));
	again = dup(first);
	second = file_of(&s, sizeof(s));
	found = stats_find(getpid(), fds, STATS_READ_MAX_STACKS);
	assert_int_equal(found, 2);
	for (int i = 0; i < found; i++) {
		assert_int_equal(fcntl(fds[i], F_GETFL) & O_ACCMODE, O_RDONLY);
		close(fds[i]);
	}
	found = stats_find(getpid(), fds, 1);
	assert_int_equal(found, 1);
	close(fds[0]);
	close(first);
	close(again);
	close(second);
}

static void stats_find__no_process(void **state)
{
	int fd;

	assert_int_equal(stats_find(0x7ffffff0, &fd, 1), -ESRCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stats_head_check__accepts_a_whole_one),
		cmocka_unit_test(stats_head_check__refuses_each_broken_field),
		cmocka_unit_test(stats_snapshot_read__copies_tables),
		cmocka_unit_test(stats_snapshot_read__leaves_unused_records_out),
		cmocka_unit_test(stats_snapshot_read__tames_texts),
		cmocka_unit_test(stats_snapshot_read__refuses_short_and_foreign_files),
		cmocka_unit_test(stats_snapshot_read__survives_random_heads),
		cmocka_unit_test(stats_find__finds_each_stack_once),
		cmocka_unit_test(stats_find__no_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
