/* SPDX-License-Identifier: BSD-2-Clause */
/* test_host_tcp_sysctl.c - settings of TCP, from files of our own and the kernel's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/tcp_sysctl.h"

static char dir[] = "/tmp/fst-sysctl-XXXXXX";
static const char *const names[] = { "tcp_rmem", "tcp_wmem", "tcp_syn_retries", "tcp_sack", "tcp_fin_timeout", "tcp_keepalive_time",
				     "tcp_fastopen", "tcp_ecn", "tcp_rto_max_ms" };

static void set(const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int teardown(void **state)
{
	char path[128];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	return 0;
}

static int made(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int removed(void **state)
{
	return rmdir(dir);
}

static void sysctl__is_followed(void **state)
{
	struct tcp_config config;
	struct host_tcp_keep keep;

	tcp_config_default(&config);
	set("tcp_rmem", "4096\t87380\t1000000\n");
	set("tcp_syn_retries", "2\n");
	set("tcp_sack", "0\n");
	set("tcp_fin_timeout", "7\n");
	set("tcp_keepalive_time", "33\n");
	set("tcp_fastopen", "1027\n");
	set("tcp_rto_max_ms", "9000\n");
	host_tcp_sysctl(dir, &config, &keep);
	assert_int_equal(config.rcvbuf[1], 87380);
	assert_int_equal(config.rcvbuf[2], 1000000);
	assert_int_equal(config.syn_retries, 2);
	assert_false(config.sack);
	assert_int_equal(config.fin_timeout_us, 7000000);
	assert_int_equal(config.fastopen, 3);
	assert_int_equal(config.rto_max_us, 9000000);
	assert_int_equal(keep.idle_s, 33);
	assert_int_equal(keep.interval_s, 0);
}

static void sysctl__senseless_ones_stay(void **state)
{
	struct tcp_config config, before;
	struct host_tcp_keep keep;

	tcp_config_default(&config);
	before = config;
	set("tcp_rmem", "4096 100\n");
	set("tcp_wmem", "9000 8000 7000\n");
	set("tcp_syn_retries", "500\n");
	set("tcp_ecn", "99999999999999999999\n");
	set("tcp_sack", "yes\n");
	set("tcp_fin_timeout", "-3\n");
	set("tcp_keepalive_time", "");
	host_tcp_sysctl(dir, &config, &keep);
	assert_memory_equal(&config, &before, sizeof(config));
	assert_int_equal(keep.idle_s, 0);
}

/* Every name is one that this kernel has: a misspelt one would never be read. */
static void sysctl__the_kernels_own_are_read(void **state)
{
	struct tcp_config config;
	struct host_tcp_keep keep;

	tcp_config_default(&config);
	config.rcvbuf[0] = config.sndbuf[0] = 0;
	config.base_mss = 0;
	host_tcp_sysctl(HOST_TCP_SYSCTL_DIR, &config, &keep);
	assert_true(config.rcvbuf[0] > 0 && config.sndbuf[0] > 0 && config.base_mss > 0);
	assert_true(keep.idle_s > 0 && keep.interval_s > 0 && keep.count > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(sysctl__is_followed, teardown),
		cmocka_unit_test_teardown(sysctl__senseless_ones_stay, teardown),
		cmocka_unit_test(sysctl__the_kernels_own_are_read),
	};

	return cmocka_run_group_tests(tests, made, removed);
}
