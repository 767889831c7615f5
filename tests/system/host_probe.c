/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * host_probe.c - asks src/host one question and prints the answer as one line of JSON, so that
 * test_control_plane.py can compare it with what ip, tc and nft say of the same namespace.
 *
 *      host_probe COMMAND [key=value...]
 *
 * `monitor` stays: it prints a line when it listens, and one more for each line it reads.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "host/caps.h"
#include "host/diag.h"
#include "host/link.h"
#include "host/monitor.h"
#include "host/neigh.h"
#include "host/netlink.h"
#include "host/netns.h"
#include "host/policy.h"
#include "host/route.h"

enum { FD_FLOOR = 300, LIST_MAX = 64 };

struct arguments {
	int n;
	char **list;
};

static const char *text_of(const struct arguments *args, const char *key, const char *missing)
{
	size_t len = strlen(key);

	for (int i = 0; i < args->n; i++) {
		if (strncmp(args->list[i], key, len) == 0 && args->list[i][len] == '=')
			return args->list[i] + len + 1;
	}
	return missing;
}

static long number_of(const struct arguments *args, const char *key, long missing)
{
	const char *text = text_of(args, key, NULL);

	return text ? strtol(text, NULL, 0) : missing;
}

static struct ip_addr addr_of(const struct arguments *args, const char *key)
{
	const char *text = text_of(args, key, NULL);
	struct ip_addr none = { 0 };
	unsigned char b[16];

	if (!text)
		return none;
	if (inet_pton(AF_INET, text, b) == 1)
		return ip_addr_v4(b);
	if (inet_pton(AF_INET6, text, b) == 1)
		return ip_addr_v6(b);
	fprintf(stderr, "%s: no address\n", text);
	exit(2);
}

static const char *addr_text(const struct ip_addr *addr, char *to)
{
	if (addr->d[0] == 0 && addr->d[1] == 0)
		return "";
	if (ip_addr_is_v4(addr))
		inet_ntop(AF_INET, addr->b + 12, to, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, addr->b, to, INET6_ADDRSTRLEN);
	return to;
}

static const char *mac_text(const struct eth_addr *mac, char *to)
{
	snprintf(to, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac->b[0], mac->b[1], mac->b[2],
		 mac->b[3], mac->b[4], mac->b[5]);
	return to;
}

static const char *name_of(int ifindex)
{
	static char name[IF_NAMESIZE];

	return ifindex > 0 && if_indextoname((unsigned)ifindex, name) ? name : "";
}

static int index_of(const struct arguments *args)
{
	const char *name = text_of(args, "dev", "");
	int ifindex = (int)if_nametoindex(name);

	if (!ifindex) {
		fprintf(stderr, "dev=%s: no such interface\n", name);
		exit(2);
	}
	return ifindex;
}

static int failed(int error)
{
	printf("{\"error\": \"%s\"}\n", strerrorname_np(-error));
	return 0;
}

static int do_route(struct host_nl *nl, const struct arguments *args)
{
	static const char *const types[] = { "unicast", "local", "broadcast", "multicast" };
	struct host_route_query query = HOST_ROUTE_QUERY(addr_of(args, "dst"));
	const char *oif = text_of(args, "oif", NULL);
	char gateway[INET6_ADDRSTRLEN], prefsrc[INET6_ADDRSTRLEN];
	struct host_route route;
	int ret;

	query.src = addr_of(args, "src");
	query.oif = oif ? (int)if_nametoindex(oif) : 0;
	query.mark = (uint32_t)number_of(args, "mark", 0);
	query.uid = (uint32_t)number_of(args, "uid", HOST_ROUTE_UID_SELF);
	query.tos = (uint8_t)number_of(args, "tos", 0);
	query.proto = (uint8_t)number_of(args, "proto", 0);
	query.sport = (uint16_t)number_of(args, "sport", 0);
	query.dport = (uint16_t)number_of(args, "dport", 0);
	query.connect = number_of(args, "connect", 0);
	ret = host_route_get(nl, &query, &route);
	if (ret < 0)
		return failed(ret);
	printf("{\"type\": \"%s\", \"dev\": \"%s\", \"gateway\": \"%s\", \"prefsrc\": \"%s\", \"mtu\": %u, "
	       "\"locked\": %d, \"hop_limit\": %u, \"expires_ms\": %u}\n",
	       types[route.type], name_of(route.ifindex), addr_text(&route.gateway, gateway),
	       addr_text(&route.prefsrc, prefsrc), route.mtu, route.mtu_locked, route.hop_limit,
	       route.expires_ms);
	return 0;
}

