/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * doctor_links.c - each interface of this network namespace: would sockets on it be accelerated?
 *
 * Follows the attach policy of the library (DESIGN D4) from the outside; the provider is only
 * asked whether it could, nothing is attached.
 */
#include "findings.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/netlink.h>

#include "base/err.h"
#include "base/reason.h"
#include "context/config.h"
#include "grid.h"
#include "host/link.h"
#include "host/netlink.h"
#include "host/netns.h"
#include "host/policy.h"
#include "json.h"
#include "provider/provider.h"
#include "steer/bpf_sys.h"
#include "steer/tap.h"

enum { LINKS_SHOWN = 256 };

static const char interfaces[] = "interfaces";

/* What is said of one interface. */
struct judgement {
	bool listed;	       /* acceleration is wanted on it */
	enum fs_reason reason; /* FS_REASON_none: sockets on it would be accelerated */
	char detail[PROVIDER_WHY_LEN];
	const char *provider; /* "" = none */
	char mode[12];	      /* how frames would be steered, "" = unknown */
	bool unchecked;	      /* part of the host's policy may not be looked at from here */
};

/* What is asked of the kernel, and its buffers. */
struct sockets {
	struct host_nl nl;
	struct host_policy policy;
	bool has_policy; /* policy is open */
	_Alignas(8) uint8_t buf[HOST_NL_BUF_GOOD], policy_buf[HOST_NL_BUF_GOOD];
};

static void decline(struct judgement *j, enum fs_reason reason, const char *detail)
{
	j->reason = reason;
	snprintf(j->detail, sizeof(j->detail), "%s", detail);
}

/* Is acceleration wanted on the interface at all? */
static bool is_listed(struct judgement *j, const struct config *config, struct host_nl *nl,
		      const struct host_link *link, bool initial)
{
	if (link->kind == HOST_LINK_LOOPBACK) {
		decline(j, FS_REASON_loopback, "");
		return false;
	}
	if (config->interface[0]) {
		if (config_list_has(config->interface, link->name))
			return true;
		decline(j, FS_REASON_no_interface, "the option interface names others");
		return false;
	}
	if (link->kind != HOST_LINK_VETH && link->kind != HOST_LINK_VIRTIO) {
		decline(j, FS_REASON_no_interface, "only veth and virtio are taken unasked");
		return false;
	}
	if (initial && host_link_has_default_route(nl, link->ifindex) != 0) {
		decline(j, FS_REASON_default_route, "");
		return false;
	}
	return true;
}

/* Whose XDP program is attached? */
static void judge_attached(struct judgement *j, const struct host_link *link)
{
	char name[BPF_SYS_NAME_LEN], text[80];

	for (size_t i = 0; i < FS_ARRAY_SIZE(link->xdp_prog); i++) {
		uint32_t id = link->xdp_prog[i];

		if (id == 0)
			continue;
		if (bpf_sys_prog_name(id, name) < 0)
			snprintf(name, sizeof(name), "?");
		snprintf(text, sizeof(text), "program %u, %s", id, name);
		decline(j,
			strncmp(name, "fsock_", 6) == 0 ? FS_REASON_interface_busy
							: FS_REASON_foreign_xdp,
			text);
	}
}

/* The reason of a provider's refusal, as the contract of provider_ops.open() maps them. */
static enum fs_reason reason_of(int error)
{
	switch (error) {
	case -EBUSY:
		return FS_REASON_interface_busy;
	case -EEXIST:
		return FS_REASON_foreign_xdp;
	case -EPERM:
		return FS_REASON_privilege;
	case -ENOBUFS:
		return FS_REASON_memlock;
	case -ENOMEM:
		return FS_REASON_memory;
	case -EMFILE:
		return FS_REASON_descriptors;
	case -ENETDOWN:
		return FS_REASON_interface_down;
	default:
		return FS_REASON_no_af_xdp;
	}
}

static const char *xdp_option(const struct config *config)
{
	switch (config->xdp_mode) {
	case CONFIG_XDP_GENERIC:
		return "mode=generic";
	case CONFIG_XDP_NATIVE:
		return "mode=native";
	default:
		return "";
	}
}

