/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_context_config.c - options: values, lines, files, environment, order of precedence.
 */
#include "context/config.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX_MESSAGES = 64 };

struct heard {
	unsigned n;
	char text[MAX_MESSAGES][CONFIG_MESSAGE_LEN];
};

static void hear(void *context, const char *text)
{
	struct heard *heard = context;

	assert_true(heard->n < MAX_MESSAGES);
	assert_true(strlen(text) < CONFIG_MESSAGE_LEN);
	strcpy(heard->text[heard->n++], text);
}

static unsigned parse(struct config *config, struct heard *heard, const char *text)
{
	struct config_reporter reporter = { hear, heard };

	config_init(config);
	heard->n = 0;
	return config_parse(config, text, strlen(text), "file", CONFIG_FROM_USER_FILE, &reporter);
}

static int set(struct config *config, const char *name, const char *value)
{
	char why[CONFIG_MESSAGE_LEN];
	int id = config_find(name, strlen(name));

	assert_true(id >= 0);
	return config_set(config, (unsigned)id, value, strlen(value), CONFIG_FROM_USER_FILE, why);
}

static void config_init__takes_the_table(void **state)
{
	struct config c;

	config_init(&c);
	assert_true(c.accelerate);
	assert_int_equal(c.umem_size, 16777216);
	assert_int_equal(c.spin, 50);
	assert_string_equal(c.bypass, "udp:53");
	assert_string_equal(c.provider, "auto");
	for (unsigned id = 0; id < CONFIG_N_OPTIONS; id++)
		assert_int_equal(c.source[id], CONFIG_FROM_DEFAULT);
}

/* Every default must be a value the parser accepts, or the manual could not be followed. */
static void config_init__defaults_parse_back(void **state)
{
	struct config c, back;
	char text[CONFIG_VALUE_LEN], why[CONFIG_MESSAGE_LEN], again[CONFIG_VALUE_LEN];

	config_init(&c);
	config_init(&back);
	for (unsigned id = 0; id < CONFIG_N_OPTIONS; id++) {
		config_value_text(&c, id, text);
		assert_int_equal(
			config_set(&back, id, text, strlen(text), CONFIG_FROM_USER_FILE, why), 0);
		assert_string_equal(config_value_text(&back, id, again), text);
	}
}

static void config_option_at__choices_match_the_enums(void **state)
{
	assert_null(config_option_at(CONFIG_N_OPTIONS));
	assert_string_equal(config_option_at(CONFIG_profile)->choices, "default|latency");
	assert_string_equal(config_option_at(CONFIG_log)->choices, "error|warn|info|debug");
	assert_string_equal(config_option_at(CONFIG_handover_signal)->choices, "none|usr1|usr2|urg|winch");
	assert_string_equal(config_option_at(CONFIG_policy)->choices, "honour|ignore");
	assert_string_equal(config_option_at(CONFIG_xdp_mode)->choices, "auto|generic|native");
}

static void config_find__folds_case_and_dash(void **state)
{
	assert_int_equal(config_find("umem_size", 9), CONFIG_umem_size);
	assert_int_equal(config_find("UMEM-Size", 9), CONFIG_umem_size);
	assert_int_equal(config_find("umem_siz", 8), -1);
	assert_int_equal(config_find("", 0), -1);
}

static void config_set__bool(void **state)
{
	static const char *const yes[] = { "1", "on", "yes", "true", "ON" };
	static const char *const no[] = { "0", "off", "no", "false" };
	struct config c;

	config_init(&c);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(set(&c, "accelerate", no[i]), 0);
		assert_false(c.accelerate);
		assert_int_equal(set(&c, "accelerate", yes[i]), 0);
		assert_true(c.accelerate);
	}
	assert_int_equal(set(&c, "accelerate", "2"), -EINVAL);
	assert_int_equal(set(&c, "accelerate", ""), -EINVAL);
	assert_true(c.accelerate);
}

