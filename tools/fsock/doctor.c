/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * doctor.c - `fsock doctor`: would programs be accelerated here, and if not, what to run.
 *
 * Looks only: nothing is attached, opened for traffic or changed. The looking is in
 * doctor_kernel.c and doctor_links.c; here are the options, the library and the order of the
 * report.
 */
#include "command.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "context/config.h"
#include "findings.h"
#include "grid.h"
#include "host/caps.h"
#include "json.h"
#include "launch.h"

static void hear(void *context, const char *text)
{
	struct finding *f = finding_add(context, FINDING_WRONG, "options", "config", "%s", text);

	finding_mend(f, "correct it there; fsock.conf(5) lists the options");
}

static void doctor_options(struct findings *findings, struct config *config)
{
	struct config_load_args args = {
		.environment = environ,
		.system_file = FSOCK_SYSCONFDIR "/fsock/fsock.conf",
		.reporter = { hear, findings },
	};
	char path[CONFIG_PATH_LEN];
	bool named;

	if (config_load(config, &args) == 0)
		finding_add(findings, FINDING_FINE, "options", "config", "no errors in any source");
	finding_add(findings, FINDING_NOTE, "options", "files", "system file %s, user file %s",
		    args.system_file,
		    config_user_file(environ, path, sizeof(path), &named) == 0 ? path : "none");
	if (!config->accelerate)
		finding_mend(finding_add(findings, FINDING_WRONG, "options", "accelerate",
					 "acceleration is switched off (%s)",
					 config_source_name(config->source[CONFIG_accelerate])),
			     "set the option accelerate to 1");
}

static void doctor_library(struct findings *findings)
{
	char path[PATH_MAX];

	if (launch_find_library(path, sizeof(path)))
		finding_add(findings, FINDING_FINE, "options", "library", "%.250s", path);
	else
		finding_mend(finding_add(findings, FINDING_WRONG, "options", "library",
					 "%.250s is missing", path),
			     "meson install -C BUILDDIR");
}

static void print_options(const struct config *config)
{
	char value[CONFIG_VALUE_LEN];
	struct grid grid;

	grid_init(&grid, "OPTION|VALUE|UNIT|SOURCE");
	for (unsigned id = 0; id < CONFIG_N_OPTIONS; id++) {
		grid_add(&grid, "%s", config_option_at(id)->name);
		grid_add(&grid, "%s", config_value_text(config, id, value));
		grid_add(&grid, "%s", config_option_at(id)->unit);
		grid_add(&grid, "%s", config_source_name(config->source[id]));
	}
	grid_print(&grid, "  ", stdout);
	grid_free(&grid);
}

static cJSON *options_json(const struct config *config)
{
	cJSON *list = cJSON_CreateArray();
	char value[CONFIG_VALUE_LEN];

	for (unsigned id = 0; id < CONFIG_N_OPTIONS; id++) {
		cJSON *object = cJSON_CreateObject();

		cJSON_AddStringToObject(object, "name", config_option_at(id)->name);
		cJSON_AddStringToObject(object, "value", config_value_text(config, id, value));
		json_add_text(object, "unit", config_option_at(id)->unit);
		cJSON_AddStringToObject(object, "source", config_source_name(config->source[id]));
		cJSON_AddItemToArray(list, object);
	}
	return list;
}

static int doctor_main(int argc, char **argv)
{
	struct findings findings = { .n = 0 };
	struct host_caps caps;
	struct config config;
	bool json = false;
	cJSON *links, *root;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			json = true;
		else if (launch_take_option(&command_doctor, argv[i]) != 0)
			return EXIT_USAGE;
	}
	doctor_options(&findings, &config);
	doctor_library(&findings);
	host_caps_read(&caps);
	doctor_privileges(&findings, &caps);
	doctor_kernel(&findings, &caps);
	doctor_limits(&findings, &caps, &config);
	links = doctor_links(&findings, &config, !json);
	if (!json) {
		findings_print(&findings);
		printf("values\n");
		print_options(&config);
		cJSON_Delete(links);
		return findings_any_wrong(&findings) ? EXIT_FINDINGS : EXIT_FINE;
	}
	root = cJSON_CreateObject();
	cJSON_AddBoolToObject(root, "ok", !findings_any_wrong(&findings));
	cJSON_AddItemToObject(root, "findings", findings_json(&findings));
	cJSON_AddItemToObject(root, "interfaces", links);
	cJSON_AddItemToObject(root, "options", options_json(&config));
	json_finish(root, false, stdout);
	return findings_any_wrong(&findings) ? EXIT_FINDINGS : EXIT_FINE;
}

const struct command command_doctor = {
	.name = "doctor",
	.usage = "[--json] [--OPTION=VALUE]...",
	.summary = "find out what stands in the way here, and how to mend it",
	.help = "Looks at the interfaces of this network namespace, privileges, kernel\n"
		"features, limits and the effective value and source of every option, and\n"
		"says for each finding what to run. Options given here count as they would\n"
		"with `fsock run`. Nothing is changed.\n\n"
		"  --json           for machines\n\n"
		"Exit status: 0 nothing stands in the way; 1 something does.\n",
	.main = doctor_main,
};
