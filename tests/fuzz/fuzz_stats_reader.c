/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_stats_reader.c - another process's statistics: any bytes are refused or give a tame
 * snapshot.
 */
#include "stats/reader.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"

static void check_text(const char *text, size_t len)
{
	FUZZ_CHECK(memchr(text, '\0', len) != NULL);
	for (; *text; text++)
		FUZZ_CHECK(*text >= 0x20 && *text < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	struct stats_snapshot snap;
	const char *why = NULL;
	int rc;

	FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	rc = stats_snapshot_read(&snap, fd, &why);
	close(fd);
	if (rc < 0) {
		FUZZ_CHECK(why && !snap.counters && !snap.ports && !snap.socks);
		return 0;
	}
	FUZZ_CHECK(size >= sizeof(snap.head) && snap.head.magic == STATS_MAGIC);
	FUZZ_CHECK(snap.n_ports <= STATS_MAX_PORTS && snap.n_socks <= snap.head.max_socks);
	check_text(snap.head.comm, sizeof(snap.head.comm));
	check_text(snap.head.profile, sizeof(snap.head.profile));
	for (uint32_t i = 0; i < snap.n_ports; i++) {
		check_text(snap.ports[i].ifname, sizeof(snap.ports[i].ifname));
		check_text(snap.ports[i].provider, sizeof(snap.ports[i].provider));
		check_text(snap.ports[i].mode, sizeof(snap.ports[i].mode));
	}
	for (uint32_t i = 0; i < snap.n_socks; i++) {
		FUZZ_CHECK(snap.socks[i].cookie != 0);
		check_text(snap.socks[i].detail, sizeof(snap.socks[i].detail));
	}
	stats_snapshot_free(&snap);
	return 0;
}