static void print_link(const struct host_link *link)
{
	static const char *const kinds[] = { "other", "loopback", "veth", "virtio" };
	static const char *const roles[] = { "none", "bridge", "bond", "team", "vrf", "other" };
	char mac[18];

	printf("{\"ifindex\": %d, \"name\": \"%s\", \"kind\": \"%s\", \"kind_name\": \"%s\", "
	       "\"driver\": \"%s\", \"mac\": \"%s\", \"ethernet\": %d, \"flags\": %u, \"operstate\": %u, "
	       "\"mtu\": %u, \"mtu6\": %u, \"master\": \"%s\", \"role\": \"%s\", \"xdp_modes\": %u, "
	       "\"xdp_prog\": [%u, %u, %u], \"rx_queues\": %u, \"tx_queues\": %u}",
	       link->ifindex, link->name, kinds[link->kind], link->kind_name, link->driver,
	       link->has_mac ? mac_text(&link->mac, mac) : "", link->ethernet, link->flags,
	       link->operstate, link->mtu, link->mtu6, name_of(link->master), roles[link->role],
	       link->xdp_modes, link->xdp_prog[0], link->xdp_prog[1], link->xdp_prog[2],
	       link->rx_queues, link->tx_queues);
}

static int do_link(struct host_nl *nl, const struct arguments *args)
{
	struct host_link link;
	int ret = host_link_find(nl, text_of(args, "dev", ""), &link);

	if (ret < 0)
		return failed(ret);
	print_link(&link);
	printf("\n");
	return 0;
}

static int do_links(struct host_nl *nl, const struct arguments *args)
{
	struct host_link links[LIST_MAX];
	int room = (int)number_of(args, "room", LIST_MAX);
	int n = host_link_list(nl, links, room);

	if (n < 0)
		return failed(n);
	printf("{\"count\": %d, \"links\": [", n);
	for (int i = 0; i < FS_MIN(n, room); i++) {
		printf("%s", i ? ", " : "");
		print_link(&links[i]);
	}
	printf("]}\n");
	return 0;
}

static int do_addrs(struct host_nl *nl, const struct arguments *args)
{
	struct host_addr addrs[LIST_MAX];
	char addr[INET6_ADDRSTRLEN], broadcast[INET6_ADDRSTRLEN];
	int n = host_addr_list(nl, text_of(args, "dev", NULL) ? index_of(args) : 0, addrs,
			       LIST_MAX);

	if (n < 0)
		return failed(n);
	printf("{\"addrs\": [");
	for (int i = 0; i < FS_MIN(n, LIST_MAX); i++)
		printf("%s{\"dev\": \"%s\", \"addr\": \"%s\", \"prefix\": %u, \"broadcast\": \"%s\", "
		       "\"deprecated\": %d}",
		       i ? ", " : "", name_of(addrs[i].ifindex), addr_text(&addrs[i].addr, addr),
		       addrs[i].prefix_len, addr_text(&addrs[i].broadcast, broadcast),
		       addrs[i].deprecated);
	printf("]}\n");
	return 0;
}

static int do_default(struct host_nl *nl, const struct arguments *args)
{
	int ret = host_link_has_default_route(nl, index_of(args));

	if (ret < 0)
		return failed(ret);
	printf("{\"default\": %d}\n", ret);
	return 0;
}

static int do_netns(struct host_nl *nl, const struct arguments *args)
{
	(void)args;
	printf("{\"inode\": %llu, \"initial\": %d}\n", (unsigned long long)host_netns_inode(),
	       host_netns_is_initial(nl->fd));
	return 0;
}

static void print_neigh(const struct host_neigh *neigh)
{
	char addr[INET6_ADDRSTRLEN], mac[18];

	printf("{\"dev\": \"%s\", \"addr\": \"%s\", \"mac\": \"%s\", \"usable\": %d, \"confirmed\": %d, "
	       "\"failed\": %d, \"state\": %u}",
	       name_of(neigh->ifindex), addr_text(&neigh->addr, addr), mac_text(&neigh->mac, mac),
	       neigh->usable, neigh->confirmed, neigh->failed, neigh->state);
}

