/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run.c - `fsock run`: start a program with fsock in front of it, in this very process.
 */
#include "command.h"

#include <string.h>

#include "launch.h"

static int run_main(int argc, char **argv)
{
	int i, status;

	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "--") == 0) {
			i++;
			break;
		}
		status = launch_take_option(&command_run, argv[i]);
		if (status)
			return status;
	}
	if (i >= argc) {
		command_misused(&command_run, "no program given", NULL);
		return EXIT_OURS;
	}
	status = launch_prepare(&command_run, argv[i]);
	return status ? status : launch_exec(&command_run, argv + i);
}

const struct command command_run = {
	.name = "run",
	.usage = "[--OPTION=VALUE]... [--] PROGRAM [ARGUMENT...]",
	.summary = "run a program with its UDP sockets accelerated",
	.help = "Starts PROGRAM with libfsock-preload.so in front of it. Every option of\n"
		"fsock.conf(5) can be given; these are used most:\n\n"
		"  --profile=default|latency   latency attaches at once and never sleeps\n"
		"  --interface=NAME[,NAME]     interfaces to accelerate\n"
		"  --provider=NAME             how frames move; auto chooses\n"
		"  --bypass=udp:53,...         ports left to the kernel\n"
		"  --log=error|warn|info|debug what is written to standard error\n\n"
		"Programs that fsock cannot enter (static, set-user-ID, of another\n"
		"architecture) run all the same, after one line on standard error.\n\n"
		"Exit status: that of PROGRAM; 125 wrong usage, 126 PROGRAM cannot be\n"
		"executed, 127 it was not found.\n",
	.main = run_main,
};