static void config_set__number_range_and_unit(void **state)
{
	struct config c;

	config_init(&c);
	assert_int_equal(set(&c, "spin", "1000000"), 0);
	assert_int_equal(c.spin, 1000000);
	assert_int_equal(set(&c, "spin", "7us"), 0);
	assert_int_equal(c.spin, 7);
	assert_int_equal(set(&c, "spin", "8 us"), 0);
	assert_int_equal(c.spin, 8);
	assert_int_equal(set(&c, "spin", "1000001"), -EINVAL);
	assert_int_equal(set(&c, "spin", "-1"), -EINVAL);
	assert_int_equal(set(&c, "spin", "7ms"), -EINVAL);
	assert_int_equal(set(&c, "spin", "99999999999999999999999"), -EINVAL);
	assert_int_equal(set(&c, "kernel_look", "0"), -EINVAL);
	assert_int_equal(c.spin, 8);
}

static void config_set__size_suffixes(void **state)
{
	struct config c;

	config_init(&c);
	assert_int_equal(set(&c, "umem_size", "2M"), 0);
	assert_int_equal(c.umem_size, 2 << 20);
	assert_int_equal(set(&c, "umem_size", "1024 k"), 0);
	assert_int_equal(c.umem_size, 1 << 20);
	assert_int_equal(set(&c, "umem_size", "1G"), 0);
	assert_int_equal(c.umem_size, 1 << 30);
	assert_int_equal(set(&c, "umem_size", "2G"), -EINVAL);
	assert_int_equal(set(&c, "umem_size", "1T"), -EINVAL);
	assert_int_equal(set(&c, "umem_size", "18446744073709551615G"), -EINVAL);
	assert_int_equal(c.umem_size, 1 << 30);
}

static void config_set__choice(void **state)
{
	struct config c;

	config_init(&c);
	assert_int_equal(set(&c, "profile", "latency"), 0);
	assert_int_equal(c.profile, CONFIG_PROFILE_LATENCY);
	assert_int_equal(set(&c, "profile", "default|latency"), -EINVAL);
	assert_int_equal(set(&c, "profile", "lat"), -EINVAL);
	assert_int_equal(c.profile, CONFIG_PROFILE_LATENCY);
}

static void config_set__string_length(void **state)
{
	struct config c;
	char text[300];

	config_init(&c);
	memset(text, 'x', sizeof(text));
	text[32] = '\0';
	assert_int_equal(set(&c, "provider", text), 0);
	assert_string_equal(c.provider, text);
	text[32] = 'x';
	text[33] = '\0';
	assert_int_equal(set(&c, "provider", text), -EINVAL);
	assert_int_equal(strlen(c.provider), 32);
}