static int do_neigh(struct host_nl *nl, const struct arguments *args)
{
	struct ip_addr addr = addr_of(args, "dst");
	struct host_neigh neigh;
	int ret = host_neigh_get(nl, index_of(args), &addr, &neigh);

	if (ret < 0)
		return failed(ret);
	print_neigh(&neigh);
	printf("\n");
	return 0;
}

static int do_use(struct host_nl *nl, const struct arguments *args)
{
	struct ip_addr addr = addr_of(args, "dst");
	int ret = host_neigh_use(nl, index_of(args), &addr);

	if (ret < 0)
		return failed(ret);
	printf("{}\n");
	return 0;
}

static void print_change(const struct host_change *change, void *arg)
{
	int *n = arg;
	char addr[INET6_ADDRSTRLEN];

	printf("%s{\"kind\": %u, \"gone\": %d, \"ifindex\": %d, \"addr\": \"%s\"",
	       (*n)++ ? ", " : "", change->kind, change->gone, change->ifindex,
	       addr_text(&change->addr, addr));
	if (change->kind == HOST_CHANGED_NEIGH) {
		printf(", \"neigh\": ");
		print_neigh(&change->neigh);
	}
	printf("}");
}

static int do_monitor(struct host_nl *nl, const struct arguments *args)
{
	static _Alignas(8) uint8_t buf[HOST_NL_BUF_GOOD];
	struct host_monitor monitor;
	int rcvbuf = (int)number_of(args, "rcvbuf", 0);
	char line[64];
	int ret = host_monitor_open(&monitor, FD_FLOOR, buf, sizeof(buf));

	(void)nl;
	if (ret < 0)
		return failed(ret);
	if (rcvbuf)
		setsockopt(monitor.nl.fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
	printf("{\"fd\": %d}\n", monitor.nl.fd);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		int n = 0;

		printf("{\"changes\": [");
		ret = host_monitor_drain(&monitor, print_change, &n);
		printf("], \"mask\": %d}\n", ret);
		fflush(stdout);
	}
	host_monitor_close(&monitor);
	return 0;
}

/* own=ID[,ID...] */
static unsigned numbers_of(const struct arguments *args, const char *key, uint32_t *to, unsigned n)
{
	char *text = (char *)text_of(args, key, "");
	unsigned count = 0;

	while (*text && count < n) {
		to[count++] = (uint32_t)strtoul(text, &text, 0);
		if (*text == ',')
			text++;
	}
	return count;
}

/* Stays when asked to: stay=1 looks again for each line read, and says whether news came before. */
static int do_policy(struct host_nl *nl, const struct arguments *args)
{
	static _Alignas(8) uint8_t buf[HOST_NL_BUF_GOOD];
	const char *family = text_of(args, "family", "46");
	struct host_policy_query query = {
		.ifindex = text_of(args, "dev", NULL) ? index_of(args) : 0,
		.proto = (uint8_t)number_of(args, "proto", 17),
		.v4 = strchr(family, '4'),
		.v6 = strchr(family, '6'),
		.ignore = (unsigned)number_of(args, "ignore", 0),
	};
	struct host_policy_result result;
	struct host_policy policy;
	uint32_t own[16];
	char line[64];
	int ret = host_policy_open(&policy, FD_FLOOR, buf, sizeof(buf));

	if (ret < 0)
		return failed(ret);
	query.own = own;
	query.n_own = numbers_of(args, "own", own, FS_ARRAY_SIZE(own));
	do {
		int changed = host_policy_changed(&policy);

		ret = host_policy_check(&policy, nl, &query, &result);
		printf("{\"ret\": %d, \"found\": %u, \"unchecked\": %u, \"what\": \"%s\", "
		       "\"changed\": %d}\n",
		       ret, result.found, result.unchecked, result.what, changed);
		fflush(stdout);
	} while (number_of(args, "stay", 0) && fgets(line, sizeof(line), stdin));
	host_policy_close(&policy);
	return 0;
}

