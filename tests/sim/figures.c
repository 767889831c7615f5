/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * figures.c - how congestion control shares a bottleneck, and what it makes of a lossy path.
 *
 * Figures of virtual time: the same on every machine. Response functions: RFC 5681's algorithm loses one of
 * sqrt(3 / 2p) segments a round trip, RFC 9438 5.2 gives that of CUBIC.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "scenario.h"
#include "tcp/cc.h"
#include "tcp/conn.h"

enum {
	MSS = 1448,
	GROUP = 4,
	ROOM = 16 << 20,
};

#define MANY (1ULL << 40) /* bytes: more than is sent */

struct lane {
	struct sim_host *from, *to;
	struct sim_link *link;
};

/* Hosts with room for large windows, on a link with the bottleneck towards @to. */
static struct lane lane_create(struct sim_world *w, struct sim_play *play, const struct fault_config *there,
			       struct fault_line *line)
{
	struct sim_host_config host = { .pinned = 16384, .payload = 4096, .use_tcp_config = true };
	const struct fault_config back = { .delay = there->delay };
	struct lane l;

	tcp_config_default(&host.tcp);
	host.tcp.rcvbuf[2] = host.tcp.sndbuf[2] = ROOM;
	l.from = sim_host_create(w, &host);
	l.to = sim_host_create(w, &host);
	l.link = sim_link_create(w, l.from, l.to, there, 16384);
	l.link->fault.to[0].config = back;
	if (line)
		l.link->fault.to[1].line = line;
	sim_play_listen(play, l.to, SIM_PORT, 64, NULL, 0);
	return l;
}

static struct sim_flow *greedy(struct sim_play *play, const struct lane *l, const char *algorithm, fs_ns at)
{
	struct sim_plan plan[2] = { { .send = MANY, .use_options = true }, { .use_options = true } };
	int cc = tcp_cc_by_name(algorithm, strlen(algorithm));

	for (unsigned s = 0; s < 2; s++) {
		tcp_options_default(&plan[s].options, &l->from->tcp.config);
		plan[s].options.congestion = (uint8_t)cc;
	}
	return sim_play_flow(play, l->from, l->to, SIM_PORT, plan, at);
}

static void run_for(struct sim_world *w, fs_ns until)
{
	while (sim_step(w, until))
		;
}

static void stop(struct sim_play *play)
{
	for (struct sim_flow *f = play->flows; f; f = f->next) {
		for (unsigned s = 0; s < 2; s++) {
			struct sim_end *e = &f->end[s];

			if (!e->conn)
				continue;
			sim_program_kill(e);
			sim_host_settle(e->host);
		}
	}
	sim_play_finish(play);
}

static double jain(const double *x, unsigned n)
{
	double sum = 0, squares = 0;

	for (unsigned i = 0; i < n; i++) {
		sum += x[i];
		squares += x[i] * x[i];
	}
	return sum * sum / (n * squares);
}

/* --- fairness --- */