/* Ask the providers, best first; the first that could serve is the one. */
static void judge_provider(struct judgement *j, const struct config *config,
			   const struct host_link *link)
{
	struct provider_caps caps = { 0 };
	char why[PROVIDER_WHY_LEN] = "";
	struct provider_open_args args = {
		.ifindex = (uint32_t)link->ifindex,
		.ifname = link->name,
		.driver = link->driver,
		.mac = link->mac,
		.mtu = link->mtu,
		.option = xdp_option(config),
		.why = why,
	};
	int rc = -EOPNOTSUPP;

	for (unsigned kind = 0; kind < provider_count(); kind++) {
		const struct provider_ops *ops = provider_at(kind);

		if (strcmp(config->provider, "auto") != 0 &&
		    strcmp(config->provider, ops->name) != 0)
			continue;
		rc = ops->probe(&args, &caps);
		if (rc == 0) {
			j->provider = ops->name;
			memcpy(j->mode, caps.mode, sizeof(j->mode));
			return;
		}
	}
	decline(j, reason_of(rc), why[0] ? why : "no provider of that name");
}

/* Would the host's own rules be bypassed? XDP was looked at before, by name. */
static void judge_policy(struct judgement *j, struct sockets *sockets, const struct host_link *link)
{
	struct host_policy_query query = {
		.ifindex = link->ifindex,
		.proto = IPPROTO_UDP,
		.v4 = true,
		.v6 = true,
		.ignore = HOST_POLICY_XDP,
	};
	struct host_policy_result result;
	int rc;

	if (!sockets->has_policy)
		return;
	rc = host_policy_check(&sockets->policy, &sockets->nl, &query, &result);
	if (rc == 1)
		decline(j, FS_REASON_policy, result.what);
	j->unchecked = result.unchecked != 0;
}

static void judge(struct judgement *j, const struct config *config, struct sockets *sockets,
		  const struct host_link *link, bool initial)
{
	*j = (struct judgement){ .provider = "", .reason = FS_REASON_none };
	if (link->kind != HOST_LINK_LOOPBACK)
		judge_provider(j, config, link);
	j->listed = is_listed(j, config, &sockets->nl, link, initial);
	if (!j->listed)
		return;
	if (j->reason == FS_REASON_none && (!link->ethernet || !link->has_mac))
		decline(j, FS_REASON_interface_kind, "not an Ethernet");
	if (j->reason == FS_REASON_none && link->role != HOST_LINK_MASTERLESS)
		decline(j, FS_REASON_interface_kind, "");
	if (j->reason == FS_REASON_none && !(link->flags & IFF_UP))
		decline(j, FS_REASON_interface_down, "");
	if (j->reason == FS_REASON_none && link->xdp_modes)
		judge_attached(j, link);
	if (j->reason == FS_REASON_none && steer_tap_held((uint32_t)link->ifindex))
		decline(j, FS_REASON_interface_busy, "packet sockets");
	if (j->reason == FS_REASON_none && config->policy == CONFIG_POLICY_HONOUR)
		judge_policy(j, sockets, link);
}

/* What the attached program costs others on the interface, in generic mode as bench/run bystander and bystander_tcp
 * measured it on veth (see status.md): up to a sixth of messages and requests that wait for each other, nothing of what
 * fills segments. For the table, and in words. */
struct cost {
	const char *cell, *words;
};

static struct cost bystander_cost(const char *mode)
{
	if (strcmp(mode, "generic") == 0)
		return (struct cost){ "0 to 15 %", "up to some 15 % of its requests, bulk streams nothing," };
	if (strcmp(mode, "native") == 0)
		return (struct cost){ "up to half", "up to half of its speed" };
	return (struct cost){ "-", "nothing" };
}

static const char *driver_of(const struct host_link *link)
{
	if (link->driver[0])
		return link->driver;
	return link->kind_name[0] ? link->kind_name : "-";
}

