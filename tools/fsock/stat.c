/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stat.c - `fsock stat`: sockets, ports and counters of a running program, once or again and
 * again.
 *
 * Counters run freely; rates are differences of two snapshots over the time between them.
 */
#include "command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/counter.h"
#include "base/err.h"
#include "grid.h"
#include "json.h"
#include "links.h"
#include "process.h"
#include "provider/provider.h"
#include "sockets.h"

enum {
	RX_FRAMES = offsetof(struct provider_stats, rx_frames) / sizeof(uint64_t),
	TX_FRAMES = offsetof(struct provider_stats, tx_frames) / sizeof(uint64_t),
};

struct stat_options {
	bool json, all;
	double watch; /* seconds between two looks, 0 = one look */
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* Whole events per second. */
static uint64_t rate(uint64_t value, uint64_t before, double seconds)
{
	return (uint64_t)((double)(value - before) / seconds);
}

static bool is_drop(const char *name)
{
	return strncmp(name, "drop_", 5) == 0;
}

/* Name of counter @i of a stack that may be newer than we are. */
static const char *counter_name(uint32_t i, char unknown[24])
{
	const struct fs_counter_info *info = fs_counter_info(i);

	snprintf(unknown, 24, "counter-%u", i);
	return info ? info->name : unknown;
}

/* The same stack in an earlier look, NULL = it was not there. */
static const struct stats_snapshot *earlier(const struct process_view *former,
					    const struct stats_snapshot *stack)
{
	for (unsigned i = 0; former && i < former->n_stacks; i++) {
		const struct stats_head *head = &former->stacks[i].head;

		if (head->stack_id == stack->head.stack_id &&
		    head->created_ns == stack->head.created_ns)
			return &former->stacks[i];
	}
	return NULL;
}

static uint64_t counter_before(const struct stats_snapshot *former, uint32_t i)
{
	return former && i < former->n_counters ? former->counters[i] : 0;
}

/* --- JSON --- */

static void add_counters(cJSON *root, const struct stats_snapshot *stack,
			 const struct stats_snapshot *former, double seconds,
			 const struct stat_options *options)
{
	cJSON *counters = cJSON_AddObjectToObject(root, "counters");
	cJSON *drops = cJSON_AddObjectToObject(root, "drops");
	cJSON *rates = former ? cJSON_AddObjectToObject(root, "rates") : NULL;
	char unknown[24];

	for (uint32_t i = 0; i < stack->n_counters; i++) {
		const char *name = counter_name(i, unknown);
		uint64_t value = stack->counters[i], more = value - counter_before(former, i);

		if (value == 0 && !options->all)
			continue;
		json_add_u64(is_drop(name) ? drops : counters, name, value);
		if (rates && more)
			cJSON_AddNumberToObject(rates, name, (double)more / seconds);
	}
}

static cJSON *stack_json(const struct stats_snapshot *stack, const struct stats_snapshot *former,
			 double seconds, const struct stat_options *options)
{
	cJSON *root = cJSON_CreateObject(), *list;

	cJSON_AddNumberToObject(root, "id", stack->head.stack_id);
	cJSON_AddNumberToObject(root, "owner_pid", stack->head.owner_pid);
	json_add_text(root, "comm", stack->head.comm);
	json_add_text(root, "profile", stack->head.profile);
	list = cJSON_AddArrayToObject(root, "processes");
	for (unsigned i = 0; i < STATS_MAX_PROCS; i++) {
		if (stack->head.procs[i])
			cJSON_AddItemToArray(list, cJSON_CreateNumber(stack->head.procs[i]));
	}
	list = cJSON_AddArrayToObject(root, "ports");
	for (unsigned i = 0; i < stack->n_ports; i++)
		cJSON_AddItemToArray(list, port_json(&stack->ports[i]));
	cJSON_AddNumberToObject(root, "without_fd", stack->head.n_bare);
	list = cJSON_AddArrayToObject(root, "sockets");
	for (unsigned i = 0; i < stack->n_socks; i++)
		cJSON_AddItemToArray(list, socket_json(&stack->socks[i], stack));
	links_json(root, stack);
	add_counters(root, stack, former, seconds, options);
	return root;
}

static void print_json(const struct process_view *view, const struct process_view *former,
		       double seconds, const struct stat_options *options)
{
	cJSON *root = process_json(view), *stacks = cJSON_AddArrayToObject(root, "stacks");

	for (unsigned i = 0; i < view->n_stacks; i++)
		cJSON_AddItemToArray(stacks,
				     stack_json(&view->stacks[i], earlier(former, &view->stacks[i]),
						seconds, options));
	json_finish(root, options->watch > 0, stdout);
}

/* --- text --- */

static void print_ports(const struct stats_snapshot *stack, const struct stats_snapshot *former,
			double seconds)
{
	struct grid grid;

	grid_init(&grid, former ? "PORT|QUEUES|PROVIDER|MODE|STATE|FRAMES|FREE|RX/S|TX/S"
				: "PORT|QUEUES|PROVIDER|MODE|STATE|FRAMES|FREE|RX|TX");
	for (unsigned i = 0; i < stack->n_ports; i++) {
		const struct stats_port *port = &stack->ports[i];
		uint64_t rx = port->counter[RX_FRAMES], tx = port->counter[TX_FRAMES];

		if (former && i < former->n_ports) {
			rx = rate(rx, former->ports[i].counter[RX_FRAMES], seconds);
			tx = rate(tx, former->ports[i].counter[TX_FRAMES], seconds);
		}
		grid_add(&grid, "%s", port->ifname);
		grid_add(&grid, "%u of %u", port->queues, port->rx_queues);
		grid_add(&grid, "%s", port->provider);
		grid_add(&grid, "%s", port->mode);
		grid_add(&grid, "%s", port->error ? strerror(-port->error) : "up");
		grid_add(&grid, "%u", port->frames_total);
		grid_add(&grid, "%u", port->frames_free);
		grid_add(&grid, "%" PRIu64, rx);
		grid_add(&grid, "%" PRIu64, tx);
	}
	grid_print(&grid, "  ", stdout);
	grid_free(&grid);
	for (unsigned i = 0; i < stack->n_ports; i++)
		if (stack->ports[i].note[0])
			printf("    %s has less than it could: %s\n", stack->ports[i].ifname,
			       stack->ports[i].note);
}

/* Port counters beyond the traffic in the table: what went wrong there. */
static void print_port_counters(const struct stats_snapshot *stack, bool all)
{
	struct grid grid;

	grid_init(&grid, "PORT|COUNTER|VALUE");
	for (unsigned i = 0; i < stack->n_ports; i++) {
		for (unsigned c = 0; port_counter_name(c); c++) {
			if (stack->ports[i].counter[c] == 0 && !all)
				continue;
			grid_add(&grid, "%s", stack->ports[i].ifname);
			grid_add(&grid, "%s", port_counter_name(c));
			grid_add(&grid, "%" PRIu64, stack->ports[i].counter[c]);
		}
	}
	grid_print(&grid, "  ", stdout);
	grid_free(&grid);
}

static void print_socks(const struct stats_snapshot *stack, const struct stats_snapshot *former,
			double seconds)
{
	char name[SOCKET_NAME_LEN];
	struct grid grid;

	grid_init(&grid,
		  former ? "FD|PID|SOCKET|WAY|RX FAST/S|RX KERNEL/S|TX FAST/S|TX KERNEL/S|DROPS|"
			   "QUEUED"
			 : "FD|PID|SOCKET|WAY|RX FAST|RX KERNEL|TX FAST|TX KERNEL|DROPS|QUEUED");
	for (unsigned i = 0; i < stack->n_socks; i++) {
		const struct stats_sock *sock = &stack->socks[i], *old;
		const char *by = socket_by(sock);
		const uint64_t value[] = { sock->rx_fast, sock->rx_kernel, sock->tx_fast,
					   sock->tx_kernel };
		uint64_t before[4] = { 0 };

		if (links_has(sock) && !(sock->link == STATS_ANY_LINK && sock->accelerated))
			continue;
		old = socket_before(former, sock->cookie);
		if (old)
			memcpy(before, &old->rx_fast, sizeof(before));
		if (sock->fd == STATS_NO_FD)
			grid_add(&grid, "none");
		else if (sock->fd < 0)
			grid_add(&grid, "-");
		else
			grid_add(&grid, "%d", sock->fd);
		grid_add(&grid, "%u", sock->pid);
		grid_add(&grid, "%s", socket_name(sock, name));
		grid_add(&grid, "%s", strcmp(by, "interface") == 0 ? "fast" : by);
		for (unsigned v = 0; v < FS_ARRAY_SIZE(value); v++)
			grid_add(&grid, "%" PRIu64,
				 former ? rate(value[v], before[v], seconds) : value[v]);
		grid_add(&grid, "%" PRIu64, sock->drops);
		grid_add(&grid, "%u", sock->queued_bytes);
	}
	grid_print(&grid, "  ", stdout);
	grid_free(&grid);
}
static_assert(offsetof(struct stats_sock, tx_kernel) - offsetof(struct stats_sock, rx_fast) == 24,
	      "the four datagram counts lie side by side");

/* Counters, drops apart from the rest. */
static void print_counters(const struct stats_snapshot *stack, const struct stats_snapshot *former,
			   double seconds, bool drops, bool all)
{
	struct grid grid;
	char unknown[24];

	grid_init(&grid,
		  drops ? former ? "DROPS|VALUE|PER SECOND|UNIT|REASON" : "DROPS|VALUE|UNIT|REASON"
		  : former ? "COUNTER|VALUE|PER SECOND|UNIT|MEANING"
			   : "COUNTER|VALUE|UNIT|MEANING");
	for (uint32_t i = 0; i < stack->n_counters; i++) {
		const struct fs_counter_info *info = fs_counter_info(i);
		const char *name = counter_name(i, unknown);
		uint64_t more = stack->counters[i] - counter_before(former, i);

		if (is_drop(name) != drops || (stack->counters[i] == 0 && !all))
			continue;
		grid_add(&grid, "%s", name);
		grid_add(&grid, "%" PRIu64, stack->counters[i]);
		if (former)
			grid_add(&grid, "%.0f", (double)more / seconds);
		grid_add(&grid, "%s", info ? info->unit : "");
		grid_add(&grid, "%s", info ? info->help : "unknown to this version");
	}
	grid_print(&grid, "  ", stdout);
	grid_free(&grid);
}

static void print_stack(const struct stats_snapshot *stack, const struct stats_snapshot *former,
			double seconds, const struct stat_options *options)
{
	unsigned n_procs = 0;

	for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
		n_procs += stack->head.procs[i] != 0;
	printf("stack %u of %s (pid %u), profile %s, driven by %u process%s\n",
	       stack->head.stack_id, stack->head.comm, stack->head.owner_pid, stack->head.profile,
	       n_procs, n_procs == 1 ? "" : "es");
	print_ports(stack, former, seconds);
	print_port_counters(stack, options->all);
	print_socks(stack, former, seconds);
	links_print(stack, former, seconds, stdout);
	if (stack->head.n_bare)
		printf("    %u connections have no descriptor; the first of them are listed\n", stack->head.n_bare);
	print_counters(stack, former, seconds, false, options->all);
	print_counters(stack, former, seconds, true, options->all);
}

static void print_text(const struct process_view *view, const struct process_view *former,
		       double seconds, const struct stat_options *options)
{
	if (view->note[0])
		printf("%s (pid %d): %s\n", view->comm, view->pid, view->note);
	if (view->remedy[0])
		printf("  remedy: %s\n", view->remedy);
	for (unsigned i = 0; i < view->n_stacks; i++)
		print_stack(&view->stacks[i], earlier(former, &view->stacks[i]), seconds, options);
}

/* One look; @former is the look before it, @seconds ago, or NULL. */
static void print(const struct process_view *view, const struct process_view *former,
		  double seconds, const struct stat_options *options)
{
	if (options->json)
		print_json(view, former, seconds, options);
	else
		print_text(view, former, seconds, options);
}

/* --- the command --- */

static int look(struct process_view *view, int pid)
{
	int rc = process_look(view, pid);

	if (rc < 0)
		command_warn(&command_stat, "%d: %s", pid, process_error(rc));
	return rc;
}

/* Until the process ends or an interrupt comes. */
static int watch(const struct stat_options *options, int pid)
{
	struct timespec pause = { (time_t)options->watch,
				  (long)((options->watch - (double)(time_t)options->watch) * 1e9) };
	struct process_view view[2];
	unsigned which = 0;
	double before = now();

	if (look(&view[0], pid) < 0)
		return EXIT_FINDINGS;
	print(&view[0], NULL, 1, options);
	while (fflush(stdout) == 0 && nanosleep(&pause, NULL) == 0) {
		double at = now();

		if (process_look(&view[!which], pid) < 0)
			break;
		print(&view[!which], &view[which], at - before, options);
		process_free(&view[which]);
		which = !which;
		before = at;
	}
	process_free(&view[which]);
	return EXIT_FINE;
}

static int stat_main(int argc, char **argv)
{
	struct stat_options options = { .watch = 0 };
	struct process_view view;
	const char *process = NULL;
	int pid, status;
	char *end;

	for (int i = 1; i < argc; i++) {
		if (argv[i][0] != '-' && !process) {
			process = argv[i];
		} else if (strcmp(argv[i], "--json") == 0) {
			options.json = true;
		} else if (strcmp(argv[i], "--all") == 0) {
			options.all = true;
		} else if (strncmp(argv[i], "--watch=", 8) == 0) {
			options.watch = strtod(argv[i] + 8, &end);
			if (*end || !(options.watch >= 0.01 && options.watch <= 86400))
				return command_misused(&command_stat,
						       "seconds from 0.01 to 86400, not",
						       argv[i] + 8);
		} else {
			return command_misused(&command_stat, argv[i][0] == '-' ? "no such option:" : "one process id, not also",
					       argv[i]);
		}
	}
	pid = process ? command_pid(process) : 0;
	if (!pid)
		return command_misused(&command_stat, "expected one process id", NULL);
	if (options.watch > 0)
		return watch(&options, pid);
	if (look(&view, pid) < 0)
		return EXIT_FINDINGS;
	status = view.n_stacks ? EXIT_FINE : EXIT_FINDINGS;
	print(&view, NULL, 1, &options);
	process_free(&view);
	return status;
}

const struct command command_stat = {
	.name = "stat",
	.usage = "[--json] [--all] [--watch=SECONDS] PID",
	.summary = "show sockets, ports, counters and drops of a running program",
	.help = "Reads the program's shared statistics; the program notices nothing.\n\n"
		"  --all            counters that are zero, too\n"
		"  --watch=SECONDS  again and again with rates per second, until the end\n"
		"  --json           for machines; with --watch one object per line\n\n"
		"Exit status: 0; 1 when there is nothing to show.\n",
	.main = stat_main,
};