void sim_scenario_fairness(struct sim_world *w, const struct sim_scenario_args *args)
{
	enum { RATE = 50000000, WARM_S = 20, LONG_S = 100 };
	/* A queue of one bandwidth-delay product. */
	const struct fault_config there = { .delay = FS_MS(20), .rate_bps = RATE, .queue_bytes = RATE / 8 / 25 };
	struct sim_play *play = sim_play_create(w);
	struct fault_line line = { 0 };
	struct lane lanes[2];
	struct sim_flow *flow[2 * GROUP];
	uint64_t before[2 * GROUP];
	double rate[2 * GROUP], sum = 0, index;
	fs_ns began = w->now, length = FS_SEC(LONG_S) / 100 * args->scale;

	for (unsigned i = 0; i < 2; i++)
		lanes[i] = lane_create(w, play, &there, &line);
	for (unsigned i = 0; i < 2 * GROUP; i++)
		flow[i] = greedy(play, &lanes[i / GROUP], "cubic", w->now + FS_MS(1) + FS_MS(130) * i);
	run_for(w, began + FS_SEC(WARM_S));
	for (unsigned i = 0; i < 2 * GROUP; i++)
		before[i] = flow[i]->end[1].received;
	run_for(w, began + FS_SEC(WARM_S) + length);
	for (unsigned i = 0; i < 2 * GROUP; i++) {
		rate[i] = (double)(flow[i]->end[1].received - before[i]) * 8 / ((double)length / 1e9);
		sum += rate[i];
	}
	index = jain(rate, 2 * GROUP);
	printf("Jain %.3f, payload takes %.1f %% of the line; Mbit/s", index, sum / RATE * 100);
	for (unsigned i = 0; i < 2 * GROUP; i++)
		printf(" %.2f", rate[i] / 1e6);
	printf("\n");
	SIM_CHECK(w, index >= 0.9, "Jain's index is %.3f", index);
	SIM_CHECK(w, sum >= 0.85 * RATE, "%.1f %% of the line are used", sum / RATE * 100);
	stop(play);
}

/* --- goodput under random loss --- */

static double window_reno(double p)
{
	return sqrt(1.5 / p);
}

/* RFC 9438 5.2 (equation 6) with C 0.4 and beta 0.7, and 4.3: never less than Reno. */
static double window_cubic(double p, double rtt_s)
{
	return fmax(1.054 * pow(rtt_s, 0.75) / pow(p, 0.75), window_reno(p));
}

struct loss_case {
	const char *algorithm;
	uint32_t loss; /* per million */
	unsigned rtt_ms;
};

static double goodput_window(struct sim_world *w, const struct loss_case *c, fs_ns length)
{
	const struct fault_config there = { .delay = FS_MS(c->rtt_ms) / 2, .loss = c->loss };
	struct sim_play *play = sim_play_create(w);
	struct lane lane = lane_create(w, play, &there, NULL);
	struct sim_flow *f = greedy(play, &lane, c->algorithm, w->now + FS_MS(1));
	fs_ns began = w->now;
	uint64_t before;

	run_for(w, began + length / 5);
	before = f->end[1].received;
	run_for(w, began + length);
	before = f->end[1].received - before;
	stop(play);
	return (double)before / MSS / ((double)length * 0.8 / 1e9) * c->rtt_ms / 1000;
}

struct goodput_run {
	const struct loss_case *c;
	fs_ns length;
	double window;
};

static void goodput_body(struct sim_world *w, void *argument)
{
	struct goodput_run *run = argument;

	run->window = goodput_window(w, run->c, run->length);
}

void sim_scenario_goodput(struct sim_world *outer, const struct sim_scenario_args *args)
{
	static const struct loss_case cases[] = {
		{ "reno", 1000, 20 },  { "reno", 10000, 20 },  { "reno", 1000, 100 }, { "cubic", 300, 20 },
		{ "cubic", 1000, 20 }, { "cubic", 10000, 20 }, { "cubic", 300, 100 }, { "cubic", 1000, 100 },
	};

	for (unsigned i = 0; i < FS_ARRAY_SIZE(cases); i++) {
		const struct loss_case *c = &cases[i];
		double p = c->loss / 1e6, rtt = c->rtt_ms / 1e3;
		double expected = strcmp(c->algorithm, "reno") == 0 ? window_reno(p) : window_cubic(p, rtt);
		struct goodput_run run = { c, FS_SEC(150) / 100 * args->scale, 0 };

		sim_world_within(outer, outer->seed + i, c->algorithm, goodput_body, &run);
		printf("%-5s loss %.2f %% rtt %3u ms: %6.1f segments a round trip, the model says %6.1f: %.2f\n",
		       c->algorithm, p * 100, c->rtt_ms, run.window, expected, run.window / expected);
		SIM_CHECK(outer, run.window > expected / 2 && run.window < expected * 2,
			  "%s at %.2f %%: %.1f segments, the model says %.1f", c->algorithm, p * 100, run.window, expected);
	}
}