/* Receive queues that a port would serve. */
static uint32_t queues_served(const struct config *config, const struct host_link *link)
{
	uint32_t most = config->queues ? config->queues : PROVIDER_MAX_QUEUES;

	return FS_MIN(link->rx_queues, FS_MIN(most, (uint32_t)PROVIDER_MAX_QUEUES));
}

static void add_queues(struct findings *findings, const struct config *config,
		       const struct host_link *link)
{
	struct finding *f = finding_add(findings, FINDING_NOTE, interfaces, "queues",
					"%s: %u of %u receive queues are served; what arrives on the others "
					"reaches programs through the kernel",
					link->name, queues_served(config, link), link->rx_queues);

	if (config->queues)
		finding_mend(f, "fsock run --queues=0 -- PROGRAM");
	else
		finding_mend(f, "ethtool -L %s combined %u", link->name, (unsigned)PROVIDER_MAX_QUEUES);
}

static void add_finding(struct findings *findings, const struct config *config,
			const struct host_link *link, const struct judgement *j)
{
	const struct fs_reason_info *info = fs_reason_info(j->reason);
	/* What nobody asked for is no fault, nor is a fast path that is in use. */
	bool wrong = j->listed && j->reason != FS_REASON_interface_busy;
	struct finding *f;

	if (j->unchecked && j->listed)
		finding_mend(
			finding_add(findings, FINDING_NOTE, interfaces, "policy_unchecked",
				    "%s: netfilter, xfrm, cgroup or tc rules may exist that cannot "
				    "be looked at without CAP_NET_ADMIN",
				    link->name),
			"sudo fsock doctor");
	if (j->reason == FS_REASON_none) {
		finding_add(
			findings, FINDING_FINE, interfaces, link->name,
			"accelerated by %s, %s mode; costs other traffic of the interface %s while "
			"attached",
			j->provider, j->mode, bystander_cost(j->mode).words);
		if (queues_served(config, link) < link->rx_queues)
			add_queues(findings, config, link);
		return;
	}
	f = finding_add(findings, wrong ? FINDING_WRONG : FINDING_NOTE, interfaces, link->name,
			"not accelerated (%s): %s%s%s", info->name,
			j->reason == FS_REASON_no_interface ? "not asked for" : info->text,
			j->detail[0] ? "; " : "", j->detail);
	if (info->remedy[0] && j->reason != FS_REASON_loopback)
		finding_mend(f, "%s", info->remedy);
	if (j->reason == FS_REASON_no_interface && !config->interface[0])
		finding_mend(f, "fsock run --interface=%s -- PROGRAM", link->name);
}

static cJSON *link_json(const struct config *config, const struct host_link *link,
			const struct judgement *j)
{
	const struct fs_reason_info *info = fs_reason_info(j->reason);
	cJSON *object = cJSON_CreateObject();

	cJSON_AddStringToObject(object, "name", link->name);
	cJSON_AddNumberToObject(object, "ifindex", link->ifindex);
	json_add_text(object, "driver", link->driver);
	json_add_text(object, "kind", link->kind_name);
	cJSON_AddNumberToObject(object, "queues", queues_served(config, link));
	cJSON_AddNumberToObject(object, "rx_queues", link->rx_queues);
	cJSON_AddNumberToObject(object, "tx_queues", link->tx_queues);
	cJSON_AddNumberToObject(object, "mtu", link->mtu);
	cJSON_AddBoolToObject(object, "up", link->flags & IFF_UP);
	cJSON_AddBoolToObject(object, "listed", j->listed);
	cJSON_AddBoolToObject(object, "accelerated", j->reason == FS_REASON_none);
	json_add_text(object, "reason", j->reason == FS_REASON_none ? NULL : info->name);
	json_add_text(object, "detail", j->detail);
	json_add_text(object, "provider", j->provider);
	json_add_text(object, "xdp_mode", j->mode);
	json_add_text(object, "bystanders", bystander_cost(j->mode).cell);
	return object;
}