static int do_shared(struct host_nl *nl, const struct arguments *args)
{
	static _Alignas(8) uint8_t buf[HOST_NL_BUF_GOOD];
	const char *family = text_of(args, "family", "4");
	struct host_port_query query = {
		.addr = addr_of(args, "addr"),
		.port = (uint16_t)number_of(args, "port", 0),
		.proto = (uint8_t)number_of(args, "proto", 17),
		.v4 = strchr(family, '4'),
		.v6 = strchr(family, '6'),
		.ifindex = text_of(args, "dev", NULL) ? index_of(args) : 0,
	};
	uint32_t own[16];
	uint64_t cookies[16];
	int ret;

	(void)nl;
	query.n_own = numbers_of(args, "own", own, FS_ARRAY_SIZE(own));
	for (unsigned i = 0; i < query.n_own; i++)
		cookies[i] = own[i];
	query.own = cookies;
	ret = host_port_shared(&query, buf, sizeof(buf));
	if (ret < 0)
		return failed(ret);
	printf("{\"shared\": %d}\n", ret);
	return 0;
}

static int do_caps(struct host_nl *nl, const struct arguments *args)
{
	struct host_caps caps;

	(void)nl;
	(void)args;
	host_caps_read(&caps);
	printf("{\"effective\": %llu, \"net_admin\": %d, \"net_raw\": %d, \"bpf\": %d, \"memlock\": %llu, "
	       "\"address_space\": %llu, \"descriptors\": %llu, \"memory_max\": %llu, "
	       "\"kernel\": \"%s\", \"version\": [%u, %u, %u], \"af_xdp\": %d, \"io_uring\": %d, "
	       "\"bpf_load\": %d, \"no_new_privs\": %d, \"seccomp\": %d, \"cpus\": %u}\n",
	       (unsigned long long)caps.effective, caps.net_admin, caps.net_raw, caps.bpf,
	       (unsigned long long)caps.memlock, (unsigned long long)caps.address_space,
	       (unsigned long long)caps.descriptors, (unsigned long long)caps.memory_max,
	       caps.kernel, caps.kernel_major, caps.kernel_minor, caps.kernel_patch, caps.af_xdp,
	       caps.io_uring, caps.bpf_load, caps.no_new_privs, caps.seccomp, caps.cpus);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct host_nl *nl, const struct arguments *args);
} commands[] = {
	{ "addrs", do_addrs }, { "caps", do_caps },	{ "default", do_default },
	{ "link", do_link },   { "links", do_links },	{ "monitor", do_monitor },
	{ "neigh", do_neigh }, { "netns", do_netns },	{ "policy", do_policy },
	{ "route", do_route }, { "shared", do_shared }, { "use", do_use },
};

/* With repeat=N: the mean time of one answer, printed instead of the answer. */
static int repeat(int (*run)(struct host_nl *, const struct arguments *), struct host_nl *nl,
		  const struct arguments *args, long n)
{
	struct timespec from, to;
	FILE *out = stdout;

	stdout = fopen("/dev/null", "w");
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (long i = 0; i < n; i++)
		run(nl, args);
	clock_gettime(CLOCK_MONOTONIC, &to);
	stdout = out;
	printf("{\"ns\": %ld}\n",
	       ((to.tv_sec - from.tv_sec) * 1000000000L + to.tv_nsec - from.tv_nsec) / n);
	return 0;
}

int main(int argc, char **argv)
{
	static _Alignas(8) uint8_t buf[HOST_NL_BUF_GOOD];
	struct arguments args = { .n = argc - 2, .list = argv + 2 };
	struct host_nl nl;
	long n;
	int ret;

	if (argc < 2)
		return 2;
	ret = host_nl_open(&nl, 0, FD_FLOOR, buf, sizeof(buf));
	if (ret < 0) {
		fprintf(stderr, "netlink: %s\n", strerror(-ret));
		return 1;
	}
	n = number_of(&args, "repeat", 0);
	for (size_t i = 0; i < FS_ARRAY_SIZE(commands); i++) {
		if (strcmp(argv[1], commands[i].name) == 0)
			return n ? repeat(commands[i].run, &nl, &args, n)
				 : commands[i].run(&nl, &args);
	}
	fprintf(stderr, "%s: no such command\n", argv[1]);
	return 2;
}