/* --- BBR beside CUBIC --- */

static void sample(FILE *to, double t, struct sim_flow *const *flow, uint64_t *before, unsigned n, double step_s)
{
	fprintf(to, "%.1f", t);
	for (unsigned i = 0; i < n; i++) {
		uint64_t now = flow[i]->end[1].received;
		const struct tcp_conn *c = flow[i]->end[0].conn;

		fprintf(to, " %.3f %.2f", (double)(now - before[i]) * 8 / 1e6 / step_s, c ? c->rtt.srtt_us / 1e3 : 0);
		before[i] = now;
	}
	fprintf(to, "\n");
}

struct side_run {
	FILE *to;
	bool lossy; /* each alone, 1 % of random loss; otherwise both at one bottleneck */
	fs_ns length;
	double mbit[2];
};

static void side_body(struct sim_world *w, void *argument)
{
	enum { RATE = 50000000 };
	struct side_run *run = argument;
	const struct fault_config there = { .delay = FS_MS(20), .rate_bps = RATE, .queue_bytes = RATE / 8 / 25,
					    .loss = run->lossy ? 10000 : 0 };
	static const char *const names[] = { "cubic", "bbr" };
	struct sim_play *play = sim_play_create(w);
	struct fault_line line = { 0 };
	struct sim_flow *flow[2];
	uint64_t before[2] = { 0 };
	fs_ns began = w->now, step = FS_MS(500);

	for (unsigned i = 0; i < 2; i++) {
		struct lane lane = lane_create(w, play, &there, run->lossy ? NULL : &line);

		flow[i] = greedy(play, &lane, names[i], w->now + FS_MS(1));
	}
	fprintf(run->to, "# s; CUBIC Mbit/s, srtt ms; BBR Mbit/s, srtt ms: %s\n",
		run->lossy ? "each alone at 50 Mbit/s with 1 % of random loss" : "both at one queue of 50 Mbit/s");
	for (fs_ns t = step; t <= run->length; t += step) {
		run_for(w, began + t);
		sample(run->to, (double)t / 1e9, flow, before, 2, (double)step / 1e9);
	}
	for (unsigned i = 0; i < 2; i++)
		run->mbit[i] = (double)flow[i]->end[1].received * 8 / 1e6 / ((double)run->length / 1e9);
	fprintf(run->to, "\n\n");
	stop(play);
}

void sim_scenario_side_by_side(struct sim_world *outer, const struct sim_scenario_args *args)
{
	FILE *to = args->output ? fopen(args->output, "w") : fopen("/dev/null", "w");

	if (!to)
		sim_fail(outer, "cannot write %s", args->output);
	for (unsigned i = 0; i < 2; i++) {
		struct side_run run = { to, i == 1, FS_SEC(60) / 100 * args->scale, { 0 } };
		const char *what = i ? "1 % random loss, alone" : "one queue for both";

		sim_world_within(outer, outer->seed + i, what, side_body, &run);
		printf("%s: CUBIC %.1f Mbit/s, BBR %.1f Mbit/s\n", what, run.mbit[0], run.mbit[1]);
		/* BBR is made for lossy paths, and must not starve beside CUBIC, nor starve it (RFC 9743 asks for no
		 * less of a new algorithm). */
		if (i == 1)
			SIM_CHECK(outer, run.mbit[1] > 3 * run.mbit[0] && run.mbit[1] > 35, "BBR gets %.1f Mbit/s",
				  run.mbit[1]);
		else
			SIM_CHECK(outer, run.mbit[0] > 5 && run.mbit[1] > 5, "CUBIC %.1f, BBR %.1f Mbit/s", run.mbit[0],
				  run.mbit[1]);
	}
	fclose(to);
}