static void add_row(struct grid *grid, const struct host_link *link, const struct judgement *j)
{
	grid_add(grid, "%s", link->name);
	grid_add(grid, "%s", driver_of(link));
	grid_add(grid, "%u", link->rx_queues);
	grid_add(grid, "%u", link->mtu);
	grid_add(grid, "%s", link->flags & IFF_UP ? "up" : "down");
	grid_add(grid, "%s", j->mode[0] ? j->mode : "-");
	grid_add(grid, "%s", j->listed ? "yes" : "no");
	grid_add(grid, "%s", j->reason == FS_REASON_none ? "yes" : fs_reason_info(j->reason)->name);
	grid_add(grid, "%s", bystander_cost(j->mode).cell);
}

/* Every named interface must exist. */
static void check_names(struct findings *findings, const struct config *config,
			const struct host_link *links, int n)
{
	char names[sizeof(config->interface)], *name, *rest = NULL;

	snprintf(names, sizeof(names), "%s", config->interface);
	for (name = strtok_r(names, ", \t", &rest); name; name = strtok_r(NULL, ", \t", &rest)) {
		int i = 0;

		while (i < n && strcmp(links[i].name, name) != 0)
			i++;
		if (i == n)
			finding_mend(
				finding_add(findings, FINDING_WRONG, interfaces, name,
					    "named by the option interface, does not exist here"),
				"ip link");
	}
}

static void judge_all(struct findings *findings, const struct config *config,
		      struct sockets *sockets, cJSON *list, struct grid *grid)
{
	struct host_link *links = calloc(LINKS_SHOWN, sizeof(*links));
	int n = links ? host_link_list(&sockets->nl, links, LINKS_SHOWN) : -ENOMEM;
	bool initial = host_netns_is_initial(sockets->nl.fd);
	unsigned n_listed = 0;

	if (n < 0)
		finding_add(findings, FINDING_WRONG, interfaces, "netlink",
			    "interfaces cannot be listed: %s", strerror(-n));
	for (int i = 0; i < FS_MIN(n, (int)LINKS_SHOWN); i++) {
		struct judgement j;

		judge(&j, config, sockets, &links[i], initial);
		n_listed += j.listed;
		add_finding(findings, config, &links[i], &j);
		add_row(grid, &links[i], &j);
		cJSON_AddItemToArray(list, link_json(config, &links[i], &j));
	}
	if (n >= 0) {
		check_names(findings, config, links, FS_MIN(n, (int)LINKS_SHOWN));
		if (n_listed == 0)
			finding_mend(
				finding_add(findings, FINDING_WRONG, interfaces, "none",
					    "acceleration is wanted on no interface here"),
				"name one: --interface=NAME, or interface = NAME in fsock.conf");
	}
	free(links);
}

cJSON *doctor_links(struct findings *findings, const struct config *config, bool print)
{
	static const char heads[] =
		"INTERFACE|DRIVER|QUEUES|MTU|STATE|XDP MODE|LISTED|ACCELERATED|COST TO OTHERS";
	struct sockets *sockets = calloc(1, sizeof(*sockets));
	cJSON *list = cJSON_CreateArray();
	struct grid grid;
	int rc = -ENOMEM;

	if (sockets)
		rc = host_nl_open(&sockets->nl, NETLINK_ROUTE, 3, sockets->buf,
				  sizeof(sockets->buf));
	if (rc < 0) {
		finding_add(findings, FINDING_WRONG, interfaces, "netlink", "no netlink socket: %s",
			    strerror(-rc));
		free(sockets);
		return list;
	}
	sockets->has_policy = host_policy_open(&sockets->policy, 3, sockets->policy_buf,
					       sizeof(sockets->policy_buf)) == 0;
	grid_init(&grid, heads);
	judge_all(findings, config, sockets, list, &grid);
	if (print)
		grid_print(&grid, "", stdout);
	grid_free(&grid);
	if (sockets->has_policy)
		host_policy_close(&sockets->policy);
	host_nl_close(&sockets->nl);
	free(sockets);
	return list;
}
