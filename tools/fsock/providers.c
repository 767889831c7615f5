/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * providers.c - `fsock providers`: the ways to move frames, best first, and what each says of each interface.
 *
 * A provider is only probed, which changes nothing: that an interface is held by another process, or that
 * the self-test fails, shows when a program opens it. Whether acceleration is wanted on an interface at
 * all is `fsock doctor`'s to tell.
 */
#include "command.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "context/config.h"
#include "grid.h"
#include "host/link.h"
#include "host/netlink.h"
#include "json.h"
#include "launch.h"
#include "provider/provider.h"

enum { LINKS_SHOWN = 256 };

/* What is said of one provider on one interface. */
struct offer {
	const struct provider_ops *ops;
	int error; /* 0 or -errno of the probe */
	bool chosen; /* the first of those that may be used and can */
	struct provider_caps caps;
	char why[PROVIDER_WHY_LEN];
};

struct output {
	struct grid grid;
	cJSON *list;
	unsigned served; /* interfaces that some provider can serve */
};

static bool allowed(const struct config *config, const struct provider_ops *ops)
{
	return strcmp(config->provider, "auto") == 0 || strcmp(config->provider, ops->name) == 0;
}

static const char *option_of(const struct config *config)
{
	static const char *const modes[] = { "", "mode=generic", "mode=native" };

	return modes[config->xdp_mode];
}

static void probe(const struct config *config, const struct host_link *link, unsigned kind, struct offer *o)
{
	const struct provider_open_args args = {
		.kind = kind,
		.n_queues = 1,
		.ifindex = (uint32_t)link->ifindex,
		.ifname = link->name,
		.driver = link->driver,
		.mac = link->mac,
		.mtu = link->mtu,
		.option = option_of(config),
		.why = o->why,
	};

	o->ops = provider_at(kind);
	if (!link->ethernet || !link->has_mac) {
		o->error = -1;
		snprintf(o->why, sizeof(o->why), "%s", "the interface is not an Ethernet");
		return;
	}
	o->error = o->ops->probe(&args, &o->caps);
}

static const char *verdict(const struct config *config, const struct offer *o)
{
	if (o->error)
		return "cannot";
	if (o->chosen)
		return "first choice";
	return allowed(config, o->ops) ? "can" : "not allowed";
}

static const char *explanation(const struct config *config, const struct offer *o)
{
	if (o->error)
		return o->why;
	return allowed(config, o->ops) ? "" : "the option provider names another";
}

static void add_json(struct output *out, const struct config *config, const struct host_link *link,
		     unsigned rank, const struct offer *o)
{
	cJSON *object = cJSON_CreateObject();

	cJSON_AddStringToObject(object, "interface", link->name);
	cJSON_AddNumberToObject(object, "rank", rank);
	cJSON_AddStringToObject(object, "provider", o->ops->name);
	cJSON_AddBoolToObject(object, "can", o->error == 0);
	cJSON_AddBoolToObject(object, "allowed", allowed(config, o->ops));
	cJSON_AddBoolToObject(object, "chosen", o->chosen);
	json_add_text(object, "mode", o->caps.mode);
	json_add_text(object, "why_not", explanation(config, o));
	cJSON_AddItemToArray(out->list, object);
}

static void add_row(struct output *out, const struct config *config, const struct host_link *link,
		    unsigned rank, const struct offer *o)
{
	const char *text = explanation(config, o);

	grid_add(&out->grid, "%s", link->name);
	grid_add(&out->grid, "%u", rank);
	grid_add(&out->grid, "%s", o->ops->name);
	grid_add(&out->grid, "%s", o->caps.mode[0] ? o->caps.mode : "-");
	grid_add(&out->grid, "%s", verdict(config, o));
	grid_add(&out->grid, "%s", text[0] ? text : "-");
}

static void judge(struct output *out, const struct config *config, const struct host_link *link)
{
	bool chosen = false;

	for (unsigned kind = 0; kind < provider_count(); kind++) {
		struct offer o = { .error = 0 };

		probe(config, link, kind, &o);
		o.chosen = !chosen && o.error == 0 && allowed(config, o.ops);
		chosen |= o.chosen;
		add_row(out, config, link, kind + 1, &o);
		add_json(out, config, link, kind + 1, &o);
	}
	out->served += chosen;
}

/* Number of interfaces looked at, or -errno. */
static int judge_all(struct output *out, const struct config *config)
{
	struct host_link *links = calloc(LINKS_SHOWN, sizeof(*links));
	uint8_t *buf = malloc(HOST_NL_BUF_GOOD);
	struct host_nl nl;
	int n = links && buf ? host_nl_open(&nl, NETLINK_ROUTE, 0, buf, HOST_NL_BUF_GOOD) : -ENOMEM;

	if (n == 0) {
		n = host_link_list(&nl, links, LINKS_SHOWN);
		host_nl_close(&nl);
	}
	for (int i = 0; i < FS_MIN(n, (int)LINKS_SHOWN); i++)
		if (links[i].kind != HOST_LINK_LOOPBACK)
			judge(out, config, &links[i]);
	free(links);
	free(buf);
	return n;
}

static int providers_main(int argc, char **argv)
{
	struct config_load_args args = {
		.system_file = FSOCK_SYSCONFDIR "/fsock/fsock.conf",
	};
	struct output out = { .served = 0 };
	struct config config;
	bool json = false;
	int n;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			json = true;
		else if (launch_take_option(&command_providers, argv[i]) != 0)
			return EXIT_USAGE;
	}
	args.environment = environ; /* with the options just taken */
	config_load(&config, &args); /* what is wrong with an option, doctor tells */
	grid_init(&out.grid, "INTERFACE|RANK|PROVIDER|MODE|VERDICT|WHY NOT");
	out.list = cJSON_CreateArray();
	n = judge_all(&out, &config);
	if (n < 0)
		command_warn(&command_providers, "interfaces cannot be listed: %s", strerror(-n));
	if (json) {
		json_finish(out.list, false, stdout);
	} else {
		grid_print(&out.grid, "", stdout);
		cJSON_Delete(out.list);
	}
	grid_free(&out.grid);
	return out.served ? EXIT_FINE : EXIT_FINDINGS;
}

const struct command command_providers = {
	.name = "providers",
	.usage = "[--json] [--OPTION=VALUE]...",
	.summary = "list the ways to move frames, and which serves which interface",
	.help = "For each interface of this network namespace but loopback, each provider in\n"
		"the order in which they are tried, whether it can serve the interface, and\n"
		"if not, why. Options given here count as they would with `fsock run`.\n"
		"Nothing is opened: an interface may be held by another process all the same.\n\n"
		"  --json           for machines\n\n"
		"Exit status: 0 some interface can be served; 1 none.\n",
	.main = providers_main,
};