static void config_set__bypass_syntax(void **state)
{
	static const char *const good[] = { "none", "", "udp:53", "udp:53, tcp:1-65535" };
	static const char *const bad[] = { "udp",    "udp:",	"sctp:1", "udp:65536", "udp:9-8",
					   "udp:1-", "udp:1,,", ",",	  "udp:1-2-3" };
	struct config c;

	config_init(&c);
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_int_equal(set(&c, "bypass", good[i]), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(set(&c, "bypass", bad[i]), -EINVAL);
}

static void config_set__scope_syntax(void **state)
{
	static const char *const bad[] = { "", "path", "path:", "path:run/fsock", "/run/fsock", "netns2", "Netns" };
	struct config c;

	config_init(&c);
	assert_null(config_scope_directory(c.local_scope));
	assert_int_equal(set(&c, "local-scope", "path:/run/fsock"), 0);
	assert_string_equal(config_scope_directory(c.local_scope), "/run/fsock");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(set(&c, "local_scope", bad[i]), -EINVAL);
	assert_string_equal(c.local_scope, "path:/run/fsock");
	assert_int_equal(set(&c, "local_scope", "netns"), 0);
	assert_null(config_scope_directory(c.local_scope));
}

static void config_set__users_syntax(void **state)
{
	static const char *const bad[] = { "root", "1,", "-1", "4294967295", "0x1", "any,1", "1,any", ",", "1;2" };
	struct config c;

	config_init(&c);
	assert_false(config_users_have(c.local_users, 0));
	assert_int_equal(set(&c, "local-users", "0, 33,4294967294"), 0);
	assert_true(config_users_have(c.local_users, 0));
	assert_true(config_users_have(c.local_users, 33));
	assert_true(config_users_have(c.local_users, 4294967294));
	assert_false(config_users_have(c.local_users, 3));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(set(&c, "local_users", bad[i]), -EINVAL);
	assert_string_equal(c.local_users, "0, 33,4294967294");
	assert_int_equal(set(&c, "local_users", "any"), 0);
	assert_true(config_users_have(c.local_users, 12345));
	assert_int_equal(set(&c, "local_users", ""), 0);
	assert_false(config_users_have(c.local_users, 12345));
}

static void config_parse__lines_comments_blanks(void **state)
{
	struct config c;
	struct heard h;

	assert_int_equal(parse(&c, &h,
			       "# head\n\n  spin=9 # behind\n\tprofile\t=\tlatency\r\n"
			       "interface = veth0,eth1\nlog_file = /tmp/a#b\nprovider ="),
			 0);
	assert_int_equal(c.spin, 9);
	assert_int_equal(c.profile, CONFIG_PROFILE_LATENCY);
	assert_string_equal(c.interface, "veth0,eth1");
	assert_string_equal(c.log_file, "/tmp/a#b");
	assert_string_equal(c.provider, "");
	assert_int_equal(c.source[CONFIG_spin], CONFIG_FROM_USER_FILE);
	assert_int_equal(c.source[CONFIG_umem_size], CONFIG_FROM_DEFAULT);
}

static void config_parse__errors_name_file_and_line(void **state)
{
	struct config c;
	struct heard h;

	assert_int_equal(parse(&c, &h, "spin = 9\nspinn = 1\nspin = x\njust words\nspin = 10\n"),
			 3);
	assert_string_equal(h.text[0], "file:2: unknown option 'spinn'");
	assert_string_equal(h.text[1], "file:3: spin: 'x' is not a number from 0 to 1000000 us");
	assert_string_equal(h.text[2], "file:4: expected 'option = value', found 'just words'");
	assert_int_equal(c.spin, 10);
}

static void config_parse__messages_explain_each_type(void **state)
{
	struct config c;
	struct heard h;

	assert_int_equal(parse(&c, &h, "accelerate=maybe\nprofile=fast\numem_size=1\nbypass=x\nlocal_scope=x\n"),
			 5);
	assert_string_equal(h.text[0], "file:1: accelerate: 'maybe' is neither 0 nor 1");
	assert_string_equal(h.text[1], "file:2: profile: 'fast' is none of default|latency");
	assert_string_equal(h.text[2], "file:3: umem_size: '1' is not a number from 1048576 to "
				       "1073741824 bytes (K, M, G allowed)");
	assert_string_equal(h.text[3], "file:4: bypass: 'x' is not a list of protocol:port[-port]");
	assert_string_equal(h.text[4], "file:5: local_scope: 'x' is neither netns nor path: and an absolute path");
}

static void config_parse__hostile_bytes_are_tamed(void **state)
{
	static const char text[] = "a\033[31m\0b = 1\nspin = \0\nprovider = a\0b\n";
	struct config_reporter reporter;
	struct heard h = { .n = 0 };
	struct config c;

	reporter = (struct config_reporter){ hear, &h };
	config_init(&c);
	assert_int_equal(
		config_parse(&c, text, sizeof(text) - 1, "file", CONFIG_FROM_USER_FILE, &reporter),
		3);
	assert_string_equal(h.text[0], "file:1: unknown option 'a?[31m?b'");
	assert_string_equal(h.text[2], "file:3: provider: 'a?b' holds a control character");
	assert_string_equal(c.provider, "auto");
}

static void config_parse__long_names_are_cut(void **state)
{
	struct config c;
	struct heard h;
	char text[2048];

	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(parse(&c, &h, text), 1);
	assert_non_null(strstr(h.text[0], "aaa...'"));
}

static void config_parse__without_listener(void **state)
{
	struct config_reporter nobody = { NULL, NULL };
	struct config c;

	config_init(&c);
	assert_int_equal(config_parse(&c, "x", 1, "f", CONFIG_FROM_USER_FILE, &nobody), 1);
}

/* --- config_load: files of a temporary directory --- */

struct files {
	char dir[64];
	char system[128], user[128], other[128];
};

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int files_setup(void **state)
{
	static struct files f;
	char path[128];

	strcpy(f.dir, "/tmp/fst-config-XXXXXX");
	if (!mkdtemp(f.dir))
		return -1;
	snprintf(path, sizeof(path), "%s/.config", f.dir);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/.config/fsock", f.dir);
	mkdir(path, 0700);
	snprintf(f.system, sizeof(f.system), "%s/system.conf", f.dir);
	snprintf(f.user, sizeof(f.user), "%s/.config/fsock/fsock.conf", f.dir);
	snprintf(f.other, sizeof(f.other), "%s/other.conf", f.dir);
	*state = &f;
	return 0;
}

static int files_teardown(void **state)
{
	struct files *f = *state;
	char path[128];

	unlink(f->system);
	unlink(f->user);
	unlink(f->other);
	snprintf(path, sizeof(path), "%s/.config/fsock", f->dir);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/.config", f->dir);
	rmdir(path);
	return rmdir(f->dir);
}

static unsigned load(struct config *c, struct heard *h, const struct files *f, bool secure,
		     char *const *environment)
{
	struct config_load_args args = { .environment = environment,
					 .system_file = f->system,
					 .secure = secure,
					 .reporter = { hear, h } };

	h->n = 0;
	return config_load(c, &args);
}

static void config_load__order_of_precedence(void **state)
{
	struct files *f = *state;
	char home[128];
	char *environment[] = { home,
				"FSOCK_SPIN=3",
				"FSOCK_KERNEL_LOOK=4",
				"FSOCK_FROM_RUN=spin,log",
				"FSOCK_TEST_X=1",
				NULL };
	struct config c;
	struct heard h;

	snprintf(home, sizeof(home), "HOME=%s", f->dir);
	write_file(f->system, "spin=1\nkernel_look=1\nclient_datagrams=1\nmax_sockets=100\n");
	write_file(f->user, "spin=2\nkernel_look=2\nclient_datagrams=2\n");
	assert_int_equal(load(&c, &h, f, false, environment), 0);
	assert_int_equal(c.spin, 3);
	assert_int_equal(c.kernel_look, 4);
	assert_int_equal(c.client_datagrams, 2);
	assert_int_equal(c.max_sockets, 100);
	assert_int_equal(c.source[CONFIG_spin], CONFIG_FROM_COMMAND_LINE);
	assert_int_equal(c.source[CONFIG_kernel_look], CONFIG_FROM_ENVIRONMENT);
	assert_int_equal(c.source[CONFIG_client_datagrams], CONFIG_FROM_USER_FILE);
	assert_int_equal(c.source[CONFIG_max_sockets], CONFIG_FROM_SYSTEM_FILE);
	assert_int_equal(c.source[CONFIG_umem_size], CONFIG_FROM_DEFAULT);
	assert_string_equal(config_source_name(c.source[CONFIG_spin]), "command line");
}

static void config_load__wrong_value_keeps_the_weaker_one(void **state)
{
	struct files *f = *state;
	char *environment[] = { "FSOCK_SPIN=lots", "FSOCK_SPINN=1", NULL };
	struct config c;
	struct heard h;

	write_file(f->system, "spin=1\n");
	assert_int_equal(load(&c, &h, f, false, environment), 2);
	assert_int_equal(c.spin, 1);
	assert_string_equal(h.text[0],
			    "environment: spin: 'lots' is not a number from 0 to 1000000 us");
	assert_string_equal(h.text[1], "environment: no option belongs to 'FSOCK_SPINN'");
}

static void config_load__fsock_config_names_the_file(void **state)
{
	struct files *f = *state;
	char home[128], named[160];
	char *environment[] = { home, named, NULL };
	struct config c;
	struct heard h;

	snprintf(home, sizeof(home), "HOME=%s", f->dir);
	snprintf(named, sizeof(named), "FSOCK_CONFIG=%s", f->other);
	write_file(f->system, "");
	write_file(f->user, "spin=2\n");
	write_file(f->other, "spin=77\n");
	assert_int_equal(load(&c, &h, f, false, environment), 0);
	assert_int_equal(c.spin, 77);

	unlink(f->other);
	assert_int_equal(load(&c, &h, f, false, environment), 1);
	assert_non_null(strstr(h.text[0], "cannot be opened (errno 2)"));
	assert_int_equal(c.spin, 50);
}

static void config_load__missing_files_are_silent(void **state)
{
	struct files *f = *state;
	char *environment[] = { "HOME=/nonexistent", NULL };
	struct config c;
	struct heard h;

	unlink(f->system);
	assert_int_equal(load(&c, &h, f, false, environment), 0);
	assert_int_equal(load(&c, &h, f, false, NULL), 0);
}

static void config_load__secure_ignores_the_user(void **state)
{
	struct files *f = *state;
	char home[128];
	char *environment[] = { home, "FSOCK_SPIN=3", NULL };
	struct config c;
	struct heard h;

	snprintf(home, sizeof(home), "HOME=%s", f->dir);
	write_file(f->system, "spin=1\n");
	write_file(f->user, "spin=2\n");
	assert_int_equal(load(&c, &h, f, true, environment), 0);
	assert_int_equal(c.spin, 1);
}

static void config_load__huge_file_is_refused(void **state)
{
	struct files *f = *state;
	FILE *file = fopen(f->system, "w");
	struct config c;
	struct heard h;

	assert_non_null(file);
	for (int i = 0; i < CONFIG_FILE_MAX / 8 + 1; i++)
		fputs("spin=10\n", file);
	fclose(file);
	assert_int_equal(load(&c, &h, f, false, NULL), 1);
	assert_non_null(strstr(h.text[0], "longer than 64 KiB"));
	assert_int_equal(c.spin, 50);
}

static void config_load__directory_is_reported(void **state)
{
	struct files *f = *state;
	struct config_load_args args = { .system_file = f->dir };
	struct config c;

	assert_int_equal(config_load(&c, &args), 1);
}

/* Who names a directory to meet in has local=1 with it, unless that is said to be 0 in the same place or a closer one. */
static void config_load__a_scope_implies_local(void **state)
{
	struct files *f = *state;
	static const struct {
		char *variable[3];
		bool local;
	} cases[] = {
		{ { "FSOCK_LOCAL_SCOPE=netns" }, true }, /* as without */
		{ { "FSOCK_LOCAL_SCOPE=netns", "FSOCK_LOCAL=0" }, false },
		{ { "FSOCK_LOCAL_SCOPE=path:/run" }, true },
		{ { "FSOCK_LOCAL_SCOPE=path:/run", "FSOCK_LOCAL=0" }, false },
		{ { "FSOCK_LOCAL_SCOPE=path:/run", "FSOCK_LOCAL=0", "FSOCK_FROM_RUN=local" }, false },
		{ { "FSOCK_LOCAL_SCOPE=path:/run", "FSOCK_LOCAL=0", "FSOCK_FROM_RUN=local_scope" }, true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char *environment[] = { cases[i].variable[0], cases[i].variable[1], cases[i].variable[2], NULL };
		struct config c;
		struct heard h;

		assert_int_equal(load(&c, &h, f, false, environment), 0);
		assert_int_equal(c.local, cases[i].local);
	}
}

static void config_user_file__order(void **state)
{
	char *all[] = { "HOME=/h", "XDG_CONFIG_HOME=/x", "FSOCK_CONFIG=/f", NULL };
	char *xdg[] = { "HOME=/h", "XDG_CONFIG_HOME=/x", "FSOCK_CONFIG=", NULL };
	char *home[] = { "HOMER=/wrong", "HOME=/h", NULL };
	char *none[] = { NULL };
	char path[CONFIG_PATH_LEN];
	bool named;

	assert_int_equal(config_user_file(all, path, sizeof(path), &named), 0);
	assert_string_equal(path, "/f");
	assert_true(named);
	assert_int_equal(config_user_file(xdg, path, sizeof(path), &named), 0);
	assert_string_equal(path, "/x/fsock/fsock.conf");
	assert_false(named);
	assert_int_equal(config_user_file(home, path, sizeof(path), &named), 0);
	assert_string_equal(path, "/h/.config/fsock/fsock.conf");
	assert_int_equal(config_user_file(none, path, sizeof(path), &named), -ENOENT);
	assert_int_equal(config_user_file(home, path, 27, &named), -ENAMETOOLONG);
	assert_int_equal(config_user_file(home, path, 28, &named), 0);
}

static void config_list_has__elements(void **state)
{
	assert_true(config_list_has("veth0, eth1", "eth1"));
	assert_true(config_list_has("veth0", "veth0"));
	assert_false(config_list_has("veth0,eth10", "eth1"));
	assert_false(config_list_has("", "eth1"));
	assert_false(config_list_has("", ""));
}

static void config_bypass_has__ports_and_ranges(void **state)
{
	assert_true(config_bypass_has("udp:53", IPPROTO_UDP, 53));
	assert_false(config_bypass_has("udp:53", IPPROTO_TCP, 53));
	assert_false(config_bypass_has("udp:53", IPPROTO_UDP, 54));
	assert_true(config_bypass_has("tcp:1,udp:100-200", IPPROTO_UDP, 100));
	assert_true(config_bypass_has("tcp:1,udp:100-200", IPPROTO_UDP, 200));
	assert_false(config_bypass_has("tcp:1,udp:100-200", IPPROTO_UDP, 201));
	assert_false(config_bypass_has("none", IPPROTO_UDP, 53));
	assert_false(config_bypass_has("", IPPROTO_UDP, 53));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(config_init__takes_the_table),
		cmocka_unit_test(config_init__defaults_parse_back),
		cmocka_unit_test(config_option_at__choices_match_the_enums),
		cmocka_unit_test(config_find__folds_case_and_dash),
		cmocka_unit_test(config_set__bool),
		cmocka_unit_test(config_set__number_range_and_unit),
		cmocka_unit_test(config_set__size_suffixes),
		cmocka_unit_test(config_set__choice),
		cmocka_unit_test(config_set__string_length),
		cmocka_unit_test(config_set__bypass_syntax),
		cmocka_unit_test(config_set__scope_syntax),
		cmocka_unit_test(config_set__users_syntax),
		cmocka_unit_test(config_parse__lines_comments_blanks),
		cmocka_unit_test(config_parse__errors_name_file_and_line),
		cmocka_unit_test(config_parse__messages_explain_each_type),
		cmocka_unit_test(config_parse__hostile_bytes_are_tamed),
		cmocka_unit_test(config_parse__long_names_are_cut),
		cmocka_unit_test(config_parse__without_listener),
		cmocka_unit_test_setup_teardown(config_load__order_of_precedence, files_setup,
						files_teardown),
		cmocka_unit_test_setup_teardown(config_load__a_scope_implies_local, files_setup,
						files_teardown),
		cmocka_unit_test_setup_teardown(config_load__wrong_value_keeps_the_weaker_one,
						files_setup, files_teardown),
		cmocka_unit_test_setup_teardown(config_load__fsock_config_names_the_file,
						files_setup, files_teardown),
		cmocka_unit_test_setup_teardown(config_load__missing_files_are_silent, files_setup,
						files_teardown),
		cmocka_unit_test_setup_teardown(config_load__secure_ignores_the_user, files_setup,
						files_teardown),
		cmocka_unit_test_setup_teardown(config_load__huge_file_is_refused, files_setup,
						files_teardown),
		cmocka_unit_test_setup_teardown(config_load__directory_is_reported, files_setup,
						files_teardown),
		cmocka_unit_test(config_user_file__order),
		cmocka_unit_test(config_list_has__elements),
		cmocka_unit_test(config_bypass_has__ports_and_ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
