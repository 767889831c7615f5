/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_sysctl.c - see tcp_sysctl.h.
 */
#include "host/tcp_sysctl.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "host/log.h"
#include "sys/sys.h"

enum {
	WORDS = 3,
	US_PER_S = 1000000,
	RTO_FIRST_US = 1000000, /* tcp_rto_* are ms, and young; their sense is checked */
};

/* How a value becomes the field. */
enum form {
	FORM_U8, FORM_U32, FORM_BOOL, FORM_SECONDS, FORM_MS, FORM_TRIPLE, FORM_KEEP_IDLE, FORM_KEEP_INTERVAL, FORM_KEEP_COUNT
};

struct entry {
	const char *name;
	enum form form;
	size_t field; /* of struct tcp_config */
	uint32_t min, max;
};

#define AT(field) offsetof(struct tcp_config, field)

static const struct entry entries[] = {
	{ "tcp_rmem", FORM_TRIPLE, AT(rcvbuf), 1, INT32_MAX },
	{ "tcp_wmem", FORM_TRIPLE, AT(sndbuf), 1, INT32_MAX },
	{ "tcp_syn_retries", FORM_U8, AT(syn_retries), 1, 127 },
	{ "tcp_synack_retries", FORM_U8, AT(synack_retries), 0, 255 },
	{ "tcp_retries1", FORM_U8, AT(retries1), 0, 255 },
	{ "tcp_retries2", FORM_U8, AT(retries2), 0, 255 },
	{ "tcp_orphan_retries", FORM_U8, AT(orphan_retries), 1, 255 }, /* 0 stands for the engine's 8, too */
	{ "tcp_ecn", FORM_U8, AT(ecn), 0, 2 },
	{ "tcp_syncookies", FORM_U8, AT(syncookies), 0, 2 },
	{ "tcp_timestamps", FORM_BOOL, AT(timestamps), 0, 2 },
	{ "tcp_sack", FORM_BOOL, AT(sack), 0, 1 },
	{ "tcp_window_scaling", FORM_BOOL, AT(window_scaling), 0, 1 },
	{ "tcp_rfc1337", FORM_BOOL, AT(rfc1337), 0, 1 },
	{ "tcp_slow_start_after_idle", FORM_BOOL, AT(slow_start_after_idle), 0, 1 },
	{ "tcp_mtu_probing", FORM_BOOL, AT(mtu_probing), 0, 2 },
	{ "tcp_base_mss", FORM_U32, AT(base_mss), 48, 65535 },
	{ "tcp_max_reordering", FORM_U32, AT(max_reordering), 3, 65535 },
	{ "tcp_max_tw_buckets", FORM_U32, AT(max_tw), 0, 1 << 24 },
	{ "tcp_fin_timeout", FORM_SECONDS, AT(fin_timeout_us), 1, 4000 },
	{ "tcp_rto_min_us", FORM_U32, AT(rto_min_us), 1000, RTO_FIRST_US },
	{ "tcp_rto_max_ms", FORM_MS, AT(rto_max_us), 1000, 120000 },
	{ "tcp_keepalive_time", FORM_KEEP_IDLE, 0, 1, 32767 },
	{ "tcp_keepalive_intvl", FORM_KEEP_INTERVAL, 0, 1, 32767 },
	{ "tcp_keepalive_probes", FORM_KEEP_COUNT, 0, 1, 127 },
};

/* The numbers in a file, at most WORDS. Returns how many; a word that is no number ends them. */
static unsigned read_words(const char *dir, const char *name, uint32_t words[WORDS])
{
	char path[256], text[64];
	unsigned n = 0;
	bool inside = false;
	ssize_t len;
	int fd;

	host_format(path, sizeof(path), "%s/%s", dir, name);
	fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	len = sys_read(fd, text, sizeof(text));
	sys_close(fd);
	for (ssize_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9') {
			if (text[i] != ' ' && text[i] != '\t' && text[i] != '\n')
				return n - inside;
			inside = false;
			continue;
		}
		if (!inside && n == WORDS)
			break;
		if (!inside)
			words[n++] = 0;
		inside = true;
		if (words[n - 1] > UINT32_MAX / 10 - 1)
			return n - 1;
		words[n - 1] = words[n - 1] * 10 + (uint32_t)(text[i] - '0');
	}
	return n;
}

static void put(const struct entry *e, const uint32_t *word, void *field, struct host_tcp_keep *keep)
{
	switch (e->form) {
	case FORM_U8: *(uint8_t *)field = (uint8_t)word[0]; break;
	case FORM_U32: *(uint32_t *)field = word[0]; break;
	case FORM_BOOL: *(bool *)field = word[0] != 0; break;
	case FORM_SECONDS: *(uint32_t *)field = word[0] * US_PER_S; break;
	case FORM_MS: *(uint32_t *)field = word[0] * 1000; break;
	case FORM_TRIPLE:
		for (unsigned i = 0; i < WORDS; i++)
			((uint32_t *)field)[i] = word[i];
		break;
	case FORM_KEEP_IDLE: keep->idle_s = (uint16_t)word[0]; break;
	case FORM_KEEP_INTERVAL: keep->interval_s = (uint16_t)word[0]; break;
	case FORM_KEEP_COUNT: keep->count = (uint8_t)word[0]; break;
	}
}

static bool in_range(const struct entry *e, const uint32_t *word, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (word[i] < e->min || word[i] > e->max)
			return false;
	return e->form != FORM_TRIPLE || (word[0] <= word[1] && word[1] <= word[2]);
}

void host_tcp_sysctl(const char *dir, struct tcp_config *config, struct host_tcp_keep *keep)
{
	uint32_t fastopen[WORDS];

	*keep = (struct host_tcp_keep){ 0 };
	for (unsigned i = 0; i < FS_ARRAY_SIZE(entries); i++) {
		const struct entry *e = &entries[i];
		unsigned wanted = e->form == FORM_TRIPLE ? WORDS : 1;
		uint32_t word[WORDS];

		if (read_words(dir, e->name, word) >= wanted && in_range(e, word, wanted))
			put(e, word, (uint8_t *)config + e->field, keep);
	}
	/* Client and server; the kernel's other bits are for tests. */
	if (read_words(dir, "tcp_fastopen", fastopen) >= 1)
		config->fastopen = fastopen[0] & 3;
}
