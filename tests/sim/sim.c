/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim.c - runs simulated worlds by their seeds.
 *
 * Ends with 0 if all of them held, 1 if one failed, 2 for a usage that makes no sense. A failure says how it is
 * repeated and leaves a capture.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "draw.h"
#include "world.h"

static const char usage[] =
	"usage: sim [OPTION]...\n"
	"Run TCP engines against each other in worlds drawn from seeds.\n\n"
	"  --seed N        run this one\n"
	"  --seeds A..B    run these\n"
	"  --seconds N     run fresh ones for so long; the first is printed\n"
	"  --keep-going    go on after a failure, without capture\n"
	"  --twice N       run every N-th seed twice and compare what happened\n"
	"  --pcap FILE     capture; of several seeds the last one's remains\n"
	"  --trace-hash    print a hash of all that happened for each seed\n"
	"  --poison N      fill fresh memory with this byte (0)\n"
	"  --verbose       describe each world\n"
	"  --help\n\n"
	"A failing seed is run again with a capture, sim-SEED.pcapng in the current folder.\n";

struct options {
	uint64_t first, last; /* seeds */
	unsigned seconds;
	unsigned twice;
	const char *pcap;
	bool trace_hash, verbose, keep_going;
	uint8_t poison;
};

static volatile uint64_t current_seed; /* for the handler */

static void print_number(uint64_t n)
{
	char digits[24];
	unsigned at = sizeof(digits);

	do
		digits[--at] = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	if (write(STDERR_FILENO, digits + at, sizeof(digits) - at) < 0)
		_exit(1);
}

static void crashed(int signal)
{
	static const char text[] = "\nsim: crashed; replay: tests/sim/sim --seed ";

	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(1);
	print_number(current_seed);
	if (write(STDERR_FILENO, "\n", 1) < 0)
		_exit(1);
	(void)signal; /* SA_RESETHAND: the instruction runs again and ends the program */
}

static void catch_crashes(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
	struct sigaction act = { .sa_handler = crashed, .sa_flags = (int)SA_RESETHAND };

	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &act, NULL);
}

/* Once more, with a capture this time. */
static void keep_capture(const struct options *o, uint64_t seed)
{
	char name[64], message[SIM_MESSAGE];
	struct sim_run_args args = { .seed = seed, .pcap = name, .poison = o->poison, .verbose = true };
	struct sim_result result;

	snprintf(name, sizeof(name), "sim-%llu.pcapng", (unsigned long long)seed);
	if (!o->pcap)
		sim_run_seed(&args, &result, message);
	fprintf(stderr, "replay: tests/sim/sim --seed %llu%s   capture: %s\n", (unsigned long long)seed,
		o->poison ? " --poison 165" : "", o->pcap ? o->pcap : name);
}

/* The same again with other bytes in fresh memory: nothing may depend on them. */
static bool repeats(const struct options *o, uint64_t seed, const struct sim_result *before)
{
	struct sim_run_args args = { .seed = seed, .poison = o->poison ? 0 : 0xa5 };
	char message[SIM_MESSAGE];
	struct sim_result again;

	if (sim_run_seed(&args, &again, message) && again.hash == before->hash)
		return true;
	fprintf(stderr, "seed %llu: two runs differ, %016llx after %llu events and %016llx after %llu\n",
		(unsigned long long)seed, (unsigned long long)before->hash, (unsigned long long)before->steps,
		(unsigned long long)again.hash, (unsigned long long)again.steps);
	return false;
}

static bool run(const struct options *o, uint64_t seed, struct sim_result *sum)
{
	struct sim_run_args args = { .seed = seed, .pcap = o->pcap, .poison = o->poison, .verbose = o->verbose };
	char message[SIM_MESSAGE] = "";
	struct sim_result result;

	current_seed = seed;
	if (!sim_run_seed(&args, &result, message)) {
		fprintf(stderr, "seed %llu failed: %s\n", (unsigned long long)seed, message);
		if (!o->keep_going)
			keep_capture(o, seed);
		return false;
	}
	if (o->trace_hash)
		printf("%llu %016llx\n", (unsigned long long)seed, (unsigned long long)result.hash);
	sum->steps += result.steps;
	sum->bytes += result.bytes;
	sum->flows += result.flows;
	sum->virtual_ms += result.virtual_ms;
	return !(o->twice && seed % o->twice == 0) || repeats(o, seed, &result);
}

static int64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint64_t fresh_seed(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000 % 1000000000000ull;
}

static int parse(struct options *o, int argc, char **argv)
{
	static const struct option names[] = {
		{ "seed", required_argument, NULL, 's' },    { "seeds", required_argument, NULL, 'r' },
		{ "seconds", required_argument, NULL, 'n' }, { "twice", required_argument, NULL, 't' },
		{ "pcap", required_argument, NULL, 'p' },    { "trace-hash", no_argument, NULL, 'h' },
		{ "poison", required_argument, NULL, 'm' },  { "verbose", no_argument, NULL, 'v' },
		{ "keep-going", no_argument, NULL, 'k' },
		{ "help", no_argument, NULL, '?' },	     { 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		char *end = NULL;

		switch (c) {
		case 's':
			o->first = o->last = strtoull(optarg, &end, 0);
			break;
		case 'r':
			o->first = strtoull(optarg, &end, 0);
			if (strncmp(end, "..", 2) != 0)
				return -1;
			o->last = strtoull(end + 2, &end, 0);
			break;
		case 'n':
			o->seconds = (unsigned)strtoul(optarg, &end, 0);
			break;
		case 't':
			o->twice = (unsigned)strtoul(optarg, &end, 0);
			break;
		case 'm':
			o->poison = (uint8_t)strtoul(optarg, &end, 0);
			break;
		case 'p':
			o->pcap = optarg;
			break;
		case 'h':
			o->trace_hash = true;
			break;
		case 'v':
			o->verbose = true;
			break;
		case 'k':
			o->keep_going = true;
			break;
		default:
			return -1;
		}
		if (end && *end != '\0')
			return -1;
	}
	return optind == argc ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct options o = { .first = 1, .last = 200 };
	struct sim_result sum = { 0 };
	uint64_t runs = 0, failed = 0;
	int64_t end;

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		fputs(usage, stdout);
		return 0;
	}
	if (parse(&o, argc, argv) < 0) {
		fputs(usage, stderr);
		return 2;
	}
	catch_crashes();
	if (o.seconds > 0) {
		o.first = fresh_seed();
		o.last = UINT64_MAX;
		printf("fresh seeds from %llu on\n", (unsigned long long)o.first);
		fflush(stdout);
	}
	end = clock_ms() + (int64_t)o.seconds * 1000;
	for (uint64_t seed = o.first; seed <= o.last; seed++) {
		if (!run(&o, seed, &sum)) {
			failed++;
			if (!o.keep_going)
				return 1;
		}
		runs++;
		if (o.seconds > 0 && clock_ms() >= end)
			break;
	}
	printf("%llu seeds, %llu flows, %llu bytes, %llu events, %lld virtual seconds\n", (unsigned long long)runs,
	       (unsigned long long)sum.flows, (unsigned long long)sum.bytes, (unsigned long long)sum.steps,
	       (long long)(sum.virtual_ms / 1000));
	return failed > 0;
}
